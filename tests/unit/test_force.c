/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Force inclusion (F06): a forced message is accepted, held, and leaves the hold by the operator's
 * verdict or its TTL; then nothing differs.  engine_kit.h explains how an effect is written.
 */
#include <criterion/criterion.h>

#include "tests/unit/restore_kit.h"

KEPT_BENCH

#define OPERATOR 7U

static void force(const char *id, enum tri_atomicity atomicity)
{
    struct tri_message message = kit_message(id, atomicity);

    kit.is_forced = true;
    (void)kit_submit_as(&kit, &message, 1);
    kit.is_forced = false;
}

static enum tri_result verdict(const char *id, bool has_passed)
{
    struct tri_event event = {.type = TRI_EVENT_VERDICT};

    event.verdict.key = kit_key(kit_text(id));
    event.verdict.id = kit_text(id);
    event.verdict.client = OPERATOR;
    event.verdict.has_passed = has_passed;
    return kit_step(&kit, &event);
}

/* ---- the hold ---- */

ENGINE_TEST(force, F06_a_forced_message_is_accepted_durably_and_nothing_is_sent)
{
    force("m", TRI_ALL_OR_NOTHING);
    SAID("ACCEPT=1 RECEIVED@1");
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "HELD");
    cr_assert(kit_status(&kit, "m").round.is_forced);
    kit_chain(&kit, 1, false, false);
    kit_chain(&kit, 1, true, true);
    kit_pass(&kit, 59999);
    SAID("");
    cr_assert_eq(COUNT(attempts), 0U);
    cr_assert_eq(COUNT(forced), 1U);
}

ENGINE_TEST(force, F06_after_a_passed_check_nothing_differs)
{
    static const struct {
        enum tri_atomicity atomicity;
        const char *said;
    } rows[] = {
        {TRI_GUARANTEED, "ABORT#1>12 OUTCOME=4 FAILED:RECONCILIATION_REQUIRED@4"},
        {TRI_ALL_OR_NOTHING, "ROLLBACK=4 ROLLBACK#1>0@4 ABORT#1>12@4"},
    };

    for (uint32_t i = 0; i < 2; i++) {
        kept_close(&kit);
        kept_open(&kit);
        force("m", rows[i].atomicity);
        (void)kit_said(&kit);
        cr_assert_eq(verdict("m", true), TRI_OK);
        SAID("ATTEMPT=2 PREPARE#1>012@2 STATUS:PREPARING!7@2");
        kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
        SAID("DECISION=3 COMMIT#1>012@3");
        (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
        (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_OPERATOR_REFUSED);
        (void)kit_reject(&kit, "m", 2, TRI_PHASE_COMMIT, 1, TRI_ERROR_OPERATOR_REFUSED);
        cr_assert_str_eq(kit_said(&kit), rows[i].said);
    }
}

ENGINE_TEST(force, F06_F01_it_gets_its_primary_record_with_the_mark)
{
    force("m", TRI_GUARANTEED);
    (void)verdict("m", true);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_said(&kit);
    kit.is_slow = true;
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    SAID("PRIMARY=4 NOTICE@4 FINALIZE#1>012@4");
    cr_assert(kit.effects.at[0].round.is_forced);
    kit_durable(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 1);
    SAID("PROCESSED CLOSE=5");
}

ENGINE_TEST(force, F06_a_failed_check_ends_it_with_nothing_applied)
{
    force("m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    cr_assert_eq(verdict("m", false), TRI_OK);
    SAID("OUTCOME=2 REJECTED:SELF_DEFENSE_FAILED@2 STATUS:CLOSING!7@2");
    cr_assert_eq(kit_status(&kit, "m").ack_type, TRI_ACK_REJECTED);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_SELF_DEFENSE_FAILED);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 0U);
    cr_assert_eq(COUNT(undefended), 1U);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    SAID("REJECTED:SELF_DEFENSE_FAILED(dup)"); /* R01: the ordinary path knows it too */
}

ENGINE_TEST(force, C04_R05_a_hold_ends_with_the_messages_ttl)
{
    force("m", TRI_ALL_OR_NOTHING);
    (void)kit_said(&kit);
    kit_pass(&kit, 60000);
    SAID("OUTCOME=2 REJECTED:EXPIRED@2");
    cr_assert_eq(verdict("m", true), TRI_STALE);
    cr_assert_eq(verdict("m", false), TRI_STALE);
    SAID("");
    cr_assert_eq(COUNT(expired), 1U);
    cr_assert_eq(tri_engine_open_count(kit.engine), 0U);
}

