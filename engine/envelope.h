/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelope: the Bind-Verify-Commit lifecycle around up to 16 deliveries (F07).
 *
 * A delivery is a message like any other: it is submitted where its own id
 * belongs, perhaps to another shard, and the envelope is one of those who wait
 * for it (R01).  So an envelope needs nothing of a round but what a client is
 * told, and what it does after a restart is what a client would do: it submits
 * again what it has no answer for.
 *
 *     state of a delivery   left by
 *     WAITING               all before it have their record, or their result: it begins
 *                           one before it has failed: ENDED, ENVELOPE_STOPPED
 *     BEGUN                 its primary record: RECORDED; its result: ENDED
 *     RECORDED              its result: ENDED, and that is PROCESSED (A08)
 *
 * A delivery that finds no room, or a shard that takes no work, is submitted
 * again after a while, and a longer while each time, for the envelope alone; in
 * the end it is accepted, and submitted for the clients too, or too old (R05).
 *
 * An envelope is durable before anything of it is told or begun (D01); so is
 * what became of a delivery before the next one begins.  Ended envelopes keep
 * their slot until they are forgotten: a repeated one gets the result (R01).
 * Some slots beyond envelopes_max are for a restart alone, which may find more
 * open envelopes than are let in: these must all go on, while of the results
 * only as many are taken back as there is room for, those kept longest first.
 *
 * Threads: as the engine.
 */
#ifndef TRI_ENGINE_ENVELOPE_H
#define TRI_ENGINE_ENVELOPE_H

#include "engine/pool.h"
#include "tricast_engine.h"

enum tri_delivery_state {
    TRI_DELIVERY_WAITING = 0,
    TRI_DELIVERY_BEGUN = 1,
    TRI_DELIVERY_RECORDED = 2,
    TRI_DELIVERY_ENDED = 3,
    TRI_DELIVERY_STATE_COUNT = 4,
};

struct tri_envelope_delivery {
    uint32_t at; /* of its canonical bytes within the body */
    uint32_t bytes;
    uint8_t state;
    uint8_t ack_type; /* ENDED */
    uint8_t code;
    uint8_t id_bytes;
    char id[TRI_ID_BYTES_MAX];
};

/* A slot of the pool. */
struct tri_envelope_slot {
    struct tri_key key;
    struct tri_hash hash;
    uint64_t lsn;        /* of the record that its answers wait for (D01) */
    uint64_t again_ns;   /* when `again` is due */
    uint32_t next;       /* with the same bucket, or TRI_NONE_INDEX */
    uint32_t again_next; /* in the list of those that have something to submit again */
    uint32_t generation; /* tells the uses of the slot apart */
    uint32_t body;       /* arena handle: the canonical bytes; open envelopes only */
    uint32_t expires_s;  /* ended: when it is forgotten */
    uint32_t ended_at;   /* ended: its place in the heap */
    uint16_t submitter;  /* whose share it holds (R08); 0 = nobody's */
    uint16_t again;      /* deliveries to submit again, a bit each; 0 = not in the list */
    uint8_t count;       /* deliveries */
    uint8_t begun;       /* of them, the first so many */
    uint8_t ack_type;    /* RECEIVED: it is open */
    uint8_t code;
    uint8_t client_count;
    uint8_t client_oldest; /* beside the first, once all places are taken */
    uint8_t again_list;    /* in which list it is */
    uint8_t refused;       /* so often its deliveries found no room since one was taken */
    uint8_t id_bytes;
    char id[TRI_ID_BYTES_MAX];
    uint64_t clients[TRI_ENVELOPE_CLIENTS_MAX]; /* who are told */
    struct tri_envelope_delivery deliveries[TRI_ENVELOPE_MAX];
};
static_assert(sizeof(struct tri_envelope_slot) % 8 == 0, "a pool's slots are aligned");

/* Lists of envelopes that have something to submit again, each for one length of the wait, so that
 * it is in order of time by itself. */
#define TRI_ENVELOPE_AGAIN_LISTS 6U
struct tri_envelope_list {
    uint32_t first; /* or TRI_NONE_INDEX */
    uint32_t last;
};

