/* opt=: the switches of the EuroSys 2020 series, each by itself and in any combination.
 *
 * Some choose the policy, the others how it goes. With none of them a shootdown is the textbook's, in the layout of lines that Linux
 * had before the series. Without opt= the machine is as by `opt=concurrent,line`. docs/opt.md says what each of them is here. */
#pragma once

#include "mm/shootdown.h"

enum opt {
    OPT_CONCURRENT = 1u << 0, /* this CPU flushes while the others do; without: before it tells them */
    OPT_ACK = 1u << 1,        /* every entry is waited for, not every flush */
    OPT_LINE = 1u << 2,       /* a request travels in its message's line; without: mm/split.c */
    OPT_BATCH = 1u << 3,      /* one flush for many unmaps */
    OPT_INCONTEXT = 1u << 4,  /* with pti=on: ranges of ring 3's root are flushed on it (mm/isolation.h) */
    OPT_COW = 1u << 5,        /* a copy-on-write fault replaces this CPU's entry by a write (mm/cow.h) */
};
#define OPT_ALL     63u
#define OPT_DEFAULT (OPT_CONCURRENT | OPT_LINE)

/* ERR_UNSUPPORTED: the policy that the set stands for is not to be had on this machine. THREAD; for shootdowns that begin later. The policy
 * counts as chosen (shootdown_policy_chosen) only if it was by opt= itself. */
err_t opt_choose(u32 set) MUST_CHECK;
/* What was chosen last, and whether anything was. */
u32 opt_chosen(void);
bool opt_is_chosen(void);
/* Back to where nobody had chosen: the policy is to be set by the caller. */
void opt_forget(void);
/* The switches that are on now, whatever set them, as opt= takes them: "none", "concurrent,line". A text that stays until the next call. */
const char *opt_text(void);
/* The words and what they mean, for help and completion: NULL behind the last. */
const char *opt_word(u32 i, u32 *bit, const char **what);

/* ---- for mm/initiate.c ---- */

/* As which policy p goes under the switches: itself, or a copy with another `post`. p: of the table. */
const struct shootdown_policy *opt_path(const struct shootdown_policy *p);
/* The policies that go now are to be looked up again. */
void shootdown_choose_paths(void);
