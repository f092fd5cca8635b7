/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a turn left is written at once while the disk is free and in larger
 * pieces while it is not; durable means durable with all that came before; a
 * failed write is final; room is given back and never invented.
 *
 * Method: a log with blocks of 8 KiB in segments of 32 KiB; its requests are
 * ended by hand, in every order that matters.
 */
#include "tests/unit/log_kit.h"

static struct kit kit;

static void setup(void)
{
    struct tri_log_options options = kit_options();

    kit = kit_open(&options);
}

static void teardown(void)
{
    kit_close(&kit);
}

static void reopen(const struct tri_log_options *options)
{
    kit_close(&kit);
    kit = kit_open(options);
}

TestSuite(log_writer, .init = setup, .fini = teardown);

Test(log_writer, a_lone_record_is_written_at_the_end_of_its_turn)
{
    struct tri_log_request request;

    kit_append_all(&kit, 1);
    cr_assert(kit_next(&kit, &request));
    cr_expect_eq(request.segment, 1);
    cr_expect_eq(request.offset, 0, "the segment's head goes with its first block");
    cr_expect_eq(request.count, 8192);
    cr_expect_eq(request.seq, 1);
    cr_expect_eq(tri_log_durable_lsn(kit.log), 0);
    tri_log_done(kit.log, request.ticket, TRI_LOG_DONE);
    cr_expect_eq(tri_log_durable_lsn(kit.log), 1);
    cr_expect_not(kit_next(&kit, &request));
    cr_expect(tri_log_is_quiet(kit.log));
}

Test(log_writer, two_writes_go_at_once_and_then_blocks_grow)
{
    struct tri_log_request requests[4];
    struct tri_log_options options = kit_options();

    options.block_bytes_max = 65536;
    options.segment_bytes = 1U << 20;
    options.segment_bytes_first = 1U << 20;
    reopen(&options);
    for (uint32_t i = 0; i < 2; i++) {
        kit_append_all(&kit, 1);
        cr_assert(kit_next(&kit, &requests[i]));
    }
    kit_append_all(&kit, 1);
    cr_expect_not(kit_next(&kit, &requests[2]), "two are under way: a small block waits");
    cr_assert(kit_append_bytes(&kit, 32000));
    cr_expect_not(kit_next(&kit, &requests[2]), "and grows");
    cr_assert(kit_append_bytes(&kit, 1000));
    cr_assert(kit_next(&kit, &requests[2]), "until it holds 32 KiB");
    cr_expect_eq(requests[2].count, 36864);
    cr_assert(kit_append_bytes(&kit, 33000));
    cr_assert(kit_next(&kit, &requests[3]));
    cr_assert(kit_append_bytes(&kit, 33000));
    cr_expect_not(kit_next(&kit, &requests[3]), "never more than four");
    tri_log_done(kit.log, requests[0].ticket, TRI_LOG_DONE);
    cr_expect(kit_next(&kit, &requests[0]));
}

Test(log_writer, D01_durable_means_with_all_that_came_before_in_every_order)
{
    /* The six orders in which three writes can end, and what is durable after each end. */
    static const uint32_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const uint64_t durable[6][3] = {{1, 2, 3}, {1, 1, 3}, {0, 2, 3},
                                           {0, 0, 3}, {0, 1, 3}, {0, 0, 3}};
    struct tri_log_options options = kit_options();

    options.block_bytes_max = 65536;
    options.segment_bytes = 1U << 20;
    options.segment_bytes_first = 1U << 20;
    for (uint32_t order = 0; order < 6; order++) {
        struct tri_log_request requests[3];

        reopen(&options);
        for (uint32_t i = 0; i < 3; i++) {
            cr_assert(kit_append_bytes(&kit, 40000));
            cr_assert(kit_next(&kit, &requests[i]));
        }
        for (uint32_t i = 0; i < 3; i++) {
            tri_log_done(kit.log, requests[orders[order][i]].ticket, TRI_LOG_DONE);
            cr_expect_eq(tri_log_durable_lsn(kit.log), durable[order][i], "order %u, end %u", order,
                         i);
        }
    }
}

