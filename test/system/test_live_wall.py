"""Nothing that RESEARCH does appears in LIVE, neither recorded nor seen: every way in which a user of RESEARCH can have
bytes put onto a subject, with everything worth putting there. Source: schemas/specs/access.md, "The way out".

Two users that the configuration does not have look at everything that goes by in LIVE and in RELAY1.
"""

import json
import os
import re
import socketserver
import subprocess
import threading
import time

import pytest

from support.bus import Bus
from support.places import PATIENCE, TREE, program
from support.sides import CONFIG, SidesBroker, make_credentials
from support.stack import Daemon, Stack
from support.wire import Wire

SIGNAL = "sc.LIVE.strategy.signal.emitted.sma"
TICK = "act.exchange.x.y.z"
RECORD = [b"%d" % i for i in range(100)]

# Where each stream that holds LIVE's record is asked for a consumer, as an account beside it would see that.
API = {"ACT": "$JS.LIVE.API.CONSUMER.CREATE.ACT", "SC_LIVE": "$JS.LIVE.API.CONSUMER.CREATE.SC_LIVE",
       "ACT_RELAY1": "$JS.RELAY1.API.CONSUMER.CREATE.ACT_RELAY1", "ACT_RELAY2": "$JS.RELAY2.API.CONSUMER.CREATE.ACT_RELAY2"}

# Where such a consumer, or a mirror, would have the record put.
DELIVER = [SIGNAL, TICK, API["ACT"], API["SC_LIVE"], API["ACT_RELAY1"], "$JS.FC.ACT.q.q", "$JS.FC.ACT_RELAY1.q.q",
           "$JS.API.STREAM.PURGE.ACT", "$JS.API.STREAM.DELETE.ACT_RELAY1", "xfer.relay1.ACT.M.x"]

# What else is worth a try.
FORGED = ["$JS.FC.ACT.c1.x", "$JS.FC.SC_LIVE.c1.x", "$JS.FC.ACT_RELAY1.c1.x", "$JS.FC.ACT_RELAY2.c1.x", SIGNAL, TICK,
          "xfer.relay1.ACT.M.x", "xfer.research.ACT.M.x", "$JS.API.STREAM.PURGE.ACT", "$JS.RELAY1.API.STREAM.PURGE.ACT_RELAY1",
          "$JS.RELAY2.API.STREAM.DELETE.ACT_RELAY2", "$JS.LIVE.API.STREAM.DELETE.ACT", "$JS.API.ACCOUNT.PURGE.LIVE",
          "$JS.API.ACCOUNT.STREAM.MOVE.LIVE.ACT", "$JS.API.SERVER.REMOVE", "$JS.API.META.LEADER.STEPDOWN", "$SYS.REQ.SERVER.PING.KICK"]
# The broker is asked to tell which way a message takes.
TRACED = {"Nats-Trace-Dest": "command.traced"}

# What the users' own lists are to stop.
FORBIDDEN = [f"{api}.STREAM.{verb}.{stream}" for api in ("$JS.API", "$JS.LIVE.API", "$JS.RELAY1.API", "$JS.RELAY2.API", "$JS.hub.API")
             for verb in ("PURGE", "DELETE", "RESTORE", "UPDATE", "MSG.DELETE", "SNAPSHOT")
             for stream in ("ACT", "SC_LIVE", "ACT_RELAY1", "ACT_RELAY2")] + [
    "$JS.API.ACCOUNT.PURGE.LIVE", "$JS.LIVE.API.ACCOUNT.PURGE.LIVE", "$JS.hub.API.ACCOUNT.PURGE.LIVE", "$JS.API.SERVER.REMOVE",
    "$JS.API.META.LEADER.STEPDOWN", "$KV.scenarios.LIVE", "$KV.workers.sc.LIVE.sma"]

# The layouts that would not do, and how they differ from the one there is: (text, text in its place).
DIRECT = [(f'$JS.API.CONSUMER.CREATE.{s}", accounts: [RELAY1]', f'$JS.API.CONSUMER.CREATE.{s}", accounts: [RELAY1, RESEARCH]') for s in ("ACT", "SC_LIVE")] + [
    ('{ service: "$JS.FC.ACT.>", accounts: [RELAY1] }', '{ service: "$JS.FC.ACT.>", accounts: [RELAY1, RESEARCH] }'),
    ('            { stream: { account: RELAY2, subject: "xfer.research.>" } }\n',
     '            { service: { account: LIVE, subject: "$JS.API.CONSUMER.CREATE.ACT" }, to: "$JS.LIVE.API.CONSUMER.CREATE.ACT" }\n'
     '            { service: { account: LIVE, subject: "$JS.FC.ACT.>" } }\n')]
