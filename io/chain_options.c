/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_options.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire.h"
#include "shards/log.h"

/* A segment holds some blocks. */
#define SEGMENT_BYTES_MIN 1048576U

enum {
    KEY_CONNECT = 256, /* no letters: every flag says its name */
    KEY_CHAIN,
    KEY_JOURNAL,
    KEY_ASSET,
    KEY_SECRET,
    KEY_SECRET_FILE,
    KEY_ASSETS,
    KEY_ASSET_COUNT,
    KEY_ASSET_PREFIX,
    KEY_ADMIN,
    KEY_PORT_FILE,
    KEY_MISBEHAVE,
    KEY_SEED,
    KEY_CONNECTIONS,
    KEY_ENTRIES,
    KEY_DEDUP_WINDOW,
    KEY_TTL_MAX,
    KEY_SEGMENT_BYTES,
};

struct parse {
    struct tri_chain_options *options;
    const char *name; /* of the program */
    const char *asset_prefix;
    uint32_t asset_count;
    bool has_journal; /* the flag was given */
};

static const char doc[] =
    "Speaks for one chain: answers the phases of a tricast coordinator and keeps a ledger of "
    "assets."
    "\v"
    "--misbehave takes STEP:ACTION[:p=PROBABILITY][:count=N][:id=PREFIX] and may be repeated.  "
    "STEP "
    "is PREPARE, COMMIT, FINALIZE, ABORT or ROLLBACK; ACTION is refuse=CODE, delay=MS, hold=MS, "
    "drop, duplicate, reorder, terminal or die.  The first rule that fits a frame decides.";

static const struct argp_option flags[] = {
    {"connect", KEY_CONNECT, "HOST:PORT", 0, "The coordinator", 1},
    {"chain", KEY_CHAIN, "ID", 0, "The chain's CAIP-2 id, such as eip155:8453", 1},
    {"journal", KEY_JOURNAL, "DIR", 0,
     "Where everything is kept that must outlive the process; the word none = keep nothing", 1},
    {"secret", KEY_SECRET, "TEXT", 0, "What the chain proves itself with", 2},
    {"secret-file", KEY_SECRET_FILE, "FILE", 0, "A file that holds the secret", 2},
    {"asset", KEY_ASSET, "ID", 0, "An asset of the ledger; may be repeated", 3},
    {"assets", KEY_ASSETS, "FILE", 0, "A file with an asset id on each line", 3},
    {"asset-count", KEY_ASSET_COUNT, "N", 0, "This many generated assets", 3},
    {"asset-prefix", KEY_ASSET_PREFIX, "TEXT", 0,
     "Generated ids are TEXT000000, TEXT000001, ... (default asset-)", 3},
    {"admin", KEY_ADMIN, "HOST:PORT", 0, "Listen for operators; port 0 = any free one", 4},
    {"port-file", KEY_PORT_FILE, "FILE", 0, "Write the port of --admin to a file", 4},
    {"misbehave", KEY_MISBEHAVE, "RULE", 0, "Break a promise on purpose (see below)", 5},
    {"seed", KEY_SEED, "N", 0, "Seed of the rules' probabilities (default 1)", 5},
    {"connections", KEY_CONNECTIONS, "N", 0,
     "Connections to the coordinator, one per shard (1 to 16, default 1)", 6},
    {"entries", KEY_ENTRIES, "N", 0, "Messages remembered at once (default 262144)", 6},
    {"dedup-window-ms", KEY_DEDUP_WINDOW, "MS", 0,
     "How long a closed message is remembered (default 60000)", 6},
    {"reservation-ttl-ms-max", KEY_TTL_MAX, "MS", 0,
     "The longest reservation granted; 0 = as asked (default 0)", 6},
    {"journal-segment-bytes", KEY_SEGMENT_BYTES, "N", 0,
     "Size of the journal's files, a multiple of 4096 (default 67108864)", 6},
    {0},
};

/* The flag's name, for messages. */
static const char *flag_name(int key)
{
    for (uint32_t i = 0; flags[i].name != NULL; i++) {
        if (flags[i].key == key) {
            return flags[i].name;
        }
    }
    return "?";
}

static void parse_asset(struct parse *parse, const char *text)
{
    const char *wrong =
        tri_book_collect(&parse->options->book, (struct tri_text){text, (uint32_t)strlen(text)});

    if (wrong != NULL) {
        tri_flags_fail(parse->name, "asset '%s': %s", text, wrong);
    }
}

static void parse_assets(struct parse *parse, const char *path)
{
    uint32_t line;
    const char *wrong = tri_book_collect_file(&parse->options->book, path, &line);

    if (wrong != NULL) {
        tri_flags_fail(parse->name, "assets '%s' line %u: %s", path, line, wrong);
    }
}

static void parse_rule(struct parse *parse, const char *text)
{
    const char *wrong = tri_faults_add(&parse->options->faults, text);

    if (wrong != NULL) {
        tri_flags_fail(parse->name, "misbehave '%s': %s", text, wrong);
    }
}

