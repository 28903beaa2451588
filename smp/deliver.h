/* Ringing, between the files of smp/ that post. */
#pragma once

#include "lib/cpumask.h"

void msg_ring_mask(const cpumask_t *set, bool nmi);
