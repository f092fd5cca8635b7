/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tally: who has answered a phase, one bit per target.
 *
 * A target counts once (P07); what it said first stands.  The phase is complete
 * when every target has answered (P01).
 *
 * Threads: a tally is a plain value of its round.
 */
#ifndef TRI_ENGINE_TALLY_H
#define TRI_ENGINE_TALLY_H

#include "engine/limits.h"

struct tri_tally {
    uint64_t all;      /* the targets that are asked */
    uint64_t answered; /* within all */
    uint64_t ok;       /* within answered; the rest of answered refused */
};

/* tri_tally_open begins a phase over the targets of the mask `all`, which is not empty. */
static inline void tri_tally_open(struct tri_tally *tally, uint64_t all)
{
    assert(all != 0);

    tally->all = all;
    tally->answered = 0;
    tally->ok = 0;
}

/*
 * tri_tally_count takes one answer in.
 *
 * target  a target of the phase.
 * is_ok   what it said.
 *
 * Returns TRI_OK, or TRI_STALE if the target had answered before: nothing changed, count a repeat.
 */
static inline enum tri_result tri_tally_count(struct tri_tally *tally, uint32_t target, bool is_ok)
{
    uint64_t bit;

    assert(target < TRI_TARGETS_MAX);
    bit = UINT64_C(1) << target;
    assert((tally->all & bit) != 0);

    if ((tally->answered & bit) != 0) {
        return TRI_STALE;
    }
    tally->answered |= bit;
    if (is_ok) {
        tally->ok |= bit;
    }
    return TRI_OK;
}

/* Every target has answered. */
static inline bool tri_tally_is_complete(const struct tri_tally *tally)
{
    assert(tally->all != 0);
    assert((tally->answered & ~tally->all) == 0);
    return tally->answered == tally->all;
}

/* Every target has answered OK. */
static inline bool tri_tally_is_unanimous(const struct tri_tally *tally)
{
    assert(tally->all != 0);
    assert((tally->ok & ~tally->answered) == 0);
    return tally->ok == tally->all;
}

/* The targets that have not answered. */
static inline uint64_t tri_tally_missing(const struct tri_tally *tally)
{
    assert((tally->answered & ~tally->all) == 0);
    return tally->all & ~tally->answered;
}

#endif
