/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: slots never overlap, none is lost, and a request is refused exactly
 * when no slot that fits is free.
 *
 * Method: known sequences; the n-th request failing for each n; then random
 * takes and gives against a model that counts free slots, each taken slot filled
 * with its own pattern from end to end.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/arena.h"

static struct tri_arena *open_arena(const struct tri_arena_options *options)
{
    size_t bytes = tri_arena_footprint(options);
    void *memory;

    cr_assert_neq(bytes, 0);
    cr_assert_eq(bytes % 64, 0);
    memory = aligned_alloc(64, bytes);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes); /* init must not count on zeroed memory */
    return tri_arena_init(memory, options);
}

static uint32_t take(struct tri_arena *arena, uint32_t bytes)
{
    uint32_t handle = TRI_NONE_INDEX;

    cr_assert_eq(tri_arena_take(arena, bytes, &handle), TRI_OK);
    return handle;
}

Test(arena, a_request_gets_the_smallest_class_that_fits)
{
    static const struct tri_arena_options options = {3, {64, 128, 4096}, {2, 2, 2}};
    struct tri_arena *arena = open_arena(&options);

    cr_assert_eq(tri_arena_class(take(arena, 0)), 0);
    cr_assert_eq(tri_arena_class(take(arena, 64)), 0);
    cr_assert_eq(tri_arena_class(take(arena, 65)), 1);
    cr_assert_eq(tri_arena_class(take(arena, 129)), 2);
    cr_assert_eq(tri_arena_free_count(arena, 0), 0);
    cr_assert_eq(tri_arena_free_count(arena, 1), 1);
    cr_assert_eq(tri_arena_free_count(arena, 2), 1);
    cr_assert_eq(tri_arena_class_bytes(arena, 1), 128);
    free(arena);
}

Test(arena, R08_a_full_class_borrows_from_the_next_larger_and_then_refuses)
{
    static const struct tri_arena_options options = {3, {8, 16, 24}, {1, 0, 2}};
    struct tri_arena *arena = open_arena(&options);
    uint32_t handle = 77;
    uint32_t first = take(arena, 8);

    cr_assert_eq(tri_arena_class(first), 0);
    cr_assert_eq(tri_arena_class(take(arena, 8)), 2);
    cr_assert_eq(tri_arena_class(take(arena, 16)), 2);
    cr_assert_eq(tri_arena_take(arena, 1, &handle), TRI_FULL);
    cr_assert_eq(handle, 77);
    tri_arena_give(arena, first);
    cr_assert_eq(tri_arena_take(arena, 9, &handle), TRI_FULL);
    cr_assert_eq(take(arena, 1), first);
    free(arena);
}

Test(arena, nothing_is_larger_than_the_largest_class_with_slots)
{
    static const struct tri_arena_options options = {3, {8, 16, 24}, {1, 3, 0}};
    struct tri_arena *arena = open_arena(&options);
    uint32_t handle;

    cr_assert_eq(tri_arena_take(arena, 17, &handle), TRI_FULL);
    cr_assert_eq(tri_arena_take(arena, UINT32_MAX, &handle), TRI_FULL);
    cr_assert_eq(tri_arena_take(arena, 16, &handle), TRI_OK);
    free(arena);
}

Test(arena, the_slot_given_back_last_is_taken_first)
{
    static const struct tri_arena_options options = {1, {64}, {4}};
    struct tri_arena *arena = open_arena(&options);
    uint32_t a = take(arena, 64);
    uint32_t b = take(arena, 64);
    uint32_t c = take(arena, 64);

    tri_arena_give(arena, a);
    tri_arena_give(arena, c);
    tri_arena_give(arena, b);
    cr_assert_eq(take(arena, 64), b);
    cr_assert_eq(take(arena, 64), c);
    cr_assert_eq(take(arena, 64), a);
    free(arena);
}

Test(arena, slots_are_aligned)
{
    static const struct tri_arena_options options = {3, {8, 64, 448}, {5, 5, 5}};
    struct tri_arena *arena = open_arena(&options);
    uint32_t i;

    for (i = 0; i < 5; i++) {
        cr_assert_eq((uintptr_t)tri_arena_at(arena, take(arena, 8)) % 8, 0);
        cr_assert_eq((uintptr_t)tri_arena_at(arena, take(arena, 64)) % 64, 0);
        cr_assert_eq((uintptr_t)tri_arena_at(arena, take(arena, 448)) % 64, 0);
    }
    free(arena);
}

