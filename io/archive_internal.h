/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the archive share: opening it (archive_open.c), looking through files
 * (archive_walk.c), opening and closing streams (archive_begin.c), and writing (archive.c).
 */
#ifndef TRI_IO_ARCHIVE_INTERNAL_H
#define TRI_IO_ARCHIVE_INTERNAL_H

#include <sys/uio.h>

#include "io/archive.h"
#include "io/archive_manifest.h"
#include "io/archive_record.h"

/* Room for the largest record, and for many others until they are written. */
#define ARCHIVE_BUFFER_BYTES ((size_t)2 * (TRI_ARCHIVE_RECORD_BYTES_MAX + TRI_ARCHIVE_FRAME_BYTES))
#define ARCHIVE_PIECES_MAX   1024U /* IOV_MAX of Linux: a stream's pieces are one write */

/* A stream that is not closed. */
struct archive_stream {
    uint32_t epoch;
    uint32_t shard;
    uint64_t last;                      /* ossEpoch; 0 = none */
    uint64_t messages;                  /* in all its records */
    uint8_t previous[TRI_DIGEST_BYTES]; /* what the next record names */
    uint64_t file_first;    /* the last file's first ossEpoch; 0 = the next record begins
                               a file */
    uint64_t file_bytes;    /* in it, those in the buffer included */
    uint64_t written_bytes; /* of it, in the kernel's hands */
    int file;               /* -1 = not open */
    bool is_made;           /* the file exists */
    bool is_dirty;          /* it has bytes that are not durable */
    uint32_t piece_count;   /* in the buffer */
    bool is_content_kept;   /* as it was opened, whatever this start keeps */
};

/* Bytes of one stream in the buffer. */
struct archive_piece {
    uint32_t stream;
    uint32_t at;
    uint32_t bytes;
};

struct archive_file {
    uint32_t epoch;
    uint32_t shard;
    uint64_t first;
    uint64_t bytes;
};

struct tri_archive {
    struct tri_archive_options options;
    char *path;
    int directory;
    int manifest_file; /* the writer's lock is on it */
    struct tri_archive_manifest manifest;
    uint32_t stream_count;
    struct archive_stream *streams;
    struct tri_archive_counts counts;
    bool is_directory_dirty; /* a file's name is not durable */
    int failed;              /* what writing gave: nothing is written any more */
    char trouble[TRI_ARCHIVE_TROUBLE_BYTES];

    /* A writer's alone. */
    uint8_t *buffer;
    uint32_t buffer_bytes;
    uint32_t piece_count;
    struct archive_piece pieces[ARCHIVE_PIECES_MAX];
    struct iovec vectors[ARCHIVE_PIECES_MAX];
    struct tri_text chains[TRI_FINALITY_CHAINS_MAX]; /* of the record that is being made */
    uint8_t header[TRI_FINALITY_HEADER_BYTES_MAX];
};

/* Writes "PATH/NAME: ..." into `trouble`; returns `failed`. */
int tri_archive_say(const struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES],
                    const char *name, int failed, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Keeps the first failure of a write, which is `failed`; returns it. */
int tri_archive_fail(struct tri_archive *archive, const char *name, int failed, const char *what);
/* Returns that failure and tells it again, or 0. */
int tri_archive_failed(const struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

/* Takes the buffer to the files and makes all of them durable.  Returns 0 or the first failure. */
int tri_archive_sync_all(struct tri_archive *archive);

/* Writes all bytes at the offset.  Returns 0 or -errno. */
int tri_archive_write_all(int file, const void *bytes, size_t count, uint64_t offset);

/* Where a look through a stream's files stands. */
struct archive_walk {
    uint64_t last; /* ossEpoch of the last record that was seen; 0 = none */
    uint64_t messages;
    uint8_t previous[TRI_DIGEST_BYTES];
    uint64_t good_bytes; /* of the file that was looked through last */
};

/* tri_archive_hop looks through a file behind which stands another one: from header to header,
 * because it was durable before the next began.  Returns 0; -EBADMSG or what reading gave, with a
 * line in `trouble`. */
int tri_archive_hop(const struct tri_archive *archive, const struct archive_file *file,
                    struct archive_walk *walk, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
/* tri_archive_walk looks through the last file of a stream that was not closed; walk->good_bytes
 * are before its torn tail.  Returns as above. */
int tri_archive_walk(const struct tri_archive *archive, const struct archive_file *file,
                     struct archive_walk *walk, char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

#endif
