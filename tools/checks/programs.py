"""programs and system calls: documented, static, W^X

docs/system-calls.md names every call and error of kernel/abi/syscall.h, with its number, and every program of user/. Each program is a
static ELF64 file without a segment that is writable and executable, at most 96 KiB as it goes on the boot medium.
"""

import os
import re
import struct
import tempfile

from image import PF_W, PF_X, PT_LOAD, segments
from tree import Finding, need

ABI, DOC = "kernel/abi/syscall.h", "docs/system-calls.md"
STRIPPED_MAX = 96 * 1024
ET_EXEC = 2


def members(text, enum):
    """Name and value of the members of an enum."""
    body = re.search(r"enum " + enum + r" \{(.*?)\};", text, re.S).group(1)
    value = -1
    for name, number in re.findall(r"\b(SYS_[A-Z_]+)\b(?:\s*=\s*(\d+))?", re.sub(r"/\*.*?\*/", "", body, flags=re.S)):
        value = int(number) if number else value + 1
        yield name, value


def check(tree):
    abi, doc = tree.text(ABI), tree.text(DOC)
    for name, _ in members(abi, "sys_call"):
        if name != "SYS_CALLS" and f"| `{name}` |" not in doc:
            yield Finding(DOC, 0, f"no table has a row for {name}")
    for name, value in members(abi, "sys_error"):
        if f"| `{name[len('SYS_ERR_'):]}` {value} |" not in doc:
            yield Finding(DOC, 0, f"the table of errors has no {name[len('SYS_ERR_'):]} with the number {value}")
    for name in sorted(set(re.findall(r"`(SYS_[A-Z_]+)`", doc))):
        if not re.search(rf"\b{name}\b", abi):
            yield Finding(DOC, 0, f"{name} is not in {ABI}")
    yield from check_programs(tree, doc)


def check_programs(tree, doc):
    programs = sorted(p[len("user/"):-len(".c")] for p in tree.files(".c", under="user") if p.count("/") == 1)
    for name in programs:
        if f"| `{name}` |" not in doc:
            yield Finding(DOC, 0, f"the program {name} is not in the table of programs")
    strip = need("strip")
    status, out = tree.run(["make", "-s", "kernel"])
    if status != 0:
        yield Finding("Makefile", 0, "the programs do not build: " + " / ".join(out.strip().splitlines()[-3:]))
        return
    for name in programs:
        yield from check_file(tree, strip, f"build/user/{name}.elf")


def check_file(tree, strip, path):
    elf = tree.raw(path)
    if struct.unpack_from("<H", elf, 16)[0] != ET_EXEC:
        yield Finding(path, 0, "is no static executable")
    for kind, flags, address, _ in segments(elf):
        if kind == PT_LOAD and flags & PF_W and flags & PF_X:
            yield Finding(path, 0, f"the segment at {address:#x} is writable and executable")
    with tempfile.TemporaryDirectory() as work:
        small = os.path.join(work, "program")
        tree.run([strip, "--strip-debug", "-o", small, path])
        size = os.path.getsize(small)
    if size > STRIPPED_MAX:
        yield Finding(path, 0, f"{size} bytes on the boot medium; at most {STRIPPED_MAX}")
