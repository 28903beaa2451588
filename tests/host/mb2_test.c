/* The multiboot2 reader: good blocks as SeaBIOS and OVMF machines give them, and every kind of malformation by hand, each in
 * a buffer of exactly the length that may be read.
 *
 *     sources: boot/mb2.c boot/mb2_tag.c boot/mb2_memory.c boot/mb2_framebuffer.c
 *     sanitize: address,undefined
 */
#include "tests/host/mb2_block.h"

static bool noted(const char *words)
{
    for (u32 i = 0; i < info.note_count; i++)
        if (strstr(info.notes[i], words))
            return true;
    return false;
}
#define CHECK_NOTED(words) HOST_CHECK(noted(words), "%u notes, first: %s", info.note_count, info.notes[0])

/* ---- good blocks ---- */

HOST_TEST(reads_all_that_a_uefi_machine_gives)
{
    struct block b = full_block();
    parse(&b);
    HOST_CHECK(!info.fatal && info.note_count == 0, "%u notes, first: %s", info.note_count, info.notes[0]);
    HOST_CHECK(!strcmp(info.cmdline, "policy=sync quit"), "command line '%s'", info.cmdline);
    HOST_CHECK(!strcmp(info.loader, "GRUB 2.06"), "loader '%s'", info.loader);
    HOST_CHECK(info.mem_count == ARRAY_SIZE(plain_map), "%u ranges", info.mem_count);
    for (u32 i = 0; i < info.mem_count; i++)
        HOST_CHECK(info.mem[i].start.v == plain_map[i].start.v && info.mem[i].size == plain_map[i].size &&
                       info.mem[i].type == plain_map[i].type,
                   "range %u: %llx + %llx, type %u", i, (unsigned long long)info.mem[i].start.v,
                   (unsigned long long)info.mem[i].size, info.mem[i].type);
    HOST_CHECK(info.module_count == 2 && !strcmp(info.modules[0].name, "first") &&
                   info.modules[0].size == 0x1234 && info.modules[1].size == 0,
               "%u modules, first '%s'", info.module_count, info.modules[0].name);
    HOST_CHECK(info.have_framebuffer && info.framebuffer.base.v == rgb.base &&
                   info.framebuffer.pitch == 2400 && info.framebuffer.bpp == 24 &&
                   info.framebuffer.red_pos == 16 && info.framebuffer.blue_size == 8,
               "framebuffer %ux%u", info.framebuffer.width, info.framebuffer.height);
    HOST_CHECK(info.efi && info.efi_system_table.v == 0x1f9ee018, "EFI %d", info.efi);
    HOST_CHECK(info.have_rsdp_v1 && info.have_rsdp_v2 && !memcmp(info.rsdp_v2, "RSD PTR ", 8), "RSDP %d %d",
               info.have_rsdp_v1, info.have_rsdp_v2);
}

HOST_TEST(a_bios_machine_has_less)
{
    struct block b = small_block();
    put_tag(&b, 8, &text, 24 + 0); /* GRUB's EGA text tag ends before the colours */
    block_end(&b);
    parse(&b);
    HOST_CHECK(!info.fatal && !info.efi && !info.have_rsdp_v1 && !info.module_count, "%u notes",
               info.note_count);
    HOST_CHECK(info.have_framebuffer && info.framebuffer.type == 2, "type %u", info.framebuffer.type);
    HOST_CHECK(info.cmdline[0] == 0 && info.note_count == 0, "command line '%s'", info.cmdline);
}

HOST_TEST(longer_memory_map_entries_are_fine)
{
    struct block b = block_begin();
    put_memory_map(&b, 40, plain_map, ARRAY_SIZE(plain_map));
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.mem_count == ARRAY_SIZE(plain_map) && info.mem[3].size == 0x1fedf000 && !info.note_count,
               "%u ranges, %u notes", info.mem_count, info.note_count);
}

HOST_TEST(adjacent_ranges_of_one_type_become_one)
{
    const struct boot_mem_range r[] = {
        {PADDR(0), 0x1000, 1}, {PADDR(0x1000), 0x2000, 1}, {PADDR(0x3000), 0x1000, 2}};
    struct block b = block_begin();
    put_memory_map(&b, 24, r, ARRAY_SIZE(r));
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.mem_count == 2 && info.mem[0].size == 0x3000, "%u ranges, first %llx", info.mem_count,
               (unsigned long long)info.mem[0].size);
}

