/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admit: from a submitted message to a round, or to a refusal.
 *
 * The order matters: what was seen before is answered before anything else is asked (R01), age
 * comes before capacity, and nothing is taken until everything can be.
 */
#include "engine/engine.h"

#include <string.h>

static struct tri_effect *admit_tell(struct tri_engine *engine, const struct tri_event *event,
                                     enum tri_ack_type type, enum tri_error code,
                                     uint64_t after_lsn)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_NOTIFY, after_lsn);

    effect->notify.kind = TRI_NOTIFY_ACK;
    effect->notify.client = event->submit.client;
    effect->notify.ack_type = type;
    effect->notify.code = code;
    effect->notify.is_duplicate = false;
    effect->notify.has_targets = false;
    effect->round = (struct tri_round_view){0};
    effect->round.key = event->submit.key;
    effect->round.hash = event->submit.hash;
    effect->round.id = event->submit.message->id;
    return effect;
}

static enum tri_result admit_refuse(struct tri_engine *engine, const struct tri_event *event,
                                    enum tri_error code)
{
    (void)admit_tell(engine, event, TRI_ACK_REJECTED, code, 0);
    engine->counters.refused++;
    return TRI_OK;
}

static bool admit_is_waiting(const struct tri_engine *engine, const struct tri_round *round,
                             uint64_t client)
{
    uint32_t index = round->waiters;

    if (round->client == client) {
        return true;
    }
    while (index != TRI_ROUND_NONE && engine->waiters[index].client != client) {
        index = engine->waiters[index].next;
    }
    return index != TRI_ROUND_NONE;
}

/* One more client for an open message.  When as many wait as may, the newest takes the place of the
 * oldest beside the first: a client that connects again and again is one of them.  *replaced is who
 * has to be told that nobody answers him, or 0. */
static bool admit_attach(struct tri_engine *engine, struct tri_round *round, uint64_t client,
                         uint64_t *replaced)
{
    uint32_t *link = &round->waiters;
    uint32_t index;

    *replaced = 0;
    if (admit_is_waiting(engine, round, client)) {
        return true;
    }
    if (round->waiter_count == TRI_WAITERS_MAX - 1) {
        while (engine->waiters[*link].next != TRI_ROUND_NONE) {
            link = &engine->waiters[*link].next;
        }
        index = *link;
        *link = TRI_ROUND_NONE;
        *replaced = engine->waiters[index].client;
        engine->counters.waiters_replaced++;
    } else {
        if (tri_pool_take(engine->waiters_pool, &index) != TRI_OK) {
            return false;
        }
        round->waiter_count++;
    }
    engine->waiters[index].client = client;
    engine->waiters[index].next = round->waiters;
    round->waiters = index;
    return true;
}

/* A known id (R01, R02). */
static enum tri_result admit_known(struct tri_engine *engine, const struct tri_event *event,
                                   struct tri_dedup_found found)
{
    struct tri_round *round =
        found.state == TRI_DEDUP_OPEN ? tri_engine_round(engine, found.round) : NULL;
    const struct tri_hash *hash = round != NULL ? tri_round_hash(round) : &found.entry->hash;
    struct tri_effect *effect;
    uint64_t replaced;

