/* The door and the places of a mailbox: one compare-exchange that is a look-up and a reservation, while the thread behind the door ends
 * and another one begins, in the same memory. Places are accessed plainly on purpose: ThreadSanitizer proves that the door orders them,
 * and must find a race as soon as any one order is taken away.
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

/* The function whose order is taken away. */
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

#include "kernel/mail_door.h"

#define INDEX       5u
#define THREADS_MAX 4096u /* as THREAD_MAX of kernel/thread.h, which knows more than this test wants */
#define SENDERS     3u
#define LIVES       60u /* of threads behind the door, one after the other */
#define EACH        40u /* messages that each of them takes before it ends */

static struct mail_door door;
static struct mail_place place[MAILBOX_MESSAGES];
static u32 current; /* the handle */
static u64 accepted[SENDERS], refused, received, left_over;
static bool over, bad;

static void check_message(const struct mail_place *p, u32 handle, u64 next[SENDERS])
{
    const u64 *w = p->word;
    u64 from = p->from;
    if (from >= SENDERS || w[0] != from || w[1] < next[from] || w[2] != ~w[1] || w[3] != handle ||
        w[4] != w[1] * 3 || w[5] != (w[1] ^ handle)) {
        bad = true;
        return;
    }
    next[from] = w[1] + 1;
    received++;
}

/* One thread after the other, each with the memory of the one before it. */
static void *receiver(void *arg)
{
    u64 next[SENDERS] = {0};
    (void)arg;
    for (u32 life = 1; life <= LIVES; life++) {
        u32 handle = life << 16 | INDEX, taken = 0;
        memset(place, 0, sizeof(place));
        mail_init(&door, INDEX);
        mail_open(&door, handle);
        atomic_store_relaxed(&current, handle);
        while (taken < EACH) {
            struct mail_place *p = &place[mail_next(&door)];
            if (!mail_is_ready(p)) {
                sched_yield();
                continue;
            }
            check_message(p, handle, next);
            atomic_store_relaxed(&p->ready, 0);
            mail_give_back(&door);
            taken++;
        }
        u32 reserved = mail_shut(&door, INDEX);
        for (u32 n = door.limit - MAILBOX_MESSAGES; n != reserved; n++, left_over++) {
            struct mail_place *p = &place[n % MAILBOX_MESSAGES];
            while (!mail_is_ready(p))
                sched_yield();
            check_message(p, handle, next);
        }
    }
    atomic_store_relaxed(&over, true);
    return NULL;
}

static void *sender(void *arg)
{
    u32 me = (u32)(uintptr_t)arg;
    for (u64 n = 0; !atomic_load_relaxed(&over);) {
        u32 handle = atomic_load_relaxed(&current), at;
        if (!handle || mail_reserve(&door, handle, &at) != ERR_OK) {
            atomic_fetch_add(&refused, 1);
            sched_yield();
            continue;
        }
        place[at].from = me;
        if (n % 8 == me)
            sched_yield(); /* the receiver may end meanwhile, as far as it can */
        mail_put(&place[at], (u64[MSG_WORDS]){me, n, ~n, handle, n * 3, n ^ handle});
        accepted[me] = ++n;
    }
    return NULL;
}

static bool lives_go_well(void)
{
    pthread_t r, s[SENDERS];
    u64 sent = 0;
    for (u32 i = 0; i < SENDERS; i++)
        if (pthread_create(&s[i], NULL, sender, (void *)(uintptr_t)i))
            abort();
    if (pthread_create(&r, NULL, receiver, NULL))
        abort();
    pthread_join(r, NULL);
    for (u32 i = 0; i < SENDERS; i++) {
        pthread_join(s[i], NULL);
        sent += accepted[i];
    }
    return !bad && sent == received && received >= LIVES * EACH;
}

/* In a child, because the sanitizer ends the process at its first finding. */
static bool lives_are_clean(const char *without)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY); /* the findings are expected */
        dup2(nowhere, 1);
        dup2(nowhere, 2);
        relaxed_in = without;
        exit(lives_go_well() ? 0 : 1); /* the sanitizer makes it 66 if it has found anything */
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

