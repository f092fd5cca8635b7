/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every submit and every question of a handle has its end, whatever is
 * full, refused or closed; and nobody sleeps over what is for him.
 *
 * Method: the stand's node and chains; one thread plays submitter and shards.
 * The threads' part is tests/stress/stress_embed.c.
 */
#include <criterion/criterion.h>

#include "tests/unit/handle_kit.h"

static struct tri_handle *claim(struct stand *stand)
{
    struct tri_handle *handle = tri_handle_claim(stand->kit->set);

    cr_assert_not_null(handle);
    return handle;
}

Test(handle, R09_received_then_final_then_the_result)
{
    for (uint32_t shards = 1; shards <= 8; shards *= 2) {
        struct stand *stand = stand_new(shards, KIT_CHAINS);
        struct tri_news news[4];

        stand_start(stand);
        for (uint32_t i = 0; i < 20; i++) {
            stand_run(stand, stand_name(i), 1000 + i);
            cr_assert_eq(tri_handle_poll(stand->handle, news, 4), 3);
            cr_expect_eq(news[0].kind, TRI_NEWS_RECEIVED);
            cr_expect_eq(news[1].kind, TRI_NEWS_FINAL);
            cr_expect_eq(news[2].kind, TRI_NEWS_ENDED);
            cr_expect_eq(news[2].ack_type, TRI_ACK_PROCESSED);
            cr_expect_eq(news[2].code, TRI_ERROR_NONE);
            cr_expect_eq(news[2].target_count, 3);
            cr_expect_eq(news[2].applied_mask, 7);
            cr_expect_eq(news[2].refused_mask, 0);
            cr_expect_eq(news[2].attempt, TRI_ATTEMPT(7, 1));
            cr_expect_null(news[2].field);
            for (uint32_t k = 0; k < 3; k++) {
                cr_expect_eq(news[k].cookie, 1000 + i);
                cr_expect_not(news[k].is_duplicate);
            }
            cr_expect_eq(tri_handle_poll(stand->handle, news, 4), 0);
        }
        cr_expect_eq(kit_counter(stand->kit, "processed"), 20);
        cr_expect_eq(kit_counter(stand->kit, "news"), 60);
        stand_free(stand);
    }
}

Test(handle, R08_as_many_are_in_flight_as_may_be)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_news news;
    uint32_t ended = 0;

    stand->kit->options.in_flight_max = 5;
    stand_start(stand);
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 5; i++) {
            cr_assert_eq(stand_submit(stand, stand_name(round * 5 + i), i), TRI_OK);
        }
        cr_expect_eq(stand_submit(stand, "one-more", 9), TRI_FULL);
        cr_expect_eq(tri_handle_ask_status(stand->handle, kit_text("m"), 9), TRI_FULL);
        tri_handle_flush(stand->handle);
        stand_rest(stand);
        /* A place is free when the last news of its message was read, not before. */
        cr_expect_eq(stand_submit(stand, "one-more", 9), TRI_FULL);
        while (tri_handle_poll(stand->handle, &news, 1) == 1) {
            ended += news.kind == TRI_NEWS_ENDED ? 1 : 0;
        }
    }
    cr_expect_eq(ended, 50);
    cr_expect_eq(kit_counter(stand->kit, "submits"), 50);
    stand_free(stand);
}

Test(handle, R08_full_pipe_refuses_and_says_when_there_is_room)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    uint32_t sent = 0;

    stand->kit->options.handle_blocks = 1;
    stand->kit->options.in_flight_max = 1000;
    stand_start(stand);
    while (stand_submit(stand, stand_name(sent), sent) == TRI_OK) {
        sent++;
    }
    cr_assert_gt(sent, 50);
    cr_assert_lt(sent, 1000);
    cr_expect_str_eq(stand_heard(stand->handle), "");
    cr_expect_not(tri_handle_arm(stand->handle));
    stand_rest(stand);
    cr_expect_eq(stand->signals[0], 1);
    cr_expect(tri_handle_arm(stand->handle));
    cr_expect_neq(stand_heard(stand->handle)[0], '\0');
    cr_expect_eq(stand_submit(stand, stand_name(sent), sent), TRI_OK);
    stand_free(stand);
}

