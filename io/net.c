/* SPDX-License-Identifier: Apache-2.0 */
#include "io/net_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/place.h"

#define NET_PAGE_BYTES  4096U
#define NET_GENERATIONS 0x1000000U

/* Frames in pieces: most straddle a buffer's end and are short; a few are as long as a frame may
 * be. */
static struct tri_arena_options net_partial_classes(uint64_t bytes)
{
    return (struct tri_arena_options){
        .class_count = NET_PARTIAL_CLASSES,
        .class_bytes = {1024, 8192, TRI_FRAME_BYTES_MAX},
        .class_slots = {(uint32_t)(bytes / 8 / 1024), (uint32_t)(bytes / 8 / 8192),
                        (uint32_t)(bytes / 4 * 3 / TRI_FRAME_BYTES_MAX)},
    };
}

/* One small chunk is enough for a quiet connection; the large ones hold any frame. */
static struct tri_arena_options net_chunk_classes(uint64_t bytes)
{
    return (struct tri_arena_options){
        .class_count = 2,
        .class_bytes = {16384, 98304},
        .class_slots = {(uint32_t)(bytes / 4 / 16384), (uint32_t)(bytes / 4 * 3 / 98304)},
    };
}

static_assert(98304 >= TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES + sizeof(struct net_chunk),
              "a large chunk holds any frame");
static_assert(NET_HANDSHAKE_BYTES_MAX <= NET_HANDSHAKE_QUEUE_BYTES,
              "a handshake's answer fits into its queue");
static_assert(TRI_FRAME_BYTES_MAX % 8 == 0, "arena classes are multiples of 8");

/* Where each part lies in the one mapping. */
struct net_layout {
    uint64_t connections;
    uint64_t deadlines_ns;
    uint64_t accounts;
    uint64_t free_slots;
    uint64_t buffer_states;
    uint64_t ring;
    uint64_t buffers;
    uint64_t partials;
    uint64_t chunks;
    uint64_t bytes;
};

static uint64_t layout_take(uint64_t *used, uint64_t bytes)
{
    uint64_t at = *used;

    *used = (at + bytes + NET_PAGE_BYTES - 1) / NET_PAGE_BYTES * NET_PAGE_BYTES;
    return at;
}

static struct net_layout net_layout_of(const struct tri_net_options *options)
{
    struct tri_arena_options partials = net_partial_classes(options->partial_bytes);
    struct tri_arena_options chunks = net_chunk_classes(options->send_bytes);
    struct net_layout layout;
    uint64_t used = 0;

    (void)layout_take(&used, sizeof(struct tri_net));
    layout.connections =
        layout_take(&used, (uint64_t)options->connections_max * sizeof(struct net_connection));
    layout.deadlines_ns = layout_take(&used, (uint64_t)options->connections_max * sizeof(uint64_t));
    layout.accounts =
        layout_take(&used, ((uint64_t)options->accounts + 1) * sizeof(struct net_account));
    layout.free_slots = layout_take(&used, (uint64_t)options->connections_max * sizeof(uint32_t));
    layout.buffer_states =
        layout_take(&used, (uint64_t)options->recv_buffers * sizeof(struct net_buffer));
    layout.ring = layout_take(&used, (uint64_t)options->recv_buffers * sizeof(struct io_uring_buf));
    layout.buffers =
        layout_take(&used, (uint64_t)options->recv_buffers * options->recv_buffer_bytes);
    layout.partials = layout_take(&used, tri_arena_footprint(&partials));
    layout.chunks = layout_take(&used, tri_arena_footprint(&chunks));
    layout.bytes = used;
    return layout;
}

uint64_t tri_net_bytes(const struct tri_net_options *options)
{
    return net_layout_of(options).bytes;
}

