/* Address spaces: life, and the stale-fault rule. What changes their tables is in mm/space_ops.c, what makes a CPU's root one of
 * them in mm/space_load.c. */
#include "mm/space.h"

#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/isolation.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/respond.h"
#include "mm/tlb_local.h"
#include "smp/cpus.h"

COUNTER(fault_stale, "faults on a stale entry whose table entry already allowed the access");

struct space kernel_space;

#define ROOT_ENTRIES      512u
#define ROOT_KERNEL_FIRST 256u

err_t space_charge(struct space *s, u64 n)
{
    u64 before = atomic_fetch_add(&s->frames, n);
    if (likely(before + n <= s->frames_max))
        return ERR_OK;
    atomic_fetch_sub(&s->frames, n);
    return ERR_NOMEM;
}

void space_uncharge(struct space *s, u64 n)
{
    u64 before = atomic_fetch_sub(&s->frames, n);
    ASSERT(before >= n, "a space gives back no more frames than it was charged for");
}

static err_t table_alloc(struct pt_pool *pool, paddr_t *out)
{
    struct space *s = container_of(pool, struct space, pool);
    err_t e = space_charge(s, 1);
    if (e != ERR_OK)
        return e;
    e = frame_alloc_zeroed(FRAME_OWNER_TABLE, out);
    if (e != ERR_OK)
        space_uncharge(s, 1);
    return e;
}

/* Called by the page-table code, with the space's lock held, for a table that it has just unlinked. */
static void table_retire(struct pt_pool *pool, paddr_t page)
{
    struct space *s = container_of(pool, struct space, pool);
    ASSERT(s->at_work != NULL, "tables are unlinked only under a ticket");
    ticket_park_table(s->at_work, page);
}

/* A table that no walker can have seen: there is nothing to wait for. */
static void table_free(struct pt_pool *pool, paddr_t page)
{
    frame_free(page);
    space_uncharge(container_of(pool, struct space, pool), 1);
}

/* Spaces that have been filled. Each numbers its changes from a start of its own, so that a request that arrives late, for a
 * space that is gone, is old news to whatever space lies at its address by then. Were both to count from 1, a target could
 * take it for the new space's next change, flush the wrong pages and publish that it had flushed the right ones. */
static u64 spaces_filled;
#define GENERATIONS_EACH (1ull << 40) /* 16 million spaces, a million million changes each */

static void space_fill(struct space *s, paddr_t root, struct tlb_cpu *cpu)
{
    s->pool.alloc = table_alloc;
    s->pool.retire = table_retire;
    s->pool.free = table_free;
    s->pt.root = root;
    s->pt.pool = &s->pool;
    s->cpu = cpu;
    s->id = atomic_fetch_add(&spaces_filled, 1) + 1;
    /* Above the 0 of the published words, so that a CPU that never loaded it has reached nothing. */
    s->gen = (s->id - 1) * GENERATIONS_EACH + 1;
    s->frames_max = ~0ull;
}

err_t space_create(struct space **out)
{
    u64 bytes = sizeof(struct space) + cpu_count() * sizeof(struct tlb_cpu);
    u32 order = 0;
    while (PAGE_SIZE << order < bytes)
        order++;

    paddr_t block, root;
    err_t e = frame_alloc_order(order, FRAME_OWNER_KERNEL, &block);
    if (e != ERR_OK)
        return e;
    e = frame_alloc_zeroed(FRAME_OWNER_TABLE, &root);
    if (e != ERR_OK) {
        frame_free(block);
        return e;
    }
    struct space *s = phys_to_virt(block);
    memset(s, 0, PAGE_SIZE << order);
    space_fill(s, root, (struct tlb_cpu *)(s + 1));
    e = isolation_create(s);
    if (e != ERR_OK) {
        frame_free(root);
        frame_free(block);
        return e;
    }

    /* All spaces share the kernel half by pointing at the same tables below the root. kmap_init made them all, so no root
     * ever has to learn of a new one. */
    const u64 *from = phys_to_virt(kernel_pt.root);
    u64 *to = phys_to_virt(root);
    for (u32 i = ROOT_KERNEL_FIRST; i < ROOT_ENTRIES; i++)
        to[i] = from[i];
    *out = s;
    return ERR_OK;
}

/* Longer than any other wait of mm: whoever is waited for has a watchdog of its own, which names the culprit. */
#define LEAVE_LIMIT_MS 120000u

