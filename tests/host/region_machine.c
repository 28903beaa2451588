#include "tests/host/region_machine.h"

#include "lib/features.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/region.h"
#include "tests/host/phys.h"

#define LOW (16 * MIB)

struct machine_cpu machine_cpu[MACHINE_CPUS];
void (*machine_before_flush)(struct space *s);
bool machine_defers;
u64 machine_flushes;
struct space kernel_space;
u32 shootdown_ceiling = 33;
u64 tsc_hz;
u32 wait_scale = 1;

/* ---- what the code under test expects of the rooms around it ---- */

u64 wait_ms(u64 ms)
{
    return ms;
}
bool wait_look(struct wait *w)
{
    (void)w;
    return false; /* nothing here waits for another CPU */
}
void host_invlpg(vaddr_t va)
{
    struct machine_cpu *c = &machine_cpu[host_cpu_index];
    for (u32 i = 0; i < MACHINE_ENTRIES; i++)
        if (c->tlb[i].space == c->loaded && c->tlb[i].va <= va && va < c->tlb[i].va + c->tlb[i].size)
            c->tlb[i].space = NULL;
}

err_t space_charge(struct space *s, u64 n)
{
    if (s->frames + n > s->frames_max)
        return ERR_NOMEM;
    s->frames += n;
    return ERR_OK;
}
void space_uncharge(struct space *s, u64 n)
{
    HOST_CHECK(s->frames >= n, "a space gives back more frames than it has");
    s->frames -= n;
}

static err_t table_alloc(struct pt_pool *pool, paddr_t *out)
{
    struct space *s = container_of(pool, struct space, pool);
    err_t e = space_charge(s, 1);
    if (e != ERR_OK)
        return e;
    e = frame_alloc_zeroed(FRAME_OWNER_TABLE, out);
    if (e != ERR_OK)
        space_uncharge(s, 1);
    return e;
}
static void table_retire(struct pt_pool *pool, paddr_t page)
{
    struct space *s = container_of(pool, struct space, pool);
    HOST_CHECK(s->at_work != NULL, "tables are unlinked only under a ticket");
    ticket_park_table(s->at_work, page);
}
static void table_free(struct pt_pool *pool, paddr_t page)
{
    frame_free(page);
    space_uncharge(container_of(pool, struct space, pool), 1);
}

static void free_list(struct space *s, u32 list)
{
    while (list != TICKET_NO_FRAME) {
        paddr_t p = PADDR((u64)list << PAGE_SHIFT);
        list = frame_of(p)->next;
        space_uncharge(s, 1ull << frame_of(p)->order);
        frame_free(p);
    }
}

/* Of operations that are over: linked in their spaces, their memory parked. */
#define DEFERRED_MAX 16u
static struct tlb_ticket deferred[DEFERRED_MAX];
static u32 deferred_count;

static bool overlaps(const struct tlb_ticket *t, vaddr_t start, vaddr_t end)
{
    return t->request.start < end && start < t->end;
}

/* Those of s, NULL: of any, that the range touches. False: there are none. */
static bool release(const struct space *s, vaddr_t start, vaddr_t end)
{
    u32 kept = 0, before = deferred_count;
    for (u32 i = 0; i < before; i++)
        deferred[i].request.space->in_flight = NULL;
    for (u32 i = 0; i < before; i++) {
        struct tlb_ticket *t = &deferred[i];
        if ((!s || t->request.space == s) && overlaps(t, start, end)) {
            free_list(t->request.space, t->parked_frames);
            free_list(t->request.space, t->parked_tables);
        } else {
            deferred[kept] = *t;
            deferred[kept].in_flight_next = t->request.space->in_flight;
            t->request.space->in_flight = &deferred[kept++];
        }
    }
    deferred_count = kept;
    return kept != before;
}

