/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guards of a chain's side: a frame and an entry make an event.
 *
 * P12 gives the order: content hash (compared before these functions are
 * called), tombstone, stored answer, applied mark, token and expiry.  The
 * tombstone is a number, so "of that or an earlier attempt" is one comparison.
 */
#include "engine/participant.h"

#include <assert.h>
#include <string.h>

/* One hex digit per byte, the most significant first. */
static void put_hex(uint8_t *to, uint32_t value)
{
    uint64_t x = value;
    uint64_t letters;

    x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
    x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x << 4 | x) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    letters = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    x += UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10);
    to[0] = (uint8_t)(x >> 56); /* written out: compilers make one store of it */
    to[1] = (uint8_t)(x >> 48);
    to[2] = (uint8_t)(x >> 40);
    to[3] = (uint8_t)(x >> 32);
    to[4] = (uint8_t)(x >> 24);
    to[5] = (uint8_t)(x >> 16);
    to[6] = (uint8_t)(x >> 8);
    to[7] = (uint8_t)x;
}

void tri_participant_token_put(uint8_t to[TRI_PARTICIPANT_TOKEN_BYTES], uint32_t instance,
                               uint64_t serial)
{
    assert(instance != 0);
    assert(serial != 0);
    to[0] = 0x91; /* an array of one */
    to[1] = 0xb9; /* a str of 25 bytes */
    put_hex(to + 2, instance);
    to[10] = '-';
    put_hex(to + 11, (uint32_t)(serial >> 32));
    put_hex(to + 19, (uint32_t)serial);
}

static bool token_matches(const struct tri_participant_entry *entry, struct tri_bytes tokens)
{
    uint8_t expected[TRI_PARTICIPANT_TOKEN_BYTES];

    if (tokens.bytes != sizeof(expected)) {
        return false;
    }
    tri_participant_token_put(expected, entry->token_instance, entry->token);
    return memcmp(expected, tokens.at, sizeof(expected)) == 0;
}

static enum tri_participant_row classify_prepare(const struct tri_participant_entry *entry,
                                                 const struct tri_participant_frame *frame)
{
    if (frame->attempt <= entry->tombstone) {
        return TRI_PARTICIPANT_ROW_PHASE_ENDED;
    }
    if (frame->attempt <= entry->attempt) {
        return TRI_PARTICIPANT_ROW_PREPARE_AGAIN;
    }
    return frame->is_stale ? TRI_PARTICIPANT_ROW_PREPARE_STALE : TRI_PARTICIPANT_ROW_PREPARE_NEW;
}

/* A COMMIT of the entry's own attempt or of one whose number was taken over. */
static enum tri_participant_row classify_commit_known(const struct tri_participant_entry *entry,
                                                      const struct tri_participant_frame *frame,
                                                      uint64_t now_ns)
{
    switch ((enum tri_participant_state)entry->state) {
    case TRI_PARTICIPANT_APPLYING:
    case TRI_PARTICIPANT_APPLIED:
    case TRI_PARTICIPANT_UNDOING:
        return TRI_PARTICIPANT_ROW_COMMIT_AGAIN;
    case TRI_PARTICIPANT_RESERVED:
        /* L05: time decides, not whether the timer has been served yet. */
        return now_ns < entry->ttl_ns && token_matches(entry, frame->tokens)
                   ? TRI_PARTICIPANT_ROW_COMMIT_VALID
                   : TRI_PARTICIPANT_ROW_COMMIT_EXPIRED;
    case TRI_PARTICIPANT_NONE:
        if (entry->commit_code != TRI_ERROR_NONE) {
            return TRI_PARTICIPANT_ROW_COMMIT_AGAIN;
        }
        return entry->prepare_code == TRI_ERROR_NONE ? TRI_PARTICIPANT_ROW_COMMIT_EXPIRED
                                                     : TRI_PARTICIPANT_ROW_COMMIT_NEW;
    default:
        return TRI_PARTICIPANT_ROW_COMMIT_NEW; /* RESERVING: its token is not known to anybody */
    }
}

