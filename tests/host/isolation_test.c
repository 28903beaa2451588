/* Ring 3's own root and its PCID, on a TLB that forgets what the manual promises and no more: each flush reaches both PCIDs of the
 * space, the second at the latest when ring 3 runs next. One CPU; what the kernel's way to ring 3 does is played (kernel/entry.inc).
 *
 *     sources: mm/isolation.c mm/tlb_local.c mm/pcid.c lib/param.c lib/patch.c
 *     sanitize: address,undefined
 */
#include "mm/isolation.h"

#include "lib/features.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/pcid.h"
#include "mm/pte.h"
#include "mm/tlb_local.h"
#include "tests/host/host.h"

#define SPACES    4u
#define SLOTS     3u /* one space too many */
#define PCIDS     16u
#define PAGES     16u
#define VA(page)  (0x400000ull + (page)*PAGE_SIZE)
#define ALL_PAGES 0, PAGES

struct cpu_features features;
u32 shootdown_ceiling = 33;

/* ---- the hardware ---- */

/* By PCID and page: the version of the translation that is cached; 0: none. Versions of two spaces are never the same. */
static u64 tlb[PCIDS][PAGES];
static u64 cr3;
static struct {
    u32 invpcids, invlpgs, cr3s, whole;
    u64 type;
    pcid_t pcid;
    vaddr_t va; /* of the last INVPCID */
} executed;

static u64 *entries_of(pcid_t pcid)
{
    u32 index = (pcid & 7) + (pcid & CR3_PCID_USER ? 8 : 0);
    HOST_CHECK((pcid & ~CR3_PCID_USER) <= SLOTS, "PCID %x", pcid);
    return tlb[index % PCIDS];
}
static void forget(pcid_t pcid, u64 from, u64 to)
{
    for (u32 i = 0; i < PAGES; i++)
        if (VA(i) >= from && VA(i) < to)
            entries_of(pcid)[i] = 0;
}
static pcid_t loaded_pcid(void)
{
    return features.pcid ? cr3 & CR3_PCID : 0;
}
u64 cr3_read(void)
{
    return cr3;
}
void cr3_write(u64 v)
{
    HOST_CHECK(features.pcid || !(v & (CR3_KEEP | CR3_PCID)), "%llx without PCIDs", (unsigned long long)v);
    executed.cr3s++;
    cr3 = v & ~CR3_KEEP;
    if (!(v & CR3_KEEP))
        forget(loaded_pcid(), 0, ~0ull);
}
u64 cr4_read(void)
{
    return 1ull << 7;
}
void cr4_write(u64 v)
{
    (void)v;
    memset(tlb, 0, sizeof(tlb));
}
void host_invlpg(vaddr_t va)
{
    executed.invlpgs++;
    forget(loaded_pcid(), va, va + 1);
}
void host_invpcid(u64 type, pcid_t pcid, vaddr_t va)
{
    HOST_CHECK(features.invpcid && (features.pcid || !pcid || type > INVPCID_CONTEXT), "it would fault");
    executed.invpcids++;
    executed.whole += type != INVPCID_ADDR;
    executed.type = type, executed.pcid = pcid, executed.va = va;
    if (type == INVPCID_ADDR)
        forget(pcid, va, va + 1);
    else if (type == INVPCID_CONTEXT)
        forget(pcid, 0, ~0ull);
    else
        memset(tlb, 0, sizeof(tlb));
}

/* The debug build's record is not looked at here. */
void tlb_record_flush_space(void) {}
void tlb_record_flush_all(void) {}
void tlb_record_flush_all_but_others(void) {}
void tlb_record_others_forgotten(void) {}
void tlb_record_flush_range(vaddr_t start, u32 pages, enum pt_size stride)
{
    (void)start, (void)pages, (void)stride;
}

/* ---- frames: a template, and one of a space ---- */

static _Alignas(4096) u64 memory[2][PT_ENTRIES];
static bool no_memory;
static u32 frames_freed;
#define FRAME(n) (PAGE_SIZE * ((n) + 1))

