/* What a space has given up, and a policy that defers has not given back yet, is there for who takes as much again.
 *
 *     sources: tests/host/region_machine.c tests/host/phys.c mm/region.c mm/region_table.c mm/region_fault.c mm/region_unmap.c
 *     sources: mm/region_clone.c mm/region_move.c mm/space_ops.c mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c
 *     sources: mm/pt_leaf.c mm/frame.c mm/frame_init.c mm/frame_buddy.c mm/frame_cache.c mm/frame_map.c
 *     sanitize: address,undefined */
#include "mm/frame.h"
#include "mm/region.h"
#include "tests/host/phys.h"
#include "tests/host/region_machine.h"

#define LARGE (1ull << PT_2M)
#define PAGES 24u

/* As many tables lead to the one as to the other. */
static const vaddr_t place[2] = {512 * GIB, 512 * GIB + 16 * LARGE};

static struct space *begin(void)
{
    machine_start();
    machine_defers = true;
    return machine_space();
}

static void end(struct space *s)
{
    region_destroy_all(s);
    machine_space_end(s);
}

static void make(struct space *s, u32 at, u64 bytes, enum pt_size size)
{
    vaddr_t va;
    HOST_CHECK(region_map(s, place[at], bytes, PT_USER | PT_WRITE, REGION_ZERO, size, &va) == ERR_OK,
               "no region");
}

static bool use(struct space *s, vaddr_t va)
{
    u64 pa;
    bool nomem;
    return machine_use(0, s, va, true, &pa, &nomem);
}

static void at_the_limit(enum pt_size size, u64 bytes)
{
    struct space *s = begin();
    make(s, 0, bytes, size);
    HOST_CHECK(region_populate(s, place[0], place[0] + bytes) == ERR_OK, "populate");
    s->frames_max = s->frames;
    HOST_CHECK(region_unmap(s, place[0], place[0] + bytes) == ERR_OK && s->frames > PAGES && s->in_flight,
               "%llu frames are charged", (unsigned long long)s->frames);
    make(s, 1, bytes, size);
    for (vaddr_t va = place[1]; va < place[1] + bytes; va += 1ull << size)
        HOST_CHECK(use(s, va) && space_query(s, va).size == size, "page %llu: %llu frames of %llu",
                   (unsigned long long)(va - place[1]) >> size, (unsigned long long)s->frames,
                   (unsigned long long)s->frames_max);
    HOST_CHECK(region_unmap(s, place[1], place[1] + bytes) == ERR_OK && s->in_flight, "nothing is parked");
    make(s, 0, bytes, size);
    HOST_CHECK(region_populate(s, place[0], place[0] + bytes) == ERR_OK, "populate at the limit");
    end(s);
}

HOST_TEST(a_space_at_its_limit_finds_what_it_has_given_up)
{
    at_the_limit(PT_4K, PAGES * PAGE_SIZE);
    at_the_limit(PT_2M, LARGE);
}

HOST_TEST(it_is_refused_what_it_has_not_given_up)
{
    struct space *s = begin();
    make(s, 0, PAGES * PAGE_SIZE, PT_4K);
    make(s, 1, PAGES * PAGE_SIZE, PT_4K);
    HOST_CHECK(region_populate(s, place[0], place[0] + 2 * PAGE_SIZE) == ERR_OK, "populate");
    s->frames_max = s->frames;
    HOST_CHECK(region_unmap(s, place[0], place[0] + PAGE_SIZE) == ERR_OK, "unmap");
    /* One page has been given up: too little for a page of the other place with its table. */
    HOST_CHECK(!use(s, place[1]) && !s->in_flight, "more than the limit");
    HOST_CHECK(use(s, place[0] + 2 * PAGE_SIZE) && s->frames == s->frames_max,
               "the page that was given up is lost");
    end(s);
}

HOST_TEST(a_fault_finds_the_last_frames)
{
    static paddr_t hog[PHYS_SIZE / PAGE_SIZE];
    u32 hogs = 0;
    struct space *s = begin(), *other = machine_space();
    make(s, 0, PAGES * PAGE_SIZE, PT_4K);
    make(other, 0, PAGES * PAGE_SIZE, PT_4K);
    make(other, 1, PAGE_SIZE, PT_4K);
    HOST_CHECK(region_populate(s, place[0], place[0] + PAGES * PAGE_SIZE) == ERR_OK, "populate");
    HOST_CHECK(region_populate(other, place[0], place[0] + PAGE_SIZE) == ERR_OK, "populate");
    while (frame_alloc(FRAME_OWNER_TEST, &hog[hogs]) == ERR_OK)
        hogs++;
    HOST_CHECK(region_unmap(s, place[0] + PAGE_SIZE, place[0] + PAGES * PAGE_SIZE) == ERR_OK && s->in_flight,
               "nothing is parked");
    for (u32 i = 1; i < PAGES; i++)
        HOST_CHECK(use(other, place[0] + i * PAGE_SIZE), "page %u: no memory", i);
    HOST_CHECK(!use(other, place[1]), "there was more");
    while (hogs)
        frame_free(hog[--hogs]);
    end(other);
    end(s);
}
