/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Act: what follows from a cell of the round table.
 *
 * Every action is a short list of the same few moves: append a record, open a phase, send, notify,
 * arm the timer, wait for the record.  The order of effects is the order in which they must leave;
 * what has to wait for a record names its LSN.
 */
#include "engine/engine.h"

/* A rollback is repeated this often within its window (A07: frames may be resent until the
 * deadline). */
#define ROLLBACK_RESENDS 8U

uint64_t tri_act_append(struct tri_engine *engine, struct tri_round *round, enum tri_record kind)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_APPEND, 0);

    engine->lsn++;
    effect->append.kind = kind;
    effect->append.slot = tri_engine_round_index(engine, round);
    effect->append.lsn = engine->lsn;
    tri_view_round(engine, round, &effect->round);
    return engine->lsn;
}

static void act_notify_one(struct tri_engine *engine, struct tri_round *round, uint64_t client,
                           enum tri_notify kind, uint64_t after_lsn)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_NOTIFY, after_lsn);

    effect->notify.kind = kind;
    effect->notify.client = client;
    effect->notify.ack_type = (enum tri_ack_type)round->ack_type;
    effect->notify.code = (enum tri_error)round->cause;
    effect->notify.is_duplicate = false;
    effect->notify.has_targets = true;
    tri_view_round(engine, round, &effect->round);
}

void tri_act_notify(struct tri_engine *engine, struct tri_round *round, enum tri_notify kind,
                    uint64_t after_lsn)
{
    uint32_t count = 0;

    if (round->client != 0) {
        act_notify_one(engine, round, round->client, kind, after_lsn);
    }
    for (uint32_t index = round->waiters; index != TRI_ROUND_NONE;
         index = engine->waiters[index].next) {
        assert(count < TRI_WAITERS_MAX);
        count++;
        act_notify_one(engine, round, engine->waiters[index].client, kind, after_lsn);
    }
}

void tri_act_timer(struct tri_engine *engine, struct tri_round *round, enum tri_round_timer kind,
                   uint64_t at_ns)
{
    round->timer_kind = (uint8_t)kind;
    tri_deadlines_arm(engine->deadlines, tri_engine_round_index(engine, round), at_ns);
}

void tri_act_wait_for(struct tri_engine *engine, struct tri_round *round, uint64_t targets)
{
    const struct tri_target *target = round->targets;
    uint64_t changed = round->waiting ^ targets;

    for (uint64_t rest = changed; rest != 0; rest &= rest - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(rest);
        uint32_t *waiting =
            &engine->chains[target[bit].chain].waiting[tri_arena_class(round->body)];

        if ((targets >> bit) & 1U) {
            (*waiting)++;
        } else {
            assert(*waiting > 0);
            (*waiting)--;
        }
    }
    round->waiting = targets;
}

void tri_act_send(struct tri_engine *engine, struct tri_round *round, enum tri_send kind,
                  uint64_t targets, uint64_t after_lsn)
{
    const struct tri_target *target = round->targets;
    bool is_own = kind == tri_round_frames((enum tri_round_state)round->state);
    /* An ABORT is not repeated, so it goes even to a chain that is down: one that only reads slowly
     * gets it, and one that is gone asks when it is back (P14). */
    uint64_t up = is_own ? 0 : targets;
    struct tri_effect *effect;

    assert(is_own || kind == TRI_SEND_ABORT);
    for (uint64_t rest = targets & ~up; rest != 0; rest &= rest - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(rest);

        if (engine->chains[target[bit].chain].is_up) {
            up |= UINT64_C(1) << bit;
        }
    }
    if (is_own) {
        tri_resend_mark_unsent(engine, round, targets & ~up);
        tri_resend_clear_unsent(engine, round, up);
    }
    if (up == 0) {
        return;
    }
    effect = tri_engine_effect(engine, TRI_EFFECT_SEND, after_lsn);
    effect->send.kind = kind;
    effect->send.targets = up;
    effect->send.is_stray = false;
    effect->send.chain = 0;
    effect->send.attempt = round->attempt;
    effect->send.affected = kind == TRI_SEND_ROLLBACK ? round->affected : 0;
    tri_view_round(engine, round, &effect->round);
}

