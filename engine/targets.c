/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists stand one after the other in one array of chain indices.  An
 * open-addressed table of list numbers, at most half full, finds a list by
 * its contents; nothing is ever removed.
 *
 *   header | sets | table | chains
 */
#include "engine/targets.h"

#include <string.h>

struct target_set {
    uint32_t first; /* in chains */
    uint32_t count;
};

struct tri_targets {
    struct target_set *sets;
    uint16_t *table; /* list numbers, or TRI_TARGETS_NONE */
    uint16_t *chains;
    uint32_t sets_max;
    uint32_t table_mask;
    uint32_t count;
    uint32_t chains_used;
};

static_assert(sizeof(struct tri_targets) % _Alignof(struct target_set) == 0,
              "the sets that follow must be aligned");

static uint32_t table_places(uint32_t sets_max)
{
    uint32_t places = 2;

    while (places < sets_max * 2) {
        places *= 2;
    }
    return places;
}

size_t tri_targets_footprint(uint32_t sets_max)
{
    size_t bytes;

    if (sets_max < 1 || sets_max > TRI_TARGETS_SETS_MAX) {
        return 0;
    }
    bytes = sizeof(struct tri_targets) + sets_max * sizeof(struct target_set) +
            table_places(sets_max) * sizeof(uint16_t) +
            (size_t)sets_max * TRI_TARGETS_MAX * sizeof(uint16_t);
    return (bytes + 7) / 8 * 8;
}

struct tri_targets *tri_targets_init(void *memory, uint32_t sets_max)
{
    struct tri_targets *targets = memory;
    uint32_t places = table_places(sets_max);

    assert(memory != NULL);
    assert((uintptr_t)memory % _Alignof(struct tri_targets) == 0);
    assert(tri_targets_footprint(sets_max) != 0);

    memset(targets, 0, sizeof(*targets));
    targets->sets = (struct target_set *)(void *)(targets + 1);
    targets->table = (uint16_t *)(void *)(targets->sets + sets_max);
    targets->chains = targets->table + places;
    targets->sets_max = sets_max;
    targets->table_mask = places - 1;
    memset(targets->table, 0xff, places * sizeof(uint16_t)); /* TRI_TARGETS_NONE */
    return targets;
}

static uint32_t list_hash(const uint16_t *chains, uint32_t count)
{
    uint64_t hash = count;
    uint32_t i;

    for (i = 0; i < count; i++) {
        hash = (hash ^ chains[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

uint16_t tri_targets_intern(struct tri_targets *targets, const uint16_t *chains, uint32_t count)
{
    uint32_t place;
    struct target_set *set;

    assert(chains != NULL);
    assert(count >= 1);
    assert(count <= TRI_TARGETS_MAX);

    place = list_hash(chains, count) & targets->table_mask;
    while (targets->table[place] != TRI_TARGETS_NONE) {
        set = &targets->sets[targets->table[place]];
        if (set->count == count &&
            memcmp(targets->chains + set->first, chains, count * sizeof(*chains)) == 0) {
            return targets->table[place];
        }
        place = (place + 1) & targets->table_mask;
    }
    if (targets->count == targets->sets_max) {
        return TRI_TARGETS_NONE;
    }
    set = &targets->sets[targets->count];
    set->first = targets->chains_used;
    set->count = count;
    memcpy(targets->chains + set->first, chains, count * sizeof(*chains));
    targets->chains_used += count;
    assert(targets->chains_used <= targets->sets_max * TRI_TARGETS_MAX);
    targets->table[place] = (uint16_t)targets->count;
    targets->count++;
    return targets->table[place];
}

const uint16_t *tri_targets_get(const struct tri_targets *targets, uint16_t id, uint32_t *count)
{
    assert(count != NULL);
    assert(id < targets->count);

    *count = targets->sets[id].count;
    return targets->chains + targets->sets[id].first;
}
