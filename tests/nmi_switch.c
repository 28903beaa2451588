/* NMIs at every instruction of a switch between threads of different spaces. Both have a page at the same address, each with its own number:
 * a handler that may read it must find the running thread's. Between the moment that the next thread is the running one and the load of
 * its space it would find the other's, so there it must not read; and a handler that only asks whether some space is loaded is caught. */
#include "apic/apic.h"
#include "kernel/nmi.h"
#include "kernel/uaccess.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "tests/observer.h"
#include "tests/thread_util.h"
#include "tests/window.h"

#define THREADS          2u
#define NMIS             (emulator == EMULATOR_BOCHS ? 2000u : 400u)
#define DELAY_TURNS      173u /* more than a switch lasts; a prime, so that all places come */
#define ARRIVAL_LIMIT_MS 500u
#define NUMBER(i)        (0x5a1ce00000000000ull + (i))

static struct {
    cpu_t cpu;
    u32 begun, stop, ended;
    struct thread *thread[THREADS];
    struct space *space[THREADS];
    /* By the NMIs. */
    u64 nmis, allowed, wrong;
    u64 between,
        rogue; /* another space was loaded than the thread's; and what was read there was its number */
} sw;

static bool on_nmi(struct trap_frame *f)
{
    (void)f;
    if (!atomic_load_relaxed(&sw.begun) || cpu_self() != sw.cpu)
        return false;
    const struct thread *self = thread_self();
    enum user_refusal refusal = nmi_user_refusal();
    u64 found = 0;
    for (u32 i = 0; i < THREADS; i++) {
        if (self != atomic_load_relaxed(&sw.thread[i]) || self->space != sw.space[i])
            continue;
        if (refusal == USER_ALLOWED) {
            sw.allowed++;
            sw.wrong += peek_user(&found, TEST_USER_VA, sizeof(found)) != ERR_OK || found != NUMBER(i);
        } else if (refusal == USER_OTHER) { /* nothing pending, no load under way, some space there */
            sw.between++;
            sw.rogue +=
                peek_user(&found, TEST_USER_VA, sizeof(found)) == ERR_OK && found == NUMBER(THREADS - 1 - i);
        }
    }
    atomic_store_relaxed(&sw.nmis, sw.nmis + 1);
    return true;
}
NMI_HOOK(nmi_switch, on_nmi);

/* A kernel thread that runs in a space, as one of ring 3 does, and lets the other one run all the time. */
static void yield_on(void *arg)
{
    u64 i = (u64)arg, found;
    preempt_disable();
    thread_self()->space = sw.space[i];
    space_load(sw.space[i]);
    atomic_store_relaxed(&sw.thread[i], thread_self());
    (void)safe_read_u64((void *)TEST_USER_VA, &found);
    preempt_enable();
    atomic_fetch_add(&sw.begun, 1);
    while (!atomic_load_relaxed(&sw.stop)) {
        thread_yield();
        cpu_pause();
    }
    preempt_disable();
    atomic_store_relaxed(&sw.thread[i], NULL);
    thread_self()->space = NULL;
    space_load(NULL);
    preempt_enable();
    atomic_fetch_add(&sw.ended, 1);
}

static bool send_nmis(struct test *t)
{
    for (u32 n = 0; n < NMIS; n++) {
        u64 want = atomic_load_relaxed(&sw.nmis) + 1;
        for (u32 turns = n % DELAY_TURNS; turns; turns--)
            __asm__ volatile("");
        apic_send_nmi(cpu_apic_id(sw.cpu));
        struct wait w = WAIT("an NMI in the other CPU", wait_ms(ARRIVAL_LIMIT_MS));
        while (atomic_load_relaxed(&sw.nmis) < want)
            if (!wait_spin(&w))
                return CHECK(t, false, "NMI %u of %u did not come", n, NMIS);
    }
    return true;
}

static bool make_space(struct test *t, u32 i)
{
    struct space **s = &sw.space[i];
    if (!CHECK(t, space_create(s) == ERR_OK, "no space"))
        return false;
    err_t e = space_map_fresh(*s, TEST_USER_VA, 1, PT_WRITE, FRAME_OWNER_TEST);
    if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e)))
        return false;
    observe_fill(space_query(*s, TEST_USER_VA).pa, NUMBER(i));
    return true;
}

static void nmi_while_switching(struct test *t)
{
    memset(&sw, 0, sizeof(sw));
    sw.cpu = other_cpu(1);
    if (sw.cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    u32 started = 0;
    while (started < THREADS && make_space(t, started) && spawn(t, sw.cpu, yield_on, (void *)(u64)started))
        started++;
    if (started == THREADS && CHECK(t, wait_until_u32(&sw.begun, THREADS), "they do not begin"))
        send_nmis(t);
    atomic_store_relaxed(&sw.stop, 1);
    if (!wait_until_u32(&sw.ended, started))
        panic("a thread that runs in a space of this test does not end");
    atomic_store_relaxed(&sw.begun, 0); /* other NMIs are none of ours */
    for (u32 i = 0; i < THREADS; i++)
        if (sw.space[i])
            space_destroy(sw.space[i]);
    CHECK(t, !sw.wrong, "in %llu of %llu NMIs that might read, the word was not the running thread's",
          (unsigned long long)sw.wrong, (unsigned long long)sw.allowed);
    CHECK(t, sw.allowed, "no NMI might read, of %llu", (unsigned long long)sw.nmis);
    /* TCG takes interrupts between translated blocks only. */
    if (emulator == EMULATOR_BOCHS)
        CHECK(t, sw.between && sw.rogue,
              "%llu NMIs came between the change of threads and that of spaces, and %llu would have read the "
              "other's word",
              (unsigned long long)sw.between, (unsigned long long)sw.rogue);
    test_note(t,
              "%llu NMIs: %llu might read; %llu came with the last thread's space still loaded, %llu would "
              "have read its memory",
              (unsigned long long)sw.nmis, (unsigned long long)sw.allowed, (unsigned long long)sw.between,
              (unsigned long long)sw.rogue);
}
TEST(nmi_while_switching,
     "an NMI between the change of threads and that of spaces does not read the last thread's memory");