void tri_act_stray_abort(struct tri_engine *engine, const struct tri_event *event, uint16_t chain,
                         tri_attempt attempt)
{
    struct tri_effect *effect;
    bool is_ask = event->type == TRI_EVENT_ASK;

    if (engine->is_broken) {
        return;
    }
    effect = tri_engine_effect(engine, TRI_EFFECT_SEND, 0);
    effect->send.kind = TRI_SEND_ABORT;
    effect->send.targets = 0;
    effect->send.is_stray = true;
    effect->send.chain = chain;
    effect->send.attempt = attempt;
    effect->send.affected = 0;
    effect->round = (struct tri_round_view){0};
    effect->round.key = is_ask ? event->ask.key : event->phase_ack.key;
    effect->round.id = is_ask ? event->ask.id : event->phase_ack.id;
    effect->round.attempt = attempt;
    effect->round.expires_at_ms = engine->wall_ms;
    engine->counters.strays_aborted++;
}

void tri_act_open(struct tri_engine *engine, struct tri_round *round, uint64_t targets)
{
    tri_tally_open(&round->tally, targets);
    round->resends = 0;
    tri_resend_clear_unsent(engine, round, round->unsent);
    tri_act_wait_for(engine, round, targets);
}

/* R03: the backoff before redelivery or resend number `retry` (from 0), with a jitter that depends
 * on the message alone, so that the same events give the same times. */
uint64_t tri_act_backoff_ns(const struct tri_engine *engine, const struct tri_round *round,
                            uint32_t retry)
{
    const struct tri_engine_policy *policy = tri_engine_policy(engine, round);
    uint64_t backoff_ms = policy->backoff_initial_ms;
    uint64_t spread_ms;
    uint64_t mixed;

    for (uint32_t i = 0; i < retry && backoff_ms < policy->backoff_max_ms; i++) {
        backoff_ms = backoff_ms * policy->multiplier_permille / 1000 + 1;
    }
    if (backoff_ms > policy->backoff_max_ms) {
        backoff_ms = policy->backoff_max_ms;
    }
    spread_ms = backoff_ms * policy->jitter_permille / 1000;
    if (spread_ms >= backoff_ms) {
        /* Never no wait at all: what the step that ended an attempt says of it is read behind the
         * step, and a tick would begin the next one in the same. */
        spread_ms = backoff_ms - 1;
    }
    mixed = (round->key.lo ^ (round->key.hi + retry)) * UINT64_C(0x9e3779b97f4a7c15);
    /* Downwards only: backoff_max is what the lock TTL counts on (L01). */
    return (backoff_ms - (spread_ms == 0 ? 0 : (mixed >> 32) % (spread_ms + 1))) * TRI_NS_PER_MS;
}

/* The frames of the state leave now: its time runs from here (P08). */
void tri_act_arm(struct tri_engine *engine, struct tri_round *round)
{
    enum tri_phase phase = tri_round_phase((enum tri_round_state)round->state);
    uint64_t now_ns = engine->now_ns;

    round->is_released = true;
    round->sent_ns = now_ns;
    if (round->state == TRI_ROUND_A_ROLLING_BACK) {
        uint64_t window_ns = engine->options.rollback_window_ms * TRI_NS_PER_MS;

        round->window_end_ns = now_ns + window_ns;
        tri_act_timer(engine, round, TRI_TIMER_WINDOW, now_ns + window_ns / ROLLBACK_RESENDS);
        return;
    }
    assert(phase < TRI_PHASE_COUNT);
    if (phase == TRI_PHASE_PREPARE) {
        round->reservation_end_ns = now_ns + round->ttl_ms * TRI_NS_PER_MS;
    } else if (phase == TRI_PHASE_COMMIT) {
        round->maybe = round->tally.all; /* A11: from here on anybody may have applied */
    }
    tri_act_timer(engine, round, TRI_TIMER_PHASE,
                  now_ns + round->timeout_ms[phase] * TRI_NS_PER_MS);
}

void tri_act_arm_retry(struct tri_engine *engine, struct tri_round *round)
{
    bool is_finalizing = tri_round_phase((enum tri_round_state)round->state) == TRI_PHASE_FINALIZE;
    uint32_t retry = is_finalizing ? round->resends : round->retries;

    tri_act_timer(engine, round, TRI_TIMER_MESSAGE,
                  engine->now_ns + tri_act_backoff_ns(engine, round, retry));
}

