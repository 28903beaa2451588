/* PCIDs: what a CPU keeps for a space that it leaves, when it must not believe it any more, and whose it is. */
#include "mm/pcid.h"

#include "kernel/cmdline.h"
#include "kernel/trap.h"
#include "lib/context.h"
#include "lib/log.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/pte.h"
#include "mm/space.h"
#include "tests/observer.h"
#include "tests/residents.h"
#include "tests/window.h"

/* More than fit into the 16 bits of a mask that Linux once kept, one bit for each PCID. */
#define MANY       20u

#define CONTENT(i) (0x9c1d000000000000ull + (i))

static bool skip_without_pcid(struct test *t)
{
    if (!features.pcid)
        test_skip(t, "PCIDs are not used on this machine");
    return !features.pcid;
}

static void load(struct space *s)
{
    preempt_disable();
    space_load(s);
    preempt_enable();
}

/* A space with one page of content. NULL: said so. */
static struct space *new_space(struct test *t, u64 content)
{
    struct space *s;
    if (!CHECK(t, space_create(&s) == ERR_OK, "no space"))
        return NULL;
    err_t e = space_map_fresh(s, TEST_USER_VA, 2, PT_WRITE, FRAME_OWNER_TEST);
    if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e))) {
        space_destroy(s);
        return NULL;
    }
    observe_fill(space_query(s, TEST_USER_VA).pa, content);
    return s;
}

static u64 read_page(void)
{
    u64 v = 0;
    return safe_read_u64((const void *)TEST_USER_VA, &v) ? 0 : v;
}

static u64 loaded_pcid(void)
{
    return cr3_read() & CR3_PCID;
}

/* Did this load find its entries kept? */
static bool load_kept(struct test *t, struct space *s)
{
    u64 kept = counter_now(t, "space_loads_kept");
    load(s);
    return counter_now(t, "space_loads_kept") != kept;
}

static void pcid_keeps_entries(struct test *t)
{
    if (skip_without_pcid(t))
        return;
    struct space *a = new_space(t, CONTENT(1)), *b = a ? new_space(t, CONTENT(2)) : NULL;
    if (b) {
        CHECK(t, !load_kept(t, a), "entries were kept at the first load");
        u64 pcid = loaded_pcid();
        CHECK(t, pcid == PCID_OF_SLOT(a->cpu[cpu_self()].slot), "PCID %llu is loaded, and the slot is %u",
              (unsigned long long)pcid, a->cpu[cpu_self()].slot);
        CHECK(t, read_page() == CONTENT(1), "the page of the first space is wrong");
        load(b);
        CHECK(t, loaded_pcid() != pcid, "two spaces share PCID %llu", (unsigned long long)pcid);
        CHECK(t, read_page() == CONTENT(2), "the page of the second space is the first one's");
        CHECK(t, load_kept(t, a), "nothing changed, and the entries were not kept");
        CHECK(t, loaded_pcid() == pcid, "the space came back to another PCID");
        CHECK(t, read_page() == CONTENT(1), "the page is wrong after the return");
        load(NULL);
        CHECK(t, loaded_pcid() == PCID_KERNEL, "the kernel's root runs with PCID %llu",
              (unsigned long long)loaded_pcid());
        CHECK(t, load_kept(t, a), "the entries were not kept over the kernel's root");
        load(NULL);
        space_destroy(b);
    }
    if (a)
        space_destroy(a);
}
TEST(pcid_keeps_entries,
     "a space that comes back unchanged finds its PCID and its entries; two never share one");

static void pcid_catches_up(struct test *t)
{
    if (skip_without_pcid(t))
        return;
    struct space *a = new_space(t, CONTENT(1));
    if (!a)
        return;
    load(a);
    CHECK(t, read_page() == CONTENT(1), "the page is wrong");
    load(NULL);
    tlb_gen_t flushed = a->cpu[cpu_self()].flushed;
    CHECK(t, space_unmap(a, TEST_USER_VA, TEST_USER_VA + PAGE_SIZE) == ERR_OK, "unmap");
    CHECK(t, a->cpu[cpu_self()].flushed == flushed,
          "a CPU published a flush of a PCID that it does not have loaded");
    CHECK(t, !load_kept(t, a), "entries from before the change were kept");
    CHECK(t, a->cpu[cpu_self()].flushed == a->gen, "the load did not catch up");
    CHECK(t, read_page() == 0, "the unmapped page is still there");
    load(NULL);
    CHECK(t, load_kept(t, a), "after it caught up, the entries were not kept");
    load(NULL);
    space_destroy(a);
}
TEST(pcid_catches_up, "a space that changed while its PCID was not loaded is flushed when it comes back");

