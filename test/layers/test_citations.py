"""Code and tests cite the specification they follow; what is cited exists."""

import re

from tree import TREE, files, text

CITATION = re.compile(r'schemas/specs/([a-z0-9-]+\.md)((?:(?:,| and) "[^"]+")*)')
# A comment may break a citation: what goes on over the line's end is joined.
BREAK = re.compile(r"\s*\n\s*(?://|\*|#)?\s*")


def headings(spec: str) -> set[str]:
    return {line.lstrip("#").replace("`", "").strip() for line in text(f"schemas/specs/{spec}").splitlines() if line.startswith("#")}


def citations():
    for name in files():
        if name.endswith((".c", ".h", ".py", ".mjs", ".proto")) and not name.startswith("test/layers/"):
            for found in CITATION.finditer(BREAK.sub(" ", text(name))):
                yield name, found[1], re.findall(r'"([^"]+)"', found[2])


def test_every_cited_specification_and_section_exists():
    wrong = []
    for name, spec, sections in citations():
        if not (TREE / "schemas/specs" / spec).exists():
            wrong.append(f"{name}: no schemas/specs/{spec}")
            continue
        wrong += [f'{name}: schemas/specs/{spec} has no section "{s}"' for s in sections if s not in headings(spec)]
    assert not wrong, "\n".join(wrong)


def test_every_specification_is_cited():
    cited = {spec for _, spec, _ in citations()}
    specs = {f.rsplit("/", 1)[1] for f in files() if f.startswith("schemas/specs/") and not f.endswith("README.md")}
    assert not specs - cited, f"nothing cites {sorted(specs - cited)}"