/* NOLINTBEGIN(readability-identifier-naming): do_X carries out action X of the table */

static void do_ARM(struct tri_engine *engine, struct tri_round *round)
{
    tri_act_arm(engine, round);
}

static void do_ARM_RETRY(struct tri_engine *engine, struct tri_round *round)
{
    tri_act_arm_retry(engine, round);
}

void tri_act_start(struct tri_engine *engine, struct tri_round *round)
{
    enum tri_send frames = tri_round_frames((enum tri_round_state)round->state);
    uint64_t all = tri_round_all(round);
    uint64_t lsn = tri_act_append(engine, round, TRI_RECORD_ACCEPT);

    round->accept_lsn = lsn;
    round->ack_type = TRI_ACK_RECEIVED;
    tri_act_notify(engine, round, TRI_NOTIFY_ACK, lsn);
    if (round->is_forced) {
        tri_force_hold(engine, round); /* F06: nothing is sent before the verdict */
        return;
    }
    tri_act_open(engine, round, all);
    engine->counters.attempts++;
    if (frames == TRI_SEND_PREPARE) {
        /* Losing the accept record is harmless here: P06, P10 and P14 clean the reservations up. */
        tri_act_send(engine, round, frames, all, 0);
        do_ARM(engine, round);
    } else {
        /* A01: the accept record is the decision. */
        tri_act_send(engine, round, frames, all, lsn);
        tri_engine_await(engine, round, lsn);
    }
}

static void do_DECIDE(struct tri_engine *engine, struct tri_round *round)
{
    uint64_t all = tri_round_all(round);
    uint64_t lsn = tri_act_append(engine, round, TRI_RECORD_DECISION);

    engine->counters.decisions++;
    tri_act_open(engine, round, all);
    tri_act_send(engine, round, TRI_SEND_COMMIT, all, lsn);
    tri_engine_await(engine, round, lsn);
}

/* What a message counts for in its epoch: a finality record tells of its bytes, and names its
 * chains.
 */
static uint32_t act_epoch_bytes(const struct tri_round *round)
{
    return round->canonical_bytes + round->target_count * TRI_CHAIN_ID_BYTES_MAX;
}

static void do_RECORD(struct tri_engine *engine, struct tri_round *round)
{
    uint64_t all = tri_round_all(round);
    uint64_t lsn = tri_act_append(engine, round, TRI_RECORD_PRIMARY);
    uint64_t epoch = tri_epoch_join(&engine->epoch, lsn, act_epoch_bytes(round), round->is_forced);
    uint32_t count = engine->effects->count;

    assert(round->applied == all);
    engine->effects->at[count - 1].append.oss_epoch = epoch;
    engine->effects->at[count - 1].append.issued_at_ms = engine->wall_ms;
    engine->counters.primary_records++;
    tri_act_notify(engine, round, TRI_NOTIFY_NOTICE, lsn); /* F01: before FINALIZE ends */
    for (; count < engine->effects->count; count++) {
        engine->effects->at[count].notify.oss_epoch = epoch;
        engine->effects->at[count].notify.issued_at_ms = engine->wall_ms;
    }
    tri_act_open(engine, round, all);
    tri_act_send(engine, round, TRI_SEND_FINALIZE, all, lsn);
    tri_engine_await(engine, round, lsn);
}

static void do_LIGHT(struct tri_engine *engine, struct tri_round *round)
{
    tri_act_open(engine, round, round->applied);
    tri_act_send(engine, round, TRI_SEND_FINALIZE, round->applied, 0);
    do_ARM(engine, round);
}

