/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the old sets: when every stream of the new set holds a whole
 * checkpoint, the manifest is replaced by one that names the new set alone, and
 * when that is durable the old files are removed.  The stream that was the last
 * to hold one does it, in its own ring.
 *
 * If a step fails the old sets stay, which costs space and time of the next
 * start and nothing else: it is tried again every minute, and by the next start.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/journal_writer.h"

#define RETIRE_NEW      TRI_MANIFEST_NAME ".new"
#define RETIRE_RETRY_NS (60U * TRI_NS_PER_S)

static void retire_stop(struct tri_journal *journal, enum journal_retire_step step)
{
    if (journal->retire.file >= 0) {
        (void)close(journal->retire.file);
        journal->retire.file = -1;
    }
    journal->retire.step = step;
}

static void retire_fail(struct tri_journal *journal, int failed)
{
    struct journal_retire *retire = &journal->retire;

    (void)tri_journal_say(retire->trouble, journal->dir->path,
                          retire->step == RETIRE_REMOVE ? retire->name : TRI_MANIFEST_NAME, failed,
                          "the old sets stay: %s", strerror(-failed));
    journal->counts.retires_failed++;
    retire->retry_ns = journal->now_ns + RETIRE_RETRY_NS;
    retire_stop(journal, RETIRE_WAIT);
}

static void retire_go(struct tri_journal *journal, enum journal_retire_step step)
{
    struct journal_retire *retire = &journal->retire;
    const struct tri_journal_dir *dir = journal->dir;
    struct io_uring_sqe *request = journal_request(journal);
    int directory = dir->place.directory;

    retire->step = step;
    switch (step) {
    case RETIRE_OPEN:
        io_uring_prep_openat(request, directory, RETIRE_NEW,
                             O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        break;
    case RETIRE_WRITE:
        io_uring_prep_write(request, retire->file, retire->text, retire->bytes, 0);
        break;
    case RETIRE_SYNC:
        io_uring_prep_fsync(request, retire->file, 0);
        break;
    case RETIRE_RENAME:
        io_uring_prep_renameat(request, directory, RETIRE_NEW, directory, TRI_MANIFEST_NAME, 0);
        break;
    case RETIRE_SYNC_DIR:
        io_uring_prep_fsync(request, directory, 0);
        break;
    case RETIRE_REMOVE:
    case RETIRE_WAIT:
    case RETIRE_IDLE:
    case RETIRE_DONE:
    default:
        assert(step == RETIRE_REMOVE);
        tri_journal_name(retire->name, dir->files[retire->removed].epoch,
                         dir->files[retire->removed].stream, dir->files[retire->removed].number);
        io_uring_prep_unlinkat(request, directory, retire->name, 0);
        break;
    }
    journal_start(journal, request, JOURNAL_OP_RETIRE);
}

/* Removes the next old file; the old sets are gone when there is none. */
static void retire_remove(struct tri_journal *journal)
{
    struct journal_retire *retire = &journal->retire;

    if (retire->removed < journal->dir->file_count) {
        retire_go(journal, RETIRE_REMOVE);
        return;
    }
    /* pairs with the acquire in tri_journal_dir_has_old */
    atomic_store_explicit(&journal->dir->has_old, 0, memory_order_release);
    retire->trouble[0] = '\0';
    retire_stop(journal, RETIRE_DONE);
}

void tri_journal_retire_complete(struct tri_journal *journal, int32_t result)
{
    struct journal_retire *retire = &journal->retire;

    if (retire->step == RETIRE_OPEN && result >= 0) {
        retire->file = result;
    }
    if (retire->step == RETIRE_REMOVE && (result == 0 || result == -ENOENT)) {
        retire->removed++;
        journal->counts.segments_removed++;
        result = 0;
    }
    if (retire->step == RETIRE_WRITE && result >= 0 && (uint32_t)result != retire->bytes) {
        result = -ENOSPC;
    }
    if (result < 0) {
        retire_fail(journal, result);
        return;
    }
    if (journal_is_stopping(journal)) {
        retire_stop(journal, RETIRE_DONE);
        return;
    }
    switch (retire->step) {
    case RETIRE_OPEN:
    case RETIRE_WRITE:
    case RETIRE_SYNC:
    case RETIRE_RENAME:
        retire_go(journal, retire->step + 1);
        break;
    case RETIRE_SYNC_DIR:
    case RETIRE_REMOVE:
    case RETIRE_WAIT:
    case RETIRE_IDLE:
    case RETIRE_DONE:
    default:
        retire->is_named = true;
        retire_remove(journal);
        break;
    }
}

/* Begins an attempt, or goes on with what is left of it.  Another process may have taken the
 * directory over: its manifest is not to be replaced. */
static void retire_try(struct tri_journal *journal)
{
    struct journal_retire *retire = &journal->retire;
    int failed = 0;
    enum tri_log_result result = tri_journal_look(journal, &failed);

    if (failed != 0) {
        retire_fail(journal, failed);
    } else if (result != TRI_LOG_DONE) {
        retire_stop(journal, RETIRE_DONE);
    } else if (retire->is_named) {
        retire_remove(journal);
    } else {
        retire_go(journal, RETIRE_OPEN);
    }
}

void tri_journal_retire_turn(struct tri_journal *journal)
{
    struct journal_retire *retire = &journal->retire;
    struct tri_journal_dir *dir = journal->dir;
    struct tri_manifest manifest = {
        .epoch = dir->epoch,
        .has_secret = dir->has_secret,
        .count = dir->streams,
        .streams = dir->named,
    };

    if (retire->step == RETIRE_WAIT && journal->now_ns >= retire->retry_ns && !journal->is_ending) {
        retire_try(journal);
    }
    if (retire->is_counted || !tri_journal_dir_has_old(dir) ||
        !tri_log_is_checkpointed(journal->log)) {
        return;
    }
    retire->is_counted = true;
    /* Each stream's own checkpoint is durable before it counts here; the last one sees them all. */
    if (atomic_fetch_add_explicit(&dir->checkpointed, 1, memory_order_acq_rel) + 1 < dir->streams) {
        return;
    }
    memcpy(manifest.kind, dir->kind, sizeof(manifest.kind));
    memcpy(manifest.fingerprint, dir->fingerprint, sizeof(manifest.fingerprint));
    retire->bytes = (uint32_t)tri_manifest_put(&manifest, retire->text, sizeof(retire->text));
    retire_try(journal);
}
