/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs that read an archive of finality records (docs/finality.md) without a server:
 * finality show, finality prove, finality verify.  They change nothing, and a server may write the
 * archive meanwhile.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/cli.h"
#include "io/finality_files.h"
#include "io/finality_verify.h"
#include "io/json_finality.h"

#define PROOF_BYTES_MAX ((size_t)16 << 20)
#define FLAGS_MAX       64U /* of --key, and of --contains */
#define NOTES_MAX       64U
#define LINE_BYTES      512U
#define KEY_DIGITS      ((size_t)2 * TRI_SIGNER_PUBLIC_BYTES)
#define HASH_DIGITS     ((size_t)2 * TRI_DIGEST_BYTES)

enum {
    KEY_STREAM = 256,
    KEY_EPOCH,
    KEY_ID,
    KEY_TRUSTED,
    KEY_CONTAINS,
    KEY_COMPLETE,
};

struct finality {
    struct tri_cli cli; /* the verb alone */
    const char *path;
    bool is_prove;
    /* show, prove: what is wanted */
    bool has_stream;
    uint32_t epoch;
    uint32_t shard;
    uint64_t oss_epoch; /* 0 = all */
    struct tri_text id; /* 0 bytes: any */
    uint64_t shown;
    int result;
    /* verify */
    bool is_complete;
    uint32_t key_count;
    uint8_t keys[FLAGS_MAX][TRI_SIGNER_PUBLIC_BYTES];
    uint32_t wanted_count;
    struct tri_finality_wanted wanted[FLAGS_MAX];
    const char *wanted_text[FLAGS_MAX];
    json_t *notes;
};

static void __attribute__((format(printf, 2, 3)))
finality_trouble(struct finality *finality, const char *format, ...)
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

static void parse_stream(struct finality *finality, const char *text)
{
    if (!tri_stream_get(tri_cli_text(text), &finality->epoch, &finality->shard)) {
        tri_flags_fail(finality->cli.verb, "stream '%s': expected EPOCH-SHARD, such as 12-0", text);
    }
    finality->has_stream = true;
}

static void parse_key(struct finality *finality, const char *text)
{
    if (strlen(text) != KEY_DIGITS || finality->key_count == FLAGS_MAX ||
        !tri_hex_get(text, 2 * TRI_SIGNER_PUBLIC_BYTES, finality->keys[finality->key_count])) {
        tri_flags_fail(finality->cli.verb,
                       "key '%s': expected 64 hexadecimal digits in lower case, at most %u times",
                       text, FLAGS_MAX);
    }
    finality->key_count++;
}

static void parse_contains(struct finality *finality, const char *text)
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
                       "contains '%s': expected the hash of a record or of a line of the manifest, "
                       "64 hexadecimal digits in lower case, or EPOCH-SHARD.OSSEPOCH, at most %u "
                       "times",
                       text, FLAGS_MAX);
    }
    finality->wanted_text[finality->wanted_count] = text;
    finality->wanted_count++;
}

static void parse_id(struct finality *finality, const char *text)
{
    finality->id = tri_cli_text(text);
    if (finality->id.bytes == 0 || finality->id.bytes > TRI_ID_BYTES_MAX) {
        tri_flags_fail(finality->cli.verb, "id '%s': an id has 1 to 64 bytes", text);
    }
}

static void parse_end(const struct finality *finality)
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

static error_t parse_one(int key, char *text, struct argp_state *state)
{
    struct finality *finality = state->input;

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
static bool look_index(const struct finality *finality, const struct tri_archive_record *record,
                       uint32_t *index)
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

/* Shows the record if it is wanted, and if it is sound. */
static void look_record(struct finality *finality, const char *name, uint64_t offset,
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
        finality_trouble(finality, "%s/%s: offset %" PRIu64 ": %s", finality->path, name, offset,
                         fault);
        return;
    }
    if ((finality->oss_epoch > 0 && finality->oss_epoch != record.header.oss_epoch) ||
        !look_index(finality, &record, &index)) {
        return;
    }
    if (!tri_archive_record_check(&record, &fault) || !tri_archive_record_is_signed(&record)) {
        finality_trouble(finality, "%s/%s: ossEpoch %" PRIu64 ", offset %" PRIu64 ": %s",
                         finality->path, name, record.header.oss_epoch, offset,
                         fault != NULL ? fault : "its signature is not by the key that it names");
        return;
    }
    finality->shown++;
    if (tri_cli_print(&finality->cli, finality->is_prove
                                          ? tri_json_proof(&record, index)
                                          : tri_json_finality_record(&record)) != 0) {
        finality->result = TRI_CLI_NO_ANSWER;
    }
}

