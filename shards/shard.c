/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn of a shard, in the order that keeps it from locking up:
 *
 *   1  what other shards deliver: always taken, needs no room
 *   2  what is left of the last step, and what the journal has made durable
 *   3  news of chains and watchers
 *   4  frames that other shards forwarded, and what handles sent: while there is
 *      room for their effects
 *   5  time
 *   6  durability told to the engine, outboxes published, sleepers woken
 *
 * When is durability told?  A frame may leave as soon as its record is
 * durable, and its answer cannot come before the turn has ended, or over the
 * mesh before the next answer is taken.  So it is enough that the engine knows
 * before it is given anything of a chain, and at the end of the turn: a burst of
 * submits costs one JOURNAL_DURABLE, not one each.
 */
#include "shards/delivery.h"
#include "shards/handle.h"
#include "shards/local.h"
#include "shards/state.h"

#define NS_PER_US            1000U
/* TICK and JOURNAL_DURABLE steps in a row, before others have their turn. */
#define TICKS_MAX            64U
#define SETTLES_MAX          1024U
/* Each appends a few records. */
#define CHECKPOINT_STEPS_MAX 16U

void tri_shard_attach(struct tri_shard *shard, const struct tri_port_ops *ops, void *context)
{
    assert(shard->ops == NULL);
    assert(ops->reserve != NULL);
    assert(ops->commit != NULL);
    assert(ops->close != NULL);
    assert(ops->welcome != NULL);
    assert(ops->wake != NULL);
    shard->ops = ops;
    shard->ops_context = context;
}

void tri_shard_journal(struct tri_shard *shard, const struct tri_journal_ops *ops, void *context)
{
    assert(shard->durable_lsn == 0);
    shard->journal = ops;
    shard->journal_context = context;
}

void tri_shard_keep(struct tri_shard *shard, struct tri_log *log, struct tri_tape *tape)
{
    uint32_t slot = 0;

    while (shard->route->shard_of_slot[slot] != shard->index) {
        slot++;
    }
    tri_journal_log_init(&shard->journal_log, log, tape, shard->engine, shard->chains,
                         shard->chain_count, (uint16_t)slot);
    tri_shard_journal(shard, &tri_journal_log_ops, &shard->journal_log);
}

bool tri_shard_publish(struct tri_shard *shard)
{
    return tri_journal_log_publish(&shard->journal_log);
}

uint64_t tri_shard_archive_due_ns(const struct tri_shard *shard, uint64_t now_ns)
{
    return tri_journal_log_due_ns(&shard->journal_log, now_ns);
}

enum tri_result tri_shard_replay(struct tri_shard *shard, const struct tri_replay *replay,
                                 const char **fault)
{
    assert(shard->turn_ns == 0);
    return tri_engine_replay(shard->engine, replay, fault);
}

enum tri_result tri_shard_resume(struct tri_shard *shard, uint64_t now_ns, uint64_t wall_ms)
{
    tri_shard_time(shard, now_ns, wall_ms);
    return tri_engine_resume(shard->engine, shard->now_ns, wall_ms);
}

void tri_shard_replayed(struct tri_shard *shard, struct tri_replayed *replayed)
{
    tri_engine_replayed(shard->engine, replayed);
}

void tri_shard_time(struct tri_shard *shard, uint64_t now_ns, uint64_t wall_ms)
{
    shard->now_ns = now_ns > shard->now_ns ? now_ns : shard->now_ns;
    shard->wall_ms = wall_ms;
}

enum tri_result tri_shard_step(struct tri_shard *shard, struct tri_event *event)
{
    struct tri_pending *pending = &shard->pending;

    assert(pending->next == pending->effects.count);
    event->now_ns = shard->now_ns;
    event->wall_ms = shard->wall_ms;
    pending->next = 0;
    pending->targets_done = 0;
    pending->is_own = false;
    return tri_engine_step(shard->engine, event, &pending->effects);
}

/* Everything of the last step is out, and everything durable has left. */
static bool shard_settled(struct tri_shard *shard)
{
    return tri_effects_release(shard) && tri_effects_carry_out(shard);
}

bool tri_shard_ready(struct tri_shard *shard, bool answers)
{
    for (uint32_t i = 0; i < SETTLES_MAX; i++) {
        struct tri_event event;
        uint64_t known_lsn = 0;
        bool is_local_due = false;

        if (!shard_settled(shard)) {
            return false;
        }
        is_local_due = shard->local != NULL && tri_local_is_due(shard, &known_lsn);
        if (is_local_due && known_lsn <= shard->told_lsn) {
            tri_local_step(shard);
            continue;
        }
        if (!is_local_due && (!answers || shard->told_lsn == shard->durable_lsn)) {
            return true;
        }
        assert(shard->told_lsn < shard->durable_lsn);
        event.type = TRI_EVENT_JOURNAL_DURABLE;
        event.journal.lsn = shard->durable_lsn;
        shard->told_lsn = shard->durable_lsn;
        (void)tri_shard_step(shard, &event);
    }
    return false;
}

