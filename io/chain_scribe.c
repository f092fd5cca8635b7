/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_scribe.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Work for a checkpoint in one turn: frames do not wait long. */
#define STEPS_MAX       8U
#define ASSETS_MAX      128U
#define ASSETS_SEEN_MAX 8192U
#define ASSET_BYTES_MAX (1U + TRI_ASSET_ID_BYTES_MAX + TRI_LEDGER_IMAGE_BYTES)
#define FILE_BYTES_MAX  (3U + ASSET_BYTES_MAX)

static_assert(FILE_BYTES_MAX + TRI_PARTICIPANT_RECORD_BYTES_MAX <= TRI_STORE_RECORD_BYTES,
              "the longest record fits into the store");
static_assert(TRI_ASSET_ID_BYTES_MAX <= UINT8_MAX, "a record keeps the length in one byte");

enum file_flag { FILE_FILLED = 1, FILE_ASSET = 2 };

void tri_scribe_init(struct tri_scribe *scribe, struct tri_participant *participant,
                     struct tri_files *files, struct tri_store *store)
{
    memset(scribe, 0, sizeof(*scribe));
    scribe->participant = participant;
    scribe->files = files;
    scribe->store = store;
}

/* ---- writing ---- */

static uint8_t *put_asset(uint8_t *at, const struct tri_ledger *ledger, uint64_t hash,
                          struct tri_text asset)
{
    bool is_there;

    *at++ = (uint8_t)asset.bytes;
    memcpy(at, asset.at, asset.bytes);
    at += asset.bytes;
    is_there = tri_ledger_image(ledger, hash, asset, at);
    assert(is_there);
    return at + TRI_LEDGER_IMAGE_BYTES;
}

static uint8_t *put_file(uint8_t *at, const struct tri_scribe *scribe, uint32_t entry)
{
    const struct tri_file *file = &scribe->files->at[entry];

    *at++ = (uint8_t)((file->is_filled ? FILE_FILLED : 0) | (file->asset != NULL ? FILE_ASSET : 0));
    *at++ = file->action;
    *at++ = file->refusal;
    if (file->asset != NULL) {
        at = put_asset(at, scribe->files->book->ledger, file->hash,
                       (struct tri_text){file->asset, file->asset_bytes});
    }
    return at;
}

void tri_scribe_append(struct tri_scribe *scribe, const struct tri_participant_effect *append)
{
    uint8_t bytes[TRI_STORE_RECORD_BYTES];
    uint8_t *at = bytes;
    uint16_t slot = 0;

    if (append->record == TRI_PARTICIPANT_RECORD_MESSAGE) {
        at = put_file(at, scribe, append->entry);
    }
    if (append->record != TRI_PARTICIPANT_RECORD_CHECKPOINT) {
        slot = (uint16_t)tri_route_slot(append->key);
    }
    at += tri_participant_record(scribe->participant, append, at);
    tri_store_append(scribe->store, (uint16_t)append->record, slot, append->lsn, bytes,
                     (uint32_t)(at - bytes));
    if (append->record == TRI_PARTICIPANT_RECORD_FORGOTTEN) {
        memset(&scribe->files->at[append->entry], 0, sizeof(struct tri_file));
    }
}

/* ---- reading: a journal's bytes are as little trusted as a peer's ---- */

static int replay_fail(char why[TRI_STORE_WHY_BYTES], const struct tri_log_record *record,
                       const char *fault, struct tri_text asset)
{
    (void)snprintf(why, TRI_STORE_WHY_BYTES, "record %llu: %s%s%.*s%s",
                   (unsigned long long)record->lsn, fault, asset.bytes > 0U ? " '" : "",
                   (int)asset.bytes, asset.at, asset.bytes > 0U ? "'" : "");
    return -EBADMSG;
}

/* What is left of a payload. */
struct rest {
    const uint8_t *at;
    uint32_t bytes;
};

