"""Replay through stored: what comes out is what ACT holds. Source: schemas/specs/replay.md.

TL_REPLAY_EVENTS sets how many events the comparison is over (default 1,000,000).
"""

import json
import os
import re
import subprocess
import time

import pytest
from support.places import BUILD, PATIENCE, program
from support.process import Process
from support.services import (EXISTS, INVALID, NOT_FOUND, OUT_OF_RANGE, PRECONDITION, ServiceError, call, wait_replay)
from support.spine import wait_for

EVENTS = int(os.environ.get("TL_REPLAY_EVENTS", "1000000"))
TOOL = BUILD / "tools" / "replay_tool"


def write(broker, count: int, first: int = 1):
    subprocess.run([TOOL, "write", broker.url, str(first), str(count)], check=True, timeout=300 * PATIENCE)


class Check(Process):
    """A participant that compares every event with the stored one, or a watcher (--plain)."""

    def __init__(self, stack, selector: str, name: str, *args, verb="check"):
        folder = stack.folder / "checks"
        folder.mkdir(exist_ok=True)
        super().__init__([TOOL, verb, stack.broker.url, selector, name, *args], folder / f"{name}.log")

    def joined(self) -> str:
        return self.wait_line(r"joined run (\S+)")[1]

    def result(self, timeout: float = 120, code: int = 0) -> dict:
        assert self.wait(timeout) == code, self.output()
        return json.loads(re.search(r"^\{.*\}$", self.output(), re.MULTILINE)[0])


@pytest.fixture
def stored(stack):
    return stack.start("stored")


def start(bus, selector="mon", **fields) -> dict:
    return call(bus, "Replay.Start", selector=selector, **fields)


def refused(bus, method: str, **fields) -> ServiceError:
    with pytest.raises(ServiceError) as found:
        call(bus, method, **fields)
    return found.value


def sequences(watch) -> list[int]:
    return [int(m.headers["Lane-Seq"]) for m in watch.messages if ".control." not in m.subject]


def wait_events(watch, count: int, timeout: float = 10) -> list[int]:
    end = time.monotonic() + timeout * PATIENCE
    while len(sequences(watch)) < count:
        assert time.monotonic() < end, f"{len(sequences(watch))} of {count} events"
        time.sleep(0.01)
    return sequences(watch)


@pytest.mark.slow(35)
def test_every_event_is_the_stored_one_and_two_replays_differ_in_run_and_walltime_alone(stack, stored, bus):
    write(stack.broker, EVENTS)
    digests = []
    for n in range(2):
        start(bus, paused=True)
        check = Check(stack, "mon", f"check{n}")
        runid = check.joined()
        call(bus, "Replay.Resume", selector="mon")
        result = check.result(600)
        assert result["runid"] == runid
        assert result["events"] == EVENTS and result["wrong"] == result["lost"] == 0
        assert result["end"] == "finished" and (result["first_seq"], result["last_seq"]) == (1, EVENTS)
        digests.append(result["digest"])
        info = wait_replay(bus, "mon", "finished")
        assert info["sent"] == str(EVENTS) and info["message"] == ""
    # the digest is over all bytes but the values of runid and walltime
    assert digests[0] == digests[1]


@pytest.mark.slow(20)
def test_memory_stays_bounded(stack, stored, bus):
    write(stack.broker, 100_000)
    for n in range(2):
        start(bus, paused=True)
        check = Check(stack, "mon", f"check{n}", "--slow-us", "20")
        check.joined()
        call(bus, "Replay.Resume", selector="mon")
        check.result()
    peak_kib = int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{stored.pid}/status").read())[1])
    if "san" not in str(BUILD):
        assert peak_kib < 40 * 1024


def test_a_slow_participant_slows_the_replay_and_loses_nothing(stack, stored, bus):
    write(stack.broker, 30_000)
    start(bus, paused=True)
    slow, fast = Check(stack, "mon", "slow", "--slow-us", "100"), Check(stack, "mon", "fast")
    slow.joined(), fast.joined()
    began = time.monotonic()
    call(bus, "Replay.Resume", selector="mon")
    end = time.monotonic() + 10 * PATIENCE
    while (info := call(bus, "Replay.Get", selector="mon"))["slowest"] != "slow":
        assert info["state"] == "running" and time.monotonic() < end, info
        time.sleep(0.02)
    assert int(info["sent"]) - int(next(p["doneSeq"] for p in info["participants"] if p["name"] == "slow")) <= 16384
    for check in (slow, fast):
        result = check.result()
        assert result["events"] == 30_000 and result["lost"] == result["wrong"] == 0
    assert time.monotonic() - began > 30_000 * 100e-6


