/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restart: where each stage goes on, by the frames that follow, and what is remembered.  A story is
 * told up to a record, the engine starts again from the records, and the story goes on.
 */
#include <criterion/criterion.h>

#include "tests/unit/restore_kit.h"

KEPT_BENCH

#define OLD(n) TRI_ATTEMPT(KIT_EPOCH, n)
#define NEW(n) TRI_ATTEMPT(KIT_EPOCH + 1, n)

/* ---- the table of stages ---- */

/* The offset of a record's stage: behind key, content and canonical bytes. */
static uint32_t stage_at(const struct kept *image)
{
    uint32_t canonical_bytes = 0;
    uint32_t at = 16 + 16 + 8 + 4 + 12 + 8 + 2 + 2;

    for (uint32_t i = 0; i < 4; i++) {
        canonical_bytes |= (uint32_t)image->at[at + i] << (8 * i);
    }
    return at + 4 + canonical_bytes;
}

/* A picture of "m" with its stage exchanged; who is to be rolled back is everybody. */
static struct kept picture(enum tri_atomicity atomicity, bool finalize_requested, uint8_t stage)
{
    struct tri_message message = kit_message("m", atomicity);
    struct kept image;
    uint32_t at;

    message.finalize_requested = finalize_requested;
    (void)kit_submit_as(&kit, &message, 1);
    (void)kept_checkpoint(&kit);
    image = *kept_last(TRI_RECORD_IMAGE);
    at = stage_at(&image);
    image.at[at] = stage;
    image.at[at + 1 + 8 + 2 + 2 + 1 + 8 + 1 + 5] = stage == 2 ? 7 : 0; /* affected */
    return image;
}

/* Where the stage goes on: the state, and the frames that the chains get; NULL = it cannot be. */
static void goes_on(enum tri_atomicity atomicity, bool finalize_requested, uint8_t stage,
                    const char *state, const char *frames)
{
    struct kept image = picture(atomicity, finalize_requested, stage);
    const char *fault = NULL;
    enum tri_result result;

    kept_init(&kit);
    result = kept_replay(&kit, image.kind, image.at, image.bytes, &fault);
    cr_assert_eq(result, state == NULL ? TRI_VIOLATION : TRI_OK, "stage %u of %s", stage,
                 tri_atomicity_name(atomicity));
    cr_assert_eq(fault != NULL, state == NULL);
    kept_resume(&kit);
    if (state != NULL) {
        cr_assert_str_eq(kit_status(&kit, "m").round.state, state);
        kept_connect(&kit);
        cr_assert_str_eq(kit_said(&kit), frames);
    } else {
        cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    }
    kept_close(&kit);
    kept_open(&kit);
}

ENGINE_TEST(restore, D02_every_stage_of_every_strategy_goes_on_in_one_way)
{
    const char *commit = "COMMIT#1>0 COMMIT#1>1 COMMIT#1>2";
    const char *rollback = "ROLLBACK#1>0 ROLLBACK#1>1 ROLLBACK#1>2";
    const char *finalize = "FINALIZE#1>0 FINALIZE#1>1 FINALIZE#1>2";

    goes_on(TRI_GUARANTEED, false, 0, "BACKOFF", "");
    goes_on(TRI_GUARANTEED, false, 1, "COMMITTING", commit);
    goes_on(TRI_GUARANTEED, false, 2, NULL, NULL);
    goes_on(TRI_GUARANTEED, false, 3, "FINALIZING", finalize);
    goes_on(TRI_GUARANTEED, false, 4, NULL, NULL);
    goes_on(TRI_GUARANTEED, false, 5, "BACKOFF", "");
    goes_on(TRI_ALL_OR_NOTHING, false, 0, "BACKOFF", "");
    goes_on(TRI_ALL_OR_NOTHING, false, 1, "COMMITTING", commit);
    goes_on(TRI_ALL_OR_NOTHING, false, 2, "ROLLING_BACK", rollback);
    goes_on(TRI_ALL_OR_NOTHING, false, 3, "FINALIZING", finalize);
    goes_on(TRI_ALL_OR_NOTHING, false, 4, NULL, NULL);
    goes_on(TRI_ALL_OR_NOTHING, false, 5, "BACKOFF", "");
    goes_on(TRI_BEST_EFFORT, false, 0, NULL, NULL);
    goes_on(TRI_BEST_EFFORT, false, 1, "COMMITTING", commit);
    goes_on(TRI_BEST_EFFORT, true, 1, "COMMITTING", commit);
    for (uint8_t stage = 2; stage <= 6; stage++) {
        goes_on(TRI_BEST_EFFORT, false, stage, NULL, NULL);
        goes_on(TRI_BEST_EFFORT, true, stage, NULL, NULL);
    }
    goes_on(TRI_GUARANTEED, false, 6, NULL, NULL);
    goes_on(TRI_GUARANTEED, false, 255, NULL, NULL);
}

