/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a journal with a tape keeps and archives the same messages.  A checkpoint counts when the
 * archive has what it would drop (D04), a record that finds no room in either is in neither, and an
 * archive that has failed stops the journal (D03, D07).
 * Method: a real engine, a log whose requests are carried out at once, and a real tape, whose
 * reader the test plays.
 */
#include "tests/unit/engine_kit.h"

#include "shards/journal_log.h"

#define JOURNAL_MEMORY_ALIGN 4096U
#define MS                   TRI_NS_PER_MS

static struct kit kit;
static struct tri_log *records;
static void *log_memory;
static struct tri_tape tape;
static void *tape_memory;
static struct tri_journal_log journal;
static uint64_t primary_lsn; /* of the last one that was appended */

static bool append(const struct tri_effect *effect)
{
    return tri_journal_log_ops.append(&journal, effect);
}

static uint64_t durable(void)
{
    return tri_journal_log_ops.durable(&journal);
}

static uint64_t failed(void)
{
    return tri_journal_log_ops.failed(&journal);
}

static void append_all(struct kit *it, const struct tri_effect *effect)
{
    (void)it;
    cr_assert(append(effect));
    if (effect->append.kind == TRI_RECORD_PRIMARY) {
        primary_lsn = effect->append.lsn;
    }
}

static void begin(struct tri_tape *with)
{
    struct tri_log_options options = {.epoch = KIT_EPOCH,
                                      .streams = 1,
                                      .slot_last = TRI_SLOT_COUNT - 1,
                                      .wants_checkpoint = true};
    size_t bytes = tri_log_footprint(&options);

    cr_assert_gt(bytes, 0);
    log_memory =
        aligned_alloc(JOURNAL_MEMORY_ALIGN, (bytes + JOURNAL_MEMORY_ALIGN - 1) & ~(size_t)4095);
    tape_memory = aligned_alloc(TRI_CACHE_LINE, tri_tape_footprint());
    cr_assert(log_memory != NULL && tape_memory != NULL);
    records = tri_log_init(log_memory, &options);
    tri_tape_init(&tape, tape_memory, KIT_EPOCH, 0, true);
    kit_init(&kit);
    tri_journal_log_init(&journal, records, with, kit.engine, kit.chains, 3, 0);
    kit.on_append = append_all;
    primary_lsn = 0;
}

static void finish(void)
{
    kit_fini(&kit);
    free(tape_memory);
    free(log_memory);
}

/* Everything that the log wants is done. */
static void flush(void)
{
    struct tri_log_request request;

    while (tri_log_next(records, &request)) {
        tri_log_done(records, request.ticket, TRI_LOG_DONE);
    }
}

/* A message until it waits for FINALIZE; its records are in the log. */
static void record(const char *id)
{
    kit_submit(&kit, id, TRI_GUARANTEED);
    kit_all_ok(&kit, id, TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, id, TRI_PHASE_COMMIT, 1);
}

/* A whole checkpoint; its records are in the log. */
static void checkpoint(void)
{
    cr_assert(tri_journal_log_ops.begin_checkpoint(&journal));
    do {
        struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};

        cr_assert_eq(kit_step(&kit, &event), TRI_OK);
    } while (tri_engine_checkpoint_lsn(kit.engine) != 0);
}

/* Fills the tape with what is no entry, and empties it again. */
static uint32_t tape_fill(void)
{
    uint32_t count = 0;

    while (tri_pipe_reserve(&tape.pipe, TRI_PIPE_RECORD_BYTES_MAX) != NULL) {
        (void)tri_pipe_commit(&tape.pipe, TRI_PIPE_RECORD_BYTES_MAX);
        count++;
    }
    return count;
}

static uint32_t tape_drain(void)
{
    uint32_t bytes = 0;
    uint32_t count = 0;

    (void)tri_pipe_publish(&tape.pipe);
    while (tri_pipe_peek(&tape.pipe, &bytes) != NULL) {
        (void)tri_pipe_pop(&tape.pipe);
        count++;
    }
    return count;
}

