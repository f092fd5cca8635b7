/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters: what a shard counts, published for readers on any thread.
 *
 * A shard and its engine count in plain memory of their own.  At the end of a
 * turn the shard copies the values into cache lines that nobody else writes,
 * with relaxed stores; a reader sees each value whole, but not all of one turn.
 *
 * Threads: one writer, any number of readers.
 */
#ifndef TRI_SHARDS_COUNTERS_H
#define TRI_SHARDS_COUNTERS_H

#include <stdalign.h>
#include <stdatomic.h>

#include "shards/shard.h"

struct tri_shard_counters {
#define TRI_SHARD_COUNTER_FIELD(name, unit, help) uint64_t name;
    TRI_SHARD_COUNTERS(TRI_SHARD_COUNTER_FIELD)
#undef TRI_SHARD_COUNTER_FIELD
};

#define TRI_COUNTER_COUNT \
    ((sizeof(struct tri_engine_counters) + sizeof(struct tri_shard_counters)) / sizeof(uint64_t))

struct tri_published_counters {
    alignas(TRI_CACHE_LINE) _Atomic uint64_t values[TRI_COUNTER_COUNT];
};

/* tri_counters_init sets every published value to 0; before any thread runs. */
void tri_counters_init(struct tri_published_counters *published);
/* tri_counters_publish copies both structs; the writer's thread only. */
void tri_counters_publish(struct tri_published_counters *published,
                          const struct tri_engine_counters *engine,
                          const struct tri_shard_counters *shard);
/* tri_counters_open_messages reads the gauge.  Any thread. */
uint64_t tri_counters_open_messages(const struct tri_published_counters *published);
/* tri_counters_get fills *view with counter `index`; false if there is none.  Any thread. */
bool tri_counters_get(const struct tri_published_counters *published, uint32_t index,
                      struct tri_counter_view *view);

#endif
