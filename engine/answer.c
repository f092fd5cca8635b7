/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answer: what chains say.
 *
 * An answer counts once per (message, attempt, phase, chain) and only while its phase is open
 * (P07).  All else is counted and changes nothing, but for one thing: a reservation that nobody
 * waits for is given back by an ABORT (P14).
 */
#include "engine/engine.h"

#include <string.h>

/* The target that `chain` is, or TRI_TARGETS_MAX. */
static uint32_t answer_target(const struct tri_target *targets, uint32_t target_count,
                              uint16_t chain)
{
    uint32_t i = 0;

    while (i < target_count && targets[i].chain != chain) {
        i++;
    }
    return i < target_count ? i : TRI_TARGETS_MAX;
}

/* Whether the answer's type belongs to its phase, and carries what that type must carry (P04). */
static bool answer_fits(const struct tri_event *event)
{
    switch (event->phase_ack.type) {
    case TRI_ACK_PHASE_PREPARE_OK:
        return event->phase_ack.phase == TRI_PHASE_PREPARE && event->phase_ack.tokens.bytes > 1 &&
               event->phase_ack.tokens.bytes <= TRI_TOKENS_BYTES_MAX;
    case TRI_ACK_PHASE_COMMIT_OK:
        return event->phase_ack.phase == TRI_PHASE_COMMIT;
    case TRI_ACK_PHASE_FINALIZE_OK:
        return event->phase_ack.phase == TRI_PHASE_FINALIZE;
    case TRI_ACK_PHASE_REJECT:
        return event->phase_ack.phase < TRI_PHASE_COUNT && event->phase_ack.code != TRI_ERROR_NONE;
    default:
        return false;
    }
}

/* Whether the reservations of the round's attempt may still be used by it. */
static bool attempt_is_open(const struct tri_round *round)
{
    return tri_round_phase((enum tri_round_state)round->state) != TRI_PHASE_COUNT;
}

static enum tri_result answer_late(struct tri_engine *engine, const struct tri_event *event,
                                   bool is_open)
{
    engine->counters.acks_late++;
    if (event->phase_ack.type == TRI_ACK_PHASE_PREPARE_OK && !event->phase_ack.already_applied &&
        !is_open) {
        tri_act_stray_abort(engine, event, event->phase_ack.chain, event->phase_ack.attempt);
    }
    return TRI_STALE;
}

static void answer_prepare(struct tri_round *round, struct tri_target *target, uint64_t bit,
                           const struct tri_event *event)
{
    memcpy(target->tokens, event->phase_ack.tokens.at, event->phase_ack.tokens.bytes);
    target->token_set_bytes = (uint8_t)event->phase_ack.tokens.bytes;
    round->prepared |= bit;
    if (event->phase_ack.already_applied) {
        round->maybe |= bit; /* P10, A11: it has applied in an earlier attempt */
    } else {
        round->maybe &= ~bit; /* A11: a fresh token proves that it has not */
    }
}

static void answer_ok(struct tri_round *round, struct tri_target *target, uint64_t bit,
                      const struct tri_event *event)
{
    switch (event->phase_ack.phase) {
    case TRI_PHASE_PREPARE:
        answer_prepare(round, target, bit, event);
        return;
    case TRI_PHASE_COMMIT:
        round->applied |= bit;
        return;
    case TRI_PHASE_FINALIZE:
        round->final |= bit;
        return;
    case TRI_PHASE_COUNT:
        break;
    }
    assert(event->phase_ack.phase < TRI_PHASE_COUNT);
}

/* P13: whether a chain that refuses COMMIT may have applied it and forgotten, or may still apply it
 * because it does not remember the refusal.  Of BEST_EFFORT, which nothing closes, it keeps nothing
 * that has expired, and a restart may ask as late as that; and BUSY says that it has no room even
 * for the refusal: the same COMMIT, sent again over a new connection (P15), may find some (P06). */
static bool answer_may_forget(const struct tri_engine *engine, const struct tri_round *round,
                              enum tri_error code)
{
    bool has_expired = engine->wall_ms + engine->options.clock_allowance_ms >= round->expires_at_ms;

    if (code == TRI_ERROR_NO_RESERVATION) {
        return true;
    }
    return round->atomicity == TRI_BEST_EFFORT &&
           (has_expired || code == TRI_ERROR_STALE || code == TRI_ERROR_BUSY);
}

static void answer_reject(struct tri_engine *engine, struct tri_round *round,
                          struct tri_target *target, uint64_t bit, const struct tri_event *event)
{
    target->code = (uint16_t)event->phase_ack.code;
    if (event->phase_ack.phase == TRI_PHASE_FINALIZE) {
        return;
    }
    if (event->phase_ack.phase == TRI_PHASE_COMMIT) {
        if (answer_may_forget(engine, round, event->phase_ack.code)) {
            engine->counters.commits_unknown++;
            return;
        }
        round->maybe &= ~bit; /* A11: a definite refusal of this COMMIT */
    }
    round->refused |= bit;
}

