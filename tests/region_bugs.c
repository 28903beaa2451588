/* Bugs of other kernels, played on regions: each test is named after one, and would find it here. Every other CPU observes the page
 * (tests/observer.h) while the operation runs, under every policy that claims to be right. */
#include "lib/context.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/pte.h"
#include "mm/region.h"
#include "smp/cpus.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LARGE     (1ull << PT_2M)
#define BUG_VA    (TEST_USER_VA - TEST_USER_VA % LARGE + 128 * GIB)
#define OTHER_VA  (BUG_VA + 4 * LARGE)
#define OLD       0x01d0000000000001ull
#define NEW       0x2e30000000000002ull
#define SETTLE_US 1000u
#define TRIES     64u

struct play {
    struct test *t;
    struct space *s;
    struct observation x;
};
/* One round of a bug under the policy in force. */
typedef void (*bug_fn)(struct play *p);

static void touch(struct play *p, vaddr_t va)
{
    enum fault_result r = region_fault(p->s, va, (struct fault_access){.write = true});
    CHECK(p->t, r == FAULT_RETRY, "the page at %llx does not come in", (unsigned long long)va);
}

static paddr_t frame_at_va(struct play *p, vaddr_t va)
{
    struct pt_entry e = space_query(p->s, va);
    CHECK(p->t, e.present, "nothing at %llx", (unsigned long long)va);
    return paddr_add(e.pa, va & ((1ull << e.size) - 1));
}

static void with_region(struct play *p, u64 bytes, enum pt_size size)
{
    vaddr_t at;
    err_t e = region_map(p->s, BUG_VA, bytes, PT_WRITE, REGION_ZERO, size, &at);
    CHECK(p->t, e == ERR_OK, "region: %s", err_name(e));
}

/* A region of so many pages of 4 KiB, all there. */
static void with_pages(struct play *p, u32 pages)
{
    with_region(p, pages * PAGE_SIZE, PT_4K);
    for (u32 i = 0; i < pages; i++)
        touch(p, BUG_VA + i * PAGE_SIZE);
}

/* A region of one page of 2 MiB, which is there. False: no block of memory is free. */
static bool with_large_page(struct play *p)
{
    with_region(p, LARGE, PT_2M);
    touch(p, BUG_VA);
    return space_query(p->s, BUG_VA).size == PT_2M;
}

/* A page that stays, so that no table goes with what is unmapped beside it: freed tables are a flush of everything. */
static void with_neighbour(struct play *p, vaddr_t va)
{
    vaddr_t at;
    err_t e = region_map(p->s, va, PAGE_SIZE, PT_WRITE, REGION_ZERO, PT_4K, &at);
    CHECK(p->t, e == ERR_OK, "neighbour: %s", err_name(e));
    touch(p, va);
}

static void begin(struct play *p, vaddr_t va, enum observe_use use)
{
    p->x = (struct observation){.space = p->s, .va = va, .use = use, .before = OLD};
    if (use == OBSERVE_READ)
        observe_fill(frame_at_va(p, va), OLD);
    CHECK(p->t, observers_start(&p->x), "%s", p->x.broken);
}

/* What a policy defers is kept from reuse until it has settled: only then may it be taken. */
static void settle(struct play *p)
{
    if (shootdown_policy_defers(shootdown_policy()))
        shootdown_settle(p->s, SETTLE_US);
}

/* The frame's new owner fills it, if it can be had: what is released is on top of some CPU's cache. */
static void reuse(struct play *p, paddr_t wanted)
{
    paddr_t got[TRIES];
    u32 n = 0;
    settle(p);
    for (; n < TRIES && frame_alloc(FRAME_OWNER_TEST, &got[n]) == ERR_OK; n++)
        if (got[n].v == wanted.v)
            observe_fill(wanted, NEW);
    while (n)
        frame_free(got[--n]);
}

