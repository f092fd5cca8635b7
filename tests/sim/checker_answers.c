/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checker, second half: what chains answer and what clients are told.
 */
#include "tests/sim/sim.h"

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

/* ---- chain to coordinator ---- */

/* P05: a token is told for one message and, unless it marks what was applied, one attempt. */
static void check_token(struct sim_world *world, uint32_t chain, uint32_t index,
                        const struct tri_phase_ack *ack)
{
    uint64_t digest = sim_digest(ack->tokens.at, ack->tokens.bytes, chain) | 1U;
    uint32_t at = (uint32_t)digest % SIM_TOKENS_MAX;
    struct check_token *it = &world->checker.tokens[at];

    while (it->digest != 0 && it->digest != digest) {
        at = (at + 1) % SIM_TOKENS_MAX;
        it = &world->checker.tokens[at];
    }
    if (it->digest == 0) {
        world->checker.token_count++;
        assert(world->checker.token_count < SIM_TOKENS_MAX / 2);
        *it = (struct check_token){digest, index, ack->attempt};
        return;
    }
    if (it->message != index || (it->attempt != ack->attempt && !ack->already_applied)) {
        sim_break(world, "P05", "chain %u gives a token of m%u again for m%u", chain, it->message,
                  index);
    }
}

/* Refusals that another delivery of the same frame may not get: there was no place to remember
 * them, or they follow from something that has happened since. */
static bool may_differ(const struct check_message *it, uint32_t chain,
                       const struct tri_phase_ack *ack)
{
    if (ack->type != TRI_ACK_PHASE_REJECT) {
        return false;
    }
    switch (ack->code) {
    case TRI_ERROR_BUSY:
    case TRI_ERROR_STALE:
    case TRI_ERROR_NO_RESERVATION:
        return true;
    case TRI_ERROR_ATTEMPT_ENDED:
        return it->ended_at[chain] >= ack->attempt || it->taken_at[chain] > ack->attempt;
    default:
        return false;
    }
}

/* P06: the same phase message gets the same bytes. */
static void check_repeat(struct sim_world *world, uint32_t chain, uint32_t index, uint32_t frame,
                         const struct tri_phase_ack *ack)
{
    struct check_message *it = &world->checker.messages[index];
    uint64_t digest = sim_digest(world->frames[frame], world->frame_bytes[frame], 5);
    struct sim_answer *answer = it->answers[chain];
    struct sim_answer *end = answer + SIM_ANSWERS_MAX;

    if (may_differ(it, chain, ack)) {
        return;
    }
    while (answer < end && answer->is_used &&
           (answer->attempt != ack->attempt || answer->phase != (uint8_t)ack->phase)) {
        answer++;
    }
    if (answer == end) {
        return;
    }
    if (!answer->is_used) {
        *answer = (struct sim_answer){ack->attempt, digest, (uint8_t)ack->phase, true};
    } else if (answer->digest != digest) {
        sim_break(world, "P06", "chain %u answers %s of m%u attempt %u.%u anew: %s %s", chain,
                  tri_phase_name(ack->phase), index, TRI_ATTEMPT_EPOCH(ack->attempt),
                  TRI_ATTEMPT_N(ack->attempt), tri_ack_type_name(ack->type),
                  tri_error_name(ack->code));
    } else {
        world->coverage.replays++;
    }
}

/* P06: nobody has sent other content, so nobody may be refused for it. */
static void check_mismatch(struct sim_world *world, uint32_t chain, uint32_t index,
                           enum tri_error code)
{
    if (code == TRI_ERROR_DUPLICATE_ID_MISMATCH && world->swarm.equivocations == 0) {
        sim_break(world, "P06",
                  "chain %u refuses a frame of m%u for its content, which is the same", chain,
                  index);
    }
}

static void check_bury(struct sim_world *world, uint32_t chain, uint32_t index,
                       const struct tri_control_ack *ack)
{
    tri_attempt *buried = &world->checker.messages[index].buried_at[chain];

    if (ack->type == TRI_ACK_PROCESSED && ack->attempt > *buried) {
        *buried = ack->attempt;
    }
}

/* P12: behind its own word that an attempt has ended, a chain consents to nothing of it. */
static void check_tombstone(struct sim_world *world, uint32_t chain, uint32_t index,
                            const struct tri_phase_ack *ack)
{
    if (ack->type != TRI_ACK_PHASE_REJECT && ack->attempt != 0 &&
        ack->attempt <= world->checker.messages[index].buried_at[chain]) {
        sim_break(world, "P12", "chain %u answers %s to an attempt of m%u that it has ended", chain,
                  tri_ack_type_name(ack->type), index);
    }
}

