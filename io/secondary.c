/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is torn, and what is damaged?
 *
 * A crash leaves the beginning of what was to be written, and nothing or zeros behind it.  So the
 * end of the file is torn only if it looks like that: the body must run out of bytes too, or lack
 * nothing but the end of its chain.  Whatever else is wrong, was changed: a flipped bit in a length
 * must not make the facts behind it look as if they had never been there.
 */
#include "io/secondary.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/wire_cursor.h"
#include "io/state.h"

#define BODY_BYTES_MIN   6U /* [2, isUp, a text of one byte, 0] */
#define BUFFER_BYTES     (UINT32_C(1) << 20)
#define READ_BYTES       (UINT32_C(256) << 10)
#define SETTLED_FIELDS   9U
#define HANDED_FIELDS    7U
#define SEQUENCER_FIELDS 4U

/* ---- bodies ---- */

static void put_record(struct tri_writer *writer, const struct tri_secondary_fact *fact)
{
    char stream[TRI_STREAM_BYTES_MAX];
    uint32_t bytes = tri_stream_put(fact->epoch, fact->shard, stream);

    assert(fact->oss_epoch > 0);
    tri_put_text(writer, (struct tri_text){stream, bytes});
    tri_put_uint(writer, fact->oss_epoch);
}

uint32_t tri_secondary_put(const struct tri_secondary_fact *fact,
                           uint8_t to[TRI_SECONDARY_BODY_BYTES_MAX])
{
    struct tri_writer writer = {.at = to, .end = to + TRI_SECONDARY_BODY_BYTES_MAX};

    switch (fact->kind) {
    case TRI_SECONDARY_SETTLED:
        assert(fact->reference.bytes <= TRI_SECONDARY_REFERENCE_BYTES_MAX);
        assert(fact->name.bytes >= 1 && fact->name.bytes <= TRI_SECONDARY_NAME_BYTES_MAX);
        tri_put_array(&writer, SETTLED_FIELDS);
        tri_put_uint(&writer, TRI_SECONDARY_SETTLED);
        put_record(&writer, fact);
        tri_put_bin(&writer, (struct tri_bytes){fact->root, sizeof(fact->root)});
        tri_put_bool(&writer, fact->is_equal);
        tri_put_uint(&writer, fact->settled_at_ms);
        tri_put_text(&writer, fact->reference);
        tri_put_text(&writer, fact->name);
        break;
    case TRI_SECONDARY_HANDED:
        assert(fact->id.bytes >= 1 && fact->id.bytes <= TRI_ID_BYTES_MAX);
        tri_put_array(&writer, HANDED_FIELDS);
        tri_put_uint(&writer, TRI_SECONDARY_HANDED);
        put_record(&writer, fact);
        tri_put_text(&writer, fact->id);
        tri_put_text(&writer, fact->chain);
        tri_put_uint(&writer, fact->code);
        break;
    case TRI_SECONDARY_SEQUENCER:
        assert(fact->name.bytes >= 1 && fact->name.bytes <= TRI_SECONDARY_NAME_BYTES_MAX);
        tri_put_array(&writer, SEQUENCER_FIELDS);
        tri_put_uint(&writer, TRI_SECONDARY_SEQUENCER);
        tri_put_bool(&writer, fact->is_up);
        tri_put_text(&writer, fact->name);
        break;
    }
    tri_put_uint(&writer, fact->at_ms);
    assert(!writer.failed);
    return (uint32_t)(writer.at - to);
}

static bool get_record(struct tri_cursor *cursor, struct tri_secondary_fact *fact)
{
    struct tri_text stream;

    if (!tri_get_text(cursor, 1, TRI_STREAM_BYTES_MAX, &stream,
                      "the stream is not 1 to 16 bytes")) {
        return false;
    }
    if (!tri_stream_get(stream, &fact->epoch, &fact->shard)) {
        cursor->fault->field = "the stream is not EPOCH-SHARD";
        return false;
    }
    return tri_get_uint(cursor, 1, UINT64_MAX, &fact->oss_epoch, "the ossEpoch is not 1 or more");
}

