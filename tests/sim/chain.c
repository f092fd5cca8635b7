/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chain: a participant with its ledger, its journal and its crashes.
 *
 * Participant, ledger and books lie in one block of memory.  A flush begins
 * with a copy of the block; when it has ended, the copy is what a crash takes
 * ledger and books back to.  The participant is made anew of its records up to
 * the same one, and asks again for what was at the ledger (D05).  Answers wait
 * for the record that they name, so a crash may forget work but nothing that was
 * told.
 */
#include <stdlib.h>

#include "tests/sim/sim.h"

/* ---- journal ---- */

static void chain_flush(struct sim_world *world, uint32_t chain)
{
    struct sim_chain *it = &world->chains[chain];
    uint64_t delay_ns;

    if (it->flushing_lsn != 0 || it->books->lsn == it->durable_lsn) {
        return;
    }
    it->flushing_lsn = it->books->lsn;
    if (world->swarm.chain_crashes > 0) {
        memcpy(it->flushing, it->memory, it->memory_bytes);
    }
    delay_ns =
        world->swarm.chain_journal_us_max == 0
            ? 0
            : sim_between(&world->random, 20, world->swarm.chain_journal_us_max) * UINT64_C(1000);
    sim_plan(world, delay_ns, SIM_CHAIN_JOURNAL_DONE, chain, 0, it->life);
}

static void chain_append(struct sim_world *world, uint32_t chain,
                         const struct tri_participant_effect *effect)
{
    struct sim_chain *it = &world->chains[chain];
    struct sim_chain_record *record;

    assert(effect->lsn == it->books->lsn + 1);
    it->books->lsn = effect->lsn;
    if (world->swarm.chain_crashes == 0) {
        return;
    }
    if (it->record_count == it->record_room) {
        it->record_room = it->record_room == 0 ? 256 : it->record_room * 2;
        it->records = realloc(it->records, it->record_room * sizeof(*it->records));
        assert(it->records != NULL);
    }
    record = &it->records[it->record_count++];
    record->lsn = effect->lsn;
    record->kind = effect->record;
    record->bytes = tri_participant_record(it->participant, effect, record->payload);
}

static void chain_answer(struct sim_world *world, uint32_t chain, uint64_t after_lsn)
{
    struct sim_chain *it = &world->chains[chain];
    uint32_t frame = sim_frame_take(world, &world->frame);

    if (after_lsn <= it->durable_lsn) {
        sim_send_to_coordinator(world, chain, frame);
        return;
    }
    assert(it->held_count < SIM_HELD_MAX);
    it->held[it->held_count++] = (struct sim_held){after_lsn, chain, frame, false};
    world->coverage.frames_held++;
}

/* ---- ledger ---- */

/* A refusal that the ledger makes up, or NONE. */
static enum tri_error chain_whim(struct sim_world *world, enum tri_ledger_op op)
{
    static const enum tri_error passing[] = {TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT, TRI_ERROR_BUSY};
    static const enum tri_error final[] = {TRI_ERROR_OPERATOR_REFUSED,
                                           TRI_ERROR_INVALID_STATE_TRANSITION};
    struct sim_random *random = &world->random;
    uint32_t permille = op == TRI_LEDGER_RESERVE ? world->swarm.refuse_permille
                                                 : world->swarm.refuse_commit_permille;

    if (op == TRI_LEDGER_UNDO) {
        return sim_chance(random, world->swarm.fence_permille) ? TRI_ERROR_ROLLBACK_FENCED
                                                               : TRI_ERROR_NONE;
    }
    if (!sim_chance(random, permille)) {
        return TRI_ERROR_NONE;
    }
    return sim_chance(random, world->swarm.reject_permille) ? final[sim_below(random, 2)]
                                                            : passing[sim_below(random, 2)];
}

static void chain_step(struct sim_world *world, uint32_t chain,
                       const struct tri_participant_event *event,
                       const struct tri_phase_frame *phase);

