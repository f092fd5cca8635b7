/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What results and status show: the same to the first client and to a duplicate, target by target,
 * and nothing that a record still on its way will say.
 */
#include <criterion/criterion.h>

#include "tests/unit/engine_kit.h"

static struct kit kit;

static void init(void)
{
    kit_init(&kit);
}

static void fini(void)
{
    kit_fini(&kit);
}

#define VIEW_TEST(name) Test(view, name, .init = init, .fini = fini)

/* A letter per target: Final, Undone, Applied, ? = may have applied, Refused, - = nothing. */
static void spell(const struct tri_round_view *view, char text[TRI_TARGETS_MAX + 1])
{
    const struct {
        uint64_t mask;
        char letter;
    } facts[] = {
        {view->final_mask, 'F'},   {view->undone_mask, 'U'},  {view->applied_mask, 'A'},
        {view->unknown_mask, '?'}, {view->refused_mask, 'R'}, {UINT64_MAX, '-'},
    };

    for (uint32_t i = 0; i < view->target_count; i++) {
        uint32_t k = 0;

        while ((facts[k].mask >> i & 1U) == 0) {
            k++;
        }
        text[i] = facts[k].letter;
    }
    text[view->target_count] = '\0';
}

/* The last step gave the first client `code` and this evidence; status and duplicates repeat it. */
static void expect_result(const char *id, enum tri_error code, const char *expected)
{
    char text[TRI_TARGETS_MAX + 1] = "";
    struct tri_engine_status status;

    for (uint32_t i = 0; i < kit.effects.count; i++) {
        const struct tri_effect *effect = &kit.effects.at[i];

        if (effect->type == TRI_EFFECT_NOTIFY) {
            cr_assert_eq(effect->notify.code, code);
            spell(&effect->round, text);
        }
    }
    cr_assert_str_eq(text, expected);
    kit_durable(&kit);
    status = kit_status(&kit, id);
    cr_assert(!status.is_open);
    cr_assert_eq(status.code, code);
    spell(&status.round, text);
    cr_assert_str_eq(text, expected);
}

static void answer(const char *id, uint16_t chain, enum tri_phase phase, uint32_t n,
                   bool already_applied)
{
    struct tri_event event = kit_ack(id, chain, phase, n);

    event.phase_ack.already_applied = already_applied;
    (void)kit_step(&kit, &event);
}

VIEW_TEST(A01_the_stored_result_keeps_unknown_apart_from_applied)
{
    struct tri_message message = kit_message("m", TRI_BEST_EFFORT);

    message.finalize_requested = true;
    (void)kit_submit_as(&kit, &message, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_COMMIT, 1);
    kit_pass(&kit, 10000); /* chain 2 is UNKNOWN */
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_FINALIZE, 1, TRI_ERROR_BUSY);
    kit.is_slow = true;
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_FINALIZE, 1);
    expect_result("m", TRI_ERROR_NONE, "FA?");
}

VIEW_TEST(A01_the_stored_result_without_finalize_says_the_same)
{
    kit_submit(&kit, "m", TRI_BEST_EFFORT);
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_COMMIT, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_COMMIT, 1, TRI_ERROR_NO_RESERVATION);
    kit.is_slow = true;
    (void)kit_ok(&kit, "m", 2, TRI_PHASE_COMMIT, 1);
    expect_result("m", TRI_ERROR_NONE, "R?A");
}

VIEW_TEST(A11_the_stored_result_names_who_may_have_applied_and_nobody_else)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_pass(&kit, 11000); /* COMMIT unanswered, then redelivered */
    answer("m", 0, TRI_PHASE_PREPARE, 2, true);
    answer("m", 1, TRI_PHASE_PREPARE, 2, false);
    kit.is_slow = true;
    /* Chain 2 refuses the second attempt, but it may have applied in the first. */
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_PREPARE, 2, TRI_ERROR_OPERATOR_REFUSED);
    expect_result("m", TRI_ERROR_RECONCILIATION_REQUIRED, "?-?");
}

VIEW_TEST(A07_the_stored_result_of_an_incomplete_rollback_says_the_same)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_COMMIT, 1);
    kit_pass(&kit, 10000);
    kit_undone(&kit, "m", 0, 1);
    (void)kit_control(&kit, "m", 1, TRI_CONTROL_ROLLBACK, 1, TRI_ACK_FAILED,
                      TRI_ERROR_ROLLBACK_FENCED);
    kit.is_slow = true;
    (void)kit_control(&kit, "m", 2, TRI_CONTROL_ROLLBACK, 1, TRI_ACK_FAILED,
                      TRI_ERROR_ROLLBACK_FENCED);
    expect_result("m", TRI_ERROR_ROLLBACK_INCOMPLETE, "UA?");
}

VIEW_TEST(A07_a_rollback_after_prepare_names_who_had_applied_alone)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    answer("m", 0, TRI_PHASE_PREPARE, 1, true); /* in an epoch before this one */
    answer("m", 1, TRI_PHASE_PREPARE, 1, false);
    (void)kit_reject(&kit, "m", 2, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    kit.is_slow = true;
    (void)kit_control(&kit, "m", 0, TRI_CONTROL_ROLLBACK, 1, TRI_ACK_FAILED,
                      TRI_ERROR_ROLLBACK_FENCED);
    expect_result("m", TRI_ERROR_ROLLBACK_INCOMPLETE, "?-R");
}

