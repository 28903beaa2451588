/* Page tables on the real MMU, in a tree of their own (tests/tree.h), and the kernel's. */
#include "mm/pt.h"

#include "lib/atomic.h"
#include "lib/features.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/pte.h"
#include "tests/tree.h"

#define VA        0x0000123440000000ull /* 1 GiB aligned, far from anything */
#define PF_VECTOR 14

/* A 2 MiB block whose every page begins with its own number. */
static bool block_make(struct test *t, paddr_t *block)
{
    if (!CHECK(t, frame_alloc_order(FRAME_2M, FRAME_OWNER_TEST, block) == ERR_OK, "no block of 2 MiB"))
        return false;
    for (u64 i = 0; i < PT_ENTRIES; i++)
        *(u64 *)phys_to_virt(paddr_add(*block, i * PAGE_SIZE)) = i;
    return true;
}

static u32 pages_readable(const struct tree *tree, vaddr_t va)
{
    u32 right = 0;
    for (u64 i = 0; i < PT_ENTRIES; i++) {
        u64 v = ~0ull;
        right += tree_read(tree, va + i * PAGE_SIZE, &v) == 0 && v == i;
    }
    return right;
}

static void pt_sizes(struct test *t)
{
    struct tree tree;
    paddr_t block;
    if (!tree_make(t, &tree))
        return;
    if (block_make(t, &block)) {
        u64 v = 0;
        CHECK(t, pt_map(&tree.pt, VA + PAGE_SIZE, block, PT_4K, PT_WRITE) == ERR_OK, "4 KiB");
        CHECK(t, pt_map(&tree.pt, VA + 2 * MIB, block, PT_2M, PT_WRITE) == ERR_OK, "2 MiB");
        CHECK(t, tree_read(&tree, VA + PAGE_SIZE, &v) == 0 && v == 0, "4 KiB page: %llu",
              (unsigned long long)v);
        CHECK(t, tree_write(&tree, VA + PAGE_SIZE + 8, 77) == 0, "write");
        CHECK(t, tree_read(&tree, VA + 2 * MIB + 8, &v) == 0 && v == 77,
              "the same frame under another address: %llu", (unsigned long long)v);
        CHECK(t, pages_readable(&tree, VA + 2 * MIB) == PT_ENTRIES, "all of the 2 MiB page");
        CHECK(t,
              tree_read(&tree, VA, &v) == PF_VECTOR && tree_read(&tree, VA + 2 * PAGE_SIZE, &v) == PF_VECTOR,
              "neighbours");
        if (features.page_1g) {
            paddr_t giga = PADDR(ALIGN_DOWN(block.v, GIB));
            CHECK(t, pt_map(&tree.pt, VA + GIB, giga, PT_1G, PT_READ) == ERR_OK, "1 GiB");
            CHECK(t, pages_readable(&tree, VA + GIB + (block.v - giga.v)) == PT_ENTRIES,
                  "the block inside the 1 GiB page");
        }
        struct pt_change c;
        CHECK(t,
              pt_unmap(&tree.pt, VA, VA + 2 * GIB, NULL, &c) == ERR_OK &&
                  c.leaves == (features.page_1g ? 3 : 2),
              "%llu leaves", (unsigned long long)c.leaves);
        CHECK(t, tree_read(&tree, VA + PAGE_SIZE, &v) == PF_VECTOR, "unmapped");
        frame_free(block);
    }
    tree_free(&tree);
}
TEST(pt_sizes, "pages of 4 KiB, 2 MiB and 1 GiB translate as mapped");

static u64 forty_two(void)
{
    return 42;
}

static void pt_rights(struct test *t)
{
    struct tree tree;
    u64 v = 0;
    if (!tree_make(t, &tree))
        return;
    u64 function = (u64)forty_two;
    paddr_t text = PADDR(ALIGN_DOWN(virt_to_phys((void *)function).v, PAGE_SIZE));
    vaddr_t entry = VA + function % PAGE_SIZE;
    struct pt_change c;

    CHECK(t, pt_map_range(&tree.pt, VA, text, 2 * PAGE_SIZE, PT_4K, PT_READ) == ERR_OK, "map");
    CHECK(t, tree_read(&tree, VA, &v) == 0 && tree_write(&tree, VA, 0) == PF_VECTOR, "read only");
    CHECK(t, tree_call(&tree, entry, &v) == PF_VECTOR, "not executable");
    CHECK(t,
          pt_protect(&tree.pt, VA, VA + 2 * PAGE_SIZE, PT_EXEC, NULL, &c) == ERR_OK && !c.narrowed &&
              c.leaves == 2,
          "exec");
    CHECK(t, tree_call(&tree, entry, &v) == 0 && v == 42, "executable: %llu", (unsigned long long)v);
    CHECK(t, pt_protect(&tree.pt, VA, VA + 2 * PAGE_SIZE, PT_READ, NULL, &c) == ERR_OK && c.narrowed,
          "and back");
    CHECK(t, tree_call(&tree, entry, &v) == PF_VECTOR && tree_read(&tree, VA, &v) == 0, "not any more");
    tree_free(&tree);
}
TEST(
    pt_rights,
    "writes to read-only pages and execution of no-execute pages fault, before and after a change of rights");