/* ---- one malformation each ---- */

HOST_TEST(wrong_magic_is_fatal_and_nothing_is_read)
{
    boot_parse(0x2badb002, NULL, 0, &info); /* multiboot 1 */
    HOST_CHECK(info.fatal && invariants_hold(), "fatal %d", info.fatal);
    CHECK_NOTED("0x2badb002");
}

HOST_TEST(no_usable_memory_is_fatal)
{
    struct block b = block_begin();
    put_tag(&b, 1, "quit", 5);
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.fatal && !strcmp(info.cmdline, "quit"), "fatal %d", info.fatal);
    CHECK_NOTED("no memory map");

    b = block_begin();
    put_memory_map(&b, 24, &plain_map[1], 2); /* both reserved */
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.fatal && info.mem_count == 2, "%u ranges", info.mem_count);
}

HOST_TEST(a_block_shorter_than_its_header)
{
    for (u32 size = 0; size < 8; size++) {
        u8 *bytes = malloc(size + 1);
        memset(bytes, 0x10, size + 1);
        boot_parse(MB2_MAGIC, bytes + 1, size, &info);
        HOST_CHECK(info.fatal && noted("shorter"), "size %u", size);
        free(bytes);
    }
}

HOST_TEST(a_block_that_claims_more_than_there_is)
{
    struct block b = full_block();
    set32(&b, 0, b.size + 4096);
    parse(&b);
    HOST_CHECK(!info.fatal && info.mem_count == ARRAY_SIZE(plain_map), "%u ranges", info.mem_count);
    CHECK_NOTED("claims");
}

HOST_TEST(a_missing_end_tag)
{
    struct block b = small_block();
    set32(&b, 0, b.size);
    parse(&b);
    HOST_CHECK(!info.fatal, "%u ranges", info.mem_count);
    CHECK_NOTED("no end tag");
}

HOST_TEST(tag_lengths_that_cannot_be)
{
    const u32 lengths[] = {0, 1, 7, 4096, 0x7fffffff, 0xfffffff8, 0xffffffff};
    for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
        struct block b = small_block();
        u32 at = put_tag(&b, 1, "lost", 5);
        put_tag(&b, 2, "also lost", 10);
        block_end(&b);
        set32(&b, at + 4, lengths[i]);
        parse(&b);
        HOST_CHECK(!info.fatal && !info.cmdline[0] && !info.loader[0], "length %u", lengths[i]);
        CHECK_NOTED("behind it are ignored");
    }
}

HOST_TEST(tags_too_short_for_their_kind)
{
    const u32 kinds[] = {3, 6, 8, 12, 14, 15};
    for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct block b = small_block();
        put_tag(&b, kinds[i], "\1\0\0\0\2\0\0", 7);
        block_end(&b);
        parse(&b);
        HOST_CHECK(!info.fatal && !info.module_count && !info.have_framebuffer && !info.have_rsdp_v1 &&
                       !info.have_rsdp_v2 && !info.efi_system_table.v,
                   "kind %u", kinds[i]);
        CHECK_NOTED("ignored");
    }
}

HOST_TEST(strings_without_an_end)
{
    struct block b = small_block();
    put_tag(&b, 1, "no zero", 7);
    put_tag(&b, 2, "", 0);
    block_end(&b);
    parse(&b);
    HOST_CHECK(!strcmp(info.cmdline, "no zero") && !info.loader[0], "'%s'", info.cmdline);
    CHECK_NOTED("command line does not end");
    CHECK_NOTED("loader name does not end");
}

HOST_TEST(strings_longer_than_we_keep)
{
    char line[BOOT_CMDLINE_MAX + 40];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = 0;
    struct block b = small_block();
    put_tag(&b, 1, line, sizeof(line));
    block_end(&b);
    parse(&b);
    HOST_CHECK(strlen(info.cmdline) == BOOT_CMDLINE_MAX - 1, "length %zu", strlen(info.cmdline));
    CHECK_NOTED("cut");

    line[BOOT_CMDLINE_MAX - 1] = 0; /* the longest that fits is not worth a note */
    b = small_block();
    put_tag(&b, 1, line, BOOT_CMDLINE_MAX);
    block_end(&b);
    parse(&b);
    HOST_CHECK(strlen(info.cmdline) == BOOT_CMDLINE_MAX - 1 && !info.note_count, "%u notes", info.note_count);
}

