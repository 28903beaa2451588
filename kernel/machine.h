/* What this machine is: for people as a table, for programs as the `machine` record. */
#pragma once
#include "lib/boot_info.h"
#include "lib/json.h"
#include "lib/table.h"

/* One thing to know about the machine: a line of what the `machine` command prints, and fields of the record.
 *
 *   static void text(char *out, size_t size) { format(out, size, ...); }     "" leaves the line out
 *   static void record(struct json *j) { json_u64(j, "microcode", ...); }
 *   MACHINE_FACT(microcode, "microcode", text, record); */
struct machine_fact {
    const char *label;
    void (*text)(char *out, size_t size);
    void (*record)(struct json *j);
};
TABLE_DECLARE(machine_fact, struct machine_fact);
#define MACHINE_FACT(ident, label_, text_, record_)                                                          \
    TABLE_ENTRY(machine_fact, struct machine_fact,                                                           \
                machine_fact_##ident) = {.label = label_, .text = text_, .record = record_}

/* Boot CPU, once, before machine_print: remembers what only the boot information knows. */
void machine_init(const struct boot_info *boot);

/* Prints both. oracle: what of translation coherence can be observed on this machine, one line; it stays valid for
 * ever, because the `machine` command prints it again. THREAD, after the CPUs have been started. */
void machine_print(const char *oracle);
