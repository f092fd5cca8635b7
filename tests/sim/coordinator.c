/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coordinator: the engine, as a server would run it.
 *
 * Effects are encoded at once, because what they point to is borrowed; a frame
 * that names a record waits until that record is durable.  One flush is in
 * flight while the next block fills.
 */
#include "engine/engine.h"
#include "tests/sim/sim.h"

static const uint8_t no_tokens[1] = {0x90};

/* ---- frames out ---- */

/* The chain that the engine numbers so. */
static uint32_t target_chain(const struct sim_world *world, const struct tri_target *target)
{
    assert(target->chain < world->swarm.chain_count);
    return world->coordinator.chain_of[target->chain];
}

static struct tri_text target_id(const struct sim_world *world, const struct tri_target *target)
{
    return world->chains_named[target_chain(world, target)].id;
}

static void coordinator_put(struct sim_world *world, uint64_t after_lsn, bool is_client,
                            uint32_t to)
{
    struct sim_coordinator *it = &world->coordinator;
    uint32_t frame = sim_frame_take(world, &world->frame);

    if (after_lsn > it->durable_lsn) {
        assert(it->held_count < SIM_HELD_MAX);
        it->held[it->held_count++] = (struct sim_held){after_lsn, to, frame, is_client};
        world->coverage.frames_held++;
    } else if (is_client) {
        check_to_client(world, to, frame);
        sim_plan(world, sim_below(&world->random, 5000) * UINT64_C(1000), SIM_TO_CLIENT, to, frame,
                 0);
    } else {
        sim_send_to_chain(world, to, frame);
    }
}

static void coordinator_phase(struct sim_world *world, const struct tri_effect *effect,
                              const struct tri_target *target)
{
    const struct tri_round_view *view = &effect->round;
    struct tri_phase_frame *phase = &world->frame.phase;
    bool is_prepare = effect->send.kind == TRI_SEND_PREPARE;

    world->frame.type = TRI_FRAME_PHASE;
    phase->id = view->id;
    phase->phase = (enum tri_phase)effect->send.kind;
    phase->attempt = effect->send.attempt;
    phase->atomicity = view->atomicity;
    phase->hash = view->hash;
    phase->expires_at_ms = view->expires_at_ms;
    phase->reservation_ttl_ms = is_prepare ? view->reservation_ttl_ms : 0;
    phase->system = false;
    phase->inner = view->inner;
    phase->tokens = is_prepare || target->token_set_bytes == 0
                        ? (struct tri_bytes){no_tokens, sizeof(no_tokens)}
                        : (struct tri_bytes){target->tokens, target->token_set_bytes};
    coordinator_put(world, effect->after_lsn, false, target_chain(world, target));
}

/* `target` is NULL for an ABORT of an attempt that is not open. */
static void coordinator_control(struct sim_world *world, const struct tri_effect *effect,
                                const struct tri_target *target)
{
    const struct tri_round_view *view = &effect->round;
    struct tri_control_frame *control = &world->frame.control;
    bool is_rollback = effect->send.kind == TRI_SEND_ROLLBACK;

    world->frame.type = TRI_FRAME_CONTROL;
    control->id = view->id;
    control->kind = is_rollback ? TRI_CONTROL_ROLLBACK : TRI_CONTROL_ABORT;
    control->attempt = effect->send.attempt;
    control->hash = view->hash;
    control->expires_at_ms = view->expires_at_ms;
    control->tokens = target == NULL || target->token_set_bytes == 0
                          ? (struct tri_bytes){no_tokens, sizeof(no_tokens)}
                          : (struct tri_bytes){target->tokens, target->token_set_bytes};
    control->reason = is_rollback ? (struct tri_text){"sim", 3} : (struct tri_text){"", 0};
    control->chain_count = 0;
    control->deadline_ms = is_rollback ? view->rollback_deadline_ms : 0;
    assert(view->targets != NULL || !is_rollback);
    for (uint32_t i = 0; i < view->target_count && is_rollback; i++) {
        if ((effect->send.affected >> i & 1U) != 0) {
            control->chains[control->chain_count++] = target_id(world, &view->targets[i]);
        }
    }
    coordinator_put(world, effect->after_lsn, false,
                    target == NULL ? world->coordinator.chain_of[effect->send.chain]
                                   : target_chain(world, target));
}

