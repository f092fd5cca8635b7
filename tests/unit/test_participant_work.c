/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a participant beside what it works with: a journal that is durable
 * later, a ledger that answers later, the bundled ledger, a full and busy
 * table.  Method: short stories, and random messages against a model.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "engine/ledger.h"
#include "tests/unit/participant_answers.h"

/* ---- durability ---- */

Test(participant_work, D05_an_answer_waits_for_the_record_of_what_it_tells)
{
    stand_init(&stand);
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    cr_assert_eq(stand.lsn, 1);
    cr_assert_eq(stand.answers[0].after_lsn, 1);
    (void)answers();
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    cr_assert_eq(stand.lsn, 1, "a repetition is no change");
    cr_assert_eq(stand.answers[0].after_lsn, 1, "and tells nothing before it is durable");
    (void)answers();
    stand_durable(&stand);
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    cr_assert_eq(stand.answers[0].after_lsn, 0);
    (void)answers();
    (void)stand_phase(&stand, 2, TRI_PHASE_COMMIT, 1);
    cr_assert_eq(stand.answers[0].after_lsn, 0, "NO_RESERVATION tells of nothing");
    (void)answers();
    (void)stand_control(&stand, 3, TRI_CONTROL_ROLLBACK, 1);
    cr_assert_eq(stand.lsn, 2);
    cr_assert_eq(stand.answers[0].after_lsn, 2, "a tombstone");
    (void)answers();
    stand.now_ns += STAND_TTL_MS * TRI_NS_PER_MS;
    (void)stand_phase(&stand, 1, TRI_PHASE_COMMIT, 1);
    cr_assert_eq(stand.lsn, 3);
    cr_assert_eq(stand.answers[0].after_lsn, 3, "a refusal of a COMMIT");
}

/* ---- a ledger that takes its time ---- */

static void reserve_and_ask_to_apply(void)
{
    stand_init(&stand);
    (void)prepare(1);
    stand.slow = true;
    cr_assert_str_eq(commit(1), "");
}

Test(participant_work, P12_frames_during_an_application_are_kept_or_ignored_but_counted)
{
    reserve_and_ask_to_apply();
    cr_assert_str_eq(commit(1), "");
    cr_assert_str_eq(prepare(1), "");
    cr_assert_eq(counters()->ignored, 2);
    cr_assert_str_eq(rollback(1), "");
    cr_assert_eq(counters()->ignored, 2, "kept");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 0);
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "COMMIT_OK 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 1, "carried out as soon as the verdict is in");
    cr_assert_str_eq(rollback(1), "");
    cr_assert_eq(counters()->ignored, 3, "its answer is on the way");
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PROCESSED 1");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_UNDONE);
}

Test(participant_work, P12_abort_during_an_application_gets_the_answer_of_its_verdict)
{
    reserve_and_ask_to_apply();
    cr_assert_str_eq(abort_(1), "");
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "COMMIT_OK 1; REJECTED 1 code 54");
    reserve_and_ask_to_apply();
    cr_assert_str_eq(abort_(1), "");
    cr_assert_str_eq(verdict(TRI_ERROR_BUSY), "REJECT 1 code 34; PROCESSED 1");
}

Test(participant_work, P12_of_two_kept_frames_the_one_that_ends_more_is_carried_out)
{
    reserve_and_ask_to_apply();
    cr_assert_str_eq(rollback(1), "");
    cr_assert_str_eq(abort_(1), "");
    cr_assert_eq(counters()->ignored, 1);
    (void)verdict(TRI_ERROR_NONE);
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 1);
    reserve_and_ask_to_apply();
    cr_assert_str_eq(prepare(2), "");
    cr_assert_str_eq(prepare(3), "");
    cr_assert_eq(counters()->ignored, 1);
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "COMMIT_OK 1; PREPARE_OK 3 already");
}

