"""Each fuzz target has first inputs, and a planted bug that still applies to the source it is for."""

import re
import subprocess

import pytest

from tree import TREE, files, text

TARGETS = sorted(f.removeprefix("test/fuzz/").removesuffix("_fuzz.c") for f in files() if f.startswith("test/fuzz/") and f.endswith("_fuzz.c"))


@pytest.mark.parametrize("target", TARGETS)
def test_a_fuzz_target_has_inputs_a_plant_and_a_place_in_the_list(target, tmp_path):
    patch = f"test/fuzz/plants/{target}.patch"
    assert any(f.startswith(f"test/fuzz/corpus/{target}/") for f in files()), "no inputs in test/fuzz/corpus"
    assert patch in files(), "no planted bug: scripts/plants cannot prove that it finds one"
    assert f"`{target}`" in text("test/fuzz/README.md")
    source = re.search(r"^\+\+\+ b/(\S+)", text(patch), re.M)[1]
    done = subprocess.run(
        ["patch", "--silent", "--fuzz=3", "-o", tmp_path / "copy.c", TREE / source, TREE / patch], capture_output=True, text=True
    )
    assert done.returncode == 0, f"{patch} does not apply to {source} any more:\n{done.stdout}"


def test_every_planted_bug_is_for_a_target():
    plants = [f for f in files() if f.startswith("test/fuzz/plants/")]
    assert sorted(plants) == [f"test/fuzz/plants/{target}.patch" for target in TARGETS]
