/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a wrong configuration never starts a server, and its one line says
 * where and what; a right one becomes the options that it names; docs/config.md
 * lists every key as the program knows it.
 *
 * Method: small files written to a temporary directory, each wrong in one way.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/config.h"

#define LEAST "dataDir: d\nchains:\n- id: eip155:1\n"

/* Writes `text` to a file and loads it; *trouble without the directory of the file. */
static bool load(const char *text, struct tri_config *config, char *trouble)
{
    char directory[] = "/tmp/tricast-config-XXXXXX";
    char path[64];
    char whole[TRI_CONFIG_TROUBLE_BYTES] = "";
    FILE *file = NULL;
    bool is_good = false;

    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/x.yaml", directory);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    cr_assert_eq(fclose(file), 0);
    is_good = tri_config_load(config, path, whole);
    (void)snprintf(trouble, TRI_CONFIG_TROUBLE_BYTES, "%s",
                   strstr(whole, "x.yaml") != NULL ? strstr(whole, "x.yaml") : whole);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(directory), 0);
    return is_good;
}

static void refuses(const char *text, const char *expected)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];

    cr_expect(!load(text, &config, trouble), "accepted: %s", text);
    cr_expect_str_eq(trouble, expected);
    cr_expect_null(config.file);
}

Test(config, a_small_file_is_enough)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];

    cr_assert(load(LEAST, &config, trouble), "%s", trouble);
    cr_expect_eq(config.engine.chain_count, 1);
    cr_expect_eq(config.identity_count, 1);
    cr_expect_eq(config.identities[0].role, TRI_ROLE_CHAIN);
    cr_expect_eq(config.identities[0].secret.bytes, 0);
    cr_expect_str_eq(config.address, "127.0.0.1");
    cr_expect_eq(config.file->listen.port, 7411);
    cr_expect_eq(config.log_level, TRI_LOG_INFO);
    tri_config_free(&config);
    cr_expect_null(config.file);
}

Test(config, P08_timeouts_are_those_of_the_protocol_unless_given)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];

    cr_assert(load(LEAST "timeouts:\n  commitMs: 777\n", &config, trouble), "%s", trouble);
    cr_expect_eq(config.engine.timeout_ms[TRI_PHASE_PREPARE], 5000);
    cr_expect_eq(config.engine.timeout_ms[TRI_PHASE_COMMIT], 777);
    cr_expect_eq(config.engine.timeout_ms[TRI_PHASE_FINALIZE], 5000);
    cr_expect_eq(config.engine.rollback_window_ms, 60000);
    tri_config_free(&config);
}

Test(config, R03_policies_are_the_sourced_ones_unless_given)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];
    const struct tri_engine_policy *policy = NULL;

    cr_assert(load(LEAST "retries:\n- type: QUERY\n  maxRetries: 0\n  maxBackoffMs: 2000\n",
                   &config, trouble),
              "%s", trouble);
    policy = &config.engine.policies[TRI_TYPE_STATE_SYNC][TRI_SUBTYPE_NONE];
    cr_expect_eq(policy->retries_max, 5);
    cr_expect_eq(policy->backoff_max_ms, 60000);
    policy = &config.engine.policies[TRI_TYPE_GOVERNANCE][TRI_SUBTYPE_EXECUTE];
    cr_expect_eq(policy->retries_max, 7);
    cr_expect_eq(policy->backoff_max_ms, 60000);
    policy = &config.engine.policies[TRI_TYPE_QUERY][TRI_SUBTYPE_NONE];
    cr_expect_eq(policy->retries_max, 0);
    cr_expect_eq(policy->backoff_max_ms, 2000);
    cr_expect_eq(policy->dedup_window_ms, 900000);
    tri_config_free(&config);
}

