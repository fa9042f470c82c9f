"""What daemons measure: the exposition's form, the table of the specification, figures that are true.

Source: schemas/specs/daemons.md, "Metrics"; schemas/specs/services.md, "Health".
"""

import json
import re

import pytest

from support import spine
from support.places import PATIENCE, TREE

ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \| [^|]+ \| (?:`(\w+)`)? ?\| [^|]+ \|$", re.M)
SAMPLE = re.compile(r'^(\w+)(?:\{((?:\w+="(?:[^"\\]|\\[\\"n])*",?)*)\})? (\S+)$')
BUS_CLIENTS = ("stored", "feedd", "workhostd")
PUBLISHERS = ("feedd", "workhostd")


def table(daemon: str) -> set:
    """(name, type, label) of each row of the specification that this daemon has to print."""
    text = (TREE / "schemas/specs/daemons.md").read_text()
    section = text[text.index("## Metrics\n"):text.index("## Loop\n")]
    parts = dict(part.split("\n", 1) for part in section.split("### ")[1:])
    wanted = ["Every daemon", daemon] + (["Every client of the broker"] if daemon in BUS_CLIENTS else [])
    wanted += ["Every publisher"] if daemon in PUBLISHERS else []
    rows = set()
    for name in wanted:
        lines = [line for line in parts[name].splitlines() if line.startswith("| `")]
        found = ROW.findall(parts[name])
        assert len(found) == len(lines) > 0, f"a row of '{name}' is not of the form: {lines}"
        rows |= set(found)
    return rows


class Exposition:
    """Strict reading of text format 0.0.4; what is wrong with it is an assertion."""

    def __init__(self, text: str):
        assert text.endswith("\n")
        self.types, self.samples, self.labels = {}, {}, {}
        family, helped = None, None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                helped = line.split(" ", 3)[2]
                assert helped not in self.types and len(line.split(" ", 3)) == 4, line
            elif line.startswith("# TYPE "):
                _, _, family, kind = line.split(" ")
                assert family == helped and family not in self.types, line
                self.types[family] = kind
            else:
                self._sample(line, family)
        self._check_histograms()

    def _sample(self, line: str, family: str):
        name, labels, value = SAMPLE.match(line).groups()
        kind = self.types[family]
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        assert name in [family + s for s in suffixes], f"{line} stands in the family {family}"
        pairs = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
        key = (name, tuple(sorted(pairs.items())))
        assert key not in self.samples, f"twice: {line}"
        self.samples[key] = float(value)
        self.labels.setdefault(family, set()).update(k for k in pairs if k != "le")
        assert kind != "counter" or (float(value) >= 0 and name.endswith("_total")), line

    def _check_histograms(self):
        for family in (f for f, kind in self.types.items() if kind == "histogram"):
            sets = {}
            for (name, labels), value in self.samples.items():
                if name == family + "_bucket":
                    rest = tuple(p for p in labels if p[0] != "le")
                    sets.setdefault(rest, []).append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
            for rest, buckets in sets.items():
                assert [b for b, _ in buckets] == sorted(b for b, _ in buckets) and len(buckets) == 28
                counts = [c for _, c in buckets]
                assert counts == sorted(counts) and buckets[-1][0] == float("inf")
                assert counts[-1] == self.samples[(family + "_count", rest)]
                total = self.samples[(family + "_sum", rest)]
                assert total >= 0 and (counts[-1] or total == 0), (family, total, counts)

    def value(self, name: str, **labels) -> float:
        return self.samples[(name, tuple(sorted(labels.items())))]


def exposition(daemon) -> Exposition:
    status, text = daemon.get("/metrics")
    assert status == 200
    return Exposition(text)


@pytest.fixture
def running(stack):
    """Every daemon on a small seeded market; returns the stack when something has passed through all of it."""
    stack.start("stored")
    spine.start_workers(stack)
    venue = spine.start_venue(stack, "--seed", 5, "--rate", 200)
    spine.start_feed(stack, venue, ["BTCUSDT", "ETHUSDT"])
    waits = stack["workhostd"].metric
    spine.wait_for(lambda: waits("tradelane_workhostd_runtime_publish_to_ack_seconds_count") > 3, 60, "no outputs")
    return stack


def test_what_daemons_print_is_what_the_table_says(running):
    for daemon in ("stored", "feedd", "workhostd", "simexd"):
        page = exposition(running[daemon])
        prefix = f"tradelane_{daemon}_"
        assert all(family.startswith(prefix) for family in page.types)
        printed = {(f.removeprefix(prefix), kind, next(iter(page.labels.get(f) or {""}))) for f, kind in page.types.items()}
        assert printed == table(daemon), f"{daemon}: {sorted(printed ^ table(daemon))} are in one of the two only"


