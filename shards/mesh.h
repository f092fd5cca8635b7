/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mesh: records between shards, over one pipe (shards/pipe.h) per ordered pair
 * of shards and lane.
 *
 * There are two lanes because there are two kinds of record:
 *
 *   DELIVER  frames for ports and news of the registry: taking one needs no
 *            room in any outbox, so a consumer always takes them;
 *   STEP     frames for the engine: taking one makes DELIVER records, so a
 *            consumer takes it only when it has room for them.
 *
 * Hence no deadlock: DELIVER blocks always come home, so whoever waits for
 * room in a DELIVER lane gets it; then STEP records are taken and their blocks
 * come home too.  Nothing waits for room in a STEP lane but connections, which
 * are not read meanwhile.
 *
 * Sleep: a consumer that is about to block says so; see tri_mesh_sleep().
 *
 * Threads: every function names the shard that calls it and runs on that
 * shard's thread only.
 */
#ifndef TRI_SHARDS_MESH_H
#define TRI_SHARDS_MESH_H

#include "shards/pipe.h"

enum tri_lane {
    TRI_LANE_DELIVER = 0,
    TRI_LANE_STEP = 1,
    TRI_LANE_COUNT = 2,
};

#define TRI_MESH_RECORD_BYTES_MAX TRI_PIPE_RECORD_BYTES_MAX
#define TRI_MESH_BLOCK_FULL_BYTES TRI_PIPE_BLOCK_FULL_BYTES
#define TRI_MESH_BLOCKS_MAX       64U

struct tri_mesh;

/*
 * tri_mesh_footprint returns the bytes of memory for a mesh.
 *
 * shards  1..TRI_SHARDS_MAX.
 * blocks  blocks per ordered pair and lane, 1..TRI_MESH_BLOCKS_MAX.  Only the parts of a block that
 *         records have used ever take real memory.  0: no lanes at all, for shards that have
 *         nothing to tell each other; then only the functions about sleep may be called, and
 *         tri_mesh_publish().
 */
size_t tri_mesh_footprint(uint32_t shards, uint32_t blocks);

/* tri_mesh_init formats `memory` (64-byte aligned, borrowed).  `start` is where the rings' indices
 * begin: any value.  Call before any thread runs. */
struct tri_mesh *tri_mesh_init(void *memory, uint32_t shards, uint32_t blocks, unsigned int start);

/*
 * tri_mesh_reserve gives room for one record in the outbox of `from` towards `to`.
 *
 * bytes  1..TRI_MESH_RECORD_BYTES_MAX.
 *
 * Returns 8-byte aligned memory, valid until the next call for this outbox; NULL: no credit, try
 * again in a later turn.  Room that is not committed is given again by the next call.
 */
void *tri_mesh_reserve(struct tri_mesh *mesh, uint32_t from, uint32_t to, enum tri_lane lane,
                       uint32_t bytes);
/* tri_mesh_commit makes a record of the first `bytes` (1..reserved) of the room. */
void tri_mesh_commit(struct tri_mesh *mesh, uint32_t from, uint32_t to, enum tri_lane lane,
                     uint32_t bytes);
/* tri_mesh_publish sends every block that holds a record: at the end of a turn. */
void tri_mesh_publish(struct tri_mesh *mesh, uint32_t from);

/* tri_mesh_peek shows the oldest record that `from` sent to `to`, NULL if there is none; its memory
 * is valid until tri_mesh_pop(), which takes it away. */
const void *tri_mesh_peek(struct tri_mesh *mesh, uint32_t to, uint32_t from, enum tri_lane lane,
                          uint32_t *bytes);
void tri_mesh_pop(struct tri_mesh *mesh, uint32_t to, uint32_t from, enum tri_lane lane);

/*
 * tri_mesh_sleep announces that `shard` is about to block.
 *
 * takes_steps  false: STEP records that wait are no reason to stay awake, because the shard cannot
 *              take them before something else has happened.
 *
 * Returns true: from now on the first shard that has news for this one (records, or a block come
 * home to an outbox whose last reserve gave NULL) finds it in its tri_mesh_sleepers() and has to
 * wake it. False: there is news already; take a turn.
 */
bool tri_mesh_sleep(struct tri_mesh *mesh, uint32_t shard, bool takes_steps);
/* tri_mesh_awake takes the announcement back after blocking. */
void tri_mesh_awake(struct tri_mesh *mesh, uint32_t shard);
/* tri_mesh_sleepers returns the shards to wake, one bit each: those that sleep and got something
 * from `shard` since the last call.  After tri_mesh_publish(). */
uint64_t tri_mesh_sleepers(struct tri_mesh *mesh, uint32_t shard);

/* tri_mesh_rouse takes the announcement of a sleeping shard back on behalf of who will wake it:
 * true is told to one caller only.  Any thread; the caller's news is published and tri_ring_fence()
 * called. */
bool tri_mesh_rouse(struct tri_mesh *mesh, uint32_t shard);

/* Blocks sent by `shard` so far. */
uint64_t tri_mesh_blocks_sent(const struct tri_mesh *mesh, uint32_t shard);

#endif
