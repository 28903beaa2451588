/* What boots the code under test on the simulated machine, and the calls that scenarios make. */
#include "tests/sim/explore.h"
#include "tests/sim/scenario.h"
#include "tests/sim/std.h"

#include "apic/apic.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/stop_point.h"
#include "mm/kmap.h"
#include "mm/opt.h"
#include "smp/message.h"

#define CR4_PGE   (1ull << 7)
#define CR4_PCIDE (1ull << 17)

bool apic_is_x2apic = true;
volatile u32 *apic_mmio;
const struct apic_driver *apic_driver;
COUNTER(icr_writes, "interrupt commands written");
struct cpu_features features;
struct sim_percpu_head percpu_head;

struct space *sim_spaces[SIM_SPACES_MAX];
u32 sim_space_count;

void apic_send_nmi(apic_id_t dest)
{
    x2apic_icr_write(dest, ICR_NMI | ICR_ASSERT);
}

/* Stop points name the steps of a shootdown: lines of the timeline. Where NMIs are about, they are steps at which one may come, because
 * what closes and opens the gate for NMIs is a plain variable of the CPU's own. */
void host_stop_point(enum stop_point p)
{
#define NAME(id, name, what) [id] = name,
    static const char *const names[] = {STOP_POINTS_LIST(NAME)};
#undef NAME
    if (explorer->scenario->nmi)
        sim_step(STEP_VISIBLE, NULL, false, "stop point", NULL);
    if (sim_tracing)
        sim_trace(sim.now, "-- %s", names[p]);
}

void log_line(enum log_level l, const char *fmt, ...)
{
    (void)l;
    if (!sim_tracing)
        return;
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sim_trace(sim.now, "log: %s", text);
}

int format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    return n;
}

/* ---- runs that may fail outside of a coroutine ---- */

static jmp_buf *guard;

void explore_leave_setup(void)
{
    if (!guard) {
        fprintf(stderr, "failure outside of a run: %s\n", explorer->run.why);
        abort();
    }
    longjmp(*guard, 1);
}

bool explore_guard(void (*fn)(void))
{
    jmp_buf here;
    guard = &here;
    if (setjmp(here) == 0)
        fn();
    guard = NULL;
    return !explorer->run.failed;
}

/* ---- boot ---- */

/* Sparse ids in two clusters, so that an index taken for an id shows. */
static apic_id_t id_of(cpu_t c)
{
    return c * 3 + 2;
}

static void make_kernel_tables(void)
{
    paddr_t root, pdpt;
    if (frame_alloc_zeroed(FRAME_OWNER_TABLE, &root) != ERR_OK ||
        frame_alloc_zeroed(FRAME_OWNER_TABLE, &pdpt) != ERR_OK)
        abort();
    kernel_pt.root = root;
    u64 *entries = phys_to_virt(root);
    entries[KMAP_DYNAMIC_BASE >> 39 & 511] = pdpt.v | 3; /* present, writable: kmap_init makes all of them */
}

static void boot(u32 cpus)
{
    sim.cpus = cpus;
    make_kernel_tables();
    for (cpu_t c = 0; c < cpus; c++) {
        sim_cpus[c].cr3 = kernel_pt.root.v;
        sim_cpus[c].cr4 = (features.pge ? CR4_PGE : 0) | (features.pcid ? CR4_PCIDE : 0);
        if (cpu_add(id_of(c)) != ERR_OK)
            abort();
    }
    paddr_t first = PADDR_NONE, p;
    for (u64 i = 0; i < ALIGN_UP(msg_memory_size(), PAGE_SIZE) / PAGE_SIZE; i++)
        if (frame_alloc_zeroed(FRAME_OWNER_KERNEL, i ? &p : &first) != ERR_OK)
            abort();
    msg_init(phys_to_virt(first));
    space_init();
    for (cpu_t c = 0; c < cpus; c++)
        if (!(explorer->scenario->late_cpus >> c & 1))
            sim_on(c, sim_cpu_joins);
}

