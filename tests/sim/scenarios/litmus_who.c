/* Who changes, who uses, and in which state they are. */
#include "mm/ticket_internal.h"
#include "tests/sim/litmus.h"

#define RW (PT_USER | PT_WRITE)

LITMUS(litmus_outsider, "the initiator does not run in the space", pages(2, RW),
       (sim_load_space(NULL), sim_unmap(space, SIM_VA, 1)), uses(SIM_VA, SIM_WRITE), .control = true);

LITMUS(litmus_borrowing_initiator, "the initiator only borrows the root, and comes back after an unmap",
       pages(2, RW), (sim_borrow(), sim_unmap(space, SIM_VA, 1), sim_load_space(space)),
       uses(SIM_VA, SIM_WRITE), .control = true);

LITMUS(litmus_borrowing_initiator_tables,
       "the initiator borrows the root, and frees a table that it may walk",
       (pages(2, RW), sim_map(space, SIM_VA + 4 * MIB, 1, RW)),
       (sim_borrow(), sim_unmap(space, SIM_VA + 4 * MIB, 1), sim_load_space(space)),
       (sim_use(SIM_VA + 4 * MIB, SIM_READ), sim_use(SIM_VA, SIM_WRITE)));

LITMUS(litmus_comes_and_goes, "the user leaves the space and comes back", pages(2, RW),
       sim_unmap(space, SIM_VA, 1),
       (sim_use(SIM_VA, SIM_WRITE), sim_load_space(NULL), sim_load_space(space), uses(SIM_VA, SIM_WRITE)),
       .control = true);

LITMUS(litmus_lends_and_returns, "the user lends its root and takes it back", pages(2, RW),
       sim_remap(space, SIM_VA, RW),
       (sim_use(SIM_VA, SIM_WRITE), sim_borrow(), sim_load_space(space), uses(SIM_VA, SIM_WRITE)),
       .control = true);

LITMUS_3(litmus_two_users, "two CPUs use a page that a third takes away", pages(2, RW),
         sim_unmap(space, SIM_VA, 1), sim_use(SIM_VA, SIM_WRITE), .control = true);

LITMUS_3(litmus_two_users_tables, "two CPUs use a page whose table a third frees",
         (pages(1, RW), sim_map(space, SIM_VA + 4 * MIB, 1, RW)), sim_unmap(space, SIM_VA + 4 * MIB, 1),
         (sim_use(SIM_VA + 4 * MIB, SIM_READ), sim_use(SIM_VA, SIM_WRITE)));

LITMUS_3(litmus_lazy_third, "a CPU lends its root while a table goes under another that uses it",
         (pages(1, RW), sim_map(space, SIM_VA + 4 * MIB, 1, RW)), sim_unmap(space, SIM_VA + 4 * MIB, 1),
         (sim_use(SIM_VA + 4 * MIB, SIM_READ), sim_borrow(), sim_load_space(space)));

/* What is narrow already: the CPU that made it so may have been believed on entry, but whoever narrows needs it forgotten. */
static void narrow_what_is_gone(void)
{
    sim_unmap(space, SIM_VA, 1);
    tlb_gen_t gen = space->gen;
    sim_protect(space, SIM_VA, 1, PT_USER);
    SIM_CHECK(!shootdown_policy_defers(shootdown_policy()) ? ticket_cpu_reached(space, 1, gen, TLB_FLUSHED)
                                                           : true,
              "a protect that found nothing to do came back before the unmap in front of it was flushed");
}
LITMUS(litmus_narrow_again, "rights are narrowed of what an earlier unmap, believed on entry, has taken away",
       pages(2, RW), narrow_what_is_gone(), sim_use(SIM_VA, SIM_WRITE));

static struct space *other;
static void two_spaces(void)
{
    other = sim_space();
    sim_map(other, SIM_VA, 1, RW);
    pages(2, RW);
}
LITMUS(litmus_same_address_elsewhere, "the same address in two spaces: only the one that changes forgets",
       two_spaces(), sim_unmap(space, SIM_VA, 1),
       (sim_use(SIM_VA, SIM_WRITE), sim_load_space(other), sim_use(SIM_VA, SIM_WRITE), sim_load_space(space),
        sim_use(SIM_VA, SIM_WRITE)),
       .control = true);

/* One frame behind two addresses: the second does not own it. */
static void two_addresses(void)
{
    pages(2, RW);
    paddr_t pa = space_query(space, SIM_VA).pa;
    SIM_CHECK(space_map(space, PAGE(8), pa, PAGE_SIZE, PT_4K, RW) == ERR_OK, "no mapping");
    sim_watch(space, PAGE(8));
}
LITMUS(litmus_alias, "a frame behind two addresses: only the one that is unmapped is gone", two_addresses(),
       sim_unmap(space, PAGE(8), 1),
       (sim_use(PAGE(8), SIM_WRITE), sim_use(SIM_VA, SIM_WRITE), sim_use(PAGE(8), SIM_WRITE)),
       .control = true);

/* Two CPUs enter and leave the mask at once: neither takes the other's bit with it. */
static void come_and_go(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(NULL);
    sim_load_space(space);
    sim_use(SIM_VA, SIM_WRITE);
}
LITMUS_3(litmus_two_come_and_go, "two CPUs leave the space and come back while a third takes a page away",
         pages(2, RW), (sim_load_space(NULL), sim_unmap(space, SIM_VA, 1)), come_and_go());
