/* SPDX-License-Identifier: Apache-2.0 */
#include "io/cli_submit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/clock.h"
#include "io/json_view.h"

enum {
    KEY_ID = 256,
    KEY_TYPE,
    KEY_SUBTYPE,
    KEY_PRIORITY,
    KEY_SCOPE,
    KEY_ATOMICITY,
    KEY_TTL,
    KEY_TIMESTAMP,
    KEY_SOURCE_CHAIN,
    KEY_SOURCE_NODE,
    KEY_TARGET,
    KEY_ASSET,
    KEY_ACTION,
    KEY_REASON,
    KEY_PAYLOAD_FILE,
    KEY_PREPARE,
    KEY_COMMIT,
    KEY_FINALIZE,
    KEY_FINALIZE_REQUESTED,
    KEY_BURST,
    KEY_IN_FLIGHT,
    KEY_FORCED,
};

static const char doc[] = "Submits a message and waits for its result.\v"
                          "Prints one JSON object per line: the ACK with RECEIVED, the NOTICE of "
                          "primary finality, and the ACK with PROCESSED, FAILED or REJECTED.  Exit "
                          "code: 0 PROCESSED, 1 FAILED or REJECTED, 2 wrong flags, 3 no answer.";

static const struct argp_option flags[] = {
    {"id", KEY_ID, "ID", 0, "originalMessageId, 1 to 64 bytes (default: a new UUID)", 1},
    {"target", KEY_TARGET, "CHAIN", 0, "A target chain (CAIP-2); may be repeated", 1},
    {"asset", KEY_ASSET, "ID", 0, "An asset of the message; may be repeated", 1},
    {"action", KEY_ACTION, "ACTION", 0,
     "FREEZE, RESTRICT, SEIZE, CONFISCATE, LIQUIDATE, RECOVER, RESERVE or RELEASE the first asset",
     1},
    {"reason", KEY_REASON, "TEXT", 0, "Why, for --action", 1},
    {"payload-file", KEY_PAYLOAD_FILE, "FILE", 0, "The inner payload, instead of --action", 1},
    {"type", KEY_TYPE, "TYPE", 0, "messageType (default REGULATORY_ACTION)", 2},
    {"subtype", KEY_SUBTYPE, "SUBTYPE", 0, "EXECUTE, for GOVERNANCE", 2},
    {"priority", KEY_PRIORITY, "PRIORITY", 0, "LOW, NORMAL, HIGH or CRITICAL (default NORMAL)", 2},
    {"scope", KEY_SCOPE, "SCOPE", 0, "TARGETS or ALL_CHAINS (default TARGETS)", 2},
    {"atomicity", KEY_ATOMICITY, "ATOMICITY", 0,
     "BEST_EFFORT, GUARANTEED or ALL_OR_NOTHING (default ALL_OR_NOTHING)", 2},
    {"ttl", KEY_TTL, "SECONDS", 0, "ttlSeconds (default 60)", 2},
    {"timestamp-ms", KEY_TIMESTAMP, "MS", 0,
     "Unix time of the message (default: now); part of its content", 2},
    {"source-chain", KEY_SOURCE_CHAIN, "CHAIN", 0, "Default: the first target", 2},
    {"source-node", KEY_SOURCE_NODE, "NODE", 0, "Default: tricast", 2},
    {"prepare-ms", KEY_PREPARE, "MS", 0, "Timeout of PREPARE (default: the server's)", 3},
    {"commit-ms", KEY_COMMIT, "MS", 0, "Timeout of COMMIT (default: the server's)", 3},
    {"finalize-ms", KEY_FINALIZE, "MS", 0, "Timeout of FINALIZE (default: the server's)", 3},
    {"finalize", KEY_FINALIZE_REQUESTED, NULL, 0, "Request a FINALIZE with BEST_EFFORT", 3},
    {"forced", KEY_FORCED, NULL, 0,
     "As an operator, by the forced path: it waits for tricast verdict", 3},
    {"burst", KEY_BURST, "N", 0,
     "Submit N messages ID-n with the assets ASSETn (n in six digits) and print a summary", 4},
    {"in-flight", KEY_IN_FLIGHT, "M", 0, "Unanswered messages of a burst (default 1024)", 4},
    {0},
};

