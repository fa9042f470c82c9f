"""Every verb of `lane` against real processes, and the stock nats CLI beside it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from support import places
from support.bus import decode


@pytest.fixture
def store(stack):
    stack.start("stored")
    return stack


def record_trades(stack, count: int, first: int = 1):
    for n in range(first, first + count):
        stack.lane("pub", "act.exchange.binance.trade.tape.BTCUSDT", json.dumps({"trade_id": n, "price": f"{n}.5"}),
                   "--id", f"trade.BTCUSDT.{n}", "--time", f"2024-08-08T23:54:{n:02}Z",
                   "--ext", f"recordedtime=2024-08-08T23:54:{n:02}Z")


class Background:
    """`lane` running beside the test; lines() waits for its end. Made by the fixture `background`, which ends it."""

    def __init__(self, stack, *args):
        self.process = subprocess.Popen([str(places.program("lane")), *map(str, args)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=stack.environment())

    def lines(self, timeout: float = 20) -> list[str]:
        out, err = self.process.communicate(timeout=timeout * places.PATIENCE)
        assert self.process.returncode == 0, err
        return out.splitlines()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def background(stack):
    """background("sub", "act.>", …): `lane` beside the test; what still runs at the test's end is killed."""
    made = []

    def start(*args) -> Background:
        made.append(Background(stack, *args))
        return made[-1]

    yield start
    for one in made:
        one.stop()


# --- the command line ------------------------------------------------------------------------------------


def lane(*args, **options):
    return subprocess.run([str(places.program("lane")), *map(str, args)], capture_output=True, text=True, **options)


def test_help_is_everywhere():
    top = lane("--help")
    assert top.returncode == 0
    verbs = [line.split()[1:3] for line in top.stdout.splitlines() if line.startswith("  lane ")]
    assert len(verbs) > 40
    for verb in verbs:
        words = [w for w in verb if w.islower()]
        page = lane(*words, "--help")
        assert page.returncode == 0 and "usage: lane" in page.stdout or words == ["completion", "bash"], words
    assert lane("replay", "--help").stdout.count("lane replay") >= 10
    assert "lane 0." in lane("--version").stdout


def test_lane_is_found_and_finds_its_other_half_from_anywhere(tmp_path):
    (tmp_path / "lane").symlink_to(places.program("lane"))
    (tmp_path / "link").symlink_to("lane")
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert "lane 0." in subprocess.run(["link", "--version"], cwd="/", env=env, capture_output=True, text=True).stdout
    assert not (places.program("lane").parent / "lane-bus").exists(), "what nobody types is on nobody's PATH"


def test_help_stands_in_columns_and_lists_what_a_verb_uses():
    top = lane("--help").stdout
    lines = [line for line in top.splitlines() if line.startswith("  lane ")]
    assert {len(line) - len(line[50:].lstrip()) for line in lines} == {50} and "--creds" in top
    cat = lane("cat", "--help").stdout
    assert "--to" in cat and "--nats-url" not in cat and "--timeout" not in cat
    check = lane("feed", "check", "--help").stdout
    assert "--timeout" in check and "--nats-url" not in check and "--creds" not in check
    assert lane("cat", "--timeout", "1s").returncode == 2 and "--creds" in lane("kv", "ls", "--help").stdout


def test_options_may_stand_in_front_of_the_verb(store):
    for args in (["--json", "streams", "ls"], ["-s", store.broker.url, "--timeout=9s", "streams", "ls", "--json"]):
        assert "ACT" in [json.loads(line)["name"] for line in store.lane(*args).stdout.splitlines()]
    for args, says in ((["--follow", "streams", "view", "ACT"], "in front of the verb"), (["--json", "cat"], "behind it"),
                       (["--json", "nonsense"], "no verb 'nonsense'"), (["--context"], "needs a value")):
        done = lane(*args)
        assert done.returncode == 2 and says in done.stderr, done.stderr


def test_what_is_not_there_is_named_once_and_plainly(store):
    for args, says in ((["kv", "get", "nope", "x"], "there is no bucket 'nope'"), (["kv", "ls", "nope"], "there is no bucket 'nope'"),
                       (["kv", "get", "config", "x"], "there is no key 'x' in bucket 'config'"),
                       (["streams", "info", "NOPE"], "there is no stream 'NOPE'"),
                       (["streams", "view", "NOPE"], "there is no stream 'NOPE'"),
                       (["replay", "start", "NOPE", "--selector", "x"], "there is no stream 'NOPE'"),
                       (["streams", "ls", "--context", ""], "context '' is not a name"),
                       (["streams", "ls", "--context", "none"], "none.json': No such file or directory")):
        done = store.lane(*args, check=False)
        assert done.returncode and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not {"10059", "404", "$KV", "KV_"} & set(done.stderr.replace("'", " ").split()), done.stderr
        assert done.stderr.lower().count("nope'") <= 1 and done.stderr.count("none.json") <= 1, done.stderr


