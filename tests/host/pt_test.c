/* Page tables, case by case: what each operation leaves behind, as an independent page walker sees it, and what it
 * refuses.
 *
 *     sources: tests/host/phys.c mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c
 *     sanitize: address,undefined */
#include "lib/features.h"
#include "mm/layout.h"
#include "mm/pte.h"
#include "tests/host/host.h"
#include "tests/host/phys.h"

#define VA  0x0000123440000000ull /* 1 GiB aligned */
#define KVA 0xffffc00040000000ull
#define PA  0x0000000740000000ull

static struct phys_pool pool;
static struct pt pt;
static struct pt_change change;

static void fresh(void)
{
    phys_reset(0x100000000ull);
    phys_pool_init(&pool);
    phys_pt_init(&pt, &pool);
    features.page_1g = true;
}

static struct phys_translation walk(vaddr_t va)
{
    return phys_walk(pt.root.v, va);
}

static bool tables_add_up(void)
{
    return phys_tables(pt.root.v) == pool.allocated + 1 - pool.retired - pool.freed;
}

static u32 prot_of(const struct phys_translation *t)
{
    return (t->write ? PT_WRITE : 0) | (t->user ? PT_USER : 0) | (t->exec ? PT_EXEC : 0) |
           (t->global ? PT_GLOBAL : 0) | (t->cache == 3 ? PT_UNCACHED : 0) |
           (t->cache == 4 ? PT_WRITE_COMBINE : 0);
}

HOST_TEST(every_size_and_right_is_what_the_walker_finds)
{
    static const enum pt_size sizes[] = {PT_4K, PT_2M, PT_1G};
    static const u32 cache[] = {0, PT_UNCACHED, PT_WRITE_COMBINE};
    for (u32 i = 0; i < 3 * 3 * 16; i++) {
        enum pt_size size = sizes[i % 3];
        u32 prot = cache[i / 3 % 3] | (i / 9 & 15);
        fresh();
        HOST_CHECK(pt_map(&pt, VA, PADDR(PA), size, prot) == ERR_OK, "size 2^%d prot %x", size, prot);
        u64 last = (1ull << size) - 1;
        struct phys_translation a = walk(VA), b = walk(VA + last);
        HOST_CHECK(a.present && a.pa == PA && a.size == last + 1 && prot_of(&a) == prot,
                   "first byte, prot %x, got %x", prot, prot_of(&a));
        HOST_CHECK(b.present && b.pa == PA + last && !a.accessed && !a.dirty, "last byte of 2^%d", size);
        HOST_CHECK(!walk(VA - 1).present && !walk(VA + last + 1).present, "neighbours of 2^%d", size);
        struct pt_entry e = pt_walk(&pt, VA + last);
        HOST_CHECK(e.present && e.size == size && e.prot == prot && e.pa.v == PA, "pt_walk: prot %x, got %x",
                   prot, e.prot);
        HOST_CHECK(pool.allocated == 3 - (size - 12) / 9, "%u tables for 2^%d", pool.allocated, size);
    }
}

