#include "kernel/trace.h"

#include "kernel/command.h"
#include "kernel/stop_point.h"
#include "kernel/tsc_sync.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/percpu.h"
#include "lib/string.h"
#include "lib/x86/cpu.h"
#include "smp/cpus.h"

#define EVENTS 256u /* a CPU; a power of two. A shootdown is about ten on each side */

struct ring {
    u64 count; /* events ever taken here */
    struct {
        u64 tsc;
        u32 point;
    } event[EVENTS];
};
static PERCPU(struct ring, trace_ring);

static bool on;

/* The next place of this CPU's ring: one instruction, so that an interrupt or NMI before or after it has a place of its own. */
static u64 take_place(struct ring *r)
{
    u64 n = 1;
    __asm__ volatile("xaddq %0, %1" : "+r"(n), "+m"(r->count) : : "cc");
    return n;
}

/* In whatever context the point stands. */
static void record(enum stop_point p)
{
    struct ring *r = this_cpu_ptr(trace_ring);
    u64 n = take_place(r);
    r->event[n % EVENTS].tsc = rdtsc();
    r->event[n % EVENTS].point = p;
}

err_t trace_start(void)
{
    for (cpu_t c = 0; c < cpu_count(); c++)
        if (percpu_base[c])
            per_cpu(trace_ring, c).count = 0;
    err_t e = stop_begin();
    if (e == ERR_OK) {
        atomic_store_relaxed(&stop_observer, record);
        on = true;
    }
    return e;
}

void trace_stop(void)
{
    if (!on)
        return;
    on = false;
    atomic_store_relaxed(&stop_observer, NULL);
    if (!stop_end())
        log_warn("trace: %s", stop_why());
}

bool trace_is_on(void)
{
    return on;
}

/* ---- finding shootdowns ---- */

static u64 oldest(const struct ring *r)
{
    return r->count > EVENTS ? r->count - EVENTS : 0;
}

/* The events of one initiator, in turn: a change that is followed by a release before the next change. */
static u32 find_on(cpu_t c, struct trace_shootdown *out, u32 max, u32 found)
{
    const struct ring *r = &per_cpu(trace_ring, c);
    struct trace_shootdown s = {.initiator = c};
    struct trace_shootdown *last = NULL;
    bool open = false;
    for (u64 n = oldest(r); n < r->count; n++) {
        u64 tsc = r->event[n % EVENTS].tsc;
        u32 point = r->event[n % EVENTS].point;
        if (point == STOP_CHANGED) {
            s.begin = tsc;
            open = true;
            if (last && last->initiator == c && last->until == ~0ull)
                last->until = tsc;
        } else if (point == STOP_RELEASE && open) {
            open = false;
            s.end = tsc;
            s.until = ~0ull;
            if (found == max) { /* the oldest goes */
                memmove(out, out + 1, (max - 1) * sizeof(*out));
                found--;
            }
            /* Kept in the order of their beginnings. */
            u32 at = found++;
            for (; at && out[at - 1].begin > s.begin; at--)
                out[at] = out[at - 1];
            out[at] = s;
            last = &out[at];
        }
    }
    return found;
}

u32 trace_find(struct trace_shootdown *out, u32 max)
{
    u32 found = 0;
    for (cpu_t c = 0; max && c < cpu_count(); c++)
        if (percpu_base[c])
            found = find_on(c, out, max, found);
    return found;
}

static bool is_target_point(u32 point)
{
    return point >= STOP_ENTERED && point <= STOP_DRAINED;
}

/* An initiator may go on while its target is still on the way out: acknowledged on entry, or published and not drained. The end of an
 * interrupt that took nothing since s began belongs to the shootdown before. */
static void skip_earlier(const struct trace_shootdown *s, struct trace_cursor *cur, cpu_t c)
{
    const struct ring *r = &per_cpu(trace_ring, c);
    cur->found[c] = true;
    for (u64 n = oldest(r); n < r->count && r->event[n % EVENTS].tsc < s->until; n++) {
        u32 point = r->event[n % EVENTS].point;
        if (r->event[n % EVENTS].tsc < s->begin)
            continue;
        if (point >= STOP_ENTERED && point <= STOP_PENDING)
            return;
        if (point == STOP_DRAINED) {
            cur->next[c] = n + 1;
            return;
        }
    }
}

