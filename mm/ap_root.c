#include "mm/ap_root.h"

#include "lib/atomic.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/pte.h"

static err_t table_alloc(struct pt_pool *pool, paddr_t *out)
{
    (void)pool;
    return frame_alloc_zeroed(FRAME_OWNER_TABLE, out);
}

/* No CPU that is not in the trampoline walks these tables, and the caller knows when the last has left it. */
static void table_free(struct pt_pool *pool, paddr_t page)
{
    (void)pool;
    frame_free(page);
}

static struct pt_pool pool = {.alloc = table_alloc, .retire = table_free};

err_t kmap_ap_root(paddr_t trampoline_page, paddr_t *temp_root)
{
    struct pt pt = {.pool = &pool};
    err_t e = frame_alloc_below(4 * GIB, FRAME_OWNER_TABLE, &pt.root);
    if (e != ERR_OK)
        return e;

    const u64 *from = phys_to_virt(kernel_pt.root);
    u64 *to = phys_to_virt(pt.root);
    for (u32 i = 0; i < PT_ENTRIES; i++)
        atomic_store_relaxed(&to[i],
                             i < pt_index(KERNEL_HALF, PT_LEVEL_ROOT) ? 0 : atomic_load_relaxed(&from[i]));
    /* Writable and executable at once, as nowhere else: the trampoline counts arrivals in its own page. It lasts
     * until all APs have arrived, and no CPU that runs threads ever loads it. */
    e = pt_map(&pt, trampoline_page.v, trampoline_page, PT_4K, PT_WRITE | PT_EXEC);
    if (e != ERR_OK) {
        frame_free(pt.root);
        return e;
    }
    *temp_root = pt.root;
    return ERR_OK;
}

void kmap_ap_root_free(paddr_t temp_root)
{
    struct pt pt = {.root = temp_root, .pool = &pool};
    pt_destroy_user(&pt);
    frame_free(temp_root);
}
