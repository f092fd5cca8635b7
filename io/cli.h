/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLI: what the verbs of the program tricast have in common.
 *
 * A verb takes its own flags and those of every verb (--server, --name,
 * --secret, --secret-file, --timeout-ms), prints JSON on stdout, one object
 * per line, and returns the exit code.  Trouble is one line on stderr.
 *
 * Threads: one.
 */
#ifndef TRI_IO_CLI_H
#define TRI_IO_CLI_H

#include <argp.h>
#include <jansson.h>

#include "io/client.h"
#include "io/flags.h"

enum tri_cli_exit {
    TRI_CLI_OK = 0,        /* PROCESSED, or what was asked for */
    TRI_CLI_REFUSED = 1,   /* FAILED, REJECTED, or an ERROR frame */
    TRI_CLI_USAGE = 2,     /* wrong flags */
    TRI_CLI_NO_ANSWER = 3, /* no connection, or no answer in time */
};

struct tri_cli {
    const char *verb; /* what messages begin with, such as "tricast submit" */
    struct tri_address server;
    const char *name; /* identity; NULL = the role's name */
    struct tri_secret secret;
    uint32_t timeout_ms;
    bool has_server;
};

/* The flags of every verb, for a verb's argp: {&tri_cli_argp, 0, NULL, 0}; its parser sets
 * state->child_inputs[0] to the struct tri_cli on ARGP_KEY_INIT, by tri_cli_begin(). */
extern const struct argp tri_cli_argp;
void tri_cli_begin(struct argp_state *state, struct tri_cli *cli);

/* tri_cli_open connects as `role`.  Returns 0, or TRI_CLI_NO_ANSWER with its line printed. */
int tri_cli_open(struct tri_cli *cli, struct tri_client *client, enum tri_role role);
/* tri_cli_trouble prints why a call on the client failed.  Returns TRI_CLI_NO_ANSWER. */
int tri_cli_trouble(const struct tri_cli *cli, const struct tri_client *client, int failed);
/* tri_cli_print prints a view as one line and frees it.  Returns 0, or TRI_CLI_NO_ANSWER if stdout
 * takes nothing more. */
int tri_cli_print(const struct tri_cli *cli, json_t *view);
/* tri_cli_error prints an ERROR frame.  Returns TRI_CLI_REFUSED. */
int tri_cli_error(const struct tri_cli *cli, const struct tri_error_frame *error);
uint64_t tri_cli_deadline_ns(const struct tri_cli *cli);
/* The text of a flag, terminated and borrowed. */
struct tri_text tri_cli_text(const char *text);

/* The verbs. */
int tri_cli_submit(int argc, char **argv);
int tri_cli_verdict(int argc, char **argv);
int tri_cli_envelope(int argc, char **argv);
int tri_cli_status(int argc, char **argv);
int tri_cli_watch(int argc, char **argv);
int tri_cli_stats(int argc, char **argv);
int tri_cli_chain_ledger(int argc, char **argv);
int tri_cli_journal_check(int argc, char **argv);
int tri_cli_journal_show(int argc, char **argv);
int tri_cli_finality_show(int argc, char **argv);
int tri_cli_finality_prove(int argc, char **argv);
int tri_cli_finality_verify(int argc, char **argv);
int tri_cli_finality_secondary(int argc, char **argv);
int tri_cli_finality_status(int argc, char **argv);
int tri_cli_finality_pending(int argc, char **argv);
int tri_cli_settle(int argc, char **argv);
int tri_cli_heartbeat(int argc, char **argv);
int tri_cli_sequencer(int argc, char **argv);
int tri_cli_key_new(int argc, char **argv);
int tri_cli_key_show(int argc, char **argv);

#endif
