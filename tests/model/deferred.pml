/* Memory that is given back later: mm/deferred.c, mm/ticket_special.c under policies deferred and lazy.
 *
 *     what: one CPU unmaps two pages, one after the other, with a single place for a ticket that outlives its operation; two others have
 *           the pages cached and flush when they are told; the last of them, or a sweep of the first CPU, gives the memory back
 *     proves: no frame is given away while somebody may use it, and none twice; both are, in the end; nothing waits for ever
 *     broken COUNTED_BEFORE_FLUSH: a target completes the ticket before it has flushed
 *     broken RELEASED_WITHOUT_LOOKING: the last to complete does not compare the published words, and a target that was told by the
 *           flush-everything word is not counted
 *     broken STATE_NOT_EXCHANGED: two releasers look at the state before either changes it
 *     broken PUBLISHED_BEFORE_FILLED: the place is opened before the ticket is whole
 *     broken REACHED_MEANS_ENTERED: the release compares `entered` instead of `flushed`
 */
#define CPUS 3
#define INITIATOR 0
#define PAGES 2
#define LINE(c) (PAGES + (c) - 1) /* the request in the line to that CPU: page + 1, and the serial, or 0 */
#define ENTERED(c) (3 + (c))
#define FLUSHED(c) (5 + (c))
#define STATE 8
#define GEN 9  /* of the ticket in the place */
#define COUNT 10 /* completion: serial * 4 + CPUs that are still to complete */
#define WORDS 11
#define ON_STORE(cpu, word, value) skip
#include "tso.inc"

#define FREE 0
#define FILLING 1
#define DEFERRED 2
#define RELEASING 3

bool present[PAGES] = true;
bool tlb[6]; /* by CPU and page */
bool gone[PAGES];
bool irr[CPUS];

inline access(c, p)
{
    atomic {
        if
        :: present[p] -> tlb[2 * (c) + (p)] = true
        :: else
        fi;
        assert(!tlb[2 * (c) + (p)] || !gone[p])
    }
}

#ifdef REACHED_MEANS_ENTERED
#define reached(c, g) (mem[ENTERED(c)] >= (g))
#else
#define reached(c, g) (mem[FLUSHED(c)] >= (g))
#endif

inline try_release(c, ready)
{
    if
    :: seen(c, STATE) == DEFERRED ->
#ifdef STATE_NOT_EXCHANGED
        ready = true;
        store(c, STATE, RELEASING);
#else
        atomic { drained(c) -> ready = (mem[STATE] == DEFERRED); mem[STATE] = (ready -> RELEASING : mem[STATE]) };
#endif
        if
        :: ready ->
            gen = seen(c, GEN);
#ifndef RELEASED_WITHOUT_LOOKING
            ready = reached(1, gen) && reached(2, gen);
#endif
            if
            :: ready ->
                atomic {
                    assert(gen > 0 && !gone[gen - 1]);
                    assert(!tlb[1 + gen] && !tlb[3 + gen]); /* WALKERS: nobody has it cached, not even in the handler */
                    gone[gen - 1] = true
                }
                printf("CPU %d: ticket_release_deferred of page %d\n", c, gen - 1);
                store(c, STATE, FREE)
            :: else -> store(c, STATE, DEFERRED)
            fi;
            gen = 0;
            ready = false
        :: else
        fi
    :: else
    fi
}

proctype target(byte me)
{
    byte line, gen, serial;
    bool ready;
end:
    do
    :: line == 0 -> access(me, 0)
    :: line == 0 -> access(me, 1)
    :: irr[me] ->
        irr[me] = false;
        locked_exchange(me, LINE(me), 0, line); /* inbox_take, and the words of the line */
        if
        :: line ->
            serial = line / 4; /* of the place; the generation is the page's number and 1 */
            line = line % 4;
            store(me, ENTERED(me), line);
#ifdef COUNTED_BEFORE_FLUSH
            store(me, FLUSHED(me), line);
#else
            d_step { tlb[2 * me] = false; tlb[2 * me + 1] = false };
            store(me, FLUSHED(me), line);
#endif
            printf("CPU %d: flushed generation %d\n", me, line);
            atomic { /* deferred_complete: LOCKed compare and exchange */
                drained(me) ->
                if
                :: mem[COUNT] % 4 && mem[COUNT] / 4 == serial ->
                    mem[COUNT] = mem[COUNT] - 1;
                    ready = (mem[COUNT] % 4 == 0)
                :: else
                fi
            };
            if
            :: ready -> printf("CPU %d: the last to complete\n", me); try_release(me, ready)
            :: else
            fi;
#ifdef COUNTED_BEFORE_FLUSH
            d_step { tlb[2 * me] = false; tlb[2 * me + 1] = false };
#endif
            ready = false
        :: else
        fi;
        line = 0;
        serial = 0
    od
}

inline tell(c)
{
    mem[LINE(c)] == 0; /* msg_send: waits for the line */
    atomic { drained(INITIATOR) -> mem[LINE(c)] = (page + 1) + 4 * (page + 1) };
    fence(INITIATOR);
    irr[c] = true
}

proctype initiator()
{
    byte page, gen;
    bool ready;
    do
    :: page < PAGES ->
        atomic { drained(INITIATOR) -> present[page] = false };
        do /* deferred_take: the one place; a sweep looks at the words */
        :: seen(INITIATOR, STATE) == FREE -> break
        :: seen(INITIATOR, STATE) == DEFERRED && reached(1, page) && reached(2, page) -> try_release(INITIATOR, ready)
        od;
        store(INITIATOR, STATE, FILLING);
#ifdef PUBLISHED_BEFORE_FILLED
        store(INITIATOR, STATE, DEFERRED);
        printf("CPU 0: deferred_publish, before it is filled\n");
        try_release(INITIATOR, ready); /* an interrupt that sweeps */
#endif
        store(INITIATOR, GEN, page + 1);
        atomic { drained(INITIATOR) -> mem[COUNT] = (page + 1) * 4 + 2 }; /* deferred_count */
        printf("CPU 0: page %d is unmapped, generation %d\n", page, page + 1);
        tell(1);
        tell(2);
#ifndef PUBLISHED_BEFORE_FILLED
        store(INITIATOR, STATE, DEFERRED); /* deferred_publish */
        printf("CPU 0: deferred_publish\n");
#endif
        page++
    :: else -> break
    od;
    do /* space_destroy: sweeps until nothing is left */
    :: seen(INITIATOR, STATE) == DEFERRED && reached(1, PAGES) && reached(2, PAGES) -> try_release(INITIATOR, ready)
    :: gone[0] && gone[1] -> break
    od
}

init {
    atomic {
        run store_buffer(0);
        run store_buffer(1);
        run store_buffer(2);
        run initiator();
        run target(1);
        run target(2)
    }
}
