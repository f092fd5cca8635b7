/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record in a block: u32 size, u32 zero, the bytes, padding to 8.
 *
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

#include "shards/ring.h"

#define RECORD_HEAD_BYTES  8U
#define RECORD_ALIGN       8U
#define BLOCK_BYTES        90112U
#define RING_SLOTS_PER_MAX 128U

struct block {
    uint32_t used_bytes;
    uint32_t pad;
    uint8_t bytes[BLOCK_BYTES - 8];
};

static_assert(sizeof(struct block) == BLOCK_BYTES, "no hidden padding");
static_assert(BLOCK_BYTES % TRI_CACHE_LINE == 0, "blocks of two lanes never share a cache line");
static_assert(TRI_MESH_RECORD_BYTES_MAX % RECORD_ALIGN == 0,
              "the largest record is a whole number");
static_assert(TRI_MESH_RECORD_BYTES_MAX + RECORD_HEAD_BYTES <= BLOCK_BYTES - 8,
              "the largest record fits into an empty block");
static_assert(RING_SLOTS_PER_MAX > TRI_MESH_BLOCKS_MAX, "a ring holds all blocks of its lane");

TRI_RING_TYPED(block_ring, struct block);

struct lane {
    struct block_ring filled; /* producer to consumer */
    struct block_ring empty;  /* consumer to producer: the credit */
    /* The producer's own. */
    alignas(TRI_CACHE_LINE) struct block *open;
    bool is_starved; /* the last reserve gave NULL */
    /* The consumer's own. */
    alignas(TRI_CACHE_LINE) struct block *reading;
    uint32_t read_bytes;
};

struct member {
    alignas(TRI_CACHE_LINE) atomic_bool is_sleeping;
    _Atomic uint64_t wants; /* while it sleeps: the shards whose empty blocks it waits for */
    /* The shard's own. */
    alignas(TRI_CACHE_LINE) uint64_t filled_for; /* shards that got records since the last look */
    uint64_t emptied_for;                        /* shards that got their blocks back since then */
    uint64_t blocks_sent;
};

struct tri_mesh {
    uint32_t shards;
    struct lane *lanes;
    struct member members[TRI_SHARDS_MAX];
};

static uint32_t mesh_slots(uint32_t blocks)
{
    uint32_t slots = 2;

    while (slots < blocks + 1) {
        slots *= 2;
    }
    assert(slots <= RING_SLOTS_PER_MAX);
    return slots;
}

static size_t mesh_round_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

static size_t mesh_slot_bytes(uint32_t blocks)
{
    return mesh_round_up(mesh_slots(blocks) * sizeof(struct ck_ring_buffer));
}

static uint32_t mesh_lane_count(uint32_t shards)
{
    return shards * shards *
           TRI_LANE_COUNT; /* a shard's lanes to itself stay unused and blockless */
}

static struct lane *mesh_lane(const struct tri_mesh *mesh, uint32_t from, uint32_t to,
                              enum tri_lane lane)
{
    assert(from < mesh->shards);
    assert(to < mesh->shards);
    assert(from != to);
    return &mesh->lanes[(from * mesh->shards + to) * TRI_LANE_COUNT + lane];
}

size_t tri_mesh_footprint(uint32_t shards, uint32_t blocks)
{
    size_t pairs = (size_t)shards * (shards - 1) * TRI_LANE_COUNT;

    assert(shards >= 1);
    assert(shards <= TRI_SHARDS_MAX);
    assert(blocks >= 1);
    assert(blocks <= TRI_MESH_BLOCKS_MAX);
    return mesh_round_up(sizeof(struct tri_mesh)) + mesh_lane_count(shards) * sizeof(struct lane) +
           pairs * (2 * mesh_slot_bytes(blocks) + blocks * sizeof(struct block));
}

