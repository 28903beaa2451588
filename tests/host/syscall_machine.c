#include "tests/host/syscall_machine.h"

#include <setjmp.h>

#include "kernel/clock.h"
#include "kernel/user_fault.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "smp/topology.h"
#include "tests/host/message_machine.h"

struct thread *machine_thread[MACHINE_THREADS];
u32 machine_threads, machine_depth;
bool (*machine_step)(void);
char *host_percpu_block[HOST_CPUS];

PERCPU(struct thread *, thread_current);
PERCPU(struct thread_cpu, thread_cpu);
PERCPU(struct thread_awaited, thread_awaited);
PERCPU(bool, shootdown_user_closed);
PERCPU(u32, tlb_pending);
cpumask_t cpus_parked;
bool (*trap_user_fault_hook)(struct trap_frame *f, vaddr_t address);
COUNTER(shootdown_word_flushes, "of the machine");

static struct running {
    struct running *outer;
    struct thread *thread;
    jmp_buf end;
} * running; /* the innermost call */

static struct {
    void (*fn)(void *arg);
    struct thread thread;
    bool woken, at_work;
    jmp_buf end;
} reaper;

static void switch_to(struct thread *t)
{
    host_cpu_index = t->cpu;
    this_cpu(thread_current) = t;
    this_cpu(shootdown_user_closed) = false; /* as space_load does */
    machine_cpu[t->cpu].loaded = t->space;
}

/* Messages arrive as soon as somebody looks. */
static void drain(void)
{
    cpu_t at = host_cpu_index;
    bool was_on = irq_save();
    for (cpu_t c = 0; c < MACHINE_CPUS; c++)
        while (atomic_xchg(&irr[c], 0)) {
            host_cpu_index = c;
            msg_drain();
        }
    host_cpu_index = at;
    irq_restore(was_on);
}

/* ---- waiting ---- */

/* Until it is woken, or, with `once`, other threads have had one turn. */
static void wait(struct thread *self, bool once)
{
    if (reaper.at_work)
        longjmp(reaper.end, 1);
    drain();
    if (self->woken) {
        self->woken = false;
        return;
    }
    self->state = THREAD_BLOCKED;
    machine_depth++;
    do {
        if (machine_step())
            drain();
        else if (!once)
            thread_kill(self);
    } while (self->state == THREAD_BLOCKED && !once);
    machine_depth--;
    self->state = THREAD_RUNNING;
    self->woken = false;
    switch_to(self);
}

void thread_block(void)
{
    wait(thread_self(), false);
}
void thread_block_for(u32 what, const thread_handle_t *from)
{
    (void)what, (void)from;
    wait(thread_self(), false);
}
err_t thread_block_until(u64 deadline)
{
    struct thread *self = thread_self();
    (void)deadline;
    bool woken = self->woken;
    wait(self, true);
    return woken ? ERR_OK : ERR_TIMEOUT;
}
/* What a thread of the machine does on its way back to ring 3 looks at `killed` itself. */
bool thread_note_killed(void)
{
    return true;
}
void thread_wake(struct thread *t)
{
    if (t == &reaper.thread)
        reaper.woken = true;
    else if (t->state == THREAD_BLOCKED)
        t->state = THREAD_RUNNING; /* within its call, whose turn comes when those inside of it have ended */
    else
        t->woken = true;
}
void thread_yield(void)
{
    wait(thread_self(), true);
}
void thread_sleep_us(u64 us)
{
    (void)us;
    wait(thread_self(), true);
}

/* ---- beginning and end ---- */

err_t thread_create(cpu_t cpu, const char *name, void (*fn)(void *arg), void *arg, struct thread **out)
{
    (void)cpu, (void)name, (void)arg;
    reaper.fn = fn;
    *out = &reaper.thread;
    return ERR_OK;
}

/* As kernel/thread.c has it, but for the stack. */
err_t thread_create_user(cpu_t cpu, struct process *p, vaddr_t entry, vaddr_t stack, u64 arg,
                         struct thread **out)
{
    struct thread *t;
    paddr_t page;
    (void)arg;
    if (!HOST_CHECK(entry < SYS_USER_END && stack <= SYS_USER_END && !(stack & 15),
                    "starts at %lx, stack %lx", entry, stack))
        return ERR_INVAL;
    if (cpu >= cpu_count() || cpu_is_parked(cpu))
        return ERR_ABSENT;
    if (machine_threads == MACHINE_THREADS)
        return ERR_FULL;
    err_t e = thread_alloc(process_name(p), false, &t);
    if (e != ERR_OK)
        return e;
    t->cpu = cpu;
    e = frame_alloc_zeroed(FRAME_OWNER_KERNEL, &page);
    if (e != ERR_OK) {
        thread_put(t);
        return e;
    }
    t->user_page = phys_to_virt(page);
    process_ref(p);
    t->process = p;
    t->space = process_space(p);
    mailbox_init(t, t->user_page);
    *out = t;
    return ERR_OK;
}

