/* Where the other CPUs began: a page of the memory map's choosing, whatever lies where others put theirs. Boots whose low memory is taken:
 * tests/faults/low-memory-*.json; the choice itself on maps of every kind: tests/host/low_page_test.c. */
#include "lib/types.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "smp/cpus.h"
#include "tests/test.h"

#define LOW_END (640 * KIB)
/* boot/trampoline.asm begins with JMP ptr16:16 (0xea, offset, segment), whose segment smp/bringup.c fills in. */
#define FAR_JUMP 0xea

static void cpus_began_in_free_memory(struct test *t)
{
    paddr_t page = frame_low_page();
    if (cpu_online_count() < 2) {
        test_skip(t, "no other CPU was started");
        return;
    }
    REQUIRE(t, !paddr_is_none(page) && page.v && IS_ALIGNED(page.v, PAGE_SIZE) && page.v < LOW_END,
            "the page is %llx", (unsigned long long)page.v);
    CHECK(t, !frame_of(page), "page %llx is the allocator's, too", (unsigned long long)page.v);
    const u8 *code = phys_to_virt(page);
    u32 segment = code[3] | (u32)code[4] << 8;
    CHECK(t, code[0] == FAR_JUMP && segment == page.v >> 4, "page %llx begins with %02x and segment %x",
          (unsigned long long)page.v, code[0], segment);
    test_note(t, "the first code of the other CPUs lies at %llx", (unsigned long long)page.v);
}
TEST(cpus_began_in_free_memory, "the other CPUs began in a page of low memory that nobody else has");