static void cover_answer(struct sim_world *world, const struct tri_phase_ack *ack)
{
    struct sim_coverage *coverage = &world->coverage;

    coverage->already_applied += ack->already_applied;
    coverage->tombstone_refusals += ack->code == TRI_ERROR_ATTEMPT_ENDED;
    coverage->unknown_commits +=
        ack->code == TRI_ERROR_NO_RESERVATION && ack->phase == TRI_PHASE_COMMIT;
    coverage->commit_expired += ack->code == TRI_ERROR_LOCK_EXPIRED;
    coverage->busy_participant += ack->code == TRI_ERROR_BUSY;
    coverage->conflicts += ack->code == TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
    coverage->stale_prepares += ack->code == TRI_ERROR_STALE;
}

void check_from_chain(struct sim_world *world, uint32_t chain, uint32_t frame)
{
    struct tri_frame *seen = &world->checker.frame;
    uint32_t index;

    sim_frame_open(world, frame, seen);
    if (world->has_failed) {
        return;
    }
    if (seen->type == TRI_FRAME_PHASE_ACK) {
        (void)message_of(world, seen->phase_ack.id, &index);
        sim_trace(world, tri_ack_type_name(seen->phase_ack.type), index, chain,
                  seen->phase_ack.attempt,
                  (uint64_t)seen->phase_ack.phase * 1000 + seen->phase_ack.code);
        check_mismatch(world, chain, index, seen->phase_ack.code);
        check_tombstone(world, chain, index, &seen->phase_ack);
        check_repeat(world, chain, index, frame, &seen->phase_ack);
        if (seen->phase_ack.type == TRI_ACK_PHASE_PREPARE_OK) {
            check_token(world, chain, index, &seen->phase_ack);
        }
        cover_answer(world, &seen->phase_ack);
    } else if (seen->type == TRI_FRAME_CONTROL_ACK) {
        (void)message_of(world, seen->control_ack.id, &index);
        sim_trace(world, "control ack", index, chain, seen->control_ack.attempt,
                  (uint64_t)seen->control_ack.type * 1000 + seen->control_ack.code);
        check_mismatch(world, chain, index, seen->control_ack.code);
        check_bury(world, chain, index, &seen->control_ack);
        if (seen->control_ack.kind == TRI_CONTROL_ABORT) {
            world->coverage.abort_met_applied +=
                seen->control_ack.code == TRI_ERROR_ALREADY_APPLIED;
        } else {
            world->coverage.fenced_rollbacks += seen->control_ack.type == TRI_ACK_FAILED;
        }
    } else {
        assert(seen->type == TRI_FRAME_ASK);
        (void)message_of(world, seen->ask.id, &index);
        sim_trace(world, "ASK", index, chain, seen->ask.attempt, 0);
        world->coverage.asks++;
    }
}

static void check_phase_in(struct sim_world *world, uint32_t chain, const struct tri_phase_ack *ack)
{
    uint32_t index;
    struct check_message *it = message_of(world, ack->id, &index);
    uint32_t bit = 1U << chain;

    check_forward_in(world, chain, index, ack);
    if (ack->attempt != it->now.attempt || (it->targets & bit) == 0) {
        return;
    }
    switch (ack->type) {
    case TRI_ACK_PHASE_PREPARE_OK:
        if (it->now.decision_lsn != 0 || (it->now.prepare_no & bit) != 0) {
            return;
        }
        it->now.prepare_ok |= bit;
        it->now.token_bytes[chain] = (uint8_t)ack->tokens.bytes;
        memcpy(it->now.tokens[chain], ack->tokens.at, ack->tokens.bytes);
        it->may = ack->already_applied ? it->may | bit : it->may & ~bit;
        return;
    case TRI_ACK_PHASE_COMMIT_OK:
        it->now.commit_ok |= it->now.commit_no & bit ? 0 : bit;
        it->now.commit_said |= bit;
        return;
    case TRI_ACK_PHASE_REJECT:
        it->now.commit_said |= ack->phase == TRI_PHASE_COMMIT ? bit : 0;
        if (ack->phase == TRI_PHASE_PREPARE && (it->now.prepare_ok & bit) == 0) {
            it->now.prepare_no |= bit;
        }
        if (ack->phase == TRI_PHASE_COMMIT && (it->now.commit_ok & bit) == 0 &&
            ack->code != TRI_ERROR_NO_RESERVATION && ack->code != TRI_ERROR_STALE &&
            (ack->code != TRI_ERROR_BUSY || it->atomicity != TRI_BEST_EFFORT)) {
            it->now.commit_no |= bit;
            it->may &= ~bit;
        }
        return;
    default:
        return;
    }
}

