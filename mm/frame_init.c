/* Physical frames: from the boot memory map to descriptors and buddy lists. Boot CPU, once, before there are others. */
#include "lib/assert.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame_internal.h"
#include "mm/frame_map.h"
#include "mm/layout.h"

#define LOW_END    MIB /* real-mode vectors, BIOS data, video memory, option ROMs */
#define HOLES_MAX  (BOOT_MODULES_MAX + 4u)
#define RANGES_MAX (BOOT_MEMMAP_MAX + HOLES_MAX)
/* Frame numbers are 32 bits with one value for "none", and the direct map has an end. */
#define LIMIT_BY_NUMBERS ((u64)(FRAME_NONE - FRAME_SECTION_FRAMES) << PAGE_SHIFT)

static struct frame_range ranges[RANGES_MAX]; /* what is left to be given to the buddy lists */
static u32 range_count;
static paddr_t low_page = {~0ull};

paddr_t frame_low_page(void)
{
    return low_page;
}

u64 frame_address_limit(void)
{
    u64 limit = MIN(LIMIT_BY_NUMBERS, DIRECT_MAP_SIZE);
    return features.phys_bits ? MIN(limit, 1ull << MIN(features.phys_bits, 52u)) : limit;
}

/* Ranges that the map calls usable and that are in use all the same. */
static u32 find_holes(const struct boot_info *info, struct frame_range *holes)
{
    u32 n = 0;
    holes[n++] = (struct frame_range){info->kernel_start.v, info->kernel_end.v};
    for (u32 i = 0; i < info->module_count; i++) {
        const struct boot_module *m = &info->modules[i];
        holes[n++] = (struct frame_range){m->start.v, m->start.v + m->size};
    }
    return n;
}

/* From 0x8000 up: beneath lie the real-mode vectors, the BIOS data area, and what boot sectors traditionally use. A
 * machine that has nothing else may still offer those. Page 0 is never taken. */
static void choose_low_page(const struct boot_info *info, const struct frame_range *used, u32 used_count)
{
    static struct frame_range low[RANGES_MAX];
    static const u64 from[] = {0x8000, PAGE_SIZE};
    struct frame_range holes[HOLES_MAX];

    memcpy(holes, used, used_count * sizeof(*used));
    for (u32 i = 0; i < ARRAY_SIZE(from) && paddr_is_none(low_page); i++) {
        holes[used_count] = (struct frame_range){0, from[i]};
        u32 n = frame_map_ranges(info->mem, info->mem_count, FRAME_TYPE(BOOT_MEM_USABLE), holes,
                                 used_count + 1, 640 * KIB, FRAME_ROUND_IN, low);
        if (n)
            low_page = PADDR(low[0].start);
    }
}

/* Takes zeroed memory for descriptors from the top of the highest range that boot's tables reach. NULL: there is
 * none. */
static void *carve(u64 bytes)
{
    bytes = ALIGN_UP(bytes, PAGE_SIZE);
    for (u32 i = range_count; i-- > 0;) {
        struct frame_range *r = &ranges[i];
        if (r->end > BOOT_MAP_END || r->end - r->start < bytes)
            continue;
        r->end -= bytes;
        void *p = phys_to_virt(PADDR(r->end));
        memset(p, 0, bytes);
        return p;
    }
    return NULL;
}

/* A range that crosses 4 GiB becomes two, so that what lies below can be used at once. There is room for one more:
 * the holes were counted with it. */
static void cut_at_boot_map_end(void)
{
    for (u32 i = 0; i < range_count; i++) {
        if (ranges[i].start >= BOOT_MAP_END || ranges[i].end <= BOOT_MAP_END)
            continue;
        memmove(&ranges[i + 1], &ranges[i], (range_count - i) * sizeof(ranges[0]));
        ranges[i].end = ranges[i + 1].start = BOOT_MAP_END;
        range_count++;
        return;
    }
}

