/* What the readers of multiboot2 tags share. Private to boot/. */
#pragma once

#include "lib/boot_info.h"
#include "lib/log.h"

#define TAG_HEADER 8u /* type and size, 32 bits each; size counts them, but not the padding behind the tag */

/* One tag: `size` readable bytes at p, header included. */
struct tag {
    const u8 *p;
    u32 type, size;
};

static inline u64 get(const u8 *p, u32 bytes)
{
    u64 v = 0;
    for (u32 i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}
static inline u32 get32(const u8 *p)
{
    return (u32)get(p, 4);
}
static inline u64 get64(const u8 *p)
{
    return get(p, 8);
}

/* Where the next note goes; NULL once all places are taken. */
char *mb2_note_slot(struct boot_info *out);
/* A printf-style note. The last place tells that there were more. */
#define NOTE(out, ...)                                                                                       \
    do {                                                                                                     \
        char *slot = mb2_note_slot(out);                                                                     \
        if (slot)                                                                                            \
            format(slot, sizeof((out)->notes[0]), __VA_ARGS__);                                              \
        else                                                                                                 \
            format((out)->notes[BOOT_NOTES_MAX - 1], sizeof((out)->notes[0]), "and more (not kept)");        \
    } while (0)

/* True if the tag has at least `needed` bytes, header included; else notes it, calling the tag `what`. */
bool mb2_long_enough(struct boot_info *out, const struct tag *t, u32 needed, const char *what);
/* Copies the string at offset `from` of the tag; cuts what does not fit, and never reads past the tag. */
void mb2_copy_string(struct boot_info *out, const struct tag *t, u32 from, char *to, u32 room,
                     const char *what);

/* One kind of tag each. */
void mb2_read_memory_map(struct boot_info *out, const struct tag *t);
void mb2_read_module(struct boot_info *out, const struct tag *t);
void mb2_read_framebuffer(struct boot_info *out, const struct tag *t);

/* Against the memory map, once all tags are read: what cannot be where it is said to be is ignored, with a note. */
void mb2_check_modules(struct boot_info *out);
void mb2_check_framebuffer(struct boot_info *out);
