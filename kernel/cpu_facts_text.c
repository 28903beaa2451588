/* In which of its facts a CPU differs from the first one. */
#include "kernel/cpu_facts.h"
#include "lib/log.h"
#include "lib/string.h"

static const char *const words[CPU_FEATURE_WORDS] = {"1:ECX",        "1:EDX",        "7:EBX",
                                                     "7:ECX",        "7:EDX",        "80000001:ECX",
                                                     "80000001:EDX", "80000007:EDX", "80000008:EBX"};

#define SAY(...)                                                                                             \
    do {                                                                                                     \
        size_t n = strlen(out);                                                                              \
        if (n && n + 1 < size)                                                                               \
            n += (size_t)format(out + n, size - n, ", ");                                                    \
        if (n + 1 < size)                                                                                    \
            format(out + n, size - n, __VA_ARGS__);                                                          \
    } while (0)

void cpu_facts_text(const struct cpu_facts *first, const struct cpu_facts *other, char *out, size_t size)
{
    out[0] = 0;
    if (other->signature != first->signature)
        SAY("signature %x, not %x", other->signature, first->signature);
    if (other->microcode != first->microcode)
        SAY("microcode %x, not %x", other->microcode, first->microcode);
    if (other->core_type != first->core_type)
        SAY("core type %x, not %x", other->core_type, first->core_type);
    for (u32 i = 0; i < CPU_FEATURE_WORDS; i++) {
        u32 lacks = first->feature[i] & ~other->feature[i], more = other->feature[i] & ~first->feature[i];
        if (lacks)
            SAY("lacks bits %x of CPUID.%s", lacks, words[i]);
        if (more)
            SAY("has bits %x of CPUID.%s besides", more, words[i]);
    }
    if (other->mtrr_left)
        SAY("MTRR %x cannot be made the first CPU's", other->mtrr_left);
    if (other->pat != first->pat)
        SAY("PAT %llx, not %llx", (unsigned long long)other->pat, (unsigned long long)first->pat);
}
