/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wire_oracle.h"

#include <stdio.h>
#include <string.h>

static void pack_text(msgpack_packer *packer, struct tri_text text)
{
    msgpack_pack_str_with_body(packer, text.at, text.bytes);
}

static void pack_bin(msgpack_packer *packer, const uint8_t *at, uint32_t bytes)
{
    msgpack_pack_bin_with_body(packer, at, bytes);
}

static void pack_bool(msgpack_packer *packer, bool value)
{
    if (value) {
        msgpack_pack_true(packer);
    } else {
        msgpack_pack_false(packer);
    }
}

static void pack_attempt(msgpack_packer *packer, tri_attempt attempt)
{
    msgpack_pack_array(packer, 2);
    msgpack_pack_uint64(packer, attempt >> 32);
    msgpack_pack_uint64(packer, attempt & UINT32_MAX);
}

static void pack_texts(msgpack_packer *packer, const struct tri_text *texts, uint32_t count)
{
    msgpack_pack_array(packer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_text(packer, texts[i]);
    }
}

static void pack_tokens(msgpack_packer *packer, struct tri_bytes encoded)
{
    struct tri_text tokens[TRI_TOKENS_MAX];

    pack_texts(packer, tokens, tri_tokens_get(encoded, tokens));
}

static void pack_envelope(msgpack_packer *packer, const struct tri_envelope *envelope)
{
    if (!envelope->is_given) {
        msgpack_pack_nil(packer);
        return;
    }
    msgpack_pack_array(packer, 3);
    pack_text(packer, envelope->id);
    msgpack_pack_uint32(packer, envelope->n);
    msgpack_pack_uint32(packer, envelope->m);
}

static void pack_signature(msgpack_packer *packer, const struct tri_signature *signature)
{
    if (!signature->is_given) {
        msgpack_pack_nil(packer);
        return;
    }
    msgpack_pack_array(packer, 4);
    msgpack_pack_int(packer, (int)signature->type);
    pack_bin(packer, signature->bytes.at, signature->bytes.bytes);
    pack_text(packer, signature->signer_set);
    msgpack_pack_uint32(packer, signature->threshold);
}

static void pack_submit(msgpack_packer *packer, const struct tri_message *message)
{
    pack_text(packer, message->id);
    pack_text(packer, (struct tri_text){"0.5.0", 5});
    msgpack_pack_int(packer, (int)message->priority);
    msgpack_pack_int(packer, (int)message->scope);
    msgpack_pack_int(packer, (int)message->atomicity);
    msgpack_pack_uint32(packer, message->ttl_s);
    msgpack_pack_uint64(packer, message->timestamp_ms);
    pack_text(packer, message->source_chain);
    pack_text(packer, message->source_node);
    pack_texts(packer, message->targets, message->target_count);
    msgpack_pack_array(packer, 3);
    for (int i = 0; i < 3; i++) {
        msgpack_pack_uint32(packer, message->timeout_ms[i]);
    }
    pack_bool(packer, message->finalize_requested);
    msgpack_pack_int(packer, (int)message->type);
    msgpack_pack_int(packer, (int)message->subtype);
    pack_texts(packer, message->assets, message->asset_count);
    pack_bin(packer, message->payload.at, message->payload.bytes);
    pack_envelope(packer, &message->envelope);
    pack_signature(packer, &message->signature);
}

static void pack_phase(msgpack_packer *packer, const struct tri_phase_frame *frame)
{
    pack_text(packer, frame->id);
    msgpack_pack_int(packer, (int)frame->phase);
    msgpack_pack_int(packer, (int)frame->phase);
    pack_attempt(packer, frame->attempt);
    msgpack_pack_int(packer, (int)frame->atomicity);
    pack_bin(packer, frame->hash.at, 16);
    msgpack_pack_uint64(packer, frame->expires_at_ms);
    msgpack_pack_uint32(packer, frame->reservation_ttl_ms);
    pack_bool(packer, frame->system);
    msgpack_pack_int(packer, (int)frame->type);
    msgpack_pack_int(packer, (int)frame->subtype);
    pack_texts(packer, frame->assets, frame->asset_count);
    pack_bin(packer, frame->payload.at, frame->payload.bytes);
    pack_envelope(packer, &frame->envelope);
    pack_signature(packer, &frame->signature);
    pack_tokens(packer, frame->tokens);
}

