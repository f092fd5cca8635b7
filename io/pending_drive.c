/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driving messages forward again while a gap is flagged (F04).
 *
 * Records go, oldest first, into a bounded list of messages; each message stays there until it is
 * used up, too old or confirmed, and then the record's bit says that it is done with.  A message
 * whose chain has had its share waits for that chain alone: it is passed over without a look at the
 * archive until the chain may get one more, so a chain that is far behind does not delay what is
 * for others (R07).
 *
 * There is no way back in here: all that is ever asked for is to drive a message forward (A08).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "io/pending_internal.h"

#define DRIVE_RECORDS_MAX 64U                 /* taken into the list in one call */
#define DRIVE_BYTES_MAX   (UINT64_C(4) << 20) /* likewise, read for that */
#define DRIVE_AGAIN_MS    UINT64_C(1000)      /* after one that could not begin */
#define MS_PER_SECOND     UINT64_C(1000)
#define LATE              "its chains may have forgotten it"
#define CHAIN_COST        UINT64_C(1000) /* of one redelivery; see struct pending_chain */

static uint64_t drive_later(uint64_t now_ms, uint64_t pause_ms)
{
    return now_ms > TRI_NEVER - 1 - pause_ms ? TRI_NEVER - 1 : now_ms + pause_ms;
}

/* Whether chains may have forgotten a message by now (P13). */
static bool drive_is_late(const struct tri_pending *pending, uint64_t issued_at_ms, uint64_t now_ms)
{
    return now_ms >= drive_later(issued_at_ms, pending->options.window_ms);
}

/* ---- chains ---- */

/* More would be a burst. */
static uint64_t chain_full(const struct tri_pending *pending)
{
    uint64_t per_ms = pending->options.redeliveries_per_s;

    return per_ms > CHAIN_COST ? per_ms : CHAIN_COST;
}

static void chain_refill(const struct tri_pending *pending, struct pending_chain *chain,
                         uint64_t now_ms)
{
    uint64_t full = chain_full(pending);
    uint64_t per_ms = pending->options.redeliveries_per_s;

    if (now_ms > chain->at_ms) {
        uint64_t passed = now_ms - chain->at_ms;

        chain->level = passed >= (full - chain->level + per_ms - 1) / per_ms
                           ? full
                           : chain->level + passed * per_ms;
    }
    chain->at_ms = now_ms;
}

/* When the chain may get one more. */
static uint64_t chain_due(const struct tri_pending *pending, const struct pending_chain *chain)
{
    uint64_t per_ms = pending->options.redeliveries_per_s;

    return chain->level >= CHAIN_COST
               ? chain->at_ms
               : drive_later(chain->at_ms, (CHAIN_COST - chain->level + per_ms - 1) / per_ms);
}

static uint32_t chain_slot(const struct tri_pending *pending, struct tri_text id)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    const struct pending_chain *chain = NULL;

    for (uint32_t i = 0; i < id.bytes; i++) {
        hash = (hash ^ (uint8_t)id.at[i]) * 16777619U;
    }
    for (;; hash++) {
        chain = &pending->chains[hash % PENDING_CHAINS_ROOM];
        if (chain->id_bytes == 0 ||
            (chain->id_bytes == id.bytes && memcmp(chain->id, id.at, id.bytes) == 0)) {
            return hash % PENDING_CHAINS_ROOM;
        }
    }
}

/* Forgets all chains.  Each may get one more a little early then, once in so many chains. */
static void chains_forget(struct tri_pending *pending)
{
    memset(pending->chains, 0, PENDING_CHAINS_ROOM * sizeof(*pending->chains));
    pending->chain_count = 0;
    for (uint32_t i = 0; i < pending->driven_count; i++) {
        pending->driven[i].blocked = PENDING_CHAIN_NONE;
    }
}

