/* A space that gives up memory, and takes as much elsewhere, when there is no other: because of its own limit, or because the machine has
 * no more. Under a policy that defers, what it has given up has not come back when the first page is touched. */
#include "mm/frame.h"
#include "mm/region.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LARGE  (1ull << PT_2M)
#define PAGES  4u
#define ROUNDS test_rounds(4, 1)

/* Below one table of the next level, with the residents' page: so either place needs as much as the other. */
static const vaddr_t place[2] = {TEST_USER_VA - TEST_USER_VA % LARGE + 4 * LARGE,
                                 TEST_USER_VA - TEST_USER_VA % LARGE + 8 * LARGE};

static bool make(struct test *t, const char *policy, struct space *s, vaddr_t va, u64 bytes,
                 enum pt_size size)
{
    vaddr_t at;
    err_t e = region_map(s, va, bytes, PT_WRITE, REGION_ZERO, size, &at);
    return CHECK(t, e == ERR_OK, "%s: no region: %s", policy, err_name(e));
}

static void touch(struct test *t, const char *policy, struct space *s, vaddr_t va, u64 bytes,
                  enum pt_size size)
{
    static const struct fault_access write = {.write = true};
    for (vaddr_t at = va; at < va + bytes; at += 1ull << size) {
        enum fault_result r = region_fault(s, at, write);
        CHECK(t, r == FAULT_RETRY && space_query(s, at).size == size,
              "%s: a touch of page %llu ended with %d, with %llu frames of at most %llu", policy,
              (unsigned long long)(at - va) >> size, r, (unsigned long long)s->frames,
              (unsigned long long)s->frames_max);
    }
}

/* Twice to the other place: first page by page, as faults come, then all at once. */
static void play_again(struct test *t, const char *policy, struct space *s, u64 bytes, enum pt_size size)
{
    if (!make(t, policy, s, place[0], bytes, size))
        return;
    err_t e = region_populate(s, place[0], place[0] + bytes);
    CHECK(t, e == ERR_OK, "%s: populate: %s", policy, err_name(e));
    bool whole = space_query(s, place[0]).size == size; /* else there is no block of 2 MiB */
    s->frames_max = s->frames;

    e = region_unmap(s, place[0], place[0] + bytes);
    CHECK(t, e == ERR_OK, "%s: unmap: %s", policy, err_name(e));
    if (whole && make(t, policy, s, place[1], bytes, size))
        touch(t, policy, s, place[1], bytes, size);
    e = region_unmap(s, place[1], place[1] + bytes);
    if (e == ERR_OK && make(t, policy, s, place[0], bytes, size))
        e = region_populate(s, place[0], place[0] + bytes);
    CHECK(t, e == ERR_OK, "%s: populate at the limit: %s", policy, err_name(e));

    s->frames_max = ~0ull;
    e = region_unmap(s, place[0], place[0] + bytes);
    CHECK(t, e == ERR_OK, "%s: unmap: %s", policy, err_name(e));
}

/* Plays under every policy that is wanted, in the residents' space. */
static void under_each(struct test *t, bool (*wanted)(const struct shootdown_policy *p),
                       void (*play)(struct test *t, const char *policy, struct space *s))
{
    u32 policies = 0;
    struct residents r;
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (residents_enter(t, &r)) {
        TABLE_FOREACH (policy, struct shootdown_policy, p) {
            const struct shootdown_policy *before;
            if (!POLICY_USABLE(p) || !wanted(p) || !policy_use(t, p->name, &before))
                continue;
            play(t, p->name, r.space);
            policy_restore(t, before);
            policies++;
        }
        shootdown_settle(r.space, 0);
        region_destroy_all(r.space);
        test_note(t, "%u policies", policies);
    }
    residents_leave(t, &r);
}

static bool any_policy(const struct shootdown_policy *p)
{
    (void)p;
    return true;
}

static void play_limit(struct test *t, const char *policy, struct space *s)
{
    for (u32 i = 0; i < ROUNDS; i++)
        play_again(t, policy, s, PAGES * PAGE_SIZE, PT_4K);
    play_again(t, policy, s, LARGE, PT_2M);
}

static void region_limit_again(struct test *t)
{
    under_each(t, any_policy, play_limit);
}
TEST(region_limit_again,
     "a space at its limit that gives up all it has finds as much again, under every policy");

/* ---- no frame in the machine ---- */

/* Of what is given up, a CPU that releases it may keep some in its cache: so fewer are taken. */
#define GIVEN 256u
#define TAKEN 32u

static u64 *take_all(u64 *chain)
{
    paddr_t f;
    for (u32 order = FRAME_2M + 1; order--;)
        while (frame_alloc_order(order, FRAME_OWNER_TEST, &f) == ERR_OK) {
            u64 *word = phys_to_virt(f);
            *word = (u64)chain;
            chain = word;
        }
    return chain;
}

static void free_all(u64 *chain)
{
    while (chain) {
        u64 *next = (u64 *)*chain;
        frame_free(virt_to_phys(chain));
        chain = next;
    }
}

/* A region of one page that is there, so that its table is; and one that is given up. */
static void play_memory(struct test *t, const char *policy, struct space *s)
{
    u64 bytes = GIVEN * PAGE_SIZE;
    if (!make(t, policy, s, place[0], bytes, PT_4K) || !make(t, policy, s, place[1], bytes, PT_4K))
        return;
    err_t e = region_populate(s, place[0], place[0] + bytes);
    if (e == ERR_OK)
        e = region_populate(s, place[1], place[1] + PAGE_SIZE);
    if (CHECK(t, e == ERR_OK, "%s: populate: %s", policy, err_name(e))) {
        u64 *chain = take_all(NULL);
        e = region_unmap(s, place[0], place[0] + bytes);
        CHECK(t, e == ERR_OK, "%s: unmapping needs memory: %s", policy, err_name(e));
        touch(t, policy, s, place[1] + PAGE_SIZE, TAKEN * PAGE_SIZE, PT_4K);
        free_all(chain);
    }
    region_destroy_all(s);
}

static void region_memory_again(struct test *t)
{
    under_each(t, shootdown_policy_defers, play_memory);
}
TEST(region_memory_again, "when no frame is left, what was given up under a policy that defers is found");
