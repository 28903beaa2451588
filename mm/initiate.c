/* The initiator's pieces, from which policies are made, and the choice of policy. */
#include "lib/assert.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/patch.h"
#include "lib/string.h"
#include "mm/respond.h"
#include "mm/space.h"

COUNTER(shootdown_line_full, "targets told by the flush-everything word, because their line was full");

u32 shootdown_ceiling = SHOOTDOWN_CEILING_DEFAULT;

void shootdown_send(struct tlb_ticket *t, enum tlb_level ack)
{
    struct msg m;
    m.kind = tlb_flush_message;
    m.flags = MSG_OWN_ACK;
    tlb_request_pack(&t->request, ack, m.word);

    msg_post_mask(&t->must, &m, &t->by_word);
    if (unlikely(!cpumask_empty(&t->by_word))) {
        counter_add(shootdown_line_full, cpumask_count(&t->by_word));
        CPUMASK_FOREACH (c, &t->by_word)
            tlb_flush_all_by_word(c);
    }
    if (patch_enabled(PATCH_TIMES))
        t->times.t[TLB_T_POSTED] = rdtsc_ordered();
}

const char *tlb_level_name(enum tlb_level l)
{
    static const char *const names[] = {"NONE", "SENT", "ENTERED", "FLUSHED", "WALKERS"};
    return (u32)l < ARRAY_SIZE(names) ? names[l] : "?";
}

static const struct shootdown_policy *in_force;
static bool unsafe_allowed;
static bool chosen;

static const struct shootdown_policy *find(const char *name)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

/* Serves every level on every range: what a policy's requests are routed to when it cannot. */
static const struct shootdown_policy *strongest(void)
{
    static const struct shootdown_policy *p;
    if (unlikely(!p)) {
        p = find("concurrent");
        ASSERT(p && p->at_release == TLB_WALKERS, "the policy that others are routed to serves every level");
    }
    return p;
}

const struct shootdown_policy *shootdown_policy(void)
{
    return likely(in_force) ? in_force : strongest();
}

bool shootdown_policy_chosen(void)
{
    return chosen;
}

void shootdown_unsafe_allow(bool allow)
{
    unsafe_allowed = allow;
}
bool shootdown_unsafe_allowed(void)
{
    return unsafe_allowed;
}

bool shootdown_policy_usable(const struct shootdown_policy *p)
{
    return !p->usable || p->usable();
}

static bool may_be_chosen(const struct shootdown_policy *p)
{
    return (!p->control || unsafe_allowed) && shootdown_policy_usable(p);
}

err_t shootdown_policy_set(const char *name)
{
    const struct shootdown_policy *p = find(name);
    if (!p)
        return ERR_ABSENT;
    if (!may_be_chosen(p))
        return ERR_UNSUPPORTED;
    in_force = p;
    return ERR_OK;
}

const struct shootdown_policy *shootdown_route(const struct shootdown_policy *p, enum tlb_level need,
                                               bool kernel_range)
{
    /* A handler runs on kernel mappings itself, so on a kernel range nothing less than FLUSHED will do. */
    if (kernel_range && need < TLB_FLUSHED)
        need = TLB_FLUSHED;
    if (kernel_range && p->control)
        return strongest();
    return likely(need <= p->at_release) ? p : strongest();
}

static const char *set_unsafe(const char *value)
{
    return parse_on_off(value, &unsafe_allowed) ? NULL : "unsafe=yes or unsafe=no";
}
PARAM(unsafe, "unsafe", "unsafe=yes: allow policies that are broken on purpose (before policy=)", set_unsafe);

static const char *set_policy(const char *value)
{
    static char allowed[256];
    const struct shootdown_policy *asked = find(value);
    if (shootdown_policy_set(value) == ERR_OK) {
        chosen = true;
        return NULL;
    }
    int n =
        format(allowed, sizeof(allowed), "%s",
               asked && asked->control ? "it is broken on purpose and needs unsafe=yes before it; without:"
                                       : "one of");
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (may_be_chosen(p) && (size_t)n < sizeof(allowed))
            n += format(allowed + n, sizeof(allowed) - (size_t)n, " %s", p->name);
    return allowed;
}
PARAM(policy, "policy", "policy=NAME: the shootdown policy (`policy` at the prompt lists them)", set_policy);

static const char *set_ceiling(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < 1 || n > 4096)
        return "ceiling=N, 1 to 4096 pages";
    shootdown_ceiling = (u32)n;
    return NULL;
}
PARAM(ceiling, "ceiling", "ceiling=N: longer ranges are flushed whole (pages, 1 to 4096, default 33)",
      set_ceiling);
