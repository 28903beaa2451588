/* The profiler as the live test of the rule: NMI handlers read stacks of ring 3 while these are taken away, their frames are
 * given to others at once, and nothing of the new owner may ever be in a sample. */
#include "kernel/profile.h"
#include "apic/apic.h"
#include "kernel/stop_point.h"
#include "kernel/uaccess.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "smp/message.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/ring3.h"
#include "tests/trap_test.h"
#include "tests/window.h"

extern const char ring3_read_frame[], ring3_read_frame_done[];

#define FRAME_AT      (RING3_NOWHERE + 0x100)
#define CALLER        0x0000111122223333ull /* the return address in every frame of the old owner */
#define NEW_OWNER     0xdeaddeaddeaddeadull
#define ROUNDS        20u
#define PAGES         8u
#define RUN_LIMIT_MS  5000u
#define FIND_LIMIT_MS 20u
#define USER_LIMIT_MS                                                                                        \
    2000u /* for one sample of a CPU that does nothing but read in ring 3: a busy host's turns of CPUs */

static struct {
    struct ring3 ring3;
    struct trap_frame frame;
    u32 faults;
} guest;

static volatile u32 *stop_word(void)
{
    return guest.ring3.data;
}

/* The stack is away: it comes back, or the test is over. */
static bool try_again(struct ring3 *r, struct trap_frame *f, vaddr_t address)
{
    (void)r;
    if (f->vector != EXC_PAGE_FAULT || address / PAGE_SIZE != FRAME_AT / PAGE_SIZE)
        return false;
    guest.faults++;
    if (*stop_word())
        f->rip = RING3_CODE(ring3_read_frame_done);
    cpu_pause();
    return true;
}

static void run_guest(void *arg)
{
    (void)arg;
    space_load(guest.ring3.space);
    ring3_run(&guest.ring3, &guest.frame);
    space_load(NULL);
}

static bool start_guest(struct test *t, cpu_t cpu)
{
    struct ring3 *r = &guest.ring3;
    guest.faults = 0;
    r->explain = try_again;
    *stop_word() = 0;
    guest.frame = ring3_frame(r, RING3_CODE(ring3_read_frame));
    guest.frame.rbp = FRAME_AT;
    guest.frame.rbx = RING3_DATA;
    return CHECK(t, worker_start(cpu, run_guest, NULL) == ERR_OK, "CPU %u takes no work", cpu);
}

static void end_guest(struct test *t, cpu_t cpu)
{
    *stop_word() = 1;
    CHECK(t, worker_wait(cpu, RUN_LIMIT_MS) == ERR_OK, "CPU %u does not leave ring 3", cpu);
    CHECK(t, guest.frame.vector == EXC_INVALID_OPCODE, "ring 3 ended by %s at %llx",
          trap_name(guest.frame.vector), (unsigned long long)guest.frame.rip);
}

/* One frame, of a function that was called from CALLER, and calls nobody. */
static void fill_stack(paddr_t p)
{
    u64 *word = phys_to_virt(p);
    for (u32 i = 0; i < OBSERVE_WORDS; i += 2) {
        atomic_store_relaxed(&word[i], 0);
        atomic_store_relaxed(&word[i + 1], CALLER);
    }
}

static bool map_stack(struct test *t, struct space *s)
{
    for (u32 i = 0; i < PAGES; i++) {
        paddr_t p;
        if (!CHECK(t, frame_alloc(FRAME_OWNER_TEST, &p) == ERR_OK, "no memory"))
            return false;
        fill_stack(p);
        err_t e =
            space_map(s, RING3_NOWHERE + i * PAGE_SIZE, p, PAGE_SIZE, PT_4K, PT_WRITE | PT_USER | PT_OWNED);
        if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e))) {
            frame_free(p);
            return false;
        }
    }
    return true;
}

/* The frames that were just given back are the first to be given out. */
static void recycle(struct test *t)
{
    paddr_t p[PAGES];
    u32 n = 0;
    while (n < PAGES && frame_alloc(FRAME_OWNER_TEST + 1, &p[n]) == ERR_OK)
        observe_fill(p[n++], NEW_OWNER);
    CHECK(t, n == PAGES, "no memory for the new owner");
    for (u32 i = 0; i < 200; i++)
        cpu_pause();
    while (n)
        frame_free(p[--n]);
}

struct seen {
    struct profile_totals totals;
    u64 stale, strange; /* words of the new owner; words of nobody */
    u64 forbidden;      /* samples with a stack that was not to be read */
    cpu_t cpu;
};

static void look_at(cpu_t cpu, const struct profile_sample *s, void *arg)
{
    struct seen *seen = arg;
    if (cpu != seen->cpu)
        return;
    profile_count(&seen->totals, s);
    seen->forbidden += s->depth && s->refusal != USER_ALLOWED && s->refusal != USER_FAULT;
    for (u32 i = 0; i < s->depth; i++) {
        seen->stale += s->stack[i] == NEW_OWNER;
        seen->strange += s->stack[i] != NEW_OWNER && s->stack[i] != CALLER;
    }
}

