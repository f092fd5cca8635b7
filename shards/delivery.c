/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/delivery.h"

#include <string.h>

#include "shards/handle.h"

static_assert(sizeof(struct tri_delivery_head) +
                      TRI_TARGETS_MAX * sizeof(struct tri_delivery_target) + TRI_FRAME_BYTES_MAX +
                      TRI_FRAME_HEADER_BYTES <=
                  TRI_MESH_RECORD_BYTES_MAX,
              "the largest frame with all its targets is one record");
static_assert(sizeof(struct tri_delivery_head) % 8 == 0, "targets behind it are aligned");

static uint32_t delivery_bytes(const struct tri_delivery_head *head)
{
    return (uint32_t)sizeof(*head) +
           head->target_count * (uint32_t)sizeof(struct tri_delivery_target) + head->before_bytes +
           head->after_bytes;
}

static void delivery_write(void *to, const struct tri_delivery *delivery)
{
    const struct tri_delivery_head *head = &delivery->head;
    uint8_t *at = to;

    memcpy(at, head, sizeof(*head));
    at += sizeof(*head);
    memcpy(at, delivery->targets, head->target_count * sizeof(delivery->targets[0]));
    at += head->target_count * sizeof(delivery->targets[0]);
    memcpy(at, delivery->before, head->before_bytes);
    at += head->before_bytes;
    if (head->after_bytes > 0) {
        memcpy(at, delivery->after, head->after_bytes);
    }
}

/* The place of a watcher of this shard; NULL if it has gone. */
static struct tri_watcher *delivery_watcher(struct tri_shard *shard, tri_port port)
{
    for (uint32_t i = 0; i < shard->watcher_count; i++) {
        if (shard->watchers[i].port == port) {
            return &shard->watchers[i];
        }
    }
    return NULL;
}

/* Encodes the field in which the frames differ; returns its bytes. */
static uint32_t delivery_field(const struct tri_delivery_head *head,
                               const struct tri_delivery_target *target, uint64_t missed_here,
                               uint8_t field[TRI_TOKENS_BYTES_MAX + 1])
{
    struct tri_writer writer = {.at = field, .end = field + TRI_TOKENS_BYTES_MAX, .failed = false};

    if (head->field == TRI_FIELD_NONE) {
        return 0;
    }
    if (head->field == TRI_FIELD_MISSED) {
        tri_put_uint(&writer, target->missed + missed_here);
    } else if (target->token_bytes == 0) {
        tri_put_array(&writer, 0);
    } else {
        tri_put_raw(&writer, target->tokens, target->token_bytes);
    }
    assert(!writer.failed);
    return (uint32_t)(writer.at - field);
}

/* Writes one target's frame into its port's send queue. */
static void delivery_send(struct tri_shard *shard, const struct tri_delivery_head *head,
                          const struct tri_delivery_target *target, const uint8_t *before,
                          const uint8_t *after)
{
    struct tri_watcher *watcher = NULL;
    uint8_t field[TRI_TOKENS_BYTES_MAX + 1];
    uint32_t field_bytes = 0;
    uint32_t body_bytes = 0;
    uint8_t *at = NULL;

    assert(TRI_PORT_SHARD(target->port) == shard->index);
    if (head->field == TRI_FIELD_MISSED) {
        watcher = delivery_watcher(shard, target->port);
    }
    field_bytes = delivery_field(head, target, watcher == NULL ? 0 : watcher->missed, field);
    body_bytes = head->before_bytes + field_bytes + head->after_bytes;
    assert(body_bytes <= TRI_FRAME_BYTES_MAX);
    at = shard->ops->reserve(shard->ops_context, target->port, body_bytes + TRI_FRAME_HEADER_BYTES);
    if (at == NULL) {
        shard->counters.frames_dropped++;
        if (watcher != NULL) {
            watcher->missed += target->missed + 1;
            shard->counters.watch_missed++;
        }
        return;
    }
    at[0] = (uint8_t)(body_bytes >> 24);
    at[1] = (uint8_t)(body_bytes >> 16);
    at[2] = (uint8_t)(body_bytes >> 8);
    at[3] = (uint8_t)body_bytes;
    memcpy(at + TRI_FRAME_HEADER_BYTES, before, head->before_bytes);
    memcpy(at + TRI_FRAME_HEADER_BYTES + head->before_bytes, field, field_bytes);
    if (head->after_bytes > 0) {
        memcpy(at + TRI_FRAME_HEADER_BYTES + head->before_bytes + field_bytes, after,
               head->after_bytes);
    }
    shard->ops->commit(shard->ops_context, target->port, body_bytes + TRI_FRAME_HEADER_BYTES);
    shard->counters.frames_sent++;
    if (watcher != NULL) {
        watcher->missed = 0;
    }
}

/* A frame for a client within the node; there is no queue, no limit and nothing to close. */
static void delivery_internal(struct tri_shard *shard, const struct tri_delivery_head *head,
                              tri_port port, const uint8_t *frame)
{
    assert(TRI_PORT_SHARD(port) == shard->index);
    assert(head->field == TRI_FIELD_NONE);
    assert(head->after_bytes == 0);
    if (TRI_PORT_INTERNAL_KIND(port) == TRI_INTERNAL_ENVELOPE) {
        tri_envelopes_hear(shard, port, frame, head->before_bytes);
        return;
    }
    if (shard->ops->internal == NULL) {
        shard->counters.frames_dropped++;
        return;
    }
    shard->ops->internal(shard->ops_context, port, frame, head->before_bytes);
}

