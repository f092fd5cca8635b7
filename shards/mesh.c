/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping is the old puzzle of two flags.  The sleeper raises its flag and
 * then looks at its rings; the producer pushes and then looks at the flag.
 * With a store-load fence between the two steps on both sides, at least one
 * of them sees what the other did: the sleeper stays awake or is woken.  The
 * producer takes the flag down with an exchange, so that of many producers
 * only one wakes.
 */
#include "shards/mesh.h"

#include <stdatomic.h>
#include <string.h>

struct member {
    alignas(TRI_CACHE_LINE) atomic_bool is_sleeping;
    _Atomic uint64_t wants; /* while it sleeps: the shards whose empty blocks it waits for */
    /* The shard's own. */
    alignas(TRI_CACHE_LINE) uint64_t filled_for; /* shards that got records since the last look */
    uint64_t emptied_for;                        /* shards that got their blocks back since then */
};

struct tri_mesh {
    uint32_t shards;
    uint32_t joined; /* shards that have lanes to each other: all or none */
    struct tri_pipe *lanes;
    struct member members[TRI_SHARDS_MAX];
};

static size_t mesh_round_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

static uint32_t mesh_lane_count(uint32_t shards)
{
    return shards * shards *
           TRI_LANE_COUNT; /* a shard's lanes to itself stay unused and blockless */
}

static struct tri_pipe *mesh_lane(const struct tri_mesh *mesh, uint32_t from, uint32_t to,
                                  enum tri_lane lane)
{
    assert(from < mesh->joined);
    assert(to < mesh->joined);
    assert(from != to);
    return &mesh->lanes[(from * mesh->joined + to) * TRI_LANE_COUNT + lane];
}

size_t tri_mesh_footprint(uint32_t shards, uint32_t blocks)
{
    size_t pairs = (size_t)shards * (shards - 1) * TRI_LANE_COUNT;

    assert(shards >= 1);
    assert(shards <= TRI_SHARDS_MAX);
    if (blocks == 0) {
        return mesh_round_up(sizeof(struct tri_mesh));
    }
    return mesh_round_up(sizeof(struct tri_mesh)) +
           mesh_lane_count(shards) * sizeof(struct tri_pipe) + pairs * tri_pipe_footprint(blocks);
}

struct tri_mesh *tri_mesh_init(void *memory, uint32_t shards, uint32_t blocks, unsigned int start)
{
    struct tri_mesh *mesh = memory;
    uint8_t *at = memory;

    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    memset(mesh, 0, sizeof(*mesh));
    mesh->shards = shards;
    mesh->joined = blocks == 0 ? 0 : shards;
    at += mesh_round_up(sizeof(*mesh));
    mesh->lanes = (void *)at;
    memset(mesh->lanes, 0, mesh_lane_count(mesh->joined) * sizeof(struct tri_pipe));
    at += mesh_lane_count(mesh->joined) * sizeof(struct tri_pipe);
    for (uint32_t i = 0; i < shards; i++) {
        atomic_init(&mesh->members[i].is_sleeping, false);
        atomic_init(&mesh->members[i].wants, 0);
        for (uint32_t j = 0; j < mesh->joined; j++) {
            for (uint32_t k = 0; i != j && k < TRI_LANE_COUNT; k++) {
                tri_pipe_init(mesh_lane(mesh, i, j, (enum tri_lane)k), at, blocks, start);
                at += tri_pipe_footprint(blocks);
            }
        }
    }
    assert(at == (uint8_t *)memory + tri_mesh_footprint(shards, blocks));
    return mesh;
}

void *tri_mesh_reserve(struct tri_mesh *mesh, uint32_t from, uint32_t to, enum tri_lane lane,
                       uint32_t bytes)
{
    return tri_pipe_reserve(mesh_lane(mesh, from, to, lane), bytes);
}

void tri_mesh_commit(struct tri_mesh *mesh, uint32_t from, uint32_t to, enum tri_lane lane,
                     uint32_t bytes)
{
    (void)tri_pipe_commit(mesh_lane(mesh, from, to, lane), bytes);
}

void tri_mesh_publish(struct tri_mesh *mesh, uint32_t from)
{
    for (uint32_t to = 0; to < mesh->joined; to++) {
        for (uint32_t i = 0; to != from && i < TRI_LANE_COUNT; i++) {
            if (tri_pipe_publish(mesh_lane(mesh, from, to, (enum tri_lane)i))) {
                mesh->members[from].filled_for |= UINT64_C(1) << to;
            }
        }
    }
}

const void *tri_mesh_peek(struct tri_mesh *mesh, uint32_t to, uint32_t from, enum tri_lane lane,
                          uint32_t *bytes)
{
    return tri_pipe_peek(mesh_lane(mesh, from, to, lane), bytes);
}

