/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record is found from the nearest place before it that is known: where some walker stands in its
 * file, or what the file's index has.  The archivist tells the index of new files; that of an old
 * one grows as far as somebody has walked, so a file is walked through once, in big reads, and then
 * no record is further away than a stride.
 *
 * Which files there are was listed at the beginning.  Where the last known one ends, the next one
 * begins with the record that is due, and is named after it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/pending_internal.h"
#include "io/state.h"

#define PEEK_BYTES 1024U /* enough for the headers of most records */
/* The beginning of a record whose header is as long as headers get. */
#define PEEK_BYTES_MAX \
    (TRI_ARCHIVE_FRAME_BYTES + TRI_FINALITY_HEADER_BYTES_MAX + TRI_FINALITY_SIGNATURE_BYTES + 16U)
#define READ_BYTES (UINT32_C(4) << 10)  /* enough for most records */
#define WALK_BYTES (UINT32_C(64) << 10) /* of a walk, at a time */

int tri_pending_say(struct tri_pending *pending, const struct pending_stream *stream,
                    uint64_t first, uint64_t offset, int failed, const char *what)
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    tri_archive_name_put(stream->epoch, stream->shard, first, name);
    (void)snprintf(pending->trouble, sizeof(pending->trouble), "%s/%s: offset %" PRIu64 ": %s",
                   pending->path, name, offset, what);
    return failed;
}

/* ---- files ---- */

/* Opens a file of the stream for the walker, if it is not open; returns 0 or -errno. */
static int read_open(struct tri_pending *pending, const struct pending_stream *stream,
                     uint64_t first, enum pending_walker walker)
{
    struct pending_file *file = &pending->files[walker];
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    if (file->file >= 0 && file->stream == stream && file->first == first) {
        return 0;
    }
    if (file->file >= 0) {
        (void)close(file->file);
    }
    tri_archive_name_put(stream->epoch, stream->shard, first, name);
    *file = (struct pending_file){
        .file = tri_state_file(pending->directory, name), .stream = stream, .first = first};
    return file->file < 0 ? file->file : 0;
}

/* Reads until `count` bytes are there or the file ends; returns how many, or -errno. */
static ssize_t read_at(int file, uint8_t *to, size_t count, uint64_t offset)
{
    size_t used = 0;
    ssize_t got = 1;

    while (got != 0 && used < count) {
        got = pread(file, to + used, count - used, (off_t)(offset + used));
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)used;
}

/* Makes a file known whose records stand behind all known ones. */
static bool read_add_file(struct pending_stream *stream, uint64_t first)
{
    if (stream->file_count == stream->file_room) {
        uint32_t room = stream->file_room == 0 ? 4 : 2 * stream->file_room;
        struct pending_index *more = realloc(stream->files, room * sizeof(*more));

        if (more == NULL) {
            return false;
        }
        stream->files = more;
        stream->file_room = room;
    }
    stream->files[stream->file_count++] = (struct pending_index){.first = first};
    return true;
}

/* The last file that begins at or before the record; NULL: none is known. */
static struct pending_index *read_file_of(const struct pending_stream *stream, uint64_t oss_epoch)
{
    uint32_t low = 0;
    uint32_t high = stream->file_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (stream->files[middle].first <= oss_epoch) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : &stream->files[low - 1];
}

bool tri_pending_index(struct pending_stream *stream, uint64_t first, uint64_t oss_epoch,
                       uint64_t offset)
{
    struct pending_index *index = read_file_of(stream, first);

    assert(oss_epoch > first);
    if (index == NULL || index->first < first) {
        if (!read_add_file(stream, first)) {
            return false;
        }
        index = &stream->files[stream->file_count - 1];
    }
    assert(index->first == first);
    if (oss_epoch - first != (index->count + UINT64_C(1)) * PENDING_STRIDE) {
        return true;
    }
    if (index->count == index->room) {
        uint32_t room = index->room == 0 ? 16 : 2 * index->room;
        uint64_t *more = realloc(index->offsets, room * sizeof(*more));

        if (more == NULL) {
            return false;
        }
        index->offsets = more;
        index->room = room;
    }
    index->offsets[index->count++] = offset;
    return true;
}

/* ---- finding ---- */

