/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When is a route fresh, so that the engine resends what is open?  Whenever
 * frames may be lost: the port that a shard used has gone; a port in use says
 * that it dropped frames; or a route moves away from a port that was not up,
 * because it may have dropped frames and its later report would find nobody.
 * A route that moves from a healthy port to a nearer one loses nothing.
 */
#include "shards/registry.h"

#include <string.h>

/* One chain at one shard. */
struct seat {
    /* As claimed by the shard. */
    tri_port port;
    bool is_up;
    bool was_up; /* this port has carried frames */
    /* What the shard was told last, or has to be told. */
    bool verdict_due;
    bool route_due;
    bool route_up;
    bool route_fresh;
    enum tri_error verdict_code;
    tri_port verdict_port;
    tri_port route_port;
};

struct tri_registry {
    uint32_t chain_count;
    uint32_t shards;
    uint32_t due_count; /* verdicts and routes that wait */
    uint64_t *instances;
    struct seat *seats; /* chain by chain, shard by shard */
};

size_t tri_registry_footprint(uint32_t chain_count, uint32_t shards)
{
    return sizeof(struct tri_registry) + chain_count * sizeof(uint64_t) +
           (size_t)chain_count * shards * sizeof(struct seat);
}

struct tri_registry *tri_registry_init(void *memory, uint32_t chain_count, uint32_t shards)
{
    struct tri_registry *registry = memory;

    assert((uintptr_t)memory % 8 == 0);
    assert(chain_count >= 1);
    assert(shards >= 1);
    memset(memory, 0, tri_registry_footprint(chain_count, shards));
    registry->chain_count = chain_count;
    registry->shards = shards;
    registry->instances = (void *)(registry + 1);
    registry->seats = (void *)(registry->instances + chain_count);
    return registry;
}

static struct seat *registry_seat(const struct tri_registry *registry, uint32_t shard,
                                  uint16_t chain)
{
    assert(shard < registry->shards);
    assert(chain < registry->chain_count);
    return &registry->seats[(size_t)chain * registry->shards + shard];
}

static void registry_set_due(struct tri_registry *registry, bool *due, bool value)
{
    if (*due != value) {
        registry->due_count += value ? 1U : UINT32_MAX;
    }
    *due = value;
}

static void registry_judge(struct tri_registry *registry, struct seat *seat, tri_port port,
                           enum tri_error code)
{
    seat->verdict_port = port;
    seat->verdict_code = code;
    registry_set_due(registry, &seat->verdict_due, true);
}

static void registry_vacate(struct seat *seat)
{
    seat->port = 0;
    seat->is_up = false;
    seat->was_up = false;
}

/* The seat that holds `port` now, NULL if it has gone. */
static const struct seat *registry_seat_of(const struct tri_registry *registry, uint16_t chain,
                                           tri_port port)
{
    const struct seat *seat = NULL;

    if (port == 0) {
        return NULL;
    }
    seat = registry_seat(registry, TRI_PORT_SHARD(port), chain);
    return seat->port == port ? seat : NULL;
}

/* The port that `shard` should use: its own, the first one that is up, the present one, any. */
static tri_port registry_choose(const struct tri_registry *registry, uint32_t shard, uint16_t chain)
{
    const struct seat *own = registry_seat(registry, shard, chain);
    tri_port any = 0;

    if (own->is_up) {
        return own->port;
    }
    for (uint32_t i = 0; i < registry->shards; i++) {
        const struct seat *seat = registry_seat(registry, i, chain);

        if (seat->is_up) {
            return seat->port;
        }
        if (any == 0) {
            any = seat->port;
        }
    }
    return registry_seat_of(registry, chain, own->route_port) != NULL ? own->route_port : any;
}

