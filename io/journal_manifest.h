/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifest: which sets of streams a journal consists of, as text.
 *
 *     tricast-journal 1
 *     epoch 4
 *     kind coordinator
 *     secret 5f0c...                                          or: secret none
 *     stream 3 0 2 slots 0 2047 seed 9a41... cut 118 20417    epoch, stream, of how many
 *     stream 3 1 2 slots 2048 4095 seed 03d2... cut 97 18003
 *     stream 4 0 1 slots 0 4095 seed 77aa... open
 *     check 0123...                                           XXH3-128 of all before this line
 *
 * Old streams have a cut: the last block and the last LSN that count.  The set of
 * `epoch` is open: its end is where its last good block is.  The first and the
 * last line keep their form in every version.
 *
 * Threads: no state.
 */
#ifndef TRI_IO_JOURNAL_MANIFEST_H
#define TRI_IO_JOURNAL_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRI_MANIFEST_NAME              "manifest"
#define TRI_MANIFEST_VERSION           1U
#define TRI_MANIFEST_KIND_BYTES        16U
#define TRI_MANIFEST_FINGERPRINT_BYTES 16U
#define TRI_MANIFEST_STREAMS_MAX       8192U
#define TRI_MANIFEST_LINE_BYTES_MAX    160U
/* The text of so many streams, with its terminating zero. */
#define TRI_MANIFEST_BYTES(streams)    (((size_t)(streams) + 6U) * TRI_MANIFEST_LINE_BYTES_MAX)

struct tri_manifest_stream {
    uint32_t epoch;
    uint32_t stream;
    uint32_t streams;
    uint32_t slot_first;
    uint32_t slot_last;
    uint64_t seed;
    bool has_cut;
    uint64_t cut_seq;
    uint64_t cut_lsn;
};

struct tri_manifest {
    uint32_t version; /* as read */
    uint32_t epoch;   /* of the newest set */
    char kind[TRI_MANIFEST_KIND_BYTES];
    bool has_secret;
    uint8_t fingerprint[TRI_MANIFEST_FINGERPRINT_BYTES];
    uint32_t count;
    struct tri_manifest_stream *streams; /* the caller's, ordered by epoch and stream */
};

/* tri_manifest_put writes the text, `room` at least TRI_MANIFEST_BYTES(count).  Returns its bytes.
 */
size_t tri_manifest_put(const struct tri_manifest *manifest, char *text, size_t room);

/*
 * tri_manifest_get reads a text.
 *
 * manifest  out; `streams` in: room for streams_max entries.
 * text      `bytes` bytes and a terminating zero behind them.
 * what      out; if it fails, a static sentence: what is wrong.
 *
 * Returns 0; -EPROTONOSUPPORT: another version, which is in manifest->version; -EBADMSG: damaged.
 */
int tri_manifest_get(struct tri_manifest *manifest, uint32_t streams_max, const char *text,
                     size_t bytes, const char **what);

/* The epoch of the newest set if the text is so far whole, else 0: a look whether someone else has
 * taken over. */
uint32_t tri_manifest_epoch(const char *text);

/* What a manifest keeps of the hash secret: enough to tell another one, nothing that leads back. */
void tri_manifest_fingerprint(const uint8_t secret[32],
                              uint8_t fingerprint[TRI_MANIFEST_FINGERPRINT_BYTES]);

#endif
