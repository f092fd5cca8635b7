/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restore: from records back to rounds (D02).
 *
 * Replay fills rounds and the dedup table and nothing else: no timer runs, nothing is sent, nobody
 * waits.  Resume then gives every open round the state in which it goes on:
 *
 *     stage          goes on as    because
 *     UNDECIDED      BACKOFF       no decision record means abort (D02); the next attempt begins
 *                                  behind a backoff and uses up no retry
 *     BACKING_OFF    BACKOFF       it was waiting for its next attempt
 *     DECIDED        COMMITTING    COMMIT again to everybody: who has answered repeats it (P06)
 *     ROLLING_BACK   ROLLING_BACK  likewise, until the window ends (A07)
 *     RECORDED       FINALIZING    behind the primary record there is no other way (A08)
 *     HELD           HELD          the operator has not said his verdict (F06)
 *
 * The frames go out when the chains connect, by the same walk that serves a chain which comes back
 * (P15, resend.c): a recovered round is one whose frames were not handed out.
 */
#include "engine/engine.h"

#include <string.h>

/* The state in which a stage goes on; TRI_ROUND_STATE_COUNT if it has none. */
static enum tri_round_state restore_state(enum tri_record_stage stage, enum tri_atomicity atomicity,
                                          bool finalize_requested)
{
    static const uint8_t states[TRI_STAGE_COUNT][TRI_ATOMICITY_COUNT] = {
#define ROW(stage, best_effort, guaranteed, all_or_nothing)             \
    [TRI_STAGE_##stage] = {[TRI_BEST_EFFORT] = TRI_ROUND_##best_effort, \
                           [TRI_GUARANTEED] = TRI_ROUND_##guaranteed,   \
                           [TRI_ALL_OR_NOTHING] = TRI_ROUND_##all_or_nothing}
        /* clang-format off */
        ROW(UNDECIDED,    STATE_COUNT,  G_BACKOFF,    A_BACKOFF),
        ROW(DECIDED,      B_COMMITTING, G_COMMITTING, A_COMMITTING),
        ROW(ROLLING_BACK, STATE_COUNT,  STATE_COUNT,  A_ROLLING_BACK),
        ROW(RECORDED,     STATE_COUNT,  G_FINALIZING, A_FINALIZING),
        ROW(ENDED,        CLOSING,      CLOSING,      CLOSING),
        ROW(BACKING_OFF,  STATE_COUNT,  G_BACKOFF,    A_BACKOFF),
        ROW(HELD,         STATE_COUNT,  G_HELD,       A_HELD),
    /* clang-format on */
#undef ROW
    };

    if (stage == TRI_STAGE_DECIDED && atomicity == TRI_BEST_EFFORT && finalize_requested) {
        return TRI_ROUND_BF_COMMITTING;
    }
    return (enum tri_round_state)states[stage][atomicity];
}

static const char strategy_fault[] = "the strategy never comes to this stage";

/* The chain that the journal numbers `chain`, UINT16_MAX if it is not configured any more. */
static uint16_t restore_chain(const struct tri_replay *replay, uint16_t chain)
{
    return chain < replay->chain_count ? replay->chains[chain] : UINT16_MAX;
}

static uint32_t restore_now_s(const struct tri_replay *replay)
{
    return (uint32_t)(replay->now_ns / TRI_NS_PER_S);
}

/* R06, L07: what is left of the window, 0 = it is over. */
static uint64_t restore_rest_ms(const struct tri_replay *replay,
                                const struct tri_record_window *window)
{
    uint64_t rest_ms =
        window->forget_at_ms > replay->wall_ms ? window->forget_at_ms - replay->wall_ms : 0;

    return rest_ms < window->rest_ms ? rest_ms : window->rest_ms;
}

static uint32_t restore_expires_s(const struct tri_replay *replay,
                                  const struct tri_record_window *window)
{
    uint64_t expires_ns = replay->now_ns + restore_rest_ms(replay, window) * TRI_NS_PER_MS;

    return (uint32_t)((expires_ns + TRI_NS_PER_S - 1) / TRI_NS_PER_S);
}

/* What a record says of the targets.  One that does not tell their codes and tokens begins an
 * attempt, which has none yet, or follows the record that has told them (record.h). */
static void restore_targets(const struct tri_replay *replay, struct tri_round *round,
                            const struct tri_record_parts *parts)
{
    const struct tri_record_standing *standing = &parts->standing;
    struct tri_target *targets = round->targets;

    for (uint32_t i = 0; i < standing->target_count && parts->has_targets; i++) {
        targets[i] = standing->targets[i];
        targets[i].chain = restore_chain(replay, standing->targets[i].chain);
    }
    for (uint32_t i = 0; i < round->target_count && replay->kind == TRI_RECORD_ATTEMPT; i++) {
        targets[i].code = TRI_ERROR_NONE;
        targets[i].token_set_bytes = 0;
    }
}

/* Where a round stands, as its record says.  A BEST_EFFORT message is decided by being accepted. */
static void restore_standing(const struct tri_replay *replay, struct tri_round *round,
                             const struct tri_record_parts *parts, bool finalize_requested)
{
    const struct tri_record_standing *standing = &parts->standing;

    round->state = (uint8_t)restore_state(standing->stage, (enum tri_atomicity)round->atomicity,
                                          finalize_requested);
    round->state_shown = round->state;
    round->is_orphan = standing->stage == TRI_STAGE_UNDECIDED;
    round->attempt = standing->attempt;
    round->retries = standing->retries;
    round->cause = (uint8_t)standing->cause;
    round->ack_type = standing->ack_type;
    round->window_end_ms = standing->window_end_ms;
    round->refused = standing->refused;
    round->prepared = standing->prepared;
    round->applied = standing->applied;
    round->final = standing->final;
    round->maybe = standing->maybe;
    round->affected = standing->affected;
    restore_targets(replay, round, parts);
}

static uint16_t restore_target_set(struct tri_engine *engine, const struct tri_target *targets,
                                   uint32_t count)
{
    uint16_t chains[TRI_TARGETS_MAX];

    for (uint32_t i = 0; i < count; i++) {
        if (targets[i].chain == UINT16_MAX) {
            return TRI_TARGETS_NONE;
        }
        chains[i] = targets[i].chain;
    }
    return tri_targets_intern(engine->target_sets, chains, count);
}

/* Gives the slots of an open round back. */
static void restore_give_round(struct tri_engine *engine, struct tri_round *round)
{
    tri_engine_untake(engine, round);
    tri_arena_give(engine->bodies, round->body);
    tri_pool_give(engine->rounds_pool, tri_engine_round_index(engine, round));
}

/* As if the message had never been. */
static void restore_drop_round(struct tri_engine *engine, struct tri_round *round)
{
    tri_dedup_drop(engine->dedup, round->key, tri_round_hold(round));
    restore_give_round(engine, round);
}

static void restore_content(struct tri_round *round, const struct tri_record_parts *parts)
{
    const struct tri_record_content *content = &parts->content;

    round->expires_at_ms = content->expires_at_ms;
    round->waiters = TRI_ROUND_NONE;
    round->await_next = TRI_ROUND_NONE;
    round->inner_at = content->inner_at;
    round->id_at = content->id_at;
    round->id_bytes = content->id_bytes;
    round->ttl_ms = content->ttl_ms;
    memcpy(round->timeout_ms, content->timeout_ms, sizeof(round->timeout_ms));
    round->type = content->type & 15U;
    round->subtype = content->subtype & 3U;
    round->priority = content->priority & 3U;
    round->atomicity = content->atomicity & 3U;
    round->atomicity_declared = content->atomicity_declared & 3U;
    round->scope = content->scope & 1U;
    round->scope_declared = content->scope_declared & 1U;
    round->is_forced = content->is_forced;
    round->target_count = parts->standing.target_count;
    tri_round_fill(round, &content->hash, content->canonical);
}

/* Bodies that lie in a larger slot than they need move to a smaller one that has come free; whether
 * any has. */
static bool restore_pack(struct tri_engine *engine)
{
    bool has_moved = false;

    for (uint32_t index = tri_pool_next(engine->rounds_pool, 0); index != TRI_NONE_INDEX;
         index = tri_pool_next(engine->rounds_pool, index + 1)) {
        struct tri_round *round = tri_engine_round(engine, index);
        uint32_t *bodies = engine->submitters[round->submitter].bodies;
        uint32_t bytes = tri_round_body_bytes(round->target_count, round->canonical_bytes);
        uint32_t body;

        if (tri_arena_take(engine->bodies, bytes, &body) != TRI_OK) {
            continue;
        }
        if (tri_arena_class(body) >= tri_arena_class(round->body)) {
            tri_arena_give(engine->bodies, body);
            continue;
        }
        memcpy(tri_arena_at(engine->bodies, body), round->targets, bytes);
        bodies[tri_arena_class(round->body)]--;
        bodies[tri_arena_class(body)]++;
        tri_arena_give(engine->bodies, round->body);
        round->body = body;
        round->targets = tri_arena_at(engine->bodies, body);
        has_moved = true;
    }
    return tri_envelope_pack(engine) || has_moved;
}

/* Messages come back in another order than they came in, so a small one may stand where a large one
 * stood (R08): what fitted then has to fit now. */
enum tri_result tri_restore_take_body(struct tri_engine *engine, uint32_t bytes, uint32_t *body)
{
    enum tri_result result = tri_arena_take(engine->bodies, bytes, body);

    while (result != TRI_OK && restore_pack(engine)) {
        result = tri_arena_take(engine->bodies, bytes, body);
    }
    return result;
}

/* A message from its content: ACCEPT and IMAGE. */
static enum tri_result restore_open(struct tri_engine *engine, const struct tri_replay *replay,
                                    const struct tri_record_parts *parts, const char **fault)
{
    const struct tri_record_standing *standing = &parts->standing;
    uint32_t body_bytes =
        tri_round_body_bytes(standing->target_count, parts->content.canonical.bytes);
    struct tri_dedup_hold hold = {tri_dedup_places(standing->target_count), 0};
    struct tri_dedup_found found = tri_dedup_find(engine->dedup, parts->key);
    struct tri_round *round = NULL;
    uint32_t body;

    if (found.state == TRI_DEDUP_OPEN) {
        if (replay->kind == TRI_RECORD_ACCEPT) {
            *fault = "an open message is accepted again";
            return TRI_VIOLATION;
        }
        /* Its picture takes its place. */
        restore_drop_round(engine, tri_engine_round(engine, found.round));
    } else if (found.state == TRI_DEDUP_CLOSED) {
        tri_dedup_forget(engine->dedup, found.entry); /* its time had ended, the id came again */
    }
    if (tri_restore_take_body(engine, body_bytes, &body) == TRI_OK) {
        round = tri_engine_take(engine, parts->key, body, hold);
    }
    if (round == NULL) {
        *fault = "more messages were open or remembered than the capacities allow";
        return TRI_FULL;
    }
    restore_content(round, parts);
    restore_standing(replay, round, parts, parts->content.finalize_requested);
    round->target_set = restore_target_set(engine, round->targets, round->target_count);
    return TRI_OK;
}

/* The round of a record that does not bring its content; NULL: nothing is known of it. */
static struct tri_round *restore_find(struct tri_engine *engine, struct tri_key key)
{
    struct tri_dedup_found found = tri_dedup_find(engine->dedup, key);

    return found.state == TRI_DEDUP_OPEN ? tri_engine_round(engine, found.round) : NULL;
}

static bool restore_has_targets(const struct tri_replay *replay, const struct tri_round *round,
                                const struct tri_record_parts *parts)
{
    const struct tri_record_standing *standing = &parts->standing;

    for (uint32_t i = 0;
         i < standing->target_count && i < round->target_count && parts->has_targets; i++) {
        if (round->targets[i].chain != restore_chain(replay, standing->targets[i].chain)) {
            return false;
        }
    }
    return round->target_count == standing->target_count;
}

/* Whether a primary record stands behind the decision of its attempt, which has told the tokens. */
static bool restore_is_decided(const struct tri_round *round, tri_attempt attempt)
{
    return round->attempt == attempt &&
           (round->state == TRI_ROUND_G_COMMITTING || round->state == TRI_ROUND_A_COMMITTING);
}

/* An open message's outcome: what is remembered of it, if its time is not over. */
static enum tri_result restore_end(struct tri_engine *engine, const struct tri_replay *replay,
                                   struct tri_round *round, const struct tri_record_window *window,
                                   const char **fault)
{
    if (!tri_view_fits(round)) {
        *fault = "no message ends like this";
        return TRI_VIOLATION;
    }
    if (restore_rest_ms(replay, window) == 0) {
        restore_drop_round(engine, round);
        return TRI_STALE; /* R06: its window is over */
    }
    tri_view_store(engine, round,
                   tri_dedup_close(engine->dedup, round->key, tri_round_hold(round),
                                   restore_now_s(replay), restore_expires_s(replay, window)));
    restore_give_round(engine, round);
    return TRI_OK;
}

static enum tri_result restore_step(struct tri_engine *engine, const struct tri_replay *replay,
                                    const struct tri_record_parts *parts, const char **fault)
{
    struct tri_round *round = restore_find(engine, parts->key);
    bool finalize_requested;

    if (round == NULL) {
        return TRI_STALE;
    }
    if (!restore_has_targets(replay, round, parts)) {
        *fault = "the record has other targets than its message";
        return TRI_VIOLATION;
    }
    if (replay->kind == TRI_RECORD_PRIMARY && !restore_is_decided(round, parts->standing.attempt)) {
        *fault = "a primary record without the decision of its attempt";
        return TRI_VIOLATION;
    }
    finalize_requested = round->state == TRI_ROUND_BF_COMMITTING;
    if (restore_state(parts->standing.stage, (enum tri_atomicity)round->atomicity,
                      finalize_requested) == TRI_ROUND_STATE_COUNT) {
        *fault = strategy_fault;
        return TRI_VIOLATION;
    }
    restore_standing(replay, round, parts, finalize_requested);
    return parts->has_window ? restore_end(engine, replay, round, &parts->window, fault) : TRI_OK;
}

/* CLOSE: every chain has answered FINALIZE behind the primary record. */
static enum tri_result restore_close(struct tri_engine *engine, const struct tri_replay *replay,
                                     const struct tri_record_parts *parts, const char **fault)
{
    struct tri_round *round = restore_find(engine, parts->key);

    if (round == NULL) {
        return TRI_STALE;
    }
    if (round->state != TRI_ROUND_G_FINALIZING && round->state != TRI_ROUND_A_FINALIZING) {
        *fault = "a message is closed that has no primary record";
        return TRI_VIOLATION;
    }
    round->ack_type = TRI_ACK_PROCESSED;
    round->cause = TRI_ERROR_NONE;
    round->applied = round->final = tri_round_all(round);
    return restore_end(engine, replay, round, &parts->window, fault);
}

static void restore_entry(struct tri_engine *engine, const struct tri_replay *replay,
                          struct tri_dedup_entry *entry, const struct tri_record_result *result)
{
    const uint64_t masks[2] = {result->done_mask, result->refused_mask};
    struct tri_target targets[TRI_TARGETS_MAX];

    for (uint32_t i = 0; i < result->chain_count; i++) {
        targets[i].chain = restore_chain(replay, result->chains[i]);
    }
    tri_dedup_store(engine->dedup, entry, masks);
    entry->hash = result->hash;
    entry->epoch = result->epoch;
    entry->attempt_n = result->attempt_n;
    entry->code = (uint8_t)result->code;
    entry->summary = result->summary;
    entry->kind = result->kind & 3U;
    entry->target_set = result->chain_count == 0
                            ? TRI_TARGETS_NONE
                            : restore_target_set(engine, targets, result->chain_count);
}

/* What a result holds: its masks say what has to be kept of its targets. */
static struct tri_dedup_hold restore_result_hold(const struct tri_record_result *result)
{
    bool is_wide = (result->done_mask | result->refused_mask) >> TRI_DEDUP_NARROW_TARGETS != 0;

    return (struct tri_dedup_hold){is_wide ? 2 : 1, 0};
}

/* REMEMBER: a result that brings itself. */
static enum tri_result restore_closed(struct tri_engine *engine, const struct tri_replay *replay,
                                      const struct tri_record_parts *parts, const char **fault)
{
    const struct tri_record_result *result = &parts->result;
    struct tri_dedup_hold hold = restore_result_hold(result);
    struct tri_dedup_found found = tri_dedup_find(engine->dedup, parts->key);
    struct tri_dedup_entry *entry = NULL;

    if (found.state == TRI_DEDUP_OPEN) {
        restore_drop_round(engine, tri_engine_round(engine, found.round));
    } else if (found.state == TRI_DEDUP_CLOSED && (found.entry->is_wide != 0 || hold.places == 1)) {
        entry = found.entry; /* the same result again */
    } else if (found.state == TRI_DEDUP_CLOSED) {
        tri_dedup_forget(engine->dedup, found.entry);
    }
    if (restore_rest_ms(replay, &parts->window) == 0) {
        if (entry != NULL) {
            tri_dedup_forget(engine->dedup, entry);
        }
        return TRI_STALE; /* R06: its window is over */
    }
    if (entry == NULL) {
        entry = tri_dedup_remember(engine->dedup, parts->key, hold, restore_now_s(replay),
                                   restore_expires_s(replay, &parts->window));
    }
    if (entry == NULL) {
        *fault = "more messages are remembered than dedup_entries_max allows";
        return TRI_FULL;
    }
    restore_entry(engine, replay, entry, result);
    return TRI_OK;
}

enum tri_result tri_engine_replay(struct tri_engine *engine, const struct tri_replay *replay,
                                  const char **fault)
{
    struct tri_record_parts *parts = &engine->replayed;

    assert(engine->lsn == 0);
    *fault = NULL;
    if (tri_envelope_is_record(replay->kind)) {
        return tri_envelope_replay(engine, replay, fault);
    }
    if (tri_record_decode(replay->kind, replay->payload, parts, fault) != TRI_OK) {
        return TRI_VIOLATION;
    }
    if (parts->has_standing && parts->has_content &&
        restore_state(parts->standing.stage, (enum tri_atomicity)parts->content.atomicity,
                      parts->content.finalize_requested) == TRI_ROUND_STATE_COUNT) {
        *fault = strategy_fault;
        return TRI_VIOLATION;
    }
    if (parts->has_standing &&
        TRI_ATTEMPT_EPOCH(parts->standing.attempt) >= engine->options.epoch) {
        *fault = "an attempt of this start or a later one: the number of the start went back";
        return TRI_VIOLATION;
    }
    if (replay->kind == TRI_RECORD_CHECKPOINT) {
        return TRI_OK;
    }
    if (parts->has_content) {
        return restore_open(engine, replay, parts, fault);
    }
    if (parts->has_standing) {
        return restore_step(engine, replay, parts, fault);
    }
    return parts->has_result ? restore_closed(engine, replay, parts, fault)
                             : restore_close(engine, replay, parts, fault);
}

void tri_engine_replayed(struct tri_engine *engine, struct tri_replayed *replayed)
{
    const struct tri_record_parts *parts = &engine->replayed;
    const struct tri_round *round = restore_find(engine, parts->key);

    assert(engine->lsn == 0);
    assert(parts->has_standing && !parts->has_content);
    *replayed = (struct tri_replayed){.is_known = round != NULL};
    if (parts->has_place) {
        replayed->oss_epoch = parts->place.oss_epoch;
        replayed->issued_at_ms = parts->place.issued_at_ms;
    }
    if (round != NULL) {
        tri_view_round(engine, round, &replayed->round);
    }
}

/* ---- resume ---- */

static bool resume_is_configured(const struct tri_round *round)
{
    for (uint32_t i = 0; i < round->target_count; i++) {
        if (round->targets[i].chain == UINT16_MAX) {
            return false;
        }
    }
    return true;
}

/* The state's frames have not been handed out to `targets`; their time runs from now (P08). */
static void resume_open(struct tri_engine *engine, struct tri_round *round, uint64_t targets)
{
    tri_tally_open(&round->tally, targets);
    tri_act_wait_for(engine, round, targets);
    tri_resend_mark_unsent(engine, round, targets);
    tri_act_arm(engine, round);
}

/* A07, L07: what is left of the window, but not less than the frames need to be sent once. */
static void resume_window(const struct tri_engine *engine, struct tri_round *round)
{
    uint64_t least_ms = engine->options.rollback_window_ms / 8;
    uint64_t rest_ms =
        round->window_end_ms > engine->wall_ms ? round->window_end_ms - engine->wall_ms : 0;

    if (rest_ms > engine->options.rollback_window_ms) {
        rest_ms = engine->options.rollback_window_ms;
    }
    round->window_end_ns =
        engine->now_ns + (rest_ms < least_ms ? least_ms : rest_ms) * TRI_NS_PER_MS;
}

static void resume_round(struct tri_engine *engine, struct tri_round *round)
{
    switch ((enum tri_round_state)round->state) {
    case TRI_ROUND_G_BACKOFF:
    case TRI_ROUND_A_BACKOFF:
        tri_act_arm_retry(engine, round);
        return;
    case TRI_ROUND_G_HELD:
    case TRI_ROUND_A_HELD:
        tri_force_hold(engine, round);
        return;
    case TRI_ROUND_A_ROLLING_BACK:
        round->maybe = round->affected;
        resume_open(engine, round, round->affected);
        resume_window(engine, round);
        return;
    case TRI_ROUND_G_FINALIZING:
    case TRI_ROUND_A_FINALIZING:
        round->applied = tri_round_all(round);
        break;
    default:
        round->refused = round->applied = 0;
        break;
    }
    round->final = 0;
    resume_open(engine, round, tri_round_all(round));
}

enum tri_result tri_engine_resume(struct tri_engine *engine, uint64_t now_ns, uint64_t wall_ms)
{
    struct tri_effects effects = {.count = 0};
    uint32_t index = tri_pool_next(engine->rounds_pool, 0);

    assert(engine->lsn == 0);
    engine->now_ns = now_ns;
    engine->wall_ms = wall_ms;
    while (index != TRI_NONE_INDEX) {
        if (!resume_is_configured(tri_engine_round(engine, index))) {
            return TRI_GONE;
        }
        index = tri_pool_next(engine->rounds_pool, index + 1);
    }
    engine->effects = &effects; /* nothing of this has an effect; asserted below */
    for (index = tri_pool_next(engine->rounds_pool, 0); index != TRI_NONE_INDEX;
         index = tri_pool_next(engine->rounds_pool, index + 1)) {
        resume_round(engine, tri_engine_round(engine, index));
    }
    tri_envelope_resume(engine);
    engine->effects = NULL;
    assert(effects.count == 0);
    return TRI_OK;
}