static void do_REATTEMPT(struct tri_engine *engine, struct tri_round *round)
{
    struct tri_target *targets = round->targets;
    uint32_t n = TRI_ATTEMPT_EPOCH(round->attempt) == engine->options.epoch
                     ? TRI_ATTEMPT_N(round->attempt) + 1
                     : 1;
    uint64_t lsn;

    round->attempt_before = round->attempt;
    round->was_orphan = round->is_orphan;
    round->attempt = TRI_ATTEMPT(engine->options.epoch, n);
    round->retries = (uint16_t)(round->retries + (round->is_orphan ? 0 : 1));
    round->is_orphan = false;
    round->refused = round->prepared = round->applied = 0;
    round->affected = 0;
    round->cause = TRI_ERROR_NONE;
    for (uint32_t i = 0; i < round->target_count; i++) {
        targets[i].code = TRI_ERROR_NONE;
        targets[i].token_set_bytes = 0;
    }
    engine->counters.attempts++;
    engine->counters.redeliveries++;
    lsn = tri_act_append(engine, round, TRI_RECORD_ATTEMPT);
    tri_act_open(engine, round, tri_round_all(round));
    tri_act_send(engine, round, TRI_SEND_PREPARE, tri_round_all(round), lsn);
    tri_engine_await(engine, round, lsn);
}

static void do_RESEND(struct tri_engine *engine, struct tri_round *round)
{
    enum tri_send frames = tri_round_frames((enum tri_round_state)round->state);
    uint64_t targets;
    uint64_t next_ns;

    if (frames == TRI_SEND_ROLLBACK) {
        uint64_t step_ns = engine->options.rollback_window_ms * TRI_NS_PER_MS / ROLLBACK_RESENDS;

        targets = tri_tally_missing(&round->tally);
        next_ns = engine->now_ns + step_ns;
        if (next_ns > round->window_end_ns) {
            next_ns = round->window_end_ns;
        }
        tri_act_timer(engine, round, TRI_TIMER_WINDOW, next_ns);
    } else {
        assert(frames == TRI_SEND_FINALIZE);
        round->resends++;
        round->tally.answered = round->tally.ok; /* a refusal may be asked again */
        targets = tri_tally_missing(&round->tally);
        do_ARM_RETRY(engine, round);
    }
    engine->counters.resends += tri_round_count(targets);
    tri_act_send(engine, round, frames, targets, round->release_lsn);
}

static void do_ROLLBACK(struct tri_engine *engine, struct tri_round *round)
{
    uint64_t others = tri_round_all(round) & ~round->maybe;
    uint64_t lsn;

    assert(round->maybe != 0);
    engine->counters.rollbacks++;
    round->affected = round->maybe; /* nobody has been undone yet */
    round->window_end_ms = engine->wall_ms + engine->options.rollback_window_ms;
    lsn = tri_act_append(engine, round, TRI_RECORD_ROLLBACK);
    tri_act_open(engine, round, round->affected);
    tri_act_send(engine, round, TRI_SEND_ROLLBACK, round->affected, lsn);
    if (others != 0) {
        tri_act_send(engine, round, TRI_SEND_ABORT, others, lsn);
    }
    tri_engine_await(engine, round, lsn);
}

/* The attempt is over: nobody's answers count, and R08 charges those who made it fail. */
static void act_abort(struct tri_engine *engine, struct tri_round *round, uint64_t targets)
{
    uint64_t late = tri_tally_missing(&round->tally);

    round->is_released = false;
    tri_resend_clear_unsent(engine, round, round->unsent);
    tri_act_wait_for(engine, round, round->refused != 0 ? round->refused : late);
    tri_act_send(engine, round, TRI_SEND_ABORT, targets, 0);
}

static void act_count_end(struct tri_engine *engine, const struct tri_round *round)
{
    switch ((enum tri_ack_type)round->ack_type) {
    case TRI_ACK_PROCESSED:
        engine->counters.processed++;
        return;
    case TRI_ACK_REJECTED:
        engine->counters.rejected++;
        return;
    default:
        assert(round->ack_type == TRI_ACK_FAILED);
        engine->counters.failed++;
    }
}

/* The end by an outcome record; the result waits for it (D01). */
static void act_end(struct tri_engine *engine, struct tri_round *round, enum tri_ack_type type,
                    enum tri_error code)
{
    bool is_refusal = code == TRI_ERROR_ROLLED_BACK || type == TRI_ACK_REJECTED;
    uint64_t lsn;

