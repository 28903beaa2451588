/* NMIs at every instruction of the ways into the kernel and out of it: before and after SWAPGS, on ring 3's stack, before SYSRET and
 * IRETQ, and with page-table isolation before and after each load of a root. One CPU runs system calls in ring 3 and takes interrupts there; another one sends it NMIs, a little later each time. */
#include "apic/apic.h"
#include "kernel/abi/syscall.h"
#include "kernel/nmi.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/image.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/isolation.h"
#include "mm/pcid.h"
#include "smp/cpus.h"
#include "smp/message.h"
#include "tests/ring3.h"
#include "tests/trap_test.h"

#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define USER_GS            0x00007000dead5000ull
/* Under TCG, which hits few places however many come, fewer. */
#define NMIS             (emulator == EMULATOR_TCG ? 300u : 3000u)
#define CALLS_AT_A_TIME  400u
#define ARRIVAL_LIMIT_MS 500u
#define SWAPGS_BYTES     3u
#define GS_MOVE_BYTES    9u /* of a MOV between a register and a word of the per-CPU head */
#define CR3_MOVE_BYTES   3u
#define ENTRY_TEXT_MAX   (2 * PAGE_SIZE)

extern const char ring3_many_calls[];
extern const char syscall_entry[], syscall_entry_switch[], syscall_dispatch_return[], syscall_leave[];
extern const char trap_entry_message[], trap_entry_message_ring3[], trap_message_user_return[],
    trap_message_user_leave[], trap_user_leave[], trap_entry_raw[], syscall_pti_enter[], syscall_pti_leave[],
    syscall_pti_left[], trap_message_pti_enter[], trap_pti_leave[], trap_pti_left[];

/* Where NMIs have to have come; `last` included. */
static const struct window {
    const char *name, *first;
    u32 skip; /* bytes from `first` to where the window begins */
    const char *last;
    u32 last_skip;
    enum { ANY, WITHOUT, WITH } isolation;
} windows[] = {
    {"SYSCALL, before SWAPGS", syscall_entry, 0, syscall_entry, 0, ANY},
    {"SYSCALL, on ring 3's stack", syscall_entry, SWAPGS_BYTES, syscall_entry_switch, 0, ANY},
    {"SYSCALL, frame half built", syscall_entry_switch, 7, syscall_dispatch_return, 0, ANY},
    {"SYSRET, frame half gone", syscall_dispatch_return, 1, syscall_leave, 0, ANY},
    {"SYSRET, ring 3's GS", syscall_leave, SWAPGS_BYTES, syscall_leave, SWAPGS_BYTES, ANY},
    {"message from ring 3, before SWAPGS", trap_entry_message, 0, trap_entry_message_ring3, 0, ANY},
    {"message from ring 3, after SWAPGS", trap_entry_message_ring3, SWAPGS_BYTES, trap_message_user_return, 0,
     ANY},
    {"end of a message, before IRETQ", trap_message_user_leave, 0, trap_message_user_leave, 8, ANY},
    {"end of an interrupt, before IRETQ", trap_user_leave, 0, trap_user_leave, SWAPGS_BYTES, WITHOUT},
    {"SYSCALL, on ring 3's root", syscall_pti_enter, 0, syscall_pti_enter, GS_MOVE_BYTES, WITH},
    {"SYSCALL, root loaded, no stack", syscall_pti_enter, GS_MOVE_BYTES + CR3_MOVE_BYTES, syscall_pti_enter,
     GS_MOVE_BYTES + CR3_MOVE_BYTES, WITH},
    {"SYSRET, before the load of ring 3's root", syscall_pti_leave, 0, syscall_pti_leave, GS_MOVE_BYTES,
     WITH},
    {"SYSRET, on ring 3's root", syscall_pti_left, 0, syscall_pti_left, GS_MOVE_BYTES, WITH},
    {"message from ring 3, on its root", trap_message_pti_enter, 0, trap_message_pti_enter, GS_MOVE_BYTES + 1,
     WITH},
    {"end of an interrupt, before the load of ring 3's root", trap_pti_leave, 0, trap_pti_leave, 2, WITH},
    {"end of an interrupt, on ring 3's root", trap_pti_left, 0, trap_pti_left, 1 + SWAPGS_BYTES, WITH},
};

