/* From boot/ to the prompt: the table of contents of the kernel. */
#include "bench/bench.h"
#include "dev/screen.h"
#include "kernel/acpi_read.h"
#include "kernel/canary.h"
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/cost.h"
#include "kernel/cpu_facts.h"
#include "kernel/export.h"
#include "kernel/fault_inject.h"
#include "kernel/features.h"
#include "kernel/firmware.h"
#include "kernel/idle.h"
#include "kernel/ioapic.h"
#include "kernel/machine.h"
#include "kernel/page_fault.h"
#include "kernel/power.h"
#include "kernel/process.h"
#include "kernel/process_commands.h"
#include "kernel/profile.h"
#include "kernel/shell.h"
#include "kernel/start_cpus.h"
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "kernel/trap.h"
#include "kernel/tsc_sync.h"
#include "kernel/worker.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "tests/oracle.h"
#include "tests/test.h"

static struct acpi_info acpi;

static void log_notes(const struct boot_info *boot)
{
    for (u32 i = 0; i < boot->note_count; i++)
        log_warn("boot information: %s", boot->notes[i]);
}

/* What the command line asks for, in this order; then the prompt, or the end. */
static NORETURN void run(void)
{
    bool ok = true;
    fault_inject_run();
    cost_init(); /* from here on, operations cost what the model says */
    profile_begin_if_asked();
    if (test_requested())
        ok = test_run(test_requested());
    if (bench_requested())
        ok = bench_run(bench_requested()) && ok;
    ok = process_run_requested() && ok;
    profile_end_if_asked();
    if (!cmdline_quit()) {
        export_offer(console_has_serial());
        shell_run();
    }
    power_off(console_end(ok));
}

NORETURN void kmain(const struct boot_info *boot)
{
    canary_init();
    console_init(); /* text from here on */
    trap_init();    /* faults are reported from here on */
    log_notes(boot);
    if (boot->fatal)
        panic("the boot information is unusable; boot through GRUB's multiboot2 command");
    log_info("command line: %s", boot->cmdline[0] ? boot->cmdline : "none");
    cmdline_parse(boot->cmdline); /* before anything that it can switch */
    features_init();              /* CPUID, less what was switched off */
    features_init_cpu();          /* control registers, PAT */
    machine_init(boot);           /* what only the boot information knows */
    frame_init(boot);             /* memory that is free */
    kmap_init(boot);              /* the final kernel tables: no identity map, W^X */
    screen_init(boot);            /* text there, too: what was said before, first */
    export_init();                /* results are kept, for who has nothing but that screen */
    page_fault_init();            /* stale entries are explained from here on */
    process_init(boot);           /* the programs among the boot modules; faults of ring 3 */
    acpi_read(boot, &acpi);       /* what the firmware's tables say */
    power_init(&acpi);
    ioapic_mask_all(&acpi);     /* no device interrupts anybody */
    firmware_init(boot, &acpi); /* who made it, and what it left on: for the machine record */
    clock_init(&acpi);          /* TSC frequency: waits are in real time from here on */
    console_init_keyboard();
    cpus_prepare(&acpi); /* per-CPU memory, own APIC, messages */
    clock_init_apic_timer();
    timer_init();
    idle_init(); /* how CPUs wait that have nothing to run */
    irq_enable();
    thread_init();       /* this becomes a thread; there are threads from here on */
    cpus_start(boot);    /* all the others, in parallel */
    cpu_facts_compare(); /* are they alike? */
    worker_init();       /* a kernel thread on each, for tests and benchmarks */
    idle_init_others();  /* can a store wake them? */
    tsc_sync_measure();  /* are the clocks of two CPUs comparable? */
    oracle_init();       /* can a stale translation be seen here? */
    machine_print(oracle_summary());
    run();
}
