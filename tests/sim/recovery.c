/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: the coordinator's life.
 *
 * It may crash at any moment.  Nothing survives but the journal and the number of the epoch; the
 * links break, the clients lose what was not sent yet, and while the coordinator is down nobody
 * reaches it.  A restart takes the journal back and goes on.  It may number the chains otherwise
 * than the epochs before, and it may crash again before it has done anything.
 */
#include <stdlib.h>

#include "tests/sim/sim.h"

#define CRASHES_MAX 12U
static_assert(SIM_EPOCHS_MAX > 2 * CRASHES_MAX + 2, "a crash takes at most two epochs");

/* ---- options ---- */

static void coordinator_policies(const struct sim_swarm *swarm, struct tri_engine_options *options)
{
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            options->policies[type][subtype] = (struct tri_engine_policy){
                .retries_max = swarm->retries_max,
                .backoff_initial_ms = swarm->backoff_ms_initial,
                .backoff_max_ms = swarm->backoff_ms_max,
                .multiplier_permille = 2000,
                .jitter_permille = swarm->jitter_permille,
                .lock_ttl_ms = swarm->has_tight_lock && type == TRI_TYPE_GOVERNANCE
                                   ? 1000 + swarm->retries_max * swarm->backoff_ms_max
                                   : 0,
                .dedup_window_ms = swarm->dedup_window_ms,
            };
        }
    }
}

/* How this epoch numbers the chains, and the map in its numbers. */
static void coordinator_number(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    uint32_t count = world->swarm.chain_count;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = world->swarm.permutes_chains ? sim_below(&world->random, i + 1) : i;

        it->chain_of[i] = it->chain_of[k];
        it->chain_of[k] = (uint16_t)i;
    }
    for (uint32_t i = 0; i < count; i++) {
        it->index_of[it->chain_of[i]] = (uint16_t)i;
        it->chains_named[i] = world->chains_named[it->chain_of[i]];
        it->journal.chains[it->options.epoch][i] = it->chain_of[i];
    }
    for (uint32_t asset = 0; asset < world->swarm.asset_count; asset++) {
        uint32_t used = 0;

        for (uint32_t i = 0; i < count; i++) {
            if ((world->asset_chains[asset] >> it->chain_of[i] & 1U) != 0) {
                it->location_chains[asset][used++] = (uint16_t)i;
            }
        }
        it->locations[asset] = (struct tri_engine_location){
            .pattern = {world->asset_ids[asset], (uint32_t)strlen(world->asset_ids[asset])},
            .chains = it->location_chains[asset],
            .chain_count = used,
        };
    }
}

static void coordinator_options(struct sim_world *world, uint32_t epoch)
{
    struct sim_coordinator *it = &world->coordinator;
    struct tri_engine_options *options = &it->options;
    const char *fault;

    assert(epoch < SIM_EPOCHS_MAX);
    *options = (struct tri_engine_options){
        .epoch = epoch,
        .rounds_max = world->swarm.rounds_max,
        .dedup_entries_max = SIM_MESSAGES_MAX + 8,
        .body_counts = {SIM_MESSAGES_MAX / 2, SIM_MESSAGES_MAX, 4, 0, 0},
        .waiters_max = SIM_MESSAGES_MAX * SIM_CLIENTS_MAX,
        .chains = it->chains_named,
        .chain_count = world->swarm.chain_count,
        .locations = it->locations,
        .location_count = world->swarm.asset_count,
        .map_version = 1,
        .timeout_ms = {world->swarm.timeout_ms[0], world->swarm.timeout_ms[1],
                       world->swarm.timeout_ms[2]},
        .timeout_ms_max = {300, 300, 300},
        .rollback_window_ms = world->swarm.rollback_window_ms,
        .clock_allowance_ms = world->swarm.clock_allowance_ms,
        .chain_share_permille = 1000,
    };
    coordinator_policies(&world->swarm, options);
    coordinator_number(world);
    fault = tri_engine_check(options);
    if (fault != NULL) {
        sim_break(world, "options", "%s", fault);
    }
    assert(fault == NULL);
}

/* ---- start ---- */

/* An engine that knows nothing yet. */
static void coordinator_init(struct sim_world *world, uint32_t epoch)
{
    struct sim_coordinator *it = &world->coordinator;
    size_t bytes;

    coordinator_options(world, epoch);
    bytes = tri_engine_footprint(&it->options);
    if (it->memory_bytes < bytes) {
        free(it->memory);
        it->memory = aligned_alloc(TRI_CACHE_LINE, (bytes + 63) / 64 * 64);
        assert(it->memory != NULL);
        it->memory_bytes = bytes;
    }
    it->engine = tri_engine_init(it->memory, &it->options);
    it->lsn = it->flushing_lsn = it->durable_lsn = it->checkpoint_lsn = 0;
    memset(it->round_key, 0, sizeof(it->round_key));
}

static void coordinator_checkpoints(struct sim_world *world)
{
    if (world->swarm.checkpoint_ms_max > 0) {
        sim_plan(world,
                 sim_between(&world->random, 1, world->swarm.checkpoint_ms_max * 1000) *
                     UINT64_C(1000),
                 SIM_CHECKPOINT, 0, 0, world->coordinator.life);
    }
}

