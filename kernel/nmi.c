/* The NMI handler.
 *
 * While a CPU handles an NMI it holds back further ones, one of them remembered, until the next IRET (SDM volume 3A,
 * section 6.7.1). Any IRET: also that of an exception which the handler raised. A second NMI would then start at the
 * top of the same IST stack and overwrite the first one's frame, and the first could not return. So the only IRET
 * here is the last instruction of the entry path, and nothing in between may raise an exception that returns:
 *
 *   - the stack is the CPU's own and mapped; code, per-CPU data and message lines are kernel mappings, which are
 *     never taken away; user memory is only touched after nmi_user_access_ok();
 *   - no access that needs the exception table but peek_user (kernel/uaccess.h), no breakpoint, no lock, no log, no wait;
 *   - a page fault in peek_user returns without IRET (trap_entry.asm, trap_return_without_iret);
 *   - kernel/exception.c makes a panic of any other exception while nmi_depth is raised, and a panic does not return;
 *   - the entry path returns with interrupts off and by IRETQ to kernel code or to ring 3, both of them valid.
 *
 * CR2 is kept, because the NMI may come between a page fault and its handler's first instructions.
 *
 * An NMI may also hit a CPU in its double-fault or machine-check handler, which have stacks of their own: nmi_depth
 * is 2 then. */
#include "kernel/nmi.h"

#include "apic/apic.h"
#include "kernel/backtrace.h"
#include "kernel/panic.h"
#include "kernel/stop.h"
#include "kernel/thread.h"
#include "lib/atomic.h"
#include "lib/cost.h"
#include "lib/counter.h"
#include "lib/image.h"
#include "lib/log.h"
#include "lib/patch.h"
#include "lib/percpu.h"
#include "lib/x86/cpu.h"
#include "mm/respond.h"
#include "smp/message.h"

COUNTER(nmi_taken, "NMIs handled");
COUNTER(nmi_unowned, "NMIs that nobody had asked for");
COUNTER(nmi_left_over, "NMIs whose message an NMI of another cause had taken");

/* System control port B: bit 7, memory parity (SERR#); bit 6, I/O channel check (IOCHK#). Both raise NMI. */
#define PORT_SYSTEM_CONTROL_B 0x61u
#define NMI_SOURCES           0xc0u

#define HLT_BYTES             1u
#define MWAIT_BYTES           3u

PERCPU(u64, trap_paranoid_cr3);
static PERCPU(bool, nmi_running);
static u32 unowned_count;   /* on all CPUs, since the last report */
static u32 unowned_sources; /* of port B, gathered */

void nmi_handle(struct trap_frame *f); /* called by trap_entry.asm */

/* A message that was taken in an NMI of another cause has an NMI of its own, which may still come, and then finds nothing. */
static PERCPU(bool, nmi_came_for_two);
static bool nmi_is_left_over(void)
{
    bool left = this_cpu(nmi_came_for_two);
    this_cpu(nmi_came_for_two) = false;
    if (left)
        counter_inc(nmi_left_over);
    return left;
}

/* One NMI line for many causes: each is asked, because several can have arrived as one. */
static bool handle_known(struct trap_frame *f)
{
    bool known = backtrace_answer_nmi(f);
    TABLE_FOREACH (nmi_hook, struct nmi_hook, h)
        known |= h->fn(f);
    u64 start = patch_on[PATCH_TIMES] ? rdtsc() : 0; /* no site: code is patched while NMIs come */
    this_cpu(cost_nmi_on_the_way) = 0;
    bool message = msg_drain_nmi();
    if (message && start)
        this_cpu(trap_message_ticks) = rdtsc() - start - this_cpu(cost_nmi_on_the_way);
    if (message && known)
        this_cpu(nmi_came_for_two) = true;
    return known || message || nmi_is_left_over();
}

/* Logging has to wait for a context that may take the log's lock. In xAPIC mode a command is two registers, and we
 * may stand between somebody's two writes, but only if interrupts are off there (apic/xapic.c): then the report waits
 * for the next interrupt that comes by itself. */
static void note_unowned(const struct trap_frame *f)
{
    counter_inc(nmi_unowned);
    atomic_fetch_or(&unowned_sources, in8(PORT_SYSTEM_CONTROL_B) & NMI_SOURCES);
    atomic_fetch_add(&unowned_count, 1);
    if (apic_is_usable_here() && (apic_is_x2apic || f->rflags & RFLAGS_IF))
        apic_send_fixed_self(VECTOR_DEFERRED);
}

/* STI lets no interrupt in before the HLT or MWAIT behind it, but it may let an NMI in, and our IRETQ then lets in all that is pending:
 * it would run before the halt, and what it has done would be slept through. Who halts with interrupts on looks again afterwards, since
 * any interrupt ends the halt (kernel/idle.c); so it may as well end before it begins. An instruction that was halting is behind RIP already. */
void nmi_step_over_halt(struct trap_frame *f)
{
    u64 offset = f->rip - (u64)kernel_text_start, size = (u64)(kernel_text_end - kernel_text_start);
    if (trap_is_user(f) || !(f->rflags & RFLAGS_IF) || offset > size - MWAIT_BYTES)
        return;
    const u8 *code = (const u8 *)f->rip;
    if (code[0] == 0xf4)
        f->rip += HLT_BYTES;
    else if (code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xc9)
        f->rip += MWAIT_BYTES;
}

void nmi_handle(struct trap_frame *f)
{
    stop_if_asked_nmi(f);
    ASSERT(!this_cpu(nmi_running), "an NMI came inside an NMI: something executed IRET in the handler");
    this_cpu(nmi_running) = true;
    counter_inc(nmi_taken);
    vaddr_t fault = cr2_read();
    if (!handle_known(f))
        note_unowned(f);
    nmi_step_over_halt(f);
    if (unlikely(cr2_read() != fault)) /* a write is serialising, a read is not */
        cr2_write(fault);
    this_cpu(nmi_running) = false;
}

enum user_refusal nmi_user_refusal(void)
{
    const struct thread *t = thread_self();
    return nmi_user_access_ok(t ? t->space : NULL) ? USER_ALLOWED
           : this_cpu(tlb_pending)                 ? USER_PENDING
           : this_cpu(tlb_switching)               ? USER_SWITCHING
           : this_cpu(tlb_borrowed)                ? USER_BORROWED
           : this_cpu(tlb_loaded)                  ? USER_OTHER
                                                   : USER_NO_SPACE;
}

const char *nmi_refusal_name(enum user_refusal r)
{
    static const char *const names[USER_REFUSALS] = {"allowed",  "nobody",   "pending", "switching",
                                                     "borrowed", "no_space", "other",   "fault"};
    return r < USER_REFUSALS ? names[r] : "?";
}

void nmi_report_deferred(void)
{
    if (likely(!atomic_load_relaxed(&unowned_count)))
        return;
    u32 n = atomic_xchg(&unowned_count, 0), sources = atomic_xchg(&unowned_sources, 0);
    if (n) /* another CPU may have been faster */
        log_warn("%u NMI%s that nobody asked for%s%s; counted as nmi_unowned", n, n == 1 ? "" : "s",
                 sources & 0x80 ? ": memory parity or SERR# (port 61h, bit 7)" : "",
                 sources & 0x40 ? ": I/O channel check (port 61h, bit 6)" : "");
}

/* The report itself is made by whoever dispatched this (kernel/trap.c). */
static void on_deferred(vector_t v)
{
    (void)v;
    apic_eoi();
}
VECTOR_HANDLER(deferred, VECTOR_DEFERRED, on_deferred);