def test_a_participant_that_falls_silent_is_named_and_no_longer_waited_for(stack, bus):
    stack.start("stored", "--replay-lease", "1s")
    write(stack.broker, 30_000)
    start(bus, paused=True)
    silent, alive = Check(stack, "mon", "silent"), Check(stack, "mon", "alive")
    silent.joined(), alive.joined()
    silent.kill()
    call(bus, "Replay.Resume", selector="mon")
    assert alive.result()["events"] == 30_000
    info = wait_replay(bus, "mon", "finished")
    assert info["message"] == "participants lapsed: silent"
    assert {p["name"]: p["state"] for p in info["participants"]} == {"silent": "lapsed", "alive": "joined"}


def test_pause_step_resume_and_stop_do_what_they_say(stack, stored, bus):
    write(stack.broker, 20_000)
    lane = bus.subscribe("hyp.mon.>")
    assert start(bus, speed="1x")["state"] == "running"
    wait_events(lane, 1)
    paused = call(bus, "Replay.Pause", selector="mon")
    assert paused["state"] == "paused"
    at = int(paused["position"])
    assert 0 < at < 20_000
    time.sleep(0.3)
    assert call(bus, "Replay.Get", selector="mon")["position"] == str(at)
    assert refused(bus, "Replay.Pause", selector="mon").code == PRECONDITION
    stepped = call(bus, "Replay.Step", selector="mon", count=3)
    assert stepped["position"] == str(at + 3) and stepped["state"] == "paused"
    assert call(bus, "Replay.Step", selector="mon")["position"] == str(at + 4)
    assert wait_events(lane, at + 4) == list(range(1, at + 5))
    assert call(bus, "Replay.Resume", selector="mon")["state"] == "running"
    assert refused(bus, "Replay.Step", selector="mon").code == PRECONDITION
    wait_events(lane, at + 5)
    assert call(bus, "Replay.Stop", selector="mon")["state"] == "stopped"
    ended = wait_replay(bus, "mon", "stopped")
    sent = int(ended["position"])
    assert at + 4 < sent < 20_000
    assert wait_events(lane, sent) == list(range(1, sent + 1))
    error = refused(bus, "Replay.Resume", selector="mon")
    assert error.code == PRECONDITION and "stopped" in error.text


def test_a_refused_start_leaves_the_record_of_the_last_replay_as_it_was(stack, stored, bus):
    write(stack.broker, 1000)
    start(bus, to_seq=500)
    ended = wait_replay(bus, "mon", "finished")
    time.sleep(1.2)  # the record is written at most each second
    before = bus.kv("replays")["mon"]
    assert json.loads(before)["state"] == "finished" and json.loads(before)["runid"] == ended["runid"]
    for _ in range(3):
        error = refused(bus, "Replay.Start", selector="mon", from_seq=99999999)
        assert error.code == OUT_OF_RANGE and "99999999" in error.text
        assert call(bus, "Replay.Get", selector="mon") == ended
    time.sleep(1.2)
    assert bus.kv("replays")["mon"] == before
    start(bus, to_seq=10)
    assert wait_replay(bus, "mon", "finished")["runid"] != ended["runid"]


def test_who_watches_a_replay_that_is_stopped_is_told_where(stack, stored, bus):
    write(stack.broker, 1000)
    start(bus, paused=True)
    call(bus, "Replay.Step", selector="mon", count=7)
    call(bus, "Replay.Stop", selector="mon")
    watched = stack.lane("replay", "watch", "mon", check=False)
    assert watched.returncode == 1
    assert watched.stderr.strip().endswith("the replay on 'mon' stopped at sequence 7")


