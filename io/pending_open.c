/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest tells how many records and messages a closed stream has, so of streams that are
 * pending as a whole, or not at all, no record is read.  Of the others the headers are, to count
 * the messages that are left.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "io/finality_files.h"
#include "io/pending_internal.h"

#define MANIFEST_BYTES_MAX (UINT64_C(1) << 30)

static int open_say(struct tri_pending *pending, const char *name, int failed, const char *what)
{
    (void)snprintf(pending->trouble, sizeof(pending->trouble), "%s/%s: %s", pending->path, name,
                   what);
    return failed;
}

/* ---- the archive ---- */

static int open_manifest(struct tri_pending *pending, int directory,
                         struct tri_archive_manifest *manifest)
{
    int file = openat(directory, TRI_ARCHIVE_MANIFEST_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const char *fault = NULL;
    char *text = NULL;
    size_t bytes = 0;
    int failed = file < 0 ? -errno : 0;

    if (failed == 0) {
        failed = tri_finality_read_all(file, MANIFEST_BYTES_MAX, &text, &bytes);
        (void)close(file);
    }
    if (failed == 0) {
        failed = tri_archive_manifest_read(manifest, text, bytes, &fault);
        free(text);
    }
    return failed == 0 ? 0
                       : open_say(pending, TRI_ARCHIVE_MANIFEST_NAME, failed,
                                  failed == -EBADMSG ? fault : strerror(-failed));
}

static void open_stranger(void *context, const char *name)
{
    (void)context;
    (void)name; /* whoever verifies the archive says so */
}

/* The files of the stream; *next is the first of the list that is not before it. */
static int open_files(struct tri_pending *pending, struct pending_stream *stream,
                      const struct tri_finality_dir *dir, uint32_t *next)
{
    const struct tri_finality_file *files = dir->files;
    uint32_t from = *next;
    uint32_t to = 0;

    while (from < dir->count &&
           (files[from].epoch < stream->epoch ||
            (files[from].epoch == stream->epoch && files[from].shard < stream->shard))) {
        from++;
    }
    to = from;
    while (to < dir->count && files[to].epoch == stream->epoch &&
           files[to].shard == stream->shard) {
        to++;
    }
    *next = to;
    if (to == from) {
        return 0;
    }
    stream->files = calloc(to - from, sizeof(*stream->files));
    if (stream->files == NULL) {
        return open_say(pending, "", -ENOMEM, strerror(ENOMEM));
    }
    stream->file_room = to - from;
    stream->file_count = to - from;
    for (uint32_t i = from; i < to; i++) {
        stream->files[i - from].first = files[i].first;
    }
    return 0;
}

static void open_forget(struct pending_stream *stream)
{
    for (uint32_t i = 0; i < stream->file_count; i++) {
        free(stream->files[i].offsets);
    }
    free(stream->files);
    free(stream->words);
}

/* Finds the last record of a stream. */
static int open_last(struct tri_pending *pending, struct pending_stream *stream,
                     const struct tri_archive_stream *known, const struct tri_finality_dir *dir,
                     uint32_t *next)
{
    int failed = open_files(pending, stream, dir, next);

    if (failed == 0 && known->is_closed) {
        stream->last = known->records;
    } else if (failed == 0) {
        failed = tri_pending_find_last(pending, stream);
    }
    stream->written = stream->last;
    stream->opened = stream->last;
    return failed;
}

static int open_streams(struct tri_pending *pending, const struct tri_archive_manifest *manifest,
                        const struct tri_finality_dir *dir)
{
    uint32_t next = 0;
    int failed = 0;

    for (uint32_t i = 0; i < manifest->stream_count && failed == 0; i++) {
        const struct tri_archive_stream *known = &manifest->streams[i];

        if (known->is_content_kept) {
            struct pending_stream *stream = tri_pending_stream(pending, known->epoch, known->shard);

            failed = stream == NULL ? open_say(pending, "", -ENOMEM, strerror(ENOMEM))
                                    : open_last(pending, stream, known, dir, &next);
            pending->records += failed == 0 ? stream->last : 0;
        } else {
            struct pending_stream before = {.epoch = known->epoch, .shard = known->shard};

            failed = open_last(pending, &before, known, dir, &next);
            pending->before += before.last;
            open_forget(&before);
            pending->files[PENDING_WALKER_OLDEST].stream = NULL; /* another one may lie there */
        }
    }
    return failed;
}

/* ---- what is known of it ---- */

static const char *take_settled(struct tri_pending *pending, struct pending_stream *stream,
                                const struct tri_secondary_fact *fact)
{
    struct pending_note *note = NULL;

    if (!fact->is_equal) {
        note = tri_pending_notes_make(&pending->notes, tri_pending_key(stream), fact->oss_epoch);
        if (note == NULL) {
            return "no memory for it";
        }
        pending->contested += note->is_contested ? 0 : 1;
        note->is_contested = true;
        pending->differences++;
        return NULL;
    }
    if (!tri_pending_is_final(stream, fact->oss_epoch)) {
        if (!tri_pending_grow(stream, fact->oss_epoch)) {
            return "no memory for it";
        }
        tri_pending_finish(pending, stream, fact->oss_epoch);
    }
    note = tri_pending_notes_find(&pending->notes, tri_pending_key(stream), fact->oss_epoch);
    tri_pending_notes_settled(pending, note);
    return NULL;
}

static const char *take_handed(struct tri_pending *pending, const struct pending_stream *stream,
                               const struct tri_secondary_fact *fact)
{
    struct pending_note *note = NULL;
    struct tri_hash id = tri_pending_id_hash(fact->id);

    if (tri_pending_is_final(stream, fact->oss_epoch)) {
        return "it hands over a message of a record that was confirmed before";
    }
    note = tri_pending_notes_make(&pending->notes, tri_pending_key(stream), fact->oss_epoch);
    if (note == NULL) {
        return "no memory for it";
    }
    if (tri_pending_note_has(note, &id)) {
        return "it hands over a message for the second time";
    }
    if (!tri_pending_note_grow(note)) {
        return "no memory for it";
    }
    tri_pending_note_hand(note, &id);
    pending->handed++;
    return NULL;
}

static const char *open_take(void *context, const struct tri_secondary_fact *fact)
{
    struct tri_pending *pending = context;
    struct pending_stream *stream = NULL;

    if (fact->kind == TRI_SECONDARY_SEQUENCER) {
        pending->is_up = fact->is_up;
        return NULL;
    }
    stream = tri_pending_find(pending, fact->epoch, fact->shard);
    if (stream == NULL || fact->oss_epoch > stream->last) {
        return "it names a record that the archive does not have";
    }
    return fact->kind == TRI_SECONDARY_SETTLED ? take_settled(pending, stream, fact)
                                               : take_handed(pending, stream, fact);
}

/* Counts the messages that are pending. */
static int open_count(struct tri_pending *pending, const struct tri_archive_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->stream_count; i++) {
        const struct tri_archive_stream *known = &manifest->streams[i];
        struct pending_stream *stream = tri_pending_find(pending, known->epoch, known->shard);
        uint64_t messages = known->messages;

        if (!known->is_content_kept) {
            continue;
        }
        assert(stream != NULL);
        if (!known->is_closed || stream->cursor > 0 || stream->final_beyond > 0) {
            int failed = tri_pending_count(pending, stream, &messages);

            if (failed != 0) {
                return failed;
            }
        }
        pending->messages += messages;
    }
    return 0;
}

