/* Asynchronous inline messages: a registered kind and 48 bytes by value, in one 64-byte line per (sender, receiver).
 *
 * The sender chooses when the line is free again: after the function has run (MSG_SYNC), or on entry, once the
 * receiver has copied the payload and published what it is about to do (MSG_ASYNC). The interrupt is only a doorbell.
 * Nothing points into the sender's stack, nothing is allocated, no lock is shared by senders. docs/messages.md has the
 * protocol, its fences and diagrams. The static functions are in smp/post.h.
 *
 *   static void hello(struct msg_in *in) { this_cpu(greeted_by) = in->from; }
 *   MSG_KIND(hello_kind, hello);
 *   err_t e = msg_call(3, &(struct msg){.kind = &hello_kind, .flags = MSG_SYNC});
 *
 * Contexts (lib/context.h): post from THREAD, IRQ-OFF or IPI; send and call from THREAD; wait from THREAD only
 * (asserted).
 * Order: the messages of one sender to one receiver run in the order in which they were posted; no other order is
 * kept. */
#pragma once

#include "lib/cpumask.h"
#include "lib/table.h"
#include "lib/types.h"
#include "smp/cpus.h"
#include "smp/slot.h"

enum msg_flags {
    /* Read in place; acknowledged after the function has run, or earlier, by the function itself. */
    MSG_SYNC = 0,
    /* The same; tells the reader that the function is known to call msg_ack. */
    MSG_OWN_ACK = MSG_SYNC,
    MSG_ASYNC = 1u << 0, /* copied and acknowledged on entry, before the function runs */
    MSG_NMI = 1u << 1,   /* delivered by NMI: the function runs in NMI context */
};
_Static_assert((MSG_ASYNC | MSG_NMI) == SLOT_FLAGS_MASK, "the flags travel below the kind's address");

/* What a message function gets. Interrupts off; IPI context, or NMI context for MSG_NMI. It must return. */
struct msg_in {
    const u64 *
        word; /* MSG_WORDS payload words, in a struct msg_body; of a synchronous message not to be read after msg_ack */
    struct msg_slot *slot; /* NULL when a CPU called itself */
    cpu_t from;
    bool acked;
};

struct msg_kind {
    const char *name;
    void (*fn)(struct msg_in *in);
};
_Static_assert(_Alignof(struct msg_kind) > SLOT_FLAGS_MASK, "the flags travel below the kind's address");
TABLE_DECLARE(msg_kind, struct msg_kind);
#define MSG_KIND(ident, fn_) TABLE_ENTRY(msg_kind, struct msg_kind, ident) = {.name = #ident, .fn = fn_}

struct msg {
    const struct msg_kind *kind;
    u32 flags; /* enum msg_flags */
    u32 tag;   /* 32 bits more, for kinds whose 48 bytes are all somebody else's: msg_tag; most leave it 0 */
    u64 word[MSG_WORDS];
};

/* The tag of the message; to be read where in->word may be. */
static ALWAYS_INLINE u32 msg_tag(const struct msg_in *in)
{
    return slot_tag(container_of(in->word, const struct msg_body, word)->what);
}

/* In a message function: acknowledges now, and gives the line back to the sender. Idempotent; of no effect in an
 * asynchronous message, which has been acknowledged. */
static ALWAYS_INLINE void msg_ack(struct msg_in *in)
{
    if (!in->acked) {
        in->acked = true;
        slot_ack(in->slot);
    }
}

/* The same, short for a message that came in a line and is known not to have been acknowledged. */
static ALWAYS_INLINE void msg_ack_first(struct msg_in *in)
{
    in->acked = true;
    slot_ack(container_of(in->word, struct msg_slot, body.word[0]));
}

/* Fills the line to `to` and rings if nobody has yet. ERR_FULL: the line still holds an earlier message; nothing was
 * done. ERR_ABSENT: not online. `to` is not the running CPU (asserted). Preemption off or interrupts off. */
static inline err_t msg_post(cpu_t to, const struct msg *m) MUST_CHECK;

/* Posts to every CPU of the set (not the running one, asserted), with as few ICR writes as delivery= allows. CPUs that
 * got nothing, because their line was full or they are not online, are set in *full (never NULL; its words below
 * cpumask_words are written). An empty set does nothing. Preemption off or interrupts off. */
static inline void msg_post_mask(const cpumask_t *to, const struct msg *m, cpumask_t *full);

/* Waits until all that this CPU has posted to `to` (or to each of the set) before the call has been acknowledged.
 * ERR_TIMEOUT: the watchdog gave up after reporting; the line stays taken. THREAD, preemption off since the post. */
err_t msg_wait(cpu_t to) MUST_CHECK;
err_t msg_wait_mask(const cpumask_t *to) MUST_CHECK;

/* Waits until done(arg), which CPU `to` makes true when it looks at its words: after a bare doorbell, or by itself. The same watchdog, which
 * calls what is waited for `name`, and may ring the doorbell again. ERR_TIMEOUT: it gave up. THREAD. */
err_t smp_wait_served(cpu_t to, const char *name, bool (*done)(const void *arg), const void *arg) MUST_CHECK;

/* The usual combinations. THREAD. Calling oneself runs the function here with interrupts off. */
static inline err_t
msg_send(cpu_t to, const struct msg *m) MUST_CHECK; /* waits for a free line if need be, then posts */
static inline err_t msg_call(cpu_t to,
                             const struct msg *m) MUST_CHECK; /* sends, waits until it is acknowledged */
