/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log scan: the reading side of one stream of records, without any I/O.
 *
 * The reader asks for bytes of segments, checks every block (own hash, chain,
 * numbers) and gives its records, until the stream ends: at its END record, or
 * at the first bad block, where nothing behind was ever announced (the torn
 * tail of a crash: the cut), or because a cut was decreed by an earlier
 * recovery.  Every block says how far the blocks before it were durable when it
 * was written; so if any good block behind a bad one says that the bad one was
 * durable, it was not torn but damaged afterwards, and the scan ends with the
 * place and a sentence instead (D03).  Everything behind the bad block is
 * searched for such a witness, page by page.
 *
 *     tri_log_scan_init(&scan, &options);
 *     for (;;) {
 *         switch (tri_log_scan_next(&scan, &window, &block)) {
 *         case TRI_LOG_SCAN_BYTES: fill the window from scan.want on; break;
 *         case TRI_LOG_SCAN_BLOCK: for (each tri_log_block_record()) ...; break;
 *         case TRI_LOG_SCAN_END, _DAMAGE, _VERSION: done
 *         }
 *     }
 *
 * Nothing is copied: a block and its records point into the caller's window.
 * Whatever the bytes are, nothing outside the window is read.
 *
 * Threads: a scan belongs to one thread.
 */
#ifndef TRI_SHARDS_LOG_SCAN_H
#define TRI_SHARDS_LOG_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "shards/log.h"

struct tri_log_scan_options {
    uint32_t epoch;
    uint32_t stream;
    uint64_t seed;
    uint32_t segment_first; /* the first of the consecutive segments that there are */
    uint32_t segment_last;  /* the last of them; below segment_first = there is none */
    bool has_cut;           /* an earlier recovery has decreed where the stream ends */
    uint64_t cut_seq;       /* then: the last block, 0 = none */
    uint64_t cut_lsn;       /* and the last LSN */
    /* The same bytes were scanned before without finding damage: hashes are not computed again. */
    bool is_trusted;
};

/* Bytes of a segment that the caller has in memory. */
struct tri_log_window {
    uint32_t segment;     /* 0 = nothing yet */
    uint64_t offset;      /* a multiple of the page */
    const uint8_t *bytes; /* 8-byte aligned */
    uint64_t count;
    bool is_end; /* no bytes follow in this segment: it ends here, or the file is shorter */
};

/* A good block. */
struct tri_log_block {
    uint32_t segment;
    uint64_t offset;
    uint64_t seq;
    uint64_t lsn_first; /* of its first record; lsn_last + 1 if it has none */
    uint64_t lsn_last;
    uint64_t lsn_needed;  /* where recovery begins, as far as this block knows */
    uint64_t seq_durable; /* known to be durable when this one was written */
    uint32_t records;     /* the log's own included */
    const uint8_t *bytes; /* borrowed from the window */
    uint32_t used;        /* head and records */
    uint32_t count;       /* with the padding */
};

struct tri_log_record {
    uint64_t lsn; /* the log's own records repeat that of the record before them */
    uint16_t type;
    uint16_t slot;
    uint32_t bytes;
    uint32_t at;            /* where its head lies in the block */
    const uint8_t *payload; /* 8-byte aligned, borrowed from the window */
};

enum tri_log_scan_step {
    TRI_LOG_SCAN_BYTES,   /* the window lacks scan.want: fill it and call again */
    TRI_LOG_SCAN_BLOCK,   /* *block is good; call again for the next */
    TRI_LOG_SCAN_END,     /* the stream ends at scan.seq, scan.lsn */
    TRI_LOG_SCAN_DAMAGE,  /* announced records are unreadable: scan.at and scan.what */
    TRI_LOG_SCAN_VERSION, /* the segment scan.at has the format version scan.version */
};

struct tri_log_scan_place {
    uint32_t segment;
    uint64_t offset;
    uint64_t count; /* of `want`: at least so many bytes, fewer only at the segment's end */
};

struct tri_log_scan {
    struct tri_log_scan_options options;
    struct tri_log_scan_place want;
    /* Where the reading stands, at the end: what was found. */
    uint64_t seq;        /* of the last good block, 0 = none */
    uint64_t lsn;        /* of the last record up to there */
    uint64_t lsn_needed; /* from which on recovery needs records, >= 1 */
    uint64_t lsn_first;  /* of the first record that is there */
    uint64_t blocks;
    uint64_t records; /* the user's */
    uint64_t bytes;   /* of blocks */
    bool is_ended;    /* END: the stream was ended in order */
    bool is_torn;     /* END: behind the cut lie pieces of blocks that were never announced */
    struct tri_log_scan_place at;      /* END: the cut.  DAMAGE, VERSION: the place */
    const char *what;                  /* DAMAGE: a static sentence */
    struct tri_log_scan_place witness; /* DAMAGE: the block that proves it, segment 0 = none */
    bool is_missing;                   /* DAMAGE: the segment `at` is not there */
    uint32_t version;                  /* VERSION: the other one */
    /* Inside. */
    uint8_t stage;
    bool has_place; /* the numbers before the next block are known */
    struct tri_log_scan_place next;
    uint32_t block_bytes_max;
    uint64_t segment_bytes;
    uint64_t hash_lo; /* of the last block */
    uint64_t hash_hi;
};

void tri_log_scan_init(struct tri_log_scan *scan, const struct tri_log_scan_options *options);

/*
 * tri_log_scan_next reads on.
 *
 * window  in; what the caller has; for BYTES it should reach from scan.want.offset at least
 *         scan.want.count bytes, or to the end of the segment with is_end set.
 * block   out; written for BLOCK.
 *
 * After END, DAMAGE and VERSION it returns the same again.  A stream whose first needed segment is
 * not there is DAMAGE with `at` = that segment, offset 0.
 */
enum tri_log_scan_step tri_log_scan_next(struct tri_log_scan *scan,
                                         const struct tri_log_window *window,
                                         struct tri_log_block *block);

/* tri_log_block_record gives the record at *cursor (0 at first) and moves the cursor on.  False:
 * that was the last.  The log's own records are given too. */
bool tri_log_block_record(const struct tri_log_block *block, uint32_t *cursor,
                          struct tri_log_record *record);

#endif
