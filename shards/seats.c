/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seats: the chains and watchers that are connected to a shard, and what the
 * shards tell each other of them.
 *
 * Whatever happens to a connection changes a state here and marks who has to
 * be told; tri_seats_news() tells as much as there is room for and keeps the
 * marks of the rest.  So a connection may come and go without waiting for
 * anybody, and nothing is queued.
 */
#include <string.h>

#include "shards/delivery.h"
#include "shards/state.h"

/* Sends one state to another shard; false: no room now. */
static bool seats_tell(struct tri_shard *shard, uint32_t to, enum tri_record_kind kind,
                       const void *body, size_t body_bytes)
{
    uint32_t bytes = 8 + (uint32_t)body_bytes;
    uint8_t *room = NULL;

    assert(to != shard->index);
    room = tri_mesh_reserve(shard->mesh, shard->index, to, TRI_LANE_DELIVER, bytes);
    if (room == NULL) {
        shard->is_blocked = true;
        return false;
    }
    memset(room, 0, 8);
    memcpy(room, &kind, sizeof(kind));
    memcpy(room + 8, body, body_bytes);
    tri_mesh_commit(shard->mesh, shard->index, to, TRI_LANE_DELIVER, bytes);
    return true;
}

static void seats_mark_claim(struct tri_shard *shard, struct tri_chain_seat *seat)
{
    shard->claims_due += seat->claim_due ? 0 : 1;
    seat->claim_due = true;
}

static void seats_vacate(struct tri_shard *shard, struct tri_chain_seat *seat)
{
    seat->port = 0;
    seat->is_up = false;
    seat->is_fresh = false;
    seats_mark_claim(shard, seat);
}

static void seats_supersede(struct tri_shard *shard, tri_port port)
{
    shard->counters.instances_superseded++;
    tri_delivery_error(shard, port, (struct tri_text){.at = "", .bytes = 0},
                       TRI_ERROR_INSTANCE_SUPERSEDED, "", true);
}

void tri_shard_chain_hello(struct tri_shard *shard, tri_port port, uint16_t chain,
                           uint64_t instance)
{
    struct tri_chain_seat *seat = &shard->seats[chain];

    assert(TRI_PORT_SHARD(port) == shard->index);
    assert(chain < shard->chain_count);
    assert(shard->local == NULL);
    if (seat->port != 0 && instance < seat->instance) {
        seats_supersede(shard, port);
        return;
    }
    if (seat->port != 0) {
        seats_supersede(shard, seat->port);
        seats_vacate(shard, seat);
    }
    seat->port = port;
    seat->instance = instance;
    seats_mark_claim(shard, seat);
}

void tri_shard_chain_up(struct tri_shard *shard, tri_port port, uint16_t chain, bool is_fresh)
{
    struct tri_chain_seat *seat = &shard->seats[chain];

    assert(chain < shard->chain_count);
    if (seat->port != port) {
        return; /* superseded meanwhile */
    }
    seat->is_up = true;
    seat->is_fresh = seat->is_fresh || is_fresh;
    seats_mark_claim(shard, seat);
}

void tri_shard_chain_down(struct tri_shard *shard, tri_port port, uint16_t chain)
{
    struct tri_chain_seat *seat = &shard->seats[chain];

    assert(chain < shard->chain_count);
    if (seat->port != port) {
        return;
    }
    seat->is_up = false;
    seats_mark_claim(shard, seat);
}

void tri_shard_port_gone(struct tri_shard *shard, tri_port port, const struct tri_peer *peer)
{
    if (peer->role == TRI_ROLE_OPERATOR) {
        tri_seats_unwatch(shard, port);
    }
    if (peer->role == TRI_ROLE_CHAIN && shard->seats[peer->chain].port == port) {
        seats_vacate(shard, &shard->seats[peer->chain]);
    }
}

void tri_seats_claim(struct tri_shard *shard, uint32_t from, const struct tri_claim *claim)
{
    assert(shard->index == 0); /* where the registry is */
    tri_registry_claim(shard->registry, from, claim);
}

