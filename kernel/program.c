#include "kernel/program.h"

#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/share.h"

static struct program programs[BOOT_MODULES_MAX];
static u32 count;

/* The loader gives a module the words of its command line: "/boot/user/churn fast" is the program "churn". */
static void name_of(char *out, const char *module)
{
    const char *start = module;
    for (const char *c = module; *c && *c != ' '; c++)
        if (*c == '/')
            start = c + 1;
    u32 n = 0;
    for (; n + 1 < PROGRAM_NAME_MAX && start[n] && start[n] != ' '; n++)
        out[n] = start[n] > ' ' && start[n] <= '~' ? start[n] : '?';
    out[n] = 0;
}

/* Pages that are shared: file contents in segments that nobody may write. */
static u64 text_pages(const struct elf_segment *s)
{
    if (s->prot & PT_WRITE)
        return 0;
    vaddr_t start = ALIGN_DOWN(s->start, PAGE_SIZE);
    return ALIGN_UP(s->start + s->file_bytes - start, PAGE_SIZE) / PAGE_SIZE;
}

void program_copy_page(const struct program *p, const struct elf_segment *s, vaddr_t va, paddr_t frame)
{
    vaddr_t start = MAX(va, s->start), end = MIN(va + PAGE_SIZE, s->start + s->file_bytes);
    memcpy((u8 *)phys_to_virt(frame) + (start - va),
           (const u8 *)p->file + s->file_offset + (start - s->start), end - start);
}

paddr_t program_text(const struct program *p, const struct elf_segment *s, vaddr_t va)
{
    u64 before = 0;
    if (!p->text || (s->prot & PT_WRITE))
        return PADDR_NONE;
    for (const struct elf_segment *t = p->image.segment; t < s; t++)
        before += text_pages(t);
    return p->text[before + (va - ALIGN_DOWN(s->start, PAGE_SIZE)) / PAGE_SIZE];
}

/* Without memory for all of them, or with more than one frame can list, no page is shared: slower, and no different. */
static void load_text(struct program *p)
{
    paddr_t list;
    u64 n = 0, total = 0;
    for (u32 i = 0; i < p->image.segment_count; i++)
        total += text_pages(&p->image.segment[i]);
    if (total > PAGE_SIZE / sizeof(paddr_t) || frame_alloc(FRAME_OWNER_KERNEL, &list) != ERR_OK)
        return;
    paddr_t *text = phys_to_virt(list);
    for (u32 i = 0; i < p->image.segment_count; i++) {
        const struct elf_segment *s = &p->image.segment[i];
        vaddr_t va = ALIGN_DOWN(s->start, PAGE_SIZE);
        for (u64 left = text_pages(s); left; left--, va += PAGE_SIZE) {
            if (frame_alloc_zeroed(FRAME_OWNER_USER, &text[n]) != ERR_OK)
                goto undo;
            share_alone(frame_of(text[n]));
            program_copy_page(p, s, va, text[n++]);
        }
    }
    p->text = text;
    return;
undo:
    while (n)
        frame_free(text[--n]);
    frame_free(list);
}

err_t program_read(struct program *p, const char *name, const void *file, u64 bytes)
{
    name_of(p->name, name);
    p->file = file;
    p->bytes = bytes;
    p->state = elf_parse(file, bytes, &p->image);
    return p->state;
}

void programs_init(const struct boot_info *boot)
{
    for (u32 i = 0; i < boot->module_count; i++) {
        const struct boot_module *m = &boot->modules[i];
        if (boot_module_is_data(m))
            continue;
        struct program *p = &programs[count];
        err_t e = program_read(p, m->name, phys_to_virt(m->start), m->size);
        if (!p->name[0] || program_find(p->name)) {
            log_warn("boot module %u: %s; it is not used", i,
                     p->name[0] ? "its program's name is taken by an earlier one" : "it has no name");
            continue;
        }
        if (e != ERR_OK)
            log_warn("boot module %u, program %s, cannot be run: %s", i, p->name, p->image.why);
        else
            load_text(p);
        count++;
    }
}

const struct program *program_find(const char *name)
{
    for (u32 i = 0; i < count; i++)
        if (strcmp(programs[i].name, name) == 0)
            return &programs[i];
    return NULL;
}

u32 program_count(void)
{
    return count;
}

const struct program *program_at(u32 i)
{
    return &programs[i];
}
