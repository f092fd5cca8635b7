/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a start wrote the next one reads, through any number of starts and
 * any number of streams; old sets rule until the new one stands alone; files that
 * nobody needs go, and come back as new segments.
 *
 * Method: real files in a fresh directory, segments of 64 KiB; each record tells
 * what it must be.
 */
#include "tests/unit/journal_kit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include "shards/route.h"

TestSuite(journal, .init = kit_setup, .fini = kit_teardown);

Test(journal, D01_what_was_durable_is_there_after_a_kill)
{
    struct kit kit = kit_start(1, 1);
    struct kit_taken taken;

    cr_expect_eq(tri_journal_dir_streams(kit.dir), 0, "a new journal has no past");
    kit_write(&kit, 0, 1000);
    cr_expect_gt(tri_journal_counts(kit.journals[0]).log.segments_begun, 2);
    kit_append(&kit, 0, 1); /* and this one was never written */
    kit_kill(&kit);
    kit.dir = kit_look();
    cr_assert_eq(tri_journal_dir_streams(kit.dir), 1);
    cr_expect_eq(tri_journal_dir_stream(kit.dir, 0)->lsn, 1000);
    cr_expect_eq(tri_journal_dir_stream(kit.dir, 0)->records, 1000);
    cr_expect_not(tri_journal_dir_stream(kit.dir, 0)->is_ended);
    taken = kit_replay(kit.dir, 0, 4095);
    cr_expect_eq(taken.records, 1000);
    cr_expect_eq(taken.lsn, 1000);
    cr_expect_geq(taken.chains, 3, "every segment tells its chains");
    tri_journal_dir_close(kit.dir);
}

Test(journal, an_end_in_order_is_seen)
{
    struct kit kit = kit_start(1, 2);

    kit_write(&kit, 0, 10);
    kit_end(&kit);
    cr_expect_not(kit_exists("1-0-2.seg"), "what was only prepared is gone");
    cr_expect(kit_exists("1-0-1.seg"));
    kit.dir = kit_look();
    cr_expect(tri_journal_dir_stream(kit.dir, 0)->is_ended);
    cr_expect(tri_journal_dir_stream(kit.dir, 1)->is_ended);
    cr_expect_eq(kit_replay(kit.dir, 0, 4095).records, 10);
    tri_journal_dir_close(kit.dir);
}

Test(journal, D06_old_sets_rule_in_order_of_epoch_until_all_new_streams_are_checkpointed)
{
    struct kit kit = kit_start(1, 2);
    struct kit_taken taken;

    kit_write(&kit, 0, 100);
    kit_write(&kit, 1, 50);
    kit_kill(&kit);
    kit = kit_start(2, 2);
    cr_expect(tri_journal_dir_has_old(kit.dir));
    cr_expect(tri_log_wants_checkpoint(tri_journal_log(kit.journals[0])));
    kit_write(&kit, 0, 30);
    kit_checkpoint(&kit, 0);
    (void)tri_journal_turn(kit.journals[0], tri_clock_now_ns());
    cr_expect(tri_journal_dir_has_old(kit.dir), "the other stream has none");
    kit_kill(&kit);
    kit.dir = kit_look();
    cr_assert_eq(tri_journal_dir_streams(kit.dir), 4);
    taken = kit_replay(kit.dir, 0, 4095);
    cr_expect_eq(taken.sets, 2);
    cr_expect_eq(taken.records, 50 + 2, "the checkpoint has repeated what the 100 still say");
    tri_journal_dir_close(kit.dir);
}

