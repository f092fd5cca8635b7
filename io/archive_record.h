/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive record: one primary finality record in a file of an archive.
 *
 *     u32 big-endian   bytes of the body
 *     body             [header bin, signature bin, [[leaf bin, content bin|nil]...]]
 *
 * A record that tri_archive_record_get() and _check() let pass is what its header says of itself:
 * every leaf, content, chain and time belongs to the root.  Whether the header is genuine says
 * _is_signed(), and whether it is the next one of its stream _follows().
 *
 * Bytes are a stranger's: any of them are safe.
 *
 * Threads: no state.  Nothing allocates.
 */
#ifndef TRI_IO_ARCHIVE_RECORD_H
#define TRI_IO_ARCHIVE_RECORD_H

#include "io/archive.h"

#define TRI_ARCHIVE_FRAME_BYTES    4U  /* the length before each body */
#define TRI_ARCHIVE_NAME_BYTES_MAX 48U /* with its terminating zero */

/* "<stream>.<ossEpoch of the first record>.fin". */
void tri_archive_name_put(uint32_t epoch, uint32_t shard, uint64_t first,
                          char name[TRI_ARCHIVE_NAME_BYTES_MAX]);
/* False: it is no file of a stream. */
bool tri_archive_name_get(const char *name, uint32_t *epoch, uint32_t *shard, uint64_t *first);

/* Bytes of the body behind such a length; 0: no record is so long. */
uint32_t tri_archive_frame_get(const uint8_t frame[TRI_ARCHIVE_FRAME_BYTES]);

/* A record taken apart; all borrowed from its body. */
struct tri_archive_record {
    struct tri_bytes header_bytes;
    struct tri_finality_header header;
    const uint8_t *signature;
    struct tri_bytes entries; /* encoded; walk them with tri_archive_entry_next() */
};

/* tri_archive_record_bytes tells the record's size with its length in front; without
 * `is_content_kept` the entries' contents are left out. */
uint64_t tri_archive_record_bytes(uint32_t header_bytes, const struct tri_archive_entry *entries,
                                  uint32_t count, bool is_content_kept);
/* tri_archive_record_put writes it to `to`, which has tri_archive_record_bytes() of room. */
void tri_archive_record_put(struct tri_bytes header, const uint8_t *signature,
                            const struct tri_archive_entry *entries, uint32_t count,
                            bool is_content_kept, uint8_t *to);

/* tri_archive_record_get takes a body apart (without the length) and checks its form: canonical,
 * the header's ranges, as many entries as it says, nothing behind.  False: *fault is a static
 * sentence. */
bool tri_archive_record_get(struct tri_bytes body, struct tri_archive_record *record,
                            const char **fault);
/* As tri_archive_record_get, but of a body's beginning: only the header and the signature; the
 * entries stay empty. */
bool tri_archive_record_peek(struct tri_bytes beginning, struct tri_archive_record *record,
                             const char **fault);
/* *rest begins as `entries`; false at the end. */
bool tri_archive_entry_next(struct tri_bytes *rest, struct tri_archive_entry *entry);
/* tri_archive_record_check compares the header with the entries: leaves, hashes of contents, root,
 * participatingChains, issuedAtMs. */
bool tri_archive_record_check(const struct tri_archive_record *record, const char **fault);
/* By the key that the header names; whether that key is trusted is the caller's to know. */
bool tri_archive_record_is_signed(const struct tri_archive_record *record);
/* tri_archive_record_follows tells whether the header is record `oss_epoch` of the stream, behind
 * the one with the hash `previous`. */
bool tri_archive_record_follows(const struct tri_archive_record *record,
                                const uint8_t archive[TRI_FINALITY_ARCHIVE_BYTES], uint32_t epoch,
                                uint32_t shard, uint64_t oss_epoch,
                                const uint8_t previous[TRI_DIGEST_BYTES], const char **fault);

#endif
