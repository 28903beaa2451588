/* Page-table isolation: what ring 3's roots map, that they follow the space, and that no flush of them is lost. With pti=off
 * all of it is skipped. Under pti=on every other self test runs too where there are no PCIDs (tests/faults/pti-on.json); with
 * PCIDs, those that concern spaces, flushes and the ways in and out (pti-pcid.json, pti-invpcid-off.json). No emulator tags entries
 * by PCID, so none would show a flush of the wrong one: which flush reaches which PCID is for tests/host/isolation_test.c. */
#include "kernel/gdt.h"
#include "kernel/trap.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/image.h"
#include "mm/frame.h"
#include "mm/isolation.h"
#include "mm/layout.h"
#include "mm/pcid.h"
#include "mm/pte.h"
#include "mm/respond.h"
#include "smp/cpus.h"
#include "tests/ring3.h"
#include "tests/window.h"

#define FAR_VA (TEST_USER_VA + (1ull << 39)) /* another entry of the root */

extern const char ring3_read[];

static bool skip_without_pti(struct test *t)
{
    if (!features.pti)
        test_skip(t, "needs pti=on");
    return !features.pti;
}

struct entry_pages {
    struct test *t;
    u32 text, idt, cpu_heads, others;
};

static bool is_cpu_head(vaddr_t page)
{
    for (cpu_t c = 0; c < cpu_count(); c++)
        if (page == ALIGN_DOWN(percpu_base[c], PAGE_SIZE))
            return true;
    return false;
}

static bool look_at_page(void *arg, vaddr_t va, const struct pt_entry *e)
{
    struct entry_pages *p = arg;
    CHECK(p->t, e->size == PT_4K && !(e->prot & (PT_USER | PT_GLOBAL)), "%llx: rights %x, size 2^%u",
          (unsigned long long)va, e->prot, e->size);
    CHECK(p->t, (e->prot & (PT_WRITE | PT_EXEC)) != (PT_WRITE | PT_EXEC), "%llx is writable and executable",
          (unsigned long long)va);
    struct pt_entry kernel = pt_walk(&kernel_space.pt, va);
    CHECK(p->t, kernel.present && kernel.pa.v + (va & ((1ull << kernel.size) - 1)) == e->pa.v,
          "%llx is another page than the kernel's", (unsigned long long)va);
    if (va >= (u64)kernel_entry_start && va < (u64)kernel_entry_end)
        p->text++;
    else if (is_cpu_head(va))
        p->cpu_heads++;
    else if (va >= KERNEL_BASE)
        p->idt++;
    else
        p->others++;
    return true;
}

static void pti_maps_only_the_entry(struct test *t)
{
    struct space *s;
    if (skip_without_pti(t))
        return;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    struct entry_pages p = {.t = t};
    struct pt user = {.root = s->user_root};
    pt_for_each(&user, KERNEL_HALF, 0, look_at_page, &p);
    u32 text = (u32)((u64)(kernel_entry_end - kernel_entry_start) / PAGE_SIZE);
    CHECK(t, p.text == text, "%u pages of entry code, expected %u", p.text, text);
    CHECK(t, p.idt == 1, "%u other pages of the kernel image, expected the IDT alone", p.idt);
    CHECK(t, p.cpu_heads == cpu_count(), "%u heads of per-CPU blocks for %u CPUs", p.cpu_heads, cpu_count());
    CHECK(t, p.others == 3 * cpu_count(), "%u further pages, expected 3 stacks for each CPU", p.others);
    CHECK(t, !pt_walk(&user, DIRECT_MAP_BASE + 2 * MIB).present, "the direct map is there");
    CHECK(t, !pt_walk(&user, (u64)kernel_data_start).present, "the kernel's data are there");
    test_note(t, "%u pages: %u code, 1 IDT, %u for each CPU", p.text + p.idt + p.cpu_heads + p.others, p.text,
              4u);
    space_destroy(s);
}
TEST(pti_maps_only_the_entry,
     "of the kernel, ring 3's root maps the entry code, the IDT, and four pages of each CPU");

