/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery: one frame on its way to one or more ports of one shard.
 *
 * The frames of one effect differ in one field only, the tokens of a chain
 * or the count of missed events of a watcher.  A delivery carries the bytes
 * before that field once, the bytes after it once, and the field per target.
 * A delivery to this shard's own ports is written into their send queues at
 * once; one to another shard becomes one record of the DELIVER lane, whatever
 * the number of its targets, and is expanded there:
 *
 *     +------+----------------------+--------------+-------------+
 *     | head | target_count targets | before bytes | after bytes |
 *     +------+----------------------+--------------+-------------+
 *
 * The same lane carries the news of chains and watchers; every record begins
 * with its kind.
 */
#ifndef TRI_SHARDS_DELIVERY_H
#define TRI_SHARDS_DELIVERY_H

#include "shards/state.h"

enum tri_record_kind {
    TRI_RECORD_FRAME = 1, /* a delivery */
    TRI_RECORD_CLAIM,     /* struct tri_claim */
    TRI_RECORD_VERDICT,   /* struct tri_verdict */
    TRI_RECORD_ROUTE,     /* struct tri_route_news */
    TRI_RECORD_WATCHERS,  /* the ports of one shard's watchers */
    TRI_RECORD_NEWS,      /* for a handle, held by its own shard (shards/handle_shard.c) */
};

enum tri_field {
    TRI_FIELD_NONE,   /* the frame is the same for all */
    TRI_FIELD_TOKENS, /* an encoded array, by target */
    TRI_FIELD_MISSED, /* a count, to which the port's shard adds its own */
};

struct tri_delivery_target {
    tri_port port;
    uint64_t missed;
    uint8_t token_bytes;
    uint8_t tokens[TRI_TOKENS_BYTES_MAX + 1];
};

struct tri_delivery_head {
    uint32_t kind; /* TRI_RECORD_FRAME */
    uint16_t field;
    uint16_t is_fruitless; /* it answers a frame that began nothing */
    uint32_t target_count; /* 1..TRI_TARGETS_MAX */
    uint32_t before_bytes;
    uint32_t after_bytes;
    uint32_t close_code; /* not NONE: the ports close behind the frame */
};

struct tri_delivery {
    struct tri_delivery_head head;
    const uint8_t *before;
    const uint8_t *after;
    struct tri_delivery_target targets[TRI_TARGETS_MAX];
};

/*
 * tri_delivery_post sends a delivery to `to`, or holds it until the journal is durable up to
 * after_lsn.
 *
 * delivery  in; all targets are ports of shard `to`.
 *
 * Returns false if there is no room now; nothing was done.
 */
bool tri_delivery_post(struct tri_shard *shard, uint32_t to, uint64_t after_lsn,
                       const struct tri_delivery *delivery);

/* tri_delivery_take carries out one record of a DELIVER lane. */
void tri_delivery_take(struct tri_shard *shard, uint32_t from, const void *record, uint32_t bytes);

/* tri_delivery_frame fills *delivery with one complete encoded frame for one port. */
void tri_delivery_frame(struct tri_delivery *delivery, tri_port port, const uint8_t *frame,
                        uint32_t bytes);

/* tri_delivery_error sends ERROR to a port of any shard and, if `closes`, ends it.  For another
 * shard's port the caller has made sure of TRI_REPLY_BYTES_MAX in its DELIVER lane. */
void tri_delivery_error(struct tri_shard *shard, tri_port port, struct tri_text id,
                        enum tri_error code, const char *detail, bool closes);

#endif
