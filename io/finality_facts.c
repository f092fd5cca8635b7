/* SPDX-License-Identifier: Apache-2.0 */
#include "io/finality_facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

int tri_finality_facts_add(struct tri_finality_facts *facts, uint64_t offset,
                           const struct tri_secondary_fact *fact)
{
    struct tri_finality_fact *kept = NULL;

    if (fact->kind == TRI_SECONDARY_SEQUENCER) {
        facts->sequencer_offset = offset;
        return 0;
    }
    if ((facts->count & (facts->count - 1)) == 0) { /* full at every power of two */
        size_t room = facts->count == 0 ? 1 : 2 * (size_t)facts->count;
        struct tri_finality_fact *more = realloc(facts->all, room * sizeof(*more));

        if (more == NULL) {
            return -ENOMEM;
        }
        facts->all = more;
    }
    kept = &facts->all[facts->count++];
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
    return 0;
}

void tri_finality_facts_sort(struct tri_finality_facts *facts)
{
    if (facts->count > 0) {
        qsort(facts->all, facts->count, sizeof(facts->all[0]), fact_order);
    }
}

int tri_finality_facts_read(struct tri_finality_facts *facts, int directory, uint64_t *offset,
                            const char **fault)
{
    struct tri_secondary_reader reader = {.file = -1};
    struct tri_secondary_fact fact;
    int next = tri_secondary_reader_open(&reader, directory);

    *facts = (struct tri_finality_facts){0};
    if (next == 0) {
        while ((next = tri_secondary_next(&reader, &fact)) == TRI_SECONDARY_NEXT_FACT) {
            next = tri_finality_facts_add(facts, reader.offset, &fact);
            if (next != 0) {
                break;
            }
        }
    }
    tri_finality_facts_sort(facts);
    *offset = reader.offset;
    *fault =
        next == TRI_SECONDARY_NEXT_DAMAGED ? reader.fault : "a fact that is torn or being written";
    tri_secondary_reader_fini(&reader);
    return next;
}

void tri_finality_facts_fini(struct tri_finality_facts *facts)
{
    free(facts->all);
    *facts = (struct tri_finality_facts){0};
}

uint32_t tri_finality_facts_of(const struct tri_finality_facts *facts, uint32_t epoch,
                               uint32_t shard, uint64_t oss_epoch, uint32_t *from)
{
    const struct tri_finality_fact due = {.epoch = epoch, .shard = shard, .oss_epoch = oss_epoch};
    uint32_t low = 0;
    uint32_t high = facts->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (fact_order(&facts->all[middle], &due) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *from = low;
    while (low < facts->count && facts->all[low].epoch == epoch && facts->all[low].shard == shard &&
           facts->all[low].oss_epoch == oss_epoch) {
        low++;
    }
    return low;
}

enum tri_pending_place tri_finality_facts_place(const struct tri_finality_facts *facts,
                                                uint32_t epoch, uint32_t shard, uint64_t oss_epoch,
                                                struct tri_text id)
{
    enum tri_pending_place place = TRI_PENDING_PLACE_PENDING;
    uint8_t value[TRI_DIGEST_BYTES] = {0};
    uint32_t from = 0;
    uint32_t to = tri_finality_facts_of(facts, epoch, shard, oss_epoch, &from);

    if (from < to && id.bytes > 0) {
        tri_digest_sha256(id.at, id.bytes, value);
    }
    for (uint32_t i = from; i < to; i++) {
        const struct tri_finality_fact *fact = &facts->all[i];

        if (!fact->is_handed && fact->is_equal) {
            return TRI_PENDING_PLACE_SECONDARY_FINAL;
        }
        if (fact->is_handed && id.bytes > 0 && memcmp(fact->value, value, sizeof(value)) == 0) {
            place = TRI_PENDING_PLACE_RECONCILIATION;
        }
    }
    return place;
}

bool tri_finality_facts_is_open(const struct tri_finality_facts *facts, uint64_t offset,
                                const struct tri_secondary_fact *fact)
{
    uint32_t from = 0;
    uint32_t to = tri_finality_facts_of(facts, fact->epoch, fact->shard, fact->oss_epoch, &from);

    if (fact->kind == TRI_SECONDARY_SEQUENCER) {
        return !fact->is_up && offset == facts->sequencer_offset;
    }
    if (fact->kind == TRI_SECONDARY_SETTLED && fact->is_equal) {
        return false;
    }
    for (uint32_t i = from; i < to; i++) {
        const struct tri_finality_fact *other = &facts->all[i];
        bool is_behind = other->offset > offset;

        if (!other->is_handed &&
            (fact->kind == TRI_SECONDARY_HANDED ? other->is_equal : is_behind)) {
            return false;
        }
    }
    return true;
}
