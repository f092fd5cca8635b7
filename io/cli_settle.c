/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of the second tier: what waits for the settlement (finality pending), what it has
 * settled (settle), how far it is behind (heartbeat), whether the sequencer is up (sequencer), and
 * how all of that stands (finality status).
 */
#include <string.h>

#include "io/archive_manifest.h"
#include "io/cli.h"
#include "io/clock.h"
#include "io/json_finality.h"

#define SETTLE_WORDS_MAX 3U

enum {
    KEY_REFERENCE = 256,
    KEY_AT,
    KEY_ROLE,
};

struct settle_line {
    struct tri_cli cli;
    const char *words[SETTLE_WORDS_MAX];
    uint32_t word_count;
    uint32_t words_wanted;
    const char *reference;
    uint64_t at_ms;
    enum tri_role role;
};

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct settle_line *line = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_cli_begin(state, &line->cli);
        return 0;
    case KEY_REFERENCE:
        line->reference = text;
        return 0;
    case KEY_AT:
        if (strlen(text) != TRI_CLOCK_TEXT_BYTES - 1 || !tri_clock_parse(text, &line->at_ms)) {
            tri_flags_fail(line->cli.verb, "--at: '%s' is no time such as 2026-11-21T10:20:30.123Z",
                           text);
        }
        return 0;
    case KEY_ROLE:
        if (strcmp(text, "settlement") != 0 && strcmp(text, "operator") != 0) {
            tri_flags_fail(line->cli.verb, "--role: '%s': expected operator or settlement", text);
        }
        line->role = text[0] == 's' ? TRI_ROLE_SETTLEMENT : TRI_ROLE_OPERATOR;
        return 0;
    case ARGP_KEY_ARG:
        if (line->word_count == line->words_wanted) {
            tri_flags_fail(line->cli.verb, "'%s': unexpected argument; see --help", text);
        }
        line->words[line->word_count++] = text;
        return 0;
    case ARGP_KEY_END:
        if (line->word_count < line->words_wanted) {
            tri_flags_fail(line->cli.verb, "an argument is missing; see --help");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child settle_children[] = {{&tri_cli_argp, 0, NULL, 0}, {0}};

/* Sends the frame and prints what comes back; a view is made by `view`. */
static int settle_ask(struct settle_line *line, enum tri_role role, const struct tri_frame *frame,
                      enum tri_frame_type expected, json_t *(*view)(const struct tri_frame *))
{
    static struct tri_client client;
    uint64_t deadline_ns = 0;
    int failed = tri_cli_open(&line->cli, &client, role);

    if (failed == 0) {
        deadline_ns = tri_cli_deadline_ns(&line->cli);
        failed = tri_client_send(&client, frame, deadline_ns);
        failed = failed == 0 ? tri_client_receive(&client, deadline_ns) : failed;
        if (failed != 0) {
            failed = tri_cli_trouble(&line->cli, &client, failed);
        } else if (client.frame.type == expected) {
            failed = tri_cli_print(&line->cli, view(&client.frame));
        } else if (client.frame.type == TRI_FRAME_ERROR) {
            failed = tri_cli_error(&line->cli, &client.frame.error);
        } else {
            failed = TRI_CLI_NO_ANSWER;
        }
    }
    if (failed == 0 && expected == TRI_FRAME_SETTLED &&
        client.frame.settled.verdict != TRI_SETTLED_FINAL) {
        failed = TRI_CLI_REFUSED;
    }
    tri_client_close(&client);
    return failed;
}

/* ---- finality status, sequencer ---- */

static json_t *status_view(const struct tri_frame *frame)
{
    json_t *view = json_object();

    (void)json_object_set_new(view, "view", json_string("FINALITY"));
    for (uint32_t i = 0; i < frame->finality.count; i++) {
        const struct tri_finality_row *row = &frame->finality.rows[i];

        (void)json_object_setn_new(view, row->name.at, row->name.bytes,
                                   json_integer((json_int_t)row->value));
    }
    return view;
}

int tri_cli_finality_status(int argc, char **argv)
{
    static const struct argp argp = {
        NULL, parse_one, NULL, "How far the settlement is, as the server sees it.", settle_children,
        NULL, NULL};
    struct settle_line line = {0};
    const struct tri_frame frame = {.type = TRI_FRAME_FINALITY_GET};

    tri_flags_parse(&argp, argc, argv, &line);
    return settle_ask(&line, TRI_ROLE_OPERATOR, &frame, TRI_FRAME_FINALITY, status_view);
}

int tri_cli_sequencer(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        parse_one,
        "up|down",
        "Says whether the sequencer is up: while it is down, forced messages are held back from "
        "the settlement.",
        settle_children,
        NULL,
        NULL};
    struct settle_line line = {.words_wanted = 1};
    struct tri_frame frame = {.type = TRI_FRAME_SEQUENCER};

    tri_flags_parse(&argp, argc, argv, &line);
    frame.is_sequencer_up = strcmp(line.words[0], "up") == 0;
    if (!frame.is_sequencer_up && strcmp(line.words[0], "down") != 0) {
        tri_flags_fail(line.cli.verb, "'%s': expected up or down", line.words[0]);
    }
    return settle_ask(&line, TRI_ROLE_OPERATOR, &frame, TRI_FRAME_FINALITY, status_view);
}