Test(journal, D06_what_a_checkpoint_covers_is_not_taken_from_earlier_sets)
{
    struct kit kit = kit_start(1, 1);

    kit_write(&kit, 0, 300); /* 186 of the slots 0 to 2047, 114 of the others */
    kit_kill(&kit);
    kit = kit_start(2, 2);
    kit_write(&kit, 0, 10); /* what ends here may be forgotten when the checkpoint begins */
    kit_checkpoint(&kit, 0);
    kit_write(&kit, 0, 5);
    kit_write(&kit, 1, 7);
    kit_kill(&kit);
    for (uint32_t epoch = 3; epoch <= 4; epoch++) { /* and a start that writes nothing */
        kit.dir = kit_look();
        cr_expect_eq(kit_replay(kit.dir, 0, 2047).records, 2 + 5);
        cr_expect_eq(kit_replay(kit.dir, 2048, 4095).records, 114 + 7);
        cr_expect_eq(kit_replay(kit.dir, 0, 4095).records, 2 + 5 + 114 + 7);
        tri_journal_dir_close(kit.dir);
        kit = kit_start(epoch, 3);
        kit_kill(&kit);
    }
}

static bool is_alone(const struct kit *kit)
{
    return !tri_journal_dir_has_old(kit->dir);
}

Test(journal, D06_when_all_new_streams_are_checkpointed_the_old_sets_go)
{
    struct kit kit = kit_start(1, 2);
    struct kit_taken taken;

    kit_write(&kit, 0, 600);
    kit_write(&kit, 1, 50);
    kit_kill(&kit);
    cr_expect(kit_exists("1-0-3.seg"));
    kit = kit_start(2, 2);
    kit_checkpoint(&kit, 1);
    (void)tri_journal_turn(kit.journals[1], tri_clock_now_ns());
    kit_write(&kit, 0, 5);
    kit_checkpoint(&kit, 0);
    kit_run(&kit, 0, is_alone);
    kit_write(&kit, 1, 7);
    kit_kill(&kit);
    cr_expect_not(kit_exists("1-0-1.seg"));
    cr_expect_not(kit_exists("1-0-3.seg"));
    cr_expect_not(kit_exists("1-1-1.seg"));
    cr_expect_not(kit_exists("manifest.new"));
    kit.dir = kit_look();
    cr_assert_eq(tri_journal_dir_streams(kit.dir), 2);
    taken = kit_replay(kit.dir, 0, 4095);
    cr_expect_eq(taken.sets, 1);
    cr_expect_eq(taken.epoch, 2);
    cr_expect_eq(taken.records, 2 + 2 + 7);
    tri_journal_dir_close(kit.dir);
}

/* Takes turns at that time until the attempts to remove the old sets have failed so often. */
static void await_retire_failed(const struct kit *kit, uint64_t failed, uint64_t now_ns)
{
    uint64_t end_ns = tri_clock_now_ns() + 20 * TRI_NS_PER_S;

    while (tri_journal_counts(kit->journals[0]).retires_failed != failed) {
        cr_assert_lt(tri_clock_now_ns(), end_ns, "it never came about");
        (void)tri_journal_turn(kit->journals[0], now_ns);
        (void)tri_journal_wait(kit->journals[0], TRI_NS_PER_MS);
    }
}

Test(journal, D06_old_sets_that_cannot_be_removed_are_tried_again_after_a_minute)
{
    struct kit kit = kit_start(1, 1);
    uint64_t now_ns = 0;

    kit_write(&kit, 0, 10);
    kit_kill(&kit);
    kit = kit_start(2, 1);
    cr_assert_eq(mkdir(kit_path("manifest.new"), 0700), 0);
    kit_checkpoint(&kit, 0);
    now_ns = tri_clock_now_ns();
    await_retire_failed(&kit, 1, now_ns);
    cr_expect_not_null(strstr(tri_journal_old_trouble(kit.journals[0]),
                              "manifest: the old sets stay: Is a directory"));
    cr_expect_eq(tri_journal_deadline_ns(kit.journals[0]), now_ns + 60 * TRI_NS_PER_S);
    cr_assert_eq(rmdir(kit_path("manifest.new")), 0);
    cr_assert_eq(unlink(kit_path("1-0-1.seg")), 0);
    cr_assert_eq(mkdir(kit_path("1-0-1.seg"), 0700), 0);
    for (uint32_t turn = 0; turn < 10; turn++) {
        (void)tri_journal_turn(kit.journals[0], now_ns + 59 * TRI_NS_PER_S);
        (void)tri_journal_wait(kit.journals[0], TRI_NS_PER_MS);
    }
    cr_expect_eq(tri_journal_counts(kit.journals[0]).retires_failed, 1);
    now_ns += 60 * TRI_NS_PER_S;
    await_retire_failed(&kit, 2, now_ns);
    cr_expect_not_null(strstr(tri_journal_old_trouble(kit.journals[0]),
                              "1-0-1.seg: the old sets stay: Is a directory"));
    cr_assert_eq(rmdir(kit_path("1-0-1.seg")), 0);
    (void)tri_journal_turn(kit.journals[0], now_ns + 60 * TRI_NS_PER_S);
    kit_run(&kit, 0, is_alone);
    cr_expect_str_eq(tri_journal_old_trouble(kit.journals[0]), "");
    cr_expect_eq(tri_journal_deadline_ns(kit.journals[0]), TRI_NEVER);
    kit_end(&kit);
    kit.dir = kit_look();
    cr_expect_eq(tri_journal_dir_streams(kit.dir), 1);
    tri_journal_dir_close(kit.dir);
}

