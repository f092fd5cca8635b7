/* SPDX-License-Identifier: Apache-2.0 */
#include "io/journal_manifest.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "engine/limits.h"
#include "shards/digest.h"

#define MANIFEST_LABEL       "tricast journal secret 1"
#define MANIFEST_CHECK       "check "
#define MANIFEST_CHECK_BYTES (sizeof(MANIFEST_CHECK) - 1 + 32 + 1) /* of that line */

void tri_manifest_fingerprint(const uint8_t secret[32],
                              uint8_t fingerprint[TRI_MANIFEST_FINGERPRINT_BYTES])
{
    uint8_t input[sizeof(MANIFEST_LABEL) + 32];
    uint8_t full[TRI_DIGEST_BYTES];

    memcpy(input, MANIFEST_LABEL, sizeof(MANIFEST_LABEL));
    memcpy(input + sizeof(MANIFEST_LABEL), secret, 32);
    tri_digest_sha256(input, sizeof(input), full);
    memcpy(fingerprint, full, TRI_MANIFEST_FINGERPRINT_BYTES);
}

/* ---- writing ---- */

static size_t put_check(char *text, size_t bytes, size_t room)
{
    XXH128_hash_t hash = XXH3_128bits(text, bytes);

    return (size_t)snprintf(text + bytes, room - bytes,
                            MANIFEST_CHECK "%016" PRIx64 "%016" PRIx64 "\n", hash.high64,
                            hash.low64);
}

size_t tri_manifest_put(const struct tri_manifest *manifest, char *text, size_t room)
{
    size_t bytes = 0;

    assert(room >= TRI_MANIFEST_BYTES(manifest->count));
    bytes += (size_t)snprintf(text, room, "tricast-journal %u\nepoch %u\nkind %s\nsecret ",
                              TRI_MANIFEST_VERSION, manifest->epoch, manifest->kind);
    if (manifest->has_secret) {
        for (uint32_t i = 0; i < TRI_MANIFEST_FINGERPRINT_BYTES; i++) {
            bytes += (size_t)snprintf(text + bytes, room - bytes, "%02x", manifest->fingerprint[i]);
        }
    } else {
        bytes += (size_t)snprintf(text + bytes, room - bytes, "none");
    }
    bytes += (size_t)snprintf(text + bytes, room - bytes, "\n");
    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct tri_manifest_stream *stream = &manifest->streams[i];

        bytes += (size_t)snprintf(text + bytes, room - bytes,
                                  "stream %u %u %u slots %u %u seed %016" PRIx64, stream->epoch,
                                  stream->stream, stream->streams, stream->slot_first,
                                  stream->slot_last, stream->seed);
        if (stream->has_cut) {
            bytes += (size_t)snprintf(text + bytes, room - bytes, " cut %" PRIu64 " %" PRIu64 "\n",
                                      stream->cut_seq, stream->cut_lsn);
        } else {
            bytes += (size_t)snprintf(text + bytes, room - bytes, " open\n");
        }
    }
    bytes += put_check(text, bytes, room);
    assert(bytes < room);
    return bytes;
}

/* ---- reading ---- */

/* A cursor on the text; once it has failed it stays so. */
struct reader {
    const char *at;
    bool has_failed;
};

static void read_word(struct reader *reader, const char *word)
{
    size_t bytes = strlen(word);

    if (!reader->has_failed && strncmp(reader->at, word, bytes) == 0) {
        reader->at += bytes;
    } else {
        reader->has_failed = true;
    }
}

static uint64_t read_number(struct reader *reader, uint64_t max)
{
    uint64_t value = 0;
    uint32_t digits = 0;

    while (!reader->has_failed && *reader->at >= '0' && *reader->at <= '9') {
        uint64_t digit = (uint64_t)(*reader->at - '0');

        if (value > (max - digit) / 10U) {
            reader->has_failed = true;
            return 0;
        }
        value = value * 10U + digit;
        reader->at++;
        digits++;
    }
    reader->has_failed = reader->has_failed || digits == 0 || value > max;
    return value;
}

static uint64_t read_hex(struct reader *reader, uint32_t digits)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t value = 0;

    for (uint32_t i = 0; i < digits && !reader->has_failed; i++) {
        const char *digit = *reader->at == '\0' ? NULL : strchr(hex, *reader->at);

        if (digit == NULL) {
            reader->has_failed = true;
        } else {
            value = value << 4 | (uint64_t)(digit - hex);
            reader->at++;
        }
    }
    return value;
}

static void read_kind(struct reader *reader, char kind[TRI_MANIFEST_KIND_BYTES])
{
    uint32_t bytes = 0;

    read_word(reader, "kind ");
    while (!reader->has_failed && *reader->at >= 'a' && *reader->at <= 'z') {
        if (bytes == TRI_MANIFEST_KIND_BYTES - 1) {
            reader->has_failed = true;
            return;
        }
        kind[bytes++] = *reader->at++;
    }
    kind[bytes] = '\0';
    reader->has_failed = reader->has_failed || bytes == 0;
    read_word(reader, "\n");
}

