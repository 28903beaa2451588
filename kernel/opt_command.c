/* `opt`: the optimisations of the EuroSys 2020 series, as sets that a policy stands for (mm/opt.c). */
#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/shootdown.h"

static const struct {
    const char *set, *policy, *what;
} sets[] = {
    {"none", "sync", "flush here, tell, wait for every flush"},
    {"concurrent", "concurrent", "the two overlap"},
    {"concurrent,ack", "early_ack", "and only every entry is waited for"},
    {"concurrent,batch", "batched", "and many unmaps share one flush, before ring 3"},
    {"concurrent,ack,batch", "batched", "the same: nobody is waited for before the batch ends"},
};

static void cmd_opt(int argc, char **argv)
{
    if (argc == 2) {
        cmdline_set("opt", argv[1]);
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(sets); i++)
        print("%c %-21s %-11s %s\n", strcmp(shootdown_policy()->name, sets[i].policy) == 0 ? '*' : ' ',
              sets[i].set, sets[i].policy, sets[i].what);
    print("* is in force. Always on: line (a request travels in its message's one line). Not a policy's: "
          "incontext (pti=), cow.\n");
}

static void words(void (*offer)(void *arg, const char *word), void *arg)
{
    for (u32 i = 0; i < ARRAY_SIZE(sets); i++)
        offer(arg, sets[i].set);
}
COMMAND_WITH_WORDS(opt, "opt [SET]", "the optimisations of EuroSys 2020, or choose a set", cmd_opt, words);
