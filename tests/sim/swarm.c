/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swarm: each seed turns some faults off and makes others heavy, so that rare combinations occur
 * that a uniform mix of everything would drown.
 */
#include <stdio.h>

#include "tests/sim/sim.h"

/* 0 in half of the seeds. */
static uint32_t sometimes(struct sim_random *random, uint32_t low, uint32_t high)
{
    return sim_chance(random, 500) ? sim_between(random, low, high) : 0;
}

static void draw_network(struct sim_random *random, struct sim_swarm *swarm)
{
    swarm->is_datagram = sim_chance(random, 500);
    swarm->delay_us_max = sim_between(random, 50, 3000);
    swarm->slow_permille = sometimes(random, 5, 100);
    swarm->slow_us_max = sim_between(random, 10000, 400000);
    if (swarm->is_datagram) {
        swarm->loss_permille = sometimes(random, 1, 150);
        swarm->duplicate_permille = sometimes(random, 10, 300);
    }
    swarm->cuts = sometimes(random, 1, 8);
    swarm->cut_ms_max = sim_between(random, 5, 400);
    swarm->blocks = sometimes(random, 1, 5);
    swarm->chain_crashes = sometimes(random, 1, 5);
    swarm->wall_jumps = sim_chance(random, 300) ? sim_between(random, 1, 4) : 0;
    swarm->tick_lag_us = sometimes(random, 1, 3000);
}

/* A clock that jumps an hour back would let a message in again that a long time has forgotten. */
static uint32_t draw_down_ms(struct sim_random *random, const struct sim_swarm *swarm)
{
    if (sim_chance(random, 700)) {
        return 50;
    }
    return swarm->wall_jumps == 0 && sim_chance(random, 500) ? 90000 : 1500;
}

static void draw_restarts(struct sim_random *random, struct sim_swarm *swarm)
{
    uint32_t checkpoint_ms = swarm->is_long ? 5000 : 80;

    swarm->coordinator_crashes = sim_chance(random, 300) ? sim_between(random, 1, 3) : 0;
    swarm->crash_append_permille = sim_chance(random, 300) ? sim_between(random, 3, 60) : 0;
    swarm->crash_again_permille = sometimes(random, 100, 700);
    swarm->down_ms_max = draw_down_ms(random, swarm);
    swarm->checkpoint_ms_max = sometimes(random, checkpoint_ms / 10, checkpoint_ms);
    swarm->permutes_chains = sim_chance(random, 500);
    swarm->journal_fails = sim_chance(random, 60);
    swarm->restarts_broken = sim_chance(random, 600);
}

static void draw_chains(struct sim_random *random, struct sim_swarm *swarm)
{
    swarm->journal_us_max = sometimes(random, 50, sim_chance(random, 300) ? 80000 : 8000);
    swarm->chain_journal_us_max = sometimes(random, 50, sim_chance(random, 300) ? 80000 : 8000);
    swarm->ledger_slow_permille = sometimes(random, 20, 600);
    swarm->ledger_ms_max = sim_between(random, 1, 120);
    swarm->refuse_permille = sometimes(random, 10, 150);
    swarm->refuse_commit_permille = sometimes(random, 10, 250);
    swarm->reject_permille = sim_between(random, 0, 700);
    swarm->fence_permille = sim_chance(random, 250) ? sim_between(random, 50, 500) : 0;
    swarm->entries_max = sim_chance(random, 150) ? sim_between(random, 3, 8) : 64;
    swarm->reservation_ttl_ms_max = sim_chance(random, 200) ? sim_between(random, 20, 600) : 0;
    swarm->participant_window_ms = sim_between(random, 5000, 60000);
}

static void draw_coordinator(struct sim_random *random, struct sim_swarm *swarm)
{
    swarm->rounds_max = sim_chance(random, 150) ? sim_between(random, 2, 6) : SIM_MESSAGES_MAX;
    swarm->dedup_window_ms =
        swarm->is_long || sim_chance(random, 300) ? sim_between(random, 2000, 60000) : 600000;
    swarm->retries_max = sim_between(random, 0, 3);
    swarm->backoff_ms_initial = sim_between(random, 1, 40);
    swarm->backoff_ms_max = swarm->backoff_ms_initial + sim_between(random, 0, 200);
    swarm->jitter_permille = sim_between(random, 0, 1000);
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        swarm->timeout_ms[phase] = sim_between(random, 8, 150);
    }
    swarm->rollback_window_ms = sim_between(random, 40, 800);
    swarm->clock_allowance_ms = sim_between(random, 0, 500);
    swarm->has_tight_lock = sim_chance(random, 300);
}

