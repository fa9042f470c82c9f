"""Judges what a round left, in a process of its own: auditor.py FOLDER, with the broker still up.

Reads the exchange's send logs and the streams raw; shares no code with any daemon. Prints one JSON object: lists of
sentences for what is lost, doubled, out of order or gone backwards, and counts. What it read stays in the folder:
auditor.py --again FOLDER judges it once more, without a broker. Source: schemas/specs/faults.md, "Audit".
"""

import json
import sys
from collections import Counter
from pathlib import Path

import jsonschema
import msgpack

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from support import sma  # noqa: E402
from support.audit import judge  # noqa: E402
from support.bus import Bus  # noqa: E402
from support.feed import LANE, Tally  # noqa: E402

import state  # noqa: E402
from evidence import gather, kept  # noqa: E402

FAST, SLOW = 3, 7  # of the worker: short, so that it decides often
SAID_MAX = 5  # sentences of a kind in the report
SIGNAL, RESET = "strategy.signal.emitted.sma", "control.worker.state_reset.sma"


class Findings(dict):
    def add(self, kind, text):
        self.setdefault(kind, []).append(text)


# --- the lane ------------------------------------------------------------------------------------------------


def audit_lane(evidence, events, found):
    tally, meta = Tally(), evidence.meta
    for message, _ in events:
        seq = message.seq
        if not message.subject.startswith(LANE):
            found.add("never sent", f"ACT, sequence {seq}: '{message.subject}' is nothing of the feed's")
            continue
        try:
            tally.take(message)
        except AssertionError as error:
            found.add("out of order", f"ACT, sequence {seq}: {error}")
        except jsonschema.ValidationError as error:
            found.add("wrong", f"ACT, sequence {seq}: {error.message}")
    log = evidence.sent
    verdict = judge(log, tally, same_clock=not meta["virtual_clock"], up_to=log[-1]["n"] if log else None)
    for kind, texts in (("lost", verdict.lost), ("doubled", verdict.doubled), ("out of order", verdict.disordered),
                        ("never sent", verdict.unsent)):
        for text in texts:
            found.add(kind, f"frame: {text}")
    audit_own_events(events, meta, found)
    audit_books(tally, meta, found)
    return {"frames": len(tally.ids)} | audit_gaps(verdict, tally, meta, found) | audit_held(verdict, tally, meta, found)


def audit_gaps(verdict, tally, meta, found):
    """A gap is of what the feed did not receive, or died with: without a death no `restart`, without a fault of the venue, the way
    to it or the feed no `disconnected` but of a venue that was silent or a feed that could not keep up (the machine is shared)."""
    gaps, lives = tally.events("gap"), meta["feeds"]
    whole = Counter(gap["data"]["reason"] for gap in gaps if "channel" not in gap["data"])
    if any(gap["data"]["reason"] == "restart" for gap in gaps) and lives["begun"] < 2:
        found.add("wrong", "the feed tells of a gap by a restart, and was never started again")
    if not lives["two"] and whole["restart"] > lives["begun"] - 1:
        found.add("wrong", f"{whole['restart']} gaps by a restart, of {lives['begun']} lives of the feed")
    ends = Counter(e["data"]["reason"] for e in tally.events("disconnected") if not e["data"].get("rotation"))
    if not lives["disturbed"] and lives["begun"] < 2:
        strange = {reason: n for reason, n in ends.items() if reason not in ("silent", "overload", "stopped")}
        if strange:
            found.add("wrong", f"nothing was done to feed or venue, and its connection ended: {strange}")
    if whole["disconnected"] > ends.total() - ends["stopped"] and not meta["went_back"]:
        found.add("wrong", f"{whole['disconnected']} gaps by a lost connection, of which {dict(ends)} ended")
    of = Counter(min(reasons) for _, reasons in verdict.gapped if reasons)
    return {"gaps": len(gaps)} | {f"frames in gaps ({reason})": n for reason, n in of.items()}


