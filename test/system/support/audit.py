"""Is everything that the venue sent on the lane once and in order, or inside a gap? Exact, by the order of sending.

Compares simexd's send log with what a Tally read from ACT; shares no code with feedd. No tolerance is needed: one
connection delivers in order, so what a window lacks was sent after the last frame recorded before it and before the
first one recorded after it, and the window begins no later than the receipt of that last frame.
Source: schemas/specs/feed-events.md, "Gaps".
"""

from bisect import bisect_left


def ids_of(entry):
    kline = entry["channel"].startswith("kline")
    return (entry["first_id"], entry["last_id"]) if kline else (entry["last_id"],)


def nanoseconds(text):
    """An instant of the lane, as ns of its day: windows of a test are short."""
    clock, fraction = text[11:].rstrip("Z").split(".")
    hours, minutes, seconds = map(int, clock.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * 10**9 + int(fraction.ljust(9, "0"))


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

    def hold(self, entry):
        for gap, last, first, received in self.found:
            sent = entry["sent_ns"] % (24 * 3600 * 10**9)
            if last < entry["n"] < first and gap["received_after"] <= received \
                    and sent <= nanoseconds(gap["received_before"]):
                return True
        return False


def ranges_of(tally):
    ranges = {}
    for event in tally.events("gap"):
        gap = event["data"]
        if "channel" in gap and "first_missing" in gap:
            ranges.setdefault((gap["symbol"], gap["channel"]), []).append((gap["first_missing"], gap["last_missing"]))
    return ranges


def audit(log, tally):
    """Asserts it for every frame between the first and the last one recorded; returns how many are in gaps only."""
    sent = {}
    for entry in log:
        if entry["recorded_ns"] and entry["fault"] != "duplicate":
            sent.setdefault((entry["symbol"], entry["channel"], ids_of(entry)), entry)
    numbers = [sent[key]["n"] for key in tally.ids]  # a KeyError: recorded, but never sent
    of_channel = {}
    for (symbol, channel, _), n in zip(tally.ids, numbers):
        assert n > of_channel.get((symbol, channel), 0), f"{symbol} {channel}: once and in order, entry {n}"
        of_channel[symbol, channel] = n
    recorded, channels = sorted(numbers), {key[:2] for key in tally.ids}
    windows, ranges, missing = Windows(tally, numbers), ranges_of(tally), 0
    for (symbol, channel, _), entry in sent.items():
        n = entry["n"]
        if (symbol, channel) not in channels or not recorded[0] < n < recorded[-1] or \
                recorded[bisect_left(recorded, n)] == n:
            continue
        missing += 1
        ranged = any(a <= entry["first_id"] and entry["last_id"] <= b for a, b in ranges.get((symbol, channel), []))
        around = bisect_left(recorded, n)
        assert ranged or windows.hold(entry), \
            f"{entry} is neither on the lane nor in a gap; recorded around it: {recorded[around - 1]}, " \
            f"{recorded[around]}; windows: {windows.found}"
    return missing
