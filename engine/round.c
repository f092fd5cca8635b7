/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/round.h"

/* NOLINTBEGIN: the table is made of macros */
#define GO(state, action)                           \
    {                                               \
        1, TRI_ROUND_##state, TRI_ROUND_DO_##action \
    }
#define KEEP(action)                                        \
    {                                                       \
        1, TRI_ROUND_STATE_COUNT + 1, TRI_ROUND_DO_##action \
    }
#define NEVER   \
    {           \
        0, 0, 0 \
    }

static const struct tri_round_cell table[TRI_ROUND_STATE_COUNT][TRI_ROUND_EVENT_COUNT] = {
#define ROW(state, released, all_ok, partial, retry, spent, refused, maybe_retry, maybe_spent, \
            maybe_refused, late, due, stuck, broken)                                           \
    [TRI_ROUND_##state] = {[TRI_ROUND_RELEASED] = released,                                    \
                           [TRI_ROUND_ALL_OK] = all_ok,                                        \
                           [TRI_ROUND_PARTIAL] = partial,                                      \
                           [TRI_ROUND_RETRY] = retry,                                          \
                           [TRI_ROUND_SPENT] = spent,                                          \
                           [TRI_ROUND_REFUSED] = refused,                                      \
                           [TRI_ROUND_MAYBE_RETRY] = maybe_retry,                              \
                           [TRI_ROUND_MAYBE_SPENT] = maybe_spent,                              \
                           [TRI_ROUND_MAYBE_REFUSED] = maybe_refused,                          \
                           [TRI_ROUND_LATE] = late,                                            \
                           [TRI_ROUND_DUE] = due,                                              \
                           [TRI_ROUND_STUCK] = stuck,                                          \
                           [TRI_ROUND_BROKEN] = broken},
#include "engine/round_table.def"
};

/* The table is total: a missing cell is a macro arity error, a repeated state is -Woverride-init, a
 * missing row is counted here. */
static_assert(0
#define ROW(...) +1
#include "engine/round_table.def"
                  == TRI_ROUND_STATE_COUNT,
              "round_table.def lacks a state");
static_assert(TRI_ROUND_EVENT_COUNT == 13, "a new event needs a new column");

static const char *const names[TRI_ROUND_STATE_COUNT] = {
#define NAME(name, shown, phase, frames) [TRI_ROUND_##name] = shown,
    TRI_ROUND_STATES(NAME)
#undef NAME
};

#define TRI_PHASE_NONE TRI_PHASE_COUNT
#define TRI_SEND_NONE  TRI_SEND_COUNT
static const uint8_t phases[TRI_ROUND_STATE_COUNT] = {
#define PHASE(name, shown, phase, frames) [TRI_ROUND_##name] = TRI_PHASE_##phase,
    TRI_ROUND_STATES(PHASE)
#undef PHASE
};

static const uint8_t frames_of[TRI_ROUND_STATE_COUNT] = {
#define FRAMES(name, shown, phase, frames) [TRI_ROUND_##name] = TRI_SEND_##frames,
    TRI_ROUND_STATES(FRAMES)
#undef FRAMES
};
/* NOLINTEND */

struct tri_round_cell tri_round_cell(enum tri_round_state state, enum tri_round_event event)
{
    struct tri_round_cell cell;

    assert(state < TRI_ROUND_STATE_COUNT);
    assert(event < TRI_ROUND_EVENT_COUNT);
    cell = table[state][event];
    if (cell.next == TRI_ROUND_STATE_COUNT + 1) { /* KEEP */
        cell.next = (uint8_t)state;
    }
    return cell;
}

const char *tri_round_state_name(enum tri_round_state state)
{
    assert(state < TRI_ROUND_STATE_COUNT);
    return names[state];
}

enum tri_phase tri_round_phase(enum tri_round_state state)
{
    assert(state < TRI_ROUND_STATE_COUNT);
    return (enum tri_phase)phases[state];
}

enum tri_send tri_round_frames(enum tri_round_state state)
{
    assert(state < TRI_ROUND_STATE_COUNT);
    return (enum tri_send)frames_of[state];
}

enum tri_round_state tri_round_held(enum tri_atomicity atomicity)
{
    assert(atomicity != TRI_BEST_EFFORT);
    return atomicity == TRI_GUARANTEED ? TRI_ROUND_G_HELD : TRI_ROUND_A_HELD;
}

enum tri_round_state tri_round_start(enum tri_atomicity atomicity, bool finalize_requested)
{
    switch (atomicity) {
    case TRI_BEST_EFFORT:
        return finalize_requested ? TRI_ROUND_BF_COMMITTING : TRI_ROUND_B_COMMITTING;
    case TRI_GUARANTEED:
        return TRI_ROUND_G_PREPARING;
    case TRI_ALL_OR_NOTHING:
    case TRI_ATOMICITY_COUNT:
        break;
    }
    assert(atomicity == TRI_ALL_OR_NOTHING);
    return TRI_ROUND_A_PREPARING;
}
