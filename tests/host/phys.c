#include "tests/host/phys.h"

#include "lib/features.h"
#include "mm/layout.h"
#include "tests/host/host.h"

#define PAGES       (PHYS_SIZE / PAGE_SIZE)
#define HISTORY_MAX 65536u

static u8 arena[PHYS_SIZE] __attribute__((aligned(2 << 20)));
static u64 base;
static u32 pages_used;
static bool page_gone[PAGES]; /* retired or freed table pages */
void (*phys_before_access)(const volatile void *p);
__attribute__((weak)) struct cpu_features features = {.page_1g = true, .nx = true, .pge = true};

void *host_phys_to_virt(paddr_t p)
{
    if (p.v < base || p.v - base >= PHYS_SIZE) {
        fprintf(stderr, "physical address %llx was touched, which is not in the arena\n",
                (unsigned long long)p.v);
        abort();
    }
    return &arena[p.v - base];
}

paddr_t host_virt_to_phys(const void *v)
{
    return PADDR((u64)((const u8 *)v - arena) + base);
}
u64 phys_base(void)
{
    return base;
}

static bool in_arena(const volatile void *p)
{
    return (const volatile u8 *)p >= arena && (const volatile u8 *)p < arena + PHYS_SIZE;
}

/* ---- the walker ---- */

static u64 *entry_at(u64 table, vaddr_t va, int shift)
{
    return (u64 *)host_phys_to_virt(PADDR(table & 0x000ffffffffff000ull)) + (va >> shift & 511);
}

static void check_reserved(u64 e, int shift)
{
    bool large = shift == 30 || shift == 21 ? e >> 7 & 1 : false;
    u64 reserved = shift == 39 ? 1ull << 7 : 0;
    if (large)
        reserved |= (1ull << shift) - 1 - 0x1fff; /* bits 13 .. shift-1 */
    if (e & reserved) {
        fprintf(stderr, "entry %llx at shift %d has reserved bits set\n", (unsigned long long)e, shift);
        abort();
    }
}

/* The leaf entry of va, with what all levels grant; NULL: not present. */
static u64 *find_leaf(u64 root, vaddr_t va, int *shift, u64 *granted, bool set_accessed)
{
    u64 table = root;
    *granted = 6 | 1ull << 63;
    for (*shift = 39;; *shift -= 9) {
        u64 *e = entry_at(table, va, *shift);
        if (!(*e & 1))
            return NULL;
        check_reserved(*e, *shift);
        *granted &= (*e & 6) | (*e & 1ull << 63 ? 0 : 1ull << 63); /* bit 63 here: may execute */
        if (set_accessed)
            *e |= 1u << 5;
        if (*shift == 12 || (*shift < 39 && (*e & 1u << 7)))
            return e;
        table = *e;
    }
}

struct phys_translation phys_walk(u64 root, vaddr_t va)
{
    int shift;
    u64 granted;
    const u64 *leaf = find_leaf(root, va, &shift, &granted, false);
    if (!leaf)
        return (struct phys_translation){0};
    u64 in_page = (1ull << shift) - 1;
    u64 pat = shift == 12 ? *leaf >> 7 & 1 : *leaf >> 12 & 1;
    return (struct phys_translation){
        .present = true,
        .pa = (*leaf & 0x000ffffffffff000ull & ~in_page) | (va & in_page),
        .size = 1ull << shift,
        .write = granted & 2,
        .user = granted & 4,
        .exec = granted >> 63,
        .global = *leaf >> 8 & 1,
        .cache = (u32)(pat << 2 | (*leaf >> 3 & 3)),
        .accessed = *leaf >> 5 & 1,
        .dirty = *leaf >> 6 & 1,
    };
}

bool phys_same(const struct phys_translation *a, const struct phys_translation *b)
{
    if (!a->present || !b->present)
        return a->present == b->present;
    return a->pa == b->pa && a->write == b->write && a->user == b->user && a->exec == b->exec &&
           a->global == b->global && a->cache == b->cache;
}