    if (memcmp(hash, &event->submit.hash, sizeof(*hash)) != 0) {
        engine->counters.equivocations++;
        return admit_refuse(engine, event, TRI_ERROR_DUPLICATE_ID_MISMATCH);
    }
    engine->counters.duplicates++;
    if (round == NULL) {
        effect = admit_tell(engine, event, tri_view_result(found.entry),
                            (enum tri_error)found.entry->code, 0);
        effect->notify.is_duplicate = true;
        tri_view_closed(engine, event->submit.key, found.entry, &effect->round,
                        &effect->notify.has_targets);
        effect->round.id = event->submit.message->id;
        return TRI_OK;
    }
    if (round->state == TRI_ROUND_CLOSING) {
        effect = admit_tell(engine, event, (enum tri_ack_type)round->ack_type,
                            (enum tri_error)round->cause, round->release_lsn);
        effect->notify.is_duplicate = true;
        effect->notify.has_targets = true;
        tri_view_round(engine, round, &effect->round);
        return TRI_OK;
    }
    if (!admit_attach(engine, round, event->submit.client, &replaced)) {
        engine->counters.refused_busy++;
        return admit_refuse(engine, event, TRI_ERROR_BUSY);
    }
    if (replaced != 0) {
        effect = admit_tell(engine, event, TRI_ACK_REJECTED, TRI_ERROR_BUSY, round->accept_lsn);
        effect->notify.client = replaced;
        effect->notify.is_duplicate = true;
        tri_view_durable(engine, round, &effect->round);
    }
    effect = admit_tell(engine, event, TRI_ACK_RECEIVED, TRI_ERROR_NONE, round->accept_lsn);
    effect->notify.is_duplicate = true;
    tri_view_durable(engine, round, &effect->round);
    return TRI_OK;
}

/* The result has been forgotten, but a message that is redelivered has a primary record: it is told
 * what every duplicate is told (R01), whatever becomes of the redelivery. */
static enum tri_result admit_redelivered(struct tri_engine *engine, const struct tri_event *event)
{
    const struct tri_round *round = tri_redeliver_find(engine, event->submit.key);

    if (memcmp(tri_round_hash(round), &event->submit.hash, sizeof(event->submit.hash)) != 0) {
        engine->counters.equivocations++;
        return admit_refuse(engine, event, TRI_ERROR_DUPLICATE_ID_MISMATCH);
    }
    engine->counters.duplicates++;
    admit_tell(engine, event, TRI_ACK_PROCESSED, TRI_ERROR_NONE, 0)->notify.is_duplicate = true;
    return TRI_OK;
}

/* R05 */
static enum tri_error admit_age(const struct tri_engine *engine, const struct tri_message *message)
{
    if (message->timestamp_ms > engine->wall_ms + engine->options.clock_allowance_ms) {
        return TRI_ERROR_TIMESTAMP_AHEAD;
    }
    if (engine->wall_ms > message->timestamp_ms + message->ttl_s * UINT64_C(1000)) {
        return TRI_ERROR_STALE;
    }
    return TRI_ERROR_NONE;
}

void tri_admit_strategy(struct tri_admission *admission)
{
    const struct tri_message *message = admission->message;

    admission->atomicity =
        message->priority == TRI_PRIORITY_CRITICAL ? TRI_ALL_OR_NOTHING : message->atomicity;
    admission->scope =
        admission->atomicity == TRI_ALL_OR_NOTHING ? TRI_SCOPE_ALL_CHAINS : message->scope;
}

/* What bounds the date of a forced message.  A result is remembered for a window from the end on
 * (R06), and that of a forced message dated ahead from its date on (tri_force_ahead_ms()): so until
 * a window behind its date, less the clocks, a repetition is always known for one.  What is older
 * may stand in a primary record already and cannot be told from a new message (D04).  What is too
 * far ahead would have to be remembered for ever. */
static enum tri_error admit_date(const struct tri_engine *engine, const struct tri_message *message)
{
    const struct tri_engine_options *options = &engine->options;
    uint64_t window_ms = options->policies[message->type][message->subtype].dedup_window_ms;

    if (message->timestamp_ms > engine->wall_ms + TRI_FORCE_AHEAD_MS_MAX) {
        return TRI_ERROR_TIMESTAMP_AHEAD;
    }
    if (engine->wall_ms + options->clock_allowance_ms > message->timestamp_ms + window_ms) {
        return admit_age(engine, message); /* never less than on the ordinary path */
    }
    return TRI_ERROR_NONE;
}

