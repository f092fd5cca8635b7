/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest: SHA-256, and the content hash of a message (R02).
 *
 * Threads: no state; any function may run anywhere.  Nothing allocates.
 */
#ifndef TRI_SHARDS_DIGEST_H
#define TRI_SHARDS_DIGEST_H

#include "tricast/message.h"

#define TRI_DIGEST_BYTES 32U

void tri_digest_sha256(const void *bytes, size_t count, uint8_t to[TRI_DIGEST_BYTES]);
/* The same with `tag` as a byte before the first. */
void tri_digest_tagged(uint8_t tag, const void *bytes, size_t count, uint8_t to[TRI_DIGEST_BYTES]);
/* tri_digest_content is what identifies a message beside its id: the first 16 bytes of the SHA-256
 * of its canonical bytes. */
struct tri_hash tri_digest_content(struct tri_bytes canonical);

#endif
