/* W^X, checked on the tables that the CPU has loaded, not on what we meant to load. */
#include "lib/image.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/pte.h"

#define FINDINGS_LOGGED 8u /* a wrong large range has a finding for each page */

struct check {
    u32 findings;
    u64 ro_start, ro_end; /* physical: rodata */
};

static void report(struct check *c, vaddr_t va, const struct pt_entry *e, const char *what)
{
    if (c->findings++ < FINDINGS_LOGGED)
        log_error("page tables: %llx -> %llx, %llu KiB: %s", (unsigned long long)va,
                  (unsigned long long)e->pa.v, (unsigned long long)((1ull << e->size) / KIB), what);
}

static bool check_kernel_leaf(void *arg, vaddr_t va, const struct pt_entry *e)
{
    struct check *c = arg;
    vaddr_t last = va + ((1ull << e->size) - 1);
    bool in_text = va >= (vaddr_t)kernel_text_start && last < (vaddr_t)kernel_text_end;

    if ((e->prot & PT_WRITE) && (e->prot & PT_EXEC))
        report(c, va, e, "writable and executable");
    else if ((e->prot & PT_EXEC) && !in_text)
        report(c, va, e, "executable, but not the kernel's text");
    if ((e->prot & PT_WRITE) && e->pa.v < c->ro_end && c->ro_start < e->pa.v + (1ull << e->size))
        report(c, va, e, "the kernel's rodata, writable");
    if (e->prot & PT_USER)
        report(c, va, e, "user page in the kernel half");
    return true;
}

static bool check_user_leaf(void *arg, vaddr_t va, const struct pt_entry *e)
{
    report(arg, va, e, "mapped in the user half with no space loaded");
    return true;
}

u32 kmap_check_wx(void)
{
    const struct pt loaded = {.root = PADDR(cr3_read() & PTE_ADDRESS)};
    struct check c = {.ro_start = virt_to_phys(kernel_rodata_start).v,
                      .ro_end = virt_to_phys(kernel_rodata_end).v};

    pt_for_each(&loaded, 0, USER_END, check_user_leaf, &c);
    pt_for_each(&loaded, KERNEL_HALF, 0, check_kernel_leaf, &c);
    if (c.findings > FINDINGS_LOGGED)
        log_error("page tables: %u findings in all", c.findings);
    return c.findings;
}
