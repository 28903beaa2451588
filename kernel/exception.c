/* Exceptions. A page fault is offered to mm's hook, then any exception to the exception table; what is left is a
 * panic. */
#include "kernel/exception.h"

#include "kernel/backtrace.h"
#include "kernel/panic.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/image.h"
#include "lib/log.h"
#include "mm/kmap.h"
#include "mm/layout.h"

COUNTER(trap_fixups, "faults that an exception table entry expected");
COUNTER(trap_page_faults, "page faults");

bool (*trap_page_fault_hook)(struct trap_frame *f, vaddr_t address);

void double_fault_handle(struct trap_frame *f); /* called by trap_entry.asm */

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
    ASSERT(!context_is_nmi(), "an exception inside an NMI would let the next NMI in when it returns");
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

void exception_handle(struct trap_frame *f)
{
    /* First of all, because the next page fault overwrites it. */
    vaddr_t address = f->vector == EXC_PAGE_FAULT ? cr2_read() : 0;
    if (context_is_nmi())
        panic_trap(f, "exception inside an NMI, double-fault or machine-check handler");
    if (f->vector == EXC_PAGE_FAULT) {
        counter_inc(trap_page_faults);
        if (trap_page_fault_hook && trap_page_fault_hook(f, address))
            return;
    }
    if (trap_fix(f))
        return;
    if (f->vector == EXC_PAGE_FAULT)
        page_fault_panic(f, address);
    panic_trap(f, "exception in the kernel");
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
