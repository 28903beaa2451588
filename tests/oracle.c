#include "tests/oracle.h"

#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/tlb.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "mm/tlb_local.h"
#include "smp/cpus.h"
#include "tests/window.h"

/* Pages tried for each kind. One can be blind by bad luck: where a TLB is direct-mapped, a table page or a frame that is
 * touched between filling the entry and looking may push it out. Four neighbours cannot all share its fate. */
#define TRIES 4u
/* The other CPU's turn: far more than a worker's start takes. */
#define REMOTE_MS 200u

#define OLD       0x0101010101010101ull
#define NEW       0x0202020202020202ull

struct oracle oracle;

/* Two frames and one page of a space, for one try. */
struct probe {
    struct space *space;
    vaddr_t va;
    paddr_t old_frame, new_frame;
};

static u64 *content(paddr_t frame)
{
    return phys_to_virt(frame);
}

/* mov eax, value; ret */
static void write_function(paddr_t frame, u8 value)
{
    static const u8 code[] = {0xb8, 0, 0, 0, 0, 0xc3};
    u8 *to = phys_to_virt(frame);
    memcpy(to, code, sizeof(code));
    to[1] = value;
}

static u64 read_page(vaddr_t va)
{
    u64 v = 0;
    return safe_read_u64((const void *)va, &v) ? 0 : v;
}

static u64 call_page(vaddr_t va)
{
    u64 v = 0;
    return safe_call((u64(*)(void))va, &v) ? 0 : (u32)v;
}

/* The page now means the other frame, and nobody has been told. */
static bool swap_frame(const struct probe *p, u32 prot)
{
    u64 old_pte;
    return pt_remap(&p->space->pt, p->va, p->new_frame, PT_4K, prot, &old_pte) == ERR_OK;
}

static bool flushed(const struct probe *p, bool gone)
{
    if (!gone)
        log_error("INVLPG of %llx left a stale translation: this machine cannot be trusted",
                  (unsigned long long)p->va);
    return gone;
}

static bool sees_stale_read(const struct probe *p)
{
    content(p->old_frame)[0] = OLD;
    content(p->new_frame)[0] = NEW;
    if (read_page(p->va) != OLD || !swap_frame(p, PT_WRITE))
        return false;
    bool stale = read_page(p->va) == OLD;
    invlpg(p->va);
    return flushed(p, read_page(p->va) == NEW) && stale;
}

static bool sees_stale_write(const struct probe *p)
{
    struct pt_change change = {0};
    if (safe_write_u64((void *)p->va, OLD) ||
        pt_protect(&p->space->pt, p->va, p->va + PAGE_SIZE, PT_READ, NULL, &change) != ERR_OK)
        return false;
    bool stale = safe_write_u64((void *)p->va, NEW) == 0 && content(p->old_frame)[0] == NEW;
    invlpg(p->va);
    return flushed(p, safe_write_u64((void *)p->va, OLD) != 0) && stale;
}

static bool sees_stale_execute(const struct probe *p)
{
    write_function(p->old_frame, 1);
    write_function(p->new_frame, 2);
    if (call_page(p->va) != 1 || !swap_frame(p, PT_EXEC))
        return false;
    bool stale = call_page(p->va) == 1;
    invlpg(p->va);
    return flushed(p, call_page(p->va) == 2) && stale;
}

static bool sees_stale_global(const struct probe *p)
{
    content(p->old_frame)[0] = OLD;
    content(p->new_frame)[0] = NEW;
    if (read_page(p->va) != OLD || !swap_frame(p, PT_WRITE | PT_GLOBAL))
        return false;
    tlb_flush_space_local();
    bool stale = read_page(p->va) == OLD;
    invlpg(p->va);
    return flushed(p, read_page(p->va) == NEW) && stale;
}

/* What the other CPU does, and the two words by which it and the boot CPU take turns. */
struct remote {
    const struct probe *probe;
    u32 turn;
    bool stale, gone;
};
enum { TURN_FILL, TURN_CHANGE, TURN_LOOK };

static bool turn_wait(struct remote *r, u32 turn)
{
    struct wait w = WAIT("the oracle's other CPU", wait_ms(REMOTE_MS));
    /* orders: what the other side did in its turn before what we do in ours; pairs with: tests/oracle.c:turn_pass (release);
     * else: we could look before the entry was changed. */
    while (atomic_load_acquire(&r->turn) != turn)
        if (!wait_spin(&w))
            return false;
    return true;
}

