/* The initiator's pieces, from which policies are made, and the choice of policy. */
#include "lib/assert.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/patch.h"
#include "lib/stop_point.h"
#include "lib/string.h"
#include "mm/by_nmi.h"
#include "mm/opt.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "mm/tlb_local.h"

COUNTER(shootdown_line_full, "targets told by the flush-everything word, because their line was full");

u32 shootdown_ceiling = SHOOTDOWN_CEILING_DEFAULT;

COLD void shootdown_tell_by_word(cpu_t cpu)
{
    counter_inc(shootdown_line_full);
    tlb_flush_all_by_word(cpu);
}

static ALWAYS_INLINE void send(struct tlb_ticket *t, const cpumask_t *to, const struct msg *m)
{
    msg_post_mask(to, m, &t->by_word);
    if (unlikely(!cpumask_empty(&t->by_word))) {
        CPUMASK_FOREACH (c, &t->by_word)
            shootdown_tell_by_word(c);
    }
    shootdown_posted(t);
}

void shootdown_send(struct tlb_ticket *t, enum tlb_level ack)
{
    struct msg m;
    m.kind = tlb_flush_message;
    m.flags = MSG_OWN_ACK;
    m.tag = 0;
    tlb_request_pack(&t->request, ack, m.word);
    send(t, &t->must, &m);
}

void shootdown_send_to(struct tlb_ticket *t, const cpumask_t *to, enum tlb_level ack)
{
    shootdown_send_kind(t, to, tlb_flush_message, ack, 0, 0);
}

void shootdown_send_kind(struct tlb_ticket *t, const cpumask_t *to, const struct msg_kind *kind,
                         enum tlb_level ack, u64 word4, u64 word5)
{
    struct msg m = {.kind = kind, .flags = MSG_OWN_ACK};
    tlb_request_pack(&t->request, ack, m.word);
    m.word[4] = word4;
    m.word[5] = word5;
    send(t, to, &m);
}

void shootdown_send_nmi(struct tlb_ticket *t, enum tlb_level ack)
{
    struct msg m = {.kind = tlb_nmi_message, .flags = MSG_OWN_ACK | MSG_NMI};
    tlb_request_pack(&t->request, ack, m.word);
    send(t, &t->must, &m);
}

const char *tlb_level_name(enum tlb_level l)
{
    static const char *const names[] = {"NONE", "SENT", "ENTERED", "FLUSHED", "WALKERS"};
    return (u32)l < ARRAY_SIZE(names) ? names[l] : "?";
}

/* What was chosen; as what it goes, and the strongest: themselves, or their copies under delivery=nmi. NULL: the strongest itself. Written
 * under the lock, as any thread of ring 3 may choose, and each copy is filled once. */
static spinlock_t choice_lock = SPINLOCK_INIT;
static const struct shootdown_policy *in_force, *in_force_path, *strongest_path;
static bool unsafe_allowed;
static bool chosen;

static const struct shootdown_policy *find(const char *name)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

/* Serves every level on every range. */
const struct shootdown_policy *shootdown_strongest(void)
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
    const struct shootdown_policy *p = atomic_load_relaxed(&in_force);
    return likely(p) ? p : shootdown_strongest();
}

const struct shootdown_policy *shootdown_policy_path(void)
{
    const struct shootdown_policy *p = atomic_load_relaxed(&in_force_path);
    return likely(p) ? p : shootdown_strongest();
}

const struct shootdown_policy *shootdown_strongest_path(void)
{
    const struct shootdown_policy *p = atomic_load_relaxed(&strongest_path);
    return likely(p) ? p : shootdown_strongest();
}

/* Shootdowns that have begun go on as what they began as. */
static const struct shootdown_policy *path_of(const struct shootdown_policy *p)
{
    const struct shootdown_policy *by_nmi = by_nmi_path(p);
    return by_nmi != p ? by_nmi : opt_path(p);
}

static void choose_paths(const struct shootdown_policy *chosen_now)
{
    preempt_disable();
    spin_lock(&choice_lock);
    if (chosen_now)
        atomic_store_relaxed(&in_force, chosen_now);
    /* orders: what a copy holds before somebody finds it; pairs with: mm/initiate.c:shootdown_policy_path (the loads of the copy depend
     * on that of the pointer); else: a hook of it could still be NULL. */
    atomic_store_release(&strongest_path, path_of(shootdown_strongest()));
    atomic_store_release(&in_force_path, path_of(shootdown_policy()));
    spin_unlock(&choice_lock);
    preempt_enable();
}

void shootdown_choose_paths(void)
{
    choose_paths(NULL);
}
DELIVERY_HOOK(shootdown_delivery, shootdown_choose_paths);

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
    ASSERT(p->special == (p->control || p->waits_in_ipi || p->at_return != p->at_release),
           "a policy says whether it goes the long way");
    choose_paths(p);
    return ERR_OK;
}

static ALWAYS_INLINE const struct shootdown_policy *route(const struct shootdown_policy *p,
                                                          enum tlb_level at_return, enum tlb_level at_release)
{
    return likely(at_release <= p->at_release) && likely(at_return <= p->at_return || p->control)
               ? p
               : shootdown_strongest_path();
}

/* A handler runs on kernel mappings itself, so on a kernel range nothing less than FLUSHED will do, at return too. */
static const struct shootdown_policy *route_kernel(const struct shootdown_policy *p, enum tlb_level need)
{
    need = MAX(need, TLB_FLUSHED);
    return p->control ? shootdown_strongest_path() : route(p, need, need);
}

const struct shootdown_policy *shootdown_route(const struct shootdown_policy *p, enum tlb_level need,
                                               bool kernel_range)
{
    return unlikely(kernel_range) ? route_kernel(p, need) : route(p, need, need);
}

const struct shootdown_policy *shootdown_route_lax(const struct shootdown_policy *p, enum tlb_level need,
                                                   bool kernel_range)
{
    return unlikely(kernel_range) ? route_kernel(p, need) : route(p, TLB_NONE, need);
}

err_t shootdown_policy_choose(const char *name)
{
    err_t e = shootdown_policy_set(name);
    chosen = chosen || e == ERR_OK;
    return e;
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
    if (shootdown_policy_choose(value) == ERR_OK)
        return NULL;
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

/* How this CPU and targets flush: the axis that every policy shares. */
static const char *set_flush(const char *value)
{
    if (strcmp(value, "auto") == 0)
        shootdown_ceiling = SHOOTDOWN_CEILING_DEFAULT;
    else if (strcmp(value, "invlpg") == 0)
        shootdown_ceiling = 4096;
    else if (strcmp(value, "cr3") == 0 || strcmp(value, "invpcid") == 0)
        shootdown_ceiling = 0;
    else
        return "flush=auto, invlpg, cr3 or invpcid";
    tlb_flush_by_invpcid = strcmp(value, "invpcid") == 0;
    return NULL;
}
PARAM(flush, "flush",
      "flush=auto|invlpg|cr3|invpcid: page by page up to the ceiling, always, never (then how the rest is "
      "flushed)",
      set_flush);
