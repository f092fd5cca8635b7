/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain's side as records, and back (P06, D05).
 *
 * A record is the whole of what is remembered of a message, so replay is
 * assignment: whatever was kept of the message before is overwritten.  Little
 * endian, no padding:
 *
 *     MESSAGE     key 16 | hash 16 | attempt 8 | tombstone 8 | token 8 | its instance 4 |
 *                 state 1 | flags 1 | code of PREPARE 1 | code of COMMIT 1 | forget: time 16 |
 *                 if held or being reserved: end of the reservation: time 16 |
 *                 if RARE: ABORT refused 8, ROLLBACK 8, the lowest that failed 8, its code 1 |
 *                 bytes of the id 1 | id
 *     FORGOTTEN   key 16
 *     CHECKPOINT  LSN at which it began 8
 *
 * A time is the wall clock's milliseconds 8 and the milliseconds that are left 8.  The monotonic
 * clock does not survive a restart and the wall clock may have jumped, so what is left afterwards
 * is the time on the wall less now, but never more than was left when the record was written (L07).
 *
 * A frame that waits for a verdict is not kept: it was never answered, so it comes again (P15).
 */
#include "engine/participant.h"

#include <assert.h>

#include "engine/record_bytes.h"

#define FIXED_BYTES_MAX 150U
static_assert(FIXED_BYTES_MAX + TRI_ID_BYTES_MAX <= TRI_PARTICIPANT_RECORD_BYTES_MAX,
              "the longest id fits into a record");
/* Longer than any remainder that is ever kept, and short enough for sums in nanoseconds. */
#define REST_MS_MAX (UINT64_C(1) << 42)

/* ---- writing ---- */

/* Rounded up: a reservation must not end before the coordinator's count (L04). */
static uint8_t *put_time(uint8_t *at, const struct tri_participant *participant, uint64_t time_ns)
{
    uint64_t rest_ns = time_ns > participant->now_ns ? time_ns - participant->now_ns : 0;
    uint64_t rest_ms = (rest_ns + TRI_NS_PER_MS - 1) / TRI_NS_PER_MS;

    at = put_u64(at, participant->wall_ms + rest_ms);
    return put_u64(at, rest_ms);
}

/* Whether the end of a reservation means something. */
static bool has_ttl(uint32_t state, uint32_t flags)
{
    return (flags & TRI_PARTICIPANT_HELD) != 0 || state == TRI_PARTICIPANT_RESERVING;
}

static uint8_t *put_rare(uint8_t *at, const struct tri_participant_rare *rare)
{
    at = put_u64(at, rare->abort_refused);
    at = put_u64(at, rare->rollback_attempt);
    at = put_u64(at, rare->rollback_low);
    return put_u8(at, rare->rollback_code);
}

static uint8_t *put_message(uint8_t *at, const struct tri_participant *participant, uint32_t index)
{
    const struct tri_participant_entry *entry = &participant->entries[index];

    at = put_key(at, entry->key);
    memcpy(at, entry->hash.at, sizeof(entry->hash.at));
    at += sizeof(entry->hash.at);
    at = put_u64(at, entry->attempt);
    at = put_u64(at, entry->tombstone);
    at = put_u64(at, entry->token);
    at = put_u32(at, entry->token_instance);
    at = put_u8(at, entry->state);
    at = put_u8(at, entry->flags & TRI_PARTICIPANT_FLAGS_KEPT);
    at = put_u8(at, entry->prepare_code);
    at = put_u8(at, entry->commit_code);
    at = put_time(at, participant, entry->forget_ns);
    if (has_ttl(entry->state, entry->flags)) {
        at = put_time(at, participant, entry->ttl_ns);
    }
    if ((entry->flags & TRI_PARTICIPANT_RARE) != 0) {
        at = put_rare(at, &participant->rares[index]);
    }
    at = put_u8(at, entry->id_bytes);
    memcpy(at, entry->id, entry->id_bytes);
    return at + entry->id_bytes;
}

