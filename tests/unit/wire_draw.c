/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames drawn from a seed.  Numbers are drawn by their width first, so that
 * every encoded length of an integer, text and count comes up often.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/wire_oracle.h"

typedef struct tri_oracle_memory memory;

/* splitmix64 */
static uint64_t draw(memory *m)
{
    uint64_t z = (m->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t tri_oracle_below(struct tri_oracle_memory *m, uint32_t below)
{
    assert(below > 0);
    return (uint32_t)(draw(m) % below);
}

/* A number in [min, max], every bit width equally likely. */
static uint64_t draw_uint(memory *m, uint64_t min, uint64_t max)
{
    uint64_t value = draw(m) >> tri_oracle_below(m, 64);

    return value < min ? min : value > max ? max : value;
}

static uint32_t draw_u32(memory *m, uint32_t min, uint32_t max)
{
    return (uint32_t)draw_uint(m, min, max);
}

static bool draw_bool(memory *m)
{
    return tri_oracle_below(m, 2) != 0;
}

static uint8_t *take(memory *m, uint32_t bytes)
{
    uint8_t *at = m->at + m->used;

    assert(m->used + bytes <= sizeof m->at);
    m->used += bytes;
    return at;
}

static struct tri_bytes draw_bin(memory *m, uint32_t min, uint32_t max)
{
    uint32_t bytes = draw_u32(m, min, max);
    uint8_t *at = take(m, bytes);

    for (uint32_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)draw(m);
    }
    return (struct tri_bytes){at, bytes};
}

/* Mostly ASCII; sometimes with a sequence of each length in it. */
static struct tri_text draw_text(memory *m, uint32_t min, uint32_t max)
{
    static const char wide[] = "\xc3\xbc\xe2\x82\xac\xf0\x9f\x94\x92"; /* 2, 3 and 4 bytes */
    uint32_t bytes = draw_u32(m, min, max);
    uint8_t *at = take(m, bytes);

    for (uint32_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(' ' + tri_oracle_below(m, 95));
    }
    if (bytes >= sizeof wide - 1 && tri_oracle_below(m, 4) == 0) {
        memcpy(at + tri_oracle_below(m, bytes - (uint32_t)sizeof wide + 2), wide, sizeof wide - 1);
    }
    return (struct tri_text){(const char *)at, bytes};
}

/* `index` makes the members of a list differ. */
static struct tri_text draw_chain(memory *m, uint32_t index)
{
    static const char reference[] =
        "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint32_t space = 3 + tri_oracle_below(m, 6);
    uint32_t rest = 2 + tri_oracle_below(m, 31);
    char *at = (char *)take(m, TRI_CHAIN_ID_BYTES_MAX + 1);

    for (uint32_t i = 0; i < space; i++) {
        at[i] = "-0123456789abcdefghijklmnopqrstuvwxyz"[tri_oracle_below(m, 37)];
    }
    at[space] = ':';
    for (uint32_t i = 0; i < rest; i++) {
        at[space + 1 + i] = reference[tri_oracle_below(m, 64)];
    }
    at[space + 1] = reference[index / 64];
    at[space + 2] = reference[index % 64];
    return (struct tri_text){at, space + 1 + rest};
}

static uint32_t draw_chains(memory *m, uint32_t min, struct tri_text chains[TRI_TARGETS_MAX])
{
    uint32_t count = draw_u32(m, min, TRI_TARGETS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        chains[i] = draw_chain(m, i);
    }
    return count;
}

static struct tri_bytes draw_tokens(memory *m, uint32_t min)
{
    uint32_t count = min + tri_oracle_below(m, TRI_TOKENS_MAX - min + 1);
    uint8_t *to = take(m, TRI_TOKENS_BYTES_MAX);
    struct tri_writer writer = {to, to + TRI_TOKENS_BYTES_MAX, false};

    tri_put_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        tri_put_text(&writer, draw_text(m, 1, count == 1 ? 39 : 41 / count - 1));
    }
    assert(!writer.failed);
    return (struct tri_bytes){to, (uint32_t)(writer.at - to)};
}

