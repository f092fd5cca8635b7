/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a list keeps its number and its contents for the table's life, and no
 * two lists share a number.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/targets.h"

static struct tri_targets *open_targets(uint32_t sets_max)
{
    size_t bytes = tri_targets_footprint(sets_max);
    void *memory = malloc(bytes);

    cr_assert_neq(bytes, 0);
    cr_assert_eq(bytes % 8, 0);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes);
    return tri_targets_init(memory, sets_max);
}

Test(targets, arguments_out_of_range_have_no_footprint)
{
    cr_assert_eq(tri_targets_footprint(0), 0);
    cr_assert_eq(tri_targets_footprint(65536), 0);
    cr_assert_neq(tri_targets_footprint(65535), 0);
}

Test(targets, the_same_list_has_the_same_number)
{
    static const uint16_t a[] = {8, 9, 10};
    static const uint16_t b[] = {8, 9, 11};
    static const uint16_t c[] = {8, 9, 12};
    struct tri_targets *targets = open_targets(3);
    uint16_t id = tri_targets_intern(targets, a, 3);

    cr_assert_neq(tri_targets_intern(targets, b, 3), id);
    cr_assert_eq(tri_targets_intern(targets, a, 3), id);
    cr_assert_neq(tri_targets_intern(targets, c, 3), TRI_TARGETS_NONE, "a was kept once");
    free(targets);
}

Test(targets, order_and_length_tell_lists_apart)
{
    static const uint16_t a[] = {1, 2, 3};
    static const uint16_t b[] = {2, 1, 3};
    struct tri_targets *targets = open_targets(4);
    uint16_t ids[3];
    uint32_t count = 0;
    const uint16_t *chains;

    ids[0] = tri_targets_intern(targets, a, 3);
    ids[1] = tri_targets_intern(targets, b, 3);
    ids[2] = tri_targets_intern(targets, a, 2);
    cr_assert_neq(ids[0], ids[1]);
    cr_assert_neq(ids[0], ids[2]);
    cr_assert_neq(ids[1], ids[2]);
    chains = tri_targets_get(targets, ids[1], &count);
    cr_assert_eq(count, 3);
    cr_assert_eq(chains[0], 2);
    cr_assert_eq(chains[1], 1);
    cr_assert_eq(chains[2], 3);
    (void)tri_targets_get(targets, ids[2], &count);
    cr_assert_eq(count, 2);
    free(targets);
}

/* For each n, n lists of the greatest length fit and the next new one does not; those that are kept
 * are found as before. */
Test(targets, R08_a_full_table_refuses_new_lists_and_keeps_the_old)
{
    uint32_t n;

    for (n = 1; n <= 70; n++) {
        struct tri_targets *targets = open_targets(n);
        uint16_t chains[64];
        uint32_t i;
        uint32_t k;

        for (k = 0; k < 64; k++) {
            chains[k] = (uint16_t)(k * 16);
        }
        for (i = 0; i < n; i++) {
            chains[0] = (uint16_t)i;
            cr_assert_eq(tri_targets_intern(targets, chains, 64), i);
        }
        chains[0] = (uint16_t)n;
        cr_assert_eq(tri_targets_intern(targets, chains, 64), TRI_TARGETS_NONE);
        for (i = 0; i < n; i++) {
            uint32_t count;

            chains[0] = (uint16_t)i;
            cr_assert_eq(tri_targets_intern(targets, chains, 64), i);
            cr_assert_arr_eq(tri_targets_get(targets, (uint16_t)i, &count), chains, 128);
            cr_assert_eq(count, 64);
        }
        free(targets);
    }
}

Test(targets, the_largest_table_can_be_filled)
{
    struct tri_targets *targets = open_targets(TRI_TARGETS_SETS_MAX);
    uint32_t i;

    for (i = 0; i < TRI_TARGETS_SETS_MAX; i++) {
        uint16_t chains[2] = {(uint16_t)(i % 1024), (uint16_t)(i / 1024)};

        cr_assert_eq(tri_targets_intern(targets, chains, 2), i);
    }
    for (i = 0; i < TRI_TARGETS_SETS_MAX; i++) {
        uint32_t count;
        const uint16_t *chains = tri_targets_get(targets, (uint16_t)i, &count);

        cr_assert_eq(chains[0], i % 1024);
        cr_assert_eq(chains[1], i / 1024);
        cr_assert_eq(count, 2);
    }
    free(targets);
}
