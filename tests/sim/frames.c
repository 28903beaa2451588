/* Physical memory, and the frame allocator that the code under test calls: the most treacherous one allowed. What is freed changes
 * hands at once (its generation grows, its content becomes poison) and is the next to be allocated. */
#include "tests/sim/machine.h"
#include "tests/sim/std.h"

#include "mm/frame_internal.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/pte.h"

#define BARE_FIRST 512u /* 2 MiB blocks that have descriptors, but no memory behind them */
#define BARE_END   1536u
#define CANARY                                                                                               \
    0x00000badcafe5067ull /* present, writable, for user mode: whoever walks here gets this translation */

struct sim_phys sim_phys;
static struct frame frames[BARE_END];
static u32 free_singles[SIM_FRAMES], free_count, next_bare = BARE_FIRST;

/* The kernel's way from a frame number to its descriptor: all of ours lie in one section. */
#define SECTION (SIM_PHYS_BASE >> PAGE_SHIFT >> FRAME_SECTION_SHIFT)
static struct frame *sections[SECTION + 1] = {[SECTION] = frames};
struct frame **frame_sections = sections;
u32 frame_section_count = SECTION + 1;

void sim_phys_init(void)
{
    sim_phys.memory = aligned_alloc(PAGE_SIZE, SIM_FRAMES * PAGE_SIZE);
    if (!sim_phys.memory)
        abort();
}

static u32 number_of(u64 pa)
{
    return (u32)((pa - SIM_PHYS_BASE) / PAGE_SIZE);
}

struct frame *sim_frame(u64 pa)
{
    u32 n = number_of(pa);
    return pa >= SIM_PHYS_BASE && n < BARE_END && (n < SIM_FRAMES || n >= BARE_FIRST) ? &frames[n] : NULL;
}

struct frame *frame_of(paddr_t p)
{
    return sim_frame(p.v);
}

bool sim_in_phys(const volatile void *p)
{
    return (const volatile u8 *)p >= sim_phys.memory &&
           (const volatile u8 *)p < sim_phys.memory + sim_phys.used * PAGE_SIZE;
}

void *host_phys_to_virt(paddr_t p)
{
    if (p.v < SIM_PHYS_BASE || number_of(p.v) >= SIM_FRAMES)
        sim_fail("software follows physical address %llx, where there is no memory: a poisoned table?",
                 (unsigned long long)p.v);
    return sim_phys.memory + (p.v - SIM_PHYS_BASE);
}

paddr_t host_virt_to_phys(const void *v)
{
    return PADDR((u64)((const u8 *)v - sim_phys.memory) + SIM_PHYS_BASE);
}

bool sim_is_table(u64 pa, u32 generation)
{
    const struct frame *f = sim_frame(pa);
    return f && f->state == FRAME_USED && f->owner == FRAME_OWNER_TABLE && f->generation == generation;
}

u32 sim_frames_in_use(void)
{
    u32 n = 0;
    for (u32 i = 0; i < BARE_END; i++)
        n += frames[i].state == FRAME_USED ? 1u << frames[i].order : 0;
    return n;
}

static void give(u32 n, u32 order, enum frame_owner owner, paddr_t *out)
{
    frames[n].owner = (u16)owner;
    frames[n].order = (u8)order;
    frames[n].state = FRAME_USED;
    frames[n].mappings = 0;
    *out = PADDR(SIM_PHYS_BASE + n * PAGE_SIZE);
}

err_t frame_alloc_order(u32 order, enum frame_owner owner, paddr_t *out)
{
    u32 n;
    if (order == FRAME_2M) {
        n = next_bare;
        next_bare += 1u << order;
        if (next_bare > BARE_END)
            return ERR_NOMEM;
    } else if (order == 0 && free_count) {
        n = free_singles[--free_count];
    } else {
        n = (u32)ALIGN_UP(sim_phys.used, 1u << order);
        if (n + (1u << order) > SIM_FRAMES)
            return ERR_NOMEM;
        sim_phys.used = n + (1u << order);
    }
    give(n, order, owner, out);
    return ERR_OK;
}

err_t frame_alloc(enum frame_owner owner, paddr_t *out)
{
    return frame_alloc_order(0, owner, out);
}

err_t frame_alloc_zeroed(enum frame_owner owner, paddr_t *out)
{
    err_t e = frame_alloc_order(0, owner, out);
    if (e == ERR_OK)
        memset(host_phys_to_virt(*out), 0, PAGE_SIZE);
    return e;
}

void frame_free(paddr_t p)
{
    struct frame *f = sim_frame(p.v);
    u32 n = number_of(p.v);
    sim_step(STEP_VISIBLE, NULL, true, "frame_free", NULL);
    if (!f || f->state != FRAME_USED)
        sim_fail("frame %llx is freed, but not in use", (unsigned long long)p.v);
    if (f->mappings)
        sim_fail("frame %llx is freed while %u entries point at it", (unsigned long long)p.v, f->mappings);
    if (sim_tracing)
        sim_trace(sim.now, "  (frame %llx has a new owner)", (unsigned long long)p.v);
    sim_table_gone(p.v);
    sim_ghost_forget(p.v);
    f->state = FRAME_FREE;
    for (u32 i = 0; i < 1u << f->order; i++)
        frames[n + i].generation++;
    sim_changed();
    if (n >= SIM_FRAMES)
        return;
    u64 *word = host_phys_to_virt(p);
    for (u32 i = 0; i < PT_ENTRIES << f->order; i++)
        word[i] = CANARY;
    if (f->order == 0)
        free_singles[free_count++] = n;
}

void frame_free_known(struct frame *f, paddr_t p)
{
    if (f != sim_frame(p.v))
        sim_fail("the descriptor of another frame than %llx", (unsigned long long)p.v);
    frame_free(p);
}

/* A 2 MiB block as 512 single frames, and back. */
void frame_split(paddr_t p)
{
    u32 n = number_of(p.v);
    for (u32 i = 0; i < FRAME_BLOCK_MAX; i++) {
        frames[n + i].owner = frames[n].owner;
        frames[n + i].order = 0;
        frames[n + i].state = FRAME_USED;
    }
}

bool frame_join(paddr_t p)
{
    u32 n = number_of(p.v);
    for (u32 i = 0; i < FRAME_BLOCK_MAX; i++)
        if (frames[n + i].state != FRAME_USED || frames[n + i].order ||
            frames[n + i].owner != frames[n].owner)
            return false;
    for (u32 i = 1; i < FRAME_BLOCK_MAX; i++)
        frames[n + i].state = FRAME_TAIL;
    frames[n].order = FRAME_2M;
    return true;
}

void frame_drain_cache(void) {}

/* ---- the kernel's own memory ---- */

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
static struct pt_pool kernel_pool = {.alloc = table_alloc, .retire = table_free, .free = table_free};
struct pt kernel_pt = {.root = {~0ull}, .pool = &kernel_pool};

void *kmap_pages(u64 n, u16 owner)
{
    paddr_t first = PADDR_NONE, p;
    for (u64 i = 0; i < n; i++)
        if (frame_alloc_zeroed(owner, i ? &p : &first) != ERR_OK)
            return NULL;
    return host_phys_to_virt(first); /* contiguous: only called before anything was freed */
}
