"""Who may include whom. CMake's include paths hold the same; this says it in one place, for libraries too."""

import re

from tree import lines, sources

# What a folder may include beside itself. The longest folder that fits a file counts.
MAY_INCLUDE = {
    "bus/base": set(),
    "bus/event": {"bus/base"},
    "bus/lane": {"bus/base"},
    "bus/nats": {"bus/base", "bus/event", "bus/lane"},
    "feeds/venues": {"bus/base", "bus/event", "bus/lane"},
    "feeds/sim": {"bus/base"},  # a venue: what is tested against it must not share its code
    "feeds": {"bus", "feeds/venues"},
    "store": {"bus"},
    "workhost/devkit": set(),
    "workhost/workers": {"workhost/devkit", "bus/base", "bus/event"},  # values, never the bus itself
    "workhost/engines": {"workhost/devkit", "bus/base", "bus/event", "bus/lane"},  # nor does an engine see it
    "workhost/runtime": {"workhost/devkit", "workhost/engines", "bus"},
    "workhost": {"workhost/engines", "workhost/runtime", "bus"},
    "cli": {"bus"},
}
# A library's headers belong to these folders alone.
ONLY_IN = {
    "nats/nats.h": ("bus/nats/",),
    "nats.h": ("bus/nats/",),
    "cyaml/cyaml.h": ("bus/base/",),
    "event2/": ("bus/base/",),
    "jsmn.h": ("feeds/venues/",),
    "libwebsockets.h": ("feeds/",),
    "zlib.h": ("feeds/sim/",),
    "openssl/": ("workhost/",),
}
INCLUDE = re.compile(r'\s*#\s*include\s+(["<])([^">]+)[">]')


def layer_of(path: str) -> str | None:
    fits = [layer for layer in MAY_INCLUDE if path.startswith(layer + "/")]
    return max(fits, key=len, default=None)


def includes():
    for name in sources():
        for number, line in lines(name):
            found = INCLUDE.match(line)
            if found:
                yield name, number, found[1], found[2]


def test_a_folder_includes_only_what_lies_below_it():
    wrong = []
    for name, number, quote, target in includes():
        layer, other = layer_of(name), layer_of(target)
        if quote == "<" or layer is None or other is None or other == layer:
            continue
        allowed = MAY_INCLUDE[layer]
        if not any(other == a or other.startswith(a + "/") for a in allowed):
            wrong.append(f"{name}:{number}: {layer} may not include {target}")
    assert not wrong, "\n".join(wrong)


def test_a_library_is_seen_in_its_folder_alone():
    wrong = []
    for name, number, _, target in includes():
        if name.startswith("test/"):
            continue  # a test may use it as an oracle
        for header, folders in ONLY_IN.items():
            if target == header or (header.endswith("/") and target.startswith(header)):
                if not name.startswith(folders):
                    wrong.append(f"{name}:{number}: <{target}> belongs to {', '.join(folders)}")
    assert not wrong, "\n".join(wrong)


def test_our_headers_are_included_by_their_path_from_the_top():
    wrong = [f'{name}:{number}: "{target}"' for name, number, quote, target in includes()
             if quote == '"' and "/" not in target and target != "tradelane_version.h"
             and not name.startswith(("test/", "examples/"))]  # an example stands outside the tree
    assert not wrong, "\n".join(wrong)


def test_programs_meet_on_the_bus_alone():
    """No daemon's sources are named in another's build."""
    daemons = {"feeds": "feeds", "store": "store", "workhost": "workhost", "cli": "cli"}
    wrong = []
    for folder in daemons:
        for number, line in lines(f"{folder}/CMakeLists.txt"):
            for other in daemons.values():
                if other != folder and re.search(rf"\b{other}/[a-z_]+\.c\b", line):
                    wrong.append(f"{folder}/CMakeLists.txt:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)
