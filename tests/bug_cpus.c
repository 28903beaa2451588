#include "tests/bug_cpus.h"

#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "smp/cpus.h"
#include "tests/flag.h"

cpu_t bug_user_cpu(void)
{
    return cpumask_next(&cpus_online, 1);
}

cpu_t bug_initiator_cpu(void)
{
    return bug_user_cpu() == CPU_NONE ? CPU_NONE : cpumask_next(&cpus_online, bug_user_cpu() + 1);
}

void bug_turns(void)
{
    for (u32 turns = BUG_TURNS; turns; turns--)
        cpu_pause();
}

static void read_all(const struct bug_user *u, int vector[2])
{
    u64 v;
    for (u32 i = 0; i < ARRAY_SIZE(u->va); i++)
        if (u->va[i])
            vector[i] = safe_read_u64((const void *)u->va[i], &v);
}

static void user_main(void *arg)
{
    struct bug_user *u = arg;
    preempt_disable();
    if (u->deaf)
        irq_disable();
    space_load(u->space);
    read_all(u, u->before);
    flag_raise(&u->ready);
    (void)flag_wait(&u->go, BUG_LIMIT_MS);
    if (u->deaf)
        irq_enable();
    read_all(u, u->after);
    space_load(NULL);
    preempt_enable();
}

bool bug_use(struct test *t, cpu_t cpu, struct bug_user *u)
{
    if (!CHECK(t, worker_start(cpu, user_main, u) == ERR_OK, "CPU %u is at other work", cpu))
        return false;
    CHECK(t, flag_wait(&u->ready, BUG_LIMIT_MS), "CPU %u does not use the pages", cpu);
    CHECK(t, !u->before[0] && !u->before[1], "CPU %u could not read the pages: vectors %d and %d", cpu,
          u->before[0], u->before[1]);
    return true;
}

void bug_use_end(struct test *t, cpu_t cpu, struct bug_user *u)
{
    flag_raise(&u->go);
    CHECK(t, worker_wait(cpu, 2 * BUG_LIMIT_MS) == ERR_OK, "CPU %u does not end", cpu);
}

static void unmap_main(void *arg)
{
    struct bug_unmap *u = arg;
    u->error = space_unmap(u->space, u->va, u->va + PAGE_SIZE);
    flag_raise(&u->returned);
}

bool bug_unmap_on(struct test *t, cpu_t cpu, struct bug_unmap *u)
{
    return CHECK(t, worker_start(cpu, unmap_main, u) == ERR_OK, "CPU %u is at other work", cpu);
}

void bug_unmap_end(struct test *t, cpu_t cpu, const struct bug_unmap *u)
{
    CHECK(t, worker_wait(cpu, 2 * BUG_LIMIT_MS) == ERR_OK, "CPU %u does not end", cpu);
    CHECK(t, u->error == ERR_OK, "unmap: %s", err_name(u->error));
}
