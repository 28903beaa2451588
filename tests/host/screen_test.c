/* What the screen costs: each store to the framebuffer is caught and counted, and each read. A line more scrolls every cell that
 * changes, once, whatever the number of lines that came together; nothing is read, whatever the pixels' format.
 *
 * The pages of the framebuffer are inaccessible: each access faults, is counted, and is let through alone, by the trap flag.
 *
 *     sources: dev/pixels.c dev/terminal.c dev/font.c
 *     flags: -D_GNU_SOURCE
 *     sanitize: address,undefined
 */
#include "dev/screen.c"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/host/host.h"

#define COLUMNS 16u
#define ROWS    6u /* and the status row */
#define CELL_W  8u
#define CELL_H  8u
#define PITCH   (COLUMNS * CELL_W * 4 + 64)
#define BYTES   ALIGN_UP(PITCH *(ROWS + 1) * CELL_H, PAGE_SIZE)

/* Version 1 of PSF without a table: 256 glyphs of 8 x 8. */
__asm__(".section .rodata\n"
        ".globl font_small, font_small_end, font_large, font_large_end\n"
        "font_small: font_large:\n"
        ".byte 0x36, 0x04, 0, 8\n"
        ".set row, 1\n"
        ".rept 256 * 8\n"
        ".byte row & 255\n"
        ".set row, row * 5 + 3 & 0xffff\n"
        ".endr\n"
        "font_small_end: font_large_end:\n"
        ".previous\n");

#define ERROR_WRITE (1u << 1) /* of a page fault's error code */
#define TRAP_FLAG   (1u << 8)

static u8 *framebuffer;
static u64 reads, stores, runs; /* runs: stores that do not follow the one before at once */
static u64 next;
static u32 mapped_with, pixel_bytes;
static struct log_sink *sink;

static void guard(int prot)
{
    if (mprotect(framebuffer, BYTES, prot))
        abort();
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    u64 at = (u64)info->si_addr - (u64)framebuffer;
    if (at >= BYTES) {
        signal(number, SIG_DFL);
        return;
    }
    if (r[REG_ERR] & ERROR_WRITE) {
        stores++;
        runs += at != next;
        next = at + (pixel_bytes == 3 ? 1 : pixel_bytes);
    } else {
        reads++;
    }
    guard(PROT_READ | PROT_WRITE);
    r[REG_EFL] |= TRAP_FLAG;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    guard(PROT_NONE);
}

/* ---- the machine ---- */
void *kmap_phys(paddr_t p, u64 bytes, u32 prot)
{
    HOST_CHECK(p.v == 0xfd000000 && bytes <= BYTES, "%llx, %llu bytes", (unsigned long long)p.v,
               (unsigned long long)bytes);
    mapped_with = prot;
    return framebuffer;
}
void *kmap_pages(u64 n, u16 owner)
{
    static u8 memory[16 * PAGE_SIZE] __attribute__((aligned(4096)));
    (void)owner;
    memset(memory, 0, sizeof(memory));
    return n * PAGE_SIZE <= sizeof(memory) ? memory : NULL;
}
void vga_text_init(struct vga_text *v, void *base, u32 pitch_bytes)
{
    *v = (struct vga_text){0};
    HOST_CHECK(false, "VGA text at %p, pitch %u: this is a framebuffer", base, pitch_bytes);
}
void vga_text_draw(const struct vga_text *v, u32 column, u32 row, u32 cell, bool reversed)
{
    HOST_CHECK(false, "VGA text %p: %x at %u, %u, %d", (const void *)v, cell, column, row, reversed);
}
void log_add_sink_with_past(struct log_sink *s)
{
    sink = s;
}

static void start_with(u8 bpp, u32 rows)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    struct boot_info boot = {
        .have_framebuffer = true,
        .framebuffer = {.base = {0xfd000000},
                        .pitch = PITCH,
                        .width = COLUMNS * CELL_W,
                        .height = (rows + 1) * CELL_H,
                        .bpp = bpp,
                        .type = 1,
                        .red_pos = bpp == 16 ? 11 : 16,
                        .red_size = bpp == 16 ? 5 : 8,
                        .green_pos = bpp == 16 ? 5 : 8,
                        .green_size = bpp == 16 ? 6 : 8,
                        .blue_size = bpp == 16 ? 5 : 8},
    };
    if (!framebuffer)
        framebuffer = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &trap, NULL);
    guard(PROT_NONE);
    pixel_bytes = bpp / 8;
    sink = NULL;
    screen_init(&boot);
    HOST_CHECK(on && sink && terminal.columns == COLUMNS && terminal.rows == rows, "%u x %u cells",
               terminal.columns, terminal.rows);
}

static void start(u8 bpp)
{
    start_with(bpp, ROWS);
}

static u32 was[ROWS][COLUMNS];

static void remember(void)
{
    for (u32 r = 0; r < ROWS; r++)
        memcpy(was[r], terminal_row(&terminal, r), sizeof(was[r]));
    reads = stores = runs = 0;
    next = ~0ull;
}

