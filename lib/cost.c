#include "lib/cost.h"

#include "lib/counter.h"

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