static enum tri_error draw_code(memory *m, bool is_none_allowed)
{
    uint32_t value;

    do {
        value = tri_oracle_below(m, TRI_ERROR_VALUE_MAX + 1);
    } while (!tri_error_known(value) || (value == 0 && !is_none_allowed));
    return (enum tri_error)value;
}

static tri_attempt draw_attempt(memory *m, uint32_t min)
{
    uint32_t epoch = draw_u32(m, min, UINT32_MAX);
    uint32_t n = draw_u32(m, min, UINT32_MAX);

    return TRI_ATTEMPT(epoch, n);
}

static uint32_t draw_assets(memory *m, enum tri_message_type type,
                            struct tri_text assets[TRI_ASSETS_MAX])
{
    uint32_t count = draw_u32(m, type >= TRI_TYPE_HEARTBEAT ? 0 : 1, TRI_ASSETS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        assets[i] = draw_text(m, 2, TRI_ASSET_ID_BYTES_MAX - 1);
        char *at =
            (char *)take(m, 1); /* the texts lie one behind the other: this byte ends asset i */

        *at = (char)('a' + i);
        assets[i].bytes++;
    }
    return count;
}

static uint32_t payload_bytes_max(memory *m)
{
    return tri_oracle_below(m, 256) == 0 ? TRI_PAYLOAD_BYTES_MAX : 512;
}

static void draw_envelope(memory *m, struct tri_envelope *envelope)
{
    envelope->is_given = draw_bool(m);
    envelope->id = draw_text(m, 1, TRI_ID_BYTES_MAX);
    envelope->n = draw_u32(m, 1, TRI_ENVELOPE_MAX);
    envelope->m = draw_u32(m, envelope->n, TRI_ENVELOPE_MAX);
}

static void draw_signature(memory *m, struct tri_signature *signature)
{
    signature->is_given = draw_bool(m);
    signature->type = (enum tri_signature_type)tri_oracle_below(m, 2);
    signature->bytes = draw_bin(m, 1, TRI_SIGNATURE_BYTES_MAX);
    signature->signer_set = draw_text(m, 0, TRI_ID_BYTES_MAX);
    signature->threshold =
        signature->type == TRI_SIGNATURE_THRESHOLD ? draw_u32(m, 1, TRI_THRESHOLD_MAX) : 0;
}

static void draw_submit(memory *m, struct tri_message *message)
{
    message->id = draw_text(m, 1, TRI_ID_BYTES_MAX);
    message->type = (enum tri_message_type)tri_oracle_below(m, TRI_TYPE_COUNT);
    message->subtype = message->type == TRI_TYPE_GOVERNANCE && draw_bool(m) ? TRI_SUBTYPE_EXECUTE
                                                                            : TRI_SUBTYPE_NONE;
    message->priority = (enum tri_priority)tri_oracle_below(m, TRI_PRIORITY_COUNT);
    message->scope = (enum tri_scope)tri_oracle_below(m, TRI_SCOPE_COUNT);
    message->atomicity = (enum tri_atomicity)tri_oracle_below(m, TRI_ATOMICITY_COUNT);
    message->ttl_s = draw_u32(m, 1, TRI_TTL_S_MAX);
    message->timestamp_ms = draw_uint(m, 0, UINT64_MAX);
    message->source_chain = draw_chain(m, 0);
    message->source_node = draw_text(m, 1, TRI_NODE_ID_BYTES_MAX);
    message->target_count = draw_chains(m, 1, message->targets);
    for (uint32_t i = 0; i < TRI_PHASE_COUNT; i++) {
        message->timeout_ms[i] = draw_u32(m, 0, UINT32_MAX);
    }
    message->finalize_requested = draw_bool(m);
    message->asset_count = draw_assets(m, message->type, message->assets);
    message->payload = draw_bin(m, 0, payload_bytes_max(m));
    draw_envelope(m, &message->envelope);
    draw_signature(m, &message->signature);
}

