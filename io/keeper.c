/* SPDX-License-Identifier: Apache-2.0 */
#include "io/keeper.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/clock.h"
#include "io/keeper_finality.h"
#include "shards/journal_log.h"

struct tri_keeper {
    struct tri_keeper_options options;
    struct tri_journal_dir *dir;
    struct tri_journal *journals[TRI_SHARDS_MAX];
    uint8_t chains_table[TRI_CHAINS_TABLE_BYTES_MAX];
    uint32_t chains_table_bytes;
};

/* One thread of a recovery. */
struct keeper_worker {
    struct tri_keeper *keeper;
    struct tri_shard *shard;
    uint32_t index;
    uint64_t now_ns;
    uint64_t wall_ms;
    atomic_uint *next_stream;
    uint16_t chains[TRI_CHAINS_MAX]; /* of the stream that is read */
    uint32_t chain_count;
    uint64_t records;
    uint64_t skipped;
    struct tri_finality_list primaries; /* that the archive lacks */
    int failed;
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
};

/* ---- one shard ---- */

/* What can be done, unless the fault says it itself. */
#define ADVICE_CAPACITIES "; raise capacities.rounds, .dedupEntries, .envelopes and the bodies"
#define ADVICE_CHECK      "; `tricast journal check` says more"

static int keeper_refuse(struct keeper_worker *worker, const struct tri_journal_entry *entry,
                         int failed, const char *fault, const char *advice)
{
    (void)snprintf(worker->trouble, sizeof(worker->trouble),
                   "%s: stream %" PRIu32 " of epoch %" PRIu32 ", segment %" PRIu32
                   ", offset %" PRIu64 ": %s%s",
                   worker->keeper->options.path, entry->stream, entry->epoch, entry->segment,
                   entry->offset, fault, advice);
    return failed;
}

/* D04: a primary record that the archive lacks is kept until all have been read. */
static int keeper_take_primary(struct keeper_worker *worker, const struct tri_journal_entry *entry)
{
    const struct tri_keeper_options *options = &worker->keeper->options;
    struct tri_replayed replayed;
    const char *fault = NULL;

    /* The ossEpoch of a record that is older than finality records is 0: no archive lacks it. */
    tri_shard_replayed(worker->shard, &replayed);
    if (options->archive == NULL ||
        replayed.oss_epoch <= tri_archive_last(options->archive, entry->epoch, entry->stream)) {
        return 0;
    }
    fault = tri_finality_list_add(&worker->primaries, entry, &replayed, options);
    return fault == NULL ? 0 : keeper_refuse(worker, entry, -EBADMSG, fault, "");
}

static int keeper_take(void *context, const struct tri_journal_entry *entry)
{
    struct keeper_worker *worker = context;
    const struct tri_keeper_options *options = &worker->keeper->options;
    const struct tri_log_record *record = &entry->record;
    struct tri_replay replay = {
        .kind = (enum tri_record)record->type,
        .payload = {.at = record->payload, .bytes = record->bytes},
        .chains = worker->chains,
        .chain_count = worker->chain_count,
        .now_ns = worker->now_ns,
        .wall_ms = worker->wall_ms,
    };
    const char *fault = NULL;
    enum tri_result result;

    if (record->type == TRI_LOG_TYPE_CHAINS) {
        worker->chain_count = tri_chains_table_get(replay.payload, options->chains,
                                                   options->chain_count, worker->chains);
        return worker->chain_count == 0
                   ? keeper_refuse(worker, entry, -EBADMSG, "the table of chains is unreadable",
                                   ADVICE_CHECK)
                   : 0;
    }
    result = tri_shard_replay(worker->shard, &replay, &fault);
    if (result == TRI_FULL) {
        return keeper_refuse(worker, entry, -ENOSPC, fault, ADVICE_CAPACITIES);
    }
    if (result != TRI_OK && result != TRI_STALE) {
        return keeper_refuse(worker, entry, -EBADMSG, fault, ADVICE_CHECK);
    }
    worker->records++;
    worker->skipped += result == TRI_STALE ? 1 : 0;
    return record->type == TRI_RECORD_PRIMARY ? keeper_take_primary(worker, entry) : 0;
}

