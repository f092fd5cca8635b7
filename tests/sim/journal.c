/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal: the coordinator's records, of all its epochs.
 *
 * A record is the bytes that the engine writes right after the step that appended it.  They are
 * durable in the order of their LSNs; a crash leaves everything that was said to be durable and,
 * of what was on its way, any beginning.  The next epoch takes them back in the order of (epoch,
 * LSN).  What a checkpoint has made superfluous is dropped as soon as its last record is durable,
 * so that nobody finds it any more.
 */
#include <stdlib.h>

#include "tests/sim/sim.h"

void sim_journal_reset(struct sim_world *world)
{
    struct sim_journal *journal = &world->coordinator.journal;

    journal->first = journal->count = 0;
    journal->payload_bytes = 0;
}

void sim_journal_close(struct sim_world *world)
{
    free(world->coordinator.journal.records);
    free(world->coordinator.journal.payloads);
}

/* Room for one more record. */
static void journal_grow(struct sim_journal *journal, uint32_t bytes)
{
    if (journal->count == journal->count_max) {
        journal->count_max = journal->count_max == 0 ? 256 : journal->count_max * 2;
        journal->records =
            realloc(journal->records, journal->count_max * sizeof(*journal->records));
        assert(journal->records != NULL);
    }
    if (journal->payload_bytes_max - journal->payload_bytes < bytes) {
        journal->payload_bytes_max = journal->payload_bytes_max * 2 + bytes;
        journal->payloads = realloc(journal->payloads, journal->payload_bytes_max);
        assert(journal->payloads != NULL);
    }
}

void sim_journal_append(struct sim_world *world, const struct tri_effect *effect)
{
    struct sim_coordinator *it = &world->coordinator;
    struct sim_journal *journal = &it->journal;
    struct sim_record *record;

    journal_grow(journal, tri_engine_record_bytes_max(it->engine, effect));
    record = &journal->records[journal->count++];
    record->epoch = it->options.epoch;
    record->kind = effect->append.kind;
    record->lsn = effect->append.lsn;
    record->begin_lsn = effect->append.kind == TRI_RECORD_CHECKPOINT ? effect->append.begin_lsn : 0;
    record->at = journal->payload_bytes;
    record->bytes = tri_engine_record(it->engine, effect, journal->payloads + record->at);
    assert(record->bytes > 0);
    journal->payload_bytes += record->bytes;
    if (record->kind == TRI_RECORD_CHECKPOINT) {
        it->checkpoint_lsn = record->lsn;
    } else if (record->kind == TRI_RECORD_PRIMARY) {
        sim_archive_append(world, effect);
    }
}

void sim_journal_durable(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    struct sim_journal *journal = &it->journal;
    uint64_t begin_lsn = 0;

    for (uint32_t i = journal->first; i < journal->count; i++) {
        const struct sim_record *record = &journal->records[i];

        if (record->epoch == it->options.epoch && record->kind == TRI_RECORD_CHECKPOINT &&
            record->lsn <= it->durable_lsn) {
            begin_lsn = record->begin_lsn;
            sim_archive_checkpoint(world, record->lsn);
        }
    }
    while (journal->first < journal->count &&
           (journal->records[journal->first].epoch < it->options.epoch ||
            journal->records[journal->first].lsn < begin_lsn) &&
           begin_lsn != 0) {
        journal->first++;
        world->coverage.records_dropped++;
    }
}

void sim_journal_cut(struct sim_world *world, uint64_t lsn)
{
    struct sim_coordinator *it = &world->coordinator;
    struct sim_journal *journal = &it->journal;

    while (journal->count > journal->first &&
           journal->records[journal->count - 1].epoch == it->options.epoch &&
           journal->records[journal->count - 1].lsn > lsn) {
        journal->count--;
        journal->payload_bytes = journal->records[journal->count].at;
        world->coverage.records_lost++;
    }
}

/* Only a checkpoint makes a record unintelligible, or a result whose time is over. */
static bool may_skip(const struct sim_journal *journal, enum tri_record kind)
{
    return journal->first > 0 || kind == TRI_RECORD_OUTCOME || kind == TRI_RECORD_CLOSE ||
           kind == TRI_RECORD_REMEMBER;
}

bool sim_journal_replay(struct sim_world *world, uint32_t count)
{
    struct sim_coordinator *it = &world->coordinator;
    struct sim_journal *journal = &it->journal;
    uint32_t end = journal->first;

    for (; end < journal->count && end - journal->first < count; end++) {
        const struct sim_record *record = &journal->records[end];
        uint16_t chains[SIM_CHAINS_MAX];
        struct tri_replay replay = {
            .kind = record->kind,
            .payload = {journal->payloads + record->at, record->bytes},
            .chains = chains,
            .chain_count = world->swarm.chain_count,
            .now_ns = world->now_ns,
            .wall_ms = sim_wall_ms(world, SIM_CHAINS_MAX),
        };
        const char *fault = NULL;
        enum tri_result result;

        for (uint32_t i = 0; i < world->swarm.chain_count; i++) {
            chains[i] = it->index_of[journal->chains[record->epoch][i]];
        }
        result = tri_engine_replay(it->engine, &replay, &fault);
        if ((result != TRI_OK && result != TRI_STALE) ||
            (result == TRI_STALE && !may_skip(journal, record->kind))) {
            sim_break(world, "D06", "record %u.%llu of kind %d is not taken back: %s",
                      record->epoch, (unsigned long long)record->lsn, (int)record->kind,
                      fault == NULL ? "skipped" : fault);
            return true;
        }
        if (record->kind == TRI_RECORD_PRIMARY) {
            sim_archive_replayed(world, record);
        }
        world->coverage.records_skipped += result == TRI_STALE;
    }
    return end == journal->count;
}

/* ---- checkpoints ---- */

/* The next part of a checkpoint.  One begins when the last is durable. */
void sim_checkpoint(struct sim_world *world)
{
    struct sim_coordinator *it = &world->coordinator;
    struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};
    bool runs;

    if (it->is_broken || (world->is_healed && tri_engine_checkpoint_lsn(it->engine) == 0)) {
        return;
    }
    if (it->checkpoint_lsn <= it->durable_lsn) {
        uint64_t before = it->checkpoint_lsn;

        (void)sim_coordinator_step(world, &event);
        world->coverage.checkpoints += it->checkpoint_lsn != before;
    }
    runs = tri_engine_checkpoint_lsn(it->engine) != 0;
    sim_plan(world,
             sim_between(&world->random, 1, runs ? 2000 : world->swarm.checkpoint_ms_max * 1000) *
                 UINT64_C(1000),
             SIM_CHECKPOINT, 0, 0, it->life);
}
