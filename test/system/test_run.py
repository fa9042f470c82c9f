"""`make run`: from nothing to events on a lane, and nothing left of it afterwards, however it ends."""

import contextlib
import os
import pty
import random
import select
import signal
import socket
import subprocess
import time
import uuid

import pytest
from support import places
from support.bus import Bus
from support.process import Process

PORTS = (4222, 7411, 7412, 7413, 7414, 7415, 7480)


def free_offset() -> int:
    """A number that, added to every port, finds all of them free."""
    for offset in random.sample(range(10000, 25000), 100):  # below the ports the kernel gives away
        sockets = []
        try:
            for port in PORTS:
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port + offset))
            return offset
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise AssertionError("no offset with free ports")


class Run:
    """scripts/run, and what it started: every process that inherited its mark."""

    def __init__(self, home, offset: int | None = None):
        self.offset = offset or free_offset()
        self.mark = f"TL_RUN_MARK={uuid.uuid4()}"
        self.env = dict([self.mark.split("=")], TL_BUILD=str(places.BUILD))
        self.home = home
        self.arguments = ["--offset", str(self.offset), "--home", str(home)]
        self.argv = [str(places.TREE / "scripts" / "run"), *self.arguments]
        self.process = None

    def start(self):
        self.process = Process(self.argv, self.home / "run.log", env=self.env, cwd=places.TREE)
        return self

    def fails(self) -> str:
        """What it says when it cannot start."""
        done = subprocess.run(self.argv, capture_output=True, text=True, timeout=60, env={**os.environ, **self.env})
        assert done.returncode == 1
        return done.stderr

    def wait_up(self):
        return self.process.wait_line("Tradelane is running", 60)

    def pids(self) -> list[int]:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if self.mark.encode() in f.read().split(b"\0"):
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def pid_of(self, program: str) -> int:
        for pid in self.pids():
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            if words[0].endswith(b"/" + program.encode()):
                return pid
        raise AssertionError(f"no process {program}")

    def assert_gone(self):
        end = time.monotonic() + 15 * places.PATIENCE
        while self.pids() and time.monotonic() < end:
            time.sleep(0.05)
        left = [open(f"/proc/{pid}/cmdline").read().replace("\0", " ") for pid in self.pids()]
        assert not left
        for port in PORTS:
            with socket.socket() as s:
                assert s.connect_ex(("127.0.0.1", port + self.offset)) != 0, f"port {port} + {self.offset} still answers"

    def clean(self):
        if self.process:
            self.process.kill()
        end = time.monotonic() + 10 * places.PATIENCE
        while self.pids() and time.monotonic() < end:  # they end by themselves, now that their parent has: looked through for leaks
            time.sleep(0.05)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path).start()
    yield run
    run.clean()


def test_it_builds_the_programs_and_no_test(tmp_path):
    """What a newcomer waits for: scripts/run asks for the target `programs`, and nothing of test/ is in that."""
    (tmp_path / "cmake").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\ncase "$1" in --build) exit 1 ;; esac\n')
    (tmp_path / "cmake").chmod(0o755)
    env = {k: v for k, v in os.environ.items() if k != "TL_BUILD"} | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([places.TREE / "scripts" / "run", "--home", tmp_path], env=env, capture_output=True, timeout=120)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert done.returncode and "--target programs" in asked[-1] and asked[-1].startswith("--build"), asked
    made = subprocess.run(["ninja", "-C", places.BUILD, "-t", "inputs", "programs"], capture_output=True, text=True, check=True).stdout
    assert "feedd_main.c.o" in made and not [line for line in made.splitlines() if line.startswith("test/")]


def test_brings_market_data_and_signals_and_leaves_nothing(run):
    run.wait_up()
    assert "" not in told(run)[told(run).index("Try in a second terminal:"):]
    bus = Bus(f"nats://127.0.0.1:{4222 + run.offset}")
    events = bus.subscribe("act.exchange.>")
    events.wait(100, 20)
    bus.wait_stream("ACT", 100)
    bus.wait_stream("SC_LIVE", 1, 30)
    bus.close()
    assert run.process.stop(20) == 0
    run.assert_gone()