/* ---- stories ---- */

ENGINE_TEST(restore, D01_an_accepted_message_is_known_and_shown_at_once)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kept_restart(&kit);
    cr_assert_eq(tri_engine_open_count(kit.engine), 1U);
    cr_assert(kit_status(&kit, "m").is_open);
    cr_assert_eq(kit_status(&kit, "m").round.atomicity, TRI_GUARANTEED);
    cr_assert_eq(kit_status(&kit, "m").round.target_count, 3U);
    cr_assert_eq(kit_status(&kit, "m").round.attempt, OLD(1));
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("RECEIVED(dup)");
}

ENGINE_TEST(restore, D02_P10_an_undecided_attempt_is_replaced_and_uses_up_no_retry)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1); /* decided, and the record is lost */
    kept_drop_until(0);
    free(kept[--kept_count].at);
    kept_restart(&kit);
    kept_connect(&kit);
    kept_all_answer(&kit, "m", TRI_PHASE_PREPARE, OLD(1));
    SAID("ABORT#1>chain 0 ABORT#1>chain 1 ABORT#1>chain 2");
    kit_pass(&kit, 1000);
    SAID("ATTEMPT=1 PREPARE#1>012@1");
    cr_assert_eq(kit_status(&kit, "m").round.attempt, NEW(1));
    cr_assert_eq(kit_status(&kit, "m").round.retries, 0U);
    kept_all_answer(&kit, "m", TRI_PHASE_PREPARE, NEW(1));
    SAID("DECISION=2 COMMIT#1>012@2");
}

ENGINE_TEST(restore, D02_P05_a_decision_is_sent_again_with_its_attempt_and_tokens)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    kept_restart(&kit);
    kit_chain(&kit, 1, true, true);
    (void)kit_said(&kit);
    kept_connect(&kit);
    for (uint32_t i = 0; i < 3; i++) {
        const struct tri_target *target = &kit_status(&kit, "m").round.targets[i];
        const uint8_t tokens[3] = {0x91, 0xa1, (uint8_t)('x' + i)};

        cr_assert_eq(target->token_set_bytes, 3U);
        cr_assert_arr_eq(target->tokens, tokens, 3);
    }
    cr_assert_eq(kit_status(&kit, "m").round.applied_mask, 0U); /* it is asked again */
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 7U); /* A11 */
    (void)kit_said(&kit);
    kept_all_answer(&kit, "m", TRI_PHASE_COMMIT, OLD(1));
    SAID("PRIMARY=1 FINALIZE#1>012@1");
    kept_all_answer(&kit, "m", TRI_PHASE_FINALIZE, OLD(1));
    SAID("CLOSE=2");
    cr_assert_eq(kit_status(&kit, "m").ack_type, TRI_ACK_PROCESSED);
}

ENGINE_TEST(restore, D01_status_shows_the_attempt_that_a_restart_ended_until_the_next_is_durable)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kept_restart(&kit);
    kit.is_slow = true;
    kit_pass(&kit, 1000);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "BACKOFF");
    cr_assert_eq(kit_status(&kit, "m").round.attempt, OLD(1));
    cr_assert_eq(kit_status(&kit, "m").round.retries, 0U);
    kit_durable(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "PREPARING");
    cr_assert_eq(kit_status(&kit, "m").round.attempt, NEW(1));
    cr_assert_eq(kit_status(&kit, "m").round.retries, 0U);
}

ENGINE_TEST(restore, A08_behind_a_primary_record_only_finalize_is_left)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    kept_restart(&kit);
    kept_connect(&kit);
    SAID("FINALIZE#1>0 FINALIZE#1>1 FINALIZE#1>2");
    kit_pass(&kit, 5000 + 1000 + 2001 + 4000); /* nobody answers: retries used up */
    cr_assert_eq(kit_status(&kit, "m").ack_type, TRI_ACK_PROCESSED);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_FINALIZE_INCOMPLETE);
    cr_assert_eq(kit_status(&kit, "m").round.applied_mask, 7U);
}

