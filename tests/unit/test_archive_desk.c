/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: questions, results and orders of every size cross a desk whole and in order; who finds no
 * room is told so and loses nothing; and a result always has room.
 * Method: one thread plays the shard and the archivist.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "io/archive_desk.h"
#include "shards/finality.h"

#define PORT(number) ((tri_port)(number) << 32 | 7U)

static struct tri_desk desk;
static void *memory;
static uint8_t bytes[TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES];
static uint8_t leaf[TRI_LEAF_BYTES_MAX];
static char name[TRI_IDENTITY_BYTES_MAX];

static void begin(void)
{
    size_t count = tri_desk_footprint();

    memory = aligned_alloc(TRI_CACHE_LINE, count);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, count);
    tri_desk_init(&desk, memory);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    }
    memset(leaf, 'l', sizeof(leaf));
    memset(name, 'n', sizeof(name));
}

static void finish(void)
{
    free(memory);
}

TestSuite(archive_desk, .init = begin, .fini = finish);

/* ---- questions ---- */

static bool ask(uint32_t number, uint32_t name_bytes, uint32_t frame_bytes)
{
    struct tri_desk_question question = {
        .port = PORT(number), .name = {name, name_bytes}, .frame = {bytes, frame_bytes}};

    return tri_desk_ask(&desk, &question);
}

static void expect_question(uint32_t number, uint32_t name_bytes, uint32_t frame_bytes)
{
    struct tri_desk_question question;

    cr_assert(tri_desk_question(&desk, &question));
    cr_assert_eq(question.port, PORT(number));
    cr_assert_eq(question.name.bytes, name_bytes);
    cr_assert_eq(memcmp(question.name.at, name, name_bytes), 0);
    cr_assert_eq(question.frame.bytes, frame_bytes);
    cr_assert_eq(memcmp(question.frame.at, bytes, frame_bytes), 0);
    tri_desk_question_done(&desk);
}

Test(archive_desk, questions_of_all_sizes_come_whole_and_in_order)
{
    static const uint32_t sizes[] = {1, 2, 7, 8, 9, 4095, 16384, TRI_FRAME_BYTES_MAX};
    struct tri_desk_question question;

    cr_assert(tri_desk_is_empty(&desk));
    cr_assert_not(tri_desk_question(&desk, &question));
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint32_t bytes_of_name = 1; bytes_of_name <= TRI_IDENTITY_BYTES_MAX; bytes_of_name++) {
            cr_assert(ask(i, bytes_of_name, sizes[i]), "%u", sizes[i]);
            cr_assert(ask(i + 1, 1, 1));
            cr_assert_not(tri_desk_is_empty(&desk));
            expect_question(i, bytes_of_name, sizes[i]);
            expect_question(i + 1, 1, 1);
            cr_assert(tri_desk_is_empty(&desk));
        }
    }
}

Test(archive_desk, a_full_desk_refuses_a_question_and_loses_none)
{
    uint32_t count = 0;

    while (ask(count, 3, TRI_FRAME_BYTES_MAX)) {
        count++;
        cr_assert_lt(count, 1000);
    }
    cr_assert_gt(count, 1);
    for (uint32_t i = 0; i < count; i++) {
        expect_question(i, 3, TRI_FRAME_BYTES_MAX);
    }
    cr_assert(tri_desk_is_empty(&desk));
    cr_assert(ask(1000, 3, 1), "there is room again");
    expect_question(1000, 3, 1);
}

/* ---- results ---- */

Test(archive_desk, F04_as_many_results_as_redeliveries_have_room_whatever_else_waits)
{
    tri_port port = 0;
    struct tri_bytes frame;

    while (ask(0, 3, TRI_FRAME_BYTES_MAX)) {
        /* the questions are full */
    }
    cr_assert_not(tri_desk_result_next(&desk, &port, &frame));
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < TRI_DESK_FORWARDS_MAX; i++) {
            tri_desk_result(&desk, PORT(i), bytes, TRI_FRAME_BYTES_MAX - i);
        }
        for (uint32_t i = 0; i < TRI_DESK_FORWARDS_MAX; i++) {
            cr_assert(tri_desk_result_next(&desk, &port, &frame));
            cr_assert_eq(port, PORT(i));
            cr_assert_eq(frame.bytes, TRI_FRAME_BYTES_MAX - i);
            cr_assert_eq(memcmp(frame.at, bytes, frame.bytes), 0);
            tri_desk_result_done(&desk);
        }
        cr_assert_not(tri_desk_result_next(&desk, &port, &frame));
    }
}