/* Formats one lane at `at` and returns the end of its memory. */
static uint8_t *mesh_lane_init(struct lane *lane, uint8_t *at, uint32_t blocks, unsigned int start)
{
    uint32_t slots = mesh_slots(blocks);

    block_ring_init(&lane->filled, (void *)at, slots, start);
    at += mesh_slot_bytes(blocks);
    block_ring_init(&lane->empty, (void *)at, slots, start);
    at += mesh_slot_bytes(blocks);
    for (uint32_t i = 0; i < blocks; i++) {
        struct block *block = (void *)at;
        bool is_pushed = false;

        block->used_bytes = 0;
        block->pad = 0;
        is_pushed = block_ring_push(&lane->empty, block);
        assert(is_pushed);
        at += sizeof(*block);
    }
    return at;
}

struct tri_mesh *tri_mesh_init(void *memory, uint32_t shards, uint32_t blocks, unsigned int start)
{
    struct tri_mesh *mesh = memory;
    uint8_t *at = memory;

    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    memset(mesh, 0, sizeof(*mesh));
    mesh->shards = shards;
    at += mesh_round_up(sizeof(*mesh));
    mesh->lanes = (void *)at;
    memset(mesh->lanes, 0, mesh_lane_count(shards) * sizeof(struct lane));
    at += mesh_lane_count(shards) * sizeof(struct lane);
    for (uint32_t i = 0; i < shards; i++) {
        atomic_init(&mesh->members[i].is_sleeping, false);
        atomic_init(&mesh->members[i].wants, 0);
        for (uint32_t j = 0; j < shards; j++) {
            if (i == j) {
                continue;
            }
            at = mesh_lane_init(mesh_lane(mesh, i, j, TRI_LANE_DELIVER), at, blocks, start);
            at = mesh_lane_init(mesh_lane(mesh, i, j, TRI_LANE_STEP), at, blocks, start);
        }
    }
    assert(at == (uint8_t *)memory + tri_mesh_footprint(shards, blocks));
    return mesh;
}

/* Sends the open block of a lane. */
static void mesh_send(struct tri_mesh *mesh, struct lane *lane, uint32_t from, uint32_t to)
{
    bool is_pushed = false;

    assert(lane->open->used_bytes > 0);
    is_pushed = block_ring_push(&lane->filled, lane->open);
    assert(is_pushed); /* the ring holds all blocks of its lane */
    lane->open = NULL;
    mesh->members[from].filled_for |= UINT64_C(1) << to;
    mesh->members[from].blocks_sent++;
}

