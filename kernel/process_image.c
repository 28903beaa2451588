/* What the kernel puts into a process's space: the program's segments, stacks, and pages shared with the kernel.
 *
 * All of it are demand-zero regions, so that zeroed data needs no frame before its first touch, and copy-on-write copies need no
 * case of their own. What the file holds of pages that nobody may write is shared by the program's processes; the rest is copied into
 * fresh frames through the direct map before they are mapped. Ring 3 never sees a page of text writable. */
#include "kernel/process_internal.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/layout.h"

/* What the file has of the page at va, mapped there: what all processes of the program share, or a frame of this one's. */
static err_t map_file_page(struct process *p, const struct elf_segment *s, vaddr_t va)
{
    paddr_t frame = program_text(p->program, s, va);
    if (!paddr_is_none(frame))
        return region_share(p->space, va, frame);
    err_t e = frame_alloc_zeroed(FRAME_OWNER_USER, &frame);
    if (e != ERR_OK)
        return e;
    program_copy_page(p->program, s, va, frame);
    e = space_map(p->space, va, frame, PAGE_SIZE, PT_4K, s->prot | PT_USER | PT_OWNED);
    if (e != ERR_OK)
        frame_free(frame);
    return e;
}

static err_t map_segment(struct process *p, const struct elf_segment *s)
{
    vaddr_t start = ALIGN_DOWN(s->start, PAGE_SIZE), end = ALIGN_UP(s->start + s->memory_bytes, PAGE_SIZE),
            at;
    err_t e = region_map(p->space, start, end - start, s->prot | PT_USER, REGION_ZERO, PT_4K, &at);
    if (!s->file_bytes)
        return e;
    for (vaddr_t va = start; e == ERR_OK && va < s->start + s->file_bytes; va += PAGE_SIZE)
        e = map_file_page(p, s, va);
    return e;
}

err_t process_map_image(struct process *p)
{
    const struct elf_image *image = &p->program->image;
    err_t e = ERR_OK;
    for (u32 i = 0; e == ERR_OK && i < image->segment_count; i++)
        e = map_segment(p, &image->segment[i]);
    return e;
}

err_t process_map_stack(struct process *p, u32 *slot)
{
    for (u32 i = 0; i < PROCESS_THREADS_MAX; i++) {
        vaddr_t at;
        err_t e = region_map(p->space, process_stack_top(i) - USER_STACK_BYTES, USER_STACK_BYTES,
                             PT_WRITE | PT_USER, REGION_ZERO, PT_4K, &at);
        if (e == ERR_EXIST)
            continue; /* another thread's, or the program has mapped something there */
        *slot = i;
        return e;
    }
    return ERR_FULL;
}

void process_unmap_stack(struct process *p, u32 slot)
{
    vaddr_t top = process_stack_top(slot);
    /* ERR_FULL: the program has taken the middle out of it, and has as many regions as it may. Then it stays. */
    err_t e = region_unmap(p->space, top - USER_STACK_BYTES, top);
    (void)e;
}

err_t process_share_pages(struct process *p, vaddr_t va, u64 pages, void **kernel_view)
{
    u32 order = 0;
    if (pages == 0 || pages > 1ull << FRAME_2M)
        return ERR_RANGE;
    if (p->share_count == PROCESS_SHARES_MAX)
        return ERR_FULL;
    while (1ull << order < pages)
        order++;

    paddr_t block;
    vaddr_t at;
    u64 bytes = pages * PAGE_SIZE;
    err_t e = frame_alloc_order(order, FRAME_OWNER_USER, &block);
    if (e != ERR_OK)
        return e;
    memset(phys_to_virt(block), 0, PAGE_SIZE << order);
    e = region_map(p->space, va, bytes, PT_WRITE | PT_USER, REGION_FIXED, PT_4K, &at);
    if (e == ERR_OK) {
        e = space_charge(p->space, 1ull << order);
        if (e == ERR_OK) {
            e = space_map(p->space, at, block, bytes, PT_4K, PT_WRITE | PT_USER);
            if (e != ERR_OK)
                space_uncharge(p->space, 1ull << order);
        }
        if (e != ERR_OK) {
            err_t undo = region_unmap(p->space, at, at + bytes);
            ASSERT(undo == ERR_OK, "a whole region goes without a split");
        }
    }
    if (e != ERR_OK) {
        frame_free(block);
        return e;
    }
    p->share[p->share_count].block = block;
    p->share[p->share_count++].order = order;
    *kernel_view = phys_to_virt(block);
    return ERR_OK;
}