Test(log_writer, D07_a_failed_write_is_final_and_told_when_all_before_it_have_ended)
{
    struct tri_log_request requests[2];
    struct tri_log_request more;

    kit_append_all(&kit, 3);
    cr_assert(kit_next(&kit, &requests[0]));
    kit_append_all(&kit, 2);
    cr_assert(kit_next(&kit, &requests[1]));
    kit_append_all(&kit, 1);
    tri_log_done(kit.log, requests[1].ticket, TRI_LOG_UNKNOWN);
    cr_expect_eq(tri_log_failed_lsn(kit.log), 0, "the write before it may still fail");
    cr_expect_not(tri_log_is_quiet(kit.log));
    cr_expect_not(tri_log_next(kit.log, &more), "nothing more is started");
    cr_expect_null(tri_log_reserve(kit.log, 1));
    tri_log_done(kit.log, requests[0].ticket, TRI_LOG_DONE);
    cr_expect_eq(tri_log_durable_lsn(kit.log), 3);
    cr_expect_eq(tri_log_failed_lsn(kit.log), 4);
    cr_expect(tri_log_is_quiet(kit.log));
    cr_expect_not(tri_log_next(kit.log, &more));
    cr_expect_null(tri_log_reserve(kit.log, 1));
}

Test(log_writer, D07_an_earlier_failure_counts_for_all_that_follow)
{
    struct tri_log_request requests[2];

    kit_append_all(&kit, 3);
    cr_assert(kit_next(&kit, &requests[0]));
    kit_append_all(&kit, 2);
    cr_assert(kit_next(&kit, &requests[1]));
    tri_log_done(kit.log, requests[1].ticket, TRI_LOG_FAILED);
    tri_log_done(kit.log, requests[0].ticket, TRI_LOG_FAILED);
    cr_expect_eq(tri_log_failed_lsn(kit.log), 1);
    cr_expect_eq(tri_log_durable_lsn(kit.log), 0);
}

Test(log_writer, D07_what_ends_well_behind_a_failure_is_not_durable)
{
    struct tri_log_request requests[2];

    kit_append_all(&kit, 3);
    cr_assert(kit_next(&kit, &requests[0]));
    kit_append_all(&kit, 2);
    cr_assert(kit_next(&kit, &requests[1]));
    tri_log_done(kit.log, requests[1].ticket, TRI_LOG_DONE);
    tri_log_done(kit.log, requests[0].ticket, TRI_LOG_FENCED);
    cr_expect_eq(tri_log_failed_lsn(kit.log), 1);
    cr_expect_eq(tri_log_durable_lsn(kit.log), 0);
}

Test(log_writer, R08_without_a_buffer_there_is_no_room_and_nothing_is_lost)
{
    struct tri_log_request requests[2];
    uint64_t last = 0;

    cr_assert(kit_append(&kit));
    cr_assert(kit_next(&kit, &requests[0]));
    while (kit_append_bytes(&kit, 3000)) {
        last = tri_log_last_lsn(kit.log);
        cr_assert_leq(last, 100, "room is bounded");
    }
    cr_expect_eq(last, 1 + 5 * 2, "five buffers with two such records each");
    cr_expect_eq(tri_log_last_lsn(kit.log), last, "a refused record leaves nothing");
    cr_expect_eq(tri_log_counts(kit.log).refused, 1);
    kit_write(&kit, &requests[0]);
    tri_log_done(kit.log, requests[0].ticket, TRI_LOG_DONE);
    cr_expect(kit_append_bytes(&kit, 3000), "the buffer is free again");
    kit_flush(&kit);
    cr_expect_eq(tri_log_durable_lsn(kit.log), 12);
    cr_expect_eq(kit_scan(&kit).lsn_last, 12);
}

Test(log_writer, a_reservation_that_is_not_committed_leaves_nothing)
{
    struct tri_log_request request;

    cr_assert_not_null(tri_log_reserve(kit.log, 100));
    cr_expect_not(kit_next(&kit, &request));
    cr_expect(tri_log_is_quiet(kit.log));
    kit_turn(&kit, 2);
    cr_expect_eq(kit_scan(&kit).lsn_last, 2);
}

Test(log_writer, the_largest_record_fits_and_so_does_an_empty_one)
{
    uint32_t largest = tri_log_payload_bytes_max(KIT_BLOCK);

    cr_expect_eq(largest, 8192 - 104 - 24);
    cr_assert(kit_append_bytes(&kit, largest));
    cr_assert(kit_append_bytes(&kit, 0));
    cr_assert(kit_append_bytes(&kit, largest));
    kit_flush(&kit);
    cr_expect_eq(kit_scan(&kit).lsn_last, 3);
    cr_expect_eq(tri_log_payload_bytes_max(0), 131072 - 104 - 24);
}