static void chain_ledger(struct sim_world *world, uint32_t chain,
                         const struct tri_participant_effect *effect,
                         const struct tri_phase_frame *phase)
{
    struct sim_books *books = world->chains[chain].books;
    uint32_t message = sim_message_of(effect->id);
    struct sim_operation *operation = books->pending;
    uint64_t delay_ns = 0;

    if (effect->op == TRI_LEDGER_RELEASE) {
        (void)sim_books_operate(world, chain, message, effect->key, effect->op);
        return;
    }
    while (operation->is_used) {
        operation++;
        assert(operation < books->pending + SIM_PENDING_MAX);
    }
    *operation = (struct sim_operation){.is_used = true, .effect = *effect, .key = effect->key};
    operation->message = message;
    operation->code = TRI_ERROR_NONE;
    if (phase != NULL && effect->op != TRI_LEDGER_APPLY) {
        /* Else the frame had waited for another verdict, and what it asks for is noted. */
        operation->code = sim_books_note(world, chain, message, phase);
    }
    if (operation->code == TRI_ERROR_NONE) {
        operation->code = chain_whim(world, effect->op);
    }
    if (!world->is_healed && sim_chance(&world->random, world->swarm.ledger_slow_permille)) {
        delay_ns =
            sim_between(&world->random, 1, world->swarm.ledger_ms_max * 1000) * UINT64_C(1000);
        world->coverage.slow_verdicts++;
    }
    sim_plan(world, delay_ns, SIM_LEDGER_DONE, chain, (uint32_t)(operation - books->pending),
             world->chains[chain].life);
}

void sim_chain_verdict(struct sim_world *world, uint32_t chain, uint32_t operation)
{
    struct sim_operation it = world->chains[chain].books->pending[operation];
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_LEDGER,
        .ledger = {it.effect.entry, it.effect.generation, it.effect.op, it.code},
    };

    assert(it.is_used);
    world->chains[chain].books->pending[operation].is_used = false;
    if (it.code == TRI_ERROR_NONE) {
        event.ledger.code = sim_books_operate(world, chain, it.message, it.key, it.effect.op);
    }
    sim_trace(world, "ledger", it.message, chain, it.effect.attempt,
              it.effect.op * 1000 + event.ledger.code);
    chain_step(world, chain, &event, NULL);
}

/* ---- effects ---- */

static void chain_carry_out(struct sim_world *world, uint32_t chain,
                            const struct tri_participant_effect *effect,
                            const struct tri_phase_frame *phase)
{
    struct tri_frame *frame = &world->frame;
    struct tri_text id = world->chains_named[chain].id;

    switch (effect->type) {
    case TRI_PARTICIPANT_EFFECT_LEDGER:
        chain_ledger(world, chain, effect, phase);
        return;
    case TRI_PARTICIPANT_EFFECT_PHASE_ACK:
        frame->type = TRI_FRAME_PHASE_ACK;
        frame->phase_ack = (struct tri_phase_ack){
            .id = effect->id,
            .type = effect->ack_type,
            .phase = effect->phase,
            .attempt = effect->attempt,
            .chain = id,
            .code = effect->code,
            .already_applied = effect->already_applied,
            .tokens = effect->tokens,
            .retry_after_ms = effect->retry_after_ms,
        };
        break;
    case TRI_PARTICIPANT_EFFECT_CONTROL_ACK:
        frame->type = TRI_FRAME_CONTROL_ACK;
        frame->control_ack = (struct tri_control_ack){
            .id = effect->id,
            .type = effect->ack_type,
            .kind = effect->control,
            .attempt = effect->attempt,
            .chain = id,
            .code = effect->code,
        };
        break;
    case TRI_PARTICIPANT_EFFECT_ASK:
        frame->type = TRI_FRAME_ASK;
        frame->ask = (struct tri_ask){effect->id, effect->attempt, id};
        break;
    case TRI_PARTICIPANT_EFFECT_APPEND:
        chain_append(world, chain, effect);
        return;
    }
    chain_answer(world, chain, effect->after_lsn);
}

static void chain_step(struct sim_world *world, uint32_t chain,
                       const struct tri_participant_event *event,
                       const struct tri_phase_frame *phase)
{
    struct sim_chain *it = &world->chains[chain];
    struct tri_participant_event timed = *event;

    timed.now_ns = world->now_ns;
    timed.wall_ms = sim_wall_ms(world, chain);
    (void)tri_participant_step(it->participant, &timed, &it->effects);
    for (uint32_t i = 0; i < it->effects.count; i++) {
        chain_carry_out(world, chain, &it->effects.at[i], phase);
    }
    chain_flush(world, chain);
}

