/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next segment.  A dropped one of the same size is used again under the new
 * name: its blocks are written already, so nothing has to be filled with zeros,
 * and what stands in it cannot pass for new, because its numbers are lower and
 * the chain of hashes does not lead there.
 *
 * A segment that cannot be made is tried again every second: a disk that is
 * full may be so for a while.  Records that need it wait, which is back-pressure
 * and no loss; only when they have waited for too long is it a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/journal_writer.h"

#define PREPARE_RETRY_NS   TRI_NS_PER_S
#define PREPARE_LOOK_BYTES 64U /* the first two lines of a manifest */

static void prepare_go(struct tri_journal *journal, enum journal_prepare_step step);

enum tri_log_result tri_journal_look(struct tri_journal *journal, int *failed)
{
    struct tri_journal_dir *dir = journal->dir;
    char text[PREPARE_LOOK_BYTES] = "";
    int file = openat(dir->place.directory, TRI_MANIFEST_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = file < 0 ? -1 : pread(file, text, sizeof(text) - 1, 0);
    uint32_t epoch = 0;

    *failed = got < 0 && errno != ENOENT ? -errno : 0;
    if (file >= 0) {
        (void)close(file);
    }
    if (*failed != 0) {
        return TRI_LOG_FAILED;
    }
    text[got > 0 ? got : 0] = '\0';
    epoch = tri_manifest_epoch(text);
    if (epoch == dir->epoch) {
        return TRI_LOG_DONE;
    }
    if (!journal->has_failed_write) {
        (void)tri_journal_say(journal->trouble, dir->path, TRI_MANIFEST_NAME, 0,
                              "it no longer names epoch %u as the newest one (%u): another process "
                              "has taken the journal over, or the file was changed",
                              dir->epoch, epoch);
    }
    return epoch > dir->epoch ? TRI_LOG_FENCED : TRI_LOG_FAILED;
}

static void prepare_close(struct tri_journal *journal)
{
    struct journal_prepare *prepare = &journal->prepare;

    if (prepare->file >= 0) {
        (void)close(prepare->file);
        prepare->file = -1;
    }
}

/* Ends the request of the log. */
static void prepare_end(struct tri_journal *journal, enum tri_log_result result)
{
    journal->prepare.step = PREPARE_IDLE;
    journal->prepare.starved_ns = TRI_NEVER;
    tri_log_done(journal->log, TRI_LOG_TICKET_PREPARE, result);
}

static void prepare_fail(struct tri_journal *journal, int failed)
{
    struct journal_prepare *prepare = &journal->prepare;

    if (!journal->has_failed_write) {
        (void)tri_journal_say(
            journal->trouble, journal->dir->path, prepare->name, failed, "cannot be made: %s%s",
            strerror(-failed),
            failed == -ENOSPC || failed == -EDQUOT ? "; make space on the journal's disk" : "");
    }
    journal->counts.prepares_failed++;
    prepare_close(journal);
    if (!prepare->is_recycled) {
        (void)unlinkat(journal->dir->place.directory, prepare->name, 0);
    }
    prepare->has_failed = true;
    prepare->step = PREPARE_WAIT;
    prepare->retry_ns = journal->now_ns + PREPARE_RETRY_NS;
}

/* Begins an attempt: the spare if there is one, else a new file. */
static void prepare_try(struct tri_journal *journal)
{
    struct journal_prepare *prepare = &journal->prepare;
    const struct tri_journal_dir *dir = journal->dir;
    int failed = 0;
    enum tri_log_result result = tri_journal_look(journal, &failed);

    if (failed != 0) {
        prepare_fail(journal, failed);
        return;
    }
    if (result != TRI_LOG_DONE) {
        prepare_end(journal, result);
        return;
    }
    prepare->done = 0;
    prepare->is_recycled = journal->spare != 0;
    if (prepare->is_recycled) {
        tri_journal_name(prepare->spare, dir->epoch, journal->stream, journal->spare);
        journal->spare = 0;
        prepare_go(journal, PREPARE_RENAME);
    } else {
        prepare_go(journal, PREPARE_OPEN);
    }
}

void tri_journal_prepare_start(struct tri_journal *journal, uint32_t segment, uint64_t bytes)
{
    struct journal_prepare *prepare = &journal->prepare;

    assert(prepare->step == PREPARE_IDLE);
    prepare->segment = segment;
    prepare->bytes = bytes;
    prepare->file = -1;
    prepare->has_failed = false;
    prepare->starved_ns = TRI_NEVER;
    tri_journal_name(prepare->name, journal->dir->epoch, journal->stream, segment);
    prepare_try(journal);
}

/* The request of a step. */
static void prepare_go(struct tri_journal *journal, enum journal_prepare_step step)
{
    struct journal_prepare *prepare = &journal->prepare;
    struct io_uring_sqe *request = journal_request(journal);
    int directory = journal->dir->place.directory;
    uint64_t left = prepare->bytes - prepare->done;
    int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW;

    prepare->step = step;
    switch (step) {
    case PREPARE_RENAME:
        io_uring_prep_renameat(request, directory, prepare->spare, directory, prepare->name, 0);
        break;
    case PREPARE_OPEN:
        flags |= prepare->is_recycled ? 0 : O_CREAT | O_TRUNC;
        flags |= journal->dir->is_direct ? O_DIRECT : 0;
        io_uring_prep_openat(request, directory, prepare->name, flags, 0600);
        break;
    case PREPARE_ALLOCATE:
        io_uring_prep_fallocate(request, prepare->file, 0, 0, (off_t)prepare->bytes);
        break;
    case PREPARE_ZERO:
        io_uring_prep_write(request, prepare->file, tri_journal_zeros(),
                            (unsigned)(left < JOURNAL_ZEROS_BYTES ? left : JOURNAL_ZEROS_BYTES),
                            prepare->done);
        break;
    case PREPARE_SYNC:
        io_uring_prep_fsync(request, prepare->file, 0);
        break;
    case PREPARE_SYNC_DIR:
    case PREPARE_IDLE:
    case PREPARE_WAIT:
    default:
        assert(step == PREPARE_SYNC_DIR);
        io_uring_prep_fsync(request, directory, 0);
        break;
    }
    journal_start(journal, request, TRI_LOG_TICKET_PREPARE);
}

static void prepare_finish(struct tri_journal *journal)
{
    struct journal_prepare *prepare = &journal->prepare;

    if (prepare->is_recycled) {
        journal->counts.segments_recycled++;
    } else {
        journal->counts.segments_made++;
        journal->counts.disk_bytes += prepare->bytes;
    }
    if (prepare->has_failed && !journal->has_failed_write) {
        journal->trouble[0] = '\0';
    }
    tri_journal_segment_add(journal, prepare->segment, prepare->file);
    prepare->file = -1;
    prepare_end(journal, TRI_LOG_DONE);
}

void tri_journal_prepare_complete(struct tri_journal *journal, int32_t result)
{
    struct journal_prepare *prepare = &journal->prepare;

    if (prepare->step == PREPARE_OPEN && result >= 0) {
        prepare->file = result;
    }
    if (journal_is_stopping(journal)) { /* nobody will need it */
        prepare_close(journal);
        (void)unlinkat(journal->dir->place.directory, prepare->name, 0);
        prepare_end(journal, TRI_LOG_FAILED);
        return;
    }
    if (prepare->step == PREPARE_ALLOCATE && (result == -EOPNOTSUPP || result == -EINVAL)) {
        result = 0; /* the zeros do it alone */
    }
    if (result == -EINTR || result == -EAGAIN) {
        prepare_go(journal, prepare->step);
        return;
    }
    if (result < 0 || (prepare->step == PREPARE_ZERO && result == 0)) {
        prepare_fail(journal, result < 0 ? result : -ENOSPC);
        return;
    }
    switch (prepare->step) {
    case PREPARE_RENAME:
        prepare_go(journal, PREPARE_OPEN);
        break;
    case PREPARE_OPEN:
        prepare_go(journal, prepare->is_recycled ? PREPARE_SYNC_DIR : PREPARE_ALLOCATE);
        break;
    case PREPARE_ALLOCATE:
        prepare_go(journal, PREPARE_ZERO);
        break;
    case PREPARE_ZERO:
        prepare->done += (uint64_t)result;
        prepare_go(journal, prepare->done < prepare->bytes ? PREPARE_ZERO : PREPARE_SYNC);
        break;
    case PREPARE_SYNC:
        prepare_go(journal, PREPARE_SYNC_DIR);
        break;
    case PREPARE_SYNC_DIR:
    case PREPARE_IDLE:
    case PREPARE_WAIT:
    default:
        assert(prepare->step == PREPARE_SYNC_DIR);
        prepare_finish(journal);
        break;
    }
}

void tri_journal_prepare_turn(struct tri_journal *journal)
{
    struct journal_prepare *prepare = &journal->prepare;

    if (prepare->step == PREPARE_IDLE || !prepare->has_failed) {
        return;
    }
    if (!tri_log_is_starved(journal->log)) {
        prepare->starved_ns = TRI_NEVER;
    } else if (prepare->starved_ns == TRI_NEVER) {
        prepare->starved_ns = journal->now_ns;
    }
    if (prepare->step != PREPARE_WAIT) {
        return;
    }
    if (journal_is_stopping(journal) ||
        (prepare->starved_ns != TRI_NEVER &&
         journal->now_ns - prepare->starved_ns >= journal->space_wait_ns)) {
        prepare_end(journal, TRI_LOG_FAILED);
    } else if (journal->now_ns >= prepare->retry_ns) {
        prepare_try(journal);
    }
}
