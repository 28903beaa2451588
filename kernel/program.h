/* Programs: the static ELF64 files among the boot modules (docs/system-calls.md, "Programs").
 *
 * The pages of a module's segments that nobody may write are in memory once, for all its processes, from boot on. */
#pragma once

#include "kernel/elf.h"
#include "lib/boot_info.h"

#define PROGRAM_NAME_MAX 24u

struct program {
    char name[PROGRAM_NAME_MAX];
    const void *file; /* stays where the boot loader put it: mm leaves modules alone */
    u64 bytes;
    err_t state; /* ERR_OK, or ERR_MALFORMED with image.why */
    struct elf_image image;
    paddr_t *
        text; /* frames of the pages that its processes share, in the order of their addresses; NULL: each has its own */
};

/* Boot CPU, once, after kmap_init: reads every module as a program. What is refused is named in the log, and keeps its name. */
void programs_init(const struct boot_info *boot);

/* NULL: there is none of that name. */
const struct program *program_find(const char *name);
u32 program_count(void);
const struct program *program_at(u32 i); /* i < program_count() */

/* The frame with what the file has of the page at va in segment s, which its processes share (mm/share.h; the program is one of its
 * owners for good); PADDR_NONE: each has its own. Any context. */
paddr_t program_text(const struct program *p, const struct elf_segment *s, vaddr_t va);
/* Fills the page at va of a zeroed frame with what the file has of it in segment s. Any context. */
void program_copy_page(const struct program *p, const struct elf_segment *s, vaddr_t va, paddr_t frame);

/* A program that did not come as a module: fills *p by reading the file, which must stay as long as its processes do. ERR_MALFORMED. */
err_t program_read(struct program *p, const char *name, const void *file, u64 bytes) MUST_CHECK;
