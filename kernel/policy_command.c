/* `policy`: which shootdown policies there are, what each promises, and which is in force. */
#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "lib/log.h"
#include "mm/shootdown.h"

static void list(void)
{
    print("  %-16s %-8s  %s\n", "policy", "returns", "what it does");
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        if (shootdown_policy_usable(p))
            print("%c %-16s %-8s  %s\n", p == shootdown_policy() ? '*' : ' ', p->name,
                  tlb_level_name(p->at_return), p->summary);
    }
    print("returns: what holds on every CPU when an unmap of plain pages returns; * is in force.\n"
          "What a policy cannot serve goes to `concurrent` (counter shootdown_routed).\n");
}

static void cmd_policy(int argc, char **argv)
{
    if (argc == 2)
        cmdline_set("policy", argv[1]);
    else
        list();
}
static void words(void (*offer)(void *arg, const char *word), void *arg)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (shootdown_policy_usable(p))
            offer(arg, p->name);
}
COMMAND_WITH_WORDS(policy, "policy [NAME]", "the shootdown policies, or choose one", cmd_policy, words);
