/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs that read an archive share: cli_finality.c parses the flags, shows and proves,
 * cli_verify.c verifies.
 *
 * Threads: one.
 */
#ifndef TRI_IO_CLI_FINALITY_H
#define TRI_IO_CLI_FINALITY_H

#include "io/cli.h"
#include "io/finality_facts.h"
#include "io/finality_verify.h"

#define FLAGS_MAX 64U /* of --contains */

struct tri_cli_finality {
    struct tri_cli cli; /* the verb alone */
    const char *path;
    bool is_prove;
    /* show, prove: what is wanted */
    bool has_stream;
    uint32_t epoch;
    uint32_t shard;
    uint64_t oss_epoch; /* 0 = all */
    struct tri_text id; /* 0 bytes: any */
    struct tri_finality_facts facts;
    bool is_off;           /* nobody was ever to settle the records */
    bool is_place_unknown; /* `secondary` cannot be read */
    uint64_t shown;
    int result;
    /* verify */
    bool is_complete;
    uint32_t key_count;
    uint8_t keys[TRI_FINALITY_KEYS_MAX][TRI_SIGNER_PUBLIC_BYTES];
    uint32_t wanted_count;
    struct tri_finality_wanted wanted[FLAGS_MAX];
    const char *wanted_text[FLAGS_MAX];
    json_t *notes;
};

/* One line on stderr; the exit code is then TRI_CLI_REFUSED. */
void tri_cli_finality_trouble(struct tri_cli_finality *finality, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The flags of all three; argp's own parser, its input a struct tri_cli_finality. */
enum {
    KEY_STREAM = 256,
    KEY_EPOCH,
    KEY_ID,
    KEY_TRUSTED,
    KEY_CONTAINS,
    KEY_COMPLETE,
};
error_t tri_cli_finality_parse(int key, char *text, struct argp_state *state);

#endif
