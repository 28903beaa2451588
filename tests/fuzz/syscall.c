/* System calls with whatever arguments, by threads of several processes on four CPUs, to the kernel's own dispatch, checks, processes, regions,
 * mailboxes and messages (tests/host/syscall_machine.h).
 *
 * An input is a sequence of calls: who makes it, its number, and how each register is made up. After each call the answer has to be one that
 * docs/system-calls.md allows, registers are as before, nobody is over a limit, no region or page is what ring 3 must not have, no CPU
 * has anything cached that the tables do not say, and what failed has changed nothing. In the end all memory comes back.
 *
 *     sources: tests/host/syscall_machine.c tests/host/region_machine.c tests/host/phys.c
 *     sources: kernel/syscall.c kernel/syscall_info.c kernel/syscall_space.c kernel/syscall_thread.c kernel/syscall_message.c
 *     sources: kernel/process.c kernel/process_thread.c kernel/process_wait.c kernel/mailbox.c kernel/thread_table.c
 *     sources: smp/message.c smp/deliver.c smp/send.c smp/drain.c smp/wait.c smp/cpus.c
 *     sources: mm/region.c mm/region_table.c mm/region_fault.c mm/region_unmap.c mm/region_clone.c mm/region_move.c mm/space_ops.c
 *     sources: mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c mm/pt_leaf.c
 *     sources: mm/frame.c mm/frame_init.c mm/frame_buddy.c mm/frame_cache.c mm/frame_map.c
 *     flags: -DHOST_PERCPU_BLOCKS -Wno-missing-field-initializers
 */
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/region_internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/host/phys.h"
#include "tests/host/syscall_machine.h"

#define CALLS_MAX  96u /* of an input */
#define DEPTH_MAX  6u
#define HANDLES    8u
#define BASE       0x200000000000ull /* where most addresses lie, so that calls meet */
#define PAGES_HERE 128u              /* there; the first half is memory of the first process */

static struct {
    const u8 *at, *end;
    u32 calls;
    u64 result;          /* of the last call */
    u64 handle[HANDLES]; /* that calls have returned */
    u32 handles;
} in;

static u8 byte(void)
{
    return in.at < in.end ? *in.at++ : 0;
}

static u64 raw(u32 bytes)
{
    u64 v = 0;
    while (bytes--)
        v = v << 8 | byte();
    return v;
}

/* ---- registers ---- */

/* What the first three registers and R10 mean to a call, by a letter each: address, bytes, flags, rights, pointer, length, handle, CPU, entry, time,
 * word. */
static const char shape[SYS_CALLS][5] = {
    [SYS_LOG] = "pl",
    [SYS_CLOCK] = "p",
    [SYS_CPUS] = "cp",
    [SYS_MAP] = "abf",
    [SYS_UNMAP] = "ab",
    [SYS_PROTECT] = "abr",
    [SYS_REMAP] = "aba",
    [SYS_DISCARD] = "ab",
    [SYS_HARVEST] = "abp",
    [SYS_THREAD_CREATE] = "eawc",
    [SYS_THREAD_EXIT] = "w",
    [SYS_THREAD_SLEEP] = "t",
    [SYS_THREAD_MOVE] = "hc",
    [SYS_THREAD_JOIN] = "hp",
    [SYS_PROCESS_CLONE] = "eawc",
    [SYS_PROCESS_EXIT] = "w",
    [SYS_SEND] = "hww",
    [SYS_RECEIVE] = "t",
    [SYS_CALL] = "hww",
    [SYS_REPLY] = "hww",
    [SYS_POLICY] = "pl",
    [SYS_STATS] = "p",
};

static u64 meant(char what)
{
    u8 v = byte();
    switch (what) {
    case 'a':
        return BASE + v % PAGES_HERE * PAGE_SIZE;
    case 'b':
        return v & 1 ? (v % 16 + 1) * PAGE_SIZE : v % PAGES_HERE * PAGE_SIZE;
    case 'f':
        return SYS_MAP_FIXED | (v & ~(u64)SYS_MAP_LARGE);
    case 'r':
        return v % 3;
    case 'p':
        return BASE + v * 61;
    case 'h':
        return in.handle[v % HANDLES];
    case 'c':
        return v & 8 ? SYS_ANY_CPU : v % (MACHINE_CPUS + 1);
    case 'e':
        return 0x400000 + v;
    case 't':
        return v & 1 ? SYS_FOREVER : v / 2;
    default:
        return v;
    }
}

