/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine by its effects, an accepted message's way through the phases: strategies, timeouts and
 * durability.  A test tells a story and compares what was said with literals.  engine_kit.h
 * explains how an effect is written.
 */
#include <criterion/criterion.h>

#include "tests/unit/engine_kit.h"

KIT_BENCH

/* ---- the plain way ---- */

ENGINE_TEST(engine, P01_guaranteed_runs_three_phases)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>012");
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    SAID("DECISION=2 COMMIT#1>012@2");
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    SAID("PRIMARY=3 NOTICE@3 FINALIZE#1>012@3");
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
    SAID("PROCESSED CLOSE=4");
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    cr_assert_eq(COUNT(processed), 1U);
}

ENGINE_TEST(engine, P03_a_phase_waits_for_every_ack_of_the_one_before)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_PREPARE, 1);
    SAID("");
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_PREPARE, 1);
    SAID("DECISION=2 COMMIT#1>012@2");
}

ENGINE_TEST(engine, P07_an_ack_counts_once)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    for (int i = 0; i < 3; i++) {
        (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    }
    SAID("");
    cr_assert_eq(COUNT(acks_counted), 1U);
    cr_assert_eq(COUNT(acks_repeated), 2U);
}

ENGINE_TEST(engine, P07_a_stranger_and_a_closed_phase_change_nothing)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    message.target_count = 2;
    (void)kit_submit_as(&kit, &message, 1);
    (void)kit_said(&kit);
    cr_assert_eq(kit_ok(&kit, "m", 2, TRI_PHASE_PREPARE, 1), TRI_STALE);
    cr_assert_eq(COUNT(acks_stranger), 1U);
    cr_assert_eq(kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1), TRI_STALE);
    cr_assert_eq(COUNT(acks_late), 1U);
    SAID("");
}

ENGINE_TEST(engine, P04_an_answer_must_fit_its_phase)
{
    struct tri_event event;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    event = kit_ack("m", 0, TRI_PHASE_PREPARE, 1);
    event.phase_ack.type = TRI_ACK_PHASE_COMMIT_OK;
    cr_assert_eq(kit_step(&kit, &event), TRI_VIOLATION);
    event = kit_ack("m", 0, TRI_PHASE_PREPARE, 1);
    event.phase_ack.tokens.bytes = 1; /* no token */
    cr_assert_eq(kit_step(&kit, &event), TRI_VIOLATION);
    event = kit_ack("m", 0, TRI_PHASE_PREPARE, 1);
    event.phase_ack.type = TRI_ACK_PHASE_REJECT; /* no code */
    cr_assert_eq(kit_step(&kit, &event), TRI_VIOLATION);
    event = kit_ack("m", 0, TRI_PHASE_PREPARE, 1);
    event.phase_ack.type = TRI_ACK_PROCESSED;
    cr_assert_eq(kit_step(&kit, &event), TRI_VIOLATION);
    cr_assert_eq(COUNT(acks_invalid), 4U);
    cr_assert_eq(COUNT(acks_counted), 0U);
}

ENGINE_TEST(engine, P05_tokens_are_kept_and_shown)
{
    struct tri_engine_status status;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    status = kit_status(&kit, "m");
    cr_assert_str_eq(status.round.state, "COMMITTING");
    cr_assert_eq(status.round.prepared_mask, 7U);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(status.round.targets[i].token_set_bytes, 3);
        cr_assert_eq(status.round.targets[i].tokens[2], "xyz"[i]);
    }
    /* the effect that sends COMMIT shows the same ones */
    cr_assert_eq(COUNT(decisions), 1U);
}

/* ---- timeouts ---- */

ENGINE_TEST(engine, P08_default_timeouts_are_5_10_5_seconds)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    kit_pass(&kit, 4999);
    SAID("");
    kit_pass(&kit, 1);
    SAID("ABORT#1>012");
    kit_pass(&kit, 1000);
    SAID("ATTEMPT=2 PREPARE#2>012@2");
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 2);
    SAID("DECISION=3 COMMIT#2>012@3");
    kit_pass(&kit, 9999);
    SAID("");
    kit_pass(&kit, 1);
    SAID("ABORT#2>012 IMAGE=4");
}

