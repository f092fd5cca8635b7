/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs that read an archive of finality records (docs/finality.md) without a server: finality
 * show and finality prove here, finality verify in cli_verify.c.  They change nothing, and a server
 * may write the archive meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/cli_finality.h"
#include "io/finality_files.h"
#include "io/json_finality.h"
#include "io/state.h"

#define MANIFEST_BYTES_MAX ((size_t)1 << 30)
#define KEY_DIGITS         ((size_t)2 * TRI_SIGNER_PUBLIC_BYTES)
#define HASH_DIGITS        ((size_t)2 * TRI_DIGEST_BYTES)

void tri_cli_finality_trouble(struct tri_cli_finality *finality, const char *format, ...)
{
    va_list arguments;

    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: ", finality->cli.verb);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    finality->result = TRI_CLI_REFUSED;
}

/* ---- flags ---- */

static void parse_stream(struct tri_cli_finality *finality, const char *text)
{
    if (!tri_stream_get(tri_cli_text(text), &finality->epoch, &finality->shard)) {
        tri_flags_fail(finality->cli.verb, "stream '%s': expected EPOCH-SHARD, such as 12-0", text);
    }
    finality->has_stream = true;
}

static void parse_key(struct tri_cli_finality *finality, const char *text)
{
    if (strlen(text) != KEY_DIGITS || finality->key_count == TRI_FINALITY_KEYS_MAX ||
        !tri_hex_get(text, 2 * TRI_SIGNER_PUBLIC_BYTES, finality->keys[finality->key_count])) {
        tri_flags_fail(finality->cli.verb,
                       "key '%s': expected 64 hexadecimal digits in lower case, at most %u times",
                       text, TRI_FINALITY_KEYS_MAX);
    }
    finality->key_count++;
}

static void parse_contains(struct tri_cli_finality *finality, const char *text)
{
    struct tri_finality_wanted *wanted = &finality->wanted[finality->wanted_count];
    const char *dot = strchr(text, '.');
    bool is_good = false;

    if (finality->wanted_count < FLAGS_MAX) {
        *wanted = (struct tri_finality_wanted){0};
        if (dot != NULL) {
            struct tri_text stream = {text, (uint32_t)(dot - text)};

            is_good = tri_stream_get(stream, &wanted->epoch, &wanted->shard) &&
                      tri_flags_decimal(dot + 1, 1, UINT64_MAX, &wanted->oss_epoch);
        } else {
            is_good = strlen(text) == HASH_DIGITS &&
                      tri_hex_get(text, 2 * TRI_DIGEST_BYTES, wanted->hash);
        }
    }
    if (!is_good) {
        tri_flags_fail(finality->cli.verb,
                       "contains '%s': expected the hash of a record, of a line of the manifest or "
                       "of a fact of secondary, 64 hexadecimal digits in lower case, or "
                       "EPOCH-SHARD.OSSEPOCH, at most %u times",
                       text, FLAGS_MAX);
    }
    finality->wanted_text[finality->wanted_count] = text;
    finality->wanted_count++;
}

static void parse_id(struct tri_cli_finality *finality, const char *text)
{
    finality->id = tri_cli_text(text);
    if (finality->id.bytes == 0 || finality->id.bytes > TRI_ID_BYTES_MAX) {
        tri_flags_fail(finality->cli.verb, "id '%s': an id has 1 to 64 bytes", text);
    }
}

static void parse_end(const struct tri_cli_finality *finality)
{
    if (finality->path == NULL) {
        tri_flags_fail(finality->cli.verb, "a path is missing; see --help");
    }
    if (finality->oss_epoch > 0 && !finality->has_stream) {
        tri_flags_fail(finality->cli.verb, "epoch: it needs --stream");
    }
    if (finality->is_prove && finality->id.bytes == 0) {
        tri_flags_fail(finality->cli.verb, "id: it is missing; see --help");
    }
}

