/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redelivery behind a primary record (F04): what is sent, who is told what, and that nothing of it
 * is kept.  All answers of two chains are tried in both orders, against a judge that knows only the
 * rules.
 */
#include <criterion/criterion.h>

#include "tests/unit/restore_kit.h"

KEPT_BENCH

#define CLIENT 9U

/* A message for the first two chains; "m" of kit_message() has three. */
static struct tri_message pair_message(enum tri_atomicity atomicity)
{
    struct tri_message message = kit_message("m", atomicity);

    message.target_count = 2;
    message.assets[0] = kit_text("pair-1");
    return message;
}

/* The event of a redelivery of `message`, decoded as a submit of it is. */
static struct tri_event redelivery(const struct tri_message *message, uint32_t n)
{
    struct tri_frame frame = {.type = TRI_FRAME_SUBMIT, .submit = *message};
    uint32_t bytes = tri_wire_encode(&frame, kit.bytes, sizeof(kit.bytes));
    struct tri_event event = {.type = TRI_EVENT_REDELIVER};
    uint64_t sum = 14695981039346656037U;
    struct tri_wire_fault fault;

    cr_assert_eq(tri_wire_decode(kit.bytes + 4, bytes - 4, &kit.frame, &fault), TRI_OK);
    for (uint32_t i = 0; i < kit.frame.submit.canonical.bytes; i++) {
        sum = (sum ^ kit.frame.submit.canonical.at[i]) * 1099511628211U;
    }
    memcpy(event.redeliver.hash.at, &sum, sizeof(sum));
    event.redeliver.key = kit_key(message->id);
    event.redeliver.message = &kit.frame.submit;
    event.redeliver.attempt = TRI_ATTEMPT(kit.options.epoch, n);
    event.redeliver.since_ms = message->timestamp_ms;
    event.redeliver.chains = kit.all;
    event.redeliver.chain_count = message->target_count;
    event.redeliver.client = CLIENT;
    return event;
}

static enum tri_result redeliver(const struct tri_message *message, uint32_t n)
{
    struct tri_event event = redelivery(message, n);

    return kit_step(&kit, &event);
}

/* OK of `chain`, which had applied the message before. */
static void say_applied(uint16_t chain, enum tri_phase phase, uint32_t n)
{
    struct tri_event event = kit_ack("m", chain, phase, n);

    event.phase_ack.attempt = TRI_ATTEMPT(kit.options.epoch, n);
    event.phase_ack.already_applied = true;
    (void)kit_step(&kit, &event);
}

/* Submits the message and drives it to its end: applied, recorded, closed. */
static void end_message(const struct tri_message *message)
{
    (void)kit_submit_as(&kit, message, 1);
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        for (uint16_t chain = 0; chain < message->target_count; chain++) {
            (void)kit_ok(&kit, "m", chain, (enum tri_phase)phase, 1);
        }
    }
    cr_assert_eq(kit_status(&kit, "m").ack_type, TRI_ACK_PROCESSED);
    (void)kit_said(&kit);
}

/* ---- the way ---- */

ENGINE_TEST(redeliver, F04_who_has_applied_says_so_and_no_record_is_made)
{
    struct tri_message message = pair_message(TRI_ALL_OR_NOTHING);

    end_message(&message);
    cr_assert_eq(redeliver(&message, 2), TRI_OK);
    SAID("PREPARE#2>01");
    cr_assert_eq(tri_engine_open_count(kit.engine), 1U);
    say_applied(0, TRI_PHASE_PREPARE, 2);
    say_applied(1, TRI_PHASE_PREPARE, 2);
    SAID("COMMIT#2>01");
    say_applied(1, TRI_PHASE_COMMIT, 2);
    say_applied(0, TRI_PHASE_COMMIT, 2);
    SAID("FINALIZE#2>01");
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_FINALIZE, 2);
    SAID("");
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_FINALIZE, 2);
    SAID("PROCESSED!9");
    cr_assert_eq(kit.effects.count, 0U); /* the journal's event */
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    cr_assert_eq(COUNT(forwards), 1U);
    cr_assert_eq(COUNT(forwarded), 1U);
    cr_assert_eq(COUNT(primary_records), 1U);
    cr_assert_eq(COUNT(decisions), 1U);
}

