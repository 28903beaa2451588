#include "mm/pcid.h"

#include "lib/counter.h"
#include "lib/param.h"
#include "lib/x86/cpu.h"
#include "mm/tlb_record.h"

COUNTER(pcid_evictions, "PCIDs that were taken from one space for another");
COUNTER(pcid_forgotten, "times that all PCIDs but the loaded one were forgotten");

PERCPU(struct pcid_slots, pcid_slots);
u32 pcid_slots_in_use = PCID_SLOTS_DEFAULT;

void pcid_take_slot(u64 id, struct tlb_cpu *me)
{
    struct pcid_slots *p = this_cpu_ptr(pcid_slots);
    u32 slot = p->victim;
    if (slot >= atomic_load_relaxed(&pcid_slots_in_use))
        slot = 0;
    p->victim = slot + 1;
    if (p->id[slot])
        counter_inc(pcid_evictions);
    p->id[slot] = id;
    me->slot = slot;
}

void pcid_forget_others(void)
{
    struct pcid_slots *p = this_cpu_ptr(pcid_slots);
    u64 loaded = cr3_read() & CR3_PCID & ~CR3_PCID_USER;
    counter_inc(pcid_forgotten);
    tlb_record_others_forgotten();
    for (u32 slot = 0; slot < PCID_SLOTS_MAX; slot++)
        if (PCID_OF_SLOT(slot) != loaded)
            p->id[slot] = 0;
    if (loaded != PCID_KERNEL)
        p->kernel_behind = true;
}

u64 pcid_kernel_cr3(u64 root)
{
    struct pcid_slots *p = this_cpu_ptr(pcid_slots);
    bool keep = !p->kernel_behind;
    p->kernel_behind = false;
    return root | PCID_KERNEL | (keep ? CR3_KEEP : 0);
}

static const char *set_slots(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < 1 || n > PCID_SLOTS_MAX)
        return "slots=N, 1 to 64";
    atomic_store_relaxed(&pcid_slots_in_use, (u32)n);
    return NULL;
}
PARAM(slots, "slots", "slots=N: how many spaces each CPU keeps the entries of, by PCID (1 to 64, default 6)",
      set_slots);
