/* idle=: how idle CPUs wait. MWAIT saves the interrupt where a store tells enough (delivery=mwait), and wakes sooner than HLT. */
#include "kernel/idle_internal.h"

#include "lib/string.h"

#ifndef VOLLEY_HOST
#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "kernel/trap.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/x86/cpu.h"
#include "smp/message.h"
#endif

static bool is_intel(const struct cpu_features *c, u32 model)
{
    return c->family == 6 && c->model == model && strcmp(c->vendor, "GenuineIntel") == 0;
}

/* NULL: none. On the first two a store to the monitored line may not end MWAIT (Linux calls it X86_BUG_MONITOR); on the others, Xeons of
 * the 7400 to E7 series, MONITOR works only after a CLFLUSH of the line, which would be a write of ours to the bell. */
static const char *erratum(const struct cpu_features *c)
{
    if (is_intel(c, 0x5c))
        return "MONITOR erratum of Goldmont (Apollo Lake): stores may not wake";
    if (is_intel(c, 0xbd))
        return "MONITOR erratum of Lunar Lake: stores may not wake";
    if (is_intel(c, 0x1d) || is_intel(c, 0x2e) || is_intel(c, 0x2f))
        return "MONITOR erratum: needs CLFLUSH before it";
    return NULL;
}

struct idle_choice idle_choose(enum idle_how asked, const struct idle_facts *f)
{
    if (asked == IDLE_HALT || asked == IDLE_POLL)
        return (struct idle_choice){asked, "asked for"};
    if (!f->cpu->mwait)
        return (struct idle_choice){IDLE_HALT, "CPUID has no MONITOR/MWAIT"};
    if (erratum(f->cpu))
        return (struct idle_choice){IDLE_HALT, erratum(f->cpu)};
    if (asked == IDLE_MWAIT)
        return (struct idle_choice){IDLE_MWAIT, "asked for"};
    if (f->emulator != EMULATOR_NONE || f->cpu->hypervisor)
        return (struct idle_choice){IDLE_HALT, "emulated: MWAIT saves nothing here"};
    if (!f->line_min)
        return (struct idle_choice){IDLE_HALT, "CPUID.05H does not say what MONITOR watches"};
    return (struct idle_choice){IDLE_MWAIT, "CPUID has MONITOR/MWAIT"};
}

#ifndef VOLLEY_HOST

enum idle_how idle_in_force = IDLE_HALT;
bool idle_breaks_on_masked;

static enum idle_how asked_for = IDLE_AUTO;
static struct idle_facts facts;
static bool decided, tried, store_wakes;

static const char *const names[] = {
    [IDLE_HALT] = "hlt", [IDLE_MWAIT] = "mwait", [IDLE_POLL] = "poll", [IDLE_AUTO] = "auto"};

enum idle_how idle_how(void)
{
    return idle_in_force;
}

const char *idle_name(void)
{
    return names[idle_in_force];
}

bool idle_how_is_told_by_store(enum idle_how how)
{
    bool awake_enough = how == IDLE_POLL || (how == IDLE_MWAIT && idle_breaks_on_masked && store_wakes);
    return awake_enough && inbox_watch_is_possible();
}

bool idle_is_told_by_store(void)
{
    return idle_how_is_told_by_store(idle_in_force);
}

/* The extension is tried, because QEMU's TCG announces it and raises #GP. Not armed, MWAIT does not sleep; but TCG with one CPU would. */
static void look(void)
{
    facts.cpu = &features;
    facts.emulator = emulator;
    if (!features.mwait || cpuid(0, 0).eax < 5)
        return;
    struct cpuid_regs r = cpuid(5, 0);
    facts.line_min = r.eax & 0xffff;
    facts.line_max = r.ebx & 0xffff;
    facts.break_on_masked =
        (r.ecx & 3) == 3 && emulator != EMULATOR_TCG && safe_mwait(MWAIT_BREAK_ON_MASKED) == 0;
}

/* Why it is not, in words. */
static const char *why_not_told(void)
{
    if (!inbox_watch_is_possible())
        return "there are more than 63 CPUs";
    if (idle_in_force == IDLE_HALT)
        return "they halt (idle=)";
    return !idle_breaks_on_masked ? "masked interrupts do not end MWAIT here"
                                  : "a store does not end MWAIT here";
}

/* delivery=mwait where nobody watches is not an error, but not to go unnoticed. */
static void warn_of_delivery(void)
{
    if (tried && msg_delivery_get() == MSG_DELIVERY_MWAIT && !idle_is_told_by_store())
        log_warn("delivery=mwait: each idle CPU is interrupted: %s", why_not_told());
}
DELIVERY_HOOK(idle_delivery, warn_of_delivery);

static void use(struct idle_choice c)
{
    idle_breaks_on_masked = facts.break_on_masked;
    atomic_store_relaxed(&idle_in_force, c.how);
    log_info("idle: %s (%s)%s", idle_name(), c.why,
             c.how != IDLE_MWAIT        ? ""
             : facts.break_on_masked    ? "; masked interrupts end MWAIT"
             : emulator == EMULATOR_TCG ? "; TCG's MWAIT is a PAUSE"
                                        : "; interrupts are on meanwhile");
}

void idle_init(void)
{
    look();
    decided = true;
    use(idle_choose(asked_for, &facts));
}

static void try_stores(void)
{
    if (idle_in_force == IDLE_MWAIT && idle_breaks_on_masked && !store_wakes)
        store_wakes = idle_try_stores();
    warn_of_delivery();
}

void idle_init_others(void)
{
    tried = true;
    try_stores();
}

err_t idle_use(enum idle_how asked)
{
    struct idle_choice c = idle_choose(asked, &facts);
    if (asked != IDLE_AUTO && c.how != asked)
        return ERR_UNSUPPORTED;
    use(c);
    try_stores();
    return ERR_OK;
}

static const char *set_idle(const char *value)
{
    static char why[96];
    for (u32 i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(value, names[i]) == 0) {
            if (decided && idle_use((enum idle_how)i) != ERR_OK) {
                format(why, sizeof(why), "not mwait on this machine: %s",
                       idle_choose(IDLE_MWAIT, &facts).why);
                return why;
            }
            asked_for = (enum idle_how)i;
            return NULL;
        }
    return "idle=mwait, hlt, poll or auto";
}
PARAM(idle, "idle",
      "idle=auto|mwait|hlt|poll: how idle CPUs wait (default auto: MWAIT where hardware has it)", set_idle);

static void cmd_idle(int argc, char **argv)
{
    if (argc == 2)
        cmdline_set("idle", argv[1]);
    else
        print("%s; of auto, hlt, mwait, poll. MONITOR watches %u to %u bytes (CPUID.05H).\n", idle_name(),
              facts.line_min, facts.line_max);
}

static void words(void (*offer)(void *arg, const char *word), void *arg)
{
    for (u32 i = 0; i < ARRAY_SIZE(names); i++)
        offer(arg, names[i]);
}
COMMAND_WITH_WORDS(idle, "idle [NAME]", "how idle CPUs wait, or choose", cmd_idle, words);
#endif
