/* SPDX-License-Identifier: Apache-2.0 */
#include "io/config_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire.h"
#include "io/place.h"
#include "shards/log.h"

#define CHECK_KEY_BYTES 128U

static uint64_t *check_at(void *structure, const struct config_number *number)
{
    void *at = (uint8_t *)structure + number->offset;

    return at;
}

/* Fills in the default of a number that the file does not have, else checks its range. */
static bool check_number(struct config_reading *reading, const char *key, uint64_t *value,
                         const struct config_number *number)
{
    const char *text = tri_config_lines_value(reading->lines, key);

    if (text == NULL) {
        *value = number->standard;
    } else if (strspn(text, "0123456789") != strlen(text) || (text[0] == '0' && text[1] != '\0')) {
        /* libcyaml takes "5000ms", "1.5" and "-1", and "0100" for 64. */
        return config_refuse_number(reading, key, number);
    }
    if (*value < number->lowest || *value > number->highest) {
        return config_refuse(
            reading, key, "must be %llu..%llu%s%s", (unsigned long long)number->lowest,
            (unsigned long long)number->highest, number->unit[0] == '\0' ? "" : " ", number->unit);
    }
    return true;
}

static bool check_numbers(struct tri_config_file *file, struct config_reading *reading)
{
    uint32_t count = 0;
    const struct config_number *numbers = config_numbers(&count);

    for (uint32_t index = 0; index < count; index++) {
        if (!check_number(reading, numbers[index].path, check_at(file, &numbers[index]),
                          &numbers[index])) {
            return false;
        }
    }
    return true;
}

static bool check_retry_numbers(struct tri_config_file *file, struct config_reading *reading)
{
    uint32_t count = 0;
    const struct config_number *numbers = config_retry_numbers(&count);

    for (uint32_t retry = 0; retry < file->retries_count; retry++) {
        for (uint32_t index = 0; index < count; index++) {
            char key[CHECK_KEY_BYTES];

            (void)snprintf(key, sizeof(key), "retries[%u]%s", retry,
                           strchr(numbers[index].path, '.'));
            if (!check_number(reading, key, check_at(&file->retries[retry], &numbers[index]),
                              &numbers[index])) {
                return false;
            }
        }
    }
    return true;
}

static struct tri_text check_text(const char *text)
{
    return (struct tri_text){text, (uint32_t)strlen(text)};
}

static bool check_text_equal(struct tri_text one, struct tri_text other)
{
    return one.bytes == other.bytes && memcmp(one.at, other.at, one.bytes) == 0;
}

/* Identities. */

static bool check_identity(struct tri_config *config, struct config_reading *reading,
                           const struct tri_config_identity *source, const char *list,
                           uint32_t index, enum tri_role role)
{
    struct tri_identity *identity = &config->identities[config->identity_count];
    struct tri_text name = check_text(source->name);
    size_t secret_bytes = source->secret == NULL ? 0 : strlen(source->secret);
    char key[CHECK_KEY_BYTES];

    (void)snprintf(key, sizeof(key), "%s[%u].%s", list, index,
                   role == TRI_ROLE_CHAIN ? "id" : "name");
    if (role == TRI_ROLE_CHAIN && !tri_text_is_chain_id(name)) {
        return config_refuse(reading, key, "must be a CAIP-2 id such as eip155:8453");
    }
    if (name.bytes < 1 || name.bytes > TRI_IDENTITY_BYTES_MAX || !tri_text_is_utf8(name)) {
        return config_refuse(reading, key, "must be 1..64 bytes of UTF-8");
    }
    for (uint32_t other = 0; other < config->identity_count; other++) {
        if (config->identities[other].role == role &&
            check_text_equal(config->identities[other].name, name)) {
            return config_refuse(reading, key, "given twice");
        }
    }
    (void)snprintf(key, sizeof(key), "%s[%u].secret", list, index);
    if (source->secret != NULL &&
        (secret_bytes < TRI_SECRET_BYTES_MIN || secret_bytes > TRI_SECRET_BYTES_MAX)) {
        return config_refuse(reading, key, "must be 16..128 bytes");
    }
    *identity = (struct tri_identity){.role = role, .name = name};
    identity->chain = role == TRI_ROLE_CHAIN ? (uint16_t)index : 0;
    identity->submitter = role == TRI_ROLE_CHAIN || role == TRI_ROLE_SETTLEMENT
                              ? 0
                              : (uint16_t)(config->identity_count - config->file->chains_count + 1);
    identity->secret.bytes = (uint32_t)secret_bytes;
    if (secret_bytes > 0) {
        memcpy(identity->secret.at, source->secret, secret_bytes);
    }
    config->identity_count++;
    return true;
}

