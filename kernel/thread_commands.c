/* cpu, threads. */
#include "kernel/command.h"
#include "kernel/thread_internal.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "smp/cpus.h"

static void list_cpus(void)
{
    print("%4s %8s %-8s %s\n", "CPU", "APIC id", "state", "thread");
    for (cpu_t c = 0; c < cpu_count(); c++) {
        struct thread *t = cpu_is_online(c) ? atomic_load_relaxed(&per_cpu(thread_current, c)) : NULL;
        bool idle = t && t->state != THREAD_RUNNING;
        idle |= t && t == per_cpu(thread_cpu, c).idle;
        print("%4u %8u %-8s %s\n", c, cpu_apic_id(c),
              !cpu_is_online(c)  ? "absent"
              : cpu_is_parked(c) ? "parked"
                                 : "online",
              !t     ? "-"
              : idle ? "(idle)"
                     : t->name);
    }
}

static void explain(const char *what, cpu_t cpu, err_t e)
{
    if (e == ERR_OK)
        print("CPU %u is %s\n", cpu, what);
    else if (e == ERR_INVAL)
        print("CPU %u cannot be parked: %s\n", cpu,
              cpu == 0 ? "the boot CPU is needed" : "threads are pinned to it (`threads` lists them)");
    else if (e == ERR_TIMEOUT)
        print("CPU %u cannot be parked: a kernel thread runs there and does not stop\n", cpu);
    else
        print("CPU %u: %s\n", cpu, err_name(e));
}

static void cmd_cpu(int argc, char **argv)
{
    u64 cpu;
    if (argc == 1) {
        list_cpus();
        return;
    }
    bool park = strcmp(argv[1], "park") == 0;
    if (argc != 3 || (!park && strcmp(argv[1], "unpark") != 0) || !parse_u64(argv[2], &cpu) ||
        cpu >= cpu_count()) {
        print("cpu park N, or cpu unpark N, with N from 0 to %u\n", cpu_count() - 1);
        return;
    }
    explain(park ? "parked" : "in use", (cpu_t)cpu, park ? cpu_park((cpu_t)cpu) : cpu_unpark((cpu_t)cpu));
}
COMMAND(cpu, "cpu [park|unpark N]", "take a CPU out of use, or back; alone: list them", cmd_cpu);

static const char *state_name(const struct thread *t)
{
    static const char *const name[] = {"free", "new", "ready", "running", "blocked", "dead"};
    return name[t->state];
}

static void cmd_threads(int argc, char **argv)
{
    (void)argc, (void)argv;
    print("%8s %-24s %4s %-8s %6s %12s %10s\n", "handle", "name", "CPU", "state", "pinned", "ms run",
          "switches");
    for (u32 i = 0; i < THREAD_MAX; i++) {
        struct thread *t = thread_get(atomic_load_relaxed(&thread_at(i)->handle));
        if (!t)
            continue;
        print("%8x %-24s %4u %-8s %6s %12llu %10llu\n", t->handle, t->name, t->cpu, state_name(t),
              t->pinned ? "yes" : "", (unsigned long long)(tsc_to_ns(t->runtime_tsc) / 1000000),
              (unsigned long long)t->switches);
        thread_put(t);
    }
}
COMMAND(threads, "threads", "list all threads: where they are, what they have used", cmd_threads);