static void *keeper_scan(void *context)
{
    struct keeper_worker *worker = context;
    struct tri_journal_dir *dir = worker->keeper->dir;
    uint32_t streams = tri_journal_dir_streams(dir);

    for (;;) {
        uint32_t i = atomic_fetch_add_explicit(worker->next_stream, 1, memory_order_relaxed);

        if (i >= streams || worker->failed != 0) {
            return NULL;
        }
        worker->failed = tri_journal_dir_scan(dir, i, worker->trouble);
    }
}

static void *keeper_replay(void *context)
{
    struct keeper_worker *worker = context;
    uint32_t slot_first = 0;
    uint32_t slot_last = 0;

    tri_journal_slots(worker->index, worker->keeper->options.shards, &slot_first, &slot_last);
    worker->failed = tri_journal_dir_replay(worker->keeper->dir, slot_first, slot_last, keeper_take,
                                            worker, worker->trouble);
    /* Timers run from now: what the reading took is no time that the chains had (P08, A07). */
    if (worker->failed == 0 &&
        tri_shard_resume(worker->shard, tri_clock_now_ns(), tri_clock_wall_ms()) != TRI_OK) {
        worker->failed = -EINVAL;
        (void)snprintf(worker->trouble, sizeof(worker->trouble),
                       "%s: an open message has a target that is not configured any more; "
                       "configure its chain again until the message has ended",
                       worker->keeper->options.path);
    }
    return NULL;
}

/* ---- all shards ---- */

