/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENVELOPE and ENVELOPE_ACK (F07), in both directions.
 *
 * A delivery is an array of the elements 1..18 of a SUBMIT, so whoever hands it on puts two bytes
 * before them and has a SUBMIT.
 */
#include "engine/wire_cursor.h"

#define DELIVERY_ELEMENTS 18U

/* What every delivery says of its envelope, and that no other has its id. */
static bool delivery_is_in_place(const struct tri_envelope_frame *frame,
                                 const struct tri_message *message)
{
    const struct tri_envelope *envelope = &message->envelope;

    for (uint32_t i = 0; i < frame->count; i++) {
        if (tri_text_equals(frame->deliveries[i].id, message->id)) {
            return false;
        }
    }
    return envelope->is_given && tri_text_equals(envelope->id, frame->id) &&
           envelope->n == frame->count + 1;
}

bool tri_read_envelope_frame(struct tri_cursor *cursor, struct tri_envelope_frame *frame)
{
    const uint8_t *head = cursor->at;
    struct tri_message message;
    uint32_t count;
    uint32_t elements;

    frame->count = 0;
    if (!tri_get_text(cursor, 1, TRI_ID_BYTES_MAX, &frame->id, "envelopeId") ||
        !tri_get_array(cursor, 1, TRI_ENVELOPE_MAX, &count, "deliveries")) {
        return false;
    }
    while (frame->count < count) {
        const uint8_t *delivery = cursor->at;

        if (!tri_get_array(cursor, DELIVERY_ELEMENTS, DELIVERY_ELEMENTS, &elements, "delivery") ||
            !tri_read_submit(cursor, &message)) {
            return false;
        }
        if (!delivery_is_in_place(frame, &message) || message.envelope.m != count) {
            return tri_cursor_refuse(cursor->fault, cursor->body, delivery, TRI_ERROR_NOT_ALLOWED,
                                     "envelope");
        }
        frame->deliveries[frame->count].id = message.id;
        frame->deliveries[frame->count].canonical = message.canonical;
        frame->count++;
    }
    frame->content = (struct tri_bytes){head, (uint32_t)(cursor->at - head)};
    return true;
}

static bool get_row(struct tri_cursor *cursor, struct tri_envelope_row *row)
{
    uint32_t elements;
    uint32_t type;

    if (!tri_get_array(cursor, 3, 3, &elements, "deliveries") || !tri_get_id(cursor, &row->id) ||
        !tri_get_u32(cursor, TRI_ACK_PROCESSED, TRI_ACK_REJECTED, &type, "ackType") ||
        !tri_get_code(cursor, &row->code, "errorCode")) {
        return false;
    }
    if (type != TRI_ACK_PROCESSED && row->code == TRI_ERROR_NONE) {
        return tri_cursor_fail(cursor, TRI_ERROR_NOT_ALLOWED, "errorCode");
    }
    row->type = (enum tri_ack_type)type;
    return true;
}

bool tri_read_envelope_ack(struct tri_cursor *cursor, struct tri_envelope_ack *ack)
{
    uint32_t type;

    if (!tri_get_text(cursor, 1, TRI_ID_BYTES_MAX, &ack->id, "envelopeId") ||
        !tri_get_enum(cursor, TRI_ACK_PHASE_PREPARE_OK, &type, "ackType") ||
        !tri_get_code(cursor, &ack->code, "errorCode")) {
        return false;
    }
    if ((type == TRI_ACK_FAILED || type == TRI_ACK_REJECTED) && ack->code == TRI_ERROR_NONE) {
        return tri_cursor_fail(cursor, TRI_ERROR_NOT_ALLOWED, "errorCode");
    }
    if (!tri_get_bool(cursor, &ack->duplicate, "duplicate") ||
        !tri_get_array(cursor, 0, TRI_ENVELOPE_MAX, &ack->count, "deliveries")) {
        return false;
    }
    for (uint32_t i = 0; i < ack->count; i++) {
        if (!get_row(cursor, &ack->rows[i])) {
            return false;
        }
    }
    ack->type = (enum tri_ack_type)type;
    return true;
}