static bool get_settled(struct tri_cursor *cursor, struct tri_secondary_fact *fact)
{
    struct tri_bytes root;

    if (!get_record(cursor, fact) || !tri_get_bin(cursor, TRI_DIGEST_BYTES, TRI_DIGEST_BYTES, &root,
                                                  "the root is not 32 bytes")) {
        return false;
    }
    memcpy(fact->root, root.at, sizeof(fact->root));
    return tri_get_bool(cursor, &fact->is_equal, "isEqual is no boolean") &&
           tri_get_uint(cursor, 0, UINT64_MAX, &fact->settled_at_ms, "settledAt is no time") &&
           tri_get_text(cursor, 0, TRI_SECONDARY_REFERENCE_BYTES_MAX, &fact->reference,
                        "the reference is not 0 to 128 bytes") &&
           tri_get_text(cursor, 1, TRI_SECONDARY_NAME_BYTES_MAX, &fact->name,
                        "the reporter is not 1 to 64 bytes");
}

static bool get_kind(struct tri_cursor *cursor, uint32_t kind, struct tri_secondary_fact *fact)
{
    switch (kind) {
    case TRI_SECONDARY_SETTLED:
        return get_settled(cursor, fact);
    case TRI_SECONDARY_HANDED:
        return get_record(cursor, fact) && tri_get_id(cursor, &fact->id) &&
               tri_get_chain(cursor, &fact->chain, "the chain is no CAIP-2 id") &&
               tri_get_code(cursor, &fact->code, "the error code is unknown");
    default:
        return tri_get_bool(cursor, &fact->is_up, "isUp is no boolean") &&
               tri_get_text(cursor, 1, TRI_SECONDARY_NAME_BYTES_MAX, &fact->name,
                            "the operator is not 1 to 64 bytes");
    }
}

bool tri_secondary_get(struct tri_bytes body, struct tri_secondary_fact *fact, const char **fault)
{
    static const uint32_t fields[] = {
        [TRI_SECONDARY_SETTLED] = SETTLED_FIELDS,
        [TRI_SECONDARY_HANDED] = HANDED_FIELDS,
        [TRI_SECONDARY_SEQUENCER] = SEQUENCER_FIELDS,
    };
    struct tri_wire_fault found = {.field = ""};
    struct tri_cursor cursor = {
        .body = body.at, .at = body.at, .end = body.at + body.bytes, .fault = &found};
    uint32_t count = 0;
    uint32_t kind = 0;

    assert(fact != NULL && fault != NULL);
    *fact = (struct tri_secondary_fact){0};
    if (!tri_get_array(&cursor, SEQUENCER_FIELDS, SETTLED_FIELDS, &count,
                       "it is not an array of 4 to 9") ||
        !tri_get_u32(&cursor, 0, TRI_SECONDARY_SEQUENCER, &kind, "its kind is not 0, 1 or 2")) {
        *fault = found.field;
        return false;
    }
    fact->kind = (enum tri_secondary_kind)kind;
    if (count != fields[kind]) {
        *fault = "it has not as many elements as its kind";
        return false;
    }
    if (!get_kind(&cursor, kind, fact) ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &fact->at_ms, "its time is no time")) {
        *fault = found.field;
        return false;
    }
    *fault = "more bytes stand behind its last element";
    return cursor.at == cursor.end;
}

/* ---- what is torn ---- */

/* Passes one value of a fact; returns false at one that is none, or if the bytes end. */
static bool shape_value(const uint8_t **at, const uint8_t *end, bool *is_cut)
{
    uint32_t left = (uint32_t)(end - *at);
    uint32_t head = 0;
    uint64_t bytes = 1;

    *is_cut = left == 0;
    if (*is_cut) {
        return false;
    }
    head = **at;
    if ((head & 0xe0) == 0xa0) {
        bytes = 1 + (head & 0x1f);
    } else if (head == 0xd9 || head == 0xc4) {
        bytes = left >= 2 ? 2U + (*at)[1] : 2U;
    } else if (head >= 0xcc && head <= 0xcf) {
        bytes = 1 + (UINT64_C(1) << (head - 0xcc));
    } else if (head >= 0x80 && head != 0xc2 && head != 0xc3) {
        return false;
    }
    *is_cut = bytes > left;
    *at += *is_cut ? 0 : bytes;
    return !*is_cut;
}

