/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The home of a key is its low bits.  An entry lies at its home or, if that is
 * taken, at the first free place after it, so a look-up ends at the first
 * free place.  A removal closes the gap: it moves back every following entry
 * that does not thereby come before its home.
 *
 * The sweep walks downward, against the direction in which removals move
 * entries: what is moved from an unseen place lands in an unseen place, and only
 * an entry that is moved back across place 0 can escape a round.
 */
#include "engine/dedup.h"

#include <string.h>

struct tri_dedup {
    uint32_t mask; /* places - 1 */
    uint32_t entries_max;
    uint32_t count;
    uint32_t cursor; /* the sweep has looked at the place above this one last */
    unsigned char unused[TRI_CACHE_LINE - 16];
    struct tri_dedup_entry places[];
};

static_assert(sizeof(struct tri_dedup) == TRI_CACHE_LINE, "entries must begin on a cache line");

/* The least power of two of which entries_max is at most 7/8; it leaves at least one place free, at
 * which every look-up ends. */
static uint32_t place_count(uint32_t entries_max)
{
    uint32_t places = 2;

    while ((uint64_t)places * 7 < (uint64_t)entries_max * 8) {
        places *= 2;
    }
    assert(places > entries_max);
    return places;
}

size_t tri_dedup_footprint(uint32_t entries_max)
{
    if (entries_max < 1 || entries_max > TRI_DEDUP_ENTRIES_MAX) {
        return 0;
    }
    return sizeof(struct tri_dedup) +
           (size_t)place_count(entries_max) * sizeof(struct tri_dedup_entry);
}

struct tri_dedup *tri_dedup_init(void *memory, uint32_t entries_max)
{
    struct tri_dedup *dedup = memory;

    assert(memory != NULL);
    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(tri_dedup_footprint(entries_max) != 0);

    memset(memory, 0, tri_dedup_footprint(entries_max));
    dedup->mask = place_count(entries_max) - 1;
    dedup->entries_max = entries_max;
    return dedup;
}

static bool is_used(const struct tri_dedup_entry *entry)
{
    return (entry->flags & TRI_DEDUP_USED) != 0;
}

static bool has_key(const struct tri_dedup_entry *entry, struct tri_key key)
{
    return entry->key.lo == key.lo && entry->key.hi == key.hi;
}

void tri_dedup_prefetch(const struct tri_dedup *dedup, struct tri_key key)
{
    __builtin_prefetch(&dedup->places[(uint32_t)key.lo & dedup->mask]);
}

struct tri_dedup_entry *tri_dedup_find(struct tri_dedup *dedup, struct tri_key key)
{
    uint32_t place = (uint32_t)key.lo & dedup->mask;

    while (is_used(&dedup->places[place])) {
        if (has_key(&dedup->places[place], key)) {
            return &dedup->places[place];
        }
        place = (place + 1) & dedup->mask;
    }
    return NULL;
}

struct tri_dedup_entry *tri_dedup_insert(struct tri_dedup *dedup, struct tri_key key)
{
    uint32_t place = (uint32_t)key.lo & dedup->mask;
    struct tri_dedup_entry *entry;

    if (dedup->count == dedup->entries_max) {
        return NULL;
    }
    while (is_used(&dedup->places[place])) {
        assert(!has_key(&dedup->places[place], key));
        place = (place + 1) & dedup->mask;
    }
    entry = &dedup->places[place];
    assert(entry->flags == 0); /* a free place is all zero */
    entry->key = key;
    entry->flags = TRI_DEDUP_USED;
    dedup->count++;
    return entry;
}

static void place_remove(struct tri_dedup *dedup, uint32_t hole)
{
    uint32_t place = hole;

    assert(is_used(&dedup->places[hole]));
    assert(dedup->count > 0);
    for (;;) {
        const struct tri_dedup_entry *entry;
        uint32_t home;

        place = (place + 1) & dedup->mask;
        entry = &dedup->places[place];
        if (!is_used(entry)) {
            break;
        }
        home = (uint32_t)entry->key.lo & dedup->mask;
        if (((place - home) & dedup->mask) >= ((place - hole) & dedup->mask)) {
            dedup->places[hole] = *entry;
            hole = place;
        }
    }
    memset(&dedup->places[hole], 0, sizeof(dedup->places[hole]));
    dedup->count--;
}

void tri_dedup_remove(struct tri_dedup *dedup, struct tri_key key)
{
    const struct tri_dedup_entry *entry = tri_dedup_find(dedup, key);

    assert(entry != NULL);
    place_remove(dedup, (uint32_t)(entry - dedup->places));
}

static bool is_over(const struct tri_dedup_entry *entry, uint32_t now_s)
{
    const unsigned closed = TRI_DEDUP_USED | TRI_DEDUP_CLOSED;

    return (entry->flags & closed) == closed && entry->expires_s <= now_s;
}

uint32_t tri_dedup_sweep(struct tri_dedup *dedup, uint32_t now_s, uint32_t buckets)
{
    uint32_t count_before = dedup->count;
    uint32_t i;

    for (i = 0; i < buckets; i++) {
        dedup->cursor = (dedup->cursor - 1) & dedup->mask;
        /* Again, because the removal may have moved an entry to this very place. */
        while (is_over(&dedup->places[dedup->cursor], now_s)) {
            place_remove(dedup, dedup->cursor);
        }
    }
    return count_before - dedup->count;
}

uint32_t tri_dedup_count(const struct tri_dedup *dedup)
{
    return dedup->count;
}

uint32_t tri_dedup_bucket_count(const struct tri_dedup *dedup)
{
    return dedup->mask + 1;
}
