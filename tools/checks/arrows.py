"""rooms include only the rooms below them

kernel -> mm -> smp -> apic -> lib, but mm never apic; kernel -> dev -> mm, lib; boot -> lib; bench and tests -> anything, and nobody includes those two but
kernel/main.c, where the parts are put together. user includes itself and kernel/abi, which includes nothing of any room. Sources come from `#include "room/file.h"`,
which has to exist; what the compiler brings along, and stb, may be included with <>.
"""

import os
import re

from tree import ROOMS, Finding

ALLOWED = {
    "lib": {"lib"},
    "boot": {"boot", "lib"},
    "apic": {"apic", "lib"},
    "smp": {"smp", "apic", "lib"},
    "mm": {"mm", "smp", "lib"},
    "dev": {"dev", "mm", "lib"},
    "kernel": {"kernel", "dev", "mm", "smp", "apic", "lib"},
    "bench": set(ROOMS) - {"user", "tests"},
    "tests": set(ROOMS) - {"user"},
    "user": {"user"},
}
COMPOSITION_ROOT = {"kernel/main.c": {"bench", "tests"}}
# Freestanding headers of the compiler (C17, section 4), and the formatting library.
SYSTEM = re.compile(r"std(arg|bool|def|int|align|noreturn)\.h|limits\.h|float\.h|stb/.*\.h")


def check(tree):
    for path in tree.sources():
        room = path.split("/")[0]
        for number, line in enumerate(tree.code_lines(path), 1):
            match = re.match(r'\s*[#%]\s*include\s*(["<])([^">]+)[">]', line)
            if not match:
                continue
            yield from check_include(tree, path, number, room, *match.groups())


def check_include(tree, path, number, room, quote, name):
    if quote == "<":
        if not SYSTEM.fullmatch(name) and not path.startswith("tests/host/") and "VOLLEY_HOST" not in tree.text(path):
            yield Finding(path, number, f"<{name}> is a header of the host; allowed are freestanding ones and stb")
        return
    to = name.split("/")[0]
    if path.endswith((".asm", ".inc")) and "/" not in name:
        return  # asm-offsets.inc and boot's own
    if path.startswith("kernel/abi/") and not name.startswith("kernel/abi/"):
        yield Finding(path, number, f'"{name}": what ring 3 and the kernel agree on includes nothing of either side')
    if to not in ROOMS:
        yield Finding(path, number, f'"{name}" does not begin with a room ({", ".join(ROOMS)})')
    elif to not in ALLOWED[room] | COMPOSITION_ROOT.get(path, set()):
        if not (room == "user" and name.startswith("kernel/abi/")):
            yield Finding(path, number, f'{room} includes "{name}"; allowed are {", ".join(sorted(ALLOWED[room]))}')
    elif not os.path.exists(os.path.join(tree.top, name)):
        yield Finding(path, number, f'"{name}" does not exist')
