"""feedd between a simulated exchange and a real broker: what is on the lane is what the venue sent."""

import json
import re
import socket
import subprocess
import threading
import time

import msgpack
import pytest
from support.audit import audit
from support.feed import LANE, SHORT_LEASE, Exchange, read_lane, start_feed, wait_quiet
from support.places import BUILD, PATIENCE, program
from support.relay import Relay
from support.spine import wait_for

SPOT = ["trade", "bookTicker", "depth@100ms"]
SMALL = BUILD / "test" / "data"


def play(stack, bus, capture, symbols, channels, speed="max"):
    stack.start("stored")
    exchange = Exchange(stack, "--capture", capture, "--speed", speed)
    start_feed(stack, exchange, symbols, channels)
    exchange.wait_state("ended", 120)
    wait_quiet(bus)
    return exchange, read_lane(bus)


def expect_book_of(exchange, tally, symbol):
    venue = exchange.book(symbol, tally.books[symbol].last)
    for side in ("bids", "asks"):
        assert [list(level) for level in tally.books[symbol].levels(side)] == venue[side], side


@pytest.fixture
def expected():
    return json.loads((SMALL / "expected.json").read_text())


def test_the_seeded_capture_arrives_whole(stack, bus, expected):
    exchange, tally = play(stack, bus, SMALL / "small.gz", ["TESTUSDT"], SPOT)
    tally.expect("TESTUSDT", expected["small.gz"]["symbols"]["TESTUSDT"])
    expect_book_of(exchange, tally, "TESTUSDT")
    assert [name for name, _, _ in tally.feed] == ["connected", "whole"]


def test_frames_that_the_seeded_capture_lacks_are_one_named_gap(stack, bus, expected):
    exchange, tally = play(stack, bus, SMALL / "gap.gz", ["TESTUSDT"], SPOT)
    tally.expect("TESTUSDT", expected["gap.gz"]["symbols"]["TESTUSDT"])
    expect_gap(tally, "TESTUSDT", expected["gap.gz"]["gaps"][0])
    expect_book_of(exchange, tally, "TESTUSDT")


def expect_gap(tally, symbol, want):
    assert [name for name, _, _ in tally.feed] == ["connected", "whole", "gap", "resync", "whole"]
    gap = tally.events("gap", symbol)[0]["data"]
    assert (gap["reason"], gap["channel"]) == ("sequence", "depth")
    assert (gap["first_missing"], gap["last_missing"]) == (want["dropped_first_U"], want["dropped_last_u"])


def test_the_spot_capture_gives_golden_values(stack, bus, captures):
    golden = json.loads((captures / "golden.json").read_text())["binance_spot/btcusdt_20240808.gz"]
    exchange, tally = play(stack, bus, captures / "binance_spot/btcusdt_20240808.gz", ["BTCUSDT"], SPOT)
    tally.expect("BTCUSDT", golden["symbols"]["BTCUSDT"])
    expect_book_of(exchange, tally, "BTCUSDT")


def test_the_spot_capture_with_a_gap_ends_with_the_right_book(stack, bus, captures):
    golden = json.loads((captures / "derived_gap/golden.json").read_text())["files"]["btcusdt_spot_gap1.gz"]
    _, tally = play(stack, bus, captures / "derived_gap/btcusdt_spot_gap1.gz", ["BTCUSDT"], SPOT)
    expect_gap(tally, "BTCUSDT", golden["gaps"][0])
    assert tally.counts["BTCUSDT"]["depth"] == golden["depth_frames"]
    assert tally.books["BTCUSDT"].last == golden["final_u"]
    tally.expect_book("BTCUSDT", golden["true_final_top10"])