/* Whether all that is wanted was shown, or nothing more can be. */
static bool look_is_done(const struct finality *finality)
{
    return finality->result == TRI_CLI_NO_ANSWER ||
           (finality->shown > 0 && (finality->id.bytes > 0 || finality->oss_epoch > 0));
}

static void look_file(struct finality *finality, struct tri_finality_reader *reader, int dir,
                      const struct tri_finality_file *file)
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
        finality_trouble(finality, "%s/%s: %s", finality->path, name, strerror(-next));
    } else if (next > TRI_FINALITY_NEXT_TORN) {
        finality_trouble(finality, "%s/%s: offset %" PRIu64 ": no record begins here",
                         finality->path, name, reader->offset);
    }
}

/* Whether the file may have what is wanted; `behind` is the next one, NULL if there is none. */
static bool look_wants(const struct finality *finality, const struct tri_finality_file *file,
                       const struct tri_finality_file *behind)
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
    const struct finality *finality = context;

    (void)fprintf(stderr, "%s: %s/%s: not an archive's file, left out\n", finality->cli.verb,
                  finality->path, name);
}

static int look(struct finality *finality)
{
    struct tri_finality_reader reader = {0};
    struct tri_finality_dir dir;
    int failed = tri_finality_dir_open(&dir, finality->path, look_stranger, finality);

    if (failed != 0) {
        finality_trouble(finality, "%s: %s", finality->path, strerror(-failed));
        return finality->result;
    }
    failed = tri_finality_reader_init(&reader);
    for (uint32_t i = 0; i < dir.count && failed == 0 && !look_is_done(finality); i++) {
        if (look_wants(finality, &dir.files[i], i + 1 < dir.count ? &dir.files[i + 1] : NULL)) {
            look_file(finality, &reader, dir.at, &dir.files[i]);
        }
    }
    tri_finality_reader_fini(&reader);
    if (failed != 0) {
        finality_trouble(finality, "%s", strerror(-failed));
    } else if (finality->shown == 0 && finality->id.bytes > 0) {
        finality_trouble(finality, "%s: no record has the id '%s'", finality->path,
                         finality->id.at);
    } else if (finality->shown == 0 && finality->has_stream) {
        finality_trouble(finality, "%s: there is no such record", finality->path);
    }
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
        parse_one,
        "ARCHIVE",
        "Prints the records of an archive, one a line, by stream and ossEpoch.\vA record that does "
        "not hold is not shown but said on stderr.  Exit code 0: all that was asked for; 1: a "
        "record does not hold, or there is none.  Whether any is missing says tricast finality "
        "verify.",
        NULL,
        NULL,
        NULL};
    struct finality finality = {0};

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
        parse_one,
        "ARCHIVE",
        "Prints the proof that a message is in a record: one JSON object, which tricast finality "
        "verify checks without the archive.",
        NULL,
        NULL,
        NULL};
    struct finality finality = {.is_prove = true};

    tri_flags_parse(&argp, argc, argv, &finality);
    return look(&finality);
}

/* ---- verify: an archive ---- */

/* "PATH/FILE: line 3, offset 412: sentence". */
static void finding_put(const struct finality *finality, const struct tri_finality_finding *finding,
                        char line[LINE_BYTES])
{
    char number[64] = "";
    char *id = NULL;

    if (finding->line > 0) {
        (void)snprintf(number, sizeof(number), "line %" PRIu64 ", ", finding->line);
    } else if (finding->oss_epoch > 0) {
        (void)snprintf(number, sizeof(number), "ossEpoch %" PRIu64 ", ", finding->oss_epoch);
    }
    if (finding->id.bytes > 0) {
        json_t *text = json_stringn(finding->id.at, finding->id.bytes);

        id = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        json_decref(text);
    }
    (void)snprintf(line, LINE_BYTES, "%s/%s: %soffset %" PRIu64 ": %s%s%s", finality->path,
                   finding->file, number, finding->offset, finding->sentence,
                   id == NULL ? "" : ": ", id == NULL ? "" : id);
    free(id);
}

