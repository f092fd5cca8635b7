/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log: the writing side of one stream of records, without any I/O.
 *
 * A stream is the journal of one shard of one start: records with consecutive
 * LSNs from 1, gathered into blocks with consecutive numbers (seq) from 1, in
 * segments with consecutive numbers from 1.  docs/journal.md describes every
 * byte.  The log decides what is written where; whoever carries its requests
 * out is the store: io/journal with files, the tests with a disk that tears,
 * one day a replicated store, for which a WRITE is append(stream, epoch, seq,
 * block) -> done, fenced or unknown.
 *
 * A turn of the owner:
 *
 *     tri_log_done() for every request that has ended
 *     tri_log_reserve(), the payload, tri_log_commit(), for every record
 *     while (tri_log_next(log, &request)) { start it }
 *
 * Group commit needs no timer: what a turn left is written at its end if no
 * write is under way, or if one is and it is little, so a lone record hardly
 * ever waits; else it grows until a write has ended or it is much; more than
 * four are never under way.
 *
 * Invariants: a record lies in one block, a block in one segment.  Writes may
 * end in any order; a record counts as durable when its block and all blocks
 * before it are.  A failed or unknown write is never written again: from its
 * first LSN on nothing becomes durable any more, for ever (D03, D07).
 *
 * All memory is the caller's; nothing allocates, and no function but
 * tri_log_next(), which hashes a block, does more than touch one record.
 *
 * Threads: a log belongs to one thread.
 */
#ifndef TRI_SHARDS_LOG_H
#define TRI_SHARDS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRI_LOG_VERSION    1U    /* of the format (docs/journal.md) */
#define TRI_LOG_PAGE_BYTES 4096U /* everything is written in whole pages */

/* Writes under way: one always; a second if the block holds little, for then little else is going
 * on and somebody waits for it alone; so many if it holds much.  What lies between grows meanwhile:
 * a write costs the processor what 20 records do. */
#define TRI_LOG_FLIGHT_MAX   4U
#define TRI_LOG_LITTLE_BYTES 4096U
#define TRI_LOG_MUCH_BYTES   (32U * 1024U)

/* Types of records.  Those below TRI_LOG_TYPE_OWN are the user's; the log's own take no LSN. */
#define TRI_LOG_TYPE_OWN    0xFF00U
#define TRI_LOG_TYPE_CHAINS 0xFFFEU /* the user's table, first record of every segment */
#define TRI_LOG_TYPE_END    0xFFFFU /* the stream was ended in order; nothing follows */
#define TRI_LOG_SLOT_NONE   0xFFFFU /* the slot of the log's own records */

struct tri_log_options {
    uint32_t epoch;           /* of this start (P10), >= 1 */
    uint32_t stream;          /* the shard's index, < streams */
    uint32_t streams;         /* of this start's set, >= 1 */
    uint32_t slot_first;      /* the slots that the stream takes records of; both included */
    uint32_t slot_last;       /* < TRI_SLOT_COUNT */
    uint64_t seed;            /* of the blocks' hashes: random, so no payload passes for a block */
    uint32_t block_bytes_max; /* a multiple of the page, 8 KiB .. 1 MiB; 0 = 128 KiB */
    uint32_t blocks;          /* buffers of that size, 2 .. 64; 0 = 8 */
    uint64_t segment_bytes;   /* whole pages, room for heads, chains and a block; 0 = 64 MiB */
    uint64_t segment_bytes_first; /* of segment 1 alone, likewise; 0 = 4 MiB, or less */
    uint64_t checkpoint_bytes;    /* written at least between two checkpoints; 0 = 64 MiB */
    bool wants_checkpoint;        /* at once, because older sets wait to be retired */
    const void *chains;           /* the user's table, copied; opaque here */
    uint32_t chains_bytes;        /* 0 = none; at most tri_log_payload_bytes_max() */
};

struct tri_log;

/*
 * tri_log_footprint returns the bytes that a log needs, 0 if the options are invalid.
 * tri_log_init formats them.
 *
 * memory  tri_log_footprint() bytes aligned to TRI_LOG_PAGE_BYTES, borrowed for the log's life;
 *         requests point into it.
 *
 * Segment 1 counts as prepared: the store has made it before (all zeros or anything that is not a
 * block of this stream).
 */
size_t tri_log_footprint(const struct tri_log_options *options);
struct tri_log *tri_log_init(void *memory, const struct tri_log_options *options);

/* The size of a segment under these options, which must be valid. */
uint64_t tri_log_segment_bytes(const struct tri_log_options *options, uint32_t segment);

/* The payload of the largest record that a log of this block size takes. */
uint32_t tri_log_payload_bytes_max(uint32_t block_bytes_max);

/*
 * tri_log_reserve makes room for one record.
 *
 * payload_bytes  at most this many will be committed, at most tri_log_payload_bytes_max().  Keep it
 *                tight: a block whose rest is smaller is closed.
 *
 * Returns where the payload goes, 8-byte aligned, valid until the next call on the log.  NULL: no
 * room now; nothing changed; try again after the next tri_log_done().  A failed or ending log never
 * has room.
 * A reservation that is not committed leaves nothing behind.
 */
uint8_t *tri_log_reserve(struct tri_log *log, uint32_t payload_bytes);

/*
 * tri_log_commit appends the record that was reserved last.
 *
 * type           below TRI_LOG_TYPE_OWN.
 * slot           the slot that it is of, below TRI_SLOT_COUNT.
 * lsn            the last record's plus 1; the first is 1.
 * payload_bytes  at most what was reserved.
 */
