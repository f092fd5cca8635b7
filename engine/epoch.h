/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epoch: which primary records share one place in a stream of finality records (F01, F08).
 *
 * The messages that one finality record proves are an epoch.  Epochs close by themselves: one ends
 * when the first of its records is durable, or when it holds much.  So a lone message is an epoch
 * of its own and waits for nothing; under load an epoch is as long as the flush that makes its
 * first record durable; and no timer and no other shard takes part.
 *
 * The number of the epoch stands in each primary record.  So which messages an epoch holds can be
 * read from the journal alone, and a restart that finds some of them closes the epoch with these:
 * the others were never announced (D02, D04).
 *
 * Threads: as the engine.
 */
#ifndef TRI_ENGINE_EPOCH_H
#define TRI_ENGINE_EPOCH_H

#include <stdbool.h>

#include "engine/limits.h"

/* An epoch holds no more messages than this, and no message joins one that holds so many bytes:
 * whoever gathers an epoch has room for these and one message more. */
#define TRI_EPOCH_MESSAGES_MAX 4096U
#define TRI_EPOCH_BYTES_MAX    (UINT32_C(1) << 20)

struct tri_epoch {
    uint64_t number;    /* of the last epoch that was begun; 0 = none */
    uint64_t first_lsn; /* of its first record; 0 = it is closed */
    uint32_t count;     /* messages in it */
    uint32_t bytes;     /* of these */
    bool is_forced;     /* F06: it holds forced messages, and no others */
};

/* tri_epoch_join returns the number of the epoch of the primary record `lsn`, whose message has
 * `bytes` and came on the forced path or not: the open epoch's, or a new one's. */
uint64_t tri_epoch_join(struct tri_epoch *epoch, uint64_t lsn, uint32_t bytes, bool is_forced);

/* tri_epoch_durable closes the epoch if its first record is durable. */
void tri_epoch_durable(struct tri_epoch *epoch, uint64_t durable_lsn);

/* Every epoch up to here gets no message any more. */
static inline uint64_t tri_epoch_closed(const struct tri_epoch *epoch)
{
    return epoch->first_lsn == 0 ? epoch->number : epoch->number - 1;
}

#endif
