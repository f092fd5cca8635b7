/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine by its effects: a test tells a story and compares what was said with literals.
 * engine_kit.h explains how an effect is written.
 */
#include <criterion/criterion.h>

#include "engine_kit.h"

static struct kit kit;

static void init(void)
{
    kit_init(&kit);
}

static void fini(void)
{
    kit_fini(&kit);
}

#define SAID(text)        cr_assert_str_eq(kit_said(&kit), text)
#define ENGINE_TEST(name) Test(engine, name, .init = init, .fini = fini)

static uint64_t counted(size_t offset)
{
    uint64_t value;

    memcpy(&value, (const uint8_t *)tri_engine_counters(kit.engine) + offset, sizeof(value));
    return value;
}
#define COUNT(field) counted(offsetof(struct tri_engine_counters, field))

/* ---- the plain way ---- */

ENGINE_TEST(P01_guaranteed_runs_three_phases)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>012");
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    SAID("DECISION=2 COMMIT#1>012@2");
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    SAID("PRIMARY=3 NOTICE@3 FINALIZE#1>012@3");
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
    SAID("PROCESSED");
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    cr_assert_eq(COUNT(processed), 1U);
}

ENGINE_TEST(P03_a_phase_waits_for_every_ack_of_the_one_before)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_PREPARE, 1);
    SAID("");
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_PREPARE, 1);
    SAID("DECISION=2 COMMIT#1>012@2");
}

ENGINE_TEST(P07_an_ack_counts_once)
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

ENGINE_TEST(P07_a_stranger_and_a_closed_phase_change_nothing)
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

ENGINE_TEST(P04_an_answer_must_fit_its_phase)
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

ENGINE_TEST(P05_tokens_are_kept_and_shown)
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

ENGINE_TEST(P08_default_timeouts_are_5_10_5_seconds)
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
    SAID("ABORT#2>012");
}

ENGINE_TEST(P08_a_timeout_runs_from_the_release_of_the_frames)
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
    SAID("ABORT#1>012");
}

ENGINE_TEST(P09_a_phase_timeout_reissues_no_phase)
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

ENGINE_TEST(P09_answers_before_the_release_do_not_count)
{
    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    cr_assert_eq(kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1), TRI_STALE);
    kit_durable(&kit);
    cr_assert_eq(kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1), TRI_OK);
}

ENGINE_TEST(H01_a_message_brings_its_own_timeouts_within_the_maxima)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    message.timeout_ms[TRI_PHASE_PREPARE] = 300;
    (void)kit_submit_as(&kit, &message, 1);
    (void)kit_said(&kit);
    kit_pass(&kit, 300);
    SAID("ABORT#1>012");
    message = kit_message("n", TRI_GUARANTEED);
    message.timeout_ms[TRI_PHASE_COMMIT] = 60001;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:FIELD_OUT_OF_RANGE");
}

/* ---- GUARANTEED ---- */

ENGINE_TEST(A02_a_refused_prepare_is_a_clean_abort_at_once)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_PREPARE, 1, TRI_ERROR_INVALID_STATE_TRANSITION);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:INVALID_STATE_TRANSITION@2");
}

ENGINE_TEST(A12_a_passing_refusal_is_redelivered_under_R03)
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

ENGINE_TEST(A12_a_final_code_beside_a_passing_one_ends_the_message)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_INVALID_STATE_TRANSITION);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    SAID("ABORT#1>012 OUTCOME=3 FAILED:ROLLED_BACK@3");
}

ENGINE_TEST(A03_a_partial_commit_ends_with_the_evidence_per_chain)
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

ENGINE_TEST(A03_an_unknown_without_an_ok_is_redelivered_and_prepare_tells)
{
    struct tri_event event;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    (void)kit_said(&kit);
    kit_pass(&kit, 10000);
    SAID("ABORT#1>012");
    kit_pass(&kit, 1000);
    SAID("ATTEMPT=3 PREPARE#2>012@3");
    event = kit_ack("m", 2, TRI_PHASE_PREPARE, 2);
    event.phase_ack.already_applied = true;
    (void)kit_step(&kit, &event);
    /* A11: now it is known that chain 2 has applied it; a refusal is no clean abort any more */
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 2, TRI_ERROR_INVALID_STATE_TRANSITION);
    SAID("ABORT#2>012 OUTCOME=4 FAILED:RECONCILIATION_REQUIRED@4");
}

