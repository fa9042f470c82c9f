"""workhostd against a real broker and stored: runtimes, feeding, failures, the service.

Source: schemas/specs/workers.md.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import msgpack
import pytest

from support.bus import decode
from support.places import BUILD, PATIENCE, TREE

SERVICE = "svc.virtufin.workmanager.v1.WorkManager."
LIVE_SMA = "sc.LIVE.strategy.signal.emitted.sma"
PROBE = BUILD / "test" / "plugins" / "probe.so"


# --- helpers ---------------------------------------------------------------------------------------------


def trade(number: int, price, symbol: str = "BTCUSDT", **more) -> tuple[str, dict]:
    at = f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000000000Z"
    return f"act.exchange.binance.trade.tape.{symbol}", {
        "specversion": "1.0", "id": f"trade.{symbol}.{number}", "source": "urn:com.virtufin.exchange.binance",
        "type": "com.virtufin.exchange.binance.trade.tape", "subject": f"currency_pair/{symbol}", "time": at,
        "datacontenttype": "application/json", "correlationid": f"c-{number}", "exchange": "binance",
        "clocktype": "wall", "eventtime": at, "recordedtime": at, "walltime": at, "marketlane": "act",
        "data": {"symbol": symbol, "price": str(price), "qty": "1", "side": "buy", "trade_id": number,
                 "trade_time": 1, "event_time": 1, **more}}


def publish(bus, events):
    async def go():
        waiting = []
        for subject, event in events:
            waiting.append(await bus.js.publish_async(
                subject, msgpack.packb(event),
                headers={"Content-Type": "application/cloudevents+msgpack", "Nats-Msg-Id": event["id"]}))
            if len(waiting) == 500:
                for w in waiting:
                    await w
                waiting = []
        for w in waiting:
            await w

    bus.call(go(), 120)


def random_prices(count: int, seed: int = 7) -> list[str]:
    dice, price, prices = random.Random(seed), 6000000, []
    for _ in range(count):
        price += dice.randint(-1000, 1000)
        prices.append(f"{price // 100}.{price % 100:02d}")
    return prices


def expected_signals(prices, fast=5, slow=20) -> list[tuple]:
    """(trade number, side) by exact arithmetic that shares nothing with the worker."""
    cents = [int(p.replace(".", "")) for p in prices]
    last, signals = 0, []
    for i in range(slow - 1, len(cents)):
        difference = sum(cents[i - fast + 1:i + 1]) * slow - sum(cents[i - slow + 1:i + 1]) * fast
        sign = (difference > 0) - (difference < 0)
        if sign and last and sign != last:
            signals.append((i + 1, "buy" if sign > 0 else "sell"))
        last = sign or last
    return signals


def progress(bus, scenario: str, worker: str) -> dict:
    return json.loads(bus.kv("workers").get(f"sc.{scenario}.{worker}", b"{}"))


def until(check, what: str, timeout: float = 20):
    end = time.monotonic() + timeout * PATIENCE
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.02)


def wait_done(bus, scenario, worker, seq, timeout=30, **fields):
    def check():
        p = progress(bus, scenario, worker)
        return p if p.get("done_seq", -1) >= seq and all(p[k] == v for k, v in fields.items()) else None

    return until(check, f"{scenario}/{worker} done up to {seq} {fields}: {progress(bus, scenario, worker)}", timeout)


def outputs(bus, scenario: str, worker: str = "sma", run: str | None = None) -> list[dict]:
    events = [decode(m) for m in bus.read(f"SC_{scenario}", f"sc.{scenario}.strategy.signal.emitted.{worker}")]
    return [e for e in events if run is None or e.get("runid") == run]


def decisions(events) -> list[tuple]:
    return [(int(e["causationseq"]), e["type"], e["data"], e["causationid"]) for e in events]


def runtimes(work) -> dict[str, int]:
    """Scenario -> pid of its runtime."""
    lines = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(work.pid)], capture_output=True, text=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    return {row[-1]: int(row[0]) for row in rows if "--runtime" in row}


def kill_runtime(work, scenario):
    pid = until(lambda: runtimes(work).get(scenario), f"a runtime of {scenario}")
    os.kill(pid, signal.SIGKILL)


def rpc(bus, method: str, service: str = SERVICE, **fields) -> dict:
    answer = bus.request(service + method, json.dumps(fields).encode(), {"Content-Type": "application/json"}, 10)
    headers = answer.headers or {}
    if "Nats-Service-Error-Code" in headers:
        raise RpcError(int(headers["Nats-Service-Error-Code"]), headers["Nats-Service-Error"])
    return json.loads(answer.data)


class RpcError(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


def scenario(bus, method: str, **fields):
    return rpc(bus, method, "svc.virtufin.api.v1.Scenarios.", **fields)


def replay(bus, method: str, **fields):
    return rpc(bus, method, "svc.virtufin.api.v1.Replay.", **fields)


def declare(folder: Path, name: str, config: dict, code: str = "${workers}/sma.so", scenarios=("LIVE",), **more):
    folder.mkdir(exist_ok=True)
    declaration = {"name": name, "code": str(code), "inputs": ["exchange.*.trade.tape.>"],
                   "scenarios": list(scenarios), "config": {k: str(v) for k, v in config.items()}, **more}
    (folder / f"{name}.yaml").write_text(json.dumps(declaration))  # JSON is YAML


@pytest.fixture
def work(tmp_path, stack):
    """work(…) starts workhostd on the declarations in tmp_path/workers, after stored."""
    folder = tmp_path / "workers"

    def start(*args, ready=True, **options):
        if "stored" not in stack.daemons:
            stack.start("stored")
        folder.mkdir(exist_ok=True)
        return stack.start("workhostd", "--workers-dir", folder, "--code-dir", tmp_path / "code",
                           "--lease", "1s", *args, ready=ready, **options)

    start.folder = folder
    return start


# --- the same decisions, live and replayed -------------------------------------------------------------------


def test_live_and_a_backtest_decide_the_same_and_as_plain_arithmetic_says(work, bus):
    declare(work.folder, "sma", {"fast": 5, "slow": 20})
    daemon = work()
    prices = random_prices(6000)
    publish(bus, [trade(i + 1, p) for i, p in enumerate(prices)])
    wait_done(bus, "LIVE", "sma", 6000)
    live = outputs(bus, "LIVE")
    assert [(int(e["causationseq"]), e["data"]["signal"]) for e in live] == expected_signals(prices)
    assert len(live) >= 200
    scenario(bus, "Create", id="bt1", market={"lane": "hyp", "selector": "mon"}, strategy={"id": "sma"})
    replay(bus, "Start", stream="ACT", selector="mon", speed="max", scenarios=["bt1"])
    done = wait_done(bus, "bt1", "sma", 6000, end=True)
    assert done["start_seq"] == 1 and done["outputs"] == len(live)
    assert decisions(outputs(bus, "bt1")) == decisions(live)
    assert daemon.running


TAPES = ["exchange.*.trade.tape.>"]


@pytest.mark.parametrize("inputs", [
    {"one": TAPES, "other": TAPES},
    {"one": TAPES, "eth": ["exchange.binance.trade.tape.ETHUSDT"]},
    {"one": ["exchange.*.trade.tape.ETHUSDT", "exchange.binance.*.tape.>"], "other": ["exchange.binance.trade.>"]},
    {f"w{i}": [f"exchange.*.*.tape.S{i}X{k}" for k in range(4)] + TAPES for i in range(16)},
], ids=["equal", "covered", "overlapping", "many"])
def test_workers_of_one_scenario_may_want_the_same(work, bus, inputs):
    """Each decides in both lanes as it would alone, whatever else is on the venue's lanes."""
    for name, wanted in inputs.items():
        declare(work.folder, name, {"fast": 5, "slow": 20}, scenarios=("LIVE", "bt1"), inputs=wanted)
    work()
    prices = {"BTCUSDT": random_prices(1000), "ETHUSDT": random_prices(1000, 8)}
    events = []
    for i in range(1000):
        events += [trade(i + 1, prices[symbol][i], symbol) for symbol in prices]
        events += [("act.exchange.kraken.auction.tape.X", {**events[-1][1], "id": f"nobodys.{i}"})]
    publish(bus, events)
    for name in inputs:
        wait_done(bus, "LIVE", name, 2999)
    scenario(bus, "Create", id="bt1", market={"lane": "hyp", "selector": "mon"}, strategy={"id": list(inputs)[0]})
    replay(bus, "Start", stream="ACT", selector="mon", speed="max", scenarios=["bt1"])
    for name in inputs:
        wait_done(bus, "bt1", name, 2999, end=True)
        signals = {symbol: expected_signals(prices[symbol]) for symbol in prices if name != "eth" or symbol == "ETHUSDT"}
        live = outputs(bus, "LIVE", name)
        assert Counter(((int(e["causationseq"]) + 2) // 3, e["data"]["signal"], e["data"]["symbol"]) for e in live) == Counter(
            (number, side, symbol) for symbol in signals for number, side in signals[symbol])
        assert len(live) > 20 and decisions(outputs(bus, "bt1", name)) == decisions(live)


@pytest.mark.parametrize("harm", [None, b"{}"])
def test_what_runs_for_live_outlives_its_record(work, stack, bus, harm):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 11)])
    session = wait_done(bus, "LIVE", "probe", 10)["session"]
    pid = runtimes(daemon)["LIVE"]
    stack["stored"].stop()  # nobody is there to mend it
    store = bus.call(bus.js.key_value("scenarios"))
    bus.call(store.put("LIVE", harm) if harm else store.delete("LIVE"))
    daemon.wait_line("'LIVE' is (missing|not its own): what runs for it goes on")
    status, body = daemon.get("/health")
    assert status == 503 and "'LIVE'" in body
    publish(bus, [trade(i, "1") for i in range(11, 21)])
    wait_done(bus, "LIVE", "probe", 20)
    stack.start("stored")
    daemon.wait_ready()
    publish(bus, [trade(i, "1") for i in range(21, 31)])
    wait_done(bus, "LIVE", "probe", 30, session=session)
    assert runtimes(daemon)["LIVE"] == pid
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 30)


