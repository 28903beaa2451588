#include "lib/log.h"

#include "lib/format.h"
#include "lib/spinlock.h"
#include "lib/wait.h"

#define RING_SIZE (32 * KIB) /* some 400 lines: the boot of 64 CPUs with loglevel=debug */

enum log_level log_level = LOG_INFO;

static bool silent; /* print_silence */
/* The lock guards all below but panic_mode and sinks, and keeps the sinks' calls apart. It is taken with interrupts off, so
 * that an IPI handler may log; a CPU that waits for it executes PAUSE (lib/spinlock.h). */
static spinlock_t lock = SPINLOCK_INIT;
static bool panic_mode;
static struct log_sink *sinks;
static char ring[RING_SIZE];
static u64 ring_end;   /* bytes ever written; the ring holds the last RING_SIZE of them */
static u64 first_tick; /* time stamps count from the first line; 0 before it */

struct hold {
    bool locked, irq_was_on;
};

static struct hold text_lock(void)
{
    struct hold h = {.locked = !atomic_load_relaxed(&panic_mode), .irq_was_on = irq_save()};
    if (h.locked)
        spin_lock(&lock);
    return h;
}

static void text_unlock(struct hold h)
{
    if (h.locked)
        spin_unlock(&lock);
    irq_restore(h.irq_was_on);
}

void log_panic_mode(void)
{
    silent = false;
    atomic_store_relaxed(&panic_mode, true);
}

void log_add_sink(struct log_sink *s)
{
    struct hold h = text_lock();
    struct log_sink **at = &sinks;
    while (*at)
        at = &(*at)->next;
    s->next = NULL;
    *at = s;
    text_unlock(h);
}

static void to_sinks(const char *text, size_t n)
{
    for (struct log_sink *s = sinks; s; s = s->next)
        s->write(text, n);
}

/* Where the pieces of one line or one print() go. */
struct route {
    bool to_ring, to_sinks;
};

static void out(void *arg, const char *text, size_t n)
{
    const struct route *r = arg;
    if (r->to_ring)
        for (size_t i = 0; i < n; i++)
            ring[ring_end++ % RING_SIZE] = text[i];
    if (r->to_sinks)
        to_sinks(text, n);
}

void print_silence(bool on)
{
    silent = on;
}

void vprint(const char *fmt, va_list ap)
{
    struct route r = {.to_sinks = !silent};
    struct hold h = text_lock();
    vformat_pieces(out, &r, fmt, ap);
    text_unlock(h);
}

void print(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprint(fmt, ap);
    va_end(ap);
}

/* "[    1.234567] warning: ", or "[  123456789 t] " as long as nobody knows how long a tick is. */
static size_t line_head(char *to, size_t size, enum log_level l)
{
    static const char *const name[] = {"error: ", "warning: ", "", "debug: "};
    u64 now = rdtsc();
    if (!first_tick)
        first_tick = now;
    /* Another CPU's counter can be a little behind the first line's. */
    u64 ticks = now > first_tick ? now - first_tick : 0;
    unsigned long long us = tsc_hz ? tsc_to_ns(ticks) / 1000 : 0;
    int n = tsc_hz ? format(to, size, "[%5llu.%06llu] %s", us / 1000000, us % 1000000, name[l])
                   : format(to, size, "[%10llu t] %s", (unsigned long long)ticks, name[l]);
    return (size_t)n;
}

void log_line(enum log_level l, const char *fmt, ...)
{
    struct route r = {.to_ring = true, .to_sinks = l <= log_level};
    char head[64];
    struct hold h = text_lock();
    out(&r, head, line_head(head, sizeof(head), l));
    va_list ap;
    va_start(ap, fmt);
    vformat_pieces(out, &r, fmt, ap);
    va_end(ap);
    out(&r, "\n", 1);
    text_unlock(h);
}

void log_add_sink_with_past(struct log_sink *s)
{
    u64 at = ring_end > RING_SIZE ? ring_end - RING_SIZE : 0;
    for (bool torn = at > 0; torn && at < ring_end; at++)
        torn = ring[at % RING_SIZE] != '\n';
    while (at < ring_end) {
        u64 start = at % RING_SIZE, n = MIN(ring_end - at, RING_SIZE - start);
        s->write(ring + start, n);
        at += n;
    }
    log_add_sink(s);
}

void log_replay(void)
{
    struct hold h = text_lock();
    u64 end = ring_end, at = end > RING_SIZE ? end - RING_SIZE : 0;
    bool torn = at > 0; /* the oldest line has lost its beginning */
    text_unlock(h);
    /* The lock is dropped after each line: all 32 KiB at 115200 baud take three seconds, and interrupts are off. */
    while (at < end) {
        char line[256];
        size_t n = 0;
        bool newline = false;
        h = text_lock();
        if (ring_end - at > RING_SIZE) { /* others have logged faster than we write */
            at = ring_end - RING_SIZE;
            torn = true;
        }
        while (n < sizeof(line) && at < end && !newline) {
            line[n] = ring[at++ % RING_SIZE];
            newline = line[n++] == '\n';
        }
        if (!torn)
            to_sinks(line, n);
        torn = torn && !newline;
        text_unlock(h);
    }
}
