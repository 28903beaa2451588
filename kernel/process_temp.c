/* Until regions are here: weak, so that theirs replace them; then this file goes. */
#include "kernel/process.h"
#include "mm/region.h"

#define WEAK __attribute__((weak))

WEAK err_t region_map(struct space *s, vaddr_t va, u64 bytes, u32 prot, enum region_kind kind,
                      enum pt_size page_size, vaddr_t *out)
{
    (void)s, (void)va, (void)bytes, (void)prot, (void)kind, (void)page_size, (void)out;
    return ERR_UNSUPPORTED;
}
WEAK err_t region_populate(struct space *s, vaddr_t start, vaddr_t end)
{
    (void)s, (void)start, (void)end;
    return ERR_UNSUPPORTED;
}
WEAK err_t region_unmap(struct space *s, vaddr_t start, vaddr_t end)
{
    (void)s, (void)start, (void)end;
    return ERR_UNSUPPORTED;
}
WEAK err_t region_protect(struct space *s, vaddr_t start, vaddr_t end, u32 prot)
{
    (void)s, (void)start, (void)end, (void)prot;
    return ERR_UNSUPPORTED;
}
WEAK err_t region_move(struct space *s, vaddr_t va, u64 bytes, vaddr_t to)
{
    (void)s, (void)va, (void)bytes, (void)to;
    return ERR_UNSUPPORTED;
}
WEAK err_t region_discard(struct space *s, vaddr_t start, vaddr_t end)
{
    (void)s, (void)start, (void)end;
    return ERR_UNSUPPORTED;
}
WEAK err_t region_clone(struct space *from, struct space *to)
{
    (void)from, (void)to;
    return ERR_UNSUPPORTED;
}
WEAK err_t region_harvest(struct space *s, vaddr_t start, vaddr_t end, u8 *out)
{
    (void)s, (void)start, (void)end, (void)out;
    return ERR_UNSUPPORTED;
}
WEAK enum fault_result region_fault(struct space *s, vaddr_t va, struct fault_access access)
{
    (void)s, (void)va, (void)access;
    return FAULT_REFUSED;
}
WEAK bool region_query(struct space *s, vaddr_t va, struct region *out)
{
    (void)s, (void)va, (void)out;
    return false;
}
WEAK void region_destroy_all(struct space *s)
{
    (void)s;
}