void sim_chain_durable(struct sim_world *world, uint32_t chain)
{
    struct sim_chain *it = &world->chains[chain];
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_DURABLE,
        .durable = {it->flushing_lsn},
    };
    uint32_t kept = 0;
    uint32_t count = it->held_count;

    assert(it->flushing_lsn > it->durable_lsn);
    if (world->swarm.chain_crashes > 0) {
        uint8_t *copy = it->durable;

        it->durable = it->flushing;
        it->flushing = copy;
    }
    it->durable_lsn = it->flushing_lsn;
    it->flushing_lsn = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (it->held[i].after_lsn <= it->durable_lsn) {
            sim_send_to_coordinator(world, chain, it->held[i].frame);
        } else {
            it->held[kept++] = it->held[i];
        }
    }
    it->held_count = kept;
    event.now_ns = world->now_ns;
    chain_step(world, chain, &event, NULL);
}

/* ---- what comes in ---- */

void sim_chain_frame(struct sim_world *world, uint32_t chain, uint32_t frame)
{
    struct tri_frame *taken = &world->taken;
    struct tri_participant_event event;

    sim_frame_open(world, frame, taken);
    if (world->has_failed) {
        return;
    }
    check_at_chain(world, chain, taken);
    memset(&event, 0, sizeof(event));
    if (taken->type == TRI_FRAME_PHASE) {
        event.type = TRI_PARTICIPANT_PHASE;
        event.phase.key = sim_key(taken->phase.id);
        event.phase.id = taken->phase.id;
        event.phase.phase = taken->phase.phase;
        event.phase.attempt = taken->phase.attempt;
        event.phase.atomicity = taken->phase.atomicity;
        event.phase.hash = taken->phase.hash;
        event.phase.expires_at_ms = taken->phase.expires_at_ms;
        event.phase.reservation_ttl_ms = taken->phase.reservation_ttl_ms;
        event.phase.tokens = taken->phase.tokens;
        chain_step(world, chain, &event, &taken->phase);
        return;
    }
    assert(taken->type == TRI_FRAME_CONTROL);
    event.type = TRI_PARTICIPANT_CONTROL;
    event.control.key = sim_key(taken->control.id);
    event.control.id = taken->control.id;
    event.control.kind = taken->control.kind;
    event.control.attempt = taken->control.attempt;
    event.control.hash = taken->control.hash;
    event.control.expires_at_ms = taken->control.expires_at_ms;
    chain_step(world, chain, &event, NULL);
}

void sim_chain_welcome(struct sim_world *world, uint32_t chain)
{
    struct tri_participant_event event = {.type = TRI_PARTICIPANT_WELCOME};

    world->links[chain].is_welcomed = true;
    sim_trace(world, "WELCOME", SIM_MESSAGES_MAX, chain, 0, world->coordinator.options.epoch);
    chain_step(world, chain, &event, NULL);
}

void sim_chain_tick(struct sim_world *world, uint32_t chain)
{
    struct tri_participant_event event = {.type = TRI_PARTICIPANT_TICK};

    chain_step(world, chain, &event, NULL);
}

/* ---- life ---- */

static void chain_memory(struct sim_world *world, uint32_t chain,
                         const struct tri_participant_options *options)
{
    struct sim_chain *it = &world->chains[chain];
    size_t bytes = tri_participant_footprint(options) + sim_books_bytes();

    assert(bytes % TRI_CACHE_LINE == 0);
    if (it->memory_bytes < bytes) {
        free(it->memory);
        free(it->flushing);
        free(it->durable);
        it->memory = aligned_alloc(TRI_CACHE_LINE, bytes);
        it->flushing = aligned_alloc(TRI_CACHE_LINE, bytes);
        it->durable = aligned_alloc(TRI_CACHE_LINE, bytes);
        assert(it->memory != NULL);
        assert(it->flushing != NULL);
        assert(it->durable != NULL);
        memset(it->memory, 0, bytes);
    }
    it->memory_bytes = bytes;
}

static struct tri_participant_options chain_options(const struct sim_world *world,
                                                    uint32_t instance)
{
    return (struct tri_participant_options){
        .entries_max = world->swarm.entries_max,
        .instance = instance,
        .dedup_window_ms = world->swarm.participant_window_ms,
        .reservation_ttl_ms_max = world->swarm.reservation_ttl_ms_max,
    };
}

