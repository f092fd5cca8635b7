/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory is listed before the manifest is read: so a reader beside a writer that has just
 * opened a stream finds no file without its line.
 *
 * A writer leaves nothing behind it that is only in the kernel's hands.  What the process before
 * wrote and did not flush is seen here like everything else, and whoever asks for the last ossEpoch
 * may remove the journal's copy because of the answer.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/archive_internal.h"
#include "io/clock.h"
#include "io/secret.h"
#include "io/state.h"

#define OPEN_MANIFEST_BYTES_MAX (UINT64_C(1) << 32)

int tri_archive_say(const struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES],
                    const char *name, int failed, const char *format, ...)
{
    va_list arguments;
    int bytes = snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "%s/%s: ", archive->path, name);

    if (bytes > 0 && (size_t)bytes < TRI_ARCHIVE_TROUBLE_BYTES) {
        va_start(arguments, format);
        (void)vsnprintf(trouble + bytes, TRI_ARCHIVE_TROUBLE_BYTES - (size_t)bytes, format,
                        arguments);
        va_end(arguments);
    }
    return failed;
}

static int open_say_errno(const struct tri_archive *archive,
                          char trouble[TRI_ARCHIVE_TROUBLE_BYTES], const char *name, int failed,
                          const char *what)
{
    return tri_archive_say(archive, trouble, name, failed, "%s: %s", what, strerror(-failed));
}

/* ---- the directory ---- */

