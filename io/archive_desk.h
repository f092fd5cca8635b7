/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive desk: frames between the connections of a shard and the archive's thread.
 *
 * A settlement's report, an operator's question and the result of a redelivery go to the archivist
 * through one pipe, answers and messages that are to be driven forward again come back through
 * another.  Both are small and seldom used: nothing of a round goes this way.
 *
 *     shard                           archivist
 *     tri_desk_ask         ----->     tri_desk_question
 *     tri_desk_order       <-----     tri_desk_reply, tri_desk_forward
 *
 * Threads: one on each side; neither waits for the other.
 */
#ifndef TRI_IO_ARCHIVE_DESK_H
#define TRI_IO_ARCHIVE_DESK_H

#include "shards/pipe.h"
#include "shards/shard.h"

struct tri_desk {
    struct tri_pipe questions;
    struct tri_pipe results; /* of redeliveries; never full, see tri_desk_result */
    struct tri_pipe orders;
};

/* Redeliveries of one shard under way at most: so many results have room for certain. */
#define TRI_DESK_FORWARDS_MAX 16U

size_t tri_desk_footprint(void);
void tri_desk_init(struct tri_desk *desk, void *memory);

/* A frame for the archivist. */
struct tri_desk_question {
    tri_port port;          /* where the answer goes */
    struct tri_text name;   /* of the identity that asks */
    struct tri_bytes frame; /* without its length; checked */
};

enum tri_desk_order_kind {
    TRI_DESK_REPLY,   /* a whole frame for `port`, its length included */
    TRI_DESK_FORWARD, /* a message to be redelivered; its results go to `port`, an internal one */
};

struct tri_desk_order {
    enum tri_desk_order_kind kind;
    tri_port port;
    tri_attempt attempt;    /* FORWARD */
    uint64_t since_ms;      /* FORWARD: as in TRI_EVENT_REDELIVER */
    struct tri_bytes leaf;  /* FORWARD: its chains */
    struct tri_bytes bytes; /* REPLY: the frame; FORWARD: the message's canonical bytes */
};

/* ---- the shard ---- */

/* tri_desk_ask hands a question over; false: no room now, try again later. */
bool tri_desk_ask(struct tri_desk *desk, const struct tri_desk_question *question);
/* tri_desk_result hands the frame that ended a redelivery over. */
void tri_desk_result(struct tri_desk *desk, tri_port port, const uint8_t *frame, uint32_t bytes);
/* tri_desk_order shows the oldest order, borrowed until tri_desk_order_done(); false: none. */
bool tri_desk_order(struct tri_desk *desk, struct tri_desk_order *order);
void tri_desk_order_done(struct tri_desk *desk);

/* ---- the archivist ---- */

/* The oldest question, borrowed until tri_desk_question_done(); and likewise the oldest result. */
bool tri_desk_question(struct tri_desk *desk, struct tri_desk_question *question);
void tri_desk_question_done(struct tri_desk *desk);
bool tri_desk_result_next(struct tri_desk *desk, tri_port *port, struct tri_bytes *frame);
void tri_desk_result_done(struct tri_desk *desk);
/* tri_desk_has_room tells whether an order of any size would find room; tri_desk_order_put then
 * leaves it, and tri_desk_publish shows the shard what was left.  What is left may show before. */
bool tri_desk_has_room(struct tri_desk *desk);
void tri_desk_order_put(struct tri_desk *desk, const struct tri_desk_order *order);
/* Returns whether there was anything: the shard has to be woken. */
bool tri_desk_publish(struct tri_desk *desk);
/* Whether nothing waits for the archivist. */
bool tri_desk_is_empty(const struct tri_desk *desk);

#endif
