/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `secondary` is read before the manifest and the records: a server notes something of a
 * record only when that is in its file, so whatever it writes meanwhile, the records are there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/finality_internal.h"
#include "io/state.h"

static void secondary_fault(struct tri_finality_verify_state *verify,
                            const struct tri_finality_fact *fact, const char *sentence)
{
    tri_finality_fault(verify, (struct tri_finality_finding){.file = TRI_SECONDARY_NAME,
                                                             .offset = fact->offset,
                                                             .oss_epoch = fact->oss_epoch,
                                                             .sentence = sentence});
}

/* Where the facts end. */
static void secondary_tail(struct tri_finality_verify_state *verify,
                           const struct tri_secondary_reader *reader, int next)
{
    struct tri_finality_finding finding = {.file = TRI_SECONDARY_NAME, .offset = reader->offset};

    if (next == TRI_SECONDARY_NEXT_TORN) {
        finding.sentence = "a fact that is torn or being written";
        if (!verify->options->is_complete) {
            verify->options->note(verify->options->context, &finding);
            return;
        }
    } else {
        finding.sentence = next < 0 ? tri_state_why(next) : reader->fault;
    }
    tri_finality_fault(verify, finding);
}

void tri_finality_secondary_read(struct tri_finality_verify_state *verify)
{
    struct tri_secondary_reader reader = {.file = -1};
    struct tri_secondary_fact fact;
    int next = tri_secondary_reader_open(&reader, verify->dir.at);

    verify->is_memory_out |= next == -ENOMEM;
    if (next == 0) {
        while (!verify->is_memory_out &&
               (next = tri_secondary_next(&reader, &fact)) == TRI_SECONDARY_NEXT_FACT) {
            verify->total->facts++;
            memcpy(verify->total->facts_chain, reader.chain, sizeof(reader.chain));
            tri_finality_found_hash(verify, reader.chain);
            verify->is_memory_out =
                tri_finality_facts_add(&verify->facts, reader.offset, &fact) != 0;
        }
    }
    if (next != TRI_SECONDARY_NEXT_FACT && next != TRI_SECONDARY_NEXT_END) {
        secondary_tail(verify, &reader, next);
    }
    tri_secondary_reader_fini(&reader);
    tri_finality_facts_sort(&verify->facts);
}

/* An id of the record that facts are held against. */
struct secondary_id {
    uint8_t value[TRI_DIGEST_BYTES]; /* its SHA-256 */
    bool is_handed;
};

static int id_order(const void *a, const void *b)
{
    return memcmp(((const struct secondary_id *)a)->value, ((const struct secondary_id *)b)->value,
                  TRI_DIGEST_BYTES);
}

/* The ids of a record, in order; NULL: no memory, or no message of it is handed over. */
static struct secondary_id *secondary_ids(struct tri_finality_verify_state *verify,
                                          const struct tri_archive_record *record, uint32_t from,
                                          uint32_t to, uint32_t *count)
{
    struct tri_bytes rest = record->entries;
    struct tri_archive_entry entry;
    struct secondary_id *ids = NULL;

    *count = 0;
    while (from < to && !verify->facts.all[from].is_handed) {
        from++;
    }
    if (from == to) {
        return NULL;
    }
    ids = calloc(record->header.message_count, sizeof(*ids));
    if (ids == NULL) {
        verify->is_memory_out = true;
        return NULL;
    }
    while (*count < record->header.message_count && tri_archive_entry_next(&rest, &entry)) {
        const char *fault = NULL;
        struct tri_leaf leaf;

        if (tri_leaf_get(entry.leaf, &leaf, &fault)) {
            tri_digest_sha256(leaf.id.at, leaf.id.bytes, ids[*count].value);
            (*count)++;
        }
    }
    qsort(ids, *count, sizeof(*ids), id_order);
    return ids;
}

/* Holds a fact that hands a message over against the record. */
static void secondary_handed(struct tri_finality_verify_state *verify,
                             const struct tri_finality_fact *fact, struct secondary_id *ids,
                             uint32_t count, bool is_final)
{
    struct secondary_id due = {.is_handed = false};
    struct secondary_id *id = NULL;

    memcpy(due.value, fact->value, sizeof(due.value));
    id = ids == NULL ? NULL : bsearch(&due, ids, count, sizeof(*ids), id_order);
    if (id == NULL) {
        secondary_fault(verify, fact, "it hands over a message that the record does not have");
    } else if (id->is_handed) {
        secondary_fault(verify, fact, "it hands over a message for the second time");
    } else {
        id->is_handed = true;
    }
    if (is_final) {
        secondary_fault(verify, fact,
                        "it hands over a message of a record that was confirmed before");
    }
}

void tri_finality_secondary_record(struct tri_finality_verify_state *verify, uint32_t epoch,
                                   uint32_t shard, const struct tri_archive_record *record,
                                   bool is_sound)
{
    uint32_t from = 0;
    uint32_t to =
        tri_finality_facts_of(&verify->facts, epoch, shard, record->header.oss_epoch, &from);
    uint32_t id_count = 0;
    struct secondary_id *ids = is_sound ? secondary_ids(verify, record, from, to, &id_count) : NULL;
    bool is_final = false;

    for (uint32_t i = from; i < to && !verify->is_memory_out; i++) {
        struct tri_finality_fact *fact = &verify->facts.all[i];
        bool is_equal = false;

        if (fact->is_seen || !is_sound) {
            fact->is_seen = true;
            continue; /* what is wrong with the record has been said */
        }
        fact->is_seen = true;
        if (fact->is_handed) {
            secondary_handed(verify, fact, ids, id_count, is_final);
            continue;
        }
        is_equal = memcmp(fact->value, record->header.root, sizeof(fact->value)) == 0;
        if (is_equal != fact->is_equal) {
            secondary_fault(verify, fact,
                            is_equal ? "it says that the root differs, but it is the record's"
                                     : "it says that the root is the record's, but it differs");
        }
        is_final = is_final || fact->is_equal;
    }
    free(ids);
}

void tri_finality_secondary_lost(struct tri_finality_verify_state *verify, uint32_t epoch,
                                 uint32_t shard)
{
    for (uint32_t i = 0; i < verify->facts.count; i++) {
        verify->facts.all[i].is_seen =
            verify->facts.all[i].is_seen ||
            (verify->facts.all[i].epoch == epoch && verify->facts.all[i].shard == shard);
    }
}

void tri_finality_secondary_end(struct tri_finality_verify_state *verify)
{
    for (uint32_t i = 0; i < verify->facts.count; i++) {
        if (!verify->facts.all[i].is_seen) {
            secondary_fault(verify, &verify->facts.all[i],
                            "it names a record that the archive does not have");
        }
    }
}