/* Asks the journal how far it is. */
static void shard_ask_journal(struct tri_shard *shard)
{
    uint64_t durable_lsn = shard->journal->durable(shard->journal_context);

    assert(durable_lsn >= shard->durable_lsn);
    shard->durable_lsn = durable_lsn;
    if (shard->failed_lsn == 0) {
        shard->failed_lsn = shard->journal->failed(shard->journal_context);
        assert(shard->failed_lsn == 0 || shard->failed_lsn > durable_lsn);
    }
}

/* Steps an event that tells the engine of the outside, if it is ready. */
static bool shard_tell(struct tri_shard *shard, struct tri_event *event)
{
    if (!tri_shard_ready(shard, true)) {
        return false;
    }
    (void)tri_shard_step(shard, event);
    (void)tri_shard_ready(shard, false);
    return true;
}

static uint32_t shard_turn_deliver(struct tri_shard *shard)
{
    uint32_t taken = 0;

    for (uint32_t from = 0; from < shard->shards; from++) {
        for (uint32_t i = 0; from != shard->index && i < shard->inbox_drain_max; i++) {
            uint32_t bytes = 0;
            const void *record =
                tri_mesh_peek(shard->mesh, shard->index, from, TRI_LANE_DELIVER, &bytes);

            if (record == NULL) {
                break;
            }
            tri_delivery_take(shard, from, record, bytes);
            tri_mesh_pop(shard->mesh, shard->index, from, TRI_LANE_DELIVER);
            taken++;
        }
    }
    return taken;
}

/* Room for the answer to a frame that was sent on; nearly always it goes back to where that came
 * from. */
static bool shard_has_reply_room(struct tri_shard *shard, uint32_t to)
{
    return to == shard->index || tri_mesh_reserve(shard->mesh, shard->index, to, TRI_LANE_DELIVER,
                                                  TRI_REPLY_BYTES_MAX) != NULL;
}

static uint32_t shard_turn_forwarded(struct tri_shard *shard)
{
    uint32_t taken = 0;

    for (uint32_t from = 0; from < shard->shards; from++) {
        for (uint32_t i = 0; from != shard->index && i < shard->inbox_drain_max; i++) {
            uint32_t bytes = 0;
            const void *record =
                tri_mesh_peek(shard->mesh, shard->index, from, TRI_LANE_STEP, &bytes);

            if (record == NULL) {
                break;
            }
            if (!tri_shard_ready(shard, tri_intake_role(record) == TRI_ROLE_CHAIN)) {
                return taken;
            }
            if (!shard_has_reply_room(shard, tri_intake_shard(record))) {
                shard->is_blocked = true;
                break;
            }
            tri_intake_forwarded(shard, record, bytes);
            tri_mesh_pop(shard->mesh, shard->index, from, TRI_LANE_STEP);
            taken++;
        }
    }
    return taken;
}

/* What the node or the journal has to say to the engine. */
static uint32_t shard_turn_news(struct tri_shard *shard)
{
    struct tri_event event;
    uint32_t told = 0;

    if (!shard->is_draining &&
        atomic_load_explicit(&shard->set->is_draining, memory_order_relaxed)) {
        event.type = TRI_EVENT_DRAIN;
        shard->is_draining = shard_tell(shard, &event);
        told++;
    }
    if (shard->failed_lsn != 0 && !shard->is_failure_told) {
        event.type = TRI_EVENT_JOURNAL_FAILED;
        event.journal.lsn = shard->failed_lsn;
        shard->is_failure_told = shard_tell(shard, &event);
        told++;
    }
    return told;
}

/* A part of a checkpoint per turn, so that messages hardly notice it. */
static uint32_t shard_turn_checkpoint(struct tri_shard *shard)
{
    uint32_t steps = 0;

    if (!shard->is_checkpointing && shard->journal->begin_checkpoint != NULL &&
        shard->failed_lsn == 0 && tri_shard_ready(shard, false)) {
        shard->is_checkpointing = shard->journal->begin_checkpoint(shard->journal_context);
        shard->counters.checkpoints += shard->is_checkpointing ? 1 : 0;
    }
    /* Behind a failure no step comes to an end (D07). */
    while (shard->is_checkpointing && shard->failed_lsn == 0 && steps < CHECKPOINT_STEPS_MAX) {
        struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};

        if (!shard_tell(shard, &event)) {
            break;
        }
        steps++;
        shard->is_checkpointing = tri_engine_checkpoint_lsn(shard->engine) != 0;
    }
    return steps;
}

static uint32_t shard_turn_time(struct tri_shard *shard)
{
    uint32_t ticks = 0;

    while (ticks < TICKS_MAX && tri_engine_deadline_ns(shard->engine) <= shard->now_ns) {
        struct tri_event event = {.type = TRI_EVENT_TICK};

        if (!shard_tell(shard, &event)) {
            break;
        }
        ticks++;
    }
    return ticks;
}