void tri_put_envelope_frame(struct tri_writer *writer, const struct tri_envelope_frame *frame)
{
    assert(frame->count >= 1);
    assert(frame->count <= TRI_ENVELOPE_MAX);
    tri_put_array(writer, 3);
    tri_put_uint(writer, TRI_FRAME_ENVELOPE);
    tri_put_text(writer, frame->id);
    tri_put_array(writer, frame->count);
    for (uint32_t i = 0; i < frame->count; i++) {
        tri_put_array(writer, DELIVERY_ELEMENTS);
        tri_put_raw(writer, frame->deliveries[i].canonical.at,
                    frame->deliveries[i].canonical.bytes);
    }
}

void tri_put_envelope_ack(struct tri_writer *writer, const struct tri_envelope_ack *ack)
{
    assert(ack->count <= TRI_ENVELOPE_MAX);
    tri_put_array(writer, 6);
    tri_put_uint(writer, TRI_FRAME_ENVELOPE_ACK);
    tri_put_text(writer, ack->id);
    tri_put_uint(writer, ack->type);
    tri_put_uint(writer, ack->code);
    tri_put_bool(writer, ack->duplicate);
    tri_put_array(writer, ack->count);
    for (uint32_t i = 0; i < ack->count; i++) {
        tri_put_array(writer, 3);
        tri_put_text(writer, ack->rows[i].id);
        tri_put_uint(writer, ack->rows[i].type);
        tri_put_uint(writer, ack->rows[i].code);
    }
}

void tri_wire_put_delivery(struct tri_writer *writer, struct tri_bytes canonical)
{
    tri_put_array(writer, DELIVERY_ELEMENTS + 1U);
    tri_put_uint(writer, TRI_FRAME_SUBMIT);
    tri_put_raw(writer, canonical.at, canonical.bytes);
}

bool tri_wire_delivery(struct tri_bytes canonical, struct tri_text *id, uint32_t *ttl_s)
{
    struct tri_message message;
    struct tri_wire_fault ignored;
    struct tri_cursor cursor = {canonical.at, canonical.at, canonical.at + canonical.bytes,
                                &ignored};

    if (!tri_read_submit(&cursor, &message) || cursor.at != cursor.end) {
        return false;
    }
    *id = message.id;
    *ttl_s = message.ttl_s;
    return true;
}

bool tri_wire_peek_answer(const uint8_t *body, uint32_t bytes, enum tri_frame_type *type,
                          struct tri_wire_answer *answer)
{
    struct tri_wire_fault fault;
    struct tri_text id;
    struct tri_cursor cursor = {body, body, body + bytes, &fault};
    uint32_t value = TRI_ACK_REJECTED;
    tri_attempt attempt;
    uint32_t targets;

    if (tri_wire_peek(body, bytes, type, &id, &fault) != TRI_OK) {
        return false;
    }
    *answer = (struct tri_wire_answer){.type = TRI_ACK_REJECTED, .code = TRI_ERROR_NONE};
    cursor.at = (const uint8_t *)id.at + id.bytes;
    if (*type == TRI_FRAME_NOTICE) {
        return true;
    }
    if (*type != TRI_FRAME_ACK && *type != TRI_FRAME_ERROR) {
        return false;
    }
    if (*type == TRI_FRAME_ACK &&
        !tri_get_enum(&cursor, TRI_ACK_PHASE_PREPARE_OK, &value, "ackType")) {
        return false;
    }
    answer->type = (enum tri_ack_type)value;
    if (!tri_get_code(&cursor, &answer->code, "errorCode")) {
        return false;
    }
    if (*type == TRI_FRAME_ERROR) {
        return true;
    }
    if (!tri_get_bool(&cursor, &answer->is_duplicate, "duplicate") ||
        !tri_get_attempt(&cursor, 0, &attempt) ||
        !tri_get_array(&cursor, 0, TRI_TARGETS_MAX, &targets, "targets")) {
        return false;
    }
    /* Whoever is told that another waits in his place gets no targets either. */
    answer->is_refusal = answer->type == TRI_ACK_REJECTED &&
                         (attempt == 0 || (answer->is_duplicate && targets == 0));
    return true;
}
