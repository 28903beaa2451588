/* cost=measure: what the operations of the cost model cost on this machine, as settings for the command line.
 *
 * Each figure is the best of some batches: what disturbs (interrupts of firmware, another machine on the same host) only adds.
 * On an emulator they are the emulator's, and say nothing of a processor: its record says so. */
#include "apic/apic.h"
#include "kernel/cost.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/tlb.h"
#include "smp/cpus.h"

#define BATCHES    32u
#define BATCH      64u
#define LIMIT_MS   1000u /* hang detector */
#define WORD_TURNS (BATCHES * BATCH)

static u8 page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static apic_id_t target_id;
static const u64 *target_count;
static bool failed;

static void nothing(void) {}

static void do_invlpg(void)
{
    invlpg((vaddr_t)page);
}

static void do_cr3(void)
{
    cr3_write(cr3_read());
}

static void do_invpcid(void)
{
    invpcid(INVPCID_ADDR, 0, (vaddr_t)page);
}

static void wait_count(const u64 *count, u64 before)
{
    struct wait w = WAIT("a raw interrupt", wait_ms(LIMIT_MS));
    while (!failed && atomic_load_relaxed(count) == before)
        failed = !wait_spin(&w);
}

/* The whole of an interrupt to oneself: the command, the entry, the return. */
static void do_self(void)
{
    const u64 *count = this_cpu_ptr(trap_raw_count);
    u64 before = atomic_load_relaxed(count);
    apic_send_fixed_self(VECTOR_RAW);
    wait_count(count, before);
}

static void do_round_trip(void)
{
    u64 before = atomic_load_relaxed(target_count);
    apic_send_fixed(target_id, VECTOR_RAW);
    wait_count(target_count, before);
}

/* Ticks of one call: the best batch, less what the loop itself takes. */
static u64 ticks_of(void (*operation)(void))
{
    static u64 loop;
    u64 best = ~0ull;
    for (u32 i = 0; i < BATCHES; i++) {
        u64 start = rdtsc_ordered();
        for (u32 j = 0; j < BATCH; j++)
            operation();
        best = MIN(best, rdtsc_ordered() - start);
    }
    best /= BATCH;
    if (operation == nothing)
        loop = best;
    return best > loop ? best - loop : 0;
}

/* The sender's part of one interrupt command; the target has taken it before the next one is timed. */
static u64 ticks_of_command(void)
{
    u64 best = ~0ull;
    for (u32 i = 0; i < BATCHES; i++) {
        u64 before = atomic_load_relaxed(target_count), start = rdtsc_ordered();
        apic_send_fixed(target_id, VECTOR_RAW);
        best = MIN(best, rdtsc_ordered() - start);
        wait_count(target_count, before);
    }
    return best;
}

/* ---- one line that goes back and forth between two CPUs ---- */

static u64 word CACHE_ALIGNED;

/* Makes `to` of `from`, WORD_TURNS times; each turn fetches the line once, for writing. */
static void take_turns(u64 from, u64 to)
{
    struct wait w = WAIT("the other CPU's turn with a line", wait_ms(LIMIT_MS));
    for (u32 i = 0; i < WORD_TURNS && !atomic_load_relaxed(&failed); i++) {
        u64 old = from;
        while (!atomic_cmpxchg(&word, &old, to)) {
            old = from;
            if (!wait_spin(&w)) {
                atomic_store_relaxed(&failed, true);
                return;
            }
        }
    }
}

static void other_side(void *arg)
{
    (void)arg;
    take_turns(1, 0);
}

static u64 ticks_of_line(cpu_t other)
{
    atomic_store_relaxed(&word, 0);
    if (worker_start(other, other_side, NULL) != ERR_OK) {
        failed = true;
        return 0;
    }
    u64 start = rdtsc_ordered();
    take_turns(0, 1);
    u64 ticks = rdtsc_ordered() - start;
    failed = worker_wait(other, LIMIT_MS) != ERR_OK || failed;
    return ticks / (2 * WORD_TURNS);
}

/* ---- all of it ---- */

