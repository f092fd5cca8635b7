/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory is listed before the manifest is read, and the manifest before any file: a server
 * writes a line before the first file of the stream that it opens, and a stream's last record
 * before the line that closes it.  So whatever it writes meanwhile, nothing that is listed lacks
 * its line, and nothing that a line speaks of is missing.  A file that began after the listing is
 * found by its name, which is the number of the record that is due.
 */
#include "io/finality_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "io/state.h"

#define SENTENCE_BYTES 256U

/* One stream, record by record. */
struct walk {
    struct tri_finality_verify_state *verify;
    const struct tri_archive_stream *stream;
    struct tri_finality_end end;
    char file[TRI_ARCHIVE_NAME_BYTES_MAX];
    uint64_t offset;
    uint64_t first; /* in the file's name */
    uint64_t next;  /* the ossEpoch that is due */
    bool is_previous_known;
    uint8_t previous[TRI_DIGEST_BYTES];
    bool is_lost;  /* its counts are not what was written: that has been said */
    bool is_stuck; /* no record can be found behind the place where it stands */
};

void tri_finality_fault(struct tri_finality_verify_state *verify,
                        struct tri_finality_finding finding)
{
    verify->total->faults++;
    verify->options->fault(verify->options->context, &finding);
}

static void verify_stranger(void *context, const char *name)
{
    tri_finality_fault(context,
                       (struct tri_finality_finding){
                           .file = name, .sentence = "its name is none of an archive's files"});
}

void tri_finality_key(struct tri_finality_verify_state *verify,
                      const uint8_t key[TRI_SIGNER_PUBLIC_BYTES],
                      const struct tri_finality_finding *place)
{
    const struct tri_finality_verify_options *options = verify->options;
    struct tri_finality_total *total = verify->total;
    struct tri_finality_finding finding = *place;
    bool is_trusted = options->trusted_count == 0;
    uint32_t i = 0;

    for (uint32_t t = 0; t < options->trusted_count && !is_trusted; t++) {
        is_trusted = memcmp(options->trusted[t], key, TRI_SIGNER_PUBLIC_BYTES) == 0;
    }
    if (!is_trusted) {
        finding.sentence = "it is signed by a key that is not trusted";
        tri_finality_fault(verify, finding);
    }
    while (i < total->key_count && memcmp(total->keys[i].key, key, TRI_SIGNER_PUBLIC_BYTES) != 0) {
        i++;
    }
    if (i == TRI_FINALITY_KEYS_MAX) {
        finding.sentence = "it is signed by a key more than an archive may have";
        tri_finality_fault(verify, finding);
        return;
    }
    if (i == total->key_count) {
        memcpy(total->keys[i].key, key, TRI_SIGNER_PUBLIC_BYTES);
        total->key_count++;
    }
    total->keys[i].lines += place->line > 0 ? 1 : 0;
    total->keys[i].records += place->line > 0 ? 0 : 1;
}

void tri_finality_found_hash(struct tri_finality_verify_state *verify,
                             const uint8_t hash[TRI_DIGEST_BYTES])
{
    for (uint32_t i = 0; i < verify->options->wanted_count; i++) {
        struct tri_finality_wanted *wanted = &verify->options->wanted[i];

        wanted->is_found |= wanted->epoch == 0 && memcmp(wanted->hash, hash, TRI_DIGEST_BYTES) == 0;
    }
}

static void verify_found_record(struct tri_finality_verify_state *verify,
                                const struct tri_archive_stream *stream, uint64_t oss_epoch)
{
    for (uint32_t i = 0; i < verify->options->wanted_count; i++) {
        struct tri_finality_wanted *wanted = &verify->options->wanted[i];

        wanted->is_found |= wanted->epoch == stream->epoch && wanted->shard == stream->shard &&
                            wanted->oss_epoch == oss_epoch;
    }
}

/* ---- records ---- */

static struct tri_finality_finding walk_place(const struct walk *walk, const char *sentence)
{
    return (struct tri_finality_finding){
        .file = walk->file, .offset = walk->offset, .oss_epoch = walk->next, .sentence = sentence};
}

