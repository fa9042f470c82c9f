"""Fixtures of the system tests. Each test has its own broker, ports and folder; nothing is shared or mocked."""

import os
import shutil
import subprocess

import pytest

from support import places
from support.broker import Broker
from support.bus import Bus
from support.stack import Stack


def pytest_collection_modifyitems(config, items):
    """The slowest first, so that no worker is left alone with one at the end. A worker is handed two at once: a quick
    one goes with each of the first slow ones."""
    def seconds(item):
        marker = item.get_closest_marker("slow")
        return marker.args[0] if marker else 0

    slow = sorted((item for item in items if seconds(item)), key=seconds, reverse=True)
    quick = [item for item in items if not seconds(item)]
    workers = config.getoption("numprocesses", None) or int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    first = [item for pair in zip(slow[:workers], quick) for item in pair]
    items[:] = first + [item for item in slow + quick if item not in first]


def pytest_terminal_summary(terminalreporter):
    """Tables that tests are to show, from whichever process they ran in."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "table":
                terminalreporter.write_line(f"\n{text}\n")


@pytest.fixture(autouse=True)
def sanitizers(tmp_path, monkeypatch):
    """What a sanitizer says of any process of a test goes to a file of its own, so that it fails the test also when
    nobody looks at that process's exit code or output: because the test kills it, or some daemon started it."""
    for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
        monkeypatch.setenv(name, ":".join(filter(None, [os.environ.get(name), f"log_path={tmp_path}/sanitizer"])))
    monkeypatch.setenv("VALGRIND_OPTS", f"{os.environ.get('VALGRIND_OPTS', '')} --log-file={tmp_path}/sanitizer.%p")
    yield
    reports = sorted(r for r in tmp_path.glob("sanitizer.*") if r.stat().st_size)
    assert not reports, "\n".join(f"{len(reports)} reports; {r.name}:\n{r.read_text(errors='replace')[:6000]}" for r in reports[:2])


@pytest.fixture
def broker(tmp_path):
    """A fresh nats-server with JetStream."""
    broker = Broker(tmp_path / "broker").start()
    yield broker
    broker.stop()


@pytest.fixture
def make_broker(tmp_path):
    """make_broker(config="…", port=…) starts further ones."""
    made = []

    def make(config: str = "", port: int = -1) -> Broker:
        made.append(Broker(tmp_path / f"broker{len(made) + 1}", config, port).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def stack(tmp_path, broker):
    """A broker and no daemon yet: stack.start("stored"), stack.start("simexd", "--seed", 1), …"""
    stack = Stack(tmp_path, broker)
    yield stack
    stack.stop()


@pytest.fixture
def bus(broker):
    """A connection to the test's broker."""
    bus = Bus(broker.url)
    yield bus
    bus.close()


@pytest.fixture(scope="session")
def captures():
    """The folder of venue captures."""
    if not (places.CAPTURES / "golden.json").exists():
        pytest.skip("no captures")
    return places.CAPTURES


@pytest.fixture(scope="session")
def nats_cli():
    """The stock nats CLI."""
    path = places.nats_cli()
    if not path:
        pytest.skip(places.skip_reason("nats-cli", "no nats CLI on PATH"))
    return path


@pytest.fixture(scope="session")
def node():
    """node("file.mjs", args…) runs a script of test/interop with the stock JavaScript packages."""
    modules = places.TREE / "build" / "node" / "node_modules"
    if not modules.exists() or not shutil.which("node"):
        pytest.skip(places.skip_reason("node", "no JavaScript packages: scripts/deps test"))

    def run(script: str, *args, input: bytes | None = None) -> subprocess.CompletedProcess:
        # Modules are found from the script's own folder, so it is run from a copy beside them.
        copy = shutil.copy(places.TREE / "test" / "interop" / script, modules.parent / script)
        return subprocess.run(["node", copy, *map(str, args)], input=input, capture_output=True,
                              timeout=120 * places.PATIENCE, check=True)

    return run