def test_a_record_of_live_that_is_not_there_yet_is_nothing_to_be_warned_of(stack, bus):
    """Stored makes the bucket first, then the record: who looks in between has come early."""
    bus.call(bus.js.create_key_value(bucket="scenarios"))
    (stack.folder / "workers").mkdir()
    host = stack.start("workhostd", "--workers-dir", stack.folder / "workers", "--code-dir", stack.folder / "code", ready=False)
    line = host.wait_line("(INFO|WARN ) .*'LIVE' is missing: waiting for stored to seed it")
    assert line[1] == "INFO"
    stack.start("stored")
    host.wait_ready(20)


def test_a_runtime_that_cannot_read_says_so_where_one_looks(work, stack, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 11)])
    wait_done(bus, "LIVE", "probe", 10)
    stack["stored"].stop()  # which would make the stream anew at once
    bus.call(bus.js.delete_stream("ACT"))
    until(lambda: "waits: feed: reading stream 'ACT'" in daemon.get("/health")[1], "its health says why", 40)
    assert daemon.get("/health")[0] == 503
    [worker] = rpc(bus, "ListWorkers")["workers"]
    assert "degraded" in json.dumps(worker) and "reading stream 'ACT'" in json.dumps(worker), worker
    stack.start("stored")
    daemon.wait_ready(30)
    publish(bus, [trade(i, "1") for i in range(11, 21)])
    wait_done(bus, "LIVE", "probe", 10, session="2")
    probe_is_undisturbed([e for e in outputs(bus, "LIVE", "probe") if e["data"]["trade_id"] > 10], 10, first=11)
    [reset] = [decode(m) for m in bus.read("SC_LIVE", "sc.LIVE.control.worker.state_reset.probe")]
    assert {k: reset["data"][k] for k in ("first_missing", "last_missing", "start_seq")} == {
        "first_missing": 1, "last_missing": 10, "start_seq": 1}


def test_a_runtime_goes_on_with_a_stream_that_was_restored(work, stack, bus, nats_cli, broker, tmp_path):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 11)])
    session = wait_done(bus, "LIVE", "probe", 10)["session"]
    stack["stored"].stop()
    nats = [nats_cli, "-s", broker.url, "stream"]
    subprocess.run([*nats, "backup", "ACT", tmp_path / "copy", "--no-progress"], check=True, capture_output=True)
    bus.call(bus.js.delete_stream("ACT"))
    until(lambda: "waits: feed" in daemon.get("/health")[1], "its health says why", 40)
    subprocess.run([*nats, "restore", tmp_path / "copy", "--no-progress"], check=True, capture_output=True)
    stack.start("stored")
    publish(bus, [trade(i, "1") for i in range(11, 21)])
    wait_done(bus, "LIVE", "probe", 20, session=session)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 20)
    until(lambda: daemon.get("/health")[0] == 200, "it is ready again")


