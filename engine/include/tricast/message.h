/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message: the vocabulary that every part shares.
 *
 * A message is a state change that must happen on all of its target chains or
 * on none.  Its coordinator runs an attempt of three phases, PREPARE, COMMIT
 * and FINALIZE, over participants, one per chain.  Numbers such as P10 name
 * the statements of docs/protocol.md.
 *
 * Plain values: nothing here allocates, blocks or keeps a pointer.  The numeric
 * values of all enums stand on the wire (docs/wire.md) and never change their
 * meaning.
 */
#ifndef TRICAST_MESSAGE_H
#define TRICAST_MESSAGE_H

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
    TRI_ROLE_SETTLEMENT = 3, /* reports secondary finality (F03) */
    TRI_ROLE_COUNT = 4,
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
    X(HANDSHAKE_TIMEOUT, 74, REJECT, "no HELLO arrived in time")                                  \
    X(ENVELOPE_STOPPED, 75, REJECT, "a delivery before it in its envelope failed (F07)")          \
    X(SELF_DEFENSE_FAILED, 76, REJECT, "the self-defense check of a forced message failed (F06)")

enum tri_error {
#define TRI_ERROR_ENUM(name, value, handling, meaning) TRI_ERROR_##name = (value),
    TRI_ERROR_LIST(TRI_ERROR_ENUM)
#undef TRI_ERROR_ENUM
};
#define TRI_ERROR_VALUE_MAX 76

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

#define TRI_ENVELOPE_MAX 16U /* deliveries of an envelope */

/* Which delivery of an envelope a message is (H01, F07). */
struct tri_envelope {
    bool is_given;
    struct tri_text id; /* 1..64 bytes */
    uint32_t n;         /* 1..m */
    uint32_t m;         /* 1..16 */
};

/* A delivery as an envelope carries it: a message of its own. */
struct tri_envelope_part {
    struct tri_text id;         /* originalMessageId */
    struct tri_bytes canonical; /* as in struct tri_message */
};

/* What became of a delivery. */
struct tri_envelope_row {
    struct tri_text id;
    enum tri_ack_type type; /* PROCESSED, FAILED or REJECTED */
    enum tri_error code;
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

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *tri_version(void);

#ifdef __cplusplus
}
#endif

#endif
