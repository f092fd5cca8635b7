/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Participant: a chain's side of the protocol (P04..P15, A07, L04..L07).
 *
 * Pure and sans-I/O: one event goes in, a bounded list of effects comes out.
 * The caller owns the memory, the clock, the wire and the ledger.  Frames of
 * the coordinator become events; what the ledger has to do and what has to be
 * answered become effects.  A ledger that answers at once and one that takes
 * minutes look the same: an effect LEDGER, later an event LEDGER with its
 * verdict.
 *
 * Per message a chain is NONE, RESERVED(n), APPLIED(n) or UNDONE(n) (P10); the
 * whole protocol is the table engine/participant_table.def.
 *
 * Effects wait for durability by number: a record effect has an LSN, an answer
 * names the LSN that it must not overtake (after_lsn, 0 = none).  A caller
 * without a journal steps a DURABLE event right after each batch.
 *
 * A journal keeps the bytes that tri_participant_record() makes of each APPEND
 * effect, and gives them to tri_participant_replay() after a crash (D05).
 *
 * While the ledger works on a message, frames of that message are answered if
 * the verdict cannot change the answer, ignored (counted) if the verdict will
 * be the answer, and else one of them, the highest attempt and ROLLBACK before
 * ABORT before PREPARE, waits and is carried out after the verdict.
 *
 * Refusals that are not a frame's own error: PREPARE, ABORT and ROLLBACK of a
 * new message are answered BUSY when the table is full, and nothing of them is
 * kept; ROLLBACK behind FINALIZE, or of a BEST_EFFORT message, is answered
 * ROLLBACK_FENCED.
 *
 * Threads: a participant belongs to one thread at a time.
 */
#ifndef TRICAST_PARTICIPANT_H
#define TRICAST_PARTICIPANT_H

#include "tricast/keys.h"
#include "tricast/message.h"
#include "tricast/order.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __clang__
#pragma clang diagnostic push
/* An event is a struct in a union: every C++ compiler takes that, clang remarks on it. */
#pragma clang diagnostic ignored "-Wnested-anon-types"
#endif

struct tri_participant;

struct tri_participant_options {
    uint32_t entries_max; /* messages remembered at once, 1..2^26 */
    uint32_t instance;    /* P15: durable, raised at every start, >= 1; names the tokens (P05) */
    uint64_t dedup_window_ms;        /* P13: how long a closed message is remembered, 0..2^36 */
    uint64_t reservation_ttl_ms_max; /* a longer TTL in PREPARE is cut to this; 0 = no cut */
    /* The ledger keeps its state by itself, not in the journal beside the participant's records: an
     * operation then waits for a record of the intent, and a recovered one is asked for again with
     * `is_again` (D05). */
    bool ledger_is_apart;
};

enum tri_participant_event_type {
    TRI_PARTICIPANT_PHASE,      /* a PHASE frame arrived */
    TRI_PARTICIPANT_CONTROL,    /* an ABORT or ROLLBACK frame arrived */
    TRI_PARTICIPANT_WELCOME,    /* a connection to the coordinator was welcomed (P14) */
    TRI_PARTICIPANT_LEDGER,     /* the ledger's verdict on an earlier LEDGER effect */
    TRI_PARTICIPANT_DURABLE,    /* every record with an LSN <= lsn is durable */
    TRI_PARTICIPANT_CHECKPOINT, /* append the next part of a checkpoint; begins one if none runs */
    TRI_PARTICIPANT_TICK,       /* time has passed */
};

enum tri_ledger_op {
    TRI_LEDGER_RESERVE,          /* PREPARE: probe the transition and reserve the assets (S04) */
    TRI_LEDGER_APPLY,            /* COMMIT: apply the reserved change */
    TRI_LEDGER_APPLY_UNRESERVED, /* COMMIT of BEST_EFFORT: probe and apply at once (A01) */
    TRI_LEDGER_UNDO,             /* ROLLBACK: restore the state before, then free the reservation */
    TRI_LEDGER_RELEASE,          /* free the reservation; cannot fail and is answered by no event */
    TRI_LEDGER_OP_COUNT,
};

