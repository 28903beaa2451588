/* Which emulator or hypervisor this is, if any. */
#pragma once

#include "lib/features.h"

/* f: as CPUID has it. Any context. */
enum emulator emulator_detect(const struct cpu_features *f);
