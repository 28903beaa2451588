/* `qr`: the export as QR codes, one after the other, and `export`: the same file as text. */
#include "dev/qr.h"
#include "dev/screen.h"
#include "kernel/command.h"
#include "kernel/console.h"
#include "kernel/export.h"
#include "kernel/idle.h"
#include "lib/assert.h"
#include "lib/base45.h"
#include "lib/crc32.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"

#define CODES_DEFAULT 12u
#define CODES_MAX     99u
#define PIXELS_MIN    4u  /* a module's side: what a telephone at arm's length can tell apart */
#define VERSION_MIN   10u /* with less, a quick run would need more codes than anybody would photograph */
/* VOLLEY:number:of:checksum of the file:checksum of this code: */
#define HEAD_LENGTH (7u + 3u + 3u + 9u + 9u)

static struct qr qr;
static char text[HEAD_LENGTH + 2048];

struct codes {
    struct export_file file;
    u32 count;
    u64 part; /* bytes in each but the last */
    u32 version;
    enum qr_level level;
};

/* The largest version that the screen shows large enough; 0: none. */
static u32 version_for_screen(void)
{
    u32 modules = screen_picture_side() / PIXELS_MIN;
    if (modules < qr_size(VERSION_MIN) + 2 * QR_QUIET)
        return 0;
    return MIN((modules - 2 * QR_QUIET - qr_size(0)) / 4, QR_VERSION_MAX);
}

static u64 bytes_in(u32 version, enum qr_level level)
{
    u32 most = qr_capacity(version, level);
    return most < HEAD_LENGTH ? 0 : (most - HEAD_LENGTH) / 3 * 2 + ((most - HEAD_LENGTH) % 3 == 2);
}

/* Equal parts, as few as the largest codes allow; then codes as small as hold one, as larger modules are easier to read; then as much
 * correction as there is room for. */
static bool cut(struct codes *c, u32 most)
{
    u32 version = version_for_screen();
    u64 largest = bytes_in(version, QR_L);
    if (!export_make(largest * most, &c->file))
        return false;
    c->count = (u32)((c->file.packed_length + largest - 1) / largest);
    c->part = (c->file.packed_length + c->count - 1) / c->count;
    for (c->version = 1; bytes_in(c->version, QR_L) < c->part;)
        c->version++;
    for (c->level = QR_H; bytes_in(c->version, c->level) < c->part;)
        c->level--;
    return true;
}

static void make(const struct codes *c, u32 i)
{
    u64 from = c->part * i, n = MIN(c->part, c->file.packed_length - from);
    char head[HEAD_LENGTH + 1];
    /* The code's own checksum is over all before and all behind it. */
    u32 before = (u32)format(head, sizeof(head), "VOLLEY:%02u:%02u:%08X:", i + 1, c->count, c->file.crc);
    base45_encode(c->file.packed + from, n, text + HEAD_LENGTH);
    u32 crc = crc32_add(crc32_add(0, head, before), text + HEAD_LENGTH, base45_length(n));
    (void)format(head + before, sizeof(head) - before, "%08X:", crc);
    memcpy(text, head, HEAD_LENGTH);
    if (qr_encode(&qr, c->version, c->level, text, HEAD_LENGTH + (u32)base45_length(n)) != ERR_OK)
        panic("a part of %lu bytes does not fit into a code of version %u", n, c->version);
}

static bool dark(const void *arg, u32 x, u32 y)
{
    return qr_dark(arg, x, y);
}

static void show(const struct codes *c, u32 i)
{
    char caption[2][160];
    make(c, i);
    (void)format(caption[0], sizeof(caption[0]),
                 "Code %u of %u. Photograph it, then: space bar: next; p: previous; q: back to the prompt.",
                 i + 1, c->count);
    (void)format(caption[1], sizeof(caption[1]),
                 "%u records, %u left out; file %08X. tools/collect makes bench.jsonl of the photos.",
                 c->file.records, c->file.left_out, c->file.crc);
    screen_picture_show(&(struct screen_picture){
        .size = qr.size, .frame = QR_QUIET, .dark = dark, .arg = &qr, .caption = {caption[0], caption[1]}});
}