static void net_format(struct tri_net *net, uint8_t *memory, const struct net_layout *layout)
{
    struct tri_arena_options partials = net_partial_classes(net->options.partial_bytes);
    struct tri_arena_options chunks = net_chunk_classes(net->options.send_bytes);

    net->connections = (struct net_connection *)(void *)(memory + layout->connections);
    net->deadlines_ns = (uint64_t *)(void *)(memory + layout->deadlines_ns);
    net->accounts = (struct net_account *)(void *)(memory + layout->accounts);
    net->free_slots = (uint32_t *)(void *)(memory + layout->free_slots);
    net->buffer_states = (struct net_buffer *)(void *)(memory + layout->buffer_states);
    net->ring = (struct io_uring_buf_ring *)(void *)(memory + layout->ring);
    net->buffers = memory + layout->buffers;
    net->partials = tri_arena_init(memory + layout->partials, &partials);
    net->chunks = tri_arena_init(memory + layout->chunks, &chunks);
    net->listener = -1;
    net->accept_again_ns = TRI_NEVER;
    net->dirty_first = NET_NONE;
    net->later_first = NET_NONE;
    net->stalled_first = NET_NONE;
    net->free_count = net->options.connections_max;
    for (uint32_t index = 0; index < net->free_count; index++) {
        net->free_slots[index] = net->options.connections_max - 1 - index;
    }
    net_accounts_init(net);
}

int tri_net_init(struct tri_net **result, const struct tri_net_options *options,
                 struct tri_loop *loop, const struct tri_net_ops *ops, void *context,
                 const char **advice)
{
    struct net_layout layout = net_layout_of(options);
    struct io_uring_buf_reg registration = {0};
    uint8_t *memory = NULL;
    struct tri_net *net = NULL;
    int failed = 0;

    assert(options->connections_max >= 1 && options->connections_max <= 65536);
    assert(options->recv_buffers >= 2 && options->recv_buffers <= 32768);
    assert((options->recv_buffers & (options->recv_buffers - 1)) == 0);
    assert(options->handshakes_max >= 1 && options->accepts_per_s >= 1);
    assert(options->accounts >= 1 && options->accounts <= UINT16_MAX);
    assert(options->account_share_permille >= 1 && options->account_share_permille <= 1000);
    assert(options->charges_per_s >= 1 && options->turn_frames_max >= 1);
    memory = tri_place_map(layout.bytes);
    if (memory == NULL) {
        *advice = "no memory for the connections: lower connections, sendBytes or "
                  "partialFrameBytes, or raise `ulimit -v`";
        return -ENOMEM;
    }
    net = (struct tri_net *)(void *)memory;
    net->options = *options;
    net->loop = loop;
    net->ops = ops;
    net->context = context;
    net->memory = memory;
    net->memory_bytes = layout.bytes;
    net_format(net, memory, &layout);
    registration.ring_addr = (uint64_t)(uintptr_t)net->ring;
    registration.ring_entries = options->recv_buffers;
    registration.bgid = NET_RECV_GROUP;
    failed = io_uring_register_buf_ring(&loop->ring, &registration, 0);
    if (failed != 0) {
        *advice = "this kernel has no provided-buffer rings: run Linux 6.0 or newer";
        tri_place_unmap(memory, layout.bytes);
        return failed;
    }
    net_recv_init(net);
    *result = net;
    return 0;
}

void tri_net_fini(struct tri_net *net)
{
    if (net == NULL) {
        return;
    }
    for (uint32_t slot = 0; slot < net->slots_used; slot++) {
        if (net->connections[slot].state != NET_FREE) {
            (void)close(net->connections[slot].descriptor);
        }
    }
    if (net->listener >= 0) {
        (void)close(net->listener);
    }
    tri_place_unmap(net->memory, net->memory_bytes);
}

void tri_net_refusal_set(struct tri_net *net, const uint8_t *frame, uint32_t bytes)
{
    net->refusal = frame;
    net->refusal_bytes = bytes;
}

struct net_connection *net_find(const struct tri_net *net, tri_port port)
{
    struct net_connection *connection = NULL;
    uint32_t slot = TRI_PORT_SLOT(port);

    if (TRI_PORT_SHARD(port) != net->options.shard || slot >= net->slots_used) {
        return NULL;
    }
    connection = &net->connections[slot];
    if (connection->state == NET_FREE || connection->generation != TRI_PORT_GENERATION(port)) {
        return NULL;
    }
    return connection;
}

void net_mark(struct tri_net *net, struct net_connection *connection)
{
    if (!connection->is_dirty) {
        connection->is_dirty = true;
        connection->next_dirty = net->dirty_first;
        net->dirty_first = net_slot(net, connection);
    }
}

