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

#include "tricast/keys.h"
#include "tricast/message.h"
#include "tricast/options.h"
#include "tricast/order.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __clang__
#pragma clang diagnostic push
/* An event is a struct in a union: every C++ compiler takes that, clang remarks on it. */
#pragma clang diagnostic ignored "-Wnested-anon-types"
#endif

struct tri_engine;

enum tri_event_type {
    TRI_EVENT_SUBMIT,      /* a client submitted a message */
    TRI_EVENT_VERDICT,     /* the operator says whether a held message goes on (F06) */
    TRI_EVENT_PHASE_ACK,   /* a chain answered a phase */
    TRI_EVENT_CONTROL_ACK, /* a chain answered ABORT or ROLLBACK */
    TRI_EVENT_ASK,         /* a chain asks about a reservation (P14) */
    TRI_EVENT_CHAIN_UP,    /* frames can be sent to a chain */
    TRI_EVENT_CHAIN_DOWN,  /* frames cannot be sent to a chain; only ABORT still is: pass it on if
                            * there is a connection, drop it if not */
    TRI_EVENT_JOURNAL_DURABLE, /* every record <= lsn is durable */
    TRI_EVENT_JOURNAL_FAILED,  /* records >= lsn will never be known to be durable (D07) */
    TRI_EVENT_REDELIVER,       /* drive a message with a primary record once more (F04) */
    TRI_EVENT_ENVELOPE,        /* a client submitted an envelope (F07) */
    TRI_EVENT_DELIVERY,        /* what became of a DELIVER effect */
    TRI_EVENT_CHECKPOINT,      /* append the next part of a checkpoint; begins one if none runs */
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
            /* Whose share it takes (R08), 1..submitters_max; above that, or 0: nobody's. */
            uint32_t submitter;
            /* F06: age and clock are not asked (R05).  The message is accepted and held, nothing of
             * it is sent, until the operator's VERDICT or the end of its TTL.  The caller lets
             * operators alone do it. */
            bool is_forced;
        } submit;
        /*
         * What the self-defense check of a forced message says.  Passed, it goes on like any other;
         * not passed, it ends REJECTED with SELF_DEFENSE_FAILED.
         *
         * The step returns TRI_OK and tells `client` with NOTIFY STATUS; also if the same has been
         * said before, as far as that is known (a closed message does not keep that it had passed).
         * TRI_GONE: the id is not known (UNKNOWN_MESSAGE).  TRI_STALE: it is not held, or the
         * journal has failed (NOT_ALLOWED).
         */
        struct {
            struct tri_key key;
            struct tri_text id;
            uint64_t client; /* who is told, not 0 */
            bool has_passed;
        } verdict;
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
        /*
         * A message that has a primary record and is closed, or forgotten: PREPARE, COMMIT and
         * FINALIZE once more, only forward (A08).  No record is written, so a restart forgets it:
         * ask again.  What is remembered of the message stays as it is, and a duplicate submit is
         * answered with it all along (R01).
         *
         * The step returns TRI_STALE, and nothing is told, if the message is open here, is being
         * redelivered already, has ended without a primary record, or has used `attempt` already.
         * Else `client` is told once, with NOTIFY ACK:
         *   REJECTED  not begun: BUSY (also: TRI_REDELIVERIES_MAX run, or R08), SHUTTING_DOWN,
         *             JOURNAL_FAILED, DUPLICATE_ID_MISMATCH, NOT_ALLOWED (BEST_EFFORT has no
         *             primary record), FIELD_OUT_OF_RANGE or LOCK_TTL_TOO_SHORT (the configuration
         *             does not allow the message any more)
         *   PROCESSED every chain has answered FINALIZE with OK
         *   FAILED    one has not: the code of its refusal, NO_ANSWER, FENCE_TOO_SHORT, or
         *             FINALIZE_INCOMPLETE if all have applied.  The rows say what is known:
         *             applied, refused with a code, unknown (COMMIT was not answered), prepared,
         *             or open
         */
        struct {
            struct tri_key key;
            struct tri_hash hash;
            const struct tri_message *message;
            tri_attempt attempt; /* of this epoch, higher than any used for the message */
            /* Wall time from which the lock's TTL counts towards the frames' expiry (P13).  The
             * earlier of the message's timestamp and its record's issuedAt: then a chain that has
             * forgotten the message refuses it as STALE, and none applies it twice.  Later only if
             * the chains' states have been read and the effect is missing (F04). */
            uint64_t since_ms;
            const uint16_t *chains; /* its participating chains, indices, each once */
            uint32_t chain_count;   /* 1..64 */
            uint64_t client;        /* who is told, not 0 */
        } redeliver;
        /*
         * An envelope, answered with NOTIFY ENVELOPE.  Its deliveries leave as DELIVER effects, one
         * after the other: n + 1 when n has its primary record, or its result.  Their answers come
         * back as DELIVERY.
         */
        struct {
            struct tri_key key;
            struct tri_hash hash; /* of the deliveries as they were sent (R02) */
            struct tri_text id;
            const struct tri_envelope_part *deliveries;
            uint32_t count;  /* 1..TRI_ENVELOPE_MAX */
            uint64_t client; /* as in submit */
            uint32_t submitter;
        } envelope;
        /* The first three as in the DELIVER effect.  TRI_STALE: it has ended, or has said so
         * before. */
        struct {
            uint32_t slot;
            uint32_t generation;
            uint32_t position;
            bool is_recorded; /* it has its primary record (NOTICE); else the rest counts */
            bool is_refusal;  /* REJECTED without having been accepted: nothing is stored of it */
            /* RECEIVED: it was the envelope that submitted it first. */
            enum tri_ack_type type;
            enum tri_error code;
        } delivery;
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
    bool is_forced;       /* F06; not kept of a closed message */
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
    TRI_EFFECT_SEND,    /* send a frame to some targets */
    TRI_EFFECT_NOTIFY,  /* tell a client */
    TRI_EFFECT_APPEND,  /* append a record */
    TRI_EFFECT_DELIVER, /* submit a delivery of an envelope: tri_engine_delivery() */
};