void check_at_coordinator(struct sim_world *world, uint32_t chain, const struct tri_frame *frame)
{
    uint32_t index;

    if (frame->type == TRI_FRAME_PHASE_ACK) {
        world->checker.acks++;
        check_phase_in(world, chain, &frame->phase_ack);
        (void)message_of(world, frame->phase_ack.id, &index);
        sim_trace(world, "answer arrives", index, chain, frame->phase_ack.attempt,
                  frame->phase_ack.type);
    } else if (frame->type == TRI_FRAME_CONTROL_ACK) {
        const struct tri_control_ack *ack = &frame->control_ack;
        struct check_message *it = message_of(world, ack->id, &index);

        world->checker.control_acks++;
        if (ack->kind == TRI_CONTROL_ROLLBACK && ack->type == TRI_ACK_PROCESSED &&
            ack->attempt == it->now.attempt) {
            it->now.undone |= 1U << chain;
            it->may &= ~(1U << chain);
        }
        sim_trace(world, "control answer arrives", index, chain, ack->attempt, ack->type);
    } else {
        world->checker.asks++;
    }
}

/* ---- coordinator to client ---- */

static void take_evidence(struct sim_world *world, struct check_end *end, const struct tri_ack *ack)
{
    *end = (struct check_end){.type = ack->type, .code = ack->code};
    for (uint32_t i = 0; i < ack->target_count; i++) {
        uint32_t bit = check_targets_mask(world, &ack->targets[i].chain, 1);

        switch (ack->targets[i].state) {
        case TRI_TARGET_APPLIED:
        case TRI_TARGET_FINAL:
            end->applied |= bit;
            break;
        case TRI_TARGET_REFUSED:
            end->refused |= bit;
            break;
        case TRI_TARGET_UNDONE:
            end->undone |= bit;
            break;
        default:
            end->rest |= bit;
            break;
        }
    }
}

static void cover_result(struct sim_world *world, const struct check_message *it)
{
    struct sim_coverage *coverage = &world->coverage;
    bool is_best_effort = it->atomicity == TRI_BEST_EFFORT;

    coverage->forced += it->is_critical;
    coverage->processed += it->told.type == TRI_ACK_PROCESSED;
    coverage->finalize_incomplete += it->told.code == TRI_ERROR_FINALIZE_INCOMPLETE;
    coverage->redelivered_and_processed +=
        it->told.type == TRI_ACK_PROCESSED && TRI_ATTEMPT_N(it->now.attempt) > 1;
    coverage->rejected += it->told.type == TRI_ACK_REJECTED;
    coverage->rolled_back += it->told.code == TRI_ERROR_ROLLED_BACK;
    coverage->rollback_incomplete += it->told.code == TRI_ERROR_ROLLBACK_INCOMPLETE;
    coverage->reconciliation += it->told.code == TRI_ERROR_RECONCILIATION_REQUIRED;
    coverage->retries_exceeded += it->told.code == TRI_ERROR_MAX_RETRIES_EXCEEDED;
    coverage->none_applied += it->told.code == TRI_ERROR_NO_CHAIN_APPLIED;
    coverage->partly_applied +=
        is_best_effort && it->told.type == TRI_ACK_PROCESSED && it->told.applied != it->targets;
    coverage->refused_commit += it->atomicity == TRI_GUARANTEED &&
                                it->told.type == TRI_ACK_FAILED &&
                                (it->told.code == TRI_ERROR_OPERATOR_REFUSED ||
                                 it->told.code == TRI_ERROR_INVALID_STATE_TRANSITION);
}

/* Behind a primary record there is no outcome record (D01). */
static bool is_gate_open(const struct sim_world *world, const struct check_message *it)
{
    uint64_t stamp = it->outcome_lsn != 0 ? it->outcome_lsn : it->now.primary_lsn;

    return stamp != 0 && stamp <= check_stamp(world, world->coordinator.durable_lsn);
}

/* F04: of a forgotten message that is redelivered no more is known than its primary record. */
static bool is_told_of_forward(const struct check_message *it, const struct tri_ack *ack)
{
    return it->forward.is_open && ack->duplicate && ack->attempt == 0 &&
           ack->type == TRI_ACK_PROCESSED && ack->code == TRI_ERROR_NONE;
}

/* R01, D01: what was told once stays.  One thing may be said more exactly: a restart which has lost
 * the record that FINALIZE had ended ends it again, and may find a chain that does not answer. */
