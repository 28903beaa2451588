/* Memory types by MTRR: the manual demands the same ones on all CPUs (SDM volume 3A, section 12.11.8), and firmware has been seen to
 * set up the first CPU only. */
#pragma once

#include "lib/types.h"

/* CPU 0, before the others start: remembers its own. */
void mtrr_keep(void);

/* Every other CPU, on its way up, interrupts off: makes its MTRRs those of CPU 0. */
struct mtrr_found {
    u32 was; /* number of the first that was another; 0: none was */
    u32 left; /* of the first that is still another, as it did not take what was written; 0: all are alike now */
};
struct mtrr_found mtrr_match(void);
