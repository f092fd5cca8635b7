/* SPDX-License-Identifier: Apache-2.0 */
#include "io/archivist_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/log.h"
#include "io/place.h"

#define ARCHIVIST_ENTRIES       64U
#define ARCHIVIST_COMPLETIONS   256U
#define ARCHIVIST_STACK_BYTES   (UINT32_C(1) << 20)
#define ARCHIVIST_KIND_END      16U
#define ARCHIVIST_KIND_FLUSH    17U
#define ARCHIVIST_BEGIN_POLL_NS (50L * 1000)
/* While there is work it looks at the tapes so often, which their credit outlasts. */
#define ARCHIVIST_PAUSE_NS      (1U * TRI_NS_PER_MS)
/* Records are in the kernel's hands after so long, and on the disk after so long. */
#define ARCHIVIST_WRITE_NS      (20U * TRI_NS_PER_MS)
#define ARCHIVIST_SYNC_NS       (250U * TRI_NS_PER_MS)
void tri_archivist_fail(struct tri_archivist *archivist)
{
    TRI_LOG(TRI_LOG_ERROR, "archive-failed",
            "reason=\"%s\" effect=\"no new messages; restart when the cause is mended\"",
            archivist->trouble);
    /* Only a hint to stop: nothing else is published by it, so it needs no order. */
    atomic_store_explicit(&archivist->has_failed, 1, memory_order_relaxed);
    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        tri_tape_fail(&archivist->options.tapes[shard]);
        archivist->options.wake(archivist->options.context, &archivist->loop, shard);
    }
    tri_loop_submit(&archivist->loop);
}

void tri_archivist_fail_pending(struct tri_archivist *archivist)
{
    (void)snprintf(archivist->trouble, sizeof(archivist->trouble), "%s",
                   tri_pending_trouble(archivist->options.pending));
    tri_archivist_fail(archivist);
}

/* ---- one shard ---- */

/* Makes the record of a gathered epoch; false: the archive has failed. */
static bool archivist_record(struct tri_archivist *archivist, uint32_t shard)
{
    struct archivist_epoch *epoch = &archivist->epochs[shard];
    uint64_t first = 0;
    uint64_t end = 0;

    if (tri_archive_append(archivist->options.archive, archivist->options.epoch, shard,
                           epoch->number, epoch->entries, epoch->count, archivist->trouble) != 0) {
        tri_archivist_fail(archivist);
        return false;
    }
    tri_archive_end_at(archivist->options.archive, archivist->options.epoch, shard, &first, &end);
    if (tri_pending_recorded(archivist->options.pending, archivist->options.epoch, shard,
                             epoch->number, epoch->entries, epoch->count) != 0 ||
        tri_pending_placed(archivist->options.pending, archivist->options.epoch, shard,
                           epoch->number, first, end) != 0) {
        tri_archivist_fail_pending(archivist);
        return false;
    }
    epoch->appended_lsn = epoch->last_lsn;
    epoch->number = 0;
    epoch->count = 0;
    epoch->used_bytes = 0;
    archivist->is_dirty = true;
    archivist->is_unsynced = true;
    return true;
}

static struct tri_bytes archivist_keep(struct archivist_epoch *epoch, struct tri_bytes bytes)
{
    uint8_t *to = epoch->bytes + epoch->used_bytes;

    assert(bytes.bytes <= ARCHIVIST_EPOCH_BYTES - epoch->used_bytes);
    if (bytes.bytes > 0) {
        memcpy(to, bytes.at, bytes.bytes);
    }
    epoch->used_bytes += bytes.bytes;
    return (struct tri_bytes){.at = to, .bytes = bytes.bytes};
}

static void archivist_gather(struct archivist_epoch *epoch, const struct tri_tape_entry *entry)
{
    assert(epoch->count < TRI_EPOCH_MESSAGES_MAX);
    assert(entry->lsn > epoch->last_lsn);
    epoch->number = entry->oss_epoch;
    epoch->last_lsn = entry->lsn;
    epoch->entries[epoch->count++] = (struct tri_archive_entry){
        .leaf = archivist_keep(epoch, entry->leaf),
        .content = archivist_keep(epoch, entry->content),
    };
}

