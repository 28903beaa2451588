/* System calls that tell: log, clock, CPUs, policy, statistics. */
#include "kernel/clock.h"
#include "kernel/process.h"
#include "kernel/syscall.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/shootdown.h"
#include "smp/cpus.h"
#include "smp/topology.h"

s64 sys_null(u64 a, u64 b, u64 c, struct trap_frame *f)
{
    (void)a, (void)b, (void)c, (void)f;
    return 0;
}

/* Each line gets the log's head and the program's name, and holds printable ASCII only: so no program can write what looks like
 * a record, another's line, or a command to a terminal. Empty lines are left out. */
static void log_lines(const char *name, char *text, u64 bytes)
{
    u64 start = 0;
    for (u64 i = 0; i <= bytes; i++) {
        if (i < bytes && text[i] != '\n') {
            if (text[i] < ' ' || text[i] > '~')
                text[i] = text[i] == '\t' ? ' ' : '?';
            continue;
        }
        text[i] = 0;
        if (i > start)
            log_info("%s: %s", name, text + start);
        start = i + 1;
    }
}

s64 sys_log(u64 text, u64 bytes, u64 c, struct trap_frame *f)
{
    char copy[SYS_LOG_MAX + 1];
    (void)c, (void)f;
    if (bytes > SYS_LOG_MAX)
        return -SYS_ERR_RANGE;
    err_t e = copy_from_user(copy, text, bytes);
    if (e == ERR_OK && bytes)
        log_lines(process_name(thread_self()->process), copy, bytes);
    return syscall_result(e);
}

s64 sys_clock(u64 out, u64 b, u64 c, struct trap_frame *f)
{
    (void)b, (void)c, (void)f;
    struct sys_clock clock = {.ns = clock_ns(), .tsc_hz = tsc_hz};
    return syscall_result(copy_to_user(out, &clock, sizeof(clock)));
}

s64 sys_cpus(u64 cpu, u64 out, u64 c, struct trap_frame *f)
{
    (void)c, (void)f;
    if (cpu >= cpu_count())
        return -SYS_ERR_ABSENT;
    if (out) {
        struct topology t = topology_of((cpu_t)cpu);
        struct sys_cpu s = {
            .cpu = (cpu_t)cpu,
            .apic_id = cpu_apic_id((cpu_t)cpu),
            .package = t.package,
            .core = t.core,
            .thread = t.thread,
            .online = cpu_is_online((cpu_t)cpu),
            .parked = cpu_is_parked((cpu_t)cpu),
            .self = cpu == cpu_self(),
        };
        err_t e = copy_to_user(out, &s, sizeof(s));
        if (e != ERR_OK)
            return syscall_error(e);
    }
    return cpu_count();
}

/* Longer than any policy's. */
#define POLICY_NAME_MAX 32u

static s64 policy_index(void)
{
    s64 i = 0;
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        if (p == shootdown_policy())
            return i;
        i++;
    }
    panic("the policy in force is not in the table");
}

s64 sys_policy(u64 text, u64 bytes, u64 c, struct trap_frame *f)
{
    char name[POLICY_NAME_MAX];
    (void)c, (void)f;
    if (!text && !bytes)
        return policy_index();
    if (bytes >= sizeof(name))
        return -SYS_ERR_ABSENT;
    err_t e = copy_from_user(name, text, bytes);
    if (e != ERR_OK)
        return syscall_error(e);
    name[bytes] = 0;
    e = shootdown_policy_set(name);
    return e == ERR_OK ? policy_index() : syscall_error(e);
}

s64 sys_stats(u64 out, u64 b, u64 c, struct trap_frame *f)
{
    static const struct {
        const char *counter;
        u32 offset;
    } source[] = {
        {"shootdowns", offsetof(struct sys_stats, shootdowns)},
        {"shootdown_routed", offsetof(struct sys_stats, routed)},
        {"tlb_requests", offsetof(struct sys_stats, requests)},
        {"tlb_flush_pages", offsetof(struct sys_stats, pages)},
        {"tlb_flush_space", offsetof(struct sys_stats, whole)},
        {"icr_writes", offsetof(struct sys_stats, icr_writes)},
        {"msg_interrupts", offsetof(struct sys_stats, interrupts)},
        {"trap_page_faults", offsetof(struct sys_stats, page_faults)},
        {"space_loads", offsetof(struct sys_stats, switches)},
    };
    _Static_assert(sizeof(struct sys_stats) == ARRAY_SIZE(source) * sizeof(u64),
                   "every field has its counter");
    struct sys_stats s;
    (void)b, (void)c, (void)f;
    for (u32 i = 0; i < ARRAY_SIZE(source); i++) {
        const struct counter *from = counter_find(source[i].counter);
        ASSERT(from != NULL, "SYS_STATS names a counter that does not exist");
        *(u64 *)((u8 *)&s + source[i].offset) = counter_sum(from);
    }
    return syscall_result(copy_to_user(out, &s, sizeof(s)));
}
