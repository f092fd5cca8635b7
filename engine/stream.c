/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stream.h"

#include <string.h>

static uint32_t bytes_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void chunk_advance(struct tri_bytes *chunk, uint32_t bytes)
{
    assert(bytes <= chunk->bytes);
    chunk->at += bytes;
    chunk->bytes -= bytes;
}

void tri_stream_init(struct tri_stream *stream, uint32_t body_bytes_max)
{
    assert(stream != NULL);
    assert(body_bytes_max >= 1 && body_bytes_max <= TRI_FRAME_BYTES_MAX);
    *stream = (struct tri_stream){.body_bytes_max = body_bytes_max};
}

/* Takes the length from the chunk; true once it is whole. */
static bool stream_next_head(struct tri_stream *stream, struct tri_bytes *chunk)
{
    uint32_t take = bytes_min(TRI_FRAME_HEADER_BYTES - stream->head_bytes, chunk->bytes);
    uint32_t i;

    for (i = 0; i < take; i++) {
        stream->head[stream->head_bytes + i] = chunk->at[i];
    }
    stream->head_bytes += take;
    chunk_advance(chunk, take);
    if (stream->head_bytes < TRI_FRAME_HEADER_BYTES) {
        return false;
    }
    stream->body_bytes = ((uint32_t)stream->head[0] << 24) | ((uint32_t)stream->head[1] << 16) |
                         ((uint32_t)stream->head[2] << 8) | stream->head[3];
    return true;
}

enum tri_result tri_stream_next(struct tri_stream *stream, struct tri_bytes *chunk,
                                struct tri_bytes *body, struct tri_wire_fault *fault)
{
    uint32_t take;

    assert(stream != NULL && chunk != NULL && body != NULL && fault != NULL);
    assert(stream->buffer == NULL || stream->got_bytes < stream->body_bytes); /* reclaim first */
    if (stream->head_bytes < TRI_FRAME_HEADER_BYTES && !stream_next_head(stream, chunk)) {
        return TRI_MORE;
    }
    if (stream->body_bytes == 0 || stream->body_bytes > stream->body_bytes_max) {
        fault->code =
            stream->body_bytes == 0 ? TRI_ERROR_MALFORMED_FRAME : TRI_ERROR_FRAME_TOO_LONG;
        fault->at = 0;
        fault->field = "length";
        return TRI_VIOLATION;
    }
    if (stream->buffer == NULL) {
        if (chunk->bytes >= stream->body_bytes) {
            *body = (struct tri_bytes){chunk->at, stream->body_bytes};
            chunk_advance(chunk, stream->body_bytes);
            stream->head_bytes = 0;
            return TRI_OK;
        }
        /* At a chunk's end the body may still come in one piece: no buffer yet. */
        return chunk->bytes == 0 ? TRI_MORE : TRI_FULL;
    }
    take = bytes_min(stream->body_bytes - stream->got_bytes, chunk->bytes);
    if (take != 0) {
        memcpy(stream->buffer + stream->got_bytes, chunk->at, take);
        stream->got_bytes += take;
        chunk_advance(chunk, take);
    }
    if (stream->got_bytes < stream->body_bytes) {
        return TRI_MORE;
    }
    *body = (struct tri_bytes){stream->buffer, stream->body_bytes};
    stream->head_bytes = 0;
    return TRI_OK;
}

uint32_t tri_stream_wants(const struct tri_stream *stream)
{
    assert(stream->head_bytes == TRI_FRAME_HEADER_BYTES);
    assert(stream->buffer == NULL);
    return stream->body_bytes;
}

void tri_stream_lend(struct tri_stream *stream, uint8_t *buffer)
{
    assert(buffer != NULL);
    assert(stream->head_bytes == TRI_FRAME_HEADER_BYTES);
    assert(stream->buffer == NULL);
    stream->buffer = buffer;
    stream->got_bytes = 0;
}

uint8_t *tri_stream_reclaim(struct tri_stream *stream)
{
    uint8_t *buffer = stream->buffer;

    if (buffer == NULL || stream->got_bytes < stream->body_bytes) {
        return NULL;
    }
    stream->buffer = NULL;
    stream->got_bytes = 0;
    return buffer;
}

uint8_t *tri_stream_fini(struct tri_stream *stream)
{
    uint8_t *buffer = stream->buffer;

    *stream = (struct tri_stream){0};
    return buffer;
}