void sim_coordinator_start(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;

    sim_journal_reset(world);
    it->is_down = it->is_broken = false;
    it->held_count = 0;
    it->crash_count = it->recovered_count = 0;
    it->life++;
    coordinator_init(world, 1);
    sim_archive_begin(world);
    coordinator_checkpoints(world);
}

/* ---- crash and restart ---- */

void sim_coordinator_crash(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    uint64_t cut_lsn = it->durable_lsn;
    uint32_t down_ms = sim_between(&world->random, 1, world->swarm.down_ms_max);

    if (it->is_down || it->crash_count == CRASHES_MAX) {
        return;
    }
    if (it->lsn > cut_lsn && sim_chance(&world->random, 500)) {
        /* It reached the disk, and nobody was told. */
        cut_lsn += sim_between(&world->random, 1, (uint32_t)(it->lsn - cut_lsn));
    }
    sim_trace(world, "coordinator crashes", SIM_MESSAGES_MAX, 0, 0, cut_lsn);
    world->coverage.coordinator_crashes++;
    world->coverage.crash_broken += it->is_broken;
    it->crash_count++;
    check_crashed(world, cut_lsn);
    sim_journal_cut(world, cut_lsn);
    while (it->held_count > 0) {
        sim_frame_give(world, it->held[--it->held_count].frame);
    }
    it->is_down = true;
    it->life++;
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        world->links[chain].is_told_up = false;
        if (world->links[chain].is_up) {
            sim_link_cut(world, chain, down_ms * TRI_NS_PER_MS);
        }
    }
    sim_plan(world, down_ms * TRI_NS_PER_MS, SIM_COORDINATOR_START, 0, 0, it->life);
}

/* Whoever has no connection tries to get one, and most clients ask again. */
static void restart_reconnect(struct sim_world *world)
{
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        if (!world->links[chain].is_up) {
            sim_plan(world, sim_below(&world->random, 20000) * UINT64_C(1000), SIM_LINK_UP, chain,
                     0, 0);
        }
    }
    for (uint32_t i = 0; i < world->swarm.message_count; i++) {
        if (world->checker.messages[i].is_known && sim_chance(&world->random, 600)) {
            sim_plan(world, sim_below(&world->random, 50000) * UINT64_C(1000), SIM_SUBMIT,
                     world->messages[i].client, i, 0);
        }
    }
}

void sim_coordinator_restart(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    struct sim_random *random = &world->random;
    bool crashes_again = sim_chance(random, world->swarm.crash_again_permille);
    enum tri_result result;

    assert(it->is_down);
    coordinator_init(world, it->options.epoch + 1);
    if (crashes_again && it->journal.count > it->journal.first && sim_chance(random, 500)) {
        (void)sim_journal_replay(world,
                                 sim_below(random, it->journal.count - it->journal.first + 1));
        world->coverage.crashes_in_recovery++;
        coordinator_init(world, it->options.epoch + 1);
    }
    (void)sim_journal_replay(world, UINT32_MAX);
    if (world->has_failed) {
        return;
    }
    result = tri_engine_resume(it->engine, world->now_ns, sim_wall_ms(world, SIM_CHAINS_MAX));
    if (result != TRI_OK) {
        sim_break(world, "D06", "the journal is taken back and not resumed: %d", (int)result);
        return;
    }
    sim_archive_complete(world);
    sim_trace(world, "coordinator starts", SIM_MESSAGES_MAX, 0, 0, it->options.epoch);
    it->is_down = it->is_broken = false;
    it->recovered_count = tri_engine_open_count(it->engine);
    world->coverage.recovered += it->recovered_count;
    world->coverage.recovered_from_checkpoint += it->journal.first > 0;
    check_recovered(world);
    restart_reconnect(world);
    coordinator_checkpoints(world);
    if (crashes_again && !world->is_healed) {
        sim_plan(world, sim_below(random, 30000) * UINT64_C(1000), SIM_COORDINATOR_CRASH, 0, 0, 0);
        world->coverage.crashes_after_recovery++;
    }
}

/* D07: what is not durable now will never be known to be, before a restart. */
void sim_coordinator_break(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    struct tri_event event = {.type = TRI_EVENT_JOURNAL_FAILED};

    if (it->is_down) {
        return;
    }
    sim_trace(world, "the journal fails", SIM_MESSAGES_MAX, 0, 0, it->durable_lsn + 1);
    world->coverage.journal_failures++;
    it->is_broken = true;
    it->flushing_lsn = 0;
    it->life++; /* the flush in flight never ends */
    while (it->held_count > 0) {
        sim_frame_give(world, it->held[--it->held_count].frame);
    }
    event.journal.lsn = it->durable_lsn + 1;
    (void)sim_coordinator_step(world, &event);
    if (world->swarm.restarts_broken) {
        sim_plan(world, sim_between(&world->random, 1, 300) * TRI_NS_PER_MS, SIM_COORDINATOR_CRASH,
                 0, 0, 0);
    }
}
