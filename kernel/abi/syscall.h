/* What ring 3 and the kernel agree on: the numbers, words and structures of the system calls. docs/system-calls.md describes
 * each call. The one header that both user/ and kernel/ include; it includes nothing of either.
 *
 * SYSCALL with the number in RAX; arguments in RDI RSI RDX R10 R8 R9. RAX returns 0 or a value, or a negated enum sys_error;
 * RCX and R11 are lost, all else is kept, but where a call says that it returns more. */
#pragma once

#include <stdint.h>

enum sys_call {
    SYS_NULL,  /* () nothing: what the way in and out costs */
    SYS_LOG,   /* (text, bytes) to the console and the log, at most SYS_LOG_MAX bytes */
    SYS_CLOCK, /* (struct sys_clock *out) */
    SYS_CPUS,  /* (cpu, struct sys_cpu *out) -> CPUs that have an index; out may be 0 */

    SYS_MAP,   /* (va, bytes, enum sys_map flags) -> address. Demand-zero memory; va 0: the kernel chooses */
    SYS_UNMAP, /* (va, bytes) */
    SYS_PROTECT, /* (va, bytes, enum sys_map rights) */
    SYS_REMAP,   /* (va, bytes, to) moves pages with their contents */
    SYS_DISCARD, /* (va, bytes) gives the memory back, keeps the region: the next touch finds zeros */
    SYS_HARVEST, /* (va, bytes, uint8_t *out) a byte for each page: enum sys_page bits, accessed and dirty cleared */

    SYS_THREAD_CREATE, /* (entry, stack top, argument, cpu or SYS_ANY_CPU) -> handle; entry gets the argument in RDI */
    SYS_THREAD_EXIT,  /* (status) does not return */
    SYS_THREAD_YIELD, /* () */
    SYS_THREAD_SLEEP, /* (nanoseconds) */
    SYS_THREAD_MOVE,  /* (handle or 0 for oneself, cpu) pins it there; SYS_ANY_CPU unpins */
    SYS_THREAD_JOIN,  /* (handle, int64_t *status) */
    SYS_THREAD_SELF,  /* () -> handle; RDX: cpu */
    SYS_PROCESS_CLONE, /* (entry, stack top, argument, cpu) -> handle of the first thread of a copy-on-write copy */
    SYS_PROCESS_EXIT, /* (status) ends all threads of the process; does not return */

    SYS_SEND,    /* (RDI handle, RSI RDX R10 R8 R9 R12 the six words) never waits for the receiver */
    SYS_RECEIVE, /* (RDI nanoseconds to wait, 0: do not, SYS_FOREVER) -> RDI sender, the six words as above */
    SYS_CALL,    /* as SEND, then waits for that thread's reply: the six words as above */
    SYS_REPLY,   /* as SEND, to a thread that waits in CALL for us; else SYS_ERR_ABSENT */

    SYS_POLICY, /* (name, bytes) selects a shootdown policy; (0, 0) -> its index. */
    SYS_STATS,  /* (struct sys_stats *out) */
    SYS_CALLS,  /* how many there are */
};

enum sys_error {
    SYS_ERR_NOMEM = 1,   /* out of memory, or over the process's limit */
    SYS_ERR_INVAL,       /* an argument is not of the form the call takes */
    SYS_ERR_RANGE,       /* an address, size or number lies outside what is allowed */
    SYS_ERR_EXIST,       /* already there */
    SYS_ERR_ABSENT,      /* not there: no such thread, CPU, page, policy */
    SYS_ERR_FULL,        /* the receiver's mailbox, or a table, has no room */
    SYS_ERR_TIMEOUT,     /* the time was over first */
    SYS_ERR_UNSUPPORTED, /* not on this machine */
    SYS_ERR_FAULT,       /* memory given as an argument cannot be read or written */
    SYS_ERR_PERM,        /* another process's, or not ring 3's */
    SYS_ERR_NOSYS,       /* no system call has this number */
};

#define SYS_LOG_MAX  512u
#define SYS_ANY_CPU  (~0ull)
#define SYS_FOREVER  (~0ull)
#define SYS_PAGE     4096ull
#define SYS_USER_END 0x00007ffffffff000ull /* addresses of ring 3 lie below; the last page is never mapped */

enum sys_map {
    SYS_MAP_READ = 0,
    SYS_MAP_WRITE = 1,
    SYS_MAP_EXEC = 2,   /* not with WRITE */
    SYS_MAP_FIXED = 4,  /* at va, or SYS_ERR_EXIST */
    SYS_MAP_NOW = 8,    /* all pages at once instead of at their first touch */
    SYS_MAP_LARGE = 16, /* 2 MiB pages: va and bytes are multiples of that */
};

enum sys_page { SYS_PAGE_PRESENT = 1, SYS_PAGE_ACCESSED = 2, SYS_PAGE_DIRTY = 4 };

struct sys_clock {
    uint64_t ns;     /* since boot */
    uint64_t tsc_hz; /* of RDTSC, which ring 3 may read */
};

struct sys_cpu {
    uint32_t cpu, apic_id, package, core, thread; /* topology by CPUID 0Bh; package = 0 where there is none */
    uint32_t online, parked, self;
};

struct sys_stats {
    uint64_t shootdowns, routed, requests, pages, whole, icr_writes, interrupts, page_faults, switches;
};

/* What SYS_THREAD_JOIN tells of a thread that did not end by itself. */
#define SYS_STATUS_KILLED (-1000) /* with its process */
#define SYS_STATUS_FAULT  (-1001) /* by a fault that no region explains */

/* The first thread's RDI: the argument given to `run`, or an address of the process's shared page: kernel/abi/workload.h. */
