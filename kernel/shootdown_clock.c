/* mm's tick, by the timer: see mm/shootdown.h, struct shootdown_clock. */
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "mm/shootdown.h"

_Static_assert(USER_WORK_TLB == SHOOTDOWN_USER_WORK && USER_WORK_BARRED == SHOOTDOWN_USER_BARRED,
               "mm sets the bits that user_return_work looks at");

static void set(u64 us, void (*fn)(void))
{
    timer_set(TIMER_SHOOTDOWN, rdtsc() + tsc_from_us(us), fn);
}
TABLE_ENTRY(shootdown_clock, struct shootdown_clock, shootdown_timer) = {.set = set};
