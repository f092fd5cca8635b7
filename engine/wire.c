/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames in: the way in, and the frames between coordinator and chains, which
 * come by the million.  The others are in wire_message.c.
 *
 * The array's count is compared with the fields that the type has before the
 * first is read; what lies behind the known ones is skipped, but it has to be
 * canonical msgpack too, and the array must end where the frame ends.
 */
#include "engine/wire_cursor.h"

/* Elements of each frame with its type, 0 = no such type; and whether element 1 is a message's id.
 */
struct shape {
    uint8_t elements;
    bool has_id;
};

static const struct shape shapes[] = {
    [TRI_FRAME_CHALLENGE] = {3, false},    [TRI_FRAME_HELLO] = {8, false},
    [TRI_FRAME_WELCOME] = {6, false},      [TRI_FRAME_ERROR] = {4, true},
    [TRI_FRAME_SUBMIT] = {19, true},       [TRI_FRAME_ACK] = {7, true},
    [TRI_FRAME_NOTICE] = {7, true},        [TRI_FRAME_STATUS_GET] = {2, true},
    [TRI_FRAME_STATUS] = {13, true},       [TRI_FRAME_WATCH] = {1, false},
    [TRI_FRAME_EVENT] = {8, true},         [TRI_FRAME_STATS_GET] = {1, false},
    [TRI_FRAME_STATS] = {2, false},        [TRI_FRAME_LEDGER_GET] = {3, false},
    [TRI_FRAME_LEDGER] = {5, false},       [TRI_FRAME_ENVELOPE] = {3, true},
    [TRI_FRAME_FORCE] = {19, true},        [TRI_FRAME_VERDICT] = {3, true},
    [TRI_FRAME_ENVELOPE_ACK] = {6, true},  [TRI_FRAME_PHASE] = {17, true},
    [TRI_FRAME_PHASE_ACK] = {10, true},    [TRI_FRAME_CONTROL] = {10, true},
    [TRI_FRAME_CONTROL_ACK] = {7, true},   [TRI_FRAME_ASK] = {4, true},
    [TRI_FRAME_PENDING_GET] = {4, false},  [TRI_FRAME_PENDING] = {3, false},
    [TRI_FRAME_SETTLE] = {6, false},       [TRI_FRAME_SETTLED] = {4, false},
    [TRI_FRAME_HEARTBEAT] = {2, false},    [TRI_FRAME_SEQUENCER] = {2, false},
    [TRI_FRAME_FINALITY_GET] = {1, false}, [TRI_FRAME_FINALITY] = {2, false},
};
#define SHAPE_COUNT (sizeof shapes / sizeof shapes[0])

static bool read_phase(struct tri_cursor *shared, struct tri_phase_frame *frame)
{
    struct tri_cursor cursor = *shared;
    struct tri_inner inner;
    uint32_t phase;
    uint32_t sequence;
    uint32_t atomicity;

    if (!tri_get_id(&cursor, &frame->id) ||
        !tri_get_enum(&cursor, TRI_PHASE_COUNT, &phase, "phase") ||
        !tri_get_u32(&cursor, 0, UINT32_MAX, &sequence, "phaseSequence")) {
        return false;
    }
    if (sequence != phase) {
        return tri_cursor_fail(&cursor, TRI_ERROR_PHASE_MISMATCH, "phaseSequence");
    }
    if (!tri_get_attempt(&cursor, 1, &frame->attempt) ||
        !tri_get_enum(&cursor, TRI_ATOMICITY_COUNT, &atomicity, "atomicity")) {
        return false;
    }
    if (atomicity == TRI_BEST_EFFORT && phase == TRI_PHASE_PREPARE) { /* A01 */
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "atomicity");
    }
    if (!tri_get_hash(&cursor, &frame->hash) ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &frame->expires_at_ms, "expiresAtMs") ||
        !tri_get_u32(&cursor, 0, UINT32_MAX, &frame->reservation_ttl_ms, "reservationTtlMs")) {
        return false;
    }
    if ((frame->reservation_ttl_ms != 0) != (phase == TRI_PHASE_PREPARE)) { /* L07 */
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "reservationTtlMs");
    }
    if (!tri_get_bool(&cursor, &frame->system, "system") ||
        !tri_get_inner(&cursor, &inner, frame->assets, &frame->envelope, &frame->signature) ||
        !tri_get_tokens(&cursor, 0, &frame->tokens, "reservedResources")) {
        return false;
    }
    if ((phase == TRI_PHASE_PREPARE || atomicity == TRI_BEST_EFFORT) && frame->tokens.bytes > 1) {
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "reservedResources");
    }
    frame->phase = (enum tri_phase)phase;
    frame->atomicity = (enum tri_atomicity)atomicity;
    frame->type = inner.type;
    frame->subtype = inner.subtype;
    frame->asset_count = inner.asset_count;
    frame->payload = inner.payload;
    frame->inner = inner.run;
    shared->at = cursor.at;
    return true;
}

