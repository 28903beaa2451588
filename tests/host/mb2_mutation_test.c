/* The multiboot2 reader, given thousands of seeded mutations of a good block: it stays within the block, and what it makes of
 * it keeps the rules of struct boot_info.
 *
 *     sources: boot/mb2.c boot/mb2_tag.c boot/mb2_memory.c boot/mb2_framebuffer.c
 *     sanitize: address,undefined
 */
#include "tests/host/mb2_block.h"

static u64 random_state;
static u32 random_below(u32 n) /* xorshift64: the same in every run */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)(random_state >> 11) % n;
}

HOST_TEST(twenty_thousand_mutations)
{
    static const u32 telling[] = {0,  1,  6,          7,          8,          15,        16,
                                  23, 24, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff};
    random_state = 0x9e3779b97f4a7c15;
    u32 survived = 0;
    for (u32 run = 0; run < 20000; run++) {
        struct block b = full_block();
        for (u32 n = 1 + random_below(6); n > 0; n--) {
            if (random_below(2))
                b.bytes[random_below(b.size)] ^= 1u << random_below(8);
            else
                set32(&b, random_below(b.size / 4) * 4, telling[random_below(ARRAY_SIZE(telling))]);
        }
        if (random_below(4) == 0) {
            b.size = random_below(b.size) +
                     1; /* cut short; a buffer of that size, so that nothing hides behind it */
            b.bytes = realloc(b.bytes, b.size);
        }
        parse(&b);
        if (!HOST_CHECK(invariants_hold(), "run %u: %u ranges, %u notes, fatal %d", run, info.mem_count,
                        info.note_count, info.fatal))
            return;
        survived += !info.fatal;
    }
    HOST_CHECK(survived > 5000 && survived < 20000,
               "%u of 20000 left usable memory: the mutations miss the point", survived);
}
