/* The cost model: an operation with a price takes that much longer, and one without takes no longer than before. */
#include "kernel/cost.h"

#include "apic/apic.h"
#include "kernel/patch.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/tlb.h"
#include "smp/message.h"
#include "tests/test.h"

#define PRICE    40000u /* well above what anything here takes, in Bochs and in TCG */
#define TRIES    16u
#define LIMIT_MS 1000u
#define STEP     5u  /* of Bochs' clock: each payment can end that much late */
#define SLACK    15u /* Bochs: two steps of the clock, and the odd instruction that other registers cost */

static u8 page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void do_invlpg(void)
{
    invlpg((vaddr_t)page);
}
static void do_cr3(void)
{
    cr3_write(cr3_read());
}
static void do_invpcid(void)
{
    invpcid(INVPCID_ADDR, 0, (vaddr_t)page);
}
static void do_self_interrupt(void)
{
    const u64 *count = this_cpu_ptr(trap_raw_count);
    u64 before = atomic_load_relaxed(count);
    struct wait w = WAIT("an interrupt to oneself", wait_ms(LIMIT_MS));
    apic_send_fixed_self(VECTOR_RAW);
    while (atomic_load_relaxed(count) == before)
        if (!wait_spin(&w))
            return;
}

static void ignore(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(test_cost_ignore, ignore);

static bool call_failed;

static void do_call(void)
{
    struct msg m = {.kind = &test_cost_ignore, .flags = MSG_SYNC};
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c)) {
            call_failed |= msg_call(c, &m) != ERR_OK;
            return;
        }
}

static u64 best_of(void (*operation)(void))
{
    u64 best = ~0ull;
    for (u32 i = 0; i < TRIES; i++) {
        u64 start = rdtsc_ordered();
        operation();
        best = MIN(best, rdtsc_ordered() - start);
    }
    return best;
}

/* `times`: how often the operation pays the price. */
static void check_price(struct test *t, enum cost c, void (*operation)(void), u64 times)
{
    u64 without = best_of(operation);
    REQUIRE(t, cost_set(c, PRICE), "the price of %s is refused", cost_name(c));
    u64 with = best_of(operation);
    REQUIRE(t, cost_set(c, 0), "the price of %s cannot be taken back", cost_name(c));
    u64 again = best_of(operation);

    bool exact = emulator == EMULATOR_BOCHS;
    u64 paid = with - without, due = times * PRICE;
    CHECK(t, paid + SLACK >= due || (!exact && with >= due), "%s: %llu ticks paid of %llu", cost_name(c),
          (unsigned long long)paid, (unsigned long long)due);
    CHECK(t, !exact || paid <= due + SLACK + times * STEP, "%s: %llu ticks paid, due were %llu", cost_name(c),
          (unsigned long long)paid, (unsigned long long)due);
    /* Elsewhere the host can always be busy: that the price is gone shows only as work. */
    CHECK(t, !exact || again < PRICE, "%s: %llu ticks are still paid without a price", cost_name(c),
          (unsigned long long)again);
}

static u32 saved[COSTS];

static void save(void)
{
    for (u32 c = 0; c < COSTS; c++) {
        saved[c] = cost_ticks((enum cost)c);
        (void)cost_set((enum cost)c, 0);
    }
}
static void restore(void)
{
    for (u32 c = 0; c < COSTS; c++)
        (void)cost_set((enum cost)c, saved[c]);
}

static void cost_is_spent(struct test *t)
{
    save();
    check_price(t, COST_INVLPG, do_invlpg, 1);
    check_price(t, COST_CR3, do_cr3, 1);
    if (features.invpcid)
        check_price(t, COST_INVPCID, do_invpcid, 1);
    check_price(t, COST_ENTRY, do_self_interrupt, 1);
    check_price(t, COST_ICR, do_self_interrupt, 1);
    if (cpu_online_count() > 1) {
        check_price(t, COST_WIRE, do_call, 1);
        /* The sender pays for the slot twice (a look, then it is taken), the pending word and the acknowledgement, the receiver for
         * pending word, slot and acknowledging: seven accesses one after the other. */
        check_price(t, COST_LINE, do_call, 7);
        CHECK(t, !call_failed, "a call failed");
    }
    restore();
}
TEST(cost_is_spent, "each operation with a price takes that many ticks more");

/* ---- lines=count ---- */

static const char *set_lines(const char *value)
{
    TABLE_FOREACH (param, struct param, p)
        if (strcmp(p->key, "lines") == 0)
            return p->set(value);
    return "there is no such parameter";
}

static bool lines_are_counted(void)
{
    u64 before = this_cpu(counter_cache_lines);
    cost_line();
    compiler_barrier(); /* for the compiler the site leaves the counter as it was */
    return this_cpu(counter_cache_lines) != before;
}

static bool model_says_so(void)
{
    const char *model = cost_model_name(), *said = "lines=count";
    size_t n = strlen(model), m = strlen(said);
    return n >= m && strcmp(model + n - m, said) == 0;
}

