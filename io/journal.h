/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal: the files behind the logs (shards/log.h) of all shards of a process.
 *
 *     DIR/manifest                          which sets of streams rule, and where the old ones end
 *     DIR/<epoch>-<stream>-<number>.seg     a segment of a stream (docs/journal.md)
 *
 * Every start opens a new set of streams under its own epoch and never writes
 * to an old one, so a torn tail is never written over.  The old sets are read;
 * they rule together with the new one until every new stream holds a whole
 * checkpoint, and then their files are removed.
 *
 * Order of a start:
 *
 *     tri_state_open(), epoch, secret          the caller's: io/state.h holds the lock
 *     tri_journal_dir_open()                   manifest
 *     tri_journal_dir_scan(dir, i)             every old stream; any thread, each i once
 *     tri_journal_dir_replay()                 each shard its slots; any thread
 *     tri_journal_dir_begin()                  files of the new set, then the manifest names it
 *     tri_journal_open()                       each new stream; then turns
 *
 * Threads: a directory is opened, begun and closed by one thread while no other
 * uses it.  A journal (one stream of the new set) belongs to the thread of its
 * loop.
 */
#ifndef TRI_IO_JOURNAL_H
#define TRI_IO_JOURNAL_H

#include <stddef.h>

#include "io/loop.h"
#include "shards/log.h"
#include "shards/log_scan.h"

#define TRI_JOURNAL_TROUBLE_BYTES 512U
#define TRI_JOURNAL_KIND_BYTES    16U /* with the terminating zero */

struct tri_journal_dir;
struct tri_journal;

struct tri_journal_dir_options {
    const char *kind;       /* whose records: "coordinator", "participant"; [a-z]+ */
    const uint8_t *secret;  /* 32 bytes; another secret refuses (D06).  NULL = none, not compared */
    uint64_t segment_bytes; /* 0 = 64 MiB; a multiple of the page */
    uint64_t segment_bytes_first; /* of the first segment of a stream; 0 = 4 MiB */
    uint32_t block_bytes_max;     /* 0 = 128 KiB */
    bool is_buffered;             /* do not try O_DIRECT */
    bool is_read_only;            /* look, change nothing; `kind` may then be NULL = any */
};

/*
 * tri_journal_dir_open reads the manifest of the directory `path`, which must exist, and lists the
 * segments that there are.  A directory without manifest and without segments is a new journal.
 *
 * Returns 0; else -errno with a line in `trouble` that names the file, what is wrong and what can
 * be done: -EBADMSG damaged, -EPROTONOSUPPORT another format version, -EKEYREJECTED another secret
 * or kind, -ENOENT a file is missing.
 */
int tri_journal_dir_open(struct tri_journal_dir **dir, const char *path,
                         const struct tri_journal_dir_options *options,
                         char trouble[TRI_JOURNAL_TROUBLE_BYTES]);
/* Accepts NULL.  Close the journals first. */
void tri_journal_dir_close(struct tri_journal_dir *dir);

/* Whose records, and the epoch of the newest set; "" and 0 of a new journal. */
const char *tri_journal_dir_kind(const struct tri_journal_dir *dir);
uint32_t tri_journal_dir_epoch(const struct tri_journal_dir *dir);

/* What is known of one old stream. */
struct tri_journal_stream {
    uint32_t epoch;
    uint32_t stream;
    uint32_t streams;
    uint32_t slot_first; /* both included */
    uint32_t slot_last;
    bool is_scanned;
    /* From here on: after the scan. */
    uint32_t segment_first; /* files that were read: from this one on */
    uint32_t segments;
    uint64_t lsn;        /* of the last record, 0 = the stream is empty */
    uint64_t lsn_needed; /* replay begins here */
    uint64_t blocks;
    uint64_t records;
    uint64_t bytes;
    bool is_ended;        /* in order */
    bool is_torn;         /* a torn tail was cut off */
    uint32_t cut_segment; /* where */
    uint64_t cut_offset;
};

/* How many old streams there are, in order of epoch and stream, and what is known of one. */
uint32_t tri_journal_dir_streams(const struct tri_journal_dir *dir);
const struct tri_journal_stream *tri_journal_dir_stream(const struct tri_journal_dir *dir,
                                                        uint32_t index);

/*
 * tri_journal_dir_scan reads one old stream from end to end and checks all of it; a torn tail is
 * cut.
 *
 * Returns 0; else -errno with a line in `trouble`: -EBADMSG damage (D03), -EPROTONOSUPPORT,
 * -ENOENT a segment is missing, or what reading the file gave.
 */
int tri_journal_dir_scan(struct tri_journal_dir *dir, uint32_t index,
                         char trouble[TRI_JOURNAL_TROUBLE_BYTES]);
/* The same for all of them, one after the other. */
int tri_journal_dir_scan_all(struct tri_journal_dir *dir, char trouble[TRI_JOURNAL_TROUBLE_BYTES]);

/* A record as it comes back.  Of the log's own records only TRI_LOG_TYPE_CHAINS comes, before the
 * first record of a stream and again with every segment. */
struct tri_journal_entry {
    uint32_t epoch;
    uint32_t stream;
    uint32_t segment;
    uint64_t offset;              /* of the record in the segment */
    uint64_t seq;                 /* of its block */
    struct tri_log_record record; /* the payload is borrowed until the callback returns */
};

/* Returns 0 to go on; anything else ends the replay, which returns it. */
typedef int tri_journal_take(void *context, const struct tri_journal_entry *entry);

/*
 * tri_journal_dir_replay gives the records of the slots slot_first..slot_last, both included: sets
 * in order of epoch, the records of a stream in order of LSN from its lsn_needed on.  If that is
 * not 1, earlier sets say nothing of the stream's slots any more.  All streams must have been
 * scanned. Any number of threads may replay at once.
 *
 * Returns 0, what `take` returned, or -errno; then with a line in `trouble`.
 */