/* Loads `count` new spaces in turn, twice; how many of the second loads found their entries. */
static u32 turn_around(struct test *t, struct space **s, u32 count)
{
    u32 kept = 0;
    u64 pcid[MANY];
    for (u32 i = 0; i < count; i++)
        load(s[i]);
    for (u32 i = 0; i < count; i++) {
        kept += load_kept(t, s[i]);
        pcid[i] = cr3_read() & CR3_PCID;
        CHECK(t, read_page() == CONTENT(i), "space %u of %u shows the page of another", i, count);
        for (u32 j = 0; j < i; j++) {
            CHECK(t, s[j]->cpu[cpu_self()].slot == s[i]->cpu[cpu_self()].slot || pcid[j] != pcid[i],
                  "the slots of spaces %u and %u have one PCID, %llu", j, i, (unsigned long long)pcid[i]);
            CHECK(t,
                  s[j]->cpu[cpu_self()].slot != s[i]->cpu[cpu_self()].slot ||
                      this_cpu_ptr(pcid_slots)->id[s[j]->cpu[cpu_self()].slot] != s[j]->id,
                  "spaces %u and %u own one PCID", j, i);
        }
    }
    load(NULL);
    return kept;
}

static void with_slots(struct test *t, const char *slots, u32 count, u32 expected)
{
    struct space *s[MANY];
    u32 n = 0;
    CHECK(t, cmdline_set("slots", slots), "slots=%s is refused", slots);
    while (n < count && (s[n] = new_space(t, CONTENT(n))) != NULL)
        n++;
    if (n == count) {
        u32 kept = turn_around(t, s, count);
        CHECK(t, kept == expected, "slots=%s, %u spaces: %u found their entries, not %u", slots, count, kept,
              expected);
    }
    while (n)
        space_destroy(s[--n]);
}

static void pcid_slots_are_evicted(struct test *t)
{
    if (skip_without_pcid(t))
        return;
    char before[16];
    format(before, sizeof(before), "%u", pcid_slots_in_use);
    with_slots(t, "6", 6, 6);
    with_slots(t, "6", 7, 0); /* round robin: the next to come is always the one that has just gone */
    with_slots(t, "1", 2, 0);
    with_slots(t, "3", 3, 3);
    CHECK(t, cmdline_set("slots", before), "slots=%s is refused", before);
}
TEST(pcid_slots_are_evicted, "with more spaces than slots none finds the entries of another");

static void bug_pcid_mask_overflow(struct test *t)
{
    if (skip_without_pcid(t))
        return;
    char before[16];
    format(before, sizeof(before), "%u", pcid_slots_in_use);
    with_slots(t, "64", MANY, MANY);
    CHECK(t, cmdline_set("slots", before), "slots=%s is refused", before);
}
TEST(bug_pcid_mask_overflow,
     "Linux's 16-bit mask of PCIDs: more than 16 spaces at once, each with a PCID of its own");

/* A slot that still names a dead space, and a new space that gets its memory, its root and its slot number. */
static void bug_pcid_outlives_its_space(struct test *t)
{
    if (skip_without_pcid(t))
        return;
    for (u32 i = 0; i < 8; i++) {
        struct space *s = new_space(t, CONTENT(i));
        if (!s)
            return;
        CHECK(t, !load_kept(t, s), "space %llu, which has never run, found entries kept",
              (unsigned long long)s->id);
        CHECK(t, read_page() == CONTENT(i), "space %llu shows the page of a dead one",
              (unsigned long long)s->id);
        load(NULL);
        space_destroy(s);
    }
}
TEST(bug_pcid_outlives_its_space,
     "a new space never finds the entries of a dead one, whose memory and slot it has");

