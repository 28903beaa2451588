/* What a space, a process and a thread cost of memory, counted: exactly what docs/memory-map.md says, and nothing of it is left behind. */
#include "kernel/process.h"
#include "kernel/program.h"
#include "lib/features.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "tests/thread_util.h"
#include "tests/window.h"

#define SPACES        24u
#define THREADS       80u /* more than fit into one page table: a stack and its guard take 20 KiB of 2 MiB */
#define PROCESSES     4u

#define STACK_FRAMES  (KSTACK_SIZE / PAGE_SIZE)
#define RING3_FRAMES  1u /* mailbox and XSAVE area */
#define ROOTS         (features.pti ? 2u : 1u)
#define REGION_FRAMES 1u
#define IMAGES_END    (16 * MIB) /* of the programs in user/: user/user.ld */
#define BLOCKS_MAX    (THREAD_MAX * (KSTACK_SIZE + PAGE_SIZE) / (2 * MIB) + 2)

static u64 used_now(void)
{
    shootdown_settle(NULL, 0);
    return frame_stats().total - frame_stats().free;
}

/* Frames of a space's descriptor: a block of a power of two, with a line for each CPU in it. */
static u64 descriptor_frames(void)
{
    u64 bytes = sizeof(struct space) + cpu_count() * sizeof(struct tlb_cpu), frames = 1;
    while (frames * PAGE_SIZE < bytes)
        frames *= 2;
    return frames;
}

static void expect_used(struct test *t, const char *what, u64 before, u64 expected)
{
    u64 now = used_now();
    CHECK(t, now == before + expected, "%s: %lld frames, and %llu were to be", what,
          (long long)(now - before), (unsigned long long)expected);
}

static void memory_of_spaces(struct test *t)
{
    struct space *s[SPACES];
    u64 before = used_now(), each = descriptor_frames() + ROOTS;
    u32 n = 0;
    while (n < SPACES && CHECK(t, space_create(&s[n]) == ERR_OK, "no space"))
        n++;
    expect_used(t, "spaces", before, n * each);
    for (u32 i = 0; i < n; i++) {
        vaddr_t at;
        err_t e = region_map(s[i], TEST_USER_VA, PAGE_SIZE, PT_WRITE, REGION_ZERO, PT_4K, &at);
        CHECK(t, e == ERR_OK, "region: %s", err_name(e));
    }
    expect_used(t, "spaces with a region each", before, n * (each + REGION_FRAMES));
    for (u32 i = 0; i < n; i++) {
        region_destroy_all(s[i]);
        space_destroy(s[i]);
    }
    expect_used(t, "spaces that are gone", before, 0);
    test_note(t, "a space: %llu frames, with regions %llu", (unsigned long long)each,
              (unsigned long long)(each + REGION_FRAMES));
}
TEST(memory_of_spaces, "a space costs its descriptor, its root and its regions, and nothing is left of it");

/* Page tables under the stacks: those 2 MiB in which at least one has its pages. They are all within one GiB or two, whose tables there are
 * always. */
static u32 stack_tables(void)
{
    static u64 block[BLOCKS_MAX];
    u32 n = 0;
    for (u32 i = 0; i < THREAD_MAX; i++) {
        u64 top = thread_at(i)->stack_top;
        if (top < KMAP_BASE || top >= KMAP_BASE + KMAP_SIZE)
            continue;
        for (u64 at = top - KSTACK_SIZE; at < top; at += PAGE_SIZE) {
            u32 j = 0;
            while (j < n && block[j] != at / (2 * MIB))
                j++;
            if (j == n && n < BLOCKS_MAX)
                block[n++] = at / (2 * MIB);
        }
    }
    return n;
}

static void nobody(void *arg)
{
    (void)arg;
}

