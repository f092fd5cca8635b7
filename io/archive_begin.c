/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing streams: lines of the manifest.  They are made in the buffer, which holds no
 * records then, so that the lines of a start are one write and one flush.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/limits.h"
#include "io/archive_internal.h"
#include "io/clock.h"

static_assert(TRI_ARCHIVE_LINE_BYTES_MAX < ARCHIVE_BUFFER_BYTES, "a line must fit");

/* Puts the lines in the buffer behind those in the file. */
static int lines_write(struct tri_archive *archive)
{
    int failed = archive->failed != 0
                     ? 0
                     : tri_archive_write_all(archive->manifest_file, archive->buffer,
                                             archive->buffer_bytes, archive->manifest.bytes);

    if (failed != 0) {
        return tri_archive_fail(archive, TRI_ARCHIVE_MANIFEST_NAME, failed, "cannot be written");
    }
    if (archive->failed == 0) {
        archive->manifest.bytes += archive->buffer_bytes;
        archive->buffer_bytes = 0;
    }
    return archive->failed;
}

static void lines_add(struct tri_archive *archive, struct tri_archive_line *line)
{
    const char *fault = "";
    int failed = 0;

    if (archive->buffer_bytes + TRI_ARCHIVE_LINE_BYTES_MAX > ARCHIVE_BUFFER_BYTES) {
        (void)lines_write(archive);
    }
    if (archive->failed != 0) {
        return;
    }
    line->at_ms = tri_clock_wall_ms();
    archive->buffer_bytes +=
        tri_archive_line_put(line, archive->manifest.chain, archive->options.signer,
                             (char *)archive->buffer + archive->buffer_bytes);
    failed = tri_archive_manifest_add(&archive->manifest, line, &fault);
    assert(failed == 0 || failed == -ENOMEM); /* our own lines are in order */
    if (failed != 0) {
        (void)tri_archive_fail(archive, TRI_ARCHIVE_MANIFEST_NAME, failed, "cannot be continued");
    }
}

static int lines_sync(struct tri_archive *archive)
{
    if (lines_write(archive) == 0 && fdatasync(archive->manifest_file) != 0) {
        return tri_archive_fail(archive, TRI_ARCHIVE_MANIFEST_NAME, -errno, "cannot be flushed");
    }
    return archive->failed;
}

/* Adds the lines that close every stream; their records are durable before. */
static void streams_close(struct tri_archive *archive)
{
    if (tri_archive_sync_all(archive) != 0) {
        return;
    }
    for (uint32_t i = 0; i < archive->stream_count; i++) {
        struct archive_stream *stream = &archive->streams[i];
        struct tri_archive_line line = {.fact = TRI_ARCHIVE_FACT_CLOSE,
                                        .epoch = stream->epoch,
                                        .shard = stream->shard,
                                        .records = stream->last,
                                        .messages = stream->messages};

        if (stream->last > 0) {
            memcpy(line.head, stream->previous, sizeof(line.head));
        }
        lines_add(archive, &line);
        if (stream->file >= 0) {
            (void)close(stream->file);
            stream->file = -1;
        }
    }
    archive->stream_count = 0;
}

static void streams_open(struct tri_archive *archive, uint32_t epoch, uint32_t streams,
                         bool is_content_kept)
{
    for (uint32_t i = 0; archive->failed == 0 && i < streams; i++) {
        struct tri_archive_line line = {.fact = TRI_ARCHIVE_FACT_OPEN,
                                        .epoch = epoch,
                                        .shard = i,
                                        .is_content_kept = is_content_kept};

        lines_add(archive, &line);
        if (archive->failed == 0) {
            struct archive_stream *stream = &archive->streams[archive->stream_count++];

            *stream = (struct archive_stream){
                .epoch = epoch, .shard = i, .file = -1, .is_content_kept = is_content_kept};
            memcpy(stream->previous, line.chain, sizeof(stream->previous));
        }
    }
}

int tri_archive_begin(struct tri_archive *archive, uint32_t epoch, uint32_t streams,
                      bool is_content_kept, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct archive_stream *opened = NULL;

    assert(archive != NULL && !archive->options.is_read_only);
    assert(epoch >= 1);
    assert(streams >= 1 && streams <= TRI_SHARDS_MAX);
    if (archive->failed != 0) {
        return tri_archive_failed(archive, trouble);
    }
    for (uint32_t i = 0; i < streams; i++) {
        if (tri_archive_manifest_find(&archive->manifest, epoch, i) != NULL) {
            return tri_archive_say(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, -EEXIST,
                                   "stream %" PRIu32 "-%" PRIu32 " was opened before; an archive "
                                   "belongs to one data directory, whose epoch only rises",
                                   epoch, i);
        }
    }
    streams_close(archive);
    if (archive->failed == 0) {
        opened = realloc(archive->streams, streams * sizeof(*archive->streams));
        if (opened == NULL) {
            (void)tri_archive_fail(archive, TRI_ARCHIVE_MANIFEST_NAME, -ENOMEM,
                                   "cannot be continued");
        } else {
            archive->streams = opened;
            streams_open(archive, epoch, streams, is_content_kept);
        }
    }
    (void)lines_sync(archive);
    return tri_archive_failed(archive, trouble);
}

int tri_archive_end(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    assert(archive != NULL && !archive->options.is_read_only);
    streams_close(archive);
    (void)lines_sync(archive);
    return tri_archive_failed(archive, trouble);
}