static void pack_round(msgpack_packer *packer, const struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_PHASE:
        pack_phase(packer, &frame->phase);
        break;
    case TRI_FRAME_PHASE_ACK:
        pack_text(packer, frame->phase_ack.id);
        msgpack_pack_int(packer, (int)frame->phase_ack.type);
        msgpack_pack_int(packer, (int)frame->phase_ack.phase);
        pack_attempt(packer, frame->phase_ack.attempt);
        pack_text(packer, frame->phase_ack.chain);
        msgpack_pack_int(packer, (int)frame->phase_ack.code);
        pack_bool(packer, frame->phase_ack.already_applied);
        pack_tokens(packer, frame->phase_ack.tokens);
        msgpack_pack_uint32(packer, frame->phase_ack.retry_after_ms);
        break;
    case TRI_FRAME_CONTROL:
        pack_text(packer, frame->control.id);
        msgpack_pack_int(packer, (int)frame->control.kind);
        pack_attempt(packer, frame->control.attempt);
        pack_bin(packer, frame->control.hash.at, 16);
        msgpack_pack_uint64(packer, frame->control.expires_at_ms);
        pack_tokens(packer, frame->control.tokens);
        pack_text(packer, frame->control.reason);
        pack_texts(packer, frame->control.chains, frame->control.chain_count);
        msgpack_pack_uint64(packer, frame->control.deadline_ms);
        break;
    case TRI_FRAME_CONTROL_ACK:
        pack_text(packer, frame->control_ack.id);
        msgpack_pack_int(packer, (int)frame->control_ack.type);
        msgpack_pack_int(packer, (int)frame->control_ack.kind);
        pack_attempt(packer, frame->control_ack.attempt);
        pack_text(packer, frame->control_ack.chain);
        msgpack_pack_int(packer, (int)frame->control_ack.code);
        break;
    default:
        assert(frame->type == TRI_FRAME_ASK);
        pack_text(packer, frame->ask.id);
        pack_attempt(packer, frame->ask.attempt);
        pack_text(packer, frame->ask.chain);
    }
}

static void pack_reports(msgpack_packer *packer, const struct tri_target_report *reports,
                         uint32_t count, bool have_tokens)
{
    msgpack_pack_array(packer, count);
    for (uint32_t i = 0; i < count; i++) {
        msgpack_pack_array(packer, have_tokens ? 4 : 3);
        pack_text(packer, reports[i].chain);
        msgpack_pack_int(packer, (int)reports[i].state);
        msgpack_pack_int(packer, (int)reports[i].code);
        if (have_tokens) {
            pack_tokens(packer, reports[i].tokens);
        }
    }
}

static void pack_status(msgpack_packer *packer, const struct tri_status *status)
{
    pack_text(packer, status->id);
    pack_text(packer, status->state);
    msgpack_pack_int(packer, (int)status->code);
    pack_attempt(packer, status->attempt);
    msgpack_pack_uint32(packer, status->retries);
    msgpack_pack_int(packer, (int)status->scope_declared);
    msgpack_pack_int(packer, (int)status->scope);
    msgpack_pack_int(packer, (int)status->atomicity_declared);
    msgpack_pack_int(packer, (int)status->atomicity);
    msgpack_pack_uint32(packer, status->map_version);
    pack_reports(packer, status->targets, status->target_count, true);
    pack_bool(packer, status->is_forced);
}

/* A delivery's bytes are a peer's: they are read, and packed again from the fields. */
static void pack_envelope_frame(msgpack_packer *packer, const struct tri_envelope_frame *envelope)
{
    static const uint8_t submit[4] = {0xdc, 0x00, 0x13, 0x10}; /* 19 elements, type 16 */
    static uint8_t body[TRI_FRAME_BYTES_MAX];
    static struct tri_frame inner;
    struct tri_wire_fault fault;

    memcpy(body, submit, sizeof(submit));
    pack_text(packer, envelope->id);
    msgpack_pack_array(packer, envelope->count);
    for (uint32_t i = 0; i < envelope->count; i++) {
        struct tri_bytes canonical = envelope->deliveries[i].canonical;
        enum tri_result result;

        memcpy(body + sizeof(submit), canonical.at, canonical.bytes);
        result = tri_wire_decode(body, sizeof(submit) + canonical.bytes, &inner, &fault);
        assert(result == TRI_OK);
        (void)result;
        msgpack_pack_array(packer, 18);
        pack_submit(packer, &inner.submit);
    }
}

static void pack_envelope_ack(msgpack_packer *packer, const struct tri_envelope_ack *ack)
{
    pack_text(packer, ack->id);
    msgpack_pack_int(packer, (int)ack->type);
    msgpack_pack_int(packer, (int)ack->code);
    pack_bool(packer, ack->duplicate);
    msgpack_pack_array(packer, ack->count);
    for (uint32_t i = 0; i < ack->count; i++) {
        msgpack_pack_array(packer, 3);
        pack_text(packer, ack->rows[i].id);
        msgpack_pack_int(packer, (int)ack->rows[i].type);
        msgpack_pack_int(packer, (int)ack->rows[i].code);
    }
}

