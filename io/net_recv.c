/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in.
 *
 * Received buffers wait in a list per connection, usually empty but for the one
 * at hand.  The head of the list is cut into frames where it lies; when it is
 * used up it goes back to the kernel.  A frame that its taker cannot take keeps
 * its buffer, and so does one for whose pieces the arena has no room: the
 * connection is stalled, and after a few buffers it is not read any more, so a
 * flood never empties the ring for the others.
 */
#include "io/net_internal.h"

#include <errno.h>

static void recv_buffer_give(struct tri_net *net, uint32_t buffer)
{
    uint32_t mask = net->options.recv_buffers - 1;

    assert(buffer < net->options.recv_buffers);
    io_uring_buf_ring_add(net->ring, net->buffers + (size_t)buffer * net->options.recv_buffer_bytes,
                          net->options.recv_buffer_bytes, (unsigned short)buffer, (int)mask, 0);
    io_uring_buf_ring_advance(net->ring, 1);
    net->buffers_free++;
    assert(net->buffers_free <= net->options.recv_buffers);
}

void net_recv_init(struct tri_net *net)
{
    io_uring_buf_ring_init(net->ring);
    for (uint32_t buffer = 0; buffer < net->options.recv_buffers; buffer++) {
        recv_buffer_give(net, buffer);
    }
}

static bool recv_wanted(const struct net_connection *connection)
{
    switch (connection->state) {
    case NET_OPEN:
        if (connection->is_paused || connection->held_count > NET_HELD_MAX) {
            return false;
        }
        /* In the handshake one frame at a time: nothing is in flight when it ends. */
        return connection->is_streaming || connection->held_count == 0;
    case NET_FLUSHING:
    case NET_LINGERING:
        return !connection->is_ended;
    default:
        return false;
    }
}

bool net_recv_starves(const struct tri_net *net, const struct net_connection *connection)
{
    return !connection->is_receiving && recv_wanted(connection) && net->buffers_free == 0;
}

void net_recv_arm(struct tri_net *net, struct net_connection *connection)
{
    struct io_uring_sqe *request = NULL;
    bool is_open = connection->is_streaming && connection->state == NET_OPEN;

    if (connection->is_receiving || !recv_wanted(connection) || net->buffers_free == 0 ||
        (is_open && net_account_is_unread(net, connection))) {
        return;
    }
    request = tri_loop_request(net->loop);
    connection->is_receiving_on = is_open && !net_account_is_watched(net, connection);
    if (connection->is_receiving_on) {
        io_uring_prep_recv_multishot(request, connection->descriptor, NULL, 0, 0);
    } else {
        io_uring_prep_recv(request, connection->descriptor, NULL, 0, 0);
    }
    request->flags |= IOSQE_BUFFER_SELECT;
    request->buf_group = NET_RECV_GROUP;
    request->user_data = net_user_data(net, connection, NET_KIND_RECV);
    connection->is_receiving = true;
    connection->requests++;
}

void net_recv_cancel(struct tri_net *net, struct net_connection *connection)
{
    struct io_uring_sqe *request = NULL;

    if (!connection->is_receiving || connection->is_cancelling) {
        return;
    }
    request = tri_loop_request(net->loop);
    io_uring_prep_cancel64(request, net_user_data(net, connection, NET_KIND_RECV), 0);
    request->user_data = TRI_LOOP_DATA(NET_KIND_CANCEL, 0);
    request->flags |= IOSQE_CQE_SKIP_SUCCESS;
    connection->is_cancelling = true;
}

/* The head of the list is used up. */
static void recv_held_pop(struct tri_net *net, struct net_connection *connection)
{
    uint32_t buffer = connection->held_first;

    assert(buffer != NET_NONE);
    assert(connection->held_count > 0);
    connection->held_first = net->buffer_states[buffer].next;
    connection->held_count--;
    connection->chunk = (struct tri_bytes){NULL, 0};
    connection->ahead = NULL;
    recv_buffer_give(net, buffer);
    if (connection->held_first == NET_NONE) {
        connection->held_last = NET_NONE;
        return;
    }
    buffer = connection->held_first;
    connection->chunk = (struct tri_bytes){
        net->buffers + (size_t)buffer * net->options.recv_buffer_bytes,
        net->buffer_states[buffer].bytes,
    };
}