/* Whether these bytes begin a body and end within it. */
static bool shape_is_cut(const uint8_t *at, uint32_t bytes)
{
    const uint8_t *end = at + bytes;
    uint32_t count = 0;
    bool is_cut = bytes == 0;

    if (is_cut) {
        return true;
    }
    count = *at & 0x0f;
    if ((*at++ & 0xf0) != 0x90) {
        return false;
    }
    while (count > 0 && shape_value(&at, end, &is_cut)) {
        count--;
    }
    return is_cut;
}

/* ---- reading ---- */

int tri_secondary_reader_open(struct tri_secondary_reader *reader, int directory)
{
    assert(reader != NULL);
    *reader = (struct tri_secondary_reader){.file = -1, .buffer = malloc(BUFFER_BYTES)};
    if (reader->buffer == NULL) {
        return -ENOMEM;
    }
    reader->file = tri_state_file(directory, TRI_SECONDARY_NAME);
    return reader->file < 0 && reader->file != -ENOENT ? reader->file : 0;
}

void tri_secondary_reader_fini(struct tri_secondary_reader *reader)
{
    if (reader->buffer != NULL && reader->file >= 0) {
        (void)close(reader->file);
    }
    free(reader->buffer);
    *reader = (struct tri_secondary_reader){.file = -1};
}

/* Has `count` bytes from `from` on in the buffer, or all that the file has.  Returns 0 or -errno.
 */
static int reader_fill(struct tri_secondary_reader *reader, uint32_t count)
{
    if (reader->file < 0) {
        return 0;
    }
    if (reader->from + count > BUFFER_BYTES) {
        memmove(reader->buffer, reader->buffer + reader->from, reader->to - reader->from);
        reader->to -= reader->from;
        reader->from = 0;
    }
    while (reader->to - reader->from < count) {
        uint32_t room = BUFFER_BYTES - reader->to;
        ssize_t got =
            read(reader->file, reader->buffer + reader->to, room < READ_BYTES ? room : READ_BYTES);

        if (got == 0) {
            return 0;
        }
        if (got > 0) {
            reader->to += (uint32_t)got;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* SHA-256 of the chain before and the body, which stands in one piece behind it. */
static void secondary_chain(const uint8_t before[TRI_DIGEST_BYTES], struct tri_bytes body,
                            uint8_t chain[TRI_DIGEST_BYTES])
{
    uint8_t text[TRI_DIGEST_BYTES + TRI_SECONDARY_BODY_BYTES_MAX];

    assert(body.bytes <= TRI_SECONDARY_BODY_BYTES_MAX);
    memcpy(text, before, TRI_DIGEST_BYTES);
    memcpy(text + TRI_DIGEST_BYTES, body.at, body.bytes);
    tri_digest_sha256(text, TRI_DIGEST_BYTES + body.bytes, chain);
}

/* Whether nothing but zeros stands in the file from `offset` on: 1, 0 or -errno. */
static int reader_is_zero(const struct tri_secondary_reader *reader, uint64_t offset)
{
    uint8_t bytes[4096];
    ssize_t got = 1;

    while (got != 0) {
        got = pread(reader->file, bytes, sizeof(bytes), (off_t)offset);
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] != 0) {
                return 0;
            }
        }
        offset += got > 0 ? (uint64_t)got : 0;
    }
    return 1;
}

/* Whether a write of one fact after another could have left these bytes, with nothing or zeros
 * behind them; they do not end in a zero, unless the file does not go on.  What is there of a chain
 * must be of the right one: a fact that is whole but for its last bytes may end in zeros too. */
static bool reader_is_torn(const struct tri_secondary_reader *reader, const uint8_t *at,
                           uint32_t bytes)
{
    struct tri_secondary_fact fact;
    const char *fault = NULL;
    struct tri_bytes body = {0};
    uint8_t chain[TRI_DIGEST_BYTES];

    if (bytes < TRI_SECONDARY_FRAME_BYTES) {
        return true;
    }
    body = (struct tri_bytes){at + TRI_SECONDARY_FRAME_BYTES, tri_load32(at)};
    bytes -= TRI_SECONDARY_FRAME_BYTES;
    if (body.bytes < BODY_BYTES_MIN || body.bytes > TRI_SECONDARY_BODY_BYTES_MAX ||
        bytes >= body.bytes + TRI_DIGEST_BYTES) {
        return false;
    }
    if (bytes < body.bytes) {
        return shape_is_cut(body.at, bytes);
    }
    secondary_chain(reader->chain, body, chain);
    return memcmp(chain, body.at + body.bytes, bytes - body.bytes) == 0 &&
           tri_secondary_get(body, &fact, &fault);
}