static void read_secret(struct reader *reader, struct tri_manifest *manifest)
{
    read_word(reader, "secret ");
    manifest->has_secret = strncmp(reader->at, "none\n", 5) != 0;
    if (manifest->has_secret) {
        for (uint32_t i = 0; i < TRI_MANIFEST_FINGERPRINT_BYTES; i++) {
            manifest->fingerprint[i] = (uint8_t)read_hex(reader, 2);
        }
    } else {
        read_word(reader, "none");
    }
    read_word(reader, "\n");
}

static void read_stream(struct reader *reader, struct tri_manifest_stream *stream)
{
    *stream = (struct tri_manifest_stream){0};
    read_word(reader, "stream ");
    stream->epoch = (uint32_t)read_number(reader, UINT32_MAX);
    read_word(reader, " ");
    stream->stream = (uint32_t)read_number(reader, TRI_SHARDS_MAX);
    read_word(reader, " ");
    stream->streams = (uint32_t)read_number(reader, TRI_SHARDS_MAX);
    read_word(reader, " slots ");
    stream->slot_first = (uint32_t)read_number(reader, TRI_SLOT_COUNT - 1);
    read_word(reader, " ");
    stream->slot_last = (uint32_t)read_number(reader, TRI_SLOT_COUNT - 1);
    read_word(reader, " seed ");
    stream->seed = read_hex(reader, 16);
    stream->has_cut = !reader->has_failed && strncmp(reader->at, " cut ", 5) == 0;
    if (stream->has_cut) {
        read_word(reader, " cut ");
        stream->cut_seq = read_number(reader, UINT64_MAX);
        read_word(reader, " ");
        stream->cut_lsn = read_number(reader, UINT64_MAX);
    } else {
        read_word(reader, " open");
    }
    read_word(reader, "\n");
}

/* Whether the streams are what sets are made of, and in order. */
static bool manifest_is_sound(const struct tri_manifest *manifest)
{
    const struct tri_manifest_stream *before = NULL;

    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct tri_manifest_stream *stream = &manifest->streams[i];

        if (stream->epoch == 0 || stream->epoch > manifest->epoch ||
            stream->stream >= stream->streams || stream->slot_first > stream->slot_last ||
            (!stream->has_cut && stream->epoch != manifest->epoch)) {
            return false;
        }
        if (before != NULL &&
            (stream->epoch < before->epoch ||
             (stream->epoch == before->epoch && stream->stream <= before->stream))) {
            return false;
        }
        before = stream;
    }
    return true;
}

uint32_t tri_manifest_epoch(const char *text)
{
    struct reader reader = {.at = text};
    uint32_t epoch = 0;

    read_word(&reader, "tricast-journal ");
    (void)read_number(&reader, UINT32_MAX);
    read_word(&reader, "\nepoch ");
    epoch = (uint32_t)read_number(&reader, UINT32_MAX);
    read_word(&reader, "\n");
    return reader.has_failed ? 0 : epoch;
}

/* The line at the end, and the hash in it. */
static bool manifest_is_whole(const char *text, size_t bytes)
{
    char check[MANIFEST_CHECK_BYTES + 1];
    XXH128_hash_t hash;

    if (bytes < MANIFEST_CHECK_BYTES) {
        return false;
    }
    hash = XXH3_128bits(text, bytes - MANIFEST_CHECK_BYTES);
    (void)snprintf(check, sizeof(check), MANIFEST_CHECK "%016" PRIx64 "%016" PRIx64 "\n",
                   hash.high64, hash.low64);
    return memcmp(text + bytes - MANIFEST_CHECK_BYTES, check, MANIFEST_CHECK_BYTES) == 0;
}

int tri_manifest_get(struct tri_manifest *manifest, uint32_t streams_max, const char *text,
                     size_t bytes, const char **what)
{
    struct reader reader = {.at = text};

    assert(text[bytes] == '\0');
    manifest->count = 0;
    read_word(&reader, "tricast-journal ");
    *what = "it is no manifest of a journal";
    if (reader.has_failed) {
        return -EBADMSG;
    }
    *what = "its bytes do not match its check line";
    if (!manifest_is_whole(text, bytes)) {
        return -EBADMSG;
    }
    manifest->version = (uint32_t)read_number(&reader, UINT32_MAX);
    read_word(&reader, "\n");
    *what = "it is of another version";
    if (!reader.has_failed && manifest->version != TRI_MANIFEST_VERSION) {
        return -EPROTONOSUPPORT;
    }
    *what = "its check line is right, but it is not what a manifest says";
    read_word(&reader, "epoch ");
    manifest->epoch = (uint32_t)read_number(&reader, UINT32_MAX);
    read_word(&reader, "\n");
    read_kind(&reader, manifest->kind);
    read_secret(&reader, manifest);
    while (!reader.has_failed && strncmp(reader.at, "stream ", 7) == 0) {
        if (manifest->count == streams_max) {
            return -EBADMSG;
        }
        read_stream(&reader, &manifest->streams[manifest->count++]);
    }
    if (reader.has_failed || reader.at != text + bytes - MANIFEST_CHECK_BYTES ||
        !manifest_is_sound(manifest)) {
        return -EBADMSG;
    }
    return 0;
}