/* ---- all of it ---- */

static int open_archive(struct tri_pending *pending)
{
    struct tri_archive_manifest manifest = {0};
    struct tri_finality_dir dir = {.at = -1};
    int failed = tri_finality_dir_open(&dir, pending->path, open_stranger, NULL);

    if (failed != 0) {
        return open_say(pending, "", failed, strerror(-failed));
    }
    pending->directory = fcntl(dir.at, F_DUPFD_CLOEXEC, 0);
    failed = pending->directory < 0 ? open_say(pending, "", -errno, strerror(errno)) : 0;
    failed = failed == 0 ? open_manifest(pending, dir.at, &manifest) : failed;
    failed = failed == 0 ? open_streams(pending, &manifest, &dir) : failed;
    if (failed == 0) {
        failed =
            tri_secondary_open(&pending->secondary, pending->path, pending->options.is_read_only,
                               open_take, pending, pending->trouble);
    }
    failed = failed == 0 ? open_count(pending, &manifest) : failed;
    if (failed == 0 && pending->messages < pending->handed) {
        failed = open_say(pending, TRI_SECONDARY_NAME, -EBADMSG,
                          "more messages are handed over than the records have");
    }
    tri_pending_hold(pending);
    tri_archive_manifest_fini(&manifest);
    tri_finality_dir_close(&dir);
    return failed;
}