def test_seek_by_sequence_and_by_time_starts_a_new_run_there(stack, stored, bus):
    write(stack.broker, 5000)
    first = start(bus, paused=True)
    lane = bus.subscribe("hyp.mon.>")
    second = call(bus, "Replay.Seek", selector="mon", seq=4000)
    assert second["runid"] != first["runid"] and second["replay"] == first["replay"] and second["state"] == "paused"
    call(bus, "Replay.Step", selector="mon", count=2)
    assert wait_events(lane, 2) == [4000, 4001]
    stored_event = bus.read("ACT", from_seq=1234, to_seq=1234)[0]
    import msgpack
    recorded = msgpack.unpackb(stored_event.data)["recordedtime"]
    call(bus, "Replay.Seek", selector="mon", time=recorded)
    call(bus, "Replay.Step", selector="mon")
    assert wait_events(lane, 3)[2] == 1234
    error = refused(bus, "Replay.Seek", selector="mon", seq=6000)
    assert error.code == OUT_OF_RANGE and "6000" in error.text and "5000" in error.text
    assert refused(bus, "Replay.Seek", selector="mon").code == INVALID
    seeks = [m for m in lane.messages if m.subject.endswith("control.watermark")
             and msgpack.unpackb(m.data)["data"]["state"] == "seek"]
    assert len(seeks) >= 1 and all(msgpack.unpackb(m.data)["data"]["end"] for m in seeks)


def test_pace_follows_the_recorded_times(stack, stored, bus):
    write(stack.broker, 2000)  # two seconds
    began = time.monotonic()
    start(bus, speed="2x")
    wait_replay(bus, "mon", "finished")
    assert 0.99 < time.monotonic() - began < 2 * PATIENCE
    began = time.monotonic()
    start(bus, speed="0.5x", to_seq=500)
    time.sleep(0.3)
    call(bus, "Replay.SetSpeed", selector="mon", speed="max")
    wait_replay(bus, "mon", "finished")
    assert time.monotonic() - began < 0.9 * PATIENCE


def test_on_a_virtual_clock_stored_begins_and_a_replay_moves_when_it_is_told(stack, bus):
    daemon = stack.start("stored", "--clock", "bus:test.clock", ready=False)
    wait_for(lambda: "the clock was not told yet" in str(daemon.get("/health")), 20, lambda: daemon.get("/health"))
    assert bus.call(bus.js.streams_info()) == []
    at = 2_000_000_000_000_000_000
    wait_for(lambda: bus.publish("test.clock", str(at).encode()) or daemon.get("/health")[0] == 200, 20, lambda: daemon.get("/health"))
    write(stack.broker, 3000)  # three seconds
    started = start(bus, speed="1x")
    wait_replay(bus, "mon", "running")
    time.sleep(0.3)
    stood = int(call(bus, "Replay.Get", selector="mon")["position"])
    assert stood < 10 and started["startedAt"] == "2033-05-18T03:33:20.000000000Z"
    bus.publish("test.clock", str(at + 1_000_000_000).encode())
    wait_for(lambda: int(call(bus, "Replay.Get", selector="mon")["position"]) >= 1000, 20, lambda: call(bus, "Replay.Get", selector="mon"))
    time.sleep(0.3)
    assert int(call(bus, "Replay.Get", selector="mon")["position"]) <= stood + 1001
    bus.publish("test.clock", str(at + 60_000_000_000).encode())
    assert wait_replay(bus, "mon", "finished")["endedAt"] == "2033-05-18T03:34:20.000000000Z"


def test_several_replays_run_at_once_and_one_on_each_selector(stack, stored, bus):
    write(stack.broker, 20_000)
    checks = []
    for selector in ("mon", "tue", "wed"):
        start(bus, selector, paused=True)
        checks.append(Check(stack, selector, f"check-{selector}"))
    error = refused(bus, "Replay.Start", selector="mon")
    assert error.code == EXISTS and "mon" in error.text and "paused" in error.text
    for check in checks:
        check.joined()
    for selector in ("mon", "tue", "wed"):
        call(bus, "Replay.Resume", selector=selector)
    assert [c.result()["events"] for c in checks] == [20_000] * 3
    assert len({c.result()["digest"] for c in checks}) == 3  # selectors differ
    for selector in ("mon", "tue", "wed"):
        wait_replay(bus, selector, "finished")
    assert [r["selector"] for r in call(bus, "Replay.List")["replays"]] == ["mon", "tue", "wed"]


def test_the_range_defaults_to_where_the_live_workers_began(stack, stored, bus):
    write(stack.broker, 100)
    workers = bus.call(bus.js.key_value("workers"))
    bus.call(workers.put("sc.LIVE.sma", b'{"scenario":"LIVE","start_seq":40,"done_seq":80}'))
    info = start(bus, paused=True)
    assert (info["firstSeq"], info["lastSeq"]) == ("40", "100")
    call(bus, "Replay.Stop", selector="mon")
    wait_replay(bus, "mon", "stopped")
    info = start(bus, paused=True, from_seq=3, to_seq=7)
    assert (info["firstSeq"], info["lastSeq"]) == ("3", "7")