HOST_TEST(every_message_goes_to_the_life_it_was_meant_for)
{
    HOST_CHECK(lives_are_clean(""), "a race, or a message too many, too few, torn, or of another thread");
}

HOST_TEST(every_order_is_needed)
{
    static const char *const functions[] = {"mail_open", "mail_reserve", "mail_put", "mail_is_ready",
                                            "local_inc_release_u32"};
    for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
        HOST_CHECK(!lives_are_clean(functions[i]), "nothing was found with %s relaxed", functions[i]);
}

/* ---- one thread ---- */

static void open_door(struct mail_door *d, u32 handle)
{
    mail_init(d, handle & 0xffff);
    mail_open(d, handle);
}

HOST_TEST(sixteen_places_in_order)
{
    struct mail_door d;
    u32 at = ~0u;
    open_door(&d, 1u << 16 | INDEX);
    for (u32 lap = 0; lap < 5; lap++) {
        for (u32 i = 0; i < MAILBOX_MESSAGES; i++)
            HOST_CHECK(mail_reserve(&d, 1u << 16 | INDEX, &at) == ERR_OK && at == i, "place %u of lap %u", i,
                       lap);
        HOST_CHECK(mail_reserve(&d, 1u << 16 | INDEX, &at) == ERR_FULL, "a place more than there are");
        for (u32 i = 0; i < MAILBOX_MESSAGES; i++) {
            HOST_CHECK(mail_next(&d) == i, "the next is %u, not %u", mail_next(&d), i);
            mail_give_back(&d);
        }
    }
    HOST_CHECK(mail_shut(&d, INDEX) == 5 * MAILBOX_MESSAGES, "the places are not counted");
}

HOST_TEST(only_the_whole_handle_opens)
{
    struct mail_door d;
    u32 at = ~0u, handle = 7u << 16 | INDEX;
    u64 reserved_before;
    open_door(&d, handle);
    reserved_before = d.tail;
    for (u32 bit = 0; bit < 64; bit++)
        HOST_CHECK(mail_reserve(&d, handle ^ 1ull << bit, &at) == ERR_ABSENT, "bit %u is not looked at", bit);
    HOST_CHECK(mail_reserve(&d, 0, &at) == ERR_ABSENT && d.tail == reserved_before, "nobody's handle opens");
    HOST_CHECK(mail_is_open(&d, handle), "the door is not open");
    mail_shut(&d, INDEX);
    HOST_CHECK(!mail_is_open(&d, handle) && mail_reserve(&d, handle, &at) == ERR_ABSENT,
               "it is open after it was shut");
}

/* Whatever number leads to a door, none opens it while it is shut, 0 included. */
HOST_TEST(a_shut_door_has_no_handle)
{
    for (u32 i = 0; i < THREADS_MAX; i++)
        HOST_CHECK(MAIL_NOBODY(i) % THREADS_MAX != i, "%u opens the shut door of %u", MAIL_NOBODY(i), i);
}

HOST_TEST(the_count_wraps)
{
    struct mail_door d;
    u32 at = ~0u, handle = 0xffffu << 16 | INDEX;
    open_door(&d, handle);
    d.tail |= (u64)(0u - 20u) << 32;
    d.limit = 0u - 20u + MAILBOX_MESSAGES;
    for (u32 i = 0; i < 100; i++) {
        HOST_CHECK(mail_reserve(&d, handle, &at) == ERR_OK && at == (i + 12) % MAILBOX_MESSAGES,
                   "message %u: place %u", i, at);
        if (i < MAILBOX_MESSAGES - 1)
            continue;
        HOST_CHECK(mail_reserve(&d, handle, &at) == ERR_FULL, "message %u: a place more than there are", i);
        mail_give_back(&d);
    }
    HOST_CHECK(mail_is_open(&d, handle), "the count has run into the handle");
}
