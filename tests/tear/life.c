/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tear/life.h"

#undef NDEBUG
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/journal_manifest.h"
#include "shards/log_scan.h"

#define LIFE_KIND          "coordinator"
#define LIFE_PAYLOAD_MAX   7000U
#define LIFE_TICKET_FILE   100U
#define LIFE_TICKET_NAMES  101U
#define LIFE_CHECKPOINT_AT 6U /* turns */
#define LIFE_SEED(epoch)   (UINT64_C(0x5eed) * (epoch))

static bool life_say(struct life *life, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool life_say(struct life *life, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(life->trouble, sizeof(life->trouble), format, arguments);
    va_end(arguments);
    return false;
}

/* ---- records ---- */

static uint32_t record_bytes(uint64_t salt, uint64_t lsn)
{
    uint64_t draw = sim_mix(salt ^ lsn);

    return (uint32_t)(draw % 8 == 0 ? 2000 + draw / 8 % 5000 : draw / 8 % 400);
}

static void record_fill(uint64_t salt, uint64_t lsn, uint8_t *payload, uint32_t bytes)
{
    uint64_t word = sim_mix(salt ^ sim_mix(lsn));

    for (uint32_t i = 0; i < bytes; i += 8) {
        memcpy(payload + i, &word, bytes - i < 8 ? bytes - i : 8);
        word += UINT64_C(0x9e3779b97f4a7c15);
    }
}

static bool record_is_right(uint64_t salt, const struct tri_log_record *record)
{
    uint8_t payload[LIFE_PAYLOAD_MAX];
    uint32_t bytes = record_bytes(salt, record->lsn);

    if (record->bytes != bytes || record->type != record->lsn % 5 ||
        record->slot != record->lsn % 4096) {
        return false;
    }
    record_fill(salt, record->lsn, payload, bytes);
    return memcmp(record->payload, payload, bytes) == 0;
}

/* ---- recovery ---- */

/* The consecutive files up to the last one, as io/journal finds them. */
static void recover_files(struct disk *disk, struct tri_log_scan_options *options)
{
    options->segment_first = 1;
    options->segment_last = 0;
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        const struct disk_file *file = &disk->files[i];

        if (file->epoch == options->epoch && file->number > options->segment_last) {
            options->segment_last = file->number;
        }
    }
    if (options->segment_last > 0) {
        options->segment_first = options->segment_last;
        while (disk_file(disk, options->epoch, options->segment_first - 1) != NULL) {
            options->segment_first--;
        }
    }
}

/* Checks the records of a block. */
static bool recover_block(struct life *life, const struct life_promise *promise,
                          const struct tri_log_block *block, uint64_t *lsn)
{
    struct tri_log_record record;
    uint32_t cursor = 0;

    while (tri_log_block_record(block, &cursor, &record)) {
        if (record.type >= TRI_LOG_TYPE_OWN) {
            continue;
        }
        if (*lsn != 0 && record.lsn != *lsn + 1) {
            return life_say(life, "LSN %lu after %lu", (unsigned long)record.lsn,
                            (unsigned long)*lsn);
        }
        if (record.lsn > promise->lsn_appended || !record_is_right(promise->salt, &record)) {
            return life_say(life, "LSN %lu is not what was appended", (unsigned long)record.lsn);
        }
        *lsn = record.lsn;
    }
    return true;
}

/* Whether the end that the scan has found keeps what was promised. */
static bool recover_judge(struct life *life, struct life_promise *promise,
                          const struct tri_log_scan *scan, uint64_t lsn_first)
{
    bool is_begin = scan->lsn_needed == 1;

    promise->stands_alone = false;
    if (scan->lsn < promise->lsn_durable) {
        return life_say(life, "it ends at LSN %lu, but %lu was durable", (unsigned long)scan->lsn,
                        (unsigned long)promise->lsn_durable);
    }
    if (promise->has_cut && scan->lsn != promise->cut_lsn) {
        return life_say(life, "it ends at LSN %lu, but an earlier recovery found %lu",
                        (unsigned long)scan->lsn, (unsigned long)promise->cut_lsn);
    }
    for (uint32_t i = 0; i < promise->begin_count; i++) {
        is_begin = is_begin || scan->lsn_needed == promise->begins[i];
        promise->stands_alone = promise->stands_alone || (scan->lsn_needed == promise->begins[i] &&
                                                          scan->lsn >= promise->begin_ends[i]);
    }
    if (!is_begin || scan->lsn_needed < promise->lsn_needed) {
        return life_say(life, "it would begin at LSN %lu", (unsigned long)scan->lsn_needed);
    }
    if (lsn_first > scan->lsn_needed) {
        return life_say(life, "LSN %lu is needed, but %lu is the first",
                        (unsigned long)scan->lsn_needed, (unsigned long)lsn_first);
    }
    if (promise->is_ended && !scan->is_ended) {
        return life_say(life, "it had ended in order");
    }
    life->coverage->torn += scan->is_torn ? 1U : 0U;
    life->coverage->ended += scan->is_ended ? 1U : 0U;
    life->coverage->unannounced += scan->lsn > promise->lsn_durable ? 1U : 0U;
    life->coverage->dropped += scan->options.segment_first > 1 ? 1U : 0U;
    promise->has_cut = true;
    promise->cut_lsn = scan->lsn;
    return true;
}

