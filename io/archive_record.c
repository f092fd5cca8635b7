/* SPDX-License-Identifier: Apache-2.0 */
#include "io/archive_record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire_cursor.h"

#define RECORD_ELEMENTS       3U
#define RECORD_ENTRY_ELEMENTS 2U
/* An array of 3, a header of at least 100 bytes, a signature and one entry. */
#define RECORD_BODY_BYTES_MIN 170U

static_assert(TRI_FINALITY_SIGNATURE_BYTES == TRI_SIGNER_SIGNATURE_BYTES, "the signer's");
static_assert(TRI_FINALITY_KEY_BYTES == TRI_SIGNER_PUBLIC_BYTES, "the signer's");

/* ---- names of files ---- */

void tri_archive_name_put(uint32_t epoch, uint32_t shard, uint64_t first,
                          char name[TRI_ARCHIVE_NAME_BYTES_MAX])
{
    (void)snprintf(name, TRI_ARCHIVE_NAME_BYTES_MAX, "%" PRIu32 "-%" PRIu32 ".%" PRIu64 ".fin",
                   epoch, shard, first);
}

bool tri_archive_name_get(const char *name, uint32_t *epoch, uint32_t *shard, uint64_t *first)
{
    char again[TRI_ARCHIVE_NAME_BYTES_MAX];
    const char *dot = strchr(name, '.');

    if (dot == NULL || dot - name > (ptrdiff_t)TRI_STREAM_BYTES_MAX ||
        !tri_stream_get((struct tri_text){name, (uint32_t)(dot - name)}, epoch, shard)) {
        return false;
    }
    *first = strtoull(dot + 1, NULL, 10); /* what is no number shows below */
    tri_archive_name_put(*epoch, *shard, *first, again);
    return *first != 0 && strcmp(again, name) == 0;
}

/* ---- writing ---- */

static uint64_t record_bin_bytes(uint64_t bytes)
{
    return bytes + (bytes <= UINT8_MAX ? 2U : bytes <= UINT16_MAX ? 3U : 5U);
}

uint64_t tri_archive_record_bytes(uint32_t header_bytes, const struct tri_archive_entry *entries,
                                  uint32_t count, bool is_content_kept)
{
    uint64_t bytes = TRI_ARCHIVE_FRAME_BYTES + 1 + record_bin_bytes(header_bytes) +
                     record_bin_bytes(TRI_FINALITY_SIGNATURE_BYTES) + (count < 16 ? 1U : 3U);

    assert(count >= 1 && count <= TRI_FINALITY_MESSAGES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t content_bytes = is_content_kept ? entries[i].content.bytes : 0;

        bytes += 1 + record_bin_bytes(entries[i].leaf.bytes);
        bytes += content_bytes == 0 ? 1 : record_bin_bytes(content_bytes);
    }
    return bytes;
}

void tri_archive_record_put(struct tri_bytes header, const uint8_t *signature,
                            const struct tri_archive_entry *entries, uint32_t count,
                            bool is_content_kept, uint8_t *to)
{
    uint64_t bytes = tri_archive_record_bytes(header.bytes, entries, count, is_content_kept);
    uint64_t body_bytes = bytes - TRI_ARCHIVE_FRAME_BYTES;
    struct tri_writer writer = {
        .at = to + TRI_ARCHIVE_FRAME_BYTES, .end = to + bytes, .failed = false};

    assert(body_bytes <= TRI_ARCHIVE_RECORD_BYTES_MAX);
    to[0] = (uint8_t)(body_bytes >> 24);
    to[1] = (uint8_t)(body_bytes >> 16);
    to[2] = (uint8_t)(body_bytes >> 8);
    to[3] = (uint8_t)body_bytes;
    tri_put_array(&writer, RECORD_ELEMENTS);
    tri_put_bin(&writer, header);
    tri_put_bin(&writer, (struct tri_bytes){signature, TRI_FINALITY_SIGNATURE_BYTES});
    tri_put_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        tri_put_array(&writer, RECORD_ENTRY_ELEMENTS);
        tri_put_bin(&writer, entries[i].leaf);
        if (!is_content_kept || entries[i].content.bytes == 0) {
            tri_put_nil(&writer);
        } else {
            tri_put_bin(&writer, entries[i].content);
        }
    }
    assert(!writer.failed);
    assert(writer.at == writer.end);
}

/* ---- reading ---- */

