/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain's side: from an event to the table and from its cell to the act.
 *
 * A step has three parts.  The guards name the row; the cell of
 * participant_table.def says what to do and where to go; the act does it and
 * emits effects.  Nothing else decides about the protocol.
 *
 * While the ledger works on a message, one frame that must not be lost waits
 * in the entry (KEEP).  When the verdict is in, the verdict's own cell is
 * carried out first and then the frame goes through the guards as if it had
 * arrived at that moment.  So a slow ledger adds delay but no behaviour: every
 * outcome is one that a ledger which answers at once can have too.
 *
 * An entry has one timer: the end of its reservation while the ledger holds
 * one, else the time to forget it.
 */
#include "engine/participant.h"

#include <assert.h>
#include <string.h>

/* Longer remainders of a message's life are cut: sums of times must not overflow. */
#define LIFE_MS_MAX (UINT64_C(1) << 40)
#define TIMERS_MAX  64U   /* timers served in one step */
#define IMAGES_MAX  4096U /* places looked at in one step of a checkpoint */

enum act {
#define ACT_ENUM(name, function, leaves) ACT_##name,
    TRI_PARTICIPANT_ACTS(ACT_ENUM)
#undef ACT_ENUM
};

static const struct {
    void (*run)(struct tri_participant_turn *turn);
    bool leaves;
} acts[] = {
#define ACT_ROW(name, function, leaves_) [ACT_##name] = {tri_participant_act_##function, leaves_},
    TRI_PARTICIPANT_ACTS(ACT_ROW)
#undef ACT_ROW
};

struct cell {
    uint8_t act;
    bool moves;
    uint8_t state;
};

#define GO(act, next)                           \
    {                                           \
        ACT_##act, true, TRI_PARTICIPANT_##next \
    }
#define STAY(act)           \
    {                       \
        ACT_##act, false, 0 \
    }
#define NEVER               \
    {                       \
        ACT_NEVER, false, 0 \
    }

static const struct cell table[TRI_PARTICIPANT_ROW_COUNT][TRI_PARTICIPANT_STATE_COUNT] = {
#define ROW(event, none, reserving, reserved, applying, applied, undoing, undone)       \
    [TRI_PARTICIPANT_ROW_##event] = {                                                   \
        [TRI_PARTICIPANT_NONE] = none,         [TRI_PARTICIPANT_RESERVING] = reserving, \
        [TRI_PARTICIPANT_RESERVED] = reserved, [TRI_PARTICIPANT_APPLYING] = applying,   \
        [TRI_PARTICIPANT_APPLIED] = applied,   [TRI_PARTICIPANT_UNDOING] = undoing,     \
        [TRI_PARTICIPANT_UNDONE] = undone,                                              \
    },
#include "engine/participant_table.def"
};

/* Total, proved by the compiler: a missing cell is a macro arity error, and the rows are the events
 * themselves. */
static_assert(TRI_PARTICIPANT_STATE_COUNT == 7, "a new state needs a new cell in every row");

static void turn_move(struct tri_participant_turn *turn, enum tri_participant_state next)
{
    struct tri_participant_entry *entry = turn->entry;
    uint64_t bit = UINT64_C(1) << (turn->index % 64);

    assert(turn->index != TRI_PARTICIPANT_NOBODY);
    if (entry->state == TRI_PARTICIPANT_RESERVED) {
        turn->participant->reserved[turn->index / 64] &= ~bit;
    }
    if (next == TRI_PARTICIPANT_RESERVED) {
        turn->participant->reserved[turn->index / 64] |= bit;
    }
    entry->state = (uint8_t)next;
}

static bool entry_is_at_ledger(const struct tri_participant_entry *entry)
{
    return entry->state == TRI_PARTICIPANT_RESERVING || entry->state == TRI_PARTICIPANT_APPLYING ||
           entry->state == TRI_PARTICIPANT_UNDOING;
}

/* Sets the one timer of the entry.  What waits for the ledger keeps the timer it has: fired or not,
 * the verdict sets it again. */