/* The nearest known place at or before the record; its offset may be the end of its file. */
static struct pending_mark read_nearest(const struct pending_stream *stream, uint64_t oss_epoch)
{
    struct pending_mark nearest = {.oss_epoch = 1, .first = 1};
    const struct pending_index *index = read_file_of(stream, oss_epoch);

    if (index != NULL) {
        uint64_t strides = (oss_epoch - index->first) / PENDING_STRIDE;

        strides = strides < index->count ? strides : index->count;
        nearest.first = index->first;
        nearest.oss_epoch = index->first + strides * PENDING_STRIDE;
        nearest.offset = strides == 0 ? 0 : index->offsets[strides - 1];
    }
    for (uint32_t i = 0; i < PENDING_WALKER_COUNT; i++) {
        const struct pending_mark *mark = &stream->marks[i];

        if (mark->oss_epoch <= oss_epoch && mark->oss_epoch > nearest.oss_epoch &&
            mark->first == nearest.first) {
            nearest = *mark;
        }
    }
    return nearest;
}

/* Goes over the end of a file to the next one; returns whether there is one, or -errno. */
static int read_next_file(struct tri_pending *pending, struct pending_stream *stream,
                          enum pending_walker walker, struct pending_mark *mark)
{
    int failed = read_open(pending, stream, mark->oss_epoch, walker);

    if (failed == -ENOENT) {
        return 0;
    }
    if (failed != 0) {
        return tri_pending_say(pending, stream, mark->oss_epoch, 0, failed, strerror(-failed));
    }
    if ((stream->file_count == 0 ||
         stream->files[stream->file_count - 1].first < mark->oss_epoch) &&
        !read_add_file(stream, mark->oss_epoch)) {
        return tri_pending_say(pending, stream, mark->oss_epoch, 0, -ENOMEM, strerror(ENOMEM));
    }
    mark->first = mark->oss_epoch;
    mark->offset = 0;
    mark->bytes = 0;
    return 1;
}

/* Reads up to `count` bytes at the mark, in the next file if this one ends there; returns how many,
 * 0 if nothing is there, or -errno. */
static ssize_t read_mark(struct tri_pending *pending, struct pending_stream *stream,
                         enum pending_walker walker, struct pending_mark *mark, size_t count)
{
    int failed = read_open(pending, stream, mark->first, walker);
    ssize_t got = 0;

    if (failed == -ENOENT && mark->offset == 0 && mark->first == 1) {
        return 0; /* it has no record yet */
    }
    if (failed != 0) {
        return tri_pending_say(pending, stream, mark->first, 0, failed, strerror(-failed));
    }
    got = read_at(pending->files[walker].file, pending->buffer, count, mark->offset);
    if (got == 0 && mark->offset > 0) {
        failed = read_next_file(pending, stream, walker, mark);
        if (failed <= 0) {
            return failed;
        }
        got = read_at(pending->files[walker].file, pending->buffer, count, mark->offset);
    }
    if (got < 0) {
        return tri_pending_say(pending, stream, mark->first, mark->offset, (int)got,
                               strerror((int)-got));
    }
    return got;
}

static int read_damaged(struct tri_pending *pending, const struct pending_stream *stream,
                        const struct pending_mark *mark, const char *fault)
{
    char sentence[256];

    (void)snprintf(sentence, sizeof(sentence),
                   "%s; the archive is damaged: restore the file from a backup", fault);
    return tri_pending_say(pending, stream, mark->first, mark->offset, -EBADMSG, sentence);
}

/* Moves the mark behind its record; returns 0 or -errno. */
static int read_pass(struct tri_pending *pending, struct pending_stream *stream,
                     struct pending_mark *mark)
{
    assert(mark->bytes > 0);
    mark->offset += mark->bytes;
    mark->oss_epoch++;
    mark->bytes = 0;
    return tri_pending_index(stream, mark->first, mark->oss_epoch, mark->offset)
               ? 0
               : tri_pending_memory(pending);
}

/* The bytes of the record at `at` of those that were read at the mark; 0: it is none. */
static uint64_t read_bytes(const struct tri_pending *pending, uint64_t at, uint64_t got)
{
    uint64_t bytes = 0;

    if (got < at + TRI_ARCHIVE_FRAME_BYTES) {
        return 0;
    }
    bytes = tri_archive_frame_get(pending->buffer + at);
    return bytes == 0 ? 0 : bytes + TRI_ARCHIVE_FRAME_BYTES;
}

