/* ELF64 files for the tests of kernel/elf.c: a good one, whose fields a test then breaks, each in a buffer of exactly its length. */
#pragma once

#include "kernel/elf.h"
#include "kernel/elf_format.h"
#include "tests/host/host.h"

/* The good file: text, constants, data with zeros behind it; a note and a stack header; a symbol table. */
enum { TEXT, RODATA, DATA, NOTE, STACK, PHDRS };
#define TEXT_VA   0x400000ull
#define RODATA_VA 0x401000ull
#define DATA_VA   0x402100ull /* not at the beginning of its page */
#define DATA_MEM  0x5000ull

struct file {
    struct elf_header h;
    struct elf_phdr p[PHDRS];
    struct elf_shdr s[3];
    struct elf_sym sym[3];
    char names[24];
    u8 gap[0x1000 - 64 - PHDRS * 56 - 3 * 64 - 3 * 24 - 24];
    u8 text[0x1000], rodata[0x1000 + 0x100], data[0x500];
};
_Static_assert(offsetof(struct file, text) == 0x1000 && offsetof(struct file, data) == 0x3100, "no padding");

static inline struct file *good_file(void)
{
    struct file *f = calloc(1, sizeof(*f));
    f->h = (struct elf_header){
        .ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE},
        .type = ET_EXEC,
        .machine = EM_X86_64,
        .version = EV_CURRENT,
        .entry = TEXT_VA + 0x10,
        .phoff = offsetof(struct file, p),
        .shoff = offsetof(struct file, s),
        .ehsize = sizeof(struct elf_header),
        .phentsize = sizeof(struct elf_phdr),
        .phnum = PHDRS,
        .shentsize = sizeof(struct elf_shdr),
        .shnum = 3};
    f->p[TEXT] = (struct elf_phdr){
        ELF_LOAD, PF_R | PF_X, offsetof(struct file, text), TEXT_VA, TEXT_VA, 0x800, 0x800, 0x1000};
    f->p[RODATA] = (struct elf_phdr){
        ELF_LOAD, PF_R, offsetof(struct file, rodata), RODATA_VA, RODATA_VA, 0x1000, 0x1000, 0x1000};
    f->p[DATA] = (struct elf_phdr){
        ELF_LOAD, PF_R | PF_W, offsetof(struct file, data), DATA_VA, DATA_VA, 0x500, DATA_MEM, 0x1000};
    f->p[NOTE] = (struct elf_phdr){4, PF_R, 0, 0, 0, 0, 0, 4};
    f->p[STACK] = (struct elf_phdr){ELF_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
    f->s[1] = (struct elf_shdr){.type = SHT_SYMTAB,
                                .offset = offsetof(struct file, sym),
                                .size = sizeof(f->sym),
                                .link = 2,
                                .entsize = sizeof(struct elf_sym)};
    f->s[2] = (struct elf_shdr){
        .type = SHT_STRTAB, .offset = offsetof(struct file, names), .size = sizeof(f->names)};
    f->sym[1] = (struct elf_sym){.name = 1, .info = STT_FUNC, .shndx = 1, .value = TEXT_VA, .size = 0x20};
    f->sym[2] = (struct elf_sym){.name = 6, .info = STT_NOTYPE, .shndx = 1, .value = TEXT_VA + 0x20};
    memcpy(f->names, "\0main\0loop", 11);
    return f;
}

static inline u64 segment_pages(const struct elf_segment *s)
{
    return (ALIGN_UP(s->start + s->memory_bytes, PAGE_SIZE) - ALIGN_DOWN(s->start, PAGE_SIZE)) / PAGE_SIZE;
}

/* What holds of every file that is accepted: all that kernel/process_image.c relies on. */
static inline bool image_is_sound(const struct elf_image *i, u64 size)
{
    u64 pages = 0, end = ELF_VA_START;
    bool entry = false;
    if (!i->segment_count || i->segment_count > ELF_SEGMENTS_MAX)
        return false;
    for (const struct elf_segment *s = i->segment; s < i->segment + i->segment_count; s++) {
        if (ALIGN_DOWN(s->start, PAGE_SIZE) < end || !s->memory_bytes || s->memory_bytes > ELF_IMAGE_MAX ||
            s->start >= ELF_VA_END || s->start + s->memory_bytes > ELF_VA_END)
            return false;
        if (s->file_bytes > s->memory_bytes || s->file_bytes > size ||
            s->file_offset > size - s->file_bytes || (s->file_offset ^ s->start) % PAGE_SIZE)
            return false;
        if ((s->prot & ~(u32)(PT_WRITE | PT_EXEC)) || s->prot == (PT_WRITE | PT_EXEC))
            return false;
        entry |= (s->prot & PT_EXEC) && i->entry >= s->start && i->entry < s->start + s->memory_bytes;
        end = ALIGN_UP(s->start + s->memory_bytes, PAGE_SIZE);
        pages += segment_pages(s);
    }
    return entry && pages == i->pages && pages <= ELF_IMAGE_MAX / PAGE_SIZE;
}