Test(config, A04_the_map_becomes_ascending_indices)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];

    cr_assert(load("dataDir: d\nchains: [{id: eip155:1}, {id: eip155:2}, {id: eip155:3}]\n"
                   "locations:\n  version: 9\n  entries:\n"
                   "  - {asset: 'bond-*', chains: [eip155:3, eip155:1]}\n",
                   &config, trouble),
              "%s", trouble);
    cr_assert_eq(config.engine.location_count, 1);
    cr_expect_eq(config.engine.map_version, 9);
    cr_assert_eq(config.engine.locations[0].chain_count, 2);
    cr_expect_eq(config.engine.locations[0].chains[0], 0);
    cr_expect_eq(config.engine.locations[0].chains[1], 2);
    cr_expect_eq(memcmp(config.engine.locations[0].pattern.at, "bond-*", 6), 0);
    tri_config_free(&config);
}

Test(config, identities_have_roles_and_secrets)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];
    struct tri_text name;

    cr_assert(load(LEAST "  secret: 0123456789abcdef\nclients: [{name: a}]\n"
                         "operators: [{name: a, secret: fedcba9876543210}]\n",
                   &config, trouble),
              "%s", trouble);
    cr_assert_eq(config.identity_count, 3);
    cr_expect_eq(memcmp(config.identities[0].secret.at, "0123456789abcdef", 16), 0);
    cr_expect_eq(config.identities[1].role, TRI_ROLE_CLIENT);
    cr_expect_eq(config.identities[2].role, TRI_ROLE_OPERATOR);
    cr_expect_not(tri_config_all_secret(&config, &name));
    cr_expect_eq(name.bytes, 1);
    tri_config_free(&config);
}

Test(config, what_the_schema_does_not_know_is_refused_with_its_line)
{
    refuses(LEAST "bad: 3\n", "x.yaml:4: bad: no such key; docs/config.md lists all");
    refuses(LEAST "timeouts:\n  comitMs: 70\n",
            "x.yaml:5: timeouts.comitMs: no such key; docs/config.md lists all");
    refuses(LEAST "shards: 1\ndrainMs: 5\nshards: 2\n", "x.yaml:6: shards: given twice");
    refuses(LEAST "shards: [1]\n", "x.yaml:4: shards: must be a whole number, 0..64");
    refuses(LEAST "shards: 1.5\n", "x.yaml:4: shards: must be a whole number, 0..64");
    refuses(LEAST "retries: 4\n", "x.yaml:4: retries: Expecting SEQUENCE, got event: SCALAR");
    refuses("dataDir: d\n", "x.yaml:1: chains: must list 1..1024 chains");
    refuses("chains:\n- id: eip155:1\n", "x.yaml:1: dataDir: missing");
    refuses("dataDir: d\nchains:\n- secret: 0123456789abcdef\n", "x.yaml:3: chains[0].id: missing");
    refuses("", "x.yaml:1: the file is empty; docs/config.md lists the keys");
    refuses("- a\n", "x.yaml:1: Expecting MAPPING, got event: SEQUENCE_START");
}

Test(config, what_is_no_yaml_is_refused_with_its_line)
{
    refuses("a: [\n", "x.yaml:2: did not find expected node content");
    refuses("a: &x 1\nb: *x\n", "x.yaml:2: aliases are not allowed");
    refuses(LEAST "---\nx: 1\n", "x.yaml:4: only one document is allowed");
    refuses("a: [[[[[[[[1]]]]]]]]\n", "x.yaml:1: nested too deep");
}