static struct {
    u64 hits[ARRAY_SIZE(windows)];
    u8 at[ENTRY_TEXT_MAX]; /* an NMI came there */
    u64 nmis, in_ring3, on_user_root, wrong_gs, wrong_user_gs, wrong_depth, wrong_root;
    u32 stop;
} sweep;

static void turns(u32 n)
{
    while (n--)
        __asm__ volatile("");
}

/* On which root may this NMI come, with page-table isolation? In ring 3 on that of ring 3 only, or else an entry or an exit from it has
 * left the wrong one; in the kernel not on that one, but for the entry code. */
static void note_root(const struct trap_frame *f, bool in_entry_code)
{
    bool on_user_root = this_cpu(trap_paranoid_cr3) == (isolation_user_cr3() & ~CR3_KEEP);
    sweep.on_user_root += on_user_root && !trap_is_user(f);
    sweep.wrong_root += trap_is_user(f) ? !on_user_root : on_user_root && !in_entry_code;
    sweep.wrong_root +=
        (cr3_read() & ~CR3_KEEP) == (isolation_user_cr3() & ~CR3_KEEP); /* the handler's own */
}

static bool applies(const struct window *w)
{
    return w->isolation == ANY || (w->isolation == WITH) == features.pti;
}

/* On CPU 0, in the NMI. */
static bool note(struct trap_frame *f)
{
    if (!atomic_load_relaxed(&sweep.stop) || cpu_self() != 0)
        return false;
    u64 offset = f->rip - (u64)kernel_entry_start;
    bool in_entry_code = offset < sizeof(sweep.at) && f->rip < (u64)kernel_entry_end;
    if (in_entry_code)
        sweep.at[offset] = 1;
    if (features.pti)
        note_root(f, in_entry_code);
    for (u32 i = 0; i < ARRAY_SIZE(windows); i++)
        sweep.hits[i] += f->rip >= (u64)windows[i].first + windows[i].skip &&
                         f->rip <= (u64)windows[i].last + windows[i].last_skip;
    /* An emulator that gives each CPU its turn of a few instructions lets NMIs in between turns only: other places come then if each
     * NMI takes longer than the one before. */
    turns(sweep.nmis % 7);
    sweep.in_ring3 += trap_is_user(f);
    sweep.wrong_gs += rdmsr(MSR_GS_BASE) != percpu_base[0];
    sweep.wrong_user_gs += rdmsr(MSR_KERNEL_GS_BASE) != USER_GS;
    sweep.wrong_depth += this_cpu(percpu_head.nmi_depth) != 1;
    atomic_store_relaxed(&sweep.nmis, sweep.nmis + 1);
    return true;
}
NMI_HOOK(nmi_entry, note);

/* What the NMI is to meet: nothing but system calls, or an interrupt that was sent a little earlier. */
static void disturb(u32 i)
{
    switch (i % 4) {
    case 1:
        smp_doorbell(0);
        break;
    case 2:
        apic_send_fixed(cpu_apic_id(0), VECTOR_TEST);
        break;
    case 3:
        apic_send_fixed(cpu_apic_id(0), VECTOR_RAW);
        break;
    default:
        break;
    }
}

/* Bochs has to hit all windows, and some are an instruction long: the sweep goes on until it has, or has tried for long. */
static bool go_on(u32 sent)
{
    if (sent < NMIS)
        return true;
    for (u32 i = 0; emulator == EMULATOR_BOCHS && sent < 4 * NMIS && i < ARRAY_SIZE(windows); i++)
        if (applies(&windows[i]) && !atomic_load_relaxed(&sweep.hits[i]))
            return true;
    return false;
}

static void send_nmis(void *arg)
{
    (void)arg;
    for (u32 i = 0; go_on(i); i++) {
        u64 want = atomic_load_relaxed(&sweep.nmis) + 1;
        disturb(i);
        turns(i % 131);
        apic_send_nmi(cpu_apic_id(0));
        struct wait w = WAIT("an NMI in the other CPU", wait_ms(ARRIVAL_LIMIT_MS));
        while (atomic_load_relaxed(&sweep.nmis) < want)
            if (!wait_spin(&w))
                return;
    }
}

