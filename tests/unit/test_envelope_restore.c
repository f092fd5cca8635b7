/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes over restarts: all outcomes of up to three deliveries exhausted, with a crash behind
 * every record (D02), and what a restart finds, forgets and refuses (D06, R06, R08).
 */
#include "tests/unit/envelope_kit.h"

TestSuite(envelope_restore, .init = open_bench, .fini = close_bench);

/* ---- all outcomes, and a crash behind every record ---- */

enum outcome { OK, BAD, REFUSED, OUTCOMES };

/* What became of delivery `position`, as its shard would tell whoever asks, now and again. */
static void answer(uint32_t generation, uint32_t position, enum outcome outcome, bool has_record)
{
    switch (outcome) {
    case OK:
        if (has_record) {
            (void)recorded(generation, position);
        }
        (void)ended(generation, position, PROCESSED);
        return;
    case BAD:
        (void)ended(generation, position, FAILED);
        return;
    default:
        (void)ended(generation, position, REJECTED);
        return;
    }
}

/* The deliveries that were submitted, in order; a position may come again. */
static uint32_t asked_for[64];
static uint32_t asked_count;

static void note_asked(void)
{
    for (uint32_t i = 0; i < kit.effects.count; i++) {
        if (kit.effects.at[i].type == TRI_EFFECT_DELIVER) {
            asked_for[asked_count++] = kit.effects.at[i].deliver.position;
        }
    }
}

static void note_append(struct kit *it, const struct tri_effect *append)
{
    if (append == &it->effects.at[0]) {
        note_asked();
    }
    kept_keep(it, append);
}

/* The last answer in rows, by asking again. */
static void check_result(const enum outcome *outcomes, uint32_t count, uint32_t story)
{
    const struct tri_effect *effect = &kit.effects.at[0];
    uint32_t failed = 0;

    kit.is_slow = true;
    (void)submit("e", count, 77, "pay");
    kit.is_slow = false;
    cr_assert_eq(kit.effects.count, 1, "story %u", story);
    cr_assert(effect->notify.is_duplicate);
    cr_assert_eq(effect->notify.row_count, count, "story %u", story);
    while (failed < count && outcomes[failed] == OK) {
        failed++;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct tri_envelope_row *row = &effect->notify.rows[i];
        enum tri_ack_type type = i < failed                ? TRI_ACK_PROCESSED
                                 : i > failed              ? TRI_ACK_REJECTED
                                 : outcomes[failed] == BAD ? TRI_ACK_FAILED
                                                           : TRI_ACK_REJECTED;

        cr_assert_eq(row->type, type, "story %u, delivery %u", story, i);
        cr_assert_eq(row->code == TRI_ERROR_ENVELOPE_STOPPED, i > failed, "story %u", story);
    }
    cr_assert_eq(effect->notify.ack_type, failed == count                    ? TRI_ACK_PROCESSED
                                          : failed > 0 || outcomes[0] == BAD ? TRI_ACK_FAILED
                                                                             : TRI_ACK_REJECTED);
}

/* Runs one story; behind record number `crash` everything starts again from the records. */
static void tell_story(const enum outcome *outcomes, uint32_t count, uint32_t crash,
                       bool has_record, uint32_t story)
{
    uint32_t generation = 1;
    uint32_t next = 0;
    bool has_crashed = false;

    asked_count = 0;
    kit.on_append = note_append;
    (void)submit("e", count, 1, "pay");
    while (next < asked_count || (!has_crashed && kept_count >= crash)) {
        if (!has_crashed && kept_count >= crash) {
            has_crashed = true;
            kept_restart(&kit);
            generation = 1;
            asked_count = next = 0;
            kit.is_slow = true;
            while (tri_engine_deadline_ns(kit.engine) <= kit.now_ns) {
                struct tri_event tick = {.type = TRI_EVENT_TICK};

                (void)kit_step(&kit, &tick);
                note_asked();
            }
            kit.is_slow = false;
            continue;
        }
        for (uint32_t i = 0; i < asked_for[next]; i++) {
            cr_assert_eq(outcomes[i], OK, "story %u: begun behind a failure", story);
        }
        answer(generation, asked_for[next], outcomes[asked_for[next]], has_record);
        next++;
    }
    kit.on_append = kept_keep;
    check_result(outcomes, count, story);
}

Test(envelope_restore, F07_D02_every_outcome_survives_a_crash_behind_every_record)
{
    uint32_t story = 0;

    for (uint32_t count = 1; count <= 3; count++) {
        uint32_t outcomes_all = count == 1 ? 3 : count == 2 ? 9 : 27;

        for (uint32_t all = 0; all < outcomes_all; all++) {
            enum outcome outcomes[3] = {(enum outcome)(all % 3), (enum outcome)(all / 3 % 3),
                                        (enum outcome)(all / 9)};

            for (uint32_t crash = 1; crash <= 6; crash++) {
                for (uint32_t has_record = 0; has_record < 2; has_record++) {
                    close_bench();
                    open_bench();
                    tell_story(outcomes, count, crash, has_record != 0, story++);
                }
            }
        }
    }
    cr_assert_eq(story, (3 + 9 + 27) * 6 * 2);
}

