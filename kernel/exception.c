/* Exceptions, in the context of what they interrupted. A page fault is offered to mm's hook. What is left of ring 3, or of a
 * copy to or from its memory, goes to its process; what is left of the kernel to the exception table, and then it is a panic. */
#include "kernel/exception.h"

#include "kernel/backtrace.h"
#include "kernel/gdt.h"
#include "kernel/panic.h"
#include "kernel/uaccess.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/image.h"
#include "lib/log.h"
#include "mm/kmap.h"
#include "mm/layout.h"

COUNTER(trap_fixups, "faults that an exception table entry expected");
COUNTER(trap_page_faults, "page faults");

bool (*trap_page_fault_hook)(struct trap_frame *f, vaddr_t address);
bool process_fault(struct trap_frame *f, vaddr_t address) __attribute__((weak));
bool (*trap_user_fault_hook)(struct trap_frame *f, vaddr_t address) = process_fault;

void double_fault_handle(struct trap_frame *f);       /* called by trap_entry.asm */
void debug_in_kernel(struct trap_frame *f);           /* the same */
void segment_missing_in_kernel(struct trap_frame *f); /* the same */
extern const char syscall_entry[];

const char *trap_name(u64 vector)
{
    static const char *const name[EXC_COUNT] = {
        "divide error (#DE)",
        "debug exception (#DB)",
        "NMI",
        "breakpoint (#BP)",
        "overflow (#OF)",
        "BOUND range exceeded (#BR)",
        "invalid opcode (#UD)",
        "device not available (#NM)",
        "double fault (#DF)",
        "coprocessor segment overrun",
        "invalid TSS (#TS)",
        "segment not present (#NP)",
        "stack-segment fault (#SS)",
        "general protection (#GP)",
        "page fault (#PF)",
        "exception 15",
        "x87 error (#MF)",
        "alignment check (#AC)",
        "machine check (#MC)",
        "SIMD error (#XM)",
        "virtualization exception (#VE)",
        "control protection (#CP)",
        [28] = "hypervisor injection (#HV)",
        [29] = "VMM communication (#VC)",
        [30] = "security exception (#SX)",
    };
    if (vector >= EXC_COUNT)
        return "interrupt";
    return name[vector] ? name[vector] : "reserved exception";
}

void trap_describe_page_fault(char *out, size_t size, u64 error, vaddr_t address)
{
    const char *access = error & PF_FETCH ? "execution of" : error & PF_WRITE ? "write to" : "read of";
    const char *why = !(error & PF_PRESENT)           ? "a page that is not present"
                      : error & PF_RESERVED           ? "a page with a reserved bit set in its tables"
                      : error & PF_PROTECTION_KEY     ? "a page that its protection key closes"
                      : error & PF_SHADOW_STACK       ? "a page, as or against a shadow stack"
                      : error & (PF_FETCH | PF_WRITE) ? "a page that does not allow it"
                                                      : "a page that is closed to it (user page, SMAP)";
    format(out, size, "%s %s, by %s, at %llx", access, why, error & PF_USER ? "ring 3" : "the kernel",
           (unsigned long long)address);
}

/* An access that faulted is keyed by its own address. Code that is called and is not there faults at its first byte,
 * an address that the table cannot know: the CALL has just pushed the address behind itself, and that one is in the
 * table. (Whether the CALL itself faults if its target is not canonical differs: SDM volume 2, AMD manual volume 3.) */
static bool fix(struct trap_frame *f, u64 key, u64 popped)
{
    for (const u64(*e)[2] = extable_start; e < extable_end; e++) {
        if ((*e)[0] != key)
            continue;
        counter_inc(trap_fixups);
        f->rip = (*e)[1];
        f->rsp += popped;
        f->rax = f->vector;
        return true;
    }
    return false;
}

bool trap_fix(struct trap_frame *f)
{
    ASSERT(!context_is_nmi(), "an exception inside an NMI is peek_user's or a panic");
    if (fix(f, f->rip, 0))
        return true;
    bool fetch = f->vector == EXC_PAGE_FAULT
                     ? f->error & PF_FETCH && !(f->error & PF_USER)
                     : f->vector == EXC_GENERAL_PROTECTION && !vaddr_is_canonical(f->rip);
    return fetch && backtrace_can_read(f->rsp) && fix(f, *(const u64 *)f->rsp, sizeof(u64));
}