/* What the bytes are that are no fact. */
static int reader_judge(struct tri_secondary_reader *reader, const char *fault)
{
    const uint8_t *at = reader->buffer + reader->from;
    uint32_t bytes = reader->to - reader->from;
    uint32_t solid = bytes; /* those before the zeros at the end */
    int is_zero = 1;

    reader->fault = fault;
    if (bytes >= TRI_SECONDARY_FACT_BYTES_MAX) { /* else the file ends with them */
        bytes = TRI_SECONDARY_FACT_BYTES_MAX;
        is_zero = reader_is_zero(reader, reader->offset + bytes);
        solid = bytes;
    }
    if (is_zero < 0) {
        return is_zero;
    }
    while (solid > 0 && at[solid - 1] == 0) {
        solid--;
    }
    return is_zero != 0 && (reader_is_torn(reader, at, bytes) || reader_is_torn(reader, at, solid))
               ? TRI_SECONDARY_NEXT_TORN
               : TRI_SECONDARY_NEXT_DAMAGED;
}

int tri_secondary_next(struct tri_secondary_reader *reader, struct tri_secondary_fact *fact)
{
    uint8_t chain[TRI_DIGEST_BYTES];
    struct tri_bytes body = {0};
    const char *fault = NULL;
    const uint8_t *at = NULL;
    uint32_t bytes = 0;
    int failed = 0;

    assert(reader->buffer != NULL && fact != NULL);
    reader->from += reader->given;
    reader->offset += reader->given;
    reader->given = 0;
    failed = reader_fill(reader, TRI_SECONDARY_FACT_BYTES_MAX);
    bytes = reader->to - reader->from;
    if (failed != 0 || bytes == 0) {
        return failed != 0 ? failed : TRI_SECONDARY_NEXT_END;
    }
    at = reader->buffer + reader->from;
    body.bytes = bytes < TRI_SECONDARY_FRAME_BYTES ? 0 : tri_load32(at);
    if (body.bytes < BODY_BYTES_MIN || body.bytes > TRI_SECONDARY_BODY_BYTES_MAX) {
        return reader_judge(reader, "no fact has such a length");
    }
    body.at = at + TRI_SECONDARY_FRAME_BYTES;
    if (bytes < TRI_SECONDARY_FRAME_BYTES + body.bytes + TRI_DIGEST_BYTES) {
        return reader_judge(reader, "its length is not that of the fact behind it");
    }
    secondary_chain(reader->chain, body, chain);
    if (memcmp(chain, body.at + body.bytes, sizeof(chain)) != 0) {
        return reader_judge(reader, "it does not follow what stands before it: one of the two has "
                                    "been changed");
    }
    if (!tri_secondary_get(body, fact, &fault)) {
        reader->fault = fault;
        return TRI_SECONDARY_NEXT_DAMAGED;
    }
    memcpy(reader->chain, chain, sizeof(chain));
    reader->given = TRI_SECONDARY_FRAME_BYTES + body.bytes + TRI_DIGEST_BYTES;
    reader->count++;
    return TRI_SECONDARY_NEXT_FACT;
}

/* ---- frames of facts ---- */

uint32_t tri_secondary_frame_put(const struct tri_secondary_fact *fact,
                                 uint8_t chain[TRI_DIGEST_BYTES],
                                 uint8_t to[TRI_SECONDARY_FACT_BYTES_MAX])
{
    uint8_t *body = to + TRI_SECONDARY_FRAME_BYTES;
    uint32_t bytes = tri_secondary_put(fact, body);

    to[0] = (uint8_t)(bytes >> 24);
    to[1] = (uint8_t)(bytes >> 16);
    to[2] = (uint8_t)(bytes >> 8);
    to[3] = (uint8_t)bytes;
    secondary_chain(chain, (struct tri_bytes){body, bytes}, chain);
    memcpy(body + bytes, chain, TRI_DIGEST_BYTES);
    return TRI_SECONDARY_FRAME_BYTES + bytes + TRI_DIGEST_BYTES;
}