/* The same for a frame of a block of 2 MiB. */
static void reuse_large(struct play *p, paddr_t wanted)
{
    paddr_t block;
    settle(p);
    if (frame_alloc_order(FRAME_2M, FRAME_OWNER_TEST, &block) != ERR_OK)
        return;
    if (block.v == ALIGN_DOWN(wanted.v, LARGE))
        observe_fill(wanted, NEW);
    frame_free(block);
}

static void end(struct play *p)
{
    observers_changed(&p->x);
    observers_finish(&p->x);
    CHECK(p->t, !p->x.broken, "policy %s: %s", shootdown_policy()->name, p->x.broken);
    CHECK(p->t, !p->x.violations, "policy %s: %llu stale uses, the first on CPU %u, which reached %llx",
          shootdown_policy()->name, (unsigned long long)p->x.violations, p->x.cpu,
          (unsigned long long)p->x.found);
}

static void play(struct test *t, bug_fn fn)
{
    u32 policies = 0;
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    TABLE_FOREACH (policy, struct shootdown_policy, policy) {
        const struct shootdown_policy *before;
        struct play p = {.t = t};
        if (!POLICY_USABLE(policy) || !policy_use(t, policy->name, &before))
            continue;
        if (CHECK(t, space_create(&p.s) == ERR_OK, "no space")) {
            fn(&p);
            region_destroy_all(p.s);
            space_destroy(p.s);
            policies++;
        }
        policy_restore(t, before);
    }
    test_note(t, "%u policies, %u CPUs", policies, cpu_online_count());
    if (!oracle.read)
        test_blind(t, "a missing flush would not show on this machine");
}

#define BUG(name, round, what)                                                                               \
    static void name(struct test *t)                                                                         \
    {                                                                                                        \
        play(t, round);                                                                                      \
    }                                                                                                        \
    TEST(name, what)

/* Linux flushed after the lock of the moved pages was dropped: another CPU could unmap them at the new place, and free them, while
 * others still wrote to them through the old one. */
static void mremap(struct play *p)
{
    with_pages(p, 2);
    with_neighbour(p, OTHER_VA + PAGE_SIZE);
    begin(p, BUG_VA, OBSERVE_READ);
    paddr_t frame = frame_at_va(p, BUG_VA);
    err_t e = region_move(p->s, BUG_VA, PAGE_SIZE, OTHER_VA);
    CHECK(p->t, e == ERR_OK, "move: %s", err_name(e));
    CHECK(p->t, frame_at_va(p, OTHER_VA).v == frame.v, "it is not the page that has moved");
    e = region_unmap(p->s, OTHER_VA, OTHER_VA + PAGE_SIZE);
    CHECK(p->t, e == ERR_OK, "unmap: %s", err_name(e));
    reuse(p, frame);
    end(p);
}
BUG(bug_mremap_cve_2018_18281, mremap,
    "a moved page, unmapped at its new place at once: nobody reaches its frame by the old");

/* FreeBSD demoted and promoted a large page, and later flushed only the first 4 KiB of it: small entries of the rest stayed. */
static void superpage(struct play *p)
{
    vaddr_t last = BUG_VA + LARGE - PAGE_SIZE;
    if (!with_large_page(p))
        return;
    err_t e = region_protect(p->s, BUG_VA, BUG_VA + PAGE_SIZE, PT_READ);
    CHECK(p->t, e == ERR_OK && space_query(p->s, last).size == PT_4K, "demotion: %s", err_name(e));
    begin(p, last, OBSERVE_READ); /* a small entry on each CPU */
    e = region_protect(p->s, BUG_VA, BUG_VA + PAGE_SIZE, PT_WRITE);
    CHECK(p->t, e == ERR_OK, "protect: %s", err_name(e));
    e = region_merge(p->s, BUG_VA);
    CHECK(p->t, e == ERR_OK && space_query(p->s, last).size == PT_2M, "promotion: %s", err_name(e));
    paddr_t frame = frame_at_va(p, last);
    e = region_discard(p->s, BUG_VA, BUG_VA + LARGE);
    CHECK(p->t, e == ERR_OK, "discard: %s", err_name(e));
    reuse_large(p, frame);
    end(p);
}
BUG(bug_freebsd_superpage, superpage,
    "demoted, cached, promoted, given back: the last small page's entries are gone too");

