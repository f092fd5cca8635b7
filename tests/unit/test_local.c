/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: chains in this process are told what connected ones would be told, in
 * the order of the protocol, and never before the record that it waits for.
 *
 * Method: the stand's chains log every call; the journal is durable when the
 * test says so.
 */
#include <criterion/criterion.h>

#include "tests/unit/handle_kit.h"

static void all_later(struct stand *stand)
{
    for (uint32_t i = 0; i < stand->kit->options.engine.chain_count; i++) {
        stand->chains[i].mode = STAND_LATER;
    }
}

Test(local, P01_phases_in_order_one_message_after_the_other)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand_start(stand);
    cr_assert_eq(stand_submit(stand, "a", 1), TRI_OK);
    cr_assert_eq(stand_submit(stand, "b", 2), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_told(stand), "PREPARE#1>0[] PREPARE#1>1[] PREPARE#1>2[] "
                                        "COMMIT#1>0[t0] COMMIT#1>1[t1] COMMIT#1>2[t2] "
                                        "FINALIZE#1>0[t0] FINALIZE#1>1[t1] FINALIZE#1>2[t2] "
                                        "PREPARE#1>0[] PREPARE#1>1[] PREPARE#1>2[] "
                                        "COMMIT#1>0[t0] COMMIT#1>1[t1] COMMIT#1>2[t2] "
                                        "FINALIZE#1>0[t0] FINALIZE#1>1[t1] FINALIZE#1>2[t2]");
    cr_expect_eq(kit_counter(stand->kit, "orders"), 18);
    cr_expect_eq(kit_counter(stand->kit, "answers_at_once"), 18);
    cr_expect_eq(kit_counter(stand->kit, "acks_counted"), 18);
    stand_free(stand);
}

Test(local, P02_an_order_says_what_a_frame_says)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_message message = stand_message(stand, "m");
    const struct tri_order *order = &stand->chains[1].last;
    const struct tri_content *content = &stand->chains[1].content;

    stand_start(stand);
    all_later(stand);
    message.envelope = (struct tri_envelope){true, {"e", 1}, 2, 3};
    message.signature = (struct tri_signature){
        true, TRI_SIGNATURE_THRESHOLD, {(const uint8_t *)"sig", 3}, {"s", 1}, 2};
    cr_assert_eq(tri_handle_submit(stand->handle, &message, 1), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_eq(order->ticket.kind, TRI_SEND_PREPARE);
    cr_expect_eq(order->ticket.attempt, TRI_ATTEMPT(7, 1));
    cr_expect_eq(order->ticket.chain, 1);
    cr_expect_eq(order->ticket.id_bytes, 1);
    cr_expect_eq(order->ticket.id[0], 'm');
    cr_expect_eq(order->now_ns, stand->kit->now_ns);
    cr_expect_eq(order->wall_ms, KIT_WALL_MS);
    cr_expect_eq(order->atomicity, TRI_GUARANTEED);
    cr_expect_eq(order->tokens.bytes, 1);
    /* 60 s TTL, 2 retries of 4 s, three times the phases, the rollback window and the clocks (L01)
     */
    cr_expect_eq(order->reservation_ttl_ms, 60000 + 8000 + 3 * (20000 + 60000 + 1000));
    cr_expect_eq(order->expires_at_ms, KIT_WALL_MS + order->reservation_ttl_ms);
    cr_expect_eq(order->affected_count, 0);
    cr_expect_eq(content->type, TRI_TYPE_REGULATORY_ACTION);
    cr_expect_eq(content->asset_count, 1);
    cr_expect_arr_eq(content->assets[0].at, "bond-1", 6);
    cr_expect_arr_eq(content->payload.at, "payload", 7);
    cr_expect_eq(content->payload.bytes, 7);
    cr_expect_eq(content->envelope.m, 3);
    cr_expect_eq(content->signature.threshold, 2);
    (void)stand_answer_all(stand, stand->handle);
    cr_expect_eq(order->ticket.kind, TRI_SEND_COMMIT);
    cr_expect_eq(order->reservation_ttl_ms, 0); /* PREPARE's alone */
    cr_expect_gt(order->tokens.bytes, 1);       /* P05 */
    stand_free(stand);
}

