/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a chain's side, statement by statement.  Method: short stories on the
 * stand, with the answers as literals; what must hold in every order is in
 * test_participant_stories.c.
 */
#include <criterion/criterion.h>

#include "tests/unit/participant_answers.h"

/* ---- phases ---- */

Test(participant, P04_each_phase_has_its_ack_with_the_message_named)
{
    stand_init(&stand);
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    cr_assert_eq(stand.answers[0].phase, TRI_PHASE_PREPARE);
    cr_assert_str_eq(stand.answers[0].id, "m1");
    cr_assert_eq(stand.answers[0].token_bytes, 27);
    cr_assert_str_eq(answers(), "PREPARE_OK 1");
    (void)stand_phase(&stand, 1, TRI_PHASE_COMMIT, 1);
    cr_assert_eq(stand.answers[0].phase, TRI_PHASE_COMMIT);
    cr_assert_eq(stand.answers[0].token_bytes, 1, "reservedResources belong to PREPARE_OK only");
    cr_assert_str_eq(answers(), "COMMIT_OK 1");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED);
    (void)stand_phase(&stand, 1, TRI_PHASE_FINALIZE, 1);
    cr_assert_eq(stand.answers[0].phase, TRI_PHASE_FINALIZE);
    cr_assert_str_eq(answers(), "FINALIZE_OK 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 0);
}

Test(participant, P05_tokens_name_the_instance_and_are_never_reused)
{
    stand_init(&stand);
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    cr_assert_eq(memcmp(stand.token_at[1],
                        "\x91\xb9"
                        "00000007-0000000000000001",
                        27),
                 0);
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2");
    cr_assert_eq(memcmp(stand.token_at[2],
                        "\x91\xb9"
                        "00000007-0000000000000002",
                        27),
                 0);
    stand_init_with(&stand, (struct tri_participant_options){
                                .entries_max = 1, .instance = 0xfedcba98, .dedup_window_ms = 0});
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2");
    cr_assert_eq(memcmp(stand.token_at[2],
                        "\x91\xb9"
                        "fedcba98-0000000000000001",
                        27),
                 0, "a restart has another instance");
}

Test(participant, P06_the_same_frame_gets_the_same_answer_without_processing_again)
{
    uint8_t token[27];

    stand_init(&stand);
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    memcpy(token, stand.token_at[1], sizeof(token));
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    cr_assert_eq(memcmp(token, stand.token_at[1], sizeof(token)), 0);
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    cr_assert_eq(memcmp(token, stand.token_at[1], sizeof(token)), 0);
    cr_assert_str_eq(finalize(1), "FINALIZE_OK 1");
    cr_assert_str_eq(finalize(1), "FINALIZE_OK 1");
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY], 1);
    cr_assert_eq(counters()->replayed, 5);
    cr_assert_eq(counters()->applied, 1);
}

Test(participant, P06_refusals_are_stored_too)
{
    stand_init(&stand);
    stand.verdict = TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
    cr_assert_str_eq(prepare(1), "REJECT 1 code 9");
    stand.verdict = TRI_ERROR_NONE;
    cr_assert_str_eq(prepare(1), "REJECT 1 code 9", "though the asset is free by now");
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2");
    stand.verdict = TRI_ERROR_INVALID_STATE_TRANSITION;
    cr_assert_str_eq(commit(2), "REJECT 2 code 1");
    stand.verdict = TRI_ERROR_NONE;
    cr_assert_str_eq(commit(2), "REJECT 2 code 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1, "a refused COMMIT frees the reservation");
    cr_assert_eq(counters()->refused, 2);
    cr_assert_eq(counters()->replayed, 2);
}

Test(participant, P06_a_known_id_with_other_content_is_refused_and_changes_nothing)
{
    stand_init(&stand);
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    stand.content = 2;
    cr_assert_str_eq(prepare(2), "REJECT 2 code 33");
    cr_assert_str_eq(commit(1), "REJECT 1 code 33");
    cr_assert_str_eq(finalize(1), "REJECT 1 code 33");
    cr_assert_str_eq(abort_(1), "REJECTED 1 code 33");
    cr_assert_str_eq(rollback(1), "REJECTED 1 code 33");
    cr_assert_eq(counters()->mismatched, 5);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_RESERVED);
    stand.content = 1;
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
}

