#include "kernel/emulator.h"

#include "lib/string.h"
#include "lib/x86/cpu.h"

/* Bochs' debug port reads back its own number (if `port_e9_hack` is on in bochsrc); a port where nothing is reads
 * 0xff. Bochs gives no other reliable sign: it sets no hypervisor bit, its brand string is that of the modelled CPU,
 * and "BOCHS" as the ACPI tables' OEM id is SeaBIOS' too. */
#define DEBUG_PORT 0xe9u

static bool is(const char *id, const char *text)
{
    return memcmp(id, text, 12) == 0;
}

enum emulator emulator_detect(const struct cpu_features *f)
{
    if (!f->hypervisor)
        return in8(DEBUG_PORT) == DEBUG_PORT ? EMULATOR_BOCHS : EMULATOR_NONE;
    if (is(f->hypervisor_id, "TCGTCGTCGTCG"))
        return EMULATOR_TCG;
    if (is(f->hypervisor_id, "KVMKVMKVM\0\0\0"))
        return EMULATOR_KVM;
    return EMULATOR_OTHER;
}
