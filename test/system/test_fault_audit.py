"""The audit of the fault rounds can fail: each tampering with what a real round left is found, and the round as it was is not.

Source: schemas/specs/faults.md, "Audit".
"""

import json
import os
import pickle
import subprocess
import sys
from collections import Counter

import msgpack
import pytest
from support.feed import Schemas
from support.places import PATIENCE, TREE

FAULTS = TREE / "test" / "faults"
sys.path.insert(0, str(FAULTS))
import soak  # noqa: E402
from auditor import Findings, audit, audit_gaps  # noqa: E402
from evidence import Record, kept  # noqa: E402

LANE, SIGNAL = "act.exchange.binance.", "sc.LIVE.strategy.signal.emitted.sma"


def play(folder, seed, plot):
    """One round of seconds; what the auditor read of it."""
    argv = [sys.executable, FAULTS / "session.py", "--seed", seed, "--folder", folder, "--plot", plot]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=200 * PATIENCE,
                          env={**os.environ, "TL_PATIENCE": str(max(3, PATIENCE))})
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ok"], f"{result['found']}\n{done.stderr}"
    return pickle.dumps(kept(folder / "evidence"))


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Nearly all of an audit's time is the schemas': of each kind of event a few are held to its own."""
    monkeypatch.setattr(Schemas, "EACH", 5)


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Of a feed that died twice in a snapshot: three lives, gaps, a replay."""
    return play(tmp_path_factory.mktemp("round") / "one", 40, "mid_snapshot")


@pytest.fixture(scope="module")
def gone_back(tmp_path_factory):
    """Of a broker that came back on an older copy of its store."""
    return play(tmp_path_factory.mktemp("round") / "one", 15, "older_copy")


class Hand:
    """Verbs of whoever tampers with the evidence."""

    def __init__(self, evidence):
        self.evidence, self.streams, self.meta = evidence, evidence.streams, evidence.meta

    def places(self, stream, what):
        found = [i for i, r in enumerate(self.streams[stream]) if what in r.subject]
        assert found, f"nothing on '{what}' in {stream}"
        return found

    def remove(self, stream, what, which=-1):
        del self.streams[stream][self.places(stream, what)[which]]

    def event(self, stream, what, which=-1):
        return msgpack.unpackb(self.streams[stream][self.places(stream, what)[which]].data)

    def change(self, stream, what, which=-1, **fields):
        """Attributes of an event, or fields of its data."""
        at = self.places(stream, what)[which]
        event = msgpack.unpackb(self.streams[stream][at].data)
        for name, value in fields.items():
            part = event if name in event and name != "data" else event["data"]
            assert part[name] != value, name
            part[name] = value
        self.streams[stream][at].data = msgpack.packb(event)

    def add(self, stream, subject, event, headers=None, at=None):
        """Behind what is there, or before record `at`; numbers do not matter but for their order."""
        records = self.streams[stream]
        at = len(records) if at is None else at
        seq = (records[at - 1].seq if at else 0) + 0.5
        data = event if isinstance(event, bytes) else msgpack.packb(event)
        records.insert(at, Record(seq, subject, data, headers or {}))

    def again(self, stream, what, which=-1, **fields):
        """The same message once more, right behind itself."""
        at = self.places(stream, what)[which]
        self.add(stream, self.streams[stream][at].subject, {**self.event(stream, what, which), **fields}, at=at + 1)

    def swap(self, stream, what, first=-2, second=-1):
        """The bodies of two messages of one subject."""
        a, b = (self.streams[stream][self.places(stream, what)[i]] for i in (first, second))
        a.data, b.data = b.data, a.data

    def rewrite(self, bucket, key, which=-1, **fields):
        records = self.streams["KV_" + bucket]
        record = [r for r in records if r.subject == f"$KV.{bucket}.{key}"][which]
        record.data = json.dumps({**json.loads(record.data), **fields}).encode()

    def write(self, bucket, key, **fields):
        """One revision more, of the last one but for these fields."""
        records = self.streams["KV_" + bucket]
        last = [r for r in records if r.subject == f"$KV.{bucket}.{key}"]
        value = json.loads(last[-1].data) if last else {}
        self.add("KV_" + bucket, f"$KV.{bucket}.{key}", json.dumps({**value, **fields}).encode())

    def level(self, side):
        """Of the last update of a book, with the quantity of its last level on that side changed."""
        for at in reversed(self.places("ACT", "orderbook.update.BTCUSDT")):
            event = msgpack.unpackb(self.streams["ACT"][at].data)
            best = {price for price, _ in self.meta["books"]["BTCUSDT"][side]}
            for row in event["data"][side + "_delta"]:
                if row[0] in best:
                    row[1] = "77.00000000"
                    self.streams["ACT"][at].data = msgpack.packb(event)
                    return
        raise AssertionError("no update of a level that is still there")


