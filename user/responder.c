/* Keeps its pages in the TLB of its CPU: what a shootdown has to interrupt. Started by the `shootdown` benchmark, a thread on each
 * CPU that is to respond; on its own (`run responder CPU SECONDS`) it touches a page of its own. */
#include "user/lib/atomic.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/workload.h"

/* A second at a time, and then what it has been good for. */
static s64 alone(u64 seconds)
{
    s64 page = sys_map(0, SYS_PAGE, SYS_MAP_WRITE);
    if (page < 0) {
        say("no page: %s", sys_error_name(page));
        return 1;
    }
    for (u64 i = 0; i < seconds; i++) {
        u64 turns = 0;
        for (u64 end = workload_ns() + 1000000000; workload_ns() < end;)
            for (u32 j = 0; j < 1000; j++, turns++)
                touch_read((u64)page);
        say("%llu touches in a second", ULL(turns));
    }
    return 0;
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    if (!w)
        return alone(arg ? arg : 1);
    workload_respond(w, workload_number(arg));
    sys_thread_exit(0); /* the others end by themselves */
}
