/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL 3 calls SHA256_Init and its sisters deprecated, but its EVP interface allocates a state
 * for every message and costs half as much again; the three functions below it do neither.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "shards/digest.h"

#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

static_assert(TRI_DIGEST_BYTES == SHA256_DIGEST_LENGTH, "a whole SHA-256");

void tri_digest_sha256(const void *bytes, size_t count, uint8_t to[TRI_DIGEST_BYTES])
{
    SHA256_CTX state;

    assert(bytes != NULL);
    (void)SHA256_Init(&state); /* none of the three can fail */
    (void)SHA256_Update(&state, bytes, count);
    (void)SHA256_Final(to, &state);
}

void tri_digest_tagged(uint8_t tag, const void *bytes, size_t count, uint8_t to[TRI_DIGEST_BYTES])
{
    SHA256_CTX state;

    assert(bytes != NULL);
    (void)SHA256_Init(&state);
    (void)SHA256_Update(&state, &tag, sizeof(tag));
    (void)SHA256_Update(&state, bytes, count);
    (void)SHA256_Final(to, &state);
}

struct tri_hash tri_digest_content(struct tri_bytes canonical)
{
    uint8_t full[TRI_DIGEST_BYTES];
    struct tri_hash hash;

    assert(canonical.at != NULL);
    tri_digest_sha256(canonical.at, canonical.bytes, full);
    memcpy(hash.at, full, sizeof(hash.at));
    return hash;
}
