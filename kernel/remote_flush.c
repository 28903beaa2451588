#include "kernel/remote_flush.h"

#include "lib/log.h"

/* AMD64 manual volume 3, appendix E: CPUID 8000_0008h. */
#define EBX_INVLPGB        (1u << 3)
#define EBX_INVLPGB_NESTED (1u << 21)
#define EDX_PAGES_LESS_1   0xffffu

/* SDM volume 2, CPUID leaf 7: IA32_CORE_CAPABILITIES exists. Its bit 1: document 341431. */
#define EDX_CORE_CAPABILITIES (1u << 30)
#define CORE_CAPABILITIES_RAR (1ull << 1)

struct remote_flush remote_flush_read(cpuid_fn read, bool (*core_capabilities)(u64 *value))
{
    struct remote_flush f = {0};
    u64 value;
    if (read(0x80000000u, 0).eax >= 0x80000008u) {
        struct cpuid_regs r = read(0x80000008u, 0);
        f.invlpgb = r.ebx & EBX_INVLPGB;
        f.invlpgb_nested = f.invlpgb && (r.ebx & EBX_INVLPGB_NESTED);
        f.invlpgb_pages = f.invlpgb ? (r.edx & EDX_PAGES_LESS_1) + 1 : 0;
    }
    if (read(0, 0).eax >= 7 && (read(7, 0).edx & EDX_CORE_CAPABILITIES) && core_capabilities(&value))
        f.rar = value & CORE_CAPABILITIES_RAR;
    return f;
}

void remote_flush_text(const struct remote_flush *f, char *out, size_t size)
{
    int n = 0;
    out[0] = 0;
    if (f->invlpgb)
        n = format(out, size, "INVLPGB of up to %u pages%s", f->invlpgb_pages,
                   f->invlpgb_nested ? ", in guests too" : "");
    if (f->rar && (size_t)n < size)
        n += format(out + n, size - (size_t)n, "%sRAR", n ? "; " : "");
    if ((size_t)n < size)
        format(out + n, size - (size_t)n, n ? ": detected, not used" : "none");
}
