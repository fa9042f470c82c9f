"""What a header declares is called by the product, not by tests alone."""

import re
from collections import Counter

from tree import sources, text

# Kept without a caller, and why.
KEPT = {
    "bus_token_unescape": "the other half of an escape that lanes.md calls reversible",
    "bus_participant_read_back": "what benches and tools tell of a participant",
    "bus_stream_call_silence": "shorter times, for a test",
}
NO_CODE = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
# A prototype begins in the first column; what is inline has a body and so no semicolon behind its parameters.
PROTOTYPE = re.compile(r"^[a-z_][^;{}()#]*?\b(\w+)\s*\([^;{}]*\)[^;{}()]*;", re.M)


def test_what_a_header_declares_has_a_caller():
    product = [f for f in sources() if not f.startswith(("test/", "examples/"))]
    code = {f: NO_CODE.sub("", text(f)) for f in product}
    seen = Counter(word for t in code.values() for word in re.findall(r"\w+", t))
    declared = {name: f for f in product if f.endswith(".h") for name in PROTOTYPE.findall(code[f])}
    assert len(declared) > 500
    alone = {name for name in declared if seen[name] < 3}  # its declaration, its definition, a call
    wrong = [f"{declared[name]}: {name}" for name in sorted(alone - set(KEPT))]
    assert not wrong, "\n".join(wrong)
    assert not set(KEPT) - alone, f"have a caller by now: {sorted(set(KEPT) - alone)}"