/* The phase goes on, or it has ended. */
static void answer_settle(struct tri_engine *engine, struct tri_round *round, bool is_refusal)
{
    switch (tri_round_phase((enum tri_round_state)round->state)) {
    case TRI_PHASE_PREPARE:
        if (is_refusal || tri_tally_is_complete(&round->tally)) {
            tri_engine_apply(engine, round, tri_verdict_prepare(engine, round));
        }
        return;
    case TRI_PHASE_COMMIT:
        if (tri_tally_is_complete(&round->tally)) {
            tri_engine_apply(engine, round, tri_verdict_commit(engine, round));
        }
        return;
    case TRI_PHASE_FINALIZE:
        /* Once the message timer runs, only it asks again; OK from all ends it at any time. */
        if (tri_tally_is_unanimous(&round->tally) ||
            (tri_tally_is_complete(&round->tally) && round->timer_kind == TRI_TIMER_PHASE)) {
            tri_engine_apply(engine, round, tri_verdict_finalize(engine, round));
        }
        return;
    case TRI_PHASE_COUNT:
        break;
    }
    assert(false);
}

enum tri_result tri_engine_phase_ack(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_round *round = tri_engine_find(engine, event->phase_ack.key, event->phase_ack.id);
    bool is_ok = event->phase_ack.type != TRI_ACK_PHASE_REJECT;
    struct tri_target *targets;
    uint32_t target;
    uint64_t bit;

    assert(event->phase_ack.chain < engine->options.chain_count);
    engine->counters.acks++;
    if (!answer_fits(event)) {
        engine->counters.acks_invalid++;
        return TRI_VIOLATION;
    }
    if (round == NULL) {
        round = tri_redeliver_named(engine, event->phase_ack.key, event->phase_ack.id);
    }
    if (round == NULL) {
        return answer_late(engine, event, false);
    }
    targets = round->targets;
    target = answer_target(targets, round->target_count, event->phase_ack.chain);
    if (target == TRI_TARGETS_MAX) {
        engine->counters.acks_stranger++;
        return TRI_STALE;
    }
    if (event->phase_ack.attempt != round->attempt) {
        return answer_late(engine, event, false);
    }
    if (event->phase_ack.phase != tri_round_phase((enum tri_round_state)round->state) ||
        !round->is_released) {
        return answer_late(engine, event, attempt_is_open(round));
    }
    bit = UINT64_C(1) << target;
    if ((round->tally.all & bit) == 0 ||
        tri_tally_count(&round->tally, target, is_ok) == TRI_STALE) {
        engine->counters.acks_repeated++;
        return TRI_STALE;
    }
    engine->counters.acks_counted++;
    tri_act_wait_for(engine, round, round->waiting & ~bit);
    tri_resend_clear_unsent(engine, round, round->unsent & bit);
    if (is_ok) {
        answer_ok(round, &targets[target], bit, event);
    } else {
        answer_reject(engine, round, &targets[target], bit, event);
    }
    answer_settle(engine, round, !is_ok);
    return TRI_OK;
}

/* Only answers to ROLLBACK, in the open rollback of this attempt, change anything (A07). */
enum tri_result tri_engine_control_ack(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_round *round =
        tri_engine_find(engine, event->control_ack.key, event->control_ack.id);
    bool is_done = event->control_ack.type == TRI_ACK_PROCESSED;
    struct tri_target *targets;
    uint32_t target;
    uint64_t bit;

    assert(event->control_ack.chain < engine->options.chain_count);
    engine->counters.control_acks++;
    if (round == NULL || event->control_ack.kind != TRI_CONTROL_ROLLBACK ||
        round->state != TRI_ROUND_A_ROLLING_BACK || !round->is_released ||
        event->control_ack.attempt != round->attempt) {
        return TRI_STALE;
    }
    targets = round->targets;
    target = answer_target(targets, round->target_count, event->control_ack.chain);
    if (target == TRI_TARGETS_MAX) {
        return TRI_STALE;
    }
    if (!is_done && event->control_ack.code == TRI_ERROR_BUSY) {
        return TRI_STALE; /* P13: nothing of it was kept; it is sent again in the window (A07) */
    }
    bit = UINT64_C(1) << target;
    if ((round->tally.all & bit) == 0 ||
        tri_tally_count(&round->tally, target, is_done) == TRI_STALE) {
        return TRI_STALE;
    }
    tri_act_wait_for(engine, round, round->waiting & ~bit);
    tri_resend_clear_unsent(engine, round, round->unsent & bit);
    if (is_done) {
        round->maybe &= ~bit; /* A11: a finished ROLLBACK */
    } else {
        targets[target].code = (uint16_t)event->control_ack.code;
    }
    if (tri_tally_is_complete(&round->tally)) {
        tri_engine_apply(engine, round, tri_verdict_rollback(engine, round));
    }
    return TRI_OK;
}

/* P14: a chain holds a reservation and asks whether anybody still wants it. */
enum tri_result tri_engine_ask(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_round *round = tri_engine_find(engine, event->ask.key, event->ask.id);

    assert(event->ask.chain < engine->options.chain_count);
    engine->counters.asks++;
    if (round == NULL) {
        round = tri_redeliver_named(engine, event->ask.key, event->ask.id);
    }
    if (round != NULL && event->ask.attempt == round->attempt && attempt_is_open(round)) {
        return TRI_OK; /* its frames are on their way, or will be sent again (P15) */
    }
    tri_act_stray_abort(engine, event, event->ask.chain, event->ask.attempt);
    return TRI_OK;
}
