"""A child process whose output goes to a file that can be waited on. It dies with the test run."""

import ctypes
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .places import PATIENCE

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    """For preexec_fn: the child is killed when the thread that started it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    def __init__(self, argv, log: Path, env=None, cwd=None):
        self.argv = [str(a) for a in argv]
        self.name = Path(self.argv[0]).name
        self.log = Path(log)
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as out:
            self._popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                env={**os.environ, **(env or {})}, preexec_fn=die_with_parent)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def output(self) -> str:
        """All it wrote since it was started."""
        with open(self.log, "rb") as f:
            f.seek(self._offset)
            return f.read().decode(errors="replace")

    def wait_line(self, pattern: str, timeout: float = 10) -> re.Match:
        """The first line since the start that matches the regular expression."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            running = self.running  # asked first: what it wrote last counts
            found = re.search(pattern, self.output(), re.MULTILINE)
            if found:
                return found
            if not running or time.monotonic() > end:
                state = "did not write" if running else f"ended with {self._popen.returncode} without"
                raise AssertionError(f"{self.name} {state} a line /{pattern}/; its output ends:\n{self.output()[-3000:]}")
            time.sleep(0.005)

    def signal(self, number: int):
        self._popen.send_signal(number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def wait(self, timeout: float = 10) -> int:
        """The exit code; negative: the signal that ended it."""
        return self._popen.wait(timeout * PATIENCE)

    def kill(self):
        """SIGKILL, and wait for the end."""
        if self.running:
            self._popen.kill()
        self._popen.wait()

    def stop(self, timeout: float = 10) -> int:
        """SIGTERM and the exit code; a process that does not end in time is killed and fails the test."""
        if self.running:
            self.thaw()
            self._popen.terminate()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout} s of SIGTERM; its output ends:\n{self.output()[-3000:]}")