struct tri_participant_event {
    enum tri_participant_event_type type;
    uint64_t now_ns;  /* monotonic; never goes back between steps */
    uint64_t wall_ms; /* Unix time: for expiry, and in records (P13, L07) */
    union {
        struct {
            struct tri_key key; /* of the id, by the caller's keyed hash */
            struct tri_text id;
            enum tri_phase phase;
            tri_attempt attempt;
            enum tri_atomicity atomicity;
            struct tri_hash hash;
            uint64_t expires_at_ms;
            uint32_t reservation_ttl_ms;
            struct tri_bytes tokens; /* encoded array of str, as in the frame */
        } phase;
        struct {
            struct tri_key key;
            struct tri_text id;
            enum tri_control kind;
            tri_attempt attempt;
            struct tri_hash hash; /* ABORT: all zero if the coordinator has no record (P14) */
            uint64_t expires_at_ms;
        } control;
        struct {
            uint32_t entry; /* from the LEDGER effect */
            uint32_t generation;
            enum tri_ledger_op op;
            enum tri_error code; /* NONE = done */
        } ledger;
        struct {
            uint64_t lsn;
        } durable;
    };
};

enum tri_participant_effect_type {
    TRI_PARTICIPANT_EFFECT_LEDGER,      /* carry out `op`; answer with an event unless RELEASE */
    TRI_PARTICIPANT_EFFECT_PHASE_ACK,   /* send PHASE_ACK */
    TRI_PARTICIPANT_EFFECT_CONTROL_ACK, /* send CONTROL_ACK */
    TRI_PARTICIPANT_EFFECT_ASK,         /* send ASK (P14) */
    TRI_PARTICIPANT_EFFECT_APPEND,      /* append the entry's record, it has the LSN `lsn` */
};

/* Kinds of records; their numbers stand in journals and never change their meaning. */
enum tri_participant_record {
    TRI_PARTICIPANT_RECORD_MESSAGE = 0,    /* all that is remembered of a message */
    TRI_PARTICIPANT_RECORD_FORGOTTEN = 1,  /* nothing is remembered of a message any more */
    TRI_PARTICIPANT_RECORD_CHECKPOINT = 2, /* a checkpoint is complete: records before its begin say
                                            * nothing more */
    TRI_PARTICIPANT_RECORD_COUNT = 3,
};
/* The caller's own records in the same journal have kinds from here on. */
#define TRI_PARTICIPANT_RECORD_OWN 16U

/* Pointers are borrowed until the next step.  An answer about a message that has no entry has the
 * entry UINT32_MAX. */
struct tri_participant_effect {
    enum tri_participant_effect_type type;
    uint64_t after_lsn;                 /* answers, LEDGER: hold until durable up to here */
    uint64_t lsn;                       /* APPEND: consecutive, from 1 */
    uint64_t begin_lsn;                 /* APPEND of CHECKPOINT */
    enum tri_participant_record record; /* APPEND; its bytes: tri_participant_record() */
    uint32_t entry;      /* LEDGER: names the message towards the ledger while it is remembered */
    uint32_t generation; /* LEDGER: tells it from messages that had the same entry before */
    enum tri_ledger_op op;
    bool is_again; /* LEDGER: it was asked for before a crash and may have been done: look, and do
                    * only what is missing (D05) */
    struct tri_key key;
    struct tri_text id;
    tri_attempt attempt;
    enum tri_ack_type ack_type;
    enum tri_phase phase;
    enum tri_control control;
    enum tri_error code;
    bool already_applied;
    struct tri_bytes tokens; /* encoded array; PREPARE_OK: one token, else the empty array */
    uint32_t retry_after_ms; /* PHASE_ACK: the dedup window if the table is full, else 0 (P13) */
};

#define TRI_PARTICIPANT_EFFECTS_MAX 16U
struct tri_participant_effects {
    uint32_t count;
    struct tri_participant_effect at[TRI_PARTICIPANT_EFFECTS_MAX];
};