ENGINE_TEST(redeliver, F04_P13_the_frames_carry_the_locks_life_from_before_the_admission)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);

    end_message(&message);
    kit_pass(&kit, 100000);
    (void)redeliver(&message, 2);
    /* 60 s, 2 retries of 4 s, 3 attempts of 20 s + 60 s + 1 s (L01) */
    cr_assert_eq(kit.effects.count, 0U);
    cr_assert_eq(redeliver(&message, 3), TRI_STALE); /* it runs */
    say_applied(0, TRI_PHASE_PREPARE, 2);
    (void)kit_said(&kit);
    {
        struct tri_event event = kit_ack("m", 1, TRI_PHASE_PREPARE, 2);

        event.phase_ack.already_applied = true;
        (void)kit_step_only(&kit, &event);
    }
    cr_assert_eq(kit.effects.count, 1U);
    cr_assert_eq(kit.effects.at[0].send.kind, TRI_SEND_COMMIT);
    cr_assert_eq(kit.effects.at[0].round.expires_at_ms, KIT_WALL_MS + 311000);
    cr_assert_eq(kit.effects.at[0].round.reservation_ttl_ms, 311000U);
}

ENGINE_TEST(redeliver, F04_a_chain_that_is_away_gets_its_frame_when_it_is_back)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);

    end_message(&message);
    kit_chain(&kit, 1, false, false);
    (void)redeliver(&message, 2);
    SAID("PREPARE#2>0");
    kit_chain(&kit, 1, true, true);
    kit_pass(&kit, 0);
    SAID("PREPARE#2>1");
    kit_ask(&kit, "m", 1, TRI_ATTEMPT(KIT_EPOCH, 2));
    SAID(""); /* P14: it is open */
}

/* ---- what is known of the message meanwhile ---- */

ENGINE_TEST(redeliver, R01_a_duplicate_is_told_the_stored_result_all_along)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    struct tri_engine_status before;

    end_message(&message);
    before = kit_status(&kit, "m");
    (void)redeliver(&message, 2);
    (void)kit_said(&kit);
    (void)kit_submit_as(&kit, &message, 2);
    SAID("PROCESSED!2(dup)");
    cr_assert_not(kit_status(&kit, "m").is_open);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 2, TRI_ERROR_OPERATOR_REFUSED);
    SAID("ABORT#2>01 FAILED:OPERATOR_REFUSED!9");
    (void)kit_submit_as(&kit, &message, 2);
    SAID("PROCESSED!2(dup)");
    cr_assert_eq(kit_status(&kit, "m").round.attempt, before.round.attempt);
    cr_assert_eq(kit_status(&kit, "m").round.final_mask, 3U);
    cr_assert_eq(COUNT(processed), 1U);
    cr_assert_eq(COUNT(failed), 0U);
}

ENGINE_TEST(redeliver, R01_R02_of_a_forgotten_message_too)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    struct tri_message other = message;

    (void)redeliver(&message, 1);
    SAID("PREPARE#1>01");
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "REDELIVERING");
    (void)kit_submit_as(&kit, &message, 2);
    SAID("PROCESSED!2(dup)");
    other.payload = (struct tri_bytes){(const uint8_t *)"yap", 3};
    (void)kit_submit_as(&kit, &other, 2);
    SAID("REJECTED:DUPLICATE_ID_MISMATCH!2");
    say_applied(0, TRI_PHASE_PREPARE, 1);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_STALE);
    SAID("ABORT#1>1 FAILED:STALE!9");
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "GONE");
}

ENGINE_TEST(redeliver, R06_a_result_may_be_forgotten_while_it_runs)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);

    end_message(&message);
    kit_pass(&kit, 309000); /* remembered for the lock's life, 311 s */
    (void)redeliver(&message, 2);
    say_applied(0, TRI_PHASE_PREPARE, 2);
    kit_pass(&kit, 4000);
    (void)kit_said(&kit);
    (void)kit_submit_as(&kit, &message, 2); /* not taken for a new message, nor for a stale one */
    SAID("PROCESSED!2(dup)");
    say_applied(1, TRI_PHASE_PREPARE, 2);
    SAID("COMMIT#2>01");
}

