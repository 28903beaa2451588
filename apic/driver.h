/* The seam between the two wires: what x2apic.c and xapic.c each implement, and the rest of the room calls. Chosen
 * once, by apic_init; the sending of fixed interrupts does not pass through it in x2APIC mode (apic/apic.h). */
#pragma once

#include "apic/registers.h"

struct apic_driver {
    const char *name;
    u32 (*read)(enum apic_reg r);
    void (*write)(enum apic_reg r, u32 v); /* not the ICR */
    /* The only writer of the ICR in its mode. dest is ignored if the command has a shorthand. */
    void (*icr_write)(apic_id_t dest, u32 command);
    void (*send_self)(vector_t v);
};

extern const struct apic_driver x2apic_driver, xapic_driver;
extern const struct apic_driver *apic_driver; /* write-once; xapic_driver until apic_init */
