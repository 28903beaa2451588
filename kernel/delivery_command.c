/* `delivery`: how messages to many CPUs are rung, and which ways there are. */
#include "apic/apic.h"
#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "kernel/idle.h"
#include "lib/log.h"
#include "lib/string.h"
#include "smp/message.h"

static const struct {
    const char *name, *what;
} modes[] = {
    {"auto", "the shorthand where it reaches exactly the targets, else by cluster, else one by one"},
    {"unicast", "one interrupt command for each CPU"},
    {"shorthand", "one for all but self, where these are the targets; else one by one"},
    {"cluster", "x2APIC: one for each cluster of up to 16 CPUs; xAPIC: one by one"},
    {"nmi", "shootdowns by NMI, where the policy allows it (counter shootdown_by_nmi); messages as by auto"},
    {"mwait", "idle CPUs that watch their inbox (idle=mwait or poll): by the store alone; others by cluster"},
};

static void cmd_delivery(int argc, char **argv)
{
    if (argc == 2) {
        cmdline_set("delivery", argv[1]);
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(modes); i++)
        print("%c %-10s  %s\n", strcmp(msg_delivery_name(), modes[i].name) == 0 ? '*' : ' ', modes[i].name,
              modes[i].what);
    print("* is in force; local APIC: %s; idle CPUs: %s.\n", apic_is_x2apic ? "x2APIC" : "xAPIC",
          idle_name());
}

static void words(void (*offer)(void *arg, const char *word), void *arg)
{
    for (u32 i = 0; i < ARRAY_SIZE(modes); i++)
        offer(arg, modes[i].name);
}
COMMAND_WITH_WORDS(delivery, "delivery [NAME]", "how messages to many CPUs are rung, or choose", cmd_delivery,
                   words);