ENGINE_TEST(redeliver, F04_a_restart_forgets_it_and_a_checkpoint_does_not_know_it)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    uint32_t count;

    end_message(&message);
    count = kept_count;
    (void)redeliver(&message, 2);
    say_applied(0, TRI_PHASE_PREPARE, 2);
    cr_assert_eq(kept_count, count);
    (void)kept_checkpoint(&kit);
    cr_assert_eq(kept_count, count + 2); /* REMEMBER, CHECKPOINT */
    cr_assert_eq(kept[count].kind, TRI_RECORD_REMEMBER);
    kept_drop_until(count);
    kept_restart(&kit);
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    cr_assert_eq(kit_status(&kit, "m").ack_type, TRI_ACK_PROCESSED);
    cr_assert_eq(kit_status(&kit, "m").round.attempt, TRI_ATTEMPT(KIT_EPOCH, 1));
    kept_connect(&kit);
    SAID("");
}

/* ---- what is not begun ---- */

ENGINE_TEST(redeliver, A08_only_what_has_a_primary_record_is_driven)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    struct tri_message best = pair_message(TRI_BEST_EFFORT);

    (void)kit_submit_as(&kit, &message, 1);
    (void)kit_said(&kit);
    cr_assert_eq(redeliver(&message, 2), TRI_STALE); /* open */
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kit_said(&kit);
    cr_assert_eq(redeliver(&message, 2), TRI_STALE); /* REJECTED */
    SAID("");
    best.id = kit_text("best");
    cr_assert_eq(redeliver(&best, 1), TRI_OK);
    SAID("REJECTED:NOT_ALLOWED!9");
    cr_assert_eq(COUNT(forwards), 0U);
}

ENGINE_TEST(redeliver, P10_R02_a_used_attempt_and_other_content_are_turned_away)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);

    end_message(&message);
    cr_assert_eq(redeliver(&message, 1), TRI_STALE);
    message.payload = (struct tri_bytes){(const uint8_t *)"yap", 3};
    cr_assert_eq(redeliver(&message, 2), TRI_OK);
    SAID("REJECTED:DUPLICATE_ID_MISMATCH!9");
    cr_assert_eq(COUNT(equivocations), 1U);
}

ENGINE_TEST(redeliver, R08_full_pools_refuse_and_keep_nothing)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    struct tri_event drain = {.type = TRI_EVENT_DRAIN};
    char id[8];

    for (uint32_t i = 0; i < 64; i++) {
        (void)snprintf(id, sizeof(id), "m%u", i);
        message.id = kit_text(id);
        cr_assert_eq(redeliver(&message, 1), TRI_OK);
        cr_assert_str_eq(kit_said(&kit), "PREPARE#1>01", "%s", id);
    }
    message.id = kit_text("one more");
    cr_assert_eq(redeliver(&message, 1), TRI_OK);
    SAID("REJECTED:BUSY!9");
    kit_pass(&kit, 5000);
    (void)kit_said(&kit);
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    cr_assert_eq(COUNT(forwards_failed), 64U);
    (void)redeliver(&message, 1);
    SAID("PREPARE#1>01");
    kit_pass(&kit, 5000);
    (void)kit_said(&kit);
    (void)kit_step(&kit, &drain);
    (void)redeliver(&message, 2);
    SAID("REJECTED:SHUTTING_DOWN!9");
}

ENGINE_TEST(redeliver, R07_what_waits_for_one_chain_holds_its_share_alone)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    char id[8];

    kept_close(&kit);
    kit_options(&kit);
    kit.options.chain_share_permille = 250; /* 16 of 64 */
    kit_start(&kit);
    kit.on_append = kept_keep;
    for (uint32_t i = 0; i < 17; i++) {
        (void)snprintf(id, sizeof(id), "m%u", i);
        message.id = kit_text(id);
        cr_assert_eq(redeliver(&message, 1), TRI_OK);
        cr_assert_str_eq(kit_said(&kit), i < 16 ? "PREPARE#1>01" : "REJECTED:BUSY!9");
    }
}