/* F06: force inclusion skips what keeps old and early messages out of the queue, and that alone.
 * Duplicates (R01, R02), the strategy, where assets are (A04), locks and timeouts (L01, H01) and
 * capacities (R08, shares included: they are what others have been promised) are asked as ever. */
static enum tri_error admit_forced(const struct tri_engine *engine, struct tri_admission *admission)
{
    tri_admit_strategy(admission);
    if (admission->atomicity == TRI_BEST_EFFORT) {
        /* It has no primary record, so there is nothing that the self-defense check could guard. */
        return TRI_ERROR_NOT_ALLOWED;
    }
    return admit_date(engine, admission->message);
}

/* The listed targets as chain indices. */
static enum tri_error admit_listed(const struct tri_engine *engine,
                                   const struct tri_message *message, uint16_t *chains)
{
    for (uint32_t i = 0; i < message->target_count; i++) {
        if (!tri_engine_chain_find(engine, message->targets[i], &chains[i])) {
            return TRI_ERROR_CHAIN_NOT_SUPPORTED;
        }
    }
    return TRI_ERROR_NONE;
}

/* A04, A10: who is a target, from the content and the map alone (H02). */
static enum tri_error admit_scope(const struct tri_engine *engine, struct tri_admission *admission)
{
    const struct tri_message *message = admission->message;
    uint16_t listed[TRI_TARGETS_MAX];
    enum tri_error code;

    tri_admit_strategy(admission);
    code = admit_listed(engine, message, listed);
    if (code != TRI_ERROR_NONE) {
        return code;
    }
    if (admission->scope == TRI_SCOPE_TARGETS) {
        memcpy(admission->chains, listed, message->target_count * sizeof(listed[0]));
        admission->chain_count = message->target_count;
        return TRI_ERROR_NONE;
    }
    code = tri_location_resolve(engine->locations, message->assets, message->asset_count,
                                admission->chains, &admission->chain_count);
    if (code != TRI_ERROR_NONE) {
        return code;
    }
    for (uint32_t i = 0; i < message->target_count; i++) {
        uint32_t k = 0;

        while (k < admission->chain_count && admission->chains[k] != listed[i]) {
            k++;
        }
        if (k == admission->chain_count) {
            return TRI_ERROR_TARGET_NOT_IN_LOCATION;
        }
    }
    return TRI_ERROR_NONE;
}

/* H01: per-phase timeouts within the maxima.  L01: the lock outlives the retry window; the derived
 * default also counts the phases of every attempt, the rollback window and the clocks. */
enum tri_error tri_admit_times(const struct tri_engine *engine, struct tri_admission *admission)
{
    const struct tri_message *message = admission->message;
    const struct tri_engine_policy *policy =
        &engine->options.policies[message->type][message->subtype];
    uint64_t window_ms =
        message->ttl_s * UINT64_C(1000) + (uint64_t)policy->retries_max * policy->backoff_max_ms;
    uint64_t phases_ms = 0;

    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        uint32_t asked_ms = message->timeout_ms[phase];

        if (asked_ms > engine->options.timeout_ms_max[phase]) {
            return TRI_ERROR_FIELD_OUT_OF_RANGE;
        }
        admission->timeout_ms[phase] = asked_ms != 0 ? asked_ms : engine->options.timeout_ms[phase];
        phases_ms += admission->timeout_ms[phase];
    }
    phases_ms += (uint64_t)engine->options.rollback_window_ms + engine->options.clock_allowance_ms;
    admission->ttl_ms = policy->lock_ttl_ms != 0
                            ? policy->lock_ttl_ms
                            : window_ms + (policy->retries_max + UINT64_C(1)) * phases_ms;
    if (admission->ttl_ms < window_ms || admission->ttl_ms > UINT32_MAX) {
        return TRI_ERROR_LOCK_TTL_TOO_SHORT;
    }
    return TRI_ERROR_NONE;
}