static void turn_set_timer(struct tri_participant_turn *turn)
{
    const struct tri_participant_entry *entry = turn->entry;
    uint64_t at_ns = entry->forget_ns;

    if (entry_is_at_ledger(entry)) {
        return;
    }
    if ((entry->flags & TRI_PARTICIPANT_HELD) != 0) {
        at_ns = entry->ttl_ns;
    } else if (entry->state == TRI_PARTICIPANT_APPLIED &&
               (entry->flags & TRI_PARTICIPANT_CLOSED) == 0) {
        at_ns = TRI_NEVER; /* P13: applied and not closed is never forgotten */
    }
    if (tri_deadlines_at_ns(turn->participant->deadlines, turn->index) != at_ns) {
        tri_deadlines_arm(turn->participant->deadlines, turn->index, at_ns);
    }
}

/* Carries out the cell of `row` for a known entry. */
static void turn_run(struct tri_participant_turn *turn, enum tri_participant_row row)
{
    const struct cell *cell = &table[row][turn->entry->state];

    assert(turn->index != TRI_PARTICIPANT_NOBODY);
    acts[cell->act].run(turn);
    if (cell->moves) {
        turn_move(turn, (enum tri_participant_state)cell->state);
    }
    if (cell->act == ACT_DROP) {
        tri_participant_drop(turn->participant, turn->index);
    } else if (turn->changed) {
        turn_set_timer(turn);
    }
}

static enum tri_participant_row turn_classify(const struct tri_participant_turn *turn)
{
    const struct tri_participant_rare *rare = NULL;

    if ((turn->entry->flags & TRI_PARTICIPANT_RARE) != 0) {
        rare = &turn->participant->rares[turn->index];
    }
    return tri_participant_classify(turn->entry, rare, turn->frame, turn->now_ns);
}

/* A frame of a message that is not known: an entry is made only if something has to stay behind. */
static void turn_run_unknown(struct tri_participant_turn *turn, struct tri_key key,
                             struct tri_text id, const struct tri_hash *hash)
{
    struct tri_participant *participant = turn->participant;
    enum tri_participant_row row;
    const struct cell *cell;

    participant->nobody.key = key;
    participant->nobody.id_bytes = id.bytes;
    memcpy(participant->nobody.id, id.at, id.bytes);
    turn->entry = &participant->nobody;
    turn->index = TRI_PARTICIPANT_NOBODY;
    row = turn_classify(turn);
    cell = &table[row][TRI_PARTICIPANT_NONE];
    if (!acts[cell->act].leaves) {
        assert(!cell->moves);
        acts[cell->act].run(turn);
        return;
    }
    turn->index = tri_participant_take(participant, key);
    if (turn->index == TRI_PARTICIPANT_NOBODY) {
        tri_participant_refuse_full(turn);
        return;
    }
    turn->entry = &participant->entries[turn->index];
    turn->entry->hash = *hash;
    turn->entry->id_bytes = id.bytes;
    memcpy(turn->entry->id, id.at, id.bytes);
    turn_run(turn, row);
}

static bool hash_is_given(const struct tri_hash *hash)
{
    static const struct tri_hash none;

    return memcmp(hash, &none, sizeof(none)) != 0;
}

/* P06.  A coordinator that has no record of a message ends its reservation without knowing the
 * content (P14): such an ABORT fits any, and the first frame with a content names it. */
static bool turn_fits(struct tri_participant_turn *turn, const struct tri_hash *hash)
{
    if (memcmp(&turn->entry->hash, hash, sizeof(*hash)) == 0) {
        return true;
    }
    if (!hash_is_given(hash)) {
        return turn->frame->kind == TRI_PARTICIPANT_ABORT;
    }
    if (hash_is_given(&turn->entry->hash)) {
        return false;
    }
    turn->entry->hash = *hash;
    turn->entry->flags |= TRI_PARTICIPANT_UNRECORDED;
    return true;
}

/* One frame from the wire. */
static void step_frame(struct tri_participant_turn *turn, struct tri_key key, struct tri_text id,
                       const struct tri_hash *hash)
{
    assert(id.bytes >= 1);
    assert(id.bytes <= TRI_ID_BYTES_MAX);
    turn->index = tri_participant_find(turn->participant, key);
    if (turn->index == TRI_PARTICIPANT_NOBODY) {
        turn_run_unknown(turn, key, id, hash);
        return;
    }
    turn->entry = &turn->participant->entries[turn->index];
    if (turn_fits(turn, hash)) {
        turn_run(turn, turn_classify(turn));
    } else {
        turn_run(turn, TRI_PARTICIPANT_ROW_MISMATCH);
    }
}

