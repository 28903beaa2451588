/* A target whose message line is still taken is told by its flush-everything word, and nothing is lost. */
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "smp/message.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LINE_MS 5000u
/* How long the target takes no interrupts after its line has been filled: the way to the initiator's next post, and more. */
#define HELD_MS 1u
/* The initiator may be late, on a busy host, and find the line free again: then once more. */
#define TRIES 20u

static u32 notes_run; /* counted by the message that takes the line */

static void run_note(struct msg_in *in)
{
    (void)in;
    atomic_fetch_add(&notes_run, 1);
}
MSG_KIND(test_note_kind, run_note);

static const struct msg_kind *note_kind(void)
{
    TABLE_FOREACH (msg_kind, struct msg_kind, k)
        if (k->fn == run_note)
            return k;
    return NULL;
}

static struct target {
    struct space *space;
    u32 ready, line_taken;
    int vector_before, vector_after;
} target;

static void target_main(void *arg)
{
    u64 v;
    (void)arg;
    preempt_disable();
    space_load(target.space);
    irq_disable();
    target.vector_before = safe_read_u64((void *)RESIDENTS_FREE_VA, &v);
    /* orders: the cached entry, interrupts off, before the initiator's post; pairs with:
     * tests/shootdown_line.c:line_try (acquire); else: the line could be free again before the shootdown. */
    atomic_store_release(&target.ready, 1);
    struct wait w = WAIT("the line to be taken", wait_ms(LINE_MS));
    /* orders: nothing but the time from here; pairs with: tests/shootdown_line.c:line_try (release); else: no harm. */
    while (!atomic_load_acquire(&target.line_taken) && wait_spin(&w))
        ;
    u64 start = rdtsc(), held = wait_ms(HELD_MS);
    while (rdtsc() - start < held)
        cpu_pause();
    irq_enable();
    /* The doorbell was pending: by the next instruction but one everything has been served. */
    cpu_pause();
    target.vector_after = safe_read_u64((void *)RESIDENTS_FREE_VA, &v);
    space_load(NULL);
    preempt_enable();
}

/* Fills the target's line, then shoots at it. Whether its word was used. */
static bool line_try(struct test *t, struct space *s, cpu_t cpu)
{
    u64 by_word = counter_now(t, "shootdown_line_full"), served = counter_now(t, "tlb_flush_by_word");
    struct msg m = {.kind = note_kind(), .flags = MSG_ASYNC};
    u32 notes = atomic_load_relaxed(&notes_run);

    target = (struct target){.space = s};
    CHECK(t, space_map_fresh(s, RESIDENTS_FREE_VA, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "map");
    if (!CHECK(t, worker_start(cpu, target_main, NULL) == ERR_OK, "CPU %u is at other work", cpu))
        return true;
    struct wait w = WAIT("the target", wait_ms(LINE_MS));
    /* orders: the target's cached entry before our change; pairs with: tests/shootdown_line.c:target_main (release); else:
     * as there. */
    while (!atomic_load_acquire(&target.ready) && wait_spin(&w))
        ;
    preempt_disable();
    err_t e = msg_post(cpu, &m);
    preempt_enable();
    CHECK(t, e == ERR_OK, "the first message was not posted: %s", err_name(e));
    /* orders: the post before the target's time begins to run; pairs with: tests/shootdown_line.c:target_main (acquire);
     * else: it could take interrupts before the line is full. */
    atomic_store_release(&target.line_taken, 1);
    e = space_unmap(s, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
    CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
    CHECK(t, worker_wait(cpu, LINE_MS) == ERR_OK, "CPU %u does not finish", cpu);
    CHECK(t, target.vector_before == 0, "the target could not read the page before: vector %d",
          target.vector_before);
    CHECK(t, target.vector_after == EXC_PAGE_FAULT, "the target still reads the page: vector %d",
          target.vector_after);
    CHECK(t, atomic_load_relaxed(&notes_run) == notes + 1, "the message that took the line ran %u times",
          atomic_load_relaxed(&notes_run) - notes);

    bool used = counter_now(t, "shootdown_line_full") > by_word;
    CHECK(t, used == (counter_now(t, "tlb_flush_by_word") > served), "the word was %s, but %s",
          used ? "set" : "not set", used ? "never served" : "served");
    return used;
}

static void shootdown_line_full(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    const struct shootdown_policy *before;
    struct residents r;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    REQUIRE(t, note_kind() != NULL, "the test's message kind is not in the table");
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        /* Of those that tell by the line; the others wait for it, or have no use for it. */
        if (p->special || p->enter || !POLICY_USABLE(p) || !policy_use(t, p->name, &before))
            continue;
        bool used = false;
        if (residents_enter_alone(t, &r))
            for (u32 i = 0; i < TRIES && !used; i++)
                used = line_try(t, r.space, cpu);
        CHECK(t, used, "%s: the line was never found full in %u tries", p->name, TRIES);
        residents_leave(t, &r);
        policy_restore(t, before);
    }
}
TEST(shootdown_line_full, "a target whose line is taken is told by its word, and both are served");
