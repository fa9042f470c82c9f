"""A feed's two ways to the lane, fast ingest and message ids: which one is taken, and that neither loses or doubles."""

import json

import pytest
from support.audit import audit
from support.feed import LANE, SHORT_LEASE, Exchange, read_lane, start_feed, wait_quiet

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
CHANNELS = ["trade", "bookTicker", "depth@100ms"]


def take_batches(bus, takes: bool):
    """Sets whether ACT has fast ingest; everything else of it stays as the broker has it."""
    config = json.loads(bus.request("$JS.API.STREAM.INFO.ACT").data)["config"]
    answer = json.loads(bus.request("$JS.API.STREAM.UPDATE.ACT", json.dumps({**config, "allow_batched": takes}).encode()).data)
    assert answer["config"].get("allow_batched", False) == takes, answer


def begin(stack, exchange):
    start_feed(stack, exchange, SYMBOLS, CHANNELS, *SHORT_LEASE, "--reconnect-min", "20ms", "--reconnect-max", "100ms")


def flow_on(bus, messages=1000):
    bus.wait_stream("ACT", bus.stream_state("ACT").last_seq + messages, 40)


def expect_path(stack, batches: bool):
    stack["feedd"].wait_metric("tradelane_feedd_fast_ingest", batches)


def with_ids(bus) -> list[bool]:
    return ["Nats-Msg-Id" in (message.headers or {}) for message in bus.read("ACT", LANE + ">")]


@pytest.mark.slow(9)
@pytest.mark.parametrize("batches", [True, False], ids=["in_batches", "with_ids"])
def test_a_feed_takes_the_way_its_stream_has_and_records_once_through_kills(stack, bus, batches):
    stack.start("stored")
    assert stack["stored"].stop() == 0  # it would set the stream right again
    take_batches(bus, batches)
    exchange = Exchange(stack, "--symbols", ",".join(SYMBOLS), "--rate", "4000")
    begin(stack, exchange)
    flow_on(bus)
    expect_path(stack, batches)
    stack.broker.restart()
    flow_on(bus)
    stack["feedd"].kill()
    begin(stack, exchange)
    flow_on(bus)
    stack.broker.restart()
    flow_on(bus)
    expect_path(stack, batches)
    assert stack["feedd"].stop() == 0
    wait_quiet(bus)
    assert set(with_ids(bus)) == {not batches}
    assert audit(exchange, read_lane(bus)) > 0


@pytest.mark.slow(17)
def test_a_feed_follows_a_stream_that_changes_its_mind_and_records_once(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", ",".join(SYMBOLS), "--rate", "4000")
    begin(stack, exchange)
    flow_on(bus)
    expect_path(stack, True)
    take_batches(bus, False)
    flow_on(bus)
    expect_path(stack, False)
    flow_on(bus)
    stack.broker.restart()  # stored applies its table again
    expect_path(stack, True)
    flow_on(bus)
    assert stack["feedd"].stop() == 0
    wait_quiet(bus)
    assert audit(exchange, read_lane(bus)) == 0
    ids = with_ids(bus)
    changes = sum(a != b for a, b in zip(ids, ids[1:]))
    assert changes == 2 and not ids[0] and not ids[-1]
