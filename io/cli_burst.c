/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A burst keeps a window of messages open and counts what becomes of them.
 *
 * A message is named by its number, which its id carries, so an answer finds
 * the message's send time without a table of ids.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/cli_submit.h"
#include "io/clock.h"

#define NUMBER_DIGITS        6
#define ID_SUFFIX_MAX        9U /* '-' and up to eight digits */
#define ANSWERED             UINT64_C(0)
#define MS_PER_NS            1e-6
#define ASSET_ROOM           (TRI_ASSET_ID_BYTES_MAX + ID_SUFFIX_MAX + 1U)
#define RESULTS              4U /* terminal ackTypes */
#define PERCENTILE(p, count) ((uint32_t)((p) / 100.0 * ((double)(count)-1.0) + 0.5))

struct burst {
    struct tri_submission *submission;
    struct tri_client *client;
    struct tri_frame frame;
    char id[TRI_ID_BYTES_MAX + ID_SUFFIX_MAX + 1U];
    char assets[TRI_ASSETS_MAX][ASSET_ROOM];
    struct tri_text prefixes[TRI_ASSETS_MAX];
    uint64_t *sent_ns;    /* by number; ANSWERED once the result is there */
    uint64_t *latency_ns; /* of those with a result, in order of arrival */
    uint32_t sent;
    uint32_t answered;
    uint64_t results[RESULTS];
    uint64_t codes[TRI_ERROR_VALUE_MAX + 1U];
    uint64_t notices;
    uint64_t strays; /* frames that belong to no open message of the burst */
};

/* Writes message n into burst->frame. */
static void burst_message(struct burst *burst, uint32_t n)
{
    struct tri_submission *submission = burst->submission;
    struct tri_message *message = &burst->frame.submit;

    *message = submission->message;
    (void)snprintf(burst->id, sizeof(burst->id), "%.*s-%u", (int)submission->message.id.bytes,
                   submission->message.id.at, n);
    message->id = tri_cli_text(burst->id);
    for (uint32_t i = 0; i < message->asset_count; i++) {
        (void)snprintf(burst->assets[i], ASSET_ROOM, "%.*s%0*u", (int)burst->prefixes[i].bytes,
                       burst->prefixes[i].at, NUMBER_DIGITS, n);
        message->assets[i] = tri_cli_text(burst->assets[i]);
    }
    tri_submission_payload(submission, message->assets[0]);
    message->payload = submission->message.payload;
}

/* The number in an id of this burst; false if it is none of it. */
static bool burst_number(const struct burst *burst, struct tri_text id, uint32_t *n)
{
    struct tri_text prefix = burst->submission->message.id;
    char digits[ID_SUFFIX_MAX + 1U];
    uint32_t count;
    uint64_t value;

    if (id.bytes <= prefix.bytes + 1U || memcmp(id.at, prefix.at, prefix.bytes) != 0 ||
        id.at[prefix.bytes] != '-') {
        return false;
    }
    count = id.bytes - prefix.bytes - 1U;
    if (count > ID_SUFFIX_MAX) {
        return false;
    }
    memcpy(digits, id.at + prefix.bytes + 1U, count);
    digits[count] = '\0';
    if (!tri_flags_decimal(digits, 0, burst->sent - 1U, &value)) {
        return false;
    }
    *n = (uint32_t)value;
    return true;
}

/* Takes a result or an ERROR: both end the message. */
static void burst_result(struct burst *burst, struct tri_text id, enum tri_ack_type type,
                         enum tri_error code)
{
    uint32_t n;

    if (burst->sent == 0U || !burst_number(burst, id, &n) || burst->sent_ns[n] == ANSWERED) {
        burst->strays++;
        return;
    }
    assert(type < RESULTS);
    assert((uint32_t)code <= TRI_ERROR_VALUE_MAX);
    burst->latency_ns[burst->answered++] = tri_clock_now_ns() - burst->sent_ns[n];
    burst->sent_ns[n] = ANSWERED;
    burst->results[type]++;
    burst->codes[code]++;
}

static void burst_frame(struct burst *burst)
{
    const struct tri_frame *frame = &burst->client->frame;

    switch (frame->type) {
    case TRI_FRAME_ACK:
        if (frame->ack.type != TRI_ACK_RECEIVED) {
            burst_result(burst, frame->ack.id, frame->ack.type, frame->ack.code);
        }
        break;
    case TRI_FRAME_NOTICE:
        burst->notices++;
        break;
    case TRI_FRAME_ERROR:
        burst_result(burst, frame->error.id, TRI_ACK_REJECTED, frame->error.code);
        break;
    default:
        burst->strays++;
        break;
    }
}

