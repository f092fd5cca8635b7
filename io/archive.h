/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive: the primary finality records on disk, for ever (F02, F08, D04).
 *
 *     DIR/manifest                      which streams there are: one chained, signed line for each
 *                                       opening and closing
 *     DIR/<stream>.<first ossEpoch>.fin records, one behind the other; a file of a stream is full
 * at TRI_ARCHIVE_FILE_BYTES, and the next begins
 *
 * docs/finality.md describes every byte.  Nothing here is ever changed or removed but the torn tail
 * of a stream that was open when the process ended; what it held is in the journal, from which the
 * archive is completed: tri_archive_append() of what is there already does nothing.
 *
 * Order of a start:
 *
 *     tri_archive_open()              manifest checked, tails of open streams cut
 *     tri_archive_append()            what the journal has and the archive lacks, old streams
 *     tri_archive_begin()             old streams closed, the streams of this start opened
 *     tri_archive_append(), _write(), _sync() from then on
 *
 * Threads: an archive belongs to one thread at a time.
 */
#ifndef TRI_IO_ARCHIVE_H
#define TRI_IO_ARCHIVE_H

#include "io/signer.h"
#include "shards/finality.h"

#define TRI_ARCHIVE_TROUBLE_BYTES    512U
#define TRI_ARCHIVE_FILE_BYTES       (UINT64_C(64) << 20)
/* The bodies of records, their contents included; the engine closes an epoch before (engine.h). */
#define TRI_ARCHIVE_RECORD_BYTES_MAX (UINT32_C(4) << 20)

struct tri_archive;

/* What may prove a record beside its signature.  Without one gkrProofHash is null. */
struct tri_archive_prover {
    /* prove returns whether *proof has been written; `header` is complete but for it. */
    bool (*prove)(void *context, const struct tri_finality_header *header,
                  uint8_t proof[TRI_DIGEST_BYTES]);
    void *context;
};

struct tri_archive_options {
    const struct tri_signer *signer;         /* borrowed; NULL if is_read_only */
    const struct tri_archive_prover *prover; /* borrowed; NULL = none */
    uint64_t file_bytes;                     /* 0 = TRI_ARCHIVE_FILE_BYTES */
    bool is_read_only;                       /* look, change nothing, not even a torn tail: then
                                                only tri_archive_last() and _close() */
};

/*
 * tri_archive_open reads the manifest of `path`, which is made if it is missing (its parent must
 * exist), and finds the end of every stream that was not closed.
 *
 * Returns 0; else -errno with a line in `trouble` that names the file and what can be done:
 * -EBADMSG: damaged; -EWOULDBLOCK: another process writes it.
 */
int tri_archive_open(struct tri_archive **archive, const char *path,
                     const struct tri_archive_options *options,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
/* Accepts NULL.  Writes nothing more. */
void tri_archive_close(struct tri_archive *archive);

/* What tells the archive apart from others: the archiveId of its headers. */
void tri_archive_id(const struct tri_archive *archive, uint8_t id[TRI_FINALITY_ARCHIVE_BYTES]);
/* The key of the manifest's last line. */
void tri_archive_key(const struct tri_archive *archive, uint8_t key[TRI_SIGNER_PUBLIC_BYTES]);

/* The last ossEpoch that stream (epoch, shard) has in the archive, 0 = none. */
uint64_t tri_archive_last(const struct tri_archive *archive, uint32_t epoch, uint32_t shard);

/* tri_archive_end_at tells where that record ends, if its stream is open: the first record of its
 * file, 0 = none is begun, and the offset behind it. */
void tri_archive_end_at(const struct tri_archive *archive, uint32_t epoch, uint32_t shard,
                        uint64_t *first, uint64_t *end);

/* One message on its way into a record. */
struct tri_archive_entry {
    struct tri_bytes leaf;    /* canonical bytes */
    struct tri_bytes content; /* the message's canonical bytes; 0 bytes: not kept */
};

/*
 * tri_archive_append makes the record of one epoch and puts it behind the last one of its stream,
 * into memory; tri_archive_write() takes it to the file.
 *
 * epoch, shard  the stream; one of an old start that is not closed, or one of tri_archive_begin().
 * oss_epoch     the stream's last + 1; at most the last: it is there already, nothing happens.
 * entries       1..TRI_FINALITY_MESSAGES_MAX, in order; borrowed until the call returns.  A stream
 *               that was opened without contents drops them.
 *
 * Returns 0; else with a line in `trouble`: -EEXIST: a record is missing before it; -ENOENT: the
 * archive has no such stream; -ESTALE: the stream is closed, with fewer records; -EBADMSG: an
 * entry's leaf is none, its content has another hash, or is missing in a stream that keeps them;
 * -EMSGSIZE: the body is longer than TRI_ARCHIVE_RECORD_BYTES_MAX or names more chains than
 * TRI_FINALITY_CHAINS_MAX; -ENOSPC or whatever writing gave, if the buffer had to be written.
 */
int tri_archive_append(struct tri_archive *archive, uint32_t epoch, uint32_t shard,
                       uint64_t oss_epoch, const struct tri_archive_entry *entries, uint32_t count,
                       char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

/* tri_archive_begin closes every stream that is open and opens those of this start, (epoch, 0) to
 * (epoch, streams - 1); durable when it returns.  `is_content_kept` stands in the lines: whether
 * their records have contents.  Returns 0; -EEXIST: one of them was open before (F08); or what
 * writing gave. */
int tri_archive_begin(struct tri_archive *archive, uint32_t epoch, uint32_t streams,
                      bool is_content_kept, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
/* tri_archive_end closes the streams of this start in order; durable when it returns. */
int tri_archive_end(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

/* tri_archive_write hands everything to the kernel; tri_archive_sync makes it durable too.  After a
 * failure of either nothing is written any more: they and append return it again (D03). */
int tri_archive_write(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
int tri_archive_sync(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

/*
 * The same without waiting, for an owner with a ring: after tri_archive_write(),
 * tri_archive_flush_begin names what has to be flushed (fdatasync each) for everything that was
 * handed over so far to be durable, and tri_archive_flush_end takes how that ended: 0, or -errno of
 * the one that failed.  Records may be appended and written in between; one flush at a time.
 *
 * files  out; the archive's own, they may be closed in between by nobody but the kernel's last
 * user.
 *
 * Returns how many, 0 = all is durable.
 */
#define TRI_ARCHIVE_FLUSH_MAX 65U
uint32_t tri_archive_flush_begin(struct tri_archive *archive, int files[TRI_ARCHIVE_FLUSH_MAX]);
int tri_archive_flush_end(struct tri_archive *archive, int result,
                          char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

struct tri_archive_counts {
    uint64_t records;  /* appended by this process */
    uint64_t messages; /* in them */
    uint64_t bytes;    /* of their bodies with their lengths */
    uint64_t syncs;
    uint64_t cut_bytes; /* of torn tails, at the opening */
};
struct tri_archive_counts tri_archive_counts(const struct tri_archive *archive);

#endif
