/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every primary record belongs to one epoch, epochs are consecutive, and one that is called
 * closed gets no record any more, whatever the order of records and flushes.
 * Method: the rules one by one; then every story of records and flushes up to a length.
 */
#include <criterion/criterion.h>

#include "engine/epoch.h"

Test(epoch, F01_a_lone_record_is_an_epoch_of_its_own)
{
    struct tri_epoch epoch = {0};

    cr_assert_eq(tri_epoch_closed(&epoch), 0);
    cr_assert_eq(tri_epoch_join(&epoch, 5, 100, false), 1);
    cr_assert_eq(tri_epoch_closed(&epoch), 0);
    tri_epoch_durable(&epoch, 4);
    cr_assert_eq(tri_epoch_closed(&epoch), 0, "its record is not durable yet");
    tri_epoch_durable(&epoch, 5);
    cr_assert_eq(tri_epoch_closed(&epoch), 1);
    cr_assert_eq(tri_epoch_join(&epoch, 6, 100, false), 2);
}

Test(epoch, F01_records_join_until_the_first_is_durable)
{
    struct tri_epoch epoch = {0};

    cr_assert_eq(tri_epoch_join(&epoch, 10, 1, false), 1);
    cr_assert_eq(tri_epoch_join(&epoch, 11, 1, false), 1);
    cr_assert_eq(tri_epoch_join(&epoch, 40, 1, false), 1);
    tri_epoch_durable(&epoch, 10);
    cr_assert_eq(tri_epoch_closed(&epoch), 1, "though 40 is not durable");
    cr_assert_eq(tri_epoch_join(&epoch, 41, 1, false), 2);
    tri_epoch_durable(&epoch, 40);
    cr_assert_eq(tri_epoch_closed(&epoch), 1);
}

Test(epoch, F01_a_full_epoch_closes)
{
    struct tri_epoch epoch = {0};

    for (uint32_t i = 1; i <= TRI_EPOCH_MESSAGES_MAX; i++) {
        cr_assert_eq(tri_epoch_join(&epoch, i, 1, false), 1);
    }
    cr_assert_eq(tri_epoch_join(&epoch, TRI_EPOCH_MESSAGES_MAX + 1, 1, false), 2);
    cr_assert_eq(tri_epoch_closed(&epoch), 1);
    cr_assert_eq(tri_epoch_join(&epoch, 5000, TRI_EPOCH_BYTES_MAX, false), 2, "it holds little");
    cr_assert_eq(tri_epoch_join(&epoch, 5001, 1, false), 3, "it holds much");
}

Test(epoch, F06_forced_messages_have_epochs_of_their_own)
{
    struct tri_epoch epoch = {0};

    cr_assert_eq(tri_epoch_join(&epoch, 1, 1, false), 1);
    cr_assert_eq(tri_epoch_join(&epoch, 2, 1, true), 2);
    cr_assert_eq(tri_epoch_join(&epoch, 3, 1, true), 2);
    cr_assert_eq(tri_epoch_closed(&epoch), 1);
    cr_assert_eq(tri_epoch_join(&epoch, 4, 1, false), 3);
}

/* A story is a number: bit i says whether step i appends a record or flushes one more. */
Test(epoch, F08_no_story_adds_to_a_closed_epoch)
{
    for (uint32_t story = 0; story < 1U << 16; story++) {
        struct tri_epoch epoch = {0};
        uint64_t lsn = 0;
        uint64_t durable_lsn = 0;
        uint64_t closed = 0;
        uint64_t before = 0;

        for (uint32_t step = 0; step < 16; step++) {
            if ((story >> step & 1U) != 0) {
                uint64_t number = tri_epoch_join(&epoch, ++lsn, 1, false);

                cr_assert_gt(number, closed, "story %x, step %u", story, step);
                cr_assert_leq(number - before, 1, "story %x, step %u", story, step);
                before = number;
            } else if (durable_lsn < lsn) {
                tri_epoch_durable(&epoch, ++durable_lsn);
            }
            cr_assert_geq(tri_epoch_closed(&epoch), closed, "story %x, step %u", story, step);
            closed = tri_epoch_closed(&epoch);
        }
        while (durable_lsn < lsn) {
            tri_epoch_durable(&epoch, ++durable_lsn);
        }
        cr_assert_eq(tri_epoch_closed(&epoch), before, "story %x: all is durable", story);
    }
}