static int open_directory(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_state place = {-1, -1};
    int failed = 0;

    if (!archive->options.is_read_only && mkdir(archive->path, 0700) != 0 && errno != EEXIST) {
        return open_say_errno(archive, trouble, "", -errno,
                              "the directory cannot be made; make its parent, or name another");
    }
    archive->directory = open(archive->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (archive->directory < 0) {
        return open_say_errno(archive, trouble, "", -errno, "the directory cannot be opened");
    }
    if (archive->options.is_read_only) {
        return 0;
    }
    place.directory = archive->directory;
    failed = tri_state_settle(&place);
    return failed == 0 ? 0 : open_say_errno(archive, trouble, "..", failed, "it cannot be flushed");
}

static int open_manifest_file(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    int flags = archive->options.is_read_only ? O_RDONLY : O_RDWR | O_CREAT;

    archive->manifest_file =
        openat(archive->directory, TRI_ARCHIVE_MANIFEST_NAME, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (archive->manifest_file < 0) {
        return open_say_errno(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, -errno,
                              "cannot be opened");
    }
    if (!archive->options.is_read_only && flock(archive->manifest_file, LOCK_EX | LOCK_NB) != 0) {
        int failed = -errno;

        if (failed == -EWOULDBLOCK) {
            return tri_archive_say(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, failed,
                                   "another process writes this archive; stop it first");
        }
        return open_say_errno(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, failed,
                              "the lock cannot be taken");
    }
    return 0;
}

struct open_files {
    struct archive_file *files; /* by epoch, shard and first ossEpoch */
    uint32_t count;
    uint32_t room;
};

static int open_file_order(const void *one, const void *other)
{
    const struct archive_file *a = one;
    const struct archive_file *b = other;

    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch ? -1 : 1;
    }
    if (a->shard != b->shard) {
        return a->shard < b->shard ? -1 : 1;
    }
    return (a->first > b->first) - (a->first < b->first);
}

static int open_files_add(struct open_files *files, const struct archive_file *file)
{
    if (files->count == files->room) {
        uint32_t room = files->room == 0 ? 64 : files->room * 2;
        struct archive_file *more =
            room > files->room ? realloc(files->files, room * sizeof(*files->files)) : NULL;

        if (more == NULL) {
            return -ENOMEM;
        }
        files->files = more;
        files->room = room;
    }
    files->files[files->count++] = *file;
    return 0;
}

static int open_list(const struct tri_archive *archive, struct open_files *files,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    int again = openat(archive->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = again < 0 ? NULL : fdopendir(again);
    const struct dirent *entry = NULL;
    int failed = 0;

    if (names == NULL) {
        failed = -errno;
        if (again >= 0) {
            (void)close(again);
        }
        return open_say_errno(archive, trouble, "", failed, "it cannot be listed");
    }
    while (failed == 0 && (errno = 0, entry = readdir(names)) != NULL) {
        struct archive_file file = {0};
        struct stat about;

        if (!tri_archive_name_get(entry->d_name, &file.epoch, &file.shard, &file.first)) {
            continue;
        }
        if (fstatat(archive->directory, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
            failed = -errno;
        } else {
            file.bytes = (uint64_t)about.st_size;
            failed = open_files_add(files, &file);
        }
    }
    failed = failed == 0 && errno != 0 ? -errno : failed;
    (void)closedir(names);
    if (failed != 0) {
        return open_say_errno(archive, trouble, "", failed, "it cannot be listed");
    }
    if (files->count > 0) {
        qsort(files->files, files->count, sizeof(*files->files), open_file_order);
    }
    return 0;
}

/* ---- the manifest ---- */

/* Reads it whole; `*text` is the caller's to free.  Returns its bytes or -errno. */
static ssize_t open_manifest_text(const struct tri_archive *archive, char **text)
{
    struct stat about;
    size_t used = 0;
    ssize_t got = 1;

    if (fstat(archive->manifest_file, &about) != 0) {
        return -errno;
    }
    if ((uint64_t)about.st_size > OPEN_MANIFEST_BYTES_MAX) {
        return -EFBIG;
    }
    *text = malloc((size_t)about.st_size + 1);
    if (*text == NULL) {
        return -ENOMEM;
    }
    while (got != 0 && used < (size_t)about.st_size) {
        got =
            pread(archive->manifest_file, *text + used, (size_t)about.st_size - used, (off_t)used);
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)used;
}

static int open_manifest_read(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    const char *fault = "";
    char *text = NULL;
    ssize_t bytes = open_manifest_text(archive, &text);
    int failed = 0;

    if (bytes < 0) {
        failed = open_say_errno(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, (int)bytes,
                                "cannot be read");
    } else {
        failed = tri_archive_manifest_read(&archive->manifest, text, (size_t)bytes, &fault);
        if (failed == -EBADMSG) {
            (void)tri_archive_say(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, failed,
                                  "line %" PRIu64 ": %s; restore the archive from a backup",
                                  archive->manifest.line_count + 1, fault);
        } else if (failed != 0) {
            (void)open_say_errno(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, failed,
                                 "cannot be read");
        }
    }
    free(text);
    return failed;
}

/* Cuts a torn line, and makes durable what is there. */
static int open_manifest_settle(struct tri_archive *archive,
                                char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    if (archive->manifest.is_torn &&
        ftruncate(archive->manifest_file, (off_t)archive->manifest.bytes) != 0) {
        return open_say_errno(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, -errno,
                              "its torn last line cannot be cut");
    }
    archive->manifest.is_torn = false;
    if (fsync(archive->manifest_file) != 0) {
        return open_say_errno(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, -errno,
                              "cannot be flushed");
    }
    return 0;
}

/* The first line of a new archive. */
static int open_manifest_begin(struct tri_archive *archive, const struct open_files *files,
                               char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_archive_line line = {.fact = TRI_ARCHIVE_FACT_ARCHIVE, .at_ms = tri_clock_wall_ms()};
    char text[TRI_ARCHIVE_LINE_BYTES_MAX];
    const char *fault = "";
    uint32_t bytes = 0;
    int failed = 0;

    if (files->count != 0) {
        return tri_archive_say(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, -EBADMSG,
                               "it is missing or empty, but there are files of records; restore "
                               "it from a backup");
    }
    if (archive->options.is_read_only) {
        return 0;
    }
    failed = tri_secret_random(line.archive, sizeof(line.archive));
    if (failed == 0) {
        bytes = tri_archive_line_put(&line, archive->manifest.chain, archive->options.signer, text);
        failed = tri_archive_write_all(archive->manifest_file, text, bytes, 0);
    }
    if (failed == 0 && (fsync(archive->manifest_file) != 0 || fsync(archive->directory) != 0)) {
        failed = -errno;
    }
    if (failed != 0) {
        return open_say_errno(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, failed,
                              "cannot be begun");
    }
    failed = tri_archive_manifest_add(&archive->manifest, &line, &fault);
    assert(failed == 0);
    archive->manifest.bytes = bytes;
    return 0;
}

/* ---- streams ---- */

/* Removes what no record begins: of a file that was made for a record that never came. */
static int open_cut_all(struct tri_archive *archive, const struct archive_file *file,
                        char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    tri_archive_name_put(file->epoch, file->shard, file->first, name);
    if (unlinkat(archive->directory, name, 0) != 0) {
        return open_say_errno(archive, trouble, name, -errno, "its torn record cannot be cut");
    }
    return 0;
}

/* Cuts the tail behind `good_bytes` and makes the rest durable. */
static int open_cut(struct tri_archive *archive, const struct archive_file *file,
                    uint64_t good_bytes, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    int descriptor = -1;
    int failed = 0;

    tri_archive_name_put(file->epoch, file->shard, file->first, name);
    descriptor = openat(archive->directory, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) {
        return open_say_errno(archive, trouble, name, -errno, "cannot be opened for writing");
    }
    if (good_bytes < file->bytes && ftruncate(descriptor, (off_t)good_bytes) != 0) {
        failed = -errno;
    }
    if (failed == 0 && fsync(descriptor) != 0) {
        failed = -errno;
    }
    (void)close(descriptor);
    return failed == 0 ? 0
                       : open_say_errno(archive, trouble, name, failed,
                                        "its end cannot be cut and flushed");
}

static int open_gap(const struct tri_archive *archive, const struct archive_file *file,
                    const struct archive_walk *walk, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    tri_archive_name_put(file->epoch, file->shard, file->first, name);
    if (walk->last + 1 < file->first) {
        return tri_archive_say(archive, trouble, name, -EBADMSG,
                               "records %" PRIu64 " to %" PRIu64 " of the stream are missing "
                               "before it; restore the archive from a backup",
                               walk->last + 1, file->first - 1);
    }
    return tri_archive_say(archive, trouble, name, -EBADMSG,
                           "the stream has record %" PRIu64 " in the file before it; restore the "
                           "archive from a backup",
                           file->first);
}

/* Finds the end of a stream that was not closed. */
static int open_stream(struct tri_archive *archive, const struct tri_archive_stream *known,
                       const struct archive_file *files, uint32_t count,
                       struct archive_stream *stream, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct archive_walk walk = {0};
    int failed = 0;

    *stream = (struct archive_stream){.epoch = known->epoch,
                                      .shard = known->shard,
                                      .file = -1,
                                      .is_content_kept = known->is_content_kept};
    memcpy(walk.previous, known->origin, sizeof(walk.previous));
    for (uint32_t i = 0; failed == 0 && i < count; i++) {
        bool is_last = i + 1 == count;

        if (files[i].first != walk.last + 1) {
            return open_gap(archive, &files[i], &walk, trouble);
        }
        failed = is_last ? tri_archive_walk(archive, &files[i], &walk, trouble)
                         : tri_archive_hop(archive, &files[i], &walk, trouble);
        if (failed == 0 && walk.good_bytes > 0) {
            stream->file_first = files[i].first;
            stream->file_bytes = walk.good_bytes;
        }
        if (failed == 0 && is_last && !archive->options.is_read_only) {
            archive->counts.cut_bytes += files[i].bytes - walk.good_bytes;
            failed = walk.good_bytes == 0 ? open_cut_all(archive, &files[i], trouble)
                                          : open_cut(archive, &files[i], walk.good_bytes, trouble);
        }
    }
    stream->last = walk.last;
    stream->messages = walk.messages;
    memcpy(stream->previous, walk.previous, sizeof(stream->previous));
    stream->written_bytes = stream->file_bytes;
    stream->is_made = stream->file_first != 0;
    return failed;
}

/* What can be told of a closed stream without reading its files. */
static int open_closed(const struct tri_archive *archive, const struct tri_archive_stream *known,
                       const struct archive_file *files, uint32_t count,
                       char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    bool is_right = known->records == 0 ? count == 0
                                        : count > 0 && files[0].first == 1 &&
                                              files[count - 1].first <= known->records &&
                                              files[count - 1].bytes > 0;

    if (is_right) {
        return 0;
    }
    return tri_archive_say(archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, -EBADMSG,
                           "stream %" PRIu32 "-%" PRIu32 " was closed with %" PRIu64
                           " records, but its %" PRIu32 " files do not fit that; restore the "
                           "archive from a backup",
                           known->epoch, known->shard, known->records, count);
}

/* A file of a stream that no line has opened: lines are missing. */
static int open_strays(const struct tri_archive *archive, const struct open_files *files,
                       char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    for (uint32_t i = 0; i < files->count; i++) {
        const struct archive_file *file = &files->files[i];
        char name[TRI_ARCHIVE_NAME_BYTES_MAX];

        if (tri_archive_manifest_find(&archive->manifest, file->epoch, file->shard) == NULL) {
            tri_archive_name_put(file->epoch, file->shard, file->first, name);
            return tri_archive_say(archive, trouble, name, -EBADMSG,
                                   "the manifest has no such stream; restore the manifest of the "
                                   "same time, or move the file to the archive that it belongs to");
        }
    }
    return 0;
}

/* Both the streams and the files are by epoch and shard. */
static int open_streams(struct tri_archive *archive, const struct open_files *files,
                        char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    const struct tri_archive_manifest *manifest = &archive->manifest;
    const struct archive_file *next = files->files;
    const struct archive_file *end = files->count == 0 ? next : next + files->count;
    uint32_t open_count = 0;
    int failed = open_strays(archive, files, trouble);

    for (uint32_t i = 0; i < manifest->stream_count; i++) {
        open_count += manifest->streams[i].is_closed ? 0 : 1;
    }
    archive->streams = calloc((size_t)open_count + 1, sizeof(*archive->streams));
    if (archive->streams == NULL) {
        return open_say_errno(archive, trouble, "", -ENOMEM, "it cannot be opened");
    }
    for (uint32_t i = 0; failed == 0 && i < manifest->stream_count; i++) {
        const struct tri_archive_stream *known = &manifest->streams[i];
        const struct archive_file *own = next;
        uint32_t count = 0;

        while (next != end && next->epoch == known->epoch && next->shard == known->shard) {
            next++;
            count++;
        }
        if (known->is_closed) {
            failed = open_closed(archive, known, own, count, trouble);
        } else {
            failed = open_stream(archive, known, own, count,
                                 &archive->streams[archive->stream_count], trouble);
            archive->stream_count++;
        }
    }
    return failed;
}

/* ---- all of it ---- */

static int open_all(struct tri_archive *archive, struct open_files *files,
                    char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    bool is_read_only = archive->options.is_read_only;
    int failed = open_directory(archive, trouble);

    failed = failed == 0 ? open_manifest_file(archive, trouble) : failed;
    failed = failed == 0 ? open_list(archive, files, trouble) : failed;
    failed = failed == 0 ? open_manifest_read(archive, trouble) : failed;
    if (failed == 0 && !is_read_only) {
        failed = open_manifest_settle(archive, trouble);
    }
    if (failed == 0 && archive->manifest.line_count == 0) {
        failed = open_manifest_begin(archive, files, trouble);
    }
    failed = failed == 0 ? open_streams(archive, files, trouble) : failed;
    if (failed == 0 && !is_read_only && fsync(archive->directory) != 0) {
        failed = open_say_errno(archive, trouble, "", -errno, "it cannot be flushed");
    }
    return failed;
}

int tri_archive_open(struct tri_archive **archive, const char *path,
                     const struct tri_archive_options *options,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_archive *made = calloc(1, sizeof(*made));
    struct open_files files = {0};
    int failed = 0;

    assert(archive != NULL && path != NULL);
    assert(options->is_read_only || options->signer != NULL);
    *archive = NULL;
    if (made != NULL) {
        made->directory = -1;
        made->manifest_file = -1;
        made->options = *options;
        made->options.file_bytes =
            options->file_bytes == 0 ? TRI_ARCHIVE_FILE_BYTES : options->file_bytes;
        made->path = strdup(path);
        made->buffer = options->is_read_only ? NULL : malloc(ARCHIVE_BUFFER_BYTES);
    }
    if (made == NULL || made->path == NULL || (made->buffer == NULL && !options->is_read_only)) {
        (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "%s: %s", path, strerror(ENOMEM));
        tri_archive_close(made);
        return -ENOMEM;
    }
    failed = open_all(made, &files, trouble);
    free(files.files);
    if (failed != 0) {
        tri_archive_close(made);
        return failed;
    }
    *archive = made;
    return 0;
}

void tri_archive_id(const struct tri_archive *archive, uint8_t id[TRI_FINALITY_ARCHIVE_BYTES])
{
    assert(archive->manifest.line_count > 0);
    memcpy(id, archive->manifest.archive, TRI_FINALITY_ARCHIVE_BYTES);
}

void tri_archive_key(const struct tri_archive *archive, uint8_t key[TRI_SIGNER_PUBLIC_BYTES])
{
    assert(archive->manifest.line_count > 0);
    memcpy(key, archive->manifest.key, TRI_SIGNER_PUBLIC_BYTES);
}

void tri_archive_close(struct tri_archive *archive)
{
    if (archive == NULL) {
        return;
    }
    for (uint32_t i = 0; i < archive->stream_count; i++) {
        if (archive->streams[i].file >= 0) {
            (void)close(archive->streams[i].file);
        }
    }
    if (archive->manifest_file >= 0) {
        (void)close(archive->manifest_file);
    }
    if (archive->directory >= 0) {
        (void)close(archive->directory);
    }
    tri_archive_manifest_fini(&archive->manifest);
    free(archive->streams);
    free(archive->buffer);
    free(archive->path);
    free(archive);
}
