"""stored: streams, buckets, the scenario registry. Source: schemas/specs/streams.md, scenarios.md."""

import json
import re
import time

import pytest
from support.bus import Bus
from support.places import PATIENCE, nats_server
from support.process import Process
from support.services import (ABORTED, DENIED, EXISTS, INVALID, JSON, NOT_FOUND, PRECONDITION, ServiceError,
                              call)

STREAMS = {"ACT", "SC_LIVE", "EXEC", "LIFECYCLE", "COMMAND", "DLQ"}
BUCKETS = {"scenarios", "replays", "workers", "connections", "config", "leases"}


@pytest.fixture
def stored(stack):
    return stack.start("stored")


def restart(stack, *args):
    stack["stored"].stop()
    return stack.start("stored", *args)


def stream_names(bus) -> set[str]:
    return {s.config.name for s in bus.call(bus.js.streams_info())}


def refused(bus, method: str, **fields) -> ServiceError:
    with pytest.raises(ServiceError) as found:
        call(bus, method, **fields)
    return found.value


def test_streams_and_buckets_stand_when_it_is_ready(stored, bus):
    names = stream_names(bus)
    assert STREAMS | {f"KV_{b}" for b in BUCKETS} <= names
    act = bus.call(bus.js.stream_info("ACT")).config
    assert act.subjects == ["act.>"] and act.max_bytes == 4 << 30 and act.max_age == 24 * 3600
    assert act.allow_direct


def test_applying_the_table_again_changes_nothing_and_new_bounds_are_applied(stack, stored, bus):
    bus.publish("act.exchange.binance.trade.tape.X", b"kept")
    bus.wait_stream("ACT", 1)
    restart(stack, "--act-bytes", "1GiB")
    state = bus.call(bus.js.stream_info("ACT"))
    assert state.config.max_bytes == 1 << 30 and state.state.messages == 1


def test_a_stream_that_was_deleted_is_back_after_the_broker_was(stack, stored, bus):
    bus.call(bus.js.delete_stream("EXEC"))
    stack.broker.restart()
    end = time.monotonic() + 20
    while "EXEC" not in stream_names(bus) and time.monotonic() < end:
        time.sleep(0.1)
    assert "EXEC" in stream_names(bus)
    stored.wait_ready()


def test_without_a_broker_it_is_alive_and_not_ready_and_becomes_ready(stack):
    stack.broker.kill()
    stored = stack.start("stored", ready=False)
    assert stored.get("/health/live")[0] == 200
    status, body = stored.get("/health")
    assert status == 503 and "broker" in body
    stack.broker.start()
    stored.wait_ready(20)


@pytest.mark.parametrize("daemon", ["stored", "workhostd", "feedd"])
def test_a_broker_without_jetstream_is_said(stack, tmp_path, daemon):
    broker = Process([nats_server(), "-a", "127.0.0.1", "-p", "-1"], tmp_path / "plain.log")
    port = broker.wait_line(r"Listening for client connections on \S+?:(\d+)", 20)[1]
    started = stack.start(daemon, "--nats-url", f"nats://127.0.0.1:{port}", ready=False)
    try:
        started.wait_line("has no JetStream for us .start it with: nats-server -js", 20)
        assert "nats-server -js" in started.get("/health")[1]
        checks = [json.loads(line) for line in
                  stack.lane("doctor", "--json", "-s", f"nats://127.0.0.1:{port}", check=False).stdout.splitlines()]
        (said,) = [c for c in checks if c["check"] == "jetstream"]
        assert said["verdict"] == "fail" and "has none" in said["found"] and "-js" in said["advice"]
        assert not {"streams", "scenario LIVE", "feedd"} & {c["check"] for c in checks}, "nothing is said twice"
    finally:
        broker.kill()


def test_a_foreign_stream_in_the_way_is_named_and_the_others_are_made(stack, bus):
    bus.call(bus.js.add_stream(name="MINE", subjects=["execution.mine"]))
    stored = stack.start("stored", ready=False)
    line = stored.wait_line(r"stream 'EXEC'.*")[0]
    assert "overlap" in line
    stored.wait_line("not ready: streams: .*EXEC")
    assert stored.get("/health")[0] == 503
    assert STREAMS - {"EXEC"} <= stream_names(bus)
    bus.call(bus.js.delete_stream("MINE"))
    stored.wait_ready(20)


def test_the_second_of_two_waits_and_takes_over(stack, stored, bus):
    second = stack.start("stored", as_name="second", ready=False)
    second.wait_line("not ready: .*holds the lease")
    status, body = second.get("/health")
    assert status == 503 and "holds the lease" in body
    assert stored.stop() == 0
    second.wait_ready()
    assert call(bus, "Scenarios.Get", id="LIVE")["status"] == "active"