def test_a_view_that_shows_nothing_says_why(store):
    record_trades(store, 2)
    for args, says in ((["EXEC"], "stream 'EXEC' is empty"), (["ACT", "--from", 99], "ends at sequence 2"),
                       (["ACT", "--filter", "act.exchange.kraken.>"], "nothing on 'act.exchange.kraken.>'")):
        done = store.lane("streams", "view", *args)
        assert done.stdout == "" and says in done.stderr and done.stderr.count("\n") == 1
    assert store.lane("streams", "view", "ACT").stderr == ""


@pytest.mark.parametrize("args,says", [
    (["nonsense"], "no verb 'nonsense'"), (["kv", "nonsense"], "no verb 'kv nonsense'"), (["kv", "get", "a"], "missing"),
    (["kv", "get", "a", "b", "c"], "too much"), (["sub", "x", "--nope"], "unknown option '--nope'"),
    (["sub", "x", "--count"], "needs a value"), (["sub", "x", "--count", "many"], "not a whole number"),
    (["streams", "ls", "--json=1"], "takes no value"), (["streams", "ls", "--timeout", "5"], "--timeout"),
    (["replay", "start"], "--selector"), (["export"], "one of the two"), (["doctor", "--monitor", "99999"], "no port"),
    (["sub", "act.>", "--join", "me"], "needs subjects on hyp.<selector>"),
    (["sub", "hyp.a.>", "hyp.b.>", "--join", "me"], "subjects of one selector"),
    (["replay", "start", "--selector", "x", "--speed", "0x"], "'0x'"), (["replay", "speed", "x", "0.00x"], "'0.00x'"),
    (["replay", "start", "--selector", "z z"], "'z z'"), (["feed", "check", "binance", "--creds", "x"], "unknown option '--creds'"),
    (["pub", "$JS.API.STREAM.DELETE.ACT", "{}"], "JetStream"), (["pub", "$KV.config.a", "{}"], "lane kv"),
    (["pub", "_INBOX.a", "{}"], "somebody waits"), (["pub", "svc.virtufin.api.v1.Replay.Stop", "{}"], "calls of services"),
    (["pub", "foo.bar", "{}", "--ext", "id=3"], "--id sets it"), (["pub", "foo.bar", '{"a":1,"a":2}'], "JSON of 13 bytes: key 'a'"),
])
def test_mistakes_are_named_and_exit_2(args, says):
    done = lane(*args, env={**os.environ, "TRADELANE_NATS_URL": "nats://127.0.0.1:1"})
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_how_long_is_waited_is_an_option_or_a_variable():
    away = {**os.environ, "TRADELANE_NATS_URL": "nats://127.0.0.1:1", "TRADELANE_TIMEOUT": "soon"}
    assert lane("streams", "ls", env=away).returncode == 2
    assert lane("streams", "ls", "--timeout", "100ms", env=away).returncode == 1
    began = time.monotonic()
    assert lane("streams", "ls", env={**away, "TRADELANE_TIMEOUT": "200ms"}).returncode == 1
    assert time.monotonic() - began < 4 * places.PATIENCE


def test_an_absent_broker_is_one_sentence():
    done = lane("streams", "ls", "--nats-url", "nats://127.0.0.1:1", "--timeout", "300ms")
    assert done.returncode == 1 and "nats://127.0.0.1:1" in done.stderr and len(done.stderr.splitlines()) == 1
    assert done.stderr.count("127.0.0.1") == 1


def test_completion_is_a_script_that_bash_takes():
    script = lane("completion", "bash").stdout
    asked = script + '\nCOMP_WORDS=(lane replay "") COMP_CWORD=2; _lane; echo "${COMPREPLY[@]}"' \
                     '\nCOMP_WORDS=(lane replay start --sel) COMP_CWORD=3; _lane; echo "${COMPREPLY[@]}"'
    words, option = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"start", "pause", "seek", "watch"} <= set(words.split()) and option == "--selector"


def test_contexts_of_the_nats_cli_are_read(store, tmp_path):
    folder = tmp_path / "config" / "nats" / "context"
    folder.mkdir(parents=True)
    (folder / "here.json").write_text(json.dumps({"url": store.broker.url, "user": "", "nkey": ""}))
    (folder / "odd.json").write_text(json.dumps({"url": store.broker.url, "nkey": "/some/file"}))
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert "ACT" in lane("streams", "ls", "--context", "here", env=env).stdout
    odd, none = lane("streams", "ls", "--context", "odd", env=env), lane("streams", "ls", "--context", "none", env=env)
    assert odd.returncode == 1 and "'nkey' is not supported" in odd.stderr
    assert none.returncode == 1 and "none.json" in none.stderr


