/* A change of a space against CPUs that load, leave and borrow it: mm/ticket.c:ticket_close, mm/space.c:space_load, space_borrow.
 *
 *     what: one CPU changes a page twice and gives the old frame away each time; two others load the space, use it, borrow it
 *           (keep the root without being told), come back, and leave it, in any order
 *     proves: nobody uses a frame after it was given away; nobody is waited for for ever
 *     broken GENERATION_RAISED_PLAINLY: F1: the generation is raised by a plain store
 *     broken BIT_SET_PLAINLY: F2: the bit in the active mask is set by a plain store
 *     broken MASK_BEFORE_GENERATION: the active mask is read before the generation is raised
 *     broken GENERATION_BEFORE_BIT: the loading CPU reads the generation before it sets its bit
 *     broken GENERATION_AFTER_FLUSH: the generation is read after the flush, and published (CVE-2025-37964's shape)
 *     broken BIT_CLEARED_BEFORE_CR3: a leaving CPU clears its bit before it has loaded the other root (OpenBSD)
 *     broken NO_CATCH_UP: a CPU that comes back from borrowing trusts what it has cached
 */
#define CPUS 3
#define INITIATOR 0
#define CHANGES 2
#define TURNS(c) (3 - (c)) /* loads of the space: CPU 1 comes back once, CPU 2 does not */

#define GENERATION 0
#define BITS(c) (c) /* the active mask; each bit a word of its own here, as only its CPU writes it */
#define FLUSHED(c) (2 + (c))
#define WORDS 5
#define ON_STORE(cpu, word, value) skip
#include "tso.inc"

#define NOTHING 255
byte page;          /* the frame that the entry points at */
bool gone[3];       /* frames that have a new owner */
byte tlb[CPUS] = NOTHING;
bool root[CPUS];    /* CR3 is the space's */
bool irr[CPUS];

/* The walker may fill the TLB whenever the root is loaded. */
inline access(c)
{
    atomic {
        if
        :: tlb[c] == NOTHING -> tlb[c] = page
        :: else
        fi;
        assert(!gone[tlb[c]])
    }
}

inline fill(c)
{
    if
    :: true
    :: root[c] && tlb[c] == NOTHING -> tlb[c] = page
    fi
}

proctype user(byte me)
{
    byte gen, turns, ignored;
    bool runs; /* in the space; else it only borrows it, or has left it */
end:
    do
    :: runs -> access(me); printf("CPU %d: uses the page\n", me)
    :: irr[me] -> /* tlb_flush_received */
        irr[me] = false;
        if
        :: root[me] && runs ->
            gen = seen(me, GENERATION);
            fill(me);
            tlb[me] = NOTHING;
            fill(me);
            printf("CPU %d: told, flushed up to %d\n", me, gen);
            store(me, FLUSHED(me), gen)
        :: else /* not loaded, or borrowed: space_load catches up */
        fi;
        gen = 0
    :: !runs && turns < TURNS(me) -> /* space_load, interrupts off */
        turns++;
#ifdef GENERATION_BEFORE_BIT
        gen = seen(me, GENERATION);
#endif
#ifdef BIT_SET_PLAINLY
        store(me, BITS(me), 1);
#else
        locked_exchange(me, BITS(me), 1, ignored);
#endif
#ifndef GENERATION_BEFORE_BIT
        gen = seen(me, GENERATION);
#endif
        fill(me);
        if
        :: root[me] && gen == seen(me, FLUSHED(me))
#ifdef NO_CATCH_UP
        :: root[me]
#else
        :: root[me] && gen != seen(me, FLUSHED(me)) -> tlb[me] = NOTHING
#endif
        :: !root[me] -> tlb[me] = NOTHING; root[me] = true /* CR3 */
        fi;
        fill(me);
#ifdef GENERATION_AFTER_FLUSH
        gen = seen(me, GENERATION);
#endif
        store(me, FLUSHED(me), gen);
        printf("CPU %d: space_load, generation %d\n", me, gen);
        runs = true;
        gen = 0;
        ignored = 0
    :: runs -> /* space_borrow: the root stays, the bit goes */
        runs = false;
        locked_exchange(me, BITS(me), 0, ignored);
        printf("CPU %d: space_borrow\n", me);
        ignored = 0
    :: root[me] -> /* space_load of another: CR3 first, then the bit */
        if
        :: runs ->
#ifdef BIT_CLEARED_BEFORE_CR3
            locked_exchange(me, BITS(me), 0, ignored);
            access(me);
            tlb[me] = NOTHING;
            root[me] = false;
#else
            tlb[me] = NOTHING;
            root[me] = false;
            locked_exchange(me, BITS(me), 0, ignored);
#endif
            runs = false
        :: else -> tlb[me] = NOTHING; root[me] = false
        fi;
        printf("CPU %d: loads another root\n", me);
        ignored = 0
    od
}

proctype initiator()
{
    byte n, before;
    bool must[CPUS];
    do
    :: n < CHANGES ->
        n++;
        atomic { drained(INITIATOR) -> page = n }; /* atomic exchange of the entry */
        printf("CPU 0: the page is now frame %d\n", n);
#ifdef MASK_BEFORE_GENERATION
        must[1] = mem[BITS(1)];
        must[2] = mem[BITS(2)];
#endif
#ifdef GENERATION_RAISED_PLAINLY
        store(INITIATOR, GENERATION, n);
#else
        locked_add(INITIATOR, GENERATION, 1, before);
#endif
#ifndef MASK_BEFORE_GENERATION
        must[1] = mem[BITS(1)]; /* ticket_close: cpumask_snapshot */
        must[2] = mem[BITS(2)];
#endif
        printf("CPU 0: generation %d, must: CPU 1 %d, CPU 2 %d\n", n, must[1], must[2]);
        fence(INITIATOR);
        irr[1] = irr[1] || must[1];
        irr[2] = irr[2] || must[2];
        !must[1] || mem[FLUSHED(1)] >= n || !mem[BITS(1)]; /* wait_published: has_reached */
        !must[2] || mem[FLUSHED(2)] >= n || !mem[BITS(2)];
        gone[n - 1] = true;
        printf("CPU 0: release of frame %d\n", n - 1);
        must[1] = false;
        must[2] = false;
        before = 0
    :: else -> break
    od
}

init {
    atomic {
        run store_buffer(0);
        run store_buffer(1);
        run store_buffer(2);
        run initiator();
        run user(1);
        run user(2)
    }
}