void sim_cpu_joins(void)
{
    bool was_on = irq_save();
    cpumask_set_atomic(&cpus_online, host_cpu());
    space_init_cpu();
    irq_restore(was_on);
}

void sim_on(cpu_t c, void (*fn)(void))
{
    cpu_t before = sim.now;
    sim.now = c;
    fn();
    sim.now = before;
}

static const char *policy_wanted;
static enum msg_delivery delivery_wanted;
static u32 switched;
static void set_up(void)
{
    msg_delivery_set(delivery_wanted);
    boot(explorer->scenario->cpus);
    shootdown_unsafe_allow(true);
    if (switched && opt_choose(OPT_DEFAULT ^ switched) != ERR_OK)
        sim_fail("the switches cannot be chosen");
    if (shootdown_policy_set(policy_wanted) != ERR_OK)
        sim_fail("policy %s cannot be chosen", policy_wanted);
    for (cpu_t c = 0; c < sim.cpus; c++)
        sim_cpus[c].irq_on = true;
    if (explorer->scenario->setup)
        explorer->scenario->setup();
    sim.nmis_left = explorer->scenario->nmi_budget;
    sim.nmi_target = explorer->scenario->nmi_target;
}

bool sim_set_up(const char *policy, const struct sim_config *config)
{
    policy_wanted = policy;
    switched = config->opt;
    delivery_wanted = config->nmi ? MSG_DELIVERY_NMI : MSG_DELIVERY_AUTO;
    features = (struct cpu_features){.x2apic = true,
                                     .nx = true,
                                     .page_1g = true,
                                     .pge = config->global,
                                     .pcid = config->pcid,
                                     .invpcid = config->invpcid,
                                     .phys_bits = 46,
                                     .virt_bits = 48};
    return explore_guard(set_up);
}

void sim_check_quiet(void)
{
    for (cpu_t c = 0; c < sim.cpus; c++) {
        if (per_cpu(tlb_pending, c) || per_cpu(tlb_switching, c))
            sim_fail("CPU %u is left with its NMI gate closed: %u flushes pending", c,
                     per_cpu(tlb_pending, c));
        for (cpu_t from = 0; from < sim.cpus; from++) {
            const struct msg_slot *s = &msg_inbox[c]->slot[from];
            if (s->posted - s->acked == 1)
                sim_fail("the line from CPU %u to CPU %u is left busy", from, c);
        }
    }
}

/* ---- for scenarios ---- */

struct space *sim_space(void)
{
    struct space *s;
    if (space_create(&s) != ERR_OK)
        sim_fail("space_create failed");
    if (sim_space_count < SIM_SPACES_MAX)
        sim_spaces[sim_space_count++] = s;
    return s;
}

static struct space *to_load;
static void load_it(void)
{
    sim_load_space(to_load);
}

void sim_run_in(cpu_t c, struct space *s)
{
    to_load = s;
    sim_on(c, load_it);
}

void sim_load_space(struct space *s)
{
    sim_cpus[sim.now].user = NULL;
    space_load(s);
    sim_cpus[sim.now].user = s;
}

void sim_borrow(void)
{
    sim_cpus[sim.now].user = NULL;
    space_borrow();
}

static void must(err_t e, const char *what)
{
    if (e != ERR_OK)
        sim_fail("%s failed: error %d", what, e);
}

/* Whether an unmap by this policy is over when it returns; one that defers promises only that memory is not reused early. */
static bool unmap_is_promised(void)
{
    const struct shootdown_policy *p = shootdown_policy();
    return p->at_return >= TLB_ENTERED || p->control;
}

void sim_map(struct space *s, vaddr_t va, u64 pages, u32 prot)
{
    must(space_map_fresh(s, va, pages, prot, FRAME_OWNER_USER), "space_map_fresh");
    for (u64 i = 0; i < pages; i++)
        sim_watch(s, va + i * PAGE_SIZE);
    sim_ghost_promise(s, va, va + pages * PAGE_SIZE);
}

