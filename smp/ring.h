/* msg_ring inline, for a path that is short enough to feel the call. A header of its own, because it knows the local APIC, which
 * smp/message.h, that mm/ includes, does not. */
#pragma once

#include "apic/apic.h"
#include "smp/message.h"

DECLARE_PERCPU(u64, counter_msg_rings);

static ALWAYS_INLINE void msg_ring_inline(cpu_t to)
{
    counter_inc(msg_rings);
    apic_send_fixed(cpu_apic_id(to), VECTOR_MESSAGE);
}