static NORETURN void page_fault_panic(struct trap_frame *f, vaddr_t address)
{
    char what[192], fault[128];
    trap_describe_page_fault(fault, sizeof(fault), f->error, address);
    const char *stack = kmap_guard_name(address);
    if (stack)
        format(what, sizeof(what), "kernel stack overflow: the guard page of stack \"%s\" was hit (%s)",
               stack, fault);
    else
        format(what, sizeof(what), "%s%s", address < PAGE_SIZE ? "null pointer: " : "", fault);
    panic_trap(f, what);
}

static bool is_in(const struct trap_frame *f, const void *start, const void *end)
{
    return f->rip >= (u64)start && f->rip < (u64)end;
}

/* May wait, allocate, and end the thread: interrupts are on, and irq_depth has not been raised. */
static bool user_fault(struct trap_frame *f, vaddr_t address)
{
    irq_enable();
    bool again = trap_user_fault_hook && trap_user_fault_hook(f, address);
    irq_disable();
    return again;
}

static COLD void from_kernel(struct trap_frame *f, vaddr_t address)
{
    bool page_fault = f->vector == EXC_PAGE_FAULT;
    /* Given up at once, wherever it is: also in an NMI handler, to which it returns without IRET (trap_entry.asm). */
    if (page_fault && is_in(f, uaccess_peek, uaccess_peek_end) && fix(f, f->rip, 0))
        return;
    if (context_is_nmi())
        panic_trap(f, "exception inside an NMI, double-fault or machine-check handler");
    if (page_fault) {
        if (trap_page_fault_hook && trap_page_fault_hook(f, address))
            return;
        /* The kernel's side of a copy must be there: a fault on that is the kernel's own. */
        if (is_in(f, uaccess_copy, uaccess_copy_end)) {
            if (address >= USER_END)
                page_fault_panic(f, address);
            if (user_fault(f, address))
                return;
        }
    }
    if (trap_fix(f))
        return;
    if (page_fault)
        page_fault_panic(f, address);
    panic_trap(f, "exception in the kernel");
}

void exception_handle(struct trap_frame *f)
{
    /* First of all, because the next page fault overwrites it. */
    vaddr_t address = f->vector == EXC_PAGE_FAULT ? cr2_read() : 0;
    if (f->vector == EXC_PAGE_FAULT)
        counter_inc(trap_page_faults);
    if (unlikely(!trap_is_user(f))) {
        from_kernel(f, address);
        return;
    }
    if (f->vector == EXC_PAGE_FAULT && trap_page_fault_hook && trap_page_fault_hook(f, address))
        return;
    if (!user_fault(f, address))
        panic_trap(f, "exception in ring 3, and nobody ended the thread");
}

/* One there is: ring 3's single step over SYSCALL, where the machine delivers it behind the instruction although that has
 * cleared TF (Bochs does). It is before SWAPGS, on ring 3's stack pointer. TF is in R11 and goes back with it. */
void debug_in_kernel(struct trap_frame *f)
{
    if (f->rip != (u64)syscall_entry)
        panic_trap(f, "the kernel sets neither TF nor breakpoint registers");
}

bool (*trap_segment_hook)(struct trap_frame *f);

/* An IRETQ to ring 3, and nothing else: all other segments are always present, and so are all gates. */
void segment_missing_in_kernel(struct trap_frame *f)
{
    if (trap_segment_hook && trap_segment_hook(f))
        return;
    panic_trap(f, (f->error | 3) == SEL_USER_CODE
                      ? "ring 3 was to go on with a flush put off: a promise has been forgotten"
                      : "a segment is not present");
}

/* Mostly: the stack ran into its guard page, and the page fault had nowhere to push its frame. CR2 tells where. */
void double_fault_handle(struct trap_frame *f)
{
    char what[160];
    const char *stack = kmap_guard_name(cr2_read());
    if (!stack)
        panic_trap(f, "an exception could not be delivered");
    format(what, sizeof(what), "kernel stack overflow: the guard page of stack \"%s\" was hit at %llx", stack,
           (unsigned long long)cr2_read());
    panic_trap(f, what);
}
