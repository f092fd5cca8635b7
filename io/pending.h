/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pending: the pending sync queue (F05), what the settlement says of it (F03), what is held back
 * from it (F06), and which of its messages are driven forward again (F04).
 *
 * The queue is a range of the archive: every record that no settlement has confirmed.  Of a record
 * in it this object keeps a few bits, and of its messages nothing, but of those that are being
 * driven again right now; everything else is in the archive's files.  What must outlast the process
 * is in the file `secondary` (io/secondary.h): confirmations, differences, messages handed to
 * reconciliation, and whether the sequencer is up.  So each id of a record is at any time in
 * exactly one place:
 *
 *     SECONDARY_FINAL   the settlement has reported its record's own root; never left again
 *     RECONCILIATION    it was handed over: redeliveries used up, and a chain did not answer OK;
 *                       left when its record is confirmed
 *     PENDING           neither
 *
 * The queue begins with the streams whose contents are kept: those opened without were made while
 * it was off, and their records are counted and no more.
 *
 * Without a settlement the queue is off: nothing is read, written or kept, and the view says so.
 *
 * A message is only ever driven forward.  How often it was, is forgotten at a restart.
 *
 * Times are milliseconds since 1970, given by the caller; there is no clock in here, and a clock
 * that steps back delays redeliveries and does no other harm.
 *
 * Threads: a queue belongs to one thread at a time, that of the archive.
 */
#ifndef TRI_IO_PENDING_H
#define TRI_IO_PENDING_H

#include "io/archive.h"
#include "io/secondary.h"

#define TRI_PENDING_REDELIVERIES_PER_S_MAX 10000U
#define TRI_PENDING_REDELIVERIES_MAX       20U
#define TRI_PENDING_LIST_MAX               256U /* records of one list */

struct tri_pending;

struct tri_pending_options {
    bool is_on;                  /* a settlement is configured; false: the rest is not looked at */
    bool is_read_only;           /* look, change nothing: no torn tail is cut, nothing reported */
    uint64_t gap_s;              /* 0 = 300 */
    uint64_t window_ms;          /* chains remember a message so long after issuedAt (P13) */
    uint32_t redeliveries_per_s; /* to one chain; 0 = 10 */
    uint32_t redeliveries_max;   /* of one message; 0 = 5 */
    uint64_t redelivery_pause_s; /* before the second one of a message; doubles; 0 = 60 */
};

/*
 * tri_pending_open finds the queue of the archive at `path`.  All that was appended to the archive
 * must be written; best after tri_archive_begin().
 *
 * Cost: one read for each record of a stream that is partly confirmed.
 *
 * Returns 0; else -errno with a line in `trouble` that names the file: -EBADMSG: `secondary` or the
 * archive is damaged.
 */
