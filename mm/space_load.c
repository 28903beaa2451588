/* Which root a CPU has: loading a space, borrowing it, leaving it. Steps 11 and 12 of a shootdown.
 *
 * A CPU is in one of three states. It runs in a space (tlb_loaded): it is in `active` and `loaded`, and is told of every
 * change. It only borrows it (tlb_borrowed): it is in `loaded` alone, touches no user memory, and is told only of freed
 * tables, because its walker may still follow them by speculation; then it gives the root up. Or it has the kernel's root. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/stop_point.h"
#include "mm/isolation.h"
#include "mm/kmap.h"
#include "mm/pcid.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "mm/tlb_local.h"
#include "mm/tlb_record.h"

COUNTER(space_loads, "loads of a space's root");
COUNTER(space_loads_kept, "of these, that found their entries kept by a PCID");
COUNTER(space_returns, "returns to a space whose root was only borrowed meanwhile");
COUNTER(space_return_flushes, "of these, with a flush, because the space had changed");
COUNTER(space_gave_up, "borrowed roots given up because tables were freed");

/* Read by other CPUs in debug builds (mm/tlb_record.c), so not to be seen before what this CPU has published. */
PERCPU(struct space *, tlb_loaded);
PERCPU(struct space *, tlb_borrowed);
PERCPU(bool, tlb_switching);

struct space *space_loaded(void)
{
    struct space *s = this_cpu(tlb_loaded);
    return s ? s : this_cpu(tlb_borrowed);
}

struct space *space_running(void)
{
    return this_cpu(tlb_loaded);
}

/* Step 12: when another root is loaded, initiators may stop telling us about this one. Were the bits cleared before (OpenBSD
 * did that), one could skip us while we still read and walk. LOCKed: our last accesses in the space are over, and stores
 * have drained; pairs with: mm/ticket.c:has_reached, mm/space.c:wait_left. */
static void leave(struct space *s, cpu_t self)
{
    cpumask_unset_atomic(&s->active, self);
    cpumask_unset_atomic(&s->loaded, self);
}

/* Step 11: from the return on, initiators know of this CPU, and what it flushes from now on covers the returned generation. */
static ALWAYS_INLINE tlb_gen_t join(struct space *s, cpu_t self)
{
    /* The LOCKed set is the full fence.
     * orders: our bit in the mask before the read of the generation; pairs with: mm/ticket.c:ticket_close (LOCKed
     * increment, then the read of the mask); else: we could read an old generation while the initiator misses us. */
    cpumask_set_atomic(&s->active, self);
    STOP_POINT(STOP_JOINED);
    /* orders: this read before the flush that it is published for; pairs with: the same increment; else: a change made
     * after the flush would be published as forgotten. */
    return atomic_load_acquire(&s->gen);
}

static ALWAYS_INLINE void run_again(struct space *s)
{
    compiler_barrier();
    /* Last, because it opens the NMI gate. */
    this_cpu(tlb_borrowed) = NULL;
    this_cpu_store(tlb_loaded, s);
}

static COLD void catch_up(struct space *s, tlb_gen_t gen)
{
    counter_inc(space_return_flushes);
    tlb_flush_space_local();
    tlb_publish_all(s, gen);
    run_again(s);
}

/* Back to the space whose root is still loaded: only leaf changes can have been missed, and those only if the generation has
 * moved. */
static ALWAYS_INLINE void come_back(struct space *s, cpu_t self)
{
    tlb_gen_t gen = join(s, self);
    counter_inc(space_returns);
    if (s->cpu[self].flushed != gen) {
        catch_up(s, gen);
        return;
    }
    run_again(s);
}

/* Every load of a root goes through here. */
static ALWAYS_INLINE void write_root(const struct space *s, u64 cr3)
{
    if (patch_enabled(PATCH_PTI)) {
        isolation_leave();
        isolation_enter(s, cr3);
    }
    tlb_record_root(s, cr3);
    cr3_write(cr3);
}

void space_return(struct space *s)
{
    if (likely(s == this_cpu(tlb_borrowed)))
        come_back(s, cpu_self());
    else
        space_load(s);
}

static void load_kernel_root(void)
{
    write_root(NULL, features.pcid ? pcid_kernel_cr3(kernel_pt.root.v) : kernel_pt.root.v);
}

static ALWAYS_INLINE void load_root(struct space *s, cpu_t self)
{
    cpumask_set_atomic(&s->loaded, self);
    tlb_gen_t gen = join(s, self);
    struct tlb_cpu *me = &s->cpu[self];
    u64 cr3 = s->pt.root.v;
    /* Entries that the PCID has kept are good if they are this space's and nothing has changed since they were last brought up
     * to date. If something has, all of them go, with the paging-structure caches: what changed meanwhile is not known here.
     * Without PCIDs any load of CR3 forgets all but global entries, paging-structure caches included. */
    bool keep = false;
    if (features.pcid) {
        keep = pcid_slot_for(s->id, me) && me->flushed == gen;
        cr3 |= PCID_OF_SLOT(me->slot) | (keep ? CR3_KEEP : 0);
    }
    STOP_POINT(STOP_GEN_READ);
    write_root(s, cr3);
    STOP_POINT(STOP_ROOT);
    if (keep)
        counter_inc(space_loads_kept);
    else
        tlb_publish_all(s, gen);
}

void space_load(struct space *s)
{
    ASSERT(!context_is_irq() && !context_is_nmi(), "a message function does not change what it interrupted");
    bool was_on = irq_save();
    shootdown_user_open();
    struct space *old = space_loaded();
    cpu_t self = cpu_self();

    if (s != old) {
        counter_inc(space_loads);
        this_cpu(tlb_switching) = true;
        STOP_POINT(STOP_SWITCHING); /* a barrier for the compiler too */
        if (s)
            load_root(s, self);
        else
            load_kernel_root();
        this_cpu_store(tlb_loaded, s);
        this_cpu(tlb_borrowed) = NULL;
        compiler_barrier();
        this_cpu(tlb_switching) = false;
        STOP_POINT(STOP_LOADED);
        if (old)
            leave(old, self);
    } else if (s && s != this_cpu(tlb_loaded)) {
        come_back(s, self);
    }
    irq_restore(was_on);
}

void space_borrow(void)
{
    ASSERT(!context_is_irq() && !context_is_nmi(), "a message function does not change what it interrupted");
    bool was_on = irq_save();
    shootdown_user_open();
    struct space *s = this_cpu(tlb_loaded);
    if (s) {
        /* First the NMI gate closes, then initiators may stop telling us. The LOCKed clear: our accesses in the space are
         * over, and stores have drained; pairs with: mm/ticket.c:has_reached. */
        this_cpu(tlb_borrowed) = s;
        this_cpu_store(tlb_loaded, NULL);
        STOP_POINT(STOP_BORROWED); /* the same */
        cpumask_unset_atomic(&s->active, cpu_self());
    }
    irq_restore(was_on);
}

void space_give_up(void)
{
    struct space *s = this_cpu(tlb_borrowed);
    DEBUG_ASSERT(!irq_enabled() && s && !this_cpu(tlb_loaded), "only a borrowed root is given up");
    counter_inc(space_gave_up);
    load_kernel_root();
    this_cpu(tlb_borrowed) = NULL;
    leave(s, cpu_self());
}
