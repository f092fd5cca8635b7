/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tricast: the vocabulary that every part shares, and a node inside a program.
 *
 * A message is a state change that must happen on all of its target chains or
 * on none.  Its coordinator runs an attempt of three phases, PREPARE, COMMIT
 * and FINALIZE, over participants, one per chain.  Numbers such as P10 name
 * the statements of docs/protocol.md.
 *
 * The first part is plain values: nothing in it allocates, blocks or keeps a
 * pointer.  The numeric values of all enums stand on the wire (docs/wire.md)
 * and never change their meaning.  The second part embeds a node; a program
 * with its own event loop takes tricast_engine.h instead, and a chain's side is
 * tricast_participant.h.
 */
#ifndef TRICAST_H
#define TRICAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRI_PROTOCOL_VERSION "0.5.0" /* H01 */

/* Bounds of a message (H01, H03) and of what a chain may answer. */
#define TRI_ID_BYTES_MAX        64U
#define TRI_CHAIN_ID_BYTES_MAX  41U /* CAIP-2: namespace 8, colon, reference 32 */
#define TRI_ASSET_ID_BYTES_MAX  128U
#define TRI_NODE_ID_BYTES_MAX   64U
#define TRI_TARGETS_MAX         64U
#define TRI_ASSETS_MAX          16U
#define TRI_PAYLOAD_BYTES_MAX   65536U
#define TRI_SIGNATURE_BYTES_MAX 1024U
#define TRI_REASON_BYTES_MAX    256U
#define TRI_TOKENS_MAX          4U
/* reservedResources of one chain, as an encoded msgpack array: room for a UUID. */
#define TRI_TOKENS_BYTES_MAX    42U

#define TRI_NEVER UINT64_MAX /* no deadline, no time */

/* A borrowed run of bytes; text is UTF-8 and not terminated. */
struct tri_bytes {
    const uint8_t *at;
    uint32_t bytes;
};
struct tri_text {
    const char *at;
    uint32_t bytes;
};

/* Keyed 128-bit XXH3 of an originalMessageId under the deployment's secret. */
struct tri_key {
    uint64_t lo;
    uint64_t hi;
};

/* The first 16 bytes of SHA-256 over a message's canonical bytes (R02). */
struct tri_hash {
    uint8_t at[16];
};

/* An attempt (P10): the epoch in the upper 32 bits, n in the lower.  A later
 * attempt compares greater; 0 is no attempt. */
typedef uint64_t tri_attempt;
#define TRI_ATTEMPT(epoch, n)      (((uint64_t)(epoch) << 32) | (uint32_t)(n))
#define TRI_ATTEMPT_EPOCH(attempt) ((uint32_t)((attempt) >> 32))
#define TRI_ATTEMPT_N(attempt)     ((uint32_t)(attempt))

enum tri_phase { /* the value is the phaseSequence (P01) */
                 TRI_PHASE_PREPARE = 0,
                 TRI_PHASE_COMMIT = 1,
                 TRI_PHASE_FINALIZE = 2,
                 TRI_PHASE_COUNT = 3,
};

enum tri_ack_type {
    TRI_ACK_RECEIVED = 0, /* 0..3 are terminal: answers to a client, ABORT or ROLLBACK */
    TRI_ACK_PROCESSED = 1,
    TRI_ACK_FAILED = 2,
    TRI_ACK_REJECTED = 3,
    TRI_ACK_PHASE_PREPARE_OK = 4, /* 4..7 answer a phase (P04) */
    TRI_ACK_PHASE_COMMIT_OK = 5,
    TRI_ACK_PHASE_FINALIZE_OK = 6,
    TRI_ACK_PHASE_REJECT = 7,
    TRI_ACK_COUNT = 8,
};

enum tri_atomicity {
    TRI_BEST_EFFORT = 0,
    TRI_GUARANTEED = 1,
    TRI_ALL_OR_NOTHING = 2,
    TRI_ATOMICITY_COUNT = 3,
};

enum tri_priority {
    TRI_PRIORITY_LOW = 0,
    TRI_PRIORITY_NORMAL = 1,
    TRI_PRIORITY_HIGH = 2,
    TRI_PRIORITY_CRITICAL = 3, /* forces ALL_OR_NOTHING (A10) */
    TRI_PRIORITY_COUNT = 4,
};

enum tri_scope {
    TRI_SCOPE_TARGETS = 0,    /* the listed targets */
    TRI_SCOPE_ALL_CHAINS = 1, /* every chain of the location map's entries (A04) */
    TRI_SCOPE_COUNT = 2,
};

