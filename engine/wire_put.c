/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames out: canonical msgpack through a writer that stops at its end.
 *
 * The order of the puts is the layout in wire.h.  What a frame carries comes
 * from our own code, so ranges are asserted here, not refused.
 */
#include <string.h>

#include "engine/wire_cursor.h"

/* Takes `bytes` of room, or NULL, and from then on always NULL. */
static inline uint8_t *take(struct tri_writer *writer, size_t bytes)
{
    uint8_t *at = writer->at;

    if (writer->failed || (size_t)(writer->end - at) < bytes) {
        writer->failed = true;
        return NULL;
    }
    writer->at = at + bytes;
    return at;
}

static inline void store_be(uint8_t *at, uint64_t value, uint32_t bytes)
{
    while (bytes > 0) {
        bytes--;
        at[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

/* A type byte and its value behind it in `width` bytes. */
static inline void put_head(struct tri_writer *writer, uint8_t type, uint64_t value, uint32_t width)
{
    uint8_t *at = take(writer, 1 + width);

    if (at != NULL) {
        at[0] = type;
        store_be(at + 1, value, width);
    }
}

void tri_put_array(struct tri_writer *writer, uint32_t count)
{
    if (count < 16) {
        put_head(writer, (uint8_t)(0x90 | count), 0, 0);
    } else if (count <= UINT16_MAX) {
        put_head(writer, 0xdc, count, 2);
    } else {
        put_head(writer, 0xdd, count, 4);
    }
}

void tri_put_uint(struct tri_writer *writer, uint64_t value)
{
    if (value < 0x80) {
        put_head(writer, (uint8_t)value, 0, 0);
    } else if (value <= UINT8_MAX) {
        put_head(writer, 0xcc, value, 1);
    } else if (value <= UINT16_MAX) {
        put_head(writer, 0xcd, value, 2);
    } else if (value <= UINT32_MAX) {
        put_head(writer, 0xce, value, 4);
    } else {
        put_head(writer, 0xcf, value, 8);
    }
}

void tri_put_bool(struct tri_writer *writer, bool value)
{
    put_head(writer, value ? 0xc3 : 0xc2, 0, 0);
}

void tri_put_nil(struct tri_writer *writer)
{
    put_head(writer, 0xc0, 0, 0);
}

void tri_put_raw(struct tri_writer *writer, const void *bytes, size_t count)
{
    uint8_t *at = take(writer, count);

    assert(bytes != NULL || count == 0);
    if (at != NULL && count != 0) {
        memcpy(at, bytes, count);
    }
}

void tri_put_text(struct tri_writer *writer, struct tri_text text)
{
    if (text.bytes < 32) {
        put_head(writer, (uint8_t)(0xa0 | text.bytes), 0, 0);
    } else if (text.bytes <= UINT8_MAX) {
        put_head(writer, 0xd9, text.bytes, 1);
    } else if (text.bytes <= UINT16_MAX) {
        put_head(writer, 0xda, text.bytes, 2);
    } else {
        put_head(writer, 0xdb, text.bytes, 4);
    }
    tri_put_raw(writer, text.at, text.bytes);
}

void tri_put_bin(struct tri_writer *writer, struct tri_bytes bin)
{
    if (bin.bytes <= UINT8_MAX) {
        put_head(writer, 0xc4, bin.bytes, 1);
    } else if (bin.bytes <= UINT16_MAX) {
        put_head(writer, 0xc5, bin.bytes, 2);
    } else {
        put_head(writer, 0xc6, bin.bytes, 4);
    }
    tri_put_raw(writer, bin.at, bin.bytes);
}

void tri_put_attempt(struct tri_writer *writer, tri_attempt attempt)
{
    tri_put_array(writer, 2);
    tri_put_uint(writer, TRI_ATTEMPT_EPOCH(attempt));
    tri_put_uint(writer, TRI_ATTEMPT_N(attempt));
}

static void put_hash(struct tri_writer *writer, const struct tri_hash *hash)
{
    tri_put_bin(writer, (struct tri_bytes){hash->at, sizeof hash->at});
}

static void put_list(struct tri_writer *writer, const struct tri_text *list, uint32_t count)
{
    uint32_t i;

    assert(count <= TRI_TARGETS_MAX);
    tri_put_array(writer, count);
    for (i = 0; i < count; i++) {
        tri_put_text(writer, list[i]);
    }
}

static void put_inner(struct tri_writer *writer, enum tri_message_type type,
                      enum tri_subtype subtype, const struct tri_text *assets, uint32_t asset_count,
                      struct tri_bytes payload)
{
    assert(asset_count <= TRI_ASSETS_MAX);
    assert(payload.bytes <= TRI_PAYLOAD_BYTES_MAX);
    tri_put_uint(writer, type);
    tri_put_uint(writer, subtype);
    put_list(writer, assets, asset_count);
    tri_put_bin(writer, payload);
}

static void put_envelope(struct tri_writer *writer, const struct tri_envelope *envelope)
{
    if (!envelope->is_given) {
        tri_put_nil(writer);
        return;
    }
    tri_put_array(writer, 3);
    tri_put_text(writer, envelope->id);
    tri_put_uint(writer, envelope->n);
    tri_put_uint(writer, envelope->m);
}

static void put_signature(struct tri_writer *writer, const struct tri_signature *signature)
{
    if (!signature->is_given) {
        tri_put_nil(writer);
        return;
    }
    tri_put_array(writer, 4);
    tri_put_uint(writer, signature->type);
    tri_put_bin(writer, signature->bytes);
    tri_put_text(writer, signature->signer_set);
    tri_put_uint(writer, signature->threshold);
}

static void put_canonical(struct tri_writer *writer, const struct tri_message *message)
{
    static const char version[] = TRI_PROTOCOL_VERSION;
    uint32_t i;

    tri_put_text(writer, message->id);
    tri_put_text(writer, (struct tri_text){version, sizeof version - 1});
    tri_put_uint(writer, message->priority);
    tri_put_uint(writer, message->scope);
    tri_put_uint(writer, message->atomicity);
    tri_put_uint(writer, message->ttl_s);
    tri_put_uint(writer, message->timestamp_ms);
    tri_put_text(writer, message->source_chain);
    tri_put_text(writer, message->source_node);
    put_list(writer, message->targets, message->target_count);
    tri_put_array(writer, TRI_PHASE_COUNT);
    for (i = 0; i < TRI_PHASE_COUNT; i++) {
        tri_put_uint(writer, message->timeout_ms[i]);
    }
    tri_put_bool(writer, message->finalize_requested);
    put_inner(writer, message->type, message->subtype, message->assets, message->asset_count,
              message->payload);
    put_envelope(writer, &message->envelope);
    put_signature(writer, &message->signature);
}

static void put_submit_head(struct tri_writer *writer, enum tri_frame_type type)
{
    tri_put_array(writer, 19);
    tri_put_uint(writer, type);
}

static void put_submit(struct tri_writer *writer, enum tri_frame_type type,
                       const struct tri_message *message)
{
    put_submit_head(writer, type);
    if (message->canonical.at != NULL) {
        tri_put_raw(writer, message->canonical.at, message->canonical.bytes);
    } else {
        put_canonical(writer, message);
    }
}

const uint8_t *tri_wire_put_submit(struct tri_writer *writer, const struct tri_message *message)
{
    const uint8_t *canonical = NULL;

    put_submit_head(writer, TRI_FRAME_SUBMIT);
    canonical = writer->at;
    put_canonical(writer, message);
    return canonical;
}

static void put_phase(struct tri_writer *writer, const struct tri_phase_frame *frame)
{
    tri_put_array(writer, 17);
    tri_put_uint(writer, TRI_FRAME_PHASE);
    tri_put_text(writer, frame->id);
    tri_put_uint(writer, frame->phase);
    tri_put_uint(writer, frame->phase); /* phaseSequence */
    tri_put_attempt(writer, frame->attempt);
    tri_put_uint(writer, frame->atomicity);
    put_hash(writer, &frame->hash);
    tri_put_uint(writer, frame->expires_at_ms);
    tri_put_uint(writer, frame->reservation_ttl_ms);
    tri_put_bool(writer, frame->system);
    if (frame->inner.at != NULL) {
        tri_put_raw(writer, frame->inner.at, frame->inner.bytes);
    } else {
        put_inner(writer, frame->type, frame->subtype, frame->assets, frame->asset_count,
                  frame->payload);
        put_envelope(writer, &frame->envelope);
        put_signature(writer, &frame->signature);
    }
    tri_put_raw(writer, frame->tokens.at, frame->tokens.bytes);
}

static void put_phase_ack(struct tri_writer *writer, const struct tri_phase_ack *ack)
{
    tri_put_array(writer, 10);
    tri_put_uint(writer, TRI_FRAME_PHASE_ACK);
    tri_put_text(writer, ack->id);
    tri_put_uint(writer, ack->type);
    tri_put_uint(writer, ack->phase);
    tri_put_attempt(writer, ack->attempt);
    tri_put_text(writer, ack->chain);
    tri_put_uint(writer, ack->code);
    tri_put_bool(writer, ack->already_applied);
    tri_put_raw(writer, ack->tokens.at, ack->tokens.bytes);
    tri_put_uint(writer, ack->retry_after_ms);
}

static void put_control(struct tri_writer *writer, const struct tri_control_frame *control)
{
    tri_put_array(writer, 10);
    tri_put_uint(writer, TRI_FRAME_CONTROL);
    tri_put_text(writer, control->id);
    tri_put_uint(writer, control->kind);
    tri_put_attempt(writer, control->attempt);
    put_hash(writer, &control->hash);
    tri_put_uint(writer, control->expires_at_ms);
    tri_put_raw(writer, control->tokens.at, control->tokens.bytes);
    tri_put_text(writer, control->reason);
    put_list(writer, control->chains, control->chain_count);
    tri_put_uint(writer, control->deadline_ms);
}

static void put_control_ack(struct tri_writer *writer, const struct tri_control_ack *ack)
{
    tri_put_array(writer, 7);
    tri_put_uint(writer, TRI_FRAME_CONTROL_ACK);
    tri_put_text(writer, ack->id);
    tri_put_uint(writer, ack->type);
    tri_put_uint(writer, ack->kind);
    tri_put_attempt(writer, ack->attempt);
    tri_put_text(writer, ack->chain);
    tri_put_uint(writer, ack->code);
}

static void put_ask(struct tri_writer *writer, const struct tri_ask *ask)
{
    tri_put_array(writer, 4);
    tri_put_uint(writer, TRI_FRAME_ASK);
    tri_put_text(writer, ask->id);
    tri_put_attempt(writer, ask->attempt);
    tri_put_text(writer, ask->chain);
}

static void put_reports(struct tri_writer *writer, const struct tri_target_report *reports,
                        uint32_t count, bool have_tokens)
{
    uint32_t i;

    assert(count <= TRI_TARGETS_MAX);
    tri_put_array(writer, count);
    for (i = 0; i < count; i++) {
        tri_put_array(writer, have_tokens ? 4 : 3);
        tri_put_text(writer, reports[i].chain);
        tri_put_uint(writer, reports[i].state);
        tri_put_uint(writer, reports[i].code);
        if (have_tokens) {
            tri_put_raw(writer, reports[i].tokens.at, reports[i].tokens.bytes);
        }
    }
}

static void put_ack(struct tri_writer *writer, const struct tri_ack *ack)
{
    tri_put_array(writer, 7);
    tri_put_uint(writer, TRI_FRAME_ACK);
    tri_put_text(writer, ack->id);
    tri_put_uint(writer, ack->type);
    tri_put_uint(writer, ack->code);
    tri_put_bool(writer, ack->duplicate);
    tri_put_attempt(writer, ack->attempt);
    put_reports(writer, ack->targets, ack->target_count, false);
}

static void put_notice(struct tri_writer *writer, const struct tri_notice *notice)
{
    tri_put_array(writer, 7);
    tri_put_uint(writer, TRI_FRAME_NOTICE);
    tri_put_text(writer, notice->id);
    tri_put_attempt(writer, notice->attempt);
    tri_put_uint(writer, notice->issued_at_ms);
    put_list(writer, notice->chains, notice->chain_count);
    tri_put_text(writer, notice->stream);
    tri_put_uint(writer, notice->oss_epoch);
}

static void put_status(struct tri_writer *writer, const struct tri_status *status)
{
    tri_put_array(writer, 13);
    tri_put_uint(writer, TRI_FRAME_STATUS);
    tri_put_text(writer, status->id);
    tri_put_text(writer, status->state);
    tri_put_uint(writer, status->code);
    tri_put_attempt(writer, status->attempt);
    tri_put_uint(writer, status->retries);
    tri_put_uint(writer, status->scope_declared);
    tri_put_uint(writer, status->scope);
    tri_put_uint(writer, status->atomicity_declared);
    tri_put_uint(writer, status->atomicity);
    tri_put_uint(writer, status->map_version);
    put_reports(writer, status->targets, status->target_count, true);
    tri_put_bool(writer, status->is_forced);
}

static void put_event(struct tri_writer *writer, const struct tri_event_frame *event)
{
    tri_put_array(writer, 8);
    tri_put_uint(writer, TRI_FRAME_EVENT);
    tri_put_text(writer, event->id);
    tri_put_uint(writer, event->at_ms);
    tri_put_text(writer, event->what);
    tri_put_attempt(writer, event->attempt);
    put_list(writer, event->chains, event->chain_count);
    tri_put_uint(writer, event->code);
    tri_put_uint(writer, event->missed);
}

static void put_hello(struct tri_writer *writer, const struct tri_hello *hello)
{
    assert(hello->nonce.bytes == TRI_NONCE_BYTES);
    tri_put_array(writer, 8);
    tri_put_uint(writer, TRI_FRAME_HELLO);
    tri_put_text(writer, hello->version);
    tri_put_uint(writer, hello->role);
    tri_put_text(writer, hello->identity);
    tri_put_uint(writer, hello->instance);
    tri_put_bin(writer, hello->nonce);
    tri_put_uint(writer, hello->shard);
    tri_put_bin(writer, hello->mac);
}

static void put_welcome(struct tri_writer *writer, const struct tri_welcome *welcome)
{
    assert(welcome->shard < welcome->shards);
    tri_put_array(writer, 6);
    tri_put_uint(writer, TRI_FRAME_WELCOME);
    tri_put_uint(writer, welcome->epoch);
    tri_put_uint(writer, welcome->shard);
    tri_put_uint(writer, welcome->shards);
    tri_put_uint(writer, welcome->frame_bytes_max);
    tri_put_bin(writer, welcome->mac);
}

static void put_session(struct tri_writer *writer, const struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_CHALLENGE:
        assert(frame->challenge.nonce.bytes == TRI_NONCE_BYTES);
        tri_put_array(writer, 3);
        tri_put_uint(writer, TRI_FRAME_CHALLENGE);
        tri_put_text(writer, frame->challenge.version);
        tri_put_bin(writer, frame->challenge.nonce);
        break;
    case TRI_FRAME_HELLO:
        put_hello(writer, &frame->hello);
        break;
    case TRI_FRAME_WELCOME:
        put_welcome(writer, &frame->welcome);
        break;
    case TRI_FRAME_ERROR:
        assert(frame->error.code != TRI_ERROR_NONE);
        tri_put_array(writer, 4);
        tri_put_uint(writer, TRI_FRAME_ERROR);
        tri_put_text(writer, frame->error.id);
        tri_put_uint(writer, frame->error.code);
        tri_put_text(writer, frame->error.detail);
        break;
    case TRI_FRAME_STATUS_GET:
        tri_put_array(writer, 2);
        tri_put_uint(writer, TRI_FRAME_STATUS_GET);
        tri_put_text(writer, frame->status_get);
        break;
    case TRI_FRAME_STATUS:
        put_status(writer, &frame->status);
        break;
    case TRI_FRAME_VERDICT:
        tri_put_array(writer, 3);
        tri_put_uint(writer, TRI_FRAME_VERDICT);
        tri_put_text(writer, frame->verdict.id);
        tri_put_bool(writer, frame->verdict.has_passed);
        break;
    case TRI_FRAME_ENVELOPE:
        tri_put_envelope_frame(writer, &frame->envelope);
        break;
    case TRI_FRAME_ENVELOPE_ACK:
        tri_put_envelope_ack(writer, &frame->envelope_ack);
        break;
    case TRI_FRAME_PENDING_GET:
    case TRI_FRAME_SETTLE:
    case TRI_FRAME_SETTLED:
    case TRI_FRAME_HEARTBEAT:
    case TRI_FRAME_SEQUENCER:
    case TRI_FRAME_FINALITY_GET:
        tri_put_settlement(writer, frame);
        break;
    case TRI_FRAME_PENDING:
        tri_put_pending(writer, &frame->pending);
        break;
    case TRI_FRAME_FINALITY:
        tri_put_finality(writer, &frame->finality);
        break;
    default:
        assert(frame->type == TRI_FRAME_EVENT); /* those with `rest` are not written here */
        put_event(writer, &frame->event);
    }
}

static void put_body(struct tri_writer *writer, const struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_PHASE:
        put_phase(writer, &frame->phase);
        break;
    case TRI_FRAME_PHASE_ACK:
        put_phase_ack(writer, &frame->phase_ack);
        break;
    case TRI_FRAME_SUBMIT:
    case TRI_FRAME_FORCE:
        put_submit(writer, frame->type, &frame->submit);
        break;
    case TRI_FRAME_ACK:
        put_ack(writer, &frame->ack);
        break;
    case TRI_FRAME_NOTICE:
        put_notice(writer, &frame->notice);
        break;
    case TRI_FRAME_CONTROL:
        put_control(writer, &frame->control);
        break;
    case TRI_FRAME_CONTROL_ACK:
        put_control_ack(writer, &frame->control_ack);
        break;
    case TRI_FRAME_ASK:
        put_ask(writer, &frame->ask);
        break;
    default:
        put_session(writer, frame);
    }
}

uint32_t tri_wire_encode(const struct tri_frame *frame, uint8_t *to, uint32_t bytes_max)
{
    struct tri_writer writer;
    uint8_t *length;
    uint32_t bytes;

    assert(frame != NULL && to != NULL);
    writer.at = to;
    writer.end = to + bytes_max;
    writer.failed = false;
    length = take(&writer, TRI_FRAME_HEADER_BYTES);
    put_body(&writer, frame);
    if (writer.failed) {
        return 0;
    }
    bytes = (uint32_t)(writer.at - to);
    assert(bytes > TRI_FRAME_HEADER_BYTES);
    assert(bytes - TRI_FRAME_HEADER_BYTES <= TRI_FRAME_BYTES_MAX);
    store_be(length, bytes - TRI_FRAME_HEADER_BYTES, TRI_FRAME_HEADER_BYTES);
    return bytes;
}
