/* The log: levels, the ring after it has gone round, whole lines from many CPUs at once, and panic mode with a lost lock.
 *
 * sources: lib/log.c lib/format.c lib/wait.c
 * sanitize: thread
 */
#include "tests/host/host.h"

#include <pthread.h>

#include "lib/log.h"
#include "lib/wait.h"

static char sink_text[1u << 20];
static size_t sink_length;

static void sink_write(const char *text, size_t n)
{
    if (sink_length + n < sizeof(sink_text)) {
        memcpy(sink_text + sink_length, text, n);
        sink_length += n;
        sink_text[sink_length] = 0;
    }
}

static void clear(void)
{
    static struct log_sink sink = {.write = sink_write};
    static bool added;
    if (!added)
        log_add_sink(&sink);
    added = true;
    sink_length = 0;
    sink_text[0] = 0;
}

static bool said(const char *text)
{
    return strstr(sink_text, text) != NULL;
}

HOST_TEST(levels)
{
    clear();
    log_error("number %d", 1);
    log_warn("number %d", 2);
    log_info("number %d", 3);
    log_debug("number %d", 4);
    HOST_CHECK(said("error: number 1\n") && said("warning: number 2\n") && said("] number 3\n"), "%s",
               sink_text);
    HOST_CHECK(!said("number 4"), "debug lines stay in the ring");
    clear();
    log_replay();
    HOST_CHECK(said("error: number 1\n") && said("debug: number 4\n"), "the ring has them: %s", sink_text);
    log_level = LOG_ERROR;
    clear();
    log_warn("quiet");
    HOST_CHECK(sink_length == 0, "%s", sink_text);
    log_level = LOG_INFO;
}

HOST_TEST(time_stamps)
{
    tsc_hz = 0;
    clear();
    log_info("ticks");
    HOST_CHECK(strstr(sink_text, " t] ticks\n") != NULL, "%s", sink_text);
    tsc_hz = 1000000000;
    clear();
    log_info("seconds");
    unsigned s, us;
    HOST_CHECK(sscanf(sink_text, "[%u.%6u] seconds", &s, &us) == 2 && us < 1000000, "%s", sink_text);
}

HOST_TEST(print_stays_out_of_the_ring)
{
    clear();
    print("{\"volley\":1,\"n\":%d}\n", 77);
    HOST_CHECK(strcmp(sink_text, "{\"volley\":1,\"n\":77}\n") == 0, "%s", sink_text);
    clear();
    log_replay();
    HOST_CHECK(!said("77}"), "a replay must not repeat a record");
}

HOST_TEST(ring_keeps_the_last_whole_lines)
{
    clear();
    for (u32 i = 0; i < 3000; i++)
        log_debug("line %u of the flood %*s", i, (int)(i % 400), "|");
    clear();
    log_replay();
    HOST_CHECK(sink_length > 30 * KIB && sink_length <= 32 * KIB, "%zu bytes", sink_length);
    HOST_CHECK(sink_text[0] == '[', "begins with a whole line: %.60s", sink_text);
    HOST_CHECK(said("line 2999 of the flood"), "the newest is there");
    /* In order, none left out. */
    unsigned n = 0, next;
    const char *at = strstr(sink_text, "debug: line ");
    HOST_CHECK(at && sscanf(at, "debug: line %u", &n) == 1, "the oldest");
    for (at = strchr(at, '\n'); at && at[1]; at = strchr(at + 1, '\n'), n++)
        if (!HOST_CHECK(sscanf(strstr(at, "debug: line "), "debug: line %u", &next) == 1 && next == n + 1,
                        "after line %u comes %.80s", n, at + 1))
            break;
    HOST_CHECK(n == 2999, "up to the newest, not %u", n);
}

#define THREADS 4u
#define EACH    300u

static void *talk(void *arg)
{
    u32 who = (u32)(uintptr_t)arg;
    char filler[700]; /* longer than one piece of the formatter */
    memset(filler, (int)('a' + who), sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = 0;
    for (u32 i = 0; i < EACH; i++) {
        if (i & 1)
            print("<%u:%s>\n", who, filler);
        else
            log_info("<%u:%s>", who, filler);
    }
    return NULL;
}

HOST_TEST(calls_do_not_interleave)
{
    clear();
    pthread_t thread[THREADS];
    for (u32 i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, talk, (void *)(uintptr_t)i);
    for (u32 i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    u32 lines = 0;
    for (char *line = strtok(sink_text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        char *at = strchr(line, '<');
        bool whole = at && at[1] >= '0' && at[1] < '0' + (int)THREADS && at[2] == ':' &&
                     strspn(at + 3, (char[]){(char)('a' + at[1] - '0'), 0}) == 699 &&
                     strcmp(at + 702, ">") == 0;
        if (!HOST_CHECK(whole, "a torn line: %s", line))
            return;
    }
    HOST_CHECK(lines == THREADS * EACH, "%u lines of %u", lines, THREADS * EACH);
}

/* A sink that is stopped inside the lock, as a CPU that gets the panic NMI there; then another CPU prints. Last: panic mode
 * stays on. */
static u32 stopped, release;
static void stopping_write(const char *text, size_t n)
{
    (void)text, (void)n;
    if (__atomic_exchange_n(&stopped, 1, __ATOMIC_SEQ_CST) == 0)
        while (!__atomic_load_n(&release, __ATOMIC_ACQUIRE))
            ;
}

static void *stop_inside(void *arg)
{
    print("stops here\n");
    return arg;
}

HOST_TEST(panic_mode_passes_a_lost_lock)
{
    static struct log_sink sink = {.write = stopping_write};
    clear();
    log_add_sink(&sink);
    pthread_t thread;
    pthread_create(&thread, NULL, stop_inside, NULL);
    while (!__atomic_load_n(&stopped, __ATOMIC_ACQUIRE))
        ;
    log_panic_mode();
    print("still talking\n"); /* would hang here */
    HOST_CHECK(said("still talking\n"), "%s", sink_text);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}