TestSuite(journal_log, .fini = finish);

Test(journal_log, D04_a_primary_record_is_in_the_log_and_on_the_tape_and_nothing_else_is)
{
    struct tri_tape_entry entry;
    struct tri_leaf leaf;
    const char *fault = NULL;

    begin(&tape);
    record("m");
    flush();
    cr_assert_eq(primary_lsn, 3); /* behind ACCEPT and DECISION */
    cr_assert_eq(durable(), 3);
    (void)tri_journal_log_publish(&journal);
    cr_assert(tri_tape_peek(&tape, &entry));
    cr_assert_eq(entry.lsn, 3);
    cr_assert_eq(entry.oss_epoch, 1);
    cr_assert(tri_leaf_get(entry.leaf, &leaf, &fault), "%s", fault);
    cr_assert_eq(leaf.id.at[0], 'm');
    cr_assert_eq(leaf.chain_count, 3);
    cr_assert_gt(entry.content.bytes, 0);
    tri_tape_pop(&tape);
    cr_assert_not(tri_tape_peek(&tape, &entry));
}

/* ---- checkpoints ---- */

Test(journal_log, D04_a_checkpoint_counts_when_the_archive_has_what_it_would_drop)
{
    begin(&tape);
    record("m");
    checkpoint();
    record("n"); /* behind the checkpoint: it drops nothing of this */
    flush();
    cr_assert_eq(durable(), tri_log_last_lsn(records));
    flush();
    cr_assert_not(tri_log_is_checkpointed(records));
    cr_assert(tri_tape_is_wanted(&tape), "the archive is asked to hurry");
    tri_tape_archived(&tape, 2);
    (void)durable();
    flush();
    cr_assert_not(tri_log_is_checkpointed(records));
    cr_assert_eq(tri_log_needed_lsn(records), 1);
    (void)tri_journal_log_publish(&journal);
    cr_assert_eq(tri_journal_log_due_ns(&journal, 5), 5 + 100 * MS);
    tri_tape_archived(&tape, 3);
    (void)durable();
    flush();
    cr_assert(tri_log_is_checkpointed(records));
    cr_assert_eq(tri_log_needed_lsn(records), 4);
    cr_assert_lt(journal.archive_lsn, primary_lsn);
    (void)tri_journal_log_publish(&journal);
    cr_assert_eq(tri_journal_log_due_ns(&journal, 5), TRI_NEVER);
}

Test(journal_log, a_checkpoint_without_a_tape_counts_when_it_is_durable)
{
    begin(NULL);
    record("m");
    checkpoint();
    cr_assert_eq(durable(), 0);
    flush();
    cr_assert_not(tri_log_is_checkpointed(records));
    cr_assert_eq(durable(), tri_log_last_lsn(records));
    flush();
    cr_assert(tri_log_is_checkpointed(records));
    cr_assert_not(tri_journal_log_publish(&journal));
    cr_assert_eq(tri_journal_log_due_ns(&journal, 5), TRI_NEVER);
    cr_assert_eq(failed(), 0);
}

/* ---- no room ---- */

/* The tape is full when the primary record comes, and then it is not. */
static void append_starved(struct kit *it, const struct tri_effect *effect)
{
    uint64_t last_lsn = tri_log_last_lsn(records);
    uint32_t count = 0;

    (void)it;
    if (effect->append.kind != TRI_RECORD_PRIMARY) {
        cr_assert(append(effect), "only primary records need room on the tape");
        return;
    }
    count = tape_fill();
    cr_assert_gt(count, 0);
    cr_assert_not(append(effect));
    cr_assert_eq(tri_log_last_lsn(records), last_lsn, "nor is it in the log");
    cr_assert_eq(tri_journal_log_due_ns(&journal, 5), 5 + MS, "nobody wakes the shard");
    cr_assert_eq(tape_drain(), count, "nor on the tape");
    cr_assert(append(effect));
    cr_assert_eq(tri_log_last_lsn(records), last_lsn + 1);
    primary_lsn = effect->append.lsn;
}

