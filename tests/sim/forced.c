/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forced messages and redeliveries: what operators and a sync queue add to a run (F06, F04), and
 * what is promised of it.
 *
 * Both are drawn from a generator of their own, so that a seed without them is the history that it
 * would be if there were no such thing.
 *
 * A forced message is accepted as long as its repetition would be known, and a redelivery trusts
 * the chains' clocks, so neither occurs where clocks jump.
 */
#include "tests/sim/sim.h"

#define VERDICTS_MAX 2U

/* ---- drawing ---- */

void sim_forced_draw(struct sim_world *world)
{
    struct sim_random *random = &world->aside;
    struct sim_swarm *swarm = &world->swarm;

    random->state = sim_mix(world->seed + UINT64_C(0x6f72636564));
    swarm->forced_permille = 0;
    swarm->redeliveries = 0;
    if (swarm->wall_jumps > 0) {
        return;
    }
    if (sim_chance(random, 300)) {
        swarm->forced_permille = sim_between(random, 50, 500);
    }
    if (sim_chance(random, 400)) {
        swarm->redeliveries = sim_between(random, 1, 12);
    }
}

/* The verdicts on a message, some too early, some too late, some twice. */
static void plan_verdicts(struct sim_world *world, uint32_t index)
{
    struct sim_random *random = &world->aside;
    bool has_passed = sim_chance(random, 750);

    for (uint32_t i = sim_below(random, VERDICTS_MAX + 1); i > 0; i--) {
        bool is_same = sim_chance(random, 900);

        sim_plan(world, sim_below(random, 2 * world->swarm.span_ms) * TRI_NS_PER_MS, SIM_VERDICT,
                 index, has_passed == is_same, 0);
    }
}

void sim_forced_plan(struct sim_world *world)
{
    struct sim_random *random = &world->aside;

    for (uint32_t i = 0; i < world->swarm.message_count; i++) {
        world->messages[i].is_forced =
            world->swarm.forced_permille > 0 && sim_chance(random, world->swarm.forced_permille);
        if (world->messages[i].is_forced) {
            plan_verdicts(world, i);
        }
    }
    for (uint32_t i = 0; i < world->swarm.redeliveries; i++) {
        uint32_t range_ms = sim_chance(random, 700) ? 2 * world->swarm.span_ms : 100000;

        sim_plan(world, sim_below(random, range_ms) * TRI_NS_PER_MS, SIM_REDELIVER,
                 sim_below(random, world->swarm.message_count), 0, 0);
    }
}

/* ---- verdicts ---- */

void sim_forced_verdict(struct sim_world *world, const struct sim_moment *moment)
{
    struct check_message *it = &world->checker.messages[moment->who];
    const struct sim_message *message = &world->messages[moment->who];
    struct tri_event event = {.type = TRI_EVENT_VERDICT};
    bool was_held = it->is_held && it->outcome_lsn == 0;
    enum tri_result result;

    if (world->coordinator.is_down) {
        sim_plan(world, sim_between(&world->aside, 1, 500) * TRI_NS_PER_MS, SIM_VERDICT,
                 moment->who, moment->what, 0); /* the operator tries again */
        return;
    }
    sim_trace(world, moment->what != 0 ? "VERDICT passed" : "VERDICT failed", moment->who, 0, 0, 0);
    event.verdict.key = message->key;
    event.verdict.id = message->id;
    event.verdict.client = SIM_OPERATOR;
    event.verdict.has_passed = moment->what != 0;
    it->is_judged = was_held;
    it->has_passed = moment->what != 0;
    result = sim_coordinator_step(world, &event);
    it->is_judged = false;
    if (was_held && !world->coordinator.is_broken && result != TRI_OK) {
        sim_break(world, "F06", "the verdict on m%u, which is held, does not count", moment->who);
    }
    if (it->accept_lsn == 0 && result != TRI_GONE) {
        sim_break(world, "F06", "a verdict on m%u, which nobody knows, counts", moment->who);
    }
}

