/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames in: those between a client and the server, SUBMIT above all, and the handshake.
 */
#include "engine/order.h"
#include "engine/wire_cursor.h"

static bool get_version(struct tri_cursor *cursor)
{
    static const char spoken[] = TRI_PROTOCOL_VERSION;
    const uint8_t *head = cursor->at;
    struct tri_text version;

    if (!tri_get_text(cursor, 0, UINT32_MAX, &version, "version")) {
        return false;
    }
    if (version.bytes != sizeof spoken - 1 || memcmp(version.at, spoken, version.bytes) != 0) {
        return tri_cursor_refuse(cursor->fault, cursor->body, head, TRI_ERROR_VERSION_NOT_SUPPORTED,
                                 "version");
    }
    return true;
}

/* Elements 2..8: how it is routed, and whence it comes. */
static inline bool get_routing(struct tri_cursor *cursor, struct tri_message *message)
{
    uint32_t priority;
    uint32_t scope;
    uint32_t atomicity;

    if (!get_version(cursor) || !tri_get_enum(cursor, TRI_PRIORITY_COUNT, &priority, "priority") ||
        !tri_get_enum(cursor, TRI_SCOPE_COUNT, &scope, "targetScope") ||
        !tri_get_enum(cursor, TRI_ATOMICITY_COUNT, &atomicity, "atomicity") ||
        !tri_get_u32(cursor, 1, TRI_TTL_S_MAX, &message->ttl_s, "ttlSeconds") ||
        !tri_get_uint(cursor, 0, UINT64_MAX, &message->timestamp_ms, "timestampMs") ||
        !tri_get_chain(cursor, &message->source_chain, "sourceChainId") ||
        !tri_get_text(cursor, 1, TRI_NODE_ID_BYTES_MAX, &message->source_node, "sourceNodeId")) {
        return false;
    }
    message->priority = (enum tri_priority)priority;
    message->scope = (enum tri_scope)scope;
    message->atomicity = (enum tri_atomicity)atomicity;
    return true;
}

static inline bool get_timeouts(struct tri_cursor *cursor, struct tri_message *message)
{
    uint32_t count;
    uint32_t i;

    if (!tri_get_array(cursor, TRI_PHASE_COUNT, TRI_PHASE_COUNT, &count, "timeouts")) {
        return false;
    }
    for (i = 0; i < count; i++) {
        if (!tri_get_u32(cursor, 0, UINT32_MAX, &message->timeout_ms[i], "timeouts")) {
            return false;
        }
    }
    return true;
}

bool tri_read_envelope(struct tri_cursor *cursor, struct tri_envelope *envelope)
{
    uint32_t count;

    if (!tri_get_array(cursor, 3, 3, &count, "envelope") ||
        !tri_get_text(cursor, 1, TRI_ID_BYTES_MAX, &envelope->id, "envelope") ||
        !tri_get_u32(cursor, 1, TRI_ENVELOPE_MAX, &envelope->n, "envelope")) {
        return false;
    }
    envelope->is_given = true;
    return tri_get_u32(cursor, envelope->n, TRI_ENVELOPE_MAX, &envelope->m, "envelope");
}

bool tri_read_signature(struct tri_cursor *cursor, struct tri_signature *signature)
{
    uint32_t count;
    uint32_t type;
    bool is_threshold;

    if (!tri_get_array(cursor, 4, 4, &count, "signature") ||
        !tri_get_enum(cursor, TRI_SIGNATURE_TYPE_COUNT, &type, "signatureType") ||
        !tri_get_bin(cursor, 1, TRI_SIGNATURE_BYTES_MAX, &signature->bytes, "signature") ||
        !tri_get_text(cursor, 0, TRI_ID_BYTES_MAX, &signature->signer_set, "signerSet")) {
        return false;
    }
    is_threshold = type == TRI_SIGNATURE_THRESHOLD;
    signature->is_given = true;
    signature->type = (enum tri_signature_type)type;
    return tri_get_u32(cursor, is_threshold ? 1 : 0, is_threshold ? TRI_THRESHOLD_MAX : 0,
                       &signature->threshold, "threshold");
}

bool tri_read_submit(struct tri_cursor *shared, struct tri_message *message)
{
    struct tri_cursor cursor = *shared;
    const uint8_t *head = cursor.at;
    struct tri_inner inner;

    if (!tri_get_id(&cursor, &message->id) || !get_routing(&cursor, message) ||
        !tri_get_list(&cursor, 1, TRI_TARGETS_MAX, true, message->targets, &message->target_count,
                      "targets") ||
        !get_timeouts(&cursor, message) ||
        !tri_get_bool(&cursor, &message->finalize_requested, "finalizeRequested") ||
        !tri_get_inner(&cursor, &inner, message->assets, &message->envelope, &message->signature)) {
        return false;
    }
    message->type = inner.type;
    message->subtype = inner.subtype;
    message->asset_count = inner.asset_count;
    message->payload = inner.payload;
    message->inner = inner.run;
    message->canonical.at = head;
    message->canonical.bytes = (uint32_t)(cursor.at - head);
    shared->at = cursor.at;
    return true;
}

