/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One open-addressed table, at most half full, holds the exact ids and the
 * prefixes (without their '*').  A bit per length says how long the prefixes
 * are that occur at all.  The hash (FNV-1a) runs over a text byte by byte, so one
 * pass over an asset id gives the hash of every one of its prefixes, and the
 * few lengths that occur are tried from the longest to the shortest.
 *
 * The table's contents come from the configuration, so no peer can make it
 * slow: an asset id from the wire is only ever looked up.
 */
#include "engine/location.h"

#include <string.h>

#define LENGTH_WORDS (TRI_ASSET_ID_BYTES_MAX / 64)
#define HASH_START   UINT64_C(0xcbf29ce484222325)
#define HASH_FACTOR  UINT64_C(0x100000001b3)
#define HASH_PREFIX  UINT64_C(0x9e3779b97f4a7c15) /* sets prefixes and ids of one text apart */

static_assert(TRI_ASSET_ID_BYTES_MAX % 64 == 0, "a bit per length of a prefix, 0..max - 1");

struct place {
    uint32_t entry; /* index, or TRI_NONE_INDEX */
    uint32_t tag;   /* 32 bits of the hash: spares a look at the text */
};

struct tri_location {
    const struct tri_engine_location *entries;
    uint64_t lengths[LENGTH_WORDS]; /* a bit per length of a prefix that occurs */
    uint32_t mask;
    uint32_t entry_count;
    struct place places[];
};

static uint32_t place_count(uint32_t entry_count)
{
    uint32_t places = 2;

    while (places < entry_count * 2) {
        places *= 2;
    }
    return places;
}

const char *tri_location_check(const struct tri_engine_location *entry)
{
    uint32_t i;

    assert(entry != NULL);
    if (entry->pattern.bytes < 1 || entry->pattern.bytes > TRI_ASSET_ID_BYTES_MAX) {
        return "a pattern has 1 to 128 bytes";
    }
    if (entry->chain_count < 1 || entry->chain_count > TRI_TARGETS_MAX) {
        return "an entry has 1 to 64 chains";
    }
    for (i = 0; i < entry->chain_count; i++) {
        if (entry->chains[i] >= TRI_CHAINS_MAX) {
            return "a chain index is below 1024";
        }
        if (i > 0 && entry->chains[i - 1] >= entry->chains[i]) {
            return "the chains of an entry are ascending";
        }
    }
    return NULL;
}

size_t tri_location_footprint(uint32_t entry_count)
{
    if (entry_count > TRI_LOCATION_ENTRIES_MAX) {
        return 0;
    }
    return sizeof(struct tri_location) + (size_t)place_count(entry_count) * sizeof(struct place);
}

static bool is_prefix(const struct tri_engine_location *entry)
{
    return entry->pattern.at[entry->pattern.bytes - 1] == '*';
}

static uint32_t key_bytes(const struct tri_engine_location *entry)
{
    return entry->pattern.bytes - (is_prefix(entry) ? 1 : 0);
}

static uint64_t hash_add(uint64_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * HASH_FACTOR;
}

static uint64_t hash_finish(uint64_t hash, bool prefix)
{
    hash = (hash ^ (prefix ? HASH_PREFIX : 0)) * HASH_FACTOR;
    return hash ^ hash >> 32;
}

/* The place of an id or a prefix, or the free place where it belongs. */
static uint32_t place_find(const struct tri_location *location, const char *at, uint32_t bytes,
                           bool prefix, uint64_t hash)
{
    uint32_t place = (uint32_t)hash & location->mask;

    while (location->places[place].entry != TRI_NONE_INDEX) {
        if (location->places[place].tag == (uint32_t)(hash >> 32)) {
            const struct tri_engine_location *entry =
                &location->entries[location->places[place].entry];

            if (is_prefix(entry) == prefix && key_bytes(entry) == bytes &&
                memcmp(entry->pattern.at, at, bytes) == 0) {
                return place;
            }
        }
        place = (place + 1) & location->mask;
    }
    return place;
}

