/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A judge of what a participant does with one message.
 *
 * It knows nothing of states or tables: it sees the frames that go in and the
 * effects that come out, keeps a ledger of one asset, and states the promises:
 *   - at most one application that is not rolled back; the ledger is used in
 *     order (P10, L05)
 *   - what PROCESSED has ended stays ended: nothing of it is held, applied or
 *     answered OK any more (P12)
 *   - ABORT undoes nothing; only a ROLLBACK of at least the applied number
 *     does (P12, P10)
 *   - the same frame gets the same answer, unless its attempt was ended in
 *     between (P06, A07); a definite refusal of COMMIT is never followed by
 *     its application (L05)
 *   - a COMMIT after the reservation's end is not applied (L05, L06)
 * A story is told in letters: p c f a r = PREPARE, COMMIT, FINALIZE, ABORT,
 * ROLLBACK, followed by the attempt's digit, and others that a test explains.
 * A failing story is printed.
 */
#ifndef TESTS_UNIT_PARTICIPANT_JUDGE_H
#define TESTS_UNIT_PARTICIPANT_JUDGE_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/participant_stand.h"

#define STORY_MAX 8U
#define ATTEMPTS  4U
#define WHO       5U

struct told {
    bool is_known;
    struct stand_answer answer;
};

struct judge {
    bool held;
    bool applied;
    bool closed;
    tri_attempt held_by;
    tri_attempt applied_by;
    bool op_open;
    enum tri_ledger_op op;
    tri_attempt op_attempt;
    uint64_t ttl_ns[ATTEMPTS]; /* end of the reservation that PREPARE(n) asked for */
    tri_attempt rollback_seen; /* the highest that arrived */
    tri_attempt begun_seen;    /* the same of PREPARE, and of COMMIT without PREPARE */
    tri_attempt number_seen;   /* the same of PREPARE and COMMIT */
    tri_attempt ended;         /* PROCESSED has said so */
    tri_attempt ended_unsaid;  /* a control that arrived has, but its answer was lost in a crash */
    struct told phases[TRI_PHASE_COUNT][ATTEMPTS];
    struct told controls[TRI_CONTROL_COUNT][ATTEMPTS];
    uint64_t frames;
    uint64_t answers;
};

static char story[STORY_MAX * 2 + 1];
static uint64_t stories;

#define JUDGE(condition, promise) cr_assert(condition, "%s, in the story %s", promise, story)

static inline bool same_answer(const struct stand_answer *a, const struct stand_answer *b)
{
    return a->ack == b->ack && a->code == b->code && a->already_applied == b->already_applied &&
           a->token_bytes == b->token_bytes && memcmp(a->token, b->token, a->token_bytes) == 0;
}

static inline void judge_apply(const struct judge *judge, uint64_t now_ns,
                               const struct tri_participant_effect *effect)
{
    JUDGE(!judge->applied, "applied twice");
    if (effect->op == TRI_LEDGER_APPLY) {
        JUDGE(judge->held, "APPLY without a reservation");
        JUDGE(judge->held_by == effect->attempt, "APPLY with another attempt's reservation");
        JUDGE(now_ns < judge->ttl_ns[effect->attempt], "APPLY after the reservation's end");
    }
    JUDGE(effect->attempt > judge->ended, "APPLY of an attempt that was ended");
    JUDGE(!judge->phases[TRI_PHASE_COMMIT][effect->attempt].is_known,
          "APPLY of a COMMIT that has its answer");
}

static inline void judge_ledger(struct judge *judge, uint64_t now_ns,
                                const struct tri_participant_effect *effect)
{
    if (effect->op == TRI_LEDGER_RELEASE) {
        JUDGE(judge->held, "RELEASE of what is not held");
        JUDGE(!judge->op_open, "RELEASE while the ledger works");
        judge->held = false;
        return;
    }
    JUDGE(!judge->op_open, "two operations at once");
    judge->op_open = true;
    judge->op = effect->op;
    judge->op_attempt = effect->attempt;
    switch (effect->op) {
    case TRI_LEDGER_RESERVE:
        JUDGE(!judge->applied, "RESERVE of an applied message");
        judge->held_by = effect->attempt; /* taken over, if held (P14) */
        break;
    case TRI_LEDGER_APPLY:
    case TRI_LEDGER_APPLY_UNRESERVED:
        judge_apply(judge, now_ns, effect);
        break;
    default:
        JUDGE(judge->applied, "UNDO of what is not applied");
        JUDGE(judge->rollback_seen >= judge->applied_by, "UNDO without a ROLLBACK");
        JUDGE(!judge->closed, "UNDO after FINALIZE");
        break;
    }
}