/* What has to hold between the fields of an answer (P04); terminal ackTypes pass, the server
 * refuses them with a code of their own. */
static inline const char *phase_ack_conflict(const struct tri_phase_ack *ack)
{
    if (ack->type < TRI_ACK_PHASE_PREPARE_OK) {
        return NULL;
    }
    if (ack->retry_after_ms != 0 &&
        (ack->type != TRI_ACK_PHASE_REJECT || ack->code != TRI_ERROR_BUSY)) { /* P13 */
        return "retryAfterMs";
    }
    if (ack->type == TRI_ACK_PHASE_REJECT) {
        if (ack->code == TRI_ERROR_NONE) {
            return "errorCode";
        }
        if (ack->already_applied) {
            return "alreadyApplied";
        }
        return ack->tokens.bytes > 1 ? "reservedResources" : NULL;
    }
    if ((uint32_t)ack->type - TRI_ACK_PHASE_PREPARE_OK != (uint32_t)ack->phase) {
        return "phase";
    }
    if (ack->code != TRI_ERROR_NONE) {
        return "errorCode";
    }
    /* P05: a PREPARE_OK is a reservation, so it has a token; nothing else has one. */
    return (ack->tokens.bytes > 1) != (ack->type == TRI_ACK_PHASE_PREPARE_OK) ? "reservedResources"
                                                                              : NULL;
}

static bool read_phase_ack(struct tri_cursor *shared, struct tri_phase_ack *ack)
{
    struct tri_cursor cursor = *shared;
    const char *conflict;
    uint32_t type;
    uint32_t phase;

    if (!tri_get_id(&cursor, &ack->id) || !tri_get_enum(&cursor, TRI_ACK_COUNT, &type, "ackType") ||
        !tri_get_enum(&cursor, TRI_PHASE_COUNT, &phase, "phase") ||
        !tri_get_attempt(&cursor, 1, &ack->attempt) ||
        !tri_get_chain(&cursor, &ack->chain, "chainId") ||
        !tri_get_code(&cursor, &ack->code, "errorCode") ||
        !tri_get_bool(&cursor, &ack->already_applied, "alreadyApplied") ||
        !tri_get_tokens(&cursor, 0, &ack->tokens, "reservedResources") ||
        !tri_get_u32(&cursor, 0, UINT32_MAX, &ack->retry_after_ms, "retryAfterMs")) {
        return false;
    }
    ack->type = (enum tri_ack_type)type;
    ack->phase = (enum tri_phase)phase;
    conflict = phase_ack_conflict(ack);
    if (conflict != NULL) {
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, conflict);
    }
    shared->at = cursor.at;
    return true;
}

static bool read_control(struct tri_cursor *shared, struct tri_control_frame *control)
{
    struct tri_cursor cursor = *shared;
    uint32_t kind;
    bool is_rollback;

    if (!tri_get_id(&cursor, &control->id) ||
        !tri_get_enum(&cursor, TRI_CONTROL_COUNT, &kind, "kind") ||
        !tri_get_attempt(&cursor, 1, &control->attempt) || !tri_get_hash(&cursor, &control->hash) ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &control->expires_at_ms, "expiresAtMs") ||
        !tri_get_tokens(&cursor, 0, &control->tokens, "reservedResources") ||
        !tri_get_text(&cursor, 0, TRI_REASON_BYTES_MAX, &control->reason, "rollbackReason") ||
        !tri_get_list(&cursor, 0, TRI_TARGETS_MAX, true, control->chains, &control->chain_count,
                      "affectedChains") ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &control->deadline_ms, "rollbackDeadline")) {
        return false;
    }
    is_rollback = kind == TRI_CONTROL_ROLLBACK;
    if (!is_rollback && control->reason.bytes != 0) {
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "rollbackReason");
    }
    if ((control->chain_count != 0) != is_rollback) {
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "affectedChains");
    }
    if ((control->deadline_ms != 0) != is_rollback) {
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "rollbackDeadline");
    }
    control->kind = (enum tri_control)kind;
    shared->at = cursor.at;
    return true;
}

