/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal: what a shard asks of the thing that makes records durable.
 *
 * The shard hands over records in the order of their LSNs and asks how far
 * they are durable; it holds every frame that names a later LSN.  Whether a
 * file, a replicated store or nothing stands behind this, it cannot tell.
 *
 * Threads: a journal belongs to its shard's thread.
 */
#ifndef TRI_SHARDS_JOURNAL_H
#define TRI_SHARDS_JOURNAL_H

#include "tricast_engine.h"

struct tri_journal_ops {
    /* append takes over one APPEND effect, whose view is borrowed until the call returns.  LSNs
     * come without gaps.  False: no room now; the shard stops and offers it again in its next turn,
     * unless the journal has failed by then: nothing is offered to it any more. */
    bool (*append)(void *context, const struct tri_effect *effect);
    /* durable returns the LSN up to which every record is durable, 0 = none.  Never goes back. */
    uint64_t (*durable)(void *context);
    /* failed returns the first LSN that will never be known to be durable (D07), 0 = none. */
    uint64_t (*failed)(void *context);
    /* begin_checkpoint says whether a checkpoint has to begin now, with the next record; the shard
     * then steps the engine until it is complete.  NULL: never. */
    bool (*begin_checkpoint)(void *context);
};

/*
 * The journal that keeps nothing: every record counts as durable when it is appended.  For
 * benchmarks and demonstrations; what it is told is lost with the process.
 */
struct tri_journal_none {
    uint64_t lsn; /* start with 0 */
};
extern const struct tri_journal_ops tri_journal_none_ops; /* context: struct tri_journal_none */

#endif
