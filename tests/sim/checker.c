/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checker: the protocol's promises, judged by what crosses the wires.
 *
 * It decodes every frame for itself and keeps its own account of each message's
 * newest attempt.  Of the coordinator's journal it sees the records and how far
 * they are durable; of the engine it sees nothing.
 */
#include "tests/sim/sim.h"

#define RESEND_NS (20 * TRI_NS_PER_MS) /* a walk over the open messages takes no longer */

static const char *const phase_traces[TRI_PHASE_COUNT] = {"PREPARE ->", "COMMIT ->", "FINALIZE ->"};

static struct check_message *message_of(struct sim_world *world, struct tri_text id,
                                        uint32_t *index)
{
    *index = sim_message_of(id);
    if (*index >= world->swarm.message_count) {
        sim_break(world, "P02", "a frame names a message that nobody submitted");
        *index = 0;
    }
    return &world->checker.messages[*index];
}

static bool is_durable(const struct sim_world *world, uint64_t stamp)
{
    return stamp != 0 && stamp <= check_stamp(world, world->coordinator.durable_lsn);
}

static uint32_t chain_of(const struct sim_world *world, struct tri_text id)
{
    uint32_t chain = 0;

    while (chain < world->swarm.chain_count &&
           (world->chains_named[chain].id.bytes != id.bytes ||
            memcmp(world->chains_named[chain].id.at, id.at, id.bytes) != 0)) {
        chain++;
    }
    return chain;
}

uint32_t check_targets_mask(const struct sim_world *world, const struct tri_text *chains,
                            uint32_t count)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t chain = chain_of(world, chains[i]);

        if (chain < world->swarm.chain_count) {
            mask |= 1U << chain;
        }
    }
    return mask;
}

/* ---- submits and records ---- */

/* A04, A10: what the message is, from its content and the map alone. */
void check_submit(struct sim_world *world, uint32_t client, const struct tri_message *message)
{
    uint32_t index;
    struct check_message *it = message_of(world, message->id, &index);

    world->checker.submits++;
    it->clients[client].submits++;
    if (it->is_known) {
        return; /* an equivocation differs in its payload only */
    }
    it->is_known = true;
    it->is_critical = message->priority == TRI_PRIORITY_CRITICAL;
    it->atomicity = it->is_critical ? TRI_ALL_OR_NOTHING : message->atomicity;
    it->finalize_requested = message->finalize_requested;
    it->targets = check_targets_mask(world, message->targets, message->target_count);
    if (it->atomicity == TRI_ALL_OR_NOTHING || message->scope == TRI_SCOPE_ALL_CHAINS) {
        it->targets = 0;
        for (uint32_t i = 0; i < world->messages[index].asset_count; i++) {
            it->targets |= world->asset_chains[world->messages[index].assets[i]];
        }
    }
    it->ttl_s = message->ttl_s;
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        it->timeout_ms[phase] = message->timeout_ms[phase] != 0 ? message->timeout_ms[phase]
                                                                : world->swarm.timeout_ms[phase];
    }
}

/* P14: whoever was asked, and has been within reach since, has been told that it is over. */
static void check_attempt_ended(struct sim_world *world, uint32_t index)
{
    const struct check_message *it = &world->checker.messages[index];

    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        if (it->now.opened_downs[chain] == world->links[chain].downs + 1) {
            sim_break(world, "P14", "m%u is tried again, chain %u still works on attempt %u.%u",
                      index, chain, TRI_ATTEMPT_EPOCH(it->now.attempt),
                      TRI_ATTEMPT_N(it->now.attempt));
        }
    }
}

/* A phase of the open attempt leaves for a chain. */
static void attempt_opens(struct sim_world *world, struct check_message *it, uint32_t chain)
{
    if (it->now.begun_ns == TRI_NEVER) {
        it->now.begun_ns = world->now_ns;
    }
    it->now.sent_ns[chain] = world->now_ns;
    if (world->links[chain].is_told_up) {
        it->now.opened_downs[chain] = world->links[chain].downs + 1;
    }
}

static void attempt_begin(struct check_message *it, tri_attempt attempt)
{
    memset(&it->now, 0, sizeof(it->now));
    it->now.attempt = attempt;
    it->now.begun_ns = TRI_NEVER;
}