Test(log_writer, the_next_segment_is_prepared_one_ahead)
{
    struct tri_log_request request;

    cr_assert(tri_log_next(kit.log, &request));
    cr_expect_eq(request.type, TRI_LOG_PREPARE);
    cr_expect_eq(request.segment, 2);
    cr_expect_eq(request.offset, 32768);
    cr_expect_not(tri_log_next(kit.log, &request), "one at a time");
}

Test(log_writer, R08_a_segment_that_is_not_ready_holds_back_and_loses_nothing)
{
    struct tri_log_request prepare;
    struct tri_log_request request;
    uint32_t written = 0;

    cr_assert(tri_log_next(kit.log, &prepare));
    while (kit_append_bytes(&kit, 7000)) { /* a block each */
        while (tri_log_next(kit.log, &request)) {
            cr_assert_eq(request.type, TRI_LOG_WRITE);
            cr_assert_eq(request.segment, 1);
            kit_write(&kit, &request);
            tri_log_done(kit.log, request.ticket, TRI_LOG_DONE);
            written++;
        }
    }
    cr_expect_eq(written, 3, "a segment of 32 KiB has room for its head and three such blocks");
    cr_expect(tri_log_is_starved(kit.log));
    cr_expect_eq(tri_log_failed_lsn(kit.log), 0);
    kit_write(&kit, &prepare);
    tri_log_done(kit.log, prepare.ticket, TRI_LOG_DONE);
    cr_expect_not(tri_log_is_starved(kit.log));
    kit_flush(&kit);
    cr_expect_eq(tri_log_durable_lsn(kit.log), tri_log_last_lsn(kit.log));
    cr_expect_eq(kit_scan(&kit).lsn_last, 9);
}

Test(log_writer, D03_a_segment_that_cannot_be_made_fails_the_log_when_it_is_needed)
{
    struct tri_log_request request;
    uint32_t written = 0;

    cr_assert(tri_log_next(kit.log, &request));
    tri_log_done(kit.log, request.ticket, TRI_LOG_FAILED);
    while (tri_log_failed_lsn(kit.log) == 0) {
        cr_assert(kit_append_bytes(&kit, 7000));
        while (tri_log_next(kit.log, &request)) {
            cr_assert_eq(request.type, TRI_LOG_WRITE, "it is not asked for again");
            tri_log_done(kit.log, request.ticket, TRI_LOG_DONE);
            written++;
        }
    }
    cr_expect_eq(written, 3);
    cr_expect_eq(tri_log_failed_lsn(kit.log), 4);
    cr_expect_eq(tri_log_durable_lsn(kit.log), 3);
}

Test(log_writer, every_segment_begins_with_the_chains)
{
    struct tri_log_options options = kit_options();
    struct kit_end end;

    options.chains = "eip155:1 eip155:10";
    options.chains_bytes = 18;
    reopen(&options);
    while (tri_log_counts(kit.log).segments_begun < 4) {
        kit_turn(&kit, 1);
    }
    end = kit_scan(&kit);
    cr_expect_eq(end.step, TRI_LOG_SCAN_END);
    cr_expect_eq(end.chains, 4);
    cr_expect_eq(end.lsn_last, tri_log_last_lsn(kit.log));
}

Test(log_writer, chains_and_records_of_any_size_get_along)
{
    struct tri_log_options options = kit_options();
    static const uint8_t chains[8064] = {1};

    options.chains = chains;
    options.chains_bytes = tri_log_payload_bytes_max(KIT_BLOCK);
    cr_assert_eq(options.chains_bytes, sizeof(chains));
    options.segment_bytes = 4096 + 8192 + 4096;
    cr_expect_eq(tri_log_footprint(&options), 0, "only the chains would fit into a segment");
    options.segment_bytes = 4096 + 8192 + 8192;
    reopen(&options);
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert(kit_append_bytes(&kit, 8064));
        kit_flush(&kit);
    }
    cr_expect_eq(kit_scan(&kit).lsn_last, 6);
}

/* Writes until `segment` is the one that is written. */
static void write_until(uint32_t segment)
{
    while (tri_log_counts(kit.log).segments_begun < segment) {
        kit_turn(&kit, 1);
    }
}

