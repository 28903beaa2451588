#include "lib/boot_info.h"
#include "lib/string.h"

/* The words of the loader's command line for it: the first one is its name. */
static bool is(const struct boot_module *m, const char *name)
{
    size_t n = strlen(name);
    return strncmp(m->name, name, n) == 0 && (m->name[n] == 0 || m->name[n] == ' ');
}

const struct boot_module *boot_module_find(const struct boot_info *boot, const char *name)
{
    for (u32 i = 0; i < boot->module_count; i++)
        if (is(&boot->modules[i], name))
            return &boot->modules[i];
    return NULL;
}

bool boot_module_is_data(const struct boot_module *m)
{
    return is(m, BOOT_MODULE_ACPI) || is(m, BOOT_MODULE_BLOCK);
}