def test_the_second_takes_over_from_one_that_was_killed(stack, stored, bus):
    second = stack.start("stored", as_name="second", ready=False)
    second.wait_line("not ready: .*holds the lease")
    stored.kill()
    second.wait_ready(10)
    assert call(bus, "Scenarios.Get", id="LIVE")["status"] == "active"


def test_live_is_seeded_and_never_touched(stack, stored, bus):
    live = call(bus, "Scenarios.Get", id="LIVE")
    assert live["market"]["lane"] == live["portfolio"]["lane"] == live["strategy"]["lane"] == "act"
    for method in ("Pause", "Archive", "Resume", "Restore"):
        assert refused(bus, f"Scenarios.{method}", id="LIVE").code == DENIED
    assert refused(bus, "Scenarios.Delete", id="live", confirm="live").code == DENIED
    for name in ("LIVE", "live", "Live"):
        assert refused(bus, "Scenarios.Create", id=name, market={"lane": "act"}).code == INVALID
    restart(stack)
    assert call(bus, "Scenarios.Get", id="LIVE") == live


@pytest.mark.parametrize("harm", [
    None, b"{}", b"no json",
    b'{"status":"paused","market":{"lane":"act"},"portfolio":{"lane":"act"},"strategy":{"lane":"act"}}',
    b'{"status":"active","market":{"lane":"act"},"portfolio":{"lane":"hyp"},"strategy":{"lane":"act"}}',
])
def test_live_is_seeded_again_at_once_when_its_record_is_harmed(stored, bus, harm):
    store = bus.call(bus.js.key_value("scenarios"))
    for _ in range(2):
        bus.call(store.put("LIVE", harm) if harm else store.delete("LIVE"))
        end = time.monotonic() + 5 * PATIENCE
        while bus.kv("scenarios").get("LIVE") in (None, harm) and time.monotonic() < end:
            time.sleep(0.02)
        live = call(bus, "Scenarios.Get", id="LIVE")
        assert live["status"] == "active"
        assert live["market"]["lane"] == live["portfolio"]["lane"] == live["strategy"]["lane"] == "act"
    assert stored.output().count("'LIVE' was deleted or overwritten") == 2


def test_a_scenario_lives_and_dies(stored, bus):
    made = call(bus, "Scenarios.Create", id="bt1", market={"lane": "hyp", "selector": "mon"}, strategy={"id": "sma"},
                parameters=[{"name": "slow", "value": "20"}, {"name": "fast", "value": "5"}])
    assert made["status"] == "active" and made["clock"] == "historical" and made["portfolio"]["lane"] == "hyp"
    assert [p["name"] for p in made["parameters"]] == ["fast", "slow"]
    record = json.loads(bus.kv("scenarios")["bt1"])
    assert record["status"] == "active" and record["market"] == {"lane": "hyp", "selector": "mon"}
    assert record["parameters"] == {"fast": "5", "slow": "20"}
    assert "SC_bt1" in stream_names(bus)
    assert refused(bus, "Scenarios.Create", id="bt1", market={"lane": "act"}).code == EXISTS

    assert call(bus, "Scenarios.Pause", id="bt1")["status"] == "paused"
    error = refused(bus, "Scenarios.Pause", id="bt1")
    assert error.code == PRECONDITION and error.text.count("paused") == 2
    assert call(bus, "Scenarios.Resume", id="bt1")["status"] == "active"
    assert call(bus, "Scenarios.Archive", id="bt1")["status"] == "archived"
    error = refused(bus, "Scenarios.Resume", id="bt1")
    assert error.code == PRECONDITION and "archived" in error.text and "active" in error.text
    assert call(bus, "Scenarios.Restore", id="bt1")["status"] == "active"

    bus.call(bus.js.publish("sc.bt1.strategy.signal.emitted.sma", b"x"))
    bus.call(bus.call(bus.js.key_value("workers")).put("sc.bt1.sma", b"{}"))
    error = refused(bus, "Scenarios.Delete", id="bt1")
    assert error.code == PRECONDITION and "1 messages" in error.text
    assert "SC_bt1" in stream_names(bus)
    gone = call(bus, "Scenarios.Delete", id="bt1", confirm="bt1")
    assert gone["messages"] == "1" and gone["keys"] == "1"
    assert "SC_bt1" not in stream_names(bus)
    assert bus.kv("workers") == {}
    assert refused(bus, "Scenarios.Get", id="bt1").code == NOT_FOUND