def whole_stream(stream, subject):
    def tamper(hand):
        hand.streams[stream] = [r for r in hand.streams[stream] if subject not in r.subject]
    return tamper


def of_all(bucket, key, **fields):
    def tamper(hand):
        for which, record in enumerate([r for r in hand.streams["KV_" + bucket] if r.subject == f"$KV.{bucket}.{key}"]):
            hand.rewrite(bucket, key, which, **fields)
    return tamper


def back_to(bucket, key, which):
    """The record once more as it stood before."""
    def tamper(hand):
        records = [r for r in hand.streams["KV_" + bucket] if r.subject == f"$KV.{bucket}.{key}"]
        hand.add("KV_" + bucket, f"$KV.{bucket}.{key}", records[which].data)
    return tamper


DEEP = "orderbook.snapshot.BTCUSDT"
TAMPERINGS = {  # what is done -> how it is done, the kind that it has to be found as
    # the lane
    "a trade is gone": (lambda h: h.remove("ACT", "trade.tape.BTC"), "lost"),
    "a quote is gone": (lambda h: h.remove("ACT", "quote.update.ETH", -2), "lost"),
    "a change of a book is gone": (lambda h: h.remove("ACT", "orderbook.update.ETH"), "lost"),
    "a candle is gone": (lambda h: h.remove("ACT", "ohlcv.candle", -2), "lost"),
    "the first of a channel's frames is gone": (lambda h: h.remove("ACT", "quote.update.BTC", 1), "lost"),
    "a frame stands twice": (lambda h: h.again("ACT", "trade.tape.BTC"), "doubled"),
    "a frame that was never sent": (lambda h: h.again("ACT", "quote.update.BTC", id="bookTicker.BTCUSDT.99"), "never sent"),
    "two frames have changed places": (lambda h: h.swap("ACT", "trade.tape.ETH"), "out of order"),
    "a time of receipt goes back": (lambda h: h.change("ACT", "quote.update.BTC", recordedtime="2020-01-01T00:00:00.000000000Z"),
                                    "out of order"),
    "bids are falsified": (lambda h: h.level("bids"), "wrong"),
    "asks are falsified": (lambda h: h.level("asks"), "wrong"),
    "a book is not there": (whole_stream("ACT", "orderbook.snapshot.ETH"), "lost"),
    "the exchange's asks are not there": (lambda h: h.meta["books"]["ETHUSDT"]["asks"].clear(), "wrong"),
    "a snapshot is gone": (lambda h: h.remove("ACT", DEEP, -2), "lost"),
    "a part of a snapshot is gone": (lambda h: h.change("ACT", DEEP, -2, part=2, parts=2), "out of order"),
    "a gap is gone": (lambda h: h.remove("ACT", LANE + "feed.gap", 0), "lost"),
    "a gap ends too early": (lambda h: h.change("ACT", LANE + "feed.gap", 0, received_before="2020-01-01T00:00:00.000000000Z"),
                             "lost"),
    "the feed's word of a connection is gone": (lambda h: h.remove("ACT", "feed.connected"), "lost"),
    "the feed's own words have changed places": (lambda h: h.swap("ACT", "feed.connected", 0, 1), "out of order"),
    "somebody else's message": (lambda h: h.add("ACT", "act.exchange.other.trade.tape.X", h.event("ACT", "trade.tape.BTC")
                                                | {"id": "x"}), "never sent"),
    "a message that is no event": (lambda h: h.add("ACT", LANE + "trade.tape.BTCUSDT", b"\xc1"), "never sent"),
    "the feed says that the store went back": (lambda h: h.change("ACT", LANE + "feed.gap", 0, reason="store_went_back"), "wrong"),
    "an event is not as described": (lambda h: h.change("ACT", LANE + "feed.gap", 0, reason="weather"), "wrong"),
    "the exchange sent more": (lambda h: h.evidence.sent.append({**h.evidence.sent[-1], "n": h.evidence.sent[-1]["n"] + 1,
                                                                 "channel": "trade", "last_id": 1, "first_id": 1, "connections": 1,
                                                                 "recorded_ns": 1}), "lost"),
    "there were fewer deaths than gaps": (lambda h: h.meta["feeds"].update(begun=1), "wrong"),
    # decisions
    "a decision is gone": (lambda h: h.remove("SC_LIVE", SIGNAL, 3), "lost"),
    "the last decision is gone": (lambda h: h.remove("SC_LIVE", SIGNAL), "lost"),
    "a decision stands twice": (lambda h: h.again("SC_LIVE", SIGNAL), "doubled"),
    "a decision was made twice": (lambda h: h.again("SC_LIVE", SIGNAL, id="0123456789abcdef0123456789abcdef"), "doubled"),
    "a decision is falsified": (lambda h: h.change("SC_LIVE", SIGNAL, price="1.00000000"), "wrong"),
    "two decisions have changed places": (lambda h: h.swap("SC_LIVE", SIGNAL), "out of order"),
    "a decision has another cause": (lambda h: h.change("SC_LIVE", SIGNAL, causationid="trade.BTCUSDT.1"), "wrong"),
    "junk among the decisions": (lambda h: h.add("SC_LIVE", "sc.LIVE.control.worker.nonsense.sma",
                                                 h.event("SC_LIVE", SIGNAL) | {"id": "junk"}), "never sent"),
    "no event among the decisions": (lambda h: h.add("SC_LIVE", "sc.LIVE.control.scenario.x", b"junk"), "never sent"),
    "a worker that was reset": (lambda h: h.add("SC_LIVE", "sc.LIVE.control.worker.state_reset.sma", h.event("SC_LIVE", SIGNAL) | {
        "id": "r", "data": {"session": "2", "start_seq": 9}}), "wrong"),
    "a decision of the backtest is gone": (lambda h: h.remove("SC_bt1", "strategy.signal", 4), "lost"),
    "a run that nobody began": (lambda h: h.change("SC_bt1", "strategy.signal", runid="00000000-0000-0000-0000-000000000000"), "wrong"),
    "the backtest's stream is not there": (lambda h: h.streams.pop("SC_bt1"), "lost"),
    # state
    "a position goes back": (back_to("workers", "sc.LIVE.sma", 1), "backwards"),
    "a saved state goes back": (back_to("workers", "sc.LIVE.sma.state", 0), "backwards"),
    "a session more": (lambda h: h.write("workers", "sc.LIVE.sma", session="2", start_seq=9), "wrong"),
    "a session that was left returns": (lambda h: (h.write("workers", "sc.LIVE.sma", session="2"), h.write(
        "workers", "sc.LIVE.sma", session="1")), "backwards"),
    "the session began later": (of_all("workers", "sc.LIVE.sma", start_seq=200), "wrong"),
    "the replay's range is shorter": (of_all("replays", "mon", last_seq=300, position=300), "wrong"),
    "the replay's range changes": (lambda h: h.rewrite("replays", "mon", last_seq=300), "wrong"),
    "a replay goes back": (lambda h: h.write("replays", "mon", position=5), "backwards"),
    "a replay that ended goes on": (lambda h: h.write("replays", "mon", state="running"), "backwards"),
    "a replay that did not end": (of_all("replays", "mon", state="running"), "lost"),
    "LIVE's record is overwritten": (lambda h: h.write("scenarios", "LIVE"), "backwards"),
    "LIVE's record is another": (of_all("scenarios", "LIVE", status="paused"), "wrong"),
    "LIVE's record is deleted": (lambda h: h.add("KV_scenarios", "$KV.scenarios.LIVE", b"", {"KV-Operation": "DEL"}), "wrong"),
    "a scenario more": (lambda h: h.write("scenarios", "bt2", name="bt2"), "wrong"),
    "a scenario is gone": (whole_stream("KV_scenarios", ".bt1"), "lost"),
    "the connection did not end": (lambda h: h.write("connections", "feed-binance", status="connected"), "lost"),
    "the connection is another": (lambda h: h.write("connections", "feed-binance", url="ws://127.0.0.1:1"), "wrong"),
    "a connection more": (lambda h: h.write("connections", "feed-other", status="disconnected"), "wrong"),
    "a dead letter": (lambda h: h.add("DLQ", "dlq.ACT.feedd", b"{}", {"Dlq-Reason": "junk"}), "wrong"),
    "the dead letters' stream is not there": (lambda h: h.streams.pop("DLQ"), "lost"),
}


