/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stats: the STATS frame, every counter of a node with its unit, its meaning and
 * one value per shard.
 *
 * The counters of engine, shard, net and server are tables of (name, unit, help);
 * this file only puts them side by side.
 *
 * Threads: any; values of other shards are read relaxed, each whole, not all of
 * one moment.
 */
#ifndef TRI_IO_STATS_H
#define TRI_IO_STATS_H

#include "io/server.h"

/* tri_stats_next walks all counters of one shard.  `index` starts at 0; false at the end.  The
 * order is the same for every shard. */
bool tri_stats_next(const struct tri_house *house, uint32_t shard, uint32_t *index,
                    struct tri_counter_view *view);

/* tri_stats_write writes the frame with its length.  Returns its bytes, 0 if they do not fit into
 * `bytes_max`. */
uint32_t tri_stats_write(const struct tri_house *house, uint8_t *to, uint32_t bytes_max);

#endif