/* The same where a range has both: a large page, and small ones that were one. Nobody may take the steps of the larger. */
static void superpage_range(struct play *p)
{
    vaddr_t small = BUG_VA + LARGE, observed = small + 5 * PAGE_SIZE;
    with_region(p, 2 * LARGE, PT_2M);
    touch(p, BUG_VA);
    touch(p, small);
    if (space_query(p->s, BUG_VA).size != PT_2M || space_query(p->s, small).size != PT_2M)
        return;
    err_t e = region_protect(p->s, small, small + PAGE_SIZE, PT_READ);
    CHECK(p->t, e == ERR_OK && space_query(p->s, observed).size == PT_4K, "demotion: %s", err_name(e));
    e = region_protect(p->s, small, small + PAGE_SIZE, PT_WRITE); /* one region again, of both sizes */
    CHECK(p->t, e == ERR_OK, "protect: %s", err_name(e));
    begin(p, observed, OBSERVE_READ);
    e = region_discard(p->s, BUG_VA, BUG_VA + 2 * LARGE);
    CHECK(p->t, e == ERR_OK, "discard: %s", err_name(e));
    end(p);
}
BUG(bug_freebsd_superpage_and_small, superpage_range,
    "a large page, and small ones behind it, given back together: each small page's entries are gone");

/* Linux unmapped huge pages without the flush (CVE-2021-4002). */
static void hugetlb(struct play *p)
{
    vaddr_t inside = BUG_VA + 300 * PAGE_SIZE;
    if (!with_large_page(p))
        return;
    with_neighbour(p, OTHER_VA);
    begin(p, inside, OBSERVE_READ); /* the large entry on each CPU */
    paddr_t frame = frame_at_va(p, inside);
    err_t e = region_unmap(p->s, BUG_VA, BUG_VA + LARGE);
    CHECK(p->t, e == ERR_OK, "unmap: %s", err_name(e));
    reuse_large(p, frame);
    end(p);
}
BUG(bug_hugetlb_cve_2021_4002, hugetlb, "an unmapped 2 MiB page: nobody reaches the middle of it");

/* Redox freed the frame of an unmapped page without waiting: programs ran into its next owner's zeros. */
static void frame_reuse(struct play *p)
{
    with_pages(p, 2);
    begin(p, BUG_VA, OBSERVE_READ);
    paddr_t frame = frame_at_va(p, BUG_VA);
    err_t e = region_discard(p->s, BUG_VA, BUG_VA + PAGE_SIZE);
    CHECK(p->t, e == ERR_OK, "discard: %s", err_name(e));
    reuse(p, frame);
    end(p);
}
BUG(bug_redox_mr_282, frame_reuse,
    "a discarded page's frame with a new owner: nobody reads that one's content");

/* A clone that write-protects, and returns before others have forgotten that they may write: their writes land in what is the copy's
 * too. And the same between the copy of a page and its use (Horn's report on copy-on-write). */
static void write_after_clone(struct play *p)
{
    struct space *copy;
    static u64 at_return[OBSERVE_WORDS];
    with_pages(p, 1);
    REQUIRE(p->t, space_create(&copy) == ERR_OK, "no space");
    begin(p, BUG_VA, OBSERVE_WRITE);
    err_t e = region_clone(p->s, copy);
    CHECK(p->t, e == ERR_OK, "clone: %s", err_name(e));
    const u64 *word = phys_to_virt(space_query(copy, BUG_VA).pa);
    for (u32 i = 0; i < OBSERVE_WORDS; i++)
        at_return[i] = atomic_load_relaxed(&word[i]);
    end(p);
    for (u32 i = 0; i < OBSERVE_WORDS; i++)
        if (!CHECK(p->t, atomic_load_relaxed(&word[i]) == at_return[i],
                   "policy %s: a write of CPU %u landed in the copy", shootdown_policy()->name, i))
            break;
    region_destroy_all(copy);
    space_destroy(copy);
}
BUG(bug_write_after_clone, write_after_clone,
    "no write through an entry from before lands in a copy-on-write copy");

