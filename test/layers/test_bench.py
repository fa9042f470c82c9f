"""The benches' targets, and what is said of a run: no target without a figure, none of the page's own, none met unseen."""

import json
import re
import sys
from collections import Counter

from tree import TREE, sources, text

sys.path.insert(0, str(TREE / "test" / "bench"))
import figures  # noqa: E402
from figures import Target  # noqa: E402


def run(reps=3, **values) -> dict:
    """Figures a_b as a.b: (value, what its reference had)."""
    lines = [json.dumps({"bench": name.replace("_", ".", 1), "value": value, "unit": "us", "spread": 0.05, "reps": reps,
                         "reference": theirs and "nats.c, one hop: send asap", "reference_value": theirs,
                         "ratio": value / theirs if theirs else None, "workload": "made up", "events": 1})
             for name, (value, theirs) in values.items()]
    return figures.read([*lines, "no figure"])


def test_each_target_is_met_or_short_and_what_was_not_measured_is_never_met():
    held = [Target("a.b", "value", "<", 100), Target("a.b", "ratio", "<=", 1.3), Target("a.b", "spread", "<=", 0.01),
            Target("a.c", "ratio", ">=", 0.9), Target("a.d", "value", "<=", 1)]
    said = figures.verdict(run(a_b=(99.9, 80), a_c=(5, None)), held)
    assert [line.split()[0] for line in said] == ["met", "met", "short", "not", "not", "2"]
    assert said[2].split() == ["short", "a.b", "spread", "0.050", "<=", "0.01", "(made", "up)"]
    assert said[-1] == "2 of 5 targets met, 2 not measured"
    assert figures.verdict(run(a_b=(100, 80)), held[:1])[-1] == "0 of 1 targets met"
    assert figures.verdict(run(reps=2, a_b=(99, 80)), held[:1])[1:] == [f"{'unsure':<13} {'a.b':<36} measured 2 times", "1 of 1 targets met"]


def test_a_row_of_the_table_has_value_spread_reference_and_what_is_short():
    held = [Target("a.b", "value", "<", 100), Target("a.b", "ratio", "<=", 1.3)]
    assert figures.table(run(a_b=(117.49, 80)), held)[2:] == [
        "| `a.b` | 117.5 µs | 0.05 | 1.47 of 80.00 (nats.c, one hop) | < 100: **short**, ≤ 1.3 of it: **short** |"]
    assert figures.table(run(a_c=(123456, None)), held)[2:] == ["| `a.c` | 123,500 µs | 0.05 |  |  |"]
    assert figures.number(0.0466) == "0.047" and figures.number(1234567) == "1,235,000"


def test_each_target_is_one_of_a_figure_that_a_bench_prints():
    literals = {s for f in sources("test/bench/") for s in re.findall(r'"([a-z]+\.[a-z0-9_.%]+)"', text(f))}
    # Parts of a name that a bench puts together: "%s.p50" of a figure with that name, "daemon.pss_kib.%s" of each.
    patterns = [re.compile(re.escape(s).replace("%s", r"\w+") + r"(\.p50|\.p99)?") for s in literals]
    lost = [t.figure for t in figures.targets() if not any(p.fullmatch(t.figure) for p in patterns)]
    assert len(literals) >= 20 and not lost, lost
    assert not [t for t in figures.targets() if t.of not in ("value", "ratio", "spread") or t.sign not in figures.SIGNS]


def test_no_contestant_of_a_bench_has_a_better_place_than_another():
    """Each has each place equally often, and stands equally often behind each other."""
    tables = re.findall(r"_turns\[\w+\]\[\w+\] = \{(.*?)\};", text("test/bench/bench_bus.c"), re.DOTALL)
    for table in tables:
        rows = [[int(n) for n in row.split(",")] for row in re.findall(r"\{([\d, ]+)\}", table)]
        places = Counter((place, who) for row in rows for place, who in enumerate(row))
        pairs = Counter(pair for row in rows for pair in zip(row, row[1:]))
        n = len(rows[0])
        assert len(places) == n * n and len(set(places.values())) == 1, rows
        assert len(pairs) == n * (n - 1) and len(set(pairs.values())) == 1, rows
    assert len(tables) == 2


def test_the_page_holds_each_figure_against_its_targets():
    """The last of five cells is that of figures.py, with or without the word short."""
    rows = re.findall(r"^\| `([a-z]+\.[\w.]+)` \|(?:[^|]*\|){3} ([^|]*) \|$", text("docs/performance.md"), re.MULTILINE)
    told = {name: cell.replace(": **short**", "").strip() for name, cell in rows}
    held = figures.targets()
    bare = {"value": None, "ratio": None, "spread": None}
    wrong = []
    for name in sorted({t.figure for t in held} | set(told)):
        want = figures.against({"bench": name, **bare}, held).replace(": **short**", "")
        if told.get(name) != want:
            wrong.append(f"{name}: the page says {told.get(name)!r}, targets.txt {want!r}")
    assert not wrong, "\n".join(wrong)
