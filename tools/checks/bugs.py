"""every real bug of docs/real-bugs.md has a self test named after it and a planted bug, and all that it names exist

Its tables of five columns: the third names self tests, the fourth scenarios, host tests and boots, the fifth planted bugs, each in `...`. A
self test bug_*, and a planted bug with `bug`, that stands in none of them is a finding too.
"""

import json
import os
import re

from test_names import existing
from tree import Finding

PAGE = "docs/real-bugs.md"
NAME = re.compile(r"`([\w-]+)`")
WHAT = ("self test", "scenario, host test or boot", "planted bug")


def rows(text):
    """Line number, whether it is a bug or a danger, and the names in the last three cells, of each row with five."""
    bugs = True
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.strip("|").split("|")
        if not line.startswith("|") or len(cells) != 5 or set(line) <= set("|-"):
            continue
        if not NAME.search(line):
            bugs = cells[0].strip() == "the bug"
            continue
        yield number, bugs, [NAME.findall(c) for c in cells[2:]]


def check(tree):
    kinds, _ = existing()
    mutants = {os.path.basename(p)[: -len(".json")]: json.loads(tree.text(p)) for p in tree.files(".json", under="tests/mutants")}
    allowed = (kinds["kernel"], kinds["sim"] | kinds["host"] | kinds["boot"], set(mutants))
    said = set()
    for number, is_bug, names in rows(tree.text(PAGE)):
        for found, good, what in zip(names, allowed, WHAT):
            said.update(found)
            for n in found:
                if n not in good:
                    yield Finding(PAGE, number, f"`{n}` is no {what}")
        if is_bug and not any(n.startswith("bug_") for n in names[0]):
            yield Finding(PAGE, number, "no self test is named after the bug")
        if not names[0] or not names[2]:
            yield Finding(PAGE, number, "names no self test, or no planted bug")
    for n in sorted(kinds["kernel"]):
        if n.startswith("bug_") and n not in said:
            yield Finding(PAGE, 0, f"the self test {n} is named after a real bug, and has no row")
    for n, m in mutants.items():
        if "bug" in m and n not in said:
            yield Finding(PAGE, 0, f"the planted bug {n} is named after a real one ({m['bug']}), and has no row")
