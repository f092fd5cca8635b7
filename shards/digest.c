/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With OpenSSL 3 the one-shot functions fetch the algorithm on every call and
 * cost more than the hash itself.  Initialising an existing context with a
 * NULL algorithm keeps the fetched one and its state block.
 */
#include "shards/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

bool tri_digest_init(struct tri_digest *digest)
{
    assert(digest != NULL);
    digest->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest->context = EVP_MD_CTX_new();
    if (digest->algorithm == NULL || digest->context == NULL ||
        EVP_DigestInit_ex2(digest->context, digest->algorithm, NULL) != 1) {
        tri_digest_fini(digest);
        return false;
    }
    return true;
}

void tri_digest_fini(struct tri_digest *digest)
{
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->algorithm);
    digest->context = NULL;
    digest->algorithm = NULL;
}

void tri_digest_sha256(struct tri_digest *digest, const void *bytes, size_t count,
                       uint8_t to[TRI_DIGEST_BYTES])
{
    unsigned int written = 0;
    int done = 0;

    assert(digest->context != NULL);
    /* None of these can fail once the first initialisation has succeeded. */
    done = EVP_DigestInit_ex2(digest->context, NULL, NULL);
    assert(done == 1);
    done = EVP_DigestUpdate(digest->context, bytes, count);
    assert(done == 1);
    done = EVP_DigestFinal_ex(digest->context, to, &written);
    assert(done == 1);
    assert(written == TRI_DIGEST_BYTES);
}

struct tri_hash tri_digest_content(struct tri_digest *digest, struct tri_bytes canonical)
{
    uint8_t full[TRI_DIGEST_BYTES];
    struct tri_hash hash;

    assert(canonical.at != NULL);
    tri_digest_sha256(digest, canonical.at, canonical.bytes, full);
    memcpy(hash.at, full, sizeof(hash.at));
    return hash;
}
