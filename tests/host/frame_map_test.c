/* The clean-up of boot memory maps: hostile maps, and random ones against a byte-by-byte opinion.
 *
 *     sources: mm/frame_map.c
 *     sanitize: address,undefined */
#include "mm/frame_map.h"
#include "tests/host/host.h"

#define USABLE FRAME_TYPE(BOOT_MEM_USABLE)
#define TOP    (1ull << 44)
#define ENTRY(start_, size_, type_)                                                                          \
    {                                                                                                        \
        .start = {start_}, .size = (size_), .type = (type_)                                                  \
    }

static struct frame_range out[64];
static u32 count;

static void clean(const struct boot_mem_range *mem, u32 n, const struct frame_range *holes, u32 hole_count,
                  enum frame_rounding rounding)
{
    count = frame_map_ranges(mem, n, USABLE, holes, hole_count, TOP, rounding, out);
    HOST_CHECK(count <= n + hole_count, "%u ranges from %u entries and %u holes", count, n, hole_count);
    for (u32 i = 0; i < count; i++) {
        HOST_CHECK(out[i].start < out[i].end && !(out[i].start % PAGE_SIZE) && !(out[i].end % PAGE_SIZE),
                   "range %u", i);
        HOST_CHECK(i == 0 || out[i - 1].end < out[i].start, "range %u touches the one before", i);
        HOST_CHECK(out[i].end <= TOP, "range %u", i);
    }
}

static bool is(u32 i, u64 start, u64 end)
{
    return i < count && out[i].start == start && out[i].end == end;
}

HOST_TEST(reserved_wins_over_usable)
{
    const struct boot_mem_range mem[] = {
        ENTRY(0x200000, 0x200000, BOOT_MEM_RESERVED), /* unsorted, inside, and over the ends */
        ENTRY(0x100000, 0x700000, BOOT_MEM_USABLE),
        ENTRY(0x600000, 0x10000000, BOOT_MEM_RESERVED),
        ENTRY(0x000000, 0x101000, BOOT_MEM_ACPI),
        ENTRY(0x500000, 0x1000, 77), /* a type that nobody knows */
        ENTRY(0x502000, 0x1000, 0xffffffff),
        ENTRY(0x504000, 0x1000, 0),
    };
    clean(mem, ARRAY_SIZE(mem), NULL, 0, FRAME_ROUND_IN);
    HOST_CHECK(count == 5 && is(0, 0x101000, 0x200000) && is(1, 0x400000, 0x500000) &&
                   is(2, 0x501000, 0x502000) && is(3, 0x503000, 0x504000) && is(4, 0x505000, 0x600000),
               "%u ranges", count);
}

HOST_TEST(overlapping_and_touching_entries_become_one)
{
    const struct boot_mem_range mem[] = {
        ENTRY(0x300000, 0x100000, BOOT_MEM_USABLE),
        ENTRY(0x100000, 0x200000, BOOT_MEM_USABLE),
        ENTRY(0x100000, 0x200000, BOOT_MEM_USABLE),
        ENTRY(0x180000, 0x10000, BOOT_MEM_USABLE),
        ENTRY(0x400000, 0x800, BOOT_MEM_USABLE),
        ENTRY(0x400800, 0x800, BOOT_MEM_USABLE), /* meet inside a page */
    };
    clean(mem, ARRAY_SIZE(mem), NULL, 0, FRAME_ROUND_IN);
    HOST_CHECK(count == 1 && is(0, 0x100000, 0x401000), "%u ranges", count);
}

HOST_TEST(misaligned_ends_are_rounded)
{
    const struct boot_mem_range mem[] = {
        ENTRY(0x100123, 0x2000, BOOT_MEM_USABLE), ENTRY(0x200fff, 0x1001, BOOT_MEM_USABLE),
        ENTRY(0x300001, 0xffe, BOOT_MEM_USABLE), /* no whole page */
    };
    clean(mem, ARRAY_SIZE(mem), NULL, 0, FRAME_ROUND_IN);
    HOST_CHECK(count == 2 && is(0, 0x101000, 0x102000) && is(1, 0x201000, 0x202000), "%u ranges", count);
    clean(mem, ARRAY_SIZE(mem), NULL, 0, FRAME_ROUND_OUT);
    HOST_CHECK(count == 3 && is(0, 0x100000, 0x103000) && is(1, 0x200000, 0x202000) &&
                   is(2, 0x300000, 0x301000),
               "%u", count);
    /* Outward, neighbours that come to share a page are one. */
    const struct boot_mem_range near[] = {ENTRY(0x100000, 0x1800, BOOT_MEM_USABLE),
                                          ENTRY(0x101801, 0x10, BOOT_MEM_USABLE)};
    clean(near, 2, NULL, 0, FRAME_ROUND_OUT);
    HOST_CHECK(count == 1 && is(0, 0x100000, 0x102000), "%u", count);
}

