#include "kernel/fault_alloc.h"

#include "kernel/backtrace.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/region.h"
#include "smp/message.h"

#define LIMIT_MS 10000u /* hang detector */

static struct {
    const char *what;
    cpu_t cpu;
    struct backtrace trace;
} refused; /* written by the one CPU whose allocation it was, read when it has been disarmed */

static void note_refused(const char *what)
{
    refused.what = what;
    refused.cpu = cpu_self();
    backtrace_capture((u64)__builtin_return_address(0), 0, *(u64 *)__builtin_frame_address(0),
                      &refused.trace);
}

static void use_cache(struct msg_in *in)
{
    frame_cache_use(in->word[0]);
}
MSG_KIND(fault_alloc_cache, use_cache);

static void use_caches(bool use)
{
    cpumask_t all;
    cpumask_clear(&all);
    cpumask_snapshot(&all, &cpus_online);
    err_t e = msg_call_mask(&all, &(struct msg){.kind = &fault_alloc_cache, .word = {use}});
    ASSERT(e == ERR_OK, "every CPU that is online answers");
}

void fault_alloc_begin(void)
{
    fail.hook = note_refused;
    use_caches(false);
}

void fault_alloc_end(void)
{
    use_caches(true);
    fail.hook = NULL;
}

static u64 refused_before;

void fault_alloc_arm(u64 n)
{
    refused_before = atomic_load_relaxed(&fail.refused);
    atomic_store_relaxed(&fail.left, n);
}

bool fault_alloc_disarm(void)
{
    atomic_store_relaxed(&fail.left, 0);
    return atomic_load_relaxed(&fail.refused) != refused_before;
}

void fault_alloc_report(void)
{
    print("  refused on CPU %u: %s, for\n", refused.cpu, refused.what);
    backtrace_write(&refused.trace);
}

/* ---- what asks for memory, one after another until something is refused ---- */

static struct space *first, *second;

static err_t new_space(void)
{
    return space_create(&first);
}

static err_t new_region(void)
{
    vaddr_t at;
    return region_map(first, GIB, 8 * PAGE_SIZE, PT_WRITE | PT_USER, REGION_ZERO, PT_4K, &at);
}

static err_t new_pages(void)
{
    return region_populate(first, GIB, GIB + 8 * PAGE_SIZE);
}

static err_t new_copy(void)
{
    err_t e = space_create(&second);
    return e == ERR_OK ? region_clone(first, second) : e;
}

/* Pinned to this CPU, it has not run by the time that it is killed. */
static err_t new_process(void)
{
    struct process *p;
    thread_handle_t h;
    if (!program_count())
        return ERR_OK;
    err_t e = process_create_from(program_at(0), &p);
    if (e != ERR_OK)
        return e;
    e = process_start(p, cpu_self(), 0, &h);
    process_kill(p);
    err_t ended = process_wait(p, LIMIT_MS, NULL);
    process_unref(p);
    return e != ERR_OK ? e : ended;
}

static const struct {
    const char *what;
    err_t (*fn)(void);
} steps[] = {
    {"space_create", new_space}, {"region_map", new_region}, {"region_populate", new_pages},
    {"region_clone", new_copy},  {"a process", new_process},
};

static void destroy(struct space **s)
{
    if (!*s)
        return;
    region_destroy_all(*s);
    space_destroy(*s);
    *s = NULL;
}

static u64 free_frames(void)
{
    thread_trim();
    shootdown_settle(NULL, 0);
    return frame_stats().free;
}

void fault_alloc(u64 n)
{
    err_t e = ERR_OK;
    u32 step = 0;
    fault_alloc_begin();
    u64 before = free_frames();
    fault_alloc_arm(n);
    while (step < ARRAY_SIZE(steps) && (e = steps[step].fn()) == ERR_OK)
        step++;
    bool was_refused = fault_alloc_disarm();
    destroy(&second);
    destroy(&first);
    struct wait w = WAIT("the thread that was killed to be gone", wait_ms(LIMIT_MS));
    while (free_frames() != before)
        if (thread_yield(), !wait_spin(&w))
            panic("fault=alloc: %lld frames are not given back",
                  (long long)before - (long long)free_frames());
    fault_alloc_end();
    if (!was_refused) {
        log_info("fault=alloc: survived: nothing was refused, as all of it takes fewer than %llu allocations",
                 (unsigned long long)n);
        return;
    }
    if (step == ARRAY_SIZE(steps) || (e != ERR_NOMEM && e != ERR_FULL))
        panic("fault=alloc: allocation %llu was refused, and yet all ended with: %s", (unsigned long long)n,
              err_name(e));
    log_info("fault=alloc: survived: allocation %llu was refused, %s said: %s, and every frame came back",
             (unsigned long long)n, steps[step].what, err_name(e));
    fault_alloc_report();
}
