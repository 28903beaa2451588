/* Benchmarks: one table entry each, in bench/NAME.c. The runner owns which run, warm-up, its own overhead, how long, quiet,
 * percentiles and output; the file owns the question.
 *
 *   static void run(struct bench_run *b) {...}
 *   BENCH(ipi, "interrupts and messages between CPUs: the floor", run);
 *
 * bench=default runs those that are not on request only, bench=all all, bench=NAME[,NAME] the named ones; `bench` at the
 * prompt likewise. */
#pragma once

#include "bench/responders.h"
#include "bench/sample.h"
#include "lib/cpumask.h"
#include "lib/table.h"

struct bench_run {
    u32 refused; /* cells that could not be measured; each has been explained on the console */
};

struct bench_entry {
    const char *name, *what;
    void (*run)(struct bench_run *b); /* thread on CPU 0; workers of the others idle */
    bool on_request;                  /* not in bench=default */
};
TABLE_DECLARE(bench, struct bench_entry);
#define BENCH(ident, what_, run_)                                                                            \
    TABLE_ENTRY(bench, struct bench_entry, bench_entry_##ident) = {.name = #ident, .what = what_, .run = run_}
/* The same for one that bench=default leaves out. */
#define BENCH_ON_REQUEST(ident, what_, run_)                                                                 \
    TABLE_ENTRY(bench, struct bench_entry,                                                                   \
                bench_entry_##ident) = {.name = #ident, .what = what_, .run = run_, .on_request = true}

/* The names that bench= asked for, or NULL. */
const char *bench_requested(void);
/* Runs them; false if a name is unknown or a cell was refused. */
bool bench_run(const char *names);

/* Has the run used up its time (bench_limit=, 30 s by default)? Then a benchmark leaves out its remaining cells, which is said when it ends:
 * what was measured stands, and the run ends, however slow the emulator and however many CPUs share a core of the host. */
bool bench_out_of_time(void);

/* A cell that cannot be measured: says why, counts it. */
void bench_refuse(struct bench_run *b, const char *fmt, ...) PRINTF(2, 3);

/* By how much `value` is more than `base`, which is not 0, in thousandths of that, rounded. Both below 2^52. */
static inline s64 bench_permille(u64 value, u64 base)
{
    s64 twice = ((s64)value - (s64)base) * 2000 / (s64)base;
    return (twice + (twice < 0 ? -1 : 1)) / 2;
}

/* What the axes were set to (bench/axes.c): pages=, cpus=, op=, responders=, initiator=, deliveries=. */
#define BENCH_AXIS_MAX 16u
struct bench_axis {
    u32 count;
    u64 value[BENCH_AXIS_MAX];
};
const struct bench_axis *bench_axis_pages(void);
bool bench_axis_pages_chosen(void); /* by pages=, or is it the default? */
/* CPU counts, the initiator included, none above the online CPUs: 1, powers of two, and all, unless cpus= says otherwise. */
const struct bench_axis *bench_axis_cpus(void);
bool bench_axis_cpus_chosen(void); /* by cpus=, or is it the default? */
/* False, and the benchmark is refused: cpus= leaves no number. */
bool bench_axis_cpus_left(struct bench_run *b);
/* Measures under each delivery of deliveries=, or under the one in force. THREAD. */
void bench_each_delivery(struct bench_run *b, void (*measure)(struct bench_run *b));
bool bench_axis_has_op(const char *op);
bool bench_axis_has_responders(enum responder_kind k);
bool bench_axis_has_initiator(bool outside);

/* What one record says besides the distribution; NULL and 0 fields are left out, but for counts. */
struct bench_key {
    const char *bench, *policy, *op, *responders, *initiator, *metric, *unit;
    const char
        *served_by; /* the policy that the requests under `policy` were routed to, or `policy` itself */
    u32 cpus, fanout;
    u64 pages;
    u64 icr, irqs;       /* over all samples; the record has them for one operation */
    const char *trust;   /* NULL: bench_trust() */
    bool more_is_better; /* of a rate or a share; all else is better when it is less */
};
/* Prints the `bench` record of a finished set of samples. */
void bench_record(const struct bench_key *k, struct samples *s);
/* The same, and a row of a table: metric, CPUs, min, p50, p99, max, mean, n. Its head: bench_table_head. */
void bench_table_head(const char *unit);
void bench_row(const struct bench_key *k, struct samples *s);
/* How far a figure taken here can be believed, for the records and the tables. */
const char *bench_trust(void);

/* Busy CPUs: worker loops in the kernel on CPUs 1 .. n-1, until bench_release. ERR_* if one did not start. */
err_t bench_occupy(u32 cpus, void (*loop)(void *arg), void *arg) MUST_CHECK;
/* Has the loop of a busy CPU been asked to end? To be looked at in every turn, beside a PAUSE. */
bool bench_should_stop(void);
/* Ends the loops and waits for them; panics if one does not end. */
void bench_release(void);
/* The plain loop: spins until told to end. */
void bench_spin(void *arg);