static void walk_fault(struct walk *walk, const char *sentence)
{
    tri_finality_fault(walk->verify, walk_place(walk, sentence));
}

/* A fault behind which the chain and the counts cannot be judged. */
static void walk_lose(struct walk *walk, const char *sentence)
{
    walk_fault(walk, sentence);
    walk->is_previous_known = false;
    walk->is_lost = true;
}

/* Whether the record is the one that is due here. */
static void walk_follows(struct walk *walk, const struct tri_finality_header *header)
{
    const struct tri_finality_total *total = walk->verify->total;
    char sentence[SENTENCE_BYTES];
    uint32_t epoch = 0;
    uint32_t shard = 0;

    if (total->has_archive &&
        memcmp(header->archive, total->archive, sizeof(total->archive)) != 0) {
        walk_fault(walk, "the record is of another archive");
    }
    if (!tri_stream_get(header->stream, &epoch, &shard) || epoch != walk->stream->epoch ||
        shard != walk->stream->shard) {
        (void)snprintf(sentence, sizeof(sentence), "the record is of stream %.*s",
                       (int)header->stream.bytes, header->stream.at);
        walk_lose(walk, sentence);
    } else if (header->oss_epoch != walk->next) {
        (void)snprintf(sentence, sizeof(sentence), "the record of ossEpoch %llu stands here",
                       (unsigned long long)header->oss_epoch);
        walk_lose(walk, sentence);
    } else if (walk->is_previous_known &&
               memcmp(walk->previous, header->previous, sizeof(walk->previous)) != 0) {
        walk_fault(walk, header->oss_epoch == 1
                             ? "it does not name the line of the manifest that opened its stream"
                             : "it does not name the record before it");
    }
}

/* What only the whole archive tells of a record's messages. */
static void walk_entries(struct walk *walk, const struct tri_archive_record *record)
{
    struct tri_finality_verify_state *verify = walk->verify;
    struct tri_bytes rest = record->entries;
    struct tri_archive_entry entry;
    bool is_content_odd = false;

    while (tri_archive_entry_next(&rest, &entry)) {
        const char *fault = NULL;
        struct tri_leaf leaf;
        int added;

        is_content_odd |= (entry.content.bytes > 0) != walk->stream->is_content_kept;
        if (!tri_leaf_get(entry.leaf, &leaf, &fault)) {
            continue; /* the record's own check has said so */
        }
        added = tri_id_set_add(&verify->ids, leaf.id);
        verify->is_memory_out |= added < 0;
        if (added == 0) {
            struct tri_finality_finding place =
                walk_place(walk, "an id of it is in another record, or in this one twice");

            place.id = leaf.id;
            tri_finality_fault(verify, place);
        }
    }
    if (is_content_odd) {
        walk_fault(walk, walk->stream->is_content_kept
                             ? "a content is missing, but the stream was opened with them"
                             : "a content stands in it, but the stream was opened without them");
    }
}

static void walk_record(struct walk *walk, struct tri_bytes body)
{
    struct tri_finality_verify_state *verify = walk->verify;
    struct tri_finality_finding place;
    struct tri_archive_record record;
    const char *fault = NULL;
    bool is_sound = true;

    walk->end.bytes += TRI_ARCHIVE_FRAME_BYTES + body.bytes;
    if (!tri_archive_record_get(body, &record, &fault)) {
        walk_lose(walk, fault);
        walk->next++;
        return;
    }
    walk_follows(walk, &record.header);
    place = walk_place(walk, NULL);
    tri_finality_key(verify, record.header.key, &place);
    if (!tri_archive_record_is_signed(&record)) {
        walk_fault(walk, "its signature is not by the key that it names");
        is_sound = false;
    }
    if (!tri_archive_record_check(&record, &fault)) {
        walk_fault(walk, fault);
        is_sound = false;
    }
    walk_entries(walk, &record);
    tri_finality_secondary_record(verify, walk->stream->epoch, walk->stream->shard, &record,
                                  is_sound);
    tri_finality_header_hash(record.header_bytes, walk->previous);
    walk->is_previous_known = true;
    tri_finality_found_hash(verify, walk->previous);
    verify_found_record(verify, walk->stream, record.header.oss_epoch);
    walk->next = record.header.oss_epoch + (record.header.oss_epoch < UINT64_MAX ? 1 : 0);
    walk->end.records++;
    walk->end.messages += record.header.message_count;
}