bool tri_message_dated(struct tri_bytes canonical, uint64_t *timestamp_ms)
{
    struct tri_wire_fault fault;
    struct tri_cursor cursor = {.body = canonical.at,
                                .at = canonical.at,
                                .end = canonical.at + canonical.bytes,
                                .fault = &fault};
    struct tri_message message;

    if (!tri_get_id(&cursor, &message.id) || !get_routing(&cursor, &message)) {
        return false;
    }
    *timestamp_ms = message.timestamp_ms;
    return true;
}

/* [[chain, state, code]...] in an ACK, [[chain, state, code, tokens]...] in a STATUS. */
static bool get_reports(struct tri_cursor *cursor, bool have_tokens,
                        struct tri_target_report reports[TRI_TARGETS_MAX], uint32_t *report_count)
{
    static const uint8_t no_tokens[] = {0x90};
    const uint32_t width = have_tokens ? 4 : 3;
    uint32_t count;
    uint32_t fields;
    uint32_t state;
    uint32_t i;

    if (!tri_get_array(cursor, 0, TRI_TARGETS_MAX, &count, "targets")) {
        return false;
    }
    for (i = 0; i < count; i++) {
        if (!tri_get_array(cursor, width, width, &fields, "targets") ||
            !tri_get_chain(cursor, &reports[i].chain, "chainId") ||
            !tri_get_enum(cursor, TRI_TARGET_STATE_COUNT, &state, "targetState") ||
            !tri_get_code(cursor, &reports[i].code, "errorCode")) {
            return false;
        }
        reports[i].state = (enum tri_target_state)state;
        reports[i].tokens = (struct tri_bytes){no_tokens, sizeof no_tokens};
        if (have_tokens && !tri_get_tokens(cursor, 0, &reports[i].tokens, "reservedResources")) {
            return false;
        }
    }
    *report_count = count;
    return true;
}

bool tri_read_ack(struct tri_cursor *shared, struct tri_ack *ack)
{
    struct tri_cursor cursor = *shared;
    uint32_t type;

    if (!tri_get_id(&cursor, &ack->id) ||
        !tri_get_enum(&cursor, TRI_ACK_PHASE_PREPARE_OK, &type, "ackType") ||
        !tri_get_code(&cursor, &ack->code, "errorCode")) {
        return false;
    }
    if ((type == TRI_ACK_FAILED || type == TRI_ACK_REJECTED) && ack->code == TRI_ERROR_NONE) {
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "errorCode");
    }
    if (!tri_get_bool(&cursor, &ack->duplicate, "duplicate") ||
        !tri_get_attempt(&cursor, 0, &ack->attempt) ||
        !get_reports(&cursor, false, ack->targets, &ack->target_count)) {
        return false;
    }
    ack->type = (enum tri_ack_type)type;
    shared->at = cursor.at;
    return true;
}

bool tri_read_notice(struct tri_cursor *shared, struct tri_notice *notice)
{
    struct tri_cursor cursor = *shared;

    if (!tri_get_id(&cursor, &notice->id) || !tri_get_attempt(&cursor, 1, &notice->attempt) ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &notice->issued_at_ms, "issuedAtMs") ||
        !tri_get_list(&cursor, 1, TRI_TARGETS_MAX, true, notice->chains, &notice->chain_count,
                      "participatingChains") ||
        !tri_get_text(&cursor, 0, TRI_STREAM_BYTES_MAX, &notice->stream, "stream") ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &notice->oss_epoch, "ossEpoch")) {
        return false;
    }
    shared->at = cursor.at;
    return true;
}

bool tri_read_status(struct tri_cursor *shared, struct tri_status *status)
{
    struct tri_cursor cursor = *shared;
    uint32_t scope_declared;
    uint32_t scope;
    uint32_t atomicity_declared;
    uint32_t atomicity;

    if (!tri_get_id(&cursor, &status->id) ||
        !tri_get_text(&cursor, 1, TRI_STATE_NAME_BYTES_MAX, &status->state, "state") ||
        !tri_get_code(&cursor, &status->code, "errorCode") ||
        !tri_get_attempt(&cursor, 0, &status->attempt) ||
        !tri_get_u32(&cursor, 0, UINT32_MAX, &status->retries, "retries") ||
        !tri_get_enum(&cursor, TRI_SCOPE_COUNT, &scope_declared, "declaredScope") ||
        !tri_get_enum(&cursor, TRI_SCOPE_COUNT, &scope, "effectiveScope") ||
        !tri_get_enum(&cursor, TRI_ATOMICITY_COUNT, &atomicity_declared, "declaredAtomicity") ||
        !tri_get_enum(&cursor, TRI_ATOMICITY_COUNT, &atomicity, "effectiveAtomicity") ||
        !tri_get_u32(&cursor, 0, UINT32_MAX, &status->map_version, "mapVersion") ||
        !get_reports(&cursor, true, status->targets, &status->target_count) ||
        !tri_get_bool(&cursor, &status->is_forced, "forced")) {
        return false;
    }
    status->scope_declared = (enum tri_scope)scope_declared;
    status->scope = (enum tri_scope)scope;
    status->atomicity_declared = (enum tri_atomicity)atomicity_declared;
    status->atomicity = (enum tri_atomicity)atomicity;
    shared->at = cursor.at;
    return true;
}

