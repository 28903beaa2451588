#include "kernel/fault_debug.h"

#include "lib/assert.h"
#include "lib/spinlock.h"
#include "mm/frame.h"
#include "mm/layout.h"

void fault_ubsan(u64 n)
{
    volatile s32 most = 0x7fffffff;
    most = most + (s32)n + 1;
    panic("fault=ubsan: a signed sum overflowed, to %d, and nobody noticed", most);
}

/* Were it compiled with the checks of undefined behaviour, those would be first. */
__attribute__((no_sanitize("undefined"))) static NOINLINE void overrun(u64 words)
{
    volatile u64 array[4];
    volatile u64 *at = array;
    for (u64 i = 0; i < words; i++)
        at[i] = i;
}

void fault_canary(u64 n)
{
    overrun(n + 5); /* the word behind the array */
    panic("fault=canary: a frame was overrun, and nobody noticed");
}

static spinlock_t first = SPINLOCK_INIT, second = SPINLOCK_INIT;

static NOINLINE void one_way(void)
{
    spin_lock(&first);
    spin_lock(&second);
    spin_unlock(&second);
    spin_unlock(&first);
}

static NOINLINE void other_way(void)
{
    spin_lock(&second);
    spin_lock(&first);
    spin_unlock(&first);
    spin_unlock(&second);
}

void fault_lock_order(u64 n)
{
    (void)n;
    one_way();
    other_way();
    panic("fault=lock-order: two locks were taken in both orders, and nobody noticed");
}

void fault_poison(u64 n)
{
    paddr_t p, again;
    err_t e = frame_alloc(FRAME_OWNER_KERNEL, &p);
    if (e == ERR_OK) {
        frame_free(p);
        ((volatile u64 *)phys_to_virt(p))[100] = n;
        e = frame_alloc(FRAME_OWNER_KERNEL, &again); /* the one that was freed last */
    }
    panic("fault=poison: a freed frame was written to, and nobody noticed (%s)", err_name(e));
}
