/* Patched call sites: each CPU runs the new code as soon as patch_set has returned, and none runs half of it. */
#include "kernel/patch.h"

#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/percpu.h"
#include "lib/x86/cpu.h"
#include "smp/cpus.h"
#include "tests/test.h"
#include "tests/trap_test.h"

#define FLIPS (2 * test_rounds(10, 2)) /* off again at last */

static NOINLINE bool at_site(void)
{
    return patch_enabled(PATCH_SELF);
}
/* A second site of the same key, in the middle of other code, with something to jump over. */
static NOINLINE u32 around_site(u32 x)
{
    u32 sum = x * 3;
    if (patch_enabled(PATCH_SELF))
        sum += 1000;
    return sum + x;
}

static u32 right, wrong, expected;

static void ask_here(void)
{
    bool on = at_site();
    u32 sum = around_site(7);
    if (on == (atomic_load_relaxed(&expected) != 0) && sum == (on ? 1028 : 28))
        atomic_fetch_add(&right, 1);
    else
        atomic_fetch_add(&wrong, 1);
}

static u32 over, sane = 1;

static void run_the_sites(void *arg)
{
    (void)arg;
    while (!atomic_load_relaxed(&over)) {
        u32 sum = around_site(5);
        if (sum != 20 && sum != 1020)
            atomic_store_relaxed(&sane, 0);
        cpu_pause();
    }
}

static void flip(struct test *t, bool on)
{
    atomic_store_relaxed(&expected, on);
    atomic_store_relaxed(&right, 0);
    atomic_store_relaxed(&wrong, 0);
    REQUIRE(t, patch_set(PATCH_SELF, on) == ERR_OK, "patching failed");
    CHECK(t, patch_on[PATCH_SELF] == on, "the state says %d", patch_on[PATCH_SELF]);
    REQUIRE(t, trap_test_on_each(ask_here), "a CPU did not answer");
    CHECK(t, right == cpu_online_count() && wrong == 0, "switched %s: %u CPUs right, %u wrong",
          on ? "on" : "off", right, wrong);
}

static void patch_sites(struct test *t)
{
    CHECK(t, !at_site() && around_site(7) == 28, "off at first");
    atomic_store_relaxed(&over, 0);
    atomic_store_relaxed(&sane, 1);
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c))
            REQUIRE(t, worker_start(c, run_the_sites, NULL) == ERR_OK, "CPU %u takes work", c);
    for (u32 i = 0; i < FLIPS; i++)
        flip(t, i % 2 == 0);
    atomic_store_relaxed(&over, 1);
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c))
            CHECK(t, worker_wait(c, 1000) == ERR_OK, "CPU %u comes back", c);
    CHECK(t, sane, "a CPU computed what neither state computes");
    CHECK(t, !at_site() && around_site(7) == 28, "off at last");
}
TEST(patch_sites, "call sites are switched on all CPUs while these run them");