/* Half of them as the call wants them, half made up. */
static u64 argument(char what)
{
    u8 kind = byte();
    if (kind & 0x80 && what)
        return meant(what);
    switch (kind % 16) {
    case 0:
        return kind / 16;
    case 1:
    case 2:
    case 3: /* an address where others are */
        return BASE + byte() % PAGES_HERE * PAGE_SIZE;
    case 4:
    case 5:
    case 6: /* some pages */
        return (byte() % 16 + 1) * PAGE_SIZE;
    case 7:
        return in.handle[byte() % HANDLES];
    case 8:
        return in.result;
    case 9: /* the end of what ring 3 may use, and of the half */
        return SYS_USER_END + (s8)byte() * (kind & 16 ? PAGE_SIZE : 1);
    case 10: /* not canonical, or the kernel's */
        return (kind & 16 ? 0x0000800000000000ull : 0xffff800000000000ull) + raw(2);
    case 11: /* large pages */
        return kind & 16 ? ALIGN_UP(BASE, 2 * MIB) + byte() % 4 * 2 * MIB : (byte() % 3 + 1) * 2 * MIB;
    case 12:
        return ~(u64)byte();
    case 13:
        return 1ull << byte() % 64;
    case 14:
        return raw(8);
    default: /* within a page */
        return BASE + raw(2);
    }
}

/* ---- what may be answered ---- */

#define E(name) (1u << SYS_ERR_##name)
#define PAGES   (E(INVAL) | E(RANGE) | E(NOMEM) | E(FULL))
#define START   (E(RANGE) | E(INVAL) | E(ABSENT) | E(FULL) | E(NOMEM))
static const u32 errors[SYS_CALLS] = {
    [SYS_LOG] = E(RANGE) | E(FAULT),
    [SYS_CLOCK] = E(FAULT),
    [SYS_CPUS] = E(ABSENT) | E(FAULT),
    [SYS_MAP] = PAGES | E(EXIST),
    [SYS_UNMAP] = PAGES,
    [SYS_PROTECT] = PAGES | E(ABSENT),
    [SYS_REMAP] = PAGES | E(ABSENT) | E(EXIST),
    [SYS_DISCARD] = E(INVAL) | E(RANGE) | E(ABSENT) | E(NOMEM),
    [SYS_HARVEST] = E(INVAL) | E(RANGE) | E(ABSENT) | E(FAULT),
    [SYS_THREAD_CREATE] = START,
    [SYS_THREAD_SLEEP] = E(RANGE),
    [SYS_THREAD_MOVE] = E(ABSENT) | E(PERM),
    [SYS_THREAD_JOIN] = E(INVAL) | E(ABSENT) | E(PERM) | E(FAULT),
    [SYS_PROCESS_CLONE] = START,
    [SYS_SEND] = E(ABSENT) | E(FULL),
    [SYS_RECEIVE] = E(TIMEOUT) | E(RANGE),
    [SYS_CALL] = E(ABSENT) | E(FULL) | E(INVAL),
    [SYS_REPLY] = E(ABSENT),
    [SYS_POLICY] = E(ABSENT) | E(UNSUPPORTED) | E(FAULT),
    [SYS_STATS] = E(FAULT),
};

/* Where a call is given memory of ring 3, that it touches when it succeeds. */
static u64 pointed_at(const struct trap_frame *f, u64 *bytes)
{
    switch (f->rax) {
    case SYS_LOG:
        *bytes = f->rsi;
        return f->rdi;
    case SYS_CLOCK:
        *bytes = sizeof(struct sys_clock);
        return f->rdi;
    case SYS_STATS:
        *bytes = sizeof(struct sys_stats);
        return f->rdi;
    case SYS_CPUS:
        *bytes = f->rsi ? sizeof(struct sys_cpu) : 0;
        return f->rsi;
    case SYS_THREAD_JOIN:
        *bytes = f->rsi ? sizeof(s64) : 0;
        return f->rsi;
    case SYS_HARVEST:
        *bytes = f->rsi / PAGE_SIZE;
        return f->rdx;
    case SYS_MAP:
    case SYS_UNMAP:
    case SYS_PROTECT:
    case SYS_DISCARD:
        *bytes = f->rsi;
        return f->rdi;
    case SYS_THREAD_CREATE:
    case SYS_PROCESS_CLONE:
        *bytes = 1;
        return f->rdi;
    default:
        *bytes = 0;
        return 0;
    }
}