def test_what_cannot_be_replayed_is_refused_and_named(stack, stored, bus):
    error = refused(bus, "Replay.Start", selector="mon")
    assert error.code == PRECONDITION and "'ACT' is empty" in error.text
    write(stack.broker, 100)
    bus.call(bus.js.purge_stream("ACT", seq=51))
    error = refused(bus, "Replay.Start", selector="mon", from_seq=10)
    assert error.code == OUT_OF_RANGE and "10" in error.text and "51" in error.text
    assert refused(bus, "Replay.Start", selector="mon", stream="NONE").code == NOT_FOUND
    assert refused(bus, "Replay.Start", selector="mon", scenarios=["nope"]).code == NOT_FOUND
    assert refused(bus, "Replay.Start", selector="LIVE").code == INVALID
    assert refused(bus, "Replay.Start", selector="a.b").code == INVALID
    assert refused(bus, "Replay.Start", selector="mon", speed="fast").code == INVALID
    assert refused(bus, "Replay.Start", selector="mon", from_time="yesterday").code == INVALID
    assert refused(bus, "Replay.Get", selector="mon").code == NOT_FOUND
    assert refused(bus, "Replay.Pause", selector="mon").code == NOT_FOUND
    call(bus, "Scenarios.Create", id="bt1", market={"lane": "hyp", "selector": "tue"})
    error = refused(bus, "Replay.Start", selector="mon", scenarios=["bt1"])
    assert error.code == PRECONDITION and "hyp.tue" in error.text
    assert bus.kv("replays") == {}


def test_a_scenario_whose_runtime_does_not_join_fails_the_replay_and_is_named(stack, stored, bus):
    write(stack.broker, 100)
    call(bus, "Scenarios.Create", id="bt1", market={"lane": "hyp", "selector": "mon"})
    info = start(bus, scenarios=["bt1"], join_timeout_ms=500)
    assert info["state"] == "starting" and info["awaited"] == ["scenario-bt1"]
    info = wait_replay(bus, "mon", "failed")
    assert info["error"] == PRECONDITION and "scenario-bt1" in info["message"] and info["sent"] == "0"
    record = json.loads(bus.kv("replays")["mon"])
    assert record["state"] == "failed" and record["expected"] == ["scenario-bt1"]
    # and with it, play begins when it has joined
    start(bus, scenarios=["bt1"])
    runtime = Check(stack, "mon", "scenario-bt1")
    assert runtime.result()["events"] == 100
    assert wait_replay(bus, "mon", "finished")["sent"] == "100"


def test_waiting_without_a_terminal_says_whom_it_waits_for_and_each_state_once(stack, stored, bus):
    write(stack.broker, 50_000)
    call(bus, "Scenarios.Create", id="bt1", market={"lane": "hyp", "selector": "mon"})
    told = Process([program("lane"), "replay", "start", "ACT", "--selector", "mon", "--scenario", "bt1", "--wait",
                    "--join-timeout", "60s"], stack.folder / "told.log", env=stack.environment())
    told.wait_line(r"mon starting: none of 1\.\.50000, 0 events, 0/s, waits for scenario-bt1")
    time.sleep(3)
    assert len(told.output().splitlines()) == 1, told.output()
    assert Check(stack, "mon", "scenario-bt1").result()["events"] == 50_000
    assert told.wait(30) == 0
    assert told.output().splitlines()[-1].startswith("mon finished: 50000 of 1..50000, 50000 events"), told.output()
    info = call(bus, "Replay.Get", selector="mon")
    assert (info["state"], info["awaited"], info["message"]) == ("finished", [], "")


def test_a_replay_of_what_is_no_market_says_so(stack, stored, bus):
    bus.call(bus.js.add_stream(name="OTHER", subjects=["other.>"]))
    bus.call(bus.js.publish("other.a", b"hello"))
    told = stack.lane("replay", "start", "OTHER", "--selector", "mon", "--wait").stdout
    assert re.search(r"^mon finished: .* 0 events, 0/s: no event of act\.exchange\.> in this range$", told, re.MULTILINE), told


def test_a_stored_that_was_killed_says_so_in_the_record_and_a_new_start_works(stack, stored, bus):
    write(stack.broker, 3000)
    runid = start(bus, speed="1x")["runid"]
    time.sleep(0.3)
    assert json.loads(bus.kv("replays")["mon"])["state"] == "running"
    stored.kill()
    stack.start("stored")
    record = json.loads(bus.kv("replays")["mon"])
    assert record["state"] == "failed" and record["runid"] == runid and "stored ended" in record["error"]
    assert call(bus, "Replay.Get", selector="mon")["state"] == "failed"
    start(bus)
    assert wait_replay(bus, "mon", "finished")["sent"] == "3000"