static const uint8_t *rest_take(struct rest *rest, uint32_t bytes)
{
    const uint8_t *at = rest->at;

    if (rest->bytes < bytes) {
        return NULL;
    }
    rest->at += bytes;
    rest->bytes -= bytes;
    return at;
}

/* An asset with its image; returns NULL, or what is wrong. */
static const char *replay_asset(struct tri_scribe *scribe, struct rest *rest,
                                struct tri_text *asset)
{
    const struct tri_book *book = scribe->files->book;
    const uint8_t *bytes = rest_take(rest, 1);
    const uint8_t *id = bytes == NULL ? NULL : rest_take(rest, bytes[0]);
    const uint8_t *image = id == NULL ? NULL : rest_take(rest, TRI_LEDGER_IMAGE_BYTES);

    if (image == NULL || bytes[0] == 0U || bytes[0] > TRI_ASSET_ID_BYTES_MAX) {
        return "no asset";
    }
    *asset = (struct tri_text){(const char *)id, bytes[0]};
    switch (tri_ledger_restore(book->ledger, tri_book_hash(book, *asset), *asset, image)) {
    case TRI_OK:
        return NULL;
    case TRI_GONE:
        return "it tells of an asset that is not configured any more:";
    default:
        return "no state of an asset:";
    }
}

static int replay_message(struct tri_scribe *scribe, const struct tri_log_record *record,
                          uint64_t now_ns, uint64_t wall_ms, char why[TRI_STORE_WHY_BYTES])
{
    struct rest rest = {record->payload, record->bytes};
    const uint8_t *head = rest_take(&rest, 3);
    struct tri_text asset = {"", 0};
    const char *fault = NULL;
    uint32_t entry;

    if (head == NULL || head[0] > (FILE_FILLED | FILE_ASSET) || head[0] == FILE_ASSET ||
        head[1] >= TRI_ACTION_COUNT || !tri_error_known(head[2])) {
        return replay_fail(why, record, "no file", asset);
    }
    if ((head[0] & FILE_ASSET) != 0) {
        fault = replay_asset(scribe, &rest, &asset);
    }
    if (fault != NULL) {
        return replay_fail(why, record, fault, asset);
    }
    if (tri_participant_replay(scribe->participant, TRI_PARTICIPANT_RECORD_MESSAGE,
                               (struct tri_bytes){rest.at, rest.bytes}, now_ns, wall_ms, &entry,
                               &fault) != TRI_OK) {
        return replay_fail(why, record, fault, (struct tri_text){"", 0});
    }
    scribe->files->at[entry] = (struct tri_file){
        .is_filled = (head[0] & FILE_FILLED) != 0,
        .action = head[1],
        .refusal = head[2],
    };
    if ((head[0] & FILE_ASSET) != 0) {
        bool is_there = tri_files_name(scribe->files, entry, asset);

        assert(is_there); /* it was restored */
    }
    return 0;
}

int tri_scribe_replay(struct tri_scribe *scribe, const struct tri_log_record *record,
                      uint64_t now_ns, uint64_t wall_ms, char why[TRI_STORE_WHY_BYTES])
{
    struct rest rest = {record->payload, record->bytes};
    struct tri_text asset = {"", 0};
    const char *fault = NULL;
    enum tri_result result;
    uint32_t entry;

    switch (record->type) {
    case TRI_LOG_TYPE_CHAINS:
        return 0;
    case TRI_SCRIBE_RECORD_ASSET:
        fault = replay_asset(scribe, &rest, &asset);
        if (fault == NULL && rest.bytes > 0U) {
            fault = "more than an asset:";
        }
        return fault == NULL ? 0 : replay_fail(why, record, fault, asset);
    case TRI_PARTICIPANT_RECORD_MESSAGE:
        return replay_message(scribe, record, now_ns, wall_ms, why);
    default:
        result = tri_participant_replay(
            scribe->participant, (enum tri_participant_record)record->type,
            (struct tri_bytes){rest.at, rest.bytes}, now_ns, wall_ms, &entry, &fault);
        if (result != TRI_OK && result != TRI_STALE) {
            return replay_fail(why, record, fault, asset);
        }
        if (result == TRI_OK && record->type == TRI_PARTICIPANT_RECORD_FORGOTTEN) {
            memset(&scribe->files->at[entry], 0, sizeof(struct tri_file));
        }
        return 0;
    }
}

