/* The memory map and the modules (Multiboot2 specification 2.0, sections 3.6.6 and 3.6.8). */
#include "boot/mb2_tag.h"

/* A map with more ranges than we keep: memory is given up rather than the knowledge of what must not be touched. */
static bool replace_usable(struct boot_info *out, const struct boot_mem_range *r)
{
    if (r->type == BOOT_MEM_USABLE)
        return false;
    for (u32 i = out->mem_count; i-- > 0;) {
        if (out->mem[i].type != BOOT_MEM_USABLE)
            continue;
        out->mem[i] = *r;
        return true;
    }
    return false;
}

static bool add_range(struct boot_info *out, struct boot_mem_range r)
{
    if (out->mem_count) {
        struct boot_mem_range *last = &out->mem[out->mem_count - 1];
        if (last->type == r.type && last->start.v + last->size == r.start.v) {
            last->size += r.size; /* UEFI maps come in many small pieces */
            return true;
        }
    }
    if (out->mem_count < BOOT_MEMMAP_MAX) {
        out->mem[out->mem_count++] = r;
        return true;
    }
    replace_usable(out, &r);
    return false;
}

void mb2_read_memory_map(struct boot_info *out, const struct tag *t)
{
    if (!mb2_long_enough(out, t, 16, "memory map"))
        return;
    u32 entry_size = get32(t->p + 8); /* may grow in later versions of the specification, by multiples of 8 */
    if (entry_size < 24) {
        NOTE(out, "memory map entries of %u bytes, need 24: map ignored", entry_size);
        return;
    }
    if (out->mem_count) {
        NOTE(out, "a second memory map: ignored");
        return;
    }
    u32 wrapped = 0, lost = 0, at = 16;
    for (; t->size - at >= entry_size; at += entry_size) {
        const u8 *e = t->p + at;
        struct boot_mem_range r = {.start = PADDR(get64(e)), .size = get64(e + 8), .type = get32(e + 16)};
        if (r.size > ~0ull - r.start.v) {
            wrapped++;
            r.size = ~0ull - r.start.v;
        }
        if (r.size && !add_range(out, r))
            lost++;
    }
    if (at != t->size)
        NOTE(out, "memory map tag: %u bytes behind the last whole entry", t->size - at);
    if (wrapped)
        NOTE(out, "memory map: %u ranges reach past the last address: cut there", wrapped);
    if (lost)
        NOTE(out, "memory map: %u ranges more than the %u kept: some memory stays unused", lost,
             BOOT_MEMMAP_MAX);
}

void mb2_read_module(struct boot_info *out, const struct tag *t)
{
    if (!mb2_long_enough(out, t, 16, "module"))
        return;
    u32 start = get32(t->p + 8), end = get32(t->p + 12);
    if (end < start) {
        NOTE(out, "module ends at 0x%x, before its start 0x%x: ignored", end, start);
        return;
    }
    if (out->module_count == BOOT_MODULES_MAX) {
        NOTE(out, "more than %u modules: the one at 0x%x is ignored", BOOT_MODULES_MAX, start);
        return;
    }
    struct boot_module *m = &out->modules[out->module_count++];
    m->start = PADDR(start);
    m->size = end - start;
    mb2_copy_string(out, t, 16, m->name, sizeof(m->name), "module name");
}

/* Where `at` and what follows are usable up to; `at` itself if they are not. Entries of any other type count, too. */
static u64 usable_until(const struct boot_info *info, u64 at)
{
    u64 until = at;
    for (u32 i = 0; i < info->mem_count; i++) {
        const struct boot_mem_range *r = &info->mem[i];
        if (r->type == BOOT_MEM_USABLE && r->start.v <= at && at - r->start.v < r->size)
            until = MAX(until, r->start.v + r->size);
    }
    for (u32 i = 0; i < info->mem_count; i++) {
        const struct boot_mem_range *r = &info->mem[i];
        if (r->type != BOOT_MEM_USABLE && r->start.v < until && r->start.v + r->size > at)
            until = MAX(at, r->start.v);
    }
    return until;
}

static bool all_usable(const struct boot_info *info, u64 start, u64 end)
{
    while (start < end) {
        u64 until = usable_until(info, start);
        if (until == start)
            return false;
        start = until;
    }
    return true;
}

/* A module lies in memory that the map calls usable (Multiboot2 specification 2.0, section 3.6.8): one that does not would be
 * read where nothing is mapped. */
void mb2_check_modules(struct boot_info *out)
{
    u32 kept = 0;
    for (u32 i = 0; i < out->module_count; i++) {
        struct boot_module m = out->modules[i];
        if (all_usable(out, m.start.v, m.start.v + m.size))
            out->modules[kept++] = m;
        else
            NOTE(out, "module %.16s at 0x%x, %u bytes, is not in usable memory: ignored", m.name,
                 (u32)m.start.v, (u32)m.size);
    }
    out->module_count = kept;
}