Test(participant_work, P12_controls_during_a_reservation_end_it_when_it_is_there)
{
    stand_init(&stand);
    stand.slow = true;
    cr_assert_str_eq(prepare(1), "");
    cr_assert_str_eq(abort_(1), "");
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PREPARE_OK 1; PROCESSED 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    cr_assert_str_eq(prepare(2), "");
    cr_assert_str_eq(rollback(2), "");
    cr_assert_str_eq(verdict(TRI_ERROR_BUSY), "REJECT 2 code 34; PROCESSED 2");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    cr_assert_str_eq(prepare(2), "REJECT 2 code 53");
    cr_assert_eq(counters()->ignored, 0);
}

Test(participant_work, P12_controls_while_a_rollback_is_in_work)
{
    reserve_and_ask_to_apply();
    (void)verdict(TRI_ERROR_NONE);
    cr_assert_str_eq(rollback(1), "");
    cr_assert_str_eq(abort_(1), "");
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PROCESSED 1; PROCESSED 1");
    reserve_and_ask_to_apply();
    (void)verdict(TRI_ERROR_NONE);
    cr_assert_str_eq(rollback(1), "");
    cr_assert_str_eq(rollback(2), "");
    cr_assert_str_eq(verdict(TRI_ERROR_ROLLBACK_FENCED), "FAILED 1 code 55");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 2, "the kept one is tried in its turn");
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PROCESSED 2");
}

Test(participant_work, P14_a_prepare_kept_during_a_reservation_reserves_afterwards)
{
    stand_init(&stand);
    stand.slow = true;
    cr_assert_str_eq(prepare(1), "");
    cr_assert_str_eq(prepare(2), "");
    stand_pass(&stand, 400);
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PREPARE_OK 1");
    cr_assert_eq(stand.op_attempt[TRI_LEDGER_RESERVE], 2);
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PREPARE_OK 2");
    stand_pass(&stand, STAND_TTL_MS - 401);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_RESERVED);
    stand_pass(&stand, 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE,
                 "L07: the duration counts from the arrival of PREPARE");
}

Test(participant_work, a_verdict_that_nobody_waits_for_changes_nothing)
{
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_LEDGER,
        .ledger = {.entry = 0, .generation = 1, .op = TRI_LEDGER_APPLY},
    };

    stand_init(&stand);
    cr_assert_eq(stand_step(&stand, &event), TRI_STALE, "there is no such entry");
    stand.slow = true;
    (void)prepare(1);
    event.ledger.entry = stand.waiting.ledger.entry;
    event.ledger.generation = stand.waiting.ledger.generation;
    cr_assert_eq(stand_step(&stand, &event), TRI_STALE, "it waits for RESERVE");
    event.ledger.op = TRI_LEDGER_RELEASE;
    cr_assert_eq(stand_step(&stand, &event), TRI_STALE);
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PREPARE_OK 1");
    cr_assert_eq(stand_step(&stand, &event), TRI_STALE);
    event = stand.waiting;
    cr_assert_eq(stand_step(&stand, &event), TRI_STALE, "the same verdict twice");
}

Test(participant_work, options_out_of_range_have_no_footprint)
{
    struct tri_participant_options options = {
        .entries_max = 1, .instance = 1, .dedup_window_ms = UINT64_C(1) << 36};

    cr_assert_gt(tri_participant_footprint(&options), 0);
    cr_assert_eq(tri_participant_footprint(&options) % 64, 0);
    options.dedup_window_ms++;
    cr_assert_eq(tri_participant_footprint(&options), 0);
    options.dedup_window_ms = 0;
    options.instance = 0;
    cr_assert_eq(tri_participant_footprint(&options), 0);
    options.instance = 1;
    options.entries_max = 0;
    cr_assert_eq(tri_participant_footprint(&options), 0);
    options.entries_max = (UINT32_C(1) << 26) + 1;
    cr_assert_eq(tri_participant_footprint(&options), 0);
}