/* ---- checkpoints ---- */

/* The participant's part; its last record ends the checkpoint. */
static void checkpoint_step(struct tri_scribe *scribe, uint64_t now_ns, uint64_t wall_ms)
{
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_CHECKPOINT,
        .now_ns = now_ns,
        .wall_ms = wall_ms,
    };

    (void)tri_participant_step(scribe->participant, &event, &scribe->effects);
    for (uint32_t i = 0; i < scribe->effects.count; i++) {
        tri_scribe_append(scribe, &scribe->effects.at[i]);
    }
    scribe->bytes += (uint64_t)scribe->effects.count * TRI_PARTICIPANT_RECORD_BYTES_MAX;
    if (tri_participant_checkpoint_lsn(scribe->participant) == 0U) {
        scribe->end_lsn = scribe->store->noted_lsn;
    }
}

/* Assets that are as new need no record. */
static void checkpoint_assets(struct tri_scribe *scribe)
{
    const struct tri_book *book = scribe->files->book;
    uint8_t bytes[ASSET_BYTES_MAX];
    struct tri_asset_view view;
    uint32_t records = 0;

    for (uint32_t i = 0; i < ASSETS_SEEN_MAX && records < ASSETS_MAX; i++) {
        if (!tri_ledger_next(book->ledger, &scribe->asset, &view)) {
            scribe->assets_done = true;
            return;
        }
        if (view.version > 0U || view.is_reserved) {
            uint8_t *end = put_asset(bytes, book->ledger, tri_book_hash(book, view.id), view.id);

            tri_store_append(scribe->store, TRI_SCRIBE_RECORD_ASSET, 0,
                             tri_participant_take_lsn(scribe->participant), bytes,
                             (uint32_t)(end - bytes));
            scribe->bytes += (uint64_t)(end - bytes);
            records++;
        }
    }
}

static void checkpoint_begin(struct tri_scribe *scribe, uint64_t now_ns, uint64_t wall_ms)
{
    scribe->begin_lsn = tri_log_checkpoint_begin(scribe->store->log);
    scribe->end_lsn = 0;
    scribe->bytes = 0;
    scribe->asset = 0;
    scribe->assets_done = false;
    checkpoint_step(scribe, now_ns, wall_ms); /* it never ends with its first step */
    assert(scribe->end_lsn == 0U);
    assert(tri_participant_checkpoint_lsn(scribe->participant) == scribe->begin_lsn);
}

bool tri_scribe_is_busy(const struct tri_scribe *scribe)
{
    const struct tri_store *store = scribe->store;

    if (store->log == NULL || tri_store_is_full(store)) {
        return false;
    }
    return scribe->begin_lsn != 0U ? scribe->end_lsn == 0U : tri_log_wants_checkpoint(store->log);
}

void tri_scribe_turn(struct tri_scribe *scribe, uint64_t now_ns, uint64_t wall_ms)
{
    struct tri_store *store = scribe->store;

    if (store->log == NULL) {
        return;
    }
    if (scribe->end_lsn != 0U && tri_store_durable_lsn(store) >= scribe->end_lsn) {
        tri_log_checkpointed(store->log, scribe->begin_lsn, scribe->bytes);
        scribe->begin_lsn = 0;
        scribe->end_lsn = 0;
    }
    for (uint32_t i = 0; i < STEPS_MAX && tri_scribe_is_busy(scribe); i++) {
        if (scribe->begin_lsn == 0U) {
            checkpoint_begin(scribe, now_ns, wall_ms);
        } else if (!scribe->assets_done) {
            checkpoint_assets(scribe);
            return;
        } else {
            checkpoint_step(scribe, now_ns, wall_ms);
        }
    }
}