ENGINE_TEST(engine, P08_a_timeout_runs_from_the_release_of_the_frames)
{
    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    kit_pass(&kit, 20000); /* the decision record is not durable: COMMIT has not left */
    SAID("");
    kit_durable(&kit);
    kit_pass(&kit, 9999);
    SAID("");
    kit_pass(&kit, 1);
    SAID("ABORT#1>012 IMAGE=3");
}

ENGINE_TEST(engine, P09_a_phase_timeout_reissues_no_phase)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_said(&kit);
    kit_pass(&kit, 10000);
    SAID("ROLLBACK=3 ROLLBACK#1>012@3");
    cr_assert_eq(COUNT(phase_timeouts), 1U);
    cr_assert_eq(COUNT(redeliveries), 0U);
}

ENGINE_TEST(engine, P09_answers_before_the_release_do_not_count)
{
    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    cr_assert_eq(kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1), TRI_STALE);
    kit_durable(&kit);
    cr_assert_eq(kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1), TRI_OK);
}

ENGINE_TEST(engine, L04_a_reservation_that_ends_too_early_aborts_before_the_decision)
{
    kit_fini(&kit);
    kit_options(&kit);
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        kit.options.policies[type][0].retries_max = 0;
        kit.options.policies[type][0].lock_ttl_ms = 61000;
        kit.options.policies[type][0].dedup_window_ms = 61000;
    }
    kit_start(&kit);
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    (void)kit_said(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    /* 61 s left, 10 + 60 + 1 s needed */
    SAID("ABORT#1>012 OUTCOME=2 FAILED:MAX_RETRIES_EXCEEDED@2");
    cr_assert_eq(COUNT(fences), 1U);
    kit_submit(&kit, "n", TRI_GUARANTEED);
    (void)kit_said(&kit);
    kit_all_ok(&kit, "n", TRI_PHASE_PREPARE, 1); /* no rollback window to outlive */
    SAID("DECISION=4 COMMIT#1>012@4");
}

/* ---- GUARANTEED ---- */

ENGINE_TEST(engine, A02_a_refused_prepare_is_a_clean_abort_at_once)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_PREPARE, 1, TRI_ERROR_INVALID_STATE_TRANSITION);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:INVALID_STATE_TRANSITION@2");
}

ENGINE_TEST(engine, A12_a_passing_refusal_is_redelivered_under_R03)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_PREPARE, 1, TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT);
    SAID("ABORT#1>012");
    kit_pass(&kit, 999);
    SAID("");
    kit_pass(&kit, 1);
    SAID("ATTEMPT=2 PREPARE#2>012@2");
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 2, TRI_ERROR_BUSY);
    SAID("ABORT#2>012");
    kit_pass(&kit, 2001); /* the backoff has grown */
    SAID("ATTEMPT=3 PREPARE#3>012@3");
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 3, TRI_ERROR_BUSY);
    SAID("ABORT#3>012 OUTCOME=4 FAILED:MAX_RETRIES_EXCEEDED@4");
}

ENGINE_TEST(engine, A12_a_final_code_beside_a_passing_one_ends_the_message)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_INVALID_STATE_TRANSITION);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    SAID("ABORT#1>012 OUTCOME=3 FAILED:ROLLED_BACK@3");
}

ENGINE_TEST(engine, A03_a_partial_commit_ends_with_the_evidence_per_chain)
{
    struct tri_engine_status status;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    SAID("");
    kit_pass(&kit, 10000);
    SAID("ABORT#1>12 OUTCOME=3 FAILED:RECONCILIATION_REQUIRED@3");
    status = kit_status(&kit, "m");
    cr_assert_not(status.is_open);
    cr_assert_eq(status.round.applied_mask, 1U);
    cr_assert_eq(status.round.refused_mask, 2U);
    cr_assert_eq(status.round.unknown_mask, 4U);
    cr_assert_eq(status.round.target_count, 3U);
}