# --- events ------------------------------------------------------------------------------------------------


def test_what_is_a_command_to_somebody_is_published_by_force_alone(store, bus):
    assert store.lane_json("pub", "$KV.config.forced", '{"a":1}', "--force")[0]["stream"] == "KV_config"


def test_what_is_published_is_recorded_and_seen(store, bus, background):
    watch = background("sub", "act.exchange.>", "sc.LIVE.>", "--json", "--count", 2)
    time.sleep(0.5)
    (ack,) = store.lane_json("pub", "sc.LIVE.trading.order.submitted.7", '{"qty":"1.5"}', "--subject", "order/7", "--ext", "foo=bar")
    record_trades(store, 1)
    assert ack == {"subject": "sc.LIVE.trading.order.submitted.7", "stream": "SC_LIVE", "seq": 1, "duplicate": False}
    seen = [json.loads(line) for line in watch.lines()]
    assert {s["subject"] for s in seen} == {"sc.LIVE.trading.order.submitted.7", "act.exchange.binance.trade.tape.BTCUSDT"}
    event = decode(bus.read("SC_LIVE")[0])
    assert event["type"] == "com.virtufin.trading.order.submitted" and event["source"] == "urn:com.virtufin.trading"
    assert event["data"] == {"qty": "1.5"} and event["foo"] == "bar" and event["scenarioid"] == "LIVE"
    (again,) = store.lane_json("pub", "act.exchange.binance.trade.tape.BTCUSDT", '{"trade_id":1}', "--id", "trade.BTCUSDT.1")
    assert again["duplicate"] is True and again["seq"] == 1


def test_a_whole_event_in_any_form_can_be_published(store, bus):
    event = {"specversion": "1.0", "id": "x", "source": "urn:x", "type": "t", "data": [1]}
    done = subprocess.run([str(places.program("lane")), "pub", "response.me", "--event", "-", "--json"], capture_output=True,
                          input=json.dumps(event).encode(), env=store.environment())
    assert done.returncode == 0 and json.loads(done.stdout) == {"subject": "response.me", "stream": ""}


@pytest.mark.parametrize("subject,says", [
    ("act.mon.exchange.binance.trade.tape", "must not carry a selector"), ("hyp.exchange.binance.trade.tape", "must carry a selector"),
    ("sc.nope.trading.order.filled", "nope"), ("act.exchange.binance.trade.*", "wildcard"), ("a b", "space"),
])
def test_lanes_are_guarded(store, subject, says):
    done = store.lane("pub", subject, "{}", check=False)
    assert done.returncode == 1 and says in done.stderr


def test_what_is_no_event_is_shown_with_its_bytes(store, bus, background):
    watch = background("sub", "response.x", "--json", "--count", 1)
    time.sleep(0.5)
    bus.publish("response.x", b"\x00\x01hello")
    (line,) = watch.lines()
    seen = json.loads(line)
    assert seen["subject"] == "response.x" and "neither" in seen["error"] and seen["payload_base64"] == "AAFoZWxsbw=="


def test_streams_are_listed_and_viewed(store):
    record_trades(store, 5)
    assert {"ACT", "SC_LIVE", "DLQ"} <= {s["name"] for s in store.lane_json("streams", "ls")}
    (info,) = store.lane_json("streams", "info", "ACT")
    assert info["messages"] == info["last_seq"] == 5 and info["subjects"] == "act.>"
    seen = store.lane_json("streams", "view", "ACT", "--from", 2, "--count", 3)
    assert [s["seq"] for s in seen] == [2, 3, 4] and seen[0]["event"]["id"] == "trade.BTCUSDT.2"
    assert store.lane_json("streams", "view", "ACT", "--filter", "act.exchange.kraken.>") == []
    missing = store.lane("streams", "info", "NOPE", check=False)
    assert missing.returncode == 1 and "NOPE" in missing.stderr
    assert "trade.BTCUSDT.5" in store.lane("streams", "view", "ACT").stdout


