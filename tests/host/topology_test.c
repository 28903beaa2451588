/* Where a CPU sits, by its APIC id.
 *
 *     sources: lib/string.c
 *     sanitize: address,undefined
 */
#include "smp/topology.h"
#include "tests/host/host.h"

static bool is(struct topology t, u32 package, u32 core, u32 thread)
{
    return t.package == package && t.core == core && t.thread == thread;
}

HOST_TEST(ids_are_split_by_the_bits_of_each_level)
{
    HOST_CHECK(is(topology_split(0, 1, 4), 0, 0, 0), "the first");
    HOST_CHECK(is(topology_split(0x17, 1, 4), 1, 3, 1), "package 1, core 3, thread 1");
    HOST_CHECK(is(topology_split(0x17, 0, 4), 1, 7, 0), "no hyper-threads");
    HOST_CHECK(is(topology_split(5, 0, 0), 5, 0, 0), "a package for each CPU, as QEMU's sockets=N");
    HOST_CHECK(is(topology_split(0xfffffffe, 1, 31), 1, 0x3fffffff, 0),
               "the largest id and shift that there are");
    HOST_CHECK(is(topology_split(0xfffffffe, 0, 32), 0, 0xfffffffe, 0),
               "no leaf: all are cores of package 0");
}
