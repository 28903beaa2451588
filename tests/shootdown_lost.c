/* A doorbell that is lost where nobody waits for its message: the policies that defer have returned long before, and what later needs the
 * range, or the memory, tells the CPU by a word whose doorbell is saved, because its pending word is not empty. So it is these who have
 * to look after the CPU: name it, and ring once more. And the tick, should nobody ever need either. */
#include "kernel/timer.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "mm/deferred.h"
#include "mm/frame.h"
#include "smp/slot.h"
#include "tests/bug_cpus.h"
#include "tests/flag.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LOST_MS 1000u /* far more than the watchdog's patience here */

/* On the initiator: takes the page away, then needs that to be over, or only looks on. */
enum need { BY_MAPPING, BY_SETTLING, BY_NOBODY, NEEDS };
static const char *const need_name[NEEDS] = {"an operation on the range", "shootdown_settle",
                                             "what nobody waits for"};

struct change {
    struct space *space;
    enum need need;
    u32 returned;
    err_t first, second;
};

static err_t look_on(const struct space *s)
{
    struct wait w = WAIT("what nobody waits for", wait_ms(LOST_MS));
    while (atomic_load_relaxed(&s->in_flight))
        if (!wait_spin(&w))
            return ERR_TIMEOUT;
    return ERR_OK;
}

static void change_main(void *arg)
{
    struct change *c = arg;
    c->first = space_unmap(c->space, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
    if (c->need == BY_MAPPING)
        c->second = space_map_fresh(c->space, RESIDENTS_FREE_VA, 1, PT_WRITE, FRAME_OWNER_TEST);
    else if (c->need == BY_SETTLING)
        shootdown_settle(c->space, 0);
    else
        c->second = look_on(c->space);
    flag_raise(&c->returned);
}

/* Everything of a bare doorbell but the interrupt. */
static bool lose_ring(cpu_t to)
{
    return inbox_publish_again(&msg_inbox[to]->pending[MSG_CLASS_FIXED].word[to / 64], 1ull << to % 64);
}

static u32 stuck_calls;
static cpu_t stuck_cpu;
static void note_stuck(cpu_t cpu)
{
    stuck_cpu = cpu;
    stuck_calls++;
}

static bool play_lost(struct test *t, const struct shootdown_policy *p, struct space *s, enum need need)
{
    cpu_t target = bug_user_cpu();
    struct bug_user user = {.space = s, .va = {RESIDENTS_FREE_VA}};
    struct change change = {.space = s, .need = need};
    if (!bug_use(t, target, &user))
        return false;
    const char *counter = need == BY_NOBODY ? "msg_rings_anew" : "msg_rings_again";
    u64 rung = counter_now(t, counter);
    bool ended = false;
    stuck_calls = 0;
    if (CHECK(t, lose_ring(target), "the inbox of CPU %u is not empty", target) &&
        CHECK(t, worker_start(bug_initiator_cpu(), change_main, &change) == ERR_OK, "CPU %u is at other work",
              bug_initiator_cpu())) {
        ended = CHECK(t, flag_wait(&change.returned, 2 * LOST_MS), "%s: %s does not end", p->name,
                      need_name[need]);
        if (!ended)
            msg_ring(target);
        CHECK(t, worker_wait(bug_initiator_cpu(), BUG_LIMIT_MS) == ERR_OK, "CPU %u does not end",
              bug_initiator_cpu());
        CHECK(t, change.first == ERR_OK && change.second == ERR_OK, "%s: unmap: %s, %s: %s", p->name,
              err_name(change.first), need_name[need], err_name(change.second));
    }
    bug_use_end(t, target, &user);
    rung = counter_now(t, counter) - rung;
    return CHECK(t, rung && (need == BY_NOBODY || (stuck_calls && stuck_cpu == target)),
                 "%s, %s: named %u times, rung %llu times", p->name, need_name[need], stuck_calls,
                 (unsigned long long)rung) &&
           ended;
}

static bool play_all(struct test *t, const struct shootdown_policy *p)
{
    bool good = true;
    for (enum need need = 0; need < NEEDS && good; need++) {
        struct space *s;
        if (need == BY_NOBODY && (p->user_return || !timer_is_usable()))
            break; /* it waits for all whom it tells; or nothing ticks */
        if (!CHECK(t, space_create(&s) == ERR_OK, "no space"))
            return false;
        good =
            CHECK(t, space_map_fresh(s, TEST_USER_VA, 2, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "no pages");
        if (good) {
            msg_watchdog = (struct msg_watchdog){
                .report_ms = 1, .retry_ms = 2, .give_up_ms = need == BY_NOBODY ? 20 : 60000};
            good = play_lost(t, p, s, need);
        }
        msg_watchdog.give_up_ms = 60000;
        space_destroy(s);
    }
    return good;
}

static void shootdown_lost_ring(struct test *t)
{
    u32 policies = 0;
    if (bug_initiator_cpu() == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return;
    }
    struct msg_watchdog limits = msg_watchdog;
    void (*hook)(cpu_t) = msg_stuck_hook;
    msg_stuck_hook = note_stuck;
    bool good = true;
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        if (!good || !POLICY_USABLE(p) || !shootdown_policy_defers(p) || !policy_use(t, p->name, &before))
            continue;
        good = play_all(t, p);
        policy_restore(t, before);
        policies++;
    }
    msg_watchdog = limits;
    msg_stuck_hook = hook;
    CHECK(t, policies > 0, "no policy defers");
}
TEST(shootdown_lost_ring,
     "a doorbell that is lost while nobody waits: who needs the memory or the range later names the CPU and "
     "rings once more, and in the end the tick does");
