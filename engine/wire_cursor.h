/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursor: reads canonical msgpack from a peer, one value at a time.
 *
 * Internal to the codec (engine/wire*.c).  Each tri_get_* reads one value at
 * the cursor, checks its form and its range, and moves past it; on anything
 * else it notes the fault and returns false, and the caller gives up.  So a
 * reader is one chain of && in the order of the frame's fields.
 *
 * Three promises hold for any bytes: nothing is read at or behind `end`; every
 * length and count is compared with the bytes that are left before it is
 * believed (an element takes at least one byte); a value that is not in its
 * shortest form is refused, so equal messages are equal bytes.
 *
 * The functions are inline because the cursor then lives in registers: an
 * answer of a chain is read in the time of a few cache hits.  A reader copies
 * the cursor into a local first; taking the address of a shared one would put
 * it into memory.
 */
#ifndef TRI_ENGINE_WIRE_CURSOR_H
#define TRI_ENGINE_WIRE_CURSOR_H

#include <string.h>

#include "engine/wire.h"

#define TRI_COLD      __attribute__((noinline, cold))
#define TRI_INLINE    static inline __attribute__((always_inline, unused))
#define TRI_LIKELY(x) __builtin_expect(!!(x), 1)

struct tri_cursor {
    const uint8_t *body; /* offsets of faults count from here */
    const uint8_t *at;
    const uint8_t *end;
    struct tri_wire_fault *fault;
};

/* tri_cursor_note writes a fault at `at`. */
void tri_cursor_note(struct tri_wire_fault *fault, const uint8_t *body, const uint8_t *at,
                     enum tri_error code, const char *field) TRI_COLD;

/* tri_cursor_skip passes `count` values of any type that nest below `depth` open arrays, in
 * canonical form.  Returns the byte behind them, or NULL if they are malformed. */
const uint8_t *tri_cursor_skip(const uint8_t *at, const uint8_t *end, uint32_t count,
                               uint32_t depth);

/* tri_utf8_check accepts well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool tri_utf8_check(const uint8_t *at, uint32_t bytes);
bool tri_chain_id_check(const uint8_t *at, uint32_t bytes);

/* The readers of the frames; the cursor stands behind the type.  All return false after a fault. */
bool tri_read_challenge(struct tri_cursor *cursor, struct tri_challenge *challenge);
bool tri_read_hello(struct tri_cursor *cursor, struct tri_hello *hello);
bool tri_read_welcome(struct tri_cursor *cursor, struct tri_welcome *welcome);
bool tri_read_error(struct tri_cursor *cursor, struct tri_error_frame *error);
bool tri_read_submit(struct tri_cursor *cursor, struct tri_message *message);
bool tri_read_ack(struct tri_cursor *cursor, struct tri_ack *ack);
bool tri_read_notice(struct tri_cursor *cursor, struct tri_notice *notice);
bool tri_read_status(struct tri_cursor *cursor, struct tri_status *status);
bool tri_read_event(struct tri_cursor *cursor, struct tri_event_frame *event);
bool tri_read_pending_get(struct tri_cursor *cursor, struct tri_pending_get *get);
bool tri_read_pending(struct tri_cursor *cursor, struct tri_pending_frame *pending);
bool tri_read_settle(struct tri_cursor *cursor, struct tri_settle *settle);
bool tri_read_settled(struct tri_cursor *cursor, struct tri_settled *settled);
bool tri_read_finality(struct tri_cursor *cursor, struct tri_finality_frame *finality);
void tri_put_pending(struct tri_writer *writer, const struct tri_pending_frame *pending);
void tri_put_finality(struct tri_writer *writer, const struct tri_finality_frame *finality);
/* The frames of settlement and finality but those two. */
void tri_put_settlement(struct tri_writer *writer, const struct tri_frame *frame);
bool tri_read_envelope_frame(struct tri_cursor *cursor, struct tri_envelope_frame *frame);
bool tri_read_envelope_ack(struct tri_cursor *cursor, struct tri_envelope_ack *ack);
/* And their writers, which stand beside them. */
void tri_put_envelope_frame(struct tri_writer *writer, const struct tri_envelope_frame *frame);
void tri_put_envelope_ack(struct tri_writer *writer, const struct tri_envelope_ack *ack);