error_t tri_cli_finality_parse(int key, char *text, struct argp_state *state)
{
    struct tri_cli_finality *finality = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_flags_begin(state);
        finality->cli.verb = state->argv[0];
        return 0;
    case KEY_STREAM:
        parse_stream(finality, text);
        return 0;
    case KEY_EPOCH:
        finality->oss_epoch = tri_flags_uint(finality->cli.verb, "epoch", text, 1, UINT64_MAX);
        return 0;
    case KEY_ID:
        parse_id(finality, text);
        return 0;
    case KEY_TRUSTED:
        parse_key(finality, text);
        return 0;
    case KEY_CONTAINS:
        parse_contains(finality, text);
        return 0;
    case KEY_COMPLETE:
        finality->is_complete = true;
        return 0;
    case ARGP_KEY_ARG:
        if (finality->path != NULL) {
            tri_flags_fail(finality->cli.verb, "'%s': one path is enough", text);
        }
        finality->path = text;
        return 0;
    case ARGP_KEY_END:
        parse_end(finality);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- show, prove ---- */

/* The message with the id that is wanted, or 0 if any will do; false: it is not in the record. */
static bool look_index(const struct tri_cli_finality *finality,
                       const struct tri_archive_record *record, uint32_t *index)
{
    struct tri_bytes rest = record->entries;
    struct tri_archive_entry entry;

    *index = 0;
    if (finality->id.bytes == 0) {
        return true;
    }
    for (; tri_archive_entry_next(&rest, &entry); ++*index) {
        struct tri_leaf leaf;
        const char *fault = NULL;

        if (tri_leaf_get(entry.leaf, &leaf, &fault) && leaf.id.bytes == finality->id.bytes &&
            memcmp(leaf.id.at, finality->id.at, leaf.id.bytes) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *look_place(const struct tri_cli_finality *finality,
                          const struct tri_archive_record *record, struct tri_text id)
{
    static const char *const names[] = {
        [TRI_PENDING_PLACE_PENDING] = "PENDING",
        [TRI_PENDING_PLACE_RECONCILIATION] = "RECONCILIATION",
        [TRI_PENDING_PLACE_SECONDARY_FINAL] = "SECONDARY_FINAL",
    };
    uint32_t epoch = 0;
    uint32_t shard = 0;

    if (finality->is_place_unknown || !tri_stream_get(record->header.stream, &epoch, &shard)) {
        return json_null();
    }
    return json_string(finality->is_off
                           ? "OFF"
                           : names[tri_finality_facts_place(&finality->facts, epoch, shard,
                                                            record->header.oss_epoch, id)]);
}

/* The record, and where it and each of its messages are (F05). */
static json_t *look_view(const struct tri_cli_finality *finality,
                         const struct tri_archive_record *record)
{
    json_t *view = tri_json_finality_record(record);
    json_t *messages = json_object_get(view, "messages");

    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *message = json_array_get(messages, i);
        const json_t *id = json_object_get(message, "originalMessageId");

        (void)json_object_set_new(
            message, "place",
            look_place(finality, record,
                       (struct tri_text){json_string_value(id), (uint32_t)json_string_length(id)}));
    }
    if (view != NULL) {
        (void)json_object_set_new(view, "place",
                                  look_place(finality, record, (struct tri_text){"", 0}));
    }
    return view;
}

/* Shows the record if it is wanted, and if it is sound. */
static void look_record(struct tri_cli_finality *finality, const char *name, uint64_t offset,
                        struct tri_bytes body)
{
    struct tri_archive_record record;
    const char *fault = NULL;
    uint32_t index = 0;

    if (finality->id.bytes > 0 &&
        memmem(body.at, body.bytes, finality->id.at, finality->id.bytes) == NULL) {
        return; /* whatever it is, the id is not in it */
    }
    if (!tri_archive_record_get(body, &record, &fault)) {
        tri_cli_finality_trouble(finality, "%s/%s: offset %" PRIu64 ": %s", finality->path, name,
                                 offset, fault);
        return;
    }
    if ((finality->oss_epoch > 0 && finality->oss_epoch != record.header.oss_epoch) ||
        !look_index(finality, &record, &index)) {
        return;
    }
    if (!tri_archive_record_check(&record, &fault) || !tri_archive_record_is_signed(&record)) {
        tri_cli_finality_trouble(finality, "%s/%s: ossEpoch %" PRIu64 ", offset %" PRIu64 ": %s",
                                 finality->path, name, record.header.oss_epoch, offset,
                                 fault != NULL ? fault
                                               : "its signature is not by the key that it names");
        return;
    }
    finality->shown++;
    if (tri_cli_print(&finality->cli, finality->is_prove ? tri_json_proof(&record, index)
                                                         : look_view(finality, &record)) != 0) {
        finality->result = TRI_CLI_NO_ANSWER;
    }
}

/* Whether all that is wanted was shown, or nothing more can be. */
static bool look_is_done(const struct tri_cli_finality *finality)
{
    return finality->result == TRI_CLI_NO_ANSWER ||
           (finality->shown > 0 && (finality->id.bytes > 0 || finality->oss_epoch > 0));
}

static void look_file(struct tri_cli_finality *finality, struct tri_finality_reader *reader,
                      int dir, const struct tri_finality_file *file)
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    struct tri_bytes body;
    int next;

    tri_archive_name_put(file->epoch, file->shard, file->first, name);
    next = tri_finality_reader_open(reader, dir, name);
    while (next == 0 && !look_is_done(finality)) {
        next = tri_finality_reader_next(reader, &body);
        if (next == TRI_FINALITY_NEXT_RECORD) {
            look_record(finality, name, reader->offset, body);
        }
    }
    if (next < 0) {
        tri_cli_finality_trouble(finality, "%s/%s: %s", finality->path, name, tri_state_why(next));
    } else if (next > TRI_FINALITY_NEXT_TORN) {
        tri_cli_finality_trouble(finality, "%s/%s: offset %" PRIu64 ": no record begins here",
                                 finality->path, name, reader->offset);
    }
}

/* Whether the file may have what is wanted; `behind` is the next one, NULL if there is none. */
static bool look_wants(const struct tri_cli_finality *finality,
                       const struct tri_finality_file *file, const struct tri_finality_file *behind)
{
    if (!finality->has_stream) {
        return true;
    }
    if (file->epoch != finality->epoch || file->shard != finality->shard) {
        return false;
    }
    return finality->oss_epoch == 0 ||
           (file->first <= finality->oss_epoch &&
            (behind == NULL || behind->epoch != file->epoch || behind->shard != file->shard ||
             behind->first > finality->oss_epoch));
}

static void look_stranger(void *context, const char *name)
{
    const struct tri_cli_finality *finality = context;

    (void)fprintf(stderr, "%s: %s/%s: not an archive's file, left out\n", finality->cli.verb,
                  finality->path, name);
}

/* Whether no start of a server had a settlement: it would keep contents then, or have noted
 * something.  False too if that cannot be known. */
static bool look_is_off(int directory)
{
    int file = tri_state_file(directory, TRI_SECONDARY_NAME);
    char *text = NULL;
    size_t bytes = 0;
    size_t at = 0;
    bool is_off = file == -ENOENT;

    if (!is_off) {
        (void)close(file);
        return false;
    }
    file = tri_state_file(directory, TRI_ARCHIVE_MANIFEST_NAME);
    is_off = file >= 0 && tri_finality_read_all(file, MANIFEST_BYTES_MAX, &text, &bytes) == 0;
    if (file >= 0) {
        (void)close(file);
    }
    for (const char *end;
         is_off && at < bytes && (end = memchr(text + at, '\n', bytes - at)) != NULL;
         at = (size_t)(end - text) + 1) {
        struct tri_text line_text = {text + at, (uint32_t)((size_t)(end - text) - at)};
        struct tri_archive_line line;
        const char *fault = NULL;

        is_off = !tri_archive_line_get(line_text, &line, &fault) ||
                 line.fact != TRI_ARCHIVE_FACT_OPEN || !line.is_content_kept;
    }
    free(text);
    return is_off;
}

/* Reads what was said of the records, before any of them: it may be about the last ones. */
static void look_facts(struct tri_cli_finality *finality, int directory)
{
    const char *fault = NULL;
    uint64_t offset = 0;
    int next = tri_finality_facts_read(&finality->facts, directory, &offset, &fault);

    finality->is_off = look_is_off(directory);
    if (next < 0 || next == TRI_SECONDARY_NEXT_DAMAGED) {
        finality->is_place_unknown = true;
        tri_cli_finality_trouble(finality, "%s/%s: offset %" PRIu64 ": %s", finality->path,
                                 TRI_SECONDARY_NAME, offset,
                                 next < 0 ? tri_state_why(next) : fault);
    }
}

/* Says why nothing was shown, if that was not said. */
static void look_nothing(struct tri_cli_finality *finality, const struct tri_finality_dir *dir)
{
    if (dir->count == 0 &&
        faccessat(dir->at, TRI_ARCHIVE_MANIFEST_NAME, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        tri_cli_finality_trouble(
            finality, "%s: it is no archive: it has neither manifest nor records", finality->path);
    } else if (finality->id.bytes > 0) {
        tri_cli_finality_trouble(finality, "%s: no record has the id '%s'", finality->path,
                                 finality->id.at);
    } else if (finality->has_stream) {
        tri_cli_finality_trouble(finality, "%s: there is no such record", finality->path);
    } else if (finality->result == TRI_CLI_OK) {
        tri_cli_finality_trouble(finality, "%s: there is no record in it", finality->path);
    }
}

static int look(struct tri_cli_finality *finality)
{
    struct tri_finality_reader reader = {0};
    struct tri_finality_dir dir;
    int failed = tri_finality_dir_open(&dir, finality->path, look_stranger, finality);

    if (failed != 0) {
        tri_cli_finality_trouble(finality, "%s: %s", finality->path, strerror(-failed));
        return finality->result;
    }
    if (!finality->is_prove) {
        look_facts(finality, dir.at);
    }
    failed = tri_finality_reader_init(&reader);
    for (uint32_t i = 0; i < dir.count && failed == 0 && !look_is_done(finality); i++) {
        if (look_wants(finality, &dir.files[i], i + 1 < dir.count ? &dir.files[i + 1] : NULL)) {
            look_file(finality, &reader, dir.at, &dir.files[i]);
        }
    }
    tri_finality_reader_fini(&reader);
    if (failed != 0) {
        tri_cli_finality_trouble(finality, "%s", strerror(-failed));
    } else if (finality->shown == 0) {
        look_nothing(finality, &dir);
    }
    tri_finality_facts_fini(&finality->facts);
    tri_finality_dir_close(&dir);
    return finality->result;
}

int tri_cli_finality_show(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"stream", KEY_STREAM, "EPOCH-SHARD", 0, "Only this stream", 1},
        {"epoch", KEY_EPOCH, "OSSEPOCH", 0, "Only this record of the stream", 1},
        {"id", KEY_ID, "ID", 0, "Only the record that this message is in", 1},
        {0}};
    static const struct argp argp = {
        flags,
        tri_cli_finality_parse,
        "ARCHIVE",
        "Prints the records of an archive, one a line, by stream and ossEpoch.\vA record that does "
        "not hold is not shown but said on stderr.  Exit code 0: all that was asked for; 1: a "
        "record does not hold, or there is none.  Whether any is missing says tricast finality "
        "verify.",
        NULL,
        NULL,
        NULL};
    struct tri_cli_finality finality = {0};

    tri_flags_parse(&argp, argc, argv, &finality);
    return look(&finality);
}

int tri_cli_finality_prove(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"id", KEY_ID, "ID", 0, "The message", 1},
        {"stream", KEY_STREAM, "EPOCH-SHARD", 0, "Look in this stream alone", 1},
        {0}};
    static const struct argp argp = {
        flags,
        tri_cli_finality_parse,
        "ARCHIVE",
        "Prints the proof that a message is in a record: one JSON object, which tricast finality "
        "verify checks without the archive.",
        NULL,
        NULL,
        NULL};
    struct tri_cli_finality finality = {.is_prove = true};

    tri_flags_parse(&argp, argc, argv, &finality);
    return look(&finality);
}