static void draw_phase(memory *m, struct tri_phase_frame *frame)
{
    frame->id = draw_text(m, 1, TRI_ID_BYTES_MAX);
    frame->phase = (enum tri_phase)tri_oracle_below(m, TRI_PHASE_COUNT);
    frame->attempt = draw_attempt(m, 1);
    frame->atomicity = (enum tri_atomicity)(frame->phase == TRI_PHASE_PREPARE
                                                ? 1 + tri_oracle_below(m, 2)
                                                : tri_oracle_below(m, TRI_ATOMICITY_COUNT));
    memcpy(frame->hash.at, draw_bin(m, 16, 16).at, 16);
    frame->expires_at_ms = draw_uint(m, 0, UINT64_MAX);
    frame->reservation_ttl_ms = frame->phase == TRI_PHASE_PREPARE ? draw_u32(m, 1, UINT32_MAX) : 0;
    frame->system = draw_bool(m);
    frame->type = (enum tri_message_type)tri_oracle_below(m, TRI_TYPE_COUNT);
    frame->subtype =
        frame->type == TRI_TYPE_GOVERNANCE && draw_bool(m) ? TRI_SUBTYPE_EXECUTE : TRI_SUBTYPE_NONE;
    frame->asset_count = draw_assets(m, frame->type, frame->assets);
    frame->payload = draw_bin(m, 0, payload_bytes_max(m));
    draw_envelope(m, &frame->envelope);
    draw_signature(m, &frame->signature);
    frame->tokens = draw_tokens(m, 0);
    if (frame->phase == TRI_PHASE_PREPARE || frame->atomicity == TRI_BEST_EFFORT) {
        frame->tokens = (struct tri_bytes){(const uint8_t *)"\x90", 1};
    }
}

static void draw_phase_ack(memory *m, struct tri_phase_ack *ack)
{
    static const struct tri_bytes none = {(const uint8_t *)"\x90", 1};
    bool is_refusal;

    ack->id = draw_text(m, 1, TRI_ID_BYTES_MAX);
    ack->type = (enum tri_ack_type)tri_oracle_below(m, TRI_ACK_COUNT);
    ack->phase = (enum tri_phase)tri_oracle_below(m, TRI_PHASE_COUNT);
    if (ack->type >= TRI_ACK_PHASE_PREPARE_OK && ack->type < TRI_ACK_PHASE_REJECT) {
        ack->phase = (enum tri_phase)(ack->type - TRI_ACK_PHASE_PREPARE_OK);
    }
    is_refusal = ack->type == TRI_ACK_PHASE_REJECT;
    ack->attempt = draw_attempt(m, 1);
    ack->chain = draw_chain(m, 0);
    ack->code = !is_refusal                   ? TRI_ERROR_NONE
                : tri_oracle_below(m, 4) == 0 ? TRI_ERROR_BUSY
                                              : draw_code(m, false);
    ack->already_applied = !is_refusal && draw_bool(m);
    ack->tokens = ack->type == TRI_ACK_PHASE_PREPARE_OK ? draw_tokens(m, 1) : none;
    ack->retry_after_ms =
        is_refusal && ack->code == TRI_ERROR_BUSY ? draw_u32(m, 0, UINT32_MAX) : 0;
}

