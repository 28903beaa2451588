/* Memory, as in C: what the compiler calls by itself, too. */
#pragma once

#include "user/lib/types.h"

void *memcpy(void *to, const void *from, size_t n); /* must not overlap */
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
