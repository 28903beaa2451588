"""every litmus test of the table exists, and docs/litmus.md is the table

tests/litmus.json names, for each litmus test, where it is; see tools/litmus.
"""

import os
import sys

from tree import Finding


def check(tree):
    returned, output = tree.run([sys.executable, os.path.join("tools", "litmus"), "--check"])
    if returned:
        for line in output.splitlines():
            yield Finding("tests/litmus.json", 0, line)