static int read_none(struct tri_pending *pending, const struct pending_stream *stream,
                     const struct pending_mark *mark, ssize_t got)
{
    return read_damaged(pending, stream, mark,
                        got == 0 ? "the file ends before a record that was written"
                                 : "no record has such a length");
}

/* Walks towards a record behind the mark, over those that one read has; of records so long that it
 * has but few, no more than their lengths are read.  Returns 0 or -errno. */
static int read_walk(struct tri_pending *pending, struct pending_stream *stream, uint64_t oss_epoch,
                     enum pending_walker walker, struct pending_mark *mark, uint64_t *usual_bytes)
{
    size_t want = *usual_bytes > WALK_BYTES / 8 ? TRI_ARCHIVE_FRAME_BYTES : WALK_BYTES;
    ssize_t got = read_mark(pending, stream, walker, mark, want);
    uint64_t at = 0;
    int failed = got < 0 ? (int)got : 0;

    if (failed == 0 && got < (ssize_t)TRI_ARCHIVE_FRAME_BYTES) {
        return read_none(pending, stream, mark, got);
    }
    while (failed == 0 && mark->oss_epoch < oss_epoch &&
           at + TRI_ARCHIVE_FRAME_BYTES <= (uint64_t)got) {
        mark->bytes = read_bytes(pending, at, (uint64_t)got);
        if (mark->bytes == 0) {
            return read_none(pending, stream, mark, got);
        }
        *usual_bytes = mark->bytes;
        at += mark->bytes;
        failed = read_pass(pending, stream, mark);
    }
    return failed;
}

/* Finds a record that is in its file, and has its first `count` bytes in the buffer, or as many as
 * the file has.  Returns how many, or -errno. */
static ssize_t read_find(struct tri_pending *pending, struct pending_stream *stream,
                         uint64_t oss_epoch, enum pending_walker walker, size_t count,
                         struct pending_mark *mark)
{
    uint64_t usual_bytes = 0;
    ssize_t got = 0;
    int failed = 0;

    assert(oss_epoch >= 1 && oss_epoch <= stream->last);
    *mark = read_nearest(stream, oss_epoch);
    while (failed == 0 && mark->oss_epoch != oss_epoch) {
        failed = mark->bytes > 0
                     ? read_pass(pending, stream, mark)
                     : read_walk(pending, stream, oss_epoch, walker, mark, &usual_bytes);
    }
    if (failed != 0) {
        return failed;
    }
    got = read_mark(pending, stream, walker, mark, count);
    if (got < 0) {
        return got;
    }
    mark->bytes = read_bytes(pending, 0, (uint64_t)got);
    if (mark->bytes == 0) {
        return read_none(pending, stream, mark, got);
    }
    return got < (ssize_t)mark->bytes ? got : (ssize_t)mark->bytes;
}

/* ---- records ---- */

/* Whether the header is that of the record. */
static bool read_is_right(const struct pending_stream *stream,
                          const struct tri_archive_record *record, uint64_t oss_epoch)
{
    uint32_t epoch = 0;
    uint32_t shard = 0;

    return tri_stream_get(record->header.stream, &epoch, &shard) && epoch == stream->epoch &&
           shard == stream->shard && record->header.oss_epoch == oss_epoch;
}

int tri_pending_peek(struct tri_pending *pending, struct pending_stream *stream, uint64_t oss_epoch,
                     enum pending_walker walker, struct tri_archive_record *record)
{
    const char *fault = "another record stands there";
    struct pending_mark mark;

    for (size_t want = PEEK_BYTES;; want = PEEK_BYTES_MAX) {
        ssize_t got = read_find(pending, stream, oss_epoch, walker, want, &mark);

        if (got < 0) {
            return (int)got;
        }
        if (tri_archive_record_peek((struct tri_bytes){pending->buffer + TRI_ARCHIVE_FRAME_BYTES,
                                                       (uint32_t)got - TRI_ARCHIVE_FRAME_BYTES},
                                    record, &fault)) {
            break;
        }
        if (want == PEEK_BYTES_MAX) {
            return read_damaged(pending, stream, &mark, fault);
        }
    }
    if (!read_is_right(stream, record, oss_epoch)) {
        return read_damaged(pending, stream, &mark, "another record stands there");
    }
    stream->marks[walker] = mark;
    return 0;
}

