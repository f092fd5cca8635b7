/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scribe: a chain's way into its journal and back (D05).
 *
 * A record of a message holds what the participant remembers of it, what the
 * ledger has to know of it, and the asset as it is: so an effect, its applied
 * mark and the answer that tells of it are one record, and replay, which only
 * assigns, restores all three together.  Kinds and payloads, little endian:
 *
 *     MESSAGE     flags 1: 1 = noted, 2 = names an asset | action 1 | refusal 1 |
 *                 if it names an asset: bytes 1, id, image (engine/ledger.h) |
 *                 the participant's (engine/participant_record.c)
 *     FORGOTTEN   the participant's
 *     CHECKPOINT  the participant's
 *     ASSET       bytes 1 | id | image
 *
 * A checkpoint writes all messages and every asset that is not as new, some in
 * each turn, so that recovery reads no more than what came after it began.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_SCRIBE_H
#define TRI_IO_CHAIN_SCRIBE_H

#include "io/chain_files.h"
#include "io/chain_store.h"

#define TRI_SCRIBE_RECORD_ASSET TRI_PARTICIPANT_RECORD_OWN

struct tri_scribe {
    struct tri_participant *participant;
    struct tri_files *files;
    struct tri_store *store;
    /* The checkpoint that runs, or waits to be durable. */
    uint64_t begin_lsn; /* 0 = there is none */
    uint64_t end_lsn;   /* its last record, 0 = it runs */
    uint64_t bytes;     /* of its records */
    uint32_t asset;     /* the next one */
    bool assets_done;
    struct tri_participant_effects effects;
};

/* tri_scribe_init borrows all three, which are open. */
void tri_scribe_init(struct tri_scribe *scribe, struct tri_participant *participant,
                     struct tri_files *files, struct tri_store *store);

/* tri_scribe_append carries an APPEND effect of the last step out; the ledger is as the effects
 * before it have left it. */
void tri_scribe_append(struct tri_scribe *scribe, const struct tri_participant_effect *append);

/* tri_scribe_replay takes a record back.  Returns 0, or -EBADMSG with one line in `why`. */
int tri_scribe_replay(struct tri_scribe *scribe, const struct tri_log_record *record,
                      uint64_t now_ns, uint64_t wall_ms, char why[TRI_STORE_WHY_BYTES]);

/* tri_scribe_turn goes on with a checkpoint, begins one that is due, or tells the log of one that
 * has become durable.  No operation may be half done: between frames only. */
void tri_scribe_turn(struct tri_scribe *scribe, uint64_t now_ns, uint64_t wall_ms);
/* Whether there is more to do for a checkpoint at once. */
bool tri_scribe_is_busy(const struct tri_scribe *scribe);

#endif
