"""Builds the program of tests/sim/: the real mm and smp code on a simulated machine. What tools/adversary and tools/mutants share."""

import glob
import os
import re

from report import TOP, for_each, parallel_jobs, run

OUT = os.path.join(TOP, os.environ.get("BUILD", "build"), "sim")
COMPILE_SECONDS = 120
FLAGS = """-std=gnu17 -DVOLLEY_HOST -DVOLLEY_SIM -DHOST_CPUS=8 -DVOLLEY_DEBUG -g -O2 -fno-omit-frame-pointer -Wall -Wextra -Wshadow
           -Wstrict-prototypes -Wvla -Wno-unused-value -Werror -ffunction-sections -fdata-sections""".split()
# A bug may leave a variable unused, but must not be caught for a wrong type. It is built once, and runs for seconds.
PLANTED = ["-O0", "-g0", "-Wno-error", "-Wno-unused", "-Werror=incompatible-pointer-types", "-Werror=int-conversion", "-Werror=implicit"]
# Not on this machine: frames and the kernel's own tables are tests/sim/frames.c's; CPUs are there from the start.
NOT_HERE = re.compile(r"mm/(frame\w*|kmap\w*|ap_root)\.c$|smp/bringup\.c$")
LIB = "lib/wait.c lib/param.c lib/patch.c lib/counter.c".split()


def sources(top=TOP):
    """What the program is made of: whoever adds a file to mm/, smp/ or the scenarios changes nothing here."""
    found = []
    for pattern in ("mm/*.c", "mm/shootdown/*.c", "smp/*.c", "tests/sim/*.c", "tests/sim/scenarios/*.c"):
        found += (os.path.relpath(p, top) for p in glob.glob(os.path.join(top, pattern)))
    return sorted(s for s in found if not NOT_HERE.search(s)) + LIB


def dependencies(path):
    """The files that an object was made of, as its compiler wrote them down."""
    with open(path, encoding="utf-8") as f:
        return [os.path.normpath(p) for p in f.read().replace("\\\n", " ").split(":", 1)[1].split()]


def is_stale(target):
    if not os.path.exists(target) or not os.path.exists(target + ".d"):
        return True
    made = os.path.getmtime(target)
    files = [os.path.join(TOP, p) for p in dependencies(target + ".d")]
    return any(not os.path.exists(p) or os.path.getmtime(p) > made for p in files)


def build(out=OUT, overlay=None, changed=(), also=()):
    """Returns the program's path and "", or None and what went wrong. overlay: a folder in which the files `changed` of the tree
    stand once more, with a bug; what does not depend on them is taken from OUT, which has to be built. also: more flags."""
    objects, failed = [], []
    os.makedirs(out, exist_ok=True)
    compiler = [os.environ.get("CC", "gcc")] + FLAGS + (PLANTED + ["-I", overlay] if overlay else []) + ["-I.", *also]

    def compile_one(source):
        name = source.replace("/", "_") + ".o"
        target = os.path.join(out, name)
        if changed and not set(changed) & set(dependencies(os.path.join(OUT, name + ".d"))):
            objects.append(os.path.join(OUT, name))
            return
        objects.append(target)
        if not changed and not is_stale(target):
            return
        path = os.path.join(overlay, source) if source in changed else source
        made = run(compiler + ["-MMD", "-MF", target + ".d", "-c", path, "-o", target], COMPILE_SECONDS)
        if made.status != 0:
            failed.append(made.tail(12))

    for_each(compile_one, sources(), 1 if overlay else parallel_jobs())
    program = os.path.join(out, "adversary")
    if not failed:
        linked = run([os.environ.get("CC", "gcc"), "-Wl,--gc-sections", *also, "-o", program] + sorted(objects), COMPILE_SECONDS)
        if linked.status != 0:
            failed.append(linked.tail(12))
    return (None, failed[0]) if failed else (program, "")
