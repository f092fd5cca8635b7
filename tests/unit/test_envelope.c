/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes in the engine (F07), told as stories: what is admitted, begun, answered and forgotten.
 */
#include "tests/unit/envelope_kit.h"

TestSuite(envelope, .init = open_bench, .fini = close_bench);

Test(envelope, F07_the_next_delivery_begins_when_the_one_before_has_its_record)
{
    (void)submit("e", 3, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=1 RECEIVED@1 DELIVER0>0own@1");
    (void)recorded(1, 0);
    cr_assert_str_eq(kit_said(&kit), "STEP=2 DELIVER1>0own@2");
    (void)ended(1, 0, PROCESSED);
    cr_assert_str_eq(kit_said(&kit), "");
    (void)ended(1, 1, PROCESSED); /* BEST_EFFORT has no record: its result does */
    cr_assert_str_eq(kit_said(&kit), "STEP=3 DELIVER2>0own@3");
    (void)recorded(1, 2);
    cr_assert_str_eq(kit_said(&kit), "STEP=4");
    (void)ended(1, 2, PROCESSED);
    cr_assert_str_eq(kit_said(&kit), "END=5 PROCESSED@5");
}

Test(envelope, F07_a_failed_delivery_stops_those_not_begun_and_those_with_a_record_stand)
{
    (void)submit("e", 3, 1, "pay");
    (void)recorded(1, 0);
    kit_said(&kit);
    (void)ended(1, 1, FAILED);
    cr_assert_str_eq(kit_said(&kit), "STEP=3");
    (void)ended(1, 0, PROCESSED);
    cr_assert_str_eq(kit_said(&kit), "END=4 FAILED:MAX_RETRIES_EXCEEDED@4");
}

Test(envelope, F07_its_rows_say_what_became_of_each_delivery)
{
    const struct tri_effect *effect;

    (void)submit("e", 3, 1, "pay");
    (void)recorded(1, 0);
    (void)ended(1, 0, PROCESSED);
    kit.is_slow = true;
    (void)ended(1, 1, FAILED);
    effect = &kit.effects.at[kit.effects.count - 1];
    cr_assert_eq(effect->notify.kind, TRI_NOTIFY_ENVELOPE);
    cr_assert_eq(effect->round.id.bytes, 1);
    cr_assert_eq(effect->notify.row_count, 3);
    cr_assert_eq(effect->notify.rows[0].type, TRI_ACK_PROCESSED);
    cr_assert_eq(effect->notify.rows[0].code, TRI_ERROR_NONE);
    cr_assert_eq(effect->notify.rows[1].type, TRI_ACK_FAILED);
    cr_assert_eq(effect->notify.rows[1].code, TRI_ERROR_MAX_RETRIES_EXCEEDED);
    cr_assert_eq(effect->notify.rows[2].type, TRI_ACK_REJECTED);
    cr_assert_eq(effect->notify.rows[2].code, TRI_ERROR_ENVELOPE_STOPPED);
    cr_assert_arr_eq(effect->notify.rows[2].id.at, "e.3", 3);
}

Test(envelope, R09_nothing_began_is_rejected)
{
    (void)submit("e", 2, 1, "pay");
    kit_said(&kit);
    (void)ended(1, 0, REJECTED);
    cr_assert_str_eq(kit_said(&kit), "END=2 REJECTED:STALE@2");
}

Test(envelope, A08_a_delivery_with_a_record_has_not_failed)
{
    (void)submit("e", 1, 1, "pay");
    (void)recorded(1, 0);
    kit_said(&kit);
    (void)ended(1, 0, REJECTED); /* its result has been forgotten meanwhile */
    cr_assert_str_eq(kit_said(&kit), "END=3 PROCESSED@3");
}

Test(envelope, R08_a_delivery_that_finds_no_room_is_submitted_again)
{
    (void)submit("e", 2, 1, "pay");
    kit_said(&kit);
    (void)refused(1, 0, TRI_ERROR_BUSY);
    cr_assert_str_eq(kit_said(&kit), "");
    kit_pass(&kit, 249);
    cr_assert_str_eq(kit_said(&kit), "");
    kit_pass(&kit, 1);
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own"); /* nobody else is told again */
    (void)refused(1, 0, TRI_ERROR_SHUTTING_DOWN);
    (void)ended(1, 0, PROCESSED); /* an answer to the submit before */
    cr_assert_str_eq(kit_said(&kit), "STEP=2 DELIVER1>0own@2");
    kit_pass(&kit, 1000);
    cr_assert_str_eq(kit_said(&kit), "");
}

Test(envelope, R08_it_waits_twice_as_long_each_time_up_to_8_s)
{
    static const uint32_t waits_ms[] = {250, 500, 1000, 2000, 4000, 8000, 8000};

    (void)submit("e", 2, 1, "pay");
    kit_said(&kit);
    for (uint32_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
        (void)refused(1, 0, TRI_ERROR_BUSY);
        kit_pass(&kit, waits_ms[i] - 1);
        cr_assert_str_eq(kit_said(&kit), "", "wait %u", i);
        kit_pass(&kit, 1);
        cr_assert_str_eq(kit_said(&kit), "DELIVER0>own", "wait %u", i);
    }
    (void)recorded(1, 0);
    (void)refused(1, 1, TRI_ERROR_BUSY);
    kit_said(&kit);
    kit_pass(&kit, 250); /* it is another's turn */
    cr_assert_str_eq(kit_said(&kit), "DELIVER1>own");
}

/* The wait of the envelope in slot 1 begins while that in slot 0 waits its second time. */
static void check_order(uint64_t later_ms, uint32_t first, uint64_t first_ms, uint64_t second_ms)
{
    struct tri_event event = news_of(1, 2, 0);

    (void)submit("e", 1, 1, "pay");
    (void)submit("f", 1, 1, "pay");
    (void)refused(1, 0, TRI_ERROR_BUSY);
    kit_pass(&kit, 250);
    (void)refused(1, 0, TRI_ERROR_BUSY); /* 500 ms */
    kit_pass(&kit, later_ms);
    event.delivery.type = TRI_ACK_REJECTED;
    event.delivery.code = TRI_ERROR_BUSY;
    event.delivery.is_refusal = true;
    (void)kit_step(&kit, &event); /* 250 ms */
    kit_said(&kit);
    kit_pass(&kit, first_ms - 1);
    cr_assert_str_eq(kit_said(&kit), "");
    kit_pass(&kit, 1);
    cr_assert_eq(kit.effects.at[0].deliver.slot, first);
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own");
    kit_pass(&kit, second_ms);
    cr_assert_eq(kit.effects.at[0].deliver.slot, 1 - first);
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own");
}

Test(envelope, R08_who_waits_less_long_comes_first)
{
    check_order(0, 1, 250, 250);
}

Test(envelope, R08_and_who_has_waited_longer)
{
    check_order(400, 0, 100, 150);
}

Test(envelope, R08_once_it_is_accepted_the_clients_are_told_of_it)
{
    (void)submit("e", 1, 1, "pay");
    (void)submit("e", 1, 5, "pay");
    (void)refused(1, 0, TRI_ERROR_BUSY);
    kit_pass(&kit, 250);
    kit_said(&kit);
    cr_assert_eq(ended(1, 0, TRI_ACK_RECEIVED, TRI_ERROR_NONE), TRI_OK);
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>01");
}

Test(envelope, F07_a_chain_that_refuses_by_the_name_of_a_passing_fault_has_refused)
{
    (void)submit("e", 2, 1, "pay");
    kit_said(&kit);
    (void)ended(1, 0, TRI_ACK_REJECTED, TRI_ERROR_JOURNAL_FAILED);
    cr_assert_str_eq(kit_said(&kit), "END=2 REJECTED:JOURNAL_FAILED@2");
    (void)submit("f", 2, 1, "pay");
    (void)recorded(1, 0);
    kit_said(&kit);
    kit_pass(&kit, 10000);
    cr_assert_str_eq(kit_said(&kit), "");
}

Test(envelope, R01_news_that_come_twice_or_too_late_change_nothing)
{
    (void)submit("e", 2, 1, "pay");
    cr_assert_eq(recorded(2, 0), TRI_STALE); /* of another use of the slot */
    cr_assert_eq(recorded(1, 1), TRI_STALE); /* not begun */
    cr_assert_eq(recorded(1, 0), TRI_OK);
    cr_assert_eq(recorded(1, 0), TRI_STALE);
    cr_assert_eq(ended(1, 0, PROCESSED), TRI_OK);
    cr_assert_eq(ended(1, 0, FAILED), TRI_STALE);
    cr_assert_eq(ended(1, 1, PROCESSED), TRI_OK);
    cr_assert_eq(ended(1, 1, PROCESSED), TRI_STALE);
}

Test(envelope, R01_a_second_submit_attaches_and_gets_what_runs)
{
    (void)submit("e", 3, 1, "pay");
    (void)recorded(1, 0);
    kit_said(&kit);
    (void)submit("e", 3, 2, "pay");
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>1 DELIVER1>1 RECEIVED!2(dup)");
    (void)submit("e", 3, 2, "pay"); /* he is told once */
    cr_assert_str_eq(kit_said(&kit), "RECEIVED!2(dup)");
    (void)ended(1, 0, PROCESSED);
    (void)ended(1, 1, FAILED);
    cr_assert_str_eq(kit_said(&kit), "END=3 FAILED:MAX_RETRIES_EXCEEDED@3 "
                                     "FAILED:MAX_RETRIES_EXCEEDED!2@3");
    (void)submit("e", 3, 5, "pay");
    cr_assert_str_eq(kit_said(&kit), "FAILED:MAX_RETRIES_EXCEEDED!5(dup)");
    cr_assert_eq(kit.effects.count, 0); /* of the step that made the record durable */
}

Test(envelope, R01_the_newest_of_too_many_clients_takes_the_place_of_an_old_one)
{
    for (uint64_t client = 1; client <= 8; client++) {
        (void)submit("e", 1, client, "pay");
    }
    kit_said(&kit);
    (void)submit("e", 1, 9, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY!2(dup) DELIVER0>1 RECEIVED!9(dup)");
    (void)submit("e", 1, 10, "pay"); /* the others keep their places, by which they are named */
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY!3(dup) DELIVER0>2 RECEIVED!10(dup)");
    (void)ended(1, 0, PROCESSED);
    cr_assert_str_eq(kit_said(&kit), "END=2 PROCESSED@2 PROCESSED!9@2 PROCESSED!10@2 "
                                     "PROCESSED!4@2 PROCESSED!5@2 PROCESSED!6@2 PROCESSED!7@2 "
                                     "PROCESSED!8@2");
}

Test(envelope, R01_the_oldest_gives_way_each_time)
{
    for (uint64_t client = 1; client <= 15; client++) {
        (void)submit("e", 1, client, "pay");
    }
    kit_said(&kit);
    (void)submit("e", 1, 16, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY!9(dup) DELIVER0>1 RECEIVED!16(dup)");
}

Test(envelope, R02_other_content_under_a_known_id_is_refused)
{
    (void)submit("e", 2, 1, "pay");
    kit_said(&kit);
    (void)submit("e", 2, 2, "other");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:DUPLICATE_ID_MISMATCH!2");
    (void)submit("e", 1, 2, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:DUPLICATE_ID_MISMATCH!2");
    cr_assert_eq(tri_engine_counters(kit.engine)->equivocations, 2);
}

Test(envelope, R02_a_message_may_have_the_id_of_an_envelope)
{
    (void)submit("e", 1, 1, "pay");
    kit_said(&kit);
    kit_submit(&kit, "e", TRI_BEST_EFFORT);
    cr_assert_str_eq(kit_said(&kit), "ACCEPT=2 RECEIVED@2 COMMIT#1>012@2");
}

Test(envelope, D01_nothing_is_told_or_begun_before_it_is_durable)
{
    kit.is_slow = true;
    (void)submit("e", 1, 1, "pay");
    (void)submit("e", 1, 2, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=1 RECEIVED@1 DELIVER0>0own@1 DELIVER0>1@1 "
                                     "RECEIVED!2(dup)@1");
    (void)ended(1, 0, PROCESSED);
    (void)submit("e", 1, 3, "pay");
    cr_assert_str_eq(kit_said(&kit), "END=2 PROCESSED@2 PROCESSED!2@2 PROCESSED!3(dup)@2");
}

Test(envelope, R08_a_full_pool_refuses_until_something_is_forgotten)
{
    static const char *const ids[] = {"a", "b", "c", "d"};

    for (uint32_t i = 0; i < 4; i++) {
        (void)submit(ids[i], 1, 1, "pay");
    }
    kit_said(&kit);
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
    (void)ended(1, 0, PROCESSED);
    kit_said(&kit);
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY"); /* the result is kept */
    kit_pass(&kit, 62000);
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=6 RECEIVED@6 DELIVER0>0own@6");
    cr_assert_eq(recorded(1, 0), TRI_STALE); /* the slot is another's */
    (void)submit("a", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY"); /* forgotten: it is new */
    cr_assert_eq(tri_engine_counters(kit.engine)->envelopes_refused, 3);
}

Test(envelope, R08_envelopes_leave_half_of_the_bodies_to_their_deliveries)
{
    kept_close(&kit);
    kit_options(&kit);
    kit.options.envelopes_max = 4;
    kit.options.body_counts[0] = 0;
    kit.options.body_counts[1] = 5;
    kit_start(&kit);
    for (uint32_t i = 0; i < 2; i++) {
        (void)submit(i == 0 ? "a" : "b", 1, 1, "pay");
    }
    kit_said(&kit);
    (void)submit("c", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
    (void)ended(1, 0, PROCESSED); /* an ended one holds no body */
    kit_said(&kit);
    (void)submit("c", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=4 RECEIVED@4 DELIVER0>0own@4");
}

Test(envelope, R08_a_submitter_holds_no_more_than_its_share)
{
    kept_close(&kit);
    kit_options(&kit);
    kit.options.envelopes_max = 4;
    kit.options.submitters_max = 2;
    kit.options.submitter_share_permille = 500;
    kit_start(&kit);
    kit.submitter = 1;
    (void)submit("a", 1, 1, "pay");
    (void)submit("b", 1, 1, "pay");
    kit_said(&kit);
    (void)submit("c", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
    kit.submitter = 2;
    (void)submit("c", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=3 RECEIVED@3 DELIVER0>0own@3");
}

/* Two submitters have half of everything each. */
static void open_shares(uint32_t envelopes, uint32_t bodies)
{
    kept_close(&kit);
    kit_options(&kit);
    kit.options.envelopes_max = envelopes;
    kit.options.submitters_max = 2;
    kit.options.submitter_share_permille = 500;
    kit.options.body_counts[0] = 0;
    kit.options.body_counts[1] = bodies;
    kit_start(&kit);
    kit.submitter = 1;
}

Test(envelope, R08_a_submitter_gets_its_share_back_when_it_is_forgotten)
{
    struct tri_event event = news_of(1, 2, 0);

    open_shares(4, 64);
    (void)submit("a", 1, 1, "pay");
    (void)submit("b", 1, 1, "pay");
    (void)ended(1, 0, PROCESSED);
    event.delivery.type = TRI_ACK_PROCESSED;
    (void)kit_step(&kit, &event);
    kit_pass(&kit, 59000);
    kit_said(&kit);
    (void)submit("c", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY"); /* two slots of four are free */
    kit_pass(&kit, 3000);
    (void)submit("c", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=5 RECEIVED@5 DELIVER0>0own@5");
}

Test(envelope, R08_the_envelopes_of_a_submitter_leave_room_to_its_deliveries)
{
    open_shares(16, 8); /* four are its share, and two of them its envelopes' */
    (void)submit("a", 1, 1, "pay");
    (void)submit("b", 1, 1, "pay");
    kit_said(&kit);
    (void)submit("c", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
    kit_submit(&kit, "a.1", TRI_BEST_EFFORT);
    kit_submit(&kit, "b.1", TRI_BEST_EFFORT);
    cr_assert_str_eq(kit_said(&kit), "ACCEPT=3 RECEIVED@3 COMMIT#1>012@3 "
                                     "ACCEPT=4 RECEIVED@4 COMMIT#1>012@4");
    kit_submit(&kit, "m", TRI_BEST_EFFORT);
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY"); /* all together it has no more than before */
}

Test(envelope, R08_the_smallest_share_takes_an_envelope_and_its_delivery)
{
    open_shares(4, 2);
    (void)submit("a", 1, 1, "pay");
    kit_said(&kit);
    kit_submit(&kit, "a.1", TRI_BEST_EFFORT);
    cr_assert_str_eq(kit_said(&kit), "ACCEPT=2 RECEIVED@2 COMMIT#1>012@2");
}

Test(envelope, R08_without_a_pool_every_envelope_is_refused)
{
    kept_close(&kit);
    kit_init(&kit);
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
}

Test(envelope, D07_a_broken_journal_stops_it)
{
    struct tri_event event = {.type = TRI_EVENT_JOURNAL_FAILED};

    (void)submit("e", 2, 1, "pay");
    event.journal.lsn = 2;
    (void)kit_step_only(&kit, &event);
    kit.is_slow = true;
    kit_said(&kit);
    cr_assert_eq(recorded(1, 0), TRI_STALE);
    (void)submit("f", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:JOURNAL_FAILED");
}

Test(envelope, F07_a_server_that_drains_takes_no_envelope_and_goes_on_with_the_open_ones)
{
    struct tri_event event = {.type = TRI_EVENT_DRAIN};

    (void)submit("e", 2, 1, "pay");
    (void)kit_step(&kit, &event);
    kit_said(&kit);
    (void)submit("f", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:SHUTTING_DOWN");
    (void)recorded(1, 0);
    cr_assert_str_eq(kit_said(&kit), "STEP=2 DELIVER1>0own@2");
}
