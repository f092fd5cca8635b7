/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/journal_writer.h"
#include "io/place.h"

#define JOURNAL_ENTRIES       128U
#define JOURNAL_COMPLETIONS   256U
#define JOURNAL_OWN_KIND      1U
#define JOURNAL_SPACE_WAIT_MS 10000U

/* ---- life ---- */

static int journal_own_loop(struct tri_journal *journal, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    const char *advice = "";
    int failed = 0;

    failed = tri_loop_init(&journal->own, JOURNAL_ENTRIES, JOURNAL_COMPLETIONS, &advice);
    failed = failed != 0 ? failed : tri_loop_enable(&journal->own);
    if (failed == 0) {
        journal->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        failed = journal->event < 0 ? -errno : 0;
    }
    failed = failed != 0 ? failed : io_uring_register_eventfd(&journal->own.ring, journal->event);
    if (failed != 0) {
        return tri_journal_say(trouble, journal->dir->path, "", failed, "no ring: %s%s%s",
                               strerror(-failed), advice[0] == '\0' ? "" : "; ", advice);
    }
    journal->loop = &journal->own;
    journal->loop_kind = JOURNAL_OWN_KIND;
    return 0;
}

static int journal_log(struct tri_journal *journal, const struct tri_journal_options *options,
                       char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    const struct tri_journal_dir *dir = journal->dir;
    const struct tri_manifest_stream *named = &dir->named[options->stream];
    struct tri_log_options log = {
        .epoch = named->epoch,
        .stream = named->stream,
        .streams = named->streams,
        .slot_first = named->slot_first,
        .slot_last = named->slot_last,
        .seed = named->seed,
        .block_bytes_max = dir->options.block_bytes_max,
        .blocks = options->blocks,
        .segment_bytes = dir->options.segment_bytes,
        .segment_bytes_first = dir->options.segment_bytes_first,
        .checkpoint_bytes = options->checkpoint_bytes,
        .wants_checkpoint = tri_journal_dir_has_old(dir),
        .chains = options->chains,
        .chains_bytes = options->chains_bytes,
    };
    void *memory = NULL;

    journal->log_bytes = tri_log_footprint(&log);
    if (journal->log_bytes == 0) {
        return tri_journal_say(trouble, dir->path, "", -EINVAL,
                               "segments and blocks are too small for %u bytes of chains",
                               options->chains_bytes);
    }
    memory = tri_place_map(journal->log_bytes);
    if (memory == NULL || tri_place_fill(memory, journal->log_bytes) != 0) {
        tri_place_unmap(memory, journal->log_bytes);
        return tri_journal_say(trouble, dir->path, "", -ENOMEM, "no memory for the blocks");
    }
    journal->log = tri_log_init(memory, &log);
    return 0;
}

int tri_journal_open(struct tri_journal **to, struct tri_journal_dir *dir,
                     const struct tri_journal_options *options,
                     char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_journal *journal = tri_place_map(sizeof(*journal));
    uint32_t wait_ms = options->space_wait_ms == 0 ? JOURNAL_SPACE_WAIT_MS : options->space_wait_ms;
    int failed = 0;

    assert(dir->epoch != 0);
    assert(options->stream < dir->streams);
    assert(dir->first_files[options->stream] >= 0);
    *to = NULL;
    if (journal == NULL || tri_place_fill(journal, sizeof(*journal)) != 0) {
        tri_place_unmap(journal, sizeof(*journal));
        return tri_journal_say(trouble, dir->path, "", -ENOMEM, "no memory");
    }
    journal->dir = dir;
    journal->bytes = sizeof(*journal);
    journal->stream = options->stream;
    journal->event = -1;
    journal->prepare.file = -1;
    journal->prepare.starved_ns = TRI_NEVER;
    journal->retire.file = -1;
    journal->space_wait_ns = wait_ms * TRI_NS_PER_MS;
    journal->loop = options->loop;
    journal->loop_kind = options->loop_kind;
    failed = journal_log(journal, options, trouble);
    if (failed == 0 && options->loop == NULL) {
        failed = journal_own_loop(journal, trouble);
    }
    if (failed != 0) {
        tri_journal_close(journal);
        return failed;
    }
    assert(journal->loop_kind >= 1);
    assert(journal->loop_kind <= 255);
    tri_journal_segment_add(journal, 1, dir->first_files[journal->stream]);
    dir->first_files[journal->stream] = -1;
    journal->counts.disk_bytes = dir->options.segment_bytes_first;
    *to = journal;
    return 0;
}

/* Removes a segment that holds nothing that anybody needs. */
static void journal_remove(const struct tri_journal *journal, uint32_t segment)
{
    char name[JOURNAL_NAME_BYTES];

    tri_journal_name(name, journal->dir->epoch, journal->stream, segment);
    (void)unlinkat(journal->dir->place.directory, name, 0);
}