static void parse_chain(struct parse *parse, const char *text)
{
    if (!tri_text_is_chain_id((struct tri_text){text, (uint32_t)strlen(text)})) {
        tri_flags_fail(parse->name, "chain '%s': expected a CAIP-2 id such as eip155:8453", text);
    }
    parse->options->chain = text;
}

/* The flags that hold a number in a range. */
static bool parse_number(struct parse *parse, int key, const char *text)
{
    struct tri_chain_options *options = parse->options;
    const char *name = parse->name;
    const char *flag = flag_name(key);

    switch (key) {
    case KEY_ASSET_COUNT:
        parse->asset_count = (uint32_t)tri_flags_uint(name, flag, text, 1, TRI_BOOK_ASSETS_MAX);
        return true;
    case KEY_SEED:
        options->faults.random = tri_flags_uint(name, flag, text, 0, UINT64_MAX);
        return true;
    case KEY_CONNECTIONS:
        options->connections = (uint32_t)tri_flags_uint(name, flag, text, 1, TRI_LINKS_MAX);
        return true;
    case KEY_ENTRIES:
        options->entries_max = (uint32_t)tri_flags_uint(name, flag, text, 1, UINT32_C(1) << 26);
        return true;
    case KEY_DEDUP_WINDOW:
        options->dedup_window_ms = tri_flags_uint(name, flag, text, 1, UINT64_C(31536000000));
        return true;
    case KEY_TTL_MAX:
        options->reservation_ttl_ms_max =
            tri_flags_uint(name, flag, text, 0, UINT64_C(31536000000));
        return true;
    case KEY_SEGMENT_BYTES:
        options->segment_bytes =
            tri_flags_uint(name, flag, text, SEGMENT_BYTES_MIN, UINT64_C(1) << 40) /
            TRI_LOG_PAGE_BYTES * TRI_LOG_PAGE_BYTES;
        return true;
    default:
        return false;
    }
}

/* What cannot be said by one flag alone. */
static void parse_end(struct parse *parse)
{
    struct tri_chain_options *options = parse->options;
    const char *wrong = NULL;

    if (options->server.bytes == 0U || options->chain == NULL || !parse->has_journal) {
        tri_flags_fail(parse->name, "--connect, --chain and --journal are needed; see --help");
    }
    if (parse->asset_count > 0U) {
        wrong = tri_book_collect_series(&options->book, parse->asset_prefix, parse->asset_count);
    }
    if (wrong != NULL) {
        tri_flags_fail(parse->name, "asset-prefix '%s': %s", parse->asset_prefix, wrong);
    }
    if (options->has_admin && options->secret.bytes == 0U &&
        !tri_address_is_loopback(&options->admin)) {
        tri_flags_fail(parse->name, "admin: without a secret it must be a loopback address");
    }
    if (options->port_file != NULL && !options->has_admin) {
        tri_flags_fail(parse->name, "port-file: it needs --admin");
    }
}

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct parse *parse = state->input;
    struct tri_chain_options *options = parse->options;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_flags_begin(state);
        return 0;
    case KEY_CONNECT:
        tri_flags_address(parse->name, "connect", text, &options->server);
        return 0;
    case KEY_CHAIN:
        parse_chain(parse, text);
        return 0;
    case KEY_JOURNAL:
        parse->has_journal = true;
        options->journal = strcmp(text, "none") == 0 ? NULL : text;
        return 0;
    case KEY_SECRET:
        tri_flags_secret(parse->name, "secret", text, &options->secret);
        return 0;
    case KEY_SECRET_FILE:
        tri_flags_secret_file(parse->name, "secret-file", text, &options->secret);
        return 0;
    case KEY_ASSET:
        parse_asset(parse, text);
        return 0;
    case KEY_ASSETS:
        parse_assets(parse, text);
        return 0;
    case KEY_ASSET_PREFIX:
        parse->asset_prefix = text;
        return 0;
    case KEY_ADMIN:
        tri_flags_address(parse->name, "admin", text, &options->admin);
        options->has_admin = true;
        return 0;
    case KEY_PORT_FILE:
        options->port_file = text;
        return 0;
    case KEY_MISBEHAVE:
        parse_rule(parse, text);
        return 0;
    case ARGP_KEY_ARG:
        tri_flags_fail(parse->name, "'%s': it takes flags only; see --help", text);
    case ARGP_KEY_END:
        parse_end(parse);
        return 0;
    default:
        return parse_number(parse, key, text) ? 0 : ARGP_ERR_UNKNOWN;
    }
}

void tri_chain_options_parse(int argc, char **argv, struct tri_chain_options *options)
{
    static const struct argp argp = {flags, parse_one, NULL, doc, NULL, NULL, NULL};
    struct parse parse = {options, argv[0], "asset-", 0, false};

    assert(options != NULL);
    *options = (struct tri_chain_options){
        .connections = 1,
        .entries_max = 262144,
        .dedup_window_ms = 60000,
        .faults = {.random = 1},
    };
    tri_flags_parse(&argp, argc, argv, &parse);
}