/* ---- settle ---- */

static json_t *settled_view(const struct tri_frame *frame)
{
    static const char *const verdicts[TRI_SETTLED_COUNT] = {
        [TRI_SETTLED_FINAL] = "FINAL",
        [TRI_SETTLED_DIFFERENT] = "DIFFERENT",
        [TRI_SETTLED_UNKNOWN] = "UNKNOWN",
        [TRI_SETTLED_HELD] = "HELD",
    };
    const struct tri_settled *settled = &frame->settled;

    return json_pack("{s:s, s:s%, s:I, s:s}", "view", "SETTLED", "stream", settled->stream.at,
                     (size_t)settled->stream.bytes, "ossEpoch", (json_int_t)settled->oss_epoch,
                     "verdict", verdicts[settled->verdict]);
}

/* Fills *frame, or fails naming what is wrong. */
static void settle_frame(const struct settle_line *line, struct tri_frame *frame,
                         uint8_t root[TRI_DIGEST_BYTES])
{
    const char *digits = line->words[2];
    struct tri_settle *settle = &frame->settle;
    uint32_t epoch = 0;
    uint32_t shard = 0;

    frame->type = TRI_FRAME_SETTLE;
    settle->stream = tri_cli_text(line->words[0]);
    settle->reference = tri_cli_text(line->reference == NULL ? "" : line->reference);
    settle->settled_at_ms = line->at_ms;
    settle->root = (struct tri_bytes){.at = root, .bytes = TRI_DIGEST_BYTES};
    if (!tri_stream_get(settle->stream, &epoch, &shard)) {
        tri_flags_fail(line->cli.verb, "'%s' is no stream such as 12-0", line->words[0]);
    }
    if (!tri_flags_decimal(line->words[1], 1, UINT64_MAX, &settle->oss_epoch)) {
        tri_flags_fail(line->cli.verb, "'%s' is no ossEpoch", line->words[1]);
    }
    if (strncmp(digits, "0x", 2) == 0) {
        digits += 2;
    }
    if (strlen(digits) != (size_t)2 * TRI_DIGEST_BYTES ||
        !tri_hex_get(digits, (size_t)2 * TRI_DIGEST_BYTES, root)) {
        tri_flags_fail(line->cli.verb, "'%s' is no ossStateRoot: 64 hexadecimal digits",
                       line->words[2]);
    }
    if (settle->reference.bytes > TRI_REFERENCE_BYTES_MAX) {
        tri_flags_fail(line->cli.verb, "--reference: at most 128 bytes");
    }
}

