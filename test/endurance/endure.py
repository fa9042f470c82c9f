"""An hour of `make run` under ten times the usual load: what each process holds, what the broker keeps, what the logs say.

Memory is Pss (each process's share of what it maps), once a sample for every process of the stack. The verdict:

* a process's Pss in the last quarter is not above that of the second quarter by more than a tenth and 1 MiB (medians),
  or not above what its queues, windows and histories may hold (BOUND: they grow with the worst moment so far, to there);
* a stream that is a record (ACT, SC_…) takes as many bytes an event at the end as in the middle, give or take a tenth;
  every other stream and bucket is at its end not above its middle by more than a tenth and 1 MiB, by the highest of
  each quarter: the broker writes a bucket's block anew when enough of it is old, which makes a saw;
* nor does what may grow to a BOUND grow evenly below it: when the third quarter added more than 2 MiB, the last one adds no more than 2 MiB and half of that;
* no log has a warning or an error;
* every process of the stack is the one it was at first: nothing ended and was started again;
* the stack ends with exit code 0 and leaves no process.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
OFFSET = 20000  # of every port: beside a stack that somebody has running
MIB = 1024 * 1024
MINUTES_MIN = 1  # fewer and the second quarter is the start
# A window of 8 MiB, a queue of 16 MiB, as much behind it; a history of 8 MiB a symbol, 100,000 entries of the send log, queues of clients.
# The broker's heap is collected when it has doubled, and each stream that is written keeps a block of up to 8 MiB at hand: it takes
# minutes to get there (126 MiB at most in an hour).
BOUND = {"feedd": 48 * MIB, "simexd": 64 * MIB, "nats-server": 192 * MIB}
TROUBLE = re.compile(r" (WARN|ERROR) |\[(WRN|ERR|FTL)\]")


def children(pid: int) -> list[int]:
    """All that descend from pid."""
    try:
        own = [int(p) for t in Path(f"/proc/{pid}/task").iterdir() for p in (t / "children").read_text().split()]
    except OSError:
        return []
    return own + [p for child in own for p in children(child)]


def name_of(pid: int) -> str | None:
    """A daemon's name; a runtime's with its scenario; None: a shell of the script."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    name = Path(words[0].decode()).name
    if b"--runtime" in words:
        return f"runtime {words[words.index(b'--runtime') + 1].decode()}"
    return name if name in ("nats-server", "stored", "feedd", "workhostd", "simexd") else None


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pss(pid: int) -> int:
    return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1]) * 1024


def size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            pass  # the broker has just removed it
    return total


