/* A program, to kernel/elf.c and kernel/elf_symbol.c.
 *
 *     sources: kernel/elf.c kernel/elf_symbol.c
 */
#include "tests/fuzz/fuzz.h"
#include "tests/host/elf_image.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct elf_image image;
    char name[24];
    u8 *file = fuzz_copy(data, size);
    err_t e = elf_parse(file, size, &image);
    if (e == ERR_OK)
        FUZZ_CHECK(image_is_sound(&image, size), "accepted, and is not what the mapping code relies on");
    else
        FUZZ_CHECK(e == ERR_MALFORMED && image.why[0] && memchr(image.why, 0, sizeof(image.why)),
                   "refused with %d", e);
    if (elf_symbol(file, size, TEXT_VA + 0x10, name, sizeof(name)))
        for (const char *c = name; *c; c++)
            FUZZ_CHECK(*c >= ' ' && *c <= '~' && c < name + sizeof(name), "a name that a terminal can show");
    free(file);
    return 0;
}
