/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tricast: the command line of submitters and operators.
 *
 * The first word, or the first two, name a verb; the rest is the verb's.
 */
#include <stdio.h>
#include <string.h>

#include "io/cli.h"

struct verb {
    const char *words[2]; /* the second is NULL for a verb of one word */
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct verb verbs[] = {
    {{"submit", NULL}, "tricast submit", tri_cli_submit, "submit a message, wait for its result"},
    {{"verdict", NULL},
     "tricast verdict",
     tri_cli_verdict,
     "let a forced message go on, or end it"},
    {{"envelope", NULL},
     "tricast envelope",
     tri_cli_envelope,
     "submit several messages, one after the other"},
    {{"status", NULL}, "tricast status", tri_cli_status, "what is known of a message"},
    {{"watch", NULL}, "tricast watch", tri_cli_watch, "what happens, as it happens"},
    {{"stats", NULL}, "tricast stats", tri_cli_stats, "the server's counters"},
    {{"chain", "ledger"},
     "tricast chain ledger",
     tri_cli_chain_ledger,
     "a chain's ledger, from the chain"},
    {{"journal", "check"},
     "tricast journal check",
     tri_cli_journal_check,
     "whether a journal's directory is sound"},
    {{"journal", "show"},
     "tricast journal show",
     tri_cli_journal_show,
     "the records in a journal's directory"},
    {{"finality", "show"},
     "tricast finality show",
     tri_cli_finality_show,
     "the finality records in an archive"},
    {{"finality", "prove"},
     "tricast finality prove",
     tri_cli_finality_prove,
     "the proof that a message is in a record"},
    {{"finality", "verify"},
     "tricast finality verify",
     tri_cli_finality_verify,
     "whether an archive, or a proof, holds"},
    {{"finality", "secondary"},
     "tricast finality secondary",
     tri_cli_finality_secondary,
     "what was said of an archive's records"},
    {{"finality", "status"},
     "tricast finality status",
     tri_cli_finality_status,
     "how far the settlement is"},
    {{"finality", "pending"},
     "tricast finality pending",
     tri_cli_finality_pending,
     "the records that wait for it"},
    {{"settle", NULL}, "tricast settle", tri_cli_settle, "report that a record was settled"},
    {{"heartbeat", NULL},
     "tricast heartbeat",
     tri_cli_heartbeat,
     "say how far the settlement is behind"},
    {{"sequencer", NULL},
     "tricast sequencer",
     tri_cli_sequencer,
     "say that the sequencer is down, or up"},
    {{"key", "new"}, "tricast key new", tri_cli_key_new, "make a key that signs finality records"},
    {{"key", "show"}, "tricast key show", tri_cli_key_show, "the public half of a key"},
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(FILE *to)
{
    (void)fputs("Usage: tricast VERB [FLAGS...]\n\n", to);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        (void)fprintf(to, "  %-27s %s\n", verbs[i].name, verbs[i].help);
    }
    (void)fputs("\nEvery verb explains itself with --help; --version prints the version.\n", to);
}

int main(int argc, char **argv)
{
    static char name[64];

    tri_flags_files();
    argp_program_version = "tricast " TRI_PROGRAM_VERSION;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("%s\n", argp_program_version);
        return TRI_CLI_OK;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help(stdout);
        return TRI_CLI_OK;
    }
    for (size_t i = 0; i < VERB_COUNT; i++) {
        int words = verbs[i].words[1] == NULL ? 1 : 2;

        if (argc <= words || strcmp(argv[1], verbs[i].words[0]) != 0 ||
            (words == 2 && strcmp(argv[2], verbs[i].words[1]) != 0)) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s", verbs[i].name);
        argv[words] = name;
        return verbs[i].run(argc - words, argv + words);
    }
    if (argc < 2) {
        (void)fputs("tricast: a verb is missing; see tricast --help\n", stderr);
    } else {
        (void)fprintf(stderr, "tricast: '%s': no verb has this name; see tricast --help\n",
                      argv[1]);
    }
    return TRI_CLI_USAGE;
}
