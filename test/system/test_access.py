"""Who may do what with two accounts: every user on every subject, against a real broker, cell by cell.

The cells below are written by hand from the words of schemas/specs/access.md, "Users"; the broker is asked for each.
"""

import re
import typing

import pytest

from support.bus import Bus
from support.sides import CONFIG, SidesBroker, make_credentials
from support.wire import Refused, Wire

USERS = ["feedd", "stored", "workhostd", "operator", "research-stored", "research-workhostd", "researcher",
         "viewer", "monitor"]

# A subject of each family, and who may publish (p) and subscribe (s) there, in the order of USERS.
LANES = """
act.exchange.binance.trade.tape.BTCUSDT    p .  . s  .  . . s .
act.other.binance                          . .  . s  .  . . s .
sc.LIVE.strategy.signal.emitted.sma        . .  p s  .  . s s .
sc.bt1.strategy.signal.emitted.sma         . .  p s  .  p s . .
hyp.mon.exchange.binance.trade.tape.BTC    . .  . .  p  s s . .
execution.binance.main.request.1           . .  . s  .  . . . .
websocketmanager.connectionstatus          p .  . s  .  . . . .
workmanager.workerstatus                   . .  p s  .  p s . .
command.sma                                . .  . ps .  . ps . .
response.sma                               . .  . s  .  . s . .
state.change                               . .  p s  .  p s . .
state.other                                . .  . .  .  . . . .
dlq.ACT.feedd                              p .  p s  .  p s . .
dlq.ACT.sma                                . .  p s  .  p s . .
replay.r1.done.scenario-bt1                . .  . .  s  p p . .
xfer.research.ACT.x                        . .  . .  .  . . . .
xfer.relay1.ACT.x                          . .  . .  .  . . . .
xfer.relay2.ACT.x                          . .  . .  .  . . . .
$JS.FC.ACT.c1.x                            . p  p p  p  p p . .
$JS.FC.SC_LIVE.c1.x                        . p  p p  p  p p . .
$JS.FC.KV_workers.c1.x                     . p  p p  p  p p . .
$JS.FC.ACT_RELAY1.c1.x                     . p  p p  p  p p . .
$JS.FC.SC_LIVE_RELAY1.c1.x                 . p  p p  p  p p . .
$JS.FC.ACT_RELAY2.c1.x                     . p  p p  .  . . . .
$JS.FC.SC_LIVE_RELAY2.c1.x                 . p  p p  .  . . . .
$JS.EVENT.ADVISORY.API                     . .  . .  .  . . . .
$JS.API.CONSUMER.CREATE.ACT                . p  p p  p  p p . .
$JS.LIVE.API.CONSUMER.CREATE.ACT           . .  . .  .  . . . .
$JS.RELAY1.API.CONSUMER.CREATE.ACT_RELAY1  . .  . .  .  . . . .
$JS.RELAY2.API.CONSUMER.CREATE.ACT_RELAY2  . .  . .  .  . . . .
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
svc.virtufin.api.v1.Gateway.X              . .  . p  .  . p . .
svc.virtufin.workmanager.v1.WorkManager.X  . .  s p  .  s p . .
svc.virtufin.workmanager.v2.WorkManager.X  . .  . p  .  . p . .
svc.virtufin.websocketmanager.v1.W.X       s .  . p  .  . p . .
svc.virtufin.websocketmanager.v2.W.X       . .  . p  .  . p . .
svc.reflect.feedd                          s .  . p  .  . p . .
svc.reflect.stored                         . s  . p  s  . p . .
svc.reflect.workhostd                      . .  s p  .  s p . .
$SRV.PING                                  s s  s p  s  s p . .
_INBOX.somebody                            ps ps ps ps ps ps ps . s
$SYS.REQ.SERVER.PING.JSZ                   . .  . .  .  . . . p
$SYS.REQ.SERVER.N1.RELOAD                  . .  . .  .  . . . .
$SYS.REQ.USER.INFO                         p p  p p  p  p p . p
$SYS.REQ.USER.OTHER                        . .  . .  .  . . . .
"""

