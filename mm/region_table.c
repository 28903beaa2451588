/* The table of a space's regions: sorted, disjoint. Nothing here touches a page table. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "mm/region_internal.h"

COUNTER(region_waits, "operations that waited for a region on its way");

/* For a region that is moved or unmapped by another CPU: as long as a change may stay in flight (mm/ticket.c). */
#define GOING_LIMIT_MS 60000u

u32 region_index(const struct region_table *t, vaddr_t va)
{
    u32 low = 0, high = t ? t->count : 0;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (t->r[middle].end > va)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool region_covers(const struct region_table *t, vaddr_t start, vaddr_t end)
{
    for (u32 i = region_index(t, start); t && i < t->count && t->r[i].start <= start; i++) {
        start = t->r[i].end;
        if (start >= end)
            return true;
    }
    return false;
}

static bool is_inside(const struct region_table *t, vaddr_t va)
{
    u32 i = region_index(t, va);
    return t && i < t->count && t->r[i].start < va;
}

bool region_can_cut(const struct region_table *t, vaddr_t start, vaddr_t end)
{
    return !t || t->count + is_inside(t, start) + is_inside(t, end) <= REGIONS_MAX;
}

/* Makes a hole of one entry at i. */
static void open_up(struct region_table *t, u32 i)
{
    ASSERT(t->count < REGIONS_MAX, "whoever adds a region has looked whether there is room");
    for (u32 j = t->count++; j > i; j--)
        t->r[j] = t->r[j - 1];
}

/* Takes n entries out from i on. Those beyond the last are empty ones: region_at relies on it. */
static void close_up(struct region_table *t, u32 i, u32 n)
{
    t->count -= n;
    for (; i < t->count; i++)
        t->r[i] = t->r[i + n];
    for (; n; n--, i++)
        t->r[i] = (struct region){0};
}

static void cut_at(struct region_table *t, vaddr_t va)
{
    if (!is_inside(t, va))
        return;
    u32 i = region_index(t, va);
    open_up(t, i);
    t->r[i].end = va; /* open_up has left a copy of it at i + 1 */
    t->r[i + 1].start = va;
}

void region_cut(struct region_table *t, vaddr_t start, vaddr_t end)
{
    cut_at(t, start);
    cut_at(t, end);
}

void region_insert(struct region_table *t, const struct region *r)
{
    u32 i = region_index(t, r->start);
    DEBUG_ASSERT(i == t->count || t->r[i].start >= r->end, "regions are disjoint");
    open_up(t, i);
    t->r[i] = *r;
}

void region_remove(struct region_table *t, vaddr_t start, vaddr_t end)
{
    u32 first = region_index(t, start), i = first;
    while (i < t->count && t->r[i].end <= end)
        i++;
    close_up(t, first, i - first);
}

/* Fixed regions and those on their way belong to somebody who knows their ends. */
static bool are_one(const struct region *a, const struct region *b)
{
    return a->end == b->start && a->kind == REGION_ZERO && b->kind == REGION_ZERO && a->prot == b->prot &&
           a->page_size == b->page_size && a->cow == b->cow;
}

void region_join(struct region_table *t, vaddr_t start, vaddr_t end)
{
    u32 i = region_index(t, start);
    for (i -= i > 0; i + 1 < t->count && t->r[i].start < end;)
        if (are_one(&t->r[i], &t->r[i + 1])) {
            t->r[i].end = t->r[i + 1].end;
            close_up(t, i + 1, 1);
        } else {
            i++;
        }
}

static bool is_going(const struct space *s, vaddr_t start, vaddr_t end)
{
    const struct region_table *t = s->regions;
    for (u32 i = region_index(t, start); t && i < t->count && t->r[i].start < end; i++)
        if (t->r[i].kind == REGION_GOING)
            return true;
    return false;
}

/* Whoever moves or unmaps it is in the kernel on another CPU, is not preempted there, and waits for nobody who waits here. */
static COLD void wait_until_gone(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end,
                                 bool adding)
{
    struct wait w = WAIT("a region on its way", wait_ms(GOING_LIMIT_MS));
    counter_inc(region_waits);
    do {
        ticket_close(t, TLB_NONE, NULL);
        if (!wait_spin(&w))
            panic("%s, %llx to %llx, has not arrived in over %u s", w.what, (unsigned long long)start,
                  (unsigned long long)end, GOING_LIMIT_MS / 1000);
        if (adding)
            ticket_open_adding(t, s, start, end);
        else
            ticket_open(t, s, start, end);
    } while (is_going(s, start, end));
}

void region_open(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    ticket_open(t, s, start, end);
    if (unlikely(is_going(s, start, end)))
        wait_until_gone(t, s, start, end, false);
}

void region_open_adding(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    ticket_open_adding(t, s, start, end);
    if (unlikely(is_going(s, start, end)))
        wait_until_gone(t, s, start, end, true);
}

void region_lock(struct space *s)
{
    preempt_disable();
    spin_lock(&s->lock);
}

void region_unlock(struct space *s)
{
    spin_unlock(&s->lock);
    preempt_enable();
}

err_t region_check_range(vaddr_t start, vaddr_t end)
{
    if (!IS_ALIGNED(start | end, PAGE_SIZE) || start >= end)
        return ERR_INVAL;
    /* The last page stays free: SYSCALL in its last bytes would return to an address that is not canonical. */
    return start >= USER_START && end <= USER_END - PAGE_SIZE ? ERR_OK : ERR_RANGE;
}

bool region_query(struct space *s, vaddr_t va, struct region *out)
{
    region_lock(s);
    const struct region *r = region_at(s, va);
    if (r)
        *out = *r;
    region_unlock(s);
    return r != NULL;
}
