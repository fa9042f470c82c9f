"""What goes over the bus is described: every subject by a channel of the AsyncAPI document, every event by its schema.

Source: schemas/specs/streams.md, "AsyncAPI".
"""

import json
import re
import signal
from collections import defaultdict
from functools import cache

import jsonschema
import msgpack
import pytest
from support import spine
from support.broker import Broker
from support.feed import Exchange, Schemas, start_feed
from support.places import TREE
from support.stack import Stack

NOT_OURS = ("$", "_INBOX", "svc.")  # the broker's own, replies, and calls, which the .proto files describe
DOCUMENT = json.loads((TREE / "schemas" / "asyncapi.json").read_text())
SCHEMAS = TREE / "schemas" / "events"


def pattern_of(address: str) -> re.Pattern:
    return re.compile(re.sub(r"\\{[a-z]+\\}", "[^.]+", re.escape(address)))


ADDRESSES = [(pattern_of(c["address"]), *c["messages"]) for c in DOCUMENT["channels"].values() if "x-jetstream" not in c]


@cache
def kinds_of(subject: str) -> list[str]:
    """The messages that the document's channels have for the subject; those of whole streams do not count."""
    return [kind for pattern, kind in ADDRESSES if pattern.fullmatch(subject)]


def market(stack):
    """A feed that has gone through a little of everything."""
    exchange = Exchange(stack, "--symbols", "BTCUSDT,ETHUSDT", "--rate", "400")
    start_feed(stack, exchange, ["BTCUSDT", "ETHUSDT", "NOPEUSDT"],
               ["trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1s"], "--stale-after", "300ms",
               "--reconnect-min", "50ms", "--reconnect-max", "100ms")
    return exchange


def troubles(exchange, heard):
    heard.wait("feed.whole", 2)
    for fault, wanted in (({"kind": "drop", "channel": "depth", "count": 1}, "feed.resync"),
                          ({"kind": "garbage", "count": 3}, "dlq.letter"),
                          ({"kind": "stall", "for_ms": 800}, "feed.stale"),
                          ({"kind": "close", "code": 1001}, "feed.disconnected")):
        exchange.fault(**fault)
        heard.wait(wanted)
    heard.wait("feed.connected", 2)
    heard.wait("ohlcv.candle")


def end(daemon):
    daemon.signal(signal.SIGTERM)
    spine.wait_for(lambda: not daemon.running, 20, "it does not end")


def forget(bus, worker="sma"):
    """Takes LIVE's worker back to its first input, and gives one of its stored outputs other data."""
    kept = bus.read("SC_LIVE")
    bus.call(bus.js.purge_stream("SC_LIVE"))
    for i, message in enumerate(kept):
        event = msgpack.unpackb(message.data)
        event["data"]["price"] = "1" if i == 1 else event["data"]["price"]
        bus.call(bus.js.publish(message.subject, msgpack.packb(event), headers={"Content-Type": message.headers["Content-Type"]}))
    record = spine.progress(bus, "LIVE", worker)
    record |= {"done_seq": record["start_seq"] - 1, "out_seq": 0}
    workers = bus.call(bus.js.key_value("workers"))
    bus.call(workers.put(f"sc.LIVE.{worker}", json.dumps(record).encode()))
    bus.call(workers.delete(f"sc.LIVE.{worker}.state"))


class Heard:
    """Everything that was ever said on a bus."""

    def __init__(self, bus):
        self.watch = bus.subscribe(">")

    def messages(self):
        return [m for m in list(self.watch.messages) if not m.subject.startswith(NOT_OURS)]

    def by_kind(self) -> dict[str, list]:
        found = defaultdict(list)
        for message in self.messages():
            for kind in kinds_of(message.subject):
                found[kind].append(message)
        return found

    def wait(self, kind: str, count: int = 1):
        spine.wait_for(lambda: len(self.by_kind()[kind]) >= count, 30, lambda: f"{kind}: {len(self.by_kind()[kind])} of {count}")


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """The stack on a synthetic market, with troubles, a backtest, and a worker that has to begin anew."""
    folder = tmp_path_factory.mktemp("schemas")
    stack = Stack(folder, Broker(folder / "broker").start())
    bus = stack.bus()
    try:
        heard = Heard(bus)
        stack.start("stored")
        host = spine.start_workers(stack, 2, 3)
        exchange = market(stack)
        troubles(exchange, heard)
        heard.wait("strategy.signal.emitted", 5)
        end(stack["feedd"])
        spine.wait_done(bus, "LIVE", bus.read("ACT", "act.exchange.*.trade.tape.>")[-1].metadata.sequence.stream)
        spine.backtest(stack, "bt1", "mon")
        end(host)
        forget(bus)
        host = spine.start_workers(stack, 2, 3)
        heard.wait("control.worker.output_conflict")
        end(host)
        record = spine.progress(bus, "LIVE")
        bus.call(bus.js.purge_stream("ACT", seq=record["done_seq"] + 1))
        lost = msgpack.packb({"specversion": "1.0", "id": "1", "source": "s", "type": "t"})
        for _ in range(2):
            bus.call(bus.js.publish("act.exchange.x.trade.tape.Y", lost))
        bus.call(bus.js.purge_stream("ACT", keep=1))
        spine.start_workers(stack, 2, 3)
        heard.wait("control.worker.state_reset")
        yield heard
    finally:
        bus.close()
        stack.stop()


def test_every_subject_is_the_address_of_one_channel(heard):
    subjects = {m.subject for m in heard.messages()}
    wrong = {s: kinds_of(s) for s in sorted(subjects) if len(kinds_of(s)) != 1}
    assert not wrong, wrong


@pytest.mark.parametrize("subject", ["act.exchange.binance.instrument.info.BTCUSDT", "act.exchange.binance.feed.connected.BTCUSDT",
                                     "hyp.mon.exchange.binance.ohlcv.candle.BTCUSDT", "sc.LIVE.control.worker.unheard_of.sma",
                                     "state.changed", "act.exchange.binance.trade.tape"])
def test_a_subject_that_nobody_uses_has_no_channel(subject):
    assert kinds_of(subject) == []


KINDS = sorted(p.name.removesuffix(".schema.json") for p in SCHEMAS.glob("*.schema.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_is_what_its_schema_says(heard, kind):
    messages = [m for m in heard.by_kind()[kind] if m.subject != "act.exchange.x.trade.tape.Y"]
    assert messages, "never sent"
    form = json.loads((SCHEMAS / f"{kind}.schema.json").read_text()).get("x-form")
    schemas = Schemas()
    for message in messages[:Schemas.EACH] + messages[-Schemas.EACH:]:
        if form == "headers":
            data = {k: v for k, v in message.headers.items() if k.startswith("Dlq-")}
        elif form == "json":
            data = json.loads(message.data)
        else:
            data = msgpack.unpackb(message.data)["data"]
        schemas.check(kind, data)


def test_a_schema_refuses_what_is_not_its_event(heard):
    for kind, message in ((k, m[0]) for k, m in heard.by_kind().items() if k.startswith(("control.", "strategy.", "state."))):
        data = msgpack.unpackb(message.data)["data"]
        for key in data:
            with pytest.raises(jsonschema.ValidationError):
                Schemas().check(kind, {k: v for k, v in data.items() if k != key})
        with pytest.raises(jsonschema.ValidationError):
            Schemas().check(kind, {**data, "more": 1})