def test_four_thin_symbols_give_golden_values(stack, bus, captures):
    golden = json.loads((captures / "golden.json").read_text())
    want = next(v for k, v in golden.items() if k.startswith("cryptofeed/BINANCE.ws"))["symbols"]
    _, tally = play(stack, bus, captures / "cryptofeed/BINANCE.ws.1.0.gz", list(want),
                    ["depth@100ms", "bookTicker", "aggTrade", "kline_1m"], speed="20x")
    for symbol in want:
        tally.expect(symbol, want[symbol])


def test_a_channel_of_which_all_is_known_is_told(stack, bus):
    """An id that the venue has not reached stands on the lane: whoever wrote it, its channel is silent until then."""
    stack.start("stored")
    stack.lane("pub", LANE + "trade.tape.BTCUSDT", json.dumps(
        {"symbol": "BTCUSDT", "trade_id": 2**63 - 1, "price": "1", "qty": "1", "side": "buy", "trade_time": 1, "event_time": 1}),
        "--id", f"trade.BTCUSDT.{2**63 - 1}")
    exchange = Exchange(stack, "--symbols", "BTCUSDT,ETHUSDT", "--rate", "400")
    feed = start_feed(stack, exchange, ["BTCUSDT", "ETHUSDT"], ["trade"], "--duplicates-after", "500ms")
    (told,) = wait_events(bus, lambda t: t.events("degraded")).events("degraded")
    assert told["data"]["reason"] == "only_duplicates" and told["data"]["symbol"] == "BTCUSDT"
    assert str(2**63 - 1) in told["data"]["text"]
    feed.wait_line("WARN .*channel 'trade' of BTCUSDT")
    feed.wait_metric("tradelane_feedd_only_duplicates_channels", 1)
    bus.wait_stream("ACT", bus.stream_state("ACT").last_seq + 100)  # the other symbol's channel goes on
    assert len(read_lane(bus).events("degraded")) == 1


def test_a_feed_gives_its_place_back_unless_something_may_still_be_stored(stack, bus):
    """Source: schemas/specs/feedd.md, "Order of events"."""
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "2000")
    for owes in (False, True):
        feed = start_feed(stack, exchange, ["BTCUSDT"], ["trade", "bookTicker"])
        bus.wait_stream("ACT", bus.stream_state("ACT").last_seq + 50)
        if owes:
            stack["stored"].stop()
            bus.call(bus.js.delete_stream("ACT"))
            time.sleep(0.5)
        assert feed.stop() == 0
        left = json.loads(stack.lane("kv", "get", "leases", "feed.binance").stdout)
        assert bool(left["holder"]) == owes, left


# --- faults -----------------------------------------------------------------------------------------------


@pytest.fixture
def market(stack, bus):
    """A synthetic market that is being recorded."""
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "400")
    start_feed(stack, exchange, ["BTCUSDT"], [*SPOT, "kline_1m"], "--stale-after", "500ms", "--dead-after", "1500ms",
               "--reconnect-min", "50ms", "--reconnect-max", "200ms")
    bus.wait_stream("ACT", 100)
    return exchange


def wait_events(bus, condition, timeout=20):
    """Waits until the lane satisfies the condition."""
    end = time.monotonic() + timeout * PATIENCE
    while not condition(tally := read_lane(bus)):
        assert time.monotonic() < end, [(n, e["data"]) for n, _, e in tally.feed][-12:]
        time.sleep(0.2)
    return tally


def expect_healed(bus, exchange, after_wholes=1):
    """The book is whole (again) and, once frames have flowed on, the venue's."""
    tally = wait_events(bus, lambda t: len(t.events("whole")) >= after_wholes)
    last = tally.books["BTCUSDT"].last or 0
    tally = wait_events(bus, lambda t: (t.books["BTCUSDT"].last or 0) > last)
    expect_book_of(exchange, tally, "BTCUSDT")
    return tally


