/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wire: bytes <-> frames.
 *
 * A frame is a big-endian u32 length and then one msgpack array [type, ...]
 * of that many bytes.  Fields are positional, every value stands in its
 * shortest form, unknown trailing fields are skipped.  docs/wire.md is the
 * full description; the layout of each frame stands beside its struct here.
 *
 * Decoding is one pass over the caller's bytes: it allocates nothing, follows
 * no count that the remaining bytes cannot hold, nests at most
 * TRI_WIRE_DEPTH_MAX deep, and leaves pointers into those bytes ("borrowed").
 * Encoding writes into a caller's buffer through a writer that never passes
 * its end.
 *
 * Every message frame carries the originalMessageId as element 1, so that a
 * frame can be routed without being decoded (tri_wire_peek).
 *
 * Threads: no state; any function may run anywhere.
 */
#ifndef TRI_ENGINE_WIRE_H
#define TRI_ENGINE_WIRE_H

#include "engine/limits.h"
#include "tricast/message.h"

enum tri_frame_type {
    TRI_FRAME_CHALLENGE = 1, /* server -> peer, first frame of a connection */
    TRI_FRAME_HELLO = 2,     /* peer -> server */
    TRI_FRAME_WELCOME = 3,   /* server -> peer */
    TRI_FRAME_ERROR = 4,     /* server -> peer */
    TRI_FRAME_SUBMIT = 16,   /* client -> server */
    TRI_FRAME_ACK = 17,      /* server -> client: RECEIVED, PROCESSED, FAILED, REJECTED */
    TRI_FRAME_NOTICE = 18,   /* server -> client: primary finality (F01) */
    TRI_FRAME_STATUS_GET = 19,
    TRI_FRAME_STATUS = 20,
    TRI_FRAME_WATCH = 21, /* operator -> server */
    TRI_FRAME_EVENT = 22, /* server -> watcher */
    TRI_FRAME_STATS_GET = 23,
    TRI_FRAME_STATS = 24,
    TRI_FRAME_LEDGER_GET = 25,   /* operator -> chain */
    TRI_FRAME_LEDGER = 26,       /* chain -> operator */
    TRI_FRAME_ENVELOPE = 27,     /* client -> server (F07) */
    TRI_FRAME_ENVELOPE_ACK = 28, /* server -> client */
    TRI_FRAME_FORCE = 29,        /* operator -> server: SUBMIT by the forced path (F06) */
    TRI_FRAME_VERDICT = 30,      /* operator -> server: of the self-defense check (F06) */
    TRI_FRAME_PHASE = 32,        /* server -> chain: PREPARE, COMMIT, FINALIZE */
    TRI_FRAME_PHASE_ACK = 33,    /* chain -> server */
    TRI_FRAME_CONTROL = 34,      /* server -> chain: ABORT, ROLLBACK */
    TRI_FRAME_CONTROL_ACK = 35,  /* chain -> server */
    TRI_FRAME_ASK = 36,          /* chain -> server: what of this reservation? (P14) */
    TRI_FRAME_PENDING_GET = 40, /* settlement, operator -> server: what is not settled yet? (F05) */
    TRI_FRAME_PENDING = 41,
    TRI_FRAME_SETTLE = 42,       /* settlement -> server: a record is settled outside (F03) */
    TRI_FRAME_SETTLED = 43,      /* server -> settlement */
    TRI_FRAME_HEARTBEAT = 44,    /* settlement -> server: syncProgress (F04) */
    TRI_FRAME_SEQUENCER = 45,    /* operator -> server: it is down, or up again (F06) */
    TRI_FRAME_FINALITY_GET = 46, /* settlement, operator -> server */
    TRI_FRAME_FINALITY = 47,
};

#define TRI_NONCE_BYTES          32U
#define TRI_MAC_BYTES            32U /* HMAC-SHA256 */
#define TRI_IDENTITY_BYTES_MAX   64U
#define TRI_DETAIL_BYTES_MAX     256U
#define TRI_STATE_NAME_BYTES_MAX 32U
#define TRI_TTL_S_MAX            86400U
#define TRI_THRESHOLD_MAX        255U

/* [1, version str, nonce bin32] */
struct tri_challenge {
    struct tri_text version;
    struct tri_bytes nonce; /* TRI_NONCE_BYTES */
};

/* [2, version str, role int, identity str, instance int, nonce bin32, shard int, mac bin]
 * mac = HMAC-SHA256(secret, "tricast hello" 0x00 ++ server nonce ++ the canonical bytes of elements
 * 1..6); empty where no secret is configured. */