/* The other side: a reader of the original frame must see the copy as soon as the fault that made it has returned. */
static void read_after_copy(struct play *p)
{
    struct space *copy;
    with_pages(p, 1);
    REQUIRE(p->t, space_create(&copy) == ERR_OK, "no space");
    observe_fill(frame_at_va(p, BUG_VA), OLD);
    err_t e = region_clone(p->s, copy);
    CHECK(p->t, e == ERR_OK, "clone: %s", err_name(e));
    p->x =
        (struct observation){.space = p->s, .va = BUG_VA, .use = OBSERVE_READ, .before = OLD, .after = NEW};
    CHECK(p->t, observers_start(&p->x), "%s", p->x.broken);
    touch(p, BUG_VA);
    const u64 *kept = phys_to_virt(space_query(copy, BUG_VA).pa);
    CHECK(p->t, frame_at_va(p, BUG_VA).v != space_query(copy, BUG_VA).pa.v, "it was not copied");
    for (u32 i = 0; i < OBSERVE_WORDS; i++)
        atomic_store_relaxed(&((u64 *)phys_to_virt(frame_at_va(p, BUG_VA)))[i], NEW);
    end(p);
    CHECK(p->t, kept[5] == OLD, "the other copy has changed");
    region_destroy_all(copy);
    space_destroy(copy);
}
BUG(bug_read_after_copy, read_after_copy,
    "every CPU finds the page's copy when the fault that made it has returned");

/* Linux freed page tables before the shootdown when memory was short (Horn 2018): the table is the one free frame here, is taken at
 * once, and filled with entries that lead to a canary. */
static void tables_under_pressure(struct play *p)
{
    u64 *chain = NULL, taken = 0;
    paddr_t canary, table, f;
    with_pages(p, 1);
    REQUIRE(p->t, frame_alloc(FRAME_OWNER_TEST, &canary) == ERR_OK, "no frame");
    observe_fill(canary, NEW);
    begin(p, BUG_VA, OBSERVE_READ);
    for (u32 order = FRAME_2M + 1; order--;)
        while (frame_alloc_order(order, FRAME_OWNER_TEST, &f) == ERR_OK) {
            u64 *word = phys_to_virt(f);
            *word = (u64)chain;
            chain = word;
            taken++;
        }
    err_t e = region_unmap(p->s, BUG_VA, BUG_VA + PAGE_SIZE);
    CHECK(p->t, e == ERR_OK, "unmapping needs memory: %s", err_name(e));
    settle(p);
    u32 got = 0;
    while (frame_alloc(FRAME_OWNER_TEST, &table) == ERR_OK) {
        u64 *word = phys_to_virt(table);
        for (u32 i = 1; i < PT_ENTRIES; i++)
            atomic_store_relaxed(&word[i], pte_make_leaf(canary, 0, PT_WRITE));
        *word = (u64)chain;
        chain = word;
        got++;
    }
    /* What was put off may have been given back by another CPU, to its own cache. */
    CHECK(p->t, got >= 4 || shootdown_policy_defers(shootdown_policy()),
          "%u frames came back: the page and its three tables are 4", got);
    observers_changed(&p->x);
    observers_finish(&p->x);
    while (chain) {
        u64 *next = (u64 *)*chain;
        frame_free(virt_to_phys(chain));
        chain = next;
    }
    frame_free(canary);
    CHECK(p->t, taken > 0 && !p->x.broken && !p->x.violations, "policy %s: CPU %u reached %llx",
          shootdown_policy()->name, p->x.cpu, (unsigned long long)p->x.found);
}
BUG(bug_tables_under_pressure, tables_under_pressure,
    "the last free frame was a page table: nobody walks it after it has a new owner");
