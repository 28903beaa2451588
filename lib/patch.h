/* Call sites switched at run time: off, one 5-byte NOP; on, a jump to code that the compiler has put out of the way, or a
 * call of a function that leaves every register but the flags as it was.
 *
 *     if (patch_enabled(PATCH_TIMES))
 *         t->t[TLB_T_POSTED] = rdtsc();
 *     PATCH_CALL(PATCH_COST_LINE, cost_spend_line);
 *
 * All sites of a key are switched together, by patch_set (kernel/patch.h). On the host a key is a variable. */
#pragma once

#include "lib/types.h"

enum patch_key {
    PATCH_TRACE, /* tracepoints */
    PATCH_STOP,  /* stop points of tests: a CPU waits there until told to go on */
    PATCH_TIMES, /* time stamps of phases */
    PATCH_PTI,   /* page-table isolation: other roots in ring 3 than in the kernel; set at boot, once */
    PATCH_ICR,   /* interrupt commands that go wrong on purpose (apic/fault.h) */
    PATCH_SELF,  /* no purpose but the test of this mechanism */
    PATCH_COST_FIRST, /* cost models: delays that stand for what an emulator does not charge (lib/cost.h); one key each */
    PATCH_COST_INVLPG = PATCH_COST_FIRST,
    PATCH_COST_CR3,
    PATCH_COST_INVPCID,
    PATCH_COST_ENTRY,
    PATCH_COST_ICR,
    PATCH_COST_LINE,
    PATCH_COST_WIRE,
    PATCH_KEYS,
};

/* Each key's state: what the next reader of a site does. Written by patch_set only; on the host by the test. */
extern bool patch_on[PATCH_KEYS];
const char *patch_key_name(enum patch_key key);

#define PATCH_SIZE 5u

/* In a site's record, beside the key: it is called, not jumped to. */
#define PATCH_SITE_CALL 0x100u
/* The same, and off it is no NOP but WRMSR with prefixes, 5 bytes too, which the called function stands in for: lib/x86/fence.h. */
#define PATCH_SITE_WRMSR       0x200u
#define PATCH_SITE_KEY(record) ((enum patch_key)((record)&0xff))

/* The instruction for a site with that record: NOP, or JMP or CALL rel32 to target (SDM volume 2, opcodes E9 and E8). False if target
 * is out of reach. */
bool patch_encode(u64 site, u64 target, bool on, u64 record, u8 out[PATCH_SIZE]);

#ifdef VOLLEY_HOST
#define patch_enabled(key)        (patch_on[key])
#define PATCH_CALL(key, function) ((void)0)
#else
/* function: in assembly, keeps all registers but the flags. There is no red zone (Makefile), so the compiler has nothing
 * below the stack pointer that the return address could overwrite. */
#define PATCH_CALL(key, function)                                                                            \
    __asm__ volatile("1:\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t"                                            \
                     ".pushsection .patch_sites, \"a\"\n\t"                                                  \
                     ".quad 1b, " #function ", %c0\n\t"                                                      \
                     ".popsection" ::"i"((key) | PATCH_SITE_CALL))

/* key: a constant. Usable in inline functions; each inlined copy is a site of its own. */
static ALWAYS_INLINE bool patch_enabled(enum patch_key key)
{
    __asm__ goto(
        "1:\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t" /* NOP, the recommended form of 5 bytes (SDM volume 2, NOP) */
        ".pushsection .patch_sites, \"a\"\n\t"
        ".quad 1b, %l[enabled], %c0\n\t"
        ".popsection" ::"i"(key)::enabled);
    return false;
enabled:
    return true;
}
#endif
