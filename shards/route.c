/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3 wants at least 136 bytes of secret and mixes them into the input
 * directly, so they must look random all over: a short secret repeated would
 * let equal words cancel each other.  The 32 bytes are stretched to 192 with
 * SHA-256 over (label, counter, secret), one block of 32 bytes per counter.
 * Knowing keys does not lead back to the 32 bytes.
 */
#include "shards/route.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "shards/digest.h"

#define ROUTE_LABEL "tricast route 1"

static_assert(TRI_ROUTE_EXPANDED_BYTES >= XXH3_SECRET_SIZE_MIN, "XXH3 refuses a shorter secret");
static_assert(TRI_ROUTE_EXPANDED_BYTES % TRI_DIGEST_BYTES == 0, "whole blocks of SHA-256");
static_assert(TRI_SHARDS_MAX <= 256, "shard_of_slot holds a shard in one byte");

void tri_route_init(struct tri_route *route, const uint8_t secret[TRI_ROUTE_SECRET_BYTES],
                    uint32_t shards)
{
    uint8_t input[sizeof(ROUTE_LABEL) + TRI_ROUTE_SECRET_BYTES];

    assert(shards >= 1);
    assert(shards <= TRI_SHARDS_MAX);
    /* The label's terminating zero is the counter's place. */
    memcpy(input, ROUTE_LABEL, sizeof(ROUTE_LABEL));
    memcpy(input + sizeof(ROUTE_LABEL), secret, TRI_ROUTE_SECRET_BYTES);
    for (uint32_t i = 0; i < TRI_ROUTE_EXPANDED_BYTES / TRI_DIGEST_BYTES; i++) {
        input[sizeof(ROUTE_LABEL) - 1] = (uint8_t)i;
        tri_digest_sha256(input, sizeof(input), route->expanded + (size_t)i * TRI_DIGEST_BYTES);
    }
    for (uint32_t slot = 0; slot < TRI_SLOT_COUNT; slot++) {
        route->shard_of_slot[slot] = (uint8_t)(slot * shards / TRI_SLOT_COUNT);
    }
}

struct tri_key tri_route_key(const struct tri_route *route, struct tri_text id)
{
    XXH128_hash_t hash;

    assert(id.bytes == 0 || id.at != NULL);
    hash = XXH3_128bits_withSecret(id.at, id.bytes, route->expanded, sizeof(route->expanded));
    return (struct tri_key){.lo = hash.low64, .hi = hash.high64};
}