void thread_start(struct thread *t)
{
    if (t == &reaper.thread)
        return;
    t->state = THREAD_READY;
    machine_thread[machine_threads++] = t;
}

void thread_kill(struct thread *t)
{
    t->killed = true;
    thread_wake(t);
}

NORETURN void thread_exit(void)
{
    struct thread *self = thread_self();
    HOST_CHECK(running && running->thread == self, "who ends is who runs");
    mailbox_close(self);
    for (u32 i = 0; i < machine_threads; i++)
        if (machine_thread[i] == self)
            machine_thread[i] = machine_thread[--machine_threads];
    self->state = THREAD_DEAD;
    thread_put(self);
    longjmp(running->end, 1);
}

err_t thread_move(struct thread *t, cpu_t to)
{
    if (to >= cpu_count() || cpu_is_parked(to))
        return ERR_ABSENT;
    t->cpu = to;
    if (t == thread_self())
        switch_to(t);
    return ERR_OK;
}

static void reap(void)
{
    drain();
    while (reaper.woken) {
        reaper.woken = false;
        reaper.at_work = true;
        if (!setjmp(reaper.end))
            reaper.fn(NULL);
        reaper.at_work = false;
    }
}

/* f NULL: it is killed on its way. */
static bool run(struct thread *t, struct trap_frame *f)
{
    struct running r = {.outer = running, .thread = t};
    volatile bool alive = false;
    HOST_CHECK(t->state == THREAD_READY, "thread %x is in state %u", t->handle, t->state);
    running = &r;
    switch_to(t);
    t->state = THREAD_RUNNING;
    if (!setjmp(r.end)) {
        if (f && !t->killed) {
            irq_disable();
            syscall_dispatch(f);
            HOST_CHECK(!irq_enabled() && thread_self() == t, "the way back to ring 3 is another");
        }
        irq_enable();
        if (t->killed || !f)
            process_thread_exit(STATUS_KILLED);
        t->state = THREAD_READY;
        alive = true;
    }
    irq_enable();
    running = r.outer;
    if (running)
        switch_to(running->thread);
    reap();
    return alive;
}

bool machine_call(struct thread *t, struct trap_frame *f)
{
    return run(t, f);
}

static bool nothing(void)
{
    return false;
}

void machine_end_all(void)
{
    machine_step = nothing;
    while (machine_threads)
        run(machine_thread[machine_threads - 1], NULL);
}

/* ---- memory of ring 3 ---- */

struct space *space_running(void)
{
    return machine_cpu[host_cpu_index].loaded;
}
bool shootdown_user_open(void)
{
    bool was_closed = this_cpu(shootdown_user_closed);
    this_cpu(shootdown_user_closed) = false;
    return was_closed;
}

bool machine_user_byte(struct thread *t, vaddr_t va, bool write)
{
    u64 pa;
    bool nomem;
    switch_to(t);
    bool ok = machine_use(t->cpu, t->space, va, write, &pa, &nomem);
    if (running)
        switch_to(running->thread);
    return ok;
}

/* Which of the two is ring 3's: addresses of the host look like those. */
static u64 machine_copy(void *to, const void *from, vaddr_t user, size_t bytes)
{
    struct space *s = space_running();
    bool write = (vaddr_t)to == user;
    u8 *kernel = write ? (u8 *)(uintptr_t)from : to;
    HOST_CHECK(user < SYS_USER_END && bytes <= SYS_USER_END - user, "the kernel goes to %lx for ring 3",
               user);
    HOST_CHECK(irq_enabled() && !s->at_work, "memory of ring 3 is touched where that may wait");
    HOST_CHECK(!shootdown_user_is_closed(), "memory of ring 3 is touched where flushes are put off");
    while (bytes) {
        u64 pa, n = MIN(bytes, PAGE_SIZE - (user & (PAGE_SIZE - 1)));
        bool nomem;
        if (!machine_use(host_cpu_index, s, user, write, &pa, &nomem))
            return EXC_PAGE_FAULT;
        u8 *at = host_phys_to_virt(PADDR(pa));
        memcpy(write ? at : kernel, write ? kernel : at, n);
        kernel += n;
        user += n;
        bytes -= n;
    }
    return 0;
}
/* The last step of the copies is the machine's; their checks are the kernel's. */
#define uaccess_copy(to, from, bytes) machine_copy(to, from, user, bytes)
#include "kernel/uaccess.c"
#undef uaccess_copy
u64 uaccess_peek(void *to, const void *from, size_t bytes)
{
    (void)to, (void)from, (void)bytes;
    return EXC_PAGE_FAULT;
}

