"""The daemons, each on free ports, with one broker and one folder for a test."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from .broker import Broker
from .bus import Bus
from .places import PATIENCE, UNDER, program
from .process import Process


class Daemon(Process):
    """A daemon of ours; http_port is known as soon as it listens."""

    def __init__(self, name: str, folder: Path, nats_url: str, *args, env=None):
        bus = () if name == "simexd" else ("--nats-url", nats_url)  # it is no bus client
        argv = [*UNDER, program(name), "--http", "127.0.0.1:0", *bus, *args]
        super().__init__(argv, folder / f"{name}.log", env=env, cwd=folder)
        self.name = name
        self.http_port = int(self.wait_line(r"listening http=127\.0\.0\.1:(\d+)")[1])

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its health server."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5 * PATIENCE) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def metric(self, name: str) -> float:
        """The sum over a metric's label sets."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if line.startswith((name + " ", name + "{")))

    def wait_metric(self, name: str, value: float, timeout: float = 20):
        end = time.monotonic() + timeout * PATIENCE
        while self.metric(name) != value:
            assert time.monotonic() < end, f"{name} is {self.metric(name)}, not {value}"
            time.sleep(0.05)

    def wait_ready(self, timeout: float = 10):
        end = time.monotonic() + timeout * PATIENCE
        while True:
            status, body = self.get("/health")
            if status == 200:
                return self
            assert self.running and time.monotonic() < end, f"{self.name} is not ready: {body}\n{self.output()[-3000:]}"
            time.sleep(0.02)


class Stack:
    def __init__(self, folder: Path, broker: Broker):
        self.folder = folder
        self.broker = broker
        self.daemons: dict[str, Daemon] = {}

    def start(self, name: str, *args, env=None, as_name: str | None = None, ready: bool = True) -> Daemon:
        """Starts a daemon, e.g. stack.start("stored"), and waits until it is ready.

        Started again under the same name it takes the place of the one before, which must have ended.
        """
        key = as_name or name
        assert key not in self.daemons or not self.daemons[key].running, f"{key} still runs"
        daemon = Daemon(name, self.folder, self.broker.url, *args, env=env)
        self.daemons[key] = daemon
        return daemon.wait_ready() if ready else daemon

    def __getitem__(self, name: str) -> Daemon:
        return self.daemons[name]

    def lane(self, *args, input: bytes | None = None, timeout: float = 60, check: bool = True, env=None):
        """Runs `lane`; check=True wants exit code 0. Returns the subprocess result, with text output."""
        result = subprocess.run([str(program("lane")), *map(str, args)], input=input, timeout=timeout * PATIENCE,
                                capture_output=True, cwd=self.folder, env={**self.environment(), **(env or {})})
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        assert not check or result.returncode == 0, f"lane {' '.join(map(str, args))}: exit {result.returncode}\n{result.stderr}{result.stdout}"
        return result

    def lane_json(self, *args, **options) -> list:
        """The JSON lines that `lane … --json` printed."""
        return [json.loads(line) for line in self.lane(*args, "--json", **options).stdout.splitlines()]

    def environment(self) -> dict:
        return {**os.environ, "TRADELANE_NATS_URL": self.broker.url, "NATS_URL": self.broker.url,
                "HOME": str(self.folder), "TRADELANE_TIMEOUT": f"{20 * PATIENCE:g}s"}  # a busy machine is no failure

    def bus(self, **options) -> Bus:
        return Bus(self.broker.url, **options)

    def stop(self):
        """Ends all of it, last started first; a daemon that does not end orderly fails the test."""
        codes = {}
        try:
            for name, daemon in reversed(self.daemons.items()):
                if daemon.running:
                    codes[name] = daemon.stop()
        finally:
            for daemon in self.daemons.values():
                daemon.kill()
            self.broker.stop()
        assert all(code == 0 for code in codes.values()), f"exit codes after SIGTERM: {codes}"