/* The value whose name is `text`, below `count`; fails naming the flag. */
static uint32_t parse_name(const struct tri_submission *submission, const char *flag,
                           const char *text, uint32_t count, const char *(*name_of)(uint32_t))
{
    for (uint32_t value = 0; value < count; value++) {
        if (strcmp(name_of(value), text) == 0) {
            return value;
        }
    }
    tri_flags_fail(submission->cli.verb, "%s '%s': no value has this name", flag, text);
}

static const char *type_name(uint32_t value)
{
    return tri_message_type_name((enum tri_message_type)value);
}

static const char *subtype_name(uint32_t value)
{
    return tri_subtype_name((enum tri_subtype)value);
}

static const char *priority_name(uint32_t value)
{
    return tri_priority_name((enum tri_priority)value);
}

static const char *scope_name(uint32_t value)
{
    return tri_scope_name((enum tri_scope)value);
}

static const char *atomicity_name(uint32_t value)
{
    return tri_atomicity_name((enum tri_atomicity)value);
}

static struct tri_text parse_text(const struct tri_submission *submission, const char *flag,
                                  const char *text, uint32_t bytes_max)
{
    size_t bytes = strlen(text);

    if (bytes == 0U || bytes > bytes_max || !tri_text_is_utf8(tri_cli_text(text))) {
        tri_flags_fail(submission->cli.verb, "%s '%s': expected 1 to %u bytes of UTF-8", flag, text,
                       bytes_max);
    }
    return tri_cli_text(text);
}

static struct tri_text parse_chain(const struct tri_submission *submission, const char *flag,
                                   const char *text)
{
    if (!tri_text_is_chain_id(tri_cli_text(text))) {
        tri_flags_fail(submission->cli.verb, "%s '%s': expected a CAIP-2 id such as eip155:8453",
                       flag, text);
    }
    return tri_cli_text(text);
}

static void parse_payload_file(struct tri_submission *submission, const char *path)
{
    FILE *file = fopen(path, "re");
    size_t bytes;

    if (file == NULL) {
        tri_flags_fail(submission->cli.verb, "payload-file '%s': %s", path, strerror(errno));
    }
    bytes = fread(submission->payload, 1, TRI_PAYLOAD_BYTES_MAX + 1U, file);
    (void)fclose(file);
    if (bytes > TRI_PAYLOAD_BYTES_MAX) {
        tri_flags_fail(submission->cli.verb, "payload-file '%s': more than 65536 bytes", path);
    }
    submission->message.payload = (struct tri_bytes){submission->payload, (uint32_t)bytes};
}

static void parse_list(struct tri_submission *submission, int key, const char *text)
{
    struct tri_message *message = &submission->message;

    if (key == KEY_TARGET) {
        if (message->target_count == TRI_TARGETS_MAX) {
            tri_flags_fail(submission->cli.verb, "target '%s': at most 64 targets", text);
        }
        message->targets[message->target_count++] = parse_chain(submission, "target", text);
    } else {
        if (message->asset_count == TRI_ASSETS_MAX) {
            tri_flags_fail(submission->cli.verb, "asset '%s': at most 16 assets", text);
        }
        message->assets[message->asset_count++] =
            parse_text(submission, "asset", text, TRI_ASSET_ID_BYTES_MAX);
    }
}

/* Flags that hold the name of a value. */
static bool parse_named(struct tri_submission *submission, int key, const char *text)
{
    struct tri_message *message = &submission->message;

    switch (key) {
    case KEY_TYPE:
        message->type =
            (enum tri_message_type)parse_name(submission, "type", text, TRI_TYPE_COUNT, type_name);
        return true;
    case KEY_SUBTYPE:
        message->subtype = (enum tri_subtype)parse_name(submission, "subtype", text,
                                                        TRI_SUBTYPE_COUNT, subtype_name);
        return true;
    case KEY_PRIORITY:
        message->priority = (enum tri_priority)parse_name(submission, "priority", text,
                                                          TRI_PRIORITY_COUNT, priority_name);
        return true;
    case KEY_SCOPE:
        message->scope =
            (enum tri_scope)parse_name(submission, "scope", text, TRI_SCOPE_COUNT, scope_name);
        return true;
    case KEY_ATOMICITY:
        message->atomicity = (enum tri_atomicity)parse_name(submission, "atomicity", text,
                                                            TRI_ATOMICITY_COUNT, atomicity_name);
        return true;
    case KEY_ACTION:
        if (!tri_asset_action_parse(tri_cli_text(text), &submission->action)) {
            tri_flags_fail(submission->cli.verb, "action '%s': no action has this name", text);
        }
        submission->has_action = true;
        return true;
    default:
        return false;
    }
}

