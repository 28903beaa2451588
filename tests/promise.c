/* The policy `promise`, and a CPU that forgets: the way back to ring 3 faults, whichever it is. */
#include "kernel/abi/syscall.h"
#include "kernel/gdt.h"
#include "kernel/stop_point.h"
#include "kernel/thread.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "tests/residents.h"
#include "tests/ring3.h"
#include "tests/trap_test.h"

/* It does not pause: where CPUs run in turns, a turn ends anywhere in it. */
extern const char ring3_time_call[];

#define CALLS 500u /* of a visit to ring 3: it looks at the test's wish to end between two */
/* Until a promise has met it in ring 3 and in a system call; the two take about as much time. */
#define BOTH_MS    3000u
#define FAULTS_PTI 20u /* where the two cannot be told apart */
#define END_MS     5000u

static struct {
    struct ring3 ring3;
    const struct shootdown_policy *policy;
    u32 stop, wrong, forgotten, faults, from_call, strange;
} guest;

static void call_again_and_again(void *arg)
{
    (void)arg;
    space_load(guest.ring3.space);
    while (!atomic_load_relaxed(&guest.stop)) {
        struct trap_frame f = ring3_frame(&guest.ring3, RING3_CODE(ring3_time_call));
        f.rax = SYS_NULL;
        f.r12 = CALLS;
        ring3_run(&guest.ring3, &f);
        guest.wrong += f.vector != EXC_INVALID_OPCODE || f.r12 != 0 || !f.r13;
    }
    space_load(NULL);
}

/* On the target, a promise just made and not yet acknowledged: what is to remind it is lost. In the message handler, interrupts off. */
static void forget(void *arg)
{
    (void)arg;
    if (this_cpu(percpu_head.user_work) & USER_WORK_BARRED) {
        this_cpu(percpu_head.user_work) &= ~USER_WORK_TLB;
        atomic_fetch_add(&guest.forgotten, 1);
    }
}

/* NMI context. Keeps the promise, so that the test goes on: the IRETQ is executed again. */
static bool caught(struct trap_frame *f)
{
    /* Above its frame there is nothing on the thread's stack; what the ways out have popped of it is still there, but with page-table
     * isolation, which moves it. A message handler has ring 3's RCX in that place. */
    const u64 *top = (const u64 *)this_cpu(percpu_head.kernel_stack);
    u64 vector = top[-(s64)((sizeof(struct trap_frame) - offsetof(struct trap_frame, vector)) / sizeof(u64))];
    if (vector == TRAP_SYSCALL)
        atomic_fetch_add(&guest.from_call, 1);
    guest.strange += (f->error | 3) != SEL_USER_CODE || trap_is_user(f) || !this_cpu(tlb_pending);
    guest.policy->leave();
    atomic_fetch_add(&guest.faults, 1); /* LOCKed; pairs with: tests/promise.c:seen_all */
    return true;
}

static bool seen_all(void)
{
    /* orders: the number of all before that of those from calls, which is counted first; pairs with: tests/promise.c:caught (LOCKed);
     * else: a fault could be taken for one from elsewhere. */
    u32 faults = atomic_load_acquire(&guest.faults), calls = atomic_load_relaxed(&guest.from_call);
    return features.pti ? faults >= FAULTS_PTI : calls && calls < faults;
}

static void take_pages_away(struct test *t)
{
    struct space *s = guest.ring3.space;
    struct wait w = WAIT("promises forgotten", wait_ms(BOTH_MS));
    do {
        err_t e = space_map_fresh(s, RING3_NOWHERE, 1, PT_WRITE, FRAME_OWNER_TEST);
        if (e == ERR_OK)
            e = space_unmap(s, RING3_NOWHERE, RING3_NOWHERE + PAGE_SIZE);
        if (!CHECK(t, e == ERR_OK, "map, unmap: %s", err_name(e)))
            return;
        /* The next promise would find the forgotten one, by an assertion. */
        while (atomic_load_relaxed(&guest.faults) != atomic_load_relaxed(&guest.forgotten) && wait_spin(&w))
            ;
    } while (!seen_all() && wait_spin(&w));
}

static void run(struct test *t, cpu_t cpu)
{
    if (!CHECK(t, worker_start(cpu, call_again_and_again, NULL) == ERR_OK, "CPU %u takes no work", cpu))
        return;
    trap_segment_hook = caught;
    stop_call(STOP_PENDING, cpu, forget, NULL);
    take_pages_away(t);
    stop_call(STOP_PENDING, cpu, NULL, NULL);
    atomic_store_relaxed(&guest.stop, 1);
    CHECK(t, worker_wait(cpu, END_MS) == ERR_OK, "CPU %u does not leave ring 3", cpu);
    trap_segment_hook = NULL;

    CHECK(t, guest.forgotten && guest.faults == guest.forgotten, "%u promises forgotten, %u faults",
          guest.forgotten, guest.faults);
    CHECK(t, guest.from_call || features.pti, "none on the way out of a system call");
    CHECK(t, guest.from_call < guest.faults, "none on the way out of an interrupt handler");
    CHECK(t, !guest.strange, "%u faults were of something else", guest.strange);
    CHECK(t, !guest.wrong, "%u visits to ring 3 did not end as they should", guest.wrong);
    test_note(
        t,
        "%u promises forgotten, all faulted: %u on the way out of a system call, %u of an interrupt handler",
        guest.forgotten, guest.from_call, guest.faults - guest.from_call);
}

static void promise_forgotten_faults(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    const struct shootdown_policy *before;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (!policy_use(t, "promise", &before))
        return;
    memset(&guest, 0, sizeof(guest));
    guest.policy = shootdown_policy();
    /* The page behind stays, and with it the table: nobody is asked for more than to have entered. */
    if (ring3_open(t, &guest.ring3) &&
        CHECK(t,
              space_map_fresh(guest.ring3.space, RING3_NOWHERE + PAGE_SIZE, 1, PT_WRITE, FRAME_OWNER_TEST) ==
                  ERR_OK,
              "no memory") &&
        CHECK(t, stop_begin() == ERR_OK, "the stop points cannot be switched on")) {
        run(t, cpu);
        CHECK(t, stop_end(), "%s", stop_why());
    }
    policy_restore(t, before);
    ring3_close(&guest.ring3);
}
TEST(promise_forgotten_faults, "a CPU that forgets what it has promised does not get back to ring 3: neither "
                               "by IRETQ nor from a system call");
