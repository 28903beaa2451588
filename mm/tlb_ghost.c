#include "mm/tlb_ghost.h"

#if TLB_GHOST

#include "lib/assert.h"
#include "lib/atomic.h"
#include "mm/frame_internal.h"
#include "mm/kmap.h"
#include "mm/pte.h"
#include "mm/respond.h"
#include "mm/space.h"

/* What an entry was. Found by a key in one place of a book; a later one with the same place replaces it. */
struct ghost {
    u32 version; /* odd: being written */
    bool table, control;
    u64 key;
    const struct space *space; /* compared only, unless a CPU has it loaded */
    u64 id;
    vaddr_t va;
    u32 frame;
    tlb_gen_t gen; /* the change that took it away */
};
#define BOOK 4096u
static struct ghost by_frame[BOOK], by_page[BOOK];

static struct ghost *place(struct ghost *book, u64 key)
{
    return &book[(key * 0x9e3779b97f4a7c15ull) >> 52];
}
_Static_assert(BOOK == 1u << (64 - 52), "the upper bits of the product are the index");

static u64 page_key(u64 id, vaddr_t va)
{
    return id * 0x100000001b3ull ^ va >> PAGE_SHIFT;
}

static void write(struct ghost *book, u64 key, const struct ghost *from)
{
    struct ghost *g = place(book, key);
    u32 version = atomic_load_relaxed(&g->version);
    if ((version & 1) || !atomic_cmpxchg(&g->version, &version, version + 1))
        return; /* another CPU writes here at this moment: one of the two is lost */
    atomic_store_relaxed(&g->key, key);
    g->table = from->table;
    g->control = from->control;
    g->space = from->space;
    g->id = from->id;
    g->va = from->va;
    g->frame = from->frame;
    g->gen = from->gen;
    /* orders: the record before its version; pairs with: mm/tlb_ghost.c:read (acquire); else: half of another would be judged. */
    atomic_store_release(&g->version, version + 2);
}

static bool read(struct ghost *book, u64 key, struct ghost *out)
{
    const struct ghost *g = place(book, key);
    if (atomic_load_relaxed(&g->key) != key)
        return false;
    /* orders: the version before the record; pairs with: mm/tlb_ghost.c:write (release); else: as there. */
    u32 version = atomic_load_acquire(&g->version);
    *out = *g;
    compiler_barrier();
    return !(version & 1) && out->key == key && out->gen && atomic_load_relaxed(&g->version) == version;
}

/* NULL: these tables are not a space's, or it is too early. */
static struct space *space_of(const struct pt *pt)
{
    if (pt == &kernel_pt)
        return kernel_space.id ? &kernel_space : NULL;
    struct space *s = container_of(pt, struct space, pt);
    return pt->pool == &s->pool && pt->pool->retire == kernel_space.pool.retire ? s : NULL;
}

static void gone(const struct pt *pt, vaddr_t va, paddr_t pa, bool table)
{
    struct space *s = space_of(pt);
    /* What kmap takes back without a ticket, it takes back while one CPU is online: mm/kmap_area.c. */
    if (!s || (s == &kernel_space && !s->at_work))
        return;
    struct ghost g = {.table = table,
                      .control = s->at_work && s->at_work->asked->control,
                      .space = s,
                      .id = s->id,
                      .va = va,
                      .frame = frame_number(pa),
                      .gen = atomic_load_relaxed(&s->gen) + 1};
    if (table)
        atomic_store_relaxed(&s->tables_gone, g.gen);
    else
        write(by_page, page_key(s->id, va), &g);
    write(by_frame, g.frame, &g);
}

void tlb_ghost_leaf_gone(const struct pt *pt, vaddr_t va, u32 level, u64 old)
{
    gone(pt, ALIGN_DOWN(va, 1ull << pt_shift(level)), pte_page(old, level), false);
}

void tlb_ghost_table_gone(const struct pt *pt, vaddr_t va, paddr_t table)
{
    gone(pt, va, table, true);
}

/* May CPU c use what g was? Asked when the books say that nobody may. */
static bool may_use(const struct ghost *g, cpu_t c)
{
    const struct space *s = g->space;
    bool kernel = s == &kernel_space;
    if (!tlb_record_may_hold(c, g->id, g->gen, g->table))
        return false;
    if (g->table)
        return true;
    /* A borrowed root: nobody touches memory of ring 3. It is not dead while it is loaded. */
    if (!kernel && atomic_load_relaxed(&per_cpu(tlb_loaded, c)) != s)
        return false;
    if (tlb_published_by_nmi(&s->cpu[c], g->gen, kernel ? TLB_FLUSHED : TLB_ENTERED))
        return false;
    /* In the handler, or bound to flush before it touches memory of ring 3 again. */
    return kernel || !tlb_published(&s->cpu[c], g->gen, TLB_ENTERED);
}

static NORETURN COLD void found(const struct ghost *g, cpu_t c, const char *what)
{
    panic("ghost TLB: %s, and CPU %u may still have %s %llx -> frame %llx of space %llu: it went with "
          "generation %llu, which no flush "
          "there has covered (policy %s)",
          what, c, g->table ? "the table of" : "the page", (unsigned long long)g->va,
          (unsigned long long)frame_address(g->frame).v, (unsigned long long)g->id,
          (unsigned long long)g->gen, shootdown_policy()->name);
}

static void look(const struct ghost *g, const char *what)
{
    if (g->control)
        return;
    /* A CPU that is coming up is online before it is in the kernel's space, and flushes in between (mm/space_load.c). */
    CPUMASK_FOREACH (c, g->space == &kernel_space ? &kernel_space.active : &cpus_online)
        /* Twice: it may be on its way out of the space, or into it, at the first look. */
        if (may_use(g, c) && may_use(g, c))
            found(g, c, what);
}

void tlb_ghost_leaf_comes(const struct pt *pt, vaddr_t va, u32 level, u64 leaf)
{
    const struct space *s = space_of(pt);
    struct ghost g;
    if (s && read(by_page, page_key(s->id, va), &g) && g.id == s->id && g.va == va &&
        g.frame != frame_number(pte_page(leaf, level)))
        look(&g, "another page is mapped in its place");
}

void tlb_ghost_free(u32 first, u32 frames)
{
    struct ghost g;
    for (u32 n = first; n < first + frames; n++)
        if (read(by_frame, n, &g))
            look(&g, "a frame is freed");
}

#endif