static uint32_t mesh_record_bytes(uint32_t bytes)
{
    return RECORD_HEAD_BYTES + (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

void *tri_mesh_reserve(struct tri_mesh *mesh, uint32_t from, uint32_t to, enum tri_lane lane_name,
                       uint32_t bytes)
{
    struct lane *lane = mesh_lane(mesh, from, to, lane_name);

    assert(bytes >= 1);
    assert(bytes <= TRI_MESH_RECORD_BYTES_MAX);
    if (lane->open != NULL &&
        lane->open->used_bytes + mesh_record_bytes(bytes) > sizeof(lane->open->bytes)) {
        mesh_send(mesh, lane, from, to);
    }
    if (lane->open == NULL) {
        lane->open = block_ring_pop(&lane->empty);
        if (lane->open == NULL) {
            lane->is_starved = true;
            return NULL;
        }
        assert(lane->open->used_bytes == 0);
    }
    lane->is_starved = false;
    return lane->open->bytes + lane->open->used_bytes + RECORD_HEAD_BYTES;
}

void tri_mesh_commit(struct tri_mesh *mesh, uint32_t from, uint32_t to, enum tri_lane lane_name,
                     uint32_t bytes)
{
    struct lane *lane = mesh_lane(mesh, from, to, lane_name);
    uint32_t head[2] = {bytes, 0};

    assert(lane->open != NULL);
    assert(bytes >= 1);
    assert(lane->open->used_bytes + mesh_record_bytes(bytes) <= sizeof(lane->open->bytes));
    memcpy(lane->open->bytes + lane->open->used_bytes, head, sizeof(head));
    lane->open->used_bytes += mesh_record_bytes(bytes);
    if (lane->open->used_bytes >= TRI_MESH_BLOCK_FULL_BYTES) {
        mesh_send(mesh, lane, from, to);
    }
}

void tri_mesh_publish(struct tri_mesh *mesh, uint32_t from)
{
    for (uint32_t to = 0; to < mesh->shards; to++) {
        for (uint32_t i = 0; to != from && i < TRI_LANE_COUNT; i++) {
            struct lane *lane = mesh_lane(mesh, from, to, (enum tri_lane)i);

            if (lane->open != NULL && lane->open->used_bytes > 0) {
                mesh_send(mesh, lane, from, to);
            }
        }
    }
}

const void *tri_mesh_peek(struct tri_mesh *mesh, uint32_t to, uint32_t from,
                          enum tri_lane lane_name, uint32_t *bytes)
{
    struct lane *lane = mesh_lane(mesh, from, to, lane_name);

    if (lane->reading == NULL) {
        lane->reading = block_ring_pop(&lane->filled);
        lane->read_bytes = 0;
        if (lane->reading == NULL) {
            return NULL;
        }
    }
    assert(lane->read_bytes + RECORD_HEAD_BYTES <= lane->reading->used_bytes);
    memcpy(bytes, lane->reading->bytes + lane->read_bytes, sizeof(*bytes));
    assert(*bytes >= 1);
    assert(lane->read_bytes + mesh_record_bytes(*bytes) <= lane->reading->used_bytes);
    return lane->reading->bytes + lane->read_bytes + RECORD_HEAD_BYTES;
}

void tri_mesh_pop(struct tri_mesh *mesh, uint32_t to, uint32_t from, enum tri_lane lane_name)
{
    struct lane *lane = mesh_lane(mesh, from, to, lane_name);
    uint32_t bytes = 0;

    assert(lane->reading != NULL);
    memcpy(&bytes, lane->reading->bytes + lane->read_bytes, sizeof(bytes));
    lane->read_bytes += mesh_record_bytes(bytes);
    if (lane->read_bytes == lane->reading->used_bytes) {
        bool is_pushed = false;

        lane->reading->used_bytes = 0;
        is_pushed = block_ring_push(&lane->empty, lane->reading);
        assert(is_pushed); /* the ring holds all blocks of its lane */
        lane->reading = NULL;
        mesh->members[to].emptied_for |= UINT64_C(1) << from;
    }
}

/* Whether there is a record for `shard` that it takes. */
static bool mesh_has_records(const struct tri_mesh *mesh, uint32_t shard, bool takes_steps)
{
    for (uint32_t from = 0; from < mesh->shards; from++) {
        for (uint32_t i = 0; from != shard && i < TRI_LANE_COUNT; i++) {
            const struct lane *lane = mesh_lane(mesh, from, shard, (enum tri_lane)i);
            bool is_taken = i != TRI_LANE_STEP || takes_steps;

            if (is_taken && (lane->reading != NULL || !block_ring_is_empty(&lane->filled))) {
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

    for (uint32_t to = 0; to < mesh->shards; to++) {
        for (uint32_t i = 0; to != shard && i < TRI_LANE_COUNT; i++) {
            struct lane *lane = mesh_lane(mesh, shard, to, (enum tri_lane)i);

            if (!lane->is_starved) {
                continue;
            }
            if (!at_home) {
                mask |= UINT64_C(1) << to;
            } else if (!block_ring_is_empty(&lane->empty)) {
                lane->is_starved = false; /* told once: who still wants the room asks again */
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

uint64_t tri_mesh_blocks_sent(const struct tri_mesh *mesh, uint32_t shard)
{
    return mesh->members[shard].blocks_sent;
}