void net_deadline_set(struct tri_net *net, struct net_connection *connection, uint64_t deadline_ns)
{
    uint64_t *at = &net->deadlines_ns[net_slot(net, connection)];

    if (*at == TRI_NEVER && deadline_ns != TRI_NEVER) {
        net->timed_count++;
    } else if (*at != TRI_NEVER && deadline_ns == TRI_NEVER) {
        assert(net->timed_count > 0);
        net->timed_count--;
    }
    *at = deadline_ns;
}

struct net_connection *net_take(struct tri_net *net, int descriptor)
{
    struct net_connection *connection = NULL;
    uint32_t generation = 0;
    uint32_t slot = 0;

    if (net->free_count == 0) {
        return NULL;
    }
    slot = net->free_slots[--net->free_count];
    if (slot >= net->slots_used) {
        net->slots_used = slot + 1;
    }
    connection = &net->connections[slot];
    assert(connection->state == NET_FREE && connection->requests == 0);
    assert(!connection->is_dirty && !connection->is_in_stalled);
    generation = (connection->generation + 1) % NET_GENERATIONS;
    *connection = (struct net_connection){
        .state = NET_OPEN,
        .descriptor = descriptor,
        .generation = generation == 0 ? 1 : generation, /* so that no port is 0 */
        .account = NET_ACCOUNT_STRANGERS,
        .turn = net->turn,
        .lent = NET_NONE,
        .held_first = NET_NONE,
        .held_last = NET_NONE,
        .send_first = NET_NONE,
        .send_last = NET_NONE,
        .limits = {.frame_bytes_max = NET_HANDSHAKE_BYTES_MAX,
                   .send_high_bytes = NET_HANDSHAKE_QUEUE_BYTES / 2,
                   .send_max_bytes = NET_HANDSHAKE_QUEUE_BYTES},
    };
    tri_stream_init(&connection->stream, NET_HANDSHAKE_BYTES_MAX);
    net->deadlines_ns[slot] = TRI_NEVER;
    net->accounts[NET_ACCOUNT_STRANGERS].connections++;
    net_add(&net->counters.connections, 1);
    return connection;
}

void tri_net_stream(struct tri_net *net, tri_port port, const struct tri_net_limits *limits)
{
    struct net_connection *connection = net_find(net, port);

    if (connection == NULL || connection->state != NET_OPEN) {
        return;
    }
    assert(limits->frame_bytes_max >= 1 && limits->frame_bytes_max <= TRI_FRAME_BYTES_MAX);
    assert(limits->send_high_bytes < limits->send_max_bytes);
    assert(limits->account < net->options.accounts);
    net_handshake_over(net, connection);
    net_account_move(net, connection, limits->account + 1);
    connection->is_streaming = true;
    connection->limits = *limits;
    connection->stream.body_bytes_max = limits->frame_bytes_max;
    net_deadline_set(net, connection, TRI_NEVER);
    net_mark(net, connection);
}

void tri_net_pause(struct tri_net *net, tri_port port)
{
    struct net_connection *connection = net_find(net, port);

    if (connection != NULL && !connection->is_paused) {
        connection->is_paused = true;
        net_recv_cancel(net, connection);
    }
}

void tri_net_resume(struct tri_net *net, tri_port port)
{
    struct net_connection *connection = net_find(net, port);

    if (connection != NULL && connection->is_paused) {
        connection->is_paused = false;
        net_mark(net, connection);
    }
}

void net_kill(struct tri_net *net, struct net_connection *connection, int failed)
{
    if (connection->state == NET_DEAD || connection->state == NET_DETACHED) {
        return;
    }
    connection->state = NET_DEAD;
    connection->failed = failed;
    net_handshake_over(net, connection);
    net_deadline_set(net, connection, TRI_NEVER);
    /* Makes the kernel end the requests that it still holds. */
    (void)shutdown(connection->descriptor, SHUT_RDWR);
    net_mark(net, connection);
}

void net_refuse(struct tri_net *net, struct net_connection *connection, enum tri_error why)
{
    tri_port port = net_port(net, connection);

    net->ops->refused(net->context, port, why);
    tri_net_close(net, port);
}

void tri_net_close(struct tri_net *net, tri_port port)
{
    struct net_connection *connection = net_find(net, port);

    if (connection == NULL) {
        return;
    }
    if (connection->state == NET_OPEN) {
        connection->state = NET_FLUSHING;
        net_deadline_set(net, connection, tri_clock_now_ns() + NET_FLUSHING_NS);
        net_mark(net, connection);
    }
}

