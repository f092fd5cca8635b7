/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest: SHA-256 of a message's canonical bytes, cut to 16 bytes (R02).
 *
 * The algorithm is fetched and the context allocated once; a hash in a turn
 * neither allocates nor looks anything up.
 *
 * Threads: a digest belongs to one thread at a time.
 */
#ifndef TRI_SHARDS_DIGEST_H
#define TRI_SHARDS_DIGEST_H

#include "tricast.h"

#define TRI_DIGEST_BYTES 32U

struct tri_digest {
    void *algorithm; /* EVP_MD */
    void *context;   /* EVP_MD_CTX */
};

/* tri_digest_init returns false if the crypto library has no memory or no SHA-256: do not start. */
bool tri_digest_init(struct tri_digest *digest);
/* tri_digest_fini frees; accepts a zeroed digest. */
void tri_digest_fini(struct tri_digest *digest);

void tri_digest_sha256(struct tri_digest *digest, const void *bytes, size_t count,
                       uint8_t to[TRI_DIGEST_BYTES]);
/* tri_digest_content is the content hash that identifies a message beside its id. */
struct tri_hash tri_digest_content(struct tri_digest *digest, struct tri_bytes canonical);

#endif