static bool read_control_ack(struct tri_cursor *shared, struct tri_control_ack *ack)
{
    struct tri_cursor cursor = *shared;
    uint32_t type;
    uint32_t kind;

    if (!tri_get_id(&cursor, &ack->id) ||
        !tri_get_u32(&cursor, TRI_ACK_PROCESSED, TRI_ACK_REJECTED, &type, "ackType") ||
        !tri_get_enum(&cursor, TRI_CONTROL_COUNT, &kind, "kind") ||
        !tri_get_attempt(&cursor, 1, &ack->attempt) ||
        !tri_get_chain(&cursor, &ack->chain, "chainId") ||
        !tri_get_code(&cursor, &ack->code, "errorCode")) {
        return false;
    }
    if (type != TRI_ACK_PROCESSED && ack->code == TRI_ERROR_NONE) {
        return tri_cursor_fail(&cursor, TRI_ERROR_NOT_ALLOWED, "errorCode");
    }
    ack->type = (enum tri_ack_type)type;
    ack->kind = (enum tri_control)kind;
    shared->at = cursor.at;
    return true;
}

static bool read_ask(struct tri_cursor *shared, struct tri_ask *ask)
{
    struct tri_cursor cursor = *shared;

    if (!tri_get_id(&cursor, &ask->id) || !tri_get_attempt(&cursor, 1, &ask->attempt) ||
        !tri_get_chain(&cursor, &ask->chain, "chainId")) {
        return false;
    }
    shared->at = cursor.at;
    return true;
}

/* Frames that this codec only checks for shape; their readers use msgpack-c, which needs that. */
static bool read_rest(struct tri_cursor *cursor, uint32_t count, struct tri_bytes *rest)
{
    const uint8_t *behind = tri_cursor_skip(cursor->at, cursor->end, count, 1);

    if (behind == NULL) {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, "frame");
    }
    rest->at = cursor->at;
    rest->bytes = (uint32_t)(behind - cursor->at);
    cursor->at = behind;
    return true;
}

/* Reads the array's head and the type; *extra is the count of elements behind the known ones. */
static inline bool read_head(struct tri_cursor *cursor, uint32_t *type, uint32_t *extra)
{
    const uint8_t *head = cursor->at;
    uint32_t count;

    if (!tri_get_array(cursor, 1, UINT32_MAX, &count, "frame") ||
        !tri_get_u32(cursor, 0, UINT32_MAX, type, "frameType")) {
        return false;
    }
    if (*type >= SHAPE_COUNT || shapes[*type].elements == 0) {
        return tri_cursor_fail(cursor, TRI_ERROR_UNKNOWN_FRAME, "frameType");
    }
    if (count < shapes[*type].elements) {
        return tri_cursor_refuse(cursor->fault, cursor->body, head, TRI_ERROR_MALFORMED_FRAME,
                                 "frame");
    }
    *extra = count - shapes[*type].elements;
    return true;
}