/* At a stop point of the target: a sample from within the window. */
static void ask_self(void *arg)
{
    (void)arg;
    profile_ask(cpu_self());
}

/* Until a sample has raised *n, or the time is over. */
static void sample_until(cpu_t cpu, struct seen *seen, const u64 *n, u64 limit_ms)
{
    u64 before = *n;
    struct wait w = WAIT("a sample", wait_ms(limit_ms));
    do {
        profile_ask(cpu);
        for (u32 turns = 0; turns < 50; turns++)
            cpu_pause();
        profile_drain(look_at, seen);
    } while (*n == before && wait_spin(&w));
}

static void storm(struct test *t, cpu_t cpu, struct seen *seen)
{
    struct space *s = guest.ring3.space;
    for (u32 i = 0; i < ROUNDS; i++) {
        if (!map_stack(t, s))
            return;
        /* A sample that has found the stack has cached its translation. */
        sample_until(cpu, seen, &seen->totals.stacks, FIND_LIMIT_MS);
        /* In the storm itself the target may be in ring 3 at no sample; now it reads there, and nothing disturbs it. */
        if (!seen->totals.user)
            sample_until(cpu, seen, &seen->totals.user, USER_LIMIT_MS);
        err_t e = space_unmap(s, RING3_NOWHERE, RING3_NOWHERE + PAGES * PAGE_SIZE);
        profile_ask(cpu); /* the target may be about to flush */
        recycle(t);
        CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
        profile_drain(look_at, seen);
    }
}

static void storm_policy(struct test *t, cpu_t cpu, const struct shootdown_policy *p)
{
    struct seen seen = {.cpu = cpu};
    if (shootdown_policy_set(p->name) != ERR_OK || !start_guest(t, cpu))
        return;
    stop_call(STOP_PENDING, cpu, ask_self, NULL);
    stop_call(STOP_ACKED, cpu, ask_self, NULL);
    stop_call(STOP_FLUSHED, cpu, ask_self, NULL);
    storm(t, cpu, &seen);
    stop_call(STOP_PENDING, cpu, NULL, NULL);
    stop_call(STOP_ACKED, cpu, NULL, NULL);
    stop_call(STOP_FLUSHED, cpu, NULL, NULL);
    end_guest(t, cpu);
    profile_drain(look_at, &seen);
    const struct profile_totals *n = &seen.totals;
    CHECK(t, !seen.stale, "%s: %llu words of a frame's new owner in %llu samples", p->name,
          (unsigned long long)seen.stale, (unsigned long long)n->samples);
    CHECK(t, !seen.strange, "%s: %llu words of nobody in %llu samples", p->name,
          (unsigned long long)seen.strange, (unsigned long long)n->samples);
    CHECK(t, !seen.forbidden, "%s: %llu stacks were read although that was refused", p->name,
          (unsigned long long)seen.forbidden);
    CHECK(t, n->stacks,
          "%s: no stack was read in %llu samples: %llu of nobody, %llu pending, %llu switching, %llu "
          "borrowed, %llu no "
          "space, %llu other, %llu faults",
          p->name, (unsigned long long)n->samples, (unsigned long long)n->refused[USER_NOBODY],
          (unsigned long long)n->refused[USER_PENDING], (unsigned long long)n->refused[USER_SWITCHING],
          (unsigned long long)n->refused[USER_BORROWED], (unsigned long long)n->refused[USER_NO_SPACE],
          (unsigned long long)n->refused[USER_OTHER], (unsigned long long)n->refused[USER_FAULT]);
    CHECK(t, n->refused[USER_PENDING], "%s: no stack was refused in %llu samples", p->name,
          (unsigned long long)n->samples);
    CHECK(t, n->user && n->kernel, "%s: %llu samples in ring 3, %llu in the kernel", p->name,
          (unsigned long long)n->user, (unsigned long long)n->kernel);
    test_note(t, "%s: %llu samples, %llu stacks read, %llu refused with a flush pending, %llu faults",
              p->name, (unsigned long long)n->samples, (unsigned long long)n->stacks,
              (unsigned long long)n->refused[USER_PENDING], (unsigned long long)n->refused[USER_FAULT]);
}

static void profile_storm(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    const struct shootdown_policy *before = shootdown_policy();
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (profile_runs()) {
        test_skip(t, "profile= has the profiler");
        return;
    }
    bool open = ring3_open(t, &guest.ring3);
    /* The page behind the stack stays, and with it the table. */
    if (open &&
        CHECK(t,
              space_map_fresh(guest.ring3.space, RING3_NOWHERE + PAGES * PAGE_SIZE, 1, PT_WRITE,
                              FRAME_OWNER_TEST) == ERR_OK,
              "no memory") &&
        CHECK(t, profile_start(0) == ERR_OK, "the profiler does not start")) {
        if (CHECK(t, stop_begin() == ERR_OK, "the stop points cannot be switched on")) {
            TABLE_FOREACH (policy, struct shootdown_policy, p)
                if (POLICY_USABLE(p))
                    storm_policy(t, cpu, p);
        }
        CHECK(t, stop_end(), "%s", stop_why());
        profile_stop();
        profile_free();
    }
    policy_restore(t, before);
    ring3_close(&guest.ring3);
}
TEST(
    profile_storm,
    "the profiler reads stacks of ring 3 in a storm of shootdowns, and never a word of a frame's next owner");

