/* Machine checks: the hardware reports that it is broken. Always a panic, with what the banks say.
 * Manual: SDM volume 3B, section 16.3. */
#include "kernel/panic.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"

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

void machine_check_handle(struct trap_frame *f); /* called by trap_entry.asm */

static void print_bank(u32 i)
{
    u64 status = rdmsr(MSR_MC_STATUS(i));
    if (!(status & MC_STATUS_VALID))
        return;
    print("  bank %u: status %016llx%s%s%s, error code %04llx", i, (unsigned long long)status,
          status & MC_STATUS_UC ? ", uncorrected" : ", corrected",
          status & MC_STATUS_PCC ? ", CPU state corrupt" : "",
          status & MC_STATUS_OVERFLOW ? ", others lost" : "", (unsigned long long)(status & 0xffff));
    /* These two exist only where the status says so; reading them elsewhere is #GP. */
    if (status & MC_STATUS_ADDRV)
        print(", address %llx", (unsigned long long)rdmsr(MSR_MC_ADDR(i)));
    if (status & MC_STATUS_MISCV)
        print(", misc %llx", (unsigned long long)rdmsr(MSR_MC_MISC(i)));
    print("\n");
}

void machine_check_handle(struct trap_frame *f)
{
    /* Before panic, which stops the others first: this is what must not be lost. The log's lock may be held by
     * whatever was interrupted here. */
    log_panic_mode();
    u32 banks = (u32)(rdmsr(MSR_MCG_CAP) & MCG_CAP_BANKS);
    print("\nMACHINE CHECK on cpu %u: MCG_STATUS %llx, %u banks\n", cpu_self(),
          (unsigned long long)rdmsr(MSR_MCG_STATUS), banks);
    for (u32 i = 0; i < banks; i++)
        print_bank(i);
    panic_trap(f, "the hardware reported an error");
}
