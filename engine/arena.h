/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena: bounded memory for things of varying size, by size classes.
 *
 * The caller's memory is cut once into slots of a few sizes.  A request gets a
 * slot of the smallest class that fits and has one free, else of the next
 * larger.  A slot is named by a 32-bit handle, which also tells its class.
 * Nothing is ever split or joined, so there is no fragmentation to reason
 * about: what can be taken depends only on how many slots of each class are
 * taken now.
 *
 * Ownership: a slot belongs to its taker until it is given back.
 * Threads: an arena belongs to one shard.
 */
#ifndef TRI_ENGINE_ARENA_H
#define TRI_ENGINE_ARENA_H

#include "engine/limits.h"

#define TRI_ARENA_CLASSES_MAX 8U
#define TRI_ARENA_SLOTS_MAX   (UINT32_C(1) << 26) /* per class */
#define TRI_ARENA_CLASS_SHIFT 28U                 /* a handle: class above, slot below */

struct tri_arena;

struct tri_arena_options {
    uint32_t class_count;                        /* 1..TRI_ARENA_CLASSES_MAX */
    uint32_t class_bytes[TRI_ARENA_CLASSES_MAX]; /* ascending, multiples of 8, 8..2^24 */
    uint32_t class_slots[TRI_ARENA_CLASSES_MAX]; /* 0..TRI_ARENA_SLOTS_MAX; 0 = none of that size */
};

/* tri_arena_footprint returns the bytes of memory needed (64-byte aligned); 0 if the options are
 * invalid or give no slot at all. */
size_t tri_arena_footprint(const struct tri_arena_options *options);

/* tri_arena_init formats `memory`, borrowed for the arena's life; all slots are free.  Slots are
 * not touched until they are taken for the first time. */
struct tri_arena *tri_arena_init(void *memory, const struct tri_arena_options *options);

/*
 * tri_arena_take takes a slot of at least `bytes` bytes.
 *
 * handle  out; names the slot.  Written on TRI_OK only.
 *
 * Returns TRI_OK, or TRI_FULL if no slot that is large enough is free: refuse the work (BUSY). More
 * than the largest class with slots holds is always TRI_FULL.  The contents of the slot are
 * undefined.  Cost: O(classes).
 */
enum tri_result tri_arena_take(struct tri_arena *arena, uint32_t bytes, uint32_t *handle);

/* tri_arena_give gives a taken slot back; its handle is void from then on. */
void tri_arena_give(struct tri_arena *arena, uint32_t handle);

/* tri_arena_at returns the memory of a taken slot: 8-byte aligned, 64-byte aligned if the class
 * size is a multiple of 64.  It does not move while the slot is taken. */
void *tri_arena_at(const struct tri_arena *arena, uint32_t handle);

/* tri_arena_class returns the class of a handle: an index into the options' arrays. */
static inline uint32_t tri_arena_class(uint32_t handle)
{
    return handle >> TRI_ARENA_CLASS_SHIFT;
}

/* The bytes that a slot of this class holds. */
uint32_t tri_arena_class_bytes(const struct tri_arena *arena, uint32_t class_index);

/* The free slots of a class now. */
uint32_t tri_arena_free_count(const struct tri_arena *arena, uint32_t class_index);

#endif