Test(archive_desk, a_result_alone_is_something_for_the_archivist)
{
    tri_desk_result(&desk, PORT(1), bytes, 1);
    cr_assert_not(tri_desk_is_empty(&desk));
}

/* ---- orders ---- */

static void put_order(uint32_t number, uint32_t leaf_bytes, uint32_t count)
{
    struct tri_desk_order order = {
        .kind = leaf_bytes == 0 ? TRI_DESK_REPLY : TRI_DESK_FORWARD,
        .port = PORT(number),
        .attempt = TRI_ATTEMPT(12, number + 1),
        .since_ms = UINT64_C(1700000000000) + number,
        .leaf = {leaf, leaf_bytes},
        .bytes = {bytes, count},
    };

    tri_desk_order_put(&desk, &order);
}

static void expect_order(uint32_t number, uint32_t leaf_bytes, uint32_t count)
{
    struct tri_desk_order order;

    cr_assert(tri_desk_order(&desk, &order));
    cr_assert_eq(order.kind, leaf_bytes == 0 ? TRI_DESK_REPLY : TRI_DESK_FORWARD);
    cr_assert_eq(order.port, PORT(number));
    cr_assert_eq(order.attempt, TRI_ATTEMPT(12, number + 1));
    cr_assert_eq(order.since_ms, UINT64_C(1700000000000) + number);
    cr_assert_eq(order.leaf.bytes, leaf_bytes);
    cr_assert_eq(memcmp(order.leaf.at, leaf, leaf_bytes), 0);
    cr_assert_eq(order.bytes.bytes, count);
    cr_assert_eq(memcmp(order.bytes.at, bytes, count), 0);
    tri_desk_order_done(&desk);
}

Test(archive_desk, orders_of_all_sizes_come_whole_and_in_order)
{
    static const uint32_t sizes[] = {
        1, 8, 9, 4096, 40000, TRI_FRAME_BYTES_MAX, TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES};
    static const uint32_t leaves[] = {0, 1, 8, 513, 4096, TRI_LEAF_BYTES_MAX};

    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint32_t k = 0; k < sizeof(leaves) / sizeof(leaves[0]); k++) {
            cr_assert(tri_desk_has_room(&desk));
            put_order(i, leaves[k], sizes[i]);
            cr_assert(tri_desk_has_room(&desk));
            put_order(k, 0, 1);
            cr_assert(tri_desk_publish(&desk));
            expect_order(i, leaves[k], sizes[i]);
            expect_order(k, 0, 1);
        }
    }
}

Test(archive_desk, publish_shows_what_was_left_and_says_whether_there_was_anything)
{
    struct tri_desk_order order;

    cr_assert_not(tri_desk_publish(&desk));
    put_order(1, 0, 10);
    put_order(2, 0, 10);
    cr_assert_not(tri_desk_order(&desk, &order), "a little stays until it is shown");
    cr_assert(tri_desk_publish(&desk));
    cr_assert_not(tri_desk_publish(&desk), "nothing new");
    expect_order(1, 0, 10);
    expect_order(2, 0, 10);
    cr_assert_not(tri_desk_order(&desk, &order));
}

Test(archive_desk, what_shows_before_is_told_at_the_next_publish)
{
    put_order(1, 1, TRI_FRAME_BYTES_MAX); /* leaves by itself */
    expect_order(1, 1, TRI_FRAME_BYTES_MAX);
    cr_assert(tri_desk_publish(&desk), "the shard may sleep and has to be woken");
}

Test(archive_desk, there_is_room_only_for_an_order_of_any_size)
{
    uint32_t count = 0;

    while (tri_desk_has_room(&desk)) {
        put_order(count++, 1, TRI_FRAME_BYTES_MAX);
    }
    expect_order(0, 1, TRI_FRAME_BYTES_MAX);
    cr_assert(tri_desk_has_room(&desk));
    put_order(count, 0, 1);
    cr_assert_not(tri_desk_has_room(&desk), "little room is none");
}

Test(archive_desk, a_full_desk_says_so_and_loses_no_order)
{
    uint32_t count = 0;

    while (tri_desk_has_room(&desk)) {
        put_order(count, count % 2 == 0 ? TRI_LEAF_BYTES_MAX : 0, TRI_FRAME_BYTES_MAX);
        count++;
        cr_assert_lt(count, 1000);
    }
    cr_assert_gt(count, 1);
    (void)tri_desk_publish(&desk);
    for (uint32_t i = 0; i < count; i++) {
        expect_order(i, i % 2 == 0 ? TRI_LEAF_BYTES_MAX : 0, TRI_FRAME_BYTES_MAX);
    }
    cr_assert(tri_desk_has_room(&desk));
}
