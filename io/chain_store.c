/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#define RECORD_HEADER_BYTES 24U
#define RECORD_BYTES_MAX    (RECORD_HEADER_BYTES + TRI_ASSET_ID_BYTES_MAX)

static_assert(TRI_ASSET_ID_BYTES_MAX <= UINT8_MAX, "a record keeps the length in one byte");
static_assert(TRI_STORE_BUFFER_BYTES > RECORD_BYTES_MAX, "a record must fit into the buffer");

static int store_fail(char why[TRI_STORE_WHY_BYTES], const char *what, int error)
{
    (void)snprintf(why, TRI_STORE_WHY_BYTES, "%s: %s", what, strerror(error));
    return -error;
}

static int write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count > 0U) {
        ssize_t written = write(fd, bytes, count);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? -errno : -EIO;
        }
        bytes += written;
        count -= (size_t)written;
    }
    return 0;
}

/* The first start writes the chain's name; a later one of another chain is refused. */
static int store_claim(struct tri_store *store, const char *chain, char why[TRI_STORE_WHY_BYTES])
{
    char known[TRI_CHAIN_ID_BYTES_MAX + 2U];
    int fd = openat(store->state.directory, "chain", O_RDONLY | O_CLOEXEC);
    ssize_t bytes;
    int failed;

    if (fd < 0 && errno == ENOENT) {
        failed = tri_state_replace(&store->state, "chain", chain, strlen(chain));
        return failed == 0 ? 0 : store_fail(why, "chain", -failed);
    }
    if (fd < 0) {
        return store_fail(why, "chain", errno);
    }
    bytes = read(fd, known, sizeof(known) - 1U);
    (void)close(fd);
    known[bytes < 0 ? 0 : bytes] = '\0';
    if (strcmp(known, chain) != 0) {
        (void)snprintf(why, TRI_STORE_WHY_BYTES, "the directory belongs to '%s'", known);
        return -EINVAL;
    }
    return 0;
}

int tri_store_open(struct tri_store *store, const char *path, const char *chain,
                   char why[TRI_STORE_WHY_BYTES])
{
    int failed;

    assert(store != NULL);
    assert(strlen(chain) <= TRI_CHAIN_ID_BYTES_MAX);
    memset(store, 0, sizeof(*store));
    store->log_fd = -1;
    failed = tri_state_open(&store->state, path, why, TRI_STORE_WHY_BYTES);
    if (failed == 0) {
        failed = store_claim(store, chain, why);
    }
    if (failed == 0) {
        failed =
            tri_state_secret(&store->state, "hash-secret", store->secret, why, TRI_STORE_WHY_BYTES);
    }
    if (failed == 0) {
        failed = tri_state_counter(&store->state, "instance", &store->instance, why,
                                   TRI_STORE_WHY_BYTES);
    }
    return failed;
}

static void record_key(uint8_t *record, struct tri_key key)
{
    memcpy(record + 8, &key.lo, 8);
    memcpy(record + 16, &key.hi, 8);
}

static uint32_t record_check(const uint8_t *record, uint32_t bytes)
{
    return (uint32_t)XXH3_64bits(record + 4, bytes - 4U);
}

/* The bytes of the whole record at `at`, 0 if it is torn. */
static uint32_t record_bytes(const uint8_t *at, size_t left)
{
    uint32_t check;
    uint32_t bytes;

    if (left < RECORD_HEADER_BYTES) {
        return 0;
    }
    bytes = RECORD_HEADER_BYTES + at[6];
    memcpy(&check, at, sizeof(check));
    if (bytes > left || at[6] == 0U || at[6] > TRI_ASSET_ID_BYTES_MAX || at[7] != 0U ||
        check != record_check(at, bytes)) {
        return 0;
    }
    return bytes;
}

/* Carries one record out; false if the book cannot take it. */
static bool record_replay(const uint8_t *at, struct tri_book *book)
{
    struct tri_text asset = {(const char *)at + RECORD_HEADER_BYTES, at[6]};
    uint64_t hash = tri_book_hash(book, asset);
    struct tri_key key;

    memcpy(&key.lo, at + 8, 8);
    memcpy(&key.hi, at + 16, 8);
    if (at[4] == TRI_LEDGER_UNDO) {
        return tri_ledger_undo(book->ledger, hash, asset, key) == TRI_ERROR_NONE;
    }
    return at[4] == TRI_LEDGER_APPLY && at[5] < TRI_ACTION_COUNT &&
           tri_ledger_apply(book->ledger, hash, asset, (enum tri_asset_action)at[5], key, false) ==
               TRI_ERROR_NONE;
}

