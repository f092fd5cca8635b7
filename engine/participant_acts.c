/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cells of participant_table.def do: change the entry, emit effects.
 *
 * Every change of an entry is a record, and what is answered about the entry
 * waits for its last record (D05).  A frame that only repeats what is known
 * changes nothing and makes no record.  A change that waits for the ledger is
 * recorded with the verdict; an answer in between makes its record first.
 *
 * A ledger apart must know no more than the journal: what it is asked to do
 * waits for a record that says so, the intent.  A ledger in the same journal
 * waits for nothing, because what it did and what is answered share a record.
 */
#include "engine/participant.h"

#include <assert.h>
#include <string.h>

static const uint8_t no_tokens[1] = {0x90}; /* the empty array */

/* ---- effects ---- */

/* Every field by itself: zeroing the whole and then filling it costs several times as much. */
static struct tri_participant_effect *emit(struct tri_participant_turn *turn,
                                           enum tri_participant_effect_type type)
{
    struct tri_participant_effects *effects = turn->effects;
    const struct tri_participant_entry *entry = turn->entry;
    struct tri_participant_effect *effect;

    assert(effects->count < TRI_PARTICIPANT_EFFECTS_MAX);
    effect = &effects->at[effects->count++];
    effect->type = type;
    effect->after_lsn = 0;
    effect->lsn = 0;
    effect->begin_lsn = 0;
    effect->record = TRI_PARTICIPANT_RECORD_MESSAGE;
    effect->entry = turn->index;
    effect->generation = entry->generation;
    effect->op = TRI_LEDGER_RESERVE;
    effect->is_again = false;
    effect->key = entry->key;
    effect->id.at = entry->id;
    effect->id.bytes = entry->id_bytes;
    effect->attempt = entry->attempt;
    effect->ack_type = TRI_ACK_RECEIVED;
    effect->phase = TRI_PHASE_PREPARE;
    effect->control = TRI_CONTROL_ABORT;
    effect->code = TRI_ERROR_NONE;
    effect->already_applied = false;
    effect->tokens.at = no_tokens;
    effect->tokens.bytes = sizeof(no_tokens);
    effect->retry_after_ms = 0;
    return effect;
}

static struct tri_participant_effect *emit_ledger(struct tri_participant_turn *turn,
                                                  enum tri_ledger_op op)
{
    struct tri_participant_effect *effect = emit(turn, TRI_PARTICIPANT_EFFECT_LEDGER);

    assert(turn->index != TRI_PARTICIPANT_NOBODY);
    effect->op = op;
    return effect;
}

/* Frees what the ledger holds for the message, if it does.  The record that says so follows. */
static void release(struct tri_participant_turn *turn)
{
    struct tri_participant *participant = turn->participant;

    if ((turn->entry->flags & TRI_PARTICIPANT_HELD) != 0) {
        turn->entry->flags &= (uint8_t)~TRI_PARTICIPANT_HELD;
        emit_ledger(turn, TRI_LEDGER_RELEASE)->after_lsn =
            participant->options.ledger_is_apart ? participant->lsn + 1 : 0;
    }
}

struct tri_participant_effect *tri_participant_append(struct tri_participant_turn *turn,
                                                      enum tri_participant_record kind)
{
    struct tri_participant_effect *effect = emit(turn, TRI_PARTICIPANT_EFFECT_APPEND);

    effect->record = kind;
    effect->lsn = ++turn->participant->lsn;
    return effect;
}

/* The entry has changed: its record, which every later answer about it waits for. */
static void record(struct tri_participant_turn *turn)
{
    assert(turn->index != TRI_PARTICIPANT_NOBODY);
    turn->entry->lsn = tri_participant_append(turn, TRI_PARTICIPANT_RECORD_MESSAGE)->lsn;
    turn->entry->flags &= (uint8_t)~TRI_PARTICIPANT_UNRECORDED;
    turn->changed = true;
}

