/* The storm: actors on all CPUs create, copy and destroy spaces, map, unmap, protect, discard, move, harvest, read and write in them, and
 * move from CPU to CPU, for `seconds=N`, while the policy changes under them.
 *
 * Each actor has a range of its own in every space, and is the only one to change its regions: so it knows what its own word in each of its
 * pages must be, and whether the page must be there. All others use the range meanwhile, and leave words that say in whose range they were
 * written. A stale translation that reaches a frame after it went to another range, or to a table, or back to its owner as zeros, leaves or
 * finds a word that should not be there. */
#include "kernel/clock.h"
#include "kernel/trap.h"
#include "lib/context.h"
#include "lib/param.h"
#include "mm/frame.h"
#include "mm/region.h"
#include "tests/residents.h"
#include "tests/thread_util.h"
#include "tests/window.h"

#define DEFAULT_MS  400u
#define SECONDS_MAX 1000000u /* eleven days: by hand */
#define ACTORS_MAX  64u
#define SLOTS       4u /* spaces at a time */
#define PAGES       24u
#define RANGE       (64 * PAGE_SIZE)
#define STORM_VA    (TEST_USER_VA + 256 * GIB)
#define VISIT_OPS   12u
#define TURNS_MS    20000u
#define MAGIC       0x57a2ull

static u64 storm_ms;

static const char *set_seconds(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < 1 || n > SECONDS_MAX)
        return "a number from 1 to 1000000";
    storm_ms = n * 1000;
    return NULL;
}
PARAM(seconds, "seconds", "seconds=N: how long test=storm lasts, 1 .. 1000000 (default: 400 ms)",
      set_seconds);

enum state { UNMAPPED, READ_ONLY, WRITABLE };

/* What an actor knows of its range in the space of one slot. */
struct view {
    u64 serial; /* of the space that it is about */
    u8 state[PAGES];
    u64 value[PAGES]; /* its own word */
};

struct actor {
    u32 index, finished;
    u64 random, written, turns;
    u64 wrong, found, expected; /* the first wrong one */
    const char *what;
    struct view view[SLOTS];
} CACHE_ALIGNED;

struct slot {
    spinlock_t lock;
    u32 users;
    struct space *space;
    u64 serial;
};

static struct {
    struct slot slot[SLOTS];
    u32 actors, started, ended;
    u64 serial, until; /* TSC */
    u64 created, copied, destroyed;
} storm;
static struct actor actors[ACTORS_MAX];

static u64 rnd(struct actor *a, u64 n)
{
    a->random ^= a->random >> 12;
    a->random ^= a->random << 25;
    a->random ^= a->random >> 27;
    return (a->random * 0x2545f4914f6cdd1dull >> 11) % n;
}

static vaddr_t range_of(u32 owner)
{
    return STORM_VA + owner * RANGE;
}
static vaddr_t page_of(u32 owner, u32 page)
{
    return range_of(owner) + page * PAGE_SIZE;
}
static u64 word_for(struct actor *a, u32 owner)
{
    return MAGIC << 48 | (u64)owner << 40 | (u64)a->index << 32 | (u32)++a->written;
}
static bool is_word_of(u64 v, u32 owner, u32 writer)
{
    return !v || (v >> 32) == (MAGIC << 16 | owner << 8 | writer);
}

static void wrong(struct actor *a, const char *what, u64 found, u64 expected)
{
    if (!a->wrong++) {
        a->what = what;
        a->found = found;
        a->expected = expected;
    }
}

/* ---- slots ---- */

static struct space *enter(struct slot *s, u64 *serial)
{
    spin_lock(&s->lock);
    if (!s->space && space_create(&s->space) == ERR_OK) {
        s->serial = atomic_fetch_add(&storm.serial, 1) + 1;
        atomic_fetch_add(&storm.created, 1);
    }
    struct space *space = s->space;
    s->users += space != NULL;
    *serial = s->serial;
    spin_unlock(&s->lock);
    return space;
}

static void destroy(struct space *s)
{
    region_destroy_all(s);
    space_destroy(s);
    atomic_fetch_add(&storm.destroyed, 1);
}

