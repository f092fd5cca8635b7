/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of a server: from CHALLENGE to the last frame.
 *
 * The shard calls for room, and net calls with pressure, in the middle of
 * their work; what has to be told to the shard in return (a chain is up) waits
 * until its turn has ended.
 */
#include "io/server_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/log.h"
#include "io/stats.h"

static struct server_connection *server_at(struct tri_server *server, tri_port port)
{
    assert(TRI_PORT_SLOT(port) < server->house->net.connections_max);
    return &server->connections[TRI_PORT_SLOT(port)];
}

static void server_send_error(struct tri_server *server, tri_port port, enum tri_error code)
{
    const char *meaning = tri_error_meaning(code);
    struct tri_frame frame = {
        .type = TRI_FRAME_ERROR,
        .error = {.id = {"", 0}, .code = code, .detail = {meaning, (uint32_t)strlen(meaning)}},
    };
    uint8_t *room = tri_net_reserve(server->net, port, TRI_SESSION_FRAME_BYTES_MAX);

    if (room != NULL) {
        tri_net_commit(server->net, port,
                       tri_wire_encode(&frame, room, TRI_SESSION_FRAME_BYTES_MAX));
    }
}

/* Handshakes. */

static void server_opened(void *context, tri_port port)
{
    struct tri_server *server = context;
    struct server_connection *connection = server_at(server, port);
    uint8_t nonce[TRI_NONCE_BYTES];
    uint8_t *room = NULL;

    memset(connection, 0, sizeof(*connection));
    if (tri_secret_random(nonce, sizeof(nonce)) != 0) {
        tri_net_abort(server->net, port);
        return;
    }
    room = tri_net_reserve(server->net, port, TRI_SESSION_FRAME_BYTES_MAX);
    if (room == NULL) {
        tri_net_abort(server->net, port);
        return;
    }
    tri_net_commit(
        server->net, port,
        tri_session_challenge(&connection->session, nonce, room, TRI_SESSION_FRAME_BYTES_MAX));
}

static void server_limits(const struct tri_server *server, const struct tri_identity *identity,
                          struct tri_net_limits *limits)
{
    uint32_t bytes = identity->role == TRI_ROLE_CHAIN ? server->house->chain_send_bytes
                                                      : server->house->peer_send_bytes;

    *limits = (struct tri_net_limits){
        .frame_bytes_max = TRI_FRAME_BYTES_MAX,
        .send_high_bytes = bytes / 2,
        .send_max_bytes = bytes,
        .account = (uint32_t)(identity - server->house->identities),
    };
}

/* Answers WELCOME and opens the port for frames. */
static void server_welcome(struct tri_server *server, tri_port port)
{
    struct server_connection *connection = server_at(server, port);
    struct tri_net_limits limits;
    struct tri_welcome welcome = {
        .epoch = server->house->epoch,
        .shard = server->index,
        .shards = server->house->shards,
        .frame_bytes_max = TRI_FRAME_BYTES_MAX,
    };
    uint8_t *room = tri_net_reserve(server->net, port, TRI_SESSION_FRAME_BYTES_MAX);

    if (room == NULL || connection->session.state != TRI_SESSION_PROVED) {
        return;
    }
    server_limits(server, connection->session.identity, &limits);
    tri_net_commit(
        server->net, port,
        tri_session_welcome(&connection->session, &welcome, room, TRI_SESSION_FRAME_BYTES_MAX));
    tri_net_stream(server->net, port, &limits);
    server_count(&server->counters.hellos);
}

/* The session is proved and will live on this shard. */
static void server_proved(struct tri_server *server, tri_port port)
{
    struct server_connection *connection = server_at(server, port);
    const struct tri_identity *identity = connection->session.identity;

    connection->peer = (struct tri_peer){
        .role = identity->role, .chain = identity->chain, .submitter = identity->submitter};
    connection->has_peer = true;
    if (identity->role == TRI_ROLE_CHAIN) {
        tri_shard_chain_hello(server->shard, port, identity->chain, connection->session.instance);
    } else {
        server_welcome(server, port);
    }
}

/* Gives the connection to the shard that HELLO wishes for.  False: it stays here, and WELCOME says
 * so. */
