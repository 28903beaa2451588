#include "tests/observer.h"

#include "kernel/idle.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/layout.h"
#include "smp/message.h"
#include "tests/test.h"

/* Uses of the page after the change, by each observer: one would do on TCG and Bochs, where a stale entry stays; some more
 * give hardware that replays or speculates a chance. */
#define USES_AFTER test_rounds(16, 2)
/* An observer that never hears of the change ends by itself. */
#define OBSERVER_MS 5000u
/* How long an observer takes no interrupts: long against the way from an initiator's return to the new owner's content. */
#define IRQS_OFF_MS 2u

/* One for each CPU, written by that CPU only, read when its worker is idle again. */
static struct observer {
    struct observation *x;
    u64 violations, uses, faults, found;
    const char *broken;
    u32 ready;
} CACHE_ALIGNED observers[MAX_CPUS];
_Static_assert(MAX_CPUS == OBSERVE_WORDS, "each CPU has a word of its own in the page");

void observe_fill(paddr_t frame, u64 value)
{
    u64 *p = phys_to_virt(frame);
    for (u32 i = 0; i < OBSERVE_WORDS; i++)
        atomic_store_relaxed(&p[i], value);
}

void observe_fill_function(paddr_t frame, u8 value)
{
    /* mov eax, value; ret; the rest INT3 */
    static const u8 code[] = {0xb8, 0, 0, 0, 0, 0xc3};
    u8 *p = phys_to_virt(frame);
    memset(p, 0xcc, PAGE_SIZE);
    memcpy(p, code, sizeof(code));
    p[1] = value;
}

/* One use of the page: true if it did not fault, with what was reached. */
static bool use_page(const struct observation *x, u64 serial, u64 *found)
{
    void *word = (void *)(x->va + cpu_self() * sizeof(u64));
    switch (x->use) {
    case OBSERVE_WRITE:
        *found = serial;
        return safe_write_u64(word, serial) == 0;
    case OBSERVE_EXECUTE:
        return safe_call((u64(*)(void))x->va, found) == 0;
    case OBSERVE_READ:
        break;
    }
    return safe_read_u64(word, found) == 0;
}

/* The rule of the header: was this use, made when `changed` had been seen or not, allowed? */
static bool allowed(const struct observation *x, bool changed, bool reached, u64 found)
{
    if (!reached)
        return true;
    if (x->use == OBSERVE_WRITE)
        return !changed || x->after;
    return (!changed && found == x->before) || (x->after && found == x->after);
}

static void use_once(struct observation *x, struct observer *o, bool changed)
{
    u64 found = 0;
    bool reached = use_page(x, ++o->uses, &found);
    if (!reached)
        o->faults++;
    if (allowed(x, changed, reached, found))
        return;
    if (!o->violations++)
        o->found = found;
}

static bool has_changed(const struct observation *x)
{
    /* orders: the change, and the new owner's content, before our next use; pairs with: tests/observer.c:observers_changed
     * (release); else: a use from before the change would be judged as one from after it. */
    return atomic_load_acquire(&x->changed);
}

/* Interrupts off since the look, so that a doorbell rung after it ends the wait. */
static void wait_as_idle(const struct observation *x)
{
    irq_disable();
    if (!has_changed(x))
        idle_wait();
    irq_enable();
}

static void observe_until_changed(struct observation *x, struct observer *o)
{
    struct wait w = WAIT("the change under observation", wait_ms(OBSERVER_MS));
    u64 window = x->irqs_off ? wait_ms(IRQS_OFF_MS) : 0, start = rdtsc();

    for (u32 after = 0; after < x->uses_after;) {
        bool changed = has_changed(x);
        use_once(x, o, changed);
        after += changed;
        if (x->idles && !changed)
            wait_as_idle(x);
        /* The right policies are waiting for us to take interrupts again. */
        if (window && (after == x->uses_after || rdtsc() - start > window)) {
            irq_enable();
            window = 0;
        }
        if (!wait_spin(&w)) {
            o->broken = "was not told of the change";
            break;
        }
    }
    irq_enable();
}

static void observer_main(void *arg)
{
    struct observer *o = arg;
    struct observation *x = o->x;
    u64 found = 0;

    preempt_disable();
    if (x->space)
        space_load(x->space);
    if (x->irqs_off)
        irq_disable();
    if (!use_page(x, ++o->uses, &found) || (x->use != OBSERVE_WRITE && found != x->before))
        o->broken = "did not find the page as it was before the change";
    /* orders: our first use, which caches the translation, before the initiator's change; pairs with:
     * tests/observer.c:observers_start (acquire); else: there would be nothing stale to find. */
    atomic_store_release(&o->ready, 1);
    observe_until_changed(x, o);
    if (x->space)
        space_load(NULL);
    preempt_enable();
}

static bool wait_ready(struct observation *x)
{
    CPUMASK_FOREACH (c, &x->observers) {
        struct wait w = WAIT("an observer's first use of the page", wait_ms(OBSERVER_MS));
        /* orders: the observer's first use before our change; pairs with: tests/observer.c:observer_main (release); else:
         * as there. */
        while (!atomic_load_acquire(&observers[c].ready))
            if (!wait_spin(&w)) {
                x->broken = "an observer did not start";
                return false;
            }
    }
    return true;
}

static u32 most_observers = MAX_CPUS;

void observers_at_most(u32 most)
{
    most_observers = most;
}

bool observers_start(struct observation *x)
{
    x->violations = x->uses = x->faults = x->found = 0;
    x->cpu = CPU_NONE;
    x->broken = NULL;
    x->changed = 0;
    x->uses_after = USES_AFTER;
    cpumask_clear(&x->observers);
    u32 left = most_observers;
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self() || !left)
            continue;
        left--;
        observers[c] = (struct observer){.x = x};
        if (worker_start(c, observer_main, &observers[c]) != ERR_OK) {
            x->broken = "a CPU is still at other work";
            return false;
        }
        cpumask_set(&x->observers, c);
    }
    return wait_ready(x);
}

void observers_changed(struct observation *x)
{
    /* orders: the operation and all that the caller did since before an observer's next use; pairs with:
     * tests/observer.c:has_changed (acquire); else: as there. */
    atomic_store_release(&x->changed, 1);
    if (x->idles)
        CPUMASK_FOREACH (c, &x->observers)
            smp_doorbell(c);
}

void observers_finish(struct observation *x)
{
    observers_changed(x); /* also after a failure half-way: nobody waits for ever */
    CPUMASK_FOREACH (c, &x->observers) {
        const struct observer *o = &observers[c];
        if (worker_wait(c, 2 * OBSERVER_MS) != ERR_OK)
            panic("CPU %u does not end its observation, which lies on this stack", c);
        if (o->violations && !x->violations) {
            x->cpu = c;
            x->found = o->found;
        }
        x->violations += o->violations;
        x->uses += o->uses;
        x->faults += o->faults;
        if (o->broken && !x->broken)
            x->broken = o->broken;
    }
    /* A policy that does not wait leaves its messages behind: they name the space, so it must outlive them. */
    preempt_disable();
    err_t e = msg_wait_mask(&x->observers);
    preempt_enable();
    if (e != ERR_OK)
        x->broken = "a message of the shootdown was never acknowledged";
}

void observe_here(struct observation *x)
{
    struct observer here = {.x = x, .uses = x->uses};
    use_once(x, &here, x->changed);
    x->uses++;
    x->faults += here.faults;
    if (here.violations && !x->violations++) {
        x->cpu = cpu_self();
        x->found = here.found;
    }
}