/* Takes what is on a shard's tape; returns the work done. */
static uint32_t archivist_drain(struct tri_archivist *archivist, uint32_t shard)
{
    struct archivist_epoch *epoch = &archivist->epochs[shard];
    struct tri_tape *tape = &archivist->options.tapes[shard];
    struct tri_tape_entry entry;
    uint64_t durable_lsn = 0;
    uint64_t closed_epoch = 0;
    uint32_t taken = 0;

    tri_tape_progress(tape, &durable_lsn, &closed_epoch);
    while (tri_tape_peek(tape, &entry)) {
        if (epoch->number != 0 && epoch->number != entry.oss_epoch) {
            if (epoch->last_lsn > durable_lsn || !archivist_record(archivist, shard)) {
                return taken;
            }
        }
        archivist_gather(epoch, &entry);
        tri_tape_pop(tape);
        taken++;
    }
    if (archivist->is_ending) {
        closed_epoch = epoch->number; /* nobody is left who could add to it */
    }
    if (epoch->number != 0 && epoch->number <= closed_epoch && epoch->last_lsn <= durable_lsn &&
        archivist_record(archivist, shard)) {
        taken++;
    }
    return taken;
}

/* ---- the disk ---- */

/* Gives the kernel what was appended. */
static void archivist_hand_over(struct tri_archivist *archivist)
{
    if (!archivist->is_dirty) {
        return;
    }
    archivist->is_dirty = false;
    archivist->written_ns = archivist->now_ns;
    if (tri_archive_write(archivist->options.archive, archivist->trouble) != 0) {
        tri_archivist_fail(archivist);
        return;
    }
    tri_pending_written(archivist->options.pending);
}

static void archivist_write(struct tri_archivist *archivist)
{
    if (archivist->is_ending || archivist->now_ns - archivist->written_ns >= ARCHIVIST_WRITE_NS) {
        archivist_hand_over(archivist);
    }
}

/* A checkpoint waits for what it would drop. */
static bool archivist_is_wanted(const struct tri_archivist *archivist)
{
    uint32_t shard = 0;

    while (shard < archivist->options.shards &&
           !tri_tape_is_wanted(&archivist->options.tapes[shard])) {
        shard++;
    }
    return shard < archivist->options.shards;
}

/* Everything that the last flush began with is durable. */
static void archivist_flushed(struct tri_archivist *archivist)
{
    if (tri_archive_flush_end(archivist->options.archive, archivist->flush_result,
                              archivist->trouble) != 0) {
        tri_archivist_fail(archivist);
        return;
    }
    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        tri_tape_archived(&archivist->options.tapes[shard], archivist->epochs[shard].flushing_lsn);
    }
}

/* Begins a flush: the thread goes on while the disk works. */
static void archivist_flush(struct tri_archivist *archivist)
{
    int files[TRI_ARCHIVE_FLUSH_MAX];
    uint32_t count = 0;

    archivist->is_unsynced = false;
    archivist->synced_ns = archivist->now_ns;
    archivist->flush_result = 0;
    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        archivist->epochs[shard].flushing_lsn = archivist->epochs[shard].appended_lsn;
    }
    count = tri_archive_flush_begin(archivist->options.archive, files);
    archivist->flushes = count;
    for (uint32_t i = 0; i < count; i++) {
        struct io_uring_sqe *request = tri_loop_request(&archivist->loop);

        io_uring_prep_fsync(request, files[i], IORING_FSYNC_DATASYNC);
        request->user_data = TRI_LOOP_DATA(ARCHIVIST_KIND_FLUSH, 0);
    }
    tri_loop_submit(&archivist->loop); /* a file may be closed as soon as the kernel has it */
    if (count == 0) {
        archivist_flushed(archivist);
    }
}

static void archivist_sync(struct tri_archivist *archivist)
{
    bool is_due = archivist->is_ending ||
                  archivist->now_ns - archivist->synced_ns >= ARCHIVIST_SYNC_NS ||
                  archivist_is_wanted(archivist);

    if (archivist->flushes > 0 || !archivist->is_unsynced || !is_due) {
        return;
    }
    archivist_hand_over(archivist);
    if (!archivist_has_failed(archivist)) {
        archivist_flush(archivist);
    }
}