/* ---- verdicts that come twice, too early, too late ---- */

ENGINE_TEST(force, F06_the_same_verdict_twice_is_harmless)
{
    force("m", TRI_GUARANTEED);
    (void)verdict("m", true);
    (void)kit_said(&kit);
    cr_assert_eq(verdict("m", true), TRI_OK);
    SAID("STATUS:PREPARING!7");
    cr_assert_eq(verdict("m", false), TRI_STALE); /* it has gone out */
    SAID("");
    force("n", TRI_GUARANTEED);
    (void)verdict("n", false);
    (void)kit_said(&kit);
    cr_assert_eq(verdict("n", false), TRI_OK);
    SAID("STATUS:REJECTED!7");
    cr_assert_eq(verdict("n", true), TRI_STALE);
    SAID("");
}

ENGINE_TEST(force, F06_D01_a_verdict_is_told_when_its_record_is_durable)
{
    kit.is_slow = true;
    force("m", TRI_GUARANTEED);
    (void)verdict("m", true);
    (void)verdict("m", true);
    SAID("ACCEPT=1 RECEIVED@1 ATTEMPT=2 PREPARE#1>012@2 STATUS:PREPARING!7@2 STATUS:PREPARING!7@2");
    kit.lsn = 1;
    kit_durable(&kit);
    kit.lsn = 2;
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "HELD");
    kit_durable(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "PREPARING");
    force("n", TRI_GUARANTEED);
    (void)verdict("n", false);
    (void)kit_said(&kit);
    (void)verdict("n", false);
    SAID("STATUS:CLOSING!7@4");
}

ENGINE_TEST(force, F06_only_what_is_held_takes_a_verdict)
{
    cr_assert_eq(verdict("ghost", true), TRI_GONE);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    cr_assert_eq(verdict("m", true), TRI_STALE);
    cr_assert_eq(verdict("m", false), TRI_STALE);
    SAID("");
    kit_pass(&kit, 5000 + 1000 + 5000 + 2001 + 5000);
    (void)kit_said(&kit);
    cr_assert_eq(verdict("m", true), TRI_STALE); /* closed */
    kit_pass(&kit, 340000);
    cr_assert_eq(verdict("m", true), TRI_GONE);
}

/* ---- what is skipped, and what never is ---- */

static void force_dated(const char *id, uint64_t timestamp_ms)
{
    struct tri_message message = kit_message(id, TRI_GUARANTEED);

    message.timestamp_ms = timestamp_ms;
    kit.is_forced = true;
    (void)kit_submit_as(&kit, &message, 1);
    kit.is_forced = false;
}

static void submit_dated(const char *id, uint64_t timestamp_ms)
{
    struct tri_message message = kit_message(id, TRI_GUARANTEED);

    message.timestamp_ms = timestamp_ms;
    (void)kit_submit_as(&kit, &message, 1);
}

/* The engine remembers for an hour; the message's TTL stays a minute. */
static void remember_an_hour(void)
{
    kept_close(&kit);
    kit_options(&kit);
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        kit.options.policies[type][TRI_SUBTYPE_NONE].dedup_window_ms = 3600000;
    }
    kit_start(&kit);
    kit.on_append = kept_keep;
}

static void finish(const char *id)
{
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        kit_all_ok(&kit, id, (enum tri_phase)phase, 1);
    }
}

ENGINE_TEST(force, F06_R05_neither_age_nor_clock_are_asked)
{
    remember_an_hour();
    submit_dated("m", KIT_WALL_MS - 3599000);
    submit_dated("n", KIT_WALL_MS + 86400000);
    SAID("REJECTED:STALE REJECTED:TIMESTAMP_AHEAD");
    force_dated("m", KIT_WALL_MS - 3599000);
    force_dated("n", KIT_WALL_MS + 86400000);
    SAID("ACCEPT=1 RECEIVED@1 ACCEPT=2 RECEIVED@2");
    kit_pass(&kit, 59999); /* the TTL counts from the acceptance */
    SAID("");
    kit_pass(&kit, 1);
    SAID("OUTCOME=3 REJECTED:EXPIRED@3 OUTCOME=4 REJECTED:EXPIRED@4");
    cr_assert_eq(COUNT(refused_stale), 2U);
}

