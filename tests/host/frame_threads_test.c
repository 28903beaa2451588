/* The frame allocator with threads as CPUs: no frame is ever in two hands, and none is lost.
 *
 *     sources: tests/host/phys.c mm/frame.c mm/frame_init.c mm/frame_buddy.c mm/frame_cache.c mm/frame_map.c
 *     sanitize: thread */
#include <pthread.h>
#include <sched.h>

#include "lib/atomic.h"
#include "mm/frame.h"
#include "tests/host/host.h"
#include "tests/host/phys.h"

#define CPUS  4u
#define STEPS 6000u
#define HELD  64u

static struct boot_info info = {.mem = {{{MIB}, PHYS_SIZE - MIB, BOOT_MEM_USABLE}},
                                .mem_count = 1,
                                .kernel_start = {MIB},
                                .kernel_end = {2 * MIB}};

static u32 holder[PHYS_SIZE / PAGE_SIZE]; /* by frame: CPU + 1 */
static paddr_t passed[CPUS][HELD];        /* frames for the next CPU to free */
static pthread_barrier_t barrier;

/* Marks a block as held by `to` instead of by `from`; 0 is nobody. */
static void hand(paddr_t p, u32 order, u32 from, u32 to)
{
    for (u32 i = 0; i < 1u << order; i++)
        HOST_CHECK(atomic_xchg(&holder[p.v / PAGE_SIZE + i], to) == from, "frame %llx in two hands",
                   (unsigned long long)p.v);
}

/* With more threads than cores, a ticket lock's next owner may not be running: let it. */
static void yield_now_and_then(const volatile void *p)
{
    static __thread u32 accesses;
    (void)p;
    if (++accesses % 64 == 0)
        sched_yield();
}

static void *cpu(void *arg)
{
    u32 self = (u32)(uintptr_t)arg, n = 0;
    struct {
        paddr_t p;
        u32 order;
    } held[HELD];
    unsigned seed = self + 1;
    host_cpu_index = self;
    for (u32 step = 0; step < STEPS; step++) {
        if (n == HELD || (n && rand_r(&seed) % 2)) {
            u32 i = (u32)rand_r(&seed) % n;
            hand(held[i].p, held[i].order, self + 1, 0);
            frame_free(held[i].p);
            held[i] = held[--n];
        } else {
            held[n].order = rand_r(&seed) % 8 ? 0 : (u32)rand_r(&seed) % 4;
            HOST_CHECK(frame_alloc_order(held[n].order, FRAME_OWNER_TEST, &held[n].p) == ERR_OK, "alloc");
            hand(held[n].p, held[n].order, 0, self + 1);
            n++;
        }
    }
    while (n--) {
        hand(held[n].p, held[n].order, self + 1, 0);
        frame_free(held[n].p);
    }
    for (u32 i = 0; i < HELD; i++)
        HOST_CHECK(frame_alloc(FRAME_OWNER_TEST, &passed[self][i]) == ERR_OK, "alloc");
    pthread_barrier_wait(&barrier);
    for (u32 i = 0; i < HELD; i++)
        frame_free(passed[(self + 1) % CPUS][i]);
    frame_drain_cache();
    return NULL;
}

HOST_TEST(no_frame_is_in_two_hands)
{
    pthread_t thread[CPUS];
    phys_reset(0);
    frame_init(&info);
    phys_before_access = yield_now_and_then;
    u64 free = frame_stats().free;
    pthread_barrier_init(&barrier, NULL, CPUS);
    for (u32 i = 0; i < CPUS; i++)
        pthread_create(&thread[i], NULL, cpu, (void *)(uintptr_t)i);
    for (u32 i = 0; i < CPUS; i++)
        pthread_join(thread[i], NULL);
    HOST_CHECK(frame_stats().free == free && frame_stats().cached == 0, "%llu of %llu frames came back",
               (unsigned long long)frame_stats().free, (unsigned long long)free);
}