/* The last one out may take it away; others borrow its root for a while, or have its entries under a PCID. */
static void leave(struct actor *a, struct slot *s)
{
    struct space *gone = NULL;
    spin_lock(&s->lock);
    if (!--s->users && !rnd(a, 3)) {
        gone = s->space;
        s->space = NULL;
    }
    spin_unlock(&s->lock);
    if (gone)
        destroy(gone);
}

static void copy_space(struct actor *a, struct space *from)
{
    struct space *copy;
    struct slot *s = &storm.slot[rnd(a, SLOTS)];
    if (space_create(&copy) != ERR_OK)
        return;
    err_t e = region_clone(from, copy);
    spin_lock(&s->lock);
    bool taken = e == ERR_OK && !s->space;
    if (taken) {
        s->space = copy;
        s->serial = atomic_fetch_add(&storm.serial, 1) + 1;
        atomic_fetch_add(&storm.copied, 1);
    }
    spin_unlock(&s->lock);
    if (!taken)
        destroy(copy);
}

/* ---- one use of a page ---- */

/* What a thread in ring 3 would do: access, and on a fault have it explained, again and again. False: refused, or no memory. */
static bool use(struct space *s, vaddr_t va, bool write, u64 *word)
{
    for (;;) {
        if (!(write ? safe_write_u64((void *)va, *word) : safe_read_u64((void *)va, word)))
            return true;
        if (region_fault(s, va, (struct fault_access){.write = write}) != FAULT_RETRY)
            return false;
    }
}

static void check_own(struct actor *a, struct space *s, struct view *v, u32 page)
{
    u64 word = 0;
    bool there = use(s, page_of(a->index, page) + a->index * sizeof(u64), false, &word);
    if (there != (v->state[page] != UNMAPPED))
        wrong(a, there ? "a page that is not mapped was read" : "a mapped page cannot be read", page,
              v->state[page]);
    else if (there && word != v->value[page])
        wrong(a, "the actor's own word in its own page", word, v->value[page]);
}

static void write_own(struct actor *a, struct space *s, struct view *v, u32 page)
{
    u64 word = word_for(a, a->index);
    bool done = use(s, page_of(a->index, page) + a->index * sizeof(u64), true, &word);
    if (done != (v->state[page] == WRITABLE))
        wrong(a, done ? "a page that may not be written was" : "a writable page cannot be written", page,
              v->state[page]);
    if (done)
        v->value[page] = word;
}

/* Others' pages come and go: what is read there may be anybody's word, but only for that range. */
static void use_others(struct actor *a, struct space *s)
{
    u32 owner = (u32)rnd(a, storm.actors), writer = (u32)rnd(a, storm.actors);
    vaddr_t va = page_of(owner, (u32)rnd(a, PAGES));
    u64 word = 0;
    if (owner == a->index)
        return;
    if (use(s, va + writer * sizeof(u64), false, &word) && !is_word_of(word, owner, writer))
        wrong(a, "a word that nobody writes there", word, MAGIC << 48 | (u64)owner << 40);
    word = word_for(a, owner);
    (void)use(s, va + a->index * sizeof(u64), true, &word);
}

/* ---- what an actor does to its range ---- */

/* Of a space that is new to it: a fresh one, or a copy of one at some moment. */
static void learn(struct actor *a, struct space *s, struct view *v, u64 serial)
{
    v->serial = serial;
    for (u32 i = 0; i < PAGES; i++) {
        struct region r;
        vaddr_t va = page_of(a->index, i) + a->index * sizeof(u64);
        v->state[i] = !region_query(s, va, &r) ? UNMAPPED : r.prot & PT_WRITE ? WRITABLE : READ_ONLY;
        v->value[i] = 0;
        if (v->state[i] != UNMAPPED && !use(s, va, false, &v->value[i]))
            wrong(a, "a copied page cannot be read", i, v->state[i]);
        if (!is_word_of(v->value[i], a->index, a->index))
            wrong(a, "a word in a copied page", v->value[i], MAGIC << 48 | (u64)a->index << 40);
    }
}

