/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key file is made as a whole or not at all: written beside its name, flushed, linked to the
 * name, which fails if there is a file already, and the directory flushed.  Whoever lost a race or
 * gave the wrong name keeps the key that was there.
 */
#include "io/signer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/archive_manifest.h"

#define SIGNER_HEAD         "tricast-key 1 ed25519\nsecret "
#define SIGNER_MIDDLE       "\npublic "
#define SIGNER_HEX_BYTES    64U
#define SIGNER_SECRET_AT    (sizeof(SIGNER_HEAD) - 1)
#define SIGNER_MIDDLE_AT    (SIGNER_SECRET_AT + SIGNER_HEX_BYTES)
#define SIGNER_PUBLIC_AT    (SIGNER_MIDDLE_AT + sizeof(SIGNER_MIDDLE) - 1)
#define SIGNER_FILE_BYTES   (SIGNER_PUBLIC_AT + SIGNER_HEX_BYTES + 1)
#define SIGNER_PATH_BYTES   4096U
#define SIGNER_ATTEMPTS_MAX 16U /* names beside the file that may be taken */

static_assert(TRI_SIGNER_PUBLIC_BYTES == crypto_sign_PUBLICKEYBYTES, "an Ed25519 public key");
static_assert(TRI_SIGNER_SIGNATURE_BYTES == crypto_sign_BYTES, "an Ed25519 signature");
static_assert(sizeof(((struct tri_signer *)NULL)->secret_key) == crypto_sign_SECRETKEYBYTES,
              "libsodium's form of a secret key");
static_assert(crypto_sign_SEEDBYTES * 2 == SIGNER_HEX_BYTES, "a seed of 32 bytes");

__attribute__((format(printf, 5, 6))) static int signer_say(char *trouble, size_t trouble_bytes,
                                                            const char *path, int failed,
                                                            const char *format, ...)
{
    va_list arguments;
    int bytes = snprintf(trouble, trouble_bytes, "%s: ", path);

    if (bytes > 0 && (size_t)bytes < trouble_bytes) {
        va_start(arguments, format);
        (void)vsnprintf(trouble + bytes, trouble_bytes - (size_t)bytes, format, arguments);
        va_end(arguments);
    }
    return failed;
}

/* The library's own start, which costs nothing when it is repeated. */
static void signer_begin(void)
{
    int started = sodium_init();

    assert(started >= 0); /* it fails only without a source of random numbers */
    (void)started;
}

/* ---- making a key ---- */

static void signer_print(const struct tri_signer *signer, char text[SIGNER_FILE_BYTES])
{
    memcpy(text, SIGNER_HEAD, SIGNER_SECRET_AT);
    tri_hex_put(signer->secret_key, crypto_sign_SEEDBYTES, text + SIGNER_SECRET_AT);
    memcpy(text + SIGNER_MIDDLE_AT, SIGNER_MIDDLE, sizeof(SIGNER_MIDDLE) - 1);
    tri_hex_put(signer->public_key, sizeof(signer->public_key), text + SIGNER_PUBLIC_AT);
    text[SIGNER_FILE_BYTES - 1] = '\n';
}

/* Makes an empty file beside `path`, whose name nobody else has; returns a descriptor or -errno. */
static int signer_beside(const char *path, char beside[SIGNER_PATH_BYTES])
{
    int file = -EEXIST;

    for (uint32_t i = 0; i < SIGNER_ATTEMPTS_MAX && file == -EEXIST; i++) {
        int bytes = snprintf(beside, SIGNER_PATH_BYTES, "%s.%08x.new", path,
                             (unsigned)randombytes_random());

        if (bytes < 0 || (size_t)bytes >= SIGNER_PATH_BYTES) {
            return -ENAMETOOLONG;
        }
        file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        file = file < 0 ? -errno : file;
    }
    return file;
}

static int signer_write(int file, const char *text, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t written = write(file, text + done, bytes - done);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return fsync(file) == 0 ? 0 : -errno;
}

static int signer_flush_parent(const char *path)
{
    char parent[SIGNER_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t bytes = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    int directory = -1;
    int failed = 0;

    assert(bytes < sizeof(parent) - 1);
    memcpy(parent, path, bytes);
    (void)snprintf(parent + bytes, sizeof(parent) - bytes, ".");
    directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return -errno;
    }
    failed = fsync(directory) == 0 ? 0 : -errno;
    (void)close(directory);
    return failed;
}