/* L04: the reservations outlive what may come.  They run from the first PREPARE. */
static void check_fence(struct sim_world *world, uint32_t index, const struct tri_round_view *view)
{
    const struct check_message *it = &world->checker.messages[index];
    uint64_t need_ms = it->timeout_ms[TRI_PHASE_COMMIT] + world->swarm.clock_allowance_ms;

    if (it->atomicity == TRI_ALL_OR_NOTHING) {
        need_ms += world->swarm.rollback_window_ms;
    }
    if (world->now_ns + need_ms * TRI_NS_PER_MS >
        it->now.begun_ns + view->reservation_ttl_ms * TRI_NS_PER_MS) {
        sim_break(world, "L04", "m%u is decided and its reservations end too early", index);
    }
}

static void check_decision(struct sim_world *world, uint32_t index, const struct tri_effect *effect)
{
    struct check_message *it = &world->checker.messages[index];

    if (it->now.prepare_ok != it->targets) {
        sim_break(world, "P03", "m%u is decided with PREPARE_OK from %#x of %#x", index,
                  it->now.prepare_ok, it->targets);
    }
    if (it->now.decision_lsn != 0 || world->checker.step == TRI_EVENT_TICK) {
        sim_break(world, "P09", "m%u is decided %s", index,
                  it->now.decision_lsn != 0 ? "twice" : "by a timer");
    }
    check_fence(world, index, &effect->round);
    it->now.decision_lsn = check_stamp(world, effect->append.lsn);
    it->may |= it->targets;
}

/* When the date of a forced message is over, 0 = when it was accepted or before. */
static uint64_t check_dated_ns(const struct sim_world *world, uint32_t index)
{
    const struct check_message *it = &world->checker.messages[index];
    uint64_t over_ms = world->messages[index].timestamp_ms + world->swarm.clock_allowance_ms;

    return it->is_held && over_ms > it->accepted_ms
               ? (world->now_ns / TRI_NS_PER_MS + over_ms - it->accepted_ms) * TRI_NS_PER_MS
               : 0;
}

static void append_accept(struct sim_world *world, uint32_t index, const struct tri_effect *effect)
{
    struct check_message *it = &world->checker.messages[index];
    uint64_t ttl_ms = effect->round.reservation_ttl_ms;

    if (check_must_know(world, it)) {
        sim_break(world, "R01", "m%u is accepted and had been accepted before", index);
    }
    if (it->has_primary && world->swarm.wall_jumps == 0) {
        sim_break(world, "D04", "m%u is accepted again and has a primary record", index);
    }
    it->accept_lsn = check_stamp(world, effect->append.lsn);
    it->outcome_lsn = it->close_lsn = 0;
    it->hash = effect->round.hash;
    it->has_primary = it->has_result = false;
    it->may = it->retries = 0;
    it->ended_first_ns = it->ended_last_ns = 0;
    it->window_ms = ttl_ms > world->swarm.dedup_window_ms ? ttl_ms : world->swarm.dedup_window_ms;
    it->resumed = CHECK_NOTHING;
    it->is_held = effect->round.is_forced;
    it->held_until_ns = world->now_ns + it->ttl_s * TRI_NS_PER_S;
    it->accepted_ms = sim_wall_ms(world, SIM_CHAINS_MAX);
    it->dated_ns = check_dated_ns(world, index);
    world->coverage.held += it->is_held;
    memset(&it->kept, 0, sizeof(it->kept));
    attempt_begin(it, effect->round.attempt);
}

/* P10: a number that no epoch has used.  R03: a restart uses up no retry, and gives none back that
 * a record has counted. */