def test_latencies_are_counted_where_events_pass(running):
    feedd, work = running["feedd"], running["workhostd"]
    page, acknowledged = exposition(feedd), feedd.metric("tradelane_feedd_acknowledged_total")
    lane = "tradelane_feedd_frame_to_lane_seconds"
    frames, waits = page.value(lane + "_count"), page.value("tradelane_feedd_publish_to_ack_seconds_count")
    assert 0 < frames <= waits and frames > 0.8 * acknowledged  # all but events of feedd's own making
    mean = page.value(lane + "_sum") / frames
    assert page.value("tradelane_feedd_publish_to_ack_seconds_sum") / waits <= mean * 1.5 and 1e-6 < mean < 5 * PATIENCE
    page = exposition(work)
    assert 0 < page.value("tradelane_workhostd_frame_to_worker_seconds_sum", scenario="LIVE")
    inputs = page.value("tradelane_workhostd_runtime_inputs_total", scenario="LIVE")
    assert 0 < page.value("tradelane_workhostd_frame_to_worker_seconds_count", scenario="LIVE") <= inputs + 5000
    assert page.value("tradelane_workhostd_runtime_position_sequence", scenario="LIVE") > 0


def median_s(page: Exposition, family: str, **labels) -> float:
    """The upper end of the bucket that the median falls into."""
    half = page.value(family + "_count", **labels) / 2
    return min(float(dict(rest)["le"]) for (name, rest), count in page.samples.items()
               if name == family + "_bucket" and count >= half and set(labels.items()) <= set(rest))


def test_an_acknowledgement_is_seen_when_it_comes_and_not_when_somebody_looks(running):
    """The broker answers both alike; a runtime that looks every 2 ms sees most of its answers after more than that."""
    outputs = "tradelane_workhostd_runtime_publish_to_ack_seconds"
    spine.wait_for(lambda: running["workhostd"].metric(outputs + "_count") >= 12, 60, "no outputs")
    feedd = median_s(exposition(running["feedd"]), "tradelane_feedd_publish_to_ack_seconds")
    runtime = median_s(exposition(running["workhostd"]), outputs, scenario="LIVE")
    assert runtime < 0.002 or runtime <= 2 * feedd, (runtime, feedd)


def test_a_paced_replay_counts_how_late_it_is_and_one_at_full_speed_does_not(running):
    stored = running["stored"]
    lag = "tradelane_stored_replay_lag_seconds_count"
    running.lane("replay", "start", "ACT", "--selector", "fast", "--speed", "max", "--wait")
    sent = stored.metric("tradelane_stored_replayed_events_total")
    assert sent > 100 and stored.metric(lag) == 0
    running.lane("replay", "start", "ACT", "--selector", "slow", "--speed", "10000x", "--wait")
    spine.wait_for(lambda: stored.metric("tradelane_stored_replayed_events_total") > 1.9 * sent, 10, "not counted")
    assert stored.metric(lag) == stored.metric("tradelane_stored_replayed_events_total") - sent


def test_a_deleted_scenario_leaves_no_metrics(running):
    work = running["workhostd"]
    running.lane("scenario", "create", "bt1", "--market", "hyp.mon", "--strategy", "sma")
    spine.wait_for(lambda: 'scenario="bt1"' in work.get("/metrics")[1], 20, "no metrics of bt1")
    running.lane("scenario", "delete", "bt1", "--yes", "bt1")
    spine.wait_for(lambda: 'scenario="bt1"' not in work.get("/metrics")[1], 20, "metrics of bt1 stay")
    assert 'scenario="LIVE"' in work.get("/metrics")[1]


def test_a_broker_that_dies_shows_as_losses_and_messages_sent_again(running):
    feedd = running["feedd"]
    assert feedd.metric("tradelane_feedd_broker_losses_total") == 0
    running.broker.restart()
    feedd.wait_ready(30)
    spine.wait_for(lambda: feedd.metric("tradelane_feedd_broker_connections") >= 3, 20, "not all connections are back")
    page = exposition(feedd)
    assert page.value("tradelane_feedd_broker_losses_total") >= 3 and page.value("tradelane_feedd_broker_connects_total") >= 6
    assert page.value("tradelane_feedd_probe_ready", probe="broker") == 1


def test_health_is_told_over_the_bus(running, bus):
    watch = bus.subscribe("answers")
    bus.call(bus.nc.publish("$SRV.STATS", b"", reply="answers"))
    answers = {a["name"]: a for a in (json.loads(m.data) for m in watch.wait(3))}
    assert set(answers) == set(BUS_CLIENTS)
    for name, answer in answers.items():
        (data,) = [e["data"] for e in answer["endpoints"] if "data" in e]
        assert data["ready"] is True and data["age_ms"] < 3000 * PATIENCE and all(p["ready"] for p in data["probes"])
        assert data["process"]["resident_bytes"] > 1 << 20 and data["process"]["fds"] > 5
        assert "broker_losses_total" in data["metrics"]
        assert len(data["histograms"].get("publish_to_ack_seconds", [])) == (28 if name in PUBLISHERS else 0)
    feedd = next(e["data"] for e in answers["feedd"]["endpoints"] if "data" in e)
    assert sum(feedd["histograms"]["frame_to_lane_seconds"]) > 0
