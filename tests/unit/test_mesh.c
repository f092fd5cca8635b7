/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: records of any size cross between two shards in order; credit is
 * exact; sleep is announced and taken back.
 * Method: one thread plays both sides; the threads' part is in
 * tests/stress/stress_mesh.c.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "shards/mesh.h"

static struct tri_mesh *mesh_of(uint32_t shards, uint32_t blocks)
{
    void *memory = aligned_alloc(TRI_CACHE_LINE, tri_mesh_footprint(shards, blocks));

    cr_assert_not_null(memory);
    return tri_mesh_init(memory, shards, blocks, UINT_MAX - 1);
}

static bool put(struct tri_mesh *mesh, uint32_t from, uint32_t to, enum tri_lane lane,
                uint32_t bytes, uint8_t fill)
{
    void *room = tri_mesh_reserve(mesh, from, to, lane, bytes);

    if (room == NULL) {
        return false;
    }
    cr_assert_eq((uintptr_t)room % 8, 0);
    memset(room, fill, bytes);
    tri_mesh_commit(mesh, from, to, lane, bytes);
    return true;
}

/* Takes one record and checks that all its bytes are `fill`; returns its size, 0 if there is none.
 */
static uint32_t get(struct tri_mesh *mesh, uint32_t to, uint32_t from, enum tri_lane lane,
                    uint8_t fill)
{
    uint32_t bytes = 0;
    const uint8_t *record = tri_mesh_peek(mesh, to, from, lane, &bytes);

    if (record == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        cr_assert_eq(record[i], fill);
    }
    tri_mesh_pop(mesh, to, from, lane);
    return bytes;
}

Test(mesh, records_stay_at_home_until_they_are_published)
{
    struct tri_mesh *mesh = mesh_of(2, 2);

    cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, 10, 1));
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), 0);
    tri_mesh_publish(mesh, 0);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_DELIVER, 1), 0);
    cr_expect_eq(get(mesh, 0, 1, TRI_LANE_STEP, 1), 0);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), 10);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), 0);
    free(mesh);
}

Test(mesh, every_size_arrives_whole_and_in_order)
{
    struct tri_mesh *mesh = mesh_of(2, 4);
    uint32_t bytes = 1;
    uint32_t count = 0;

    while (bytes <= TRI_MESH_RECORD_BYTES_MAX) {
        for (uint32_t i = 0; i < 3; i++) {
            cr_assert(put(mesh, 0, 1, TRI_LANE_DELIVER, bytes, (uint8_t)(count + i)));
        }
        tri_mesh_publish(mesh, 0);
        for (uint32_t i = 0; i < 3; i++) {
            cr_assert_eq(get(mesh, 1, 0, TRI_LANE_DELIVER, (uint8_t)(count + i)), bytes);
        }
        count++;
        bytes = bytes < 40 ? bytes + 1 : bytes * 9 / 8;
    }
    cr_assert(put(mesh, 0, 1, TRI_LANE_DELIVER, TRI_MESH_RECORD_BYTES_MAX, 7));
    tri_mesh_publish(mesh, 0);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_DELIVER, 7), TRI_MESH_RECORD_BYTES_MAX);
    free(mesh);
}

Test(mesh, less_than_reserved_may_be_committed)
{
    struct tri_mesh *mesh = mesh_of(2, 1);
    uint8_t *room = tri_mesh_reserve(mesh, 0, 1, TRI_LANE_STEP, 100);

    cr_assert_not_null(room);
    memset(room, 3, 20);
    tri_mesh_commit(mesh, 0, 1, TRI_LANE_STEP, 20);
    cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, 5, 4));
    cr_assert_not_null(tri_mesh_reserve(mesh, 0, 1, TRI_LANE_STEP, 50)); /* and never committed */
    tri_mesh_publish(mesh, 0);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 3), 20);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 4), 5);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 4), 0);
    free(mesh);
}

