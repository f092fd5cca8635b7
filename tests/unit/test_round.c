/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The round table by itself: facts that hold over all of its cells.  The space is small, so every
 * cell and every path is looked at.
 */
#undef NDEBUG
#include <criterion/criterion.h>
#include <string.h>

#include "engine/round.h"

static bool is_recorded(enum tri_round_state state)
{
    return state == TRI_ROUND_G_RECORDING || state == TRI_ROUND_G_FINALIZING ||
           state == TRI_ROUND_A_RECORDING || state == TRI_ROUND_A_FINALIZING ||
           state == TRI_ROUND_R_PREPARING || state == TRI_ROUND_R_COMMITTING ||
           state == TRI_ROUND_R_FINALIZING;
}

static bool undoes_or_retries(enum tri_round_action action)
{
    switch (action) {
    case TRI_ROUND_DO_ROLLBACK:
    case TRI_ROUND_DO_ABORT:
    case TRI_ROUND_DO_GIVE_UP:
    case TRI_ROUND_DO_REATTEMPT:
    case TRI_ROUND_DO_DIVERGE:
    case TRI_ROUND_DO_ABORT_END_SPENT:
    case TRI_ROUND_DO_ABORT_END_REJECTED:
    case TRI_ROUND_DO_ABORT_END_REFUSED:
    case TRI_ROUND_DO_ABORT_END_ROLLED_BACK:
    case TRI_ROUND_DO_END_ROLLED_BACK:
    case TRI_ROUND_DO_END_INCOMPLETE:
        return true;
    default:
        return false;
    }
}

/* Everything that can be reached from `from`, as a set of states; collects whether any action
 * undoes. */
static uint32_t reach(enum tri_round_state from, bool *undoes)
{
    uint32_t seen = 1U << from;
    bool is_growing = true;

    *undoes = false;
    while (is_growing) {
        is_growing = false;
        for (uint32_t state = 0; state < TRI_ROUND_STATE_COUNT; state++) {
            for (uint32_t event = 0; (seen >> state) & 1U && event < TRI_ROUND_EVENT_COUNT;
                 event++) {
                struct tri_round_cell cell =
                    tri_round_cell((enum tri_round_state)state, (enum tri_round_event)event);

                if (!cell.is_legal) {
                    continue;
                }
                *undoes = *undoes || undoes_or_retries((enum tri_round_action)cell.action);
                if (((seen >> cell.next) & 1U) == 0) {
                    seen |= 1U << cell.next;
                    is_growing = true;
                }
            }
        }
    }
    return seen;
}

Test(round, A08_nothing_behind_a_primary_record_undoes)
{
    for (uint32_t state = 0; state < TRI_ROUND_STATE_COUNT; state++) {
        bool undoes;
        uint32_t seen;

        if (!is_recorded((enum tri_round_state)state)) {
            continue;
        }
        seen = reach((enum tri_round_state)state, &undoes);
        cr_assert_not(undoes, "%s leads to an undoing action",
                      tri_round_state_name((enum tri_round_state)state));
        cr_assert_eq(seen & (1U << TRI_ROUND_A_ROLLING_BACK), 0U);
        cr_assert_eq(seen & (1U << TRI_ROUND_A_PREPARING), 0U);
        cr_assert_eq(seen & (1U << TRI_ROUND_G_PREPARING), 0U);
    }
}

/* F04: a redelivery ends where it is, and makes no record: ABORT, which never undoes (P12), is all
 * that its failure sends. */
