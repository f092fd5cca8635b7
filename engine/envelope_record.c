/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes as a journal keeps them.
 *
 *     ENVELOPE  key, hash, id, count, standing, the canonical bytes of each delivery
 *     STEP      key, count, standing
 *     END       key, hash, id, count, for each delivery its id and result; the window
 *
 * The standing is how many deliveries have begun and, for each, its state and its result.  Like the
 * records of messages they say how things are (record.h); ENVELOPE and END bring everything with
 * them, so they also make up the checkpoint.
 */
#include "engine/engine.h"
#include "engine/record_bytes.h"
#include "engine/wire.h"

#define ID_BYTES       (1U + TRI_ID_BYTES_MAX)
#define FIXED_BYTES    (16U + 16U + ID_BYTES + 2U + 12U)
/* Beside its canonical bytes. */
#define DELIVERY_BYTES (ID_BYTES + 3U + 4U)
static_assert(FIXED_BYTES + TRI_ENVELOPE_MAX * DELIVERY_BYTES + TRI_FRAME_BYTES_MAX <=
                  TRI_RECORD_BYTES_MAX,
              "the largest envelope fits into a record");

/* ---- writing ---- */

static const struct tri_envelope_slot *record_slot(const struct tri_engine *engine,
                                                   const struct tri_effect *append)
{
    const struct tri_envelope_slot *slot = &engine->envelopes.at[append->append.slot];

    assert(append->append.slot < engine->options.envelopes_max + engine->options.envelopes_slack);
    assert(slot->key.lo == append->round.key.lo);
    assert(slot->key.hi == append->round.key.hi);
    return slot;
}

uint32_t tri_envelope_record_bytes_max(const struct tri_engine *engine,
                                       const struct tri_effect *append)
{
    const struct tri_envelope_slot *slot = record_slot(engine, append);
    uint32_t bytes = FIXED_BYTES + slot->count * DELIVERY_BYTES;

    for (uint32_t i = 0; i < slot->count && append->append.kind == TRI_RECORD_ENVELOPE; i++) {
        bytes += slot->deliveries[i].bytes;
    }
    return bytes;
}

static uint8_t *put_id(uint8_t *at, const char *id, uint32_t bytes)
{
    at = put_u8(at, bytes);
    return put_raw(at, id, bytes);
}

static uint8_t *put_standing(uint8_t *at, const struct tri_envelope_slot *slot)
{
    at = put_u8(at, slot->count);
    at = put_u8(at, slot->begun);
    for (uint32_t i = 0; i < slot->count; i++) {
        at = put_u8(at, slot->deliveries[i].state);
        at = put_u8(at, slot->deliveries[i].ack_type);
        at = put_u8(at, slot->deliveries[i].code);
    }
    return at;
}

static uint8_t *put_results(uint8_t *at, const struct tri_engine *engine,
                            const struct tri_envelope_slot *slot)
{
    uint64_t expires_ns = slot->expires_s * TRI_NS_PER_S;
    uint64_t rest_ms =
        expires_ns <= engine->now_ns ? 0 : (expires_ns - engine->now_ns) / TRI_NS_PER_MS;

    at = put_u8(at, slot->count);
    for (uint32_t i = 0; i < slot->count; i++) {
        at = put_u8(at, slot->deliveries[i].ack_type);
        at = put_u8(at, slot->deliveries[i].code);
        at = put_id(at, slot->deliveries[i].id, slot->deliveries[i].id_bytes);
    }
    at = put_u64(at, engine->wall_ms + rest_ms);
    return put_u32(at, (uint32_t)rest_ms);
}

uint32_t tri_envelope_record(struct tri_engine *engine, const struct tri_effect *append,
                             uint8_t *to)
{
    const struct tri_envelope_slot *slot = record_slot(engine, append);
    uint8_t *at = put_key(to, slot->key);

    if (append->append.kind == TRI_RECORD_ENVELOPE_STEP) {
        return (uint32_t)(put_standing(at, slot) - to);
    }
    at = put_raw(at, slot->hash.at, sizeof(slot->hash.at));
    at = put_id(at, slot->id, slot->id_bytes);
    if (append->append.kind == TRI_RECORD_ENVELOPE_END) {
        return (uint32_t)(put_results(at, engine, slot) - to);
    }
    at = put_standing(at, slot);
    for (uint32_t i = 0; i < slot->count; i++) {
        struct tri_bytes canonical = tri_envelope_bytes(engine, slot, i);

        at = put_u32(at, canonical.bytes);
        at = put_raw(at, canonical.at, canonical.bytes);
    }
    return (uint32_t)(at - to);
}

