#include "mm/isolation.h"

#include "lib/counter.h"
#include "lib/features.h"
#include "lib/x86/tlb.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/pcid.h"
#include "mm/pte.h"

COUNTER(isolation_put_off, "flushes of a user root's entries that were put off until its next load");
COUNTER(isolation_noted, "pages of a user root, to be flushed on it (opt= with incontext)");

bool isolation_in_context;
PERCPU_ENTRY(struct isolation_range, isolation_range);

#ifdef VOLLEY_HOST
PERCPU(u64, isolation_host_kernel_cr3);
PERCPU(u64, isolation_host_user_cr3);
#endif

static paddr_t template_root = PADDR_NONE;

/* Slots whose user PCID has a flush put off that its last stay did not come to. Without this, a switch away and back would
 * lose it: the word in the head of the per-CPU block is the loaded space's only. */
static PERCPU(bool, user_behind)[PCID_SLOTS_MAX];

void isolation_begin(paddr_t root)
{
    template_root = root;
}

static u64 *root_entry(paddr_t root, u32 index)
{
    return (u64 *)phys_to_virt(root) + index;
}

/* Called by the page-table code under the space's lock. Whoever faults between the two stores finds the page in the tables,
 * and tries again. */
static void mirror(struct pt_pool *pool, u32 index, u64 value)
{
    struct space *s = container_of(pool, struct space, pool);
    if (index < pt_index(KERNEL_HALF, PT_LEVEL_ROOT))
        atomic_store_relaxed(root_entry(s->user_root, index), value);
}

err_t isolation_create(struct space *s)
{
    s->user_root = PADDR_NONE;
    if (paddr_is_none(template_root))
        return ERR_OK;
    err_t e = frame_alloc_zeroed(FRAME_OWNER_TABLE, &s->user_root);
    if (e != ERR_OK)
        return e;
    for (u32 i = pt_index(KERNEL_HALF, PT_LEVEL_ROOT); i < PT_ENTRIES; i++)
        atomic_store_relaxed(root_entry(s->user_root, i), atomic_load_relaxed(root_entry(template_root, i)));
    s->pool.root_changed = mirror;
    return ERR_OK;
}

void isolation_destroy(struct space *s)
{
    if (!paddr_is_none(s->user_root))
        frame_free(s->user_root);
}

void isolation_leave(void)
{
    u64 left = isolation_user_cr3();
    if (features.pcid && left) {
        u32 slot = (u32)(left & CR3_PCID & ~CR3_PCID_USER) - 1;
        (*this_cpu_ptr(user_behind))[slot] = !(left & CR3_KEEP);
    }
}

void isolation_enter(const struct space *s, u64 kernel_cr3)
{
    this_cpu(isolation_range).end = 0; /* whatever was in it, isolation_leave has seen bit 63 */
    isolation_kernel_cr3() = kernel_cr3 | (features.pcid ? CR3_KEEP : 0);
    if (!s) {
        isolation_user_cr3() = 0;
        return;
    }
    u64 user = s->user_root.v;
    if (features.pcid) {
        u64 pcid = kernel_cr3 & CR3_PCID;
        bool keep = (kernel_cr3 & CR3_KEEP) && !(*this_cpu_ptr(user_behind))[pcid - 1];
        user |= pcid | CR3_PCID_USER | (keep ? CR3_KEEP : 0);
    }
    isolation_user_cr3() = user;
}

void isolation_flush(void)
{
    if (!features.pcid)
        return; /* the load of ring 3's root forgets all anyway */
    counter_inc(isolation_put_off);
    this_cpu(isolation_range).end = 0;
    compiler_barrier();
    isolation_user_cr3() &= ~CR3_KEEP;
}

/* With what is there already, one range of all that lies between, as far as that is not more than would be flushed whole. */
static void note_range(vaddr_t start, u32 pages, enum pt_size stride)
{
    struct isolation_range *r = this_cpu_ptr(isolation_range);
    vaddr_t end = start + ((u64)pages << stride);
    if (!(isolation_user_cr3() & CR3_KEEP)) {
        if (!r->end)
            return; /* all will be forgotten */
        start = MIN(start, r->next);
        end = MAX(end, r->end);
        if (r->step != 1ull << stride || (end - start) >> stride > shootdown_ceiling) {
            isolation_flush();
            return;
        }
    }
    counter_add(isolation_noted, pages);
    r->next = start;
    r->step = 1ull << stride;
    r->end = end;
    compiler_barrier();
    isolation_user_cr3() &= ~CR3_KEEP;
}

void isolation_flush_range(vaddr_t start, u32 pages, enum pt_size stride)
{
    if (isolation_in_context && features.pcid) {
        note_range(start, pages, stride);
        return;
    }
    if (!features.invpcid || !(isolation_user_cr3() & CR3_KEEP)) {
        isolation_flush();
        return;
    }
    pcid_t pcid = (pcid_t)(isolation_user_cr3() & CR3_PCID);
    for (u64 step = 1ull << stride; pages; pages--, start += step)
        invpcid(INVPCID_ADDR, pcid, start);
}