static enum tri_participant_row classify_commit(const struct tri_participant_entry *entry,
                                                const struct tri_participant_frame *frame,
                                                uint64_t now_ns)
{
    if (frame->attempt <= entry->tombstone) {
        return TRI_PARTICIPANT_ROW_PHASE_ENDED;
    }
    if (frame->attempt <= entry->attempt) {
        return classify_commit_known(entry, frame, now_ns);
    }
    if (!frame->is_alone) {
        return TRI_PARTICIPANT_ROW_COMMIT_NEW;
    }
    return frame->is_stale ? TRI_PARTICIPANT_ROW_COMMIT_STALE : TRI_PARTICIPANT_ROW_COMMIT_ALONE;
}

static enum tri_participant_row classify_finalize(const struct tri_participant_entry *entry,
                                                  const struct tri_participant_frame *frame)
{
    if (frame->attempt <= entry->tombstone) {
        return TRI_PARTICIPANT_ROW_FINALIZE_ENDED;
    }
    return (entry->flags & TRI_PARTICIPANT_CLOSED) != 0 ? TRI_PARTICIPANT_ROW_FINALIZE_AGAIN
                                                        : TRI_PARTICIPANT_ROW_FINALIZE;
}

static enum tri_participant_row classify_abort(const struct tri_participant_entry *entry,
                                               const struct tri_participant_rare *rare,
                                               const struct tri_participant_frame *frame)
{
    if (rare != NULL && frame->attempt == rare->abort_refused && frame->attempt != 0) {
        return TRI_PARTICIPANT_ROW_ABORT_AGAIN;
    }
    return frame->attempt <= entry->tombstone ? TRI_PARTICIPANT_ROW_ABORT_OLD
                                              : TRI_PARTICIPANT_ROW_ABORT_NEW;
}

static enum tri_participant_row classify_rollback(const struct tri_participant_entry *entry,
                                                  const struct tri_participant_rare *rare,
                                                  const struct tri_participant_frame *frame)
{
    if (frame->attempt <= entry->tombstone) {
        return TRI_PARTICIPANT_ROW_ROLLBACK_OLD;
    }
    if (rare != NULL && frame->attempt == rare->rollback_attempt) {
        return TRI_PARTICIPANT_ROW_ROLLBACK_AGAIN;
    }
    if (rare != NULL && frame->attempt < rare->rollback_attempt && rare->rollback_low != 0 &&
        frame->attempt >= rare->rollback_low) {
        return TRI_PARTICIPANT_ROW_ROLLBACK_BELOW;
    }
    if (frame->attempt < entry->attempt) {
        return TRI_PARTICIPANT_ROW_ROLLBACK_LOW;
    }
    return (entry->flags & TRI_PARTICIPANT_CLOSED) != 0 ? TRI_PARTICIPANT_ROW_ROLLBACK_FINAL
                                                        : TRI_PARTICIPANT_ROW_ROLLBACK_NEW;
}

enum tri_participant_row tri_participant_classify(const struct tri_participant_entry *entry,
                                                  const struct tri_participant_rare *rare,
                                                  const struct tri_participant_frame *frame,
                                                  uint64_t now_ns)
{
    assert(entry->state < TRI_PARTICIPANT_STATE_COUNT);
    switch (frame->kind) {
    case TRI_PARTICIPANT_PREPARE:
        return classify_prepare(entry, frame);
    case TRI_PARTICIPANT_COMMIT:
        return classify_commit(entry, frame, now_ns);
    case TRI_PARTICIPANT_FINALIZE:
        return classify_finalize(entry, frame);
    case TRI_PARTICIPANT_ABORT:
        return classify_abort(entry, rare, frame);
    default:
        assert(frame->kind == TRI_PARTICIPANT_ROLLBACK);
        return classify_rollback(entry, rare, frame);
    }
}
