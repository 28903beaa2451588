/* Huffman codes for lib/deflate.c. */
#include "lib/deflate.h"
#include "lib/string.h"

#define LIMIT_MAX 15u

/* Indices of the symbols that occur, by rising frequency; equal ones in their order, so that the output is always the same. */
static u32 sort(const u32 *frequency, u32 n, u16 *sorted)
{
    u32 used = 0;
    for (u32 s = 0; s < n; s++) {
        if (!frequency[s])
            continue;
        u32 at = used++;
        for (; at && frequency[sorted[at - 1]] > frequency[s]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = (u16)s;
    }
    return used;
}

/* How many symbols have each depth in the tree, by Huffman's method with two queues: leaves in `sorted`, inner nodes in the order of their
 * making, which is that of their weights. Depths above the limit count as the limit. */
static void count_depths(const u32 *frequency, const u16 *sorted, u32 used, u32 limit, u32 *count)
{
    u64 weight[2 * DEFLATE_LITERALS];
    u16 parent[2 * DEFLATE_LITERALS] = {0};
    u32 leaf = 0, inner = used, made = used;
    for (u32 i = 0; i < used; i++)
        weight[i] = frequency[sorted[i]];
    for (; made < 2 * used - 1; made++) {
        weight[made] = 0;
        for (u32 child = 0; child < 2; child++) {
            bool take_leaf = leaf < used && (inner == made || weight[leaf] <= weight[inner]);
            u32 taken = take_leaf ? leaf++ : inner++;
            weight[made] += weight[taken];
            parent[taken] = (u16)made;
        }
    }
    u8 depth[2 * DEFLATE_LITERALS];
    depth[made - 1] = 0;
    for (u32 i = made - 1; i-- > 0;) {
        depth[i] = (u8)MIN(depth[parent[i]] + 1u, 255u);
        if (i < used)
            count[MIN(depth[i], limit)]++;
    }
}

/* Those that were cut to the limit make the code too dense. Each turn takes one leaf from the limit and puts it beside the deepest one above,
 * both a level below where that was: the sum of 2^-length falls by one unit of 2^-limit. */
static void make_room(u32 *count, u32 limit)
{
    u64 units = 0;
    for (u32 l = 1; l <= limit; l++)
        units += (u64)count[l] << (limit - l);
    for (; units > 1ull << limit; units--) {
        u32 l = limit - 1;
        while (!count[l])
            l--;
        count[l]--;
        count[l + 1] += 2;
        count[limit]--;
    }
}

void deflate_code_lengths(const u32 *frequency, u32 n, u32 limit, u8 *length)
{
    u16 sorted[DEFLATE_LITERALS];
    u32 count[LIMIT_MAX + 1] = {0};
    u32 used = sort(frequency, n, sorted);
    memset(length, 0, n);
    for (u16 s = 0; used < 2; s++)
        if (!frequency[s])
            sorted[used++] = s;
    if (used == 2) {
        length[sorted[0]] = length[sorted[1]] = 1;
        return;
    }
    count_depths(frequency, sorted, used, limit, count);
    make_room(count, limit);
    u32 l = limit;
    for (u32 i = 0; i < used; i++) {
        while (!count[l])
            l--;
        count[l]--;
        length[sorted[i]] = (u8)l;
    }
}

void deflate_code(const u8 *length, u32 n, u16 *code)
{
    u32 next[LIMIT_MAX + 2] = {0};
    for (u32 s = 0; s < n; s++)
        next[length[s] + 1]++;
    next[1] = 0; /* symbols without a code */
    for (u32 l = 1; l <= LIMIT_MAX; l++)
        next[l + 1] = (next[l] + next[l + 1]) * 2;
    for (u32 s = 0; s < n; s++) {
        u32 value = length[s] ? next[length[s]]++ : 0, reversed = 0;
        for (u32 b = 0; b < length[s]; b++)
            reversed |= (value >> b & 1) << (length[s] - 1 - b);
        code[s] = (u16)reversed;
    }
}
