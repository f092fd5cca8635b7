/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a phase is complete exactly when each target has answered, and each
 * counts once.  Method: every order and mix of answers of up to four targets,
 * and the bounds.
 */
#include <criterion/criterion.h>

#include "engine/tally.h"

Test(tally, P01_is_complete_when_the_last_target_has_answered)
{
    uint32_t count;

    for (count = 1; count <= 64; count++) {
        struct tri_tally tally;
        uint32_t i;

        tri_tally_open(&tally, UINT64_MAX >> (64 - count));
        for (i = 0; i < count; i++) {
            cr_assert_not(tri_tally_is_complete(&tally), "%u of %u", i, count);
            cr_assert_not(tri_tally_is_unanimous(&tally));
            cr_assert_eq(tri_tally_count(&tally, count - 1 - i, true), TRI_OK);
        }
        cr_assert(tri_tally_is_complete(&tally));
        cr_assert(tri_tally_is_unanimous(&tally));
        cr_assert_eq(tri_tally_missing(&tally), 0);
    }
}

Test(tally, the_masks_name_the_targets)
{
    struct tri_tally tally;

    tri_tally_open(&tally, UINT64_MAX);
    cr_assert_eq(tally.all, UINT64_MAX);
    tri_tally_open(&tally, 7);
    cr_assert_eq(tally.all, 7);
    cr_assert_eq(tri_tally_count(&tally, 2, false), TRI_OK);
    cr_assert_eq(tri_tally_count(&tally, 0, true), TRI_OK);
    cr_assert_eq(tally.answered, 5);
    cr_assert_eq(tally.ok, 1);
    cr_assert_eq(tri_tally_missing(&tally), 2);
}

Test(tally, P07_an_answer_counts_once_and_the_first_stands)
{
    struct tri_tally tally;

    tri_tally_open(&tally, 3);
    cr_assert_eq(tri_tally_count(&tally, 1, false), TRI_OK);
    cr_assert_eq(tri_tally_count(&tally, 1, true), TRI_STALE);
    cr_assert_eq(tri_tally_count(&tally, 1, false), TRI_STALE);
    cr_assert_eq(tally.answered, 2);
    cr_assert_eq(tally.ok, 0);
}

Test(tally, a_phase_over_some_targets_waits_for_those_alone)
{
    struct tri_tally tally;

    tri_tally_open(&tally, UINT64_C(0x8000000000000004));
    cr_assert_eq(tri_tally_count(&tally, 63, true), TRI_OK);
    cr_assert_not(tri_tally_is_complete(&tally));
    cr_assert_eq(tri_tally_missing(&tally), 4);
    cr_assert_eq(tri_tally_count(&tally, 2, false), TRI_OK);
    cr_assert(tri_tally_is_complete(&tally));
    cr_assert_not(tri_tally_is_unanimous(&tally));
}

/* All 8^6 stories of six answers (target 0..3, yes or no) to four targets. */
Test(tally, P07_every_story_of_six_answers)
{
    uint32_t story;

    for (story = 0; story < 262144; story++) {
        struct tri_tally tally;
        int said[4] = {-1, -1, -1, -1};
        uint32_t rest = story;
        uint32_t step;

        tri_tally_open(&tally, 15);
        for (step = 0; step < 6; step++) {
            uint32_t target = rest % 4;
            int ok = (int)(rest / 4 % 2);
            uint32_t i;

            rest /= 8;
            cr_assert_eq(tri_tally_count(&tally, target, ok != 0),
                         said[target] < 0 ? TRI_OK : TRI_STALE);
            if (said[target] < 0) {
                said[target] = ok;
            }
            for (i = 0; i < 4; i++) {
                cr_assert_eq(tally.ok >> i & 1, said[i] == 1, "story %u", story);
                cr_assert_eq(tally.answered >> i & 1, said[i] >= 0);
                cr_assert_eq(tri_tally_missing(&tally) >> i & 1, said[i] < 0);
            }
        }
    }
}