void *host_phys_to_virt(paddr_t p)
{
    return (char *)memory + p.v - FRAME(0);
}
paddr_t host_virt_to_phys(const void *v)
{
    return PADDR((u64)((const char *)v - (const char *)memory) + FRAME(0));
}
err_t frame_alloc_zeroed(enum frame_owner owner, paddr_t *out)
{
    if (no_memory)
        return ERR_NOMEM;
    HOST_CHECK(owner == FRAME_OWNER_TABLE, "a root is a table");
    memset(memory[1], 0, sizeof(memory[1]));
    *out = PADDR(FRAME(1));
    return ERR_OK;
}
void frame_free(paddr_t p)
{
    frames_freed += p.v == FRAME(1);
}

/* ---- the kernel ---- */

static struct space space[SPACES];
static struct tlb_cpu word_of[SPACES];
static u64 version[SPACES][PAGES], versions;
static struct space *loaded;

static void change(u32 n, u32 from, u32 pages)
{
    for (u32 i = from; i < from + pages; i++)
        version[n][i] = ++versions;
}
static u32 index_of(const struct space *s)
{
    return (u32)(s - space);
}

/* As mm/space_load.c does. */
static void load(struct space *s)
{
    u64 root = s ? s->pt.root.v : FRAME(8);
    if (features.pcid && !s) {
        root = pcid_kernel_cr3(root);
    } else if (features.pcid) {
        bool keep = pcid_slot_for(s->id, s->cpu) && s->cpu->flushed == s->gen;
        root |= PCID_OF_SLOT(s->cpu->slot) | (keep ? CR3_KEEP : 0);
    }
    isolation_leave();
    isolation_enter(s, root);
    cr3_write(root);
    HOST_CHECK(isolation_kernel_cr3() == (cr3 | (features.pcid ? CR3_KEEP : 0)),
               "the way back into the kernel");
    if (s)
        s->cpu->flushed = s->gen;
    loaded = s;
}

static bool keeps(void)
{
    return isolation_user_cr3() & CR3_KEEP;
}

/* What is cached for the loaded space by that PCID is what the tables say. Then all of it is cached. Returns how much was before. */
static u32 use_all(pcid_t pcid, const char *whose)
{
    u32 kept = 0;
    for (u32 i = 0; i < PAGES; i++) {
        u64 *e = &entries_of(pcid)[i], now = version[index_of(loaded)][i];
        HOST_CHECK(!*e || *e == now, "%s entry of page %u is stale: PCID %x", whose, i, pcid);
        kept += *e == now;
        *e = now;
    }
    return kept;
}
static u32 use_in_kernel(void)
{
    return use_all(loaded_pcid(), "the kernel's");
}
static u32 use_in_ring3(void)
{
    struct isolation_range *r = this_cpu_ptr(isolation_range);
    u64 user = isolation_user_cr3();
    HOST_CHECK((user & ~CR3_KEEP & ~CR3_PCID) == loaded->user_root.v, "another space's root: %llx",
               (unsigned long long)user);
    if (features.pcid) {
        HOST_CHECK((user & CR3_PCID) == (loaded_pcid() | CR3_PCID_USER), "PCID %llx",
                   (unsigned long long)user);
        isolation_user_cr3() |= CR3_KEEP;
    }
    cr3_write(user | (r->end ? CR3_KEEP : 0));
    for (; r->end && r->next < r->end; r->next += r->step)
        invlpg(r->next);
    r->end = 0;
    u32 kept = use_all(loaded_pcid(), "ring 3's");
    cr3_write(isolation_kernel_cr3());
    return kept;
}