uint32_t tri_archive_frame_get(const uint8_t frame[TRI_ARCHIVE_FRAME_BYTES])
{
    uint32_t bytes = tri_load32(frame);

    return bytes < RECORD_BODY_BYTES_MIN || bytes > TRI_ARCHIVE_RECORD_BYTES_MAX ? 0 : bytes;
}

static struct tri_cursor record_cursor(struct tri_bytes bytes, struct tri_wire_fault *fault)
{
    *fault = (struct tri_wire_fault){.field = ""};
    return (struct tri_cursor){
        .body = bytes.at, .at = bytes.at, .end = bytes.at + bytes.bytes, .fault = fault};
}

/* The header and the signature; the cursor stands at the entries then. */
static bool record_get_header(struct tri_cursor *cursor, struct tri_archive_record *record,
                              const char **fault)
{
    struct tri_bytes signature = {0};
    uint32_t count = 0;

    if (!tri_get_array(cursor, RECORD_ELEMENTS, RECORD_ELEMENTS, &count,
                       "the record is not an array of 3") ||
        !tri_get_bin(cursor, 1, TRI_FINALITY_HEADER_BYTES_MAX, &record->header_bytes,
                     "the record's header is not 1 to 45056 bytes") ||
        !tri_get_bin(cursor, TRI_FINALITY_SIGNATURE_BYTES, TRI_FINALITY_SIGNATURE_BYTES, &signature,
                     "the record's signature is not 64 bytes")) {
        *fault = cursor->fault->field;
        return false;
    }
    record->signature = signature.at;
    return tri_finality_header_get(record->header_bytes, &record->header, fault);
}

static bool record_get_entry(struct tri_cursor *cursor, struct tri_archive_entry *entry)
{
    uint32_t count = 0;

    entry->content = (struct tri_bytes){0};
    return tri_get_array(cursor, RECORD_ENTRY_ELEMENTS, RECORD_ENTRY_ELEMENTS, &count,
                         "an entry of the record is not an array of 2") &&
           tri_get_bin(cursor, 1, TRI_LEAF_BYTES_MAX, &entry->leaf,
                       "an entry's leaf is not 1 to 5632 bytes") &&
           (tri_get_nil(cursor) ||
            tri_get_bin(cursor, 1, TRI_FRAME_BYTES_MAX, &entry->content,
                        "an entry's content is neither null nor 1 to 81920 bytes"));
}

bool tri_archive_record_peek(struct tri_bytes beginning, struct tri_archive_record *record,
                             const char **fault)
{
    struct tri_wire_fault found;
    struct tri_cursor cursor = record_cursor(beginning, &found);

    assert(record != NULL && fault != NULL);
    record->entries = (struct tri_bytes){0};
    return record_get_header(&cursor, record, fault);
}

bool tri_archive_record_get(struct tri_bytes body, struct tri_archive_record *record,
                            const char **fault)
{
    struct tri_wire_fault found;
    struct tri_cursor cursor = record_cursor(body, &found);
    struct tri_archive_entry entry;
    uint32_t count = 0;

    assert(record != NULL && fault != NULL);
    if (!record_get_header(&cursor, record, fault)) {
        return false;
    }
    if (!tri_get_array(&cursor, record->header.message_count, record->header.message_count, &count,
                       "the record has not as many entries as its header's messageCount")) {
        *fault = found.field;
        return false;
    }
    record->entries = (struct tri_bytes){cursor.at, (uint32_t)(cursor.end - cursor.at)};
    for (; count > 0; count--) {
        if (!record_get_entry(&cursor, &entry)) {
            *fault = found.field;
            return false;
        }
    }
    *fault = "behind the record's entries stand more bytes";
    return cursor.at == cursor.end;
}

bool tri_archive_entry_next(struct tri_bytes *rest, struct tri_archive_entry *entry)
{
    struct tri_wire_fault fault;
    struct tri_cursor cursor = record_cursor(*rest, &fault);

    if (rest->bytes == 0 || !record_get_entry(&cursor, entry)) {
        return false;
    }
    *rest = (struct tri_bytes){cursor.at, (uint32_t)(cursor.end - cursor.at)};
    return true;
}

/* The header's chains, and which of them a leaf has named. */
struct record_chains {
    struct tri_text at[TRI_FINALITY_CHAINS_MAX];
    bool is_named[TRI_FINALITY_CHAINS_MAX];
    uint32_t count;
    uint32_t named_count;
};