static void pack_client(msgpack_packer *packer, const struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_SUBMIT:
    case TRI_FRAME_FORCE:
        pack_submit(packer, &frame->submit);
        break;
    case TRI_FRAME_ACK:
        pack_text(packer, frame->ack.id);
        msgpack_pack_int(packer, (int)frame->ack.type);
        msgpack_pack_int(packer, (int)frame->ack.code);
        pack_bool(packer, frame->ack.duplicate);
        pack_attempt(packer, frame->ack.attempt);
        pack_reports(packer, frame->ack.targets, frame->ack.target_count, false);
        break;
    case TRI_FRAME_NOTICE:
        pack_text(packer, frame->notice.id);
        pack_attempt(packer, frame->notice.attempt);
        msgpack_pack_uint64(packer, frame->notice.issued_at_ms);
        pack_texts(packer, frame->notice.chains, frame->notice.chain_count);
        pack_text(packer, frame->notice.stream);
        msgpack_pack_uint64(packer, frame->notice.oss_epoch);
        break;
    case TRI_FRAME_ENVELOPE:
        pack_envelope_frame(packer, &frame->envelope);
        break;
    case TRI_FRAME_ENVELOPE_ACK:
        pack_envelope_ack(packer, &frame->envelope_ack);
        break;
    case TRI_FRAME_STATUS_GET:
        pack_text(packer, frame->status_get);
        break;
    case TRI_FRAME_STATUS:
        pack_status(packer, &frame->status);
        break;
    case TRI_FRAME_VERDICT:
        pack_text(packer, frame->verdict.id);
        pack_bool(packer, frame->verdict.has_passed);
        break;
    default:
        assert(frame->type == TRI_FRAME_EVENT);
        pack_text(packer, frame->event.id);
        msgpack_pack_uint64(packer, frame->event.at_ms);
        pack_text(packer, frame->event.what);
        pack_attempt(packer, frame->event.attempt);
        pack_texts(packer, frame->event.chains, frame->event.chain_count);
        msgpack_pack_int(packer, (int)frame->event.code);
        msgpack_pack_uint64(packer, frame->event.missed);
    }
}

static void pack_session(msgpack_packer *packer, const struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_CHALLENGE:
        pack_text(packer, frame->challenge.version);
        pack_bin(packer, frame->challenge.nonce.at, frame->challenge.nonce.bytes);
        break;
    case TRI_FRAME_HELLO:
        pack_text(packer, frame->hello.version);
        msgpack_pack_int(packer, (int)frame->hello.role);
        pack_text(packer, frame->hello.identity);
        msgpack_pack_uint64(packer, frame->hello.instance);
        pack_bin(packer, frame->hello.nonce.at, frame->hello.nonce.bytes);
        msgpack_pack_uint32(packer, frame->hello.shard);
        pack_bin(packer, frame->hello.mac.at, frame->hello.mac.bytes);
        break;
    case TRI_FRAME_WELCOME:
        msgpack_pack_uint32(packer, frame->welcome.epoch);
        msgpack_pack_uint32(packer, frame->welcome.shard);
        msgpack_pack_uint32(packer, frame->welcome.shards);
        msgpack_pack_uint32(packer, frame->welcome.frame_bytes_max);
        pack_bin(packer, frame->welcome.mac.at, frame->welcome.mac.bytes);
        break;
    default:
        assert(frame->type == TRI_FRAME_ERROR);
        pack_text(packer, frame->error.id);
        msgpack_pack_int(packer, (int)frame->error.code);
        pack_text(packer, frame->error.detail);
    }
}

static void pack_rows(msgpack_packer *packer, const struct tri_frame *frame)
{
    if (frame->type == TRI_FRAME_PENDING) {
        pack_bool(packer, frame->pending.has_more);
        msgpack_pack_array(packer, frame->pending.count);
        for (uint32_t i = 0; i < frame->pending.count; i++) {
            const struct tri_pending_row *row = &frame->pending.rows[i];

            msgpack_pack_array(packer, 2);
            pack_bin(packer, row->header.at, row->header.bytes);
            pack_bin(packer, row->signature.at, row->signature.bytes);
        }
        return;
    }
    assert(frame->type == TRI_FRAME_FINALITY);
    msgpack_pack_array(packer, frame->finality.count);
    for (uint32_t i = 0; i < frame->finality.count; i++) {
        msgpack_pack_array(packer, 3);
        pack_text(packer, frame->finality.rows[i].name);
        pack_text(packer, frame->finality.rows[i].help);
        msgpack_pack_uint64(packer, frame->finality.rows[i].value);
    }
}

