"""every bug kept for planting still has its place in the sources

tests/mutants/NAME.json and tests/sim/mutants/NAME.json: `find` stands exactly once in `file`, `replace` is something else, `why`
says what the bug would do, and a name is used once. A bug whose place has moved would be planted nowhere, and nobody would know.
"""

import json
import os

from tree import Finding

FOLDERS = ("tests/mutants", "tests/sim/mutants")


def check(tree):
    names = {}
    for folder in FOLDERS:
        for path in tree.files(".json", under=folder):
            yield from check_one(tree, path)
            name = os.path.basename(path)
            if name in names:
                yield Finding(path, 0, f"{names[name]} has the same name; a bug is known by its name")
            names[name] = path


def check_one(tree, path):
    try:
        mutant = json.loads(tree.text(path))
        file, find, replace, why = (mutant[k] for k in ("file", "find", "replace", "why"))
    except (ValueError, KeyError) as e:
        yield Finding(path, 0, f"not a bug that can be planted: {e!r}; it needs why, file, find, replace")
        return
    if not os.path.exists(os.path.join(tree.top, file)):
        yield Finding(path, 0, f"{file} does not exist")
        return
    count = tree.text(file).count(find)
    if count != 1:
        yield Finding(path, 0, f"its text stands {count} times in {file}; it has to stand there once: bring it up to date")
    if find == replace or not why.strip():
        yield Finding(path, 0, "it changes nothing, or does not say what it would do")