enum tri_message_type {
    TRI_TYPE_STATE_SYNC = 0,
    TRI_TYPE_REGULATORY_ACTION = 1,
    TRI_TYPE_GOVERNANCE = 2,
    TRI_TYPE_HEARTBEAT = 3,
    TRI_TYPE_ACK = 4,
    TRI_TYPE_QUERY = 5,
    TRI_TYPE_COUNT = 6,
};

enum tri_subtype {
    TRI_SUBTYPE_NONE = 0,
    TRI_SUBTYPE_EXECUTE = 1, /* of GOVERNANCE only */
    TRI_SUBTYPE_COUNT = 2,
};

enum tri_signature_type {
    TRI_SIGNATURE_SINGLE = 0,
    TRI_SIGNATURE_THRESHOLD = 1,
    TRI_SIGNATURE_TYPE_COUNT = 2,
};

enum tri_role {
    TRI_ROLE_CLIENT = 0,
    TRI_ROLE_CHAIN = 1,
    TRI_ROLE_OPERATOR = 2,
    TRI_ROLE_COUNT = 3,
};

/* ABORT and ROLLBACK are no phases (A07). */
enum tri_control {
    TRI_CONTROL_ABORT = 0,
    TRI_CONTROL_ROLLBACK = 1,
    TRI_CONTROL_COUNT = 2,
};

/* What the coordinator does with an error. */
enum tri_handling {
    TRI_HANDLING_REJECT,      /* ends the message (A12) */
    TRI_HANDLING_RETRY,       /* passing: redelivered under R03 */
    TRI_HANDLING_ESCALATE,    /* an operator has to look */
    TRI_HANDLING_SILENT,      /* no error to anybody */
    TRI_HANDLING_AUTOMATIC,   /* the engine mends it by itself */
    TRI_HANDLING_DEAD_LETTER, /* ends in the dead-letter queue */
};

/*
 * Every error code: name, value on the wire, handling, meaning.
 * 1..31 are the specification's names, 32.. are tricast's own.
 */
