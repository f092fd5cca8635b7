/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order: what a chain is to do, and its answer, in one program with who speaks
 * for it.
 *
 * A node's chain handler gets orders (tricast.h); a participant can be driven
 * with them (tricast_participant.h).
 */
#ifndef TRICAST_ORDER_H
#define TRICAST_ORDER_H

#include "tricast/message.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