struct tri_hello {
    struct tri_text version;
    enum tri_role role;
    struct tri_text identity; /* a chain's CAIP-2 id, or a client's or operator's name; 1..64 */
    uint64_t instance;        /* P15, durable at the chain, >= 1; others: 0 */
    struct tri_bytes nonce;   /* the peer's own, TRI_NONCE_BYTES */
    uint32_t shard;           /* wished shard + 1; 0 = any */
    struct tri_bytes mac;     /* TRI_MAC_BYTES or 0 bytes */
    struct tri_bytes proved;  /* decode only: the bytes of elements 1..6 */
};

/* [3, epoch int, shard int, shards int, frame_bytes_max int, mac bin]
 * mac = HMAC-SHA256(secret, "tricast welcome" 0x00 ++ peer nonce ++ server nonce ++ the canonical
 * bytes of elements 1..4): the server proves itself too; empty where no secret is configured. */
struct tri_welcome {
    uint32_t epoch; /* >= 1 */
    uint32_t shard;
    uint32_t shards;
    uint32_t frame_bytes_max;
    struct tri_bytes mac;
    struct tri_bytes proved;
};

/* [4, id str (may be empty), code int, detail str] */
struct tri_error_frame {
    struct tri_text id;
    enum tri_error code;
    struct tri_text detail; /* 0..256 bytes */
};

/* SUBMIT = [16, id, version, priority, scope, atomicity, ttlSeconds, timestampMs, sourceChainId,
 *           sourceNodeId, targets [str...], [prepareMs, commitMs, finalizeMs], finalizeRequested
 * bool, type, subtype, assets [str...], payload bin, envelope nil | [id, n, m], signature nil |
 * [type, signature bin, signerSet str, threshold]] `canonical` of struct tri_message is the bytes
 * of elements 1..18; `inner` those of elements 13..18 (type to signature), which PHASE repeats.
 * FORCE = [29, and the same elements 1..18] */

/* What became of one target (ACK, STATUS). */
enum tri_target_state {
    TRI_TARGET_OPEN = 0,     /* no definite answer yet */
    TRI_TARGET_PREPARED = 1, /* holds a reservation */
    TRI_TARGET_APPLIED = 2,  /* COMMIT_OK */
    TRI_TARGET_FINAL = 3,    /* FINALIZE_OK */
    TRI_TARGET_REFUSED = 4,  /* PHASE_REJECT: not applied by this attempt */
    TRI_TARGET_UNKNOWN = 5,  /* may have applied (P11) */
    TRI_TARGET_UNDONE = 6,   /* rolled back, or released by an ABORT */
    TRI_TARGET_STATE_COUNT = 7,
};
/* The state's name in views, "?" beyond the enum. */
const char *tri_target_state_name(enum tri_target_state state);

struct tri_target_report {
    struct tri_text chain;
    enum tri_target_state state;
    enum tri_error code;
    struct tri_bytes tokens; /* encoded msgpack array of str; STATUS only, else 0x90 (empty) */
};

/* [17, id, ackType 0..3, code, duplicate bool, attempt [epoch, n], targets [[chain, state,
 * code]...]] ackType RECEIVED and REJECTED at admission carry no targets. */
struct tri_ack {
    struct tri_text id;
    enum tri_ack_type type;
    enum tri_error code;
    bool duplicate; /* DEDUPLICATION_DETECTED: the result of an earlier submit */
    tri_attempt attempt;
    uint32_t target_count;
    struct tri_target_report targets[TRI_TARGETS_MAX];
};

/* [18, id, attempt, issuedAtMs int, chains [str...], stream str, ossEpoch int]; both of the last
 * are empty where nothing is archived. */
struct tri_notice {
    struct tri_text id;
    tri_attempt attempt;
    uint64_t issued_at_ms;
    struct tri_text stream; /* the finality record that will prove it (F08) */
    uint64_t oss_epoch;
    uint32_t chain_count;
    struct tri_text chains[TRI_TARGETS_MAX];
};

/* [19, id] */
/* [20, id, state str, code, attempt, retries int, declared scope, effective scope, declared
 * atomicity, effective atomicity, mapVersion int, targets [[chain, state, code, tokens
 * [str...]]...], forced bool] */
