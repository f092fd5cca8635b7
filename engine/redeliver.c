/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redeliver: a message behind its primary record, driven once more (F04).
 *
 * Only forward (A08): PREPARE tells who has applied, who has not gets COMMIT, and all get FINALIZE.
 * There is no record of it, because it changes nothing that the primary record has not said; who
 * asked for it asks again after a restart.
 *
 * Its round is an ordinary one, but it is found through a short list of its own: the dedup table
 * goes on knowing the message as closed, or not at all.  So no result can change, no place of the
 * table is taken, and a checkpoint sees what it would see without it.
 *
 * A chain that has forgotten the message must not apply it again.  The frames therefore carry an
 * expiry counted from before the message was admitted (`since_ms`): as long as it lies ahead no
 * chain has forgotten (P13), and behind it one that has forgotten refuses PREPARE as STALE, while
 * one that remembers says that it has applied (P12).
 */
#include "engine/engine.h"

#include <string.h>

struct tri_round *tri_redeliver_find(struct tri_engine *engine, struct tri_key key)
{
    for (uint32_t i = 0; i < engine->redelivery_count; i++) {
        const struct tri_redelivery *it = &engine->redeliveries[i];

        if (it->key.lo == key.lo && it->key.hi == key.hi) {
            return tri_engine_round(engine, it->round);
        }
    }
    return NULL;
}

struct tri_round *tri_redeliver_named(struct tri_engine *engine, struct tri_key key,
                                      struct tri_text id)
{
    struct tri_round *round = tri_redeliver_find(engine, key);

    return round != NULL && tri_round_is_named(round, id) ? round : NULL;
}

void tri_redeliver_end(struct tri_engine *engine, const struct tri_round *round)
{
    uint32_t index = tri_engine_round_index(engine, round);
    uint32_t i = 0;

    while (i < engine->redelivery_count && engine->redeliveries[i].round != index) {
        i++;
    }
    assert(i < engine->redelivery_count);
    engine->redelivery_count--;
    engine->redeliveries[i] = engine->redeliveries[engine->redelivery_count];
}

/* Says in the round's masks what is known when a target has not answered OK; returns who may hold a
 * reservation that nobody needs any more. */
static uint64_t redeliver_fail(struct tri_round *round)
{
    uint64_t all = tri_round_all(round);

    switch (tri_round_phase((enum tri_round_state)round->state)) {
    case TRI_PHASE_PREPARE:
        /* Who has said that it had applied; a reservation that is still to be answered counts. */
        round->applied = round->maybe;
        return all & ~round->applied;
    case TRI_PHASE_COMMIT:
        /* Only fresh reservations are left in `prepared`; the others had applied before. */
        round->applied |= all & ~round->prepared & ~round->refused;
        return round->prepared & ~round->applied;
    default:
        assert(round->state == TRI_ROUND_R_FINALIZING);
        assert(round->applied == all);
        round->cause = TRI_ERROR_FINALIZE_INCOMPLETE;
        return 0;
    }
}

/* The state's frames leave for all targets without a record, and their time runs. */
static void redeliver_send(struct tri_engine *engine, struct tri_round *round)
{
    enum tri_send frames = tri_round_frames((enum tri_round_state)round->state);

    assert(tri_round_is_redelivery(round));
    tri_act_open(engine, round, tri_round_all(round));
    tri_act_send(engine, round, frames, tri_round_all(round), 0);
    tri_act_arm(engine, round);
}

void tri_redeliver_forward(struct tri_engine *engine, struct tri_round *round)
{
    /* Who has said that it had applied holds no fresh reservation. */
    round->prepared &= ~round->maybe;
    redeliver_send(engine, round);
}

void tri_redeliver_done(struct tri_engine *engine, struct tri_round *round)
{
    engine->counters.forwarded++;
    round->ack_type = TRI_ACK_PROCESSED;
    tri_act_notify(engine, round, TRI_NOTIFY_ACK, 0);
}

void tri_redeliver_failed(struct tri_engine *engine, struct tri_round *round)
{
    uint64_t reserved = redeliver_fail(round);

    engine->counters.forwards_failed++;
    tri_act_send(engine, round, TRI_SEND_ABORT, reserved, 0); /* P12: it never undoes */
    round->ack_type = TRI_ACK_FAILED;
    tri_act_notify(engine, round, TRI_NOTIFY_ACK, 0);
}

static enum tri_result redeliver_refuse(struct tri_engine *engine, const struct tri_event *event,
                                        enum tri_error code)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_NOTIFY, 0);

    effect->notify.kind = TRI_NOTIFY_ACK;
    effect->notify.client = event->redeliver.client;
    effect->notify.ack_type = TRI_ACK_REJECTED;
    effect->notify.code = code;
    effect->notify.is_duplicate = false;
    effect->notify.has_targets = false;
    effect->round = (struct tri_round_view){0};
    effect->round.key = event->redeliver.key;
    effect->round.hash = event->redeliver.hash;
    effect->round.id = event->redeliver.message->id;
    return TRI_OK;
}