ENGINE_TEST(engine, A03_an_unknown_without_an_ok_is_redelivered_and_prepare_tells)
{
    struct tri_event event;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    (void)kit_said(&kit);
    kit_pass(&kit, 10000);
    SAID("ABORT#1>012 IMAGE=3");
    kit_pass(&kit, 1000);
    SAID("ATTEMPT=4 PREPARE#2>012@4");
    event = kit_ack("m", 2, TRI_PHASE_PREPARE, 2);
    event.phase_ack.already_applied = true;
    (void)kit_step(&kit, &event);
    /* A11: now it is known that chain 2 has applied it; a refusal is no clean abort any more */
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 2, TRI_ERROR_INVALID_STATE_TRANSITION);
    SAID("ABORT#2>012 OUTCOME=5 FAILED:RECONCILIATION_REQUIRED@5");
}

ENGINE_TEST(engine, A11_a_fresh_token_clears_the_doubt)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_pass(&kit, 10000); /* COMMIT unanswered by all */
    kit_pass(&kit, 1000);
    (void)kit_said(&kit);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 2);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_PREPARE, 2);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 4U);
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_PREPARE, 2);
    SAID("DECISION=5 COMMIT#2>012@5");
}

ENGINE_TEST(engine, P13_a_commit_of_an_unknown_message_is_unknown)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_NO_RESERVATION);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    SAID("ROLLBACK=3 ROLLBACK#1>01@3 ABORT#1>2@3");
    cr_assert_eq(COUNT(commits_unknown), 1U);
}

/* Of a COMMIT without PREPARE a full table keeps nothing, so the same COMMIT may still be applied;
 * whoever has given a token keeps its refusal. */
ENGINE_TEST(engine, P13_A11_busy_is_definite_only_behind_a_prepare)
{
    struct tri_engine_status status;

    kit_submit(&kit, "b", TRI_BEST_EFFORT);
    (void)kit_ok(&kit, "b", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "b", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_BUSY);
    (void)kit_reject(&kit, "b", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_OPERATOR_REFUSED);
    status = kit_status(&kit, "b");
    cr_assert_eq(status.ack_type, TRI_ACK_PROCESSED);
    cr_assert_eq(status.round.unknown_mask, 2U);
    cr_assert_eq(status.round.refused_mask, 4U);
    kit_submit(&kit, "c", TRI_BEST_EFFORT);
    for (uint16_t chain = 0; chain < 3; chain++) {
        (void)kit_reject(&kit, "c", chain, TRI_PHASE_COMMIT, 1, TRI_ERROR_BUSY);
    }
    status = kit_status(&kit, "c");
    cr_assert_eq(status.code, TRI_ERROR_NO_CHAIN_APPLIED); /* as far as anybody has said */
    cr_assert_eq(status.round.unknown_mask, 7U);
    cr_assert_eq(COUNT(commits_unknown), 4U);
    kit_submit(&kit, "g", TRI_GUARANTEED);
    kit_all_ok(&kit, "g", TRI_PHASE_PREPARE, 1);
    for (uint16_t chain = 0; chain < 3; chain++) {
        (void)kit_reject(&kit, "g", chain, TRI_PHASE_COMMIT, 1, TRI_ERROR_BUSY);
    }
    cr_assert_eq(kit_status(&kit, "g").round.unknown_mask, 0U);
    cr_assert_eq(COUNT(commits_unknown), 4U);
}

/* ---- ALL_OR_NOTHING ---- */

ENGINE_TEST(engine, A06_who_committed_or_may_have_is_rolled_back)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_INVALID_STATE_TRANSITION);
    (void)kit_said(&kit);
    kit_pass(&kit, 10000);
    SAID("ROLLBACK=3 ROLLBACK#1>02@3 ABORT#1>1@3");
    kit_undone(&kit, "m", 0, 1);
    SAID("");
    kit_undone(&kit, "m", 2, 1);
    SAID("OUTCOME=4 FAILED:ROLLED_BACK@4");
    cr_assert_eq(kit_status(&kit, "m").round.undone_mask, 5U);
    cr_assert_eq(kit_status(&kit, "m").round.refused_mask, 2U);
}

ENGINE_TEST(engine, P01_commit_waits_for_every_answer)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_INVALID_STATE_TRANSITION);
    SAID("");
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    SAID("");
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_COMMIT, 1);
    SAID("ROLLBACK=3 ROLLBACK#1>02@3 ABORT#1>1@3");
}