void sim_swarm_draw(struct sim_world *world)
{
    struct sim_random *random = &world->random;
    struct sim_swarm *swarm = &world->swarm;

    memset(swarm, 0, sizeof(*swarm));
    swarm->chain_count = sim_between(random, 2, SIM_CHAINS_MAX);
    swarm->client_count = sim_between(random, 1, SIM_CLIENTS_MAX);
    /* Many at times: a checkpoint then takes more than a step. */
    swarm->message_count = sim_chance(random, 100) ? sim_between(random, 25, SIM_MESSAGES_MAX)
                                                   : sim_between(random, 4, 24);
    swarm->asset_count = sim_chance(random, 300) ? sim_between(random, 1, 3)
                                                 : sim_between(random, 4, SIM_ASSETS_MAX);
    swarm->is_long = sim_chance(random, 100);
    swarm->span_ms =
        swarm->is_long ? sim_between(random, 5000, 60000) : sim_between(random, 50, 1500);
    swarm->duplicate_submits = sometimes(random, 1, 8);
    swarm->equivocations = sim_chance(random, 200) ? sim_between(random, 1, 3) : 0;
    swarm->best_effort_permille = sim_between(random, 0, 400);
    swarm->guaranteed_permille = sim_between(random, 100, 600);
    swarm->critical_permille = sometimes(random, 50, 200);
    draw_network(random, swarm);
    draw_restarts(random, swarm);
    draw_chains(random, swarm);
    draw_coordinator(random, swarm);
}

void sim_swarm_print(const struct sim_world *world)
{
    const struct sim_swarm *s = &world->swarm;

    (void)printf(
        "seed %llu: %u chains %u clients %u messages %u assets, %s, loss %u dup %u delay %uus slow "
        "%u/%uus, cuts %u/%ums blocks %u, crashes %u+%u, wall jumps %u, journals %u/%uus, ledger "
        "slow %u/%ums refuse %u/%u reject %u fence %u, rounds %u entries %u ttl cut %u, retries %u "
        "backoff %u..%u jitter %u, timeouts %u/%u/%u window %u allowance %u, lag %uus, span %ums, "
        "dup submits %u equivocations %u, mix %u/%u critical %u, crashes at records %u again %u "
        "down %ums checkpoints %ums remembered %ums forced %u redeliveries %u%s%s%s%s%s\n",
        (unsigned long long)world->seed, s->chain_count, s->client_count, s->message_count,
        s->asset_count, s->is_datagram ? "datagrams" : "streams", s->loss_permille,
        s->duplicate_permille, s->delay_us_max, s->slow_permille, s->slow_us_max, s->cuts,
        s->cut_ms_max, s->blocks, s->chain_crashes, s->coordinator_crashes, s->wall_jumps,
        s->journal_us_max, s->chain_journal_us_max, s->ledger_slow_permille, s->ledger_ms_max,
        s->refuse_permille, s->refuse_commit_permille, s->reject_permille, s->fence_permille,
        s->rounds_max, s->entries_max, s->reservation_ttl_ms_max, s->retries_max,
        s->backoff_ms_initial, s->backoff_ms_max, s->jitter_permille, s->timeout_ms[0],
        s->timeout_ms[1], s->timeout_ms[2], s->rollback_window_ms, s->clock_allowance_ms,
        s->tick_lag_us, s->span_ms, s->duplicate_submits, s->equivocations, s->best_effort_permille,
        s->guaranteed_permille, s->critical_permille, s->crash_append_permille,
        s->crash_again_permille, s->down_ms_max, s->checkpoint_ms_max, s->dedup_window_ms,
        s->forced_permille, s->redeliveries, s->has_tight_lock ? ", tight locks" : "",
        s->permutes_chains ? ", chains permuted" : "", s->is_long ? ", long" : "",
        s->journal_fails ? ", journal fails" : "",
        s->journal_fails && s->restarts_broken ? " and is restarted" : "");
}