/* Asks for an operation; if the ledger is apart, the intent goes first. */
static void ask_ledger(struct tri_participant_turn *turn, enum tri_ledger_op op)
{
    uint64_t after_lsn = 0;

    if (turn->participant->options.ledger_is_apart) {
        record(turn);
        after_lsn = turn->entry->lsn;
    }
    emit_ledger(turn, op)->after_lsn = after_lsn;
}

/* What the answer to follow rests on. */
static void settle(struct tri_participant_turn *turn)
{
    if ((turn->entry->flags & TRI_PARTICIPANT_UNRECORDED) != 0) {
        record(turn);
    }
}

static uint64_t gate(const struct tri_participant_turn *turn)
{
    return turn->entry->lsn > turn->participant->lsn_durable ? turn->entry->lsn : 0;
}

static struct tri_participant_effect *emit_phase_ack(struct tri_participant_turn *turn,
                                                     tri_attempt attempt, enum tri_phase phase,
                                                     enum tri_ack_type type)
{
    struct tri_participant_effect *effect;

    settle(turn);
    effect = emit(turn, TRI_PARTICIPANT_EFFECT_PHASE_ACK);
    effect->after_lsn = gate(turn);
    effect->attempt = attempt;
    effect->phase = phase;
    effect->ack_type = type;
    return effect;
}

static void emit_reject(struct tri_participant_turn *turn, tri_attempt attempt,
                        enum tri_phase phase, enum tri_error code)
{
    assert(code != TRI_ERROR_NONE);
    emit_phase_ack(turn, attempt, phase, TRI_ACK_PHASE_REJECT)->code = code;
}

static void emit_prepare_ok(struct tri_participant_turn *turn, tri_attempt attempt,
                            bool already_applied)
{
    uint8_t *token = turn->participant->tokens[turn->effects->count];
    struct tri_participant_effect *effect =
        emit_phase_ack(turn, attempt, TRI_PHASE_PREPARE, TRI_ACK_PHASE_PREPARE_OK);

    tri_participant_token_put(token, turn->entry->token_instance, turn->entry->token);
    effect->tokens = (struct tri_bytes){token, TRI_PARTICIPANT_TOKEN_BYTES};
    effect->already_applied = already_applied;
}

static void emit_commit_ok(struct tri_participant_turn *turn, tri_attempt attempt,
                           bool already_applied)
{
    emit_phase_ack(turn, attempt, TRI_PHASE_COMMIT, TRI_ACK_PHASE_COMMIT_OK)->already_applied =
        already_applied;
}

/* Without a code it is done; some codes say that it was never begun, the others that it failed. */
static void emit_control_ack(struct tri_participant_turn *turn, tri_attempt attempt,
                             enum tri_control control, enum tri_error code)
{
    struct tri_participant_effect *effect;

    settle(turn);
    effect = emit(turn, TRI_PARTICIPANT_EFFECT_CONTROL_ACK);
    effect->after_lsn = gate(turn);
    effect->attempt = attempt;
    effect->control = control;
    effect->code = code;
    switch (code) {
    case TRI_ERROR_NONE:
        effect->ack_type = TRI_ACK_PROCESSED;
        break;
    case TRI_ERROR_ALREADY_APPLIED:
    case TRI_ERROR_ATTEMPT_ENDED:
    case TRI_ERROR_DUPLICATE_ID_MISMATCH:
        effect->ack_type = TRI_ACK_REJECTED;
        break;
    default:
        effect->ack_type = TRI_ACK_FAILED;
        break;
    }
}

static bool is_control(const struct tri_participant_frame *frame)
{
    return frame->kind == TRI_PARTICIPANT_ABORT || frame->kind == TRI_PARTICIPANT_ROLLBACK;
}

static enum tri_control control_of(const struct tri_participant_frame *frame)
{
    return frame->kind == TRI_PARTICIPANT_ABORT ? TRI_CONTROL_ABORT : TRI_CONTROL_ROLLBACK;
}

