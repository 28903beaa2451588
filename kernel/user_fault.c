/* What becomes of a fault in ring 3: its region explains it, or the thread ends with a report.
 *
 * The report is for whoever wrote the program: who, what, where, what the tables held, what was meant to be there, and how the
 * code got there. A program can fault as often as it likes, so only so many are printed in a second. */
#include "kernel/user_fault.h"

#include "kernel/process.h"
#include "kernel/program.h"
#include "kernel/uaccess.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/spinlock.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/layout.h"
#include "mm/region.h"
#include "mm/shootdown.h"

COUNTER(user_faults, "exceptions that ended a thread of ring 3");
COUNTER(user_faults_unreported, "of these, not printed: fault_reports= were, in that second");

/* Two dozen lines each, and a serial line carries some hundred in a second. */
#define REPORTS_DEFAULT 4u
#define REPORTS_LIMIT   1000u
#define FRAMES_SHOWN    12u

static u32 reports_max = REPORTS_DEFAULT;

static const char *set_reports(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n > REPORTS_LIMIT)
        return "a number from 0 to 1000";
    reports_max = (u32)n;
    return NULL;
}
PARAM(fault_reports, "fault_reports",
      "fault_reports=N  faults of ring 3 that are printed in a second, 0 .. 1000", set_reports);

/* One report at a time, so that the lines of two do not mingle; and the count of this second. */
static spinlock_t report_lock = SPINLOCK_INIT;
static u64 second_began;
static u32 reports, unreported;

#define ULL(x) ((unsigned long long)(x))

/* report_lock held. */
static bool may_report(void)
{
    u64 now = rdtsc();
    if (!second_began || now - second_began > tsc_from_us(1000000)) {
        if (unreported && reports_max) /* who wants none does not want to hear how many */
            log_warn("%u faults of ring 3 were not printed (fault_reports=%u in a second)", unreported,
                     reports_max);
        second_began = now;
        reports = unreported = 0;
    }
    if (reports < reports_max) {
        reports++;
        return true;
    }
    unreported++;
    counter_inc(user_faults_unreported);
    return false;
}

static void rights(char out[4], u32 prot)
{
    out[0] = 'r';
    out[1] = prot & PT_WRITE ? 'w' : '-';
    out[2] = prot & PT_EXEC ? 'x' : '-';
    out[3] = 0;
}

static const char *size_name(enum pt_size size)
{
    return size == PT_1G ? "1 GiB" : size == PT_2M ? "2 MiB" : "4 KiB";
}

static void report_translation(struct space *s, vaddr_t va)
{
    if (va >= USER_END) {
        log_warn("  found: an address of the kernel's half, or no canonical one");
        return;
    }
    struct pt_entry e = space_query(s, va);
    struct region r;
    char may[4], meant[4];
    rights(may, e.prot);
    if (e.present)
        log_warn("  found: a page of %s, %s, %s, frame %llx%s%s", size_name(e.size), may,
                 e.prot & PT_USER ? "ring 3's" : "not ring 3's", ULL(e.pa.v), e.accessed ? ", accessed" : "",
                 e.dirty ? ", dirty" : "");
    else
        log_warn("  found: nothing mapped");
    if (!region_query(s, va, &r)) {
        log_warn("  region: none");
        return;
    }
    rights(meant, r.prot);
    log_warn("  region: %llx - %llx, %s, %s%s", ULL(r.start), ULL(r.end), meant,
             r.kind == REGION_ZERO    ? "demand-zero"
             : r.kind == REGION_FIXED ? "fixed"
                                      : "on its way",
             r.cow ? ", copy-on-write" : "");
}

static void report_place(const struct program *p, const char *head, vaddr_t rip)
{
    char name[96];
    bool known = elf_symbol(p->file, p->bytes, rip, name, sizeof(name));
    log_warn("  %s %016llx  %s", head, ULL(rip), known ? name : "no symbol");
}

static void report_registers(const struct trap_frame *f)
{
    log_warn("  rax %016llx rbx %016llx rcx %016llx rdx %016llx", ULL(f->rax), ULL(f->rbx), ULL(f->rcx),
             ULL(f->rdx));
    log_warn("  rsi %016llx rdi %016llx rbp %016llx rsp %016llx", ULL(f->rsi), ULL(f->rdi), ULL(f->rbp),
             ULL(f->rsp));
    log_warn("  r8  %016llx r9  %016llx r10 %016llx r11 %016llx", ULL(f->r8), ULL(f->r9), ULL(f->r10),
             ULL(f->r11));
    log_warn("  r12 %016llx r13 %016llx r14 %016llx r15 %016llx", ULL(f->r12), ULL(f->r13), ULL(f->r14),
             ULL(f->r15));
    log_warn("  rflags %llx  cs %llx  ss %llx", ULL(f->rflags), ULL(f->cs), ULL(f->ss));
}

/* Along the frame pointers, as far as they lead upwards through memory that is there. */
static void report_callers(const struct program *p, vaddr_t rbp)
{
    (void)shootdown_user_open(); /* a flush may have been put off until ring 3 runs, which will not be */
    for (u32 i = 0; i < FRAMES_SHOWN; i++) {
        u64 frame[2]; /* the caller's RBP, the return address */
        if (!IS_ALIGNED(rbp, sizeof(u64)) || peek_user(frame, rbp, sizeof(frame)) != ERR_OK || !frame[1])
            return;
        report_place(p, "from", frame[1]);
        if (frame[0] <= rbp)
            return;
        rbp = frame[0];
    }
}

static void report(const struct trap_frame *f, vaddr_t cr2, bool out_of_memory)
{
    struct thread *t = thread_self();
    const struct program *p = process_program(t->process);
    char what[192];
    if (f->vector == EXC_PAGE_FAULT)
        trap_describe_page_fault(what, sizeof(what), f->error, cr2);
    else
        format(what, sizeof(what), "error code 0x%llx", ULL(f->error));
    log_warn("thread %x of process %u (%s) on CPU %u ends: %s: %s%s", t->handle, process_number(t->process),
             p->name, cpu_self(), trap_name(f->vector), what,
             out_of_memory ? "; memory is out, or over the process's limit" : "");
    if (f->vector == EXC_PAGE_FAULT)
        report_translation(t->space, cr2);
    report_place(p, "rip ", f->rip);
    report_registers(f);
    report_callers(p, f->rbp);
}

static NORETURN void end_thread(const struct trap_frame *f, vaddr_t cr2, bool out_of_memory)
{
    counter_inc(user_faults);
    spin_lock(&report_lock);
    if (may_report())
        report(f, cr2, out_of_memory);
    spin_unlock(&report_lock);
    process_thread_exit(STATUS_FAULT);
}

bool process_fault(struct trap_frame *f, vaddr_t cr2)
{
    enum fault_result result = FAULT_REFUSED;
    bool from_ring3 = f->cs & 3;
    /* A reserved bit set in an entry is the kernel's mistake or broken memory: no region explains it. */
    if (f->vector == EXC_PAGE_FAULT && !(f->error & PF_RESERVED) && cr2 < USER_END)
        result = region_fault(thread_self()->space, cr2,
                              (struct fault_access){
                                  .write = f->error & PF_WRITE,
                                  .exec = f->error & PF_FETCH,
                                  .user = true,
                              });
    if (result == FAULT_RETRY)
        return true;
    if (from_ring3)
        end_thread(f, cr2, result == FAULT_NOMEM);
    return false;
}