Test(arena, invalid_options_have_no_footprint)
{
    static const struct tri_arena_options wrong[] = {
        {0, {8}, {1}},
        {9, {8, 16, 24, 32, 40, 48, 56, 64}, {1}},
        {1, {0}, {1}},
        {1, {12}, {1}},
        {1, {(1U << 24) + 8}, {1}},
        {2, {16, 16}, {1, 1}},
        {2, {16, 8}, {1, 1}},
        {1, {8}, {TRI_ARENA_SLOTS_MAX + 1}},
        {2, {8, 16}, {0, 0}},
    };
    size_t i;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(tri_arena_footprint(&wrong[i]), 0, "options %zu", i);
    }
}

/* For each n, the request after n others is the first to fail, and all n can be given back and
 * taken again. */
Test(arena, R08_the_nth_request_fails_for_each_n)
{
    uint32_t n;

    for (n = 1; n <= 130; n++) {
        struct tri_arena_options options = {2, {8, 64}, {n / 2, n - n / 2}};
        struct tri_arena *arena = open_arena(&options);
        uint32_t handles[130];
        uint32_t handle;
        uint32_t turn;
        uint32_t i;

        for (turn = 0; turn < 3; turn++) {
            for (i = 0; i < n; i++) {
                handles[i] = take(arena, 1);
            }
            cr_assert_eq(tri_arena_take(arena, 1, &handle), TRI_FULL, "n %u", n);
            for (i = 0; i < n; i++) {
                tri_arena_give(arena, handles[(i + turn) % n]);
            }
            cr_assert_eq(tri_arena_free_count(arena, 0) + tri_arena_free_count(arena, 1), n);
        }
        free(arena);
    }
}

Test(arena, giving_a_slot_back_twice_is_caught, .signal = SIGABRT)
{
    static const struct tri_arena_options options = {1, {8}, {2}};
    struct tri_arena *arena = open_arena(&options);
    uint32_t handle = take(arena, 8);

    tri_arena_give(arena, handle);
    tri_arena_give(arena, handle);
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static const struct tri_arena_options random_options = {4, {8, 40, 64, 256}, {30, 70, 10, 65}};

struct held {
    uint32_t handle;
    unsigned char pattern;
};

static void check_pattern(const struct tri_arena *arena, const struct held *held)
{
    const unsigned char *at = tri_arena_at(arena, held->handle);
    uint32_t bytes = tri_arena_class_bytes(arena, tri_arena_class(held->handle));
    uint32_t i;

    for (i = 0; i < bytes; i++) {
        cr_assert_eq(at[i], held->pattern, "handle %x was overwritten", held->handle);
    }
}

Test(arena, random_takes_and_gives_agree_with_the_model)
{
    struct tri_arena *arena = open_arena(&random_options);
    struct held held[175];
    uint32_t held_count = 0;
    uint32_t free_count[4] = {30, 70, 10, 65};
    uint64_t state = 5;
    uint32_t step;
    uint32_t i;

    for (step = 0; step < 200000; step++) {
        bool grow = random_next(&state) % 100 < (step / 1000 % 2 == 0 ? 65 : 35);

        if (grow) {
            uint32_t bytes = (uint32_t)(random_next(&state) % 300);
            uint32_t handle = TRI_NONE_INDEX;
            uint32_t expected = 0;

            while (expected < 4 &&
                   (random_options.class_bytes[expected] < bytes || free_count[expected] == 0)) {
                expected++;
            }
            if (expected == 4) {
                cr_assert_eq(tri_arena_take(arena, bytes, &handle), TRI_FULL, "step %u", step);
                continue;
            }
            cr_assert_eq(tri_arena_take(arena, bytes, &handle), TRI_OK, "step %u", step);
            cr_assert_eq(tri_arena_class(handle), expected, "step %u", step);
            free_count[expected]--;
            held[held_count].handle = handle;
            held[held_count].pattern = (unsigned char)step;
            memset(tri_arena_at(arena, handle), (unsigned char)step,
                   random_options.class_bytes[expected]);
            held_count++;
        } else if (held_count > 0) {
            uint32_t victim = (uint32_t)(random_next(&state) % held_count);

            check_pattern(arena, &held[victim]);
            tri_arena_give(arena, held[victim].handle);
            free_count[tri_arena_class(held[victim].handle)]++;
            held[victim] = held[--held_count];
        }
        for (i = 0; i < 4; i++) {
            cr_assert_eq(tri_arena_free_count(arena, i), free_count[i], "step %u", step);
        }
    }
    free(arena);
}
