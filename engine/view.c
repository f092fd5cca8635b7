/* SPDX-License-Identifier: Apache-2.0 */
/* View: what effects, results and status show of a message. */
#include "engine/engine.h"

#include <string.h>

/* In a closed entry: what a bit of done_mask means, and what a target in neither mask is. */
#define DONE_APPLIED                    0x00U
#define DONE_FINAL                      0x01U
#define DONE_UNDONE                     0x02U
#define DONE_BITS                       0x03U
#define REST_OPEN                       0x00U
#define REST_UNKNOWN                    0x04U
#define REST_APPLIED                    0x08U
#define REST_BITS                       0x0cU
/* A closed entry's summary: the result, and how the message was declared and run (A04, A10). */
#define SUMMARY_ACK(summary)            ((enum tri_ack_type)((summary)&3U))
#define SUMMARY_DECLARED(summary)       ((enum tri_atomicity)(((summary) >> 2) & 3U))
#define SUMMARY_RUN(summary)            ((enum tri_atomicity)(((summary) >> 4) & 3U))
#define SUMMARY_SCOPE_DECLARED(summary) ((enum tri_scope)(((summary) >> 6) & 1U))
#define SUMMARY_SCOPE(summary)          ((enum tri_scope)(((summary) >> 7) & 1U))
static_assert(TRI_ACK_REJECTED <= 3 && TRI_ATOMICITY_COUNT <= 4 && TRI_SCOPE_COUNT <= 2,
              "a summary is one byte");
static_assert(((DONE_BITS | REST_BITS) & (TRI_DEDUP_USED | TRI_DEDUP_CLOSED)) == 0,
              "the table keeps its own flags");

void tri_view_round(const struct tri_engine *engine, const struct tri_round *round,
                    struct tri_round_view *view)
{
    const struct tri_target *targets = round->targets;
    const uint8_t *canonical = tri_round_canonical(round);

    view->key = round->key;
    view->hash = round->hash;
    view->id.at = (const char *)canonical + round->id_at;
    view->id.bytes = round->id_bytes;
    view->canonical.at = canonical;
    view->canonical.bytes = round->canonical_bytes;
    view->inner.at = canonical + round->inner_at;
    view->inner.bytes = round->inner_bytes;
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
    view->retries = round->retries;
    view->state = tri_round_state_name((enum tri_round_state)round->state_shown);
    view->cause = (enum tri_error)round->cause;
    view->prepared_mask = round->prepared;
    view->applied_mask = round->applied;
    view->final_mask = round->final;
    view->refused_mask = round->refused;
    view->unknown_mask = round->maybe & ~round->applied;
    view->undone_mask = round->undone;
}

void tri_view_store(const struct tri_round *round, struct tri_dedup_entry *entry)
{
    uint32_t n = TRI_ATTEMPT_N(round->attempt);
    uint8_t flags = TRI_DEDUP_CLOSED;

    if (round->affected != 0) {
        entry->done_mask = round->undone;
        flags |= DONE_UNDONE | (round->maybe != 0 ? REST_UNKNOWN : REST_OPEN);
    } else if (round->final != 0) {
        entry->done_mask = round->final;
        flags |= DONE_FINAL | REST_APPLIED;
    } else {
        entry->done_mask = round->applied;
        flags |= DONE_APPLIED | (round->maybe != 0 ? REST_UNKNOWN : REST_OPEN);
    }
    entry->refused_mask = round->refused;
    entry->epoch = TRI_ATTEMPT_EPOCH(round->attempt);
    entry->attempt_n = n < UINT16_MAX ? (uint16_t)n : UINT16_MAX;
    entry->target_set = round->target_set;
    entry->code = round->cause;
    entry->summary =
        (uint8_t)(round->ack_type | round->atomicity_declared << 2 | round->atomicity << 4 |
                  round->scope_declared << 6 | round->scope << 7);
    entry->flags |= flags;
}

enum tri_ack_type tri_view_result(const struct tri_dedup_entry *entry)
{
    assert((entry->flags & TRI_DEDUP_CLOSED) != 0);
    return SUMMARY_ACK(entry->summary);
}

void tri_view_closed(struct tri_engine *engine, const struct tri_dedup_entry *entry,
                     struct tri_round_view *view, bool *has_targets)
{
    uint64_t all = 0;
    uint64_t rest;

    assert((entry->flags & TRI_DEDUP_CLOSED) != 0);
    *view = (struct tri_round_view){0};
    view->key = entry->key;
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
    view->refused_mask = entry->refused_mask;
    rest = all & ~(entry->done_mask | entry->refused_mask);
    switch (entry->flags & DONE_BITS) {
    case DONE_FINAL:
        view->final_mask = entry->done_mask;
        view->applied_mask = entry->done_mask;
        break;
    case DONE_UNDONE:
        view->undone_mask = entry->done_mask;
        break;
    default:
        view->applied_mask = entry->done_mask;
        break;
    }
    if ((entry->flags & REST_BITS) == REST_UNKNOWN) {
        view->unknown_mask = rest;
    } else if ((entry->flags & REST_BITS) == REST_APPLIED) {
        view->applied_mask |= rest;
    }
}
