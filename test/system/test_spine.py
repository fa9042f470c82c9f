"""From venue frames to decisions, live and from the record: the same inputs, the same decisions.

Expected signals come from support/sma.py, which shares no code with the worker.
"""

import gzip
import random
import time
from decimal import Decimal

import msgpack
import pytest

from support import sma, spine
from support.broker import Broker
from support.places import UNDER
from support.stack import Stack

SPOT_TRADES = 9757
COPIES = 20


@pytest.fixture
def spot(captures):
    return captures / "binance_spot" / "btcusdt_20240808.gz"


@pytest.fixture
def spot_trades(spot):
    """The trade frames of the spot capture, each as it was recorded."""
    with gzip.open(spot, "rt") as lines:
        return [line for line in lines if '"e":"trade"' in line]


def play(stack, capture, *, channels=("trade",), speed="max"):
    """Starts everything on the capture and returns (workhostd, venue)."""
    stack.start("stored")
    host = spine.start_workers(stack)
    venue = spine.start_venue(stack, "--capture", capture, "--speed", speed)
    spine.start_feed(stack, venue, ["BTCUSDT"], channels)
    return host, venue


def all_decided(bus, venue, trades: int):
    """Waits until every trade is recorded and LIVE has finished the last; returns the trades."""
    venue.wait_ended()
    recorded = sma.trades_of(spine.wait_trades(bus, trades))
    assert len(recorded) == trades
    spine.wait_done(bus, "LIVE", recorded[-1][0])
    return recorded


def equal_events(stack, a: str, b: str) -> int:
    """How many decisions `lane diff` compared and found equal."""
    return spine.first_number(r"^equal: (\d+) events", stack.lane("diff", a, b).stdout)


def test_sma_decides_the_same_live_and_from_the_record(stack, bus, spot):
    host, venue = play(stack, spot, channels=("trade", "bookTicker", "depth@100ms"))
    expected = sma.signals(all_decided(bus, venue, SPOT_TRADES))
    assert len(expected) >= 200
    assert spine.signals_of(bus, "LIVE") == expected

    before = len(host.output())
    spine.backtest(stack, "bt1", "mon")
    assert spine.signals_of(bus, "bt1") == expected
    assert equal_events(stack, "LIVE", "bt1") == len(expected)
    spine.backtest(stack, "bt2", "other")
    said = host.output()[before if UNDER else 0:]  # under a slower machine LIVE's first start is told
    trouble = [line for line in said.splitlines() if " WARN " in line or " ERROR " in line]
    assert not trouble, "a backtest that begins is nothing to be warned of"


