"""the kernel's image: W^X, no vector registers, size, ISO size

No loadable segment is writable and executable; nothing uses x87, MMX, SSE or AVX registers, which interrupts do not save; text,
rodata and data are at most 512 KiB without the self tests and 1 MiB with them, the ISO at most 8 MiB.
"""

import os
import re
import struct

from tree import Finding, need

KERNEL, ISO = "build/volley.elf", "build/volley.iso"
LOADED_MAX, LOADED_WITH_TESTS_MAX, ISO_MAX = 512 * 1024, 1024 * 1024, 8 * 1024 * 1024
PT_LOAD, PF_X, PF_W = 1, 1, 2
VECTOR_REGISTER = re.compile(r"^\s*([0-9a-f]+):\s+(\S+\s.*%(?:[xyz]?mm\d+|st\b|k[0-7]\b).*)$", re.M)


def check(tree):
    objdump = need("objdump")
    status, out = tree.run(["make", "-s", "iso"])
    if status != 0:
        yield Finding("Makefile", 0, "the ISO does not build: " + " / ".join(out.strip().splitlines()[-3:]))
        return
    loaded = 0
    for kind, flags, address, file_size in segments(tree.raw(KERNEL)):
        if kind != PT_LOAD:
            continue
        loaded += file_size
        if flags & PF_W and flags & PF_X:
            yield Finding(KERNEL, 0, f"the segment at {address:#x} is writable and executable")
    without = loaded - size_of_tests(tree)
    if without > LOADED_MAX:
        yield Finding(KERNEL, 0, f"{without} bytes of text, rodata and data beside the self tests; at most {LOADED_MAX}")
    if loaded > LOADED_WITH_TESTS_MAX:
        yield Finding(KERNEL, 0, f"{loaded} bytes of text, rodata and data are loaded; at most {LOADED_WITH_TESTS_MAX}")
    _, out = tree.run([objdump, "-d", "--no-show-raw-insn", KERNEL])
    for address, instruction in VECTOR_REGISTER.findall(out):
        yield Finding(KERNEL, 0, f"{address}: {' '.join(instruction.split())}: a vector or x87 register in the kernel")
    size = os.path.getsize(os.path.join(tree.top, ISO))
    if size > ISO_MAX:
        yield Finding(ISO, 0, f"{size} bytes; at most {ISO_MAX}")


def size_of_tests(tree):
    """Bytes of text, rodata and data in the objects of tests/ that the kernel is linked from."""
    objects = [f"build/{p}.o" for p in tree.sources() if re.fullmatch(r"tests/[^/]+\.(c|asm)", p)]
    _, out = tree.run([need("size")] + [o for o in objects if os.path.exists(os.path.join(tree.top, o))])
    return sum(int(text) + int(data) for text, data in re.findall(r"^\s*(\d+)\s+(\d+)\s+\d+\s+\d+\s+[0-9a-f]+\s", out, re.M))


def segments(elf):
    """(type, flags, virtual address, bytes in the file) of each program header of an ELF64 file."""
    offset, entry_size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    for i in range(count):
        kind, flags, _, address, _, file_size = struct.unpack_from("<IIQQQQ", elf, offset + i * entry_size)
        yield kind, flags, address, file_size
