/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: lists of chains, each kept once and named by 16 bits.
 *
 * The result of a closed message says of each target how it ended.  Messages
 * of a deployment go to few different lists of targets, so the dedup entry
 * keeps a number instead of the list.  Lists are ordered: bit i of a mask is
 * the i-th chain of the list.  A list is never evicted while the table lives;
 * when the table is full a result is kept without its targets.
 *
 * Threads: a table belongs to one shard.
 */
#ifndef TRI_ENGINE_TARGETS_H
#define TRI_ENGINE_TARGETS_H

#include "engine/limits.h"

#define TRI_TARGETS_NONE         UINT16_MAX
#define TRI_TARGETS_SETS_DEFAULT 1024U
#define TRI_TARGETS_SETS_MAX     65535U

struct tri_targets;

/* tri_targets_footprint returns the bytes of memory needed (8-byte aligned) for `sets_max` lists of
 * TRI_TARGETS_MAX chains; 0 if that is not 1..TRI_TARGETS_SETS_MAX. */
size_t tri_targets_footprint(uint32_t sets_max);

/* tri_targets_init formats `memory`, borrowed for the table's life, as an empty table. */
struct tri_targets *tri_targets_init(void *memory, uint32_t sets_max);

/*
 * tri_targets_intern returns the number of a list, the same for the same list.
 *
 * chains  in; chain indices in the order of the targets, borrowed until the call returns.
 * count   1..TRI_TARGETS_MAX.
 *
 * Returns TRI_TARGETS_NONE if the list is new and the table is full: go on without the list.
 */
uint16_t tri_targets_intern(struct tri_targets *targets, const uint16_t *chains, uint32_t count);

/* tri_targets_get returns the list `id`, which intern has returned and is not TRI_TARGETS_NONE, and
 * its length.  Valid for the table's life. */
const uint16_t *tri_targets_get(const struct tri_targets *targets, uint16_t id, uint32_t *count);

#endif