static void boot(bool pcid, bool by_invpcid)
{
    features = (struct cpu_features){.pcid = pcid, .invpcid = by_invpcid, .pti = true};
    patch_on[PATCH_PTI] = true;
    tlb_local_init();
    tlb_flush_by_invpcid = isolation_in_context = false;
    pcid_slots_in_use = SLOTS;
    memset(tlb, 0, sizeof(tlb));
    memset(this_cpu_ptr(pcid_slots), 0, sizeof(struct pcid_slots));
    isolation_user_cr3() = isolation_kernel_cr3() = cr3 = 0;
    for (u32 n = 0; n < SPACES; n++) {
        static u64 ids;
        word_of[n] = (struct tlb_cpu){0};
        space[n] = (struct space){.id = ++ids, .cpu = &word_of[n], .gen = 1};
        space[n].pt.root = PADDR(FRAME(10 + n));
        space[n].user_root = PADDR(FRAME(20 + n));
        change(n, ALL_PAGES);
    }
    loaded = NULL;
}
/* Ring 3 of the first space has run, and all is cached twice. */
static void boot_into_ring3(bool pcid, bool by_invpcid)
{
    boot(pcid, by_invpcid);
    load(&space[0]);
    (void)use_in_ring3();
    (void)use_in_kernel();
    memset(&executed, 0, sizeof(executed));
}

/* ---- tests ---- */

HOST_TEST(a_second_root_follows_the_first)
{
    struct space *s = &space[0];
    u32 half = pt_index(KERNEL_HALF, PT_LEVEL_ROOT);
    boot(true, true);
    s->user_root = PADDR(FRAME(1));
    HOST_CHECK(isolation_create(s) == ERR_OK && paddr_is_none(s->user_root) && !s->pool.root_changed,
               "without isolation there is none");
    isolation_destroy(s);
    for (u32 i = 0; i < PT_ENTRIES; i++)
        memory[0][i] = 1000 + i;
    isolation_begin(PADDR(FRAME(0)));
    no_memory = true;
    HOST_CHECK(isolation_create(s) == ERR_NOMEM && paddr_is_none(s->user_root), "no frame");
    isolation_destroy(s);
    HOST_CHECK(!frames_freed, "a frame is freed that was none");
    no_memory = false;
    HOST_CHECK(isolation_create(s) == ERR_OK && s->user_root.v == FRAME(1) && s->pool.root_changed, "a root");
    for (u32 i = 0; i < PT_ENTRIES; i++)
        HOST_CHECK(memory[1][i] == (i < half ? 0 : 1000 + i), "entry %u: %lu", i, memory[1][i]);
    s->pool.root_changed(&s->pool, half - 1, 7);
    s->pool.root_changed(&s->pool, half, 7);
    HOST_CHECK(memory[1][half - 1] == 7 && memory[1][half] == 1000 + half, "the user half alone follows");
    isolation_destroy(s);
    HOST_CHECK(frames_freed == 1, "its frame is given back");
}

HOST_TEST(invpcid_takes_pages_of_ring3s_pcid)
{
    boot_into_ring3(true, true);
    isolation_flush_range(VA(3), 2, PT_4K);
    HOST_CHECK(executed.invpcids == 2 && !executed.whole && !executed.cr3s && !executed.invlpgs,
               "%u INVPCIDs for 2 pages", executed.invpcids);
    HOST_CHECK(executed.pcid == (loaded_pcid() | CR3_PCID_USER) && executed.va == VA(4), "the last: %x, %llx",
               executed.pcid, (unsigned long long)executed.va);
    HOST_CHECK(keeps(), "what was done at once is put off, too");
    HOST_CHECK(use_in_kernel() == PAGES, "the kernel's entries are its own affair");
    HOST_CHECK(use_in_ring3() == PAGES - 2, "all but two pages are kept for ring 3");
    isolation_flush_range(6ull << 30, 3, PT_2M);
    HOST_CHECK(executed.va == (6ull << 30) + 4 * MIB, "the third page of 2 MiB: %llx",
               (unsigned long long)executed.va);
    isolation_flush();
    u32 before = executed.invpcids;
    isolation_flush_range(VA(0), 1, PT_4K);
    HOST_CHECK(executed.invpcids == before && !keeps(), "one by one, though all of them will be forgotten");
    HOST_CHECK(use_in_ring3() == 0, "a flush of all is forgotten");
}