/* Where the file ends within a record. */
static void walk_tail(struct walk *walk, int next, bool is_last)
{
    const struct tri_finality_verify_options *options = walk->verify->options;

    walk->is_stuck = true;
    if (next == TRI_FINALITY_NEXT_NONE) {
        walk_lose(walk, "no record has such a length");
    } else if (next == TRI_FINALITY_NEXT_CUT) {
        walk_lose(walk, "its length is not that of the record behind it");
    } else if (!is_last || walk->stream->is_closed) {
        walk_lose(walk, "the file ends within a record");
    } else {
        struct tri_finality_finding place =
            walk_place(walk, "a record that is torn or being written");

        walk->end.is_torn = true;
        if (options->is_complete) {
            walk_fault(walk, place.sentence);
        } else {
            options->note(options->context, &place);
        }
    }
}

static void walk_read(struct walk *walk, bool is_last)
{
    struct tri_finality_reader *reader = &walk->verify->reader;
    struct tri_bytes body;
    int next = 0;

    walk->is_stuck = false;
    walk->offset = 0;
    walk->end.files++;
    while (!walk->verify->is_memory_out) {
        next = tri_finality_reader_next(reader, &body);
        walk->offset = reader->offset;
        if (next != TRI_FINALITY_NEXT_RECORD) {
            break;
        }
        walk_record(walk, body);
    }
    if (next < 0) {
        walk->is_stuck = true;
        walk_lose(walk, strerror(-next));
    } else if (next > TRI_FINALITY_NEXT_END) {
        walk_tail(walk, next, is_last);
    } else if (walk->offset == 0 && !is_last) {
        walk_lose(walk, "the file is empty, but others follow it");
    }
}

/* Reads the file that begins with the record `first`; false if it is not listed and not there. */
static bool walk_file(struct walk *walk, uint64_t first, bool is_listed, bool is_last)
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    int failed;

    tri_archive_name_put(walk->stream->epoch, walk->stream->shard, first, name);
    failed = tri_finality_reader_open(&walk->verify->reader, walk->verify->dir.at, name);
    if (failed == -ENOENT && !is_listed) {
        return false;
    }
    if (first != walk->next) {
        tri_archive_name_put(walk->stream->epoch, walk->stream->shard,
                             first > walk->next ? walk->next : first, walk->file);
        walk->offset = 0;
        walk_lose(walk, first > walk->next ? "the file is missing"
                                           : "its name has an ossEpoch of the file before it");
    }
    memcpy(walk->file, name, sizeof(name));
    walk->first = first;
    walk->next = first;
    walk->offset = 0;
    if (failed != 0) {
        walk_lose(walk, tri_state_why(failed));
        walk->is_stuck = true;
    } else {
        walk_read(walk, is_last);
    }
    return true;
}

static void walk_end(struct walk *walk)
{
    const struct tri_finality_verify_options *options = walk->verify->options;
    struct tri_finality_total *total = walk->verify->total;
    const struct tri_archive_stream *stream = walk->stream;
    struct tri_finality_end *end = &walk->end;
    char sentence[SENTENCE_BYTES];

    end->is_known = walk->is_previous_known && end->records > 0;
    if (end->is_known) {
        memcpy(end->head, walk->previous, sizeof(end->head));
    }
    if (!stream->is_closed && options->is_complete) {
        walk_fault(walk, "the manifest does not close the stream");
    }
    if (stream->is_closed && !walk->is_lost &&
        (stream->records != end->records || stream->messages != end->messages ||
         memcmp(stream->head, end->head, sizeof(stream->head)) != 0)) {
        (void)snprintf(sentence, sizeof(sentence),
                       "the stream ends here with %llu records and %llu messages; the manifest "
                       "closed it with %llu and %llu, or with another last record",
                       (unsigned long long)end->records, (unsigned long long)end->messages,
                       (unsigned long long)stream->records, (unsigned long long)stream->messages);
        walk_fault(walk, sentence);
    }
    if (walk->is_lost) {
        tri_finality_secondary_lost(walk->verify, stream->epoch, stream->shard);
    }
    total->open += stream->is_closed ? 0 : 1;
    total->streams++;
    total->files += end->files;
    total->records += end->records;
    total->messages += end->messages;
    total->bytes += end->bytes;
    options->stream(options->context, end);
}