/* He polls until nothing is left, and has nothing in flight any more: nothing else would wake him.
 */
Test(handle, a_place_that_came_free_wakes_who_was_refused)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand->kit->options.in_flight_max = 1;
    stand_start(stand);
    for (uint32_t way = 0; way < 2; way++) {
        cr_assert_eq(stand_submit(stand, stand_name(way), 1), TRI_OK);
        cr_assert_eq(stand_submit(stand, "one-more", 2), TRI_FULL);
        tri_handle_flush(stand->handle);
        stand_rest(stand);
        cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:FINAL 1:PROCESSED");
        if (way == 0) {
            cr_expect_eq(stand->readable[0], 1);
            cr_expect_str_eq(stand_heard(stand->handle), "");
            cr_expect_eq(stand->readable[0], 0);
        }
        cr_expect(tri_handle_arm(stand->handle));
        tri_handle_waited(stand->handle);
        cr_expect_not(tri_handle_arm(stand->handle));
    }
    stand_free(stand);
}

/* Whoever is refused may find everything done when he polls: then room alone has to wake him. */
Test(handle, room_wakes_who_has_nothing_in_flight)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_ticket ticket = {.kind = TRI_SEND_COMMIT, .id_bytes = 1, .id = "m"};
    struct tri_answer answer;

    stand->kit->options.handle_blocks = 1;
    stand_start(stand);
    (void)tri_answer_accept(&ticket, &answer);
    for (uint32_t way = 0; way < 3; way++) {
        while (tri_handle_answer(stand->handle, &ticket, &answer) == TRI_OK) {
        }
        if (way == 0) { /* the room comes while he sleeps */
            cr_expect_str_eq(stand_heard(stand->handle), "");
            cr_expect_not(tri_handle_arm(stand->handle));
            stand_rest(stand);
            cr_expect_eq(stand->readable[0], 1);
        } else if (way == 1) { /* before he looks, and he looks at his event */
            stand_rest(stand);
            cr_expect_str_eq(stand_heard(stand->handle), "");
            cr_expect_eq(stand->readable[0], 1);
            cr_expect_str_eq(stand_heard(stand->handle), "");
            cr_expect_eq(stand->readable[0], 0); /* told once */
        } else {                                 /* before he looks, and he waits */
            stand_rest(stand);
            cr_expect_str_eq(stand_heard(stand->handle), "");
            cr_expect_str_eq(stand_heard(stand->handle), "");
        }
        cr_expect(tri_handle_arm(stand->handle));
        tri_handle_waited(stand->handle);
        cr_expect_not(tri_handle_arm(stand->handle));
        cr_expect_eq(tri_handle_answer(stand->handle, &ticket, &answer), TRI_OK);
        stand_rest(stand);
        (void)stand_heard(stand->handle);
    }
    stand_free(stand);
}