int tri_cli_settle(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"reference", KEY_REFERENCE, "TEXT", 0, "Where it can be found outside", 0},
        {"at", KEY_AT, "TIME", 0, "When it was settled, 2026-11-21T10:20:30.123Z; now if left out",
         0},
        {0},
    };
    static const struct argp argp = {options,
                                     parse_one,
                                     "STREAM OSSEPOCH ROOT",
                                     "Reports that a finality record was settled with this root.",
                                     settle_children,
                                     NULL,
                                     NULL};
    struct settle_line line = {.words_wanted = 3, .at_ms = tri_clock_wall_ms()};
    struct tri_frame frame = {.type = TRI_FRAME_SETTLE};
    uint8_t root[TRI_DIGEST_BYTES];

    tri_flags_parse(&argp, argc, argv, &line);
    settle_frame(&line, &frame, root);
    return settle_ask(&line, TRI_ROLE_SETTLEMENT, &frame, TRI_FRAME_SETTLED, settled_view);
}

/* ---- heartbeat ---- */

int tri_cli_heartbeat(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        parse_one,
        "LAG_SECONDS",
        "Says for the settlement how far it is behind (F04), and prints how all of it stands.\vIt "
        "holds until the next one.",
        settle_children,
        NULL,
        NULL};
    struct settle_line line = {.words_wanted = 1};
    struct tri_frame frame = {.type = TRI_FRAME_HEARTBEAT};

    tri_flags_parse(&argp, argc, argv, &line);
    frame.heartbeat_lag_s =
        (uint32_t)tri_flags_uint(line.cli.verb, "LAG_SECONDS", line.words[0], 0, UINT32_MAX);
    return settle_ask(&line, TRI_ROLE_SETTLEMENT, &frame, TRI_FRAME_FINALITY, status_view);
}

/* ---- finality pending ---- */

/* Prints the records of one frame; the next question begins behind the last one. */
static int pending_print(struct settle_line *line, const struct tri_pending_frame *pending,
                         struct tri_frame *next, char stream[TRI_STREAM_BYTES_MAX])
{
    int failed = 0;

    for (uint32_t i = 0; failed == 0 && i < pending->count; i++) {
        struct tri_finality_header header;
        const char *fault = NULL;
        json_t *view = NULL;

        if (!tri_finality_header_get(pending->rows[i].header, &header, &fault)) {
            tri_flags_fail(line->cli.verb, "the server has sent a header that is none: %s", fault);
        }
        view = tri_json_finality_header(&header, pending->rows[i].header);
        (void)json_object_set_new(
            view, "signature",
            tri_json_hex(pending->rows[i].signature.at, pending->rows[i].signature.bytes));
        failed = tri_cli_print(&line->cli, view);
        memcpy(stream, header.stream.at, header.stream.bytes);
        next->pending_get.stream = (struct tri_text){.at = stream, .bytes = header.stream.bytes};
        next->pending_get.oss_epoch = header.oss_epoch;
    }
    return failed;
}

int tri_cli_finality_pending(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"role", KEY_ROLE, "operator|settlement", 0, "Whom to connect as (default operator)", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse_one,
        NULL,
        "The finality records that wait for the settlement, one a line (docs/finality.md).",
        settle_children,
        NULL,
        NULL};
    static struct tri_client client;
    struct settle_line line = {.role = TRI_ROLE_OPERATOR};
    struct tri_frame frame = {.type = TRI_FRAME_PENDING_GET};
    char stream[TRI_STREAM_BYTES_MAX];
    bool has_more = true;
    int failed = 0;

    tri_flags_parse(&argp, argc, argv, &line);
    frame.pending_get.stream = tri_cli_text("");
    frame.pending_get.limit = TRI_PENDING_MAX;
    failed = tri_cli_open(&line.cli, &client, line.role);
    while (failed == 0 && has_more) {
        uint64_t deadline_ns = tri_cli_deadline_ns(&line.cli);

        failed = tri_client_send(&client, &frame, deadline_ns);
        failed = failed == 0 ? tri_client_receive(&client, deadline_ns) : failed;
        if (failed != 0) {
            failed = tri_cli_trouble(&line.cli, &client, failed);
        } else if (client.frame.type == TRI_FRAME_ERROR) {
            failed = tri_cli_error(&line.cli, &client.frame.error);
        } else if (client.frame.type == TRI_FRAME_PENDING) {
            has_more = client.frame.pending.has_more;
            failed = pending_print(&line, &client.frame.pending, &frame, stream);
        } else {
            failed = TRI_CLI_NO_ANSWER;
        }
    }
    tri_client_close(&client);
    return failed;
}
