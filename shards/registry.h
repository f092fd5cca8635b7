/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry: which instance and which connections speak for each chain (P15).
 *
 * It lives at shard 0 and knows nothing of rings or sockets.  Each shard has
 * at most one connection per chain, its seat; the shard claims it, the
 * registry answers with a verdict, and tells every shard the route: the port
 * that its frames to the chain take, which is the shard's own seat if that is
 * up, else the first one that is.
 *
 * Claims, verdicts and routes are states, not events: each message carries
 * the newest state of one chain at one shard, a later one replaces an earlier
 * one that was not sent yet, and sending one twice does no harm.  So nothing
 * here can overflow, however often a chain reconnects.
 *
 * An instance number is remembered while the node lives: a lower one is
 * refused also after the higher one has gone.
 *
 * Threads: shard 0's only.
 */
#ifndef TRI_SHARDS_REGISTRY_H
#define TRI_SHARDS_REGISTRY_H

#include "engine/limits.h"
#include "shards/shard.h"

/* Shard to registry: the seat of one chain at the shard. */
struct tri_claim {
    uint16_t chain;
    bool is_up;        /* frames can be sent */
    bool is_fresh;     /* frames sent before may be lost */
    tri_port port;     /* 0 = nobody sits there */
    uint64_t instance; /* of the port */
};

/* Registry to shard: what became of the claim of `port`. */
struct tri_verdict {
    uint16_t chain;
    enum tri_error code; /* NONE: welcome; else ERROR with this code, and close */
    tri_port port;
};

/* Registry to shard: where frames to the chain go. */
struct tri_route_news {
    uint16_t chain;
    bool is_up;
    bool is_fresh;
    tri_port port; /* 0 = nowhere */
};

struct tri_registry;

size_t tri_registry_footprint(uint32_t chain_count, uint32_t shards);
struct tri_registry *tri_registry_init(void *memory, uint32_t chain_count, uint32_t shards);

/* tri_registry_claim takes the claim of `shard` in. */
void tri_registry_claim(struct tri_registry *registry, uint32_t shard,
                        const struct tri_claim *claim);

/* Whether anything waits to be told. */
bool tri_registry_has_news(const struct tri_registry *registry);

/*
 * tri_registry_verdict and tri_registry_route show what `shard` has to be told of `chain`; false if
 * nothing.  The *_told functions say that it was: call them after the message found room.
 */
bool tri_registry_verdict(const struct tri_registry *registry, uint32_t shard, uint16_t chain,
                          struct tri_verdict *verdict);
void tri_registry_verdict_told(struct tri_registry *registry, uint32_t shard, uint16_t chain);
bool tri_registry_route(const struct tri_registry *registry, uint32_t shard, uint16_t chain,
                        struct tri_route_news *news);
void tri_registry_route_told(struct tri_registry *registry, uint32_t shard, uint16_t chain);

#endif