/* Reads one stream and remembers its cut in the manifest's entry. */
static bool recover_stream(struct life *life, struct tri_manifest_stream *named)
{
    struct life_promise *promise = &life->history->promises[named->epoch];
    struct tri_log_scan_options options = {
        .epoch = named->epoch,
        .stream = named->stream,
        .seed = named->seed,
        .has_cut = named->has_cut,
        .cut_seq = named->cut_seq,
        .cut_lsn = named->cut_lsn,
    };
    enum tri_log_scan_step step = TRI_LOG_SCAN_BYTES;
    struct tri_log_window window = {0};
    struct tri_log_block block;
    struct tri_log_scan scan;
    uint64_t lsn = 0;

    recover_files(life->disk, &options);
    tri_log_scan_init(&scan, &options);
    while ((step = tri_log_scan_next(&scan, &window, &block)) <= TRI_LOG_SCAN_BLOCK) {
        if (step == TRI_LOG_SCAN_BYTES) {
            const struct disk_file *file = disk_file(life->disk, named->epoch, scan.want.segment);

            assert(file != NULL);
            window = (struct tri_log_window){.segment = scan.want.segment,
                                             .bytes = file->bytes,
                                             .count = file->count,
                                             .is_end = true};
            if (window.count < scan.want.offset) {
                window.offset = scan.want.offset;
                window.count = 0;
            }
        } else if (!recover_block(life, promise, &block, &lsn)) {
            return false;
        }
    }
    if (step != TRI_LOG_SCAN_END) {
        return life_say(life, "segment %u offset %lu: %s", scan.at.segment,
                        (unsigned long)scan.at.offset,
                        step == TRI_LOG_SCAN_DAMAGE ? scan.what : "another version");
    }
    named->has_cut = true;
    named->cut_seq = scan.seq;
    named->cut_lsn = scan.lsn;
    return recover_judge(life, promise, &scan, scan.lsn_first);
}

/* The manifest of the disk; its streams are read and have cuts afterwards. */
static bool recover_all(struct life *life, struct tri_manifest *manifest)
{
    char text[DISK_MANIFEST_BYTES + 1];
    const char *what = "";
    uint32_t named = 0;
    bool stands_alone = false; /* some epoch needs none before it */

    memcpy(text, life->disk->manifest, life->disk->manifest_bytes);
    text[life->disk->manifest_bytes] = '\0';
    if (life->disk->manifest_bytes > 0 &&
        tri_manifest_get(manifest, LIFE_EPOCHS_MAX, text, life->disk->manifest_bytes, &what) != 0) {
        return life_say(life, "manifest: %s", what);
    }
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (!recover_stream(life, &manifest->streams[i])) {
            return false;
        }
    }
    /* Who is missing has promised nothing, or a later epoch stands for it. */
    for (uint32_t epoch = life->history->epoch; epoch >= 1; epoch--) {
        const struct life_promise *promise = &life->history->promises[epoch];
        bool is_named = false;

        for (uint32_t i = 0; i < manifest->count; i++) {
            is_named = is_named || manifest->streams[i].epoch == epoch;
        }
        if (is_named) {
            named++;
            stands_alone = stands_alone || promise->stands_alone;
        } else if (promise->has_cut ? promise->cut_lsn > 0 : promise->lsn_durable > 0) {
            if (!promise->is_retired || !stands_alone) {
                return life_say(life,
                                "epoch %u is not in the manifest, and no later one stands "
                                "alone",
                                epoch);
            }
            life->coverage->retired++;
        }
    }
    life->coverage->two_sets += named > 1 ? 1U : 0U;
    life->coverage->recoveries++;
    return true;
}

bool life_recover(struct life *life)
{
    struct tri_manifest_stream streams[LIFE_EPOCHS_MAX];
    struct tri_manifest manifest = {.streams = streams};

    return recover_all(life, &manifest);
}

/* ---- a new set ---- */

static void life_boundary(struct life *life)
{
    if (life->boundary != NULL) {
        life->boundary(life);
    }
}

static void life_end_now(struct life *life, uint32_t pending)
{
    life_boundary(life);
    disk_end(life->disk, pending);
    life_boundary(life);
}

