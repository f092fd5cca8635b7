/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands at the end of a stream that nobody has closed?
 *
 * The last file is read whole and its records are checked one by one.  At the first one that is not
 * right there are two cases.  The process or the machine has died while it was written: then it is
 * a tail, the journal still has what was in it, and it may be cut.  Or bytes have changed that were
 * durable, and of those behind them the archive may hold the only copy: then nothing may be
 * touched.
 *
 * What tells them apart is whether a genuine record of the same stream stands further on.  The
 * length of a damaged record may be what is damaged, so the rest is searched for the bytes with
 * which each header of this archive begins, and what is found counts if it is whole and signed.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/wire.h"
#include "io/archive_internal.h"
#include "io/state.h"

/* Signatures cost most of a check.  Only a tail can be torn, so only its records' are checked here;
 * those before it are for who verifies the archive.  Two of the largest records: the torn one, and
 * one that is whole. */
#define WALK_TAIL_BYTES ((size_t)2 * (TRI_ARCHIVE_RECORD_BYTES_MAX + TRI_ARCHIVE_FRAME_BYTES))

#define WALK_FILE_BYTES_MAX (UINT64_C(1) << 32)
#define HOP_BYTES           1024U /* enough for the headers of most records */

/* The beginning of a record whose header is as long as headers get. */
#define HOP_BYTES_MAX \
    (TRI_ARCHIVE_FRAME_BYTES + TRI_FINALITY_HEADER_BYTES_MAX + TRI_FINALITY_SIGNATURE_BYTES + 16U)

/* The first bytes of every header: an array of 11, the format, the archive. */
#define WALK_MARK_BYTES (2U + (sizeof(TRI_FINALITY_FORMAT) - 1) + 2U + TRI_FINALITY_ARCHIVE_BYTES)
/* Before it stand the length, an array of 3, and 2 or 3 bytes of the header's own length. */
#define WALK_MARK_AT    (TRI_ARCHIVE_FRAME_BYTES + 1U + 2U)

static int walk_say(const struct tri_archive *archive, const struct archive_file *file,
                    uint64_t offset, const char *fault, const char *advice,
                    char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    tri_archive_name_put(file->epoch, file->shard, file->first, name);
    return tri_archive_say(archive, trouble, name, -EBADMSG, "offset %" PRIu64 ": %s; %s", offset,
                           fault, advice);
}

/* Opens the file; returns a descriptor or -errno with a line in `trouble`. */
static int walk_open(const struct tri_archive *archive, const struct archive_file *file,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    int descriptor = 0;

    tri_archive_name_put(file->epoch, file->shard, file->first, name);
    descriptor = tri_state_file(archive->directory, name);
    if (descriptor < 0) {
        return tri_archive_say(archive, trouble, name, descriptor, "cannot be opened: %s",
                               tri_state_why(descriptor));
    }
    return descriptor;
}

/* Reads until `count` bytes are there or the file ends; returns how many, or -errno. */
static ssize_t walk_read(int file, uint8_t *to, size_t count, uint64_t offset)
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

static int walk_read_fault(const struct tri_archive *archive, const struct archive_file *file,
                           int failed, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    tri_archive_name_put(file->epoch, file->shard, file->first, name);
    return tri_archive_say(archive, trouble, name, failed, "cannot be read: %s", strerror(-failed));
}

/* Whether the record is the next one. */
static bool walk_follows(const struct tri_archive *archive, const struct archive_file *file,
                         const struct archive_walk *walk, const struct tri_archive_record *record,
                         const char **fault)
{
    return tri_archive_record_follows(record, archive->manifest.archive, file->epoch, file->shard,
                                      walk->last + 1, walk->previous, fault);
}

static void walk_pass(struct archive_walk *walk, const struct tri_archive_record *record)
{
    walk->last = record->header.oss_epoch;
    walk->messages += record->header.message_count;
    tri_finality_header_hash(record->header_bytes, walk->previous);
}

/* ---- files before the last ---- */

