/* Memory as other CPUs see it: store buffers (x86 TSO).
 *
 * A store is written to memory at once, so that its own CPU sees it however it looks; what the other CPUs see until it drains, in order
 * with the stores before and behind it, is kept in the buffer. LOCKed operations, fences, flushes, control registers and IRET drain;
 * so does a PAUSE, since no store stays in a buffer for ever. Otherwise it is the scheduler's choice. */
#include "tests/sim/machine.h"
#include "tests/sim/std.h"

static u64 read_memory(const volatile void *p, u32 size)
{
    switch (size) {
    case 1:
        return *(const volatile u8 *)p;
    case 2:
        return *(const volatile u16 *)p;
    case 4:
        return *(const volatile u32 *)p;
    default:
        return *(const volatile u64 *)p;
    }
}

static void write_memory(volatile void *p, u32 size, u64 v)
{
    switch (size) {
    case 1:
        *(volatile u8 *)p = (u8)v;
        break;
    case 2:
        *(volatile u16 *)p = (u16)v;
        break;
    case 4:
        *(volatile u32 *)p = (u32)v;
        break;
    default:
        *(volatile u64 *)p = v;
    }
}

static u64 mask_of(u32 size)
{
    return size == 8 ? ~0ull : (1ull << size * 8) - 1;
}

static struct sim_cpu *self(void)
{
    return &sim_cpus[sim.now];
}

u64 sim_global_value(const struct sim_cpu *viewer, const volatile void *p, u32 size)
{
    for (cpu_t c = 0; c < sim.cpus; c++) {
        const struct sim_cpu *other = &sim_cpus[c];
        if (other == viewer)
            continue;
        for (u32 i = 0; i < other->buffered; i++)
            if (other->buffer[i].addr == p && other->buffer[i].size == size)
                return other->buffer[i].old;
    }
    return read_memory(p, size);
}

static void drain_one(struct sim_cpu *c)
{
    struct sim_pending done = c->buffer[0];
    c->buffered--;
    memmove(&c->buffer[0], &c->buffer[1], c->buffered * sizeof(c->buffer[0]));
    sim_changed();
    if (sim_tracing)
        sim_trace((cpu_t)(c - sim_cpus), "  (the store to %s becomes visible)", sim_symbol(done.addr));
    if (done.user) {
        struct frame *f = sim_frame(SIM_PHYS_BASE + (u64)(done.addr - sim_phys.memory));
        if (f->generation != done.generation)
            sim_fail("a store of CPU %u through an old translation reached the frame's new owner: it was "
                     "still in the store buffer",
                     (cpu_t)(c - sim_cpus));
        return;
    }
    if (sim.lines_on)
        sim_line_access((cpu_t)(c - sim_cpus), done.addr, true);
    sim_after_entry_write(done.addr);
}

void sim_drain(struct sim_cpu *c, u32 count)
{
    while (count-- && c->buffered)
        drain_one(c);
}

/* Somebody else is about to write p: whatever is on its way there arrives first. */
static void drain_others(const volatile void *p)
{
    for (cpu_t c = 0; c < sim.cpus; c++)
        for (u32 i = sim_cpus[c].buffered; c != sim.now && i > 0; i--)
            if (sim_cpus[c].buffer[i - 1].addr == p)
                sim_drain(&sim_cpus[c], i);
}

static void push(volatile void *p, u32 size, u64 old, bool user, u32 generation)
{
    struct sim_cpu *c = self();
    if (c->buffered == SIM_BUFFER)
        drain_one(c);
    c->buffer[c->buffered++] = (struct sim_pending){
        .addr = (u8 *)p, .size = size, .old = old, .user = user, .generation = generation};
}

static void store(volatile void *p, u32 size, u64 v)
{
    drain_others(p);
    sim_before_entry_write(p);
    u64 old = read_memory(p, size);
    write_memory(p, size, v);
    if (!sim.running) {
        sim_after_entry_write(p);
        return;
    }
    push(p, size, old, false, 0);
}

void sim_user_store(u8 *addr, u32 generation)
{
    if (sim.running)
        push(addr, 1, 0, true, generation);
}

u64 sim_load(const volatile void *p, u32 size, const char *where)
{
    sim_step(STEP_SHARED, p, false, "load", where);
    if (sim.lines_on)
        sim_line_access(sim.now, p, false);
    return sim_global_value(self(), p, size);
}

void sim_store(volatile void *p, u32 size, u64 v, const char *where)
{
    sim_step(STEP_SHARED, p, true, "store", where);
    store(p, size, v);
}

static void write_locked(volatile void *p, u32 size, u64 old, u64 v)
{
    if (sim.lines_on)
        sim_line_access(sim.now, p, true);
    if (old == v)
        return;
    sim_before_entry_write(p);
    write_memory(p, size, v);
    sim_changed();
    sim_after_entry_write(p);
}

static u64 take_locked(volatile void *p, u32 size)
{
    sim_drain(self(), SIM_BUFFER);
    drain_others(p);
    return read_memory(p, size);
}

u64 sim_rmw(enum sim_rmw op, volatile void *p, u32 size, u64 v, const char *where)
{
    static const char *const names[] = {"LOCK xchg", "LOCK add", "LOCK sub", "LOCK or", "LOCK and"};
    sim_step(STEP_SHARED, p, true, names[op], where);
    u64 old = take_locked(p, size), new = v;
    switch (op) {
    case SIM_XCHG:
        break;
    case SIM_ADD:
        new = old + v;
        break;
    case SIM_SUB:
        new = old - v;
        break;
    case SIM_OR:
        new = old | v;
        break;
    case SIM_AND:
        new = old &v;
        break;
    }
    write_locked(p, size, old, new &mask_of(size));
    return old;
}

bool sim_cmpxchg(volatile void *p, void *expected, u32 size, u64 v, bool locked, const char *where)
{
    sim_step(STEP_SHARED, p, true, locked ? "LOCK cmpxchg" : "cmpxchg", where);
    u64 wanted = read_memory(expected, size);
    u64 old = locked ? take_locked(p, size) : sim_global_value(self(), p, size);
    if (old != wanted) {
        if (sim.lines_on)
            sim_line_access(sim.now, p, true);
        write_memory(expected, size, old);
        return false;
    }
    if (locked)
        write_locked(p, size, old, v & mask_of(size));
    else
        store(p, size, v);
    return true;
}

void sim_fence(const char *where)
{
    sim_step(STEP_LOCAL, NULL, false, "fence", where);
    sim_drain(self(), SIM_BUFFER);
}
