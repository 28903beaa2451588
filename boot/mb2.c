/* Multiboot2 boot information to struct boot_info: the walk over the tags (Multiboot2 specification 2.0, section 3.6). */
#include "boot/mb2.h"

#include "boot/mb2_tag.h"

enum tag_type {
    TAG_END = 0,
    TAG_CMDLINE = 1,
    TAG_LOADER = 2,
    TAG_MODULE = 3,
    TAG_MEMORY_MAP = 6,
    TAG_FRAMEBUFFER = 8,
    TAG_EFI32 = 11,
    TAG_EFI64 = 12,
    TAG_ACPI_OLD = 14,
    TAG_ACPI_NEW = 15,
    TAG_EFI_MAP = 17,
    TAG_EFI_BOOT_SERVICES = 18,
};

static void read_rsdp(struct boot_info *out, const struct tag *t, u8 *to, u32 size, bool *have)
{
    if (!mb2_long_enough(out, t, TAG_HEADER + size, "ACPI root pointer"))
        return;
    for (u32 i = 0; i < size; i++)
        to[i] = t->p[TAG_HEADER + i];
    *have = true;
}

static void read_tag(struct boot_info *out, const struct tag *t)
{
    switch (t->type) {
    case TAG_CMDLINE:
        mb2_copy_string(out, t, TAG_HEADER, out->cmdline, sizeof(out->cmdline), "command line");
        break;
    case TAG_LOADER:
        mb2_copy_string(out, t, TAG_HEADER, out->loader, sizeof(out->loader), "loader name");
        break;
    case TAG_MODULE:
        mb2_read_module(out, t);
        break;
    case TAG_MEMORY_MAP:
        mb2_read_memory_map(out, t);
        break;
    case TAG_FRAMEBUFFER:
        mb2_read_framebuffer(out, t);
        break;
    case TAG_ACPI_OLD:
        read_rsdp(out, t, out->rsdp_v1, sizeof(out->rsdp_v1), &out->have_rsdp_v1);
        break;
    case TAG_ACPI_NEW:
        read_rsdp(out, t, out->rsdp_v2, sizeof(out->rsdp_v2), &out->have_rsdp_v2);
        break;
    case TAG_EFI64:
        out->efi = true;
        if (mb2_long_enough(out, t, 16, "EFI system table"))
            out->efi_system_table = PADDR(get64(t->p + 8));
        break;
    case TAG_EFI32:
    case TAG_EFI_MAP:
        out->efi = true;
        break;
    case TAG_EFI_BOOT_SERVICES:
        out->efi = true;
        NOTE(out, "the loader left EFI boot services running: firmware may still write to memory");
        break;
    default: /* every loader passes tags that we have no use for */
        break;
    }
}

/* Walks the tags up to the end tag, or to the first that cannot be right. */
static void read_tags(struct boot_info *out, const u8 *block, u64 size)
{
    for (u64 at = 8; size - at >= TAG_HEADER;) {
        struct tag t = {.p = block + at, .type = get32(block + at), .size = get32(block + at + 4)};
        if (t.size < TAG_HEADER || t.size > size - at) {
            NOTE(out, "tag %u has %u bytes where 8 to %u are possible: it and all behind it are ignored",
                 t.type, t.size, (u32)(size - at));
            return;
        }
        if (t.type == TAG_END)
            return;
        read_tag(out, &t);
        u64 next = at + ALIGN_UP((u64)t.size, 8);
        if (next > size)
            break;
        at = next;
    }
    NOTE(out, "the boot information has no end tag");
}

static bool has_usable_memory(const struct boot_info *out)
{
    for (u32 i = 0; i < out->mem_count; i++)
        if (out->mem[i].type == BOOT_MEM_USABLE)
            return true;
    return false;
}

void boot_parse(u32 magic, const void *block, u64 readable, struct boot_info *out)
{
    *out = (struct boot_info){0};
    if (magic != MB2_MAGIC) {
        NOTE(out, "not started by a multiboot2 loader: EAX was 0x%x, expected 0x%x", magic, MB2_MAGIC);
        out->fatal = true;
        return;
    }
    u64 size = readable < 8 ? 0 : get32(block);
    if (size > readable) {
        NOTE(out, "the boot information claims %u bytes, of which %u can be read", (u32)size, (u32)readable);
        size = readable;
    }
    if (size >= 8)
        read_tags(out, block, size);
    else
        NOTE(out, "the boot information is shorter than its own header");
    mb2_check_modules(out);
    mb2_check_framebuffer(out);
    if (!has_usable_memory(out)) {
        NOTE(out, "no memory map with usable memory: cannot go on");
        out->fatal = true;
    }
}