void sim_unmap(struct space *s, vaddr_t va, u64 pages)
{
    sim_trace(sim.now, "unmap %llx, %llu pages", (unsigned long long)va, (unsigned long long)pages);
    must(space_unmap(s, va, va + pages * PAGE_SIZE), "space_unmap");
    sim_trace(sim.now, "unmap has returned");
    if (unmap_is_promised() || s == &kernel_space)
        sim_ghost_promise(s, va, va + pages * PAGE_SIZE);
}

void sim_protect(struct space *s, vaddr_t va, u64 pages, u32 prot)
{
    sim_trace(sim.now, "protect %llx, %llu pages", (unsigned long long)va, (unsigned long long)pages);
    must(space_protect(s, va, va + pages * PAGE_SIZE, prot), "space_protect");
    sim_trace(sim.now, "protect has returned");
    sim_ghost_promise(s, va, va + pages * PAGE_SIZE);
}

void sim_remap(struct space *s, vaddr_t va, u32 prot)
{
    paddr_t p;
    must(frame_alloc(FRAME_OWNER_USER, &p), "frame_alloc");
    sim_trace(sim.now, "remap %llx to %llx", (unsigned long long)va, (unsigned long long)p.v);
    must(space_remap(s, va, p, PT_4K, prot | PT_OWNED), "space_remap");
    sim_trace(sim.now, "remap has returned");
    sim_ghost_promise(s, va, va + PAGE_SIZE);
}

void sim_destroy(struct space *s)
{
    sim_trace(sim.now, "destroy");
    for (u32 i = 0; i < sim_space_count; i++)
        if (sim_spaces[i] == s)
            sim_spaces[i] = sim_spaces[--sim_space_count];
    space_destroy(s);
    sim_trace(sim.now, "destroy has returned");
}

/* What the last instructions before ring 3 do (kernel/thread_switch.c). Interrupts off. */
void sim_before_ring3(void)
{
    while (this_cpu(percpu_head.user_work) & SHOOTDOWN_USER_WORK) {
        this_cpu(percpu_head.user_work) &= ~SHOOTDOWN_USER_WORK;
        shootdown_user_return();
    }
    if (this_cpu(percpu_head.user_work) & SHOOTDOWN_USER_BARRED)
        panic("a promise has been forgotten: the hardware would fault");
}

/* The thread's body is over: what has been put off until its return to ring 3 is done now. */
void sim_thread_ends(void)
{
    irq_disable();
    sim_before_ring3();
    irq_enable();
    shootdown_user_open();
}

/* In ring 3, which it enters and leaves for it. An interrupt meanwhile returns there by sim_before_ring3, too (schedule.c). In the
 * kernel afterwards, as in a system call, nothing touches user memory. */
bool sim_use(vaddr_t va, enum sim_access how)
{
    struct sim_cpu *c = &sim_cpus[sim.now];
    struct space *s = c->user;
    if (!s)
        sim_fail("scenario: a thread without a space uses memory");
    irq_disable();
    sim_before_ring3();
    shootdown_user_close();
    c->in_ring3 = true;
    irq_enable();
    bool done = sim_touch(s, va, how, "thread");
    c->in_ring3 = false;
    return done;
}

bool sim_use_kernel(vaddr_t va, enum sim_access how)
{
    return sim_touch(&kernel_space, va, how, "kernel");
}

void sim_use_in_nmi(vaddr_t va)
{
    struct space *s = this_cpu(tlb_loaded);
    if (!nmi_user_access_ok(s)) {
        sim_trace(sim.now, "NMI: user memory is not to be touched now");
        return;
    }
    if (!s)
        sim_fail("nmi_user_access_ok() says yes, and no space is loaded");
    sim_touch(s, va, SIM_READ, "NMI handler");
    sim_touch(s, va, SIM_WRITE, "NMI handler");
}