ENGINE_TEST(redeliver, D07_nothing_is_sent_once_the_journal_has_failed)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 100}};

    end_message(&message);
    (void)redeliver(&message, 2);
    (void)kit_said(&kit);
    (void)kit_step_only(&kit, &failed);
    say_applied(0, TRI_PHASE_PREPARE, 2);
    say_applied(1, TRI_PHASE_PREPARE, 2);
    SAID("");
    message.id = kit_text("n");
    (void)redeliver(&message, 1);
    SAID("REJECTED:JOURNAL_FAILED!9");
}

/* ---- every answer ---- */

enum said { FRESH, ALREADY, PASSING, FINAL, SILENT, SAID_COUNT };

static void say(uint16_t chain, enum tri_phase phase, uint32_t n, enum said said)
{
    switch (said) {
    case FRESH:
        (void)kit_ok(&kit, "m", chain, phase, n);
        return;
    case ALREADY:
        say_applied(chain, phase, n);
        return;
    case PASSING:
        (void)kit_reject(&kit, "m", chain, phase, n, TRI_ERROR_BUSY);
        return;
    case FINAL:
        (void)kit_reject(&kit, "m", chain, phase, n, TRI_ERROR_OPERATOR_REFUSED);
        return;
    default:
        return;
    }
}

static bool is_ok(enum said said)
{
    return said == FRESH || said == ALREADY;
}

struct story {
    uint32_t n;
    bool is_turned; /* chain 1 answers first */
    enum said said[TRI_PHASE_COUNT][2];
};

/* One phase: both answer, and time passes if it has not ended well.  Returns whether it has; *heard
 * is who was heard before the end. */
static bool tell_phase(const struct story *story, enum tri_phase phase, uint32_t *heard)
{
    const enum said *said = story->said[phase];
    uint64_t ended = COUNT(forwards_failed) + COUNT(forwarded);

    *heard = 0;
    for (uint32_t i = 0; i < 2; i++) {
        uint16_t chain = (uint16_t)(story->is_turned ? 1 - i : i);

        if (COUNT(forwards_failed) + COUNT(forwarded) == ended) {
            say(chain, phase, story->n, said[chain]);
            *heard |= said[chain] == SILENT ? 0 : 1U << chain;
        }
    }
    if (is_ok(said[0]) && is_ok(said[1])) {
        return true;
    }
    kit_pass(&kit, phase == TRI_PHASE_COMMIT ? 10000 : 5000);
    return false;
}

/* Who gets ABORT when the story ends in `phase`: who may hold a fresh reservation. */
static uint32_t expect_abort(const struct story *story, enum tri_phase phase, uint32_t heard)
{
    uint32_t abort = 0;

    for (uint32_t chain = 0; chain < 2; chain++) {
        bool is_heard = (heard >> chain & 1U) != 0;
        bool was_fresh = story->said[TRI_PHASE_PREPARE][chain] == FRESH;

        if (phase == TRI_PHASE_PREPARE && !(is_heard && story->said[phase][chain] == ALREADY)) {
            abort |= 1U << chain;
        }
        if (phase == TRI_PHASE_COMMIT && was_fresh && !is_ok(story->said[phase][chain])) {
            abort |= 1U << chain;
        }
    }
    return abort;
}

