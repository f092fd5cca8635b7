/* SPDX-License-Identifier: Apache-2.0 */
/* View: what effects, results and status show of a message. */
#include "engine/engine.h"

#include <string.h>

/*
 * What a closed entry keeps: each target is one of four things, two bits of it.  Which four is the
 * entry's kind, and no way to the end needs a fifth:
 *
 *   done alone, refused alone (always REFUSED), both, neither
 */
#define KINDS(X)                                                          \
    X(APPLIED, APPLIED, OPEN, UNKNOWN)     /* without FINALIZE */         \
    X(FINAL, FINAL, UNKNOWN, APPLIED)      /* FINALIZE_OK from some */    \
    X(UNDONE, UNDONE, APPLIED, UNKNOWN)    /* rolled back after COMMIT */ \
    X(UNDONE_EARLY, UNDONE, OPEN, UNKNOWN) /* rolled back after PREPARE */

enum view_kind {
#define KIND_ENUM(kind, done, both, neither) KIND_##kind,
    KINDS(KIND_ENUM)
#undef KIND_ENUM
        KIND_COUNT,
};
/* The two masks of an entry. */
enum { DONE, REFUSED };
/* A closed entry's summary: the result, and how the message was declared and run (A04, A10). */
#define SUMMARY_ACK(summary)            ((enum tri_ack_type)((summary)&3U))
#define SUMMARY_DECLARED(summary)       ((enum tri_atomicity)(((summary) >> 2) & 3U))
#define SUMMARY_RUN(summary)            ((enum tri_atomicity)(((summary) >> 4) & 3U))
#define SUMMARY_SCOPE_DECLARED(summary) ((enum tri_scope)(((summary) >> 6) & 1U))
#define SUMMARY_SCOPE(summary)          ((enum tri_scope)(((summary) >> 7) & 1U))
static_assert(TRI_ACK_REJECTED <= 3 && TRI_ATOMICITY_COUNT <= 4 && TRI_SCOPE_COUNT <= 2,
              "a summary is one byte");
static_assert(TRI_ERROR_VALUE_MAX <= UINT8_MAX, "a code is one byte of an entry");
static_assert(KIND_COUNT == TRI_VIEW_KINDS && KIND_COUNT <= 4, "a kind is two bits of an entry");

enum view_fate {
    FATE_FINAL, /* in this order a stronger fact wins over a weaker one */
    FATE_UNDONE,
    FATE_APPLIED,
    FATE_UNKNOWN,
    FATE_REFUSED,
    FATE_OPEN,
    FATE_COUNT,
};