struct tri_status {
    struct tri_text id;
    struct tri_text state; /* the round table's name: PREPARING, COMMITTING, ... or the ackType */
    enum tri_error code;
    tri_attempt attempt;
    uint32_t retries;
    enum tri_scope scope_declared;
    enum tri_scope scope;
    enum tri_atomicity atomicity_declared;
    enum tri_atomicity atomicity;
    uint32_t map_version;
    bool is_forced; /* F06: open, and came by the forced path */
    uint32_t target_count;
    struct tri_target_report targets[TRI_TARGETS_MAX];
};

/* [21] */
/* [22, id, atMs int, what str, attempt, chains [str...], code, missed int] */
struct tri_event_frame {
    struct tri_text id;
    uint64_t at_ms;
    struct tri_text what; /* PREPARE, COMMIT, ..., RECEIVED, PROCESSED, ... */
    tri_attempt attempt;
    uint32_t chain_count;
    struct tri_text chains[TRI_TARGETS_MAX];
    enum tri_error code;
    uint64_t missed; /* events not sent to this watcher since its last one */
};

/* [23] */
/* [24, [[name str, unit str, help str, [value per shard int...]]...]]: built with msgpack-c, io
 * only. */
/* [25, after str, limit int]: asset ids greater than `after`, at most `limit` (1..256) of them */
/* [26, chain str, more bool, assets [[assetId, state, secondary, version, reservedBy str]...],
 *      counters [[name, value]...]]: built with msgpack-c, io only. */

/* [27, envelopeId, [[elements 1..18 of SUBMIT]...]]: 1..16 deliveries, each with an id of its own
 * and with the envelope [envelopeId, n, m] that says its place; else NOT_ALLOWED */
struct tri_envelope_frame {
    struct tri_text id;
    uint32_t count;
    struct tri_envelope_part deliveries[TRI_ENVELOPE_MAX];
    struct tri_bytes content; /* decode only: the bytes of elements 1..2, which are hashed (R02) */
};

/* [28, envelopeId, ackType 0..3, code, duplicate bool, [[id, ackType 1..3, code]...]]: no rows in
 * RECEIVED and in REJECTED at admission */
struct tri_envelope_ack {
    struct tri_text id;
    enum tri_ack_type type;
    enum tri_error code;
    bool duplicate;
    uint32_t count;
    struct tri_envelope_row rows[TRI_ENVELOPE_MAX];
};

/* [30, id, passed bool]; answered with STATUS */
struct tri_verdict_frame {
    struct tri_text id;
    bool has_passed;
};

/* [32, id, phase, phaseSequence, attempt [epoch, n], atomicity, contentHash bin16, expiresAtMs,
 *      reservationTtlMs, system bool, type, subtype, assets, payload, envelope, signature,
 *      tokens [str...]] */
struct tri_phase_frame {
    struct tri_text id;
    enum tri_phase phase;
    tri_attempt attempt;
    enum tri_atomicity atomicity;
    struct tri_hash hash;
    uint64_t expires_at_ms;      /* P13: wall time */
    uint32_t reservation_ttl_ms; /* PREPARE: a duration (L07); else 0 */
    bool system;                 /* STATE_SYNC of the engine itself (A03) */
    enum tri_message_type type;
    enum tri_subtype subtype;
    uint32_t asset_count;
    struct tri_text assets[TRI_ASSETS_MAX];
    struct tri_bytes payload;
    struct tri_envelope envelope;
    struct tri_signature signature;
    struct tri_bytes inner;  /* the canonical run type..signature; what the encoder copies */
    struct tri_bytes tokens; /* encoded array; PREPARE and BEST_EFFORT: empty array */
};

/* [33, id, ackType, phase, attempt, chainId, code, alreadyApplied bool, reservedResources [str...],
 *      retryAfterMs] */
struct tri_phase_ack {
    struct tri_text id;
    enum tri_ack_type type; /* decode lets 0..3 through: the server refuses them (P04) */
    enum tri_phase phase;
    tri_attempt attempt;
    struct tri_text chain;
    enum tri_error code;     /* PHASE_REJECT: not 0; else 0 */
    bool already_applied;    /* P10; not with PHASE_REJECT */
    struct tri_bytes tokens; /* encoded array; PREPARE_OK: 1..4 tokens; else the empty array */
    uint32_t retry_after_ms; /* PHASE_REJECT with BUSY: when to try again, 0 = not told; else 0 */
};

/* [34, id, kind, attempt, contentHash bin16, expiresAtMs, tokens [str...], reason str,
 *      affectedChains [str...], deadlineMs]; ABORT: reason empty, no chains, deadline 0 */
