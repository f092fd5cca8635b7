/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret: what identities prove themselves with.
 *
 * A secret never travels: both sides of a connection show an HMAC-SHA256 over
 * the other's nonce (io/session.h).
 *
 * Threads: no state.  Nothing here allocates.
 */
#ifndef TRI_IO_SECRET_H
#define TRI_IO_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/wire.h"
#include "tricast/message.h"

#define TRI_SECRET_BYTES_MIN 16U
#define TRI_SECRET_BYTES_MAX 128U

/* The bytes of the configured text; `bytes` 0 = no secret. */
struct tri_secret {
    uint32_t bytes;
    uint8_t at[TRI_SECRET_BYTES_MAX];
};

/* tri_secret_mac writes HMAC-SHA256 under `secret` over the concatenation of `count` parts. */
void tri_secret_mac(const struct tri_secret *secret, const struct tri_bytes *parts, uint32_t count,
                    uint8_t mac[TRI_MAC_BYTES]);

/* Compares in a time that does not depend on where the two differ. */
bool tri_secret_equal(const uint8_t one[TRI_MAC_BYTES], const uint8_t other[TRI_MAC_BYTES]);

/* tri_secret_random fills `to` with bytes from the kernel's generator (1..256 of them).  Returns 0
 * or -errno: then nothing may be proved and the connection has to be closed. */
int tri_secret_random(uint8_t *to, size_t bytes);

#endif
