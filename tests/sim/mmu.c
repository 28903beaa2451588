/* The MMU: what each CPU may have cached, and what each instruction makes it forget (SDM volume 3A, section 4.10).
 *
 * Tagged by PCID: leaf entries of every size and entries of the paging-structure caches. Global leaf entries ignore the tag. A walk may
 * begin at the root or at any cached upper entry; all of these are tried, each time. */
#include "tests/sim/machine.h"
#include "tests/sim/std.h"

#include "lib/features.h"
#include "lib/x86/tlb.h"
#include "mm/cow.h"
#include "mm/layout.h"
#include "mm/pte.h"

#define CR3_NO_FLUSH (1ull << 63)
#define CR3_PCID     0xfffull
#define CR4_PGE      (1ull << 7)
#define CR4_PCIDE    (1ull << 17)

static struct sim_cpu *self(void)
{
    return &sim_cpus[sim.now];
}

static pcid_t current_pcid(const struct sim_cpu *c)
{
    return c->cr4 & CR4_PCIDE ? c->cr3 & CR3_PCID : 0;
}

static u64 root_of(const struct sim_cpu *c)
{
    return c->cr3 & PTE_ADDRESS;
}

/* ---- caches ---- */

static void add_leaf(struct sim_cpu *c, struct sim_leaf l)
{
    for (u32 i = 0; i < c->leaves; i++) {
        struct sim_leaf *o = &c->leaf[i];
        if (o->va == l.va && o->pa == l.pa && o->pcid == l.pcid && o->shift == l.shift &&
            o->rights == l.rights && o->global == l.global)
            return;
    }
    if (c->leaves == SIM_LEAVES)
        sim_fail("the simulated TLB has no room for another entry: raise SIM_LEAVES");
    c->leaf[c->leaves++] = l;
}

static void add_upper(struct sim_cpu *c, struct sim_upper u)
{
    for (u32 i = 0; i < c->uppers; i++) {
        struct sim_upper *o = &c->upper[i];
        if (o->va == u.va && o->table == u.table && o->generation == u.generation && o->pcid == u.pcid &&
            o->level == u.level && o->rights == u.rights)
            return;
    }
    if (c->uppers == SIM_UPPERS)
        sim_fail("the simulated paging-structure caches have no room for another entry: raise SIM_UPPERS");
    c->upper[c->uppers++] = u;
}

static bool leaf_holds(const struct sim_leaf *l, vaddr_t va)
{
    return va >> l->shift == l->va >> l->shift;
}
static bool upper_holds(const struct sim_upper *u, vaddr_t va)
{
    return va >> pt_shift(u->level) == u->va >> pt_shift(u->level);
}
static bool leaf_usable(const struct sim_cpu *c, const struct sim_leaf *l)
{
    return l->global || l->pcid == current_pcid(c);
}

static void drop_leaves(struct sim_cpu *c, bool (*gone)(const struct sim_leaf *l, pcid_t pcid, vaddr_t va),
                        pcid_t pcid, vaddr_t va)
{
    u32 kept = 0;
    for (u32 i = 0; i < c->leaves; i++)
        if (!gone(&c->leaf[i], pcid, va))
            c->leaf[kept++] = c->leaf[i];
    c->leaves = kept;
}

static bool leaf_any(const struct sim_leaf *l, pcid_t pcid, vaddr_t va)
{
    (void)l, (void)pcid, (void)va;
    return true;
}
static bool leaf_not_global(const struct sim_leaf *l, pcid_t pcid, vaddr_t va)
{
    (void)pcid, (void)va;
    return !l->global;
}
static bool leaf_of_pcid(const struct sim_leaf *l, pcid_t pcid, vaddr_t va)
{
    (void)va;
    return !l->global && l->pcid == pcid;
}
static bool leaf_of_page(const struct sim_leaf *l, pcid_t pcid, vaddr_t va)
{
    return leaf_holds(l, va) && (l->global || l->pcid == pcid);
}
static bool leaf_of_page_not_global(const struct sim_leaf *l, pcid_t pcid, vaddr_t va)
{
    return leaf_holds(l, va) && !l->global && l->pcid == pcid;
}