static void coordinator_send(struct sim_world *world, const struct tri_effect *effect)
{
    if (effect->send.is_stray) {
        assert(effect->send.kind == TRI_SEND_ABORT);
        world->checker.strays++;
        coordinator_control(world, effect, NULL);
        return;
    }
    for (uint32_t i = 0; i < effect->round.target_count; i++) {
        const struct tri_target *target = &effect->round.targets[i];

        if ((effect->send.targets >> i & 1U) == 0) {
            continue;
        }
        if (effect->send.kind <= TRI_SEND_FINALIZE) {
            coordinator_phase(world, effect, target);
        } else {
            coordinator_control(world, effect, target);
        }
    }
}

/* What became of target i, the strongest fact first; an effect that may be there outweighs the
 * refusal of a later attempt (A11). */
static enum tri_target_state report_state(const struct tri_round_view *view, uint32_t i)
{
    const struct {
        uint64_t mask;
        enum tri_target_state state;
    } facts[] = {
        {view->undone_mask, TRI_TARGET_UNDONE},   {view->final_mask, TRI_TARGET_FINAL},
        {view->applied_mask, TRI_TARGET_APPLIED}, {view->unknown_mask, TRI_TARGET_UNKNOWN},
        {view->refused_mask, TRI_TARGET_REFUSED}, {view->prepared_mask, TRI_TARGET_PREPARED},
    };

    for (uint32_t k = 0; k < sizeof(facts) / sizeof(facts[0]); k++) {
        if ((facts[k].mask >> i & 1U) != 0) {
            return facts[k].state;
        }
    }
    return TRI_TARGET_OPEN;
}

static void coordinator_notify(struct sim_world *world, const struct tri_effect *effect)
{
    const struct tri_round_view *view = &effect->round;
    uint32_t client = (uint32_t)effect->notify.client - 1;

    if (check_forced_notify(world, effect)) {
        return;
    }
    if (effect->notify.kind == TRI_NOTIFY_NOTICE) {
        struct tri_notice *notice = &world->frame.notice;

        world->frame.type = TRI_FRAME_NOTICE;
        notice->id = view->id;
        notice->attempt = view->attempt;
        notice->issued_at_ms = sim_wall_ms(world, SIM_CHAINS_MAX);
        notice->stream = (struct tri_text){"", 0};
        notice->oss_epoch = 0;
        notice->chain_count = view->target_count;
        for (uint32_t i = 0; i < view->target_count; i++) {
            notice->chains[i] = target_id(world, &view->targets[i]);
        }
    } else {
        struct tri_ack *ack = &world->frame.ack;

        world->frame.type = TRI_FRAME_ACK;
        ack->id = view->id;
        ack->type = effect->notify.ack_type;
        ack->code = effect->notify.code;
        ack->duplicate = effect->notify.is_duplicate;
        ack->attempt = view->attempt;
        ack->target_count =
            effect->notify.has_targets && effect->notify.ack_type != TRI_ACK_RECEIVED
                ? view->target_count
                : 0;
        for (uint32_t i = 0; i < ack->target_count; i++) {
            ack->targets[i] = (struct tri_target_report){
                .chain = target_id(world, &view->targets[i]),
                .state = report_state(view, i),
                .code = (enum tri_error)view->targets[i].code,
                .tokens = {no_tokens, sizeof(no_tokens)},
            };
        }
    }
    coordinator_put(world, effect->after_lsn, true, client);
}

/* ---- journal ---- */

static void coordinator_flush(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;

    if (it->is_broken || it->flushing_lsn != 0 || it->lsn == it->durable_lsn) {
        return;
    }
    it->flushing_lsn = it->lsn;
    if (world->swarm.journal_us_max == 0) {
        sim_plan(world, 0, SIM_JOURNAL_DONE, 0, 0, it->life);
        return;
    }
    sim_plan(world, sim_between(&world->random, 20, world->swarm.journal_us_max) * UINT64_C(1000),
             SIM_JOURNAL_DONE, 0, 0, it->life);
}

