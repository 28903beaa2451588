#include "kernel/cpu_caches.h"

#include "lib/log.h"
#include "lib/string.h"

#define LEAF_CACHES     4u
#define LEAF_AMD_CACHES 0x8000001du
#define AMD_TOPOEXT     (1u << 22) /* 80000001h ECX: the leaf above exists */

/* Both vendors' leaves have one form. */
static u32 read_leaf(cpuid_fn read, u32 leaf, struct cpu_cache *out)
{
    u32 n = 0;
    /* A broken hypervisor could go on for ever. */
    for (u32 i = 0; i < 32 && n < CPU_CACHES_MAX; i++) {
        struct cpuid_regs r = read(leaf, i);
        u32 kind = r.eax & 0x1f;
        if (kind == 0)
            break;
        if (kind > CACHE_UNIFIED)
            continue;
        u32 ways = (r.ebx >> 22) + 1, partitions = (r.ebx >> 12 & 0x3ff) + 1, line = (r.ebx & 0xfff) + 1;
        out[n++] = (struct cpu_cache){.level = (u8)(r.eax >> 5 & 7),
                                      .kind = (u8)kind,
                                      .fully_associative = r.eax >> 9 & 1,
                                      .inclusive = r.edx >> 1 & 1,
                                      .ways = ways,
                                      .line = line,
                                      .sets = r.ecx + 1,
                                      .shared_by = (r.eax >> 14 & 0xfff) + 1,
                                      .bytes = (u64)ways * partitions * line * ((u64)r.ecx + 1)};
    }
    return n;
}

u32 cpu_caches_read(cpuid_fn read, struct cpu_cache out[CPU_CACHES_MAX])
{
    u32 n = 0;
    if (cpuid_last(read, 0) >= LEAF_CACHES)
        n = read_leaf(read, LEAF_CACHES, out);
    if (n == 0 && cpuid_last(read, 0x80000000u) >= LEAF_AMD_CACHES &&
        (read(0x80000001u, 0).ecx & AMD_TOPOEXT))
        n = read_leaf(read, LEAF_AMD_CACHES, out);
    return n;
}

/* ---- text ---- */

static void add(char *out, size_t size, const char *text)
{
    size_t n = strlen(out);
    string_copy(out + n, size - n, text);
}

static void size_text(u64 bytes, char *out, size_t size)
{
    if (bytes % MIB == 0 && bytes)
        format(out, size, "%lluM", (unsigned long long)(bytes / MIB));
    else
        format(out, size, "%lluK", (unsigned long long)(bytes / KIB));
}

void cpu_caches_text(const struct cpu_cache *c, u32 n, char *out, size_t size)
{
    static const char *const letter[] = {"?", "d", "i", ""};
    out[0] = 0;
    for (u32 i = 0; i < n; i++, c++) {
        char bytes[24], word[80];
        size_text(c->bytes, bytes, sizeof(bytes));
        int at =
            format(word, sizeof(word), "%sL%u%s %s/", i ? ", " : "", c->level, letter[c->kind & 3], bytes);
        if (c->fully_associative)
            at += format(word + at, sizeof(word) - (size_t)at, "full");
        else
            at += format(word + at, sizeof(word) - (size_t)at, "%u", c->ways);
        if (c->level > 2 || (c->level == 2 && c->shared_by > 2))
            format(word + at, sizeof(word) - (size_t)at, " for %u ids", c->shared_by);
        add(out, size, word);
    }
}

void cpu_tlbs_text(const struct cpu_tlb *t, u32 n, char *out, size_t size)
{
    static const char *const letter[] = {"?", "d", "i", "", "load", "store", "?", "?"};
    static const char *const page[] = {"4K", "2M", "4M", "1G"};
    out[0] = 0;
    for (u32 i = 0; i < n; i++, t++) {
        char word[80];
        int at = format(word, sizeof(word), "%sL%u%s ", i ? ", " : "", t->level, letter[t->kind & 7]);
        for (u32 p = 0, first = 1; p < ARRAY_SIZE(page); p++)
            if (t->pages >> p & 1) {
                at += format(word + at, sizeof(word) - (size_t)at, "%s%s", first ? "" : "+", page[p]);
                first = 0;
            }
        at += format(word + at, sizeof(word) - (size_t)at, " %u", t->entries);
        if (t->ways && t->ways == t->entries)
            format(word + at, sizeof(word) - (size_t)at, "/full");
        else if (t->ways)
            format(word + at, sizeof(word) - (size_t)at, "/%u", t->ways);
        add(out, size, word);
    }
}