ENGINE_TEST(force, F06_R06_what_cannot_be_told_from_a_repetition_is_refused)
{
    remember_an_hour();
    force_dated("m", KIT_WALL_MS - 3599001); /* the window, less the clock allowance of a second */
    force_dated("n", KIT_WALL_MS + 86400001);
    force_dated("o", 0);
    force_dated("p", UINT64_MAX);
    SAID("REJECTED:STALE REJECTED:TIMESTAMP_AHEAD REJECTED:STALE REJECTED:TIMESTAMP_AHEAD");
    cr_assert_eq(COUNT(refused_stale), 4U);
    cr_assert_eq(COUNT(accepted), 0U);
}

ENGINE_TEST(force, F06_R05_a_window_below_the_ttl_shuts_nobody_out)
{
    force_dated("m", KIT_WALL_MS - 60000); /* of a window of as much */
    SAID("ACCEPT=1 RECEIVED@1");
    force_dated("n", KIT_WALL_MS - 60001);
    SAID("REJECTED:STALE");
}

/* The same bytes by either path, as soon as the clock lets them, until their time is over. */
static void repeat_until_it_is_stale(uint64_t timestamp_ms, uint32_t step_ms)
{
    while (kit.wall_ms <= timestamp_ms + 3700000) {
        kit_pass(&kit, step_ms);
        submit_dated("m", timestamp_ms);
        force_dated("m", timestamp_ms);
        cr_assert_eq(COUNT(accepted), 1U, "at %lld ms", (long long)(kit.wall_ms - timestamp_ms));
    }
    (void)kit_said(&kit);
    force_dated("m", timestamp_ms);
    SAID("REJECTED:STALE");
}

ENGINE_TEST(force, F06_D04_dated_ahead_it_is_remembered_until_its_own_time_is_over)
{
    static const uint64_t ahead_ms[] = {0, 500, 1000, 1001, 7200000, 86400000};

    for (uint32_t i = 0; i < sizeof(ahead_ms) / sizeof(ahead_ms[0]); i++) {
        uint64_t timestamp_ms = KIT_WALL_MS + ahead_ms[i];

        remember_an_hour();
        force_dated("m", timestamp_ms);
        (void)verdict("m", true);
        finish("m");
        cr_assert_eq(COUNT(primary_records), 1U);
        repeat_until_it_is_stale(timestamp_ms, 7001);
    }
}

ENGINE_TEST(force, F06_D04_what_was_submitted_early_is_known_when_it_is_forced_late)
{
    remember_an_hour();
    submit_dated("m", KIT_WALL_MS + 1000); /* as far ahead as the clocks may be apart */
    finish("m");
    cr_assert_eq(COUNT(primary_records), 1U);
    repeat_until_it_is_stale(KIT_WALL_MS + 1000, 499);
}

ENGINE_TEST(force, F06_D04_a_restart_does_not_shorten_what_is_remembered)
{
    uint64_t timestamp_ms = KIT_WALL_MS + 7200000;

    force_dated("m", timestamp_ms);
    (void)verdict("m", true);
    finish("m");
    force_dated("n", timestamp_ms);
    (void)verdict("n", false);
    force_dated("o", timestamp_ms);
    (void)verdict("o", true);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t before = kept_count;

        (void)kept_checkpoint(&kit);
        kept_drop_until(before);
        kept_restart(&kit);
        kit_pass(&kit, 2400000);
    }
    (void)kit_said(&kit);
    submit_dated("m", timestamp_ms);
    submit_dated("n", timestamp_ms);
    submit_dated("o", timestamp_ms);
    SAID("PROCESSED(dup) REJECTED:SELF_DEFENSE_FAILED(dup) FAILED:MAX_RETRIES_EXCEEDED(dup)");
}