/* Passes one record; returns its bytes, 0 with *fault, or -errno. */
static int64_t hop_one(const struct tri_archive *archive, const struct archive_file *file,
                       int descriptor, uint64_t offset, struct archive_walk *walk,
                       const char **fault)
{
    uint8_t bytes[HOP_BYTES_MAX];
    struct tri_archive_record record;
    uint64_t left = file->bytes - offset;
    uint64_t whole = 0;

    *fault = "the file ends within a record";
    for (uint32_t want = HOP_BYTES;; want = HOP_BYTES_MAX) {
        ssize_t got = walk_read(descriptor, bytes, want, offset);

        if (got < 0) {
            return got;
        }
        if (got < (ssize_t)TRI_ARCHIVE_FRAME_BYTES) {
            return 0;
        }
        whole = tri_archive_frame_get(bytes);
        if (whole == 0) {
            *fault = "no record has such a length";
            return 0;
        }
        whole += TRI_ARCHIVE_FRAME_BYTES;
        if (whole > left) {
            return 0;
        }
        got = (uint64_t)got < whole ? got : (ssize_t)whole;
        if (tri_archive_record_peek((struct tri_bytes){bytes + TRI_ARCHIVE_FRAME_BYTES,
                                                       (uint32_t)got - TRI_ARCHIVE_FRAME_BYTES},
                                    &record, fault)) {
            break;
        }
        if (want == HOP_BYTES_MAX) {
            return 0;
        }
    }
    if (!walk_follows(archive, file, walk, &record, fault)) {
        return 0;
    }
    walk_pass(walk, &record);
    return (int64_t)whole;
}

int tri_archive_hop(const struct tri_archive *archive, const struct archive_file *file,
                    struct archive_walk *walk, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    const char *fault = "";
    uint64_t offset = 0;
    int64_t passed = 1;
    int descriptor = walk_open(archive, file, trouble);

    if (descriptor < 0) {
        return descriptor;
    }
    while (passed > 0 && offset < file->bytes) {
        passed = hop_one(archive, file, descriptor, offset, walk, &fault);
        offset += passed > 0 ? (uint64_t)passed : 0;
    }
    (void)close(descriptor);
    if (passed < 0) {
        return walk_read_fault(archive, file, (int)passed, trouble);
    }
    if (passed == 0) {
        return walk_say(archive, file, offset, fault,
                        "the file is damaged: restore it from a backup", trouble);
    }
    walk->good_bytes = offset;
    return 0;
}

/* ---- the last file ---- */

/* A file in memory. */
struct walk_text {
    const uint8_t *at;
    uint64_t bytes;
};

/* Takes the record at `offset` apart and checks all of it but its place in the stream and its
 * signature; returns its bytes, 0 with *fault. */
static uint64_t walk_get(const struct walk_text *text, uint64_t offset,
                         struct tri_archive_record *record, const char **fault)
{
    uint64_t left = text->bytes - offset;
    uint32_t body_bytes = 0;

    *fault = "the file ends within a record";
    if (left < TRI_ARCHIVE_FRAME_BYTES) {
        return 0;
    }
    body_bytes = tri_archive_frame_get(text->at + offset);
    if (body_bytes == 0) {
        *fault = "no record has such a length";
        return 0;
    }
    if (body_bytes > left - TRI_ARCHIVE_FRAME_BYTES) {
        return 0;
    }
    if (!tri_archive_record_get(
            (struct tri_bytes){text->at + offset + TRI_ARCHIVE_FRAME_BYTES, body_bytes}, record,
            fault) ||
        !tri_archive_record_check(record, fault)) {
        return 0;
    }
    return TRI_ARCHIVE_FRAME_BYTES + (uint64_t)body_bytes;
}