#define TRI_ERROR_LIST(X)                                                                         \
    X(NONE, 0, SILENT, "no error")                                                                \
    X(INVALID_STATE_TRANSITION, 1, REJECT, "the asset's state does not allow this action")        \
    X(INVALID_ADDRESS_FORMAT, 2, REJECT, "the address is not in its chain's format")              \
    X(UNKNOWN_CHAIN_SHORT_NAME, 3, REJECT, "no chain has this short name")                        \
    X(INVALID_ADDRESS_CHECKSUM, 4, REJECT, "the address fails its checksum")                      \
    X(CHAIN_NOT_SUPPORTED, 5, REJECT, "a target is not configured here")                          \
    X(DEDUPLICATION_DETECTED, 6, SILENT, "the same message was submitted before")                 \
    X(RECONCILIATION_REQUIRED, 7, AUTOMATIC, "some chains applied the message and others not")    \
    X(MAX_RETRIES_EXCEEDED, 8, DEAD_LETTER, "the retries of the message are used up")             \
    X(CROSS_CHAIN_STATE_CONFLICT, 9, RETRY, "another message holds the asset")                    \
    X(DIVERGED_STATE_DETECTED, 10, REJECT, "the asset is DIVERGED and waits for reconciliation")  \
    X(ROLLBACK_INCOMPLETE_REJECT, 11, REJECT, "the asset waits for governance after a rollback")  \
    X(ESCALATION_SEQUENCE, 32, REJECT, "the action skips a step of the escalation sequence")      \
    X(DUPLICATE_ID_MISMATCH, 33, REJECT, "the id is known with other content")                    \
    X(BUSY, 34, RETRY, "a bounded table or pool is full; try again later")                        \
    X(LOCK_EXPIRED, 35, RETRY, "the reservation ran out before COMMIT arrived")                   \
    X(NO_RESERVATION, 36, RETRY, "COMMIT of a message that the chain does not know")              \
    X(STALE, 37, REJECT, "the message's time is over")                                            \
    X(TIMESTAMP_AHEAD, 38, REJECT, "the timestamp lies further ahead than the clock allowance")   \
    X(MALFORMED_FRAME, 39, REJECT, "the frame cannot be decoded")                                 \
    X(FRAME_TOO_LONG, 40, REJECT, "the frame is longer than the negotiated maximum")              \
    X(UNKNOWN_FRAME, 41, REJECT, "no frame has this type")                                        \
    X(WRONG_ROLE, 42, REJECT, "the peer's role may not send this frame")                          \
    X(AUTHENTICATION_FAILED, 43, REJECT, "the HELLO proves no configured identity")               \
    X(VERSION_NOT_SUPPORTED, 44, REJECT, "the protocol version is not spoken here")               \
    X(FIELD_OUT_OF_RANGE, 45, REJECT, "a field lies outside its range")                           \
    X(PHASE_MISMATCH, 46, REJECT, "phase and phaseSequence disagree")                             \
    X(TERMINAL_ACK_FOR_PHASE, 47, REJECT, "a terminal ackType cannot answer a phase")             \
    X(NOT_YOUR_CHAIN, 48, REJECT, "the answer names a chain that this peer does not speak for")   \
    X(LOCATION_UNKNOWN, 49, REJECT, "the location map has no entry for an asset")                 \
    X(TARGET_NOT_IN_LOCATION, 50, REJECT, "a target is not among the asset's chains")             \
    X(TOO_MANY_TARGETS, 51, REJECT, "the assets live on more than 64 chains")                     \
    X(LOCK_TTL_TOO_SHORT, 52, REJECT, "the lock would not outlive the retry window (L01)")        \
    X(ATTEMPT_ENDED, 53, RETRY, "the attempt was aborted, rolled back or superseded")             \
    X(ALREADY_APPLIED, 54, SILENT, "the chain has applied the message; ABORT undoes nothing")     \
    X(ROLLBACK_FENCED, 55, ESCALATE, "the asset has changed since; it cannot be rolled back")     \
    X(ROLLBACK_INCOMPLETE, 56, ESCALATE, "the rollback window ended before every chain was done") \
    X(ROLLED_BACK, 57, REJECT, "COMMIT failed on a chain and was undone on the others")           \
    X(EXPIRED, 58, REJECT, "the message ran out of time before its first PREPARE")                \
    X(UNKNOWN_ASSET, 59, REJECT, "the chain's ledger does not know the asset")                    \
    X(BAD_PAYLOAD, 60, REJECT, "the chain cannot read the inner payload")                         \
    X(NO_ANSWER, 61, RETRY, "the chain did not answer in time")                                   \
    X(INSTANCE_SUPERSEDED, 62, REJECT, "a newer instance speaks for this chain")                  \
    X(SHUTTING_DOWN, 63, RETRY, "the server takes no new work")                                   \
    X(JOURNAL_FAILED, 64, ESCALATE, "the journal failed; the shard takes no work")                \
    X(SLOW_CONSUMER, 65, RETRY, "the peer does not read; its connection is closed")               \
    X(UNKNOWN_MESSAGE, 66, REJECT, "no message with this id is known here")                       \
    X(FINALIZE_INCOMPLETE, 67, ESCALATE, "applied everywhere; some chains never confirmed")       \
    X(NO_CHAIN_APPLIED, 68, REJECT, "no target applied a BEST_EFFORT message")                    \
    X(OPERATOR_REFUSED, 69, REJECT, "the chain's operator refuses the message")                   \
    X(FENCE_TOO_SHORT, 70, RETRY, "a reservation would not outlive COMMIT (L04)")                 \
    X(HANDSHAKE_EXPECTED, 71, REJECT, "the first frame must be HELLO")                            \
    X(NOT_ALLOWED, 72, REJECT, "the combination of fields is not allowed")                        \
    X(TOO_MANY_CONNECTIONS, 73, RETRY, "the configured number of connections is reached")         \
    X(HANDSHAKE_TIMEOUT, 74, REJECT, "no HELLO arrived in time")

enum tri_error {
#define TRI_ERROR_ENUM(name, value, handling, meaning) TRI_ERROR_##name = (value),
    TRI_ERROR_LIST(TRI_ERROR_ENUM)
#undef TRI_ERROR_ENUM
};
#define TRI_ERROR_VALUE_MAX 74

/* What a call may report.  0 is done; positive values are expected and must be
 * handled; our own mistakes assert. */
enum tri_result {
    TRI_OK = 0,
    TRI_STALE = 1,     /* late or repeated input: counted, nothing changed */
    TRI_VIOLATION = 2, /* the peer broke the protocol: refuse it with an error */
    TRI_FULL = 3,      /* a bounded pool is full: nothing changed, try again later */
    TRI_MORE = 4,      /* the input is incomplete: call again with more */
    TRI_GONE = 5,      /* the object that was named does not exist any more */
};

/* Which delivery of an envelope a message is (H01, F07). */
struct tri_envelope {
    bool is_given;
    struct tri_text id; /* 1..64 bytes */
    uint32_t n;         /* 1..m */
    uint32_t m;         /* 1..16 */
};