def test_keys_and_their_etags(store, background):
    (put,) = store.lane_json("kv", "put", "config", "a.b", '{"x":1}')
    (got,) = store.lane_json("kv", "get", "config", "a.b")
    assert got["value"] == {"x": 1} and got["etag"] == put["etag"]
    wrong = store.lane("kv", "put", "config", "a.b", "2", "--etag", "999", check=False)
    assert wrong.returncode == 1 and "999" in wrong.stderr and put["etag"] in wrong.stderr
    assert "decimal revision" in store.lane("kv", "put", "config", "a.b", "2", "--etag", "abc", check=False).stderr
    taken = store.lane("kv", "put", "config", "a.b", "2", "--etag", "0", check=False)
    assert taken.returncode == 1
    watch = background("kv", "watch", "config", "--json", "--count", 2)
    time.sleep(0.5)
    store.lane("kv", "put", "config", "a.b", "2", "--etag", put["etag"])
    assert [json.loads(line)["value"] for line in watch.lines()] == [{"x": 1}, 2]
    assert [e["key"] for e in store.lane_json("kv", "ls", "config")] == ["a.b"]
    store.lane("kv", "del", "config", "a.b")
    assert store.lane("kv", "get", "config", "a.b", check=False).returncode == 1
    assert {"scenarios", "config"} <= {b["bucket"] for b in store.lane_json("kv", "ls")}


def test_a_bucket_that_has_an_owner_is_not_written_by_mistake(store, bus):
    before = bus.kv("scenarios")
    for bucket, says in (("scenarios", "lane scenario"), ("replays", "lane replay"), ("workers", "lane workers"),
                         ("leases", "daemon"), ("connections", "lane connections")):
        for verb in (["put", bucket, "x", "1"], ["del", bucket, "x"]):
            done = store.lane("kv", *verb, check=False)
            assert done.returncode == 2 and says in done.stderr and "--force" in done.stderr, done.stderr
    assert bus.kv("scenarios") == before
    store.lane("kv", "put", "workers", "x", "1", "--force")
    store.lane("kv", "del", "workers", "x", "--force")


# --- services ----------------------------------------------------------------------------------------------


def test_services_workers_and_connections_are_listed(store):
    assert [s["name"] for s in store.lane_json("services", "ls")] == ["stored"]
    endpoints = {e["name"] for e in store.lane_json("services", "info", "stored")}
    assert {"Scenarios-Create", "Replay-Start"} <= endpoints
    absent = store.lane("services", "info", "nobody", check=False)
    assert absent.returncode == 1 and "nobody" in absent.stderr
    without = store.lane("workers", "ls", "--timeout", "1s", check=False)
    assert without.returncode == 1 and "WorkManager" in without.stderr
    assert store.lane_json("connections") == []
    store.start("workhostd")
    assert {w["status"] for w in store.lane_json("workers", "ls")} <= {"running", "stopped"}
    gone = store.lane("workers", "start", "nope", check=False)
    assert gone.returncode == 1 and "nope" in gone.stderr


def test_scenarios_live_and_die(store):
    (made,) = store.lane_json("scenario", "create", "bt1", "--market", "hyp.mon", "--strategy", "sma", "--param", "sma.fast=7")
    assert made["market"] == {"lane": "hyp", "selector": "mon"} and made["strategy"] == {"lane": "hyp", "id": "sma"}
    assert made["parameters"] == [{"name": "sma.fast", "value": "7"}] and made["status"] == "active"
    assert [s["id"] for s in store.lane_json("scenario", "ls")] == ["LIVE", "bt1"]
    text = store.lane("scenario", "get", "bt1").stdout.splitlines()
    assert {"market.lane: hyp", "market.selector: mon", "strategy.id: sma", "parameters.sma.fast: 7"} <= set(text)
    for verb, status in (("pause", "paused"), ("archive", "archived"), ("restore", "active")):
        (now,) = store.lane_json("scenario", verb, "bt1")
        assert now["status"] == status
    refused = store.lane("scenario", "resume", "bt1", check=False)
    assert refused.returncode == 1 and "active" in refused.stderr
    for args, says in ((["create", "live", "--market", "act"], "reserved"), (["create", "x", "--market", "hyp"], "selector"),
                       (["get", "nope"], "nope"), (["pause", "LIVE"], "LIVE"), (["create", "bt1", "--market", "hyp.mon"], "bt1")):
        done = store.lane("scenario", *args, check=False)
        assert done.returncode == 1 and says in done.stderr, done.stderr
    first = store.lane("scenario", "delete", "bt1", check=False)
    assert first.returncode == 1 and "SC_bt1" in first.stderr and "lane scenario delete bt1 --yes bt1" in first.stderr
    assert store.lane("scenario", "delete", "bt1", "--yes", "bt2", check=False).returncode == 2
    store.lane("scenario", "delete", "bt1", "--yes", "bt1")
    assert [s["id"] for s in store.lane_json("scenario", "ls")] == ["LIVE"]


def test_a_scenario_whose_record_is_broken_can_be_deleted(store):
    store.lane("scenario", "create", "bt9", "--market", "hyp.mon")
    store.lane("kv", "put", "scenarios", "bt9", "garbage", "--force")
    shown = store.lane("scenario", "get", "bt9", check=False)
    assert shown.returncode == 1 and "Delete removes it" in shown.stderr, shown.stderr
    asked = store.lane("scenario", "delete", "bt9", check=False)
    assert asked.returncode == 1 and "--yes bt9" in asked.stderr, asked.stderr
    store.lane("scenario", "delete", "bt9", "--yes", "bt9")
    assert "not registered" in store.lane("scenario", "get", "bt9", check=False).stderr
    assert "SC_bt9" not in store.lane("streams", "ls").stdout


