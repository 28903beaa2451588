#include "kernel/start_cpus.h"

#include "apic/apic.h"
#include "kernel/amd_c1e.h"
#include "kernel/cpu_facts.h"
#include "kernel/fault_apic_ids.h"
#include "kernel/fault_mailbox.h"
#include "kernel/features.h"
#include "kernel/pti.h"
#include "kernel/thread.h"
#include "kernel/trap.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/percpu.h"
#include "lib/x86/desc.h"
#include "mm/ap_root.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "mm/space.h"
#include "smp/message.h"

/* How long the last CPU may take to come up, from the second SIPI on, before scaling for emulators: firmware can hold an AP in
 * SMM for some ten milliseconds; 64 CPUs under TCG take about twenty. */
#define AP_WAIT_MS 250u

static struct smp_start start;
static struct ap_mailbox *mailbox; /* NULL: INIT and SIPI start CPUs */
static struct trap_stacks trap_stacks[MAX_CPUS];

static u64 stack(cpu_t cpu, const char *what)
{
    u64 top = kmap_stack();
    if (!top)
        panic("no memory for the %s stack of CPU %u", what, cpu);
    kmap_name_stack(top, "CPU %u %s", cpu, what);
    return top;
}

static void give_memory(cpu_t cpu, apic_id_t id)
{
    u64 bytes = (u64)percpu_size;
    void *block = kmap_pages(ALIGN_UP(bytes, PAGE_SIZE) / PAGE_SIZE, FRAME_OWNER_PERCPU);
    if (!block)
        panic("no memory for the per-CPU block of CPU %u (%llu bytes)", cpu, (unsigned long long)bytes);
    percpu_prepare(cpu, id, block);
    trap_stacks[cpu] = (struct trap_stacks){
        .nmi = stack(cpu, "NMI"),
        .double_fault = stack(cpu, "double-fault"),
        .machine_check = stack(cpu, "machine-check"),
    };
    if (cpu)
        start.stack_top[cpu] = stack(cpu, "kernel");
}

/* The boot CPU first: it is not always the first entry of the MADT, and on a machine without a MADT it is the only one. */
static void add_cpus(const struct acpi_info *acpi)
{
    apic_id_t self = apic_id(), first_far = APIC_ID_NONE;
    u32 far = 0;
    err_t e = cpu_add(self);
    if (e != ERR_OK)
        panic("the boot CPU cannot be registered: %s", err_name(e));
    for (u32 i = 0; i < acpi->cpu_count; i++) {
        if (acpi->cpu[i] == self)
            continue;
        apic_id_t id = fault_apic_id(acpi->cpu[i]);
        if (!apic_can_reach(id)) {
            first_far = far++ ? first_far : id;
        } else if (cpu_add(id) == ERR_FULL) {
            log_warn("more than %u CPUs: the rest, from APIC id %u on, stays off", MAX_CPUS, id);
            break;
        }
    }
    if (far)
        log_warn("%u CPUs stay off, because only x2APIC reaches APIC ids from 255 on (the first is %u)", far,
                 first_far);
}

void cpus_prepare(const struct acpi_info *acpi)
{
    volatile u32 *mmio = NULL;
    if (acpi->x2apic_opt_out)
        features_x2apic_opt_out();
    if (!features.x2apic) {
        paddr_t page = apic_mmio_page(); /* where it is, which is not always where the MADT says */
        mmio = kmap_phys(page, PAGE_SIZE, PT_WRITE | PT_UNCACHED | PT_GLOBAL);
        if (!mmio)
            panic("the local APIC at %llx cannot be mapped", (unsigned long long)page.v);
    }
    if (acpi->wakeup_mailbox.v) {
        mailbox = kmap_phys(acpi->wakeup_mailbox, PAGE_SIZE, PT_WRITE);
        if (mailbox)
            log_info("the other CPUs are woken through firmware's mailbox at %llx",
                     (unsigned long long)acpi->wakeup_mailbox.v);
        else
            log_warn("ACPI: firmware's mailbox at %llx cannot be mapped; INIT and SIPI instead",
                     (unsigned long long)acpi->wakeup_mailbox.v);
    }
    err_t e = apic_init(features.x2apic, mmio);
    if (e != ERR_OK)
        panic("no usable local APIC: %s", err_name(e));
    apic_init_cpu();
    add_cpus(acpi);

    for (cpu_t c = 0; c < cpu_count(); c++)
        give_memory(c, cpu_apic_id(c));
    percpu_set_base(0);
    pti_init(trap_stacks);
    trap_use_stacks(&trap_stacks[0]);

    space_init();
    u64 pages = ALIGN_UP(msg_memory_size(), PAGE_SIZE) / PAGE_SIZE;
    void *lines = kmap_pages(pages, FRAME_OWNER_KERNEL);
    if (!lines)
        panic("no memory for %u x %u message lines (%llu pages)", cpu_count(), cpu_count(),
              (unsigned long long)pages);
    msg_init(lines);
    amd_c1e_init_cpu();
    cpu_facts_note();
    smp_cpu_online();
    space_init_cpu();
}

/* It has come by its id, by the register's or CPUID's; which is sent interrupts, only the APIC knows once it is on. */
static void check_apic_id(cpu_t cpu)
{
    if (apic_id() == cpu_apic_id(cpu))
        return;
    log_error("CPU %u: its APIC has the id %u, firmware's tables and CPUID say %u: it stays off", cpu,
              apic_id(), cpu_apic_id(cpu));
    cpu_halt_forever();
}

/* The first C code of every other CPU: on its own stack, in the kernel's tables, interrupts off. */
static void ap_entry(u64 cpu)
{
    percpu_set_base((cpu_t)cpu);
    features_init_cpu();
    trap_init_cpu(&trap_stacks[cpu]);
    apic_init_cpu();
    check_apic_id((cpu_t)cpu);
    amd_c1e_init_cpu();
    cpu_facts_note();
    smp_cpu_online();
    space_init_cpu();
    thread_init_cpu();
}

u32 cpus_start(const struct boot_info *boot)
{
    if (cpu_count() == 1)
        return 1;

    paddr_t page = frame_low_page(), temp_root;
    if (paddr_is_none(page)) {
        log_error("no usable page below 1 MiB for the start of the other %u CPUs: going on with one",
                  cpu_count() - 1);
        return 1;
    }
    err_t e = kmap_ap_root(page, &temp_root);
    if (e != ERR_OK) {
        log_error("no tables below 4 GiB for the start of the other CPUs (%s): going on with one",
                  err_name(e));
        return 1;
    }
    start.trampoline = boot->trampoline;
    start.trampoline_size = boot->trampoline_size;
    start.trampoline_params_offset = boot->trampoline_params_offset;
    start.page = page;
    start.page_virt = phys_to_virt(page);
    start.temp_cr3 = temp_root.v;
    start.final_cr3 = kernel_pt.root.v;
    start.entry = ap_entry;
    start.wait_ms = AP_WAIT_MS;
    start.trampoline_mailbox_offset = boot->trampoline_mailbox_offset;
    start.mailbox = mailbox;
    fault_mailbox_prepare(&start);
    u32 online = smp_start_all(&start);
    /* A CPU that is late may still run through these tables, whenever it comes. */
    if (online == cpu_count())
        kmap_ap_root_free(temp_root);
    return online;
}