void ticket_open(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    HOST_CHECK(!s->at_work && start < end, "no lock is taken twice");
    (void)release(s, start, end);
    *t = (struct tlb_ticket){.request.space = s,
                             .request.start = start,
                             .end = end,
                             .parked_frames = TICKET_NO_FRAME,
                             .parked_tables = TICKET_NO_FRAME};
    spin_lock(&s->lock);
    s->at_work = t;
}
void ticket_open_adding(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    ticket_open(t, s, start, end);
}
static void park(u32 *list, struct frame *f, paddr_t p)
{
    f->next = *list;
    *list = (u32)(p.v >> PAGE_SHIFT);
}
void ticket_park_frame(struct tlb_ticket *t, struct frame *f, paddr_t p)
{
    park(&t->parked_frames, f, p);
}
void ticket_park_table(struct tlb_ticket *t, paddr_t p)
{
    park(&t->parked_tables, frame_of(p), p);
}
/* By the rule of mm/respond.c: everything for WALKERS and above the ceiling, else one INVLPG for each stride. */
static void flush(const struct space *s, const struct tlb_ticket *t, enum tlb_level need,
                  const struct pt_change *change)
{
    u64 stride = 1ull << change->stride;
    vaddr_t start = ALIGN_DOWN(t->request.start, stride), end = ALIGN_UP(t->end, stride);
    bool whole = need == TLB_WALKERS || (end - start) / stride > shootdown_ceiling;
    machine_flushes++;
    for (u32 c = 0; c < MACHINE_CPUS; c++)
        for (u32 i = 0; i < MACHINE_ENTRIES; i++) {
            struct cached *e = &machine_cpu[c].tlb[i];
            if (e->space != s)
                continue;
            bool named = whole;
            for (vaddr_t va = start; va < end && !named; va += stride)
                named = e->va <= va && va < e->va + e->size;
            if (named)
                e->space = NULL;
        }
}

void ticket_close(struct tlb_ticket *t, enum tlb_level need, const struct pt_change *change)
{
    struct space *s = t->request.space;
    HOST_CHECK(s->at_work == t, "the ticket that was opened");
    HOST_CHECK(t->parked_tables == TICKET_NO_FRAME || need == TLB_WALKERS, "a freed table needs WALKERS");
    HOST_CHECK(t->parked_frames == TICKET_NO_FRAME || need >= TLB_ENTERED, "a freed frame needs ENTERED");
    s->at_work = NULL;
    spin_unlock(&s->lock);
    if (need == TLB_NONE)
        return;
    HOST_CHECK(need >= TLB_ENTERED, "level %d", need);
    if (machine_before_flush)
        machine_before_flush(s);
    flush(s, t, need, change);
    if (machine_defers && t->lax == TLB_LAX && deferred_count < DEFERRED_MAX) {
        deferred[deferred_count] = *t;
        deferred[deferred_count].in_flight_next = s->in_flight;
        s->in_flight = &deferred[deferred_count++];
        return;
    }
    free_list(s, t->parked_frames);
    free_list(s, t->parked_tables);
}
void ticket_close_copied(struct tlb_ticket *t, const struct pt_change *change)
{
    ticket_close(t, TLB_FLUSHED, change);
}
void ticket_close_page(struct tlb_ticket *t)
{
    static const struct pt_change page = {.leaves = 1, .narrowed = true, .stride = PT_4K};
    ticket_close(t, TLB_ENTERED, &page);
}
void ticket_wait_earlier(struct space *s, enum tlb_level need)
{
    (void)s, (void)need;
}
void shootdown_settle(struct space *s, u64 wait_us)
{
    (void)wait_us;
    HOST_CHECK(release(s, 0, ~0ull), "nobody waits for what is not there");
}
bool shootdown_reclaim(void)
{
    return release(NULL, 0, ~0ull);
}

/* ---- the machine ---- */

void machine_start(void)
{
    static bool done;
    static struct boot_info info = {.mem = {{{LOW}, PHYS_SIZE, BOOT_MEM_USABLE}},
                                    .mem_count = 1,
                                    .kernel_start = {LOW},
                                    .kernel_end = {LOW + MIB}};
    host_cpu_index = 0;
    memset(machine_cpu, 0, sizeof(machine_cpu));
    machine_before_flush = NULL;
    machine_defers = false;
    if (done)
        return;
    done = true;
    phys_reset(LOW);
    features.phys_bits = 40;
    frame_init(&info);
    frame_init_high();
}

u64 machine_free_frames(void)
{
    return frame_stats().free;
}

struct space *machine_space(void)
{
    static u64 ids;
    struct space *s = aligned_alloc(64, ALIGN_UP(sizeof(*s), 64ul));
    memset(s, 0, sizeof(*s));
    s->pool = (struct pt_pool){.alloc = table_alloc, .retire = table_retire, .free = table_free};
    s->pt.pool = &s->pool;
    s->id = ++ids;
    s->frames_max = ~0ull;
    if (frame_alloc_zeroed(FRAME_OWNER_TABLE, &s->pt.root) == ERR_OK)
        return s;
    free(s);
    return NULL;
}

