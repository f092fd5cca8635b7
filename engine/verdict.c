/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdict: from what was answered to the event of the round table.
 *
 * A phase or a rollback ends when everybody has answered, when its time is over, or, PREPARE alone,
 * at the first refusal (P01).  What was not answered by then is UNKNOWN (P11).  A12 then asks three
 * questions, and these functions do nothing but answer them: did anybody refuse for good, are
 * retries left, and may anybody have applied (A11)?
 */
#include "engine/engine.h"

/* Whether a refusal ends the message: everything that is not passing does (A12). */
static bool refuses_for_good(uint16_t code)
{
    return tri_error_handling((enum tri_error)code) != TRI_HANDLING_RETRY;
}

/* The failed phase as an event; `cause` is what failed it when no chain refused. */
static enum tri_round_event verdict_failed(struct tri_engine *engine, struct tri_round *round,
                                           enum tri_error cause)
{
    const struct tri_target *targets = round->targets;
    bool is_final = false;
    bool retries_left = round->retries < tri_engine_retries_max(engine, round);

    round->cause = (uint16_t)cause;
    for (uint64_t rest = round->refused; rest != 0; rest &= rest - 1) {
        uint16_t code = targets[__builtin_ctzll(rest)].code;

        if (refuses_for_good(code)) {
            is_final = true;
            round->cause = code;
            break;
        }
        round->cause = code;
    }
    if (round->maybe != 0) {
        if (!retries_left) {
            return TRI_ROUND_MAYBE_SPENT;
        }
        return is_final ? TRI_ROUND_MAYBE_REFUSED : TRI_ROUND_MAYBE_RETRY;
    }
    if (is_final) {
        return TRI_ROUND_REFUSED;
    }
    return retries_left ? TRI_ROUND_RETRY : TRI_ROUND_SPENT;
}

enum tri_round_event tri_verdict_prepare(struct tri_engine *engine, struct tri_round *round)
{
    uint64_t need_ms;

    assert(tri_round_phase((enum tri_round_state)round->state) == TRI_PHASE_PREPARE);
    if (!tri_tally_is_unanimous(&round->tally)) {
        return verdict_failed(engine, round, TRI_ERROR_NO_ANSWER);
    }
    /* L04: every reservation must outlive COMMIT, the rollback that may follow it, and the clocks.
     */
    need_ms = (uint64_t)round->timeout_ms[TRI_PHASE_COMMIT] + engine->options.clock_allowance_ms;
    if (round->atomicity == TRI_ALL_OR_NOTHING) {
        need_ms += engine->options.rollback_window_ms;
    }
    if (engine->now_ns + need_ms * TRI_NS_PER_MS > round->reservation_end_ns) {
        engine->counters.fences++;
        return verdict_failed(engine, round, TRI_ERROR_FENCE_TOO_SHORT);
    }
    return TRI_ROUND_ALL_OK;
}

enum tri_round_event tri_verdict_commit(struct tri_engine *engine, struct tri_round *round)
{
    assert(tri_round_phase((enum tri_round_state)round->state) == TRI_PHASE_COMMIT);
    if (tri_tally_is_unanimous(&round->tally)) {
        return TRI_ROUND_ALL_OK;
    }
    if (round->tally.ok != 0) {
        /* The refusals decide later whether a rolled back message is tried again. */
        (void)verdict_failed(engine, round, TRI_ERROR_NO_ANSWER);
        return TRI_ROUND_PARTIAL;
    }
    return verdict_failed(engine, round, TRI_ERROR_NO_ANSWER);
}

enum tri_round_event tri_verdict_finalize(struct tri_engine *engine, struct tri_round *round)
{
    assert(tri_round_phase((enum tri_round_state)round->state) == TRI_PHASE_FINALIZE);
    if (tri_tally_is_unanimous(&round->tally)) {
        return TRI_ROUND_ALL_OK;
    }
    return round->resends < tri_engine_retries_max(engine, round) ? TRI_ROUND_LATE
                                                                  : TRI_ROUND_SPENT;
}

enum tri_round_event tri_verdict_rollback(struct tri_engine *engine, struct tri_round *round)
{
    assert(round->state == TRI_ROUND_A_ROLLING_BACK);
    if (round->maybe != 0) {
        return TRI_ROUND_STUCK;
    }
    return verdict_failed(engine, round, (enum tri_error)round->cause);
}
