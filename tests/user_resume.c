/* A thread of ring 3 in whose context its CPU idles is given its message by the interrupt, and goes on behind it (kernel/mailbox.c:
 * give_directly): but not past what was wanted of it, or of its CPU, before the message came. Two things of one interrupt are had by a
 * gate in the one before; within an interrupt a bare doorbell comes before the lines of CPUs with higher numbers. */
#include "kernel/mailbox_fast.h"
#include "kernel/process.h"
#include "lib/string.h"
#include "tests/bug_cpus.h"
#include "tests/message_util.h"
#include "tests/user_workload.h"

#define SOON_MS 1000u

static struct {
    struct user_run run;
    struct thread *waiter;
    thread_handle_t handle;
    u64 word0;
    err_t sent;
    u32 worked;
} resume;

static struct gate gate;
static void stand(struct msg_in *in)
{
    (void)in;
    (void)gate_pass(&gate);
}
MSG_KIND(test_resume_gate, stand);
static void nothing(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(test_resume_nothing, nothing);

static void work(void *arg)
{
    (void)arg;
    atomic_store_relaxed(&resume.worked, 1);
}

static const struct msg_kind *user_message_kind(void)
{
    TABLE_FOREACH (msg_kind, struct msg_kind, k)
        if (strcmp(k->name, "user_message") == 0)
            return k;
    return NULL;
}

/* As a system call of a thread on this CPU would. */
static void send_one(void *arg)
{
    u32 place;
    (void)arg;
    resume.sent = mail_reserve(&resume.waiter->mail, resume.handle, &place);
    if (resume.sent != ERR_OK)
        return;
    struct msg m = {.kind = user_message_kind(),
                    .flags = MSG_OWN_ACK,
                    .tag = resume.waiter->index | place << MAILBOX_TAG_PLACE,
                    .word = {resume.word0}};
    resume.sent = msg_send(bug_user_cpu(), &m);
}

static void send_from_other(struct test *t, u64 word0)
{
    cpu_t from = bug_initiator_cpu();
    resume.word0 = word0;
    CHECK(t, worker_start(from, send_one, NULL) == ERR_OK && worker_wait(from, BUG_LIMIT_MS) == ERR_OK,
          "CPU %u takes no work", from);
    CHECK(t, resume.sent == ERR_OK, "send: %s", err_name(resume.sent));
}

/* Has it been given so many, and does its CPU idle in its context again? */
static bool waits_after(u64 served)
{
    struct wait w = WAIT("a thread to wait for a message", wait_ms(BUG_LIMIT_MS));
    while (atomic_load_relaxed(&resume.run.w->served) != served ||
           atomic_load_relaxed(&per_cpu(thread_awaited, bug_user_cpu()).what) <= THREAD_RESUMES)
        if (!wait_spin(&w))
            return false;
    return true;
}

/* The waiter's CPU stands in an interrupt until `gate` is released: what comes meanwhile comes at once, in the next. */
static bool close_gate(struct test *t)
{
    struct msg m = {.kind = &test_resume_gate, .flags = MSG_ASYNC};
    gate = (struct gate){0};
    return CHECK(t, msg_send(bug_user_cpu(), &m) == ERR_OK && wait_for_u32(&gate.reached, 1),
                 "CPU %u does not take the gate", bug_user_cpu());
}

static bool begin(struct test *t)
{
    memset(&resume, 0, sizeof(resume));
    if (bug_initiator_cpu() == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return false;
    }
    if (!user_open(t, &resume.run, "mail"))
        return false;
    resume.run.w->op = WORKLOAD_MAIL_WAITS;
    err_t e = process_start(resume.run.process, bug_user_cpu(), WORKLOAD_VA, &resume.handle);
    if (!CHECK(t, e == ERR_OK, "start: %s", err_name(e)))
        return false;
    resume.waiter = thread_get(resume.handle);
    return CHECK(t, resume.waiter && waits_after(0), "the thread does not wait for messages");
}

/* The CPU idles in nobody's context then, and takes interrupts as ever. */
static void end(struct test *t, s64 status, u64 served)
{
    struct msg m = {.kind = &test_resume_nothing, .flags = MSG_SYNC};
    if (resume.waiter)
        thread_put(resume.waiter);
    if (resume.run.w) {
        atomic_store_relaxed(&resume.run.w->stop, 1);
        if (user_wait(t, &resume.run)) {
            CHECK(t, resume.run.status == status, "it ended with %lld", (long long)resume.run.status);
            CHECK(t, resume.run.w->served == served, "it has seen %llu messages, not %llu",
                  (unsigned long long)resume.run.w->served, (unsigned long long)served);
        }
        for (u32 i = 0; i < 4; i++)
            CHECK(t, msg_call(bug_user_cpu(), &m) == ERR_OK, "its CPU does not answer");
    }
    user_close(&resume.run);
}

static void user_resumed_once(struct test *t)
{
    if (begin(t)) {
        for (u64 i = 0; i < 2 * MAILBOX_MESSAGES; i++) {
            send_from_other(t, 0);
            CHECK(t, waits_after(i + 1), "it does not come back");
        }
        atomic_store_relaxed(&resume.run.w->stop, 1);
        send_from_other(t, 0); /* the last thing that it waits for */
    }
    end(t, 0, 2 * MAILBOX_MESSAGES + 1);
}
TEST(user_resumed_once,
     "a waiting thread is given message after message by the interrupt, and its CPU is as before");

static void user_resumed_in_turn(struct test *t)
{
    if (begin(t) && close_gate(t)) {
        CHECK(t, worker_start(bug_user_cpu(), work, NULL) == ERR_OK, "its CPU takes no work");
        send_from_other(t, 1);
        set_u32(&gate.release, 1);
        CHECK(t, worker_wait(bug_user_cpu(), SOON_MS) == ERR_OK && resume.worked,
              "a thread that was ready before the message came does not run");
    }
    if (resume.run.w)
        atomic_store_relaxed(&resume.run.w->stop, 1);
    CHECK(t, t->skipped || worker_wait(bug_user_cpu(), BUG_LIMIT_MS) == ERR_OK, "nor later");
    end(t, 0, 1);
}
TEST(user_resumed_in_turn, "a message does not take its receiver past a thread that was ready before");

static void user_resumed_not_if_killed(struct test *t)
{
    if (begin(t) && close_gate(t)) {
        process_kill(resume.run.process);
        send_from_other(t, 1);
        set_u32(&gate.release, 1);
    }
    end(t, STATUS_KILLED, 0);
}
TEST(user_resumed_not_if_killed, "a message does not take its receiver past its end");
