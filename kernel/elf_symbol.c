/* Names for addresses of a program, for reports only: nothing here decides anything, so a broken table just gives no name. */
#include "kernel/elf.h"
#include "kernel/elf_format.h"
#include "lib/log.h"

static bool read_section(const void *file, u64 size, const struct elf_header *h, u32 i, struct elf_shdr *out)
{
    if (h->shentsize != sizeof(*out) || i >= h->shnum ||
        !elf_inside(size, h->shoff, (u64)h->shnum * sizeof(*out)))
        return false;
    ELF_READ(out, file, h->shoff + i * sizeof(*out));
    return true;
}

/* The symbol table and its names, both within the file. */
static bool find_tables(const void *file, u64 size, struct elf_shdr *symbols, struct elf_shdr *names)
{
    struct elf_header h;
    if (size < sizeof(h))
        return false;
    ELF_READ(&h, file, 0);
    for (u32 i = 0; read_section(file, size, &h, i, symbols); i++)
        if (symbols->type == SHT_SYMTAB)
            return symbols->entsize == sizeof(struct elf_sym) &&
                   elf_inside(size, symbols->offset, symbols->size) &&
                   read_section(file, size, &h, symbols->link, names) && names->type == SHT_STRTAB &&
                   elf_inside(size, names->offset, names->size);
    return false;
}

/* The last symbol of code at or before address. Assembly's labels have no type. */
static bool find_symbol(const void *file, const struct elf_shdr *symbols, vaddr_t address,
                        struct elf_sym *best)
{
    bool found = false;
    for (u64 at = 0; symbols->size - at >= sizeof(*best); at += sizeof(*best)) {
        struct elf_sym s;
        ELF_READ(&s, file, symbols->offset + at);
        u32 type = s.info & 0xf;
        if ((type != STT_FUNC && type != STT_NOTYPE) || s.shndx == SHN_UNDEF || s.value > address ||
            (found && s.value <= best->value) || (s.size && address - s.value >= s.size))
            continue;
        *best = s;
        found = true;
    }
    return found;
}

bool elf_symbol(const void *file, u64 size, vaddr_t address, char *out, size_t out_size)
{
    struct elf_shdr symbols, names;
    struct elf_sym s = {0};
    if (!find_tables(file, size, &symbols, &names) || !find_symbol(file, &symbols, address, &s) ||
        s.name >= names.size)
        return false;
    const char *name = (const char *)file + names.offset + s.name;
    char copy[64];
    u32 n = 0;
    for (u64 left = names.size - s.name; n + 1 < sizeof(copy) && left && name[n]; n++, left--)
        copy[n] = name[n] >= ' ' && name[n] <= '~' ? name[n] : '?';
    copy[n] = 0;
    if (!n)
        return false;
    format(out, out_size, "%s+0x%llx", copy, (unsigned long long)(address - s.value));
    return true;
}