static bool returns_message(u64 call)
{
    return call == SYS_RECEIVE || call == SYS_CALL;
}

static void check_answer(const struct trap_frame *was, const struct trap_frame *f)
{
    u64 call = was->rax, bytes, at = pointed_at(was, &bytes);
    s64 r = (s64)f->rax;
    if (call >= SYS_CALLS) {
        FUZZ_CHECK(r == -SYS_ERR_NOSYS, "there is no call %lu, and it returned %ld", call, r);
    } else if (r < 0) {
        FUZZ_CHECK(r > -32 && (errors[call] >> -r & 1), "call %lu returned %ld, which it does not document",
                   call, r);
    } else {
        FUZZ_CHECK(!bytes || (at < SYS_USER_END && bytes <= SYS_USER_END - at),
                   "call %lu took %lx bytes at %lx", call, bytes, at);
        if (call == SYS_MAP)
            FUZZ_CHECK((u64)r >= USER_START && (u64)r <= SYS_USER_END - was->rsi && !(r & (PAGE_SIZE - 1)),
                       "mapped at %lx", r);
    }
    bool words = returns_message(call) && r == 0;
    FUZZ_CHECK(f->rbx == was->rbx && f->rbp == was->rbp && f->r13 == was->r13 && f->r14 == was->r14 &&
                   f->r15 == was->r15 && f->rip == was->rip && f->rsp == was->rsp && f->cs == was->cs &&
                   f->rflags == was->rflags && f->ss == was->ss,
               "call %lu changed registers", call);
    FUZZ_CHECK(words || (f->rdi == was->rdi && f->rsi == was->rsi && f->r8 == was->r8 && f->r9 == was->r9 &&
                         f->r10 == was->r10 && f->r12 == was->r12 &&
                         (f->rdx == was->rdx || call == SYS_THREAD_SELF)),
               "call %lu changed registers of its arguments", call);
}

/* ---- what has to hold ---- */

static void check_space(const struct space *s)
{
    const struct region_table *t = s->regions;
    FUZZ_CHECK(s->frames <= s->frames_max, "%lu frames of at most %lu", s->frames, s->frames_max);
    FUZZ_CHECK(!s->at_work, "its lock is free");
    for (u32 i = 0; t && i < t->count; i++) {
        const struct region *r = &t->r[i];
        u64 page = 1ull << r->page_size;
        FUZZ_CHECK(r->start < r->end && r->start >= USER_START && r->end <= SYS_USER_END &&
                       !((r->start | r->end) & (PAGE_SIZE - 1)) && (!i || t->r[i - 1].end <= r->start),
                   "region %lx to %lx", r->start, r->end);
        FUZZ_CHECK((r->prot & (PT_WRITE | PT_EXEC)) != (PT_WRITE | PT_EXEC) && r->prot & PT_USER &&
                       page <= 2 * MIB,
                   "rights %x of %lx", r->prot, r->start);
        /* Its first page and its last. */
        for (u32 k = 0; k < 2; k++) {
            struct phys_translation tr = phys_walk(s->pt.root.v, k ? r->end - PAGE_SIZE : r->start);
            FUZZ_CHECK(!tr.present || (tr.user && !(tr.write && tr.exec) &&
                                       (r->prot & PT_WRITE || !tr.write) && (r->prot & PT_EXEC || !tr.exec)),
                       "a page of %lx has more rights than its region", r->start);
        }
    }
    FUZZ_CHECK(!t || t->count <= REGIONS_MAX, "%u regions", t->count);
    FUZZ_CHECK(!phys_walk(s->pt.root.v, SYS_USER_END).present && !phys_walk(s->pt.root.v, 0).present,
               "the half's first or last page is mapped");
}

static void check_all(void)
{
    for (u32 i = 0; i < machine_threads; i++) {
        struct process *p = machine_thread[i]->process;
        FUZZ_CHECK(process_threads(p) <= PROCESS_THREADS_MAX, "%u threads", process_threads(p));
        check_space(process_space(p));
    }
    FUZZ_CHECK(process_count() <= PROCESS_MAX, "%u processes", process_count());
    machine_check();
}

