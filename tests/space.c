/* Address spaces: what they refuse, how they number their changes, and operations that find the work done. */
#include "mm/space.h"

#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "tests/residents.h"
#include "tests/window.h"

#define SPACE_MS 5000u
/* How long the target takes no interrupts: far more than the turns after which a waiting initiator sets up its watchdog. */
#define HELD_MS 2u

static void space_refuses_global_user_pages(struct test *t)
{
    struct space *s;
    paddr_t p;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    if (CHECK(t, frame_alloc(FRAME_OWNER_TEST, &p) == ERR_OK, "no frame")) {
        err_t e = space_map(s, TEST_USER_VA, p, PAGE_SIZE, PT_4K, PT_WRITE | PT_GLOBAL);
        CHECK(t, e == ERR_INVAL, "mapping a global user page gave: %s", err_name(e));
        e = space_map(s, TEST_USER_VA, p, PAGE_SIZE, PT_4K, PT_WRITE);
        CHECK(t, e == ERR_OK, "map: %s", err_name(e));
        e = space_remap(s, TEST_USER_VA, p, PT_4K, PT_WRITE | PT_GLOBAL);
        CHECK(t, e == ERR_INVAL, "making a user page global gave: %s", err_name(e));
    }
    space_destroy(s);
    frame_free(p);
}
TEST(space_refuses_global_user_pages, "no global entry in a user half: a load of CR3 would not forget it");

static void space_generations_are_its_own(struct test *t)
{
    tlb_gen_t last = 0;
    for (u32 i = 0; i < 4; i++) {
        struct space *s;
        REQUIRE(t, space_create(&s) == ERR_OK, "no space");
        CHECK(t, s->gen > last, "a space begins with generation %llu, and one before it had reached %llu",
              (unsigned long long)s->gen, (unsigned long long)last);
        CHECK(t, space_map_fresh(s, TEST_USER_VA, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "map");
        CHECK(t, space_unmap(s, TEST_USER_VA, TEST_USER_VA + PAGE_SIZE) == ERR_OK, "unmap");
        last = s->gen;
        space_destroy(s);
    }
}
TEST(space_generations_are_its_own,
     "a late request for a space that is gone is never taken for the next one's");

static struct earlier {
    struct space *space;
    u32 holding, changed;
    err_t unmapped;
} earlier;

/* Has the space loaded, and takes no interrupts until some time after the change. */
static void hold_main(void *arg)
{
    (void)arg;
    preempt_disable();
    space_load(earlier.space);
    irq_disable();
    atomic_store_relaxed(&earlier.holding, 1);
    struct wait w = WAIT("the change in flight", wait_ms(SPACE_MS));
    while (!atomic_load_relaxed(&earlier.changed) && wait_spin(&w))
        ;
    u64 start = rdtsc(), held = wait_ms(HELD_MS);
    while (rdtsc() - start < held)
        cpu_pause();
    irq_enable();
    space_load(NULL);
    preempt_enable();
}

static void change_main(void *arg)
{
    (void)arg;
    earlier.unmapped = space_unmap(earlier.space, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
}

static void wait_until(struct test *t, const char *what, bool (*holds)(tlb_gen_t), tlb_gen_t gen)
{
    struct wait w = WAIT(what, wait_ms(SPACE_MS));
    while (!holds(gen))
        if (!wait_spin(&w)) {
            CHECK(t, false, "%s: waited in vain", what);
            return;
        }
}
static bool is_held(tlb_gen_t gen)
{
    (void)gen;
    return atomic_load_relaxed(&earlier.holding);
}
static bool is_raised(tlb_gen_t gen)
{
    return atomic_load_relaxed(&earlier.space->gen) > gen;
}

static void space_absent_waits_for_earlier(struct test *t)
{
    cpu_t holder = cpumask_next(&cpus_online, 1);
    cpu_t changer = holder == CPU_NONE ? CPU_NONE : cpumask_next(&cpus_online, holder + 1);
    struct residents r;
    if (changer == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return;
    }
    if (residents_enter_alone(t, &r)) {
        earlier = (struct earlier){.space = r.space};
        CHECK(t, space_map_fresh(r.space, RESIDENTS_FREE_VA, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "map");
        tlb_gen_t before = r.space->gen;
        CHECK(t, worker_start(holder, hold_main, NULL) == ERR_OK, "CPU %u is at other work", holder);
        wait_until(t, "a CPU that takes no interrupts", is_held, 0);
        CHECK(t, worker_start(changer, change_main, NULL) == ERR_OK, "CPU %u is at other work", changer);
        wait_until(t, "another CPU's change", is_raised, before);
        atomic_store_relaxed(&earlier.changed, 1);

        /* Beside the page in flight, so that no overlap makes it wait. */
        vaddr_t absent = RESIDENTS_FREE_VA + PAGE_SIZE;
        CHECK(t, space_unmap(r.space, absent, absent + PAGE_SIZE) == ERR_OK, "unmap of an absent page");
        CHECK(t,
              published(&r.space->cpu[holder], before + 1, TLB_ENTERED) ||
                  !cpumask_test_relaxed(&r.space->active, holder),
              "CPU %u had not heard of the change in flight when an unmap that may rely on it returned",
              holder);
        CHECK(t, worker_wait(changer, SPACE_MS) == ERR_OK, "CPU %u does not finish", changer);
        CHECK(t, worker_wait(holder, SPACE_MS) == ERR_OK, "CPU %u does not finish", holder);
        CHECK(t, earlier.unmapped == ERR_OK, "unmap: %s", err_name(earlier.unmapped));
    }
    residents_leave(t, &r);
}
TEST(space_absent_waits_for_earlier, "unmapping what is already gone waits until every CPU has heard of it");
