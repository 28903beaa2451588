/* bringup: how long the other CPUs took to come up in this boot, all at once or one after the other (start=serial).
 *
 * A CPU that runs cannot be started again here, so one boot is one sample, and the comparison is of two boots: the record's
 * metric says which way it was ("parallel" or "serial"). Measured: the first INIT until the last CPU is online, two waits that
 * the processor manual prescribes among it (10 ms and 200 us, once or for each CPU). */
#include "bench/bench.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/cpus.h"

static void run(struct bench_run *b)
{
    u32 online = cpu_online_count();
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    if (online < 2) {
        print("  needs 2 CPUs, there is 1: nothing was started\n");
        return;
    }
    if (online != smp_start_expected()) {
        bench_refuse(b, "bringup: %u of %u CPUs came up: the time is that of giving up", online,
                     smp_start_expected());
        return;
    }
    struct cell_clock clock;
    cell_begin(&clock);
    samples_add(s, tsc_to_ns(smp_start_ticks));
    struct bench_key k = {.bench = "bringup",
                          .metric = smp_start_serial ? "serial" : "parallel",
                          .unit = "ns",
                          .cpus = online,
                          .icr = smp_start_commands};
    bench_table_head("ns");
    bench_row(&k, s);
    print("  %llu interrupt commands, %u prescribed waits\n", (unsigned long long)smp_start_commands,
          smp_start_waits);
    print("  %llu us for each of %u CPUs; boot with start=%s for the other way\n",
          (unsigned long long)(tsc_to_ns(smp_start_ticks) / 1000 / (online - 1)), online - 1,
          smp_start_serial ? "parallel" : "serial");
}
BENCH_ON_REQUEST(bringup, "starting the other CPUs, parallel or serial (start=)", run);