ENGINE_TEST(engine, A12_a_rolled_back_message_is_tried_again_when_all_is_undone)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    (void)kit_said(&kit);
    kit_undone(&kit, "m", 0, 1);
    kit_pass(&kit, 3000);
    SAID("");
    kit_undone(&kit, "m", 1, 1);
    kit_pass(&kit, 1000);
    SAID("ATTEMPT=4 PREPARE#2>012@4");
}

ENGINE_TEST(engine, A07_rollback_frames_are_sent_again_until_the_window_ends)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    kit_pass(&kit, 10000);
    kit_undone(&kit, "m", 0, 1);
    (void)kit_said(&kit);
    kit_pass(&kit, 7500);
    SAID("ROLLBACK#1>12");
    kit_pass(&kit, 60000 - 7500 - 1);
    (void)kit_said(&kit);
    kit_pass(&kit, 1);
    SAID("OUTCOME=4 FAILED:ROLLBACK_INCOMPLETE@4");
    cr_assert_eq(kit_status(&kit, "m").round.undone_mask, 1U);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 6U);
    /* later answers are evidence, nothing more */
    cr_assert_eq(
        kit_control(&kit, "m", 1, TRI_CONTROL_ROLLBACK, 1, TRI_ACK_PROCESSED, TRI_ERROR_NONE),
        TRI_STALE);
    SAID("");
}

ENGINE_TEST(engine, A07_a_refused_rollback_is_incomplete)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_INVALID_STATE_TRANSITION);
    (void)kit_said(&kit);
    (void)kit_control(&kit, "m", 0, TRI_CONTROL_ROLLBACK, 1, TRI_ACK_FAILED,
                      TRI_ERROR_ROLLBACK_FENCED);
    SAID("");
    kit_undone(&kit, "m", 1, 1);
    SAID("OUTCOME=4 FAILED:ROLLBACK_INCOMPLETE@4");
    cr_assert_eq(COUNT(rollbacks_incomplete), 1U);
}

ENGINE_TEST(engine, A07_a_rollback_that_finds_a_full_table_is_sent_again)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_NO_RESERVATION);
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_COMMIT, 1);
    kit_undone(&kit, "m", 2, 1);
    (void)kit_said(&kit);
    cr_assert_eq(kit_control(&kit, "m", 1, TRI_CONTROL_ROLLBACK, 1, TRI_ACK_FAILED, TRI_ERROR_BUSY),
                 TRI_STALE);
    SAID("");
    kit_pass(&kit, 7500);
    SAID("ROLLBACK#1>1");
    kit_undone(&kit, "m", 1, 1);
    SAID("OUTCOME=4 FAILED:ROLLED_BACK@4");
}

ENGINE_TEST(engine, A05_all_or_nothing_prepare_failure_sends_no_rollback)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_ESCALATION_SEQUENCE);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:ESCALATION_SEQUENCE@2");
    cr_assert_eq(COUNT(rollbacks), 0U);
}

ENGINE_TEST(engine, P11_a_commit_without_an_answer_is_unknown_and_not_a_no)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    kit_pass(&kit, 10000);
    /* who refused has nothing to undo; who is silent may have applied it */
    SAID("ROLLBACK=3 ROLLBACK#1>12@3 ABORT#1>0@3");
    cr_assert_eq(kit_status(&kit, "m").round.refused_mask, 1U);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 6U);
}

/* ---- BEST_EFFORT ---- */

ENGINE_TEST(engine, A01_best_effort_is_one_commit_behind_the_accept_record)
{
    kit_submit(&kit, "m", TRI_BEST_EFFORT);
    SAID("ACCEPT=1 RECEIVED@1 COMMIT#1>012@1");
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_UNKNOWN_ASSET);
    SAID("");
    kit_pass(&kit, 10000);
    SAID("OUTCOME=2 PROCESSED@2");
    cr_assert_eq(kit_status(&kit, "m").round.applied_mask, 1U);
    cr_assert_eq(kit_status(&kit, "m").round.refused_mask, 2U);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 4U);
}