static void pack_finality(msgpack_packer *packer, const struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_PENDING_GET:
        pack_text(packer, frame->pending_get.stream);
        msgpack_pack_uint64(packer, frame->pending_get.oss_epoch);
        msgpack_pack_uint32(packer, frame->pending_get.limit);
        break;
    case TRI_FRAME_SETTLE:
        pack_text(packer, frame->settle.stream);
        msgpack_pack_uint64(packer, frame->settle.oss_epoch);
        pack_bin(packer, frame->settle.root.at, frame->settle.root.bytes);
        msgpack_pack_uint64(packer, frame->settle.settled_at_ms);
        pack_text(packer, frame->settle.reference);
        break;
    case TRI_FRAME_SETTLED:
        pack_text(packer, frame->settled.stream);
        msgpack_pack_uint64(packer, frame->settled.oss_epoch);
        msgpack_pack_int(packer, (int)frame->settled.verdict);
        break;
    case TRI_FRAME_HEARTBEAT:
        msgpack_pack_uint32(packer, frame->heartbeat_lag_s);
        break;
    case TRI_FRAME_SEQUENCER:
        pack_bool(packer, frame->is_sequencer_up);
        break;
    case TRI_FRAME_FINALITY_GET:
        break;
    default:
        pack_rows(packer, frame);
    }
}

void tri_oracle_pack(const struct tri_frame *frame, msgpack_sbuffer *buffer)
{
    static const uint8_t counts[] = {
        [TRI_FRAME_CHALLENGE] = 3,  [TRI_FRAME_HELLO] = 8,        [TRI_FRAME_WELCOME] = 6,
        [TRI_FRAME_ERROR] = 4,      [TRI_FRAME_SUBMIT] = 19,      [TRI_FRAME_ACK] = 7,
        [TRI_FRAME_NOTICE] = 7,     [TRI_FRAME_STATUS_GET] = 2,   [TRI_FRAME_STATUS] = 13,
        [TRI_FRAME_ENVELOPE] = 3,   [TRI_FRAME_ENVELOPE_ACK] = 6, [TRI_FRAME_FORCE] = 19,
        [TRI_FRAME_VERDICT] = 3,    [TRI_FRAME_EVENT] = 8,        [TRI_FRAME_PHASE] = 17,
        [TRI_FRAME_PHASE_ACK] = 10, [TRI_FRAME_CONTROL] = 10,     [TRI_FRAME_CONTROL_ACK] = 7,
        [TRI_FRAME_ASK] = 4,        [TRI_FRAME_PENDING_GET] = 4,  [TRI_FRAME_PENDING] = 3,
        [TRI_FRAME_SETTLE] = 6,     [TRI_FRAME_SETTLED] = 4,      [TRI_FRAME_HEARTBEAT] = 2,
        [TRI_FRAME_SEQUENCER] = 2,  [TRI_FRAME_FINALITY_GET] = 1, [TRI_FRAME_FINALITY] = 2,
    };
    msgpack_packer packer;

    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, counts[frame->type]);
    msgpack_pack_int(&packer, (int)frame->type);
    if (frame->type < TRI_FRAME_SUBMIT) {
        pack_session(&packer, frame);
    } else if (frame->type < TRI_FRAME_PHASE) {
        pack_client(&packer, frame);
    } else if (frame->type < TRI_FRAME_PENDING_GET) {
        pack_round(&packer, frame);
    } else {
        pack_finality(&packer, frame);
    }
}

bool tri_oracle_sees(const uint8_t *body, uint32_t bytes)
{
    msgpack_unpacked unpacked;
    msgpack_sbuffer again;
    msgpack_packer packer;
    size_t offset = 0;
    bool is_same = false;

    msgpack_unpacked_init(&unpacked);
    msgpack_sbuffer_init(&again);
    msgpack_packer_init(&packer, &again, msgpack_sbuffer_write);
    if (msgpack_unpack_next(&unpacked, (const char *)body, bytes, &offset) ==
            MSGPACK_UNPACK_SUCCESS &&
        offset == bytes) {
        msgpack_pack_object(&packer, unpacked.data);
        is_same = again.size == bytes && memcmp(again.data, body, bytes) == 0;
    }
    msgpack_sbuffer_destroy(&again);
    msgpack_unpacked_destroy(&unpacked);
    return is_same;
}

void tri_oracle_strip(struct tri_frame *frame)
{
    if (frame->type == TRI_FRAME_SUBMIT || frame->type == TRI_FRAME_FORCE) {
        frame->submit.canonical.at = NULL;
    } else if (frame->type == TRI_FRAME_PHASE) {
        frame->phase.inner.at = NULL;
    }
}