int tri_pending_open(struct tri_pending **pending, const char *path,
                     const struct tri_pending_options *options,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
/* Accepts NULL.  What was not synced is written no more. */
void tri_pending_close(struct tri_pending *pending);

/* Whatever below returns an int returns -errno if the archive cannot be read or `secondary` cannot
 * be written; tri_pending_trouble() says why in one line.  After a failed write or flush nothing is
 * written any more (D03). */
const char *tri_pending_trouble(const struct tri_pending *pending);

/* ---- the archive's side ---- */

/* tri_pending_recorded takes a record into the queue, right after its tri_archive_append().  One
 * that is there already is ignored.  Returns 0 or -ENOMEM. */
int tri_pending_recorded(struct tri_pending *pending, uint32_t epoch, uint32_t shard,
                         uint64_t oss_epoch, const struct tri_archive_entry *entries,
                         uint32_t count);
/* tri_pending_placed tells where the record that was taken last stands: the first record of its
 * file and the offset of its end.  What is not told is found by reading. */
int tri_pending_placed(struct tri_pending *pending, uint32_t epoch, uint32_t shard,
                       uint64_t oss_epoch, uint64_t first, uint64_t end);
/* tri_pending_written tells that all records taken so far are in their files: from now on they are
 * offered. */
void tri_pending_written(struct tri_pending *pending);

/* tri_pending_sync makes durable what the functions below have noted; nothing of it may be told to
 * anybody before.  Does nothing if there is nothing.  Returns 0 or -errno. */
int tri_pending_sync(struct tri_pending *pending);

/* ---- the settlement's side ---- */

struct tri_pending_item {
    uint32_t epoch; /* the stream */
    uint32_t shard;
    uint64_t oss_epoch;
    struct tri_bytes header; /* as signed */
    const uint8_t *signature;
};

/*
 * tri_pending_list lists records that wait for the settlement and are not held, in the order of
 * streams (by epoch, then shard) and of ossEpoch.
 *
 * epoch, shard, oss_epoch  where to begin: behind this record; it need not exist; zeros: at the
 *                          first.
 * items, items_max         out; at most TRI_PENDING_LIST_MAX are used.
 * buffer, buffer_bytes     where their bytes go.  A record that has no room ends the list; with
 *                          TRI_FINALITY_HEADER_BYTES_MAX + TRI_FINALITY_SIGNATURE_BYTES at least
 *                          one always has.
 * count                    out; 0 = there are none behind.
 *
 * Returns 0 or -errno.
 */
int tri_pending_list(struct tri_pending *pending, uint32_t epoch, uint32_t shard,
                     uint64_t oss_epoch, struct tri_pending_item *items, uint32_t items_max,
                     uint8_t *buffer, uint32_t buffer_bytes, uint32_t *count);

enum tri_pending_verdict {
    TRI_PENDING_FINAL = 0,     /* the root is the record's: secondary-final (from now or before) */
    TRI_PENDING_DIFFERENT = 1, /* it is another one: the primary wins; the record is what it was */
    TRI_PENDING_UNKNOWN = 2,   /* the archive has no such record, or not yet in its files */
    TRI_PENDING_HELD = 3,      /* the record is held: report it again later */
    TRI_PENDING_OFF = 4,       /* no settlement is configured */
};

struct tri_pending_report {
    uint32_t epoch; /* the stream */
    uint32_t shard;
    uint64_t oss_epoch;
    const uint8_t *root; /* TRI_DIGEST_BYTES: ossStateRoot as settled */
    uint64_t settled_at_ms;
    struct tri_text reference; /* 0..TRI_SECONDARY_REFERENCE_BYTES_MAX of UTF-8 */
    struct tri_text reporter;  /* 1..TRI_SECONDARY_NAME_BYTES_MAX of UTF-8 */
};

/*
 * tri_pending_settle takes what the settlement says of one record.
 *
 * verdict  out.  FINAL and DIFFERENT may be told only after tri_pending_sync().
 * is_new   out; false: such a report was noted before, or it was refused; nothing is to be raised.
 *
 * While a record is contested another difference is counted and not noted, whatever its root: so
 * roots made up do not fill the disk.  Returns 0 or -errno.
 */
int tri_pending_settle(struct tri_pending *pending, const struct tri_pending_report *report,
                       uint64_t now_ms, enum tri_pending_verdict *verdict, bool *is_new);

/* tri_pending_heartbeat takes syncProgress.lagSeconds of a HEARTBEAT; it holds until the next. */
void tri_pending_heartbeat(struct tri_pending *pending, uint64_t lag_s);

/*
 * tri_pending_sequencer notes whether the sequencer is up (F06).  While it is down, records with an
 * entry that was forced are held: not listed, not confirmed, not driven, no reason for a gap.
 *
 * name     who says so; 1..TRI_SECONDARY_NAME_BYTES_MAX of UTF-8.
 * is_new   out; false: it was so before.  Otherwise to be told only after tri_pending_sync().
 *
 * Which records of former starts have such an entry is not known at first: until
 * tri_pending_learn() has looked at one, it is held.  Returns 0 or -errno.
 */
int tri_pending_sequencer(struct tri_pending *pending, bool is_up, struct tri_text name,
                          uint64_t now_ms, bool *is_new);

/* tri_pending_learn looks at a bounded part of the records of which that is not known, while the
 * sequencer is down.  *is_more: there are others.  Returns 0 or -errno. */
int tri_pending_learn(struct tri_pending *pending, bool *is_more);

/* ---- driving messages forward again ---- */

struct tri_pending_redelivery {
    uint32_t epoch; /* the stream */
    uint32_t shard;
    uint64_t oss_epoch;
    uint32_t index;           /* of the message in its record */
    struct tri_bytes leaf;    /* these borrowed until the next call with this queue */
    struct tri_bytes content; /* canonical: SUBMIT's elements */
};

/*
 * tri_pending_next tells the next message that is to be driven forward again, if a gap is flagged:
 * the oldest one whose time has come and each of whose chains may get one more.  It is then under
 * way until tri_pending_redelivered().
 *
 * what      out.
 * again_ms  out; if there is none, when to ask again if nothing else happens; TRI_NEVER = not
 *           before something does.  It may be now: a call looks at a bounded part of the queue.
 *
 * Returns 1: *what is to be sent; 0: none; -errno.
 */
int tri_pending_next(struct tri_pending *pending, uint64_t now_ms,
                     struct tri_pending_redelivery *what, uint64_t *again_ms);

/* A message that stays pending and is not sent (any more), though no redelivery of it has just
 * ended.  Borrowed during the call. */
struct tri_pending_alarm {
    uint32_t epoch; /* the stream */
    uint32_t shard;
    uint64_t oss_epoch;
    struct tri_text id; /* 0 bytes: it cannot be read */
    const char *reason; /* a static text */
};
/* tri_pending_watch has every such alarm told, within tri_pending_next(). */
void tri_pending_watch(struct tri_pending *pending,
                       void (*alarm)(void *context, const struct tri_pending_alarm *alarm),
                       void *context);

enum tri_redelivered {
    TRI_REDELIVERED_AGREED = 0,   /* every chain answered OK */
    TRI_REDELIVERED_FAILED = 1,   /* one did not */
    TRI_REDELIVERED_NOT_SENT = 2, /* it could not begin; does not count, asked for again soon */
};

enum tri_pending_outcome {
    TRI_PENDING_KEPT = 0,    /* it stays pending */
    TRI_PENDING_ALARMED = 1, /* it stays pending, all chains agree, and nothing more is sent */
    TRI_PENDING_HANDED =
        2, /* it is handed to reconciliation; to be told after tri_pending_sync() */
};

/*
 * tri_pending_redelivered takes what became of a redelivery.
 *
 * what    epoch, shard, oss_epoch and index of tri_pending_next(); one that is not under way is
 *         ignored.
 * chain   which did not answer OK, if FAILED: 0..TRI_CHAIN_ID_BYTES_MAX, 0: it is not known, the
 *         first one is named; and its error code.
 *
 * Returns 0 or -errno.
 */
int tri_pending_redelivered(struct tri_pending *pending, const struct tri_pending_redelivery *what,
                            enum tri_redelivered result, struct tri_text chain, enum tri_error code,
                            uint64_t now_ms, enum tri_pending_outcome *outcome);

/* ---- looking ---- */

struct tri_pending_view {
    bool is_on;
    bool is_sequencer_up;
    bool is_gap;                /* F04 */
    uint64_t records;           /* not confirmed, the held ones included */
    uint64_t messages;          /* pending ones, in them */
    uint64_t held_records;      /* of them, now; those not yet looked at included */
    uint64_t records_before;    /* of streams without contents: not in the queue */
    uint64_t handed_messages;   /* in RECONCILIATION, now */
    uint64_t oldest_ms;         /* issuedAt of the oldest one that is not held; 0 = none */
    uint64_t lag_s;             /* of the last HEARTBEAT */
    uint64_t settled;           /* records that are secondary-final */
    uint64_t differences;       /* reports of another root: noted, or since the start */
    uint64_t contested_records; /* whose last report was of another root */
    uint64_t redeliveries;      /* these three since the start: asked for */
    uint64_t failures;          /* of them */
    uint64_t alarms;            /* messages that stay pending and are not sent (again) */
    uint64_t driven_messages;   /* that are being redelivered, now */
};
/* Not const: it may have to read the oldest record.  Returns 0 or -errno. */
int tri_pending_look(struct tri_pending *pending, uint64_t now_ms, struct tri_pending_view *view);

enum tri_pending_place {
    TRI_PENDING_PLACE_OFF = 0,
    TRI_PENDING_PLACE_UNKNOWN = 1, /* the archive has no such record */
    TRI_PENDING_PLACE_PENDING = 2,
    TRI_PENDING_PLACE_RECONCILIATION = 3,
    TRI_PENDING_PLACE_SECONDARY_FINAL = 4,
};
struct tri_pending_where {
    enum tri_pending_place place;
    bool is_held;
    bool is_contested;
};
/* tri_pending_where tells where a record is, and with an id of it (0 bytes: none) where that
 * message is.  Reads nothing. */
struct tri_pending_where tri_pending_where(const struct tri_pending *pending, uint32_t epoch,
                                           uint32_t shard, uint64_t oss_epoch, struct tri_text id);

#endif
