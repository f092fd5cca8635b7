/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each slot has one holder, and a walk sees exactly the taken slots.
 *
 * Method: known sequences, then random takes and gives against an array of
 * flags, over sizes around the words of the bitmaps.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/pool.h"

static struct tri_pool *open_pool(uint32_t slot_bytes, uint32_t slots_max)
{
    size_t bytes = tri_pool_footprint(slot_bytes, slots_max);
    void *memory;

    cr_assert_neq(bytes, 0);
    cr_assert_eq(bytes % 64, 0);
    memory = aligned_alloc(64, bytes);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes);
    return tri_pool_init(memory, slot_bytes, slots_max);
}

static uint32_t take(struct tri_pool *pool)
{
    uint32_t index = TRI_NONE_INDEX;

    cr_assert_eq(tri_pool_take(pool, &index), TRI_OK);
    return index;
}

Test(pool, arguments_out_of_range_have_no_footprint)
{
    cr_assert_eq(tri_pool_footprint(0, 1), 0);
    cr_assert_eq(tri_pool_footprint(12, 1), 0);
    cr_assert_eq(tri_pool_footprint((1U << 20) + 8, 1), 0);
    cr_assert_eq(tri_pool_footprint(8, 0), 0);
    cr_assert_eq(tri_pool_footprint(8, TRI_POOL_SLOTS_MAX + 1), 0);
}

Test(pool, R08_every_slot_can_be_taken_and_the_next_is_refused)
{
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 10000};
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct tri_pool *pool = open_pool(8, sizes[i]);
        uint32_t index = 99;
        uint32_t k;

        for (k = 0; k < sizes[i]; k++) {
            cr_assert_eq(take(pool), k);
        }
        cr_assert_eq(tri_pool_take(pool, &index), TRI_FULL);
        cr_assert_eq(index, 99);
        cr_assert_eq(tri_pool_count(pool), sizes[i]);
        tri_pool_give(pool, sizes[i] - 1);
        cr_assert_eq(take(pool), sizes[i] - 1);
        free(pool);
    }
}

Test(pool, a_taken_slot_is_zeroed_aligned_and_stays_where_it_is)
{
    static const unsigned char zero[128];
    struct tri_pool *pool = open_pool(128, 3);
    unsigned char *base = tri_pool_base(pool);
    uint32_t turn;

    for (turn = 0; turn < 9; turn++) {
        uint32_t index = take(pool);
        unsigned char *at = base + index * 128;

        cr_assert_eq(tri_pool_base(pool), base);
        cr_assert_eq((uintptr_t)at % 64, 0);
        cr_assert_arr_eq(at, zero, 128);
        memset(at, 0xff, 128);
        if (turn % 3 == 2) {
            tri_pool_give(pool, 1);
            tri_pool_give(pool, 0);
            tri_pool_give(pool, 2);
        }
    }
    free(pool);
}

Test(pool, the_slot_given_back_last_is_taken_first)
{
    struct tri_pool *pool = open_pool(8, 4);

    (void)take(pool);
    (void)take(pool);
    (void)take(pool);
    tri_pool_give(pool, 0);
    tri_pool_give(pool, 2);
    tri_pool_give(pool, 1);
    cr_assert_eq(take(pool), 1);
    cr_assert_eq(take(pool), 2);
    cr_assert_eq(take(pool), 0);
    cr_assert_eq(take(pool), 3);
    free(pool);
}

Test(pool, giving_a_slot_back_twice_is_caught, .signal = SIGABRT)
{
    struct tri_pool *pool = open_pool(8, 2);
    uint32_t index = take(pool);

    tri_pool_give(pool, index);
    tri_pool_give(pool, index);
}

Test(pool, a_walk_skips_long_runs_of_free_slots)
{
    static const uint32_t kept[] = {0, 63, 64, 4095, 4096, 262143, 262144, 999999};
    struct tri_pool *pool = open_pool(8, 1000000);
    uint32_t from = 0;
    uint32_t i;

    cr_assert_eq(tri_pool_next(pool, 0), TRI_NONE_INDEX);
    for (i = 0; i < 1000000; i++) {
        (void)take(pool);
    }
    for (i = 0; i < 1000000; i++) {
        bool keep = false;
        size_t k;

        for (k = 0; k < sizeof(kept) / sizeof(kept[0]); k++) {
            keep = keep || kept[k] == i;
        }
        if (!keep) {
            tri_pool_give(pool, i);
        }
    }
    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        cr_assert_eq(tri_pool_next(pool, from), kept[i]);
        cr_assert_eq(tri_pool_next(pool, kept[i]), kept[i]);
        from = kept[i] + 1;
    }
    cr_assert_eq(tri_pool_next(pool, from), TRI_NONE_INDEX);
    cr_assert_eq(tri_pool_next(pool, TRI_NONE_INDEX), TRI_NONE_INDEX);
    free(pool);
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#define MODEL_SLOTS 4200U

static void tell_random_story(uint64_t seed, uint32_t slots)
{
    static bool is_taken[MODEL_SLOTS];
    struct tri_pool *pool = open_pool(16, slots);
    uint64_t state = seed;
    uint32_t taken = 0;
    uint32_t step;

    memset(is_taken, 0, sizeof(is_taken));
    for (step = 0; step < 20000; step++) {
        uint32_t index = (uint32_t)(random_next(&state) % slots);
        uint32_t next;

        if (random_next(&state) % 100 < (step / 3000 % 2 == 0 ? 80 : 20)) {
            index = TRI_NONE_INDEX;
            cr_assert_eq(tri_pool_take(pool, &index), taken < slots ? TRI_OK : TRI_FULL);
            if (index != TRI_NONE_INDEX) {
                cr_assert_not(is_taken[index], "slot %u has two holders", index);
                is_taken[index] = true;
                taken++;
            }
        } else if (is_taken[index]) {
            is_taken[index] = false;
            tri_pool_give(pool, index);
            taken--;
        }
        cr_assert_eq(tri_pool_count(pool), taken);
        index = (uint32_t)(random_next(&state) % slots);
        next = index;
        while (next < slots && !is_taken[next]) {
            next++;
        }
        cr_assert_eq(tri_pool_next(pool, index), next < slots ? next : TRI_NONE_INDEX);
    }
    free(pool);
}

Test(pool, random_stories_agree_with_the_model)
{
    static const uint32_t sizes[] = {1, 5, 64, 65, 128, 200, 4096, MODEL_SLOTS};
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tell_random_story(i + 1, sizes[i]);
    }
}
