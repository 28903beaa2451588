/* Changing code that other CPUs run.
 *
 * SDM volume 3A, section 9.1.3: while one CPU writes, no other may be executing there, and each must execute a
 * serialising instruction before it runs what was written. So all others are called into a function that waits
 * (rendezvous): they report that they are in it, this CPU writes, then lets them go, and each of them serialises on
 * its way out. NMI handlers can still come; what they run before they know that a message is there must hold no site. What their
 * messages run may: when all CPUs have stopped, this one waits until no such message is on its way.
 *
 * That function waits in IPI context, which is otherwise forbidden (lib/context.h). It is safe for this one: the CPU
 * that it waits for has interrupts on until all are in, waits for nobody afterwards, and there is one such CPU at a
 * time. */
#include "kernel/patch.h"

#include "kernel/text.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/image.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/desc.h"
#include "mm/layout.h"
#include "smp/message.h"

#define RENDEZVOUS_LIMIT_MS 1000u

static u32 busy;             /* somebody is patching */
static u64 round;            /* number of the present rendezvous; changed while nobody is in one */
static u64 released;         /* rounds up to this one are over */
static PERCPU(u64, arrived); /* the last round that this CPU was in */

void text_write(u64 address, const void *bytes, u32 n)
{
    ASSERT(address >= (u64)kernel_text_start && address + n <= (u64)kernel_text_end,
           "only kernel text is patched");
    memcpy(phys_to_virt(virt_to_phys((const void *)address)), bytes, n);
}

static void rendezvous(struct msg_in *in)
{
    u64 mine = in->word[0];
    atomic_store_relaxed(this_cpu_ptr(arrived), mine);
    /* orders: this CPU's instruction fetches after the writes; pairs with: kernel/patch.c:let_go (release);
     * else: it could run the old or half the new code. */
    while (atomic_load_acquire(&released) < mine)
        cpu_pause();
    cpu_serialize();
}
MSG_KIND(patch_rendezvous, rendezvous);

static void let_go(void)
{
    /* orders: all writes to text before the others go on; pairs with: kernel/patch.c:rendezvous (acquire);
     * else: a CPU could leave the rendezvous and run a site that is half written. */
    atomic_store_release(&released, round);
}

/* True when all CPUs of the set are in the rendezvous. Interrupts on, so that this CPU answers others meanwhile. */
static bool call_all(const cpumask_t *others)
{
    struct msg m = {.kind = &patch_rendezvous, .flags = MSG_SYNC, .word = {round}};
    struct wait w = WAIT("the other CPUs to stop for a change of code", wait_ms(RENDEZVOUS_LIMIT_MS));
    cpumask_t left = *others, full;
    while (!cpumask_empty(&left)) {
        msg_post_mask(&left, &m, &full);
        left = full;
        if (!wait_spin(&w))
            return false;
    }
    CPUMASK_FOREACH (c, others)
        while (atomic_load_relaxed(&per_cpu(arrived, c)) != round)
            if (!wait_spin(&w))
                return false;
    while (!msg_nmi_is_quiet())
        if (!wait_spin(&w))
            return false;
    return true;
}

static void write_sites(enum patch_key key, bool on)
{
    for (const u64(*site)[3] = patch_sites_start; site < patch_sites_end; site++) {
        u8 code[PATCH_SIZE];
        if (PATCH_SITE_KEY((*site)[2]) != key)
            continue;
        bool near = patch_encode((*site)[0], (*site)[1], on, (*site)[2], code);
        ASSERT(near, "a site and its target are in the same function, or its cold part");
        text_write((*site)[0], code, sizeof(code));
    }
    cpu_serialize();
    patch_on[key] = on;
}

err_t patch_set(enum patch_key key, bool on)
{
    cpumask_t others;
    cpumask_clear(&others);
    cpumask_snapshot(&others, &cpus_online);
    cpumask_unset(&others, cpu_self());
    if (cpumask_empty(&others)) {
        bool was_on = irq_save();
        write_sites(key, on);
        irq_restore(was_on);
        return ERR_OK;
    }

    ASSERT_MAY_WAIT();
    struct wait w = WAIT("another change of code", wait_ms(RENDEZVOUS_LIMIT_MS));
    while (atomic_xchg(&busy, 1))
        if (!wait_spin(&w))
            return ERR_TIMEOUT;
    round++;
    preempt_disable(); /* from the first post to the wait: the lines are this CPU's */
    bool all = call_all(&others);
    if (all) {
        irq_disable();
        write_sites(key, on);
        irq_enable();
    } else {
        log_error("patch: not all CPUs stopped; %s stays %s", patch_key_name(key),
                  patch_on[key] ? "on" : "off");
    }
    let_go();
    /* A CPU that comes only now finds its round over and passes through. */
    err_t e = msg_wait_mask(&others);
    preempt_enable();
    /* orders: the end of this round before the next one's beginning; pairs with: kernel/patch.c:patch_set (exchange);
     * else: the next one could begin before this one has let the others go. */
    atomic_store_release(&busy, 0);
    return all ? e : ERR_TIMEOUT;
}
