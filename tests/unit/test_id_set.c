/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids are added in an order that a seed draws, through every growth of the table, and each is new
 * once.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "io/id_set.h"

#define IDS 50000U

static int add(struct tri_id_set *set, uint32_t number)
{
    char text[32];
    int bytes = snprintf(text, sizeof(text), "order-%u", number);

    return tri_id_set_add(set, (struct tri_text){text, (uint32_t)bytes});
}

Test(id_set, D04_an_id_is_new_once)
{
    struct tri_id_set set;

    tri_id_set_init(&set, UINT64_C(0x9e3779b97f4a7c15));
    for (uint32_t i = 0; i < IDS; i++) {
        cr_assert_eq(add(&set, i), 1, "id %u", i);
        cr_assert_eq(add(&set, i / 2), 0, "id %u after %u", i / 2, i);
    }
    for (uint32_t i = 0; i < IDS; i++) {
        cr_assert_eq(add(&set, i), 0, "id %u", i);
    }
    cr_assert_eq(set.count, IDS);
    tri_id_set_fini(&set);
}

Test(id_set, any_random_number_will_do)
{
    static const uint64_t randoms[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63};

    for (uint32_t r = 0; r < sizeof(randoms) / sizeof(randoms[0]); r++) {
        struct tri_id_set set;

        tri_id_set_init(&set, randoms[r]);
        for (uint32_t i = 0; i < 2000; i++) {
            cr_assert_eq(add(&set, i), 1);
        }
        cr_assert_eq(add(&set, 1999), 0);
        tri_id_set_fini(&set);
    }
}

Test(id_set, an_id_is_its_bytes_and_its_length)
{
    struct tri_id_set set;

    tri_id_set_init(&set, 7);
    cr_assert_eq(tri_id_set_add(&set, (struct tri_text){"ab", 1}), 1);
    cr_assert_eq(tri_id_set_add(&set, (struct tri_text){"ab", 2}), 1);
    cr_assert_eq(tri_id_set_add(&set, (struct tri_text){"a\0b", 3}), 1);
    cr_assert_eq(tri_id_set_add(&set, (struct tri_text){"a\0c", 3}), 1);
    cr_assert_eq(tri_id_set_add(&set, (struct tri_text){"ac", 1}), 0);
    tri_id_set_fini(&set);
}
