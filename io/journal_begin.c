/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new set: its first segments are made before the manifest names it, and
 * nothing is written to them before that; so whatever a crash leaves, the
 * manifest that is there names only what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/journal_internal.h"
#include "io/secret.h"

const uint8_t *tri_journal_zeros(void)
{
    static _Alignas(TRI_LOG_PAGE_BYTES) uint8_t zeros[JOURNAL_ZEROS_BYTES];

    return zeros;
}

int tri_journal_file_make(int directory, const char *name, uint64_t bytes, bool is_direct)
{
    int file = openat(
        directory, name,
        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | (is_direct ? O_DIRECT : 0), 0600);
    uint64_t done = 0;
    int failed = file < 0 ? -errno : 0;

    if (failed != 0) {
        return failed;
    }
    /* In one piece where the file system can; it must not only be reserved but written, because
     * the first write to a reserved block costs a journal entry of the file system. */
    (void)fallocate(file, 0, 0, (off_t)bytes);
    while (failed == 0 && done < bytes) {
        uint64_t piece = bytes - done < JOURNAL_ZEROS_BYTES ? bytes - done : JOURNAL_ZEROS_BYTES;
        ssize_t put = pwrite(file, tri_journal_zeros(), piece, (off_t)done);

        if (put > 0) {
            done += (uint64_t)put;
        } else if (put == 0 || errno != EINTR) {
            failed = put == 0 ? -ENOSPC : -errno;
        }
    }
    if (failed == 0 && fsync(file) != 0) {
        failed = -errno;
    }
    if (failed != 0) {
        (void)close(file);
        (void)unlinkat(directory, name, 0);
        return failed;
    }
    return file;
}

static bool begin_is_kept(const struct journal_old *old)
{
    return old->seen.lsn > 0;
}

/* The stream of the manifest that a segment belongs to; NULL = none. */
static const struct journal_old *begin_old(const struct tri_journal_dir *dir,
                                           const struct journal_file *file)
{
    for (uint32_t i = 0; i < dir->old_count; i++) {
        if (dir->old[i].named.epoch == file->epoch && dir->old[i].named.stream == file->stream) {
            return &dir->old[i];
        }
    }
    return NULL;
}

/* Removes the segments of no set: a start that failed left them, or one that removed old sets and
 * was ended.  Before new ones are made, or a full disk would fill up with every attempt. */
static void begin_sweep(struct tri_journal_dir *dir)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < dir->file_count; i++) {
        const struct journal_file *file = &dir->files[i];
        char name[JOURNAL_NAME_BYTES];

        if (begin_old(dir, file) != NULL) {
            dir->files[kept++] = *file;
        } else {
            tri_journal_name(name, file->epoch, file->stream, file->number);
            (void)unlinkat(dir->place.directory, name, 0);
        }
    }
    dir->file_count = kept;
}

/* Makes the first segment of every new stream; the first one finds out whether O_DIRECT works. */
static int begin_files(struct tri_journal_dir *dir, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    uint64_t bytes = dir->options.segment_bytes_first;
    char name[JOURNAL_NAME_BYTES];
    int failed = 0;

    dir->is_direct = !dir->options.is_buffered;
    for (uint32_t i = 0; i < dir->streams; i++) {
        int file = 0;

        tri_journal_name(name, dir->epoch, i, 1);
        file = tri_journal_file_make(dir->place.directory, name, bytes, dir->is_direct);
        if (i == 0 && file == -EINVAL && dir->is_direct) {
            dir->is_direct = false;
            file = tri_journal_file_make(dir->place.directory, name, bytes, false);
        }
        if (file < 0) {
            return tri_journal_say(trouble, dir->path, name, file, "cannot be made: %s%s",
                                   strerror(-file),
                                   file == -ENOSPC ? "; make space on the journal's disk" : "");
        }
        dir->first_files[i] = file;
    }
    if (fsync(dir->place.directory) != 0) {
        return tri_journal_say(trouble, dir->path, ".", -errno, "cannot be flushed: %s",
                               strerror(errno));
    }
    failed = tri_state_settle(&dir->place);
    return failed == 0 ? 0
                       : tri_journal_say(trouble, dir->path, "..", failed, "cannot be flushed: %s",
                                         strerror(-failed));
}