/* To all of the set, then waits for all; the running CPU may be in the set and is served meanwhile. The first error,
 * after all have been tried. */
static inline err_t msg_call_mask(const cpumask_t *to, const struct msg *m) MUST_CHECK;

/* The bare doorbell, for those that keep their own words (shootdown policies, the overflow word): the receiver's drain
 * runs every doorbell hook, after this call's earlier stores are visible there. No interrupt is written if one that does
 * the same is on its way. Not to oneself (asserted), not to a CPU that is not online. Any context. */
void smp_doorbell(cpu_t to);
/* The same for a set, with as few ICR writes as delivery= allows. Preemption off or interrupts off. */
void smp_doorbell_mask(const cpumask_t *to);

/* For who waits for CPUs while others wait inside their handlers. Whoever makes a pending word non-empty rings for all that come to it
 * before it is taken; but he may have been interrupted before his ring, and be waiting in such a handler: then nobody rings, and each
 * waits for the other. So who does not come for this long is rung once more, whatever his pending word says. */
#define RING_ANEW_MS 1u
/* Writes an interrupt command for each CPU of the set. Not NMI. */
void smp_ring_anew(const cpumask_t *to);
struct doorbell_hook {
    /* IPI context, in each drain that a bare doorbell has rung for, between messages; a few instructions when there is
     * nothing to do. */
    void (*fn)(void);
};
TABLE_DECLARE(doorbell_hook, struct doorbell_hook);
#define DOORBELL_HOOK(ident, fn_) TABLE_ENTRY(doorbell_hook, struct doorbell_hook, ident) = {.fn = fn_}

/* How msg_post_mask writes the ICR. The shorthand and the clusters are used only where they reach exactly the CPUs that
 * are to be rung; where they cannot, each mode falls back to the next simpler one. delivery= on the command line. */
enum msg_delivery {
    MSG_DELIVERY_AUTO,      /* shorthand, else cluster, else unicast */
    MSG_DELIVERY_UNICAST,   /* one ICR write for each CPU */
    MSG_DELIVERY_SHORTHAND, /* one for all but self, if the set is all other CPUs and there are at least 2 */
    MSG_DELIVERY_CLUSTER,   /* one for each x2APIC cluster of up to 16 CPUs */
    MSG_DELIVERY_NMI, /* messages as by auto; shootdowns whose policy allows it go by NMI (mm/by_nmi.c) */
    /* idle CPUs that watch their inbox are told by the store alone; others as by cluster */
    MSG_DELIVERY_MWAIT,
};
/* Called by msg_delivery_set, when it is done. THREAD, or the boot CPU before the others run. */
struct delivery_hook {
    void (*fn)(void);
};
TABLE_DECLARE(delivery_hook, struct delivery_hook);
#define DELIVERY_HOOK(ident, fn_) TABLE_ENTRY(delivery_hook, struct delivery_hook, ident) = {.fn = fn_}
void msg_delivery_set(enum msg_delivery d); /* thread; nobody else may be posting to sets meanwhile */
enum msg_delivery msg_delivery_get(void);
const char *msg_delivery_name(void); /* for records: "auto", "unicast", ... */

/* Boot CPU, once: after the last cpu_add, percpu_prepare of every CPU and percpu_set_base of this one; before
 * smp_start_all. memory: msg_memory_size() bytes, page aligned, mapped on all CPUs, kept for ever. */
size_t msg_memory_size(void);
void msg_init(void *memory);

/* ---- an idle CPU that watches its inbox (smp/inbox_watch.c): who posts to it finds its pending word marked, and does not ring ---- */

/* Is the machine one on which that can be done: at most 63 CPUs? */
bool inbox_watch_is_possible(void);
/* Marks the running CPU's pending word. False: an interrupt is on its way already, and nothing was done. IRQ-OFF; interrupts stay off
 * until inbox_watch_end, or who posts is not heard. */
bool inbox_watch_begin(void) MUST_CHECK;
/* Has anything come since? */
bool inbox_watch_has_come(void);
/* Takes the mark away: from here on who posts rings. True: something has come, for which nobody has rung, and which is to be drained
 * now (trap_message_by_store). */
bool inbox_watch_end(void) MUST_CHECK;
/* The line to MONITOR, and whether nothing is pending in it; also without the mark. */
const void *inbox_watch_line(void);
bool inbox_watch_is_quiet(void);

/* Entry points of the receiving side, called by kernel/: the message vector (interrupts off; sends the EOI), and the
 * NMI handler, which returns false if no message was there, so that the NMI was something else's. */
void msg_drain(void);
bool msg_drain_nmi(void);

/* Is no message by NMI on its way, or being served, anywhere? Stays true only while nobody sends any: for kernel/patch.c, while all
 * other CPUs stand still. Any context. */
bool msg_nmi_is_quiet(void);

/* Watchdog limits in ms before scaling by wait_scale: the first report, the doorbell rung again once, giving up.
 * Thread. */
struct msg_watchdog {
    u64 report_ms, retry_ms, give_up_ms;
};
extern struct msg_watchdog msg_watchdog;
/* Called by the watchdog after its report, once for each time that a CPU is stuck, whoever waits for it, to show what
 * that CPU is doing (a backtrace taken by NMI). THREAD. NULL: nothing more. Set by kernel/. */
extern void (*msg_stuck_hook)(cpu_t stuck);

/* What CPU `cpu` is running in its drain now; NULL if nothing. For reports; may be out of date at once. */
const struct msg_kind *msg_current(cpu_t cpu);

#include "smp/post.h"