uint32_t tri_participant_record(const struct tri_participant *participant,
                                const struct tri_participant_effect *append,
                                uint8_t to[TRI_PARTICIPANT_RECORD_BYTES_MAX])
{
    uint8_t *at = to;

    assert(append->type == TRI_PARTICIPANT_EFFECT_APPEND);
    assert(append->lsn <= participant->lsn);
    switch (append->record) {
    case TRI_PARTICIPANT_RECORD_MESSAGE:
        assert(append->entry < participant->used);
        assert(participant->entries[append->entry].generation == append->generation);
        at = put_message(at, participant, append->entry);
        break;
    case TRI_PARTICIPANT_RECORD_FORGOTTEN:
        at = put_key(at, append->key);
        break;
    default:
        assert(append->record == TRI_PARTICIPANT_RECORD_CHECKPOINT);
        at = put_u64(at, append->begin_lsn);
        break;
    }
    assert(at <= to + TRI_PARTICIPANT_RECORD_BYTES_MAX);
    return (uint32_t)(at - to);
}

/* ---- reading ---- */

/* A record, and the time at which it is read. */
struct replay {
    struct reader reader;
    uint64_t now_ns;
    uint64_t wall_ms;
};

/* A time as the monotonic clock of this life counts it. */
static uint64_t get_time(struct replay *replay)
{
    struct reader *reader = &replay->reader;
    uint64_t time_ms = get(reader, 8);
    uint64_t rest_ms = time_ms > replay->wall_ms ? time_ms - replay->wall_ms : 0;
    uint64_t rest_ms_max = get(reader, 8);

    if (rest_ms_max > REST_MS_MAX) {
        reader_expect(reader, false, "a time lies too far ahead");
        return 0;
    }
    rest_ms = rest_ms < rest_ms_max ? rest_ms : rest_ms_max;
    return replay->now_ns + rest_ms * TRI_NS_PER_MS;
}

static uint8_t get_code(struct reader *reader)
{
    uint64_t code = get(reader, 1);

    reader_expect(reader, tri_error_known((uint32_t)code), "no error code");
    return (uint8_t)code;
}

/* The invariants of an entry, as far as the steps that follow rest on them. */
static void reader_check(struct reader *reader, const struct tri_participant_entry *entry)
{
    bool is_applied =
        entry->state == TRI_PARTICIPANT_APPLIED || entry->state == TRI_PARTICIPANT_UNDOING;
    bool is_held = (entry->flags & TRI_PARTICIPANT_HELD) != 0;

    reader_expect(reader, entry->state < TRI_PARTICIPANT_STATE_COUNT, "no state");
    reader_expect(reader, (entry->flags & ~TRI_PARTICIPANT_FLAGS_KEPT) == 0, "no flags");
    reader_expect(reader, (entry->token == 0) == (entry->token_instance == 0),
                  "a token without its instance");
    reader_expect(reader, (entry->token == 0) == (entry->attempt == 0), "an attempt has a token");
    if (is_applied) {
        reader_expect(reader, entry->tombstone < entry->attempt, "applied, but ended");
    } else {
        reader_expect(reader,
                      entry->tombstone >= entry->attempt || entry->attempt - entry->tombstone == 1,
                      "an earlier attempt has not ended");
        reader_expect(reader, (entry->flags & TRI_PARTICIPANT_CLOSED) == 0, "closed, not applied");
    }
    if (entry->state == TRI_PARTICIPANT_NONE || entry->state == TRI_PARTICIPANT_UNDONE) {
        reader_expect(reader, !is_held, "held for nothing");
    } else {
        reader_expect(reader, entry->attempt != 0, "a state without an attempt");
    }
    if (entry->state == TRI_PARTICIPANT_RESERVED) {
        reader_expect(reader, is_held, "reserved, but not held");
    }
}

/* The same of what few messages have. */
static void reader_check_rare(struct reader *reader, const struct tri_participant_entry *entry,
                              const struct tri_participant_rare *rare)
{
    bool is_undoing = entry->state == TRI_PARTICIPANT_UNDOING;

    if (rare->rollback_low != 0) {
        reader_expect(reader, is_undoing || entry->state == TRI_PARTICIPANT_APPLIED,
                      "a ROLLBACK of nothing has failed");
        reader_expect(reader,
                      rare->rollback_low <= entry->attempt &&
                          rare->rollback_low <= rare->rollback_attempt,
                      "the lowest ROLLBACK that failed is none");
    } else if (!is_undoing) {
        reader_expect(reader, rare->rollback_attempt <= entry->tombstone,
                      "a ROLLBACK without an outcome");
    }
    if (is_undoing) {
        reader_expect(reader, rare->rollback_attempt >= entry->attempt, "undone for no ROLLBACK");
    }
}

static void get_message(struct replay *replay, struct tri_participant_entry *entry,
                        struct tri_participant_rare *rare)
{
    struct reader *reader = &replay->reader;