@pytest.mark.parametrize("before_the_start", [0, 5, 15])
def test_a_record_that_went_back_is_not_decided_on_again(work, stack, bus, nats_cli, broker, tmp_path, before_the_start):
    """ACT comes back from an older copy while workhostd is down, and feeds write on: fewer or more than were lost."""
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 11)])
    wait_done(bus, "LIVE", "probe", 10)
    stack["stored"].stop()
    nats = [nats_cli, "-s", broker.url, "stream"]
    subprocess.run([*nats, "backup", "ACT", tmp_path / "copy", "--no-progress"], check=True, capture_output=True)
    publish(bus, [trade(i, "1") for i in range(11, 21)])
    wait_done(bus, "LIVE", "probe", 20)
    daemon.stop()
    bus.call(bus.js.delete_stream("ACT"))
    subprocess.run([*nats, "restore", tmp_path / "copy", "--no-progress"], check=True, capture_output=True)
    stack.start("stored")
    new = range(101, 121)
    publish(bus, [trade(i, "1") for i in new[:before_the_start]])
    work()
    if before_the_start == 0:  # or the trades would already be there when the runtime looks
        wait_done(bus, "LIVE", "probe", 10, session="2")
    publish(bus, [trade(i, "1") for i in new[before_the_start:]])
    wait_done(bus, "LIVE", "probe", 30, session="2")
    decided = outputs(bus, "LIVE", "probe")
    assert [e["data"]["trade_id"] for e in decided] == [*range(1, 21), *new]
    probe_is_undisturbed(decided[20:], 20, first=101)
    [reset] = [decode(m) for m in bus.read("SC_LIVE", "sc.LIVE.control.worker.state_reset.probe")]
    assert {k: reset["data"][k] for k in ("first_missing", "last_missing", "start_seq")} == {
        "first_missing": 11, "last_missing": 20, "start_seq": 11}


def test_a_run_that_is_over_stays_as_it_is_when_workhostd_starts_again(work, bus):
    declare(work.folder, "probe", {}, PROBE, scenarios=[])
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 501)])
    scenario(bus, "Create", id="bt1", market={"lane": "hyp", "selector": "mon"}, strategy={"id": "probe"})
    replay(bus, "Start", stream="ACT", selector="mon", speed="max", scenarios=["bt1"])
    before = wait_done(bus, "bt1", "probe", 500, end=True)
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.running, "its end")
    work()
    time.sleep(0.5)
    after = progress(bus, "bt1", "probe")
    assert (after["runid"], after["done_seq"], after["end"]) == (before["runid"], 500, True)
    probe_is_undisturbed(outputs(bus, "bt1", "probe"), 500)
    replay(bus, "Start", stream="ACT", selector="mon", speed="max", scenarios=["bt1"])
    again = until(lambda: (lambda p: p if p["runid"] != before["runid"] and p["end"] else None)(
        progress(bus, "bt1", "probe")), "another run")
    probe_is_undisturbed(outputs(bus, "bt1", "probe", again["runid"]), 500)


def test_outputs_carry_what_the_rules_say(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    work()
    publish(bus, [trade(5, "1.5")])
    wait_done(bus, "LIVE", "probe", 1)
    [event] = outputs(bus, "LIVE", "probe")
    assert event["type"] == "com.virtufin.strategy.signal.emitted"
    assert event["source"] == "urn:com.virtufin.strategy"
    assert event["correlationid"] == "c-5" and event["causationid"] == "trade.BTCUSDT.5"
    assert event["causationseq"] == "1" and event["scenarioid"] == "LIVE" and "runid" not in event
    assert event["time"] == event["eventtime"] == event["recordedtime"] == "2026-01-01T00:00:05.000000000Z"
    assert event["walltime"] > "2026-01-02" and event["clocktype"] == "wall" and event["exchange"] == "binance"
    assert event["marketlane"] == event["portfoliolane"] == event["strategylane"] == "act"
    # The worker's only clock is the scenario's: the highest recordedtime.
    assert event["data"] == {"trade_id": 5, "count": 1, "sum": 5, "now": "1767225605000000000"}


def test_the_example_worker_needs_the_devkit_alone(work, bus, tmp_path):
    example = TREE / "examples" / "streak"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", TREE / "workhost" / "devkit",
                    example / "streak.c", "-o", tmp_path / "streak.so"], check=True)
    work.folder.mkdir()
    declared = (example / "streak.yaml").read_text().replace("code: streak.so", f"code: {tmp_path}/streak.so")
    (work.folder / "streak.yaml").write_text(declared)
    daemon = work()
    dice = random.Random(3)
    sides = [dice.choice(["buy", "sell"]) for _ in range(400)]
    trades = [trade(i + 1, "1", side=side) for i, side in enumerate(sides)]
    publish(bus, trades[:200])
    wait_done(bus, "LIVE", "streak", 200)
    kill_runtime(daemon, "LIVE")
    publish(bus, trades[200:])
    wait_done(bus, "LIVE", "streak", 400)
    expected, count = [], 0
    for i, side in enumerate(sides):
        count = count + 1 if i and side == sides[i - 1] else 1
        if count == 5:
            expected.append((i + 1, side))
    events = [decode(m) for m in bus.read("SC_LIVE", "sc.LIVE.strategy.signal.emitted.streak.BTCUSDT")]
    assert [(int(e["causationseq"]), e["data"]["signal"]) for e in events] == expected and len(expected) > 5


def test_a_seek_begins_anew_with_empty_state(work, bus):
    declare(work.folder, "probe", {}, PROBE, scenarios=[])
    work()
    publish(bus, [trade(i, "1") for i in range(1, 501)])
    scenario(bus, "Create", id="bt1", market={"lane": "hyp", "selector": "mon"}, strategy={"id": "probe"})
    until(lambda: "bt1" in bus.kv("scenarios"), "the scenario")
    replay(bus, "Start", stream="ACT", selector="mon", speed="max", scenarios=["bt1"], paused=True)
    until(lambda: replay(bus, "Get", selector="mon")["state"] == "paused", "paused")
    replay(bus, "Step", selector="mon", count=100)
    first = wait_done(bus, "bt1", "probe", 100)
    replay(bus, "Seek", selector="mon", seq=401)
    replay(bus, "Resume", selector="mon")
    second = wait_done(bus, "bt1", "probe", 500, end=True)
    assert second["runid"] != first["runid"] and second["start_seq"] == 401
    assert [e["data"]["count"] for e in outputs(bus, "bt1", "probe", second["runid"])] == list(range(1, 101))


