"""Each account has its part of the broker's store, and one that is full takes nothing from another.

Source: schemas/specs/access.md, "Quotas".
"""

import json
import re

import nats
import pytest

from support.bus import Bus
from support.places import TREE
from support.sides import CONFIG, SidesBroker, make_credentials
from support.wire import Refused, Wire

MB = 1 << 20
BLOCK = bytes(512 << 10)
ACCOUNTS = ("LIVE", "RELAY1", "RELAY2", "RESEARCH")


def small(text: str) -> str:
    """The configuration with a megabyte for each gigabyte, and few of what is counted."""
    text = re.sub(r"(max_store|max_file): (\d+)GB", r"\1: \2MB", text)
    return re.sub(r"(max_streams|max_consumers|max_connections): \d+", r"\1: 3", text)


def undivided(text: str) -> str:
    return re.sub(r"jetstream \{ max_store[^}]*\}", "jetstream: enabled", text)


def parts(text: str) -> dict[str, int]:
    """How many gigabytes each account has, and the broker ("")."""
    found = re.findall(r"^    (\w+) \{\n(?:        #.*\n)*        jetstream \{ max_store: (\d+)GB", text, re.M)
    return {"": int(re.search(r"^    max_file: (\d+)GB", text, re.M)[1])} | {name: int(size) for name, size in found}


class Full(Exception):
    """The broker took so many bytes and not one more."""


@pytest.fixture
def make_broker(tmp_path):
    made = []

    class Made:
        def __init__(self, text):
            self.broker = SidesBroker(tmp_path / "broker", make_credentials(tmp_path / "credentials"), text).start()
            self.buses = {}

        def user(self, name: str) -> Bus:
            if name not in self.buses:
                self.buses[name] = Bus(self.broker.url, user=name, password=self.broker.password(name))
            return self.buses[name]

        def make(self, user: str, stream: str, subject: str, **config) -> dict:
            body = {"name": stream, "subjects": [subject], "storage": "file", **config}
            return json.loads(self.user(user).request(f"$JS.API.STREAM.CREATE.{stream}", json.dumps(body).encode()).data)

        def fill(self, user: str, subject: str, blocks: int):
            """Publishes that many blocks, each acknowledged."""
            bus = self.user(user)
            for n in range(blocks):
                try:
                    bus.call(bus.js.publish(subject, BLOCK))
                except nats.js.errors.APIError as error:
                    raise Full(n * len(BLOCK), error.description) from error

    def make(text) -> Made:
        made.append(Made(text))
        return made[-1]

    yield make
    for one in made:
        for bus in one.buses.values():
            bus.close()
        one.broker.stop()


def start_live(broker):
    """LIVE's stream of market data, which keeps the newest 4 MB."""
    assert "error" not in broker.make("stored", "ACT", "act.>", max_bytes=4 * MB)
    broker.fill("feedd", "act.exchange.x.y.z", 1)


def test_research_fills_its_part_and_live_goes_on_recording(make_broker):
    broker = make_broker(small(CONFIG.read_text()))
    start_live(broker)
    assert "error" not in broker.make("research-stored", "SC_hog", "sc.hog.>")  # no bound of its own
    with pytest.raises(Full) as full:
        broker.fill("research-workhostd", "sc.hog.x", 200)
    took, words = full.value.args
    assert 20 * MB < took <= parts(CONFIG.read_text())["RESEARCH"] * MB and "resource limits exceeded for account" in words
    broker.fill("feedd", "act.exchange.x.y.z", 39)
    state = broker.user("operator").stream_state("ACT")
    assert state.last_seq == 40 and state.bytes <= 4 * MB
    # RESEARCH is full, not broken: with room it goes on
    broker.user("research-stored").request("$JS.API.STREAM.DELETE.SC_hog")
    assert "error" not in broker.make("research-stored", "SC_bt1", "sc.bt1.>", max_bytes=MB)
    broker.fill("research-workhostd", "sc.bt1.x", 5)


def test_without_parts_research_would_have_stopped_live(make_broker):
    broker = make_broker(undivided(small(CONFIG.read_text())))
    start_live(broker)
    assert "error" not in broker.make("research-stored", "SC_hog", "sc.hog.>")
    with pytest.raises(Full):
        broker.fill("research-workhostd", "sc.hog.x", 200)
    with pytest.raises(Full) as stopped:
        broker.fill("feedd", "act.exchange.x.y.z", 39)
    assert "insufficient resources" in stopped.value.args[1]


def test_a_stream_that_would_not_fit_is_refused_when_it_is_made(make_broker):
    broker = make_broker(small(CONFIG.read_text()))
    refused = broker.make("research-stored", "SC_bt1", "sc.bt1.>", max_bytes=25 * MB)
    assert "insufficient storage resources" in refused["error"]["description"]
    assert "error" not in broker.make("stored", "ACT", "act.>", max_bytes=16 * MB)


def test_streams_consumers_and_watchers_are_counted(make_broker):
    broker = make_broker(small(CONFIG.read_text()))
    for n in range(3):
        assert "error" not in broker.make("research-stored", f"SC_{n}", f"sc.{n}.>")
    assert "maximum number of streams" in broker.make("research-stored", "SC_3", "sc.3.>")["error"]["description"]
    for n in range(4):  # LIVE's are not
        assert "error" not in broker.make("stored", f"SC_{n}", f"sc.{n}.>")
    researcher, answers = broker.user("researcher"), []
    for n in range(4):
        body = {"stream_name": "SC_0", "config": {"name": f"c{n}", "ack_policy": "none", "inactive_threshold": 60 * 10**9}}
        answers.append(json.loads(researcher.request(f"$JS.API.CONSUMER.CREATE.SC_0.c{n}", json.dumps(body).encode()).data))
    assert ["error" in a for a in answers] == [False] * 3 + [True] and "maximum consumers" in answers[3]["error"]["description"]
    watchers = [Wire(broker.broker.port, "viewer", broker.broker.password("viewer")) for _ in range(3)]
    with pytest.raises(Refused):
        Wire(broker.broker.port, "viewer", broker.broker.password("viewer"))
    Wire(broker.broker.port, "feedd", broker.broker.password("feedd")).close()
    for watcher in watchers:
        watcher.close()


def test_the_parts_make_up_the_whole_and_hold_what_the_table_promises():
    part = parts(CONFIG.read_text())
    assert set(part) == {"", *ACCOUNTS} and part[""] == sum(part[a] for a in ACCOUNTS)
    channels = json.loads((TREE / "schemas" / "asyncapi.json").read_text())["channels"].values()
    bound = {c["x-jetstream"]["stream"]: c["x-jetstream"]["max_bytes"] for c in channels if "x-jetstream" in c}
    assert all(size > 0 for size in bound.values())
    mirrored, scenario = bound["ACT"] + bound["SC_LIVE"], bound.pop("SC_<id>")
    needs = {"LIVE": sum(bound.values()) + scenario, "RELAY1": mirrored, "RELAY2": mirrored,
             "RESEARCH": sum(bound.values()) - bound["EXEC"] + scenario}
    assert {a: part[a] << 30 for a in ACCOUNTS} == {a: max(part[a] << 30, needs[a]) for a in ACCOUNTS}
    words = dict(re.findall(r"^\| `(LIVE|RESEARCH)` \| \d+ GiB \| ([0-9.]+) GiB", (TREE / "schemas/specs/access.md").read_text(), re.M))
    assert {name: float(size) * (1 << 30) + scenario for name, size in words.items()} == {a: needs[a] for a in ("LIVE", "RESEARCH")}
