/* From the entry code to kmain: collects struct boot_info while the loader's memory is still mapped and untouched. */
#include "boot/mb2.h"
#include "boot/mb2_tag.h"
#include "lib/boot_info.h"
#include "lib/image.h"
#include "lib/string.h"

/* boot/trampoline.asm */
extern const char trampoline_start[], trampoline_params[], trampoline_mailbox[], trampoline_end[];

#define MAPPED_END (4 * GIB) /* end of what the boot page tables map one to one (boot/entry32.asm) */

/* Too large for the boot stack, and kept: kmain's parts read it for as long as they like. */
static struct boot_info info;

NORETURN void boot_main(u32 magic, u32 block);

/* A module called BOOT_MODULE_BLOCK is read in the place of the loader's block: for loaders that pass wrong ones, and for tests. The
 * command line stays the loader's, where whoever boots this can write. */
static void replace_block(void)
{
    const struct boot_module *found = boot_module_find(&info, BOOT_MODULE_BLOCK);
    if (!found)
        return;
    static char cmdline[sizeof(info.cmdline)];
    struct boot_module m = *found; /* the parser clears info */
    memcpy(cmdline, info.cmdline, sizeof(cmdline));
    boot_parse(MB2_MAGIC, (const void *)m.start.v, m.size, &info);
    memcpy(info.cmdline, cmdline, sizeof(cmdline));
    NOTE(&info, "taken from the boot module \"%s\" (%u bytes), not the boot loader's", BOOT_MODULE_BLOCK,
         (u32)m.size);
}

/* Called by boot/entry64.asm, once, interrupts off, on the boot stack. block: physical, mapped one to one. */
NORETURN void boot_main(u32 magic, u32 block)
{
    boot_parse(magic, (const void *)(u64)block, MAPPED_END - block, &info);
    replace_block();
    info.trampoline = trampoline_start;
    info.trampoline_size = (u32)(trampoline_end - trampoline_start);
    info.trampoline_params_offset = (u32)(trampoline_params - trampoline_start);
    info.trampoline_mailbox_offset = (u32)(trampoline_mailbox - trampoline_start);
    info.kernel_start = PADDR((u64)image_phys_start);
    info.kernel_end = PADDR((u64)image_phys_end);
    kmain(&info);
}
