/* Memory and strings, as in C. In the kernel lib/string.c has them; on the host they are the C library's. */
#pragma once

#ifdef VOLLEY_HOST
#include <string.h>
#else

#include "lib/types.h"

void *memcpy(void *to, const void *from, size_t n); /* must not overlap */
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c); /* finds the terminating 0 too */

/* -ffreestanding keeps the compiler from knowing these names; this tells it, so that a copy of a few constant bytes
 * becomes a few moves. */
#define memcpy(to, from, n)  __builtin_memcpy(to, from, n)
#define memmove(to, from, n) __builtin_memmove(to, from, n)
#define memset(to, byte, n)  __builtin_memset(to, byte, n)
#define memcmp(a, b, n)      __builtin_memcmp(a, b, n)
#define strlen(s)            __builtin_strlen(s)

#endif

/* Copies as much of `from` as fits into size bytes and always ends it with 0 (size > 0). False if it was cut off. */
static inline _Bool string_copy(char *to, size_t size, const char *from)
{
    size_t i = 0;
    while (i + 1 < size && from[i]) {
        to[i] = from[i];
        i++;
    }
    to[i] = 0;
    return !from[i];
}