static bool server_hand_over(struct tri_server *server, tri_port port)
{
    struct server_connection *connection = server_at(server, port);
    uint32_t wished = connection->session.shard - 1;
    struct server_handover *handover = NULL;
    uint32_t slot = 0;
    int descriptor = -1;

    if (connection->session.shard == 0 || wished >= server->house->shards ||
        wished == server->index) {
        return false;
    }
    /* pairs with the release in tri_server_take_over */
    while (slot < SERVER_HANDOVERS_MAX &&
           atomic_load_explicit(&server->handovers[slot].is_taken, memory_order_acquire) != 0) {
        slot++;
    }
    if (slot == SERVER_HANDOVERS_MAX) {
        return false;
    }
    descriptor = tri_net_detach(server->net, port);
    if (descriptor < 0) {
        return false;
    }
    handover = &server->handovers[slot];
    handover->descriptor = descriptor;
    handover->session = connection->session;
    /* pairs with the acquire in tri_server_take_over */
    atomic_store_explicit(&handover->is_taken, 1, memory_order_release);
    tri_loop_post(&server->loop, &server->house->servers[wished]->loop,
                  TRI_LOOP_DATA(SERVER_KIND_HANDOVER, server->index), slot);
    server_count(&server->counters.handovers);
    return true;
}

void tri_server_take_over(struct tri_server *server, uint32_t from, uint32_t slot)
{
    struct server_handover *handover = &server->house->servers[from]->handovers[slot];
    struct tri_net_limits limits;
    struct tri_session session;
    tri_port port = 0;
    int descriptor = -1;
    bool is_here = false;

    assert(from < server->house->shards && slot < SERVER_HANDOVERS_MAX);
    /* pairs with the release in server_hand_over */
    if (atomic_load_explicit(&handover->is_taken, memory_order_acquire) == 0) {
        return;
    }
    session = handover->session;
    descriptor = handover->descriptor;
    /* pairs with the acquire in server_hand_over */
    atomic_store_explicit(&handover->is_taken, 0, memory_order_release);
    server_limits(server, session.identity, &limits);
    if (!tri_net_admits(server->net, limits.account)) {
        server_count(&server->counters.hellos_over_share);
    } else if (tri_net_attach(server->net, descriptor, &limits, &port) == 0) {
        is_here = true;
    }
    if (!is_here) {
        (void)send(descriptor, server->house->refusal, server->house->refusal_bytes,
                   MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)close(descriptor);
        return;
    }
    memset(server_at(server, port), 0, sizeof(struct server_connection));
    server_at(server, port)->session = session;
    server_proved(server, port);
}

static void server_refuse(struct tri_server *server, tri_port port, enum tri_error why)
{
    struct tri_server_counters *counters = &server->counters;
    char peer[SERVER_PEER_TEXT];

    switch (why) {
    case TRI_ERROR_AUTHENTICATION_FAILED:
        server_count(&counters->hellos_unproved);
        break;
    case TRI_ERROR_CHAIN_NOT_SUPPORTED:
        server_count(&counters->hellos_unknown_chain);
        break;
    case TRI_ERROR_VERSION_NOT_SUPPORTED:
        server_count(&counters->hellos_wrong_version);
        break;
    case TRI_ERROR_HANDSHAKE_EXPECTED:
        server_count(&counters->hellos_missing);
        break;
    case TRI_ERROR_TOO_MANY_CONNECTIONS:
        server_count(&counters->hellos_over_share);
        break;
    default:
        server_count(&counters->hellos_malformed);
        break;
    }
    tri_net_peer_text(server->net, port, peer, sizeof(peer));
    TRI_LOG(TRI_LOG_WARN, "refused", "peer=%s code=%s", peer, tri_error_name(why));
    server_send_error(server, port, why);
    tri_net_close(server->net, port);
}

static void server_hello(struct tri_server *server, tri_port port, const uint8_t *body,
                         uint32_t bytes)
{
    struct server_connection *connection = server_at(server, port);
    struct tri_log_quoted name;
    char peer[SERVER_PEER_TEXT];
    enum tri_error code = tri_session_hello(&connection->session, server->house->identities,
                                            server->house->identity_count, body, bytes);

    if (code != TRI_ERROR_NONE) {
        server_refuse(server, port, code);
        return;
    }
    tri_net_peer_text(server->net, port, peer, sizeof(peer));
    name = tri_log_quote(connection->session.identity->name);
    TRI_LOG(connection->session.identity->role == TRI_ROLE_CHAIN ? TRI_LOG_INFO : TRI_LOG_DEBUG,
            "hello", "role=%s identity=\"%s\" instance=%llu peer=%s shard=%u",
            tri_role_name(connection->session.identity->role), name.at,
            (unsigned long long)connection->session.instance, peer, server->index);
    if (server_hand_over(server, port)) {
        return;
    }
    if (!tri_net_admits(server->net,
                        (uint32_t)(connection->session.identity - server->house->identities))) {
        server_refuse(server, port, TRI_ERROR_TOO_MANY_CONNECTIONS);
        return;
    }
    server_proved(server, port);
}