/* ---- turns ---- */

static void archivist_complete(void *context, uint64_t user_data, int32_t result, uint32_t flags)
{
    struct tri_archivist *archivist = context;

    (void)flags;
    if (TRI_LOOP_KIND(user_data) == ARCHIVIST_KIND_END) {
        archivist->is_ending = true;
    } else if (TRI_LOOP_KIND(user_data) == ARCHIVIST_KIND_FLUSH) {
        assert(archivist->flushes > 0);
        archivist->flush_result = result < 0 ? result : archivist->flush_result;
        archivist->flushes--;
        if (archivist->flushes == 0 && !archivist_has_failed(archivist)) {
            archivist_flushed(archivist);
        }
    }
}

/* Whether something is under way that no wake will tell of. */
static bool archivist_is_busy(const struct tri_archivist *archivist)
{
    bool is_busy = archivist->is_dirty || archivist->is_unsynced;

    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        is_busy = is_busy || archivist->epochs[shard].number != 0;
    }
    return is_busy && !archivist_has_failed(archivist);
}

static void archivist_rest(struct tri_archivist *archivist)
{
    uint64_t idle_ns = tri_archivist_desks_idle_ns(archivist);
    bool is_quiet = true;
    uint32_t asleep = 0;

    if (archivist_is_busy(archivist)) {
        tri_loop_wait(&archivist->loop, ARCHIVIST_PAUSE_NS);
        return;
    }
    while (asleep < archivist->options.shards &&
           tri_tape_sleep(&archivist->options.tapes[asleep])) {
        /* Behind the fence of tri_tape_sleep(): who asks looks at the flag behind its question. */
        is_quiet = is_quiet && tri_desk_is_empty(&archivist->options.desks[asleep]);
        asleep++;
    }
    if (asleep == archivist->options.shards) {
        /* A question that has no room for its answer waits a little. */
        tri_loop_wait(&archivist->loop, is_quiet ? idle_ns : ARCHIVIST_PAUSE_NS);
    }
    for (uint32_t shard = 0; shard < asleep; shard++) {
        tri_tape_awake(&archivist->options.tapes[shard]);
    }
}

/* Behind a failure nothing is archived any more: the journal has it for the next start.  Who asks
 * is told. */
static uint32_t archivist_turn_failed(struct tri_archivist *archivist)
{
    struct tri_tape_entry entry;
    uint32_t work = 0;

    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        while (tri_tape_peek(&archivist->options.tapes[shard], &entry)) {
            tri_tape_pop(&archivist->options.tapes[shard]);
            work++;
        }
    }
    return archivist->is_ending ? 0 : work + tri_archivist_desks(archivist);
}

static uint32_t archivist_turn(struct tri_archivist *archivist)
{
    uint32_t work = 0;

    archivist->now_ns = tri_clock_now_ns();
    if (archivist_has_failed(archivist)) {
        return archivist_turn_failed(archivist);
    }
    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        if (!archivist_has_failed(archivist)) {
            work += archivist_drain(archivist, shard);
        }
    }
    if (!archivist_has_failed(archivist)) {
        archivist_write(archivist);
    }
    if (!archivist_has_failed(archivist)) {
        archivist_sync(archivist);
    }
    if (!archivist_has_failed(archivist) && !archivist->is_ending) {
        work += tri_archivist_desks(archivist);
    }
    return work;
}

/* The shards have ended: what is durable is archived, and if that is all, the streams are closed.
 */
static void archivist_finish(struct tri_archivist *archivist)
{
    bool is_whole = true;

    while (archivist_turn(archivist) > 0) {
        /* until the tapes have run out */
    }
    while (archivist->flushes > 0) {
        tri_loop_wait(&archivist->loop, TRI_NEVER);
        (void)tri_loop_reap(&archivist->loop, archivist_complete, archivist);
    }
    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        struct tri_tape_entry entry;

        is_whole = is_whole && archivist->epochs[shard].number == 0 &&
                   !tri_tape_peek(&archivist->options.tapes[shard], &entry);
    }
    if (is_whole && !archivist_has_failed(archivist) &&
        tri_archive_end(archivist->options.archive, archivist->trouble) != 0) {
        tri_archivist_fail(archivist);
    }
}

