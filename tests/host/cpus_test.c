/* CPU indices: dense against any set of sparse ids, both ways; duplicates, the broadcast id and one CPU too many
 * refused.
 *
 *     sources: smp/cpus.c
 *     sanitize: address,undefined
 */
#include "smp/cpus.h"

#include "tests/host/host.h"

/* A bijection of 32-bit numbers (odd factor, so invertible): ids that are distinct, unordered and all over the
 * range. */
static apic_id_t id_of(u32 i)
{
    return i * 0x9e3779b1u;
}

HOST_TEST(an_empty_machine_knows_nobody)
{
    HOST_CHECK(cpu_count() == 0, "%u CPUs before the first cpu_add", cpu_count());
    HOST_CHECK(cpu_by_apic_id(0) == CPU_NONE, "id 0 is CPU %u", cpu_by_apic_id(0));
    HOST_CHECK(cpumask_words == 1, "%u words", cpumask_words); /* loops over masks must work before */
}

HOST_TEST(ids_and_indices_agree_while_512_cpus_are_added)
{
    HOST_CHECK(cpu_add(APIC_ID_NONE) == ERR_INVAL, "the broadcast id was taken for a CPU");
    for (u32 i = 0; i < MAX_CPUS; i++) {
        HOST_CHECK(cpu_by_apic_id(id_of(i)) == CPU_NONE, "id %x known before it was added", id_of(i));
        HOST_CHECK(cpu_add(id_of(i)) == ERR_OK, "CPU %u refused", i);
        HOST_CHECK(cpu_add(id_of(i / 2)) == ERR_EXIST, "id %x accepted twice", id_of(i / 2));
        HOST_CHECK(cpu_count() == i + 1, "%u CPUs after %u", cpu_count(), i + 1);
        HOST_CHECK(cpumask_words == i / 64 + 1, "%u words for %u CPUs", cpumask_words, i + 1);
        for (u32 j = 0; j <= i; j++)
            if (cpu_apic_id(j) != id_of(j) || cpu_by_apic_id(id_of(j)) != j)
                HOST_CHECK(false, "with %u CPUs: CPU %u has id %x, which is CPU %u", i + 1, j, cpu_apic_id(j),
                           cpu_by_apic_id(id_of(j)));
    }
    HOST_CHECK(cpu_add(id_of(MAX_CPUS)) == ERR_FULL, "a CPU past the last was accepted");
    HOST_CHECK(cpu_add(id_of(7)) == ERR_EXIST, "a duplicate on a full machine");
    HOST_CHECK(cpu_count() == MAX_CPUS, "%u CPUs", cpu_count());
}

/* Runs after the test above: all 512 are known. */
HOST_TEST(unknown_ids_are_nobody)
{
    for (u32 i = 0; i < MAX_CPUS; i++) {
        static const s32 offsets[] = {-1, 1};
        for (u32 k = 0; k < ARRAY_SIZE(offsets); k++) {
            apic_id_t near = id_of(i) + (u32)offsets[k];
            bool known = false;
            for (u32 j = 0; j < MAX_CPUS; j++)
                known |= id_of(j) == near;
            HOST_CHECK((cpu_by_apic_id(near) != CPU_NONE) == known, "id %x is CPU %u", near,
                       cpu_by_apic_id(near));
        }
    }
    HOST_CHECK(cpu_by_apic_id(APIC_ID_NONE) == CPU_NONE, "the broadcast id is CPU %u",
               cpu_by_apic_id(APIC_ID_NONE));
}

HOST_TEST(online_is_counted_in_every_word)
{
    HOST_CHECK(cpu_online_count() == 0, "%u online before any said so", cpu_online_count());
    for (cpu_t c = 0; c < MAX_CPUS; c += 63) {
        HOST_CHECK(!cpu_is_online(c), "CPU %u", c);
        cpumask_set_atomic(&cpus_online, c);
        HOST_CHECK(cpu_is_online(c), "CPU %u", c);
        HOST_CHECK(cpu_online_count() == c / 63 + 1, "%u online, expected %u", cpu_online_count(),
                   c / 63 + 1);
    }
    HOST_CHECK(!cpu_is_online(CPU_NONE) && !cpu_is_online(MAX_CPUS), "a CPU that cannot exist is online");
}