HOST_TEST(memory_map_entries_too_small)
{
    struct block b = block_begin();
    u32 at = put_memory_map(&b, 24, plain_map, ARRAY_SIZE(plain_map));
    set32(&b, at + 8, 20);
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.fatal && !info.mem_count, "%u ranges", info.mem_count);
    CHECK_NOTED("entries of 20 bytes");
}

HOST_TEST(memory_map_ending_within_an_entry)
{
    struct block b = block_begin();
    u32 at = put_memory_map(&b, 24, plain_map, ARRAY_SIZE(plain_map));
    block_end(&b);
    set32(&b, at + 4, 16 + 24 * ARRAY_SIZE(plain_map) - 8); /* still padded to where the next tag is */
    parse(&b);
    HOST_CHECK(!info.fatal && info.mem_count == ARRAY_SIZE(plain_map) - 1, "%u ranges", info.mem_count);
    CHECK_NOTED("16 bytes behind the last whole entry");
}

HOST_TEST(ranges_empty_wrapping_unknown_unsorted)
{
    const struct boot_mem_range r[] = {{PADDR(0x100000), 0x1000000, 1},
                                       {PADDR(0x5000), 0, 1},
                                       {PADDR(0xfffffffffffff000), 0x2000, 2},
                                       {PADDR(0x1000), 0x200000, 77},
                                       {PADDR(0), ~0ull, 2}};
    struct block b = block_begin();
    put_memory_map(&b, 24, r, ARRAY_SIZE(r));
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.mem_count == 4 && info.mem[1].size == 0xfff && info.mem[2].type == 77 &&
                   invariants_hold(),
               "%u ranges, second of %llx", info.mem_count, (unsigned long long)info.mem[1].size);
    CHECK_NOTED("1 ranges reach past");
}

HOST_TEST(a_second_memory_map_is_ignored)
{
    struct block b = small_block();
    put_memory_map(&b, 24, &plain_map[3], 1);
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.mem_count == ARRAY_SIZE(plain_map), "%u ranges", info.mem_count);
    CHECK_NOTED("second memory map");
}

HOST_TEST(more_ranges_than_we_keep_cost_memory_not_safety)
{
    struct boot_mem_range r[BOOT_MEMMAP_MAX + 20];
    for (u32 i = 0; i < ARRAY_SIZE(r); i++)
        r[i] = (struct boot_mem_range){PADDR(0x10000ull * i), 0x8000, i < BOOT_MEMMAP_MAX ? 1 : 2};
    struct block b = block_begin();
    put_memory_map(&b, 24, r, ARRAY_SIZE(r));
    block_end(&b);
    parse(&b);
    u32 reserved = 0;
    for (u32 i = 0; i < info.mem_count; i++)
        reserved += info.mem[i].type == 2;
    HOST_CHECK(info.mem_count == BOOT_MEMMAP_MAX && reserved == 20 && !info.fatal, "%u ranges, %u reserved",
               info.mem_count, reserved);
    CHECK_NOTED("more than the 256 kept");
}

HOST_TEST(modules_backwards_and_too_many)
{
    struct block b = small_block();
    put_module(&b, 0x5000, 0x4000, "backwards");
    for (u32 i = 0; i < BOOT_MODULES_MAX + 2; i++)
        put_module(&b, 0x100000 * i, 0x100000 * i + 16, "m");
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.module_count == BOOT_MODULES_MAX && info.modules[0].start.v == 0, "%u modules",
               info.module_count);
    CHECK_NOTED("before its start");
    CHECK_NOTED("more than 16 modules");
}

HOST_TEST(modules_outside_of_usable_memory)
{
    static const struct boot_mem_range map[] = {
        {PADDR(0x400000), 0x100000, 1}, /* unsorted, and two that touch */
        {PADDR(0x100000), 0x100000, 1},
        {PADDR(0x200000), 0x100000, 1},
        {PADDR(0x480000), 0x1000, 2}, /* less good wins */
    };
    struct block b = block_begin();
    put_memory_map(&b, 24, map, ARRAY_SIZE(map));
    put_module(&b, 0x1ff000, 0x201000, "across");
    put_module(&b, 0x2ff000, 0x300001, "sticks-out");
    put_module(&b, 0x470000, 0x490000, "reserved");
    put_module(&b, 0x800000, 0x801000, "nowhere");
    put_module(&b, 0x4ff000, 0x500000, "end");
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.module_count == 2 && !strcmp(info.modules[0].name, "across") &&
                   !strcmp(info.modules[1].name, "end"),
               "%u modules", info.module_count);
    CHECK_NOTED("module sticks-out at 0x2ff000, 4097 bytes, is not in usable memory");
    CHECK_NOTED("module reserved at 0x470000");
    CHECK_NOTED("module nowhere at 0x800000");
}

