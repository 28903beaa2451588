/* What a program has: one function. */
#pragma once

#include "user/lib/types.h"

/* Each thread that the kernel starts in the program (process_start) runs it with the argument that the kernel gave. What it returns is the
 * status of the whole process, whose other threads end with it; sys_thread_exit ends one only. */
s64 program(u64 arg);