static bool is_told_again(const struct sim_world *world, const struct check_message *it,
                          const struct tri_ack *ack)
{
    return it->told.type == ack->type &&
           (it->told.code == ack->code ||
            (world->checker.restarts > 0 && it->told.code == TRI_ERROR_NONE &&
             ack->code == TRI_ERROR_FINALIZE_INCOMPLETE) ||
            is_told_of_forward(it, ack));
}

/* A result with targets, or the answer to a duplicate: how the message has ended. */
static void check_result(struct sim_world *world, uint32_t client, uint32_t index,
                         const struct tri_ack *ack)
{
    struct check_message *it = &world->checker.messages[index];

    if (ack->duplicate) {
        it->clients[client].repeats++;
    } else {
        it->clients[client].results++;
        if (it->clients[client].results > 1) {
            sim_break(world, "R09", "client %u is told the end of m%u twice", client, index);
        }
    }
    if (it->has_result && !is_told_again(world, it, ack)) {
        sim_break(world, "R01", "m%u ends %s %s and has ended before", index,
                  tri_ack_type_name(ack->type), tri_error_name(ack->code));
    }
    if (it->outcome_lsn != 0 && !is_told_of_forward(it, ack) &&
        (it->end.type != ack->type || it->end.code != ack->code)) {
        sim_break(world, "D01", "m%u ends %s %s, its record says %s %s", index,
                  tri_ack_type_name(ack->type), tri_error_name(ack->code),
                  tri_ack_type_name(it->end.type), tri_error_name(it->end.code));
    }
    if (!is_gate_open(world, it)) {
        sim_break(world, "D01", "the result of m%u overtakes its record", index);
    }
    if (it->may != 0 && ack->type != TRI_ACK_PROCESSED && it->atomicity != TRI_BEST_EFFORT &&
        ack->code != TRI_ERROR_RECONCILIATION_REQUIRED &&
        ack->code != TRI_ERROR_ROLLBACK_INCOMPLETE) {
        sim_break(world, "A11", "m%u ends %s although %#x may have applied it", index,
                  tri_error_name(ack->code), it->may);
    }
    world->coverage.results_again += ack->duplicate && it->resumed == CHECK_ENDED;
    if (!it->has_result) {
        it->has_result = true;
        take_evidence(world, &it->told, ack);
        cover_result(world, it);
    }
}

static void check_ack_out(struct sim_world *world, uint32_t client, const struct tri_ack *ack)
{
    uint32_t index;
    struct check_message *it = message_of(world, ack->id, &index);

    sim_trace(world, tri_ack_type_name(ack->type), index, client, ack->attempt,
              ack->duplicate * UINT64_C(1000) + ack->code);
    if (ack->type == TRI_ACK_RECEIVED) {
        it->clients[client].receipts++;
        world->coverage.duplicates += ack->duplicate;
        if (it->accept_lsn == 0 ||
            it->accept_lsn > check_stamp(world, world->coordinator.durable_lsn)) {
            sim_break(world, "D01", "RECEIVED of m%u overtakes its accept record", index);
        }
        return;
    }
    if (ack->type == TRI_ACK_REJECTED && ack->target_count == 0) {
        it->clients[client].refusals++;
        world->coverage.busy_coordinator += ack->code == TRI_ERROR_BUSY;
        world->coverage.equivocations += ack->code == TRI_ERROR_DUPLICATE_ID_MISMATCH;
        world->coverage.stale_submits +=
            ack->code == TRI_ERROR_STALE || ack->code == TRI_ERROR_TIMESTAMP_AHEAD;
        return;
    }
    world->coverage.duplicates += ack->duplicate;
    check_result(world, client, index, ack);
}

void check_to_client(struct sim_world *world, uint32_t client, uint32_t frame)
{
    struct tri_frame *seen = &world->checker.frame;
    struct check_message *it;
    uint32_t index;

    sim_frame_open(world, frame, seen);
    if (world->has_failed) {
        return;
    }
    if (seen->type == TRI_FRAME_ACK) {
        check_ack_out(world, client, &seen->ack);
        return;
    }
    assert(seen->type == TRI_FRAME_NOTICE);
    it = message_of(world, seen->notice.id, &index);
    sim_trace(world, "NOTICE", index, client, seen->notice.attempt, 0);
    world->coverage.notices++;
    if (it->now.primary_lsn == 0 ||
        it->now.primary_lsn > check_stamp(world, world->coordinator.durable_lsn)) {
        sim_break(world, "F01", "the finality notice of m%u overtakes its primary record", index);
    }
}
