"""vector numbers are written in apic/vectors.h only

A number where a vector is meant: as an argument of what sends or registers interrupts, compared with or assigned to something
called vector, as an index of the IDT, or behind the INT instruction. Exceptions (below 32) are the processor's and may be named
in kernel/trap.h.
"""

import re

from tree import Finding

NUMBER = r"(0x[0-9a-fA-F]+|\d+)[uUlL]*\b"
PATTERNS = [re.compile(p) for p in (
    r"\bapic_send_fixed\w*\([^;]*?\b" + NUMBER + r"\s*\)",
    r"\bVECTOR_HANDLER\(\s*\w+\s*,\s*" + NUMBER,
    r"\bvector\b\s*(?:==|!=|<=|>=|<|>|=)\s*" + NUMBER,
    r"\bvector_t\s+\w+\s*=\s*" + NUMBER,
    r"\bidt\w*\[\s*" + NUMBER + r"\s*\]",
    r"\bint\s+\$?" + NUMBER,
    r"#\s*define\s+\w*VECTOR\w*\s+" + NUMBER,
    r"\bVECTOR_\w+\s+equ\s+" + NUMBER,
    r"\bVECTOR_\w+\s*=\s*" + NUMBER,
)]
FIRST_INTERRUPT = 32


def check(tree):
    for path in tree.sources():
        if path == "apic/vectors.h" or path.startswith("tests/host/"):
            continue
        for number, line in enumerate(tree.code_lines(path), 1):
            for pattern in PATTERNS:
                match = pattern.search(line)
                if match and FIRST_INTERRUPT <= int(match.group(1), 0) <= 255:
                    yield Finding(path, number, f"vector {match.group(1)} is written as a number; name it in apic/vectors.h")