ENGINE_TEST(restore, D04_A08_a_primary_record_of_an_older_journal_is_taken_and_belongs_to_no_record)
{
    struct tri_replayed replayed;
    const char *fault = NULL;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    kept_init(&kit);
    kept_replay_all(&kit, kept_count - 1);
    tri_engine_replayed(kit.engine, &replayed);
    cr_assert(replayed.oss_epoch == 1 && replayed.issued_at_ms == KIT_WALL_MS);
    kept[kept_count - 1].bytes -= 16; /* its place */
    cr_assert_eq(kept_replay(&kit, TRI_RECORD_PRIMARY, kept[kept_count - 1].at,
                             kept[kept_count - 1].bytes, &fault),
                 TRI_STALE);
    tri_engine_replayed(kit.engine, &replayed);
    cr_assert(replayed.oss_epoch == 0 && !replayed.is_known);
    kept_replay_all(&kit, 0);
    tri_engine_replayed(kit.engine, &replayed);
    cr_assert(replayed.oss_epoch == 0 && replayed.issued_at_ms == 0 && replayed.is_known);
    kept_resume(&kit);
    (void)kit_said(&kit);
    kept_connect(&kit);
    SAID("FINALIZE#1>0 FINALIZE#1>1 FINALIZE#1>2");
}

ENGINE_TEST(restore, A07_a_rollback_goes_on_within_its_window)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    kit_pass(&kit, 10000);
    (void)kit_said(&kit);
    kit_undone(&kit, "m", 0, 1);
    kit.wall_ms += 40000; /* the restart takes its time */
    kept_restart(&kit);
    kept_connect(&kit);
    SAID("ROLLBACK#1>0 ROLLBACK#1>1 ROLLBACK#1>2");
    cr_assert_eq(kit_status(&kit, "m").round.undone_mask, 0U);
    kit_undone(&kit, "m", 0, 1);
    kit_undone(&kit, "m", 1, 1);
    kit_pass(&kit, 19990);
    cr_assert(kit_status(&kit, "m").is_open);
    kit_pass(&kit, 10);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_ROLLBACK_INCOMPLETE);
    cr_assert_eq(kit_status(&kit, "m").round.undone_mask, 3U);
}

ENGINE_TEST(restore,
            A07_L07_a_window_that_is_over_is_long_enough_to_send_once_and_no_longer_than_itself)
{
    static const int64_t jumps_ms[] = {3600000, -3600000};
    static const uint64_t windows_ms[] = {60000 / 8, 60000};

    for (uint32_t i = 0; i < 2; i++) {
        kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
        kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
        kit_pass(&kit, 10000);
        kit.wall_ms = (uint64_t)((int64_t)kit.wall_ms + jumps_ms[i]);
        kept_restart(&kit);
        kept_connect(&kit);
        kit_pass(&kit, windows_ms[i] - 1);
        cr_assert(kit_status(&kit, "m").is_open);
        kit_pass(&kit, 1);
        cr_assert_not(kit_status(&kit, "m").is_open);
        kept_close(&kit);
        kept_open(&kit);
    }
}

ENGINE_TEST(restore, D02_P14_a_decided_attempt_that_was_given_up_is_not_sent_again)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_BUSY);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_BUSY);
    kit_pass(&kit, 10000); /* chain 2 is silent */
    SAID("ABORT#1>012 IMAGE=3");
    kept_restart(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "BACKOFF");
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 4U); /* A11 */
    kept_connect(&kit);
    SAID("");
    kit_pass(&kit, 1000);
    SAID("ATTEMPT=1 PREPARE#1>012@1");
    cr_assert_eq(kit_status(&kit, "m").round.retries, 1U); /* R03: it had failed by itself */
}

ENGINE_TEST(restore, D02_the_decision_is_sent_again_if_the_record_of_its_end_is_lost)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_pass(&kit, 10000);
    free(kept[--kept_count].at);
    kept_restart(&kit);
    kept_connect(&kit);
    SAID("COMMIT#1>0 COMMIT#1>1 COMMIT#1>2");
    kept_all_answer(&kit, "m", TRI_PHASE_COMMIT, OLD(1));
    SAID("PRIMARY=1 FINALIZE#1>012@1");
}

