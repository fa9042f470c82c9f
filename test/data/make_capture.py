#!/usr/bin/env python3
"""Writes a small seeded capture of a made-up Binance spot market, and what a reader of it must find.

    make_capture.py FOLDER [--seed N] [--frames N]

FOLDER/small.gz      clean: trades, bookTicker, depth with one REST snapshot
FOLDER/gap.gz        the same market with some depth frames left out and a second snapshot
FOLDER/expected.json one entry a file, named and shaped as golden.json of the real captures

The format is that of the hftbacktest collector: `<receive time ns> <raw frame>`, the snapshot as a bare
`{"lastUpdateId":...}` line. The expected values are computed here from the lines themselves, with Decimal
and dictionaries: nothing is shared with the adapter but the venue's documentation.
"""
import argparse
import gzip
import json
import os
import random
from decimal import Decimal

SYMBOL = "TESTUSDT"
START_NS = 1_700_000_000_000_000_000
TICK, LOT = Decimal("0.01"), Decimal("0.00001")


def price_text(ticks):
    return f"{ticks * TICK:.8f}"


def quantity_text(lots):
    return f"{lots * LOT:.8f}"


class Market:
    """A random market: integer ticks and lots, update ids without holes."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.now = START_NS
        self.update_id = 50_000_000_000
        self.trade_id = 3_000_000_000
        self.middle = 6_000_000
        self.bids, self.asks = {}, {}
        for i in range(1, 400):
            self.bids[self.middle - i * self.random.randint(1, 3)] = self.lots()
            self.asks[self.middle + i * self.random.randint(1, 3)] = self.lots()
        self.changed = {"b": {}, "a": {}}
        self.first_id = self.update_id + 1

    def lots(self):
        return self.random.randint(1, 5_000_000)

    def change(self):
        """One update of the book: a level set, changed or removed; sometimes one nobody knew."""
        self.update_id += 1
        side, book, sign = self.random.choice((("b", self.bids, -1), ("a", self.asks, 1)))
        distance = int(self.random.expovariate(1 / 40)) + 1
        ticks = self.middle + sign * distance
        lots = 0 if self.random.random() < 0.4 else self.lots()
        if lots:
            book[ticks] = lots
        else:
            book.pop(ticks, None)
        self.changed[side][ticks] = lots

    def depth(self):
        frame = {"e": "depthUpdate", "E": self.now // 1_000_000, "s": SYMBOL, "U": self.first_id,
                 "u": self.update_id,
                 "b": [[price_text(t), quantity_text(q)] for t, q in sorted(self.changed["b"].items(), reverse=True)],
                 "a": [[price_text(t), quantity_text(q)] for t, q in sorted(self.changed["a"].items())]}
        self.changed = {"b": {}, "a": {}}
        self.first_id = self.update_id + 1
        return frame

    def quote(self):
        bid, ask = max(self.bids), min(self.asks)
        return {"u": self.update_id, "s": SYMBOL, "b": price_text(bid), "B": quantity_text(self.bids[bid]),
                "a": price_text(ask), "A": quantity_text(self.asks[ask])}

    def trade(self):
        self.trade_id += 1
        seller = self.random.random() < 0.5
        ticks = max(self.bids) if seller else min(self.asks)
        ms = self.now // 1_000_000
        return {"e": "trade", "E": ms + 1, "s": SYMBOL, "t": self.trade_id, "p": price_text(ticks),
                "q": quantity_text(self.random.randint(1, 100_000)), "T": ms, "m": seller, "M": True}

    def snapshot(self):
        """The venue's REST answer: the book at this moment."""
        return {"lastUpdateId": self.update_id,
                "bids": [[price_text(t), quantity_text(q)] for t, q in sorted(self.bids.items(), reverse=True)],
                "asks": [[price_text(t), quantity_text(q)] for t, q in sorted(self.asks.items())]}


def play(seed, count):
    """Lines of the clean market: (receive ns, text, kind, frame)."""
    market = Market(seed)
    lines = []

    def put(kind, frame):
        channel = {"depth": "depth@100ms"}.get(kind, kind)
        body = frame if kind == "snapshot" else {"stream": f"{SYMBOL.lower()}@{channel}", "data": frame}
        lines.append([market.now, json.dumps(body, separators=(",", ":")), kind, frame])

    quoted = 0
    for step in range(count):
        market.now += market.random.randint(50_000, 2_000_000)
        for _ in range(market.random.randint(1, 6)):
            market.change()
        if step % 40 == 39:
            body = None
            if step == 39 + 40 * 3:  # its id lies inside the range of a frame that arrives before it
                body = market.snapshot()
                market.change()
            put("depth", market.depth())
            if body:
                put("snapshot", body)
        if market.update_id > quoted and market.random.random() < 0.6:
            quoted = market.update_id
            put("bookTicker", market.quote())
        if market.random.random() < 0.3:
            put("trade", market.trade())
    if market.update_id >= market.first_id:
        put("depth", market.depth())
    return lines