/* The chain's slot, with what it has now. */
static uint32_t chain_find(struct tri_pending *pending, struct tri_text id, uint64_t now_ms)
{
    uint32_t slot = chain_slot(pending, id);
    struct pending_chain *chain = &pending->chains[slot];

    assert(id.bytes >= 1 && id.bytes <= TRI_CHAIN_ID_BYTES_MAX);
    if (chain->id_bytes == 0) {
        *chain = (struct pending_chain){
            .id_bytes = (uint8_t)id.bytes, .level = chain_full(pending), .at_ms = now_ms};
        memcpy(chain->id, id.at, id.bytes);
        pending->chain_count++;
    }
    chain_refill(pending, chain, now_ms);
    return slot;
}

/* Takes one from each of the message's chains, or from none: *blocked is one that has none left. */
static bool chains_take(struct tri_pending *pending, const struct tri_leaf *leaf, uint64_t now_ms,
                        uint16_t *blocked)
{
    uint32_t slots[TRI_TARGETS_MAX];

    if (pending->chain_count > PENDING_CHAINS_MAX) {
        chains_forget(pending);
    }
    for (uint32_t i = 0; i < leaf->chain_count; i++) {
        slots[i] = chain_find(pending, leaf->chains[i], now_ms);
        if (pending->chains[slots[i]].level < CHAIN_COST) {
            *blocked = (uint16_t)slots[i];
            return false;
        }
    }
    for (uint32_t i = 0; i < leaf->chain_count; i++) {
        pending->chains[slots[i]].level -= CHAIN_COST;
    }
    return true;
}

static_assert(PENDING_CHAINS_MAX + TRI_TARGETS_MAX < PENDING_CHAINS_ROOM, "a slot is always free");
static_assert(PENDING_CHAINS_ROOM < PENDING_CHAIN_NONE, "none is no slot");

/* ---- into the list ---- */

/* Takes those out of the list that are done with. */
static void drive_compact(struct tri_pending *pending)
{
    uint32_t kept = 0;

    if (pending->driven_gone == 0) {
        return;
    }
    for (uint32_t i = 0; i < pending->driven_count; i++) {
        if (pending->driven[i].stream != NULL) {
            pending->driven[kept++] = pending->driven[i];
        }
    }
    assert(kept == pending->driven_count - pending->driven_gone);
    pending->driven_count = kept;
    pending->driven_gone = 0;
}

static void drive_drop(struct tri_pending *pending, struct pending_driven *driven)
{
    assert(driven->stream != NULL);
    driven->stream = NULL;
    pending->driven_gone++;
}

/* The stream whose next record is the oldest; NULL: there is none.  Returns 0 or -errno. */
static int drive_oldest(struct tri_pending *pending, struct pending_stream **oldest)
{
    *oldest = NULL;
    for (uint32_t i = pending->stream_first; i < pending->stream_count; i++) {
        struct pending_stream *stream = pending->streams[i];
        uint64_t next = tri_pending_first(pending, stream, stream->drive_from, true);

        stream->drive_from = next != 0 ? next : stream->written + 1;
        if (next == 0) {
            continue;
        }
        if (next != stream->drive_of) {
            struct tri_archive_record record;
            int failed = tri_pending_peek(pending, stream, next, PENDING_WALKER_DRIVE, &record);

            if (failed != 0) {
                return failed;
            }
            stream->drive_of = next;
            stream->drive_ms = record.header.issued_at_ms;
        }
        if (*oldest == NULL || stream->drive_ms < (*oldest)->drive_ms) {
            *oldest = stream;
        }
    }
    return 0;
}

/* Whether the message was handed over. */
static bool drive_is_handed(const struct tri_pending *pending, const struct pending_stream *stream,
                            uint64_t oss_epoch, struct tri_text id)
{
    return tri_pending_where(pending, stream->epoch, stream->shard, oss_epoch, id).place ==
           TRI_PENDING_PLACE_RECONCILIATION;
}

static void drive_alarm(struct tri_pending *pending, const struct pending_stream *stream,
                        uint64_t oss_epoch, struct tri_text id, const char *reason)
{
    const struct tri_pending_alarm alarm = {.epoch = stream->epoch,
                                            .shard = stream->shard,
                                            .oss_epoch = oss_epoch,
                                            .id = id,
                                            .reason = reason};

    pending->alarms++;
    if (pending->alarm != NULL) {
        pending->alarm(pending->alarm_context, &alarm);
    }
}

