/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of settlement and operators about finality: between connections and the archive's thread.
 */
#include <string.h>

#include "io/log.h"
#include "io/server_internal.h"

static struct tri_desk *finality_desk(struct tri_server *server)
{
    struct tri_vault *vault = server->house->vault;

    return vault == NULL ? NULL : &vault->desks[server->index];
}

static void finality_wake(struct tri_server *server)
{
    struct tri_vault *vault = server->house->vault;

    if (tri_tape_is_asleep(&vault->tapes[server->index])) {
        tri_archivist_wake(vault->archivist, &server->loop);
    }
}

static void finality_refuse(struct tri_server *server, tri_port port, enum tri_error code,
                            const char *detail)
{
    struct tri_frame frame = {
        .type = TRI_FRAME_ERROR,
        .error = {.id = {"", 0}, .code = code, .detail = {detail, (uint32_t)strlen(detail)}},
    };
    uint8_t *room = tri_net_reserve(server->net, port, TRI_SESSION_FRAME_BYTES_MAX);

    if (room != NULL) {
        tri_net_commit(server->net, port,
                       tri_wire_encode(&frame, room, TRI_SESSION_FRAME_BYTES_MAX));
    }
}

enum tri_result tri_server_finality_ask(struct tri_server *server, tri_port port,
                                        const struct tri_identity *identity, const uint8_t *body,
                                        uint32_t bytes)
{
    struct tri_desk *desk = finality_desk(server);
    struct tri_desk_question question = {
        .port = port,
        .name = identity->name,
        .frame = {.at = body, .bytes = bytes},
    };

    if (desk == NULL) {
        finality_refuse(server, port, TRI_ERROR_NOT_ALLOWED, "journal: none keeps no archive");
        return TRI_OK;
    }
    if (tri_archivist_has_failed(server->house->vault->archivist)) {
        finality_refuse(server, port, TRI_ERROR_JOURNAL_FAILED, "the archive has failed");
        return TRI_OK;
    }
    if (!tri_desk_ask(desk, &question)) {
        return TRI_FULL;
    }
    finality_wake(server);
    return TRI_OK;
}

void tri_server_finality_result(struct tri_server *server, tri_port port, const uint8_t *frame,
                                uint32_t bytes)
{
    tri_desk_result(finality_desk(server), port, frame, bytes);
    finality_wake(server);
}

/* A redelivery that could not begin; it will be asked for again. */
static void finality_not_sent(struct tri_server *server, const struct tri_desk_order *order,
                              enum tri_error code)
{
    uint8_t bytes[TRI_SESSION_FRAME_BYTES_MAX];
    uint32_t count = 0;
    struct tri_frame *frame = &server->scratch;

    frame->type = TRI_FRAME_ACK;
    frame->ack = (struct tri_ack){.id = {"-", 1}, .type = TRI_ACK_REJECTED, .code = code};
    count = tri_wire_encode(frame, bytes, sizeof(bytes));
    assert(count > TRI_FRAME_HEADER_BYTES);
    tri_server_finality_result(server, order->port, bytes + TRI_FRAME_HEADER_BYTES,
                               count - TRI_FRAME_HEADER_BYTES);
}

/* Returns false if the shard has no room now. */
static bool finality_forward(struct tri_server *server, const struct tri_desk_order *order)
{
    struct tri_shard_redelivery what = {
        .client = order->port,
        .attempt = order->attempt,
        .since_ms = order->since_ms,
        .leaf = order->leaf,
        .content = order->bytes,
    };

    switch (tri_shard_redeliver(server->shard, &what, server->now_ns, server->wall_ms)) {
    case TRI_OK:
        return true;
    case TRI_FULL:
        return false;
    case TRI_STALE:
        finality_not_sent(server, order, TRI_ERROR_BUSY);
        return true;
    default:
        TRI_LOG(
            TRI_LOG_ERROR, "redelivery-refused",
            "reason=\"the message cannot be read, or a chain of it is not configured any more\"");
        finality_not_sent(server, order, TRI_ERROR_CHAIN_NOT_SUPPORTED);
        return true;
    }
}

static void finality_reply(struct tri_server *server, const struct tri_desk_order *order)
{
    uint8_t *room = tri_net_reserve(server->net, order->port, order->bytes.bytes);

    if (room == NULL) {
        server_count(&server->counters.finality_dropped); /* who asked has gone, or reads nothing */
        return;
    }
    memcpy(room, order->bytes.at, order->bytes.bytes);
    tri_net_commit(server->net, order->port, order->bytes.bytes);
}

uint32_t tri_server_finality_turn(struct tri_server *server)
{
    struct tri_desk *desk = finality_desk(server);
    struct tri_desk_order order;
    uint32_t taken = 0;

    while (desk != NULL && tri_desk_order(desk, &order)) {
        if (order.kind == TRI_DESK_REPLY) {
            finality_reply(server, &order);
        } else if (!finality_forward(server, &order)) {
            break;
        }
        tri_desk_order_done(desk);
        taken++;
    }
    return taken;
}
