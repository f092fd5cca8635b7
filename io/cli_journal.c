/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs that read a journal's directory (docs/journal.md) and change nothing:
 * journal check, journal show.  Each runs once and leaves descriptors to the end of the program.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "io/cli.h"
#include "io/journal.h"

#define LOOK_NAME_BYTES 4096U
#define LOOK_PLACES     3U

enum {
    KEY_PAYLOAD = 256,
    KEY_STREAM,
};

struct journal_look {
    const char *verb;
    const char *path;
    bool wants_payload;
    bool has_stream;
    uint32_t epoch; /* of the stream that is wanted */
    uint32_t stream;
};

static void parse_stream(struct journal_look *look, char *text)
{
    char *dash = strchr(text, '-');
    uint64_t epoch = 0;
    uint64_t stream = 0;

    if (dash != NULL) {
        *dash = '\0';
    }
    if (dash == NULL || !tri_flags_decimal(text, 0, UINT32_MAX, &epoch) ||
        !tri_flags_decimal(dash + 1, 0, UINT32_MAX, &stream)) {
        tri_flags_fail(look->verb, "stream '%s': expected EPOCH-STREAM, as check prints it", text);
    }
    look->epoch = (uint32_t)epoch;
    look->stream = (uint32_t)stream;
    look->has_stream = true;
}

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct journal_look *look = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_flags_begin(state);
        look->verb = state->argv[0];
        return 0;
    case KEY_PAYLOAD:
        look->wants_payload = true;
        return 0;
    case KEY_STREAM:
        parse_stream(look, text);
        return 0;
    case ARGP_KEY_ARG:
        if (look->path != NULL) {
            tri_flags_fail(look->verb, "'%s': one directory is enough", text);
        }
        look->path = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
        tri_flags_fail(look->verb, "a directory is missing; see --help");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int look_trouble(const struct journal_look *look, const char *trouble)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: %s\n", look->verb, trouble);
    return TRI_CLI_REFUSED;
}

/* Where io/state.h's lock may lie: in the directory, or beside it, under its own name too if that
 * is a link to elsewhere; "" = no such place. */
static void look_lock_name(const char *path, uint32_t place, char name[LOOK_NAME_BYTES])
{
    size_t bytes = strlen(path);

    if (place < 2) {
        (void)snprintf(name, LOOK_NAME_BYTES, "%s/%s", path, place == 0 ? "lock" : "../lock");
        return;
    }
    while (bytes > 1 && path[bytes - 1] == '/') {
        bytes--;
    }
    name[0] = '\0';
    if (bytes == 0 || path[bytes - 1] == '.') {
        return; /* it may be "." or ".." */
    }
    while (bytes > 0 && path[bytes - 1] != '/') {
        bytes--;
    }
    if (bytes < LOOK_NAME_BYTES - sizeof("lock")) {
        (void)snprintf(name, LOOK_NAME_BYTES, "%.*slock", (int)bytes, path);
    }
}

/* Holds the directory until the program ends, so that nobody begins to write while it is read;
 * false if a process owns it. */
static bool look_hold(const char *path)
{
    for (uint32_t place = 0; place < LOOK_PLACES; place++) {
        char name[LOOK_NAME_BYTES];
        int file = -1;

        look_lock_name(path, place, name);
        file = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (file >= 0 && flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            return false;
        }
    }
    return true;
}

/* Opens the directory, or returns the exit code. */
static int look_open(const struct journal_look *look, struct tri_journal_dir **dir)
{
    static const struct tri_journal_dir_options options = {.is_read_only = true};
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];

    if (!look_hold(look->path)) {
        (void)snprintf(trouble, sizeof(trouble),
                       "%s: a running process writes it, and what is half written looks damaged; "
                       "stop it first",
                       look->path);
        (void)look_trouble(look, trouble);
        return TRI_CLI_NO_ANSWER;
    }
    if (tri_journal_dir_open(dir, look->path, &options, trouble) != 0) {
        return look_trouble(look, trouble);
    }
    if (tri_journal_dir_epoch(*dir) == 0) {
        (void)snprintf(trouble, sizeof(trouble), "%s: there is no journal here", look->path);
        tri_journal_dir_close(*dir);
        return look_trouble(look, trouble);
    }
    return TRI_CLI_OK;
}

static bool look_wants(const struct journal_look *look, const struct tri_journal_stream *stream)
{
    return !look->has_stream || (look->epoch == stream->epoch && look->stream == stream->stream);
}

/* ---- check ---- */

