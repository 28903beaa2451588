/* Processes: a space, the threads in it, and their limits. */
#pragma once

#include "kernel/thread.h"
#include "lib/boot_info.h"
#include "mm/space.h"

#define PROCESS_MAX         256u
#define PROCESS_THREADS_MAX 128u
#define PROCESS_FRAMES_MAX                                                                                   \
    16384u /* 64 MiB of memory and page tables; less on small machines: a quarter of what is free */

struct process;

/* Once, boot CPU: remembers the programs among the boot modules. */
void process_init(const struct boot_info *boot);

/* A process from the program of that name, its image mapped, no thread yet. ERR_ABSENT: no such program; ERR_MALFORMED (the
 * log says what was found and what is allowed); ERR_NOMEM; ERR_FULL. THREAD. */
err_t process_create(const char *program, struct process **out) MUST_CHECK;
/* Starts a thread at the program's entry, with a stack of its own (USER_STACK_BYTES, guarded). THREAD. */
err_t process_start(struct process *p, cpu_t cpu, u64 arg, thread_handle_t *out) MUST_CHECK;
/* Ends all threads soon. THREAD. */
void process_kill(struct process *p);
/* Until its last thread is gone and its memory is given back to the space's ticket; then *status is that of its first exit or
 * kill. ERR_TIMEOUT. THREAD. The caller's reference stays. */
err_t process_wait(struct process *p, u64 limit_ms, s64 *status) MUST_CHECK;
void process_ref(struct process *p);
void process_unref(struct process *p); /* the last one destroys the space: THREAD */

struct space *process_space(struct process *p);
const char *process_name(const struct process *p);
/* A fresh zeroed page mapped for ring 3 (writable) and returned as the kernel's view of it: what benchmarks and tests share with
 * a program. Lives as long as the process. */
err_t process_share_pages(struct process *p, vaddr_t va, u64 pages, void **kernel_view) MUST_CHECK;

#define STATUS_KILLED (-1000) /* by process_kill */
#define STATUS_FAULT  (-1001) /* by a fault that no region explains */
