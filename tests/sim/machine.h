/* The simulated machine: CPUs as coroutines, store buffers, local APICs, and an MMU that keeps all that it may.
 *
 * The real code of mm/ and smp/ runs on it. Each access to shared memory, each privileged instruction and each access of a
 * thread to user memory is a step; before a step the scheduler may let another CPU go on, and interrupts may come. The
 * machine is deterministic: the same deviations (explore.h) give the same run.
 *
 * MMU. Nothing that a CPU may cache is ever lost but by a flush, and speculation fills in everything reachable: before an entry of
 * a walked table changes, and before a CPU loads another root, every CPU concerned caches every watched address. An access is
 * checked against *each* translation that is cached, so the MMU needs no choices: more entries only mean more to find. */
#pragma once

#include "lib/percpu.h"
#include "lib/types.h"
#include "lib/x86/sim.h"
#include "mm/frame.h"
#include "mm/space.h"

#define SIM_FRAMES      256u
#define SIM_PHYS_BASE   0x100000000ull
#define SIM_BUFFER      8u
#define SIM_LEAVES      96u
#define SIM_UPPERS      96u
#define SIM_STEPS_MAX   30000u
#define SIM_WATCHES     24u
#define SIM_GHOST_STATE 4u

enum sim_rights { SIM_R = 1, SIM_W = 2, SIM_U = 4, SIM_X = 8 };

/* A cached leaf translation; shift 0: no entry. */
struct sim_leaf {
    u64 va, pa;
    pcid_t pcid;
    u8 shift, rights;
    bool global;
};

/* A cached entry that points at a table: of the PML4 (level 3), a PDPT (2) or a PD (1), for the address bits above. */
struct sim_upper {
    u64 va; /* of the first byte that the entry maps */
    u64 table;
    u32 generation; /* of the table's frame when it was cached */
    pcid_t pcid;
    u8 level, rights;
};

struct sim_pending { /* a store that this CPU sees and others do not */
    u8 *addr;
    u32 size;
    u64 old;        /* what the others see */
    u32 generation; /* of the frame that addr lies in, when the store was executed by a user thread */
    bool user;
};

enum sim_state { SIM_READY, SIM_PAUSED, SIM_IDLE };

struct sim_cpu {
    void *sp; /* of its coroutine, while another runs */
    enum sim_state state;
    u64 seen;      /* sim.epoch at its pause */
    u64 monitored; /* sim.epoch at its last MONITOR */
    bool irq_on, in_service, irr, nmi_latched, in_nmi, postponed;
    bool in_ring3; /* what an interrupt comes from, and returns to */
    u32 irq_depth;
    u64 cr3, cr4;
    struct space *user; /* what the thread on it believes to run in; NULL: it touches nothing */
    u32 buffered;
    struct sim_pending buffer[SIM_BUFFER];
    u32 leaves, uppers;
    struct sim_leaf leaf[SIM_LEAVES];
    struct sim_upper upper[SIM_UPPERS];
};

struct sim {
    bool running; /* coroutines run; false while a scenario is set up */
    cpu_t now;    /* the running CPU */
    u32 cpus;
    u32 step;  /* arrivals at steps so far */
    u64 epoch; /* grows with every change that another CPU can see */
    u32 fruitless;
    u32 nmis_left;
    cpu_t nmi_target;
    bool lines_on;
    bool no_speculation;
};
extern struct sim sim;
extern struct sim_cpu sim_cpus[HOST_CPUS];

/* Ends the run: what went wrong. From anywhere on the machine. */
NORETURN void sim_fail(const char *fmt, ...) PRINTF(1, 2);

/* ---- schedule.c ---- */

enum sim_step_kind {
    STEP_SHARED,
    STEP_VISIBLE,
    STEP_LOCAL
}; /* may conflict (looked up), always does, never does */
/* Before an access or instruction of the running CPU. */
void sim_step(enum sim_step_kind kind, const volatile void *addr, bool write, const char *what,
              const char *where);
void sim_switch_stacks(void **save, void *to);
void sim_changed(void); /* something became visible: whoever pauses may look again */

/* ---- buffer.c ---- */
void sim_drain(struct sim_cpu *c, u32 count);
u64 sim_global_value(const struct sim_cpu *viewer, const volatile void *p, u32 size);
void sim_user_store(u8 *addr, u32 generation);

/* ---- mmu.c ---- */
struct sim_translation {
    u64 pa; /* of the 4 KiB frame */
    u8 rights;
    bool present;
};
/* What the tables say now, with nothing cached. */
struct sim_translation sim_read_tables(u64 root, vaddr_t va);
/* Calls fn for every translation that this CPU might use for va now; fills its caches. */
void sim_translations(struct sim_cpu *c, vaddr_t va, void (*fn)(void *arg, const struct sim_translation *t),
                      void *arg);
void sim_before_entry_write(const volatile void *p);
void sim_after_entry_write(const volatile void *p);
void sim_table_gone(u64 pa); /* a frame that was a table, or anything, is no more */
u32 sim_count_valid(const struct sim_cpu *c, vaddr_t start, u32 pages); /* pages with a leaf usable now */

/* ---- frames.c ---- */
struct sim_phys {
    u8 *memory; /* SIM_FRAMES pages */
    u32 used;   /* frames that were ever allocated lie below this one */
};
extern struct sim_phys sim_phys;
void sim_phys_init(void);
struct frame *sim_frame(u64 pa); /* NULL outside */
bool sim_in_phys(const volatile void *p);
bool sim_is_table(u64 pa, u32 generation);
u32 sim_frames_in_use(void);

/* ---- kernel.c ---- */
#define SIM_SPACES_MAX 8u
extern struct space *sim_spaces[SIM_SPACES_MAX]; /* for names only */
extern u32 sim_space_count;
void sim_check_quiet(void); /* after a run: nothing may be left half done */
void sim_cpu_joins(void);   /* a CPU that comes up */
void sim_before_ring3(void);
void sim_thread_ends(void);

/* ---- ghost.c: what a program may still see ---- */
void sim_ghost_forget(u64 root);
void sim_watch(struct space *s, vaddr_t va); /* one page; kernel addresses with &kernel_space */
u32 sim_watch_count(void);
vaddr_t sim_watch_address(u32 i, u64 *root);
void sim_ghost_look(void); /* the tables may have changed */
void sim_ghost_promise(struct space *s, vaddr_t start,
                       vaddr_t end); /* what is not in the tables now must not be used */
/* An access by the running CPU; false: it faulted. */
enum sim_access { SIM_READ, SIM_WRITE, SIM_EXEC };
bool sim_touch(struct space *s, vaddr_t va, enum sim_access how, const char *who);

/* ---- lines.c ---- */
void sim_line_access(cpu_t c, const volatile void *p, bool write);
void sim_lines_reset(void);
u32 sim_lines_moved(void);
void sim_lines_ignore(const volatile void *p, u32 size); /* accesses there move nothing; one region */
u32 sim_lines_touched(void);
/* What the sites of lib/cost.h have been asked for since the reset. */
u32 sim_lines_charged(void);

/* ---- trace.c ---- */
extern bool sim_tracing;
void sim_trace(cpu_t c, const char *fmt, ...) PRINTF(2, 3);
const char *sim_symbol(const volatile void *p);
const char *sim_variable_name(const volatile void *p); /* of the program's variables */
void sim_trace_init(void);
void sim_trace_reset(void);
void sim_trace_print(void);