@pytest.mark.parametrize("channel", ["depth", "trade"])
def test_a_dropped_frame_is_a_gap(market, bus, channel):
    market.fault("drop", channel=channel, count=1)
    tally = wait_events(bus, lambda t: t.events("gap"))
    gap = tally.events("gap")[0]["data"]
    lost = [e for e in market.log() if e["fault"] == "drop"][0]
    assert gap["channel"] == channel
    assert (gap["first_missing"], gap["last_missing"]) == (lost["first_id"], lost["last_id"])
    expect_healed(bus, market, 2 if channel == "depth" else 1)


def test_a_frame_sent_twice_is_published_once(market, bus):
    for channel in ("depth", "trade", "bookTicker"):
        market.fault("duplicate", channel=channel, count=3)
    wait_events(bus, lambda t: sum(f["state"] == "done" for f in json.loads(market.request("GET", "/sim/v1/fault"))) == 3)
    time.sleep(0.5)
    tally = expect_healed(bus, market)
    assert len(tally.ids) == len(set(tally.ids))
    assert not tally.events("gap")


def test_frames_out_of_order_are_a_gap_and_the_late_one_is_in_it(market, bus):
    market.fault("reorder", channel="depth", count=1)
    tally = wait_events(bus, lambda t: t.events("gap"))
    gap = tally.events("gap")[0]["data"]
    late = [e for e in market.log() if e["fault"] == "reorder"][-1]
    assert gap["first_missing"] <= late["first_id"] and late["last_id"] <= gap["last_missing"]
    tally = expect_healed(bus, market, 2)
    assert ("BTCUSDT", "depth", (late["last_id"],)) not in tally.ids


@pytest.mark.parametrize("kind", ["truncate", "garbage"])
def test_what_is_no_frame_is_kept_with_its_reason(market, bus, kind):
    market.fault(kind, count=5)
    end = time.monotonic() + 20 * PATIENCE
    while len(letters := bus.read("DLQ")) < 1 and time.monotonic() < end:
        time.sleep(0.2)
    assert letters
    for letter in letters:
        assert letter.subject == "dlq.ACT.feedd"
        assert letter.headers["Dlq-Stream"] == "ACT" and letter.headers["Dlq-Consumer"] == "feedd"
        assert "binance" in letter.headers["Dlq-Reason"]
    expect_healed(bus, market)


def limit_messages(bus, stream, size):
    config = bus.call(bus.js.stream_info(stream)).config
    config.max_msg_size = size
    bus.call(bus.js.update_stream(config))


def metric(daemon, name):
    return int(re.search(rf"^{name} (\d+)$", daemon.get("/metrics")[1], re.M)[1])


def test_an_event_that_the_stream_never_takes_is_a_dead_letter_and_told(stack, bus):
    stack.start("stored")
    limit_messages(bus, "ACT", 2500)  # no snapshot fits
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "400")
    feedd = start_feed(stack, exchange, ["BTCUSDT"], SPOT)
    tally = wait_events(bus, lambda t: t.events("degraded"))
    told = tally.events("degraded")[0]["data"]
    assert told["reason"] == "event_refused" and "orderbook.snapshot.BTCUSDT" in told["text"]
    letters = bus.read("DLQ")
    lane = "act.exchange.binance.orderbook."
    assert letters[0].headers["Dlq-Subject"] == f"{lane}snapshot.BTCUSDT"
    for letter in letters:
        event = msgpack.unpackb(letter.data, raw=False)
        # an update of a busy moment does not fit either
        assert letter.headers["Dlq-Subject"] in (f"{lane}snapshot.BTCUSDT", f"{lane}update.BTCUSDT")
        assert letter.headers["Nats-Msg-Id"] == f"{event['source']}#{event['id']}"
        assert "size" in letter.headers["Dlq-Reason"] and event["data"]["bids"]
    assert metric(feedd, "tradelane_feedd_events_refused_total") == len(letters)
    assert metric(feedd, "tradelane_feedd_dead_letters_lost_total") == 0
    wait_events(bus, lambda t: len(t.ids) > len(tally.ids) + 100)  # everything else goes on


