/* Waking CPUs that firmware keeps in 64-bit mode, by a word in memory in the place of INIT and SIPI (ACPI 6.5, section 5.2.12.19,
 * "multiprocessor wakeup structure"): virtual machines with protected state have nothing else. */
#pragma once

#include "lib/types.h"

/* One page, in memory that firmware keeps for itself. Its upper half is the firmware's. */
struct ap_mailbox {
    u16 command, reserved; /* enum ap_mailbox_command; the firmware makes it 0 once it has read the rest */
    apic_id_t apic_id;     /* whose turn it is */
    u64 vector; /* physical; it arrives there in 64-bit mode, mapped one to one, interrupts off, all else the firmware's */
};
enum ap_mailbox_command { AP_MAILBOX_NONE = 0, AP_MAILBOX_WAKE = 1 };

/* One CPU, once: a second time nobody listens. False if the firmware has not taken it after wait_ms, scaled: the word has been taken
 * back, so that the next CPU can be woken. The boot CPU, THREAD. */
bool ap_mailbox_wake(struct ap_mailbox *m, apic_id_t id, u64 vector, u64 limit_ms) MUST_CHECK;