static bool is_all(const struct view *v, u32 first, u32 n, bool mapped)
{
    for (u32 i = first; i < first + n; i++)
        if ((v->state[i] != UNMAPPED) != mapped)
            return false;
    return true;
}

static void set_all(struct view *v, u32 first, u32 n, enum state state)
{
    for (u32 i = first; i < first + n; i++) {
        if (state == UNMAPPED || v->state[i] == UNMAPPED)
            v->value[i] = 0;
        v->state[i] = (u8)state;
    }
}

static void expect(struct actor *a, const char *what, err_t e, err_t expected)
{
    if (e != expected && e != ERR_FULL && e != ERR_NOMEM)
        wrong(a, what, (u64)e, (u64)expected);
}

static void move(struct actor *a, struct space *s, struct view *v, u32 first, u32 n)
{
    u32 to = (u32)rnd(a, PAGES - n + 1);
    err_t e = region_move(s, page_of(a->index, first), n * PAGE_SIZE, page_of(a->index, to));
    if (e != ERR_OK)
        return;
    for (u32 i = 0; i < n; i++) {
        v->state[to + i] = v->state[first + i];
        v->value[to + i] = v->value[first + i];
        v->state[first + i] = UNMAPPED;
        v->value[first + i] = 0;
    }
}

static void change(struct actor *a, struct space *s, struct view *v)
{
    u32 first = (u32)rnd(a, PAGES), n = 1 + (u32)rnd(a, MIN(PAGES - first, 6u));
    vaddr_t start = page_of(a->index, first), end = start + n * PAGE_SIZE, at;
    bool mapped = is_all(v, first, n, true), write = rnd(a, 3);
    u8 age[PAGES];
    err_t e;
    switch (rnd(a, 9)) {
    case 0:
    case 1:
    case 2:
        e = region_map(s, start, end - start, write ? PT_WRITE : 0, REGION_ZERO, PT_4K, &at);
        expect(a, "region_map", e, is_all(v, first, n, false) ? ERR_OK : ERR_EXIST);
        if (e == ERR_OK)
            set_all(v, first, n, write ? WRITABLE : READ_ONLY);
        break;
    case 3:
        e = region_unmap(s, start, end);
        expect(a, "region_unmap", e, ERR_OK);
        if (e == ERR_OK)
            set_all(v, first, n, UNMAPPED);
        break;
    case 4:
        e = region_protect(s, start, end, write ? PT_WRITE : 0);
        expect(a, "region_protect", e, mapped ? ERR_OK : ERR_ABSENT);
        if (e == ERR_OK)
            set_all(v, first, n, write ? WRITABLE : READ_ONLY);
        break;
    case 5:
    case 6:
        e = region_discard(s, start, end);
        expect(a, "region_discard", e, mapped ? ERR_OK : ERR_ABSENT);
        for (u32 i = first; e == ERR_OK && i < first + n; i++)
            v->value[i] = 0;
        break;
    case 7:
        move(a, s, v, first, n);
        break;
    default:
        e = region_harvest(s, start, end, age);
        expect(a, "region_harvest", e, mapped ? ERR_OK : ERR_ABSENT);
        break;
    }
}

static void visit(struct actor *a)
{
    u32 index = (u32)rnd(a, SLOTS);
    u64 serial;
    struct slot *slot = &storm.slot[index];
    struct view *v = &a->view[index];
    struct space *s = enter(slot, &serial);
    if (!s)
        return;
    preempt_disable();
    space_load(s);
    preempt_enable();
    if (v->serial != serial)
        learn(a, s, v, serial);
    for (u32 i = 0; i < VISIT_OPS && !a->wrong; i++) {
        u32 page = (u32)rnd(a, PAGES);
        write_own(a, s, v, page);
        use_others(a, s);
        change(a, s, v);
        check_own(a, s, v, (u32)rnd(a, PAGES));
    }
    if (!rnd(a, 6))
        copy_space(a, s);
    preempt_disable();
    if (rnd(a, 2))
        space_load(NULL);
    else
        space_borrow(); /* whoever comes next on this CPU, or takes the space away, gets along with it */
    preempt_enable();
    leave(a, slot);
    a->turns++;
}