enum tri_notify {
    TRI_NOTIFY_ACK,      /* ACK frame: ack_type, code */
    TRI_NOTIFY_NOTICE,   /* primary finality (F01) */
    TRI_NOTIFY_STATUS,   /* STATUS frame, in answer to a VERDICT: ack_type RECEIVED = open */
    TRI_NOTIFY_ENVELOPE, /* ENVELOPE_ACK frame: ack_type, code, rows */
};

/* Kinds of records; their numbers stand in journals and never change their meaning. */
enum tri_record {
    TRI_RECORD_ACCEPT = 0,   /* the message is ours (D01) */
    TRI_RECORD_ATTEMPT = 1,  /* a redelivery begins */
    TRI_RECORD_DECISION = 2, /* COMMIT, with the tokens (D02) */
    TRI_RECORD_ROLLBACK = 3, /* who is rolled back, and until when */
    TRI_RECORD_PRIMARY = 4,  /* primary finality: the point of no return (A08) */
    TRI_RECORD_OUTCOME = 5,  /* how it ended */
    TRI_RECORD_CLOSE = 6,    /* FINALIZE has ended behind a primary record; nothing waits for it */
    TRI_RECORD_IMAGE = 7, /* an open message as it stands: of a checkpoint, or of a decided attempt
                           * that is given up; nothing waits for it */
    TRI_RECORD_REMEMBER = 8,   /* a closed message, of a checkpoint; its key lacks the upper half of
                                * lo, which does not tell it apart */
    TRI_RECORD_CHECKPOINT = 9, /* the checkpoint is complete: records before its begin say nothing
                                * more */
    TRI_RECORD_ENVELOPE = 10,  /* an open envelope: when it is accepted, or of a checkpoint */
    TRI_RECORD_ENVELOPE_STEP = 11, /* where its deliveries stand */
    TRI_RECORD_ENVELOPE_END = 12,  /* an ended envelope: how it ended, or of a checkpoint */
    TRI_RECORD_COUNT = 13,
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
            bool has_targets;  /* false: the targets are not known any more or never were */
            uint8_t row_count; /* ENVELOPE only: deliveries, if it has ended; else 0 */
            union {
                uint64_t oss_epoch;                  /* NOTICE only, both as in append */
                const struct tri_envelope_row *rows; /* ENVELOPE: what became of its deliveries */
            };
            uint64_t issued_at_ms;
        } notify;
        struct {
            enum tri_record kind;
            uint32_t slot;      /* where the message is kept while it is open, else UINT32_MAX */
            uint64_t lsn;       /* consecutive, from 1 */
            uint64_t begin_lsn; /* CHECKPOINT only */
            uint32_t expires_s; /* CLOSE only: when the result is forgotten, monotonic */
            uint64_t oss_epoch; /* PRIMARY only: the finality record that it belongs to (F01); from
                                 * 1 in each start, consecutive */
            uint64_t issued_at_ms; /* PRIMARY only: wall time */
        } append;                  /* its bytes: tri_engine_record() */
        struct {
            uint32_t slot;       /* the envelope, below envelopes_max +
                                  * envelopes_slack, until it ends */
            uint32_t generation; /* of the slot, of TRI_ENVELOPE_GENERATION_BITS */
            uint32_t position;   /* which delivery, from 0 */
            uint32_t submitters; /* for whom it is submitted: a bit for each client of the
                                  * envelope, and TRI_DELIVER_OWN for the envelope itself, which
                                  * comes last */
        } deliver;
    };
    struct tri_round_view round;
};