Test(journal, D06_a_manifest_of_another_process_is_not_replaced)
{
    struct kit kit = kit_start(1, 1);
    struct kit other;
    uint64_t now_ns = 0;

    kit_write(&kit, 0, 10);
    kit_kill(&kit);
    kit = kit_start(2, 1);
    cr_assert_eq(mkdir(kit_path("manifest.new"), 0700), 0);
    kit_checkpoint(&kit, 0);
    now_ns = tri_clock_now_ns();
    await_retire_failed(&kit, 1, now_ns);
    cr_assert_eq(rmdir(kit_path("manifest.new")), 0);
    other = kit_start(3, 1);
    for (uint32_t turn = 0; turn < 20; turn++) {
        (void)tri_journal_turn(kit.journals[0], now_ns + 60 * TRI_NS_PER_S);
        (void)tri_journal_wait(kit.journals[0], TRI_NS_PER_MS);
    }
    cr_expect(kit_exists("1-0-1.seg"));
    kit_kill(&kit);
    kit_kill(&other);
    kit.dir = kit_look();
    cr_expect_eq(tri_journal_dir_epoch(kit.dir), 3);
    tri_journal_dir_close(kit.dir);
}

Test(journal, D06_the_number_of_streams_may_change_and_every_record_has_one_reader)
{
    static const uint32_t streams[] = {2, 3, 1, 4};
    uint32_t written = 0;

    for (uint32_t start = 0; start < 4; start++) {
        struct kit kit = kit_start(start + 1, streams[start]);

        for (uint32_t i = 0; i < streams[start]; i++) {
            kit_write(&kit, i, 100 + 10 * i);
            written += 100 + 10 * i;
        }
        kit_kill(&kit);
    }
    for (uint32_t shards = 1; shards <= 5; shards++) {
        struct tri_journal_dir *dir = kit_look();
        uint32_t read = 0;

        for (uint32_t shard = 0; shard < shards; shard++) {
            uint32_t slot_first = 0;
            uint32_t slot_last = 0;
            struct kit_taken taken;

            tri_journal_slots(shard, shards, &slot_first, &slot_last);
            taken = kit_replay(dir, slot_first, slot_last);
            cr_expect_geq(taken.slot_min, slot_first);
            cr_expect_leq(taken.slot_max, slot_last);
            read += taken.records;
        }
        cr_expect_eq(read, written, "%u shards", shards);
        tri_journal_dir_close(dir);
    }
}

Test(journal, slots_are_dealt_as_routes_are)
{
    static const uint8_t secret[TRI_ROUTE_SECRET_BYTES] = {1};

    for (uint32_t streams = 1; streams <= TRI_SHARDS_MAX; streams++) {
        struct tri_route route;
        uint32_t next = 0;

        tri_route_init(&route, secret, streams);
        for (uint32_t i = 0; i < streams; i++) {
            uint32_t slot_first = 0;
            uint32_t slot_last = 0;

            tri_journal_slots(i, streams, &slot_first, &slot_last);
            cr_assert_eq(slot_first, next);
            for (uint32_t slot = slot_first; slot <= slot_last; slot++) {
                cr_assert_eq(route.shard_of_slot[slot], i);
            }
            next = slot_last + 1;
        }
        cr_assert_eq(next, TRI_SLOT_COUNT);
    }
}

