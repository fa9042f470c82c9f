"""A simulated exchange and a feed on a stack, and a reader of the lane that shares no code with either.

Tally follows schemas/specs/market-events.md, "Reading a book", with dictionaries and Decimal.
"""

import gzip
import json
import time
import urllib.error
import urllib.request
from decimal import Decimal

import jsonschema
import msgpack

from .places import PATIENCE, TREE

LANE = "act.exchange.binance."


class Exchange:
    """simexd: its admin endpoints."""

    def __init__(self, stack, *args):
        self.daemon = stack.start("simexd", "--listen", "127.0.0.1:0", *args)
        self.port = int(self.daemon.wait_line(r"listening venue=127\.0\.0\.1:(\d+)")[1])

    def request(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30 * PATIENCE) as reply:
            return reply.read().decode()

    def status(self):
        return json.loads(self.request("GET", "/sim/v1/status"))

    def book(self, symbol, update_id=None):
        at = f"&update_id={update_id}" if update_id else ""
        return json.loads(self.request("GET", f"/sim/v1/book?symbol={symbol}{at}"))

    def fault(self, kind, **fields):
        return json.loads(self.request("POST", "/sim/v1/fault", {"kind": kind, **fields}))

    def log(self):
        entries, first = [], 1
        while True:
            lines = self.request("GET", f"/sim/v1/log?from={first}&limit=100000").splitlines()
            entries += map(json.loads, lines)
            if len(lines) < 100000:
                return entries
            first = entries[-1]["n"] + 1

    def wait_state(self, state, timeout=60):
        end = time.monotonic() + timeout * PATIENCE
        while (now := self.status())["state"] != state:
            assert time.monotonic() < end, f"simexd is not {state}: {now}"
            time.sleep(0.05)


# A test that kills a feed waits for its place that long.
SHORT_LEASE = ("--lease-span", f"{int(2000 * PATIENCE)}ms")


def start_feed(stack, exchange, symbols, channels, *args, ready=True, **options):
    url = f"127.0.0.1:{exchange.port}"
    return stack.start("feedd", "--ws-url", f"ws://{url}", "--rest-url", f"http://{url}",
                       "--symbols", ",".join(symbols), "--channels", ",".join(channels),
                       "--snapshot-every", "1h", *args, ready=ready, **options)


class Schemas:
    """The JSON Schemas of the tree; every kind of event is held to its own, the first hundred of a kind."""

    EACH = 100

    def __init__(self):
        self._validators, self._checked = {}, {}

    def check(self, kind, data):
        if kind not in self._validators:
            schema = json.loads((TREE / "schemas" / "events" / f"{kind}.schema.json").read_text())
            schema["additionalProperties"] = False  # what is published is described
            self._validators[kind] = jsonschema.Draft202012Validator(schema)
        self._checked[kind] = self._checked.get(kind, 0) + 1
        if self._checked[kind] <= self.EACH:
            self._validators[kind].validate(data)


def is_zero(quantity):
    return not quantity.strip("0.")


class Book:
    """One symbol: updates and snapshots in, by the reader's rule."""

    def __init__(self):
        self.sides = {"bids": {}, "asks": {}}
        self.waiting, self.parts = [], []
        self.last = None  # None: not whole
        self.snapshot = None
        self.stale = self.applied = self.rows = self.holes = 0
        self.bridges = None

    def update(self, data):
        self.rows += len(data["bids_delta"]) + len(data["asks_delta"])
        if self.last is not None and data["first_update_id"] != self.last + 1:
            self.holes += 1
            self.last, self.waiting = None, []
        if self.last is None:
            self.waiting.append(data)
        else:
            self._apply(data)

    def _apply(self, data):
        for side in self.sides:
            for price, quantity in data[side + "_delta"]:
                if is_zero(quantity):
                    self.sides[side].pop(price, None)
                else:
                    self.sides[side][price] = quantity
        self.applied += 1
        self.last = data["last_update_id"]

    def part(self, data):
        if data["part"] == 1:
            self.parts = []  # a writer that was killed leaves half a snapshot
        assert data["part"] == len(self.parts) + 1, "parts in order"
        self.parts.append(data)
        if data["part"] < data["parts"]:
            return
        parts, self.parts = self.parts, []
        assert len({p["last_update_id"] for p in parts}) == 1
        if self.last is None:
            self._load(parts)

    def _load(self, parts):
        snapshot_id = parts[0]["last_update_id"]
        self.sides = {side: {price: quantity for p in parts for price, quantity in p[side]} for side in self.sides}
        levels = [len(self.sides["bids"]), len(self.sides["asks"])]
        self.rows += sum(levels)
        fresh = [u for u in self.waiting if u["last_update_id"] > snapshot_id]
        self.stale += len(self.waiting) - len(fresh)
        if self.snapshot is None:
            self.snapshot = (snapshot_id, levels)
            self.bridges = bool(fresh) and fresh[0]["first_update_id"] <= snapshot_id + 1
        self.waiting, self.last = [], snapshot_id
        for update in fresh:
            self._apply(update)

    def levels(self, side):
        return sorted(self.sides[side].items(), key=lambda level: Decimal(level[0]), reverse=side == "bids")


