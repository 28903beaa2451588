#include "kernel/program.h"

#include "lib/log.h"
#include "lib/string.h"
#include "mm/layout.h"

static struct program programs[BOOT_MODULES_MAX];
static u32 count;

/* The loader gives a module the words of its command line: "/boot/user/churn fast" is the program "churn". */
static void name_of(char *out, const char *module)
{
    const char *start = module;
    for (const char *c = module; *c && *c != ' '; c++)
        if (*c == '/')
            start = c + 1;
    u32 n = 0;
    for (; n + 1 < PROGRAM_NAME_MAX && start[n] && start[n] != ' '; n++)
        out[n] = start[n] > ' ' && start[n] <= '~' ? start[n] : '?';
    out[n] = 0;
}

err_t program_read(struct program *p, const char *name, const void *file, u64 bytes)
{
    name_of(p->name, name);
    p->file = file;
    p->bytes = bytes;
    p->state = elf_parse(file, bytes, &p->image);
    return p->state;
}

void programs_init(const struct boot_info *boot)
{
    for (u32 i = 0; i < boot->module_count; i++) {
        const struct boot_module *m = &boot->modules[i];
        if (boot_module_is_data(m))
            continue;
        struct program *p = &programs[count];
        err_t e = program_read(p, m->name, phys_to_virt(m->start), m->size);
        if (!p->name[0] || program_find(p->name)) {
            log_warn("boot module %u: %s; it is not used", i,
                     p->name[0] ? "its program's name is taken by an earlier one" : "it has no name");
            continue;
        }
        if (e != ERR_OK)
            log_warn("boot module %u, program %s, cannot be run: %s", i, p->name, p->image.why);
        count++;
    }
}

const struct program *program_find(const char *name)
{
    for (u32 i = 0; i < count; i++)
        if (strcmp(programs[i].name, name) == 0)
            return &programs[i];
    return NULL;
}

u32 program_count(void)
{
    return count;
}

const struct program *program_at(u32 i)
{
    return &programs[i];
}
