/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proof has bytes, which are checked, and fields for people, which must say what the bytes say: a
 * proof that shows one thing and proves another is refused, and so is one with a field that nobody
 * checks.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/archive_manifest.h"
#include "io/json_finality.h"

#define PROOF_FIELDS 9U

/* ---- making one ---- */

static json_t *proof_path(const uint8_t (*leaves)[TRI_DIGEST_BYTES], uint32_t count, uint32_t index)
{
    uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES];
    uint32_t hashes = tri_tree_path(leaves, count, index, path);
    json_t *list = json_array();

    for (uint32_t i = 0; i < hashes; i++) {
        (void)json_array_append_new(list, tri_json_hex(path[i], TRI_DIGEST_BYTES));
    }
    return list;
}

json_t *tri_json_proof(const struct tri_archive_record *record, uint32_t index)
{
    struct tri_bytes rest = record->entries;
    uint32_t count = record->header.message_count;
    uint8_t(*leaves)[TRI_DIGEST_BYTES] = malloc((size_t)count * TRI_DIGEST_BYTES);
    struct tri_archive_entry wanted = {0};
    struct tri_archive_entry entry;
    struct tri_leaf leaf;
    const char *fault = NULL;
    json_t *view = NULL;
    bool is_leaf;

    assert(index < count);
    if (leaves == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; tri_archive_entry_next(&rest, &entry); i++) {
        assert(i < count);
        tri_tree_leaf(entry.leaf, leaves[i]);
        if (i == index) {
            wanted = entry;
        }
    }
    is_leaf = tri_leaf_get(wanted.leaf, &leaf, &fault);
    assert(is_leaf); /* the record was checked */
    view = json_pack(
        "{s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "format", TRI_PROOF_FORMAT,
        "originalMessageId", json_stringn(leaf.id.at, leaf.id.bytes), "leaf",
        tri_json_hex(wanted.leaf.at, wanted.leaf.bytes), "leafIndex", (json_int_t)index,
        "auditPath", proof_path((const uint8_t(*)[TRI_DIGEST_BYTES])leaves, count, index), "header",
        tri_json_hex(record->header_bytes.at, record->header_bytes.bytes), "signature",
        tri_json_hex(record->signature, TRI_FINALITY_SIGNATURE_BYTES), "content",
        wanted.content.bytes > 0 ? tri_json_hex(wanted.content.at, wanted.content.bytes)
                                 : json_null(),
        "record", tri_json_finality_header(&record->header, record->header_bytes));
    free(leaves);
    return view;
}

/* ---- checking one ---- */

/* What the bytes of a proof are, decoded. */
struct proof_bytes {
    uint8_t leaf[TRI_LEAF_BYTES_MAX];
    uint32_t leaf_bytes;
    uint8_t header[TRI_FINALITY_HEADER_BYTES_MAX];
    uint32_t header_bytes;
    uint8_t signature[TRI_FINALITY_SIGNATURE_BYTES];
    uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES];
    uint32_t path_count;
    uint32_t index;
    struct tri_leaf leaf_read;
    struct tri_finality_header header_read;
};

/* Decodes hexadecimal text of at least one byte; false if it is none or too long. */
static bool proof_hex(const json_t *value, uint32_t bytes_max, uint8_t *to, uint32_t *bytes)
{
    size_t digits = json_string_length(value); /* 0 for anything but a text */

    if (digits == 0 || digits % 2 != 0 || digits / 2 > bytes_max) {
        return false;
    }
    *bytes = (uint32_t)(digits / 2);
    return tri_hex_get(json_string_value(value), (uint32_t)digits, to);
}

static bool proof_path_get(const json_t *list, struct proof_bytes *bytes)
{
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count > TRI_FINALITY_PATH_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t hash_bytes = 0;

        if (!proof_hex(json_array_get(list, i), TRI_DIGEST_BYTES, bytes->path[i], &hash_bytes) ||
            hash_bytes != TRI_DIGEST_BYTES) {
            return false;
        }
    }
    bytes->path_count = (uint32_t)count;
    return true;
}

/* Returns NULL, or why the fields are none of a proof's. */
static const char *proof_fields(const json_t *proof, struct proof_bytes *bytes)
{
    const json_t *index = json_object_get(proof, "leafIndex");
    const json_t *format = json_object_get(proof, "format");
    uint32_t signature_bytes = 0;
    json_int_t number = json_integer_value(index);

    if (!json_is_object(proof) || json_object_size(proof) != PROOF_FIELDS ||
        json_object_get(proof, "record") == NULL || json_object_get(proof, "content") == NULL) {
        return "it has not the fields of a proof, or more";
    }
    if (!json_is_string(format) || strcmp(json_string_value(format), TRI_PROOF_FORMAT) != 0) {
        return "its format is another than " TRI_PROOF_FORMAT;
    }
    if (!proof_hex(json_object_get(proof, "leaf"), sizeof(bytes->leaf), bytes->leaf,
                   &bytes->leaf_bytes) ||
        !proof_hex(json_object_get(proof, "header"), sizeof(bytes->header), bytes->header,
                   &bytes->header_bytes)) {
        return "leaf or header is no hexadecimal text";
    }
    if (!proof_hex(json_object_get(proof, "signature"), sizeof(bytes->signature), bytes->signature,
                   &signature_bytes) ||
        signature_bytes != TRI_FINALITY_SIGNATURE_BYTES) {
        return "signature is no hexadecimal text of 64 bytes";
    }
    if (!proof_path_get(json_object_get(proof, "auditPath"), bytes)) {
        return "auditPath is no list of at most 12 hashes";
    }
    if (!json_is_integer(index) || number < 0 || number >= TRI_FINALITY_MESSAGES_MAX) {
        return "leafIndex is out of range";
    }
    bytes->index = (uint32_t)number;
    return NULL;
}