void sim_chain_start(struct sim_world *world, uint32_t chain)
{
    struct sim_chain *it = &world->chains[chain];
    struct tri_participant_options options = chain_options(world, 1);

    it->record_count = 0;
    chain_memory(world, chain, &options);
    it->participant = tri_participant_init(it->memory, &options);
    sim_books_init(world, chain, it->memory + tri_participant_footprint(&options));
    it->flushing_lsn = 0;
    it->durable_lsn = 0;
    it->life++;
    it->instance = 1;
    it->is_running = true;
    it->held_count = 0;
    if (world->swarm.chain_crashes > 0) {
        memcpy(it->durable, it->memory, it->memory_bytes);
    }
}

void sim_chain_crash(struct sim_world *world, uint32_t chain)
{
    struct sim_chain *it = &world->chains[chain];
    uint64_t down_ns = sim_between(&world->random, 1, 300) * TRI_NS_PER_MS;

    if (!it->is_running || world->is_healed) {
        return;
    }
    if (it->flushing_lsn != 0 && sim_chance(&world->random, 500)) {
        uint8_t *copy = it->durable; /* it reached the disk, and nobody was told */

        it->durable = it->flushing;
        it->flushing = copy;
        it->durable_lsn = it->flushing_lsn;
    }
    sim_trace(world, "chain crashes", SIM_MESSAGES_MAX, chain, 0, it->books->lsn - it->durable_lsn);
    world->coverage.chain_crashes++;
    world->coverage.chain_lost_work += it->books->lsn > it->durable_lsn;
    it->flushing_lsn = 0;
    it->life++;
    it->is_running = false;
    while (it->held_count > 0) {
        sim_frame_give(world, it->held[--it->held_count].frame);
    }
    sim_link_cut(world, chain, down_ns + TRI_NS_PER_S);
    sim_plan(world, down_ns, SIM_CHAIN_START, chain, 0, it->life);
}

/* The participant as its durable records make it. */
static void chain_replay(struct sim_world *world, uint32_t chain)
{
    struct sim_chain *it = &world->chains[chain];
    struct tri_participant_options options = chain_options(world, it->instance);
    const char *fault = NULL;
    uint32_t entry;

    it->participant = tri_participant_init(it->memory, &options);
    while (it->record_count > 0 && it->records[it->record_count - 1].lsn > it->durable_lsn) {
        it->record_count--;
    }
    for (uint32_t i = 0; i < it->record_count; i++) {
        struct sim_chain_record *record = &it->records[i];
        enum tri_result result = tri_participant_replay(
            it->participant, record->kind, (struct tri_bytes){record->payload, record->bytes},
            world->now_ns, sim_wall_ms(world, chain), &entry, &fault);

        if (result != TRI_OK && result != TRI_STALE) {
            sim_break(world, "D05", "a record of chain %u is not taken back: %s", chain, fault);
        }
        record->lsn = 0;
    }
}

void sim_chain_restart(struct sim_world *world, uint32_t chain)
{
    struct sim_chain *it = &world->chains[chain];
    enum tri_result result = TRI_MORE;

    if (it->is_running) {
        return;
    }
    memcpy(it->memory, it->durable, it->memory_bytes);
    assert(it->books->lsn == it->durable_lsn);
    it->is_running = true;
    it->instance++;
    sim_trace(world, "chain starts", SIM_MESSAGES_MAX, chain, 0, it->instance);
    chain_replay(world, chain);
    it->books->lsn = 0;
    it->durable_lsn = 0;
    memset(it->books->pending, 0, sizeof(it->books->pending));
    memcpy(it->durable, it->memory, it->memory_bytes);
    while (result == TRI_MORE) {
        result = tri_participant_resume(it->participant, world->now_ns, sim_wall_ms(world, chain),
                                        &it->effects);
        for (uint32_t i = 0; i < it->effects.count; i++) {
            chain_carry_out(world, chain, &it->effects.at[i], NULL);
        }
    }
    chain_flush(world, chain);
    sim_plan(world, sim_below(&world->random, 20) * TRI_NS_PER_MS, SIM_LINK_UP, chain, 0, 0);
}
