/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A round: one message as its coordinator sees it, and the table that drives it.
 *
 * The table (round_table.def) knows states, events and actions, and nothing else.  What an event
 * means for the counters and masks of a round is decided before it (verdict.c); what an action does
 * is decided behind it (act.c).
 *
 * Threads: a round belongs to the engine that holds it.
 */
#ifndef TRI_ENGINE_ROUND_H
#define TRI_ENGINE_ROUND_H

#include <string.h>

#include "engine/deadlines.h"
#include "engine/dedup.h"
#include "engine/limits.h"
#include "engine/tally.h"
#include "tricast_engine.h"

/* State, the name that views show, the phase that is open in it, the frames that it resends. */
#define TRI_ROUND_STATES(X)                             \
    X(B_COMMITTING, "COMMITTING", COMMIT, COMMIT)       \
    X(BF_COMMITTING, "COMMITTING", COMMIT, COMMIT)      \
    X(BF_FINALIZING, "FINALIZING", FINALIZE, FINALIZE)  \
    X(G_HELD, "HELD", NONE, NONE)                       \
    X(G_PREPARING, "PREPARING", PREPARE, PREPARE)       \
    X(G_COMMITTING, "COMMITTING", COMMIT, COMMIT)       \
    X(G_RECORDING, "RECORDING", FINALIZE, FINALIZE)     \
    X(G_FINALIZING, "FINALIZING", FINALIZE, FINALIZE)   \
    X(G_BACKOFF, "BACKOFF", NONE, NONE)                 \
    X(A_HELD, "HELD", NONE, NONE)                       \
    X(A_PREPARING, "PREPARING", PREPARE, PREPARE)       \
    X(A_COMMITTING, "COMMITTING", COMMIT, COMMIT)       \
    X(A_ROLLING_BACK, "ROLLING_BACK", NONE, ROLLBACK)   \
    X(A_RECORDING, "RECORDING", FINALIZE, FINALIZE)     \
    X(A_FINALIZING, "FINALIZING", FINALIZE, FINALIZE)   \
    X(A_BACKOFF, "BACKOFF", NONE, NONE)                 \
    X(CLOSING, "CLOSING", NONE, NONE)                   \
    X(R_PREPARING, "REDELIVERING", PREPARE, PREPARE)    \
    X(R_COMMITTING, "REDELIVERING", COMMIT, COMMIT)     \
    X(R_FINALIZING, "REDELIVERING", FINALIZE, FINALIZE) \
    X(STALLED, "STALLED", NONE, NONE)

enum tri_round_state {
#define TRI_ROUND_STATE_ENUM(name, shown, phase, frames) TRI_ROUND_##name,
    TRI_ROUND_STATES(TRI_ROUND_STATE_ENUM)
#undef TRI_ROUND_STATE_ENUM
        TRI_ROUND_STATE_COUNT,
    TRI_ROUND_CLOSED = TRI_ROUND_STATE_COUNT, /* not in the table: the slot is given back */
};

enum tri_round_event {
    TRI_ROUND_RELEASED,
    TRI_ROUND_ALL_OK,
    TRI_ROUND_PARTIAL,
    TRI_ROUND_RETRY,
    TRI_ROUND_SPENT,
    TRI_ROUND_REFUSED,
    TRI_ROUND_MAYBE_RETRY,
    TRI_ROUND_MAYBE_SPENT,
    TRI_ROUND_MAYBE_REFUSED,
    TRI_ROUND_LATE,
    TRI_ROUND_DUE,
    TRI_ROUND_STUCK,
    TRI_ROUND_BROKEN,
    TRI_ROUND_EVENT_COUNT,
};

