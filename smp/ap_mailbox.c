#include "smp/ap_mailbox.h"

#include "lib/atomic.h"
#include "lib/wait.h"

bool ap_mailbox_wake(struct ap_mailbox *m, apic_id_t id, u64 vector, u64 limit_ms)
{
    u16 command = AP_MAILBOX_WAKE;
    atomic_store_relaxed(&m->apic_id, id);
    atomic_store_relaxed(&m->vector, vector);
    /* orders: id and vector before the command; pairs with: hardware (the firmware's loop reads the command first); else: a CPU
     * could take the turn of another, or an old address. */
    atomic_store_release(&m->command, AP_MAILBOX_WAKE);
    struct wait w = WAIT("firmware to take a wake-up", wait_ms(limit_ms));
    /* orders: our next id after the firmware's reading of this one; pairs with: hardware (it writes the 0 last); else: it could
     * read the next CPU's id. */
    while (atomic_load_acquire(&m->command) != AP_MAILBOX_NONE)
        if (!wait_spin(&w))
            /* It may take it in this moment: then the word is 0, and the CPU comes. */
            return !atomic_cmpxchg(&m->command, &command, AP_MAILBOX_NONE);
    return true;
}