bool tri_read_event(struct tri_cursor *shared, struct tri_event_frame *event)
{
    struct tri_cursor cursor = *shared;

    if (!tri_get_id(&cursor, &event->id) ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &event->at_ms, "atMs") ||
        !tri_get_text(&cursor, 1, TRI_STATE_NAME_BYTES_MAX, &event->what, "what") ||
        !tri_get_attempt(&cursor, 0, &event->attempt) ||
        !tri_get_list(&cursor, 0, TRI_TARGETS_MAX, true, event->chains, &event->chain_count,
                      "chains") ||
        !tri_get_code(&cursor, &event->code, "errorCode") ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &event->missed, "missed")) {
        return false;
    }
    shared->at = cursor.at;
    return true;
}

/* The handshake and ERROR. */

bool tri_read_challenge(struct tri_cursor *cursor, struct tri_challenge *challenge)
{
    const uint8_t *head = cursor->at;

    if (!get_version(cursor) ||
        !tri_get_bin(cursor, TRI_NONCE_BYTES, TRI_NONCE_BYTES, &challenge->nonce, "nonce")) {
        return false;
    }
    challenge->version = (struct tri_text){(const char *)head + 1, head[0] & 0x1fU};
    return true;
}

bool tri_read_hello(struct tri_cursor *cursor, struct tri_hello *hello)
{
    const uint8_t *head = cursor->at;
    const uint8_t *identity_head;
    uint32_t role;
    bool is_chain;

    if (!get_version(cursor) || !tri_get_enum(cursor, TRI_ROLE_COUNT, &role, "role")) {
        return false;
    }
    is_chain = role == TRI_ROLE_CHAIN;
    identity_head = cursor->at;
    if (!tri_get_text(cursor, 1, TRI_IDENTITY_BYTES_MAX, &hello->identity, "identity")) {
        return false;
    }
    if (is_chain && !tri_text_is_chain_id(hello->identity)) {
        return tri_cursor_refuse(cursor->fault, cursor->body, identity_head,
                                 TRI_ERROR_FIELD_OUT_OF_RANGE, "identity");
    }
    if (!tri_get_uint(cursor, is_chain ? 1 : 0, is_chain ? UINT64_MAX : 0, &hello->instance,
                      "instance") ||
        !tri_get_bin(cursor, TRI_NONCE_BYTES, TRI_NONCE_BYTES, &hello->nonce, "nonce") ||
        !tri_get_u32(cursor, 0, TRI_SHARDS_MAX, &hello->shard, "shard")) {
        return false;
    }
    hello->role = (enum tri_role)role;
    hello->version = (struct tri_text){(const char *)head + 1, head[0] & 0x1fU};
    hello->proved = (struct tri_bytes){head, (uint32_t)(cursor->at - head)};
    return tri_get_mac(cursor, &hello->mac);
}

bool tri_read_welcome(struct tri_cursor *cursor, struct tri_welcome *welcome)
{
    const uint8_t *head = cursor->at;

    if (!tri_get_u32(cursor, 1, UINT32_MAX, &welcome->epoch, "epoch") ||
        !tri_get_u32(cursor, 0, TRI_SHARDS_MAX - 1, &welcome->shard, "shard") ||
        !tri_get_u32(cursor, welcome->shard + 1, TRI_SHARDS_MAX, &welcome->shards, "shards") ||
        !tri_get_u32(cursor, 1, TRI_FRAME_BYTES_MAX, &welcome->frame_bytes_max, "frameBytesMax")) {
        return false;
    }
    welcome->proved = (struct tri_bytes){head, (uint32_t)(cursor->at - head)};
    return tri_get_mac(cursor, &welcome->mac);
}

bool tri_read_error(struct tri_cursor *cursor, struct tri_error_frame *error)
{
    const uint8_t *head;

    if (!tri_get_text(cursor, 0, TRI_ID_BYTES_MAX, &error->id, "originalMessageId")) {
        return false;
    }
    head = cursor->at;
    if (!tri_get_code(cursor, &error->code, "errorCode")) {
        return false;
    }
    if (error->code == TRI_ERROR_NONE) {
        return tri_cursor_refuse(cursor->fault, cursor->body, head, TRI_ERROR_FIELD_OUT_OF_RANGE,
                                 "errorCode");
    }
    return tri_get_text(cursor, 0, TRI_DETAIL_BYTES_MAX, &error->detail, "detail");
}