/* The message's expiry and a window as a monotonic time, fixed now: the wall clock may jump (L07).
 */
static uint64_t forget_ns(const struct tri_participant *participant, uint64_t expires_at_ms,
                          const struct tri_participant_event *event)
{
    uint64_t left_ms = expires_at_ms > event->wall_ms ? expires_at_ms - event->wall_ms : 0;

    if (left_ms > LIFE_MS_MAX) {
        left_ms = LIFE_MS_MAX;
    }
    return event->now_ns + left_ms * TRI_NS_PER_MS + participant->dedup_window_ns;
}

static void step_phase(struct tri_participant_turn *turn, const struct tri_participant_event *event)
{
    static const enum tri_participant_kind kinds[TRI_PHASE_COUNT] = {
        [TRI_PHASE_PREPARE] = TRI_PARTICIPANT_PREPARE,
        [TRI_PHASE_COMMIT] = TRI_PARTICIPANT_COMMIT,
        [TRI_PHASE_FINALIZE] = TRI_PARTICIPANT_FINALIZE,
    };
    uint64_t ttl_ms = event->phase.reservation_ttl_ms;
    uint64_t ttl_ms_max = turn->participant->options.reservation_ttl_ms_max;
    struct tri_participant_frame frame;

    assert(event->phase.phase < TRI_PHASE_COUNT);
    if (ttl_ms_max != 0 && ttl_ms > ttl_ms_max) {
        ttl_ms = ttl_ms_max;
    }
    frame = (struct tri_participant_frame){
        .kind = kinds[event->phase.phase],
        .attempt = event->phase.attempt,
        .ttl_ns = event->now_ns + ttl_ms * TRI_NS_PER_MS,
        .forget_ns = forget_ns(turn->participant, event->phase.expires_at_ms, event),
        .tokens = event->phase.tokens,
        .is_alone = event->phase.atomicity == TRI_BEST_EFFORT,
        .is_stale = event->wall_ms >= event->phase.expires_at_ms,
    };
    turn->participant->counters.phases++;
    turn->frame = &frame;
    step_frame(turn, event->phase.key, event->phase.id, &event->phase.hash);
}

static void step_control(struct tri_participant_turn *turn,
                         const struct tri_participant_event *event)
{
    struct tri_participant_frame frame = {
        .kind = event->control.kind == TRI_CONTROL_ABORT ? TRI_PARTICIPANT_ABORT
                                                         : TRI_PARTICIPANT_ROLLBACK,
        .attempt = event->control.attempt,
        .forget_ns = forget_ns(turn->participant, event->control.expires_at_ms, event),
    };

    assert(event->control.kind < TRI_CONTROL_COUNT);
    turn->participant->counters.controls++;
    turn->frame = &frame;
    step_frame(turn, event->control.key, event->control.id, &event->control.hash);
}

enum tri_ledger_op tri_participant_waits_for(const struct tri_participant_entry *entry)
{
    switch ((enum tri_participant_state)entry->state) {
    case TRI_PARTICIPANT_RESERVING:
        return TRI_LEDGER_RESERVE;
    case TRI_PARTICIPANT_APPLYING:
        return (entry->flags & TRI_PARTICIPANT_ALONE) != 0 ? TRI_LEDGER_APPLY_UNRESERVED
                                                           : TRI_LEDGER_APPLY;
    case TRI_PARTICIPANT_UNDOING:
        return TRI_LEDGER_UNDO;
    default:
        return TRI_LEDGER_RELEASE;
    }
}

