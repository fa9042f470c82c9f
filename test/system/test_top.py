"""`lane top` on a real pseudo-terminal, and without one.

Source: schemas/specs/cli.md, "lane top".
"""

import json
import re
import signal
import subprocess
import time

import pytest

from support import spine
from support.places import PATIENCE, program
from support.screen import Screen


@pytest.fixture
def top(stack):
    """top(args…, width=, height=) runs it on a terminal."""
    made = []

    def run(*args, width: int = 110, height: int = 45, **env) -> Screen:
        made.append(Screen([program("lane"), "top", *map(str, args)], width, height, {**stack.environment(), **env}))
        return made[-1]

    yield run
    for screen in made:
        screen.close()


@pytest.fixture
def market(stack):
    stack.start("stored")
    spine.start_workers(stack)
    venue = spine.start_venue(stack, "--seed", 7, "--rate", 300)
    spine.start_feed(stack, venue, ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
    return stack


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def rate_of(line: str) -> float:
    return number(re.search(r"\s([\d,.]+)", line)[1])


def lanes(screen) -> list[str]:
    return [r.split()[0] for r in screen.rows if r.startswith(("act.", "sc."))]


def test_it_shows_what_is_going_on_and_gives_the_terminal_back(market, top):
    screen = top("--every", "500ms").wait("STREAM ")
    trades = "act.exchange.binance.trade.tape"
    screen.wait(lambda s: s.line(trades) and rate_of(s.line(trades)) > 5 and "sc.LIVE" in s.text, 30)
    assert screen.second_screen and not screen.cursor and screen.is_raw()
    for begin in ("feedd ", "stored ", "workhostd "):
        assert " ready " in screen.line(begin), screen.text
    assert " connected " in screen.line("feed-binance") and " running " in screen.line("LIVE ")
    assert re.search(r" (us|ms|s) ", screen.line("frame to lane")) and "4.0 GiB" in screen.line("ACT ")
    assert screen.rows[-1].startswith("q end") and screen.line("broker 2.")
    screen.type("q")
    assert screen.wait_end() == 0
    assert not screen.second_screen and screen.cursor and screen.text.strip() == ""


def test_keys_sort_hold_and_choose(market, top):
    screen = top("--every", "300ms").wait("act.exchange.binance.trade.tape").wait("by rate").wait("sc.LIVE")
    for shown in ("by lag", "by bytes", "by name"):
        screen.type("s")
        screen.wait(shown)
    screen.wait_frames(1)
    names = lanes(screen)
    assert names == sorted(names) and len(names) >= 4
    screen.type("r")
    screen.wait(lambda s: lanes(s) == sorted(lanes(s), reverse=True) and set(lanes(s)) >= set(names))
    screen.type("p")
    held = screen.wait("(paused)").text
    time.sleep(1)
    screen.type("x")  # no key of ours: drawn again, the same picture
    assert screen.wait_frames(1).text == held
    screen.type(" ")
    screen.wait(lambda s: "(paused)" not in s.text)
    screen.type("-")
    screen.wait("every 0.6 s")
    screen.type("?")
    screen.wait("the other way round")
    screen.type("h")
    screen.wait("DAEMON ")
    screen.type("\t\t\t")  # daemons, connections, lanes alone
    screen.wait(lambda s: s.line("LANE") and not s.line("DAEMON") and not s.line("STREAM"))
    screen.type("q")
    assert screen.wait_end() == 0


def test_narrow_and_low_windows_keep_what_matters(market, top):
    screen = top("--every", "300ms", width=44, height=16).wait("EVENTS/S")
    screen.wait(lambda s: s.line("..") and "DAEMON" in s.text, 20)
    assert max(map(len, screen.rows)) <= 44 and screen.rows[-1].startswith("q end")
    assert " ready" in screen.line("feedd") and "STREAM" not in screen.text
    screen.resize(130, 50)
    screen.wait(lambda s: s.line("STREAM ") and "act.exchange.binance.quote.update" in s.text)
    screen.resize(20, 4)
    screen.wait(lambda s: len(s.text) <= 20 * 4 + 4)
    screen.wait_frames(2)
    screen.signal(signal.SIGINT)
    assert screen.wait_end() == 0 and not screen.second_screen


def test_rows_that_do_not_fit_are_counted_and_scrolled_to(market, top):
    screen = top("--every", "300ms", "--sort", "name", height=8).wait(lambda s: re.search(r"LANE 1-\d/[4-9]", s.text))
    first = next(r for r in screen.rows if r.startswith("act.")).split()[0]
    screen.type("\x1b[B")
    screen.wait("LANE 2-")
    assert first not in screen.text
    screen.type("k")
    screen.wait("LANE 1-")


def test_a_stop_by_the_shell_gives_the_screen_back_and_takes_it_again(market, top):
    screen = top("--every", "300ms").wait("LANE ")
    screen.signal(signal.SIGTSTP)
    screen.wait(lambda s: not s.second_screen and s.cursor and not s.is_raw())
    screen.signal(signal.SIGCONT)
    screen.wait(lambda s: s.second_screen and s.line("LANE "))
    screen.type("q")
    assert screen.wait_end() == 0


def test_trouble_stands_in_front_with_its_reason(market, top):
    screen = top("--every", "300ms").wait("feed-binance")
    market["simexd"].kill()
    screen.wait(lambda s: "not ready" in s.line("feedd"), 30)
    assert "venue: " in screen.line("feedd") and " connected " not in screen.line("feed-binance")
    market["workhostd"].freeze()
    screen.wait(lambda s: "no answer for" in s.line("workhostd"), 30)
    market["workhostd"].thaw()
    screen.wait(lambda s: " ready " in s.line("workhostd"), 30)


def test_a_broker_that_goes_away_is_said_and_keys_still_answer(market, top):
    screen = top("--every", "300ms").wait("LANE ")
    market.broker.freeze()
    screen.wait(lambda s: "broker away" in s.text or "does not answer" in s.text, 30)
    screen.type("s")
    screen.wait("by lag", 5)
    market.broker.thaw()
    screen.wait(lambda s: s.line("broker 2.") and s.line("STREAM "), 30)
    market.broker.kill()
    screen.wait("broker away", 20)
    begin = time.monotonic()
    screen.type("q")
    assert screen.wait_end() == 0 and time.monotonic() - begin < 3 * PATIENCE
    market.broker.start()


def test_replays_show_how_far_they_are(market, top):
    market.lane("scenario", "create", "bt1", "--market", "hyp.mon", "--strategy", "sma")
    market.lane("replay", "start", "ACT", "--selector", "mon", "--scenario", "bt1", "--speed", "0.01x", "--from", 1)
    screen = top("--every", "300ms", height=60).wait(lambda s: " running " in s.line("mon "), 20)
    screen.wait(lambda s: "hyp.mon.exchange.binance" in s.text and re.search(r"\d%", s.line("mon ")), 30)
    assert "bt1" in screen.text
    market.lane("replay", "stop", "mon")
    screen.wait(lambda s: " stopped " in s.line("mon "))


def test_without_a_terminal_it_prints_one_picture(market):
    picture = market.lane("top", "--once", "--width", 100).stdout
    assert "\x1b" not in picture and max(map(len, picture.splitlines())) <= 100
    for begin in ("broker 2.", "DAEMON ", "feedd ", "LANE ", "act.exchange.binance.trade.tape", "STREAM ", "ACT "):
        assert any(line.startswith(begin) for line in picture.splitlines()), f"no line '{begin}':\n{picture}"
    assert market.lane("top").stdout.count("broker 2.") == 1  # a pipe is no terminal
    dumb = market.lane("top", "act.exchange.*.trade.>", "--once").stdout
    assert "trade.tape" in dumb and "quote.update" not in dumb


def test_json_is_a_picture_a_line(market):
    one = json.loads(market.lane("top", "--once", "--json").stdout)
    assert one["broker"]["connected"] and one["errors"] == {} and not one["sampled"]
    assert {d["daemon"] for d in one["daemons"]} == {"stored", "feedd", "workhostd"} and all(d["ready"] for d in one["daemons"])
    trades = next(x for x in one["lanes"] if x["lane"] == "act.exchange.binance.trade.tape")
    assert trades["events_per_s"] > 1 and trades["subjects"] == 3 and 0 <= trades["lag_ms"] < 10000 * PATIENCE
    assert next(s for s in one["streams"] if s["stream"] == "ACT")["events_per_s"] > 1
    running = subprocess.Popen([str(program("lane")), "top", "--json", "--every", "300ms"], stdout=subprocess.PIPE, text=True,
                               env=market.environment())
    times = [json.loads(running.stdout.readline())["time"] for _ in range(3)]
    running.send_signal(signal.SIGINT)
    assert running.wait(10 * PATIENCE) == 0 and times == sorted(set(times))


def test_warnings_are_counted_though_nobody_asks_for_the_page_of_metrics(market):
    def feedd() -> dict:
        return next(d for d in json.loads(market.lane("top", "--once", "--json").stdout)["daemons"] if d["daemon"] == "feedd")
    assert feedd()["warnings"] == 0
    market["simexd"].kill()
    spine.wait_for(lambda: not feedd()["ready"], 30, market["feedd"].output)
    spine.wait_for(lambda: feedd()["warnings"] > 0, 5, market["feedd"].output)


def test_rates_are_those_of_the_stream(stack, bus):
    """A known rate: what it says for the lane is what was stored meanwhile."""
    stack.start("stored")
    running = subprocess.Popen([str(program("lane")), "top", "act.>", "--json", "--every", "1s"], stdout=subprocess.PIPE, text=True,
                               env=stack.environment())
    running.stdout.readline()
    end, sent, pictures = time.monotonic() + 6, 0, []
    while time.monotonic() < end:
        bus.publish(f"act.exchange.test.trade.tape.S{sent % 40}", b"\x80")
        sent += 1
        time.sleep(0.002)
    while not (pictures and pictures[-1]["lanes"] and pictures[-1]["lanes"][0]["events_per_s"] == 0):
        pictures.append(json.loads(running.stdout.readline()))
    running.send_signal(signal.SIGINT)
    running.wait(10 * PATIENCE)
    counted = sum(p["lanes"][0]["events_per_s"] * p["interval_s"] for p in pictures if p["lanes"])
    assert abs(counted - sent) < 0.15 * sent + 20, (counted, sent)
    assert pictures[-1]["lanes"][0]["subjects"] == 40



def test_more_than_it_listens_to_is_sampled_and_said(stack, bus):
    """At a flood it listens to a part of each second, and the rate is still that of the flood."""
    stack.start("stored")
    running = subprocess.Popen([str(program("lane")), "top", "hyp.>", "--json", "--every", "1s"], stdout=subprocess.PIPE, text=True,
                               env=stack.environment())
    running.stdout.readline()

    async def flood(seconds: float) -> float:
        begin, sent = time.monotonic(), 0
        while time.monotonic() < begin + seconds:
            for _ in range(500):
                await bus.nc.publish("hyp.mon.exchange.test.trade.tape.S", b"\x80")
            sent += 500
            await bus.nc.flush()
        return sent / (time.monotonic() - begin)

    rate = bus.call(flood(6), 60)
    pictures = [json.loads(running.stdout.readline()) for _ in range(6)]
    running.send_signal(signal.SIGINT)
    running.wait(10 * PATIENCE)
    seen = max(p["lanes"][0]["events_per_s"] for p in pictures if p["lanes"])
    assert seen > rate / 3, (seen, rate)
    if rate > 40000:  # a machine that is fast enough to be sampled
        assert any(p["sampled"] for p in pictures)
