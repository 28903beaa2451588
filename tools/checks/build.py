"""gcc and clang build the kernel without a warning, with and without DEBUG=1"""

import os
import re

from tree import Finding, need


def check(tree):
    need("make")
    for compiler in ("gcc", "clang"):
        need(compiler)
        for debug in ("0", "1"):
            jobs = len(os.sched_getaffinity(0))
            status, out = tree.run(["make", "-s", "-k", f"-j{jobs}", "kernel", f"CC={compiler}", f"DEBUG={debug}"])
            if status == 0 and not re.search(r"\bwarning:", out):
                continue
            seen = set()
            for path, line, what in re.findall(r"^(\S+?):(\d+):(?:\d+:)? (?:fatal )?(?:error|warning): (.*)$", out, re.M):
                if (path, line, what) not in seen:
                    seen.add((path, line, what))
                    yield Finding(path, int(line), f"{compiler}, DEBUG={debug}: {what}")
            if not seen:
                yield Finding("Makefile", 0, f"{compiler}, DEBUG={debug}: " + " / ".join(out.strip().splitlines()[-4:]))