void tri_net_abort(struct tri_net *net, tri_port port)
{
    struct net_connection *connection = net_find(net, port);

    if (connection != NULL) {
        net_kill(net, connection, 0);
    }
}

void tri_net_close_all(struct tri_net *net, bool is_abort)
{
    for (uint32_t slot = 0; slot < net->slots_used; slot++) {
        struct net_connection *connection = &net->connections[slot];

        if (connection->state == NET_FREE) {
            continue;
        }
        if (is_abort) {
            net_kill(net, connection, 0);
        } else {
            tri_net_close(net, net_port(net, connection));
        }
    }
}

int tri_net_detach(struct tri_net *net, tri_port port)
{
    struct net_connection *connection = net_find(net, port);

    assert(connection != NULL && connection->state == NET_OPEN);
    if (connection->is_streaming || connection->requests > 0 || connection->queued_bytes > 0 ||
        connection->chunk.bytes > 0 || connection->held_count > 1) {
        return -EBUSY;
    }
    connection->state = NET_DETACHED;
    net_handshake_over(net, connection);
    net_deadline_set(net, connection, TRI_NEVER);
    net_mark(net, connection);
    return connection->descriptor;
}

int tri_net_attach(struct tri_net *net, int descriptor, const struct tri_net_limits *limits,
                   tri_port *port)
{
    struct net_connection *connection = net_take(net, descriptor);

    if (connection == NULL) {
        return -ENFILE;
    }
    *port = net_port(net, connection);
    tri_net_stream(net, *port, limits);
    return 0;
}

void tri_net_complete(struct tri_net *net, uint64_t user_data, int32_t result, uint32_t flags,
                      uint64_t now_ns)
{
    uint32_t kind = TRI_LOOP_KIND(user_data);
    struct net_connection *connection = NULL;

    net->now_ns = now_ns;
    if (kind == NET_KIND_CANCEL) {
        return;
    }
    if (kind == NET_KIND_ACCEPT) {
        net_accept_complete(net, result);
        return;
    }
    connection = &net->connections[TRI_PORT_SLOT(user_data)];
    assert(TRI_PORT_SLOT(user_data) < net->slots_used);
    assert(connection->state != NET_FREE && connection->requests > 0);
    switch (kind) {
    case NET_KIND_RECV:
        net_recv_complete(net, connection, result, flags);
        break;
    default:
        assert(kind == NET_KIND_SEND);
        net_send_complete(net, connection, result);
        break;
    }
}

static void net_free(struct tri_net *net, struct net_connection *connection)
{
    tri_port port = net_port(net, connection);
    bool is_detached = connection->state == NET_DETACHED;
    int failed = connection->failed;

    assert(connection->requests == 0);
    net_recv_drop(net, connection);
    net_send_drop(net, connection);
    net_account_leave(net, connection);
    assert(connection->links == 0);
    if (!is_detached) {
        (void)close(connection->descriptor);
        net_add(&net->counters.resets, failed == 0 ? 0 : 1);
    }
    net_add(&net->counters.connections, (uint64_t)-1);
    connection->state = NET_FREE;
    if (!is_detached) {
        net->ops->closed(net->context, port, failed);
    }
    net->free_slots[net->free_count++] = net_slot(net, connection);
}

/* Brings one dirty connection on; returns true if it has to be visited again at the next flush. */
static bool net_flush_one(struct tri_net *net, struct net_connection *connection)
{
    bool is_owed = false;

    if (connection->state == NET_OPEN) {
        is_owed = net_send_pressure(net, connection);
    }
    if (connection->state != NET_OPEN) {
        net_recv_drop(net, connection);
    }
    if (connection->state == NET_OPEN || connection->state == NET_FLUSHING) {
        net_send_start(net, connection);
    }
    if (connection->state == NET_FLUSHING && !connection->is_sending) {
        assert(connection->queued_bytes == 0);
        (void)shutdown(connection->descriptor, SHUT_WR);
        connection->state = NET_LINGERING;
        net_deadline_set(net, connection, net->now_ns + NET_LINGERING_NS);
        if (connection->is_ended) {
            net_kill(net, connection, 0);
        }
    }
    if ((connection->state == NET_DEAD || connection->state == NET_DETACHED) &&
        connection->requests == 0) {
        /* A slot is free only when it stands in no list; it may be in the stalled one a turn
         * longer. */
        if (connection->is_dirty || connection->is_in_stalled) {
            return connection->is_in_stalled;
        }
        net_free(net, connection);
        return false;
    }
    net_recv_arm(net, connection);
    return is_owed || net_recv_starves(net, connection);
}

