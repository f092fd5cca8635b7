/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fact is noted before the state changes, and the caller makes it durable before it tells
 * anybody; so what was told is always in the file, and what the file says is what the next start
 * sees.
 */
#include "io/pending.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/pending_internal.h"

#define MS_PER_SECOND UINT64_C(1000)

/* ---- the archive's side ---- */

int tri_pending_memory(struct tri_pending *pending)
{
    (void)strcpy(pending->trouble, "no memory for the pending sync queue");
    return -ENOMEM;
}

int tri_pending_recorded(struct tri_pending *pending, uint32_t epoch, uint32_t shard,
                         uint64_t oss_epoch, const struct tri_archive_entry *entries,
                         uint32_t count)
{
    struct pending_stream *stream = NULL;
    uint32_t place = 0;
    bool is_forced = false;

    if (!pending->options.is_on) {
        return 0;
    }
    assert(!pending->options.is_read_only);
    assert(oss_epoch >= 1 && count >= 1 && count <= TRI_FINALITY_MESSAGES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        is_forced = is_forced || tri_leaf_is_forced(entries[i].leaf);
    }
    stream = tri_pending_stream(pending, epoch, shard);
    if (stream == NULL) {
        return tri_pending_memory(pending);
    }
    if (oss_epoch <= stream->last) {
        return 0;
    }
    assert(oss_epoch == stream->last + 1);
    if (is_forced && !tri_pending_note_forced(stream, oss_epoch)) {
        return tri_pending_memory(pending);
    }
    if (is_forced) {
        pending->held += pending->is_up ? 0 : 1;
    }
    stream->last = oss_epoch;
    pending->records++;
    pending->messages += count;
    place = tri_pending_place(pending, epoch, shard);
    pending->stream_first = place < pending->stream_first ? place : pending->stream_first;
    return 0;
}

int tri_pending_placed(struct tri_pending *pending, uint32_t epoch, uint32_t shard,
                       uint64_t oss_epoch, uint64_t first, uint64_t end)
{
    struct pending_stream *stream =
        pending->options.is_on ? tri_pending_find(pending, epoch, shard) : NULL;

    if (stream == NULL || oss_epoch != stream->last || first == 0) {
        return 0;
    }
    assert(first <= oss_epoch);
    return tri_pending_index(stream, first, oss_epoch + 1, end) ? 0 : tri_pending_memory(pending);
}

void tri_pending_written(struct tri_pending *pending)
{
    if (!pending->options.is_on) {
        return;
    }
    for (uint32_t i = pending->stream_first; i < pending->stream_count; i++) {
        pending->streams[i]->written = pending->streams[i]->last;
    }
}

int tri_pending_note(struct tri_pending *pending, const struct tri_secondary_fact *fact)
{
    return tri_secondary_append(pending->secondary, fact, pending->trouble);
}

int tri_pending_sync(struct tri_pending *pending)
{
    return pending->options.is_on && !pending->options.is_read_only
               ? tri_secondary_sync(pending->secondary, pending->trouble)
               : 0;
}

const char *tri_pending_trouble(const struct tri_pending *pending)
{
    return pending->trouble;
}

/* ---- the settlement's side ---- */

int tri_pending_list(struct tri_pending *pending, uint32_t epoch, uint32_t shard,
                     uint64_t oss_epoch, struct tri_pending_item *items, uint32_t items_max,
                     uint8_t *buffer, uint32_t buffer_bytes, uint32_t *count)
{
    uint32_t place = 0;
    uint32_t used = 0;

    *count = 0;
    items_max = items_max < TRI_PENDING_LIST_MAX ? items_max : TRI_PENDING_LIST_MAX;
    if (!pending->options.is_on) {
        return 0;
    }
    place = tri_pending_place(pending, epoch, shard);
    place = place > pending->stream_first ? place : pending->stream_first;
    for (; place < pending->stream_count; place++) {
        struct pending_stream *stream = pending->streams[place];
        bool is_begun = stream->epoch == epoch && stream->shard == shard;
        uint64_t next = is_begun ? oss_epoch : 0;

        while (next < stream->written &&
               (next = tri_pending_first(pending, stream, next + 1, false)) != 0) {
            struct tri_archive_record record;
            struct tri_pending_item *item = &items[*count];
            int failed = 0;

            if (*count == items_max) {
                return 0;
            }
            failed = tri_pending_peek(pending, stream, next, PENDING_WALKER_LIST, &record);
            if (failed != 0) {
                return failed;
            }
            if (record.header_bytes.bytes + TRI_FINALITY_SIGNATURE_BYTES > buffer_bytes - used) {
                return 0;
            }
            memcpy(buffer + used, record.header_bytes.at, record.header_bytes.bytes);
            *item = (struct tri_pending_item){.epoch = stream->epoch,
                                              .shard = stream->shard,
                                              .oss_epoch = next,
                                              .header = {buffer + used, record.header_bytes.bytes}};
            used += record.header_bytes.bytes;
            memcpy(buffer + used, record.signature, TRI_FINALITY_SIGNATURE_BYTES);
            item->signature = buffer + used;
            used += TRI_FINALITY_SIGNATURE_BYTES;
            (*count)++;
        }
    }
    return 0;
}

