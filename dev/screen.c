#include "dev/screen.h"

#include "dev/font.h"
#include "dev/pixels.h"
#include "dev/terminal.h"
#include "dev/vga_text.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kmap.h"

extern const u8 font_small[], font_small_end[], font_large[], font_large_end[];

/* Below this many lines of pixels the large font leaves too few rows. */
#define LARGE_FONT_HEIGHT 1400u
/* Screens of text that are kept: 8 of 100 x 48 cells are 150 KiB. */
#define SCREENS_KEPT 8u
#define NEVER_SHOWN  (~0u)
#define WHITE        15u
#define STATUS_ROWS  1u

static bool wanted = true, on, is_text;
static struct font font;
static struct pixels pixels;
static struct vga_text vga;
static struct terminal terminal;
static struct terminal status;        /* one row, the last one of the screen */
static u32 *shown;                    /* what each place of the screen shows now, the status row's last */
static u32 cursor_column, cursor_row; /* where the cursor was drawn last */
static bool picture;                  /* is in place of the text */

static void draw(u32 column, u32 row, u32 cell, bool cursor)
{
    if (is_text)
        vga_text_draw(&vga, column, row, cell, cursor);
    else
        pixels_draw(&pixels, column, row, cell, cursor);
}

/* All is to be drawn anew, on black: a picture may have been where no cell lies. */
static void forget(void)
{
    if (!is_text)
        pixels_fill(&pixels, 0, 0, terminal.columns * font.width, (terminal.rows + STATUS_ROWS) * font.height,
                    0);
    for (u64 i = 0; i < (u64)(terminal.rows + STATUS_ROWS) * terminal.columns; i++)
        shown[i] = NEVER_SHOWN;
}

static void update_row(const u32 *cell, u32 row)
{
    u32 *was = shown + row * terminal.columns;
    for (u32 c = 0; c < terminal.columns; c++)
        if (was[c] != cell[c]) {
            was[c] = cell[c];
            draw(c, row, cell[c], false);
        }
}

/* Brings the screen up to what the terminal says. */
static void update(void)
{
    u32 columns = terminal.columns;
    if (picture) {
        picture = false;
        forget();
    }
    /* The old cursor's place is drawn again, whatever is there now. */
    if (cursor_row < terminal.rows)
        shown[cursor_row * columns + cursor_column] = NEVER_SHOWN;
    for (u32 row = 0; row < terminal.rows; row++)
        update_row(terminal_row(&terminal, row), row);
    update_row(terminal_row(&status, 0), terminal.rows);
    cursor_row = terminal.row + terminal.back;
    cursor_column = MIN(terminal.column, columns - 1);
    if (cursor_row < terminal.rows)
        draw(cursor_column, cursor_row, shown[cursor_row * columns + cursor_column], true);
}

/* JSON Lines are for programs, who read another console: here a person would see nothing else. What may become one is held back. */
static const char record[] = "{\"volley\":1,";
static u32
    matched; /* characters of `record` that the line has begun with; RECORD_SKIP: it is one; RECORD_NONE: it is none */
#define RECORD_SKIP (~0u)
#define RECORD_NONE (~0u - 1)

static void feed(char c)
{
    if (c == '\n') {
        bool skipped = matched == RECORD_SKIP;
        if (matched < sizeof(record))
            terminal_write(&terminal, record, matched);
        matched = 0;
        if (skipped)
            return;
    } else if (matched == RECORD_SKIP) {
        return;
    } else if (matched != RECORD_NONE) {
        if (c == record[matched]) {
            if (++matched == sizeof(record) - 1)
                matched = RECORD_SKIP;
            return;
        }
        terminal_write(&terminal, record, matched);
        matched = RECORD_NONE;
    }
    terminal_write(&terminal, &c, 1);
}

static void screen_write(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        feed(text[i]);
    update();
}

static bool use_pixels(const struct boot_framebuffer *f, u32 *columns, u32 *rows)
{
    bool large = f->height >= LARGE_FONT_HEIGHT;
    const u8 *file = large ? font_large : font_small;
    err_t e = font_parse(file, (u64)((large ? font_large_end : font_small_end) - file), &font);
    if (e != ERR_OK) {
        log_error("screen: the built-in font cannot be read");
        return false;
    }
    void *base = kmap_phys(f->base, (u64)f->pitch * f->height, PT_WRITE | PT_WRITE_COMBINE);
    if (!base || pixels_init(&pixels, f, base, &font) != ERR_OK)
        return false;
    *columns = f->width / font.width;
    *rows = f->height / font.height;
    return true;
}

