/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State: what a shard and its node are made of; known to the files of this
 * folder alone.
 *
 *   intake.c    frames -> events        effects.c   effects -> deliveries
 *   delivery.c  deliveries -> ports     frames.c    views -> frames
 *   seats.c     chains and watchers     shard.c     the turn
 *   envelopes.c deliveries of envelopes
 *   local.c     chains in this process  handle_shard.c  handles in this process
 *   shard_set.c memory and options
 *
 * Nothing steps the engine but tri_shard_step() (shard.c), and only after
 * tri_shard_ready() has said that every effect of the step before is carried
 * out: effects borrow from the engine until the next step.
 */
#ifndef TRI_SHARDS_STATE_H
#define TRI_SHARDS_STATE_H

#include "shards/counters.h"
#include "shards/digest.h"
#include "shards/envelopes.h"
#include "shards/hold.h"
#include "shards/journal.h"
#include "shards/journal_log.h"
#include "shards/mesh.h"
#include "shards/registry.h"
#include "shards/route.h"
#include "shards/shard.h"

/* Watchers that each shard lets in. */
#define TRI_WATCHERS_MAX    8U
/* Room for what a frame from another shard may be answered with at once: STATUS or ERROR. */
#define TRI_REPLY_BYTES_MAX 8192U
#define TRI_SCRATCH_BYTES   (TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES)
#define TRI_HOLD_BYTES      (UINT32_C(4) << 20)
#define TRI_INBOX_DRAIN_MAX 1024U

/* What a shard knows of one chain. */
struct tri_chain_seat {
    /* The chain's connection to this shard, 0 = none. */
    tri_port port;
    uint64_t instance;
    bool is_up;
    bool is_fresh;
    bool claim_due; /* the registry has to be told */
    /* Where frames to the chain go, as the registry told. */
    bool route_up;
    bool route_fresh; /* the engine has to be told */
    bool engine_up;   /* as the engine was told */
    bool engine_due;
    tri_port route;
};

struct tri_watcher {
    tri_port port;
    uint64_t missed; /* events that this shard could not send since the last one that it sent */
};

/* The step whose effects are being carried out. */
struct tri_pending {
    uint32_t next;         /* the first effect that is not done */
    uint64_t targets_done; /* of this effect, a SEND: targets that have their frame */
    bool is_own;           /* nobody sent the frame: the node submitted a delivery for him */
    struct tri_effects effects;
};

struct tri_shard_set;

struct tri_shard {
    struct tri_shard_set *set;
    uint32_t index;
    uint32_t shards;
    uint32_t chain_count;
    uint32_t inbox_drain_max;
    struct tri_engine *engine;
    struct tri_mesh *mesh;
    const struct tri_route *route;
    const struct tri_engine_chain *chains;
    const struct tri_port_ops *ops;
    void *ops_context;
    const struct tri_journal_ops *journal;
    void *journal_context;
    struct tri_journal_none journal_none;
    struct tri_journal_log journal_log;
    bool is_checkpointing;
    struct tri_published_counters *published;

    uint64_t now_ns;
    uint64_t wall_ms;
    uint64_t turn_ns;     /* of the last turn, 0 = none */
    uint64_t frames_seen; /* taken in up to the last turn */
    uint64_t durable_lsn; /* as the journal says */
    uint64_t told_lsn;    /* as the engine knows */
    uint64_t failed_lsn;  /* D07; 0 = the journal works */
    bool is_failure_told;
    bool is_draining;
    bool is_blocked; /* something in this turn found no room */
    uint32_t claims_due;
    uint32_t engine_news_due;

    struct tri_chain_seat *seats;
    struct tri_registry *registry; /* shard 0 only */

    tri_port own_watchers[TRI_WATCHERS_MAX]; /* connected here; 0 = free */
    uint64_t watchers_due;                   /* shards that have to be told of them */
    uint32_t watcher_count;
    struct tri_watcher *watchers; /* of all shards */

    struct tri_pending pending;
    tri_port answered; /* whence the last answer of a chain came; what it gets goes back there */
    struct tri_hold hold;
    struct tri_local *local; /* chains in this process; NULL: all are connections */

    struct tri_handle_lane *lanes;                /* by handle */
    uint64_t handles_seen;                        /* that this shard serves, one bit each */
    uint64_t handles_told;                        /* that have got news in this turn */
    uint64_t handles_fed;                         /* whose blocks came home in this turn */
    uint32_t next_handle;                         /* whose records are taken first */
    uint32_t handle_generations[TRI_HANDLES_MAX]; /* that it serves, or served last */

    struct tri_shard_counters counters;
    struct tri_frame decoded; /* too large for the stack of a turn */
    struct tri_frame encoded;
    uint8_t *scratch; /* TRI_SCRATCH_BYTES */

    struct tri_envelope_desk envelopes;
};

struct tri_shard_set {
    uint32_t shards;
    atomic_bool is_draining;
    struct tri_route route;
    struct tri_mesh *mesh;
    struct tri_handles *handles; /* NULL: none */
    struct tri_shard *members;
    struct tri_published_counters *published;
};

/* shard.c */

/* tri_shard_ready carries out what is left of the last step.  True: the engine may be stepped; with
 * `answers` it also knows all that is durable, so that an answer cannot be ahead of it.  False:
 * room or the journal is missing; try again next turn. */
bool tri_shard_ready(struct tri_shard *shard, bool answers);
/* tri_shard_step steps the engine; tri_shard_ready() said yes, tri_shard_ready() has to follow. */
enum tri_result tri_shard_step(struct tri_shard *shard, struct tri_event *event);
/* tri_shard_time lets the shard's clocks follow; the monotonic one never goes back. */
void tri_shard_time(struct tri_shard *shard, uint64_t now_ns, uint64_t wall_ms);

/* effects.c */

/* tri_effects_carry_out carries out the pending effects in order; false: one found no room. */
bool tri_effects_carry_out(struct tri_shard *shard);
/* tri_effects_release lets go what the journal has made durable; false: no room in an outbox. */
bool tri_effects_release(struct tri_shard *shard);

/* intake.c */

/* tri_intake_role tells who sent a record of a STEP lane; tri_intake_forwarded takes it. */
enum tri_role tri_intake_role(const void *record);
/* tri_intake_shard: the shard to which a frame that was sent on is answered. */
uint32_t tri_intake_shard(const void *record);
void tri_intake_forwarded(struct tri_shard *shard, const void *record, uint32_t bytes);
/* tri_intake_deliver takes a SUBMIT that the node itself sends for `port`, of any shard, to the
 * shard that owns `id`.  TRI_OK or TRI_FULL. */
enum tri_result tri_intake_deliver(struct tri_shard *shard, tri_port port,
                                   const struct tri_peer *peer, struct tri_text id,
                                   struct tri_bytes body);

/* seats.c */

/* tri_seats_news tells the registry, the other shards and the engine what is due, as far as there
 * is room.  Returns the number of things told. */
uint32_t tri_seats_news(struct tri_shard *shard);
void tri_seats_claim(struct tri_shard *shard, uint32_t from, const struct tri_claim *claim);
void tri_seats_verdict(struct tri_shard *shard, const struct tri_verdict *verdict);
void tri_seats_route(struct tri_shard *shard, const struct tri_route_news *news);
void tri_seats_watchers(struct tri_shard *shard, uint32_t from,
                        const tri_port watchers[TRI_WATCHERS_MAX]);
/* tri_seats_watch adds a watcher; false: no place is free. */
bool tri_seats_watch(struct tri_shard *shard, tri_port port);
void tri_seats_unwatch(struct tri_shard *shard, tri_port port);

#endif