/* Runs `job` for every worker on a thread of its own; 0, or how the first one failed. */
static int keeper_run(struct keeper_worker *workers, uint32_t count, void *(*job)(void *),
                      char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    pthread_t threads[TRI_SHARDS_MAX];
    uint32_t begun = 1;

    while (begun < count && pthread_create(&threads[begun], NULL, job, &workers[begun]) == 0) {
        begun++;
    }
    (void)job(&workers[0]);
    for (uint32_t i = 1; i < begun; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (uint32_t i = begun; i < count; i++) {
        (void)job(&workers[i]); /* no thread to be had: one after the other */
    }
    for (uint32_t i = 0; i < count; i++) {
        if (workers[i].failed != 0) {
            memcpy(trouble, workers[i].trouble, TRI_JOURNAL_TROUBLE_BYTES);
            return workers[i].failed;
        }
    }
    return 0;
}

static void keeper_sum(const struct tri_keeper *keeper, const struct keeper_worker *workers,
                       struct tri_recovery *recovery)
{
    *recovery = (struct tri_recovery){.streams = tri_journal_dir_streams(keeper->dir)};
    for (uint32_t i = 0; i < recovery->streams; i++) {
        const struct tri_journal_stream *stream = tri_journal_dir_stream(keeper->dir, i);

        recovery->streams_torn += stream->is_torn ? 1 : 0;
        recovery->streams_ended += stream->is_ended ? 1 : 0;
        recovery->bytes += stream->bytes;
    }
    for (uint32_t i = 0; i < keeper->options.shards; i++) {
        recovery->records += workers[i].records;
        recovery->skipped += workers[i].skipped;
        recovery->open_messages += tri_shard_open_count(workers[i].shard);
    }
}

/* Brings the archive to where the journals are, and opens the streams of this start. */
static int keeper_complete(struct tri_keeper *keeper, struct keeper_worker *workers,
                           uint64_t *archived, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    const struct tri_keeper_options *options = &keeper->options;
    struct tri_finality_list *all = &workers[0].primaries;
    int failed = 0;

    for (uint32_t i = 1; i < options->shards && failed == 0; i++) {
        failed = tri_finality_list_join(all, &workers[i].primaries, trouble);
    }
    if (failed == 0) {
        failed = tri_finality_list_archive(all, options->archive, archived, trouble);
    }
    if (failed == 0) {
        failed = tri_archive_begin(options->archive, options->epoch, options->shards,
                                   options->is_content_kept, trouble);
    }
    return failed;
}

static int keeper_recover(struct tri_keeper *keeper, struct tri_shard_set *set,
                          struct tri_recovery *recovery, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    uint32_t shards = keeper->options.shards;
    struct keeper_worker *workers = calloc(shards, sizeof(*workers));
    uint64_t begin_ns = tri_clock_now_ns();
    uint64_t wall_ms = tri_clock_wall_ms();
    uint64_t archived = 0;
    atomic_uint next_stream = 0;
    int failed;

    if (workers == NULL) {
        (void)snprintf(trouble, TRI_JOURNAL_TROUBLE_BYTES, "no memory for a recovery");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < shards; i++) {
        workers[i].keeper = keeper;
        workers[i].shard = tri_shard_set_at(set, i);
        workers[i].index = i;
        workers[i].now_ns = begin_ns;
        workers[i].wall_ms = wall_ms;
        workers[i].next_stream = &next_stream;
    }
    failed = keeper_run(workers, shards, keeper_scan, trouble);
    if (failed == 0) {
        failed = keeper_run(workers, shards, keeper_replay, trouble);
    }
    if (failed == 0 && keeper->options.archive != NULL) {
        failed = keeper_complete(keeper, workers, &archived, trouble);
    }
    if (failed == 0) {
        keeper_sum(keeper, workers, recovery);
        recovery->archived = archived;
        recovery->elapsed_ms = (tri_clock_now_ns() - begin_ns) / TRI_NS_PER_MS;
    }
    for (uint32_t i = 0; i < shards; i++) {
        tri_finality_list_free(&workers[i].primaries);
    }
    free(workers);
    return failed;
}

int tri_keeper_open(struct tri_keeper **keeper, const struct tri_keeper_options *options,
                    struct tri_shard_set *set, struct tri_recovery *recovery,
                    char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_journal_dir_options dir_options = {
        .kind = "coordinator",
        .secret = options->secret,
        .segment_bytes = options->segment_bytes,
    };
    struct tri_keeper *it = calloc(1, sizeof(*it));
    int failed = 0;

    *keeper = NULL;
    if (it == NULL) {
        (void)snprintf(trouble, TRI_JOURNAL_TROUBLE_BYTES, "no memory for the journal");
        return -ENOMEM;
    }
    it->options = *options;
    it->chains_table_bytes =
        tri_chains_table_put(options->chains, options->chain_count, it->chains_table);
    if (mkdir(options->path, 0700) != 0 && errno != EEXIST) {
        failed = -errno;
        (void)snprintf(trouble, TRI_JOURNAL_TROUBLE_BYTES, "%s: %s", options->path,
                       strerror(errno));
    }
    if (failed == 0) {
        failed = tri_journal_dir_open(&it->dir, options->path, &dir_options, trouble);
    }
    if (failed == 0) {
        failed = keeper_recover(it, set, recovery, trouble);
    }
    if (failed == 0) {
        failed = tri_journal_dir_begin(it->dir, options->epoch, options->shards, trouble);
    }
    if (failed != 0) {
        tri_keeper_close(it);
        return failed;
    }
    *keeper = it;
    return 0;
}

int tri_keeper_attach(struct tri_keeper *keeper, struct tri_shard_set *set, uint32_t shard,
                      struct tri_tape *tape, struct tri_loop *loop, uint32_t loop_kind,
                      char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_journal_options options = {
        .stream = shard,
        .loop = loop,
        .loop_kind = loop_kind,
        .chains = keeper->chains_table,
        .chains_bytes = keeper->chains_table_bytes,
        .checkpoint_bytes = keeper->options.checkpoint_bytes,
    };
    int failed = tri_journal_open(&keeper->journals[shard], keeper->dir, &options, trouble);

    if (failed == 0) {
        tri_shard_keep(tri_shard_set_at(set, shard), tri_journal_log(keeper->journals[shard]),
                       tape);
    }
    return failed;
}

struct tri_journal *tri_keeper_journal(struct tri_keeper *keeper, uint32_t shard)
{
    assert(shard < keeper->options.shards);
    return keeper->journals[shard];
}

const char *tri_keeper_mode(const struct tri_keeper *keeper)
{
    return tri_journal_dir_mode(keeper->dir);
}

void tri_keeper_close(struct tri_keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    for (uint32_t shard = 0; shard < keeper->options.shards; shard++) {
        tri_journal_close(keeper->journals[shard]);
    }
    tri_journal_dir_close(keeper->dir);
    free(keeper);
}
