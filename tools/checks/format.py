"""C is formatted by clang-format 14"""

import re

from tree import Finding, Skip, need

VERSION = 14  # another version formats a little differently, and would never agree with the tree


def check(tree):
    program = need("clang-format-14", "clang-format")
    _, out = tree.run([program, "--version"])
    match = re.search(r"version (\d+)", out)
    if not match or int(match.group(1)) != VERSION:
        raise Skip(f"{program} is {out.strip()}, not version {VERSION}")
    files = [p for p in tree.files(".c", ".h")]
    _, out = tree.run([program, "--dry-run", "-Werror", "--ferror-limit=1"] + files)
    for path, line in re.findall(r"^(\S+?):(\d+):\d+: error:", out, re.M):
        yield Finding(path, int(line), f"not as {program} -i leaves it")