Test(participant, P10_an_applied_chain_answers_later_attempts_and_takes_their_number)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2 already");
    cr_assert_eq(stand.token[2].bytes, 27);
    cr_assert_eq(memcmp(stand.token_at[1], stand.token_at[2], 27), 0, "the token that applied");
    cr_assert_str_eq(commit(2), "COMMIT_OK 2 already");
    cr_assert_str_eq(commit(3), "COMMIT_OK 3 already");
    cr_assert_str_eq(rollback(2), "REJECTED 2 code 53", "3 is the number now");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED);
    cr_assert_str_eq(rollback(3), "PROCESSED 3");
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_UNDONE);
    cr_assert_str_eq(prepare(4), "PREPARE_OK 4", "from UNDONE a PREPARE starts anew");
    cr_assert_str_eq(commit(4), "COMMIT_OK 4");
    cr_assert_eq(counters()->applied, 2);
    cr_assert_eq(counters()->undone, 1);
}

Test(participant, P10_epochs_order_attempts)
{
    stand_init(&stand);
    cr_assert_str_eq(abort_(TRI_ATTEMPT(2, 1)), "PROCESSED 1");
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, TRI_ATTEMPT(1, 9));
    cr_assert_eq(stand.answers[0].code, TRI_ERROR_ATTEMPT_ENDED, "an earlier epoch");
    (void)answers();
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, TRI_ATTEMPT(2, 2));
    cr_assert_eq(stand.answers[0].ack, TRI_ACK_PHASE_PREPARE_OK);
}

Test(participant, P12_a_tombstone_refuses_what_arrives_later)
{
    stand_init(&stand);
    cr_assert_str_eq(abort_(2), "PROCESSED 2", "also of a message never seen");
    cr_assert_str_eq(prepare(1), "REJECT 1 code 53");
    cr_assert_str_eq(prepare(2), "REJECT 2 code 53");
    cr_assert_str_eq(commit(2), "REJECT 2 code 53");
    cr_assert_str_eq(rollback(4), "PROCESSED 4", "never applied: done");
    cr_assert_str_eq(prepare(3), "REJECT 3 code 53");
    cr_assert_eq(counters()->refused_by_tombstone, 4);
    cr_assert_str_eq(prepare(5), "PREPARE_OK 5");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 0);
}

Test(participant, P12_the_tombstone_comes_before_the_stored_answer)
{
    stand_init(&stand);
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    cr_assert_str_eq(abort_(1), "PROCESSED 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    cr_assert_str_eq(prepare(1), "REJECT 1 code 53");
    cr_assert_str_eq(commit(1), "REJECT 1 code 53");
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY], 0);
}

Test(participant, P12_abort_undoes_nothing_and_leaves_no_tombstone_on_an_applied_chain)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    cr_assert_str_eq(abort_(1), "REJECTED 1 code 54");
    cr_assert_str_eq(abort_(2), "REJECTED 2 code 54");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED);
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2 already", "no tombstone for 2");
    cr_assert_str_eq(rollback(2), "PROCESSED 2");
    cr_assert_str_eq(abort_(2), "REJECTED 2 code 54", "the stored answer");
}

Test(participant, P12_the_applied_mark_comes_before_token_and_expiry)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    stand.expires_ms = stand.wall_ms;
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2 already", "an applied message is never stale");
    stand.token[3] = (struct tri_bytes){(const uint8_t *)"\x90", 1};
    cr_assert_str_eq(commit(3), "COMMIT_OK 3 already", "no token is needed");
}

Test(participant, P13_a_commit_of_an_unknown_message_is_answered_and_leaves_no_entry)
{
    stand_init(&stand);
    cr_assert_str_eq(commit(1), "REJECT 1 code 36");
    cr_assert_str_eq(finalize(1), "REJECT 1 code 36");
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    cr_assert_str_eq(finalize(1), "REJECT 1 code 36", "reserved is not applied");
    cr_assert_str_eq(commit(2), "REJECT 2 code 36", "no PREPARE of this attempt came");
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
}

