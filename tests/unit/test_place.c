/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a thread can be bound to each CPU that the process may use, and memory is
 * zeroed and costs nothing before it is touched.
 *
 * Method: the test's own thread, and a mapping larger than the machine's memory.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <string.h>

#include "io/place.h"

Test(place, every_index_is_some_cpu_and_neighbours_differ)
{
    uint32_t cpus = tri_place_cpus();
    cpu_set_t before;
    int first = 0;

    cr_assert_geq(cpus, 1);
    cr_assert_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    cr_assert_eq(tri_place_pin(0), 0);
    first = sched_getcpu();
    cr_assert_eq(tri_place_cpus(), 1);
    cr_assert_eq(sched_setaffinity(0, sizeof(before), &before), 0);
    cr_assert_eq(tri_place_pin(cpus), 0);
    cr_expect_eq(sched_getcpu(), first, "indices wrap around");
    cr_assert_eq(sched_setaffinity(0, sizeof(before), &before), 0);
    if (cpus > 1) {
        cr_assert_eq(tri_place_pin(1), 0);
        cr_expect_neq(sched_getcpu(), first);
    }
}

Test(place, memory_is_zeroed_and_untouched)
{
    size_t bytes = (size_t)1 << 40;
    uint8_t *memory = tri_place_map(bytes);

    cr_assert_not_null(memory, "a terabyte of address space");
    cr_expect_eq(memory[0], 0);
    cr_expect_eq(memory[bytes - 1], 0);
    memory[bytes / 2] = 1;
    tri_place_unmap(memory, bytes);
    tri_place_unmap(NULL, 0);
}