static bool use_text(const struct boot_framebuffer *f, u32 *columns, u32 *rows)
{
    void *base = kmap_phys(f->base, (u64)f->pitch * f->height, PT_WRITE | PT_UNCACHED);
    if (!base)
        return false;
    vga_text_init(&vga, base, f->pitch);
    *columns = f->width;
    *rows = f->height;
    return true;
}

/* The grid's memory: the cells that are kept, what is shown, and the status row. */
static bool give_memory(u32 columns, u32 rows)
{
    u64 kept = (u64)rows * SCREENS_KEPT * columns, screen = (u64)(rows + STATUS_ROWS) * columns;
    u32 *cells = kmap_pages(ALIGN_UP((kept + screen + columns) * sizeof(u32), PAGE_SIZE) / PAGE_SIZE,
                            FRAME_OWNER_KERNEL);
    if (!cells)
        return false;
    shown = cells + kept;
    for (u64 i = 0; i < screen; i++)
        shown[i] = NEVER_SHOWN;
    terminal_init(&terminal, columns, rows, rows * SCREENS_KEPT, cells);
    terminal_init(&status, columns, 1, 1, shown + screen);
    return true;
}

void screen_init(const struct boot_info *boot)
{
    static struct log_sink sink = {.write = screen_write};
    const struct boot_framebuffer *f = &boot->framebuffer;
    u32 columns, rows;
    if (!wanted || !boot->have_framebuffer)
        return;
    is_text = f->type == 2;
    if (!(is_text ? use_text(f, &columns, &rows) : use_pixels(f, &columns, &rows)) || !columns ||
        rows <= STATUS_ROWS || !give_memory(columns, rows - STATUS_ROWS)) {
        log_warn("screen: %u x %u with %u bits cannot be used", f->width, f->height, f->bpp);
        return;
    }
    on = true;
    update();
    log_add_sink_with_past(&sink);
    if (is_text)
        log_info("screen: VGA text, %u x %u characters", columns, rows);
    else
        log_info("screen: %u x %u pixels of %u bits, %u x %u characters", f->width, f->height, f->bpp,
                 columns, rows);
}

void screen_status(const char *text)
{
    if (!on)
        return;
    terminal_write(&status, "\r\x1b[K", 4);
    terminal_write(&status, text, strlen(text));
    if (!picture)
        update_row(terminal_row(&status, 0), terminal.rows);
}

void screen_page(s32 pages)
{
    if (!on)
        return;
    terminal_scroll(&terminal, pages * (s32)(terminal.rows - 1));
    update();
}

/* ---- pictures ---- */

#define CAPTIONS 2u

u32 screen_picture_side(void)
{
    if (!on || is_text || terminal.rows <= CAPTIONS)
        return 0;
    return MIN(terminal.columns * font.width, (terminal.rows - CAPTIONS) * font.height);
}

static void draw_caption(u32 row, const char *text)
{
    for (u32 c = 0; c < terminal.columns && text[c]; c++)
        draw(c, row, CELL((u8)text[c], 7, 0), false);
}

void screen_picture_show(const struct screen_picture *p)
{
    u32 all = p->size + 2 * p->frame, scale = screen_picture_side() / all, top = CAPTIONS * font.height;
    if (!scale)
        return;
    picture = true;
    forget();
    for (u32 i = 0; i < CAPTIONS; i++)
        draw_caption(i, p->caption[i]);
    pixels_fill(&pixels, 0, top, all * scale, all * scale, WHITE);
    for (u32 y = 0; y < p->size; y++)
        for (u32 x = 0; x < p->size; x++)
            if (p->dark(p->arg, x, y))
                pixels_fill(&pixels, (p->frame + x) * scale, top + (p->frame + y) * scale, scale, scale, 0);
}

void screen_picture_end(void)
{
    if (on && picture)
        update();
}

static const char *set_screen(const char *value)
{
    if (strcmp(value, "auto") != 0 && strcmp(value, "off") != 0)
        return "screen=auto or screen=off";
    wanted = value[0] == 'a';
    return NULL;
}
PARAM(screen, "screen",
      "screen=auto|off  text on the screen that firmware left, if there is one (default auto)", set_screen);
