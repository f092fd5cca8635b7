/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store: what a chain keeps in its directory.
 *
 *     chain, instance, hash-secret, lock
 *                 small files (io/state.h).  The instance is raised and made
 *                 durable at every start, before any frame leaves (P15); it is
 *                 also the epoch of the journal's new set.
 *     manifest, *.seg
 *                 the journal (io/journal.h), one stream.
 *
 * Without a directory nothing is kept: every record counts as durable when it
 * is appended, the secret is a random one and the instance the second of the
 * start, so that it is raised from start to start all the same.
 *
 * A record always finds a place.  What the journal has no room for waits here,
 * and tri_store_is_full() says that no new work should be begun.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_STORE_H
#define TRI_IO_CHAIN_STORE_H

#include "engine/limits.h"
#include "io/journal.h"
#include "io/state.h"
#include "shards/route.h"

#define TRI_STORE_WHY_BYTES    TRI_JOURNAL_TROUBLE_BYTES
#define TRI_STORE_RECORD_BYTES 512U       /* the longest payload */
#define TRI_STORE_WAIT_BYTES   (1U << 20) /* for records that wait */

struct tri_store {
    struct tri_state state;
    struct tri_journal_dir *dir; /* NULL: nothing is kept */
    struct tri_journal *journal; /* NULL: not begun */
    struct tri_log *log;         /* the journal's */
    uint64_t segment_bytes;      /* 0 = default */
    uint32_t instance;
    uint8_t secret[TRI_ROUTE_SECRET_BYTES]; /* of the keys of messages */
    uint64_t noted_lsn;                     /* of the last record appended */
    uint8_t *waiting;                       /* TRI_STORE_WAIT_BYTES */
    uint32_t waiting_from;
    uint32_t waiting_to;
};

/*
 * tri_store_open takes the directory `path`, which is made if it is missing, raises the instance,
 * and reads what is there of the journal.
 *
 * path           in; NULL = keep nothing.
 * chain          in; a directory of another chain is refused.
 * segment_bytes  of the journal's files, and written between two checkpoints; 0 = default.
 * why            out; one line when it failed.
 *
 * Returns 0 or -errno; close it in both cases.
 */
int tri_store_open(struct tri_store *store, const char *path, const char *chain,
                   uint64_t segment_bytes, char why[TRI_STORE_WHY_BYTES]);
/* Accepts a zeroed store. */
void tri_store_close(struct tri_store *store);

/* tri_store_replay gives all records in their order to `take`.  Returns 0, what `take` returned, or
 * -errno; with one line in `why`, which `take` may write too. */
int tri_store_replay(const struct tri_store *store, tri_journal_take *take, void *context,
                     char why[TRI_STORE_WHY_BYTES]);

/* tri_store_begin opens the journal for appending.  Returns 0 or -errno with one line in `why`. */
int tri_store_begin(struct tri_store *store, char why[TRI_STORE_WHY_BYTES]);

/* tri_store_append appends a record of at most TRI_STORE_RECORD_BYTES; `lsn` as
 * tri_log_commit(). */
void tri_store_append(struct tri_store *store, uint16_t type, uint16_t slot, uint64_t lsn,
                      const uint8_t *payload, uint32_t bytes);
/* Whether records wait.  Begin nothing: TRI_STORE_WAIT_BYTES is meant for what was begun. */
bool tri_store_is_full(const struct tri_store *store);

/* tri_store_turn ends a turn: what was appended is on its way to the disk as one write, if there is
 * room on that way.  Returns 0 or -errno with one line in `why`: stop (D03). */
int tri_store_turn(struct tri_store *store, uint64_t now_ns, char why[TRI_STORE_WHY_BYTES]);
uint64_t tri_store_durable_lsn(const struct tri_store *store);
/* When a turn is due although nothing has happened; TRI_NEVER = never. */
uint64_t tri_store_deadline_ns(const struct tri_store *store);

/* How often the records of earlier lives could not be removed, and in *why the last reason; "" =
 * they are gone by now. */
uint64_t tri_store_old_failed(const struct tri_store *store, const char **why);
/* What becomes readable when a turn is due; -1 = nothing. */
int tri_store_descriptor(const struct tri_store *store);

/* tri_store_end makes everything durable that was appended and marks an end in order.  Blocks.
 * Returns 0 or -errno with one line in `why`. */
int tri_store_end(struct tri_store *store, char why[TRI_STORE_WHY_BYTES]);

#endif