/* A benchmark's pass that counts begins and ends by cost_count. */
static void cost_lines_counted(struct test *t)
{
    bool before = model_says_so();
    CHECK(t, set_lines("pay") == NULL && !model_says_so() && !lines_are_counted(), "lines=pay: %s",
          cost_model_name());
    cost_count(true);
    CHECK(t, lines_are_counted() && !model_says_so(), "a pass that counts: %s", cost_model_name());
    cost_count(false);
    CHECK(t, !lines_are_counted(), "lines are counted after a pass");
    CHECK(t, set_lines("count") == NULL && model_says_so() && lines_are_counted(), "lines=count: %s",
          cost_model_name());
    cost_count(true);
    cost_count(false);
    CHECK(t, model_says_so() && lines_are_counted(), "lines=count is gone after a pass: %s",
          cost_model_name());
    CHECK(t, set_lines(before ? "count" : "pay") == NULL, "the setting before cannot be restored");
}
TEST(cost_lines_counted,
     "lines=count outlasts a pass that counts, and records say that lines are not paid for");

/* ---- the wire ---- */

static void on_its_way(struct msg_in *in)
{
    (void)in;
    cost_nmi();
}
TABLE_ENTRY(msg_kind, struct msg_kind, test_cost_by_nmi) = {.name = "test_cost_by_nmi", .fn = on_its_way};

/* The least that a message takes its target, entry to end; 0 if one is not answered. */
static u64 responder_best(cpu_t to, const struct msg *m)
{
    u64 best = ~0ull, ticks;
    for (u32 i = 0; i < TRIES; i++) {
        struct wait w = WAIT("the target to leave its handler", wait_ms(LIMIT_MS));
        atomic_store_relaxed(&per_cpu(trap_message_ticks, to), 0);
        if (msg_call(to, m) != ERR_OK)
            return 0;
        while (!(ticks = atomic_load_relaxed(&per_cpu(trap_message_ticks, to))))
            if (!wait_spin(&w))
                return 0;
        best = MIN(best, ticks);
    }
    return best;
}

static void check_wire(struct test *t, cpu_t to, const char *what, const struct msg *m)
{
    u64 without = responder_best(to, m);
    REQUIRE(t, cost_set(COST_WIRE, PRICE), "the price of the wire is refused");
    u64 with = responder_best(to, m);
    REQUIRE(t, cost_set(COST_WIRE, 0) && without && with, "%s: not answered", what);
    test_note(t, "%s: %llu and %llu ticks", what, (unsigned long long)without, (unsigned long long)with);
    CHECK(t, emulator != EMULATOR_BOCHS || with < without + 10 * STEP,
          "%s: %llu ticks of the target without a price on the wire, %llu with one of %u", what,
          (unsigned long long)without, (unsigned long long)with, PRICE);
}

static void cost_wire_is_nobodys(struct test *t)
{
    cpu_t to = cpumask_next(&cpus_online, 1);
    if (to == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    save();
    if (CHECK(t, patch_set(PATCH_TIMES, true) == ERR_OK, "time stamps cannot be patched in")) {
        check_wire(t, to, "by interrupt", &(struct msg){.kind = &test_cost_ignore, .flags = MSG_SYNC});
        check_wire(t, to, "by NMI", &(struct msg){.kind = &test_cost_by_nmi, .flags = MSG_SYNC | MSG_NMI});
        CHECK(t, patch_set(PATCH_TIMES, false) == ERR_OK, "time stamps cannot be patched out");
    }
    restore();
}
TEST(cost_wire_is_nobodys, "what a message takes its target does not depend on the price of the wire");

static void cost_values(struct test *t)
{
    CHECK(t, !cost_set(COST_LINE, COST_MIN - 1) && !cost_set(COST_LINE, COST_MAX + 1), "out of range");
    CHECK(t, cost_word_for(COST_MIN, false) == 1, "the cheapest is one turn");
    CHECK(t, cost_word_for(1006, false) == 500, "six ticks are the call's own");
    CHECK(t, cost_word_for(1006, true) == (1006 | 1u << 31), "by the clock");
}
TEST(cost_values, "prices that can be set, and what the loop makes of them");

/* What cost=measure prints is what can be given back, whatever was measured. */
static void cost_measured_values(struct test *t)
{
    static const struct {
        u64 ticks;
        u32 settable;
    } cases[] = {{0, 0},     {COST_MIN / 2 - 1, 0}, {COST_MIN / 2, COST_MIN}, {COST_MIN - 1, COST_MIN},
                 {216, 216}, {COST_MAX, COST_MAX},  {COST_MAX + 1, COST_MAX}, {~0ull, COST_MAX}};
    u32 before = cost_ticks(COST_INVPCID);
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        u32 settable = cost_settable(cases[i].ticks);
        CHECK(t, settable == cases[i].settable, "%llu ticks are made %u, not %u",
              (unsigned long long)cases[i].ticks, settable, cases[i].settable);
        CHECK(t, cost_set(COST_INVPCID, settable), "%u ticks cannot be set", settable);
    }
    CHECK(t, cost_set(COST_INVPCID, before), "the price before cannot be set again");
}
TEST(cost_measured_values, "each price that cost=measure may print can be set");