ENGINE_TEST(force, L07_no_clock_that_goes_back_lets_it_be_remembered_for_ever)
{
    force_dated("m", KIT_WALL_MS + 86400000);
    (void)verdict("m", false);
    kit.wall_ms -= UINT64_C(864000000);
    force_dated("n", kit.wall_ms + 86400000);
    kit.wall_ms -= UINT64_C(864000000);
    (void)verdict("n", false);
    kit_pass(&kit, 86400000 + 312000 + 1000 - 2000);
    cr_assert_eq(kit_status(&kit, "n").code, TRI_ERROR_SELF_DEFENSE_FAILED);
    kit_pass(&kit, 4000);
    cr_assert_str_eq(kit_status(&kit, "n").round.state, "GONE");
}

ENGINE_TEST(force, F06_what_is_never_skipped)
{
    struct tri_message message = kit_message("m", TRI_GUARANTEED);

    force("m", TRI_BEST_EFFORT);
    SAID("REJECTED:NOT_ALLOWED");
    kit.is_forced = true;
    message.targets[1] = kit_text("eip155:999");
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:CHAIN_NOT_SUPPORTED");
    message = kit_message("m", TRI_ALL_OR_NOTHING);
    message.assets[0] = kit_text("coin-1"); /* A04 */
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:LOCATION_UNKNOWN");
    message = kit_message("m", TRI_GUARANTEED);
    message.timeout_ms[0] = 60001; /* H01 */
    (void)kit_submit_as(&kit, &message, 1);
    SAID("REJECTED:FIELD_OUT_OF_RANGE");
    message = kit_message("c", TRI_BEST_EFFORT);
    message.priority = TRI_PRIORITY_CRITICAL; /* A10 */
    (void)kit_submit_as(&kit, &message, 1);
    SAID("ACCEPT=1 RECEIVED@1");
    cr_assert_eq(kit_status(&kit, "c").round.atomicity, TRI_ALL_OR_NOTHING);
}

ENGINE_TEST(force, R01_R02_both_paths_know_each_other)
{
    struct tri_message other = kit_message("m", TRI_GUARANTEED);

    force("m", TRI_GUARANTEED);
    (void)kit_said(&kit);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    force("m", TRI_GUARANTEED);
    SAID("RECEIVED(dup) RECEIVED(dup)");
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "HELD");
    other.payload = (struct tri_bytes){(const uint8_t *)"yap", 3};
    kit.is_forced = true;
    (void)kit_submit_as(&kit, &other, 2);
    SAID("REJECTED:DUPLICATE_ID_MISMATCH!2");
    kit.is_forced = false;
    kit_submit(&kit, "n", TRI_GUARANTEED);
    (void)kit_said(&kit);
    force("n", TRI_GUARANTEED);
    SAID("RECEIVED(dup)");
    cr_assert_not(kit_status(&kit, "n").round.is_forced);
}

static void share_16_of_64(struct kit *it)
{
    it->options.chain_share_permille = 250;
}

static uint32_t force_many(uint32_t count)
{
    uint64_t before = COUNT(accepted);
    char id[8];

    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(id, sizeof(id), "m%u", i);
        force(id, TRI_GUARANTEED);
    }
    (void)kit_said(&kit);
    return (uint32_t)(COUNT(accepted) - before);
}

ENGINE_TEST(force, R08_held_messages_wait_for_their_chains)
{
    kept_close(&kit);
    kit_options(&kit);
    share_16_of_64(&kit);
    kit_start(&kit);
    kit.on_append = kept_keep;
    cr_assert_eq(force_many(64), 16U);
    cr_assert_eq(COUNT(refused_chain_share), 48U);
    kit_submit(&kit, "n", TRI_GUARANTEED);
    SAID("REJECTED:BUSY");
    (void)verdict("m0", false); /* gives its share back */
    (void)kit_said(&kit);
    kit_submit(&kit, "n", TRI_GUARANTEED);
    SAID("ACCEPT=18 RECEIVED@18 PREPARE#1>012");
    (void)verdict("m1", true); /* keeps it until PREPARE is answered */
    (void)kit_said(&kit);
    force("o", TRI_GUARANTEED);
    SAID("REJECTED:BUSY");
    kit_all_ok(&kit, "m1", TRI_PHASE_PREPARE, 1);
    for (uint32_t phase = 1; phase < TRI_PHASE_COUNT; phase++) {
        kit_all_ok(&kit, "m1", (enum tri_phase)phase, 1);
    }
    (void)kit_said(&kit);
    force("o", TRI_GUARANTEED);
    SAID("ACCEPT=23 RECEIVED@23");
    kit_pass(&kit, 60000); /* and a TTL that is over gives it back, too */
    cr_assert_eq(COUNT(expired), 15U);
    (void)kit_said(&kit);
    cr_assert_eq(tri_engine_held_count(kit.engine), 0U);
}