Test(local, A06_rollback_names_the_chains_the_reason_and_the_deadline)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_message message = stand_message(stand, "m");
    struct tri_engine_location location = {kit_text("bond-*"), (uint16_t[]){0, 1, 2}, 3};
    const struct tri_order *order = &stand->chains[1].last;

    stand->kit->options.engine.locations = &location;
    stand->chains[2].mode = STAND_NO;
    stand->chains[2].no_to = TRI_SEND_COMMIT;
    stand_start(stand);
    message.atomicity = TRI_ALL_OR_NOTHING;
    cr_assert_eq(tri_handle_submit(stand->handle, &message, 1), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_told(stand), "PREPARE#1>0[] PREPARE#1>1[] PREPARE#1>2[] "
                                        "COMMIT#1>0[t0] COMMIT#1>1[t1] COMMIT#1>2[t2] "
                                        "ROLLBACK#1>0[t0] ROLLBACK#1>1[t1] ABORT#1>2[t2]");
    cr_expect_eq(order->ticket.kind, TRI_SEND_ROLLBACK);
    cr_expect_eq(order->reason, TRI_ERROR_OPERATOR_REFUSED);
    cr_expect_eq(order->affected_count, 2);
    cr_expect_eq(order->affected[0], 0);
    cr_expect_eq(order->affected[1], 1);
    cr_expect_eq(order->rollback_deadline_ms, KIT_WALL_MS + 60000);
    cr_expect_eq(order->inner.bytes, 0);
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:FAILED:ROLLED_BACK");
    stand_free(stand);
}

Test(local, A02_a_refused_prepare_aborts_and_ends)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand->chains[1].mode = STAND_NO;
    stand->chains[1].no_to = TRI_SEND_PREPARE;
    stand_start(stand);
    stand_run(stand, "m", 1);
    cr_expect_str_eq(stand_told(stand), "PREPARE#1>0[] PREPARE#1>1[] PREPARE#1>2[] "
                                        "ABORT#1>0[t0] ABORT#1>1[] ABORT#1>2[] "
                                        /* P14: the yes of chain 2 is taken in behind the no */
                                        "ABORT#1>2[]");
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:REJECTED:OPERATOR_REFUSED");
    stand_free(stand);
}

Test(local, P07_late_doubled_and_stray_answers_do_no_harm)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_handle *other = NULL;
    struct tri_ticket old;
    struct tri_answer answer;

    stand_start(stand);
    other = tri_handle_claim(stand->kit->set);
    all_later(stand);
    stand_run(stand, "m", 1);
    old = stand->tickets[0];
    cr_assert_eq(old.kind, TRI_SEND_PREPARE);
    cr_expect_eq(stand_answer_all(stand, other), 3);
    (void)tri_answer_accept(&old, &answer);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(tri_handle_answer(other, &old, &answer), TRI_OK);
    }
    tri_handle_flush(other);
    stand_rest(stand);
    cr_expect_eq(kit_counter(stand->kit, "acks_late"), 3);
    cr_expect_eq(stand_answer_all(stand, other), 3);
    cr_expect_eq(stand_answer_all(stand, other), 3);
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:FINAL 1:PROCESSED");
    stand_free(stand);
}

Test(local, P04_an_answer_that_does_not_fit_its_order_is_refused)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_answer answer;

    stand_start(stand);
    all_later(stand);
    stand_run(stand, "m", 1);
    (void)tri_answer_accept(&stand->tickets[0], &answer);
    answer.type = TRI_ACK_PROCESSED;
    cr_expect_eq(tri_handle_answer(stand->handle, &stand->tickets[0], &answer), TRI_VIOLATION);
    (void)tri_answer_accept(&stand->tickets[0], &answer);
    stand->tickets[0].chain = KIT_CHAINS;
    cr_expect_eq(tri_handle_answer(stand->handle, &stand->tickets[0], &answer), TRI_VIOLATION);
    cr_expect_eq(tri_handle_ask_reservation(stand->handle, &stand->tickets[0]), TRI_VIOLATION);
    stand->tickets[0].chain = 0;
    stand->tickets[0].kind = TRI_SEND_COUNT;
    cr_expect_eq(tri_handle_answer(stand->handle, &stand->tickets[0], &answer), TRI_VIOLATION);
    stand->tickets[0].kind = TRI_SEND_PREPARE;
    stand->tickets[0].id_bytes = 65;
    cr_expect_eq(tri_handle_answer(stand->handle, &stand->tickets[0], &answer), TRI_VIOLATION);
    stand->tickets[0].id_bytes = 1;
    cr_expect_eq(tri_handle_answer(stand->handle, &stand->tickets[0], &answer), TRI_OK);
    stand_free(stand);
}