/* Counters, each single-writer; names, units and help in TRI_PARTICIPANT_COUNTERS. */
#define TRI_PARTICIPANT_COUNTERS(X)                                                     \
    X(phases, "frames", "phase frames taken in")                                        \
    X(controls, "frames", "ABORT and ROLLBACK frames taken in")                         \
    X(applied, "messages", "effects applied")                                           \
    X(undone, "messages", "effects rolled back")                                        \
    X(replayed, "answers", "stored answers given again (P06)")                          \
    X(refused, "answers", "refusals given")                                             \
    X(refused_by_tombstone, "answers", "phases of an ended attempt refused (P12)")      \
    X(refused_full, "answers", "new messages refused because the table was full (P13)") \
    X(mismatched, "frames", "known id with other content (P06)")                        \
    X(ignored, "frames", "frames while the ledger still works on the same message")     \
    X(expired, "reservations", "reservations freed by their TTL (L06)")                 \
    X(forgotten, "messages", "entries dropped after their window (P13)")

struct tri_participant_counters {
#define TRI_PARTICIPANT_COUNTER_FIELD(name, unit, help) uint64_t name;
    TRI_PARTICIPANT_COUNTERS(TRI_PARTICIPANT_COUNTER_FIELD)
#undef TRI_PARTICIPANT_COUNTER_FIELD
};

/* tri_participant_footprint returns the bytes of memory needed, aligned to 64; 0 if an option lies
 * outside its range. */
size_t tri_participant_footprint(const struct tri_participant_options *options);

/* tri_participant_init formats `memory` (64-byte aligned, tri_participant_footprint bytes; borrowed
 * for the life of the participant).  There is nothing to undo. */
struct tri_participant *tri_participant_init(void *memory,
                                             const struct tri_participant_options *options);

/*
 * tri_participant_step applies one event.
 *
 * event    in; all pointers borrowed until the call returns.
 * effects  out; reset first.  Carry them out in order.
 *
 * Returns TRI_OK, or TRI_STALE when the input changed nothing (it may still be answered).  A
 * verdict that nobody waits for is TRI_STALE; so is one that is given twice. Never allocates; cost
 * O(1) but for WELCOME and TICK, which continue over several steps: step TICK again while
 * tri_participant_deadline_ns() <= now.
 */
enum tri_result tri_participant_step(struct tri_participant *participant,
                                     const struct tri_participant_event *event,
                                     struct tri_participant_effects *effects);

/* Two steps that bring what an event of `key` will need into the cache: first the place of the key,
 * some events ahead; then, when that has arrived, what is remembered of the message.  The second
 * returns the entry that LEDGER effects will name, UINT32_MAX if nothing is remembered; it may be
 * another message's. */
void tri_participant_prefetch(const struct tri_participant *participant, struct tri_key key);
uint32_t tri_participant_prefetch_entry(const struct tri_participant *participant,
                                        struct tri_key key);

/* When TICK is due next, monotonic; 0 = at once, TRI_NEVER = no timer. */
uint64_t tri_participant_deadline_ns(const struct tri_participant *participant);

const struct tri_participant_counters *
tri_participant_counters(const struct tri_participant *participant);

/*
 * ---- Records: across restarts ----
 *
 * A participant that starts again with a raised instance takes its records back and goes on: the
 * same frames get the same answers, tokens included (P06).
 *
 *     tri_participant_init
 *     tri_participant_replay   each record, in the order of (instance, LSN)
 *     tri_participant_resume   until it returns TRI_OK; carry out its effects each time
 *     tri_participant_step     LSNs begin at 1 again
 *
 * A ledger in the same journal adds what it has changed to the payload of the record that follows
 * its work in the list of effects: effect, applied mark and answer are then one record (D05).
 */

/* The longest payload of a record. */
#define TRI_PARTICIPANT_RECORD_BYTES_MAX 256U

/*
 * tri_participant_record writes the payload of an APPEND effect of the last step.
 *
 * to  out; TRI_PARTICIPANT_RECORD_BYTES_MAX bytes of room.
 *
 * Returns the bytes written.  A record says how things are, never what has changed: the last one of
 * a message wins, and two of one step are equal.
 */
uint32_t tri_participant_record(const struct tri_participant *participant,
                                const struct tri_participant_effect *append,
                                uint8_t to[TRI_PARTICIPANT_RECORD_BYTES_MAX]);

