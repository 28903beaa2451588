#include "kernel/uaccess.h"

#include "kernel/abi/syscall.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "mm/layout.h"
#include "mm/shootdown.h"
#include "mm/space.h"

_Static_assert(SYS_USER_END == USER_END - PAGE_SIZE, "ring 3 may use the user half but for its last page");

bool user_range_ok(vaddr_t va, u64 bytes)
{
    return bytes <= SYS_USER_END && va <= SYS_USER_END - bytes && va < SYS_USER_END;
}

static err_t copy(void *to, const void *from, vaddr_t user, size_t bytes)
{
    ASSERT_MAY_WAIT();
    ASSERT(space_running() != NULL,
           "a copy to or from ring 3 needs its space, and more than its borrowed root");
    if (!user_range_ok(user, bytes))
        return ERR_FAULT;
    bool was_closed = shootdown_user_open();
    /* Open, so that handlers which come from here on flush at once, and leave both as they are. */
    DEBUG_ASSERT(!shootdown_user_is_closed() && this_cpu(tlb_pending) == 0,
                 "no flush is put off past an access to user memory");
    u64 vector = uaccess_copy(to, from, bytes);
    if (was_closed)
        shootdown_user_close();
    return likely(vector == 0) ? ERR_OK : ERR_FAULT;
}

err_t copy_from_user(void *to, vaddr_t from, size_t bytes)
{
    return copy(to, (const void *)from, from, bytes);
}

err_t copy_to_user(vaddr_t to, const void *from, size_t bytes)
{
    return copy((void *)to, from, to, bytes);
}

err_t peek_user(void *to, vaddr_t from, size_t bytes)
{
    if (!user_range_ok(from, bytes))
        return ERR_FAULT;
    return uaccess_peek(to, (const void *)from, bytes) == 0 ? ERR_OK : ERR_FAULT;
}