/* ---- reading ---- */

/* What a record says, before it is believed. */
struct told {
    struct tri_envelope_slot slot;
    struct tri_bytes canonical[TRI_ENVELOPE_MAX];
    uint32_t body_bytes;
    uint64_t rest_ms;
};

static void get_id(struct reader *reader, char *id, uint8_t *id_bytes)
{
    uint32_t bytes = (uint32_t)get(reader, 1);

    if (bytes < 1 || bytes > TRI_ID_BYTES_MAX) {
        reader_expect(reader, false, "no id");
        return;
    }
    *id_bytes = (uint8_t)bytes;
    get_raw(reader, id, bytes);
}

static void get_result(struct reader *reader, struct tri_envelope_delivery *delivery)
{
    bool has_ended = delivery->state == TRI_DELIVERY_ENDED;
    uint32_t type = (uint32_t)get(reader, 1);
    uint32_t code = (uint32_t)get(reader, 1);

    reader_expect(reader, type <= TRI_ACK_REJECTED && tri_error_known(code), "no result");
    reader_expect(reader, has_ended == (type != TRI_ACK_RECEIVED),
                  "a result without an end, or the other way round");
    reader_expect(reader, code == TRI_ERROR_NONE || has_ended, "an error before the end");
    reader_expect(reader,
                  code != TRI_ERROR_NONE || type == TRI_ACK_RECEIVED || type == TRI_ACK_PROCESSED,
                  "a failure without its code");
    delivery->ack_type = (uint8_t)type;
    delivery->code = (uint8_t)code;
}

static uint8_t get_count(struct reader *reader)
{
    uint32_t count = (uint32_t)get(reader, 1);

    if (count < 1 || count > TRI_ENVELOPE_MAX) {
        reader_expect(reader, false, "no deliveries, or too many");
        return 0;
    }
    return (uint8_t)count;
}

static void get_standing(struct reader *reader, struct tri_envelope_slot *slot)
{
    uint32_t ended = 0;

    slot->count = get_count(reader);
    slot->begun = (uint8_t)get(reader, 1);
    reader_expect(reader, slot->begun >= 1 && slot->begun <= slot->count, "no delivery has begun");
    for (uint32_t i = 0; i < slot->count && reader->fault == NULL; i++) {
        struct tri_envelope_delivery *delivery = &slot->deliveries[i];

        delivery->state = (uint8_t)get(reader, 1);
        reader_expect(reader, delivery->state < TRI_DELIVERY_STATE_COUNT, "no state");
        reader_expect(reader, (delivery->state == TRI_DELIVERY_WAITING) == (i >= slot->begun),
                      "a delivery stands out of its turn");
        get_result(reader, delivery);
        ended += delivery->state == TRI_DELIVERY_ENDED ? 1 : 0;
    }
    reader_expect(reader, ended < slot->count, "an open envelope without an open delivery");
}

static void get_deliveries(struct reader *reader, struct told *told)
{
    for (uint32_t i = 0; i < told->slot.count && reader->fault == NULL; i++) {
        struct tri_envelope_delivery *delivery = &told->slot.deliveries[i];
        uint32_t bytes = (uint32_t)get(reader, 4);
        struct tri_text id;
        uint32_t ttl_s;

        if (bytes == 0 || bytes > TRI_FRAME_BYTES_MAX - told->body_bytes ||
            !reader_has(reader, bytes)) {
            reader_expect(reader, false, "a delivery is too long");
            return;
        }
        told->canonical[i] = (struct tri_bytes){.at = reader->at, .bytes = bytes};
        if (!tri_wire_delivery(told->canonical[i], &id, &ttl_s)) {
            reader_expect(reader, false, "a delivery cannot be read");
            return;
        }
        delivery->at = told->body_bytes;
        delivery->bytes = bytes;
        delivery->id_bytes = (uint8_t)id.bytes;
        memcpy(delivery->id, id.at, id.bytes);
        told->body_bytes += bytes;
        reader->at += bytes;
    }
}