void machine_space_end(struct space *s)
{
    HOST_CHECK(!s->regions, "the regions' frame is gone");
    (void)release(s, 0, ~0ull);
    pt_destroy_user(&s->pt);
    HOST_CHECK(s->frames == 0, "%llu frames are still charged", (unsigned long long)s->frames);
    for (u32 c = 0; c < MACHINE_CPUS; c++) {
        if (machine_cpu[c].loaded == s)
            machine_cpu[c].loaded = NULL;
        for (u32 i = 0; i < MACHINE_ENTRIES; i++)
            if (machine_cpu[c].tlb[i].space == s)
                machine_cpu[c].tlb[i].space = NULL;
    }
    frame_free(s->pt.root);
    free(s);
}

struct cached *machine_cached(u32 c, const struct space *s, vaddr_t va)
{
    for (u32 i = 0; i < MACHINE_ENTRIES; i++) {
        struct cached *e = &machine_cpu[c].tlb[i];
        if (e->space == s && e->va <= va && va < e->va + e->size)
            return e;
    }
    return NULL;
}

void machine_check(void)
{
    for (u32 c = 0; c < MACHINE_CPUS; c++)
        for (u32 i = 0; i < MACHINE_ENTRIES; i++) {
            const struct cached *e = &machine_cpu[c].tlb[i];
            if (!e->space)
                continue;
            /* Its first page, its last, and those between by steps: a large entry may say of some pages what is not so any more. */
            for (u64 at = 0; at<e->size; at += e->size> PAGE_SIZE ? e->size / 8 - PAGE_SIZE : PAGE_SIZE) {
                struct phys_translation now =
                    phys_walk(e->space->pt.root.v, e->va + ALIGN_DOWN(at, PAGE_SIZE));
                HOST_CHECK(now.present && now.pa == e->pa + ALIGN_DOWN(at, PAGE_SIZE),
                           "CPU %u still has %llx -> %llx cached; the tables say %s%llx", c,
                           (unsigned long long)(e->va + at), (unsigned long long)(e->pa + at),
                           now.present ? "" : "nothing, ", (unsigned long long)now.pa);
                HOST_CHECK(now.write || !e->write, "CPU %u may still write to %llx", c,
                           (unsigned long long)(e->va + at));
                HOST_CHECK(now.dirty || !e->dirty, "CPU %u would not set the dirty bit of %llx again", c,
                           (unsigned long long)(e->va + at));
                HOST_CHECK(now.accessed, "CPU %u would not set the accessed bit of %llx again", c,
                           (unsigned long long)(e->va + at));
            }
        }
}

static struct cached *fill(u32 c, struct space *s, vaddr_t va, bool write)
{
    struct phys_translation tr = phys_walk(s->pt.root.v, va);
    if (!tr.present || !tr.user || (write && !tr.write))
        return NULL;
    phys_touch(s->pt.root.v, va, write);
    struct machine_cpu *cpu = &machine_cpu[c];
    struct cached *e = &cpu->tlb[cpu->next++ % MACHINE_ENTRIES];
    *e = (struct cached){.space = s,
                         .va = ALIGN_DOWN(va, tr.size),
                         .size = tr.size,
                         .pa = tr.pa - (va & (tr.size - 1)),
                         .write = tr.write,
                         .dirty = write || tr.dirty};
    return e;
}

bool machine_use(u32 c, struct space *s, vaddr_t va, bool write, u64 *pa, bool *nomem)
{
    struct cached *e = machine_cached(c, s, va);
    host_cpu_index = c;
    machine_cpu[c].loaded = s;
    *nomem = false;
    /* A translation that does not allow the access, or whose dirty bit is to be set, is walked again. */
    if (e && write && (!e->write || !e->dirty)) {
        e->space = NULL;
        e = NULL;
    }
    for (u32 tries = 0; !e && !(e = fill(c, s, va, write)); tries++) {
        enum fault_result f = region_fault(s, va, (struct fault_access){.write = write, .user = true});
        *nomem = f == FAULT_NOMEM;
        if (f != FAULT_RETRY)
            return false;
        if (!HOST_CHECK(tries < 3, "the fault at %llx is explained again and again", (unsigned long long)va))
            return false;
    }
    *pa = e->pa + (va - e->va);
    return true;
}