ENGINE_TEST(A11_a_fresh_token_clears_the_doubt)
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
    SAID("DECISION=4 COMMIT#2>012@4");
}

ENGINE_TEST(P13_a_commit_of_an_unknown_message_is_unknown)
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

/* ---- ALL_OR_NOTHING ---- */

ENGINE_TEST(A06_who_committed_or_may_have_is_rolled_back)
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

ENGINE_TEST(P01_commit_waits_for_every_answer)
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

ENGINE_TEST(A12_a_rolled_back_message_is_tried_again_when_all_is_undone)
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

ENGINE_TEST(A07_rollback_frames_are_sent_again_until_the_window_ends)
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

ENGINE_TEST(A07_a_refused_rollback_is_incomplete)
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

ENGINE_TEST(A07_a_rollback_that_finds_a_full_table_is_sent_again)
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

ENGINE_TEST(A05_all_or_nothing_prepare_failure_sends_no_rollback)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_ESCALATION_SEQUENCE);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:ESCALATION_SEQUENCE@2");
    cr_assert_eq(COUNT(rollbacks), 0U);
}

ENGINE_TEST(A04_all_or_nothing_goes_to_every_chain_of_the_asset)
{
    struct tri_message message = kit_message("m", TRI_ALL_OR_NOTHING);

    message.target_count = 1; /* declared: one */
    (void)kit_submit_as(&kit, &message, 1);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>012");
    cr_assert_eq(kit_status(&kit, "m").round.scope_declared, TRI_SCOPE_TARGETS);
    cr_assert_eq(kit_status(&kit, "m").round.scope, TRI_SCOPE_ALL_CHAINS);
    cr_assert_eq(kit_status(&kit, "m").round.map_version, 3U);
}

ENGINE_TEST(A04_no_entry_a_foreign_target_and_an_unknown_chain_are_refused)
{
    struct tri_message message = kit_message("a", TRI_ALL_OR_NOTHING);

    message.assets[0] = kit_text("gold-1");
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:LOCATION_UNKNOWN");
    message = kit_message("b", TRI_ALL_OR_NOTHING);
    message.assets[0] = kit_text("pair-1"); /* lives on two chains only */
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:TARGET_NOT_IN_LOCATION");
    message = kit_message("c", TRI_GUARANTEED);
    message.targets[1] = kit_text("eip155:56");
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:CHAIN_NOT_SUPPORTED");
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
}

ENGINE_TEST(A10_critical_forces_all_or_nothing_and_both_are_kept)
{
    struct tri_message message = kit_message("m", TRI_BEST_EFFORT);
    struct tri_engine_status status;

    message.priority = TRI_PRIORITY_CRITICAL;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>012");
    status = kit_status(&kit, "m");
    cr_assert_eq(status.round.atomicity_declared, TRI_BEST_EFFORT);
    cr_assert_eq(status.round.atomicity, TRI_ALL_OR_NOTHING);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    cr_assert_eq(COUNT(escalations), 1U);
    status = kit_status(&kit, "m"); /* and shown of the closed message too */
    cr_assert_str_eq(status.round.state, "REJECTED");
    cr_assert_eq(status.round.atomicity_declared, TRI_BEST_EFFORT);
    cr_assert_eq(status.round.atomicity, TRI_ALL_OR_NOTHING);
    cr_assert_eq(status.round.scope_declared, TRI_SCOPE_TARGETS);
    cr_assert_eq(status.round.scope, TRI_SCOPE_ALL_CHAINS);
}

/* ---- BEST_EFFORT ---- */

ENGINE_TEST(A01_best_effort_is_one_commit_behind_the_accept_record)
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

ENGINE_TEST(A01_best_effort_without_any_ok_fails_in_its_one_attempt)
{
    kit_submit(&kit, "m", TRI_BEST_EFFORT);
    (void)kit_said(&kit);
    kit_pass(&kit, 10000);
    SAID("OUTCOME=2 FAILED:NO_CHAIN_APPLIED@2");
}

ENGINE_TEST(A01_a_finalize_that_was_asked_for_is_sent_once_to_who_applied)
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

ENGINE_TEST(A09_finalize_is_resent_then_the_result_names_who_lacks_it)
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
    SAID("PROCESSED:FINALIZE_INCOMPLETE");
    cr_assert_eq(kit_status(&kit, "m").round.final_mask, 3U);
    cr_assert_eq(kit_status(&kit, "m").round.applied_mask, 7U);
    cr_assert_eq(COUNT(escalations), 0U);
}

