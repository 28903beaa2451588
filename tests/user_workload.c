#include "tests/user_workload.h"

#include "lib/atomic.h"
#include "lib/string.h"
#include "smp/cpus.h"

#define RUN_LIMIT_MS  60000u /* hang detector */
#define THREADS_USUAL 64u
#define THREADS_LEAST 8u

bool user_open(struct test *t, struct user_run *r, const char *program)
{
    void *view;
    *r = (struct user_run){0};
    err_t e = process_create(program, &r->process);
    if (!CHECK(t, e == ERR_OK, "%s: %s", program, err_name(e))) {
        r->process = NULL;
        return false;
    }
    e = process_share_pages(r->process, WORKLOAD_VA, ALIGN_UP(sizeof(*r->w), PAGE_SIZE) / PAGE_SIZE, &view);
    if (!CHECK(t, e == ERR_OK, "%s: no shared pages: %s", program, err_name(e)))
        return false;
    r->w = view;
    return true;
}

bool user_start(struct test *t, struct user_run *r, cpu_t cpu)
{
    thread_handle_t h;
    err_t e = process_start(r->process, cpu, WORKLOAD_VA, &h);
    return CHECK(t, e == ERR_OK, "%s on CPU %u: %s", process_name(r->process), cpu, err_name(e));
}

bool user_wait(struct test *t, struct user_run *r)
{
    err_t e = process_wait(r->process, RUN_LIMIT_MS, &r->status);
    if (CHECK(t, e == ERR_OK, "%s has not ended after %u s: %s", process_name(r->process),
              RUN_LIMIT_MS / 1000, err_name(e)))
        return true;
    process_kill(r->process);
    e = process_wait(r->process, RUN_LIMIT_MS, &r->status);
    CHECK(t, e == ERR_OK, "%s cannot be killed: %s", process_name(r->process), err_name(e));
    return false;
}

void user_close(struct user_run *r)
{
    if (r->process)
        process_unref(r->process);
    r->process = NULL;
    r->w = NULL;
}

/* 0, which is the program's choice, up to TEST_CPUS_USUAL CPUs; with many of them fewer threads, as the turns of each are paid by all. */
static u64 threads_for_many(void)
{
    u32 cpus = cpu_online_count();
    return cpus <= TEST_CPUS_USUAL ? 0 : MIN(cpus - 1, test_rounds(THREADS_USUAL, THREADS_LEAST));
}

u64 user_run(struct test *t, const char *program, cpu_t cpu, u64 count, u64 least)
{
    struct user_run r;
    u64 checks = 0;
    if (user_open(t, &r, program)) {
        r.w->count = count;
        r.w->threads = threads_for_many();
        if (user_start(t, &r, cpu) && user_wait(t, &r)) {
            struct workload_verdict v = r.w->verdict;
            v.failure[sizeof(v.failure) - 1] = 0;
            checks = v.checks;
            CHECK(t, v.failures == 0, "%s: %llu of %llu checks failed; the first: %s", program,
                  (unsigned long long)v.failures, (unsigned long long)v.checks, v.failure);
            CHECK(t, r.status == 0, "%s ended with status %lld", program, (long long)r.status);
            CHECK(t, checks >= least, "%s made %llu checks; at least %llu were expected", program,
                  (unsigned long long)checks, (unsigned long long)least);
        }
    }
    user_close(&r);
    return checks;
}
