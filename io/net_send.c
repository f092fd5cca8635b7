/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes out.
 *
 * A connection's queue is a list of chunks.  Frames are written at its end
 * while the kernel reads from its head: a send names a range that is complete,
 * and nothing behind that range is looked at, so the queue may grow during a
 * send.  One send takes everything that was queued when it began; the next
 * begins when it has come back.
 */
#include "io/net_internal.h"

#include <errno.h>

static struct net_chunk *send_chunk(const struct tri_net *net, uint32_t handle)
{
    return tri_arena_at(net->chunks, handle);
}

static int64_t send_chunk_bytes(const struct tri_net *net, uint32_t handle)
{
    return tri_arena_class_bytes(net->chunks, tri_arena_class(handle));
}

static void send_chunk_give(struct tri_net *net, struct net_connection *connection, uint32_t handle)
{
    net_account_add_send(net, connection, -send_chunk_bytes(net, handle));
    tri_arena_give(net->chunks, handle);
}

/* Appends an empty chunk with room for `bytes`; large ones as soon as the queue is no longer short.
 */
static struct net_chunk *send_grow(struct tri_net *net, struct net_connection *connection,
                                   uint32_t bytes)
{
    uint32_t small = tri_arena_class_bytes(net->chunks, 0);
    uint32_t wanted = bytes + (uint32_t)sizeof(struct net_chunk);
    uint32_t handle = 0;
    struct net_chunk *chunk = NULL;

    if (connection->queued_bytes > 0 && wanted <= small) {
        wanted = small + 1;
    }
    if (!net_account_has_send(net, connection,
                              tri_arena_class_bytes(net->chunks, wanted <= small ? 0 : 1))) {
        net_add(&net->counters.send_share_refused, 1);
        return NULL;
    }
    if (tri_arena_take(net->chunks, wanted, &handle) != TRI_OK &&
        tri_arena_take(net->chunks, bytes + (uint32_t)sizeof(struct net_chunk), &handle) !=
            TRI_OK) {
        return NULL;
    }
    net_account_add_send(net, connection, send_chunk_bytes(net, handle));
    chunk = send_chunk(net, handle);
    *chunk = (struct net_chunk){
        .next = NET_NONE,
        .room = tri_arena_class_bytes(net->chunks, tri_arena_class(handle)) -
                (uint32_t)sizeof(struct net_chunk),
    };
    if (connection->send_first == NET_NONE) {
        connection->send_first = handle;
        connection->send_offset = 0;
    } else {
        send_chunk(net, connection->send_last)->next = handle;
    }
    connection->send_last = handle;
    return chunk;
}

uint8_t *tri_net_reserve(struct tri_net *net, tri_port port, uint32_t bytes)
{
    struct net_connection *connection = net_find(net, port);
    struct net_chunk *chunk = NULL;

    assert(bytes > 0 && bytes <= TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES);
    if (connection == NULL || connection->state != NET_OPEN) {
        return NULL;
    }
    if (bytes <= connection->limits.send_max_bytes - connection->queued_bytes) {
        if (connection->send_last != NET_NONE) {
            chunk = send_chunk(net, connection->send_last);
        }
        if (chunk == NULL || chunk->room - chunk->used < bytes) {
            chunk = send_grow(net, connection, bytes);
        }
    }
    if (chunk == NULL) {
        connection->is_lost = true;
        net_add(&net->counters.send_refused, 1);
        net_mark(net, connection);
        return NULL;
    }
    return chunk->bytes + chunk->used;
}

void tri_net_commit(struct tri_net *net, tri_port port, uint32_t bytes)
{
    struct net_connection *connection = net_find(net, port);
    struct net_chunk *chunk = NULL;

    assert(connection != NULL && connection->state == NET_OPEN);
    assert(connection->send_last != NET_NONE);
    chunk = send_chunk(net, connection->send_last);
    assert(bytes > 0 && bytes <= chunk->room - chunk->used);
    chunk->used += bytes;
    connection->queued_bytes += bytes;
    net_add(&net->counters.send_frames, 1);
    net_mark(net, connection);
}