static void drop_uppers(struct sim_cpu *c, bool all, pcid_t pcid)
{
    u32 kept = 0;
    for (u32 i = 0; i < c->uppers; i++)
        if (!all && c->upper[i].pcid != pcid)
            c->upper[kept++] = c->upper[i];
    c->uppers = kept;
}

/* ---- walks ---- */

static u8 rights_of(u64 e)
{
    return SIM_R | (e & PTE_WRITE ? SIM_W : 0) | (e & PTE_USER ? SIM_U : 0) | (e & PTE_NX ? 0 : SIM_X);
}

static u64 *entry_at(u64 table, u32 level, vaddr_t va)
{
    return (u64 *)(sim_phys.memory + (table - SIM_PHYS_BASE)) + pt_index(va, level);
}

struct walk {
    struct sim_cpu *c;
    void (*fn)(void *arg, const struct sim_translation *t);
    void *arg;
};

static void found(const struct walk *w, u64 pa, u8 rights)
{
    struct sim_translation t = {.pa = ALIGN_DOWN(pa, PAGE_SIZE), .rights = rights, .present = true};
    if (w->fn)
        w->fn(w->arg, &t);
}

static void must_be_table(const struct sim_cpu *c, u64 table, u32 generation, vaddr_t va)
{
    if (!sim_is_table(table, generation))
        sim_fail("CPU %u walks for %llx through page-table frame %llx, which has been released",
                 (cpu_t)(c - sim_cpus), (unsigned long long)va, (unsigned long long)table);
}

/* From a table of the given level down; what is met on the way is cached. */
static void walk_from(const struct walk *w, u64 table, u32 level, u8 rights, vaddr_t va)
{
    struct sim_cpu *c = w->c;
    for (;; level--) {
        u64 e = sim_global_value(c, entry_at(table, level, va), 8);
        if (!(e & PTE_PRESENT))
            return;
        u8 through = rights & rights_of(e);
        if (pte_is_leaf(e, level)) {
            u64 page = pte_page(e, level).v, in_page = va & (pt_span(level) - 1);
            add_leaf(c, (struct sim_leaf){.va = ALIGN_DOWN(va, pt_span(level)),
                                          .pa = page,
                                          .pcid = current_pcid(c),
                                          .shift = (u8)pt_shift(level),
                                          .rights = through,
                                          .global = (e & PTE_GLOBAL) && (c->cr4 & CR4_PGE)});
            found(w, page + in_page, through);
            return;
        }
        struct frame *f = sim_frame(pte_table(e).v);
        must_be_table(c, pte_table(e).v, f ? f->generation : 0, va);
        add_upper(c, (struct sim_upper){.va = ALIGN_DOWN(va, pt_span(level)),
                                        .table = pte_table(e).v,
                                        .generation = f->generation,
                                        .pcid = current_pcid(c),
                                        .level = (u8)level,
                                        .rights = through});
        table = pte_table(e).v;
        rights = through;
    }
}

void sim_translations(struct sim_cpu *c, vaddr_t va, void (*fn)(void *arg, const struct sim_translation *t),
                      void *arg)
{
    struct walk w = {c, fn, arg};
    u32 leaves = c->leaves, uppers = c->uppers; /* what the walks below add, they report */
    for (u32 i = 0; i < leaves; i++) {
        const struct sim_leaf *l = &c->leaf[i];
        if (leaf_holds(l, va) && leaf_usable(c, l))
            found(&w, l->pa + (va & ((1ull << l->shift) - 1)), l->rights);
    }
    for (u32 i = 0; i < uppers; i++) {
        struct sim_upper u = c->upper[i];
        if (upper_holds(&u, va) && u.pcid == current_pcid(c)) {
            must_be_table(c, u.table, u.generation, va);
            walk_from(&w, u.table, u.level - 1u, u.rights, va);
        }
    }
    struct frame *root = sim_frame(root_of(c));
    must_be_table(c, root_of(c), root ? root->generation : 0, va);
    walk_from(&w, root_of(c), PT_LEVEL_ROOT, SIM_R | SIM_W | SIM_U | SIM_X, va);
}