Test(participant, P13_expired_prepares_are_stale)
{
    stand_init(&stand);
    stand.expires_ms = stand.wall_ms;
    cr_assert_str_eq(prepare(1), "REJECT 1 code 37");
    stand.expires_ms = stand.wall_ms + 1;
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1", "nothing of a stale stranger is kept");
    stand.expires_ms = stand.wall_ms;
    cr_assert_str_eq(prepare(2), "REJECT 2 code 37");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1, "P14: it has ended attempt 1 all the same");
    stand.expires_ms = stand.wall_ms + 1;
    cr_assert_str_eq(prepare(2), "REJECT 2 code 37", "stored");
    cr_assert_str_eq(commit(1), "REJECT 1 code 53");
}

Test(participant, P13_closed_messages_are_forgotten_after_expiry_and_window)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    (void)finalize(1);
    stand_pass(&stand, 60000 + STAND_WINDOW_MS - 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED);
    cr_assert_str_eq(finalize(1), "FINALIZE_OK 1");
    stand_pass(&stand, 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE);
    cr_assert_eq(counters()->forgotten, 1);
    cr_assert_str_eq(finalize(1), "REJECT 1 code 36");
    cr_assert_str_eq(prepare(2), "REJECT 2 code 37", "and its time is over");
    cr_assert_eq(tri_participant_deadline_ns(stand.participant), TRI_NEVER);
}

Test(participant, P13_the_window_runs_from_the_closing_if_that_is_later)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    stand_pass(&stand, 200000);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED, "applied and not closed");
    cr_assert_str_eq(finalize(1), "FINALIZE_OK 1");
    stand_pass(&stand, STAND_WINDOW_MS - 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED);
    stand_pass(&stand, 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE);
}

Test(participant, P13_tombstones_and_expired_reservations_are_forgotten_too)
{
    stand_init(&stand);
    cr_assert_str_eq(abort_(1), "PROCESSED 1");
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 1);
    stand_pass(&stand, 60000 + STAND_WINDOW_MS - 1);
    cr_assert_eq(counters()->expired, 1);
    cr_assert_eq(counters()->forgotten, 0);
    stand_pass(&stand, 1);
    cr_assert_eq(counters()->forgotten, 2);
}

Test(participant, P13_a_full_table_refuses_and_evicts_nothing)
{
    stand_init(&stand); /* 4 entries */
    for (uint32_t who = 1; who <= 4; who++) {
        (void)stand_phase(&stand, who, TRI_PHASE_PREPARE, 1);
    }
    cr_assert_str_eq(answers(), "PREPARE_OK 1; PREPARE_OK 1; PREPARE_OK 1; PREPARE_OK 1");
    (void)stand_phase(&stand, 5, TRI_PHASE_PREPARE, 1);
    cr_assert_str_eq(answers(), "REJECT 1 code 34 retry 5000", "it names the window");
    (void)stand_control(&stand, 5, TRI_CONTROL_ABORT, 1);
    cr_assert_str_eq(answers(), "FAILED 1 code 34", "a tombstone that cannot be kept");
    (void)stand_control(&stand, 5, TRI_CONTROL_ROLLBACK, 1);
    cr_assert_str_eq(answers(), "FAILED 1 code 34");
    (void)stand_phase(&stand, 5, TRI_PHASE_COMMIT, 1);
    cr_assert_str_eq(answers(), "REJECT 1 code 36", "needs no place");
    cr_assert_eq(counters()->refused_full, 3);
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2", "known messages go on");
    stand_pass(&stand, 60000 + STAND_WINDOW_MS);
    stand.expires_ms = stand.wall_ms + 1000;
    (void)stand_phase(&stand, 5, TRI_PHASE_PREPARE, 1);
    cr_assert_str_eq(answers(), "PREPARE_OK 1", "BUSY was not stored");
}

Test(participant, P13_places_are_used_again_and_names_towards_the_ledger_are_not)
{
    struct tri_participant_event late;

    stand_init_with(&stand, (struct tri_participant_options){
                                .entries_max = 1, .instance = 7, .dedup_window_ms = 0});
    stand.slow = true;
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    late = stand.waiting;
    (void)verdict(TRI_ERROR_UNKNOWN_ASSET);
    stand_pass(&stand, 60000);
    cr_assert_eq(counters()->forgotten, 1);
    stand.expires_ms = stand.wall_ms + 1000;
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 1);
    cr_assert_eq(stand.waiting.ledger.entry, late.ledger.entry);
    cr_assert_eq(stand_step(&stand, &late), TRI_STALE, "a verdict on the message before");
    cr_assert_eq(stand_state(&stand, 2), TRI_PARTICIPANT_RESERVING);
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "PREPARE_OK 1");
}