def test_a_strategy_that_is_no_worker_is_refused_by_name(store):
    blind = store.lane("scenario", "create", "b0", "--market", "hyp.mon", "--strategy", "smaa")
    assert "whether there is a worker 'smaa'" in blind.stderr and blind.stderr.count("\n") == 1
    store.start("workhostd", "--workers-dir", places.TREE / "examples" / "workers")
    refused = store.lane("scenario", "create", "b1", "--market", "hyp.mon", "--strategy", "act@smaa", check=False)
    assert refused.returncode == 1 and "no worker 'smaa'; there are: sma" in refused.stderr and "--force" in refused.stderr
    assert "b1" not in [s["id"] for s in store.lane_json("scenario", "ls")]
    assert store.lane("scenario", "create", "b1", "--market", "hyp.mon", "--strategy", "sma").stderr == ""
    assert store.lane("scenario", "create", "b2", "--market", "hyp.mon", "--strategy", "later", "--force").stderr == ""


# --- replays -----------------------------------------------------------------------------------------------


def test_a_replay_is_followed_to_its_end(store, background):
    record_trades(store, 20)
    watch = background("sub", "hyp.mon.exchange.>", "--json", "--count", 20)
    time.sleep(0.5)
    lines = store.lane("replay", "start", "ACT", "--selector", "mon", "--wait").stdout.splitlines()
    assert all(re.search(r": (none|1?[1-9]|[12]0) of 1\.\.20, ", line) for line in lines), lines
    shown = store.lane("replay", "get", "mon").stdout
    assert "error: 0" not in shown and re.search(r"^eventsPerS: [0-9]+$", shown, re.M), shown
    assert store.lane("kv", "ls").stdout.split("replays", 1)[1].split()[0] == "1", "one key, whatever its history"
    assert "finished" in lines[-1] and "20 events" in lines[-1]
    seen = [json.loads(line)["event"] for line in watch.lines()]
    assert [e["id"] for e in seen] == [f"trade.BTCUSDT.{n}" for n in range(1, 21)]
    assert {e["marketselector"] for e in seen} == {"mon"} and {e["clocktype"] for e in seen} == {"historical"}
    (listed,) = store.lane_json("replay", "ls")
    assert listed["state"] == "finished" and listed["sent"] == "20"


def test_a_paused_replay_is_stepped_sought_and_stopped(store):
    record_trades(store, 10)
    store.lane("replay", "start", "--selector", "mon", "--paused", "--from", 3)
    (now,) = store.lane_json("replay", "step", "mon", 2)
    assert now["position"] == "4" and now["state"] == "paused"
    (sought,) = store.lane_json("replay", "seek", "mon", "2024-08-08T23:54:08Z")
    assert sought["firstSeq"] == "8" and sought["runid"] != now["runid"]
    (speed,) = store.lane_json("replay", "speed", "mon", "10x")
    assert speed["speed"] == "10x"
    store.lane("replay", "stop", "mon")
    assert store.lane_json("replay", "get", "mon")[0]["state"] == "stopped"
    for args, says in ((["seek", "mon", "yesterday"], "'yesterday' is neither"), (["step", "mon", "x"], "'x' is not a whole"),
                       (["speed", "mon", "fast"], "'fast'"), (["start", "--selector", "x", "--to", "soon"], "--to 'soon'"),
                       (["start", "--selector", "x", "--speed", ".x"], "'.x'"),
                       (["start", "--selector", "x", "--speed", "99999x"], "0.01x to 10000x"),
                       (["start", "--selector", "LIVE"], "reserved")):
        done = store.lane("replay", *args, check=False)
        assert done.returncode == 2 and says in done.stderr, done.stderr
    for args, says in ((["start", "--selector", "x", "--from", 99], "99"),
                       (["start", "NOPE", "--selector", "x"], "NOPE"), (["pause", "none"], "none")):
        done = store.lane("replay", *args, check=False)
        assert done.returncode == 1 and says in done.stderr, done.stderr


