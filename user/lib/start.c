#include "user/lib/start.h"

#include "user/lib/sys.h"

/* Called by user/lib/start.asm. */
NORETURN void program_begin(u64 arg);

NORETURN void program_begin(u64 arg)
{
    sys_process_exit(program(arg));
}
