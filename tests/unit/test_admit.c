/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission by its effects: what becomes of a SUBMIT before its first phase, told as stories.
 * engine_kit.h explains how an effect is written.
 */
#include <criterion/criterion.h>

#include "tests/unit/engine_kit.h"

KIT_BENCH

/* ---- what a message may ask for ---- */

ENGINE_TEST(admit, H01_a_message_brings_its_own_timeouts_within_the_maxima)
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

/* ---- scope ---- */

ENGINE_TEST(admit, A04_all_or_nothing_goes_to_every_chain_of_the_asset)
{
    struct tri_message message = kit_message("m", TRI_ALL_OR_NOTHING);

    message.target_count = 1; /* declared: one */
    (void)kit_submit_as(&kit, &message, 1);
    SAID("ACCEPT=1 RECEIVED@1 PREPARE#1>012");
    cr_assert_eq(kit_status(&kit, "m").round.scope_declared, TRI_SCOPE_TARGETS);
    cr_assert_eq(kit_status(&kit, "m").round.scope, TRI_SCOPE_ALL_CHAINS);
    cr_assert_eq(kit_status(&kit, "m").round.map_version, 3U);
}

ENGINE_TEST(admit, A04_no_entry_a_foreign_target_and_an_unknown_chain_are_refused)
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

ENGINE_TEST(admit, A10_critical_forces_all_or_nothing_and_both_are_kept)
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

/* ---- duplicates ---- */

ENGINE_TEST(admit, R01_a_second_submit_attaches_or_gets_the_stored_result)
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

ENGINE_TEST(admit, R01_the_ninth_waiter_takes_the_place_of_the_oldest_beside_the_first)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    for (uint64_t client = 1; client <= 8; client++) {
        (void)kit_submit_as(&kit, &message, client);
    }
    (void)kit_said(&kit);
    (void)kit_submit_as(&kit, &message, 9);
    SAID("REJECTED:BUSY!2(dup) RECEIVED!9(dup)"); /* every submit has its end */
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    SAID("ABORT#1>012 OUTCOME=2 REJECTED:UNKNOWN_ASSET@2 REJECTED:UNKNOWN_ASSET!9@2 "
         "REJECTED:UNKNOWN_ASSET!8@2 REJECTED:UNKNOWN_ASSET!7@2 REJECTED:UNKNOWN_ASSET!6@2 "
         "REJECTED:UNKNOWN_ASSET!5@2 REJECTED:UNKNOWN_ASSET!4@2 REJECTED:UNKNOWN_ASSET!3@2");
    cr_assert_eq(COUNT(waiters_replaced), 1U);
}

ENGINE_TEST(admit, R02_the_same_id_with_other_content_is_equivocation)
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

/* ---- age and TTL ---- */

ENGINE_TEST(admit, R01_dedup_comes_before_age)
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

ENGINE_TEST(admit, R05_old_and_early_messages_are_refused)
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

ENGINE_TEST(admit, R06_the_result_outlives_the_lock_ttl_of_its_message)
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

ENGINE_TEST(admit, L01_a_lock_that_would_not_outlive_the_retries_is_refused)
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

/* ---- capacity ---- */

ENGINE_TEST(admit, R08_a_full_pool_refuses_and_a_closed_message_gives_its_place_back)
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

ENGINE_TEST(admit, R08_one_waiting_chain_cannot_take_every_place)
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

/* Three submitters, each with 16 of the 64 places and 32 of the 128 entries. */
static void start_with_submitters(void)
{
    kit_fini(&kit);
    kit_options(&kit);
    kit.options.submitters_max = 3;
    kit.options.submitter_share_permille = 250;
    kit_start(&kit);
}

/* Submits `count` messages of `submitter` and forgets what was said. */
static void submit_many(uint32_t submitter, uint32_t first, uint32_t count)
{
    char id[16];

    kit.submitter = submitter;
    for (uint32_t i = first; i < first + count; i++) {
        (void)snprintf(id, sizeof(id), "s%u-%u", submitter, i);
        kit_submit(&kit, id, TRI_GUARANTEED);
    }
    (void)kit_said(&kit);
}

ENGINE_TEST(admit, R08_one_submitter_cannot_take_every_place)
{
    start_with_submitters();
    submit_many(3, 0, 16);
    kit_submit(&kit, "late", TRI_GUARANTEED);
    SAID("REJECTED:BUSY");
    cr_assert_eq(COUNT(refused_submitter_share), 1U);
    kit.submitter = 2;
    kit_submit(&kit, "other", TRI_GUARANTEED);
    cr_assert_str_eq(kit_status(&kit, "other").round.state, "PREPARING");
    (void)kit_reject(&kit, "s3-5", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    (void)kit_said(&kit);
    kit.submitter = 3;
    kit_submit(&kit, "late", TRI_GUARANTEED);
    cr_assert_str_eq(kit_status(&kit, "late").round.state, "PREPARING");
}

ENGINE_TEST(admit, R08_what_is_remembered_of_a_submitter_is_part_of_its_share)
{
    struct tri_message message = kit_message("much-later", TRI_GUARANTEED);
    char id[16];

    start_with_submitters();
    for (uint32_t i = 0; i < 32; i++) {
        submit_many(1, i, 1);
        (void)snprintf(id, sizeof(id), "s1-%u", i);
        (void)kit_reject(&kit, id, 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_UNKNOWN_ASSET);
    }
    (void)kit_said(&kit);
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
    kit_submit(&kit, "late", TRI_GUARANTEED);
    SAID("REJECTED:BUSY");
    kit_submit(&kit, "s1-3", TRI_GUARANTEED); /* R01: a duplicate takes nothing */
    SAID("REJECTED:UNKNOWN_ASSET(dup)");
    kit_pass(&kit, 400000); /* R06: until the last of them is forgotten */
    (void)kit_said(&kit);
    message.timestamp_ms = kit.wall_ms;
    (void)kit_submit_as(&kit, &message, 1);
    cr_assert_str_eq(kit_status(&kit, "much-later").round.state, "PREPARING");
    cr_assert_eq(COUNT(refused_submitter_share), 1U);
}

ENGINE_TEST(admit, R08_a_submitter_that_is_not_told_apart_has_no_share)
{
    start_with_submitters();
    submit_many(4, 0, 40);
    cr_assert_eq(tri_engine_open_count(kit.engine), 40U);
    submit_many(0, 0, 24);
    cr_assert_eq(tri_engine_open_count(kit.engine), 64U);
    cr_assert_eq(COUNT(refused_submitter_share), 0U);
}

ENGINE_TEST(admit, R09_a_draining_engine_takes_nothing_new_and_ends_what_is_open)
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

Test(admit_options, every_rule_names_its_field)
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
    kit.options.submitters_max = 4096;
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "submitters_max", 14), 0);
    kit_options(&kit);
    kit.options.submitters_max = 1;
    cr_assert_eq(strncmp(tri_engine_check(&kit.options), "submitter_share_permille", 24), 0);
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
