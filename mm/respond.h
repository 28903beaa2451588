/* The target's side of a shootdown, shared with the initiator's own flush. */
#pragma once

#include "mm/shootdown.h"
#include "smp/message.h"

/* The kind of the message that carries a request. */
extern const struct msg_kind *const tlb_flush_message;

/* A request as the six words of a message, and back. */
void tlb_request_pack(const struct tlb_request *r, enum tlb_level ack, u64 word[MSG_WORDS]);

/* Brings this CPU's TLB up to the request's generation and publishes what it has reached. Interrupts off; the request's
 * space is loaded here, or is the kernel's. */
void tlb_catch_up(const struct tlb_request *r);

/* Has the CPU that owns `c` published that it reached `level` for generation `gen`? */
static ALWAYS_INLINE bool tlb_published(const struct tlb_cpu *c, tlb_gen_t gen, enum tlb_level level)
{
    const tlb_gen_t *word = level >= TLB_WALKERS   ? &c->walkers
                            : level == TLB_FLUSHED ? &c->flushed
                                                   : &c->entered;
    /* orders: the reuse of memory after the target's entry or flush; pairs with: mm/respond.c:publish (release);
     * else: memory could be given away while the target's last accesses through the old translation are in flight. */
    return atomic_load_acquire(word) >= gen;
}

/* Publishes all three words: everything older than gen is gone. By the CPU that owns c; interrupts off. */
void tlb_publish_all(struct tlb_cpu *c, tlb_gen_t gen);

/* Asks `cpu` to flush everything, by a word that cannot overflow, and rings. For when its line is full. Any context. */
void tlb_flush_all_by_word(cpu_t cpu);

/* The space whose user half this CPU has loaded; NULL if none. Written by mm/space.c with interrupts off. */
DECLARE_PERCPU(struct space *, tlb_loaded);
DECLARE_PERCPU(bool, tlb_switching); /* between the first and the last step of a change of CR3 */
