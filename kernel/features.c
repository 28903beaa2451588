/* The boot CPU's features, less what the command line switched off; and the check of all others against them. */
#include "kernel/features.h"

#include "kernel/emulator.h"
#include "kernel/idt.h"
#include "kernel/invlpg_erratum.h"
#include "kernel/panic.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/percpu.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/desc.h"

/* An emulated CPU is some hundred times slower than its clock says, and can lose its host's CPU for a while. */
#define EMULATOR_WAIT_SCALE 20u

/* ---- switches ---- */

static struct {
    bool x2apic, global, pcid, invpcid, smep, smap, pti;
} wanted = {true, true, true, true, true, true, false};
static bool decided, x2apic_insisted, pcid_insisted;

static const char *set_switch(const char *value, bool *wish)
{
    if (decided)
        return "nothing after boot: it is decided once, on the command line";
    return parse_on_off(value, wish) ? NULL : "on or off";
}
static const char *set_x2apic(const char *value)
{
    const char *allowed = set_switch(value, &wanted.x2apic);
    x2apic_insisted = !allowed && wanted.x2apic;
    return allowed;
}
static const char *set_global(const char *value)
{
    return set_switch(value, &wanted.global);
}
static const char *set_pcid(const char *value)
{
    const char *allowed = set_switch(value, &wanted.pcid);
    pcid_insisted = !allowed && wanted.pcid;
    return allowed;
}
static const char *set_invpcid(const char *value)
{
    return set_switch(value, &wanted.invpcid);
}
static const char *set_smep(const char *value)
{
    return set_switch(value, &wanted.smep);
}
static const char *set_smap(const char *value)
{
    return set_switch(value, &wanted.smap);
}
PARAM(x2apic, "x2apic",
      "x2apic=on|off  use x2APIC where the CPU has it (default on, unless firmware asks not to)", set_x2apic);
PARAM(global, "global", "global=on|off  use global pages for the kernel (default on)", set_global);
PARAM(pcid, "pcid", "pcid=on|off  keep the entries of several spaces apart by PCID (default on)", set_pcid);
PARAM(invpcid, "invpcid", "invpcid=on|off  flush by INVPCID where PCIDs are used (default on)", set_invpcid);
static const char *set_pti(const char *value)
{
    return set_switch(value, &wanted.pti);
}
PARAM(pti, "pti",
      "pti=on|off  ring 3 runs on page tables without the kernel (default off; on: no global pages)",
      set_pti);
PARAM(smep, "smep", "smep=on|off  the kernel cannot execute user pages (default on)", set_smep);
PARAM(smap, "smap", "smap=on|off  the kernel cannot touch user pages unawares (default on)", set_smap);

/* ---- comparison ---- */

/* What the kernel may come to rely on, once `features` has it: not la57 or fsgsbase, which it never turns on. */
#define FEATURE(name_)                                                                                       \
    {                                                                                                        \
        .name = #name_, .offset = offsetof(struct cpu_features, name_)                                       \
    }
static const struct feature {
    const char *name;
    size_t offset;
} relied_on[] = {
    FEATURE(x2apic), FEATURE(nx),           FEATURE(pge),           FEATURE(page_1g), FEATURE(pcid),
    FEATURE(smep),   FEATURE(smap),         FEATURE(umip),          FEATURE(invpcid), FEATURE(mwait),
    FEATURE(rdtscp), FEATURE(tsc_deadline), FEATURE(invariant_tsc), FEATURE(xsave),
};

static bool has(const struct cpu_features *f, const struct feature *what)
{
    return *(const bool *)((const char *)f + what->offset);
}

static void append(char *out, size_t size, const char *word)
{
    size_t n = strlen(out);
    format(out + n, size - n, "%s%s", n ? " " : "", word);
}

u32 features_missing(const struct cpu_features *used, const struct cpu_features *have, char *out, size_t size)
{
    u32 n = 0;
    out[0] = 0;
    for (u32 i = 0; i < ARRAY_SIZE(relied_on); i++) {
        if (!has(used, &relied_on[i]) || has(have, &relied_on[i]))
            continue;
        append(out, size, relied_on[i].name);
        n++;
    }
    /* Page tables that reach above what it can address would be reserved bits to it. */
    if (have->phys_bits < used->phys_bits) {
        append(out, size, "physical-address-bits");
        n++;
    }
    return n;
}