/* What follows from a cell; act.c has a function for each. */
#define TRI_ROUND_ACTIONS(X)                                                                      \
    X(NOTHING)            /* the table has said it all */                                         \
    X(ARM)                /* the frames leave: their timer runs from now (P08) */                 \
    X(ARM_RETRY)          /* arm the message timer (R03) */                                       \
    X(BEGIN)              /* attempt record, the first PREPARE behind it (F06) */                 \
    X(DECIDE)             /* decision record, COMMIT behind it (D02) */                           \
    X(RECORD)             /* primary record, FINALIZE and notice behind it (A08) */               \
    X(LIGHT)              /* BEST_EFFORT's one FINALIZE (A01) */                                  \
    X(ABORT)              /* ABORT to every target, then ARM_RETRY (P14, A02) */                  \
    X(GIVE_UP)            /* the same behind a decision, and a record that it is over (D02) */    \
    X(REATTEMPT)          /* attempt record, PREPARE of the next attempt behind it (R03) */       \
    X(RESEND)             /* the state's frames again to who has not answered OK (P09) */         \
    X(ROLLBACK)           /* rollback record, ROLLBACK and ABORT behind it (A06) */               \
    X(DIVERGE)            /* ABORT to who did not apply; FAILED, RECONCILIATION_REQUIRED (A03) */ \
    X(ABORT_END_SPENT)    /* ABORT; FAILED, MAX_RETRIES_EXCEEDED */                               \
    X(ABORT_END_REJECTED) /* ABORT; REJECTED with the refusal (A12) */                            \
    X(ABORT_END_REFUSED)  /* ABORT; FAILED with the refusal (A12) */                              \
    X(ABORT_END_ROLLED_BACK) /* ABORT; FAILED, ROLLED_BACK: nobody had applied (A12) */           \
    X(END_UNDEFENDED)        /* REJECTED, SELF_DEFENSE_FAILED (F06) */                            \
    X(END_EXPIRED)           /* REJECTED, EXPIRED (R05, C04) */                                   \
    X(END_PROCESSED)         /* PROCESSED (A01) */                                                \
    X(END_NONE)              /* FAILED, NO_CHAIN_APPLIED (A01) */                                 \
    X(END_SPENT)             /* FAILED, MAX_RETRIES_EXCEEDED */                                   \
    X(END_ROLLED_BACK)       /* FAILED, ROLLED_BACK (A12) */                                      \
    X(END_INCOMPLETE)        /* FAILED, ROLLBACK_INCOMPLETE (A07) */                              \
    X(END_LACKING)           /* PROCESSED, FINALIZE_INCOMPLETE (A09) */                           \
    X(END_ESCALATED)         /* the same, and the operator is told (A09) */                       \
    X(DELIVER)               /* PROCESSED; the primary record has said it (D01) */                \
    X(FORWARD)               /* the next frames of a redelivery; no record (F04) */               \
    X(FORWARD_DONE)          /* PROCESSED to who asked for it */                                  \
    X(FORWARD_FAILED)        /* ABORT of fresh reservations; FAILED to who asked for it */

enum tri_round_action {
#define TRI_ROUND_ACTION_ENUM(name) TRI_ROUND_DO_##name,
    TRI_ROUND_ACTIONS(TRI_ROUND_ACTION_ENUM)
#undef TRI_ROUND_ACTION_ENUM
        TRI_ROUND_ACTION_COUNT,
};

struct tri_round_cell {
    uint8_t is_legal; /* 0: NEVER */
    uint8_t next;     /* enum tri_round_state */
    uint8_t action;   /* enum tri_round_action */
};

/* tri_round_cell looks one cell up. */
struct tri_round_cell tri_round_cell(enum tri_round_state state, enum tri_round_event event);
const char *tri_round_state_name(enum tri_round_state state);
/* The phase whose answers count in `state`; TRI_PHASE_COUNT if none does. */
enum tri_phase tri_round_phase(enum tri_round_state state);
/* The frames that `state` sends; TRI_SEND_COUNT if none. */
enum tri_send tri_round_frames(enum tri_round_state state);

/* The state a new message starts in. */
enum tri_round_state tri_round_start(enum tri_atomicity atomicity, bool finalize_requested);
/* The state in which a forced one waits for the operator (F06); BEST_EFFORT has none. */
enum tri_round_state tri_round_held(enum tri_atomicity atomicity);

#define TRI_ROUND_NONE TRI_NONE_INDEX

/* What the one timer of a round is for; two counters, two events, never one path (P09). */
enum tri_round_timer {
    TRI_TIMER_PHASE,   /* the open phase fails */
    TRI_TIMER_MESSAGE, /* redelivery, or FINALIZE again */
    TRI_TIMER_WINDOW,  /* ROLLBACK again, or the end of its window */
};

/*
 * All masks hold one bit per target, in the order of the stored targets.
 *
 * What every answer looks at stands in the first two cache lines.  What can be derived is not
 * stored: see the functions below.
 */
struct tri_round {
    struct tri_deadline timer; /* the one timer: of the phase, of the message, or of the rollback */
    struct tri_key key;
    tri_attempt attempt;
    struct tri_target *targets; /* in the body */
    uint8_t state;
    bool is_released; /* answers count and the timer runs */
    uint8_t target_count;
    uint8_t id_at; /* offset of the id within the canonical bytes */
    uint8_t id_bytes;
    uint8_t timer_kind;
    uint8_t state_shown; /* the state before, until the record is durable (D01) */
    uint8_t ack_type;    /* what the clients were told last; CLOSING: the result */

    struct tri_tally tally; /* of the open phase, or of the rollback */
    uint64_t waiting;       /* counted in the chains' waiting numbers (R08) */
    uint64_t unsent;   /* the state's frame has not been handed out: the chain was down (P15) */
    uint64_t maybe;    /* A11: applied it, or may have */
    uint64_t prepared; /* PREPARE_OK in this attempt */
    uint64_t refused;  /* PHASE_REJECT in this attempt */

    uint64_t applied;     /* COMMIT_OK in this attempt */
    uint64_t final;       /* FINALIZE_OK */
    uint64_t affected;    /* who is to be rolled back (A06) */
    uint64_t client;      /* the first waiter, 0 = none */
    uint64_t accept_lsn;  /* the message is visible from here on (D01) */
    uint64_t release_lsn; /* what the state waits for, or waited */
    uint64_t sent_ns;     /* when the state's frames were released */
    union {
        /* L07: of this attempt, counted from the first send of PREPARE; asked before COMMIT */
        uint64_t reservation_end_ns;
        uint64_t window_end_ns;     /* A07, monotonic: of the rollback, once released */
        tri_attempt attempt_before; /* of a redelivery, until it is released: what views show */
    };

