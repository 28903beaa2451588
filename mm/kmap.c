/* The final kernel tables: the image by section, the direct map, and the root entries that all spaces share. */
#include "mm/kmap.h"

#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/image.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"
#include "mm/frame.h"
#include "mm/frame_map.h"
#include "mm/kmap_internal.h"
#include "mm/layout.h"
#include "mm/pte.h"

static err_t table_alloc(struct pt_pool *pool, paddr_t *out)
{
    (void)pool;
    return frame_alloc_zeroed(FRAME_OWNER_TABLE, out);
}

/* Only kmap_free_pages unlinks kernel tables here; it takes them from this list, flushes, and frees them. */
struct kernel_pool {
    struct pt_pool pool;
    u32 parked; /* list of frame numbers through struct frame.next */
};

static void table_retire(struct pt_pool *pool, paddr_t page)
{
    struct kernel_pool *k = container_of(pool, struct kernel_pool, pool);
    frame_of(page)->next = k->parked;
    k->parked = (u32)(page.v >> PAGE_SHIFT);
}

static void table_free(struct pt_pool *pool, paddr_t page)
{
    (void)pool;
    frame_free(page);
}

static struct kernel_pool kernel_pool = {
    .pool = {.alloc = table_alloc, .retire = table_retire, .free = table_free}, .parked = FRAME_LIST_END};
struct pt kernel_pt = {.root = {~0ull}, .pool = &kernel_pool.pool};

u32 kmap_take_parked_tables(void)
{
    u32 list = kernel_pool.parked;
    kernel_pool.parked = FRAME_LIST_END;
    return list;
}

void kmap_free_tables(u32 list)
{
    while (list != FRAME_LIST_END) {
        paddr_t page = PADDR((u64)list << PAGE_SHIFT);
        list = frame_of(page)->next;
        frame_free(page);
    }
}

u32 kmap_prot(u32 prot)
{
    return prot | (features.pge ? PT_GLOBAL : 0);
}

static void map(vaddr_t va, paddr_t pa, u64 bytes, enum pt_size max_size, u32 prot)
{
    if (!bytes)
        return;
    err_t e = pt_map_range(&kernel_pt, va, pa, bytes, max_size, kmap_prot(prot));
    if (e != ERR_OK)
        panic("the kernel's tables cannot map %llx at %llx, %llu KiB: %s", (unsigned long long)pa.v,
              (unsigned long long)va, (unsigned long long)(bytes / KIB), err_name(e));
}

/* Root entries are copied into every space's root when it is created, so they must all be there before the first
 * one, and their tables never go (mm/pt_change.c leaves them). */
static void make_root_entries(vaddr_t start, u64 bytes)
{
    u64 *root = phys_to_virt(kernel_pt.root);
    for (u32 i = pt_index(start, PT_LEVEL_ROOT); i <= pt_index(start + bytes - 1, PT_LEVEL_ROOT); i++) {
        paddr_t table;
        if (frame_alloc_zeroed(FRAME_OWNER_TABLE, &table) != ERR_OK)
            panic("no memory for the kernel's tables");
        u64 old = atomic_xchg(&root[i], pte_make_table(table, start));
        ASSERT(old == 0, "the areas of the kernel half share no root entry");
    }
}

/* 4 KiB pages, so that sections end where they end and the guard under the boot stack can be left out. */
static void map_image(void)
{
    const struct {
        char *start, *end;
        u32 prot;
    } parts[] = {
        {kernel_text_start, kernel_text_end, PT_EXEC},
        {kernel_rodata_start, kernel_rodata_end, PT_READ},
        {kernel_data_start, kernel_data_end, PT_WRITE},
        {kernel_bss_start, boot_stack_guard, PT_WRITE},
        {boot_stack_guard + PAGE_SIZE, kernel_bss_end, PT_WRITE},
    };
    for (u32 i = 0; i < ARRAY_SIZE(parts); i++)
        map((vaddr_t)parts[i].start, virt_to_phys(parts[i].start), (u64)(parts[i].end - parts[i].start),
            PT_4K, parts[i].prot);
}

static void map_direct(u64 start, u64 end, u32 prot)
{
    if (start < end)
        map(DIRECT_MAP_BASE + start, PADDR(start), end - start, PT_1G, prot);
}

/* All that the map calls memory. Rodata, where all tables of function pointers are, must not be writable under its
 * second address either; text is, because kernel/patch.c writes its call sites there. */
static u64 map_memory(const struct boot_info *info)
{
    static struct frame_range ranges[BOOT_MEMMAP_MAX];
    const u32 wanted = FRAME_TYPE(BOOT_MEM_USABLE) | FRAME_TYPE(BOOT_MEM_ACPI) | FRAME_TYPE(BOOT_MEM_NVS);
    u64 ro_start = virt_to_phys(kernel_rodata_start).v, ro_end = virt_to_phys(kernel_rodata_end).v;
    u32 count = frame_map_ranges(info->mem, info->mem_count, wanted, NULL, 0, frame_address_limit(),
                                 FRAME_ROUND_OUT, ranges);

    ASSERT(count, "frame_init would have found no memory");
    make_root_entries(DIRECT_MAP_BASE, ranges[count - 1].end);
    for (u32 i = 0; i < count; i++) {
        u64 start = ranges[i].start, end = ranges[i].end;
        map_direct(start, MIN(end, ro_start), PT_WRITE);
        map_direct(MAX(start, ro_start), MIN(end, ro_end), PT_READ);
        map_direct(MAX(start, ro_end), end, PT_WRITE);
    }
    return frame_map_bytes(ranges, count);
}

void kmap_init(const struct boot_info *info)
{
    if (frame_alloc_zeroed(FRAME_OWNER_TABLE, &kernel_pt.root) != ERR_OK)
        panic("no memory for the kernel's root table");
    u64 mapped = map_memory(info);
    make_root_entries(KMAP_BASE, KMAP_SIZE);
    make_root_entries(KERNEL_BASE, 0 - KERNEL_BASE);
    map_image();
    kmap_name_guard((vaddr_t)boot_stack_guard, "boot");

    /* Boot's tables have no global entries, so this forgets all of them. The code and the stack in use lie at the
     * same addresses in both. */
    cr3_write(kernel_pt.root.v);
    frame_init_high();
    log_info("kernel: text %llu, rodata %llu, data and bss %llu KiB; direct map of %llu MiB",
             (unsigned long long)(kernel_text_end - kernel_text_start) / KIB,
             (unsigned long long)(kernel_rodata_end - kernel_rodata_start) / KIB,
             (unsigned long long)(kernel_bss_end - kernel_data_start) / KIB,
             (unsigned long long)(mapped / MIB));
}