/* ---- the boot CPU ---- */

static void require(void)
{
    static const struct {
        u32 leaf;
        u8 bit; /* of EDX */
        const char *what;
    } required[] = {
        {1, 4, "TSC"},
        {1, 5, "MSR"},
        {1, 7, "MCE"},
        {1, 16, "PAT"},
        {0x80000001u, 11, "SYSCALL"},
        {0x80000001u, 20, "NX (firmware setup may have it off, as \"execute disable\")"},
        {0x80000001u, 29, "long mode"},
    };
    char missing[256] = "";
    for (u32 i = 0; i < ARRAY_SIZE(required); i++)
        if (!(cpuid(required[i].leaf, 0).edx >> required[i].bit & 1))
            append(missing, sizeof(missing), required[i].what);
    if (missing[0])
        panic("this CPU (%s) lacks what Volley needs: %s", features.brand, missing);
}

static void log_features(void)
{
    char text[256] = "";
    for (u32 i = 0; i < ARRAY_SIZE(relied_on); i++)
        if (has(&features, &relied_on[i]))
            append(text, sizeof(text), relied_on[i].name);
    log_info("cpu: %s, family %u model %u stepping %u, %u physical and %u virtual address bits",
             features.brand, features.family, features.model, features.stepping, features.phys_bits,
             features.virt_bits);
    log_info("cpu: uses %s; emulator: %s", text, emulator_name());
    /* Emulators rarely announce it, and their counters do not stop. */
    if (!features.invariant_tsc && emulator == EMULATOR_NONE)
        log_warn("cpu: the time-stamp counter may change its speed or stop (CPUID 80000007h says it is not "
                 "invariant): do not trust times and measurements");
}

/* Errata ADL063, RPL042. */
static void mind_invlpg_erratum(void)
{
    u32 fixed_in, microcode = invlpg_erratum_microcode();
    if (!invlpg_erratum_applies(&features, microcode, &fixed_in))
        return;
    bool both = features.pge && features.pcid;
    const char *without = invlpg_erratum_avoid(&features, pcid_insisted);
    log_line(both ? LOG_WARN : LOG_INFO,
             "cpu: INVLPG may leave global pages cached while PCIDs are on (errata ADL063, RPL042; microcode "
             "%x, mended in %x): %s",
             microcode, fixed_in, without);
}

void features_init(void)
{
    features_detect(&features);
    require();
    emulator = emulator_detect(&features);
    wait_scale = emulator == EMULATOR_NONE || emulator == EMULATOR_KVM ? 1 : EMULATOR_WAIT_SCALE;
    features.x2apic = features.x2apic && wanted.x2apic;
    /* A global entry would be there for ring 3 too, whatever its root. */
    features.pge = features.pge && wanted.global && !wanted.pti;
    features.pti = wanted.pti;
    features.pcid = features.pcid && wanted.pcid;
    features.invpcid = features.invpcid && features.pcid && wanted.invpcid;
    mind_invlpg_erratum();
    features.smep = features.smep && wanted.smep;
    features.smap = features.smap && wanted.smap;
    decided = true;
    if (features.smap)
        idt_use_smap();
    log_features();
}

void features_x2apic_opt_out(void)
{
    if (!features.x2apic)
        return;
    if (x2apic_insisted) {
        log_warn("apic: firmware asks not to turn x2APIC on (DMAR table), but x2apic=on was given");
        return;
    }
    log_warn("apic: firmware asks not to turn x2APIC on (DMAR table): xAPIC is used; x2apic=on overrules it");
    features.x2apic = false;
}

/* ---- every CPU ---- */

void features_init_cpu(void)
{
    struct cpu_features here;
    char missing[128];
    features_detect(&here);
    if (features_missing(&features, &here, missing, sizeof(missing))) {
        log_error("cpu %u lacks %s, which the boot CPU has: it stays off (switch it off everywhere to use "
                  "this CPU)",
                  cpu_self(), missing);
        cpu_halt_forever();
    }
    struct control_registers r = features_control_registers();
    control_registers_write(&r);
}
