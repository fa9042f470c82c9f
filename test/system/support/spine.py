"""The whole path for a test: exchange, feed, stream, workers; each step waited for by what it left."""

import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import msgpack

from .places import BUILD, PATIENCE
from .stack import Stack

DECLARATION = """name: sma
code: {workers}/sma.so
inputs: [exchange.*.trade.tape.>]
scenarios: [LIVE]
start: first
config:
  fast: {fast}
  slow: {slow}
"""


class Venue:
    """simexd's admin side. Source: schemas/specs/simexd.md, "Admin endpoints"."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.address = daemon.wait_line(r"listening venue=(\S+)")[1]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30 * PATIENCE) as answer:
            return answer.read()

    def post(self, path: str, body: dict):
        request = urllib.request.Request(f"http://{self.address}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30 * PATIENCE) as answer:
            return json.loads(answer.read())

    @property
    def status(self) -> dict:
        return json.loads(self.get("/sim/v1/status"))

    def wait_ended(self, timeout: float = 120):
        wait_for(lambda: self.status["state"] == "ended", timeout, lambda: f"play is {self.status}")
        return self.status


def wait_for(done, timeout: float, what):
    end = time.monotonic() + timeout * PATIENCE
    while not done():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.05)


def start_workers(stack: Stack, fast: int = 5, slow: int = 20, as_name: str | None = None):
    folder = stack.folder / "workers"
    folder.mkdir(exist_ok=True)
    (folder / "sma.yaml").write_text(DECLARATION.format(workers=BUILD / "workers", fast=fast, slow=slow))
    return stack.start("workhostd", "--workers-dir", folder, "--code-dir", stack.folder / "code", as_name=as_name)


def start_venue(stack: Stack, *args) -> Venue:
    return Venue(stack.start("simexd", "--listen", "127.0.0.1:0", *args))


def start_feed(stack: Stack, venue: Venue, symbols, channels=(), *args):
    return stack.start("feedd", "--ws-url", f"ws://{venue.address}", "--rest-url", f"http://{venue.address}",
                       "--symbols", ",".join(symbols), "--channels", ",".join(channels), *args)


def wait_trades(bus, count: int, timeout: float = 120) -> list:
    """Waits until ACT holds that many trades; returns all trade messages."""
    wait_for(lambda: count_subject(bus, "ACT", "act.exchange.*.trade.tape.>") >= count, timeout,
             lambda: f"{count_subject(bus, 'ACT', 'act.exchange.*.trade.tape.>')} of {count} trades are recorded")
    return bus.read("ACT", "act.exchange.*.trade.tape.>")


def count_subject(bus, stream: str, subject: str) -> int:
    answer = bus.request(f"$JS.API.STREAM.INFO.{stream}", json.dumps({"subjects_filter": subject}).encode())
    state = json.loads(answer.data).get("state", {})
    return sum((state.get("subjects") or {}).values())


def progress(bus, scenario: str, worker: str = "sma") -> dict:
    """The worker's progress record. Source: schemas/specs/workers.md, "Records"."""
    found = bus.kv("workers").get(f"sc.{scenario}.{worker}")
    return json.loads(found) if found else {}


def wait_done(bus, scenario: str, seq: int, timeout: float = 60):
    wait_for(lambda: progress(bus, scenario).get("done_seq", 0) >= seq, timeout,
             lambda: f"{scenario} is at {progress(bus, scenario)}, not at {seq}")


def signals_of(bus, scenario: str) -> list[tuple[int, dict]]:
    """(causing sequence, data) of the scenario's signals, in stream order."""
    stream = "SC_" + scenario
    events = [msgpack.unpackb(m.data, raw=False) for m in bus.read(stream, f"sc.{scenario}.strategy.signal.>")]
    return [(int(e["causationseq"]), e["data"]) for e in events]


def backtest(stack: Stack, name: str, selector: str):
    stack.lane("scenario", "create", name, "--market", f"hyp.{selector}", "--strategy", "sma")
    return stack.lane("replay", "start", "ACT", "--selector", selector, "--scenario", name, "--speed", "max",
                      "--wait", timeout=180)


def first_number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"no /{pattern}/ in: {text}"
    return int(found[1])


def runtime_pid(workhostd, scenario: str) -> int | None:
    """The process that runs the scenario's workers; None when there is none at the moment."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            argv = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            parent = int(Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == workhostd.pid and scenario.encode() in argv and b"--runtime" in argv:
            return int(pid)
    return None


def kill_runtime(workhostd, scenario: str) -> int:
    """SIGKILLs the scenario's runtime, waiting for it to be there; returns its pid."""
    pids = []
    wait_for(lambda: pids.append(runtime_pid(workhostd, scenario)) or pids[-1], 10, f"{scenario} has no runtime")
    os.kill(pids[-1], signal.SIGKILL)
    return pids[-1]