static void open_defaults(struct tri_pending_options *options)
{
    options->gap_s = options->gap_s == 0 ? 300 : options->gap_s;
    options->redeliveries_per_s =
        options->redeliveries_per_s == 0 ? 10 : options->redeliveries_per_s;
    options->redeliveries_max = options->redeliveries_max == 0 ? 5 : options->redeliveries_max;
    options->redelivery_pause_s =
        options->redelivery_pause_s == 0 ? 60 : options->redelivery_pause_s;
    assert(options->redeliveries_per_s <= TRI_PENDING_REDELIVERIES_PER_S_MAX);
    assert(options->redeliveries_max <= TRI_PENDING_REDELIVERIES_MAX);
    assert(options->gap_s <= UINT32_MAX && options->redelivery_pause_s <= UINT32_MAX);
}

int tri_pending_open(struct tri_pending **pending, const char *path,
                     const struct tri_pending_options *options,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_pending *it = calloc(1, sizeof(*it));
    int failed = it == NULL ? -ENOMEM : 0;

    assert(pending != NULL && path != NULL && options != NULL);
    *pending = NULL;
    (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "%s: %s", path, strerror(ENOMEM));
    if (it != NULL) {
        it->options = *options;
        it->directory = -1;
        it->is_up = true;
        for (uint32_t i = 0; i < PENDING_WALKER_COUNT; i++) {
            it->files[i].file = -1;
        }
        open_defaults(&it->options);
        (void)getrandom(&it->notes.random, sizeof(it->notes.random), 0);
    }
    if (it != NULL && options->is_on) {
        it->path = strdup(path);
        it->buffer = malloc(PENDING_BUFFER_BYTES);
        it->driven = calloc(PENDING_DRIVEN_MAX, sizeof(*it->driven));
        it->chains = calloc(PENDING_CHAINS_ROOM, sizeof(*it->chains));
        failed = it->path == NULL || it->buffer == NULL || it->driven == NULL || it->chains == NULL
                     ? -ENOMEM
                     : 0;
        if (failed == 0) {
            failed = open_archive(it);
            memcpy(trouble, it->trouble, TRI_ARCHIVE_TROUBLE_BYTES);
        }
    }
    if (failed != 0) {
        tri_pending_close(it);
        return failed;
    }
    trouble[0] = '\0';
    *pending = it;
    return 0;
}

void tri_pending_close(struct tri_pending *pending)
{
    if (pending == NULL) {
        return;
    }
    for (uint32_t i = 0; i < PENDING_WALKER_COUNT; i++) {
        if (pending->files[i].file >= 0) {
            (void)close(pending->files[i].file);
        }
    }
    if (pending->directory >= 0) {
        (void)close(pending->directory);
    }
    tri_secondary_close(pending->secondary);
    for (uint32_t i = 0; i < pending->stream_count; i++) {
        open_forget(pending->streams[i]);
        free(pending->streams[i]);
    }
    free(pending->streams);
    tri_pending_notes_free(&pending->notes);
    free(pending->driven);
    free(pending->chains);
    free(pending->buffer);
    free(pending->path);
    free(pending);
}