static bool check_identities(struct tri_config *config, struct config_reading *reading)
{
    const struct tri_config_file *file = config->file;
    size_t count = (size_t)file->chains_count + file->clients_count + file->operators_count +
                   file->settlements_count;
    bool is_good = true;

    if (file->chains_count < 1 || file->chains_count > TRI_CHAINS_MAX) {
        return config_refuse(reading, "chains", "must list 1..1024 chains");
    }
    if (file->clients_count > TRI_CHAINS_MAX || file->operators_count > TRI_CHAINS_MAX) {
        return config_refuse(reading,
                             file->clients_count > TRI_CHAINS_MAX ? "clients" : "operators",
                             "must list 0..1024 names");
    }
    if (file->settlements_count > TRI_CHAINS_MAX) {
        return config_refuse(reading, "settlements", "must list 0..1024 names");
    }
    if (file->settlements_count > 0 && file->journal != NULL &&
        strcmp(file->journal, "none") == 0) {
        return config_refuse(reading, "settlements",
                             "there is nothing to settle without a journal");
    }
    config->identities = calloc(count, sizeof(*config->identities));
    if (config->identities == NULL) {
        return config_refuse(reading, "", "out of memory");
    }
    for (uint32_t index = 0; index < file->chains_count && is_good; index++) {
        is_good =
            check_identity(config, reading, &file->chains[index], "chains", index, TRI_ROLE_CHAIN);
    }
    for (uint32_t index = 0; index < file->clients_count && is_good; index++) {
        is_good = check_identity(config, reading, &file->clients[index], "clients", index,
                                 TRI_ROLE_CLIENT);
    }
    for (uint32_t index = 0; index < file->operators_count && is_good; index++) {
        is_good = check_identity(config, reading, &file->operators[index], "operators", index,
                                 TRI_ROLE_OPERATOR);
    }
    for (uint32_t index = 0; index < file->settlements_count && is_good; index++) {
        is_good = check_identity(config, reading, &file->settlements[index], "settlements", index,
                                 TRI_ROLE_SETTLEMENT);
    }
    return is_good;
}

bool tri_config_is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, address, &v6) == 1 &&
           memcmp(&v6, &in6addr_loopback, sizeof(v6)) == 0;
}

bool tri_config_is_address(const char *address)
{
    struct in6_addr any;

    return inet_pton(AF_INET, address, &any) == 1 || inet_pton(AF_INET6, address, &any) == 1;
}

bool tri_config_all_secret(const struct tri_config *config, struct tri_text *name)
{
    for (uint32_t index = 0; index < config->identity_count; index++) {
        if (config->identities[index].secret.bytes == 0) {
            *name = config->identities[index].name;
            return false;
        }
    }
    return true;
}