def test_a_scenarios_parameters_override_the_workers_settings(work, bus):
    declare(work.folder, "sma", {"fast": 5, "slow": 20})
    work()
    prices = random_prices(1000)
    publish(bus, [trade(i + 1, p) for i, p in enumerate(prices)])
    scenario(bus, "Create", id="bt2", market={"lane": "hyp", "selector": "mon"}, strategy={"id": "sma"},
             parameters=[{"name": "sma.fast", "value": "3"}, {"name": "sma.slow", "value": "7"}])
    replay(bus, "Start", stream="ACT", selector="mon", scenarios=["bt2"])
    wait_done(bus, "bt2", "sma", 1000, end=True)
    signals = [(int(e["causationseq"]), e["data"]["signal"]) for e in outputs(bus, "bt2")]
    assert signals == expected_signals(prices, 3, 7)


# --- deaths --------------------------------------------------------------------------------------------------


def probe_is_undisturbed(events, count: int, without=(), first=1):
    """Every answer once, in order, with the state an undisturbed worker would have."""
    ids = [i for i in range(first, first + count) if i not in without]
    expected = [{"trade_id": i, "count": n + 1, "sum": sum(ids[:n + 1])} for n, i in enumerate(ids)]
    assert [{k: e["data"][k] for k in ("trade_id", "count", "sum")} for e in events] == expected


def test_inputs_that_are_no_events_are_passed_over_by_name(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 4)])
    for bytes_ in (b"hello", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff"):
        bus.publish("act.exchange.binance.trade.tape.BTCUSDT", bytes_)
    publish(bus, [trade(i, "1") for i in range(4, 11)])
    wait_done(bus, "LIVE", "probe", 13)
    for seq in (4, 5, 6):
        daemon.wait_line(rf"sequence {seq}, 'act.exchange.binance.trade.tape.BTCUSDT', is no event and is passed over")


def test_a_record_of_progress_that_is_none_is_written_over(work, stack, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 11)])
    wait_done(bus, "LIVE", "probe", 10)
    daemon.stop()
    store = bus.call(bus.js.key_value("workers"))
    bus.call(store.put("sc.LIVE.probe", b"garbage"))
    daemon = work()
    daemon.wait_line("sc.LIVE.probe.*is not a JSON object: beginning anew")
    publish(bus, [trade(i, "1") for i in range(11, 21)])
    wait_done(bus, "LIVE", "probe", 20)


@pytest.mark.slow(15)
def test_a_runtime_killed_again_and_again_gives_what_an_undisturbed_one_gives(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    for part in range(6):
        publish(bus, [trade(part * 2000 + i, "1") for i in range(1, 2001)])
        time.sleep(0.05)
        kill_runtime(daemon, "LIVE")
    wait_done(bus, "LIVE", "probe", 12000, 60)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 12000)
    assert progress(bus, "LIVE", "probe")["session"] == "1"


def test_a_backtest_killed_mid_way_gives_what_an_undisturbed_one_gives(work, bus):
    declare(work.folder, "probe", {}, PROBE, scenarios=[])
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 20001)])
    scenario(bus, "Create", id="bt1", market={"lane": "hyp", "selector": "mon"}, strategy={"id": "probe"})
    replay(bus, "Start", stream="ACT", selector="mon", speed="max", scenarios=["bt1"])
    for _ in range(3):
        time.sleep(0.15)
        kill_runtime(daemon, "bt1")
    wait_done(bus, "bt1", "probe", 20000, 60, end=True)
    probe_is_undisturbed(outputs(bus, "bt1", "probe"), 20000)


def test_workhostd_killed_takes_its_runtimes_along_and_its_successor_goes_on(work, bus, stack):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 3001)])
    children = runtimes(daemon)
    daemon.signal(signal.SIGKILL)
    until(lambda: not daemon.running, "its end")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.values()), "its runtimes' end")
    publish(bus, [trade(i, "1") for i in range(3001, 4001)])
    work()
    wait_done(bus, "LIVE", "probe", 4000)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 4000)


def test_an_orderly_stop_ends_all_and_a_start_goes_on_in_the_same_session(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 1001)])
    wait_done(bus, "LIVE", "probe", 1000)
    children = runtimes(daemon)
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.running, "its end", 5)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())
    publish(bus, [trade(i, "1") for i in range(1001, 2001)])
    again = work()
    wait_done(bus, "LIVE", "probe", 2000)
    assert "from input 1001" in again.output()  # the saved state was complete
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 2000)


def dead_letters(bus) -> list:
    try:
        return bus.read("DLQ")
    except Exception:
        return []


def test_an_input_that_crashes_the_worker_becomes_a_dead_letter_and_nobody_else_notices(work, bus):
    declare(work.folder, "probe", {"crash": 500}, PROBE)
    declare(work.folder, "sma", {"fast": 5, "slow": 20}, scenarios=[])
    daemon = work()
    scenario(bus, "Create", id="paper", market={"lane": "act"}, strategy={"id": "sma"})
    until(lambda: "workhostd[paper]: online" in daemon.output(), "the second runtime")
    other = runtimes(daemon)["paper"]
    prices = random_prices(1000)
    publish(bus, [trade(i + 1, p) for i, p in enumerate(prices)])
    wait_done(bus, "LIVE", "probe", 1000)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 1000, without=[500])
    [letter] = dead_letters(bus)
    assert letter.subject == "dlq.ACT.probe"
    assert letter.headers["Dlq-Sequence"] == "500" and letter.headers["Dlq-Deliveries"] == "3"
    assert letter.headers["Dlq-Scenario"] == "LIVE" and "signal 6" in letter.headers["Dlq-Reason"]
    assert decode(letter)["id"] == "trade.BTCUSDT.500"
    assert progress(bus, "LIVE", "probe")["skipped"] == [500]
    wait_done(bus, "paper", "sma", 1000)
    assert runtimes(daemon)["paper"] == other  # never restarted
    assert [(int(e["causationseq"]), e["data"]["signal"]) for e in outputs(bus, "paper")] == expected_signals(prices)


