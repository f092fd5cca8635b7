/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive: what an archive of finality records would get, and may rely on (F08, D04).
 *
 * It is as lazy as it may be: it has the primary records of an epoch of the coordinator up to the
 * last checkpoint that is durable, because before that counts the archive must have what stands
 * before it; and at a start it takes what it lacks from the journal.  So at a start each record
 * that it lacks must still be intelligible, whatever the checkpoints have dropped.
 */
#include "engine/engine.h"
#include "tests/sim/sim.h"

void sim_archive_begin(struct sim_world *world)
{
    struct sim_archive *archive = &world->coordinator.archive;

    archive->epoch_last = archive->epoch_closed = 0;
    archive->archived_lsn[world->coordinator.options.epoch] = 0;
}

/* A primary record on its way into the journal. */
void sim_archive_append(struct sim_world *world, const struct tri_effect *effect)
{
    struct sim_archive *archive = &world->coordinator.archive;
    uint64_t number = effect->append.oss_epoch;

    if (number != archive->epoch_last && number != archive->epoch_last + 1) {
        sim_break(world, "F08", "ossEpoch %llu follows %llu", (unsigned long long)number,
                  (unsigned long long)archive->epoch_last);
    }
    if (number <= archive->epoch_closed) {
        sim_break(world, "F08", "a message joins ossEpoch %llu, which is closed",
                  (unsigned long long)number);
    }
    world->coverage.epochs_shared += number == archive->epoch_last;
    archive->epoch_last = number;
}

void sim_archive_step(struct sim_world *world)
{
    struct sim_archive *archive = &world->coordinator.archive;
    uint64_t closed = tri_engine_epoch_closed(world->coordinator.engine);

    if (closed < archive->epoch_closed || closed > archive->epoch_last) {
        sim_break(world, "F08", "ossEpoch %llu is closed, after %llu, of %llu",
                  (unsigned long long)closed, (unsigned long long)archive->epoch_closed,
                  (unsigned long long)archive->epoch_last);
    }
    archive->epoch_closed = closed;
    /* F01: an epoch needs nobody to close it but the flush of its first record. */
    if (!world->coordinator.is_broken && closed != archive->epoch_last &&
        world->coordinator.durable_lsn == world->coordinator.lsn &&
        world->checker.step == TRI_EVENT_JOURNAL_DURABLE) {
        sim_break(world, "F01", "all is durable, and ossEpoch %llu is open",
                  (unsigned long long)archive->epoch_last);
    }
}

/* The checkpoint whose last record is `lsn` counts: what it needs no more is in the archive. */
void sim_archive_checkpoint(struct sim_world *world, uint64_t lsn)
{
    world->coordinator.archive.archived_lsn[world->coordinator.options.epoch] = lsn;
}

/* A primary record comes back. */
void sim_archive_replayed(struct sim_world *world, const struct sim_record *record)
{
    struct sim_coordinator *it = &world->coordinator;
    struct tri_replayed replayed;
    uint32_t index;

    tri_engine_replayed(it->engine, &replayed);
    if (!replayed.is_known) {
        if (record->lsn > it->archive.archived_lsn[record->epoch]) {
            sim_break(world, "D04", "primary record %u.%llu is lost to the archive", record->epoch,
                      (unsigned long long)record->lsn);
        }
        return;
    }
    index = sim_message_of(replayed.round.id);
    world->coverage.primaries_replayed++;
    if (index >= world->swarm.message_count ||
        replayed.round.key.lo != world->messages[index].key.lo ||
        replayed.round.key.hi != world->messages[index].key.hi || replayed.oss_epoch == 0) {
        sim_break(world, "D04", "primary record %u.%llu comes back with another message",
                  record->epoch, (unsigned long long)record->lsn);
    }
}

/* A start has ended well: the archive has all that it has read. */
void sim_archive_complete(struct sim_world *world)
{
    for (uint32_t epoch = 0; epoch < world->coordinator.options.epoch; epoch++) {
        world->coordinator.archive.archived_lsn[epoch] = UINT64_MAX;
    }
    sim_archive_begin(world);
}