void tri_seats_verdict(struct tri_shard *shard, const struct tri_verdict *verdict)
{
    struct tri_chain_seat *seat = &shard->seats[verdict->chain];

    assert(verdict->chain < shard->chain_count);
    if (seat->port != verdict->port) {
        return; /* it has gone, or another has come */
    }
    if (verdict->code == TRI_ERROR_NONE) {
        shard->ops->welcome(shard->ops_context, verdict->port, verdict->chain);
        return;
    }
    seats_supersede(shard, seat->port);
    seats_vacate(shard, seat);
}

void tri_seats_route(struct tri_shard *shard, const struct tri_route_news *news)
{
    struct tri_chain_seat *seat = &shard->seats[news->chain];

    assert(news->chain < shard->chain_count);
    seat->route = news->port;
    seat->route_up = news->is_up;
    seat->route_fresh = seat->route_fresh || news->is_fresh;
    shard->engine_news_due += seat->engine_due ? 0 : 1;
    seat->engine_due = true;
}

void tri_seats_watchers(struct tri_shard *shard, uint32_t from,
                        const tri_port watchers[TRI_WATCHERS_MAX])
{
    struct tri_watcher kept[TRI_WATCHERS_MAX];
    uint32_t kept_count = 0;
    uint32_t count = 0;

    /* Take the old ones of that shard out, and put the new ones in with the counts they had. */
    for (uint32_t i = 0; i < shard->watcher_count; i++) {
        if (TRI_PORT_SHARD(shard->watchers[i].port) == from) {
            assert(kept_count < TRI_WATCHERS_MAX);
            kept[kept_count] = shard->watchers[i];
            kept_count++;
        } else {
            shard->watchers[count] = shard->watchers[i];
            count++;
        }
    }
    for (uint32_t i = 0; i < TRI_WATCHERS_MAX; i++) {
        struct tri_watcher watcher = {.port = watchers[i], .missed = 0};

        for (uint32_t j = 0; j < kept_count; j++) {
            watcher.missed += kept[j].port == watcher.port ? kept[j].missed : 0;
        }
        if (watcher.port != 0) {
            shard->watchers[count] = watcher;
            count++;
        }
    }
    shard->watcher_count = count;
}

/* The list of this shard's own watchers has changed. */
static void seats_watchers_changed(struct tri_shard *shard)
{
    uint64_t all =
        shard->shards == TRI_SHARDS_MAX ? UINT64_MAX : (UINT64_C(1) << shard->shards) - 1;

    tri_seats_watchers(shard, shard->index, shard->own_watchers);
    shard->watchers_due = all & ~(UINT64_C(1) << shard->index);
}

bool tri_seats_watch(struct tri_shard *shard, tri_port port)
{
    tri_port *place = NULL;

    assert(port != 0);
    for (uint32_t i = 0; i < TRI_WATCHERS_MAX; i++) {
        if (shard->own_watchers[i] == port) {
            return true;
        }
        if (shard->own_watchers[i] == 0 && place == NULL) {
            place = &shard->own_watchers[i];
        }
    }
    if (place == NULL) {
        return false;
    }
    *place = port;
    seats_watchers_changed(shard);
    return true;
}

void tri_seats_unwatch(struct tri_shard *shard, tri_port port)
{
    for (uint32_t i = 0; i < TRI_WATCHERS_MAX; i++) {
        if (shard->own_watchers[i] == port) {
            shard->own_watchers[i] = 0;
            seats_watchers_changed(shard);
        }
    }
}

static uint32_t seats_tell_claims(struct tri_shard *shard)
{
    uint32_t told = 0;

    for (uint32_t i = 0; shard->claims_due > 0 && i < shard->chain_count; i++) {
        struct tri_chain_seat *seat = &shard->seats[i];
        struct tri_claim claim = {0};

        if (!seat->claim_due) {
            continue;
        }
        claim.chain = (uint16_t)i;
        claim.is_up = seat->is_up;
        claim.is_fresh = seat->is_fresh;
        claim.port = seat->port;
        claim.instance = seat->instance;
        if (shard->index == 0) {
            tri_seats_claim(shard, 0, &claim);
        } else if (!seats_tell(shard, 0, TRI_RECORD_CLAIM, &claim, sizeof(claim))) {
            return told;
        }
        seat->claim_due = false;
        seat->is_fresh = false;
        shard->claims_due--;
        told++;
    }
    return told;
}