Test(journal_log, D04_a_full_tape_refuses_the_primary_record_and_nothing_is_half_done)
{
    begin(&tape);
    kit.on_append = append_starved;
    record("m");
    cr_assert_eq(primary_lsn, 3);
    cr_assert_eq(failed(), 0);
    (void)tri_journal_log_publish(&journal);
    cr_assert_eq(tri_journal_log_due_ns(&journal, 5), TRI_NEVER);
    cr_assert_eq(tape_drain(), 1);
}

Test(journal_log, other_records_need_no_room_on_the_tape)
{
    begin(&tape);
    (void)tape_fill();
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    cr_assert_eq(tri_log_last_lsn(records), 2);
}

static void append_ended(struct kit *it, const struct tri_effect *effect)
{
    (void)it;
    if (effect->append.kind == TRI_RECORD_PRIMARY) {
        tri_log_end(records); /* from now on it has no room */
        cr_assert_not(append(effect));
        primary_lsn = effect->append.lsn;
        return;
    }
    cr_assert(append(effect));
}

Test(journal_log, D04_what_finds_no_room_in_the_log_is_not_on_the_tape)
{
    begin(&tape);
    kit.on_append = append_ended;
    record("m");
    cr_assert_eq(primary_lsn, 3);
    cr_assert_not(tri_journal_log_publish(&journal));
    cr_assert_eq(tape_drain(), 0);
    cr_assert_eq(tape.last_lsn, 0);
}

/* ---- failures ---- */

static void append_refused(struct kit *it, const struct tri_effect *effect)
{
    (void)it;
    cr_assert_not(append(effect));
}

Test(journal_log, D03_D07_an_archive_that_fails_stops_the_journal_behind_its_last_record)
{
    begin(&tape);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    cr_assert_eq(failed(), 0);
    tri_tape_fail(&tape);
    cr_assert_eq(failed(), 3, "what is in the log still becomes durable");
    flush();
    cr_assert_eq(durable(), 2);
    kit.on_append = append_refused;
    kit_submit(&kit, "n", TRI_GUARANTEED);
    cr_assert_eq(tri_log_last_lsn(records), 2);
    cr_assert_eq(failed(), 3);
    cr_assert_eq(tri_journal_log_due_ns(&journal, 5), TRI_NEVER);
}

Test(journal_log, D07_the_first_failure_is_told_whatever_fails_behind_it)
{
    struct tri_log_request request;

    begin(&tape);
    kit_submit(&kit, "m", TRI_GUARANTEED);
    flush();
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    while (tri_log_next(records, &request)) {
        tri_log_done(records, request.ticket,
                     request.type == TRI_LOG_WRITE ? TRI_LOG_FAILED : TRI_LOG_DONE);
    }
    cr_assert_eq(failed(), 2, "the log's");
    tri_tape_fail(&tape);
    cr_assert_eq(failed(), 2);
}

/* ---- what the reader sees ---- */

Test(journal_log, D04_the_reader_sees_how_far_the_journal_is_durable_and_which_epochs_are_closed)
{
    uint64_t durable_lsn = 0;
    uint64_t closed_epoch = 0;
    struct tri_tape_entry entry;

    begin(&tape);
    cr_assert(tri_tape_sleep(&tape));
    cr_assert_not(tri_journal_log_publish(&journal), "there is nothing to wake for");
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    flush();
    kit.is_slow = true;
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    cr_assert(tri_journal_log_publish(&journal), "the reader sleeps");
    tri_tape_progress(&tape, &durable_lsn, &closed_epoch);
    cr_assert_eq(durable_lsn, 2);
    cr_assert_eq(closed_epoch, 0, "its first message waits for the flush");
    cr_assert(tri_tape_peek(&tape, &entry));
    flush();
    kit_durable(&kit);
    cr_assert_not(tri_journal_log_publish(&journal), "no entry is new");
    tri_tape_progress(&tape, &durable_lsn, &closed_epoch);
    cr_assert_eq(durable_lsn, 3);
    cr_assert_eq(closed_epoch, 1);
}