def test_an_etag_that_is_not_the_records_changes_nothing(stored, bus):
    made = call(bus, "Scenarios.Create", id="e", market={"lane": "act"})
    assert refused(bus, "Scenarios.Pause", id="e", etag="99999").code == ABORTED
    assert refused(bus, "Scenarios.Pause", id="e", etag="new").code == INVALID
    assert call(bus, "Scenarios.Pause", id="e", etag=made["etag"])["status"] == "paused"


@pytest.mark.parametrize("fields, word", [
    ({"id": "a.b", "market": {"lane": "act"}}, "a.b"),
    ({"id": "x" * 33, "market": {"lane": "act"}}, "32"),
    ({"id": "x"}, "market is missing"),
    ({"id": "x", "market": {"lane": "act", "selector": "mon"}}, "no selector"),
    ({"id": "x", "market": {"lane": "hyp"}}, "selector"),
    ({"id": "x", "market": {"lane": "hyp", "selector": "Live"}}, "Live"),
    ({"id": "x", "market": {"lane": "act"}, "strategy": {"id": "A B"}}, "strategy.id"),
    ({"id": "x", "market": {"lane": "act"}, "clock": "historical"}, "clock"),
])
def test_what_breaks_a_rule_is_refused_and_named(stored, bus, fields, word):
    error = refused(bus, "Scenarios.Create", **fields)
    assert error.code == INVALID and word in error.text
    assert set(bus.kv("scenarios")) == {"LIVE"}


def test_a_deletion_cut_short_is_finished_at_the_next_start(stack, stored, bus):
    call(bus, "Scenarios.Create", id="half", market={"lane": "act"})
    store = bus.call(bus.js.key_value("scenarios"))
    record = json.loads(bus.kv("scenarios")["half"])
    bus.call(store.put("half", json.dumps({**record, "status": "deleted"}).encode()))
    restart(stack)
    assert "SC_half" not in stream_names(bus)
    assert "half" not in bus.kv("scenarios")


def test_a_record_that_is_none_hides_no_other(stack, stored, bus):
    store = bus.call(bus.js.key_value("scenarios"))
    bus.call(store.put("bad", b"no json"))
    call(bus, "Scenarios.Create", id="good", market={"lane": "act"})
    assert [s["id"] for s in call(bus, "Scenarios.List")["scenarios"]] == ["LIVE", "good"]
    assert "bad" in stored.output()
    restart(stack)


def test_list_takes_filters(stored, bus):
    call(bus, "Scenarios.Create", id="a", market={"lane": "hyp", "selector": "mon"})
    call(bus, "Scenarios.Create", id="b", market={"lane": "hyp", "selector": "tue"})
    call(bus, "Scenarios.Pause", id="b")
    ids = lambda **f: [s["id"] for s in call(bus, "Scenarios.List", **f)["scenarios"]]
    assert ids() == ["LIVE", "a", "b"]
    assert ids(selector="mon") == ["a"]
    assert ids(status="paused") == ["b"]


def test_watch_sends_what_is_and_what_changes(stack, stored, bus):
    inbox = bus.nc.new_inbox()
    items = bus.subscribe(inbox)
    bus.call(bus.nc.publish("svc.virtufin.api.v1.Scenarios.Watch", b"{}", reply=inbox, headers=JSON))
    items.wait(2)
    call(bus, "Scenarios.Create", id="w", market={"lane": "act"})
    call(bus, "Scenarios.Delete", id="w", confirm="w")
    items.wait(5)
    got = [json.loads(m.data) for m in items.messages[:5]]
    assert got[0]["scenario"]["id"] == "LIVE"
    assert got[1]["current"] is True
    assert got[2]["scenario"]["status"] == "active"
    assert got[3]["scenario"]["status"] == "deleted" and not got[3].get("deleted")
    assert got[4]["deleted"] is True and got[4]["scenario"]["id"] == "w"
    assert [m.headers["Lane-Stream"] for m in items.messages[:5]] == ["1", "2", "3", "4", "5"]


def test_the_metrics_tell_of_the_table_and_the_lease(stored):
    assert stored.metric("tradelane_stored_lease_held") == 1
    assert stored.metric("tradelane_stored_table_applied_total") >= 1
    assert stored.metric("tradelane_stored_ready") == 1


def test_a_second_program_on_its_port_is_told_so(stack, stored):
    import subprocess
    from support.places import program
    address = f"127.0.0.1:{stored.http_port}"
    out = subprocess.run([program("stored"), "--http", address, "--nats-url", stack.broker.url],
                         capture_output=True, timeout=20)
    assert out.returncode == 1 and re.search(rf"{stored.http_port}", out.stderr.decode())


def test_it_ends_orderly_within_a_moment(stack, stored):
    began = time.monotonic()
    assert stored.stop() == 0
    assert time.monotonic() - began < 5
