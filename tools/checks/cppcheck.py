"""cppcheck finds nothing"""

import os
import re

from tree import Finding, need

# Each with its reason; single places are silenced beside the code, by `// cppcheck-suppress`.
SUPPRESSED = [
    "missingIncludeSystem",  # freestanding: there is no libc to look into
    "comparePointers",       # symbols of linker.ld: the ends of tables and sections
    "unusedStructMember",    # layouts of hardware and assembly
    "normalCheckLevelMaxBranches",
    "preprocessorErrorDirective",
]


def check(tree):
    program = need("cppcheck")
    files = [p for p in tree.files(".c") if not p.startswith(("tests/host/", "tools/"))]
    command = [program, "--quiet", "--std=c11", "--platform=unix64", "--enable=warning,performance,portability",
               "--inline-suppr", "--template={file}:{line}: {severity} {id}: {message}", "-I.",
               f"-j{len(os.sched_getaffinity(0))}", "--max-configs=1", "-D__x86_64__=1", "-D__GNUC__=12"]
    command += [f"--suppress={s}" for s in SUPPRESSED]
    status, out = tree.run(command + files)
    found = re.findall(r"^(\S+?):(\d+): (\w+ \w+: .*)$", out, re.M)
    for path, line, what in found:
        yield Finding(path, int(line), what)
    if status != 0 and not found:
        yield Finding("tools/checks/cppcheck.py", 0, f"cppcheck ended with status {status}: {out.strip()[-300:]}")
