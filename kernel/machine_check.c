/* Machine checks: the hardware reports that it is broken. Always a panic, with what the banks say.
 * Manual: SDM volume 3B, section 16.3. */
#include "kernel/panic.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/percpu.h"
#include "lib/x86/cpu.h"
#include "smp/cpus.h"

#define MSR_MCG_CAP        0x179u
#define MSR_MCG_STATUS     0x17au
#define MSR_MC_STATUS(i)   (0x401u + 4 * (i))
#define MSR_MC_ADDR(i)     (0x402u + 4 * (i))
#define MSR_MC_MISC(i)     (0x403u + 4 * (i))
#define MCG_CAP_BANKS      0xffu
#define MC_STATUS_VALID    (1ull << 63)
#define MC_STATUS_OVERFLOW (1ull << 62)
#define MC_STATUS_UC       (1ull << 61)
#define MC_STATUS_MISCV    (1ull << 59)
#define MC_STATUS_ADDRV    (1ull << 58)
#define MC_STATUS_PCC      (1ull << 57)

/* Banks that a CPU keeps; a broken machine has one or two. */
#define BANKS_KEPT 4u

void machine_check_handle(struct trap_frame *f); /* called by trap_entry.asm */

struct bank {
    u64 status, address, misc;
    u32 number;
};
/* A machine check is told to all CPUs of the machine at a time, on most. Each keeps what its banks say, and says nothing: there is one
 * panic, whose owner prints what all have found. */
struct machine_check {
    u64 global_status;
    u32 banks, reporting; /* that there are; that have something to say */
    u32 noted;
    struct bank bank[BANKS_KEPT];
};
static PERCPU(struct machine_check, found);

/* Address and misc exist only where the status says so; reading them elsewhere is #GP. */
static struct bank read_bank(u32 i, u64 status)
{
    return (struct bank){
        .number = i,
        .status = status,
        .address = status & MC_STATUS_ADDRV ? rdmsr(MSR_MC_ADDR(i)) : 0,
        .misc = status & MC_STATUS_MISCV ? rdmsr(MSR_MC_MISC(i)) : 0,
    };
}

static void note(struct machine_check *m)
{
    *m = (struct machine_check){
        .global_status = rdmsr(MSR_MCG_STATUS),
        .banks = (u32)(rdmsr(MSR_MCG_CAP) & MCG_CAP_BANKS),
    };
    for (u32 i = 0; i < m->banks; i++) {
        u64 status = rdmsr(MSR_MC_STATUS(i));
        if (status & MC_STATUS_VALID && m->reporting++ < BANKS_KEPT)
            m->bank[m->reporting - 1] = read_bank(i, status);
    }
    /* orders: what was noted before the mark; pairs with: kernel/machine_check.c:print_found (acquire); else: the panic's owner
     * could print half of it. */
    atomic_store_release(&m->noted, 1);
}

static void print_bank(const struct bank *b)
{
    print("    bank %u: status %016llx%s%s%s, error code %04llx", b->number, (unsigned long long)b->status,
          b->status & MC_STATUS_UC ? ", uncorrected" : ", corrected",
          b->status & MC_STATUS_PCC ? ", CPU state corrupt" : "",
          b->status & MC_STATUS_OVERFLOW ? ", others lost" : "", (unsigned long long)(b->status & 0xffff));
    if (b->status & MC_STATUS_ADDRV)
        print(", address %llx", (unsigned long long)b->address);
    if (b->status & MC_STATUS_MISCV)
        print(", misc %llx", (unsigned long long)b->misc);
    print("\n");
}

static void print_found(void)
{
    for (cpu_t c = 0; c < cpu_count(); c++) {
        const struct machine_check *m = &per_cpu(found, c);
        /* orders: reading after the mark; pairs with: kernel/machine_check.c:note (release); else: half of it could be printed. */
        if (!cpu_is_online(c) || !atomic_load_acquire(&m->noted))
            continue;
        print("  machine check on cpu %u: MCG_STATUS %llx, %u of %u banks report\n", c,
              (unsigned long long)m->global_status, m->reporting, m->banks);
        for (u32 i = 0; i < MIN(m->reporting, BANKS_KEPT); i++)
            print_bank(&m->bank[i]);
    }
}
PANIC_HOOK(machine_check, print_found);

/* The first bank already in the panic's own line, should the rest of it be lost. */
void machine_check_handle(struct trap_frame *f)
{
    struct machine_check *m = this_cpu_ptr(found);
    char what[96];
    note(m);
    format(what, sizeof(what), "the hardware reported an error: bank %u, status %llx", m->bank[0].number,
           (unsigned long long)m->bank[0].status);
    panic_trap(f, what);
}