static inline void judge_verdict(struct judge *judge, enum tri_error code)
{
    judge->op_open = false;
    if (code != TRI_ERROR_NONE) {
        return;
    }
    switch (judge->op) {
    case TRI_LEDGER_RESERVE:
        judge->held = true;
        break;
    case TRI_LEDGER_APPLY:
    case TRI_LEDGER_APPLY_UNRESERVED:
        judge->applied = true;
        judge->applied_by = judge->op_attempt;
        judge->closed = judge->op == TRI_LEDGER_APPLY_UNRESERVED;
        break;
    default:
        judge->applied = false;
        judge->held = false;
        break;
    }
}

static inline void judge_phase_ack(struct judge *judge, const struct stand_answer *answer)
{
    struct told *told = &judge->phases[answer->phase][answer->attempt];
    bool ended = answer->attempt <= judge->ended || answer->attempt <= judge->ended_unsaid ||
                 answer->attempt < judge->begun_seen;

    if (answer->ack != TRI_ACK_PHASE_REJECT) {
        JUDGE(answer->code == TRI_ERROR_NONE, "OK with a code");
        JUDGE(answer->attempt > judge->ended, "OK for an attempt that was ended");
        JUDGE(answer->phase == TRI_PHASE_PREPARE || judge->applied, "OK without the effect");
    } else {
        JUDGE(answer->code != TRI_ERROR_NONE, "PHASE_REJECT without a code");
        if (answer->phase == TRI_PHASE_FINALIZE || answer->code == TRI_ERROR_NO_RESERVATION) {
            JUDGE(!told->is_known, "an answer taken back");
            return; /* says nothing about the attempt: UNKNOWN (P13) */
        }
    }
    if (answer->phase == TRI_PHASE_FINALIZE) {
        judge->closed = true;
    }
    if (told->is_known && !same_answer(&told->answer, answer)) {
        JUDGE(ended && answer->code == TRI_ERROR_ATTEMPT_ENDED, "another answer to the same phase");
    }
    told->is_known = true;
    told->answer = *answer;
    if (answer->ack == TRI_ACK_PHASE_PREPARE_OK && !answer->already_applied) {
        for (uint32_t n = 1; n < ATTEMPTS; n++) {
            const struct told *other = &judge->phases[TRI_PHASE_PREPARE][n];

            JUDGE(n == answer->attempt || !other->is_known || other->answer.already_applied ||
                      other->answer.token_bytes != answer->token_bytes ||
                      memcmp(other->answer.token, answer->token, answer->token_bytes) != 0,
                  "a token used twice");
        }
    }
}

static inline void judge_control_ack(struct judge *judge, const struct stand_answer *answer)
{
    struct told *told = &judge->controls[answer->control][answer->attempt];

    if (told->is_known && same_answer(&told->answer, answer)) {
        return;
    }
    if (answer->ack == TRI_ACK_PROCESSED) {
        JUDGE(answer->code == TRI_ERROR_NONE, "PROCESSED with a code");
        JUDGE(!judge->applied || judge->applied_by > answer->attempt, "PROCESSED, yet applied");
        JUDGE(!judge->held || judge->held_by > answer->attempt, "PROCESSED, yet held");
        if (answer->attempt > judge->ended) {
            judge->ended = answer->attempt;
        }
    } else {
        JUDGE(answer->code != TRI_ERROR_NONE, "a refusal without a code");
        JUDGE(answer->attempt > judge->ended, "a refusal of what was ended");
        JUDGE(judge->applied, "a refusal, though nothing is applied");
    }
    if (told->is_known) {
        JUDGE(answer->ack == TRI_ACK_PROCESSED && judge->ended >= answer->attempt,
              "another answer to the same control");
    }
    told->is_known = true;
    told->answer = *answer;
}

