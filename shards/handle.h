/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handle: where a thread of the embedding program meets the shards.
 *
 *     handle  --pipe-->   shard      messages, answers, questions
 *             <--spool--             news
 *
 * Between each handle and each shard lie one pipe and one spool, so every ring
 * has one producer and one consumer.  The public functions on a handle stand
 * in tricast.h; those without a system call are implemented here, the others
 * in io/embed.c over the ones below.
 *
 * Credit: a submit or a question takes a place in the handle's table of what
 * is in flight and keeps it until its last news was read.  Each causes at most
 * three pieces of news (RECEIVED, FINAL, ENDED), so a spool with room for three
 * times the table is never full, and a shard never waits for a handle.
 *
 * A client as the engine knows it is a place in that table: a port whose shard
 * number is TRI_HANDLE_SHARD, with the handle's generation, so that news for a
 * handle that was closed meanwhile is dropped.
 *
 * Sleep: a handle that blocks raises a flag and looks once more; a shard that
 * has published news looks at the flag.  Towards a sleeping shard it is the
 * same the other way round (shards/mesh.h).
 *
 * Life: free -> open -> closing -> free.  A shard that sees a new generation
 * begins to serve it; one that sees it closing takes what is still in its pipe
 * and lets go, and the last one signals.  Only then the handle is free again.
 *
 * Threads: a handle belongs to one thread at a time; the last three functions
 * belong to a shard's thread.
 */
#ifndef TRI_SHARDS_HANDLE_H
#define TRI_SHARDS_HANDLE_H

#include "shards/pipe.h"
#include "shards/shard.h"
#include "shards/spool.h"

#define TRI_HANDLE_SHARD     255U /* no shard has this number */
#define TRI_IN_FLIGHT_MAX    (UINT32_C(1) << 20)
#define TRI_NEWS_PER_CLIENT  6U /* records: RECEIVED, FINAL, ENDED, each with a rest */
#define TRI_HANDLE_SLOT_BITS 24U

static_assert(TRI_SHARDS_MAX <= TRI_HANDLE_SHARD, "the number is free");
static_assert(TRI_IN_FLIGHT_MAX <= UINT32_C(1) << TRI_HANDLE_SLOT_BITS, "a place fits");
static_assert(TRI_HANDLES_MAX <= 64, "who is open is one bit per handle in a uint64_t");

/* What handles ask of the system. */
struct tri_handle_ops {
    /* wake makes a shard that may sleep take its next turn soon; the handle's thread. */
    void (*wake)(void *context, uint32_t shard);
    /* signal makes the handle's event readable, once per call; a shard's thread. */
    void (*signal)(void *context, uint32_t handle);
    /* quiet makes it unreadable and returns how many signals it had taken in; never blocks; the
     * handle's thread. */
    uint32_t (*quiet)(void *context, uint32_t handle);
};

/* One handle and one shard. */
struct tri_handle_lane {
    struct tri_pipe pipe;   /* handle to shard */
    struct tri_spool spool; /* shard to handle */
};

/* What is in flight: a submit or a question without its last news. */
struct tri_in_flight {
    uint64_t cookie;
    uint32_t next_free;
    bool is_used;
};

/* Whether there is room again after a call that gave TRI_FULL.  Whoever was refused may find
 * everything done when he polls, and must not wait for news alone then. */
enum tri_handle_room {
    TRI_HANDLE_ROOM_NONE,     /* nobody was refused, or he has tried again or waited since */
    TRI_HANDLE_ROOM_DUE,      /* there is; the event does not say so */
    TRI_HANDLE_ROOM_SIGNALLED /* there is; the event has said so */
};

struct tri_handle {
    struct tri_shard_set *set;
    struct tri_in_flight *in_flight; /* places that were never used lie behind fresh_first */
    uint32_t index;
    uint32_t generation; /* 24 bits, from 1 */
    uint32_t free_first; /* of the places that were used before; TRI_NONE_INDEX = none */
    uint32_t fresh_first;
    uint32_t next_shard; /* whose news is read first */
    int32_t signals_due; /* sent by shards and not quieted yet */
    bool wants_place;    /* a call gave TRI_FULL because too much was in flight */
    enum tri_handle_room room;
    bool is_waiting;     /* `armed` was raised; nobody was seen to take it down */
    uint64_t lanes_open; /* shards whose pipe has an unsent block */
    uint64_t lanes_full; /* shards whose pipe gave no room */
    alignas(TRI_CACHE_LINE) _Atomic uint32_t is_claimed;
    _Atomic uint32_t state;                         /* TRI_HANDLE_STATE(); 0 = nobody's */
    _Atomic uint64_t let_go;                        /* shards that have done so */
    alignas(TRI_CACHE_LINE) _Atomic uint32_t armed; /* what the event waits for */
};
#define TRI_HANDLE_FOR_NEWS 1U
#define TRI_HANDLE_FOR_ROOM 2U

