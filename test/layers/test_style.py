"""Sizes, names and words. clang-format decides the rest."""

import re
import subprocess
from pathlib import PurePath

from tree import TREE, files, lines, sources, text

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60
README_LINES_MAX = 70

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|[Nn]ot implemented|[Pp]laceholder")
# The product explains itself; it does not speak of the papers and work lists it came from.
FOREIGN = re.compile(r"\bissue #?[0-9]+\b|\bthe brief\b|acceptance (list|criteri)|contract\.md|design\.md|nats-facts|core-runtime\.md")
CLOCK = re.compile(r"\b(clock_gettime|gettimeofday|time\s*\(\s*(NULL|0|&\w+)\s*\)|clock_nanosleep)")
WORDS = (".c", ".h", ".py", ".sh", ".md", ".mjs", ".txt", ".cmake", ".json", ".conf", ".proto", ".yaml", "Makefile")


def written() -> list[str]:
    ours = [f for f in files() if f.endswith(WORDS) or f.startswith("scripts/")]
    return [f for f in ours if not f.startswith("test/layers/") and not f.endswith(("lock.json", "go.sum"))]


def test_files_have_one_noun():
    long = [f"{f}: {len(text(f).splitlines())} lines" for f in sources() if len(text(f).splitlines()) > FILE_LINES_MAX]
    assert not long, "\n".join(long)


def functions(name: str):
    """(line, lines, signature): from the opening brace in the first column to the closing one."""
    start = None
    above = ""
    for number, line in lines(name):
        if line == "{" and "(" in above:
            start, signature = number, above
        elif line.startswith("}") and start:
            yield start, number - start, signature
            start = None
        above = line if line.strip() else ""


KINDS = {".c", ".h", ".py", ".md", ".patch", ".json", ".txt", ".sh", ".service", ".proto", ".mjs", ".yml", ".yaml", ".ini",
         ".in", ".conf", ".cmake", ".dict", ".cc", ".map", ".go", ".mod", ".sum"}
BARE = re.compile(r"(Makefile|\.[^/]+|\.ci/run|scripts/.*|test/fuzz/words/.*)")  # have no suffix


def strangers(names) -> list[str]:
    """Inputs of fuzz targets may be called anything."""
    def is_ours(name):
        suffix = PurePath(name.replace("/.", "/")).suffix
        return suffix in KINDS if suffix else BARE.fullmatch(name)
    return [f for f in names if not f.startswith("test/fuzz/corpus/") and not is_ours(f)]


def test_only_kinds_of_files_that_are_written_here_are_kept():
    assert strangers(("cli/a.c.orig", "cli/a.c.rej", "cli/a.c~", "x/core.123", "crash-da39", "cli/a.c", ".ci/run")) == [
        "cli/a.c.orig", "cli/a.c.rej", "cli/a.c~", "x/core.123", "crash-da39"]
    found = strangers(subprocess.run(["git", "ls-files"], cwd=TREE, capture_output=True, check=True, text=True).stdout.splitlines())
    assert not found, "\n".join(found)


def test_functions_fit_on_a_screen():
    long = [f"{f}:{n}: {length} lines" for f in sources() for n, length, _ in functions(f) if length > FUNCTION_LINES_MAX]
    assert not long, "\n".join(long)


def test_nothing_is_left_unfinished():
    found = [f"{f}:{n}: {line.strip()}" for f in written() for n, line in lines(f) if UNFINISHED.search(line)]
    assert not found, "\n".join(found)


def test_the_tree_speaks_of_itself_alone():
    found = [f"{f}:{n}: {line.strip()}" for f in written() for n, line in lines(f) if FOREIGN.search(line)]
    assert not found, "\n".join(found)


def test_captures_are_found_outside_by_one_default_that_readers_are_told():
    told = ("test/CMakeLists.txt", "test/README.md")
    found = [f"{f}:{n}" for f in written() if f not in told for n, line in lines(f) if "../shared" in line]
    assert not found, "\n".join(found)


def test_only_the_clock_reads_a_clock():
    found = [f"{f}:{n}: {line.strip()}" for f in sources("bus/", "feeds/", "store/", "workhost/", "cli/")
             if not f.startswith("bus/base/time") for n, line in lines(f) if CLOCK.search(line.split("//")[0])]
    assert not found, "\n".join(found)


def test_a_raw_reference_says_all_its_settings():
    """Connections, how writes leave, and what may be outstanding or pending."""
    strings = [(f, "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', m[0]))) for f in sources("test/bench/")
               for m in re.finditer(r'"nats\.c(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*', text(f))]
    wrong = [f"{f}: {s}" for f, s in strings
             if "connection" not in s or not re.search(r"MaxPending|outstanding|pending limits", s)
             or not ("consumer" in s or re.search("gathered writes|send asap", s))]
    assert len(strings) >= 6 and not wrong, "\n".join(wrong)


def test_types_do_not_end_in_t():
    found = [f"{f}:{n}: {line.strip()}" for f in sources() for n, line in lines(f)
             if re.match(r"(typedef .*|\}) \w+_t;", line)]
    assert not found, "\n".join(found)


def test_headers_are_guarded_by_their_path():
    wrong = []
    for f in sources():
        if f.startswith("workhost/devkit/"):
            continue  # a header for others' programs, with a name of its own
        guard = re.sub(r"[^A-Z0-9]", "_", f.upper())
        if f.endswith(".h") and f"#ifndef {guard}\n#define {guard}\n" not in text(f):
            wrong.append(f"{f}: no guard {guard}")
    assert not wrong, "\n".join(wrong)


def test_a_source_says_what_it_is_for():
    """A header opens with a comment."""
    wrong = [f for f in sources() if f.endswith(".h") and not text(f).startswith(("//", "/*"))]
    assert not wrong, "\n".join(wrong)


def told_above(folder: str) -> bool:
    """A small folder may be told in the page of the folder above."""
    parent, _, name = folder.rpartition("/")
    page = f"{parent}/README.md"
    return bool(parent) and page in files() and re.search(rf"(^## |`){re.escape(name)}(/|`|$)", text(page), re.MULTILINE)


def test_a_folder_opens_with_a_readme_of_one_screen():
    folders = {f.rsplit("/", 1)[0] for f in sources() if not f.startswith("test/")}
    folders |= {f.split("/", 1)[0] for f in files() if "/" in f and not f.startswith(".")}
    wrong = []
    for folder in sorted(folders):
        readme = TREE / folder / "README.md"
        if not readme.exists():
            if not told_above(folder):
                wrong.append(f"{folder}: no README.md")
        elif len(readme.read_text().splitlines()) > README_LINES_MAX:
            wrong.append(f"{folder}/README.md: more than {README_LINES_MAX} lines")
    assert not wrong, "\n".join(wrong)


def test_scripts_end_only_what_they_started():
    found = [f"{f}:{n}" for f in written() for n, line in lines(f) if re.search(r"\b(pkill|killall)\b", line)]
    assert not found, "\n".join(found)
