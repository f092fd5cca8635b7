/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finality files: the files of an archive's directory, and the records in one of them, for programs
 * that only look (docs/finality.md).
 *
 * Nothing is mapped: a server may be writing the same files, or cut a torn tail.  A file is read
 * piece by piece into one buffer that holds the largest record.
 *
 * Threads: each object belongs to one thread.
 */
#ifndef TRI_IO_FINALITY_FILES_H
#define TRI_IO_FINALITY_FILES_H

#include "io/archive_record.h"

/* One file's name, taken apart. */
struct tri_finality_file {
    uint32_t epoch;
    uint32_t shard;
    uint64_t first; /* ossEpoch of its first record */
};

struct tri_finality_dir {
    int at; /* the directory, for openat() */
    uint32_t count;
    struct tri_finality_file *files; /* by epoch, shard and first; owned */
};

/*
 * tri_finality_dir_open lists the files of an archive.
 *
 * stranger  called for every name that ends as a file of records does, but is none's; not NULL.
 *
 * Returns 0 or -errno; then nothing is to be closed.
 */
int tri_finality_dir_open(struct tri_finality_dir *dir, const char *path,
                          void (*stranger)(void *context, const char *name), void *context);
void tri_finality_dir_close(struct tri_finality_dir *dir);

/* tri_finality_read_all reads a whole file into new memory, which the caller frees.  Returns 0;
 * -EFBIG: it has more than `bytes_max`; or another -errno. */
int tri_finality_read_all(int file, size_t bytes_max, char **text, size_t *bytes);

enum tri_finality_next {
    TRI_FINALITY_NEXT_RECORD = 0, /* *body is its body */
    TRI_FINALITY_NEXT_END = 1,    /* the file ends behind the record before */
    TRI_FINALITY_NEXT_TORN = 2,   /* it ends within a record: a write that a crash has cut, or that
                                     still runs */
    TRI_FINALITY_NEXT_CUT = 3,    /* it ends before the length of the record says so, although the
                                     record is whole or is none */
    TRI_FINALITY_NEXT_NONE = 4,   /* no record has such a length */
};

struct tri_finality_reader {
    int file;        /* -1: none */
    uint8_t *buffer; /* owned */
    uint32_t from;   /* of the record that next() has given, or gives */
    uint32_t to;     /* of the bytes that were read */
    uint32_t given;  /* bytes of the record that next() has given */
    uint64_t offset; /* in the file, of `from` */
};

/* tri_finality_reader_init acquires the buffer, for one file after another; returns 0 or -ENOMEM.
 * _fini closes and gives it back; it accepts a zeroed reader. */
int tri_finality_reader_init(struct tri_finality_reader *reader);
void tri_finality_reader_fini(struct tri_finality_reader *reader);
/* tri_finality_reader_open begins a file of the directory.  Returns 0 or -errno: tri_state_why().
 */
int tri_finality_reader_open(struct tri_finality_reader *reader, int dir, const char *name);

/* tri_finality_reader_next gives the next record, borrowed until the next call; reader->offset is
 * where it begins, with its length.  After anything but a record it says the same again.  Returns
 * enum tri_finality_next or -errno. */
int tri_finality_reader_next(struct tri_finality_reader *reader, struct tri_bytes *body);

#endif
