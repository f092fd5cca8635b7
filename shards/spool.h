/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spool: news from a shard to a handle, in records of half a cache line.
 *
 * What all news says, and what a message that goes well has to say, is one
 * record; the rest is a second one behind it, left out if there is nothing to
 * say.  A usual message so costs one and a half lines that travel between two
 * cores.
 *
 * The producer writes records and publishes them in batches, the consumer
 * returns their places in batches.  Whoever may cause news holds credit for
 * it beforehand (shards/handle.h), so a spool is never full: putting a record
 * into one that is asserts, and nothing is ever refused or waited for.
 *
 * Indices run freely through the whole unsigned range and are compared by
 * difference; tests start them just below the wrap-around.
 *
 * Threads: one producer thread, one consumer thread; both wait-free.
 */
#ifndef TRI_SHARDS_SPOOL_H
#define TRI_SHARDS_SPOOL_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/limits.h"

/* What struct tri_news says, packed. */
struct tri_spool_news {
    uint32_t slot; /* of the handle's table of what is in flight */
    uint8_t kind;  /* enum tri_news_kind */
    uint8_t ack_type;
    uint8_t flags; /* TRI_SPOOL_* */
    uint8_t target_count;
    uint16_t code;
    uint16_t retries;
    uint32_t unused;
    tri_attempt attempt;
    uint64_t applied_mask;
};
struct tri_spool_rest {
    uint64_t refused_mask;
    uint64_t unknown_mask;
    uint64_t undone_mask;
    const char *text; /* STATUS: the state; ENDED: the field; static, or NULL */
};
#define TRI_SPOOL_DUPLICATE 1U
#define TRI_SPOOL_OPEN      2U
#define TRI_SPOOL_MORE      4U /* the rest stands in the next record */

union tri_spool_record {
    struct tri_spool_news news;
    struct tri_spool_rest rest;
};

static_assert(sizeof(union tri_spool_record) == TRI_CACHE_LINE / 2, "a record is half a line");
static_assert(TRI_TARGETS_MAX <= UINT8_MAX, "target_count is a byte");
static_assert(TRI_ERROR_VALUE_MAX <= UINT16_MAX, "a code fits");

struct tri_spool {
    union tri_spool_record *records;
    uint32_t mask;
    /* The producer's. */
    alignas(TRI_CACHE_LINE) _Atomic uint32_t tail; /* published up to here */
    uint32_t written;
    uint32_t head_seen;
    /* The consumer's. */
    alignas(TRI_CACHE_LINE) _Atomic uint32_t head; /* returned up to here */
    uint32_t read;
    uint32_t tail_seen;
};

/* tri_spool_places returns how many records a spool has that must hold `records` (1..2^30): a power
 * of two. */
uint32_t tri_spool_places(uint32_t records);

/* tri_spool_init uses `memory` for `places` records (a power of two; 64-byte aligned, borrowed).
 * `start` is where the indices begin: any value.  Call before a second thread knows the spool. */
void tri_spool_init(struct tri_spool *spool, void *memory, uint32_t places, uint32_t start);

/* tri_spool_put gives the place of the next record, to be filled in before the next call of any
 * function here; producer only. */
static inline union tri_spool_record *tri_spool_put(struct tri_spool *spool)
{
    if (spool->written - spool->head_seen > spool->mask) {
        /* pairs with the release in tri_spool_return */
        spool->head_seen = atomic_load_explicit(&spool->head, memory_order_acquire);
    }
    assert(spool->written - spool->head_seen <= spool->mask);
    return &spool->records[spool->written++ & spool->mask];
}

/* tri_spool_publish shows the consumer everything that was put. */
static inline void tri_spool_publish(struct tri_spool *spool)
{
    /* pairs with the acquire in tri_spool_peek */
    atomic_store_explicit(&spool->tail, spool->written, memory_order_release);
}

/* tri_spool_peek shows the oldest record, NULL if there is none, valid until tri_spool_return();
 * tri_spool_pop takes it away.  Consumer only. */
static inline const union tri_spool_record *tri_spool_peek(struct tri_spool *spool)
{
    if (spool->read == spool->tail_seen) {
        /* pairs with the release in tri_spool_publish */
        spool->tail_seen = atomic_load_explicit(&spool->tail, memory_order_acquire);
        if (spool->read == spool->tail_seen) {
            return NULL;
        }
    }
    return &spool->records[spool->read & spool->mask];
}
static inline void tri_spool_pop(struct tri_spool *spool)
{
    assert(spool->read != spool->tail_seen);
    spool->read++;
}

/* tri_spool_return gives the places of all that was popped back to the producer. */
static inline void tri_spool_return(struct tri_spool *spool)
{
    /* pairs with the acquire in tri_spool_put */
    atomic_store_explicit(&spool->head, spool->read, memory_order_release);
}

#endif