# Requests to the JetStream API: who may send them.
API = """
$JS.API.INFO                               . . . p . . p . .
$JS.API.STREAM.NAMES                       p p p p p p p . .
$JS.API.STREAM.LIST                        . p . p p . p . .
$JS.API.STREAM.INFO.ACT                    p p p p p p p . .
$JS.API.STREAM.INFO.SC_LIVE                . p p p p p p . .
$JS.API.STREAM.INFO.LIFECYCLE              p p p p p p p . .
$JS.API.STREAM.INFO.DLQ                    p p p p p p p . .
$JS.API.STREAM.INFO.KV_leases              p p p p p p p . .
$JS.API.STREAM.INFO.KV_connections         p p p p p p p . .
$JS.API.STREAM.MSG.GET.ACT                 p p p p p p p . .
$JS.API.STREAM.MSG.GET.SC_LIVE             . p p p p p p . .
$JS.API.STREAM.MSG.GET.KV_leases           p p p p p p p . .
$JS.API.DIRECT.GET.ACT                     p p p p p p p . .
$JS.API.DIRECT.GET.ACT.act.exchange.x.y.z  p p p p p p p . .
$JS.API.DIRECT.GET.SC_LIVE.sc.LIVE.x       . p p p p p p . .
$JS.API.DIRECT.GET.KV_leases               p p p p p p p . .
$JS.API.DIRECT.GET.KV_leases.$KV.leases.feed.x p p p p p p p . .
$JS.API.DIRECT.GET.KV_workers              . p p p p p p . .
$JS.API.DIRECT.OTHER.ACT                   . . . . . . . . .
$JS.API.CONSUMER.CREATE.ACT.c1             p p p p p p p . .
$JS.API.CONSUMER.CREATE.SC_LIVE.c1         . p p p p p p . .
$JS.API.CONSUMER.CREATE.KV_workers.c1      . p p p p p p . .
$JS.API.CONSUMER.CREATE.LIFECYCLE.c1       p p p p p p p . .
$JS.API.CONSUMER.CREATE.DLQ.c1             p p p p p p p . .
$JS.API.CONSUMER.CREATE.COMMAND.c1         . p p p p p p . .
$JS.API.CONSUMER.DURABLE.CREATE.ACT.c1     . . . . . . . . .
$JS.API.CONSUMER.MSG.NEXT.ACT.c1           p p p p p p p . .
$JS.API.CONSUMER.MSG.NEXT.SC_LIVE.c1       . p p p p p p . .
$JS.API.CONSUMER.MSG.NEXT.LIFECYCLE.c1     p p p p p p p . .
$JS.API.CONSUMER.MSG.NEXT.DLQ.c1           p p p p p p p . .
$JS.API.CONSUMER.MSG.OTHER.ACT.c1          . . . . . . . . .
$JS.API.CONSUMER.DELETE.ACT.c1             p p p p p p p . .
$JS.API.CONSUMER.DELETE.SC_LIVE.c1         . p p p p p p . .
$JS.API.CONSUMER.DELETE.LIFECYCLE.c1       p p p p p p p . .
$JS.API.CONSUMER.DELETE.DLQ.c1             p p p p p p p . .
$JS.API.CONSUMER.INFO.ACT.c1               . . . p . . p . .
$JS.API.CONSUMER.NAMES.ACT                 . . . p . . p . .
$JS.API.CONSUMER.LIST.ACT                  . . . p . . p . .
$JS.API.STREAM.CREATE.SC_bt9               . p . . p . . . .
$JS.API.STREAM.CREATE.KV_workers           . p . . p . . . .
$JS.API.STREAM.UPDATE.ACT                  . p . . p . . . .
$JS.API.STREAM.DELETE.SC_bt9               . p . . p . . . .
$JS.API.STREAM.DELETE.ACT                  . . . . . . . . .
$JS.API.STREAM.DELETE.SC_LIVE              . . . . . . . . .
$JS.API.STREAM.DELETE.EXEC                 . . . . . . . . .
$JS.API.STREAM.DELETE.LIFECYCLE            . . . . . . . . .
$JS.API.STREAM.DELETE.COMMAND              . . . . . . . . .
$JS.API.STREAM.DELETE.DLQ                  . . . . . . . . .
$JS.API.STREAM.DELETE.KV_scenarios         . . . . . . . . .
$JS.API.STREAM.DELETE.KV_replays           . . . . . . . . .
$JS.API.STREAM.DELETE.KV_workers           . . . . . . . . .
$JS.API.STREAM.DELETE.KV_connections       . . . . . . . . .
$JS.API.STREAM.DELETE.KV_config            . . . . . . . . .
$JS.API.STREAM.DELETE.KV_leases            . . . . . . . . .
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
$JS.LIVE.API.CONSUMER.CREATE.SC_LIVE       . . . . . . . . .
$JS.RELAY1.API.CONSUMER.CREATE.ACT_RELAY1.c1 . . . . . . . . .
$JS.RELAY2.API.CONSUMER.CREATE.ACT_RELAY2.c1 . . . . . . . . .
$JS.RELAY1.API.STREAM.INFO.ACT_RELAY1      . p . . . . . . .
$JS.RELAY1.API.STREAM.CREATE.ACT_RELAY1    . p . . . . . . .
$JS.RELAY1.API.STREAM.UPDATE.ACT_RELAY1    . p . . . . . . .
$JS.RELAY2.API.STREAM.INFO.ACT_RELAY2      . p . . . . . . .
$JS.RELAY2.API.STREAM.CREATE.ACT_RELAY2    . p . . . . . . .
$JS.RELAY2.API.STREAM.UPDATE.ACT_RELAY2    . p . . . . . . .
$JS.RELAY1.API.STREAM.DELETE.ACT_RELAY1    . . . . . . . . .
$JS.RELAY2.API.STREAM.PURGE.ACT_RELAY2     . . . . . . . . .
$JS.LIVE.API.STREAM.PURGE.ACT              . . . . . . . . .
$JS.LIVE.API.STREAM.DELETE.ACT             . . . . . . . . .
$JS.LIVE.API.STREAM.RESTORE.ACT            . . . . . . . . .
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
    rows = [f"{title:46}" + " ".join(f"{u:>18}" for u in USERS)]
    return "\n".join(rows + [f"{subject:46}" + " ".join(f"{cell or '-':>18}" for cell in row) for subject, row in found.items()])


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
    ('deny: ["sc.LIVE.>", "$KV.workers.sc.LIVE.>", ', 'deny: ["$KV.workers.sc.LIVE.>", ',
     "research-workhostd sc.LIVE.strategy.signal.emitted.sma: 'p' instead of ''"),
    ('"svc.>", "$SRV.>", "command.>", "replay.>"', '"svc.>", "$SRV.>", "command.>", "replay.>", "$JS.LIVE.>"',
     "researcher $JS.LIVE.API.CONSUMER.CREATE.ACT.c1: 'p' instead of ''"),
    ('deny: ["$JS.FC.ACT_RELAY2.>", "$JS.FC.SC_LIVE_RELAY2.>"]', 'deny: ["$JS.FC.SC_LIVE_RELAY2.>"]',
     "researcher $JS.FC.ACT_RELAY2.c1.x: 'p' instead of ''"),
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


# --- the lists, entry by entry --------------------------------------------------------------------------------


class Entry(typing.NamedTuple):
    user: str
    verb: str  # publish or subscribe
    kind: str  # allow or deny
    subject: str


def entries(text: str) -> list[Entry]:
    """What the lists of the configuration have, in its order."""
    text = re.sub(r"#.*", "", text)
    found = []
    for user, lists in re.findall(r"\{ user: ([a-z-]+),.*?permissions: \{(.*?)\n            \} \}", text, re.S):
        verb = kind = None
        for word, subject in re.findall(r'(publish|subscribe|allow|deny):|"([^"]+)"', lists):
            if subject:
                found.append(Entry(user, verb, kind, subject))
            elif word in ("allow", "deny"):
                kind = word
            else:
                verb = word
    return found


def matches(pattern: tuple, subject: tuple) -> bool:
    for i, token in enumerate(pattern):
        if token == ">":
            return len(subject) > i
        if i == len(subject) or token not in ("*", subject[i]):
            return False
    return len(pattern) == len(subject)


SUBJECTS = {subject: tuple(subject.split(".")) for subject in (*cells(LANES), *cells(API))}
SUBSCRIBED = set(cells(LANES))


def may(lists: list[Entry], user: str, verb: str) -> dict[str, bool]:
    """The rule of the broker: allowed by an entry where there are any, and denied by none."""
    mine = [e for e in lists if (e.user, e.verb) == (user, verb)]
    allow, deny = ([tuple(e.subject.split(".")) for e in mine if e.kind == kind] for kind in ("allow", "deny"))
    return {name: (not allow or any(matches(a, subject) for a in allow)) and not any(matches(d, subject) for d in deny)
            for name, subject in SUBJECTS.items() if verb == "publish" or name in SUBSCRIBED}


def wider(entry: Entry) -> Entry | None:
    """The entry with its last literal token made a wildcard: what somebody writes who wants to be rid of a refusal."""
    tokens = entry.subject.split(".")
    while tokens and tokens[-1] in ("*", ">"):
        tokens.pop()
    return entry._replace(subject=".".join([*tokens[:-1], ">"])) if tokens else None


def test_the_lists_are_read_as_the_broker_reads_them():
    lists = entries(CONFIG.read_text())
    assert len(lists) == len(re.findall(r'"[^"]+"', "".join(re.findall(r"(?:allow|deny): \[.*?\]", re.sub(r"#.*", "", CONFIG.read_text()), re.S))))
    assert list(dict.fromkeys(e.user for e in lists)) == [USERS[-1], *USERS[:-1]]
    expected = cells(LANES) | cells(API)
    for at, user in enumerate(USERS):
        publish, subscribe = may(lists, user, "publish"), may(lists, user, "subscribe")
        assert {s: "p" * publish[s] + "s" * (s in SUBSCRIBED and subscribe[s]) for s in SUBJECTS} == {s: expected[s][at] for s in SUBJECTS}


def test_every_entry_of_every_list_is_the_reason_of_a_cell():
    """Taken out or made wider, allowing or denying, it makes the first test of this file fail."""
    lists, unseen = entries(CONFIG.read_text()), []
    for at, entry in enumerate(lists):
        before = may(lists, entry.user, entry.verb)
        for how, other in (("without", None), ("wider", wider(entry))):
            changed = [*lists[:at], *([other] if other else []), *lists[at + 1:]]
            if (other or how == "without") and may(changed, entry.user, entry.verb) == before:
                unseen.append(f"{how}: {' '.join(entry)}")
    assert unseen == []


# --- the door ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user, password", [(None, None), ("", ""), ("feedd", None), ("feedd", "wrong"),
                                            ("nobody", "x"), ("viewer", "feedd")])
def test_nobody_gets_in_without_a_password(make_sides, user, password):
    with pytest.raises(Refused):
        Wire(make_sides().port, user, password)


# --- between the accounts -------------------------------------------------------------------------------------


def blocks(text: str) -> dict[str, str]:
    """The accounts of the configuration, each with its lines."""
    parts = re.split(r"^    (\w+) \{\n", text[text.index("\naccounts {"):], flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def test_each_account_imports_from_its_neighbour_alone_and_nobody_is_a_user_of_those_between():
    found = blocks(CONFIG.read_text())
    assert {name: set(re.findall(r"\{ account: (\w+),", text)) for name, text in found.items()} == {
        "SYS": set(), "LIVE": {"RELAY1", "RELAY2"}, "RELAY1": {"LIVE"}, "RELAY2": {"RELAY1"}, "RESEARCH": {"RELAY2"},
        "WATCH": {"LIVE"}}
    assert [name for name, text in found.items() if "user:" not in text] == ["RELAY1", "RELAY2"]
    # every export says to whom
    assert all("accounts: [" in line for line in CONFIG.read_text().splitlines() if re.match(r"\s+\{ (service|stream): \"", line))


def test_watchers_see_live_lanes_at_once_and_research_lanes_not_at_all(make_sides):
    broker = make_sides()
    viewer, feedd, workhostd, research = (Bus(broker.url, user=user, password=broker.password(user))
                                          for user in ("viewer", "feedd", "workhostd", "research-workhostd"))
    act, decisions = viewer.subscribe("act.>"), viewer.subscribe("sc.LIVE.>")
    research.publish("sc.bt1.strategy.x", b"not seen")
    feedd.publish("act.exchange.x.y.z", b"seen")
    workhostd.publish("sc.LIVE.strategy.x", b"seen too")
    assert [m.data for m in act.wait(1) + decisions.wait(1)] == [b"seen", b"seen too"]
    for bus in (viewer, feedd, workhostd, research):
        bus.close()
