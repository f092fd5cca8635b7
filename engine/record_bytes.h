/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of records: little-endian numbers and runs, one behind the other.
 *
 * Internal to engine/record.c and engine/participant_record.c.  Writers know that there is room.  A
 * reader believes nothing: what a journal's file says is as little trusted as what a peer says, so
 * the first fault stays, and everything read after it is zero.
 */
#ifndef TRI_ENGINE_RECORD_BYTES_H
#define TRI_ENGINE_RECORD_BYTES_H

#include <assert.h>
#include <string.h>

#include "tricast/message.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they lie");

/* ---- writing: one store each, which compilers do not make of a loop over bytes ---- */

static inline uint8_t *put_u8(uint8_t *at, uint32_t value)
{
    *at = (uint8_t)value;
    return at + 1;
}

static inline uint8_t *put_u16(uint8_t *at, uint32_t value)
{
    uint16_t stored = (uint16_t)value;

    memcpy(at, &stored, sizeof(stored));
    return at + sizeof(stored);
}

static inline uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint8_t *put_raw(uint8_t *at, const void *from, size_t bytes)
{
    memcpy(at, from, bytes);
    return at + bytes;
}

static inline uint8_t *put_key(uint8_t *at, struct tri_key key)
{
    at = put_u64(at, key.lo);
    return put_u64(at, key.hi);
}

/* ---- reading ---- */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    const char *fault; /* the first one, static; NULL = none */
};

static inline void reader_expect(struct reader *reader, bool holds, const char *fault)
{
    if (!holds && reader->fault == NULL) {
        reader->fault = fault;
    }
}

/* Whether so many bytes are left; if not, none are. */
static inline bool reader_has(struct reader *reader, uint32_t bytes)
{
    if ((size_t)(reader->end - reader->at) < bytes) {
        reader_expect(reader, false, "the record is too short");
        reader->at = reader->end;
        return false;
    }
    return true;
}

static inline uint64_t get(struct reader *reader, uint32_t bytes)
{
    uint64_t value = 0;

    assert(bytes <= sizeof(value));
    if (reader_has(reader, bytes)) {
        memcpy(&value, reader->at, bytes);
        reader->at += bytes;
    }
    return value;
}

static inline void get_raw(struct reader *reader, void *to, uint32_t bytes)
{
    if (!reader_has(reader, bytes)) {
        memset(to, 0, bytes);
        return;
    }
    memcpy(to, reader->at, bytes);
    reader->at += bytes;
}

static inline struct tri_key get_key(struct reader *reader)
{
    struct tri_key key = {.lo = get(reader, 8), .hi = 0};

    key.hi = get(reader, 8);
    return key;
}

/* Nothing may be left.  TRI_OK or TRI_VIOLATION with the first fault. */
static inline enum tri_result reader_end(struct reader *reader, const char **fault)
{
    reader_expect(reader, reader->at == reader->end, "the record is too long");
    *fault = reader->fault;
    return reader->fault == NULL ? TRI_OK : TRI_VIOLATION;
}

#endif