int tri_journal_dir_replay(const struct tri_journal_dir *dir, uint32_t slot_first,
                           uint32_t slot_last, tri_journal_take *take, void *context,
                           char trouble[TRI_JOURNAL_TROUBLE_BYTES]);

/*
 * tri_journal_dir_look gives every record of one stream that can be read, the log's own too, from
 * its first segment on, whether a replay needs it or not; for tools.
 *
 * Returns as tri_journal_dir_scan(), of which it takes the place, or what `take` returned.
 */
int tri_journal_dir_look(struct tri_journal_dir *dir, uint32_t index, tri_journal_take *take,
                         void *context, char trouble[TRI_JOURNAL_TROUBLE_BYTES]);

/*
 * tri_journal_dir_begin makes the first segment of every stream of the set `epoch` and then writes
 * the manifest that names the set, and the cuts of the old ones.  Old sets without a record are
 * left out, and segments that belong to no set are removed.
 *
 * epoch    above every epoch of the manifest, else -EEXIST: the file `epoch` is of another time.
 * streams  1..TRI_SHARDS_MAX; the slots are dealt to them as shards/route.h does.
 *
 * Returns 0 or -errno with a line in `trouble`; the old manifest then still rules.
 */
int tri_journal_dir_begin(struct tri_journal_dir *dir, uint32_t epoch, uint32_t streams,
                          char trouble[TRI_JOURNAL_TROUBLE_BYTES]);
/* Whether old sets still wait for checkpoints of the new one. */
bool tri_journal_dir_has_old(const struct tri_journal_dir *dir);
/* "direct" (O_DIRECT) or "buffered", for the log line; all writes are O_DSYNC.  After begin. */
const char *tri_journal_dir_mode(const struct tri_journal_dir *dir);

/* The slots of stream `stream` of `streams`, both included, as shards/route.h deals them. */
void tri_journal_slots(uint32_t stream, uint32_t streams, uint32_t *slot_first,
                       uint32_t *slot_last);

struct tri_journal_options {
    uint32_t stream; /* of the new set */
    /* The owner's loop; completions of kind `loop_kind` must be given to tri_journal_complete().
     * NULL: the journal has a ring of its own, enabled by the thread that calls open. */
    struct tri_loop *loop;
    uint32_t loop_kind; /* 1..255, of the owner's choice */
    const void *chains; /* TRI_LOG_TYPE_CHAINS; copied */
    uint32_t chains_bytes;
    uint64_t checkpoint_bytes; /* 0 = 64 MiB */
    uint32_t blocks;           /* buffers; 0 = 8 */
    uint32_t space_wait_ms; /* how long records wait for a segment before the log fails; 0 = 10 s */
};

/*
 * tri_journal_open takes one stream of the new set.  All memory that it will ever need is acquired
 * here.  If there are old sets, its log wants a checkpoint at once.
 *
 * Returns 0 or -errno with a line in `trouble`.
 */
int tri_journal_open(struct tri_journal **journal, struct tri_journal_dir *dir,
                     const struct tri_journal_options *options,
                     char trouble[TRI_JOURNAL_TROUBLE_BYTES]);
/* Accepts NULL.  With the owner's loop: after tri_loop_fini(). */
void tri_journal_close(struct tri_journal *journal);

/* The log to append to. */
struct tri_log *tri_journal_log(struct tri_journal *journal);

/* tri_journal_complete takes a completion of the owner's loop. */
void tri_journal_complete(struct tri_journal *journal, uint64_t user_data, int32_t result);

/*
 * tri_journal_turn starts what the log wants, at the end of the owner's turn and before it submits
 * its loop.  With a ring of its own it also submits, and first takes what has completed.
 *
 * Returns how many requests were started and completions taken.
 */
uint32_t tri_journal_turn(struct tri_journal *journal, uint64_t now_ns);

/* When a turn is due although nothing completes (what a full disk refused is tried again);
 * TRI_NEVER = never. */
uint64_t tri_journal_deadline_ns(const struct tri_journal *journal);

/* For a ring of its own.  The descriptor becomes readable when a turn has something to take; the
 * turn reads it.  tri_journal_wait blocks until then, at most timeout_ns (TRI_NEVER = as long as it
 * takes), and takes it. */
int tri_journal_descriptor(const struct tri_journal *journal);
uint32_t tri_journal_wait(struct tri_journal *journal, uint64_t timeout_ns);

/* tri_journal_end marks the end of the stream in order.  Then take turns until
 * tri_journal_is_ended(): everything is durable or has failed, and nothing is under way. */
void tri_journal_end(struct tri_journal *journal);
bool tri_journal_is_ended(const struct tri_journal *journal);

/* One line about why the log has failed, or why it waits for space; "" = all is well. */
const char *tri_journal_trouble(const struct tri_journal *journal);

/* One line about why the old sets stay although they are not needed any more; "" = they do not. */
const char *tri_journal_old_trouble(const struct tri_journal *journal);

struct tri_journal_counts {
    struct tri_log_counts log;
    uint64_t segments_made;     /* new files, written full of zeros */
    uint64_t segments_recycled; /* dropped ones under a new name */
    uint64_t segments_removed;
    uint64_t prepares_failed; /* attempts to make a segment */
    uint64_t retires_failed;  /* attempts to remove the old sets */
    uint64_t disk_bytes;      /* of this stream's files */
    bool is_starved;          /* records wait for a segment */
    bool has_failed;
};
struct tri_journal_counts tri_journal_counts(const struct tri_journal *journal);

#endif
