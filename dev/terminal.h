/* What a terminal shows: a grid of cells, a cursor, and the lines that have scrolled off. Pure: text in, cells out; nothing is drawn
 * here (dev/screen.c compares the cells with what it has drawn).
 *
 * Understands UTF-8, CR, LF (which returns too, as the log writes it), BS, TAB, BEL (ignored), and of the VT100's sequences those that the
 * prompt's editor, tables and GRUB use: ESC [ n A B C D G (move), n;m H (place), n J, n K (erase), m (0, 1, 7, 22, 27, 30-37, 39, 40-47, 49,
 * 90-97, 100-107). Others are skipped whole. */
#pragma once

#include "lib/types.h"

/* A cell: code point in bits 0 .. 20, foreground in 24 .. 27, background in 28 .. 31, both numbers of the 16 colours. */
#define CELL_CODE(c)       ((c)&0x1fffff)
#define CELL_FOREGROUND(c) ((c) >> 24 & 15)
#define CELL_BACKGROUND(c) ((c) >> 28)
#define CELL(code, fg, bg) ((u32)(code) | (u32)(fg) << 24 | (u32)(bg) << 28)

struct terminal {
    u32 columns, rows;
    u32 lines;       /* kept in all: a ring, `rows` of which are the screen */
    u32 first;       /* ring index of the screen's first row */
    u32 stored;      /* lines above it that hold text */
    u32 back;        /* how many lines up the view is; 0: the screen */
    u32 column, row; /* the cursor; column may be `columns`: the next character wraps */
    u32 foreground, background;
    bool bright, reverse;
    u32 *cell; /* lines * columns */
    /* private: where in a sequence */
    u32 state, code, more;
    u32 parameter[8], parameters;
};

/* cell: lines * columns words; lines >= rows > 0. Cleared. */
void terminal_init(struct terminal *t, u32 columns, u32 rows, u32 lines, u32 *cell);
/* New text brings the view back to the screen. */
void terminal_write(struct terminal *t, const char *text, size_t n);
/* The row of the view as it is now. */
const u32 *terminal_row(const struct terminal *t, u32 row);
/* Moves the view up (or, negative, down) as far as there are lines. */
void terminal_scroll(struct terminal *t, s32 lines);
