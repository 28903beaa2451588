#include "kernel/park.h"

#include "kernel/thread_internal.h"

bool cpu_is_parked(cpu_t cpu)
{
    (void)cpu;
    return false;
}

void park_idle(void) {}

cpu_t thread_any_cpu(void)
{
    return 0;
}
