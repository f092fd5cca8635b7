/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resend: chains that come and go (P15).
 *
 * A phase for a chain that is not there is open at once and sent when the chain comes; when it
 * comes back, the open and unanswered frames are sent again.  Which rounds those are is found by
 * walking the rounds, a bounded number per step: a fresh connection asks for every frame sent
 * before it, a way that is merely free again asks only for those never handed out (`unsent`).
 * Frames sent during the walk go out directly, and a round that was missed that way is found by its
 * unsent bit in another walk.
 */
#include "engine/engine.h"

/* Rounds looked at per step. */
#define SCAN_ROUNDS 64U

void tri_resend_mark_unsent(struct tri_engine *engine, struct tri_round *round, uint64_t targets)
{
    const struct tri_target *target = round->targets;

    for (uint64_t rest = targets & ~round->unsent; rest != 0; rest &= rest - 1) {
        engine->chains[target[__builtin_ctzll(rest)].chain].unsent_count++;
    }
    round->unsent |= targets;
}

void tri_resend_clear_unsent(struct tri_engine *engine, struct tri_round *round, uint64_t targets)
{
    const struct tri_target *target = round->targets;

    for (uint64_t rest = targets & round->unsent; rest != 0; rest &= rest - 1) {
        uint64_t *count = &engine->chains[target[__builtin_ctzll(rest)].chain].unsent_count;

        assert(*count > 0);
        (*count)--;
    }
    round->unsent &= ~targets;
}

enum tri_result tri_engine_chain_up(struct tri_engine *engine, uint16_t chain, bool is_fresh)
{
    struct tri_chain *it = &engine->chains[chain];

    assert(chain < engine->options.chain_count);
    it->is_up = true;
    if (is_fresh) {
        it->is_fresh_scan = true;
        it->fresh_ns = engine->now_ns;
        it->cursor = 0;
    }
    if (!it->is_scanning && (is_fresh || it->unsent_count > 0)) {
        it->is_scanning = true;
        it->cursor = 0;
        engine->scan_count++;
    }
    return TRI_OK;
}

enum tri_result tri_engine_chain_down(struct tri_engine *engine, uint16_t chain)
{
    assert(chain < engine->options.chain_count);
    if (!engine->chains[chain].is_up) {
        return TRI_STALE;
    }
    engine->chains[chain].is_up = false;
    return TRI_OK;
}

/* The target of `round` whose frame `chain` still needs, as a mask. */
static uint64_t scan_target(struct tri_engine *engine, const struct tri_round *round,
                            uint16_t chain)
{
    const struct tri_target *targets = round->targets;
    const struct tri_chain *it = &engine->chains[chain];

    if (tri_round_frames((enum tri_round_state)round->state) == TRI_SEND_COUNT) {
        return 0;
    }
    for (uint32_t i = 0; i < round->target_count; i++) {
        uint64_t bit = UINT64_C(1) << i;

        if (targets[i].chain != chain) {
            continue;
        }
        if ((tri_tally_missing(&round->tally) & bit) == 0) {
            return 0;
        }
        if ((round->unsent & bit) != 0) {
            return bit;
        }
        return it->is_fresh_scan && round->sent_ns <= it->fresh_ns ? bit : 0;
    }
    return 0;
}

/* Goes on with one chain's walk; stops when the effects are full enough or the rounds are looked
 * at. */
static void scan_chain(struct tri_engine *engine, uint16_t chain)
{
    struct tri_chain *it = &engine->chains[chain];

    for (uint32_t looked = 0; looked < SCAN_ROUNDS; looked++) {
        uint32_t index = tri_pool_next(engine->rounds_pool, it->cursor);
        struct tri_round *round;
        uint64_t target;

        if (index == TRI_NONE_INDEX) {
            it->is_fresh_scan = false;
            it->cursor = 0;
            if (it->unsent_count == 0) {
                it->is_scanning = false;
                engine->scan_count--;
            }
            return;
        }
        if (engine->effects->count + TRI_EFFECTS_PER_TRANSITION > TRI_EFFECTS_MAX) {
            return;
        }
        it->cursor = index + 1;
        round = tri_engine_round(engine, index);
        target = scan_target(engine, round, chain);
        if (target != 0) {
            if ((round->unsent & target) == 0) {
                engine->counters.resends++;
            }
            tri_act_send(engine, round, tri_round_frames((enum tri_round_state)round->state),
                         target, round->release_lsn);
        }
    }
}

void tri_engine_scan(struct tri_engine *engine)
{
    for (uint32_t chain = 0; chain < engine->options.chain_count && engine->scan_count > 0;
         chain++) {
        if (engine->chains[chain].is_scanning && engine->chains[chain].is_up) {
            scan_chain(engine, (uint16_t)chain);
        }
    }
}
