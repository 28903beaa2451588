/* Acknowledged on entry, with NMIs and recycled memory: mm/ticket.c, mm/respond.c, kernel/nmi.c under policy early_ack.
 *
 *     what: one CPU unmaps a page, perhaps with its table, and gives the memory away as soon as the policy allows; two CPUs have it
 *           cached, read and write it, take NMIs at every step, and may have a call that touches it queued in front of the flush
 *     proves: nobody reads, writes or walks memory that has got a new owner
 *     broken SEND_ONLY: the initiator goes on when the interrupt has been written (unsafe_nowait)
 *     broken PENDING_AFTER_PUBLISH: the count of pending flushes is raised after entered has been published
 *     broken PENDING_LOWERED_EARLY: it is lowered before the flush
 *     broken NMI_NEVER_ASKS: the NMI handler does not ask nmi_user_access_ok()
 *     broken TAKE_UNLOCKED: the pending word is taken by plain loads and stores: non-temporal stores have not drained
 *     broken ENTERED_FOR_ALL: entered is published once for all messages that the drain will run
 *     broken TABLES_AT_ENTERED: a freed table is reused at ENTERED, where it needs WALKERS
 *     broken FLUSH_AFTER_RETURN: the handler returns to what it interrupted and flushes later
 */
#define CPUS 3
#define INITIATOR 0

/* Words: the frame's content by who wrote it, then of each target: pending word, entered, walkers. */
#define FRAME 0
#define PENDING(c) (3 * (c) - 2)
#define ENTERED(c) (3 * (c) - 1)
#define WALKERS(c) (3 * (c))
#define WORDS 7
#define CALL 1  /* a message whose function touches user memory */
#define FLUSH 2 /* the request */
/* A store through the old translation must not land in memory that has a new owner. */
#define ON_STORE(cpu, word, value) assert(word != FRAME || !frame_given_away)

bool frame_given_away, table_given_away;
bool streaming[CPUS]; /* a non-temporal store to the frame has not reached memory */
#define ALSO_DRAINED(cpu) !streaming[cpu]
#include "tso.inc"

bool present = true; /* the page-table entry */
bool tlb[CPUS];      /* the leaf translation is cached */
bool walker[CPUS];   /* the paging-structure caches hold the table */
bool irr[CPUS];
byte pending[CPUS]; /* tlb_pending */

/* Ring 3 may use non-temporal stores; the kernel does not, and must not: between the LOCKed take and `entered` nothing would wait
 * for them. */
inline touch(c, ring3)
{
    atomic {
        if
        :: !tlb[c] && present -> tlb[c] = true; walker[c] = true
        :: else
        fi;
        if
        :: tlb[c] ->
            assert(!frame_given_away); /* a read through the old translation */
            if
            :: true
            :: nfull(buffer[c]) -> store(c, FRAME, c)
            :: ring3 -> streaming[c] = true
            fi
        :: else /* a fault: the program would end here */
        fi
    }
}

/* An NMI may come between any two steps of the handler; outside of it, it does what the user's code may do. It samples the user
 * stack, if it may. */
inline nmi(c)
{
    if
    :: true
#ifdef NMI_NEVER_ASKS
    :: true ->
#else
    :: pending[c] == 0 -> /* nmi_user_access_ok */
#endif
        printf("CPU %d: NMI handler touches user memory\n", c);
        touch(c, false)
    fi
}

/* What happens at any time, whatever the CPU executes: non-temporal stores reach memory, the walker uses what its caches hold. */
proctype speculation()
{
end:
    do
    :: streaming[1] -> d_step { assert(!frame_given_away); streaming[1] = false }
    :: streaming[2] -> d_step { assert(!frame_given_away); streaming[2] = false }
    :: walker[1] && table_given_away -> assert(false)
    :: walker[2] && table_given_away -> assert(false)
    od
}

proctype target(byte me)
{
    byte bits;
end:
    do
    :: touch(me, true); printf("CPU %d: touches the page\n", me)
    :: irr[me] ->
        irr[me] = false;
        nmi(me);
#ifdef TAKE_UNLOCKED
        bits = mem[PENDING(me)];
        mem[PENDING(me)] = 0;
#else
        locked_exchange(me, PENDING(me), 0, bits); /* inbox_take */
#endif
        printf("CPU %d: inbox_take\n", me);
        nmi(me);
#ifdef ENTERED_FOR_ALL
        if
        :: bits & FLUSH -> pending[me]++; store(me, ENTERED(me), 1)
        :: else
        fi;
#endif
        if
        :: bits & CALL -> touch(me, false); printf("CPU %d: the call in front touches the page\n", me)
        :: else
        fi;
        if
        :: bits & FLUSH -> /* tlb_flush_received */
#if defined(PENDING_AFTER_PUBLISH)
            store(me, ENTERED(me), 1);
            nmi(me);
            pending[me]++;
#elif !defined(ENTERED_FOR_ALL)
            pending[me]++;
            nmi(me);
            store(me, ENTERED(me), 1); /* publish */
#endif
            printf("CPU %d: publish entered\n", me);
            nmi(me);
#ifdef PENDING_LOWERED_EARLY
            pending[me]--;
            nmi(me);
#endif
#ifdef FLUSH_AFTER_RETURN
            touch(me, true);
#endif
            d_step {
                tlb[me] = false;
                walker[me] = false /* INVLPG too forgets all paging-structure caches of the PCID */
            }
            printf("CPU %d: flushed\n", me);
            nmi(me);
            store(me, WALKERS(me), 1);
#ifndef PENDING_LOWERED_EARLY
            pending[me]--;
#endif
            nmi(me)
        :: else
        fi;
        bits = 0
    od
}

inline ask(c, what)
{
    atomic { drained(INITIATOR) -> mem[PENDING(c)] = mem[PENDING(c)] | what }; /* inbox_publish */
    fence(INITIATOR);
    irr[c] = true
}

proctype initiator()
{
    bool frees_table;
    if
    :: frees_table = true
    :: frees_table = false
    fi;
    if
    :: ask(1, CALL); printf("CPU 0: a call to CPU 1 goes in front\n")
    :: true
    fi;
    atomic { drained(INITIATOR) -> present = false }; /* pt_unmap: atomic exchange */
    printf("CPU 0: pt_unmap\n");
    ask(1, FLUSH);
    ask(2, FLUSH);
    printf("CPU 0: shootdown_send\n");
#ifndef SEND_ONLY
    if
#ifdef TABLES_AT_ENTERED
    :: mem[ENTERED(1)] == 1; mem[ENTERED(2)] == 1
#else
    :: frees_table -> mem[WALKERS(1)] == 1; mem[WALKERS(2)] == 1 /* routed to concurrent */
    :: !frees_table -> mem[ENTERED(1)] == 1; mem[ENTERED(2)] == 1 /* wait_published */
#endif
    fi;
#endif
    frame_given_away = true;
    printf("CPU 0: release: the frame has a new owner\n");
    table_given_away = frees_table
}

init {
    atomic {
        run store_buffer(0);
        run store_buffer(1);
        run store_buffer(2);
        run speculation();
        run initiator();
        run target(1);
        run target(2)
    }
}