static enum tri_phase phase_of(const struct tri_participant_frame *frame)
{
    switch (frame->kind) {
    case TRI_PARTICIPANT_PREPARE:
        return TRI_PHASE_PREPARE;
    case TRI_PARTICIPANT_COMMIT:
        return TRI_PHASE_COMMIT;
    default:
        assert(frame->kind == TRI_PARTICIPANT_FINALIZE);
        return TRI_PHASE_FINALIZE;
    }
}

/* Answers the frame, whatever it is, with a refusal. */
static void emit_refusal(struct tri_participant_turn *turn, enum tri_error code)
{
    const struct tri_participant_frame *frame = turn->frame;

    if (is_control(frame)) {
        emit_control_ack(turn, frame->attempt, control_of(frame), code);
    } else {
        emit_reject(turn, frame->attempt, phase_of(frame), code);
    }
}

void tri_participant_refuse(struct tri_participant_turn *turn, enum tri_error code)
{
    turn->participant->counters.refused++;
    emit_refusal(turn, code);
}

void tri_participant_refuse_full(struct tri_participant_turn *turn)
{
    uint64_t window_ms = turn->participant->options.dedup_window_ms;

    turn->participant->counters.refused_full++;
    tri_participant_refuse(turn, TRI_ERROR_BUSY);
    if (!is_control(turn->frame)) {
        turn->effects->at[turn->effects->count - 1].retry_after_ms =
            window_ms < UINT32_MAX ? (uint32_t)window_ms : UINT32_MAX;
    }
}

/* ---- small changes of an entry ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void raise_tombstone(struct tri_participant_turn *turn, tri_attempt attempt)
{
    turn->entry->tombstone = later(turn->entry->tombstone, attempt);
}

/* From now on the message is remembered for one window at least (P13). */
static void remember_window(struct tri_participant_turn *turn)
{
    turn->entry->forget_ns =
        later(turn->entry->forget_ns, turn->now_ns + turn->participant->dedup_window_ns);
}

/* The entry turns to a new attempt: what is earlier has ended (P14). */
static void take_up(struct tri_participant_turn *turn)
{
    struct tri_participant_entry *entry = turn->entry;

    assert(turn->frame->attempt > entry->attempt);
    raise_tombstone(turn, turn->frame->attempt - 1);
    entry->forget_ns = later(entry->forget_ns, turn->frame->forget_ns);
    entry->attempt = turn->frame->attempt;
    entry->token = ++turn->participant->token;
    entry->token_instance = turn->participant->options.instance;
    entry->prepare_code = TRI_ERROR_NONE;
    entry->commit_code = TRI_ERROR_NONE;
    entry->flags &= (uint8_t) ~(TRI_PARTICIPANT_ALONE | TRI_PARTICIPANT_CLOSED);
    entry->flags |= TRI_PARTICIPANT_UNRECORDED;
    turn->changed = true;
}

/* ---- acts that answer and change nothing ---- */

void tri_participant_act_refuse_mismatch(struct tri_participant_turn *turn)
{
    turn->participant->counters.mismatched++;
    tri_participant_refuse(turn, TRI_ERROR_DUPLICATE_ID_MISMATCH);
}

void tri_participant_act_ignore(struct tri_participant_turn *turn)
{
    turn->participant->counters.ignored++;
}

void tri_participant_act_refuse_unknown(struct tri_participant_turn *turn)
{
    tri_participant_refuse(turn, TRI_ERROR_NO_RESERVATION);
}

void tri_participant_act_refuse_ended(struct tri_participant_turn *turn)
{
    turn->participant->counters.refused_by_tombstone++;
    tri_participant_refuse(turn, TRI_ERROR_ATTEMPT_ENDED);
}

void tri_participant_act_confirm(struct tri_participant_turn *turn)
{
    emit_control_ack(turn, turn->frame->attempt, control_of(turn->frame), TRI_ERROR_NONE);
}

void tri_participant_act_refuse_lower(struct tri_participant_turn *turn)
{
    tri_participant_refuse(turn, TRI_ERROR_ATTEMPT_ENDED);
}

void tri_participant_act_refuse_final(struct tri_participant_turn *turn)
{
    tri_participant_refuse(turn, TRI_ERROR_ROLLBACK_FENCED);
}

