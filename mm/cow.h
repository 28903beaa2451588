/* Copy-on-write without a flush on the CPU that writes: the switch `cow` of opt= (mm/cow.c). */
#pragma once

#include "mm/shootdown.h"

/* Is it on? Written by mm/opt.c. */
extern bool cow_by_write;

/* For mm/ticket.c: this CPU's own part of t, a page of 4 KiB that was read-only and is writable now, by a write instead of a flush; does
 * nothing where that would not do, and then shootdown_flush_here comes as always. Lock held, interrupts on. */
void cow_forget_here(struct tlb_ticket *t);

/* Placed by whoever may touch user memory. A write to the page at va that changes nothing, in the loaded space, by ring 0 with CR0.WP.
 * False: it faulted, or it would not replace what this machine has cached for ring 3. Interrupts off. */
struct cow_writer {
    bool (*write)(vaddr_t va);
};
TABLE_DECLARE(cow_writer, struct cow_writer);
#define COW_WRITER(ident, fn_) TABLE_ENTRY(cow_writer, struct cow_writer, ident) = {.write = fn_}
