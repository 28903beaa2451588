/* CPUs that keep a space's root without running in it: what they are told, what they are not, and how a space dies around
 * them. */
#include "apic/apic.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "mm/frame.h"
#include "mm/pte.h"
#include "mm/respond.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LAZY_MS  5000u
#define LEAF_VA  (TEST_USER_VA + PAGE_SIZE)
#define LONE_VA  (TEST_USER_VA + GIB) /* its unmapping frees tables */
#define CONTENT  0x1a221a221a221a22ull
#define OTHERS_0 1u

/* One CPU that loads a space, uses two pages of it, borrows it, and waits; then, if told to, comes back and looks. */
static struct lazy {
    struct space *space;
    u32 step; /* LAZY_... */
    bool used, gate_open, root_kept;
    int leaf, lone; /* vectors of the reads after the return; 0: none */
} lazy;
enum { LAZY_START, LAZY_BORROWED, LAZY_RETURN, LAZY_STAY_AWAY };

static bool wait_step(u32 step)
{
    struct wait w = WAIT("the other CPU's step", wait_ms(LAZY_MS));
    /* orders: what the other CPU did before its step; pairs with: tests/space_lazy.c:set_step (release); else: we would look
     * too early. */
    while (atomic_load_acquire(&lazy.step) < step)
        if (!wait_spin(&w))
            return false;
    return true;
}
static void set_step(u32 step)
{
    /* orders: what we did before the step; pairs with: tests/space_lazy.c:wait_step (acquire); else: as there. */
    atomic_store_release(&lazy.step, step);
}

static bool root_is(const struct space *s)
{
    return (cr3_read() & PTE_ADDRESS) == s->pt.root.v;
}

static void lazy_main(void *arg)
{
    u64 v;
    (void)arg;
    preempt_disable();
    space_load(lazy.space);
    lazy.used =
        safe_read_u64((void *)LEAF_VA, &v) == 0 && v == CONTENT && safe_read_u64((void *)LONE_VA, &v) == 0;
    space_borrow();
    lazy.gate_open = nmi_user_access_ok(lazy.space);
    lazy.root_kept = root_is(lazy.space) && space_loaded() == lazy.space;
    set_step(LAZY_BORROWED);
    if (wait_step(LAZY_RETURN) && atomic_load_relaxed(&lazy.step) == LAZY_RETURN) {
        space_load(lazy.space);
        lazy.leaf = safe_read_u64((void *)LEAF_VA, &v);
        lazy.lone = safe_read_u64((void *)LONE_VA, &v);
    }
    if (space_loaded())
        space_load(NULL);
    preempt_enable();
}

