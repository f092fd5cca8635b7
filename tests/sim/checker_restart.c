/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checker, third part: what a restart finds, and what must follow from it.
 *
 * Every record that leaves for the journal is a mark: the checker's own account of the message at
 * that moment.  When the record is durable the mark is kept.  A crash puts the account back to the
 * mark that is kept, and from there on the same promises hold as if nothing had happened.
 */
#include "engine/record.h"
#include "tests/sim/sim.h"

uint64_t check_stamp(const struct sim_world *world, uint64_t lsn)
{
    return (uint64_t)world->coordinator.options.epoch << 32 | lsn;
}

uint64_t check_lag_ns(const struct sim_world *world)
{
    return (world->swarm.tick_lag_us + UINT64_C(1000)) * 1000;
}

/* ---- what is remembered ---- */

/* The wall clock says how much of a window a restart finds. */
static bool window_is_sure(const struct sim_world *world)
{
    return world->swarm.wall_jumps == 0 || world->checker.restarts == 0;
}

/* What ends at `ended_ns` is remembered until then. */
static uint64_t forgotten_ns(const struct check_message *it, uint64_t ended_ns)
{
    uint64_t from_ns = ended_ns > it->dated_ns ? ended_ns : it->dated_ns;

    return from_ns + it->window_ms * TRI_NS_PER_MS;
}

bool check_must_know(const struct sim_world *world, const struct check_message *it)
{
    if (it->accept_lsn == 0) {
        return false;
    }
    return it->ended_first_ns == 0 ||
           (window_is_sure(world) && world->now_ns < forgotten_ns(it, it->ended_first_ns));
}

bool check_must_forget(const struct sim_world *world, const struct check_message *it)
{
    if (it->accept_lsn == 0) {
        return true;
    }
    /* An end is remembered by whole seconds. */
    return it->ended_last_ns != 0 && window_is_sure(world) &&
           world->now_ns >= forgotten_ns(it, it->ended_last_ns) + 2 * TRI_NS_PER_S;
}

void check_submitted(struct sim_world *world, uint32_t index, bool was_known,
                     const struct tri_hash *hash, const struct tri_effects *effects)
{
    const struct check_message *it = &world->checker.messages[index];
    bool is_same = memcmp(hash, &it->hash, sizeof(*hash)) == 0;

    for (uint32_t i = 0; i < effects->count && was_known; i++) {
        const struct tri_effect *effect = &effects->at[i];
        bool is_refused_as_other;

        if (effect->type != TRI_EFFECT_NOTIFY) {
            continue;
        }
        /* Flagged as a duplicate it is a result: a chain may have met the other content. */
        is_refused_as_other =
            effect->notify.code == TRI_ERROR_DUPLICATE_ID_MISMATCH && !effect->notify.is_duplicate;
        if (is_refused_as_other == is_same) {
            sim_break(world, "R02", "m%u with %s content is answered %s %s", index,
                      is_same ? "the same" : "other", tri_ack_type_name(effect->notify.ack_type),
                      tri_error_name(effect->notify.code));
        }
        if (is_same && !effect->notify.is_duplicate && effect->notify.code != TRI_ERROR_BUSY) {
            sim_break(world, "R01", "m%u is known and answered %s %s, as if it were new", index,
                      tri_ack_type_name(effect->notify.ack_type),
                      tri_error_name(effect->notify.code));
        }
    }
}

/* ---- records ---- */

enum check_stage check_stage_now(const struct check_message *it)
{
    if (it->is_held && it->outcome_lsn == 0) {
        return CHECK_HELD;
    }
    if (it->outcome_lsn != 0 || it->close_lsn != 0) {
        return CHECK_ENDED;
    }
    if (it->now.primary_lsn != 0) {
        return CHECK_RECORDED;
    }
    if (it->now.rollback_lsn != 0) {
        bool is_done = it->now.affected != 0 && (it->now.affected & ~it->now.undone) == 0;

        return is_done ? CHECK_BACKING_OFF : CHECK_ROLLING_BACK;
    }
    if (it->now.is_given_up) {
        return CHECK_BACKING_OFF;
    }
    if (it->now.decision_lsn != 0 || it->atomicity == TRI_BEST_EFFORT) {
        return CHECK_DECIDED;
    }
    return CHECK_UNDECIDED;
}

