/* What a benchmark's pass that counts has found is found again under its own key, and in its own run. */
#include "bench/counts.h"

#include "bench/bench.h"
#include "tests/test.h"

static void count_cell(const struct bench_key *k)
{
    bench_counts_begin();
    bench_counts_cell_begin();
    bench_counts_cell_end(1);
    bench_counts_store(k);
    bench_counts_end();
}

static void bench_counts_have_keys(struct test *t)
{
    static const struct bench_key counted = {
        .bench = "test", .metric = "one", .cpus = 3, .fanout = 2, .pages = 1};
    struct bench_key other[] = {counted, counted, counted, counted};
    struct bench_counts c;
    other[0].fanout = 4;
    other[1].cpus = 2;
    other[2].pages = 2;
    other[3].op = "unmap";
    bench_counts_clear();
    count_cell(&counted);
    CHECK(t, bench_counts_find(&counted, &c), "a cell that was counted is not known");
    for (u32 i = 0; i < ARRAY_SIZE(other); i++)
        CHECK(t, !bench_counts_find(&other[i], &c), "a cell that was never counted has another's counts: %u",
              i);
    bench_counts_clear();
    CHECK(t, !bench_counts_find(&counted, &c), "a cell is known from an earlier run");
}
TEST(bench_counts_have_keys, "what was counted belongs to its key, and to its run");