static bool check_texts(struct tri_config *config, struct config_reading *reading)
{
    const struct tri_config_file *file = config->file;
    struct tri_text name;

    config->address = file->listen.address != NULL ? file->listen.address : "127.0.0.1";
    if (!tri_config_is_address(config->address)) {
        return config_refuse(reading, "listen.address",
                             "must be a numeric IPv4 or IPv6 address such as 127.0.0.1");
    }
    if (!tri_config_is_loopback(config->address) && !tri_config_all_secret(config, &name)) {
        return config_refuse(reading, "listen.address",
                             "must be a loopback address while '%.*s' has no secret",
                             (int)name.bytes, name.at);
    }
    if (file->data_dir[0] == '\0') {
        return config_refuse(reading, "dataDir", "must name a directory");
    }
    config->is_journal_kept = file->journal == NULL || strcmp(file->journal, "file") == 0;
    if (!config->is_journal_kept && strcmp(file->journal, "none") != 0) {
        return config_refuse(reading, "journal", "must be file or none");
    }
    config->log_level = file->log.level == NULL ? TRI_LOG_INFO : tri_log_level_of(file->log.level);
    if (config->log_level == TRI_LOG_LEVEL_COUNT) {
        return config_refuse(reading, "log.level", "must be error, warn, info or debug");
    }
    return true;
}

/* The engine's options. */

static bool check_chains(struct tri_config *config, struct config_reading *reading)
{
    const struct tri_config_file *file = config->file;

    config->chains = calloc(file->chains_count, sizeof(*config->chains));
    if (config->chains == NULL) {
        return config_refuse(reading, "", "out of memory");
    }
    for (uint32_t index = 0; index < file->chains_count; index++) {
        config->chains[index].id = check_text(file->chains[index].name);
    }
    config->engine.chains = config->chains;
    config->engine.chain_count = file->chains_count;
    return true;
}

/* Writes the indices of an entry's chains, ascending. */
static bool check_location_chains(struct tri_config *config, struct config_reading *reading,
                                  uint32_t entry, uint16_t *indices)
{
    const struct tri_config_location *source = &config->file->locations.entries[entry];
    bool is_in[TRI_CHAINS_MAX] = {false};
    char key[CHECK_KEY_BYTES];
    uint32_t written = 0;

    for (uint32_t index = 0; index < source->chains_count; index++) {
        uint32_t chain = 0;

        (void)snprintf(key, sizeof(key), "locations.entries[%u].chains[%u]", entry, index);
        while (chain < config->engine.chain_count &&
               !check_text_equal(config->chains[chain].id, check_text(source->chains[index]))) {
            chain++;
        }
        if (chain == config->engine.chain_count) {
            return config_refuse(reading, key, "must be one of the ids under chains");
        }
        if (is_in[chain]) {
            return config_refuse(reading, key, "given twice");
        }
        is_in[chain] = true;
    }
    for (uint32_t chain = 0; chain < config->engine.chain_count; chain++) {
        if (is_in[chain]) {
            indices[written++] = (uint16_t)chain;
        }
    }
    assert(written == source->chains_count);
    return true;
}

static int check_asset_order(const void *one, const void *other)
{
    const struct tri_config_location *const *left = one;
    const struct tri_config_location *const *right = other;

    return strcmp((*left)->asset, (*right)->asset);
}

static bool check_assets_unique(const struct tri_config_locations *locations,
                                struct config_reading *reading)
{
    const struct tri_config_location **sorted =
        calloc((size_t)locations->entries_count + 1, sizeof(struct tri_config_location *));
    bool is_good = sorted != NULL;

    if (!is_good) {
        return config_refuse(reading, "", "out of memory");
    }
    for (uint32_t index = 0; index < locations->entries_count; index++) {
        sorted[index] = &locations->entries[index];
    }
    qsort((void *)sorted, locations->entries_count, sizeof(struct tri_config_location *),
          check_asset_order);
    for (uint32_t index = 1; index < locations->entries_count && is_good; index++) {
        if (check_asset_order(&sorted[index - 1], &sorted[index]) == 0) {
            const struct tri_config_location *later =
                sorted[index] > sorted[index - 1] ? sorted[index] : sorted[index - 1];
            char key[CHECK_KEY_BYTES];

            (void)snprintf(key, sizeof(key), "locations.entries[%u].asset",
                           (uint32_t)(later - locations->entries));
            is_good = config_refuse(reading, key, "given twice");
        }
    }
    free((void *)sorted);
    return is_good;
}

