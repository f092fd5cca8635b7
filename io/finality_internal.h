/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finality, internal: what the parts of tri_finality_verify() share; finality_verify.c reads
 * the records, finality_manifest.c the manifest, finality_secondary.c what came to be known later.
 *
 * Threads: one.
 */
#ifndef TRI_IO_FINALITY_INTERNAL_H
#define TRI_IO_FINALITY_INTERNAL_H

#include "io/finality_facts.h"
#include "io/finality_files.h"
#include "io/finality_verify.h"
#include "io/id_set.h"

struct tri_finality_verify_state {
    const struct tri_finality_verify_options *options;
    struct tri_finality_total *total;
    struct tri_finality_dir dir;
    struct tri_finality_reader reader;
    struct tri_id_set ids;
    uint32_t stream_count;
    uint32_t stream_room;
    struct tri_archive_stream *streams; /* by epoch and shard; owned */
    bool is_memory_out;
    struct tri_finality_facts facts;
};

void tri_finality_fault(struct tri_finality_verify_state *verify,
                        struct tri_finality_finding finding);
/* Counts a key's use at `place`, and says if it is not trusted. */
void tri_finality_key(struct tri_finality_verify_state *verify,
                      const uint8_t key[TRI_SIGNER_PUBLIC_BYTES],
                      const struct tri_finality_finding *place);
/* A record or a line has this hash: perhaps it is wanted. */
void tri_finality_found_hash(struct tri_finality_verify_state *verify,
                             const uint8_t hash[TRI_DIGEST_BYTES]);

/* tri_finality_manifest_read fills the list of streams and says what is wrong with the manifest. */
void tri_finality_manifest_read(struct tri_finality_verify_state *verify);
/* NULL: the manifest opens no such stream. */
struct tri_archive_stream *tri_finality_stream_find(const struct tri_finality_verify_state *verify,
                                                    uint32_t epoch, uint32_t shard);

/* tri_finality_secondary_read takes the facts of the file `secondary`, before anything else is
 * read, and says what is wrong with them. */
void tri_finality_secondary_read(struct tri_finality_verify_state *verify);
/* What they say of this record, which is taken apart; it is not judged by one that is not sound. */
void tri_finality_secondary_record(struct tri_finality_verify_state *verify, uint32_t epoch,
                                   uint32_t shard, const struct tri_archive_record *record,
                                   bool is_sound);
/* A stream's records are not all known: that has been said. */
void tri_finality_secondary_lost(struct tri_finality_verify_state *verify, uint32_t epoch,
                                 uint32_t shard);
/* All records were read. */
void tri_finality_secondary_end(struct tri_finality_verify_state *verify);

#endif
