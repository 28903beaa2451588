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

u32 cpu_amd_ways(u32 code, u32 all)
{
    static const u8 ways[16] = {0, 1, 2, 3, 4, 6, 8, 0, 16, 0, 32, 48, 64, 96, 128, 0};
    return code == 15 ? all : ways[code];
}

/* `word`: size of a line, lines to a tag, and what the caller has taken out of the rest. Nothing is said of who shares it. */
static u32 add_amd(struct cpu_cache *out, u32 n, u8 level, u8 kind, u64 bytes, u32 ways, u32 word)
{
    u32 line = word & 0xff;
    if (bytes == 0 || line == 0 || ways == 0)
        return n;
    u32 lines = (u32)(bytes / line);
    out[n] = (struct cpu_cache){.level = level,
                                .kind = kind,
                                .fully_associative = ways >= lines,
                                .ways = MIN(ways, lines),
                                .line = line,
                                .sets = MAX(lines / MAX(ways, 1u), 1u),
                                .bytes = bytes};
    return n + 1;
}

/* One of the first level: 8 bits of KiB, 8 of ways, all set for every one. */
static u32 add_amd_first(struct cpu_cache *out, u32 n, u8 kind, u32 word)
{
    u32 ways = word >> 16 & 0xff;
    return add_amd(out, n, 1, kind, (u64)(word >> 24) * KIB, ways == 0xff ? ~0u : ways, word);
}

/* The forms of before the leaves above (AMD manual volume 3, appendix E.4.4 and E.4.5); Intel's have the second level only. */
static u32 read_amd_older(cpuid_fn read, struct cpu_cache *out)
{
    u32 last = cpuid_last(read, 0x80000000u), n = 0;
    if (last >= 0x80000005u) {
        struct cpuid_regs r = read(0x80000005u, 0);
        n = add_amd_first(out, n, CACHE_DATA, r.ecx);
        n = add_amd_first(out, n, CACHE_CODE, r.edx);
    }
    if (last >= 0x80000006u) {
        struct cpuid_regs r = read(0x80000006u, 0);
        n = add_amd(out, n, 2, CACHE_UNIFIED, (u64)(r.ecx >> 16) * KIB, cpu_amd_ways(r.ecx >> 12 & 0xf, ~0u),
                    r.ecx);
        n = add_amd(out, n, 3, CACHE_UNIFIED, (u64)(r.edx >> 18) * 512 * KIB,
                    cpu_amd_ways(r.edx >> 12 & 0xf, ~0u), r.edx);
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
    return n ? n : read_amd_older(read, out);
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
        if ((c->level > 2 && c->shared_by) || (c->level == 2 && c->shared_by > 2))
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