/* All envelopes of an engine. */
struct tri_envelopes {
    struct tri_pool *pool; /* NULL: envelopes_max is 0 */
    struct tri_envelope_slot *at;
    uint32_t *buckets; /* index of the first slot, by key */
    uint32_t bucket_count;
    uint32_t generation; /* of the slot that was taken last */
    uint32_t ended_count;
    uint32_t *ended;     /* a heap of slots: the one that is forgotten first is at its top */
    uint32_t checkpoint; /* slot to which the running checkpoint has come */
    uint32_t window_s;   /* for how long they are remembered: the longest dedup window (R06) */
    uint32_t *held;      /* slots by submitter (R08) */
    struct tri_envelope_list again[TRI_ENVELOPE_AGAIN_LISTS];
    uint32_t bodies[TRI_ENGINE_BODY_CLASSES];       /* that open envelopes hold */
    struct tri_envelope_row rows[TRI_ENVELOPE_MAX]; /* of the last NOTIFY */
};

struct tri_engine;

/* The memory of the pool, the buckets and the shares; 0 if envelopes_max is. */
size_t tri_envelopes_footprint(const struct tri_engine_options *options);
void tri_envelopes_init(struct tri_envelopes *envelopes, void *memory,
                        const struct tri_engine_options *options);

/* ---- events ---- */

enum tri_result tri_envelope_submit(struct tri_engine *engine, const struct tri_event *event);
enum tri_result tri_envelope_news(struct tri_engine *engine, const struct tri_event *event);
/* tri_envelope_tick submits again what is due, as far as there is room for effects;
 * tri_envelope_deadline_ns says when the next is. */
void tri_envelope_tick(struct tri_engine *engine);
uint64_t tri_envelope_deadline_ns(const struct tri_engine *engine);

/* ---- what envelope.c and envelope_record.c share (envelope_pool.c) ---- */

uint32_t tri_envelope_index(const struct tri_engine *engine, const struct tri_envelope_slot *slot);
/* Whether it has ended so long ago that it may be forgotten (R06). */
bool tri_envelope_is_over(const struct tri_engine *engine, const struct tri_envelope_slot *slot);
/* tri_envelope_forget forgets those that are over, up to some number. */
void tri_envelope_forget(struct tri_engine *engine);

/* tri_envelope_take takes a slot for `key`, which must not be known; NULL: none is free.
 * tri_envelope_has_room asks whether it would be within envelopes_max. */
bool tri_envelope_has_room(const struct tri_engine *engine);
struct tri_envelope_slot *tri_envelope_take(struct tri_engine *engine, struct tri_key key,
                                            uint32_t submitter);
struct tri_envelope_slot *tri_envelope_find(struct tri_engine *engine, struct tri_key key);
/* The envelope that ended now, and will be forgotten at expires_s, is one of those. */
void tri_envelope_keep(struct tri_engine *engine, struct tri_envelope_slot *slot,
                       uint32_t expires_s);
/* Of the ended ones that which will be forgotten first, or NULL. */
struct tri_envelope_slot *tri_envelope_first_over(const struct tri_engine *engine);
/* tri_envelope_give gives the slot back, and its body if it is open. */
void tri_envelope_give(struct tri_engine *engine, struct tri_envelope_slot *slot);
/* The body of an open envelope is counted, or is not counted any more. */
void tri_envelope_hold(struct tri_engine *engine, struct tri_envelope_slot *slot, uint32_t body);
void tri_envelope_unhold(struct tri_engine *engine, struct tri_envelope_slot *slot);
/* The deliveries whose bits are set are submitted again at `at_ns`. */
void tri_envelope_again(struct tri_engine *engine, struct tri_envelope_slot *slot,
                        uint32_t deliveries, uint64_t at_ns);
struct tri_bytes tri_envelope_bytes(const struct tri_engine *engine,
                                    const struct tri_envelope_slot *slot, uint32_t position);
/* The result that follows from those of the deliveries, which have all ended. */
void tri_envelope_conclude(struct tri_envelope_slot *slot);
static inline bool tri_envelope_is_open(const struct tri_envelope_slot *slot)
{
    return slot->ack_type == TRI_ACK_RECEIVED;
}

/* ---- records (envelope_record.c) ---- */

static inline bool tri_envelope_is_record(enum tri_record kind)
{
    return kind >= TRI_RECORD_ENVELOPE && kind <= TRI_RECORD_ENVELOPE_END;
}
uint32_t tri_envelope_record_bytes_max(const struct tri_engine *engine,
                                       const struct tri_effect *append);
uint32_t tri_envelope_record(struct tri_engine *engine, const struct tri_effect *append,
                             uint8_t *to);
enum tri_result tri_envelope_replay(struct tri_engine *engine, const struct tri_replay *replay,
                                    const char **fault);
/* tri_envelope_resume has everything that may have begun submitted again. */
void tri_envelope_resume(struct tri_engine *engine);
/* Moves the bodies of open envelopes to smaller slots that have come free; whether any was moved.
 */
bool tri_envelope_pack(struct tri_engine *engine);

#endif
