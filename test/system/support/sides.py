"""A broker with the two-account configuration, and what each user of it needs to get in."""

import os
import subprocess
from pathlib import Path

from .broker import Broker
from .places import TREE, nats_server
from .process import Process

CONFIG = TREE / "nats-conf" / "live-research.conf"


def make_credentials(folder: Path) -> Path:
    subprocess.run([TREE / "scripts" / "credentials", folder], check=True, capture_output=True)
    return folder


def read_env(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


class SidesBroker(Broker):
    """config: the text of the configuration; None: as it is in the tree."""

    def __init__(self, folder: Path, credentials: Path, config: str | None = None, args=()):
        super().__init__(folder)
        self.credentials = credentials
        self.text = CONFIG.read_text() if config is None else config
        self.args = args

    def start(self):
        path = self.folder / "live-research.conf"
        path.write_text(self.text)
        argv = [nats_server(), "-c", path, "-p", self.port, "-sd", self.folder / "store", *self.args]
        self.process = Process(argv, self.folder / "nats.log", env=read_env(self.credentials / "broker.env"))
        self.port = int(self.process.wait_line(r"Listening for client connections on \S+?:(\d+)", 20)[1])
        self.process.wait_line("Server is ready", 20)
        return self

    def password(self, user: str) -> str:
        name = "TRADELANE_BROKER_" + user.upper().replace("-", "_")
        return read_env(self.credentials / "broker.env")[name]

    def env(self, process: str) -> dict[str, str]:
        """The environment of a daemon, or of lane for a user who is a person; see scripts/credentials."""
        return read_env(self.credentials / f"{process}.env")

    def secrets(self) -> list[str]:
        return list(read_env(self.credentials / "broker.env").values())

    def refusals(self) -> list[str]:
        """What the broker refused its users, so far."""
        return [line for line in self.process.output().splitlines() if "Violation" in line]