static void wait_left(const struct space *s, const cpumask_t *cpus, const char *what)
{
    struct wait w = WAIT(what, wait_ms(LEAVE_LIMIT_MS));
    cpumask_t there = {0};
    cpumask_snapshot(&there, cpus);
    CPUMASK_FOREACH (c, &there)
        /* orders: the reuse of the space's memory after the CPU's last access in it, or walk of it; pairs with:
         * mm/space_load.c:leave, mm/space_load.c:space_borrow (LOCKed clears); else: memory could be given away under it. */
        while (cpumask_test_acquire(cpus, c))
            if (!wait_spin(&w))
                panic("waited %u s for %s: CPU %u (APIC id %u) is still in space %llu", LEAVE_LIMIT_MS / 1000,
                      w.what, c, cpu_apic_id(c), (unsigned long long)s->id);
}

/* Makes the CPUs that only borrow the root give it up: a change for walkers is what they listen to. */
static void dismiss_borrowers(struct space *s)
{
    struct pt_change everything = {.tables = 1, .stride = PT_4K};
    struct tlb_ticket t;
    ticket_open(&t, s, USER_START, USER_END);
    ticket_close(&t, TLB_WALKERS, &everything);
    wait_left(s, &s->loaded, "the CPUs that borrow a dying space to give it up");
}

/* The unmap may have been put off, and its ticket be on the space's list, while a CPU that has just left gives the memory
 * back: an operation on the range waits for that. */
static void wait_released(struct space *s)
{
    struct tlb_ticket t;
    ticket_open_adding(&t, s, USER_START, USER_END);
    ticket_close(&t, TLB_NONE, NULL);
}

void space_destroy(struct space *s)
{
    ASSERT(s != &kernel_space, "the kernel's space stays");
    ASSERT(this_cpu(tlb_loaded) != s, "a CPU does not run in the space that it destroys");
    ASSERT_MAY_WAIT();
    /* Its last threads may just be on their way out. */
    wait_left(s, &s->active, "the CPUs that run in a dying space to leave it");
    err_t e = space_unmap(s, USER_START, USER_END);
    ASSERT(e == ERR_OK, "unmapping whole pages allocates nothing");
    if (!cpumask_empty(&s->loaded))
        dismiss_borrowers(s);
    wait_released(s);
    pt_destroy_user(&s->pt);
    isolation_destroy(s);
    frame_free(s->pt.root);
    frame_free(virt_to_phys(s));
}

bool space_fault_is_stale(vaddr_t va, bool write, bool exec, bool user)
{
    struct space *s = va >= DIRECT_MAP_BASE ? &kernel_space : this_cpu(tlb_loaded);
    if (!s)
        return false;
    struct pt_entry e = pt_walk(&s->pt, va);
    bool is_user = e.prot & PT_USER;
    if (!e.present || (write && !(e.prot & PT_WRITE)) || (exec && !(e.prot & PT_EXEC)) || (user && !is_user))
        return false;
    /* Ring 0 on a user page is SMAP's or SMEP's fault, not a stale entry's. */
    if (!user && is_user)
        return false;
    counter_inc(fault_stale);
    tlb_flush_range_local(va, 1, PT_4K);
    return true;
}

void space_init(void)
{
    u64 bytes = cpu_count() * sizeof(struct tlb_cpu);
    struct tlb_cpu *cpu = kmap_pages(ALIGN_UP(bytes, PAGE_SIZE) / PAGE_SIZE, FRAME_OWNER_KERNEL);
    if (!cpu)
        panic("no memory for the kernel space's %llu bytes of published generations",
              (unsigned long long)bytes);
    space_fill(&kernel_space, kernel_pt.root, cpu);
    tlb_local_init();
}

void space_init_cpu(void)
{
    ASSERT(!irq_enabled(), "a CPU joins the kernel's space before it takes interrupts");
    cpu_t self = cpu_self();
    /* As in space_load (mm/space_load.c): bit first, then the generation, then the flush. Whatever this CPU cached while it came up, before
     * anyone knew of it, is forgotten here. */
    cpumask_set_atomic(&kernel_space.loaded, self);
    cpumask_set_atomic(&kernel_space.active, self);
    /* orders: this read before the flush; pairs with: mm/ticket.c:ticket_close (LOCKed increment); else: a change made after
     * the flush would be published as forgotten. */
    tlb_gen_t gen = atomic_load_acquire(&kernel_space.gen);
    tlb_flush_all_local();
    tlb_publish_all(&kernel_space, gen);
}
