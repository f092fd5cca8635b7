/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal, the inside of one stream that is written: what journal.c (turns and
 * writes), journal_prepare.c (the next segment) and journal_retire.c (the end of
 * the old sets) share.  No other file includes this.
 *
 * Work on files that is not a write of a block goes step by step through the
 * same ring: one request is under way, and its completion starts the next.
 */
#ifndef TRI_IO_JOURNAL_WRITER_H
#define TRI_IO_JOURNAL_WRITER_H

#include "io/journal_internal.h"

/* Operations, in the user data of requests: the log's tickets and one more. */
#define JOURNAL_OP_RETIRE TRI_LOG_TICKET_COUNT
#define JOURNAL_FILES_MAX 8U

static_assert(JOURNAL_FILES_MAX >= TRI_LOG_FLIGHT_MAX + 2U,
              "writes under way may each be in another segment; one is written, one prepared");

/* An open segment. */
struct journal_segment {
    uint32_t number; /* 0 = none */
    uint32_t writes; /* under way */
    int file;
};

struct journal_write {
    uint32_t segment;
    uint32_t count;
    uint64_t offset;
};

enum journal_prepare_step {
    PREPARE_IDLE,
    PREPARE_RENAME,   /* a dropped segment gets the new name */
    PREPARE_OPEN,     /* or a new file */
    PREPARE_ALLOCATE, /* of that size in one piece */
    PREPARE_ZERO,     /* full of zeros, piece by piece */
    PREPARE_SYNC,
    PREPARE_SYNC_DIR, /* the name is durable too */
    PREPARE_WAIT,     /* it has failed: until retry_ns */
};

struct journal_prepare {
    enum journal_prepare_step step;
    uint32_t segment;
    uint64_t bytes;
    uint64_t done; /* of the zeros */
    int file;      /* -1 = none */
    bool is_recycled;
    bool has_failed; /* at least once for this segment */
    uint64_t retry_ns;
    uint64_t starved_ns; /* records wait since then; TRI_NEVER = they do not */
    char name[JOURNAL_NAME_BYTES];
    char spare[JOURNAL_NAME_BYTES];
};

enum journal_retire_step {
    RETIRE_IDLE,
    RETIRE_OPEN, /* manifest.new */
    RETIRE_WRITE,
    RETIRE_SYNC,
    RETIRE_RENAME,
    RETIRE_SYNC_DIR,
    RETIRE_REMOVE, /* the old files, one after the other */
    RETIRE_WAIT,   /* a step has failed: until retry_ns */
    RETIRE_DONE,
};

struct journal_retire {
    enum journal_retire_step step;
    bool is_counted; /* this stream is among dir->checkpointed */
    bool is_named;   /* the manifest names the new set alone: only files are left to be removed */
    int file;
    uint32_t removed; /* of dir->files */
    uint64_t retry_ns;
    uint32_t bytes;
    char name[JOURNAL_NAME_BYTES];
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
    char text[TRI_MANIFEST_BYTES(TRI_SHARDS_MAX)];
};

struct tri_journal {
    struct tri_journal_dir *dir;
    struct tri_log *log;
    size_t bytes;     /* of this object */
    size_t log_bytes; /* of the log's memory */
    struct tri_loop *loop;
    struct tri_loop own; /* if the owner has none */
    int event;           /* of the own one; -1 = none */
    uint32_t loop_kind;
    uint32_t stream;
    uint32_t under_way; /* requests */
    bool has_prepared;  /* some of them are not submitted yet */
    uint64_t now_ns;
    uint64_t space_wait_ns;
    bool is_ending;
    struct journal_segment segments[JOURNAL_FILES_MAX];
    struct journal_write writes[TRI_LOG_TICKET_PREPARE];
    struct journal_prepare prepare;
    struct journal_retire retire;
    uint32_t spare; /* a dropped segment that is kept to be used again, 0 = none */
    uint32_t dropping;
    char drop_name[JOURNAL_NAME_BYTES];
    struct tri_journal_counts counts;
    bool has_failed_write; /* then nothing that comes later hides in `trouble` what it said */
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
};

/* A request of operation `op`, to be filled in by an io_uring_prep_ function and given to
 * journal_start(). */
static inline struct io_uring_sqe *journal_request(struct tri_journal *journal)
{
    return tri_loop_request(journal->loop);
}

static inline void journal_start(struct tri_journal *journal, struct io_uring_sqe *request,
                                 uint32_t op)
{
    request->user_data = TRI_LOOP_DATA(journal->loop_kind, op);
    journal->under_way++;
    journal->has_prepared = true;
}

/* Whether work that nobody will need is to be left undone. */
static inline bool journal_is_stopping(const struct tri_journal *journal)
{
    return journal->is_ending && tri_log_is_quiet(journal->log);
}

/* The next segment. */
void tri_journal_prepare_start(struct tri_journal *journal, uint32_t segment, uint64_t bytes);
void tri_journal_prepare_complete(struct tri_journal *journal, int32_t result);
/* Lets time pass: tries again, or gives up when records have waited for too long. */
void tri_journal_prepare_turn(struct tri_journal *journal);
/* tri_journal_look asks the manifest whether it still names this set as the newest: 0, or why not,
 * which is then in `trouble`.  *failed: 0, or -errno if nobody can tell now, because files are
 * short for a while, or the disk is ill. */
enum tri_log_result tri_journal_look(struct tri_journal *journal, int *failed);
/* Takes a prepared file over. */
void tri_journal_segment_add(struct tri_journal *journal, uint32_t number, int file);

/* The end of the old sets. */
void tri_journal_retire_turn(struct tri_journal *journal);
void tri_journal_retire_complete(struct tri_journal *journal, int32_t result);

#endif
