/* Per-CPU variables: every CPU has its own copy, reached in one instruction through GS and by everyone through per_cpu(). */
#include "lib/percpu.h"
#include "apic/apic.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"

#define PERCPU_MS 5000u

static PERCPU(u64, percpu_probe);
static PERCPU(u8, percpu_byte); /* an odd size between others, so that the next one's address counts */
static PERCPU(u64, percpu_initial) = 0x1234567890abcdefull;

static struct {
    u64 self, address, initial;
    cpu_t cpu;
    apic_id_t apic_id, apic_id_hardware;
} seen[MAX_CPUS];

static void fill_probe(void *arg)
{
    cpu_t c = (cpu_t)(uintptr_t)arg;
    this_cpu(percpu_probe) = 0;
    this_cpu(percpu_byte) = (u8)c;
    for (u32 i = 0; i < 1000; i++)
        this_cpu(percpu_probe) += c + 1;
    seen[c].self = this_cpu(percpu_head.self);
    seen[c].address = (u64)this_cpu_ptr(percpu_probe);
    seen[c].initial = this_cpu(percpu_initial);
    seen[c].cpu = cpu_self();
    seen[c].apic_id = this_cpu(percpu_head.apic_id);
    seen[c].apic_id_hardware = apic_id();
}

static void percpu_is_private(struct test *t)
{
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self()) {
            fill_probe((void *)(uintptr_t)c);
            continue;
        }
        err_t e = worker_start(c, fill_probe, (void *)(uintptr_t)c);
        CHECK(t, e == ERR_OK, "CPU %u: %s", c, err_name(e));
    }
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c != cpu_self())
            CHECK(t, worker_wait(c, PERCPU_MS) == ERR_OK, "CPU %u does not finish", c);
        u64 v = atomic_load_relaxed(&per_cpu(percpu_probe, c));
        CHECK(t, v == 1000ull * (c + 1), "CPU %u counted to %llu, expected %llu", c, (unsigned long long)v,
              1000ull * (c + 1));
        CHECK(t, per_cpu(percpu_byte, c) == (u8)c, "CPU %u's byte is %u", c, per_cpu(percpu_byte, c));
        CHECK(t, seen[c].initial == 0x1234567890abcdefull, "CPU %u began with %llx", c,
              (unsigned long long)seen[c].initial);
        CHECK(t, seen[c].address == (u64)&per_cpu(percpu_probe, c),
              "CPU %u has its variable at %llx, others see it at %p", c, (unsigned long long)seen[c].address,
              (void *)&per_cpu(percpu_probe, c));
    }
}
TEST(percpu_is_private, "each CPU counts in its own copy, and others read that copy");

static void percpu_head_is_right(struct test *t)
{
    percpu_is_private(t);
    CPUMASK_FOREACH (c, &cpus_online) {
        CHECK(t, seen[c].self == percpu_base[c], "CPU %u's block says it is at %llx, its GS base is %llx", c,
              (unsigned long long)seen[c].self, (unsigned long long)percpu_base[c]);
        CHECK(t, seen[c].cpu == c, "CPU %u thinks it is %u", c, seen[c].cpu);
        CHECK(t, seen[c].apic_id == seen[c].apic_id_hardware && seen[c].apic_id == cpu_apic_id(c),
              "CPU %u: APIC id %u in its block, %u in its APIC, %u in the list", c, seen[c].apic_id,
              seen[c].apic_id_hardware, cpu_apic_id(c));
        CHECK(t, IS_ALIGNED(percpu_base[c], CACHE_LINE_SIZE), "CPU %u's block begins inside a cache line", c);
        CPUMASK_FOREACH (d, &cpus_online)
            CHECK(t,
                  c >= d || percpu_base[c] + (u64)percpu_size <= percpu_base[d] ||
                      percpu_base[d] + (u64)percpu_size <= percpu_base[c],
                  "the blocks of CPUs %u and %u overlap", c, d);
    }
}
TEST(percpu_head_is_right,
     "each CPU's block knows its address, index and APIC id, and shares no line with another");
