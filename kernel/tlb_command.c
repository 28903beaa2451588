/* What the TLBs are used for, and how they are flushed: decided at boot, but for slots= and ceiling= (`set` at the prompt). */
#include "kernel/command.h"
#include "kernel/tlb_config.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/patch.h"
#include "mm/pcid.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "smp/cpus.h"

const char *tlb_mode_name(void)
{
    return features.invpcid ? "invpcid" : features.pcid ? "pcid" : "plain";
}

static void print_config(void)
{
    bool keeps = features.pcid;
    print("mode            %s: %s\n", tlb_mode_name(),
          features.invpcid ? "PCIDs, flushed by INVPCID where it helps"
          : keeps          ? "PCIDs, flushed by loads of CR3"
                           : "no PCIDs: every load of CR3 forgets the user half");
    print("kernel pages    %s\n", features.pge ? "global" : "not global");
    if (keeps)
        print("slots           %u: a CPU keeps the entries of so many spaces (set slots=N, 1 to %u)\n",
              atomic_load_relaxed(&pcid_slots_in_use), PCID_SLOTS_MAX);
    print("ceiling         %u: longer ranges are flushed whole (set ceiling=N)\n", shootdown_ceiling);
    print("flush of all    by %s\n", features.invpcid ? "INVPCID type 2"
                                     : features.pge   ? "CR4.PGE, off and on"
                                                      : "a load of CR3");
    print("isolation       %s\n", patch_on[PATCH_PTI] ? "ring 3 has roots of its own (pti=on)" : "off");
    print("erratum         %s\n", !features.invlpg_erratum ? "none known of this CPU"
                                  : features.pcid
                                      ? "INVLPG may miss global pages: no global pages"
                                      : "INVLPG may miss global pages while PCIDs are on: no PCIDs");
}

/* Racy, as it reads what other CPUs are changing: for looking only. */
static void print_slots(void)
{
    print("\nspaces kept by each CPU, by id (0: none), and the next slot to be taken\n");
    u32 n = atomic_load_relaxed(&pcid_slots_in_use);
    CPUMASK_FOREACH (c, &cpus_online) {
        const struct pcid_slots *p = &per_cpu(pcid_slots, c);
        print("CPU %3u ", c);
        for (u32 i = 0; i < n; i++)
            print(" %6llu", (unsigned long long)atomic_load_relaxed(&p->id[i]));
        print("   next %u\n", atomic_load_relaxed(&p->victim) % n);
    }
}

static void cmd_tlb(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    print_config();
    if (features.pcid)
        print_slots();
}
COMMAND(tlb, "tlb", "how this kernel uses and flushes the TLBs, and what each CPU keeps", cmd_tlb);
