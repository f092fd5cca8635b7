/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON views of finality records, and proofs (docs/finality.md).
 *
 * Names are those of the specification, as in io/json_view.h.  A hash of a record's own is
 * hexadecimal; ossStateRoot and gkrProofHash have 0x in front.
 *
 * Each view is a new reference that the caller owns, or NULL when memory ran out.
 *
 * Threads: no state; any function may run anywhere.
 */
#ifndef TRI_IO_JSON_FINALITY_H
#define TRI_IO_JSON_FINALITY_H

#include <jansson.h>

#include "io/archive_record.h"
#include "io/secondary.h"

#define TRI_PROOF_FORMAT "tricast-proof-1"

/* Bytes in hexadecimal. */
json_t *tri_json_hex(const uint8_t *bytes, uint32_t count);

/* What a record says of one message. */
json_t *tri_json_leaf(const struct tri_leaf *leaf);
/* A header that was read, and the hash of its bytes. */
json_t *tri_json_finality_header(const struct tri_finality_header *header, struct tri_bytes bytes);
/* A record that passed tri_archive_record_get() and _check(): PrimaryFinalityRecord (F01), and
 * beside its fields those that prove it. */
json_t *tri_json_finality_record(const struct tri_archive_record *record);

/* What the file `secondary` says: its names are those of docs/finality.md. */
json_t *tri_json_secondary(const struct tri_secondary_fact *fact);

/* tri_json_proof makes the proof of message `index` of a record as above. */
json_t *tri_json_proof(const struct tri_archive_record *record, uint32_t index);

/* What a proof proves; borrowed from nothing but the view. */
struct tri_proof {
    uint8_t key[TRI_FINALITY_KEY_BYTES];
    uint8_t hash[TRI_DIGEST_BYTES]; /* of the record */
    uint32_t epoch;                 /* its stream */
    uint32_t shard;
    uint64_t oss_epoch;
    json_t *view; /* owned by the caller: the message's leaf and its record's header */
};

/*
 * tri_proof_check takes a proof's JSON apart and checks everything in it; only whether its key is
 * trusted is left to the caller.
 *
 * Returns 0, -EBADMSG with a static sentence in *fault, or -ENOMEM.
 */
int tri_proof_check(const char *text, size_t bytes, struct tri_proof *proof, const char **fault);

#endif