Test(mesh, credit_is_as_many_blocks_as_there_are)
{
    for (uint32_t blocks = 1; blocks <= 5; blocks++) {
        struct tri_mesh *mesh = mesh_of(2, blocks);

        for (uint32_t round = 0; round < 20; round++) {
            for (uint32_t i = 0; i < blocks; i++) {
                cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, TRI_MESH_BLOCK_FULL_BYTES, (uint8_t)i));
            }
            cr_expect_not(put(mesh, 0, 1, TRI_LANE_STEP, 1, 0));
            /* The other lane and the other direction have credit of their own. */
            cr_expect_not_null(tri_mesh_reserve(mesh, 0, 1, TRI_LANE_DELIVER, 1));
            cr_expect_not_null(tri_mesh_reserve(mesh, 1, 0, TRI_LANE_STEP, 1));
            for (uint32_t i = 0; i < blocks; i++) {
                cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, (uint8_t)i), TRI_MESH_BLOCK_FULL_BYTES);
            }
        }
        cr_expect_eq(tri_mesh_blocks_sent(mesh, 0), 20 * blocks);
        free(mesh);
    }
}

Test(mesh, small_records_share_a_block_and_a_full_one_leaves_at_once)
{
    struct tri_mesh *mesh = mesh_of(2, 2);

    for (uint32_t i = 0; i < 100; i++) {
        cr_assert(
            put(mesh, 0, 1, TRI_LANE_STEP, 100, 1)); /* 112 bytes each, with head and padding */
    }
    cr_expect_eq(tri_mesh_blocks_sent(mesh, 0), 0);
    for (uint32_t i = 100; i < 147; i++) {
        cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, 100, 1));
    }
    cr_expect_eq(tri_mesh_blocks_sent(mesh, 0), 1); /* 147 x 112 >= 16384 */
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), 100);
    free(mesh);
}

Test(mesh, sleeper_is_named_once_to_the_first_who_has_news)
{
    struct tri_mesh *mesh = mesh_of(3, 2);

    cr_assert(tri_mesh_sleep(mesh, 2, true));
    tri_mesh_publish(mesh, 0);
    cr_expect_eq(tri_mesh_sleepers(mesh, 0), 0);
    cr_assert(put(mesh, 0, 2, TRI_LANE_DELIVER, 8, 1));
    cr_assert(put(mesh, 1, 2, TRI_LANE_DELIVER, 8, 1));
    tri_mesh_publish(mesh, 0);
    cr_expect_eq(tri_mesh_sleepers(mesh, 0), 4);
    cr_expect_eq(tri_mesh_sleepers(mesh, 0), 0);
    tri_mesh_publish(mesh, 1);
    cr_expect_eq(tri_mesh_sleepers(mesh, 1), 0);
    free(mesh);
}

Test(mesh, nobody_sleeps_over_a_record_that_it_takes)
{
    struct tri_mesh *mesh = mesh_of(2, 2);

    cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, 8, 1));
    cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, 8, 1));
    tri_mesh_publish(mesh, 0);
    cr_expect_not(tri_mesh_sleep(mesh, 1, true));
    cr_expect(tri_mesh_sleep(mesh, 1, false)); /* it cannot take steps now */
    tri_mesh_awake(mesh, 1);
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), 8);
    cr_expect_not(tri_mesh_sleep(mesh, 1, true)); /* half a block is left */
    cr_expect_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), 8);
    cr_expect(tri_mesh_sleep(mesh, 1, true));
    free(mesh);
}

Test(mesh, who_lacks_credit_is_woken_by_its_return_and_nobody_else)
{
    struct tri_mesh *mesh = mesh_of(2, 1);

    cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, TRI_MESH_BLOCK_FULL_BYTES, 1));
    cr_assert(tri_mesh_sleep(mesh, 0, true)); /* it wants nothing */
    cr_assert_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), TRI_MESH_BLOCK_FULL_BYTES);
    cr_expect_eq(tri_mesh_sleepers(mesh, 1), 0);
    tri_mesh_awake(mesh, 0);
    cr_assert(put(mesh, 0, 1, TRI_LANE_STEP, TRI_MESH_BLOCK_FULL_BYTES, 1));
    cr_assert_not(put(mesh, 0, 1, TRI_LANE_STEP, 1, 1));
    cr_assert(tri_mesh_sleep(mesh, 0, true));
    cr_assert_eq(get(mesh, 1, 0, TRI_LANE_STEP, 1), TRI_MESH_BLOCK_FULL_BYTES);
    cr_expect_eq(tri_mesh_sleepers(mesh, 1), 1);
    /* Credit that came home before the sleep keeps awake once. */
    cr_expect_not(tri_mesh_sleep(mesh, 0, true));
    cr_expect(tri_mesh_sleep(mesh, 0, true));
    free(mesh);
}