static void recv_held_push(struct tri_net *net, struct net_connection *connection, uint32_t buffer,
                           uint32_t bytes)
{
    net->buffer_states[buffer] = (struct net_buffer){NET_NONE, bytes};
    if (connection->held_first == NET_NONE) {
        connection->held_first = buffer;
        connection->chunk = (struct tri_bytes){
            net->buffers + (size_t)buffer * net->options.recv_buffer_bytes, bytes};
    } else {
        net->buffer_states[connection->held_last].next = buffer;
    }
    connection->held_last = buffer;
    connection->held_count++;
}

static void recv_reclaim(struct tri_net *net, struct net_connection *connection)
{
    if (tri_stream_reclaim(&connection->stream) != NULL) {
        net_partial_give(net, connection);
        net_add(&net->counters.recv_frames_pieced, 1);
    }
}

/* A peer may not leave a frame unfinished for ever, however little of it has come.  In the
 * handshake there is a limit already. */
static void recv_frame_begun(struct tri_net *net, struct net_connection *connection)
{
    if (connection->is_streaming && connection->stream.head_bytes > 0 && !connection->is_in_frame) {
        connection->is_in_frame = true;
        net_deadline_set(net, connection,
                         net->now_ns + net->options.peer_timeout_ms * TRI_NS_PER_MS);
    }
}

static void recv_frame_whole(struct tri_net *net, struct net_connection *connection)
{
    if (connection->is_in_frame) {
        connection->is_in_frame = false;
        net_deadline_set(net, connection, TRI_NEVER);
    }
}

void net_recv_drop(struct tri_net *net, struct net_connection *connection)
{
    connection->pending = (struct tri_bytes){NULL, 0};
    if (connection->lent != NET_NONE) {
        (void)tri_stream_fini(&connection->stream);
        net_partial_give(net, connection);
    }
    while (connection->held_first != NET_NONE) {
        recv_held_pop(net, connection);
    }
    if (connection->is_stalled) {
        connection->is_stalled = false;
        net->stalled_count--;
    }
}

/* Leaves what is held for a later turn; `why` counts it. */
static void recv_stall(struct tri_net *net, struct net_connection *connection,
                       _Atomic uint64_t *why)
{
    if (!connection->is_stalled) {
        connection->is_stalled = true;
        net->stalled_count++;
        net_add(why, 1);
    }
    if (!connection->is_in_stalled) {
        connection->is_in_stalled = true;
        connection->next_stalled = net->stalled_first;
        net->stalled_first = net_slot(net, connection);
    }
    if (connection->held_count > NET_HELD_MAX) {
        net_recv_cancel(net, connection);
    }
}

/* Announces the whole frames that lie within the next bytes of the chunk.  The chunk must begin
 * with a frame. */
static void recv_ahead(struct tri_net *net, struct net_connection *connection, tri_port port)
{
    const uint8_t *end = connection->chunk.at + connection->chunk.bytes;
    const uint8_t *at = connection->ahead;

    if (at == NULL || at < connection->chunk.at) {
        at = connection->chunk.at;
    }
    assert(at <= end);
    while (at - connection->chunk.at < NET_AHEAD_BYTES &&
           end - at > (ptrdiff_t)TRI_FRAME_HEADER_BYTES) {
        uint32_t bytes =
            (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];

        if (bytes == 0 || bytes > (size_t)(end - at) - TRI_FRAME_HEADER_BYTES) {
            at = end;
            break;
        }
        net->ops->ahead(net->context, port, at + TRI_FRAME_HEADER_BYTES, bytes);
        at += TRI_FRAME_HEADER_BYTES + bytes;
    }
    connection->ahead = at;
}

