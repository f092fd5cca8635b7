/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a pipe carries records whole and in order; its blocks are its credit;
 * and it says when it is starved and fed.
 * Method: one thread plays both sides.  Sizes and credit through the mesh are
 * in test_mesh.c; the threads' part is tests/stress/stress_mesh.c.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "shards/pipe.h"

static struct tri_pipe *pipe_of(uint32_t blocks)
{
    static struct tri_pipe pipe;
    static _Alignas(TRI_CACHE_LINE) uint8_t memory[200000];

    cr_assert_leq(tri_pipe_footprint(blocks), sizeof(memory));
    tri_pipe_init(&pipe, memory, blocks, UINT_MAX - 1);
    return &pipe;
}

/* Puts a record of `bytes`, all of them `fill`; returns whether a block left.  There must be room.
 */
static bool put(struct tri_pipe *pipe, uint32_t bytes, uint8_t fill)
{
    void *room = tri_pipe_reserve(pipe, bytes);

    cr_assert_not_null(room);
    cr_assert_eq((uintptr_t)room % 8, 0);
    memset(room, fill, bytes);
    return tri_pipe_commit(pipe, bytes);
}

/* Takes one record of `fill`; returns its size, 0 if there is none. */
static uint32_t get(struct tri_pipe *pipe, uint8_t fill)
{
    uint32_t bytes = 0;
    const uint8_t *record = tri_pipe_peek(pipe, &bytes);

    if (record == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        cr_assert_eq(record[i], fill);
    }
    (void)tri_pipe_pop(pipe);
    return bytes;
}

Test(pipe, publish_says_whether_anything_has_left)
{
    struct tri_pipe *pipe = pipe_of(2);

    cr_expect_not(tri_pipe_publish(pipe));
    cr_expect_not(put(pipe, 100, 1));
    cr_expect(tri_pipe_is_empty(pipe));
    cr_expect(tri_pipe_publish(pipe));
    cr_expect_not(tri_pipe_publish(pipe));
    cr_expect_not(tri_pipe_is_empty(pipe));
    cr_expect_eq(get(pipe, 1), 100);
    cr_expect(tri_pipe_is_empty(pipe));
    cr_expect(put(pipe, TRI_PIPE_BLOCK_FULL_BYTES, 2)); /* travels by itself */
    cr_expect(tri_pipe_publish(pipe));                  /* and counts */
    cr_expect_eq(pipe->blocks_sent, 2);
}

Test(pipe, pop_says_when_a_block_goes_home)
{
    struct tri_pipe *pipe = pipe_of(1);
    uint32_t bytes = 0;

    (void)put(pipe, 10, 1);
    (void)put(pipe, 10, 2);
    (void)tri_pipe_publish(pipe);
    cr_assert_not_null(tri_pipe_peek(pipe, &bytes));
    cr_expect_not(tri_pipe_pop(pipe));
    cr_assert_not_null(tri_pipe_peek(pipe, &bytes));
    cr_expect(tri_pipe_pop(pipe));
}

Test(pipe, starved_until_a_block_comes_home)
{
    struct tri_pipe *pipe = pipe_of(1);

    cr_expect_not(tri_pipe_is_starved(pipe));
    (void)put(pipe, TRI_PIPE_BLOCK_FULL_BYTES, 1);
    cr_expect_null(tri_pipe_reserve(pipe, 1));
    cr_expect(tri_pipe_is_starved(pipe));
    cr_expect_not(tri_pipe_is_fed(pipe));
    cr_expect_eq(get(pipe, 1), TRI_PIPE_BLOCK_FULL_BYTES);
    cr_expect(tri_pipe_is_starved(pipe));
    cr_expect(tri_pipe_is_fed(pipe));
    cr_expect_not(tri_pipe_is_fed(pipe)); /* told once */
    cr_expect_not_null(tri_pipe_reserve(pipe, 1));
}

Test(pipe, the_record_ahead_is_shown_within_a_block)
{
    struct tri_pipe *pipe = pipe_of(2);
    const uint8_t *ahead = NULL;
    uint32_t bytes = 0;

    (void)put(pipe, 9, 1);
    (void)put(pipe, 5, 2);
    (void)tri_pipe_publish(pipe);
    (void)put(pipe, 3, 3);
    (void)tri_pipe_publish(pipe);
    cr_assert_not_null(tri_pipe_peek(pipe, &bytes));
    ahead = tri_pipe_ahead(pipe);
    cr_assert_not_null(ahead);
    cr_expect_eq(ahead[4], 2);
    cr_expect_eq(get(pipe, 1), 9);
    cr_assert_eq(tri_pipe_peek(pipe, &bytes), ahead);
    cr_expect_null(tri_pipe_ahead(pipe)); /* the next one is in another block */
    cr_expect_eq(get(pipe, 2), 5);
    cr_expect_eq(get(pipe, 3), 3);
    cr_expect_eq(get(pipe, 3), 0);
}
