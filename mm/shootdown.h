/* Shootdowns: who must forget a translation, how they are told, and when memory may be reused.
 *
 * One operation is one ticket. The core (mm/ticket.c, initiate.c, respond.c) numbers changes by generation, computes `must`,
 * compares what every CPU has published before it releases parked memory, and routes a request that a policy cannot serve
 * to one that can. A policy (mm/shootdown/NAME.c) decides how CPUs are told, in which order, and how much the initiator waits for.
 * docs/shootdown-protocol.md draws the protocol, its fences and the arguments. */
#pragma once

#include "lib/assert.h"
#include "lib/cpumask.h"
#include "lib/patch.h"
#include "lib/percpu.h"
#include "lib/spinlock.h"
#include "lib/stop_point.h"
#include "lib/table.h"
#include "lib/x86/cpu.h"
#include "mm/pt.h"
#include "smp/message.h"

/* What holds on a target. Each level includes those below it. */
enum tlb_level {
    TLB_NONE, /* nothing */
    TLB_SENT, /* the interrupt was written: enough for nothing, kept as the broken control */
    TLB_ENTERED, /* in the handler, stores drained, payload copied, pending published; it will flush before it returns to
                    what it interrupted: enough to reuse plain frames */
    TLB_FLUSHED, /* leaf translations are gone */
    TLB_WALKERS, /* paging-structure caches are gone too: enough to reuse page-table pages */
};
const char *tlb_level_name(enum tlb_level l);

struct frame;
struct space;
struct tlb_ticket;

/* What a CPU has published about a space: written by that CPU only, read by initiators. One cache line. A space that is not loaded
 * has its words stand still, although its entries may remain, tagged by a PCID: they say what its next load has to catch up. */
struct tlb_cpu {
    tlb_gen_t entered; /* it is in the handler for this generation, or past it */
    tlb_gen_t flushed; /* leaf entries older than this generation are gone */
    tlb_gen_t walkers; /* so are paging-structure caches */
    u32 slot; /* where its entries are tagged, if that slot is still its own (mm/pcid.h); read by nobody else */
    /* The same as the first two, by the NMI handler alone, which could come between the look and the store of those. */
    tlb_gen_t nmi_entered, nmi_flushed;
} CACHE_ALIGNED;

/* The flush request itself, carried in the message, so that nothing of the initiator's is read after the acknowledgement. */
struct tlb_request {
    struct space *space;
    tlb_gen_t gen;
    vaddr_t start;
    u32 pages;            /* of `stride` each; TLB_ALL_PAGES: everything */
    enum pt_size stride;  /* smallest page size in the range: one INVLPG for each */
    enum tlb_level level; /* TLB_FLUSHED, or TLB_WALKERS if table pages are freed */
};
#define TLB_ALL_PAGES (~0u)

/* Initiator's time stamps of one shootdown, by step of the path. Taken only while PATCH_TIMES is on. */
enum tlb_phase {
    TLB_T_BEGIN,    /* before the tables change */
    TLB_T_CHANGED,  /* entries exchanged, memory parked */
    TLB_T_TARGETS,  /* generation raised, `must` computed, lock dropped */
    TLB_T_POSTED,   /* every message posted, every doorbell rung */
    TLB_T_LOCAL,    /* this CPU flushed */
    TLB_T_WAITED,   /* all have published what is waited for */
    TLB_T_RELEASED, /* memory given back */
    TLB_PHASES,
};
struct tlb_times {
    u64 t[TLB_PHASES];
};

/* What the caller of an operation relies on at return, besides that memory is not reused before its level holds. A policy may
 * return before anybody has forgotten where that is not more. */
enum tlb_lax {
    TLB_STRICT,         /* the level */
    TLB_LAX_UNTIL_USER, /* the level, but only when the running thread is back in ring 3: discards */
    TLB_LAX,            /* nothing: unmaps of owned memory */
};

#define TICKET_NO_FRAME (~0u)

struct tlb_ticket {
    struct tlb_request request;
    vaddr_t end;
    const struct shootdown_policy *asked;  /* in force when it was opened */
    const struct shootdown_policy *policy; /* that serves it, after routing */
    bool here_done;                        /* this CPU has flushed, or has nothing of the space */
    u8 lax;                                /* enum tlb_lax; set between open and close */
    bool has_turn;                         /* see waits_in_ipi */
    u32 parked_frames, parked_tables; /* heads of lists through struct frame.next; TICKET_NO_FRAME: empty */
    struct tlb_ticket *in_flight_next;
    cpumask_t must;    /* other CPUs that are waited for; a policy may widen it, never narrow it */
    cpumask_t by_word; /* of these, told by the flush-everything word, because their line was full */
    struct tlb_times times;
};