/* Whether every chain of the leaf is one of the header's. */
static bool proof_chains(const struct proof_bytes *bytes)
{
    for (uint32_t i = 0; i < bytes->leaf_read.chain_count; i++) {
        const struct tri_text *chain = &bytes->leaf_read.chains[i];
        struct tri_bytes rest = bytes->header_read.chains_at;
        struct tri_text other;
        bool is_found = false;

        while (!is_found && tri_finality_chain_next(&rest, &other)) {
            is_found =
                other.bytes == chain->bytes && memcmp(other.at, chain->at, chain->bytes) == 0;
        }
        if (!is_found) {
            return false;
        }
    }
    return true;
}

/* Returns NULL, or why the bytes prove nothing. */
static const char *proof_proves(struct proof_bytes *bytes)
{
    struct tri_bytes leaf = {bytes->leaf, bytes->leaf_bytes};
    struct tri_bytes header = {bytes->header, bytes->header_bytes};
    const struct tri_finality_header *read = &bytes->header_read;
    uint8_t hash[TRI_DIGEST_BYTES];
    const char *fault = NULL;

    if (!tri_leaf_get(leaf, &bytes->leaf_read, &fault) ||
        !tri_finality_header_get(header, &bytes->header_read, &fault)) {
        return fault;
    }
    if (!tri_signer_verify(read->key, bytes->header, bytes->header_bytes, bytes->signature)) {
        return "the signature is not by the key that the header names";
    }
    tri_tree_leaf(leaf, hash);
    if (bytes->index >= read->message_count ||
        !tri_tree_verify(hash, bytes->index, read->message_count,
                         (const uint8_t(*)[TRI_DIGEST_BYTES])bytes->path, bytes->path_count,
                         read->root)) {
        return "auditPath does not lead from the leaf to the ossStateRoot";
    }
    if (bytes->leaf_read.issued_at_ms > read->issued_at_ms || !proof_chains(bytes)) {
        return "leaf and header contradict each other";
    }
    return read->oss_epoch > INT64_MAX ? "ossEpoch is beyond what a view can hold" : NULL;
}

/* Returns NULL, or why the content is not the message's. */
static const char *proof_content(const json_t *content, const struct tri_hash *expected)
{
    const char *fault = "content is no hexadecimal text, or too long";
    uint8_t *bytes;
    uint32_t count = 0;

    if (json_is_null(content)) {
        return NULL;
    }
    bytes = malloc(TRI_ARCHIVE_RECORD_BYTES_MAX);
    if (bytes == NULL) {
        return "there is no memory for the content";
    }
    if (proof_hex(content, TRI_ARCHIVE_RECORD_BYTES_MAX, bytes, &count)) {
        struct tri_hash hash = tri_digest_content((struct tri_bytes){bytes, count});

        fault = memcmp(hash.at, expected->at, sizeof(hash.at)) == 0
                    ? NULL
                    : "the content is not the one whose hash the leaf has";
    }
    free(bytes);
    return fault;
}

/* Whether the fields for people say what the bytes say. */
static const char *proof_people(const json_t *proof, const struct proof_bytes *bytes,
                                json_t *header_view)
{
    const json_t *id = json_object_get(proof, "originalMessageId");
    const struct tri_text *own = &bytes->leaf_read.id;

    if (!json_is_string(id) || json_string_length(id) != own->bytes ||
        memcmp(json_string_value(id), own->at, own->bytes) != 0) {
        return "originalMessageId is not the leaf's";
    }
    return json_equal(json_object_get(proof, "record"), header_view) == 1
               ? NULL
               : "record does not say what the header says";
}

static int proof_take(struct tri_proof *proof, const struct proof_bytes *bytes, json_t *header_view)
{
    const struct tri_finality_header *header = &bytes->header_read;
    bool is_stream = tri_stream_get(header->stream, &proof->epoch, &proof->shard);

    assert(is_stream); /* the header was read */
    memcpy(proof->key, header->key, sizeof(proof->key));
    tri_finality_header_hash((struct tri_bytes){bytes->header, bytes->header_bytes}, proof->hash);
    proof->oss_epoch = header->oss_epoch;
    proof->view =
        json_pack("{s:o, s:O}", "message", tri_json_leaf(&bytes->leaf_read), "record", header_view);
    return proof->view == NULL ? -ENOMEM : 0;
}

int tri_proof_check(const char *text, size_t bytes, struct tri_proof *proof, const char **fault)
{
    json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    struct proof_bytes *own = calloc(1, sizeof(*own));
    json_t *header_view = NULL;
    int failed = own == NULL ? -ENOMEM : 0;

    assert(proof != NULL && fault != NULL);
    *fault = NULL;
    if (failed == 0) {
        *fault = value == NULL ? "it is no JSON" : proof_fields(value, own);
    }
    if (failed == 0 && *fault == NULL) {
        *fault = proof_proves(own);
    }
    if (failed == 0 && *fault == NULL) {
        *fault = proof_content(json_object_get(value, "content"), &own->leaf_read.hash);
    }
    if (failed == 0 && *fault == NULL) {
        header_view = tri_json_finality_header(&own->header_read,
                                               (struct tri_bytes){own->header, own->header_bytes});
        failed = header_view == NULL ? -ENOMEM : 0;
    }
    if (failed == 0 && *fault == NULL) {
        *fault = proof_people(value, own, header_view);
    }
    if (failed == 0 && *fault == NULL) {
        failed = proof_take(proof, own, header_view);
    }
    json_decref(header_view);
    json_decref(value);
    free(own);
    return failed == 0 && *fault != NULL ? -EBADMSG : failed;
}