def test_a_call_that_fails_is_tried_three_times_more_and_then_a_dead_letter(work, bus):
    declare(work.folder, "probe", {"fail": 50}, PROBE)
    work()
    publish(bus, [trade(i, "1") for i in range(1, 101)])
    wait_done(bus, "LIVE", "probe", 100)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 100, without=[50])
    [letter] = dead_letters(bus)
    assert letter.headers["Dlq-Deliveries"] == "4" and letter.headers["Dlq-Reason"] == "told to fail"


@pytest.mark.parametrize("topic, says", [
    ("nobody.hears", "no stream records 'nobody.hears'"),
    ("act.exchange.binance.trade.tape.ETHUSDT", "does not publish on 'act.…'"),
    ("$KV.scenarios.LIVE", "does not publish on '$…'"),
])
def test_an_answer_on_a_topic_that_is_not_for_workers_is_a_dead_letter_and_holds_up_nothing(work, bus, topic, says):
    declare(work.folder, "probe", {"elsewhere": 50, "topic": topic}, PROBE)
    work()
    publish(bus, [trade(i, "1") for i in range(1, 101)])
    wait_done(bus, "LIVE", "probe", 100)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 100, without=[50])
    [letter] = dead_letters(bus)
    assert letter.headers["Dlq-Sequence"] == "50" and says in letter.headers["Dlq-Reason"]
    assert len(bus.read("ACT")) == 100


def test_market_data_do_not_say_where_decisions_go(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    work()
    elsewhere = {"replytopic": "act.exchange.binance.trade.tape.ETHUSDT"}
    publish(bus, [(subject, {**event, **elsewhere}) for subject, event in (trade(i, "1") for i in range(1, 51))])
    wait_done(bus, "LIVE", "probe", 50)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 50)
    assert len(bus.read("ACT")) == 50


def test_a_replay_waits_for_a_runtime_that_is_started_again_and_a_diff_for_its_end(work, bus, stack):
    declare(work.folder, "probe", {"fail": 15000}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 20001)])
    wait_done(bus, "LIVE", "probe", 20000)
    scenario(bus, "Create", id="bt1", market={"lane": "hyp", "selector": "mon"}, strategy={"id": "probe"})
    # A call that fails ends the runtime, which is started again.
    stack.lane("replay", "start", "ACT", "--selector", "mon", "--scenario", "bt1", "--speed", "max", "--wait")
    [same] = stack.lane_json("diff", "LIVE", "bt1")
    assert same["equal"] and same["events"] == 19999 and same["last_seq"] == 20000
    # An orderly end does, too; what is not over is no answer.
    replay(bus, "Start", stream="ACT", selector="mon", speed="4000x", scenarios=["bt1"])
    until(lambda: outputs_so_far(bus) > 20100, "the second run gets going")
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.running, "its end", 5)
    done = stack.lane("diff", "LIVE", "bt1", check=False)
    assert done.returncode == 2 and "'probe' of bt1 has not ended its run" in done.stderr and "--partial" in done.stderr
    assert json.loads(stack.lane("diff", "LIVE", "bt1", "--partial", "--json").stdout)["events"] < 19999
    assert replay(bus, "Get", selector="mon")["state"] == "running"
    work()
    until(lambda: replay(bus, "Get", selector="mon")["state"] == "finished", "the replay's end", 60)
    assert replay(bus, "Get", selector="mon")["message"] == ""
    [same] = stack.lane_json("diff", "LIVE", "bt1")
    assert same["events"] == 19999


def outputs_so_far(bus) -> int:
    return bus.stream_state("SC_bt1").messages


def test_a_call_that_fails_once_is_repeated_from_the_restored_state(work, bus, tmp_path):
    declare(work.folder, "probe", {"fail": 50, "once": tmp_path / "failed"}, PROBE)
    work()
    publish(bus, [trade(i, "1") for i in range(1, 101)])
    wait_done(bus, "LIVE", "probe", 100)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 100)
    assert (tmp_path / "failed").exists() and dead_letters(bus) == []


def test_a_call_that_hangs_is_ended_at_the_limit(work, bus):
    declare(work.folder, "probe", {"hang": 20}, PROBE)
    work("--call-limit", "300ms")
    publish(bus, [trade(i, "1") for i in range(1, 41)])
    wait_done(bus, "LIVE", "probe", 40)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 40, without=[20])
    [letter] = dead_letters(bus)
    assert "longer than 300 ms" in letter.headers["Dlq-Reason"]


def test_the_broker_may_go_away_and_come_back(work, bus, broker):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 501)])
    wait_done(bus, "LIVE", "probe", 500)
    broker.kill()
    until(lambda: daemon.get("/health")[0] == 503, "not ready")
    assert daemon.get("/health/live")[0] == 200
    broker.start()
    until(lambda: bus.nc.is_connected, "the test's connection")
    daemon.wait_ready(20)
    publish(bus, [trade(i, "1") for i in range(501, 1001)])
    wait_done(bus, "LIVE", "probe", 1000, 40)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 1000)


# --- pausing, sessions, what is gone -------------------------------------------------------------------------


def test_a_paused_scenario_stops_where_it_is_and_skips_nothing(work, bus):
    declare(work.folder, "probe", {}, PROBE, scenarios=[], start="first")
    daemon = work()
    scenario(bus, "Create", id="paper", market={"lane": "act"}, strategy={"id": "probe"})
    publish(bus, [trade(i, "1") for i in range(1, 101)])
    wait_done(bus, "paper", "probe", 100)
    scenario(bus, "Pause", id="paper")
    until(lambda: "paper" not in runtimes(daemon), "the runtime's end")
    publish(bus, [trade(i, "1") for i in range(101, 201)])
    time.sleep(0.3)
    assert progress(bus, "paper", "probe")["done_seq"] == 100
    scenario(bus, "Resume", id="paper")
    wait_done(bus, "paper", "probe", 200)
    probe_is_undisturbed(outputs(bus, "paper", "probe"), 200)
    assert progress(bus, "paper", "probe")["session"] == "1"


