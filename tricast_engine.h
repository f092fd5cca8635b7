/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engine: the coordinator of all messages of one shard, for a program that
 * has its own event loop.
 *
 * Pure and sans-I/O: tri_engine_step() takes one event and gives back a
 * bounded list of effects, which the caller carries out in order.  The engine
 * never allocates, reads a clock, blocks or calls back; the same events always
 * give the same effects.  The next deadline is a query.
 *
 * Effects wait for durability by number.  A record has an LSN (APPEND); an
 * effect names the LSN that it must not overtake (after_lsn, 0 = none).  The
 * caller holds it until its journal has made every record <= after_lsn durable,
 * and steps JOURNAL_DURABLE before it lets such effects go.  A caller without a
 * journal steps JOURNAL_DURABLE as soon as it likes.
 *
 * The states of a message are the table engine/round_table.def.
 *
 * Threads: an engine belongs to one thread at a time.
 */
#ifndef TRICAST_ENGINE_H
#define TRICAST_ENGINE_H

#include "tricast.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tri_engine;

enum tri_event_type {
    TRI_EVENT_SUBMIT,      /* a client submitted a message */
    TRI_EVENT_PHASE_ACK,   /* a chain answered a phase */
    TRI_EVENT_CONTROL_ACK, /* a chain answered ABORT or ROLLBACK */
    TRI_EVENT_ASK,         /* a chain asks about a reservation (P14) */
    TRI_EVENT_CHAIN_UP,    /* frames can be sent to a chain */
    TRI_EVENT_CHAIN_DOWN,  /* frames cannot be sent to a chain; only ABORT still is: pass it on if
                            * there is a connection, drop it if not */
    TRI_EVENT_JOURNAL_DURABLE, /* every record <= lsn is durable */
    TRI_EVENT_JOURNAL_FAILED,  /* records >= lsn will never be known to be durable (D07) */
    TRI_EVENT_DRAIN,           /* take no new messages, finish the open ones */
    TRI_EVENT_TICK,            /* time has passed */
};

struct tri_event {
    enum tri_event_type type;
    uint64_t now_ns;  /* monotonic; never goes back between steps */
    uint64_t wall_ms; /* Unix time: dates and ages only */
    union {
        struct {
            struct tri_key key;
            struct tri_hash hash;
            const struct tri_message *message;
            uint64_t client; /* who is told; the caller's handle, not 0 */
        } submit;
        struct {
            struct tri_key key;
            struct tri_text id;
            uint16_t chain; /* index of the chain that the peer has proved to be */
            enum tri_phase phase;
            tri_attempt attempt;
            enum tri_ack_type type; /* 4..7; the caller refuses terminal ones (P04) */
            enum tri_error code;
            bool already_applied;
            struct tri_bytes tokens; /* encoded array */
        } phase_ack;
        struct {
            struct tri_key key;
            struct tri_text id;
            uint16_t chain;
            enum tri_control kind;
            tri_attempt attempt;
            enum tri_ack_type type; /* 1..3 */
            enum tri_error code;
        } control_ack;
        struct {
            struct tri_key key;
            struct tri_text id;
            uint16_t chain;
            tri_attempt attempt;
        } ask;
        struct {
            uint16_t chain;
            bool is_fresh; /* a new connection: frames sent before may be lost (P15).  Else the way
                            * is only free again after CHAIN_DOWN: what was sent before is not lost.
                            */
        } chain;
        struct {
            uint64_t lsn;
        } journal;
    };
};

/* One target of a message as stored by the engine. */
struct tri_target {
    uint16_t chain;          /* index */
    uint16_t code;           /* enum tri_error of its last refusal or failure in this attempt */
    uint8_t token_set_bytes; /* 0 = holds no token */
    uint8_t tokens[TRI_TOKENS_BYTES_MAX + 1]; /* encoded array (P05) */
};

/* What an effect needs of a message.  Borrowed until the next step; of a message that the engine
 * does not store (a refused submit, a stray ABORT) there is only the id, and that is the event's.
 */