/* Makes CPU 1 borrow a new space with both pages mapped. CPU_NONE: failed, or skipped, and said so. */
static cpu_t lazy_begin(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, OTHERS_0);
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return CPU_NONE;
    }
    lazy = (struct lazy){0};
    if (!CHECK(t, space_create(&lazy.space) == ERR_OK, "no space"))
        return CPU_NONE;
    bool mapped = space_map_fresh(lazy.space, TEST_USER_VA, 2, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK &&
                  space_map_fresh(lazy.space, LONE_VA, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK;
    if (CHECK(t, mapped, "mapping failed")) {
        observe_fill(space_query(lazy.space, LEAF_VA).pa, CONTENT);
        if (CHECK(t, worker_start(cpu, lazy_main, NULL) == ERR_OK, "CPU %u is at other work", cpu)) {
            CHECK(t, wait_step(LAZY_BORROWED), "CPU %u does not borrow", cpu);
            CHECK(t, lazy.used, "CPU %u could not use the pages", cpu);
            return cpu;
        }
    }
    space_destroy(lazy.space);
    return CPU_NONE;
}

static void lazy_end(struct test *t, cpu_t cpu, u32 last_step, bool destroy)
{
    set_step(last_step);
    CHECK(t, worker_wait(cpu, 2 * LAZY_MS) == ERR_OK, "CPU %u does not finish", cpu);
    if (destroy)
        space_destroy(lazy.space);
}

static void space_borrow_keeps_the_root(struct test *t)
{
    cpu_t cpu = lazy_begin(t);
    if (cpu == CPU_NONE)
        return;
    CHECK(t, lazy.root_kept, "the root was not kept");
    CHECK(t, !lazy.gate_open, "an NMI may touch user memory while the space is only borrowed");
    CHECK(t, !cpumask_test_relaxed(&lazy.space->active, cpu), "it is still told of every change");
    CHECK(t, cpumask_test_relaxed(&lazy.space->loaded, cpu), "it is not told of freed tables");
    lazy_end(t, cpu, LAZY_RETURN, true);
    CHECK(t, !lazy.leaf && !lazy.lone, "after the return the pages give vectors %d and %d", lazy.leaf,
          lazy.lone);
}
TEST(space_borrow_keeps_the_root,
     "a borrowing CPU keeps the root, leaves the active mask, and closes the NMI gate");

static void space_borrow_is_not_interrupted(struct test *t)
{
    cpu_t cpu = lazy_begin(t);
    if (cpu == CPU_NONE)
        return;
    u64 icr = apic_icr_writes(), flushed = counter_now(t, "space_return_flushes");
    CHECK(t, space_unmap(lazy.space, LEAF_VA, LEAF_VA + PAGE_SIZE) == ERR_OK, "unmap");
    CHECK(t, apic_icr_writes() == icr, "a borrowing CPU was interrupted for a leaf");
    lazy_end(t, cpu, LAZY_RETURN, true);
    CHECK(t, lazy.leaf == EXC_PAGE_FAULT, "after the return the unmapped page gave vector %d, not #PF",
          lazy.leaf);
    CHECK(t, counter_now(t, "space_return_flushes") == flushed + 1, "the return did not flush");
}
TEST(space_borrow_is_not_interrupted,
     "a borrowing CPU is not told of a leaf, and has forgotten it when it comes back");

static void space_return_without_change_flushes_nothing(struct test *t)
{
    cpu_t cpu = lazy_begin(t);
    if (cpu == CPU_NONE)
        return;
    u64 flushed = counter_now(t, "space_return_flushes"), returns = counter_now(t, "space_returns");
    lazy_end(t, cpu, LAZY_RETURN, true);
    CHECK(t, counter_now(t, "space_returns") == returns + 1, "it did not come back to a borrowed root");
    CHECK(t, counter_now(t, "space_return_flushes") == flushed, "it flushed, and nothing had changed");
}
TEST(space_return_without_change_flushes_nothing,
     "coming back to a borrowed space that nobody has changed flushes nothing");

/* Linux 2ff6ddf19c0e: CPUs in lazy mode were skipped when tables were freed, and walked them by speculation. Seen from
 * outside: when the operation that freed tables has returned, nobody has the root that led to them, or has flushed since. */
static void bug_lazy_cpu_walks_freed_tables(struct test *t)
{
    cpu_t cpu = lazy_begin(t);
    if (cpu == CPU_NONE)
        return;
    u64 gave_up = counter_now(t, "space_gave_up");
    tlb_gen_t gen = lazy.space->gen;
    CHECK(t, space_unmap(lazy.space, LONE_VA, LONE_VA + PAGE_SIZE) == ERR_OK, "unmap");
    CHECK(t,
          !cpumask_test_relaxed(&lazy.space->loaded, cpu) ||
              tlb_published(&lazy.space->cpu[cpu], gen + 1, TLB_WALKERS),
          "tables were freed while CPU %u may still walk them", cpu);
    CHECK(t, counter_now(t, "space_gave_up") == gave_up + 1, "CPU %u did not give the root up", cpu);
    lazy_end(t, cpu, LAZY_RETURN, true);
    CHECK(t, lazy.lone == EXC_PAGE_FAULT && !lazy.leaf, "after the return: vectors %d and %d", lazy.lone,
          lazy.leaf);
}
TEST(bug_lazy_cpu_walks_freed_tables,
     "Linux 2ff6ddf19c0e: tables are freed only when borrowing CPUs have given the root up too");

static void space_destroy_dismisses_borrowers(struct test *t)
{
    cpu_t cpu = lazy_begin(t);
    if (cpu == CPU_NONE)
        return;
    /* No table is freed before the destruction itself, and this CPU borrows the space as well. */
    preempt_disable();
    space_load(lazy.space);
    space_borrow();
    preempt_enable();
    space_destroy(lazy.space);
    CHECK(t, space_loaded() == NULL && root_is(&kernel_space), "the destroyer still has the dead root");
    lazy_end(t, cpu, LAZY_STAY_AWAY, false);
}
TEST(space_destroy_dismisses_borrowers, "a space dies safely while CPUs, the destroyer too, still borrow it");

static void space_destroy_without_tables(struct test *t)
{
    struct space *s;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    preempt_disable();
    space_load(s);
    space_borrow();
    preempt_enable();
    space_destroy(s);
    CHECK(t, space_loaded() == NULL && root_is(&kernel_space), "the destroyer still has the dead root");
}
TEST(space_destroy_without_tables, "the same when the space never had a page, so that no table is freed");