static void record_chains_read(struct record_chains *chains,
                               const struct tri_finality_header *header)
{
    struct tri_bytes rest = header->chains_at;

    chains->count = 0;
    chains->named_count = 0;
    while (chains->count < TRI_FINALITY_CHAINS_MAX &&
           tri_finality_chain_next(&rest, &chains->at[chains->count])) {
        chains->is_named[chains->count] = false;
        chains->count++;
    }
    assert(chains->count == header->chain_count);
}

static bool record_chains_name(struct record_chains *chains, struct tri_text chain)
{
    uint32_t low = 0;
    uint32_t high = chains->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = tri_finality_chain_order(chains->at[middle], chain);

        if (order == 0) {
            chains->named_count += chains->is_named[middle] ? 0 : 1;
            chains->is_named[middle] = true;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static bool record_check_entry(const struct tri_archive_entry *entry, struct tri_leaf *leaf,
                               struct record_chains *chains, const char **fault)
{
    if (!tri_leaf_get(entry->leaf, leaf, fault)) {
        return false;
    }
    if (entry->content.bytes != 0) {
        struct tri_hash hash = tri_digest_content(entry->content);

        if (memcmp(hash.at, leaf->hash.at, sizeof(hash.at)) != 0) {
            *fault = "a message's content has not its leaf's contentHash";
            return false;
        }
    }
    for (uint32_t i = 0; i < leaf->chain_count; i++) {
        if (!record_chains_name(chains, leaf->chains[i])) {
            *fault = "the header's participatingChains lack one of a leaf's";
            return false;
        }
    }
    return true;
}

bool tri_archive_record_check(const struct tri_archive_record *record, const char **fault)
{
    const struct tri_finality_header *header = &record->header;
    struct tri_bytes rest = record->entries;
    struct tri_archive_entry entry;
    struct record_chains chains;
    struct tri_leaf leaf;
    struct tri_tree tree;
    uint8_t hash[TRI_DIGEST_BYTES];
    uint64_t issued_at_ms = 0;

    assert(rest.bytes != 0);
    record_chains_read(&chains, header);
    tri_tree_init(&tree);
    while (tri_archive_entry_next(&rest, &entry)) {
        if (!record_check_entry(&entry, &leaf, &chains, fault)) {
            return false;
        }
        issued_at_ms = leaf.issued_at_ms > issued_at_ms ? leaf.issued_at_ms : issued_at_ms;
        tri_tree_leaf(entry.leaf, hash);
        tri_tree_add(&tree, hash);
    }
    assert(tree.count == header->message_count);
    tri_tree_root(&tree, hash);
    if (memcmp(hash, header->root, sizeof(hash)) != 0) {
        *fault = "the header's ossStateRoot is not that of its leaves";
    } else if (chains.named_count != chains.count) {
        *fault = "the header's participatingChains have one that no leaf has";
    } else if (issued_at_ms != header->issued_at_ms) {
        *fault = "the header's issuedAt is not the latest of its leaves";
    } else {
        return true;
    }
    return false;
}

bool tri_archive_record_is_signed(const struct tri_archive_record *record)
{
    return tri_signer_verify(record->header.key, record->header_bytes.at,
                             record->header_bytes.bytes, record->signature);
}

bool tri_archive_record_follows(const struct tri_archive_record *record,
                                const uint8_t archive[TRI_FINALITY_ARCHIVE_BYTES], uint32_t epoch,
                                uint32_t shard, uint64_t oss_epoch,
                                const uint8_t previous[TRI_DIGEST_BYTES], const char **fault)
{
    const struct tri_finality_header *header = &record->header;
    uint32_t epoch_found = 0;
    uint32_t shard_found = 0;

    if (memcmp(header->archive, archive, sizeof(header->archive)) != 0) {
        *fault = "the record is of another archive";
    } else if (!tri_stream_get(header->stream, &epoch_found, &shard_found) ||
               epoch_found != epoch || shard_found != shard) {
        *fault = "the record is of another stream";
    } else if (header->oss_epoch != oss_epoch) {
        *fault = "the record's ossEpoch is not the next of its stream";
    } else if (memcmp(header->previous, previous, sizeof(header->previous)) != 0) {
        *fault = "the record does not follow the one before it: one of the two has been changed";
    } else {
        return true;
    }
    return false;
}
