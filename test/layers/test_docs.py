"""What the pages say is there, is there."""

import re

import pytest
from tree import TREE, files, text

PAGES = [f for f in files() if f.endswith(".md") and "/specs/" not in f]
TOPS = {f.split("/", 1)[0] for f in files() if "/" in f}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = (TREE / page).parent
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text(page))
    lost = [t for t in targets if not t.startswith("http") and not (folder / t).exists()]
    assert not lost, f"{page}: {lost}"


@pytest.mark.parametrize("page", PAGES)
def test_paths_named_exist(page):
    """`folder/file.ext` in backquotes, from the top or from the page's folder."""
    folder = (TREE / page).parent
    lost = []
    for path in re.findall(r"`([A-Za-z0-9_./-]+)`", text(page)):
        path = path.rstrip("/")
        if path.split("/", 1)[0] in TOPS and "/" in path and not ((TREE / path).exists() or (folder / path).exists()):
            lost.append(path)
    assert not lost, f"{page}: {lost}"


def test_make_targets_named_exist():
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    named = {(page, t) for page in PAGES for t in re.findall(r"`make ([a-z]+)", text(page))}
    assert not {n for n in named if n[1] not in targets}


@pytest.mark.parametrize("page", PAGES)
def test_tests_named_exist(page):
    """`test_x.py::test_name`: a claim that names its test must not outlive it."""
    lost = [f"{file}::{name}" for file, name in re.findall(r"`(test_\w+\.py)::(\w+)`", text(page))
            if not any(f.endswith("/" + file) and f"def {name}(" in text(f) for f in files())]
    assert not lost, f"{page}: {lost}"