static void draw_round(memory *m, struct tri_frame *frame)
{
    bool is_rollback = draw_bool(m);

    switch ((uint32_t)frame->type) {
    case TRI_FRAME_PHASE:
        draw_phase(m, &frame->phase);
        break;
    case TRI_FRAME_PHASE_ACK:
        draw_phase_ack(m, &frame->phase_ack);
        break;
    case TRI_FRAME_CONTROL:
        frame->control.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->control.kind = is_rollback ? TRI_CONTROL_ROLLBACK : TRI_CONTROL_ABORT;
        frame->control.attempt = draw_attempt(m, 1);
        memcpy(frame->control.hash.at, draw_bin(m, 16, 16).at, 16);
        frame->control.expires_at_ms = draw_uint(m, 0, UINT64_MAX);
        frame->control.tokens = draw_tokens(m, 0);
        frame->control.reason = draw_text(m, 0, is_rollback ? TRI_REASON_BYTES_MAX : 0);
        frame->control.chain_count = is_rollback ? draw_chains(m, 1, frame->control.chains) : 0;
        frame->control.deadline_ms = is_rollback ? draw_uint(m, 1, UINT64_MAX) : 0;
        break;
    case TRI_FRAME_CONTROL_ACK:
        frame->control_ack.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->control_ack.type = (enum tri_ack_type)(1 + tri_oracle_below(m, 3));
        frame->control_ack.kind = (enum tri_control)is_rollback;
        frame->control_ack.attempt = draw_attempt(m, 1);
        frame->control_ack.chain = draw_chain(m, 0);
        frame->control_ack.code = draw_code(m, frame->control_ack.type == TRI_ACK_PROCESSED);
        break;
    default:
        frame->ask.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->ask.attempt = draw_attempt(m, 1);
        frame->ask.chain = draw_chain(m, 0);
    }
}

static uint32_t draw_reports(memory *m, struct tri_target_report reports[TRI_TARGETS_MAX])
{
    uint32_t count = draw_u32(m, 0, TRI_TARGETS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        reports[i].chain = draw_chain(m, i);
        reports[i].state = (enum tri_target_state)tri_oracle_below(m, TRI_TARGET_STATE_COUNT);
        reports[i].code = draw_code(m, true);
        reports[i].tokens = draw_tokens(m, 0);
    }
    return count;
}

static void draw_envelope_ack(memory *m, struct tri_envelope_ack *ack)
{
    ack->id = draw_text(m, 1, TRI_ID_BYTES_MAX);
    ack->type = (enum tri_ack_type)tri_oracle_below(m, 4);
    ack->code = draw_code(m, ack->type < TRI_ACK_FAILED);
    ack->duplicate = draw_bool(m);
    ack->count = draw_u32(m, 0, TRI_ENVELOPE_MAX);
    for (uint32_t i = 0; i < ack->count; i++) {
        ack->rows[i].id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        ack->rows[i].type = (enum tri_ack_type)(1 + tri_oracle_below(m, 3));
        ack->rows[i].code = draw_code(m, ack->rows[i].type == TRI_ACK_PROCESSED);
    }
}

static void draw_client(memory *m, struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_SUBMIT:
    case TRI_FRAME_FORCE:
        draw_submit(m, &frame->submit);
        break;
    case TRI_FRAME_ACK:
        frame->ack.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->ack.type = (enum tri_ack_type)tri_oracle_below(m, 4);
        frame->ack.code = draw_code(m, frame->ack.type < TRI_ACK_FAILED);
        frame->ack.duplicate = draw_bool(m);
        frame->ack.attempt = draw_attempt(m, 0);
        frame->ack.target_count = draw_reports(m, frame->ack.targets);
        break;
    case TRI_FRAME_NOTICE:
        frame->notice.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->notice.attempt = draw_attempt(m, 1);
        frame->notice.issued_at_ms = draw_uint(m, 0, UINT64_MAX);
        frame->notice.chain_count = draw_chains(m, 1, frame->notice.chains);
        break;
    case TRI_FRAME_ENVELOPE_ACK:
        draw_envelope_ack(m, &frame->envelope_ack);
        break;
    case TRI_FRAME_STATUS_GET:
        frame->status_get = draw_text(m, 1, TRI_ID_BYTES_MAX);
        break;
    case TRI_FRAME_STATUS:
        frame->status.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->status.state = draw_text(m, 1, TRI_STATE_NAME_BYTES_MAX);
        frame->status.code = draw_code(m, true);
        frame->status.attempt = draw_attempt(m, 0);
        frame->status.retries = draw_u32(m, 0, UINT32_MAX);
        frame->status.scope_declared = (enum tri_scope)tri_oracle_below(m, TRI_SCOPE_COUNT);
        frame->status.scope = (enum tri_scope)tri_oracle_below(m, TRI_SCOPE_COUNT);
        frame->status.atomicity_declared = (enum tri_atomicity)tri_oracle_below(m, 3);
        frame->status.atomicity = (enum tri_atomicity)tri_oracle_below(m, 3);
        frame->status.map_version = draw_u32(m, 0, UINT32_MAX);
        frame->status.target_count = draw_reports(m, frame->status.targets);
        frame->status.is_forced = draw_bool(m);
        break;
    case TRI_FRAME_VERDICT:
        frame->verdict.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->verdict.has_passed = draw_bool(m);
        break;
    default:
        frame->event.id = draw_text(m, 1, TRI_ID_BYTES_MAX);
        frame->event.at_ms = draw_uint(m, 0, UINT64_MAX);
        frame->event.what = draw_text(m, 1, TRI_STATE_NAME_BYTES_MAX);
        frame->event.attempt = draw_attempt(m, 0);
        frame->event.chain_count = draw_chains(m, 0, frame->event.chains);
        frame->event.code = draw_code(m, true);
        frame->event.missed = draw_uint(m, 0, UINT64_MAX);
    }
}