static bool section_has_memory(u32 section)
{
    u64 start = section * FRAME_SECTION_BYTES, end = start + FRAME_SECTION_BYTES;
    for (u32 i = 0; i < range_count; i++)
        if (ranges[i].start < end && start < ranges[i].end)
            return true;
    return false;
}

/* From below, so that if room for descriptors runs out it is the memory above 4 GiB that goes undescribed. */
static u64 make_sections(void)
{
    u64 bytes = frame_section_count * sizeof(struct frame *);
    frame_sections = carve(bytes);
    if (!frame_sections)
        panic("no %llu bytes of usable memory below 4 GiB: the memory map has %u usable ranges",
              (unsigned long long)bytes, range_count);
    for (u32 i = 0; i < frame_section_count; i++)
        if (section_has_memory(i)) {
            frame_sections[i] = carve(FRAME_SECTION_FRAMES * sizeof(struct frame));
            bytes += frame_sections[i] ? FRAME_SECTION_FRAMES * sizeof(struct frame) : 0;
        }
    return bytes;
}

/* Gives the described part of [start, end) to the buddy lists; returns the bytes that have no descriptors. */
static u64 add_range(u64 start, u64 end)
{
    u64 left_out = 0;
    while (start < end) {
        u32 section = (u32)(start / FRAME_SECTION_BYTES);
        u64 stop = MIN(end, (section + 1) * FRAME_SECTION_BYTES);
        if (frame_sections[section])
            frame_buddy_add(frame_number(PADDR(start)), frame_number(PADDR(stop)));
        else
            left_out += stop - start;
        start = stop;
    }
    return left_out;
}

static void add_ranges(bool high)
{
    u64 left_out = 0;
    for (u32 i = 0; i < range_count; i++)
        if ((ranges[i].start >= BOOT_MAP_END) == high)
            left_out += add_range(ranges[i].start, ranges[i].end);
    if (left_out)
        log_warn("memory: %llu MiB %s 4 GiB left out: no room below 4 GiB for their descriptors",
                 (unsigned long long)(left_out / MIB), high ? "above" : "below");
}

void frame_init(const struct boot_info *info)
{
    struct frame_range holes[HOLES_MAX];
    u32 hole_count = find_holes(info, holes);
    const u32 usable = FRAME_TYPE(BOOT_MEM_USABLE);

    choose_low_page(info, holes, hole_count);
    holes[hole_count++] = (struct frame_range){0, LOW_END};

    u64 limit = frame_address_limit();
    range_count = frame_map_ranges(info->mem, info->mem_count, usable, holes, hole_count,
                                   ALIGN_DOWN(~0ull, PAGE_SIZE), FRAME_ROUND_IN, ranges);
    u64 all = frame_map_bytes(ranges, range_count);
    range_count = frame_map_ranges(info->mem, info->mem_count, usable, holes, hole_count, limit,
                                   FRAME_ROUND_IN, ranges);
    u64 reached = frame_map_bytes(ranges, range_count);
    if (reached < all)
        log_warn(
            "memory: %llu MiB above address %llx left out: neither descriptors nor direct map reach there",
            (unsigned long long)((all - reached) / MIB), (unsigned long long)limit);
    if (!range_count)
        panic("the boot loader's memory map of %u entries has no usable memory above 1 MiB", info->mem_count);

    cut_at_boot_map_end();
    u64 top = ranges[range_count - 1].end;
    frame_section_count = (u32)((top + FRAME_SECTION_BYTES - 1) / FRAME_SECTION_BYTES);
    u64 descriptors = make_sections();
    log_info("memory: %llu MiB in %u ranges up to %llx, %llu KiB of descriptors",
             (unsigned long long)(reached / MIB), range_count, (unsigned long long)top,
             (unsigned long long)(descriptors / KIB));
    add_ranges(false);
}

void frame_init_high(void)
{
    add_ranges(true);
}