static void append_attempt(struct sim_world *world, uint32_t index, const struct tri_effect *effect)
{
    struct check_message *it = &world->checker.messages[index];
    tri_attempt attempt = effect->round.attempt;
    uint32_t retries = it->retries + (it->now.is_orphan || it->is_held ? 0U : 1U);
    bool is_later = it->is_held ? attempt >= it->now.attempt : attempt > it->now.attempt;

    if (!is_later || TRI_ATTEMPT_EPOCH(attempt) != world->coordinator.options.epoch) {
        sim_break(world, "P10", "m%u begins attempt %u.%u, which is not later", index,
                  TRI_ATTEMPT_EPOCH(attempt), TRI_ATTEMPT_N(attempt));
    }
    if (it->has_primary) {
        sim_break(world, "A08", "m%u is tried again behind its primary record", index);
    }
    check_settled(world, index);
    if (effect->round.retries != retries || retries > world->swarm.retries_max) {
        sim_break(world, "R03", "m%u has used up %u of %u retries and counts %u", index, retries,
                  world->swarm.retries_max, effect->round.retries);
    }
    if (it->is_held) {
        check_forced_begins(world, index);
    } else {
        world->coverage.redelivered++;
    }
    world->coverage.redelivered_after_rollback += it->now.rollback_lsn != 0;
    world->coverage.resumed_attempts += it->now.is_orphan;
    if (it->atomicity == TRI_ALL_OR_NOTHING && it->may != 0) {
        sim_break(world, "A12", "m%u is tried again while %#x may have applied it", index, it->may);
    }
    check_attempt_ended(world, index);
    attempt_begin(it, attempt);
    it->retries = retries;
    it->resumed = CHECK_NOTHING;
    it->now.record_lsn = check_stamp(world, effect->append.lsn);
}

static void append_primary(struct sim_world *world, uint32_t index, const struct tri_effect *effect)
{
    struct check_message *it = &world->checker.messages[index];

    if (it->now.commit_ok != it->targets || it->now.rollback_lsn != 0) {
        sim_break(world, "A08", "m%u is final with COMMIT_OK from %#x of %#x", index,
                  it->now.commit_ok, it->targets);
    }
    it->now.primary_lsn = check_stamp(world, effect->append.lsn);
    it->issued_ms = sim_wall_ms(world, SIM_CHAINS_MAX);
}

static uint32_t message_of_key(struct sim_world *world, struct tri_key key)
{
    uint32_t index = 0;

    /* A closed message is named by those bits of its key that tell it apart. */
    while (index < world->swarm.message_count &&
           ((uint32_t)world->messages[index].key.lo != (uint32_t)key.lo ||
            world->messages[index].key.hi != key.hi)) {
        index++;
    }
    if (index == world->swarm.message_count) {
        sim_break(world, "D01", "a record names a message that nobody submitted");
        return 0;
    }
    return index;
}

void check_append(struct sim_world *world, const struct tri_effect *effect)
{
    static const char *const names[TRI_RECORD_COUNT] = {
        "record: accept",   "record: attempt",    "record: decision", "record: rollback",
        "record: primary",  "record: outcome",    "record: close",    "record: image",
        "record: remember", "record: checkpoint", "record: envelope", "record: step",
        "record: end",
    };
    uint64_t stamp = check_stamp(world, effect->append.lsn);
    struct check_message *it;
    uint32_t index;

    if (effect->append.kind == TRI_RECORD_CHECKPOINT) {
        sim_trace(world, names[TRI_RECORD_CHECKPOINT], SIM_MESSAGES_MAX, 0, 0, effect->append.lsn);
        return;
    }
    index = message_of_key(world, effect->round.key);
    it = &world->checker.messages[index];
    sim_trace(world, names[effect->append.kind], index, 0, effect->round.attempt,
              effect->append.lsn);
    switch (effect->append.kind) {
    case TRI_RECORD_ACCEPT:
        append_accept(world, index, effect);
        break;
    case TRI_RECORD_ATTEMPT:
        append_attempt(world, index, effect);
        break;
    case TRI_RECORD_DECISION:
        check_decision(world, index, effect);
        break;
    case TRI_RECORD_ROLLBACK:
        check_settled(world, index);
        it->now.rollback_lsn = stamp;
        it->now.deadline_ms = effect->round.rollback_deadline_ms;
        break;
    case TRI_RECORD_PRIMARY:
        append_primary(world, index, effect);
        break;
    case TRI_RECORD_OUTCOME:
    case TRI_RECORD_CLOSE:
        check_outcome(world, index, effect);
        break;
    case TRI_RECORD_IMAGE:
    case TRI_RECORD_REMEMBER:
        break;
    case TRI_RECORD_CHECKPOINT:
    case TRI_RECORD_ENVELOPE: /* the simulator submits no envelopes */
    case TRI_RECORD_ENVELOPE_STEP:
    case TRI_RECORD_ENVELOPE_END:
    case TRI_RECORD_COUNT:
        return;
    }
    check_keep_mark(world, it, stamp, check_stage_now(it));
}

