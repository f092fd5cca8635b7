/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no order of frames, verdicts and timers breaks what a chain promises.
 * Method: every story up to a length over a small alphabet is told, depth
 * first with the participant's memory copied back between branches.  A judge
 * that knows nothing of states or tables sees the frames that go in and the
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
 *   - every frame is answered once, or counted as ignored (R08)
 * A failing story is printed in its letters.
 */
#include <criterion/criterion.h>

#include "tests/unit/participant_stand.h"

/* Letters: p c f a r = PREPARE, COMMIT, FINALIZE, ABORT, ROLLBACK, followed by the attempt's digit;
 * y n = the ledger's verdict, x = the reservation's time passes, ! = the ledger will refuse. */
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
    struct told phases[TRI_PHASE_COUNT][ATTEMPTS];
    struct told controls[TRI_CONTROL_COUNT][ATTEMPTS];
    uint64_t frames;
    uint64_t answers;
};

struct world {
    struct judge judge;
    bool slow; /* the verdict is a letter of its own; else it comes at once */
    struct stand stand;
};

static struct world world;
static struct world saved[STORY_MAX];
static size_t saved_bytes; /* of a world, without the memory that no participant uses */
static char story[STORY_MAX * 2 + 1];
static uint64_t stories;

#define JUDGE(condition, promise) cr_assert(condition, "%s, in the story %s", promise, story)

static bool same_answer(const struct stand_answer *a, const struct stand_answer *b)
{
    return a->ack == b->ack && a->code == b->code && a->already_applied == b->already_applied &&
           a->token_bytes == b->token_bytes && memcmp(a->token, b->token, a->token_bytes) == 0;
}

static void judge_apply(const struct judge *judge, const struct stand *stand,
                        const struct tri_participant_effect *effect)
{
    JUDGE(!judge->applied, "applied twice");
    if (effect->op == TRI_LEDGER_APPLY) {
        JUDGE(judge->held, "APPLY without a reservation");
        JUDGE(judge->held_by == effect->attempt, "APPLY with another attempt's reservation");
        JUDGE(stand->now_ns < judge->ttl_ns[effect->attempt], "APPLY after the reservation's end");
    }
    JUDGE(effect->attempt > judge->ended, "APPLY of an attempt that was ended");
    JUDGE(!judge->phases[TRI_PHASE_COMMIT][effect->attempt].is_known,
          "APPLY of a COMMIT that has its answer");
}

static void judge_ledger(struct judge *judge, const struct stand *stand,
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
        judge_apply(judge, stand, effect);
        break;
    default:
        JUDGE(judge->applied, "UNDO of what is not applied");
        JUDGE(judge->rollback_seen >= judge->applied_by, "UNDO without a ROLLBACK");
        JUDGE(!judge->closed, "UNDO after FINALIZE");
        break;
    }
}

static void judge_verdict(struct judge *judge, enum tri_error code)
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

