#include "tests/trap_test.h"

#include "apic/apic.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/percpu.h"
#include "smp/cpus.h"
#include "smp/message.h"

static bool nmi_expected;
static void (*nmi_call)(void), (*vector_call)(void);
static PERCPU(u32, nmi_count);

cpu_t trap_test_other_cpu(void)
{
    for (cpu_t c = 0; c < cpu_count(); c++)
        if (c != cpu_self() && cpu_is_online(c))
            return c;
    return CPU_NONE;
}

void trap_test_nmi_expect(bool on)
{
    if (on)
        for (cpu_t c = 0; c < cpu_count(); c++)
            if (percpu_base[c])
                atomic_store_relaxed(&per_cpu(nmi_count, c), 0);
    atomic_store_relaxed(&nmi_expected, on); /* ordered before an NMI by the ICR write that sends it */
}

u32 trap_test_nmi_count(cpu_t cpu)
{
    return atomic_load_relaxed(&per_cpu(nmi_count, cpu));
}

void trap_test_nmi_call(void (*fn)(void))
{
    atomic_store_relaxed(&nmi_call, fn);
}

static bool on_nmi(struct trap_frame *f)
{
    (void)f;
    if (!atomic_load_relaxed(&nmi_expected))
        return false;
    this_cpu(nmi_count)++;
    void (*fn)(void) = atomic_load_relaxed(&nmi_call);
    if (fn)
        fn();
    return true;
}
NMI_HOOK(trap_test, on_nmi);

void trap_test_vector_call(void (*fn)(void))
{
    atomic_store_relaxed(&vector_call, fn);
}

static void on_vector(vector_t v)
{
    (void)v;
    void (*fn)(void) = atomic_load_relaxed(&vector_call);
    if (fn)
        fn();
    apic_eoi();
}
VECTOR_HANDLER(test, VECTOR_TEST, on_vector);

static void run_function(struct msg_in *in)
{
    ((void (*)(void))in->word[0])();
}
MSG_KIND(trap_test_run, run_function);

bool trap_test_on_each(void (*fn)(void))
{
    struct msg m = {.kind = &trap_test_run, .flags = MSG_SYNC, .word = {(u64)fn}};
    for (cpu_t c = 0; c < cpu_count(); c++)
        if (cpu_is_online(c) && msg_call(c, &m) != ERR_OK)
            return false;
    return true;
}