void tri_journal_close(struct tri_journal *journal)
{
    uint32_t begun = 0;

    if (journal == NULL) {
        return;
    }
    tri_loop_fini(&journal->own);
    if (journal->event >= 0) {
        (void)close(journal->event);
    }
    begun = journal->log == NULL ? 0 : tri_log_counts(journal->log).segments_begun;
    for (uint32_t i = 0; i < JOURNAL_FILES_MAX; i++) {
        const struct journal_segment *segment = &journal->segments[i];

        if (segment->number != 0) {
            (void)close(segment->file);
        }
        /* After an end in order the next start need not read what was only prepared. */
        if (segment->number > begun && segment->number > 1 && tri_journal_is_ended(journal)) {
            journal_remove(journal, segment->number);
        }
    }
    if (journal->spare != 0) {
        journal_remove(journal, journal->spare);
    }
    if (journal->prepare.file >= 0) {
        (void)close(journal->prepare.file);
    }
    if (journal->retire.file >= 0) {
        (void)close(journal->retire.file);
    }
    tri_place_unmap(journal->log, journal->log_bytes);
    tri_place_unmap(journal, journal->bytes);
}

struct tri_log *tri_journal_log(struct tri_journal *journal)
{
    return journal->log;
}

const char *tri_journal_trouble(const struct tri_journal *journal)
{
    return journal->trouble;
}

const char *tri_journal_old_trouble(const struct tri_journal *journal)
{
    return journal->retire.trouble;
}

int tri_journal_descriptor(const struct tri_journal *journal)
{
    assert(journal->event >= 0);
    return journal->event;
}

/* ---- segments ---- */

static struct journal_segment *journal_segment(struct tri_journal *journal, uint32_t number)
{
    for (uint32_t i = 0; i < JOURNAL_FILES_MAX; i++) {
        if (journal->segments[i].number == number) {
            return &journal->segments[i];
        }
    }
    return NULL;
}

void tri_journal_segment_add(struct tri_journal *journal, uint32_t number, int file)
{
    struct journal_segment *segment = journal_segment(journal, 0);

    assert(file >= 0);
    assert(segment != NULL);
    *segment = (struct journal_segment){.number = number, .file = file};
}

/* Closes the segments before `number` that nothing is written to any more. */
static void journal_segments_close(struct tri_journal *journal, uint32_t number)
{
    for (uint32_t i = 0; i < JOURNAL_FILES_MAX; i++) {
        struct journal_segment *segment = &journal->segments[i];

        if (segment->number != 0 && segment->number < number && segment->writes == 0) {
            (void)close(segment->file);
            segment->number = 0;
        }
    }
}

/* ---- requests and completions ---- */

static void journal_write(struct tri_journal *journal, const struct tri_log_request *wish)
{
    struct journal_segment *segment = journal_segment(journal, wish->segment);
    struct io_uring_sqe *request = journal_request(journal);

    assert(segment != NULL);
    segment->writes++;
    journal->writes[wish->ticket] = (struct journal_write){
        .segment = wish->segment, .count = wish->count, .offset = wish->offset};
    io_uring_prep_write(request, segment->file, wish->bytes, wish->count, wish->offset);
    request->rw_flags = RWF_DSYNC; /* it ends when the bytes are durable */
    journal_start(journal, request, wish->ticket);
    journal_segments_close(journal, wish->segment);
}

static void journal_written(struct tri_journal *journal, uint32_t ticket, int32_t result)
{
    const struct journal_write *write = &journal->writes[ticket];
    struct journal_segment *segment = journal_segment(journal, write->segment);
    enum tri_log_result ended = TRI_LOG_DONE;
    char name[JOURNAL_NAME_BYTES];

    assert(segment != NULL);
    segment->writes--;
    if (result != (int32_t)write->count) {
        ended = result == -EIO || result == -ECANCELED ? TRI_LOG_UNKNOWN : TRI_LOG_FAILED;
    }
    if (ended != TRI_LOG_DONE && !journal->has_failed_write) {
        journal->has_failed_write = true;
        tri_journal_name(name, journal->dir->epoch, journal->stream, write->segment);
        (void)tri_journal_say(journal->trouble, journal->dir->path, name, 0,
                              "%u bytes at offset %llu cannot be written: %s", write->count,
                              (unsigned long long)write->offset,
                              result < 0 ? strerror(-result) : "the disk took a part of them");
    }
    tri_log_done(journal->log, ticket, ended);
    journal_segments_close(journal, tri_log_counts(journal->log).segments_begun);
}