static void turn_pass(struct remote *r, u32 turn)
{
    /* orders: our turn before the other side's; pairs with: tests/oracle.c:turn_wait (acquire); else: as there. */
    atomic_store_release(&r->turn, turn);
}

static void remote_side(void *arg)
{
    struct remote *r = arg;
    preempt_disable();
    space_load(r->probe->space);
    bool filled = read_page(r->probe->va) == OLD;
    turn_pass(r, TURN_CHANGE);
    if (filled && turn_wait(r, TURN_LOOK)) {
        r->stale = read_page(r->probe->va) == OLD;
        invlpg(r->probe->va);
        r->gone = read_page(r->probe->va) == NEW;
    }
    space_load(NULL);
    preempt_enable();
}

static bool sees_stale_remote(const struct probe *p)
{
    cpu_t other = cpumask_next(&cpus_online, 1);
    struct remote r = {.probe = p, .turn = TURN_FILL};
    content(p->old_frame)[0] = OLD;
    content(p->new_frame)[0] = NEW;
    if (other == CPU_NONE || worker_start(other, remote_side, &r) != ERR_OK)
        return false;
    if (turn_wait(&r, TURN_CHANGE) && swap_frame(p, PT_WRITE))
        turn_pass(&r, TURN_LOOK);
    if (worker_wait(other, 2 * REMOTE_MS) != ERR_OK)
        panic("CPU %u does not come back from the oracle, which lies on this stack", other);
    return flushed(p, r.gone) && r.stale;
}

/* Maps the page to the old frame, tries, and takes the page away again. */
static bool try_page(bool (*sees)(const struct probe *p), struct space *s, vaddr_t va, u32 prot)
{
    struct probe p = {.space = s, .va = va};
    bool seen = false;
    if (frame_alloc_zeroed(FRAME_OWNER_TEST, &p.old_frame) != ERR_OK)
        return false;
    if (frame_alloc_zeroed(FRAME_OWNER_TEST, &p.new_frame) == ERR_OK) {
        if (space_map(s, va, p.old_frame, PAGE_SIZE, PT_4K, prot) == ERR_OK) {
            seen = sees(&p);
            if (space_unmap(s, va, va + PAGE_SIZE) != ERR_OK)
                panic("the oracle cannot unmap its page %llx", (unsigned long long)va);
        }
        frame_free(p.new_frame);
    }
    frame_free(p.old_frame);
    return seen;
}

static bool try_pages(bool (*sees)(const struct probe *p), struct space *s, vaddr_t va, u32 prot)
{
    for (u32 i = 0; i < TRIES; i++)
        if (try_page(sees, s, va + i * PAGE_SIZE, prot))
            return true;
    return false;
}

void oracle_init(void)
{
    ASSERT_MAY_WAIT();
    struct space *s;
    err_t e = space_create(&s);
    if (e != ERR_OK) {
        log_error("the check for visible stale translations did not run: %s", err_name(e));
        return;
    }
    if (cpu_online_count() > 1)
        oracle.remote = try_pages(sees_stale_remote, s, TEST_USER_VA, PT_WRITE);
    preempt_disable();
    space_load(s);
    preempt_enable();
    oracle.read = try_pages(sees_stale_read, s, TEST_USER_VA, PT_WRITE);
    oracle.write = try_pages(sees_stale_write, s, TEST_USER_VA, PT_WRITE);
    oracle.execute = try_pages(sees_stale_execute, s, TEST_USER_VA, PT_EXEC);
    oracle.global = try_pages(sees_stale_global, &kernel_space, TEST_KERNEL_VA, PT_WRITE | PT_GLOBAL);
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    space_destroy(s);
}

enum oracle_power oracle_power(void)
{
    return oracle.read ? ORACLE_SEES_STALE : ORACLE_BLIND;
}

const char *oracle_summary(void)
{
    static char text[96];
    if (!oracle.read && !oracle.write && !oracle.execute)
        return "no stale translation is visible here: coherence tests prove nothing on this machine";
    format(text, sizeof(text), "stale leaf entries visible:%s%s%s%s%s", oracle.read ? " read" : "",
           oracle.write ? " write" : "", oracle.execute ? " execute" : "", oracle.global ? " global" : "",
           oracle.remote ? " remote" : "");
    return text;
}