    round->ack_type = (uint8_t)type;
    round->cause = (uint16_t)code;
    act_count_end(engine, round);
    if (round->priority == TRI_PRIORITY_CRITICAL && is_refusal) {
        engine->counters.escalations++; /* A12 */
    }
    lsn = tri_act_append(engine, round, TRI_RECORD_OUTCOME);
    tri_act_notify(engine, round, TRI_NOTIFY_ACK, lsn);
    tri_resend_clear_unsent(engine, round, round->unsent);
    tri_act_wait_for(engine, round, 0);
    tri_engine_await(engine, round, lsn);
}

/* Effects of this step may show the body until the next step begins; each such round has added one
 * at least. */
static void act_close_body(struct tri_engine *engine, const struct tri_round *round)
{
    if (engine->effects->count == 0) {
        tri_arena_give(engine->bodies, round->body);
        return;
    }
    assert(engine->spent_count < TRI_EFFECTS_MAX);
    engine->spent[engine->spent_count++] = round->body;
}

uint32_t tri_act_expires_s(const struct tri_engine *engine, const struct tri_round *round)
{
    uint64_t window_ms = tri_engine_policy(engine, round)->dedup_window_ms;

    if (window_ms < round->ttl_ms) {
        window_ms = round->ttl_ms;
    }
    window_ms += round->is_forced ? tri_force_ahead_ms(engine, round) : 0;
    return (uint32_t)((engine->now_ns + window_ms * TRI_NS_PER_MS) / TRI_NS_PER_S) + 1;
}

void tri_act_close(struct tri_engine *engine, struct tri_round *round)
{
    uint32_t index = tri_engine_round_index(engine, round);

    if (tri_round_is_redelivery(round)) {
        tri_redeliver_end(engine, round); /* what is remembered stays as it is */
    } else {
        tri_view_store(engine, round,
                       tri_dedup_close(engine->dedup, round->key, tri_round_hold(round),
                                       (uint32_t)(engine->now_ns / TRI_NS_PER_S),
                                       tri_act_expires_s(engine, round)));
    }
    tri_resend_clear_unsent(engine, round, round->unsent);
    tri_act_wait_for(engine, round, 0);
    tri_engine_untake(engine, round);
    while (round->waiters != TRI_ROUND_NONE) {
        uint32_t waiter = round->waiters;

        round->waiters = engine->waiters[waiter].next;
        tri_pool_give(engine->waiters_pool, waiter);
    }
    tri_deadlines_disarm(engine->deadlines, index);
    act_close_body(engine, round);
    tri_pool_give(engine->rounds_pool, index);
}

static void do_NOTHING(struct tri_engine *engine, struct tri_round *round)
{
    (void)engine;
    (void)round;
}

static void do_ABORT(struct tri_engine *engine, struct tri_round *round)
{
    act_abort(engine, round, tri_round_all(round));
    do_ARM_RETRY(engine, round);
}

/* Until the next attempt the decision would be the last thing that a restart finds (D02).  ABORT
 * does not wait for the record: a restart in between sends COMMIT again, as D02 has it, and the
 * chains that have had ABORT refuse it. */
static void do_GIVE_UP(struct tri_engine *engine, struct tri_round *round)
{
    do_ABORT(engine, round);
    (void)tri_act_append(engine, round, TRI_RECORD_IMAGE);
}

static void do_DIVERGE(struct tri_engine *engine, struct tri_round *round)
{
    engine->counters.reconciliations++;
    act_abort(engine, round, tri_round_all(round) & ~round->applied);
    act_end(engine, round, TRI_ACK_FAILED, TRI_ERROR_RECONCILIATION_REQUIRED);
}

static void do_ABORT_END_SPENT(struct tri_engine *engine, struct tri_round *round)
{
    act_abort(engine, round, tri_round_all(round));
    act_end(engine, round, TRI_ACK_FAILED, TRI_ERROR_MAX_RETRIES_EXCEEDED);
}

static void do_ABORT_END_REJECTED(struct tri_engine *engine, struct tri_round *round)
{
    act_abort(engine, round, tri_round_all(round));
    act_end(engine, round, TRI_ACK_REJECTED, (enum tri_error)round->cause);
}

static void do_ABORT_END_REFUSED(struct tri_engine *engine, struct tri_round *round)
{
    act_abort(engine, round, tri_round_all(round));
    act_end(engine, round, TRI_ACK_FAILED, (enum tri_error)round->cause);
}