void net_send_start(struct tri_net *net, struct net_connection *connection)
{
    struct io_uring_sqe *request = NULL;
    uint32_t handle = connection->send_first;
    uint32_t offset = connection->send_offset;
    uint32_t runs = 0;

    if (connection->is_sending || connection->queued_bytes == 0) {
        return;
    }
    while (handle != NET_NONE && runs < NET_SEND_RUNS_MAX) {
        struct net_chunk *chunk = send_chunk(net, handle);

        if (chunk->used > offset) {
            connection->runs[runs++] = (struct iovec){
                .iov_base = chunk->bytes + offset,
                .iov_len = chunk->used - offset,
            };
        }
        handle = chunk->next;
        offset = 0;
    }
    assert(runs > 0);
    request = tri_loop_request(net->loop);
    if (runs == 1) {
        io_uring_prep_send(request, connection->descriptor, connection->runs[0].iov_base,
                           connection->runs[0].iov_len, MSG_NOSIGNAL);
    } else {
        connection->message = (struct msghdr){.msg_iov = connection->runs, .msg_iovlen = runs};
        io_uring_prep_sendmsg(request, connection->descriptor, &connection->message, MSG_NOSIGNAL);
    }
    request->user_data = net_user_data(net, connection, NET_KIND_SEND);
    connection->is_sending = true;
    connection->requests++;
    net_add(&net->counters.sends, 1);
}

/* Takes `bytes` that were sent off the head of the queue. */
static void send_advance(struct tri_net *net, struct net_connection *connection, uint32_t bytes)
{
    assert(bytes <= connection->queued_bytes);
    connection->queued_bytes -= bytes;
    while (connection->send_first != NET_NONE) {
        uint32_t handle = connection->send_first;
        struct net_chunk *chunk = send_chunk(net, handle);
        uint32_t left = chunk->used - connection->send_offset;

        if (bytes < left) {
            connection->send_offset += bytes;
            return;
        }
        bytes -= left;
        connection->send_first = chunk->next;
        connection->send_offset = 0;
        send_chunk_give(net, connection, handle);
    }
    assert(bytes == 0);
    connection->send_last = NET_NONE;
}

void net_send_complete(struct tri_net *net, struct net_connection *connection, int32_t result)
{
    assert(connection->is_sending);
    assert(connection->requests > 0);
    connection->is_sending = false;
    connection->requests--;
    net_mark(net, connection);
    if (connection->state == NET_DEAD || connection->state == NET_DETACHED) {
        return;
    }
    if (result >= 0) {
        net_add(&net->counters.send_bytes, (uint64_t)result);
        send_advance(net, connection, (uint32_t)result);
    } else if (result != -EAGAIN && result != -EINTR) {
        net_add(&net->counters.peer_timeouts, result == -ETIMEDOUT ? 1 : 0);
        net_kill(net, connection, result);
    }
}

void net_send_drop(struct tri_net *net, struct net_connection *connection)
{
    assert(!connection->is_sending);
    while (connection->send_first != NET_NONE) {
        uint32_t handle = connection->send_first;

        connection->send_first = send_chunk(net, handle)->next;
        send_chunk_give(net, connection, handle);
    }
    connection->send_last = NET_NONE;
    connection->send_offset = 0;
    connection->queued_bytes = 0;
}

/* Room for any frame, now. */
static bool send_has_room(const struct tri_net *net)
{
    uint32_t classes = 2;

    return tri_arena_free_count(net->chunks, classes - 1) > 0;
}

bool net_send_pressure(struct tri_net *net, struct net_connection *connection)
{
    tri_port port = net_port(net, connection);

    if (connection->is_lost && !connection->is_lost_told) {
        connection->is_lost_told = true;
        connection->is_high = true;
        net->ops->pressure(net->context, port, TRI_NET_LOST);
    } else if (!connection->is_high &&
               connection->queued_bytes > connection->limits.send_high_bytes) {
        connection->is_high = true;
        net_add(&net->counters.send_high_waters, 1);
        net->ops->pressure(net->context, port, TRI_NET_HIGH);
    }
    if (connection->state != NET_OPEN || !connection->is_high ||
        connection->queued_bytes > connection->limits.send_high_bytes / 2) {
        return false;
    }
    if (connection->is_lost && !send_has_room(net)) {
        return true;
    }
    connection->is_high = false;
    connection->is_lost = false;
    connection->is_lost_told = false;
    net->ops->pressure(net->context, port, TRI_NET_LOW);
    return false;
}
