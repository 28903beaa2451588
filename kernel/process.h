/* Processes: a space, the threads in it, and their limits.
 *
 * A process lives as long as somebody refers to it: each of its threads does, until its descriptor is freed, and whoever
 * created it or looks at it. When its last thread is gone nothing runs in it any more; when the last reference goes, its memory does.
 *
 * Limits, each with an error of its own: PROCESS_MAX and PROCESS_CLONES_MAX, PROCESS_THREADS_MAX, process_frames_max,
 * REGIONS_MAX (mm/region.h), THREAD_MAX (kernel/thread.h). docs/memory-map.md states what each costs. */
#pragma once

#include "kernel/abi/syscall.h"
#include "kernel/thread.h"
#include "lib/boot_info.h"
#include "mm/region.h"
#include "mm/space.h"

#define PROCESS_MAX 256u
#define PROCESS_CLONES_MAX                                                                                   \
    240u /* of these: so that a program that clones itself without end leaves room to start another */
#define PROCESS_THREADS_MAX 128u
#define PROCESS_FRAMES_MAX                                                                                   \
    16384u /* 64 MiB of memory and page tables; less on small machines: a quarter of what is free */

/* Stacks of the threads that process_start starts: a slot each, its upper half the stack, its lower half never mapped by the
 * kernel, so that an overflow faults. Above every program's image, below where `va 0` of SYS_MAP begins to look. */
#define USER_STACK_BYTES (64 * KIB)
#define USER_STACK_SLOT  (2 * USER_STACK_BYTES)
#define USER_STACKS_END  USER_MAP_BASE
#define USER_STACKS_BASE (USER_STACKS_END - PROCESS_THREADS_MAX * USER_STACK_SLOT)

/* Blocks of process_share_pages. */
#define PROCESS_SHARES_MAX 4u

struct process;
struct program;

/* Once, boot CPU, after kmap_init: remembers the programs among the boot modules, and how much memory a process may have. */
void process_init(const struct boot_info *boot);
/* Frames, of 4 KiB, that a process may hold: PROCESS_FRAMES_MAX or less. */
u64 process_frames_max(void);

/* A process from the program of that name, its image mapped, no thread yet; the caller has the reference. ERR_ABSENT: no such
 * program; ERR_MALFORMED (the log says what was found and what is allowed); ERR_NOMEM; ERR_FULL: PROCESS_MAX. THREAD. */
err_t process_create(const char *program, struct process **out) MUST_CHECK;
/* The same from a program that was read by program_read. */
err_t process_create_from(const struct program *program, struct process **out) MUST_CHECK;
/* A copy of `from`, its memory shared copy-on-write, no thread yet. Errors as process_create; ERR_FULL: PROCESS_CLONES_MAX. THREAD. */
err_t process_clone(struct process *from, struct process **out) MUST_CHECK;

/* Starts a thread at the program's entry, with a stack of its own (USER_STACK_BYTES, guarded), RDI = arg; pinned to that CPU, or with
 * CPU_NONE on any. ERR_FULL: PROCESS_THREADS_MAX, REGIONS_MAX or THREAD_MAX; ERR_ABSENT: no such CPU, or the process is being
 * killed; ERR_NOMEM. THREAD. */
err_t process_start(struct process *p, cpu_t cpu, u64 arg, thread_handle_t *out) MUST_CHECK;
/* The same at a given place, on a stack of the program's own. */
err_t process_thread_start(struct process *p, cpu_t cpu, vaddr_t entry, vaddr_t stack, u64 arg,
                           thread_handle_t *out) MUST_CHECK;
/* Ends all threads soon, with STATUS_KILLED, and lets none begin. THREAD. */
void process_kill(struct process *p);
/* Until its last thread is gone, descriptor and all, and nobody but the caller refers to it; then *status (may be NULL) is that of
 * process_exit or kill if there was one, else of a fault, else of the first thread that ended: threads that fault do not end a
 * program that goes on without them. ERR_TIMEOUT after limit_ms scaled by wait_scale
 * (0: none). THREAD. The caller's reference stays. */
err_t process_wait(struct process *p, u64 limit_ms, s64 *status) MUST_CHECK;
void process_ref(struct process *p);
void process_unref(struct process *p); /* the last one destroys the space: THREAD */
/* By number, with a reference; NULL: none. */
struct process *process_get(u32 number);

struct space *process_space(struct process *p);
const char *process_name(const struct process *p);
u32 process_number(const struct process *p);  /* below PROCESS_MAX; given again when it is gone */
u32 process_threads(const struct process *p); /* that have not ended */
u32 process_faults(const struct process *p);  /* threads that a fault has ended */
u32 process_count(void);
const struct program *process_program(const struct process *p);

/* Fresh zeroed pages mapped for ring 3 (writable) and returned as the kernel's view of them: what benchmarks and tests share with
 * a program. They live as long as the process. ERR_FULL: PROCESS_SHARES_MAX; ERR_RANGE: more than 512 pages; ERR_NOMEM; errors of
 * region_map. THREAD. */
err_t process_share_pages(struct process *p, vaddr_t va, u64 pages, void **kernel_view) MUST_CHECK;

/* The calling thread of ring 3 ends: its status is kept for who joins it, it is counted out of its process, and thread_exit()
 * is called. What kills a thread (user_return_work) calls this with STATUS_KILLED. THREAD, interrupts on, no lock held. */
NORETURN void process_thread_exit(s64 status);
/* The whole process of the calling thread ends with that status. The same context. */
NORETURN void process_exit(s64 status);
/* Waits until the thread of that handle, one of the caller's process, has ended; its status is told once. ERR_ABSENT: it is no
 * thread of this process, or somebody else was told; ERR_INVAL: oneself. THREAD, of ring 3. */
err_t process_thread_join(thread_handle_t h, s64 *status) MUST_CHECK;

#define STATUS_KILLED SYS_STATUS_KILLED /* by process_kill, or thread_kill */
#define STATUS_FAULT  SYS_STATUS_FAULT  /* by a fault that no region explains */
