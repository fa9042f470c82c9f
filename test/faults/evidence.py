"""What a round left, as it was read: the streams raw, the exchange's send logs, and the script's own notes.

It is read once, from a broker that is still up, and kept beside them, so that a round can be judged again without a
broker: a failed one that was kept, or a copy that was tampered with.
"""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from nats.js.errors import NotFoundError

HISTORIES = ["workers", "replays", "scenarios", "connections"]  # buckets made with every write there ever was
STREAMS = ["ACT", "SC_LIVE", "SC_bt1", "DLQ", *(f"KV_{bucket}" for bucket in HISTORIES)]


@dataclass
class Record:
    """A message of a stream; has what readers of a broker's messages ask for."""

    seq: int
    subject: str
    data: bytes
    headers: dict

    @property
    def metadata(self):
        return SimpleNamespace(sequence=SimpleNamespace(stream=self.seq))


@dataclass
class Evidence:
    meta: dict
    sent: list  # entries of the exchange's log
    streams: dict  # name -> [Record] in stream order; one that is not there is not in it

    def keep(self, path: Path):
        path.write_bytes(pickle.dumps(self))


def kept(path: Path) -> Evidence:
    return pickle.loads(path.read_bytes())


def send_log(folder, lives):
    """All lives of the exchange as one log: entries numbered on, without the half line of a kill."""
    entries, base = [], 0
    for life in range(1, lives + 1):
        path = folder / f"sent.{life}.jsonl"
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
            entry = json.loads(line)
            entry["n"] += base
            entries.append(entry)
        base = entries[-1]["n"] if entries else 0
    return entries


def read_stream(bus, name):
    return [Record(m.metadata.sequence.stream, m.subject, m.data, dict(m.headers or {})) for m in bus.read(name)]


def gather(folder: Path, bus) -> Evidence:
    meta = json.loads((folder / "meta.json").read_text())
    evidence = Evidence(meta, send_log(folder, meta["exchange_lives"]), {})
    for name in STREAMS:
        try:
            evidence.streams[name] = read_stream(bus, name)
        except NotFoundError:
            pass
    return evidence