/* Threads that are made and not started, of the kernel or of p; then they are given back. */
static void threads(struct test *t, struct process *p)
{
    static struct thread *made[THREADS];
    thread_trim();
    u64 before = used_now(), each = STACK_FRAMES + (p ? RING3_FRAMES : 0);
    u32 count = thread_count(), tables = stack_tables(), n = 0;
    for (; n < THREADS; n++) {
        err_t e = p ? thread_create_user(0, p, USER_MAP_BASE, USER_MAP_BASE, 0, &made[n])
                    : thread_create(0, t->name, nobody, NULL, &made[n]);
        if (!CHECK(t, e == ERR_OK, "no thread: %s", err_name(e)))
            break;
    }
    const char *what = p ? "threads of ring 3" : "threads of the kernel";
    expect_used(t, what, before, n * each + stack_tables() - tables);
    CHECK(t, thread_count() == count + n, "%u threads, there were %u", thread_count(), count);
    while (n)
        thread_put(made[--n]);
    CHECK(t, wait_until_gone(count), "%u threads are left, there were %u", thread_count(), count);
    thread_trim();
    expect_used(t, "threads that are gone", before, 0);
}

static void memory_of_threads(struct test *t)
{
    struct process *p;
    threads(t, NULL);
    err_t e = process_create("responder", &p);
    if (CHECK(t, e == ERR_OK, "no process: %s", err_name(e))) {
        threads(t, p);
        process_unref(p);
    }
    test_note(t, "a thread: %llu frames of stack, in ring 3 %u more, and a table for each %llu",
              (unsigned long long)STACK_FRAMES, RING3_FRAMES,
              (unsigned long long)(2 * MIB / (KSTACK_SIZE + PAGE_SIZE)));
}
TEST(memory_of_threads, "a thread costs its stack, in ring 3 one frame more, and nothing is left of it");

/* Pages that all processes of a program are charged for, and none has for itself. */
static u64 text_pages(const struct program *program)
{
    u64 n = 0;
    for (u32 i = 0; i < program->image.segment_count; i++) {
        const struct elf_segment *s = &program->image.segment[i];
        for (vaddr_t va = ALIGN_DOWN(s->start, PAGE_SIZE); va < s->start + s->file_bytes; va += PAGE_SIZE)
            n += !paddr_is_none(program_text(program, s, va));
    }
    return n;
}

static void memory_of_processes(struct test *t)
{
    struct process *p[PROCESSES], *copy;
    const struct program *program = program_find("responder");
    REQUIRE(t, program, "there is no program responder");
    u64 text = text_pages(program);
    u64 before = used_now(), fixed = 1 + descriptor_frames() + ROOTS + REGION_FRAMES, charged = 0;
    u32 count = process_count(), n = 0;
    for (; n < PROCESSES; n++) {
        err_t e = process_create("responder", &p[n]);
        if (!CHECK(t, e == ERR_OK, "no process: %s", err_name(e)))
            break;
        charged += process_space(p[n])->frames - text;
    }
    expect_used(t, "processes", before, n * fixed + charged);
    CHECK(t, n < PROCESSES || charged > 0, "a process holds no memory");
    if (n && CHECK(t, process_clone(p[0], &copy) == ERR_OK, "no copy")) {
        /* Its pages are the other's, and counted for both; its tables are its own. */
        u64 shared = 0;
        for (vaddr_t va = USER_START; va < IMAGES_END; va += PAGE_SIZE)
            shared += space_query(process_space(copy), va).present;
        CHECK(t, shared > 0, "a copy shares nothing");
        expect_used(t, "processes and a copy", before,
                    (n + 1) * fixed + charged + process_space(copy)->frames - shared);
        process_unref(copy);
    }
    while (n)
        process_unref(p[--n]);
    CHECK(t, process_count() == count, "%u processes are left, there were %u", process_count(), count);
    expect_used(t, "processes that are gone", before, 0);
    test_note(
        t, "a process: %llu frames, and %llu for the program `responder`, whose %llu of text are there once",
        (unsigned long long)fixed, (unsigned long long)(charged / PROCESSES), (unsigned long long)text);
}
TEST(memory_of_processes,
     "a process costs one frame, its space, and what it is charged for but text, and nothing is left of it");
