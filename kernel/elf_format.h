/* The structures of an ELF64 file, as they lie in it: gABI, figures 4-3, 4-8, 4-15 and 5-1. Little-endian like the CPU. */
#pragma once

#include "lib/string.h"
#include "lib/types.h"

struct elf_header {
    u8 ident[16];
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};
struct elf_shdr {
    u32 name, type;
    u64 flags, addr, offset, size;
    u32 link, info;
    u64 addralign, entsize;
};
struct elf_sym {
    u32 name;
    u8 info, other;
    u16 shndx;
    u64 value, size;
};
_Static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_phdr) == 56, "as the format has them");
_Static_assert(sizeof(struct elf_shdr) == 64 && sizeof(struct elf_sym) == 24, "as the format has them");

enum elf_ident { EI_CLASS = 4, EI_DATA = 5, EI_VERSION = 6, EI_OSABI = 7 };
enum { ELFCLASS64 = 2, ELFDATA2LSB = 1, EV_CURRENT = 1, ELFOSABI_NONE = 0, ET_EXEC = 2, EM_X86_64 = 62 };
/* The format calls them PT_LOAD and so on; here PT_ is for page tables. */
enum elf_phdr_type {
    ELF_LOAD = 1,
    ELF_DYNAMIC = 2,
    ELF_INTERP = 3,
    ELF_SHLIB = 5,
    ELF_TLS = 7,
    ELF_GNU_STACK = 0x6474e551,
};
enum elf_phdr_flags { PF_X = 1, PF_W = 2, PF_R = 4 };
enum { SHT_SYMTAB = 2, SHT_STRTAB = 3, SHN_UNDEF = 0, STT_NOTYPE = 0, STT_FUNC = 2 };

/* Does [offset, offset + bytes) lie in a file of that size? */
static inline bool elf_inside(u64 size, u64 offset, u64 bytes)
{
    return offset <= size && bytes <= size - offset;
}

/* Nothing in the file need be aligned. The caller has looked with elf_inside. */
#define ELF_READ(to, file, offset) memcpy((to), (const u8 *)(file) + (offset), sizeof(*(to)))
