#include "kernel/power.h"

#include "kernel/console.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "lib/x86/desc.h"
#include "mm/kmap.h"

/* QEMU's -device isa-debug-exit: the process exits with the value shifted left by one, plus one. */
#define QEMU_EXIT_PORT   0xf4u
#define QEMU_EXIT_OK     0x10u
#define QEMU_EXIT_FAILED 0x11u
/* Bochs ends when these letters have been written here, one by one. */
#define BOCHS_EXIT_PORT 0x8900u
#define BOCHS_EXIT_WORD "Shutdown"
/* Bochs reads back this number from the port of the same number (bochsrc: port_e9_hack). */
#define DEBUG_PORT 0xe9u

/* PM1 control register (ACPI 6.5, section 4.8.3.2.1). */
#define PM1_SCI_EN        (1u << 0)
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_TYP_MASK  (7u << PM1_SLP_TYP_SHIFT)
#define PM1_SLP_EN        (1u << 13)
/* Generic address structure, address space id (ACPI 6.5, section 5.2.3.2). */
enum { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_PCI_CONFIG = 2 };

#define PCI_ADDRESS_PORT 0xcf8u
#define PCI_DATA_PORT    0xcfcu
/* Reset control register of PC chipsets: hard reset is bit 1, and bit 2's change from 0 to 1 does it. */
#define RESET_CONTROL_PORT 0xcf9u
#define RESET_HARD         0x02u
#define RESET_NOW          0x06u
/* 8042 keyboard controller: input buffer full, and the command that pulses the reset line. */
#define KBC_STATUS_PORT 0x64u
#define KBC_INPUT_FULL  0x02u
#define KBC_PULSE_RESET 0xfeu

/* Each way gets this long before the next one is tried: QEMU carries an exit out some time after the write, and a second
 * request would overwrite its status. */
#define PATIENCE_US 1000000u
/* How long a person has to read why a real machine failed, if no key is pressed. */
#define READING_SECONDS 20u
/* More than a serial port holds; not without end, as one that has gone away reads as all ones. */
#define TYPED_AHEAD 64u

static const struct acpi_info *firmware; /* NULL before power_init */
static volatile u8 *reset_memory;        /* the reset register, if it is in memory and could be mapped */

void power_init(const struct acpi_info *info)
{
    firmware = info;
    if (info->have_reset && info->reset_space == SPACE_MEMORY) {
        reset_memory = kmap_phys(PADDR(info->reset_address), 1, PT_WRITE | PT_UNCACHED);
        if (!reset_memory)
            log_warn("power: the reset register at %llx could not be mapped",
                     (unsigned long long)info->reset_address);
    }
}

/* May be asked for before features_init, by an early panic: so CPUID itself is asked (SDM volume 2, CPUID, leaf 1: ECX bit 31
 * is 0 on every processor, and set by hypervisors). Those that are not QEMU have nothing at this port. */
static void emulator_exit(bool ok)
{
    if (cpuid(1, 0).ecx >> 31) {
        out32(QEMU_EXIT_PORT, ok ? QEMU_EXIT_OK : QEMU_EXIT_FAILED);
        delay_us(PATIENCE_US);
    } else if (emulator == EMULATOR_BOCHS || in8(DEBUG_PORT) == DEBUG_PORT) {
        for (const char *c = BOCHS_EXIT_WORD; *c; c++)
            out8(BOCHS_EXIT_PORT, (u8)*c);
        delay_us(PATIENCE_US);
    }
}

/* Until SCI_EN is set the firmware owns the PM1 registers and ignores what is written (ACPI 6.5, section 4.8.2.5). */
static void acpi_enable(void)
{
    if ((in16(firmware->pm1a_cnt) & PM1_SCI_EN) || !firmware->smi_cmd)
        return;
    out8(firmware->smi_cmd, firmware->acpi_enable);
    struct wait w = WAIT("the firmware to hand over power management", wait_ms(1000));
    while (!(in16(firmware->pm1a_cnt) & PM1_SCI_EN))
        if (!wait_spin(&w))
            return; /* it may work all the same */
}