/* Notes the report; the state changes only if that worked. */
static int settle_note(struct tri_pending *pending, const struct tri_pending_report *report,
                       bool is_equal, uint64_t now_ms)
{
    struct tri_secondary_fact fact = {
        .kind = TRI_SECONDARY_SETTLED,
        .epoch = report->epoch,
        .shard = report->shard,
        .oss_epoch = report->oss_epoch,
        .is_equal = is_equal,
        .settled_at_ms = report->settled_at_ms,
        .reference = report->reference,
        .name = report->reporter,
        .at_ms = now_ms,
    };

    memcpy(fact.root, report->root, sizeof(fact.root));
    return tri_pending_note(pending, &fact);
}

/* The root is the record's. */
static int settle_equal(struct tri_pending *pending, struct pending_stream *stream,
                        const struct tri_pending_report *report, uint32_t message_count,
                        uint64_t now_ms, bool *is_new)
{
    struct pending_note *note =
        tri_pending_notes_find(&pending->notes, tri_pending_key(stream), report->oss_epoch);
    bool is_final = tri_pending_is_final(stream, report->oss_epoch);
    int failed = 0;

    *is_new = !is_final || (note != NULL && note->is_contested);
    if (!*is_new) {
        return 0;
    }
    if (!is_final && !tri_pending_grow(stream, report->oss_epoch)) {
        return tri_pending_memory(pending);
    }
    failed = settle_note(pending, report, true, now_ms);
    if (failed != 0) {
        return failed;
    }
    if (!is_final) {
        assert(pending->messages >= message_count);
        pending->messages -= message_count;
        tri_pending_finish(pending, stream, report->oss_epoch);
    }
    tri_pending_notes_settled(pending, note);
    return 0;
}

/* The root is another one: the primary wins (F03). */
static int settle_different(struct tri_pending *pending, const struct pending_stream *stream,
                            const struct tri_pending_report *report, uint64_t now_ms, bool *is_new)
{
    struct pending_note *note =
        tri_pending_notes_make(&pending->notes, tri_pending_key(stream), report->oss_epoch);
    int failed = 0;

    if (note == NULL) {
        return tri_pending_memory(pending);
    }
    *is_new = !note->is_contested;
    if (*is_new) {
        failed = settle_note(pending, report, false, now_ms);
        pending->contested += failed == 0 ? 1 : 0;
        note->is_contested = failed == 0;
        tri_pending_notes_tidy(&pending->notes, note);
    }
    pending->differences += failed == 0 ? 1 : 0;
    return failed;
}

int tri_pending_settle(struct tri_pending *pending, const struct tri_pending_report *report,
                       uint64_t now_ms, enum tri_pending_verdict *verdict, bool *is_new)
{
    struct pending_stream *stream = NULL;
    struct tri_archive_record record;
    int failed = 0;

    *is_new = false;
    *verdict = TRI_PENDING_OFF;
    if (!pending->options.is_on) {
        return 0;
    }
    assert(!pending->options.is_read_only);
    stream = tri_pending_find(pending, report->epoch, report->shard);
    *verdict = TRI_PENDING_UNKNOWN;
    if (stream == NULL || report->oss_epoch == 0 || report->oss_epoch > stream->written) {
        return 0;
    }
    if (tri_pending_is_held(pending, stream, report->oss_epoch)) {
        *verdict = TRI_PENDING_HELD;
        return 0;
    }
    failed = tri_pending_peek(pending, stream, report->oss_epoch, PENDING_WALKER_SETTLE, &record);
    if (failed != 0) {
        return failed;
    }
    if (memcmp(record.header.root, report->root, TRI_DIGEST_BYTES) == 0) {
        *verdict = TRI_PENDING_FINAL;
        return settle_equal(pending, stream, report, record.header.message_count, now_ms, is_new);
    }
    *verdict = TRI_PENDING_DIFFERENT;
    return settle_different(pending, stream, report, now_ms, is_new);
}