/* ---- the rest of the kernel ---- */

u64 tsc_from_us(u64 us)
{
    return us * 1000;
}
u64 tsc_to_ns(u64 ticks)
{
    return ticks;
}
u64 clock_ns(void)
{
    return 1;
}
void topology_init(void) {}
struct topology topology_of(cpu_t cpu)
{
    return (struct topology){.core = cpu};
}
const struct counter *counter_find(const char *name)
{
    (void)name;
    return &counter_entry_shootdown_word_flushes;
}
u64 counter_sum(const struct counter *c)
{
    (void)c;
    return 7;
}
bool process_fault(struct trap_frame *f, vaddr_t address)
{
    (void)f, (void)address;
    return false;
}

static const struct shootdown_policy first = {.name = "first"}, broken = {.name = "broken", .control = true};
static const struct shootdown_policy *in_force = &first;
static const struct shootdown_policy *const policy_entries[]
    __attribute__((used, section(TABLE_SECTION(policy, first)))) = {&broken, &first};
const struct shootdown_policy *shootdown_policy(void)
{
    return in_force;
}
err_t shootdown_policy_set(const char *name)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (strcmp(p->name, name) == 0) {
            if (p->control)
                return ERR_UNSUPPORTED;
            in_force = p;
            return ERR_OK;
        }
    return ERR_ABSENT;
}

err_t space_create(struct space **out)
{
    *out = machine_space();
    return *out ? ERR_OK : ERR_NOMEM;
}
void space_destroy(struct space *s)
{
    machine_space_end(s);
}

static const struct program program = {.name = "fuzzed"};
void programs_init(const struct boot_info *boot)
{
    (void)boot;
}
const struct program *program_find(const char *name)
{
    (void)name;
    return &program;
}
err_t process_map_image(struct process *p)
{
    vaddr_t at;
    return region_map(p->space, 0x400000, 4 * PAGE_SIZE, PT_USER | PT_EXEC, REGION_FIXED, PT_4K, &at);
}
err_t process_map_stack(struct process *p, u32 *slot)
{
    (void)p, (void)slot;
    return ERR_FULL; /* threads of programs bring their own */
}
void process_unmap_stack(struct process *p, u32 slot)
{
    HOST_CHECK(false, "process %u has no stack %u", p->number, slot);
}

void *kmap_pages(u64 n, u16 owner)
{
    (void)owner;
    void *p = aligned_alloc(PAGE_SIZE, n * PAGE_SIZE);
    return memset(p, 0, n * PAGE_SIZE);
}
vaddr_t kmap_reserve(u64 pages)
{
    return pages * PAGE_SIZE; /* not 0, and touched by nobody */
}
void kmap_guard_area(vaddr_t start, u64 stride, u32 count, const char *name)
{
    (void)start, (void)stride, (void)count, (void)name;
}

/* ---- start ---- */

void syscall_machine_start(void)
{
    u64 bytes = ALIGN_UP((u64)(__stop_percpu - __start_percpu), 64ul);
    for (cpu_t c = 0; c < HOST_CPUS; c++) {
        host_percpu_block[c] = aligned_alloc(64, bytes);
        memcpy(host_percpu_block[c], __start_percpu, (u64)(__stop_percpu - __start_percpu));
    }
    machine_start();
    machine_init(MACHINE_CPUS);
    tsc_hz = 1000000000;
    thread_table_init();
    thread_reaper_start();
    process_init(NULL);
}

struct process *syscall_machine_process(void)
{
    struct process *p;
    thread_handle_t h;
    host_cpu_index = 0;
    irq_enable();
    if (process_create("fuzzed", &p) != ERR_OK)
        return NULL;
    err_t e = process_thread_start(p, 0, 0x400000, 0, 0, &h);
    process_unref(p); /* its threads keep it */
    reap();
    return e == ERR_OK ? p : NULL;
}
