/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb envelope: a file of deliveries, each said as the verb submit says a message.
 *
 * A delivery's keys are the flags of submit, so one table of flags says what a message may be.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/cli_submit.h"
#include "io/json_view.h"

/* Flags of one delivery: the lists of a message at their longest, and the rest. */
#define WORDS_MAX (2U * (TRI_TARGETS_MAX + TRI_ASSETS_MAX + 32U))

static const char doc[] =
    "Submits the messages of FILE as the deliveries of one envelope: each begins when the one "
    "before it has primary finality, and a failed one stops those behind it.\v"
    "FILE is JSON: {\"id\": ID, \"deliveries\": [{...}, ...]} with 1 to 16 deliveries.  Their keys "
    "are the flags of `tricast submit` without the dashes; a flag that may be repeated takes a "
    "list, one without a value takes true.  A delivery without an id is called ID-n.  To repeat an "
    "envelope after a failure give each delivery its timestamp-ms: the content has to be the "
    "same.\n"
    "Prints one JSON object per line: what each delivery's submitter would see, and the "
    "ENVELOPE_ACKs.  Exit code: 0 PROCESSED, 1 FAILED or REJECTED, 2 wrong flags or file, 3 no "
    "answer.";

struct envelope {
    struct tri_cli cli;
    const char *path;
    json_t *file;
    struct tri_envelope_frame frame;
    uint8_t *bytes[TRI_ENVELOPE_MAX]; /* the SUBMIT of each delivery */
};

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct envelope *envelope = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_cli_begin(state, &envelope->cli);
        return 0;
    case ARGP_KEY_ARG:
        if (envelope->path != NULL) {
            tri_flags_fail(envelope->cli.verb, "'%s': one FILE is enough", text);
        }
        envelope->path = text;
        return 0;
    case ARGP_KEY_END:
        if (envelope->path == NULL) {
            tri_flags_fail(envelope->cli.verb, "FILE is needed; see --help");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void load(struct envelope *envelope)
{
    json_error_t error;
    const json_t *deliveries;
    const char *id;

    envelope->file = json_load_file(envelope->path, JSON_REJECT_DUPLICATES, &error);
    if (envelope->file == NULL) {
        tri_flags_fail(envelope->cli.verb, "%s:%d: %s", envelope->path, error.line, error.text);
    }
    id = json_string_value(json_object_get(envelope->file, "id"));
    deliveries = json_object_get(envelope->file, "deliveries");
    if (id == NULL || strlen(id) < 1 || strlen(id) > TRI_ID_BYTES_MAX) {
        tri_flags_fail(envelope->cli.verb, "%s: id: expected a text of 1 to 64 bytes",
                       envelope->path);
    }
    if (!json_is_array(deliveries) || json_array_size(deliveries) < 1 ||
        json_array_size(deliveries) > TRI_ENVELOPE_MAX) {
        tri_flags_fail(envelope->cli.verb, "%s: deliveries: expected a list of 1 to 16",
                       envelope->path);
    }
    envelope->frame.id = tri_cli_text(id);
    envelope->frame.count = (uint32_t)json_array_size(deliveries);
}

/* The flags of one delivery. */
struct words {
    char *at[WORDS_MAX + 1];
    uint32_t count;
};

static void words_add(const struct envelope *envelope, struct words *words, const char *key,
                      const json_t *value)
{
    char *word = NULL;
    int written = -1;

    if (words->count == WORDS_MAX) {
        tri_flags_fail(envelope->cli.verb, "%s: %s: too long a list", envelope->path, key);
    }
    if (json_is_string(value)) {
        written = asprintf(&word, "--%s=%s", key, json_string_value(value));
    } else if (json_is_integer(value)) {
        written = asprintf(&word, "--%s=%lld", key, (long long)json_integer_value(value));
    } else if (json_is_true(value)) {
        written = asprintf(&word, "--%s", key);
    } else {
        tri_flags_fail(envelope->cli.verb, "%s: %s: expected a text, an integer or true",
                       envelope->path, key);
    }
    if (written < 0) {
        tri_flags_fail(envelope->cli.verb, "%s: no memory", envelope->path);
    }
    words->at[words->count++] = word;
}

static void words_make(const struct envelope *envelope, struct words *words, json_t *delivery)
{
    const char *key;
    json_t *value;
    json_t *element;
    size_t i;

    words->count = 0;
    words->at[words->count++] = (char *)envelope->cli.verb;
    json_object_foreach(delivery, key, value)
    {
        if (!json_is_array(value)) {
            words_add(envelope, words, key, value);
            continue;
        }
        json_array_foreach(value, i, element)
        {
            words_add(envelope, words, key, element);
        }
    }
    words->at[words->count] = NULL;
}

/* Makes delivery number `index` from its flags. */
static void make_delivery(struct envelope *envelope, uint32_t index)
{
    json_t *delivery = json_array_get(json_object_get(envelope->file, "deliveries"), index);
    struct tri_envelope_part *part = &envelope->frame.deliveries[index];
    struct tri_submission submission;
    struct tri_writer writer;
    struct words words;
    char id[TRI_ID_BYTES_MAX + 8U];
    uint32_t ttl_s;

    if (!json_is_object(delivery)) {
        tri_flags_fail(envelope->cli.verb, "%s: deliveries: expected objects", envelope->path);
    }
    (void)snprintf(id, sizeof(id), "%.64s-%u", envelope->frame.id.at, index + 1U);
    if (json_object_get(delivery, "id") == NULL) {
        (void)json_object_set_new(delivery, "id", json_string(id));
    }
    words_make(envelope, &words, delivery);
    if (!tri_submission_parse(&submission, (int)words.count, words.at)) {
        tri_flags_fail(envelope->cli.verb, "%s: no memory", envelope->path);
    }
    if (submission.burst != 0) {
        tri_flags_fail(envelope->cli.verb, "%s: a delivery is one message", envelope->path);
    }
    if (submission.is_forced) {
        tri_flags_fail(envelope->cli.verb, "%s: a delivery cannot be forced", envelope->path);
    }
    submission.message.envelope = (struct tri_envelope){
        .is_given = true,
        .id = envelope->frame.id,
        .n = index + 1U,
        .m = envelope->frame.count,
    };
    envelope->bytes[index] = malloc(TRI_FRAME_BYTES_MAX);
    if (envelope->bytes[index] == NULL) {
        tri_flags_fail(envelope->cli.verb, "%s: no memory", envelope->path);
    }
    writer = (struct tri_writer){.at = envelope->bytes[index],
                                 .end = envelope->bytes[index] + TRI_FRAME_BYTES_MAX};
    part->canonical.at = tri_wire_put_submit(&writer, &submission.message);
    part->canonical.bytes = (uint32_t)(writer.at - part->canonical.at);
    if (writer.failed || !tri_wire_delivery(part->canonical, &part->id, &ttl_s)) {
        tri_flags_fail(envelope->cli.verb, "%s: delivery %u is no message", envelope->path,
                       index + 1U);
    }
    for (uint32_t i = 1; i < words.count; i++) {
        free(words.at[i]);
    }
    free(submission.payload);
}

/* One line of the answer; *is_last when it is the envelope's end. */
static int print_one(const struct envelope *envelope, const struct tri_client *client,
                     bool *is_last)
{
    const struct tri_frame *frame = &client->frame;
    int failed;

    switch ((uint32_t)frame->type) {
    case TRI_FRAME_ACK:
        return tri_cli_print(&envelope->cli, tri_json_ack(&frame->ack));
    case TRI_FRAME_NOTICE:
        return tri_cli_print(&envelope->cli, tri_json_notice(&frame->notice));
    case TRI_FRAME_ENVELOPE_ACK:
        failed = tri_cli_print(&envelope->cli, tri_json_envelope_ack(&frame->envelope_ack));
        *is_last = frame->envelope_ack.type != TRI_ACK_RECEIVED;
        return failed != 0 || frame->envelope_ack.type <= TRI_ACK_PROCESSED ? failed
                                                                            : TRI_CLI_REFUSED;
    case TRI_FRAME_ERROR:
        return tri_cli_error(&envelope->cli, &frame->error);
    default:
        (void)fprintf(stderr, "%s: the server sent a frame of type %u\n", envelope->cli.verb,
                      (unsigned)frame->type);
        return TRI_CLI_NO_ANSWER;
    }
}

static int submit_and_wait(const struct envelope *envelope, struct tri_client *client)
{
    static struct tri_frame frame;
    uint64_t deadline_ns = tri_cli_deadline_ns(&envelope->cli);
    bool is_last = false;
    int failed;

    frame.type = TRI_FRAME_ENVELOPE;
    frame.envelope = envelope->frame;
    failed = tri_client_send(client, &frame, deadline_ns);
    if (failed != 0) {
        return tri_cli_trouble(&envelope->cli, client, failed);
    }
    while (!is_last) {
        failed = tri_client_receive(client, deadline_ns);
        if (failed != 0) {
            return tri_cli_trouble(&envelope->cli, client, failed);
        }
        failed = print_one(envelope, client, &is_last);
        if (failed != 0) {
            return failed;
        }
    }
    return TRI_CLI_OK;
}

int tri_cli_envelope(int argc, char **argv)
{
    static const struct argp_child children[] = {{&tri_cli_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {NULL, parse_one, "FILE", doc, children, NULL, NULL};
    static struct envelope envelope;
    struct tri_client client = {0};
    uint32_t bytes = 128;
    int failed;

    tri_flags_parse(&argp, argc, argv, &envelope);
    load(&envelope);
    for (uint32_t i = 0; i < envelope.frame.count; i++) {
        make_delivery(&envelope, i);
        bytes += envelope.frame.deliveries[i].canonical.bytes + 3U;
    }
    if (bytes > TRI_FRAME_BYTES_MAX) {
        tri_flags_fail(envelope.cli.verb, "%s: more than a frame holds, 81920 bytes",
                       envelope.path);
    }
    failed = tri_cli_open(&envelope.cli, &client, TRI_ROLE_CLIENT);
    failed = failed == 0 ? submit_and_wait(&envelope, &client) : failed;
    tri_client_close(&client);
    for (uint32_t i = 0; i < envelope.frame.count; i++) {
        free(envelope.bytes[i]);
    }
    json_decref(envelope.file);
    return failed;
}