static void registry_reroute(struct tri_registry *registry, uint16_t chain, tri_port fresh_port)
{
    for (uint32_t i = 0; i < registry->shards; i++) {
        struct seat *told = registry_seat(registry, i, chain);
        const struct seat *old = registry_seat_of(registry, chain, told->route_port);
        tri_port port = registry_choose(registry, i, chain);
        const struct seat *seat = registry_seat_of(registry, chain, port);
        bool is_up = seat != NULL && seat->is_up;
        bool is_fresh = fresh_port != 0;

        if (port != told->route_port && (old == NULL || !old->is_up)) {
            is_fresh = true;
        }
        if (port == told->route_port && is_up == told->route_up && !is_fresh) {
            continue;
        }
        told->route_port = port;
        told->route_up = is_up;
        told->route_fresh = told->route_fresh || is_fresh;
        registry_set_due(registry, &told->route_due, true);
    }
}

/* A HELLO: the instance decides. */
static void registry_admit(struct tri_registry *registry, uint32_t shard,
                           const struct tri_claim *claim)
{
    struct seat *seat = registry_seat(registry, shard, claim->chain);
    uint64_t *instance = &registry->instances[claim->chain];

    registry_vacate(seat);
    if (claim->instance < *instance) {
        registry_judge(registry, seat, claim->port, TRI_ERROR_INSTANCE_SUPERSEDED);
        return;
    }
    for (uint32_t i = 0; claim->instance > *instance && i < registry->shards; i++) {
        struct seat *other = registry_seat(registry, i, claim->chain);

        if (other->port != 0) {
            registry_judge(registry, other, other->port, TRI_ERROR_INSTANCE_SUPERSEDED);
            registry_vacate(other);
        }
    }
    *instance = claim->instance;
    seat->port = claim->port;
    registry_judge(registry, seat, claim->port, TRI_ERROR_NONE);
}

void tri_registry_claim(struct tri_registry *registry, uint32_t shard,
                        const struct tri_claim *claim)
{
    struct seat *seat = registry_seat(registry, shard, claim->chain);
    tri_port fresh_port = 0;

    if (claim->port == 0) {
        registry_vacate(seat);
    } else if (claim->port != seat->port) {
        assert(TRI_PORT_SHARD(claim->port) == shard);
        registry_admit(registry, shard, claim);
    }
    if (seat->port != 0 && seat->port == claim->port) {
        /* A new connection is fresh for those whose route comes to it: registry_reroute sees that.
         */
        fresh_port = claim->is_fresh && seat->was_up ? seat->port : 0;
        seat->is_up = claim->is_up;
        seat->was_up = seat->was_up || claim->is_up;
    }
    registry_reroute(registry, claim->chain, fresh_port);
}

bool tri_registry_has_news(const struct tri_registry *registry)
{
    return registry->due_count > 0;
}

bool tri_registry_verdict(const struct tri_registry *registry, uint32_t shard, uint16_t chain,
                          struct tri_verdict *verdict)
{
    const struct seat *seat = registry_seat(registry, shard, chain);

    *verdict = (struct tri_verdict){
        .chain = chain, .code = seat->verdict_code, .port = seat->verdict_port};
    return seat->verdict_due;
}

void tri_registry_verdict_told(struct tri_registry *registry, uint32_t shard, uint16_t chain)
{
    registry_set_due(registry, &registry_seat(registry, shard, chain)->verdict_due, false);
}

bool tri_registry_route(const struct tri_registry *registry, uint32_t shard, uint16_t chain,
                        struct tri_route_news *news)
{
    const struct seat *seat = registry_seat(registry, shard, chain);

    *news = (struct tri_route_news){.chain = chain,
                                    .is_up = seat->route_up,
                                    .is_fresh = seat->route_fresh,
                                    .port = seat->route_port};
    return seat->route_due;
}

void tri_registry_route_told(struct tri_registry *registry, uint32_t shard, uint16_t chain)
{
    struct seat *seat = registry_seat(registry, shard, chain);

    seat->route_fresh = false;
    registry_set_due(registry, &seat->route_due, false);
}