static void net_expire(struct tri_net *net, struct net_connection *connection)
{
    switch (connection->state) {
    case NET_OPEN:
        if (connection->is_stalled) {
            net_deadline_set(net, connection, net->now_ns + NET_SCAN_NS);
        } else if (connection->is_paused || net_account_is_in_debt(net, connection)) {
            /* It is us who do not read. */
            net_deadline_set(net, connection,
                             net->now_ns + net->options.peer_timeout_ms * TRI_NS_PER_MS);
        } else if (connection->is_streaming) {
            net_add(&net->counters.frame_timeouts, 1);
            net_kill(net, connection, -ETIMEDOUT);
        } else {
            net_add(&net->counters.handshake_timeouts, 1);
            net_refuse(net, connection, TRI_ERROR_HANDSHAKE_TIMEOUT);
        }
        break;
    default:
        net_kill(net, connection, 0);
        break;
    }
}

static void net_scan(struct tri_net *net)
{
    if (net->accept_again_ns <= net->now_ns) {
        net_accept_arm(net);
    }
    if (net->timed_count == 0 || net->scan_ns > net->now_ns) {
        return;
    }
    net->scan_ns = net->now_ns + NET_SCAN_NS;
    for (uint32_t slot = 0; slot < net->slots_used; slot++) {
        if (net->deadlines_ns[slot] <= net->now_ns) {
            net_expire(net, &net->connections[slot]);
        }
    }
}

void tri_net_flush(struct tri_net *net, uint64_t now_ns)
{
    net->now_ns = now_ns;
    net->turn++;
    net_scan(net);
    net_accounts_settle(net);
    while (net->dirty_first != NET_NONE) {
        struct net_connection *connection = &net->connections[net->dirty_first];

        net->dirty_first = connection->next_dirty;
        connection->is_dirty = false;
        if (net_flush_one(net, connection) && !connection->is_dirty) {
            connection->is_dirty = true;
            connection->next_dirty = net->later_first;
            net->later_first = net_slot(net, connection);
        }
    }
    net->dirty_first = net->later_first;
    net->later_first = NET_NONE;
}

uint64_t tri_net_deadline_ns(const struct tri_net *net)
{
    uint64_t due_ns = net->timed_count > 0 ? net->scan_ns : TRI_NEVER;

    due_ns = net->debt_due_ns < due_ns ? net->debt_due_ns : due_ns;
    return net->accept_again_ns < due_ns ? net->accept_again_ns : due_ns;
}

bool tri_net_is_stalled(const struct tri_net *net)
{
    return net->stalled_count > 0 || net->dirty_first != NET_NONE;
}

uint32_t tri_net_count(const struct tri_net *net)
{
    return net->options.connections_max - net->free_count;
}

const struct tri_net_counters *tri_net_counters(const struct tri_net *net)
{
    return &net->counters;
}

void tri_net_peer_text(const struct tri_net *net, tri_port port, char *text, uint32_t text_bytes)
{
    struct net_connection *connection = net_find(net, port);
    struct sockaddr_in6 any = {0};
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&any;
    socklen_t bytes = sizeof(any);
    char address[INET6_ADDRSTRLEN] = "";

    assert(text_bytes > 0);
    text[0] = '\0';
    if (connection == NULL ||
        getpeername(connection->descriptor, (struct sockaddr *)(void *)&any, &bytes) != 0) {
        return;
    }
    if (any.sin6_family == AF_INET) {
        (void)inet_ntop(AF_INET, &v4->sin_addr, address, sizeof(address));
    } else {
        (void)inet_ntop(AF_INET6, &any.sin6_addr, address, sizeof(address));
    }
    (void)snprintf(text, text_bytes, "%s:%u", address, (unsigned)ntohs(any.sin6_port));
}