def told(run) -> list[str]:
    """The lines under which it says what runs where."""
    return run.process.wait_line(r"Tradelane is running(?s:.*?)lane doctor +is", 20).string.split("Tradelane is running")[1].splitlines()


def test_with_two_accounts_it_names_all_five_daemons_and_nothing_is_refused(tmp_path):
    run = Run(tmp_path)
    run.argv.append("--accounts")
    run.start()
    try:
        run.wait_up()
        health = next(line for line in told(run) if "health" in line)
        for name, port in (("stored", 7411), ("feedd", 7412), ("workhostd", 7413), ("simexd", 7414), ("research-workhostd", 7415)):
            assert f" {name} :{port + run.offset} " in health
        assert "" not in told(run)[told(run).index("Try in a second terminal:"):]
        logs = {log.name: log.read_text() for log in (tmp_path / "log").iterdir()}
        assert not [line for text in logs.values() for line in text.splitlines() if "ermission" in line or "Violation" in line]
        assert run.process.stop(20) == 0
        run.assert_gone()
    finally:
        run.clean()


def test_leaves_nothing_when_it_is_killed(run):
    run.wait_up()
    run.process.kill()
    run.assert_gone()


def test_leaves_nothing_when_make_is_stopped(tmp_path):
    run = Run(tmp_path)
    run.argv = ["make", "-C", str(places.TREE), "run", f"ARGS={' '.join(run.arguments)}"]
    run.start()
    run.wait_up()
    run.process.signal(signal.SIGTERM)
    run.assert_gone()
    run.clean()


def read_until(terminal: int, text: bytes, timeout: float, seen: bytes = b"") -> bytes:
    end = time.monotonic() + timeout * places.PATIENCE
    while text not in seen:
        assert select.select([terminal], [], [], max(0, end - time.monotonic()))[0], f"no {text} within {timeout} s: {seen}"
        seen += os.read(terminal, 4096)
    return seen


def test_control_c_on_a_terminal_stops_it(tmp_path):
    run = Run(tmp_path)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(places.TREE)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a suite started with it ignored hands that on, and bash cannot trap it then
        os.execve(run.argv[0], run.argv, {**os.environ, **run.env})
    seen = read_until(terminal, b"Tradelane is running", 60)
    os.write(terminal, b"\x03")
    read_until(terminal, b"stopped:", 30, seen)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    run.assert_gone()
    os.close(terminal)
    run.clean()


@pytest.mark.slow(15)
def test_starts_again_what_ends_and_says_so(run):
    run.wait_up()
    os.kill(run.pid_of("feedd"), signal.SIGKILL)
    run.process.wait_line(r"feedd ended \(signal KILL\); starting it again in 1 s", 10)
    run.process.wait_line("feedd started again", 10)
    bus = Bus(f"nats://127.0.0.1:{4222 + run.offset}")
    bus.subscribe("act.exchange.*.trade.>").wait(5, 20)
    bus.close()
    kept = (run.home / "log" / "run.log").read_text().splitlines()
    assert [line.split(" WARN  ")[1][:12] for line in kept] == ["feedd ended ", "feedd starte"], kept
    said = run.process.output()
    assert "feedd ended" in said and "keep.sh" not in said and "setsid" not in said, said


def test_names_the_port_that_is_in_use(tmp_path):
    run = Run(tmp_path)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 7412 + run.offset))
        s.listen()
        assert f"port {7412 + run.offset} (feedd) is in use" in run.fails()


def test_refuses_a_broker_port_that_speaks_something_else(tmp_path):
    run = Run(tmp_path)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 4222 + run.offset))
        s.listen()
        assert "in use by something that is no NATS server" in run.fails()


def test_uses_the_broker_that_listens_and_leaves_it_running(tmp_path, make_broker):
    run = Run(tmp_path)
    broker = make_broker(port=4222 + run.offset)
    run.start()
    run.process.wait_line("using the NATS server", 30)
    run.wait_up()
    assert run.process.stop(20) == 0
    assert broker.process.running
    run.clean()
