/* SPDX-License-Identifier: Apache-2.0 */
/* A message behind its primary record, from the archive back to the engine (F04). */
#include <string.h>

#include "shards/finality.h"
#include "shards/state.h"

static bool redeliver_chain(const struct tri_shard *shard, struct tri_text id, uint16_t *chain)
{
    for (uint32_t i = 0; i < shard->chain_count; i++) {
        struct tri_text known = shard->chains[i].id;

        if (known.bytes == id.bytes && memcmp(known.at, id.at, id.bytes) == 0) {
            *chain = (uint16_t)i;
            return true;
        }
    }
    return false;
}

/* The chains that the leaf names; false: one is not configured any more. */
static bool redeliver_chains(const struct tri_shard *shard, const struct tri_leaf *leaf,
                             uint16_t chains[TRI_TARGETS_MAX])
{
    for (uint32_t i = 0; i < leaf->chain_count; i++) {
        if (!redeliver_chain(shard, leaf->chains[i], &chains[i])) {
            return false;
        }
    }
    return true;
}

enum tri_result tri_shard_redeliver(struct tri_shard *shard,
                                    const struct tri_shard_redelivery *what, uint64_t now_ns,
                                    uint64_t wall_ms)
{
    struct tri_writer writer = {shard->scratch, shard->scratch + TRI_SCRATCH_BYTES, false};
    struct tri_event event = {.type = TRI_EVENT_REDELIVER};
    uint16_t chains[TRI_TARGETS_MAX];
    const struct tri_message *message = &shard->decoded.submit;
    struct tri_wire_fault fault;
    struct tri_leaf leaf;
    const char *refused = NULL;
    enum tri_result result = TRI_OK;

    tri_shard_time(shard, now_ns, wall_ms);
    if (!tri_shard_ready(shard, true)) {
        return TRI_FULL;
    }
    tri_wire_put_delivery(&writer, what->content);
    if (writer.failed || !tri_leaf_get(what->leaf, &leaf, &refused) ||
        tri_wire_decode(shard->scratch, (uint32_t)(writer.at - shard->scratch), &shard->decoded,
                        &fault) != TRI_OK ||
        !redeliver_chains(shard, &leaf, chains)) {
        return TRI_VIOLATION;
    }
    event.redeliver.key = tri_route_key(shard->route, message->id);
    assert(tri_route_shard(shard->route, event.redeliver.key) == shard->index);
    event.redeliver.hash = tri_digest_content(message->canonical);
    event.redeliver.message = message;
    event.redeliver.attempt = what->attempt;
    event.redeliver.since_ms =
        message->timestamp_ms < what->since_ms ? message->timestamp_ms : what->since_ms;
    event.redeliver.chains = chains;
    event.redeliver.chain_count = leaf.chain_count;
    event.redeliver.client = what->client;
    result = tri_shard_step(shard, &event);
    (void)tri_shard_ready(shard, false);
    return result;
}