/* Replays the log from its beginning; store->log_bytes becomes the length of its whole part. */
static int log_replay(struct tri_store *store, struct tri_book *book, char why[TRI_STORE_WHY_BYTES])
{
    size_t filled = 0;

    for (;;) {
        ssize_t got = read(store->log_fd, store->buffer + filled, sizeof(store->buffer) - filled);
        size_t at = 0;
        uint32_t bytes;

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return store_fail(why, "ledger.log", errno);
        }
        filled += (size_t)got;
        while ((bytes = record_bytes(store->buffer + at, filled - at)) > 0U) {
            if (!record_replay(store->buffer + at, book)) {
                (void)snprintf(why, TRI_STORE_WHY_BYTES,
                               "ledger.log at byte %" PRIu64 ": the ledger cannot take '%.*s'",
                               store->log_bytes, (int)store->buffer[at + 6U],
                               (const char *)store->buffer + at + RECORD_HEADER_BYTES);
                return -EINVAL;
            }
            at += bytes;
            store->log_bytes += bytes;
        }
        memmove(store->buffer, store->buffer + at, filled - at);
        filled -= at;
        if (filled >= RECORD_HEADER_BYTES && RECORD_HEADER_BYTES + store->buffer[6] <= filled) {
            (void)snprintf(why, TRI_STORE_WHY_BYTES,
                           "ledger.log at byte %" PRIu64 ": it is damaged", store->log_bytes);
            return -EINVAL; /* the record is whole, so it was not torn by a crash */
        }
        if (got == 0) {
            return 0; /* what is left is less than the record that it begins: a torn end */
        }
    }
}

int tri_store_replay(struct tri_store *store, struct tri_book *book, uint64_t log_bytes_max,
                     char why[TRI_STORE_WHY_BYTES])
{
    int failed;

    assert(store->state.directory >= 0);
    assert(book->ledger != NULL);
    store->log_bytes_max = log_bytes_max;
    store->log_fd =
        openat(store->state.directory, "ledger.log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->log_fd < 0) {
        return store_fail(why, "ledger.log", errno);
    }
    failed = log_replay(store, book, why);
    if (failed != 0) {
        return failed;
    }
    if (ftruncate(store->log_fd, (off_t)store->log_bytes) != 0 ||
        lseek(store->log_fd, (off_t)store->log_bytes, SEEK_SET) < 0) {
        return store_fail(why, "ledger.log", errno);
    }
    return 0;
}

void tri_store_note(struct tri_store *store, enum tri_ledger_op op, enum tri_asset_action action,
                    struct tri_key key, struct tri_text asset)
{
    uint32_t bytes = RECORD_HEADER_BYTES + asset.bytes;
    uint8_t *record;
    uint32_t check;

    assert(asset.bytes > 0U && asset.bytes <= TRI_ASSET_ID_BYTES_MAX);
    if (store->log_fd < 0) {
        return;
    }
    if (store->used + bytes > sizeof(store->buffer)) {
        (void)tri_store_flush(store);
    }
    record = store->buffer + store->used;
    record[4] = op == TRI_LEDGER_UNDO ? TRI_LEDGER_UNDO : TRI_LEDGER_APPLY;
    record[5] = (uint8_t)action;
    record[6] = (uint8_t)asset.bytes;
    record[7] = 0;
    record_key(record, key);
    memcpy(record + RECORD_HEADER_BYTES, asset.at, asset.bytes);
    check = record_check(record, bytes);
    memcpy(record, &check, sizeof(check));
    store->used += bytes;
    store->log_bytes += bytes;
}

bool tri_store_has_room(const struct tri_store *store)
{
    return store->log_fd < 0 || store->log_bytes < store->log_bytes_max;
}

int tri_store_flush(struct tri_store *store)
{
    if (store->used > 0U && store->failed == 0) {
        store->failed = write_all(store->log_fd, store->buffer, store->used);
    }
    store->used = 0;
    return store->failed;
}

void tri_store_close(struct tri_store *store)
{
    if (store->log_fd >= 0) {
        (void)close(store->log_fd);
        store->log_fd = -1;
    }
    tri_state_close(&store->state);
}