Test(config, every_number_has_a_lowest_and_a_highest_value)
{
    refuses(LEAST "shards: 65\n", "x.yaml:4: shards: must be 0..64 threads");
    refuses(LEAST "shards: -1\n", "x.yaml:4: shards: must be a whole number, 0..64");
    refuses(LEAST "drainMs: 5000ms\n", "x.yaml:4: drainMs: must be a whole number, 0..600000");
    refuses(LEAST "shards: 0x2\n", "x.yaml:4: shards: must be a whole number, 0..64");
    refuses(LEAST "shards: 010\n",
            "x.yaml:4: shards: must be a whole number without a leading zero, 0..64");
    refuses(LEAST "shards: 08\n",
            "x.yaml:4: shards: must be a whole number without a leading zero, 0..64");
    refuses(LEAST "shards: 00\n",
            "x.yaml:4: shards: must be a whole number without a leading zero, 0..64");
    refuses(LEAST "retries:\n- type: QUERY\n  maxRetries: 07\n",
            "x.yaml:6: retries[0].maxRetries: must be a whole number without a leading zero, "
            "0..1000");
    refuses(LEAST "shards: 99999999999999999999\n",
            "x.yaml:4: shards: must be a whole number, 0..64");
    refuses(LEAST "listen:\n  port: 65536\n", "x.yaml:5: listen.port: must be 0..65535");
    refuses(LEAST "timeouts:\n  maxima:\n    commitMs: 0\n",
            "x.yaml:6: timeouts.maxima.commitMs: must be 1..3600000 ms");
    refuses(LEAST "retries:\n- type: STATE_SYNC\n  maxRetries: 1001\n",
            "x.yaml:6: retries[0].maxRetries: must be 0..1000 attempts");
    refuses(LEAST "locations:\n  version: 0\n",
            "x.yaml:5: locations.version: must be 1..4294967295");
}

Test(config, numbers_must_fit_together)
{
    refuses(LEAST "timeouts:\n  commitMs: 70000\n",
            "x.yaml:5: timeouts.commitMs: must be at most timeouts.maxima.commitMs");
    refuses(LEAST "capacities: {rounds: 100, dedupEntries: 99}\n",
            "x.yaml:4: capacities.dedupEntries: must be at least capacities.rounds, 100");
    refuses(LEAST "capacities: {recvBuffers: 100}\n",
            "x.yaml:4: capacities.recvBuffers: must be a power of two");
    refuses(LEAST "retries:\n- type: STATE_SYNC\n  initialBackoffMs: 70000\n",
            "x.yaml:6: retries[0].initialBackoffMs: must be at most maxBackoffMs, 60000 ms");
}

Test(config, L01_a_lock_shorter_than_the_retries_is_refused)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];

    refuses(LEAST "retries:\n- type: STATE_SYNC\n  lockTtlMs: 300999\n",
            "x.yaml:6: retries[0].lockTtlMs: must be 0 or at least 301000 ms: a TTL of 1 s and "
            "maxRetries x maxBackoffMs (L01)");
    cr_assert(load(LEAST "retries:\n- type: STATE_SYNC\n  lockTtlMs: 301000\n", &config, trouble),
              "%s", trouble);
    tri_config_free(&config);
}

Test(config, R06_a_window_shorter_than_the_lock_is_refused)
{
    refuses(LEAST "retries:\n- type: STATE_SYNC\n  lockTtlMs: 400000\n  dedupWindowMs: 399999\n",
            "x.yaml:7: retries[0].dedupWindowMs: must be at least lockTtlMs, 400000 ms (R06)");
}

Test(config, names_are_checked_and_unique)
{
    refuses(LEAST "- id: eip155:1\n", "x.yaml:4: chains[1].id: given twice");
    refuses(LEAST "- id: Eip155:1\n",
            "x.yaml:4: chains[1].id: must be a CAIP-2 id such as eip155:8453");
    refuses(LEAST "clients:\n- name: \"\"\n",
            "x.yaml:5: clients[0].name: must be 1..64 bytes of UTF-8");
    refuses(LEAST "clients: [{name: a}, {name: a}]\n", "x.yaml:4: clients[1].name: given twice");
    refuses(LEAST "  secret: short\n", "x.yaml:4: chains[0].secret: must be 16..128 bytes");
    refuses(LEAST "retries:\n- type: STATE_SYN\n",
            "x.yaml:5: retries[0].type: must be a message type such as STATE_SYNC");
    refuses(LEAST "retries:\n- type: STATE_SYNC\n  subtype: EXECUTE\n",
            "x.yaml:6: retries[0].subtype: must be NONE, or EXECUTE of GOVERNANCE");
    refuses(LEAST "retries:\n- type: STATE_SYNC\n- type: STATE_SYNC\n",
            "x.yaml:6: retries[1].type: this type and subtype has a policy already");
    refuses(LEAST "journal: disk\n", "x.yaml:4: journal: must be file or none");
    refuses(LEAST "log: {level: loud}\n",
            "x.yaml:4: log.level: must be error, warn, info or debug");
}

