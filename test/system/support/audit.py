"""Is everything that the venue sent on the lane once and in order, or inside a gap? Exact, by the order of sending.

Compares simexd's send log with what a Tally read from ACT; shares no code with feedd. No tolerance is needed: one
connection delivers in order, so what a window lacks was sent after the last frame recorded before it and before the
first one recorded after it, and the window begins no later than the receipt of that last frame.
Source: schemas/specs/feed-events.md, "Gaps".
"""

import calendar
import time
from bisect import bisect_left
from dataclasses import dataclass, field


def ids_of(entry):
    kline = entry["channel"].startswith("kline")
    return (entry["first_id"], entry["last_id"]) if kline else (entry["last_id"],)


def nanoseconds(text):
    """An instant of the lane since 1970."""
    clock, fraction = text.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(clock, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0"))


class Windows:
    """The gaps without channel and symbol, each with the frames recorded around it."""

    def __init__(self, tally, numbers):
        self.found = []
        for (name, _, event), position in zip(tally.feed, tally.positions):
            if name != "gap" or "channel" in event["data"]:
                continue
            last, first = max(numbers[:position], default=0), min(numbers[position:], default=float("inf"))
            received = tally.recorded[position - 1] if position else ""
            self.found.append((event["data"], last, first, received))

    def hold(self, entry, same_clock):
        """The reasons of those that hold it."""
        return {gap["reason"] for gap, last, first, received in self.found
                if last < entry["n"] < first and gap["received_after"] <= received
                and (not same_clock or entry["sent_ns"] <= nanoseconds(gap["received_before"]))}


def ranges_of(tally):
    ranges = {}
    for event in tally.events("gap"):
        gap = event["data"]
        if "channel" in gap and "first_missing" in gap:
            ranges.setdefault((gap["symbol"], gap["channel"]), []).append(
                (gap["first_missing"], gap["last_missing"], gap["reason"]))
    return ranges


@dataclass
class Verdict:
    """What is not as it should be, each as a sentence, and the frames that are in gaps only."""

    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    disordered: list = field(default_factory=list)
    unsent: list = field(default_factory=list)
    gapped: list = field(default_factory=list)  # (entry, reasons of the gaps that hold it)

    @property
    def in_gaps(self):
        return len(self.gapped)

    @property
    def faults(self):
        return self.lost + self.doubled + self.disordered + self.unsent


def check_order(tally, sent, verdict):
    """The numbers, in the send log, of the frames on the lane, in the lane's order."""
    numbers, of_channel, seen = [], {}, set()
    for key in tally.ids:
        if key not in sent:
            verdict.unsent.append(f"{key} was recorded, but never sent")
            continue
        n, channel = sent[key]["n"], key[:2]
        if key in seen:
            verdict.doubled.append(f"{key} is on the lane twice")
        elif n < of_channel.get(channel, 0):
            verdict.disordered.append(f"{key}, entry {n}, stands behind entry {of_channel[channel]}")
        of_channel[channel] = max(n, of_channel.get(channel, 0))
        seen.add(key)
        numbers.append(n)
    return numbers


def subscribed_from(log):
    """Of every channel that was ever queued to a connection, the number of its first such entry."""
    first = {}
    for entry in log:
        if entry["connections"] and entry["recorded_ns"]:
            first.setdefault((entry["symbol"], entry["channel"]), entry["n"])
    return first


def judge(log, tally, same_clock=True, up_to=None):
    """A Verdict on every frame of a subscribed channel between the first one recorded and the last one recorded on
    any channel, or entry `up_to` of the log.

    same_clock: feed and exchange went by one clock, so that windows can be held against instants of sending.
    """
    sent, verdict = {}, Verdict()
    for entry in log:
        if entry["recorded_ns"] and entry["fault"] != "duplicate":
            sent.setdefault((entry["symbol"], entry["channel"], ids_of(entry)), entry)
    numbers = check_order(tally, sent, verdict)
    subscribed = subscribed_from(log)
    if not numbers:
        verdict.lost += [f"{key} was subscribed, and nothing at all is recorded" for key in subscribed]
        return verdict
    recorded = sorted(numbers)
    windows, ranges = Windows(tally, numbers), ranges_of(tally)
    end = recorded[-1] if up_to is None else up_to + 1
    there = set(recorded)
    for (symbol, channel, _), entry in sent.items():
        n = entry["n"]
        if not max(recorded[0], subscribed.get((symbol, channel), end) - 1) < n < end or n in there:
            continue
        reasons = {why for a, b, why in ranges.get((symbol, channel), []) if a <= entry["first_id"] and entry["last_id"] <= b}
        reasons |= windows.hold(entry, same_clock)
        verdict.gapped.append((entry, reasons))
        if reasons:
            continue
        around = bisect_left(recorded, n)
        verdict.lost.append(f"{entry} is neither on the lane nor in a gap; recorded around it: "
                            f"{recorded[around - 1:around + 1]}; windows: {windows.found}")
    return verdict


def audit(exchange, tally, ended=False):
    """Asserts it of a lane that was read before; returns how many frames are in gaps only.

    ended: the venue has ended and the lane is quiet, so everything that was sent is held against it.
    """
    log = exchange.log()  # read after the lane: what is recorded must be in it
    verdict = judge(log, tally, up_to=log[-1]["n"] if ended else None)
    assert tally.ids and not verdict.faults, verdict.faults[0]
    return verdict.in_gaps