/* ---- keys ---- */

enum step { STEP_NONE, STEP_NEXT, STEP_PREVIOUS, STEP_END };

/* Behind an escape: the rest of a cursor key's sequence comes at once; if nothing does, it was the key Escape. */
static int soon(void)
{
    int c = console_poll();
    for (u32 ticks = 0; c < 0 && ticks < 20; ticks++) {
        idle_for_a_tick();
        c = console_poll();
    }
    return c;
}

static enum step read_step(void)
{
    u8 c = console_read();
    if (c == 0x1b) {
        if (soon() != '[')
            return STEP_END;
        int key = soon();
        return key == 'C' || key == 'B' ? STEP_NEXT : key == 'D' || key == 'A' ? STEP_PREVIOUS : STEP_NONE;
    }
    if (c == 'q' || c == 'Q' || c == 3)
        return STEP_END;
    if (c == 'p' || c == 'P' || c == 0x7f || c == '\b')
        return STEP_PREVIOUS;
    return c == ' ' || c == '\r' || c == '\n' || c == 'n' || c == 'N' ? STEP_NEXT : STEP_NONE;
}

static void browse(const struct codes *c)
{
    u32 i = 0;
    enum step step = STEP_NONE;
    while (step != STEP_END && i < c->count) {
        show(c, i);
        step = read_step();
        if (step == STEP_NEXT)
            i++;
        else if (step == STEP_PREVIOUS)
            i -= i > 0;
    }
    screen_picture_end();
}

/* ---- commands ---- */

static bool most_codes(int argc, char **argv, u32 *most)
{
    u64 n = CODES_DEFAULT;
    if (argc > 2 || (argc == 2 && (!parse_u64(argv[1], &n) || n < 1 || n > CODES_MAX))) {
        print("%s [MAX]: at most that many codes, 1 .. %u; %u if it is not said\n", argv[0], CODES_MAX,
              CODES_DEFAULT);
        return false;
    }
    *most = (u32)n;
    return true;
}

static bool prepare(int argc, char **argv, struct codes *c)
{
    u32 most;
    if (!most_codes(argc, argv, &most))
        return false;
    if (!version_for_screen()) {
        u32 side = PIXELS_MIN * (qr_size(VERSION_MIN) + 2 * QR_QUIET);
        print("Codes need a framebuffer of at least %u pixels each way below two lines of text, and there is "
              "%s.%s\n",
              side, screen_picture_side() ? "a smaller one" : "none",
              console_has_serial() ? " The records are on the serial port." : "");
        return false;
    }
    if (!export_has_records()) {
        print("There are no results yet; `bench` runs benchmarks.\n");
        return false;
    }
    if (!cut(c, most)) {
        print("Not even one record fits into %u codes.\n", most);
        return false;
    }
    return true;
}

static void say(const struct codes *c)
{
    print("export: %u codes of version %u; %u records at level %u, %u left out; %lu bytes, %lu deflated, "
          "CRC-32 %08X\n",
          c->count, c->version, c->file.records, c->file.level, c->file.left_out, c->file.length,
          c->file.packed_length, c->file.crc);
}

static void cmd_qr(int argc, char **argv)
{
    struct codes c;
    if (!prepare(argc, argv, &c))
        return;
    browse(&c);
    say(&c);
}
COMMAND(qr, "qr [MAX]",
        "the results as QR codes on the screen, at most MAX (12): tools/collect reads photos of them",
        cmd_qr);

static void cmd_export(int argc, char **argv)
{
    struct codes c;
    if (!prepare(argc, argv, &c))
        return;
    say(&c);
    for (const char *at = c.file.text, *end = at + c.file.length; at < end;) {
        const char *feed = strchr(at, '\n');
        print("%.*s\n", (int)(feed - at), at);
        at = feed + 1;
    }
    print("export: end\n");
}
COMMAND(export, "export [MAX]", "prints the file that `qr` shows; on the screen only how large it is",
        cmd_export);