/* R08: messages that wait for one chain hold at most their share of this class, and of the rounds.
 */
bool tri_admit_has_share(const struct tri_engine *engine, const struct tri_admission *admission,
                         uint32_t body_class)
{
    uint64_t permille = engine->options.chain_share_permille;
    uint64_t slots = engine->options.body_counts[body_class];

    for (uint32_t i = 0; i < admission->chain_count; i++) {
        const uint32_t *waiting = engine->chains[admission->chains[i]].waiting;
        uint64_t total = 0;

        for (uint32_t k = 0; k < TRI_ENGINE_BODY_CLASSES; k++) {
            total += waiting[k];
        }
        if ((waiting[body_class] + UINT64_C(1)) * 1000 > slots * permille ||
            (total + 1) * 1000 > engine->options.rounds_max * permille) {
            return false;
        }
    }
    return true;
}

/* One more of `slots` that somebody holds `held` of; one is always granted. */
static bool admit_is_within(uint64_t held, uint64_t slots, uint64_t permille)
{
    return held == 0 || (held + 1) * 1000 <= slots * permille;
}

/* R08: and so do the messages of one submitter, those that are remembered included: the table
 * forgets nothing early, so who fills it would shut everybody else out for a whole window.  Its
 * envelopes hold at most half of its share of the bodies, so their deliveries find the other. */
bool tri_admit_has_own_share(const struct tri_engine *engine, uint32_t submitter,
                             uint32_t body_class)
{
    const struct tri_engine_options *options = &engine->options;
    const struct tri_submitter *own = &engine->submitters[submitter];
    uint64_t permille = options->submitter_share_permille;

    return submitter == 0 ||
           ((own->bodies[body_class] == 0 ||
             admit_is_within(own->bodies[body_class] + own->envelope_bodies[body_class],
                             options->body_counts[body_class], permille)) &&
            admit_is_within(own->open_count, options->rounds_max, permille) &&
            admit_is_within(engine->remembered[submitter], options->dedup_entries_max, permille));
}

void tri_admit_fill(struct tri_engine *engine, struct tri_round *round,
                    const struct tri_admission *admission)
{
    const struct tri_message *message = admission->message;
    struct tri_target *targets;

    round->key = admission->key;
    round->attempt = TRI_ATTEMPT(engine->options.epoch, 1);
    round->expires_at_ms = engine->wall_ms + admission->ttl_ms;
    round->client = admission->client;
    round->waiters = TRI_ROUND_NONE;
    round->await_next = TRI_ROUND_NONE;
    round->inner_at = (uint16_t)(message->inner.at - message->canonical.at);
    assert(round->inner_at + message->inner.bytes == message->canonical.bytes);
    round->id_at = (uint8_t)((const uint8_t *)message->id.at - message->canonical.at);
    round->id_bytes = (uint8_t)message->id.bytes;
    round->ttl_ms = (uint32_t)admission->ttl_ms;
    memcpy(round->timeout_ms, admission->timeout_ms, sizeof(round->timeout_ms));
    round->target_set =
        tri_targets_intern(engine->target_sets, admission->chains, admission->chain_count);
    round->is_forced = admission->is_forced;
    if (admission->is_forced) {
        round->window_end_ms = engine->wall_ms + message->ttl_s * UINT64_C(1000);
        round->state = (uint8_t)tri_round_held(admission->atomicity);
    } else {
        round->state = (uint8_t)tri_round_start(admission->atomicity, message->finalize_requested);
    }
    round->state_shown = round->state;
    round->target_count = (uint8_t)admission->chain_count;
    round->type = message->type & 15U;
    round->subtype = message->subtype & 3U;
    round->priority = message->priority & 3U;
    round->atomicity = admission->atomicity & 3U;
    round->atomicity_declared = message->atomicity & 3U;
    round->scope = admission->scope & 1U;
    round->scope_declared = message->scope & 1U;
    targets = round->targets;
    for (uint32_t i = 0; i < admission->chain_count; i++) {
        targets[i].chain = admission->chains[i];
        targets[i].code = TRI_ERROR_NONE;
        targets[i].token_set_bytes = 0;
    }
    tri_round_fill(round, admission->hash, message->canonical);
}