struct tri_location *tri_location_init(void *memory, const struct tri_engine_location *entries,
                                       uint32_t entry_count, uint32_t *duplicate)
{
    struct tri_location *location = memory;
    uint32_t places = place_count(entry_count);
    uint32_t i;

    assert(memory != NULL);
    assert((uintptr_t)memory % _Alignof(struct tri_location) == 0);
    assert(tri_location_footprint(entry_count) != 0);
    assert(duplicate != NULL);

    memset(location, 0, sizeof(*location));
    memset(location->places, 0xff, places * sizeof(struct place)); /* TRI_NONE_INDEX */
    location->entries = entries;
    location->entry_count = entry_count;
    location->mask = places - 1;
    for (i = 0; i < entry_count; i++) {
        uint32_t bytes = key_bytes(&entries[i]);
        uint64_t hash = HASH_START;
        uint32_t place;
        uint32_t k;

        assert(tri_location_check(&entries[i]) == NULL);
        for (k = 0; k < bytes; k++) {
            hash = hash_add(hash, entries[i].pattern.at[k]);
        }
        hash = hash_finish(hash, is_prefix(&entries[i]));
        place = place_find(location, entries[i].pattern.at, bytes, is_prefix(&entries[i]), hash);
        if (location->places[place].entry != TRI_NONE_INDEX) {
            *duplicate = i;
            return NULL;
        }
        location->places[place].entry = i;
        location->places[place].tag = (uint32_t)(hash >> 32);
        if (is_prefix(&entries[i])) {
            location->lengths[bytes / 64] |= UINT64_C(1) << (bytes % 64);
        }
    }
    return location;
}

const struct tri_engine_location *tri_location_find(const struct tri_location *location,
                                                    struct tri_text asset)
{
    uint64_t hash_at[TRI_ASSET_ID_BYTES_MAX + 1]; /* of the first so many bytes */
    uint32_t bytes;
    uint32_t place;

    assert(asset.bytes <= TRI_ASSET_ID_BYTES_MAX);
    hash_at[0] = HASH_START;
    for (bytes = 0; bytes < asset.bytes; bytes++) {
        hash_at[bytes + 1] = hash_add(hash_at[bytes], asset.at[bytes]);
    }
    place = place_find(location, asset.at, bytes, false, hash_finish(hash_at[bytes], false));
    if (location->places[place].entry != TRI_NONE_INDEX) {
        return &location->entries[location->places[place].entry];
    }
    if (bytes >= TRI_ASSET_ID_BYTES_MAX) {
        bytes = TRI_ASSET_ID_BYTES_MAX - 1; /* no prefix is longer */
    }
    for (;; bytes--) {
        if ((location->lengths[bytes / 64] >> (bytes % 64) & 1) != 0) {
            place = place_find(location, asset.at, bytes, true, hash_finish(hash_at[bytes], true));
            if (location->places[place].entry != TRI_NONE_INDEX) {
                return &location->entries[location->places[place].entry];
            }
        }
        if (bytes == 0) {
            return NULL;
        }
    }
}

enum tri_error tri_location_resolve(const struct tri_location *location,
                                    const struct tri_text *assets, uint32_t asset_count,
                                    uint16_t chains[TRI_TARGETS_MAX], uint32_t *count)
{
    uint64_t found[TRI_CHAINS_MAX / 64] = {0};
    uint32_t chain_count = 0;
    uint32_t i;

    assert(chains != NULL);
    assert(count != NULL);
    if (asset_count == 0) {
        return TRI_ERROR_LOCATION_UNKNOWN;
    }
    for (i = 0; i < asset_count; i++) {
        const struct tri_engine_location *entry = tri_location_find(location, assets[i]);
        uint32_t k;

        if (entry == NULL) {
            return TRI_ERROR_LOCATION_UNKNOWN;
        }
        for (k = 0; k < entry->chain_count; k++) {
            found[entry->chains[k] / 64] |= UINT64_C(1) << (entry->chains[k] % 64);
        }
    }
    for (i = 0; i < TRI_CHAINS_MAX / 64; i++) {
        for (; found[i] != 0; found[i] &= found[i] - 1) {
            if (chain_count == TRI_TARGETS_MAX) {
                return TRI_ERROR_TOO_MANY_TARGETS;
            }
            chains[chain_count++] = (uint16_t)(i * 64 + (uint32_t)__builtin_ctzll(found[i]));
        }
    }
    *count = chain_count;
    return TRI_ERROR_NONE;
}