void check_durable(struct sim_world *world)
{
    check_keep(world, world->coordinator.durable_lsn);
}

/* ---- coordinator to chain ---- */

/* A05, P14: nothing of an attempt that has ended may leave, and it ends for everybody who was
 * asked. */
static void check_prepare_out(struct sim_world *world, uint32_t index, uint32_t chain)
{
    struct check_message *it = &world->checker.messages[index];

    if (it->now.record_lsn != 0 && !is_durable(world, it->now.record_lsn)) {
        sim_break(world, "D01", "PREPARE of m%u overtakes the record of its attempt", index);
    }
    if (it->atomicity == TRI_BEST_EFFORT) {
        sim_break(world, "A01", "m%u is BEST_EFFORT and sends PREPARE", index);
    }
    attempt_opens(world, it, chain);
}

/* Behind a decision every frame carries the tokens that the chain gave in its attempt. */
static void check_tokens(struct sim_world *world, uint32_t index, uint32_t chain,
                         struct tri_bytes tokens, enum tri_send kind)
{
    const struct check_attempt *now = &world->checker.messages[index].now;

    if (tokens.bytes != now->token_bytes[chain] ||
        memcmp(tokens.at, now->tokens[chain], tokens.bytes) != 0) {
        sim_break(world, "P05", "frame %d of m%u does not carry the token of chain %u", (int)kind,
                  index, chain);
    }
}

static void check_commit_out(struct sim_world *world, uint32_t index, uint32_t chain,
                             const struct tri_phase_frame *phase)
{
    struct check_message *it = &world->checker.messages[index];

    if (it->now.rollback_lsn != 0) {
        sim_break(world, "A06", "COMMIT of m%u to chain %u behind its rollback record", index,
                  chain);
    }
    if (it->atomicity == TRI_BEST_EFFORT) {
        if (!is_durable(world, it->accept_lsn)) {
            sim_break(world, "A01", "COMMIT of m%u overtakes its accept record", index);
        }
        it->may |= it->targets;
    } else {
        if (!is_durable(world, it->now.decision_lsn)) {
            sim_break(world, "D02", "COMMIT of m%u to chain %u without a durable decision", index,
                      chain);
        }
        if (it->now.prepare_ok != it->targets) {
            sim_break(world, "P03", "COMMIT of m%u with PREPARE_OK from %#x of %#x", index,
                      it->now.prepare_ok, it->targets);
        }
        check_tokens(world, index, chain, phase->tokens, TRI_SEND_COMMIT);
    }
    world->coverage.resumed_commits += it->resumed != CHECK_NOTHING && it->now.sent_ns[chain] == 0;
    attempt_opens(world, it, chain);
}

static void check_finalize_out(struct sim_world *world, uint32_t index, uint32_t chain,
                               const struct tri_phase_frame *phase)
{
    struct check_message *it = &world->checker.messages[index];

    if (it->atomicity == TRI_BEST_EFFORT) {
        if (!it->finalize_requested || (it->now.commit_ok >> chain & 1U) == 0) {
            sim_break(world, "A01", "FINALIZE of m%u to chain %u, which has not applied it", index,
                      chain);
        }
        return;
    }
    if (it->now.commit_ok != it->targets) {
        sim_break(world, "P03", "FINALIZE of m%u with COMMIT_OK from %#x of %#x", index,
                  it->now.commit_ok, it->targets);
    }
    if (!is_durable(world, it->now.primary_lsn)) {
        sim_break(world, "A08", "FINALIZE of m%u without a durable primary record", index);
    }
    check_tokens(world, index, chain, phase->tokens, TRI_SEND_FINALIZE);
    world->coverage.resumed_finalizes += it->resumed != CHECK_NOTHING;
}

/* D07: a message with a record that the journal has lost is left alone until a restart. */
static void check_left_alone(struct sim_world *world, uint32_t index, bool is_prepare)
{
    const struct check_message *it = &world->checker.messages[index];
    const uint64_t lsns[] = {it->accept_lsn,       it->now.record_lsn,  it->now.decision_lsn,
                             it->now.rollback_lsn, it->now.primary_lsn, it->outcome_lsn};

    for (uint32_t i = 0; i < sizeof(lsns) / sizeof(lsns[0]); i++) {
        if (world->coordinator.is_broken && !is_prepare &&
            lsns[i] > check_stamp(world, world->coordinator.durable_lsn)) {
            sim_break(world, "D07", "the journal has lost record %u of m%u, whose frames go on",
                      (uint32_t)lsns[i], index);
        }
    }
}