/* An attempt record of a held message: it begins, by a verdict and by nothing else. */
void check_forced_begins(struct sim_world *world, uint32_t index)
{
    struct check_message *it = &world->checker.messages[index];

    if (!it->is_judged || !it->has_passed) {
        sim_break(world, "F06", "m%u is held and goes on without a verdict", index);
    }
    it->is_held = false;
    world->coverage.held_passed++;
}

/* The end of a held message. */
void check_forced_ends(struct sim_world *world, uint32_t index)
{
    const struct check_message *it = &world->checker.messages[index];
    bool has_failed = it->is_judged && !it->has_passed;
    enum tri_error code = has_failed ? TRI_ERROR_SELF_DEFENSE_FAILED : TRI_ERROR_EXPIRED;

    if (it->end.type != TRI_ACK_REJECTED || it->end.code != code) {
        sim_break(world, "F06", "m%u is held and ends %s %s", index,
                  tri_ack_type_name(it->end.type), tri_error_name(it->end.code));
    }
    if (!has_failed && world->now_ns + 2 * TRI_NS_PER_MS < it->held_until_ns) {
        sim_break(world, "C04", "m%u is held and expires %.3f ms too early", index,
                  (double)(it->held_until_ns - world->now_ns) / 1e6);
    }
    world->coverage.held_failed += has_failed;
    world->coverage.held_expired += !has_failed;
}

/* ---- redeliveries ---- */

/* The SUBMIT of the content that was accepted, decoded into world->taken. */
static bool take_accepted(struct sim_world *world, uint32_t index, struct tri_hash *hash)
{
    const struct sim_message *message = &world->messages[index];
    const uint8_t *const frames[2] = {message->frame, message->forged};
    const uint32_t bytes[2] = {message->frame_bytes, message->forged_bytes};
    struct tri_wire_fault fault;

    for (uint32_t i = 0; i < 2; i++) {
        enum tri_result result =
            tri_wire_decode(frames[i] + TRI_FRAME_HEADER_BYTES, bytes[i] - TRI_FRAME_HEADER_BYTES,
                            &world->taken, &fault);

        assert(result == TRI_OK);
        *hash = sim_hash(world->taken.submit.canonical);
        if (memcmp(hash, &world->checker.messages[index].hash, sizeof(*hash)) == 0) {
            return true;
        }
    }
    return false;
}

/* P10: later than every attempt of the message. */
static tri_attempt next_attempt(const struct sim_world *world, const struct check_message *it)
{
    uint32_t epoch = world->coordinator.options.epoch;
    tri_attempt last =
        it->now.attempt > it->forward.attempt ? it->now.attempt : it->forward.attempt;

    return TRI_ATTEMPT(epoch, TRI_ATTEMPT_EPOCH(last) == epoch ? TRI_ATTEMPT_N(last) + 1 : 1);
}

static uint32_t chains_of(const struct sim_world *world, uint32_t mask, uint16_t *chains)
{
    uint32_t count = 0;

    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        if ((mask >> chain & 1U) != 0) {
            chains[count++] = world->coordinator.index_of[chain];
        }
    }
    return count;
}

void sim_forced_redeliver(struct sim_world *world, const struct sim_moment *moment)
{
    struct check_message *it = &world->checker.messages[moment->who];
    struct check_forward before = it->forward;
    struct tri_event event = {.type = TRI_EVENT_REDELIVER};
    uint64_t timestamp_ms;
    uint16_t chains[SIM_CHAINS_MAX];

    if (world->coordinator.is_down || world->coordinator.is_broken || !it->has_primary ||
        !take_accepted(world, moment->who, &event.redeliver.hash)) {
        return;
    }
    timestamp_ms = world->taken.submit.timestamp_ms;
    if (timestamp_ms > it->accepted_ms + world->swarm.clock_allowance_ms) {
        return; /* forced, and dated so far ahead that its time tells nothing */
    }
    it->forward = (struct check_forward){.attempt = next_attempt(world, it), .is_open = true};
    sim_trace(world, "REDELIVER", moment->who, 0, it->forward.attempt, 0);
    event.redeliver.key = world->messages[moment->who].key;
    event.redeliver.message = &world->taken.submit;
    event.redeliver.attempt = it->forward.attempt;
    event.redeliver.since_ms = timestamp_ms < it->issued_ms ? timestamp_ms : it->issued_ms;
    event.redeliver.chains = chains;
    event.redeliver.chain_count = chains_of(world, it->targets, chains);
    event.redeliver.client = SIM_QUEUE + moment->who;
    if (sim_coordinator_step(world, &event) == TRI_STALE) {
        it->forward = before;
    }
}

