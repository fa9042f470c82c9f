"""The whole spine on two accounts: what LIVE records RESEARCH has too, and decides the same from it."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from support import spine
from support.bus import Bus
from support.places import PATIENCE
from support.sides import SidesBroker, make_credentials
from support.stack import Stack


@pytest.fixture
def sides(tmp_path):
    """A broker with the two accounts, and a stack without daemons on it."""
    broker = SidesBroker(tmp_path / "broker", make_credentials(tmp_path / "credentials")).start()
    stack = Stack(tmp_path, broker)
    yield stack
    stack.stop()


def bus_of(stack, user: str) -> Bus:
    return Bus(stack.broker.url, user=user, password=stack.broker.password(user))


ALL = ("stored", "feedd", "workhostd", "research-workhostd")


def start_all(stack, order=ALL):
    """Every daemon, each as a user of its own, those before `stored` some time before it; returns the venue."""
    env = stack.broker.env
    venue = spine.Venue(stack.start("simexd", "--listen", "127.0.0.1:0"))
    folder = stack.folder / "workers"
    folder.mkdir(exist_ok=True)
    (folder / "sma.yaml").write_text(spine.DECLARATION.format(workers=spine.BUILD / "workers", fast=5, slow=20))
    arguments = {
        "stored": (), "feedd": ("--ws-url", f"ws://{venue.address}", "--rest-url", f"http://{venue.address}"),
        **{name: ("--side", side, "--workers-dir", folder, "--code-dir", stack.folder / f"code-{side}")
           for side, name in (("live", "workhostd"), ("research", "research-workhostd"))}}
    for at, name in enumerate(order):
        if name == "stored" and at:
            time.sleep(0.5)
        stack.start(name.removeprefix("research-"), *arguments[name], env=env(name), as_name=name,
                    ready=at >= order.index("stored"))
    return venue


def wait_signals(bus, count: int):
    spine.wait_for(lambda: bus.stream_state("SC_LIVE").last_seq >= count, 60,
                   lambda: f"{bus.stream_state('SC_LIVE').last_seq} of {count} signals are recorded")


def headers_of(message) -> dict:
    """Without the condition under which the first message of a batch was stored: a mirror leaves that out."""
    return {name: value for name, value in (message.headers or {}).items() if not name.startswith("Nats-Expected-")}


def same_records(live, research, stream: str, last: int) -> int:
    """Holds the mirror to the original, message by message; returns how many were compared."""
    pairs = list(zip(live.read(stream, to_seq=last), research.read(stream, to_seq=last), strict=True))
    for a, b in pairs:
        assert a.metadata.sequence.stream == b.metadata.sequence.stream
        assert (a.subject, a.data, headers_of(a), a.metadata.timestamp) == (b.subject, b.data, headers_of(b), b.metadata.timestamp)
    return len(pairs)


def test_the_spine_runs_on_two_accounts_and_research_decides_as_live_did(sides):
    start_all(sides)
    live, research = bus_of(sides, "operator"), bus_of(sides, "researcher")
    wait_signals(live, 20)
    researcher = sides.broker.env("researcher")
    recorded = live.stream_state("ACT").last_seq
    spine.wait_for(lambda: research.stream_state("ACT").last_seq >= recorded, 30, "the mirror of ACT does not follow")

    sides.lane("scenario", "create", "bt1", "--market", "hyp.mon", "--strategy", "sma", env=researcher)
    sides.lane("replay", "start", "ACT", "--selector", "mon", "--scenario", "bt1", "--speed", "max", "--wait",
               env=researcher, timeout=180)
    result = sides.lane("diff", "LIVE", "bt1", env=researcher)
    assert spine.first_number(r"^equal: (\d+) events", result.stdout) >= 10, result.stdout

    assert same_records(live, research, "ACT", 500) == 500
    decided = research.stream_state("SC_LIVE").last_seq
    assert decided and same_records(live, research, "SC_LIVE", decided) == decided
    assert sides.broker.refusals() == []
    live.close()
    research.close()


def refused_or_missing(stack, name: str) -> list[str]:
    """Warnings that something was not there or not permitted; a busy machine has others."""
    words = r"Z (WARN|ERROR) .*(ermission|permitted|no answer|bucket|stream|trying again)"
    return [line for line in stack[name].output().splitlines() if re.search(words, line) and ": not ready: " not in line]


@pytest.mark.parametrize("order", [("workhostd", "research-workhostd", "feedd", "stored"), ("feedd", "stored", "research-workhostd", "workhostd")],
                         ids=["stored last", "feedd first"])
def test_the_order_of_starts_costs_nothing(sides, order):
    began = time.monotonic()
    start_all(sides, order)
    for name in ALL:
        sides[name].wait_ready()
    assert time.monotonic() - began < 4 * PATIENCE  # one request that nobody answers would take 5 s
    live = bus_of(sides, "operator")
    wait_signals(live, 1)
    live.close()
    assert sides.broker.refusals() == []
    assert {name: refused_or_missing(sides, name) for name in ALL} == {name: [] for name in ALL}


def test_a_scenario_is_made_on_its_side_alone(sides):
    env = sides.broker.env
    sides.start("stored", env=env("stored"))
    for user, market, says in (("researcher", "act", "made on the LIVE side"), ("operator", "hyp.mon", "made in RESEARCH")):
        refused = sides.lane("scenario", "create", "bt1", "--market", market, env=env(user), check=False)
        assert refused.returncode == 1 and says in refused.stderr
    sides.lane("scenario", "create", "real", "--market", "act", env=env("operator"))
    sides.lane("scenario", "create", "bt1", "--market", "hyp.mon", env=env("researcher"))
    sides.lane("scenario", "create", "paper", "--market", "act", "--portfolio", "hyp", env=env("researcher"))
    names = {user: {s["id"] for s in sides.lane_json("scenario", "ls", env=env(user))}
             for user in ("operator", "researcher")}
    assert names == {"operator": {"LIVE", "real"}, "researcher": {"bt1", "paper"}}
    sides.lane("scenario", "delete", "bt1", "--yes", "bt1", env=env("researcher"))
    assert sides.broker.refusals() == []


def test_doctor_knows_which_side_it_looks_at(sides):
    env = sides.broker.env
    sides.start("stored", env=env("stored"))
    for user, code in (("operator", 0), ("researcher", 0), ("monitor", 0)):
        found = {row["check"]: row for row in map(json.loads, sides.lane("doctor", "--json", env=env(user), check=False).stdout.splitlines())}
        assert "fail" not in {row["verdict"] for row in found.values()}, found
        assert ("scenario LIVE" in found) == (user == "operator")
        assert found["rights"]["verdict"] == "ok"
    assert sides.broker.refusals() == []
    listener = sides.lane("doctor", env=env("viewer"), check=False)
    assert "may only listen" in listener.stdout


def test_the_death_of_the_broker_and_of_stored_is_healed_on_both_sides(sides):
    venue = start_all(sides)
    live, research = bus_of(sides, "operator"), bus_of(sides, "researcher")
    wait_signals(live, 3)
    sides["stored"].kill()
    sides.broker.kill()
    sides.broker.start()
    sides.start("stored", env=sides.broker.env("stored"))
    recorded = live.stream_state("ACT").last_seq
    spine.wait_for(lambda: research.stream_state("ACT").last_seq > recorded, 60, "the mirror does not go on")
    assert same_records(live, research, "ACT", recorded) == recorded
    done = json.loads(live.kv("workers")["sc.LIVE.sma"])["done_seq"]
    spine.wait_for(lambda: json.loads(research.kv("workers")["sc.LIVE.sma"])["done_seq"] >= done, 30,
                   "the progress of LIVE is not copied")
    live.close()
    research.close()