static void check_phase_out(struct sim_world *world, uint32_t chain,
                            const struct tri_phase_frame *phase)
{
    uint32_t index;
    struct check_message *it = message_of(world, phase->id, &index);

    sim_trace(world, phase_traces[phase->phase], index, chain, phase->attempt,
              phase->reservation_ttl_ms);
    check_left_alone(world, index, phase->phase == TRI_PHASE_PREPARE);
    if (it->is_held) {
        sim_break(world, "F06", "%s of m%u, which is held", tri_phase_name(phase->phase), index);
    }
    if (check_forward_out(world, chain, index, phase)) {
        return;
    }
    if (phase->attempt != it->now.attempt || it->accept_lsn == 0) {
        sim_break(world, "P09", "%s of an attempt of m%u that is not open",
                  tri_phase_name(phase->phase), index);
    }
    if (it->now.is_orphan ||
        (phase->phase == TRI_PHASE_PREPARE &&
         TRI_ATTEMPT_EPOCH(phase->attempt) != world->coordinator.options.epoch)) {
        sim_break(world, "P10", "%s of an attempt of m%u that a restart has ended",
                  tri_phase_name(phase->phase), index);
    }
    if (it->has_primary && phase->phase != TRI_PHASE_FINALIZE) {
        sim_break(world, "A08", "%s of m%u behind its primary record", tri_phase_name(phase->phase),
                  index);
    }
    if ((it->targets >> chain & 1U) == 0) {
        sim_break(world, "A04", "%s of m%u to chain %u, which is no target",
                  tri_phase_name(phase->phase), index, chain);
    }
    if (it->now.ended_sent != 0) {
        sim_break(world, "P14", "%s of m%u behind the end of its attempt",
                  tri_phase_name(phase->phase), index);
    }
    if (phase->phase == TRI_PHASE_PREPARE) {
        check_prepare_out(world, index, chain);
    } else if (phase->phase == TRI_PHASE_COMMIT) {
        check_commit_out(world, index, chain, phase);
    } else {
        check_finalize_out(world, index, chain, phase);
    }
    if (it->sent[chain][phase->phase] == phase->attempt) {
        world->checker.repeats++;
        world->coverage.prepare_again += phase->phase == TRI_PHASE_PREPARE;
        world->coverage.commit_again += phase->phase == TRI_PHASE_COMMIT;
        world->coverage.finalize_again += phase->phase == TRI_PHASE_FINALIZE;
    }
    it->sent[chain][phase->phase] = phase->attempt;
}

static void check_rollback_out(struct sim_world *world, uint32_t chain, uint32_t index,
                               const struct tri_control_frame *control)
{
    struct check_message *it = &world->checker.messages[index];
    uint32_t affected = check_targets_mask(world, control->chains, control->chain_count);

    if (it->atomicity != TRI_ALL_OR_NOTHING) {
        sim_break(world, "A02", "m%u is not ALL_OR_NOTHING and is rolled back", index);
    }
    if (it->has_primary || it->now.primary_lsn != 0) {
        sim_break(world, "A08", "m%u is rolled back behind its primary record", index);
    }
    if (!is_durable(world, it->now.rollback_lsn)) {
        sim_break(world, "D01", "ROLLBACK of m%u overtakes its record", index);
    }
    if (control->attempt != it->now.attempt || (affected >> chain & 1U) == 0) {
        sim_break(world, "A06", "ROLLBACK of m%u to chain %u, which is not affected", index, chain);
    }
    if ((it->may & ~affected & ~it->now.undone) != 0) {
        sim_break(world, "A06", "ROLLBACK of m%u affects %#x, but %#x may have applied it", index,
                  affected, it->may);
    }
    if (control->deadline_ms != it->now.deadline_ms) {
        sim_break(world, "A07", "the deadline of the rollback of m%u moves from %llu to %llu",
                  index, (unsigned long long)it->now.deadline_ms,
                  (unsigned long long)control->deadline_ms);
    }
    if (world->now_ns > it->window_end_ns + check_lag_ns(world)) {
        sim_break(world, "A07", "ROLLBACK of m%u behind the end of its window", index);
    }
    if (it->now.decision_lsn != 0) {
        check_tokens(world, index, chain, control->tokens, TRI_SEND_ROLLBACK);
    }
    it->now.affected |= affected;
    world->coverage.resumed_rollbacks += it->resumed != CHECK_NOTHING;
    world->coverage.rolled_back_frames++;
    world->coverage.rolled_back_unknown +=
        ((it->now.commit_ok | it->now.commit_no) >> chain & 1U) == 0;
    if (it->sent[chain][TRI_SEND_ROLLBACK] == control->attempt) {
        world->checker.repeats++;
        world->coverage.rollback_again++;
    }
    it->sent[chain][TRI_SEND_ROLLBACK] = control->attempt;
}