static void step_verdict(struct tri_participant_turn *turn,
                         const struct tri_participant_event *event)
{
    struct tri_participant_frame intent;

    if (event->ledger.entry >= turn->participant->used) {
        return;
    }
    turn->index = event->ledger.entry;
    turn->entry = &turn->participant->entries[turn->index];
    if (turn->entry->generation != event->ledger.generation ||
        event->ledger.op == TRI_LEDGER_RELEASE ||
        tri_participant_waits_for(turn->entry) != event->ledger.op) {
        return;
    }
    turn->verdict = event->ledger.code;
    turn_run(turn, turn->verdict == TRI_ERROR_NONE ? TRI_PARTICIPANT_ROW_DONE
                                                   : TRI_PARTICIPANT_ROW_REFUSED);
    if ((turn->entry->flags & TRI_PARTICIPANT_INTENT) != 0) {
        turn->entry->flags &= (uint8_t)~TRI_PARTICIPANT_INTENT;
        intent = turn->participant->rares[turn->index].intent;
        turn->frame = &intent;
        turn_run(turn, turn_classify(turn));
    }
}

/* Serves timers while there is room: each needs a release and a record at most. */
static void step_timers(struct tri_participant_turn *turn)
{
    for (uint32_t i = 0; i < TIMERS_MAX; i++) {
        enum tri_participant_row row = TRI_PARTICIPANT_ROW_FORGET;

        if (turn->effects->count + 2 > TRI_PARTICIPANT_EFFECTS_MAX ||
            !tri_deadlines_pop(turn->participant->deadlines, turn->now_ns, &turn->index)) {
            return;
        }
        turn->entry = &turn->participant->entries[turn->index];
        if ((turn->entry->flags & TRI_PARTICIPANT_HELD) != 0 || entry_is_at_ledger(turn->entry)) {
            row = TRI_PARTICIPANT_ROW_TIME_UP;
        }
        turn_run(turn, row);
    }
}

/* P14: asks about reservations while there is room; the next TICK goes on. */
static void step_asks(struct tri_participant_turn *turn)
{
    struct tri_participant *participant = turn->participant;

    while (participant->ask != TRI_PARTICIPANT_NOBODY &&
           turn->effects->count < TRI_PARTICIPANT_EFFECTS_MAX) {
        if (!tri_participant_next_reserved(participant, participant->ask, &turn->index,
                                           &participant->ask)) {
            return;
        }
        turn->entry = &participant->entries[turn->index];
        tri_participant_ask(turn);
        turn->changed = true;
    }
}

/* An entry as it stands.  Nothing has changed by that, so nothing waits for this record. */
static void step_image(struct tri_participant_turn *turn)
{
    uint64_t lsn = tri_participant_append(turn, TRI_PARTICIPANT_RECORD_MESSAGE)->lsn;

    if ((turn->entry->flags & TRI_PARTICIPANT_UNRECORDED) != 0) {
        turn->entry->flags &= (uint8_t)~TRI_PARTICIPANT_UNRECORDED;
        turn->entry->lsn = lsn;
    }
}

/* The next images of a checkpoint, while there is room; its own record comes alone, behind them. */
static void step_checkpoint(struct tri_participant_turn *turn)
{
    struct tri_participant *participant = turn->participant;
    bool is_first = participant->checkpoint_lsn == 0;

    turn->changed = true;
    if (is_first) {
        participant->checkpoint_lsn = participant->lsn + 1;
        participant->checkpoint = 0;
    } else if (participant->checkpoint >= participant->used) {
        turn->entry = &participant->nobody;
        turn->index = TRI_PARTICIPANT_NOBODY;
        tri_participant_append(turn, TRI_PARTICIPANT_RECORD_CHECKPOINT)->begin_lsn =
            participant->checkpoint_lsn;
        participant->checkpoint_lsn = 0;
        return;
    }
    for (uint32_t i = 0; i < IMAGES_MAX && participant->checkpoint < participant->used &&
                         turn->effects->count < TRI_PARTICIPANT_EFFECTS_MAX;
         i++) {
        turn->index = participant->checkpoint++;
        turn->entry = &participant->entries[turn->index];
        if ((turn->entry->flags & TRI_PARTICIPANT_USED) != 0) {
            step_image(turn);
        }
    }
}

enum tri_result tri_participant_step(struct tri_participant *participant,
                                     const struct tri_participant_event *event,
                                     struct tri_participant_effects *effects)
{
    struct tri_participant_turn turn = {
        .participant = participant,
        .effects = effects,
        .now_ns = event->now_ns,
    };