static void do_ABORT_END_ROLLED_BACK(struct tri_engine *engine, struct tri_round *round)
{
    act_abort(engine, round, tri_round_all(round));
    act_end(engine, round, TRI_ACK_FAILED, TRI_ERROR_ROLLED_BACK);
}

static void do_END_UNDEFENDED(struct tri_engine *engine, struct tri_round *round)
{
    engine->counters.undefended++;
    act_end(engine, round, TRI_ACK_REJECTED, TRI_ERROR_SELF_DEFENSE_FAILED);
}

static void do_END_EXPIRED(struct tri_engine *engine, struct tri_round *round)
{
    engine->counters.expired++;
    act_end(engine, round, TRI_ACK_REJECTED, TRI_ERROR_EXPIRED);
}

static void do_END_PROCESSED(struct tri_engine *engine, struct tri_round *round)
{
    act_end(engine, round, TRI_ACK_PROCESSED, TRI_ERROR_NONE);
}

static void do_END_NONE(struct tri_engine *engine, struct tri_round *round)
{
    act_end(engine, round, TRI_ACK_FAILED, TRI_ERROR_NO_CHAIN_APPLIED);
}

static void do_END_SPENT(struct tri_engine *engine, struct tri_round *round)
{
    act_end(engine, round, TRI_ACK_FAILED, TRI_ERROR_MAX_RETRIES_EXCEEDED);
}

static void do_END_ROLLED_BACK(struct tri_engine *engine, struct tri_round *round)
{
    act_end(engine, round, TRI_ACK_FAILED, TRI_ERROR_ROLLED_BACK);
}

static void do_END_INCOMPLETE(struct tri_engine *engine, struct tri_round *round)
{
    engine->counters.rollbacks_incomplete++;
    engine->counters.escalations++;
    act_end(engine, round, TRI_ACK_FAILED, TRI_ERROR_ROLLBACK_INCOMPLETE);
}

/* The end behind a primary record, which has said it all (D01).  The CLOSE record is for recovery
 * alone, so that FINALIZE does not begin again; nothing waits for it. */
static void do_DELIVER(struct tri_engine *engine, struct tri_round *round)
{
    struct tri_effect *effect;

    assert(round->final == tri_round_all(round)); /* the record does not say so again */
    round->ack_type = TRI_ACK_PROCESSED;
    round->cause = TRI_ERROR_NONE;
    act_count_end(engine, round);
    tri_act_notify(engine, round, TRI_NOTIFY_ACK, round->release_lsn);
    effect = tri_engine_effect(engine, TRI_EFFECT_APPEND, 0);
    engine->lsn++;
    effect->append.kind = TRI_RECORD_CLOSE;
    effect->append.slot = TRI_NONE_INDEX;
    effect->append.lsn = engine->lsn;
    effect->append.expires_s = tri_act_expires_s(engine, round);
    effect->round = (struct tri_round_view){.key = round->key};
}

static void do_END_LACKING(struct tri_engine *engine, struct tri_round *round)
{
    act_end(engine, round, TRI_ACK_PROCESSED, TRI_ERROR_FINALIZE_INCOMPLETE);
}

static void do_END_ESCALATED(struct tri_engine *engine, struct tri_round *round)
{
    engine->counters.escalations++;
    act_end(engine, round, TRI_ACK_PROCESSED, TRI_ERROR_FINALIZE_INCOMPLETE);
}

/* Where they stand. */
#define do_BEGIN          tri_force_begin
#define do_FORWARD        tri_redeliver_forward
#define do_FORWARD_DONE   tri_redeliver_done
#define do_FORWARD_FAILED tri_redeliver_failed

void tri_act(struct tri_engine *engine, struct tri_round *round, enum tri_round_action action)
{
    static void (*const actions[TRI_ROUND_ACTION_COUNT])(struct tri_engine *,
                                                         struct tri_round *) = {
#define ACTION(name) [TRI_ROUND_DO_##name] = do_##name,
        TRI_ROUND_ACTIONS(ACTION)
#undef ACTION
    };

    assert(action < TRI_ROUND_ACTION_COUNT);
    actions[action](engine, round);
}
/* NOLINTEND(readability-identifier-naming) */