static void pt_accessed_dirty(struct test *t)
{
    struct tree tree;
    paddr_t p;
    u64 v;
    bool was = false;
    if (!tree_make(t, &tree))
        return;
    REQUIRE(t, frame_alloc_zeroed(FRAME_OWNER_TEST, &p) == ERR_OK, "out of memory");
    CHECK(t, pt_map(&tree.pt, VA, p, PT_4K, PT_WRITE) == ERR_OK, "map");
    CHECK(t, !pt_walk(&tree.pt, VA).accessed && !pt_walk(&tree.pt, VA).dirty,
          "a new page is neither accessed nor dirty");
    tree_read(&tree, VA, &v);
    CHECK(t, pt_walk(&tree.pt, VA).accessed && !pt_walk(&tree.pt, VA).dirty, "a read makes it accessed");
    tree_write(&tree, VA, 1);
    CHECK(t, pt_walk(&tree.pt, VA).dirty, "a write makes it dirty");
    CHECK(t, pt_clear_bits(&tree.pt, VA, PT_DIRTY | PT_ACCESSED, &was) == ERR_OK && was, "harvest");
    CHECK(t, !pt_walk(&tree.pt, VA).accessed && !pt_walk(&tree.pt, VA).dirty, "harvested");
    tree_write(&tree, VA, 2);
    CHECK(t, pt_walk(&tree.pt, VA).accessed && pt_walk(&tree.pt, VA).dirty,
          "the next write after a flush sets both again");
    tree_free(&tree);
    frame_free(p);
}
TEST(pt_accessed_dirty,
     "the walker sets the accessed and dirty bits, and again after they were harvested and flushed");

static void pt_split_merge(struct test *t)
{
    struct tree tree;
    paddr_t block;
    struct pt_change c;
    if (!tree_make(t, &tree))
        return;
    if (block_make(t, &block)) {
        vaddr_t hole = VA + 100 * PAGE_SIZE;
        u64 v = 0;
        CHECK(t, pt_map(&tree.pt, VA, block, PT_2M, PT_WRITE) == ERR_OK, "map");
        CHECK(t, pt_split(&tree.pt, VA, PT_2M, &c) == ERR_OK && pt_walk(&tree.pt, VA).size == PT_4K, "split");
        CHECK(t, pages_readable(&tree, VA) == PT_ENTRIES, "split pages read as before");
        CHECK(t, pt_protect(&tree.pt, hole, hole + PAGE_SIZE, PT_READ, NULL, &c) == ERR_OK && c.leaves == 1,
              "one page");
        CHECK(t, tree_write(&tree, hole, 1) == PF_VECTOR, "the page itself");
        CHECK(t, tree_write(&tree, hole - 8, 1) == 0 && tree_write(&tree, hole + PAGE_SIZE + 8, 1) == 0,
              "its neighbours");
        CHECK(t, pt_merge(&tree.pt, VA, PT_2M, &c) == ERR_INVAL, "unequal pages do not merge");
        CHECK(t, pt_protect(&tree.pt, VA, VA + 2 * MIB, PT_WRITE, NULL, &c) == ERR_OK && c.leaves == 1,
              "equal again");
        CHECK(t, pt_merge(&tree.pt, VA, PT_2M, &c) == ERR_OK && c.tables == 1, "merge");
        CHECK(t, pt_walk(&tree.pt, VA).size == PT_2M && tree_write(&tree, hole, 100) == 0, "one page again");
        CHECK(t, pages_readable(&tree, VA) == PT_ENTRIES, "merged page reads as before");
        /* A part of a large page goes: the rest stays, in small pages. */
        CHECK(t, pt_unmap(&tree.pt, hole, hole + PAGE_SIZE, NULL, &c) == ERR_OK && c.leaves == 1, "part");
        CHECK(t, tree_read(&tree, hole, &v) == PF_VECTOR && pages_readable(&tree, VA) == PT_ENTRIES - 1,
              "all but one");
        CHECK(t, pt_unmap(&tree.pt, VA, VA + 2 * MIB, NULL, &c) == ERR_OK && c.leaves == 511 && c.tables == 3,
              "the rest");
        frame_free(block);
    }
    tree_free(&tree);
}
TEST(pt_split_merge,
     "a large page split, changed in part, merged and cut up keeps its contents for the real MMU");