class Stack:
    def __init__(self, home: Path, rate: int):
        self.home, self.first, self.ended = home, {}, {}
        self.process = subprocess.Popen(
            [TREE / "scripts" / "run", "--offset", str(OFFSET), "--home", home], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TRADELANE_SIMEXD_RATE": str(rate)})
        for line in self.process.stdout:
            if line.startswith("Tradelane is running"):
                threading.Thread(target=self.listen, daemon=True).start()
                return
        sys.exit("make run did not come up")

    def listen(self):
        """What the script says of its processes; unread, its pipe would fill."""
        for line in self.process.stdout:
            print(line, end="", file=sys.stderr, flush=True)

    def sample(self) -> dict:
        """{("pss", name) or ("file", stream) or ("events", "ACT"): figure}"""
        figures, pids = {}, {}
        for pid in children(self.process.pid):
            try:
                if name := name_of(pid):
                    figures["pss", name] = pss(pid)
                    pids.setdefault(name, set()).add(pid)
            except (OSError, TypeError):
                continue  # it has just ended
        self.mind(pids)
        for folder in self.home.glob("jetstream/jetstream/*/streams/*"):
            figures["file", folder.name] = size(folder)
        with urllib.request.urlopen(f"http://127.0.0.1:{7412 + OFFSET}/metrics", timeout=10) as page:
            figures["events", "ACT"] = float(re.search(r"^tradelane_feedd_acknowledged_total (\S+)", page.read().decode(), re.MULTILINE)[1])
        return figures

    def mind(self, pids: dict):
        """A process that is not there any more was ended, whoever took its place."""
        for name, there in pids.items():
            self.first.setdefault(name, min(there))
        for name, pid in self.first.items():
            if pid not in pids.get(name, ()):
                self.ended.setdefault(name, f"{name}: process {pid} ended")

    def stop(self) -> list[str]:
        left = children(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        end = time.monotonic() + 10
        while time.monotonic() < end and any(map(runs, left)):
            time.sleep(0.1)
        return list(self.ended.values()) + [f"the stack ended with {code}"] * (code != 0) + [f"process {pid} is left" for pid in left if runs(pid)]


def is_record(key) -> bool:
    return key[0] == "file" and (key[1] == "ACT" or key[1].startswith("SC_"))


def goes_on(second: float, third: float, last: float) -> bool:
    return third - second > 2 * MIB and last - third > 2 * MIB + (third - second) / 2


def judge(samples: list[tuple[float, dict]]) -> list[str]:
    """What grows without bound."""
    wrong = []
    quarter = len(samples) // 4

    def of(key, part):
        values = [figures[key] for _, figures in part if key in figures]
        typical = max if key[0] == "file" and not is_record(key) else statistics.median
        return typical(values) if values else None

    for key in sorted({key for _, figures in samples for key in figures if key[0] != "events"}):
        second, last = of(key, samples[quarter:2 * quarter]), of(key, samples[-quarter:])
        if second is None or last is None:
            wrong.append(f"{' '.join(key)}: there for a part of the time only")
        elif is_record(key):
            events = [of(("events", "ACT"), part) for part in (samples[quarter:2 * quarter], samples[-quarter:])]
            if last / events[1] > 1.1 * second / events[0]:
                wrong.append(f"{key[1]}: {second / events[0]:.0f} bytes an event of ACT grew to {last / events[1]:.0f}")
        elif last > max(1.1 * second + MIB, BOUND.get(key[1], 0)):
            wrong.append(f"{' '.join(key)}: {second / MIB:.1f} MiB grew to {last / MIB:.1f}")
        elif key[1] in BOUND and goes_on(second, third := of(key, samples[2 * quarter:-quarter]), last):
            wrong.append(f"{' '.join(key)}: {second / MIB:.1f}, {third / MIB:.1f}, then {last / MIB:.1f} MiB: it goes on growing")
    return wrong


def head(at: float, last: float) -> str:
    return f"{at:.0f} s" if last < 600 else f"{at / 60:.0f} min"


def table(samples: list[tuple[float, dict]], rows: int = 12) -> str:
    keys = sorted({key for _, figures in samples for key in figures})
    keys.sort(key=lambda key: ["events", "pss", "file"].index(key[0]))
    shown = [samples[round(i * (len(samples) - 1) / (rows - 1))] for i in range(rows)] if len(samples) > rows else samples
    lines = ["| | " + " | ".join(head(at, shown[-1][0]) for at, _ in shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for key in keys:
        cells = [figures.get(key) for _, figures in shown]
        texts = ["" if c is None else f"{c:,.0f}" if key[0] == "events" else f"{c / MIB:,.1f}" for c in cells]
        unit = {"events": "acknowledged events", "pss": "Pss, MiB", "file": "files, MiB"}[key[0]]
        lines.append(f"| {key[1]}: {unit} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def trouble(log: Path) -> list[str]:
    return [f"{path.name}: {line}" for path in sorted(log.iterdir())
            for line in path.read_text(errors="replace").splitlines() if TROUBLE.search(line)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=3000, help="order events a second of the synthetic market (make run: 300)")
    parser.add_argument("--home", type=Path, default=TREE / "build" / "endurance")
    given = parser.parse_args()
    if given.minutes < MINUTES_MIN:
        parser.error(f"--minutes {given.minutes:g}: at least {MINUTES_MIN}; before that everything grows")
    stack = Stack(given.home, given.rate)
    begun, samples = time.monotonic(), []
    spacing = max(1.0, min(30.0, given.minutes * 60 / 24))
    try:
        while (at := time.monotonic() - begun) < given.minutes * 60:
            samples.append((at, stack.sample()))
            time.sleep(max(0.0, begun + len(samples) * spacing - time.monotonic()))
        samples.append((time.monotonic() - begun, stack.sample()))
    finally:
        left = stack.stop()
    (given.home / "samples.json").write_text(json.dumps([[at, {" ".join(k): v for k, v in f.items()}] for at, f in samples]))
    events = samples[-1][1]["events", "ACT"]
    print(f"{samples[-1][0] / 60:.1f} minutes at {given.rate} order events a second: {events:,.0f} events recorded, "
          f"{events / samples[-1][0]:,.0f} a second\n")
    print(table(samples))
    findings = judge(samples) + trouble(given.home / "log") + left
    print("\n" + "\n".join(findings[:50] or ["nothing grows without bound, no log has a warning, nothing is left"]))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
