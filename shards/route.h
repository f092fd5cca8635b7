/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Route: originalMessageId -> key -> slot -> shard (H02, D06).
 *
 * The key is the 128-bit XXH3 of the id under the deployment's secret: nobody
 * who does not know the secret can aim many ids at one shard or one table
 * bucket.  The slot is the key's top 12 bits and never changes while the
 * secret lives; slots are dealt to shards in even, contiguous runs, so the
 * number of shards may change between starts.
 *
 * Threads: read-only after tri_route_init(); any number of readers.
 */
#ifndef TRI_SHARDS_ROUTE_H
#define TRI_SHARDS_ROUTE_H

#include "engine/limits.h"
#include "tricast/keys.h"

#define TRI_ROUTE_SECRET_BYTES 32U
#define TRI_ROUTE_SLOT_BITS    12U

struct tri_route {
    struct tri_seed seed; /* what XXH3 reads as its secret */
    uint8_t shard_of_slot[TRI_SLOT_COUNT];
};

/*
 * tri_route_init derives the tables.
 *
 * secret  in; TRI_ROUTE_SECRET_BYTES bytes, not kept.
 * shards  1..TRI_SHARDS_MAX.
 */
void tri_route_init(struct tri_route *route, const uint8_t secret[TRI_ROUTE_SECRET_BYTES],
                    uint32_t shards);

/* tri_route_key hashes an id.  Cost: a few nanoseconds; no allocation. */
struct tri_key tri_route_key(const struct tri_route *route, struct tri_text id);

static inline uint32_t tri_route_slot(struct tri_key key)
{
    return (uint32_t)(key.hi >> (64U - TRI_ROUTE_SLOT_BITS));
}

static inline uint32_t tri_route_shard(const struct tri_route *route, struct tri_key key)
{
    return route->shard_of_slot[tri_route_slot(key)];
}

static_assert(1U << TRI_ROUTE_SLOT_BITS == TRI_SLOT_COUNT, "every slot has a number and no other");

#endif