/* ---- restart and checkpoint ---- */

static void restart(void)
{
    kept_restart(&kit);
    kit.is_slow = false;
    while (tri_engine_deadline_ns(kit.engine) <= kit.now_ns) {
        struct tri_event tick = {.type = TRI_EVENT_TICK};

        (void)kit_step(&kit, &tick);
    }
}

Test(envelope_restore, D02_what_may_have_begun_is_submitted_again_after_a_restart)
{
    (void)submit("e", 3, 1, "pay");
    (void)recorded(1, 0);
    restart();
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own DELIVER1>own");
    (void)submit("e", 3, 4, "pay"); /* the client comes back */
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>0 DELIVER1>0 RECEIVED!4(dup)");
    (void)ended(1, 0, PROCESSED);
    (void)ended(1, 1, REJECTED);
    cr_assert_str_eq(kit_said(&kit), "END=1 FAILED:STALE!4@1");
}

Test(envelope_restore, D06_a_checkpoint_pictures_open_and_ended_envelopes)
{
    uint32_t first;

    (void)submit("e", 2, 1, "pay");
    (void)recorded(1, 0);
    (void)submit("f", 1, 1, "pay");
    {
        struct tri_event event = news_of(1, 2, 0);

        event.delivery.type = TRI_ACK_FAILED;
        event.delivery.code = TRI_ERROR_ROLLED_BACK;
        (void)kit_step(&kit, &event);
    }
    first = kept_count;
    (void)kept_checkpoint(&kit);
    kept_drop_until(first);
    cr_assert_eq(kept_count, 3);
    restart();
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own DELIVER1>own");
    (void)submit("f", 1, 3, "pay");
    cr_assert_str_eq(kit_said(&kit), "FAILED:ROLLED_BACK!3(dup)");
    (void)submit("f", 1, 3, "other");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:DUPLICATE_ID_MISMATCH!3");
}

Test(envelope_restore, D06_records_behind_a_checkpoint_are_taken_upon_it)
{
    (void)submit("e", 2, 1, "pay");
    (void)kept_checkpoint(&kit);
    (void)recorded(1, 0);
    (void)ended(1, 0, PROCESSED);
    restart();
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own DELIVER1>own");
    cr_assert_eq(ended(2, 0, PROCESSED), TRI_OK); /* the second picture took the slot anew */
    cr_assert_eq(ended(2, 1, PROCESSED), TRI_OK);
    restart();
    cr_assert_str_eq(kit_said(&kit), "");
    (void)submit("e", 2, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "PROCESSED(dup)");
}

Test(envelope_restore, R06_an_ended_envelope_is_forgotten_by_its_window_over_restarts_too)
{
    (void)submit("e", 1, 1, "pay");
    (void)ended(1, 0, PROCESSED);
    kit.wall_ms += 59000;
    kit.now_ns += UINT64_C(59000) * TRI_NS_PER_MS;
    restart();
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "PROCESSED(dup)");
    kit.wall_ms += 3000;
    kit.now_ns += UINT64_C(3000) * TRI_NS_PER_MS;
    restart();
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=1 RECEIVED@1 DELIVER0>0own@1");
}

/* Ends the envelope in `slot`, the number `generation` of all. */
static void end_in(uint32_t slot, uint32_t generation)
{
    struct tri_event event = news_of(slot, generation, 0);

    event.delivery.type = TRI_ACK_PROCESSED;
    cr_assert_eq(kit_step(&kit, &event), TRI_OK);
}

Test(envelope_restore, R06_an_envelope_is_remembered_as_long_as_its_deliveries_may_be_submitted)
{
    ttl_s = 3600;
    (void)submit("e", 2, 1, "pay");
    ttl_s = 60;
    (void)ended(1, 0, FAILED);
    kit_pass(&kit, 3599000);
    restart();
    kit_said(&kit);
    (void)submit("e", 2, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:DUPLICATE_ID_MISMATCH"); /* its TTL is another */
    kit_pass(&kit, 2000);
    (void)submit("e", 2, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=1 RECEIVED@1 DELIVER0>0own@1");
}

Test(envelope_restore, A08_the_record_of_the_last_delivery_stands_over_a_restart)
{
    (void)submit("e", 1, 1, "pay");
    (void)recorded(1, 0);
    restart();
    kit_said(&kit);
    (void)ended(1, 0, REJECTED); /* its result has been forgotten meanwhile */
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "END=1 PROCESSED(dup)");
}

Test(envelope_restore, R08_of_the_results_those_kept_longest_are_taken_back)
{
    static const char *const ids[] = {"a", "b", "c", "d"};

    for (uint32_t i = 0; i < 4; i++) {
        (void)submit(ids[i], 1, 1, "pay");
    }
    end_in(2, 3);
    kit_pass(&kit, 2000);
    end_in(0, 1);
    kit_pass(&kit, 2000);
    end_in(3, 4);
    kit.options.envelopes_max = 3;
    kit.options.envelopes_slack = 1;
    restart();
    kit_said(&kit);
    (void)submit("a", 1, 1, "pay");
    (void)submit("d", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "PROCESSED(dup) PROCESSED(dup)");
    (void)submit("b", 1, 2, "pay");
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>0 RECEIVED!2(dup)");
    (void)submit("c", 1, 1, "pay"); /* forgotten, and there is no room for it */
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
}

/* Envelopes that end in another order than they will be forgotten in. */
Test(envelope_restore, R08_what_is_forgotten_first_gives_way_whatever_the_order)
{
    enum { COUNT = 40, KEPT = 15, FACTOR = 27 };
    char id[8];

    kept_close(&kit);
    kit_options(&kit);
    kit.options.envelopes_max = COUNT;
    kit_start(&kit);
    kit.on_append = kept_keep;
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(id, sizeof(id), "e%u", i);
        ttl_s = 100 + (i * FACTOR) % COUNT * 10; /* each place in the order once */
        (void)submit(id, 1, 1, "pay");
        end_in(i, i + 1);
    }
    kit.options.envelopes_max = KEPT;
    kit.options.envelopes_slack = 1;
    restart();
    kit_said(&kit);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t place = (i * FACTOR) % COUNT;

        (void)snprintf(id, sizeof(id), "e%u", i);
        ttl_s = 100 + place * 10;
        (void)submit(id, 1, 1, "pay");
        cr_assert_eq(strcmp(kit_said(&kit), "PROCESSED(dup)") == 0, place >= COUNT - KEPT,
                     "place %u", place);
    }
}