/* The signature fields (H01): kept and passed on. */
struct tri_signature {
    bool is_given;
    enum tri_signature_type type;
    struct tri_bytes bytes;     /* 1..1024 */
    struct tri_text signer_set; /* 0..64 bytes */
    uint32_t threshold;         /* THRESHOLD: 1..255; SINGLE: 0 */
};

/* A submitted message (H01), decoded.  All pointers are borrowed. */
struct tri_message {
    struct tri_text id; /* 1..64 bytes of UTF-8 */
    enum tri_message_type type;
    enum tri_subtype subtype;
    enum tri_priority priority;
    enum tri_scope scope;         /* as declared */
    enum tri_atomicity atomicity; /* as declared */
    uint32_t ttl_s;               /* 1..86400 */
    uint64_t timestamp_ms;        /* Unix time */
    struct tri_text source_chain; /* CAIP-2 */
    struct tri_text source_node;  /* 1..64 bytes */
    uint32_t target_count;        /* 1..64 */
    uint32_t asset_count;         /* 1..16; 0 for HEARTBEAT, QUERY and ACK */
    struct tri_text targets[TRI_TARGETS_MAX];
    struct tri_text assets[TRI_ASSETS_MAX];
    struct tri_bytes payload;             /* 0..64 KiB */
    uint32_t timeout_ms[TRI_PHASE_COUNT]; /* 0 = the configured default */
    bool finalize_requested;              /* BEST_EFFORT: one light FINALIZE */
    struct tri_envelope envelope;
    struct tri_signature signature;
    /* The canonical msgpack bytes of all fields above, and at their end the run
     * type, subtype, assets, payload, envelope, signature that phase frames repeat. */
    struct tri_bytes canonical;
    struct tri_bytes inner;
};

/* What a chain is asked to do. */
enum tri_send {
    TRI_SEND_PREPARE = 0, /* 0..2 are the phases */
    TRI_SEND_COMMIT = 1,
    TRI_SEND_FINALIZE = 2,
    TRI_SEND_ABORT = 3,
    TRI_SEND_ROLLBACK = 4,
    TRI_SEND_COUNT = 5,
};

/* Options of the coordinator: of an engine (tricast_engine.h), or of all shards of a node together.
 */

/* One chain of the deployment; its index in the options is its name below. */
struct tri_engine_chain {
    struct tri_text id; /* CAIP-2, unique */
};

/* One entry of the location map (A04): an asset id, or a prefix followed by '*'. */
struct tri_engine_location {
    struct tri_text pattern;
    const uint16_t *chains; /* indices, 1..64, ascending */
    uint32_t chain_count;
};

/* R03: one row per message type and subtype. */
struct tri_engine_policy {
    uint32_t retries_max;         /* 0..1000 */
    uint32_t backoff_initial_ms;  /* 1..backoff_max_ms */
    uint32_t backoff_max_ms;      /* <= 3 600 000 */
    uint32_t multiplier_permille; /* 1000..10000: growth of the backoff per retry */
    uint32_t jitter_permille;     /* 0..1000: the share of the backoff that varies by message */
    uint64_t lock_ttl_ms;         /* 0 = derived per message (L01); else fixed */
    uint64_t dedup_window_ms;     /* R06: >= the lock TTL of every admitted message of the type */
};

#define TRI_ENGINE_BODY_CLASSES 5U
/* Bytes of a body slot: the stored message, 16 bytes, and 48 per target. */
#define TRI_ENGINE_BODY_CLASS_BYTES   \
    {                                 \
        416, 1024, 4096, 16384, 86016 \
    }

struct tri_engine_options {
    uint32_t epoch;             /* P10: durable, raised at every start, >= 1 */
    uint32_t rounds_max;        /* open messages, 1..2^24 */
    uint32_t dedup_entries_max; /* open and remembered messages, rounds_max..2^26; one with more
                                 * than 16 targets counts twice */
    uint32_t body_counts[TRI_ENGINE_BODY_CLASSES]; /* slots per class; 0 = none of that size */
    uint32_t waiters_max; /* clients beside the first, over all open messages, 1..2^26 */
    const struct tri_engine_chain *chains;       /* borrowed for the engine's life */
    uint32_t chain_count;                        /* 1..TRI_CHAINS_MAX */
    const struct tri_engine_location *locations; /* borrowed for the engine's life */
    uint32_t location_count;
    uint32_t map_version; /* H02 */
    struct tri_engine_policy policies[TRI_TYPE_COUNT][TRI_SUBTYPE_COUNT];
    uint32_t timeout_ms[TRI_PHASE_COUNT];     /* P08 defaults: 5000, 10000, 5000 */
    uint32_t timeout_ms_max[TRI_PHASE_COUNT]; /* H01: the most that a message may ask for */
    uint32_t rollback_window_ms;              /* A07: 60000 */
    uint32_t clock_allowance_ms;              /* R05, L04 */
    uint32_t chain_share_permille; /* R08: the most that messages waiting for one chain may hold of
                                    * any pool, 1..1000 */
    uint32_t submitters_max;       /* 0..4095 submitters are told apart */
    uint32_t submitter_share_permille; /* R08: the most that messages of one of them may hold of any
                                        * pool, open or remembered, 1..1000 if there are any */
};

