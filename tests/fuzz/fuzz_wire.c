/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of libFuzzer: any bytes as a frame's body, as a stream, as a
 * ledger payload.
 *
 * What must hold, beside what the sanitizers see: a body that is accepted is
 * written back from its fields to the same bytes (trailing elements aside), and
 * a stream gives the same bodies whole and cut in two.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/stream.h"
#include "engine/wire.h"

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer looks for this name */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tri_frame frame;
static uint8_t written[TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES];

/* Bytes of the array head in front of the elements. */
static uint32_t head_bytes(const uint8_t *body)
{
    return body[0] == 0xdd ? 5 : body[0] == 0xdc ? 3 : 1;
}

static bool has_rest(void)
{
    return frame.type == TRI_FRAME_WATCH ||
           (frame.type >= TRI_FRAME_STATS_GET && frame.type <= TRI_FRAME_LEDGER);
}

static void try_body(const uint8_t *body, uint32_t bytes)
{
    struct tri_wire_fault fault;
    enum tri_frame_type type;
    struct tri_text id;
    uint32_t count;
    uint32_t theirs;
    uint32_t ours;

    if (tri_wire_decode(body, bytes, &frame, &fault) != TRI_OK) {
        assert(fault.code != TRI_ERROR_NONE && tri_error_known((uint32_t)fault.code));
        assert(fault.at <= bytes && fault.field != NULL);
        return;
    }
    assert(tri_wire_peek(body, bytes, &type, &id, &fault) == TRI_OK && type == frame.type);
    if (has_rest()) {
        assert(frame.rest.at + frame.rest.bytes == body + bytes);
        return;
    }
    if (frame.type == TRI_FRAME_SUBMIT || frame.type == TRI_FRAME_FORCE) {
        frame.submit.canonical.at = NULL;
    } else if (frame.type == TRI_FRAME_PHASE) {
        frame.phase.inner.at = NULL;
    }
    count = tri_wire_encode(&frame, written, sizeof written);
    assert(count > TRI_FRAME_HEADER_BYTES);
    theirs = head_bytes(body);
    ours = head_bytes(written + TRI_FRAME_HEADER_BYTES);
    count -= TRI_FRAME_HEADER_BYTES + ours;
    assert(theirs + count <= bytes);
    assert(memcmp(written + TRI_FRAME_HEADER_BYTES + ours, body + theirs, count) == 0);
}

/* A sum over the bodies that a stream gives in chunks cut at `cut`, and their count. */
static uint64_t try_stream(const uint8_t *data, uint32_t size, uint32_t cut)
{
    struct tri_bytes chunks[] = {{data, cut}, {data + cut, size - cut}};
    struct tri_wire_fault fault;
    struct tri_stream stream;
    struct tri_bytes body;
    enum tri_result result = TRI_MORE;
    uint64_t sum = 0;

    tri_stream_init(&stream, 4096);
    for (size_t i = 0; i < 2 && result != TRI_VIOLATION; i++) {
        while ((result = tri_stream_next(&stream, &chunks[i], &body, &fault)) != TRI_MORE &&
               result != TRI_VIOLATION) {
            if (result == TRI_FULL) {
                tri_stream_lend(&stream, malloc(tri_stream_wants(&stream)));
                continue;
            }
            for (uint32_t j = 0; j < body.bytes; j++) {
                sum = sum * 31 + body.at[j];
            }
            sum = sum * 31 + body.bytes;
            free(tri_stream_reclaim(&stream));
        }
    }
    free(tri_stream_fini(&stream));
    return sum * 2 + (result == TRI_VIOLATION);
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tri_action_payload action;
    struct tri_text tokens[TRI_TOKENS_MAX];
    struct tri_bytes bytes = {data, (uint32_t)size};

    if (size == 0 || size > TRI_FRAME_BYTES_MAX) {
        return 0;
    }
    try_body(data, bytes.bytes);
    (void)tri_action_decode(bytes, &action);
    (void)tri_tokens_get(bytes, tokens);
    assert(try_stream(data, bytes.bytes, 0) ==
           try_stream(data, bytes.bytes, data[size / 2] % bytes.bytes));
    return 0;
}