static void draw_session(memory *m, struct tri_frame *frame)
{
    static const struct tri_text version = {"0.5.0", 5};
    bool is_chain;

    switch ((uint32_t)frame->type) {
    case TRI_FRAME_CHALLENGE:
        frame->challenge.version = version;
        frame->challenge.nonce = draw_bin(m, TRI_NONCE_BYTES, TRI_NONCE_BYTES);
        break;
    case TRI_FRAME_HELLO:
        is_chain = draw_bool(m);
        frame->hello.version = version;
        frame->hello.role = is_chain       ? TRI_ROLE_CHAIN
                            : draw_bool(m) ? TRI_ROLE_CLIENT
                                           : TRI_ROLE_OPERATOR;
        frame->hello.identity =
            is_chain ? draw_chain(m, 0) : draw_text(m, 1, TRI_IDENTITY_BYTES_MAX);
        frame->hello.instance = is_chain ? draw_uint(m, 1, UINT64_MAX) : 0;
        frame->hello.nonce = draw_bin(m, TRI_NONCE_BYTES, TRI_NONCE_BYTES);
        frame->hello.shard = draw_u32(m, 0, TRI_SHARDS_MAX);
        frame->hello.mac =
            draw_bool(m) ? draw_bin(m, TRI_MAC_BYTES, TRI_MAC_BYTES) : (struct tri_bytes){NULL, 0};
        break;
    case TRI_FRAME_WELCOME:
        frame->welcome.epoch = draw_u32(m, 1, UINT32_MAX);
        frame->welcome.shard = draw_u32(m, 0, TRI_SHARDS_MAX - 1);
        frame->welcome.shards = draw_u32(m, frame->welcome.shard + 1, TRI_SHARDS_MAX);
        frame->welcome.frame_bytes_max = draw_u32(m, 1, TRI_FRAME_BYTES_MAX);
        frame->welcome.mac = draw_bin(m, TRI_MAC_BYTES, TRI_MAC_BYTES);
        break;
    default:
        frame->error.id = draw_text(m, 0, TRI_ID_BYTES_MAX);
        frame->error.code = draw_code(m, false);
        frame->error.detail = draw_text(m, 0, TRI_DETAIL_BYTES_MAX);
    }
}

void tri_oracle_draw(uint64_t seed, struct tri_oracle_memory *m, struct tri_frame *frame)
{
    static const uint8_t types[] = {1,  2,  3,  4,  16, 17, 18, 19, 20,
                                    22, 28, 29, 30, 32, 33, 34, 35, 36};

    m->state = seed;
    m->used = 0;
    memset(frame, 0, sizeof *frame);
    frame->type = (enum tri_frame_type)types[tri_oracle_below(m, sizeof types)];
    if (frame->type < TRI_FRAME_SUBMIT) {
        draw_session(m, frame);
    } else if (frame->type < TRI_FRAME_PHASE) {
        draw_client(m, frame);
    } else {
        draw_round(m, frame);
    }
}
