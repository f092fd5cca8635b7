/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipe: records of any size from one thread to one other.
 *
 * Records are packed into blocks.  The blocks of a pipe are made once; a full
 * one travels to the consumer through one ring and comes back empty through
 * another.  The blocks at home are the producer's credit: without one
 * tri_pipe_reserve() gives NULL, and nothing is ever dropped, overwritten or
 * waited for.
 *
 *     producer  open block  --filled-->  block being read  consumer
 *                           <--empty---
 *
 * Threads: one producer thread, one consumer thread; both wait-free.
 */
#ifndef TRI_SHARDS_PIPE_H
#define TRI_SHARDS_PIPE_H

#include "engine/limits.h"
#include "shards/ring.h"

/* A frame at its maximum with the list of its targets, or with its key. */
#define TRI_PIPE_RECORD_BYTES_MAX 90048U
/* A block this full travels at once, so that the consumer works while the producer goes on. */
#define TRI_PIPE_BLOCK_FULL_BYTES 16384U
#define TRI_PIPE_BLOCKS_MAX       256U

struct tri_pipe_block;

TRI_RING_TYPED(tri_pipe_ring, struct tri_pipe_block);

struct tri_pipe {
    struct tri_pipe_ring filled; /* producer to consumer */
    struct tri_pipe_ring empty;  /* consumer to producer: the credit */
    /* The producer's own. */
    alignas(TRI_CACHE_LINE) struct tri_pipe_block *open;
    uint64_t blocks_sent;
    bool is_starved; /* the last reserve gave NULL */
    bool has_sent;   /* a block has left since the last publish */
    /* The consumer's own. */
    alignas(TRI_CACHE_LINE) struct tri_pipe_block *reading;
    uint32_t read_bytes;
};

/* tri_pipe_footprint returns the bytes of memory for the rings and blocks of a pipe, a multiple of
 * 64; `blocks` is 1..TRI_PIPE_BLOCKS_MAX.  Only the parts of a block that records have used ever
 * take real memory. */
size_t tri_pipe_footprint(uint32_t blocks);

/* tri_pipe_init formats the pipe over `memory` (64-byte aligned, borrowed).  `start` is where the
 * rings' indices begin: any value.  Call before a second thread knows the pipe. */
void tri_pipe_init(struct tri_pipe *pipe, void *memory, uint32_t blocks, unsigned int start);

/*
 * tri_pipe_reserve gives room for one record; producer only.
 *
 * bytes  1..TRI_PIPE_RECORD_BYTES_MAX.
 *
 * Returns 8-byte aligned memory, valid until the next call; NULL: no credit, try again later.  Room
 * that is not committed is given again by the next call.
 */
void *tri_pipe_reserve(struct tri_pipe *pipe, uint32_t bytes);
/* tri_pipe_commit makes a record of the first `bytes` (1..reserved) of the room.  Returns whether a
 * block has left. */
bool tri_pipe_commit(struct tri_pipe *pipe, uint32_t bytes);
/* tri_pipe_publish sends the block that holds records.  Returns whether any block has left since
 * the last publish. */
bool tri_pipe_publish(struct tri_pipe *pipe);
/* tri_pipe_has_sent says the same and sends nothing: what is in the open block stays there. */
bool tri_pipe_has_sent(struct tri_pipe *pipe);

/* How many blocks are at home: the producer's credit, the open block not counted. */
uint32_t tri_pipe_home(const struct tri_pipe *pipe);
/* Whether something was put that was not published. */
bool tri_pipe_is_unpublished(const struct tri_pipe *pipe);

/* tri_pipe_is_starved tells whether the last reserve gave NULL; tri_pipe_is_fed whether credit has
 * come home since: it says so once, then the producer no longer counts as starved. */
static inline bool tri_pipe_is_starved(const struct tri_pipe *pipe)
{
    return pipe->is_starved;
}
bool tri_pipe_is_fed(struct tri_pipe *pipe);

/* tri_pipe_peek shows the oldest record, NULL if there is none; its memory is valid until
 * tri_pipe_pop(), which takes it away and returns whether a block went home.  Consumer only. */
const void *tri_pipe_peek(struct tri_pipe *pipe, uint32_t *bytes);
bool tri_pipe_pop(struct tri_pipe *pipe);
/* tri_pipe_ahead shows the record behind the one that tri_pipe_peek() shows, NULL if it is not in
 * the same block, and brings the one behind that into the cache: when its turn comes, it has long
 * arrived from the producer's core. */
const void *tri_pipe_ahead(const struct tri_pipe *pipe);

/* tri_pipe_is_empty tells the consumer that there is no record. */
static inline bool tri_pipe_is_empty(const struct tri_pipe *pipe)
{
    return pipe->reading == NULL && tri_pipe_ring_is_empty(&pipe->filled);
}

#endif