def with_gap(lines, seed):
    """Leaves out depth frames in the middle and puts a snapshot of the true book in later."""
    generator = random.Random(seed + 1)
    depth = [i for i, line in enumerate(lines) if line[2] == "depth"]
    first = len(depth) // 2
    lost = depth[first:first + generator.randint(2, 5)]
    insert_after = depth[first + len(lost) + 4]
    # its id is two depth frames before its place, as when the venue's answer takes a while
    last = depth[first + len(lost) + 2]
    book, _ = rebuild(lines[:last + 1])
    body = {"lastUpdateId": lines[last][3]["u"],
            "bids": [[p, q] for p, q in levels(book["b"], True)],
            "asks": [[p, q] for p, q in levels(book["a"], False)]}
    out = []
    for i, line in enumerate(lines):
        if i not in lost:
            out.append(line)
        if i == insert_after:
            out.append([line[0] + 1000, json.dumps(body, separators=(",", ":")), "snapshot", body])
    gap = {"dropped_first_U": lines[lost[0]][3]["U"], "dropped_count": len(lost),
           "dropped_last_u": lines[lost[-1]][3]["u"]}
    return out, gap


def levels(side, descending):
    return sorted(side.items(), key=lambda level: Decimal(level[0]), reverse=descending)


def rebuild(lines):
    """The venue's rule, frame by frame, and what it met."""
    book, waiting, last = {"b": {}, "a": {}}, [], None
    met = {"stale": 0, "applied": 0, "gaps": 0, "rows": 0, "bridges": None, "syncs": 0, "snapshot": None}

    def apply(frame):
        for side in "ba":
            for price, quantity in frame[side]:
                if Decimal(quantity) == 0:
                    book[side].pop(price, None)
                else:
                    book[side][price] = quantity
        met["applied"] += 1

    for _, _, kind, frame in lines:
        if kind == "depth":
            met["rows"] += len(frame["b"]) + len(frame["a"])
            if last is not None and frame["U"] != last + 1:
                met["gaps"] += 1
                last, waiting = None, []
            if last is None:
                waiting.append(frame)
            else:
                apply(frame)
                last = frame["u"]
        elif kind == "snapshot" and last is None:
            snapshot_id = frame["lastUpdateId"]
            fresh = [f for f in waiting if f["u"] > snapshot_id]
            met["stale"] += len(waiting) - len(fresh)
            bridges = bool(fresh) and fresh[0]["U"] <= snapshot_id + 1 <= fresh[0]["u"]
            if met["bridges"] is None:
                met["bridges"] = bridges
            assert bridges, "a capture that cannot be joined"
            book["b"], book["a"] = dict(map(tuple, frame["bids"])), dict(map(tuple, frame["asks"]))
            met["rows"] += len(frame["bids"]) + len(frame["asks"])
            met["snapshot"] = met["snapshot"] or (snapshot_id, [len(frame["bids"]), len(frame["asks"])])
            met["syncs"] += 1
            for f in fresh:
                apply(f)
                last = f["u"]
            waiting = []
    met["last"] = last
    return book, met


def plain(number):
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def expect(lines):
    book, met = rebuild(lines)
    trades = [frame for _, _, kind, frame in lines if kind == "trade"]
    quotes = [frame for _, _, kind, frame in lines if kind == "bookTicker"]
    count = {"depth@100ms": sum(1 for line in lines if line[2] == "depth"), "bookTicker": len(quotes),
             "trade": len(trades)}
    quantity = sum(Decimal(t["q"]) for t in trades)
    notional = sum(Decimal(t["p"]) * Decimal(t["q"]) for t in trades)
    return {
        "frames": len(lines), "first_recv": lines[0][0], "last_recv": lines[-1][0],
        "symbols": {SYMBOL: {
            "channels": count,
            "snapshot_lastUpdateId": met["snapshot"][0], "snapshot_levels": met["snapshot"][1],
            "depth_stale_dropped": met["stale"], "depth_applied": met["applied"],
            "first_event_bridges": met["bridges"], "depth_gaps": met["gaps"], "syncs": met["syncs"],
            "final_u": met["last"], "depth_level_rows_incl_snapshot": met["rows"],
            "final_book": {"bid_levels": len(book["b"]), "ask_levels": len(book["a"]),
                           "bids": [list(l) for l in levels(book["b"], True)[:5]],
                           "asks": [list(l) for l in levels(book["a"], False)[:5]]},
            "trades": {"count": len(trades), "sum_qty": plain(quantity), "sum_notional": plain(notional),
                       "first_id": trades[0]["t"], "last_id": trades[-1]["t"],
                       "sell_aggressor": sum(1 for t in trades if t["m"]),
                       "high": plain(max(Decimal(t["p"]) for t in trades)),
                       "low": plain(min(Decimal(t["p"]) for t in trades))},
            "last_bookTicker": {k: quotes[-1][k] for k in ("u", "b", "B", "a", "A")},
        }},
    }


def write(path, lines):
    with gzip.GzipFile(path, "wb", mtime=0) as out:  # the same bytes every time
        for received, text, _, _ in lines:
            out.write(f"{received} {text}\n".encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--frames", type=int, default=4000, help="steps of the market; about one line each")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    lines = play(options.seed, options.frames)
    broken, gap = with_gap(lines, options.seed)
    expected = {"small.gz": expect(lines), "gap.gz": dict(expect(broken), gaps=[gap])}
    write(os.path.join(options.folder, "small.gz"), lines)
    write(os.path.join(options.folder, "gap.gz"), broken)
    with open(os.path.join(options.folder, "expected.json"), "w") as out:
        json.dump(expected, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