Test(local, P14_a_reservation_that_nobody_waits_for_is_aborted)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    const struct tri_order *order = &stand->chains[2].last;
    struct tri_ticket ticket = {.attempt = TRI_ATTEMPT(6, 4),
                                .chain = 2,
                                .kind = TRI_SEND_PREPARE,
                                .id_bytes = 7,
                                .id = "unknown"};
    struct tri_answer answer;
    static const struct tri_hash none;

    stand_start(stand);
    ticket.key = tri_seed_key(&(struct tri_seed){{0}}, kit_text("unknown"));
    cr_assert_eq(tri_handle_ask_reservation(stand->handle, &ticket), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_told(stand), "ABORT#4>2[]");
    cr_expect_eq(order->ticket.attempt, TRI_ATTEMPT(6, 4));
    cr_expect_eq(order->ticket.id_bytes, 7);
    cr_expect_arr_eq(order->ticket.id, "unknown", 7);
    cr_expect_arr_eq(order->hash.at, none.at, sizeof(none.at));
    /* The same for a PREPARE_OK of an attempt that is not open, even of a chain that is away. */
    cr_assert_eq(tri_handle_chain(stand->handle, 2, false), TRI_OK);
    (void)tri_answer_accept(&ticket, &answer);
    cr_assert_eq(tri_handle_answer(stand->handle, &ticket, &answer), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_told(stand), "ABORT#4>2[]");
    stand_free(stand);
}

Test(local, P15_orders_wait_for_a_chain_that_is_away)
{
    for (uint32_t shards = 1; shards <= 2; shards++) {
        struct stand *stand = stand_new(shards, KIT_CHAINS);

        stand_start(stand);
        cr_assert_eq(tri_handle_chain(stand->handle, 1, false), TRI_OK);
        stand_run(stand, "m", 1);
        cr_expect_str_eq(stand_told(stand), "PREPARE#1>0[] PREPARE#1>2[]");
        cr_assert_eq(tri_handle_chain(stand->handle, 1, true), TRI_OK);
        tri_handle_flush(stand->handle);
        stand_rest(stand);
        cr_expect_str_eq(stand_told(stand), "PREPARE#1>1[] "
                                            "COMMIT#1>0[t0] COMMIT#1>1[t1] COMMIT#1>2[t2] "
                                            "FINALIZE#1>0[t0] FINALIZE#1>1[t1] FINALIZE#1>2[t2]");
        stand_free(stand);
    }
}

Test(local, P15_unanswered_orders_are_repeated_to_a_chain_that_comes_back)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand_start(stand);
    stand->chains[1].mode = STAND_LATER;
    stand_run(stand, "m", 1);
    (void)stand_told(stand);
    cr_assert_eq(tri_handle_chain(stand->handle, 1, false), TRI_OK);
    cr_assert_eq(tri_handle_chain(stand->handle, 1, true), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_told(stand), "PREPARE#1>1[]");
    cr_expect_eq(stand->ticket_count, 2);
    (void)stand_answer_all(stand, stand->handle); /* both, P06 */
    (void)stand_answer_all(stand, stand->handle);
    (void)stand_answer_all(stand, stand->handle);
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:FINAL 1:PROCESSED");
    stand_free(stand);
}

/* ---- the journal ---- */

Test(local, D01_nothing_is_told_before_its_record_is_durable)
{
    struct stand_journal journal = {0};
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand_start(stand);
    stand_keep(stand, &journal);
    stand_run(stand, "m", 1);
    /* The first PREPARE need not wait; its answers may come before the accept record is durable. */
    cr_expect_str_eq(stand_told(stand), "PREPARE#1>0[] PREPARE#1>1[] PREPARE#1>2[]");
    cr_expect_str_eq(stand_heard(stand->handle), "");
    cr_expect_eq(journal.appended, 2);
    journal.durable = 1;
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED");
    cr_expect_str_eq(stand_told(stand), "");
    stand_flush(stand, &journal); /* the decision */
    cr_expect_str_eq(stand_told(stand), "COMMIT#1>0[t0] COMMIT#1>1[t1] COMMIT#1>2[t2]");
    cr_expect_str_eq(stand_heard(stand->handle), "");
    stand_flush(stand, &journal); /* the primary record */
    cr_expect_str_eq(stand_told(stand), "FINALIZE#1>0[t0] FINALIZE#1>1[t1] FINALIZE#1>2[t2]");
    cr_expect_str_eq(stand_heard(stand->handle), "1:FINAL 1:PROCESSED");
    cr_expect_eq(stand->chains[0].last.inner.bytes > 0, true);
    stand_free(stand);
}