struct tri_round_view {
    struct tri_key key;
    struct tri_hash hash;
    struct tri_text id;
    struct tri_bytes canonical; /* as submitted */
    struct tri_bytes inner;
    const struct tri_target *targets;
    uint32_t target_count;
    tri_attempt attempt;
    uint64_t expires_at_ms;                /* P13 */
    uint32_t reservation_ttl_ms;           /* L07 */
    uint64_t rollback_deadline_ms;         /* wall; ROLLBACK only */
    enum tri_atomicity atomicity_declared; /* A10: both are kept */
    enum tri_atomicity atomicity;
    enum tri_scope scope_declared;
    enum tri_scope scope;
    uint32_t map_version;
    uint32_t retries;     /* redeliveries so far */
    const char *state;    /* the table's name of the state */
    enum tri_error cause; /* why the attempt failed, or NONE */
    /* One bit per target; a target that is in none is open. */
    uint64_t prepared_mask; /* holds a reservation of this attempt */
    uint64_t applied_mask;  /* COMMIT_OK in this attempt */
    uint64_t final_mask;    /* FINALIZE_OK */
    uint64_t refused_mask;  /* PHASE_REJECT in this attempt */
    uint64_t unknown_mask;  /* may have applied (P11, A11), without COMMIT_OK */
    uint64_t undone_mask;   /* rolled back */
};

enum tri_effect_type {
    TRI_EFFECT_SEND,   /* send a frame to some targets */
    TRI_EFFECT_NOTIFY, /* tell a client */
    TRI_EFFECT_APPEND, /* append a record */
};

enum tri_notify {
    TRI_NOTIFY_ACK,    /* ACK frame: ack_type, code */
    TRI_NOTIFY_NOTICE, /* primary finality (F01) */
};

enum tri_record {
    TRI_RECORD_ACCEPT,   /* the message is ours (D01) */
    TRI_RECORD_ATTEMPT,  /* a redelivery begins */
    TRI_RECORD_DECISION, /* COMMIT, with the tokens (D02) */
    TRI_RECORD_ROLLBACK, /* who is rolled back, and until when */
    TRI_RECORD_PRIMARY,  /* primary finality: the point of no return (A08) */
    TRI_RECORD_OUTCOME,  /* how it ended */
    TRI_RECORD_COUNT,
};

struct tri_effect {
    enum tri_effect_type type;
    uint64_t after_lsn;
    union {
        struct {
            enum tri_send kind;
            uint64_t targets; /* mask */
            /* ABORT of an attempt that is not open (P14): to `chain` alone, round.targets is NULL.
             * It answers the event and goes back where that came from, even if the chain is away
             * as far as the engine has been told. */
            bool is_stray;
            uint16_t chain;
            tri_attempt attempt;
            uint64_t affected; /* ROLLBACK: affectedChains as a mask */
        } send;
        struct {
            enum tri_notify kind;
            uint64_t client;
            enum tri_ack_type ack_type;
            enum tri_error code;
            bool is_duplicate;
            bool has_targets; /* false: the targets are not known any more or never were */
        } notify;
        struct {
            enum tri_record kind;
            uint64_t lsn; /* consecutive, from 1 */
        } append;
    };
    struct tri_round_view round;
};

#define TRI_EFFECTS_MAX 24U
struct tri_effects {
    uint32_t count;
    struct tri_effect at[TRI_EFFECTS_MAX];
};

