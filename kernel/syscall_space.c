/* System calls on the caller's own address space. */
#include "kernel/syscall.h"
#include "kernel/thread.h"
#include "mm/layout.h"
#include "mm/region.h"

/* Whole pages, at least one, within what ring 3 may use. */
static ALWAYS_INLINE err_t check_pages(u64 va, u64 bytes)
{
    if (unlikely(!bytes || ((va | bytes) & (PAGE_SIZE - 1))))
        return ERR_INVAL;
    return likely(bytes <= SYS_USER_END && va <= SYS_USER_END - bytes) ? ERR_OK : ERR_RANGE;
}

#define MAP_RIGHTS (SYS_MAP_WRITE | SYS_MAP_EXEC)
#define MAP_FLAGS  (MAP_RIGHTS | SYS_MAP_FIXED | SYS_MAP_NOW | SYS_MAP_LARGE)

static bool rights_ok(u64 flags)
{
    return (flags & MAP_RIGHTS) != MAP_RIGHTS;
}

static u32 prot_of(u64 flags)
{
    return PT_USER | (flags & SYS_MAP_WRITE ? PT_WRITE : 0) | (flags & SYS_MAP_EXEC ? PT_EXEC : 0);
}

static err_t map(struct space *s, u64 va, u64 bytes, u64 flags, vaddr_t *at)
{
    enum pt_size size = flags & SYS_MAP_LARGE ? PT_2M : PT_4K;
    if ((flags & ~(u64)MAP_FLAGS) || !rights_ok(flags) || !bytes || ((va | bytes) & ((1ull << size) - 1)))
        return ERR_INVAL;
    /* An address without FIXED would be a wish that nobody looks at. */
    if (!(flags & SYS_MAP_FIXED) && va)
        return ERR_INVAL;
    if (flags & SYS_MAP_FIXED ? va < USER_START || !user_range_ok(va, bytes) : bytes > SYS_USER_END)
        return ERR_RANGE;
    err_t e = region_map(s, va, bytes, prot_of(flags), REGION_ZERO, size, at);
    if (e != ERR_OK || !(flags & SYS_MAP_NOW))
        return e;
    e = region_populate(s, *at, *at + bytes);
    if (e == ERR_OK)
        return e;
    err_t undo = region_unmap(s, *at, *at + bytes);
    /* Another thread may have changed the region meanwhile, so that it has to be split: then it stays, empty or not. */
    (void)undo;
    return e;
}

s64 sys_map(u64 va, u64 bytes, u64 flags, struct trap_frame *f)
{
    vaddr_t at;
    (void)f;
    err_t e = map(thread_self()->space, va, bytes, flags, &at);
    return e == ERR_OK ? (s64)at : syscall_error(e);
}

s64 sys_unmap(u64 va, u64 bytes, u64 c, struct trap_frame *f)
{
    (void)c, (void)f;
    err_t e = check_pages(va, bytes);
    return syscall_result(e == ERR_OK ? region_unmap(thread_self()->space, va, va + bytes) : e);
}

s64 sys_protect(u64 va, u64 bytes, u64 rights, struct trap_frame *f)
{
    (void)f;
    err_t e = check_pages(va, bytes);
    if (e == ERR_OK && ((rights & ~(u64)MAP_RIGHTS) || !rights_ok(rights)))
        e = ERR_INVAL;
    return syscall_result(e == ERR_OK ? region_protect(thread_self()->space, va, va + bytes, prot_of(rights))
                                      : e);
}

s64 sys_remap(u64 va, u64 bytes, u64 to, struct trap_frame *f)
{
    (void)f;
    err_t e = check_pages(va, bytes);
    if (e == ERR_OK)
        e = check_pages(to, bytes);
    if (e == ERR_OK && to < USER_START)
        e = ERR_RANGE;
    return syscall_result(e == ERR_OK ? region_move(thread_self()->space, va, bytes, to) : e);
}

s64 sys_discard(u64 va, u64 bytes, u64 c, struct trap_frame *f)
{
    (void)c, (void)f;
    err_t e = check_pages(va, bytes);
    return syscall_result(likely(e == ERR_OK) ? region_discard(thread_self()->space, va, va + bytes) : e);
}

/* Pages that are harvested in one go: their answers fit on the kernel stack, and one shootdown serves them all. */
#define HARVEST_PAGES 1024u

_Static_assert((u32)SYS_PAGE_PRESENT == REGION_PAGE_PRESENT &&
                   (u32)SYS_PAGE_ACCESSED == REGION_PAGE_ACCESSED && (u32)SYS_PAGE_DIRTY == REGION_PAGE_DIRTY,
               "region_harvest's bytes go to ring 3 as they are");

s64 sys_harvest(u64 va, u64 bytes, u64 out, struct trap_frame *f)
{
    u8 bits[HARVEST_PAGES];
    (void)f;
    err_t e = check_pages(va, bytes);
    /* Looked at before anything is cleared. */
    if (e == ERR_OK && !user_range_ok(out, bytes / PAGE_SIZE))
        e = ERR_FAULT;
    for (u64 end = va + bytes; e == ERR_OK && va < end;) {
        /* A large page is told and cleared as a whole, so no piece ends in one. */
        u64 pages = (MIN(end, ALIGN_DOWN(va, 2 * MIB) + HARVEST_PAGES * PAGE_SIZE) - va) / PAGE_SIZE;
        e = region_harvest(thread_self()->space, va, va + pages * PAGE_SIZE, bits);
        if (e == ERR_OK)
            e = copy_to_user(out, bits, pages);
        va += pages * PAGE_SIZE;
        out += pages;
    }
    return syscall_result(e);
}
