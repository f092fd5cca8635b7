/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal, inside: what journal_dir.c (manifest and list of files),
 * journal_read.c (old streams), journal_begin.c (a new set) and journal.c with
 * journal_prepare.c and journal_retire.c (a stream that is written) share.
 * No other file of io/ includes this.
 */
#ifndef TRI_IO_JOURNAL_INTERNAL_H
#define TRI_IO_JOURNAL_INTERNAL_H

#include <assert.h>
#include <stdatomic.h>

#include "engine/limits.h"
#include "io/journal.h"
#include "io/journal_manifest.h"
#include "io/state.h"

#define JOURNAL_SUFFIX     ".seg"
#define JOURNAL_NAME_BYTES 48U /* of a segment's file name: three numbers */

/* A segment's file. */
struct journal_file {
    uint32_t epoch;
    uint32_t stream;
    uint32_t number;
    uint64_t bytes;
};

/* A stream of an old set. */
struct journal_old {
    struct tri_manifest_stream named;
    struct tri_journal_stream seen;
    uint32_t segment_first; /* the consecutive files up to the last one; none: last < first */
    uint32_t segment_last;
    uint64_t seq;        /* of its last block, once scanned */
    uint64_t *lsn_first; /* of each of these segments, 0 = not begun; once scanned */
};

struct tri_journal_dir {
    struct tri_state place;
    char *path;
    struct tri_journal_dir_options options; /* `kind` and `secret` are not kept */
    char kind[TRI_JOURNAL_KIND_BYTES];
    bool has_secret;
    uint8_t fingerprint[TRI_MANIFEST_FINGERPRINT_BYTES];
    uint32_t epoch_read; /* of the manifest, 0 = there was none */
    struct journal_old *old;
    uint32_t old_count;
    struct journal_file *files; /* ordered; once the new set is begun: those of old sets */
    uint32_t file_count;
    /* The new set. */
    uint32_t epoch; /* 0 = not begun */
    uint32_t streams;
    struct tri_manifest_stream named[TRI_SHARDS_MAX];
    int first_files[TRI_SHARDS_MAX]; /* descriptors of the first segments, until opened */
    bool is_direct;
    _Atomic uint32_t checkpointed; /* new streams that could be recovered without the old sets */
    _Atomic uint32_t has_old;
};

static_assert(TRI_JOURNAL_KIND_BYTES == TRI_MANIFEST_KIND_BYTES, "the same word");

/* Prints a line about a file of the directory: "DIR/NAME: ...".  Returns `failed`. */
int tri_journal_say(char trouble[TRI_JOURNAL_TROUBLE_BYTES], const char *path, const char *name,
                    int failed, const char *format, ...) __attribute__((format(printf, 5, 6)));

void tri_journal_name(char name[JOURNAL_NAME_BYTES], uint32_t epoch, uint32_t stream,
                      uint32_t number);

/* tri_journal_file_make makes a segment full of zeros, durable but for its name; for the start,
 * when blocking does no harm.  Returns its descriptor, open for writing as `is_direct` says, or
 * -errno. */
int tri_journal_file_make(int directory, const char *name, uint64_t bytes, bool is_direct);

/* A buffer of zeros to write from. */
#define JOURNAL_ZEROS_BYTES ((size_t)256 << 10)
const uint8_t *tri_journal_zeros(void);

#endif
