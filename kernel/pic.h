/* The two 8259 interrupt controllers of the PC: moved out of the exceptions' way, masked, and never used. */
#pragma once

#include "apic/vectors.h"
#include "lib/types.h"

/* Boot CPU, once. Harmless where there is none. */
void pic_disable(void);
/* An interrupt on one of the PICs' vectors: the spurious ones, which the mask does not hold back. IPI context. */
void pic_interrupt(vector_t v);
