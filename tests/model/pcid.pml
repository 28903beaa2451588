/* Entries that outlive their space's turn: mm/space_load.c:load_root, mm/pcid.c, mm/respond.c, with one change each in two spaces.
 *
 *     what: one CPU changes a page of space 0, then ends the space and makes a new one in its place; two others run in it and in space 1,
 *           in any order, CPU 1 with one slot (each switch takes it away), CPU 2 with two (entries are kept)
 *     proves: nobody uses a frame after it was given away, nor another space's entry; nobody is waited for for ever
 *     broken NO_COMPARE_ON_RETURN: a space that comes back keeps its entries without comparing generations
 *     broken FLUSHED_RAISED_EARLY: a CPU publishes the generation before it has flushed (FreeBSD-EN-22:04's shape)
 *     broken SLOT_TAKEN_WITHOUT_FLUSH: the new owner of a slot keeps what it finds there
 *     broken SLOT_BY_PLACE: a slot is recognised by where the space lies, not by an id that is never given twice
 *     broken TOLD_ALTHOUGH_AWAY: a request for a space that is not loaded is counted as done
 *     broken KEEP_READ_BEFORE_JOIN: whether entries are kept is decided before the CPU is in the active mask
 */
#define CPUS 3
#define INITIATOR 0
#define SPACES 2
#define LOADS(c) 3

#define GENERATION(s) (s)
#define ACTIVE(c, s) (2 + 2 * ((c) - 1) + (s)) /* each bit a word of its own, as only its CPU writes it */
#define FLUSHED(c, s) (6 + 2 * ((c) - 1) + (s))
#define WORDS 10
#define ON_STORE(cpu, word, value) skip
#include "tso.inc"

#define NOTHING 255
#define NOBODY 9
#define SLOT(c, s) ((c) == 1 -> 0 : (s)) /* CPU 1 has one slot for both, CPU 2 one each */
#define tagged(c, s) tlb[2 * (c) + SLOT(c, s)]
byte page[SPACES];       /* frame that each space's entry points at: space 0 has 0, 1, then 4; space 1 has 2 */
bool gone[5];
byte id[SPACES];         /* of the space; never given twice */
byte tlb[6] = NOTHING;   /* by CPU and slot */
byte owner[6] = NOBODY;  /* pcid_slots.id */
byte loaded[CPUS] = NOBODY;
bool irr[CPUS];

inline access(c, s)
{
    atomic {
        if
        :: tagged(c, s) == NOTHING -> tagged(c, s) = page[s]
        :: else
        fi;
        assert(!gone[tagged(c, s)]);
        assert((tagged(c, s) == 2) == (s == 1)) /* not the other space's */
    }
}

inline space_load(c, s, old)
{
    old = loaded[c];
#ifdef KEEP_READ_BEFORE_JOIN
    gen = seen(c, GENERATION(s));
#endif
    locked_exchange(c, ACTIVE(c, s), 1, ignored); /* join */
#ifndef KEEP_READ_BEFORE_JOIN
    gen = seen(c, GENERATION(s));
#endif
    ignored = id[s];
    if
    :: owner[2 * (c) + SLOT(c, s)] == ignored &&
#ifdef NO_COMPARE_ON_RETURN
        true
#else
        seen(c, FLUSHED(c, s)) == gen
#endif
        -> loaded[c] = s /* CR3 with bit 63: the entries stay */
    :: else ->
        atomic { /* CR3 without it */
#ifdef SLOT_TAKEN_WITHOUT_FLUSH
            if
            :: owner[2 * (c) + SLOT(c, s)] == ignored -> tagged(c, s) = NOTHING
            :: else
            fi;
#else
            tagged(c, s) = NOTHING;
#endif
            owner[2 * (c) + SLOT(c, s)] = ignored;
            loaded[c] = s
        };
        store(c, FLUSHED(c, s), gen) /* tlb_publish_all */
    fi;
    printf("CPU %d: load_root of space %d, generation %d\n", c, s, gen);
    gen = 0;
    if
    :: old != NOBODY -> locked_exchange(c, ACTIVE(c, old), 0, ignored) /* leave */
    :: else
    fi;
    ignored = 0;
    old = 0
}

proctype user(byte me)
{
    byte gen, turns, ignored, old;
end:
    do
    :: loaded[me] != NOBODY && turns <= LOADS(me) -> access(me, loaded[me]); printf("CPU %d: uses the page of space %d\n", me, loaded[me])
    :: irr[me] -> /* tlb_flush_received, for space 0 */
        irr[me] = false;
        if
        :: loaded[me] == 0 ->
            gen = seen(me, GENERATION(0));
#ifdef FLUSHED_RAISED_EARLY
            store(me, FLUSHED(me, 0), gen);
            access(me, 0); /* an NMI, or whoever believes the word */
            tagged(me, 0) = NOTHING
#else
            tagged(me, 0) = NOTHING;
            store(me, FLUSHED(me, 0), gen)
#endif
        :: else
#ifdef TOLD_ALTHOUGH_AWAY
            -> gen = seen(me, GENERATION(0)); store(me, FLUSHED(me, 0), gen)
#endif
        fi;
        printf("CPU %d: told\n", me);
        gen = 0
    :: turns < LOADS(me) && loaded[me] != 0 -> turns++; space_load(me, 0, old)
    :: turns < LOADS(me) && loaded[me] != 1 -> turns++; space_load(me, 1, old)
    :: turns >= LOADS(me) && loaded[me] != NOBODY -> /* the kernel's root, and rest */
        old = loaded[me];
        loaded[me] = NOBODY;
        locked_exchange(me, ACTIVE(me, old), 0, ignored);
        ignored = 0;
        old = 0
    od
}

proctype initiator()
{
    byte before;
    bool must[CPUS];
    atomic { drained(INITIATOR) -> page[0] = 1 };
    locked_add(INITIATOR, GENERATION(0), 1, before);
    must[1] = mem[ACTIVE(1, 0)];
    must[2] = mem[ACTIVE(2, 0)];
    printf("CPU 0: the page of space 0 is frame 1, generation 1\n");
    irr[1] = must[1];
    irr[2] = must[2];
    !must[1] || mem[FLUSHED(1, 0)] >= 1 || !mem[ACTIVE(1, 0)];
    !must[2] || mem[FLUSHED(2, 0)] >= 1 || !mem[ACTIVE(2, 0)];
    gone[0] = true;
    printf("CPU 0: release of frame 0\n");
    /* space_destroy: when nobody has it loaded; then a new space at the same place, whose generations begin where no
     * CPU's word can be. */
    atomic {
        !mem[ACTIVE(1, 0)] && !mem[ACTIVE(2, 0)] && drained(1) && drained(2) && drained(0) ->
        gone[1] = true;
        page[0] = 4;
#ifndef SLOT_BY_PLACE
        id[0] = 3;
#endif
        mem[FLUSHED(1, 0)] = 0;
        mem[FLUSHED(2, 0)] = 0;
#ifdef SLOT_BY_PLACE
        mem[GENERATION(0)] = 0 /* and numbered from the same start */
#else
        mem[GENERATION(0)] = 5
#endif
    };
    printf("CPU 0: space 0 has ended, a new one lies at its place\n")
}

init {
    atomic {
        page[1] = 2;
        id[1] = 1;
        run store_buffer(0);
        run store_buffer(1);
        run store_buffer(2);
        run initiator();
        run user(1);
        run user(2)
    }
}
