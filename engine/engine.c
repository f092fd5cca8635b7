/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engine: life cycle, the one entry, time, and the journal's events.
 *
 * All memory is one block of the caller's, cut once.  A step looks the message up, turns the event
 * into an event of the round table, and carries the cell's action out.  Rounds that wait for a
 * record stand in a queue ordered by LSN, so a durable LSN releases them without a search.
 */
#include "engine/engine.h"

#include <string.h>

/* All messages that expire in one second do so at its beginning.  They are forgotten little by
 * little, two million a second if need be, so that nobody waits for long. */
#define SWEEP_NS_PER_ENTRY 500U
#define SWEEP_PAUSE_NS     250000U
#define SWEEP_ENTRIES_MAX  4096U
#define TAKE_SWEEP         64U /* likewise, when the table is full */

/* ---- memory ---- */

struct layout {
    size_t rounds_pool;
    size_t waiters_pool;
    size_t bodies;
    size_t dedup;
    size_t deadlines;
    size_t target_sets;
    size_t locations;
    size_t chains;
    size_t chains_by_text;
    size_t submitters;
    size_t remembered;
    size_t envelopes;
    size_t bytes;
};

static size_t layout_add(struct layout *layout, size_t bytes)
{
    size_t at = layout->bytes;

    layout->bytes += (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
    return at;
}

static struct tri_arena_options layout_bodies(const struct tri_engine_options *options)
{
    static const uint32_t class_bytes[TRI_ENGINE_BODY_CLASSES] = TRI_ENGINE_BODY_CLASS_BYTES;
    struct tri_arena_options arena = {.class_count = TRI_ENGINE_BODY_CLASSES};

    memcpy(arena.class_bytes, class_bytes, sizeof(class_bytes));
    memcpy(arena.class_slots, options->body_counts, sizeof(options->body_counts));
    return arena;
}

static struct layout layout_of(const struct tri_engine_options *options)
{
    struct tri_arena_options bodies = layout_bodies(options);
    struct layout layout = {0};

    (void)layout_add(&layout, sizeof(struct tri_engine));
    layout.rounds_pool = layout_add(
        &layout, tri_pool_footprint((uint32_t)sizeof(struct tri_round), options->rounds_max));
    layout.waiters_pool = layout_add(
        &layout, tri_pool_footprint((uint32_t)sizeof(struct tri_waiter), options->waiters_max));
    layout.bodies = layout_add(&layout, tri_arena_footprint(&bodies));
    layout.dedup = layout_add(&layout, tri_dedup_footprint(options->dedup_entries_max));
    layout.deadlines = layout_add(&layout, tri_deadlines_footprint());
    layout.target_sets = layout_add(&layout, tri_targets_footprint(TRI_TARGETS_SETS_DEFAULT));
    layout.locations = layout_add(&layout, tri_location_footprint(options->location_count));
    layout.chains = layout_add(&layout, options->chain_count * sizeof(struct tri_chain));
    layout.chains_by_text = layout_add(&layout, options->chain_count * sizeof(uint16_t));
    layout.submitters =
        layout_add(&layout, (options->submitters_max + 1) * sizeof(struct tri_submitter));
    layout.remembered = layout_add(&layout, (options->submitters_max + 1) * sizeof(uint32_t));
    layout.envelopes = layout_add(&layout, tri_envelopes_footprint(options));
    return layout;
}

size_t tri_engine_footprint(const struct tri_engine_options *options)
{
    if (tri_engine_check(options) != NULL) {
        return 0;
    }
    return layout_of(options).bytes;
}

/* ---- chains by name ---- */

static int text_compare(struct tri_text a, struct tri_text b)
{
    uint32_t bytes = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = memcmp(a.at, b.at, bytes);

    if (order != 0) {
        return order;
    }
    return a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
}

static void chains_init(struct tri_engine *engine)
{
    uint16_t *sorted = engine->chains_by_text;

    for (uint32_t i = 0; i < engine->options.chain_count; i++) {
        uint32_t k = i;

        engine->chains[i] = (struct tri_chain){.id = engine->options.chains[i].id};
        while (k > 0 && text_compare(engine->chains[sorted[k - 1]].id, engine->chains[i].id) > 0) {
            sorted[k] = sorted[k - 1];
            k--;
        }
        sorted[k] = (uint16_t)i;
    }
}

bool tri_engine_chain_find(const struct tri_engine *engine, struct tri_text id, uint16_t *chain)
{
    uint32_t low = 0;
    uint32_t high = engine->options.chain_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint16_t candidate = engine->chains_by_text[middle];
        int order = text_compare(engine->chains[candidate].id, id);

        if (order == 0) {
            *chain = candidate;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

struct tri_engine *tri_engine_init(void *memory, const struct tri_engine_options *options)
{
    struct tri_arena_options bodies = layout_bodies(options);
    struct layout layout = layout_of(options);
    struct tri_engine *engine = memory;
    uint8_t *base = memory;
    uint32_t duplicate = 0;

    assert(memory != NULL);
    assert(tri_engine_check(options) == NULL);
    *engine = (struct tri_engine){.options = *options};
    engine->await_first = engine->await_last = TRI_ROUND_NONE;
    engine->rounds_pool = tri_pool_init(base + layout.rounds_pool,
                                        (uint32_t)sizeof(struct tri_round), options->rounds_max);
    engine->rounds = tri_pool_base(engine->rounds_pool);
    engine->waiters_pool = tri_pool_init(base + layout.waiters_pool,
                                         (uint32_t)sizeof(struct tri_waiter), options->waiters_max);
    engine->waiters = tri_pool_base(engine->waiters_pool);
    engine->bodies = tri_arena_init(base + layout.bodies, &bodies);
    engine->dedup = tri_dedup_init(base + layout.dedup, options->dedup_entries_max,
                                   &engine->rounds->key, sizeof(struct tri_round));
    engine->deadlines =
        tri_deadlines_init(base + layout.deadlines, engine->rounds, sizeof(struct tri_round), 0);
    engine->target_sets = tri_targets_init(base + layout.target_sets, TRI_TARGETS_SETS_DEFAULT);
    engine->locations = tri_location_init(base + layout.locations, options->locations,
                                          options->location_count, &duplicate);
    assert(engine->locations != NULL);
    engine->chains = (struct tri_chain *)(void *)(base + layout.chains);
    engine->chains_by_text = (uint16_t *)(void *)(base + layout.chains_by_text);
    chains_init(engine);
    engine->submitters = (struct tri_submitter *)(void *)(base + layout.submitters);
    engine->remembered = (uint32_t *)(void *)(base + layout.remembered);
    memset(engine->submitters, 0, (options->submitters_max + 1) * sizeof(*engine->submitters));
    memset(engine->remembered, 0, (options->submitters_max + 1) * sizeof(*engine->remembered));
    tri_dedup_count_owners(engine->dedup, engine->remembered);
    tri_envelopes_init(&engine->envelopes, base + layout.envelopes, options);
    return engine;
}

/* ---- what the other files share ---- */

struct tri_effect *tri_engine_effect(struct tri_engine *engine, enum tri_effect_type type,
                                     uint64_t after_lsn)
{
    struct tri_effect *effect;

    assert(engine->effects != NULL);
    assert(engine->effects->count < TRI_EFFECTS_MAX);
    effect = &engine->effects->at[engine->effects->count++];
    effect->type = type;
    effect->after_lsn = after_lsn > engine->durable_lsn ? after_lsn : 0;
    return effect;
}

struct tri_round *tri_engine_round(struct tri_engine *engine, uint32_t index)
{
    assert(index < engine->options.rounds_max);
    return &engine->rounds[index];
}

uint32_t tri_engine_round_index(const struct tri_engine *engine, const struct tri_round *round)
{
    assert(round >= engine->rounds);
    return (uint32_t)(round - engine->rounds);
}

const struct tri_engine_policy *tri_engine_policy(const struct tri_engine *engine,
                                                  const struct tri_round *round)
{
    assert(round->type < TRI_TYPE_COUNT);
    assert(round->subtype < TRI_SUBTYPE_COUNT);
    return &engine->options.policies[round->type][round->subtype];
}

uint32_t tri_engine_retries_max(const struct tri_engine *engine, const struct tri_round *round)
{
    return round->atomicity == TRI_BEST_EFFORT || tri_round_is_redelivery(round)
               ? 0
               : tri_engine_policy(engine, round)->retries_max;
}

struct tri_round *tri_engine_find(struct tri_engine *engine, struct tri_key key, struct tri_text id)
{
    struct tri_round *round = engine->found;

    if (round == NULL || round->key.lo != key.lo || round->key.hi != key.hi) {
        struct tri_dedup_found found = tri_dedup_find(engine->dedup, key);

        if (found.state != TRI_DEDUP_OPEN) {
            return NULL;
        }
        round = tri_engine_round(engine, found.round);
        engine->found = round;
    }
    return tri_round_is_named(round, id) ? round : NULL;
}

static bool take_entry(struct tri_engine *engine, struct tri_key key, uint32_t index,
                       struct tri_dedup_hold hold)
{
    uint32_t now_s = (uint32_t)(engine->now_ns / TRI_NS_PER_S);

    if (tri_dedup_open(engine->dedup, key, index, hold) == TRI_OK) {
        return true;
    }
    if (tri_dedup_next_s(engine->dedup) > now_s) {
        return false;
    }
    /* What is over may still wait for its sweep; only what is not makes the table full (P13). */
    (void)tri_dedup_sweep(engine->dedup, now_s, TAKE_SWEEP);
    return tri_dedup_open(engine->dedup, key, index, hold) == TRI_OK;
}

struct tri_round *tri_engine_take(struct tri_engine *engine, struct tri_key key, uint32_t body,
                                  struct tri_dedup_hold hold)
{
    struct tri_round *round;
    uint32_t index;

    if (tri_pool_take(engine->rounds_pool, &index) != TRI_OK) {
        tri_arena_give(engine->bodies, body);
        return NULL;
    }
    if (!take_entry(engine, key, index, hold)) {
        tri_pool_give(engine->rounds_pool, index);
        tri_arena_give(engine->bodies, body);
        return NULL;
    }
    round = tri_engine_round(engine, index);
    round->key = key;
    round->submitter = hold.owner;
    round->body = body;
    round->targets = tri_arena_at(engine->bodies, body);
    engine->submitters[hold.owner].open_count++;
    engine->submitters[hold.owner].bodies[tri_arena_class(body)]++;
    return round;
}

void tri_engine_untake(struct tri_engine *engine, const struct tri_round *round)
{
    struct tri_submitter *submitter = &engine->submitters[round->submitter];

    assert(submitter->open_count > 0);
    assert(submitter->bodies[tri_arena_class(round->body)] > 0);
    submitter->open_count--;
    submitter->bodies[tri_arena_class(round->body)]--;
    if (engine->found == round) {
        engine->found = NULL;
    }
}

void tri_engine_await(struct tri_engine *engine, struct tri_round *round, uint64_t lsn)
{
    uint32_t index = tri_engine_round_index(engine, round);

    assert(lsn == engine->lsn);
    assert(lsn > engine->durable_lsn);
    round->release_lsn = lsn;
    round->is_released = false;
    round->await_next = TRI_ROUND_NONE;
    tri_deadlines_disarm(engine->deadlines, index);
    if (engine->await_last == TRI_ROUND_NONE) {
        engine->await_first = index;
    } else {
        tri_engine_round(engine, engine->await_last)->await_next = index;
    }
    engine->await_last = index;
}

void tri_engine_apply(struct tri_engine *engine, struct tri_round *round,
                      enum tri_round_event event)
{
    uint8_t shown = round->state_shown;
    struct tri_round_cell cell = tri_round_cell((enum tri_round_state)round->state,
                                                engine->is_broken ? TRI_ROUND_BROKEN : event);

    assert(cell.is_legal);
    if (tri_round_is_held(round)) {
        assert(engine->held_count > 0);
        engine->held_count--; /* every cell of a hold leaves it */
    }
    if (cell.next != TRI_ROUND_CLOSED) {
        round->state = cell.next;
        round->state_shown = cell.next;
    }
    tri_act(engine, round, (enum tri_round_action)cell.action);
    if (cell.next == TRI_ROUND_STALLED) {
        /* Nothing is sent for it any more: a walk must not look for it again and again. */
        tri_resend_clear_unsent(engine, round, round->unsent);
    }
    if (cell.next == TRI_ROUND_CLOSED) {
        tri_act_close(engine, round);
    } else if (round->release_lsn > engine->durable_lsn) {
        round->state_shown = shown; /* D01: a view shows what is durable */
    }
}

/* ---- time ---- */

static void step_timer(struct tri_engine *engine, struct tri_round *round)
{
    struct tri_target *targets = round->targets;

    switch ((enum tri_round_timer)round->timer_kind) {
    case TRI_TIMER_MESSAGE:
        if (tri_round_phase((enum tri_round_state)round->state) == TRI_PHASE_FINALIZE &&
            tri_verdict_finalize(engine, round) == TRI_ROUND_SPENT) {
            tri_engine_apply(engine, round, TRI_ROUND_SPENT);
            return;
        }
        tri_engine_apply(engine, round, TRI_ROUND_DUE);
        return;
    case TRI_TIMER_WINDOW:
        tri_engine_apply(engine, round,
                         engine->now_ns >= round->window_end_ns ? TRI_ROUND_STUCK : TRI_ROUND_DUE);
        return;
    case TRI_TIMER_PHASE:
        break;
    }
    engine->counters.phase_timeouts++; /* P09: marks the phase failed, sends nothing by itself */
    for (uint64_t rest = tri_tally_missing(&round->tally); rest != 0; rest &= rest - 1) {
        targets[__builtin_ctzll(rest)].code = TRI_ERROR_NO_ANSWER;
    }
    switch (tri_round_phase((enum tri_round_state)round->state)) {
    case TRI_PHASE_PREPARE:
        tri_engine_apply(engine, round, tri_verdict_prepare(engine, round));
        return;
    case TRI_PHASE_COMMIT:
        tri_engine_apply(engine, round, tri_verdict_commit(engine, round));
        return;
    case TRI_PHASE_FINALIZE:
        tri_engine_apply(engine, round, tri_verdict_finalize(engine, round));
        return;
    case TRI_PHASE_COUNT:
        break;
    }
    assert(round->state == TRI_ROUND_STALLED);
}

/* Forgets closed messages whose window is over. */
static void step_sweep(struct tri_engine *engine)
{
    uint64_t now_s = engine->now_ns / TRI_NS_PER_S;
    uint64_t work_max = (engine->now_ns - engine->swept_ns) / SWEEP_NS_PER_ENTRY;

    if (engine->now_ns < engine->sweep_ns || now_s < tri_dedup_next_s(engine->dedup)) {
        return;
    }
    if (work_max > SWEEP_ENTRIES_MAX) {
        work_max = SWEEP_ENTRIES_MAX;
    }
    engine->swept_ns = engine->now_ns;
    engine->sweep_ns = engine->now_ns + SWEEP_PAUSE_NS;
    (void)tri_dedup_sweep(engine->dedup, (uint32_t)now_s, (uint32_t)work_max);
}

static enum tri_result step_tick(struct tri_engine *engine)
{
    uint32_t index;

    while (engine->effects->count + TRI_EFFECTS_PER_TRANSITION <= TRI_EFFECTS_MAX &&
           tri_deadlines_pop(engine->deadlines, engine->now_ns, &index)) {
        step_timer(engine, tri_engine_round(engine, index));
    }
    tri_envelope_tick(engine);
    tri_engine_scan(engine);
    step_sweep(engine);
    return TRI_OK;
}

uint64_t tri_engine_deadline_ns(const struct tri_engine *engine)
{
    uint64_t next_ns = tri_deadlines_next_ns(engine->deadlines);
    uint32_t expires_s = tri_dedup_next_s(engine->dedup);
    uint64_t sweep_ns = TRI_NEVER;

    if (engine->scan_count > 0) {
        for (uint32_t chain = 0; chain < engine->options.chain_count; chain++) {
            if (engine->chains[chain].is_scanning && engine->chains[chain].is_up) {
                return 0;
            }
        }
    }
    if (expires_s != TRI_DEDUP_NEVER_S) {
        uint64_t expires_ns = expires_s * TRI_NS_PER_S;

        sweep_ns = expires_ns > engine->sweep_ns ? expires_ns : engine->sweep_ns;
    }
    if (tri_envelope_deadline_ns(engine) < next_ns) {
        next_ns = tri_envelope_deadline_ns(engine);
    }
    return next_ns < sweep_ns ? next_ns : sweep_ns;
}

/* ---- the journal ---- */

static enum tri_result step_durable(struct tri_engine *engine, uint64_t lsn)
{
    assert(lsn <= engine->lsn);
    if (lsn <= engine->durable_lsn || engine->is_broken) {
        return TRI_STALE;
    }
    engine->durable_lsn = lsn;
    tri_epoch_durable(&engine->epoch, lsn);
    while (engine->await_first != TRI_ROUND_NONE) {
        struct tri_round *round = tri_engine_round(engine, engine->await_first);

        if (round->release_lsn > lsn) {
            break;
        }
        engine->await_first = round->await_next;
        if (engine->await_first == TRI_ROUND_NONE) {
            engine->await_last = TRI_ROUND_NONE;
        }
        tri_engine_apply(engine, round, TRI_ROUND_RELEASED);
    }
    return TRI_OK;
}

/* D07: what waits for a record at or above `lsn` stays where it is, and so does everything that
 * would need a record from now on. */
static enum tri_result step_failed(struct tri_engine *engine)
{
    engine->is_broken = true;
    while (engine->await_first != TRI_ROUND_NONE) {
        struct tri_round *round = tri_engine_round(engine, engine->await_first);

        engine->await_first = round->await_next;
        tri_engine_apply(engine, round, TRI_ROUND_BROKEN);
    }
    engine->await_last = TRI_ROUND_NONE;
    return TRI_OK;
}

/* ---- the one entry ---- */

static enum tri_result step_dispatch(struct tri_engine *engine, const struct tri_event *event)
{
    switch (event->type) {
    case TRI_EVENT_SUBMIT:
        return tri_engine_submit(engine, event);
    case TRI_EVENT_VERDICT:
        return tri_engine_verdict(engine, event);
    case TRI_EVENT_PHASE_ACK:
        return tri_engine_phase_ack(engine, event);
    case TRI_EVENT_CONTROL_ACK:
        return tri_engine_control_ack(engine, event);
    case TRI_EVENT_ASK:
        return tri_engine_ask(engine, event);
    case TRI_EVENT_CHAIN_UP:
        return tri_engine_chain_up(engine, event->chain.chain, event->chain.is_fresh);
    case TRI_EVENT_CHAIN_DOWN:
        return tri_engine_chain_down(engine, event->chain.chain);
    case TRI_EVENT_JOURNAL_DURABLE:
        return step_durable(engine, event->journal.lsn);
    case TRI_EVENT_JOURNAL_FAILED:
        return step_failed(engine);
    case TRI_EVENT_REDELIVER:
        return tri_engine_redeliver(engine, event);
    case TRI_EVENT_ENVELOPE:
        return tri_envelope_submit(engine, event);
    case TRI_EVENT_DELIVERY:
        return tri_envelope_news(engine, event);
    case TRI_EVENT_CHECKPOINT:
        return tri_engine_checkpoint(engine);
    case TRI_EVENT_DRAIN:
        engine->is_draining = true;
        return TRI_OK;
    case TRI_EVENT_TICK:
        return step_tick(engine);
    }
    assert(event->type <= TRI_EVENT_TICK);
    return TRI_STALE;
}

enum tri_result tri_engine_step(struct tri_engine *engine, const struct tri_event *event,
                                struct tri_effects *effects)
{
    enum tri_result result;

    assert(engine->effects == NULL);
    assert(event->now_ns >= engine->now_ns);
    while (engine->spent_count > 0) {
        tri_arena_give(engine->bodies, engine->spent[--engine->spent_count]);
    }
    effects->count = 0;
    engine->effects = effects;
    engine->now_ns = event->now_ns;
    engine->wall_ms = event->wall_ms;
    result = step_dispatch(engine, event);
    engine->effects = NULL;
    return result;
}

void tri_engine_prefetch(const struct tri_engine *engine, struct tri_key key)
{
    tri_dedup_prefetch(engine->dedup, key);
}

enum tri_result tri_engine_status(struct tri_engine *engine, struct tri_key key, struct tri_text id,
                                  uint64_t now_ns, struct tri_engine_status *status)
{
    struct tri_dedup_found found = tri_dedup_find(engine->dedup, key);
    struct tri_round *round;

    if (found.state == TRI_DEDUP_CLOSED) {
        if (found.entry->expires_s <= now_ns / TRI_NS_PER_S) {
            return TRI_GONE;
        }
        status->is_open = false;
        status->ack_type = tri_view_result(found.entry);
        status->code = (enum tri_error)found.entry->code;
        tri_view_closed(engine, key, found.entry, &status->round, &status->has_targets);
        status->round.id = id;
        return TRI_OK;
    }
    round = tri_engine_find(engine, key, id);
    if (round == NULL) {
        round = tri_redeliver_named(engine, key, id);
    }
    if (round == NULL || round->accept_lsn > engine->durable_lsn) {
        return TRI_GONE;
    }
    status->is_open = true;
    status->ack_type = TRI_ACK_RECEIVED;
    status->has_targets = true;
    tri_view_durable(engine, round, &status->round);
    status->code = status->round.cause;
    return TRI_OK;
}

uint64_t tri_engine_epoch_closed(const struct tri_engine *engine)
{
    return tri_epoch_closed(&engine->epoch);
}

uint32_t tri_engine_open_count(const struct tri_engine *engine)
{
    return tri_pool_count(engine->rounds_pool);
}

uint32_t tri_engine_held_count(const struct tri_engine *engine)
{
    return engine->held_count;
}

const struct tri_engine_counters *tri_engine_counters(const struct tri_engine *engine)
{
    return &engine->counters;
}