def test_a_dead_letter_that_is_refused_is_counted_and_told(stack, bus):
    stack.start("stored")
    limit_messages(bus, "DLQ", 100)
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "400")
    feedd = start_feed(stack, exchange, ["BTCUSDT"], SPOT)
    exchange.fault("garbage", count=3)
    tally = wait_events(bus, lambda t: t.events("degraded"))
    assert tally.events("degraded")[0]["data"]["reason"] == "dead_letter_lost"
    feedd.wait_line("dead letter .* is lost: the broker says: message size")
    assert metric(feedd, "tradelane_feedd_dead_letters_lost_total") > 0 and not bus.read("DLQ")


def test_silence_is_told_and_a_half_open_connection_replaced(market, bus):
    market.fault("half_open", for_ms=30000)
    tally = wait_events(bus, lambda t: len(t.events("connected")) == 2)
    assert tally.events("stale")
    assert tally.events("disconnected")[0]["data"]["reason"] == "silent"
    window = [e["data"] for e in tally.events("gap") if "channel" not in e["data"]]
    assert len(window) == 1 and window[0]["reason"] == "disconnected"
    expect_healed(bus, market, 2)


def test_a_feed_whose_clock_was_not_told_yet_receives_nothing(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "400")
    feed = start_feed(stack, exchange, ["BTCUSDT"], SPOT, "--clock", "bus:test.clock", ready=False)
    wait_for(lambda: "the clock was not told yet" in str(feed.get("/health")), 20, lambda: feed.get("/health"))
    time.sleep(0.3)
    assert not any(entry["connections"] for entry in exchange.log()) and not bus.read("ACT", LANE + ">")
    at = 2_000_000_000_000_000_000

    def goes_on():
        nonlocal at
        at += 20_000_000
        bus.publish("test.clock", str(at).encode())
        return len(bus.read("ACT", LANE + ">")) > 100

    wait_for(goes_on, 20, lambda: feed.get("/health"))
    assert min(read_lane(bus).recorded) >= "2033-05-18T03:33:20"


def test_a_stall_is_told_and_nothing_is_lost(market, bus):
    market.fault("stall", for_ms=1200)
    tally = wait_events(bus, lambda t: t.events("stale"))
    assert not tally.events("disconnected")
    tally = expect_healed(bus, market)
    assert not tally.events("gap")


def test_a_slow_venue_is_told_and_nothing_is_lost(market, bus):
    market.fault("slow", for_ms=4000, delay_ms=900)
    tally = wait_events(bus, lambda t: len(t.events("stale")) >= 2)  # each frame ends a silence
    late = {e["n"]: e for e in market.log() if e["fault"] == "slow"}
    assert late
    end = time.monotonic() + 20 * PATIENCE
    while json.loads(market.request("GET", "/sim/v1/fault"))[0]["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not tally.events("disconnected")
    tally = expect_healed(bus, market)
    assert not tally.events("gap")
    audit(market, tally)


@pytest.mark.parametrize("code", [1001, 0])
def test_a_closed_connection_is_made_again(market, bus, code):
    market.fault("close", code=code)
    tally = wait_events(bus, lambda t: len(t.events("connected")) == 2)
    assert tally.events("disconnected")[0]["data"]["reason"] == ("closed" if code else "lost")
    expect_healed(bus, market, 2)
    kinds = [re.search(rb"connection\.(connecting|connected|reconnecting|disconnected|error)", m.data)[1].decode()
             for m in bus.read("LIFECYCLE", "websocketmanager.connectionstatus")]
    assert kinds[:2] == ["connecting", "connected"] and kinds[2:5] == ["error", "reconnecting", "connected"]


def test_an_announced_shutdown_costs_nothing(market, bus):
    market.fault("shutdown", for_ms=3000)
    tally = wait_events(bus, lambda t: len(t.events("connected")) == 2)
    time.sleep(1)
    tally = expect_healed(bus, market)
    assert tally.events("connected")[1]["data"]["rotation"]
    assert not tally.events("gap") and len(tally.ids) == len(set(tally.ids))
    audit(market, tally)


@pytest.mark.parametrize("fault", [None, {"kind": "slow", "for_ms": 3000, "delay_ms": 40}, {"kind": "stall", "for_ms": 1500}])
def test_a_connection_is_renewed_without_loss_or_double(stack, bus, fault):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "600")
    start_feed(stack, exchange, ["BTCUSDT"], SPOT, "--rotate-after", "1s", "--rotate-overlap", "300ms")
    if fault:
        exchange.fault(**fault)
    tally = wait_events(bus, lambda t: len(t.events("connected")) >= 4)
    assert all(e["data"]["rotation"] for e in tally.events("disconnected"))
    tally = expect_healed(bus, exchange)
    assert not tally.events("gap")
    audit(exchange, tally)


