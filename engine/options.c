/* SPDX-License-Identifier: Apache-2.0 */
/* Options: whether an engine can be made of them. */
#include "engine/engine.h"

#include <string.h>

#define BACKOFF_MS_MAX 3600000U
#define TIMEOUT_MS_MAX 3600000U
#define TTL_S_MIN      1U

static const char *check_policy(const struct tri_engine_policy *policy)
{
    uint64_t window_ms =
        TTL_S_MIN * UINT64_C(1000) + (uint64_t)policy->retries_max * policy->backoff_max_ms;

    if (policy->retries_max > 1000) {
        return "retries_max: must be 0..1000";
    }
    if (policy->backoff_max_ms < 1 || policy->backoff_max_ms > BACKOFF_MS_MAX) {
        return "backoff_max_ms: must be 1..3600000";
    }
    if (policy->backoff_initial_ms < 1 || policy->backoff_initial_ms > policy->backoff_max_ms) {
        return "backoff_initial_ms: must be 1..backoff_max_ms";
    }
    if (policy->multiplier_permille < 1000 || policy->multiplier_permille > 10000) {
        return "multiplier_permille: must be 1000..10000";
    }
    if (policy->jitter_permille > 1000) {
        return "jitter_permille: must be 0..1000";
    }
    if (policy->lock_ttl_ms != 0 && policy->lock_ttl_ms < window_ms) {
        return "lock_ttl_ms: must be >= message TTL + retries_max x backoff_max_ms (L01)";
    }
    if (policy->lock_ttl_ms > UINT32_MAX || policy->dedup_window_ms > UINT32_MAX) {
        return "lock_ttl_ms, dedup_window_ms: must be below 2^32";
    }
    if (policy->dedup_window_ms < 1 || policy->dedup_window_ms < policy->lock_ttl_ms) {
        return "dedup_window_ms: must be >= 1 and >= lock_ttl_ms (R06)";
    }
    return NULL;
}

static const char *check_times(const struct tri_engine_options *options)
{
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        if (options->timeout_ms_max[phase] < 1 || options->timeout_ms_max[phase] > TIMEOUT_MS_MAX) {
            return "timeout_ms_max: must be 1..3600000";
        }
        if (options->timeout_ms[phase] < 1 ||
            options->timeout_ms[phase] > options->timeout_ms_max[phase]) {
            return "timeout_ms: must be 1..timeout_ms_max";
        }
    }
    if (options->rollback_window_ms < 8 || options->rollback_window_ms > TIMEOUT_MS_MAX) {
        return "rollback_window_ms: must be 8..3600000";
    }
    if (options->clock_allowance_ms > 600000) {
        return "clock_allowance_ms: must be 0..600000";
    }
    return NULL;
}

static const char *check_capacities(const struct tri_engine_options *options)
{
    uint64_t bodies = 0;

    if (options->epoch < 1) {
        return "epoch: must be >= 1";
    }
    if (options->rounds_max < 1 || options->rounds_max > (UINT32_C(1) << 24)) {
        return "rounds_max: must be 1..2^24";
    }
    if (options->dedup_entries_max < options->rounds_max ||
        options->dedup_entries_max > TRI_DEDUP_ENTRIES_MAX) {
        return "dedup_entries_max: must be rounds_max..2^26";
    }
    if (options->waiters_max < 1 || options->waiters_max > TRI_POOL_SLOTS_MAX) {
        return "waiters_max: must be 1..2^26";
    }
    if (options->envelopes_max > TRI_ENVELOPES_MAX) {
        return "envelopes_max: must be 0..65536";
    }
    if (options->envelopes_slack > TRI_ENVELOPES_MAX - options->envelopes_max) {
        return "envelopes_slack: with envelopes_max, must be 0..65536";
    }
    for (uint32_t i = 0; i < TRI_ENGINE_BODY_CLASSES; i++) {
        if (options->body_counts[i] > TRI_ARENA_SLOTS_MAX) {
            return "body_counts: must be 0..2^26 each";
        }
        bodies += options->body_counts[i];
    }
    if (bodies == 0) {
        return "body_counts: must not all be 0";
    }
    if (options->chain_share_permille < 1 || options->chain_share_permille > 1000) {
        return "chain_share_permille: must be 1..1000";
    }
    if (options->submitters_max > TRI_DEDUP_OWNERS_MAX) {
        return "submitters_max: must be 0..4095";
    }
    if (options->submitters_max > 0 &&
        (options->submitter_share_permille < 1 || options->submitter_share_permille > 1000)) {
        return "submitter_share_permille: must be 1..1000";
    }
    return NULL;
}

static bool texts_equal(struct tri_text a, struct tri_text b)
{
    return a.bytes == b.bytes && memcmp(a.at, b.at, a.bytes) == 0;
}

static const char *check_chains(const struct tri_engine_options *options)
{
    if (options->chain_count < 1 || options->chain_count > TRI_CHAINS_MAX) {
        return "chain_count: must be 1..1024";
    }
    for (uint32_t i = 0; i < options->chain_count; i++) {
        if (options->chains[i].id.bytes < 1 ||
            options->chains[i].id.bytes > TRI_CHAIN_ID_BYTES_MAX) {
            return "chains: an id must have 1..41 bytes";
        }
        for (uint32_t k = 0; k < i; k++) {
            if (texts_equal(options->chains[i].id, options->chains[k].id)) {
                return "chains: two chains have the same id";
            }
        }
    }
    if (options->location_count > TRI_LOCATION_ENTRIES_MAX) {
        return "location_count: must be 0..2^24";
    }
    for (uint32_t i = 0; i < options->location_count; i++) {
        const struct tri_engine_location *location = &options->locations[i];
        const char *fault = tri_location_check(location);

        if (fault != NULL) {
            return fault;
        }
        if (location->chains[location->chain_count - 1] >= options->chain_count) {
            return "locations: a chain is not configured";
        }
    }
    return NULL;
}

const char *tri_engine_check(const struct tri_engine_options *options)
{
    const char *fault = check_capacities(options);

    if (fault == NULL) {
        fault = check_times(options);
    }
    if (fault == NULL) {
        fault = check_chains(options);
    }
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            if (fault == NULL) {
                fault = check_policy(&options->policies[type][subtype]);
            }
        }
    }
    return fault;
}
