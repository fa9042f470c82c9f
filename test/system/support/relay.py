"""A TCP relay whose connections can be slowed down or cut one by one."""

import queue
import socket
import threading
import time

from .places import PATIENCE


class _Link:
    """One connection: what the server sends leaves `lag` seconds after it came."""

    def __init__(self, client, server):
        self.client, self.server, self.lag = client, server, 0.0
        self._late = queue.Queue()
        for work in (self._up, self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def _up(self):
        try:
            while data := self.client.recv(65536):
                self.server.sendall(data)
        except OSError:
            pass
        self._shut(self.server)

    def _read(self):
        data = b"-"
        while data:
            try:
                data = self.server.recv(65536)
            except OSError:
                data = b""
            self._late.put((time.monotonic(), data))

    def _write(self):
        while True:
            came, data = self._late.get()
            while (left := came + self.lag - time.monotonic()) > 0:
                time.sleep(min(left, 0.05))
            try:
                if not data:
                    break
                self.client.sendall(data)
            except OSError:
                break
        self._shut(self.client)

    @staticmethod
    def _shut(end):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        self._shut(self.client)
        self._shut(self.server)


class Relay:
    """Relay(port): listens on self.port, each connection goes on to 127.0.0.1:port; numbered 0, 1, … as they come."""

    def __init__(self, port):
        self._to, self._links = port, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        try:
            while True:
                client, _ = self._listener.accept()
                self._links.append(_Link(client, socket.create_connection(("127.0.0.1", self._to))))
        except OSError:
            pass

    def wait(self, count, timeout=20):
        end = time.monotonic() + timeout * PATIENCE
        while len(self._links) < count:
            assert time.monotonic() < end, f"{len(self._links)} of {count} connections"
            time.sleep(0.02)

    def lag(self, number, seconds):
        self.wait(number + 1)
        self._links[number].lag = seconds

    def cut(self, number):
        self._links[number].cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        for link in self._links:
            link.cut()
