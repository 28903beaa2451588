/* `opt`: the switches of the EuroSys 2020 series (mm/opt.h). */
#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "lib/log.h"
#include "mm/opt.h"

static void cmd_opt(int argc, char **argv)
{
    u32 bit;
    const char *name, *what;
    if (argc == 2) {
        cmdline_set("opt", argv[1]);
        return;
    }
    for (u32 i = 0; (name = opt_word(i, &bit, &what)); i++)
        print("  %-11s %s\n", name, what);
    print("on now: %s, by the policy %s\n", opt_text(), shootdown_policy()->name);
}

static void words(void (*offer)(void *arg, const char *word), void *arg)
{
    u32 bit;
    const char *name, *what;
    for (u32 i = 0; (name = opt_word(i, &bit, &what)); i++)
        offer(arg, name);
}
COMMAND_WITH_WORDS(opt, "opt [WORD,...]", "the switches of EuroSys 2020, or choose which are on", cmd_opt,
                   words);
