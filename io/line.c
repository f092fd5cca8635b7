/* SPDX-License-Identifier: Apache-2.0 */
#include "io/line.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int tri_line_init(struct tri_line *line, uint32_t in_bytes_max, uint32_t out_bytes_max)
{
    assert(line != NULL);
    assert(in_bytes_max > 0U && out_bytes_max > 0U);
    memset(line, 0, sizeof(*line));
    line->fd = -1;
    line->in_bytes_max = in_bytes_max;
    line->out_bytes_max = out_bytes_max;
    line->in = malloc(in_bytes_max);
    line->out = malloc(out_bytes_max);
    line->straddle = malloc(TRI_FRAME_BYTES_MAX);
    return line->in != NULL && line->out != NULL && line->straddle != NULL ? 0 : -ENOMEM;
}

void tri_line_fini(struct tri_line *line)
{
    if (line->in_bytes_max > 0U) {
        tri_line_close(line);
    }
    free(line->in);
    free(line->out);
    free(line->straddle);
    memset(line, 0, sizeof(*line));
}

void tri_line_open(struct tri_line *line, int fd)
{
    assert(line->fd < 0);
    assert(fd >= 0);
    line->fd = fd;
    tri_stream_init(&line->stream, TRI_FRAME_BYTES_MAX);
    line->chunk = (struct tri_bytes){line->in, 0};
    line->out_from = 0;
    line->out_to = 0;
    line->out_sent = 0;
}

void tri_line_close(struct tri_line *line)
{
    if (line->fd >= 0) {
        (void)close(line->fd);
        (void)tri_stream_fini(&line->stream);
        line->fd = -1;
    }
}

int tri_line_receive(struct tri_line *line)
{
    ssize_t got;

    assert(line->fd >= 0);
    if (line->chunk.bytes > 0U) {
        return 0;
    }
    got = recv(line->fd, line->in, line->in_bytes_max, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    if (got == 0) {
        return -ECONNRESET;
    }
    line->chunk = (struct tri_bytes){line->in, (uint32_t)got};
    return 0;
}

enum tri_result tri_line_next(struct tri_line *line, struct tri_bytes *body,
                              struct tri_wire_fault *fault)
{
    enum tri_result result;

    assert(line->fd >= 0);
    (void)tri_stream_reclaim(&line->stream);
    result = tri_stream_next(&line->stream, &line->chunk, body, fault);
    if (result == TRI_FULL) {
        tri_stream_lend(&line->stream, line->straddle);
        result = tri_stream_next(&line->stream, &line->chunk, body, fault);
    }
    assert(result != TRI_FULL);
    return result;
}

struct tri_writer tri_line_room(struct tri_line *line, uint32_t bytes)
{
    assert(bytes <= line->out_bytes_max);
    if (line->out_bytes_max - line->out_to < bytes && line->out_from > 0U) {
        memmove(line->out, line->out + line->out_from, line->out_to - line->out_from);
        line->out_to -= line->out_from;
        line->out_from = 0;
    }
    if (line->fd < 0 || line->out_bytes_max - line->out_to < bytes) {
        return (struct tri_writer){NULL, NULL, true};
    }
    return (struct tri_writer){line->out + line->out_to, line->out + line->out_bytes_max, false};
}

void tri_line_put(struct tri_line *line, const struct tri_writer *writer)
{
    assert(!writer->failed);
    assert(writer->at >= line->out + line->out_to);
    assert(writer->at <= line->out + line->out_bytes_max);
    line->out_to = (uint32_t)(writer->at - line->out);
}

enum tri_result tri_line_send_frame(struct tri_line *line, const struct tri_frame *frame)
{
    struct tri_writer writer = tri_line_room(line, 1);
    uint32_t bytes;

    if (writer.at == NULL) {
        return TRI_FULL;
    }
    bytes = tri_wire_encode(frame, writer.at, (uint32_t)(writer.end - writer.at));
    if (bytes == 0U && line->out_from > 0U) {
        writer = tri_line_room(line, (uint32_t)(writer.end - writer.at) + 1U);
        bytes = writer.at == NULL
                    ? 0U
                    : tri_wire_encode(frame, writer.at, (uint32_t)(writer.end - writer.at));
    }
    if (bytes == 0U) {
        return TRI_FULL;
    }
    writer.at += bytes;
    tri_line_put(line, &writer);
    return TRI_OK;
}

uint64_t tri_line_place(const struct tri_line *line)
{
    return line->out_sent + (line->out_to - line->out_from);
}

int tri_line_flush(struct tri_line *line)
{
    return tri_line_flush_to(line, tri_line_place(line));
}

int tri_line_flush_to(struct tri_line *line, uint64_t place)
{
    uint64_t ready = place > line->out_sent ? place - line->out_sent : 0;
    ssize_t sent;

    assert(line->fd >= 0);
    assert(place <= tri_line_place(line));
    if (ready == 0U) {
        return 0;
    }
    sent = send(line->fd, line->out + line->out_from, ready, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    line->out_from += (uint32_t)sent;
    line->out_sent += (uint64_t)sent;
    if ((uint64_t)sent < ready) {
        return -EAGAIN;
    }
    if (line->out_from == line->out_to) {
        line->out_from = 0;
        line->out_to = 0;
    }
    return 0;
}