ENGINE_TEST(A09_all_or_nothing_escalates_a_lacking_finalize)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_FINALIZE, 1);
    kit_pass(&kit, 60000);
    cr_assert_eq(COUNT(escalations), 1U);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_FINALIZE_INCOMPLETE);
}

ENGINE_TEST(A09_a_late_finalize_ok_ends_it_at_any_time)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    kit_pass(&kit, 5500); /* the phase failed; the message timer runs */
    (void)kit_said(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
    SAID("PROCESSED");
}

/* ---- durability by number ---- */

ENGINE_TEST(A08_notice_and_finalize_wait_for_the_primary_record)
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
    SAID("PROCESSED");
}

ENGINE_TEST(D01_a_view_shows_the_state_before_until_the_record_is_durable)
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

ENGINE_TEST(D01_a_duplicate_of_a_closing_message_waits_for_the_outcome_record)
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

ENGINE_TEST(D07_after_a_failed_journal_nothing_leaves)
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

/* ---- duplicates, age, capacity ---- */

ENGINE_TEST(R01_a_second_submit_attaches_or_gets_the_stored_result)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    (void)kit_submit_as(&kit, &message, 1);
    (void)kit_said(&kit);
    (void)kit_submit_as(&kit, &message, 2);
    SAID("RECEIVED!2(dup)");
    (void)kit_submit_as(&kit, &message, 2); /* the same client waits once */
    SAID("RECEIVED!2(dup)");
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:UNKNOWN_ASSET@2 REJECTED:UNKNOWN_ASSET!2@2");
    (void)kit_submit_as(&kit, &message, 3);
    SAID("REJECTED:UNKNOWN_ASSET!3(dup)");
    cr_assert_eq(COUNT(duplicates), 3U);
    cr_assert_eq(COUNT(accepted), 1U);
}

ENGINE_TEST(R01_dedup_comes_before_age)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    kit_pass(&kit, 61000); /* older than its ttlSeconds */
    (void)kit_said(&kit);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("REJECTED:UNKNOWN_ASSET(dup)");
    kit_submit(&kit, "n", TRI_GUARANTEED);
    SAID("REJECTED:STALE");
}

ENGINE_TEST(R02_the_same_id_with_other_content_is_equivocation)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    (void)kit_submit_as(&kit, &message, 1);
    message.ttl_s = 61;
    (void)kit_said(&kit);
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:DUPLICATE_ID_MISMATCH");
    cr_assert_eq(COUNT(equivocations), 1U);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "PREPARING");
}

ENGINE_TEST(R05_old_and_early_messages_are_refused)
{
    struct tri_message message = kit_message("old", TRI_GUARANTEED);

    message.timestamp_ms = KIT_WALL_MS - 60000;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>012");
    message = kit_message("older", TRI_GUARANTEED);
    message.timestamp_ms = KIT_WALL_MS - 60001;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:STALE");
    message = kit_message("early", TRI_GUARANTEED);
    message.timestamp_ms = KIT_WALL_MS + 1000;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("ACCEPT=2 RECEIVED@2 PREPARE#1>012");
    message = kit_message("earlier", TRI_GUARANTEED);
    message.timestamp_ms = KIT_WALL_MS + 1001;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:TIMESTAMP_AHEAD");
}

ENGINE_TEST(R06_the_result_outlives_the_lock_ttl_of_its_message)
{
    uint32_t ttl_ms;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    ttl_ms = kit.effects.count == 0 ? kit_status(&kit, "m").round.reservation_ttl_ms : 0;
    /* 60 s + 2 x 4 s + 3 x (5 + 10 + 5 + 60 + 1) s (L01) */
    cr_assert_eq(ttl_ms, 311000U);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    kit_pass(&kit, 311000);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "REJECTED");
    kit_pass(&kit, 2000);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "GONE");
}

ENGINE_TEST(L01_a_lock_that_would_not_outlive_the_retries_is_refused)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    kit_fini(&kit);
    kit_options(&kit);
    /* STATE_SYNC with a TTL of 300 s, five retries of at most 60 s: 600 s are enough, 599 s are not
     */
    kit.options.policies[TRI_TYPE_STATE_SYNC][0] = (struct tri_engine_policy){
        .retries_max = 5,
        .backoff_initial_ms = 1000,
        .backoff_max_ms = 60000,
        .multiplier_permille = 2000,
        .lock_ttl_ms = 599000,
        .dedup_window_ms = 600000,
    };
    kit_start(&kit);
    message.type = TRI_TYPE_STATE_SYNC;
    message.ttl_s = 300;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:LOCK_TTL_TOO_SHORT");
    message.ttl_s = 299;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>012");
}

