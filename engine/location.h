/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Location map: on which chains does an asset live (A04, H02).
 *
 * An entry is an asset id, or a prefix followed by '*' ("*" alone matches every
 * asset); a '*' elsewhere stands for itself.  An asset's chains are those of
 * its own entry, else of the longest prefix that matches.  The answer depends
 * on the map and the assets alone.
 *
 * Cost: one hash over the asset id, then one look-up for the id itself and one
 * per distinct prefix length in the map that is not longer.
 *
 * Threads: read-only after tri_location_init.
 */
#ifndef TRI_ENGINE_LOCATION_H
#define TRI_ENGINE_LOCATION_H

#include "engine/limits.h"
#include "tricast_engine.h"

#define TRI_LOCATION_ENTRIES_MAX (UINT32_C(1) << 24)

struct tri_location;

/*
 * tri_location_check says whether one entry is well formed: pattern of 1..TRI_ASSET_ID_BYTES_MAX
 * bytes, 1..64 chains, ascending, each below TRI_CHAINS_MAX.
 *
 * Returns NULL, or a static sentence that names the rule.
 */
const char *tri_location_check(const struct tri_engine_location *entry);

/* tri_location_footprint returns the bytes of memory needed (8-byte aligned) for `entry_count`
 * entries, 0..TRI_LOCATION_ENTRIES_MAX; 0 if there are more. */
size_t tri_location_footprint(uint32_t entry_count);

/*
 * tri_location_init builds the map.
 *
 * memory     borrowed for the map's life.
 * entries    in; each has passed tri_location_check().  The array, its texts and its lists of
 * chains are borrowed for the map's life. duplicate  out; written only if the result is NULL: the
 * index of the first entry whose pattern an earlier entry has.
 *
 * Returns the map, or NULL if two entries have the same pattern: the configuration is wrong.
 */
struct tri_location *tri_location_init(void *memory, const struct tri_engine_location *entries,
                                       uint32_t entry_count, uint32_t *duplicate);

/* tri_location_find returns the best matching entry of one asset, or NULL if none matches. */
const struct tri_engine_location *tri_location_find(const struct tri_location *location,
                                                    struct tri_text asset);

/*
 * tri_location_resolve gives every chain that a message's assets live on.
 *
 * assets  in; asset_count asset ids, each at most TRI_ASSET_ID_BYTES_MAX bytes.
 * chains  out; chain indices, ascending, none twice.  Undefined unless TRI_ERROR_NONE.
 * count   out; how many.  Written on TRI_ERROR_NONE only.
 *
 * Returns TRI_ERROR_NONE; TRI_ERROR_LOCATION_UNKNOWN if there is no asset or one has no entry;
 * TRI_ERROR_TOO_MANY_TARGETS if there are more than 64 chains.  Refuse the message with the code.
 */
enum tri_error tri_location_resolve(const struct tri_location *location,
                                    const struct tri_text *assets, uint32_t asset_count,
                                    uint16_t chains[TRI_TARGETS_MAX], uint32_t *count);

#endif
