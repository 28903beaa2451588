/* The commands that belong to no part in particular. */
#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "kernel/firmware.h"
#include "kernel/power.h"
#include "kernel/shell.h"
#include "lib/counter.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/string.h"
#include "smp/cpus.h"
#include "smp/topology.h"

static void print_word(void *arg, const char *word)
{
    (void)arg;
    print(" %s", word);
}

static void cmd_help(int argc, char **argv)
{
    size_t widest = 0;
    u32 shown = 0;
    TABLE_FOREACH (command, struct command, c)
        widest = MAX(widest, strlen(c->usage));
    print("%-*s  %s\n", (int)widest, "command", "what it does");
    TABLE_FOREACH (command, struct command, c) {
        if (argc > 1 && strcmp(argv[1], c->name) != 0)
            continue;
        print("%-*s  %s\n", (int)widest, c->usage, c->help);
        shown++;
        if (argc > 1 && c->words) {
            print("takes:");
            c->words(print_word, NULL);
            print("\n");
        }
    }
    if (!shown)
        print("There is no command \"%s\"; `help` alone lists all.\n", argv[1]);
}
COMMAND(help, "help [COMMAND]", "this table, or one line of it and what can follow", cmd_help);

static void cmd_log(int argc, char **argv)
{
    (void)argc, (void)argv;
    log_replay();
}
COMMAND(log, "log", "the last 32 KiB of the log again, debug lines too", cmd_log);

static void stat_one(const struct counter *c)
{
    print("%s: %s\n%6s %20s\n", c->name, c->meaning, "cpu", "count");
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        print("%6u %20llu\n", cpu, (unsigned long long)counter_value(c, cpu));
    print("%6s %20llu\n", "all", (unsigned long long)counter_sum(c));
}

static void stat_record(const struct counter *c)
{
    struct json j;
    json_begin(&j, "stat");
    json_str(&j, "counter", c->name);
    json_u64(&j, "sum", counter_sum(c));
    (void)json_end(&j);
}

static void cmd_stat(int argc, char **argv)
{
    bool records = argc > 1 && strcmp(argv[1], "json") == 0;
    if (argc > 1 && !records) {
        const struct counter *c = counter_find(argv[1]);
        if (c)
            stat_one(c);
        else
            print("There is no counter \"%s\"; `stat` alone lists all.\n", argv[1]);
        return;
    }
    if (!records)
        print("%-32s %20s  %s\n", "counter", "all CPUs", "meaning");
    TABLE_FOREACH (counter, struct counter, c) {
        if (records)
            stat_record(c);
        else
            print("%-32s %20llu  %s\n", c->name, (unsigned long long)counter_sum(c), c->meaning);
    }
}
static void stat_words(void (*offer)(void *arg, const char *word), void *arg)
{
    offer(arg, "json");
    TABLE_FOREACH (counter, struct counter, c)
        offer(arg, c->name);
}
COMMAND_WITH_WORDS(stat, "stat [NAME|json]", "counters: sums, one CPU by CPU, or all as records", cmd_stat,
                   stat_words);

static void cmd_cpus(int argc, char **argv)
{
    (void)argc, (void)argv;
    print("%6s %10s %8s %6s %7s %5s  %s\n", "cpu", "APIC id", "package", "core", "thread", "node", "state");
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++) {
        struct topology t = topology_of(cpu);
        u32 node = acpi_node_of(firmware_acpi(), cpu_apic_id(cpu));
        char where[12] = "-";
        if (node < ACPI_NODES_MAX)
            format(where, sizeof(where), "%u", node);
        print("%6u %10u %8u %6u %7u %5s  %s\n", cpu, cpu_apic_id(cpu), t.package, t.core, t.thread, where,
              cpu_is_online(cpu) ? "online" : "did not start");
    }
    print("%u of %u online\n", cpu_online_count(), cpu_count());
}
COMMAND(cpus, "cpus", "each CPU's index, APIC id, place and state", cmd_cpus);

static void cmd_set(int argc, char **argv)
{
    if (argc < 2)
        cmdline_help();
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value)
            *value++ = 0;
        (void)cmdline_set(argv[i], value ? value : "");
    }
}
COMMAND(set, "set [KEY[=VALUE]...]", "change settings as on the kernel command line, or list them", cmd_set);

static void cmd_quit(int argc, char **argv)
{
    (void)argc, (void)argv;
    shell_quit();
}
COMMAND(quit, "quit", "end: the emulator, or switch the machine off", cmd_quit);
COMMAND(exit, "exit", "the same as quit", cmd_quit);

static void cmd_reboot(int argc, char **argv)
{
    (void)argc, (void)argv;
    power_reset();
}
COMMAND(reboot, "reboot", "reset the machine", cmd_reboot);
