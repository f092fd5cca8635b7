/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Old streams are read twice: once to check every byte and to find where the
 * stream ends and from where on its records are needed, which only its last
 * block says; and once to give the records, from the page cache then, without
 * hashing.
 *
 * Reading goes through a buffer and not through a map: a bad sector is then an
 * error with a place, not a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/journal_internal.h"
#include "io/place.h"

#define READ_BYTES       ((size_t)512 << 10) /* at once: stays in a core's cache */
#define READ_AHEAD_BYTES (16U << 20)         /* asked of the kernel */
#define READ_ROOM_BYTES  ((size_t)1 << 20)   /* at least the largest block */

/* One walk along a stream. */
struct reader {
    const struct tri_journal_dir *dir;
    const struct journal_old *old;
    char *trouble;
    struct tri_log_scan scan;
    struct tri_log_window window;
    int file;       /* of window.segment; -1 = none */
    uint64_t ahead; /* the kernel was asked to read up to here */
    uint8_t *buffer;
};

static void reader_name(const struct reader *reader, uint32_t segment,
                        char name[JOURNAL_NAME_BYTES])
{
    tri_journal_name(name, reader->old->named.epoch, reader->old->named.stream, segment);
}

static int reader_open(struct reader *reader, const struct journal_old *old,
                       const struct tri_log_scan_options *options)
{
    reader->old = old;
    reader->file = -1;
    reader->window = (struct tri_log_window){0};
    tri_log_scan_init(&reader->scan, options);
    if (reader->buffer == NULL) {
        reader->buffer = tri_place_map(READ_ROOM_BYTES);
    }
    if (reader->buffer == NULL) {
        return tri_journal_say(reader->trouble, reader->dir->path, ".", -ENOMEM,
                               "no memory to read segments");
    }
    return 0;
}

static void reader_close(struct reader *reader)
{
    if (reader->file >= 0) {
        (void)close(reader->file);
        reader->file = -1;
    }
}

static void reader_free(struct reader *reader)
{
    reader_close(reader);
    if (reader->buffer != NULL) {
        tri_place_unmap(reader->buffer, READ_ROOM_BYTES);
    }
}

/* Opens the segment that is wanted. */
static int reader_segment(struct reader *reader)
{
    uint32_t segment = reader->scan.want.segment;
    char name[JOURNAL_NAME_BYTES];

    if (reader->file >= 0 && reader->window.segment == segment) {
        return 0;
    }
    reader_close(reader);
    reader_name(reader, segment, name);
    reader->file = openat(reader->dir->place.directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    reader->window = (struct tri_log_window){.segment = segment};
    reader->ahead = 0;
    if (reader->file < 0) {
        return tri_journal_say(reader->trouble, reader->dir->path, name, -errno,
                               "cannot be opened: %s", strerror(errno));
    }
    return 0;
}

/* Fills the window with what the scan wants. */
static int reader_fill(struct reader *reader)
{
    const struct tri_log_scan_place *want = &reader->scan.want;
    uint64_t wish = want->count > READ_BYTES ? want->count : READ_BYTES;
    struct tri_log_window *window = &reader->window;
    int failed = reader_segment(reader);

    assert(want->count <= READ_ROOM_BYTES);
    if (failed != 0) {
        return failed;
    }
    if (want->offset + READ_AHEAD_BYTES / 2 >= reader->ahead) {
        (void)posix_fadvise(reader->file, (off_t)reader->ahead, READ_AHEAD_BYTES,
                            POSIX_FADV_WILLNEED);
        reader->ahead += READ_AHEAD_BYTES;
    }
    *window = (struct tri_log_window){
        .segment = want->segment, .offset = want->offset, .bytes = reader->buffer};
    while (window->count < wish && !window->is_end) {
        ssize_t got = pread(reader->file, reader->buffer + window->count, wish - window->count,
                            (off_t)(window->offset + window->count));
        char name[JOURNAL_NAME_BYTES];

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            failed = -errno;
            reader_name(reader, want->segment, name);
            return tri_journal_say(reader->trouble, reader->dir->path, name, failed,
                                   "offset %llu cannot be read: %s; restore the file from a "
                                   "backup of the same time",
                                   (unsigned long long)window->offset + window->count,
                                   strerror(-failed));
        }
        window->is_end = got == 0;
        window->count += (uint64_t)got;
    }
    return 0;
}

