/* Until the system calls and the scheduler are here: weak, so that theirs replace them; then this file goes. */
#include "kernel/thread.h"
#include "kernel/trap.h"

void syscall_dispatch(struct trap_frame *f);
__attribute__((weak)) void syscall_dispatch(struct trap_frame *f)
{
    f->rax = 0;
}
__attribute__((weak)) void user_return_work(void)
{
    this_cpu(percpu_head.user_work) = 0;
}
