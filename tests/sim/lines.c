/* Cache lines of shared memory, and how often one moves: the `lines` of a shootdown.
 *
 * A line is with the CPUs that have read it since the last write, or with its last writer (MESI without E). A read by a CPU that does not
 * have it, and a write by one that is not the only one to have it, moves it once. Only what goes through lib/atomic.h is seen; plain
 * accesses to a message's words fall into lines that its counters move anyway. */
#include "tests/sim/machine.h"
#include "tests/sim/std.h"

#define LINES 1024u

static struct {
    u64 line;
    u16 holders;
    bool touched_by_two;
    u16 users;
} * table; /* on the heap */
static struct {
    u32 moved, charged;
    u64 ignored, ignored_end; /* what no kernel without assertions has: mm/tlb_record.h */
} * total;

static void init(void)
{
    if (!table) {
        table = calloc(LINES, sizeof(*table));
        total = calloc(1, sizeof(*total));
    }
}

void sim_lines_reset(void)
{
    init();
    total->moved = total->charged = 0;
    for (u32 i = 0; i < LINES; i++)
        table[i].users = 0;
}

void sim_lines_ignore(const volatile void *p, u32 size)
{
    init();
    total->ignored = (u64)p;
    total->ignored_end = (u64)p + size;
}

void sim_line_access(cpu_t c, const volatile void *p, bool write)
{
    u64 line = (u64)p / CACHE_LINE_SIZE + 1;
    u32 i = (u32)(line * 0x9e3779b97f4a7c15ull >> 54);
    u16 me = (u16)(1u << c);
    init();
    if ((u64)p >= total->ignored && (u64)p < total->ignored_end)
        return;
    while (table[i].line && table[i].line != line)
        i = (i + 1) % LINES;
    if (!table[i].line) {
        table[i].line = line;
        table[i].holders = me; /* the first access comes from memory */
    }
    table[i].users |= me;
    if (write ? table[i].holders != me : !(table[i].holders & me)) {
        total->moved++;
        table[i].holders = write ? me : table[i].holders | me;
    }
}

u32 sim_lines_moved(void)
{
    init();
    return total->moved;
}

u32 sim_lines_touched(void)
{
    u32 n = 0;
    init();
    for (u32 i = 0; i < LINES; i++)
        n += table[i].users && (table[i].users & (table[i].users - 1));
    return n;
}

void sim_lines_charge(u32 n)
{
    init();
    total->charged += n;
}

u32 sim_lines_charged(void)
{
    init();
    return total->charged;
}
