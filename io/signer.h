/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signer: the Ed25519 key with which finality records are signed (F02), by libsodium.
 *
 * The file holds text, mode 0600:
 *
 *     tricast-key 1 ed25519
 *     secret <64 hexadecimal digits: the 32-byte seed>
 *     public <64 hexadecimal digits>
 *
 * Threads: a signer is read-only once it is open.
 */
#ifndef TRI_IO_SIGNER_H
#define TRI_IO_SIGNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRI_SIGNER_PUBLIC_BYTES    32U
#define TRI_SIGNER_SIGNATURE_BYTES 64U

struct tri_signer {
    uint8_t public_key[TRI_SIGNER_PUBLIC_BYTES];
    uint8_t secret_key[64]; /* libsodium's form: seed and public key */
};

/* tri_signer_new makes a key and writes it to `path`, which must not exist; durable when it
 * returns.  Returns 0 or -errno with one line in `trouble`. */
int tri_signer_new(struct tri_signer *signer, const char *path, char *trouble,
                   size_t trouble_bytes);
/* tri_signer_open reads a key.  Returns 0; -ENOENT; -ENOLINK: it is a symbolic link to what is not
 * there; -EPERM: others than the owner may read it; -EBADMSG: it is no key, or its public half is
 * another's; with one line in `trouble`. */
int tri_signer_open(struct tri_signer *signer, const char *path, char *trouble,
                    size_t trouble_bytes);
void tri_signer_sign(const struct tri_signer *signer, const void *bytes, size_t count,
                     uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES]);
bool tri_signer_verify(const uint8_t public_key[TRI_SIGNER_PUBLIC_BYTES], const void *bytes,
                       size_t count, const uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES]);
/* Wipes the secret half; accepts a zeroed signer. */
void tri_signer_close(struct tri_signer *signer);

#endif
