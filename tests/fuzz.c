/* Random operations on spaces and threads from all CPUs, against a plain sequential model.
 *
 * Each actor is a thread that goes from CPU to CPU. It has a range of its own in every space, so what it does there is in its own order,
 * whatever the others do meanwhile, and the model is an array: for each page the rights and the content. Every result is held to it: error
 * codes, what a query says, what an access finds, whether it faults. Between rounds nobody runs, all pages are compared, and spaces are
 * copied and destroyed.
 *
 * A game is its seed: test=fuzz seed=N plays the same operations again. seconds=N plays more games, each with the next seed. */
#include "tests/fuzz.h"
#include "kernel/console.h"
#include "lib/context.h"
#include "tests/duration.h"

#define DEFAULT_MS 300u
#define ROUNDS     6u
#define OPS        40u /* of each actor in a round */
#define ROUND_MS   60000u

struct model fuzz_model[SPACES];
static struct actor actors[ACTORS_MAX];
static u32 ended;

static void actor_main(void *arg)
{
    struct actor *a = arg;
    a->loaded_for = 0;
    for (u32 i = 0; i < OPS && !a->wrong; i++, a->ops++) {
        fuzz_step(a);
        if (a->loaded_for) {
            a->loaded_for--;
            continue;
        }
        a->loaded_for = (u32)rnd(a, 6);
        fuzz_unload(a); /* before somebody else gets this CPU */
        thread_yield();
    }
    fuzz_unload(a);
    atomic_fetch_add(&ended, 1);
}

static void check_all(u32 count)
{
    for (struct model *m = fuzz_model; m < fuzz_model + SPACES; m++)
        for (struct actor *a = actors; m->space && a < actors + count; a++) {
            a->m = m;
            a->page = m->page[a->index];
            for (u32 i = 0; i < PAGES; i++)
                fuzz_check_page(a, i);
        }
}

static void destroy(struct model *m)
{
    region_destroy_all(m->space);
    space_destroy(m->space);
    m->space = NULL;
}

/* Between rounds: a space is copied, or one of the two goes. */
static void change_spaces(struct test *t)
{
    struct model *from = fuzz_model[0].space ? &fuzz_model[0] : &fuzz_model[1],
                 *to = from == fuzz_model ? &fuzz_model[1] : &fuzz_model[0];
    if (to->space) {
        destroy(actors[0].random & 1 ? from : to);
        return;
    }
    struct space *copy;
    err_t e = space_create(&copy);
    REQUIRE(t, e == ERR_OK, "space_create: %s", err_name(e));
    e = region_clone(from->space, copy);
    CHECK(t, e == ERR_OK || e == ERR_FULL, "region_clone: %s", err_name(e));
    *to = *from;
    to->space = copy;
    for (u32 a = 0; a < ACTORS_MAX; a++)
        for (u32 i = 0; i < PAGES; i++)
            to->page[a][i].dirty = false;
    if (e != ERR_OK)
        destroy(to);
}

static bool play_round(struct test *t, u32 count)
{
    u32 started = 0;
    cpu_t c = 0;
    atomic_store_relaxed(&ended, 0);
    for (u32 i = 0; i < count; i++) {
        started += spawn(t, c, actor_main, &actors[i]);
        c = other_cpu(c + 1);
        c = c == CPU_NONE ? 0 : c;
    }
    struct wait w = WAIT("the actors of a round", wait_ms(ROUND_MS));
    /* orders: what the actors have written before our look at it; pairs with: tests/fuzz.c:actor_main (LOCKed); else: the model
     * could be compared before it is complete. */
    while (atomic_load_acquire(&ended) < started) {
        if (!wait_spin(&w))
            panic("fuzz: %u of %u actors, which use static memory, do not end", started - ended, started);
        thread_yield();
    }
    check_all(count);
    bool right = started == count;
    for (u32 i = 0; i < count; i++)
        right = right && !actors[i].wrong;
    return right;
}

static void report(struct test *t, u64 seed, u32 round, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        const struct actor *a = &actors[i];
        CHECK(t, !a->wrong,
              "test=fuzz seed=%llu: round %u, actor %u, operation %u, on CPU %u: %s, %u: %llx, not %llx",
              (unsigned long long)seed, round, i, a->ops, a->cpu, a->wrong, a->at,
              (unsigned long long)a->found, (unsigned long long)a->expected);
    }
}

static bool play(struct test *t, u64 seed, u32 count, u64 *ops)
{
    bool right = true;
    for (u32 i = 0; i < count; i++)
        actors[i] = (struct actor){.index = i, .random = (seed * ACTORS_MAX + i + 1) * 0x9e3779b97f4a7c15ull};
    for (u32 i = 0; i < ACTORS_MAX * PAGES; i++)
        fuzz_model[0].page[i / PAGES][i % PAGES] = (struct page){.prot = NOTHING};
    if (!CHECK(t, space_create(&fuzz_model[0].space) == ERR_OK, "no space"))
        return false;
    for (u32 round = 0; round < ROUNDS && right; round++) {
        if (round)
            change_spaces(t);
        right = play_round(t, count);
        if (!right)
            report(t, seed, round, count);
    }
    for (u32 i = 0; i < count; i++)
        *ops += actors[i].ops;
    for (struct model *m = fuzz_model; m < fuzz_model + SPACES; m++)
        if (m->space)
            destroy(m);
    return right;
}

static void fuzz(struct test *t)
{
    u32 count = MIN(cpu_online_count() + 1, ACTORS_MAX);
    u64 ms = test_duration_ms(DEFAULT_MS), seed = test_seed(), ops = 0;
    u64 until = ms == TEST_FOR_EVER ? ~0ull : rdtsc() + tsc_from_us(ms * 1000);
    while (play(t, seed, count, &ops) && rdtsc() < until && (ms != TEST_FOR_EVER || console_poll() < 0))
        seed++;
    CHECK(t, ops > 0, "nothing was done");
    test_note(t, "%u actors, games %llu to %llu, %llu operations", count, (unsigned long long)test_seed(),
              (unsigned long long)seed, (unsigned long long)ops);
}
TEST(fuzz, "random operations on spaces and threads from all CPUs do what a sequential model says");
