/* How the framebuffer is mapped. What it costs to scroll it, and that nobody reads it: tests/host/screen_test.c. Booted with a screen by
 * tests/faults/screen-memory.json. */
#include "dev/screen.h"

#include "kernel/cpu_facts.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/pt.h"
#include "tests/test.h"

#define PAT_OF_WRITE_COMBINE 4u /* the entry that PT_WRITE_COMBINE selects (mm/pt.h) */
#define PAT_WC               1u /* SDM volume 3A, table 12-10 */
#define PIXEL_LEAST          1u /* byte */

struct seen {
    u64 combined, start, end; /* bytes mapped write-combining, and where they lie */
    u64 otherwise;            /* bytes of [start, end) that are mapped in another way, too */
};

static bool find_combined(void *arg, vaddr_t va, const struct pt_entry *e)
{
    struct seen *s = arg;
    (void)va;
    if (e->prot & PT_WRITE_COMBINE) {
        s->combined += 1ull << e->size;
        s->start = MIN(s->start, e->pa.v);
        s->end = MAX(s->end, e->pa.v + (1ull << e->size));
    }
    return true;
}

static bool find_otherwise(void *arg, vaddr_t va, const struct pt_entry *e)
{
    struct seen *s = arg;
    (void)va;
    u64 start = MAX(s->start, e->pa.v), end = MIN(s->end, e->pa.v + (1ull << e->size));
    if (!(e->prot & PT_WRITE_COMBINE) && start < end)
        s->otherwise += end - start;
    return true;
}

static void screen_is_write_combining(struct test *t)
{
    struct seen s = {.start = ~0ull};
    u64 side = screen_picture_side();
    if (!side) {
        test_skip(t, "there is no framebuffer");
        return;
    }
    pt_for_each(&kernel_pt, KERNEL_HALF, 0, find_combined, &s);
    pt_for_each(&kernel_pt, KERNEL_HALF, 0, find_otherwise, &s);
    CHECK(t, s.combined >= side * side * PIXEL_LEAST,
          "%llu bytes are mapped write-combining, for %llu x %llu pixels at least",
          (unsigned long long)s.combined, (unsigned long long)side, (unsigned long long)side);
    CHECK(t, s.combined == s.end - s.start && !s.otherwise,
          "%llu bytes in %llx to %llx, and %llu of them are mapped in another way, too",
          (unsigned long long)s.combined, (unsigned long long)s.start, (unsigned long long)s.end,
          (unsigned long long)s.otherwise);
    u64 pat = cpu_facts_of(0)->pat;
    CHECK(t, (pat >> 8 * PAT_OF_WRITE_COMBINE & 7) == PAT_WC, "PAT is %llx", (unsigned long long)pat);
    test_note(t, "%llu KiB from %llx on", (unsigned long long)(s.combined / KIB),
              (unsigned long long)s.start);
}
TEST(screen_is_write_combining,
     "the framebuffer is mapped write-combining, once, and the PAT says what that is");
