"""the kernel's image: W^X, no vector registers, size, ISO size

No loadable segment is writable and executable; nothing uses x87, MMX, SSE or AVX registers, which interrupts do not save; text,
rodata and data are at most 512 KiB without the self tests and 1 MiB with them, the ISO at most 8 MiB. What the symbol table
holds of the self tests' functions belongs to the self tests.
"""

import os
import re
import struct

from tree import Finding, need

KERNEL, ISO = "build/volley.elf", "build/volley.iso"
LOADED_MAX, LOADED_WITH_TESTS_MAX, ISO_MAX = 512 * 1024, 1024 * 1024, 8 * 1024 * 1024
SYMBOLS, SYMBOL_BYTES = "build/symbols.asm", 8  # of a symbol: two dwords and its name (tools/gen-symtab)
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
    """Bytes of text, rodata and data in the objects of tests/ that the kernel is linked from, and of their functions' symbols."""
    objects = [f"build/{p}.o" for p in tree.sources() if re.fullmatch(r"tests/[^/]+\.(c|asm)", p)]
    objects = [o for o in objects if os.path.exists(os.path.join(tree.top, o))]
    _, out = tree.run([need("size")] + objects)
    sizes = re.findall(r"^\s*(\d+)\s+(\d+)\s+\d+\s+\d+\s+[0-9a-f]+\s", out, re.M)
    _, out = tree.run([need("nm")] + objects)
    names = set(re.findall(r"^[0-9a-f]+ [tT] (\S+)$", out, re.M))
    symbols = re.findall(r"^db '(.*)', 0$", tree.raw(SYMBOLS).decode(), re.M)
    in_table = sum(SYMBOL_BYTES + len(name) + 1 for name in symbols if name in names)
    return sum(int(text) + int(data) for text, data in sizes) + in_table


def segments(elf):
    """(type, flags, virtual address, bytes in the file) of each program header of an ELF64 file."""
    offset, entry_size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    for i in range(count):
        kind, flags, _, address, _, file_size = struct.unpack_from("<IIQQQQ", elf, offset + i * entry_size)
        yield kind, flags, address, file_size
