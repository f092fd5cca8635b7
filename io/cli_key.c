/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs about the key that signs finality records (docs/finality.md): key new, key show.
 */
#include <errno.h>

#include "io/cli.h"
#include "io/json_finality.h"
#include "io/signer.h"

#define KEY_TROUBLE_BYTES 512U

struct key_look {
    struct tri_cli cli; /* the verb alone */
    const char *path;
};

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct key_look *look = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_flags_begin(state);
        look->cli.verb = state->argv[0];
        return 0;
    case ARGP_KEY_ARG:
        if (look->path != NULL) {
            tri_flags_fail(look->cli.verb, "'%s': one file is enough", text);
        }
        look->path = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
        tri_flags_fail(look->cli.verb, "a file is missing; see --help");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int key_run(const struct argp *argp, int argc, char **argv,
                   int (*get)(struct tri_signer *signer, const char *path, char *trouble,
                              size_t trouble_bytes))
{
    char trouble[KEY_TROUBLE_BYTES] = "";
    struct tri_signer signer = {0};
    struct key_look look = {0};
    int result = TRI_CLI_OK;

    tri_flags_parse(argp, argc, argv, &look);
    if (get(&signer, look.path, trouble, sizeof(trouble)) == 0) {
        result = tri_cli_print(&look.cli,
                               json_pack("{s:o, s:s}", "publicKey",
                                         tri_json_hex(signer.public_key, sizeof(signer.public_key)),
                                         "file", look.path));
    } else {
        (void)fprintf(stderr, "%s: %s\n", look.cli.verb, trouble);
        result = TRI_CLI_REFUSED;
    }
    tri_signer_close(&signer);
    return result;
}

int tri_cli_key_new(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        parse_one,
        "FILE",
        "Makes a key that signs finality records, and prints its public half.\vThe file must not "
        "exist; only its owner may read it.",
        NULL,
        NULL,
        NULL};

    return key_run(&argp, argc, argv, tri_signer_new);
}

int tri_cli_key_show(int argc, char **argv)
{
    static const struct argp argp = {NULL, parse_one, "FILE", "Prints the public half of a key.",
                                     NULL, NULL,      NULL};

    return key_run(&argp, argc, argv, tri_signer_open);
}
