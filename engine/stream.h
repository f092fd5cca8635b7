/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream: a byte stream -> frame bodies, resumable at any byte.
 *
 * The caller feeds chunks as they were received.  A body that lies wholly in
 * one chunk is given back in place; only a body that straddles chunks is put
 * together in a buffer, which the caller lends once its size is known.  So the
 * buffers of all connections can come from one bounded pool, and a connection
 * between two frames holds no memory but this struct.
 *
 * A loop over one chunk:
 *
 *     for (;;) {
 *         switch (tri_stream_next(&stream, &chunk, &body, &fault)) {
 *         case TRI_OK:        use body; the buffer = tri_stream_reclaim(&stream); continue;
 *         case TRI_FULL:      tri_stream_lend(&stream, a buffer of tri_stream_wants()); continue;
 *         case TRI_MORE:      the chunk is used up: wait for the next one
 *         case TRI_VIOLATION: answer ERROR with fault.code and close
 *         }
 *     }
 *
 * Threads: a stream belongs to one thread at a time.
 */
#ifndef TRI_ENGINE_STREAM_H
#define TRI_ENGINE_STREAM_H

#include "engine/wire.h"

struct tri_stream {
    uint8_t head[TRI_FRAME_HEADER_BYTES]; /* the length, as far as it has come */
    uint32_t head_bytes;
    uint32_t body_bytes_max;
    uint32_t body_bytes; /* once the head is whole */
    uint32_t got_bytes;  /* of the body, in `buffer` */
    uint8_t *buffer;     /* lent, or NULL */
};

/* tri_stream_init begins before the first byte; frames are bounded by `body_bytes_max`, in
 * [1, TRI_FRAME_BYTES_MAX]. */
void tri_stream_init(struct tri_stream *stream, uint32_t body_bytes_max);

/*
 * tri_stream_next finds the next frame.
 *
 * chunk  in and out; received bytes, advanced past what was used.
 * body   out on TRI_OK: the frame's body, 1..body_bytes_max bytes; in the chunk, or in the lent
 *        buffer, valid as long as those are.
 * fault  out on TRI_VIOLATION.
 *
 * Returns TRI_OK (call tri_stream_reclaim when done with the body, then call again); TRI_MORE: the
 * chunk is empty, feed the next one; TRI_FULL: lend a buffer of tri_stream_wants() bytes, then call
 * again with the same chunk; without a buffer keep the chunk and stop receiving until there is one;
 * TRI_VIOLATION: a length of 0 (MALFORMED_FRAME) or above the maximum (FRAME_TOO_LONG); the stream
 * cannot go on and says the same for ever.
 * Cost: O(1) in place; a copy of what straddles.
 */
enum tri_result tri_stream_next(struct tri_stream *stream, struct tri_bytes *chunk,
                                struct tri_bytes *body, struct tri_wire_fault *fault);

/* tri_stream_wants returns the bytes of the buffer to lend after TRI_FULL. */
uint32_t tri_stream_wants(const struct tri_stream *stream);

/* tri_stream_lend gives a buffer of at least tri_stream_wants() bytes, borrowed until reclaimed. */
void tri_stream_lend(struct tri_stream *stream, uint8_t *buffer);

/* tri_stream_reclaim returns the lent buffer if its frame was given out, else NULL. */
uint8_t *tri_stream_reclaim(struct tri_stream *stream);

/* tri_stream_fini ends the stream and returns the lent buffer, or NULL; accepts a zeroed stream. */
uint8_t *tri_stream_fini(struct tri_stream *stream);

#endif