Test(local, D01_many_wait_and_leave_in_the_order_of_their_records)
{
    struct stand_journal journals[2] = {{0}};
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_news news;
    uint32_t submitted = 0;
    uint32_t ended = 0;

    stand->kit->options.hold_bytes = 180096; /* the least: news waits for room, too */
    stand->kit->options.in_flight_max = 8192;
    stand->kit->options.handle_blocks = 64;
    stand->is_mute = true;
    stand_start(stand);
    stand_keep(stand, journals);
    while (ended < 6000) {
        while (submitted < 6000 && stand_submit(stand, stand_name(submitted), 1) == TRI_OK) {
            submitted++;
        }
        tri_handle_flush(stand->handle);
        stand_flush(stand, journals);
        while (tri_handle_poll(stand->handle, &news, 1) == 1) {
            cr_expect(news.kind != TRI_NEWS_ENDED || news.ack_type == TRI_ACK_PROCESSED);
            ended += news.kind == TRI_NEWS_ENDED ? 1 : 0;
        }
    }
    cr_expect_eq(kit_counter(stand->kit, "processed"), 6000);
    cr_expect_eq(kit_counter(stand->kit, "orders"), 54000);
    cr_expect_eq(kit_counter(stand->kit, "resends"), 0);
    cr_expect_eq(kit_counter(stand->kit, "frames_dropped"), 0);
    cr_expect_gt(kit_counter(stand->kit, "effects_held"), 0);
    cr_expect_gt(kit_counter(stand->kit, "mesh_stalls"), 0);
    stand_free(stand);
}

Test(local, D07_what_waits_for_a_record_that_failed_is_never_told)
{
    struct stand_journal journal = {0};
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand_start(stand);
    stand_keep(stand, &journal);
    stand_run(stand, "m", 1);
    (void)stand_told(stand);
    journal.durable = 1;
    journal.failed = 2;
    stand_rest(stand);
    stand_pass(stand, 120000);
    cr_expect_str_eq(stand_told(stand), "");
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED");
    stand_run(stand, "n", 2);
    cr_expect_str_eq(stand_heard(stand->handle), "2:REJECTED:JOURNAL_FAILED");
    stand_free(stand);
}

/* More waiting orders than there are places: only repetitions can be so many, and none is missed.
 */
Test(local, P15_a_chain_that_comes_and_goes_while_the_journal_is_slow)
{
    struct stand_journal journal = {0};
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand->kit->options.engine.rounds_max = 64; /* 128 orders may wait */
    stand->kit->options.engine.dedup_entries_max = 64;
    stand_start(stand);
    stand_keep(stand, &journal);
    for (uint32_t i = 0; i < 40; i++) {
        stand_run(stand, stand_name(i), i);
    }
    (void)stand_told(stand);
    stand->kit->now_ns += TRI_NS_PER_MS;
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(tri_handle_chain(stand->handle, 1, false), TRI_OK);
        tri_handle_flush(stand->handle);
        stand_rest(stand);
        cr_assert_eq(tri_handle_chain(stand->handle, 1, true), TRI_OK);
        tri_handle_flush(stand->handle);
        stand_rest(stand);
    }
    cr_expect_gt(kit_counter(stand->kit, "frames_dropped"), 0);
    cr_expect_str_eq(stand_told(stand), "");
    for (uint32_t i = 0; i < 4; i++) {
        stand_flush(stand, &journal);
    }
    cr_expect_eq(kit_counter(stand->kit, "processed"), 40);
    stand_free(stand);
}

/* The bounds of the line of answers: messages of 64 targets, all of them answered at once, and
 * timers that fall due together. */
Test(local, sixty_four_targets_and_many_timers_stay_within_the_bounds)
{
    struct stand *stand = stand_new(1, STAND_CHAINS_MAX);
    char word[32];

    stand->is_mute = true;
    stand->kit->options.in_flight_max = 64;
    stand->kit->options.engine.body_counts[2] = 64;
    stand->kit->options.engine.body_counts[3] = 64;
    stand_start(stand);
    for (uint32_t i = 0; i < STAND_CHAINS_MAX; i++) {
        stand->chains[i].mode = i == 63 ? STAND_LATER : STAND_YES;
    }
    for (uint32_t i = 0; i < 64; i++) {
        struct tri_message message;

        (void)snprintf(word, sizeof(word), "wide-%u", i);
        message = stand_message(stand, word);
        message.target_count = STAND_CHAINS_MAX;
        for (uint32_t k = 0; k < STAND_CHAINS_MAX; k++) {
            message.targets[k] = stand->engine_chains[k].id;
        }
        cr_assert_eq(tri_handle_submit(stand->handle, &message, i), TRI_OK);
    }
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_eq(stand->ticket_count, 64);
    stand_pass(stand, 5001); /* all PREPAREs time out: 64 ABORTs to 64 chains */
    stand->ticket_count = 0;
    stand_pass(stand, 1001); /* all are redelivered */
    stand->chains[63].mode = STAND_YES;
    cr_expect_gt(stand_answer_all(stand, stand->handle), 0);
    cr_expect_eq(kit_counter(stand->kit, "processed"), 64);
    cr_expect_eq(kit_counter(stand->kit, "acks_late"), 0);
    stand_free(stand);
}
