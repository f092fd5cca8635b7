/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a message is found from its opening until it is forgotten, whatever lies
 * between its home and its place; the sweep forgets what is over and nothing
 * else, in the second in which it is over; nothing is ever evicted.
 *
 * Method: keys whose homes are chosen.  Every story of openings and removals of a
 * few keys that collide across the end of a small index; windows of every length
 * around the borders of the lists; then random stories against an array.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dedup.h"

#define ROUNDS 1024U
#define ONE    ((struct tri_dedup_hold){1, 0})
#define TWO    ((struct tri_dedup_hold){2, 0})

/* What stands in for the rounds. */
static struct tri_key round_keys[ROUNDS];

static struct tri_dedup *open_dedup(uint32_t entries_max)
{
    size_t bytes = tri_dedup_footprint(entries_max);
    void *memory;

    cr_assert_neq(bytes, 0);
    cr_assert_eq(bytes % 64, 0);
    memory = aligned_alloc(64, bytes);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes);
    return tri_dedup_init(memory, entries_max, round_keys, sizeof(round_keys[0]));
}

/* The buckets of the index. */
static uint32_t buckets_of(uint32_t entries_max)
{
    return entries_max + entries_max / 3 + 1;
}

/* A key whose home is bucket `home` of `buckets`; `number` tells it from others. */
static struct tri_key key_at(uint32_t home, uint32_t buckets, uint64_t number)
{
    return (struct tri_key){((uint64_t)home * (UINT64_C(1) << 32) + buckets - 1) / buckets, number};
}

static struct tri_key key_of(uint64_t lo, uint64_t hi)
{
    return (struct tri_key){lo, hi};
}

static void open_one(struct tri_dedup *dedup, struct tri_key key, uint32_t round)
{
    round_keys[round] = key;
    cr_assert_eq(tri_dedup_open(dedup, key, round, ONE), TRI_OK);
}

static struct tri_dedup_entry *close_one(struct tri_dedup *dedup, struct tri_key key,
                                         uint32_t now_s, uint32_t expires_s)
{
    struct tri_dedup_entry *entry = tri_dedup_close(dedup, key, ONE, now_s, expires_s);

    cr_assert_eq(entry->expires_s, expires_s);
    return entry;
}