/* Frames. */

static void server_stats(struct tri_server *server, tri_port port)
{
    uint32_t room_bytes = TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES;
    uint8_t *room = tri_net_reserve(server->net, port, room_bytes);

    if (room != NULL) {
        uint32_t bytes = tri_stats_write(server->house, room, room_bytes);

        assert(bytes > 0);
        tri_net_commit(server->net, port, bytes);
        server_count(&server->counters.stats_views);
    }
    tri_net_charge(server->net, port, SERVER_STATS_PRICE);
}

/* Frames that the shard has checked and that are answered here: about no message, of operators and
 * settlements. */
static enum tri_result server_look(struct tri_server *server, tri_port port, const uint8_t *body,
                                   uint32_t bytes)
{
    struct server_connection *connection = server_at(server, port);
    enum tri_frame_type type;
    struct tri_text id;
    struct tri_wire_fault fault;

    if (tri_wire_peek(body, bytes, &type, &id, &fault) != TRI_OK) {
        return TRI_OK;
    }
    switch (type) {
    case TRI_FRAME_STATS_GET:
        server_stats(server, port);
        return TRI_OK;
    case TRI_FRAME_PENDING_GET:
    case TRI_FRAME_SETTLE:
    case TRI_FRAME_HEARTBEAT:
    case TRI_FRAME_SEQUENCER:
    case TRI_FRAME_FINALITY_GET:
        return tri_server_finality_ask(server, port, connection->session.identity, body, bytes);
    default:
        return TRI_OK;
    }
}

static enum tri_result server_frame(void *context, tri_port port, const uint8_t *body,
                                    uint32_t bytes)
{
    struct tri_server *server = context;
    struct server_connection *connection = server_at(server, port);
    struct tri_wire_fault fault;
    enum tri_result result = TRI_OK;

    if (connection->session.state == TRI_SESSION_CHALLENGED) {
        if (server->turn_hellos >= SERVER_TURN_HELLOS) {
            server_count(&server->counters.hellos_delayed);
            return TRI_FULL;
        }
        server->turn_hellos++;
        server_hello(server, port, body, bytes);
        return TRI_OK;
    }
    if (connection->session.state == TRI_SESSION_PROVED) {
        return TRI_FULL; /* until the registry has answered */
    }
    result = tri_shard_frame(server->shard, port, &connection->peer, body, bytes, server->now_ns,
                             server->wall_ms, &fault);
    if (result == TRI_VIOLATION) {
        struct tri_log_quoted name = tri_log_quote(connection->session.identity->name);

        TRI_LOG(TRI_LOG_WARN, "frame-refused", "identity=\"%s\" code=%s field=%s at=%u", name.at,
                tri_error_name(fault.code), fault.field, fault.at);
        if (tri_shard_fault_closes(fault.code)) {
            tri_net_close(server->net, port);
        }
    } else if (result == TRI_OK && (connection->peer.role == TRI_ROLE_OPERATOR ||
                                    connection->peer.role == TRI_ROLE_SETTLEMENT)) {
        result = server_look(server, port, body, bytes);
    }
    return result;
}

static void server_ahead(void *context, tri_port port, const uint8_t *body, uint32_t bytes)
{
    const struct tri_server *server = context;

    (void)port;
    tri_shard_prefetch(server->shard, body, bytes);
}

static void server_refused(void *context, tri_port port, enum tri_error why)
{
    struct tri_server *server = context;
    char peer[SERVER_PEER_TEXT];

    tri_net_peer_text(server->net, port, peer, sizeof(peer));
    TRI_LOG(TRI_LOG_WARN, "closed", "peer=%s code=%s", peer, tri_error_name(why));
    server_send_error(server, port, why);
}

static void server_chain_pressure(struct tri_server *server, tri_port port,
                                  struct server_connection *connection, enum tri_net_pressure what)
{
    if (what == TRI_NET_LOW) {
        tri_shard_chain_up(server->shard, port, connection->peer.chain, connection->is_fresh);
        connection->is_fresh = false;
        return;
    }
    connection->is_fresh = connection->is_fresh || what == TRI_NET_LOST;
    server_count(&server->counters.slow_chains);
    tri_shard_chain_down(server->shard, port, connection->peer.chain);
}