/* What the recovery has read of a stream without a cut may have come from the page cache alone, or
 * from the disk's own: the writer was killed before its write had ended.  The manifest is about to
 * say that the stream ends behind it, so it must not go away any more. */
static int begin_sync_old(struct tri_journal_dir *dir, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    int failed = 0;

    for (uint32_t i = 0; failed == 0 && i < dir->file_count; i++) {
        const struct journal_file *file = &dir->files[i];
        const struct journal_old *old = begin_old(dir, file);
        char name[JOURNAL_NAME_BYTES];
        int descriptor = -1;

        if (old == NULL || old->named.has_cut || !begin_is_kept(old)) {
            continue;
        }
        tri_journal_name(name, file->epoch, file->stream, file->number);
        descriptor = openat(dir->place.directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (descriptor < 0 || fsync(descriptor) != 0) {
            failed = tri_journal_say(trouble, dir->path, name, -errno,
                                     "cannot be flushed: %s; look at the disk", strerror(errno));
        }
        if (descriptor >= 0) {
            (void)close(descriptor);
        }
    }
    return failed;
}

/* Gives the space back; no manifest names these files yet. */
static void begin_undo(struct tri_journal_dir *dir)
{
    for (uint32_t i = 0; i < dir->streams; i++) {
        char name[JOURNAL_NAME_BYTES];

        if (dir->first_files[i] >= 0) {
            tri_journal_name(name, dir->epoch, i, 1);
            (void)unlinkat(dir->place.directory, name, 0);
        }
    }
}

static int begin_name(struct tri_journal_dir *dir, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    for (uint32_t i = 0; i < dir->streams; i++) {
        struct tri_manifest_stream *named = &dir->named[i];
        int failed = 0;

        *named =
            (struct tri_manifest_stream){.epoch = dir->epoch, .stream = i, .streams = dir->streams};
        tri_journal_slots(i, dir->streams, &named->slot_first, &named->slot_last);
        failed = tri_secret_random((uint8_t *)&named->seed, sizeof(named->seed));
        if (failed != 0) {
            return tri_journal_say(trouble, dir->path, ".", failed, "no random numbers: %s",
                                   strerror(-failed));
        }
    }
    return 0;
}

/* How many streams the next manifest names; more than there may be are refused with advice. */
static int begin_count(const struct tri_journal_dir *dir, uint32_t *count,
                       char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < dir->old_count; i++) {
        kept += begin_is_kept(&dir->old[i]) ? 1 : 0;
    }
    *count = kept + dir->streams;
    if (*count <= TRI_MANIFEST_STREAMS_MAX) {
        return 0;
    }
    if (kept < TRI_MANIFEST_STREAMS_MAX) {
        return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, -EFBIG,
                               "it would name %u streams, more than %u: so many starts ended "
                               "before a whole checkpoint; find out why, start with %u shards at "
                               "most and let it run until the old sets are gone",
                               *count, TRI_MANIFEST_STREAMS_MAX, TRI_MANIFEST_STREAMS_MAX - kept);
    }
    return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, -EFBIG,
                           "it names %u streams, and there is room for no other: so many starts "
                           "ended before a whole checkpoint; move the files of the journal away to "
                           "begin anew without what they hold",
                           kept);
}

