/* Names of the program's own variables, from its symbol table: for timelines only. */
#include "tests/sim/machine.h"
#include "tests/sim/std.h"

static const u8 *file;

static const u8 *read_self(void)
{
    FILE *f = fopen("/proc/self/exe", "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    u8 *bytes = malloc((size_t)size);
    rewind(f);
    bool ok = fread(bytes, 1, (size_t)size, f) == (size_t)size;
    fclose(f);
    if (!ok) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

const char *sim_variable_name(const volatile void *p)
{
    static char text[64];
    u64 at = (u64)p - (u64)__executable_start;
    snprintf(text, sizeof(text), "%p", (void *)(u64)p);
    if (!file && !(file = read_self()))
        return text;
    const Elf64_Ehdr *h = (const void *)file;
    const Elf64_Shdr *sections = (const void *)(file + h->e_shoff);
    for (u32 i = 0; i < h->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *sym = (const void *)(file + sections[i].sh_offset);
        const char *names = (const char *)(file + sections[sections[i].sh_link].sh_offset);
        for (u64 n = sections[i].sh_size / sizeof(*sym); n; n--, sym++)
            if (ELF64_ST_TYPE(sym->st_info) == STT_OBJECT && at >= sym->st_value &&
                at < sym->st_value + sym->st_size)
                snprintf(text, sizeof(text), "%s+%llu", names + sym->st_name,
                         (unsigned long long)(at - sym->st_value));
    }
    return text;
}