ENGINE_TEST(restore, A11_who_may_have_applied_is_known_in_the_next_attempt)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_BUSY);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_BUSY);
    kit_pass(&kit, 10000 + 1000); /* chain 2 is silent; attempt 2 begins */
    cr_assert_eq(kit_status(&kit, "m").round.retries, 1U);
    kept_restart(&kit);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 4U);
    cr_assert_eq(kit_status(&kit, "m").round.retries, 1U); /* R03 */
    kit_pass(&kit, 2001);
    kit_pass(&kit, 5000);
    kit_pass(&kit, 4000);
    kit_pass(&kit, 5000);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_RECONCILIATION_REQUIRED);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 4U);
}

ENGINE_TEST(restore, R03_restarts_and_checkpoints_use_up_no_retry)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_pass(&kit, 5000 + 1000); /* the first attempt fails, the second begins */
    for (uint32_t i = 0; i < 5; i++) {
        kept_restart(&kit);
        (void)kept_checkpoint(&kit); /* before the next attempt begins */
        cr_assert_eq(kit_status(&kit, "m").round.retries, 1U);
    }
    kept_restart(&kit);
    kit_pass(&kit, 2001);
    cr_assert_eq(kit_status(&kit, "m").round.retries, 1U);
    cr_assert_eq(kit_status(&kit, "m").round.attempt, TRI_ATTEMPT(KIT_EPOCH + 6, 1));
}

ENGINE_TEST(restore, R03_a_failed_attempt_counts_if_a_record_has_met_it)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_pass(&kit, 5000); /* failed, the next one is waited for */
    (void)kept_checkpoint(&kit);
    kept_restart(&kit);
    kit_pass(&kit, 1000);
    cr_assert_eq(kit_status(&kit, "m").round.retries, 1U);
}

/* ---- what is remembered ---- */

static void expect_result(const char *said)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID(said);
}

ENGINE_TEST(restore, R01_R02_a_result_is_the_same_and_other_content_is_refused)
{
    struct tri_message other = kit_message("m", TRI_GUARANTEED);
    struct tri_engine_status before;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    before = kit_status(&kit, "m");
    for (uint32_t i = 0; i < 3; i++) { /* from OUTCOME, and twice from REMEMBER */
        struct tri_engine_status after;

        kept_restart(&kit);
        after = kit_status(&kit, "m");
        cr_assert_not(after.is_open);
        cr_assert_eq(after.round.refused_mask, before.round.refused_mask);
        cr_assert_eq(after.round.attempt, OLD(1));
        cr_assert_eq(after.round.target_count, 3U);
        cr_assert_eq(after.round.targets[2].chain, 2U);
        expect_result("REJECTED:OPERATOR_REFUSED(dup)");
        other.payload = (struct tri_bytes){(const uint8_t *)"yap", 3};
        (void)kit_submit_as(&kit, &other, 1);
        SAID("REJECTED:DUPLICATE_ID_MISMATCH");
        (void)kept_checkpoint(&kit);
        kept_drop_until(kept_count - 2);
    }
}

ENGINE_TEST(restore, D01_close_ends_what_the_primary_record_has_said)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
    kept_restart(&kit);
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    cr_assert_eq(kit_status(&kit, "m").round.final_mask, 7U);
    expect_result("PROCESSED(dup)");
}

ENGINE_TEST(restore, D01_a_checkpoint_remembers_what_waits_for_its_outcome)
{
    kit.is_slow = true;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kept_checkpoint(&kit);
    cr_assert_eq(kept[2].kind, TRI_RECORD_REMEMBER);
    kit.is_slow = false;
    kept_drop_until(2);
    kept_restart(&kit);
    expect_result("REJECTED:OPERATOR_REFUSED(dup)");
}

ENGINE_TEST(restore, R06_a_result_is_forgotten_when_its_window_is_over)
{
    const char *fault = NULL;

    kit_submit(&kit, "m", TRI_GUARANTEED); /* window: the lock, 311 s */
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kept_checkpoint(&kit);
    kit.wall_ms += 310000;
    kit.now_ns += 310000 * TRI_NS_PER_MS;
    kept_restart(&kit);
    cr_assert_not(kit_status(&kit, "m").is_open);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "REJECTED");
    kit.wall_ms += 5000;
    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, kept[0].kind, kept[0].at, kept[0].bytes, &fault), TRI_OK);
    cr_assert_eq(kept_replay(&kit, kept[1].kind, kept[1].at, kept[1].bytes, &fault), TRI_STALE);
    cr_assert_eq(kept_replay(&kit, kept[2].kind, kept[2].at, kept[2].bytes, &fault), TRI_STALE);
    kept_resume(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "GONE");
}

