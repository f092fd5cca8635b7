/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `secondary` is read before the manifest and the records: a server notes something of a
 * record only when that is in its file, so whatever it writes meanwhile, the records are there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/finality_internal.h"

/* In the order in which records are read, and for one record as noted. */
static int fact_order(const void *a, const void *b)
{
    const struct tri_finality_fact *x = a;
    const struct tri_finality_fact *y = b;

    if (x->epoch != y->epoch) {
        return x->epoch < y->epoch ? -1 : 1;
    }
    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    if (x->oss_epoch != y->oss_epoch) {
        return x->oss_epoch < y->oss_epoch ? -1 : 1;
    }
    return x->offset == y->offset ? 0 : x->offset < y->offset ? -1 : 1;
}

static void secondary_fault(struct tri_finality_verify_state *verify,
                            const struct tri_finality_fact *fact, const char *sentence)
{
    tri_finality_fault(verify, (struct tri_finality_finding){.file = TRI_SECONDARY_NAME,
                                                             .offset = fact->offset,
                                                             .oss_epoch = fact->oss_epoch,
                                                             .sentence = sentence});
}

/* Keeps what is said of a record. */
static void secondary_keep(struct tri_finality_verify_state *verify, uint64_t offset,
                           const struct tri_secondary_fact *fact)
{
    struct tri_finality_fact *kept = NULL;

    if ((verify->fact_count & (verify->fact_count - 1)) == 0) { /* full at every power of two */
        size_t room = verify->fact_count == 0 ? 1 : 2 * (size_t)verify->fact_count;
        struct tri_finality_fact *more = realloc(verify->facts, room * sizeof(*more));

        if (more == NULL) {
            verify->is_memory_out = true;
            return;
        }
        verify->facts = more;
    }
    kept = &verify->facts[verify->fact_count++];
    *kept = (struct tri_finality_fact){.epoch = fact->epoch,
                                       .shard = fact->shard,
                                       .oss_epoch = fact->oss_epoch,
                                       .offset = offset,
                                       .is_handed = fact->kind == TRI_SECONDARY_HANDED,
                                       .is_equal = fact->is_equal};
    if (kept->is_handed) {
        tri_digest_sha256(fact->id.at, fact->id.bytes, kept->value);
    } else {
        memcpy(kept->value, fact->root, sizeof(kept->value));
    }
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
        finding.sentence = next < 0 ? strerror(-next) : reader->fault;
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
            if (fact.kind != TRI_SECONDARY_SEQUENCER) {
                secondary_keep(verify, reader.offset, &fact);
            }
        }
    }
    if (next != TRI_SECONDARY_NEXT_FACT && next != TRI_SECONDARY_NEXT_END) {
        secondary_tail(verify, &reader, next);
    }
    tri_secondary_reader_fini(&reader);
    if (verify->fact_count > 0) {
        qsort(verify->facts, verify->fact_count, sizeof(verify->facts[0]), fact_order);
    }
}

/* The record's facts: *from to the returned place. */
static uint32_t secondary_place(const struct tri_finality_verify_state *verify, uint32_t epoch,
                                uint32_t shard, uint64_t oss_epoch, uint32_t *from)
{
    const struct tri_finality_fact due = {.epoch = epoch, .shard = shard, .oss_epoch = oss_epoch};
    uint32_t low = 0;
    uint32_t high = verify->fact_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (fact_order(&verify->facts[middle], &due) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *from = low;
    while (low < verify->fact_count && verify->facts[low].epoch == epoch &&
           verify->facts[low].shard == shard && verify->facts[low].oss_epoch == oss_epoch) {
        low++;
    }
    return low;
}

/* Whether a message of the record has the id. */
static bool secondary_has_id(const struct tri_archive_record *record,
                             const uint8_t value[TRI_DIGEST_BYTES])
{
    struct tri_bytes rest = record->entries;
    struct tri_archive_entry entry;

    while (tri_archive_entry_next(&rest, &entry)) {
        const char *fault = NULL;
        uint8_t found[TRI_DIGEST_BYTES];
        struct tri_leaf leaf;

        if (tri_leaf_get(entry.leaf, &leaf, &fault)) {
            tri_digest_sha256(leaf.id.at, leaf.id.bytes, found);
            if (memcmp(found, value, sizeof(found)) == 0) {
                return true;
            }
        }
    }
    return false;
}

void tri_finality_secondary_record(struct tri_finality_verify_state *verify, uint32_t epoch,
                                   uint32_t shard, const struct tri_archive_record *record,
                                   bool is_sound)
{
    uint32_t from = 0;
    uint32_t to = secondary_place(verify, epoch, shard, record->header.oss_epoch, &from);
    bool is_final = false;

    for (uint32_t i = from; i < to; i++) {
        struct tri_finality_fact *fact = &verify->facts[i];

        if (fact->is_seen || !is_sound) {
            fact->is_seen = true;
            continue; /* what is wrong with the record has been said */
        }
        fact->is_seen = true;
        if (!fact->is_handed) {
            bool is_equal = memcmp(fact->value, record->header.root, sizeof(fact->value)) == 0;

            if (is_equal != fact->is_equal) {
                secondary_fault(verify, fact,
                                is_equal ? "it says that the root differs, but it is the record's"
                                         : "it says that the root is the record's, but it differs");
            }
            is_final = is_final || fact->is_equal;
            continue;
        }
        if (!secondary_has_id(record, fact->value)) {
            secondary_fault(verify, fact, "it hands over a message that the record does not have");
        }
        if (is_final) {
            secondary_fault(verify, fact,
                            "it hands over a message of a record that was confirmed before");
        }
        for (uint32_t j = from; j < i; j++) {
            if (verify->facts[j].is_handed &&
                memcmp(verify->facts[j].value, fact->value, sizeof(fact->value)) == 0) {
                secondary_fault(verify, fact, "it hands over a message for the second time");
            }
        }
    }
}

void tri_finality_secondary_lost(struct tri_finality_verify_state *verify, uint32_t epoch,
                                 uint32_t shard)
{
    for (uint32_t i = 0; i < verify->fact_count; i++) {
        verify->facts[i].is_seen = verify->facts[i].is_seen || (verify->facts[i].epoch == epoch &&
                                                                verify->facts[i].shard == shard);
    }
}

void tri_finality_secondary_end(struct tri_finality_verify_state *verify)
{
    for (uint32_t i = 0; i < verify->fact_count; i++) {
        if (!verify->facts[i].is_seen) {
            secondary_fault(verify, &verify->facts[i],
                            "it names a record that the archive does not have");
        }
    }
}
