#include "tests/range.h"

#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "smp/cpus.h"
#include "tests/observer.h"
#include "tests/residents.h"

#define RANGE_MS 5000u

static struct range {
    struct space *user;  /* loaded by everyone, also while a kernel range is looked at */
    struct space *space; /* of the range */
    u32 prot;
    vaddr_t start;
    u32 pages;
    u32 turn; /* 0: the others touch; 1: unmapped */
    struct range_looker {
        u32 ready, finished;
        u32 stale, lost; /* pages that were still there; guards that were not */
        vaddr_t where;
    } CACHE_ALIGNED looker[MAX_CPUS];
} range;

static u64 content_of(vaddr_t va)
{
    return va ^ 0x7a9e5a5a5a5a5a5aull;
}

static bool reads_content(vaddr_t va)
{
    u64 v;
    return safe_read_u64((const void *)va, &v) == 0 && v == content_of(va);
}

static bool faults(vaddr_t va)
{
    u64 v;
    return safe_read_u64((const void *)va, &v) == EXC_PAGE_FAULT;
}

static void look(struct range_looker *l)
{
    vaddr_t end = range.start + range.pages * PAGE_SIZE;
    for (vaddr_t va = range.start; va < end; va += PAGE_SIZE)
        if (!faults(va) && !l->stale++)
            l->where = va;
    if (!reads_content(range.start - PAGE_SIZE))
        l->lost++;
    if (!reads_content(end))
        l->lost++;
}

/* All pages, twice: the first pass may only grow an emulator's TLB. */
static bool touch(void)
{
    bool all = true;
    for (u32 pass = 0; pass < 2; pass++)
        for (u32 i = 0; i < range.pages + 2; i++)
            all = reads_content(range.start + i * PAGE_SIZE - PAGE_SIZE) && all;
    return all;
}

static void looker_main(void *arg)
{
    struct range_looker *l = arg;
    preempt_disable();
    space_load(range.user);
    u32 ready = touch() ? 1 : 2;
    /* orders: the entries cached here before the unmap; pairs with: tests/range.c:lookers_ready (acquire); else:
     * there would be nothing stale to find. */
    atomic_store_release(&l->ready, ready);
    struct wait w = WAIT("the range to be unmapped", wait_ms(RANGE_MS));
    /* orders: the unmap before our look; pairs with: tests/range.c:range_check (release); else: pages would be
     * found that are still mapped. */
    while (!atomic_load_acquire(&range.turn))
        if (!wait_spin(&w))
            break;
    look(l);
    l->finished = 1;
    space_load(NULL);
    preempt_enable();
}

static bool lookers_ready(struct test *t, const cpumask_t *cpus)
{
    CPUMASK_FOREACH (c, cpus) {
        struct wait w = WAIT("a CPU to touch the range", wait_ms(RANGE_MS));
        u32 ready;
        /* orders: as beside its store; pairs with: tests/range.c:looker_main (release); else: as there. */
        while (!(ready = atomic_load_acquire(&range.looker[c].ready)))
            if (!wait_spin(&w))
                break;
        if (!CHECK(t, ready == 1, "CPU %u %s", c,
                   ready ? "did not find the range's content" : "did not start"))
            return false;
    }
    return true;
}

static bool map_range(struct test *t)
{
    for (u32 i = 0; i < range.pages + 2; i++) {
        vaddr_t va = range.start + i * PAGE_SIZE - PAGE_SIZE;
        err_t e = space_map_fresh(range.space, va, 1, range.prot, FRAME_OWNER_TEST);
        if (!CHECK(t, e == ERR_OK, "%llx cannot be mapped: %s", (unsigned long long)va, err_name(e)))
            return false;
        observe_fill(space_query(range.space, va).pa, content_of(va));
    }
    return true;
}

void range_check(struct test *t, vaddr_t start, u32 pages, u32 prot)
{
    cpumask_t others = {0};
    range.space = start >= DIRECT_MAP_BASE ? &kernel_space : range.user;
    range.prot = prot;
    range.start = start;
    range.pages = pages;
    range.turn = 0;
    bool started = map_range(t);
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self() || !started)
            continue;
        range.looker[c] = (struct range_looker){0};
        err_t e = worker_start(c, looker_main, &range.looker[c]);
        started = CHECK(t, e == ERR_OK, "CPU %u: %s", c, err_name(e));
        if (started)
            cpumask_set(&others, c);
    }
    if (started && lookers_ready(t, &others)) {
        CHECK(t, touch(), "the range cannot be read here");
        err_t e = space_unmap(range.space, start, start + pages * PAGE_SIZE);
        CHECK(t, e == ERR_OK, "%u pages at %llx: %s", pages, (unsigned long long)start, err_name(e));
        /* A policy that defers has promised nothing before the release. */
        if (shootdown_policy_defers(shootdown_policy()))
            shootdown_settle(range.space, 0);
    }
    /* orders: the unmap before the others' look; pairs with: tests/range.c:looker_main (acquire); else: as there. */
    atomic_store_release(&range.turn, 1);
    range.looker[cpu_self()] = (struct range_looker){.finished = 1};
    look(&range.looker[cpu_self()]);
    CPUMASK_FOREACH (c, &others)
        CHECK(t, worker_wait(c, 2 * RANGE_MS) == ERR_OK, "CPU %u does not finish", c);
    cpumask_set(&others, cpu_self());
    CPUMASK_FOREACH (c, &others) {
        const struct range_looker *l = &range.looker[c];
        CHECK(t, l->finished && !l->stale,
              "%s: %u pages at %llx: CPU %u still reached %u of them, first %llx", shootdown_policy()->name,
              pages, (unsigned long long)start, c, l->stale, (unsigned long long)l->where);
        CHECK(t, !l->lost, "%u pages at %llx: CPU %u lost %u of the two neighbours", pages,
              (unsigned long long)start, c, l->lost);
    }
    CHECK(t, space_unmap(range.space, start - PAGE_SIZE, start + (pages + 1) * PAGE_SIZE) == ERR_OK,
          "unmap all");
}

void range_check_policies(struct test *t, vaddr_t start, u32 pages, u32 prot)
{
    const struct shootdown_policy *before;
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (POLICY_USABLE(p) && policy_use(t, p->name, &before)) {
            range_check(t, start, pages, prot);
            policy_restore(t, before);
        }
}

bool range_begin(struct test *t)
{
    if (!CHECK(t, space_create(&range.user) == ERR_OK, "no space"))
        return false;
    preempt_disable();
    space_load(range.user);
    preempt_enable();
    return true;
}

void range_end(void)
{
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    space_destroy(range.user);
}
