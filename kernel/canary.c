#include "kernel/canary.h"

#include "lib/assert.h"
#include "lib/x86/cpu.h"

/* Known to the compiler by this name (-mstack-protector-guard=global). One for all CPUs and threads, new with each boot. The lowest byte
 * stays 0: text that runs over its end cannot write it and go on. */
u64 __stack_chk_guard = 0x595e9fbd94fda700;

void canary_init(void)
{
    u64 random = rdtsc();
    for (u32 i = 0; i < 3; i++) {
        random ^= random >> 29;
        random *= 0xbf58476d1ce4e5b9ull;
    }
    __stack_chk_guard = (random ^ rdtsc() << 32) & ~0xffull;
}

NORETURN COLD void __stack_chk_fail(void);
NORETURN COLD void __stack_chk_fail(void)
{
    panic("a stack frame was overrun: the canary of the function that returns to %llx is gone",
          (unsigned long long)(u64)__builtin_return_address(0));
}