def start_rotating_feed(stack, bus, exchange, *args, ws_port=None):
    """Its first connection is replaced after some seconds; the book is whole."""
    rotate = ("--rotate-after", f"{int(3000 * PATIENCE)}ms", "--stale-after", "700ms", "--dead-after", "60s")
    if ws_port:
        args += ("--ws-url", f"ws://127.0.0.1:{ws_port}")
    start_feed(stack, exchange, ["BTCUSDT"], [*SPOT, "kline_1s"], *rotate, *args)
    wait_events(bus, lambda t: t.events("whole"))


def expect_interruption(bus, exchange, reason):
    """The first change of connection was no rotation, and what it cost is in its gap."""
    tally = wait_events(bus, lambda t: len(t.events("connected")) >= 2 and len(t.events("whole")) >= 2, 40)
    down = tally.events("disconnected")[0]["data"]
    assert (down["reason"], down["rotation"]) == (reason, False)
    assert not tally.events("connected")[1]["data"]["rotation"]
    [gap] = [e["data"] for e in tally.events("gap") if "channel" not in e["data"]]
    assert gap["reason"] == "disconnected"
    audit(exchange, expect_healed(bus, exchange, 2))
    return gap


def test_a_renewal_of_a_connection_that_is_half_open_is_a_gap(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "600")
    start_rotating_feed(stack, bus, exchange, "--rotate-overlap", "200ms")
    exchange.fault("half_open", for_ms=120000)
    expect_interruption(bus, exchange, "silent")


def test_a_connection_that_breaks_while_it_is_renewed_is_a_gap_and_time_goes_on(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "600")
    start_rotating_feed(stack, bus, exchange, "--rotate-overlap", "30s")
    exchange.fault("half_open", for_ms=int(5000 * PATIENCE))  # then it is reset: its replacement has two seconds of frames
    gap = expect_interruption(bus, exchange, "lost")
    assert instant(gap["received_before"]) - instant(gap["received_after"]) > 10**9
    assert read_lane(bus).events("stale")  # made while frames waited: Tally looks at the order of receipt


def test_a_connection_that_lags_is_waited_for_and_costs_nothing(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "600")
    with Relay(exchange.port) as relay:
        start_rotating_feed(stack, bus, exchange, "--rotate-overlap", "100ms", ws_port=relay.port)
        relay.lag(0, 1.5)
        tally = wait_events(bus, lambda t: len(t.events("connected")) >= 2)
        assert tally.events("disconnected")[0]["data"]["rotation"]
        tally = expect_healed(bus, exchange)
        assert not tally.events("gap")
        audit(exchange, tally)


def test_a_connection_that_lags_and_breaks_while_it_is_renewed_is_a_gap(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "600")
    with Relay(exchange.port) as relay:
        start_rotating_feed(stack, bus, exchange, "--rotate-overlap", "30s", ws_port=relay.port)
        relay.lag(0, 2)
        relay.wait(2)
        time.sleep(0.5)  # the new one stands, the old one still delivers what is older
        relay.cut(0)
        expect_interruption(bus, exchange, "lost")