def test_nothing_is_found_in_a_round_as_it_was_left(left):
    counts, found = audit(pickle.loads(left))
    assert not found
    assert counts["gaps"] and counts["frames in gaps (restart)"] and counts["decisions"] > 5


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_was_tampered_with_is_found(left, what):
    evidence = pickle.loads(left)
    tamper, kind = TAMPERINGS[what]
    tamper(Hand(evidence))
    _, found = audit(evidence)
    assert kind in found, found


class Told:
    """What a feed said: (name, reason) each."""

    def __init__(self, *said):
        self.said = said

    def events(self, name):
        return [{"data": {"reason": reason}} for what, reason in self.said if what == name]


QUIET = {"begun": 1, "two": False, "disturbed": False}
END = ("disconnected", "stopped")
GAPS = {  # what the feed said, what was done to it -> whether something is found
    "nothing": ([], {}, False),
    "a restart without one": ([("gap", "restart")], {}, True),
    "a restart": ([("gap", "restart")], {"begun": 2}, False),
    "more restarts than there were": ([("gap", "restart")] * 2, {"begun": 2}, True),
    "of two feeds one takes over again and again": ([("gap", "restart")] * 2, {"begun": 2, "two": True}, False),
    "a venue that closes by itself": ([("disconnected", "closed"), ("gap", "disconnected")], {}, True),
    "a venue that was killed": ([("disconnected", "closed"), ("gap", "disconnected")], {"disturbed": True}, False),
    "a machine that was busy": ([("disconnected", "silent"), ("gap", "disconnected")], {}, False),
    "a gap, and no connection ended": ([("gap", "disconnected")], {"disturbed": True}, True),
    "two gaps of one end": ([("disconnected", "lost")] + [("gap", "disconnected")] * 2, {"disturbed": True}, True),
}


