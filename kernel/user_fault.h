/* Exceptions of ring 3, and faults of the user-copy functions. */
#pragma once

#include "kernel/trap.h"

/* Called by kernel/exception.c with interrupts on, in the context of the thread, for an exception that came from ring 3, or a page
 * fault in a user-copy function; cr2 is a page fault's address. True: explained, try the access again. False: not explained, and it
 * was a copy function, which is to fail. An exception of ring 3 that nothing explains ends the thread with STATUS_FAULT and a report. */
bool process_fault(struct trap_frame *f, vaddr_t cr2);