int tri_pending_read(struct tri_pending *pending, struct pending_stream *stream, uint64_t oss_epoch,
                     enum pending_walker walker, struct tri_archive_record *record)
{
    const char *fault = "another record stands there";
    struct pending_mark mark;
    ssize_t got = read_find(pending, stream, oss_epoch, walker, READ_BYTES, &mark);

    if (got >= 0 && (uint64_t)got < mark.bytes) {
        ssize_t more = read_at(pending->files[walker].file, pending->buffer + got,
                               mark.bytes - (size_t)got, mark.offset + (uint64_t)got);

        if (more < 0) {
            return tri_pending_say(pending, stream, mark.first, mark.offset, (int)more,
                                   strerror((int)-more));
        }
        got += more;
    }
    if (got < 0) {
        return (int)got;
    }
    if ((uint64_t)got < mark.bytes) {
        return read_damaged(pending, stream, &mark, "the file ends within a record");
    }
    if (!tri_archive_record_get(
            (struct tri_bytes){pending->buffer + TRI_ARCHIVE_FRAME_BYTES,
                               (uint32_t)(mark.bytes - TRI_ARCHIVE_FRAME_BYTES)},
            record, &fault) ||
        !read_is_right(stream, record, oss_epoch)) {
        return read_damaged(pending, stream, &mark, fault);
    }
    stream->marks[walker] = mark;
    return 0;
}

int tri_pending_entry(struct tri_pending *pending, const struct pending_driven *driven,
                      struct tri_archive_entry *entry)
{
    struct pending_mark mark = {.first = driven->first, .offset = driven->offset};
    struct tri_bytes rest = {pending->buffer, driven->bytes};
    int failed = read_open(pending, driven->stream, driven->first, PENDING_WALKER_DRIVE);
    ssize_t got = failed != 0 ? failed
                              : read_at(pending->files[PENDING_WALKER_DRIVE].file, pending->buffer,
                                        driven->bytes, driven->offset);

    if (got < 0) {
        return tri_pending_say(pending, driven->stream, driven->first, driven->offset, (int)got,
                               strerror((int)-got));
    }
    if (got < (ssize_t)driven->bytes || !tri_archive_entry_next(&rest, entry) || rest.bytes != 0) {
        return read_damaged(pending, driven->stream, &mark, "an entry is not what it was");
    }
    return 0;
}

/* ---- at the beginning ---- */

int tri_pending_find_last(struct tri_pending *pending, struct pending_stream *stream)
{
    struct pending_mark mark = read_nearest(stream, UINT64_MAX);

    for (;;) {
        ssize_t got =
            read_mark(pending, stream, PENDING_WALKER_OLDEST, &mark, TRI_ARCHIVE_FRAME_BYTES);
        uint64_t bytes = 0;
        int failed = 0;

        if (got < 0) {
            return (int)got;
        }
        bytes = got < (ssize_t)TRI_ARCHIVE_FRAME_BYTES ? 0 : tri_archive_frame_get(pending->buffer);
        if (bytes > 0) {
            uint8_t last = 0;

            bytes += TRI_ARCHIVE_FRAME_BYTES;
            got = read_at(pending->files[PENDING_WALKER_OLDEST].file, &last, 1,
                          mark.offset + bytes - 1);
        }
        if (got < 0) {
            return tri_pending_say(pending, stream, mark.first, mark.offset, (int)got,
                                   strerror((int)-got));
        }
        if (bytes == 0 || got == 0) {
            stream->last = mark.oss_epoch - 1;
            return 0;
        }
        mark.bytes = bytes;
        failed = read_pass(pending, stream, &mark);
        if (failed != 0) {
            return failed;
        }
    }
}

int tri_pending_count(struct tri_pending *pending, struct pending_stream *stream,
                      uint64_t *messages)
{
    *messages = 0;
    for (uint64_t n = stream->cursor + 1; n <= stream->last; n++) {
        struct tri_archive_record record;
        int failed = 0;

        if (tri_pending_is_final(stream, n)) {
            continue;
        }
        failed = tri_pending_peek(pending, stream, n, PENDING_WALKER_SETTLE, &record);
        if (failed != 0) {
            return failed;
        }
        *messages += record.header.message_count;
    }
    return 0;
}