/* Whether this is about a message that may be driven on: closed with what a primary record says, or
 * forgotten; *hash is the known one, NULL = none is known. */
static bool redeliver_is_due(struct tri_engine *engine, const struct tri_event *event,
                             const struct tri_hash **hash)
{
    struct tri_dedup_found found = tri_dedup_find(engine->dedup, event->redeliver.key);

    *hash = NULL;
    if (found.state == TRI_DEDUP_OPEN || tri_redeliver_find(engine, event->redeliver.key) != NULL) {
        return false;
    }
    if (found.state == TRI_DEDUP_CLOSED) {
        *hash = &found.entry->hash;
        return (tri_view_result(found.entry) == TRI_ACK_PROCESSED ||
                found.entry->code == TRI_ERROR_RECONCILIATION_REQUIRED) &&
               TRI_ATTEMPT(found.entry->epoch, found.entry->attempt_n) < event->redeliver.attempt;
    }
    return true;
}

/* The slots of the redelivery, or NULL: there is no room. */
static struct tri_round *redeliver_take(struct tri_engine *engine,
                                        const struct tri_admission *admission)
{
    uint32_t bytes =
        tri_round_body_bytes(admission->chain_count, admission->message->canonical.bytes);
    struct tri_redelivery *place = &engine->redeliveries[engine->redelivery_count];
    struct tri_round *round;
    uint32_t body;

    if (engine->redelivery_count == TRI_REDELIVERIES_MAX ||
        tri_arena_take(engine->bodies, bytes, &body) != TRI_OK) {
        return NULL;
    }
    if (!tri_admit_has_share(engine, admission, tri_arena_class(body)) ||
        tri_pool_take(engine->rounds_pool, &place->round) != TRI_OK) {
        tri_arena_give(engine->bodies, body);
        return NULL;
    }
    engine->redelivery_count++;
    place->key = admission->key;
    round = tri_engine_round(engine, place->round);
    round->body = body;
    round->targets = tri_arena_at(engine->bodies, body);
    engine->submitters[0].open_count++;
    engine->submitters[0].bodies[tri_arena_class(body)]++;
    return round;
}

static enum tri_error redeliver_begin(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_admission admission = {.key = event->redeliver.key,
                                      .hash = &event->redeliver.hash,
                                      .message = event->redeliver.message,
                                      .client = event->redeliver.client,
                                      .chain_count = event->redeliver.chain_count};
    enum tri_error code = tri_admit_times(engine, &admission);
    struct tri_round *round;

    if (code != TRI_ERROR_NONE) {
        return code;
    }
    tri_admit_strategy(&admission);
    if (admission.atomicity == TRI_BEST_EFFORT) {
        return TRI_ERROR_NOT_ALLOWED;
    }
    memcpy(admission.chains, event->redeliver.chains,
           admission.chain_count * sizeof(admission.chains[0]));
    round = redeliver_take(engine, &admission);
    if (round == NULL) {
        return TRI_ERROR_BUSY;
    }
    tri_admit_fill(engine, round, &admission);
    round->state = round->state_shown = TRI_ROUND_R_PREPARING;
    round->attempt = event->redeliver.attempt;
    round->expires_at_ms = event->redeliver.since_ms + admission.ttl_ms;
    engine->counters.attempts++;
    engine->counters.forwards++;
    redeliver_send(engine, round);
    return TRI_ERROR_NONE;
}

enum tri_result tri_engine_redeliver(struct tri_engine *engine, const struct tri_event *event)
{
    const struct tri_hash *hash;
    enum tri_error code;

    assert(event->redeliver.client != 0);
    assert(event->redeliver.chain_count >= 1);
    assert(event->redeliver.chain_count <= TRI_TARGETS_MAX);
    assert(TRI_ATTEMPT_EPOCH(event->redeliver.attempt) == engine->options.epoch);
    if (!redeliver_is_due(engine, event, &hash)) {
        return TRI_STALE;
    }
    if (hash != NULL && memcmp(hash, &event->redeliver.hash, sizeof(*hash)) != 0) {
        engine->counters.equivocations++;
        return redeliver_refuse(engine, event, TRI_ERROR_DUPLICATE_ID_MISMATCH);
    }
    if (engine->is_broken || engine->is_draining) {
        return redeliver_refuse(
            engine, event, engine->is_broken ? TRI_ERROR_JOURNAL_FAILED : TRI_ERROR_SHUTTING_DOWN);
    }
    code = redeliver_begin(engine, event);
    return code == TRI_ERROR_NONE ? TRI_OK : redeliver_refuse(engine, event, code);
}
