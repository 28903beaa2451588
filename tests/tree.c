#include "tests/tree.h"

#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/pte.h"

static err_t table_alloc(struct pt_pool *pool, paddr_t *out)
{
    (void)pool;
    return frame_alloc_zeroed(FRAME_OWNER_TABLE, out);
}

/* Tables are unlinked while the tree is loaded nowhere, and the load of CR3 afterwards forgets them. */
static void table_free(struct pt_pool *pool, paddr_t page)
{
    (void)pool;
    frame_free(page);
}

bool tree_make(struct test *t, struct tree *tree)
{
    tree->pool = (struct pt_pool){.alloc = table_alloc, .retire = table_free};
    tree->pt.pool = &tree->pool;
    if (!CHECK(t, frame_alloc_zeroed(FRAME_OWNER_TABLE, &tree->pt.root) == ERR_OK, "out of memory"))
        return false;
    const u64 *from = phys_to_virt(kernel_pt.root);
    u64 *to = phys_to_virt(tree->pt.root);
    for (u32 i = PT_ENTRIES / 2; i < PT_ENTRIES; i++)
        atomic_store_relaxed(&to[i], atomic_load_relaxed(&from[i]));
    return true;
}

void tree_free(struct tree *tree)
{
    pt_destroy_user(&tree->pt);
    frame_free(tree->pt.root);
}

struct loaded {
    u64 cr3;
    bool irq;
};

static struct loaded load(const struct tree *tree)
{
    struct loaded before = {.irq = irq_save(), .cr3 = cr3_read()};
    cr3_write(tree->pt.root.v);
    return before;
}

static void unload(struct loaded before)
{
    cr3_write(before.cr3);
    irq_restore(before.irq);
}

int tree_read(const struct tree *tree, vaddr_t va, u64 *out)
{
    struct loaded before = load(tree);
    int vector = safe_read_u64((void *)va, out);
    unload(before);
    return vector;
}

int tree_write(const struct tree *tree, vaddr_t va, u64 value)
{
    struct loaded before = load(tree);
    int vector = safe_write_u64((void *)va, value);
    unload(before);
    return vector;
}

int tree_call(const struct tree *tree, vaddr_t va, u64 *out)
{
    struct loaded before = load(tree);
    int vector = safe_call((u64(*)(void))va, out);
    unload(before);
    return vector;
}
