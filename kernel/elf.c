/* What a program file must be like. Each refusal names the field, what was found and what is allowed. */
#include "kernel/elf.h"

#include "kernel/elf_format.h"
#include "lib/log.h"

#define REFUSE(image, ...)                                                                                   \
    do {                                                                                                     \
        format((image)->why, sizeof((image)->why), __VA_ARGS__);                                             \
        return ERR_MALFORMED;                                                                                \
    } while (0)

#define ULL(x) ((unsigned long long)(x))

static err_t check_ident(const u8 *ident, struct elf_image *out)
{
    if (memcmp(ident, "\177ELF", 4) != 0)
        REFUSE(out, "begins with %02x %02x %02x %02x; an ELF file begins with 7f 45 4c 46", ident[0],
               ident[1], ident[2], ident[3]);
    if (ident[EI_CLASS] != ELFCLASS64)
        REFUSE(out, "EI_CLASS is %u; allowed is %u (64 bits)", ident[EI_CLASS], ELFCLASS64);
    if (ident[EI_DATA] != ELFDATA2LSB)
        REFUSE(out, "EI_DATA is %u; allowed is %u (little-endian)", ident[EI_DATA], ELFDATA2LSB);
    if (ident[EI_VERSION] != EV_CURRENT)
        REFUSE(out, "EI_VERSION is %u; allowed is %u", ident[EI_VERSION], EV_CURRENT);
    if (ident[EI_OSABI] != ELFOSABI_NONE)
        REFUSE(out, "EI_OSABI is %u; allowed is %u: no extension of another system's is known here",
               ident[EI_OSABI], ELFOSABI_NONE);
    return ERR_OK;
}

static err_t check_header(const struct elf_header *h, u64 size, struct elf_image *out)
{
    err_t e = check_ident(h->ident, out);
    if (e != ERR_OK)
        return e;
    if (h->type != ET_EXEC)
        REFUSE(out, "e_type is %u; allowed is %u (executable, not relocatable): link with -static -no-pie",
               h->type, ET_EXEC);
    if (h->machine != EM_X86_64)
        REFUSE(out, "e_machine is %u; allowed is %u (x86-64)", h->machine, EM_X86_64);
    if (h->version != EV_CURRENT)
        REFUSE(out, "e_version is %u; allowed is %u", h->version, EV_CURRENT);
    if (h->flags)
        REFUSE(out, "e_flags is 0x%x; x86-64 defines none", h->flags);
    if (h->ehsize != sizeof(*h))
        REFUSE(out, "e_ehsize is %u; allowed is %u", h->ehsize, (u32)sizeof(*h));
    if (h->phentsize != sizeof(struct elf_phdr))
        REFUSE(out, "e_phentsize is %u; allowed is %u", h->phentsize, (u32)sizeof(struct elf_phdr));
    if (h->phnum == 0 || h->phnum > ELF_PHDRS_MAX)
        REFUSE(out, "e_phnum is %u; allowed are 1 to %u", h->phnum, ELF_PHDRS_MAX);
    if (!elf_inside(size, h->phoff, h->phnum * sizeof(struct elf_phdr)))
        REFUSE(out, "e_phoff is 0x%llx: %u program headers from there do not fit into the file's %llu bytes",
               ULL(h->phoff), h->phnum, ULL(size));
    return ERR_OK;
}

static err_t check_load_form(const struct elf_phdr *p, u32 i, u64 size, struct elf_image *out)
{
    if (p->flags & ~(u32)(PF_R | PF_W | PF_X))
        REFUSE(out, "segment %u: p_flags is 0x%x; allowed are read 4, write 2, execute 1", i, p->flags);
    if ((p->flags & PF_W) && (p->flags & PF_X))
        REFUSE(out, "segment %u: p_flags is 0x%x, writable and executable; allowed is one of the two", i,
               p->flags);
    if (p->align & (p->align - 1))
        REFUSE(out, "segment %u: p_align is 0x%llx; allowed are powers of two", i, ULL(p->align));
    if (!elf_inside(size, p->offset, p->filesz))
        REFUSE(out, "segment %u: p_offset 0x%llx and p_filesz 0x%llx reach past the file's %llu bytes", i,
               ULL(p->offset), ULL(p->filesz), ULL(size));
    if (p->filesz > p->memsz)
        REFUSE(out, "segment %u: p_filesz is 0x%llx; allowed is at most p_memsz, 0x%llx", i, ULL(p->filesz),
               ULL(p->memsz));
    if ((p->offset ^ p->vaddr) & (PAGE_SIZE - 1))
        REFUSE(out, "segment %u: p_offset 0x%llx and p_vaddr 0x%llx differ in their place within a page", i,
               ULL(p->offset), ULL(p->vaddr));
    return ERR_OK;
}