/* ---- a call ---- */

/* All or nothing, by the documentation. */
static bool is_atomic(u64 call)
{
    return call == SYS_MAP || call == SYS_UNMAP || call == SYS_PROTECT || call == SYS_REMAP ||
           call == SYS_DISCARD;
}

static bool step(void)
{
    static struct region_table before[DEPTH_MAX + 1];
    u32 ready = 0, depth = machine_depth;
    if (in.at >= in.end || in.calls >= CALLS_MAX || depth > DEPTH_MAX)
        return false;
    struct thread *able[MACHINE_THREADS];
    for (u32 i = 0; i < machine_threads; i++)
        if (machine_thread[i]->state == THREAD_READY)
            able[ready++] = machine_thread[i];
    if (!ready)
        return false;
    in.calls++;
    struct thread *t = able[byte() % ready];
    struct space *s = t->space;
    thread_handle_t handle = t->handle;
    u8 number = byte();
    if (number == 0xee) { /* memory is out, or a table full, when somebody asks for the Nth time */
        fail.left = byte() % 8 + 1;
        return true;
    }
    if (number >= 0xf0) { /* ring 3 uses its memory */
        (void)machine_user_byte(t, BASE + byte() % PAGES_HERE * PAGE_SIZE, number & 1);
        return true;
    }
    struct trap_frame f = {.rbx = 1, .rbp = 2, .r13 = 3, .r14 = 4, .r15 = 5, .rip = 6, .rsp = 7, .cs = 8};
    f.rax = number == 0xef ? raw(8) : number % (SYS_CALLS + 2u);
    const char *want = f.rax < SYS_CALLS ? shape[f.rax] : "";
    u64 *const reg[4] = {&f.rdi, &f.rsi, &f.rdx, &f.r10};
    for (u32 i = 0, n = (u32)strlen(want); i < 4; i++)
        *reg[i] = argument(i < n ? want[i] : 0);
    f.r8 = f.r9 = f.r12 = in.calls;
    struct trap_frame was = f;
    bool none = !s->regions;
    if (!none)
        before[depth] = *s->regions;
    bool is_new = f.rax == SYS_THREAD_CREATE || f.rax == SYS_PROCESS_CLONE || f.rax == SYS_THREAD_SELF;
    if (machine_call(t, &f)) {
        FUZZ_CHECK(t->handle == handle, "a thread that goes on has the same handle");
        check_answer(&was, &f);
        if (is_atomic(was.rax) && (s64)f.rax < 0 && s->regions)
            FUZZ_CHECK(
                none ? s->regions->count == 0
                     : s->regions->count == before[depth].count &&
                           !memcmp(s->regions->r, before[depth].r, s->regions->count * sizeof(struct region)),
                "call %lu failed with %ld, and has changed regions", was.rax, (s64)f.rax);
        in.result = f.rax;
        if (is_new && (s64)f.rax > 0)
            in.handle[in.handles++ % HANDLES] = f.rax;
    }
    check_all();
    return true;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static bool started;
    if (!started) {
        syscall_machine_start();
        frame_cache_use(false); /* what comes from the caches is never refused */
    }
    started = true;
    u64 frames = machine_free_frames(), threads = thread_count();
    memset(&in, 0, sizeof(in));
    in.at = data;
    in.end = data + size;
    machine_step = step;
    vaddr_t at;
    struct process *p = syscall_machine_process();
    FUZZ_CHECK(p && syscall_machine_process(), "two processes to begin with");
    FUZZ_CHECK(region_map(process_space(p), BASE, PAGES_HERE / 2 * PAGE_SIZE, PT_USER | PT_WRITE, REGION_ZERO,
                          PT_4K, &at) == ERR_OK,
               "the first has some memory");
    for (u32 i = 0; i < machine_threads; i++)
        in.handle[in.handles++] = machine_thread[i]->handle;
    while (step())
        ;
    fail.left = 0;
    machine_end_all();
    FUZZ_CHECK(process_count() == 0 && thread_count() == threads, "%u processes and %u threads are left",
               process_count(), thread_count());
    FUZZ_CHECK(machine_free_frames() == frames, "%ld frames are lost", (s64)(frames - machine_free_frames()));
    FUZZ_CHECK(host_failures == 0, "the machine has found something");
    return 0;
}