static void pm1_sleep(u16 port, u8 type)
{
    if (!port)
        return;
    u16 v = (u16)((in16(port) & ~(PM1_SLP_TYP_MASK | PM1_SLP_EN)) | (u32)type << PM1_SLP_TYP_SHIFT);
    out16(port, v); /* the type first, for chipsets that look at it when the enable bit comes */
    out16(port, v | PM1_SLP_EN);
}

static void acpi_s5(void)
{
    if (!firmware || !firmware->have_s5 || !firmware->pm1a_cnt)
        return;
    acpi_enable();
    pm1_sleep(firmware->pm1a_cnt, firmware->slp_typ_s5a);
    pm1_sleep(firmware->pm1b_cnt, firmware->slp_typ_s5b);
    delay_us(PATIENCE_US);
}

static void acpi_reset(void)
{
    if (!firmware || !firmware->have_reset)
        return;
    u64 a = firmware->reset_address;
    u8 v = firmware->reset_value;
    switch (firmware->reset_space) {
    case SPACE_MEMORY:
        if (!reset_memory)
            return;
        *reset_memory = v;
        break;
    case SPACE_IO:
        out8((u16)a, v);
        break;
    case SPACE_PCI_CONFIG: {
        /* Bus 0; device, function and offset are words of the address (ACPI 6.5, table 5.1). */
        u32 device = a >> 32 & 0x1f, function = a >> 16 & 7, offset = a & 0xff;
        out32(PCI_ADDRESS_PORT, 1u << 31 | device << 11 | function << 8 | (offset & ~3u));
        out8((u16)(PCI_DATA_PORT + (offset & 3)), v);
        break;
    }
    default:
        return;
    }
    delay_us(PATIENCE_US);
}

static void chipset_reset(void)
{
    out8(RESET_CONTROL_PORT, RESET_HARD);
    out8(RESET_CONTROL_PORT, RESET_NOW);
    delay_us(PATIENCE_US);
}

static void keyboard_controller_reset(void)
{
    struct wait w = WAIT("the keyboard controller to take a command", wait_ms(100));
    while (in8(KBC_STATUS_PORT) & KBC_INPUT_FULL)
        if (!wait_spin(&w))
            return; /* or there is none: the port reads 0xff */
    out8(KBC_STATUS_PORT, KBC_PULSE_RESET);
    delay_us(PATIENCE_US);
}

/* An exception with no IDT to take it ends in a shutdown, which PCs turn into a reset (SDM volume 3A, section 6.15,
 * "Interrupt 8"). */
static void triple_fault(void)
{
    static const struct desc_pointer no_idt = {.limit = 0, .base = 0};
    lidt(&no_idt);
    __asm__ volatile("ud2");
}

static NORETURN void reset_all_ways(void)
{
    console_flush();
    acpi_reset();
    chipset_reset();
    keyboard_controller_reset();
    triple_fault();
    cpu_halt_forever();
}

NORETURN void power_reset(void)
{
    irq_disable();
    reset_all_ways();
}

static void wait_for_reader(void)
{
    print("Volley has failed; the reason is above. The machine resets in %u seconds, or when a key is "
          "pressed.\n",
          READING_SECONDS);
    for (u32 i = 0; i < TYPED_AHEAD && console_poll() >= 0; i++)
        ; /* what was typed before does not count */
    struct wait w = WAIT("a key", tsc_from_us(READING_SECONDS * 1000000ull));
    while (console_poll() < 0 && wait_spin(&w))
        ;
}

NORETURN void power_off(bool ok)
{
    irq_disable();
    console_flush();
    emulator_exit(ok);
    if (!ok) {
        wait_for_reader();
        reset_all_ways();
    }
    acpi_s5();
    print("Volley has ended, and found no way to switch this machine off. It is halted: switch it off by "
          "hand.\n");
    console_flush();
    cpu_halt_forever();
}
