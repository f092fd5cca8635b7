/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HMAC (RFC 2104) is written out over OpenSSL's SHA256_Init/Update/Final.
 * OpenSSL 3 marks these as deprecated in favour of EVP, but EVP allocates for
 * every computation, and a shard's thread must not allocate.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "io/secret.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_BLOCK_BYTES 64U
#define SECRET_INNER_PAD   0x36U
#define SECRET_OUTER_PAD   0x5cU

static_assert(TRI_MAC_BYTES == SHA256_DIGEST_LENGTH, "the mac on the wire is a whole SHA-256");
static_assert(SECRET_BLOCK_BYTES == SHA256_CBLOCK, "HMAC pads the key to SHA-256's block");

static void secret_begin(SHA256_CTX *sha, const uint8_t key[SECRET_BLOCK_BYTES], uint8_t pad)
{
    uint8_t block[SECRET_BLOCK_BYTES];

    for (uint32_t index = 0; index < SECRET_BLOCK_BYTES; index++) {
        block[index] = (uint8_t)(key[index] ^ pad);
    }
    SHA256_Init(sha);
    SHA256_Update(sha, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
}

void tri_secret_mac(const struct tri_secret *secret, const struct tri_bytes *parts, uint32_t count,
                    uint8_t mac[TRI_MAC_BYTES])
{
    uint8_t key[SECRET_BLOCK_BYTES] = {0};
    uint8_t inner[SHA256_DIGEST_LENGTH];
    SHA256_CTX sha;

    assert(secret != NULL && secret->bytes > 0);
    assert(secret->bytes <= TRI_SECRET_BYTES_MAX);
    if (secret->bytes > SECRET_BLOCK_BYTES) {
        SHA256_Init(&sha);
        SHA256_Update(&sha, secret->at, secret->bytes);
        SHA256_Final(key, &sha);
    } else {
        memcpy(key, secret->at, secret->bytes);
    }
    secret_begin(&sha, key, SECRET_INNER_PAD);
    for (uint32_t index = 0; index < count; index++) {
        SHA256_Update(&sha, parts[index].at, parts[index].bytes);
    }
    SHA256_Final(inner, &sha);
    secret_begin(&sha, key, SECRET_OUTER_PAD);
    SHA256_Update(&sha, inner, sizeof(inner));
    SHA256_Final(mac, &sha);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(&sha, sizeof(sha));
}

bool tri_secret_equal(const uint8_t one[TRI_MAC_BYTES], const uint8_t other[TRI_MAC_BYTES])
{
    return CRYPTO_memcmp(one, other, TRI_MAC_BYTES) == 0;
}

int tri_secret_random(uint8_t *to, size_t bytes)
{
    ssize_t got = 0;

    assert(to != NULL);
    assert(bytes > 0 && bytes <= 256); /* getrandom gives up to 256 bytes whole */
    do {
        got = getrandom(to, bytes, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -errno;
    }
    return (size_t)got == bytes ? 0 : -EIO;
}