def test_a_deleted_scenario_leaves_no_runtime_and_no_key(work, bus):
    declare(work.folder, "probe", {}, PROBE, scenarios=[], start="first")
    daemon = work()
    scenario(bus, "Create", id="paper", market={"lane": "act"}, strategy={"id": "probe"})
    publish(bus, [trade(i, "1") for i in range(1, 101)])
    wait_done(bus, "paper", "probe", 100)
    scenario(bus, "Delete", id="paper", confirm="paper")
    until(lambda: "paper" not in runtimes(daemon), "the runtime's end")
    time.sleep(0.5)
    assert not [key for key in bus.kv("workers") if key.startswith("sc.paper.")]
    assert daemon.running


def test_inputs_that_are_gone_reset_the_worker_and_say_so(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 101)])
    wait_done(bus, "LIVE", "probe", 100)
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.running, "its end")
    publish(bus, [trade(i, "1") for i in range(101, 201)])
    bus.call(bus.js.purge_stream("ACT", seq=151))
    work()
    done = wait_done(bus, "LIVE", "probe", 200)
    assert done["session"] == "2" and done["start_seq"] == 151
    [said] = [decode(m) for m in bus.read("SC_LIVE", "sc.LIVE.control.worker.state_reset.probe")]
    assert said["data"] == {"worker": "probe", "session": "2", "first_missing": 101, "last_missing": 150,
                            "start_seq": 151}
    assert [e["data"]["count"] for e in outputs(bus, "LIVE", "probe")][100:] == list(range(1, 51))


def stored_keys(bus, *keys) -> dict[str, bytes]:
    everything = bus.kv("workers")
    return {key: everything[key] for key in keys}


def put_back(bus, entries: dict[str, bytes]):
    async def go():
        bucket = await bus.js.key_value("workers")
        for key, value in entries.items():
            await bucket.put(key, value)

    bus.call(go())


def test_an_output_that_is_stored_with_other_data_is_not_sent_again_and_said(work, bus):
    def ended(daemon):
        daemon.signal(signal.SIGTERM)
        until(lambda: not daemon.running, "its end")

    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    publish(bus, [trade(i, "1") for i in range(1, 11)])
    wait_done(bus, "LIVE", "probe", 10)
    ended(daemon)
    at_ten = stored_keys(bus, "sc.LIVE.probe", "sc.LIVE.probe.state")
    # The next output, to know its id; then all is as it was after ten, but for another output of that id.
    daemon = work()
    publish(bus, [trade(11, "1")])
    wait_done(bus, "LIVE", "probe", 11)
    ended(daemon)
    put_back(bus, at_ten)
    subject = "sc.LIVE.strategy.signal.emitted.probe"
    [last] = bus.read("SC_LIVE", subject, from_seq=bus.stream_state("SC_LIVE").last_seq)
    bus.call(bus.js.delete_msg("SC_LIVE", last.metadata.sequence.stream))
    planted = decode(last) | {"data": {"trade_id": 11, "count": 4711, "sum": 0, "now": "0"}}
    bus.call(bus.js.publish(subject, msgpack.packb(planted),
                            headers={"Content-Type": "application/cloudevents+msgpack"}))
    at = bus.stream_state("SC_LIVE").last_seq
    publish(bus, [trade(12, "1")])
    daemon = work()
    wait_done(bus, "LIVE", "probe", 12)
    [said] = [decode(m) for m in bus.read("SC_LIVE", "sc.LIVE.control.worker.output_conflict.probe")]
    assert said["data"] == {"worker": "probe", "id": planted["id"], "input_seq": 11, "stored_seq": at}
    assert planted["id"] in daemon.output()
    events = outputs(bus, "LIVE", "probe")
    assert [e["data"]["count"] for e in events] == [*range(1, 11), 4711, 12]
    assert max(Counter(e["id"] for e in events).values()) == 1


# --- on a virtual clock --------------------------------------------------------------------------------------


def test_runtimes_go_by_the_clock_of_workhostd(work, bus):
    at = 1_900_000_000_000_000_000
    inbox = "answers.clock"
    answers = bus.subscribe(inbox)

    def move(ns: int):
        """Moves the clock and waits for all who go by it: workhostd and the runtime."""
        seen = len(answers.messages)
        bus.call(bus.nc.publish("test.clock", str(ns).encode(), reply=inbox))
        assert [m.data for m in answers.wait(seen + 2)[seen:]] == [str(ns).encode()] * 2

    def tick_until(check, what: str):
        """Time must pass for what waits: by 50 ms a look."""
        nonlocal at

        def look():
            nonlocal at
            at += 50_000_000
            bus.publish("test.clock", str(at).encode())
            return check()

        until(look, what)

    def walltimes() -> list[str]:
        return [e["walltime"] for e in outputs(bus, "LIVE", "probe")]

    declare(work.folder, "probe", {}, PROBE)
    daemon = work("--clock", "bus:test.clock", ready=False)
    tick_until(lambda: daemon.get("/health")[0] == 200, "ready")
    move(2_000_000_000_000_000_000)
    publish(bus, [trade(1, "1")])
    wait_done(bus, "LIVE", "probe", 1)
    move(2_000_000_000_000_000_001)
    publish(bus, [trade(2, "1")])
    wait_done(bus, "LIVE", "probe", 2)
    # A runtime that is started when the clock does not move any more begins where it stands.
    at = 2_000_000_001_000_000_000
    kill_runtime(daemon, "LIVE")
    tick_until(lambda: state_of(bus, "probe") == "online" and "LIVE" in runtimes(daemon), "another runtime")
    publish(bus, [trade(3, "1")])
    wait_done(bus, "LIVE", "probe", 3)
    first, second, third = walltimes()
    assert (first, second) == ("2033-05-18T03:33:20.000000000Z", "2033-05-18T03:33:20.000000001Z")
    assert "2033-05-18T03:33:21" <= third < "2033-05-18T03:34"
    assert progress(bus, "LIVE", "probe")["updated"].startswith("2033-05-18T03:33:2")


# --- the service ---------------------------------------------------------------------------------------------


def encoded(path: Path) -> str:
    import base64
    return base64.b64encode(path.read_bytes()).decode()


