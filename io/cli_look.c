/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs that look and change nothing: status, watch, stats, chain ledger.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/cli.h"
#include "io/clock.h"
#include "io/json_view.h"

#define PAGE_ASSETS    256U
#define ELEMENTS_BYTES (TRI_ASSET_ID_BYTES_MAX + 32U)

enum {
    KEY_JSON = 256,
    KEY_COUNT,
    KEY_SUMMARY,
    KEY_AFTER,
};

/* What these verbs understand beside the flags of every verb. */
struct look {
    struct tri_cli cli;
    const char *argument; /* status: the id; chain ledger: HOST:PORT */
    uint64_t count;       /* watch: stop after so many events, 0 = never */
    const char *after;    /* chain ledger: list only greater ids */
    bool is_json;
    bool is_summary;
};

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct look *look = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_cli_begin(state, &look->cli);
        return 0;
    case KEY_JSON:
        look->is_json = true;
        return 0;
    case KEY_SUMMARY:
        look->is_summary = true;
        return 0;
    case KEY_AFTER:
        if (strlen(text) > TRI_ASSET_ID_BYTES_MAX || !tri_text_is_utf8(tri_cli_text(text))) {
            tri_flags_fail(look->cli.verb, "after '%s': an asset id has at most 128 bytes of UTF-8",
                           text);
        }
        look->after = text;
        return 0;
    case KEY_COUNT:
        look->count = tri_flags_uint(look->cli.verb, "count", text, 1, UINT64_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* For the verbs with one argument. */
static error_t parse_argument(int key, char *text, struct argp_state *state)
{
    struct look *look = state->input;

    if (key == ARGP_KEY_ARG) {
        if (look->argument != NULL) {
            tri_flags_fail(look->cli.verb, "'%s': one argument is enough", text);
        }
        look->argument = text;
        return 0;
    }
    if (key == ARGP_KEY_NO_ARGS) {
        tri_flags_fail(look->cli.verb, "an argument is missing; see --help");
    }
    return parse_one(key, text, state);
}

static error_t parse_no_argument(int key, char *text, struct argp_state *state)
{
    struct look *look = state->input;

    if (key == ARGP_KEY_ARG) {
        tri_flags_fail(look->cli.verb, "'%s': it takes flags only", text);
    }
    return parse_one(key, text, state);
}

static const struct argp_child children[] = {{&tri_cli_argp, 0, NULL, 0}, {0}};

int tri_cli_status(int argc, char **argv)
{
    static const struct argp argp = {
        NULL, parse_argument, "ID", "Prints what is known of a message.", children, NULL, NULL};
    struct look look = {0};
    struct tri_client client = {0};
    struct tri_frame frame = {.type = TRI_FRAME_STATUS_GET};
    uint64_t deadline_ns;
    int failed;

    tri_flags_parse(&argp, argc, argv, &look);
    frame.status_get = tri_cli_text(look.argument);
    if (frame.status_get.bytes == 0U || frame.status_get.bytes > TRI_ID_BYTES_MAX) {
        tri_flags_fail(look.cli.verb, "id '%s': an id has 1 to 64 bytes", look.argument);
    }
    failed = tri_cli_open(&look.cli, &client, TRI_ROLE_CLIENT);
    if (failed == 0) {
        deadline_ns = tri_cli_deadline_ns(&look.cli);
        failed = tri_client_send(&client, &frame, deadline_ns);
        failed = failed == 0 ? tri_client_receive(&client, deadline_ns) : failed;
        if (failed != 0) {
            failed = tri_cli_trouble(&look.cli, &client, failed);
        } else if (client.frame.type == TRI_FRAME_STATUS) {
            failed = tri_cli_print(&look.cli, tri_json_status(&client.frame.status));
        } else if (client.frame.type == TRI_FRAME_ERROR) {
            failed = tri_cli_error(&look.cli, &client.frame.error);
        } else {
            failed = TRI_CLI_NO_ANSWER;
        }
    }
    tri_client_close(&client);
    return failed;
}

int tri_cli_watch(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"count", KEY_COUNT, "N", 0, "Stop after so many events", 1}, {0}};
    static const struct argp argp = {
        flags, parse_no_argument, NULL, "Prints what happens, as it happens.", children, NULL,
        NULL};
    struct look look = {0};
    struct tri_client client = {0};
    uint64_t seen = 0;
    int failed;

    tri_flags_parse(&argp, argc, argv, &look);
    failed = tri_cli_open(&look.cli, &client, TRI_ROLE_OPERATOR);
    if (failed == 0 && tri_client_request(&client, TRI_FRAME_WATCH, 0, (struct tri_bytes){NULL, 0},
                                          tri_cli_deadline_ns(&look.cli)) != 0) {
        failed = tri_cli_trouble(&look.cli, &client, -EPIPE);
    }
    while (failed == 0 && (look.count == 0U || seen < look.count)) {
        int received = tri_client_receive(&client, tri_cli_deadline_ns(&look.cli));

        if (received == -ETIMEDOUT) {
            continue; /* nothing happened: keep watching */
        }
        if (received != 0) {
            failed = tri_cli_trouble(&look.cli, &client, received);
        } else if (client.frame.type == TRI_FRAME_EVENT) {
            failed = tri_cli_print(&look.cli, tri_json_event(&client.frame.event));
            seen++;
        } else if (client.frame.type == TRI_FRAME_ERROR) {
            failed = tri_cli_error(&look.cli, &client.frame.error);
        }
    }
    tri_client_close(&client);
    return failed;
}

