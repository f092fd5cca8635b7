/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoint: everything that is open or remembered, appended again.
 *
 * A checkpoint is a walk over the open messages and then over the closed ones, a few records per
 * step, while messages come and go between the steps: in this order, because what is open may be
 * closed before the walk comes to it, and never the other way round.  It has no moment of its own,
 * and need not have one, because records say how things are (record.h): replay from the LSN at
 * which the walk began finds of every message either its picture and what came after it, or its
 * first record itself.
 *
 *     begin              message accepted, pictured later or not         CHECKPOINT
 *     |--------------------------------------------------------------------|-------------> LSN
 *      what was known at the begin is pictured in here
 *
 * So when the last record is durable, nothing before the begin is needed.
 */
#include "engine/engine.h"

/* What one step does at most: a picture may be as long as its message, and a turn must stay short.
 */
#define RECORDS_PER_STEP 8U
#define WALK_PLACES      1024U
static_assert(RECORDS_PER_STEP < TRI_EFFECTS_MAX, "the last record of a checkpoint has its place");

static void checkpoint_append(struct tri_engine *engine, enum tri_record kind, uint32_t slot,
                              struct tri_key key)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_APPEND, 0);

    engine->lsn++;
    effect->append.kind = kind;
    effect->append.slot = slot;
    effect->append.lsn = engine->lsn;
    effect->append.begin_lsn = engine->checkpoint_lsn;
    effect->round = (struct tri_round_view){.key = key};
}

/* Pictures open messages; false: there may be more of them. */
static bool checkpoint_open(struct tri_engine *engine)
{
    while (engine->effects->count < RECORDS_PER_STEP) {
        uint32_t index = tri_pool_next(engine->rounds_pool, engine->checkpoint_round);
        const struct tri_round *round;

        if (index == TRI_NONE_INDEX) {
            return true;
        }
        round = tri_engine_round(engine, index);
        engine->checkpoint_round = index + 1;
        if (tri_round_is_redelivery(round)) {
            continue; /* F04: its result is among the closed ones, if it is remembered */
        }
        /* A round that waits for its outcome record has a result already. */
        checkpoint_append(
            engine, round->state == TRI_ROUND_CLOSING ? TRI_RECORD_REMEMBER : TRI_RECORD_IMAGE,
            index, round->key);
    }
    return false;
}

/* Likewise the closed ones. */
static bool checkpoint_closed(struct tri_engine *engine)
{
    uint32_t budget = WALK_PLACES;

    while (engine->effects->count < RECORDS_PER_STEP) {
        const struct tri_dedup_entry *entry =
            tri_dedup_walk(engine->dedup, &engine->checkpoint_place, &budget);

        if (entry == NULL) {
            return budget > 0;
        }
        if (entry->expires_s > engine->now_ns / TRI_NS_PER_S) {
            checkpoint_append(engine, TRI_RECORD_REMEMBER, TRI_NONE_INDEX, tri_dedup_key(entry));
        }
    }
    return false;
}

/* And the envelopes, open or remembered: each has one slot for its whole life. */
static bool checkpoint_envelopes(struct tri_engine *engine)
{
    struct tri_envelopes *envelopes = &engine->envelopes;

    while (envelopes->pool != NULL && engine->effects->count < RECORDS_PER_STEP) {
        uint32_t index = tri_pool_next(envelopes->pool, envelopes->checkpoint);

        if (index == TRI_NONE_INDEX) {
            return true;
        }
        checkpoint_append(engine,
                          tri_envelope_is_open(&envelopes->at[index]) ? TRI_RECORD_ENVELOPE
                                                                      : TRI_RECORD_ENVELOPE_END,
                          index, envelopes->at[index].key);
        envelopes->checkpoint = index + 1;
    }
    return envelopes->pool == NULL;
}

enum tri_result tri_engine_checkpoint(struct tri_engine *engine)
{
    if (engine->is_broken) {
        return TRI_STALE; /* D07 */
    }
    if (engine->checkpoint_lsn == 0) {
        engine->checkpoint_lsn = engine->lsn + 1;
        engine->checkpoint_round = 0;
        engine->checkpoint_place = 0;
        engine->envelopes.checkpoint = 0;
    }
    if (checkpoint_open(engine) && checkpoint_closed(engine) && checkpoint_envelopes(engine)) {
        checkpoint_append(engine, TRI_RECORD_CHECKPOINT, TRI_NONE_INDEX, (struct tri_key){0});
        engine->checkpoint_lsn = 0;
    }
    return TRI_OK;
}

uint64_t tri_engine_checkpoint_lsn(const struct tri_engine *engine)
{
    return engine->checkpoint_lsn;
}
