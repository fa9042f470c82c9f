"""The verdict of `make endure`, on figures made up for it. Source: test/endurance/README.md."""

import subprocess
import sys

from support.places import TREE

sys.path.insert(0, str(TREE / "test" / "endurance"))
import endure  # noqa: E402

MIB = 1024 * 1024


def hour(key, *values, events=range(1000, 25000, 1000)) -> list:
    """A figure at equal distances; the last value stays."""
    return [(i * 150.0, {key: values[min(i, len(values) - 1)] * MIB, ("events", "ACT"): float(n)}) for i, n in enumerate(events)]


def test_what_grows_and_goes_on_growing_is_found():
    (said,) = endure.judge(hour(("pss", "stored"), *[2 + i for i in range(24)]))
    assert said.startswith("pss stored: ") and " grew to " in said
    assert endure.judge(hour(("file", "KV_workers"), *[2 * i for i in range(24)]))
    assert endure.judge(hour(("file", "ACT"), *[i * i for i in range(24)]))
    assert endure.judge(hour(("pss", "nats-server"), *[20 * i for i in range(24)]))


def test_what_grows_evenly_below_its_bound_is_found_and_what_comes_to_rest_there_is_not():
    (said,) = endure.judge(hour(("pss", "feedd"), *[6 + 1.2 * i for i in range(24)]))
    assert said.startswith("pss feedd: ") and said.endswith(": it goes on growing")
    assert endure.judge(hour(("pss", "feedd"), *[6 + 12 * (1 - 0.8 ** i) for i in range(24)])) == []
    assert endure.judge(hour(("pss", "nats-server"), *[100 + 30 * (i % 4) for i in range(24)])) == []


def test_what_ended_and_was_started_again_is_found():
    stack = object.__new__(endure.Stack)
    stack.first, stack.ended = {}, {}
    stack.mind({"feedd": {7}, "workhostd": {8, 9}})
    stack.mind({"feedd": {7}, "workhostd": {8}})
    assert not stack.ended
    stack.mind({"feedd": {17}, "workhostd": {8}})
    stack.mind({"feedd": {17}})
    assert list(stack.ended.values()) == ["feedd: process 7 ended", "workhostd: process 8 ended"]


def test_what_fills_up_to_a_bound_is_not():
    assert endure.judge(hour(("pss", "nats-server"), 11, 30, 45, 50, 60, 65, 65, 66, 67, 70, 72, 75, 78, 80, 80.6)) == []
    saw = [0.1 + 1.9 * (i % 3) for i in range(24)]
    assert endure.judge(hour(("file", "KV_workers"), *saw)) == []
    assert endure.judge(hour(("file", "KV_workers"), *[0.1] * 12, *[3.9] * 6, *[0.1] * 3, *[3.9] * 3))  # never so high before
    assert endure.judge(hour(("file", "KV_workers"), *[0.1] * 10, 3.9, *[0.1] * 7, *[3.9] * 6)) == []
    assert endure.judge(hour(("file", "KV_workers"), *saw[:11], *[v + 2.5 for v in saw[:13]]))
    assert endure.judge(hour(("pss", "stored"), 2)) == endure.judge(hour(("file", "ACT"), *range(1, 25))) == []


def test_a_run_of_a_minute_is_told_in_seconds_and_a_shorter_one_is_refused():
    short = [(at, {("pss", "stored"): 2.0 * MIB}) for at in (0.0, 30.2, 60.4)]
    assert endure.table(short).splitlines()[0] == "| | 0 s | 30 s | 60 s |"
    assert "| 58 min |" in endure.table(hour(("pss", "stored"), 2), rows=24).splitlines()[0]
    done = subprocess.run([sys.executable, endure.__file__, "--minutes", "0.5"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "at least 1" in done.stderr
