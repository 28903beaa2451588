#include "lib/patch.h"

bool patch_on[PATCH_KEYS];

const char *patch_key_name(enum patch_key key)
{
    static const char *const name[PATCH_KEYS] = {
        "trace",    "stop",         "times",      "pti",      "icr",       "self",     "cost.invlpg",
        "cost.cr3", "cost.invpcid", "cost.entry", "cost.icr", "cost.line", "cost.wire"};
    return key < PATCH_KEYS ? name[key] : "unknown";
}

bool patch_encode(u64 site, u64 target, bool on, u64 record, u8 out[PATCH_SIZE])
{
    static const u8 nop[PATCH_SIZE] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
    static const u8 wrmsr[PATCH_SIZE] = {0x2e, 0x2e, 0x2e, 0x0f, 0x30}; /* lib/x86/fence.h */
    const u8 *off = record & PATCH_SITE_WRMSR ? wrmsr : nop;
    u8 opcode = record & (PATCH_SITE_CALL | PATCH_SITE_WRMSR) ? 0xe8 : 0xe9;
    s64 distance = (s64)(target - (site + PATCH_SIZE));
    if (distance != (s32)distance)
        return false;
    for (u32 i = 0; i < PATCH_SIZE; i++)
        out[i] = !on ? off[i] : i == 0 ? opcode : (u8)((u32)distance >> (8 * (i - 1)));
    return true;
}
