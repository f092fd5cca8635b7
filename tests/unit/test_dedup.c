/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an entry is found from its insertion until its removal, whatever lies
 * between its home and its place, and the sweep removes what is over and
 * nothing else.
 *
 * Method: keys whose homes are chosen.  Every story of inserts and removals of
 * a few keys that collide across the end of a small table, then random stories
 * against an array.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dedup.h"

static struct tri_dedup *open_dedup(uint32_t entries_max)
{
    size_t bytes = tri_dedup_footprint(entries_max);
    void *memory;

    cr_assert_neq(bytes, 0);
    cr_assert_eq(bytes % 64, 0);
    memory = aligned_alloc(64, bytes);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes);
    return tri_dedup_init(memory, entries_max);
}

static struct tri_key key_of(uint64_t lo, uint64_t hi)
{
    return (struct tri_key){lo, hi};
}

static void close_entry(struct tri_dedup_entry *entry, uint32_t expires_s)
{
    entry->flags |= TRI_DEDUP_CLOSED;
    entry->expires_s = expires_s;
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

Test(dedup, an_entry_is_one_cache_line_and_the_load_at_most_seven_eighths)
{
    cr_assert_eq(sizeof(struct tri_dedup_entry), 64);
    cr_assert_eq(tri_dedup_footprint(7), 64 + 8 * 64);
    cr_assert_eq(tri_dedup_footprint(8), 64 + 16 * 64);
    cr_assert_eq(tri_dedup_footprint(14), 64 + 16 * 64);
    cr_assert_eq(tri_dedup_footprint(15), 64 + 32 * 64);
    cr_assert_eq(tri_dedup_footprint(0), 0);
    cr_assert_eq(tri_dedup_footprint(TRI_DEDUP_ENTRIES_MAX + 1), 0);
    cr_assert_eq(tri_dedup_footprint(TRI_DEDUP_ENTRIES_MAX), 64 + (UINT64_C(1) << 27) * 64);
}

Test(dedup, the_zero_key_is_a_key_like_any_other)
{
    struct tri_dedup *dedup = open_dedup(7);
    struct tri_dedup_entry *entry;

    cr_assert_null(tri_dedup_find(dedup, key_of(0, 0)));
    entry = tri_dedup_insert(dedup, key_of(0, 0));
    cr_assert_not_null(entry);
    cr_assert_eq(entry->flags, TRI_DEDUP_USED);
    cr_assert_eq(tri_dedup_find(dedup, key_of(0, 0)), entry);
    cr_assert_null(tri_dedup_find(dedup, key_of(0, 1)));
    cr_assert_null(tri_dedup_find(dedup, key_of(8, 0)));
    tri_dedup_remove(dedup, key_of(0, 0));
    cr_assert_null(tri_dedup_find(dedup, key_of(0, 0)));
    cr_assert_eq(tri_dedup_count(dedup), 0);
    free(dedup);
}

Test(dedup, a_new_entry_is_zeroed_where_an_old_one_was)
{
    static const struct tri_dedup_entry zero;
    struct tri_dedup *dedup = open_dedup(7);
    struct tri_dedup_entry *entry = tri_dedup_insert(dedup, key_of(3, 0));

    entry->done_mask = 5;
    entry->round = 9;
    close_entry(entry, 1);
    tri_dedup_remove(dedup, key_of(3, 0));
    entry = tri_dedup_insert(dedup, key_of(3, 1));
    cr_assert_eq(entry->flags, TRI_DEDUP_USED);
    entry->flags = 0;
    entry->key.lo = 0;
    entry->key.hi = 0;
    cr_assert_eq(memcmp(entry, &zero, sizeof(zero)), 0);
    free(dedup);
}

/* For each n, n entries of one home fit and the next is refused; a removal makes room for one. */
Test(dedup, R08_the_nth_insert_fails_for_each_n)
{
    uint32_t n;

    for (n = 1; n <= 130; n++) {
        struct tri_dedup *dedup = open_dedup(n);
        uint32_t i;

        for (i = 0; i < n; i++) {
            cr_assert_not_null(tri_dedup_insert(dedup, key_of(UINT64_MAX, i)));
        }
        cr_assert_null(tri_dedup_insert(dedup, key_of(UINT64_MAX, n)));
        cr_assert_null(tri_dedup_find(dedup, key_of(UINT64_MAX, n)));
        for (i = 0; i < n; i++) {
            cr_assert_eq(tri_dedup_find(dedup, key_of(UINT64_MAX, i))->key.hi, i);
        }
        tri_dedup_remove(dedup, key_of(UINT64_MAX, n / 2));
        cr_assert_eq(tri_dedup_count(dedup), n - 1);
        cr_assert_not_null(tri_dedup_insert(dedup, key_of(UINT64_MAX, n)));
        cr_assert_not_null(tri_dedup_find(dedup, key_of(UINT64_MAX, n)));
        free(dedup);
    }
}

/* Eight places; seven keys whose homes crowd around the end: 6 6 7 7 0 0 1.  A story inserts all in
 * one of the 5,040 orders and removes them in a rotation of it; after every step all seven are
 * looked up. */
static const uint64_t homes[7] = {6, 6, 7, 7, 0, 0, 1};

static void check_seven(struct tri_dedup *dedup, unsigned present)
{
    uint32_t count = 0;
    uint32_t i;

    for (i = 0; i < 7; i++) {
        const struct tri_dedup_entry *entry = tri_dedup_find(dedup, key_of(homes[i], i));

        cr_assert_eq(entry != NULL, (present >> i & 1) != 0, "key %u", i);
        if (entry != NULL) {
            cr_assert_eq(entry->round, 100 + i);
            count++;
        }
    }
    cr_assert_eq(tri_dedup_count(dedup), count);
}

Test(dedup, collisions_across_the_end_survive_every_order_of_insert_and_removal)
{
    struct tri_dedup *dedup = open_dedup(7);
    uint32_t permutation;
    uint32_t turn;

    cr_assert_eq(tri_dedup_bucket_count(dedup), 8);
    for (permutation = 0; permutation < 5040; permutation++) {
        uint32_t order[7] = {0, 1, 2, 3, 4, 5, 6};
        uint32_t rest = permutation;
        uint32_t i;

        for (i = 7; i > 1; i--) {
            uint32_t k = rest % i;
            uint32_t swap = order[k];

            order[k] = order[i - 1];
            order[i - 1] = swap;
            rest /= i;
        }
        for (turn = 0; turn < 7; turn++) {
            unsigned present = 0;

            for (i = 0; i < 7; i++) {
                tri_dedup_insert(dedup, key_of(homes[order[i]], order[i]))->round = 100 + order[i];
                present |= 1U << order[i];
            }
            check_seven(dedup, present);
            for (i = 0; i < 7; i++) {
                uint32_t k = order[(i * 3 + turn) % 7];

                tri_dedup_remove(dedup, key_of(homes[k], k));
                present &= ~(1U << k);
                check_seven(dedup, present);
            }
        }
    }
    free(dedup);
}

Test(dedup, R06_the_sweep_removes_what_is_over_and_nothing_else)
{
    struct tri_dedup *dedup = open_dedup(7);

    close_entry(tri_dedup_insert(dedup, key_of(1, 0)), 10);
    close_entry(tri_dedup_insert(dedup, key_of(1, 1)), 11);
    tri_dedup_insert(dedup, key_of(1, 2))->expires_s = 0; /* open */
    cr_assert_eq(tri_dedup_sweep(dedup, 9, 8), 0);
    cr_assert_eq(tri_dedup_sweep(dedup, 10, 8), 1);
    cr_assert_null(tri_dedup_find(dedup, key_of(1, 0)));
    cr_assert_not_null(tri_dedup_find(dedup, key_of(1, 1)));
    cr_assert_eq(tri_dedup_sweep(dedup, UINT32_MAX, 8), 1);
    cr_assert_not_null(tri_dedup_find(dedup, key_of(1, 2)));
    cr_assert_eq(tri_dedup_count(dedup), 1);
    free(dedup);
}

Test(dedup, a_sweep_in_small_steps_misses_nothing_that_does_not_cross_the_end)
{
    uint32_t step;

    for (step = 1; step <= 64; step++) {
        struct tri_dedup *dedup = open_dedup(50);
        uint32_t removed = 0;
        uint32_t seen;
        uint32_t i;

        /* One long run in the middle: expired and living ones alternate. */
        for (i = 0; i < 40; i++) {
            close_entry(tri_dedup_insert(dedup, key_of(10, i)), i % 2 == 0 ? 5 : 500);
        }
        for (seen = 0; seen < 64; seen += step) {
            removed += tri_dedup_sweep(dedup, 5, step);
        }
        cr_assert_eq(removed, 20, "step %u", step);
        for (i = 0; i < 40; i++) {
            cr_assert_eq(tri_dedup_find(dedup, key_of(10, i)) != NULL, i % 2 == 1);
        }
        free(dedup);
    }
}

/* Two rounds remove everything, wherever it lies and whatever else is removed meanwhile. */
Test(dedup, two_rounds_of_sweeping_remove_everything_that_is_over)
{
    uint64_t state = 17;
    uint32_t story;

    for (story = 0; story < 2000; story++) {
        struct tri_dedup *dedup = open_dedup(28);
        uint32_t left = 0;
        uint32_t i;

        (void)tri_dedup_sweep(dedup, 0, (uint32_t)(random_next(&state) % 32));
        for (i = 0; i < 28; i++) {
            struct tri_dedup_entry *entry =
                tri_dedup_insert(dedup, key_of(28 + random_next(&state) % 8, i));

            if (random_next(&state) % 4 != 0) {
                close_entry(entry, 1);
            } else {
                left++;
            }
        }
        for (i = 0; i < 64; i++) {
            (void)tri_dedup_sweep(dedup, 1, 1);
        }
        cr_assert_eq(tri_dedup_count(dedup), left, "story %u", story);
        free(dedup);
    }
}

#define MODEL_KEYS 600U

struct model {
    bool present;
    bool closed;
    uint32_t expires_s;
    uint32_t mark;
};

/* Homes are spread over few places, across the end of the table, so that runs are long. */
static struct tri_key model_key(uint32_t i, uint32_t spread)
{
    return key_of((uint64_t)(i % spread) * 3 + UINT64_C(0xfffffff0), i);
}

static void tell_random_story(uint64_t seed, uint32_t entries_max, uint32_t spread)
{
    static struct model model[MODEL_KEYS];
    struct tri_dedup *dedup = open_dedup(entries_max);
    uint64_t state = seed;
    uint32_t count = 0;
    uint32_t now_s = 0;
    uint32_t step;

    memset(model, 0, sizeof(model));
    for (step = 0; step < 30000; step++) {
        uint32_t i = (uint32_t)(random_next(&state) % MODEL_KEYS);
        struct tri_key key = model_key(i, spread);
        struct tri_dedup_entry *entry = tri_dedup_find(dedup, key);
        uint32_t removed;

        cr_assert_eq(entry != NULL, model[i].present, "seed %lu step %u", seed, step);
        tri_dedup_prefetch(dedup, key);
        if (entry == NULL) {
            entry = tri_dedup_insert(dedup, key);
            cr_assert_eq(entry == NULL, count == entries_max, "seed %lu step %u", seed, step);
            if (entry != NULL) {
                model[i] = (struct model){true, false, 0, step};
                entry->round = step;
                count++;
            }
        } else {
            cr_assert_eq(entry->round, model[i].mark, "seed %lu step %u", seed, step);
            if (random_next(&state) % 3 == 0) {
                tri_dedup_remove(dedup, key);
                model[i].present = false;
                count--;
            } else if (!model[i].closed) {
                model[i].closed = true;
                model[i].expires_s = now_s + (uint32_t)(random_next(&state) % 50);
                close_entry(entry, model[i].expires_s);
            }
        }
        if (step % 10 == 0) {
            now_s++;
            removed = tri_dedup_sweep(dedup, now_s, (uint32_t)(random_next(&state) % 100));
            for (i = 0; i < MODEL_KEYS; i++) {
                if (model[i].present && tri_dedup_find(dedup, model_key(i, spread)) == NULL) {
                    cr_assert(model[i].closed, "the sweep removed an open entry");
                    cr_assert_leq(model[i].expires_s, now_s, "the sweep removed a living entry");
                    model[i].present = false;
                    removed--;
                    count--;
                }
            }
            cr_assert_eq(removed, 0);
        }
        cr_assert_eq(tri_dedup_count(dedup), count);
    }
    free(dedup);
}

Test(dedup, random_stories_agree_with_the_model)
{
    tell_random_story(1, 56, 7);
    tell_random_story(2, 112, 40);
    tell_random_story(3, 448, 600);
    tell_random_story(4, 500, 200);
    tell_random_story(5, 3, 2);
    tell_random_story(6, 1, 1);
}
