/* Flushes of other CPUs by hardware, for the machine record. */
#include "kernel/machine.h"
#include "kernel/remote_flush.h"
#include "kernel/trap.h"

#define MSR_CORE_CAPABILITIES 0xcfu

static struct cpuid_regs read(u32 leaf, u32 subleaf)
{
    return cpuid(leaf, subleaf);
}

static bool read_core_capabilities(u64 *value)
{
    return safe_rdmsr(MSR_CORE_CAPABILITIES, value) == 0;
}

struct remote_flush remote_flush_here(void)
{
    return remote_flush_read(read, read_core_capabilities);
}

static void text(char *out, size_t size)
{
    struct remote_flush f = remote_flush_here();
    remote_flush_text(&f, out, size);
}

static void record(struct json *j)
{
    struct remote_flush f = remote_flush_here();
    json_bool(j, "invlpgb", f.invlpgb);
    json_u64(j, "invlpgb_pages", f.invlpgb_pages);
    json_bool(j, "rar", f.rar);
}
MACHINE_FACT(remote_flush, "flush by HW", text, record);