Test(config, the_map_names_configured_chains_only)
{
    refuses(LEAST "locations:\n  entries:\n  - asset: a\n    chains: [eip155:1, eip155:2]\n",
            "x.yaml:7: locations.entries[0].chains[1]: must be one of the ids under chains");
    refuses(LEAST "locations:\n  entries:\n  - asset: a\n    chains: [eip155:1, eip155:1]\n",
            "x.yaml:7: locations.entries[0].chains[1]: given twice");
    refuses(LEAST "locations:\n  entries:\n  - asset: a\n    chains: []\n",
            "x.yaml:7: locations.entries[0].chains: must list 1..64 chains");
    refuses(LEAST "locations:\n  entries:\n  - asset: a\n    chains: [eip155:1]\n"
                  "  - asset: a\n    chains: [eip155:1]\n",
            "x.yaml:8: locations.entries[1].asset: given twice");
}

Test(config, without_secrets_only_loopback)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];

    refuses(LEAST "listen: {address: 0.0.0.0}\n",
            "x.yaml:4: listen.address: must be a loopback address while 'eip155:1' has no secret");
    refuses(LEAST "listen: {address: localhost}\n",
            "x.yaml:4: listen.address: must be a numeric IPv4 or IPv6 address such as 127.0.0.1");
    cr_assert(
        load(LEAST "  secret: 0123456789abcdef\nlisten: {address: 0.0.0.0}\n", &config, trouble),
        "%s", trouble);
    tri_config_free(&config);
    cr_expect(tri_config_is_loopback("127.9.9.9"));
    cr_expect(tri_config_is_loopback("::1"));
    cr_expect_not(tri_config_is_loopback("128.0.0.1"));
    cr_expect_not(tri_config_is_loopback("::"));
}

Test(config, a_file_that_is_not_there_is_named)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];

    cr_expect_not(tri_config_load(&config, "/nonexistent/x.yaml", trouble));
    cr_expect_str_eq(trouble, "/nonexistent/x.yaml: No such file or directory");
}

Test(config, the_example_is_right)
{
    struct tri_config config;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/deploy/tricastd.yaml", getenv("TRI_SOURCE_DIR"));
    cr_assert(tri_config_load(&config, path, trouble), "%s", trouble);
    cr_expect_eq(config.engine.chain_count, 3);
    tri_config_free(&config);
}

/* Reads a whole text file of the source tree. */
static char *slurp(const char *name)
{
    static char text[65536];
    char path[512];
    FILE *file = NULL;
    size_t bytes = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", getenv("TRI_SOURCE_DIR"), name);
    file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    bytes = fread(text, 1, sizeof(text) - 1, file);
    cr_assert(bytes > 0 && bytes < sizeof(text) - 1);
    text[bytes] = '\0';
    cr_assert_eq(fclose(file), 0);
    return text;
}

Test(config, the_documentation_lists_every_key_and_no_other)
{
    const char *text = slurp("docs/config.md");
    struct tri_config_key key;
    uint32_t index = 0;
    uint32_t keys = 0;
    uint32_t rows = 0;

    while (tri_config_key_next(&index, &key)) {
        char row[1024];

        (void)snprintf(row, sizeof(row), "\n| `%s` | %s | %s | %s | %s |\n", key.path, key.unit,
                       key.range, key.standard, key.help);
        cr_expect_not_null(strstr(text, row), "docs/config.md lacks:%s", row);
        keys++;
    }
    text = strstr(text, "\n| key | unit | allowed |");
    cr_assert_not_null(text);
    while (strncmp(text, "\n|", 2) == 0) {
        rows++;
        text = strchr(text + 1, '\n');
        cr_assert_not_null(text);
    }
    cr_expect_eq(rows, keys + 2, "the table has %u rows for %u keys", rows - 2, keys);
}