bool phys_touch(u64 root, vaddr_t va, bool write)
{
    int shift;
    u64 granted;
    u64 *leaf = find_leaf(root, va, &shift, &granted, true);
    if (!leaf || (write && !(granted & 2)))
        return false;
    if (write)
        *leaf |= 1u << 6;
    return true;
}

/* ---- history ---- */

static struct phys_write history[HISTORY_MAX];
static u32 history_count;
static bool recording;
static void (*after_write)(const struct phys_write *w);
static const volatile u64 *pending; /* the word that the next access may be changing */
static u64 pending_old;

/* host_sim_point comes before an access, so its effect is seen at the next one. */
static void record_pending(void)
{
    const volatile u64 *p = pending;
    pending = NULL;
    if (!p || *p == pending_old)
        return;
    if (history_count == HISTORY_MAX)
        abort();
    struct phys_write *w = &history[history_count++];
    *w = (struct phys_write){host_virt_to_phys((const void *)p).v, pending_old, *p};
    if (after_write)
        after_write(w);
}

void host_sim_point(const volatile void *p)
{
    if (recording)
        record_pending();
    if (phys_before_access)
        phys_before_access(p);
    if (recording && in_arena(p)) {
        pending = p;
        pending_old = *pending;
    }
}

void phys_history_start(void (*after)(const struct phys_write *w))
{
    history_count = 0;
    pending = NULL;
    after_write = after;
    recording = true;
}

u32 phys_history_stop(void)
{
    record_pending();
    recording = false;
    return history_count;
}

const struct phys_write *phys_history(u32 i)
{
    return i < history_count ? &history[i] : NULL;
}

void phys_reset(u64 new_base)
{
    base = new_base;
    pages_used = 0;
    memset(page_gone, 0, sizeof(page_gone));
    recording = false;
    pending = NULL;
    phys_before_access = NULL;
}

/* ---- table pages ---- */

static err_t pool_alloc(struct pt_pool *pool, paddr_t *out)
{
    struct phys_pool *p = container_of(pool, struct phys_pool, pool);
    if (!p->fail_after || pages_used == PAGES)
        return ERR_NOMEM;
    if (p->fail_after != ~0u)
        p->fail_after--;
    *out = PADDR(base + pages_used++ * PAGE_SIZE);
    memset(host_phys_to_virt(*out), 0, PAGE_SIZE);
    p->allocated++;
    return ERR_OK;
}

static void mark_gone(paddr_t page)
{
    bool *gone = &page_gone[(page.v - base) / PAGE_SIZE];
    HOST_CHECK(!*gone, "table %llx was given back twice", (unsigned long long)page.v);
    *gone = true;
}

static void pool_retire(struct pt_pool *pool, paddr_t page)
{
    container_of(pool, struct phys_pool, pool)->retired++;
    mark_gone(page);
}

static void pool_free(struct pt_pool *pool, paddr_t page)
{
    container_of(pool, struct phys_pool, pool)->freed++;
    mark_gone(page);
}

void phys_pool_init(struct phys_pool *p)
{
    *p = (struct phys_pool){.pool = {pool_alloc, pool_retire, pool_free}, .fail_after = ~0u};
}

void phys_pt_init(struct pt *pt, struct phys_pool *p)
{
    pt->pool = &p->pool;
    if (pool_alloc(&p->pool, &pt->root) != ERR_OK)
        abort();
    p->allocated = 0; /* the root is the tree's owner's, not one of its tables */
}

static u32 tables_below(u64 table, int shift)
{
    u32 n = 1;
    bool gone = page_gone[((table & 0x000ffffffffff000ull) - base) / PAGE_SIZE];
    HOST_CHECK(!gone, "table %llx is still linked after it was given back", (unsigned long long)table);
    const u64 *t = host_phys_to_virt(PADDR(table & 0x000ffffffffff000ull));
    for (u32 i = 0; i < 512; i++)
        if ((t[i] & 1) && shift > 12 && (shift == 39 || !(t[i] & 1u << 7)))
            n += tables_below(t[i], shift - 9);
    return n;
}

u32 phys_tables(u64 root)
{
    return tables_below(root, 39);
}