class Tally:
    """Everything on the lane of one venue."""

    def __init__(self):
        self.books, self.trades, self.quotes, self.counts, self.feed = {}, {}, {}, {}, []
        self.ids, self.recorded = [], []  # of every frame, in the lane's order: its venue ids, its recordedtime
        self.positions = []  # of every feed event: how many frames stand before it
        self.last_recorded = ""
        self.schemas = Schemas()

    def take(self, message):
        event = msgpack.unpackb(message.data, raw=False)
        self.take_event(message.subject, event)

    def take_event(self, subject, event):
        tokens = subject.removeprefix(LANE).split(".")
        entity, name, data = tokens[0], tokens[1], event["data"]
        assert event["type"] == f"com.virtufin.exchange.binance.{entity}.{name}"
        assert event["recordedtime"] >= self.last_recorded, "recordedtime never goes back"
        self.last_recorded = event["recordedtime"]
        self.schemas.check(f"{entity}.{name}", data)
        if entity == "feed":
            self.positions.append(len(self.ids))
            self.feed.append((name, tokens[2] if len(tokens) > 2 else None, event))
            return
        symbol = data["symbol"]
        book = self.books.setdefault(symbol, Book())
        if name == "snapshot":
            book.part(data)
            return
        if entity == "instrument":
            return
        channel, id_symbol, *venue_id = event["id"].split(".")
        self.ids.append((symbol, channel, tuple(map(int, venue_id))))
        self.recorded.append(event["recordedtime"])
        assert id_symbol == symbol
        counts = self.counts.setdefault(symbol, {})
        counts[channel] = counts.get(channel, 0) + 1
        if entity == "orderbook":
            book.update(data)
        elif entity == "trade":
            self.trades.setdefault((symbol, channel), []).append(data)
        elif entity == "quote":
            self.quotes[symbol] = data

    def events(self, name, symbol=None):
        return [event for what, of, event in self.feed if what == name and (symbol is None or of == symbol)]

    def expect(self, symbol, want):
        """Compares with one symbol's entry of golden.json or of the seeded capture's expected.json."""
        book, counts = self.books[symbol], self.counts[symbol]
        assert counts == {k.split("@")[0]: v for k, v in want["channels"].items()}
        assert book.snapshot == (want["snapshot_lastUpdateId"], want["snapshot_levels"])
        assert book.bridges == want["first_event_bridges"]
        assert (book.stale, book.applied) == (want["depth_stale_dropped"], want["depth_applied"])
        assert book.holes == want["depth_gaps"]
        assert book.last == want["final_u"]
        assert book.rows == want["depth_level_rows_incl_snapshot"]
        self.expect_book(symbol, want["final_book"])
        for channel, key in (("trade", "trades"), ("aggTrade", "aggTrades")):
            if key in want:
                self.expect_trades(self.trades[symbol, channel], want[key])
        if "last_bookTicker" in want:
            names = {"u": "update_id", "b": "bid_price", "B": "bid_qty", "a": "ask_price", "A": "ask_qty"}
            assert {k: self.quotes[symbol][n] for k, n in names.items()} == want["last_bookTicker"]

    def expect_book(self, symbol, want):
        book = self.books[symbol]
        for side, count in (("bids", "bid_levels"), ("asks", "ask_levels")):
            levels = [list(level) for level in book.levels(side)]
            assert levels[:len(want[side])] == want[side], side
            assert len(levels) == want.get(count, len(levels))

    @staticmethod
    def expect_trades(trades, want):
        quantity = sum(Decimal(t["qty"]) for t in trades)
        notional = sum(Decimal(t["price"]) * Decimal(t["qty"]) for t in trades)
        assert len(trades) == want["count"]
        assert (quantity, notional) == (Decimal(want["sum_qty"]), Decimal(want["sum_notional"]))
        assert (trades[0]["trade_id"], trades[-1]["trade_id"]) == (want["first_id"], want["last_id"])
        assert sum(t["side"] == "sell" for t in trades) == want["sell_aggressor"]
        assert max(Decimal(t["price"]) for t in trades) == Decimal(want["high"])
        assert min(Decimal(t["price"]) for t in trades) == Decimal(want["low"])


def read_lane(bus, cache=None):
    """Tally of all that ACT holds."""
    tally = Tally()
    for message in bus.read("ACT", LANE + ">"):
        tally.take(message)
    return tally


def wait_quiet(bus, seconds=0.5, timeout=60):
    """Waits until ACT has stood still for some time."""
    end = time.monotonic() + timeout * PATIENCE
    last, since = -1, time.monotonic()
    while time.monotonic() - since < seconds * PATIENCE:
        now = bus.stream_state("ACT").last_seq
        if now != last:
            last, since = now, time.monotonic()
        assert time.monotonic() < end, "ACT does not come to rest"
        time.sleep(0.05)


def frames_of(path):
    """Data frames of a capture."""
    with gzip.open(path, "rt") as lines:
        return sum('"lastUpdateId"' not in line[:60] for line in lines)
