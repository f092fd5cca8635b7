/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer.  What writing or flushing once failed is never known to be on disk, whatever a second
 * call returns (D03): from then on every call returns the first failure.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/secondary.h"
#include "io/state.h"

#define FILE_BUFFER_BYTES (UINT32_C(64) << 10)

struct tri_secondary {
    char *path; /* of the archive */
    int directory;
    int file; /* -1: it does not exist, or nothing may be written */
    bool is_read_only;
    bool is_name_dirty;
    bool is_dirty; /* written, not flushed */
    int failed;
    char trouble[TRI_ARCHIVE_TROUBLE_BYTES];
    uint64_t bytes; /* in the file */
    uint8_t chain[TRI_DIGEST_BYTES];
    uint32_t used_bytes;
    uint8_t buffer[FILE_BUFFER_BYTES];
};

static int file_say(const struct tri_secondary *it, int failed, uint64_t offset, const char *what,
                    char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "%s/%s: offset %" PRIu64 ": %s", it->path,
                   TRI_SECONDARY_NAME, offset, what);
    return failed;
}

static int file_fail(struct tri_secondary *it, const char *what)
{
    int failed = -errno;
    char sentence[160];

    assert(failed < 0 && it->failed == 0);
    (void)snprintf(sentence, sizeof(sentence), "%s: %s; nothing more is noted until the next start",
                   what, strerror(-failed));
    it->failed = file_say(it, failed, it->bytes, sentence, it->trouble);
    return failed;
}

static int file_failed(const struct tri_secondary *it, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    if (it->failed != 0) {
        memcpy(trouble, it->trouble, TRI_ARCHIVE_TROUBLE_BYTES);
    }
    return it->failed;
}

/* ---- opening ---- */

/* Tells every fact; the reader stands at the end then, or at what is no fact. */
static int open_take(struct tri_secondary *it, struct tri_secondary_reader *reader,
                     const char *(*take)(void *context, const struct tri_secondary_fact *fact),
                     void *context, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_secondary_fact fact;
    const char *fault = NULL;
    int next = 0;

    while (fault == NULL && (next = tri_secondary_next(reader, &fact)) == TRI_SECONDARY_NEXT_FACT) {
        fault = take(context, &fact);
    }
    if (next < 0) {
        return file_say(it, next, reader->offset, strerror(-next), trouble);
    }
    if (fault == NULL && next == TRI_SECONDARY_NEXT_DAMAGED) {
        fault = reader->fault;
    }
    if (fault != NULL) {
        char sentence[320];

        (void)snprintf(sentence, sizeof(sentence),
                       "%s; restore the file from a backup of the archive, or, if there is none, "
                       "cut it here: what it said from here on is then pending again",
                       fault);
        return file_say(it, -EBADMSG, reader->offset, sentence, trouble);
    }
    it->bytes = reader->offset;
    memcpy(it->chain, reader->chain, sizeof(it->chain));
    return 0;
}

/* Opens the file for writing, if there is one, and cuts what is torn. */
static int open_write(struct tri_secondary *it, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    off_t end = 0;

    it->file = openat(it->directory, TRI_SECONDARY_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (it->file < 0) {
        return errno == ENOENT ? 0 : file_say(it, -errno, 0, strerror(errno), trouble);
    }
    end = lseek(it->file, 0, SEEK_END);
    if (end < 0 || ((uint64_t)end > it->bytes && ftruncate(it->file, (off_t)it->bytes) != 0) ||
        fsync(it->file) != 0 || fsync(it->directory) != 0) {
        return file_say(it, -errno, it->bytes, strerror(errno), trouble);
    }
    return 0;
}

static int open_all(struct tri_secondary *it,
                    const char *(*take)(void *context, const struct tri_secondary_fact *fact),
                    void *context, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_secondary_reader reader = {.file = -1};
    int failed = 0;

    it->directory = open(it->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (it->directory < 0) {
        return file_say(it, -errno, 0, strerror(errno), trouble);
    }
    failed = tri_secondary_reader_open(&reader, it->directory);
    failed = failed != 0 ? file_say(it, failed, 0, tri_state_why(failed), trouble)
                         : open_take(it, &reader, take, context, trouble);
    tri_secondary_reader_fini(&reader);
    return failed == 0 && !it->is_read_only ? open_write(it, trouble) : failed;
}

int tri_secondary_open(struct tri_secondary **secondary, const char *path, bool is_read_only,
                       const char *(*take)(void *context, const struct tri_secondary_fact *fact),
                       void *context, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_secondary *it = calloc(1, sizeof(*it));
    int failed = -ENOMEM;

    assert(secondary != NULL && path != NULL && take != NULL);
    *secondary = NULL;
    if (it != NULL) {
        it->directory = -1;
        it->file = -1;
        it->is_read_only = is_read_only;
        it->path = strdup(path);
    }
    if (it == NULL || it->path == NULL) {
        (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "%s: %s", path, strerror(ENOMEM));
    } else {
        failed = open_all(it, take, context, trouble);
    }
    if (failed != 0) {
        tri_secondary_close(it);
        return failed;
    }
    *secondary = it;
    return 0;
}

void tri_secondary_close(struct tri_secondary *secondary)
{
    if (secondary == NULL) {
        return;
    }
    if (secondary->file >= 0) {
        (void)close(secondary->file);
    }
    if (secondary->directory >= 0) {
        (void)close(secondary->directory);
    }
    free(secondary->path);
    free(secondary);
}

/* ---- writing ---- */

/* Hands what was gathered to the kernel. */
static int file_write(struct tri_secondary *it)
{
    uint32_t done = 0;

    if (it->file < 0 && it->used_bytes > 0) {
        it->file = openat(it->directory, TRI_SECONDARY_NAME,
                          O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (it->file < 0) {
            return file_fail(it, "it cannot be made");
        }
        it->is_name_dirty = true;
    }
    while (done < it->used_bytes) {
        ssize_t written =
            pwrite(it->file, it->buffer + done, it->used_bytes - done, (off_t)(it->bytes + done));

        if (written < 0 && errno != EINTR) {
            return file_fail(it, "it cannot be written");
        }
        done += written > 0 ? (uint32_t)written : 0;
        it->is_dirty = true;
    }
    it->bytes += done;
    it->used_bytes = 0;
    return 0;
}

int tri_secondary_append(struct tri_secondary *secondary, const struct tri_secondary_fact *fact,
                         char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    assert(!secondary->is_read_only);
    if (secondary->failed == 0 &&
        FILE_BUFFER_BYTES - secondary->used_bytes < TRI_SECONDARY_FACT_BYTES_MAX) {
        (void)file_write(secondary);
    }
    if (secondary->failed == 0) {
        secondary->used_bytes += tri_secondary_frame_put(fact, secondary->chain,
                                                         secondary->buffer + secondary->used_bytes);
    }
    return file_failed(secondary, trouble);
}

int tri_secondary_sync(struct tri_secondary *secondary, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    if (secondary->failed == 0 && file_write(secondary) == 0 && secondary->is_dirty) {
        if (fdatasync(secondary->file) != 0 ||
            (secondary->is_name_dirty && fsync(secondary->directory) != 0)) {
            (void)file_fail(secondary, "it cannot be flushed");
        } else {
            secondary->is_dirty = false;
            secondary->is_name_dirty = false;
        }
    }
    return file_failed(secondary, trouble);
}
