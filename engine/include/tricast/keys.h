/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and bytes, for a program without a node.
 *
 * tri_engine_step() and tri_participant_step() do not hash: an id comes with its
 * key, and a submitted message with its canonical bytes and their hash.  A node
 * makes all of that by itself.
 */
#ifndef TRICAST_KEYS_H
#define TRICAST_KEYS_H

#include "tricast/message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What keys are made with: a plain value, read by any number of threads. */
#define TRI_SEED_BYTES 192U
struct tri_seed {
    uint8_t at[TRI_SEED_BYTES];
};

/* tri_seed_init stretches 32 secret bytes.  Who knows them can aim many ids at one bucket of a
 * table; take random ones, and keep them as long as anything that remembers keys. */
void tri_seed_init(struct tri_seed *seed, const uint8_t secret[32]);

/* tri_seed_key makes the key of an id.  Cost: a few nanoseconds. */
struct tri_key tri_seed_key(const struct tri_seed *seed, struct tri_text id);

/* Room that every message fits into. */
#define TRI_MESSAGE_BYTES_MAX 81920U

/*
 * tri_message_encode makes a message ready for TRI_EVENT_SUBMIT.
 *
 * message  in; `canonical` and `inner` are not read.
 * to       out; `bytes_max` bytes of room, which must not overlap what the message points to.
 * encoded  out; on TRI_OK the same message, canonical and inner set; borrows `to`, nothing else.
 * hash     out; on TRI_OK the content hash (R02).
 * field    out; on TRI_VIOLATION the name of the field that is wrong (docs/wire.md), static.
 *
 * Returns TRI_OK; TRI_FULL: the room is too small; TRI_VIOLATION: a field lies outside its range or
 * is not well formed, correct it.
 * Cost: one encoding, one decoding, one SHA-256; no allocation.
 */
enum tri_result tri_message_encode(const struct tri_message *message, uint8_t *to,
                                   uint32_t bytes_max, struct tri_message *encoded,
                                   struct tri_hash *hash, const char **field);

#ifdef __cplusplus
}
#endif

#endif
