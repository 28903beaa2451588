/* 1,000 pieces of broken firmware, half of them images of ACPI tables, half boot-information blocks, through the kernel's parsers;
 * and the ten worst written to files, with what the parsers say of them, for tools/bad-firmware to boot.
 *
 * Worst are those that together draw the most different complaints: taken one by one, the one first that adds the most.
 *
 *     sources: kernel/acpi.c kernel/acpi_table.c kernel/acpi_madt.c kernel/acpi_fadt.c kernel/acpi_s5.c kernel/acpi_image.c
 *     sources: boot/mb2.c boot/mb2_tag.c boot/mb2_memory.c boot/mb2_framebuffer.c
 *     sources: kernel/acpi_remap.c kernel/acpi_numa.c
 *     sources: tests/host/acpi_tables.c tests/host/firmware_mutants.c
 *     sanitize: address,undefined
 */
#include "tests/host/firmware_mutants.h"

#include "kernel/acpi_image.h"
#include "tests/host/acpi_tables.h"
#include "tests/host/mb2_block.h"

#define MUTANTS   500u /* of each kind */
#define WORST     5u   /* of each kind */
#define FATAL     2u /* of those: most ways to complain end with no memory map, and the rest is to be seen, too */
#define KINDS_MAX 256u /* of complaints */

static struct boot_info boot;
static struct acpi_info acpi;

/* ---- what was said, by kind ---- */

struct verdict {
    char notes[ACPI_NOTES_MAX][112];
    u32 count;
    bool kind[KINDS_MAX];
    bool bootable, fatal;
};
static struct verdict verdicts[MUTANTS + 1];
static char kinds[KINDS_MAX][112];
static u32 kind_count;