ENGINE_TEST(L04_a_reservation_that_ends_too_early_aborts_before_the_decision)
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

ENGINE_TEST(R08_a_full_pool_refuses_and_a_closed_message_gives_its_place_back)
{
    char id[16];

    for (uint32_t i = 0; i < 64; i++) {
        (void)snprintf(id, sizeof(id), "m%u", i);
        kit_submit(&kit, id, TRI_GUARANTEED);
    }
    (void)kit_said(&kit);
    kit_submit(&kit, "late", TRI_GUARANTEED);
    SAID("REJECTED:BUSY");
    (void)kit_reject(&kit, "m5", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    (void)kit_said(&kit);
    kit_submit(&kit, "late", TRI_GUARANTEED);
    cr_assert_str_eq(kit_status(&kit, "late").round.state, "PREPARING");
}

ENGINE_TEST(R08_one_waiting_chain_cannot_take_every_place)
{
    struct tri_message message;
    char id[16];

    kit_fini(&kit);
    kit_options(&kit);
    kit.options.chain_share_permille = 250; /* 16 of 64 */
    kit_start(&kit);
    for (uint32_t i = 0; i < 16; i++) {
        (void)snprintf(id, sizeof(id), "m%u", i);
        message = kit_message(id, TRI_GUARANTEED);
        message.targets[0] = kit_text("eip155:10");
        message.target_count = 1;
        (void)kit_submit_as(&kit, &message, 1);
    }
    (void)kit_said(&kit);
    message = kit_message("dead", TRI_GUARANTEED);
    message.targets[0] = kit_text("eip155:10");
    message.target_count = 1;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:BUSY");
    message = kit_message("alive", TRI_GUARANTEED);
    message.target_count = 2; /* the other two */
    (void)kit_submit_as(&kit, &message, 1);
    cr_assert_str_eq(kit_status(&kit, "alive").round.state, "PREPARING");
    (void)kit_said(&kit);
    /* R08 charges a message for the chain it waits for, also while it backs off from it */
    kit_pass(&kit, 5000);
    (void)kit_said(&kit);
    message = kit_message("dead", TRI_GUARANTEED);
    message.targets[0] = kit_text("eip155:10");
    message.target_count = 1;
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:BUSY");
}

ENGINE_TEST(R01_the_ninth_waiter_takes_the_place_of_the_oldest_beside_the_first)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    for (uint64_t client = 1; client <= 9; client++) {
        (void)kit_submit_as(&kit, &message, client);
    }
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:UNKNOWN_ASSET@2 REJECTED:UNKNOWN_ASSET!9@2 "
         "REJECTED:UNKNOWN_ASSET!8@2 REJECTED:UNKNOWN_ASSET!7@2 REJECTED:UNKNOWN_ASSET!6@2 "
         "REJECTED:UNKNOWN_ASSET!5@2 REJECTED:UNKNOWN_ASSET!4@2 REJECTED:UNKNOWN_ASSET!3@2");
    cr_assert_eq(COUNT(waiters_replaced), 1U);
}

/* ---- chains that come and go ---- */

ENGINE_TEST(P14_a_prepare_ok_of_an_attempt_that_is_not_open_is_answered_with_abort)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_pass(&kit, 5000);
    (void)kit_said(&kit);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_PREPARE, 1); /* between the attempts */
    SAID("ABORT#1>chain 1");
    kit_pass(&kit, 1000);
    (void)kit_said(&kit);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_PREPARE, 1); /* of the attempt before */
    SAID("ABORT#1>chain 1");
    (void)kit_ok(&kit, "ghost", 2, TRI_PHASE_PREPARE, 9);
    SAID("ABORT#9>chain 2");
    cr_assert_eq(COUNT(strays_aborted), 3U);
}

ENGINE_TEST(P14_an_abort_goes_to_every_target_also_to_one_that_is_down)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_PREPARE, 1);
    kit_chain(&kit, 2, false, false);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:OPERATOR_REFUSED@2");
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_PREPARE, 1); /* faster than the news that it is back */
    SAID("ABORT#1>chain 2");
    kit_chain(&kit, 2, true, true);
    kit_ask(&kit, "m", 2, TRI_ATTEMPT(KIT_EPOCH, 1)); /* a chain that connects asks (P14) */
    SAID("ABORT#1>chain 2");
}