Test(journal, a_checkpoint_bounds_the_files_and_old_segments_are_used_again)
{
    struct kit kit = kit_start(1, 1);
    struct kit_taken taken;
    struct tri_journal_counts counts;

    for (uint32_t i = 0; i < 12; i++) {
        kit_write(&kit, 0, 700);
        kit_checkpoint(&kit, 0);
    }
    counts = tri_journal_counts(kit.journals[0]);
    cr_expect_gt(counts.segments_recycled, 5);
    cr_expect_gt(counts.segments_removed, 5);
    cr_expect_leq(kit_files(NULL), 8, "the manifest, what is needed, a spare and one ahead");
    cr_expect_leq(counts.disk_bytes, 8U * 65536);
    kit_write(&kit, 0, 3);
    kit_kill(&kit);
    kit.dir = kit_look();
    taken = kit_replay(kit.dir, 0, 4095);
    cr_expect_eq(taken.lsn_first, 12 * 702 - 1);
    cr_expect_eq(taken.records, 5);
    cr_expect_eq(taken.lsn, 12 * 702 + 3);
    tri_journal_dir_close(kit.dir);
}

Test(journal, D03_an_old_stream_keeps_the_end_that_its_recovery_found)
{
    struct kit kit = kit_start(1, 1);
    uint8_t *block = malloc(4096);
    int file = 0;

    kit_write(&kit, 0, 1);
    kit_write(&kit, 0, 1);
    kit_kill(&kit);
    /* The second block is gone at the first recovery, and comes back before the second one. */
    file = open(kit_path("1-0-1.seg"), O_RDWR);
    cr_assert_eq(pread(file, block, 4096, 8192), 4096);
    cr_assert_eq(pwrite(file, "lost", 4, 8192), 4);
    kit = kit_start(2, 1);
    cr_expect_eq(tri_journal_dir_stream(kit.dir, 0)->lsn, 1);
    kit_kill(&kit);
    cr_assert_eq(pwrite(file, block, 4096, 8192), 4096);
    kit.dir = kit_look();
    cr_expect_eq(tri_journal_dir_stream(kit.dir, 0)->lsn, 1);
    cr_expect_eq(kit_replay(kit.dir, 0, 4095).records, 1);
    tri_journal_dir_close(kit.dir);
    (void)close(file);
    free(block);
}

Test(journal, starts_that_write_nothing_leave_nothing)
{
    for (uint32_t epoch = 1; epoch <= 5; epoch++) {
        struct kit kit = kit_start(epoch, 2);

        cr_expect_eq(tri_journal_dir_streams(kit.dir), epoch == 1 ? 0 : 2);
        cr_expect_not(tri_journal_dir_has_old(kit.dir));
        kit_kill(&kit);
    }
    cr_expect_leq(kit_files(NULL), 5, "a manifest, two segments and two more");
}

Test(journal, a_start_that_fails_before_its_manifest_leaves_the_old_one_in_force)
{
    struct kit kit = kit_start(1, 1);
    struct tri_journal_dir_options options = kit_options();

    kit_write(&kit, 0, 10);
    kit_kill(&kit);
    /* As if the next start had died between its files and its manifest. */
    (void)close(open(kit_path("2-0-1.seg"), O_WRONLY | O_CREAT, 0600));
    cr_assert_eq(truncate(kit_path("2-0-1.seg"), 32768), 0);
    kit = kit_start(3, 1);
    cr_expect_eq(tri_journal_dir_stream(kit.dir, 0)->records, 10);
    cr_expect_not(kit_exists("2-0-1.seg"));
    kit_kill(&kit);
    cr_assert_eq(tri_journal_dir_open(&kit.dir, directory, &options, trouble), 0);
    cr_assert_eq(tri_journal_dir_scan_all(kit.dir, trouble), 0);
    cr_expect_eq(tri_journal_dir_begin(kit.dir, 3, 1, trouble), -EEXIST);
    cr_expect_not_null(strstr(trouble, "epoch 3"));
    tri_journal_dir_close(kit.dir);
}

