#include "lib/features.h"

struct cpu_features features;
enum emulator emulator;

const char *emulator_name(void)
{
    static const char *const name[] = {"none", "qemu-tcg", "bochs", "kvm", "other"};
    return name[emulator];
}