ENGINE_TEST(restore, R06_L07_a_clock_that_goes_back_lengthens_no_window)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    kit.wall_ms -= 3600000;
    kept_restart(&kit);
    kit_pass(&kit, 340000);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "GONE");
}

ENGINE_TEST(restore, R06_what_is_over_takes_no_place)
{
    kit.options.rounds_max = 2;
    kit.options.dedup_entries_max = 2;
    kept_init(&kit);
    kept_connect(&kit);
    for (uint32_t i = 0; i < 20; i++) {
        char id[8];
        struct tri_message message;

        (void)snprintf(id, sizeof(id), "m%u", i);
        message = kit_message(id, TRI_BEST_EFFORT);
        message.timestamp_ms = kit.wall_ms;
        (void)kit_submit_as(&kit, &message, 1);
        for (uint16_t chain = 0; chain < 3; chain++) {
            kept_answer(&kit, id, chain, TRI_PHASE_COMMIT, NEW(1));
        }
        cr_assert_eq(kit_status(&kit, id).ack_type, TRI_ACK_PROCESSED);
        kit_pass(&kit, i == 19 ? 0 : 340000);
    }
    kept_restart(&kit);
    cr_assert_str_eq(kit_status(&kit, "m18").round.state, "GONE");
    cr_assert_str_eq(kit_status(&kit, "m19").round.state, "PROCESSED");
}

/* ---- what cannot be taken back ---- */

ENGINE_TEST(restore, R08_smaller_capacities_are_refused_with_a_sentence)
{
    const char *fault = NULL;

    kit_submit(&kit, "m1", TRI_GUARANTEED);
    kit_submit(&kit, "m2", TRI_GUARANTEED);
    kit.options.rounds_max = 1;
    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, kept[0].kind, kept[0].at, kept[0].bytes, &fault), TRI_OK);
    cr_assert_eq(kept_replay(&kit, kept[1].kind, kept[1].at, kept[1].bytes, &fault), TRI_FULL);
    cr_assert_str_eq(fault, "more messages were open or remembered than the capacities allow");
}

ENGINE_TEST(restore, R08_a_smaller_table_is_refused_with_a_sentence)
{
    const char *fault = NULL;

    for (uint32_t i = 0; i < 2; i++) {
        const char *id = i == 0 ? "m1" : "m2";

        kit_submit(&kit, id, TRI_GUARANTEED);
        (void)kit_reject(&kit, id, 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    }
    (void)kept_checkpoint(&kit);
    kit.options.rounds_max = kit.options.dedup_entries_max = 1;
    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, kept[4].kind, kept[4].at, kept[4].bytes, &fault), TRI_OK);
    cr_assert_eq(kept_replay(&kit, kept[5].kind, kept[5].at, kept[5].bytes, &fault), TRI_FULL);
    cr_assert_str_eq(fault, "more messages are remembered than dedup_entries_max allows");
}

/* One small slot and one large one; the small message that was in the small one stands behind the
 * other in the checkpoint. */
