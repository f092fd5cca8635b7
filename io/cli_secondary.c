/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb finality secondary: what the settlement and the operators have said of an archive's
 * records (docs/finality.md), read without a server, which may append meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "io/archive_manifest.h"
#include "io/cli.h"
#include "io/finality_facts.h"
#include "io/json_finality.h"
#include "io/state.h"

enum { KEY_OPEN = 256 };

struct look {
    struct tri_cli cli; /* the verb alone */
    const char *path;
    int directory;
    bool is_open_only;
    struct tri_finality_facts facts; /* if is_open_only */
    int result;
};

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct look *look = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_flags_begin(state);
        look->cli.verb = state->argv[0];
        return 0;
    case KEY_OPEN:
        look->is_open_only = true;
        return 0;
    case ARGP_KEY_ARG:
        if (look->path != NULL) {
            tri_flags_fail(look->cli.verb, "'%s': one path is enough", text);
        }
        look->path = text;
        return 0;
    case ARGP_KEY_END:
        if (look->path == NULL) {
            tri_flags_fail(look->cli.verb, "a path is missing; see --help");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Prints what is wanted.  Returns how the file ends. */
static int look_print(struct look *look, uint64_t *offset, const char **fault)
{
    struct tri_secondary_reader reader = {.file = -1};
    struct tri_secondary_fact fact;
    int next = tri_secondary_reader_open(&reader, look->directory);

    if (next == 0) {
        while (look->result == TRI_CLI_OK &&
               (next = tri_secondary_next(&reader, &fact)) == TRI_SECONDARY_NEXT_FACT) {
            if (!look->is_open_only ||
                tri_finality_facts_is_open(&look->facts, reader.offset, &fact)) {
                look->result = tri_cli_print(&look->cli, tri_json_secondary(&fact));
            }
        }
    }
    *offset = reader.offset;
    *fault =
        next == TRI_SECONDARY_NEXT_DAMAGED ? reader.fault : "a fact that is torn or being written";
    tri_secondary_reader_fini(&reader);
    return next;
}

static void look_all(struct look *look)
{
    const char *fault = NULL;
    uint64_t offset = 0;
    int next = TRI_SECONDARY_NEXT_END;

    if (look->is_open_only) {
        next = tri_finality_facts_read(&look->facts, look->directory, &offset, &fault);
    }
    if (next >= 0) {
        next = look_print(look, &offset, &fault);
    }
    if (next == TRI_SECONDARY_NEXT_FACT || next == TRI_SECONDARY_NEXT_END) {
        return;
    }
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: %s/%s: offset %" PRIu64 ": %s\n", look->cli.verb, look->path,
                  TRI_SECONDARY_NAME, offset, next < 0 ? tri_state_why(next) : fault);
    look->result = next == TRI_SECONDARY_NEXT_TORN ? look->result : TRI_CLI_REFUSED;
}

int tri_cli_finality_secondary(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"open", KEY_OPEN, NULL, 0,
         "Only what waits for somebody: records whose last report had another root, messages "
         "handed "
         "to reconciliation whose record is not confirmed, a sequencer that is down",
         1},
        {0}};
    static const struct argp argp = {
        flags,
        parse_one,
        "ARCHIVE",
        "Prints what the settlement and the operators have said of an archive's records, one a "
        "line, as noted.\vExit code 0: all that is there; 1: the file is damaged, or there is no "
        "archive.",
        NULL,
        NULL,
        NULL};
    struct look look = {.result = TRI_CLI_OK};
    int manifest = -1;

    tri_flags_parse(&argp, argc, argv, &look);
    look.directory = open(look.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    manifest =
        look.directory < 0 ? -errno : tri_state_file(look.directory, TRI_ARCHIVE_MANIFEST_NAME);
    if (manifest < 0) {
        (void)fprintf(stderr, "%s: %s: it is no archive: %s%s\n", look.cli.verb, look.path,
                      look.directory < 0 ? "" : TRI_ARCHIVE_MANIFEST_NAME ": ",
                      tri_state_why(manifest));
        look.result = TRI_CLI_REFUSED;
    } else {
        (void)close(manifest);
        look_all(&look);
    }
    if (look.directory >= 0) {
        (void)close(look.directory);
    }
    tri_finality_facts_fini(&look.facts);
    return look.result;
}