# --- kills ------------------------------------------------------------------------------------------------


def instant(text):
    seconds, fraction = text.rstrip("Z").split(".")
    return int(time.mktime(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) - time.timezone) * 10**9 + int(fraction)


@pytest.mark.slow(12)
def test_a_killed_feed_loses_only_what_a_gap_names(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT,ETHUSDT", "--rate", "1500")
    channels = [*SPOT, "kline_1s", "aggTrade"]
    start_feed(stack, exchange, ["BTCUSDT", "ETHUSDT"], channels, *SHORT_LEASE)
    for count in range(2, 4):
        time.sleep(1.5)
        stack["feedd"].kill()
        start_feed(stack, exchange, ["BTCUSDT", "ETHUSDT"], channels, *SHORT_LEASE)
        tally = wait_events(bus, lambda t: len(t.events("whole")) >= 2 * count)
        windows = [e["data"] for e in tally.events("gap") if "channel" not in e["data"]]
        assert len(windows) == count - 1 and windows[-1]["reason"] == "restart"
    time.sleep(0.5)
    audit(exchange, read_lane(bus))


def test_a_capture_goes_on_after_a_kill(stack, bus, expected):
    stack.start("stored")
    exchange = Exchange(stack, "--capture", SMALL / "small.gz", "--speed", "1x")
    start_feed(stack, exchange, ["TESTUSDT"], SPOT, *SHORT_LEASE)
    bus.wait_stream("ACT", 1200)
    stack["feedd"].kill()
    start_feed(stack, exchange, ["TESTUSDT"], SPOT, *SHORT_LEASE)
    exchange.wait_state("ended", 60)
    wait_quiet(bus)
    tally = read_lane(bus)
    audit(exchange, tally, ended=True)
    assert tally.events("gap")[0]["data"]["reason"] == "restart"


def keep_writing(bus, subject, until: threading.Event):
    while not until.wait(0.05):
        bus.publish(subject, b"hello")


def test_what_others_left_on_the_lane_does_not_hold_up_a_new_feed(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "600")
    start_feed(stack, exchange, ["BTCUSDT"], SPOT, *SHORT_LEASE)
    bus.wait_stream("ACT", 500)
    stack["feedd"].kill()
    wait_quiet(bus)
    subject = "act.exchange.binance.trade.tape.BTCUSDT"
    foreign = {"specversion": "1.0", "id": f"trade.BTCUSDT.{2**63 - 1}", "source": "urn:somebody", "type": "a.b"}
    timeless = {**foreign, "source": "urn:com.virtufin.exchange.binance"}  # what no feed ever wrote
    strangers = (b"hello", msgpack.packb(timeless), b"", msgpack.packb(foreign))
    for data in strangers:
        bus.publish(subject, data)
    last = bus.stream_state("ACT").last_seq
    begun, on = threading.Event(), threading.Thread(target=lambda: keep_writing(bus, subject, begun))
    on.start()  # and somebody never stops
    try:
        feedd = start_feed(stack, exchange, ["BTCUSDT"], SPOT, *SHORT_LEASE)
        feedd.wait_line(rf"sequence \d+ of ACT, .{subject}., is passed over")
        feedd.wait_line("the lane holds events")
    finally:
        begun.set()
        on.join()
    bus.wait_stream("ACT", last + 1000)
    for seq in [m.metadata.sequence.stream for m in bus.read("ACT", subject) if m.data in strangers]:
        bus.call(bus.js.delete_msg("ACT", seq))
    tally = read_lane(bus)
    assert [e["data"]["reason"] for e in tally.events("gap") if "channel" not in e["data"]] == ["restart"]
    audit(exchange, tally)


@pytest.mark.parametrize("how", ["restart", "freeze"])
def test_a_broker_that_goes_away_costs_nothing(stack, bus, how):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "1500")
    start_feed(stack, exchange, ["BTCUSDT"], SPOT)
    bus.wait_stream("ACT", 1000)
    if how == "restart":
        stack.broker.restart()
    else:
        stack.broker.freeze()
        time.sleep(3)
        stack.broker.thaw()
    before = bus.stream_state("ACT").last_seq
    bus.wait_stream("ACT", before + 2000, 60)
    tally = read_lane(bus)
    audit(exchange, tally)
    assert not [e for e in tally.events("gap") if e["data"]["reason"] == "restart"]


