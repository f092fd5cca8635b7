/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finality verify: a whole archive against docs/finality.md, by whoever has a copy of it.
 *
 * Every line of the manifest, every file and every record is checked, and every fault is reported,
 * not only the first; what follows from a fault that was reported is not reported again.  A server
 * may be writing the archive meanwhile: in a stream that is not closed the last record may be cut
 * off, and so may the manifest's last line; these are notes, no faults.
 *
 * What cannot be seen is that the end was removed: of the manifest, or of a stream that it does not
 * close.  For that the caller names what must be there (`wanted`).
 *
 * Memory: 22 to 64 bytes for every message (io/id_set.h), beside that what the manifest and the
 * directory take.
 *
 * Threads: one.
 */
#ifndef TRI_IO_FINALITY_VERIFY_H
#define TRI_IO_FINALITY_VERIFY_H

#include "io/archive_manifest.h"

#define TRI_FINALITY_KEYS_MAX 256U

/* Something that must be in the archive. */
struct tri_finality_wanted {
    uint8_t hash[TRI_DIGEST_BYTES]; /* of a record, or a chain value of the manifest or
                                       `secondary` */
    uint32_t epoch;                 /* not 0: instead of the hash, a record's stream, */
    uint32_t shard;
    uint64_t oss_epoch; /* and its number */
    bool is_found;
};

struct tri_finality_finding {
    const char *file; /* its name in the directory */
    uint64_t offset;
    uint64_t line;      /* of the manifest, from 1; 0: another file */
    uint64_t oss_epoch; /* that is due there; 0: it is not about a record */
    struct tri_text id; /* of a message, 0 bytes: it is not about one */
    const char *sentence;
};

struct tri_finality_end {
    uint32_t epoch;
    uint32_t shard;
    uint64_t files;
    uint64_t records;
    uint64_t messages;
    uint64_t bytes;
    bool is_closed; /* by the manifest */
    bool is_torn;   /* its last record is */
    bool is_known;  /* the last record's hash */
    uint8_t head[TRI_DIGEST_BYTES];
};

struct tri_finality_verify_options {
    const uint8_t (*trusted)[TRI_SIGNER_PUBLIC_BYTES]; /* borrowed */
    uint32_t trusted_count;                            /* 0 = any key */
    struct tri_finality_wanted *wanted;                /* is_found is set; borrowed */
    uint32_t wanted_count;
    bool is_complete; /* nothing writes it: what is open or torn is a fault */
    void (*fault)(void *context, const struct tri_finality_finding *finding);
    void (*note)(void *context, const struct tri_finality_finding *finding);
    void (*stream)(void *context, const struct tri_finality_end *end);
    void *context;
};

struct tri_finality_key_seen {
    uint8_t key[TRI_SIGNER_PUBLIC_BYTES];
    uint64_t lines;
    uint64_t records;
};

struct tri_finality_total {
    bool has_archive;
    uint8_t archive[TRI_FINALITY_ARCHIVE_BYTES];
    uint8_t chain[TRI_DIGEST_BYTES]; /* of the manifest's last line */
    uint64_t lines;
    uint64_t streams;
    uint64_t open; /* of them */
    uint64_t files;
    uint64_t records;
    uint64_t messages;
    uint64_t bytes;
    uint64_t facts;                        /* of the file `secondary` */
    uint8_t facts_chain[TRI_DIGEST_BYTES]; /* of the last one; zeros: there is none */
    uint64_t faults;
    uint32_t key_count;
    struct tri_finality_key_seen keys[TRI_FINALITY_KEYS_MAX];
};

/* tri_finality_verify returns 0 when it has looked at everything, whatever it found; -ENOMEM, or
 * another -errno if the directory cannot be read. */
int tri_finality_verify(const char *path, const struct tri_finality_verify_options *options,
                        struct tri_finality_total *total);

#endif