/* Names as the specification writes them; "?" beyond the enum. */
const char *tri_error_name(enum tri_error error);
const char *tri_error_meaning(enum tri_error error);
enum tri_handling tri_error_handling(enum tri_error error);
bool tri_error_known(uint32_t value);
const char *tri_phase_name(enum tri_phase phase);
const char *tri_ack_type_name(enum tri_ack_type type);
const char *tri_atomicity_name(enum tri_atomicity atomicity);
const char *tri_priority_name(enum tri_priority priority);
const char *tri_scope_name(enum tri_scope scope);
const char *tri_message_type_name(enum tri_message_type type);
const char *tri_subtype_name(enum tri_subtype subtype);
const char *tri_role_name(enum tri_role role);

/*
 * ---- A node inside this program ----
 *
 * A node is a coordinator with threads of its own, one per shard.  A message belongs to the shard
 * that the keyed hash of its id names, and never leaves it.
 *
 *   submitter threads         shard threads                chains
 *   tri_handle_submit()  -->  tri_engine_step()  --orders-->  tri_chain_handler of each chain
 *   tri_handle_poll()    <--     results         <-answers--  at once, or by tri_handle_answer()
 *
 * A program opens a node with its chains, opens a handle in each thread that submits or answers,
 * and reads results from the handle.  Between a handle and each shard runs one ring for one
 * producer and one consumer; there is no lock, no system call and no allocation per message.
 *
 * The library installs no signal handler, never exits and holds no global state: several nodes may
 * be open at once.  Its own mistakes, and calls against the rules below, end in an assertion.
 *
 * Threads: tri_node_open() and tri_node_close() by one thread; a handle by one thread at a time;
 * handlers run on the shard threads.  Everything else says so.
 */
struct tri_node;
struct tri_handle;

#define TRI_HANDLES_MAX     64U
#define TRI_NODE_SHARDS_MAX 64U
#define TRI_TROUBLE_BYTES   256U

/* Names an order for as long as its message lives: a plain value, to be copied by who answers
 * later. */
struct tri_ticket {
    struct tri_key key;
    tri_attempt attempt;
    uint16_t chain; /* index in the options */
    uint8_t kind;   /* enum tri_send */
    uint8_t id_bytes;
    char id[TRI_ID_BYTES_MAX];
};

/* What a chain is to do.  Pointers are borrowed until the handler returns. */
struct tri_order {
    struct tri_ticket ticket; /* its kind says what: PREPARE, COMMIT, FINALIZE, ABORT or ROLLBACK */
    uint32_t shard;           /* whose thread calls, 0..shards-1 */
    uint64_t now_ns;          /* monotonic, of this turn */
    uint64_t wall_ms;         /* Unix time, of this turn */
    struct tri_hash hash;     /* of the content; all zero in an ABORT of an unknown message (P14) */
    enum tri_atomicity atomicity;
    uint64_t expires_at_ms;        /* P13: wall time; a PREPARE behind it is STALE */
    uint32_t reservation_ttl_ms;   /* PREPARE: how long the reservation has to live (L07) */
    struct tri_bytes tokens;       /* what this chain's PREPARE_OK gave, an encoded array (P05) */
    struct tri_bytes inner;        /* phases: the content, see tri_order_content(); else empty */
    enum tri_error reason;         /* ROLLBACK: why */
    uint64_t rollback_deadline_ms; /* ROLLBACK: wall time, shown; the coordinator judges (A07) */
    uint32_t affected_count;       /* ROLLBACK: affectedChains, as indices in the options */
    const uint16_t *affected;
};

/* What the message of a phase's order carries, decoded.  Borrowed like the order. */
struct tri_content {
    enum tri_message_type type;
    enum tri_subtype subtype;
    uint32_t asset_count;
    struct tri_text assets[TRI_ASSETS_MAX];
    struct tri_bytes payload;
    struct tri_envelope envelope;
    struct tri_signature signature;
};