HOST_TEST(bad_addresses_and_sizes_are_refused)
{
    fresh();
    HOST_CHECK(pt_map(&pt, VA + 1, PADDR(PA), PT_4K, 0) == ERR_RANGE, "misaligned va");
    HOST_CHECK(pt_map(&pt, VA + PAGE_SIZE, PADDR(PA), PT_2M, 0) == ERR_RANGE, "va not aligned to the page");
    HOST_CHECK(pt_map(&pt, 0x0000800000000000ull, PADDR(PA), PT_4K, 0) == ERR_RANGE, "not canonical");
    HOST_CHECK(pt_map(&pt, 0xffff7ffffffff000ull, PADDR(PA), PT_4K, 0) == ERR_RANGE,
               "not canonical, from above");
    HOST_CHECK(pt_map_range(&pt, USER_END - PAGE_SIZE, PADDR(PA), 2 * PAGE_SIZE, PT_4K, 0) == ERR_RANGE,
               "out of the half");
    HOST_CHECK(pt_map_range(&pt, VA, PADDR(PA), ~0ull << 12, PT_4K, 0) == ERR_RANGE, "wraps");
    HOST_CHECK(pt_map_range(&pt, VA, PADDR(PA), 0, PT_4K, 0) == ERR_RANGE, "empty");
    HOST_CHECK(pt_map_range(&pt, VA, PADDR(PA), 12, PT_4K, 0) == ERR_RANGE, "no whole page");
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA + 1), PT_4K, 0) == ERR_INVAL, "misaligned pa");
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA + PAGE_SIZE), PT_2M, 0) == ERR_INVAL, "pa not aligned to the page");
    HOST_CHECK(pt_map(&pt, VA, PADDR(1ull << 52), PT_4K, 0) == ERR_INVAL, "pa beyond the architecture");
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA), PT_4K, PT_UNCACHED | PT_WRITE_COMBINE) == ERR_INVAL,
               "two cache types");
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA), PT_1G, PT_OWNED) == ERR_INVAL, "no block of frames is that large");
    features.page_1g = false;
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA), PT_1G, 0) == ERR_UNSUPPORTED, "a CPU without 1 GiB pages");
    HOST_CHECK(pt_unmap(&pt, VA + PAGE_SIZE, VA, NULL, &change) == ERR_RANGE, "reversed");
    HOST_CHECK(pt_unmap(&pt, USER_START, KVA, NULL, &change) == ERR_RANGE, "over the hole");
    HOST_CHECK(pt_protect(&pt, VA, VA + 5, 0, NULL, &change) == ERR_RANGE, "misaligned end");
    HOST_CHECK(pool.allocated == 0 && phys_tables(pt.root.v) == 1, "%u tables", pool.allocated);
}

HOST_TEST(what_is_there_is_not_mapped_over)
{
    static const enum pt_size sizes[] = {PT_4K, PT_2M, PT_1G};
    for (u32 i = 0; i < 9; i++) {
        fresh();
        HOST_CHECK(pt_map(&pt, VA, PADDR(PA), sizes[i % 3], PT_WRITE) == ERR_OK, "first");
        u32 tables = pool.allocated;
        HOST_CHECK(pt_map(&pt, VA, PADDR(0), sizes[i / 3], PT_EXEC) == ERR_EXIST, "%d over %d", sizes[i / 3],
                   sizes[i % 3]);
        HOST_CHECK(pt_map_range(&pt, VA - PAGE_SIZE, PADDR(0), 2 * PAGE_SIZE, PT_4K, 0) == ERR_EXIST,
                   "range");
        HOST_CHECK(pool.allocated == tables && walk(VA).pa == PA && !walk(VA - 1).present,
                   "something was changed");
    }
}

HOST_TEST(ranges_use_the_largest_pages_that_fit)
{
    fresh();
    /* 4 KiB up to a 2 MiB boundary, 2 MiB up to 1 GiB, 1 GiB, and down again. */
    vaddr_t start = VA - 2 * MIB - PAGE_SIZE;
    u64 bytes = PAGE_SIZE + 2 * MIB + GIB + 2 * MIB + PAGE_SIZE;
    HOST_CHECK(pt_map_range(&pt, start, PADDR(PA - 2 * MIB - PAGE_SIZE), bytes, PT_1G, PT_WRITE) == ERR_OK,
               "range");
    HOST_CHECK(walk(start).size == PAGE_SIZE && walk(VA - 1).size == 2 * MIB && walk(VA).size == GIB,
               "going up");
    HOST_CHECK(walk(VA + GIB).size == 2 * MIB && walk(start + bytes - 1).size == PAGE_SIZE, "going down");
    for (u64 at = 0; at < bytes; at += 123 * PAGE_SIZE)
        HOST_CHECK(walk(start + at).pa == PA - 2 * MIB - PAGE_SIZE + at, "at %llx", (unsigned long long)at);
    HOST_CHECK(!walk(start - 1).present && !walk(start + bytes).present, "outside");
    HOST_CHECK(tables_add_up(), "tables");

    fresh();
    HOST_CHECK(pt_map_range(&pt, VA, PADDR(PA + PAGE_SIZE), 4 * MIB, PT_1G, 0) == ERR_OK,
               "va and pa out of step");
    HOST_CHECK(walk(VA).size == PAGE_SIZE && walk(VA + 2 * MIB).size == PAGE_SIZE, "only small pages fit");

    fresh();
    HOST_CHECK(pt_map_range(&pt, 0ull - 2 * MIB, PADDR(PA), 2 * MIB, PT_4K, 0) == ERR_OK, "up to the top");
    HOST_CHECK(walk(~0ull).pa == PA + 2 * MIB - 1, "last byte");
    HOST_CHECK(pt_unmap(&pt, 0ull - 2 * MIB, 0, NULL, &change) == ERR_OK && change.leaves == 512, "%llu",
               (unsigned long long)change.leaves);
}