static const struct {
    uint8_t done;
    uint8_t both;
    uint8_t neither;
} kinds[KIND_COUNT] = {
#define KIND_ROW(kind, done, both, neither) \
    [KIND_##kind] = {FATE_##done, FATE_##both, FATE_##neither},
    KINDS(KIND_ROW)
#undef KIND_ROW
};

void tri_view_round(const struct tri_engine *engine, const struct tri_round *round,
                    struct tri_round_view *view)
{
    const struct tri_target *targets = round->targets;
    const uint8_t *canonical = tri_round_canonical(round);

    view->key = round->key;
    view->hash = *tri_round_hash(round);
    view->id.at = (const char *)canonical + round->id_at;
    view->id.bytes = round->id_bytes;
    view->canonical.at = canonical;
    view->canonical.bytes = round->canonical_bytes;
    view->inner.at = canonical + round->inner_at;
    view->inner.bytes = round->canonical_bytes - round->inner_at;
    view->targets = targets;
    view->target_count = round->target_count;
    view->attempt = round->attempt;
    view->expires_at_ms = round->expires_at_ms;
    view->reservation_ttl_ms = round->ttl_ms;
    view->rollback_deadline_ms = round->window_end_ms;
    view->atomicity_declared = (enum tri_atomicity)round->atomicity_declared;
    view->atomicity = (enum tri_atomicity)round->atomicity;
    view->scope_declared = (enum tri_scope)round->scope_declared;
    view->scope = (enum tri_scope)round->scope;
    view->map_version = engine->options.map_version;
    view->is_forced = round->is_forced;
    view->retries = round->retries;
    view->state = tri_round_state_name((enum tri_round_state)round->state_shown);
    view->cause = (enum tri_error)round->cause;
    view->prepared_mask = round->prepared;
    view->applied_mask = round->applied;
    view->final_mask = round->final;
    view->refused_mask = round->refused;
    view->unknown_mask = round->maybe & ~round->applied;
    view->undone_mask = tri_round_undone(round);
}

void tri_view_durable(const struct tri_engine *engine, const struct tri_round *round,
                      struct tri_round_view *view)
{
    bool is_redelivery =
        round->state_shown == TRI_ROUND_G_BACKOFF || round->state_shown == TRI_ROUND_A_BACKOFF;

    tri_view_round(engine, round, view);
    if (round->release_lsn <= engine->durable_lsn) {
        return;
    }
    view->cause = TRI_ERROR_NONE;
    if (round->state == TRI_ROUND_A_ROLLING_BACK) {
        view->rollback_deadline_ms = 0;
    }
    if (is_redelivery) { /* nothing else leads out of there by a record */
        view->attempt = round->attempt_before;
        view->retries = round->retries - (round->was_orphan ? 0U : 1U);
    }
}

/* Every target in the one mask that says most about it. */
static void view_fates(const struct tri_round *round, uint64_t fates[FATE_COUNT])
{
    uint64_t rest = tri_round_all(round);

    fates[FATE_FINAL] = round->final;
    fates[FATE_UNDONE] = tri_round_undone(round);
    fates[FATE_APPLIED] = round->applied;
    fates[FATE_UNKNOWN] = round->maybe; /* A11: outweighs a refusal of a later PREPARE */
    fates[FATE_REFUSED] = round->refused;
    fates[FATE_OPEN] = rest;
    for (uint32_t fate = 0; fate < FATE_COUNT; fate++) {
        fates[fate] &= rest;
        rest &= ~fates[fate];
    }
    assert(rest == 0);
}

static enum view_kind view_kind(const struct tri_round *round)
{
    if (round->affected != 0) {
        return round->applied != 0 ? KIND_UNDONE : KIND_UNDONE_EARLY;
    }
    return round->final != 0 ? KIND_FINAL : KIND_APPLIED;
}

bool tri_view_fits(const struct tri_round *round)
{
    enum view_kind kind = view_kind(round);
    uint64_t fates[FATE_COUNT];

    view_fates(round, fates);
    return (fates[FATE_REFUSED] | fates[kinds[kind].done] | fates[kinds[kind].both] |
            fates[kinds[kind].neither]) == tri_round_all(round);
}

void tri_view_pack(const struct tri_round *round, struct tri_dedup_entry *entry, uint64_t masks[2])
{
    uint32_t n = TRI_ATTEMPT_N(round->attempt);
    enum view_kind kind = view_kind(round);
    uint64_t fates[FATE_COUNT];

    view_fates(round, fates);
    masks[DONE] = fates[kinds[kind].done] | fates[kinds[kind].both];
    masks[REFUSED] = fates[FATE_REFUSED] | fates[kinds[kind].both];
    assert((masks[DONE] | masks[REFUSED] | fates[kinds[kind].neither]) == tri_round_all(round));
    entry->hash = *tri_round_hash(round);
    entry->epoch = TRI_ATTEMPT_EPOCH(round->attempt);
    entry->attempt_n = n < UINT16_MAX ? (uint16_t)n : UINT16_MAX;
    entry->target_set = round->target_set;
    entry->code = (uint8_t)round->cause;
    entry->summary =
        (uint8_t)(round->ack_type | round->atomicity_declared << 2 | round->atomicity << 4 |
                  round->scope_declared << 6 | round->scope << 7);
    entry->kind = kind & 3U;
}

void tri_view_store(struct tri_engine *engine, const struct tri_round *round,
                    struct tri_dedup_entry *entry)
{
    uint64_t masks[2];

    tri_view_pack(round, entry, masks);
    tri_dedup_store(engine->dedup, entry, masks);
}

bool tri_view_summary_fits(uint8_t summary)
{
    return SUMMARY_ACK(summary) != TRI_ACK_RECEIVED &&
           SUMMARY_DECLARED(summary) < TRI_ATOMICITY_COUNT &&
           SUMMARY_RUN(summary) < TRI_ATOMICITY_COUNT;
}

enum tri_ack_type tri_view_result(const struct tri_dedup_entry *entry)
{
    return SUMMARY_ACK(entry->summary);
}

void tri_view_closed(struct tri_engine *engine, struct tri_key key,
                     const struct tri_dedup_entry *entry, struct tri_round_view *view,
                     bool *has_targets)
{
    uint32_t kind = entry->kind;
    uint64_t fates[FATE_COUNT] = {0};
    uint64_t all = 0;
    uint64_t masks[2];
    uint64_t both;

    assert(kind < KIND_COUNT);
    tri_dedup_load(engine->dedup, entry, masks);
    both = masks[DONE] & masks[REFUSED];
    *view = (struct tri_round_view){0};
    view->key = key;
    view->hash = entry->hash;
    view->attempt = TRI_ATTEMPT(entry->epoch, entry->attempt_n);
    view->map_version = engine->options.map_version;
    view->atomicity_declared = SUMMARY_DECLARED(entry->summary);
    view->atomicity = SUMMARY_RUN(entry->summary);
    view->scope_declared = SUMMARY_SCOPE_DECLARED(entry->summary);
    view->scope = SUMMARY_SCOPE(entry->summary);
    view->retries = entry->attempt_n - 1U;
    view->state = tri_ack_type_name(tri_view_result(entry));
    view->cause = (enum tri_error)entry->code;
    view->targets = engine->status_targets;
    *has_targets = entry->target_set != TRI_TARGETS_NONE;
    if (*has_targets) {
        const uint16_t *chains =
            tri_targets_get(engine->target_sets, entry->target_set, &view->target_count);

        for (uint32_t i = 0; i < view->target_count; i++) {
            engine->status_targets[i] = (struct tri_target){.chain = chains[i]};
        }
        assert(view->target_count >= 1);
        all = UINT64_MAX >> (TRI_TARGETS_MAX - view->target_count);
    }
    fates[FATE_REFUSED] = masks[REFUSED] & ~both;
    fates[kinds[kind].done] = masks[DONE] & ~both;
    fates[kinds[kind].both] = both;
    fates[kinds[kind].neither] = all & ~(masks[DONE] | masks[REFUSED]);
    view->final_mask = fates[FATE_FINAL];
    view->undone_mask = fates[FATE_UNDONE];
    view->applied_mask = fates[FATE_APPLIED] | fates[FATE_FINAL];
    view->unknown_mask = fates[FATE_UNKNOWN];
    view->refused_mask = fates[FATE_REFUSED];
}