static u32 cells_changed(void)
{
    u32 n = 0;
    for (u32 r = 0; r < ROWS; r++)
        for (u32 c = 0; c < COLUMNS; c++)
            n += was[r][c] != terminal_row(&terminal, r)[c];
    return n;
}

/* `lines` lines that differ from each other in every cell, or in none, in one piece, as a table comes. */
static void write_lines(u32 lines, bool alike)
{
    static u32 turn;
    char text[1024];
    size_t n = 0;
    for (u32 i = 0; i < lines; i++) {
        turn += !alike;
        for (u32 c = 0; c < COLUMNS; c++)
            text[n++] = (char)('!' + (turn * 7 + c) % 90);
        text[n++] = '\n';
    }
    sink->write(text, n);
}

#define CURSORS     2u /* the place that it left, and where it is */
#define STORES(px)  (pixel_bytes == 3 ? 3 * (px) : (px))
#define CELL_STORES STORES(CELL_W *CELL_H)

static void check_cost(const char *what, u32 changed_least, u32 changed_most)
{
    u32 changed = cells_changed();
    HOST_CHECK(changed >= changed_least && changed <= changed_most, "%s: %u cells have changed, not %u to %u",
               what, changed, changed_least, changed_most);
    HOST_CHECK(reads == 0, "%s: %llu reads of the framebuffer", what, (unsigned long long)reads);
    HOST_CHECK(stores >= (u64)changed * CELL_STORES && stores <= (u64)(changed + CURSORS) * CELL_STORES,
               "%s: %llu stores of pixels for %u changed cells of %u each", what, (unsigned long long)stores,
               changed, CELL_STORES);
    HOST_CHECK(stores % CELL_STORES == 0 && runs <= stores / STORES(CELL_W),
               "%s: %llu runs: a cell's row of pixels is stored from left to right", what,
               (unsigned long long)runs);
}

static void scrolls(u8 bpp)
{
    start(bpp);
    HOST_CHECK(mapped_with == (PT_WRITE | PT_WRITE_COMBINE), "mapped with %x", mapped_with);
    write_lines(ROWS, false);
    remember();
    write_lines(1, false);
    check_cost("a line more", COLUMNS * (ROWS - 1), COLUMNS * ROWS);
    remember();
    write_lines(3 * ROWS, false);
    check_cost("three screens at once", COLUMNS * (ROWS - 1), COLUMNS * ROWS);
    write_lines(ROWS, true);
    remember();
    write_lines(1, true);
    check_cost("a line like all others", 0, 0);
    remember();
    screen_status("busy");
    HOST_CHECK(stores <= (u64)(4 + CURSORS) * CELL_STORES && reads == 0, "the status row: %llu stores",
               (unsigned long long)stores);
}

HOST_TEST(a_scrolled_line_is_stored_once_and_nothing_is_read)
{
    scrolls(32);
}
HOST_TEST(with_three_bytes_for_a_pixel_too)
{
    scrolls(24);
}
HOST_TEST(with_two_bytes_for_a_pixel_too)
{
    scrolls(16);
}

/* An instruction that reads and writes faults as a write. So what was there must not show. */
HOST_TEST(what_was_there_does_not_matter)
{
    static u8 first[PITCH];
    start(32);
    write_lines(ROWS, false);
    for (u32 line = 0; line < (ROWS + 1) * CELL_H; line += 5)
        for (u32 i = 0; i < 2; i++) {
            guard(PROT_READ | PROT_WRITE);
            memset(framebuffer, i ? 0xaa : 0x55, BYTES);
            guard(PROT_NONE);
            for (u64 c = 0; c < (ROWS + 1) * COLUMNS; c++)
                shown[c] = NEVER_SHOWN;
            sink->write("", 0);
            guard(PROT_READ);
            u8 *at = framebuffer + line * PITCH;
            if (!i)
                memcpy(first, at, sizeof(first));
            HOST_CHECK(memcmp(first, at, COLUMNS * CELL_W * 4) == 0, "line %u depends on what was there",
                       line);
            HOST_CHECK(at[PITCH - 1] == (i ? 0xaa : 0x55), "line %u: the pitch's rest is stored to", line);
            guard(PROT_NONE);
        }
}

static bool dark(const void *arg, u32 x, u32 y)
{
    (void)arg;
    return (x + y) & 1;
}

/* Below the two rows of captions. A screen that has no more rows shows no picture, and keeps its text. */
HOST_TEST(a_picture_needs_more_rows_than_its_captions)
{
    const struct screen_picture p = {.size = 4, .frame = 1, .dark = dark, .caption = {"one", "two"}};
    for (u32 rows = 1; rows <= 4; rows++) {
        start_with(32, rows);
        u32 side = rows > 2 ? (rows - 2) * CELL_H : 0;
        HOST_CHECK(screen_picture_side() == side, "%u rows: a picture of %u, not %u", rows,
                   screen_picture_side(), side);
        screen_picture_show(&p);
        HOST_CHECK(picture == (side != 0), "%u rows", rows);
        screen_picture_end();
    }
}