/* Reads a stream; its files that were listed are those from `from` to before `to`. */
static void walk_stream(struct tri_finality_verify_state *verify,
                        const struct tri_archive_stream *stream, uint32_t from, uint32_t to)
{
    struct walk walk = {.verify = verify, .stream = stream, .next = 1, .is_previous_known = true};
    uint64_t last = 0;

    walk.end.epoch = stream->epoch;
    walk.end.shard = stream->shard;
    walk.end.is_closed = stream->is_closed;
    memcpy(walk.previous, stream->origin, sizeof(walk.previous));
    tri_archive_name_put(stream->epoch, stream->shard, 1, walk.file);
    for (uint32_t i = from; i < to; i++) {
        last = verify->dir.files[i].first;
        (void)walk_file(&walk, last, true, i + 1 == to);
    }
    /* Each one begins behind the one before, or this would not end. */
    while (!walk.is_stuck && !verify->is_memory_out && walk.next > last &&
           walk_file(&walk, walk.next, false, true)) {
        last = walk.first;
    }
    walk_end(&walk);
}

/* Goes through streams and files side by side; both are in order. */
static void verify_streams(struct tri_finality_verify_state *verify)
{
    const struct tri_finality_file *files = verify->dir.files;
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    uint32_t from = 0;

    for (uint32_t i = 0; i < verify->dir.count; i++) {
        if (tri_finality_stream_find(verify, files[i].epoch, files[i].shard) == NULL) {
            tri_archive_name_put(files[i].epoch, files[i].shard, files[i].first, name);
            tri_finality_fault(verify,
                               (struct tri_finality_finding){
                                   .file = name, .sentence = "the manifest opens no such stream"});
        }
    }
    for (uint32_t i = 0; i < verify->stream_count && !verify->is_memory_out; i++) {
        const struct tri_archive_stream *stream = &verify->streams[i];
        uint32_t to;

        while (from < verify->dir.count &&
               (files[from].epoch < stream->epoch ||
                (files[from].epoch == stream->epoch && files[from].shard < stream->shard))) {
            from++;
        }
        for (to = from; to < verify->dir.count && files[to].epoch == stream->epoch &&
                        files[to].shard == stream->shard;) {
            to++;
        }
        walk_stream(verify, stream, from, to);
        from = to;
    }
}

int tri_finality_verify(const char *path, const struct tri_finality_verify_options *options,
                        struct tri_finality_total *total)
{
    struct tri_finality_verify_state verify = {.options = options, .total = total};
    uint64_t random = 0;
    int failed;

    assert(path != NULL && options != NULL && total != NULL);
    assert(options->fault != NULL && options->note != NULL && options->stream != NULL);
    *total = (struct tri_finality_total){0};
    failed = tri_finality_dir_open(&verify.dir, path, verify_stranger, &verify);
    if (failed != 0) {
        return failed;
    }
    (void)getrandom(&random, sizeof(random), 0);
    tri_id_set_init(&verify.ids, random);
    failed = tri_finality_reader_init(&verify.reader);
    if (failed == 0) {
        tri_finality_secondary_read(&verify);
        tri_finality_manifest_read(&verify);
        verify_streams(&verify);
        tri_finality_secondary_end(&verify);
        failed = verify.is_memory_out ? -ENOMEM : 0;
    }
    tri_finality_reader_fini(&verify.reader);
    tri_finality_dir_close(&verify.dir);
    tri_id_set_fini(&verify.ids);
    free(verify.streams);
    tri_finality_facts_fini(&verify.facts);
    return failed;
}
