"""Who may do what with two accounts: every user on every subject, against a real broker, cell by cell.

The cells below are written by hand from the words of schemas/specs/access.md, "Users"; the broker is asked for each.
"""

import json

import pytest

from support.bus import Bus
from support.sides import CONFIG, SidesBroker, make_credentials
from support.wire import Refused, Wire

USERS = ["feedd", "stored", "workhostd", "operator", "research-stored", "research-workhostd", "researcher",
         "viewer", "monitor"]

# A subject of each family, and who may publish (p) and subscribe (s) there, in the order of USERS.
LANES = """
act.exchange.binance.trade.tape.BTCUSDT    p .  . s  .  . . s .
sc.LIVE.strategy.signal.emitted.sma        . .  p s  .  . s s .
sc.bt1.strategy.signal.emitted.sma         . .  p s  .  p s . .
hyp.mon.exchange.binance.trade.tape.BTC    . .  . .  p  s s . .
execution.binance.main.request.1           . .  . s  .  . . . .
websocketmanager.connectionstatus          p .  . s  .  . . . .
workmanager.workerstatus                   . .  p s  .  p s . .
command.sma                                . .  . ps .  . ps . .
response.sma                               . .  . s  .  . s . .
state.change                               . .  p s  .  p s . .
dlq.ACT.feedd                              p .  p s  .  p s . .
dlq.ACT.sma                                . .  p s  .  p s . .
replay.r1.done.scenario-bt1                . .  . .  s  p p . .
xfer.research.ACT.x                        . .  . .  .  . . . .
$KV.scenarios.bt1                          . p  . s  p  . s . .
$KV.replays.mon                            . .  . s  p  . s . .
$KV.connections.binance                    p .  . s  .  . s . .
$KV.config.feedd                           . .  . s  .  . s . .
$KV.leases.feed.binance                    p .  . s  .  . s . .
$KV.leases.stored                          . p  . s  p  . s . .
$KV.leases.workhostd                       . .  p s  .  p s . .
$KV.workers.worker.sma                     . .  p s  .  p s . .
$KV.workers.sc.bt1.sma                     . p  p s  p  p s . .
$KV.workers.sc.LIVE.sma                    . .  p s  p  . s . .
svc.virtufin.api.v1.Scenarios.Create       . s  . p  s  . p . .
svc.virtufin.api.v1.Replay.Start           . .  . p  s  p p . .
svc.virtufin.workmanager.v1.WorkManager.X  . .  s p  .  s p . .
svc.virtufin.websocketmanager.v1.W.X       s .  . p  .  . p . .
svc.reflect.stored                         . s  . p  s  . p . .
$SRV.PING                                  s s  s p  s  s p . .
_INBOX.somebody                            ps ps ps ps ps ps ps . s
$SYS.REQ.SERVER.PING.JSZ                   . .  . .  .  . . . p
$SYS.REQ.USER.INFO                         . .  . p  .  . p . p
"""