void tri_participant_act_wait(struct tri_participant_turn *turn)
{
    assert(turn->entry->state != TRI_PARTICIPANT_NONE); /* the verdict sets the timer again */
}

void tri_participant_act_never(struct tri_participant_turn *turn)
{
    assert(turn == NULL); /* the guards broke their promise */
}

/* ---- acts on phases ---- */

void tri_participant_act_reserve(struct tri_participant_turn *turn)
{
    take_up(turn);
    turn->entry->ttl_ns = turn->frame->ttl_ns;
    ask_ledger(turn, TRI_LEDGER_RESERVE);
}

void tri_participant_act_apply(struct tri_participant_turn *turn)
{
    turn->changed = true;
    ask_ledger(turn, TRI_LEDGER_APPLY);
}

void tri_participant_act_apply_alone(struct tri_participant_turn *turn)
{
    take_up(turn);
    turn->entry->flags |= TRI_PARTICIPANT_ALONE;
    turn->entry->prepare_code = TRI_ERROR_ATTEMPT_ENDED; /* it never had a PREPARE */
    ask_ledger(turn, TRI_LEDGER_APPLY_UNRESERVED);
}

/* A stale PREPARE of a message that is not known leaves no trace: it is stale for ever. */
void tri_participant_act_refuse_stale(struct tri_participant_turn *turn)
{
    if (turn->index != TRI_PARTICIPANT_NOBODY) {
        take_up(turn);
        turn->entry->prepare_code = TRI_ERROR_STALE;
        release(turn);
        record(turn);
    }
    tri_participant_refuse(turn, TRI_ERROR_STALE);
}

/* A refused COMMIT is remembered even so: it must never be applied later (D05). */
void tri_participant_act_refuse_alone_stale(struct tri_participant_turn *turn)
{
    take_up(turn);
    turn->entry->prepare_code = TRI_ERROR_ATTEMPT_ENDED;
    turn->entry->commit_code = TRI_ERROR_STALE;
    record(turn);
    tri_participant_refuse(turn, TRI_ERROR_STALE);
}

/* APPLIED: a later attempt learns that the effect is there, and its number counts (P10). */
void tri_participant_act_take_over(struct tri_participant_turn *turn)
{
    struct tri_participant_entry *entry = turn->entry;

    assert(turn->frame->attempt > entry->attempt);
    if ((entry->flags & TRI_PARTICIPANT_CLOSED) == 0) { /* else no number counts any more */
        entry->attempt = turn->frame->attempt;
        entry->forget_ns = later(entry->forget_ns, turn->frame->forget_ns);
        if (turn->frame->kind == TRI_PARTICIPANT_PREPARE) {
            /* The coordinator counts the reservation from this PREPARE on (L07). */
            entry->ttl_ns = later(entry->ttl_ns, turn->frame->ttl_ns);
        }
        record(turn);
    }
    if (turn->frame->kind == TRI_PARTICIPANT_PREPARE) {
        emit_prepare_ok(turn, turn->frame->attempt, true);
    } else {
        emit_commit_ok(turn, turn->frame->attempt, true);
    }
}

void tri_participant_act_refuse_expired(struct tri_participant_turn *turn)
{
    if ((turn->entry->flags & TRI_PARTICIPANT_HELD) != 0 && turn->now_ns >= turn->entry->ttl_ns) {
        turn->participant->counters.expired++;
    }
    turn->entry->commit_code = TRI_ERROR_LOCK_EXPIRED;
    release(turn);
    record(turn);
    tri_participant_refuse(turn, TRI_ERROR_LOCK_EXPIRED);
}

void tri_participant_act_close(struct tri_participant_turn *turn)
{
    turn->entry->attempt = later(turn->entry->attempt, turn->frame->attempt);
    turn->entry->flags |= TRI_PARTICIPANT_CLOSED;
    release(turn);
    remember_window(turn);
    record(turn);
    emit_phase_ack(turn, turn->frame->attempt, TRI_PHASE_FINALIZE, TRI_ACK_PHASE_FINALIZE_OK);
}