HOST_TEST(framebuffer_in_usable_memory)
{
    struct framebuffer_tag low = rgb;
    low.base = plain_map[3].start.v + plain_map[3].size - 1;
    struct block b = small_block();
    put_tag(&b, 8, &low, sizeof(low));
    block_end(&b);
    parse(&b);
    HOST_CHECK(!info.have_framebuffer && !info.fatal, "%u notes", info.note_count);
    CHECK_NOTED("framebuffer 0x1ffdefff to 0x2013e8ff lies in usable memory");
    low.base++;
    b = small_block();
    put_tag(&b, 8, &low, sizeof(low));
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.have_framebuffer && info.note_count == 0, "%u notes", info.note_count);
}

HOST_TEST(framebuffers_that_cannot_be_drawn_on)
{
    struct {
        struct framebuffer_tag tag;
        const char *words;
    } bad[] = {{rgb, "unknown type"},    {rgb, "no pixels"},      {rgb, "odd number"},
               {rgb, "lines overlap"},   {rgb, "last address"},   {rgb, "outside the"},
               {text, "lines overlap"},  {text, "lines of text"}, {text, "outside of VGA"},
               {text, "outside of VGA"}, {text, "outside of VGA"}};
    bad[0].tag.type = 3;
    bad[1].tag.height = 0;
    bad[2].tag.bpp = 17;
    bad[3].tag.pitch = 2399;
    bad[4].tag.base = ~0ull - 1000;
    bad[5].tag.color[0] = 20;
    bad[6].tag.width = 0xffffffff;
    bad[7].tag.bpp = 8; /* says how many colours there are, perhaps; a cell has two bytes all the same */
    bad[7].tag.pitch = 159;
    bad[8].tag.base = 0x9ffff;
    bad[9].tag.base = 0xc0000 - 160 * 25 + 1;
    bad[10].tag.base = 0x200000; /* usable memory */
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        struct block b = small_block();
        put_tag(&b, 8, &bad[i].tag, sizeof(bad[i].tag));
        block_end(&b);
        parse(&b);
        HOST_CHECK(!info.have_framebuffer && !info.fatal, "case %u", i);
        CHECK_NOTED(bad[i].words);
    }
    struct block b = small_block();
    put_tag(&b, 8, &rgb, 24); /* RGB, but the colours are missing */
    block_end(&b);
    parse(&b);
    HOST_CHECK(!info.have_framebuffer, "%u notes", info.note_count);
    CHECK_NOTED("RGB framebuffer tag");
}

HOST_TEST(text_anywhere_in_vga_memory_is_drawn_on)
{
    struct framebuffer_tag tag = text;
    for (u64 base = 0xa0000; base <= 0xc0000 - 160 * 25; base += 0xc0000 - 160 * 25 - 0xa0000) {
        struct block b = small_block();
        tag.base = base;
        put_tag(&b, 8, &tag, sizeof(tag));
        block_end(&b);
        parse(&b);
        HOST_CHECK(info.have_framebuffer && info.note_count == 0, "%llx: %s", (unsigned long long)base,
                   info.notes[0]);
    }
}

HOST_TEST(running_boot_services_are_noted)
{
    struct block b = small_block();
    put_tag(&b, 18, "", 0);
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.efi && !info.fatal, "EFI %d", info.efi);
    CHECK_NOTED("boot services");
}

HOST_TEST(more_notes_than_we_keep_say_so)
{
    struct block b = small_block();
    for (u32 i = 0; i < BOOT_NOTES_MAX + 5; i++)
        put_tag(&b, 15, "", 0);
    block_end(&b);
    parse(&b);
    HOST_CHECK(info.note_count == BOOT_NOTES_MAX && strstr(info.notes[BOOT_NOTES_MAX - 1], "more"),
               "last: %s", info.notes[BOOT_NOTES_MAX - 1]);
    HOST_CHECK(invariants_hold(), "%u notes", info.note_count);
}