/* The next good block: 1; 0 at the end; -errno with its line. */
static int reader_next(struct reader *reader, struct tri_log_block *block)
{
    const struct tri_log_scan *scan = &reader->scan;
    enum tri_log_scan_step step = TRI_LOG_SCAN_BYTES;
    char name[JOURNAL_NAME_BYTES];
    char witness[JOURNAL_NAME_BYTES];

    while ((step = tri_log_scan_next(&reader->scan, &reader->window, block)) ==
           TRI_LOG_SCAN_BYTES) {
        int failed = reader_fill(reader);

        if (failed != 0) {
            return failed;
        }
    }
    if (step == TRI_LOG_SCAN_BLOCK || step == TRI_LOG_SCAN_END) {
        return step == TRI_LOG_SCAN_BLOCK ? 1 : 0;
    }
    reader_name(reader, scan->at.segment, name);
    if (step == TRI_LOG_SCAN_VERSION) {
        return tri_journal_say(reader->trouble, reader->dir->path, name, -EPROTONOSUPPORT,
                               "the segment has format version %u, this program reads version "
                               "%u; use the release that wrote it",
                               scan->version, TRI_LOG_VERSION);
    }
    if (scan->is_missing) {
        return tri_journal_say(reader->trouble, reader->dir->path, name, -ENOENT,
                               "%s; restore the file from a backup of the same time", scan->what);
    }
    if (scan->witness.segment != 0) {
        reader_name(reader, scan->witness.segment, witness);
        return tri_journal_say(reader->trouble, reader->dir->path, name, -EBADMSG,
                               "offset %llu: %s, but it was durable when the block at offset %llu "
                               "of %s was written; restore the file from a backup of the same time",
                               (unsigned long long)scan->at.offset, scan->what,
                               (unsigned long long)scan->witness.offset, witness);
    }
    return tri_journal_say(reader->trouble, reader->dir->path, name, -EBADMSG,
                           "offset %llu: %s; restore the file from a backup of the same time",
                           (unsigned long long)scan->at.offset, scan->what);
}

static struct tri_log_scan_options scan_options(const struct journal_old *old)
{
    return (struct tri_log_scan_options){
        .epoch = old->named.epoch,
        .stream = old->named.stream,
        .seed = old->named.seed,
        .segment_first = old->segment_first,
        .segment_last = old->segment_last,
        .has_cut = old->named.has_cut,
        .cut_seq = old->named.cut_seq,
        .cut_lsn = old->named.cut_lsn,
    };
}

/* ---- checking ---- */

/* Keeps what the scan has found. */
static void scan_keep(struct journal_old *old, const struct tri_log_scan *scan)
{
    old->seq = scan->seq;
    old->seen.is_scanned = true;
    old->seen.lsn = scan->lsn;
    old->seen.lsn_needed = scan->lsn_needed;
    old->seen.blocks = scan->blocks;
    old->seen.records = scan->records;
    old->seen.bytes = scan->bytes;
    old->seen.is_ended = scan->is_ended;
    old->seen.is_torn = scan->is_torn;
    old->seen.cut_segment = scan->at.segment;
    old->seen.cut_offset = scan->at.offset;
}

/* Gives the records of one block; those of the user from lsn_needed on, in the slots. */
static int reader_give(const struct reader *reader, const struct tri_log_block *block,
                       tri_journal_take *take, void *context)
{
    struct tri_journal_entry entry = {
        .epoch = reader->old->named.epoch,
        .stream = reader->old->named.stream,
        .segment = block->segment,
        .seq = block->seq,
    };
    uint32_t cursor = 0;
    int stopped = 0;

    while (stopped == 0 && tri_log_block_record(block, &cursor, &entry.record)) {
        entry.offset = block->offset + entry.record.at;
        stopped = take(context, &entry);
    }
    return stopped;
}

int tri_journal_dir_look(struct tri_journal_dir *dir, uint32_t index, tri_journal_take *take,
                         void *context, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct journal_old *old = &dir->old[index];
    struct tri_log_scan_options options = scan_options(old);
    struct reader reader = {.dir = dir};
    struct tri_log_block block;
    int result = 0;

    assert(index < dir->old_count);
    reader.trouble = trouble;
    result = reader_open(&reader, old, &options);
    while (result == 0 && (result = reader_next(&reader, &block)) == 1) {
        uint64_t *lsn_first = &old->lsn_first[block.segment - old->segment_first];

        *lsn_first = *lsn_first == 0 ? block.lsn_first : *lsn_first;
        result = take == NULL ? 0 : reader_give(&reader, &block, take, context);
    }
    if (result == 0) {
        scan_keep(old, &reader.scan);
    }
    reader_free(&reader);
    return result;
}

