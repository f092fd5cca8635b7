/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was put aside comes back in the order of its times, and places are
 * bounded.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "io/chain_parked.h"

static struct tri_parking parking;

TestSuite(chain_parked);

Test(chain_parked, the_earliest_comes_first)
{
    static const uint64_t times[] = {30, 10, 20};
    struct tri_parked *first;

    cr_assert_eq(tri_parking_open(&parking), 0);
    cr_assert_eq(tri_parking_due_ns(&parking), TRI_NEVER);
    for (uint8_t i = 0; i < 3; i++) {
        cr_assert_not_null(tri_parking_put(&parking, TRI_PARKED_ANSWER, times[i], &i, 1));
    }
    for (uint64_t due_ns = 10; due_ns <= 30; due_ns += 10) {
        cr_assert_eq(tri_parking_due_ns(&parking), due_ns);
        first = tri_parking_first(&parking);
        cr_assert_eq(times[*tri_parking_room(&parking, first)], due_ns);
        tri_parking_free(&parking, first);
    }
    cr_assert_null(tri_parking_first(&parking));
    tri_parking_close(&parking);
}

Test(chain_parked, what_waits_for_the_next_frame_becomes_due_with_it)
{
    cr_assert_eq(tri_parking_open(&parking), 0);
    tri_parking_put(&parking, TRI_PARKED_FRAME, 50, NULL, 0);
    tri_parking_put(&parking, TRI_PARKED_FRAME, 90, NULL, 0)->after_next = true;
    tri_parking_release(&parking);
    cr_assert_eq(tri_parking_due_ns(&parking), 0);
    tri_parking_free(&parking, tri_parking_first(&parking));
    cr_assert_eq(tri_parking_due_ns(&parking), 50);
    tri_parking_close(&parking);
}

Test(chain_parked, full_is_full)
{
    cr_assert_eq(tri_parking_open(&parking), 0);
    for (uint32_t i = 0; i < TRI_PARKED_MAX; i++) {
        cr_assert_not_null(tri_parking_put(&parking, TRI_PARKED_FRAME, i, NULL, 0));
    }
    cr_assert_null(tri_parking_put(&parking, TRI_PARKED_FRAME, 0, NULL, 0));
    tri_parking_free(&parking, tri_parking_first(&parking));
    cr_assert_not_null(tri_parking_put(&parking, TRI_PARKED_FRAME, 0, NULL, 0));
    tri_parking_close(&parking);
}

Test(chain_parked, closed_takes_nothing)
{
    struct tri_parking closed = {0};

    cr_assert_null(tri_parking_put(&closed, TRI_PARKED_FRAME, 0, NULL, 0));
}
