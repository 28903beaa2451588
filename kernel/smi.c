#include "kernel/smi.h"

#include "kernel/command.h"
#include "kernel/trap.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"

#define MSR_SMI_COUNT                                                                                        \
    0x34u /* Intel, family 6 from Nehalem on (SDM volume 4, table 2-15); reset to 0 with the CPU */
#define MS_MAX     1000u
#define MS_DEFAULT 100u

static u64 now(void)
{
    return rdtsc();
}

bool smi_count(u64 *count)
{
    return features.family == 6 && strcmp(features.vendor, "GenuineIntel") == 0 &&
           safe_rdmsr(MSR_SMI_COUNT, count) == 0;
}

struct smi_watch smi_watch(u32 ms)
{
    struct smi_watch w = {0};
    bool was_on = irq_save();
    w.counted = smi_count(&w.count_before);
    smi_watch_loop(now, tsc_from_us((u64)ms * 1000), tsc_from_us(SMI_GAP_US), &w);
    if (w.counted)
        w.counted = smi_count(&w.count_after);
    irq_restore(was_on);
    return w;
}

static void cmd_smi(int argc, char **argv)
{
    u64 ms = MS_DEFAULT;
    if (argc > 1 && (!parse_u64(argv[1], &ms) || ms < 1 || ms > MS_MAX)) {
        print("smi [MS]: 1 to %u milliseconds\n", MS_MAX);
        return;
    }
    struct smi_watch w = smi_watch((u32)ms);
    print("%llu ms watched with interrupts off: %llu gaps above %u us, the longest %llu ns\n",
          (unsigned long long)ms, (unsigned long long)w.gaps, SMI_GAP_US,
          (unsigned long long)tsc_to_ns(w.longest));
    if (w.counted)
        print("the processor counted %llu SMIs meanwhile, %llu since its reset\n",
              (unsigned long long)(w.count_after - w.count_before), (unsigned long long)w.count_after);
    if (emulator != EMULATOR_NONE)
        print("This is an emulated or virtual machine: gaps are its host's.\n");
    else if (w.gaps && !(w.counted && w.count_after == w.count_before))
        print("Suspect system-management interrupts: firmware's settings (USB legacy emulation, power "
              "management) cause them.\n");
}
COMMAND(smi, "smi [MS]", "looks for time stolen by firmware (system-management interrupts)", cmd_smi);
