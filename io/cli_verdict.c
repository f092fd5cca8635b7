/* SPDX-License-Identifier: Apache-2.0 */
/* The verb that tells what the self-defense check of a forced message has said (F06). */
#include <string.h>

#include "io/cli.h"
#include "io/json_view.h"

struct verdict {
    struct tri_cli cli;
    const char *id;
    const char *word; /* pass or fail */
};

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct verdict *verdict = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_cli_begin(state, &verdict->cli);
        return 0;
    case ARGP_KEY_ARG:
        if (verdict->id == NULL) {
            verdict->id = text;
        } else if (verdict->word == NULL) {
            verdict->word = text;
        } else {
            tri_flags_fail(verdict->cli.verb, "'%s': two arguments are enough", text);
        }
        return 0;
    case ARGP_KEY_END:
        if (verdict->word == NULL) {
            tri_flags_fail(verdict->cli.verb, "an argument is missing; see --help");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Fills *frame, or fails naming what is wrong. */
static void verdict_frame(const struct verdict *verdict, struct tri_frame *frame)
{
    size_t bytes = strlen(verdict->id);

    if (bytes == 0U || bytes > TRI_ID_BYTES_MAX) {
        tri_flags_fail(verdict->cli.verb, "id '%s': an id has 1 to 64 bytes", verdict->id);
    }
    if (strcmp(verdict->word, "pass") != 0 && strcmp(verdict->word, "fail") != 0) {
        tri_flags_fail(verdict->cli.verb, "'%s': expected pass or fail", verdict->word);
    }
    frame->type = TRI_FRAME_VERDICT;
    frame->verdict.id = tri_cli_text(verdict->id);
    frame->verdict.has_passed = strcmp(verdict->word, "pass") == 0;
}

int tri_cli_verdict(int argc, char **argv)
{
    static const struct argp_child children[] = {{&tri_cli_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        NULL, parse_one, "ID pass|fail", "Lets a forced message go on, or ends it.", children,
        NULL, NULL};
    struct verdict verdict = {0};
    struct tri_client client = {0};
    struct tri_frame frame = {0};
    int failed;

    tri_flags_parse(&argp, argc, argv, &verdict);
    verdict_frame(&verdict, &frame);
    failed = tri_cli_open(&verdict.cli, &client, TRI_ROLE_OPERATOR);
    if (failed == 0) {
        uint64_t deadline_ns = tri_cli_deadline_ns(&verdict.cli);

        failed = tri_client_send(&client, &frame, deadline_ns);
        failed = failed == 0 ? tri_client_receive(&client, deadline_ns) : failed;
        if (failed != 0) {
            failed = tri_cli_trouble(&verdict.cli, &client, failed);
        } else if (client.frame.type == TRI_FRAME_STATUS) {
            failed = tri_cli_print(&verdict.cli, tri_json_status(&client.frame.status));
        } else if (client.frame.type == TRI_FRAME_ERROR) {
            failed = tri_cli_error(&verdict.cli, &client.frame.error);
        } else {
            failed = TRI_CLI_NO_ANSWER;
        }
    }
    tri_client_close(&client);
    return failed;
}
