/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is held comes out whole and in order, and the memory is used up
 * to the last entry that fits.
 * Method: a model queue of sizes beside a small hold, driven by a seed; and
 * the edges by hand.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shards/hold.h"

#define CAPACITY 1024U

static _Alignas(8) uint8_t memory[CAPACITY];

static bool push(struct tri_hold *hold, uint64_t number, uint32_t bytes)
{
    uint8_t *room = tri_hold_push(hold, number, (uint32_t)number % 7, bytes);

    if (room == NULL) {
        return false;
    }
    cr_assert_eq((uintptr_t)room % 8, 0);
    cr_assert_geq(room, memory);
    cr_assert_leq(room + bytes, memory + CAPACITY);
    memset(room, (int)(number & 0xffU), bytes);
    return true;
}

static void pop(struct tri_hold *hold, uint64_t number, uint32_t bytes)
{
    struct tri_hold_entry entry;

    cr_assert(tri_hold_peek(hold, &entry));
    cr_assert_eq(entry.lsn, number);
    cr_assert_eq(entry.shard, number % 7);
    cr_assert_eq(entry.bytes, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        cr_assert_eq(((const uint8_t *)entry.record)[i], number & 0xffU);
    }
    tri_hold_pop(hold);
}

Test(hold, one_entry_may_fill_it)
{
    struct tri_hold hold;
    struct tri_hold_entry entry;

    tri_hold_init(&hold, memory, CAPACITY);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_not(tri_hold_peek(&hold, &entry));
        cr_expect_not(push(&hold, i, CAPACITY - 15));
        cr_expect(push(&hold, i, CAPACITY - 16));
        cr_expect_not(push(&hold, i, 1));
        pop(&hold, i, CAPACITY - 16);
    }
}

Test(hold, entry_that_does_not_fit_behind_goes_to_the_front)
{
    struct tri_hold hold;

    tri_hold_init(&hold, memory, CAPACITY);
    cr_assert(push(&hold, 1, 384));
    cr_assert(push(&hold, 2, 384));
    cr_expect_not(push(&hold, 3, 400)); /* 224 bytes behind, none in front */
    pop(&hold, 1, 384);
    cr_expect(push(&hold, 3, 384));   /* exactly where the first one was */
    cr_expect_not(push(&hold, 4, 1)); /* the bytes behind are given up until the wrap is gone */
    pop(&hold, 2, 384);
    cr_expect(push(&hold, 4, 600));
    pop(&hold, 3, 384);
    pop(&hold, 4, 600);
}

Test(hold, any_story_keeps_order_and_bytes)
{
    static uint32_t sizes[100000];
    uint32_t seed = 42;

    for (uint32_t story = 0; story < 50; story++) {
        struct tri_hold hold;
        uint64_t first = 0;
        uint64_t next = 0;

        tri_hold_init(&hold, memory, CAPACITY);
        for (uint32_t i = 0; i < 2000; i++) {
            seed = seed * 1664525U + 1013904223U;
            if ((seed >> 16) % 5 < 3) {
                uint32_t bytes = 1 + (seed >> 8) % 300;

                if (push(&hold, next, bytes)) {
                    sizes[next] = bytes;
                    next++;
                }
            } else if (first < next) {
                pop(&hold, first, sizes[first]);
                first++;
            }
            cr_assert_eq(hold.entry_count, next - first);
        }
        cr_assert_gt(next, 100);
    }
}
