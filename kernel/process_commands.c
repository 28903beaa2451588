/* run, ps, kill; and run= on the command line. */
#include "kernel/process_commands.h"

#include "kernel/command.h"
#include "kernel/console.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "smp/cpus.h"

static void list_programs(void)
{
    print("programs:");
    for (u32 i = 0; i < program_count(); i++)
        print(" %s%s", program_at(i)->name, program_at(i)->state == ERR_OK ? "" : " (malformed)");
    print("%s\n", program_count() ? "" : " none; the boot medium passes them as modules");
}

static void explain(const char *name, err_t e)
{
    print("%s cannot be run: %s\n", name, err_name(e));
    if (e == ERR_ABSENT)
        list_programs();
}

static char requested[128];

static const char *set_run(const char *value)
{
    if (!*value || !string_copy(requested, sizeof(requested), value)) {
        requested[0] = 0;
        return "names of programs with commas between (`run` at the prompt lists them)";
    }
    return NULL;
}
PARAM(run, "run", "run=NAME[,NAME...]: programs of ring 3 to run after boot, one after another", set_run);

/* Until it has ended by itself: whoever started the machine has a limit of their own. */
static bool run_to_end(const char *name)
{
    struct process *p;
    thread_handle_t h;
    s64 status = 0;
    err_t e = process_create(name, &p);
    if (e != ERR_OK) {
        explain(name, e);
        return false;
    }
    e = process_start(p, CPU_NONE, 0, &h);
    if (e == ERR_OK)
        e = process_wait(p, 0, &status);
    process_unref(p);
    if (e != ERR_OK)
        print("program %s: its first thread cannot be started: %s\n", name, err_name(e));
    else
        print("program %s: status %lld\n", name, (long long)status);
    return e == ERR_OK && status == 0;
}

bool process_run_requested(void)
{
    bool ok = true;
    for (char *at = requested; *at;) {
        char name[PROGRAM_NAME_MAX];
        char *comma = strchr(at, ',');
        if (comma)
            *comma = 0;
        if (!string_copy(name, sizeof(name), at) || !run_to_end(name)) {
            console_fail("run=%s", at);
            ok = false;
        }
        at = comma ? comma + 1 : at + strlen(at);
    }
    return ok;
}

static void cmd_run(int argc, char **argv)
{
    u64 cpu = CPU_NONE, arg = 0;
    struct process *p;
    thread_handle_t h;
    if (argc < 2) {
        list_programs();
        return;
    }
    if (argc > 2 && (!parse_u64(argv[2], &cpu) || cpu >= cpu_count())) {
        print("%s is no CPU: there are 0 to %u\n", argv[2], cpu_count() - 1);
        return;
    }
    if (argc > 3 && !parse_u64(argv[3], &arg)) {
        print("%s is no number: the argument is what the program finds in RDI\n", argv[3]);
        return;
    }
    err_t e = process_create(argv[1], &p);
    if (e != ERR_OK) {
        explain(argv[1], e);
        return;
    }
    e = process_start(p, (cpu_t)cpu, arg, &h);
    if (e == ERR_OK)
        print("process %u, thread %x\n", process_number(p), h);
    else
        print("its first thread cannot be started: %s\n", err_name(e));
    process_unref(p);
}
COMMAND(run, "run [NAME [CPU [ARG]]]", "start a program in ring 3, or list them", cmd_run);

static void cmd_ps(int argc, char **argv)
{
    (void)argc, (void)argv;
    print("%6s %-24s %8s %10s\n", "number", "program", "threads", "KiB");
    for (u32 i = 0; i < PROCESS_MAX; i++) {
        struct process *p = process_get(i);
        if (!p)
            continue;
        print("%6u %-24s %8u %10llu\n", i, process_name(p), process_threads(p),
              (unsigned long long)(atomic_load_relaxed(&process_space(p)->frames) * PAGE_SIZE / KIB));
        process_unref(p);
    }
    print("%u processes, %u threads on the machine\n", process_count(), thread_count());
}
COMMAND(ps, "ps", "the processes: their threads and memory", cmd_ps);

static void cmd_kill(int argc, char **argv)
{
    u64 number;
    struct process *p =
        argc == 2 && parse_u64(argv[1], &number) && number < PROCESS_MAX ? process_get((u32)number) : NULL;
    if (!p) {
        print("usage: kill NUMBER of a process, as `ps` lists them\n");
        return;
    }
    process_kill(p);
    process_unref(p);
}
COMMAND(kill, "kill NUMBER", "end a process", cmd_kill);
