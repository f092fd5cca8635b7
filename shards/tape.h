/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tape: the primary records of one shard on their way into the archive (D04).
 *
 * The shard puts a message's leaf and content onto the tape together with its PRIMARY record in the
 * journal, and says from turn to turn how far the journal is durable and which epochs are closed.
 * Whoever archives reads the tape in its own thread, makes a finality record of each epoch that is
 * closed and durable, and says how far that is on the disk.  So a finality record is a copy of what
 * the journal holds, and the shard never waits for a hash, a signature or a file, unless the reader
 * has fallen behind by the whole tape: then it waits, and nothing is lost or left out.
 *
 * An entry leaves the tape before its epoch is complete, so a tape never fills up with one epoch:
 * the reader has room for one (engine/epoch.h).
 *
 *     shard                             archive
 *     reserve, commit, publish  ---->   peek, pop, progress
 *     is_archived, failed       <----   archived, fail
 *
 * Threads: one producer, one consumer; both wait-free.
 */
#ifndef TRI_SHARDS_TAPE_H
#define TRI_SHARDS_TAPE_H

#include "shards/finality.h"
#include "shards/pipe.h"
#include "tricast_engine.h"

/* What stands on the tape of one message. */
struct tri_tape_entry {
    uint64_t lsn; /* of its PRIMARY record */
    uint64_t oss_epoch;
    struct tri_bytes leaf;
    struct tri_bytes content; /* empty: not kept */
};

struct tri_tape {
    struct tri_pipe pipe;
    char stream[TRI_STREAM_BYTES_MAX];
    uint32_t stream_bytes;
    bool is_content_kept;
    /* The shard's own. */
    uint64_t last_lsn; /* put */
    uint64_t last_epoch;
    uint64_t durable_told;
    uint64_t closed_told;
    uint8_t *room;
    /* Written by the shard. */
    alignas(TRI_CACHE_LINE) _Atomic uint64_t durable_lsn;
    _Atomic uint64_t closed_epoch;
    _Atomic uint64_t wanted_lsn;
    /* Written by the reader. */
    alignas(TRI_CACHE_LINE) _Atomic uint64_t archived_lsn;
    _Atomic uint32_t is_asleep;
    _Atomic uint32_t has_failed;
};

/* tri_tape_footprint returns the bytes of memory that a tape needs beside its struct; little of it
 * is touched while the reader keeps up. */
size_t tri_tape_footprint(void);
/* tri_tape_init uses `memory` (64-byte aligned, borrowed).  (epoch, shard) is the stream. */
void tri_tape_init(struct tri_tape *tape, void *memory, uint32_t epoch, uint32_t shard,
                   bool is_content_kept);
static inline struct tri_text tri_tape_stream(const struct tri_tape *tape)
{
    return (struct tri_text){.at = tape->stream, .bytes = tape->stream_bytes};
}

/* tri_leaf_of writes the leaf of a message that is recorded as `round` shows it; `to` as for
 * tri_leaf_put().  Returns its bytes; 0: a target is not among `chain_count` chains. */
uint32_t tri_leaf_of(const struct tri_round_view *round, uint64_t issued_at_ms,
                     const struct tri_engine_chain *chains, uint32_t chain_count, uint8_t *to);

/* ---- the shard ---- */

/* tri_tape_reserve makes room for the message of an APPEND effect of kind PRIMARY; false: no room
 * now, try again in a later turn.  tri_tape_commit puts it there; a reservation that is not
 * committed leaves nothing behind. */
bool tri_tape_reserve(struct tri_tape *tape, const struct tri_effect *append);
void tri_tape_commit(struct tri_tape *tape, const struct tri_effect *append,
                     const struct tri_engine_chain *chains, uint32_t chain_count);
/* tri_tape_publish shows the reader what was put, up to where the journal is durable, and which
 * epochs are closed.  A little may stay behind while the reader lags: tri_tape_is_unpublished()
 * says so, and it goes with a later call.  Returns whether the reader sleeps and has to be woken.
 */
bool tri_tape_publish(struct tri_tape *tape, uint64_t durable_lsn, uint64_t closed_epoch);
/* Whether the reader sleeps, for a shard that has left it something elsewhere. */
bool tri_tape_is_asleep(const struct tri_tape *tape);
/* Whether everything up to `lsn` that was put is durable in the archive. */
bool tri_tape_is_archived(const struct tri_tape *tape, uint64_t lsn);
/* tri_tape_want asks the reader to have everything up to `lsn` on the disk soon. */
void tri_tape_want(struct tri_tape *tape, uint64_t lsn);
static inline bool tri_tape_is_unpublished(const struct tri_tape *tape)
{
    return tri_pipe_is_unpublished(&tape->pipe);
}
/* Whether the last tri_tape_reserve() found no room. */
static inline bool tri_tape_is_starved(const struct tri_tape *tape)
{
    return tri_pipe_is_starved(&tape->pipe);
}
/* Whether the archive takes nothing more. */
bool tri_tape_has_failed(const struct tri_tape *tape);

/* ---- the reader ---- */

/* tri_tape_progress tells how far the journal is durable, and the last closed epoch, as of before
 * the entries that tri_tape_peek() shows from now on run out. */
void tri_tape_progress(struct tri_tape *tape, uint64_t *durable_lsn, uint64_t *closed_epoch);
/* tri_tape_peek shows the oldest entry, borrowed until tri_tape_pop(); false: there is none. */
bool tri_tape_peek(struct tri_tape *tape, struct tri_tape_entry *entry);
void tri_tape_pop(struct tri_tape *tape);
/* tri_tape_sleep announces that the reader is about to block; false: something has arrived. */
bool tri_tape_sleep(struct tri_tape *tape);
void tri_tape_awake(struct tri_tape *tape);
void tri_tape_archived(struct tri_tape *tape, uint64_t lsn);
/* Whether the shard waits for something that is not archived yet. */
bool tri_tape_is_wanted(const struct tri_tape *tape);
void tri_tape_fail(struct tri_tape *tape);

#endif