/* A chain's answer to an order (P04, A07). */
struct tri_answer {
    enum tri_ack_type type; /* a phase: its PHASE_*_OK, or PHASE_REJECT; ABORT and ROLLBACK:
                             * PROCESSED, FAILED or REJECTED */
    enum tri_error code; /* not NONE exactly with PHASE_REJECT, FAILED and REJECTED; ALREADY_APPLIED
                          * is said with REJECTED by an applied chain that is told to ABORT (P12) */
    bool already_applied;                 /* P10; only with an OK */
    uint8_t token_bytes;                  /* PREPARE_OK: 1..42; else 0 */
    uint8_t tokens[TRI_TOKENS_BYTES_MAX]; /* an encoded array of 1..4 tokens: tri_answer_token() */
};

enum tri_reply {
    TRI_REPLY_NOW = 0,   /* *answer is the answer */
    TRI_REPLY_LATER = 1, /* tri_handle_answer() will give it, or the phase's timeout comes */
};

/*
 * tri_chain_handler speaks for a chain.
 *
 * context  in; as registered.
 * order    in; borrowed until the return.
 * answer   out; zeroed by the caller; read if the return is TRI_REPLY_NOW.
 *
 * The same order may come again (P06): answer it with the same bytes.  A chain that keeps state
 * drives a participant (tricast_participant.h) with its orders.
 *
 * Threads: called on the thread of every shard, on several at once; order->shard tells which.  It
 * must not block: a slow chain answers TRI_REPLY_LATER.  It may use a handle of its own per shard.
 */
typedef enum tri_reply tri_chain_handler(void *context, const struct tri_order *order,
                                         struct tri_answer *answer);

struct tri_chain_port {
    tri_chain_handler *handler;
    void *context;
};

struct tri_node_options {
    uint32_t shards;         /* 1..TRI_NODE_SHARDS_MAX; 0 = one per CPU that the process may use */
    bool pins_threads;       /* shard i stays on the i-th of these CPUs */
    uint32_t handles_max;    /* handles open at once, 1..TRI_HANDLES_MAX */
    uint32_t in_flight_max;  /* per handle: submits and questions without their end, 1..2^20 */
    uint8_t hash_secret[32]; /* seeds the routing hash; all zero = random at each open */
    /* Capacities are for the whole node.  epoch 0 = the seconds of the wall clock at open: enough
     * while nobody remembers anything over a restart.  Where chains do (tricast_participant.h with
     * records), the program keeps an epoch of its own and raises it at every open (P10). */
    struct tri_engine_options engine;
    const struct tri_chain_port *ports; /* engine.chain_count, borrowed until close */
};

/* tri_node_defaults fills *options with the defaults of docs/embedding.md: one shard per CPU, 16
 * handles, 65,536 open messages, a million remembered ones.  Chains and ports are left to the
 * caller. */
void tri_node_defaults(struct tri_node_options *options);

/*
 * tri_node_open makes a node and starts its threads.
 *
 * options  in; borrowed until the return, but for what it says itself.
 * node     out; written on 0 only; the caller ends it with tri_node_close().
 * trouble  out; a sentence that names what is wrong; written if the return is not 0.
 *
 * Returns 0; TRI_VIOLATION: an option is out of its range or breaks L01 or R06, correct it;
 * -ENOMEM: lower the capacities; -EAGAIN: no thread, raise `ulimit -u`; another -errno of the
 * system. Takes all memory that the node will ever use.
 */
int tri_node_open(const struct tri_node_options *options, struct tri_node **node,
                  char trouble[TRI_TROUBLE_BYTES]);

/* tri_node_drain lets the node take no new messages (SHUTTING_DOWN); open ones go on.  Any thread.
 */
void tri_node_drain(struct tri_node *node);

/* tri_node_open_count returns the open messages of all shards, as of their last turns.  Any thread.
 */
uint64_t tri_node_open_count(const struct tri_node *node);

/*
 * tri_node_close ends a node: it drains it, waits up to `drain_ms` for the open messages to end,
 * stops the threads and gives all memory back.
 *
 * Returns the number of messages that were still open.  No other thread may be in a call on the
 * node or its handles; handles that are still open end with it.  Results that are waiting are lost:
 * tri_node_drain() and poll first.
 */
uint64_t tri_node_close(struct tri_node *node, uint32_t drain_ms);

/* A counter of one shard. */
struct tri_counter_view {
    const char *name;
    const char *unit;
    const char *help;
    uint64_t value;
};

