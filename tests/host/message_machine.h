/* Interrupts for the host: an x2APIC whose only register is the ICR, and one latch per CPU and class. Included by one
 * file of a test program; threads (or one thread that changes host_cpu_index) play the CPUs. */
#pragma once

#include "apic/apic.h"
#include "apic/registers.h"
#include "lib/atomic.h"
#include "lib/percpu.h"
#include "smp/message.h"

bool apic_is_x2apic = true;
volatile u32 *apic_mmio;
const struct apic_driver *apic_driver;
COUNTER(icr_writes, "interrupt commands written");

static u32 irr[HOST_CPUS], nmi_latch[HOST_CPUS]; /* as in hardware: many requests, one bit */
static u64 eois[HOST_CPUS];

/* Sparse ids in two clusters, so that an index taken for an id, or a wrong cluster, shows. */
static const apic_id_t machine_ids[] = {2, 5, 14, 16, 19, 0x123};

static void latch(cpu_t from, cpu_t to, u64 command)
{
    (void)from;
    if ((command & 0x700) == ICR_NMI)
        (void)atomic_xchg(&nmi_latch[to], 1);
    else if ((command & 0xff) == VECTOR_MESSAGE)
        (void)atomic_xchg(&irr[to], 1);
}

void wrmsr(u32 msr, u64 v)
{
    cpu_t self = host_cpu();
    if (msr == MSR_X2APIC(APIC_REG_EOI)) {
        eois[self]++;
        return;
    }
    u32 dest = (u32)(v >> 32);
    for (cpu_t c = 0; c < cpu_count(); c++) {
        apic_id_t id = cpu_apic_id(c);
        bool hit = (v & ICR_ALL_BUT_SELF) == ICR_ALL_BUT_SELF ? c != self
                   : v & ICR_LOGICAL ? id >> 4 == dest >> 16 && (dest >> (id & 15) & 1)
                                     : id == dest;
        if (hit)
            latch(self, c, v);
    }
}

void apic_send_nmi(apic_id_t dest)
{
    counter_inc(icr_writes);
    wrmsr(MSR_X2APIC(APIC_REG_ICR), (u64)dest << 32 | ICR_NMI | ICR_ASSERT);
}

/* n CPUs, all online, inboxes in page-aligned static memory. */
static void machine_init(u32 n)
{
    static _Alignas(4096) char memory[ARRAY_SIZE(machine_ids) * 4096];
    for (cpu_t c = cpu_count(); c < n; c++) {
        err_t e = cpu_add(machine_ids[c]);
        if (e)
            abort();
        cpumask_set_atomic(&cpus_online, c);
    }
    if (msg_memory_size() > sizeof(memory))
        abort();
    msg_init(memory);
    for (cpu_t c = 0; c < n; c++)
        irr[c] = nmi_latch[c] = 0;
}