/* Makes the first segment, and then the manifest that names the set. */
static void life_begin(struct life *life, struct tri_manifest *manifest)
{
    struct tri_manifest_stream *named = NULL;
    char text[TRI_MANIFEST_BYTES(LIFE_EPOCHS_MAX + 1)];
    uint32_t kept = 0;

    life_end_now(life, disk_create(life->disk, LIFE_TICKET_FILE, life->epoch, 1, DISK_FILE_BYTES));
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (manifest->streams[i].cut_lsn > 0) {
            manifest->streams[kept++] = manifest->streams[i];
        }
    }
    life->has_old = kept > 0;
    named = &manifest->streams[kept];
    *named = (struct tri_manifest_stream){
        .epoch = life->epoch, .streams = 1, .slot_last = 4095, .seed = LIFE_SEED(life->epoch)};
    manifest->count = kept + 1;
    manifest->epoch = life->epoch;
    (void)snprintf(manifest->kind, sizeof(manifest->kind), "%s", LIFE_KIND);
    life_end_now(life, disk_manifest(life->disk, LIFE_TICKET_NAMES, text,
                                     (uint32_t)tri_manifest_put(manifest, text, sizeof(text))));
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) { /* segments of no set */
        const struct disk_file *file = &life->disk->files[i];
        bool is_named = false;

        for (uint32_t k = 0; k < manifest->count; k++) {
            is_named = is_named || manifest->streams[k].epoch == file->epoch;
        }
        if (file->epoch != 0 && !file->is_ghost && !is_named) {
            disk_remove(life->disk, file->epoch, file->number);
        }
    }
}

/* ---- turns ---- */

static struct life_promise *life_promise(struct life *life)
{
    return &life->history->promises[life->epoch];
}

static void life_append(struct life *life, uint32_t records)
{
    struct life_promise *promise = life_promise(life);

    for (uint32_t i = 0; i < records; i++) {
        uint64_t lsn = tri_log_last_lsn(life->log) + 1;
        uint32_t bytes = record_bytes(promise->salt, lsn);
        uint8_t *payload = tri_log_reserve(life->log, bytes);

        if (payload == NULL) {
            life->coverage->refused++;
            return;
        }
        record_fill(promise->salt, lsn, payload, bytes);
        tri_log_commit(life->log, (uint16_t)(lsn % 5), (uint16_t)(lsn % 4096), lsn, bytes);
        promise->lsn_appended = lsn;
    }
}

static void life_drop(struct life *life, uint32_t number)
{
    if (life->spare == 0) {
        life->spare = number;
    } else {
        disk_remove(life->disk, life->epoch, number);
    }
    tri_log_done(life->log, TRI_LOG_TICKET_DROP, TRI_LOG_DONE);
}

static void life_requests(struct life *life)
{
    struct tri_log_request request;

    while (tri_log_next(life->log, &request)) {
        switch (request.type) {
        case TRI_LOG_WRITE:
            life->write_orders[request.ticket] = life->disk->order;
            (void)disk_write(life->disk, request.ticket, life->epoch, request.segment,
                             (uint32_t)request.offset, request.bytes, request.count);
            life->writes++;
            break;
        case TRI_LOG_PREPARE:
            assert(request.offset == DISK_FILE_BYTES);
            if (life->spare != 0) {
                (void)disk_rename(life->disk, request.ticket, life->epoch, life->spare,
                                  request.segment);
                life->spare = 0;
                life->coverage->recycled++;
            } else {
                (void)disk_create(life->disk, request.ticket, life->epoch, request.segment,
                                  DISK_FILE_BYTES);
            }
            break;
        case TRI_LOG_DROP:
        default:
            life_drop(life, request.segment);
            break;
        }
        life_boundary(life);
    }
    if (life->writes > life->coverage->flight_max) {
        life->coverage->flight_max = life->writes;
    }
}

/* What follows from what is durable now. */
static void life_learn(struct life *life)
{
    struct life_promise *promise = life_promise(life);

    promise->lsn_durable = tri_log_durable_lsn(life->log);
    promise->lsn_needed = tri_log_needed_lsn(life->log);
    if (life->is_checkpointing && life->checkpoint_end != 0 &&
        promise->lsn_durable >= life->checkpoint_end) {
        tri_log_checkpointed(life->log, life->checkpoint_begin, 1);
        promise->begins[promise->begin_count] = life->checkpoint_begin;
        promise->begin_ends[promise->begin_count++] = life->checkpoint_end;
        life->is_checkpointing = false;
    }
}

/* Removes the files of all older sets. */
static void life_retired(struct life *life)
{
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        const struct disk_file *file = &life->disk->files[i];

        if (file->epoch != 0 && file->epoch != life->epoch && !file->is_ghost) {
            disk_remove(life->disk, file->epoch, file->number);
            life_boundary(life);
        }
    }
    life->has_old = false;
    life->is_retiring = false;
}