static void get_results(struct reader *reader, const struct tri_replay *replay, struct told *told)
{
    struct tri_envelope_slot *slot = &told->slot;
    uint64_t forget_at_ms;
    uint64_t kept_ms;

    slot->count = slot->begun = get_count(reader);
    for (uint32_t i = 0; i < slot->count && reader->fault == NULL; i++) {
        slot->deliveries[i].state = TRI_DELIVERY_ENDED;
        get_result(reader, &slot->deliveries[i]);
        get_id(reader, slot->deliveries[i].id, &slot->deliveries[i].id_bytes);
    }
    forget_at_ms = get(reader, 8);
    kept_ms = get(reader, 4);
    told->rest_ms = forget_at_ms > replay->wall_ms ? forget_at_ms - replay->wall_ms : 0;
    if (told->rest_ms > kept_ms) {
        told->rest_ms = kept_ms; /* L07 */
    }
}

static void get_told(struct reader *reader, const struct tri_replay *replay, struct told *told)
{
    *told = (struct told){0};
    told->slot.key = get_key(reader);
    if (replay->kind != TRI_RECORD_ENVELOPE_STEP) {
        get_raw(reader, told->slot.hash.at, sizeof(told->slot.hash.at));
        get_id(reader, told->slot.id, &told->slot.id_bytes);
    }
    if (reader->fault == NULL && replay->kind == TRI_RECORD_ENVELOPE_END) {
        get_results(reader, replay, told);
    } else if (reader->fault == NULL) {
        get_standing(reader, &told->slot);
    }
    if (reader->fault == NULL && replay->kind == TRI_RECORD_ENVELOPE) {
        get_deliveries(reader, told);
    }
}

/* ---- restoring ---- */

static void slot_fill(struct tri_envelope_slot *slot, const struct tri_envelope_slot *told)
{
    slot->hash = told->hash;
    slot->id_bytes = told->id_bytes;
    memcpy(slot->id, told->id, sizeof(slot->id));
    slot->count = told->count;
    slot->begun = told->begun;
    memcpy(slot->deliveries, told->deliveries, sizeof(slot->deliveries));
}

/* An open envelope goes on, whatever has to be forgotten for it. */
static struct tri_envelope_slot *replay_take(struct tri_engine *engine, struct tri_key key)
{
    struct tri_envelope_slot *slot = tri_envelope_take(engine, key, 0);
    struct tri_envelope_slot *ended = tri_envelope_first_over(engine);

    if (slot == NULL && ended != NULL) {
        tri_envelope_give(engine, ended);
        slot = tri_envelope_take(engine, key, 0);
    }
    return slot;
}

static enum tri_result replay_open(struct tri_engine *engine, const struct told *told,
                                   const char **fault)
{
    struct tri_envelope_slot *slot;
    uint8_t *to;
    uint32_t body;

    *fault = "more envelopes were open than the capacities allow";
    if (tri_restore_take_body(engine, told->body_bytes, &body) != TRI_OK) {
        return TRI_FULL;
    }
    slot = replay_take(engine, told->slot.key);
    if (slot == NULL) {
        tri_arena_give(engine->bodies, body);
        return TRI_FULL;
    }
    *fault = NULL;
    slot_fill(slot, &told->slot);
    tri_envelope_hold(engine, slot, body);
    to = tri_arena_at(engine->bodies, body);
    for (uint32_t i = 0; i < slot->count; i++) {
        memcpy(to + slot->deliveries[i].at, told->canonical[i].at, told->canonical[i].bytes);
    }
    return TRI_OK;
}

static enum tri_result replay_step(struct tri_envelope_slot *slot, const struct told *told,
                                   const char **fault)
{
    if (slot == NULL || !tri_envelope_is_open(slot)) {
        return TRI_STALE;
    }
    if (slot->count != told->slot.count) {
        *fault = "the record has other deliveries than its envelope";
        return TRI_VIOLATION;
    }
    slot->begun = told->slot.begun;
    for (uint32_t i = 0; i < slot->count; i++) {
        slot->deliveries[i].state = told->slot.deliveries[i].state;
        slot->deliveries[i].ack_type = told->slot.deliveries[i].ack_type;
        slot->deliveries[i].code = told->slot.deliveries[i].code;
    }
    return TRI_OK;
}