/* `now_ns` is when the participant has decided on it. */
static inline void judge_effect(struct judge *judge, uint64_t now_ns,
                                const struct tri_participant_effect *effect)
{
    struct stand_answer answer = {
        .ack = effect->ack_type,
        .phase = effect->phase,
        .control = effect->control,
        .attempt = effect->attempt,
        .code = effect->code,
        .already_applied = effect->already_applied,
        .token_bytes = effect->tokens.bytes,
    };

    memcpy(answer.token, effect->tokens.at, effect->tokens.bytes);
    switch (effect->type) {
    case TRI_PARTICIPANT_EFFECT_LEDGER:
        judge_ledger(judge, now_ns, effect);
        break;
    case TRI_PARTICIPANT_EFFECT_PHASE_ACK:
        judge->answers++;
        judge_phase_ack(judge, &answer);
        break;
    case TRI_PARTICIPANT_EFFECT_CONTROL_ACK:
        judge->answers++;
        judge_control_ack(judge, &answer);
        break;
    default:
        break;
    }
}

struct symbol {
    char letter;
    tri_attempt attempt;
};

static inline tri_attempt higher(tri_attempt a, tri_attempt b)
{
    return a > b ? a : b;
}

/* The judge hears of a frame before the participant does. */
static inline void judge_hear(struct judge *judge, const struct stand *stand, struct symbol frame)
{
    tri_attempt attempt = frame.attempt;

    judge->frames++;
    switch (frame.letter) {
    case 'p':
        if (!judge->phases[TRI_PHASE_PREPARE][attempt].is_known) {
            judge->ttl_ns[attempt] = stand->now_ns + STAND_TTL_MS * TRI_NS_PER_MS;
        }
        judge->begun_seen = higher(judge->begun_seen, attempt);
        judge->number_seen = higher(judge->number_seen, attempt);
        break;
    case 'c':
        if (stand->atomicity == TRI_BEST_EFFORT) {
            judge->begun_seen = higher(judge->begun_seen, attempt);
        }
        judge->number_seen = higher(judge->number_seen, attempt);
        break;
    case 'r':
        judge->rollback_seen = higher(judge->rollback_seen, attempt);
        break;
    default:
        break;
    }
}

static inline void story_frame(struct stand *stand, struct symbol frame)
{
    switch (frame.letter) {
    case 'p':
        (void)stand_phase(stand, WHO, TRI_PHASE_PREPARE, frame.attempt);
        break;
    case 'c':
        (void)stand_phase(stand, WHO, TRI_PHASE_COMMIT, frame.attempt);
        break;
    case 'f':
        (void)stand_phase(stand, WHO, TRI_PHASE_FINALIZE, frame.attempt);
        break;
    case 'a':
        (void)stand_control(stand, WHO, TRI_CONTROL_ABORT, frame.attempt);
        break;
    default:
        (void)stand_control(stand, WHO, TRI_CONTROL_ROLLBACK, frame.attempt);
        break;
    }
}

/*
 * All stories of `length` symbols, each told once; no recursion: at[] is the odometer.
 *
 * world  `bytes` bytes that are copied back between branches.
 * tell   one symbol; false if it means nothing here, so that the story ends.
 */
static inline void story_tell_all(void *world_at, size_t bytes, bool (*tell)(struct symbol symbol),
                                  const struct symbol *alphabet, uint32_t symbols, uint32_t length)
{
    uint32_t at[STORY_MAX + 1] = {0};
    uint32_t depth = 0;
    uint8_t *saved = malloc(STORY_MAX * bytes);

    cr_assert_leq(length, STORY_MAX);
    cr_assert_not_null(saved);
    memcpy(saved, world_at, bytes);
    for (;;) {
        if (at[depth] == symbols) {
            if (depth == 0) {
                break;
            }
            at[depth] = 0;
            depth--;
            at[depth]++;
            memcpy(world_at, saved + depth * bytes, bytes);
            continue;
        }
        story[depth * 2] = alphabet[at[depth]].letter;
        story[depth * 2 + 1] = (char)('0' + alphabet[at[depth]].attempt);
        story[depth * 2 + 2] = '\0';
        if (tell(alphabet[at[depth]]) && depth + 1 < length) {
            depth++;
            memcpy(saved + depth * bytes, world_at, bytes);
        } else {
            stories++;
            at[depth]++;
            memcpy(world_at, saved + depth * bytes, bytes);
        }
    }
    free(saved);
}

#endif