static void judge_end(const struct story *story, enum tri_phase phase, bool is_done, uint32_t heard)
{
    static const char *const aborts[] = {"", "ABORT#", "ABORT#", "ABORT#"};
    uint32_t expected = is_done ? 0 : expect_abort(story, phase, heard);
    const char *said = kit_said(&kit);
    const char *abort = strstr(said, "ABORT#");
    const char *to = abort == NULL ? NULL : strchr(abort, '>') + 1;
    uint32_t aborted = 0;

    cr_assert_str_eq(aborts[expected], abort == NULL ? "" : "ABORT#");
    for (; to != NULL && *to >= '0' && *to <= '9'; to++) {
        aborted |= 1U << (*to - '0');
    }
    cr_assert_eq(aborted, expected, "%s", said);
    cr_assert_null(strstr(said, "ROLLBACK"));
    cr_assert_null(strchr(said, '=')); /* no record */
    cr_assert_not_null(strstr(said, is_done ? "PROCESSED!9" : "FAILED:"));
}

static void tell(const struct tri_message *message, const struct story *story)
{
    uint32_t heard = 0;
    uint32_t phase = 0;
    bool is_done = true;

    cr_assert_eq(redeliver(message, story->n), TRI_OK);
    while (is_done && phase < TRI_PHASE_COUNT) {
        is_done = tell_phase(story, (enum tri_phase)phase, &heard);
        phase++;
    }
    judge_end(story, (enum tri_phase)(phase - 1), is_done, heard);
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
}

ENGINE_TEST(redeliver, F04_A08_every_answer_of_two_chains_leads_forward_or_ends)
{
    struct tri_message message = pair_message(TRI_ALL_OR_NOTHING);
    struct story story = {.n = 1};
    uint32_t records;
    uint32_t total = 1;

    kept_close(&kit);
    kit_options(&kit);
    kit.options.policies[TRI_TYPE_REGULATORY_ACTION][TRI_SUBTYPE_NONE].dedup_window_ms = 1000000000;
    kit_start(&kit);
    kit.on_append = kept_keep;
    end_message(&message);
    records = kept_count;
    for (uint32_t i = 0; i < TRI_PHASE_COUNT * 2; i++) {
        total *= SAID_COUNT;
    }
    for (uint32_t number = 0; number < 2 * total; number++) {
        uint32_t rest = number / 2;

        story.is_turned = number % 2 != 0;
        for (uint32_t i = 0; i < TRI_PHASE_COUNT * 2; i++) {
            story.said[i / 2][i % 2] = (enum said)(rest % SAID_COUNT);
            rest /= SAID_COUNT;
        }
        story.n++;
        tell(&message, &story);
    }
    cr_assert_eq(story.n, 1U + 2U * 15625U);
    /* 2^2 ways through each of PREPARE, COMMIT and FINALIZE, in two orders. */
    cr_assert_eq(COUNT(forwarded), 2U * 64U);
    cr_assert_eq(COUNT(forwards_failed), 2U * (15625U - 64U));
    cr_assert_eq(kept_count, records);
    cr_assert_eq(kit_status(&kit, "m").ack_type, TRI_ACK_PROCESSED);
    cr_assert_eq(kit_status(&kit, "m").round.attempt, TRI_ATTEMPT(kit.options.epoch, 1));
    cr_assert_eq(COUNT(rollbacks), 0U);
}

ENGINE_TEST(redeliver, F04_the_rows_tell_what_is_known)
{
    struct tri_message message = pair_message(TRI_GUARANTEED);
    const struct tri_effect *told = &kit.effects.at[1];
    struct tri_event tick = {.type = TRI_EVENT_TICK};

    end_message(&message);
    (void)redeliver(&message, 2);
    say_applied(0, TRI_PHASE_PREPARE, 2);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_PREPARE, 2); /* the mark is lost, or it never applied */
    SAID("PREPARE#2>01 COMMIT#2>01");
    kit.now_ns += 10000 * TRI_NS_PER_MS;
    (void)kit_step_only(&kit, &tick);
    SAID("ABORT#2>1 FAILED:NO_ANSWER!9");
    cr_assert_eq(told->round.applied_mask, 1U); /* it has said so */
    cr_assert_eq(told->round.unknown_mask, 2U); /* P11 */
    cr_assert_eq(told->round.refused_mask, 0U);
    cr_assert_eq(told->round.targets[1].code, TRI_ERROR_NO_ANSWER);
    cr_assert(told->notify.has_targets);
    cr_assert_eq(told->after_lsn, 0U);
}