/* tri_node_counter reads counter `index` (0, 1, 2, ...) of a shard; false behind the last.  Any
 * thread, at no cost to the shard. */
bool tri_node_counter(const struct tri_node *node, uint32_t shard, uint32_t index,
                      struct tri_counter_view *view);
uint32_t tri_node_shard_count(const struct tri_node *node);

/*
 * tri_handle_open opens a handle for the calling thread.
 *
 * Returns TRI_OK with *handle, or TRI_FULL: handles_max are open.  Any thread.
 */
enum tri_result tri_handle_open(struct tri_node *node, struct tri_handle **handle);

/* tri_handle_close ends a handle.  Its messages go on; what they would tell it is dropped and
 * counted.  Waits until every shard has let go of it: not from a chain handler. */
void tri_handle_close(struct tri_handle *handle);

/*
 * tri_handle_submit submits a message (H01).
 *
 * message  in; borrowed until the return; `canonical` and `inner` are not read.
 * cookie   in; comes back with everything that is told about this submit.
 *
 * Returns TRI_OK: exactly one TRI_NEWS_ENDED with the cookie will come; TRI_FULL: the ring or
 * in_flight_max is full, poll, wait, and submit again; TRI_VIOLATION: a count or a length lies
 * outside its range, nothing was done.  What only the shard can see (an unknown chain, a stale
 * timestamp) is refused by TRI_NEWS_ENDED with REJECTED and a code.
 *
 * The message leaves with the next poll, wait or flush, or when some have gathered.  Cost: one
 * encoding, one SHA-256 and one keyed hash on this thread; no system call.
 */
enum tri_result tri_handle_submit(struct tri_handle *handle, const struct tri_message *message,
                                  uint64_t cookie);

/* tri_handle_ask_status asks what is known of a message: TRI_NEWS_STATUS will come.  Returns
 * TRI_OK, TRI_FULL or TRI_VIOLATION as tri_handle_submit() does. */
enum tri_result tri_handle_ask_status(struct tri_handle *handle, struct tri_text id,
                                      uint64_t cookie);

/*
 * tri_handle_answer gives the answer to an order that was answered TRI_REPLY_LATER.
 *
 * ticket  in; of the order.  Late, doubled and stray answers are counted and do no harm (P07).
 *
 * Returns TRI_OK; TRI_FULL: the ring is full, call again later; TRI_VIOLATION: the answer does not
 * fit the order's kind, nothing was done.
 */
enum tri_result tri_handle_answer(struct tri_handle *handle, const struct tri_ticket *ticket,
                                  const struct tri_answer *answer);

/* tri_handle_ask_reservation asks about a reservation that a chain holds from before a new epoch
 * (P14): the handler gets ABORT if the coordinator has no record of it.  TRI_OK, TRI_FULL, or
 * TRI_VIOLATION: it is no ticket. */
enum tri_result tri_handle_ask_reservation(struct tri_handle *handle,
                                           const struct tri_ticket *ticket);

/* tri_handle_chain tells the node that a chain cannot be reached, or can be again: orders wait
 * meanwhile, and unanswered ones are repeated (P15).  Chains begin reachable.  TRI_OK, TRI_FULL, or
 * TRI_VIOLATION: there is no such chain. */
enum tri_result tri_handle_chain(struct tri_handle *handle, uint16_t chain, bool is_up);

enum tri_news_kind {
    TRI_NEWS_RECEIVED, /* the message is accepted (R09) */
    TRI_NEWS_FINAL,    /* primary finality (F01): applied everywhere, before FINALIZE has ended */
    TRI_NEWS_ENDED,    /* the result; the last news of a submit */
    TRI_NEWS_STATUS,   /* the answer to tri_handle_ask_status() */
};

/* What a handle is told.  Masks have one bit per target, in the order of the message's targets, or
 * under ALL_CHAINS in the order of the options' chains. */
struct tri_news {
    enum tri_news_kind kind;
    enum tri_ack_type
        ack_type;          /* RECEIVED; ENDED and a closed STATUS: PROCESSED, FAILED, REJECTED */
    enum tri_error code;   /* why; STATUS of an unknown id: UNKNOWN_MESSAGE */
    bool is_duplicate;     /* the id had been submitted before (R01) */
    bool is_open;          /* STATUS: the message has not ended */
    uint16_t target_count; /* 0: not known any more, or never was */
    uint32_t retries;      /* redeliveries so far */
    uint64_t cookie;
    tri_attempt attempt;
    uint64_t applied_mask;
    uint64_t refused_mask;
    uint64_t unknown_mask; /* may have applied (P11) */
    uint64_t undone_mask;  /* rolled back */
    const char *state;     /* STATUS: the round table's name, static; else NULL */
    const char
        *field; /* ENDED by a malformed message: the field that is wrong, static; else NULL */
};