Test(handle, H01_what_has_no_bound_is_refused_at_once)
{
    static char filler[TRI_PAYLOAD_BYTES_MAX + 1];
    static const struct tri_text too_long = {filler, 1025};
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_message message;

    memset(filler, 'x', sizeof(filler));
    stand_start(stand);
#define REFUSED(change)                                                             \
    do {                                                                            \
        message = stand_message(stand, "m");                                        \
        change;                                                                     \
        cr_expect_eq(tri_handle_submit(stand->handle, &message, 1), TRI_VIOLATION); \
    } while (0)
    REFUSED(message.id = too_long);
    REFUSED(message.source_chain = too_long);
    REFUSED(message.source_node = too_long);
    REFUSED(message.target_count = 65);
    REFUSED(message.targets[2] = too_long);
    REFUSED(message.asset_count = 17);
    REFUSED(message.assets[0] = too_long);
    REFUSED(message.payload.bytes = TRI_PAYLOAD_BYTES_MAX + 1);
    REFUSED(message.envelope = ((struct tri_envelope){true, too_long, 1, 1}));
    REFUSED(message.signature.is_given = true; message.signature.bytes.bytes = 1025);
    REFUSED(message.signature.is_given = true; message.signature.signer_set = too_long);
    cr_expect_eq(tri_handle_ask_status(stand->handle, too_long, 1), TRI_VIOLATION);
    cr_expect_eq(tri_handle_chain(stand->handle, KIT_CHAINS, false), TRI_VIOLATION);
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(stand->handle), "");
    cr_expect_eq(kit_counter(stand->kit, "records"), 0);
    stand_free(stand);
}

Test(handle, H01_what_only_the_shard_can_see_ends_with_code_and_field)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_message message = stand_message(stand, "a");

    stand_start(stand);
    message.ttl_s = 0;
    cr_assert_eq(tri_handle_submit(stand->handle, &message, 1), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(stand->handle), "1:REJECTED:FIELD_OUT_OF_RANGE/ttlSeconds");
    message = stand_message(stand, "b");
    message.targets[1] = kit_text("eip155:9999");
    cr_assert_eq(tri_handle_submit(stand->handle, &message, 2), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(stand->handle), "2:REJECTED:CHAIN_NOT_SUPPORTED");
    message = stand_message(stand, "c");
    message.timestamp_ms = KIT_WALL_MS - 61000;
    cr_assert_eq(tri_handle_submit(stand->handle, &message, 3), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(stand->handle), "3:REJECTED:STALE");
    cr_expect_eq(kit_counter(stand->kit, "accepted"), 0);
    stand_free(stand);
}

Test(handle, the_largest_message_is_carried_whole)
{
    static uint8_t payload[TRI_PAYLOAD_BYTES_MAX];
    struct stand *stand = stand_new(2, KIT_CHAINS);

    for (uint32_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)(i * 7);
    }
    stand_start(stand);
    for (uint32_t i = 0; i < 8; i++) {
        struct tri_message message = stand_message(stand, stand_name(i));

        message.payload = (struct tri_bytes){payload, sizeof(payload)};
        cr_assert_eq(tri_handle_submit(stand->handle, &message, 1), TRI_OK);
        tri_handle_flush(stand->handle);
        stand_rest(stand);
        cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:FINAL 1:PROCESSED");
    }
    cr_expect_eq(stand->chains[2].content.payload.bytes, sizeof(payload));
    stand_free(stand);
}

Test(handle, R01_the_same_message_of_two_handles_is_one)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_handle *other = NULL;
    struct tri_message message;

    stand_start(stand);
    other = claim(stand);
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        stand->chains[i].mode = STAND_LATER;
    }
    stand_run(stand, "m", 1);
    message = stand_message(stand, "m");
    cr_assert_eq(tri_handle_submit(other, &message, 2), TRI_OK);
    tri_handle_flush(other);
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(other), "2:RECEIVED(dup)");
    cr_expect_eq(stand_answer_all(stand, other), 3);
    cr_expect_eq(stand_answer_all(stand, other), 3);
    cr_expect_eq(stand_answer_all(stand, other), 3);
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:FINAL 1:PROCESSED");
    cr_expect_str_eq(stand_heard(other), "2:FINAL 2:PROCESSED");
    cr_assert_eq(tri_handle_submit(other, &message, 3), TRI_OK);
    message.ttl_s++;
    cr_assert_eq(tri_handle_submit(other, &message, 4), TRI_OK); /* R02 */
    tri_handle_flush(other);
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(other), "3:PROCESSED(dup) 4:REJECTED:DUPLICATE_ID_MISMATCH");
    cr_expect_eq(kit_counter(stand->kit, "accepted"), 1);
    stand_free(stand);
}

