#!/usr/bin/env python3
"""First inputs for fuzz targets from real captures: seeds.py CAPTURES OUT. Captures are not part of the tree, so
neither is what is made of them; without any, nothing is made.

Each line of a capture gives at most a few inputs, those of a shape (kind of line, keys, length) not seen before."""

import gzip
import hashlib
import json
import re
import sys
from pathlib import Path

PER_TARGET = 64
BYTES_MAX = 16384


def lines(path: Path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", errors="replace") as file:
        for number, line in enumerate(file):
            if number == 20000:
                return
            yield line.rstrip("\n")


def shape(text: str) -> tuple:
    return (*re.findall(r'"([A-Za-z]{1,20})":', text[:2000])[:24], len(text).bit_length())


class Seeds:
    def __init__(self, out: Path):
        self.out, self.seen = out, {}

    def add(self, target: str, text: str, prefix: bytes = b""):
        seen = self.seen.setdefault(target, set())
        key = shape(text)
        if len(seen) >= PER_TARGET or key in seen or len(text) > BYTES_MAX:
            return
        seen.add(key)
        data = prefix + text.encode()
        folder = self.out / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def answer(seeds: Seeds, text: str):
    """A REST answer with the first of its levels or instruments."""
    try:
        body = json.loads(text)
    except ValueError:
        return
    if not isinstance(body, dict):
        return
    cut = {key: value[:8] if isinstance(value, list) else value for key, value in body.items()}
    seeds.add("feed_rest", json.dumps(cut, separators=(",", ":")), b"\x03" if "lastUpdateId" in body else b"\x02")


def take_collector(seeds: Seeds, path: Path):
    """<receive time> <frame>: a frame each, some in a row, and the line itself."""
    row = []
    for line in lines(path):
        stamp, _, frame = line.partition(" ")
        if not stamp.isdigit():
            continue
        seeds.add("sim_capture", line, b"\x01")
        if frame.startswith('{"lastUpdateId"'):
            answer(seeds, frame)
            continue
        seeds.add("feed_frame", frame)
        seeds.add("event_json", frame)
        row = [*row[-7:], frame]
        if len(row) == 8:
            seeds.add("feed_frame", "\n".join(row))


def take_cryptofeed(seeds: Seeds, path: Path):
    for line in lines(path):
        seeds.add("sim_capture", line, b"\x02")
        match = re.match(r"[\d.]+: (\{.*)", line)
        if match:
            seeds.add("feed_frame", match[1])
        elif ": {" in line:
            answer(seeds, line[line.index(": {") + 2 :].partition(" header: ")[0])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    captures, seeds = Path(sys.argv[1]), Seeds(Path(sys.argv[2]))
    for path in sorted(captures.glob("binance_*/*.gz")):
        take_collector(seeds, path)
    for path in sorted(captures.glob("cryptofeed/BINANCE*")):
        answer(seeds, path.read_text()) if path.suffix == ".json" else take_cryptofeed(seeds, path)
    print({target: len(seen) for target, seen in seeds.seen.items()})


main()
