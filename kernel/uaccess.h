/* The only way to user memory: copies that survive a fault.
 *
 * Open a user-access section (STAC where SMAP is used), copy, close it. A page that a region explains is brought in and the
 * copy goes on; any other fault ends it with ERR_FAULT, nothing else lost: the part before the fault has been copied. The
 * address range is checked against the user half first, so that no kernel pointer can be passed.
 *
 * THREAD, interrupts on, the process's space loaded and not borrowed (asserted). Never inside a lock. */
#pragma once

#include "lib/types.h"

err_t copy_from_user(void *to, vaddr_t from, size_t bytes) MUST_CHECK;
err_t copy_to_user(vaddr_t to, const void *from, size_t bytes) MUST_CHECK;
/* Lies [va, va+bytes) in the part of the user half that ring 3 may use? bytes = 0: va alone is looked at. */
bool user_range_ok(vaddr_t va, u64 bytes);

/* kernel/uaccess.asm: 0, or the vector of the exception; and where they end, for kernel/exception.c. */
u64 uaccess_copy(void *to, const void *from, size_t bytes);
u64 uaccess_peek(void *to, const void *from, size_t bytes);
u64 uaccess_rewrite(void *to);
/* Does a store that is allowed take the place of everything that this CPU's TLBs have of its page? So with one TLB for loads and stores. Where
 * CPUID names none of that kind, or one for loads only, the manual promises nothing; a hypervisor's CPUID is not believed; and QEMU's TCG has
 * one for ring 3 and one for ring 0. Of the running CPU: IRQ-OFF, or with preemption off. */
bool uaccess_stores_replace(void);
extern const char uaccess_copy_end[], uaccess_peek_end[];

/* Reads without ever waiting or bringing a page in: for NMI handlers after nmi_user_access_ok(), and for reports. ERR_FAULT:
 * not readable at this moment. Any context. */
err_t peek_user(void *to, vaddr_t from, size_t bytes) MUST_CHECK;
