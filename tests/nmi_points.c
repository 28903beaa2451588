/* An NMI at every stop point, in every policy: what it finds, what it leaves, and whether it may touch user memory there. */
#include "apic/apic.h"
#include "kernel/stop_point.h"
#include "kernel/trap.h"
#include "kernel/uaccess.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "smp/message.h"
#include "tests/residents.h"
#include "tests/trap_test.h"
#include "tests/window.h"

#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define ARRIVAL_LIMIT_MS   500u
#define FAULT_ADDRESS      0x0000123456789000ull /* put into CR2 before the NMI */
#define RESIDENTS          16u
#define NOT_MAPPED         (RESIDENTS_FREE_VA + 0x40 * PAGE_SIZE)
#define ROUNDS             test_rounds(3, 1)
#define PAUSES             test_rounds(100, 8) /* until a second NMI, which is held back, has come for sure */

/* What an NMI must leave as it was. */
struct cpu_now {
    u64 gs, kernel_gs, cr3, cr2, rflags;
    u32 irq_depth, nmi_depth, preempt_depth, pending;
};

/* What happened at one point on one CPU. Written there only. */
static struct visit {
    u64 visits, nmis, open, closed;
    u64 second;                   /* NMIs sent inside one that came after it */
    u64 nested;                   /* that came inside it */
    u64 peeks, peek_wrong;        /* reads of user memory inside the NMI; that did not end as they had to */
    u64 lost;                     /* NMIs that did not come */
    u64 changed;                  /* NMIs after which the CPU was not as before */
    struct cpu_now before, after; /* of the first of these */
} visit;
static bool running;
static const struct space *target_space; /* whose memory the NMI would read */
static u32 second_sent;
static u32 pauses;

static struct cpu_now look(void)
{
    return (struct cpu_now){
        .gs = rdmsr(MSR_GS_BASE),
        .kernel_gs = rdmsr(MSR_KERNEL_GS_BASE),
        .cr3 = cr3_read(),
        .cr2 = cr2_read(),
        .rflags = rflags_read() & (RFLAGS_IF | RFLAGS_AC),
        .irq_depth = this_cpu(percpu_head.irq_depth),
        .nmi_depth = this_cpu(percpu_head.nmi_depth),
        .preempt_depth = this_cpu(percpu_head.preempt_depth),
        .pending = this_cpu(tlb_pending),
    };
}

/* A fault in an NMI: returned from without IRET, or else the second NMI, which is waiting, comes now. */
static void peek(void)
{
    u64 word = 0;
    err_t there = peek_user(&word, TEST_USER_VA, sizeof(word));
    err_t absent = peek_user(&word, NOT_MAPPED, sizeof(word));
    visit.peeks += 2;
    visit.peek_wrong += (there != ERR_OK) + (absent != ERR_FAULT);
}

static void in_nmi(void)
{
    visit.nested += running;
    running = true;
    visit.nmis++;
    bool ok = nmi_user_access_ok(target_space);
    visit.open += ok;
    visit.closed += !ok;
    if (second_sent) {
        visit.second++;
    } else {
        second_sent = 1;
        apic_send_nmi(apic_id()); /* held back by the CPU until this one has returned */
    }
    if (ok)
        peek();
    running = false;
}

static void nmi_here(void *arg)
{
    (void)arg;
    vaddr_t fault = cr2_read();
    cr2_write(FAULT_ADDRESS);
    u64 want = visit.nmis + 1;
    second_sent = 0;
    struct cpu_now before = look();
    struct wait w = WAIT("an NMI to oneself", wait_ms(ARRIVAL_LIMIT_MS));
    apic_send_nmi(apic_id());
    while (atomic_load_relaxed(&visit.nmis) < want)
        if (!wait_spin(&w)) {
            visit.lost++;
            break;
        }
    for (u32 i = pauses; i; i--) /* the second one's turn */
        cpu_pause();
    struct cpu_now after = look();
    visit.visits++;
    if (memcmp(&before, &after, sizeof(before)) != 0 && !visit.changed++) {
        visit.before = before;
        visit.after = after;
    }
    cr2_write(fault);
}

/* Maps, and takes away again. */
static void change_once(struct test *t, struct space *s)
{
    vaddr_t va = RESIDENTS_FREE_VA;
    err_t e = space_map_fresh(s, va, 2, PT_WRITE, FRAME_OWNER_TEST);
    if (e == ERR_OK)
        e = space_unmap(s, va, va + 2 * PAGE_SIZE);
    CHECK(t, e == ERR_OK, "map, unmap: %s", err_name(e));
}

