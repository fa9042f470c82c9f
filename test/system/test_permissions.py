"""What a person sees who may not do everything: at once, and said in one sentence.

Source: schemas/specs/cli.md, "lane top" and "Command line"; schemas/specs/access.md.
"""

import json
import re
import time

import pytest

from support import spine
from support.bus import Bus
from support.places import PATIENCE, program
from support.screen import Screen
from support.sides import SidesBroker, make_credentials
from support.stack import Stack


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Two accounts; market data and decisions flow in LIVE."""
    folder = tmp_path_factory.mktemp("permissions")
    broker = SidesBroker(folder / "broker", make_credentials(folder / "credentials")).start()
    stack = Stack(folder, broker)
    env = broker.env
    stack.start("stored", env=env("stored"))
    venue = spine.Venue(stack.start("simexd", "--listen", "127.0.0.1:0"))
    stack.start("feedd", "--ws-url", f"ws://{venue.address}", "--rest-url", f"http://{venue.address}", env=env("feedd"))
    workers = folder / "workers"
    workers.mkdir()
    (workers / "sma.yaml").write_text(spine.DECLARATION.format(workers=spine.BUILD / "workers", fast=5, slow=20))
    stack.start("workhostd", "--side", "live", "--workers-dir", workers, "--code-dir", folder / "code", env=env("workhostd"))
    operator = Bus(broker.url, user="operator", password=broker.password("operator"))
    spine.wait_for(lambda: operator.stream_state("SC_LIVE").last_seq >= 1, 60, "nothing is decided")
    operator.close()
    yield stack
    stack.stop()


@pytest.fixture
def screen(sides):
    """screen(user): lane top on a terminal, and when it was started."""
    made = []

    def run(user: str) -> Screen:
        begin = time.monotonic()
        argv = [program("lane"), "top", "--every", "300ms"]
        made.append(Screen(argv, 110, 40, {**sides.environment(), **sides.broker.env(user)}))
        made[-1].begin = begin
        return made[-1]

    yield run
    for one in made:
        one.close()


def refusals(shown: Screen) -> list[str]:
    return sorted(row.split(":")[0] for row in shown.rows if "not permitted" in row)


def test_a_viewer_sees_the_lanes_of_live_at_once_and_what_he_may_not_see_is_said_once(sides, screen):
    shown = screen("viewer").wait(lambda s: s.line("LANE ") and "act.exchange.binance.trade.tape" in s.text)
    assert time.monotonic() - shown.begin < 2 * PATIENCE
    shown.wait("sc.LIVE.strategy").wait_frames(3)
    assert refusals(shown) == ["CONNECTIONS", "DAEMONS", "LANES", "REPLAYS", "STREAMS", "WORKERS"], shown.text
    assert "not permitted: hyp.>" in shown.line("LANES:") and "Violation" not in shown.text and "WARN" not in shown.text
    assert shown.rows[0].startswith("lane top") and shown.rows[-1].startswith("q end")
    shown.type("q")
    assert shown.wait_end() == 0


def test_a_researcher_sees_what_his_side_has(sides, screen):
    shown = screen("researcher").wait(lambda s: s.line("STREAM ") and s.line("ACT "))
    assert time.monotonic() - shown.begin < 2 * PATIENCE
    shown.wait_frames(3)
    assert refusals(shown) == ["LANES"] and "not permitted: act.>" in shown.line("LANES:"), shown.text
    assert " ready " in shown.line("stored ") and "Violation" not in shown.text
    shown.type("q")
    assert shown.wait_end() == 0


@pytest.mark.parametrize("user, words, says", [
    ("viewer", ["pub", "act.exchange.x.y.z", "{}"], r"not permitted: \$JS\.API\.STREAM\.LIST$"),
    ("viewer", ["pub", "sc.bt1.strategy.signal.emitted.sma", "{}"], r"not permitted: \$JS\.API\.STREAM\.INFO\.KV_scenarios$"),
    ("viewer", ["streams", "ls"], r"not permitted: \$JS\.API\.STREAM\.LIST$"),
    ("viewer", ["sub", "hyp.>"], r"not permitted: hyp\.>$"),
    ("viewer", ["scenario", "ls"], r"not permitted: svc\.virtufin\.api\.v1\.Scenarios\.List$"),
    ("viewer", ["services", "ls"], r"not permitted: \$SRV\.INFO$"),
    ("viewer", ["kv", "get", "scenarios", "LIVE"], r"not permitted: \$JS\.API\.\S+$"),
    ("viewer", ["sub", "hyp.mon.>", "--join", "me"], r"not permitted: \$JS\.API\.\S+KV_replays\S*$"),
    ("researcher", ["sub", "act.>"], r"not permitted: act\.>$"),
    ("operator", ["pub", "act.exchange.x.y.z", "{}"], r"not permitted: act\.exchange\.x\.y\.z$"),
    ("operator", ["pub", "hyp.mon.exchange.x.y.z", "{}"], r"not permitted: hyp\.mon\.exchange\.x\.y\.z$"),
    ("operator", ["kv", "put", "config", "a", "1"], r"not permitted: \$KV\.config\.a$"),
])
def test_a_verb_that_is_not_permitted_says_so_at_once_and_nothing_else(sides, user, words, says):
    begin = time.monotonic()
    done = sides.lane(*words, env={**sides.broker.env(user), "TRADELANE_TIMEOUT": "60s"}, check=False)
    assert time.monotonic() - begin < 2 * PATIENCE
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
    assert re.search(says, done.stderr.strip()), done.stderr


def test_what_a_viewer_may_read_comes(sides):
    lines = sides.lane("sub", "act.>", "--count", "3", "--json", env=sides.broker.env("viewer")).stdout.splitlines()
    assert [json.loads(line)["subject"].split(".")[0] for line in lines] == ["act"] * 3