int tri_journal_dir_scan(struct tri_journal_dir *dir, uint32_t index,
                         char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    return tri_journal_dir_look(dir, index, NULL, NULL, trouble);
}

int tri_journal_dir_scan_all(struct tri_journal_dir *dir, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    int failed = 0;

    for (uint32_t i = 0; failed == 0 && i < dir->old_count; i++) {
        failed = tri_journal_dir_scan(dir, i, trouble);
    }
    return failed;
}

/* ---- replay ---- */

struct replay {
    tri_journal_take *take;
    void *context;
    uint32_t slot_first;
    uint32_t slot_last;
    uint64_t lsn_needed;
    uint32_t epoch_first[TRI_SLOT_COUNT]; /* what earlier sets say of a slot counts no more */
};

/* A stream whose recovery begins behind its first record begins with a whole checkpoint.  What
 * earlier sets tell of its slots may have ended and been forgotten between the two: it would come
 * back as open (D06). */
static void replay_rule(struct replay *replay, const struct tri_journal_dir *dir)
{
    for (uint32_t i = 0; i < dir->old_count; i++) {
        const struct tri_manifest_stream *named = &dir->old[i].named;

        for (uint32_t slot = named->slot_first;
             dir->old[i].seen.lsn_needed > 1 && slot <= named->slot_last; slot++) {
            replay->epoch_first[slot] = named->epoch; /* streams are ordered by it */
        }
    }
}

static int replay_take(void *context, const struct tri_journal_entry *entry)
{
    const struct replay *replay = context;
    const struct tri_log_record *record = &entry->record;

    if (record->type >= TRI_LOG_TYPE_OWN) {
        return record->type == TRI_LOG_TYPE_CHAINS ? replay->take(replay->context, entry) : 0;
    }
    if (record->lsn < replay->lsn_needed || record->slot < replay->slot_first ||
        record->slot > replay->slot_last || entry->epoch < replay->epoch_first[record->slot]) {
        return 0;
    }
    return replay->take(replay->context, entry);
}

/* Replays one stream from the segment on in which the first needed record lies. */
static int replay_stream(struct reader *reader, const struct journal_old *old,
                         struct replay *replay)
{
    struct tri_log_scan_options options = scan_options(old);
    struct tri_log_block block;
    int result = 0;

    for (uint32_t i = 1; i < old->seen.segments && old->lsn_first[i] != 0 &&
                         old->lsn_first[i] <= old->seen.lsn_needed;
         i++) {
        options.segment_first = old->segment_first + i;
    }
    options.has_cut = true;
    options.cut_seq = old->seq;
    options.cut_lsn = old->seen.lsn;
    options.is_trusted = true;
    replay->lsn_needed = old->seen.lsn_needed;
    result = reader_open(reader, old, &options);
    while (result == 0 && (result = reader_next(reader, &block)) == 1) {
        result = reader_give(reader, &block, replay_take, replay);
    }
    reader_close(reader);
    return result;
}

int tri_journal_dir_replay(const struct tri_journal_dir *dir, uint32_t slot_first,
                           uint32_t slot_last, tri_journal_take *take, void *context,
                           char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct replay replay = {
        .take = take, .context = context, .slot_first = slot_first, .slot_last = slot_last};
    struct reader reader = {.dir = dir, .file = -1};
    int result = 0;

    assert(slot_first <= slot_last);
    assert(slot_last < TRI_SLOT_COUNT);
    reader.trouble = trouble;
    replay_rule(&replay, dir);
    for (uint32_t i = 0; result == 0 && i < dir->old_count; i++) {
        const struct journal_old *old = &dir->old[i];

        assert(old->seen.is_scanned);
        if (old->seen.lsn >= old->seen.lsn_needed && old->named.slot_first <= slot_last &&
            old->named.slot_last >= slot_first) {
            result = replay_stream(&reader, old, &replay);
        }
    }
    reader_free(&reader);
    return result;
}