/* One counter per line: name, total, unit, what it counts. */
static int stats_table(json_t *view)
{
    json_t *counter;
    size_t i;

    json_array_foreach(json_object_get(view, "counters"), i, counter)
    {
        (void)printf("%-28s %14" JSON_INTEGER_FORMAT " %-12s %s\n",
                     json_string_value(json_object_get(counter, "name")),
                     json_integer_value(json_object_get(counter, "total")),
                     json_string_value(json_object_get(counter, "unit")),
                     json_string_value(json_object_get(counter, "help")));
    }
    json_decref(view);
    return fflush(stdout) == 0 ? 0 : TRI_CLI_NO_ANSWER;
}

int tri_cli_stats(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"json", KEY_JSON, NULL, 0, "JSON, with the value of every shard", 1}, {0}};
    static const struct argp argp = {
        flags, parse_no_argument, NULL, "Prints the server's counters.", children, NULL, NULL};
    struct look look = {0};
    struct tri_client client = {0};
    uint64_t deadline_ns;
    json_t *view;
    int failed;

    tri_flags_parse(&argp, argc, argv, &look);
    failed = tri_cli_open(&look.cli, &client, TRI_ROLE_OPERATOR);
    if (failed == 0) {
        deadline_ns = tri_cli_deadline_ns(&look.cli);
        failed = tri_client_request(&client, TRI_FRAME_STATS_GET, 0, (struct tri_bytes){NULL, 0},
                                    deadline_ns);
        failed = failed == 0 ? tri_client_receive(&client, deadline_ns) : failed;
        if (failed != 0) {
            failed = tri_cli_trouble(&look.cli, &client, failed);
        } else if (client.frame.type == TRI_FRAME_ERROR) {
            failed = tri_cli_error(&look.cli, &client.frame.error);
        } else if (client.frame.type != TRI_FRAME_STATS ||
                   (view = tri_json_stats(client.frame.rest)) == NULL) {
            (void)fprintf(stderr, "%s: the answer is no STATS\n", look.cli.verb);
            failed = TRI_CLI_NO_ANSWER;
        } else {
            failed = look.is_json ? tri_cli_print(&look.cli, view) : stats_table(view);
        }
    }
    tri_client_close(&client);
    return failed;
}