void check_keep_mark(struct sim_world *world, struct check_message *it, uint64_t stamp,
                     enum check_stage stage)
{
    (void)world;
    assert(it->pending_count < CHECK_PENDING_MAX);
    it->pending[it->pending_count++] = (struct check_mark){
        .stamp = stamp,
        .stage = stage,
        .may = it->may,
        .retries = it->retries,
        .now = it->now,
        .end = it->end,
    };
}

void check_keep(struct sim_world *world, uint64_t lsn)
{
    uint64_t stamp = check_stamp(world, lsn);

    for (uint32_t i = 0; i < world->swarm.message_count; i++) {
        struct check_message *it = &world->checker.messages[i];
        uint32_t kept = 0;

        while (kept < it->pending_count && it->pending[kept].stamp <= stamp) {
            it->kept = it->pending[kept++];
            it->has_primary |= it->kept.stage == CHECK_RECORDED;
            if (it->kept.stamp == it->now.rollback_lsn) {
                it->window_end_ns = world->now_ns + world->swarm.rollback_window_ms * TRI_NS_PER_MS;
            }
            if (it->kept.stamp == it->outcome_lsn) {
                it->ended_last_ns = world->now_ns;
            }
        }
        it->pending_count -= kept;
        memmove(it->pending, it->pending + kept, it->pending_count * sizeof(*it->pending));
    }
}

/* The strongest fact about each target, by chain. */
static struct check_end outcome_end(const struct sim_world *world,
                                    const struct tri_round_view *view)
{
    struct check_end end = {.code = view->cause};

    for (uint32_t i = 0; i < view->target_count; i++) {
        uint32_t bit = 1U << world->coordinator.chain_of[view->targets[i].chain];
        uint64_t target = UINT64_C(1) << i;

        if ((view->undone_mask & target) != 0) {
            end.undone |= bit;
        } else if (((view->final_mask | view->applied_mask) & target) != 0) {
            end.applied |= bit;
        } else if ((view->refused_mask & ~view->unknown_mask & target) != 0) {
            end.refused |= bit;
        } else {
            end.rest |= bit;
        }
    }
    return end;
}

/* The result is not in the effect, but in the record. */
static enum tri_ack_type outcome_type(struct sim_world *world)
{
    static struct tri_record_parts parts;
    const struct sim_journal *journal = &world->coordinator.journal;
    const struct sim_record *record = &journal->records[journal->count - 1];
    const char *fault = NULL;

    if (tri_record_decode(record->kind,
                          (struct tri_bytes){journal->payloads + record->at, record->bytes}, &parts,
                          &fault) != TRI_OK) {
        sim_break(world, "D01", "an outcome record cannot be read: %s", fault);
    }
    return (enum tri_ack_type)parts.standing.ack_type;
}

void check_outcome(struct sim_world *world, uint32_t index, const struct tri_effect *effect)
{
    struct check_message *it = &world->checker.messages[index];

    it->ended_first_ns = it->ended_last_ns = world->now_ns;
    if (effect->append.kind == TRI_RECORD_CLOSE) {
        if (!it->has_primary) {
            sim_break(world, "D01", "m%u is closed without a durable primary record", index);
        }
        it->end = (struct check_end){.type = TRI_ACK_PROCESSED, .applied = it->targets};
        it->close_lsn = check_stamp(world, effect->append.lsn);
        return;
    }
    if (it->now.primary_lsn == 0) {
        check_settled(world, index);
    }
    it->end = outcome_end(world, &effect->round);
    it->end.type = outcome_type(world);
    if (it->is_held) {
        check_forced_ends(world, index);
    }
    it->outcome_lsn = check_stamp(world, effect->append.lsn);
    if (it->end.code == TRI_ERROR_MAX_RETRIES_EXCEEDED && it->retries != world->swarm.retries_max) {
        sim_break(world, "R03", "m%u has used up %u of %u retries and is given up", index,
                  it->retries, world->swarm.retries_max);
    }
    if (it->end.code == TRI_ERROR_ROLLBACK_INCOMPLETE &&
        (world->now_ns > it->window_end_ns + check_lag_ns(world) ||
         (world->checker.step == TRI_EVENT_TICK &&
          world->now_ns + TRI_NS_PER_MS < it->window_end_ns))) {
        sim_break(world, "A07", "the rollback of m%u ends at %.3f ms, its window at %.3f ms", index,
                  (double)world->now_ns / 1e6, (double)it->window_end_ns / 1e6);
    }
}

