/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/counters.h"

#include <string.h>

static const struct tri_counter_view counter_names[] = {
#define COUNTER_NAME(field, unit_text, help_text) \
    {.name = #field, .unit = (unit_text), .help = (help_text), .value = 0},
    TRI_ENGINE_COUNTERS(COUNTER_NAME) TRI_SHARD_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

static_assert(sizeof(counter_names) / sizeof(counter_names[0]) == TRI_COUNTER_COUNT,
              "every counter is named, and is a uint64_t");

#define ENGINE_COUNTER_COUNT (sizeof(struct tri_engine_counters) / sizeof(uint64_t))

void tri_counters_init(struct tri_published_counters *published)
{
    for (size_t i = 0; i < TRI_COUNTER_COUNT; i++) {
        atomic_init(&published->values[i], 0);
    }
}

void tri_counters_publish(struct tri_published_counters *published,
                          const struct tri_engine_counters *engine,
                          const struct tri_shard_counters *shard)
{
    uint64_t values[TRI_COUNTER_COUNT];

    assert(engine != NULL);
    assert(shard != NULL);
    memcpy(values, engine, sizeof(*engine));
    memcpy(values + ENGINE_COUNTER_COUNT, shard, sizeof(*shard));
    for (size_t i = 0; i < TRI_COUNTER_COUNT; i++) {
        atomic_store_explicit(&published->values[i], values[i], memory_order_relaxed);
    }
}

uint64_t tri_counters_open_messages(const struct tri_published_counters *published)
{
    size_t index = ENGINE_COUNTER_COUNT +
                   offsetof(struct tri_shard_counters, open_messages) / sizeof(uint64_t);

    return atomic_load_explicit(&published->values[index], memory_order_relaxed);
}

bool tri_counters_get(const struct tri_published_counters *published, uint32_t index,
                      struct tri_counter_view *view)
{
    if (index >= TRI_COUNTER_COUNT) {
        return false;
    }
    *view = counter_names[index];
    view->value = atomic_load_explicit(&published->values[index], memory_order_relaxed);
    return true;
}
