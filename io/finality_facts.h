/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finality facts: what the file `secondary` of an archive says of its records, by record, for
 * programs that only look (docs/finality.md).
 *
 * Memory: 72 bytes for each fact.
 *
 * Threads: each object belongs to one thread.
 */
#ifndef TRI_IO_FINALITY_FACTS_H
#define TRI_IO_FINALITY_FACTS_H

#include "io/pending.h"

struct tri_finality_fact {
    uint32_t epoch;
    uint32_t shard;
    uint64_t oss_epoch;
    uint64_t offset;                 /* where it says so */
    uint8_t value[TRI_DIGEST_BYTES]; /* the root; if is_handed, the SHA-256 of the id */
    bool is_handed;
    bool is_equal;
    bool is_seen; /* the caller's */
};

struct tri_finality_facts {
    uint32_t count;
    struct tri_finality_fact *all; /* owned; by record when sorted, and for one record as noted */
    uint64_t sequencer_offset;     /* where the last word about the sequencer stands */
};

/* tri_finality_facts_add keeps a fact.  Returns 0 or -ENOMEM. */
int tri_finality_facts_add(struct tri_finality_facts *facts, uint64_t offset,
                           const struct tri_secondary_fact *fact);
/* Before anything below. */
void tri_finality_facts_sort(struct tri_finality_facts *facts);
/*
 * tri_finality_facts_read does both for the whole file `secondary` of a directory.
 *
 * offset, fault  out, if it is torn or damaged: where, and a static sentence.
 *
 * Returns TRI_SECONDARY_NEXT_END, _TORN, _DAMAGED, or -errno: tri_state_why().
 */
int tri_finality_facts_read(struct tri_finality_facts *facts, int directory, uint64_t *offset,
                            const char **fault);
/* Accepts a zeroed object. */
void tri_finality_facts_fini(struct tri_finality_facts *facts);

/* The record's facts: *from to before the returned place. */
uint32_t tri_finality_facts_of(const struct tri_finality_facts *facts, uint32_t epoch,
                               uint32_t shard, uint64_t oss_epoch, uint32_t *from);

/* tri_finality_facts_place tells where a message is (F05), or with an id of 0 bytes its record. */
enum tri_pending_place tri_finality_facts_place(const struct tri_finality_facts *facts,
                                                uint32_t epoch, uint32_t shard, uint64_t oss_epoch,
                                                struct tri_text id);
/* tri_finality_facts_is_open tells whether what was said at the offset still waits for somebody: a
 * report of another root, if it is the record's last one; a message that was handed over, until its
 * record is confirmed; a sequencer that is down. */
bool tri_finality_facts_is_open(const struct tri_finality_facts *facts, uint64_t offset,
                                const struct tri_secondary_fact *fact);

#endif
