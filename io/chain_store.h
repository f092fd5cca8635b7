/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store: what a chain keeps in its state directory.
 *
 *     chain, instance, hash-secret, lock
 *                 small files (io/state.h).  The instance is raised and made
 *                 durable at every start, before any frame leaves (P15).
 *     ledger.log  every apply and undo in order.  At start they are carried
 *                 out again, so the ledger outlives the process.  It is
 *                 written before the answers that announce it leave; it is
 *                 not flushed to the disk, so it outlives kill -9, not a
 *                 power cut.
 *
 *     record = check (4) | op (1) | action (1) | asset bytes (1) | zero (1) |
 *              key (16) | asset id, little-endian; check = the low half of
 *              XXH3-64 over the rest.
 *
 * Stored answers and tombstones are kept in memory only: a message that was
 * open when the process died is not known after the restart.
 *
 * The log is bounded: beyond its maximum a chain refuses new work (BUSY).
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_STORE_H
#define TRI_IO_CHAIN_STORE_H

#include "io/chain_book.h"
#include "io/state.h"
#include "shards/route.h"
#include "tricast_participant.h"

#define TRI_STORE_BUFFER_BYTES 65536U
#define TRI_STORE_WHY_BYTES    512U

struct tri_store {
    struct tri_state state;
    int log_fd; /* -1: the ledger lives in memory only */
    uint32_t instance;
    uint8_t secret[TRI_ROUTE_SECRET_BYTES]; /* of the keys of messages */
    uint64_t log_bytes;
    uint64_t log_bytes_max;
    uint32_t used;
    int failed; /* 0, or the -errno of the first failed write: stop */
    uint8_t buffer[TRI_STORE_BUFFER_BYTES];
};

/*
 * tri_store_open takes the directory `path`, which is made if it is missing, and raises the
 * instance.
 *
 * chain  in; a directory of another chain is refused.
 * why    out; one line when it failed.
 *
 * Returns 0 or -errno.
 */
int tri_store_open(struct tri_store *store, const char *path, const char *chain,
                   char why[TRI_STORE_WHY_BYTES]);

/* tri_store_replay carries the log out on an open book and keeps it open for appending; a torn end
 * is cut.  Returns 0 or -errno with *why. */
int tri_store_replay(struct tri_store *store, struct tri_book *book, uint64_t log_bytes_max,
                     char why[TRI_STORE_WHY_BYTES]);

/* tri_store_note appends one change; without a log it does nothing. */
void tri_store_note(struct tri_store *store, enum tri_ledger_op op, enum tri_asset_action action,
                    struct tri_key key, struct tri_text asset);
/* Whether the log may take new work. */
bool tri_store_has_room(const struct tri_store *store);
/* tri_store_flush writes what was noted.  Returns 0 or the -errno of the first failure, for ever.
 */
int tri_store_flush(struct tri_store *store);
void tri_store_close(struct tri_store *store);

#endif
