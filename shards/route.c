/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/route.h"

#include <assert.h>

static_assert(TRI_SHARDS_MAX <= 256, "shard_of_slot holds a shard in one byte");

void tri_route_init(struct tri_route *route, const uint8_t secret[TRI_ROUTE_SECRET_BYTES],
                    uint32_t shards)
{
    assert(shards >= 1);
    assert(shards <= TRI_SHARDS_MAX);
    tri_seed_init(&route->seed, secret);
    for (uint32_t slot = 0; slot < TRI_SLOT_COUNT; slot++) {
        route->shard_of_slot[slot] = (uint8_t)(slot * shards / TRI_SLOT_COUNT);
    }
}

struct tri_key tri_route_key(const struct tri_route *route, struct tri_text id)
{
    return tri_seed_key(&route->seed, id);
}