@pytest.mark.parametrize("what", GAPS)
def test_a_gap_has_a_reason_in_what_was_done(what):
    said, done, is_found = GAPS[what]
    found = Findings()
    verdict = type("Verdict", (), {"gapped": []})
    audit_gaps(verdict, Told(*said, END), {"feeds": QUIET | done, "went_back": None}, found)
    assert bool(found) == is_found, found


RESET, TOLD = "sc.LIVE.control.worker.state_reset.sma", "feed.degraded"
OF_A_STORE_THAT_WENT_BACK = {
    "the gap is told by nobody": (lambda h: h.remove("ACT", LANE + "feed.gap"), "lost"),
    "the gap has another reason": (lambda h: h.change("ACT", LANE + "feed.gap", reason="restart"), "wrong"),
    "the feed says nothing": (lambda h: h.change("ACT", TOLD, reason="refused"), "wrong"),
    "what was held is not sent again": (lambda h: give_up_held(h), "lost"),
    "the runtime says nothing": (lambda h: h.remove("SC_LIVE", RESET), "wrong"),
    "the runtime says it wrongly": (lambda h: h.change("SC_LIVE", RESET, start_seq=1), "wrong"),
    "there is no new session": (lambda h: (h.remove("SC_LIVE", RESET), of_all("workers", "sc.LIVE.sma", session="1")(h)), "wrong"),
    "the new session begins behind the copy": (lambda h: h.meta["went_back"].update(last=1), "wrong"),
    "the new session decides again": (lambda h: h.meta["went_back"].update(done=10**6), "wrong"),
    "the feed's own words are gone, later": (lambda h: h.remove("ACT", "orderbook.snapshot.BTC"), "lost"),
}


def give_up_held(hand):
    """As a feed does that begins anew: the gap lasts until a second after the broker came back, and what it held is not there."""
    records = hand.streams["ACT"]
    at = hand.places("ACT", LANE + "feed.gap")[0]
    frames = [r for r in records[at:] if not msgpack.unpackb(r.data)["id"].split(".")[0].isdigit()]
    first_kept = msgpack.unpackb(frames[50].data)
    gone = {r.seq for r in frames[:50]}
    hand.change("ACT", LANE + "feed.gap", received_before=first_kept["recordedtime"])
    hand.streams["ACT"] = [r for r in records if r.seq not in gone]


def test_nothing_is_found_where_the_store_went_back(gone_back):
    counts, found = audit(pickle.loads(gone_back))
    assert not found
    assert (counts["stores gone back"], counts["resets"], counts["sessions"]) == (1, 1, 2)


@pytest.mark.parametrize("what", OF_A_STORE_THAT_WENT_BACK)
def test_what_was_tampered_with_is_found_where_the_store_went_back(gone_back, what):
    evidence = pickle.loads(gone_back)
    tamper, kind = OF_A_STORE_THAT_WENT_BACK[what]
    tamper(Hand(evidence))
    _, found = audit(evidence)
    assert kind in found, found


def test_a_soak_in_which_too_little_happened_fails():
    plots, faults = {"full_window": 40, "store_full": 960}, {p: 20 for points in soak.POINTS.values() for p in points}
    reached = {"full windows": 1, "full stores": 1}
    assert soak.shortcomings(Counter(faults | reached), Counter(plots)) == []
    [short] = soak.shortcomings(Counter(faults | reached | {"feed.gap": 19}), Counter(plots))
    assert "19 kills behind a gap" in short
    [short] = soak.shortcomings(Counter(faults | {"full stores": 1}), Counter(plots))
    assert "full windows: none" in short
    few = Counter({"full_window": 3, "kills": 996})
    assert soak.shortcomings(Counter({"full windows": 1}), few) == [], "of fewer rounds nothing is asked"
    [short] = soak.shortcomings(Counter(), few)
    assert "full_window was played 3 times" in short