static bool check_locations(struct tri_config *config, struct config_reading *reading)
{
    const struct tri_config_locations *source = &config->file->locations;
    size_t chains = 0;

    for (uint32_t index = 0; index < source->entries_count; index++) {
        struct tri_text asset = check_text(source->entries[index].asset);
        char key[CHECK_KEY_BYTES];

        (void)snprintf(key, sizeof(key), "locations.entries[%u].asset", index);
        if (asset.bytes < 1 || asset.bytes > TRI_ASSET_ID_BYTES_MAX || !tri_text_is_utf8(asset)) {
            return config_refuse(reading, key, "must be 1..128 bytes of UTF-8");
        }
        (void)snprintf(key, sizeof(key), "locations.entries[%u].chains", index);
        if (source->entries[index].chains_count < 1 ||
            source->entries[index].chains_count > TRI_TARGETS_MAX) {
            return config_refuse(reading, key, "must list 1..64 chains");
        }
        chains += source->entries[index].chains_count;
    }
    config->locations = calloc((size_t)source->entries_count + 1, sizeof(*config->locations));
    config->location_chains = calloc(chains + 1, sizeof(*config->location_chains));
    if (config->locations == NULL || config->location_chains == NULL) {
        return config_refuse(reading, "", "out of memory");
    }
    chains = 0;
    for (uint32_t index = 0; index < source->entries_count; index++) {
        config->locations[index] = (struct tri_engine_location){
            .pattern = check_text(source->entries[index].asset),
            .chains = config->location_chains + chains,
            .chain_count = source->entries[index].chains_count,
        };
        if (!check_location_chains(config, reading, index, config->location_chains + chains)) {
            return false;
        }
        chains += source->entries[index].chains_count;
    }
    config->engine.locations = config->locations;
    config->engine.location_count = source->entries_count;
    config->engine.map_version = (uint32_t)source->version;
    return check_assets_unique(source, reading);
}

/* The policy of everything that the file does not speak of; the specification's own numbers for the
 * two types that it gives them for (R03). */
static struct tri_engine_policy check_standard_policy(enum tri_message_type type,
                                                      enum tri_subtype subtype)
{
    struct tri_config_retry standard;
    uint32_t count = 0;
    const struct config_number *numbers = config_retry_numbers(&count);

    for (uint32_t index = 0; index < count; index++) {
        *check_at(&standard, &numbers[index]) = numbers[index].standard;
    }
    if (type == TRI_TYPE_GOVERNANCE && subtype == TRI_SUBTYPE_EXECUTE) {
        standard.max_retries = 7;
    }
    return (struct tri_engine_policy){
        .retries_max = (uint32_t)standard.max_retries,
        .backoff_initial_ms = (uint32_t)standard.initial_backoff_ms,
        .backoff_max_ms = (uint32_t)standard.max_backoff_ms,
        .multiplier_permille = (uint32_t)standard.multiplier_permille,
        .jitter_permille = (uint32_t)standard.jitter_permille,
        .lock_ttl_ms = standard.lock_ttl_ms,
        .dedup_window_ms = standard.dedup_window_ms,
    };
}

