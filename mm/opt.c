/* opt=: sets of the EuroSys 2020 series' switches, as a policy and how it goes. */
#include "mm/opt.h"

#include "lib/assert.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "mm/cow.h"
#include "mm/isolation.h"
#include "mm/split.h"

static u32 now = OPT_DEFAULT;
static bool chosen;

static const struct {
    const char *name, *what;
    u32 bit;
} words[] = {
    {"none", "flush here, tell, wait for every flush; request and state in lines of their own", 0},
    {"concurrent", "flush here while the others do", OPT_CONCURRENT},
    {"ack", "wait for every entry only", OPT_ACK},
    {"line", "the request travels in its message's line, and no line is read for the target's state",
     OPT_LINE},
    {"incontext", "with pti=on: pages of ring 3's root are flushed on it, on the way back there",
     OPT_INCONTEXT},
    {"cow", "the CPU that writes to a copy-on-write page replaces its entry by a write, not by a flush",
     OPT_COW},
    {"batch", "many unmaps share one flush, before ring 3", OPT_BATCH},
};

const char *opt_word(u32 i, u32 *bit, const char **what)
{
    if (i >= ARRAY_SIZE(words))
        return NULL;
    *bit = words[i].bit;
    *what = words[i].what;
    return words[i].name;
}

static const char *policy_of(u32 set)
{
    return set & OPT_BATCH        ? "batched"
           : set & OPT_ACK        ? "early_ack"
           : set & OPT_CONCURRENT ? "concurrent"
                                  : "sync";
}

static void apply(u32 set)
{
    now = set;
    split_layout = !(set & OPT_LINE);
    isolation_in_context = set & OPT_INCONTEXT;
    cow_by_write = set & OPT_COW;
}

err_t opt_choose(u32 set)
{
    u32 before = now;
    apply(set);
    err_t e = shootdown_policy_set(policy_of(set));
    if (e != ERR_OK)
        apply(before);
    chosen = chosen || e == ERR_OK;
    shootdown_choose_paths();
    return e;
}

u32 opt_chosen(void)
{
    return now;
}

bool opt_is_chosen(void)
{
    return chosen;
}

void opt_forget(void)
{
    apply(OPT_DEFAULT);
    chosen = false;
    shootdown_choose_paths();
}

/* ---- without concurrent ---- */

/* A policy that overlaps the two, made to wait with the telling: the flush here is idempotent, so the policy's own finds it done. */
struct serial {
    struct shootdown_policy policy;
    void (*post)(struct tlb_ticket *t);
};

static void post_after_flush(struct tlb_ticket *t)
{
    const struct serial *s = container_of(t->policy, const struct serial, policy);
    shootdown_flush_here(t);
    s->post(t);
}

/* Copies, by layout, at their policies' places in the table; filled once, because tickets point to them. */
#define COPIES_MAX 32u
static struct shootdown_policy split_copy[COPIES_MAX];
static struct serial serial_copy[2][COPIES_MAX];

/* policy=concurrent, chosen after opt=, is what its name says. */
static bool is_serial(void)
{
    return !(now & OPT_CONCURRENT) && shootdown_policy() != shootdown_strongest();
}

const struct shootdown_policy *opt_path(const struct shootdown_policy *p)
{
    u32 i = 0;
    bool split = split_layout, serial = is_serial();
    if (!p->post_split || (!split && !serial))
        return p; /* it knows one layout and one order */
    TABLE_FOREACH (policy, struct shootdown_policy, at) {
        if (at == p)
            break;
        i++;
    }
    ASSERT(i < MIN(COPIES_MAX, TABLE_SIZE(policy)), "there is a copy for each policy");
    if (!serial) {
        if (!split_copy[i].name) {
            split_copy[i] = *p;
            split_copy[i].post = p->post_split;
        }
        return &split_copy[i];
    }
    struct serial *s = &serial_copy[split][i];
    if (!s->policy.name) {
        s->policy = *p;
        s->policy.post = post_after_flush;
        s->post = split ? p->post_split : p->post;
    }
    return &s->policy;
}

/* ---- words ---- */

const char *opt_text(void)
{
    static char text[64];
    const char *policy = shootdown_policy()->name;
    u32 on = now & ~(OPT_CONCURRENT | OPT_ACK | OPT_BATCH);
    if (strcmp(policy, policy_of(now)) == 0)
        on = now;
    else if (strcmp(policy, "concurrent") == 0)
        on |= OPT_CONCURRENT;
    else if (strcmp(policy, "early_ack") == 0)
        on |= OPT_ACK | (is_serial() ? 0 : OPT_CONCURRENT);
    int n = 0;
    text[0] = 0;
    for (u32 i = 0; i < ARRAY_SIZE(words); i++)
        if (words[i].bit & on)
            n += format(text + n, sizeof(text) - (size_t)n, "%s%s", n ? "," : "", words[i].name);
    return n ? text : "none";
}

static const char *set_opt(const char *value)
{
    static char allowed[128];
    u32 set = 0;
    bool known = *value != 0;
    while (*value && known) {
        const char *comma = strchr(value, ',');
        size_t n = comma ? (size_t)(comma - value) : strlen(value);
        known = false;
        for (u32 i = 0; i < ARRAY_SIZE(words); i++)
            if (strlen(words[i].name) == n && strncmp(words[i].name, value, n) == 0) {
                set |= words[i].bit;
                known = true;
            }
        value += n + (comma != NULL);
        known = known && !(comma && !*value);
    }
    if (known && opt_choose(set) == ERR_OK && shootdown_policy_choose(policy_of(set)) == ERR_OK)
        return NULL;
    int n = format(allowed, sizeof(allowed), "opt=, any of these with commas between:");
    for (u32 i = 0; i < ARRAY_SIZE(words); i++)
        n += format(allowed + n, sizeof(allowed) - (size_t)n, " %s", words[i].name);
    return allowed;
}
PARAM(opt, "opt",
      "opt=WORD[,WORD...]: the switches of EuroSys 2020 that are on (`opt` at the prompt lists them)",
      set_opt);
