/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeper: the journals of all shards of a process, and the way back from them.
 *
 * A start reads what the last ones left (io/journal.h): every old stream is
 * scanned, every shard takes the records of its slots, on as many threads as
 * there are shards; then the archive gets what the journals have and it lacks (D04); and only then
 * is a new set of streams begun.  No shard admits, grants or sends before that (D06).
 *
 * Threads: tri_keeper_open(), tri_keeper_attach() and tri_keeper_close() by one
 * thread while no shard runs; everything else by the thread of the shard that it
 * names.
 */
#ifndef TRI_IO_KEEPER_H
#define TRI_IO_KEEPER_H

#include "io/archive.h"
#include "io/journal.h"
#include "shards/shard.h"

struct tri_keeper_options {
    const char *path;      /* the directory; made if it is missing (its parent must exist) */
    const uint8_t *secret; /* 32 bytes: the hash secret (D06) */
    uint32_t epoch;        /* of this start */
    uint32_t shards;
    const struct tri_engine_chain *chains; /* borrowed until close */
    uint32_t chain_count;
    struct tri_archive *archive; /* borrowed until the open returns; NULL = none */
    bool is_content_kept;        /* for the streams of this start: tri_archive_begin() */
    uint64_t segment_bytes;      /* 0 = default */
    uint64_t checkpoint_bytes;   /* 0 = default */
};

/* What a recovery has found. */
struct tri_recovery {
    uint32_t streams;
    uint32_t streams_torn;  /* their tails were cut off */
    uint32_t streams_ended; /* in order */
    uint64_t records;       /* taken back */
    uint64_t skipped;       /* of messages that nothing is known of */
    uint64_t bytes;         /* read */
    uint64_t archived;      /* finality records that the archive lacked */
    uint32_t open_messages;
    uint64_t elapsed_ms;
};

struct tri_keeper;

/*
 * tri_keeper_open reads the directory, fills the shards of `set`, which have just been initialised,
 * with what they were, and begins the new set of streams.
 *
 * recovery  out; on 0.
 *
 * Returns 0; else -errno with a line in `trouble` that names the file and what can be done; the
 * old sets still rule.
 */
int tri_keeper_open(struct tri_keeper **keeper, const struct tri_keeper_options *options,
                    struct tri_shard_set *set, struct tri_recovery *recovery,
                    char trouble[TRI_JOURNAL_TROUBLE_BYTES]);

/* tri_keeper_attach opens the stream of one shard on its loop and gives it to the shard, with the
 * tape for its primary records (NULL = none).  Returns 0 or -errno with a line in `trouble`. */
int tri_keeper_attach(struct tri_keeper *keeper, struct tri_shard_set *set, uint32_t shard,
                      struct tri_tape *tape, struct tri_loop *loop, uint32_t loop_kind,
                      char trouble[TRI_JOURNAL_TROUBLE_BYTES]);

/* The journal of a shard, for its completions and turns. */
struct tri_journal *tri_keeper_journal(struct tri_keeper *keeper, uint32_t shard);
/* "direct" or "buffered", for the log line. */
const char *tri_keeper_mode(const struct tri_keeper *keeper);

/* Accepts NULL.  After the loops have ended. */
void tri_keeper_close(struct tri_keeper *keeper);

#endif