/* Complaints that differ in numbers only are of one kind. */
static u32 kind_of(const char *note)
{
    char shape[112];
    u32 n = 0;
    for (const char *c = note; *c; c++) {
        bool digit =
            (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f' && c > note && n && shape[n - 1] == '#');
        if (!digit)
            shape[n++] = *c;
        else if (!n || shape[n - 1] != '#')
            shape[n++] = '#';
    }
    shape[n] = 0;
    for (u32 k = 0; k < kind_count; k++)
        if (!strcmp(kinds[k], shape))
            return k;
    if (kind_count == KINDS_MAX)
        abort();
    memcpy(kinds[kind_count], shape, n + 1);
    return kind_count++;
}

static void take_notes(struct verdict *v, const char (*notes)[112], u32 count)
{
    *v = (struct verdict){.count = count, .bootable = true};
    for (u32 i = 0; i < count; i++) {
        memcpy(v->notes[i], notes[i], sizeof(v->notes[i]));
        v->kind[kind_of(notes[i])] = true;
    }
}

static u32 news(const struct verdict *v, const bool *known)
{
    u32 n = 0;
    for (u32 k = 0; k < kind_count; k++)
        n += v->kind[k] && !known[k];
    return n;
}

/* ---- the ten worst ---- */

static void write_file(const char *kind, u32 n, const char *suffix, const void *bytes, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s-%03u.%s", getenv("VOLLEY_WORST"), kind, n, suffix);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
        HOST_CHECK(false, "%s cannot be written", path);
}

static void write_mutant(const char *kind, u32 n, struct mutant m)
{
    char said[ACPI_NOTES_MAX * 113] = "";
    for (u32 i = 0; i < verdicts[n].count; i++) {
        strcat(said, verdicts[n].notes[i]);
        strcat(said, "\n");
    }
    write_file(kind, n, "bin", m.bytes, m.size);
    write_file(kind, n, verdicts[n].fatal ? "fatal" : "notes", said, strlen(said));
    free(m.bytes);
}

static void choose_worst(const char *kind, struct mutant make(u32 n))
{
    bool known[KINDS_MAX] = {false};
    bool taken[MUTANTS + 1] = {false};
    u32 shown = 0, fatal = 0;
    for (u32 i = 0; i < WORST; i++) {
        u32 best = 0;
        for (u32 n = 1; n <= MUTANTS; n++)
            if (!taken[n] && verdicts[n].bootable && (!verdicts[n].fatal || fatal < FATAL) &&
                (!best || news(&verdicts[n], known) > news(&verdicts[best], known)))
                best = n;
        taken[best] = true;
        fatal += verdicts[best].fatal;
        shown += news(&verdicts[best], known);
        for (u32 k = 0; k < kind_count; k++)
            known[k] |= verdicts[best].kind[k];
        if (getenv("VOLLEY_WORST"))
            write_mutant(kind, best, make(best));
    }
    HOST_CHECK(shown >= 2 * WORST, "the worst %u of %s draw only %u kinds of complaints", WORST, kind, shown);
}

/* ---- ACPI ---- */

static struct acpi_image image;
static void *mappings[64];
static u32 mapping_count;

/* As in the kernel, but each mapping is a heap copy, so that the sanitizer sees any read beyond it. */
static const void *map_image(paddr_t p, u64 bytes)
{
    const void *at = acpi_image_at(&image, p, bytes);
    if (!at || mapping_count == ARRAY_SIZE(mappings))
        return NULL;
    mappings[mapping_count] = malloc(bytes);
    memcpy(mappings[mapping_count], at, bytes);
    return mappings[mapping_count++];
}

static void parse_acpi(u32 n)
{
    struct mutant m = mutant_acpi(n);
    memset(&boot, 0, sizeof(boot));
    const char *wrong = acpi_image_open(m.bytes, m.size, &image, &boot);
    if (wrong) {
        verdicts[n] = (struct verdict){.count = 1}; /* the firmware's own tables would be used */
        snprintf(verdicts[n].notes[0], sizeof(verdicts[n].notes[0]), "%s", wrong);
    } else {
        acpi_parse(&boot, map_image, &acpi);
        take_notes(&verdicts[n], acpi.notes, acpi.note_count);
        HOST_CHECK(acpi.cpu_count <= MAX_CPUS && acpi.note_count <= ACPI_NOTES_MAX,
                   "mutant %u: %u CPUs, %u notes", n, acpi.cpu_count, acpi.note_count);
        HOST_CHECK((acpi.cpu_count && acpi.have_madt) || acpi.note_count,
                   "mutant %u: nothing found, nothing said", n);
    }
    while (mapping_count)
        free(mappings[--mapping_count]);
    free(m.bytes);
}

HOST_TEST(five_hundred_acpi_images)
{
    u32 whole = 0, silent = 0;
    kind_count = 0;
    for (u32 n = 0; n <= MUTANTS; n++) {
        parse_acpi(n);
        whole += acpi.cpu_count == 2;
        silent += verdicts[n].count == 0;
    }
    HOST_CHECK(verdicts[0].count == 0 && verdicts[0].bootable, "the good image: %s", verdicts[0].notes[0]);
    HOST_CHECK(whole > 100 && whole < 400 && silent > 20 && silent < 250,
               "%u of %u keep both CPUs, of %u nothing is said: the mutations miss the point", whole, MUTANTS,
               silent);
    choose_worst("acpi", mutant_acpi);
}

/* ---- boot information ---- */

/* A map that promises memory where the machine has none is beyond what a parser can see: such blocks are not booted. */
static bool map_is_true(void)
{
    for (u32 i = 0; i < info.mem_count; i++) {
        const struct boot_mem_range *r = &info.mem[i];
        bool inside = r->type != BOOT_MEM_USABLE;
        for (u32 k = 0; k < ARRAY_SIZE(plain_map); k++)
            inside |= plain_map[k].type == BOOT_MEM_USABLE && plain_map[k].start.v <= r->start.v &&
                      r->start.v + r->size <= plain_map[k].start.v + plain_map[k].size;
        if (!inside)
            return false;
    }
    return true;
}

HOST_TEST(five_hundred_boot_blocks)
{
    u32 fatal = 0, silent = 0;
    kind_count = 0;
    for (u32 n = 0; n <= MUTANTS; n++) {
        struct mutant m = mutant_block(n);
        boot_parse(MB2_MAGIC, m.bytes, m.size, &info);
        free(m.bytes);
        take_notes(&verdicts[n], info.notes, info.note_count);
        verdicts[n].fatal = info.fatal;
        verdicts[n].bootable = map_is_true();
        HOST_CHECK(invariants_hold(), "mutant %u: %u ranges, %u notes, fatal %d", n, info.mem_count,
                   info.note_count, info.fatal);
        fatal += info.fatal;
        silent += info.note_count == 0;
    }
    HOST_CHECK(verdicts[0].count == 0 && !verdicts[0].fatal, "the good block: %s", verdicts[0].notes[0]);
    HOST_CHECK(fatal > 20 && fatal < 250 && silent > 20 && silent < 400,
               "%u of %u leave no memory, of %u nothing is said: the mutations miss the point", fatal,
               MUTANTS, silent);
    choose_worst("boot", mutant_block);
}