VIEW_TEST(D01_status_shows_no_decision_before_its_record_is_durable)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit.is_slow = true;
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "PREPARING");
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 0U);
    kit_durable(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "COMMITTING");
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 7U);
}

/* What a status, and the answer to a duplicate, show of "m". */
static void shows(const char *state, uint32_t attempt, uint32_t retries)
{
    struct tri_engine_status status = kit_status(&kit, "m");

    cr_assert_str_eq(status.round.state, state);
    cr_assert_eq(status.round.attempt, TRI_ATTEMPT(KIT_EPOCH, attempt));
    cr_assert_eq(status.round.retries, retries);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    cr_assert_eq(kit.effects.count, 1U);
    cr_assert_eq(kit.effects.at[0].after_lsn, 0U);
    cr_assert_str_eq(kit.effects.at[0].round.state, state);
    cr_assert_eq(kit.effects.at[0].round.attempt, TRI_ATTEMPT(KIT_EPOCH, attempt));
    cr_assert_eq(kit.effects.at[0].round.retries, retries);
}

VIEW_TEST(D01_nothing_shows_a_new_attempt_before_its_record_is_durable)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_pass(&kit, 5000);
    kit.is_slow = true;
    shows("BACKOFF", 1, 0);
    kit_pass(&kit, 1000);
    shows("BACKOFF", 1, 0);
    kit_durable(&kit);
    shows("PREPARING", 2, 1);
    kit_pass(&kit, 5000 + 2001);
    shows("BACKOFF", 2, 1);
    kit_durable(&kit);
    shows("PREPARING", 3, 2);
}

VIEW_TEST(D01_D07_nothing_shows_what_a_failed_journal_has_lost)
{
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 2}};

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_submit(&kit, "n", TRI_ALL_OR_NOTHING);
    kit_pass(&kit, 5000);
    kit.is_slow = true;
    kit_pass(&kit, 1000);
    (void)kit_step_only(&kit, &failed);
    shows("BACKOFF", 1, 0);
    cr_assert_eq(kit_status(&kit, "n").round.retries, 0U);
}

VIEW_TEST(D01_D07_a_decision_that_the_journal_has_lost_is_not_shown)
{
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 2}};

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit.is_slow = true;
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_step_only(&kit, &failed);
    shows("PREPARING", 1, 0);
    cr_assert_eq(kit_status(&kit, "m").round.unknown_mask, 0U);
}

VIEW_TEST(D01_status_shows_no_rollback_before_its_record_is_durable)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    kit.is_slow = true;
    kit_pass(&kit, 10000);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "COMMITTING");
    cr_assert_eq(kit_status(&kit, "m").round.rollback_deadline_ms, 0U);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_NONE);
    kit_durable(&kit);
    cr_assert_str_eq(kit_status(&kit, "m").round.state, "ROLLING_BACK");
    cr_assert_geq(kit_status(&kit, "m").round.rollback_deadline_ms, KIT_WALL_MS + 69990);
    cr_assert_leq(kit_status(&kit, "m").round.rollback_deadline_ms, KIT_WALL_MS + 70000);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_NO_ANSWER);
}

VIEW_TEST(D01_status_shows_no_outcome_before_its_record_is_durable)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit.is_slow = true;
    (void)kit_reject(&kit, "m", 0, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    cr_assert(kit_status(&kit, "m").is_open);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_NONE);
    cr_assert_eq(kit_status(&kit, "m").round.cause, TRI_ERROR_NONE);
    kit_durable(&kit);
    cr_assert(!kit_status(&kit, "m").is_open);
    cr_assert_eq(kit_status(&kit, "m").code, TRI_ERROR_OPERATOR_REFUSED);
}

/* A frame is written behind the step that has ended its attempt. */
VIEW_TEST(P05_an_abort_shows_the_tokens_of_its_attempt_however_soon_the_next_begins)
{
    for (uint32_t i = 0; i < 16; i++) {
        struct tri_event tick = {.type = TRI_EVENT_TICK};
        const struct tri_effect *abort = &kit.effects.at[0];
        char id[8];

        kit_fini(&kit);
        kit_options(&kit);
        for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
            kit.options.policies[type][0].backoff_initial_ms = 1;
            kit.options.policies[type][0].backoff_max_ms = 1;
            kit.options.policies[type][0].jitter_permille = 1000;
        }
        kit_start(&kit);
        (void)snprintf(id, sizeof(id), "m%u", i); /* the jitter depends on it */
        kit_submit(&kit, id, TRI_GUARANTEED);
        (void)kit_ok(&kit, id, 0, TRI_PHASE_PREPARE, 1);
        kit.now_ns += 5000 * TRI_NS_PER_MS;
        (void)kit_step_only(&kit, &tick);
        cr_assert_eq(abort->send.kind, TRI_SEND_ABORT);
        cr_expect_eq(abort->round.targets[0].token_set_bytes, 3U, "%s", id);
    }
}