    entry->key = get_key(reader);
    get_raw(reader, entry->hash.at, sizeof(entry->hash.at));
    entry->attempt = get(reader, 8);
    entry->tombstone = get(reader, 8);
    entry->token = get(reader, 8);
    entry->token_instance = (uint32_t)get(reader, 4);
    entry->state = (uint8_t)get(reader, 1);
    entry->flags = (uint8_t)get(reader, 1);
    entry->prepare_code = get_code(reader);
    entry->commit_code = get_code(reader);
    entry->forget_ns = get_time(replay);
    if (has_ttl(entry->state, entry->flags)) {
        entry->ttl_ns = get_time(replay);
    }
    if ((entry->flags & TRI_PARTICIPANT_RARE) != 0) {
        rare->abort_refused = get(reader, 8);
        rare->rollback_attempt = get(reader, 8);
        rare->rollback_low = get(reader, 8);
        rare->rollback_code = (enum tri_error)get_code(reader);
    }
    entry->id_bytes = (uint32_t)get(reader, 1);
    reader_expect(reader, entry->id_bytes >= 1 && entry->id_bytes <= TRI_ID_BYTES_MAX, "no id");
    if (reader->fault == NULL) {
        get_raw(reader, entry->id, entry->id_bytes);
        reader_check(reader, entry);
        reader_check_rare(reader, entry, rare);
    }
}

/* ---- back ---- */

static enum tri_result replay_message(struct tri_participant *participant, struct replay *replay,
                                      uint32_t *index, const char **fault)
{
    struct tri_participant_entry image = {.lsn = 0};
    struct tri_participant_rare rare = {.abort_refused = 0};
    struct tri_participant_entry *entry;

    get_message(replay, &image, &rare);
    reader_expect(&replay->reader, image.token_instance < participant->options.instance,
                  "its token is of this instance or a later one: the number was not raised");
    if (reader_end(&replay->reader, fault) != TRI_OK) {
        return TRI_VIOLATION;
    }
    *index = tri_participant_find(participant, image.key);
    if (*index == TRI_PARTICIPANT_NOBODY) {
        *index = tri_participant_take(participant, image.key);
    }
    if (*index == TRI_PARTICIPANT_NOBODY) {
        *fault = "more messages than there are entries";
        return TRI_FULL;
    }
    entry = &participant->entries[*index];
    image.generation = entry->generation;
    image.timer = entry->timer;
    image.flags |= TRI_PARTICIPANT_USED;
    *entry = image;
    if ((image.flags & TRI_PARTICIPANT_RARE) != 0) {
        participant->rares[*index] = rare;
    }
    return TRI_OK;
}

static enum tri_result replay_forgotten(struct tri_participant *participant, struct reader *reader,
                                        uint32_t *index, const char **fault)
{
    struct tri_key key = get_key(reader);

    if (reader_end(reader, fault) != TRI_OK) {
        return TRI_VIOLATION;
    }
    *index = tri_participant_find(participant, key);
    if (*index == TRI_PARTICIPANT_NOBODY) {
        return TRI_STALE;
    }
    if ((participant->entries[*index].flags & TRI_PARTICIPANT_HELD) != 0) {
        *fault = "a reservation was forgotten";
        return TRI_VIOLATION;
    }
    tri_participant_drop(participant, *index);
    return TRI_OK;
}

enum tri_result tri_participant_replay(struct tri_participant *participant,
                                       enum tri_participant_record kind, struct tri_bytes payload,
                                       uint64_t now_ns, uint64_t wall_ms, uint32_t *entry,
                                       const char **fault)
{
    struct replay replay = {
        .reader = {.at = payload.at, .end = payload.at + payload.bytes},
        .now_ns = now_ns,
        .wall_ms = wall_ms,
    };

    assert(participant != NULL);
    assert(now_ns != TRI_NEVER);
    assert(participant->lsn == 0); /* no step was taken */
    participant->resume = 0;
    *entry = TRI_PARTICIPANT_NOBODY;
    *fault = NULL;
    switch (kind) {
    case TRI_PARTICIPANT_RECORD_MESSAGE:
        return replay_message(participant, &replay, entry, fault);
    case TRI_PARTICIPANT_RECORD_FORGOTTEN:
        return replay_forgotten(participant, &replay.reader, entry, fault);
    case TRI_PARTICIPANT_RECORD_CHECKPOINT:
        (void)get(&replay.reader, 8);
        return reader_end(&replay.reader, fault);
    default:
        *fault = "no kind of record";
        return TRI_VIOLATION;
    }
}
