/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Force: the operator's verdict on a message that came by the forced path (F06).
 *
 * Such a message is accepted like any other, durably, and then held: no chain has heard of it, so a
 * self-defense check that fails has nothing to undo.  The verdict is a record before its first
 * consequence leaves.  Without one the end of the message's TTL leaves the hold (C04).
 */
#include "engine/engine.h"
#include "engine/order.h"

void tri_force_hold(struct tri_engine *engine, struct tri_round *round)
{
    uint64_t whole_ms = round->window_end_ms - (round->expires_at_ms - round->ttl_ms);
    uint64_t rest_ms =
        round->window_end_ms > engine->wall_ms ? round->window_end_ms - engine->wall_ms : 0;

    assert(tri_round_is_held(round));
    rest_ms = rest_ms < whole_ms ? rest_ms : whole_ms;
    engine->held_count++;
    /* R08: a verdict asks for no share any more, so it has to have it by then. */
    tri_act_wait_for(engine, round, tri_round_all(round));
    tri_act_timer(engine, round, TRI_TIMER_MESSAGE, engine->now_ns + rest_ms * TRI_NS_PER_MS);
}

uint64_t tri_force_ahead_ms(const struct tri_engine *engine, const struct tri_round *round)
{
    const struct tri_bytes canonical = {tri_round_canonical(round), round->canonical_bytes};
    uint64_t dated_ms;
    bool is_dated;

    assert(round->is_forced);
    is_dated = tri_message_dated(canonical, &dated_ms);
    assert(is_dated); /* when it came in, and in replay */
    if (dated_ms > engine->wall_ms + TRI_FORCE_AHEAD_MS_MAX) {
        dated_ms = engine->wall_ms + TRI_FORCE_AHEAD_MS_MAX; /* the wall clock has gone back */
    }
    dated_ms += engine->options.clock_allowance_ms;
    return dated_ms > engine->wall_ms ? dated_ms - engine->wall_ms : 0;
}

/* The record keeps the verdict; the first PREPARE waits for it. */
void tri_force_begin(struct tri_engine *engine, struct tri_round *round)
{
    uint64_t all = tri_round_all(round);
    uint64_t lsn;

    if (TRI_ATTEMPT_EPOCH(round->attempt) != engine->options.epoch) {
        round->attempt = TRI_ATTEMPT(engine->options.epoch, 1); /* P10: of this start */
    }
    round->window_end_ms = 0;
    engine->counters.attempts++;
    lsn = tri_act_append(engine, round, TRI_RECORD_ATTEMPT);
    tri_act_open(engine, round, all);
    tri_act_send(engine, round, TRI_SEND_PREPARE, all, lsn);
    tri_engine_await(engine, round, lsn);
}

static void force_tell(struct tri_engine *engine, const struct tri_event *event,
                       enum tri_ack_type type, enum tri_error code, uint64_t after_lsn,
                       struct tri_effect **effect)
{
    *effect = tri_engine_effect(engine, TRI_EFFECT_NOTIFY, after_lsn);
    (*effect)->notify.kind = TRI_NOTIFY_STATUS;
    (*effect)->notify.client = event->verdict.client;
    (*effect)->notify.ack_type = type;
    (*effect)->notify.code = code;
    (*effect)->notify.is_duplicate = false;
    (*effect)->notify.has_targets = true;
}

/* The round as it is, told when the record that says so is durable (D01). */
static enum tri_result force_tell_round(struct tri_engine *engine, const struct tri_event *event,
                                        const struct tri_round *round)
{
    bool has_ended = round->state == TRI_ROUND_CLOSING;
    struct tri_effect *effect;

    force_tell(engine, event, has_ended ? (enum tri_ack_type)round->ack_type : TRI_ACK_RECEIVED,
               (enum tri_error)round->cause,
               round->release_lsn > round->accept_lsn ? round->release_lsn : round->accept_lsn,
               &effect);
    tri_view_round(engine, round, &effect->round);
    effect->round.state = tri_round_state_name((enum tri_round_state)round->state);
    return TRI_OK;
}

/* A message that is closed: only what its result says is known of the verdict. */
static enum tri_result force_closed(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_dedup_found found = tri_dedup_find(engine->dedup, event->verdict.key);
    struct tri_effect *effect;

    if (found.state != TRI_DEDUP_CLOSED ||
        found.entry->expires_s <= engine->now_ns / TRI_NS_PER_S) {
        return TRI_GONE;
    }
    if (event->verdict.has_passed || found.entry->code != TRI_ERROR_SELF_DEFENSE_FAILED) {
        return TRI_STALE;
    }
    force_tell(engine, event, tri_view_result(found.entry), (enum tri_error)found.entry->code, 0,
               &effect);
    tri_view_closed(engine, event->verdict.key, found.entry, &effect->round,
                    &effect->notify.has_targets);
    effect->round.id = event->verdict.id;
    return TRI_OK;
}

enum tri_result tri_engine_verdict(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_round *round = tri_engine_find(engine, event->verdict.key, event->verdict.id);
    bool has_passed = event->verdict.has_passed;
    bool has_failed;

    assert(event->verdict.client != 0);
    if (round == NULL) {
        return force_closed(engine, event);
    }
    if (tri_round_is_held(round) && !engine->is_broken) {
        tri_engine_apply(engine, round, has_passed ? TRI_ROUND_ALL_OK : TRI_ROUND_REFUSED);
        return force_tell_round(engine, event, round);
    }
    has_failed = round->state == TRI_ROUND_CLOSING && round->cause == TRI_ERROR_SELF_DEFENSE_FAILED;
    if (!round->is_forced || tri_round_is_held(round) || round->state == TRI_ROUND_STALLED ||
        (round->state == TRI_ROUND_CLOSING && round->cause == TRI_ERROR_EXPIRED) ||
        has_failed == has_passed) {
        return TRI_STALE;
    }
    return force_tell_round(engine, event, round); /* the same once more */
}