Test(log_writer, a_checkpoint_drops_what_lies_before_it_once_a_durable_block_says_so)
{
    struct tri_log_request request;
    uint64_t begin = 0;

    write_until(4);
    begin = tri_log_checkpoint_begin(kit.log);
    cr_expect_eq(begin, tri_log_last_lsn(kit.log) + 1);
    write_until(6);
    tri_log_checkpointed(kit.log, begin, 100);
    cr_expect_eq(tri_log_needed_lsn(kit.log), 1);
    cr_expect_not(tri_log_is_quiet(kit.log), "the log has to say it");
    cr_assert(tri_log_next(kit.log, &request));
    cr_expect_eq(request.type, TRI_LOG_WRITE, "in a block of its own, as no record waits");
    kit_write(&kit, &request);
    cr_expect_eq(tri_log_needed_lsn(kit.log), 1);
    tri_log_done(kit.log, request.ticket, TRI_LOG_DONE);
    cr_expect_eq(tri_log_needed_lsn(kit.log), begin);
    for (uint32_t segment = 1; segment <= 3; segment++) {
        while (tri_log_next(kit.log, &request) && request.type != TRI_LOG_DROP) {
            kit_write(&kit, &request);
            tri_log_done(kit.log, request.ticket, TRI_LOG_DONE);
        }
        cr_assert_eq(request.type, TRI_LOG_DROP);
        cr_expect_eq(request.segment, segment, "oldest first");
        kit_write(&kit, &request);
        tri_log_done(kit.log, request.ticket, TRI_LOG_FAILED);
        cr_expect_eq(tri_log_failed_lsn(kit.log), 0, "a file that stays does no harm");
    }
    cr_expect_not(kit_next(&kit, &request));
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_END);
    cr_expect_eq(kit_scan(&kit).scan.lsn_needed, begin);
}

Test(log_writer, a_checkpoint_without_records_is_one_too)
{
    uint64_t begin = 0;

    kit_turn(&kit, 3);
    kit_append_all(&kit, 2);
    begin = tri_log_checkpoint_begin(kit.log);
    kit_flush(&kit);
    tri_log_checkpointed(kit.log, begin, 0);
    kit_append_all(&kit, 1);
    kit_flush(&kit);
    cr_expect_eq(tri_log_needed_lsn(kit.log), 6);
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_END);
    cr_expect_eq(kit_scan(&kit).scan.lsn_needed, 6);
}

Test(log_writer, checkpoints_are_due_by_bytes_written)
{
    uint64_t begin = 0;

    cr_expect_not(tri_log_wants_checkpoint(kit.log));
    while (tri_log_counts(kit.log).bytes <= 65536) {
        cr_expect_not(tri_log_wants_checkpoint(kit.log));
        kit_turn(&kit, 1);
    }
    cr_expect(tri_log_wants_checkpoint(kit.log));
    begin = tri_log_checkpoint_begin(kit.log);
    cr_expect_not(tri_log_wants_checkpoint(kit.log), "one is going on");
    kit_turn(&kit, 1);
    tri_log_checkpointed(kit.log, begin, 40000);
    begin = tri_log_counts(kit.log).bytes - 8192; /* where it began: a head or none, and a block */
    while (tri_log_counts(kit.log).bytes <= begin + 80000) {
        cr_expect_not(tri_log_wants_checkpoint(kit.log));
        kit_turn(&kit, 1);
    }
    while (tri_log_counts(kit.log).bytes <= begin + 80000 + 8192) {
        kit_turn(&kit, 1);
    }
    cr_expect(tri_log_wants_checkpoint(kit.log), "after twice what the last one took");
}

Test(log_writer, a_log_with_a_past_wants_a_checkpoint_at_once)
{
    struct tri_log_options options = kit_options();
    uint64_t begin = 0;

    options.wants_checkpoint = true;
    reopen(&options);
    cr_assert(tri_log_wants_checkpoint(kit.log));
    begin = tri_log_checkpoint_begin(kit.log);
    cr_expect_eq(begin, 1);
    cr_expect_not(tri_log_is_checkpointed(kit.log));
    kit_turn(&kit, 1);
    tri_log_checkpointed(kit.log, begin, 10);
    cr_expect(tri_log_is_checkpointed(kit.log), "it begins with the stream");
    cr_expect_not(tri_log_wants_checkpoint(kit.log));
}

