/* From the boot loader's memory map to clean ranges: a pure function, so that the host can feed it anything.
 *
 * Firmware maps are unsorted, overlap, have empty and misaligned entries and types nobody knows. Where two entries
 * disagree about a byte, the one that says less good wins. */
#pragma once

#include "lib/boot_info.h"
#include "lib/types.h"

struct frame_range {
    u64 start, end; /* physical, [start, end), multiples of 4 KiB when they come out of frame_map_ranges */
};

enum frame_rounding {
    FRAME_ROUND_IN,  /* only pages that are wholly wanted: memory to give away */
    FRAME_ROUND_OUT, /* every page that has a wanted byte: memory to look at */
};

#define FRAME_TYPE(t) (1u << (t)) /* of enum boot_mem_type, for sets of types */

/* Writes the pages below `limit` (a multiple of 4 KiB) whose type is in the set `wanted`, sorted, disjoint, never
 * touching each other. Bytes of any other type, unknown ones included, and bytes of holes are taken out first.
 * Holes need not be aligned. Returns how many ranges there are: at most mem_count + hole_count, which `out` must
 * have room for. Any context. */
u32 frame_map_ranges(const struct boot_mem_range *mem, u32 mem_count, u32 wanted,
                     const struct frame_range *holes, u32 hole_count, u64 limit, enum frame_rounding rounding,
                     struct frame_range *out);

/* The sum of their sizes in bytes. */
u64 frame_map_bytes(const struct frame_range *ranges, u32 count);