# Requests to the JetStream API: who may send them.
API = """
$JS.API.INFO                               . . . p . . p . .
$JS.API.STREAM.NAMES                       p p p p p p p . .
$JS.API.STREAM.LIST                        . p . p p . p . .
$JS.API.STREAM.INFO.ACT                    p p p p p p p . .
$JS.API.STREAM.INFO.SC_LIVE                . p p p p p p . .
$JS.API.STREAM.MSG.GET.ACT                 p p p p p p p . .
$JS.API.STREAM.MSG.GET.SC_LIVE             . p p p p p p . .
$JS.API.DIRECT.GET.ACT                     p p p p p p p . .
$JS.API.DIRECT.GET.KV_workers              . p p p p p p . .
$JS.API.CONSUMER.CREATE.ACT.c1             p p p p p p p . .
$JS.API.CONSUMER.CREATE.SC_LIVE.c1         . p p p p p p . .
$JS.API.CONSUMER.CREATE.KV_workers.c1      . p p p p p p . .
$JS.API.CONSUMER.CREATE.LIFECYCLE.c1       p p p p p p p . .
$JS.API.CONSUMER.CREATE.DLQ.c1             p p p p p p p . .
$JS.API.CONSUMER.CREATE.COMMAND.c1         . p p p p p p . .
$JS.API.CONSUMER.DURABLE.CREATE.ACT.c1     . . . . . . . . .
$JS.API.CONSUMER.MSG.NEXT.ACT.c1           p p p p p p p . .
$JS.API.CONSUMER.DELETE.ACT.c1             p p p p p p p . .
$JS.API.CONSUMER.INFO.ACT.c1               . . . p . . p . .
$JS.API.STREAM.CREATE.SC_bt9               . p . . p . . . .
$JS.API.STREAM.CREATE.KV_workers           . p . . p . . . .
$JS.API.STREAM.UPDATE.ACT                  . p . . p . . . .
$JS.API.STREAM.DELETE.SC_bt9               . p . . p . . . .
$JS.API.STREAM.DELETE.ACT                  . . . . . . . . .
$JS.API.STREAM.DELETE.SC_LIVE              . . . . . . . . .
$JS.API.STREAM.DELETE.KV_scenarios         . . . . . . . . .
$JS.API.STREAM.DELETE.KV_workers           . . . . . . . . .
$JS.API.STREAM.PURGE.ACT                   . . . . . . . . .
$JS.API.STREAM.PURGE.SC_bt9                . . . . . . . . .
$JS.API.STREAM.MSG.DELETE.ACT              . . . . . . . . .
$JS.API.STREAM.SNAPSHOT.ACT                . . . . . . . . .
$JS.API.STREAM.RESTORE.ACT                 . . . . . . . . .
$JS.API.STREAM.LEADER.STEPDOWN.ACT         . . . . . . . . .
$JS.API.STREAM.PEER.REMOVE.ACT             . . . . . . . . .
$JS.API.META.LEADER.STEPDOWN               . . . . . . . . .
$JS.API.SERVER.REMOVE                      . . . . . . . . .
$JS.API.ACCOUNT.PURGE.LIVE                 . . . . . . . . .
$JS.API.ACCOUNT.STREAM.MOVE.LIVE.ACT       . . . . . . . . .
$JS.LIVE.API.CONSUMER.CREATE.ACT.c1        . . . . . . . . .
$JS.LIVE.API.STREAM.PURGE.ACT              . . . . . . . . .
$JS.LIVE.API.STREAM.DELETE.ACT             . . . . . . . . .
$JS.LIVE.API.STREAM.RESTORE.ACT            . . . . . . . . .
$JS.FC.KV_workers.c1.x                     . p p p p p p . .
$JS.ACK.ACT.c1.1.1.1.1.1                   . . . . . . . . .
"""


def cells(table: str) -> dict[str, list[str]]:
    rows = [line.split() for line in table.strip().splitlines()]
    assert all(len(row) == 1 + len(USERS) for row in rows), [r for r in rows if len(r) != 1 + len(USERS)]
    return {row[0]: ["" if cell == "." else cell for cell in row[1:]] for row in rows}


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    return make_credentials(tmp_path_factory.mktemp("credentials"))


@pytest.fixture
def make_sides(tmp_path, credentials):
    made = []

    def make(config=None):
        made.append(SidesBroker(tmp_path / f"broker{len(made)}", credentials, config).start())
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


def ask(broker, subjects, subscribe: bool) -> dict[str, list[str]]:
    """What the broker allows each user on each subject, in the form of the tables."""
    found = {subject: [] for subject in subjects}
    for user in USERS:
        wire = Wire(broker.port, user, broker.password(user))
        for subject in subjects:
            cell = "p" if wire.may_publish(subject) else ""
            found[subject].append(cell + ("s" if subscribe and wire.may_subscribe(subject) else ""))
        wire.close()
    return found


def differences(found, expected) -> list[str]:
    return [f"{user} {subject}: '{is_}' instead of '{should}'" for subject in expected
            for user, is_, should in zip(USERS, found[subject], expected[subject]) if is_ != should]


def table(title: str, found) -> str:
    rows = [f"{title:44}" + " ".join(f"{u:>18}" for u in USERS)]
    return "\n".join(rows + [f"{subject:44}" + " ".join(f"{cell or '-':>18}" for cell in row) for subject, row in found.items()])


def matrix(broker) -> tuple[list[str], str]:
    """What is otherwise than expected, and the tables for people."""
    lanes, api = ask(broker, cells(LANES), True), ask(broker, cells(API), False)
    shown = table("p: may publish, s: may subscribe", lanes) + "\n\n" + table("p: may ask the JetStream API", api)
    return differences(lanes, cells(LANES)) + differences(api, cells(API)), shown


