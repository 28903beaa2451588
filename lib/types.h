/* The words every room uses: fixed-width integers, address kinds, CPU numbers, error codes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* A physical address. A struct, so that it can neither be dereferenced nor mixed up with a vaddr_t. */
typedef struct {
    u64 v;
} paddr_t;

typedef u64 vaddr_t;   /* a virtual address of whichever space is meant */
typedef u32 cpu_t;     /* our dense CPU index, 0 .. cpu_count-1; the boot CPU is 0 */
typedef u32 apic_id_t; /* the hardware's CPU number: sparse, up to 32 bits in x2APIC mode */
typedef u8 vector_t;   /* interrupt vector */
typedef u16 pcid_t;    /* process-context identifier, 0 .. 4095 */
typedef u64 tlb_gen_t; /* generation of a space's translations: grows by one with every change; never wraps */

#define PADDR(x)     ((paddr_t){(x)})
#define PADDR_NONE   PADDR(~0ull)
#define APIC_ID_NONE ((apic_id_t)~0u)
#define CPU_NONE     ((cpu_t)~0u)

/* 512 CPUs: one 64-byte cache line holds a mask of them, and x2APIC ids above 255 are well exercised. */
#define MAX_CPUS        512u
#define CACHE_LINE_SIZE 64u
#define PAGE_SHIFT      12u
#define PAGE_SIZE       4096ull
#define KIB             1024ull
#define MIB             (1024ull * KIB)
#define GIB             (1024ull * MIB)

static inline paddr_t paddr_add(paddr_t p, u64 bytes)
{
    return PADDR(p.v + bytes);
}
static inline bool paddr_is_none(paddr_t p)
{
    return p.v == ~0ull;
}

/* What a function that can fail returns. Callers must look: see MUST_CHECK. */
typedef enum {
    ERR_OK = 0,
    ERR_NOMEM,       /* out of frames, or out of kernel address range */
    ERR_INVAL,       /* an argument is not of the form the function takes */
    ERR_RANGE,       /* an address or number lies outside what is allowed */
    ERR_EXIST,       /* already there */
    ERR_ABSENT,      /* not there */
    ERR_FULL,        /* a slot, ring or table has no room now */
    ERR_TIMEOUT,     /* a bounded wait came to its end */
    ERR_UNSUPPORTED, /* this machine, policy or build cannot do it */
    ERR_MALFORMED,   /* data from outside breaks its own format */
    ERR_FAULT,       /* memory of ring 3 that was given as an argument cannot be read or written */
    ERR_PERM,        /* somebody else's */
} err_t;

const char *err_name(err_t e); /* "out of memory", ...: lib/string.c */

#define ALIGN_DOWN(x, a)      ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)        ALIGN_DOWN((x) + ((a)-1), a)
#define IS_ALIGNED(x, a)      (((x) & ((__typeof__(x))(a)-1)) == 0)
#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)             ((a) < (b) ? (a) : (b))
#define MAX(a, b)             ((a) > (b) ? (a) : (b))
#define container_of(p, T, m) ((T *)((char *)(p)-offsetof(T, m)))

#define likely(x)             __builtin_expect(!!(x), 1)
#define unlikely(x)           __builtin_expect(!!(x), 0)
#define MUST_CHECK            __attribute__((warn_unused_result))
#define NORETURN              __attribute__((noreturn))
#define ALWAYS_INLINE         inline __attribute__((always_inline))
#define NOINLINE              __attribute__((noinline))
#define COLD                  __attribute__((cold, noinline))
#define PRINTF(fmt, va)       __attribute__((format(printf, fmt, va)))
#define CACHE_ALIGNED         __attribute__((aligned(64)))
#define PACKED                __attribute__((packed))
