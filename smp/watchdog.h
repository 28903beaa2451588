/* When to suspect another CPU: the watchdog's clockwork, without its actions. Pure, so that tests/host/ can run it on a
 * clock of its own. All times in TSC ticks of the waiting CPU. */
#pragma once

#include "lib/types.h"

enum msg_watch_action {
    MSG_WATCH_WAIT,   /* nothing yet */
    MSG_WATCH_REPORT, /* say who is late */
    MSG_WATCH_RING,   /* ring once more: the first ring may have been lost */
    MSG_WATCH_CLOCK,  /* our own clock went backwards: say so, blame nobody */
    MSG_WATCH_GIVE_UP,
};

enum msg_watch_stage { MSG_WATCH_QUIET, MSG_WATCH_REPORTED, MSG_WATCH_RANG_AGAIN };

struct msg_watch {
    u64 last, waited; /* the clock at the last look; time that counts so far */
    u64 report, retry, give_up;
    enum msg_watch_stage stage;
    u32 clock_faults;
};

/* A clock that has gone backwards this often cannot measure a wait at all: give up rather than start over for ever. */
#define MSG_WATCH_CLOCK_FAULTS 8u

static inline struct msg_watch msg_watch_begin(u64 now, u64 report, u64 retry, u64 give_up)
{
    return (struct msg_watch){.last = now, .report = report, .retry = retry, .give_up = give_up};
}

/* At each look. Between two looks no more than a quarter of the first limit counts: if more has passed, then it was
 * the waiting CPU that did not run (a hypervisor's pause, a long interrupt), and the other one may have been paused
 * with it. */
static inline enum msg_watch_action msg_watch_step(struct msg_watch *w, u64 now)
{
    if (now < w->last) {
        w->last = now;
        w->waited = 0;
        return ++w->clock_faults < MSG_WATCH_CLOCK_FAULTS ? MSG_WATCH_CLOCK : MSG_WATCH_GIVE_UP;
    }
    w->waited += MIN(now - w->last, w->report / 4 + 1);
    w->last = now;
    if (w->stage == MSG_WATCH_QUIET && w->waited >= w->report) {
        w->stage = MSG_WATCH_REPORTED;
        return MSG_WATCH_REPORT;
    }
    if (w->stage == MSG_WATCH_REPORTED && w->waited >= w->retry) {
        w->stage = MSG_WATCH_RANG_AGAIN;
        return MSG_WATCH_RING;
    }
    return w->stage == MSG_WATCH_RANG_AGAIN && w->waited >= w->give_up ? MSG_WATCH_GIVE_UP : MSG_WATCH_WAIT;
}