Test(envelope_restore, R08_a_clock_that_was_set_back_is_no_reason_not_to_start)
{
    static const char *const ids[] = {"a", "b", "c", "d"};

    for (uint32_t i = 0; i < 4; i++) {
        (void)submit(ids[i], 1, 1, "pay");
    }
    end_in(0, 1);
    kit_pass(&kit, 62000);
    (void)submit("e", 1, 1, "pay"); /* in the place of the first */
    kit.wall_ms -= 5000;
    restart();
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own DELIVER0>own DELIVER0>own DELIVER0>own");
}

Test(envelope_restore, R08_a_restart_may_find_more_open_than_are_let_in)
{
    static const char *const ids[] = {"a", "b", "c", "d"};

    for (uint32_t i = 0; i < 4; i++) {
        (void)submit(ids[i], 1, 1, "pay");
    }
    kit.options.envelopes_max = 2;
    kit.options.envelopes_slack = 2;
    restart();
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>own DELIVER0>own DELIVER0>own DELIVER0>own");
    end_in(0, 1);
    end_in(1, 2);
    kit_pass(&kit, 59000);
    kit_said(&kit);
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
    end_in(2, 3);
    kit_pass(&kit, 3000); /* two are forgotten, one is remembered */
    kit_said(&kit);
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY");
    kit_pass(&kit, 60000);
    (void)submit("e", 1, 1, "pay");
    cr_assert_str_eq(kit_said(&kit), "ENVELOPE=4 RECEIVED@4 DELIVER0>0own@4");
}

Test(envelope_restore, R08_capacities_smaller_than_what_is_open_refuse_to_start)
{
    const char *fault = NULL;

    (void)submit("e", 1, 1, "pay");
    (void)submit("f", 1, 1, "pay");
    kit.options.envelopes_max = 1;
    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, kept[0].kind, kept[0].at, kept[0].bytes, &fault), TRI_OK);
    cr_assert_eq(kept_replay(&kit, kept[1].kind, kept[1].at, kept[1].bytes, &fault), TRI_FULL);
    cr_assert_not_null(fault);
}

/* Every prefix of a record and every byte of it spoiled: refused, or taken for what it says, and
 * never a crash. */
Test(envelope_restore, D03_a_spoiled_record_does_no_harm)
{
    const char *fault = NULL;

    (void)submit("e", 2, 1, "pay");
    (void)recorded(1, 0);
    (void)ended(1, 0, PROCESSED);
    (void)ended(1, 1, FAILED);
    cr_assert_eq(kept_count, 3);
    for (uint32_t i = 0; i < kept_count; i++) {
        for (uint32_t bytes = 0; bytes < kept[i].bytes; bytes++) {
            uint8_t *copy = malloc(bytes + 1U);

            memcpy(copy, kept[i].at, bytes);
            kept_init(&kit);
            cr_assert_eq(kept_replay(&kit, kept[i].kind, copy, bytes, &fault), TRI_VIOLATION);
            free(copy);
        }
        for (uint32_t at = 16; at < kept[i].bytes; at++) {
            uint8_t was = kept[i].at[at];
            enum tri_result result;

            kept[i].at[at] ^= 0xffU;
            kept_init(&kit);
            (void)kept_replay(&kit, kept[0].kind, kept[0].at, kept[0].bytes, &fault);
            result = kept_replay(&kit, kept[i].kind, kept[i].at, kept[i].bytes, &fault);
            cr_assert(result == TRI_OK || result == TRI_STALE || result == TRI_VIOLATION);
            kept_resume(&kit);
            kept[i].at[at] = was;
        }
    }
}