static void pcid_kernel_changes_reach_all(struct test *t)
{
    struct space *s = new_space(t, CONTENT(1));
    u64 v;
    if (!s)
        return;
    /* The kernel page is used under the space's PCID and under the kernel's; changed under either; looked at under the other. */
    for (u32 changed_in_space = 0; changed_in_space < 2; changed_in_space++) {
        err_t e = space_map_fresh(&kernel_space, TEST_KERNEL_VA, 2, PT_WRITE, FRAME_OWNER_TEST);
        if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e)))
            break;
        load(s);
        CHECK(t, safe_read_u64((void *)TEST_KERNEL_VA, &v) == 0,
              "the kernel page cannot be read in the space");
        load(NULL);
        CHECK(t, safe_read_u64((void *)TEST_KERNEL_VA, &v) == 0, "the kernel page cannot be read");
        if (changed_in_space)
            load(s);
        CHECK(t, space_unmap(&kernel_space, TEST_KERNEL_VA, TEST_KERNEL_VA + PAGE_SIZE) == ERR_OK, "unmap");
        CHECK(t, safe_read_u64((void *)TEST_KERNEL_VA, &v) == EXC_PAGE_FAULT, "it is still there");
        bool kept = load_kept(t, changed_in_space ? NULL : s);
        CHECK(t, safe_read_u64((void *)TEST_KERNEL_VA, &v) == EXC_PAGE_FAULT,
              "it is still there under the other PCID");
        CHECK(t, !kept || features.pge, "a kernel page that is not global went, and other PCIDs were kept");
        load(NULL);
        CHECK(t, space_unmap(&kernel_space, TEST_KERNEL_VA, TEST_KERNEL_VA + 2 * PAGE_SIZE) == ERR_OK,
              "unmap");
    }
    space_destroy(s);
}
TEST(pcid_kernel_changes_reach_all, "a kernel page that goes is gone under every PCID, global pages or not");

static void bug_invlpg_misses_global(struct test *t)
{
    /* Linux ce0b15d11ad8: on some CPUs INVLPG leaves global entries while PCIDs are on. What this kernel then does without. */
    CHECK(t, !(features.invlpg_erratum && features.pcid && features.pge),
          "global pages and PCIDs together, on a CPU whose INVLPG may miss the first");
    paddr_t frame[2];
    REQUIRE(t, frame_alloc(FRAME_OWNER_TEST, &frame[0]) == ERR_OK, "no frame");
    if (CHECK(t, frame_alloc(FRAME_OWNER_TEST, &frame[1]) == ERR_OK, "no frame")) {
        observe_fill(frame[0], CONTENT(1));
        observe_fill(frame[1], CONTENT(2));
        u64 v = 0;
        CHECK(t, space_map(&kernel_space, TEST_KERNEL_VA, frame[0], PAGE_SIZE, PT_4K, PT_WRITE) == ERR_OK,
              "map");
        CHECK(t, space_query(&kernel_space, TEST_KERNEL_VA).prot & PT_GLOBAL || !features.pge,
              "a kernel page is not global, so that INVLPG reaches one PCID only");
        CHECK(t, safe_read_u64((void *)TEST_KERNEL_VA, &v) == 0 && v == CONTENT(1), "read %llx",
              (unsigned long long)v);
        CHECK(t, space_remap(&kernel_space, TEST_KERNEL_VA, frame[1], PT_4K, PT_WRITE) == ERR_OK, "remap");
        CHECK(t, safe_read_u64((void *)TEST_KERNEL_VA, &v) == 0 && v == CONTENT(2),
              "after the remap of a global page %llx was read", (unsigned long long)v);
        CHECK(t, space_unmap(&kernel_space, TEST_KERNEL_VA, TEST_KERNEL_VA + PAGE_SIZE) == ERR_OK, "unmap");
        frame_free(frame[1]);
    }
    frame_free(frame[0]);
}
TEST(bug_invlpg_misses_global,
     "Linux ce0b15d11ad8: remapping a global page is seen, and the erratum's CPUs are spared");
