#include "mm/frame_map.h"

#define TYPE_BITS 32u /* types beyond that are in no set */

static u64 end_of(const struct boot_mem_range *m)
{
    u64 end = m->start.v + m->size;
    return end < m->start.v ? ~0ull : end; /* an entry that wraps goes to the top of memory */
}

/* What is known about one byte, and the next address where that may change. */
struct verdict {
    bool wanted, blocked;
    u64 until;
};

static void hear(struct verdict *v, u64 pos, u64 start, u64 end, bool wanted)
{
    if (start >= end)
        return;
    if (start > pos) {
        v->until = MIN(v->until, start);
    } else if (end > pos) {
        v->until = MIN(v->until, end);
        v->wanted |= wanted;
        v->blocked |= !wanted;
    }
}

static u32 add(struct frame_range *out, u32 count, u64 start, u64 end, u64 limit,
               enum frame_rounding rounding)
{
    if (rounding == FRAME_ROUND_IN) {
        start = start > ~0ull - PAGE_SIZE ? ~0ull : ALIGN_UP(start, PAGE_SIZE);
        end = ALIGN_DOWN(end, PAGE_SIZE);
    } else {
        start = ALIGN_DOWN(start, PAGE_SIZE);
        end = MIN(end > ~0ull - PAGE_SIZE ? ~0ull : ALIGN_UP(end, PAGE_SIZE), limit);
    }
    if (start >= end)
        return count;
    if (count && out[count - 1].end >= start)
        out[count - 1].end = end;
    else
        out[count++] = (struct frame_range){start, end};
    return count;
}

/* Goes from one address where some entry begins or ends to the next, looking at all entries each time: quadratic,
 * but it needs neither sorting nor memory, and 256 entries take a millisecond. */
u32 frame_map_ranges(const struct boot_mem_range *mem, u32 mem_count, u32 wanted,
                     const struct frame_range *holes, u32 hole_count, u64 limit, enum frame_rounding rounding,
                     struct frame_range *out)
{
    u32 count = 0;
    bool open = false;
    u64 opened = 0;

    for (u64 pos = 0; pos < limit;) {
        struct verdict v = {.until = limit};
        for (u32 i = 0; i < mem_count; i++)
            hear(&v, pos, mem[i].start.v, end_of(&mem[i]),
                 mem[i].type < TYPE_BITS && (wanted >> mem[i].type & 1));
        for (u32 i = 0; i < hole_count; i++)
            hear(&v, pos, holes[i].start, holes[i].end, false);

        bool take = v.wanted && !v.blocked;
        if (take && !open)
            opened = pos;
        if (!take && open)
            count = add(out, count, opened, pos, limit, rounding);
        open = take;
        pos = v.until;
    }
    /* Rounded only here and above, where a range is whole: wanted entries that meet in the middle of a page lose
     * nothing. */
    return open ? add(out, count, opened, limit, limit, rounding) : count;
}

u64 frame_map_bytes(const struct frame_range *ranges, u32 count)
{
    u64 bytes = 0;
    for (u32 i = 0; i < count; i++)
        bytes += ranges[i].end - ranges[i].start;
    return bytes;
}