/* The event of CPU c that is next for s; false: none. */
static bool look(const struct trace_shootdown *s, struct trace_cursor *cur, cpu_t c, struct trace_event *out)
{
    const struct ring *r = &per_cpu(trace_ring, c);
    if (c != s->initiator && !cur->found[c])
        skip_earlier(s, cur, c);
    for (cur->next[c] = MAX(cur->next[c], oldest(r)); cur->next[c] < r->count; cur->next[c]++) {
        u64 tsc = r->event[cur->next[c] % EVENTS].tsc;
        u32 point = r->event[cur->next[c] % EVENTS].point;
        bool mine = c == s->initiator ? tsc <= s->end : is_target_point(point) && tsc < s->until;
        if (tsc < s->begin || (mine && cur->over[c]))
            continue;
        if (!mine)
            return false;
        *out = (struct trace_event){.tsc = tsc, .cpu = c, .point = (enum stop_point)point};
        return true;
    }
    return false;
}

bool trace_next(const struct trace_shootdown *s, struct trace_cursor *cur, struct trace_event *out)
{
    bool any = false;
    for (cpu_t c = 0; c < cpu_count(); c++) {
        struct trace_event e;
        if (percpu_base[c] && look(s, cur, c, &e) && (!any || e.tsc < out->tsc)) {
            *out = e;
            any = true;
        }
    }
    if (any) {
        cur->next[out->cpu]++;
        /* A target is done with it when it has drained its inbox; its next interrupt is another story. */
        cur->over[out->cpu] = out->cpu != s->initiator && out->point == STOP_DRAINED;
    }
    return any;
}

/* ---- the command ---- */

#define SHOWN_MAX 16u

static void show(const struct trace_shootdown *s, u32 number, u32 of)
{
    static struct trace_cursor cur; /* too large for a stack; the prompt has one user */
    struct trace_event e;
    memset(&cur, 0, sizeof(cur));
    print("\nshootdown %u of %u: %llu ticks from the change to the release\n", number, of,
          (unsigned long long)(s->end - s->begin));
    print("  %8s  initiator, CPU %-12u responders\n", "ticks", s->initiator);
    while (trace_next(s, &cur, &e)) {
        if (e.cpu == s->initiator)
            print("  %8llu  %s\n", (unsigned long long)(e.tsc - s->begin), stop_name(e.point));
        else
            print("  %8llu  %27s CPU %-3u %s\n", (unsigned long long)(e.tsc - s->begin), "", e.cpu,
                  stop_name(e.point));
    }
}

static void show_last(u32 n)
{
    static struct trace_shootdown found[SHOWN_MAX];
    bool was_on = on;
    atomic_store_relaxed(&stop_observer, NULL);
    u32 count = trace_find(found, n);
    for (u32 i = 0; i < count; i++)
        show(&found[i], i + 1, count);
    if (!count)
        print("No whole shootdown has been recorded: `trace on`, then for example `bench shootdown`.\n");
    else
        print("`stop` says what each point means.%s\n",
              tsc_is_synchronised() ? ""
                                    : " The CPUs' clocks are not in step: compare times of one CPU only.");
    if (was_on)
        atomic_store_relaxed(&stop_observer, record);
}

static void cmd_trace(int argc, char **argv)
{
    u64 n = 1;
    if (argc == 2 && strcmp(argv[1], "on") == 0) {
        if (trace_start() != ERR_OK)
            print("Not all CPUs stopped for the change of code: nothing is recorded.\n");
    } else if (argc == 2 && strcmp(argv[1], "off") == 0) {
        trace_stop();
    } else if (argc > 2 || (argc == 2 && (!parse_u64(argv[1], &n) || n < 1 || n > SHOWN_MAX))) {
        print("trace on, trace off, or trace N: the last N shootdowns, 1 to %u\n", SHOWN_MAX);
    } else {
        show_last((u32)n);
    }
}
static void words(void (*offer)(void *arg, const char *word), void *arg)
{
    offer(arg, "on");
    offer(arg, "off");
}
COMMAND_WITH_WORDS(trace, "trace [on|off|N]", "record shootdowns; show the last N, initiator and responders",
                   cmd_trace, words);
