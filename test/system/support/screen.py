"""A program on a real pseudo-terminal, and what a person would see on it.

Understands what `lane top` writes and refuses every other control: so a test fails when something unexpected reaches
the terminal.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from .places import PATIENCE

CONTROL = re.compile(r"\x1b\[(\?)?([0-9;]*)([A-Za-z])")


class Screen:
    def __init__(self, argv, width: int = 100, height: int = 40, env: dict | None = None):
        self.width, self.height = width, height
        self.rows, self.row, self.column = [""] * height, 0, 0
        self.second_screen, self.cursor, self.shown_before = False, True, ""
        self.rest, self.raw, self.frames, self.exit = "", b"", 0, None
        self.sized_for = 0  # frames from this one on were drawn for the size of now
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(str(argv[0]), [str(a) for a in argv], {**(env or os.environ), "TERM": "xterm"})
        self._tell_size()

    def _tell_size(self):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", self.height, self.width, 0, 0))

    # --- what a person does ---------------------------------------------------------------------------

    def type(self, text: str):
        os.write(self.fd, text.encode())

    def resize(self, width: int, height: int):
        while select.select([self.fd], [], [], 0)[0] and self._read(0):
            pass
        self.width, self.height = width, height
        self.rows = [row[:width] for row in (self.rows + [""] * height)[:height]]
        self.row, self.column = min(self.row, height - 1), min(self.column, width - 1)
        self.sized_for = self.frames + 3  # the one begun, one composed before, then the first for this size
        self._tell_size()

    def signal(self, number: int):
        os.kill(self.pid, number)

    # --- what a person sees ----------------------------------------------------------------------------

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    def line(self, begin: str) -> str:
        return next((r for r in self.rows if r.startswith(begin)), "")

    def wait(self, what, timeout: float = 15):
        """Until `what` (a text that is shown, or a test of this screen) holds."""
        end = time.monotonic() + timeout * PATIENCE
        holds = (lambda s: what in s.text) if isinstance(what, str) else what
        while not holds(self):
            assert time.monotonic() < end, f"not seen within {timeout} s: {what}\n{self.text}"
            assert self._read(0.1) or holds(self), f"it ended ({self.exit}): {what}\n{self.text}"
        return self

    def wait_frames(self, count: int, timeout: float = 15):
        wanted = self.frames + count
        return self.wait(lambda s: s.frames >= wanted, timeout)

    def wait_end(self, timeout: float = 10) -> int:
        end = time.monotonic() + timeout * PATIENCE
        while self._read(0.1):
            assert time.monotonic() < end, f"it does not end\n{self.text}"
        return self.exit

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ECHO)

    def close(self):
        if self.exit is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()
        os.close(self.fd)

    def _reap(self):
        _, status = os.waitpid(self.pid, 0)
        self.exit = os.waitstatus_to_exitcode(status)

    def _read(self, timeout: float) -> bool:
        if self.exit is not None:
            return False
        if not select.select([self.fd], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            data = b""
        if not data:
            self._reap()
            return False
        self.raw += data
        self._take(self.rest + data.decode(errors="replace"))
        return True

    # --- the terminal ----------------------------------------------------------------------------------

    def _take(self, text: str):
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = CONTROL.match(text, at)
                if not found:
                    break  # the rest has not come yet
                self._control(*found.groups())
                at = found.end()
                continue
            self._put(text[at])
            at += 1
        self.rest = text[at:]
        assert len(self.rest) < 32, f"no control that we know: {self.rest!r}"

    def _put(self, character: str):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            assert self.row + 1 < self.height or not self.second_screen or self.frames < self.sized_for, "the screen scrolls"
            self.row = min(self.row + 1, self.height - 1)
        else:
            assert ord(character) >= 32, f"control character {character!r}"
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[:self.column] + character + line[self.column + 1:]
            self.column += 1
            if self.frames < self.sized_for:
                self.column = min(self.column, self.width - 1)
            assert self.column <= self.width or not self.second_screen, f"beyond the edge: {self.rows[self.row]}"

    def _control(self, private, numbers, letter):
        if letter == "m":
            return
        if private and numbers in ("1049", "25"):
            if numbers == "1049":
                self.second_screen = letter == "h"
                self.shown_before = self.text if letter == "l" else self.shown_before
                self.rows, self.row, self.column = [""] * self.height, 0, 0
            else:
                self.cursor = letter == "h"
        elif letter == "H" and not numbers:
            self.row = self.column = 0
            self.frames += 1
        elif letter == "K" and not numbers:
            self.rows[self.row] = self.rows[self.row][:self.column]
        elif letter == "J" and not numbers:
            self.rows[self.row] = self.rows[self.row][:self.column]
            for row in range(self.row + 1, self.height):
                self.rows[row] = ""
        else:
            raise AssertionError(f"no control that we know: {private or ''}{numbers}{letter}")