def test_killed_runtimes_decide_nothing_twice_and_nothing_else(stack, bus, spot):
    host, venue = play(stack, spot, channels=("trade", "bookTicker", "depth@100ms"), speed="60x")
    for share in (4, 2):
        spine.wait_for(lambda: spine.count_subject(bus, "ACT", "act.exchange.*.trade.tape.>") > SPOT_TRADES // share,
                       60, "play does not get on")
        spine.kill_runtime(host, "LIVE")
    expected = sma.signals(all_decided(bus, venue, SPOT_TRADES))
    assert spine.signals_of(bus, "LIVE") == expected

    stack.lane("scenario", "create", "bt1", "--market", "hyp.mon", "--strategy", "sma")
    stack.lane("replay", "start", "ACT", "--selector", "mon", "--scenario", "bt1", "--speed", "60x")
    last = spine.progress(bus, "LIVE")["done_seq"]
    for share in (4, 2):
        spine.wait_done(bus, "bt1", last // share)
        spine.kill_runtime(host, "bt1")
    spine.wait_for(lambda: spine.progress(bus, "bt1").get("end"), 60, lambda: f"bt1: {spine.progress(bus, 'bt1')}")
    assert spine.signals_of(bus, "bt1") == expected
    assert equal_events(stack, "LIVE", "bt1") == len(expected)


FROZEN_S = 8  # longer than a request of the runtime waits for its answer


def test_a_broker_that_stood_still_restarts_no_runtime_and_changes_no_decision(stack, bus):
    stack.start("stored")
    host = spine.start_workers(stack)
    venue = spine.start_venue(stack, "--symbols", "BTCUSDT,ETHUSDT", "--rate", "4000", "--seed", "11")
    feed = spine.start_feed(stack, venue, ["BTCUSDT", "ETHUSDT"], ["trade"])
    spine.wait_for(lambda: spine.progress(bus, "LIVE").get("done_seq", 0) > 5000, 60, "LIVE does not get on")
    pid = spine.runtime_pid(host, "LIVE")
    for _ in range(2):
        stack.broker.freeze()
        time.sleep(FROZEN_S)
        stack.broker.thaw()
        behind = bus.stream_state("ACT").last_seq
        spine.wait_done(bus, "LIVE", behind + 5000)
    assert feed.stop() == 0
    recorded = sma.trades_of(bus.read("ACT", "act.exchange.*.trade.tape.>"))
    ids = {symbol: [t["trade_id"] for _, t in recorded if t["symbol"] == symbol] for symbol in ("BTCUSDT", "ETHUSDT")}
    for symbol, found in ids.items():
        assert found == list(range(found[0], found[0] + len(found))), f"{symbol}: every trade once, in order"
    spine.wait_done(bus, "LIVE", recorded[-1][0])
    assert spine.runtime_pid(host, "LIVE") == pid, host.output()[-3000:]
    expected = sma.signals(recorded)
    assert len(expected) > 200 and spine.signals_of(bus, "LIVE") == expected
    assert spine.progress(bus, "LIVE")["session"] == "1"


class World:
    """A store of its own that holds given records in the same order, and LIVE's decisions on them."""

    def __init__(self, folder, records: list[tuple[str, bytes]]):
        folder.mkdir()
        self.export = folder / "LIVE.jsonl"
        stack = Stack(folder, Broker(folder / "broker").start())
        try:
            stack.start("stored")
            bus = stack.bus()
            bus.store("ACT", records)
            spine.start_workers(stack)
            recorded = bus.read("ACT")
            self.trades = sma.trades_of(recorded)
            spine.wait_done(bus, "LIVE", self.trades[-1][0])
            bus.close()
            stack.lane("export", "LIVE", "-o", self.export)
        finally:
            stack.stop()


def with_one_trade_changed(records, seed: int):
    """A copy in which one trade has another price, up to 1 % away."""
    chance = random.Random(seed)
    at = chance.choice([i for i, (subject, _) in enumerate(records) if ".trade.tape." in subject])
    event = msgpack.unpackb(records[at][1], raw=False)
    moved = Decimal(event["data"]["price"]) * (1 + Decimal(chance.choice([-1, 1]) * chance.randint(10, 100)) / 10000)
    event["data"]["price"] = f"{moved:.2f}000000"
    return records[:at] + [(records[at][0], msgpack.packb(event))] + records[at + 1:]


@pytest.mark.slow(35)
@pytest.mark.timeout(900)
def test_one_changed_trade_is_named_by_its_first_different_decision(tmp_path, stack, bus, spot_trades):
    capture = tmp_path / "trades.gz"
    with gzip.open(capture, "wt") as out:
        out.writelines(spot_trades)
    _, venue = play(stack, capture)
    expected = sma.signals(all_decided(bus, venue, SPOT_TRADES))
    exported = tmp_path / "LIVE.jsonl"
    stack.lane("export", "LIVE", "-o", exported)
    records = [(m.subject, m.data) for m in bus.read("ACT")]

    same = World(tmp_path / "same", records)
    assert sma.signals(same.trades) == expected
    assert equal_events(stack, exported, same.export) == len(expected)

    differences = 0
    for seed in range(COPIES):
        copy = World(tmp_path / f"copy{seed}", with_one_trade_changed(records, seed))
        parted = sma.first_difference(expected, sma.signals(copy.trades))
        result = stack.lane("diff", exported, copy.export, check=False)
        if parted is None:
            assert result.returncode == 0, f"seed {seed}: {result.stdout}"
            continue
        differences += 1
        assert result.returncode == 1, f"seed {seed}: {result.stdout}{result.stderr}"
        named = spine.first_number(r"^different at sequence (\d+)", result.stdout)
        assert named == parted, f"seed {seed}: {result.stdout}"
    assert differences == COPIES, "choose seeds whose change matters"