void tri_mesh_pop(struct tri_mesh *mesh, uint32_t to, uint32_t from, enum tri_lane lane)
{
    if (tri_pipe_pop(mesh_lane(mesh, from, to, lane))) {
        mesh->members[to].emptied_for |= UINT64_C(1) << from;
    }
}

/* Whether there is a record for `shard` that it takes. */
static bool mesh_has_records(const struct tri_mesh *mesh, uint32_t shard, bool takes_steps)
{
    for (uint32_t from = 0; from < mesh->joined; from++) {
        for (uint32_t i = 0; from != shard && i < TRI_LANE_COUNT; i++) {
            const struct tri_pipe *lane = mesh_lane(mesh, from, shard, (enum tri_lane)i);

            if ((i != TRI_LANE_STEP || takes_steps) && !tri_pipe_is_empty(lane)) {
                return true;
            }
        }
    }
    return false;
}

/* The shards whose credit `shard` lacks; with `at_home`, those of them that have given it
 * meanwhile. */
static uint64_t mesh_starved(struct tri_mesh *mesh, uint32_t shard, bool at_home)
{
    uint64_t mask = 0;

    for (uint32_t to = 0; to < mesh->joined; to++) {
        for (uint32_t i = 0; to != shard && i < TRI_LANE_COUNT; i++) {
            struct tri_pipe *lane = mesh_lane(mesh, shard, to, (enum tri_lane)i);

            if (at_home ? tri_pipe_is_fed(lane) : tri_pipe_is_starved(lane)) {
                mask |= UINT64_C(1) << to;
            }
        }
    }
    return mask;
}

bool tri_mesh_sleep(struct tri_mesh *mesh, uint32_t shard, bool takes_steps)
{
    struct member *member = &mesh->members[shard];
    uint64_t starved = 0;

    assert(shard < mesh->shards);
    starved = mesh_starved(mesh, shard, false);
    atomic_store_explicit(&member->wants, starved, memory_order_relaxed);
    /* pairs with the acquire load in tri_mesh_sleepers */
    atomic_store_explicit(&member->is_sleeping, true, memory_order_release);
    tri_ring_fence(); /* pairs with the fence in tri_mesh_sleepers */
    if (mesh_has_records(mesh, shard, takes_steps) ||
        (starved != 0 && mesh_starved(mesh, shard, true) != 0)) {
        tri_mesh_awake(mesh, shard);
        return false;
    }
    return true;
}

void tri_mesh_awake(struct tri_mesh *mesh, uint32_t shard)
{
    assert(shard < mesh->shards);
    atomic_store_explicit(&mesh->members[shard].is_sleeping, false, memory_order_relaxed);
}

uint64_t tri_mesh_sleepers(struct tri_mesh *mesh, uint32_t shard)
{
    struct member *self = &mesh->members[shard];
    uint64_t touched = self->filled_for | self->emptied_for;
    uint64_t sleepers = 0;

    assert((touched & (UINT64_C(1) << shard)) == 0);
    if (touched == 0) {
        return 0;
    }
    tri_ring_fence(); /* pairs with the fence in tri_mesh_sleep */
    for (uint32_t i = 0; i < mesh->shards; i++) {
        struct member *other = &mesh->members[i];
        uint64_t bit = UINT64_C(1) << i;

        /* pairs with the release store in tri_mesh_sleep */
        if ((touched & bit) == 0 ||
            !atomic_load_explicit(&other->is_sleeping, memory_order_acquire)) {
            continue;
        }
        if ((self->filled_for & bit) == 0 &&
            (atomic_load_explicit(&other->wants, memory_order_relaxed) >> shard & 1U) == 0) {
            continue;
        }
        if (atomic_exchange_explicit(&other->is_sleeping, false, memory_order_relaxed)) {
            sleepers |= bit;
        }
    }
    self->filled_for = 0;
    self->emptied_for = 0;
    return sleepers;
}

bool tri_mesh_rouse(struct tri_mesh *mesh, uint32_t shard)
{
    struct member *member = &mesh->members[shard];

    assert(shard < mesh->shards);
    /* pairs with the release store in tri_mesh_sleep */
    return atomic_load_explicit(&member->is_sleeping, memory_order_acquire) &&
           atomic_exchange_explicit(&member->is_sleeping, false, memory_order_relaxed);
}

uint64_t tri_mesh_blocks_sent(const struct tri_mesh *mesh, uint32_t shard)
{
    uint64_t sent = 0;

    for (uint32_t to = 0; to < mesh->joined; to++) {
        for (uint32_t i = 0; to != shard && i < TRI_LANE_COUNT; i++) {
            sent += mesh_lane(mesh, shard, to, (enum tri_lane)i)->blocks_sent;
        }
    }
    return sent;
}