/* The parts of a message that few have; the cursor stands at the array, the struct is zeroed. */
bool tri_read_envelope(struct tri_cursor *cursor, struct tri_envelope *envelope);
bool tri_read_signature(struct tri_cursor *cursor, struct tri_signature *signature);

/* Refuses the value at `at`.  The false is inline, so that the compiler sees what is not set. */
TRI_INLINE bool tri_cursor_refuse(struct tri_wire_fault *fault, const uint8_t *body,
                                  const uint8_t *at, enum tri_error code, const char *field)
{
    tri_cursor_note(fault, body, at, code, field);
    return false;
}

TRI_INLINE bool tri_cursor_fail(const struct tri_cursor *cursor, enum tri_error code,
                                const char *field)
{
    return tri_cursor_refuse(cursor->fault, cursor->body, cursor->at, code, field);
}

TRI_INLINE uint32_t tri_cursor_left(const struct tri_cursor *cursor)
{
    return (uint32_t)(cursor->end - cursor->at);
}

/* Big-endian loads; the compiler makes one load and one swap of each. */
TRI_INLINE uint32_t tri_load16(const uint8_t *at)
{
    return ((uint32_t)at[0] << 8) | at[1];
}

TRI_INLINE uint32_t tri_load32(const uint8_t *at)
{
    return ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];
}

TRI_INLINE uint64_t tri_load64(const uint8_t *at)
{
    return ((uint64_t)tri_load32(at) << 32) | tri_load32(at + 4);
}

/* Why no unsigned integer stands at `at`: a readable negative one is out of range. */
enum tri_error tri_cursor_uint_fault(const uint8_t *at, const uint8_t *end) TRI_COLD;

/* An unsigned integer in [min, max]. */
TRI_INLINE bool tri_get_uint(struct tri_cursor *cursor, uint64_t min, uint64_t max, uint64_t *value,
                             const char *field)
{
    const uint8_t *at = cursor->at;
    uint32_t left = tri_cursor_left(cursor);
    uint32_t width = 1;
    uint64_t found;

    if (TRI_LIKELY(left >= 1 && at[0] < 0x80)) {
        found = at[0];
    } else if (left >= 2 && at[0] == 0xcc && at[1] >= 0x80) {
        found = at[1];
        width = 2;
    } else if (left >= 3 && at[0] == 0xcd && at[1] != 0) {
        found = tri_load16(at + 1);
        width = 3;
    } else if (left >= 5 && at[0] == 0xce && tri_load32(at + 1) > UINT16_MAX) {
        found = tri_load32(at + 1);
        width = 5;
    } else if (left >= 9 && at[0] == 0xcf && tri_load64(at + 1) > UINT32_MAX) {
        found = tri_load64(at + 1);
        width = 9;
    } else {
        return tri_cursor_fail(cursor, tri_cursor_uint_fault(at, cursor->end), field);
    }
    if (found < min || found > max) {
        return tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, field);
    }
    cursor->at = at + width;
    *value = found;
    return true;
}

/* As tri_get_uint, for ranges within 32 bits. */
TRI_INLINE bool tri_get_u32(struct tri_cursor *cursor, uint32_t min, uint32_t max, uint32_t *value,
                            const char *field)
{
    uint64_t wide;

    if (!tri_get_uint(cursor, min, max, &wide, field)) {
        return false;
    }
    *value = (uint32_t)wide;
    return true;
}

/* An enum value below `count` (at most 128); the caller casts it. */
TRI_INLINE bool tri_get_enum(struct tri_cursor *cursor, uint32_t count, uint32_t *value,
                             const char *field)
{
    if (TRI_LIKELY(cursor->at < cursor->end && cursor->at[0] < count)) {
        *value = *cursor->at++;
        return true;
    }
    return tri_get_u32(cursor, 0, count - 1, value, field);
}

TRI_INLINE bool tri_get_code(struct tri_cursor *cursor, enum tri_error *code, const char *field)
{
    const uint8_t *at = cursor->at;
    uint32_t value;

    if (!tri_get_enum(cursor, TRI_ERROR_VALUE_MAX + 1, &value, field)) {
        return false;
    }
    if (value != 0 && !tri_error_known(value)) {
        return tri_cursor_refuse(cursor->fault, cursor->body, at, TRI_ERROR_FIELD_OUT_OF_RANGE,
                                 field);
    }
    *code = (enum tri_error)value;
    return true;
}