def audit_ids(messages, stream, found):
    """Every event, frames and others, has an id of its own; (message, event) of those that are the first with theirs."""
    seen, first = {}, []
    for message in messages:
        try:
            event = msgpack.unpackb(message.data, raw=False)
            key = (event.get("runid", ""), event["source"], event["id"])
        except (ValueError, KeyError, TypeError, AttributeError):
            found.add("never sent", f"{stream}, sequence {message.seq}, '{message.subject}': no event")
            continue
        if key in seen:
            found.add("doubled", f"{stream}: {key} at {seen[key]} and {message.seq}")
            continue
        seen[key] = message.seq
        first.append((message, event))
    return first


def is_about_the_store(event):
    return event["type"].rsplit(".", 2)[1] == "feed" and event["data"].get("reason") == "store_went_back"


def audit_own_events(events, meta, found):
    """The feed counts what it makes itself, per epoch from 1: a number that is not there is an event that is not there."""
    numbers, ahead = {}, {}
    for message, event in events:
        epoch, _, n = event["id"].partition(".")
        if epoch.isdigit():  # the others are named after what the venue counts
            (ahead if is_about_the_store(event) else numbers).setdefault(epoch, []).append(int(n))
    for epoch, made in numbers.items():
        if made != sorted(made):
            found.add("out of order", f"the feed's own events of epoch {epoch}: {made}")
        all_made = sorted(made + ahead.get(epoch, []))
        holes = [(a, b) for a, b in zip([0, *all_made], all_made) if b != a + 1]
        # what went with the store is one run of them, and the gap told of it stands there
        for a, b in holes[1 if meta["went_back"] and ahead else 0:]:
            found.add("lost", f"the feed's own events {epoch}.{a + 1} to {epoch}.{b - 1}")


def audit_books(tally, meta, found):
    for symbol, want in meta["books"].items():
        book = tally.books.get(symbol)
        if book is None or book.last is None:
            found.add("lost", f"the book of {symbol}: the lane gives none that is whole")
            continue
        for side in ("bids", "asks"):
            if not want[side] or [list(level) for level in book.levels(side)] != want[side]:
                found.add("wrong", f"the {side} of {symbol} are not the exchange's")


def audit_held(verdict, tally, meta, found):
    """A store that went back takes what it had acknowledged. What came later was held, and is on the lane."""
    told = [e for e in tally.events("degraded") if e["data"]["reason"] == "store_went_back"]
    gaps = [e for e in tally.events("gap") if e["data"]["reason"] == "store_went_back"]
    back = meta["went_back"]
    if not back:
        for event in told + gaps:
            found.add("wrong", f"the feed says that the store went back: {event['id']}")
        return {}
    if len(told) != 1 or len(gaps) != 1:
        found.add("wrong", f"the store went back once; the feed tells of it {len(told)} times, by {len(gaps)} gaps")
    for entry, reasons in verdict.gapped:
        if entry["sent_ns"] > back["killed_ns"] and reasons == {"store_went_back"}:
            found.add("lost", f"{entry} was sent to a feed that held it, and is only in a gap")
    return {"stores gone back": len(told)}


# --- decisions -----------------------------------------------------------------------------------------------


def decide(trades):
    return sma.signals(trades, FAST, SLOW)


def decisions(evidence, scenario, act, found):
    """(run, causing sequence, data) of the signals in stream order, and the resets; nothing else is in the stream."""
    made, resets = [], []
    for message, event in audit_ids(evidence.streams.get("SC_" + scenario, []), "SC_" + scenario, found):
        kind, where = message.subject.removeprefix(f"sc.{scenario}."), f"SC_{scenario}, sequence {message.seq}"
        if kind == RESET and scenario == "LIVE":
            resets.append(event["data"])
        elif kind != SIGNAL or event.get("scenarioid") != scenario or event["source"] != "urn:com.virtufin.strategy":
            found.add("never sent", f"{where}: '{message.subject}' of {event['source']} is no decision")
        else:
            cause = act.get(int(event["causationseq"]))
            if cause != event["causationid"]:
                found.add("wrong", f"{where}: caused by {event['causationid']}; ACT has {cause} there")
            made.append((event.get("runid", ""), int(event["causationseq"]), event["data"]))
    return made, resets


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