static void verify_fault(void *context, const struct tri_finality_finding *finding)
{
    char line[LINE_BYTES];

    finding_put(context, finding, line);
    finality_trouble(context, "%s", line);
}

static void verify_note(void *context, const struct tri_finality_finding *finding)
{
    const struct finality *finality = context;
    char line[LINE_BYTES];

    if (json_array_size(finality->notes) < NOTES_MAX) {
        finding_put(finality, finding, line);
        (void)json_array_append_new(finality->notes, json_string(line));
    }
}

static void verify_stream(void *context, const struct tri_finality_end *end)
{
    struct finality *finality = context;
    char stream[TRI_STREAM_BYTES_MAX];
    uint32_t bytes = tri_stream_put(end->epoch, end->shard, stream);
    const char *how = end->is_closed ? "closed" : end->is_torn ? "torn" : "open";

    if (tri_cli_print(
            &finality->cli,
            json_pack(
                "{s:o, s:I, s:I, s:I, s:I, s:s, s:o}", "stream", json_stringn(stream, bytes),
                "files", (json_int_t)end->files, "records", (json_int_t)end->records, "messages",
                (json_int_t)end->messages, "bytes", (json_int_t)end->bytes, "end", how, "head",
                end->is_known ? tri_json_hex(end->head, sizeof(end->head)) : json_null())) != 0) {
        finality->result = TRI_CLI_NO_ANSWER;
    }
}

static bool verify_is_trusted(const struct finality *finality, const uint8_t *key)
{
    for (uint32_t i = 0; i < finality->key_count; i++) {
        if (memcmp(finality->keys[i], key, TRI_SIGNER_PUBLIC_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *verify_keys(const struct finality *finality, const struct tri_finality_total *total)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < total->key_count; i++) {
        const struct tri_finality_key_seen *seen = &total->keys[i];

        (void)json_array_append_new(
            list, json_pack("{s:o, s:b, s:I, s:I}", "publicKey",
                            tri_json_hex(seen->key, sizeof(seen->key)), "trusted",
                            (int)verify_is_trusted(finality, seen->key), "manifestLines",
                            (json_int_t)seen->lines, "records", (json_int_t)seen->records));
    }
    return list;
}

static json_t *verify_summary(const struct finality *finality,
                              const struct tri_finality_total *total)
{
    return json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:I, s:O}", "archiveId",
        total->has_archive ? tri_json_hex(total->archive, sizeof(total->archive)) : json_null(),
        "streams", (json_int_t)total->streams, "openStreams", (json_int_t)total->open, "files",
        (json_int_t)total->files, "records", (json_int_t)total->records, "messages",
        (json_int_t)total->messages, "bytes", (json_int_t)total->bytes, "keys",
        verify_keys(finality, total), "manifestLines", (json_int_t)total->lines, "manifestChain",
        tri_json_hex(total->chain, sizeof(total->chain)), "faults", (json_int_t)total->faults,
        "notes", finality->notes);
}

static void verify_archive(struct finality *finality)
{
    static struct tri_finality_total total;
    const struct tri_finality_verify_options options = {
        .trusted = (const uint8_t(*)[TRI_SIGNER_PUBLIC_BYTES])finality->keys,
        .trusted_count = finality->key_count,
        .wanted = finality->wanted,
        .wanted_count = finality->wanted_count,
        .is_complete = finality->is_complete,
        .fault = verify_fault,
        .note = verify_note,
        .stream = verify_stream,
        .context = finality,
    };
    int failed = tri_finality_verify(finality->path, &options, &total);

    if (failed != 0) {
        finality_trouble(finality, "%s: %s", finality->path, strerror(-failed));
        return;
    }
    for (uint32_t i = 0; i < finality->wanted_count; i++) {
        if (!finality->wanted[i].is_found) {
            finality_trouble(finality, "%s: %s is not in it", finality->path,
                             finality->wanted_text[i]);
            total.faults++;
        }
    }
    if (finality->key_count == 0) {
        (void)json_array_append_new(
            finality->notes,
            json_string("nobody vouches for the keys: give the server's public key as --key"));
    }
    if (tri_cli_print(&finality->cli, verify_summary(finality, &total)) != 0) {
        finality->result = TRI_CLI_NO_ANSWER;
    }
}