static void pti_hides_the_kernel(struct test *t)
{
    static u64 data = 7;
    const vaddr_t hidden[] = {(u64)kernel_entry_end, (u64)kernel_rodata_start, (u64)&data,
                              DIRECT_MAP_BASE + 2 * MIB, percpu_base[0] + PAGE_SIZE};
    struct ring3 r;
    if (skip_without_pti(t))
        return;
    if (ring3_open(t, &r))
        for (u32 i = 0; i < ARRAY_SIZE(hidden); i++) {
            struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_read));
            f.rax = hidden[i];
            CHECK(t, space_query(r.space, hidden[i]).present, "%llx is not mapped in the kernel either",
                  (unsigned long long)hidden[i]);
            ring3_run(&r, &f);
            CHECK(t, f.vector == EXC_PAGE_FAULT && !(f.error & PF_PRESENT),
                  "read of %llx: %s, error %llx: the page is mapped while ring 3 runs",
                  (unsigned long long)hidden[i], trap_name(f.vector), (unsigned long long)f.error);
        }
    ring3_close(&r);
}
TEST(pti_hides_the_kernel, "to ring 3 the kernel's pages are not closed, but absent");

static bool roots_agree(const struct space *s)
{
    const u64 *kernel = phys_to_virt(s->pt.root), *user = phys_to_virt(s->user_root);
    for (u32 i = 0; i < pt_index(KERNEL_HALF, PT_LEVEL_ROOT); i++)
        if ((kernel[i] ^ user[i]) & ~PTE_ACCESSED)
            return false;
    return true;
}

static void pti_follows_the_space(struct test *t)
{
    struct space *s;
    if (skip_without_pti(t))
        return;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    struct pt user = {.root = s->user_root};
    CHECK(t, space_map_fresh(s, TEST_USER_VA, 1, PT_WRITE | PT_USER, FRAME_OWNER_TEST) == ERR_OK, "map");
    CHECK(t, space_map_fresh(s, FAR_VA, 1, PT_WRITE | PT_USER, FRAME_OWNER_TEST) == ERR_OK, "map");
    CHECK(t, pt_walk(&user, FAR_VA).present && roots_agree(s), "a mapped page is missing in ring 3's root");
    CHECK(t, space_unmap(s, FAR_VA, FAR_VA + PAGE_SIZE) == ERR_OK, "unmap");
    CHECK(t, !pt_walk(&user, FAR_VA).present && roots_agree(s), "ring 3's root leads to freed tables");
    CHECK(t, pt_walk(&user, TEST_USER_VA).present, "the other page went too");
    space_destroy(s);
}
TEST(pti_follows_the_space, "ring 3's root has what the space's has, tables that come and go too");

static void load(struct space *s)
{
    preempt_disable();
    space_load(s);
    preempt_enable();
}

static bool user_keeps(void)
{
    return isolation_user_cr3() & CR3_KEEP;
}

static void pti_flush_is_not_lost(struct test *t)
{
    struct space *a, *b;
    if (skip_without_pti(t))
        return;
    if (!features.pcid) {
        test_skip(t, "without PCIDs each load of ring 3's root flushes");
        return;
    }
    REQUIRE(t, space_create(&a) == ERR_OK, "no space");
    if (CHECK(t, space_create(&b) == ERR_OK, "no space")) {
        vaddr_t end = TEST_USER_VA + 2 * MIB;
        CHECK(t, space_map_fresh(a, TEST_USER_VA, 2, PT_WRITE | PT_USER, FRAME_OWNER_TEST) == ERR_OK, "map");
        load(a);
        CHECK(t, !user_keeps(), "the first load keeps what another space left behind");
        isolation_user_cr3() |= CR3_KEEP; /* as the return to ring 3 does */
        load(b);
        load(a);
        CHECK(t, user_keeps(), "nothing changed, and ring 3's entries are flushed");
        /* Flushed here under the kernel's PCID; ring 3's is put off. Then away, and back before ring 3 has run. */
        CHECK(t, space_unmap(a, TEST_USER_VA, end) == ERR_OK, "unmap");
        CHECK(t, !user_keeps(), "a flush of the space leaves ring 3's entries");
        load(b);
        load(a);
        CHECK(t, a->cpu[cpu_self()].flushed == a->gen, "the space is behind here");
        CHECK(t, !user_keeps(),
              "a flush of ring 3's entries that was put off was lost by a switch away and back");
        load(NULL);
        CHECK(t, isolation_user_cr3() == 0, "the kernel's root has a root for ring 3");
        space_destroy(b);
    }
    space_destroy(a);
}
TEST(pti_flush_is_not_lost, "a flush of ring 3's PCID that was put off survives a switch away and back");

