/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hold (F06): while the sequencer is down, records with an entry that was forced wait.
 *
 * Of the records that this process has made it is known which those are.  Former ones have to be
 * read, and there may be millions: so they are looked at a few at a time, and what nobody has
 * looked at yet is held.  Holding one too long delays it; one too few would break the promise.
 */
#include <assert.h>

#include "io/pending_internal.h"

#define LEARN_RECORDS_MAX 512U                /* read in one call */
#define LEARN_BYTES_MAX   (UINT64_C(1) << 20) /* likewise */
#define LEARN_PASSED_MAX  65536U              /* passed in one call, because they are final */

/* Where the records begin that nobody has looked at. */
static uint64_t hold_unknown(const struct pending_stream *stream)
{
    return (stream->learned > stream->cursor ? stream->learned : stream->cursor) + 1;
}

/* Pending records of the stream that are known to have an entry that was forced. */
static uint64_t hold_forced(const struct pending_stream *stream)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < stream->word_count; i++) {
        uint64_t from =
            stream->base + (uint64_t)i * PENDING_WORD_BITS; /* records up to it lie before */
        uint64_t bits = stream->words[i].forced & ~stream->words[i].final;

        if (stream->cursor >= from + PENDING_WORD_BITS) {
            bits = 0;
        } else if (stream->cursor > from) {
            bits &= UINT64_MAX << (stream->cursor - from);
        }
        count += (uint64_t)__builtin_popcountll(bits);
    }
    return count;
}

void tri_pending_hold(struct tri_pending *pending)
{
    pending->held = 0;
    for (uint32_t i = pending->stream_first; i < pending->stream_count && !pending->is_up; i++) {
        const struct pending_stream *stream = pending->streams[i];
        uint64_t from = hold_unknown(stream);

        pending->held += hold_forced(stream);
        if (from <= stream->opened) {
            pending->held += stream->opened - from + 1;
            pending->held -= tri_pending_final_count(stream, from, stream->opened);
        }
    }
}

/* Whether a record has an entry that was forced. */
static int hold_read(struct tri_pending *pending, struct pending_stream *stream, uint64_t oss_epoch,
                     bool *is_forced)
{
    struct tri_archive_record record;
    struct tri_archive_entry entry;
    int failed = tri_pending_read(pending, stream, oss_epoch, PENDING_WALKER_SETTLE, &record);

    *is_forced = false;
    while (failed == 0 && !*is_forced && tri_archive_entry_next(&record.entries, &entry)) {
        *is_forced = tri_leaf_is_forced(entry.leaf);
    }
    return failed;
}

/* Looks at one pending record. */
static int hold_learn(struct tri_pending *pending, struct pending_stream *stream,
                      uint64_t oss_epoch)
{
    bool is_forced = false;
    int failed = hold_read(pending, stream, oss_epoch, &is_forced);

    if (failed != 0) {
        return failed;
    }
    if (is_forced) {
        return tri_pending_note_forced(stream, oss_epoch) ? 0 : tri_pending_memory(pending);
    }
    assert(pending->held > 0);
    pending->held--;
    if (oss_epoch < stream->drive_from) {
        stream->drive_from = oss_epoch; /* it was passed by as held */
    }
    return 0;
}

int tri_pending_learn(struct tri_pending *pending, bool *is_more)
{
    uint64_t bytes = 0;
    uint32_t records = 0;
    uint32_t passed = 0;

    *is_more = false;
    if (!pending->options.is_on || pending->is_up) {
        return 0;
    }
    for (uint32_t i = pending->stream_first; i < pending->stream_count; i++) {
        struct pending_stream *stream = pending->streams[i];

        for (uint64_t next = hold_unknown(stream); next <= stream->opened; next++) {
            if (records == LEARN_RECORDS_MAX || bytes >= LEARN_BYTES_MAX ||
                passed == LEARN_PASSED_MAX) {
                *is_more = true;
                return 0;
            }
            if (tri_pending_is_final(stream, next)) {
                passed++;
            } else {
                int failed = hold_learn(pending, stream, next);

                if (failed != 0) {
                    return failed;
                }
                records++;
                bytes += stream->marks[PENDING_WALKER_SETTLE].bytes;
            }
            stream->learned = next;
        }
    }
    return 0;
}

int tri_pending_sequencer(struct tri_pending *pending, bool is_up, struct tri_text name,
                          uint64_t now_ms, bool *is_new)
{
    struct tri_secondary_fact fact = {
        .kind = TRI_SECONDARY_SEQUENCER, .is_up = is_up, .name = name, .at_ms = now_ms};
    int failed = 0;

    *is_new = pending->options.is_on && is_up != pending->is_up;
    if (!*is_new) {
        return 0;
    }
    assert(!pending->options.is_read_only);
    failed = tri_pending_note(pending, &fact);
    if (failed != 0) {
        return failed;
    }
    pending->is_up = is_up;
    tri_pending_hold(pending);
    for (uint32_t i = 0; i < pending->stream_count; i++) {
        struct pending_stream *stream = pending->streams[i];

        stream->drive_from = stream->cursor + 1; /* what was held is passed by no more */
    }
    return 0;
}
