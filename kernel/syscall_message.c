/* System calls that carry messages: six words in RSI RDX R10 R8 R9 R12, both ways. */
#include "kernel/mailbox_fast.h"
#include "kernel/syscall.h"

static ALWAYS_INLINE void give_message(struct trap_frame *f, const struct user_message *m)
{
    f->rdi = m->from;
    f->rsi = m->word[0];
    f->rdx = m->word[1];
    f->r10 = m->word[2];
    f->r8 = m->word[3];
    f->r9 = m->word[4];
    f->r12 = m->word[5];
}

/* A handle has 32 bits; what has more is nobody's. */
static ALWAYS_INLINE bool handle_ok(u64 handle)
{
    return likely(handle >> 32 == 0);
}

/* All 64 bits of `to` are compared with the receiver's handle. RSI and RDX are the first two words. */
s64 sys_send(u64 to, u64 b, u64 c, struct trap_frame *f)
{
    return mailbox_send(to, b, c, f);
}

s64 sys_receive(u64 ns, u64 b, u64 c, struct trap_frame *f)
{
    struct thread *self = thread_self();
    struct user_message m;
    u64 deadline;
    (void)b, (void)c;
    if (!syscall_deadline(ns, &deadline))
        return -SYS_ERR_RANGE;
    while (!mailbox_take(self, &m)) {
        err_t e = mailbox_wait(self, deadline);
        if (unlikely(e != ERR_OK))
            return syscall_error(e);
    }
    give_message(f, &m);
    return 0;
}

s64 sys_call(u64 to, u64 b, u64 c, struct trap_frame *f)
{
    struct user_message reply;
    (void)b, (void)c;
    if (!handle_ok(to))
        return -SYS_ERR_ABSENT;
    err_t e = mailbox_call((thread_handle_t)to, f, &reply);
    if (likely(e == ERR_OK))
        give_message(f, &reply);
    return syscall_result(e);
}

s64 sys_reply(u64 to, u64 b, u64 c, struct trap_frame *f)
{
    (void)b, (void)c;
    if (!handle_ok(to))
        return -SYS_ERR_ABSENT;
    return syscall_result(mailbox_reply((thread_handle_t)to, f));
}