def follow(stack, selector: str, name: str, *args) -> Check:
    return Check(stack, selector, name, *args, verb="follow")


def test_a_participant_gets_everything_over_a_restart_of_the_broker(stack, stored, bus):
    write(stack.broker, 4000)
    part = follow(stack, "mon", "part")
    start(bus, speed="1x", paused=True)
    part.joined()
    call(bus, "Replay.Resume", selector="mon")
    time.sleep(0.7)
    stack.broker.restart()
    result = part.result(90)
    assert result["events"] == 4000 and result["wrong"] == 0 and result["last_seq"] == 4000
    info = wait_replay(bus, "mon", "finished")
    assert info["position"] == "4000" and info["missing"] == "0" and info["message"] == ""


def test_one_that_joins_late_reads_the_beginning_itself(stack, stored, bus):
    write(stack.broker, 3000)
    start(bus, paused=True)
    call(bus, "Replay.Step", selector="mon", count=2000)
    late = follow(stack, "mon", "late")
    late.joined()
    call(bus, "Replay.Resume", selector="mon")
    result = late.result()
    assert result["events"] == 3000 and result["wrong"] == 0 and result["read_back"] >= 2000


def test_a_seek_starts_participants_over(stack, stored, bus):
    write(stack.broker, 5000)
    part = follow(stack, "mon", "part")
    first = start(bus, paused=True)["runid"]
    assert part.joined() == first
    call(bus, "Replay.Step", selector="mon", count=1000)
    second = call(bus, "Replay.Seek", selector="mon", seq=4500)
    assert second["runid"] != first
    wait_replay(bus, "mon", "paused")  # it has come back
    call(bus, "Replay.Resume", selector="mon")
    result = part.result()
    assert result["runid"] == second["runid"]
    assert (result["first_seq"], result["last_seq"], result["events"]) == (4500, 5000, 501)
    assert wait_replay(bus, "mon", "finished")["message"] == ""


def test_a_participant_that_was_killed_comes_back_under_its_name(stack, stored, bus):
    write(stack.broker, 30_000)
    part = follow(stack, "mon", "part", "--slow-us", "50")
    start(bus, paused=True)
    part.joined()
    call(bus, "Replay.Resume", selector="mon")
    time.sleep(0.5)
    part.kill()
    again = follow(stack, "mon", "part")
    result = again.result()
    assert result["events"] == 30_000 and result["wrong"] == 0
    assert wait_replay(bus, "mon", "finished")["message"] == ""


def test_the_record_tells_how_it_ended(stack, stored, bus):
    write(stack.broker, 1000)
    start(bus, to_seq=900)
    wait_replay(bus, "mon", "finished")
    record = json.loads(bus.kv("replays")["mon"])
    assert {k: record[k] for k in ("selector", "stream", "first_seq", "last_seq", "speed", "state", "position",
                                   "sent", "end_seq", "skipped", "error")} == {
        "selector": "mon", "stream": "ACT", "first_seq": 1, "last_seq": 900, "speed": "max", "state": "finished",
        "position": 900, "sent": 900, "end_seq": 900, "skipped": 0, "error": ""}
    assert record["runid"] == record["replay"]


def test_watch_reports_progress_and_ends_with_the_replay(stack, stored, bus):
    from support.services import JSON
    write(stack.broker, 1000)
    start(bus, speed="1x")
    inbox = bus.nc.new_inbox()
    items = bus.subscribe(inbox)
    bus.call(bus.nc.publish("svc.virtufin.api.v1.Replay.Watch", b'{"selector":"mon","intervalMs":100}', reply=inbox,
                            headers=JSON))
    wait_replay(bus, "mon", "finished")
    end = time.monotonic() + 5 * PATIENCE
    while not any(m.headers.get("Lane-Stream-End") for m in items.messages) and time.monotonic() < end:
        time.sleep(0.01)
    assert items.messages[-1].headers["Lane-Stream-End"] == "0"
    infos = [json.loads(m.data) for m in items.messages[:-1]]
    assert infos[-1]["state"] == "finished" and infos[-1]["sent"] == "1000"
    sent = [int(i["sent"]) for i in infos]
    assert len(sent) >= 5 and sent == sorted(sent)
