/* Freed memory is filled with a pattern, and looked at before it is given out again (debug builds): whoever has written to it meanwhile
 * had lost the right to. As a table entry the pattern is not present, as code it is HLT. */
#pragma once

#include "lib/assert.h"
#include "mm/frame.h"
#include "mm/layout.h"

#define FRAME_POISON 0xf4f4f4f4f4f4f4f4ull

#if defined(VOLLEY_DEBUG) && !defined(VOLLEY_HOST)
static inline void frame_poison(paddr_t p, u32 order)
{
    u64 *word = phys_to_virt(p);
    for (u64 i = 0; i < (PAGE_SIZE << order) / sizeof(u64); i++)
        word[i] = FRAME_POISON;
}

/* A frame that was never given out holds whatever firmware has left: then neither end of it is the pattern. */
static inline void frame_poison_check(paddr_t p, u32 order)
{
    for (u64 at = 0; at < PAGE_SIZE << order; at += PAGE_SIZE) {
        const u64 *word = phys_to_virt(paddr_add(p, at));
        const u64 last = PAGE_SIZE / sizeof(u64) - 1;
        if (word[0] != FRAME_POISON && word[last] != FRAME_POISON)
            continue;
        for (u64 i = 0; i <= last; i++)
            if (word[i] != FRAME_POISON)
                panic("frame %llx was written to after it had been freed: at byte %llu it holds %llx (last "
                      "owner %u)",
                      (unsigned long long)(p.v + at), (unsigned long long)(i * sizeof(u64)),
                      (unsigned long long)word[i], frame_of(paddr_add(p, at))->owner);
    }
}
#else
static inline void frame_poison(paddr_t p, u32 order)
{
    (void)p, (void)order;
}
static inline void frame_poison_check(paddr_t p, u32 order)
{
    (void)p, (void)order;
}
#endif