int tri_signer_new(struct tri_signer *signer, const char *path, char *trouble, size_t trouble_bytes)
{
    uint8_t seed[crypto_sign_SEEDBYTES];
    char text[SIGNER_FILE_BYTES];
    char beside[SIGNER_PATH_BYTES];
    int file = -1;
    int failed = 0;

    assert(signer != NULL && path != NULL);
    signer_begin();
    *signer = (struct tri_signer){0};
    file = signer_beside(path, beside);
    if (file < 0) {
        return signer_say(trouble, trouble_bytes, path, file, "the key cannot be made: %s",
                          strerror(-file));
    }
    randombytes_buf(seed, sizeof(seed));
    (void)crypto_sign_seed_keypair(signer->public_key, signer->secret_key, seed);
    signer_print(signer, text);
    failed = signer_write(file, text, sizeof(text));
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(text, sizeof(text));
    if (close(file) != 0 && failed == 0) {
        failed = -errno;
    }
    if (failed == 0 && link(beside, path) != 0) {
        failed = -errno;
    }
    if (unlink(beside) != 0 && failed == 0) {
        failed = -errno;
    }
    failed = failed == 0 ? signer_flush_parent(path) : failed;
    if (failed != 0) {
        tri_signer_close(signer);
    }
    if (failed == -EEXIST) {
        return signer_say(trouble, trouble_bytes, path, failed,
                          "the file is there already; a key is never replaced, give another name");
    }
    return failed == 0 ? 0
                       : signer_say(trouble, trouble_bytes, path, failed,
                                    "the key cannot be written: %s", strerror(-failed));
}

/* ---- reading a key ---- */

/* Reads up to `room` bytes; returns how many, or -errno. */
static ssize_t signer_read(int file, char *text, size_t room)
{
    size_t used = 0;
    ssize_t got = 1;

    while (got != 0 && used < room) {
        got = read(file, text + used, room - used);
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)used;
}

/* Returns what is wrong with the text, NULL = nothing. */
static const char *signer_parse(struct tri_signer *signer, const char *text, size_t bytes)
{
    uint8_t seed[crypto_sign_SEEDBYTES];
    uint8_t told[TRI_SIGNER_PUBLIC_BYTES];
    const char *fault = NULL;

    if (bytes != SIGNER_FILE_BYTES || memcmp(text, SIGNER_HEAD, SIGNER_SECRET_AT) != 0 ||
        memcmp(text + SIGNER_MIDDLE_AT, SIGNER_MIDDLE, sizeof(SIGNER_MIDDLE) - 1) != 0 ||
        text[SIGNER_FILE_BYTES - 1] != '\n' ||
        !tri_hex_get(text + SIGNER_SECRET_AT, SIGNER_HEX_BYTES, seed) ||
        !tri_hex_get(text + SIGNER_PUBLIC_AT, SIGNER_HEX_BYTES, told)) {
        fault = "it is no key file (tricast-key 1 ed25519); restore it from a backup";
    } else {
        (void)crypto_sign_seed_keypair(signer->public_key, signer->secret_key, seed);
        if (memcmp(signer->public_key, told, sizeof(told)) != 0) {
            fault = "its public half does not belong to its secret; restore it from a backup";
        }
    }
    sodium_memzero(seed, sizeof(seed));
    return fault;
}

/* Why the file could not be opened. */
static int signer_missing(const char *path, int failed, char *trouble, size_t trouble_bytes)
{
    struct stat about;

    if (failed == -ENOENT && lstat(path, &about) == 0 && S_ISLNK(about.st_mode)) {
        return signer_say(trouble, trouble_bytes, path, -ENOLINK,
                          "it is a symbolic link to a file that is not there; put that back, or "
                          "mount its disk");
    }
    return signer_say(trouble, trouble_bytes, path, failed, "the key cannot be opened: %s",
                      strerror(-failed));
}

int tri_signer_open(struct tri_signer *signer, const char *path, char *trouble,
                    size_t trouble_bytes)
{
    char text[SIGNER_FILE_BYTES + 1] = {0};
    struct stat about = {0};
    const char *fault = NULL;
    ssize_t got = 0;
    int file = -1;

    assert(signer != NULL && path != NULL);
    signer_begin();
    *signer = (struct tri_signer){0};
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return signer_missing(path, -errno, trouble, trouble_bytes);
    }
    got = fstat(file, &about) == 0 ? signer_read(file, text, sizeof(text)) : -errno;
    (void)close(file);
    if (got >= 0 && (about.st_mode & 077) != 0) {
        sodium_memzero(text, sizeof(text));
        return signer_say(trouble, trouble_bytes, path, -EPERM,
                          "others than its owner may read the key; chmod 600 it");
    }
    if (got < 0) {
        return signer_say(trouble, trouble_bytes, path, (int)got, "the key cannot be read: %s",
                          strerror((int)-got));
    }
    fault = signer_parse(signer, text, (size_t)got);
    sodium_memzero(text, sizeof(text));
    if (fault != NULL) {
        tri_signer_close(signer);
        return signer_say(trouble, trouble_bytes, path, -EBADMSG, "%s", fault);
    }
    return 0;
}

/* ---- using it ---- */

void tri_signer_sign(const struct tri_signer *signer, const void *bytes, size_t count,
                     uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES])
{
    assert(signer != NULL && bytes != NULL);
    (void)crypto_sign_detached(signature, NULL, bytes, count, signer->secret_key);
}

bool tri_signer_verify(const uint8_t public_key[TRI_SIGNER_PUBLIC_BYTES], const void *bytes,
                       size_t count, const uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES])
{
    signer_begin(); /* who only verifies has opened no signer */
    return crypto_sign_verify_detached(signature, bytes, count, public_key) == 0;
}

void tri_signer_close(struct tri_signer *signer)
{
    sodium_memzero(signer, sizeof(*signer));
}