HOST_TEST(holes_are_taken_out)
{
    const struct boot_mem_range mem[] = {ENTRY(0, 0x10000000, BOOT_MEM_USABLE)};
    const struct frame_range holes[] = {
        {0, MIB}, {0x200001, 0x200002}, {0x300000, 0x300000}, {0x400000, 0x1}};
    clean(mem, 1, holes, ARRAY_SIZE(holes), FRAME_ROUND_IN);
    HOST_CHECK(count == 2 && is(0, MIB, 0x200000) && is(1, 0x201000, 0x10000000),
               "empty and reversed holes are none: %u", count);
}

HOST_TEST(hostile_numbers_do_no_harm)
{
    const struct boot_mem_range wraps[] = {ENTRY(~0ull - 0xfff, 0x2000, BOOT_MEM_USABLE),
                                           ENTRY(TOP - PAGE_SIZE, ~0ull, BOOT_MEM_USABLE),
                                           ENTRY(0x1000, 0, BOOT_MEM_USABLE)};
    clean(wraps, ARRAY_SIZE(wraps), NULL, 0, FRAME_ROUND_IN);
    HOST_CHECK(count == 1 && is(0, TOP - PAGE_SIZE, TOP), "%u ranges", count);
    const struct boot_mem_range all[] = {ENTRY(0, ~0ull, BOOT_MEM_USABLE), ENTRY(0, ~0ull, BOOT_MEM_BAD)};
    clean(all, 1, NULL, 0, FRAME_ROUND_OUT);
    HOST_CHECK(count == 1 && is(0, 0, TOP), "%u ranges", count);
    clean(all, 2, NULL, 0, FRAME_ROUND_IN);
    HOST_CHECK(count == 0, "%u ranges", count);
    count = frame_map_ranges(wraps, 3, USABLE, NULL, 0, ALIGN_DOWN(~0ull, PAGE_SIZE), FRAME_ROUND_IN, out);
    HOST_CHECK(count == 1 && is(0, TOP - PAGE_SIZE, ALIGN_DOWN(~0ull, PAGE_SIZE)), "no limit: %u ranges",
               count);
    clean(NULL, 0, NULL, 0, FRAME_ROUND_IN);
    HOST_CHECK(count == 0 && frame_map_bytes(out, count) == 0, "an empty map");
}

/* 64 pages, quarter pages as the unit; every unit has its own opinion. */
#define UNIT  1024u
#define UNITS 256u

HOST_TEST(random_maps_match_a_map_of_every_unit)
{
    static const u32 types[] = {BOOT_MEM_USABLE,   BOOT_MEM_USABLE, BOOT_MEM_USABLE,
                                BOOT_MEM_RESERVED, BOOT_MEM_NVS,    9};
    srand(1);
    for (u32 round = 0; round < 3000; round++) {
        struct boot_mem_range mem[12];
        bool wanted[UNITS] = {0}, blocked[UNITS] = {0};
        u32 n = (u32)rand() % 12 + 1;
        for (u32 i = 0; i < n; i++) {
            u32 first = (u32)rand() % UNITS, units = (u32)rand() % (UNITS - first);
            if (rand() % 2)
                first &= ~3u;
            mem[i] = (struct boot_mem_range)ENTRY(first * UNIT, units * UNIT,
                                                  types[(u32)rand() % ARRAY_SIZE(types)]);
            for (u32 u = first; u < first + units; u++)
                *(mem[i].type == BOOT_MEM_USABLE ? &wanted[u] : &blocked[u]) = true;
        }
        for (enum frame_rounding r = FRAME_ROUND_IN; r <= FRAME_ROUND_OUT; r++) {
            clean(mem, n, NULL, 0, r);
            for (u32 page = 0; page < UNITS / 4; page++) {
                u32 good = 0;
                for (u32 u = page * 4; u < page * 4 + 4; u++)
                    good += wanted[u] && !blocked[u];
                bool expected = r == FRAME_ROUND_IN ? good == 4 : good > 0, found = false;
                for (u32 i = 0; i < count; i++)
                    found |= out[i].start <= page * PAGE_SIZE && page * PAGE_SIZE < out[i].end;
                HOST_CHECK(found == expected, "round %u, rounding %d, page %u", round, r, page);
            }
        }
    }
}