    uint64_t expires_at_ms; /* P13 */
    /* Wall time: A07, as written into ROLLBACK; HELD: the end of the message's TTL. */
    uint64_t window_end_ms;
    uint32_t body; /* arena handle: the targets, the content hash, the canonical bytes */
    uint32_t canonical_bytes;
    uint32_t await_next; /* in the queue of rounds that wait for a record */
    uint32_t waiters;    /* index of the next waiter, or TRI_ROUND_NONE */
    uint32_t ttl_ms;     /* of reservations (L01, L07) */
    uint32_t timeout_ms[TRI_PHASE_COUNT];
    uint16_t inner_at; /* offset within the canonical bytes, whose end it shares */
    uint16_t retries;  /* redeliveries so far (R03) */
    uint16_t resends;  /* of FINALIZE (A09) */
    uint16_t target_set;
    uint16_t cause;     /* enum tri_error: the refusal that decides, or why it failed */
    uint16_t submitter; /* whose share it holds (R08); 0 = nobody's */
    uint8_t waiter_count : 4;
    bool is_forced : 1; /* F06 */
    uint8_t type : 4;
    uint8_t subtype : 2;
    bool is_orphan : 1;  /* a restart ended the last attempt: the next one uses up no retry */
    bool was_orphan : 1; /* with attempt_before */
    uint8_t priority : 2;
    uint8_t atomicity : 2;
    uint8_t atomicity_declared : 2;
    uint8_t scope : 1;
    uint8_t scope_declared : 1;
};

static_assert(sizeof(struct tri_round) == 256, "1 M open rounds are counted on it");
static_assert(offsetof(struct tri_round, tally) == 64 &&
                  offsetof(struct tri_round, applied) == 128 &&
                  offsetof(struct tri_round, expires_at_ms) == 192,
              "what is used together lies in one line");
static_assert(TRI_TYPE_COUNT <= 16 && TRI_SUBTYPE_COUNT <= 4 && TRI_PRIORITY_COUNT <= 4 &&
                  TRI_ATOMICITY_COUNT <= 4 && TRI_SCOPE_COUNT <= 2 && TRI_WAITERS_MAX <= 16,
              "they fit into their bits");

/* The bytes of a body: the targets, the content hash (R02), the canonical bytes. */
static inline uint32_t tri_round_body_bytes(uint32_t target_count, uint32_t canonical_bytes)
{
    return (uint32_t)(target_count * sizeof(struct tri_target) + sizeof(struct tri_hash)) +
           canonical_bytes;
}
static inline struct tri_hash *tri_round_hash(const struct tri_round *round)
{
    return (struct tri_hash *)(void *)(round->targets + round->target_count);
}
static inline const uint8_t *tri_round_canonical(const struct tri_round *round)
{
    return (const uint8_t *)(tri_round_hash(round) + 1);
}
static inline bool tri_round_is_named(const struct tri_round *round, struct tri_text id)
{
    return round->id_bytes == id.bytes &&
           memcmp(tri_round_canonical(round) + round->id_at, id.at, id.bytes) == 0;
}
/* tri_round_fill writes what stands behind the targets; their number is set. */
static inline void tri_round_fill(struct tri_round *round, const struct tri_hash *hash,
                                  struct tri_bytes canonical)
{
    assert(round->target_count >= 1);
    round->canonical_bytes = canonical.bytes;
    *tri_round_hash(round) = *hash;
    memcpy(tri_round_hash(round) + 1, canonical.at, canonical.bytes);
}

static inline uint64_t tri_round_all(const struct tri_round *round)
{
    assert(round->target_count >= 1);
    return UINT64_MAX >> (TRI_TARGETS_MAX - round->target_count);
}
static inline bool tri_round_is_held(const struct tri_round *round)
{
    return round->state == TRI_ROUND_G_HELD || round->state == TRI_ROUND_A_HELD;
}
/* A redelivery (F04): it has no record, no waiters, and no place in the dedup table. */
static inline bool tri_round_is_redelivery(const struct tri_round *round)
{
    return round->state >= TRI_ROUND_R_PREPARING && round->state <= TRI_ROUND_R_FINALIZING;
}
/* What it holds of the dedup table. */
static inline struct tri_dedup_hold tri_round_hold(const struct tri_round *round)
{
    return (struct tri_dedup_hold){tri_dedup_places(round->target_count), round->submitter};
}
/* Who has been rolled back: of the affected chains those that cannot have applied any more (A11).
 */
static inline uint64_t tri_round_undone(const struct tri_round *round)
{
    return round->affected & ~round->maybe;
}
/* How many targets a mask holds; a loop, so that no helper of a compiler's library is needed. */
static inline uint32_t tri_round_count(uint64_t targets)
{
    uint32_t count = 0;

    for (; targets != 0; targets &= targets - 1) {
        count++;
    }
    return count;
}

#endif