static void judge_phase_ack(struct judge *judge, const struct stand_answer *answer)
{
    struct told *told = &judge->phases[answer->phase][answer->attempt];
    bool ended = answer->attempt <= judge->ended || answer->attempt < judge->begun_seen;

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

static void judge_control_ack(struct judge *judge, const struct stand_answer *answer)
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

static void judge_effect(struct stand *stand, const struct tri_participant_effect *effect)
{
    struct judge *judge = &world.judge;
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
        judge_ledger(judge, stand, effect);
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

/* The answer of the ledger, told to the judge first: the effects that follow rest on it. */
static void tell_verdict(enum tri_error code)
{
    judge_verdict(&world.judge, code);
    stand_verdict(&world.stand, code);
}

static tri_attempt higher(tri_attempt a, tri_attempt b)
{
    return a > b ? a : b;
}

static void tell_frame(char letter, tri_attempt attempt)
{
    struct judge *judge = &world.judge;
    struct stand *stand = &world.stand;

    judge->frames++;
    switch (letter) {
    case 'p':
        if (!judge->phases[TRI_PHASE_PREPARE][attempt].is_known) {
            judge->ttl_ns[attempt] = stand->now_ns + STAND_TTL_MS * TRI_NS_PER_MS;
        }
        judge->begun_seen = higher(judge->begun_seen, attempt);
        judge->number_seen = higher(judge->number_seen, attempt);
        (void)stand_phase(stand, WHO, TRI_PHASE_PREPARE, attempt);
        break;
    case 'c':
        if (stand->atomicity == TRI_BEST_EFFORT) {
            judge->begun_seen = higher(judge->begun_seen, attempt);
        }
        judge->number_seen = higher(judge->number_seen, attempt);
        (void)stand_phase(stand, WHO, TRI_PHASE_COMMIT, attempt);
        break;
    case 'f':
        (void)stand_phase(stand, WHO, TRI_PHASE_FINALIZE, attempt);
        break;
    case 'a':
        (void)stand_control(stand, WHO, TRI_CONTROL_ABORT, attempt);
        break;
    default:
        judge->rollback_seen = higher(judge->rollback_seen, attempt);
        (void)stand_control(stand, WHO, TRI_CONTROL_ROLLBACK, attempt);
        break;
    }
}

/* Every frame has been answered or counted, once nothing waits any more. */
static void judge_account(void)
{
    const struct tri_participant_counters *counters =
        tri_participant_counters(world.stand.participant);

    if (!world.stand.is_waiting) {
        JUDGE(world.judge.frames == world.judge.answers + counters->ignored, "a frame was lost");
    }
}

/* Promises of progress, for a ledger that answers at once: `before` is the judge before a frame. */
static void judge_progress(const struct judge *before, char letter, tri_attempt attempt,
                           bool ledger_refuses)
{
    const struct judge *judge = &world.judge;

    if (letter == 'p' && attempt > before->ended && attempt > before->begun_seen &&
        !before->applied && !ledger_refuses) {
        JUDGE(judge->held && judge->held_by == attempt, "a new PREPARE reserves nothing");
    }
    if (letter == 'r' && before->applied && !before->closed && attempt >= before->number_seen &&
        attempt > before->rollback_seen && !ledger_refuses) {
        JUDGE(!judge->applied && !judge->held, "ROLLBACK restores nothing");
    }
    if (letter == 'a') {
        JUDGE(judge->applied == before->applied, "ABORT changed the effect");
    }
}

struct symbol {
    char letter;
    tri_attempt attempt;
};

/* One symbol; false if it means nothing here, so that the story ends. */
static bool tell(struct symbol symbol)
{
    struct stand *stand = &world.stand;
    struct judge before = world.judge;
    enum tri_error verdict = stand->verdict;

    switch (symbol.letter) {
    case 'y':
    case 'n':
        if (!stand->is_waiting) {
            return false;
        }
        tell_verdict(symbol.letter == 'y' ? TRI_ERROR_NONE : TRI_ERROR_ROLLBACK_FENCED);
        break;
    case 'x':
        stand_pass(stand, STAND_TTL_MS);
        JUDGE(!world.judge.held || stand->is_waiting, "a reservation outlives its TTL");
        break;
    case '!':
        stand->verdict = TRI_ERROR_ROLLBACK_FENCED;
        return verdict == TRI_ERROR_NONE;
    default:
        tell_frame(symbol.letter, symbol.attempt);
        break;
    }
    while (stand->is_waiting && !world.slow) {
        tell_verdict(stand->verdict);
        stand->verdict = TRI_ERROR_NONE;
    }
    judge_account();
    if (!world.slow) {
        judge_progress(&before, symbol.letter, symbol.attempt, verdict != TRI_ERROR_NONE);
    }
    return true;
}

/* All stories of `length` symbols, each told once; no recursion: at[] is the odometer. */
static void tell_all(const struct symbol *alphabet, uint32_t symbols, uint32_t length)
{
    uint32_t at[STORY_MAX + 1] = {0};
    uint32_t depth = 0;

    saved_bytes = offsetof(struct world, stand.memory) + world.stand.memory_bytes;
    stand_watch = judge_effect;
    memcpy(&saved[0], &world, saved_bytes);
    for (;;) {
        if (at[depth] == symbols) {
            if (depth == 0) {
                break;
            }
            at[depth] = 0;
            depth--;
            at[depth]++;
            memcpy(&world, &saved[depth], saved_bytes);
            continue;
        }
        story[depth * 2] = alphabet[at[depth]].letter;
        story[depth * 2 + 1] = (char)('0' + alphabet[at[depth]].attempt);
        story[depth * 2 + 2] = '\0';
        if (tell(alphabet[at[depth]]) && depth + 1 < length) {
            depth++;
            memcpy(&saved[depth], &world, saved_bytes);
        } else {
            stories++;
            at[depth]++;
            memcpy(&world, &saved[depth], saved_bytes);
        }
    }
}

static void begin(bool slow, enum tri_atomicity atomicity)
{
    memset(&world, 0, sizeof(world));
    stand_init_with(&world.stand, (struct tri_participant_options){
                                      .entries_max = 1,
                                      .instance = 7,
                                      .dedup_window_ms = STAND_WINDOW_MS,
                                  });
    world.stand.slow = true; /* the judge hears each verdict first */
    world.stand.atomicity = atomicity;
    world.slow = slow;
    stories = 0;
}

Test(participant_stories, P10_two_attempts_with_a_ledger_that_answers_at_once)
{
    static const struct symbol alphabet[] = {
        {'p', 1}, {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2},
        {'c', 2}, {'f', 2}, {'a', 2}, {'r', 2}, {'x', 0}, {'!', 0},
    };

    begin(false, TRI_ALL_OR_NOTHING);
    tell_all(alphabet, 12, 6);
    cr_assert_gt(stories, UINT64_C(2500000));
}

Test(participant_stories, P12_two_attempts_with_a_slow_ledger)
{
    static const struct symbol alphabet[] = {
        {'p', 1}, {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2}, {'c', 2},
        {'f', 2}, {'a', 2}, {'r', 2}, {'x', 0}, {'y', 0}, {'n', 0},
    };

    begin(true, TRI_ALL_OR_NOTHING);
    tell_all(alphabet, 13, 6);
    cr_assert_gt(stories, UINT64_C(2500000));
}

/* What matters to a slow ledger comes after APPLY was asked for: the stories begin there. */
Test(participant_stories, P12_three_attempts_around_an_application_in_work)
{
    static const struct symbol alphabet[] = {
        {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2}, {'c', 2}, {'a', 2}, {'r', 2},
        {'p', 3}, {'c', 3}, {'a', 3}, {'r', 3}, {'x', 0}, {'y', 0}, {'n', 0},
    };
    static const struct symbol opening[] = {{'p', 1}, {'y', 0}, {'c', 1}};

    begin(true, TRI_GUARANTEED);
    stand_watch = judge_effect;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(tell(opening[i]));
    }
    tell_all(alphabet, 15, 5);
    cr_assert_gt(stories, UINT64_C(500000));
}

Test(participant_stories, P10_three_attempts_of_fewer_kinds)
{
    static const struct symbol alphabet[] = {
        {'p', 1}, {'c', 1}, {'r', 1}, {'p', 2}, {'c', 2}, {'a', 2},
        {'r', 2}, {'p', 3}, {'c', 3}, {'r', 3}, {'f', 3}, {'!', 0},
    };

    begin(false, TRI_GUARANTEED);
    tell_all(alphabet, 12, 6);
    cr_assert_gt(stories, UINT64_C(2500000));
}

Test(participant_stories, A01_best_effort_with_a_ledger_of_either_kind)
{
    static const struct symbol alphabet[] = {
        {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2}, {'c', 2},
        {'a', 2}, {'r', 2}, {'x', 0}, {'y', 0}, {'n', 0},
    };

    begin(false, TRI_BEST_EFFORT);
    tell_all(alphabet, 9, 6);
    cr_assert_gt(stories, UINT64_C(500000));
    begin(true, TRI_BEST_EFFORT);
    tell_all(alphabet, 11, 6);
    cr_assert_gt(stories, UINT64_C(500000));
}

/* ---- the table itself ---- */

enum { SAME = TRI_PARTICIPANT_STATE_COUNT, IMPOSSIBLE };

struct row {
    const char *name;
    int next[TRI_PARTICIPANT_STATE_COUNT];
};

#define GO(act, next) TRI_PARTICIPANT_##next
#define STAY(act)     SAME
#define NEVER         IMPOSSIBLE
static const struct row rows[] = {
#define ROW(event, none, reserving, reserved, applying, applied, undoing, undone) \
    {#event, {none, reserving, reserved, applying, applied, undoing, undone}},
#include "engine/participant_table.def"
};

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

Test(participant_stories, P12_no_cell_lets_abort_or_time_take_back_an_effect)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int from_applied = rows[i].next[TRI_PARTICIPANT_APPLIED];

        if (strcmp(rows[i].name, "ROLLBACK_NEW") == 0) {
            cr_assert_eq(from_applied, TRI_PARTICIPANT_UNDOING);
        } else if (strcmp(rows[i].name, "FORGET") == 0) {
            cr_assert_eq(from_applied, TRI_PARTICIPANT_NONE);
        } else {
            cr_assert_geq(from_applied, SAME, "%s", rows[i].name);
        }
        if (strcmp(rows[i].name, "DONE") != 0 && strcmp(rows[i].name, "REFUSED") != 0) {
            /* L05: only the verdict ends an application, a reservation or an undo in work. */
            cr_assert_geq(rows[i].next[TRI_PARTICIPANT_RESERVING], SAME, "%s", rows[i].name);
            cr_assert_geq(rows[i].next[TRI_PARTICIPANT_APPLYING], SAME, "%s", rows[i].name);
            cr_assert_geq(rows[i].next[TRI_PARTICIPANT_UNDOING], SAME, "%s", rows[i].name);
        }
        for (int state = 0; state < TRI_PARTICIPANT_STATE_COUNT; state++) {
            if (rows[i].next[state] == TRI_PARTICIPANT_APPLYING) {
                cr_assert(starts_with(rows[i].name, "COMMIT_"), "%s", rows[i].name);
            }
        }
    }
}
