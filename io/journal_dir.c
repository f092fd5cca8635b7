/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/journal_internal.h"

#define DIR_FILES_MAX 1000000U

int tri_journal_say(char trouble[TRI_JOURNAL_TROUBLE_BYTES], const char *path, const char *name,
                    int failed, const char *format, ...)
{
    va_list arguments;
    int bytes = snprintf(trouble, TRI_JOURNAL_TROUBLE_BYTES, "%s/%s: ", path, name);

    if (bytes > 0 && (size_t)bytes < TRI_JOURNAL_TROUBLE_BYTES) {
        va_start(arguments, format);
        (void)vsnprintf(trouble + bytes, TRI_JOURNAL_TROUBLE_BYTES - (size_t)bytes, format,
                        arguments);
        va_end(arguments);
    }
    return failed;
}

void tri_journal_name(char name[JOURNAL_NAME_BYTES], uint32_t epoch, uint32_t stream,
                      uint32_t number)
{
    (void)snprintf(name, JOURNAL_NAME_BYTES, "%u-%u-%u" JOURNAL_SUFFIX, epoch, stream, number);
}

void tri_journal_slots(uint32_t stream, uint32_t streams, uint32_t *slot_first, uint32_t *slot_last)
{
    assert(stream < streams);
    assert(streams <= TRI_SHARDS_MAX);
    /* The slots whose slot * streams / TRI_SLOT_COUNT is `stream`. */
    *slot_first = (stream * TRI_SLOT_COUNT + streams - 1) / streams;
    *slot_last = ((stream + 1) * TRI_SLOT_COUNT + streams - 1) / streams - 1;
}

/* ---- the files that there are ---- */

/* Whether `name` is that of a segment, exactly as tri_journal_name() writes it. */
static bool dir_is_segment(const char *name, struct journal_file *file)
{
    uint32_t numbers[3] = {0};
    char again[JOURNAL_NAME_BYTES];
    const char *at = name;

    for (uint32_t i = 0; i < 3; i++) {
        char *end = NULL;

        numbers[i] = (uint32_t)strtoul(at, &end, 10); /* what does not fit shows below */
        at = *end == '-' ? end + 1 : end;
    }
    file->epoch = numbers[0];
    file->stream = numbers[1];
    file->number = numbers[2];
    tri_journal_name(again, file->epoch, file->stream, file->number);
    return strcmp(name, again) == 0;
}

static int dir_order(const void *a, const void *b)
{
    const struct journal_file *left = a;
    const struct journal_file *right = b;

    if (left->epoch != right->epoch) {
        return left->epoch < right->epoch ? -1 : 1;
    }
    if (left->stream != right->stream) {
        return left->stream < right->stream ? -1 : 1;
    }
    return (left->number > right->number) - (left->number < right->number);
}

/* Adds a file to the list; returns 0 or -errno. */
static int dir_files_add(struct tri_journal_dir *dir, const struct journal_file *file)
{
    if (dir->file_count == DIR_FILES_MAX) {
        return -EFBIG;
    }
    if ((dir->file_count & (dir->file_count - 1)) == 0) { /* full: twice as many */
        size_t room = dir->file_count == 0 ? 1 : (size_t)dir->file_count * 2;
        struct journal_file *files = realloc(dir->files, room * sizeof(*files));

        if (files == NULL) {
            return -ENOMEM;
        }
        dir->files = files;
    }
    dir->files[dir->file_count++] = *file;
    return 0;
}

static int dir_list(struct tri_journal_dir *dir, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    int again = openat(dir->place.directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = again < 0 ? NULL : fdopendir(again);
    const struct dirent *entry = NULL;
    int failed = 0;

    if (names == NULL) {
        failed = -errno;
        if (again >= 0) {
            (void)close(again);
        }
        return tri_journal_say(trouble, dir->path, ".", failed, "%s", strerror(-failed));
    }
    while (failed == 0 && (errno = 0, entry = readdir(names)) != NULL) {
        struct journal_file file = {0};
        struct stat about;

        if (!dir_is_segment(entry->d_name, &file)) {
            continue;
        }
        if (fstatat(dir->place.directory, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
            failed = -errno;
        } else {
            file.bytes = (uint64_t)about.st_size;
            failed = dir_files_add(dir, &file);
        }
    }
    failed = failed == 0 && errno != 0 ? -errno : failed;
    (void)closedir(names);
    if (failed != 0) {
        return tri_journal_say(trouble, dir->path, ".", failed, "cannot be listed: %s",
                               strerror(-failed));
    }
    if (dir->file_count > 0) {
        qsort(dir->files, dir->file_count, sizeof(*dir->files), dir_order);
    }
    return 0;
}

/* Whether anything was ever written to a segment: a crash during a start leaves empty ones. */
static int dir_is_begun(const struct tri_journal_dir *dir, const struct journal_file *file,
                        bool *is_begun)
{
    char name[JOURNAL_NAME_BYTES];
    uint64_t magic = 0;
    int descriptor = 0;
    ssize_t got = 0;

    tri_journal_name(name, file->epoch, file->stream, file->number);
    descriptor = openat(dir->place.directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) {
        return -errno;
    }
    got = pread(descriptor, &magic, sizeof(magic), 0);
    if (got < 0) {
        got = -errno;
    }
    (void)close(descriptor);
    *is_begun = got > 0 && magic != 0;
    return got < 0 ? (int)got : 0;
}

/* A manifest that is older than the segments beside it would rule over the wrong past. */
static int dir_check_newer(const struct tri_journal_dir *dir,
                           char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    for (uint32_t i = 0; i < dir->file_count; i++) {
        const struct journal_file *file = &dir->files[i];
        char name[JOURNAL_NAME_BYTES];
        bool is_begun = false;
        int failed = 0;

        if (file->epoch <= dir->epoch_read) {
            continue;
        }
        tri_journal_name(name, file->epoch, file->stream, file->number);
        failed = dir_is_begun(dir, file, &is_begun);
        if (failed != 0) {
            return tri_journal_say(trouble, dir->path, name, failed, "cannot be read: %s",
                                   strerror(-failed));
        }
        if (is_begun && dir->epoch_read == 0) {
            return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, -ENOENT,
                                   "the file is missing, but there are segments with records (%s); "
                                   "restore it from a backup of the same time",
                                   name);
        }
        if (is_begun) {
            return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, -EBADMSG,
                                   "it ends with epoch %u, but %s has records; restore the "
                                   "manifest of the same time as the segments",
                                   dir->epoch_read, name);
        }
    }
    return 0;
}

