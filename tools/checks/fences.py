"""every acquire, release and fence names its partner

Beside each call of atomic_*_acquire, atomic_*_release and fence_* stands a comment with "pairs with", directly above or within
six lines of code; the instructions themselves (mfence, lfence, sfence, locked no-ops) and the compiler's fences are written in
lib/x86 and lib/atomic.h only (programs of ring 3: user/lib/cpu.h and user/lib/atomic.h). Host tests and the definitions are exempt.
"""

import re

from tree import Finding

CALL = re.compile(r"\b(atomic_\w+_(?:acquire|release)|fence_\w+)\s*\(")
RAW = re.compile(
    r"\b[mls]fence\b|\block\s*;?\s*(?:add|or|xor)[lq]?\s+\$?0\b|__sync_synchronize|__atomic_thread_fence|"
    r"atomic_thread_fence|__atomic_\w+_n\b"
)
DEFINITIONS = ("lib/atomic.h", "lib/x86/", "user/lib/atomic.h", "user/lib/cpu.h")
LINES_ABOVE = 6


def check(tree):
    for path in tree.sources():
        if path.startswith("tests/host/") or path.startswith(DEFINITIONS):
            continue
        raw, code = tree.lines(path), tree.code_lines(path)
        for number, line in enumerate(code, 1):
            match = RAW.search(line)
            if match:
                yield Finding(path, number, f"{match.group(0)} belongs into lib/x86 or lib/atomic.h; call its wrapper")
            match = CALL.search(line)
            if match and not has_partner(raw, code, number - 1):
                yield Finding(path, number, f'{match.group(1)} lacks a comment "orders: ...; pairs with: file:function; '
                                            'else: ..." above it')


def has_partner(raw, code, at):
    """Looks at the line and up to LINES_ABOVE lines of code above it; a comment block counts as a whole."""
    if "pairs with" in raw[at]:
        return True
    above = 0
    while at > 0 and above < LINES_ABOVE:
        at -= 1
        if "pairs with" in raw[at]:
            return True
        if code[at].strip():
            above += 1
            if re.match(r"\}|\S.*\)\s*$|\S.*\{$", code[at]):
                return False  # left the function
    return False