static void shard_turn_publish(struct tri_shard *shard)
{
    uint64_t sleepers = 0;

    tri_handles_publish(shard);
    tri_mesh_publish(shard->mesh, shard->index);
    sleepers = tri_mesh_sleepers(shard->mesh, shard->index);
    for (uint64_t rest = sleepers; rest != 0; rest &= rest - 1) {
        shard->ops->wake(shard->ops_context, (uint32_t)__builtin_ctzll(rest));
        shard->counters.wakes++;
    }
}

/* Frames that came to this shard so far, whatever became of them. */
static uint64_t shard_frames(const struct tri_shard *shard)
{
    return shard->counters.frames + shard->counters.frames_forwarded +
           shard->counters.frames_refused + shard->counters.orders +
           shard->counters.answers_at_once;
}

static void shard_turn_count(struct tri_shard *shard, uint64_t before_ns)
{
    struct tri_shard_counters *counters = &shard->counters;
    uint64_t gap_us = before_ns == 0 ? 0 : (shard->now_ns - before_ns) / NS_PER_US;

    counters->turns++;
    if (gap_us > counters->turn_gap_max_us) {
        counters->turn_gap_max_us = gap_us;
    }
    counters->mesh_blocks = tri_mesh_blocks_sent(shard->mesh, shard->index);
    counters->open_messages = tri_engine_open_count(shard->engine);
    tri_counters_publish(shard->published, tri_engine_counters(shard->engine), counters);
}

uint32_t tri_shard_turn(struct tri_shard *shard, uint64_t now_ns, uint64_t wall_ms)
{
    uint64_t before_ns = shard->turn_ns;
    bool was_blocked = shard->is_blocked;
    uint32_t work = 0;

    assert(shard->ops != NULL);
    tri_shard_time(shard, now_ns, wall_ms);
    shard->turn_ns = shard->now_ns;
    shard->is_blocked = false;
    work += shard->local == NULL ? shard_turn_deliver(shard) : 0;
    shard_ask_journal(shard);
    (void)tri_shard_ready(shard, true);
    work += tri_seats_news(shard);
    work += shard_turn_news(shard);
    work += shard->envelopes.count > 0 ? tri_envelopes_turn(shard) : 0;
    work += shard->local == NULL ? shard_turn_forwarded(shard) : 0;
    work += tri_handles_turn(shard);
    work += shard_turn_time(shard);
    work += shard_turn_checkpoint(shard);
    (void)tri_shard_ready(shard, true);
    shard_turn_publish(shard);
    /* Frames taken between two turns are work too; being stuck is not, but coming free is. */
    work +=
        shard_frames(shard) != shard->frames_seen || (was_blocked && !shard->is_blocked) ? 1 : 0;
    shard->frames_seen = shard_frames(shard);
    if (work > 0 || shard->is_blocked) {
        shard->counters.mesh_stalls += was_blocked || shard->is_blocked ? 1 : 0;
        shard_turn_count(shard, before_ns);
    }
    return work;
}

uint64_t tri_shard_deadline_ns(const struct tri_shard *shard)
{
    /* While effects wait for room no time can pass for the engine; news of room wakes the shard. */
    return shard->is_blocked ? TRI_NEVER : tri_engine_deadline_ns(shard->engine);
}

bool tri_shard_sleep(struct tri_shard *shard)
{
    bool has_news = shard->claims_due > 0 || shard->engine_news_due > 0 ||
                    shard->watchers_due != 0 || tri_envelopes_are_due(shard) ||
                    (shard->registry != NULL && tri_registry_has_news(shard->registry));

    if (has_news && !shard->is_blocked) {
        return false;
    }
    /* What was counted behind the last turn with work would else be told at the next one. */
    tri_counters_publish(shard->published, tri_engine_counters(shard->engine), &shard->counters);
    if (!tri_mesh_sleep(shard->mesh, shard->index, !shard->is_blocked)) {
        return false;
    }
    /* Behind the fence of tri_mesh_sleep(), as its look at the rings is. */
    if (!shard->is_blocked && tri_handles_wait_for(shard)) {
        tri_mesh_awake(shard->mesh, shard->index);
        return false;
    }
    return true;
}

void tri_shard_awake(struct tri_shard *shard)
{
    tri_mesh_awake(shard->mesh, shard->index);
    shard->turn_ns = 0; /* the time that it slept is no gap */
}

void tri_shard_set_drain(struct tri_shard_set *set)
{
    /* Only a hint to stop: nothing else is published by it, so it needs no order. */
    atomic_store_explicit(&set->is_draining, true, memory_order_relaxed);
}

void tri_shard_drain(struct tri_shard *shard)
{
    tri_shard_set_drain(shard->set);
    for (uint32_t i = 0; i < shard->shards; i++) {
        if (i != shard->index) {
            shard->ops->wake(shard->ops_context, i);
        }
    }
}

uint32_t tri_shard_open_count(const struct tri_shard *shard)
{
    return tri_engine_open_count(shard->engine);
}

uint32_t tri_shard_ending_count(const struct tri_shard *shard)
{
    return tri_engine_open_count(shard->engine) - tri_engine_held_count(shard->engine);
}
