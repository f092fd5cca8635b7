/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive in a fresh directory under /tmp, for tests of io/archive.
 *
 * A test program has fsync() and fdatasync() of its own, which return flush(): it counts, flushes
 * nothing, and fails when it is told to.
 */
#ifndef TRI_TESTS_ARCHIVE_STAND_H
#define TRI_TESTS_ARCHIVE_STAND_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/archive.h"
#include "io/archive_manifest.h"
#include "tests/unit/archive_kit.h"

static char directory[64];
static char trouble[TRI_ARCHIVE_TROUBLE_BYTES];
static struct tri_signer signer;
static struct tri_archive_options options;
static uint32_t flushes;
static uint32_t flush_that_fails; /* counted from 1; 0 = none */

static inline int flush(void)
{
    flushes++;
    errno = EIO;
    return flushes == flush_that_fails ? -1 : 0;
}

static inline const char *path_of(const char *name)
{
    static char paths[2][512];
    static uint32_t next;

    next ^= 1;
    (void)snprintf(paths[next], sizeof(paths[next]), "%s/%s", directory, name);
    return paths[next];
}

static inline void setup(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/tricast-archive-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    signer = kit_signer(1);
    options = (struct tri_archive_options){.signer = &signer};
    flushes = 0;
    flush_that_fails = 0;
}

static inline uint32_t each_file(void (*each)(const char *path))
{
    DIR *names = opendir(directory);
    const struct dirent *entry = NULL;
    uint32_t count = 0;

    cr_assert_not_null(names);
    while ((entry = readdir(names)) != NULL) {
        if (entry->d_name[0] != '.') {
            count++;
            each(path_of(entry->d_name));
        }
    }
    (void)closedir(names);
    return count;
}

static inline void remove_one(const char *path)
{
    cr_assert_eq(unlink(path), 0);
}

static inline void teardown(void)
{
    (void)each_file(remove_one);
    cr_assert_eq(rmdir(directory), 0);
}

/* ---- files ---- */

struct copy {
    uint8_t *at;
    size_t bytes;
};

static inline struct copy copy_of(const char *name)
{
    struct copy copy = {0};
    struct stat about;
    int file = open(path_of(name), O_RDONLY);

    cr_assert_geq(file, 0, "%s", name);
    cr_assert_eq(fstat(file, &about), 0);
    copy.bytes = (size_t)about.st_size;
    copy.at = malloc(copy.bytes + 1);
    cr_assert_not_null(copy.at);
    cr_assert_eq(read(file, copy.at, copy.bytes), (ssize_t)copy.bytes);
    (void)close(file);
    return copy;
}

static inline size_t size_of(const char *name)
{
    struct stat about;

    cr_assert_eq(stat(path_of(name), &about), 0);
    return (size_t)about.st_size;
}

static inline void put_back(const char *name, const struct copy *copy, size_t bytes)
{
    int file = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, copy->at, bytes), (ssize_t)bytes);
    (void)close(file);
}

static inline void flip(const char *name, off_t at, uint8_t bits)
{
    uint8_t byte = 0;
    int file = open(path_of(name), O_RDWR);

    cr_assert_geq(file, 0);
    cr_assert_eq(pread(file, &byte, 1, at), 1);
    byte ^= bits;
    cr_assert_eq(pwrite(file, &byte, 1, at), 1);
    (void)close(file);
}

static inline bool is_same(const char *name, const struct copy *copy)
{
    struct copy now = copy_of(name);
    bool is_equal = now.bytes == copy->bytes && memcmp(now.at, copy->at, now.bytes) == 0;

    free(now.at);
    return is_equal;
}

static inline bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* ---- archives ---- */

static inline struct tri_archive *opened(void)
{
    struct tri_archive *archive = NULL;

    cr_assert_eq(tri_archive_open(&archive, directory, &options, trouble), 0, "%s", trouble);
    return archive;
}

static inline int open_fails(void)
{
    struct tri_archive *archive = NULL;
    int failed = tri_archive_open(&archive, directory, &options, trouble);

    cr_expect_eq(archive == NULL, failed != 0);
    tri_archive_close(archive);
    return failed;
}