struct tri_control_frame {
    struct tri_text id; /* ROLLBACK: rollbackTargetMessageId */
    enum tri_control kind;
    tri_attempt attempt;
    struct tri_hash hash;
    uint64_t expires_at_ms;
    struct tri_bytes tokens;
    struct tri_text reason;
    uint32_t chain_count;
    struct tri_text chains[TRI_TARGETS_MAX];
    uint64_t deadline_ms; /* wall time, shown; the coordinator alone judges (A07) */
};

/* [35, id, ackType 1..3, kind, attempt, chainId, code]; FAILED and REJECTED: code not 0 */
struct tri_control_ack {
    struct tri_text id;
    enum tri_ack_type type;
    enum tri_control kind;
    tri_attempt attempt;
    struct tri_text chain;
    enum tri_error code;
};

/* [36, id, attempt, chainId] */
struct tri_ask {
    struct tri_text id;
    tri_attempt attempt;
    struct tri_text chain;
};

/* [40, stream str 0..16, ossEpoch int, limit 1..256]: the records behind that one; stream empty:
 * all */
struct tri_pending_get {
    struct tri_text stream;
    uint64_t oss_epoch;
    uint32_t limit;
};

#define TRI_PENDING_MAX     256U
#define TRI_SIGNATURE_BYTES 64U
#define TRI_ROOT_BYTES      32U

/* [41, more bool, [[header bin, signature bin64]...]]: headers of docs/finality.md */
struct tri_pending_row {
    struct tri_bytes header;
    struct tri_bytes signature;
};
struct tri_pending_frame {
    bool has_more;
    uint32_t count;
    struct tri_pending_row rows[TRI_PENDING_MAX];
};

#define TRI_REFERENCE_BYTES_MAX 128U

/* [42, stream str, ossEpoch int, ossStateRoot bin32, settledAtMs int, reference str 0..128] */
struct tri_settle {
    struct tri_text stream;
    uint64_t oss_epoch;
    struct tri_bytes root;
    uint64_t settled_at_ms;
    struct tri_text reference; /* where to find it outside, such as a transaction */
};

enum tri_settled_verdict {
    TRI_SETTLED_FINAL = 0,     /* the roots are equal: secondary finality is recorded */
    TRI_SETTLED_DIFFERENT = 1, /* they are not: the primary wins, the difference is raised */
    TRI_SETTLED_UNKNOWN = 2,   /* no such record */
    TRI_SETTLED_HELD = 3,      /* its propagation is held until the sequencer is up (F06) */
    TRI_SETTLED_COUNT = 4,
};

/* [43, stream str, ossEpoch int, verdict int] */
struct tri_settled {
    struct tri_text stream;
    uint64_t oss_epoch;
    enum tri_settled_verdict verdict;
};

/* [44, lagSeconds int] [45, up bool] [46] [47, [[name str, help str, value int]...]] */
#define TRI_FINALITY_ROWS_MAX 32U
struct tri_finality_row {
    struct tri_text name;
    struct tri_text help;
    uint64_t value;
};
struct tri_finality_frame {
    uint32_t count;
    struct tri_finality_row rows[TRI_FINALITY_ROWS_MAX];
};

struct tri_frame {
    enum tri_frame_type type;
    union {
        struct tri_challenge challenge;
        struct tri_hello hello;
        struct tri_welcome welcome;
        struct tri_error_frame error;
        struct tri_message submit; /* FORCE too */
        struct tri_ack ack;
        struct tri_notice notice;
        struct tri_text status_get;
        struct tri_status status;
        struct tri_event_frame event;
        struct tri_envelope_frame envelope;
        struct tri_envelope_ack envelope_ack;
        struct tri_verdict_frame verdict;
        struct tri_phase_frame phase;
        struct tri_phase_ack phase_ack;
        struct tri_control_frame control;
        struct tri_control_ack control_ack;
        struct tri_ask ask;
        struct tri_pending_get pending_get;
        struct tri_pending_frame pending;
        struct tri_settle settle;
        struct tri_settled settled;
        uint32_t heartbeat_lag_s;
        bool is_sequencer_up;
        struct tri_finality_frame finality;
        struct tri_bytes rest; /* STATS_GET, STATS, LEDGER_GET, LEDGER, WATCH: elements, checked
                                * only for shape (depth, counts, lengths) */
    };
};

/* Why a frame was refused: the code for ERROR, and where. */
struct tri_wire_fault {
    enum tri_error code;
    uint32_t at;       /* byte offset in the body */
    const char *field; /* static; the field's name as in docs/wire.md */
};

