/* A line of text being typed: editing, history, and what the terminal has to be told. Pure: bytes in, bytes out.
 *
 * The terminal is a VT100 or anything newer, 80 columns wide. A line longer than that scrolls sideways: it never wraps,
 * because no terminal can be told to go back over a wrap. Keys: arrows, Home, End, Delete, Backspace; Ctrl with A E B F
 * (move), D H (delete), U K W (to the start, to the end, a word), P N (history), C (give up), L (draw again). */
#pragma once

#include "lib/types.h"

#define LINE_MAX     255u /* characters in a line */
#define LINE_HISTORY 16u
#define LINE_COLUMNS 80u

enum line_event {
    LINE_MORE,     /* go on */
    LINE_DONE,     /* Enter: text is the line */
    LINE_COMPLETE, /* Tab: the caller may insert something */
    LINE_GIVEN_UP, /* Ctrl-C: text is empty */
};

struct line_edit {
    char text[LINE_MAX + 1]; /* always 0-terminated */
    u32 length, cursor;
    const char *prompt;
    void (*emit)(void *arg, const char *text, size_t n); /* to the terminal; '\n' means CR LF */
    void *arg;
    /* private */
    u32 view;           /* the first character shown */
    u32 escape, number; /* where in an escape sequence, and its parameter */
    bool after_cr;      /* a line feed now belongs to the Enter before it */
    u32 stored, back;   /* history lines; how many lines back the shown one is, 0: the one being typed */
    u32 newest;
    char history[LINE_HISTORY][LINE_MAX + 1];
    char draft[LINE_MAX + 1]; /* the typed line while a history line is shown */
};

/* Once; prompt stays the caller's, shorter than LINE_COLUMNS / 2. */
void line_edit_init(struct line_edit *e, const char *prompt,
                    void (*emit)(void *arg, const char *text, size_t n), void *arg);
/* Begins an empty line: shows the prompt. */
void line_edit_start(struct line_edit *e);
enum line_event line_edit_key(struct line_edit *e, u8 c);
/* As if typed. False if not all of it fits; then nothing is inserted. */
bool line_edit_insert(struct line_edit *e, const char *text, size_t n);
/* Shows the line again, after something else was printed. */
void line_edit_redraw(struct line_edit *e);