void tri_log_commit(struct tri_log *log, uint16_t type, uint16_t slot, uint64_t lsn,
                    uint32_t payload_bytes);

enum tri_log_request_type {
    TRI_LOG_WRITE,   /* `count` bytes at `offset` of `segment`, durably */
    TRI_LOG_PREPARE, /* make `segment` of `offset` bytes, durably, name and all */
    TRI_LOG_DROP,    /* recovery needs `segment` no more: whoever still does copies it first */
};

struct tri_log_request {
    enum tri_log_request_type type;
    uint32_t ticket;      /* for tri_log_done; at most one request per ticket is under way */
    uint32_t segment;     /* from 1 */
    uint32_t count;       /* WRITE: a multiple of the page */
    uint64_t offset;      /* WRITE: a multiple of the page.  PREPARE: the segment's size */
    uint64_t seq;         /* WRITE: the block's number */
    const uint8_t *bytes; /* WRITE: page-aligned, unchanged until the request is done */
};

/* Tickets are small numbers: writes below TRI_LOG_TICKET_PREPARE, and one of each other type. */
#define TRI_LOG_TICKET_PREPARE 64U
#define TRI_LOG_TICKET_DROP    65U
#define TRI_LOG_TICKET_COUNT   66U

/* tri_log_next closes and seals the next block if it is to be written now, or names other work.
 * Returns false when there is nothing to start; call it until then at the end of a turn. */
bool tri_log_next(struct tri_log *log, struct tri_log_request *request);

/* How a request ended.  Everything but DONE fails the log for ever, a PREPARE when the log comes to
 * need that segment; a DROP that fails changes nothing. */
enum tri_log_result {
    TRI_LOG_DONE = 0,
    TRI_LOG_FAILED = 1,  /* the store refused, or wrote a part */
    TRI_LOG_FENCED = 2,  /* a later epoch owns the stream's slots */
    TRI_LOG_UNKNOWN = 3, /* it may be durable or not: the next recovery finds out */
};

/* tri_log_done takes the end of a request back, in any order. */
void tri_log_done(struct tri_log *log, uint32_t ticket, enum tri_log_result result);

/* Up to which LSN every record is durable; 0 = none.  Never goes back. */
uint64_t tri_log_durable_lsn(const struct tri_log *log);
/* The first LSN that will never be known to be durable (D07), 0 = the log has not failed.  It is
 * told when all earlier writes have ended, so it never changes; it is the next LSN to come if the
 * write that failed carried no record. */
uint64_t tri_log_failed_lsn(const struct tri_log *log);
/* The LSN of the last record committed; 0 = none. */
uint64_t tri_log_last_lsn(const struct tri_log *log);
/* Whether a write waits for a segment whose PREPARE has not ended: back-pressure comes from there.
 */
bool tri_log_is_starved(const struct tri_log *log);
/* Whether nothing waits to be written and no write is under way. */
bool tri_log_is_quiet(const struct tri_log *log);

/*
 * Checkpoints are the user's own records (fuzzy: others may lie between them).  The log only says
 * when one is due, and drops what it makes unneeded:
 *
 *     if (tri_log_wants_checkpoint(log)) begin_lsn = tri_log_checkpoint_begin(log);
 *     ... records of the checkpoint, over many turns ...
 *     when the last of them is durable: tri_log_checkpointed(log, begin_lsn, their bytes);
 *
 * The begin LSN then travels in the next block (written at once, though it may hold no record);
 * when that is durable too, recovery begins there, tri_log_needed_lsn() says so, and segments whose
 * records all lie before it are dropped, oldest first.
 */

/* Whether more was written since the last checkpoint began than checkpoint_bytes and than twice
 * that checkpoint; never while one is going on. */
bool tri_log_wants_checkpoint(const struct tri_log *log);
/* Returns the LSN of the next record, from which on recovery will need records. */
uint64_t tri_log_checkpoint_begin(struct tri_log *log);
/* begin_lsn as returned; `bytes`: payload of the checkpoint's own records, for the next one's pace.
 */
void tri_log_checkpointed(struct tri_log *log, uint64_t begin_lsn, uint64_t bytes);
/* The LSN from which on recovery needs records, as the durable blocks say it; 1 at first. */
uint64_t tri_log_needed_lsn(const struct tri_log *log);
/* Whether recovery could do with this stream alone: a whole checkpoint of it is durable, and a
 * durable block says so. */
bool tri_log_is_checkpointed(const struct tri_log *log);

/* tri_log_end asks for the record that marks an end in order; nothing may be committed afterwards.
 * The stream has ended when tri_log_is_quiet(). */
void tri_log_end(struct tri_log *log);

struct tri_log_counts {
    uint64_t records;       /* committed by the user */
    uint64_t payload_bytes; /* of these */
    uint64_t blocks;        /* written, or being written */
    uint64_t bytes;         /* of these, heads and padding included */
    uint64_t refused;       /* reservations that found no room */
    uint64_t flight_sum; /* writes under way, summed over the blocks: mean = flight_sum / blocks */
    uint32_t segments_begun; /* the segment that is written now */
    uint32_t segments_kept;  /* begun and not yet dropped */
    uint32_t flight;         /* writes under way */
};
struct tri_log_counts tri_log_counts(const struct tri_log *log);

#endif
