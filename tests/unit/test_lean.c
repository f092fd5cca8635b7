/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lean records: what a record leaves out is found in those before it (record.h), wherever a
 * checkpoint or a restart cuts the journal; and where it is not found, nothing is made up.
 */
#include <criterion/criterion.h>

#include "tests/unit/restore_kit.h"

KEPT_BENCH

#define OLD(n) TRI_ATTEMPT(KIT_EPOCH, n)
#define NEW(n) TRI_ATTEMPT(KIT_EPOCH + 1, n)

/* The chains' tokens of "m" are those that they gave. */
static void has_tokens(void)
{
    struct tri_engine_status status = kit_status(&kit, "m");

    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t tokens[3] = {0x91, 0xa1, (uint8_t)('x' + i)};

        cr_assert_eq(status.round.targets[i].chain, i);
        cr_assert_eq(status.round.targets[i].token_set_bytes, 3U);
        cr_assert_arr_eq(status.round.targets[i].tokens, tokens, 3);
    }
}

ENGINE_TEST(lean, P05_A08_a_primary_record_has_the_tokens_of_its_decision)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    kept_restart(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "FINALIZING");
    has_tokens();
}

ENGINE_TEST(lean, P05_A08_a_primary_record_has_the_tokens_of_the_picture_before_it)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kept_checkpoint(&kit);
    kept_drop_until(2); /* what follows is IMAGE CHECKPOINT PRIMARY */
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    cr_assert_eq(kept[0].kind, TRI_RECORD_IMAGE);
    cr_assert_eq(kept[2].kind, TRI_RECORD_PRIMARY);
    kept_restart(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "FINALIZING");
    has_tokens();
}

ENGINE_TEST(lean, P05_A08_a_primary_record_of_a_decision_from_before_the_restart)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_NO_RESERVATION);
    (void)kept_checkpoint(&kit); /* it pictures the refusal */
    kept_restart(&kit);
    kept_connect(&kit);
    kept_all_answer(&kit, "m", TRI_PHASE_COMMIT, OLD(1));
    kept_restart(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "FINALIZING");
    cr_assert_eq(kit_status(&kit, "m").round.applied_mask, 7U);
    has_tokens();
}

/* A checkpoint has begun, eight messages are pictured, "m" is the ninth; tell_rest() tells what
 * befalls it before it is pictured, if it still is. */
static void overtake(void (*tell_rest)(void))
{
    struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};
    uint32_t first;

    for (uint32_t i = 0; i < 8; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "m%u", i);
        kit_submit(&kit, id, TRI_GUARANTEED);
    }
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    first = kept_count;
    (void)kit_step(&kit, &event);
    tell_rest();
    (void)kept_checkpoint(&kit);
    kept_drop_until(first);
    cr_assert_eq(kept[7].kind, TRI_RECORD_IMAGE);
    cr_assert_eq(kept[8].kind, TRI_RECORD_PRIMARY);
    kept_restart(&kit);
    cr_assert_eq(tri_engine_open_count(kit.engine), kit_status(&kit, "m").is_open ? 9U : 8U);
}

static void commit(void)
{
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
}

static void commit_and_finalize(void)
{
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
}

ENGINE_TEST(lean, P05_A08_a_primary_record_before_the_picture_is_skipped)
{
    overtake(commit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "FINALIZING");
    has_tokens();
}

ENGINE_TEST(lean, D01_a_close_record_before_the_picture_is_skipped)
{
    overtake(commit_and_finalize);
    cr_assert_eq(kept[9].kind, TRI_RECORD_CLOSE);
    cr_assert_eq(kit_status(&kit, "m").ack_type, TRI_ACK_PROCESSED);
    cr_assert_eq(kit_status(&kit, "m").round.final_mask, 7U);
    cr_assert_eq(kit_status(&kit, "m").round.attempt, OLD(1));
}

ENGINE_TEST(lean, P05_a_new_attempt_has_no_tokens_and_no_codes_of_the_one_before)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_PREPARE, 1);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_BUSY);
    (void)kept_checkpoint(&kit);
    kept_restart(&kit);
    cr_assert_eq(kit_status(&kit, "m").round.targets[0].token_set_bytes, 3U);
    cr_assert_eq(kit_status(&kit, "m").round.targets[1].code, TRI_ERROR_BUSY);
    kit_pass(&kit, 1000);
    kept_restart(&kit);
    cr_assert_eq(kit_status(&kit, "m").round.attempt, NEW(1));
    cr_assert_eq(kit_status(&kit, "m").round.targets[0].token_set_bytes, 0U);
    cr_assert_eq(kit_status(&kit, "m").round.targets[1].code, TRI_ERROR_NONE);
}

ENGINE_TEST(lean, A08_what_only_a_decision_or_a_primary_record_allows_is_refused_without_it)
{
    const char *fault = NULL;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_pass(&kit, 5000 + 1000);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 2);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 2);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 2);
    cr_assert_eq(kept_count, 5U); /* ACCEPT ATTEMPT DECISION PRIMARY CLOSE */
    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, kept[3].kind, kept[3].at, kept[3].bytes, &fault), TRI_STALE);
    cr_assert_eq(kept_replay(&kit, kept[4].kind, kept[4].at, kept[4].bytes, &fault), TRI_STALE);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(kept_replay(&kit, kept[i].kind, kept[i].at, kept[i].bytes, &fault), TRI_OK);
        cr_assert_eq(kept_replay(&kit, kept[3].kind, kept[3].at, kept[3].bytes, &fault),
                     TRI_VIOLATION);
        cr_assert_str_eq(fault, "a primary record without the decision of its attempt");
    }
    cr_assert_eq(kept_replay(&kit, kept[2].kind, kept[2].at, kept[2].bytes, &fault), TRI_OK);
    cr_assert_eq(kept_replay(&kit, kept[4].kind, kept[4].at, kept[4].bytes, &fault), TRI_VIOLATION);
    cr_assert_str_eq(fault, "a message is closed that has no primary record");
    kept[3].at[16 + 1] ^= 1; /* the attempt */
    cr_assert_eq(kept_replay(&kit, kept[3].kind, kept[3].at, kept[3].bytes, &fault), TRI_VIOLATION);
    cr_assert_str_eq(fault, "a primary record without the decision of its attempt");
    kept[3].at[16 + 1] ^= 1;
    cr_assert_eq(kept_replay(&kit, kept[3].kind, kept[3].at, kept[3].bytes, &fault), TRI_OK);
    cr_assert_eq(kept_replay(&kit, kept[4].kind, kept[4].at, kept[4].bytes, &fault), TRI_OK);
}