/* ---- what is promised of a redelivery ---- */

/* True: the frame belongs to the redelivery that runs, and has been judged. */
bool check_forward_out(struct sim_world *world, uint32_t chain, uint32_t index,
                       const struct tri_phase_frame *phase)
{
    struct check_message *it = &world->checker.messages[index];
    uint32_t needed = phase->phase == TRI_PHASE_PREPARE  ? it->targets
                      : phase->phase == TRI_PHASE_COMMIT ? it->forward.prepare_ok
                                                         : it->forward.commit_ok;

    if (!it->forward.is_open || phase->attempt != it->forward.attempt) {
        return false;
    }
    if (!it->has_primary) {
        sim_break(world, "A08", "m%u is redelivered without a primary record", index);
    }
    if ((it->targets >> chain & 1U) == 0) {
        sim_break(world, "F04", "m%u is redelivered to chain %u, which is no target", index, chain);
    }
    if (needed != it->targets) {
        sim_break(world, "P03", "%s of the redelivered m%u with OK from %#x of %#x",
                  tri_phase_name(phase->phase), index, needed, it->targets);
    }
    world->coverage.forward_frames++;
    return true;
}

void check_forward_in(struct sim_world *world, uint32_t chain, uint32_t index,
                      const struct tri_phase_ack *ack)
{
    struct check_forward *forward = &world->checker.messages[index].forward;
    uint32_t bit = 1U << chain;

    if (!forward->is_open || ack->attempt != forward->attempt) {
        return;
    }
    forward->prepare_ok |= ack->type == TRI_ACK_PHASE_PREPARE_OK ? bit : 0;
    forward->commit_ok |= ack->type == TRI_ACK_PHASE_COMMIT_OK ? bit : 0;
    forward->final_ok |= ack->type == TRI_ACK_PHASE_FINALIZE_OK ? bit : 0;
    world->coverage.forward_applied_before += ack->already_applied;
}

/* Who asked for it is told once how it went. */
static void check_forward_told(struct sim_world *world, uint32_t index,
                               const struct tri_effect *effect)
{
    struct check_message *it = &world->checker.messages[index];
    bool is_done = it->forward.final_ok == it->targets;

    sim_trace(world, tri_ack_type_name(effect->notify.ack_type), index, SIM_QUEUE,
              it->forward.attempt, effect->notify.code);
    if (!it->forward.is_open) {
        sim_break(world, "F04", "the end of the redelivery of m%u is told twice", index);
    }
    if (effect->notify.ack_type != TRI_ACK_REJECTED &&
        is_done != (effect->notify.ack_type == TRI_ACK_PROCESSED)) {
        sim_break(world, "F04", "the redelivery of m%u ends %s with FINALIZE_OK from %#x of %#x",
                  index, tri_ack_type_name(effect->notify.ack_type), it->forward.final_ok,
                  it->targets);
    }
    it->forward.is_open = false;
    world->coverage.forwarded += effect->notify.ack_type == TRI_ACK_PROCESSED;
    world->coverage.forwards_failed += effect->notify.ack_type == TRI_ACK_FAILED;
    world->coverage.forwards_refused += effect->notify.ack_type == TRI_ACK_REJECTED;
}

bool check_forced_notify(struct sim_world *world, const struct tri_effect *effect)
{
    if (effect->notify.client == SIM_OPERATOR) {
        if (effect->notify.kind != TRI_NOTIFY_STATUS) {
            sim_break(world, "F06", "the operator is told something else than a STATUS");
        }
        return true;
    }
    if (effect->notify.client < SIM_QUEUE) {
        return false;
    }
    check_forward_told(world, (uint32_t)(effect->notify.client - SIM_QUEUE), effect);
    return true;
}