Test(participant, P14_a_prepare_ends_earlier_attempts_and_takes_their_reservation)
{
    stand_init(&stand);
    (void)prepare(1);
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2");
    cr_assert_neq(memcmp(stand.token_at[1], stand.token_at[2], 27), 0, "a fresh token");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 0, "taken over, not given back");
    cr_assert_str_eq(commit(1), "REJECT 1 code 53");
    cr_assert_str_eq(prepare(1), "REJECT 1 code 53");
    cr_assert_str_eq(abort_(1), "PROCESSED 1", "of a lower attempt: nothing changes");
    cr_assert_str_eq(rollback(1), "PROCESSED 1");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_RESERVED);
    stand.verdict = TRI_ERROR_INVALID_STATE_TRANSITION;
    cr_assert_str_eq(prepare(3), "REJECT 3 code 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1, "a refused PREPARE keeps no reservation");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE);
}

Test(participant, P14_welcome_asks_about_each_reservation_and_nothing_else)
{
    stand_init(&stand);
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 1);
    (void)stand_phase(&stand, 2, TRI_PHASE_COMMIT, 1);
    (void)stand_phase(&stand, 3, TRI_PHASE_PREPARE, 1);
    (void)stand_control(&stand, 4, TRI_CONTROL_ABORT, 1);
    (void)answers();
    (void)stand_simple(&stand, TRI_PARTICIPANT_WELCOME);
    stand_pass(&stand, 0);
    cr_assert_str_eq(answers(), "ASK m1; ASK m3");
    (void)stand_control(&stand, 3, TRI_CONTROL_ABORT, 1);
    (void)answers();
    (void)stand_simple(&stand, TRI_PARTICIPANT_WELCOME);
    stand_pass(&stand, 0);
    cr_assert_str_eq(answers(), "ASK m1", "every WELCOME asks again");
}

Test(participant, P14_an_abort_without_a_record_of_the_message_fits_any_content)
{
    stand_init(&stand);
    (void)prepare(1);
    stand.content = 0;
    cr_assert_str_eq(commit(1), "REJECT 1 code 33", "only ABORT may lack the content");
    cr_assert_str_eq(rollback(1), "REJECTED 1 code 33");
    cr_assert_str_eq(abort_(1), "PROCESSED 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    (void)stand_control(&stand, 2, TRI_CONTROL_ABORT, 1);
    cr_assert_str_eq(answers(), "PROCESSED 1", "of a message never seen");
    stand.content = 1;
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 2);
    cr_assert_str_eq(answers(), "PREPARE_OK 2", "the first frame with a content names it");
    stand.content = 2;
    (void)stand_phase(&stand, 2, TRI_PHASE_COMMIT, 2);
    cr_assert_str_eq(answers(), "REJECT 2 code 33");
}

Test(participant, P14_an_abort_without_a_record_leaves_an_applied_message_and_its_content)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    stand.content = 0;
    cr_assert_str_eq(abort_(1), "REJECTED 1 code 54");
    cr_assert_str_eq(abort_(1), "REJECTED 1 code 54", "A07");
    stand.content = 2;
    cr_assert_str_eq(commit(1), "REJECT 1 code 33");
    stand.content = 1;
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    /* A tombstone that was made without a content: ABORT may name it as well as a phase. */
    stand.content = 0;
    (void)stand_control(&stand, 2, TRI_CONTROL_ABORT, 3);
    stand.content = 1;
    (void)stand_control(&stand, 2, TRI_CONTROL_ABORT, 4);
    stand.content = 2;
    (void)stand_control(&stand, 2, TRI_CONTROL_ABORT, 5);
    cr_assert_str_eq(answers(), "PROCESSED 3; PROCESSED 4; REJECTED 5 code 33");
    stand.content = 1;
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 4);
    cr_assert_str_eq(answers(), "REJECT 4 code 53", "the tombstone stands");
}

/* ---- strategies ---- */

