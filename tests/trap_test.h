/* What the tests of kernel/'s entry paths share. */
#pragma once

#include "lib/types.h"
#include "tests/test.h"

/* Some online CPU but the running one; CPU_NONE if there is none. */
cpu_t trap_test_other_cpu(void);

/* While expected, NMIs are counted and owned by the tests; turning it on clears the counts. */
void trap_test_nmi_expect(bool on);
u32 trap_test_nmi_count(cpu_t cpu);
/* Calls fn in the next NMIs on any CPU, while they are expected; NULL: no more. */
void trap_test_nmi_call(void (*fn)(void));

/* Calls fn in the handler of VECTOR_TEST, on any CPU; NULL: no more. */
void trap_test_vector_call(void (*fn)(void));
/* Runs fn on each online CPU in turn, the running one included, as a message function. False if one did not answer. */
bool trap_test_on_each(void (*fn)(void));
