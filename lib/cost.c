#include "lib/cost.h"

#include "lib/counter.h"
#include "lib/x86/cpu.h"

COUNTER(cache_lines, "cache lines fetched or taken from other CPUs, while they were counted (lines=count)");
COUNTER(cpu_turns, "turns of loops over the CPUs that a shootdown concerns, while they were counted");

u32 cost_word[COSTS] = {1, 1, 1, 1, 1, 1, 1}; /* never 0: the loop counts down to it */

#define BY_CLOCK    (1u << 31)
#define TICKS_FIXED 6u /* of a call without any turn (lib/cost.asm) */
#define TICKS_TURN  2u

u32 cost_word_for(u32 ticks, bool by_clock)
{
    if (by_clock)
        return ticks | BY_CLOCK;
    return ticks < COST_MIN ? 1 : (ticks - TICKS_FIXED) / TICKS_TURN;
}

#ifndef VOLLEY_HOST
PERCPU(u64, cost_nmi_on_the_way);

/* An ordinary interrupt's way is over before its time stamp (kernel/trap_entry.asm). Which NMI is charged, only its message knows. */
void cost_nmi_wire(void)
{
    u64 start = rdtsc();
    __asm__ volatile("call cost_spend_wire" ::: "cc");
    this_cpu(cost_nmi_on_the_way) += rdtsc() - start;
}
#endif