/* More submitters than a message may have waiters: each is told an end. */
Test(handle, R01_every_submit_of_one_message_ends)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_news news;
    uint32_t ended = 0;
    uint32_t busy = 0;

    stand_start(stand);
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        stand->chains[i].mode = STAND_LATER;
    }
    for (uint32_t i = 0; i < 40; i++) {
        stand_run(stand, "m", i);
    }
    for (uint32_t phase = 0; phase < 3; phase++) {
        (void)stand_answer_all(stand, stand->handle);
    }
    while (tri_handle_poll(stand->handle, &news, 1) == 1) {
        ended += news.kind == TRI_NEWS_ENDED ? 1 : 0;
        busy += news.kind == TRI_NEWS_ENDED && news.code == TRI_ERROR_BUSY ? 1 : 0;
    }
    cr_expect_eq(ended, 40);
    cr_expect_eq(busy, 32); /* the first, and the seven newest, saw it processed */
    stand_free(stand);
}

Test(handle, status_shows_open_closed_and_unknown)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_news news[2];

    stand_start(stand);
    stand->chains[1].mode = STAND_LATER;
    cr_assert_eq(tri_handle_ask_status(stand->handle, kit_text("m"), 5), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_expect_str_eq(stand_heard(stand->handle), "5:STATUS:UNKNOWN_MESSAGE");
    stand_run(stand, "m", 1);
    cr_assert_eq(tri_handle_ask_status(stand->handle, kit_text("m"), 6), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_assert_eq(tri_handle_poll(stand->handle, news, 2), 2);
    cr_expect_eq(news[0].kind, TRI_NEWS_RECEIVED);
    cr_expect_eq(news[1].kind, TRI_NEWS_STATUS);
    cr_expect(news[1].is_open);
    cr_expect_str_eq(news[1].state, "PREPARING");
    cr_expect_eq(news[1].target_count, 3);
    for (uint32_t phase = 0; phase < 3; phase++) {
        (void)stand_answer_all(stand, stand->handle);
    }
    cr_expect_str_eq(stand_heard(stand->handle), "1:FINAL 1:PROCESSED");
    cr_assert_eq(tri_handle_ask_status(stand->handle, kit_text("m"), 7), TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
    cr_assert_eq(tri_handle_poll(stand->handle, news, 2), 1);
    cr_expect_not(news[0].is_open);
    cr_expect_eq(news[0].ack_type, TRI_ACK_PROCESSED);
    cr_expect_str_eq(news[0].state, "PROCESSED");
    cr_expect_eq(news[0].applied_mask, 7);
    stand_free(stand);
}

/* ---- open and close ---- */

static void leave(struct stand *stand, struct tri_handle *handle)
{
    tri_handle_leave(handle);
    stand_rest(stand);
    cr_assert(tri_handle_is_left(handle));
    tri_handle_free(handle);
}

Test(handle, as_many_are_open_as_may_be)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_handle *handles[4];

    stand_start(stand);
    handles[0] = stand->handle;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 1; i < 4; i++) {
            handles[i] = claim(stand);
        }
        cr_expect_null(tri_handle_claim(stand->kit->set));
        stand_rest(stand);
        for (uint32_t i = 1; i < 4; i++) {
            leave(stand, handles[i]);
        }
    }
    stand_free(stand);
}

