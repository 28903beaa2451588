#include "kernel/cost.h"

#include "kernel/command.h"
#include "kernel/patch.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"

static u32 ticks[COSTS];
static const struct cost_profile *base; /* NULL: all prices 0 */
static char model[96] = "none";
static bool ready, measure;
static bool counting, counting_asked; /* now; whenever nobody else counts: lines=count */

static const char *const names[COSTS] = {"invlpg", "cr3", "invpcid", "entry", "icr", "line", "wire"};

const char *cost_name(enum cost c)
{
    return names[c];
}

u32 cost_ticks(enum cost c)
{
    return ticks[c];
}

const char *cost_model_name(void)
{
    return model;
}

static void name_model(void)
{
    size_t n = base ? (size_t)format(model, sizeof(model), "%s", base->name) : 0;
    for (u32 c = 0; c < COSTS; c++)
        if (ticks[c] != (base ? base->ticks[c] : 0) && n < sizeof(model))
            n += (size_t)format(model + n, sizeof(model) - n, "%s%s=%u", n ? "," : "", names[c], ticks[c]);
    if (counting_asked && n < sizeof(model)) /* then no line is paid for, whatever its price */
        n += (size_t)format(model + n, sizeof(model) - n, "%slines=count", n ? "," : "");
    if (!n)
        format(model, sizeof(model), "none");
}

/* The word first: a site that is on finds the new price or the old one. */
static void apply(enum cost c)
{
    if (!ready)
        return;
    bool counts = counting && c == COST_LINE, on = ticks[c] != 0 || counts;
    atomic_store_relaxed(&cost_word[c],
                         counts ? COST_WORD_COUNTS : cost_word_for(ticks[c], emulator != EMULATOR_BOCHS));
    if (on != patch_on[COST_KEY(c)] && patch_set(COST_KEY(c), on) != ERR_OK)
        log_error("cost: the sites of cost.%s could not be patched: the figures that follow are under "
                  "another model",
                  names[c]);
}

bool cost_set(enum cost c, u64 t)
{
    if (t && (t < COST_MIN || t > COST_MAX))
        return false;
    ticks[c] = (u32)t;
    apply(c);
    name_model();
    return true;
}

bool cost_select(const char *name)
{
    const struct cost_profile *chosen = NULL;
    TABLE_FOREACH (cost_profile, struct cost_profile, p)
        if (strcmp(p->name, name) == 0)
            chosen = p;
    if (!chosen && strcmp(name, "none") != 0)
        return false;
    base = chosen;
    for (u32 c = 0; c < COSTS; c++)
        (void)cost_set((enum cost)c, chosen ? chosen->ticks[c] : 0);
    return true;
}

void cost_init(void)
{
    ready = true;
    for (u32 c = 0; c < COSTS; c++)
        apply((enum cost)c);
    if (measure)
        cost_measure();
}

void cost_count(bool on)
{
    counting = on || counting_asked;
    apply(COST_LINE);
}

static const char *set_lines(const char *value)
{
    bool on = strcmp(value, "count") == 0;
    if (!on && strcmp(value, "pay") != 0)
        return "lines=count or lines=pay";
    counting_asked = on;
    cost_count(on);
    name_model();
    return NULL;
}
PARAM(lines, "lines",
      "lines=count|pay: count the lines that move between CPUs, and loops over CPUs (`stat cache_lines`), or "
      "pay cost.line for them",
      set_lines);

static const char *set_cost(const char *value)
{
    static char allowed[160];
    if (strcmp(value, "measure") == 0) {
        measure = true;
        if (ready)
            cost_measure();
        return NULL;
    }
    if (cost_select(value))
        return NULL;
    size_t n = (size_t)format(allowed, sizeof(allowed), "none, measure");
    TABLE_FOREACH (cost_profile, struct cost_profile, p)
        if (n < sizeof(allowed))
            n += (size_t)format(allowed + n, sizeof(allowed) - n, ", %s", p->name);
    return allowed;
}
PARAM(cost, "cost",
      "cost=NAME|none|measure: what flushes, interrupts and cache lines cost (`cost` lists the models)",
      set_cost);

static const char *set_one(enum cost c, const char *value)
{
    u64 t;
    return parse_u64(value, &t) && cost_set(c, t) ? NULL : "0, or a number of ticks from 8 to 1000000";
}

#define COST_PARAM(ident, c, what)                                                                           \
    static const char *set_##ident(const char *value)                                                        \
    {                                                                                                        \
        return set_one(c, value);                                                                            \
    }                                                                                                        \
    PARAM(cost_of_##ident, "cost." #ident, "cost." #ident "=TICKS: " what, set_##ident)

COST_PARAM(invlpg, COST_INVLPG, "spent by each INVLPG, after cost= where both are given");
COST_PARAM(cr3, COST_CR3, "spent by each write of CR3");
COST_PARAM(invpcid, COST_INVPCID, "spent by each INVPCID");
COST_PARAM(entry, COST_ENTRY, "spent by each interrupt taken, on its target");
COST_PARAM(icr, COST_ICR, "spent by each write of the interrupt command register");
COST_PARAM(line, COST_LINE, "spent at each access to a line of another CPU");
COST_PARAM(wire, COST_WIRE, "from a message's interrupt command to its target's entry");

static void list(void)
{
    print("  %-10s", "model");
    for (u32 c = 0; c < COSTS; c++)
        print(" %8s", names[c]);
    print("\n");
    TABLE_FOREACH (cost_profile, struct cost_profile, p) {
        print("%c %-10s", p == base ? '*' : ' ', p->name);
        for (u32 c = 0; c < COSTS; c++)
            print(" %8u", p->ticks[c]);
        print("  %s\n", p->machine);
    }
    print("in force: %s. Ticks that each operation spends beyond what it costs here anyway; sources: "
          "docs/cost-model.md\n",
          model);
}

static void cmd_cost(int argc, char **argv)
{
    if (argc == 1) {
        list();
        return;
    }
    const char *allowed = set_cost(argv[1]);
    if (allowed)
        print("There is no cost model \"%s\". There are: %s\n", argv[1], allowed);
}
static void words(void (*offer)(void *arg, const char *word), void *arg)
{
    offer(arg, "none");
    offer(arg, "measure");
    TABLE_FOREACH (cost_profile, struct cost_profile, p)
        offer(arg, p->name);
}
COMMAND_WITH_WORDS(cost, "cost [NAME|none|measure]", "the cost models, choose one, or measure this machine",
                   cmd_cost, words);
