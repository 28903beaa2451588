/* A boot loader's block of multiboot2 tags, to boot/mb2.c.
 *
 *     sources: boot/mb2.c boot/mb2_tag.c boot/mb2_memory.c boot/mb2_framebuffer.c
 */
#include "tests/fuzz/fuzz.h"
#include "tests/host/mb2_block.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct block b = {.bytes = fuzz_copy(data, size), .size = (u32)size};
    parse(&b);
    FUZZ_CHECK(invariants_hold(), "%u ranges, %u notes, fatal %d", info.mem_count, info.note_count,
               info.fatal);
    return 0;
}