/* ---- the window, and a handler that does not ask ---- */

static struct {
    u64 asked, found;
    err_t peeked;
    bool ok, rogue;
    vaddr_t va;
    const struct space *space;
} in_window;

static void peek_in_window(void)
{
    in_window.ok = nmi_user_access_ok(in_window.space);
    in_window.peeked = ERR_PERM;
    if (in_window.ok || in_window.rogue)
        in_window.peeked = peek_user(&in_window.found, in_window.va, sizeof(in_window.found));
    atomic_fetch_add(&in_window.asked, 1);
}

/* The only reader of the page: it caches the translation while it is good. With the same instruction as the handler, because TCG
 * has one TLB for accesses with SMAP open and one for those without. */
static void cache_translation(struct msg_in *in)
{
    u64 word;
    (void)in;
    in_window.peeked = peek_user(&word, in_window.va, sizeof(word));
}
MSG_KIND(profile_cache_translation, cache_translation);

/* The target is held between its acknowledgement and its flush; the frame has its new owner; then the NMI comes. */
static bool nmi_in_window(struct test *t, struct space *s, vaddr_t va, cpu_t cpu, bool rogue)
{
    struct msg m = {.kind = &profile_cache_translation, .flags = MSG_SYNC};
    paddr_t old, now;
    bool same = false;
    err_t e = frame_alloc(FRAME_OWNER_TEST, &old);
    if (!CHECK(t, e == ERR_OK, "no memory"))
        return false;
    observe_fill(old, CALLER);
    in_window.va = va;
    e = space_map(s, va, old, PAGE_SIZE, PT_4K, PT_WRITE | PT_OWNED);
    if (e == ERR_OK)
        e = msg_call(cpu, &m);
    CHECK(t, in_window.peeked == ERR_OK, "the page cannot be read while it is there");
    stop_hold(STOP_ACKED, cpu);
    if (e == ERR_OK)
        e = space_unmap(s, va, va + PAGE_SIZE);
    CHECK(t, e == ERR_OK, "map, unmap: %s", err_name(e));
    in_window = (__typeof__(in_window)){.rogue = rogue, .va = va, .space = s};
    if (CHECK(t, stop_wait_held(STOP_ACKED, cpu), "CPU %u did not come to the window", cpu) &&
        CHECK(t, frame_alloc(FRAME_OWNER_TEST + 1, &now) == ERR_OK, "no memory")) {
        same = now.v == old.v;
        observe_fill(now, NEW_OWNER);
        apic_send_nmi(cpu_apic_id(cpu));
        struct wait w = WAIT("the NMI in the window", wait_ms(500));
        while (!atomic_load_relaxed(&in_window.asked) && wait_spin(&w))
            ;
        CHECK(t, in_window.asked == 1, "the NMI came %llu times", (unsigned long long)in_window.asked);
        CHECK(t, !in_window.ok, "user memory is open between acknowledgement and flush");
        frame_free(now);
    }
    stop_release(STOP_ACKED, cpu);
    return same;
}

/* One place after the other: what the target does on the way to its window may push an entry out, on one machine always the same. */
#define ROGUE_PAGES 4u

static void rogue_reads(struct test *t, struct space *s, cpu_t cpu)
{
    bool same = true, caught = false;
    for (u32 i = 0; i < ROGUE_PAGES && same && !caught; i++) {
        same = nmi_in_window(t, s, RESIDENTS_FREE_VA + (1 + 2 * i) * PAGE_SIZE, cpu, true);
        caught = in_window.peeked == ERR_OK && in_window.found == NEW_OWNER;
        CHECK(t, caught || in_window.peeked == ERR_FAULT, "a handler that does not ask: %s, %llx",
              err_name(in_window.peeked), (unsigned long long)in_window.found);
    }
    if (!same || !oracle.remote)
        test_blind(t, same ? "no stale translation is visible on this machine"
                           : "the frame was not given out again");
    else
        CHECK(t, caught, "a handler that does not ask was not caught in %u windows", ROGUE_PAGES);
}

static void nmi_rogue_is_caught(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    const struct shootdown_policy *before;
    struct residents r;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (!policy_use(t, "early_ack", &before))
        return;
    trap_test_nmi_expect(true);
    trap_test_nmi_call(peek_in_window);
    if (residents_enter(t, &r) && CHECK(t, stop_begin() == ERR_OK, "the stop points cannot be switched on")) {
        (void)nmi_in_window(t, r.space, RESIDENTS_FREE_VA, cpu, false);
        CHECK(t, in_window.peeked == ERR_PERM, "a handler that asks did read");
        rogue_reads(t, r.space, cpu);
        CHECK(t, stop_end(), "%s", stop_why());
    }
    residents_leave(t, &r);
    trap_test_nmi_call(NULL);
    trap_test_nmi_expect(false);
    policy_restore(t, before);
}
TEST(nmi_rogue_is_caught, "in the window of early_ack an NMI handler that asks does not read, and one that "
                          "does not ask reads the new owner's data");
