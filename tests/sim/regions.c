/* Regions, for scenarios: what a write to a shared page does. */
#include "tests/sim/scenario.h"

#include "mm/region.h"

#define RIGHTS (PT_USER | PT_WRITE)

void sim_region(struct space *s, vaddr_t va)
{
    vaddr_t at;
    err_t e = region_map(s, va, PAGE_SIZE, RIGHTS, REGION_ZERO, PT_4K, &at);
    if (e == ERR_OK)
        e = region_populate(s, va, va + PAGE_SIZE);
    if (e != ERR_OK)
        sim_fail("a region cannot be made: error %d", e);
    sim_watch(s, va);
    sim_ghost_promise(s, va, va + PAGE_SIZE);
}

struct space *sim_clone(struct space *from, vaddr_t va)
{
    struct space *to = sim_space();
    err_t e = region_clone(from, to);
    if (e != ERR_OK)
        sim_fail("a space cannot be copied: error %d", e);
    sim_watch(to, va);
    sim_ghost_promise(from, va, va + PAGE_SIZE);
    sim_ghost_promise(to, va, va + PAGE_SIZE);
    return to;
}

void sim_write_fault(struct space *s, vaddr_t va)
{
    sim_trace(sim.now, "write fault at %llx", (unsigned long long)va);
    struct fault_access access = {.write = true, .user = true};
    if (region_fault(s, va, access) != FAULT_RETRY)
        sim_fail("a write to a copy-on-write page is refused");
    sim_trace(sim.now, "write fault has ended");
    sim_ghost_promise(s, va, va + PAGE_SIZE);
}
