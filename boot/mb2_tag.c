/* Notes, lengths and strings of multiboot2 tags. */
#include "boot/mb2_tag.h"

char *mb2_note_slot(struct boot_info *out)
{
    if (out->note_count < BOOT_NOTES_MAX)
        return out->notes[out->note_count++];
    return NULL;
}

bool mb2_long_enough(struct boot_info *out, const struct tag *t, u32 needed, const char *what)
{
    if (t->size >= needed)
        return true;
    NOTE(out, "%s tag has %u bytes, needs %u: ignored", what, t->size, needed);
    return false;
}

void mb2_copy_string(struct boot_info *out, const struct tag *t, u32 from, char *to, u32 room,
                     const char *what)
{
    u32 n = 0;
    while (from + n < t->size && t->p[from + n] && n < room - 1) {
        to[n] = (char)t->p[from + n];
        n++;
    }
    to[n] = 0;
    if (from + n >= t->size)
        NOTE(out, "%s does not end within its tag of %u bytes", what, t->size);
    else if (t->p[from + n])
        NOTE(out, "%s is longer than %u characters: cut", what, room - 1);
}