#define TRI_DELIVER_OWN              (UINT32_C(1) << 31)
#define TRI_ENVELOPE_GENERATION_BITS 20U

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
    X(refused_submitter_share, "messages", "submits refused by the share of their sender (R08)") \
    X(refused_stale, "messages", "submits refused by age or clock (R05)")                        \
    X(forced, "messages", "messages accepted on the forced path (F06)")                          \
    X(undefended, "messages", "of those, the ones whose self-defense check failed")              \
    X(expired, "messages", "accepted messages that ran out of time before their first PREPARE")  \
    X(duplicates, "messages", "submits of a known id with the same content (R01)")               \
    X(waiters_replaced, "clients", "waiting clients replaced by newer ones of the same message") \
    X(equivocations, "messages", "submits of a known id with other content (R02)")               \
    X(attempts, "attempts", "attempts begun")                                                    \
    X(redeliveries, "attempts", "attempts begun after an earlier one failed (R03)")              \
    X(forwards, "messages", "redeliveries behind a primary record (F04)")                        \
    X(forwarded, "messages", "of those, the ones to which every chain answered OK")              \
    X(forwards_failed, "messages", "of those, the ones to which some chain did not")             \
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
    X(commits_unknown, "answers", "COMMITs refused by who may have forgotten them (P13)")        \
    X(strays_aborted, "answers", "PREPARE_OK or ASK answered with ABORT (P14)")                  \
    X(control_acks, "answers", "answers to ABORT and ROLLBACK")                                  \
    X(asks, "frames", "questions about a reservation (P14)")                                     \
    X(envelopes, "envelopes", "envelopes accepted (F07)")                                        \
    X(envelopes_refused, "envelopes", "envelopes refused at admission")                          \
    X(envelopes_ended, "envelopes", "envelopes whose deliveries have all ended")                 \
    X(deliveries, "deliveries", "deliveries of envelopes begun")                                 \
    X(deliveries_again, "deliveries", "deliveries submitted again: a restart, or no room")

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

/* What a DELIVER effect asks to submit; borrowed until the envelope ends. */
#define TRI_ENVELOPE_CLIENTS_MAX 8U
struct tri_engine_delivery {
    struct tri_envelope_part delivery;
    uint64_t clients[TRI_ENVELOPE_CLIENTS_MAX]; /* by the bits of `submitters`, 0 = nobody */
    uint32_t submitter;                         /* as in TRI_EVENT_ENVELOPE */
};
/* tri_engine_delivery fills *asked; TRI_GONE if the envelope has ended since. */
enum tri_result tri_engine_delivery(const struct tri_engine *engine, uint32_t slot,
                                    uint32_t generation, uint32_t position,
                                    struct tri_engine_delivery *asked);