/* Whether a genuine later record of the stream begins at `offset`. */
static bool walk_is_later(const struct tri_archive *archive, const struct archive_file *file,
                          const struct archive_walk *walk, const struct walk_text *text,
                          uint64_t offset)
{
    struct tri_archive_record record;
    const char *fault = NULL;
    uint32_t epoch = 0;
    uint32_t shard = 0;

    return walk_get(text, offset, &record, &fault) != 0 &&
           tri_stream_get(record.header.stream, &epoch, &shard) && epoch == file->epoch &&
           shard == file->shard && record.header.oss_epoch > walk->last &&
           memcmp(record.header.archive, archive->manifest.archive,
                  sizeof(record.header.archive)) == 0 &&
           tri_archive_record_is_signed(&record);
}

/* Whether such a record stands anywhere behind `offset`; *found is where. */
static bool walk_search(const struct tri_archive *archive, const struct archive_file *file,
                        const struct archive_walk *walk, const struct walk_text *text,
                        uint64_t offset, uint64_t *found)
{
    static const char format[] = TRI_FINALITY_FORMAT;
    uint8_t mark[WALK_MARK_BYTES];
    struct tri_writer writer = {.at = mark, .end = mark + sizeof(mark)};
    const uint8_t *end = text->at + text->bytes;
    const uint8_t *at = text->at + offset;

    tri_put_array(&writer, 11);
    tri_put_text(&writer, (struct tri_text){format, sizeof(format) - 1});
    tri_put_bin(&writer,
                (struct tri_bytes){archive->manifest.archive, sizeof(archive->manifest.archive)});
    assert(!writer.failed && writer.at == writer.end);
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof(mark))) != NULL) {
        for (uint32_t before = WALK_MARK_AT; before <= WALK_MARK_AT + 1; before++) {
            uint64_t from = (uint64_t)(at - text->at);

            if (from > offset + before && walk_is_later(archive, file, walk, text, from - before)) {
                *found = from - before;
                return true;
            }
        }
        at++;
    }
    return false;
}

/* Goes from record to record; returns 0 or -EBADMSG with a line in `trouble`. */
static int walk_text(const struct tri_archive *archive, const struct archive_file *file,
                     const struct walk_text *text, struct archive_walk *walk,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_archive_record record;
    const char *fault = "";
    uint64_t later = 0;

    walk->good_bytes = 0;
    while (walk->good_bytes < text->bytes) {
        uint64_t passed = walk_get(text, walk->good_bytes, &record, &fault);

        if (passed == 0 || !walk_follows(archive, file, walk, &record, &fault)) {
            break;
        }
        if (text->bytes - walk->good_bytes <= WALK_TAIL_BYTES &&
            !tri_archive_record_is_signed(&record)) {
            fault = "the record's signature is not by its key";
            break;
        }
        walk_pass(walk, &record);
        walk->good_bytes += passed;
    }
    if (walk->good_bytes < text->bytes &&
        walk_search(archive, file, walk, text, walk->good_bytes, &later)) {
        return walk_say(
            archive, file, walk->good_bytes, fault,
            "later records stand behind it, so it is no torn write: restore the file from a "
            "backup; if there is none and the journal is whole, cut the file at this "
            "offset and start again",
            trouble);
    }
    return 0;
}

int tri_archive_walk(const struct tri_archive *archive, const struct archive_file *file,
                     struct archive_walk *walk, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct walk_text text = {0};
    uint8_t *bytes = NULL;
    ssize_t got = 0;
    int descriptor = 0;
    int failed = 0;

    if (file->bytes > WALK_FILE_BYTES_MAX) {
        return walk_say(archive, file, WALK_FILE_BYTES_MAX, "no file of an archive is so long",
                        "restore it from a backup", trouble);
    }
    descriptor = walk_open(archive, file, trouble);
    if (descriptor < 0) {
        return descriptor;
    }
    bytes = malloc(file->bytes + 1);
    got = bytes == NULL ? -ENOMEM : walk_read(descriptor, bytes, file->bytes, 0);
    (void)close(descriptor);
    if (got < 0) {
        failed = walk_read_fault(archive, file, (int)got, trouble);
    } else {
        text = (struct walk_text){.at = bytes, .bytes = (uint64_t)got};
        failed = walk_text(archive, file, &text, walk, trouble);
    }
    free(bytes);
    return failed;
}
