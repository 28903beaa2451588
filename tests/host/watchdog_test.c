/* The watchdog's clockwork on a clock of its own: when it reports, rings again, blames nobody, and gives up.
 *
 *     sources: lib/wait.c
 *     sanitize: address,undefined
 */
#include "smp/watchdog.h"

#include "tests/host/host.h"

HOST_TEST(watchdog_steps)
{
    struct msg_watch w = msg_watch_begin(1000, 800, 1600, 2400);
    u64 now = 1000;
    u32 reports = 0, rings = 0;
    enum msg_watch_action a = MSG_WATCH_WAIT;
    while (a != MSG_WATCH_GIVE_UP && now < 100000) {
        now += 100;
        a = msg_watch_step(&w, now);
        if (a == MSG_WATCH_REPORT)
            HOST_CHECK(now == 1800 && !reports++, "report at %lu", now);
        if (a == MSG_WATCH_RING)
            HOST_CHECK(now == 2600 && !rings++, "ring at %lu", now);
    }
    HOST_CHECK(now == 3400 && reports == 1 && rings == 1, "gives up at %lu", now);

    w = msg_watch_begin(0, 800, 1600, 2400);
    HOST_CHECK(msg_watch_step(&w, 1000000) == MSG_WATCH_WAIT && w.waited <= 201,
               "our own pause is not held against it");
    HOST_CHECK(msg_watch_step(&w, 10) == MSG_WATCH_CLOCK && w.waited == 0,
               "a clock that goes back blames nobody");
    for (u32 i = 1; i < MSG_WATCH_CLOCK_FAULTS - 1; i++)
        HOST_CHECK(msg_watch_step(&w, 10 - i) == MSG_WATCH_CLOCK, "again");
    HOST_CHECK(msg_watch_step(&w, 0) == MSG_WATCH_GIVE_UP, "but not for ever");
}