/* Flags that hold a number. */
static bool parse_number(struct tri_submission *submission, int key, const char *text)
{
    struct tri_message *message = &submission->message;
    const char *verb = submission->cli.verb;

    switch (key) {
    case KEY_TTL:
        message->ttl_s = (uint32_t)tri_flags_uint(verb, "ttl", text, 1, 86400);
        return true;
    case KEY_TIMESTAMP:
        message->timestamp_ms = tri_flags_uint(verb, "timestamp-ms", text, 0, INT64_MAX);
        return true;
    case KEY_PREPARE:
    case KEY_COMMIT:
    case KEY_FINALIZE:
        message->timeout_ms[key - KEY_PREPARE] =
            (uint32_t)tri_flags_uint(verb, "a phase's timeout", text, 1, 86400000);
        return true;
    case KEY_BURST:
        submission->burst = (uint32_t)tri_flags_uint(verb, "burst", text, 1, TRI_BURST_MAX);
        return true;
    case KEY_IN_FLIGHT:
        submission->in_flight =
            (uint32_t)tri_flags_uint(verb, "in-flight", text, 1, TRI_IN_FLIGHT_MAX);
        return true;
    default:
        return false;
    }
}

/* A UUID v4, as the specification's own ids are. */
static void generate_id(struct tri_submission *submission)
{
    uint8_t random[16];

    if (tri_secret_random(random, sizeof(random)) != 0) {
        tri_flags_fail(submission->cli.verb, "id: no random bytes; give one with --id");
    }
    random[6] = (uint8_t)((random[6] & 0x0fU) | 0x40U);
    random[8] = (uint8_t)((random[8] & 0x3fU) | 0x80U);
    (void)snprintf(submission->id, sizeof(submission->id),
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                   random[0], random[1], random[2], random[3], random[4], random[5], random[6],
                   random[7], random[8], random[9], random[10], random[11], random[12], random[13],
                   random[14], random[15]);
    submission->message.id = tri_cli_text(submission->id);
}

void tri_submission_payload(struct tri_submission *submission, struct tri_text asset)
{
    struct tri_action_payload payload = {
        .asset = asset,
        .action = tri_cli_text(tri_asset_action_name(submission->action)),
        .reason = submission->reason,
    };
    uint32_t bytes = tri_action_encode(&payload, submission->payload, TRI_PAYLOAD_BYTES_MAX);

    assert(bytes > 0U);
    submission->message.payload = (struct tri_bytes){submission->payload, bytes};
}

/* What follows from all flags together. */
static void parse_end(struct tri_submission *submission)
{
    struct tri_message *message = &submission->message;

    if (message->target_count == 0U && message->scope == TRI_SCOPE_TARGETS) {
        tri_flags_fail(submission->cli.verb, "--target is needed; see --help");
    }
    if (submission->has_action && message->asset_count == 0U) {
        tri_flags_fail(submission->cli.verb, "--action needs --asset");
    }
    if (submission->has_action && message->payload.at != NULL) {
        tri_flags_fail(submission->cli.verb, "--action and --payload-file exclude each other");
    }
    if (submission->burst > 0U && !submission->has_action) {
        tri_flags_fail(submission->cli.verb, "--burst needs --action");
    }
    if (submission->burst > 0U && submission->is_forced) {
        tri_flags_fail(submission->cli.verb, "--burst and --forced exclude each other");
    }
    if (message->id.at == NULL) {
        generate_id(submission);
    }
    if (message->timestamp_ms == 0U) {
        message->timestamp_ms = tri_clock_wall_ms();
    }
    if (message->source_chain.at == NULL) {
        message->source_chain =
            message->target_count > 0U ? message->targets[0] : tri_cli_text("eip155:1");
    }
    if (submission->has_action && submission->burst == 0U) {
        tri_submission_payload(submission, message->assets[0]);
    }
}

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct tri_submission *submission = state->input;
    struct tri_message *message = &submission->message;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_cli_begin(state, &submission->cli);
        return 0;
    case KEY_ID:
        message->id = parse_text(submission, "id", text, TRI_ID_BYTES_MAX);
        return 0;
    case KEY_SOURCE_CHAIN:
        message->source_chain = parse_chain(submission, "source-chain", text);
        return 0;
    case KEY_SOURCE_NODE:
        message->source_node = parse_text(submission, "source-node", text, TRI_NODE_ID_BYTES_MAX);
        return 0;
    case KEY_TARGET:
    case KEY_ASSET:
        parse_list(submission, key, text);
        return 0;
    case KEY_REASON:
        submission->reason = parse_text(submission, "reason", text, TRI_REASON_BYTES_MAX);
        return 0;
    case KEY_PAYLOAD_FILE:
        parse_payload_file(submission, text);
        return 0;
    case KEY_FINALIZE_REQUESTED:
        message->finalize_requested = true;
        return 0;
    case KEY_FORCED:
        submission->is_forced = true;
        return 0;
    case ARGP_KEY_ARG:
        tri_flags_fail(submission->cli.verb, "'%s': it takes flags only; see --help", text);
    case ARGP_KEY_END:
        parse_end(submission);
        return 0;
    default:
        return parse_named(submission, key, text) || parse_number(submission, key, text)
                   ? 0
                   : ARGP_ERR_UNKNOWN;
    }
}