static void load_and_leave(void *arg)
{
    struct space *s = arg;
    preempt_disable();
    space_load(s);
    space_borrow();
    space_load(s);
    space_borrow();
    space_load(NULL);
    preempt_enable();
}

static void report(struct test *t, enum stop_point p, cpu_t cpu, const char *policy)
{
    const struct visit *v = &visit;
    CHECK(t, !v->lost, "%s, CPU %u, %s: %llu NMIs were lost", stop_name(p), cpu, policy,
          (unsigned long long)v->lost);
    CHECK(
        t, !v->changed,
        "%s, CPU %u, %s: the NMI changed the CPU: GS %llx %llx, kernel GS %llx %llx, CR3 %llx %llx, CR2 %llx "
        "%llx, depths %u/%u/%u %u/%u/%u",
        stop_name(p), cpu, policy, (unsigned long long)v->before.gs, (unsigned long long)v->after.gs,
        (unsigned long long)v->before.kernel_gs, (unsigned long long)v->after.kernel_gs,
        (unsigned long long)v->before.cr3, (unsigned long long)v->after.cr3,
        (unsigned long long)v->before.cr2, (unsigned long long)v->after.cr2, v->before.irq_depth,
        v->before.nmi_depth, v->before.preempt_depth, v->after.irq_depth, v->after.nmi_depth,
        v->after.preempt_depth);
    CHECK(t, !v->nested, "%s, CPU %u, %s: %llu NMIs came inside another", stop_name(p), cpu, policy,
          (unsigned long long)v->nested);
    CHECK(t, !v->peek_wrong, "%s, CPU %u, %s: %llu of %llu reads of user memory ended wrongly", stop_name(p),
          cpu, policy, (unsigned long long)v->peek_wrong, (unsigned long long)v->peeks);
    /* TCG may drop an NMI that comes during one: there only what does come is judged. */
    CHECK(t, v->second == v->visits || emulator == EMULATOR_TCG,
          "%s, CPU %u, %s: of %llu NMIs sent inside another, %llu came after it", stop_name(p), cpu, policy,
          (unsigned long long)v->visits, (unsigned long long)v->second);
}

enum gate { CLOSED, OPEN };

static struct {
    u32 points;
    u64 nmis, open, closed, second;
} total;

static void judge(struct test *t, enum stop_point p, cpu_t cpu, enum gate gate, const char *policy)
{
    report(t, p, cpu, policy);
    CHECK(t, gate == OPEN ? !visit.closed : !visit.open,
          "%s, CPU %u, %s: user memory was open in %llu NMIs and closed in %llu", stop_name(p), cpu, policy,
          (unsigned long long)visit.open, (unsigned long long)visit.closed);
    total.points++;
    total.nmis += visit.nmis;
    total.open += visit.open;
    total.closed += visit.closed;
    total.second += visit.second;
}

static const struct place {
    enum stop_point point;
    bool on_target;
    enum gate gate;
} shootdown_places[] = {
    /* Until the initiator has flushed itself nothing is given back, so its own old entries harm nobody. */
    {STOP_CHANGED, false, OPEN},    {STOP_GENERATION, false, OPEN},
    {STOP_MASK, false, OPEN},       {STOP_UNLOCKED, false, OPEN},
    {STOP_POSTED, false, OPEN},     {STOP_LOCAL, false, OPEN},
    {STOP_WAIT, false, OPEN},       {STOP_RELEASE, false, OPEN},
    {STOP_ENTERED, true, OPEN}, /* nobody has been told that this CPU is in the handler */
    {STOP_TAKEN, true, OPEN},       {STOP_PENDING, true, CLOSED},
    {STOP_ACKED, true, CLOSED},     {STOP_FLUSHED, true, CLOSED},
    {STOP_PUBLISHED, true, CLOSED}, {STOP_DRAINED, true, OPEN},
};