Test(participant_work, messages_that_share_half_a_key_are_two)
{
    tri_attempt attempt;
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_CONTROL,
        .control = {.key = {1, 5}, .id = {"x", 1}, .kind = TRI_CONTROL_ABORT, .attempt = 9},
    };

    stand_init(&stand);
    (void)prepare(1); /* {1, ~1} */
    (void)stand_do(&stand, &event);
    cr_assert_str_eq(answers(), "PROCESSED 9");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_RESERVED);
    cr_assert_eq(tri_participant_state(stand.participant, (struct tri_key){1, 5}, &attempt),
                 TRI_PARTICIPANT_NONE);
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
}

/* ---- the bundled ledger ---- */

static struct tri_ledger *ledger;
static enum tri_asset_action ledger_action;

/* Carries out what the stand was asked for last, on the one asset "gold". */
static void serve_ledger(struct tri_key key)
{
    struct tri_text gold = {"gold", 4};

    while (stand.is_waiting) {
        enum tri_error code = TRI_ERROR_NONE;

        switch (stand.waiting.ledger.op) {
        case TRI_LEDGER_RESERVE:
            code = tri_ledger_reserve(ledger, 4, gold, ledger_action, key);
            break;
        case TRI_LEDGER_APPLY:
            code = tri_ledger_apply(ledger, 4, gold, ledger_action, key, true);
            break;
        case TRI_LEDGER_APPLY_UNRESERVED:
            code = tri_ledger_apply(ledger, 4, gold, ledger_action, key, false);
            break;
        default:
            code = tri_ledger_undo(ledger, 4, gold, key);
            break;
        }
        stand_verdict(&stand, code);
    }
}

static void watch_releases(struct stand *at, const struct tri_participant_effect *effect)
{
    (void)at;
    if (effect->type == TRI_PARTICIPANT_EFFECT_LEDGER && effect->op == TRI_LEDGER_RELEASE) {
        tri_ledger_release(ledger, 4, (struct tri_text){"gold", 4}, effect->key);
    }
}

static const char *on_gold(uint32_t who, char letter, tri_attempt attempt)
{
    switch (letter) {
    case 'p':
        (void)stand_phase(&stand, who, TRI_PHASE_PREPARE, attempt);
        break;
    case 'c':
        (void)stand_phase(&stand, who, TRI_PHASE_COMMIT, attempt);
        break;
    case 'f':
        (void)stand_phase(&stand, who, TRI_PHASE_FINALIZE, attempt);
        break;
    default:
        (void)stand_control(&stand, who, TRI_CONTROL_ROLLBACK, attempt);
        break;
    }
    serve_ledger((struct tri_key){who, ~(uint64_t)who});
    return answers();
}

static struct tri_asset_view gold(void)
{
    struct tri_asset_view view;

    cr_assert(tri_ledger_find(ledger, 4, (struct tri_text){"gold", 4}, &view));
    return view;
}

Test(participant_work, S04_a_message_holds_its_asset_from_prepare_to_finalize)
{
    struct tri_ledger_options options = {1, 8};

    stand_init(&stand);
    stand.slow = true;
    stand_watch = watch_releases;
    ledger = tri_ledger_init(aligned_alloc(64, tri_ledger_footprint(&options)), &options);
    cr_assert_eq(tri_ledger_add(ledger, 4, (struct tri_text){"gold", 4}), TRI_OK);
    ledger_action = TRI_ACTION_FREEZE;
    cr_assert_str_eq(on_gold(1, 'p', 1), "PREPARE_OK 1");
    cr_assert_str_eq(on_gold(2, 'p', 2), "REJECT 2 code 9");
    cr_assert_str_eq(on_gold(1, 'c', 1), "COMMIT_OK 1");
    cr_assert_eq(gold().state, TRI_LOCK_RESTRICTED);
    ledger_action = TRI_ACTION_SEIZE;
    cr_assert_str_eq(on_gold(2, 'p', 3), "REJECT 3 code 9", "until FINALIZE");
    cr_assert_str_eq(on_gold(1, 'f', 1), "FINALIZE_OK 1");
    cr_assert_not(gold().is_reserved);
    cr_assert_str_eq(on_gold(2, 'p', 4), "PREPARE_OK 4");
    cr_assert_str_eq(on_gold(2, 'c', 4), "COMMIT_OK 4");
    cr_assert_eq(gold().state, TRI_LOCK_SEIZED);
    cr_assert_str_eq(on_gold(2, 'r', 4), "PROCESSED 4");
    cr_assert_eq(gold().state, TRI_LOCK_RESTRICTED);
    cr_assert_eq(gold().secondary, TRI_SECONDARY_FROZEN);
    cr_assert_not(gold().is_reserved);
    free(ledger);
}

