/* opt=: the optimisations of the EuroSys 2020 series, one at a time and together, as policies.
 *
 * none: flush here, then tell, then wait for every flush. concurrent: the two overlap. ack: wait for the entry only. batch: one
 * flush for many unmaps. Two of the series cannot be turned off or on here: line, because a request always travels inside its
 * message's one cache line; incontext and cow, because page-table isolation (pti=) and regions decide them. */
#include "lib/param.h"
#include "lib/string.h"
#include "mm/shootdown.h"

enum opt { OPT_NONE = 1, OPT_CONCURRENT = 2, OPT_ACK = 4, OPT_BATCH = 8 };

static const struct {
    const char *name;
    u32 bit;
} words[] = {{"none", OPT_NONE}, {"concurrent", OPT_CONCURRENT}, {"ack", OPT_ACK}, {"batch", OPT_BATCH}};

/* What each set of them is, as a policy. An early acknowledgement without overlap is no protocol that anybody has. */
static const struct {
    u32 set;
    const char *policy;
} sets[] = {{OPT_NONE, "sync"},
            {OPT_CONCURRENT, "concurrent"},
            {OPT_CONCURRENT | OPT_ACK, "early_ack"},
            {OPT_CONCURRENT | OPT_BATCH, "batched"},
            {OPT_CONCURRENT | OPT_ACK | OPT_BATCH, "batched"}};

static const char *set_opt(const char *value)
{
    static const char allowed[] =
        "opt=none | concurrent[,ack][,batch]; the others of the series are always on (line), or not "
        "a policy's to choose (incontext: pti=; cow)";
    u32 set = 0;
    while (*value) {
        const char *comma = strchr(value, ',');
        size_t n = comma ? (size_t)(comma - value) : strlen(value);
        u32 i = 0;
        while (i < ARRAY_SIZE(words) && (strlen(words[i].name) != n || strncmp(words[i].name, value, n) != 0))
            i++;
        if (i == ARRAY_SIZE(words))
            return allowed;
        set |= words[i].bit;
        value += n + (comma != NULL);
    }
    for (u32 i = 0; i < ARRAY_SIZE(sets); i++)
        if (sets[i].set == set)
            return shootdown_policy_choose(sets[i].policy) == ERR_OK ? NULL : allowed;
    return allowed;
}
PARAM(opt, "opt", "opt=none|concurrent[,ack][,batch]: optimisations of the EuroSys 2020 series, as policies",
      set_opt);
