/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no deadline fires early, late, twice, out of order or never.
 *
 * Method: the wheel and a naive array of times hear the same story; after
 * every step they must agree on what is popped and on what is armed.  Short
 * stories over a few nodes and the times at which slots and wheels meet are told
 * exhaustively, long ones are drawn from a seed.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/deadlines.h"

#define TICK      (UINT64_C(1) << 20)
#define NODES_MAX 4096U

struct object { /* the node is not the first field, as in a caller's object */
    uint64_t before;
    struct tri_deadline deadline;
    uint64_t after;
};

static struct object objects[NODES_MAX];
static uint64_t model[NODES_MAX]; /* at_ns, or TRI_NEVER */
static uint32_t node_count;
static void *memory;
static struct tri_deadlines *wheel;

static void open_wheel(uint32_t nodes, uint64_t start_ns)
{
    memset(objects, 0, nodes * sizeof(objects[0]));
    memset(model, 0xff, sizeof(model));
    node_count = nodes;
    if (memory == NULL) {
        memory = malloc(tri_deadlines_footprint());
        cr_assert_not_null(memory);
    }
    wheel = tri_deadlines_init(memory, &objects[0].deadline, sizeof(struct object), start_ns);
}

static void arm(uint32_t index, uint64_t at_ns)
{
    tri_deadlines_arm(wheel, index, at_ns);
    model[index] = at_ns;
}

static void disarm(uint32_t index)
{
    tri_deadlines_disarm(wheel, index);
    model[index] = TRI_NEVER;
}

static uint32_t model_first(void)
{
    uint32_t first = 0;
    uint32_t i;

    for (i = 1; i < node_count; i++) {
        if (model[i] < model[first]) {
            first = i;
        }
    }
    return first;
}

/* Pops everything that is due at now_ns and compares; returns how many there were. */
static uint32_t advance(uint64_t now_ns)
{
    uint32_t popped = 0;
    uint32_t index = TRI_NONE_INDEX;

    while (tri_deadlines_pop(wheel, now_ns, &index)) {
        uint32_t expected = model_first();

        cr_assert_leq(model[expected], now_ns, "node %u was popped early", index);
        cr_assert_eq(index, expected, "popped %u, expected %u", index, expected);
        cr_assert_not(tri_deadlines_is_armed(wheel, index));
        model[index] = TRI_NEVER;
        popped++;
    }
    if (model[model_first()] != TRI_NEVER) {
        cr_assert_gt(model[model_first()], now_ns, "a node was not popped");
    }
    if (model[model_first()] == TRI_NEVER) {
        cr_assert_eq(tri_deadlines_next_ns(wheel), TRI_NEVER);
    } else {
        cr_assert_gt(tri_deadlines_next_ns(wheel), now_ns, "a loop would spin");
        cr_assert_leq(tri_deadlines_next_ns(wheel), model[model_first()], "a loop would oversleep");
    }
    return popped;
}

static void check_armed(void)
{
    uint32_t i;

    for (i = 0; i < node_count; i++) {
        cr_assert_eq(tri_deadlines_at_ns(wheel, i), model[i]);
        cr_assert_eq(tri_deadlines_is_armed(wheel, i), model[i] != TRI_NEVER);
    }
}

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

Test(deadlines, an_empty_wheel_never_fires)
{
    open_wheel(1, 0);
    cr_assert_eq(tri_deadlines_next_ns(wheel), TRI_NEVER);
    cr_assert_eq(advance(0), 0);
    cr_assert_eq(advance(UINT64_MAX), 0);
}

Test(deadlines, fires_at_its_nanosecond_and_not_before)
{
    static const uint64_t ats[] = {1,
                                   TICK - 1,
                                   TICK,
                                   TICK + 1,
                                   255 * TICK,
                                   256 * TICK - 1,
                                   256 * TICK,
                                   257 * TICK + 7,
                                   65536 * TICK,
                                   65536 * TICK + 256 * TICK + 3,
                                   UINT64_C(86400) * TRI_NS_PER_S,
                                   UINT64_MAX - 1};
    size_t i;

    for (i = 0; i < sizeof(ats) / sizeof(ats[0]); i++) {
        open_wheel(1, 0);
        arm(0, ats[i]);
        cr_assert_eq(advance(ats[i] - 1), 0);
        cr_assert_eq(advance(ats[i]), 1);
        cr_assert_eq(advance(UINT64_MAX), 0);
    }
}