static void life_retire(struct life *life)
{
    char text[TRI_MANIFEST_BYTES(1)];
    struct tri_manifest_stream named = {
        .epoch = life->epoch, .streams = 1, .slot_last = 4095, .seed = LIFE_SEED(life->epoch)};
    struct tri_manifest manifest = {
        .epoch = life->epoch, .kind = LIFE_KIND, .count = 1, .streams = &named};

    if (!life->has_old || life->is_retiring || !tri_log_is_checkpointed(life->log)) {
        return;
    }
    life->is_retiring = true;
    for (uint32_t epoch = 1; epoch < life->epoch; epoch++) {
        life->history->promises[epoch].is_retired = true;
    }
    (void)disk_manifest(life->disk, LIFE_TICKET_NAMES, text,
                        (uint32_t)tri_manifest_put(&manifest, text, sizeof(text)));
    life_boundary(life);
}

/* The end of something that is pending, a drawn one. */
static void life_complete(struct life *life)
{
    struct disk *disk = life->disk;
    uint32_t places[DISK_PENDING_MAX];
    uint32_t count = 0;
    uint32_t place = 0;
    uint32_t ticket = 0;

    for (uint32_t i = 0; i < DISK_PENDING_MAX; i++) {
        if (disk->pending[i].kind != DISK_NOTHING) {
            places[count++] = i;
        }
    }
    if (count == 0) {
        return;
    }
    place = places[sim_below(&life->random, count)];
    ticket = disk->pending[place].ticket;
    if (disk->pending[place].kind == DISK_WRITE) {
        for (uint32_t i = 0; i < count; i++) {
            life->coverage->out_of_order +=
                disk->pending[places[i]].kind == DISK_WRITE &&
                        disk->pending[places[i]].order < disk->pending[place].order
                    ? 1U
                    : 0U;
        }
        life->writes--;
    }
    if (life->is_liar && disk->pending[place].kind == DISK_WRITE &&
        sim_chance(&life->random, 300)) {
        disk->pending[place].kind = DISK_NOTHING;
    } else {
        disk_end(disk, place);
    }
    if (ticket == LIFE_TICKET_NAMES) {
        life_retired(life);
    } else {
        tri_log_done(life->log, ticket, TRI_LOG_DONE);
    }
    life_learn(life);
    life_boundary(life);
}

static bool life_has_pending(const struct life *life)
{
    for (uint32_t i = 0; i < DISK_PENDING_MAX; i++) {
        if (life->disk->pending[i].kind != DISK_NOTHING) {
            return true;
        }
    }
    return false;
}

static void life_turn(struct life *life, uint32_t turn)
{
    if (turn % LIFE_CHECKPOINT_AT == LIFE_CHECKPOINT_AT / 2 && !life->is_checkpointing) {
        life->is_checkpointing = true;
        life->checkpoint_begin = tri_log_checkpoint_begin(life->log);
        life->checkpoint_end = 0;
    }
    life_append(life, sim_below(&life->random, 10));
    if (life->is_checkpointing && life->checkpoint_end == 0 &&
        tri_log_last_lsn(life->log) > life->checkpoint_begin) {
        life->checkpoint_end = tri_log_last_lsn(life->log);
    }
    life_requests(life);
    life_retire(life);
    for (uint32_t ends = sim_below(&life->random, 4); ends > 0; ends--) {
        life_complete(life);
    }
}

bool life_run(struct life *life)
{
    struct tri_manifest_stream streams[LIFE_EPOCHS_MAX + 1];
    struct tri_manifest manifest = {.streams = streams};
    struct tri_log_options options = {
        .epoch = life->epoch,
        .streams = 1,
        .slot_last = 4095,
        .seed = LIFE_SEED(life->epoch),
        .block_bytes_max = 8192,
        .blocks = 6,
        .segment_bytes = DISK_FILE_BYTES,
        .segment_bytes_first = DISK_FILE_BYTES,
        .chains = "chains",
        .chains_bytes = 6,
    };
    void *memory = NULL;

    if (!recover_all(life, &manifest)) {
        return false;
    }
    life->history->epoch = life->epoch;
    *life_promise(life) = (struct life_promise){.salt = sim_random(&life->random), .lsn_needed = 1};
    life_begin(life, &manifest);
    memory = aligned_alloc(TRI_LOG_PAGE_BYTES, tri_log_footprint(&options));
    assert(memory != NULL);
    life->log = tri_log_init(memory, &options);
    for (uint32_t turn = 0; turn < life->turns; turn++) {
        life_turn(life, turn);
    }
    tri_log_end(life->log);
    while (!tri_log_is_quiet(life->log) || life_has_pending(life)) {
        life_requests(life);
        life_complete(life);
    }
    life_promise(life)->is_ended = true;
    life_boundary(life);
    free(memory);
    return true;
}
