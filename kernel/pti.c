/* What of the kernel is mapped while ring 3 runs, with pti=on: the code of .text.entry, the IDT, and for each CPU the head of its
 * per-CPU block with GDT, TSS and entry stack (section .percpu.entry, a page of its own) and the highest page of each IST
 * stack. All of it is ring 0's, and none of it is secret: it says where things lie, not what is in them. */
#include "kernel/pti.h"

#include "kernel/patch.h"
#include "lib/assert.h"
#include "lib/features.h"
#include "lib/image.h"
#include "lib/log.h"
#include "lib/x86/desc.h"
#include "mm/frame.h"
#include "mm/isolation.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "smp/cpus.h"

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
static struct pt_pool pool = {.alloc = table_alloc, .retire = table_free};
static struct pt shared = {.pool = &pool};

static void map_page(u64 address, u32 prot)
{
    vaddr_t page = ALIGN_DOWN(address, PAGE_SIZE);
    struct pt_entry e = pt_walk(&kernel_pt, page);
    ASSERT(e.present, "what the entry from ring 3 needs is mapped in the kernel");
    paddr_t pa = PADDR(e.pa.v + (page & ((1ull << e.size) - 1)));
    err_t done = pt_map(&shared, page, pa, PT_4K, prot);
    if (done != ERR_OK)
        panic("pti=on: %llx cannot be mapped for ring 3's roots: %s", (unsigned long long)page,
              err_name(done));
}

void pti_init(const struct trap_stacks *stacks)
{
    if (!features.pti)
        return;
    if (frame_alloc_zeroed(FRAME_OWNER_TABLE, &shared.root) != ERR_OK)
        panic("pti=on: no memory for the tables that ring 3's roots share");
    for (u64 page = (u64)kernel_entry_start; page < (u64)kernel_entry_end; page += PAGE_SIZE)
        map_page(page, PT_EXEC);
    struct desc_pointer idt;
    sidt(&idt);
    map_page(idt.base, PT_READ);
    for (cpu_t c = 0; c < cpu_count(); c++) {
        map_page(percpu_base[c], PT_WRITE);
        map_page(stacks[c].nmi - 1, PT_WRITE);
        map_page(stacks[c].double_fault - 1, PT_WRITE);
        map_page(stacks[c].machine_check - 1, PT_WRITE);
    }
    isolation_begin(shared.root);
    err_t e = patch_set(PATCH_PTI, true);
    ASSERT(e == ERR_OK, "a lone CPU can change its code");
    log_info("pti: ring 3 runs on roots that map %llu KiB of the kernel's code and %u pages for each CPU; no "
             "global pages",
             (unsigned long long)(kernel_entry_end - kernel_entry_start) / KIB, 4);
}