/* The longest payload of a record. */
#define TRI_RECORD_BYTES_MAX 88064U

/*
 * tri_engine_record writes the payload of an APPEND effect of the last step.
 *
 * append  in; not yet touched by a later step.
 * to      out; tri_engine_record_bytes_max() bytes of room, never more than TRI_RECORD_BYTES_MAX.
 *
 * Returns the bytes written, at least 8.
 */
uint32_t tri_engine_record(struct tri_engine *engine, const struct tri_effect *append, uint8_t *to);
uint32_t tri_engine_record_bytes_max(struct tri_engine *engine, const struct tri_effect *append);

/* A record on its way back from a journal. */
struct tri_replay {
    enum tri_record kind;
    struct tri_bytes payload; /* borrowed until the call returns */
    /* The index in the options of each chain that the journal numbers, UINT16_MAX = not configured
     * any more. */
    const uint16_t *chains;
    uint32_t chain_count;
    uint64_t now_ns;
    uint64_t wall_ms;
};

/*
 * tri_engine_replay takes one record back, between tri_engine_init() and tri_engine_resume().
 *
 * Records come in the order of (epoch, LSN).  One whose message is not known is skipped, because a
 * checkpoint has begun behind its first record and will name it, or has ended without it.
 *
 * fault  out; a static sentence unless the result is TRI_OK or TRI_STALE.
 *
 * Returns TRI_OK; TRI_STALE: skipped; TRI_FULL: the capacities are smaller than what was kept,
 * raise them; TRI_VIOLATION: the payload is no record: the journal is damaged although its
 * checksums hold.
 */
enum tri_result tri_engine_replay(struct tri_engine *engine, const struct tri_replay *replay,
                                  const char **fault);

/* What a primary record says beside how its message stands (D04). */
struct tri_replayed {
    uint64_t oss_epoch; /* 0: the record is older than finality records and belongs to none */
    uint64_t issued_at_ms;
    bool is_known; /* false: the record was skipped, and `round` is not filled in */
    struct tri_round_view round;
};
/* tri_engine_replayed tells of the PRIMARY record that tri_engine_replay() took or skipped last;
 * borrowed until the next replay. */
void tri_engine_replayed(struct tri_engine *engine, struct tri_replayed *replayed);

/*
 * tri_engine_resume ends the replay: what was open goes on (D02).
 *
 * A decided message waits for its chains to connect and gets the same frames with the same attempt;
 * an undecided attempt is as good as aborted, and the next one begins after a backoff without using
 * up a retry.  Timers run from now (L07).
 *
 * Returns TRI_OK; TRI_GONE: an open message has a target that is not configured any more: configure
 * it again.
 */
enum tri_result tri_engine_resume(struct tri_engine *engine, uint64_t now_ns, uint64_t wall_ms);

/* The LSN at which the running checkpoint began, 0 = none runs.  Step CHECKPOINT until it is 0
 * again: then every record before the begin of the last one may be dropped, as soon as its
 * CHECKPOINT record is durable. */
uint64_t tri_engine_checkpoint_lsn(const struct tri_engine *engine);

/* The last ossEpoch that gets no message any more: when all its PRIMARY records are durable, its
 * finality record can be made.  An epoch closes when its first record is durable, or when it is
 * full. */
uint64_t tri_engine_epoch_closed(const struct tri_engine *engine);

/* Open messages now. */
uint32_t tri_engine_open_count(const struct tri_engine *engine);

/* Those of them that wait for the operator's verdict (F06), and for nothing that ends by itself. */
uint32_t tri_engine_held_count(const struct tri_engine *engine);

const struct tri_engine_counters *tri_engine_counters(const struct tri_engine *engine);

#ifdef __clang__
#pragma clang diagnostic pop
#endif
#ifdef __cplusplus
}
#endif

#endif
