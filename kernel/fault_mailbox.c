#include "kernel/fault_mailbox.h"

#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "mm/ap_root.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "smp/ap_mailbox.h"

/* kernel/fault_mailbox_loop.asm */
extern const char mailbox_loop_start[], mailbox_loop_end[];
NORETURN void mailbox_loop_enter(u64 loop, u64 bridge_cr3, u64 apic_id, u64 mailbox, u64 own_cr3);

static bool asked;
static const char *set(const char *value)
{
    return parse_on_off(value, &asked) ? NULL : "on or off";
}
PARAM(fault_mailbox, "fault_mailbox",
      "fault_mailbox=on|off  test: the other CPUs wait for firmware's mailbox (default off)", set);

static u64 loop_page, mailbox_page, bridge_cr3, own_cr3;
static u32 waiting;

static err_t table_alloc(struct pt_pool *pool, paddr_t *out)
{
    (void)pool;
    return frame_alloc_zeroed(FRAME_OWNER_TABLE, out);
}
static void table_free(struct pt_pool *pool, paddr_t page)
{
    (void)pool;
    frame_free(page);
}
static struct pt_pool pool = {.alloc = table_alloc, .retire = table_free, .free = table_free};

/* Runs where nothing is set up but the stack: no per-CPU data. */
static void become_firmware(u64 cpu)
{
    (void)atomic_fetch_add(&waiting, 1);
    mailbox_loop_enter(loop_page, bridge_cr3, cpu_apic_id((cpu_t)cpu), mailbox_page, own_cr3);
}

static u64 low_page(void)
{
    paddr_t p;
    if (frame_alloc_below(4 * GIB, FRAME_OWNER_KERNEL, &p) != ERR_OK)
        panic("fault_mailbox: no page below 4 GiB");
    memset(phys_to_virt(p), 0, PAGE_SIZE);
    return p.v;
}

static void map_own(struct pt *pt, u64 page)
{
    if (pt_map(pt, page, PADDR(page), PT_4K, PT_WRITE | PT_EXEC) != ERR_OK)
        panic("fault_mailbox: no memory for tables");
}

void fault_mailbox_prepare(struct smp_start *start)
{
    if (!asked)
        return;
    struct pt own = {.root = PADDR(low_page()), .pool = &pool};
    paddr_t bridge;
    loop_page = low_page();
    mailbox_page = low_page();
    memcpy(phys_to_virt(PADDR(loop_page)), mailbox_loop_start,
           (size_t)(mailbox_loop_end - mailbox_loop_start));
    map_own(&own, loop_page);
    map_own(&own, mailbox_page);
    map_own(&own, start->page.v);
    own_cr3 = own.root.v;
    if (kmap_ap_root(PADDR(loop_page), &bridge) != ERR_OK)
        panic("fault_mailbox: no memory for tables");
    bridge_cr3 = bridge.v;

    void (*entry)(u64 cpu) = start->entry;
    start->entry = become_firmware;
    smp_start_elsewhere(start);
    start->entry = entry;
    struct wait w = WAIT("the CPUs to wait for the mailbox", wait_ms(start->wait_ms));
    while (atomic_load_relaxed(&waiting) < cpu_count() - 1 && wait_spin(&w))
        ;
    log_info("fault_mailbox: %u CPUs wait for the mailbox", atomic_load_relaxed(&waiting));
    start->mailbox = phys_to_virt(PADDR(mailbox_page));
}