static void actor_main(void *arg)
{
    struct actor *a = arg;
    atomic_fetch_add(&storm.started, 1);
    while (rdtsc() < storm.until && !a->wrong) {
        visit(a);
        if (!rnd(a, 8)) {
            /* To another CPU. */
            cpu_t to = (cpu_t)rnd(a, cpu_count());
            if (cpu_is_online(to) && !cpu_is_parked(to) && thread_move(thread_self(), to) != ERR_OK)
                wrong(a, "thread_move", to, 0);
        }
        thread_yield();
    }
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    atomic_fetch_add(&storm.ended, 1);
}

/* ---- the test ---- */

/* The policy in force changes while everything goes on: an operation keeps the one that it began with. */
static void change_policies(struct test *t)
{
    const struct shootdown_policy *before = shootdown_policy();
    while (rdtsc() < storm.until)
        TABLE_FOREACH (policy, struct shootdown_policy, p) {
            if (!POLICY_USABLE(p) || rdtsc() >= storm.until)
                continue;
            err_t e = shootdown_policy_set(p->name);
            CHECK(t, e == ERR_OK, "policy %s: %s", p->name, err_name(e));
            u64 until = MIN(rdtsc() + tsc_from_us(20000), storm.until);
            while (rdtsc() < until)
                thread_yield();
        }
    policy_restore(t, before);
}

static void storm_test(struct test *t)
{
    u64 ms = storm_ms ? storm_ms : DEFAULT_MS, turns = 0;
    u64 reports = counter_now(t, "msg_watchdog_reports");
    storm.actors = MIN(cpu_online_count(), ACTORS_MAX);
    storm.started = storm.ended = 0;
    storm.created = storm.copied = storm.destroyed = 0;
    storm.until = rdtsc() + tsc_from_us(ms * 1000);
    u32 n = 0;
    CPUMASK_FOREACH (c, &cpus_online)
        if (n < storm.actors && !cpu_is_parked(c)) {
            struct actor *a = &actors[n];
            *a = (struct actor){.index = n, .random = 0x9e3779b97f4a7c15ull * (n + 1) + rdtsc()};
            n += spawn(t, c, actor_main, a);
        }
    storm.actors = n;
    change_policies(t);
    struct wait w = WAIT("the storm's actors", wait_ms(TURNS_MS));
    /* orders: what the actors have written before our looking at it; pairs with: tests/storm.c:actor_main (LOCKed count); else: a
     * space could be destroyed under the last of them. */
    while (atomic_load_acquire(&storm.ended) < n && wait_spin(&w))
        thread_yield();
    if (storm.ended < n)
        panic("%u actors of the storm, which use static memory, do not end", n - storm.ended);
    for (u32 i = 0; i < SLOTS; i++)
        if (storm.slot[i].space) {
            destroy(storm.slot[i].space);
            storm.slot[i].space = NULL;
        }
    for (u32 i = 0; i < n; i++) {
        CHECK(t, !actors[i].wrong, "actor %u, visit %llu: %s: found %llx, expected %llx", i,
              (unsigned long long)actors[i].turns, actors[i].what, (unsigned long long)actors[i].found,
              (unsigned long long)actors[i].expected);
        turns += actors[i].turns;
    }
    CHECK(t, turns > 0, "nobody did anything");
    CHECK(t, counter_now(t, "msg_watchdog_reports") == reports, "the watchdog has reported");
    test_note(t, "%u actors, %llu ms, %llu visits, %llu spaces created, %llu copied, %llu destroyed", n,
              (unsigned long long)ms, (unsigned long long)turns, (unsigned long long)storm.created,
              (unsigned long long)storm.copied, (unsigned long long)storm.destroyed);
}
TABLE_ENTRY(test, struct test_entry, test_entry_storm) = {
    .name = "storm",
    .what = "all CPUs, all operations on spaces, every policy: nothing stale, nothing lost",
    .fn = storm_test};
