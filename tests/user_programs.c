/* The programs of user/ as the boot medium passes them: there, whole, W^X, with symbols for the reports of their faults. */
#include "kernel/program.h"
#include "lib/string.h"
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
