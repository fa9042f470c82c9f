"""Judges what a round left, in a process of its own: auditor.py FOLDER, with the broker still up.

Reads the exchange's send logs and the streams raw; shares no code with any daemon. Prints one JSON object: lists of
sentences for what is lost, doubled, out of order or gone backwards, and counts. Source: schemas/specs/faults.md, "Audit".
"""

import json
import sys
from collections import Counter
from pathlib import Path

import msgpack

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from support import sma  # noqa: E402
from support.audit import judge  # noqa: E402
from support.bus import Bus  # noqa: E402
from support.feed import LANE, Tally  # noqa: E402

FAST, SLOW = 3, 7  # of the worker: short, so that it decides often
SAID_MAX = 5  # sentences of a kind in the report


class Findings(dict):
    def add(self, kind, text):
        self.setdefault(kind, []).append(text)


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


def audit_lane(folder, meta, messages, found):
    tally = Tally()
    for message in audit_ids(messages, "ACT", found):
        try:
            if message.subject.startswith(LANE):
                tally.take(message)
        except AssertionError as error:
            found.add("out of order", f"ACT, sequence {message.metadata.sequence.stream}: {error}")
    log = send_log(folder, meta["exchange_lives"])
    verdict = judge(log, tally, same_clock=not meta["virtual_clock"], up_to=log[-1]["n"] if log else None)
    for kind, texts in (("lost", verdict.lost), ("doubled", verdict.doubled), ("out of order", verdict.disordered),
                        ("never sent", verdict.unsent)):
        for text in texts:
            found.add(kind, f"frame: {text}")
    return tally, {"frames": len(tally.ids), "frames in gaps": verdict.in_gaps, "gaps": len(tally.events("gap"))}


def audit_ids(messages, stream, found):
    """Every event, frames and others, has an id of its own; those that are the first with theirs."""
    seen, first = {}, []
    for message in messages:
        event = msgpack.unpackb(message.data, raw=False)
        key = (event.get("runid", ""), event["source"], event["id"])
        if key in seen:
            found.add("doubled", f"{stream}: {key} at {seen[key]} and {message.metadata.sequence.stream}")
            continue
        seen[key] = message.metadata.sequence.stream
        first.append(message)
    return first


def signals(messages):
    """(session or run, causing sequence, data) in stream order."""
    events = [msgpack.unpackb(m.data, raw=False) for m in messages if ".strategy.signal." in m.subject]
    return [(e.get("runid", ""), int(e["causationseq"]), e["data"]) for e in events]


def decide(trades):
    return sma.signals(trades, FAST, SLOW)


def compare(name, got, expected, whole, found):
    """got must be expected, or (whole false) a prefix of it."""
    if got == expected or not whole and got == expected[:len(got)]:
        return
    twice = [seq for seq, n in Counter(seq for seq, _ in got).items() if n > 1]
    for seq in twice:
        found.add("doubled", f"{name}: input {seq} was decided twice")
    rest = expected if whole else [e for e in expected if e[0] <= max((s for s, _ in got), default=0)]
    for seq, data in rest:
        if (seq, data) not in got:
            found.add("lost", f"{name}: the decision on input {seq} is missing: {data}")
    for seq, data in got:
        if (seq, data) not in expected:
            found.add("wrong", f"{name}: input {seq} was decided as {data}")
    if [s for s, _ in got] != sorted(s for s, _ in got):
        found.add("out of order", f"{name}: decisions are not in the order of their inputs")


def audit_decisions(bus, act, history, found):
    trades = sma.trades_of(act)
    live = [(seq, data) for _, seq, data in signals(bus.read("SC_LIVE"))]
    sessions = sessions_of(history, "LIVE")
    expected = []
    for i, (_, start) in enumerate(sessions):
        end = sessions[i + 1][1] if i + 1 < len(sessions) else float("inf")
        expected += decide([t for t in trades if start <= t[0] < end])
    compare("LIVE", live, expected, True, found)
    counts = {"decisions": len(live), "sessions": len(sessions)}
    return counts, trades