def test_a_worker_is_created_started_given_new_code_stopped_and_deleted(work, bus):
    work()
    made = rpc(bus, "CreateWorker", codeSource={"content": encoded(PROBE)}, mimeType="application/x-native-dll",
               topic="act.exchange.binance.trade.tape.>", name="mine", scenarios=["LIVE"], config={"every": "1"},
               tags={"team": "desk"})
    assert made["id"] == "mine"
    [info] = rpc(bus, "ListWorkers", filters=[{"key": "team", "value": "desk"}])["workers"]
    assert info["status"] == "WORKER_STATUS_STOPPED" and info["topic"] == "exchange.binance.trade.tape.>"
    assert info["config"] == {"every": "1"} and info["tags"] == {"team": "desk"}
    assert rpc(bus, "ListWorkers", filters=[{"key": "team", "value": "x"}])["workers"] == []
    rpc(bus, "StartWorker", id="mine")
    rpc(bus, "StartWorker", id="mine")
    wait_done(bus, "LIVE", "mine", 0)
    publish(bus, [trade(i, "1") for i in range(1, 51)])
    first = wait_done(bus, "LIVE", "mine", 50)
    loaded = rpc(bus, "LoadCode", id="mine", codeSource={"content": encoded(BUILD / "workers" / "sma.so")})
    assert loaded["sha256"] != info["sha256"]
    assert len(rpc(bus, "GetWorkerHistory", id="mine")["entries"]) == 2
    # sma does not know the setting 'every': it cannot run, and that is said.
    until(lambda: rpc(bus, "ListWorkers")["workers"][0]["instances"][0]["state"] == "failed", "failed")
    rpc(bus, "LoadCode", id="mine", codeSource={"content": encoded(PROBE)})
    publish(bus, [trade(i, "1") for i in range(51, 101)])
    second = wait_done(bus, "LIVE", "mine", 100)
    assert first["session"] == "1" and second["session"] == "2" and second["start_seq"] == 51
    assert [e["data"]["count"] for e in outputs(bus, "LIVE", "probe")] == list(range(1, 51)) * 2
    rpc(bus, "StopWorker", id="mine")
    rpc(bus, "DeleteWorker", id="mine")
    assert rpc(bus, "ListWorkers")["workers"] == []
    time.sleep(0.5)
    assert bus.kv("workers") == {}


def created(bus, name: str = "mine", **more):
    rpc(bus, "CreateWorker", codeSource={"content": encoded(PROBE)}, mimeType="application/x-native-dll",
        topic="exchange.binance.trade.tape.>", name=name, scenarios=["LIVE"], **more)


def refusal(bus, method: str, **fields) -> RpcError:
    with pytest.raises(RpcError) as refused:
        rpc(bus, method, **fields)
    return refused.value


def test_tags_are_set_read_and_taken_away_within_their_bounds(work, bus):
    work()
    created(bus, tags={"team": "desk"})
    rpc(bus, "SetTag", id="mine", key="owner", value="ann")
    rpc(bus, "SetTags", id="mine", tags={"team": "lab", "empty": ""})
    assert rpc(bus, "GetTag", id="mine", key="team") == {"value": "lab"}
    assert rpc(bus, "GetTags", id="mine")["tags"] == {"team": "lab", "owner": "ann", "empty": ""}
    assert rpc(bus, "GetTags", id="mine", keys=["owner", "nothing"])["tags"] == {"owner": "ann"}
    [info] = rpc(bus, "ListWorkers", filters=[{"key": "owner", "value": "ann"}])["workers"]
    assert info["id"] == "mine"
    rpc(bus, "SetTags", id="mine", remove=["empty", "nothing"], tags={"owner": "bob"})
    before = {"team": "lab", "owner": "bob"}
    assert rpc(bus, "GetTags", id="mine")["tags"] == before
    assert refusal(bus, "GetTag", id="mine", key="empty").code == 5
    assert refusal(bus, "SetTag", id="nobody", key="a", value="b").code == 5
    for key, value in [("", "x"), ("k" * 129, "x"), ("k", "v" * 1025)]:
        assert refusal(bus, "SetTags", id="mine", tags={"fine": "x", key: value}).code == 3
    many = refusal(bus, "SetTags", id="mine", tags={f"t{i}": "x" for i in range(49)})
    assert many.code == 3 and "more than 50 tags" in many.text
    assert rpc(bus, "GetTags", id="mine")["tags"] == before
    full = {f"t{i}": "v" * 1024 for i in range(47)} | {"k" * 128: "x"}
    rpc(bus, "SetTags", id="mine", tags=full)
    assert rpc(bus, "GetTags", id="mine")["tags"] == before | full
    assert json.loads(bus.kv("workers")["worker.mine"])["tags"] == before | full


def test_tags_restart_nothing_and_outlive_workhostd(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    running = runtimes(daemon)
    rpc(bus, "SetTag", id="probe", key="owner", value="ann")
    publish(bus, [trade(i, "1") for i in range(1, 51)])
    wait_done(bus, "LIVE", "probe", 50)
    assert runtimes(daemon) == running
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.running, "its end")
    work()
    assert rpc(bus, "GetTags", id="probe")["tags"] == {"owner": "ann"}
    assert progress(bus, "LIVE", "probe")["session"] == "1"


def state_of(bus, worker: str) -> str:
    [info] = [w for w in rpc(bus, "ListWorkers")["workers"] if w["id"] == worker]
    return info["instances"][0]["state"] if info["instances"] else ""


def test_recovering_starts_what_should_run_and_does_not(work, bus, tmp_path):
    declare(work.folder, "sma", {}, scenarios=[])
    daemon = work()
    scenario(bus, "Create", id="paper", market={"lane": "act"}, strategy={"id": "sma"})
    until(lambda: "workhostd[paper]: online" in daemon.output(), "the runtime of the other scenario")
    other = runtimes(daemon)["paper"]
    assert rpc(bus, "RecoverWorkers") == {"recoveredCount": 0}
    created(bus)
    # Its code is not there when it is to be started: it stays without a runtime, and nothing tries again.
    code = tmp_path / "code" / (rpc(bus, "ListWorkers")["workers"][0]["sha256"] + ".so")
    kept = code.rename(tmp_path / "kept.so")
    rpc(bus, "StartWorker", id="mine")
    until(lambda: "worker mine:" in daemon.output(), "the reason")
    assert rpc(bus, "RecoverWorkers") == {"recoveredCount": 0} and "LIVE" not in runtimes(daemon)
    kept.rename(code)
    assert rpc(bus, "RecoverWorkers") == {"recoveredCount": 1}
    until(lambda: state_of(bus, "mine") == "online", "online")
    assert rpc(bus, "RecoverWorkers") == {"recoveredCount": 0}
    assert runtimes(daemon)["paper"] == other
    publish(bus, [trade(i, "1") for i in range(1, 51)])
    wait_done(bus, "LIVE", "mine", 50)
    probe_is_undisturbed(outputs(bus, "LIVE", "probe"), 50)