/* Counters: field, unit, help.  Single-writer. */
#define TRI_ENGINE_COUNTERS(X)                                                                   \
    X(submits, "messages", "SUBMIT events")                                                      \
    X(accepted, "messages", "messages accepted")                                                 \
    X(refused, "messages", "submits refused at admission")                                       \
    X(refused_busy, "messages", "submits refused because a pool was full (R08)")                 \
    X(refused_chain_share, "messages", "submits refused by the share of a waiting chain (R08)")  \
    X(refused_stale, "messages", "submits refused by age or clock (R05)")                        \
    X(duplicates, "messages", "submits of a known id with the same content (R01)")               \
    X(waiters_replaced, "clients", "waiting clients replaced by newer ones of the same message") \
    X(equivocations, "messages", "submits of a known id with other content (R02)")               \
    X(attempts, "attempts", "attempts begun")                                                    \
    X(redeliveries, "attempts", "attempts begun after an earlier one failed (R03)")              \
    X(phase_timeouts, "phases", "phases that ended by their timeout (P09)")                      \
    X(resends, "frames", "frames sent again in the same attempt (P09, P15)")                     \
    X(decisions, "messages", "decision records")                                                 \
    X(fences, "attempts", "attempts aborted because a reservation ran out too early (L04)")      \
    X(primary_records, "messages", "primary finality records")                                   \
    X(rollbacks, "messages", "rollbacks begun (A06)")                                            \
    X(rollbacks_incomplete, "messages", "rollbacks that did not end in their window (A07)")      \
    X(processed, "messages", "messages that ended PROCESSED")                                    \
    X(failed, "messages", "messages that ended FAILED")                                          \
    X(rejected, "messages", "accepted messages that ended REJECTED")                             \
    X(reconciliations, "messages", "messages that ended RECONCILIATION_REQUIRED (A03)")          \
    X(escalations, "messages", "messages handed to the operator (A09, A12)")                     \
    X(acks, "answers", "phase answers taken in")                                                 \
    X(acks_counted, "answers", "phase answers that counted (P07)")                               \
    X(acks_repeated, "answers", "phase answers given before (P07)")                              \
    X(acks_late, "answers", "phase answers for an attempt or phase that is not open (P07)")      \
    X(acks_stranger, "answers", "phase answers of a chain that is no target (P07)")              \
    X(acks_invalid, "answers", "phase answers that do not fit their phase (P04)")                \
    X(commits_unknown, "answers", "COMMITs answered NO_RESERVATION (P13)")                       \
    X(strays_aborted, "answers", "PREPARE_OK or ASK answered with ABORT (P14)")                  \
    X(control_acks, "answers", "answers to ABORT and ROLLBACK")                                  \
    X(asks, "frames", "questions about a reservation (P14)")

struct tri_engine_counters {
#define TRI_ENGINE_COUNTER_FIELD(name, unit, help) uint64_t name;
    TRI_ENGINE_COUNTERS(TRI_ENGINE_COUNTER_FIELD)
#undef TRI_ENGINE_COUNTER_FIELD
};

/*
 * tri_engine_check says whether the options can be used.
 *
 * Returns NULL, or a static sentence that names the field and the rule that it breaks (L01, R06, or
 * a range).  Correct the options and call again.
 */
const char *tri_engine_check(const struct tri_engine_options *options);

/* tri_engine_footprint returns the bytes of memory needed (64-byte aligned); 0 if
 * tri_engine_check() would complain. */
size_t tri_engine_footprint(const struct tri_engine_options *options);

/* tri_engine_init formats `memory`, borrowed for the engine's life.  The options must be valid;
 * their arrays stay borrowed, the struct itself does not. */
struct tri_engine *tri_engine_init(void *memory, const struct tri_engine_options *options);

/*
 * tri_engine_step applies one event.
 *
 * event    in; its pointers are borrowed until the call returns.
 * effects  out; reset first; carried out by the caller in order, before the next step.
 *
 * Returns TRI_OK; TRI_STALE if the input was late or repeated and changed nothing (counted);
 * TRI_VIOLATION if an answer does not fit its phase (counted; refuse it with FIELD_OUT_OF_RANGE).
 * Effects may be given with every result.  A refused submit is not an error: it gives a NOTIFY.
 * Cost: O(targets); scans after CHAIN_UP are spread over TICKs (see tri_engine_deadline_ns).
 */
enum tri_result tri_engine_step(struct tri_engine *engine, const struct tri_event *event,
                                struct tri_effects *effects);

/* When the next TICK is due, monotonic; 0 = at once (work is left over), TRI_NEVER = no timer runs.
 * Step TICK until it lies ahead. */
uint64_t tri_engine_deadline_ns(const struct tri_engine *engine);

/* tri_engine_prefetch brings the entry of `key` into the cache; call it some events ahead. */
void tri_engine_prefetch(const struct tri_engine *engine, struct tri_key key);

/* What is known of a message: an open one as it stands, or the result of a closed one. */
struct tri_engine_status {
    bool is_open;
    enum tri_ack_type ack_type; /* closed: PROCESSED, FAILED or REJECTED */
    enum tri_error code;
    bool has_targets;
    struct tri_round_view round; /* targets of a closed message hold no tokens */
};

/* tri_engine_status fills *status; TRI_GONE if the id is not known (any more).  Borrowed until the
 * next step or status.  Shows only what is durable (D01). */
enum tri_result tri_engine_status(struct tri_engine *engine, struct tri_key key, struct tri_text id,
                                  uint64_t now_ns, struct tri_engine_status *status);

/* Open messages now. */
uint32_t tri_engine_open_count(const struct tri_engine *engine);

const struct tri_engine_counters *tri_engine_counters(const struct tri_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
