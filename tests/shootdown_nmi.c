/* The gate for NMI handlers: user memory may not be touched between a shootdown's acknowledgement and its flush. */
#include "kernel/trap.h"
#include "lib/context.h"
#include "mm/frame.h"
#include "smp/message.h"
#include "tests/residents.h"
#include "tests/window.h"

#define ROUNDS 200u
/* The NMIs are one target's; of many CPUs so many have the space loaded. */
#define RESIDENTS 16u
/* Below the ceiling, so that the target flushes page by page and the time between entry and flush is as long as it gets. */
#define PAGES 32u

/* What NMIs found, over all CPUs. Counted by atomic operations, because that is all an NMI may do. */
static struct {
    struct space *space;
    u64 samples, closed, open;
    u64 open_while_pending; /* the violation */
} gate;

/* NMI context. What the CPU has published tells, without the gate's own count, whether it is between entry and flush. */
static void sample_gate(struct msg_in *in)
{
    (void)in;
    bool ok = nmi_user_access_ok(gate.space);
    const struct tlb_cpu *me = &gate.space->cpu[cpu_self()];
    atomic_fetch_add(&gate.samples, 1);
    atomic_fetch_add(ok ? &gate.open : &gate.closed, 1);
    if (ok && atomic_load_relaxed(&me->entered) > atomic_load_relaxed(&me->flushed))
        atomic_fetch_add(&gate.open_while_pending, 1);
}
MSG_KIND(test_sample_gate, sample_gate);

static const struct msg_kind *sample_kind(void)
{
    TABLE_FOREACH (msg_kind, struct msg_kind, k)
        if (k->fn == sample_gate)
            return k;
    return NULL;
}

/* Unmaps, and sends the NMI when early_ack has returned: the target has entered, and is about to flush. */
static void sample_rounds(struct test *t, struct space *s, cpu_t cpu)
{
    struct msg m = {.kind = sample_kind(), .flags = MSG_NMI | MSG_ASYNC};
    vaddr_t va = RESIDENTS_FREE_VA, end = va + PAGES * PAGE_SIZE;
    for (u32 i = 0; i < ROUNDS; i++) {
        err_t e = space_map_fresh(s, va, PAGES, PT_WRITE, FRAME_OWNER_TEST);
        if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e)))
            return;
        e = space_unmap(s, va, end);
        CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
        e = msg_send(cpu, &m);
        if (!CHECK(t, e == ERR_OK, "the NMI message: %s", err_name(e)))
            return;
    }
    preempt_disable();
    err_t e = msg_wait(cpu);
    preempt_enable();
    CHECK(t, e == ERR_OK, "the last NMI message: %s", err_name(e));
}

static void nmi_gate_in_async_window(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    const struct shootdown_policy *before;
    struct residents r;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    REQUIRE(t, sample_kind() != NULL, "the test's message kind is not in the table");
    if (!policy_use(t, "early_ack", &before))
        return;
    observers_at_most(RESIDENTS);
    if (residents_enter(t, &r)) {
        gate = (__typeof__(gate)){.space = r.space};
        sample_rounds(t, r.space, cpu);
        CHECK(t, gate.samples == ROUNDS, "%llu NMIs ran, of %u", (unsigned long long)gate.samples, ROUNDS);
        CHECK(t, !gate.open_while_pending, "in %llu of %llu NMIs user memory was open with a flush pending",
              (unsigned long long)gate.open_while_pending, (unsigned long long)gate.samples);
        CHECK(t, gate.open > 0, "the gate was never open, in %llu NMIs", (unsigned long long)gate.samples);
        test_note(t, "%llu NMIs: gate open in %llu, closed in %llu", (unsigned long long)gate.samples,
                  (unsigned long long)gate.open, (unsigned long long)gate.closed);
    }
    residents_leave(t, &r);
    observers_at_most(MAX_CPUS);
    policy_restore(t, before);
}
TEST(nmi_gate_in_async_window,
     "no NMI between a shootdown's acknowledgement and its flush may touch user memory");

static void nmi_gate_follows_the_space(struct test *t)
{
    struct residents r;
    CHECK(t, !nmi_user_access_ok(NULL), "user memory is open while no space is loaded");
    if (residents_enter_alone(t, &r)) {
        CHECK(t, !nmi_user_access_ok(&kernel_space), "another space's memory is open than the loaded one's");
        CHECK(t, !nmi_user_access_ok(NULL), "the memory of a thread without a space is open");
        CHECK(t, nmi_user_access_ok(r.space), "user memory is closed in a loaded space with nothing pending");
        bool was_on = irq_save();
        this_cpu(tlb_pending)++;
        CHECK(t, !nmi_user_access_ok(r.space), "user memory is open while a flush is pending");
        this_cpu(tlb_pending)++;
        this_cpu(tlb_pending)--;
        CHECK(t, !nmi_user_access_ok(r.space),
              "a nested flush opened user memory while the outer one is pending");
        this_cpu(tlb_pending)--;
        irq_restore(was_on);
        CHECK(t, nmi_user_access_ok(r.space), "user memory stays closed after the last flush");
    }
    residents_leave(t, &r);
}
TEST(nmi_gate_follows_the_space, "the NMI gate is open exactly with a space loaded and no flush pending");
