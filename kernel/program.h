/* Programs: the static ELF64 files among the boot modules (docs/system-calls.md, "Programs"). */
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
};

/* Boot CPU, once, after kmap_init: reads every module as a program. What is refused is named in the log, and keeps its name. */
void programs_init(const struct boot_info *boot);

/* NULL: there is none of that name. */
const struct program *program_find(const char *name);
u32 program_count(void);
const struct program *program_at(u32 i); /* i < program_count() */

/* A program that did not come as a module: fills *p by reading the file, which must stay as long as its processes do. ERR_MALFORMED. */
err_t program_read(struct program *p, const char *name, const void *file, u64 bytes) MUST_CHECK;