/* A result is taken back as far as there is room: records of several engines may come to one, and
 * the wall clock may have been set back, so that what was forgotten is not over any more.  Those
 * that would be forgotten first give way; their deliveries have results of their own (R01). */
static enum tri_result replay_end(struct tri_engine *engine, const struct tri_replay *replay,
                                  const struct told *told)
{
    uint64_t expires_ns = replay->now_ns + told->rest_ms * TRI_NS_PER_MS;
    uint32_t expires_s = (uint32_t)((expires_ns + TRI_NS_PER_S - 1) / TRI_NS_PER_S);
    struct tri_envelope_slot *slot = tri_envelope_first_over(engine);

    if (told->rest_ms == 0) {
        return TRI_STALE; /* R06: its window is over */
    }
    if (!tri_envelope_has_room(engine) && slot != NULL && slot->expires_s < expires_s) {
        tri_envelope_give(engine, slot);
    }
    if (!tri_envelope_has_room(engine)) {
        return TRI_STALE;
    }
    slot = tri_envelope_take(engine, told->slot.key, 0);
    assert(slot != NULL);
    slot_fill(slot, &told->slot);
    tri_envelope_conclude(slot);
    tri_envelope_keep(engine, slot, expires_s);
    return TRI_OK;
}

enum tri_result tri_envelope_replay(struct tri_engine *engine, const struct tri_replay *replay,
                                    const char **fault)
{
    struct reader reader = {
        .at = replay->payload.at, .end = replay->payload.at + replay->payload.bytes, .fault = NULL};
    struct tri_envelope_slot *slot;
    struct told told;

    get_told(&reader, replay, &told);
    if (reader_end(&reader, fault) != TRI_OK) {
        return TRI_VIOLATION;
    }
    slot = tri_envelope_find(engine, told.slot.key);
    if (replay->kind == TRI_RECORD_ENVELOPE_STEP) {
        return replay_step(slot, &told, fault);
    }
    if (slot != NULL) {
        tri_envelope_give(engine, slot); /* what the record says takes its place */
    }
    return replay->kind == TRI_RECORD_ENVELOPE ? replay_open(engine, &told, fault)
                                               : replay_end(engine, replay, &told);
}

bool tri_envelope_pack(struct tri_engine *engine)
{
    const struct tri_pool *pool = engine->envelopes.pool;
    bool has_moved = false;

    for (uint32_t index = pool == NULL ? TRI_NONE_INDEX : tri_pool_next(pool, 0);
         index != TRI_NONE_INDEX; index = tri_pool_next(pool, index + 1)) {
        struct tri_envelope_slot *slot = &engine->envelopes.at[index];
        const struct tri_envelope_delivery *last = &slot->deliveries[slot->count - 1];
        uint32_t old = slot->body;
        uint32_t body;

        if (!tri_envelope_is_open(slot) ||
            tri_arena_take(engine->bodies, last->at + last->bytes, &body) != TRI_OK) {
            continue;
        }
        if (tri_arena_class(body) >= tri_arena_class(old)) {
            tri_arena_give(engine->bodies, body);
            continue;
        }
        memcpy(tri_arena_at(engine->bodies, body), tri_arena_at(engine->bodies, old),
               last->at + last->bytes);
        tri_envelope_unhold(engine, slot);
        tri_envelope_hold(engine, slot, body);
        tri_arena_give(engine->bodies, old);
        has_moved = true;
    }
    return has_moved;
}

void tri_envelope_resume(struct tri_engine *engine)
{
    const struct tri_pool *pool = engine->envelopes.pool;

    for (uint32_t index = pool == NULL ? TRI_NONE_INDEX : tri_pool_next(pool, 0);
         index != TRI_NONE_INDEX; index = tri_pool_next(pool, index + 1)) {
        struct tri_envelope_slot *slot = &engine->envelopes.at[index];
        uint32_t deliveries = 0;

        for (uint32_t i = 0; i < slot->begun && tri_envelope_is_open(slot); i++) {
            deliveries |= slot->deliveries[i].state == TRI_DELIVERY_ENDED ? 0 : UINT32_C(1) << i;
        }
        if (deliveries != 0) {
            tri_envelope_again(engine, slot, deliveries, engine->now_ns);
        }
    }
}
