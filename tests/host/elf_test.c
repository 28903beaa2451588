/* The ELF reader: a good file is described as it is, and each rule that a file breaks is named with what was found.
 *
 *     sources: kernel/elf.c kernel/elf_symbol.c
 *     sanitize: address,undefined
 */
#include "tests/host/elf_image.h"

static struct elf_image image;

/* Parses the first `size` bytes, in a buffer of that length, and frees the file. */
static err_t parse_part(struct file *f, u64 size)
{
    u8 *exact = malloc(size ? size : 1);
    memcpy(exact, f, size);
    err_t e = elf_parse(exact, size, &image);
    free(exact);
    free(f);
    return e;
}
static err_t parse(struct file *f)
{
    return parse_part(f, sizeof(*f));
}

HOST_TEST(a_good_file_is_described_as_it_is)
{
    err_t e = parse(good_file());
    HOST_CHECK(e == ERR_OK && image_is_sound(&image, sizeof(struct file)), "refused: %s", image.why);
    HOST_CHECK(image.entry == TEXT_VA + 0x10, "entry %llx", (unsigned long long)image.entry);
    HOST_CHECK(image.segment_count == 3 && image.pages == 1 + 1 + 6, "%u segments, %llu pages",
               image.segment_count, (unsigned long long)image.pages);
    HOST_CHECK(image.segment[TEXT].prot == PT_EXEC && image.segment[RODATA].prot == PT_READ &&
                   image.segment[DATA].prot == PT_WRITE,
               "rights %x %x %x", image.segment[0].prot, image.segment[1].prot, image.segment[2].prot);
    const struct elf_segment *d = &image.segment[DATA];
    HOST_CHECK(d->start == DATA_VA && d->memory_bytes == DATA_MEM && d->file_bytes == 0x500 &&
                   d->file_offset == offsetof(struct file, data),
               "data at %llx", (unsigned long long)d->start);
}

HOST_TEST(every_length_of_a_file_is_judged_without_reading_past_it)
{
    u64 needed = offsetof(struct file, data) + 0x500;
    for (u64 size = 0; size < sizeof(struct file); size += size < 0x300 ? 1 : 0x7f) {
        err_t e = parse_part(good_file(), size);
        HOST_CHECK((e == ERR_OK) == (size >= needed), "%llu bytes: %s", (unsigned long long)size, image.why);
    }
}

/* One broken field of the good file, and a word of the reason that is to be given. */
#define REFUSED(words, ...)                                                                                  \
    do {                                                                                                     \
        struct file *f = good_file();                                                                        \
        __VA_ARGS__;                                                                                         \
        err_t e = parse(f);                                                                                  \
        HOST_CHECK(e == ERR_MALFORMED && strstr(image.why, words), "%s: %s, \"%s\"", #__VA_ARGS__, words,    \
                   image.why);                                                                               \
    } while (0)
#define ACCEPTED(...)                                                                                        \
    do {                                                                                                     \
        struct file *f = good_file();                                                                        \
        __VA_ARGS__;                                                                                         \
        err_t e = parse(f);                                                                                  \
        HOST_CHECK(e == ERR_OK && image_is_sound(&image, sizeof(struct file)), "%s: \"%s\"", #__VA_ARGS__,   \
                   image.why);                                                                               \
    } while (0)

HOST_TEST(headers_of_other_machines_and_kinds_are_refused)
{
    REFUSED("7f 45 4c 46", f->h.ident[0] = 0);
    REFUSED("EI_CLASS is 1", f->h.ident[EI_CLASS] = 1);
    REFUSED("EI_DATA is 2", f->h.ident[EI_DATA] = 2);
    REFUSED("EI_VERSION is 0", f->h.ident[EI_VERSION] = 0);
    REFUSED("EI_OSABI is 3", f->h.ident[EI_OSABI] = 3);
    REFUSED("e_type is 3", f->h.type = 3);
    REFUSED("e_machine is 3", f->h.machine = 3);
    REFUSED("e_version is 2", f->h.version = 2);
    REFUSED("e_flags is 0x1", f->h.flags = 1);
    REFUSED("e_ehsize is 63", f->h.ehsize = 63);
    REFUSED("e_phentsize is 32", f->h.phentsize = 32);
    REFUSED("e_phnum is 0", f->h.phnum = 0);
    REFUSED("e_phnum is 65535", f->h.phnum = 65535);
    REFUSED("e_phoff", f->h.phoff = sizeof(*f) - PHDRS * 56 + 1);
    REFUSED("e_phoff", f->h.phoff = ~0ull - 100);
}

HOST_TEST(segments_of_a_wrong_form_are_refused)
{
    REFUSED("segment 2: p_flags is 0x7, writable and executable", f->p[DATA].flags = PF_R | PF_W | PF_X);
    REFUSED("p_flags is 0xf", f->p[TEXT].flags = 15);
    REFUSED("p_align is 0x1800", f->p[TEXT].align = 0x1800);
    REFUSED("reach past", f->p[DATA].offset = sizeof(*f) - 0x4ff);
    REFUSED("reach past", f->p[DATA].filesz = f->p[DATA].memsz = ~0ull - 0x1000);
    REFUSED("p_filesz is 0x500; allowed is at most p_memsz, 0x4ff", f->p[DATA].memsz = 0x4ff);
    REFUSED("place within a page", f->p[DATA].vaddr += 16);
    ACCEPTED(f->p[TEXT].align = 0);
    ACCEPTED(f->p[DATA].memsz = 0x500);
    ACCEPTED(f->p[DATA].memsz = f->p[DATA].filesz = 0);
    ACCEPTED(f->p[DATA].filesz = 0);
}