/*
 * tri_wire_decode decodes one frame body (without its length).
 *
 * body   in; `bytes` in [1, TRI_FRAME_BYTES_MAX]; borrowed by *frame.
 * frame  out; valid on TRI_OK only.
 * fault  out; written on TRI_VIOLATION: what and where.
 *
 * Returns TRI_OK or TRI_VIOLATION: answer ERROR with fault->code; the frame has no effect.  Whether
 * the connection may go on stands in docs/wire.md: after MALFORMED_FRAME and UNKNOWN_FRAME it
 * closes. Cost: one pass, no allocation.
 */
enum tri_result tri_wire_decode(const uint8_t *body, uint32_t bytes, struct tri_frame *frame,
                                struct tri_wire_fault *fault);

/* tri_wire_peek reads only type and id (empty for frames without one).  TRI_OK or TRI_VIOLATION. */
enum tri_result tri_wire_peek(const uint8_t *body, uint32_t bytes, enum tri_frame_type *type,
                              struct tri_text *id, struct tri_wire_fault *fault);

/* A cursor that writes.  After an overrun `failed` is set and nothing more is written. */
struct tri_writer {
    uint8_t *at;
    uint8_t *end;
    bool failed;
};

/*
 * tri_wire_encode writes the length and the body of *frame (all types but those with `rest`).
 * SUBMIT and FORCE copy `canonical`, and PHASE copies `inner`, if its `at` is not NULL, else the
 * fields are written.  They must lie in their ranges.  Returns the bytes written, 0 if they do not
 * fit into `bytes_max`.
 */
uint32_t tri_wire_encode(const struct tri_frame *frame, uint8_t *to, uint32_t bytes_max);

/* tri_wire_put_submit writes the body of a SUBMIT from the fields of *message, without looking at
 * its `canonical`.  Returns where the canonical bytes begin; they end where the writer stands. */
const uint8_t *tri_wire_put_submit(struct tri_writer *writer, const struct tri_message *message);

/* tri_wire_put_delivery writes the body of the SUBMIT that a delivery is. */
void tri_wire_put_delivery(struct tri_writer *writer, struct tri_bytes canonical);
/* tri_wire_delivery says whether the bytes are a delivery, which, and for how long it may live. */
bool tri_wire_delivery(struct tri_bytes canonical, struct tri_text *id, uint32_t *ttl_s);

/* What an ACK says in short, or an ERROR: REJECTED. */
struct tri_wire_answer {
    enum tri_ack_type type;
    enum tri_error code;
    bool is_duplicate;
    bool is_refusal; /* REJECTED, and that says nothing of the message: it was not accepted, or goes
                      * on and somebody else is told of it */
};
/* tri_wire_peek_answer reads an ACK, an ERROR, or that it is a NOTICE, of which *answer is void.
 * False: it is another frame, or none. */
bool tri_wire_peek_answer(const uint8_t *body, uint32_t bytes, enum tri_frame_type *type,
                          struct tri_wire_answer *answer);

/* Building blocks for frames made from a template: canonical msgpack, shortest forms. */
void tri_put_array(struct tri_writer *writer, uint32_t count);
void tri_put_uint(struct tri_writer *writer, uint64_t value);
void tri_put_bool(struct tri_writer *writer, bool value);
void tri_put_nil(struct tri_writer *writer);
void tri_put_text(struct tri_writer *writer, struct tri_text text);
void tri_put_bin(struct tri_writer *writer, struct tri_bytes bin);
void tri_put_raw(struct tri_writer *writer, const void *bytes, size_t count);
void tri_put_attempt(struct tri_writer *writer, tri_attempt attempt);

/* tri_tokens_get splits an encoded reservedResources array; returns the count (0..4). */
uint32_t tri_tokens_get(struct tri_bytes encoded, struct tri_text tokens[TRI_TOKENS_MAX]);

/* Text rules that identity and admission share. */
bool tri_text_is_utf8(struct tri_text text);
bool tri_text_is_chain_id(struct tri_text text); /* CAIP-2: [-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32} */

/* The payload of the bundled asset ledger: map {assetId str, action str, reason str}, in any order;
 * unknown keys are refused.  docs/wire.md. */
struct tri_action_payload {
    struct tri_text asset;
    struct tri_text action;
    struct tri_text reason;
};
enum tri_result tri_action_decode(struct tri_bytes payload, struct tri_action_payload *action);
uint32_t tri_action_encode(const struct tri_action_payload *action, uint8_t *to,
                           uint32_t bytes_max);

#endif