/* Ends a message of the list that became too old in it. */
static void drive_expire(struct tri_pending *pending, struct pending_driven *driven)
{
    struct tri_archive_entry entry;
    struct tri_leaf leaf = {.id = {.at = "", .bytes = 0}};
    const char *fault = NULL;

    if (tri_pending_entry(pending, driven, &entry) == 0 &&
        !tri_leaf_get(entry.leaf, &leaf, &fault)) {
        leaf.id = (struct tri_text){.at = "", .bytes = 0};
    }
    drive_alarm(pending, driven->stream, driven->oss_epoch, leaf.id, LATE);
    drive_drop(pending, driven);
}

void tri_pending_watch(struct tri_pending *pending,
                       void (*alarm)(void *context, const struct tri_pending_alarm *alarm),
                       void *context)
{
    pending->alarm = alarm;
    pending->alarm_context = context;
}

/* Takes a record's messages into the list; there is room. */
static int drive_add(struct tri_pending *pending, struct pending_stream *stream, uint64_t oss_epoch,
                     uint64_t now_ms)
{
    struct tri_archive_record record;
    struct tri_archive_entry entry;
    struct tri_bytes rest;
    const struct pending_mark *mark = &stream->marks[PENDING_WALKER_DRIVE];
    const char *fault = NULL;
    int failed = tri_pending_read(pending, stream, oss_epoch, PENDING_WALKER_DRIVE, &record);

    if (failed != 0) {
        return failed;
    }
    if (!tri_archive_record_check(&record, &fault)) { /* nothing false may be sent */
        return tri_pending_say(pending, stream, mark->first, mark->offset, -EBADMSG, fault);
    }
    rest = record.entries;
    for (uint16_t index = 0; rest.bytes > 0; index++) {
        const uint8_t *at = rest.at;
        struct tri_leaf leaf;
        bool is_right =
            tri_archive_entry_next(&rest, &entry) && tri_leaf_get(entry.leaf, &leaf, &fault);

        assert(is_right); /* the record has been checked */
        if (drive_is_handed(pending, stream, oss_epoch, leaf.id)) {
            continue;
        }
        if (entry.content.bytes == 0 || drive_is_late(pending, leaf.issued_at_ms, now_ms)) {
            drive_alarm(pending, stream, oss_epoch, leaf.id,
                        entry.content.bytes == 0 ? "its content was not kept" : LATE);
            continue;
        }
        assert(pending->driven_count < PENDING_DRIVEN_MAX);
        pending->driven[pending->driven_count++] = (struct pending_driven){
            .stream = stream,
            .oss_epoch = oss_epoch,
            .first = mark->first,
            .offset = mark->offset + (uint64_t)(at - pending->buffer),
            .issued_at_ms = leaf.issued_at_ms,
            .bytes = (uint32_t)(rest.at - at),
            .index = index,
            .blocked = PENDING_CHAIN_NONE,
        };
    }
    return 0;
}

/* Takes some records into the list; *is_more: there are others.  Returns 0 or -errno. */
static int drive_fill(struct tri_pending *pending, uint64_t now_ms, bool *is_more)
{
    uint64_t bytes = 0;

    *is_more = false;
    drive_compact(pending);
    for (uint32_t records = 0;; records++) {
        struct pending_stream *stream = NULL;
        struct pending_word *word = NULL;
        int failed = 0;
        uint64_t bit = 0;
        uint64_t next = 0;

        if (pending->driven_count + TRI_FINALITY_MESSAGES_MAX > PENDING_DRIVEN_MAX) {
            return 0;
        }
        failed = drive_oldest(pending, &stream);
        if (failed != 0 || stream == NULL) {
            return failed;
        }
        if (records == DRIVE_RECORDS_MAX || bytes >= DRIVE_BYTES_MAX) {
            *is_more = true;
            return 0;
        }
        next = stream->drive_from;
        if (!tri_pending_grow(stream, next)) {
            return tri_pending_memory(pending);
        }
        failed = drive_add(pending, stream, next, now_ms);
        if (failed != 0) {
            return failed;
        }
        bytes += stream->marks[PENDING_WALKER_DRIVE].bytes;
        word = tri_pending_word(stream, next, &bit);
        word->driven |= bit;
        stream->drive_from = next + 1;
    }
}

