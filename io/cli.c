/* SPDX-License-Identifier: Apache-2.0 */
#include "io/cli.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/clock.h"
#include "io/json_view.h"

enum {
    KEY_SERVER = 1000,
    KEY_NAME,
    KEY_SECRET,
    KEY_SECRET_FILE,
    KEY_TIMEOUT,
};

static const struct argp_option flags[] = {
    {"server", KEY_SERVER, "HOST:PORT", 0, "Where the server listens (default 127.0.0.1:7411)",
     100},
    {"name", KEY_NAME, "NAME", 0,
     "The identity to connect as (default: that of its role: client, operator or "
     "settlement)",
     100},
    {"secret", KEY_SECRET, "TEXT", 0, "What the identity proves itself with", 100},
    {"secret-file", KEY_SECRET_FILE, "FILE", 0, "A file that holds the secret", 100},
    {"timeout-ms", KEY_TIMEOUT, "MS", 0, "How long to wait for an answer (default 30000)", 100},
    {0},
};

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct tri_cli *cli = state->input;

    switch (key) {
    case KEY_SERVER:
        tri_flags_address(cli->verb, "server", text, &cli->server);
        cli->has_server = true;
        return 0;
    case KEY_NAME:
        if (strlen(text) == 0U || strlen(text) > TRI_IDENTITY_BYTES_MAX) {
            tri_flags_fail(cli->verb, "name '%s': an identity has 1 to 64 bytes", text);
        }
        cli->name = text;
        return 0;
    case KEY_SECRET:
        tri_flags_secret(cli->verb, "secret", text, &cli->secret);
        return 0;
    case KEY_SECRET_FILE:
        tri_flags_secret_file(cli->verb, "secret-file", text, &cli->secret);
        return 0;
    case KEY_TIMEOUT:
        cli->timeout_ms = (uint32_t)tri_flags_uint(cli->verb, "timeout-ms", text, 1, 86400000);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp tri_cli_argp = {flags, parse_one, NULL, NULL, NULL, NULL, NULL};

void tri_cli_begin(struct argp_state *state, struct tri_cli *cli)
{
    tri_flags_begin(state);
    state->child_inputs[0] = cli;
    cli->verb = state->argv[0];
    cli->timeout_ms = 30000;
}

int tri_cli_open(struct tri_cli *cli, struct tri_client *client, enum tri_role role)
{
    const char *name = cli->name;
    struct tri_client_options options = {
        .role = role, .secret = &cli->secret, .timeout_ms = cli->timeout_ms};
    int failed;

    if (name == NULL) {
        name = role == TRI_ROLE_CLIENT       ? "client"
               : role == TRI_ROLE_SETTLEMENT ? "settlement"
                                             : "operator";
    }
    if (!cli->has_server) {
        tri_flags_address(cli->verb, "server", "127.0.0.1:7411", &cli->server);
    }
    options.server = cli->server;
    options.identity = tri_cli_text(name);
    failed = tri_client_open(client, &options);
    return failed == 0 ? 0 : tri_cli_trouble(cli, client, failed);
}

int tri_cli_trouble(const struct tri_cli *cli, const struct tri_client *client, int failed)
{
    assert(failed < 0);
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: %s\n", cli->verb,
                  client->trouble[0] != '\0' ? client->trouble : "no answer in time");
    return TRI_CLI_NO_ANSWER;
}

int tri_cli_print(const struct tri_cli *cli, json_t *view)
{
    int failed = view == NULL ? -1 : json_dumpf(view, stdout, JSON_COMPACT);

    json_decref(view);
    if (failed != 0 || putchar('\n') == EOF || fflush(stdout) != 0) {
        (void)fprintf(stderr, "%s: stdout: %s\n", cli->verb, strerror(errno));
        return TRI_CLI_NO_ANSWER;
    }
    return 0;
}

int tri_cli_error(const struct tri_cli *cli, const struct tri_error_frame *error)
{
    int failed = tri_cli_print(cli, tri_json_error(error));

    return failed != 0 ? failed : TRI_CLI_REFUSED;
}

uint64_t tri_cli_deadline_ns(const struct tri_cli *cli)
{
    return tri_clock_now_ns() + cli->timeout_ms * TRI_NS_PER_MS;
}

struct tri_text tri_cli_text(const char *text)
{
    return (struct tri_text){text, (uint32_t)strlen(text)};
}