HOST_TEST(unmapping_all_leaves_only_the_root)
{
    fresh();
    HOST_CHECK(pt_map_range(&pt, VA - 4 * MIB, PADDR(PA - 4 * MIB), GIB + 8 * MIB, PT_2M, PT_USER) == ERR_OK,
               "map");
    HOST_CHECK(pt_map(&pt, 0x1000, PADDR(PA), PT_4K, PT_USER | PT_GLOBAL) == ERR_OK, "map");
    HOST_CHECK(pt_unmap(&pt, USER_START, USER_END, NULL, &change) == ERR_OK, "unmap");
    HOST_CHECK(change.leaves == 517 && change.narrowed && change.global && change.stride == PT_4K,
               "%llu leaves, stride %d", (unsigned long long)change.leaves, change.stride);
    HOST_CHECK(phys_tables(pt.root.v) == 1 && change.tables == pool.retired && pool.retired == pool.allocated,
               "%u tables", pool.retired);
    HOST_CHECK(pt_unmap(&pt, USER_START, USER_END, NULL, &change) == ERR_OK, "absent pages are no error");
    HOST_CHECK(!change.leaves && !change.tables && !change.narrowed && change.stride == PT_4K,
               "nothing happened");
}

HOST_TEST(tables_that_all_spaces_share_stay)
{
    fresh();
    HOST_CHECK(pt_map(&pt, KVA, PADDR(PA), PT_4K, PT_WRITE) == ERR_OK, "map");
    HOST_CHECK(pt_unmap(&pt, KVA, KVA + PAGE_SIZE, NULL, &change) == ERR_OK, "unmap");
    HOST_CHECK(change.tables == 2 && phys_tables(pt.root.v) == 2,
               "the table below the root is left, %llu went", (unsigned long long)change.tables);
}

HOST_TEST(rights_are_what_all_levels_grant)
{
    fresh();
    HOST_CHECK(pt_map(&pt, KVA, PADDR(PA), PT_4K, PT_USER | PT_WRITE) == ERR_OK, "map");
    HOST_CHECK(!walk(KVA).user && pt_walk(&pt, KVA).prot == PT_WRITE, "the kernel half has no user tables");
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA), PT_4K, PT_USER | PT_EXEC) == ERR_OK, "map");
    u64 *pml4e = (u64 *)host_phys_to_virt(pt.root) + pt_index(VA, 3);
    *pml4e = (*pml4e | PTE_NX) & ~PTE_WRITE;
    HOST_CHECK(pt_walk(&pt, VA).prot == PT_USER && !walk(VA).exec, "NX above counts");
}

HOST_TEST(no_memory_changes_nothing)
{
    u32 failed = 0;
    for (u32 n = 0; n < 20; n++) {
        fresh();
        HOST_CHECK(pt_map_range(&pt, VA, PADDR(PA), GIB, PT_1G, PT_WRITE) == ERR_OK, "large page");
        u32 before = phys_tables(pt.root.v);
        pool.fail_after = n;
        /* Four tables: 1 GiB and 2 MiB split at both ends. */
        err_t e = pt_unmap(&pt, VA + PAGE_SIZE, VA + GIB - PAGE_SIZE, NULL, &change);
        HOST_CHECK(e == (n < 3 ? ERR_NOMEM : ERR_OK), "unmap with %u tables: %d", n, e);
        if (e != ERR_OK) {
            failed++;
            HOST_CHECK(walk(VA).size == GIB && !change.leaves && phys_tables(pt.root.v) == before, "changed");
        } else {
            HOST_CHECK(walk(VA).pa == PA && !walk(VA + PAGE_SIZE).present &&
                           walk(VA + GIB - 1).pa == PA + GIB - 1,
                       "ends");
        }
        pool.fail_after = n;
        e = pt_map_range(&pt, VA - 3 * GIB - PAGE_SIZE, PADDR(PA), 3 * GIB, PT_4K, 0);
        HOST_CHECK(e == ERR_NOMEM && !walk(VA - 3 * GIB - PAGE_SIZE).present && tables_add_up(),
                   "map with %u tables", n);
    }
    HOST_CHECK(failed == 3, "%u", failed);
}