Test(log_writer, a_stream_is_checkpointed_when_a_durable_block_says_so)
{
    struct tri_log_request request;
    uint64_t begin = 0;

    kit_turn(&kit, 5);
    begin = tri_log_checkpoint_begin(kit.log);
    kit_turn(&kit, 1);
    tri_log_checkpointed(kit.log, begin, 10);
    cr_assert(kit_next(&kit, &request));
    cr_expect_not(tri_log_is_checkpointed(kit.log));
    tri_log_done(kit.log, request.ticket, TRI_LOG_DONE);
    cr_expect(tri_log_is_checkpointed(kit.log));
}

Test(log_writer, the_end_comes_alone_when_all_else_is_durable)
{
    struct tri_log_request requests[2];

    kit_append_all(&kit, 3);
    cr_assert(kit_next(&kit, &requests[0]));
    kit_append_all(&kit, 1);
    tri_log_end(kit.log);
    cr_assert_null(tri_log_reserve(kit.log, 1));
    cr_assert(kit_next(&kit, &requests[1]));
    kit_write(&kit, &requests[0]);
    tri_log_done(kit.log, requests[0].ticket, TRI_LOG_DONE);
    cr_expect_not(kit_next(&kit, &requests[0]), "the end waits");
    kit_write(&kit, &requests[1]);
    tri_log_done(kit.log, requests[1].ticket, TRI_LOG_DONE);
    cr_expect_not(tri_log_is_quiet(kit.log));
    cr_assert(kit_next(&kit, &requests[0]));
    kit_write(&kit, &requests[0]);
    tri_log_done(kit.log, requests[0].ticket, TRI_LOG_DONE);
    cr_expect(tri_log_is_quiet(kit.log));
    cr_expect(kit_scan(&kit).scan.is_ended);
    cr_expect_eq(kit_scan(&kit).lsn_last, 4);
}

Test(log_writer, the_end_may_open_a_segment)
{
    uint32_t records = 0;

    /* Blocks of a page: after seven of them less than a largest block is left. */
    while (tri_log_counts(kit.log).bytes < 4096 + 6 * 4096) {
        kit_turn(&kit, 1);
        records++;
    }
    tri_log_end(kit.log);
    kit_flush(&kit);
    cr_expect(tri_log_is_quiet(kit.log));
    cr_expect_eq(tri_log_counts(kit.log).segments_begun, 2);
    cr_expect(kit_scan(&kit).scan.is_ended);
    cr_expect_eq(kit_scan(&kit).lsn_last, records);
}

Test(log_writer, an_empty_stream_ends_too)
{
    tri_log_end(kit.log);
    kit_flush(&kit);
    cr_expect(tri_log_is_quiet(kit.log));
    cr_expect(kit_scan(&kit).scan.is_ended);
    cr_expect_eq(kit_scan(&kit).lsn_last, 0);
}

Test(log_writer, invalid_options_have_no_footprint)
{
    struct tri_log_options good = kit_options();
    struct tri_log_options bad[12];

    for (uint32_t i = 0; i < 12; i++) {
        bad[i] = good;
    }
    bad[0].epoch = 0;
    bad[1].stream = 2;
    bad[2].slot_first = 4095, bad[2].slot_last = 4094;
    bad[3].slot_last = 4096;
    bad[4].block_bytes_max = 4096;
    bad[5].block_bytes_max = 8193;
    bad[6].block_bytes_max = 2U << 20;
    bad[7].blocks = 1;
    bad[8].blocks = 65;
    bad[9].segment_bytes = 8192;
    bad[10].segment_bytes_first = 12289;
    bad[11].chains_bytes = 8065;
    cr_expect_gt(tri_log_footprint(&good), 6U * (8192 + 4096));
    for (uint32_t i = 0; i < 12; i++) {
        cr_expect_eq(tri_log_footprint(&bad[i]), 0, "option %u", i);
    }
}

Test(log_writer, options_left_out_have_defaults)
{
    struct tri_log_options options = {.epoch = 1, .streams = 1, .slot_last = 4095};

    cr_expect_eq(tri_log_segment_bytes(&options, 1), 4U << 20);
    cr_expect_eq(tri_log_segment_bytes(&options, 2), 64U << 20);
    cr_expect_gt(tri_log_footprint(&options), 8U * (131072 + 4096));
    options.segment_bytes = 1U << 20;
    cr_expect_eq(tri_log_segment_bytes(&options, 1), 1U << 20, "never more than the others");
}
