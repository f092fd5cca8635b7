/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secondary: what came to be known of primary records after they were made (F03), as a file that
 * only grows: `secondary` in the archive's directory.
 *
 *     u32 big-endian   bytes of the body
 *     body             canonical msgpack:
 *                      [0, stream, ossEpoch, root, isEqual, settledAtMs, reference, reporter, atMs]
 *                      [1, stream, ossEpoch, originalMessageId, chainId, errorCode, atMs]
 *                      [2, isUp, operator, atMs]
 *     chain            32 bytes: SHA-256 of the chain before (zeros before the first) and the body
 *
 * So no fact can be changed, added, removed or moved but at the end.  What a crash has torn off at
 * the end was told to nobody, because a fact is told when it is durable, and is cut.
 *
 * Bytes come from files here: any of them are safe.
 *
 * Threads: a file belongs to one thread at a time; the rest has no state.
 */
#ifndef TRI_IO_SECONDARY_H
#define TRI_IO_SECONDARY_H

#include "io/archive.h"

#define TRI_SECONDARY_NAME                "secondary"
#define TRI_SECONDARY_NAME_BYTES_MAX      64U /* of a reporter or operator */
#define TRI_SECONDARY_REFERENCE_BYTES_MAX 128U
#define TRI_SECONDARY_BODY_BYTES_MAX      512U
#define TRI_SECONDARY_FRAME_BYTES         4U /* the length before a body */
#define TRI_SECONDARY_FACT_BYTES_MAX \
    (TRI_SECONDARY_FRAME_BYTES + TRI_SECONDARY_BODY_BYTES_MAX + TRI_DIGEST_BYTES)

enum tri_secondary_kind {
    TRI_SECONDARY_SETTLED = 0,   /* the settlement has reported a record */
    TRI_SECONDARY_HANDED = 1,    /* a message was handed to reconciliation (F04) */
    TRI_SECONDARY_SEQUENCER = 2, /* an operator has said whether the sequencer is up (F06) */
};

/* Texts are borrowed. */
struct tri_secondary_fact {
    enum tri_secondary_kind kind;
    uint32_t epoch; /* SETTLED, HANDED: the stream */
    uint32_t shard;
    uint64_t oss_epoch;             /* from 1 */
    uint8_t root[TRI_DIGEST_BYTES]; /* SETTLED: as reported */
    bool is_equal;                  /* SETTLED: it is the record's */
    uint64_t settled_at_ms;         /* SETTLED */
    struct tri_text reference;      /* SETTLED: 0..TRI_SECONDARY_REFERENCE_BYTES_MAX */
    struct tri_text id;             /* HANDED */
    struct tri_text chain;          /* HANDED: which did not answer OK */
    enum tri_error code;            /* HANDED: why; TRI_ERROR_NONE: it did not answer */
    bool is_up;                     /* SEQUENCER */
    struct tri_text name;           /* SETTLED: the reporter; SEQUENCER: the operator */
    uint64_t at_ms;                 /* when it was noted */
};

/* tri_secondary_put writes a fact's body, which must be within its ranges; returns its bytes. */
uint32_t tri_secondary_put(const struct tri_secondary_fact *fact,
                           uint8_t to[TRI_SECONDARY_BODY_BYTES_MAX]);
/* tri_secondary_get takes a body apart; `fact` borrows it.  False: *fault is a static sentence. */
bool tri_secondary_get(struct tri_bytes body, struct tri_secondary_fact *fact, const char **fault);

/* tri_secondary_frame_put writes a fact as it stands in the file, and takes the chain to it;
 * returns its bytes. */
uint32_t tri_secondary_frame_put(const struct tri_secondary_fact *fact,
                                 uint8_t chain[TRI_DIGEST_BYTES],
                                 uint8_t to[TRI_SECONDARY_FACT_BYTES_MAX]);

/* ---- reading ---- */

enum tri_secondary_next {
    TRI_SECONDARY_NEXT_FACT = 0,
    TRI_SECONDARY_NEXT_END = 1,
    TRI_SECONDARY_NEXT_TORN = 2,    /* a write that a crash has cut, or that still runs */
    TRI_SECONDARY_NEXT_DAMAGED = 3, /* anything else: reader->fault */
};

struct tri_secondary_reader {
    int file;                        /* -1: there is none, which is an empty one */
    uint8_t *buffer;                 /* owned */
    uint32_t from;                   /* of the fact that next() has given, or stopped at */
    uint32_t to;                     /* of the bytes that were read */
    uint32_t given;                  /* bytes of the fact that next() has given */
    uint64_t offset;                 /* in the file, of `from` */
    uint64_t count;                  /* facts so far */
    uint8_t chain[TRI_DIGEST_BYTES]; /* of the last fact */
    const char *fault;               /* a static sentence */
};

/* tri_secondary_reader_open begins the file in a directory.  Returns 0 or -errno; _fini is called
 * whatever is returned, and accepts a zeroed reader. */
int tri_secondary_reader_open(struct tri_secondary_reader *reader, int directory);
void tri_secondary_reader_fini(struct tri_secondary_reader *reader);
/* tri_secondary_next gives the next fact, borrowed until the next call.  After anything else it
 * says the same again.  Returns enum tri_secondary_next or -errno. */
int tri_secondary_next(struct tri_secondary_reader *reader, struct tri_secondary_fact *fact);

/* ---- writing ---- */

struct tri_secondary;

/*
 * tri_secondary_open reads the file of the archive at `path`, tells every fact to `take`, and cuts
 * a torn tail.  A missing file is an empty one, made with the first sync.
 *
 * is_read_only  nothing is cut, nothing may be appended.
 * take          returns NULL, or a static sentence why the fact cannot stand there.
 *
 * Returns 0; else -errno with a line in `trouble`: -EBADMSG damaged.
 */
int tri_secondary_open(struct tri_secondary **secondary, const char *path, bool is_read_only,
                       const char *(*take)(void *context, const struct tri_secondary_fact *fact),
                       void *context, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
/* Accepts NULL.  Writes nothing more. */
void tri_secondary_close(struct tri_secondary *secondary);

/* tri_secondary_append gathers a fact; tri_secondary_sync makes all that were gathered durable.
 * After a failure both return it again and write nothing (D03).  Return 0 or -errno with a line in
 * `trouble`. */
int tri_secondary_append(struct tri_secondary *secondary, const struct tri_secondary_fact *fact,
                         char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
int tri_secondary_sync(struct tri_secondary *secondary, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

#endif