static void nothing(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(nmi_points_nothing, nothing);

/* The target may be in its handler when the initiator returns. This runs in a later interrupt. */
static void let_target_leave(struct test *t, cpu_t target)
{
    struct msg m = {.kind = &nmi_points_nothing, .flags = MSG_SYNC};
    err_t e = msg_call(target, &m);
    CHECK(t, e == ERR_OK, "CPU %u does not answer: %s", target, err_name(e));
}

/* One point, on one CPU, in one policy. Only a policy that acknowledges on entry passes STOP_ACKED, and special ones have ways of
 * their own. */
static void visit_place(struct test *t, struct space *s, cpu_t target, const struct place *at,
                        const struct shootdown_policy *policy)
{
    cpu_t cpu = at->on_target ? target : cpu_self();
    let_target_leave(t, target);
    memset(&visit, 0, sizeof(visit));
    stop_call(at->point, cpu, nmi_here, NULL);
    u32 rounds = ROUNDS;
    for (u32 i = 0; i < rounds; i++)
        change_once(t, s);
    let_target_leave(t, target);
    stop_call(at->point, cpu, NULL, NULL);
    let_target_leave(t, target);
    if (!visit.visits && (at->point == STOP_ACKED || policy->special))
        return;
    /* Those that defer may serve several shootdowns by one flush. */
    u32 least = policy->special ? 1 : rounds;
    CHECK(t, visit.visits >= least, "%s, CPU %u, %s: passed %llu times in %u shootdowns",
          stop_name(at->point), cpu, policy->name, (unsigned long long)visit.visits, rounds);
    judge(t, at->point, cpu, at->gate, policy->name);
}

static void visit_policy(struct test *t, struct space *s, cpu_t target, const struct shootdown_policy *p)
{
    if (shootdown_policy_set(p->name) != ERR_OK)
        return;
    for (u32 i = 0; i < ARRAY_SIZE(shootdown_places); i++)
        visit_place(t, s, target, &shootdown_places[i], p);
}

static void nmi_at_each_step(struct test *t)
{
    cpu_t target = cpumask_next(&cpus_online, 1);
    const struct shootdown_policy *before = shootdown_policy();
    struct residents r;
    if (target == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    memset(&total, 0, sizeof(total));
    pauses = PAUSES;
    trap_test_nmi_expect(true);
    trap_test_nmi_call(in_nmi);
    observers_at_most(RESIDENTS); /* the NMIs are those of one initiator and one target */
    if (residents_enter(t, &r)) {
        target_space = r.space;
        if (CHECK(t, stop_begin() == ERR_OK, "the stop points cannot be switched on")) {
            TABLE_FOREACH (policy, struct shootdown_policy, p)
                if (POLICY_USABLE(p))
                    visit_policy(t, r.space, target, p);
        }
        CHECK(t, stop_end(), "%s", stop_why());
    }
    residents_leave(t, &r);
    observers_at_most(MAX_CPUS);
    trap_test_nmi_call(NULL);
    trap_test_nmi_expect(false);
    policy_restore(t, before);
    test_note(t,
              "%u steps: %llu NMIs, gate open in %llu, closed in %llu; %llu sent during one came after it%s",
              total.points, (unsigned long long)total.nmis, (unsigned long long)total.open,
              (unsigned long long)total.closed, (unsigned long long)total.second,
              emulator == EMULATOR_TCG ? " (TCG may drop those: Bochs is the judge)" : "");
}
TEST(nmi_at_each_step, "an NMI at each step of a shootdown leaves the CPU as it was, and may touch user "
                       "memory only with nothing pending");

static const struct place load_places[] = {
    {STOP_SWITCHING, true, CLOSED}, {STOP_JOINED, true, CLOSED},   {STOP_GEN_READ, true, CLOSED},
    {STOP_ROOT, true, CLOSED},      {STOP_BORROWED, true, CLOSED},
};

static void nmi_while_loading(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    struct residents r;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    memset(&total, 0, sizeof(total));
    pauses = PAUSES;
    trap_test_nmi_expect(true);
    trap_test_nmi_call(in_nmi);
    bool ready = residents_enter_alone(t, &r);
    target_space = r.space;
    if (ready && CHECK(t, stop_begin() == ERR_OK, "the stop points cannot be switched on")) {
        for (u32 i = 0; i < ARRAY_SIZE(load_places); i++) {
            enum stop_point p = load_places[i].point;
            memset(&visit, 0, sizeof(visit));
            stop_call(p, cpu, nmi_here, NULL);
            if (CHECK(t, worker_start(cpu, load_and_leave, r.space) == ERR_OK, "CPU %u takes no work", cpu))
                CHECK(t, worker_wait(cpu, 5000) == ERR_OK, "CPU %u does not come back", cpu);
            stop_call(p, cpu, NULL, NULL);
            CHECK(t, visit.visits > 0, "%s was not passed", stop_name(p));
            judge(t, p, cpu, CLOSED, "loading");
        }
    }
    if (ready)
        CHECK(t, stop_end(), "%s", stop_why());
    residents_leave(t, &r);
    trap_test_nmi_call(NULL);
    trap_test_nmi_expect(false);
    test_note(t, "%u steps, %llu NMIs", total.points, (unsigned long long)total.nmis);
}
TEST(nmi_while_loading,
     "an NMI at each step of a load of CR3, or of borrowing a root, finds user memory closed");