Test(journal, D06_another_secret_or_another_kind_refuses)
{
    struct kit kit = kit_start(1, 1);
    struct tri_journal_dir_options options = kit_options();
    static const uint8_t other[32] = "another secret";

    kit_kill(&kit);
    options.secret = other;
    cr_expect_eq(tri_journal_dir_open(&kit.dir, directory, &options, trouble), -EKEYREJECTED);
    cr_expect_not_null(strstr(trouble, "hash-secret"));
    options = kit_options();
    options.kind = "participant";
    cr_expect_eq(tri_journal_dir_open(&kit.dir, directory, &options, trouble), -EKEYREJECTED);
    cr_expect_not_null(strstr(trouble, "of a coordinator, not of a participant"));
    options = (struct tri_journal_dir_options){.is_read_only = true};
    cr_expect_eq(tri_journal_dir_open(&kit.dir, directory, &options, trouble), 0,
                 "a tool may look");
    tri_journal_dir_close(kit.dir);
}

Test(journal, a_ring_of_its_own_tells_by_its_descriptor)
{
    struct kit kit = kit_start(1, 1);
    struct tri_log *log = tri_journal_log(kit.journals[0]);
    struct pollfd ready = {.fd = tri_journal_descriptor(kit.journals[0]), .events = POLLIN};
    uint64_t end_ns = tri_clock_now_ns() + 20 * TRI_NS_PER_S;

    kit_append(&kit, 0, 1);
    while (tri_log_durable_lsn(log) == 0) {
        (void)tri_journal_turn(kit.journals[0], tri_clock_now_ns());
        if (tri_log_durable_lsn(log) == 0) {
            cr_assert_eq(poll(&ready, 1, 10000), 1, "the write never told of its end");
        }
        cr_assert_lt(tri_clock_now_ns(), end_ns);
    }
    kit_end(&kit);
}

static bool is_prepared(const struct kit *kit)
{
    return tri_journal_counts(kit->journals[0]).segments_made == 1;
}

Test(journal, its_descriptor_rests_when_nothing_is_under_way)
{
    struct kit kit = kit_start(1, 1);
    struct pollfd ready = {.fd = tri_journal_descriptor(kit.journals[0]), .events = POLLIN};
    uint64_t late = 1;

    kit_run(&kit, 0, is_prepared); /* the next segment: then there is nothing to do */
    cr_assert_eq(write(ready.fd, &late, sizeof(late)), (ssize_t)sizeof(late));
    cr_assert_eq(poll(&ready, 1, 0), 1);
    (void)tri_journal_turn(kit.journals[0], tri_clock_now_ns());
    cr_expect_eq(poll(&ready, 1, 0), 0);
    kit_end(&kit);
}

Test(journal, R08_when_files_are_short_the_next_segment_waits)
{
    struct kit kit = kit_start(1, 1);
    struct tri_journal *journal = kit.journals[0];
    struct rlimit before;
    struct rlimit few;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    (void)tri_journal_turn(journal, tri_clock_now_ns());
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(tri_journal_counts(journal).prepares_failed, 1);
    cr_expect_not_null(strstr(tri_journal_trouble(journal), "1-0-2.seg: cannot be made"));
    kit_write(&kit, 0, 600);
    cr_expect(kit_exists("1-0-3.seg"), "it was tried again");
    kit_end(&kit);
}

