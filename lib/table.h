/* Linker tables: a lower room declares the type of an entry, any file of an upper room places one, nobody keeps a list.
 *
 *   struct msg_kind { const char *name; ... };
 *   TABLE_DECLARE(msg_kind, struct msg_kind);               in the header that owns the type
 *   TABLE_ENTRY(msg_kind, struct msg_kind, foo) = {...};    defines `static const struct msg_kind foo` and lists it
 *   TABLE_FOREACH (msg_kind, struct msg_kind, it) use(it);  it is a `const struct msg_kind *`
 *
 * The table holds pointers, so that no padding can creep in between entries. linker.ld names each table's start and end
 * and asserts that it is not empty: a section it does not list is a link error (--orphan-handling=error). Entries are
 * sorted by name, so that lists are the same in every build. */
#pragma once

#include "lib/types.h"

#ifdef VOLLEY_HOST
#define TABLE_DECLARE(table, type)                                                                           \
    extern const type *const __start_table_##table[] __attribute__((weak));                                  \
    extern const type *const __stop_table_##table[] __attribute__((weak))
#define TABLE_START(table)         __start_table_##table
#define TABLE_END(table)           __stop_table_##table
#define TABLE_SECTION(table, name) "table_" #table
#else
#define TABLE_DECLARE(table, type)                                                                           \
    extern const type *const table_##table##_start[], *const table_##table##_end[]
#define TABLE_START(table)         table_##table##_start
#define TABLE_END(table)           table_##table##_end
#define TABLE_SECTION(table, name) ".table." #table "." #name
#endif

#define TABLE_ENTRY(table, type, name)                                                                       \
    static const type name;                                                                                  \
    static const type *const name##_entry __attribute__((used, section(TABLE_SECTION(table, name)))) =       \
        &name;                                                                                               \
    static const type name

#define TABLE_SIZE(table) ((size_t)(TABLE_END(table) - TABLE_START(table)))

#define TABLE_FOREACH(table, type, it)                                                                       \
    for (const type *const *it##_at = TABLE_START(table), *it;                                               \
         it##_at < TABLE_END(table) && (it = *it##_at, true); it##_at++)