static void *archivist_run(void *context)
{
    struct tri_archivist *archivist = context;
    struct io_uring_sqe *request = NULL;
    int failed = tri_loop_enable(&archivist->loop);

    (void)pthread_setname_np(pthread_self(), "archivist"); /* as top and the benchmark show it */
    /* pairs with the acquire in tri_archivist_wait */
    atomic_store_explicit(&archivist->begun, failed == 0 ? 1 : failed, memory_order_release);
    if (failed != 0) {
        return NULL;
    }
    request = tri_loop_request(&archivist->loop);
    io_uring_prep_read(request, archivist->end_event, &archivist->end_value,
                       sizeof(archivist->end_value), 0);
    request->user_data = TRI_LOOP_DATA(ARCHIVIST_KIND_END, 0);
    tri_loop_submit(&archivist->loop);
    while (!archivist->is_ending) {
        if (archivist_turn(archivist) > 0) {
            tri_loop_wait(&archivist->loop, ARCHIVIST_PAUSE_NS);
        } else {
            archivist_rest(archivist);
        }
        (void)tri_loop_reap(&archivist->loop, archivist_complete, archivist);
    }
    archivist_finish(archivist);
    return NULL;
}

int tri_archivist_begin(struct tri_archivist **archivist,
                        const struct tri_archivist_options *options,
                        char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    size_t bytes = sizeof(struct tri_archivist) + options->shards * sizeof(struct archivist_epoch);
    struct tri_archivist *it = tri_place_map(bytes);
    const char *advice = "no memory for the archive's thread";
    pthread_attr_t attributes;
    int failed = it == NULL ? -ENOMEM : 0;

    *archivist = NULL;
    if (failed == 0) {
        it->options = *options;
        it->bytes = bytes;
        it->end_event = eventfd(0, EFD_CLOEXEC);
        failed = it->end_event < 0 ? -errno : 0;
        failed = failed != 0
                     ? failed
                     : tri_loop_init(&it->loop, ARCHIVIST_ENTRIES, ARCHIVIST_COMPLETIONS, &advice);
    }
    if (failed == 0) {
        failed = -pthread_attr_init(&attributes);
    }
    if (failed == 0) {
        (void)pthread_attr_setstacksize(&attributes, ARCHIVIST_STACK_BYTES);
        failed = -pthread_create(&it->thread, &attributes, archivist_run, it);
        (void)pthread_attr_destroy(&attributes);
        it->has_thread = failed == 0;
    }
    if (failed != 0) {
        (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "%s (%s)", advice, strerror(-failed));
        tri_archivist_end(it);
        return failed;
    }
    *archivist = it;
    return 0;
}

int tri_archivist_wait(const struct tri_archivist *archivist)
{
    int32_t begun = 0;

    /* pairs with the release in archivist_run */
    while ((begun = atomic_load_explicit(&archivist->begun, memory_order_acquire)) == 0) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = ARCHIVIST_BEGIN_POLL_NS};

        (void)nanosleep(&pause, NULL);
    }
    return begun < 0 ? begun : 0;
}

void tri_archivist_wake(struct tri_archivist *archivist, struct tri_loop *loop)
{
    tri_loop_wake(loop, &archivist->loop);
}

void tri_archivist_end(struct tri_archivist *archivist)
{
    const uint64_t one = 1;

    if (archivist == NULL) {
        return;
    }
    if (archivist->has_thread) {
        ssize_t written = write(archivist->end_event, &one, sizeof(one));

        assert(written == (ssize_t)sizeof(one)); /* its counter is far from full */
        (void)pthread_join(archivist->thread, NULL);
    }
    tri_loop_fini(&archivist->loop);
    if (archivist->end_event >= 0) {
        (void)close(archivist->end_event);
    }
    tri_place_unmap(archivist, archivist->bytes);
}

bool tri_archivist_has_failed(const struct tri_archivist *archivist)
{
    return archivist_has_failed(archivist);
}
