/* Each order in smp/slot.h is needed: with any single one of them relaxed, ThreadSanitizer must find a race in a plain
 * exchange of messages; with all in place it must find none. Each variant runs in a child process, because the
 * sanitizer ends the process at its first finding.
 *
 *     sources:
 *     sanitize: thread
 */
#include "tests/host/host.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/atomic.h"

/* The function of smp/slot.h whose order is taken away. */
static const char *relaxed_in = "";
static bool is_relaxed(const char *function)
{
    return strcmp(function, relaxed_in) == 0;
}

#undef atomic_load_acquire
#define atomic_load_acquire(p)                                                                               \
    (is_relaxed(__func__) ? __atomic_load_n((p), __ATOMIC_RELAXED) : __atomic_load_n((p), __ATOMIC_ACQUIRE))
#undef atomic_store_release
#define atomic_store_release(p, v)                                                                           \
    (is_relaxed(__func__) ? __atomic_store_n((p), (v), __ATOMIC_RELAXED)                                     \
                          : __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#undef atomic_xchg
#define atomic_xchg(p, v)                                                                                    \
    (is_relaxed(__func__) ? __atomic_exchange_n((p), (v), __ATOMIC_RELAXED)                                  \
                          : __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#undef atomic_fetch_add
#define atomic_fetch_add(p, v)                                                                               \
    (is_relaxed(__func__) ? __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)                                   \
                          : __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#undef atomic_fetch_or
#define atomic_fetch_or(p, v)                                                                                \
    (is_relaxed(__func__) ? __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)                                    \
                          : __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))

#include "smp/slot.h"

#define MESSAGES 200u

static struct msg_slot slot;
static u64 pending, results, sum, own_word, own_word_seen;

/* Asynchronous: copied, acknowledged, used. Every fourth synchronous: used in place, answered, acknowledged. */
static void *receiver(void *arg)
{
    (void)arg;
    for (u32 got = 0; got < MESSAGES || !own_word_seen;) {
        u64 bits = inbox_take(&pending);
        if (bits & 2)
            own_word_seen = own_word;
        if (!(bits & 1)) {
            sched_yield();
            continue;
        }
        got++;
        if (slot.body.what & 1) {
            u64 copy[MSG_WORDS];
            msg_words_copy(copy, slot.body.word);
            slot_ack(&slot);
            sum += copy[0] + copy[5];
        } else {
            results += slot.body.word[0];
            slot_ack(&slot);
        }
    }
    return NULL;
}

static bool sender(void)
{
    bool ok = true;
    u64 expected = 0;
    for (u64 i = 1; i <= MESSAGES; i++) {
        while (!slot_claim(&slot))
            sched_yield();
        slot_fill(&slot, i % 4 != 0, (u64[MSG_WORDS]){i, i, i, i, i, i});
        inbox_publish(&pending, 1);
        if (i % 4)
            continue;
        u32 posted = slot_posted(&slot);
        while (!slot_done(&slot, posted))
            sched_yield();
        expected += i;
        ok = ok && results == expected;
    }
    own_word = 7;
    inbox_publish_again(&pending, 2);
    return ok;
}

/* Runs the exchange in a child. True if it came to its end with the right results and without a finding. */
static bool exchange_is_clean(const char *without)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY); /* the findings are expected */
        dup2(nowhere, 1);
        dup2(nowhere, 2);
        relaxed_in = without;
        pthread_t t;
        if (pthread_create(&t, NULL, receiver, NULL))
            abort();
        bool ok = sender();
        pthread_join(t, NULL);
        exit(ok ? 0 : 1); /* the sanitizer makes it 66 if it has found anything */
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

HOST_TEST(complete_protocol_is_clean)
{
    HOST_CHECK(exchange_is_clean(""), "a race or a wrong result with all orders in place");
}

HOST_TEST(every_order_is_needed)
{
    static const char *const functions[] = {"slot_claim", "inbox_publish", "inbox_publish_again",
                                            "inbox_take", "slot_ack",      "slot_number_done"};
    for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
        HOST_CHECK(!exchange_is_clean(functions[i]), "nothing was found with %s relaxed", functions[i]);
}
