"""scripts/monitoring with the real promtool and a real Prometheus, as Debian has them.

Source: schemas/specs/daemons.md, "Metrics".
"""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from support import places, spine
from support.places import PATIENCE, TREE
from support.process import Process
from test_metrics import running, table  # noqa: F401 (a fixture)

MONITORING = TREE / "scripts" / "monitoring"
DAEMONS = ("stored", "feedd", "workhostd")


@pytest.fixture(scope="session")
def tool():
    """tool("promtool") is where it lies."""

    def find(name: str) -> str:
        unpacked = TREE / "build" / "deps" / "bin" / name
        path = str(unpacked) if unpacked.exists() else shutil.which(name)
        if not path:
            pytest.skip(places.skip_reason("prometheus", "no prometheus: scripts/deps test"))
        return path

    return find


def promtool(tool, *args, **options):
    done = subprocess.run([tool("promtool"), *map(str, args)], capture_output=True, text=True, cwd=MONITORING,
                          timeout=60 * PATIENCE, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_are_valid_and_each_alert_is_quiet_and_fires(tool):
    assert "SUCCESS" in promtool(tool, "check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool(tool, "check", "rules", "tradelane.rules.yml")
    assert "SUCCESS" in promtool(tool, "test", "rules", "tradelane.test.yml")


def alerts() -> list[str]:
    return re.findall(r"^ +- alert: (\w+)$", (MONITORING / "tradelane.rules.yml").read_text(), re.M)


def test_no_alert_is_without_its_two_tests():
    tests = (MONITORING / "tradelane.test.yml").read_text()
    quiet = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", tests))
    fires = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- exp_labels: \{severity: (?:page|look)", tests))
    assert len(alerts()) == len(set(alerts())) > 20 and quiet == fires == set(alerts())


def test_alerts_name_metrics_that_there_are():
    rules = re.sub(r"annotations:.*", "", (MONITORING / "tradelane.rules.yml").read_text())
    known = {d: {name for name, _, _ in table(d)} for d in DAEMONS}
    named = re.findall(r"tradelane_(\w+?|\[a-z\]\+)_(\w+)", rules)
    assert len(named) > 25
    for daemon, metric in named:
        metric = metric.removesuffix("_bucket")
        where = [known[daemon]] if daemon in known else known.values()
        assert any(metric in names for names in where), f"no daemon has tradelane_{daemon}_{metric}"


def test_the_exposition_is_to_promtools_taste(tool, running):  # noqa: F811
    for daemon in (*DAEMONS, "simexd"):
        done = subprocess.run([tool("promtool"), "check", "metrics"], input=running[daemon].get("/metrics")[1], text=True,
                              capture_output=True, timeout=60 * PATIENCE)
        assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr


class Prometheus:
    def __init__(self, program: str, folder, ports: dict):
        config = (MONITORING / "prometheus.yml").read_text().replace("5s", "500ms")
        for daemon, preset in (("stored", 7411), ("feedd", 7412), ("workhostd", 7413), ("research-workhostd", 7415)):
            assert f'"127.0.0.1:{preset}"' in config
            config = config.replace(f'"127.0.0.1:{preset}"', f'"127.0.0.1:{ports[daemon]}"')
        folder.mkdir()
        (folder / "prometheus.yml").write_text(config)
        shutil.copy(MONITORING / "tradelane.rules.yml", folder)
        self.process = Process([program, "--config.file", folder / "prometheus.yml", "--web.listen-address=127.0.0.1:0",
                                f"--storage.tsdb.path={folder / 'data'}"], folder / "prometheus.log", cwd=folder)
        self.port = int(self.process.wait_line(r'"Listening on" address=127\.0\.0\.1:(\d+)', 30)[1])
        self.process.wait_line("ready to receive web requests", 30)

    def get(self, path: str, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10 * PATIENCE) as answer:
            return json.load(answer)["data"]

    def query(self, text: str) -> dict:
        """{daemon: value}"""
        return {r["metric"].get("daemon", ""): float(r["value"][1]) for r in self.get("query", query=text)["result"]}


def test_a_real_prometheus_scrapes_the_daemons_and_raises_an_alert(tool, running, tmp_path):  # noqa: F811
    ports = {daemon: running[daemon].http_port for daemon in DAEMONS} | {"research-workhostd": 1}  # nobody is there
    prometheus = Prometheus(tool("prometheus"), tmp_path / "prometheus", ports)
    try:
        up = {daemon: 1 for daemon in DAEMONS} | {"research-workhostd": 0}
        spine.wait_for(lambda: prometheus.query('up{job="tradelane"}') == up, 30, lambda: prometheus.get("targets"))
        for target in prometheus.get("targets")["activeTargets"]:
            there = target["labels"]["daemon"] in DAEMONS
            assert target["health"] == ("up" if there else "down") and (there or "refused" in target["lastError"])
        # what is stored there is what the daemons print, names and types
        told = prometheus.get("metadata", limit=1000)
        for daemon in DAEMONS:
            kinds = {(n.removeprefix(f"tradelane_{daemon}_"), told[n][0]["type"]) for n in told if n.startswith(f"tradelane_{daemon}_")}
            assert kinds == {(name, kind) for name, kind, _ in table(daemon)}
        rate = 'sum by (daemon) (rate({__name__=~"tradelane_[a-z]+_publish_to_ack_seconds_count"}[10s]))'
        spine.wait_for(lambda: prometheus.query(rate).get("feedd", 0) > 5, 30, "no rate of publish to ack")
        p99 = prometheus.query("histogram_quantile(0.99, sum by (daemon, le) (rate(tradelane_feedd_frame_to_lane_seconds_bucket[10s])))")
        assert 0 < p99["feedd"] < 70
        groups = prometheus.get("rules")["groups"]
        assert sorted(r["name"] for g in groups for r in g["rules"]) == sorted(alerts())
        assert all(r["health"] in ("ok", "unknown") for g in groups for r in g["rules"])
        running["feedd"].kill()
        raised = lambda: {a["labels"].get("daemon") for a in prometheus.get("alerts")["alerts"]  # noqa: E731
                          if a["labels"]["alertname"] == "DaemonDown"}
        spine.wait_for(lambda: raised() == {"feedd"}, 30, lambda: prometheus.get("alerts"))
    finally:
        prometheus.process.stop(20)
