/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pool: a fixed number of slots of one size in the caller's memory.
 *
 * A slot is named by its index.  The slot given back last is taken first, so
 * that hot memory stays hot and the order is the same in every run.
 *
 * Threads: a pool belongs to one shard.
 */
#ifndef TRI_ENGINE_POOL_H
#define TRI_ENGINE_POOL_H

#include "engine/limits.h"

#define TRI_POOL_SLOTS_MAX (UINT32_C(1) << 26)

struct tri_pool;

/*
 * tri_pool_footprint returns the bytes of memory needed (64-byte aligned).
 *
 * slot_bytes  a multiple of 8, 8..2^20.
 * slots_max   1..TRI_POOL_SLOTS_MAX.
 *
 * 0 if an argument is out of its range.
 */
size_t tri_pool_footprint(uint32_t slot_bytes, uint32_t slots_max);

/* tri_pool_init formats `memory`, borrowed for the pool's life; all slots are free.  Slots are not
 * touched until they are taken for the first time. */
struct tri_pool *tri_pool_init(void *memory, uint32_t slot_bytes, uint32_t slots_max);

/*
 * tri_pool_take takes a slot and zeroes it.
 *
 * index  out; the slot, below slots_max.  Written on TRI_OK only.
 *
 * Returns TRI_OK, or TRI_FULL if every slot is taken: refuse the work (BUSY).
 */
enum tri_result tri_pool_take(struct tri_pool *pool, uint32_t *index);

/* tri_pool_give gives a taken slot back; its index is void from then on. */
void tri_pool_give(struct tri_pool *pool, uint32_t index);

/* tri_pool_next returns the lowest taken slot >= from, or TRI_NONE_INDEX.  It skips 4,096 free
 * slots in one look.  Slots may be taken and given back between two calls. */
uint32_t tri_pool_next(const struct tri_pool *pool, uint32_t from);

/* The address of slot 0, 64-byte aligned.  Slot i lies i * slot_bytes further; no slot moves. */
void *tri_pool_base(const struct tri_pool *pool);

/* Taken slots now. */
uint32_t tri_pool_count(const struct tri_pool *pool);

#endif
