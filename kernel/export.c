#include "kernel/export.h"

#include "dev/screen.h"
#include "kernel/export_record.h"
#include "lib/atomic.h"
#include "lib/crc32.h"
#include "lib/deflate.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kmap.h"

/* A quick run on 4 CPUs has 1,300 records of 360 bytes, one on 64 CPUs three times as many. */
#define KEPT_MAX (2 * MIB)
/* The line that says what the others are. */
#define HEAD_MAX 160u
/* 99 codes of the largest size are 120 KiB. */
#define PACKED_MAX (128 * KIB)

struct memory {
    char kept[KEPT_MAX]; /* records at level 1, each ended by a line feed, in the order in which they came */
    char line[JSON_MAX]; /* one of them in the making */
    char text[HEAD_MAX + KEPT_MAX];
    u8 packed[PACKED_MAX];
    struct deflate work;
};
static struct memory *memory;
static u64 kept;
static u32 kept_records, lost_records; /* lost: there was no room */
static u32 keeping;                    /* a CPU is in keep() */

/* Records are printed by one CPU at a time as a rule, but any may; one that comes in the middle of another is counted as lost. */
static void keep(const char *text, size_t n)
{
    /* orders: what the CPU before wrote to the buffer before what we read of it; pairs with: the release below; else: two records could
     * be written to one place. */
    if (atomic_xchg(&keeping, 1)) {
        atomic_fetch_add(&lost_records, 1);
        return;
    }
    size_t length = export_record(text, n, 1, memory->line);
    if (length && kept + length + 1 <= KEPT_MAX) {
        memcpy(memory->kept + kept, memory->line, length);
        memory->kept[kept + length] = '\n';
        kept += length + 1;
        kept_records++;
    } else if (length) {
        atomic_fetch_add(&lost_records, 1);
    }
    /* orders: the record before the next CPU's; pairs with: the exchange above; else: see there. */
    atomic_store_release(&keeping, 0);
}

void export_init(void)
{
    if (!screen_picture_side())
        return;
    memory = kmap_pages(ALIGN_UP(sizeof(*memory), PAGE_SIZE) / PAGE_SIZE, FRAME_OWNER_KERNEL);
    if (memory)
        json_keep = keep;
    else
        log_warn("no memory to keep results in: `qr` will have nothing to show");
}

bool export_has_records(void)
{
    return kept_records != 0;
}

/* The first `records` of the records kept, at a level, behind a line that says so. */
static void write_text(struct export_file *f, u32 level, u32 records)
{
    char *body = memory->text + HEAD_MAX, *to = body;
    u32 written = 0;
    for (u64 at = 0; at < kept && written < records;) {
        const char *line = memory->kept + at;
        size_t n = (size_t)(strchr(line, '\n') - line);
        size_t length = export_record(line, n, level, to);
        at += n + 1;
        if (!length)
            continue;
        to += length;
        *to++ = '\n';
        written++;
    }
    f->level = level;
    f->records = written;
    f->left_out = kept_records + atomic_load_relaxed(&lost_records) - written;
    char head[HEAD_MAX];
    size_t n =
        (size_t)format(head, sizeof(head),
                       "{\"volley\":1,\"type\":\"export\",\"level\":%u,\"records\":%u,\"left_out\":%u}\n",
                       level, f->records, f->left_out);
    f->text = body - n;
    memcpy(body - n, head, n);
    f->length = (u64)(to - body) + n;
}

static bool fits(struct export_file *f, u64 room)
{
    f->packed = memory->packed;
    f->packed_length =
        deflate_bytes(&memory->work, (const u8 *)f->text, f->length, memory->packed, MIN(room, PACKED_MAX));
    return f->packed_length != 0;
}

bool export_make(u64 room, struct export_file *f)
{
    if (!kept_records)
        return false;
    bool done = false;
    for (u32 level = 1; level <= EXPORT_LEVELS && !done; level++) {
        write_text(f, level, ~0u);
        done = fits(f, room);
    }
    if (!done) { /* as many as fit, by halving */
        u32 fit = 0, over = f->records;
        while (over - fit > 1) {
            u32 middle = fit + (over - fit) / 2;
            write_text(f, EXPORT_LEVELS, middle);
            if (fits(f, room))
                fit = middle;
            else
                over = middle;
        }
        write_text(f, EXPORT_LEVELS, fit);
        if (!fits(f, room))
            return false;
    }
    f->crc = crc32_add(0, f->text, f->length);
    return true;
}

void export_offer(bool serial)
{
    if (!memory || !kept_records)
        return;
    if (serial)
        print("\nThe records have gone to the serial port; `qr` shows them as codes for a camera, too.\n");
    else
        print("\nTo take the results home: `qr` shows them as codes for a camera. Photograph each, then run\n"
              "tools/collect on the photos.\n");
}
