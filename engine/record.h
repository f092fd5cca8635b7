/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record: what a journal keeps of a message, as bytes.
 *
 * A record never says what has changed; it says how things are, so replay is
 * assignment, and the last record of a message wins.  Parts, of which a kind has some:
 *
 *     kind        key  content  standing  targets  window  result  place
 *     ACCEPT       x      x        x         x
 *     ATTEMPT      x               x
 *     DECISION     x               x         x
 *     ROLLBACK     x               x         x
 *     PRIMARY      x               x                                 x
 *     OUTCOME      x               x                  x
 *     CLOSE        x                                  x
 *     IMAGE        x      x        x         x
 *     REMEMBER     x                                  x       x
 *     CHECKPOINT                                                  the LSN at which it began
 *
 * Those of envelopes stand in envelope_record.c.
 *
 * IMAGE, REMEMBER and CHECKPOINT make up a checkpoint; an IMAGE stands also for a decided attempt
 * that is given up.
 *
 * Who reads a record without the content knows the message already, or skips it: its picture or its
 * result follows in the checkpoint (checkpoint.c).  So a record leaves out what the ones before it
 * must have told:
 *
 *     ATTEMPT   the targets have no code and no token, for nobody has been asked yet
 *     PRIMARY   they have those of the decision of the same attempt, which is told by DECISION or
 *               by an IMAGE behind it; COMMIT_OK from all has changed neither.  A record in which
 *               another attempt comes before it is refused
 *     OUTCOME   of a closed message none of it is kept
 *     CLOSE     FINALIZE_OK from all, behind the primary record of the same attempt
 *
 * A ROLLBACK may follow a PREPARE that no record has told of, and brings its targets with it.
 *
 * Little endian, no padding.  Where a message stands is one of few stages that do not depend on the
 * states of the round table, so the table may change and old journals stay readable.  Chains are
 * indices into the table that the journal keeps beside the records.  Times are wall time, because
 * the monotonic clock does not survive.
 *
 * Threads: as the engine.
 */
#ifndef TRI_ENGINE_RECORD_H
#define TRI_ENGINE_RECORD_H

#include "engine/dedup.h"
#include "engine/round.h"
#include "engine/targets.h"

/* Where a message stands as far as a restart is concerned (D02). */
enum tri_record_stage {
    TRI_STAGE_UNDECIDED = 0,    /* no decision record of the attempt: it is as good as aborted */
    TRI_STAGE_DECIDED = 1,      /* COMMIT has been, or may have been, sent */
    TRI_STAGE_ROLLING_BACK = 2, /* ROLLBACK likewise */
    TRI_STAGE_RECORDED = 3,     /* the primary record: only FINALIZE is left (A08) */
    TRI_STAGE_ENDED = 4,        /* the result is known: OUTCOME alone */
    TRI_STAGE_BACKING_OFF = 5,  /* an attempt has failed, the next one waits for its time */
    TRI_STAGE_HELD = 6,         /* forced, and the operator has not said his verdict (F06) */
    TRI_STAGE_COUNT = 7,
};

/* What stays the same for a message's life. */
struct tri_record_content {
    struct tri_hash hash;
    uint64_t expires_at_ms;
    uint32_t ttl_ms;
    uint32_t timeout_ms[TRI_PHASE_COUNT];
    uint8_t type;
    uint8_t subtype;
    uint8_t priority;
    uint8_t atomicity;
    uint8_t atomicity_declared;
    uint8_t scope;
    uint8_t scope_declared;
    bool finalize_requested;
    bool is_forced;    /* F06 */
    uint16_t inner_at; /* the inner run shares the end of the canonical bytes */
    uint8_t id_at;
    uint8_t id_bytes;
    struct tri_bytes canonical; /* borrowed from the record */
};

/* Where it stands. */
struct tri_record_standing {
    enum tri_record_stage stage;
    tri_attempt attempt;
    uint16_t retries;
    uint16_t cause;
    uint8_t ack_type;
    uint8_t target_count;
    uint64_t window_end_ms;
    uint64_t refused;
    uint64_t prepared;
    uint64_t applied;
    uint64_t final;
    uint64_t maybe;
    uint64_t affected;
    struct tri_target targets[TRI_TARGETS_MAX]; /* if told; chains as the journal counts them */
};

/* How long a closed message is remembered (R06). */
struct tri_record_window {
    uint64_t forget_at_ms; /* wall time */
    uint32_t rest_ms;      /* what was left until then; more is never left after a restart (L07) */
};

/* What is remembered of it: the entry, without its key and places. */
struct tri_record_result {
    struct tri_hash hash;
    uint64_t done_mask;
    uint64_t refused_mask;
    uint32_t epoch;
    uint16_t attempt_n;
    uint16_t code;
    uint8_t summary;
    uint8_t kind;         /* of the view, below TRI_VIEW_KINDS */
    uint32_t chain_count; /* 0: the targets are not known */
    uint16_t chains[TRI_TARGETS_MAX];
};

/* PRIMARY: its place among the finality records (F01, F08).  A record from before there were any
 * has none. */
struct tri_record_place {
    uint64_t oss_epoch; /* >= 1 */
    uint64_t issued_at_ms;
};

struct tri_record_parts {
    struct tri_key key;
    bool has_content;
    bool has_standing;
    bool has_targets;
    bool has_window;
    bool has_result;
    bool has_place;
    struct tri_record_content content;
    struct tri_record_standing standing;
    struct tri_record_window window;
    struct tri_record_result result;
    struct tri_record_place place;
};

/*
 * tri_record_decode takes a payload apart.
 *
 * parts  out; valid on TRI_OK; borrows the payload.
 * fault  out; on TRI_VIOLATION a static sentence: what is wrong.
 *
 * Every count, length and enum has been checked against its range and against each other.
 */
enum tri_result tri_record_decode(enum tri_record kind, struct tri_bytes payload,
                                  struct tri_record_parts *parts, const char **fault);

#endif