static bool check_policy(struct tri_config *config, struct config_reading *reading, uint32_t index,
                         bool seen[TRI_TYPE_COUNT][TRI_SUBTYPE_COUNT])
{
    const struct tri_config_retry *source = &config->file->retries[index];
    uint32_t type = 0;
    uint32_t subtype = 0;
    uint64_t lock_ttl_ms_min = 0;
    char key[CHECK_KEY_BYTES];

    (void)snprintf(key, sizeof(key), "retries[%u].type", index);
    while (type < TRI_TYPE_COUNT &&
           strcmp(tri_message_type_name((enum tri_message_type)type), source->type) != 0) {
        type++;
    }
    if (type == TRI_TYPE_COUNT) {
        return config_refuse(reading, key, "must be a message type such as STATE_SYNC");
    }
    while (source->subtype != NULL && subtype < TRI_SUBTYPE_COUNT &&
           strcmp(tri_subtype_name((enum tri_subtype)subtype), source->subtype) != 0) {
        subtype++;
    }
    if (subtype == TRI_SUBTYPE_COUNT ||
        (subtype == TRI_SUBTYPE_EXECUTE && type != TRI_TYPE_GOVERNANCE)) {
        (void)snprintf(key, sizeof(key), "retries[%u].subtype", index);
        return config_refuse(reading, key, "must be NONE, or EXECUTE of GOVERNANCE");
    }
    if (seen[type][subtype]) {
        return config_refuse(reading, key, "this type and subtype has a policy already");
    }
    seen[type][subtype] = true;
    (void)snprintf(key, sizeof(key), "retries[%u].initialBackoffMs", index);
    if (source->initial_backoff_ms > source->max_backoff_ms) {
        return config_refuse(reading, key, "must be at most maxBackoffMs, %llu ms",
                             (unsigned long long)source->max_backoff_ms);
    }
    (void)snprintf(key, sizeof(key), "retries[%u].lockTtlMs", index);
    lock_ttl_ms_min = 1000 + source->max_retries * source->max_backoff_ms;
    if (source->lock_ttl_ms != 0 && source->lock_ttl_ms < lock_ttl_ms_min) {
        return config_refuse(reading, key,
                             "must be 0 or at least %llu ms: a TTL of 1 s and maxRetries x "
                             "maxBackoffMs (L01)",
                             (unsigned long long)lock_ttl_ms_min);
    }
    (void)snprintf(key, sizeof(key), "retries[%u].dedupWindowMs", index);
    if (source->dedup_window_ms < source->lock_ttl_ms) {
        return config_refuse(reading, key, "must be at least lockTtlMs, %llu ms (R06)",
                             (unsigned long long)source->lock_ttl_ms);
    }
    config->engine.policies[type][subtype] = (struct tri_engine_policy){
        .retries_max = (uint32_t)source->max_retries,
        .backoff_initial_ms = (uint32_t)source->initial_backoff_ms,
        .backoff_max_ms = (uint32_t)source->max_backoff_ms,
        .multiplier_permille = (uint32_t)source->multiplier_permille,
        .jitter_permille = (uint32_t)source->jitter_permille,
        .lock_ttl_ms = source->lock_ttl_ms,
        .dedup_window_ms = source->dedup_window_ms,
    };
    return true;
}

static bool check_policies(struct tri_config *config, struct config_reading *reading)
{
    bool seen[TRI_TYPE_COUNT][TRI_SUBTYPE_COUNT] = {{false}};

    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            config->engine.policies[type][subtype] =
                check_standard_policy((enum tri_message_type)type, (enum tri_subtype)subtype);
        }
    }
    for (uint32_t index = 0; index < config->file->retries_count; index++) {
        if (!check_policy(config, reading, index, seen)) {
            return false;
        }
    }
    return true;
}

static void check_capacities(struct tri_config *config)
{
    const struct tri_config_capacities *capacities = &config->file->capacities;
    struct tri_engine_options *engine = &config->engine;

    engine->rounds_max = (uint32_t)capacities->rounds;
    engine->dedup_entries_max = (uint32_t)capacities->dedup_entries;
    engine->envelopes_max = (uint32_t)capacities->envelopes;
    engine->waiters_max = (uint32_t)capacities->waiters;
    engine->body_counts[0] = (uint32_t)capacities->bodies_416;
    engine->body_counts[1] = (uint32_t)capacities->bodies_1024;
    engine->body_counts[2] = (uint32_t)capacities->bodies_4096;
    engine->body_counts[3] = (uint32_t)capacities->bodies_16384;
    engine->body_counts[4] = (uint32_t)capacities->bodies_86016;
}

