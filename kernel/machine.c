/* The first thing a reader of results needs: where they come from. */
#include "kernel/machine.h"

#include "apic/apic.h"
#include "kernel/clock.h"
#include "kernel/command.h"
#include "kernel/tsc_sync.h"
#include "lib/features.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "smp/cpus.h"

#ifndef VOLLEY_COMMIT
#define VOLLEY_COMMIT                                                                                        \
    "unknown" /* the Makefile gives the commit that was built, if the tree is a git checkout */
#endif

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const char *firmware = "unknown", *oracle_text = "unknown";
static const char *loader = "";

void machine_init(const struct boot_info *boot)
{
    static char loader_copy[sizeof(boot->loader)];
    for (size_t i = 0; i + 1 < sizeof(loader_copy) && boot->loader[i]; i++)
        loader_copy[i] = boot->loader[i];
    firmware = boot->efi ? "uefi" : "bios";
    loader = loader_copy;
}

static const char *yes_no(bool b)
{
    return b ? "yes" : "no";
}

static void print_table(u64 memory)
{
    u32 off = cpu_count() - cpu_online_count();
    print("\n");
    print("machine\n");
    print("  processor   %s\n", features.brand[0] ? features.brand : features.vendor);
    print("  CPUs        %u online", cpu_online_count());
    if (off)
        print(", %u did not start", off);
    print("\n");
    print("  local APIC  %s\n", apic_is_x2apic ? "x2apic" : "xapic");
    print("  TLB         PCID %s, INVPCID %s, global pages %s, 1 GiB pages %s\n", yes_no(features.pcid),
          yes_no(features.invpcid), yes_no(features.pge), yes_no(features.page_1g));
    print("  time        TSC %lu.%03lu MHz by %s%s, step %lu, %s\n", tsc_hz / 1000000, tsc_hz / 1000 % 1000,
          clock_source, clock_confirmed ? "" : " (unconfirmed)", clock_step,
          cpu_online_count() == 1 ? "one CPU"
          : tsc_is_synchronised() ? "in step on all CPUs compared"
                                  : "not known to be in step between CPUs");
    print("  memory      %llu MiB usable\n", memory / MIB);
    print("  firmware    %s%s%s\n", firmware, loader[0] ? ", loaded by " : "", loader);
    print("  emulator    %s\n", emulator_name());
    print("  built       by %s, commit %s\n", COMPILER, VOLLEY_COMMIT);
    print("  oracle      %s\n", oracle_text);
}

/* What few need at each boot. */
static void print_facts(void)
{
    static char text[512];
    TABLE_FOREACH (machine_fact, struct machine_fact, f) {
        f->text(text, sizeof(text));
        if (text[0])
            print("  %-11s %s\n", f->label, text);
    }
}

static void print_record(u64 memory)
{
    struct json j;
    json_begin(&j, "machine");
    json_u64(&j, "cpus", cpu_online_count());
    json_str(&j, "apic", apic_is_x2apic ? "x2apic" : "xapic");
    json_bool(&j, "pcid", features.pcid);
    json_bool(&j, "invpcid", features.invpcid);
    json_str(&j, "emulator", emulator_name());
    json_u64(&j, "tsc_hz", tsc_hz);
    json_str(&j, "tsc_source", clock_source);
    json_bool(&j, "tsc_synchronised", tsc_is_synchronised());
    json_u64(&j, "clock_step", clock_step);
    json_str(&j, "cpu", features.brand[0] ? features.brand : features.vendor);
    json_u64(&j, "memory", memory);
    json_str(&j, "firmware", firmware);
    json_str(&j, "compiler", COMPILER);
    json_str(&j, "commit", VOLLEY_COMMIT);
    json_str(&j, "oracle", oracle_text);
    TABLE_FOREACH (machine_fact, struct machine_fact, f)
        f->record(&j);
    json_end(&j);
}

void machine_print(const char *oracle)
{
    u64 memory = frame_stats().total * PAGE_SIZE;
    oracle_text = oracle;
    print_table(memory);
    print("\n");
    print_record(memory);
}

static void cmd_machine(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    u64 memory = frame_stats().total * PAGE_SIZE;
    print_table(memory);
    print_facts();
    print("\n");
    print_record(memory);
}
COMMAND(machine, "machine", "what this machine is, in full", cmd_machine);
