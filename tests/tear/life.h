/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A life: one start of a journal on a disk that tears, from its recovery to a
 * power cut or an end in order.
 *
 * It does what io/journal does with files, and notes what it promised: which
 * records were appended, and which of them it called durable.  A recovery is
 * checked against the promises of all lives before it.
 */
#ifndef TRI_TESTS_TEAR_LIFE_H
#define TRI_TESTS_TEAR_LIFE_H

#include "shards/log.h"
#include "tests/tear/disk.h"

#define LIFE_EPOCHS_MAX 3U
#define LIFE_BEGINS_MAX 8U

/* What one epoch has done and promised. */
struct life_promise {
    uint64_t salt;                        /* of its records */
    uint64_t lsn_appended;                /* its last record */
    uint64_t lsn_durable;                 /* called durable */
    uint64_t lsn_needed;                  /* said to be where recovery begins */
    uint64_t begins[LIFE_BEGINS_MAX];     /* of checkpoints whose last record was called durable */
    uint64_t begin_ends[LIFE_BEGINS_MAX]; /* that record */
    uint32_t begin_count;
    bool is_ended; /* in order */
    bool has_cut;  /* a recovery has found its end */
    uint64_t cut_lsn;
    bool stands_alone; /* what was recovered begins with a whole checkpoint */
    bool is_retired;   /* its manifest entry may be gone: a later epoch stands alone */
};

struct history {
    uint32_t epoch; /* of the last life */
    struct life_promise promises[LIFE_EPOCHS_MAX + 1];
};

/* What was seen on the way: a test that never saw it proves nothing. */
struct life_coverage {
    uint64_t recoveries;
    uint64_t torn;        /* tails that were cut */
    uint64_t unannounced; /* records that came back although nobody was told */
    uint64_t two_sets;    /* recoveries of more than one set */
    uint64_t retired;     /* of a set whose predecessors were gone */
    uint64_t dropped;     /* of a stream that began with a later segment */
    uint64_t recycled;    /* segments used again */
    uint64_t ended;       /* streams that ended in order */
    uint64_t flight_max;
    uint64_t out_of_order; /* writes that ended before an earlier one */
    uint64_t refused;
};

struct life {
    struct disk *disk;
    struct history *history;
    struct life_coverage *coverage;
    struct tri_log *log;
    struct sim_random random;
    uint32_t epoch;
    uint32_t turns;
    bool is_liar; /* the disk says that writes have ended which have not */
    /* Called whenever the power could go. */
    void (*boundary)(struct life *life);
    void *context;
    char trouble[256]; /* of the recovery; "" = all promises were kept */
    /* Inside. */
    uint32_t spare;
    uint32_t writes; /* pending */
    uint64_t write_orders[64];
    uint64_t checkpoint_end;
    uint64_t checkpoint_begin;
    bool is_checkpointing;
    bool has_old;
    bool is_retiring;
};

/* life_recover reads the disk and checks it against the history, which learns the cuts.  False: a
 * promise was broken; life->trouble says which. */
bool life_recover(struct life *life);

/* life_run recovers, begins a new set and lives: `turns` turns and an end in order.  Returns false
 * if its recovery broke a promise. */
bool life_run(struct life *life);

#endif
