/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3 wants at least 136 bytes of secret and mixes them into the input
 * directly, so they must look random all over: a short secret repeated would
 * let equal words cancel each other.  The 32 bytes are stretched to 192 with
 * SHA-256 over (label, counter, secret), one block of 32 bytes per counter.
 * Knowing keys does not lead back to the 32 bytes.
 */
#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "shards/digest.h"
#include "tricast/keys.h"

#define SEED_LABEL        "tricast route 1"
#define SEED_SECRET_BYTES 32U

static_assert(TRI_SEED_BYTES >= XXH3_SECRET_SIZE_MIN, "XXH3 refuses a shorter secret");
static_assert(TRI_SEED_BYTES % TRI_DIGEST_BYTES == 0, "whole blocks of SHA-256");

void tri_seed_init(struct tri_seed *seed, const uint8_t secret[SEED_SECRET_BYTES])
{
    uint8_t input[sizeof(SEED_LABEL) + SEED_SECRET_BYTES];

    assert(seed != NULL);
    assert(secret != NULL);
    /* The label's terminating zero is the counter's place. */
    memcpy(input, SEED_LABEL, sizeof(SEED_LABEL));
    memcpy(input + sizeof(SEED_LABEL), secret, SEED_SECRET_BYTES);
    for (uint32_t i = 0; i < TRI_SEED_BYTES / TRI_DIGEST_BYTES; i++) {
        input[sizeof(SEED_LABEL) - 1] = (uint8_t)i;
        tri_digest_sha256(input, sizeof(input), seed->at + (size_t)i * TRI_DIGEST_BYTES);
    }
}

struct tri_key tri_seed_key(const struct tri_seed *seed, struct tri_text id)
{
    XXH128_hash_t hash;

    assert(id.bytes == 0 || id.at != NULL);
    hash = XXH3_128bits_withSecret(id.at, id.bytes, seed->at, sizeof(seed->at));
    return (struct tri_key){.lo = hash.low64, .hi = hash.high64};
}
