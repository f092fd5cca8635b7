/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no order of frames, verdicts and timers breaks what a chain promises.
 * Method: every story up to a length over a small alphabet is told, depth
 * first with the participant's memory copied back between branches, before the
 * judge of participant_judge.h.  Beside its promises: every frame is answered
 * once, or counted as ignored (R08).
 */
#include <criterion/criterion.h>

#include "tests/unit/participant_judge.h"

/* More letters: y n = the ledger's verdict, x = the reservation's time passes, ! = the ledger will
 * refuse. */
struct world {
    struct judge judge;
    bool slow; /* the verdict is a letter of its own; else it comes at once */
    struct stand stand;
};

static struct world world;

static void watch(struct stand *stand, const struct tri_participant_effect *effect)
{
    judge_effect(&world.judge, stand->now_ns, effect);
}

/* The answer of the ledger, told to the judge first: the effects that follow rest on it. */
static void tell_verdict(enum tri_error code)
{
    judge_verdict(&world.judge, code);
    stand_verdict(&world.stand, code);
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
        judge_hear(&world.judge, stand, symbol);
        story_frame(stand, symbol);
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

/* All stories of `length` symbols. */
static void tell_all(const struct symbol *alphabet, uint32_t symbols, uint32_t length)
{
    stand_watch = watch;
    story_tell_all(&world, offsetof(struct world, stand.memory) + world.stand.memory_bytes, tell,
                   alphabet, symbols, length);
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
    stand_watch = watch;
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
