/* SPDX-License-Identifier: Apache-2.0 */
/* Prints tri_version() and what tri_node_defaults() sets, as docs/embedding.md has to tell it. */
#include <stdio.h>
#include <string.h>
#include <tricast.h>

static struct tri_node_options options;

/* Rows of docs/embedding.md whose field is one number. */
#define NUMBERS(X)                 \
    X(shards)                      \
    X(pins_threads)                \
    X(handles_max)                 \
    X(in_flight_max)               \
    X(engine.epoch)                \
    X(engine.rounds_max)           \
    X(engine.dedup_entries_max)    \
    X(engine.envelopes_max)        \
    X(engine.envelopes_slack)      \
    X(engine.waiters_max)          \
    X(engine.map_version)          \
    X(engine.rollback_window_ms)   \
    X(engine.clock_allowance_ms)   \
    X(engine.chain_share_permille) \
    X(engine.submitters_max)       \
    X(engine.submitter_share_permille)

static void print_list(const char *name, const uint32_t *values, uint32_t count)
{
    printf("%s", name);
    for (uint32_t i = 0; i < count; i++) {
        printf("%s %u", i == 0 ? "" : ";", values[i]);
    }
    printf("\n");
}

/* 0 if the policies are not alike but for the retries of GOVERNANCE EXECUTE. */
static int policies_are_alike(void)
{
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            const struct tri_engine_policy *one = &options.engine.policies[type][subtype];
            const struct tri_engine_policy *first = &options.engine.policies[0][0];
            uint32_t more = subtype == TRI_SUBTYPE_EXECUTE ? 2 : 0;

            if (one->retries_max != first->retries_max + more ||
                one->backoff_initial_ms != first->backoff_initial_ms ||
                one->backoff_max_ms != first->backoff_max_ms ||
                one->multiplier_permille != first->multiplier_permille ||
                one->jitter_permille != first->jitter_permille ||
                one->lock_ttl_ms != first->lock_ttl_ms ||
                one->dedup_window_ms != first->dedup_window_ms) {
                return 0;
            }
        }
    }
    return 1;
}

int main(void)
{
    static const uint8_t none[sizeof(options.hash_secret)];
    const struct tri_engine_policy *policy = &options.engine.policies[0][0];

    memset(&options, 0xa5, sizeof(options));
    tri_node_defaults(&options);
    printf("version %s\n", tri_version());
#define PRINT(field) printf(#field " %u\n", (uint32_t)options.field);
    NUMBERS(PRINT)
#undef PRINT
    print_list("engine.body_counts", options.engine.body_counts, TRI_ENGINE_BODY_CLASSES);
    print_list("engine.timeout_ms", options.engine.timeout_ms, TRI_PHASE_COUNT);
    print_list("engine.timeout_ms_max", options.engine.timeout_ms_max, TRI_PHASE_COUNT);
    printf("engine.policies[][].retries_max %u\n", policy->retries_max);
    printf("engine.policies[][].backoff_initial_ms %u\n", policy->backoff_initial_ms);
    printf("engine.policies[][].backoff_max_ms %u\n", policy->backoff_max_ms);
    printf("engine.policies[][].multiplier_permille %u\n", policy->multiplier_permille);
    printf("engine.policies[][].jitter_permille %u\n", policy->jitter_permille);
    printf("engine.policies[][].lock_ttl_ms %llu\n", (unsigned long long)policy->lock_ttl_ms);
    printf("engine.policies[][].dedup_window_ms %llu\n",
           (unsigned long long)policy->dedup_window_ms);
    /* Left to the caller: none yet. */
    printf("hash_secret %s\n", memcmp(options.hash_secret, none, sizeof(none)) == 0 ? "0" : "?");
    printf("ports %s\n", options.ports == NULL ? "NULL" : "?");
    printf("engine.chains %s\n", options.engine.chains == NULL ? "NULL" : "?");
    printf("engine.chain_count %u\n", options.engine.chain_count);
    printf("engine.locations %s\n", options.engine.locations == NULL ? "NULL" : "?");
    printf("engine.location_count %u\n", options.engine.location_count);
    return policies_are_alike() ? 0 : 1;
}