Test(participant_work, S04_rollback_is_fenced_by_a_change_after_the_ttl)
{
    struct tri_ledger_options options = {1, 8};

    stand_init(&stand);
    stand.slow = true;
    stand_watch = watch_releases;
    ledger = tri_ledger_init(aligned_alloc(64, tri_ledger_footprint(&options)), &options);
    cr_assert_eq(tri_ledger_add(ledger, 4, (struct tri_text){"gold", 4}), TRI_OK);
    ledger_action = TRI_ACTION_FREEZE;
    cr_assert_str_eq(on_gold(1, 'p', 1), "PREPARE_OK 1");
    cr_assert_str_eq(on_gold(1, 'c', 1), "COMMIT_OK 1");
    stand_pass(&stand, STAND_TTL_MS);
    ledger_action = TRI_ACTION_SEIZE;
    cr_assert_str_eq(on_gold(2, 'p', 2), "PREPARE_OK 2");
    cr_assert_str_eq(on_gold(1, 'r', 1), "FAILED 1 code 9");
    cr_assert_str_eq(on_gold(2, 'c', 2), "COMMIT_OK 2");
    cr_assert_str_eq(on_gold(1, 'r', 3), "FAILED 3 code 55");
    cr_assert_eq(gold().state, TRI_LOCK_SEIZED);
    free(ledger);
}

/* ---- behind a primary record ---- */

Test(participant_work, F04_a_closed_message_answers_a_redelivery_as_long_as_it_is_known)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    (void)finalize(1);
    stand_pass(&stand, 60000 + STAND_WINDOW_MS - 1); /* it has expired, and is still known */
    for (tri_attempt attempt = 2; attempt < 5; attempt++) {
        for (uint32_t again = 0; again < 2; again++) { /* P06 */
            char text[64];

            (void)snprintf(text, sizeof(text), "PREPARE_OK %u already", (unsigned)attempt);
            cr_assert_str_eq(prepare(attempt), text);
            (void)snprintf(text, sizeof(text), "COMMIT_OK %u already", (unsigned)attempt);
            cr_assert_str_eq(commit(attempt), text);
            (void)snprintf(text, sizeof(text), "FINALIZE_OK %u", (unsigned)attempt);
            cr_assert_str_eq(finalize(attempt), text);
        }
    }
    cr_assert_str_eq(abort_(5), "REJECTED 5 code 54", "P12: ABORT undoes nothing");
    cr_assert_str_eq(prepare(6), "PREPARE_OK 6 already");
    cr_assert_str_eq(rollback(6), "FAILED 6 code 55", "A08");
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 0);
    stand_pass(&stand, 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE);
    cr_assert_str_eq(prepare(7), "REJECT 7 code 37", "forgotten: refused, not applied again");
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE], 1);
}

/* ---- a busy table ---- */

Test(participant_work, P14_many_reservations_are_asked_about_over_several_ticks)
{
    struct tri_participant_options options = {
        .entries_max = 40000, .instance = 1, .dedup_window_ms = 0};
    size_t bytes = tri_participant_footprint(&options);
    void *memory = aligned_alloc(64, bytes);
    uint32_t steps = 0;

    stand_init(&stand);
    stand.participant = tri_participant_init(memory, &options);
    for (uint32_t who = 1; who <= 40000; who++) {
        (void)stand_phase(&stand, who, TRI_PHASE_PREPARE, 1);
        if (who % 1000 != 0) {
            (void)stand_control(&stand, who, TRI_CONTROL_ABORT, 1);
        }
    }
    stand.answer_count = 0;
    (void)stand_simple(&stand, TRI_PARTICIPANT_WELCOME);
    while (tri_participant_deadline_ns(stand.participant) == 0) {
        (void)stand_simple(&stand, TRI_PARTICIPANT_TICK);
        steps++;
    }
    cr_assert_eq(stand.answer_count, 40);
    cr_assert_leq(steps, 8);
    free(memory);
}