/* Writes the manifest: old streams with records and their cuts, and the new set. */
static int begin_manifest(struct tri_journal_dir *dir, uint32_t count,
                          char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    size_t room = TRI_MANIFEST_BYTES((size_t)count);
    struct tri_manifest manifest = {.epoch = dir->epoch, .has_secret = dir->has_secret};
    char *text = malloc(room);
    int failed = 0;

    manifest.streams = calloc(count, sizeof(*manifest.streams));
    if (text == NULL || manifest.streams == NULL) {
        failed = -ENOMEM;
    } else {
        memcpy(manifest.kind, dir->kind, sizeof(manifest.kind));
        memcpy(manifest.fingerprint, dir->fingerprint, sizeof(manifest.fingerprint));
        for (uint32_t i = 0; i < dir->old_count; i++) {
            const struct journal_old *old = &dir->old[i];

            if (begin_is_kept(old)) {
                struct tri_manifest_stream *named = &manifest.streams[manifest.count++];

                *named = old->named;
                named->has_cut = true;
                named->cut_seq = old->seq;
                named->cut_lsn = old->seen.lsn;
            }
        }
        memcpy(&manifest.streams[manifest.count], dir->named,
               dir->streams * sizeof(*manifest.streams));
        manifest.count += dir->streams;
        failed = tri_state_replace(&dir->place, TRI_MANIFEST_NAME, text,
                                   tri_manifest_put(&manifest, text, room));
    }
    free(manifest.streams);
    free(text);
    return failed == 0
               ? 0
               : tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, failed,
                                 "cannot be written: %s%s", strerror(-failed),
                                 failed == -ENOSPC ? "; make space on the journal's disk" : "");
}

/* Removes the segments of streams that the new manifest has left out; the others stay listed. */
static void begin_clean(struct tri_journal_dir *dir)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < dir->file_count; i++) {
        const struct journal_file *file = &dir->files[i];
        char name[JOURNAL_NAME_BYTES];

        if (begin_is_kept(begin_old(dir, file))) {
            dir->files[kept++] = *file;
        } else {
            tri_journal_name(name, file->epoch, file->stream, file->number);
            (void)unlinkat(dir->place.directory, name, 0);
        }
    }
    dir->file_count = kept;
    atomic_store_explicit(&dir->has_old, kept > 0 ? 1 : 0, memory_order_relaxed);
}

int tri_journal_dir_begin(struct tri_journal_dir *dir, uint32_t epoch, uint32_t streams,
                          char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_log_options sizes = {
        .epoch = epoch,
        .streams = streams,
        .segment_bytes = dir->options.segment_bytes,
        .segment_bytes_first = dir->options.segment_bytes_first,
        .block_bytes_max = dir->options.block_bytes_max,
    };
    uint32_t count = 0;
    int failed = 0;

    assert(dir->epoch == 0);
    assert(!dir->options.is_read_only);
    assert(streams >= 1);
    assert(streams <= TRI_SHARDS_MAX);
    for (uint32_t i = 0; i < dir->old_count; i++) {
        assert(dir->old[i].seen.is_scanned);
    }
    if (tri_log_footprint(&sizes) == 0) {
        return tri_journal_say(trouble, dir->path, ".", -EINVAL,
                               "segments of %llu bytes, the first of %llu, and blocks of %u bytes "
                               "do not go together",
                               (unsigned long long)sizes.segment_bytes,
                               (unsigned long long)sizes.segment_bytes_first,
                               sizes.block_bytes_max);
    }
    if (epoch <= dir->epoch_read) {
        return tri_journal_say(trouble, dir->path, TRI_MANIFEST_NAME, -EEXIST,
                               "it has epoch %u, but this start is epoch %u; write the highest "
                               "epoch ever used into the file epoch",
                               dir->epoch_read, epoch);
    }
    dir->options.segment_bytes_first = tri_log_segment_bytes(&sizes, 1);
    dir->epoch = epoch;
    dir->streams = streams;
    failed = begin_count(dir, &count, trouble);
    failed = failed != 0 ? failed : begin_name(dir, trouble);
    failed = failed != 0 ? failed : begin_sync_old(dir, trouble);
    if (failed != 0) {
        return failed;
    }
    begin_sweep(dir);
    failed = begin_files(dir, trouble);
    if (failed != 0) {
        begin_undo(dir);
        return failed;
    }
    failed = begin_manifest(dir, count, trouble);
    if (failed == 0) {
        begin_clean(dir);
    }
    return failed;
}