ENGINE_TEST(restore, R08_what_fitted_fits_again_though_it_comes_in_another_order)
{
    static uint8_t payload[2000];
    struct tri_message large = kit_message("large", TRI_GUARANTEED);
    uint32_t first = 0;

    large.payload = (struct tri_bytes){payload, sizeof(payload)};
    memset(kit.options.body_counts, 0, sizeof(kit.options.body_counts));
    kit.options.body_counts[0] = kit.options.body_counts[3] = 1;
    kit.options.chain_share_permille = 1000;
    kit.options.epoch = KIT_EPOCH - 1;
    kept_init(&kit);
    kit_submit(&kit, "a", TRI_GUARANTEED);
    kit_submit(&kit, "b", TRI_GUARANTEED);
    (void)kit_reject(&kit, "a", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kit_reject(&kit, "b", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    kit_submit(&kit, "small", TRI_GUARANTEED); /* where b was, in a's slot */
    kit_submit(&kit, "first", TRI_GUARANTEED); /* where a was, in b's slot */
    first = kept_count;
    (void)kept_checkpoint(&kit);
    kept_drop_until(first);
    (void)kit_reject(&kit, "first", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kit_submit_as(&kit, &large, 1);
    cr_assert_eq(tri_engine_open_count(kit.engine), 2U);
    kept_restart(&kit);
    cr_assert_eq(tri_engine_open_count(kit.engine), 2U);
    kit_submit(&kit, "small", TRI_GUARANTEED); /* it is what it was */
    SAID("RECEIVED(dup)");
    (void)kit_submit_as(&kit, &large, 1);
    SAID("RECEIVED(dup)");
    kit_submit(&kit, "new", TRI_GUARANTEED);
    SAID("REJECTED:BUSY");
}

ENGINE_TEST(restore, a_chain_that_is_not_configured_stops_an_open_message_alone)
{
    kit_submit(&kit, "m1", TRI_GUARANTEED);
    (void)kit_reject(&kit, "m1", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    kept_chains[2] = UINT16_MAX;
    kept_restart(&kit);
    cr_assert_eq(kit_status(&kit, "m1").code, TRI_ERROR_OPERATOR_REFUSED);
    cr_assert_not(kit_status(&kit, "m1").has_targets);
    kept_chains[2] = 2;
    kit_submit(&kit, "m2", TRI_GUARANTEED);
    kept_chains[2] = UINT16_MAX;
    kept_init(&kit);
    kept_replay_all(&kit, 0);
    cr_assert_eq(tri_engine_resume(kit.engine, kit.now_ns, kit.wall_ms), TRI_GONE);
}

ENGINE_TEST(restore, D06_chains_may_be_numbered_anew)
{
    static const uint16_t turned[3] = {2, 0, 1};
    struct tri_engine_chain chains[3];

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    memcpy(chains, kit.chains, sizeof(chains));
    for (uint32_t i = 0; i < 3; i++) {
        kit.chains[turned[i]] = chains[i];
        kept_chains[i] = turned[i];
    }
    kept_restart(&kit);
    kit_chain(&kit, 2, true, true);
    kit_pass(&kit, 0);
    SAID("COMMIT#1>2");
    cr_assert_eq(kit_status(&kit, "m").round.targets[0].chain, 2U);
    cr_assert_eq(kit_status(&kit, "m").round.targets[0].tokens[2], 'x');
}

ENGINE_TEST(restore, records_of_an_unknown_message_are_skipped)
{
    const char *fault = NULL;

    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_pass(&kit, 5000 + 1000);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 2);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 2);
    kit_pass(&kit, 10000 + 60000);
    kept_init(&kit);
    cr_assert_eq(kept_count, 5U); /* ACCEPT ATTEMPT DECISION ROLLBACK OUTCOME */
    for (uint32_t i = 1; i < 5; i++) {
        cr_assert_eq(kept_replay(&kit, kept[i].kind, kept[i].at, kept[i].bytes, &fault), TRI_STALE);
        cr_assert_null(fault);
    }
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
}

ENGINE_TEST(restore, P10_an_epoch_that_went_back_is_refused)
{
    const char *fault = NULL;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit.options.epoch = KIT_EPOCH - 1;
    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, kept[0].kind, kept[0].at, kept[0].bytes, &fault), TRI_VIOLATION);
    cr_assert_str_eq(fault, "an attempt of this start or a later one: the number of the start went "
                            "back");
}

ENGINE_TEST(restore, records_that_contradict_each_other_are_refused)
{
    const char *fault = NULL;
    struct kept decision;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    decision = *kept_last(TRI_RECORD_DECISION);
    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, kept[0].kind, kept[0].at, kept[0].bytes, &fault), TRI_OK);
    cr_assert_eq(kept_replay(&kit, kept[0].kind, kept[0].at, kept[0].bytes, &fault), TRI_VIOLATION);
    cr_assert_str_eq(fault, "an open message is accepted again");
    decision.at[16 + 1 + 8 + 2 + 2 + 1 + 8 + 1 + 6] = 1; /* its first two targets change places */
    decision.at[16 + 1 + 8 + 2 + 2 + 1 + 8 + 1 + 6 + 7] = 0;
    cr_assert_eq(kept_replay(&kit, decision.kind, decision.at, decision.bytes, &fault),
                 TRI_VIOLATION);
    cr_assert_str_eq(fault, "the record has other targets than its message");
    decision.at[16 + 1 + 8 + 2 + 2 + 1 + 8 + 1 + 6 + 7] = 1;
    cr_assert_eq(kept_replay(&kit, decision.kind, decision.at, decision.bytes, &fault),
                 TRI_VIOLATION);
    cr_assert_str_eq(fault, "no error code, or a target twice");
}
