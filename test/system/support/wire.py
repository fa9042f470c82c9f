"""A NATS client of a few lines that shows what the broker itself says: which verbs it refuses, and nothing hidden."""

import json
import socket

from .places import PATIENCE


class Refused(Exception):
    """The broker did not let the user in."""


class Wire:
    def __init__(self, port: int, user: str | None = None, password: str | None = None):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10 * PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self.info = json.loads(self._line().removeprefix("INFO "))
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "test",
                   "version": "0"}
        if user is not None:
            options |= {"user": user, "pass": password}
        self._sid = 0
        self._send(f"CONNECT {json.dumps(options)}\r\nPING\r\n")
        errors = self._until_pong()
        if errors:
            raise Refused(errors[0])

    def close(self):
        self._file.close()
        self._socket.close()

    def may_publish(self, subject: str, payload: bytes = b"") -> bool:
        self._send(f"PUB {subject} {len(payload)}\r\n", payload, "\r\nPING\r\n")
        return not any("Publish to" in e for e in self._until_pong())

    def may_subscribe(self, subject: str) -> bool:
        self._sid += 1
        self._send(f"SUB {subject} {self._sid}\r\nPING\r\n")
        allowed = not any("Subscription to" in e for e in self._until_pong())
        self._send(f"UNSUB {self._sid}\r\n")
        return allowed

    def _send(self, *parts):
        self._socket.sendall(b"".join(p.encode() if isinstance(p, str) else p for p in parts))

    def _line(self) -> str:
        line = self._file.readline()
        if not line:
            raise Refused("the broker closed the connection")
        return line.decode().rstrip("\r\n")

    def _until_pong(self) -> list[str]:
        """The errors before the next PONG: the broker answers in order, so they belong to what was just sent."""
        errors = []
        while True:
            line = self._line()
            if line == "PONG":
                return errors
            if line.startswith("-ERR"):
                errors.append(line)
                if "Authorization" in line:
                    return errors
            elif line == "PING":
                self._send("PONG\r\n")
            elif line.startswith(("MSG", "HMSG")):
                self._file.read(int(line.split()[-1]) + 2)