HOST_TEST(segments_in_a_wrong_place_are_refused)
{
    REFUSED("allowed are addresses from 0x100000", f->p[TEXT].vaddr = ELF_VA_START - PAGE_SIZE);
    REFUSED("allowed are addresses from 0x100000", f->p[TEXT].vaddr = 0);
    REFUSED("up to 0x80000000000", f->p[DATA].vaddr = ELF_VA_END + 0x100);
    REFUSED("up to 0x80000000000", f->p[DATA].vaddr = ELF_VA_END - PAGE_SIZE + 0x100);
    REFUSED("up to 0x80000000000", f->p[DATA].vaddr = 0xffffffff80000100);
    REFUSED("up to 0x80000000000", f->p[DATA].memsz = ~0ull - DATA_VA);
    REFUSED("allowed are 16777216 bytes", f->p[DATA].memsz = ELF_IMAGE_MAX);
    REFUSED("no page shared", f->p[RODATA].vaddr = TEXT_VA);
    REFUSED("allowed is from 0x402000", f->p[DATA].vaddr = RODATA_VA + 0x100);
    REFUSED("ascending", f->p[TEXT].vaddr = 0x500000; f->h.entry = 0x500010);
    ACCEPTED(f->p[DATA].memsz = ELF_IMAGE_MAX - 3 * PAGE_SIZE);
    ACCEPTED(f->p[DATA].vaddr = ELF_VA_END - 6 * PAGE_SIZE + 0x100);
    ACCEPTED(f->p[TEXT].vaddr = ELF_VA_START; f->h.entry = ELF_VA_START);
}

HOST_TEST(what_needs_a_linker_or_an_executable_stack_is_refused)
{
    REFUSED("PT_INTERP", f->p[NOTE].type = ELF_INTERP);
    REFUSED("PT_DYNAMIC", f->p[NOTE].type = ELF_DYNAMIC);
    REFUSED("PT_TLS", f->p[NOTE].type = ELF_TLS);
    REFUSED("PT_SHLIB", f->p[NOTE].type = ELF_SHLIB);
    REFUSED("executable stack", f->p[STACK].flags |= PF_X);
    ACCEPTED(f->p[NOTE].type = 0x6474e552);
}

HOST_TEST(the_entry_lies_in_an_executable_segment)
{
    REFUSED("e_entry is 0x0", f->h.entry = 0);
    REFUSED("e_entry is 0x402100", f->h.entry = DATA_VA);
    REFUSED("e_entry is 0x400800", f->h.entry = TEXT_VA + 0x800);
    REFUSED("e_entry is 0xffff800000000000", f->h.entry = 0xffff800000000000);
    ACCEPTED(f->h.entry = TEXT_VA + 0x7ff);
}

HOST_TEST(too_many_segments_are_refused)
{
    struct {
        struct elf_header h;
        struct elf_phdr p[ELF_SEGMENTS_MAX + 1];
    } f;
    struct file *good = good_file();
    f.h = good->h;
    f.h.phnum = ELF_SEGMENTS_MAX + 1;
    for (u32 i = 0; i <= ELF_SEGMENTS_MAX; i++)
        f.p[i] = (struct elf_phdr){ELF_LOAD, PF_R | PF_X, 0, TEXT_VA + i * PAGE_SIZE, 0, 64, 64, 4096};
    free(good);
    HOST_CHECK(elf_parse(&f, sizeof(f), &image) == ERR_MALFORMED &&
                   strstr(image.why, "segment 8: allowed are 8"),
               "%s", image.why);
    f.h.phnum--;
    HOST_CHECK(elf_parse(&f, sizeof(f), &image) == ERR_OK, "%s", image.why);
}

static bool named(const struct file *f, u64 size, vaddr_t at, const char *expected)
{
    char name[32] = "";
    bool found = elf_symbol(f, size, at, name, sizeof(name));
    return expected ? found && !strcmp(name, expected) : !found;
}

HOST_TEST(symbols_are_found_by_address)
{
    struct file *f = good_file();
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA, "main+0x0"), "the first byte");
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA + 0x1f, "main+0x1f"), "the last byte");
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA + 0x123, "loop+0x103"), "a label without a size");
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA - 1, NULL), "before all");
    f->names[2] = '\n';
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA, "m?in+0x0"), "a control character");
    memset(f->names, 'x', sizeof(f->names)); /* no 0 before the end of the table */
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA + 0x20, "xxxxxxxxxxxxxxxxxx+0x0"), "a name that does not end");
    f->sym[1].name = sizeof(f->names);
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA, NULL), "a name outside the table");
    free(f);
}

HOST_TEST(broken_symbol_tables_name_nothing)
{
    static const u64 wrong[] = {~0ull, sizeof(struct file), 1ull << 63};
    for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct file *f = good_file();
        f->s[1].offset = wrong[i];
        HOST_CHECK(named(f, sizeof(*f), TEXT_VA, NULL), "symbols at %llx", (unsigned long long)wrong[i]);
        *f->s = f->s[1] =
            (struct elf_shdr){.type = SHT_SYMTAB, .offset = 64, .size = wrong[i], .link = 2, .entsize = 24};
        HOST_CHECK(named(f, sizeof(*f), TEXT_VA, NULL), "%llx bytes of symbols",
                   (unsigned long long)wrong[i]);
        f->h.shoff = wrong[i];
        HOST_CHECK(named(f, sizeof(*f), TEXT_VA, NULL), "sections at %llx", (unsigned long long)wrong[i]);
        free(f);
    }
    struct file *f = good_file();
    f->s[1].link = 3;
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA, NULL), "names in a section that does not exist");
    f->h.shnum = 0;
    HOST_CHECK(named(f, sizeof(*f), TEXT_VA, NULL), "no sections");
    HOST_CHECK(named(f, 10, TEXT_VA, NULL), "no header");
    free(f);
}