void tri_pending_heartbeat(struct tri_pending *pending, uint64_t lag_s)
{
    pending->lag_s = lag_s;
}

/* ---- looking ---- */

int tri_pending_oldest(struct tri_pending *pending, uint64_t *oldest_ms)
{
    *oldest_ms = 0;
    for (uint32_t i = pending->stream_first; i < pending->stream_count; i++) {
        struct pending_stream *stream = pending->streams[i];
        uint64_t first = tri_pending_first(pending, stream, 1, false);

        if (first == 0) {
            continue;
        }
        if (first != stream->oldest_of) {
            struct tri_archive_record record;
            int failed = tri_pending_peek(pending, stream, first, PENDING_WALKER_OLDEST, &record);

            if (failed != 0) {
                return failed;
            }
            stream->oldest_of = first;
            stream->oldest_ms = record.header.issued_at_ms;
        }
        if (*oldest_ms == 0 || stream->oldest_ms < *oldest_ms) {
            *oldest_ms = stream->oldest_ms;
        }
    }
    return 0;
}

bool tri_pending_is_gap(const struct tri_pending *pending, uint64_t oldest_ms, uint64_t now_ms,
                        uint64_t *again_ms)
{
    uint64_t gap_ms = pending->options.gap_s * MS_PER_SECOND;

    *again_ms = TRI_NEVER;
    if (pending->lag_s > pending->options.gap_s) {
        return true;
    }
    if (oldest_ms == 0) {
        return false;
    }
    *again_ms = oldest_ms > TRI_NEVER - 1 - gap_ms ? TRI_NEVER : oldest_ms + gap_ms + 1;
    return now_ms >= *again_ms;
}

int tri_pending_look(struct tri_pending *pending, uint64_t now_ms, struct tri_pending_view *view)
{
    uint64_t again_ms = 0;
    uint64_t oldest_ms = 0;
    int failed = 0;

    *view = (struct tri_pending_view){.is_on = pending->options.is_on, .is_sequencer_up = true};
    if (!pending->options.is_on) {
        return 0;
    }
    failed = tri_pending_oldest(pending, &oldest_ms);
    *view = (struct tri_pending_view){
        .is_on = true,
        .is_sequencer_up = pending->is_up,
        .is_gap = tri_pending_is_gap(pending, oldest_ms, now_ms, &again_ms),
        .records = pending->records,
        .messages = pending->messages - pending->handed,
        .held_records = pending->held,
        .records_before = pending->before,
        .handed_messages = pending->handed,
        .oldest_ms = oldest_ms,
        .lag_s = pending->lag_s,
        .settled = pending->settled,
        .differences = pending->differences,
        .contested_records = pending->contested,
        .redeliveries = pending->redeliveries,
        .failures = pending->failures,
        .alarms = pending->alarms,
        .driven_messages = pending->driven_count - pending->driven_gone,
    };
    return failed;
}

struct tri_pending_where tri_pending_where(const struct tri_pending *pending, uint32_t epoch,
                                           uint32_t shard, uint64_t oss_epoch, struct tri_text id)
{
    struct tri_pending_where where = {.place = TRI_PENDING_PLACE_OFF};
    const struct pending_stream *stream = NULL;
    const struct pending_note *note = NULL;

    if (!pending->options.is_on) {
        return where;
    }
    stream = tri_pending_find(pending, epoch, shard);
    where.place = TRI_PENDING_PLACE_UNKNOWN;
    if (stream == NULL || oss_epoch == 0 || oss_epoch > stream->last) {
        return where;
    }
    note = tri_pending_notes_find(&pending->notes, tri_pending_key(stream), oss_epoch);
    where.place = TRI_PENDING_PLACE_PENDING;
    where.is_held = tri_pending_is_held(pending, stream, oss_epoch);
    where.is_contested = note != NULL && note->is_contested;
    if (tri_pending_is_final(stream, oss_epoch)) {
        where.place = TRI_PENDING_PLACE_SECONDARY_FINAL;
    } else if (id.bytes > 0 && note != NULL) {
        struct tri_hash hash = tri_pending_id_hash(id);

        if (tri_pending_note_has(note, &hash)) {
            where.place = TRI_PENDING_PLACE_RECONCILIATION;
        }
    }
    return where;
}
