/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains that come and go, by the effects: what is sent to a chain again, what it is told about
 * reservations that nobody waits for, and whom its absence does not touch.  engine_kit.h explains
 * how an effect is written.
 */
#include <criterion/criterion.h>

#include "tests/unit/engine_kit.h"

KIT_BENCH

/* ---- reservations that nobody waits for ---- */

ENGINE_TEST(resend, P14_a_prepare_ok_of_an_attempt_that_is_not_open_is_answered_with_abort)
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

ENGINE_TEST(resend, P14_an_abort_goes_to_every_target_also_to_one_that_is_down)
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

ENGINE_TEST(resend, P14_a_question_about_a_reservation_is_answered_with_abort_or_by_going_on)
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

ENGINE_TEST(resend, D02_without_a_decision_record_a_message_is_aborted)
{
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 2}};

    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_durable(&kit);
    (void)kit_said(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    SAID("DECISION=2 COMMIT#1>012@2"); /* COMMIT waits for the record ... */
    (void)kit_step(&kit, &failed);     /* ... which is lost */
    SAID("");
    kit_fini(&kit);
    kit_options(&kit);
    kit.options.epoch = KIT_EPOCH + 1;
    kit_start(&kit);
    kit_ask(&kit, "m", 0, TRI_ATTEMPT(KIT_EPOCH, 1)); /* a chain that still holds its reservation */
    SAID("ABORT#1>chain 0");
}

/* ---- frames that are sent again ---- */

ENGINE_TEST(resend, P15_a_phase_for_a_disconnected_chain_is_sent_when_it_connects)
{
    kit_chain(&kit, 2, false, false);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>01");
    kit_chain(&kit, 2, true, true);
    kit_pass(&kit, 0);
    SAID("PREPARE#1>2");
    cr_assert_eq(COUNT(resends), 0U); /* it was never sent before */
}

ENGINE_TEST(resend, P15_a_fresh_connection_gets_the_open_unanswered_frames_again)
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

ENGINE_TEST(resend, P15_a_way_that_is_free_again_gets_only_what_was_never_sent)
{
    kit_submit(&kit, "a", TRI_GUARANTEED);
    kit_chain(&kit, 2, false, false);
    kit_submit(&kit, "b", TRI_GUARANTEED);
    (void)kit_said(&kit);
    kit_chain(&kit, 2, true, false);
    kit_pass(&kit, 0);
    SAID("PREPARE#1>2");
}

/* ---- others ---- */

ENGINE_TEST(resend, R07_a_dead_chain_does_not_touch_messages_that_do_not_target_it)
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
