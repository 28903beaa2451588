#include "bench/policies.h"

#include "bench/bench.h"
#include "kernel/panic.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "smp/cpus.h"

struct bench_policies bench_policies(void)
{
    struct bench_policies p = {0};
    TABLE_FOREACH (policy, struct shootdown_policy, it)
        if (p.count < BENCH_POLICIES_MAX &&
            (shootdown_policy_chosen() ? it == shootdown_policy() : !it->control) &&
            shootdown_policy_usable(it))
            p.policy[p.count++] = it;
    return p;
}

void bench_each_policy(struct bench_run *b, const char *head,
                       void (*measure)(struct bench_run *b, const struct shootdown_policy *p))
{
    struct bench_policies policies = bench_policies();
    const struct shootdown_policy *before = shootdown_policy();
    bench_table_head(head);
    for (u32 i = 0; i < policies.count && !bench_out_of_time(); i++)
        if (shootdown_policy_set(policies.policy[i]->name) == ERR_OK)
            measure(b, policies.policy[i]);
    if (shootdown_policy_set(before->name) != ERR_OK)
        panic("the policy %s, from before the benchmark, cannot be set again", before->name);
}

void bench_load(struct space *s)
{
    preempt_disable();
    space_load(s);
    preempt_enable();
}

#define FLUSH_LIMIT_MS 1000u /* hang detector */

/* What a policy has put off is settled first. One that declares nothing has at least rung, and its targets come. */
cpu_t bench_wait_gone(struct space *s, const struct shootdown_policy *p)
{
    struct wait w = WAIT("the last flush of a benchmark", wait_ms(FLUSH_LIMIT_MS));
    enum tlb_level level = MAX(TLB_ENTERED, MIN(p->at_release, TLB_FLUSHED));
    tlb_gen_t gen = atomic_load_relaxed(&s->gen);
    shootdown_settle(s, 0);
    CPUMASK_FOREACH (c, &cpus_online)
        while (cpumask_test_relaxed(&s->active, c) && !tlb_published(&s->cpu[c], gen, level) &&
               !tlb_published_by_nmi(&s->cpu[c], gen, level))
            if (!wait_spin(&w))
                return c;
    return CPU_NONE;
}

bool bench_map_and_unmap(struct space *s, vaddr_t va)
{
    if (space_map_fresh(s, va, 1, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
        return false;
    *(volatile u64 *)va = va; /* cached here; the others may have walked it only by speculation */
    return space_unmap(s, va, va + PAGE_SIZE) == ERR_OK && !space_query(s, va).present;
}
