/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of secondary finality: what a settlement asks and reports, and the operator's views. */
#include "engine/wire_cursor.h"

static bool get_stream(struct tri_cursor *cursor, uint32_t min, struct tri_text *stream)
{
    return tri_get_text(cursor, min, TRI_STREAM_BYTES_MAX, stream, "stream");
}

static bool get_bin_of(struct tri_cursor *cursor, uint32_t bytes, struct tri_bytes *bin,
                       const char *field)
{
    return tri_get_bin(cursor, bytes, bytes, bin, field);
}

bool tri_read_pending_get(struct tri_cursor *cursor, struct tri_pending_get *get)
{
    return get_stream(cursor, 0, &get->stream) &&
           tri_get_uint(cursor, 0, UINT64_MAX, &get->oss_epoch, "ossEpoch") &&
           tri_get_u32(cursor, 1, TRI_PENDING_MAX, &get->limit, "limit");
}

bool tri_read_pending(struct tri_cursor *cursor, struct tri_pending_frame *pending)
{
    if (!tri_get_bool(cursor, &pending->has_more, "more") ||
        !tri_get_array(cursor, 0, TRI_PENDING_MAX, &pending->count, "records")) {
        return false;
    }
    for (uint32_t i = 0; i < pending->count; i++) {
        struct tri_pending_row *row = &pending->rows[i];
        uint32_t two;

        if (!tri_get_array(cursor, 2, 2, &two, "records") ||
            !tri_get_bin(cursor, 1, TRI_FRAME_BYTES_MAX, &row->header, "header") ||
            !get_bin_of(cursor, TRI_SIGNATURE_BYTES, &row->signature, "signature")) {
            return false;
        }
    }
    return true;
}

bool tri_read_settle(struct tri_cursor *cursor, struct tri_settle *settle)
{
    return get_stream(cursor, 1, &settle->stream) &&
           tri_get_uint(cursor, 1, UINT64_MAX, &settle->oss_epoch, "ossEpoch") &&
           get_bin_of(cursor, TRI_ROOT_BYTES, &settle->root, "ossStateRoot") &&
           tri_get_uint(cursor, 0, UINT64_MAX, &settle->settled_at_ms, "settledAtMs") &&
           tri_get_text(cursor, 0, TRI_REFERENCE_BYTES_MAX, &settle->reference, "reference");
}

bool tri_read_settled(struct tri_cursor *cursor, struct tri_settled *settled)
{
    uint32_t verdict;

    if (!get_stream(cursor, 1, &settled->stream) ||
        !tri_get_uint(cursor, 1, UINT64_MAX, &settled->oss_epoch, "ossEpoch") ||
        !tri_get_enum(cursor, TRI_SETTLED_COUNT, &verdict, "verdict")) {
        return false;
    }
    settled->verdict = (enum tri_settled_verdict)verdict;
    return true;
}

bool tri_read_finality(struct tri_cursor *cursor, struct tri_finality_frame *finality)
{
    if (!tri_get_array(cursor, 0, TRI_FINALITY_ROWS_MAX, &finality->count, "rows")) {
        return false;
    }
    for (uint32_t i = 0; i < finality->count; i++) {
        struct tri_finality_row *row = &finality->rows[i];
        uint32_t three;

        if (!tri_get_array(cursor, 3, 3, &three, "rows") ||
            !tri_get_text(cursor, 1, TRI_STATE_NAME_BYTES_MAX, &row->name, "name") ||
            !tri_get_text(cursor, 0, TRI_DETAIL_BYTES_MAX, &row->help, "help") ||
            !tri_get_uint(cursor, 0, UINT64_MAX, &row->value, "value")) {
            return false;
        }
    }
    return true;
}

/* ---- writing ---- */

void tri_put_pending(struct tri_writer *writer, const struct tri_pending_frame *pending)
{
    tri_put_array(writer, 3);
    tri_put_uint(writer, TRI_FRAME_PENDING);
    tri_put_bool(writer, pending->has_more);
    tri_put_array(writer, pending->count);
    for (uint32_t i = 0; i < pending->count; i++) {
        tri_put_array(writer, 2);
        tri_put_bin(writer, pending->rows[i].header);
        tri_put_bin(writer, pending->rows[i].signature);
    }
}

void tri_put_finality(struct tri_writer *writer, const struct tri_finality_frame *finality)
{
    tri_put_array(writer, 2);
    tri_put_uint(writer, TRI_FRAME_FINALITY);
    tri_put_array(writer, finality->count);
    for (uint32_t i = 0; i < finality->count; i++) {
        tri_put_array(writer, 3);
        tri_put_text(writer, finality->rows[i].name);
        tri_put_text(writer, finality->rows[i].help);
        tri_put_uint(writer, finality->rows[i].value);
    }
}

void tri_put_settlement(struct tri_writer *writer, const struct tri_frame *frame)
{
    switch ((uint32_t)frame->type) {
    case TRI_FRAME_PENDING_GET:
        tri_put_array(writer, 4);
        tri_put_uint(writer, TRI_FRAME_PENDING_GET);
        tri_put_text(writer, frame->pending_get.stream);
        tri_put_uint(writer, frame->pending_get.oss_epoch);
        tri_put_uint(writer, frame->pending_get.limit);
        break;
    case TRI_FRAME_SETTLE:
        tri_put_array(writer, 6);
        tri_put_uint(writer, TRI_FRAME_SETTLE);
        tri_put_text(writer, frame->settle.stream);
        tri_put_uint(writer, frame->settle.oss_epoch);
        tri_put_bin(writer, frame->settle.root);
        tri_put_uint(writer, frame->settle.settled_at_ms);
        tri_put_text(writer, frame->settle.reference);
        break;
    case TRI_FRAME_SETTLED:
        tri_put_array(writer, 4);
        tri_put_uint(writer, TRI_FRAME_SETTLED);
        tri_put_text(writer, frame->settled.stream);
        tri_put_uint(writer, frame->settled.oss_epoch);
        tri_put_uint(writer, frame->settled.verdict);
        break;
    case TRI_FRAME_HEARTBEAT:
        tri_put_array(writer, 2);
        tri_put_uint(writer, TRI_FRAME_HEARTBEAT);
        tri_put_uint(writer, frame->heartbeat_lag_s);
        break;
    case TRI_FRAME_SEQUENCER:
        tri_put_array(writer, 2);
        tri_put_uint(writer, TRI_FRAME_SEQUENCER);
        tri_put_bool(writer, frame->is_sequencer_up);
        break;
    default:
        assert(frame->type == TRI_FRAME_FINALITY_GET);
        tri_put_array(writer, 1);
        tri_put_uint(writer, TRI_FRAME_FINALITY_GET);
    }
}