    assert(participant != NULL);
    assert(event->now_ns != TRI_NEVER);
    assert(participant->resume == TRI_PARTICIPANT_NOBODY || event->type == TRI_PARTICIPANT_LEDGER);
    participant->now_ns = event->now_ns;
    participant->wall_ms = event->wall_ms;
    effects->count = 0;
    switch (event->type) {
    case TRI_PARTICIPANT_PHASE:
        step_phase(&turn, event);
        break;
    case TRI_PARTICIPANT_CONTROL:
        step_control(&turn, event);
        break;
    case TRI_PARTICIPANT_WELCOME:
        participant->ask = 0;
        step_asks(&turn);
        break;
    case TRI_PARTICIPANT_LEDGER:
        step_verdict(&turn, event);
        break;
    case TRI_PARTICIPANT_DURABLE:
        assert(event->durable.lsn <= participant->lsn);
        if (event->durable.lsn > participant->lsn_durable) {
            participant->lsn_durable = event->durable.lsn;
            turn.changed = true;
        }
        break;
    case TRI_PARTICIPANT_CHECKPOINT:
        step_checkpoint(&turn);
        break;
    case TRI_PARTICIPANT_TICK:
        step_timers(&turn);
        step_asks(&turn);
        break;
    }
    return turn.changed ? TRI_OK : TRI_STALE;
}

enum tri_result tri_participant_resume(struct tri_participant *participant, uint64_t now_ns,
                                       uint64_t wall_ms, struct tri_participant_effects *effects)
{
    struct tri_participant_turn turn = {
        .participant = participant,
        .effects = effects,
        .now_ns = now_ns,
        .changed = true, /* sets each entry's timer */
    };

    assert(participant != NULL);
    assert(now_ns != TRI_NEVER);
    participant->now_ns = now_ns;
    participant->wall_ms = wall_ms;
    effects->count = 0;
    while (participant->resume < participant->used &&
           effects->count < TRI_PARTICIPANT_EFFECTS_MAX) {
        turn.index = participant->resume++;
        turn.entry = &participant->entries[turn.index];
        if ((turn.entry->flags & TRI_PARTICIPANT_USED) != 0) {
            turn_run(&turn, TRI_PARTICIPANT_ROW_RESUME);
            turn_move(&turn, (enum tri_participant_state)turn.entry->state); /* known to the asks */
        }
    }
    if (participant->resume < participant->used) {
        return TRI_MORE;
    }
    participant->resume = TRI_PARTICIPANT_NOBODY;
    return TRI_OK;
}

uint64_t tri_participant_checkpoint_lsn(const struct tri_participant *participant)
{
    return participant->checkpoint_lsn;
}

uint64_t tri_participant_take_lsn(struct tri_participant *participant)
{
    assert(participant->resume == TRI_PARTICIPANT_NOBODY);
    return ++participant->lsn;
}

uint64_t tri_participant_deadline_ns(const struct tri_participant *participant)
{
    if (participant->ask != TRI_PARTICIPANT_NOBODY) {
        return 0;
    }
    return tri_deadlines_next_ns(participant->deadlines);
}

const struct tri_participant_counters *
tri_participant_counters(const struct tri_participant *participant)
{
    return &participant->counters;
}

enum tri_participant_state tri_participant_state(const struct tri_participant *participant,
                                                 struct tri_key key, tri_attempt *attempt)
{
    uint32_t index = tri_participant_find(participant, key);

    assert(attempt != NULL);
    *attempt = 0;
    if (index == TRI_PARTICIPANT_NOBODY) {
        return TRI_PARTICIPANT_NONE;
    }
    *attempt = participant->entries[index].attempt;
    return (enum tri_participant_state)participant->entries[index].state;
}

struct tri_text tri_participant_id(const struct tri_participant *participant, struct tri_key key)
{
    uint32_t index = tri_participant_find(participant, key);

    if (index == TRI_PARTICIPANT_NOBODY) {
        return (struct tri_text){"", 0};
    }
    return (struct tri_text){participant->entries[index].id, participant->entries[index].id_bytes};
}
