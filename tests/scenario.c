#include "tests/scenario.h"

#include "lib/context.h"
#include "mm/frame.h"
#include "smp/message.h"
#include "tests/window.h"

/* Content tells the frame's owner and the round, so that whoever reaches it betrays both. */
#define OLD_OWNER          0x01d0000000000000ull
#define NEW_OWNER          0x2e30000000000000ull

#define FRAME_OWNER_BEFORE (FRAME_OWNER_TEST + 1)
#define FRAME_OWNER_AFTER  (FRAME_OWNER_TEST + 2)

/* A freed frame lies on top of this CPU's cache: the next allocation should return it. Some more, in case of a change there. */
#define REUSE_TRIES 64u

/* A frame that stays mapped beside the page under test, so that its table is not freed with it: a freed table is a case of its
 * own, which every policy routes to the strongest path. */
#define KEEPER_OFFSET PAGE_SIZE

static u64 serial; /* of rounds, over all scenarios */

static struct space *owner_of(struct space *s)
{
    return s ? s : &kernel_space;
}
static vaddr_t page_of(struct space *s)
{
    return s ? TEST_USER_VA : TEST_KERNEL_VA;
}

static bool failed(struct outcome *out, const char *why, err_t e)
{
    if (e != ERR_OK && !out->broken)
        out->broken = why;
    return e != ERR_OK;
}

static void add(struct outcome *out, const struct observation *x)
{
    if (x->violations && !out->violations) {
        out->cpu = x->cpu;
        out->found = x->found;
    }
    out->violations += x->violations;
    out->uses += x->uses;
    out->faults += x->faults;
    out->rounds++;
    if (x->broken && !out->broken)
        out->broken = x->broken;
}

/* How long what a policy has put off may stay in flight before everyone who is waited for is told. */
#define SETTLE_US 2000u

/* A policy that defers has promised nothing about the page at return, only that its frame is not reused: until it is given
 * back, reaching the old content is no violation, and reaching the new owner's is one at any time. */
static void wait_for_release(struct space *s)
{
    if (shootdown_policy_defers(shootdown_policy()))
        shootdown_settle(owner_of(s), SETTLE_US);
}

/* Allocates for the new owner until it gets `wanted`; the others are given back. Any context that may allocate. */
static bool take_here(paddr_t wanted)
{
    paddr_t other[REUSE_TRIES];
    u32 n = 0;
    bool got = false;
    while (n < REUSE_TRIES && !got && frame_alloc(FRAME_OWNER_AFTER, &other[n]) == ERR_OK)
        got = other[n++].v == wanted.v;
    if (got)
        n--;
    while (n)
        frame_free(other[--n]);
    return got;
}

static void take_there(struct msg_in *in)
{
    bool *got = (bool *)in->word[1];
    *got = take_here(PADDR(in->word[0]));
}
MSG_KIND(scenario_take, take_there);

/* Here first. Under a policy that defers, it may be another CPU that gave the frame back, and has it on top of its cache. */
static bool take_over(paddr_t wanted, u64 content)
{
    bool got = take_here(wanted);
    CPUMASK_FOREACH (c, &cpus_online)
        if (!got && c != cpu_self() && shootdown_policy_defers(shootdown_policy())) {
            err_t e = msg_call(c, &(struct msg){.kind = &scenario_take, .word = {wanted.v, (u64)&got}});
            if (e != ERR_OK)
                panic("CPU %u does not answer, and may write on this stack later", c);
        }
    if (got)
        observe_fill(wanted, content);
    return got;
}

void scenario_unmap(struct space *s, bool irqs_off, struct outcome *out)
{
    struct observation x = {
        .space = s, .va = page_of(s), .before = OLD_OWNER + ++serial, .irqs_off = irqs_off};
    paddr_t frame;
    if (failed(out, "no frame", frame_alloc(FRAME_OWNER_BEFORE, &frame)))
        return;
    observe_fill(frame, x.before);
    if (failed(out, "the page cannot be mapped",
               space_map(owner_of(s), x.va, frame, PAGE_SIZE, PT_4K, PT_WRITE | PT_OWNED))) {
        frame_free(frame);
        return;
    }
    bool taken = false;
    bool started = observers_start(&x);
    observe_here(&x);
    bool unmapped = !failed(out, "unmap failed", space_unmap(owner_of(s), x.va, x.va + PAGE_SIZE));
    if (started && unmapped) {
        wait_for_release(s);
        taken = take_over(frame, NEW_OWNER + serial);
        observers_changed(&x);
        observe_here(&x);
    }
    observers_finish(&x);
    if (taken)
        frame_free(frame);
    out->reused += taken;
    add(out, &x);
}

void scenario_protect(struct space *s, bool irqs_off, struct outcome *out)
{
    struct observation x = {.space = s,
                            .va = page_of(s),
                            .use = OBSERVE_WRITE,
                            .before = OLD_OWNER + ++serial,
                            .irqs_off = irqs_off};
    if (failed(out, "the page cannot be mapped",
               space_map_fresh(owner_of(s), x.va, 1, PT_WRITE, FRAME_OWNER_BEFORE)))
        return;
    const u64 *word = phys_to_virt(space_query(owner_of(s), x.va).pa);
    static u64 at_return[OBSERVE_WORDS];

    bool started = observers_start(&x);
    observe_here(&x);
    bool protected =
        !failed(out, "protect failed", space_protect(owner_of(s), x.va, x.va + PAGE_SIZE, PT_READ));
    if (started && protected) {
        for (u32 i = 0; i < OBSERVE_WORDS; i++)
            at_return[i] = atomic_load_relaxed(&word[i]);
        observers_changed(&x);
        observe_here(&x);
    }
    observers_finish(&x);
    /* Stronger than what the observers judge: nothing may land after the return, seen by them or not. */
    for (u32 i = 0; started && protected && i < OBSERVE_WORDS; i++)
        if (atomic_load_relaxed(&word[i]) != at_return[i] && !x.violations++) {
            x.cpu = i;
            x.found = word[i];
        }
    failed(out, "unmap failed", space_unmap(owner_of(s), x.va, x.va + PAGE_SIZE));
    add(out, &x);
}