/*
 * tri_participant_replay takes one record back, between tri_participant_init() and
 * tri_participant_resume().
 *
 * payload  in; borrowed until the call returns.
 * now_ns   monotonic, wall_ms Unix time: what is left of a reservation is its end on the wall clock
 *          less wall_ms, never more than was left when the record was written (L07).
 * entry    out; MESSAGE: what LEDGER effects will call the message, and FORGOTTEN: have called it.
 *          Else UINT32_MAX.
 * fault    out; a static sentence unless the result is TRI_OK or TRI_STALE.
 *
 * Returns TRI_OK; TRI_STALE: the forgotten message is not known, nothing changed; TRI_FULL:
 * entries_max is smaller than what was kept, raise it; TRI_VIOLATION: the payload is no record, or
 * one of an instance that is not below this one's.
 */
enum tri_result tri_participant_replay(struct tri_participant *participant,
                                       enum tri_participant_record kind, struct tri_bytes payload,
                                       uint64_t now_ns, uint64_t wall_ms, uint32_t *entry,
                                       const char **fault);

/*
 * tri_participant_resume ends the replay, over one or more calls.
 *
 * Work that was at the ledger is asked for again.  A ledger apart is also told to release what is
 * not held, since a crash may have come before that was carried out.
 *
 * effects  out; reset first.  Carry them out in order; verdicts may be stepped at once.
 *
 * Returns TRI_OK, or TRI_MORE: call again; until then no event but verdicts may be stepped.
 */
enum tri_result tri_participant_resume(struct tri_participant *participant, uint64_t now_ns,
                                       uint64_t wall_ms, struct tri_participant_effects *effects);

/* The LSN at which the running checkpoint began, 0 = none runs.  Step CHECKPOINT until it is 0
 * again: then every record before the begin of the last one may be dropped, as soon as its
 * CHECKPOINT record is durable.  That record comes alone, in a step behind all others, so that the
 * caller's own can be appended before it. */
uint64_t tri_participant_checkpoint_lsn(const struct tri_participant *participant);

/* tri_participant_take_lsn takes the next LSN for a record of the caller's own. */
uint64_t tri_participant_take_lsn(struct tri_participant *participant);

/* What the chain is for a message (P10). */
enum tri_participant_state { /* the numbers stand in journals */
                             TRI_PARTICIPANT_NONE = 0,
                             TRI_PARTICIPANT_RESERVING = 1, /* PREPARE is at the ledger */
                             TRI_PARTICIPANT_RESERVED = 2,
                             TRI_PARTICIPANT_APPLYING = 3, /* COMMIT is at the ledger: the
                                                              reservation does not expire (L05) */
                             TRI_PARTICIPANT_APPLIED = 4,
                             TRI_PARTICIPANT_UNDOING = 5, /* ROLLBACK is at the ledger */
                             TRI_PARTICIPANT_UNDONE = 6,
                             TRI_PARTICIPANT_STATE_COUNT = 7,
};
/* The state of the message `key`, and its attempt (0 if none). */
enum tri_participant_state tri_participant_state(const struct tri_participant *participant,
                                                 struct tri_key key, tri_attempt *attempt);
/* The id of the message `key`, empty if nothing is remembered of it.  Borrowed until the next step.
 */
struct tri_text tri_participant_id(const struct tri_participant *participant, struct tri_key key);

/*
 * ---- Behind a chain handler (tricast.h) ----
 *
 * The orders of a message come on the thread of one shard, so a chain keeps one participant per
 * shard and needs no lock for it; its ledger is shared by all of them.  Each participant has an
 * `instance` of its own, so that no two give the same token.
 */

/* tri_participant_from_order makes the event of an order; it borrows what the order borrows. */
void tri_participant_from_order(const struct tri_order *order, struct tri_participant_event *event);

/* tri_participant_to_answer makes the answer of a PHASE_ACK or CONTROL_ACK effect: what the handler
 * returns, or what tri_handle_answer() takes when the ledger's verdict came later. */
void tri_participant_to_answer(const struct tri_participant_effect *effect,
                               struct tri_answer *answer);

/* tri_participant_to_ticket names the order that a PHASE_ACK or CONTROL_ACK effect answers, or the
 * reservation of an ASK; `chain` is this chain's index in the node's options. */
void tri_participant_to_ticket(const struct tri_participant_effect *effect, uint16_t chain,
                               struct tri_ticket *ticket);

#ifdef __clang__
#pragma clang diagnostic pop
#endif
#ifdef __cplusplus
}
#endif

#endif
