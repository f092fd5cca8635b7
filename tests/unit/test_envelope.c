/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes in the engine (F07): told as stories on the bench of engine_kit.h, and all outcomes of
 * up to three deliveries exhausted, with a crash behind every record.
 *
 * The deliveries are not driven here: a test says what became of them, as the runtime does.
 */
#include "tests/unit/restore_kit.h"

static struct kit kit;

static void open_bench(void)
{
    kit_options(&kit);
    kit.options.envelopes_max = 4;
    kit_start(&kit);
    kit.on_append = kept_keep;
    kept_count = 0;
    for (uint16_t i = 0; i < KEPT_CHAINS; i++) {
        kept_chains[i] = i;
    }
}

static void close_bench(void)
{
    kept_close(&kit);
}

TestSuite(envelope, .init = open_bench, .fini = close_bench);

/* Submits an envelope of `count` deliveries "ID.n" by `client`. */
static enum tri_result submit(const char *id, uint32_t count, uint64_t client, const char *payload)
{
    static uint8_t bytes[TRI_ENVELOPE_MAX][1024];
    static char ids[TRI_ENVELOPE_MAX][TRI_ID_BYTES_MAX];
    struct tri_envelope_part parts[TRI_ENVELOPE_MAX];
    struct tri_event event = {.type = TRI_EVENT_ENVELOPE};
    uint64_t sum = 14695981039346656037U;

    for (uint32_t i = 0; i < count; i++) {
        struct tri_writer writer = {.at = bytes[i], .end = bytes[i] + sizeof(bytes[i])};
        struct tri_message message = kit_message(ids[i], TRI_GUARANTEED);

        (void)snprintf(ids[i], sizeof(ids[i]), "%s.%u", id, i + 1);
        message.id = kit_text(ids[i]);
        message.payload = (struct tri_bytes){(const uint8_t *)payload, (uint32_t)strlen(payload)};
        message.envelope =
            (struct tri_envelope){.is_given = true, .id = kit_text(id), .n = i + 1, .m = count};
        parts[i].id = message.id;
        parts[i].canonical.at = tri_wire_put_submit(&writer, &message);
        parts[i].canonical.bytes = (uint32_t)(writer.at - parts[i].canonical.at);
        for (uint32_t k = 0; k < parts[i].canonical.bytes; k++) {
            sum = (sum ^ parts[i].canonical.at[k]) * 1099511628211U;
        }
    }
    memcpy(event.envelope.hash.at, &sum, sizeof(sum));
    event.envelope.key = kit_key(kit_text(id));
    event.envelope.id = kit_text(id);
    event.envelope.deliveries = parts;
    event.envelope.count = count;
    event.envelope.client = client;
    event.envelope.submitter = kit.submitter;
    return kit_step(&kit, &event);
}

static struct tri_event news_of(uint32_t slot, uint32_t generation, uint32_t position)
{
    struct tri_event event = {.type = TRI_EVENT_DELIVERY};

    event.delivery.slot = slot;
    event.delivery.generation = generation;
    event.delivery.position = position;
    return event;
}

static enum tri_result recorded(uint32_t generation, uint32_t position)
{
    struct tri_event event = news_of(0, generation, position);

    event.delivery.is_recorded = true;
    return kit_step(&kit, &event);
}

static enum tri_result ended(uint32_t generation, uint32_t position, enum tri_ack_type type,
                             enum tri_error code)
{
    struct tri_event event = news_of(0, generation, position);

    event.delivery.type = type;
    event.delivery.code = code;
    return kit_step(&kit, &event);
}

#define PROCESSED TRI_ACK_PROCESSED, TRI_ERROR_NONE
#define FAILED    TRI_ACK_FAILED, TRI_ERROR_MAX_RETRIES_EXCEEDED
#define REJECTED  TRI_ACK_REJECTED, TRI_ERROR_STALE
#define BUSY      TRI_ACK_REJECTED, TRI_ERROR_BUSY

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
    cr_assert_str_eq(kit_said(&kit), "");
    (void)ended(1, 2, PROCESSED);
    cr_assert_str_eq(kit_said(&kit), "END=4 PROCESSED@4");
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
    cr_assert_str_eq(kit_said(&kit), "END=2 PROCESSED@2");
}

Test(envelope, R08_a_delivery_that_finds_no_room_is_submitted_again)
{
    (void)submit("e", 2, 1, "pay");
    kit_said(&kit);
    (void)ended(1, 0, BUSY);
    cr_assert_str_eq(kit_said(&kit), "");
    kit_pass(&kit, 249);
    cr_assert_str_eq(kit_said(&kit), "");
    kit_pass(&kit, 1);
    cr_assert_str_eq(kit_said(&kit), "DELIVER0>0own");
    (void)ended(1, 0, TRI_ACK_REJECTED, TRI_ERROR_SHUTTING_DOWN);
    (void)ended(1, 0, PROCESSED); /* an answer to the submit before */
    cr_assert_str_eq(kit_said(&kit), "STEP=2 DELIVER1>0own@2");
    kit_pass(&kit, 1000);
    cr_assert_str_eq(kit_said(&kit), "");
}

Test(envelope, R01_news_that_come_twice_or_too_late_change_nothing)
{
    (void)submit("e", 2, 1, "pay");
    cr_assert_eq(recorded(2, 0), TRI_STALE); /* of another use of the slot */
    cr_assert_eq(recorded(1, 1), TRI_STALE); /* not begun */
    cr_assert_eq(ended(1, 0, TRI_ACK_RECEIVED, TRI_ERROR_NONE), TRI_STALE);
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
    cr_assert_str_eq(kit_said(&kit), "REJECTED:BUSY!2(dup) DELIVER0>7 RECEIVED!9(dup)");
    (void)ended(1, 0, PROCESSED);
    cr_assert_str_eq(kit_said(&kit), "END=2 PROCESSED@2 PROCESSED!3@2 PROCESSED!4@2 PROCESSED!5@2 "
                                     "PROCESSED!6@2 PROCESSED!7@2 PROCESSED!8@2 PROCESSED!9@2");
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

Test(envelope, F07_D02_every_outcome_survives_a_crash_behind_every_record)
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

Test(envelope, D02_what_may_have_begun_is_submitted_again_after_a_restart)
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

Test(envelope, D06_a_checkpoint_pictures_open_and_ended_envelopes)
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

Test(envelope, D06_records_behind_a_checkpoint_are_taken_upon_it)
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

Test(envelope, R06_an_ended_envelope_is_forgotten_by_its_window_over_restarts_too)
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

Test(envelope, R08_capacities_smaller_than_what_was_kept_refuse_to_start)
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
Test(envelope, D03_a_spoiled_record_does_no_harm)
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