def resume_when_joined(store, selector: str):
    end = time.monotonic() + 10 * places.PATIENCE
    while not store.lane_json("replay", "get", selector)[0]["participants"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    store.lane("replay", "resume", selector)


def test_who_takes_part_gets_everything_and_ends_with_the_replay(store, background):
    record_trades(store, 30)
    store.lane("replay", "start", "--selector", "mon", "--paused")
    reader = background("sub", "hyp.mon.exchange.>", "--join", "reader", "--json")
    resume_when_joined(store, "mon")
    assert [json.loads(line)["seq"] for line in reader.lines()] == list(range(1, 31))
    assert store.lane("replay", "watch", "mon").stdout.startswith("mon finished")
    text = store.lane("replay", "get", "mon").stdout
    assert "\nparticipants.1.name: reader\n" in text and "{" not in text


def test_who_joins_before_there_is_a_replay_is_told_what_is_waited_for(store, background):
    record_trades(store, 2)
    reader = background("sub", "hyp.zz.exchange.>", "--join", "me", "--json", "--count", 2)
    said = reader.process.stderr.readline()
    assert "no replay runs on 'zz'" in said and "lane replay start --selector zz" in said
    store.lane("replay", "start", "--selector", "zz", "--paused")
    resume_when_joined(store, "zz")
    assert [json.loads(line)["seq"] for line in reader.lines()] == [1, 2]


def test_who_waits_gets_a_replay_that_is_over_before_it_has_joined(store, background):
    record_trades(store, 3)
    reader = background("sub", "hyp.zz.exchange.>", "--join", "me", "--json")
    assert "no replay runs on 'zz'" in reader.process.stderr.readline()
    reader.process.send_signal(signal.SIGSTOP)  # it sees nothing of the replay until that is over
    store.lane("replay", "start", "--selector", "zz", "--wait")
    reader.process.send_signal(signal.SIGCONT)
    seen = [json.loads(line) for line in reader.lines()]
    assert [line["seq"] for line in seen] == [1, 2, 3]
    assert {line["event"]["marketselector"] for line in seen} == {"zz"}


def test_what_a_scenario_decided_is_shown_from_its_record(store, background):
    store.lane("scenario", "create", "bt1", "--market", "hyp.mon")
    for seq in (1, 2, 3):
        decide(store, "bt1", seq, "1.0")
        decide(store, "LIVE", seq, "1.0")
    assert [s["seq"] for s in store.lane_json("sub", "sc.bt1.>", "--count", 3)] == [1, 2, 3]
    reader = background("sub", "sc.bt1.>", "--from", 2, "--count", 4, "--json")
    decide(store, "bt1", 4, "1.0")
    decide(store, "bt1", 5, "1.0")
    assert [json.loads(line)["seq"] for line in reader.lines()] == [2, 3, 4, 5]
    live = background("sub", "sc.LIVE.>", "--count", 1, "--json")
    time.sleep(0.5)
    decide(store, "LIVE", 9, "2.0")
    assert json.loads(live.lines()[0])["event"]["causationseq"] == "9"
    for args, says in ((["sc.*.>", "--from", "start"], "no one stream"), (["act.>", "--from", "soon"], "--from 'soon'")):
        done = store.lane("sub", *args, check=False)
        assert done.returncode in (1, 2) and says in done.stderr, done.stderr


# --- diff and export -------------------------------------------------------------------------------------


def decide(store, scenario: str, seq: int, price: str, worker: str = "sma"):
    extra = [] if scenario == "LIVE" else ["--ext", "runid=run-1"]
    store.lane("pub", f"sc.{scenario}.strategy.signal.emitted.{worker}", json.dumps({"price": price}), "--id", f"{scenario}-{worker}-{seq}-{price}",
               "--ext", f"causationseq={seq}", "--ext", f"causationid=trade.{seq}", *extra)


def finish(store, scenario: str, start: int, done: int):
    run = "" if scenario == "LIVE" else "run-1"
    store.lane("kv", "put", "workers", f"sc.{scenario}.sma",
               json.dumps({"start_seq": start, "done_seq": done, "runid": run, "session": "1"}), "--force")


def test_equal_decisions_are_equal_and_the_first_difference_is_named(store, tmp_path):
    store.lane("scenario", "create", "bt1", "--market", "hyp.mon")
    for seq in (3, 5, 9, 40):
        decide(store, "LIVE", seq, "1.0")
    for seq in (5, 9, 41):
        decide(store, "bt1", seq, "1.0")
    nothing = store.lane("diff", "LIVE", "bt1", check=False)
    assert nothing.returncode == 2 and "LIVE" in nothing.stderr
    finish(store, "LIVE", 1, 30)
    finish(store, "bt1", 4, 50)  # 3 lies before, 40 and 41 behind what both have finished
    assert store.lane("diff", "LIVE", "bt1").stdout.startswith("equal: 2 events, caused by sequences 4 to 30")
    assert store.lane_json("diff", "LIVE", "bt1") == [{"equal": True, "events": 2, "first_seq": 4, "last_seq": 30}]
    store.lane("export", "LIVE", "-o", tmp_path / "live.jsonl")
    store.lane("export", "bt1", "-o", tmp_path / "bt1.jsonl")
    assert store.lane_json("diff", tmp_path / "live.jsonl", tmp_path / "bt1.jsonl")[0]["events"] == 2
    assert store.lane_json("diff", "LIVE", tmp_path / "bt1.jsonl")[0]["equal"] is True

    finish(store, "bt1", 4, 50)
    finish(store, "LIVE", 1, 50)
    done = store.lane("diff", "LIVE", "bt1", "--json", check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["seq"] == 40 and found["at"] == 2
    assert found["a"]["causationseq"] == "40" and found["b"]["causationseq"] == "41"
    decide(store, "bt1", 45, "9")
    decide(store, "LIVE", 45, "8")
    text = store.lane("diff", "LIVE", "bt1", check=False).stdout
    assert text.startswith("different at sequence 40, after 2 equal events")
    finish(store, "LIVE", 60, 70)
    apart = store.lane("diff", "LIVE", "bt1", check=False)
    assert apart.returncode == 2 and "60 to 70" in apart.stderr and "4 to 50" in apart.stderr
    other = store.lane("diff", "LIVE", "bt1", "--run", "run-2", check=False)
    assert other.returncode == 2 and "run-2" in other.stderr


def test_one_workers_decisions_are_compared_where_a_side_has_others_too(store):
    store.lane("scenario", "create", "bt1", "--market", "hyp.mon")
    for seq in (3, 5):
        decide(store, "LIVE", seq, "1.0", "other")
        decide(store, "LIVE", seq, "1.0")
        decide(store, "bt1", seq, "1.0")
    finish(store, "LIVE", 1, 9)
    finish(store, "bt1", 1, 9)
    assert store.lane("diff", "LIVE", "bt1", check=False).returncode == 1
    assert store.lane("diff", "LIVE", "bt1", "--only", "*.signal.>", check=False).returncode == 1
    assert json.loads(store.lane("diff", "LIVE", "bt1", "--only", "strategy.signal.emitted.sma", "--json").stdout)["events"] == 2
    for only, says in (("a..b", "--only: subject 'a..b'"), ("strategy.signal.emitted.smaa", "neither side has an event on")):
        done = store.lane("diff", "LIVE", "bt1", "--only", only, check=False)
        assert done.returncode == 2 and says in done.stderr, done


def test_data_that_differ_in_one_digit_are_a_difference(store):
    store.lane("scenario", "create", "bt1", "--market", "hyp.mon")
    decide(store, "LIVE", 5, "1.0")
    decide(store, "bt1", 5, "1.00")
    finish(store, "LIVE", 1, 9)
    finish(store, "bt1", 1, 9)
    (found,) = [json.loads(line) for line in store.lane("diff", "LIVE", "bt1", "--json", check=False).stdout.splitlines()]
    assert found["seq"] == 5 and found["a"]["data"] == {"price": "1.0"} and found["b"]["data"] == {"price": "1.00"}


def test_what_is_no_answer_of_diff_or_export_exits_2_and_is_named(store, tmp_path):
    away = ["--nats-url", "nats://127.0.0.1:1", "--timeout", "300ms"]
    for args, says in ((["diff", "LIVE", "nope"], "scenario 'nope' is not registered"),
                       (["diff", "nope", "LIVE"], "scenario 'nope' is not registered"),
                       (["diff", "LIVE", tmp_path / "none.jsonl"], "none.jsonl': No such file"),
                       (["diff", "LIVE", "a b"], "a b"), (["diff", "LIVE", "LIVE", *away], "127.0.0.1:1"),
                       (["export", "nope"], "scenario 'nope' is not registered"), (["export", "LIVE", *away], "127.0.0.1:1"),
                       (["export", "--stream", "NOPE"], "there is no stream 'NOPE'")):
        done = store.lane(*args, check=False)
        assert done.returncode == 2 and says in done.stderr and "10059" not in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr.count("127.0.0.1") <= 1, done.stderr


def test_an_export_is_every_event_of_a_range(store, tmp_path):
    record_trades(store, 10)
    lines = [json.loads(line) for line in store.lane("export", "--stream", "ACT", "--from", 3, "--to", 7).stdout.splitlines()]
    assert lines[0]["lane_export"] == 1 and lines[0]["stream"] == "ACT" and lines[0]["last_seq"] == 10
    assert [line["seq"] for line in lines[1:]] == [3, 4, 5, 6, 7]
    assert lines[1]["event"]["data"] == {"trade_id": 3, "price": "3.5"}
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.jsonl", tmp_path / "link.jsonl"
    target.write_text("before")
    link.symlink_to(target)
    store.lane("export", "--stream", "ACT", "-o", link)
    assert link.is_symlink() and len(target.read_text().splitlines()) == 11 and not list(tmp_path.rglob("*.part"))
    target.unlink()
    done = store.lane("export", "--stream", "ACT", "-o", link, check=False)
    assert done.returncode == 2 and "leads nowhere" in done.stderr and link.is_symlink()
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    done = store.lane("diff", bad, bad, check=False)
    assert done.returncode == 2 and "line 1" in done.stderr


# --- doctor and the stock CLI ------------------------------------------------------------------------------


def test_doctor_says_what_is_missing(stack, broker):
    before = stack.lane("doctor", "--json", check=False)
    checks = {c["check"]: c for c in map(json.loads, before.stdout.splitlines())}
    assert before.returncode == 1 and checks["broker"]["verdict"] == "ok"
    assert "16000000" not in before.stdout  # what the kernel says of a clock that nobody has measured
    assert checks["streams"]["verdict"] == "fail" and "start stored" in checks["streams"]["advice"]
    stack.start("stored")
    after = stack.lane("doctor", "--json", check=False)
    checks = {c["check"]: c for c in map(json.loads, after.stdout.splitlines())}
    assert checks["streams"]["verdict"] == checks["buckets"]["verdict"] == checks["stored"]["verdict"] == "ok"
    assert checks["rights"]["verdict"] == "warn"
    assert checks["storage"]["verdict"] == "warn" and "cannot be seen" in checks["storage"]["found"]
    assert checks["scenario LIVE"]["verdict"] == "ok"
    assert stack["stored"].stop() == 0
    for harm in (["put", "scenarios", "LIVE", "{}"], ["del", "scenarios", "LIVE"]):
        stack.lane("kv", *harm, "--force")
        harmed = stack.lane("doctor", "--json", check=False)
        checks = {c["check"]: c for c in map(json.loads, harmed.stdout.splitlines())}
        assert harmed.returncode == 1 and checks["scenario LIVE"]["verdict"] == "fail"
    away = lane("doctor", "--nats-url", "nats://127.0.0.1:1", "--timeout", "300ms", "--json")
    assert away.returncode == 1 and "nats-server -js" in away.stdout


def test_doctor_looks_at_the_disk_of_the_broker(tmp_path, make_broker):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    broker = make_broker(f"http: 127.0.0.1:{port}")
    asked = lane("doctor", "--json", "--nats-url", broker.url, "--monitor", port, cwd="/")
    checks = {c["check"]: c for c in map(json.loads, asked.stdout.splitlines())}
    free = shutil.disk_usage(broker.folder).free / 2**30
    measured = float(re.match(r"([0-9.]+) GiB free", checks["storage"]["found"])[1])
    assert str(broker.folder) in checks["storage"]["found"] and abs(measured - free) < max(1, free / 10)
    assert checks["sync_interval"]["found"] == "120.000 s"
    wrong = lane("doctor", "--json", "--nats-url", broker.url, "--monitor", broker.port)
    checks = {c["check"]: c for c in map(json.loads, wrong.stdout.splitlines())}
    assert checks["monitoring"]["verdict"] == "warn" and checks["storage"]["verdict"] == "warn"


def test_doctor_knows_the_limit_of_an_account(make_broker):
    broker = make_broker("accounts { A { jetstream { max_file: 512MB }, users: [ { user: a, password: a } ] } }\n no_auth_user: a")
    asked = lane("doctor", "--json", "--nats-url", broker.url)
    checks = {c["check"]: c for c in map(json.loads, asked.stdout.splitlines())}
    assert checks["storage"]["verdict"] == "fail" and "0.0 of at most 0.5 GiB in use by this account" in checks["storage"]["found"]


def test_the_stock_cli_sees_streams_buckets_and_services_and_reads_lanes(store, nats_cli):
    def nats(*args, **options):
        return subprocess.run([nats_cli, "--server", store.broker.url, *args], capture_output=True, text=True,
                              timeout=30 * places.PATIENCE, **options)

    assert "ACT" in nats("stream", "ls").stdout
    assert "scenarios" in nats("kv", "ls").stdout
    assert "stored" in nats("micro", "ls").stdout
    micro = nats("micro", "info", "stored")
    assert micro.returncode == 0 and "Scenarios-Create" in micro.stdout, micro.stderr
    env = {**os.environ, "PATH": f"{places.program('lane').parent}:{os.environ['PATH']}"}
    out = []
    reader = threading.Thread(target=lambda: out.append(
        nats("sub", "act.exchange.>", "--translate", "lane cat", "--count", "2", env=env)))
    reader.start()
    time.sleep(1)
    record_trades(store, 2)
    reader.join()
    assert '"id":"trade.BTCUSDT.2"' in out[0].stdout and '"data":{"trade_id":2' in out[0].stdout
