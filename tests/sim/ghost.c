/* What a program may see at each watched page: the translation in the tables, and those that an operation in progress has replaced
 * but not yet promised gone. A frame counts with its generation, so that one which changed hands is another. */
#include "tests/sim/machine.h"
#include "tests/sim/std.h"

#include "mm/layout.h"

struct allowed {
    u64 pa;
    u32 generation;
    u8 rights;
};

struct watch {
    struct space *space;
    u64 root;
    vaddr_t va;
    struct sim_translation now; /* in the tables */
    u32 count;                  /* allowed ones; what is in the tables comes last, if anything is */
    struct allowed allowed[SIM_GHOST_STATE];
};
static struct watch watches[SIM_WATCHES];
static u32 watch_count;

u32 sim_watch_count(void)
{
    return watch_count;
}

vaddr_t sim_watch_address(u32 i, u64 *root)
{
    *root = watches[i].root;
    return watches[i].va;
}

static u32 generation_of(u64 pa)
{
    const struct frame *f = sim_frame(pa);
    return f ? f->generation : 0;
}

static void look(struct watch *w)
{
    struct sim_translation t = sim_read_tables(w->root, w->va);
    if (t.present == w->now.present && t.pa == w->now.pa && t.rights == w->now.rights)
        return;
    w->now = t;
    if (!t.present)
        return;
    struct allowed a = {t.pa, generation_of(t.pa), t.rights};
    for (u32 i = 0; i < w->count; i++)
        if (w->allowed[i].pa == a.pa && w->allowed[i].generation == a.generation &&
            w->allowed[i].rights == a.rights)
            return;
    if (w->count == SIM_GHOST_STATE)
        sim_fail("one page changed more than %u times within one operation", SIM_GHOST_STATE);
    w->allowed[w->count++] = a;
}

void sim_ghost_look(void)
{
    for (u32 i = 0; i < watch_count; i++)
        look(&watches[i]);
}

static void keep_current(struct watch *w)
{
    w->count = 0;
    if (w->now.present)
        w->allowed[w->count++] = (struct allowed){w->now.pa, generation_of(w->now.pa), w->now.rights};
}

void sim_watch(struct space *s, vaddr_t va)
{
    for (u32 i = 0; i < watch_count; i++)
        if (watches[i].space == s && watches[i].va == va)
            return;
    if (watch_count == SIM_WATCHES)
        sim_fail("too many pages are watched");
    struct watch *w = &watches[watch_count++];
    *w = (struct watch){.space = s, .root = s->pt.root.v, .va = va};
    w->now = sim_read_tables(w->root, va);
    keep_current(w);
}

void sim_ghost_promise(struct space *s, vaddr_t start, vaddr_t end)
{
    for (u32 i = 0; i < watch_count; i++)
        if (watches[i].space == s && watches[i].va >= start && watches[i].va < end)
            keep_current(&watches[i]);
}

/* The root table of a space is given back: the space is dead. */
void sim_ghost_forget(u64 root)
{
    u32 kept = 0;
    for (u32 i = 0; i < watch_count; i++)
        if (watches[i].root != root)
            watches[kept++] = watches[i];
    watch_count = kept;
}

/* ---- accesses ---- */

static const char *const access_names[] = {"read", "write", "execute"};

struct touch {
    const struct watch *watch;
    enum sim_access how;
    const char *who;
    u32 found, lacking; /* translations; of these, without the right */
    u64 frame;          /* of the last one that allows the access */
};

static u8 right_for(enum sim_access how)
{
    return how == SIM_WRITE ? SIM_W : how == SIM_EXEC ? SIM_X : SIM_R;
}

static NORETURN void stale(const struct touch *t, const struct sim_translation *tr)
{
    const struct watch *w = t->watch;
    const struct frame *f = sim_frame(tr->pa);
    sim_fail("%s by %s on CPU %u at %llx goes through a translation that is promised gone: to frame %llx "
             "(generation %u now, %s); "
             "in the tables there is %s%llx",
             access_names[t->how], t->who, sim.now, (unsigned long long)w->va, (unsigned long long)tr->pa,
             f ? f->generation : 0, tr->rights & SIM_W ? "writable" : "read-only",
             w->now.present ? "" : "nothing, not ", (unsigned long long)w->now.pa);
}

static void judge(void *arg, const struct sim_translation *tr)
{
    struct touch *t = arg;
    t->found++;
    if (!(tr->rights & right_for(t->how))) {
        t->lacking++;
        return;
    }
    t->frame = tr->pa;
    for (u32 i = 0; i < t->watch->count; i++) {
        const struct allowed *a = &t->watch->allowed[i];
        if (a->pa == tr->pa && a->generation == generation_of(tr->pa) && (a->rights & right_for(t->how)))
            return;
    }
    stale(t, tr);
}

static struct watch *find(struct space *s, vaddr_t va)
{
    for (u32 i = 0; i < watch_count; i++)
        if (watches[i].space == s && watches[i].va == va)
            return &watches[i];
    sim_fail("page %llx is used, but not watched", (unsigned long long)va);
}

/* Allowed, and nobody is changing it. */
static bool must_succeed(const struct watch *w, enum sim_access how)
{
    return w->now.present && w->count == 1 && (w->now.rights & right_for(how));
}

bool sim_touch(struct space *s, vaddr_t va, enum sim_access how, const char *who)
{
    struct sim_cpu *c = &sim_cpus[sim.now];
    sim_step(STEP_VISIBLE, NULL, true, access_names[how], who);
    struct touch t = {.watch = find(s, va), .how = how, .who = who};
    sim_translations(c, va, judge, &t);
    if (!t.found || t.lacking) {
        bool user = s != &kernel_space, was_on = c->irq_on;
        bool must = must_succeed(t.watch, how);
        u64 root = c->cr3 & ~0xfffull;
        if (must && !t.found)
            sim_fail("%s at %llx by %s on CPU %u faults, although the page is mapped: root %llx is loaded",
                     access_names[how], (unsigned long long)va, who, sim.now, (unsigned long long)root);
        if (!must || !user)
            return t.found != t.lacking;
        /* A stale entry with fewer rights may be used: then the fault handler has to explain it, and the retry to succeed. */
        c->irq_on = false;
        bool stale_entry = space_fault_is_stale(va, how == SIM_WRITE, how == SIM_EXEC, user);
        c->irq_on = was_on;
        t.found = t.lacking = 0;
        sim_translations(c, va, judge, &t);
        if (!must_succeed(t.watch, how))
            return t.found != t.lacking; /* it has changed again meanwhile */
        if (!stale_entry || t.lacking)
            sim_fail("%s at %llx on CPU %u faults on a stale entry, and goes on faulting", access_names[how],
                     (unsigned long long)va, sim.now);
    }
    if (how == SIM_WRITE && t.frame && sim_in_phys(sim_phys.memory + (t.frame - SIM_PHYS_BASE)))
        sim_user_store(sim_phys.memory + (t.frame - SIM_PHYS_BASE), generation_of(t.frame));
    return true;
}