ENGINE_TEST(force, R08_a_restart_charges_held_messages_again)
{
    kept_close(&kit);
    kit_options(&kit);
    share_16_of_64(&kit);
    kit_start(&kit);
    kit.on_append = kept_keep;
    cr_assert_eq(force_many(15), 15U);
    for (uint32_t i = 0; i < 2; i++) {
        kept_restart(&kit);
        kept_connect(&kit);
        (void)kept_checkpoint(&kit);
    }
    cr_assert_eq(tri_engine_held_count(kit.engine), 15U);
    (void)kit_said(&kit);
    force("y", TRI_GUARANTEED);
    kit_submit(&kit, "z", TRI_GUARANTEED);
    cr_assert_not_null(strstr(kit_said(&kit), "RECEIVED@"));
    cr_assert_eq(COUNT(refused_chain_share), 1U);
}

ENGINE_TEST(force, F06_who_drains_knows_which_messages_wait_for_an_operator)
{
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 100}};

    force_many(4);
    kit_submit(&kit, "n", TRI_GUARANTEED);
    cr_assert_eq(tri_engine_open_count(kit.engine), 5U);
    cr_assert_eq(tri_engine_held_count(kit.engine), 4U);
    (void)verdict("m0", true);
    (void)verdict("m1", false);
    cr_assert_eq(tri_engine_held_count(kit.engine), 2U);
    (void)kit_step_only(&kit, &failed);
    kit.is_slow = true;
    kit_pass(&kit, 60000);
    cr_assert_eq(tri_engine_held_count(kit.engine), 0U); /* they are stalled (D07) */
}

ENGINE_TEST(force, A12_a_critical_one_that_is_rejected_is_escalated)
{
    struct tri_message message = kit_message("m", TRI_ALL_OR_NOTHING);

    message.priority = TRI_PRIORITY_CRITICAL;
    kit.is_forced = true;
    (void)kit_submit_as(&kit, &message, 1);
    (void)verdict("m", false);
    cr_assert_eq(COUNT(escalations), 1U);
}

ENGINE_TEST(force, D07_no_verdict_counts_once_the_journal_has_failed)
{
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 100}};

    force("m", TRI_GUARANTEED);
    (void)kit_step_only(&kit, &failed);
    (void)kit_said(&kit);
    kit.is_slow = true;
    cr_assert_eq(verdict("m", true), TRI_STALE);
    kit_pass(&kit, 60000);
    SAID("");
}

/* ---- across restarts ---- */

ENGINE_TEST(force, F06_D01_a_hold_survives_a_restart_and_a_checkpoint)
{
    force("m", TRI_ALL_OR_NOTHING);
    for (uint32_t i = 0; i < 4; i++) {
        kit.now_ns += 10000 * TRI_NS_PER_MS;
        kit.wall_ms += 10000;
        if (i % 2 == 1) {
            uint32_t before = kept_count;

            (void)kept_checkpoint(&kit);
            kept_drop_until(before);
        }
        kept_restart(&kit);
        cr_assert_str_eq(kit_status(&kit, "m").round.state, "HELD");
        cr_assert(kit_status(&kit, "m").round.is_forced);
        kept_connect(&kit);
        SAID("");
    }
    kit_pass(&kit, 19999); /* of 60 s, 40 had passed */
    SAID("");
    cr_assert_eq(verdict("m", true), TRI_OK);
    SAID("ATTEMPT=1 PREPARE#1>012@1 STATUS:PREPARING!7@1");
    cr_assert_eq(kit_status(&kit, "m").round.attempt, TRI_ATTEMPT(KIT_EPOCH + 4, 1));
    cr_assert_eq(kit_status(&kit, "m").round.retries, 0U);
}

ENGINE_TEST(force, L07_C04_the_ttl_goes_on_over_a_restart_and_no_clock_lengthens_it)
{
    force("m", TRI_ALL_OR_NOTHING);
    kit.wall_ms -= 3600000;
    kept_restart(&kit);
    kit_pass(&kit, 59999);
    SAID("");
    kit_pass(&kit, 1);
    SAID("OUTCOME=1");
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_EXPIRED);
    force("n", TRI_ALL_OR_NOTHING);
    kit.wall_ms += 3600000;
    kept_restart(&kit);
    kit_pass(&kit, 0);
    SAID("OUTCOME=1");
    cr_assert_eq(kit_status(&kit, "n").code, TRI_ERROR_EXPIRED);
}

