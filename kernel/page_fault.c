#include "kernel/page_fault.h"

#include "kernel/trap.h"
#include "mm/space.h"

/* Page-fault error code (SDM volume 3A, section 4.7) */
#define FAULT_WRITE    (1u << 1)
#define FAULT_USER     (1u << 2)
#define FAULT_RESERVED (1u << 3)
#define FAULT_FETCH    (1u << 4)

/* A widened or new mapping flushes nobody: a CPU that still has the old, narrower entry faults once, forgets it and retries. */
static bool explain(struct trap_frame *f, vaddr_t address)
{
    if (f->error & FAULT_RESERVED)
        return false;
    return space_fault_is_stale(address, f->error & FAULT_WRITE, f->error & FAULT_FETCH,
                                f->error & FAULT_USER);
}

void page_fault_init(void)
{
    trap_page_fault_hook = explain;
}
