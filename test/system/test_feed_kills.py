"""feedd killed at moments of a seed's choosing, the venue and the broker failing meanwhile: what the lane lacks it names."""

import os
import random
import time

import pytest
from support.audit import audit
from support.feed import SHORT_LEASE, Exchange, read_lane, start_feed, wait_quiet
from support.places import PATIENCE

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
CHANNELS = ["trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1s"]
LIVES = int(os.environ.get("TL_FEED_LIVES", "6"))


@pytest.fixture
def dice():
    seed = int(os.environ.get("TL_SEED", time.time_ns() % 10**9))
    print(f"TL_SEED={seed}")
    return random.Random(seed)


class Lives:
    """One feed after the other, on one venue and one broker."""

    def __init__(self, stack, bus, rate):
        self.stack, self.bus = stack, bus
        stack.start("stored")
        self.exchange = Exchange(stack, "--symbols", ",".join(SYMBOLS), "--rate", str(rate))
        self.begin()

    def begin(self, ready=True):
        start_feed(self.stack, self.exchange, SYMBOLS, CHANNELS, *SHORT_LEASE, "--stale-after", "300ms",
                   "--dead-after", "1s", "--reconnect-min", "20ms", "--reconnect-max", "100ms",
                   "--snapshot-every", "700ms", ready=ready)

    def kill(self):
        self.stack["feedd"].kill()

    def wait_event(self, name, count, timeout=20):
        """Until the lane has so many feed events of the name."""
        end = time.monotonic() + timeout * PATIENCE
        while len(self.bus.read("ACT", f"act.exchange.binance.feed.{name}")) < count:
            assert time.monotonic() < end, f"no feed.{name} number {count}"
            time.sleep(0.01)

    def count(self, name):
        return len(self.bus.read("ACT", f"act.exchange.binance.feed.{name}"))

    def flow_on(self, messages=500):
        self.bus.wait_stream("ACT", self.bus.stream_state("ACT").last_seq + messages, 40)

    def end(self):
        """Frames flow on, the feed ends in order; the audit's count of frames in gaps."""
        self.flow_on()
        assert self.stack["feedd"].stop() == 0
        wait_quiet(self.bus)
        tally = read_lane(self.bus)
        for symbol in SYMBOLS:
            book, venue = tally.books[symbol], self.exchange.book(symbol, tally.books[symbol].last)
            assert [list(level) for level in book.levels("bids")] == venue["bids"]
        return audit(self.exchange, tally)


def after_a_while(lives, dice):
    time.sleep(dice.uniform(0, 2.5))


def with_the_broker_restarted(lives, dice):
    time.sleep(dice.uniform(0, 1))
    lives.stack.broker.restart()
    time.sleep(dice.uniform(0, 1))


def with_the_broker_away(lives, dice):
    time.sleep(dice.uniform(0, 1))
    lives.stack.broker.kill()
    time.sleep(dice.uniform(0, 0.5))
    lives.kill()
    lives.stack.broker.start()


def with_the_broker_frozen(lives, dice):
    lives.stack.broker.freeze()
    time.sleep(dice.uniform(0, 1))
    lives.kill()
    lives.stack.broker.thaw()


def when_the_venue_fell_silent(lives, dice):
    stale = lives.count("stale")
    lives.exchange.fault("half_open", for_ms=20000)
    lives.wait_event("stale", stale + 1)
    time.sleep(dice.uniform(0, 0.3))


def when_the_connection_was_given_up(lives, dice):
    ended = lives.count("disconnected")
    lives.exchange.fault("half_open", for_ms=20000)
    lives.wait_event("disconnected", ended + 1)
    time.sleep(dice.uniform(0, 0.05))


def when_the_venue_closed(lives, dice):
    lives.exchange.fault("close", code=dice.choice([0, 1001]))
    time.sleep(dice.uniform(0, 0.1))


MOMENTS = [after_a_while, with_the_broker_restarted, with_the_broker_away, with_the_broker_frozen,
           when_the_venue_fell_silent, when_the_connection_was_given_up, when_the_venue_closed]


@pytest.mark.slow(25)
def test_a_feed_killed_at_any_moment_loses_only_what_a_gap_names(stack, bus, dice):
    lives = Lives(stack, bus, dice.choice([500, 2000, 4000]))
    moments = dice.sample(MOMENTS, min(LIVES, len(MOMENTS))) + dice.choices(MOMENTS, k=max(0, LIVES - len(MOMENTS)))
    for moment in moments:
        print("killed", moment.__name__)
        lives.flow_on(dice.randrange(1, 1500))
        moment(lives, dice)
        lives.kill()
        lives.begin()
    assert lives.end() > 0


@pytest.mark.parametrize("moment", [when_the_venue_fell_silent, when_the_connection_was_given_up])
def test_what_was_lost_in_a_silence_before_the_kill_is_in_the_gap(stack, bus, dice, moment):
    lives = Lives(stack, bus, 500)
    lives.flow_on()
    moment(lives, dice)
    lives.kill()
    lives.begin()
    assert lives.end() > 0
