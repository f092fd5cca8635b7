/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The splitter: whatever the chunks, the same bodies come out.
 *
 * A sequence of bodies of chosen lengths is written as one stream, cut into
 * heap chunks of exactly their size, and read back by the loop that
 * engine/stream.h describes.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/stream.h"

static const uint32_t lengths[] = {1, 2, 7, 300, 1, 3, 64, 5};
#define BODIES (sizeof lengths / sizeof lengths[0])

static uint8_t bytes_of_stream[512];

static uint8_t byte_of(size_t body, uint32_t index)
{
    return (uint8_t)(body * 31 + index);
}

static uint32_t write_stream(void)
{
    uint32_t used = 0;

    for (size_t i = 0; i < BODIES; i++) {
        const uint8_t head[4] = {0, 0, (uint8_t)(lengths[i] >> 8), (uint8_t)lengths[i]};

        memcpy(bytes_of_stream + used, head, 4);
        used += 4;
        for (uint32_t j = 0; j < lengths[i]; j++) {
            bytes_of_stream[used++] = byte_of(i, j);
        }
    }
    return used;
}

struct reader {
    struct tri_stream stream;
    size_t bodies;
    uint32_t lent;     /* buffers, over all */
    uint32_t in_place; /* bodies */
};

static void read_body(struct reader *reader, struct tri_bytes body)
{
    cr_assert_lt(reader->bodies, BODIES);
    cr_assert_eq(body.bytes, lengths[reader->bodies]);
    for (uint32_t i = 0; i < body.bytes; i++) {
        cr_assert_eq(body.at[i], byte_of(reader->bodies, i));
    }
    reader->bodies++;
}

static void feed(struct reader *reader, const uint8_t *at, uint32_t bytes)
{
    uint8_t *copy = malloc(bytes + (bytes == 0));
    struct tri_bytes chunk = {copy, bytes};
    struct tri_wire_fault fault;
    struct tri_bytes body;
    enum tri_result result;
    uint8_t *buffer;

    memcpy(copy, at, bytes);
    while ((result = tri_stream_next(&reader->stream, &chunk, &body, &fault)) != TRI_MORE) {
        if (result == TRI_FULL) {
            tri_stream_lend(&reader->stream, malloc(tri_stream_wants(&reader->stream)));
            reader->lent++;
            continue;
        }
        cr_assert_eq(result, TRI_OK);
        read_body(reader, body);
        buffer = tri_stream_reclaim(&reader->stream);
        reader->in_place += buffer == NULL;
        free(buffer);
    }
    cr_assert_eq(chunk.bytes, 0);
    free(copy);
}

Test(stream, one_chunk_needs_no_buffer)
{
    struct reader reader = {0};

    tri_stream_init(&reader.stream, 300);
    feed(&reader, bytes_of_stream, write_stream());
    cr_assert_eq(reader.bodies, BODIES);
    cr_assert_eq(reader.lent, 0);
    cr_assert_eq(reader.in_place, BODIES);
    cr_assert_null(tri_stream_fini(&reader.stream));
}

Test(stream, byte_by_byte_gives_the_same_bodies)
{
    struct reader reader = {0};
    uint32_t bytes = write_stream();

    tri_stream_init(&reader.stream, 300);
    for (uint32_t i = 0; i < bytes; i++) {
        feed(&reader, bytes_of_stream + i, 1);
        feed(&reader, bytes_of_stream, 0);
    }
    cr_assert_eq(reader.bodies, BODIES);
    cr_assert_eq(reader.in_place, 2); /* the bodies of one byte */
    cr_assert_eq(reader.lent, BODIES - 2);
}

Test(stream, every_pair_of_cuts_gives_the_same_bodies)
{
    uint32_t bytes = write_stream();

    for (uint32_t first = 0; first <= bytes; first++) {
        for (uint32_t second = first; second <= bytes; second++) {
            struct reader reader = {0};

            tri_stream_init(&reader.stream, TRI_FRAME_BYTES_MAX);
            feed(&reader, bytes_of_stream, first);
            feed(&reader, bytes_of_stream + first, second - first);
            feed(&reader, bytes_of_stream + second, bytes - second);
            cr_assert_eq(reader.bodies, BODIES, "cut at %u and %u", first, second);
            cr_assert_leq(reader.lent, 2);
        }
    }
}

