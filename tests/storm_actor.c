/* The storm's actors in the kernel: threads on all CPUs that create, copy and destroy spaces, map, unmap, protect, discard, move, harvest, read
 * and write in them, and move from CPU to CPU.
 *
 * Each actor has a range of its own in every space, and is the only one to change its regions: so it knows what its own word in each of its
 * pages must be, and whether the page must be there. All others use the range meanwhile, and leave words that say in whose range they were
 * written. A stale translation that reaches a frame after it went to another range, or to a table, or back to its owner as zeros, leaves or
 * finds a word that should not be there. */
#include "kernel/trap.h"
#include "lib/context.h"
#include "lib/string.h"
#include "mm/region.h"
#include "tests/storm.h"
#include "tests/thread_util.h"
#include "tests/window.h"

#define SLOTS     4u /* spaces at a time */
#define PAGES     24u
#define RANGE     (64 * PAGE_SIZE)
#define STORM_AT  (TEST_USER_VA + 256 * GIB)
#define VISIT_OPS 12u
#define REST_US   4000u
#define MAGIC     0x57a2ull

enum state { UNMAPPED, READ_ONLY, WRITABLE };

/* What an actor knows of its range in the space of one slot. */
struct view {
    u64 serial; /* of the space that it is about */
    u8 state[PAGES];
    u64 value[PAGES]; /* its own word */
};

struct actor {
    u32 index;
    u64 random, written;
    struct storm_counts counts;
    struct view view[SLOTS];
} CACHE_ALIGNED;

struct slot {
    spinlock_t lock;
    u32 users;
    struct space *space;
    u64 serial;
};

static struct slot slots[SLOTS];
static u64 serials;
static u32 actor_count;
static struct actor actors[STORM_ACTORS_MAX];

static u64 rnd(struct actor *a, u64 n)
{
    return storm_random(&a->random, n);
}

static void wrong(struct actor *a, const char *what, u64 found, u64 expected)
{
    storm_wrong(&a->counts, what, found, expected);
}

static vaddr_t range_of(u32 owner)
{
    return STORM_AT + owner * RANGE;
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

/* ---- slots ---- */

static struct space *enter(struct actor *a, struct slot *s, u64 *serial)
{
    spin_lock(&s->lock);
    if (!s->space && space_create(&s->space) == ERR_OK) {
        s->serial = atomic_fetch_add(&serials, 1) + 1;
        storm_count(&a->counts, STORM_CREATE);
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
    if (gone) {
        destroy(gone);
        storm_count(&a->counts, STORM_DESTROY);
    }
}

static void copy_space(struct actor *a, struct space *from)
{
    struct space *copy;
    struct slot *s = &slots[rnd(a, SLOTS)];
    if (space_create(&copy) != ERR_OK)
        return;
    err_t e = region_clone(from, copy);
    spin_lock(&s->lock);
    bool taken = e == ERR_OK && !s->space;
    if (taken) {
        s->space = copy;
        s->serial = atomic_fetch_add(&serials, 1) + 1;
        storm_count(&a->counts, STORM_COPY);
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
    u32 owner = (u32)rnd(a, actor_count), writer = (u32)rnd(a, actor_count);
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

static void expect(struct actor *a, enum storm_kind kind, const char *what, err_t e, err_t expected)
{
    if (e == ERR_OK)
        storm_count(&a->counts, kind);
    if (e != expected && e != ERR_FULL && e != ERR_NOMEM)
        wrong(a, what, (u64)e, (u64)expected);
}

static void move(struct actor *a, struct space *s, struct view *v, u32 first, u32 n)
{
    u32 to = (u32)rnd(a, PAGES - n + 1);
    err_t e = region_move(s, page_of(a->index, first), n * PAGE_SIZE, page_of(a->index, to));
    if (e != ERR_OK)
        return;
    storm_count(&a->counts, STORM_REMAP);
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
        expect(a, STORM_MAP, "region_map", e, is_all(v, first, n, false) ? ERR_OK : ERR_EXIST);
        if (e == ERR_OK)
            set_all(v, first, n, write ? WRITABLE : READ_ONLY);
        break;
    case 3:
        e = region_unmap(s, start, end);
        expect(a, STORM_UNMAP, "region_unmap", e, ERR_OK);
        if (e == ERR_OK)
            set_all(v, first, n, UNMAPPED);
        break;
    case 4:
        e = region_protect(s, start, end, write ? PT_WRITE : 0);
        expect(a, STORM_PROTECT, "region_protect", e, mapped ? ERR_OK : ERR_ABSENT);
        if (e == ERR_OK)
            set_all(v, first, n, write ? WRITABLE : READ_ONLY);
        break;
    case 5:
    case 6:
        e = region_discard(s, start, end);
        expect(a, STORM_DISCARD, "region_discard", e, mapped ? ERR_OK : ERR_ABSENT);
        for (u32 i = first; e == ERR_OK && i < first + n; i++)
            v->value[i] = 0;
        break;
    case 7:
        move(a, s, v, first, n);
        break;
    default:
        e = region_harvest(s, start, end, age);
        expect(a, STORM_HARVEST, "region_harvest", e, mapped ? ERR_OK : ERR_ABSENT);
        break;
    }
}

static void visit(struct actor *a)
{
    u32 index = (u32)rnd(a, SLOTS);
    u64 serial;
    struct slot *slot = &slots[index];
    struct view *v = &a->view[index];
    struct space *s = enter(a, slot, &serial);
    if (!s)
        return;
    preempt_disable();
    space_load(s);
    preempt_enable();
    if (v->serial != serial)
        learn(a, s, v, serial);
    for (u32 i = 0; i < VISIT_OPS && !a->counts.wrong; i++) {
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
}

/* To another CPU. */
static void migrate(struct actor *a)
{
    cpu_t to = (cpu_t)rnd(a, cpu_count());
    bool elsewhere = to != cpu_self();
    err_t e = thread_move(thread_self(), to);
    if (e == ERR_OK && elsewhere)
        storm_count(&a->counts, STORM_MIGRATE);
    else if (e != ERR_OK && e != ERR_ABSENT) /* parked, or not online */
        wrong(a, "thread_move", (u64)e, ERR_OK);
}

static void actor_main(void *arg)
{
    struct actor *a = arg;
    while (!storm_stopped() && !a->counts.wrong) {
        visit(a);
        if (!rnd(a, 8))
            migrate(a);
        thread_sleep_us(rnd(a, REST_US)); /* kernel code is not preempted: ring 3 is to have its share */
    }
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    atomic_fetch_add(&storm_run.ended, 1); /* LOCKed; pairs with: tests/storm.c:wait_for_all */
}

u32 storm_actors_start(struct test *t)
{
    actor_count = MIN(cpu_online_count(), STORM_ACTORS_MAX); /* before the first one looks */
    u32 n = 0;
    CPUMASK_FOREACH (c, &cpus_online)
        if (n < actor_count && !cpu_is_parked(c)) {
            struct actor *a = &actors[n];
            *a = (struct actor){.index = n, .random = storm_random_begin(storm_run.seed, n)};
            n += spawn(t, c, actor_main, a);
        }
    return n;
}

void storm_actors_clear(void)
{
    for (u32 i = 0; i < SLOTS; i++)
        if (slots[i].space) {
            destroy(slots[i].space);
            slots[i].space = NULL;
        }
}

struct storm_counts *storm_actor_counts(u32 i)
{
    return &actors[i].counts;
}
