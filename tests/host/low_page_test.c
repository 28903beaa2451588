/* The page in which the other CPUs begin, on memory maps of every kind: the lowest usable one that nothing else is in, from 0x8000 up if
 * there is one; none if firmware keeps all of it, which kernel/start_cpus.c then says.
 *
 *     sources: tests/host/phys.c mm/frame.c mm/frame_buddy.c mm/frame_cache.c mm/frame_map.c
 *     sanitize: address,undefined
 */
#include "mm/frame_init.c"

#include "tests/host/host.h"

#define USABLE(from, to)                                                                                     \
    {                                                                                                        \
        {from}, (to) - (from), BOOT_MEM_USABLE                                                               \
    }
#define RESERVED(from, to)                                                                                   \
    {                                                                                                        \
        {from}, (to) - (from), BOOT_MEM_RESERVED                                                             \
    }
#define NONE (~0ull)

static u64 choose(const struct boot_info *info)
{
    struct frame_range holes[HOLES_MAX];
    low_page = PADDR_NONE;
    u32 n = find_holes(info, holes);
    choose_low_page(info, holes, n);
    return frame_low_page().v;
}

HOST_TEST(the_page_follows_the_map)
{
    static const struct {
        const char *what;
        struct boot_mem_range mem[4];
        u32 count;
        u64 page;
    } cases[] = {
        {"a PC", {USABLE(0, 0x9fc00), RESERVED(0x9fc00, 0xa0000)}, 2, 0x8000},
        {"the usual place is kept", {USABLE(0, 0x9fc00), RESERVED(0x8000, 0x20000)}, 2, 0x20000},
        {"one byte of it is kept", {USABLE(0, 0x9fc00), RESERVED(0x8fff, 0x9000)}, 2, 0x9000},
        {"only the last page is left", {USABLE(0x9e001, 0xa0000)}, 1, 0x9f000},
        {"the last page is not whole", {USABLE(0x9e001, 0x9ffff)}, 1, NONE},
        {"only below the usual place", {USABLE(0, 0x5000), USABLE(0x100000, 0x4000000)}, 2, 0x1000},
        {"only page 0", {USABLE(0, 0x1000), USABLE(0x100000, 0x4000000)}, 2, NONE},
        {"all of it is kept", {USABLE(0, 0x9fc00), RESERVED(0, 0xa0000)}, 2, NONE},
        {"above 640 KiB is no place", {USABLE(0xa0000, 0x100000), USABLE(0x100000, 0x4000000)}, 2, NONE},
        {"what ACPI may give back is not free yet", {{{0}, 0xa0000, BOOT_MEM_ACPI}}, 1, NONE},
        {"unsorted", {USABLE(0x90000, 0x98000), USABLE(0x30000, 0x40000)}, 2, 0x30000},
        {"no map", {USABLE(0, 0xa0000)}, 0, NONE},
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        struct boot_info info = {.mem_count = cases[i].count};
        memcpy(info.mem, cases[i].mem, sizeof(cases[i].mem));
        u64 page = choose(&info);
        HOST_CHECK(page == cases[i].page, "%s: %llx, not %llx", cases[i].what, (unsigned long long)page,
                   (unsigned long long)cases[i].page);
    }
}

HOST_TEST(kernel_and_modules_are_left_alone)
{
    struct boot_info info = {
        .mem = {USABLE(0, 0x9fc00)},
        .mem_count = 1,
        .kernel_start = {0x8000},
        .kernel_end = {0x9800},
        .modules = {{.start = {0xa000}, .size = 1}, {.start = {0xb800}, .size = 0x900}},
        .module_count = 2,
    };
    u64 page = choose(&info);
    HOST_CHECK(page == 0xd000, "%llx: the kernel ends in the second page, modules lie in the next three",
               (unsigned long long)page);
}