/* ---- the manifest ---- */

/* Reads the manifest's text; NULL with *failed: -ENOENT or another -errno. */
static char *dir_manifest_text(const struct tri_journal_dir *dir, size_t *bytes, int *failed)
{
    size_t room = TRI_MANIFEST_BYTES(TRI_MANIFEST_STREAMS_MAX);
    char *text = malloc(room);
    int file = openat(dir->place.directory, TRI_MANIFEST_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = 1;

    *bytes = 0;
    *failed = file < 0 ? -errno : 0;
    if (*failed == 0 && text == NULL) {
        *failed = -ENOMEM;
    }
    while (*failed == 0 && got > 0 && *bytes < room - 1) {
        got = read(file, text + *bytes, room - 1 - *bytes);
        if (got < 0) {
            *failed = -errno;
        } else {
            *bytes += (size_t)got;
        }
    }
    if (file >= 0) {
        (void)close(file);
    }
    if (*failed != 0) {
        free(text);
        return NULL;
    }
    text[*bytes] = '\0';
    return text;
}

static int dir_manifest_judge(struct tri_journal_dir *dir, const struct tri_manifest *manifest,
                              const struct tri_journal_dir_options *options,
                              char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    if (options->kind != NULL && strcmp(options->kind, manifest->kind) != 0) {
        return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, -EKEYREJECTED,
                               "the journal is of a %s, not of a %s; name another directory",
                               manifest->kind, options->kind);
    }
    if (options->secret != NULL &&
        (!manifest->has_secret ||
         memcmp(manifest->fingerprint, dir->fingerprint, TRI_MANIFEST_FINGERPRINT_BYTES) != 0)) {
        return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, -EKEYREJECTED,
                               "the journal was written under another hash secret; restore the "
                               "file hash-secret that belongs to it");
    }
    memcpy(dir->kind, manifest->kind, sizeof(dir->kind));
    dir->has_secret = manifest->has_secret;
    memcpy(dir->fingerprint, manifest->fingerprint, sizeof(dir->fingerprint));
    dir->epoch_read = manifest->epoch;
    return 0;
}

/* Finds the files of an old stream: the consecutive ones up to the last. */
static int dir_old_files(struct tri_journal_dir *dir, struct journal_old *old)
{
    uint32_t count = 0;

    old->segment_first = 1;
    old->segment_last = 0;
    for (uint32_t i = 0; i < dir->file_count; i++) {
        const struct journal_file *file = &dir->files[i];

        if (file->epoch != old->named.epoch || file->stream != old->named.stream) {
            continue;
        }
        if (old->segment_last == 0 || file->number != old->segment_last + 1) {
            old->segment_first = file->number;
        }
        old->segment_last = file->number;
    }
    if (old->segment_last >= old->segment_first) {
        count = old->segment_last - old->segment_first + 1;
        old->lsn_first = calloc(count, sizeof(*old->lsn_first));
    }
    old->seen = (struct tri_journal_stream){
        .epoch = old->named.epoch,
        .stream = old->named.stream,
        .streams = old->named.streams,
        .slot_first = old->named.slot_first,
        .slot_last = old->named.slot_last,
        .segment_first = old->segment_first,
        .segments = count,
    };
    return count > 0 && old->lsn_first == NULL ? -ENOMEM : 0;
}

