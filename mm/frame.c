/* Physical frames: handing out, taking back, and the checks on both. Start-up is in mm/frame_init.c. */
#include "mm/frame.h"

#include "lib/assert.h"
#include "lib/context.h"
#include "lib/string.h"
#include "mm/fail.h"
#include "mm/frame_internal.h"
#include "mm/frame_poison.h"
#include "mm/layout.h"
#include "mm/tlb_ghost.h"

struct frame **frame_sections;
u32 frame_section_count;

struct fail fail;

/* Of several CPUs that allocate at the same time, one takes the last count, and is refused. */
COLD bool fail_count(const char *what)
{
    u64 left = atomic_load_relaxed(&fail.left);
    do
        if (!left)
            return false;
    while (!atomic_cmpxchg(&fail.left, &left, left - 1));
    if (left != 1)
        return false;
    atomic_fetch_add(&fail.refused, 1);
    if (fail.hook)
        fail.hook(what);
    return true;
}

struct frame *frame_of(paddr_t p)
{
    return frame_find(p);
}

static err_t hand_out(u32 n, enum frame_owner owner, paddr_t *out)
{
    if (n == FRAME_NONE)
        return ERR_NOMEM;
    struct frame *f = frame_at(n);
    *out = frame_address(n);
    frame_poison_check(*out, f->order);
    f->generation++;
    f->owner = (u16)owner;
    return ERR_OK;
}

#define ASSERT_MAY_ALLOCATE() DEBUG_ASSERT(!context_is_nmi(), "an NMI may stand inside the allocator")

err_t frame_alloc(enum frame_owner owner, paddr_t *out)
{
    ASSERT_MAY_ALLOCATE();
    return hand_out(frame_cache_take(FRAME_USED), owner, out);
}

err_t frame_alloc_zeroed(enum frame_owner owner, paddr_t *out)
{
    err_t e = frame_alloc(owner, out);
    if (e == ERR_OK)
        memset(phys_to_virt(*out), 0, PAGE_SIZE);
    return e;
}

err_t frame_alloc_order(u32 order, enum frame_owner owner, paddr_t *out)
{
    ASSERT_MAY_ALLOCATE();
    if (order > FRAME_2M)
        return ERR_INVAL;
    if (order == FRAME_4K)
        return frame_alloc(owner, out);
    if (fail_here("a block of frames"))
        return ERR_NOMEM;
    u32 n = frame_buddy_take(order, FRAME_USED);
    if (n == FRAME_NONE) {
        frame_drain_cache(); /* our singles may be what is missing in a block */
        n = frame_buddy_take(order, FRAME_USED);
    }
    return hand_out(n, owner, out);
}

err_t frame_alloc_below(u64 limit, enum frame_owner owner, paddr_t *out)
{
    ASSERT_MAY_ALLOCATE();
    if (fail_here("a frame below a limit"))
        return ERR_NOMEM;
    u32 end = (u32)MIN(limit >> PAGE_SHIFT, (u64)FRAME_NONE);
    u32 n = frame_buddy_take_below(end, FRAME_4K, FRAME_USED);
    if (n == FRAME_NONE) {
        frame_drain_cache();
        n = frame_buddy_take_below(end, FRAME_4K, FRAME_USED);
    }
    return hand_out(n, owner, out);
}

static NORETURN COLD void bad_free(paddr_t p, const char *why, const struct frame *f)
{
    if (!f)
        panic("frame %llx freed: %s", (unsigned long long)p.v, why);
    panic("frame %llx freed: %s (owner %u, generation %u, order %u, %u mappings)", (unsigned long long)p.v,
          why, f->owner, f->generation, f->order, f->mappings);
}

void frame_free(paddr_t p)
{
    ASSERT_MAY_ALLOCATE();
    struct frame *f = frame_of(p);
    if (unlikely(!f))
        bad_free(p, "it is not the allocator's", NULL);
    if (unlikely(!IS_ALIGNED(p.v, PAGE_SIZE)))
        bad_free(p, "this is not its start", f);
    frame_free_known(f, p);
}

void frame_free_known(struct frame *f, paddr_t p)
{
    /* By exchange: of two CPUs that free it at the same time, one is told. */
    u8 state = atomic_xchg(&f->state, (u8)FRAME_CACHED);
    if (unlikely(state != FRAME_USED))
        bad_free(p, state == FRAME_TAIL ? "it is inside a larger block" : "it is free already", f);
    if (unlikely(atomic_load_relaxed(&f->mappings)))
        bad_free(p, "it is still mapped", f);

    u32 n = frame_number(p);
    tlb_ghost_free(n, 1u << f->order);
    frame_poison(p, f->order);
    if (likely(f->order == FRAME_4K)) {
        frame_cache_give(n);
        return;
    }
    for (u32 i = 1; i < 1u << f->order; i++)
        if (unlikely(atomic_load_relaxed(&frame_at(n + i)->mappings)))
            bad_free(frame_address(n + i), "it is still mapped, and the block around it goes",
                     frame_at(n + i));
    frame_buddy_give(n, f->order);
}

void frame_split(paddr_t p)
{
    struct frame *f = frame_of(p);
    ASSERT(f && f->state == FRAME_USED && IS_ALIGNED(p.v, PAGE_SIZE),
           "an allocated block is split by its owner");
    u32 n = frame_number(p), frames = 1u << f->order;
    for (u32 i = 1; i < frames; i++) {
        struct frame *single = frame_at(n + i);
        single->generation++;
        single->owner = f->owner;
        single->order = FRAME_4K;
        atomic_store_relaxed(&single->state, (u8)FRAME_USED);
    }
    f->order = FRAME_4K;
}

bool frame_join(paddr_t p)
{
    struct frame *f = frame_of(p);
    u32 n = frame_number(p);
    if (!f || !IS_ALIGNED(p.v, PAGE_SIZE << FRAME_2M))
        return false;
    for (u32 i = 0; i < FRAME_BLOCK_MAX; i++) {
        struct frame *single = frame_at(n + i);
        if (single->state != FRAME_USED || single->order != FRAME_4K || single->owner != f->owner)
            return false;
    }
    for (u32 i = 1; i < FRAME_BLOCK_MAX; i++)
        atomic_store_relaxed(&frame_at(n + i)->state, (u8)FRAME_TAIL);
    f->order = FRAME_2M;
    return true;
}

struct frame_stats frame_stats(void)
{
    struct frame_stats s = {.cached = frame_cache_count()};
    frame_buddy_count(&s.total, &s.free);
    s.free += s.cached;
    return s;
}