static inline struct tri_archive *begun(uint32_t epoch, uint32_t streams)
{
    struct tri_archive *archive = opened();

    cr_assert_eq(tri_archive_begin(archive, epoch, streams, true, trouble), 0, "%s", trouble);
    return archive;
}

/* Record n of a stream holds n mod 3 + 1 messages, whose numbers nobody else has. */
static inline int append(struct tri_archive *archive, uint32_t epoch, uint32_t shard,
                         uint64_t oss_epoch)
{
    uint32_t count = (uint32_t)(oss_epoch % 3) + 1;

    kit_make(epoch * 100000 + shard * 10000 + (uint32_t)oss_epoch * 10, count, true);
    trouble[0] = '\0';
    return tri_archive_append(archive, epoch, shard, oss_epoch, kit_entries, count, trouble);
}

static inline void append_all(struct tri_archive *archive, uint32_t epoch, uint32_t shard,
                              uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        cr_assert_eq(append(archive, epoch, shard, n), 0, "%s", trouble);
    }
}

static inline void synced(struct tri_archive *archive)
{
    cr_assert_eq(tri_archive_sync(archive, trouble), 0, "%s", trouble);
}

/* Where record n of the file begins; n from 1. */
static inline size_t offset_of(const struct copy *copy, uint32_t n)
{
    size_t at = 0;

    for (; n > 1; n--) {
        at += TRI_ARCHIVE_FRAME_BYTES + tri_archive_frame_get(copy->at + at);
        cr_assert_leq(at, copy->bytes);
    }
    return at;
}

/* Checks a stream from its first file on, as docs/finality.md says; returns its records. */
static inline uint64_t stream_check(uint32_t epoch, uint32_t shard, uint64_t *messages)
{
    struct tri_archive_manifest manifest;
    const struct tri_archive_stream *stream = NULL;
    struct copy text = copy_of("manifest");
    uint8_t previous[TRI_DIGEST_BYTES];
    const char *fault = "";
    uint64_t last = 0;
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    cr_assert_eq(tri_archive_manifest_read(&manifest, (const char *)text.at, text.bytes, &fault),
                 0);
    stream = tri_archive_manifest_find(&manifest, epoch, shard);
    cr_assert_not_null(stream);
    memcpy(previous, stream->origin, sizeof(previous));
    *messages = 0;
    tri_archive_name_put(epoch, shard, 1, name);
    while (exists(name)) {
        struct copy copy = copy_of(name);
        size_t at = 0;

        while (at < copy.bytes) {
            uint32_t bytes = tri_archive_frame_get(copy.at + at);
            struct tri_archive_record record;

            cr_assert(tri_archive_record_get(
                          (struct tri_bytes){copy.at + at + TRI_ARCHIVE_FRAME_BYTES, bytes},
                          &record, &fault) &&
                          tri_archive_record_check(&record, &fault) &&
                          tri_archive_record_is_signed(&record) &&
                          tri_archive_record_follows(&record, manifest.archive, epoch, shard,
                                                     last + 1, previous, &fault),
                      "%s: %s", name, fault);
            last++;
            *messages += record.header.message_count;
            tri_finality_header_hash(record.header_bytes, previous);
            at += TRI_ARCHIVE_FRAME_BYTES + bytes;
        }
        free(copy.at);
        tri_archive_name_put(epoch, shard, last + 1, name);
    }
    if (stream->is_closed) {
        cr_expect_eq(stream->records, last);
        cr_expect_eq(stream->messages, *messages);
        cr_expect(last == 0 || memcmp(stream->head, previous, sizeof(previous)) == 0);
    }
    tri_archive_manifest_fini(&manifest);
    free(text.at);
    return last;
}

static inline void expect_stream(uint32_t epoch, uint32_t shard, uint64_t records,
                                 uint64_t messages)
{
    uint64_t found = 0;

    cr_expect_eq(stream_check(epoch, shard, &found), records, "stream %u-%u", epoch, shard);
    cr_expect_eq(found, messages, "stream %u-%u", epoch, shard);
}

#endif