static void pt_counts(struct test *t)
{
    struct tree tree;
    paddr_t block;
    struct pt_change c;
    u64 old;
    if (!tree_make(t, &tree))
        return;
    if (block_make(t, &block)) {
        struct frame *first = frame_of(block), *second = frame_of(paddr_add(block, PAGE_SIZE));
        CHECK(t,
              pt_map(&tree.pt, VA, block, PT_2M, 0) == ERR_OK && first->mappings == 1 &&
                  second->mappings == 0,
              "2 MiB: %u", first->mappings);
        CHECK(t, pt_map(&tree.pt, VA + GIB, block, PT_4K, 0) == ERR_OK && first->mappings == 2, "twice: %u",
              first->mappings);
        CHECK(t, pt_split(&tree.pt, VA, PT_2M, &c) == ERR_OK && first->mappings == 2 && second->mappings == 1,
              "split: %u, %u", first->mappings, second->mappings);
        CHECK(t, pt_merge(&tree.pt, VA, PT_2M, &c) == ERR_OK && first->mappings == 2 && second->mappings == 0,
              "merged: %u", second->mappings);
        CHECK(t, pt_remap(&tree.pt, VA + GIB, paddr_add(block, PAGE_SIZE), PT_4K, 0, &old) == ERR_OK,
              "remap");
        CHECK(t, first->mappings == 1 && second->mappings == 1, "remapped: %u, %u", first->mappings,
              second->mappings);
        CHECK(t,
              pt_unmap(&tree.pt, VA, VA + 2 * GIB, NULL, &c) == ERR_OK && !first->mappings &&
                  !second->mappings,
              "unmapped");
        frame_free(block);
    }
    tree_free(&tree);
}
TEST(pt_counts, "a frame's descriptor counts the leaves that point at it, through split, merge and remap");

static void free_owned(struct pt_visitor *v, vaddr_t va, enum pt_size size, u64 old_pte)
{
    (void)v;
    (void)va;
    if (old_pte & PTE_OWNED)
        frame_free(pte_page(old_pte, pt_level_of(size)));
}

static void pt_owned(struct test *t)
{
    struct pt_visitor visitor = {free_owned};
    struct tree tree;
    paddr_t block;
    struct pt_change c;
    if (!tree_make(t, &tree))
        return;
    u64 free = frame_stats().free;
    if (block_make(t, &block)) {
        CHECK(t, pt_map(&tree.pt, VA, block, PT_2M, PT_WRITE | PT_OWNED) == ERR_OK, "map");
        CHECK(t, pt_split(&tree.pt, VA, PT_2M, &c) == ERR_OK && frame_of(block)->order == FRAME_4K,
              "split: order %u", frame_of(block)->order);
        CHECK(t, pt_merge(&tree.pt, VA, PT_2M, &c) == ERR_OK && frame_of(block)->order == FRAME_2M,
              "merged: order %u", frame_of(block)->order);
        /* A page out of the middle: one frame is freed, the others stay the mapping's, one by one. */
        CHECK(t,
              pt_unmap(&tree.pt, VA + 5 * PAGE_SIZE, VA + 6 * PAGE_SIZE, &visitor, &c) == ERR_OK &&
                  c.leaves == 1,
              "part");
        CHECK(t, pages_readable(&tree, VA) == PT_ENTRIES - 1, "the others");
        CHECK(t, pt_merge(&tree.pt, VA, PT_2M, &c) == ERR_INVAL, "with a hole there is no block");
        CHECK(t, pt_unmap(&tree.pt, VA, VA + 2 * MIB, &visitor, &c) == ERR_OK && c.leaves == PT_ENTRIES - 1,
              "the rest");
        CHECK(t, frame_stats().free == free, "%llu of %llu frames are free",
              (unsigned long long)frame_stats().free, (unsigned long long)free);
    }
    tree_free(&tree);
}
TEST(pt_owned, "a block of frames that a large page owns is split, joined and freed with the page");

static bool big_enough(void *arg, vaddr_t va, const struct pt_entry *e)
{
    (void)va;
    u64 *bytes = arg;
    bytes[0] += 1ull << e->size;
    bytes[1] += !(e->prot & PT_GLOBAL);
    return true;
}

static void pt_kernel_tables(struct test *t)
{
    u64 seen[2] = {0};
    pt_for_each(&kernel_pt, KERNEL_HALF, 0, big_enough, seen);
    CHECK(t, seen[0] > frame_stats().total * PAGE_SIZE, "%llu MiB mapped",
          (unsigned long long)(seen[0] / MIB));
    CHECK(t, !features.pge || seen[1] == 0, "%llu kernel pages are not global", (unsigned long long)seen[1]);
    const u64 *root = phys_to_virt(kernel_pt.root);
    for (u32 i = 0; i < PT_ENTRIES / 2; i++)
        CHECK(t, atomic_load_relaxed(&root[i]) == 0, "user entry %u of the kernel's root is in use", i);
}
TEST(pt_kernel_tables,
     "the kernel's own tables map all memory, globally if the CPU can, and nothing in the user half");