/* ---- verify: a proof ---- */

/* Whether the proof's record is the one that is wanted. */
static bool verify_is_wanted(const struct tri_finality_wanted *wanted,
                             const struct tri_proof *proof)
{
    return wanted->epoch == 0 ? memcmp(wanted->hash, proof->hash, sizeof(wanted->hash)) == 0
                              : wanted->epoch == proof->epoch && wanted->shard == proof->shard &&
                                    wanted->oss_epoch == proof->oss_epoch;
}

static void verify_proof(struct finality *finality, const char *text, size_t bytes)
{
    struct tri_proof proof = {0};
    const char *fault = NULL;
    int failed = tri_proof_check(text, bytes, &proof, &fault);

    if (failed != 0) {
        finality_trouble(finality, "%s: %s", finality->path,
                         fault != NULL ? fault : strerror(-failed));
        return;
    }
    if (finality->key_count > 0 && !verify_is_trusted(finality, proof.key)) {
        finality_trouble(finality, "%s: it is signed by a key that is not trusted", finality->path);
    }
    for (uint32_t i = 0; i < finality->wanted_count; i++) {
        if (!verify_is_wanted(&finality->wanted[i], &proof)) {
            finality_trouble(finality, "%s: its record is not %s", finality->path,
                             finality->wanted_text[i]);
        }
    }
    if (finality->result != TRI_CLI_OK) {
        json_decref(proof.view);
        return;
    }
    (void)json_object_set_new(proof.view, "trusted", json_boolean(finality->key_count > 0));
    if (tri_cli_print(&finality->cli, proof.view) != 0) {
        finality->result = TRI_CLI_NO_ANSWER;
    }
}

static void verify_file(struct finality *finality)
{
    bool is_stdin = strcmp(finality->path, "-") == 0;
    int file = is_stdin ? STDIN_FILENO : open(finality->path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    size_t bytes = 0;
    int failed = file < 0 ? -errno : tri_finality_read_all(file, PROOF_BYTES_MAX, &text, &bytes);

    if (failed == 0) {
        verify_proof(finality, text, bytes);
    } else {
        finality_trouble(finality, "%s: %s", finality->path, strerror(-failed));
    }
    free(text);
    if (file > STDIN_FILENO) {
        (void)close(file);
    }
}

int tri_cli_finality_verify(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"key", KEY_TRUSTED, "HEX", 0, "Trust this public key, and only those given", 1},
        {"contains", KEY_CONTAINS, "HASH", 0,
         "This record, or line of the manifest, must be there: a hash that was noted, or "
         "EPOCH-SHARD.OSSEPOCH",
         1},
        {"complete", KEY_COMPLETE, NULL, 0,
         "Nothing writes it any more: streams that are open, and torn ends, are faults", 1},
        {0}};
    static const struct argp argp = {
        flags,
        parse_one,
        "ARCHIVE|PROOF|-",
        "Verifies a whole archive, or a proof.\vOf an archive: one line for each stream, and a "
        "summary, on stdout; one line for each fault on stderr.  Of a proof: what it proves, on "
        "stdout.  Exit code 0: sound; 1: there are faults.",
        NULL,
        NULL,
        NULL};
    static struct finality finality;
    struct stat info;

    tri_flags_parse(&argp, argc, argv, &finality);
    finality.notes = json_array();
    if (strcmp(finality.path, "-") != 0 && stat(finality.path, &info) == 0 &&
        S_ISDIR(info.st_mode)) {
        verify_archive(&finality);
    } else {
        verify_file(&finality);
    }
    json_decref(finality.notes);
    return finality.result;
}
