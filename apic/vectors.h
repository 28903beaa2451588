/* The vector map. Nothing else in the tree writes a vector number.
 *
 *   0x00 - 0x1f  exceptions (SDM volume 3A, table 6-1)
 *   0x20 - 0x2f  8259 PICs, remapped and masked: only their spurious interrupts can arrive
 *   0x30 - 0xdf  free
 *   0xe0 - 0xef  local APIC: timer, error, ...
 *   0xf0 - 0xfe  inter-processor: highest priority, so that a message overtakes device work
 *   0xff         spurious-interrupt vector (low nibble all ones, as old APICs force it); takes no EOI
 *
 * docs/vectors.md shows the same map to readers. */
#pragma once

#include "lib/table.h"
#include "lib/types.h"

enum vector {
    VECTOR_NMI = 0x02,
    VECTOR_PIC_FIRST = 0x20,
    VECTOR_PIC_LAST = 0x2f,
    VECTOR_UNUSED = 0xdf, /* nobody's, for ever: the self tests raise it to see what happens then */
    VECTOR_TIMER = 0xe0,
    VECTOR_APIC_ERROR = 0xe1,
    VECTOR_DEFERRED = 0xe2, /* sent to oneself: what an NMI handler leaves for a context that may log */
    VECTOR_TEST = 0xef,     /* the self tests' own */
    VECTOR_RAW = 0xf0,      /* benchmark of the bare interrupt: counts and returns */
    VECTOR_MESSAGE = 0xf1,  /* the doorbell of smp's messages: has an entry path of its own */
    VECTOR_SPURIOUS = 0xff,
};

/* Who handles a vector in 0x20 .. 0xfe, through the generic entry: interrupts off, irq_depth raised. The handler sends
 * its own EOI (apic_eoi). VECTOR_MESSAGE and VECTOR_RAW have entries of their own and stand in no table. */
struct vector_handler {
    vector_t vector;
    const char *name;
    void (*fn)(vector_t v);
};
TABLE_DECLARE(vector, struct vector_handler);
#define VECTOR_HANDLER(name_, vector_, fn_)                                                                  \
    TABLE_ENTRY(vector, struct vector_handler,                                                               \
                vector_##name_) = {.vector = vector_, .name = #name_, .fn = fn_}