/* In ring 3 until all NMIs have come. */
static void run_calls(struct test *t, struct ring3 *r, cpu_t sender)
{
    for (u32 run = 0; worker_busy(sender); run++) {
        struct trap_frame f = ring3_frame(r, RING3_CODE(ring3_many_calls));
        f.rax = SYS_NULL;
        f.r12 = CALLS_AT_A_TIME;
        ring3_run(r, &f);
        if (!CHECK(t, f.vector == EXC_INVALID_OPCODE && f.r12 == 0,
                   "run %u ended by %s at %llx, %llu calls left", run, trap_name(f.vector),
                   (unsigned long long)f.rip, (unsigned long long)f.r12) ||
            !CHECK(t, f.r13 == 0, "run %u: %llu of %u calls changed a register", run,
                   (unsigned long long)f.r13, CALLS_AT_A_TIME))
            return;
    }
}

static u32 distinct(void)
{
    u32 n = 0;
    for (u32 i = 0; i < sizeof(sweep.at); i++)
        n += sweep.at[i];
    return n;
}

static void check_coverage(struct test *t)
{
    u32 missed = 0, count = 0;
    for (u32 i = 0; i < ARRAY_SIZE(windows); i++) {
        if (!applies(&windows[i]))
            continue;
        count++;
        missed += !sweep.hits[i];
        /* TCG takes interrupts between translated blocks only, which end at jumps and SWAPGS. */
        if (emulator == EMULATOR_BOCHS)
            CHECK(t, sweep.hits[i], "no NMI came at: %s", windows[i].name);
    }
    test_note(t,
              "%llu NMIs at %u places of the entry code, %llu of them on ring 3's root, and %llu times in "
              "ring 3; %u of %u windows missed%s",
              (unsigned long long)sweep.nmis, distinct(), (unsigned long long)sweep.on_user_root,
              (unsigned long long)sweep.in_ring3, missed, count,
              missed && emulator != EMULATOR_BOCHS ? " (Bochs has to hit all)" : "");
}

static void nmi_in_entry_code(struct test *t)
{
    struct ring3 r;
    cpu_t sender = cpumask_next(&cpus_online, 1);
    if (sender == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    memset(&sweep, 0, sizeof(sweep));
    u64 gs = rdmsr(MSR_KERNEL_GS_BASE), cr3 = 0;
    if (ring3_open(t, &r)) {
        cr3 = cr3_read();
        wrmsr(MSR_KERNEL_GS_BASE, USER_GS);
        atomic_store_relaxed(&sweep.stop, 1);
        if (CHECK(t, worker_start(sender, send_nmis, NULL) == ERR_OK, "CPU %u takes no work", sender))
            run_calls(t, &r, sender);
        CHECK(t, worker_wait(sender, 5000) == ERR_OK, "CPU %u does not end", sender);
        atomic_store_relaxed(&sweep.stop, 0);
        CHECK(t, rdmsr(MSR_KERNEL_GS_BASE) == USER_GS, "ring 3's GS base is %llx afterwards",
              (unsigned long long)rdmsr(MSR_KERNEL_GS_BASE));
        CHECK(t, cr3_read() == cr3, "CR3 is %llx afterwards, not %llx", (unsigned long long)cr3_read(),
              (unsigned long long)cr3);
        wrmsr(MSR_KERNEL_GS_BASE, gs);
        CHECK(t, sweep.nmis >= NMIS, "%llu of %u NMIs came", (unsigned long long)sweep.nmis, NMIS);
        CHECK(t, !sweep.wrong_root, "in %llu of %llu NMIs the root was the wrong one",
              (unsigned long long)sweep.wrong_root, (unsigned long long)sweep.nmis);
        CHECK(t, !sweep.wrong_gs && !sweep.wrong_user_gs && !sweep.wrong_depth,
              "wrong in NMIs: the kernel's GS %llu times, ring 3's %llu times, the depth %llu times",
              (unsigned long long)sweep.wrong_gs, (unsigned long long)sweep.wrong_user_gs,
              (unsigned long long)sweep.wrong_depth);
        check_coverage(t);
    }
    ring3_close(&r);
}
TEST(nmi_in_entry_code, "NMIs at every step of system calls and interrupts from ring 3 lose no register, and "
                        "find the kernel's GS");