Test(round, F04_A08_a_redelivery_goes_forward_or_ends)
{
    static const enum tri_round_state rows[] = {TRI_ROUND_R_PREPARING, TRI_ROUND_R_COMMITTING,
                                                TRI_ROUND_R_FINALIZING};

    for (size_t i = 0; i < 3; i++) {
        for (uint32_t event = 0; event < TRI_ROUND_EVENT_COUNT; event++) {
            struct tri_round_cell cell = tri_round_cell(rows[i], (enum tri_round_event)event);

            if (!cell.is_legal || event == TRI_ROUND_BROKEN) {
                continue;
            }
            if (event == TRI_ROUND_ALL_OK) {
                cr_assert_eq(cell.next, i == 2 ? TRI_ROUND_CLOSED : rows[i + 1]);
                cr_assert_eq(cell.action,
                             i == 2 ? TRI_ROUND_DO_FORWARD_DONE : TRI_ROUND_DO_FORWARD);
            } else {
                cr_assert_eq(cell.next, TRI_ROUND_CLOSED);
                cr_assert_eq(cell.action, TRI_ROUND_DO_FORWARD_FAILED);
            }
        }
    }
    for (uint32_t state = 0; state < TRI_ROUND_STATE_COUNT; state++) {
        for (uint32_t event = 0; event < TRI_ROUND_EVENT_COUNT; event++) {
            struct tri_round_cell cell =
                tri_round_cell((enum tri_round_state)state, (enum tri_round_event)event);
            bool enters = cell.is_legal && cell.next >= TRI_ROUND_R_PREPARING &&
                          cell.next <= TRI_ROUND_R_FINALIZING;

            cr_assert(!enters || is_recorded((enum tri_round_state)state));
        }
    }
}

Test(round, A08_only_the_record_action_enters_recording)
{
    for (uint32_t state = 0; state < TRI_ROUND_STATE_COUNT; state++) {
        for (uint32_t event = 0; event < TRI_ROUND_EVENT_COUNT; event++) {
            struct tri_round_cell cell =
                tri_round_cell((enum tri_round_state)state, (enum tri_round_event)event);
            bool enters = cell.is_legal && (cell.next == TRI_ROUND_G_RECORDING ||
                                            cell.next == TRI_ROUND_A_RECORDING);

            cr_assert_eq(enters, cell.is_legal && cell.action == TRI_ROUND_DO_RECORD);
            if (enters) {
                cr_assert_eq(event, TRI_ROUND_ALL_OK);
                cr_assert_eq(tri_round_phase((enum tri_round_state)state), TRI_PHASE_COMMIT);
            }
        }
    }
}

Test(round, A01_best_effort_never_rolls_back_diverges_or_records)
{
    static const enum tri_round_state starts[] = {TRI_ROUND_B_COMMITTING, TRI_ROUND_BF_COMMITTING};

    for (size_t i = 0; i < 2; i++) {
        bool undoes;
        uint32_t seen = reach(starts[i], &undoes);

        cr_assert_not(undoes);
        cr_assert_eq(seen & (1U << TRI_ROUND_G_RECORDING), 0U);
        cr_assert_eq(seen & (1U << TRI_ROUND_A_RECORDING), 0U);
    }
}

Test(round, A03_guaranteed_never_rolls_back)
{
    bool undoes;
    uint32_t seen = reach(TRI_ROUND_G_PREPARING, &undoes);

    cr_assert_eq(seen & (1U << TRI_ROUND_A_ROLLING_BACK), 0U);
    cr_assert_neq(seen & (1U << TRI_ROUND_G_FINALIZING), 0U);
}

Test(round, A06_all_or_nothing_never_diverges)
{
    for (uint32_t state = TRI_ROUND_A_PREPARING; state <= TRI_ROUND_A_BACKOFF; state++) {
        for (uint32_t event = 0; event < TRI_ROUND_EVENT_COUNT; event++) {
            struct tri_round_cell cell =
                tri_round_cell((enum tri_round_state)state, (enum tri_round_event)event);

            cr_assert_not(cell.is_legal && cell.action == TRI_ROUND_DO_DIVERGE);
        }
    }
}

