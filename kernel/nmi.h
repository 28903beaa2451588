/* Non-maskable interrupts. Hooks: kernel/trap.h. */
#pragma once

#include "kernel/trap.h"

/* CR3 as the last NMI, machine check or debug exception of the kernel has found it on this CPU. While ring 3's root is loaded, page-table isolation
 * being on, it is that one (kernel/trap_entry.asm). */
DECLARE_PERCPU(u64, trap_paranoid_cr3);

/* Why an NMI handler may not read the memory of ring 3, or could not. */
enum user_refusal {
    USER_ALLOWED,
    USER_NOBODY,    /* the CPU runs nothing of ring 3 */
    USER_PENDING,   /* between a shootdown's acknowledgement and its flush: the frame may have a new owner */
    USER_SWITCHING, /* CR3 is being changed */
    USER_BORROWED,  /* the loaded root is only borrowed */
    USER_NO_SPACE,  /* the kernel's root is loaded */
    USER_OTHER,     /* the loaded space is not the running thread's */
    USER_FAULT,     /* it was allowed, but there is no such memory */
    USER_REFUSALS,
};

/* nmi_user_access_ok (mm/shootdown.h) for the running thread's space, and the reason: USER_ALLOWED exactly if it is true. NMI context, or
 * interrupts off. */
enum user_refusal nmi_user_refusal(void);
const char *nmi_refusal_name(enum user_refusal r);

/* If f is about to execute a HLT or MWAIT of the kernel's with interrupts on, it goes on behind it. Part of the NMI handler; any context. */
void nmi_step_over_halt(struct trap_frame *f);

/* Logs what NMI handlers have left to be logged, if anything. Cheap when there is nothing. IPI context. */
void nmi_report_deferred(void);