static void check_print(const struct tri_journal_stream *stream)
{
    const char *end = stream->is_ended ? "in order" : stream->is_torn ? "torn" : "cut";

    (void)printf("{\"stream\":\"%u-%u\",\"slots\":[%u,%u],\"segments\":%u,\"blocks\":%" PRIu64
                 ",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"neededLsn\":%" PRIu64
                 ",\"lsn\":%" PRIu64 ",\"end\":\"%s\",\"endSegment\":%u,\"endOffset\":%" PRIu64
                 "}\n",
                 stream->epoch, stream->stream, stream->slot_first, stream->slot_last,
                 stream->segments, stream->blocks, stream->records, stream->bytes,
                 stream->lsn_needed, stream->lsn, end, stream->cut_segment, stream->cut_offset);
}

int tri_cli_journal_check(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"stream", KEY_STREAM, "EPOCH-STREAM", 0, "Only this stream", 1}, {0}};
    static const struct argp argp = {
        flags,
        parse_one,
        "DIR",
        "Reads a journal from end to end and says whether it is sound: one line for each stream on "
        "stdout, one line for each damage on stderr.\vA stream ends \"in order\" after a clean "
        "stop, \"cut\" after a kill, \"torn\" if pieces of writes that nobody was told of lie "
        "behind its end; all three are sound.  Exit code 0: a server can start from it; 1: it "
        "is damaged, or there is none; 3: it is in use.",
        NULL,
        NULL,
        NULL};
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
    struct journal_look look = {0};
    struct tri_journal_dir *dir = NULL;
    int result = 0;

    tri_flags_parse(&argp, argc, argv, &look);
    result = look_open(&look, &dir);
    if (result != TRI_CLI_OK) {
        return result;
    }
    for (uint32_t i = 0; i < tri_journal_dir_streams(dir); i++) {
        const struct tri_journal_stream *stream = tri_journal_dir_stream(dir, i);

        if (!look_wants(&look, stream)) {
            continue;
        }
        if (tri_journal_dir_scan(dir, i, trouble) == 0) {
            check_print(stream);
        } else {
            result = look_trouble(&look, trouble);
        }
    }
    tri_journal_dir_close(dir);
    return fflush(stdout) == 0 ? result : TRI_CLI_NO_ANSWER;
}

/* ---- show ---- */

static const char *show_own(uint16_t type)
{
    switch (type) {
    case TRI_LOG_TYPE_CHAINS:
        return "CHAINS";
    case TRI_LOG_TYPE_END:
        return "END";
    default:
        return "?";
    }
}

static int show_take(void *context, const struct tri_journal_entry *entry)
{
    const struct journal_look *look = context;
    const struct tri_log_record *record = &entry->record;

    (void)printf("{\"stream\":\"%u-%u\",\"segment\":%u,\"offset\":%" PRIu64 ",\"block\":%" PRIu64
                 ",\"lsn\":%" PRIu64,
                 entry->epoch, entry->stream, entry->segment, entry->offset, entry->seq,
                 record->lsn);
    if (record->type >= TRI_LOG_TYPE_OWN) {
        (void)printf(",\"type\":\"%s\"", show_own(record->type));
    } else {
        (void)printf(",\"type\":%u,\"slot\":%u", record->type, record->slot);
    }
    (void)printf(",\"bytes\":%u", record->bytes);
    if (look->wants_payload) {
        (void)fputs(",\"payload\":\"", stdout);
        for (uint32_t i = 0; i < record->bytes; i++) {
            (void)printf("%02x", record->payload[i]);
        }
        (void)putchar('"');
    }
    return puts("}") == EOF ? TRI_CLI_NO_ANSWER : 0;
}

int tri_cli_journal_show(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"payload", KEY_PAYLOAD, NULL, 0, "The payloads too, in hexadecimal", 1},
        {"stream", KEY_STREAM, "EPOCH-STREAM", 0, "Only this stream", 1},
        {0}};
    static const struct argp argp = {
        flags,
        parse_one,
        "DIR",
        "Prints the records of a journal, in order, up to its end or the first damage.\vExit codes "
        "as of tricast journal check.",
        NULL,
        NULL,
        NULL};
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
    struct journal_look look = {0};
    struct tri_journal_dir *dir = NULL;
    int result = 0;

    tri_flags_parse(&argp, argc, argv, &look);
    result = look_open(&look, &dir);
    if (result != TRI_CLI_OK) {
        return result;
    }
    for (uint32_t i = 0; i < tri_journal_dir_streams(dir) && result != TRI_CLI_NO_ANSWER; i++) {
        if (look_wants(&look, tri_journal_dir_stream(dir, i))) {
            int shown = tri_journal_dir_look(dir, i, show_take, &look, trouble);

            result = shown < 0 ? look_trouble(&look, trouble) : shown == 0 ? result : shown;
        }
    }
    tri_journal_dir_close(dir);
    return fflush(stdout) == 0 ? result : TRI_CLI_NO_ANSWER;
}