/*
 * tri_handle_poll takes up to `max` news.
 *
 * news  out; `max` entries, at least 1.
 *
 * Returns how many; 0: there is none now, and tri_handle_fd() will become readable with the next,
 * or, after a call that gave TRI_FULL, as soon as there is room.  Sends what was submitted.  No
 * system call unless a shard sleeps and has to be woken.
 */
uint32_t tri_handle_poll(struct tri_handle *handle, struct tri_news *news, uint32_t max);

/* tri_handle_fd returns an eventfd for an event loop: readable when news or room came after a poll
 * that returned 0.  Poll until 0 after it was readable; the poll resets it.  Owned by the handle.
 */
int tri_handle_fd(const struct tri_handle *handle);

/* tri_handle_wait sends what was submitted and blocks until there is news, or room after a call
 * that gave TRI_FULL, or `timeout_ms` (-1 = no limit) has passed.  False: the time has passed. */
bool tri_handle_wait(struct tri_handle *handle, int timeout_ms);

/* tri_handle_flush sends what was submitted, answered and asked. */
void tri_handle_flush(struct tri_handle *handle);

/* tri_order_content decodes the content of a phase's order. */
void tri_order_content(const struct tri_order *order, struct tri_content *content);

/* tri_answer_token sets the one token of a PREPARE_OK: text of 1..TRI_TOKEN_BYTES_MAX bytes.  It
 * must never be used again, over restarts either (P05). */
#define TRI_TOKEN_BYTES_MAX 39U
void tri_answer_token(struct tri_answer *answer, struct tri_text token);

/* tri_answer_accept says yes: a phase's OK, or PROCESSED to ABORT and ROLLBACK.  PREPARE_OK gets a
 * token made of the message's key and the attempt: the same order is answered with the same token,
 * no other order ever is (P05, P06).  Returns TRI_REPLY_NOW, for the handler to return. */
enum tri_reply tri_answer_accept(const struct tri_ticket *ticket, struct tri_answer *answer);

/* tri_answer_refuse says no: PHASE_REJECT, or FAILED to ABORT and ROLLBACK.  The code, not NONE,
 * decides what becomes of the message: tri_error_handling(), A12.  Returns TRI_REPLY_NOW. */
enum tri_reply tri_answer_refuse(const struct tri_ticket *ticket, enum tri_error code,
                                 struct tri_answer *answer);

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *tri_version(void);

/*
 * ---- Keys and bytes, for a program without a node ----
 *
 * tri_engine_step() and tri_participant_step() do not hash: an id comes with its key, and a
 * submitted message with its canonical bytes and their hash.  A node makes all of that by itself.
 */

/* What keys are made with: a plain value, read by any number of threads. */
#define TRI_SEED_BYTES 192U
struct tri_seed {
    uint8_t at[TRI_SEED_BYTES];
};

/* tri_seed_init stretches 32 secret bytes.  Who knows them can aim many ids at one bucket of a
 * table; take random ones, and keep them as long as anything that remembers keys. */
void tri_seed_init(struct tri_seed *seed, const uint8_t secret[32]);

/* tri_seed_key makes the key of an id.  Cost: a few nanoseconds. */
struct tri_key tri_seed_key(const struct tri_seed *seed, struct tri_text id);

/* Room that every message fits into. */
#define TRI_MESSAGE_BYTES_MAX 81920U

/*
 * tri_message_encode makes a message ready for TRI_EVENT_SUBMIT.
 *
 * message  in; `canonical` and `inner` are not read.
 * to       out; `bytes_max` bytes of room, which must not overlap what the message points to.
 * encoded  out; on TRI_OK the same message, canonical and inner set; borrows `to`, nothing else.
 * hash     out; on TRI_OK the content hash (R02).
 * field    out; on TRI_VIOLATION the name of the field that is wrong (docs/wire.md), static.
 *
 * Returns TRI_OK; TRI_FULL: the room is too small; TRI_VIOLATION: a field lies outside its range or
 * is not well formed, correct it.
 * Cost: one encoding, one decoding, one SHA-256; no allocation.
 */
enum tri_result tri_message_encode(const struct tri_message *message, uint8_t *to,
                                   uint32_t bytes_max, struct tri_message *encoded,
                                   struct tri_hash *hash, const char **field);

#ifdef __cplusplus
}
#endif

#endif
