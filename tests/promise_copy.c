/* The policy `promise`, and a CPU in a system call: the flush that it has put off is done before it touches ring 3's memory. */
#include "kernel/trap.h"
#include "kernel/uaccess.h"
#include "kernel/worker.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "smp/cpus.h"
#include "tests/flag.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/window.h"

#define MINE     0x313e313e313e313eull
#define THEIRS   0x7e1275007e127500ull
#define LIMIT_MS 5000u /* hang detector */

static struct {
    struct space *space;
    u32 ready, go;
    err_t before, after;
    u32 promised, left; /* tlb_pending before and behind the second copy */
} call;

/* A thread of the kernel, which has no regions that could explain a fault. */
static bool refused(struct trap_frame *f, vaddr_t address)
{
    (void)f, (void)address;
    return false;
}

/* What a system call does that copies its answer to a page, with the page taken away in its middle. */
static void answer(void *arg)
{
    u64 word = MINE;
    (void)arg;
    space_load(call.space);
    call.before = copy_to_user(TEST_USER_VA, &word, sizeof(word)); /* from here on the CPU has it cached */
    shootdown_user_close();
    flag_raise(&call.ready);
    (void)flag_wait(&call.go, LIMIT_MS);
    call.promised = this_cpu(tlb_pending);
    call.after = copy_to_user(TEST_USER_VA, &word, sizeof(word));
    call.left = this_cpu(tlb_pending);
    (void)shootdown_user_open();
    space_load(NULL);
}

/* The frame is the test's own, so that its next owner is known. */
static void take_page_away(struct test *t, cpu_t cpu, u64 *owned)
{
    REQUIRE(t, worker_start(cpu, answer, NULL) == ERR_OK, "CPU %u takes no work", cpu);
    CHECK(t, flag_wait(&call.ready, LIMIT_MS), "CPU %u does not begin", cpu);
    err_t e = space_unmap(call.space, TEST_USER_VA, TEST_USER_VA + PAGE_SIZE);
    CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
    u64 written = *owned;
    *owned = THEIRS;
    flag_raise(&call.go);
    REQUIRE(t, worker_wait(cpu, LIMIT_MS) == ERR_OK, "CPU %u does not end", cpu);

    CHECK(t, call.before == ERR_OK && written == MINE, "the page could not be written: %s, and it has %llx",
          err_name(call.before), (unsigned long long)written);
    CHECK(t, call.promised == 1 && call.left == 0, "%u flushes put off before the copy, %u behind it",
          call.promised, call.left);
    CHECK(t, call.after == ERR_FAULT, "the copy to a page that is gone says %s", err_name(call.after));
    CHECK(t, *owned == THEIRS, "the copy went to the frame's next owner, who has %llx now",
          (unsigned long long)*owned);
}

static void promise_kept_before_copy(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    const struct shootdown_policy *before;
    paddr_t p;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (!policy_use(t, "promise", &before))
        return;
    bool (*hook)(struct trap_frame * f, vaddr_t address) = trap_user_fault_hook;
    memset(&call, 0, sizeof(call));
    if (CHECK(t, frame_alloc(FRAME_OWNER_TEST, &p) == ERR_OK, "no memory")) {
        /* The page behind stays, and with it the table: nobody is asked for more than to have entered. */
        if (CHECK(t,
                  space_create(&call.space) == ERR_OK &&
                      space_map(call.space, TEST_USER_VA, p, PAGE_SIZE, PT_4K, PT_USER | PT_WRITE) ==
                          ERR_OK &&
                      space_map_fresh(call.space, TEST_USER_VA + PAGE_SIZE, 1, PT_USER, FRAME_OWNER_TEST) ==
                          ERR_OK,
                  "no memory")) {
            trap_user_fault_hook = refused;
            take_page_away(t, cpu, phys_to_virt(p));
            trap_user_fault_hook = hook;
        }
        if (call.space)
            space_destroy(call.space);
        frame_free(p);
    }
    policy_restore(t, before);
    if (!oracle.write)
        test_blind(t, "a stale entry would not show on this machine");
}
TEST(
    promise_kept_before_copy,
    "promise: a system call flushes before it copies to ring 3, and its answer goes to nobody else's memory");