/* ---- one step ---- */

/* Counts the moves of the round table; looks at the rounds themselves, which the checker never
 * does. */
static void coordinator_cover(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    struct tri_engine *engine = it->engine;
    uint32_t index = tri_pool_next(engine->rounds_pool, 0);

    for (; index != TRI_NONE_INDEX; index = tri_pool_next(engine->rounds_pool, index + 1)) {
        const struct tri_round *round = tri_engine_round(engine, index);

        assert(index <= SIM_MESSAGES_MAX);
        if (it->round_key[index] == round->key.lo && it->round_state[index] != round->state) {
            world->coverage.moves[it->round_state[index]][round->state]++;
        }
        it->round_key[index] = round->key.lo;
        it->round_state[index] = round->state;
    }
}

/* Now and then a crash follows at a record's heels, before it is durable or after. */
static void coordinator_append(struct sim_world *world, const struct tri_effect *effect)
{
    struct sim_coordinator *it = &world->coordinator;

    assert(effect->append.lsn == it->lsn + 1);
    it->lsn = effect->append.lsn;
    sim_journal_append(world, effect);
    check_append(world, effect);
    if (!world->is_healed && world->swarm.crash_append_permille > 0 &&
        sim_chance(&world->random, world->swarm.crash_append_permille)) {
        sim_plan(world,
                 sim_below(&world->random, 2 * world->swarm.journal_us_max + 2000) * UINT64_C(1000),
                 SIM_COORDINATOR_CRASH, 0, 0, 0);
    }
}

enum tri_result sim_coordinator_step(struct sim_world *world, struct tri_event *event)
{
    struct sim_coordinator *it = &world->coordinator;
    enum tri_result result;

    event->now_ns = world->now_ns;
    event->wall_ms = sim_wall_ms(world, SIM_CHAINS_MAX);
    world->checker.step = event->type;
    result = tri_engine_step(it->engine, event, &it->effects);
    for (uint32_t i = 0; i < it->effects.count; i++) {
        const struct tri_effect *effect = &it->effects.at[i];

        switch (effect->type) {
        case TRI_EFFECT_SEND:
            coordinator_send(world, effect);
            break;
        case TRI_EFFECT_NOTIFY:
            coordinator_notify(world, effect);
            break;
        case TRI_EFFECT_APPEND:
            coordinator_append(world, effect);
            break;
        case TRI_EFFECT_DELIVER:
            sim_break(world, "F07", "a delivery of an envelope that nobody submitted");
            break;
        }
    }
    sim_archive_step(world);
    coordinator_cover(world);
    coordinator_flush(world);
    return result;
}

void sim_coordinator_durable(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    struct tri_event event = {.type = TRI_EVENT_JOURNAL_DURABLE};
    uint32_t count = it->held_count;
    uint32_t kept = 0;

    assert(it->flushing_lsn > it->durable_lsn);
    event.journal.lsn = it->durable_lsn = it->flushing_lsn;
    it->flushing_lsn = 0;
    check_durable(world);
    sim_journal_durable(world);
    (void)sim_coordinator_step(world, &event);
    assert(it->held_count == count); /* a durable record sends nothing by itself */
    for (uint32_t i = 0; i < count; i++) {
        struct sim_held held = it->held[i];

        if (held.after_lsn > it->durable_lsn) {
            it->held[kept++] = held;
        } else if (held.is_client) {
            check_to_client(world, held.to, held.frame);
            sim_plan(world, sim_below(&world->random, 5000) * UINT64_C(1000), SIM_TO_CLIENT,
                     held.to, held.frame, 0);
        } else {
            sim_send_to_chain(world, held.to, held.frame);
        }
    }
    it->held_count = kept;
}

/* ---- what comes in ---- */

