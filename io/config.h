/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config: the file of tricastd -> checked options.
 *
 * YAML, read by libcyaml against a schema: an unknown key, a key given twice, a
 * wrong type or a value outside its range is an error that names file, line and
 * key.  The keys stand in io/config_keys.h; docs/config.md lists them.
 *
 * Everything that a config points to lives until tri_config_free().
 *
 * Threads: call at the start, from one thread.
 */
#ifndef TRI_IO_CONFIG_H
#define TRI_IO_CONFIG_H

#include "io/config_keys.h"
#include "io/log.h"
#include "io/session.h"
#include "tricast_engine.h"

#define TRI_CONFIG_TROUBLE_BYTES  1024U
#define TRI_CONFIG_FILE_BYTES_MAX (UINT32_C(64) << 20)

/* As the file has it.  Texts are NULL where the file has none. */
#define TRI_CONFIG_MEMBER(member, key, unit, standard, lowest, highest, help) uint64_t member;
struct tri_config_listen {
    char *address;
    TRI_CONFIG_LISTEN_NUMBERS(TRI_CONFIG_MEMBER)
};
struct tri_config_maxima {
    TRI_CONFIG_MAXIMA_NUMBERS(TRI_CONFIG_MEMBER)
};
struct tri_config_timeouts {
    TRI_CONFIG_TIMEOUTS_NUMBERS(TRI_CONFIG_MEMBER)
    struct tri_config_maxima maxima;
};
struct tri_config_limits {
    TRI_CONFIG_LIMITS_NUMBERS(TRI_CONFIG_MEMBER)
};
struct tri_config_capacities {
    TRI_CONFIG_CAPACITIES_NUMBERS(TRI_CONFIG_MEMBER)
};
struct tri_config_retry {
    char *type;
    char *subtype;
    TRI_CONFIG_RETRY_NUMBERS(TRI_CONFIG_MEMBER)
};
struct tri_config_identity { /* of a chain, a client, an operator or a settlement */
    char *name;
    char *secret;
};
struct tri_config_location {
    char *asset;
    char **chains;
    uint32_t chains_count;
};
struct tri_config_locations {
    TRI_CONFIG_LOCATIONS_NUMBERS(TRI_CONFIG_MEMBER)
    struct tri_config_location *entries;
    uint32_t entries_count;
};
struct tri_config_finality {
    TRI_CONFIG_FINALITY_NUMBERS(TRI_CONFIG_MEMBER)
};
struct tri_config_log {
    char *level;
};
struct tri_config_file {
    char *data_dir;
    char *journal;
    TRI_CONFIG_ROOT_NUMBERS(TRI_CONFIG_MEMBER)
    struct tri_config_listen listen;
    struct tri_config_timeouts timeouts;
    struct tri_config_limits limits;
    struct tri_config_capacities capacities;
    struct tri_config_log log;
    struct tri_config_finality finality;
    struct tri_config_locations locations;
    struct tri_config_identity *chains;
    uint32_t chains_count;
    struct tri_config_identity *clients;
    uint32_t clients_count;
    struct tri_config_identity *operators;
    uint32_t operators_count;
    struct tri_config_identity *settlements;
    uint32_t settlements_count;
    struct tri_config_retry *retries;
    uint32_t retries_count;
};
#undef TRI_CONFIG_MEMBER

/* What is made of it. */
struct tri_config {
    struct tri_config_file *file; /* numbers as given or their defaults */
    uint32_t shards;              /* 1..64, the 0 of the file resolved */
    const char *address;
    enum tri_log_level log_level;
    bool is_journal_kept;
    struct tri_identity *identities;
    uint32_t identity_count;
    struct tri_engine_options engine; /* epoch 0: the caller fills it in */
    struct tri_engine_chain *chains;
    struct tri_engine_location *locations;
    uint16_t *location_chains;
};

/*
 * tri_config_load reads and checks a file.
 *
 * config   out; on true only; give it to tri_config_free().
 * trouble  out; on false one line, "FILE:LINE: KEY: what is wrong and what is allowed"; "FILE: why"
 * if the file cannot be read.
 */
bool tri_config_load(struct tri_config *config, const char *path,
                     char trouble[TRI_CONFIG_TROUBLE_BYTES]);
/* Accepts a zeroed config. */
void tri_config_free(struct tri_config *config);

/* True if `address` is 127.0.0.0/8 or ::1. */
bool tri_config_is_loopback(const char *address);
/* True for a numeric IPv4 or IPv6 address. */
bool tri_config_is_address(const char *address);
/* True if every identity has a secret; else *name is one that has none. */
bool tri_config_all_secret(const struct tri_config *config, struct tri_text *name);

/* One key, for the documentation. */
struct tri_config_key {
    char path[64];
    const char *unit;
    char range[96];
    char standard[32]; /* "required" if there is none */
    const char *help;
};
/* tri_config_key_next walks all keys; `index` starts at 0; false at the end. */
bool tri_config_key_next(uint32_t *index, struct tri_config_key *key);

#endif
