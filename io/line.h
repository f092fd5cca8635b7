/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line: one end of a connection, for programs with few of them.
 *
 * A non-blocking socket, the stream of frames that comes out of it, and the
 * frames that wait to go in.  One receive takes what is there, frames are used
 * in place, answers are put side by side and leave in one send.
 *
 * The buffers are acquired by tri_line_init() and serve one connection after
 * another; nothing else allocates.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_LINE_H
#define TRI_IO_LINE_H

#include "engine/stream.h"

struct tri_line {
    int fd; /* -1: no connection */
    struct tri_stream stream;
    uint8_t *straddle; /* lent to the stream for frames that straddle two receives */
    uint8_t *in;
    uint32_t in_bytes_max;
    struct tri_bytes chunk; /* received and not yet used, in `in` */
    uint8_t *out;
    uint32_t out_bytes_max;
    uint32_t out_from; /* first byte not yet sent */
    uint32_t out_to;
    uint64_t out_sent; /* bytes sent on this connection */
};

/* tri_line_init acquires buffers of these sizes; `out_bytes_max` bounds what may wait to be sent.
 * Returns 0 or -ENOMEM. */
int tri_line_init(struct tri_line *line, uint32_t in_bytes_max, uint32_t out_bytes_max);
/* tri_line_fini closes and gives the buffers back; accepts a zeroed line. */
void tri_line_fini(struct tri_line *line);

/* tri_line_open begins a connection on `fd`, which moves to the line. */
void tri_line_open(struct tri_line *line, int fd);
void tri_line_close(struct tri_line *line);

/* tri_line_receive takes what is there, one system call; nothing if earlier bytes are not used up.
 * Returns 0, or -EAGAIN, -ECONNRESET when the peer closed, or another -errno: close. */
int tri_line_receive(struct tri_line *line);

/* tri_line_next gives the next frame, valid until the next call on the line: TRI_OK, TRI_MORE
 * (receive again) or TRI_VIOLATION with *fault (close). */
enum tri_result tri_line_next(struct tri_line *line, struct tri_bytes *body,
                              struct tri_wire_fault *fault);

/* tri_line_room returns a writer over all the room left, at least `bytes` of it; its `at` is NULL
 * if there is less.  tri_line_put queues what was written. */
struct tri_writer tri_line_room(struct tri_line *line, uint32_t bytes);
void tri_line_put(struct tri_line *line, const struct tri_writer *writer);

/* tri_line_send_frame queues one frame.  TRI_OK or TRI_FULL. */
enum tri_result tri_line_send_frame(struct tri_line *line, const struct tri_frame *frame);

/* tri_line_flush sends what waits, one system call.  Returns 0 when nothing is left, -EAGAIN when
 * the socket takes no more for now, or another -errno: close. */
int tri_line_flush(struct tri_line *line);

/* The place behind all that was queued, counted in bytes from the connection's beginning; and
 * tri_line_flush() of what lies before such a place. */
uint64_t tri_line_place(const struct tri_line *line);
int tri_line_flush_to(struct tri_line *line, uint64_t place);

#endif
