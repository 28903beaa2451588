/* Backtraces of the running code. Of another CPU: kernel/backtrace_remote.c. */
#include "kernel/backtrace.h"

#include "apic/vectors.h"
#include "kernel/panic.h"
#include "kernel/symbols.h"
#include "lib/image.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"
#include "mm/layout.h"
#include "mm/pt.h"

#define CR3_ADDRESS 0x000ffffffffff000ull

/* Return addresses of the entry paths' calls into C (trap_entry.asm, syscall_entry.asm). What lies above such a call on the stack is no
 * frame of a function but what the entry path has saved. */
extern const char trap_interrupt_return[], trap_exception_return[], trap_paranoid_return[],
    trap_message_return[], trap_message_user_return[], syscall_dispatch_return[];

/* Recursion is listed once, but each of its frames has to be walked: enough for two full stacks of the smallest
 * frames. Interrupts can form a circle of frames on a broken stack, and that has to end. */
#define FRAMES_MAX 2048u

/* Where the message path has the CPU's own frame, in words above its call: behind nine caller-saved registers. */
#define MESSAGE_SAVED_REGISTERS 9u

bool backtrace_can_read(u64 address)
{
    if (address < DIRECT_MAP_BASE || !IS_ALIGNED(address, sizeof(u64)) || !vaddr_is_canonical(address))
        return false;
    struct pt loaded = {.root = PADDR(cr3_read() & CR3_ADDRESS)};
    struct pt_entry e = pt_walk(&loaded, address);
    return e.present && !(e.prot & PT_UNCACHED); /* reading a device register can do something */
}

static bool is_text(u64 address)
{
    return address >= (u64)kernel_text_start && address < (u64)kernel_text_end;
}

static bool read_word(u64 address, u64 *out)
{
    if (!backtrace_can_read(address))
        return false;
    *out = *(const u64 *)address;
    return true;
}

/* False when the list is full or the walk has left the kernel. */
static bool add(struct backtrace *b, u64 rip, enum backtrace_kind kind, u64 vector)
{
    if (b->count && !is_text(rip))
        return false;
    if (b->count && b->at[b->count - 1].rip == rip && b->at[b->count - 1].kind == kind) {
        b->at[b->count - 1].times++;
        return true;
    }
    if (b->count == BACKTRACE_MAX)
        return false;
    b->at[b->count].rip = rip;
    b->at[b->count].kind = (u16)kind;
    b->at[b->count].vector = (u16)vector;
    b->at[b->count].times = 1;
    b->count++;
    return true;
}

/* Whether a CALL can end just before address: E8 rel32, or FF /2 with any operand (SDM volume 2, CALL). */
static bool follows_call(u64 address)
{
    const u8 *code = (const u8 *)address;
    if (!is_text(address) || !is_text(address - 7))
        return false;
    if (code[-5] == 0xe8)
        return true;
    for (s32 i = -7; i <= -2; i++)
        if (code[i] == 0xff && (code[i + 1] >> 3 & 7) == 2)
            return true;
    return false;
}

/* The caller of a place where a function had no frame, if it is not the one that the frame pointer leads to anyway. */
static void add_frameless(struct backtrace *b, u64 rsp, u64 rbp)
{
    u64 top, framed;
    if (rsp && read_word(rsp, &top) && follows_call(top) &&
        !(read_word(rbp + sizeof(u64), &framed) && framed == top))
        add(b, top, BACKTRACE_PERHAPS, 0);
}

static bool is_message_return(u64 ret)
{
    return ret == (u64)trap_message_return || ret == (u64)trap_message_user_return;
}

static bool is_entry_return(u64 ret)
{
    return ret == (u64)trap_interrupt_return || ret == (u64)trap_exception_return ||
           ret == (u64)trap_paranoid_return || ret == (u64)syscall_dispatch_return || is_message_return(ret);
}

/* The interrupted place behind an entry path's call; `saved`: what the path has pushed; rbp: the interrupted code's. */
static bool add_interrupted(struct backtrace *b, u64 ret, u64 saved, u64 rbp)
{
    u64 rip, cs, rsp, vector = VECTOR_MESSAGE;
    u64 cpu_frame = saved + offsetof(struct trap_frame, rip);
    if (is_message_return(ret))
        cpu_frame = saved + MESSAGE_SAVED_REGISTERS * sizeof(u64);
    else if (!read_word(saved + offsetof(struct trap_frame, vector), &vector))
        return false;
    /* RIP, CS, RFLAGS, RSP (SDM volume 3A, figure 6-9) */
    if (!read_word(cpu_frame, &rip) || !read_word(cpu_frame + 8, &cs) || !read_word(cpu_frame + 24, &rsp) ||
        (cs & 3))
        return false;
    if (!add(b, rip, BACKTRACE_INTERRUPT, vector))
        return false;
    add_frameless(b, rsp, rbp);
    return true;
}

void backtrace_capture(u64 rip, u64 rsp, u64 rbp, struct backtrace *b)
{
    b->count = 0;
    add(b, rip, BACKTRACE_HERE, 0);
    add_frameless(b, rsp, rbp);
    for (u32 frames = 0; frames < FRAMES_MAX; frames++) {
        u64 next, ret;
        if (!read_word(rbp, &next) || !read_word(rbp + sizeof(u64), &ret))
            return;
        bool entry = is_entry_return(ret);
        if (entry ? !add_interrupted(b, ret, rbp + 2 * sizeof(u64), next) : !add(b, ret, BACKTRACE_CALLER, 0))
            return;
        /* Callers' frames lie higher on the same stack; only an interrupt can have changed stacks. */
        if (!entry && next <= rbp)
            return;
        rbp = next;
    }
}

void backtrace_name(char *out, size_t size, u64 address)
{
    u64 offset;
    const char *name = symbol_name(address, &offset);
    if (name)
        format(out, size, "%s+0x%llx", name, (unsigned long long)offset);
    else
        format(out, size, "no kernel text");
}

void backtrace_write(const struct backtrace *b)
{
    for (u32 i = 0; i < b->count; i++) {
        u64 rip = b->at[i].rip;
        /* A CALL of a function that does not return can be the last instruction of its own: the return address then
         * belongs to the next function, the byte before it does not. */
        bool perhaps = b->at[i].kind == BACKTRACE_PERHAPS,
             caller = perhaps || b->at[i].kind == BACKTRACE_CALLER;
        char name[96];
        backtrace_name(name, sizeof(name), caller ? rip - 1 : rip);
        if (b->at[i].kind == BACKTRACE_INTERRUPT)
            print("    -- %s, vector 0x%x --\n", trap_name(b->at[i].vector), b->at[i].vector);
        print("    %016llx  %s%s", (unsigned long long)rip, perhaps ? "? " : "", name);
        if (b->at[i].times > 1)
            print("  %u times", b->at[i].times);
        print("\n");
    }
}

void backtrace_print(u64 rip, u64 rbp)
{
    struct backtrace b;
    backtrace_capture(rip, 0, rbp, &b);
    backtrace_write(&b);
}
