/* A region at a place of the kernel's choice, where a policy that defers has just taken pages away: other CPUs may still have them. */
#include "kernel/trap.h"
#include "mm/deferred.h"
#include "mm/region.h"
#include "tests/bug_cpus.h"
#include "tests/oracle.h"
#include "tests/residents.h"

/* CPU 0 takes a page away that another CPU has cached, and gets a region at the same place. By then the other one has forgotten. */
static void play_again(struct test *t, const struct shootdown_policy *p)
{
    struct space *s;
    vaddr_t at, again = 0;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    err_t e = region_map(s, 0, PAGE_SIZE, PT_WRITE, REGION_ZERO, PT_4K, &at);
    if (e == ERR_OK)
        e = region_populate(s, at, at + PAGE_SIZE);
    struct bug_user user = {.space = s, .va = {at}};
    if (CHECK(t, e == ERR_OK, "region: %s", err_name(e)) && bug_use(t, bug_user_cpu(), &user)) {
        e = region_unmap(s, at, at + PAGE_SIZE);
        if (e == ERR_OK)
            e = region_map(s, 0, PAGE_SIZE, PT_WRITE, REGION_ZERO, PT_4K, &again);
        CHECK(t, e == ERR_OK && again == at, "%s: unmap, map: %s, at %llx, not %llx", p->name, err_name(e),
              (unsigned long long)again, (unsigned long long)at);
        bug_use_end(t, bug_user_cpu(), &user);
        if (oracle.remote)
            CHECK(t, user.after[0] == EXC_PAGE_FAULT,
                  "%s: CPU %u still reads a page that was there before the region: vector %d", p->name,
                  bug_user_cpu(), user.after[0]);
    }
    shootdown_settle(s, 0);
    region_destroy_all(s);
    space_destroy(s);
}

static void region_again_anywhere(struct test *t)
{
    u32 policies = 0;
    if (bug_user_cpu() == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        if (!POLICY_USABLE(p) || !policy_use(t, p->name, &before))
            continue;
        for (u32 i = 0; i < 8; i++)
            play_again(t, p);
        policy_restore(t, before);
        policies++;
    }
    if (!oracle.remote)
        test_blind(t, "a stale entry of another CPU would not show on this machine");
    else
        test_note(t, "%u policies", policies);
}
TEST(region_again_anywhere, "a region at a place of the kernel's choice waits for changes in flight there: "
                            "nobody uses what was there before");
