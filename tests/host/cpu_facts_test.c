/* The words for what is not the same on two CPUs.
 *
 *     sources: kernel/cpu_facts_text.c
 *     sanitize: address,undefined
 */
#include "kernel/cpu_facts.h"
#include "tests/host/host.h"

static char text[160];

HOST_TEST(alike_and_not)
{
    struct cpu_facts a = {.signature = 0x90672, .microcode = 0x2e, .core_type = 0x40, .pat = 6}, b = a;
    a.feature[2] = b.feature[2] = 0xf0;
    cpu_facts_text(&a, &b, text, sizeof(text));
    HOST_CHECK(!text[0], "alike: \"%s\"", text);
    b.microcode = 0x2c;
    cpu_facts_text(&a, &b, text, sizeof(text));
    HOST_CHECK(!strcmp(text, "microcode 2c, not 2e"), "\"%s\"", text);
    b = a;
    b.core_type = 0x20;
    b.feature[2] = 0x78;
    cpu_facts_text(&a, &b, text, sizeof(text));
    HOST_CHECK(
        !strcmp(text,
                "core type 20, not 40, lacks bits 80 of CPUID.7:EBX, has bits 8 of CPUID.7:EBX besides"),
        "\"%s\"", text);
    b = a;
    b.mtrr_was = 0x201; /* has been mended */
    b.pat = 7;
    b.signature = 0x90675;
    cpu_facts_text(&a, &b, text, sizeof(text));
    HOST_CHECK(!strcmp(text, "signature 90675, not 90672, PAT 7, not 6"), "\"%s\"", text);
    b = a;
    b.mtrr_was = b.mtrr_left = 0x200;
    cpu_facts_text(&a, &b, text, sizeof(text));
    HOST_CHECK(!strcmp(text, "MTRR 200 cannot be made the first CPU's"), "\"%s\"", text);
}

HOST_TEST(long_lists_are_cut)
{
    struct cpu_facts a = {.signature = 1}, b = {.signature = 2};
    for (u32 i = 0; i < CPU_FEATURE_WORDS; i++)
        b.feature[i] = ~0u;
    for (size_t size = 1; size <= sizeof(text); size++) {
        char *exact = malloc(size);
        cpu_facts_text(&a, &b, exact, size);
        if (strlen(exact) >= size)
            HOST_CHECK(false, "size %zu", size);
        free(exact);
    }
    HOST_CHECK(true, "all sizes");
}
