"""Where things are: the tree, the build under test, the broker's program, the captures."""

import os
import shlex
import shutil
from pathlib import Path

TREE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("TL_BUILD", TREE / "build" / "release")).resolve()
CAPTURES = Path(os.environ.get("TRADELANE_DATA") or TREE.parent / "shared" / "data")
# Sanitized programs are slower: every waiting time is multiplied by this.
PATIENCE = float(os.environ.get("TL_PATIENCE", "1"))
# What the daemons of a stack are run with, e.g. "valgrind" (its options: VALGRIND_OPTS).
UNDER = shlex.split(os.environ.get("TL_UNDER", ""))


def program(name: str) -> Path:
    """One of our programs of the build under test."""
    return BUILD / "bin" / name


def helper(name: str) -> Path:
    """One that nobody types."""
    return BUILD / "libexec" / name


def nats_server() -> str:
    tree_copy = TREE / "build" / "nats-server"
    return os.environ.get("TL_NATS_SERVER") or (str(tree_copy) if tree_copy.exists() else "nats-server")


def nats_cli() -> str | None:
    tree_copy = TREE / "build" / "nats"
    return str(tree_copy) if tree_copy.exists() else shutil.which("nats")


def skip_reason(part: str, otherwise: str) -> str:
    """Why an optional part is not there, in the words of `make deps`."""
    note = TREE / "build" / "deps" / "skipped" / part
    return note.read_text().strip() if note.exists() else otherwise