Test(stream, random_chunks_give_the_same_bodies)
{
    uint32_t bytes = write_stream();
    uint32_t state = 1;

    for (uint32_t run = 0; run < 3000; run++) {
        struct reader reader = {0};
        uint32_t at = 0;

        tri_stream_init(&reader.stream, TRI_FRAME_BYTES_MAX);
        while (at < bytes) {
            uint32_t take;

            state = state * 1664525U + 1013904223U;
            take = (state >> 16) % 23;
            take = take < bytes - at ? take : bytes - at;
            feed(&reader, bytes_of_stream + at, take);
            at += take;
        }
        cr_assert_eq(reader.bodies, BODIES, "run %u", run);
    }
}

Test(stream, a_cut_behind_the_length_needs_no_buffer)
{
    struct reader reader = {0};

    (void)write_stream();
    tri_stream_init(&reader.stream, 300);
    feed(&reader, bytes_of_stream, 4);
    feed(&reader, bytes_of_stream + 4, 1);
    cr_assert_eq(reader.bodies, 1);
    cr_assert_eq(reader.lent, 0);
}

Test(stream, without_a_buffer_nothing_is_lost)
{
    static const uint8_t stream_bytes[] = {0, 0, 0, 3, 'a', 'b', 'c'};
    struct tri_bytes chunk = {stream_bytes, 5};
    struct tri_wire_fault fault;
    struct tri_stream stream;
    struct tri_bytes body;
    uint8_t buffer[3];

    tri_stream_init(&stream, 3);
    cr_assert_eq(tri_stream_next(&stream, &chunk, &body, &fault), TRI_FULL);
    cr_assert_eq(tri_stream_next(&stream, &chunk, &body, &fault), TRI_FULL);
    cr_assert_eq(chunk.bytes, 1);
    cr_assert_eq(tri_stream_wants(&stream), 3);
    tri_stream_lend(&stream, buffer);
    cr_assert_eq(tri_stream_next(&stream, &chunk, &body, &fault), TRI_MORE);
    cr_assert_null(tri_stream_reclaim(&stream));
    chunk = (struct tri_bytes){stream_bytes + 5, 2};
    cr_assert_eq(tri_stream_next(&stream, &chunk, &body, &fault), TRI_OK);
    cr_assert_eq(memcmp(body.at, "abc", 3), 0);
    cr_assert_eq(tri_stream_reclaim(&stream), buffer);
}

Test(stream, fini_gives_a_lent_buffer_back)
{
    static const uint8_t stream_bytes[] = {0, 0, 0, 3, 'a'};
    struct tri_bytes chunk = {stream_bytes, 5};
    struct tri_stream stream = {0};
    struct tri_wire_fault fault;
    struct tri_bytes body;
    uint8_t buffer[3];

    cr_assert_null(tri_stream_fini(&stream));
    tri_stream_init(&stream, 3);
    cr_assert_eq(tri_stream_next(&stream, &chunk, &body, &fault), TRI_FULL);
    tri_stream_lend(&stream, buffer);
    cr_assert_eq(tri_stream_fini(&stream), buffer);
    cr_assert_null(tri_stream_fini(&stream));
}

static enum tri_error refusal_of(const uint8_t head[4], uint32_t bytes_max)
{
    struct tri_bytes chunk = {head, 4};
    struct tri_wire_fault fault = {TRI_ERROR_NONE, 1, ""};
    struct tri_stream stream;
    struct tri_bytes body;

    tri_stream_init(&stream, bytes_max);
    if (tri_stream_next(&stream, &chunk, &body, &fault) != TRI_VIOLATION) {
        return TRI_ERROR_NONE;
    }
    fault.code = TRI_ERROR_NONE;
    cr_assert_eq(tri_stream_next(&stream, &chunk, &body, &fault), TRI_VIOLATION);
    cr_assert_str_eq(fault.field, "length");
    cr_assert_eq(fault.at, 0);
    return fault.code;
}

Test(stream, lengths_outside_the_range_end_the_stream)
{
    cr_expect_eq(refusal_of((const uint8_t[]){0, 0, 0, 0}, 81920), TRI_ERROR_MALFORMED_FRAME);
    cr_expect_eq(refusal_of((const uint8_t[]){0, 0, 0, 1}, 81920), TRI_ERROR_NONE);
    cr_expect_eq(refusal_of((const uint8_t[]){0, 1, 0x40, 0}, 81920), TRI_ERROR_NONE);
    cr_expect_eq(refusal_of((const uint8_t[]){0, 1, 0x40, 1}, 81920), TRI_ERROR_FRAME_TOO_LONG);
    cr_expect_eq(refusal_of((const uint8_t[]){255, 255, 255, 255}, 81920),
                 TRI_ERROR_FRAME_TOO_LONG);
    cr_expect_eq(refusal_of((const uint8_t[]){0, 0, 0, 9}, 8), TRI_ERROR_FRAME_TOO_LONG);
}