static void delivery_expand(struct tri_shard *shard, const struct tri_delivery_head *head,
                            const struct tri_delivery_target *targets, const uint8_t *before,
                            const uint8_t *after)
{
    assert(head->target_count >= 1);
    assert(head->target_count <= TRI_TARGETS_MAX);
    for (uint32_t i = 0; i < head->target_count; i++) {
        if (TRI_PORT_IS_INTERNAL(targets[i].port)) {
            delivery_internal(shard, head, targets[i].port, before);
            continue;
        }
        delivery_send(shard, head, &targets[i], before, after);
        if (head->is_fruitless != 0 && shard->ops->fruitless != NULL) {
            shard->ops->fruitless(shard->ops_context, targets[i].port);
        }
        if (head->close_code != TRI_ERROR_NONE) {
            shard->ops->close(shard->ops_context, targets[i].port,
                              (enum tri_error)head->close_code);
        }
    }
}

bool tri_delivery_post(struct tri_shard *shard, uint32_t to, uint64_t after_lsn,
                       const struct tri_delivery *delivery)
{
    uint32_t bytes = delivery_bytes(&delivery->head);
    void *room = NULL;

    assert(delivery->head.kind == TRI_RECORD_FRAME);
    assert(delivery->head.target_count >= 1);
    if (after_lsn > shard->durable_lsn) {
        room = tri_hold_push(&shard->hold, after_lsn, to, bytes);
        if (room == NULL) {
            return false;
        }
        shard->counters.effects_held++;
        delivery_write(room, delivery);
        return true;
    }
    if (to == shard->index) {
        delivery_expand(shard, &delivery->head, delivery->targets, delivery->before,
                        delivery->after);
        return true;
    }
    room = tri_mesh_reserve(shard->mesh, shard->index, to, TRI_LANE_DELIVER, bytes);
    if (room == NULL) {
        return false;
    }
    delivery_write(room, delivery);
    tri_mesh_commit(shard->mesh, shard->index, to, TRI_LANE_DELIVER, bytes);
    return true;
}

static void delivery_take_frame(struct tri_shard *shard, const uint8_t *record, uint32_t bytes)
{
    const struct tri_delivery_head *head = (const void *)record;
    const struct tri_delivery_target *targets = (const void *)(record + sizeof(*head));
    const uint8_t *before = (const uint8_t *)(targets + head->target_count);

    assert(bytes == delivery_bytes(head));
    delivery_expand(shard, head, targets, before, before + head->before_bytes);
}

void tri_delivery_take(struct tri_shard *shard, uint32_t from, const void *record, uint32_t bytes)
{
    const uint8_t *body = (const uint8_t *)record + 8;
    enum tri_record_kind kind = TRI_RECORD_FRAME;

    assert(bytes >= 8);
    assert((uintptr_t)record % 8 == 0);
    memcpy(&kind, record, sizeof(kind));
    switch (kind) {
    case TRI_RECORD_FRAME:
        delivery_take_frame(shard, record, bytes);
        break;
    case TRI_RECORD_CLAIM:
        assert(bytes == 8 + sizeof(struct tri_claim));
        tri_seats_claim(shard, from, (const void *)body);
        break;
    case TRI_RECORD_VERDICT:
        assert(bytes == 8 + sizeof(struct tri_verdict));
        tri_seats_verdict(shard, (const void *)body);
        break;
    case TRI_RECORD_ROUTE:
        assert(bytes == 8 + sizeof(struct tri_route_news));
        tri_seats_route(shard, (const void *)body);
        break;
    case TRI_RECORD_WATCHERS:
        assert(bytes == 8 + TRI_WATCHERS_MAX * sizeof(tri_port));
        tri_seats_watchers(shard, from, (const void *)body);
        break;
    case TRI_RECORD_NEWS:
        tri_handles_release(shard, record, bytes);
        break;
    default:
        assert(kind == TRI_RECORD_FRAME); /* nobody sends anything else */
        break;
    }
}

void tri_delivery_frame(struct tri_delivery *delivery, tri_port port, const uint8_t *frame,
                        uint32_t bytes)
{
    assert(bytes > TRI_FRAME_HEADER_BYTES);
    delivery->head = (struct tri_delivery_head){
        .kind = TRI_RECORD_FRAME,
        .field = TRI_FIELD_NONE,
        .target_count = 1,
        .before_bytes = bytes - TRI_FRAME_HEADER_BYTES,
    };
    delivery->before = frame + TRI_FRAME_HEADER_BYTES;
    delivery->after = NULL;
    delivery->targets[0] = (struct tri_delivery_target){.port = port};
}

void tri_delivery_error(struct tri_shard *shard, tri_port port, struct tri_text id,
                        enum tri_error code, const char *detail, bool closes)
{
    struct tri_delivery delivery;
    uint32_t bytes = 0;
    bool is_posted = false;

    assert(code != TRI_ERROR_NONE);
    shard->encoded.type = TRI_FRAME_ERROR;
    shard->encoded.error = (struct tri_error_frame){
        .id = id, .code = code, .detail = {.at = detail, .bytes = (uint32_t)strlen(detail)}};
    bytes = tri_wire_encode(&shard->encoded, shard->scratch, TRI_SCRATCH_BYTES);
    assert(bytes > 0);
    tri_delivery_frame(&delivery, port, shard->scratch, bytes);
    delivery.head.is_fruitless = 1;
    delivery.head.close_code = closes ? (uint32_t)code : TRI_ERROR_NONE;
    is_posted = tri_delivery_post(shard, TRI_PORT_SHARD(port), 0, &delivery);
    assert(is_posted);
}