/* Prints what arrives until the result is there. */
static int submit_wait(struct tri_submission *submission, struct tri_client *client,
                       uint64_t deadline_ns)
{
    for (;;) {
        int failed = tri_client_receive(client, deadline_ns);
        const struct tri_ack *ack = &client->frame.ack;

        if (failed != 0) {
            return tri_cli_trouble(&submission->cli, client, failed);
        }
        switch (client->frame.type) {
        case TRI_FRAME_ACK:
            failed = tri_cli_print(&submission->cli, tri_json_ack(ack));
            if (failed != 0 || ack->type == TRI_ACK_PROCESSED) {
                return failed;
            }
            if (ack->type != TRI_ACK_RECEIVED) {
                return TRI_CLI_REFUSED;
            }
            break;
        case TRI_FRAME_NOTICE:
            failed = tri_cli_print(&submission->cli, tri_json_notice(&client->frame.notice));
            if (failed != 0) {
                return failed;
            }
            break;
        case TRI_FRAME_ERROR:
            return tri_cli_error(&submission->cli, &client->frame.error);
        default:
            (void)fprintf(stderr, "%s: the server sent a frame of type %u\n", submission->cli.verb,
                          (unsigned)client->frame.type);
            return TRI_CLI_NO_ANSWER;
        }
    }
}

bool tri_submission_parse(struct tri_submission *submission, int argc, char **argv)
{
    static const struct argp_child children[] = {{&tri_cli_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {flags, parse_one, NULL, doc, children, NULL, NULL};

    *submission = (struct tri_submission){.in_flight = 1024, .reason = tri_cli_text("")};
    submission->message.type = TRI_TYPE_REGULATORY_ACTION;
    submission->message.priority = TRI_PRIORITY_NORMAL;
    submission->message.atomicity = TRI_ALL_OR_NOTHING;
    submission->message.ttl_s = 60;
    submission->message.source_node = tri_cli_text("tricast");
    submission->payload = malloc(TRI_PAYLOAD_BYTES_MAX + 1U);
    if (submission->payload == NULL) {
        return false;
    }
    tri_flags_parse(&argp, argc, argv, submission);
    return true;
}

int tri_cli_submit(int argc, char **argv)
{
    static struct tri_submission submission;
    struct tri_client client = {0};
    struct tri_frame frame = {0};
    uint64_t deadline_ns;
    int failed;

    if (!tri_submission_parse(&submission, argc, argv)) {
        return TRI_CLI_NO_ANSWER;
    }
    failed = tri_cli_open(&submission.cli, &client,
                          submission.is_forced ? TRI_ROLE_OPERATOR : TRI_ROLE_CLIENT);
    if (failed == 0 && submission.burst > 0U) {
        failed = tri_cli_burst(&submission, &client);
    } else if (failed == 0) {
        deadline_ns = tri_cli_deadline_ns(&submission.cli);
        frame.type = submission.is_forced ? TRI_FRAME_FORCE : TRI_FRAME_SUBMIT;
        frame.submit = submission.message;
        failed = tri_client_send(&client, &frame, deadline_ns);
        failed = failed == 0 ? submit_wait(&submission, &client, deadline_ns)
                             : tri_cli_trouble(&submission.cli, &client, failed);
    }
    tri_client_close(&client);
    free(submission.payload);
    return failed;
}