ENGINE_TEST(engine, A01_best_effort_without_any_ok_fails_in_its_one_attempt)
{
    kit_submit(&kit, "m", TRI_BEST_EFFORT);
    (void)kit_said(&kit);
    kit_pass(&kit, 10000);
    SAID("OUTCOME=2 FAILED:NO_CHAIN_APPLIED@2");
}

ENGINE_TEST(engine, A01_a_finalize_that_was_asked_for_is_sent_once_to_who_applied)
{
    struct tri_message message = kit_message("m", TRI_BEST_EFFORT);

    message.finalize_requested = true;
    (void)kit_submit_as(&kit, &message, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_COMMIT, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_UNKNOWN_ASSET);
    SAID("FINALIZE#1>01");
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_FINALIZE, 1);
    SAID("");
    kit_pass(&kit, 5000);
    SAID("OUTCOME=2 PROCESSED@2");
    cr_assert_eq(kit_status(&kit, "m").round.final_mask, 1U);
}

/* ---- FINALIZE ---- */

ENGINE_TEST(engine, A09_finalize_is_resent_then_the_result_names_who_lacks_it)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_FINALIZE, 1);
    (void)kit_said(&kit);
    kit_pass(&kit, 5000);
    SAID("");
    kit_pass(&kit, 1000);
    SAID("FINALIZE#1>02");
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_FINALIZE, 1);
    kit_pass(&kit, 2001);
    SAID("FINALIZE#1>2");
    kit_pass(&kit, 4000);
    SAID("OUTCOME=4 PROCESSED:FINALIZE_INCOMPLETE@4");
    cr_assert_eq(kit_status(&kit, "m").round.final_mask, 3U);
    cr_assert_eq(kit_status(&kit, "m").round.applied_mask, 7U);
    cr_assert_eq(COUNT(escalations), 0U);
}

ENGINE_TEST(engine, A09_all_or_nothing_escalates_a_lacking_finalize)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_FINALIZE, 1);
    kit_pass(&kit, 60000);
    cr_assert_eq(COUNT(escalations), 1U);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_FINALIZE_INCOMPLETE);
}

ENGINE_TEST(engine, A09_a_late_finalize_ok_ends_it_at_any_time)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    kit_pass(&kit, 5500); /* the phase failed; the message timer runs */
    (void)kit_said(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
    SAID("PROCESSED CLOSE=4");
}

/* ---- durability by number ---- */

ENGINE_TEST(engine, A08_notice_and_finalize_wait_for_the_primary_record)
{
    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_durable(&kit);
    (void)kit_said(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    SAID("PRIMARY=3 NOTICE@3 FINALIZE#1>012@3");
    kit_pass(&kit, 3600000); /* no timer runs while it waits, so nothing can undo */
    SAID("");
    kit_durable(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
    SAID("PROCESSED CLOSE=4");
}

ENGINE_TEST(engine, D01_a_view_shows_the_state_before_until_the_record_is_durable)
{
    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "GONE");
    kit_durable(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "PREPARING");
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "PREPARING");
    kit_durable(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "COMMITTING");
}

ENGINE_TEST(engine, D01_a_duplicate_of_a_closing_message_waits_for_the_outcome_record)
{
    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_durable(&kit);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    (void)kit_said(&kit);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("REJECTED:UNKNOWN_ASSET(dup)@2");
    kit_durable(&kit);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("REJECTED:UNKNOWN_ASSET(dup)");
}

ENGINE_TEST(engine, D07_after_a_failed_journal_nothing_leaves)
{
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 1}};

    kit.is_slow = true;
    kit_submit(&kit, "waits", TRI_GUARANTEED);
    kit_submit(&kit, "prepares", TRI_GUARANTEED);
    kit_all_ok(&kit, "waits", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_step(&kit, &failed);
    kit_all_ok(&kit, "prepares", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "waits", TRI_PHASE_COMMIT, 1);
    kit_durable(&kit);
    kit_pass(&kit, 3600000);
    SAID("");
    kit_submit(&kit, "new", TRI_GUARANTEED);
    SAID("REJECTED:JOURNAL_FAILED");
    cr_assert_eq(tri_engine_open_count(kit.engine), 2U);
}