Test(handle, closing_takes_along_what_was_sent_and_waits_for_every_shard)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_handle *handle = NULL;

    stand_start(stand);
    handle = claim(stand);
    for (uint32_t i = 0; i < 20; i++) {
        struct tri_message message = stand_message(stand, stand_name(i));

        cr_assert_eq(tri_handle_submit(handle, &message, i), TRI_OK);
    }
    tri_handle_leave(handle); /* no shard has seen it open yet */
    cr_expect_not(tri_handle_is_left(handle));
    (void)tri_shard_turn(kit_shard(stand->kit, 0), stand->kit->now_ns, KIT_WALL_MS);
    cr_expect_not(tri_handle_is_left(handle));
    stand_rest(stand);
    cr_expect(tri_handle_is_left(handle));
    tri_handle_free(handle);
    cr_expect_eq(kit_counter(stand->kit, "processed"), 20);
    stand_free(stand);
}

Test(handle, news_for_a_closed_handle_is_dropped_and_never_told_to_the_next)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_handle *first = NULL;
    struct tri_handle *second = NULL;
    struct tri_message message;

    stand_start(stand);
    first = claim(stand);
    stand->chains[0].mode = STAND_LATER;
    message = stand_message(stand, "m");
    cr_assert_eq(tri_handle_submit(first, &message, 1), TRI_OK);
    tri_handle_flush(first);
    stand_rest(stand);
    leave(stand, first);
    second = claim(stand);
    cr_assert_eq(second, first);
    message = stand_message(stand, "n");
    cr_assert_eq(tri_handle_submit(second, &message, 2), TRI_OK);
    tri_handle_flush(second);
    stand_rest(stand);
    for (uint32_t phase = 0; phase < 3; phase++) {
        (void)stand_answer_all(stand, stand->handle);
    }
    cr_expect_str_eq(stand_heard(second), "2:RECEIVED 2:FINAL 2:PROCESSED");
    cr_expect_eq(kit_counter(stand->kit, "processed"), 2);
    cr_expect_eq(kit_counter(stand->kit, "news_dropped"), 2); /* FINAL and ENDED of "m" */
    stand_free(stand);
}

Test(handle, generations_begin_again_behind_the_last)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_handle *handle = NULL;

    stand_start(stand);
    handle = claim(stand);
    handle->generation = 0xfffffe; /* as after many; no shard has seen this one */
    leave(stand, handle);
    for (uint32_t i = 0; i < 4; i++) {
        struct tri_message message = stand_message(stand, stand_name(i));

        handle = claim(stand);
        cr_assert_eq(tri_handle_submit(handle, &message, i), TRI_OK);
        tri_handle_flush(handle);
        stand_rest(stand);
        cr_expect_neq(stand_heard(handle)[0], '\0');
        leave(stand, handle);
    }
    cr_expect_eq(handle->generation, 3);
    stand_free(stand);
}

/* ---- sleep ---- */

Test(handle, a_sleeping_shard_is_woken_once_and_no_other)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);
    struct tri_shard *shards[2];

    stand_start(stand);
    stand_rest(stand);
    for (uint32_t i = 0; i < 2; i++) {
        shards[i] = kit_shard(stand->kit, i);
        cr_assert(tri_shard_sleep(shards[i]));
    }
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(stand_submit(stand, stand_name(i), i), TRI_OK);
    }
    cr_expect_eq(stand->wakes[0] + stand->wakes[1], 0);
    tri_handle_flush(stand->handle);
    cr_expect_eq(stand->wakes[0], 1);
    cr_expect_eq(stand->wakes[1], 1);
    tri_handle_flush(stand->handle);
    cr_expect_eq(stand->wakes[0] + stand->wakes[1], 2);
    for (uint32_t i = 0; i < 2; i++) {
        tri_shard_awake(shards[i]);
        cr_expect_not(tri_shard_sleep(shards[i])); /* there are records */
    }
    stand_rest(stand);
    cr_expect(tri_shard_sleep(shards[0]));
    tri_shard_awake(shards[0]);
    stand_free(stand);
}

