/* Fuzz targets: tests/fuzz/NAME.c, one parser each, fed by libFuzzer (tools/fuzz) with what it finds interesting.
 *
 * The first comment says what is fed to what, and has the lines `sources:` and `flags:` of host tests (tests/host/host.h). Seeds:
 * tests/fuzz/corpus/NAME/. A target ends the process when the parser's promise is broken; ASan and UBSan see to the rest. */
#pragma once

#include "tests/host/host.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define FUZZ_CHECK(cond, ...)                                                                                \
    do {                                                                                                     \
        if (!host_check((cond), #cond, __FILE__, __LINE__, __VA_ARGS__))                                     \
            abort();                                                                                         \
    } while (0)

/* A copy in a block of exactly that size, so that any access past it is seen. The caller frees it. */
static inline u8 *fuzz_copy(const u8 *data, size_t size)
{
    u8 *p = malloc(size ? size : 1);
    if (size)
        memcpy(p, data, size);
    return p;
}