Test(participant, A01_commit_without_prepare_is_legal_for_best_effort_alone)
{
    stand_init(&stand);
    stand.atomicity = TRI_GUARANTEED;
    cr_assert_str_eq(commit(1), "REJECT 1 code 36");
    stand.atomicity = TRI_BEST_EFFORT;
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY_UNRESERVED], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE] + stand.ops[TRI_LEDGER_APPLY], 0);
    cr_assert_str_eq(finalize(1), "FINALIZE_OK 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 0, "no lock is held");
    cr_assert_str_eq(rollback(1), "FAILED 1 code 55", "never a rollback");
    stand_pass(&stand, 60000 + STAND_WINDOW_MS);
    cr_assert_eq(counters()->forgotten, 1, "its answer has closed it");
}

Test(participant, A01_a_refused_or_late_best_effort_commit_stays_refused)
{
    stand_init(&stand);
    stand.atomicity = TRI_BEST_EFFORT;
    stand.verdict = TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
    cr_assert_str_eq(commit(1), "REJECT 1 code 9");
    stand.verdict = TRI_ERROR_NONE;
    cr_assert_str_eq(commit(1), "REJECT 1 code 9");
    stand.expires_ms = stand.wall_ms;
    (void)stand_phase(&stand, 2, TRI_PHASE_COMMIT, 1);
    cr_assert_str_eq(answers(), "REJECT 1 code 37");
    stand.wall_ms -= 3600000;
    (void)stand_phase(&stand, 2, TRI_PHASE_COMMIT, 1);
    cr_assert_str_eq(answers(), "REJECT 1 code 37", "though the wall clock went back");
    cr_assert_eq(counters()->applied, 0);
}

Test(participant, A07_answers_to_controls_are_stored_and_given_again)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    stand.verdict = TRI_ERROR_ROLLBACK_FENCED;
    cr_assert_str_eq(rollback(1), "FAILED 1 code 55");
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED, "what cannot be undone remains");
    stand.verdict = TRI_ERROR_NONE;
    cr_assert_str_eq(rollback(1), "FAILED 1 code 55");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 1, "not tried again");
    cr_assert_str_eq(rollback(2), "PROCESSED 2", "another attempt is another request");
    cr_assert_str_eq(rollback(2), "PROCESSED 2");
    cr_assert_str_eq(rollback(1), "PROCESSED 1");
    cr_assert_str_eq(commit(1), "REJECT 1 code 53");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 2);
}

Test(participant, A07_a_failed_rollback_leaves_no_trace_behind_a_later_one)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    stand.verdict = TRI_ERROR_ROLLBACK_FENCED;
    cr_assert_str_eq(rollback(1), "FAILED 1 code 55");
    stand.verdict = TRI_ERROR_NONE;
    cr_assert_str_eq(rollback(2), "PROCESSED 2");
    (void)prepare(3);
    (void)commit(3);
    cr_assert_str_eq(prepare(4), "PREPARE_OK 4 already");
    cr_assert_str_eq(rollback(3), "REJECTED 3 code 53");
    stand.verdict = TRI_ERROR_ROLLBACK_FENCED;
    cr_assert_str_eq(rollback(6), "FAILED 6 code 55");
    cr_assert_str_eq(rollback(5), "FAILED 5 code 55", "a higher one has failed");
    cr_assert_str_eq(rollback(3), "REJECTED 3 code 53", "as before");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 3);
}

Test(participant, A08_nothing_is_rolled_back_behind_finalize)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    (void)finalize(1);
    cr_assert_str_eq(rollback(1), "FAILED 1 code 55");
    cr_assert_str_eq(rollback(9), "FAILED 9 code 55");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 0);
    cr_assert_str_eq(abort_(1), "REJECTED 1 code 54");
    cr_assert_str_eq(finalize(1), "FINALIZE_OK 1");
}

Test(participant, A09_without_finalize_the_reservation_lasts_until_its_ttl)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    stand_pass(&stand, STAND_TTL_MS - 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 0);
    stand_pass(&stand, 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED);
    cr_assert_str_eq(finalize(1), "FINALIZE_OK 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
}

