/* Sets of CPUs: 512 bits, one cache line. Not atomic unless the name says so. */
#pragma once

#include "lib/atomic.h"
#include "lib/types.h"
#include "lib/x86/bits.h"

#define CPUMASK_WORDS (MAX_CPUS / 64)

typedef struct {
    u64 w[CPUMASK_WORDS];
} CACHE_ALIGNED cpumask_t;
_Static_assert(sizeof(cpumask_t) == CACHE_LINE_SIZE, "a mask is one cache line");

/* Words that can have bits set on this machine: (cpu count + 63) / 64. Written once by smp; all loops end there, so
 * that a machine with up to 64 CPUs pays for one word. */
extern u32 cpumask_words;

static inline void cpumask_clear(cpumask_t *m)
{
    for (u32 i = 0; i < CPUMASK_WORDS; i++)
        m->w[i] = 0;
}
static inline void cpumask_set(cpumask_t *m, cpu_t c)
{
    m->w[c / 64] |= 1ull << (c % 64);
}
static inline void cpumask_unset(cpumask_t *m, cpu_t c)
{
    m->w[c / 64] &= ~(1ull << (c % 64));
}
static inline bool cpumask_test(const cpumask_t *m, cpu_t c)
{
    return m->w[c / 64] >> (c % 64) & 1;
}

static inline bool cpumask_empty(const cpumask_t *m)
{
    u64 any = m->w[0];
    for (u32 i = 1; unlikely(i < cpumask_words); i++)
        any |= m->w[i];
    return !any;
}

static inline bool cpumask_equal(const cpumask_t *a, const cpumask_t *b)
{
    for (u32 i = 0; i < cpumask_words; i++)
        if (a->w[i] != b->w[i])
            return false;
    return true;
}

static inline u32 cpumask_count(const cpumask_t *m)
{
    u32 n = 0;
    for (u32 i = 0; i < cpumask_words; i++)
        n += (u32)__builtin_popcountll(m->w[i]);
    return n;
}

/* First CPU in m at or after c, or CPU_NONE. Up to 64 CPUs, which is nearly always, it costs a shift and a bit scan. */
static ALWAYS_INLINE cpu_t cpumask_next(const cpumask_t *m, cpu_t c)
{
    u32 i = 0;
    if (unlikely(cpumask_words > 1)) {
        i = c / 64;
        c %= 64;
    }
    for (; i < cpumask_words; i++, c = 0) {
        u64 w = c < 64 ? m->w[i] >> c : 0;
        if (w)
            return i * 64 + c + (u32)__builtin_ctzll(w);
    }
    return CPU_NONE;
}

/* The walk of CPUMASK_FOREACH: a word of the mask at a time, so that a turn costs a bit scan and clears a bit. */
struct cpumask_walk {
    u64 left; /* bits of the current word that are still to come */
    u64 base; /* CPU of its bit 0 */
};
static ALWAYS_INLINE bool cpumask_walk_next(struct cpumask_walk *w, const cpumask_t *m, cpu_t *c)
{
    while (unlikely(!w->left)) {
        w->base += 64;
        if (likely(w->base >= cpumask_words * 64u))
            return false;
        w->left = m->w[w->base / 64];
    }
    *c = (cpu_t)(w->base + lowest_bit(w->left));
    w->left &= w->left - 1;
    return true;
}

/* for each CPU c of mask *m, ascending; break and continue do what they do in any loop. The outer `for` runs once: it is
 * there to declare c. Each word is read when the walk gets to it. */
#define CPUMASK_FOREACH(c, m)                                                                                \
    for (cpu_t c, *c##_once = &c; c##_once; c##_once = NULL)                                                 \
        for (struct cpumask_walk c##_walk = {.left = (m)->w[0]}; cpumask_walk_next(&c##_walk, (m), &c);)

/* Shared masks: LOCKed, full order on both sides. */
static inline void cpumask_set_atomic(cpumask_t *m, cpu_t c)
{
    atomic_fetch_or(&m->w[c / 64], 1ull << (c % 64));
}
static inline void cpumask_unset_atomic(cpumask_t *m, cpu_t c)
{
    atomic_fetch_and(&m->w[c / 64], ~(1ull << (c % 64)));
}
static inline bool cpumask_test_relaxed(const cpumask_t *m, cpu_t c)
{
    return atomic_load_relaxed(&m->w[c / 64]) >> (c % 64) & 1;
}
/* The caller says what it orders. */
static inline bool cpumask_test_acquire(const cpumask_t *m, cpu_t c)
{
    /* orders: what follows after whatever was done before the bit changed; pairs with: lib/cpumask.h:cpumask_unset_atomic
     * (LOCKed); else: as the caller says. */
    return atomic_load_acquire(&m->w[c / 64]) >> (c % 64) & 1;
}
/* A copy of a shared mask; each word is read once, the words not at one instant. Words past cpumask_words are left alone:
 * no loop looks at them. */
static inline void cpumask_snapshot(cpumask_t *to, const cpumask_t *shared)
{
    u32 i = 0;
    do
        to->w[i] = atomic_load_relaxed(&shared->w[i]);
    while (unlikely(++i < cpumask_words));
}