struct sim_translation sim_read_tables(u64 root, vaddr_t va)
{
    u8 rights = SIM_R | SIM_W | SIM_U | SIM_X;
    u64 table = root;
    for (u32 level = PT_LEVEL_ROOT;; level--) {
        u64 e = sim_global_value(NULL, entry_at(table, level, va), 8);
        if (!(e & PTE_PRESENT))
            return (struct sim_translation){.present = false};
        rights &= rights_of(e);
        if (pte_is_leaf(e, level))
            return (struct sim_translation){.pa = pte_page(e, level).v +
                                                  ALIGN_DOWN(va & (pt_span(level) - 1), PAGE_SIZE),
                                            .rights = rights,
                                            .present = true};
        table = pte_table(e).v;
    }
}

/* ---- speculation ---- */

/* Everything watched that this CPU's root leads to. */
static void speculate(struct sim_cpu *c)
{
    if (!root_of(c) || sim.no_speculation)
        return;
    for (u32 i = 0; i < sim_watch_count(); i++) {
        u64 root;
        vaddr_t va = sim_watch_address(i, &root);
        if (va >= KERNEL_HALF || root == root_of(c))
            sim_translations(c, va, NULL, NULL);
    }
}

static u64 table_of(const volatile void *p)
{
    return SIM_PHYS_BASE + ALIGN_DOWN((u64)((const volatile u8 *)p - sim_phys.memory), PAGE_SIZE);
}

static bool is_entry(const volatile void *p)
{
    if (!sim_in_phys(p))
        return false;
    struct frame *f = sim_frame(table_of(p));
    return f->owner == FRAME_OWNER_TABLE;
}

void sim_before_entry_write(const volatile void *p)
{
    if (is_entry(p))
        for (cpu_t c = 0; c < sim.cpus; c++)
            speculate(&sim_cpus[c]);
}

void sim_after_entry_write(const volatile void *p)
{
    if (is_entry(p))
        sim_ghost_look();
}

/* Whoever can still use a cached way into the frame, or has it as its root, may walk there at any moment. */
void sim_table_gone(u64 pa)
{
    for (cpu_t n = 0; n < sim.cpus; n++) {
        const struct sim_cpu *c = &sim_cpus[n];
        if (root_of(c) == pa)
            sim_fail("the root table %llx is released while CPU %u has it in CR3", (unsigned long long)pa, n);
        for (u32 i = 0; i < c->uppers; i++)
            if (c->upper[i].table == pa && c->upper[i].pcid == current_pcid(c))
                sim_fail("page-table frame %llx is released while CPU %u can walk it: cached entry of level "
                         "%u for %llx",
                         (unsigned long long)pa, n, c->upper[i].level, (unsigned long long)c->upper[i].va);
    }
}

u32 sim_count_valid(const struct sim_cpu *c, vaddr_t start, u32 pages)
{
    u32 n = 0;
    for (u32 p = 0; p < pages; p++)
        for (u32 i = 0; i < c->leaves; i++)
            if (leaf_holds(&c->leaf[i], start + p * PAGE_SIZE) && leaf_usable(c, &c->leaf[i])) {
                n++;
                break;
            }
    return n;
}

/* ---- instructions ---- */

static void instruction(const char *what, u64 value)
{
    sim_step(STEP_VISIBLE, NULL, true, what, NULL);
    if (sim_tracing)
        sim_trace(sim.now, "  (%llx)", (unsigned long long)value);
    sim_drain(self(), SIM_BUFFER);
}