Test(participant, A09_a_later_prepare_prolongs_the_reservation_of_an_applied_message)
{
    stand_init(&stand);
    (void)prepare(1);
    (void)commit(1);
    stand_pass(&stand, STAND_TTL_MS - 1);
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2 already");
    stand_pass(&stand, STAND_TTL_MS - 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 0);
    stand_pass(&stand, 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
}

Test(participant, A11_a_fresh_token_in_a_later_attempt_means_not_applied)
{
    stand_init(&stand);
    (void)prepare(1);
    stand.verdict = TRI_ERROR_BUSY;
    cr_assert_str_eq(commit(1), "REJECT 1 code 34");
    stand.verdict = TRI_ERROR_NONE;
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2");
    cr_assert_neq(memcmp(stand.token_at[1], stand.token_at[2], 27), 0);
    cr_assert_str_eq(commit(1), "REJECT 1 code 53", "the late one cannot apply any more");
    stand_pass(&stand, STAND_TTL_MS);
    cr_assert_str_eq(commit(2), "REJECT 2 code 35", "not the code of attempt 1");
    cr_assert_str_eq(prepare(3), "PREPARE_OK 3");
    cr_assert_str_eq(commit(3), "COMMIT_OK 3");
}

/* ---- locks ---- */

Test(participant, L05_commit_is_matched_on_the_token_and_refused_for_good_when_it_expired)
{
    stand_init(&stand);
    (void)prepare(1);
    stand.now_ns += STAND_TTL_MS * TRI_NS_PER_MS; /* no TICK was stepped */
    cr_assert_str_eq(commit(1), "REJECT 1 code 35");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    cr_assert_eq(counters()->expired, 1);
    cr_assert_str_eq(commit(1), "REJECT 1 code 35");
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2");
    stand_pass(&stand, STAND_TTL_MS);
    cr_assert_str_eq(commit(2), "REJECT 2 code 35");
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 2);
    cr_assert_str_eq(prepare(3), "PREPARE_OK 3");
    stand.token[3] = stand.token[2];
    cr_assert_str_eq(commit(3), "REJECT 3 code 35", "the id and attempt are right, the token not");
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY], 0);
}

Test(participant, L05_a_reservation_with_commit_in_work_does_not_expire)
{
    stand_init(&stand);
    (void)prepare(1);
    stand.slow = true;
    (void)stand_phase(&stand, 1, TRI_PHASE_COMMIT, 1);
    stand_pass(&stand, 10 * STAND_TTL_MS);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 0);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLYING);
    cr_assert_str_eq(verdict(TRI_ERROR_NONE), "COMMIT_OK 1");
    stand_pass(&stand, 0);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1, "its time is over once the verdict is in");
}

Test(participant, L06_expiry_frees_by_itself_and_redelivery_reacquires)
{
    stand_init(&stand);
    (void)prepare(1);
    stand_pass(&stand, STAND_TTL_MS);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    cr_assert_eq(counters()->expired, 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE);
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1", "P06: the stored answer");
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2");
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE], 2);
    cr_assert_str_eq(commit(2), "COMMIT_OK 2");
}

Test(participant, L07_lock_times_are_durations_and_no_wall_clock_moves_them)
{
    stand_init(&stand);
    (void)prepare(1);
    stand.wall_ms += 86400000;
    stand_pass(&stand, STAND_TTL_MS - 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_RESERVED);
    stand.wall_ms -= 2 * 86400000;
    cr_assert_eq(tri_participant_deadline_ns(stand.participant) <=
                     STAND_START_NS + STAND_TTL_MS * TRI_NS_PER_MS,
                 true);
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    (void)finalize(1);
    stand_pass(&stand, 60000 + STAND_WINDOW_MS - STAND_TTL_MS);
    cr_assert_eq(counters()->forgotten, 0);
    stand_pass(&stand, 1);
    cr_assert_eq(counters()->forgotten, 1, "expiry was turned into a duration when it was stored");
}

Test(participant, L07_a_longer_ttl_than_allowed_is_cut)
{
    stand_init_with(&stand, (struct tri_participant_options){.entries_max = 1,
                                                             .instance = 1,
                                                             .dedup_window_ms = 0,
                                                             .reservation_ttl_ms_max = 400});
    (void)prepare(1);
    stand_pass(&stand, 399);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_RESERVED);
    stand_pass(&stand, 1);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE);
}
