/* Address to function name, by binary search in the table that tools/gen-symtab builds in. */
#include "kernel/symbols.h"

#include "lib/image.h"

struct symbol {
    u32 start; /* distance from kernel_text_start */
    u32 name;  /* offset into symbol_names */
};

/* Generated; sorted by start. */
extern const u64 symbol_count;
extern const struct symbol symbol_table[];
extern const char symbol_names[];

const char *symbol_name(u64 addr, u64 *offset)
{
    u64 text = (u64)kernel_text_start;
    if (addr < text || addr >= (u64)kernel_text_end)
        return NULL;
    u64 distance = addr - text;
    /* first .. end: the symbols that may be the last one to start at or before addr, plus one. */
    u64 first = 0, end = symbol_count;
    while (first < end) {
        u64 middle = first + (end - first) / 2;
        if (symbol_table[middle].start <= distance)
            first = middle + 1;
        else
            end = middle;
    }
    if (first == 0)
        return NULL;
    *offset = distance - symbol_table[first - 1].start;
    return symbol_names + symbol_table[first - 1].name;
}