def test_every_user_may_do_what_the_access_table_says_and_nothing_else(make_sides, record_property):
    wrong, shown = matrix(make_sides())
    count = len(USERS) * (len(cells(LANES)) + len(cells(API)))
    record_property("table", f"who may do what: {count} cells, {count - len(wrong)} as expected\n\n{shown}")
    assert wrong == []


@pytest.mark.parametrize("old, new, named", [
    ('publish: { deny: [">"] }', 'publish: { allow: ["act.>"] }',
     "viewer act.exchange.binance.trade.tape.BTCUSDT: 'ps' instead of 's'"),
    ('deny: ["sc.LIVE.>", "$KV.workers.sc.LIVE.>"]', 'deny: ["$KV.workers.sc.LIVE.>"]',
     "research-workhostd sc.LIVE.strategy.signal.emitted.sma: 'p' instead of ''"),
    ('"svc.>", "$SRV.>", "command.>", "replay.>"', '"svc.>", "$SRV.>", "command.>", "replay.>", "$JS.LIVE.>"',
     "researcher $JS.LIVE.API.CONSUMER.CREATE.ACT.c1: 'p' instead of ''"),
    ('"act.exchange.>", "dlq.ACT.feedd"', '"act.exchange.>", "dlq.ACT.feedd", "$JS.API.STREAM.PURGE.*"',
     "feedd $JS.API.STREAM.PURGE.ACT: 'p' instead of ''"),
    ('"svc.virtufin.websocketmanager.v1.>", "svc.reflect.feedd"', '"svc.>"',
     "feedd svc.virtufin.api.v1.Scenarios.Create: 's' instead of ''"),
    ('"$KV.leases.feed.>", "$KV.connections.>"', '"$KV.leases.feed.>"',
     "feedd $KV.connections.binance: '' instead of 'p'"),
])
def test_a_wrong_allow_list_is_found_and_named(make_sides, old, new, named):
    text = CONFIG.read_text()
    assert text.count(old) == 1, old
    assert named in matrix(make_sides(text.replace(old, new)))[0]


@pytest.mark.parametrize("user, password", [(None, None), ("", ""), ("feedd", None), ("feedd", "wrong"),
                                            ("nobody", "x"), ("viewer", "feedd")])
def test_nobody_gets_in_without_a_password(make_sides, user, password):
    with pytest.raises(Refused):
        Wire(make_sides().port, user, password)


# --- what RESEARCH tries on LIVE --------------------------------------------------------------------------------


def create(bus, name: str, **config) -> dict:
    body = {"name": name, "storage": "file", "allow_direct": True, **config}
    return json.loads(bus.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps(body).encode()).data)


def mirror_of(stream: str, deliver: str | None = None) -> dict:
    return {"mirror": {"name": stream, "external": {"api": "$JS.LIVE.API", "deliver": deliver or f"xfer.research.{stream}"}}}


@pytest.fixture
def recorded(make_sides):
    """Two streams of LIVE with a hundred messages each, mirrored; a function from a user to his connection."""
    broker = make_sides()
    buses = {}

    def bus(user: str) -> Bus:
        if user not in buses:
            buses[user] = Bus(broker.url, user=user, password=broker.password(user))
        return buses[user]

    create(bus("stored"), "ACT", subjects=["act.>"])
    create(bus("stored"), "SC_LIVE", subjects=["sc.LIVE.>"])
    bus("feedd").store("ACT", [("act.exchange.x.y.z", b"%d" % i) for i in range(100)])
    bus("workhostd").store("SC_LIVE", [("sc.LIVE.strategy.x", b"%d" % i) for i in range(100)])
    for stream in ("ACT", "SC_LIVE"):
        assert "error" not in create(bus("research-stored"), stream, **mirror_of(stream))
        bus("researcher").wait_stream(stream, 100)
    bus.broker = broker
    yield bus
    for one in buses.values():
        one.close()