/* Keeps the window full and takes answers until all are there: 0 or -errno. */
static int burst_run(struct burst *burst)
{
    uint32_t total = burst->submission->burst;
    uint32_t window = burst->submission->in_flight;
    int failed = 0;

    while (burst->answered < total && failed == 0) {
        uint64_t deadline_ns = tri_cli_deadline_ns(&burst->submission->cli);

        while (burst->sent < total && burst->sent - burst->answered < window && failed == 0) {
            burst_message(burst, burst->sent);
            burst->sent_ns[burst->sent++] = tri_clock_now_ns();
            failed = tri_client_send(burst->client, &burst->frame, deadline_ns);
        }
        if (failed == 0) {
            failed = tri_client_receive(burst->client, deadline_ns);
        }
        while (failed == 0) {
            burst_frame(burst);
            failed = burst->answered < total ? tri_client_poll(burst->client) : -EAGAIN;
        }
        failed = failed == -EAGAIN ? 0 : failed;
    }
    return failed;
}

static int latency_compare(const void *a, const void *b)
{
    const uint64_t *one = a;
    const uint64_t *other = b;

    return (*one > *other) - (*one < *other);
}

static json_t *burst_summary(struct burst *burst, uint64_t elapsed_ns)
{
    static const double percentiles[] = {50.0, 99.0, 99.9, 100.0};
    static const char *const names[] = {"p50", "p99", "p999", "max"};
    double seconds = (double)elapsed_ns / (double)TRI_NS_PER_S;
    json_t *results = json_object();
    json_t *codes = json_object();
    json_t *latency = json_object();

    for (uint32_t i = TRI_ACK_PROCESSED; i < RESULTS; i++) {
        (void)json_object_set_new(results, tri_ack_type_name((enum tri_ack_type)i),
                                  json_integer((json_int_t)burst->results[i]));
    }
    for (uint32_t i = 1; i <= TRI_ERROR_VALUE_MAX; i++) {
        if (burst->codes[i] > 0U) {
            (void)json_object_set_new(codes, tri_error_name((enum tri_error)i),
                                      json_integer((json_int_t)burst->codes[i]));
        }
    }
    if (burst->answered > 0U) {
        qsort(burst->latency_ns, burst->answered, sizeof(*burst->latency_ns), latency_compare);
        for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            uint64_t ns = burst->latency_ns[PERCENTILE(percentiles[i], burst->answered)];

            (void)json_object_set_new(latency, names[i], json_real((double)ns * MS_PER_NS));
        }
    }
    return json_pack(
        "{s:s, s:I, s:I, s:o, s:o, s:I, s:I, s:f, s:f, s:o}", "view", "BURST", "messages",
        (json_int_t)burst->sent, "unanswered", (json_int_t)(burst->sent - burst->answered),
        "results", results, "errorCodes", codes, "notices", (json_int_t)burst->notices,
        "strayFrames", (json_int_t)burst->strays, "seconds", seconds, "messagesPerSecond",
        (double)burst->answered / (seconds > 0.0 ? seconds : 1.0), "latencyMs", latency);
}

int tri_cli_burst(struct tri_submission *submission, struct tri_client *client)
{
    static struct burst burst;
    uint64_t begin_ns;
    int failed;
    int printed;

    if (submission->message.id.bytes + ID_SUFFIX_MAX > TRI_ID_BYTES_MAX) {
        tri_flags_fail(submission->cli.verb, "id: with --burst it has at most 55 bytes");
    }
    for (uint32_t i = 0; i < submission->message.asset_count; i++) {
        burst.prefixes[i] = submission->message.assets[i];
        if (burst.prefixes[i].bytes + ID_SUFFIX_MAX > TRI_ASSET_ID_BYTES_MAX) {
            tri_flags_fail(submission->cli.verb, "asset: with --burst it has at most 119 bytes");
        }
    }
    burst.submission = submission;
    burst.client = client;
    burst.frame.type = TRI_FRAME_SUBMIT;
    burst.sent_ns = calloc(submission->burst, sizeof(*burst.sent_ns));
    burst.latency_ns = calloc(submission->burst, sizeof(*burst.latency_ns));
    if (burst.sent_ns == NULL || burst.latency_ns == NULL) {
        tri_flags_fail(submission->cli.verb, "burst: no memory for %u messages", submission->burst);
    }
    begin_ns = tri_clock_now_ns();
    failed = burst_run(&burst);
    printed = tri_cli_print(&submission->cli, burst_summary(&burst, tri_clock_now_ns() - begin_ns));
    free(burst.sent_ns);
    free(burst.latency_ns);
    if (failed != 0) {
        return tri_cli_trouble(&submission->cli, client, failed);
    }
    return printed;
}