def sessions_of(history, scenario):
    """(session, start_seq) in order."""
    found = {}
    for _, key, value in history:
        if key == f"sc.{scenario}.sma":
            found[value["session"]] = value["start_seq"]
    return sorted(found.items(), key=lambda s: int(s[0]))


def audit_runs(bus, trades, meta, runs, found):
    """Every run of the backtest: a prefix of what its range decides; the last one all of it."""
    try:
        made = signals(bus.read("SC_bt1"))
    except Exception as error:  # no stream
        found.add("lost", f"bt1: {error}")
        return 0
    for runid in {run for run, _, _ in made} | {meta["last_run"]}:
        if runid not in runs:
            found.add("wrong", f"bt1: run {runid} is in no record of a replay")
            continue
        first, last = runs[runid]
        expected = decide([t for t in trades if first <= t[0] <= last])
        compare(f"bt1, run {runid}", [(seq, data) for run, seq, data in made if run == runid], expected,
                runid == meta["last_run"], found)
    return len(made)


def kv_history(bus, bucket):
    """(revision, key, value) of every write there ever was; values that are JSON objects."""
    out = []
    for message in bus.read(f"KV_{bucket}"):
        if message.data:
            out.append((message.metadata.sequence.stream, message.subject.split(".", 2)[2], json.loads(message.data)))
    return out


RISING = ["done_seq", "outputs", "out_seq"]


def audit_progress(history, found):
    """Within a session or run nothing goes back; a session or run that was left does not return."""
    last, left = {}, set()
    for revision, key, value in history:
        if not key.startswith("sc."):
            continue
        name, era = key, (value["session"], value["runid"])
        before = last.get(name)
        state = key.endswith(".state")
        if before and (before["session"], before["runid"]) != era:
            left.add((name, before["session"], before["runid"]))
        elif before:
            for what in ["seq"] if state else RISING:
                if value[what] < before[what]:
                    found.add("backwards", f"{key} revision {revision}: {what} {before[what]} -> {value[what]}")
        if (name, *era) in left:
            found.add("backwards", f"{key} revision {revision}: back in {era}")
        last[name] = value


def audit_replays(history, found):
    """Ranges of the runs; a run's position never goes back, and a run that ended stays ended."""
    runs, position, ended = {}, {}, {}
    for revision, key, value in history:
        runid = value["runid"]
        if not runid:
            continue
        runs[runid] = (value["first_seq"], value["last_seq"])
        if value["position"] < position.get(runid, 0):
            found.add("backwards", f"replays/{key} revision {revision}: {position[runid]} -> {value['position']}")
        if ended.get(runid) and value["state"] != ended[runid]:
            found.add("backwards", f"replays/{key} revision {revision}: {ended[runid]} -> {value['state']}")
        position[runid] = value["position"]
        if value["state"] in ("finished", "stopped", "failed"):
            ended[runid] = value["state"]
    return runs


def main(folder):
    meta = json.loads((folder / "meta.json").read_text())
    bus, found = Bus(meta["url"]), Findings()
    act = bus.read("ACT")
    tally, counts = audit_lane(folder, meta, act, found)
    for symbol, want in meta["books"].items():
        book = tally.books.get(symbol)
        if book and [list(level) for level in book.levels("bids")] != want["bids"]:
            found.add("wrong", f"the book of {symbol} is not the exchange's")
    progress = kv_history(bus, "workers")
    audit_progress(progress, found)
    runs = audit_replays(kv_history(bus, "replays"), found)
    decided, trades = audit_decisions(bus, act, progress, found)
    counts |= decided | {"backtest decisions": audit_runs(bus, trades, meta, runs, found)}
    if counts["sessions"] != 1 and not meta["may_begin_anew"]:
        found.add("wrong", f"LIVE began {counts['sessions']} sessions")
    bus.close()
    print(json.dumps({"counts": counts, "found": {k: [len(v), *v[:SAID_MAX]] for k, v in found.items()}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