/* What a CPU does that finds its flush-everything word raised. With INVPCID all PCIDs are forgotten at once, and nothing is put off. */
static void pti_flush_of_all_is_ring3s_too(struct test *t)
{
    struct space *s;
    if (skip_without_pti(t))
        return;
    if (!features.pcid || features.invpcid) {
        test_skip(t, "needs PCIDs, and no INVPCID");
        return;
    }
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    preempt_disable();
    space_load(s);
    isolation_user_cr3() |= CR3_KEEP; /* as the return to ring 3 does */
    tlb_flush_all_here();
    CHECK(t, !user_keeps(), "everything was flushed, and ring 3's entries are kept");
    space_load(NULL);
    preempt_enable();
    space_destroy(s);
}
TEST(pti_flush_of_all_is_ring3s_too, "a flush of everything without INVPCID is of ring 3's PCID too");

static struct isolation_range noted(void)
{
    return *this_cpu_ptr(isolation_range);
}

static bool is_noted(vaddr_t start, u64 pages)
{
    return !user_keeps() && noted().next == start && noted().end == start + pages * PAGE_SIZE &&
           noted().step == PAGE_SIZE;
}

static bool is_all_noted(void)
{
    return !user_keeps() && !noted().end;
}

static void take_away(struct test *t, struct space *s, vaddr_t va, u64 pages)
{
    CHECK(t, space_protect(s, va, va + pages * PAGE_SIZE, PT_USER) == ERR_OK, "protect");
}

static void ring3_comes_and_goes(struct test *t, struct ring3 *r, vaddr_t va)
{
    struct trap_frame f = ring3_frame(r, RING3_CODE(ring3_read));
    f.rax = va;
    ring3_run(r, &f);
    CHECK(t, f.vector == EXC_INVALID_OPCODE, "ring 3 reads %llx: %s", (unsigned long long)va,
          trap_name(f.vector));
}

/* Each as if ring 3 had just been left: nothing is noted. */
static void notes_of_ranges(struct test *t, struct ring3 *r, vaddr_t va)
{
    u32 ceiling = shootdown_ceiling;
    ring3_comes_and_goes(t, r, va);
    CHECK(t, user_keeps() && !noted().end, "something is still to be forgotten behind a stay in ring 3");
    take_away(t, r->space, va + 2 * PAGE_SIZE, 1);
    CHECK(t, is_noted(va + 2 * PAGE_SIZE, 1), "one page is taken away, and %llx to %llx are noted",
          (unsigned long long)noted().next, (unsigned long long)noted().end);
    take_away(t, r->space, va + 4 * PAGE_SIZE, 2);
    CHECK(t, is_noted(va + 2 * PAGE_SIZE, 4), "later ones are not added");
    take_away(t, r->space, va, 1);
    CHECK(t, is_noted(va, 6), "earlier ones are not added");
    ring3_comes_and_goes(t, r, va);
    CHECK(t, user_keeps() && !noted().end, "ring 3's root was loaded, and the pages are still noted");

    shootdown_ceiling = 4;
    take_away(t, r->space, va + 6 * PAGE_SIZE, 4);
    CHECK(t, is_noted(va + 6 * PAGE_SIZE, 4), "pages up to the ceiling are not noted");
    take_away(t, r->space, va + 10 * PAGE_SIZE, 1);
    CHECK(t, is_all_noted(), "more pages than the ceiling are flushed one by one");
    take_away(t, r->space, va + 11 * PAGE_SIZE, 1);
    CHECK(t, is_all_noted(), "a page more makes all of them few");
    ring3_comes_and_goes(t, r, va);
    shootdown_ceiling = ceiling;

    take_away(t, r->space, va + 12 * PAGE_SIZE, 1);
    isolation_flush();
    CHECK(t, is_all_noted(), "a flush of all does not take the place of some pages");
    ring3_comes_and_goes(t, r, va);
    take_away(t, r->space, va + 13 * PAGE_SIZE, 1);
    load(NULL);
    load(r->space);
    CHECK(t, is_all_noted(), "pages that were noted are lost by a switch away and back");
}

static void pti_flushes_in_context(struct test *t)
{
    struct ring3 r;
    const vaddr_t va = TEST_USER_VA;
    bool before = isolation_in_context;
    if (skip_without_pti(t))
        return;
    if (!features.pcid) {
        test_skip(t, "without PCIDs each load of ring 3's root flushes");
        return;
    }
    isolation_in_context = true;
    if (ring3_open(t, &r) &&
        CHECK(t, space_map_fresh(r.space, va, 16, PT_WRITE | PT_USER, FRAME_OWNER_TEST) == ERR_OK, "map"))
        notes_of_ranges(t, &r, va);
    ring3_close(&r);
    isolation_in_context = before;
}
TEST(pti_flushes_in_context, "opt=incontext: what ring 3's root is to forget is noted, page by page or all, "
                             "and done on the way there");
