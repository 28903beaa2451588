/* The message line between two CPUs, its pending bit and the doorbell: smp/slot.h, smp/post.h, smp/drain.c.
 *
 *     what: two CPUs send to a third, one message acknowledged after its function, one on entry; then the bare doorbell
 *     proves: each message runs once, whole, in order; no ring is lost; nothing waits for ever
 *     broken ICR_BEFORE_BIT: the interrupt is written before the pending bit has left the store buffer
 *     broken BIT_BEFORE_LINE: the bit is published before the line is filled
 *     broken ACK_BEFORE_COPY: the line is given back before it has been copied
 *     broken TAKE_IN_TWO_STEPS: the pending word is read and cleared by two instructions
 *     broken CLAIM_WITHOUT_LOOK: the line is filled again without waiting for its acknowledgement
 *     broken NO_RING_WHEN_SET: a sender rings only if it is the first ever to set its bit
 */
#define CPUS 3
#define RECEIVER 2
#ifndef MESSAGES
#define MESSAGES 3
#endif

/* Words: the receiver's pending word, the doorbell's own word, then three of each sender's line. */
#define PENDING 0
#define ASKED 1
#define ACKED(s) (2 + 3 * (s))
#define LOW(s) (3 + 3 * (s)) /* two words of the payload that must belong together */
#define HIGH(s) (4 + 3 * (s))
#define WORDS 8
#define BIT(s) (1 << (s))
#define DOORBELL 4 /* the receiver's own bit */
#define ON_STORE(cpu, word, value) skip

#include "tso.inc"

bool irr;    /* the vector is pending at the receiver's APIC */
byte ran[2]; /* messages run, by sender */
byte served; /* the doorbell's word as the hook last saw it */

inline ring(cpu)
{
    fence(cpu); /* apic/x2apic.h:x2apic_icr_write */
    irr = true
}

inline inbox_publish(cpu, mine)
{
#ifdef ICR_BEFORE_BIT
    if
    :: mem[PENDING] == 0 -> irr = true; locked_or(cpu, PENDING, mine, before)
    :: else -> locked_or(cpu, PENDING, mine, before)
    fi
#else
    locked_or(cpu, PENDING, mine, before);
    if
#ifdef NO_RING_WHEN_SET
    :: before == 0 && n == 1 -> ring(cpu)
#else
    :: before == 0 -> ring(cpu)
#endif
    :: else
    fi
#endif
}

proctype sender(byte me)
{
    byte n, before;
    do
    :: n < MESSAGES ->
        n++;
#ifndef CLAIM_WITHOUT_LOOK
        seen(me, ACKED(me)) == n - 1; /* slot_claim */
#endif
        printf("CPU %d: slot_claim, message %d\n", me, n);
#ifdef BIT_BEFORE_LINE
        inbox_publish(me, BIT(me));
#endif
        store(me, LOW(me), n); /* slot_fill */
        store(me, HIGH(me), n);
#ifndef BIT_BEFORE_LINE
        inbox_publish(me, BIT(me));
#endif
        printf("CPU %d: inbox_publish, the word was %d\n", me, before)
    :: else -> break
    od;
    seen(me, ACKED(me)) == MESSAGES; /* msg_wait */
    assert(ran[me] == MESSAGES || me == 1); /* asynchronous: acknowledged before it runs */
    if
    :: me == 0 -> /* smp_doorbell: a word of somebody's own, told by the bare bit */
        n = 1;
        store(me, ASKED, 1);
        inbox_publish(me, DOORBELL);
        printf("CPU %d: smp_doorbell\n", me);
        served == 1
    :: else
    fi
}

inline run_line(s)
{
    low = seen(RECEIVER, LOW(s));
    if
    :: s == 1 -> /* MSG_ASYNC */
#ifdef ACK_BEFORE_COPY
        store(RECEIVER, ACKED(s), ran[s] + 1);
        high = seen(RECEIVER, HIGH(s));
#else
        high = seen(RECEIVER, HIGH(s));
        store(RECEIVER, ACKED(s), ran[s] + 1); /* slot_ack */
#endif
        assert(low == high && low == ran[s] + 1);
        ran[s]++
    :: else -> /* in place */
        high = seen(RECEIVER, HIGH(s));
        assert(low == high && low == ran[s] + 1);
        ran[s]++;
        store(RECEIVER, ACKED(s), ran[s])
    fi;
    printf("CPU 2: run_line from CPU %d: %d %d\n", s, low, high);
    low = 0;
    high = 0
}

proctype receiver()
{
    byte bits, low, high;
end:
    do
    :: irr ->
        irr = false; /* delivery: interrupts are off until the end of the loop */
#ifdef TAKE_IN_TWO_STEPS
        bits = mem[PENDING];
        mem[PENDING] = 0;
#else
        locked_exchange(RECEIVER, PENDING, 0, bits); /* inbox_take */
#endif
        printf("CPU 2: inbox_take, bits %d\n", bits);
        if
        :: bits & BIT(0) -> run_line(0)
        :: else
        fi;
        if
        :: bits & BIT(1) -> run_line(1)
        :: else
        fi;
        served = seen(RECEIVER, ASKED); /* doorbell hooks */
        bits = 0
    od
}

init {
    atomic {
        run store_buffer(0);
        run store_buffer(1);
        run store_buffer(2);
        run sender(0);
        run sender(1);
        run receiver()
    }
}
