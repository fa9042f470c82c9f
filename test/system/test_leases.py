"""Who is late to renew goes on; who was overtaken ends its work. Source: schemas/specs/recording.md, "Leases"."""

import json
import subprocess
import time

import pytest
from support.feed import Exchange, read_lane, start_feed
from support.places import BUILD, PATIENCE
from support.services import ServiceError, call

SPAN = 2.0 * PATIENCE
LEASE = ("--lease", f"{int(SPAN * 1000)}ms")
RENEWED = "lease '{}' is renewed: going on"
LOST = "lease '{}' is lost to"


def write(stack, count: int):
    subprocess.run([BUILD / "tools" / "replay_tool", "write", stack.broker.url, "1", str(count)], check=True,
                   timeout=60 * PATIENCE)


def until(check, what: str, timeout: float = 20):
    end = time.monotonic() + timeout * PATIENCE
    while not (found := check()):
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.02)
    return found


def runtimes(work) -> dict[str, int]:
    """Scenario -> pid of its runtime."""
    lines = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(work.pid)], capture_output=True, text=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    return {row[-1]: int(row[0]) for row in rows if "--runtime" in row}


@pytest.fixture
def workers(tmp_path, stack):
    """workers(as_name) starts a workhostd with one worker of LIVE."""
    folder = tmp_path / "workers"
    folder.mkdir()
    (folder / "sma.yaml").write_text(json.dumps(
        {"name": "sma", "code": "${workers}/sma.so", "inputs": ["exchange.*.trade.tape.>"], "scenarios": ["LIVE"],
         "config": {"fast": "5", "slow": "20"}}))

    def start(as_name=None, ready=True):
        return stack.start("workhostd", "--workers-dir", folder, "--code-dir", tmp_path / "code", *LEASE,
                           as_name=as_name, ready=ready)

    return start


def settled_runtime(bus, work, count: int) -> int:
    """The pid of LIVE's runtime when all is done and stored: nothing of its own is then in doubt."""
    until(lambda: json.loads(bus.kv("workers").get("sc.LIVE.sma", b"{}")).get("done_seq", 0) >= count, "LIVE's end", 60)
    time.sleep(1)
    return runtimes(work)["LIVE"]


def start_slow_replay(bus) -> dict:
    """One that runs for as long as a test."""
    return call(bus, "Replay.Start", selector="mon", speed="1x")


def expect_it_goes_on(bus, began: dict):
    info = call(bus, "Replay.Get", selector="mon")
    assert (info["state"], info["runid"]) == ("running", began["runid"]), info
    until(lambda: int(call(bus, "Replay.Get", selector="mon")["sent"]) > int(info["sent"]), "more events")


@pytest.mark.slow(12)
@pytest.mark.parametrize("spans", [1.5, 4])
def test_a_broker_that_stood_still_ends_nothing(stack, bus, workers, spans):
    stored = stack.start("stored", *LEASE)
    work = workers()
    write(stack, 100_000)
    began = start_slow_replay(bus)
    live = settled_runtime(bus, work, 100_000)
    stack.broker.freeze()
    time.sleep(spans * SPAN)
    stack.broker.thaw()
    stored.wait_line(RENEWED.format("stored"), 30)
    work.wait_line(RENEWED.format("workhostd"), 30)
    stored.wait_ready(), work.wait_ready()
    expect_it_goes_on(bus, began)
    assert runtimes(work)["LIVE"] == live
    assert LOST.format("stored") not in stored.output() and LOST.format("workhostd") not in work.output()


def test_a_daemon_that_stood_still_without_a_rival_goes_on(stack, bus, workers):
    stored = stack.start("stored", *LEASE)
    work = workers()
    write(stack, 100_000)
    began = start_slow_replay(bus)
    live = settled_runtime(bus, work, 100_000)
    stored.freeze(), work.freeze()
    time.sleep(2 * SPAN)
    stored.thaw(), work.thaw()
    stored.wait_line(RENEWED.format("stored"), 30)
    work.wait_line(RENEWED.format("workhostd"), 30)
    stored.wait_ready(), work.wait_ready()
    expect_it_goes_on(bus, began)
    assert runtimes(work)["LIVE"] == live


def test_a_stored_that_was_overtaken_ends_its_work(stack, bus):
    first = stack.start("stored", *LEASE)
    second = stack.start("stored", *LEASE, as_name="second", ready=False)
    second.wait_line("not ready: .*holds the lease")
    write(stack, 100_000)
    began = start_slow_replay(bus)
    first.freeze()
    second.wait_ready(20)
    record = json.loads(bus.kv("replays")["mon"])  # a call might go to the one that stands still
    assert (record["state"], record["runid"]) == ("failed", began["runid"]) and "stored ended" in record["message"]
    first.thaw()
    first.wait_line(LOST.format("stored"))
    first.wait_line("services and replays end")
    time.sleep(1)
    assert first.get("/health")[0] == 503 and "holds the lease" in first.get("/health")[1]
    assert call(bus, "Replay.Get", selector="mon")["state"] == "failed"
    assert json.loads(bus.kv("replays")["mon"]) == record
    with pytest.raises(ServiceError):
        call(bus, "Replay.Pause", selector="mon")


def test_a_workhostd_that_was_overtaken_ends_its_runtimes(stack, bus, workers):
    stack.start("stored")
    first = workers()
    until(lambda: runtimes(first).get("LIVE"), "the runtime of LIVE")
    second = workers("second", ready=False)
    second.wait_line("another workhostd is at work")
    first.freeze()
    second.wait_ready(20)
    taken = until(lambda: runtimes(second).get("LIVE"), "the runtime of LIVE")
    first.thaw()
    first.wait_line(LOST.format("workhostd"))
    first.wait_line("all runtimes end")
    until(lambda: not runtimes(first), "the end of the first one's runtimes")
    time.sleep(0.5)
    assert runtimes(second)["LIVE"] == taken and not runtimes(first)


@pytest.mark.slow(15)
def test_a_feed_that_was_late_goes_on_with_the_same_connection(stack, bus):
    stack.start("stored")
    exchange = Exchange(stack, "--symbols", "BTCUSDT", "--rate", "200")
    feedd = start_feed(stack, exchange, ["BTCUSDT"], ["trade"], "--lease-span", LEASE[1])
    bus.wait_stream("ACT", 200)
    stack.broker.freeze()
    time.sleep(1.5 * SPAN)
    stack.broker.thaw()
    feedd.wait_line(RENEWED.format("feed.binance"), 30)
    bus.wait_stream("ACT", bus.stream_state("ACT").last_seq + 400)
    assert "everything begins anew" not in feedd.output()
    tally = read_lane(bus)
    assert len(tally.events("connected")) == 1 and not tally.events("gap")