HOST_TEST(protect_says_what_it_took_away)
{
    for (u32 from = 0; from < 8; from++)
        for (u32 to = 0; to < 8; to++) { /* bits: write, exec, user */
            fresh();
            HOST_CHECK(pt_map(&pt, VA, PADDR(PA), PT_2M, from | PT_GLOBAL | PT_UNCACHED | PT_OWNED) == ERR_OK,
                       "map");
            HOST_CHECK(pt_protect(&pt, VA, VA + 2 * MIB, to, NULL, &change) == ERR_OK, "protect");
            struct phys_translation t = walk(VA);
            HOST_CHECK(prot_of(&t) == (to | PT_GLOBAL | PT_UNCACHED) && (pt_walk(&pt, VA).prot & PT_OWNED),
                       "%u -> %u", from, to);
            HOST_CHECK(change.narrowed == ((from & ~to) != 0), "%u -> %u", from, to);
            HOST_CHECK(change.leaves == (from != to) && change.global == (from != to), "%u -> %u", from, to);
            HOST_CHECK(change.stride == (from == to ? PT_4K : PT_2M) && !change.tables, "%u -> %u", from, to);
        }
}

HOST_TEST(remap_is_one_exchange)
{
    u64 old;
    fresh();
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA), PT_2M, PT_WRITE) == ERR_OK, "map");
    phys_touch(pt.root.v, VA + 5, true);
    HOST_CHECK(pt_remap(&pt, VA, PADDR(PA), PT_4K, 0, &old) == ERR_ABSENT, "no page of that size");
    HOST_CHECK(pt_remap(&pt, VA + 2 * MIB, PADDR(PA), PT_2M, 0, &old) == ERR_ABSENT, "nothing there");
    HOST_CHECK(pt_remap(&pt, VA, PADDR(PA + PAGE_SIZE), PT_2M, 0, &old) == ERR_INVAL, "misaligned pa");
    phys_history_start(NULL);
    HOST_CHECK(pt_remap(&pt, VA, PADDR(PA + 2 * MIB), PT_2M, PT_EXEC, &old) == ERR_OK, "remap");
    HOST_CHECK(phys_history_stop() == 1 && phys_history(0)->old == old, "one write");
    struct phys_translation t = walk(VA);
    HOST_CHECK(t.pa == PA + 2 * MIB && prot_of(&t) == PT_EXEC && !t.dirty && (old & PTE_DIRTY), "old %llx",
               (unsigned long long)old);
}

HOST_TEST(bits_are_harvested_once)
{
    bool was;
    fresh();
    HOST_CHECK(pt_map(&pt, VA, PADDR(PA), PT_2M, PT_WRITE) == ERR_OK, "map");
    HOST_CHECK(phys_touch(pt.root.v, VA + 77, true), "write");
    HOST_CHECK(pt_clear_bits(&pt, VA + PAGE_SIZE, PT_DIRTY, &was) == ERR_OK && was, "dirty");
    HOST_CHECK(walk(VA).accessed && !walk(VA).dirty, "only the bit that was asked for");
    HOST_CHECK(pt_clear_bits(&pt, VA, PT_DIRTY, &was) == ERR_OK && !was, "again");
    HOST_CHECK(pt_clear_bits(&pt, VA, PT_DIRTY | PTE_WRITE, &was) == ERR_INVAL, "no other bits");
    HOST_CHECK(pt_clear_bits(&pt, VA - 1, PT_DIRTY, &was) == ERR_ABSENT, "nothing there");
}

HOST_TEST(destroy_gives_every_table_back)
{
    fresh();
    HOST_CHECK(pt_map_range(&pt, VA - PAGE_SIZE, PADDR(PA - PAGE_SIZE), GIB + 2 * PAGE_SIZE, PT_1G, 0) ==
                   ERR_OK,
               "user");
    HOST_CHECK(pt_map(&pt, KVA, PADDR(PA), PT_4K, 0) == ERR_OK, "kernel");
    pt_destroy_user(&pt);
    HOST_CHECK(phys_tables(pt.root.v) == 4 && pool.freed == pool.allocated - 3 && !pool.retired, "%u freed",
               pool.freed);
    HOST_CHECK(walk(KVA).present && !walk(VA).present, "only the user half went");
}