/* Reads the manifest and finds the files of each stream in it. */
static int dir_manifest(struct tri_journal_dir *dir, const struct tri_journal_dir_options *options,
                        char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_manifest manifest = {0};
    const char *what = NULL;
    size_t bytes = 0;
    int failed = 0;
    char *text = dir_manifest_text(dir, &bytes, &failed);

    if (failed == -ENOENT) {
        return 0; /* a new journal, or dir_check_newer() knows better */
    }
    if (failed != 0) {
        return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, failed, "cannot be read: %s",
                               strerror(-failed));
    }
    manifest.streams = calloc(TRI_MANIFEST_STREAMS_MAX, sizeof(*manifest.streams));
    failed = manifest.streams == NULL
                 ? -ENOMEM
                 : tri_manifest_get(&manifest, TRI_MANIFEST_STREAMS_MAX, text, bytes, &what);
    if (failed == -EPROTONOSUPPORT) {
        (void)tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, failed,
                              "the journal has format version %u, this program reads version %u; "
                              "use the release that wrote it",
                              manifest.version, TRI_MANIFEST_VERSION);
    } else if (failed != 0) {
        (void)tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, failed,
                              "%s; restore it from a backup of the same time as the segments",
                              what == NULL ? strerror(-failed) : what);
    } else {
        failed = dir_manifest_judge(dir, &manifest, options, trouble);
    }
    if (failed == 0 && manifest.count > 0) {
        dir->old = calloc(manifest.count, sizeof(*dir->old));
        failed = dir->old == NULL ? -ENOMEM : 0;
    }
    for (uint32_t i = 0; failed == 0 && i < manifest.count; i++) {
        dir->old[i].named = manifest.streams[i];
        dir->old_count++;
        failed = dir_old_files(dir, &dir->old[i]);
    }
    if (failed == -ENOMEM) {
        (void)tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, failed, "no memory for it");
    }
    free(manifest.streams);
    free(text);
    return failed;
}

/* ---- life ---- */

int tri_journal_dir_open(struct tri_journal_dir **to, const char *path,
                         const struct tri_journal_dir_options *options,
                         char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_journal_dir *dir = calloc(1, sizeof(*dir));
    int failed = 0;

    assert(options->is_read_only || options->kind != NULL);
    assert(options->kind == NULL || strlen(options->kind) < TRI_JOURNAL_KIND_BYTES);
    *to = NULL;
    if (dir == NULL || (dir->path = strdup(path)) == NULL) {
        free(dir);
        return tri_journal_say(trouble, path, "", -ENOMEM, "no memory");
    }
    dir->options = *options;
    dir->options.kind = NULL;
    dir->options.secret = NULL;
    for (uint32_t i = 0; i < TRI_SHARDS_MAX; i++) {
        dir->first_files[i] = -1;
    }
    if (options->kind != NULL) {
        (void)snprintf(dir->kind, sizeof(dir->kind), "%s", options->kind);
    }
    if (options->secret != NULL) {
        dir->has_secret = true;
        tri_manifest_fingerprint(options->secret, dir->fingerprint);
    }
    dir->place =
        (struct tri_state){.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .lock = -1};
    if (dir->place.directory < 0) {
        failed = tri_journal_say(trouble, path, "", -errno,
                                 "%s; the journal's directory must exist", strerror(errno));
    }
    failed = failed != 0 ? failed : dir_list(dir, trouble);
    failed = failed != 0 ? failed : dir_manifest(dir, options, trouble);
    failed = failed != 0 ? failed : dir_check_newer(dir, trouble);
    if (failed != 0) {
        tri_journal_dir_close(dir);
        return failed;
    }
    *to = dir;
    return 0;
}

void tri_journal_dir_close(struct tri_journal_dir *dir)
{
    if (dir == NULL) {
        return;
    }
    for (uint32_t i = 0; i < dir->old_count; i++) {
        free(dir->old[i].lsn_first);
    }
    for (uint32_t i = 0; i < TRI_SHARDS_MAX; i++) {
        if (dir->first_files[i] >= 0) {
            (void)close(dir->first_files[i]);
        }
    }
    if (dir->place.directory >= 0) {
        (void)close(dir->place.directory);
    }
    free(dir->old);
    free(dir->files);
    free(dir->path);
    free(dir);
}

const char *tri_journal_dir_kind(const struct tri_journal_dir *dir)
{
    return dir->kind;
}

uint32_t tri_journal_dir_epoch(const struct tri_journal_dir *dir)
{
    return dir->epoch_read;
}

uint32_t tri_journal_dir_streams(const struct tri_journal_dir *dir)
{
    return dir->old_count;
}

const struct tri_journal_stream *tri_journal_dir_stream(const struct tri_journal_dir *dir,
                                                        uint32_t index)
{
    assert(index < dir->old_count);
    return &dir->old[index].seen;
}

bool tri_journal_dir_has_old(const struct tri_journal_dir *dir)
{
    /* pairs with the release in journal_retire.c */
    return atomic_load_explicit(&dir->has_old, memory_order_acquire) != 0;
}

const char *tri_journal_dir_mode(const struct tri_journal_dir *dir)
{
    return dir->is_direct ? "direct" : "buffered";
}