static bool read_body(struct tri_cursor *cursor, struct tri_frame *frame, uint32_t *extra)
{
    switch (frame->type) {
    case TRI_FRAME_PHASE_ACK:
        return read_phase_ack(cursor, &frame->phase_ack);
    case TRI_FRAME_PHASE:
        return read_phase(cursor, &frame->phase);
    case TRI_FRAME_SUBMIT:
    case TRI_FRAME_FORCE:
        return tri_read_submit(cursor, &frame->submit);
    case TRI_FRAME_CONTROL:
        return read_control(cursor, &frame->control);
    case TRI_FRAME_CONTROL_ACK:
        return read_control_ack(cursor, &frame->control_ack);
    case TRI_FRAME_ASK:
        return read_ask(cursor, &frame->ask);
    case TRI_FRAME_ACK:
        return tri_read_ack(cursor, &frame->ack);
    case TRI_FRAME_NOTICE:
        return tri_read_notice(cursor, &frame->notice);
    case TRI_FRAME_STATUS_GET:
        return tri_get_id(cursor, &frame->status_get);
    case TRI_FRAME_STATUS:
        return tri_read_status(cursor, &frame->status);
    case TRI_FRAME_VERDICT:
        return tri_get_id(cursor, &frame->verdict.id) &&
               tri_get_bool(cursor, &frame->verdict.has_passed, "passed");
    case TRI_FRAME_EVENT:
        return tri_read_event(cursor, &frame->event);
    case TRI_FRAME_ENVELOPE:
        return tri_read_envelope_frame(cursor, &frame->envelope);
    case TRI_FRAME_ENVELOPE_ACK:
        return tri_read_envelope_ack(cursor, &frame->envelope_ack);
    case TRI_FRAME_PENDING_GET:
        return tri_read_pending_get(cursor, &frame->pending_get);
    case TRI_FRAME_PENDING:
        return tri_read_pending(cursor, &frame->pending);
    case TRI_FRAME_SETTLE:
        return tri_read_settle(cursor, &frame->settle);
    case TRI_FRAME_SETTLED:
        return tri_read_settled(cursor, &frame->settled);
    case TRI_FRAME_HEARTBEAT:
        return tri_get_u32(cursor, 0, UINT32_MAX, &frame->heartbeat_lag_s, "lagSeconds");
    case TRI_FRAME_SEQUENCER:
        return tri_get_bool(cursor, &frame->is_sequencer_up, "up");
    case TRI_FRAME_FINALITY_GET:
        return true;
    case TRI_FRAME_FINALITY:
        return tri_read_finality(cursor, &frame->finality);
    case TRI_FRAME_CHALLENGE:
        return tri_read_challenge(cursor, &frame->challenge);
    case TRI_FRAME_HELLO:
        return tri_read_hello(cursor, &frame->hello);
    case TRI_FRAME_WELCOME:
        return tri_read_welcome(cursor, &frame->welcome);
    case TRI_FRAME_ERROR:
        return tri_read_error(cursor, &frame->error);
    case TRI_FRAME_WATCH:
    case TRI_FRAME_STATS_GET:
    case TRI_FRAME_STATS:
    case TRI_FRAME_LEDGER_GET:
    case TRI_FRAME_LEDGER:
        *extra += shapes[frame->type].elements - 1U;
        if (!read_rest(cursor, *extra, &frame->rest)) {
            return false;
        }
        *extra = 0;
        return true;
    }
    return tri_cursor_fail(cursor, TRI_ERROR_UNKNOWN_FRAME, "frameType");
}

enum tri_result tri_wire_decode(const uint8_t *body, uint32_t bytes, struct tri_frame *frame,
                                struct tri_wire_fault *fault)
{
    struct tri_cursor cursor = {body, body, body + bytes, fault};
    uint32_t type;
    uint32_t extra;

    assert(body != NULL && frame != NULL && fault != NULL);
    assert(bytes >= 1 && bytes <= TRI_FRAME_BYTES_MAX);
    if (!read_head(&cursor, &type, &extra)) {
        return TRI_VIOLATION;
    }
    frame->type = (enum tri_frame_type)type;
    if (!read_body(&cursor, frame, &extra)) {
        return TRI_VIOLATION;
    }
    if (extra != 0) {
        const uint8_t *behind = tri_cursor_skip(cursor.at, cursor.end, extra, 1);

        if (behind == NULL) {
            (void)tri_cursor_fail(&cursor, TRI_ERROR_MALFORMED_FRAME, "frame");
            return TRI_VIOLATION;
        }
        cursor.at = behind;
    }
    if (cursor.at != cursor.end) {
        (void)tri_cursor_fail(&cursor, TRI_ERROR_MALFORMED_FRAME, "frame");
        return TRI_VIOLATION;
    }
    return TRI_OK;
}

enum tri_result tri_wire_peek(const uint8_t *body, uint32_t bytes, enum tri_frame_type *type,
                              struct tri_text *id, struct tri_wire_fault *fault)
{
    struct tri_cursor cursor = {body, body, body + bytes, fault};
    uint32_t value;
    uint32_t extra;
    uint32_t id_bytes_min;

    assert(body != NULL && type != NULL && id != NULL && fault != NULL);
    assert(bytes >= 1 && bytes <= TRI_FRAME_BYTES_MAX);
    if (!read_head(&cursor, &value, &extra)) {
        return TRI_VIOLATION;
    }
    *type = (enum tri_frame_type)value;
    if (!shapes[value].has_id) {
        id->at = (const char *)cursor.at;
        id->bytes = 0;
        return TRI_OK;
    }
    id_bytes_min = value == TRI_FRAME_ERROR ? 0 : 1;
    if (!tri_get_text(&cursor, id_bytes_min, TRI_ID_BYTES_MAX, id, "originalMessageId")) {
        return TRI_VIOLATION;
    }
    return TRI_OK;
}
