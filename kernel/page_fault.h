/* Page faults that have an explanation. */
#pragma once

/* Boot CPU, once, after kmap_init: registers the hook. */
void page_fault_init(void);