void host_invlpg(vaddr_t va)
{
    instruction("INVLPG", va);
    drop_leaves(self(), leaf_of_page, current_pcid(self()), va);
    drop_uppers(self(), false, current_pcid(self()));
}

/* A write of ring 0 that changes nothing. What is cached and allows it is used; nothing that does not, the tables are looked at, and what is
 * found there takes its place. Executable pages are not played: a TLB of instructions would keep them. */
static bool leaf_of_page_read_only(const struct sim_leaf *l, pcid_t pcid, vaddr_t va)
{
    return leaf_of_page(l, pcid, va) && !(l->rights & SIM_W);
}
static bool host_rewrite(vaddr_t va)
{
    struct sim_cpu *c = self();
    instruction("LOCK OR [user]", va);
    drop_leaves(c, leaf_of_page_read_only, current_pcid(c), va);
    sim_translations(c, va, NULL, NULL);
    for (u32 i = 0; i < c->leaves; i++)
        if (leaf_of_page(&c->leaf[i], current_pcid(c), va) && c->leaf[i].rights & SIM_W)
            return true;
    return false;
}
COW_WRITER(sim_cow_writer, host_rewrite);

void host_invpcid(u64 type, pcid_t pcid, vaddr_t va)
{
    struct sim_cpu *c = self();
    instruction("INVPCID", type << 32 | pcid);
    if (!features.invpcid)
        sim_fail("INVPCID on a CPU without it (#UD)");
    if (type > 3 || (type < 2 && pcid && !(c->cr4 & CR4_PCIDE)))
        sim_fail("INVPCID type %llu of PCID %u with CR4.PCIDE %d (#GP)", (unsigned long long)type, pcid,
                 (c->cr4 & CR4_PCIDE) != 0);
    switch (type) {
    case INVPCID_ADDR: /* leaf entries only: whether it reaches further is nothing to rely on */
        drop_leaves(c, leaf_of_page_not_global, pcid, va);
        break;
    case INVPCID_CONTEXT:
        drop_leaves(c, leaf_of_pcid, pcid, 0);
        drop_uppers(c, false, pcid);
        break;
    case INVPCID_ALL_GLOBAL:
        drop_leaves(c, leaf_any, 0, 0);
        drop_uppers(c, true, 0);
        break;
    case INVPCID_ALL:
        drop_leaves(c, leaf_not_global, 0, 0);
        drop_uppers(c, true, 0);
        break;
    }
}

u64 cr0_read(void)
{
    return 0x80010033;
}
u64 cr3_read(void)
{
    return self()->cr3;
}
u64 cr4_read(void)
{
    return self()->cr4;
}

void cr3_write(u64 v)
{
    struct sim_cpu *c = self();
    instruction("MOV CR3", v);
    if ((v & CR3_NO_FLUSH) && !(c->cr4 & CR4_PCIDE))
        sim_fail("bit 63 in CR3 while CR4.PCIDE is 0 (#GP)");
    speculate(c); /* what the old root leads to */
    c->cr3 = v & ~CR3_NO_FLUSH;
    if (!(v & CR3_NO_FLUSH)) {
        drop_leaves(c, leaf_of_pcid, current_pcid(c), 0);
        drop_uppers(c, false, current_pcid(c));
    }
    speculate(c); /* what is still cached under the new PCID can be walked from now on */
}

void cr4_write(u64 v)
{
    struct sim_cpu *c = self();
    instruction("MOV CR4", v);
    if ((v & CR4_PCIDE) && !(c->cr4 & CR4_PCIDE) && (c->cr3 & CR3_PCID))
        sim_fail("CR4.PCIDE is set while CR3 has a PCID (#GP)");
    speculate(c);
    if (((v ^ c->cr4) & CR4_PGE) || ((c->cr4 & ~v) & CR4_PCIDE)) {
        drop_leaves(c, leaf_any, 0, 0);
        drop_uppers(c, true, 0);
    }
    c->cr4 = v;
}