void sim_coordinator_submit(struct sim_world *world, uint32_t client, const uint8_t *bytes,
                            uint32_t count)
{
    uint32_t frame = sim_frame_copy(world, bytes, count);
    struct tri_event event = {.type = TRI_EVENT_SUBMIT};

    sim_frame_open(world, frame, &world->taken);
    if (!world->has_failed) {
        uint32_t index = sim_message_of(world->taken.submit.id);
        bool was_known;

        assert(world->taken.type == TRI_FRAME_SUBMIT);
        check_submit(world, client, &world->taken.submit);
        was_known = check_must_know(world, &world->checker.messages[index]);
        event.submit.key = sim_key(world->taken.submit.id);
        event.submit.hash = sim_hash(world->taken.submit.canonical);
        event.submit.message = &world->taken.submit;
        event.submit.client = client + 1;
        event.submit.is_forced = world->messages[index].is_forced;
        (void)sim_coordinator_step(world, &event);
        check_submitted(world, index, was_known, &event.submit.hash, &world->coordinator.effects);
    }
    sim_frame_give(world, frame);
}

static void coordinator_phase_ack(struct sim_world *world, uint32_t chain,
                                  const struct tri_phase_ack *ack)
{
    struct tri_event event = {.type = TRI_EVENT_PHASE_ACK};

    event.phase_ack.key = sim_key(ack->id);
    event.phase_ack.id = ack->id;
    event.phase_ack.chain = world->coordinator.index_of[chain];
    event.phase_ack.phase = ack->phase;
    event.phase_ack.attempt = ack->attempt;
    event.phase_ack.type = ack->type;
    event.phase_ack.code = ack->code;
    event.phase_ack.already_applied = ack->already_applied;
    event.phase_ack.tokens = ack->tokens;
    if (sim_coordinator_step(world, &event) == TRI_VIOLATION) {
        sim_break(world, "P04", "an answer of chain %u to %s does not fit its phase", chain,
                  tri_phase_name(ack->phase));
    }
}

void sim_coordinator_frame(struct sim_world *world, uint32_t chain, uint32_t frame)
{
    struct tri_frame *taken = &world->taken;
    struct tri_event event;

    sim_frame_open(world, frame, taken);
    if (world->has_failed) {
        return;
    }
    check_at_coordinator(world, chain, taken);
    if (taken->type == TRI_FRAME_PHASE_ACK) {
        coordinator_phase_ack(world, chain, &taken->phase_ack);
        return;
    }
    memset(&event, 0, sizeof(event));
    if (taken->type == TRI_FRAME_CONTROL_ACK) {
        event.type = TRI_EVENT_CONTROL_ACK;
        event.control_ack.key = sim_key(taken->control_ack.id);
        event.control_ack.id = taken->control_ack.id;
        event.control_ack.chain = world->coordinator.index_of[chain];
        event.control_ack.kind = taken->control_ack.kind;
        event.control_ack.attempt = taken->control_ack.attempt;
        event.control_ack.type = taken->control_ack.type;
        event.control_ack.code = taken->control_ack.code;
    } else {
        assert(taken->type == TRI_FRAME_ASK);
        event.type = TRI_EVENT_ASK;
        event.ask.key = sim_key(taken->ask.id);
        event.ask.id = taken->ask.id;
        event.ask.chain = world->coordinator.index_of[chain];
        event.ask.attempt = taken->ask.attempt;
    }
    (void)sim_coordinator_step(world, &event);
}

void sim_coordinator_chain(struct sim_world *world, uint32_t chain, bool is_up, bool is_fresh)
{
    struct tri_event event = {.type = is_up ? TRI_EVENT_CHAIN_UP : TRI_EVENT_CHAIN_DOWN};
    struct sim_link *link = &world->links[chain];

    event.chain.chain = world->coordinator.index_of[chain];
    event.chain.is_fresh = is_fresh;
    link->is_told_up = is_up;
    link->downs += is_up ? 0 : 1;
    link->up_ns = is_up ? world->now_ns : link->up_ns;
    link->fresh_ns = is_up && is_fresh ? world->now_ns : link->fresh_ns;
    sim_trace(world, is_up ? "CHAIN_UP" : "CHAIN_DOWN", SIM_MESSAGES_MAX, chain, 0, is_fresh);
    (void)sim_coordinator_step(world, &event);
}

void sim_coordinator_tick(struct sim_world *world)
{
    struct tri_event event = {.type = TRI_EVENT_TICK};

    (void)sim_coordinator_step(world, &event);
}