/* ---- out of the list ---- */

/* Whether the message may go now, as far as can be told without reading it; *again_ms is taken down
 * to when it may. */
static bool drive_is_due(struct tri_pending *pending, struct pending_driven *driven,
                         uint64_t now_ms, uint64_t *again_ms)
{
    uint64_t due_ms = driven->due_ms;

    if (driven->stream == NULL || driven->is_under_way) {
        return false;
    }
    if (tri_pending_is_final(driven->stream, driven->oss_epoch)) {
        drive_drop(pending, driven);
        return false;
    }
    if (drive_is_late(pending, driven->issued_at_ms, now_ms)) {
        drive_expire(pending, driven);
        return false;
    }
    if (tri_pending_is_held(pending, driven->stream, driven->oss_epoch)) {
        return false;
    }
    if (driven->blocked != PENDING_CHAIN_NONE) {
        struct pending_chain *chain = &pending->chains[driven->blocked];

        chain_refill(pending, chain, now_ms);
        due_ms = chain_due(pending, chain);
    }
    if (due_ms > now_ms) {
        *again_ms = due_ms < *again_ms ? due_ms : *again_ms;
        return false;
    }
    return true;
}

/* Gives the message out, if its chains may get it.  Returns 1, 0 or -errno. */
static int drive_try(struct tri_pending *pending, struct pending_driven *driven, uint64_t now_ms,
                     struct tri_pending_redelivery *what)
{
    struct tri_archive_entry entry;
    struct tri_leaf leaf;
    const char *fault = "its content is missing";
    int failed = tri_pending_entry(pending, driven, &entry);
    bool is_right = failed == 0 && tri_leaf_get(entry.leaf, &leaf, &fault);

    if (failed != 0) {
        return failed;
    }
    if (is_right && entry.content.bytes > 0) {
        struct tri_hash hash = tri_digest_content(entry.content);

        fault = "its content has not the leaf's contentHash";
        is_right = memcmp(hash.at, leaf.hash.at, sizeof(hash.at)) == 0;
    }
    if (!is_right || entry.content.bytes == 0) {
        return tri_pending_say(pending, driven->stream, driven->first, driven->offset, -EBADMSG,
                               fault);
    }
    if (!chains_take(pending, &leaf, now_ms, &driven->blocked)) {
        return 0;
    }
    driven->blocked = PENDING_CHAIN_NONE;
    driven->is_under_way = true;
    pending->redeliveries++;
    *what = (struct tri_pending_redelivery){.epoch = driven->stream->epoch,
                                            .shard = driven->stream->shard,
                                            .oss_epoch = driven->oss_epoch,
                                            .index = driven->index,
                                            .leaf = entry.leaf,
                                            .content = entry.content};
    return 1;
}

int tri_pending_next(struct tri_pending *pending, uint64_t now_ms,
                     struct tri_pending_redelivery *what, uint64_t *again_ms)
{
    uint64_t oldest_ms = 0;
    bool is_more = false;
    int result = 0;

    assert(what != NULL && again_ms != NULL);
    *again_ms = TRI_NEVER;
    if (!pending->options.is_on || pending->options.is_read_only) {
        return 0;
    }
    result = tri_pending_oldest(pending, &oldest_ms);
    if (result != 0 || !tri_pending_is_gap(pending, oldest_ms, now_ms, again_ms)) {
        return result;
    }
    *again_ms = TRI_NEVER;
    result = drive_fill(pending, now_ms, &is_more);
    for (uint32_t i = 0; i < pending->driven_count && result == 0; i++) {
        struct pending_driven *driven = &pending->driven[i];

        if (drive_is_due(pending, driven, now_ms, again_ms)) {
            result = drive_try(pending, driven, now_ms, what);
            if (result == 0) { /* a chain has had its share */
                uint64_t due_ms = chain_due(pending, &pending->chains[driven->blocked]);

                *again_ms = due_ms < *again_ms ? due_ms : *again_ms;
            }
        }
    }
    if (result == 0 && (is_more || pending->driven_gone > 0)) {
        *again_ms = now_ms; /* there may be room in the list now */
    }
    return result;
}