/* Remaps the page from one frame, already filled, to another; both stay ours until the end. */
static void remap(struct observation *x, paddr_t from, paddr_t to, u32 prot, struct outcome *out)
{
    struct space *s = owner_of(x->space);
    if (failed(out, "the page cannot be mapped", space_map(s, x->va, from, PAGE_SIZE, PT_4K, prot)))
        return;
    bool started = observers_start(x);
    observe_here(x);
    if (!failed(out, "remap failed", space_remap(s, x->va, to, PT_4K, prot)) && started) {
        if (x->use == OBSERVE_READ) {
            observe_fill(from, NEW_OWNER); /* its next owner's */
            out->reused++;
        }
        observers_changed(x);
        observe_here(x);
    }
    observers_finish(x);
    failed(out, "unmap failed", space_unmap(s, x->va, x->va + PAGE_SIZE));
    add(out, x);
}

void scenario_remap(struct space *s, bool irqs_off, struct outcome *out)
{
    struct observation x = {.space = s, .va = page_of(s), .irqs_off = irqs_off};
    paddr_t from, to;
    x.before = OLD_OWNER + ++serial;
    x.after = OLD_OWNER + ++serial;
    if (failed(out, "no frame", frame_alloc(FRAME_OWNER_BEFORE, &from)))
        return;
    if (!failed(out, "no frame", frame_alloc(FRAME_OWNER_BEFORE, &to))) {
        observe_fill(from, x.before);
        observe_fill(to, x.after);
        remap(&x, from, to, PT_WRITE, out);
        frame_free(to);
    }
    frame_free(from);
}

void scenario_execute(struct space *s, bool irqs_off, struct outcome *out)
{
    struct observation x = {
        .space = s, .va = page_of(s), .use = OBSERVE_EXECUTE, .before = 1, .after = 2, .irqs_off = irqs_off};
    paddr_t from, to;
    if (failed(out, "no frame", frame_alloc(FRAME_OWNER_BEFORE, &from)))
        return;
    if (!failed(out, "no frame", frame_alloc(FRAME_OWNER_BEFORE, &to))) {
        observe_fill_function(from, (u8)x.before);
        observe_fill_function(to, (u8)x.after);
        remap(&x, from, to, PT_EXEC, out);
        frame_free(to);
    }
    frame_free(from);
}

void scenario_no_execute(struct space *s, bool irqs_off, struct outcome *out)
{
    struct observation x = {
        .space = s, .va = page_of(s), .use = OBSERVE_EXECUTE, .before = 1, .irqs_off = irqs_off};
    paddr_t code;
    if (failed(out, "no frame", frame_alloc(FRAME_OWNER_BEFORE, &code)))
        return;
    observe_fill_function(code, (u8)x.before);
    if (failed(out, "the page cannot be mapped",
               space_map(owner_of(s), x.va, code, PAGE_SIZE, PT_4K, PT_EXEC | PT_OWNED))) {
        frame_free(code);
        return;
    }
    bool started = observers_start(&x);
    observe_here(&x);
    if (!failed(out, "protect failed", space_protect(owner_of(s), x.va, x.va + PAGE_SIZE, PT_READ)) &&
        started) {
        observers_changed(&x);
        observe_here(&x);
    }
    observers_finish(&x);
    failed(out, "unmap failed", space_unmap(owner_of(s), x.va, x.va + PAGE_SIZE));
    add(out, &x);
}

void scenario_table(struct space *s, bool irqs_off, struct outcome *out)
{
    /* Without its keeper, the page's table, and all above it, goes too. */
    failed(out, "unmap failed",
           space_unmap(s, page_of(s) + KEEPER_OFFSET, page_of(s) + KEEPER_OFFSET + PAGE_SIZE));
    scenario_unmap(s, irqs_off, out);
    failed(out, "no keeper", space_map_fresh(s, page_of(s) + KEEPER_OFFSET, 1, PT_READ, FRAME_OWNER_BEFORE));
}

static void play_rounds(scenario_fn fn, struct space *s, struct rounds n, struct outcome *out)
{
    vaddr_t keeper = page_of(s) + KEEPER_OFFSET;
    if (failed(out, "no keeper", space_map_fresh(owner_of(s), keeper, 1, PT_READ, FRAME_OWNER_BEFORE)))
        return;
    preempt_disable();
    space_load(s);
    preempt_enable();
    for (u32 i = 0; i < n.irqs_on + n.irqs_off && !out->broken; i++)
        fn(s, i >= n.irqs_on, out);
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    failed(out, "unmap failed", space_unmap(owner_of(s), keeper, keeper + PAGE_SIZE));
}

struct outcome scenario_play(scenario_fn fn, const struct shootdown_policy *policy, bool in_kernel,
                             struct rounds n)
{
    struct outcome out = {.cpu = CPU_NONE};
    const struct shootdown_policy *before = shootdown_policy();
    struct space *s = NULL;

    if (!in_kernel && failed(&out, "no space", space_create(&s)))
        return out;
    if (!failed(&out, "the policy was refused", shootdown_policy_set(policy->name))) {
        play_rounds(fn, s, n, &out);
        failed(&out, "the policy could not be restored", shootdown_policy_set(before->name));
    }
    if (s)
        space_destroy(s);
    return out;
}
