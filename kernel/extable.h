/* Entries of the exception table, from inline assembly: if the instruction at label `insn` faults, execution goes on
 * at label `fixup` with the vector in RAX. Not for code that runs inside an NMI (kernel/nmi.c). Functions for the
 * usual accesses: kernel/trap.h.
 *
 *   __asm__ volatile("1: ud2\n2:\n" EXTABLE("1b", "2b") : "+a"(vector));
 *
 * A trap (INT3, INT n) reports the address behind itself: there `insn` is the label after the instruction. */
#pragma once

#define EXTABLE(insn, fixup)                                                                                 \
    "\t.pushsection .extable, \"a\"\n"                                                                       \
    "\t.quad " insn ", " fixup "\n"                                                                          \
    "\t.popsection\n"