HOST_TEST(without_invpcid_pages_wait_for_ring3)
{
    boot_into_ring3(true, false);
    isolation_flush_range(VA(3), 1, PT_4K);
    HOST_CHECK(!keeps() && use_in_ring3() == 0, "the page was put off, and is kept");
    isolation_in_context = true;
    isolation_flush_range(VA(3), 1, PT_4K);
    isolation_flush_range(VA(5), 1, PT_4K);
    HOST_CHECK(!keeps() && use_in_ring3() == PAGES - 3, "in context: the pages, and what lies between");
    boot_into_ring3(false, false);
    isolation_in_context = true;
    isolation_flush_range(VA(3), 1, PT_4K);
    isolation_flush();
    HOST_CHECK(isolation_user_cr3() == loaded->user_root.v && !this_cpu(isolation_range).end,
               "without PCIDs nothing is noted: bit 63 would fault");
}

/* The flushes that the shootdown core asks for, each on each kind of CPU. */
static const struct {
    bool pcid, invpcid;
} kinds[] = {{false, false}, {true, false}, {true, true}};

HOST_TEST(every_flush_reaches_ring3)
{
    for (u32 k = 0; k < ARRAY_SIZE(kinds); k++)
        for (u32 what = 0; what < 4; what++) {
            boot_into_ring3(kinds[k].pcid, kinds[k].invpcid);
            tlb_flush_by_invpcid = what == 2;
            change(0, 0, what ? PAGES : 1);
            if (what == 0)
                tlb_flush_range_local(VA(0), 1, PT_4K);
            else if (what < 3)
                tlb_flush_space_local();
            else
                tlb_flush_all_local();
            HOST_CHECK(use_in_kernel() == (what ? 0 : PAGES - 1), "kind %u, flush %u", k, what);
            (void)use_in_ring3();
        }
}

/* Any order of everything, and after each step nothing stale is used: by the kernel at once, by ring 3 when it runs. */
static u64 seed = 88172645463325252ull;
static u32 rnd(u32 n) /* xorshift64 */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (u32)(seed >> 32) % n;
}

static void change_something(u32 what)
{
    u32 n = index_of(loaded), from = rnd(PAGES), pages = 1 + rnd(PAGES - from);
    loaded->gen++;
    if (what == 0) {
        change(n, ALL_PAGES);
        tlb_flush_space_local();
    } else if (what == 1) { /* of every space: others need not have changed to be forgotten */
        for (u32 i = 0; i < SPACES; i++)
            change(i, ALL_PAGES);
        tlb_flush_all_local();
    } else {
        change(n, from, pages);
        tlb_flush_range_local(VA(from), pages, PT_4K);
    }
    loaded->cpu->flushed = loaded->gen;
    (void)use_in_kernel();
}

static u32 step(void)
{
    u32 n = rnd(SPACES);
    switch (rnd(4)) {
    case 0: /* elsewhere, somebody changes a space; if it is loaded here, it is flushed here */
        if (loaded != &space[n]) {
            space[n].gen++;
            change(n, rnd(PAGES), 1);
        }
        return 0;
    case 1:
        load(rnd(5) ? &space[n] : NULL);
        return 0;
    case 2:
        if (loaded)
            change_something(rnd(12));
        return 0;
    default:
        return loaded ? use_in_ring3() : 0;
    }
}

HOST_TEST(nothing_stale_in_any_order)
{
    for (u32 k = 0; k < ARRAY_SIZE(kinds); k++)
        for (u32 in_context = 0; in_context < 2; in_context++) {
            u32 kept = 0;
            boot(kinds[k].pcid, kinds[k].invpcid);
            isolation_in_context = in_context;
            shootdown_ceiling = 9;
            for (u32 i = 0; i < 40000; i++)
                kept += step();
            HOST_CHECK(!kept == !features.pcid, "kind %u: %u entries kept for ring 3", k, kept);
        }
    shootdown_ceiling = 33;
}