/* Rules between two numbers. */
static bool check_relations(const struct tri_config_file *file, struct config_reading *reading)
{
    const struct tri_config_timeouts *timeouts = &file->timeouts;
    const struct tri_config_capacities *capacities = &file->capacities;

    if (timeouts->prepare_ms > timeouts->maxima.prepare_ms) {
        return config_refuse(reading, "timeouts.prepareMs",
                             "must be at most timeouts.maxima.prepareMs");
    }
    if (timeouts->commit_ms > timeouts->maxima.commit_ms) {
        return config_refuse(reading, "timeouts.commitMs",
                             "must be at most timeouts.maxima.commitMs");
    }
    if (timeouts->finalize_ms > timeouts->maxima.finalize_ms) {
        return config_refuse(reading, "timeouts.finalizeMs",
                             "must be at most timeouts.maxima.finalizeMs");
    }
    if (capacities->dedup_entries < capacities->rounds) {
        return config_refuse(reading, "capacities.dedupEntries",
                             "must be at least capacities.rounds, %llu",
                             (unsigned long long)capacities->rounds);
    }
    if ((capacities->recv_buffers & (capacities->recv_buffers - 1)) != 0) {
        return config_refuse(reading, "capacities.recvBuffers", "must be a power of two");
    }
    if (capacities->segment_bytes % TRI_LOG_PAGE_BYTES != 0) {
        return config_refuse(reading, "capacities.segmentBytes", "must be a multiple of 4096");
    }
    if (capacities->bodies_416 + capacities->bodies_1024 + capacities->bodies_4096 +
            capacities->bodies_16384 + capacities->bodies_86016 ==
        0) {
        return config_refuse(reading, "capacities.bodies416",
                             "the bodies of all sizes together must not be 0");
    }
    return true;
}

static void check_times(struct tri_config *config)
{
    const struct tri_config_file *file = config->file;
    struct tri_engine_options *engine = &config->engine;

    engine->timeout_ms[TRI_PHASE_PREPARE] = (uint32_t)file->timeouts.prepare_ms;
    engine->timeout_ms[TRI_PHASE_COMMIT] = (uint32_t)file->timeouts.commit_ms;
    engine->timeout_ms[TRI_PHASE_FINALIZE] = (uint32_t)file->timeouts.finalize_ms;
    engine->timeout_ms_max[TRI_PHASE_PREPARE] = (uint32_t)file->timeouts.maxima.prepare_ms;
    engine->timeout_ms_max[TRI_PHASE_COMMIT] = (uint32_t)file->timeouts.maxima.commit_ms;
    engine->timeout_ms_max[TRI_PHASE_FINALIZE] = (uint32_t)file->timeouts.maxima.finalize_ms;
    engine->rollback_window_ms = (uint32_t)file->rollback_window_ms;
    engine->clock_allowance_ms = (uint32_t)file->clock_allowance_ms;
    engine->chain_share_permille = (uint32_t)file->chain_share_permille;
    engine->submitters_max = file->clients_count + file->operators_count;
    engine->submitter_share_permille = (uint32_t)file->peer_share_permille;
}

bool config_check(struct tri_config *config, struct config_reading *reading)
{
    struct tri_config_file *file = config->file;
    struct tri_engine_options engine;
    const char *fault = NULL;

    if (!check_numbers(file, reading) || !check_retry_numbers(file, reading) ||
        !check_relations(file, reading) || !check_identities(config, reading) ||
        !check_texts(config, reading) || !check_chains(config, reading) ||
        !check_locations(config, reading) || !check_policies(config, reading)) {
        return false;
    }
    config->shards = (uint32_t)file->shards;
    if (config->shards == 0) {
        config->shards = tri_place_cpus() < TRI_SHARDS_MAX ? tri_place_cpus() : TRI_SHARDS_MAX;
    }
    check_capacities(config);
    check_times(config);
    engine = config->engine;
    engine.epoch = 1;
    fault = tri_engine_check(&engine);
    return fault == NULL || config_refuse(reading, "", "%s", fault);
}