/* Whether a chain was there long enough before `end_ns` to be sent what it had not answered (P15).
 */
static bool must_be_sent(const struct sim_world *world, uint32_t chain, uint64_t end_ns)
{
    uint64_t grace_ns = 20 * TRI_NS_PER_MS + 2000 * (uint64_t)world->swarm.journal_us_max;

    return world->links[chain].is_told_up && world->links[chain].up_ns + grace_ns < world->now_ns &&
           world->links[chain].up_ns + grace_ns < end_ns;
}

void check_settled(struct sim_world *world, uint32_t index)
{
    const struct check_message *it = &world->checker.messages[index];
    uint64_t end_ns = world->checker.resumed_ns + it->timeout_ms[TRI_PHASE_COMMIT] * TRI_NS_PER_MS;
    uint32_t silent = it->targets & ~it->now.commit_said;

    if (it->resumed != CHECK_DECIDED || it->now.rollback_lsn != 0) {
        return;
    }
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        if ((silent >> chain & 1U) != 0 && it->now.sent_ns[chain] == 0 &&
            must_be_sent(world, chain, end_ns)) {
            sim_break(world, "D02", "m%u was decided before the restart and not sent to chain %u",
                      index, chain);
        }
    }
    if (silent != 0 && world->now_ns < end_ns) {
        sim_break(world, "D02",
                  "m%u was decided before the restart and is given up with %#x of %#x", index,
                  it->now.commit_said, it->targets);
    }
}

/* ---- a crash ---- */

static void cover_crash(struct sim_world *world, const struct check_message *it)
{
    struct sim_coverage *coverage = &world->coverage;
    enum check_stage stage = check_stage_now(it);
    bool has_applied = stage == CHECK_RECORDED || it->now.commit_ok == it->targets;

    switch (it->kept.stage) {
    case CHECK_NOTHING:
        coverage->crash_unaccepted++;
        return;
    case CHECK_ENDED:
        coverage->crash_untold += !it->has_result && it->clients[0].receipts > 0;
        return;
    case CHECK_ROLLING_BACK:
        coverage->crash_rolling_back++;
        break;
    case CHECK_RECORDED:
        coverage->crash_recorded++;
        break;
    case CHECK_DECIDED:
        coverage->crash_committed += has_applied;
        coverage->crash_decided += stage == CHECK_DECIDED && !has_applied;
        break;
    case CHECK_HELD:
        coverage->crash_held++;
        break;
    case CHECK_UNDECIDED:
        coverage->crash_undecided += stage == CHECK_UNDECIDED;
        break;
    case CHECK_BACKING_OFF:
        break;
    }
    coverage->crash_backing_off += stage == CHECK_BACKING_OFF;
    coverage->crash_closing += it->outcome_lsn != 0;
    coverage->crash_closed += it->outcome_lsn == 0 && it->close_lsn != 0;
}

