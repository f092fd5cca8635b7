/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb finality verify: a whole archive, or one proof (docs/finality.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/cli_finality.h"
#include "io/finality_files.h"
#include "io/json_finality.h"

#define PROOF_BYTES_MAX ((size_t)16 << 20)
#define NOTES_MAX       64U
#define LINE_BYTES      512U

/* ---- verify: an archive ---- */

/* "PATH/FILE: line 3, offset 412: sentence". */
static void finding_put(const struct tri_cli_finality *finality,
                        const struct tri_finality_finding *finding, char line[LINE_BYTES])
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
    tri_cli_finality_trouble(context, "%s", line);
}

static void verify_note(void *context, const struct tri_finality_finding *finding)
{
    const struct tri_cli_finality *finality = context;
    char line[LINE_BYTES];

    if (json_array_size(finality->notes) < NOTES_MAX) {
        finding_put(finality, finding, line);
        (void)json_array_append_new(finality->notes, json_string(line));
    }
}

static void verify_stream(void *context, const struct tri_finality_end *end)
{
    struct tri_cli_finality *finality = context;
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

static bool verify_is_trusted(const struct tri_cli_finality *finality, const uint8_t *key)
{
    for (uint32_t i = 0; i < finality->key_count; i++) {
        if (memcmp(finality->keys[i], key, TRI_SIGNER_PUBLIC_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *verify_keys(const struct tri_cli_finality *finality,
                           const struct tri_finality_total *total)
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

static json_t *verify_summary(const struct tri_cli_finality *finality,
                              const struct tri_finality_total *total)
{
    return json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:I, s:o, s:I, s:O}", "archiveId",
        total->has_archive ? tri_json_hex(total->archive, sizeof(total->archive)) : json_null(),
        "streams", (json_int_t)total->streams, "openStreams", (json_int_t)total->open, "files",
        (json_int_t)total->files, "records", (json_int_t)total->records, "messages",
        (json_int_t)total->messages, "bytes", (json_int_t)total->bytes, "keys",
        verify_keys(finality, total), "manifestLines", (json_int_t)total->lines, "manifestChain",
        tri_json_hex(total->chain, sizeof(total->chain)), "secondaryFacts",
        (json_int_t)total->facts, "secondaryChain",
        tri_json_hex(total->facts_chain, sizeof(total->facts_chain)), "faults",
        (json_int_t)total->faults, "notes", finality->notes);
}

static void verify_archive(struct tri_cli_finality *finality)
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
        tri_cli_finality_trouble(finality, "%s: %s", finality->path, strerror(-failed));
        return;
    }
    for (uint32_t i = 0; i < finality->wanted_count; i++) {
        if (!finality->wanted[i].is_found) {
            tri_cli_finality_trouble(finality, "%s: %s is not in it", finality->path,
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

static void verify_proof(struct tri_cli_finality *finality, const char *text, size_t bytes)
{
    struct tri_proof proof = {0};
    const char *fault = NULL;
    int failed = tri_proof_check(text, bytes, &proof, &fault);

    if (failed != 0) {
        tri_cli_finality_trouble(finality, "%s: %s", finality->path,
                                 fault != NULL ? fault : strerror(-failed));
        return;
    }
    if (finality->key_count > 0 && !verify_is_trusted(finality, proof.key)) {
        tri_cli_finality_trouble(finality, "%s: it is signed by a key that is not trusted",
                                 finality->path);
    }
    for (uint32_t i = 0; i < finality->wanted_count; i++) {
        if (!verify_is_wanted(&finality->wanted[i], &proof)) {
            tri_cli_finality_trouble(finality, "%s: its record is not %s", finality->path,
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

static void verify_file(struct tri_cli_finality *finality)
{
    bool is_stdin = strcmp(finality->path, "-") == 0;
    int file = is_stdin ? STDIN_FILENO : open(finality->path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    size_t bytes = 0;
    int failed = file < 0 ? -errno : tri_finality_read_all(file, PROOF_BYTES_MAX, &text, &bytes);

    if (failed == 0) {
        verify_proof(finality, text, bytes);
    } else {
        tri_cli_finality_trouble(finality, "%s: %s", finality->path, strerror(-failed));
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
         "This record, line of the manifest or fact of secondary must be there: a hash that was "
         "noted, or EPOCH-SHARD.OSSEPOCH",
         1},
        {"complete", KEY_COMPLETE, NULL, 0,
         "Nothing writes it any more: streams that are open, and torn ends, are faults", 1},
        {0}};
    static const struct argp argp = {
        flags,
        tri_cli_finality_parse,
        "ARCHIVE|PROOF|-",
        "Verifies a whole archive, or a proof.\vOf an archive: one line for each stream, and a "
        "summary, on stdout; one line for each fault on stderr.  Of a proof: what it proves, on "
        "stdout.  Exit code 0: sound; 1: there are faults.",
        NULL,
        NULL,
        NULL};
    static struct tri_cli_finality finality;
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
