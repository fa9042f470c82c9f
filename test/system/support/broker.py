"""A real nats-server with JetStream, a port and a store of its own."""

from pathlib import Path

from .places import nats_server
from .process import Process


class Broker:
    def __init__(self, folder: Path, config: str = "", port: int = -1, jetstream: str = "", under=()):
        """port -1: a free one; jetstream: lines of that block; under: a command to run it with, e.g. strace."""
        self.folder = folder
        self.config = config
        self.jetstream = jetstream
        self.under = under
        self.port = port
        self.process = None
        self.max_file = 16 << 30  # room of the store; counts from the next start
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        """Starts it, or starts it again on the same port and store."""
        path = self.folder / "nats.conf"
        path.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder}", max_mem: 256MB, max_file: {self.max_file}\n{self.jetstream} }}\n{self.config}\n')
        self.process = Process([*self.under, nats_server(), "-c", path], self.folder / "nats.log")
        found = self.process.wait_line(r"Listening for client connections on \S+?:(\d+)", 20)
        self.port = int(found[1])
        self.process.wait_line("Server is ready", 20)
        return self

    def kill(self):
        self.process.kill()

    def restart(self):
        self.kill()
        return self.start()

    def freeze(self):
        self.process.freeze()

    def thaw(self):
        self.process.thaw()

    def stop(self):
        if self.process and self.process.running:
            self.process.stop(20)
