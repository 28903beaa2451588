/* Which stack a guard page belongs to, so that an overflow is reported by name. Entries are only added: the reader
 * is a double-fault handler, which can wait for nobody. */
#include <stdarg.h>

#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/kmap.h"
#include "mm/kmap_internal.h"

struct guard {
    vaddr_t page; /* 0: not there yet */
    char name[24];
};

/* Every CPU has four stacks (kernel, NMI, double fault, machine check); as many again for what tests want, and the boot
 * stack. The threads' stacks are an area. */
#define GUARDS_MAX (8 * MAX_CPUS + 1)
static struct guard guards[GUARDS_MAX];
static u32 guard_count; /* slots taken; may run past GUARDS_MAX when it is full */

static struct guard *find(vaddr_t page)
{
    u32 n = MIN(atomic_load_relaxed(&guard_count), GUARDS_MAX);
    for (u32 i = 0; i < n; i++) {
        /* orders: the page before the name; pairs with: mm/kmap_guard.c:kmap_add_guard (release);
         * else: an overflow on another CPU could be reported with a name of zeros. */
        if (atomic_load_acquire(&guards[i].page) == page)
            return &guards[i];
    }
    return NULL;
}

static err_t add(vaddr_t page, const char *name)
{
    u32 slot = atomic_fetch_add(&guard_count, 1);
    if (slot >= GUARDS_MAX) {
        atomic_fetch_sub(&guard_count, 1);
        return ERR_FULL;
    }
    string_copy(guards[slot].name, sizeof(guards[slot].name), name);
    /* orders: the name before the page that makes it found; pairs with: mm/kmap_guard.c:find (acquire);
     * else: an overflow on another CPU could be reported with a name of zeros. */
    atomic_store_release(&guards[slot].page, page);
    return ERR_OK;
}

err_t kmap_add_guard(vaddr_t guard)
{
    return add(guard, "unnamed");
}

void kmap_name_guard(vaddr_t guard, const char *name)
{
    struct guard *g = find(guard);
    if (g)
        string_copy(g->name, sizeof(g->name), name);
    else if (add(guard, name) != ERR_OK)
        log_warn("no room to name the guard page of the %s stack", name);
}

void kmap_name_stack(u64 stack_top, const char *fmt, ...)
{
    char name[sizeof(guards[0].name)];
    va_list ap;
    va_start(ap, fmt);
    vformat(name, sizeof(name), fmt, ap);
    va_end(ap);
    kmap_name_guard(stack_top - KSTACK_SIZE - PAGE_SIZE, name);
}

/* Stacks that lie in a row: the first page of each stride is its guard. Written once. */
static struct {
    vaddr_t start;
    u64 stride;
    u32 count;
    const char *name;
} area;

void kmap_guard_area(vaddr_t start, u64 stride, u32 count, const char *name)
{
    area.name = name;
    area.stride = stride;
    area.count = count;
    /* orders: all else before the start that makes it found; pairs with: mm/kmap_guard.c:kmap_guard_name (acquire); else: an
     * overflow on another CPU could be looked up in half an area. */
    atomic_store_release(&area.start, start);
}

const char *kmap_guard_name(vaddr_t va)
{
    /* orders: the rest after the start; pairs with: mm/kmap_guard.c:kmap_guard_area (release); else: see there. */
    vaddr_t start = atomic_load_acquire(&area.start);
    if (start && va >= start && va < start + area.count * area.stride)
        return (va - start) % area.stride < PAGE_SIZE ? area.name : NULL;
    struct guard *g = va ? find(ALIGN_DOWN(va, PAGE_SIZE)) : NULL;
    return g ? g->name : NULL;
}