Test(journal, D03_what_a_failed_write_has_said_stays)
{
    struct kit kit = kit_start(1, 1);
    struct tri_journal *journal = kit.journals[0];
    uint64_t end_ns = tri_clock_now_ns() + 20 * TRI_NS_PER_S;
    struct rlimit before;
    struct rlimit none;

    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(mkdir(kit_path("1-0-2.seg"), 0700), 0);
    while (tri_journal_counts(journal).prepares_failed == 0) {
        cr_assert_lt(tri_clock_now_ns(), end_ns, "it never came about");
        (void)tri_journal_turn(journal, tri_clock_now_ns());
        (void)tri_journal_wait(journal, 10 * TRI_NS_PER_MS);
    }
    cr_assert_eq(rmdir(kit_path("1-0-2.seg")), 0);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    kit_append(&kit, 0, 1);
    while (tri_log_failed_lsn(tri_journal_log(journal)) == 0) {
        cr_assert_lt(tri_clock_now_ns(), end_ns, "it never came about");
        (void)tri_journal_turn(journal, tri_clock_now_ns());
        (void)tri_journal_wait(journal, 10 * TRI_NS_PER_MS);
    }
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    kit_run(&kit, 0, is_prepared); /* the segment comes after all */
    cr_expect_not_null(strstr(tri_journal_trouble(journal), "1-0-1.seg: "));
    cr_expect_not_null(strstr(tri_journal_trouble(journal), "cannot be written: File too large"));
    kit_kill(&kit);
}

Test(journal, it_works_in_a_loop_of_its_owner)
{
    struct tri_journal_dir_options options = kit_options();
    struct tri_journal_options stream = {.loop_kind = 18};
    struct tri_journal_dir *dir = NULL;
    struct tri_journal *journal = NULL;
    struct tri_loop loop;
    const char *advice = "";
    struct io_uring_cqe *completion = NULL;

    cr_assert_eq(tri_loop_init(&loop, 64, 128, &advice), 0, "%s", advice);
    cr_assert_eq(tri_loop_enable(&loop), 0);
    stream.loop = &loop;
    cr_assert_eq(tri_journal_dir_open(&dir, directory, &options, trouble), 0);
    cr_assert_eq(tri_journal_dir_begin(dir, 1, 1, trouble), 0, "%s", trouble);
    cr_assert_eq(tri_journal_open(&journal, dir, &stream, trouble), 0, "%s", trouble);
    cr_assert_not_null(tri_log_reserve(tri_journal_log(journal), 0));
    tri_log_commit(tri_journal_log(journal), 1, 0, 1, 0);
    while (tri_log_durable_lsn(tri_journal_log(journal)) == 0) {
        (void)tri_journal_turn(journal, 0);
        tri_loop_wait(&loop, TRI_NS_PER_S);
        while (io_uring_peek_cqe(&loop.ring, &completion) == 0) {
            cr_assert_eq(TRI_LOOP_KIND(completion->user_data), 18);
            tri_journal_complete(journal, completion->user_data, completion->res);
            io_uring_cqe_seen(&loop.ring, completion);
        }
    }
    tri_loop_fini(&loop);
    tri_journal_close(journal);
    tri_journal_dir_close(dir);
}

Test(journal, it_works_without_direct_writes)
{
    struct tri_journal_dir_options options = kit_options();
    struct kit kit;

    options.is_buffered = true;
    kit = kit_start_with(&options, 1, 1);
    cr_expect_str_eq(tri_journal_dir_mode(kit.dir), "buffered");
    kit_write(&kit, 0, 500);
    kit_kill(&kit);
    kit.dir = kit_look();
    cr_expect_eq(kit_replay(kit.dir, 0, 4095).records, 500);
    tri_journal_dir_close(kit.dir);
}

static int take_two(void *context, const struct tri_journal_entry *entry)
{
    uint32_t *taken = context;

    *taken += entry->record.type == TRI_LOG_TYPE_CHAINS ? 0U : 1U;
    return *taken == 2 ? 42 : 0;
}

Test(journal, a_replay_ends_when_its_taker_says_so)
{
    struct kit kit = kit_start(1, 1);
    uint32_t taken = 0;

    kit_write(&kit, 0, 3);
    kit_kill(&kit);
    kit.dir = kit_look();
    cr_expect_eq(tri_journal_dir_replay(kit.dir, 0, 4095, take_two, &taken, trouble), 42);
    cr_expect_eq(taken, 2);
    tri_journal_dir_close(kit.dir);
}
