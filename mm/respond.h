/* The target's side of a shootdown, shared with the initiator's own flush. */
#pragma once

#include "mm/shootdown.h"
#include "smp/message.h"

/* The kinds of the message that carries a request: by ordinary interrupt, and by NMI (mm/by_nmi.c). */
extern const struct msg_kind *const tlb_flush_message, *const tlb_nmi_message;

/* A request as the words of a message: word[3] has a field each for pages, page size, level, and where to acknowledge. */
#define TLB_PACK_STRIDE 32
#define TLB_PACK_LEVEL  40
#define TLB_PACK_ACK    48
static ALWAYS_INLINE void tlb_request_pack(const struct tlb_request *r, enum tlb_level ack,
                                           u64 word[MSG_WORDS])
{
    word[0] = (u64)r->space;
    word[1] = r->gen;
    word[2] = r->start;
    word[3] = r->pages | (u64)r->stride << TLB_PACK_STRIDE | (u64)r->level << TLB_PACK_LEVEL |
              (u64)ack << TLB_PACK_ACK;
    word[4] = word[5] = 0;
}

_Static_assert(offsetof(struct tlb_cpu, flushed) == (TLB_FLUSHED - TLB_ENTERED) * sizeof(tlb_gen_t) &&
                   offsetof(struct tlb_cpu, walkers) == (TLB_WALKERS - TLB_ENTERED) * sizeof(tlb_gen_t),
               "the words stand in the order of their levels, from ENTERED on");

/* Has the CPU that owns `c` published that it reached `level` (TLB_ENTERED or above) for generation `gen`? */
static ALWAYS_INLINE bool tlb_published(const struct tlb_cpu *c, tlb_gen_t gen, enum tlb_level level)
{
    const tlb_gen_t *word = &c->entered + (level - TLB_ENTERED);
    /* orders: the reuse of memory after the target's entry or flush; pairs with: mm/respond.c:publish (release);
     * else: memory could be given away while the target's last accesses through the old translation are in flight. */
    return atomic_load_acquire(word) >= gen;
}

/* The same of what its NMI handler has published. */
static ALWAYS_INLINE bool tlb_published_by_nmi(const struct tlb_cpu *c, tlb_gen_t gen, enum tlb_level level)
{
    /* orders: as in tlb_published; pairs with: mm/by_nmi.c:publish (release); else: the same. */
    return level < TLB_WALKERS &&
           atomic_load_acquire(level == TLB_ENTERED ? &c->nmi_entered : &c->nmi_flushed) >= gen;
}

/* Publishes all three words: everything older than gen is gone. For the running CPU; interrupts off. */
void tlb_publish_all(struct space *s, tlb_gen_t gen);

/* The same of leaf entries alone: everything up to gen has gone, but for paging-structure caches. */
void tlb_publish_flushed(struct space *s, tlb_gen_t gen);

/* Asks `cpu` to flush everything, by a word that cannot overflow, and rings. For when its line is full. Any context. */
void tlb_flush_all_by_word(cpu_t cpu);
/* Until `cpu` has done so, as often as it has been asked up to now. The message watchdog names it if it is late, and rings once more: its
 * doorbell may have been lost, and no other is written while its pending word is not empty. ERR_TIMEOUT: the watchdog gave up. THREAD. */
err_t tlb_wait_word(cpu_t cpu) MUST_CHECK;

/* ---- the target's part, for policies that have messages or words of their own; IPI context ---- */

/* What the message tlb_flush_message does, for kinds whose first words are the same (tlb_request_pack): acknowledges where the
 * request says, flushes, publishes. The payload is the sender's again afterwards. */
void tlb_respond(struct msg_in *in);
/* The same in two parts, for a request that did not come by a message. Enter: raises the count of pending flushes and
 * publishes ENTERED; false if this CPU does not run in the space: then there is nothing to flush. Flush: the rest. */
bool tlb_respond_enter(const struct tlb_request *r);
void tlb_respond_flush(const struct tlb_request *r);
/* Everything, for whatever changed so far in the kernel's space and the one that this CPU runs in. `entered`, if not NULL, is
 * called when ENTERED has been published, before the flush. Interrupts off. */
void tlb_flush_everything(void (*entered)(void));

/* Whatever has changed in the space that this CPU runs in, it forgets now: a flush of all of it, or nothing. Interrupts off. */
void tlb_catch_up_loaded(void);
/* This CPU, which runs in s, is in the handler for gen. Interrupts off. */
void tlb_publish_entered(struct space *s, tlb_gen_t gen);
/* What this CPU's NMI handler has published for s, it publishes as its own, so that what follows need not flush it again. THREAD. */
void tlb_publish_what_nmi_has(struct space *s);

/* Forgets everything on this CPU, and publishes that for the kernel's space and the one that it runs in. THREAD or IRQ-OFF. */
void tlb_flush_all_here(void);

/* The space that this CPU runs in, and is told of all changes of; NULL if none. And the one whose root it only borrows: at most
 * one of the two is not NULL. Written by mm/space_load.c with interrupts off. */
DECLARE_PERCPU(struct space *, tlb_loaded);
DECLARE_PERCPU(struct space *, tlb_borrowed);
DECLARE_PERCPU(bool, tlb_switching); /* between the first and the last step of a change of CR3 */