/* Tells one shard what the registry has for it about one chain; false: no room. */
static bool seats_tell_registry(struct tri_shard *shard, uint32_t to, uint16_t chain,
                                uint32_t *told)
{
    struct tri_registry *registry = shard->registry;
    struct tri_route_news news;
    struct tri_verdict verdict;

    if (tri_registry_verdict(registry, to, chain, &verdict)) {
        if (to != 0 && !seats_tell(shard, to, TRI_RECORD_VERDICT, &verdict, sizeof(verdict))) {
            return false;
        }
        tri_registry_verdict_told(registry, to, chain);
        if (to == 0) {
            tri_seats_verdict(shard, &verdict);
        }
        ++*told;
    }
    if (tri_registry_route(registry, to, chain, &news)) {
        if (to != 0 && !seats_tell(shard, to, TRI_RECORD_ROUTE, &news, sizeof(news))) {
            return false;
        }
        tri_registry_route_told(registry, to, chain);
        if (to == 0) {
            tri_seats_route(shard, &news);
        }
        ++*told;
    }
    return true;
}

static uint32_t seats_tell_all(struct tri_shard *shard)
{
    uint32_t told = 0;

    for (uint32_t i = 0; tri_registry_has_news(shard->registry) && i < shard->chain_count; i++) {
        for (uint32_t to = 0; to < shard->shards; to++) {
            /* Without room for this shard the others still get theirs. */
            (void)seats_tell_registry(shard, to, (uint16_t)i, &told);
        }
    }
    return told;
}

static uint32_t seats_tell_watchers(struct tri_shard *shard)
{
    uint32_t told = 0;

    for (uint64_t rest = shard->watchers_due; rest != 0; rest &= rest - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(rest);

        if (seats_tell(shard, to, TRI_RECORD_WATCHERS, shard->own_watchers,
                       sizeof(shard->own_watchers))) {
            shard->watchers_due &= ~(UINT64_C(1) << to);
            told++;
        }
    }
    return told;
}

static uint32_t seats_tell_engine(struct tri_shard *shard)
{
    uint32_t told = 0;

    for (uint32_t i = 0; shard->engine_news_due > 0 && i < shard->chain_count; i++) {
        struct tri_chain_seat *seat = &shard->seats[i];
        bool is_up = seat->route_up && (!seat->engine_up || seat->route_fresh);
        bool is_down = !seat->route_up && seat->engine_up;
        struct tri_event event;

        if (!seat->engine_due) {
            continue;
        }
        if (is_up || is_down) {
            if (!tri_shard_ready(shard, true)) {
                return told;
            }
            event.type = is_up ? TRI_EVENT_CHAIN_UP : TRI_EVENT_CHAIN_DOWN;
            event.chain.chain = (uint16_t)i;
            event.chain.is_fresh = is_up && seat->route_fresh;
            seat->engine_up = is_up;
            seat->route_fresh = seat->route_fresh && !is_up;
            (void)tri_shard_step(shard, &event);
            (void)tri_shard_ready(shard, false);
            told++;
        }
        seat->engine_due = false;
        shard->engine_news_due--;
    }
    return told;
}

uint32_t tri_seats_news(struct tri_shard *shard)
{
    uint32_t told = 0;

    if (shard->claims_due > 0) {
        told += seats_tell_claims(shard);
    }
    if (shard->registry != NULL && tri_registry_has_news(shard->registry)) {
        told += seats_tell_all(shard);
    }
    if (shard->watchers_due != 0) {
        told += seats_tell_watchers(shard);
    }
    if (shard->engine_news_due > 0) {
        told += seats_tell_engine(shard);
    }
    return told;
}