TRI_INLINE bool tri_get_bool(struct tri_cursor *cursor, bool *value, const char *field)
{
    if (cursor->at >= cursor->end || (cursor->at[0] & 0xfe) != 0xc2) {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, field);
    }
    *value = *cursor->at++ == 0xc3;
    return true;
}

/* An array header of a count in [min, max]. */
TRI_INLINE bool tri_get_array(struct tri_cursor *cursor, uint32_t min, uint32_t max,
                              uint32_t *count, const char *field)
{
    const uint8_t *at = cursor->at;
    uint32_t left = tri_cursor_left(cursor);
    uint32_t width = 1;
    uint32_t found;

    if (TRI_LIKELY(left >= 1 && (at[0] & 0xf0) == 0x90)) {
        found = at[0] & 0x0f;
    } else if (left >= 3 && at[0] == 0xdc && tri_load16(at + 1) > 15) {
        found = tri_load16(at + 1);
        width = 3;
    } else if (left >= 5 && at[0] == 0xdd && tri_load32(at + 1) > UINT16_MAX) {
        found = tri_load32(at + 1);
        width = 5;
    } else {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, field);
    }
    if (found > left - width) {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, field);
    }
    if (found < min || found > max) {
        return tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, field);
    }
    cursor->at = at + width;
    *count = found;
    return true;
}

/* True if no byte of the run is above 0x7f; most text is, and then it is UTF-8. */
TRI_INLINE bool tri_bytes_are_ascii(const uint8_t *at, uint32_t bytes)
{
    uint64_t seen = 0;
    uint64_t word;
    uint32_t i;

    if (bytes < 8) {
        for (i = 0; i < bytes; i++) {
            seen |= at[i];
        }
        return (seen & 0x80) == 0;
    }
    for (i = 0; i + 8 <= bytes; i += 8) {
        memcpy(&word, at + i, 8);
        seen |= word;
    }
    memcpy(&word, at + bytes - 8, 8);
    return ((seen | word) & UINT64_C(0x8080808080808080)) == 0;
}

/* A string header; the cursor moves behind the header, `bytes` are checked to be there. */
TRI_INLINE bool tri_get_str_head(struct tri_cursor *cursor, uint32_t *bytes, const char *field)
{
    const uint8_t *at = cursor->at;
    uint32_t left = tri_cursor_left(cursor);
    uint32_t width = 1;
    uint32_t found;

    if (TRI_LIKELY(left >= 1 && (at[0] & 0xe0) == 0xa0)) {
        found = at[0] & 0x1f;
    } else if (left >= 2 && at[0] == 0xd9 && at[1] > 31) {
        found = at[1];
        width = 2;
    } else if (left >= 3 && at[0] == 0xda && at[1] != 0) {
        found = tri_load16(at + 1);
        width = 3;
    } else if (left >= 5 && at[0] == 0xdb && tri_load32(at + 1) > UINT16_MAX) {
        found = tri_load32(at + 1);
        width = 5;
    } else {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, field);
    }
    if (found > left - width) {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, field);
    }
    cursor->at = at + width;
    *bytes = found;
    return true;
}

/* UTF-8 text of `min` to `max` bytes. */
TRI_INLINE bool tri_get_text(struct tri_cursor *cursor, uint32_t min, uint32_t max,
                             struct tri_text *text, const char *field)
{
    const uint8_t *head = cursor->at;
    uint32_t bytes;

    if (!tri_get_str_head(cursor, &bytes, field)) {
        return false;
    }
    if (bytes < min || bytes > max ||
        (!tri_bytes_are_ascii(cursor->at, bytes) && !tri_utf8_check(cursor->at, bytes))) {
        return tri_cursor_refuse(cursor->fault, cursor->body, head, TRI_ERROR_FIELD_OUT_OF_RANGE,
                                 field);
    }
    text->at = (const char *)cursor->at;
    text->bytes = bytes;
    cursor->at += bytes;
    return true;
}

TRI_INLINE bool tri_get_id(struct tri_cursor *cursor, struct tri_text *id)
{
    return tri_get_text(cursor, 1, TRI_ID_BYTES_MAX, id, "originalMessageId");
}