enum { BUSY_MESSAGES = 3000, BUSY_ENTRIES = 500, BUSY_STEPS = 400000 };

/* What the model knows of a message: 0 nothing, 1 reserved, 2 applied, 3 final, 4 ended. */
static uint8_t busy_state[BUSY_MESSAGES];

static uint32_t busy_expected(uint8_t state, uint32_t letter, bool full)
{
    /* Rows: what the model knows; columns: PREPARE, COMMIT, FINALIZE, ABORT. */
    static const uint32_t codes[5][4] = {
        {0, 36, 36, 0}, {0, 0, 36, 0}, {0, 0, 0, 54}, {0, 0, 0, 54}, {53, 53, 36, 0}};

    if (state == 0 && full && (letter == 0 || letter == 3)) {
        return TRI_ERROR_BUSY;
    }
    return codes[state][letter];
}

static uint8_t busy_next(uint8_t state, uint32_t letter)
{
    static const uint8_t next[5][4] = {
        {1, 0, 0, 4}, {1, 2, 1, 4}, {2, 2, 3, 2}, {3, 3, 3, 3}, {4, 4, 4, 4}};

    return next[state][letter];
}

Test(participant_work, R08_entries_come_and_go_and_none_is_confused_with_another)
{
    struct tri_participant_options options = {
        .entries_max = BUSY_ENTRIES, .instance = 1, .dedup_window_ms = 0};
    uint64_t seed = 7;
    uint32_t known = 0, fulls = 0;
    static uint8_t tokens[BUSY_MESSAGES][27];

    stand_init(&stand);
    stand.participant =
        tri_participant_init(aligned_alloc(64, tri_participant_footprint(&options)), &options);
    memset(busy_state, 0, sizeof(busy_state));
    for (uint32_t step = 0; step < BUSY_STEPS; step++) {
        uint32_t which, letter, code;

        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        which = (uint32_t)(seed >> 40) % BUSY_MESSAGES;
        letter = (uint32_t)(seed >> 60) % 4;
        if (step % 20000 == 19999) { /* everything closed or unapplied is forgotten */
            stand_pass(&stand, 100000);
            stand.expires_ms = stand.wall_ms + 50000;
            for (uint32_t i = 0; i < BUSY_MESSAGES; i++) {
                known -= busy_state[i] != 0 && busy_state[i] != 2;
                busy_state[i] = busy_state[i] == 2 ? 2 : 0;
            }
        }
        code = busy_expected(busy_state[which], letter, known == BUSY_ENTRIES);
        fulls += code == TRI_ERROR_BUSY;
        stand.token[1] = (struct tri_bytes){tokens[which], 27};
        if (letter < 3) {
            (void)stand_phase(&stand, which * 64 + 1, (enum tri_phase)letter, 1);
        } else {
            (void)stand_control(&stand, which * 64 + 1, TRI_CONTROL_ABORT, 1);
        }
        cr_assert_eq(stand.answer_count, 1, "step %u", step);
        cr_assert_eq(stand.answers[0].code, code, "step %u: %u, expected %u", step,
                     stand.answers[0].code, code);
        if (stand.answers[0].ack == TRI_ACK_PHASE_PREPARE_OK) {
            memcpy(tokens[which], stand.answers[0].token, 27);
        }
        stand.answer_count = 0;
        if (code != TRI_ERROR_BUSY) {
            known += busy_state[which] == 0 && (letter == 0 || letter == 3);
            busy_state[which] = busy_next(busy_state[which], letter);
        }
    }
    cr_assert_gt(fulls, 1000);
    cr_assert_gt(counters()->forgotten, 1000);
    free(stand.participant);
}