Test(round, A11_nothing_ends_as_a_clean_abort_while_somebody_may_have_applied)
{
    static const enum tri_round_event maybes[] = {TRI_ROUND_PARTIAL, TRI_ROUND_MAYBE_RETRY,
                                                  TRI_ROUND_MAYBE_SPENT, TRI_ROUND_MAYBE_REFUSED};
    static const enum tri_round_state states[] = {TRI_ROUND_G_PREPARING, TRI_ROUND_G_COMMITTING,
                                                  TRI_ROUND_A_PREPARING, TRI_ROUND_A_COMMITTING};

    for (size_t s = 0; s < 4; s++) {
        for (size_t e = 0; e < 4; e++) {
            struct tri_round_cell cell = tri_round_cell(states[s], maybes[e]);

            if (!cell.is_legal) {
                continue;
            }
            cr_assert(
                cell.action == TRI_ROUND_DO_DIVERGE || cell.action == TRI_ROUND_DO_ROLLBACK ||
                    ((cell.action == TRI_ROUND_DO_ABORT || cell.action == TRI_ROUND_DO_GIVE_UP) &&
                     cell.next == TRI_ROUND_G_BACKOFF),
                "state %zu event %zu", s, e);
        }
    }
}

Test(round, P09_only_the_message_timer_begins_an_attempt)
{
    for (uint32_t state = 0; state < TRI_ROUND_STATE_COUNT; state++) {
        for (uint32_t event = 0; event < TRI_ROUND_EVENT_COUNT; event++) {
            struct tri_round_cell cell =
                tri_round_cell((enum tri_round_state)state, (enum tri_round_event)event);

            if (cell.is_legal &&
                (cell.action == TRI_ROUND_DO_REATTEMPT || cell.action == TRI_ROUND_DO_RESEND)) {
                cr_assert_eq(event, TRI_ROUND_DUE);
            }
        }
    }
}

Test(round, F06_a_hold_is_left_by_the_verdict_or_by_time)
{
    static const enum tri_round_state held[] = {TRI_ROUND_G_HELD, TRI_ROUND_A_HELD};

    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(tri_round_phase(held[i]), TRI_PHASE_COUNT);
        cr_assert_eq(tri_round_frames(held[i]), TRI_SEND_COUNT);
        for (uint32_t event = 0; event < TRI_ROUND_EVENT_COUNT; event++) {
            cr_assert_eq(tri_round_cell(held[i], (enum tri_round_event)event).is_legal,
                         event == TRI_ROUND_ALL_OK || event == TRI_ROUND_REFUSED ||
                             event == TRI_ROUND_DUE || event == TRI_ROUND_BROKEN);
        }
    }
    cr_assert_eq(tri_round_held(TRI_GUARANTEED), TRI_ROUND_G_HELD);
    cr_assert_eq(tri_round_held(TRI_ALL_OR_NOTHING), TRI_ROUND_A_HELD);
    cr_assert_eq(tri_round_cell(TRI_ROUND_G_HELD, TRI_ROUND_ALL_OK).next, TRI_ROUND_G_PREPARING);
    cr_assert_eq(tri_round_cell(TRI_ROUND_A_HELD, TRI_ROUND_ALL_OK).next, TRI_ROUND_A_PREPARING);
}

Test(round, D07_every_state_stalls_when_the_journal_fails)
{
    for (uint32_t state = 0; state < TRI_ROUND_STATE_COUNT; state++) {
        struct tri_round_cell cell = tri_round_cell((enum tri_round_state)state, TRI_ROUND_BROKEN);

        cr_assert(cell.is_legal);
        cr_assert_eq(cell.next, TRI_ROUND_STALLED);
        cr_assert_eq(cell.action, TRI_ROUND_DO_NOTHING);
    }
}

Test(round, C04_every_state_can_end)
{
    for (uint32_t state = 0; state < TRI_ROUND_STALLED; state++) {
        bool undoes;

        cr_assert_neq(reach((enum tri_round_state)state, &undoes) & (1U << TRI_ROUND_CLOSED), 0U,
                      "%s cannot end", tri_round_state_name((enum tri_round_state)state));
    }
}

Test(round, A10_strategies_start_where_they_should)
{
    cr_assert_eq(tri_round_start(TRI_BEST_EFFORT, false), TRI_ROUND_B_COMMITTING);
    cr_assert_eq(tri_round_start(TRI_BEST_EFFORT, true), TRI_ROUND_BF_COMMITTING);
    cr_assert_eq(tri_round_start(TRI_GUARANTEED, false), TRI_ROUND_G_PREPARING);
    cr_assert_eq(tri_round_start(TRI_ALL_OR_NOTHING, true), TRI_ROUND_A_PREPARING);
}