/* A CAIP-2 id. */
TRI_INLINE bool tri_get_chain(struct tri_cursor *cursor, struct tri_text *chain, const char *field)
{
    const uint8_t *head = cursor->at;
    uint32_t bytes;

    if (!tri_get_str_head(cursor, &bytes, field)) {
        return false;
    }
    if (!tri_chain_id_check(cursor->at, bytes)) {
        return tri_cursor_refuse(cursor->fault, cursor->body, head, TRI_ERROR_FIELD_OUT_OF_RANGE,
                                 field);
    }
    chain->at = (const char *)cursor->at;
    chain->bytes = bytes;
    cursor->at += bytes;
    return true;
}

/* Binary of `min` to `max` bytes. */
TRI_INLINE bool tri_get_bin(struct tri_cursor *cursor, uint32_t min, uint32_t max,
                            struct tri_bytes *bin, const char *field)
{
    const uint8_t *at = cursor->at;
    uint32_t left = tri_cursor_left(cursor);
    uint32_t width = 2;
    uint32_t found;

    if (TRI_LIKELY(left >= 2 && at[0] == 0xc4)) {
        found = at[1];
    } else if (left >= 3 && at[0] == 0xc5 && at[1] != 0) {
        found = tri_load16(at + 1);
        width = 3;
    } else if (left >= 5 && at[0] == 0xc6 && tri_load32(at + 1) > UINT16_MAX) {
        found = tri_load32(at + 1);
        width = 5;
    } else {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, field);
    }
    if (found > left - width) {
        return tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, field);
    }
    if (found < min || found > max) {
        return tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, field);
    }
    bin->at = at + width;
    bin->bytes = found;
    cursor->at = at + width + found;
    return true;
}

/* A MAC: empty, or TRI_MAC_BYTES. */
TRI_INLINE bool tri_get_mac(struct tri_cursor *cursor, struct tri_bytes *mac)
{
    const uint8_t *head = cursor->at;

    if (!tri_get_bin(cursor, 0, TRI_MAC_BYTES, mac, "mac")) {
        return false;
    }
    if (mac->bytes != 0 && mac->bytes != TRI_MAC_BYTES) {
        return tri_cursor_refuse(cursor->fault, cursor->body, head, TRI_ERROR_FIELD_OUT_OF_RANGE,
                                 "mac");
    }
    return true;
}

/* [epoch, n], both at least `min`: 1 where an attempt is named, 0 where there may be none yet. */
TRI_INLINE bool tri_get_attempt(struct tri_cursor *cursor, uint32_t min, tri_attempt *attempt)
{
    uint32_t count;
    uint32_t epoch;
    uint32_t n;

    if (!tri_get_array(cursor, 2, 2, &count, "attempt") ||
        !tri_get_u32(cursor, min, UINT32_MAX, &epoch, "attempt") ||
        !tri_get_u32(cursor, min, UINT32_MAX, &n, "attempt")) {
        return false;
    }
    *attempt = TRI_ATTEMPT(epoch, n);
    return true;
}

TRI_INLINE bool tri_get_hash(struct tri_cursor *cursor, struct tri_hash *hash)
{
    struct tri_bytes bin;

    if (!tri_get_bin(cursor, sizeof hash->at, sizeof hash->at, &bin, "contentHash")) {
        return false;
    }
    memcpy(hash->at, bin.at, sizeof hash->at);
    return true;
}

/* An array of `min` to TRI_TOKENS_MAX tokens, TRI_TOKENS_BYTES_MAX in all; kept as encoded. */
TRI_INLINE bool tri_get_tokens(struct tri_cursor *cursor, uint32_t min, struct tri_bytes *tokens,
                               const char *field)
{
    const uint8_t *head = cursor->at;
    struct tri_text token;
    uint32_t count;

    if (!tri_get_array(cursor, min, TRI_TOKENS_MAX, &count, field)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!tri_get_text(cursor, 1, TRI_TOKENS_BYTES_MAX, &token, field)) {
            return false;
        }
    }
    tokens->at = head;
    tokens->bytes = (uint32_t)(cursor->at - head);
    if (tokens->bytes > TRI_TOKENS_BYTES_MAX) {
        return tri_cursor_refuse(cursor->fault, cursor->body, head, TRI_ERROR_FIELD_OUT_OF_RANGE,
                                 field);
    }
    return true;
}

TRI_INLINE bool tri_text_equals(struct tri_text a, struct tri_text b)
{
    return a.bytes == b.bytes && memcmp(a.at, b.at, a.bytes) == 0;
}