/* The initiator waits in one place (mm/ticket.c), whatever the policy: until every CPU of `must` has published at_return, or
 * what the request asks for if that is less. Where at_return is below at_release, the policy defers: the operation returns
 * at once, the ticket moves to a place of its own (mm/deferred.h), and the core releases it when the words say so. */
struct shootdown_policy {
    const char *name, *summary;
    enum tlb_level at_return;  /* the most that holds when the operation returns to its caller */
    enum tlb_level at_release; /* the most that holds when memory is given back */
    bool control;              /* broken on purpose: needs unsafe=yes, and nobody waits for anything */
    bool waits_in_ipi; /* its targets wait in IPI context: such initiators take turns, from open to release */
    bool
        special; /* any of: control, waits_in_ipi, at_return below at_release, under_nmi. Goes by mm/ticket_special.c, off
                     the way of the others */
    bool (*usable)(void); /* NULL: on every machine */
    /* Step 0: before the tables change, with the space's lock and the turn held; interrupts on. And its undoing, when
     * it turns out that nobody has to forget anything. Both or neither; needs waits_in_ipi. */
    void (*prepare)(struct tlb_ticket *t);
    void (*cancel)(struct tlb_ticket *t);
    /* Steps 4 to 7: tell t->must and flush here, in the policy's order; then wait for the policy's own words, if it has
     * any. Interrupts on, preemption off. */
    void (*post)(struct tlb_ticket *t);
    /* The same under delivery=nmi: by shootdown_send_nmi. What it sends is served inside an NMI handler, which takes no lock, waits
     * for nobody and touches no word of an interrupt handler's. NULL: this policy's targets are never told by NMI. */
    void (*post_nmi)(struct tlb_ticket *t);
    /* The same in the layout of lines from before their consolidation (mm/split.c), for opt= without `line`: by split_send. NULL: this
     * policy has one layout, and one order. */
    void (*post_split)(struct tlb_ticket *t);
    bool under_nmi; /* in the copies of mm/by_nmi.c, which are in force while delivery=nmi is */
    /* On a target, for policies that keep their own words: a bare doorbell was rung here. IPI context. */
    void (*enter)(void);
    /* This CPU is about to return to ring 3, and SHOOTDOWN_USER_WORK was set. Called with interrupts off; may turn them on
     * in between. */
    void (*user_return)(void);
    /* This CPU is about to return to ring 3, or to touch user memory from the kernel, or to leave its space. Interrupts off. */
    void (*leave)(void);
    /* The timer's tick. Interrupts off, IPI context. */
    void (*tick)(void);
};
static inline bool shootdown_policy_defers(const struct shootdown_policy *p)
{
    return p->at_return < p->at_release && !p->control;
}
TABLE_DECLARE(policy, struct shootdown_policy);
#define SHOOTDOWN_POLICY(ident, summary_, ...)                                                               \
    TABLE_ENTRY(policy, struct shootdown_policy,                                                             \
                policy_##ident) = {.name = #ident, .summary = summary_, __VA_ARGS__}

/* Placed by whoever has timers: calls fn on this CPU in so many microseconds, in IPI context, once. Called with interrupts off. */
struct shootdown_clock {
    void (*set)(u64 us, void (*fn)(void));
};
TABLE_DECLARE(shootdown_clock, struct shootdown_clock);

/* The policy in force: policy= on the command line, `policy` at the prompt; concurrent by default. */
const struct shootdown_policy *shootdown_policy(void);
/* Has anybody chosen one, or is it the default? */
bool shootdown_policy_chosen(void);
/* Can it run on this machine now? Says nothing of whether a control is allowed. */
bool shootdown_policy_usable(const struct shootdown_policy *p);
/* ERR_ABSENT: no such policy. ERR_UNSUPPORTED: a control without leave, or not usable on this machine. Thread; takes effect for
 * shootdowns that begin later. */
err_t shootdown_policy_set(const char *name) MUST_CHECK;
/* The same, and from now on somebody has chosen. */
err_t shootdown_policy_choose(const char *name) MUST_CHECK;
/* The policy that serves everything: requests that another cannot serve go there. */
const struct shootdown_policy *shootdown_strongest(void);
/* As which the two go now: themselves, or under delivery=nmi a copy of the same name. */
const struct shootdown_policy *shootdown_policy_path(void);
const struct shootdown_policy *shootdown_strongest_path(void);
/* Leave to select a policy that is broken on purpose: unsafe=yes, or the test that needs one. */
void shootdown_unsafe_allow(bool allow);
bool shootdown_unsafe_allowed(void);
/* The policy that serves `need`, at return as well as at release, on a range of the given space under policy p: p itself, or
 * the stronger path. */
const struct shootdown_policy *shootdown_route(const struct shootdown_policy *p, enum tlb_level need,
                                               bool kernel_range);
/* The same for an operation whose caller relies on nothing but that memory is not reused too early (tlb_ticket.lax). */
const struct shootdown_policy *shootdown_route_lax(const struct shootdown_policy *p, enum tlb_level need,
                                                   bool kernel_range);
/* Waits until no change of s that has begun by now is in flight (NULL: none of any space, whenever it began): what policies have deferred
 * has been released. Tells the CPUs that have not forgotten yet, if they do not by themselves within wait_us. THREAD. */
void shootdown_settle(struct space *s, u64 wait_us);

/* For who finds no frame: has all that policies have deferred by now, in any space, given back. False: nothing was deferred, so there is
 * none now either. THREAD. */
bool shootdown_reclaim(void) MUST_CHECK;

/* ---- for policies: the pieces of a shootdown ---- */

/* Sends the request to all of t->must; each acknowledges at `ack`: TLB_ENTERED, or TLB_FLUSHED (after whatever flush the
 * request asks for). A CPU whose line is full is told by its flush-everything word and a bare doorbell instead. */
void shootdown_send(struct tlb_ticket *t, enum tlb_level ack);
/* The same to some CPUs only. */
void shootdown_send_to(struct tlb_ticket *t, const cpumask_t *to, enum tlb_level ack);
/* The same by a kind of the policy's own, which calls tlb_respond (mm/respond.h) and has two more words. */
void shootdown_send_kind(struct tlb_ticket *t, const cpumask_t *to, const struct msg_kind *kind,
                         enum tlb_level ack, u64 word4, u64 word5);
/* As shootdown_send, by NMI: for post_nmi. */
void shootdown_send_nmi(struct tlb_ticket *t, enum tlb_level ack);
/* What they do with a CPU whose line is full, for policies that post by themselves. Any context. */
void shootdown_tell_by_word(cpu_t cpu);
/* Takes the time stamp of "every doorbell rung"; the above do it themselves. shootdown_stamp_posted: the stamp alone, without the
 * stop point, for a policy that posts nothing, before the tables change, or for a meeting with rules of its own. */
static ALWAYS_INLINE void shootdown_stamp_posted(struct tlb_ticket *t)
{
    if (patch_enabled(PATCH_TIMES))
        t->times.t[TLB_T_POSTED] = rdtsc_ordered();
}
static ALWAYS_INLINE void shootdown_posted(struct tlb_ticket *t)
{
    STOP_POINT(STOP_POSTED);
    shootdown_stamp_posted(t);
}
/* Flushes this CPU by the same generation rule as a target; idempotent. THREAD: turns interrupts off and on. */
void shootdown_flush_here(struct tlb_ticket *t);
/* ---- for mm/space.c: one ticket from begin to end (mm/ticket.c) ---- */

/* Waits for changes in flight that overlap [start, end), takes the space's lock, preemption off. THREAD. */
void ticket_open(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end);
/* The same for an operation that takes nothing away: no policy is asked to prepare for it. */
void ticket_open_adding(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end);
/* Parks a frame, or a table page, until the release. Lock held. */
void ticket_park_frame(struct tlb_ticket *t, struct frame *f, paddr_t p); /* f: its descriptor */
void ticket_park_table(struct tlb_ticket *t, paddr_t p);
/* Raises the generation, computes `must`, drops the lock, runs the policy, releases. `need` TLB_NONE: nobody has to forget
 * anything (then only the lock is dropped). On return preemption is on again. */
void ticket_close(struct tlb_ticket *t, enum tlb_level need, const struct pt_change *change);
/* The same with FLUSHED for one page of 4 KiB that this CPU is about to write to: it was read-only and not executable, and is writable now
 * and another frame. Under opt=cow this CPU need not flush (mm/cow.h). */
void ticket_close_copied(struct tlb_ticket *t, const struct pt_change *change);
/* The same for one page of 4 KiB of a user half that went, and of which no more than ENTERED is needed. The shortest way. */
void ticket_close_page(struct tlb_ticket *t);
/* For an operation that changed nothing because an earlier one already had: until that one's generation has reached `need`
 * on every CPU that has the space active. THREAD, preemption on. */
void ticket_wait_earlier(struct space *s, enum tlb_level need);

/* ---- for the ways between ring 3 and the kernel ---- */

/* The bit of percpu_head.user_work that makes a CPU call shootdown_user_return before it returns to ring 3
 * (kernel/thread.h: USER_WORK_TLB). */
#define SHOOTDOWN_USER_WORK (1u << 2)
/* Beside it while ring 3 is barred on this CPU: no work, but system calls return by IRETQ meanwhile, which looks at the segment. */
#define SHOOTDOWN_USER_BARRED (1u << 30)

/* Placed by whoever has the segments: an IRETQ of this CPU to ring 3 faults (SDM volume 2, IRET: #NP), or goes. Interrupts off; NMIs
 * return to ring 0 from where promises are made. */
struct shootdown_gate {
    void (*bar)(bool barred);
};
TABLE_DECLARE(shootdown_gate, struct shootdown_gate);

/* Does this CPU touch no user memory before it returns to ring 3, or calls shootdown_user_open? Says no where nobody knows: in
 * a kernel thread, after each switch. Policies that put a flush off past their handler ask. */
DECLARE_PERCPU(bool, shootdown_user_closed);
static ALWAYS_INLINE bool shootdown_user_is_closed(void)
{
    return this_cpu(shootdown_user_closed);
}
/* From here on it touches none: when ring 3 has entered by a system call, or is about to be returned to. Nothing may have been
 * left undone (asserted). IRQ-OFF or THREAD. */
static ALWAYS_INLINE void shootdown_user_close(void);
/* From here on it may: what was put off is done first. Returns whether it was closed: then, and on the same thread,
 * shootdown_user_close follows the access. THREAD or IRQ-OFF; also before any wait for other CPUs' flushes. */
bool shootdown_user_open(void);
/* The last thing before ring 3, when SHOOTDOWN_USER_WORK was set; the bit has been cleared. On the thread's stack, interrupts
 * off, and off again on return. */
void shootdown_user_return(void);

/* Unmaps between these two may share one flush, under a policy that batches. They nest; preemption is off in between. THREAD. */
void shootdown_batch_begin(void);
void shootdown_batch_end(void);

/* ---- for NMI and machine-check handlers ---- */

/* May this CPU touch the user memory of s now, which the handler takes to be the running thread's? False while a flush is pending here, while
 * CR3 is being switched, and when another space is loaded, or none: between the change of threads and that of spaces what is loaded is
 * the last thread's. NULL: false. NMI safe. */
bool nmi_user_access_ok(const struct space *s);

/* Flushes pending on the running CPU: raised before the acknowledgement, lowered after the flush. A count: an NMI can nest. */
DECLARE_PERCPU(u32, tlb_pending);

static ALWAYS_INLINE void shootdown_user_close(void)
{
    /* Before it is closed: from then on a promise may come in at any time. */
    DEBUG_ASSERT(this_cpu(tlb_pending) == 0, "ring 3 has run with a flush put off");
    compiler_barrier();
    this_cpu(shootdown_user_closed) = true;
}

/* Times of the last shootdown that this CPU initiated while PATCH_TIMES was on. */
DECLARE_PERCPU(struct tlb_times, shootdown_times);

/* Ranges of more pages than this are flushed whole: ceiling= on the command line, 1 .. 4096. */
extern u32 shootdown_ceiling;
/* Linux's figure: 33 INVLPGs of about 100 ns cost what refilling a TLB does. */
#define SHOOTDOWN_CEILING_DEFAULT 33u
/* How many others each CPU tells under policy=tree: fanout= on the command line, 2 .. 16. */
extern u32 shootdown_fanout;