/* The answer that was given before, from what it followed from (P06, A07). */
void tri_participant_act_replay(struct tri_participant_turn *turn)
{
    const struct tri_participant_entry *entry = turn->entry;
    const struct tri_participant_frame *frame = turn->frame;
    bool is_applied = entry->state == TRI_PARTICIPANT_APPLIED;
    bool already = is_applied && frame->attempt != entry->tombstone + 1;

    switch (frame->kind) {
    case TRI_PARTICIPANT_PREPARE:
        if (!is_applied && entry->prepare_code != TRI_ERROR_NONE) {
            emit_refusal(turn, (enum tri_error)entry->prepare_code);
        } else {
            emit_prepare_ok(turn, frame->attempt, already);
        }
        break;
    case TRI_PARTICIPANT_COMMIT:
        if (is_applied) {
            emit_commit_ok(turn, frame->attempt, already);
        } else {
            emit_refusal(turn, (enum tri_error)entry->commit_code);
        }
        break;
    case TRI_PARTICIPANT_FINALIZE:
        emit_phase_ack(turn, frame->attempt, TRI_PHASE_FINALIZE, TRI_ACK_PHASE_FINALIZE_OK);
        break;
    case TRI_PARTICIPANT_ABORT:
        emit_refusal(turn, TRI_ERROR_ALREADY_APPLIED);
        break;
    case TRI_PARTICIPANT_ROLLBACK:
        emit_refusal(turn, tri_participant_rare(turn->participant, turn->index)->rollback_code);
        break;
    }
    turn->participant->counters.replayed++;
}

/* ---- acts on ABORT and ROLLBACK ---- */

void tri_participant_act_end(struct tri_participant_turn *turn)
{
    release(turn);
    raise_tombstone(turn, turn->frame->attempt);
    turn->entry->forget_ns = later(turn->entry->forget_ns, turn->frame->forget_ns);
    remember_window(turn);
    record(turn);
    emit_control_ack(turn, turn->frame->attempt, control_of(turn->frame), TRI_ERROR_NONE);
}

void tri_participant_act_refuse_applied(struct tri_participant_turn *turn)
{
    tri_participant_rare(turn->participant, turn->index)->abort_refused = turn->frame->attempt;
    record(turn);
    tri_participant_refuse(turn, TRI_ERROR_ALREADY_APPLIED);
}

void tri_participant_act_undo(struct tri_participant_turn *turn)
{
    struct tri_participant_rare *rare = tri_participant_rare(turn->participant, turn->index);

    assert(turn->frame->attempt > rare->rollback_attempt);
    rare->rollback_attempt = turn->frame->attempt;
    rare->rollback_code = TRI_ERROR_NONE;
    turn->changed = true;
    ask_ledger(turn, TRI_LEDGER_UNDO);
}

/* One frame waits for the verdict: the highest attempt, and of equals the one that ends more. */
void tri_participant_act_keep(struct tri_participant_turn *turn)
{
    struct tri_participant_frame *intent =
        &tri_participant_rare(turn->participant, turn->index)->intent;

    assert(turn->frame->kind <= TRI_PARTICIPANT_ROLLBACK);
    if ((turn->entry->flags & TRI_PARTICIPANT_INTENT) != 0) {
        turn->participant->counters.ignored++; /* one of the two is given up */
        if (turn->frame->attempt < intent->attempt ||
            (turn->frame->attempt == intent->attempt && turn->frame->kind <= intent->kind)) {
            return;
        }
    }
    *intent = *turn->frame;
    intent->tokens = (struct tri_bytes){NULL, 0};
    turn->entry->flags |= TRI_PARTICIPANT_INTENT;
    turn->changed = true;
}

/* ---- acts on verdicts and timers ---- */

void tri_participant_act_tell_prepared(struct tri_participant_turn *turn)
{
    turn->entry->flags |= TRI_PARTICIPANT_HELD;
    record(turn);
    emit_prepare_ok(turn, turn->entry->attempt, false);
}

