/* SPDX-License-Identifier: Apache-2.0 */
#include "io/json_finality.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/archive_manifest.h"
#include "io/clock.h"

#define VIEW_HEX_BYTES 256U /* more are put into memory of their own */

json_t *tri_json_hex(const uint8_t *bytes, uint32_t count)
{
    char few[2 * VIEW_HEX_BYTES];
    char *text = few;
    json_t *view = NULL;

    assert(bytes != NULL || count == 0);
    if (count > VIEW_HEX_BYTES) {
        text = malloc(2 * (size_t)count);
    }
    if (text != NULL) {
        tri_hex_put(bytes, count, text);
        view = json_stringn(text, 2 * (size_t)count);
    }
    if (text != few) {
        free(text);
    }
    return view;
}

static json_t *view_hash(const uint8_t hash[TRI_DIGEST_BYTES])
{
    char text[2 + 2 * TRI_DIGEST_BYTES] = "0x";

    tri_hex_put(hash, TRI_DIGEST_BYTES, text + 2);
    return json_stringn(text, sizeof(text));
}

static json_t *view_text(struct tri_text text)
{
    return json_stringn(text.at, text.bytes);
}

static json_t *view_time(uint64_t unix_ms)
{
    char text[TRI_CLOCK_TEXT_BYTES];

    tri_clock_text(unix_ms, text);
    return json_string(text);
}

/* The chains whose bit is set. */
static json_t *view_chains(const struct tri_leaf *leaf, uint64_t which)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < leaf->chain_count; i++) {
        if ((which >> i & 1) != 0) {
            (void)json_array_append_new(list, view_text(leaf->chains[i]));
        }
    }
    return list;
}

json_t *tri_json_leaf(const struct tri_leaf *leaf)
{
    assert(leaf != NULL);
    return json_pack(
        "{s:o, s:o, s:{s:I, s:I}, s:o, s:o, s:o, s:b}", "originalMessageId", view_text(leaf->id),
        "contentHash", tri_json_hex(leaf->hash.at, sizeof(leaf->hash.at)), "attempt", "epoch",
        (json_int_t)TRI_ATTEMPT_EPOCH(leaf->attempt), "n", (json_int_t)TRI_ATTEMPT_N(leaf->attempt),
        "issuedAt", view_time(leaf->issued_at_ms), "participatingChains",
        view_chains(leaf, UINT64_MAX), "appliedChains", view_chains(leaf, leaf->applied), "forced",
        (int)leaf->is_forced);
}

static json_t *view_header_chains(const struct tri_finality_header *header)
{
    struct tri_bytes rest = header->chains_at;
    json_t *list = json_array();
    struct tri_text chain;

    while (tri_finality_chain_next(&rest, &chain)) {
        (void)json_array_append_new(list, view_text(chain));
    }
    return list;
}

/* `ids` is stolen and may be NULL. */
static json_t *view_header(const struct tri_finality_header *header, struct tri_bytes bytes,
                           json_t *ids)
{
    uint8_t hash[TRI_DIGEST_BYTES];

    tri_finality_header_hash(bytes, hash);
    return json_pack("{s:o, s:o, s:o, s:I, s:o*, s:o, s:o, s:o, s:o, s:o, s:o}", "ossStateRoot",
                     view_hash(header->root), "gkrProofHash",
                     header->has_proof ? view_hash(header->proof) : json_null(), "issuedAt",
                     view_time(header->issued_at_ms), "ossEpoch", (json_int_t)header->oss_epoch,
                     "appliedMessageIds", ids, "participatingChains", view_header_chains(header),
                     "stream", view_text(header->stream), "archiveId",
                     tri_json_hex(header->archive, sizeof(header->archive)), "previousRecordHash",
                     tri_json_hex(header->previous, sizeof(header->previous)), "recordHash",
                     tri_json_hex(hash, sizeof(hash)), "publicKey",
                     tri_json_hex(header->key, sizeof(header->key)));
}

json_t *tri_json_finality_header(const struct tri_finality_header *header, struct tri_bytes bytes)
{
    json_t *view;

    assert(header != NULL);
    view = view_header(header, bytes, NULL);
    if (view != NULL &&
        json_object_set_new(view, "messageCount", json_integer(header->message_count)) != 0) {
        json_decref(view);
        view = NULL;
    }
    return view;
}

json_t *tri_json_finality_record(const struct tri_archive_record *record)
{
    struct tri_bytes rest = record->entries;
    struct tri_archive_entry entry;
    json_t *ids = json_array();
    json_t *messages = json_array();
    json_t *view = NULL;

    while (tri_archive_entry_next(&rest, &entry)) {
        struct tri_leaf leaf;
        const char *fault = NULL;
        bool is_leaf = tri_leaf_get(entry.leaf, &leaf, &fault);

        assert(is_leaf); /* the record was checked */
        (void)json_array_append_new(ids, view_text(leaf.id));
        (void)json_array_append_new(messages, tri_json_leaf(&leaf));
    }
    view = view_header(&record->header, record->header_bytes, ids);
    if (view == NULL ||
        json_object_set_new(view, "signature",
                            tri_json_hex(record->signature, TRI_FINALITY_SIGNATURE_BYTES)) != 0 ||
        json_object_set(view, "messages", messages) != 0) {
        json_decref(view);
        view = NULL;
    }
    json_decref(messages);
    return view;
}

json_t *tri_json_secondary(const struct tri_secondary_fact *fact)
{
    char stream[TRI_STREAM_BYTES_MAX];
    uint32_t bytes = 0;

    if (fact->kind == TRI_SECONDARY_SEQUENCER) {
        return json_pack("{s:s, s:b, s:o, s:o}", "fact", "SEQUENCER", "isUp", (int)fact->is_up,
                         "operator", view_text(fact->name), "at", view_time(fact->at_ms));
    }
    bytes = tri_stream_put(fact->epoch, fact->shard, stream);
    if (fact->kind == TRI_SECONDARY_HANDED) {
        return json_pack("{s:s, s:o, s:I, s:o, s:o, s:o, s:o}", "fact", "HANDED", "stream",
                         json_stringn(stream, bytes), "ossEpoch", (json_int_t)fact->oss_epoch,
                         "originalMessageId", view_text(fact->id), "chainId",
                         view_text(fact->chain), "errorCode",
                         fact->code == TRI_ERROR_NONE ? json_null()
                                                      : json_string(tri_error_name(fact->code)),
                         "at", view_time(fact->at_ms));
    }
    return json_pack("{s:s, s:o, s:I, s:o, s:b, s:o, s:o, s:o, s:o}", "fact", "SETTLED", "stream",
                     json_stringn(stream, bytes), "ossEpoch", (json_int_t)fact->oss_epoch,
                     "ossStateRoot", view_hash(fact->root), "isEqual", (int)fact->is_equal,
                     "settledAt", view_time(fact->settled_at_ms), "reference",
                     view_text(fact->reference), "reporter", view_text(fact->name), "at",
                     view_time(fact->at_ms));
}