/* All pools or none. */
static enum tri_result admit_take(struct tri_engine *engine, const struct tri_event *event,
                                  const struct tri_admission *admission)
{
    uint32_t submitter =
        event->submit.submitter <= engine->options.submitters_max ? event->submit.submitter : 0;
    struct tri_dedup_hold hold = {tri_dedup_places(admission->chain_count), (uint16_t)submitter};
    uint32_t body_bytes =
        tri_round_body_bytes(admission->chain_count, admission->message->canonical.bytes);
    struct tri_round *round;
    uint32_t body;

    if (tri_arena_take(engine->bodies, body_bytes, &body) != TRI_OK) {
        engine->counters.refused_busy++;
        return admit_refuse(engine, event, TRI_ERROR_BUSY);
    }
    if (!tri_admit_has_share(engine, admission, tri_arena_class(body))) {
        tri_arena_give(engine->bodies, body);
        engine->counters.refused_chain_share++;
        return admit_refuse(engine, event, TRI_ERROR_BUSY);
    }
    if (!tri_admit_has_own_share(engine, submitter, tri_arena_class(body))) {
        tri_arena_give(engine->bodies, body);
        engine->counters.refused_submitter_share++;
        return admit_refuse(engine, event, TRI_ERROR_BUSY);
    }
    round = tri_engine_take(engine, event->submit.key, body, hold);
    if (round == NULL) {
        engine->counters.refused_busy++;
        return admit_refuse(engine, event, TRI_ERROR_BUSY);
    }
    tri_admit_fill(engine, round, admission);
    engine->counters.accepted++;
    engine->counters.forced += admission->is_forced ? 1 : 0;
    tri_act_start(engine, round);
    return TRI_OK;
}

enum tri_result tri_engine_submit(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_admission admission = {.key = event->submit.key,
                                      .hash = &event->submit.hash,
                                      .message = event->submit.message,
                                      .client = event->submit.client,
                                      .is_forced = event->submit.is_forced};
    struct tri_dedup_found found = tri_dedup_find(engine->dedup, event->submit.key);
    enum tri_error code;

    assert(event->submit.client != 0);
    assert(admission.message->canonical.at != NULL);
    engine->counters.submits++;
    if (found.state == TRI_DEDUP_CLOSED &&
        found.entry->expires_s <= engine->now_ns / TRI_NS_PER_S) {
        tri_dedup_forget(engine->dedup, found.entry);
        found.state = TRI_DEDUP_UNKNOWN;
    }
    if (found.state != TRI_DEDUP_UNKNOWN) {
        return admit_known(engine, event, found);
    }
    if (tri_redeliver_find(engine, event->submit.key) != NULL) {
        return admit_redelivered(engine, event);
    }
    if (engine->is_broken || engine->is_draining) {
        return admit_refuse(engine, event,
                            engine->is_broken ? TRI_ERROR_JOURNAL_FAILED : TRI_ERROR_SHUTTING_DOWN);
    }
    code = admission.is_forced ? admit_forced(engine, &admission)
                               : admit_age(engine, admission.message);
    if (code != TRI_ERROR_NONE) {
        engine->counters.refused_stale += code != TRI_ERROR_NOT_ALLOWED ? 1 : 0;
        return admit_refuse(engine, event, code);
    }
    code = admit_scope(engine, &admission);
    if (code == TRI_ERROR_NONE) {
        code = tri_admit_times(engine, &admission);
    }
    if (code != TRI_ERROR_NONE) {
        return admit_refuse(engine, event, code);
    }
    return admit_take(engine, event, &admission);
}
