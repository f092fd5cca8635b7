/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handle record: what a handle writes into its pipe to a shard.
 *
 *     +--------+------------------------------------------+
 *     | record | body_bytes: frame, answer, ticket or id  |
 *     +--------+------------------------------------------+
 *
 * Nothing here is ever seen outside the process: the body of a message is the
 * one part that is encoded, because its canonical bytes are what is hashed and
 * kept.
 */
#ifndef TRI_SHARDS_HANDLE_RECORD_H
#define TRI_SHARDS_HANDLE_RECORD_H

#include "shards/shard.h"

enum tri_handle_record_kind {
    TRI_HANDLE_SUBMIT = 1, /* body: a SUBMIT frame without its length */
    TRI_HANDLE_STATUS,     /* body: the id */
    TRI_HANDLE_ANSWER,     /* body: struct tri_handle_answer */
    TRI_HANDLE_ASK,        /* body: struct tri_ticket */
    TRI_HANDLE_CHAIN,      /* no body */
};

struct tri_handle_chain_state {
    uint16_t chain;
    bool is_up;
};

struct tri_handle_record {
    uint32_t kind;
    uint32_t body_bytes;
    tri_port client;    /* SUBMIT, STATUS: who is told */
    struct tri_key key; /* of the message; CHAIN: unused */
    union {
        struct tri_hash hash; /* SUBMIT */
        struct tri_handle_chain_state chain;
    };
};

struct tri_handle_answer {
    struct tri_ticket ticket;
    struct tri_answer answer;
};

static_assert(sizeof(struct tri_handle_record) % 8 == 0, "the body behind it is aligned");

#endif