ONE_STEP = [('CREATE.ACT_RELAY1", accounts: [RELAY2]', 'CREATE.ACT_RELAY1", accounts: [RELAY2, RESEARCH]'),
            ('            { stream: { account: RELAY2, subject: "xfer.research.>" } }\n',
             '            { service: { account: RELAY1, subject: "$JS.API.CONSUMER.CREATE.ACT_RELAY1" }, to: "$JS.RELAY1.API.CONSUMER.CREATE.ACT_RELAY1" }\n')]
ONLOOKERS = [("        jetstream { max_store: 16GB }\n        users: [\n",
              "        jetstream { max_store: 16GB }\n        users: [\n            { user: all-of-live, password: all }\n"),
             ("    RELAY1 {\n        jetstream { max_store: 6GB }\n",
              "    RELAY1 {\n        jetstream { max_store: 6GB }\n        users: [ { user: all-of-relay1, password: all } ]\n")]


class Wall:
    """Both sides with a hundred messages in each stream of LIVE, and nobody at work any more."""

    def __init__(self, folder, changes=()):
        text = CONFIG.read_text()
        for old, new in [*ONLOOKERS, *changes]:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.broker = SidesBroker(folder / "broker", make_credentials(folder / "credentials"), text).start()
        self.stack = Stack(folder, self.broker)
        self.buses = {}
        self.stack.start("stored", env=self.broker.env("stored"))
        self.record(1)
        self.make("SC_rp", subjects=["sc.rp.>"])
        self.stack["stored"].stop()
        # who is subscribed to just these subjects makes them ones that the broker delivers on
        self.user("operator").subscribe(SIGNAL)
        self.user("operator").subscribe(TICK)
        self.live = self.user("all-of-live").subscribe(">")
        self.relay1 = self.user("all-of-relay1").subscribe(">")

    def user(self, name: str) -> Bus:
        if name not in self.buses:
            password = "all" if name.startswith("all-of") else self.broker.password(name)
            self.buses[name] = Bus(self.broker.url, user=name, password=password)
        return self.buses[name]

    def record(self, from_seq: int):
        """A hundred more messages in each stream of LIVE."""
        for user, stream, subject in (("feedd", "ACT", TICK), ("workhostd", "SC_LIVE", SIGNAL)):
            js = self.user(user).js
            for seq, payload in enumerate(RECORD, from_seq):
                assert self.user(user).call(js.publish(subject, payload)).seq == seq
            if from_seq == 1:
                self.user("operator").wait_stream(stream, 100)

    def followed(self, last: int):
        for stream in ("ACT", "SC_LIVE"):
            self.user("researcher").wait_stream(stream, last)

    def make(self, name: str, **config):
        body = json.dumps({"name": name, "storage": "file", "allow_direct": True, **config}).encode()
        return json.loads(self.user("research-stored").request(f"$JS.API.STREAM.CREATE.{name}", body).data)

    def state(self):
        states = {s: self.user("operator").stream_state(s) for s in ("ACT", "SC_LIVE")}
        return {s: (x.messages, x.first_seq, x.last_seq) for s, x in states.items()}

    def settle(self):
        """What was done up to here has been seen."""
        self.user("all-of-live").publish("settled")
        end = time.monotonic() + 10 * PATIENCE
        while not any(m.subject == "settled" for m in self.live.messages):
            assert time.monotonic() < end
            time.sleep(0.01)
        self.live.messages.clear()

    def stop(self):
        for bus in self.buses.values():
            bus.close()
        self.broker.kill()  # it has nothing to keep
        self.stack.stop()


def seen(watch) -> list:
    """What came by, without the heartbeats of the mirrors."""
    return [m for m in watch.messages if m.data or not m.subject.startswith("xfer.")]


# --- ways to have bytes put onto a subject ----------------------------------------------------------------------


def publish(wall, subject, payloads, key):
    """As it is."""
    for user in ("research-stored", "research-workhostd", "researcher"):
        for payload in payloads:
            wall.user(user).publish(subject, payload, headers=TRACED)


def push(user, stream, prefix):
    def way(wall, subject, payloads, key):
        """A consumer that delivers there."""
        bus = wall.user(user)
        for payload in payloads:
            bus.call(bus.js.publish(f"{prefix}.{key}", payload))
        config = {"name": key, "deliver_subject": subject, "filter_subject": f"{prefix}.{key}", "ack_policy": "none"}
        bus.request(f"$JS.API.CONSUMER.CREATE.{stream}.{key}.{prefix}.{key}", json.dumps({"stream_name": stream, "config": config}).encode())
    return way