void tri_participant_act_tell_not_prepared(struct tri_participant_turn *turn)
{
    turn->entry->prepare_code = (uint8_t)turn->verdict;
    release(turn); /* of the attempt before, which this one ended */
    record(turn);
    turn->participant->counters.refused++;
    emit_reject(turn, turn->entry->attempt, TRI_PHASE_PREPARE, turn->verdict);
}

void tri_participant_act_tell_applied(struct tri_participant_turn *turn)
{
    turn->participant->counters.applied++;
    if ((turn->entry->flags & TRI_PARTICIPANT_ALONE) != 0) {
        turn->entry->flags |= TRI_PARTICIPANT_CLOSED; /* A01: its answer closes it */
        remember_window(turn);
    }
    record(turn);
    emit_commit_ok(turn, turn->entry->attempt, false);
}

void tri_participant_act_tell_not_applied(struct tri_participant_turn *turn)
{
    turn->entry->commit_code = (uint8_t)turn->verdict;
    release(turn);
    record(turn);
    turn->participant->counters.refused++;
    emit_reject(turn, turn->entry->attempt, TRI_PHASE_COMMIT, turn->verdict);
}

void tri_participant_act_tell_undone(struct tri_participant_turn *turn)
{
    tri_attempt attempt = tri_participant_rare(turn->participant, turn->index)->rollback_attempt;

    tri_participant_rare(turn->participant, turn->index)->rollback_low = 0;
    turn->participant->counters.undone++;
    turn->entry->flags &= (uint8_t)~TRI_PARTICIPANT_HELD; /* UNDO has freed it */
    raise_tombstone(turn, attempt);
    remember_window(turn);
    record(turn);
    emit_control_ack(turn, attempt, TRI_CONTROL_ROLLBACK, TRI_ERROR_NONE);
}

void tri_participant_act_tell_not_undone(struct tri_participant_turn *turn)
{
    struct tri_participant_rare *rare = tri_participant_rare(turn->participant, turn->index);

    rare->rollback_code = turn->verdict;
    if (rare->rollback_low == 0) {
        rare->rollback_low = turn->entry->attempt;
    }
    record(turn);
    turn->participant->counters.refused++;
    emit_control_ack(turn, rare->rollback_attempt, TRI_CONTROL_ROLLBACK, turn->verdict);
}

void tri_participant_act_expire(struct tri_participant_turn *turn)
{
    assert((turn->entry->flags & TRI_PARTICIPANT_HELD) != 0);
    release(turn);
    turn->participant->counters.expired++;
    record(turn);
}

void tri_participant_act_drop(struct tri_participant_turn *turn)
{
    assert((turn->entry->flags & TRI_PARTICIPANT_HELD) == 0);
    turn->participant->counters.forgotten++;
    (void)tri_participant_append(turn, TRI_PARTICIPANT_RECORD_FORGOTTEN);
    turn->changed = true;
}

/* ---- after a crash ---- */

void tri_participant_act_ask_again(struct tri_participant_turn *turn)
{
    enum tri_ledger_op op = tri_participant_waits_for(turn->entry);

    if (op == TRI_LEDGER_RESERVE && turn->participant->options.ledger_is_apart) {
        turn->entry->flags |= TRI_PARTICIPANT_HELD; /* it may be, so a refusal releases it */
    }
    emit_ledger(turn, op)->is_again = true;
}

/* The record of a release may have outlived the release. */
void tri_participant_act_let_go(struct tri_participant_turn *turn)
{
    if (turn->participant->options.ledger_is_apart &&
        (turn->entry->flags & TRI_PARTICIPANT_HELD) == 0) {
        emit_ledger(turn, TRI_LEDGER_RELEASE)->is_again = true;
    }
}

/* ---- asking ---- */

void tri_participant_ask(struct tri_participant_turn *turn)
{
    assert(turn->entry->state == TRI_PARTICIPANT_RESERVED);
    (void)emit(turn, TRI_PARTICIPANT_EFFECT_ASK);
}