Test(handle, nobody_sleeps_over_who_comes_or_goes)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_shard *shard = NULL;
    struct tri_handle *other = NULL;

    stand_start(stand);
    shard = kit_shard(stand->kit, 0);
    cr_expect_not(tri_shard_sleep(shard)); /* chains are up, a handle is open */
    stand_rest(stand);
    cr_expect(tri_shard_sleep(shard));
    tri_shard_awake(shard);
    other = claim(stand);
    cr_expect_not(tri_shard_sleep(shard));
    stand_rest(stand);
    cr_assert(tri_shard_sleep(shard));
    tri_handle_leave(other);
    cr_expect_eq(stand->wakes[0], 1);
    tri_shard_awake(shard);
    cr_expect_not(tri_shard_sleep(shard));
    stand_rest(stand);
    cr_expect(tri_handle_is_left(other));
    stand_free(stand);
}

Test(handle, signal_comes_only_for_who_has_looked_in_vain)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand_start(stand);
    stand_run(stand, "a", 1);
    cr_expect_eq(stand->signals[0], 0); /* he never looked */
    cr_expect_neq(stand_heard(stand->handle)[0], '\0');
    stand_run(stand, "b", 2);
    cr_expect_eq(stand->signals[0], 1); /* once for all three */
    cr_expect_eq(stand->readable[0], 1);
    cr_expect_str_eq(stand_heard(stand->handle), "2:RECEIVED 2:FINAL 2:PROCESSED");
    cr_expect_eq(stand->readable[0], 0); /* the poll has reset it */
    stand_run(stand, "c", 3);
    stand_run(stand, "d", 4);
    cr_expect_eq(stand->signals[0], 2);
    stand_free(stand);
}

/* A shard takes the flag down and signals a moment later: the look in between is made good. */
Test(handle, a_signal_that_comes_late_is_taken_in)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);

    stand_start(stand);
    cr_expect_str_eq(stand_heard(stand->handle), "");
    stand_run(stand, "a", 1);
    cr_assert_eq(stand->readable[0], 1);
    stand->readable[0] = 0; /* not there yet */
    cr_expect_str_eq(stand_heard(stand->handle), "1:RECEIVED 1:FINAL 1:PROCESSED");
    cr_expect_eq(stand->handle->signals_due, 1);
    stand->readable[0] = 1; /* now */
    cr_expect_not(tri_handle_arm(stand->handle));
    cr_expect_eq(stand->readable[0], 0);
    cr_expect_eq(stand->handle->signals_due, 0);
    stand_run(stand, "b", 2);
    cr_expect_eq(stand->readable[0], 1);
    cr_expect(tri_handle_arm(stand->handle));
    stand_free(stand);
}

Test(handle, drain_refuses_new_messages_of_handles)
{
    struct stand *stand = stand_new(2, KIT_CHAINS);

    stand_start(stand);
    tri_shard_set_drain(stand->kit->set);
    for (uint32_t i = 0; i < 4; i++) {
        stand_run(stand, stand_name(i), 1);
        cr_expect_str_eq(stand_heard(stand->handle), "1:REJECTED:SHUTTING_DOWN");
    }
    stand_free(stand);
}

Test(handle, R07_no_handle_waits_for_another_with_more_to_do)
{
    struct stand *stand = stand_new(1, KIT_CHAINS);
    struct tri_handle *other = NULL;
    struct tri_message message;

    stand->kit->options.inbox_drain_max = 8;
    stand_start(stand);
    other = claim(stand);
    for (uint32_t i = 0; i < 60; i++) {
        cr_assert_eq(stand_submit(stand, stand_name(i), i), TRI_OK);
    }
    message = stand_message(stand, "m");
    cr_assert_eq(tri_handle_submit(other, &message, 7), TRI_OK);
    tri_handle_flush(stand->handle);
    tri_handle_flush(other);
    (void)kit_turn(stand->kit);
    cr_expect_str_eq(stand_heard(other), "7:RECEIVED 7:FINAL 7:PROCESSED");
    cr_expect_eq(kit_counter(stand->kit, "processed"), 9);
    stand_free(stand);
}