/* Hands the pending frame out; false: it waits for a later turn. */
static bool recv_hand_out(struct tri_net *net, struct net_connection *connection, tri_port port)
{
    if (connection->turn != net->turn) {
        connection->turn = net->turn;
        connection->turn_frames = 0;
    }
    if (connection->turn_frames >= net->options.turn_frames_max) {
        recv_stall(net, connection, &net->counters.recv_yields);
        return false;
    }
    if (net->ops->frame(net->context, port, connection->pending.at, connection->pending.bytes) ==
        TRI_FULL) {
        recv_stall(net, connection, &net->counters.recv_stalls);
        return false;
    }
    connection->turn_frames++;
    net_add(&net->counters.recv_frames, 1);
    connection->pending = (struct tri_bytes){NULL, 0};
    recv_reclaim(net, connection);
    return true;
}

/* Cuts the held buffers into frames until they are used up or a frame finds no taker. */
static void recv_run(struct tri_net *net, struct net_connection *connection)
{
    struct tri_wire_fault fault;
    tri_port port = net_port(net, connection);

    while (connection->state == NET_OPEN && connection->held_first != NET_NONE) {
        if (connection->pending.at != NULL) {
            if (!recv_hand_out(net, connection, port)) {
                return;
            }
            continue;
        }
        switch (tri_stream_next(&connection->stream, &connection->chunk, &connection->pending,
                                &fault)) {
        case TRI_OK:
            recv_frame_whole(net, connection);
            recv_ahead(net, connection, port);
            break;
        case TRI_MORE:
            recv_frame_begun(net, connection);
            recv_held_pop(net, connection);
            break;
        case TRI_FULL:
            net_partial_take(net, connection, tri_stream_wants(&connection->stream));
            tri_stream_lend(&connection->stream, tri_arena_at(net->partials, connection->lent));
            break;
        default:
            net_add(&net->counters.recv_faults, 1);
            net_refuse(net, connection, fault.code);
            break;
        }
    }
    if (connection->state != NET_OPEN) {
        net_recv_drop(net, connection);
    }
    if (connection->is_stalled) {
        connection->is_stalled = false;
        net->stalled_count--;
    }
    net_mark(net, connection);
}

uint32_t tri_net_retry(struct tri_net *net)
{
    uint32_t slot = net->stalled_first;
    uint32_t went_on = 0;

    net->stalled_first = NET_NONE;
    while (slot != NET_NONE) {
        struct net_connection *connection = &net->connections[slot];

        slot = connection->next_stalled;
        connection->is_in_stalled = false;
        if (connection->is_stalled) {
            recv_run(net, connection);
            went_on += connection->is_stalled ? 0 : 1;
        }
    }
    return went_on;
}

static void recv_ended(struct tri_net *net, struct net_connection *connection, int32_t result)
{
    if (result == -ENOBUFS) {
        net_add(&net->counters.recv_buffers_out, 1);
        net_mark(net, connection);
    } else if (result == -ECANCELED || result == -EINTR || result == -EAGAIN) {
        net_mark(net, connection);
    } else if (result == 0 && connection->state == NET_FLUSHING) {
        connection->is_ended = true;
        net_mark(net, connection);
    } else {
        net_add(&net->counters.peer_timeouts, result == -ETIMEDOUT ? 1 : 0);
        net_kill(net, connection, result);
    }
}

void net_recv_complete(struct tri_net *net, struct net_connection *connection, int32_t result,
                       uint32_t flags)
{
    if ((flags & IORING_CQE_F_MORE) == 0) {
        assert(connection->requests > 0);
        connection->requests--;
        connection->is_receiving = false;
        connection->is_receiving_on = false;
        connection->is_cancelling = false;
        net_mark(net, connection);
    }
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t buffer = flags >> IORING_CQE_BUFFER_SHIFT;

        assert(net->buffers_free > 0);
        net->buffers_free--;
        if (result <= 0 || connection->state != NET_OPEN) {
            recv_buffer_give(net, buffer);
        } else {
            net_add(&net->counters.recv_bytes, (uint64_t)result);
            recv_held_push(net, connection, buffer, (uint32_t)result);
            if (!connection->is_stalled) {
                recv_run(net, connection);
            } else if (connection->held_count > NET_HELD_MAX) {
                net_recv_cancel(net, connection);
            }
        }
    }
    if (result <= 0 && connection->state != NET_DEAD && connection->state != NET_DETACHED) {
        recv_ended(net, connection, result);
    }
}