static err_t check_load_place(const struct elf_phdr *p, u32 i, struct elf_image *out)
{
    if (p->vaddr < ELF_VA_START || p->vaddr >= ELF_VA_END || p->memsz > ELF_VA_END - p->vaddr)
        REFUSE(out,
               "segment %u: p_vaddr 0x%llx, p_memsz 0x%llx; allowed are addresses from 0x%llx up to 0x%llx",
               i, ULL(p->vaddr), ULL(p->memsz), ULL(ELF_VA_START), ULL(ELF_VA_END));
    if (out->segment_count) {
        const struct elf_segment *last = &out->segment[out->segment_count - 1];
        u64 free = ALIGN_UP(last->start + last->memory_bytes, PAGE_SIZE);
        if (ALIGN_DOWN(p->vaddr, PAGE_SIZE) < free)
            REFUSE(out, "segment %u: p_vaddr is 0x%llx; allowed is from 0x%llx on: ascending, no page shared",
                   i, ULL(p->vaddr), ULL(free));
    }
    u64 bytes = ALIGN_UP(p->vaddr + p->memsz, PAGE_SIZE) - ALIGN_DOWN(p->vaddr, PAGE_SIZE);
    if (bytes > ELF_IMAGE_MAX - out->pages * PAGE_SIZE)
        REFUSE(out, "segment %u: p_memsz is 0x%llx; allowed are %llu bytes in all segments together", i,
               ULL(p->memsz), ULL(ELF_IMAGE_MAX));
    if (out->segment_count == ELF_SEGMENTS_MAX)
        REFUSE(out, "segment %u: allowed are %u that are loaded", i, ELF_SEGMENTS_MAX);
    return ERR_OK;
}

static err_t add_load(const struct elf_phdr *p, u32 i, u64 size, struct elf_image *out)
{
    err_t e = check_load_form(p, i, size, out);
    if (e != ERR_OK || p->memsz == 0)
        return e;
    e = check_load_place(p, i, out);
    if (e != ERR_OK)
        return e;
    out->segment[out->segment_count++] = (struct elf_segment){
        .start = p->vaddr,
        .memory_bytes = p->memsz,
        .file_offset = p->offset,
        .file_bytes = p->filesz,
        .prot = PT_READ | (p->flags & PF_W ? PT_WRITE : 0) | (p->flags & PF_X ? PT_EXEC : 0),
    };
    out->pages += (ALIGN_UP(p->vaddr + p->memsz, PAGE_SIZE) - ALIGN_DOWN(p->vaddr, PAGE_SIZE)) / PAGE_SIZE;
    return ERR_OK;
}

static err_t check_phdr(const struct elf_phdr *p, u32 i, u64 size, struct elf_image *out)
{
    switch (p->type) {
    case ELF_LOAD:
        return add_load(p, i, size, out);
    case ELF_INTERP:
        REFUSE(out, "segment %u is PT_INTERP: there is no dynamic linker here; link with -static -no-pie", i);
    case ELF_DYNAMIC:
        REFUSE(out, "segment %u is PT_DYNAMIC: nobody would relocate it; link with -static -no-pie", i);
    case ELF_SHLIB:
        REFUSE(out, "segment %u is PT_SHLIB, which has no meaning", i);
    case ELF_TLS:
        REFUSE(out, "segment %u is PT_TLS: there is no thread-local storage here; compile without __thread",
               i);
    case ELF_GNU_STACK:
        if (p->flags & PF_X)
            REFUSE(out, "segment %u: PT_GNU_STACK asks for an executable stack; link with -z noexecstack", i);
        return ERR_OK;
    default:
        return ERR_OK; /* notes, properties, what is read-only after relocation: nothing to load */
    }
}

static err_t check_entry(u64 entry, struct elf_image *out)
{
    for (u32 i = 0; i < out->segment_count; i++) {
        const struct elf_segment *s = &out->segment[i];
        if ((s->prot & PT_EXEC) && entry >= s->start && entry - s->start < s->memory_bytes) {
            out->entry = entry;
            return ERR_OK;
        }
    }
    REFUSE(out, "e_entry is 0x%llx; allowed are addresses within an executable segment", ULL(entry));
}

err_t elf_parse(const void *file, u64 size, struct elf_image *out)
{
    struct elf_header h;
    memset(out, 0, sizeof(*out));
    if (size < sizeof(h))
        REFUSE(out, "%llu bytes; an ELF64 header alone has %u", ULL(size), (u32)sizeof(h));
    ELF_READ(&h, file, 0);
    err_t e = check_header(&h, size, out);
    for (u32 i = 0; e == ERR_OK && i < h.phnum; i++) {
        struct elf_phdr p;
        ELF_READ(&p, file, h.phoff + i * sizeof(p));
        e = check_phdr(&p, i, size, out);
    }
    return e == ERR_OK ? check_entry(h.entry, out) : e;
}
