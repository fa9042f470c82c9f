"""A feed's two ways to the lane, fast ingest and message ids: which one is taken, and that neither loses or doubles."""

import json
import shutil
import time

import pytest
from support.audit import audit, judge
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


def come_back_on_an_older_copy(stack, bus, meanwhile):
    """Of the broker's store, taken before `meanwhile` is done; when the newer one had acknowledged its last."""
    broker = stack.broker
    store, older = broker.folder / "jetstream", broker.folder / "older"
    broker.freeze()
    shutil.copytree(store, older)
    broker.thaw()
    meanwhile()
    broker.kill()
    killed_ns = time.time_ns()
    time.sleep(0.4)  # frames come, and are held
    shutil.rmtree(store)
    shutil.move(older, store)
    broker.start()
    return killed_ns


@pytest.mark.parametrize("batches", [True, False], ids=["in_batches", "with_ids"])
def test_a_store_that_went_back_takes_only_what_it_had_acknowledged(stack, bus, batches):
    stack.start("stored")
    assert stack["stored"].stop() == 0
    take_batches(bus, batches)
    exchange = Exchange(stack, "--symbols", ",".join(SYMBOLS), "--rate", "4000")
    begin(stack, exchange)
    flow_on(bus)
    killed_ns = come_back_on_an_older_copy(stack, bus, lambda: flow_on(bus))
    flow_on(bus, 3000)
    exchange.request("POST", "/sim/v1/play", {"action": "pause"})
    wait_quiet(bus)
    tally = read_lane(bus)
    verdict = judge(exchange.log(), tally)
    assert not verdict.faults, verdict.faults[0]
    lost = [entry["sent_ns"] for entry, reasons in verdict.gapped]
    assert lost and max(lost) <= killed_ns, "what was sent to a feed that lived is on the lane"
    [gap], [told] = tally.events("gap"), tally.events("degraded")
    assert gap["data"]["reason"] == told["data"]["reason"] == "store_went_back"
    assert len(tally.events("connected")) == 1, "the connection to the venue stays"
    for symbol in SYMBOLS:
        book = tally.books[symbol]
        want = exchange.book(symbol, book.last)
        assert {side: [list(level) for level in book.levels(side)] for side in book.sides} == {
            side: want[side] for side in book.sides}, "a snapshot follows the gap"
    assert stack["feedd"].stop() == 0


def test_a_store_older_than_the_feed_itself_takes_its_lease_too_and_it_goes_on(stack, bus):
    """Nothing is left of the lane, and nobody holds the lease: what was taken for held is not, and all begins anew."""
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", ",".join(SYMBOLS), "--rate", "1000")
    come_back_on_an_older_copy(stack, bus, meanwhile=lambda: (begin(stack, exchange), flow_on(bus)))
    bus.wait_stream("ACT", 1000, 40)
    stack["feedd"].wait_ready(20)
    flow_on(bus)
    assert stack["feedd"].stop() == 0
    wait_quiet(bus)
    tally = read_lane(bus)
    told = {event["data"]["reason"] for event in tally.events("degraded")}
    assert "store_went_back" in told
    assert "store_went_back" in {event["data"]["reason"] for event in tally.events("gap")}  # all that was sent before
    audit(exchange, tally)
