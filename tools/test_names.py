"""The names of all tests, by kind, as the sources have them."""

import glob
import os
import re

from report import TOP


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def all_of(pattern):
    return {p: read(os.path.relpath(p, TOP)) for p in sorted(glob.glob(os.path.join(TOP, pattern)))}


def files(folder, suffix):
    return {os.path.basename(p)[: -len(suffix)] for p in glob.glob(os.path.join(TOP, folder, "*" + suffix))}


def existing():
    """Names by kind, and the scenarios that have a control."""
    kernel = {n for text in all_of("tests/*.c").values() for n in re.findall(r"^(?:TEST|BUG)\(\s*(\w+),", text, re.M)}
    sim, controls = set(), set()
    for text in all_of("tests/sim/scenarios/*.c").values():
        for name, rest in re.findall(r"^(?:SCENARIO|LITMUS|LITMUS_3)\((\w+),(.*?)\);$", text, re.M | re.S):
            sim.add(name)
            if ".control = true" in rest:
                controls.add(name)
    return {"kernel": kernel, "sim": sim, "host": files("tests/host", "_test.c"), "boot": files("tests/faults", ".json")}, controls


def configurations():
    """Those of the simulated machine."""
    table = re.search(r"^static const struct sim_config configs\[\] = \{\n(.*?)^\};", read("tests/sim/main.c"), re.M | re.S)
    return re.findall(r'^ *\{"(\w+)",', table.group(1), re.M)
