#include "bench/policies.h"

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