ATTACKS = [
    ("act.exchange.x.y.z", b"forged"), ("sc.LIVE.strategy.x", b"forged"),
    *((f"{api}.STREAM.{verb}.{stream}", b"{}") for api in ("$JS.API", "$JS.LIVE.API", "$JS.hub.API")
      for verb in ("PURGE", "DELETE", "RESTORE", "UPDATE", "MSG.DELETE", "SNAPSHOT")
      for stream in ("ACT", "SC_LIVE")),
    ("$JS.API.ACCOUNT.PURGE.LIVE", b""), ("$JS.LIVE.API.ACCOUNT.PURGE.LIVE", b""), ("$JS.hub.API.ACCOUNT.PURGE.LIVE", b""),
    ("$JS.API.SERVER.REMOVE", b'{"peer":"x"}'), ("$JS.API.META.LEADER.STEPDOWN", b""),
    ("$JS.LIVE.API.CONSUMER.CREATE.ACT.c1", b'{"stream_name":"ACT","config":{"name":"c1","deliver_subject":"sc.LIVE.evil","ack_policy":"none"}}'),
    ("$KV.scenarios.LIVE", b"{}"), ("$KV.workers.sc.LIVE.sma", b"{}"),
]


def test_research_cannot_write_purge_delete_or_restore_what_live_holds(recorded):
    before = {s: recorded("operator").stream_state(s) for s in ("ACT", "SC_LIVE")}
    for user in ("research-stored", "research-workhostd", "researcher", "viewer"):
        wire = Wire(recorded.broker.port, user, recorded.broker.password(user))
        for subject, payload in ATTACKS:
            wire.may_publish(subject, payload)
        wire.close()
    # whoever may delete in RESEARCH deletes RESEARCH's at most, and those of the table not even there
    recorded("feedd").store("ACT", [])
    after = {s: recorded("operator").stream_state(s) for s in ("ACT", "SC_LIVE")}
    assert after == before
    assert recorded("researcher").stream_state("ACT").last_seq == 100


def test_a_mirror_of_research_cannot_make_live_publish(recorded):
    """It may ask for any delivery subject; nothing in LIVE listens to what comes from there."""
    made = create(recorded("research-stored"), "EVIL", **mirror_of("ACT", "sc.LIVE.evil"))
    assert "error" not in made  # the broker sees nothing wrong in it
    recorded("researcher").subscribe("sc.LIVE.evil.>")
    recorded("feedd").store("ACT", [])
    recorded("feedd").publish("act.exchange.x.y.z", b"more")
    recorded("operator").wait_stream("ACT", 101)
    recorded("researcher").wait_stream("ACT", 101)  # the honest mirror had as much time
    assert recorded("operator").stream_state("SC_LIVE").last_seq == 100


def test_an_import_of_live_lanes_into_research_would_let_it(make_sides):
    """Why watchers are elsewhere: with the lanes imported, the same mirror writes market data into SC_LIVE."""
    text = CONFIG.read_text()
    for old, new in (('{ stream: "sc.LIVE.>", accounts: [WATCH] }', '{ stream: "sc.LIVE.>" }'),
                     ('            { stream: { account: LIVE, subject: "xfer.research.>" } }\n',
                      '            { stream: { account: LIVE, subject: "xfer.research.>" } }\n'
                      '            { stream: { account: LIVE, subject: "sc.LIVE.>" } }\n')):
        assert text.count(old) == 1
        text = text.replace(old, new)
    broker = make_sides(text)
    stored, feedd, research = (Bus(broker.url, user=u, password=broker.password(u))
                               for u in ("stored", "feedd", "research-stored"))
    create(stored, "ACT", subjects=["act.>"])
    create(stored, "SC_LIVE", subjects=["sc.LIVE.>"])
    feedd.store("ACT", [("act.exchange.x.y.z", b"%d" % i) for i in range(100)])
    create(research, "EVIL", **mirror_of("ACT", "sc.LIVE.evil"))
    stored.wait_stream("SC_LIVE", 100)
    for bus in (stored, feedd, research):
        bus.close()


def test_watchers_see_live_lanes_at_once_and_research_lanes_not_at_all(recorded):
    viewer = recorded("viewer")
    act, decisions = viewer.subscribe("act.>"), viewer.subscribe("sc.LIVE.>")
    recorded("feedd").publish("act.exchange.x.y.z", b"seen")
    recorded("workhostd").publish("sc.LIVE.strategy.x", b"seen too")
    assert act.wait(1)[0].data == b"seen" and decisions.wait(1)[0].data == b"seen too"