/* P15: an attempt ends without this chain's answer; had it come back meanwhile, its frame was sent
 * to it again. */
static void check_resent(struct sim_world *world, uint32_t chain, uint32_t index)
{
    const struct check_attempt *now = &world->checker.messages[index].now;
    const struct sim_link *link = &world->links[chain];
    uint64_t grace_ns = RESEND_NS + 2000 * (uint64_t)world->swarm.journal_us_max;
    uint32_t answered = now->decision_lsn == 0 ? now->prepare_ok | now->prepare_no
                                               : now->commit_ok | now->commit_no;

    if ((answered >> chain & 1U) == 0 && link->is_told_up && now->sent_ns[chain] < link->fresh_ns &&
        link->up_ns + grace_ns < world->now_ns) {
        sim_break(world, "P15", "chain %u came back and the frame of m%u was not sent again", chain,
                  index);
    }
}

static void check_control_out(struct sim_world *world, uint32_t chain,
                              const struct tri_control_frame *control)
{
    static const struct tri_hash none;
    bool is_rollback = control->kind == TRI_CONTROL_ROLLBACK;
    uint32_t index;
    struct check_message *it = message_of(world, control->id, &index);

    sim_trace(world, is_rollback ? "ROLLBACK ->" : "ABORT ->", index, chain, control->attempt,
              control->chain_count);
    check_left_alone(world, index, false);
    if (is_rollback) {
        check_rollback_out(world, chain, index, control);
    } else {
        world->coverage.aborts++;
    }
    if (control->attempt == it->now.attempt) {
        if (it->now.primary_lsn != 0 && it->outcome_lsn == 0 && it->close_lsn == 0) {
            sim_break(world, "A08", "m%u is aborted behind its primary record", index);
        }
        /* Without a content it answers a question, or an answer that came too late. */
        if (memcmp(&control->hash, &none, sizeof(none)) != 0) {
            if ((it->now.ended_sent >> chain & 1U) == 0) {
                check_resent(world, chain, index);
            }
            it->now.is_given_up = !is_rollback;
        }
        it->now.ended_sent |= 1U << chain;
        it->now.opened_downs[chain] = 0;
    }
}

void check_to_chain(struct sim_world *world, uint32_t chain, uint32_t frame)
{
    struct tri_frame *seen = &world->checker.frame;

    sim_frame_open(world, frame, seen);
    if (world->has_failed) {
        return;
    }
    if (seen->type == TRI_FRAME_PHASE) {
        check_phase_out(world, chain, &seen->phase);
    } else {
        assert(seen->type == TRI_FRAME_CONTROL);
        check_control_out(world, chain, &seen->control);
    }
}

void check_at_chain(struct sim_world *world, uint32_t chain, const struct tri_frame *frame)
{
    bool is_control = frame->type == TRI_FRAME_CONTROL;
    tri_attempt attempt = is_control ? frame->control.attempt : frame->phase.attempt;
    uint32_t index;
    struct check_message *it =
        message_of(world, is_control ? frame->control.id : frame->phase.id, &index);
    tri_attempt *highest = is_control ? &it->ended_at[chain] : &it->taken_at[chain];

    if (attempt > *highest) {
        *highest = attempt;
    }
    sim_trace(world, is_control ? "arrives: control" : "arrives: phase", index, chain, attempt,
              is_control ? (uint64_t)frame->control.kind : (uint64_t)frame->phase.phase);
}