def audit_sessions(sessions, resets, meta, found):
    """LIVE's sessions: one from the first input on, as declared; a second one where the store went back."""
    back = meta["went_back"]
    names, starts = [name for name, _ in sessions], [start for _, start in sessions]
    wanted = ["1", "2"] if back else ["1"]
    if names != wanted:
        found.add("wrong", f"LIVE has sessions {names}; {wanted} were to be")
    if starts[:1] != [1]:
        found.add("wrong", f"LIVE began at {starts[:1]}; it was declared to begin at the first input")
    told = [(r["session"], r["start_seq"]) for r in resets]
    if told != sessions[1:]:
        found.add("wrong", f"LIVE's resets tell of {told}; its sessions are {sessions}")
    for start in starts[1:] if back else []:
        if not back["done"] < start <= back["last"] + 1:
            found.add("wrong", f"LIVE began anew at {start}; the copy was done up to {back['done']} and ended before {back['last']}")


def audit_live(evidence, act, trades, history, found):
    made, resets = decisions(evidence, "LIVE", act, found)
    sessions = state.sessions_of(history, "LIVE")
    audit_sessions(sessions, resets, evidence.meta, found)
    expected = []
    for i, (_, start) in enumerate(sessions):
        end = sessions[i + 1][1] if i + 1 < len(sessions) else float("inf")
        expected += decide([t for t in trades if start <= t[0] < end])
    compare("LIVE", [(seq, data) for _, seq, data in made], expected, True, found)
    return {"decisions": len(made), "sessions": len(sessions), "resets": len(resets)}


def audit_backtests(evidence, act, trades, runs, found):
    """Every run of the backtest: a prefix of what its range decides; the last one all of it."""
    last = evidence.meta["last_run"]["runid"]
    made, _ = decisions(evidence, "bt1", act, found)
    for runid in {run for run, _, _ in made} | {last}:
        if runid not in runs:
            found.add("wrong", f"bt1: run {runid} is in no record of a replay")
            continue
        first, end = runs[runid]
        expected = decide([t for t in trades if first <= t[0] <= end])
        compare(f"bt1, run {runid}", [(seq, data) for run, seq, data in made if run == runid], expected, runid == last, found)
    return {"backtest decisions": len(made)}


def audit_dead_letters(evidence, found):
    """No script makes anything that could not be told or decided."""
    if "DLQ" not in evidence.streams:
        found.add("lost", "there is no stream DLQ")
    for letter in evidence.streams.get("DLQ", []):
        reason = letter.headers.get("Dlq-Reason")
        found.add("wrong", f"a dead letter, '{letter.subject}', {len(letter.data)} bytes: {reason}")


# --- all of it -----------------------------------------------------------------------------------------------


def audit(evidence):
    """Counts, and what is not as it should be."""
    found = Findings()
    events = audit_ids(evidence.streams["ACT"], "ACT", found)
    counts = audit_lane(evidence, events, found)
    history = state.history(evidence, "workers")
    state.audit_progress(history, found)
    state.audit_scenarios(evidence, found)
    state.audit_connections(evidence, found)
    begin = max([start for _, start in state.sessions_of(history, "LIVE")], default=1)
    runs = state.audit_replays(state.history(evidence, "replays"), begin, evidence.meta, found)
    act = {message.seq: event["id"] for message, event in events}
    trades = sma.trades_of([message for message, _ in events])
    counts |= audit_live(evidence, act, trades, history, found)
    counts |= audit_backtests(evidence, act, trades, runs, found)
    audit_dead_letters(evidence, found)
    return counts, found


def read(folder):
    bus = Bus(json.loads((folder / "meta.json").read_text())["url"])
    try:
        evidence = gather(folder, bus)
    finally:
        bus.close()
    evidence.keep(folder / "evidence")
    return evidence


def main(argv):
    again, folder = argv[:-1] == ["--again"], Path(argv[-1])
    counts, found = audit(kept(folder / "evidence") if again else read(folder))
    print(json.dumps({"counts": counts, "found": {k: [len(v), *v[:SAID_MAX]] for k, v in found.items()}}))


if __name__ == "__main__":
    main(sys.argv[1:])