static enum tri_dedup_state state_of(const struct tri_dedup *dedup, struct tri_key key)
{
    return tri_dedup_find(dedup, key).state;
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

Test(dedup, R06_a_remembered_message_costs_less_than_64_bytes_with_everything)
{
    cr_assert_eq(sizeof(struct tri_dedup_entry), 52);
    cr_assert_eq(tri_dedup_footprint(0), 0);
    cr_assert_eq(tri_dedup_footprint(TRI_DEDUP_ENTRIES_MAX + 1), 0);
    cr_assert_eq(tri_dedup_footprint(1), 24704 + 64 + 64);
    cr_assert_eq(tri_dedup_footprint(1000000), 24704 + 10666688 + 52000000);
    cr_assert_leq(tri_dedup_footprint(1000000), UINT64_C(64) * 1000000);
    cr_assert_leq(tri_dedup_footprint(32768), UINT64_C(64) * 32768);
    cr_assert_leq(tri_dedup_footprint(TRI_DEDUP_ENTRIES_MAX), UINT64_C(64) * TRI_DEDUP_ENTRIES_MAX);
}

Test(dedup, the_zero_key_is_a_key_like_any_other)
{
    struct tri_dedup *dedup = open_dedup(7);
    struct tri_dedup_entry *entry;

    cr_assert_eq(state_of(dedup, key_of(0, 0)), TRI_DEDUP_UNKNOWN);
    open_one(dedup, key_of(0, 0), 5);
    cr_assert_eq(state_of(dedup, key_of(0, 0)), TRI_DEDUP_OPEN);
    cr_assert_eq(tri_dedup_find(dedup, key_of(0, 0)).round, 5);
    cr_assert_eq(state_of(dedup, key_of(0, 1)), TRI_DEDUP_UNKNOWN);
    cr_assert_eq(state_of(dedup, key_of(1, 0)), TRI_DEDUP_UNKNOWN);
    entry = close_one(dedup, key_of(0, 0), 3, 4);
    cr_assert_eq(state_of(dedup, key_of(0, 0)), TRI_DEDUP_CLOSED);
    cr_assert_eq(tri_dedup_find(dedup, key_of(0, 0)).entry, entry);
    cr_assert_eq(state_of(dedup, key_of(0, 1)), TRI_DEDUP_UNKNOWN);
    cr_assert_eq(state_of(dedup, key_of(0, UINT64_C(1) << 63)), TRI_DEDUP_UNKNOWN);
    cr_assert_eq(state_of(dedup, key_of(1, 0)), TRI_DEDUP_UNKNOWN);
    cr_assert(!tri_dedup_sweep(dedup, 4, 100));
    cr_assert_eq(state_of(dedup, key_of(0, 0)), TRI_DEDUP_UNKNOWN);
    cr_assert_eq(tri_dedup_count(dedup), 0);
    free(dedup);
}

Test(dedup, a_new_entry_is_zeroed_where_an_old_one_was)
{
    static const struct tri_hash zero;
    struct tri_dedup *dedup = open_dedup(1);
    struct tri_dedup_entry *entry;

    open_one(dedup, key_of(3, 0), 0);
    entry = close_one(dedup, key_of(3, 0), 0, 1);
    memset(&entry->hash, 0xff, sizeof(entry->hash));
    entry->epoch = 9;
    entry->masks[1] = 5;
    entry->code = 7;
    entry->kind = 3;
    entry->summary = 0xff;
    cr_assert(!tri_dedup_sweep(dedup, 1, 100));
    open_one(dedup, key_of(4, 0), 0);
    cr_assert_eq(close_one(dedup, key_of(4, 0), 1, 2), entry);
    cr_assert_eq(memcmp(&entry->hash, &zero, sizeof(zero)), 0);
    cr_assert_eq(entry->epoch, 0);
    cr_assert_eq(entry->masks[1], 0);
    cr_assert_eq(entry->code + entry->kind + entry->summary, 0);
    free(dedup);
}

/* For each n, n messages of one home fit and the next is refused, open or closed; when one is over
 * there is room for one. */
Test(dedup, P13_the_nth_message_is_refused_for_each_n_and_none_is_evicted)
{
    for (uint32_t n = 1; n <= 130; n++) {
        struct tri_dedup *dedup = open_dedup(n);

        for (uint32_t i = 0; i < n; i++) {
            open_one(dedup, key_of(UINT32_MAX, i), i);
        }
        cr_assert_eq(tri_dedup_open(dedup, key_of(UINT32_MAX, n), n, ONE), TRI_FULL);
        for (uint32_t i = 0; i < n; i++) {
            (void)close_one(dedup, key_of(UINT32_MAX, i), 10, i == n / 2 ? 70 : 71);
        }
        cr_assert(!tri_dedup_sweep(dedup, 69, 1000));
        cr_assert_eq(tri_dedup_open(dedup, key_of(UINT32_MAX, n), n, ONE), TRI_FULL);
        for (uint32_t i = 0; i < n; i++) {
            cr_assert_eq(state_of(dedup, key_of(UINT32_MAX, i)), TRI_DEDUP_CLOSED);
        }
        cr_assert(!tri_dedup_sweep(dedup, 70, 1000));
        cr_assert_eq(tri_dedup_count(dedup), n - 1);
        open_one(dedup, key_of(UINT32_MAX, n), n);
        cr_assert_eq(tri_dedup_find(dedup, key_of(UINT32_MAX, n)).round, n);
        free(dedup);
    }
}

/* Ten buckets; seven keys whose homes crowd around the end: 8 8 9 9 0 0 1.  A story opens all in
 * one of the 5,040 orders, closes them and removes them in a rotation of it; after every step all
 * seven are looked up. */
static const uint32_t homes[7] = {8, 8, 9, 9, 0, 0, 1};

static void check_seven(struct tri_dedup *dedup, unsigned present)
{
    for (uint32_t i = 0; i < 7; i++) {
        struct tri_dedup_found found = tri_dedup_find(dedup, key_at(homes[i], 10, i));

        cr_assert_eq(found.state != TRI_DEDUP_UNKNOWN, (present >> i & 1) != 0, "key %u", i);
        if (found.state == TRI_DEDUP_OPEN) {
            cr_assert_eq(found.round, i);
        } else if (found.state == TRI_DEDUP_CLOSED) {
            cr_assert_eq(found.entry->epoch, 100 + i);
        }
    }
}

static void tell_seven(struct tri_dedup *dedup, const uint32_t order[7], uint32_t turn)
{
    unsigned present = 0;

    for (uint32_t i = 0; i < 7; i++) {
        open_one(dedup, key_at(homes[order[i]], 10, order[i]), order[i]);
        present |= 1U << order[i];
        check_seven(dedup, present);
    }
    for (uint32_t i = 0; i < 7; i++) {
        close_one(dedup, key_at(homes[order[i]], 10, order[i]), 0, 0)->epoch = 100 + order[i];
    }
    for (uint32_t i = 0; i < 7; i++) {
        uint32_t k = order[(i * 3 + turn) % 7];

        tri_dedup_forget(dedup, tri_dedup_find(dedup, key_at(homes[k], 10, k)).entry);
        present &= ~(1U << k);
        check_seven(dedup, present);
    }
    cr_assert_eq(tri_dedup_count(dedup), 7);
    cr_assert(!tri_dedup_sweep(dedup, 0, 100));
    cr_assert_eq(tri_dedup_count(dedup), 0);
}

Test(dedup, collisions_across_the_end_survive_every_order_of_opening_and_removal)
{
    struct tri_dedup *dedup = open_dedup(7);

    cr_assert_eq(buckets_of(7), 10);
    for (uint32_t permutation = 0; permutation < 5040; permutation++) {
        uint32_t order[7] = {0, 1, 2, 3, 4, 5, 6};
        uint32_t rest = permutation;

        for (uint32_t i = 7; i > 1; i--) {
            uint32_t k = rest % i;
            uint32_t swap = order[k];

            order[k] = order[i - 1];
            order[i - 1] = swap;
            rest /= i;
        }
        for (uint32_t turn = 0; turn < 7; turn++) {
            tell_seven(dedup, order, turn);
        }
    }
    free(dedup);
}

Test(dedup, R06_the_sweep_forgets_what_is_over_and_nothing_else)
{
    struct tri_dedup *dedup = open_dedup(7);

    open_one(dedup, key_of(1, 0), 0);
    open_one(dedup, key_of(1, 1), 1);
    open_one(dedup, key_of(1, 2), 2);
    (void)close_one(dedup, key_of(1, 0), 5, 10);
    (void)close_one(dedup, key_of(1, 1), 5, 11);
    cr_assert(!tri_dedup_sweep(dedup, 9, 1000));
    cr_assert_eq(tri_dedup_count(dedup), 3);
    cr_assert(!tri_dedup_sweep(dedup, 10, 1000));
    cr_assert_eq(state_of(dedup, key_of(1, 0)), TRI_DEDUP_UNKNOWN);
    cr_assert_eq(state_of(dedup, key_of(1, 1)), TRI_DEDUP_CLOSED);
    cr_assert_eq(tri_dedup_count(dedup), 2);
    cr_assert(!tri_dedup_sweep(dedup, UINT32_MAX, 1000));
    cr_assert_eq(state_of(dedup, key_of(1, 1)), TRI_DEDUP_UNKNOWN);
    cr_assert_eq(tri_dedup_find(dedup, key_of(1, 2)).round, 2);
    cr_assert_eq(tri_dedup_count(dedup), 1);
    free(dedup);
}

/* Windows around the borders of the lists, from hands around the borders of the runs. */
Test(dedup, R06_a_window_of_any_length_ends_in_its_second)
{
    static const uint32_t windows_s[] = {0,    1,    2,    2046, 2047,    2048,     2049,
                                         4095, 4096, 4097, 6000, 4294968, 8000000U, 9000000U};
    static const uint32_t starts_s[] = {0, 1, 2046, 2047, 2048, 2049, 1000000, 8386560, 8386561};

    for (size_t k = 0; k < sizeof(starts_s) / sizeof(starts_s[0]); k++) {
        for (size_t i = 0; i < sizeof(windows_s) / sizeof(windows_s[0]); i++) {
            struct tri_dedup *dedup = open_dedup(2);
            uint32_t end_s = starts_s[k] + windows_s[i];

            open_one(dedup, key_of(1, 1), 1);
            (void)close_one(dedup, key_of(1, 1), starts_s[k], end_s);
            if (windows_s[i] > 0) {
                cr_assert(!tri_dedup_sweep(dedup, end_s - 1, UINT32_MAX));
                cr_assert_eq(state_of(dedup, key_of(1, 1)), TRI_DEDUP_CLOSED, "%u + %u",
                             starts_s[k], windows_s[i]);
            }
            cr_assert(!tri_dedup_sweep(dedup, end_s, UINT32_MAX));
            cr_assert_eq(state_of(dedup, key_of(1, 1)), TRI_DEDUP_UNKNOWN, "%u + %u", starts_s[k],
                         windows_s[i]);
            free(dedup);
        }
    }
}

/* The work of one call is bounded, and no call of it is lost. */
Test(dedup, a_sweep_in_small_steps_forgets_the_same)
{
    for (uint32_t step = 1; step <= 64; step++) {
        struct tri_dedup *dedup = open_dedup(50);
        uint32_t count_before = 40;
        uint32_t calls = 0;

        /* One long run of buckets: expired and living ones alternate. */
        for (uint32_t i = 0; i < 40; i++) {
            open_one(dedup, key_of(10, i), i);
            (void)close_one(dedup, key_of(10, i), 0, i % 2 == 0 ? 5 : 5000);
        }
        while (tri_dedup_sweep(dedup, 5, step)) {
            cr_assert_leq(count_before - tri_dedup_count(dedup), step);
            count_before = tri_dedup_count(dedup);
            cr_assert_leq(++calls, 50);
        }
        cr_assert_eq(tri_dedup_count(dedup), 20, "step %u", step);
        for (uint32_t i = 0; i < 40; i++) {
            cr_assert_eq(state_of(dedup, key_of(10, i)) == TRI_DEDUP_CLOSED, i % 2 == 1);
        }
        free(dedup);
    }
}

/* A table of which nothing is remembered is not searched second by second. */
Test(dedup, time_passes_at_once_when_nothing_is_remembered)
{
    struct tri_dedup *dedup = open_dedup(2);

    open_one(dedup, key_of(1, 1), 1);
    cr_assert(!tri_dedup_sweep(dedup, 4000000000U, 1));
    (void)close_one(dedup, key_of(1, 1), 4000000007U, 4000000010U);
    cr_assert(tri_dedup_sweep(dedup, 4000000010U, 3));
    cr_assert_eq(tri_dedup_count(dedup), 1);
    cr_assert(!tri_dedup_sweep(dedup, 4000000010U, 3));
    cr_assert_eq(tri_dedup_count(dedup), 0);
    free(dedup);
}

Test(dedup, R01_a_message_that_is_over_may_come_again_before_it_is_swept)
{
    struct tri_dedup *dedup = open_dedup(2);
    struct tri_key key = key_of(1, 1);

    open_one(dedup, key, 1);
    tri_dedup_forget(dedup, close_one(dedup, key, 0, 3));
    cr_assert_eq(state_of(dedup, key), TRI_DEDUP_UNKNOWN);
    open_one(dedup, key, 2);
    cr_assert_eq(tri_dedup_open(dedup, key_of(2, 2), 3, ONE), TRI_FULL);
    cr_assert(!tri_dedup_sweep(dedup, 3, 100));
    cr_assert_eq(tri_dedup_count(dedup), 1);
    cr_assert_eq(tri_dedup_find(dedup, key).round, 2);
    (void)close_one(dedup, key, 3, 6);
    cr_assert(!tri_dedup_sweep(dedup, 5, 100));
    cr_assert_eq(state_of(dedup, key), TRI_DEDUP_CLOSED);
    free(dedup);
}

/* A message with more than 16 targets takes two places, and both come back. */
Test(dedup, a_message_of_many_targets_takes_two_places_and_keeps_every_mask)
{
    static const uint64_t wide[2] = {UINT64_C(0x8000000000010001), UINT64_MAX};
    static const uint64_t narrow[2] = {0x8001, 0xffff};
    struct tri_dedup *dedup = open_dedup(4);
    uint64_t masks[2];

    cr_assert_eq(tri_dedup_places(1), 1);
    cr_assert_eq(tri_dedup_places(16), 1);
    cr_assert_eq(tri_dedup_places(17), 2);
    cr_assert_eq(tri_dedup_places(64), 2);
    for (uint32_t turn = 0; turn < 3; turn++) {
        uint32_t now_s = turn * 10;

        round_keys[0] = key_of(7, 0);
        round_keys[1] = key_of(7, 1);
        round_keys[2] = key_of(7, 2);
        cr_assert_eq(tri_dedup_open(dedup, round_keys[0], 0, TWO), TRI_OK);
        cr_assert_eq(tri_dedup_open(dedup, round_keys[1], 1, ONE), TRI_OK);
        cr_assert_eq(tri_dedup_open(dedup, round_keys[2], 2, TWO), TRI_FULL);
        cr_assert_eq(tri_dedup_open(dedup, round_keys[2], 2, ONE), TRI_OK);
        tri_dedup_store(dedup, tri_dedup_close(dedup, round_keys[2], ONE, now_s, now_s + 1),
                        narrow);
        tri_dedup_store(dedup, tri_dedup_close(dedup, round_keys[0], TWO, now_s, now_s + 2), wide);
        tri_dedup_store(dedup, tri_dedup_close(dedup, round_keys[1], ONE, now_s, now_s + 1),
                        narrow);
        tri_dedup_load(dedup, tri_dedup_find(dedup, round_keys[0]).entry, masks);
        cr_assert_eq(memcmp(masks, wide, sizeof(wide)), 0);
        tri_dedup_load(dedup, tri_dedup_find(dedup, round_keys[1]).entry, masks);
        cr_assert_eq(memcmp(masks, narrow, sizeof(narrow)), 0);
        cr_assert_eq(tri_dedup_count(dedup), 4);
        cr_assert(!tri_dedup_sweep(dedup, now_s + 1, 100));
        cr_assert_eq(tri_dedup_count(dedup), 2);
        cr_assert(!tri_dedup_sweep(dedup, now_s + 2, 100));
        cr_assert_eq(tri_dedup_count(dedup), 0);
    }
    free(dedup);
}

Test(dedup, R08_messages_are_counted_by_owner_until_they_are_gone)
{
    static uint32_t counts[TRI_DEDUP_OWNERS_MAX + 1];
    static const uint16_t owners[] = {4095, 1, 255, 256, 4095, 0};
    struct tri_dedup *dedup = open_dedup(7);

    tri_dedup_count_owners(dedup, counts);
    for (uint32_t i = 0; i < 6; i++) {
        struct tri_dedup_hold hold = {1, owners[i]};

        round_keys[i] = key_of(1, i);
        cr_assert_eq(tri_dedup_open(dedup, round_keys[i], i, hold), TRI_OK);
        (void)tri_dedup_close(dedup, round_keys[i], hold, 0, i < 3 ? 5 : 500);
    }
    cr_assert_eq(counts[4095], 2);
    cr_assert_eq(counts[1] + counts[255] + counts[256], 3);
    cr_assert(!tri_dedup_sweep(dedup, 5, 100));
    cr_assert_eq(counts[4095], 1);
    cr_assert_eq(counts[1] + counts[255], 0);
    cr_assert_eq(counts[256], 1);
    tri_dedup_forget(dedup, tri_dedup_find(dedup, key_of(1, 4)).entry);
    cr_assert_eq(counts[4095], 0);
    round_keys[0] = key_of(1, 0);
    cr_assert_eq(tri_dedup_open(dedup, round_keys[0], 0, (struct tri_dedup_hold){1, 2}), TRI_OK);
    cr_assert_eq(counts[2], 1);
    tri_dedup_drop(dedup, round_keys[0], (struct tri_dedup_hold){1, 2});
    cr_assert_eq(counts[2], 0);
    (void)tri_dedup_remember(dedup, key_of(9, 9), (struct tri_dedup_hold){1, 3}, 5, 6);
    cr_assert_eq(counts[3], 1);
    cr_assert(!tri_dedup_sweep(dedup, 500, 10000));
    cr_assert_eq(counts[256] + counts[4095] + counts[3], 0);
    free(dedup);
}

/* What a restart takes back was closed elsewhere. */
Test(dedup, R06_a_message_that_was_closed_elsewhere_is_remembered_until_its_second)
{
    static const uint64_t wide[2] = {UINT64_MAX, UINT64_C(1) << 63};
    struct tri_dedup *dedup = open_dedup(3);
    struct tri_dedup_entry *entry;
    uint64_t masks[2];

    entry = tri_dedup_remember(dedup, key_of(1, 1), TWO, 100, 103);
    cr_assert_not_null(entry);
    tri_dedup_store(dedup, entry, wide);
    cr_assert_null(tri_dedup_remember(dedup, key_of(1, 2), TWO, 100, 103));
    cr_assert_not_null(tri_dedup_remember(dedup, key_of(1, 2), ONE, 100, 102));
    cr_assert_null(tri_dedup_remember(dedup, key_of(1, 3), ONE, 100, 102));
    cr_assert_eq(tri_dedup_next_s(dedup), 102);
    cr_assert(!tri_dedup_sweep(dedup, 102, 100));
    cr_assert_eq(state_of(dedup, key_of(1, 2)), TRI_DEDUP_UNKNOWN);
    cr_assert_eq(tri_dedup_find(dedup, key_of(1, 1)).entry, entry);
    tri_dedup_load(dedup, entry, masks);
    cr_assert_eq(memcmp(masks, wide, sizeof(wide)), 0);
    cr_assert_eq(tri_dedup_next_s(dedup), 103);
    cr_assert(!tri_dedup_sweep(dedup, 103, 100));
    cr_assert_eq(tri_dedup_count(dedup), 0);
    cr_assert_eq(tri_dedup_next_s(dedup), TRI_DEDUP_NEVER_S);
    free(dedup);
}

/* Closed messages come and go while they are walked over, a few places at a time. */
Test(dedup, a_walk_returns_every_message_that_was_there_before_it_and_still_is)
{
    for (uint32_t step = 1; step <= 20; step++) {
        struct tri_dedup *dedup = open_dedup(40);
        const struct tri_dedup_entry *entry;
        uint64_t seen = 0;
        uint32_t place = 0;
        uint32_t next = 30;
        uint32_t budget;

        for (uint32_t i = 0; i < 10; i++) {
            (void)tri_dedup_remember(dedup, key_of(i, i), ONE, 0, i % 3 == 0 ? 5 : 50);
            (void)tri_dedup_remember(dedup, key_of(i, 10 + i), TWO, 0, 50);
        }
        do {
            budget = step;
            while ((entry = tri_dedup_walk(dedup, &place, &budget)) != NULL) {
                cr_assert_eq(entry->is_dead, 0);
                seen |= UINT64_C(1) << tri_dedup_key(entry).hi;
            }
            cr_assert_leq(budget, step);
            (void)tri_dedup_sweep(dedup, 5, 1);
            if (next < 40 && tri_dedup_remember(dedup, key_of(next, next), ONE, 5, 60) != NULL) {
                next++;
            }
        } while (budget == 0);
        for (uint32_t i = 0; i < 20; i++) {
            if (state_of(dedup, key_of(i % 10, i)) == TRI_DEDUP_CLOSED) {
                cr_assert((seen >> i & 1) != 0, "step %u, key %u", step, i);
            }
        }
        free(dedup);
    }
}

#define MODEL_KEYS 600U
#define OWNERS     4U

struct model {
    enum tri_dedup_state state;
    struct tri_dedup_hold hold;
    uint32_t expires_s;
    uint32_t mark;
};

struct story {
    struct tri_dedup *dedup;
    struct model model[MODEL_KEYS];
    uint64_t seed;
    uint64_t random;
    uint32_t spread; /* homes; few of them, across the end, so that runs of buckets are long */
    uint32_t buckets;
    uint32_t entries_max;
    uint32_t window_s;
    uint32_t now_s;
    uint32_t step;
    uint32_t owner_counts[OWNERS];
    uint32_t held; /* places of known messages, and of those forgotten before they were over */
    uint32_t dead;
};

static struct tri_key story_key(const struct story *story, uint32_t i)
{
    return key_at((story->buckets - 5 + i % story->spread * 3) % story->buckets, story->buckets, i);
}

/* Opens, closes or forgets message i, whatever comes next. */
static void story_act(struct story *story, uint32_t i)
{
    struct model *model = &story->model[i];
    struct tri_key key = story_key(story, i);
    struct tri_dedup_found found = tri_dedup_find(story->dedup, key);

    cr_assert_eq(found.state, model->state, "seed %lu step %u", story->seed, story->step);
    tri_dedup_prefetch(story->dedup, key);
    if (model->state == TRI_DEDUP_UNKNOWN) {
        struct tri_dedup_hold hold = {(uint16_t)(1 + (random_next(&story->random) % 8 == 0)),
                                      (uint16_t)(random_next(&story->random) % OWNERS)};
        bool has_room = story->held + story->dead + hold.places <= story->entries_max;

        round_keys[i] = key;
        cr_assert_eq(tri_dedup_open(story->dedup, key, i, hold) == TRI_OK, has_room);
        if (has_room) {
            *model = (struct model){TRI_DEDUP_OPEN, hold, 0, story->step};
            story->held += hold.places;
        }
    } else if (model->state == TRI_DEDUP_OPEN && random_next(&story->random) % 16 == 0) {
        tri_dedup_drop(story->dedup, key, model->hold);
        model->state = TRI_DEDUP_UNKNOWN;
        story->held -= model->hold.places;
    } else if (model->state == TRI_DEDUP_OPEN) {
        cr_assert_eq(found.round, i);
        model->state = TRI_DEDUP_CLOSED;
        model->expires_s = story->now_s + (uint32_t)(random_next(&story->random) % story->window_s);
        tri_dedup_close(story->dedup, key, model->hold, story->now_s, model->expires_s)->epoch =
            model->mark;
    } else {
        cr_assert_eq(found.entry->epoch, model->mark);
        cr_assert_eq(found.entry->expires_s, model->expires_s);
        if (random_next(&story->random) % 16 == 0) {
            tri_dedup_forget(story->dedup, found.entry);
            model->state = TRI_DEDUP_UNKNOWN;
            story->held -= model->hold.places;
            story->dead += model->hold.places;
        }
    }
}

/* Lets time pass and sweeps to the end: exactly what is over is gone. */
static void story_sweep(struct story *story)
{
    uint32_t work = 1 + (uint32_t)(random_next(&story->random) % 40);
    uint32_t counts[OWNERS] = {0};

    story->now_s += (uint32_t)(random_next(&story->random) % (story->window_s / 8 + 2));
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        if (story->model[i].state == TRI_DEDUP_CLOSED) {
            cr_assert_leq(tri_dedup_next_s(story->dedup), story->model[i].expires_s);
        }
    }
    while (tri_dedup_sweep(story->dedup, story->now_s, work)) {
    }
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        struct model *model = &story->model[i];

