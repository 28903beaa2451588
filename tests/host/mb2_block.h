/* Multiboot2 blocks for the tests of boot/mb2.c: built tag by tag, parsed once, looked at in `info`. */
#pragma once

#include "boot/mb2.h"
#include "tests/host/host.h"

struct block {
    u8 *bytes; /* on the heap and no longer than filled, so that the sanitizer sees any access past it */
    u32 size;
};

static inline void put(struct block *b, const void *data, u32 n)
{
    b->bytes = realloc(b->bytes, b->size + n);
    memcpy(b->bytes + b->size, data, n);
    b->size += n;
}
static inline void put32(struct block *b, u32 v)
{
    put(b, &v, 4);
}
static inline void put64(struct block *b, u64 v)
{
    put(b, &v, 8);
}

static inline void set32(struct block *b, u32 at, u32 v)
{
    memcpy(b->bytes + at, &v, 4);
}

static inline struct block block_begin(void)
{
    struct block b = {0};
    put64(&b, 0);
    return b;
}

/* Returns the tag's offset, for those who want to break it. */
static inline u32 put_tag(struct block *b, u32 type, const void *data, u32 n)
{
    static const u8 zero[8];
    u32 at = b->size;
    put32(b, type);
    put32(b, 8 + n);
    put(b, data, n);
    put(b, zero, ALIGN_UP(b->size, 8) - b->size);
    return at;
}

static inline void block_end(struct block *b)
{
    put_tag(b, 0, "", 0);
    set32(b, 0, b->size);
}

static inline u32 put_memory_map(struct block *b, u32 entry_size, const struct boot_mem_range *r, u32 count)
{
    struct block t = {0};
    put32(&t, entry_size);
    put32(&t, 0);
    for (u32 i = 0; i < count; i++) {
        u8 entry[64] = {0};
        memcpy(entry, &r[i].start.v, 8);
        memcpy(entry + 8, &r[i].size, 8);
        memcpy(entry + 16, &r[i].type, 4);
        put(&t, entry, entry_size);
    }
    u32 at = put_tag(b, 6, t.bytes, t.size);
    free(t.bytes);
    return at;
}

static inline u32 put_module(struct block *b, u32 start, u32 end, const char *name)
{
    u8 t[80] = {0};
    memcpy(t, &start, 4);
    memcpy(t + 4, &end, 4);
    memcpy(t + 8, name, strlen(name) + 1);
    return put_tag(b, 3, t, 8 + (u32)strlen(name) + 1);
}

/* The fixed part as in the specification, section 3.6.12, and room for the colours. */
struct framebuffer_tag {
    u64 base;
    u32 pitch, width, height;
    u8 bpp, type, reserved[2], color[6];
} PACKED;

static const struct framebuffer_tag rgb = {0xc0000000, 2400, 800, 600, 24, 1, {0}, {16, 8, 8, 8, 0, 8}};
static const struct framebuffer_tag text = {0xb8000, 160, 80, 25, 16, 2, {0}, {0}};

static const struct boot_mem_range plain_map[] = {
    {PADDR(0), 0x9fc00, 1},           {PADDR(0x9fc00), 0x400, 2},      {PADDR(0xf0000), 0x10000, 2},
    {PADDR(0x100000), 0x1fedf000, 1}, {PADDR(0x1ffdf000), 0x21000, 3}, {PADDR(0xfd00000000), 0x300000000, 2},
};

static inline struct block small_block(void)
{
    struct block b = block_begin();
    put_memory_map(&b, 24, plain_map, ARRAY_SIZE(plain_map));
    return b;
}

static inline struct block full_block(void)
{
    struct block b = block_begin();
    u64 table = 0x1f9ee018;
    u8 rsdp[36] = "RSD PTR ";
    put_tag(&b, 21, &table, 4); /* load base: of no use to us */
    put_tag(&b, 1, "policy=sync quit", 17);
    put_tag(&b, 2, "GRUB 2.06", 10);
    put_module(&b, 0x200000, 0x201234, "first");
    put_module(&b, 0x300000, 0x300000, "empty");
    put_memory_map(&b, 24, plain_map, ARRAY_SIZE(plain_map));
    put_tag(&b, 8, &rgb, sizeof(rgb));
    put_tag(&b, 12, &table, 8);
    put_tag(&b, 14, rsdp, 20);
    put_tag(&b, 15, rsdp, 36);
    put_tag(&b, 17, rsdp, 16);
    block_end(&b);
    return b;
}

/* Large, and looked at after each parse. */
static struct boot_info info;

static inline void parse(struct block *b)
{
    boot_parse(MB2_MAGIC, b->bytes, b->size, &info);
    free(b->bytes);
}

/* What holds after any block whatever. */
static inline bool invariants_hold(void)
{
    bool ok = info.mem_count <= BOOT_MEMMAP_MAX && info.module_count <= BOOT_MODULES_MAX &&
              info.note_count <= BOOT_NOTES_MAX && memchr(info.cmdline, 0, sizeof(info.cmdline)) &&
              memchr(info.loader, 0, sizeof(info.loader));
    bool usable = false;
    for (u32 i = 0; ok && i < info.mem_count; i++) {
        ok = info.mem[i].size && info.mem[i].size <= ~0ull - info.mem[i].start.v;
        usable |= info.mem[i].type == BOOT_MEM_USABLE;
    }
    for (u32 i = 0; ok && i < info.module_count; i++)
        ok = memchr(info.modules[i].name, 0, sizeof(info.modules[i].name)) && info.modules[i].size <= ~0u;
    for (u32 i = 0; ok && i < info.note_count; i++)
        ok = info.notes[i][0] && memchr(info.notes[i], 0, sizeof(info.notes[i]));
    return ok && info.fatal == !usable && (!info.fatal || info.note_count);
}
