"""every bug kept for planting still has its place in the sources

tests/mutants/NAME.json: `find` stands exactly once in `file`, `replace` is something else, `why` says what the bug would do. Each
says where it is shown (`sim`, `kernel`, `host`) or why nothing can notice it (`equivalent`); a bug of mm or smp is shown on the simulated
machine, or `not_sim` says why that cannot be. A bug whose place has moved would be planted nowhere, and nobody would know.
"""

import json
import os
import re

from simulator import NOT_HERE
from tree import Finding

NEEDED = {"why", "file", "find", "replace"}
ALLOWED = NEEDED | {"bug", "sim", "not_sim", "kernel", "host", "equivalent"}
ON_SIM = re.compile(r"(mm|smp)/")
CELL = re.compile(r"(\w+)/(\w+)/(\w+)$")


def check(tree):
    for path in tree.files(".json", under="tests/mutants"):
        try:
            mutant = json.loads(tree.text(path))
        except ValueError as e:
            yield Finding(path, 0, f"not JSON: {e}")
            continue
        if NEEDED - set(mutant) or set(mutant) - ALLOWED:
            yield Finding(path, 0, f"has the fields {', '.join(sorted(mutant))}; needed are {', '.join(sorted(NEEDED))}, "
                                   f"allowed {', '.join(sorted(ALLOWED))}")
            continue
        for what in list(place(tree, mutant)) + list(shown(tree, mutant)):
            yield Finding(path, 0, what)


def place(tree, mutant):
    file, find = mutant["file"], mutant["find"]
    if not os.path.exists(os.path.join(tree.top, file)):
        yield f"{file} does not exist"
        return
    count = tree.text(file).count(find)
    if count != 1:
        yield f"its text stands {count} times in {file}; it has to stand there once: bring it up to date"
    if find == mutant["replace"] or not mutant["why"].strip():
        yield "it changes nothing, or does not say what it would do"


def scenarios(tree):
    rows = (re.findall(r"^(?:SCENARIO|LITMUS\w*)\((\w+),", tree.text(p), re.M) for p in tree.files(".c", under="tests/sim/scenarios"))
    return {name for names in rows for name in names}


def shown(tree, mutant):
    if ("equivalent" in mutant) == bool({"sim", "kernel", "host"} & set(mutant)):
        yield "says neither or both: where it is shown (sim, kernel, host), why nothing can notice it (equivalent)"
    if ON_SIM.match(mutant["file"]) and not NOT_HERE.match(mutant["file"]) and not {"sim", "not_sim", "equivalent"} & set(mutant):
        yield "a bug of mm or smp is shown on the simulated machine (sim), or not_sim says why not"
    if "sim" in mutant:
        cell = CELL.match(mutant["sim"])
        if not cell or cell.group(1) not in scenarios(tree):
            yield f"{mutant['sim']} is no cell SCENARIO/POLICY/CONFIG of tests/sim/"
    if "host" in mutant and not os.path.exists(os.path.join(tree.top, "tests", "host", mutant["host"] + "_test.c")):
        yield f"host: there is no tests/host/{mutant['host']}_test.c"
    if "kernel" in mutant and "test" not in mutant["kernel"]:
        yield "kernel: `test` names the self tests that are to notice"
