/* A ring that somebody else owes. Who makes a CPU's pending word non-empty rings; whoever comes next relies on it. If the first is
 * stopped before it rings, in a handler in which it waits for the second's change, nobody ever rings: policies that keep CPUs in
 * handlers have to do it themselves, and soon. */
#include "lib/context.h"
#include "lib/counter.h"
#include "mm/frame.h"
#include "smp/slot.h"
#include "tests/bug_cpus.h"
#include "tests/flag.h"
#include "tests/message_util.h"
#include "tests/residents.h"
#include "tests/window.h"

#define ANEW_MS (100 * RING_ANEW_MS)

static u32 runs;
static void count_run(struct msg_in *in)
{
    (void)in;
    set_u32(&runs, runs + 1);
}
MSG_KIND(test_unrung, count_run);

/* Everything of a post but the ring. */
static bool post_without_ring(cpu_t to)
{
    struct msg m = {.kind = &test_unrung, .flags = MSG_SYNC};
    struct msg_slot *s = msg_slot_to(to);
    if (!slot_claim(s))
        return false;
    slot_fill(s, slot_what(m.kind, m.flags, m.tag), m.word);
    return inbox_publish(msg_pending_at(to, m.flags), this_cpu(msg_self).bit);
}

static void play_unrung(struct test *t, const struct shootdown_policy *p, struct space *s)
{
    cpu_t target = bug_user_cpu();
    struct msg first = {.kind = &test_unrung, .flags = MSG_SYNC};
    struct bug_user user = {.space = s, .va = {RESIDENTS_FREE_VA}};
    struct bug_unmap unmap = {.space = s, .va = RESIDENTS_FREE_VA};
    runs = 0;
    CHECK(t, msg_call(target, &first) == ERR_OK && runs == 1, "the line is open and free");
    if (!bug_use(t, target, &user))
        return;
    u64 anew = counter_now(t, "msg_rings_anew"), again = counter_now(t, "msg_rings_again");
    preempt_disable();
    if (CHECK(t, post_without_ring(target), "the line was taken, or the inbox not empty") &&
        bug_unmap_on(t, bug_initiator_cpu(), &unmap)) {
        CHECK(t, flag_wait(&unmap.returned, ANEW_MS), "%s: the change does not end", p->name);
        msg_ring(target);
        CHECK(t, msg_wait(target) == ERR_OK && runs == 2, "%u runs of the message that was not rung for",
              runs);
    }
    preempt_enable();
    bug_unmap_end(t, bug_initiator_cpu(), &unmap);
    bug_use_end(t, target, &user);
    CHECK(t, counter_now(t, "msg_rings_anew") > anew && counter_now(t, "msg_rings_again") == again,
          "%s: rung anew %llu times, and by the watchdog %llu times", p->name,
          (unsigned long long)(counter_now(t, "msg_rings_anew") - anew),
          (unsigned long long)(counter_now(t, "msg_rings_again") - again));
}

static void shootdown_rings_anew(struct test *t)
{
    u32 policies = 0;
    if (bug_initiator_cpu() == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return;
    }
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        struct space *s;
        if (!POLICY_USABLE(p) || !p->waits_in_ipi || !policy_use(t, p->name, &before))
            continue;
        if (CHECK(t, space_create(&s) == ERR_OK, "no space")) {
            if (CHECK(t, space_map_fresh(s, TEST_USER_VA, 2, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK,
                      "no pages"))
                play_unrung(t, p, s);
            space_destroy(s);
            policies++;
        }
        policy_restore(t, before);
    }
    CHECK(t, policies > 0, "no policy keeps CPUs in handlers");
}
TEST(shootdown_rings_anew,
     "who waits for CPUs in handlers rings a CPU that another has promised to ring, and was stopped before");