def republish(wall, subject, payloads, key):
    wall.make(f"SC_{key}", subjects=[f"sc.{key}.>"], republish={"src": f"sc.{key}.x", "dest": subject})
    for payload in payloads:
        wall.user("research-workhostd").publish(f"sc.{key}.x", payload)


def get(wall, subject, payloads, key):
    """The answer to whoever asks for a stored message."""
    bus = wall.user("researcher")
    for payload in payloads:
        seq = bus.call(bus.js.publish(f"command.{key}", payload, headers=TRACED)).seq
        bus.call(bus.nc.publish("$JS.API.DIRECT.GET.COMMAND", json.dumps({"seq": seq}).encode(), reply=subject))


def pull(wall, subject, payloads, key):
    bus = wall.user("researcher")
    for payload in payloads:
        bus.call(bus.js.publish(f"command.{key}", payload))
    config = {"name": key, "filter_subject": f"command.{key}", "ack_policy": "none"}
    bus.request(f"$JS.API.CONSUMER.CREATE.COMMAND.{key}.command.{key}", json.dumps({"stream_name": "COMMAND", "config": config}).encode())
    bus.call(bus.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.COMMAND.{key}", b'{"batch":500,"no_wait":true}', reply=subject))


def answer(wall, subject, payloads, key):
    """The broker's own answer, which has the form of a request: of a stream that RESEARCH calls by the same name."""
    bus = wall.user("researcher")
    for payload in payloads:
        stream = json.loads(payload)["stream_name"] if payload.startswith(b"{") else "ACT"
        wall.make(stream, subjects=[f"sc.{key}.>"])
        bus.call(bus.nc.publish(f"$JS.API.CONSUMER.CREATE.{stream}", payload, reply=subject))


WAYS = {"publish": publish, "push": push("researcher", "COMMAND", "command"), "push2": push("research-workhostd", "SC_rp", "sc.rp"),
        "republish": republish, "get": get, "pull": pull, "answer": answer}


def request(stream: str, name: str, deliver: str, headers_only: bool) -> bytes:
    config = {"name": name, "deliver_subject": deliver, "ack_policy": "none", "deliver_policy": "all", "headers_only": headers_only}
    return json.dumps({"stream_name": stream, "config": config}).encode()


def try_everything(wall) -> int:
    """Each way with each request and each forged message; a consumer's name begins with the way that asked for it."""
    count = 0
    for way, put in WAYS.items():
        for stream, api in API.items():
            asked = [request(stream, f"{way}-{stream}-{i}{'-h' if h else ''}", deliver, h)
                     for i, deliver in enumerate(DELIVER) for h in (False, True)]
            put(wall, api, asked, f"{way}-{stream}")
            count += len(asked)
        for i, subject in enumerate(FORGED):
            put(wall, subject, [b"forged by " + way.encode(), b""], f"{way}-f{i}")
            count += 2
    return count


def try_what_is_forbidden(wall) -> int:
    users = ("research-stored", "research-workhostd", "researcher", "viewer")
    for user in users:
        wire = Wire(wall.broker.port, user, wall.broker.password(user))
        for subject in FORBIDDEN:
            wire.may_publish(subject, b"{}")
        wire.close()
    return len(users) * len(FORBIDDEN)


def try_mirrors(wall) -> int:
    """Mirrors and sources with the API and the deliveries of their maker's choice; a source also under a new name."""
    count = 0
    for api in ("$JS.LIVE.API", "$JS.RELAY1.API", "$JS.RELAY2.API"):
        stream = {"$JS.LIVE.API": "ACT", "$JS.RELAY1.API": "ACT_RELAY1", "$JS.RELAY2.API": "ACT_RELAY2"}[api]
        for deliver in [d.removesuffix(".x").removesuffix(".q") for d in DELIVER]:
            origin = {"name": stream, "external": {"api": api, "deliver": deliver}}
            wall.make(f"EVIL{count}", mirror=origin)
            wall.make(f"EVIL{count + 1}", sources=[{**origin, "subject_transforms": [{"src": ">", "dest": f"sc.evil{count}.>"}]}],
                      republish={"src": ">", "dest": f"{API[stream]}.>"})
            count += 2
    return count


# --- the wall -----------------------------------------------------------------------------------------------------


def ways_seen(messages) -> set[str]:
    """By consumers' names and forged messages' words."""
    names = [re.match(r"\$JS\.ACK\.[^.]+\.([a-z0-9]+)-", m.reply or "") for m in messages]
    words = [re.match(rb"forged by (\w+)", m.data) for m in messages]
    return {n[1] for n in names if n} | {w[1].decode() for w in words if w}


@pytest.fixture
def make_wall(tmp_path):
    made = []

    def make(changes=()):
        made.append(Wall(tmp_path, changes))
        return made[-1]

    yield make
    for wall in made:
        wall.stop()


def test_nothing_that_research_does_appears_in_live(make_wall, record_property):
    wall = make_wall()
    wall.followed(100)
    before = wall.state()
    wall.settle()
    tried = try_everything(wall) + try_what_is_forbidden(wall) + try_mirrors(wall)
    time.sleep(1 * PATIENCE)  # nothing is awaited: the layouts below show that it would have come by then
    arrived, on_the_way = seen(wall.live), seen(wall.relay1)
    record_property("table", f"what RESEARCH tried on LIVE: {tried} attempts, seen in LIVE: {len(arrived)}")
    assert [(m.subject, m.reply, m.data[:80]) for m in arrived] == []
    # what a consumer of RELAY2 puts onto RELAY1's API is LIVE's own record or nothing, so no request
    assert {m.data for m in on_the_way if ways_seen([m])} <= {*RECORD, b""}
    assert wall.state() == before
    wall.record(101)
    wall.followed(200)
    assert wall.state() == {"ACT": (200, 1, 200), "SC_LIVE": (200, 1, 200)}


# What a consumer delivers is no request to the broker's API since 2.12 and its own answers are none, so that these ways get
# less far there than the rest; they are tried all the same.
@pytest.mark.parametrize("changes, through", [(DIRECT, {"publish", "push", "push2", "republish", "get", "pull"}),
                                              (ONE_STEP, {"republish", "get"})], ids=["direct", "one step"])
def test_they_would_get_through_with_fewer_steps(make_wall, changes, through):
    """If RESEARCH asked LIVE itself, it would write there; if there were one step alone, copies would go back."""
    wall = make_wall(changes)
    wall.settle()
    try_everything(wall)
    end = time.monotonic() + 10 * PATIENCE
    while not ways_seen(seen(wall.live)) >= through:
        assert time.monotonic() < end, f"{sorted(through - ways_seen(seen(wall.live)))} did not get through"
        time.sleep(0.05)
    recorded = wall.state()["SC_LIVE"][2]
    assert recorded > 100 if changes is DIRECT else recorded == 100


class Greeter(socketserver.StreamRequestHandler):
    """As much of a broker as a client needs to learn the version."""

    def handle(self):
        info = {"server_id": "x", "version": self.server.version, "proto": 1, "headers": True, "max_payload": 1 << 20, "jetstream": True}
        self.wfile.write(f"INFO {json.dumps(info, separators=(',', ':'))}\r\n".encode())
        for line in self.rfile:
            if line.startswith(b"PING"):
                self.wfile.write(b"PONG\r\n")


@pytest.fixture
def greeter():
    """greeter("2.11.1") is the URL of what says to be such a broker."""
    servers = []

    def start(version: str) -> str:
        servers.append(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter))
        servers[-1].version, servers[-1].daemon_threads = version, True
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"nats://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def doctor(url: str, *args) -> str:
    env = {**os.environ, "TRADELANE_NATS_URL": url, "TRADELANE_TIMEOUT": f"{2 * PATIENCE:g}s"}
    return subprocess.run([program("lane"), "doctor", *args], env=env, capture_output=True, text=True, timeout=60 * PATIENCE).stdout


@pytest.mark.parametrize("version, refused", [("2.11.0", True), ("2.11.1", False)])
def test_a_broker_that_lets_one_account_erase_another_s_streams_is_refused(greeter, version, refused):
    said = doctor(greeter(version))
    assert ("is too old" in said) == refused and version in said


@pytest.mark.parametrize("version, fault", [("2.12.2", "CVE-2026-33249"), ("2.14.0", "Nats-Trace-Dest")])
def test_a_broker_with_a_known_fault_is_taken_and_told_of(greeter, tmp_path, version, fault):
    url = greeter(version)
    found = {row["check"]: row for row in map(json.loads, doctor(url, "--json").splitlines())}
    words = found["broker"]["advice"]
    assert found["broker"]["verdict"] == "warn" and fault in words
    stored = Daemon("stored", tmp_path, url)
    stored.wait_line(rf" WARN .*nats-server {re.escape(version)}: {re.escape(words)}$")
    stored.kill()
    # and the scripts say the same
    script = f". scripts/lib/common.sh; broker_warn {version}; broker_warn 2.15.1"
    assert subprocess.check_output(["bash", "-euo", "pipefail", "-c", script], text=True, cwd=TREE) == f"warning: nats-server {version}: {words}\n"
