/* What changes at one page: presence, rights, the frame behind it. */
#include "tests/sim/litmus.h"

#define RW  (PT_USER | PT_WRITE)
#define RX  (PT_USER | PT_EXEC)
#define RWX (RW | PT_EXEC)

LITMUS(litmus_unmap_read, "after an unmap nobody reads the page", pages(2, RW), sim_unmap(space, SIM_VA, 1),
       uses(SIM_VA, SIM_READ), .control = true);

LITMUS(litmus_unmap_write, "after an unmap nobody writes the page, nor does a store arrive late",
       pages(2, RW), sim_unmap(space, SIM_VA, 1), uses(SIM_VA, SIM_WRITE), .control = true);

LITMUS(litmus_unmap_execute, "after an unmap nobody executes the page", pages(2, RX),
       sim_unmap(space, SIM_VA, 1), uses(SIM_VA, SIM_EXEC), .control = true);

LITMUS(litmus_read_only, "after writing is taken away nobody writes", pages(2, RW),
       sim_protect(space, SIM_VA, 1, PT_USER), uses(SIM_VA, SIM_WRITE), .control = true);

LITMUS(litmus_no_execute, "after execution is taken away nobody executes", pages(2, RX),
       sim_protect(space, SIM_VA, 1, PT_USER), uses(SIM_VA, SIM_EXEC), .control = true);

LITMUS(litmus_write_for_execute, "a page that was written is executed, and may not be written any more",
       pages(2, RW), sim_protect(space, SIM_VA, 1, RX),
       (sim_use(SIM_VA, SIM_WRITE), sim_use(SIM_VA, SIM_EXEC), sim_use(SIM_VA, SIM_WRITE)), .control = true);

LITMUS(litmus_there_and_back, "writing is taken away and given back: no use is refused in the end",
       pages(2, RW), (sim_protect(space, SIM_VA, 1, PT_USER), sim_protect(space, SIM_VA, 1, RW)),
       uses(SIM_VA, SIM_WRITE));

LITMUS(litmus_execute_added, "execution is added without a flush: explained at the fault, once",
       pages(2, PT_USER), sim_protect(space, SIM_VA, 1, RX), uses(SIM_VA, SIM_EXEC));

LITMUS(litmus_remap_read, "after another frame is put behind the page nobody reads the old one", pages(2, RW),
       sim_remap(space, SIM_VA, RW), uses(SIM_VA, SIM_READ), .control = true);

LITMUS(litmus_remap_write, "after another frame is put behind the page nobody writes the old one",
       pages(2, RW), sim_remap(space, SIM_VA, RW), uses(SIM_VA, SIM_WRITE), .control = true);

LITMUS(litmus_remap_execute, "after other code is put behind the page nobody runs the old", pages(2, RWX),
       sim_remap(space, SIM_VA, RWX), uses(SIM_VA, SIM_EXEC), .control = true);

LITMUS(litmus_recycle,
       "a page is unmapped, its frame is someone else's at once, and comes back at another address",
       pages(2, RW), (sim_unmap(space, SIM_VA, 1), sim_map(space, PAGE(8), 1, RW)), uses(SIM_VA, SIM_WRITE),
       .control = true);

LITMUS(litmus_same_address, "a page is unmapped, and another mapped at its address at once", pages(2, RW),
       (sim_unmap(space, SIM_VA, 1), sim_map(space, PAGE(8), 1, RW), sim_map(space, SIM_VA, 1, RW)),
       uses(SIM_VA, SIM_WRITE), .control = true);

LITMUS(litmus_absent_to_present,
       "a page is mapped without a flush where nothing was: no absence is remembered", pages(2, RW),
       sim_map(space, PAGE(2), 1, RW), (uses(PAGE(1), SIM_WRITE), sim_use(SIM_VA, SIM_READ)));