ENGINE_TEST(force, F06_D01_a_given_verdict_survives_a_restart)
{
    force("m", TRI_GUARANTEED);
    force("n", TRI_GUARANTEED);
    (void)verdict("m", true);
    (void)verdict("n", false);
    for (uint32_t i = 0; i < 2; i++) {
        kept_restart(&kit);
        cr_assert_str_eq(kit_status(&kit, "m").round.state, "BACKOFF");
        cr_assert(kit_status(&kit, "m").round.is_forced);
        cr_assert_eq(kit_status(&kit, "n").code, TRI_ERROR_SELF_DEFENSE_FAILED);
        (void)kept_checkpoint(&kit);
    }
    kept_connect(&kit);
    (void)kit_said(&kit);
    kit_pass(&kit, 1000);
    SAID("ATTEMPT=4 PREPARE#1>012@4");
    cr_assert_eq(kit_status(&kit, "m").round.retries, 0U); /* R03 */
    cr_assert_eq(verdict("m", true), TRI_OK);
    SAID("STATUS:PREPARING!7");
}

ENGINE_TEST(force, F06_a_verdict_whose_record_is_lost_was_never_given)
{
    force("m", TRI_GUARANTEED);
    (void)verdict("m", true);
    free(kept[--kept_count].at);
    kept_restart(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "HELD");
    cr_assert_eq(verdict("m", false), TRI_OK);
    SAID("OUTCOME=1 STATUS:CLOSING!7@1"); /* who submitted it has to ask again */
}

/* ---- records that would lead around the verdict ---- */

/* The offset of a record's stage: behind key, content and canonical bytes. */
static uint32_t stage_at(const struct kept *record)
{
    uint32_t at = 16 + 16 + 8 + 4 + 12 + 8 + 2 + 2;
    uint32_t canonical_bytes = 0;

    for (uint32_t i = 0; i < 4; i++) {
        canonical_bytes |= (uint32_t)record->at[at + i] << (8 * i);
    }
    return at + 4 + canonical_bytes;
}

static const char *fault_of(const struct kept *record)
{
    const char *fault = NULL;

    kept_init(&kit);
    cr_assert_eq(kept_replay(&kit, record->kind, record->at, record->bytes, &fault),
                 fault == NULL ? TRI_OK : TRI_VIOLATION);
    return fault == NULL ? "" : fault;
}

ENGINE_TEST(force, F06_no_record_leads_around_the_verdict)
{
    static const char other_way[] = "a hold without a forced message, or the other way round";
    const uint32_t flags_at = 16 + 16 + 8 + 4 + 12 + 7;
    struct kept *accept = &kept[0];
    uint32_t at;

    force("m", TRI_GUARANTEED);
    at = stage_at(accept);
    cr_assert_eq(accept->at[at], 6U);
    cr_assert_eq(accept->at[flags_at], 2U);
    cr_assert_str_eq(fault_of(accept), "");
    accept->at[at] = 0; /* UNDECIDED: it would go on without having been held */
    cr_assert_str_eq(fault_of(accept), other_way);
    accept->at[at] = 6;
    accept->at[flags_at] = 0;
    cr_assert_str_eq(fault_of(accept), other_way);
    accept->at[flags_at] = 2;
    accept->at[at + 1 + 8 + 2 + 2 + 1 + 8 + 1 + 4] = 1; /* somebody may have applied it */
    cr_assert_str_eq(fault_of(accept), "a held message that has been sent");
    accept->at[at + 1 + 8 + 2 + 2 + 1 + 8 + 1 + 4] = 0;
    accept->at[at + 1 + 8 + 2 + 2 + 1 + 7] = 1; /* until the end of days */
    cr_assert_str_eq(fault_of(accept), "a hold outside the life of its message");
    accept->at[at + 1 + 8 + 2 + 2 + 1 + 7] = 0;
    accept->at[flags_at] = 4;
    cr_assert_str_eq(fault_of(accept), "no flags");
}
