"""The units under scripts/systemd: systemd accepts them, and the daemons live within what is left to them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import spine
from support.places import BUILD, TREE, nats_server, program
from support.process import Process

UNITS = sorted((TREE / "scripts" / "systemd").glob("*.service"))
# A sanitizer cannot search a process for leaks that somebody else traces.
UNSEARCHED = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")


@pytest.fixture
def units(tmp_path):
    """The units with our programs where they will have theirs: systemd looks whether they are there."""
    broker = shutil.which(nats_server()) or nats_server()
    for unit in UNITS:
        text = unit.read_text().replace("/opt/tradelane/bin/nats-server", broker)
        (tmp_path / unit.name).write_text(text.replace("/opt/tradelane/bin", str(BUILD / "bin")))
    return sorted(tmp_path.glob("*.service"))


def test_there_is_a_unit_for_each_process():
    names = {re.search(r"^ExecStart=\S*/(\S+)", unit.read_text(), re.MULTILINE)[1] for unit in UNITS}
    assert names == {"nats-server", "stored", "feedd", "workhostd"}


def section(unit, name: str) -> list[str]:
    """The lines of one section."""
    return re.search(rf"^\[{name}\]\n(.*?)(?=^\[|\Z)", unit.read_text(), re.MULTILINE | re.DOTALL)[1].splitlines()


def test_whatever_dies_is_started_again_however_often():
    for unit in UNITS:
        start = [line for line in section(unit, "Service") if line.startswith("Restart")]
        assert start == ["Restart=always", "RestartSec=1"], unit.name
        assert "StartLimitIntervalSec=0" in section(unit, "Unit"), unit.name  # systemd's own is 5 starts within 10 s


@needs_systemd
def test_systemd_finds_nothing_wrong(units):
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


@needs_systemd
def test_little_is_left_to_attack(units):
    """systemd's own measure, 0 (best) to 10: no unit is above 1.5."""
    for unit in units:
        done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=15", unit],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]


def calls_of(group: str) -> set[str]:
    text = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    names = [line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(calls_of(n) if n.startswith("@") else {n} for n in names))


def allowed() -> set[str]:
    """What SystemCallFilter= of the units lets through; they all say the same."""
    lines = {tuple(re.findall(r"^SystemCallFilter=(.*)", unit.read_text(), re.MULTILINE)) for unit in UNITS}
    assert len(lines) == 1
    calls = set()
    for line in lines.pop():
        groups = set().union(*(calls_of(g) for g in line.removeprefix("~").split()))
        calls = calls - groups if line.startswith("~") else calls | groups
    return calls | calls_of("@default")


@needs_systemd
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_the_daemons_make_no_call_that_the_filter_forbids(stack, bus, tmp_path):
    """A run of the whole path under strace: start, a feed, workers, a backtest, stop."""
    traced = []

    def start(name: str, *args):
        counts = tmp_path / f"{name}.calls"
        argv = ["strace", "-f", "-c", "-U", "name,calls", "-o", counts, program(name), "--http", "127.0.0.1:0",
                "--nats-url", stack.broker.url, *args]
        traced.append((Process(argv, tmp_path / f"{name}.log", env=UNSEARCHED, cwd=tmp_path), counts))
        return traced[-1][0]

    venue = spine.Venue(stack.start("simexd", "--listen", "127.0.0.1:0"))
    start("stored").wait_line("ready in", 30)
    start("feedd", "--ws-url", f"ws://{venue.address}", "--rest-url", f"http://{venue.address}").wait_line("ready in", 30)
    folder = tmp_path / "workers"
    folder.mkdir()
    (folder / "sma.yaml").write_text(spine.DECLARATION.format(workers=BUILD / "workers", fast=2, slow=3))
    start("workhostd", "--workers-dir", folder, "--code-dir", tmp_path / "code").wait_line("ready in", 30)
    bus.wait_stream("SC_LIVE", 3, timeout=60)
    spine.backtest(stack, "bt1", "mon")
    allow = allowed()
    for process, counts in reversed(traced):
        stop(process)
        made = set(re.findall(r"^(\w+)\s+\d+$", counts.read_text(), re.MULTILINE)) - {"total"}
        assert len(made) > 20, counts.read_text()
        assert made - allow == set(), process.name


def stop(strace: Process):
    """SIGTERM to the daemon, not to the tracer, which then writes its counts."""
    child = int(Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()[0])
    subprocess.run(["kill", "-TERM", str(child)], check=True)
    assert strace.wait(30) == 0
