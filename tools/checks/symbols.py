"""objects use only symbols of rooms that they may include

The same arrows, seen by the linker: an `extern` in a .c file, which no include line shows, is found here. What upper rooms supply
to lower ones by name is listed below, with its header.
"""

import os
import re

from arrows import ALLOWED, COMPOSITION_ROOT
from tree import ROOMS, Finding, Skip, need

# Declared by a lower room, defined by an upper one.
SUPPLIED_FROM_ABOVE = {
    "panic": "lib/assert.h",
    "assert_failed": "lib/assert.h",
    "stop_point_reached": "lib/stop_point_stub.asm",
    "kmain": "the one outside symbol of boot",
}


def objects(tree):
    found = []
    for room in ROOMS:
        if room == "user":
            continue  # links of their own, which cannot reach the kernel's names
        for folder, _, files in os.walk(os.path.join(tree.top, "build", room)):
            found += [os.path.join(folder, f) for f in files if f.endswith(".o")]
    sources = {os.path.join(tree.top, "build", s + ".o") for s in tree.sources()}
    return sorted(o for o in found if o in sources)


def check(tree):
    nm = need("nm")
    status, out = tree.run(["make", "-s", "kernel"])
    if status != 0:
        yield Finding("Makefile", 0, "the kernel does not build, so its symbols cannot be looked at (see the build check)")
        return
    listed = objects(tree)
    if not listed:
        raise Skip("no objects in build/")
    defined, used = {}, []
    for path in listed:
        source = os.path.relpath(path, os.path.join(tree.top, "build"))[: -len(".o")]
        _, out = tree.run([nm, "-A", "-P", path])
        for line in out.splitlines():
            match = re.match(r".*?: (\S+) (\S)", line)
            if not match:
                continue
            name, kind = match.groups()
            if kind == "U":
                used.append((source, name))
            elif kind.isupper():
                defined[name] = source.split("/")[0]
    for source, name in used:
        room, owner = source.split("/")[0], defined.get(name)
        if owner is None or owner in ALLOWED[room] | COMPOSITION_ROOT.get(source, set()):
            continue  # None: from linker.ld or the compiler
        if name not in SUPPLIED_FROM_ABOVE:
            yield Finding(source, 0, f"uses {name} of {owner}/; {room} may use {', '.join(sorted(ALLOWED[room]))}")
