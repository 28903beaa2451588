/* Messages between threads of ring 3: 48 bytes, asynchronous, through the same lines and acknowledgements as the kernel's own.
 *
 * The sender reserves a place in the receiver's mailbox first (kernel/mail_door.h; full: SYS_ERR_FULL, nobody waits), then the six words
 * go by value into the line to the receiver's CPU (smp/message.h; the thread's index and the place travel in the line's tag), or
 * straight into the mailbox if it is this CPU. */
#pragma once

#include "kernel/thread.h"
#include "smp/slot.h"

struct user_message {
    u64 word[MSG_WORDS];
    thread_handle_t from;
};

/* An empty one in zeroed memory, MAILBOX_BYTES, aligned to a cache line; t may be sent to from then on. t is held by nobody yet. */
#define MAILBOX_BYTES 1280u
void mailbox_init(struct thread *t, void *memory);
/* The calling thread ends: later senders get ERR_ABSENT, threads that wait for its reply are woken. Waits until what was sent before has
 * been delivered, which takes no thread's help but that of senders inside SYS_SEND. THREAD. */
void mailbox_close(struct thread *self);

/* The words of a message are in the registers of the system call that sends it (kernel/mailbox_fast.h:mailbox_words).
 *
 * err_t mailbox_send(u64 to, u64 word0, u64 word1, const struct trap_frame *f), in kernel/mailbox_fast.h: ERR_ABSENT: no such thread; ERR_FULL: no
 * room. THREAD (may wait for the line to that CPU, never for the receiver). */
/* bool mailbox_take(struct thread *self, struct user_message *out), there too: the calling thread's oldest message, if there is one. */
/* Waits for one: ERR_OK means to look again. ERR_TIMEOUT when the deadline (TSC; 0: at once; ~0: never) has passed, or the thread is being
 * killed. */
err_t mailbox_wait(struct thread *self, u64 deadline) MUST_CHECK;
/* send, then waits for mailbox_reply by that thread. ERR_ABSENT also if it exits meanwhile; ERR_INVAL: oneself; ERR_TIMEOUT: the
 * caller is being killed. */
err_t mailbox_call(thread_handle_t to, const struct trap_frame *f, struct user_message *reply) MUST_CHECK;
/* ERR_ABSENT: that thread does not wait for our reply. */
err_t mailbox_reply(thread_handle_t to, const struct trap_frame *f) MUST_CHECK;