static void server_pressure(void *context, tri_port port, enum tri_net_pressure what)
{
    struct tri_server *server = context;
    struct server_connection *connection = server_at(server, port);

    if (connection->session.state != TRI_SESSION_OPEN) {
        if (what == TRI_NET_LOST) {
            tri_net_abort(server->net, port);
        }
    } else if (connection->peer.role == TRI_ROLE_CHAIN) {
        server_chain_pressure(server, port, connection, what);
    } else if (what == TRI_NET_LOW) {
        tri_net_resume(server->net, port);
    } else if (what == TRI_NET_LOST && connection->peer.role == TRI_ROLE_CLIENT) {
        /* A client may lose no answer.  It comes back and asks again (R01). */
        struct tri_log_quoted name = tri_log_quote(connection->session.identity->name);

        TRI_LOG(TRI_LOG_WARN, "closed", "identity=\"%s\" code=%s", name.at,
                tri_error_name(TRI_ERROR_SLOW_CONSUMER));
        server_count(&server->counters.slow_consumers);
        tri_net_abort(server->net, port);
    } else {
        tri_net_pause(server->net, port);
    }
}

static void server_closed(void *context, tri_port port, int failed)
{
    struct tri_server *server = context;
    struct server_connection *connection = server_at(server, port);

    if (connection->has_peer) {
        struct tri_log_quoted name = tri_log_quote(connection->session.identity->name);

        TRI_LOG(connection->peer.role == TRI_ROLE_CHAIN ? TRI_LOG_INFO : TRI_LOG_DEBUG, "gone",
                "role=%s identity=\"%s\" shard=%u reason=\"%s\"",
                tri_role_name(connection->peer.role), name.at, server->index,
                failed == 0 ? "closed" : strerror(-failed));
        tri_shard_port_gone(server->shard, port, &connection->peer);
    }
    connection->has_peer = false;
}

const struct tri_net_ops tri_server_net_ops = {
    .opened = server_opened,
    .frame = server_frame,
    .ahead = server_ahead,
    .refused = server_refused,
    .pressure = server_pressure,
    .closed = server_closed,
};

/* What the shard asks of its ports. */

static uint8_t *server_port_reserve(void *context, tri_port port, uint32_t bytes)
{
    return tri_net_reserve(((struct tri_server *)context)->net, port, bytes);
}

static void server_port_commit(void *context, tri_port port, uint32_t bytes)
{
    tri_net_commit(((struct tri_server *)context)->net, port, bytes);
}

static void server_port_close(void *context, tri_port port, enum tri_error why)
{
    TRI_LOG(TRI_LOG_INFO, "closed", "port=%llx code=%s", (unsigned long long)port,
            tri_error_name(why));
    tri_net_close(((struct tri_server *)context)->net, port);
}

/* The shard is told that the chain is up when it has ended its turn. */
static void server_port_welcome(void *context, tri_port port, uint16_t chain)
{
    struct tri_server *server = context;
    struct server_connection *connection = server_at(server, port);

    if (!connection->has_peer || connection->session.state != TRI_SESSION_PROVED) {
        return;
    }
    assert(connection->peer.chain == chain);
    server_welcome(server, port);
    if (connection->session.state == TRI_SESSION_OPEN && !connection->is_greeted) {
        connection->is_greeted = true;
        connection->port = port;
        connection->next_greeted = server->greeted_first;
        server->greeted_first = TRI_PORT_SLOT(port);
    }
}

static void server_port_fruitless(void *context, tri_port port)
{
    tri_net_charge(((struct tri_server *)context)->net, port, 1);
}

static void server_port_wake(void *context, uint32_t shard)
{
    struct tri_server *server = context;

    assert(shard != server->index && shard < server->house->shards);
    tri_loop_wake(&server->loop, &server->house->servers[shard]->loop);
}

static void server_port_internal(void *context, tri_port port, const uint8_t *frame, uint32_t bytes)
{
    tri_server_finality_result(context, port, frame, bytes);
}

const struct tri_port_ops tri_server_port_ops = {
    .reserve = server_port_reserve,
    .commit = server_port_commit,
    .close = server_port_close,
    .welcome = server_port_welcome,
    .wake = server_port_wake,
    .fruitless = server_port_fruitless,
    .internal = server_port_internal,
};

void tri_server_greet(struct tri_server *server)
{
    while (server->greeted_first != SERVER_NONE) {
        struct server_connection *connection = &server->connections[server->greeted_first];

        server->greeted_first = connection->next_greeted;
        connection->is_greeted = false;
        if (connection->has_peer) {
            tri_shard_chain_up(server->shard, connection->port, connection->peer.chain, true);
        }
    }
}
