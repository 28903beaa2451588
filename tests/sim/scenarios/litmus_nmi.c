/* An NMI at any step, whose handler reads and writes user memory if nmi_user_access_ok() says that it may. */
#include "tests/sim/litmus.h"

#define RW (PT_USER | PT_WRITE)

static void sampler(void)
{
    sim_use_in_nmi(SIM_VA);
}
#define NMI_AT(cpu) .nmi = sampler, .nmi_budget = 1, .nmi_target = (cpu)

LITMUS(litmus_nmi_protect, "NMI at the target, while writing is taken away", pages(2, RW),
       sim_protect(space, SIM_VA, 1, PT_USER), sim_use(SIM_VA, SIM_WRITE), NMI_AT(1), .control = true);

LITMUS(litmus_nmi_remap, "NMI at the target, while the page gets another frame", pages(2, RW),
       sim_remap(space, SIM_VA, RW), sim_use(SIM_VA, SIM_WRITE), NMI_AT(1), .control = true);

LITMUS(litmus_nmi_table, "NMI at the target, while the page's table is freed", pages(1, RW),
       sim_unmap(space, SIM_VA, 1), sim_use(SIM_VA, SIM_WRITE), NMI_AT(1));

LITMUS(litmus_nmi_initiator, "NMI at the initiator of an unmap", pages(2, RW), sim_unmap(space, SIM_VA, 1),
       sim_use(SIM_VA, SIM_WRITE), NMI_AT(0));

LITMUS(litmus_nmi_twice, "two NMIs at the target of an unmap", pages(2, RW), sim_unmap(space, SIM_VA, 1),
       sim_use(SIM_VA, SIM_WRITE), .nmi = sampler, .nmi_budget = 2, .nmi_target = 1, .control = true);