/* A chain or asset list of `min` to `max` different ids (H03). */
TRI_INLINE bool tri_get_list(struct tri_cursor *cursor, uint32_t min, uint32_t max, bool are_chains,
                             struct tri_text *list, uint32_t *list_count, const char *field)
{
    uint32_t count;
    uint32_t i;
    uint32_t j;

    if (!tri_get_array(cursor, min, max, &count, field)) {
        return false;
    }
    for (i = 0; i < count; i++) {
        const uint8_t *head = cursor->at;

        if (are_chains ? !tri_get_chain(cursor, &list[i], field)
                       : !tri_get_text(cursor, 1, TRI_ASSET_ID_BYTES_MAX, &list[i], field)) {
            return false;
        }
        for (j = 0; j < i; j++) {
            if (tri_text_equals(list[i], list[j])) {
                return tri_cursor_refuse(cursor->fault, cursor->body, head,
                                         TRI_ERROR_FIELD_OUT_OF_RANGE, field);
            }
        }
    }
    *list_count = count;
    return true;
}

/* True, and past it, if the next value is nil. */
TRI_INLINE bool tri_get_nil(struct tri_cursor *cursor)
{
    if (cursor->at >= cursor->end || cursor->at[0] != 0xc0) {
        return false;
    }
    cursor->at++;
    return true;
}

TRI_INLINE bool tri_get_envelope(struct tri_cursor *cursor, struct tri_envelope *envelope)
{
    struct tri_cursor own;

    *envelope = (struct tri_envelope){0};
    if (TRI_LIKELY(tri_get_nil(cursor))) {
        return true;
    }
    own = *cursor;
    if (!tri_read_envelope(&own, envelope)) {
        return false;
    }
    cursor->at = own.at;
    return true;
}

TRI_INLINE bool tri_get_signature(struct tri_cursor *cursor, struct tri_signature *signature)
{
    struct tri_cursor own;

    *signature = (struct tri_signature){0};
    if (TRI_LIKELY(tri_get_nil(cursor))) {
        return true;
    }
    own = *cursor;
    if (!tri_read_signature(&own, signature)) {
        return false;
    }
    cursor->at = own.at;
    return true;
}

/* The inner run of a message: type, subtype, assets, payload, envelope, signature (H01). */
struct tri_inner {
    enum tri_message_type type;
    enum tri_subtype subtype;
    uint32_t asset_count;
    struct tri_bytes payload;
    struct tri_bytes run;
};

TRI_INLINE bool tri_get_inner(struct tri_cursor *cursor, struct tri_inner *inner,
                              struct tri_text assets[TRI_ASSETS_MAX], struct tri_envelope *envelope,
                              struct tri_signature *signature)
{
    const uint8_t *head = cursor->at;
    uint32_t type;
    uint32_t subtype;
    uint32_t assets_min;

    if (!tri_get_enum(cursor, TRI_TYPE_COUNT, &type, "type")) {
        return false;
    }
    if (!tri_get_enum(cursor, TRI_SUBTYPE_COUNT, &subtype, "subtype")) {
        return false;
    }
    if (subtype == TRI_SUBTYPE_EXECUTE && type != TRI_TYPE_GOVERNANCE) {
        return tri_cursor_refuse(cursor->fault, cursor->body, cursor->at - 1, TRI_ERROR_NOT_ALLOWED,
                                 "subtype");
    }
    assets_min = type >= TRI_TYPE_HEARTBEAT ? 0 : 1;
    if (!tri_get_list(cursor, assets_min, TRI_ASSETS_MAX, false, assets, &inner->asset_count,
                      "assets") ||
        !tri_get_bin(cursor, 0, TRI_PAYLOAD_BYTES_MAX, &inner->payload, "payload") ||
        !tri_get_envelope(cursor, envelope) || !tri_get_signature(cursor, signature)) {
        return false;
    }
    inner->type = (enum tri_message_type)type;
    inner->subtype = (enum tri_subtype)subtype;
    inner->run.at = head;
    inner->run.bytes = (uint32_t)(cursor->at - head);
    return true;
}

static_assert(TRI_TYPE_HEARTBEAT == 3 && TRI_TYPE_ACK == 4 && TRI_TYPE_QUERY == 5 &&
                  TRI_TYPE_COUNT == 6,
              "the types without assets are those from HEARTBEAT on");
static_assert(TRI_ERROR_VALUE_MAX < 127, "tri_get_enum compares a code with one byte");

#endif