ENGINE_TEST(P14_a_question_about_a_reservation_is_answered_with_abort_or_by_going_on)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    kit_ask(&kit, "m", 0, TRI_ATTEMPT(KIT_EPOCH, 1));
    SAID("");
    kit_ask(&kit, "m", 0, TRI_ATTEMPT(KIT_EPOCH - 1, 3)); /* of the server's life before */
    SAID("ABORT#3>chain 0");
    kit_ask(&kit, "ghost", 1, TRI_ATTEMPT(KIT_EPOCH, 1));
    SAID("ABORT#1>chain 1");
}

ENGINE_TEST(P15_a_phase_for_a_disconnected_chain_is_sent_when_it_connects)
{
    kit_chain(&kit, 2, false, false);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>01");
    kit_chain(&kit, 2, true, true);
    kit_pass(&kit, 0);
    SAID("PREPARE#1>2");
    cr_assert_eq(COUNT(resends), 0U); /* it was never sent before */
}

ENGINE_TEST(P15_a_fresh_connection_gets_the_open_unanswered_frames_again)
{
    kit_submit(&kit, "a", TRI_GUARANTEED);
    kit_submit(&kit, "b", TRI_GUARANTEED);
    kit_submit(&kit, "c", TRI_ALL_OR_NOTHING);
    (void)kit_ok(&kit, "a", 2, TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "b", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "c", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "c", 2, TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "c", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_reject(&kit, "c", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_LOCK_EXPIRED);
    kit_chain(&kit, 2, false, false);
    kit_pass(&kit, 10);
    (void)kit_said(&kit);
    kit_chain(&kit, 2, true, true);
    kit_pass(&kit, 0);
    SAID("COMMIT#1>2 ROLLBACK#1>2");
    cr_assert_eq(COUNT(resends), 2U);
}

ENGINE_TEST(P15_a_way_that_is_free_again_gets_only_what_was_never_sent)
{
    kit_submit(&kit, "a", TRI_GUARANTEED);
    kit_chain(&kit, 2, false, false);
    kit_submit(&kit, "b", TRI_GUARANTEED);
    (void)kit_said(&kit);
    kit_chain(&kit, 2, true, false);
    kit_pass(&kit, 0);
    SAID("PREPARE#1>2");
}

ENGINE_TEST(R07_a_dead_chain_does_not_touch_messages_that_do_not_target_it)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    kit_chain(&kit, 2, false, false);
    message.target_count = 2;
    (void)kit_submit_as(&kit, &message, 1);
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        (void)kit_ok(&kit, "m", 0, (enum tri_phase)phase, 1);
        (void)kit_ok(&kit, "m", 1, (enum tri_phase)phase, 1);
    }
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "PROCESSED");
}

ENGINE_TEST(R09_a_draining_engine_takes_nothing_new_and_ends_what_is_open)
{
    struct tri_event drain = {.type = TRI_EVENT_DRAIN};

    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_step(&kit, &drain);
    (void)kit_said(&kit);
    kit_submit(&kit, "n", TRI_GUARANTEED);
    SAID("REJECTED:SHUTTING_DOWN");
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("RECEIVED(dup)");
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    SAID("DECISION=2 COMMIT#1>012@2");
}

/* ---- options ---- */

Test(engine_options, every_rule_names_its_field)
{
    kit_options(&kit);
    cr_assert_null(tri_engine_check(&kit.options));
    kit.options.epoch = 0;
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "epoch", 5), 0);
    cr_assert_eq(tri_engine_footprint(&kit.options), 0U);
    kit_options(&kit);
    kit.options.dedup_entries_max = 63;
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "dedup_entries_max", 17), 0);
    kit_options(&kit);
    kit.options.policies[1][0].lock_ttl_ms = 8999; /* L01: 1 s + 2 x 4 s */
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "lock_ttl_ms", 11), 0);
    kit_options(&kit);
    kit.options.policies[1][0].lock_ttl_ms = 60001; /* R06 */
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "dedup_window_ms", 15), 0);
    kit_options(&kit);
    kit.chains[1].id = kit.chains[0].id;
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "chains", 6), 0);
    kit_options(&kit);
    kit.options.chain_share_permille = 1001;
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "chain_share", 11), 0);
}
