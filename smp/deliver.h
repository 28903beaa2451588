/* Ringing, between the files of smp/ that post. */
#pragma once

#include "lib/cpumask.h"

/* The CPUs, the sender included, that "all but self" reaches and that all have an index; empty where delivery= or the
 * number of CPUs forbids the shorthand. Written by msg_delivery_set only. */
extern cpumask_t msg_shorthand_set;

void msg_ring_shorthand(void); /* all but self, one ICR write */
void msg_ring_mask(const cpumask_t *set, bool nmi);
