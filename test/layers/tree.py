"""The files of the tree, as the rules see them."""

import subprocess
from functools import cache
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[str, ...]:
    """Every file under version control or about to be."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TREE, capture_output=True, check=True, text=True)
    return tuple(f for f in out.stdout.splitlines() if (TREE / f).is_file())


def sources(*folders: str) -> list[str]:
    """C sources and headers, of these folders or of all."""
    return [f for f in files() if f.endswith((".c", ".h")) and (not folders or f.startswith(folders))]


@cache
def text(name: str) -> str:
    return (TREE / name).read_text(errors="replace")


def lines(name: str):
    """(line number, line) from 1."""
    return enumerate(text(name).splitlines(), 1)
