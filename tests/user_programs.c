/* The programs of user/ as the boot medium passes them: there, whole, W^X, with symbols for the reports of their faults. */
#include "kernel/process.h"
#include "kernel/program.h"
#include "lib/string.h"
#include "mm/layout.h"
#include "mm/region.h"
#include "tests/test.h"

static void user_programs(struct test *t)
{
    char name[64];
    if (!CHECK(t, program_count() > 0, "no program came as a boot module"))
        return;
    for (u32 i = 0; i < program_count(); i++) {
        const struct program *p = program_at(i);
        if (!CHECK(t, p->state == ERR_OK, "%s: %s", p->name, p->image.why))
            continue;
        for (u32 j = 0; j < p->image.segment_count; j++)
            CHECK(t, (p->image.segment[j].prot & (PT_WRITE | PT_EXEC)) != (PT_WRITE | PT_EXEC),
                  "%s: segment %u is writable and executable", p->name, j);
        bool known = elf_symbol(p->file, p->bytes, p->image.entry, name, sizeof(name));
        CHECK(t, known && strncmp(name, "program_entry", 13) == 0, "%s: its entry has the symbol %s", p->name,
              known ? name : "of nothing");
        CHECK(t, program_find(p->name) == p, "%s is not found by its name", p->name);
    }
    CHECK(t, program_find("responder") != NULL, "the shootdown benchmark needs the program responder");
    CHECK(t, program_find("no such program") == NULL, "a program that does not exist is found");
    test_note(t, "%u programs", program_count());
}
TEST(user_programs, "the programs of ring 3 are there, and are what the kernel accepts");

/* One page of two processes: the frame of both, or one for each. */
static void look_at(struct test *t, struct space *a, struct space *b, const struct elf_segment *s, vaddr_t va)
{
    struct pt_entry of_a = space_query(a, va), of_b = space_query(b, va);
    if (!CHECK(t, of_a.present && of_b.present, "%llx is not there", (unsigned long long)va))
        return;
    bool same = of_a.pa.v == of_b.pa.v;
    CHECK(t, same == !(s->prot & PT_WRITE), "%llx, %s, is %s", (unsigned long long)va,
          s->prot & PT_WRITE ? "writable" : "not writable", same ? "shared" : "there twice");
    CHECK(t, same || memcmp(phys_to_virt(of_a.pa), phys_to_virt(of_b.pa), PAGE_SIZE) == 0,
          "%llx differs between two processes", (unsigned long long)va);
}

/* What a process may do to its own text: make it writable, and write. The other one's stays as it was. */
static void write_to_text(struct test *t, struct space *a, struct space *b, vaddr_t va)
{
    const struct fault_access write = {.write = true, .user = true};
    paddr_t frame = space_query(b, va).pa;
    CHECK(t, region_fault(a, va, write) == FAULT_REFUSED, "text is writable");
    err_t e = region_protect(a, va, va + PAGE_SIZE, PT_WRITE | PT_USER);
    CHECK(t, e == ERR_OK, "no new rights: %s", err_name(e));
    CHECK(t, !(space_query(a, va).prot & PT_WRITE), "the frame of all processes is writable for one");
    CHECK(t, region_fault(a, va, write) == FAULT_RETRY, "a write is not explained");
    struct pt_entry own = space_query(a, va);
    CHECK(t, (own.prot & PT_WRITE) && own.pa.v != frame.v,
          "the write would go into the frame of all processes");
    CHECK(t, memcmp(phys_to_virt(own.pa), phys_to_virt(frame), PAGE_SIZE) == 0, "the copy differs");
    CHECK(t, space_query(b, va).pa.v == frame.v, "the other process has lost its text");
}

static void program_text_is_shared(struct test *t)
{
    struct process *a, *b;
    u32 pages = 0;
    const struct program *p = program_find("responder");
    REQUIRE(t, p && process_create_from(p, &a) == ERR_OK, "no process");
    if (CHECK(t, process_create_from(p, &b) == ERR_OK, "no second process")) {
        for (u32 i = 0; i < p->image.segment_count; i++) {
            const struct elf_segment *s = &p->image.segment[i];
            for (vaddr_t va = ALIGN_DOWN(s->start, PAGE_SIZE); va < s->start + s->file_bytes;
                 va += PAGE_SIZE) {
                look_at(t, process_space(a), process_space(b), s, va);
                pages += !(s->prot & PT_WRITE);
            }
        }
        write_to_text(t, process_space(a), process_space(b), ALIGN_DOWN(p->image.entry, PAGE_SIZE));
        process_unref(b);
    }
    process_unref(a);
    CHECK(t, pages > 0, "the program has no text");
    test_note(t, "%u pages", pages);
}
TEST(program_text_is_shared, "processes of a program share what none may write, until one makes it its own");
