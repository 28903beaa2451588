/* The table of processes, and their beginning and end. */
#include "kernel/process_internal.h"
#include "kernel/user_fault.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "smp/topology.h"

COUNTER(processes_created, "processes that were created, copies too");

static struct process *table[PROCESS_MAX];
static u32 used;
/* Guards the table, and every process's count of references: who finds a process in the table may refer to it. */
static spinlock_t table_lock = SPINLOCK_INIT;
static u64 frames_max = PROCESS_FRAMES_MAX;

void process_init(const struct boot_info *boot)
{
    topology_init();
    programs_init(boot);
    trap_user_fault_hook = process_fault;
    frames_max = MIN(frame_stats().free / 4, PROCESS_FRAMES_MAX);
}

u64 process_frames_max(void)
{
    return frames_max;
}

/* `max`: how many there may be, this one included. */
static err_t enter(struct process *p, u32 max)
{
    err_t e = ERR_FULL;
    if (fail_here("a place in the table of processes"))
        return e;
    spin_lock(&table_lock);
    for (u32 i = 0; used < max && i < PROCESS_MAX; i++)
        if (!table[i]) {
            table[i] = p;
            p->number = i;
            used++;
            e = ERR_OK;
            break;
        }
    spin_unlock(&table_lock);
    return e;
}

static void leave(struct process *p)
{
    table[p->number] = NULL;
    used--;
}

/* Without memory, threads or a reader: everything but its number is there to be filled. */
static err_t create(const struct program *program, u32 max, struct process **out)
{
    paddr_t frame;
    err_t e = frame_alloc_zeroed(FRAME_OWNER_KERNEL, &frame);
    if (e != ERR_OK)
        return e;
    struct process *p = phys_to_virt(frame);
    p->refs = 1;
    p->program = program;
    e = space_create(&p->space);
    if (e != ERR_OK) {
        frame_free(frame);
        return e;
    }
    p->space->frames_max = frames_max;
    e = enter(p, max);
    if (e != ERR_OK) {
        space_destroy(p->space);
        frame_free(frame);
        return e;
    }
    counter_inc(processes_created);
    *out = p;
    return ERR_OK;
}

err_t process_create_from(const struct program *program, struct process **out)
{
    struct process *p;
    if (program->state != ERR_OK) {
        log_error("program %s cannot be run: %s", program->name, program->image.why);
        return program->state;
    }
    err_t e = create(program, PROCESS_MAX, &p);
    if (e != ERR_OK)
        return e;
    e = process_map_image(p);
    if (e != ERR_OK) {
        process_unref(p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

err_t process_create(const char *program, struct process **out)
{
    const struct program *found = program_find(program);
    return found ? process_create_from(found, out) : ERR_ABSENT;
}

err_t process_clone(struct process *from, struct process **out)
{
    struct process *p;
    err_t e = create(from->program, PROCESS_CLONES_MAX, &p);
    if (e != ERR_OK)
        return e;
    e = region_clone(from->space, p->space);
    if (e != ERR_OK) {
        process_unref(p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

/* Nobody refers to it: no thread is left, and CPUs that still have its root loaded only borrow it. */
static void destroy(struct process *p)
{
    ASSERT(p->live == 0, "each thread refers to its process");
    region_destroy_all(p->space);
    for (u32 i = 0; i < p->share_count; i++) {
        frame_free(p->share[i].block);
        space_uncharge(p->space, 1ull << p->share[i].order);
    }
    space_destroy(p->space);
    frame_free(virt_to_phys(p));
}

void process_ref(struct process *p)
{
    spin_lock(&table_lock);
    p->refs++;
    spin_unlock(&table_lock);
}

void process_unref(struct process *p)
{
    spin_lock(&table_lock);
    ASSERT(p->refs > 0, "more references were given back than taken");
    u32 left = --p->refs;
    if (left ==
        1) { /* who waits for the others to go: under the lock, so that it cannot go itself meanwhile */
        spin_lock(&p->lock);
        process_wake(p);
        spin_unlock(&p->lock);
    } else if (left == 0) {
        leave(p);
    }
    spin_unlock(&table_lock);
    if (left == 0) {
        ASSERT_MAY_WAIT();
        destroy(p);
    }
}

struct process *process_get(u32 number)
{
    if (number >= PROCESS_MAX)
        return NULL;
    spin_lock(&table_lock);
    struct process *p = table[number];
    if (p)
        p->refs++;
    spin_unlock(&table_lock);
    return p;
}

struct space *process_space(struct process *p)
{
    return p->space;
}

const char *process_name(const struct process *p)
{
    return p->program->name;
}

u32 process_number(const struct process *p)
{
    return p->number;
}

u32 process_threads(const struct process *p)
{
    return atomic_load_relaxed(&p->live);
}

u32 process_faults(const struct process *p)
{
    return atomic_load_relaxed(&p->faults);
}

u32 process_count(void)
{
    return atomic_load_relaxed(&used);
}

const struct program *process_program(const struct process *p)
{
    return p->program;
}
