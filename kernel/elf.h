/* Static ELF64 programs: a file is checked in full before anything of it is mapped.
 *
 * Pure: reads [file, file + size) and nothing else, keeps no pointer to it, allocates nothing. What a program may look like is
 * stricter than the format: docs/system-calls.md, "Programs". Formats: System V ABI, chapters 4 and 5 (gABI), and its AMD64
 * supplement, sections 4.1 and 5.1. Any context. */
#pragma once

#include "lib/types.h"
#include "mm/pt.h"

/* Text, constants, data, and as many again for linker scripts with ideas of their own. */
#define ELF_SEGMENTS_MAX 8u
/* Program headers that are looked at: linkers write about ten. */
#define ELF_PHDRS_MAX 32u
/* Low addresses stay empty, so that a null pointer with any reasonable offset faults; above 8 TiB lie stacks and what programs
 * map (kernel/process.h, mm/region.h). */
#define ELF_VA_START (1 * MIB)
#define ELF_VA_END   0x0000080000000000ull
/* All segments together, in whole pages: a quarter of what a process may have (PROCESS_FRAMES_MAX). */
#define ELF_IMAGE_MAX (16 * MIB)

struct elf_segment {
    vaddr_t start;    /* of its first byte; its first page begins at or before it */
    u64 memory_bytes; /* never 0 */
    u64 file_offset,
        file_bytes; /* what the first file_bytes hold; the rest is zeros. Congruent to start in a page */
    u32 prot;       /* enum pt_prot: PT_WRITE or PT_EXEC or neither */
};

struct elf_image {
    vaddr_t entry; /* in an executable segment */
    u32 segment_count;
    struct elf_segment segment[ELF_SEGMENTS_MAX]; /* ascending; no two share a page */
    u64 pages;                                    /* of all segments */
    char why[160]; /* ERR_MALFORMED: which field, what was found, what is allowed */
};

/* ERR_MALFORMED, with out->why set and nothing else of *out to be used. */
err_t elf_parse(const void *file, u64 size, struct elf_image *out) MUST_CHECK;

/* The symbol that holds `address`, as "name+0x12", from the file's symbol table. False if the file has none or a broken one, which is
 * no reason to refuse the program. The name is cut to what fits, with anything but printable ASCII shown as '?'. */
bool elf_symbol(const void *file, u64 size, vaddr_t address, char *out, size_t out_size);