/* ---- what became of it ---- */

static struct pending_driven *drive_find(struct tri_pending *pending,
                                         const struct tri_pending_redelivery *what)
{
    for (uint32_t i = 0; i < pending->driven_count; i++) {
        struct pending_driven *driven = &pending->driven[i];

        if (driven->stream != NULL && driven->is_under_way && driven->index == what->index &&
            driven->oss_epoch == what->oss_epoch && driven->stream->epoch == what->epoch &&
            driven->stream->shard == what->shard) {
            return driven;
        }
    }
    return NULL;
}

/* Hands a message over to reconciliation. */
static int drive_hand(struct tri_pending *pending, struct pending_driven *driven,
                      struct tri_text chain, enum tri_error code, uint64_t now_ms)
{
    struct tri_secondary_fact fact = {
        .kind = TRI_SECONDARY_HANDED,
        .epoch = driven->stream->epoch,
        .shard = driven->stream->shard,
        .oss_epoch = driven->oss_epoch,
        .code = code,
        .at_ms = now_ms,
    };
    struct tri_archive_entry entry;
    struct tri_leaf leaf;
    struct tri_hash hash;
    const char *fault = NULL;
    struct pending_note *note = NULL;
    int failed = tri_pending_entry(pending, driven, &entry);

    if (failed == 0 && !tri_leaf_get(entry.leaf, &leaf, &fault)) {
        failed = tri_pending_say(pending, driven->stream, driven->first, driven->offset, -EBADMSG,
                                 fault);
    }
    if (failed != 0) {
        return failed;
    }
    note =
        tri_pending_notes_make(&pending->notes, tri_pending_key(driven->stream), driven->oss_epoch);
    if (note == NULL || !tri_pending_note_grow(note)) {
        return tri_pending_memory(pending);
    }
    fact.id = leaf.id;
    fact.chain = chain.bytes > 0 ? chain : leaf.chains[0];
    failed = tri_pending_note(pending, &fact);
    if (failed == 0) {
        hash = tri_pending_id_hash(leaf.id);
        tri_pending_note_hand(note, &hash);
        pending->handed++;
    }
    return failed;
}

int tri_pending_redelivered(struct tri_pending *pending, const struct tri_pending_redelivery *what,
                            enum tri_redelivered result, struct tri_text chain, enum tri_error code,
                            uint64_t now_ms, enum tri_pending_outcome *outcome)
{
    struct pending_driven *driven = NULL;
    uint64_t pause_ms = pending->options.redelivery_pause_s * MS_PER_SECOND;
    int failed = 0;

    *outcome = TRI_PENDING_KEPT;
    driven = pending->options.is_on ? drive_find(pending, what) : NULL;
    if (driven == NULL) {
        return 0;
    }
    driven->is_under_way = false;
    if (tri_pending_is_final(driven->stream, driven->oss_epoch)) {
        drive_drop(pending, driven);
        return 0;
    }
    if (result == TRI_REDELIVERED_NOT_SENT) {
        driven->due_ms = drive_later(now_ms, DRIVE_AGAIN_MS);
        return 0;
    }
    driven->count++;
    pending->failures += result == TRI_REDELIVERED_FAILED ? 1 : 0;
    if (driven->count < pending->options.redeliveries_max) {
        driven->due_ms = drive_later(now_ms, pause_ms << (driven->count - 1U));
        return 0;
    }
    if (result == TRI_REDELIVERED_FAILED) {
        assert(chain.bytes <= TRI_CHAIN_ID_BYTES_MAX);
        failed = drive_hand(pending, driven, chain, code, now_ms);
        *outcome = failed == 0 ? TRI_PENDING_HANDED : TRI_PENDING_KEPT;
    } else {
        pending->alarms++;
        *outcome = TRI_PENDING_ALARMED;
    }
    drive_drop(pending, driven);
    return failed;
}