        if (model->state == TRI_DEDUP_CLOSED && model->expires_s <= story->now_s) {
            model->state = TRI_DEDUP_UNKNOWN;
            story->held -= model->hold.places;
        }
        counts[model->hold.owner] += model->state != TRI_DEDUP_UNKNOWN;
        cr_assert_eq(state_of(story->dedup, story_key(story, i)), model->state,
                     "seed %lu step %u key %u", story->seed, story->step, i);
    }
    cr_assert_eq(memcmp(counts + 1, story->owner_counts + 1, sizeof(counts) - sizeof(counts[0])),
                 0);
    cr_assert_gt(tri_dedup_next_s(story->dedup), story->now_s);
    cr_assert_leq(story->held, tri_dedup_count(story->dedup));
    story->dead = tri_dedup_count(story->dedup) - story->held;
}

static void tell_random_story(uint64_t seed, uint32_t entries_max, uint32_t spread,
                              uint32_t window_s)
{
    static struct story story;

    story = (struct story){.dedup = open_dedup(entries_max),
                           .seed = seed,
                           .random = seed,
                           .spread = spread,
                           .buckets = buckets_of(entries_max) < 5 ? 5 : buckets_of(entries_max),
                           .entries_max = entries_max,
                           .window_s = window_s,
                           .now_s = (uint32_t)seed * 1000003U};
    tri_dedup_count_owners(story.dedup, story.owner_counts);
    for (story.step = 0; story.step < 30000; story.step++) {
        story_act(&story, (uint32_t)(random_next(&story.random) % MODEL_KEYS));
        if (story.step % 10 == 0) {
            story_sweep(&story);
        }
    }
    /* In the end everything is over: no place is lost. */
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        if (story.model[i].state == TRI_DEDUP_OPEN) {
            (void)tri_dedup_close(story.dedup, story_key(&story, i), story.model[i].hold,
                                  story.now_s, story.now_s);
        }
    }
    (void)tri_dedup_sweep(story.dedup, story.now_s + window_s, UINT32_MAX);
    cr_assert_eq(tri_dedup_count(story.dedup), 0);
    cr_assert_eq(tri_dedup_next_s(story.dedup), TRI_DEDUP_NEVER_S);
    free(story.dedup);
}

Test(dedup, random_stories_agree_with_the_model)
{
    tell_random_story(1, 56, 7, 50);
    tell_random_story(2, 112, 40, 50);
    tell_random_story(3, 448, 600, 50);
    tell_random_story(4, 500, 200, 9000);
    tell_random_story(5, 3, 2, 300);
    tell_random_story(6, 2, 1, 3000);
    tell_random_story(7, 300, 30, 100000);
}