/* The account goes back to what is kept.  What chains have answered since is asked again. */
static void crash_restore(struct check_message *it)
{
    it->pending_count = 0;
    it->resumed = it->kept.stage;
    it->now = it->kept.now;
    it->may = it->kept.may;
    it->retries = it->kept.retries;
    it->end = it->kept.end;
    it->now.is_orphan = it->kept.stage == CHECK_UNDECIDED;
    it->is_held = it->kept.stage == CHECK_HELD;
    it->forward.is_open = false; /* F04: a restart forgets it */
    memset(it->now.opened_downs, 0, sizeof(it->now.opened_downs));
    memset(it->now.sent_ns, 0, sizeof(it->now.sent_ns));
    memset(it->sent, 0, sizeof(it->sent));
    memset(it->clients, 0, sizeof(it->clients));
    if (it->kept.stage != CHECK_BACKING_OFF && it->kept.stage != CHECK_ENDED) {
        it->now.ended_sent = 0;
    }
    if (it->kept.stage == CHECK_DECIDED) {
        it->now.commit_ok = it->now.commit_no = it->now.commit_said = 0;
    }
    if (it->kept.stage == CHECK_ROLLING_BACK) {
        it->may |= it->now.undone;
        it->now.undone = 0;
    }
    if (it->kept.stage == CHECK_NOTHING) {
        it->accept_lsn = 0;
    }
    if (it->kept.stage != CHECK_ENDED) {
        it->outcome_lsn = it->close_lsn = 0;
        it->ended_first_ns = it->ended_last_ns = 0;
    }
}

void check_crashed(struct sim_world *world, uint64_t cut_lsn)
{
    struct sim_checker *checker = &world->checker;

    checker->acks = checker->control_acks = checker->asks = 0;
    checker->submits = checker->repeats = checker->strays = 0;
    checker->restarts++;
    check_keep(world, cut_lsn);
    for (uint32_t i = 0; i < world->swarm.message_count; i++) {
        struct check_message *it = &checker->messages[i];

        if (it->accept_lsn != 0) {
            cover_crash(world, it);
        }
        crash_restore(it);
    }
}

/* ---- a restart ---- */

/* A07: the rest of the window by the wall clock, but enough to be sent once. */
static void recovered_window(struct sim_world *world, struct check_message *it)
{
    uint64_t wall_ms = sim_wall_ms(world, SIM_CHAINS_MAX);
    uint64_t window_ms = world->swarm.rollback_window_ms;
    uint64_t rest_ms = it->now.deadline_ms > wall_ms ? it->now.deadline_ms - wall_ms : 0;

    if (rest_ms > window_ms) {
        rest_ms = window_ms;
    }
    if (rest_ms < window_ms / 8) {
        rest_ms = window_ms / 8;
    }
    it->window_end_ns = world->now_ns + rest_ms * TRI_NS_PER_MS;
}

/* D01: what was durable is known, and nothing else is. */
void check_recovered(struct sim_world *world)
{
    world->checker.resumed_ns = world->now_ns;
    for (uint32_t i = 0; i < world->swarm.message_count; i++) {
        struct check_message *it = &world->checker.messages[i];
        const struct sim_message *message = &world->messages[i];
        bool is_open = it->kept.stage != CHECK_NOTHING && it->kept.stage != CHECK_ENDED;
        struct tri_engine_status status;
        bool is_known = tri_engine_status(world->coordinator.engine, message->key, message->id,
                                          world->now_ns, &status) == TRI_OK;

        if (it->kept.stage == CHECK_ROLLING_BACK) {
            recovered_window(world, it);
        }
        if (!is_known && check_must_know(world, it)) {
            sim_break(world, is_open ? "D01" : "R06", "m%u was kept and is not known any more", i);
        } else if (is_known && check_must_forget(world, it)) {
            sim_break(world, "R06", "m%u is known and should not be", i);
        } else if (is_known && status.is_open != is_open) {
            sim_break(world, "D01", "m%u was %s and is %s", i, is_open ? "open" : "closed",
                      status.is_open ? "open" : "closed");
        } else if (is_known && (strcmp(status.round.state, "HELD") == 0) != it->is_held) {
            sim_break(world, "F06", "m%u was %sheld and is %s", i, it->is_held ? "" : "not ",
                      status.round.state);
        } else if (is_known && !is_open &&
                   (status.ack_type != it->end.type || status.code != it->end.code)) {
            sim_break(world, "D01", "m%u had ended %s %s and has ended %s %s", i,
                      tri_ack_type_name(it->end.type), tri_error_name(it->end.code),
                      tri_ack_type_name(status.ack_type), tri_error_name(status.code));
        }
    }
}