Test(deadlines, an_armed_past_fires_at_once)
{
    open_wheel(2, 1000 * TICK);
    arm(0, 5);
    arm(1, 1000 * TICK);
    cr_assert_eq(tri_deadlines_next_ns(wheel), 5);
    cr_assert_eq(advance(1000 * TICK), 2);
}

Test(deadlines, one_nanosecond_apart_in_one_tick_come_one_by_one)
{
    uint32_t i;

    open_wheel(64, 0);
    for (i = 0; i < 64; i++) {
        arm(i, 700 * TICK + 64 - i);
    }
    for (i = 1; i <= 64; i++) {
        cr_assert_eq(advance(700 * TICK + i), 1);
    }
}

Test(deadlines, equal_times_come_by_index_whatever_the_order_of_arming)
{
    static const uint32_t order[] = {3, 0, 4, 1, 2};
    uint32_t index = TRI_NONE_INDEX;
    uint32_t i;

    open_wheel(5, 0);
    for (i = 0; i < 5; i++) {
        arm(order[i], 9 * TICK + 9);
    }
    for (i = 0; i < 5; i++) {
        cr_assert(tri_deadlines_pop(wheel, 9 * TICK + 9, &index));
        cr_assert_eq(index, i);
    }
}

Test(deadlines, arming_again_moves_and_never_disarms)
{
    open_wheel(1, 0);
    arm(0, 5 * TICK);
    arm(0, 500 * TICK);
    cr_assert_eq(advance(499 * TICK), 0);
    arm(0, 600 * TICK);
    cr_assert_eq(advance(599 * TICK), 0);
    cr_assert_eq(advance(600 * TICK), 1);
    arm(0, 601 * TICK);
    arm(0, TRI_NEVER);
    cr_assert_not(tri_deadlines_is_armed(wheel, 0));
    disarm(0);
    cr_assert_eq(advance(UINT64_MAX), 0);
}

Test(deadlines, a_jump_over_hours_fires_everything_once_in_order)
{
    uint64_t seed = 3;
    uint32_t i;

    open_wheel(NODES_MAX, 0);
    for (i = 0; i < NODES_MAX; i++) {
        arm(i, random_next(&seed) % (UINT64_C(36000) * TRI_NS_PER_S));
    }
    cr_assert_eq(advance(UINT64_C(36000) * TRI_NS_PER_S), NODES_MAX);
}

Test(deadlines, works_up_to_the_end_of_time)
{
    uint64_t start = UINT64_MAX - 70000 * TICK;

    open_wheel(4, start);
    arm(0, UINT64_MAX - 1);
    arm(1, UINT64_MAX - 2);
    arm(2, start + 300 * TICK);
    arm(3, start);
    cr_assert_eq(advance(start), 1);
    cr_assert_eq(advance(UINT64_MAX - 3), 1);
    cr_assert_eq(advance(UINT64_MAX - 2), 1);
    cr_assert_eq(advance(UINT64_MAX - 1), 1);
}

Test(deadlines, a_clock_that_steps_back_fires_nothing_early)
{
    open_wheel(3, 0);
    arm(0, 10 * TICK + 5);
    cr_assert_eq(advance(10 * TICK + 4), 0);
    cr_assert_eq(advance(9 * TICK), 0);
    arm(1, 9 * TICK + 1);
    cr_assert_eq(advance(9 * TICK), 0);
    cr_assert_eq(advance(9 * TICK + 1), 1);
    cr_assert_eq(advance(10 * TICK + 5), 1);
}

Test(deadlines, sleeping_until_next_reaches_every_deadline_in_few_wakes)
{
    uint64_t now_ns = 0;
    uint32_t wakes = 0;

    open_wheel(1, 0);
    arm(0, UINT64_C(123456789) * TICK + 17);
    while (tri_deadlines_next_ns(wheel) != TRI_NEVER) {
        cr_assert_gt(tri_deadlines_next_ns(wheel), now_ns);
        now_ns = tri_deadlines_next_ns(wheel);
        (void)advance(now_ns);
        wakes++;
    }
    cr_assert_eq(now_ns, UINT64_C(123456789) * TICK + 17);
    cr_assert_leq(wakes, 6);
}