/* All handles of a set. */
struct tri_handles {
    uint32_t shards;
    uint32_t handles_max;
    uint32_t in_flight_max;
    struct tri_handle *at;
    struct tri_handle_lane *lanes; /* shard by shard, handle by handle */
    const struct tri_handle_ops *ops;
    void *ops_context;
    alignas(TRI_CACHE_LINE) _Atomic uint64_t open; /* whose `state` is worth a look */
};

/* What shards see of a handle: who has it, and whether he wants to leave. */
#define TRI_HANDLE_STATE(generation, is_closing) ((generation) << 1 | ((is_closing) ? 1U : 0U))
#define TRI_HANDLE_STATE_GENERATION(state)       ((state) >> 1)
#define TRI_HANDLE_STATE_CLOSING(state)          (((state)&1U) != 0)

/*
 * tri_handles_footprint returns the bytes of memory for all handles of a set, a multiple of 64.
 *
 * handles    1..TRI_HANDLES_MAX.
 * in_flight  1..TRI_IN_FLIGHT_MAX, per handle.
 * blocks     of each pipe, 1..TRI_MESH_BLOCKS_MAX.
 */
size_t tri_handles_footprint(uint32_t shards, uint32_t handles, uint32_t in_flight,
                             uint32_t blocks);
/* tri_handles_init formats `memory` (64-byte aligned, borrowed).  Call before any thread runs. */
struct tri_handles *tri_handles_init(void *memory, struct tri_shard_set *set, uint32_t shards,
                                     uint32_t handles, uint32_t in_flight, uint32_t blocks);

/* tri_handles_attach names who does what handles ask of the system.  Once, before any thread runs.
 */
void tri_handles_attach(struct tri_shard_set *set, const struct tri_handle_ops *ops, void *context);

/* tri_handle_claim gives a free handle to the caller, NULL if there is none.  Any thread. */
struct tri_handle *tri_handle_claim(struct tri_shard_set *set);

/* tri_handle_leave ends a handle: only the next two functions may still be called. */
void tri_handle_leave(struct tri_handle *handle);
/* tri_handle_is_left quiets the handle's event and returns whether every shard has let go: until it
 * does, wait for the event. */
bool tri_handle_is_left(struct tri_handle *handle);
/* tri_handle_free lets a handle that every shard has let go be claimed again. */
void tri_handle_free(struct tri_handle *handle);

/* tri_handle_arm sees to it that the handle's event becomes readable with the next news, or, after
 * a call that gave TRI_FULL, with room.  True: there is one of them already, do not wait.
 * tri_handle_waited says that a caller who waited was told so. */
bool tri_handle_arm(struct tri_handle *handle);
void tri_handle_waited(struct tri_handle *handle);

/* What tri_handles_attach() was given. */
void *tri_handle_context(const struct tri_handle *handle);

/* ---- the shard's end (handle_shard.c) ---- */

/* tri_handles_turn takes what the handles have sent, as far as there is room and each at most
 * `inbox_drain_max` records.  Returns the number taken. */
uint32_t tri_handles_turn(struct tri_shard *shard);
/* tri_handles_wait_for tells whether handles have something for a shard that is about to sleep. */
bool tri_handles_wait_for(const struct tri_shard *shard);
/* tri_handles_publish shows the handles their news of this turn and signals those that wait. */
void tri_handles_publish(struct tri_shard *shard);

/* Whether a port is a client of a handle. */
static inline bool tri_handle_is_client(tri_port port)
{
    return TRI_PORT_SHARD(port) == TRI_HANDLE_SHARD;
}
/* tri_handles_notify tells a handle's client of a NOTIFY effect, or holds it for the journal;
 * false: the hold has no room. */
bool tri_handles_notify(struct tri_shard *shard, const struct tri_effect *effect);
/* tri_handles_release tells what was held. */
void tri_handles_release(struct tri_shard *shard, const void *record, uint32_t bytes);

#endif