static void journal_drop(struct tri_journal *journal, uint32_t segment)
{
    const struct tri_journal_dir *dir = journal->dir;
    struct io_uring_sqe *request = NULL;

    assert(journal_segment(journal, segment) == NULL);
    if (journal->spare == 0 && !journal->is_ending &&
        (segment > 1 || dir->options.segment_bytes == dir->options.segment_bytes_first)) {
        journal->spare = segment;
        tri_log_done(journal->log, TRI_LOG_TICKET_DROP, TRI_LOG_DONE);
        return;
    }
    journal->dropping = segment;
    tri_journal_name(journal->drop_name, dir->epoch, journal->stream, segment);
    request = journal_request(journal);
    io_uring_prep_unlinkat(request, dir->place.directory, journal->drop_name, 0);
    journal_start(journal, request, TRI_LOG_TICKET_DROP);
}

static void journal_dropped(struct tri_journal *journal, int32_t result)
{
    if (result == 0) {
        journal->counts.segments_removed++;
        journal->counts.disk_bytes -= journal->dropping == 1
                                          ? journal->dir->options.segment_bytes_first
                                          : journal->dir->options.segment_bytes;
    }
    tri_log_done(journal->log, TRI_LOG_TICKET_DROP, result == 0 ? TRI_LOG_DONE : TRI_LOG_FAILED);
}

void tri_journal_complete(struct tri_journal *journal, uint64_t user_data, int32_t result)
{
    uint32_t op = (uint32_t)user_data;

    assert(TRI_LOOP_KIND(user_data) == journal->loop_kind);
    assert(journal->under_way > 0);
    journal->under_way--;
    if (op < TRI_LOG_TICKET_PREPARE) {
        journal_written(journal, op, result);
    } else if (op == TRI_LOG_TICKET_PREPARE) {
        tri_journal_prepare_complete(journal, result);
    } else if (op == TRI_LOG_TICKET_DROP) {
        journal_dropped(journal, result);
    } else {
        assert(op == JOURNAL_OP_RETIRE);
        tri_journal_retire_complete(journal, result);
    }
}

/* ---- turns ---- */

static void journal_own_complete(void *context, uint64_t user_data, int32_t result, uint32_t flags)
{
    (void)flags;
    tri_journal_complete(context, user_data, result);
}

/* Takes what has completed in the journal's own ring. */
static uint32_t journal_take(struct tri_journal *journal)
{
    uint64_t signals = 0;

    /* Read before the ring: what completes in between signals again. */
    (void)!read(journal->event, &signals, sizeof(signals));
    return tri_loop_reap(&journal->own, journal_own_complete, journal);
}

uint32_t tri_journal_turn(struct tri_journal *journal, uint64_t now_ns)
{
    struct tri_log_request request;
    uint32_t work = 0;

    journal->now_ns = now_ns;
    if (journal->event >= 0) {
        if (journal->under_way > 0) {
            tri_loop_submit(&journal->own);
        }
        /* Even if nothing is: the signal of what was taken last may come behind it, and whoever
         * waits for the descriptor would never rest. */
        work += journal_take(journal);
    }
    tri_journal_prepare_turn(journal);
    while (tri_log_next(journal->log, &request)) {
        work++;
        if (request.type == TRI_LOG_WRITE) {
            journal_write(journal, &request);
        } else if (request.type == TRI_LOG_PREPARE) {
            tri_journal_prepare_start(journal, request.segment, request.offset);
        } else {
            journal_drop(journal, request.segment);
        }
    }
    tri_journal_retire_turn(journal);
    if (journal->event >= 0 && journal->has_prepared) {
        tri_loop_submit(&journal->own);
    }
    journal->has_prepared = false;
    return work;
}

uint32_t tri_journal_wait(struct tri_journal *journal, uint64_t timeout_ns)
{
    assert(journal->event >= 0);
    tri_loop_wait(&journal->own, timeout_ns);
    return journal_take(journal);
}

uint64_t tri_journal_deadline_ns(const struct tri_journal *journal)
{
    const struct journal_prepare *prepare = &journal->prepare;
    const struct journal_retire *retire = &journal->retire;
    uint64_t due_ns =
        retire->step == RETIRE_WAIT && !journal->is_ending ? retire->retry_ns : TRI_NEVER;

    if (prepare->step != PREPARE_WAIT) {
        return due_ns;
    }
    due_ns = prepare->retry_ns < due_ns ? prepare->retry_ns : due_ns;
    if (prepare->starved_ns != TRI_NEVER && prepare->starved_ns + journal->space_wait_ns < due_ns) {
        due_ns = prepare->starved_ns + journal->space_wait_ns;
    }
    return due_ns;
}

void tri_journal_end(struct tri_journal *journal)
{
    journal->is_ending = true;
    tri_log_end(journal->log);
}

bool tri_journal_is_ended(const struct tri_journal *journal)
{
    return journal_is_stopping(journal) && journal->under_way == 0;
}

struct tri_journal_counts tri_journal_counts(const struct tri_journal *journal)
{
    struct tri_journal_counts counts = journal->counts;

    counts.log = tri_log_counts(journal->log);
    counts.is_starved = tri_log_is_starved(journal->log);
    counts.has_failed = tri_log_failed_lsn(journal->log) != 0;
    return counts;
}