# --- connecting -------------------------------------------------------------------------------------------


def test_a_feed_waits_for_its_peers_and_gives_up_when_told(stack, bus):
    url = f"127.0.0.1:{free_port()}"
    feedd = stack.start("feedd", "--ws-url", f"ws://{url}", "--rest-url", f"http://{url}", "--symbols", "BTCUSDT",
                        "--reconnect-min", "10ms", "--reconnect-max", "20ms", "--reconnect-attempts", "4", ready=False)
    time.sleep(1)
    assert feedd.get("/health/live")[0] == 200
    assert "ACT" in feedd.get("/health")[1]
    stack.start("stored")
    feedd.wait_line("giving up on ws://")
    assert feedd.get("/health")[0] == 503
    bus.wait_stream("LIFECYCLE", 8)
    kinds = [re.search(rb"connection\.(connecting|connected|reconnecting|disconnected|error)", m.data)[1].decode()
             for m in bus.read("LIFECYCLE", "websocketmanager.connectionstatus")]
    assert kinds == ["connecting"] + ["error", "reconnecting"] * 3 + ["error", "disconnected"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow(12)
def test_a_second_feed_of_a_venue_waits_and_takes_over_without_doubles(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "1000")
    start_feed(stack, exchange, ["BTCUSDT"], SPOT, *SHORT_LEASE)
    second = start_feed(stack, exchange, ["BTCUSDT"], SPOT, *SHORT_LEASE, ready=False, as_name="second")
    time.sleep(3)
    assert "the lease is held by" in second.get("/health")[1]
    stack["feedd"].freeze()  # it does not know that its time is over
    second.wait_ready()
    wait_events(bus, lambda t: [e for e in t.events("gap") if e["data"]["reason"] == "restart"])
    stack["feedd"].thaw()
    stack["feedd"].wait_line("the lease on binance is lost")
    bus.wait_stream("ACT", bus.stream_state("ACT").last_seq + 1000)
    audit(exchange, read_lane(bus))


def test_many_symbols_are_subscribed_in_several_messages(stack, bus):
    stack.start("stored")
    symbols = [f"S{i:02d}USDT" for i in range(64)]
    exchange = Exchange(stack, "--symbols", ",".join(symbols), "--rate", "500")
    start_feed(stack, exchange, symbols, [*SPOT, "kline_1m", "aggTrade"])
    tally = wait_events(bus, lambda t: len(t.events("whole")) == 64, 40)
    assert tally.events("connected")[0]["data"]["streams"] == 320
    assert len(bus.read("ACT", "act.exchange.binance.instrument.info")) == 64


def test_a_symbol_that_the_venue_does_not_know_is_left_out_by_name(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT,ETHUSDT,SOLUSDT", "--rate", "300")
    feedd = start_feed(stack, exchange, ["BTCUSDT", "FOOUSDT", "ETHUSDT", "SOLUSDT", "BARUSDT"], SPOT)
    tally = wait_events(bus, lambda t: len(t.events("whole")) == 3 and len(t.events("connected")) == 2)
    unknown = [e["data"] for e in tally.events("degraded") if e["data"]["reason"] == "symbol_unknown"]
    assert sorted(d["symbol"] for d in unknown) == ["BARUSDT", "FOOUSDT"]
    assert all(d["symbol"] in d["text"] for d in unknown)
    for symbol in ("FOOUSDT", "BARUSDT"):
        feedd.wait_line(f"does not list symbol '{symbol}'")
    infos = bus.read("ACT", "act.exchange.binance.instrument.info")
    assert {msgpack.unpackb(m.data, raw=False)["data"]["symbol"] for m in infos} == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert [e["data"]["streams"] for e in tally.events("connected")] == [15, 9]
    assert tally.events("connected")[1]["data"]["rotation"] and not tally.events("gap")
    wait_events(bus, lambda t: t.books["BTCUSDT"].last > tally.books["BTCUSDT"].last)
    asked = exchange.status()["clients"]
    assert [c["streams"] for c in asked if c["streams"]] == [9]


@pytest.mark.slow(12)
def test_a_feed_that_cannot_keep_up_reads_less_and_loses_nothing(stack, bus, captures):
    golden = json.loads((captures / "golden.json").read_text())["binance_spot/btcusdt_20240808.gz"]
    stack.start("stored")
    exchange = Exchange(stack, "--capture", captures / "binance_spot/btcusdt_20240808.gz", "--speed", "max")
    feedd = start_feed(stack, exchange, ["BTCUSDT"], SPOT, "--queue-bytes", "256KiB")
    while exchange.status()["state"] != "ended" and feedd.running:
        stack.broker.freeze()  # its window fills, its queue fills, its socket waits: time and again
        time.sleep(0.05)
        stack.broker.thaw()
        time.sleep(0.02)
    assert feedd.running
    wait_quiet(bus, 2)
    read_lane(bus).expect("BTCUSDT", golden["symbols"]["BTCUSDT"])


def test_what_waits_is_seen_while_nothing_moves_and_is_kept(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "20000")
    feedd = start_feed(stack, exchange, ["BTCUSDT"], SPOT, "--queue-bytes", "256KiB")
    bus.wait_stream("ACT", 1000)
    stack.broker.freeze()
    end = time.monotonic() + 10 * PATIENCE
    while feedd.metric("tradelane_feedd_queue_bytes") <= 128 * 1024:  # above half it reads no more
        assert time.monotonic() < end
        time.sleep(0.1)
    assert feedd.metric("tradelane_feedd_window_events") > 0
    stack.broker.thaw()
    before = bus.stream_state("ACT").last_seq
    bus.wait_stream("ACT", before + 3000, 60)
    audit(exchange, read_lane(bus))


@pytest.mark.parametrize("args, says", [
    (["--venue", "kraken"], "--venue 'kraken': no such adapter; there are: binance"),
    (["--symbols", ""], "at least one symbol"),
    (["--symbols", "BTC/USDT"], "only letters and digits"),
    (["--symbols", "BTCUSDT,btcusdt"], "named twice"),
    (["--channels", "level7"], "channel 'level7'"),
    (["--channels", "nope"], "channel 'nope': trade, aggTrade"),
    (["--ws-url", "http://x"], "ws:// or wss://"),
    (["--rest-url", "ftp://x"], "http:// or https://"),
    (["--stale-after", "5s", "--dead-after", "4s"], "--dead-after"),
])
def test_wrong_settings_are_named(tmp_path, args, says):
    result = subprocess.run([program("feedd"), "--http", "", *args], capture_output=True, text=True, timeout=20 * PATIENCE)
    assert result.returncode == 1 and says in result.stderr


def test_the_connection_is_listed_and_recorded(market, stack, bus):
    reply = bus.request("svc.virtufin.websocketmanager.v1.WebSocketManager.List", b"{}", {"Content-Type": "application/json"})
    [connection] = json.loads(reply.data)["connections"]
    assert connection["id"] == "feed-binance" and connection["status"] == "CONNECTED"
    record = json.loads(bus.kv("connections")["feed-binance"])
    assert record["status"] == "connected" and record["topic"] == "act.exchange.binance"
    assert record["instance_id"] == connection["instanceId"]
    assert stack["feedd"].stop() == 0
    assert read_lane(bus).events("disconnected")[0]["data"]["reason"] == "stopped"
