"""simexd as a test meets it: a process, its venue port, and an independent reader of captures and books."""

import gzip
import json
import random
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

from .places import PATIENCE, program
from .process import Process


class Simexd(Process):
    def __init__(self, folder: Path, *args, name: str = "simexd", tls=None):
        scheme = ["--tls-cert", tls[0], "--tls-key", tls[1]] if tls else []
        super().__init__([program("simexd"), "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", *scheme, *args],
                         folder / f"{name}.log", cwd=folder)
        self.port = int(self.wait_line(r"listening venue=127\.0\.0\.1:(\d+)")[1])
        self.wait_line(r"ready in ")

    def http(self, method: str, path: str, body=None, timeout: float = 30) -> tuple[int, bytes]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout * PATIENCE) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()

    def get(self, path: str, timeout: float = 30):
        status, body = self.http("GET", path, timeout=timeout)
        assert status == 200, f"GET {path}: {status} {body[:300]}"
        return json.loads(body)

    def status(self) -> dict:
        return self.get("/sim/v1/status")

    def wait_state(self, state: str, timeout: float = 20) -> dict:
        end = time.monotonic() + timeout * PATIENCE
        while (now := self.status())["state"] != state:
            assert time.monotonic() < end, f"state is {now['state']}, not {state}: {now}"
            time.sleep(0.01)
        return now

    def fault(self, **fields) -> dict:
        status, body = self.http("POST", "/sim/v1/fault", fields)
        assert status == 200, body
        return json.loads(body)

    def sent_log(self) -> list[dict]:
        entries, first = [], 1
        while True:
            status, body = self.http("GET", f"/sim/v1/log?from={first}&limit=100000")
            assert status == 200, body
            lines = [json.loads(line) for line in body.splitlines()]
            if not lines:
                return entries
            entries += lines
            first = lines[-1]["n"] + 1

    def book(self, symbol: str, update_id: int | None = None) -> dict:
        return self.get(f"/sim/v1/book?symbol={symbol}" + (f"&update_id={update_id}" if update_id else "&at=end"))

    def connect(self, path: str, **options):
        return connect(f"ws://127.0.0.1:{self.port}{path}", compression=None, max_queue=None, open_timeout=10 * PATIENCE, **options)

    def later(self, path: str) -> "Later":
        """A request that may take its time."""
        return Later(lambda: self.http("GET", path, timeout=60))


class Later(threading.Thread):
    def __init__(self, fn):
        super().__init__(daemon=True)
        self.fn, self.value = fn, None
        self.start()

    def run(self):
        self.value = self.fn()

    def result(self, timeout: float = 30):
        self.join(timeout * PATIENCE)
        assert not self.is_alive(), "no answer yet"
        return self.value


def read_collector(path: Path) -> list[tuple[int, str]]:
    """Receive time in ns and raw text of each line of a collector file."""
    lines = []
    for line in gzip.open(path, "rt"):
        stamp, text = line.rstrip("\n").split(" ", 1)
        lines.append((int(stamp) * (1000 if len(stamp) == 16 else 1), text))
    return lines


def take(ws, count: int, timeout: float = 20) -> list:
    """The next `count` messages."""
    return [ws.recv(timeout=timeout * PATIENCE) for _ in range(count)]


class Book:
    """A venue book kept the way the venue's manual says, in plain Python."""

    def __init__(self, snapshot: dict):
        self.update_id = snapshot["lastUpdateId"]
        self.sides = {"b": dict(map(tuple, snapshot["bids"])), "a": dict(map(tuple, snapshot["asks"]))}
        self.first = True

    def apply(self, event: dict) -> bool:
        """False: the event is older than the book."""
        if event["u"] <= self.update_id:
            return False
        joins = event["U"] <= self.update_id + 1 if self.first else event["U"] == self.update_id + 1
        assert joins, f"gap: {event['U']} after {self.update_id}"
        self.first, self.update_id = False, event["u"]
        for side in "ba":
            for price, quantity in event[side]:
                if float(quantity) == 0:
                    self.sides[side].pop(price, None)
                else:
                    self.sides[side][price] = quantity
        return True

    def equals(self, answer: dict) -> bool:
        return (self.sides["b"] == dict(map(tuple, answer["bids"])) and self.sides["a"] == dict(map(tuple, answer["asks"]))
                and answer["update_id"] == self.update_id)


def check_books(sim: Simexd, symbol: str, snapshot: dict, events: list[dict], samples: int = 20, seed: int = 1):
    """simexd's book at random update ids and at the end against one kept here."""
    book = Book(snapshot)
    events = [e for e in events if e["u"] > book.update_id]
    picked = set(random.Random(seed).sample(range(len(events)), min(samples, len(events))))
    for i, event in enumerate(events):
        book.apply(event)
        if i in picked:
            assert book.equals(sim.book(symbol, event["u"])), f"book at update id {event['u']}"
    assert book.equals(sim.book(symbol)), "book at the end"
