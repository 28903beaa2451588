/* The instructions that patched call sites get: NOP and JMP, near and far, forwards and backwards.
 *
 * sources: lib/patch.c
 * sanitize: address,undefined */
#include "lib/patch.h"
#include "tests/host/host.h"

HOST_TEST(patch_nop)
{
    static const u8 nop[PATCH_SIZE] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
    u8 code[PATCH_SIZE];
    HOST_CHECK(patch_encode(0x1000, 0x1100, false, 0, code), "off is always possible in reach");
    HOST_CHECK(memcmp(code, nop, sizeof(nop)) == 0, "not the 5-byte NOP: %02x %02x", code[0], code[1]);
}

/* Where the CPU would land: the displacement counts from the end of the instruction. */
static u64 landing(u64 site, const u8 code[PATCH_SIZE])
{
    s32 distance = (s32)((u32)code[1] | (u32)code[2] << 8 | (u32)code[3] << 16 | (u32)code[4] << 24);
    return site + PATCH_SIZE + (u64)(s64)distance;
}

HOST_TEST(patch_jump)
{
    static const struct {
        u64 site, target;
    } cases[] = {
        {0xffffffff80100000, 0xffffffff80100005}, {0xffffffff80100000, 0xffffffff80100000},
        {0xffffffff80100000, 0xffffffff80180123}, {0xffffffff80180123, 0xffffffff80100000},
        {0xffffffff80000000, 0xffffffffffffffff}, {5, 0x80000009},
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        u8 code[PATCH_SIZE];
        HOST_CHECK(patch_encode(cases[i].site, cases[i].target, true, 0, code), "case %u is in reach", i);
        HOST_CHECK(code[0] == 0xe9, "opcode %02x", code[0]);
        HOST_CHECK(landing(cases[i].site, code) == cases[i].target, "case %u lands at %llx", i,
                   (unsigned long long)landing(cases[i].site, code));
    }
}

HOST_TEST(patch_call)
{
    u8 code[PATCH_SIZE];
    HOST_CHECK(patch_encode(0x1000, 0x2345, true, PATCH_SITE_CALL, code), "a call in reach");
    HOST_CHECK(code[0] == 0xe8 && landing(0x1000, code) == 0x2345, "opcode %02x, lands at %llx", code[0],
               (unsigned long long)landing(0x1000, code));
    HOST_CHECK(patch_encode(0x1000, 0x2345, false, PATCH_SITE_CALL, code) && code[0] == 0x0f,
               "off it is the same NOP");
}

HOST_TEST(patch_instead_of_wrmsr)
{
    static const u8 wrmsr[PATCH_SIZE] = {0x2e, 0x2e, 0x2e, 0x0f, 0x30};
    u8 code[PATCH_SIZE];
    HOST_CHECK(patch_encode(0x1000, 0x2345, true, PATCH_SITE_WRMSR | PATCH_ICR, code), "in reach");
    HOST_CHECK(code[0] == 0xe8 && landing(0x1000, code) == 0x2345, "on it is a call: %02x", code[0]);
    HOST_CHECK(patch_encode(0x1000, 0x2345, false, PATCH_SITE_WRMSR | PATCH_ICR, code), "in reach");
    HOST_CHECK(memcmp(code, wrmsr, sizeof(code)) == 0, "off it is what the compiler has put there");
    HOST_CHECK(PATCH_SITE_KEY(PATCH_SITE_WRMSR | PATCH_ICR) == PATCH_ICR, "the key is kept apart");
}

HOST_TEST(patch_out_of_reach)
{
    u8 code[PATCH_SIZE] = {0xcc};
    HOST_CHECK(!patch_encode(0, 0x80000005, true, 0, code), "2 GiB forwards is one too far");
    HOST_CHECK(!patch_encode(0x100000000, 0x80000004, true, 0, code), "more than 2 GiB backwards");
    HOST_CHECK(code[0] == 0xcc, "nothing was written");
}

HOST_TEST(patch_host_keys)
{
    patch_on[PATCH_TIMES] = true;
    HOST_CHECK(patch_enabled(PATCH_TIMES) && !patch_enabled(PATCH_TRACE), "on the host a key is a variable");
    patch_on[PATCH_TIMES] = false;
    HOST_CHECK(!patch_enabled(PATCH_TIMES), "and off again");
    for (u32 k = 0; k < PATCH_KEYS; k++)
        HOST_CHECK(patch_key_name((enum patch_key)k)[0], "key %u has no name", k);
}
