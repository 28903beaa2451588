/* What this machine is: for people as a table, for programs as the `machine` record. */
#pragma once
#include "lib/boot_info.h"

/* Boot CPU, once, before machine_print: remembers what only the boot information knows. */
void machine_init(const struct boot_info *boot);

/* Prints both. oracle: what of translation coherence can be observed on this machine, one line; it stays valid for
 * ever, because the `machine` command prints it again. THREAD, after the CPUs have been started. */
void machine_print(const char *oracle);
