"""One round: a whole stack on ports and a folder of its own, a script of faults, then rest, then the audit.

session.py --seed N --folder DIR [--long] [--plot NAME] prints the script on stderr and one JSON line on stdout.
Source: schemas/specs/faults.md, "A round".
"""

import argparse
import heapq
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
import msgpack  # noqa: E402
from support import spine  # noqa: E402
from support.audit import ids_of  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.bus import Bus  # noqa: E402
from support.places import BUILD, PATIENCE  # noqa: E402
from support.services import ServiceError, call  # noqa: E402
from support.stack import Daemon  # noqa: E402

from auditor import FAST, SLOW  # noqa: E402
from evidence import HISTORIES  # noqa: E402
from proxy import Proxy  # noqa: E402
from script import script  # noqa: E402

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
CHANNELS = ["trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1s"]
CLOCK = "control.clock"
ROOM = 16 << 30
REFUSED = "file resource limits exceeded"  # the broker's word for a full store


class Failed(Exception):
    """The round itself found something that is not as it should be."""


class Session:
    def __init__(self, script, folder: Path):
        self.script, self.folder = script, folder
        folder.mkdir(parents=True)
        self.broker = Broker(folder / "broker")
        self.proxy = Proxy()
        self.relays = {name: self.proxy.relay() for name in ("feedd", "stored", "workhostd", "venue")}
        self.daemons, self.tokens = {}, {}  # file whose absence tells that somebody died there -> kill point
        self.arms = {name: self.tokens_of(name, points) for name, points in script.arms.items()}
        self.killed, self.due = set(), []  # names of those we ended; (time, order, what to do)
        self.counts, self.found = Counter(), []
        self.lives, self.order, self.seconds, self.clock_ahead, self.clock_most = 0, 0, set(), 0, 0
        self.bus = self.exchange = self.clock_at = self.went_back = None
        self.feeds = {"begun": 0, "two": False, "disturbed": script.virtual_clock}  # disturbed: they, the venue, or the way to it
        self.replays = []  # of the script: ACT's end before and after each that may have begun; 0: not known
        (folder / "workers").mkdir()
        (folder / "workers" / "sma.yaml").write_text(
            spine.DECLARATION.format(workers=BUILD / "workers", fast=FAST, slow=SLOW))

    # --- starting ---

    def start(self, name):
        if name == "broker":
            self.start_broker()
        elif name == "simexd":
            self.start_exchange()
        else:
            kind = name.removesuffix("2")
            self.feeds["begun"] += kind == "feedd"
            self.daemons[name] = self.daemon(name, kind, *self.arguments(kind, name))

    def arguments(self, kind, name):
        clock = ["--clock", f"bus:{CLOCK}"] if self.script.virtual_clock else []
        if kind == "stored":
            return ["--lease", "1s", *clock]
        if kind == "workhostd":
            return ["--lease", "1s", "--workers-dir", self.folder / "workers", "--code-dir", self.folder / f"code.{name}", *clock]
        venue = f"127.0.0.1:{self.relays['venue'].port}"
        return ["--ws-url", f"ws://{venue}", "--rest-url", f"http://{venue}", "--symbols", ",".join(SYMBOLS),
                "--channels", ",".join(CHANNELS), "--lease-span", f"{self.script.lease_ms}ms", "--stale-after", "500ms",
                "--dead-after", "1500ms", "--reconnect-min", "20ms", "--reconnect-max", "200ms",
                "--snapshot-every", "700ms", "--connect-timeout", "2s", "--rest-timeout", "2s", *clock]

    def daemon(self, name, kind, *args):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Daemon(kind, folder, f"nats://127.0.0.1:{self.relays[kind].port}", *args, env=self.arms.get(name))

    def tokens_of(self, name, points):
        """One list for all lives of a daemon, and of its children: each dies of the first that is left."""
        entries = []
        for i, (point, n) in enumerate(points):
            token = self.folder / f"kill.{name}.{i}"
            token.touch()
            self.tokens[token] = point
            entries.append(f"{point}:{n}@{token}")
        return {"TL_KILL_AT": ",".join(entries)}

    def start_broker(self):
        self.broker.start()
        if self.bus is None:
            self.bus = Bus(self.broker.url, error_cb=nothing)
            for bucket in HISTORIES:
                self.make_bucket(bucket)
        for name in ("feedd", "stored", "workhostd"):
            self.relays[name].target = self.broker.port

    def make_bucket(self, bucket):
        """As the daemons make it, but with its whole history."""
        config = {"name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "retention": "limits", "storage": "file",
                  "discard": "new", "max_msgs_per_subject": -1, "allow_rollup_hdrs": True, "deny_delete": True,
                  "allow_direct": True, "num_replicas": 1}
        answer = self.bus.request(f"$JS.API.STREAM.CREATE.KV_{bucket}", json.dumps(config).encode())
        assert b'"error"' not in answer.data, answer.data

    def start_exchange(self):
        self.lives += 1
        folder = self.folder / "simexd"
        folder.mkdir(exist_ok=True)
        self.exchange = spine.Venue(Daemon(
            "simexd", folder, "", "--listen", "127.0.0.1:0", "--symbols", ",".join(SYMBOLS), "--rate", self.script.rate,
            "--seed", self.script.seed, "--state", folder, "--send-log", self.folder / f"sent.{self.lives}.jsonl",
            "--ping-every", "300ms"))
        self.daemons["simexd"] = self.exchange.daemon
        self.relays["venue"].target = int(self.exchange.address.rsplit(":", 1)[1])

    # --- minding: time passes only here ---

    def until(self, done, timeout, what):
        """Minds the stack until done() holds (an answer that does not come counts as not yet)."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            self.mind()
            try:
                if done():
                    return
            except (Failed, AssertionError):
                raise
            except Exception:  # noqa: BLE001: the broker may be away
                pass
            if time.monotonic() > end:
                raise Failed(f"not within {timeout} s: {what() if callable(what) else what}")
            time.sleep(0.01)

    def answer(self, ask):
        """What ask() gives once it is answered: a busy machine lets a question wait."""
        given = []
        self.until(lambda: given.append(ask()) or True, 20, f"an answer to {ask.__name__}")
        return given[0]

    def rest(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.mind()
            time.sleep(min(0.01, max(0, end - time.monotonic())))

    def later(self, seconds, what):
        self.order += 1
        heapq.heappush(self.due, (time.monotonic() + seconds, self.order, what))

    def mind(self):
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            heapq.heappop(self.due)[2]()
        self.take_tokens()
        for name, daemon in list(self.daemons.items()):
            if not daemon.running and name not in self.killed:
                if "killed at point" not in daemon.output()[-1000:]:
                    self.found.append(f"{name} ended by itself: {daemon.wait()}\n{daemon.output()[-1500:]}")
                self.killed.add(name)
                self.start_again(name, 0.1)
        if self.script.virtual_clock and self.bus and (not self.clock_at or now - self.clock_at > 0.02):
            self.clock_at = now
            self.tell_clock()

    def tell_clock(self):
        instant = time.time_ns() + self.clock_ahead * 10**9
        if self.broker.process.running:
            self.bus.publish_soon(CLOCK, str(instant).encode())

    def take_tokens(self):
        """Who dies at a kill point takes its token away first; it may be a runtime, which workhostd starts again."""
        for token, point in list(self.tokens.items()):
            if not token.exists():
                del self.tokens[token]
                self.counts[point] += 1

    def start_again(self, name, seconds):
        def again():
            self.start(name)
            self.killed.discard(name)
        self.later(seconds, again)

    # --- what a script may do ---

    def disturb(self, name):
        if name in ("feedd", "simexd", "venue"):
            self.feeds["disturbed"] = True

    def do_kill(self, name, down):
        self.disturb(name)
        if name in ("LIVE", "bt1"):
            pid = name in self.killed or spine.runtime_pid(self.daemons["workhostd"], name)
            if pid:
                os.kill(pid, 9)
                self.counts["kill of a runtime"] += 1
            return
        if name in self.killed:
            return
        self.counts[f"kill of {name}"] += 1
        self.killed.add(name)
        (self.broker if name == "broker" else self.daemons[name]).kill()
        self.start_again(name, down)

    def do_freeze(self, name, span):
        self.disturb(name)
        if name in self.killed:
            return
        self.counts[f"stop of {name}"] += 1
        if name == "LIVE":
            pid = spine.runtime_pid(self.daemons["workhostd"], "LIVE")
            if pid:
                os.kill(pid, 19)
                self.later(span, lambda: signal_if_there(pid, 18))
            return
        one = self.broker if name == "broker" else self.daemons[name]
        one.freeze()
        self.later(span, one.thaw)

    def do_network(self, link, kind, span, *more):
        self.counts[f"network {kind}"] += 1
        if link == "venue":
            self.disturb(link)
        relay = self.relays[link]
        {"cut": relay.cut, "reset": relay.reset, "stall": relay.stall, "half_open": relay.half_open, "mute": relay.mute,
         "slow": relay.slow}[kind](*more)
        self.later(span, relay.heal)

    def do_replay(self, speed):
        """As a user would who does not wait: where it is refused it is refused."""
        low = high = 0
        try:
            self.make_scenario()
            low = self.last_seq()
            call(self.bus, "Replay.Start", 0.5, selector="mon", speed=speed, scenarios=["bt1"])
            self.counts["replays begun"] += 1
            high = self.last_seq()
        except Exception:  # noqa: BLE001: stored or the broker may be away
            pass
        self.replays.append((low, high))

    def make_scenario(self):
        try:
            call(self.bus, "Scenarios.Create", 0.5, id="bt1", market={"lane": "hyp", "selector": "mon"},
                 strategy={"id": "sma"})
        except ServiceError as error:
            if error.code != 6:
                raise

    def do_deaf_subscriber(self, subject):
        """One that never reads: the broker must let go of it, and nobody else may notice."""
        self.deaf = socket.create_connection(("127.0.0.1", self.broker.port))
        self.deaf.sendall(f'CONNECT {{"verbose":false}}\r\nSUB {subject} 1\r\n'.encode())

    def do_look_at_window(self, span):
        """For so long, until it is full: then frames wait for room in it."""
        self.watch(span, "full windows", lambda: self.daemons["feedd"].metric("tradelane_feedd_queue_bytes") > 0)

    def watch(self, span, name, seen, then=lambda: None):
        """Looks now and then whether it is so, and counts it; `then` follows in any case."""
        end = time.monotonic() + span

        def look():
            try:
                there = seen()
            except OSError:  # it was killed meanwhile
                there = False
            if there:
                self.counts[name] += 1
            elif time.monotonic() < end:
                return self.later(0.1, look)
            then()

        look()

    def do_second(self, kind):
        self.feeds["two"] = self.feeds["two"] or kind == "feedd"
        self.start(kind + "2")

    def do_jump(self, seconds):
        self.counts["clock jumps"] += 1
        self.clock_ahead += seconds
        self.clock_most = max(self.clock_most, self.clock_ahead)

    def do_store_full(self, span):
        self.counts["store full"] += 1
        used = sum(f.stat().st_size for f in (self.broker.folder / "jetstream").rglob("*") if f.is_file())
        self.restart_broker(used + 50_000)
        self.later(span, lambda: self.watch(3, "full stores", lambda: REFUSED in self.broker.process.output(),
                                            lambda: self.restart_broker(ROOM)))

    def restart_broker(self, max_file):
        self.broker.kill()
        self.broker.max_file = max_file
        self.broker.start()

    def do_copy_store(self):
        done = self.answer(self.live_done)
        self.broker.freeze()
        shutil.copytree(self.broker.folder / "jetstream", self.folder / "older")
        self.broker.thaw()
        self.went_back = {"done": done, "last": self.answer(self.last_seq)}

    def do_older_store(self):
        self.counts["older store"] += 1
        self.broker.kill()
        self.went_back["killed_ns"] = time.time_ns()  # what it had not acknowledged by now it never did
        shutil.rmtree(self.broker.folder / "jetstream")
        shutil.copytree(self.folder / "older", self.broker.folder / "jetstream")
        self.broker.start()

    # --- a round ---

    def play(self):
        for name, pause in zip(self.script.order, self.script.seconds_apart):
            self.start(name)
            self.rest(pause)
        self.until(lambda: self.last_seq() > 300 and self.live_done() > 0, 30, "the stack gets going")
        began = time.monotonic()
        for at, verb, args in sorted(self.script.actions, key=lambda a: a[0]):
            self.rest(max(0, began + at - time.monotonic()))
            getattr(self, "do_" + verb)(*args)
        self.rest(max(0, began + self.script.seconds - time.monotonic()))
        self.heal()
        self.settle()
        self.last_run = self.run_backtest()

    def heal(self):
        """What is due is done, no further fault comes."""
        self.take_tokens()
        for token in self.tokens:
            token.unlink(missing_ok=True)  # what was not reached is not to be: who starts from now on lives
        self.tokens = {}
        self.until(lambda: not self.due and not self.killed, 60, "all faults are over")
        self.proxy.heal()
        self.clock_ahead = self.clock_most  # a clock never goes back: behind what it was told it stands, and with it every timer

    def healthy(self):
        waiting = [n for n, d in self.daemons.items() if n != "simexd" and d.get("/health")[0] != 200]
        # Of two, one waits for the other's lease.
        return all(n.removesuffix("2") + ("" if n.endswith("2") else "2") in self.daemons and
                   not {n.removesuffix("2"), n.removesuffix("2") + "2"} <= set(waiting) for n in waiting)

    def settle(self):
        """At rest, with what was sent last on the lane. A feed that still catches up may lose its connection just then: once more."""
        for _ in range(4):
            self.until(self.healthy, 40, self.unhealthy)
            seq = self.answer(self.last_seq)
            self.until(lambda: self.last_seq() > seq + 200 and all(
                self.last_on(f"orderbook.update.{symbol}") > seq and self.is_whole(symbol) for symbol in SYMBOLS), 30,
                       f"ACT gets on behind {seq}, with whole books")
            self.exchange.post("/sim/v1/play", {"action": "pause"})
            if self.last_frame_is_there():
                break
            self.counts["came to rest in a gap"] += 1
            self.exchange.post("/sim/v1/play", {"action": "resume"})
        self.books = {s: json.loads(self.exchange.get(f"/sim/v1/book?symbol={s}")) for s in SYMBOLS}
        for name in [n for n in self.daemons if n.startswith("feedd")]:
            self.stop(name)
        last = self.answer(self.last_trade)
        self.until(lambda: self.live_done() >= last, 30, lambda: f"LIVE is done up to {last}: {self.live_done()}")

    def unhealthy(self):
        return "every daemon is ready: " + "; ".join(f"{n}: {d.get('/health')[1]}" for n, d in self.daemons.items()
                                                     if n != "simexd" and d.get("/health")[0] != 200)

    def last_frame_is_there(self):
        """Waits until what the exchange sent last is on the lane, or the lane is quiet without it."""
        sent = (self.folder / f"sent.{self.lives}.jsonl").read_bytes().splitlines()
        last = next((e for e in map(json.loads, reversed(sent)) if e["connections"] and e["recorded_ns"]), None)
        if last is None:
            return True
        event_id = ".".join(map(str, (last["channel"], last["symbol"], *ids_of(last))))
        seen = [0, time.monotonic()]  # the lane's end, and since when it is there

        def over():
            at, ids = self.last_seq(), self.ids_at_the_end()
            if at != seen[0]:
                seen[:] = at, time.monotonic()
            return event_id in ids or time.monotonic() > seen[1] + 3 * PATIENCE

        self.until(over, 120, f"{event_id} is on the lane, or the lane is quiet")
        return event_id in self.ids_at_the_end()

    def ids_at_the_end(self):
        messages = self.bus.read("ACT", "act.exchange.>", max(1, self.last_seq() - 300))
        return {msgpack.unpackb(m.data, raw=False)["id"] for m in messages}

    def run_backtest(self):
        """A whole replay of everything; its run, and what it has to cover: ACT is at rest."""
        begun, last = {}, self.answer(self.last_seq)

        def begin():
            self.make_scenario()
            try:
                begun.update(call(self.bus, "Replay.Start", 3, selector="mon", speed="max", scenarios=["bt1"]))
            except ServiceError as error:
                if error.code == 6:  # one of the script's still plays
                    call(self.bus, "Replay.Stop", 3, selector="mon")
                return False
            return True

        self.until(begin, 30, "a replay can be started")
        self.until(lambda: call(self.bus, "Replay.Get", 3, selector="mon")["state"] == "finished", 40,
                   lambda: f"the replay is finished: {call(self.bus, 'Replay.Get', 3, selector='mon')}")
        self.until(lambda: self.progress("bt1").get("end"), 20, lambda: f"bt1's end is stored: {self.progress('bt1')}")
        return {"runid": begun["runid"], "last": last}

    # --- looking ---

    def ask(self, subject, body):
        """Straight from the broker; a broker that is away fails soon."""
        return self.bus.request(subject, json.dumps(body).encode(), timeout=1)

    def last_seq(self):
        return json.loads(self.ask("$JS.API.STREAM.INFO.ACT", {}).data)["state"]["last_seq"]

    def last_on(self, subject):
        """The sequence of the newest event of the venue's on it; 0: there is none."""
        answer = self.ask("$JS.API.DIRECT.GET.ACT", {"last_by_subj": f"act.exchange.binance.{subject}"})
        return int((answer.headers or {}).get("Nats-Sequence", 0))

    def last_trade(self):
        return self.last_on("trade.tape.*")

    def is_whole(self, symbol):
        """A snapshot of the book stands behind all that may have broken it, and its updates go on."""
        broken = max(map(self.last_on, ("feed.connected", "feed.gap", f"feed.resync.{symbol}")))
        return self.last_on(f"orderbook.snapshot.{symbol}") > broken

    def progress(self, scenario):
        answer = self.ask("$JS.API.DIRECT.GET.KV_workers", {"last_by_subj": f"$KV.workers.sc.{scenario}.sma"})
        return json.loads(answer.data) if answer.data else {}

    def live_done(self):
        return self.progress("LIVE").get("done_seq", 0)

    # --- the end ---

    def stop(self, name):
        code = self.daemons[name].stop()
        self.killed.add(name)
        if code:
            self.found.append(f"{name}: exit {code} after SIGTERM\n{self.daemons[name].output()[-1500:]}")

    def audit(self):
        (self.folder / "meta.json").write_text(json.dumps({
            "url": self.broker.url, "exchange_lives": self.lives, "virtual_clock": self.script.virtual_clock,
            "venue_url": f"ws://127.0.0.1:{self.relays['venue'].port}", "books": self.books, "last_run": self.last_run,
            "replays": self.replays, "went_back": self.went_back, "feeds": self.feeds}))
        auditor = subprocess.run([sys.executable, Path(__file__).parent / "auditor.py", self.folder],
                                 capture_output=True, text=True, timeout=120 * PATIENCE)
        if auditor.returncode:
            raise Failed(f"the auditor failed:\n{auditor.stderr[-3000:]}")
        return json.loads(auditor.stdout)

    def end(self):
        try:
            for name in reversed(list(self.daemons)):
                if self.daemons[name].running:
                    self.stop(name)
        finally:
            for daemon in self.daemons.values():
                daemon.kill()
            if self.bus:
                self.bus.close()
            self.broker.stop()
            self.proxy.stop()


async def nothing(_):
    """The broker is away: the session knows."""


def signal_if_there(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def run(seed, folder, long, plot):
    drawn, began = script(seed, long, plot), time.monotonic()
    print(f"seed {seed}", *drawn.lines, sep="\n  ", file=sys.stderr)
    session, result = Session(drawn, folder), {"seed": seed, "plot": drawn.plot, "order": drawn.order}
    audited = {"counts": {}, "found": {}}
    try:
        session.play()
        audited = session.audit()
    except (Failed, AssertionError) as error:
        session.found.append(str(error))
    finally:
        try:
            session.end()
        except (AssertionError, Exception) as error:  # noqa: BLE001: reported, whatever it is
            session.found.append(f"ending: {error}")
    found = audited["found"] | ({"stack": [len(session.found), *session.found]} if session.found else {})
    return result | {"ok": not found, "found": found, "faults": dict(session.counts), "counts": audited["counts"],
                     "seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--plot")
    given = parser.parse_args()
    print(json.dumps(run(given.seed, given.folder, given.long, given.plot)))
