/* The ELF reader, given thousands of seeded mutations of a good file: it stays within the file, and what it accepts keeps every
 * rule that the code which maps it relies on.
 *
 *     sources: kernel/elf.c kernel/elf_symbol.c
 *     sanitize: address,undefined
 */
#include "tests/host/elf_image.h"

#define RUNS 20000u

static u64 random_state;
static u64 random_next(void) /* xorshift64: the same in every run */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state >> 11;
}
static u32 random_below(u64 n)
{
    return (u32)(random_next() % n);
}

/* Where what is read lies: file header, program headers, sections, symbols, names. */
#define HEADERS offsetof(struct file, gap)

static void mutate(u8 *file)
{
    static const u64 telling[] = {0,
                                  1,
                                  0x1000,
                                  0xfff,
                                  0x100000,
                                  0x400000,
                                  0x401000,
                                  0x7fffffffffff,
                                  ELF_VA_END,
                                  ELF_VA_END - 1,
                                  ELF_IMAGE_MAX,
                                  sizeof(struct file),
                                  sizeof(struct file) - 1,
                                  0x7fffffffffffffff,
                                  0x8000000000000000,
                                  0xfffffffffffff000,
                                  ~0ull};
    u32 kind = random_below(4), at = random_below(HEADERS - 8);
    if (kind == 0) {
        file[at] ^= (u8)(1u << random_below(8));
    } else if (kind == 1) {
        memcpy(file + at / 4 * 4, &telling[random_below(ARRAY_SIZE(telling))], 4);
    } else if (kind == 2) {
        memcpy(file + at / 8 * 8, &telling[random_below(ARRAY_SIZE(telling))], 8);
    } else { /* one program header for another */
        struct elf_phdr *p = ((struct file *)file)->p;
        p[random_below(PHDRS)] = p[random_below(PHDRS)];
    }
}

HOST_TEST(twenty_thousand_mutations)
{
    random_state = 0x2545f4914f6cdd1d;
    u32 accepted = 0, named = 0;
    for (u32 run = 0; run < RUNS; run++) {
        struct file *f = good_file();
        for (u32 n = 1 + random_below(4); n > 0; n--)
            mutate((u8 *)f);
        u64 size = sizeof(*f);
        u8 *exact = (u8 *)f;
        if (random_below(8) == 0) { /* cut short, in a buffer of that size */
            size = random_below(size) + 1;
            exact = malloc(size);
            memcpy(exact, f, size);
            free(f);
        }
        struct elf_image image;
        char name[24];
        err_t e = elf_parse(exact, size, &image);
        bool sound = e == ERR_OK
                         ? image_is_sound(&image, size)
                         : e == ERR_MALFORMED && image.why[0] && strlen(image.why) < sizeof(image.why);
        accepted += e == ERR_OK;
        named += elf_symbol(exact, size, TEXT_VA + random_below(0x100), name, sizeof(name));
        free(exact);
        if (!HOST_CHECK(sound, "run %u: %s, \"%s\"", run, e == ERR_OK ? "accepted" : "refused", image.why))
            return;
    }
    HOST_CHECK(accepted > RUNS / 10 && accepted < RUNS, "%u of %u accepted: the mutations miss the point",
               accepted, RUNS);
    HOST_CHECK(named > RUNS / 10 && named < RUNS, "%u of %u named: the mutations miss the symbols", named,
               RUNS);
}