def test_recovering_tries_a_failed_worker_again(work, bus):
    declare(work.folder, "probe", {"refuse": 1}, PROBE)
    daemon = work()
    for tries in range(1, 3):
        until(lambda: daemon.output().count("worker probe cannot run") == tries, "its failure")
        until(lambda: state_of(bus, "probe") == "failed", "failed")
        assert rpc(bus, "RecoverWorkers") == {"recoveredCount": 1}


def test_recovering_does_not_wait_for_the_back_off(work, bus):
    declare(work.folder, "probe", {}, PROBE)
    daemon = work()
    for _ in range(5):  # 200 ms doubled: the next start is 6.4 s away
        kill_runtime(daemon, "LIVE")
        until(lambda: state_of(bus, "probe") == "degraded", "its end")
        assert rpc(bus, "RecoverWorkers") == {"recoveredCount": 1}
        until(lambda: state_of(bus, "probe") == "online", "online at once", 3)


def test_a_created_worker_outlives_workhostd(work, bus):
    daemon = work()
    rpc(bus, "CreateWorker", codeSource={"content": encoded(PROBE)}, mimeType="application/x-native-dll",
        topic="exchange.binance.trade.tape.>", name="mine", scenarios=["LIVE"])
    rpc(bus, "StartWorker", id="mine")
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.running, "its end")
    work()
    publish(bus, [trade(i, "1") for i in range(1, 51)])
    wait_done(bus, "LIVE", "mine", 50)


@pytest.mark.parametrize("method, fields, code, says", [
    ("CreateWorker", {"mimeType": "application/x-native-dll", "topic": "exchange.a.b.c"}, 3, "content or url"),
    ("CreateWorker", {"mimeType": "text/x-cobol", "topic": "exchange.a.b.c", "codeSource": {"content": "AA=="}},
     12, "no engine for MIME type 'text/x-cobol'"),
    ("CreateWorker", {"mimeType": "application/x-native-dll", "codeSource": {"content": "AA=="}}, 3, "topic"),
    ("CreateWorker", {"mimeType": "application/x-native-dll", "topic": "sc.LIVE.x.y.z",
                      "codeSource": {"content": "AA=="}}, 3, "a market lane is wanted"),
    ("CreateWorker", {"mimeType": "application/x-native-dll", "topic": "exchange.a.b.c", "name": "No Name",
                      "codeSource": {"content": "AA=="}}, 3, "worker name"),
    ("CreateWorker", {"mimeType": "application/x-native-dll", "topic": "exchange.a.b.c",
                      "contentSha256": "00", "codeSource": {"content": "AA=="}}, 3, "content_sha256"),
    ("CreateWorker", {"mimeType": "application/x-native-dll", "topic": "exchange.a.b.c",
                      "codeSource": {"url": "ftp://x/y"}}, 3, "not an absolute http or https URL"),
    ("CreateWorker", {"mimeType": "application/x-native-dll", "topic": "exchange.a.b.c",
                      "codeSource": {"url": "http://127.0.0.1:1/y"}}, 7, "private, local or reserved"),
    ("StartWorker", {"id": "nobody"}, 5, "'nobody'"),
    ("LoadCode", {"id": "nobody", "codeSource": {"content": "AA=="}}, 5, "'nobody'"),
    ("DeleteWorker", {"id": "sma"}, 9, "is declared in"),
    ("GetWorkerHistory", {"id": "nobody"}, 5, "'nobody'"),
])
def test_a_bad_request_gets_its_code_and_its_reason(work, bus, method, fields, code, says):
    declare(work.folder, "sma", {})
    work()
    with pytest.raises(RpcError) as refused:
        rpc(bus, method, **fields)
    assert refused.value.code == code and says in refused.value.text


def test_lifecycle_events_are_recorded(work, bus):
    declare(work.folder, "sma", {})
    daemon = work()
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.running, "its end")
    events = [decode(m) for m in bus.read("LIFECYCLE", "workmanager.workerstatus")]
    states = [e["type"].rsplit(".", 1)[1] for e in events]
    assert states == ["registered", "starting", "online", "stopping", "stopped"]
    assert events[2]["data"]["worker_id"] == "sma" and events[2]["data"]["scenario"] == "LIVE"
    assert max(Counter(e["id"] for e in events).values()) == 1


def test_a_second_workhostd_waits_for_the_first(work, stack, bus):
    declare(work.folder, "sma", {})
    first = work()
    second = work(ready=False, as_name="second")
    until(lambda: "another workhostd is at work" in second.get("/health")[1], "the reason")
    assert second.get("/health")[0] == 503 and runtimes(second) == {}
    first.signal(signal.SIGTERM)
    second.wait_ready(10)
    assert "LIVE" in runtimes(second)


def test_a_workers_dir_that_is_none_is_named_before_anything_else(stack, tmp_path):
    stack.broker.stop()
    (tmp_path / "file").touch()
    for name, folder, says in (("a", "/nope", "No such file"), ("b", tmp_path / "file", "is no folder")):
        daemon = stack.start("workhostd", "--workers-dir", folder, as_name=name, ready=False)
        daemon.wait_line(f"workers_dir '{folder}'.*{says}", 2)


def test_declarations_that_are_wrong_are_named_and_left_out(work, bus):
    declare(work.folder, "sma", {})
    (work.folder / "bad.yaml").write_text("name: bad\nspeed: 3\n")
    (work.folder / "nocode.yaml").write_text("name: nocode\ncode: nothing.so\ninputs: [exchange.a.b.c]\nscenarios: [LIVE]\n")
    daemon = work()
    assert "bad.yaml: line 2: 'speed' is not a key of a worker" in daemon.output()
    assert "nothing.so" in daemon.output()
    assert [w["id"] for w in rpc(bus, "ListWorkers")["workers"]] == ["nocode", "sma"]
    publish(bus, [trade(1, "1")])
    wait_done(bus, "LIVE", "sma", 1)


def test_the_stock_cli_sees_the_service(work, nats_cli, broker):
    work()
    listing = subprocess.run([nats_cli, "-s", broker.url, "micro", "info", "workhostd"], capture_output=True, text=True)
    assert "WorkManager-ListWorkers" in listing.stdout, listing.stdout + listing.stderr