Test(deadlines, neighbours_of_a_node_are_not_written)
{
    uint32_t i;

    open_wheel(8, 0);
    for (i = 0; i < 8; i++) {
        objects[i].before = 0x1111;
        objects[i].after = 0x2222;
        arm(i, i * 200 * TICK);
    }
    disarm(5);
    cr_assert_eq(advance(UINT64_MAX), 7);
    for (i = 0; i < 8; i++) {
        cr_assert_eq(objects[i].before, 0x1111);
        cr_assert_eq(objects[i].after, 0x2222);
    }
}

/* All stories of 4 steps with 3 nodes: arm one of them at one of 7 distances, disarm one, or let
 * one of 4 spans of time pass; then a last jump. */
Test(deadlines, every_short_story_agrees_with_the_model)
{
    static const uint64_t distances[] = {
        0, 1, TICK, 255 * TICK, 256 * TICK, 257 * TICK + 1, 65536 * TICK};
    static const uint64_t spans[] = {1, TICK, 256 * TICK - 1, 65600 * TICK};
    const uint32_t letters = 3 * 7 + 3 + 4;
    uint32_t story;

    for (story = 0; story < letters * letters * letters * letters; story++) {
        uint64_t now_ns = 254 * TICK + 3; /* just before wheels meet */
        uint32_t rest = story;
        uint32_t step;

        open_wheel(3, now_ns);
        for (step = 0; step < 4; step++) {
            uint32_t letter = rest % letters;

            rest /= letters;
            if (letter < 21) {
                arm(letter / 7, now_ns + distances[letter % 7]);
            } else if (letter < 24) {
                disarm(letter - 21);
            } else {
                now_ns += spans[letter - 24];
                (void)advance(now_ns);
            }
        }
        check_armed();
        (void)advance(now_ns + 65536 * TICK);
        cr_assert_eq(tri_deadlines_next_ns(wheel), TRI_NEVER, "story %u", story);
    }
}

static void tell_random_story(uint64_t seed)
{
    uint64_t state = seed;
    uint32_t nodes = 1U + (uint32_t)(random_next(&state) % 200);
    uint64_t now_ns = random_next(&state) >> (random_next(&state) % 64);
    uint32_t step;

    if (now_ns > UINT64_MAX / 2) {
        now_ns /= 2;
    }
    open_wheel(nodes, now_ns);
    for (step = 0; step < 2000; step++) {
        uint32_t node = (uint32_t)(random_next(&state) % nodes);
        uint64_t kind = random_next(&state) % 8;
        uint64_t distance = random_next(&state) >> (2 + random_next(&state) % 62);

        if (kind < 4) {
            arm(node, now_ns + distance);
        } else if (kind == 4) {
            arm(node, now_ns - distance % (now_ns + 1));
        } else if (kind == 5) {
            disarm(node);
        } else if (kind == 6 && tri_deadlines_next_ns(wheel) != TRI_NEVER) {
            uint64_t next_ns = tri_deadlines_next_ns(wheel);

            now_ns = next_ns > now_ns ? next_ns : now_ns;
            (void)advance(now_ns);
        } else {
            distance >>= random_next(&state) % 40;
            now_ns += distance < UINT64_MAX / 4 - now_ns / 2 ? distance : 0;
            (void)advance(now_ns);
        }
        if (step % 64 == 0) {
            check_armed();
        }
        if (now_ns > UINT64_MAX / 2) {
            break;
        }
    }
    check_armed();
    (void)advance(UINT64_MAX - 1);
}

Test(deadlines, random_stories_agree_with_the_model)
{
    uint64_t seed;

    for (seed = 1; seed <= 400; seed++) {
        tell_random_story(seed);
    }
}

/* The due heap under load: everything in one tick, some taken out of its middle. */
Test(deadlines, a_crowded_tick_keeps_its_order)
{
    uint64_t state = 11;
    uint32_t round;
    uint32_t i;

    for (round = 0; round < 20; round++) {
        open_wheel(600, 0);
        for (i = 0; i < 600; i++) {
            arm(i, 40 * TICK + random_next(&state) % 50);
        }
        (void)advance(40 * TICK); /* all are in the heap now */
        for (i = 0; i < 400; i++) {
            uint32_t node = (uint32_t)(random_next(&state) % 600);

            if (i % 2 == 0) {
                disarm(node);
            } else {
                arm(node, 40 * TICK + 1 + random_next(&state) % 50);
            }
            if (i % 40 == 0) {
                (void)advance(40 * TICK + i / 40);
            }
        }
        check_armed();
        (void)advance(40 * TICK + 60);
        cr_assert_eq(tri_deadlines_next_ns(wheel), TRI_NEVER);
    }
}