/* Keeps the target out of HLT, whose end would be measured too. */
static bool spin_ends;
static void spin(void *arg)
{
    (void)arg;
    while (!atomic_load_relaxed(&spin_ends))
        cpu_pause();
}

static u64 less(u64 a, u64 b)
{
    return a > b ? a - b : 0;
}

static void measure_other(cpu_t other, u64 ticks[COSTS])
{
    target_id = cpu_apic_id(other);
    target_count = &per_cpu(trap_raw_count, other);
    ticks[COST_LINE] = ticks_of_line(other);
    atomic_store_relaxed(&spin_ends, false);
    if (worker_start(other, spin, NULL) != ERR_OK) {
        failed = true;
        return;
    }
    ticks[COST_ICR] = ticks_of_command();
    ticks[COST_ENTRY] = less(ticks_of(do_self), ticks[COST_ICR]);
    ticks[COST_WIRE] = less(ticks_of(do_round_trip), ticks[COST_ICR] + ticks[COST_ENTRY] + ticks[COST_LINE]);
    atomic_store_relaxed(&spin_ends, true);
    failed = worker_wait(other, LIMIT_MS) != ERR_OK || failed;
}

static cpu_t any_other(void)
{
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self())
            return c;
    return CPU_NONE;
}

u32 cost_settable(u64 ticks)
{
    return ticks < COST_MIN / 2 ? 0 : (u32)MIN(MAX(ticks, COST_MIN), COST_MAX);
}

static const char *trust(void)
{
    switch (emulator) {
    case EMULATOR_NONE:
        return "hardware";
    case EMULATOR_BOCHS:
    case EMULATOR_TCG:
        return "none: an emulator's own, of no processor";
    default:
        return "none: of a virtual machine, whose commands and interrupts leave it";
    }
}

/* known: a bit for each price that was measured. The others are left out, and null in the record: 0 would be a figure. */
static void print_profile(const u64 ticks[COSTS], u32 known)
{
    struct json j;
    print("cost: measured on %s, trust: %s\ncost:", features.brand, trust());
    for (u32 c = 0; c < COSTS; c++)
        if (known & 1u << c)
            print(" cost.%s=%u", cost_name((enum cost)c), cost_settable(ticks[c]));
    print("\ncost: entry is an interrupt to oneself less the command; wire a round trip to another CPU less "
          "command, entry and line\n");
    json_begin(&j, "cost");
    json_str(&j, "cpu", features.brand);
    json_str(&j, "trust", trust());
    for (u32 c = 0; c < COSTS; c++)
        if (known & 1u << c)
            json_u64(&j, cost_name((enum cost)c), cost_settable(ticks[c]));
        else
            json_str(&j, cost_name((enum cost)c), NULL);
    json_end(&j);
}

void cost_measure(void)
{
    static u32 before[COSTS];
    for (u32 c = 0; c < COSTS; c++) {
        before[c] = cost_ticks((enum cost)c);
        (void)cost_set((enum cost)c, 0);
    }
    u64 ticks[COSTS] = {0};
    u32 known = 1u << COST_INVLPG | 1u << COST_CR3;
    failed = false;
    (void)ticks_of(nothing);
    ticks[COST_INVLPG] = ticks_of(do_invlpg);
    ticks[COST_CR3] = ticks_of(do_cr3);
    if (features.invpcid) {
        ticks[COST_INVPCID] = ticks_of(do_invpcid);
        known |= 1u << COST_INVPCID;
    }
    if (any_other() == CPU_NONE) {
        log_warn("cost: there is one CPU: entry, icr, line and wire are not measured");
    } else {
        measure_other(any_other(), ticks);
        known |= 1u << COST_ENTRY | 1u << COST_ICR | 1u << COST_LINE | 1u << COST_WIRE;
    }
    if (failed)
        log_error("cost: another CPU did not answer: nothing is known of it");
    else
        print_profile(ticks, known);
    for (u32 c = 0; c < COSTS; c++)
        (void)cost_set((enum cost)c, before[c]);
}