/* Replaces the assets by how many are in which state. */
static void ledger_summarise(json_t *view)
{
    json_t *states = json_object();
    json_t *asset;
    size_t i;

    json_array_foreach(json_object_get(view, "assets"), i, asset)
    {
        const char *state = json_string_value(json_object_get(asset, "primaryLockState"));
        json_int_t count = json_integer_value(json_object_get(states, state));

        (void)json_object_set_new(states, state, json_integer(count + 1));
    }
    (void)json_object_set_new(view, "assetCount", json_integer((json_int_t)i));
    (void)json_object_set_new(view, "states", states);
    (void)json_object_del(view, "assets");
}

/* The id of the last asset in the view, or where to begin; borrowed. */
static struct tri_text ledger_last(const struct look *look, const json_t *view)
{
    const json_t *assets = json_object_get(view, "assets");
    size_t count = json_array_size(assets);
    const json_t *id;

    if (count == 0U) {
        return tri_cli_text(look->after != NULL ? look->after : "");
    }
    id = json_object_get(json_array_get(assets, count - 1U), "assetId");
    return (struct tri_text){json_string_value(id), (uint32_t)json_string_length(id)};
}

/* Asks for page after page; *view is the whole, NULL on failure. */
static int ledger_read(struct look *look, struct tri_client *client, json_t **view)
{
    bool more = true;

    *view = NULL;
    while (more) {
        uint64_t deadline_ns = tri_cli_deadline_ns(&look->cli);
        uint8_t elements[ELEMENTS_BYTES];
        struct tri_writer writer = {elements, elements + sizeof(elements), false};
        int failed;

        tri_put_text(&writer, ledger_last(look, *view));
        tri_put_uint(&writer, PAGE_ASSETS);
        assert(!writer.failed);
        failed = tri_client_request(client, TRI_FRAME_LEDGER_GET, 2,
                                    (struct tri_bytes){elements, (uint32_t)(writer.at - elements)},
                                    deadline_ns);
        failed = failed == 0 ? tri_client_receive(client, deadline_ns) : failed;
        if (failed != 0) {
            return tri_cli_trouble(&look->cli, client, failed);
        }
        if (client->frame.type == TRI_FRAME_ERROR) {
            return tri_cli_error(&look->cli, &client->frame.error);
        }
        if (client->frame.type == TRI_FRAME_LEDGER) {
            *view = tri_json_ledger(*view, client->frame.rest, &more);
        }
        if (client->frame.type != TRI_FRAME_LEDGER || *view == NULL) {
            (void)fprintf(stderr, "%s: the answer is no LEDGER\n", look->cli.verb);
            return TRI_CLI_NO_ANSWER;
        }
    }
    return 0;
}

int tri_cli_chain_ledger(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"summary", KEY_SUMMARY, NULL, 0, "Count the assets by state instead of listing them", 1},
        {"after", KEY_AFTER, "ID", 0, "List only assets whose ids are greater", 1},
        {"json", KEY_JSON, NULL, 0, "JSON on one line; without it, indented", 1},
        {0}};
    static const struct argp argp = {
        flags,       parse_argument,
        "HOST:PORT", "Prints the ledger of a chain, from the chain itself.",
        children,    NULL,
        NULL};
    struct look look = {0};
    struct tri_client client = {0};
    json_t *view = NULL;
    int failed;

    tri_flags_parse(&argp, argc, argv, &look);
    tri_flags_address(look.cli.verb, "address", look.argument, &look.cli.server);
    look.cli.has_server = true;
    failed = tri_cli_open(&look.cli, &client, TRI_ROLE_OPERATOR);
    if (failed == 0) {
        failed = ledger_read(&look, &client, &view);
    }
    tri_client_close(&client);
    if (failed != 0) {
        json_decref(view);
        return failed;
    }
    if (look.is_summary) {
        ledger_summarise(view);
    }
    if (look.is_json) {
        return tri_cli_print(&look.cli, view);
    }
    failed = json_dumpf(view, stdout, JSON_INDENT(2));
    json_decref(view);
    return failed == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? 0 : TRI_CLI_NO_ANSWER;
}
