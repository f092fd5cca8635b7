/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever happened to the bytes, the scan gives the records that were
 * appended, in order and from the first one that is needed, or it says where the
 * damage is; it never gives anything else (D03).
 *
 * Method: a small log of known blocks; every truncation and every single flipped
 * bit of it, exhaustively; and planted segments that only look right.  log_kit.h
 * checks every record that comes.
 */
#include "tests/unit/log_kit.h"

#include <xxhash.h>

static struct kit kit;

static void setup(void)
{
    struct tri_log_options options = kit_options();

    options.chains = "chains";
    options.chains_bytes = 6;
    kit = kit_open(&options);
}

static void teardown(void)
{
    kit_close(&kit);
}

TestSuite(log_scan, .init = setup, .fini = teardown);

/* Where the blocks of the small log lie. */
struct spot {
    uint32_t segment;
    uint64_t offset; /* of what is written with the block: the segment's head too */
    uint32_t count;
    uint64_t lsn_last;
};

#define SPOTS 9U

static struct spot spots[SPOTS];

/* Nine turns of two records, each written before the next: blocks of a page, so six in the first
 * segment and three in the second.  Each block says that the one before it was durable. */
static void write_small(void)
{
    for (uint32_t i = 0; i < SPOTS; i++) {
        struct tri_log_request request;

        kit_append_all(&kit, 2);
        cr_assert(kit_next(&kit, &request));
        spots[i] = (struct spot){request.segment, request.offset, request.count,
                                 tri_log_last_lsn(kit.log)};
        kit_write(&kit, &request);
        tri_log_done(kit.log, request.ticket, TRI_LOG_DONE);
        cr_assert_not(kit_next(&kit, &request));
    }
    cr_assert_eq(spots[5].segment, 1);
    cr_assert_eq(spots[6].segment, 2);
    cr_assert_eq(spots[8].offset + spots[8].count, 16384);
}

/* The spot in which a byte lies; SPOTS if behind the last one or between the segments. */
static uint32_t spot_at(uint32_t segment, uint64_t offset)
{
    for (uint32_t i = 0; i < SPOTS; i++) {
        if (spots[i].segment == segment && offset >= spots[i].offset &&
            offset < spots[i].offset + spots[i].count) {
            return i;
        }
    }
    return SPOTS;
}

static uint64_t lsn_before(uint32_t spot)
{
    return spot == 0 ? 0 : spots[spot - 1].lsn_last;
}

Test(log_scan, what_was_written_comes_back_through_windows_of_any_size)
{
    static const uint64_t windows[] = {4096, 8192, 20480, 1U << 20};

    write_small();
    for (uint32_t i = 0; i < 4; i++) {
        struct tri_log_scan_options options = kit_scan_options(&kit);
        struct kit_end end = kit_scan_with(&kit, &options, windows[i]);

        cr_expect_eq(end.step, TRI_LOG_SCAN_END);
        cr_expect_eq(end.lsn_first, 1);
        cr_expect_eq(end.lsn_last, 18);
        cr_expect_eq(end.chains, 2);
        cr_expect_eq(end.scan.blocks, 9);
        cr_expect_eq(end.scan.records, 18);
        cr_expect_eq(end.scan.seq, 9);
        cr_expect_eq(end.scan.at.segment, 2);
        cr_expect_eq(end.scan.at.offset, 16384);
        cr_expect_not(end.scan.is_ended);
        cr_expect_not(end.scan.is_torn);
    }
}

Test(log_scan, D03_every_truncation_is_cut_or_named)
{
    write_small();
    for (uint32_t segment = 1; segment <= 2; segment++) {
        uint64_t whole = kit.segments[segment].count;

        for (uint64_t count = 0; count < whole; count++) {
            uint32_t spot = spot_at(segment, count);
            struct kit_end end;

            kit.segments[segment].count = count;
            end = kit_scan(&kit);
            if (segment == 1 && spot < 6) { /* the second segment proves it */
                cr_assert_eq(end.step, TRI_LOG_SCAN_DAMAGE, "%lu", (unsigned long)count);
                cr_assert_eq(end.scan.at.segment, 1);
                cr_assert_leq(end.scan.at.offset, count);
                cr_assert_eq(end.scan.witness.segment, 2);
                cr_assert_eq(end.lsn_last, lsn_before(spot));
            } else if (segment == 1) {
                cr_assert_eq(end.lsn_last, 18, "only the unused rest is missing");
            } else {
                cr_assert_eq(end.step, TRI_LOG_SCAN_END, "%lu", (unsigned long)count);
                cr_assert_eq(end.lsn_last, spot == SPOTS ? 18 : lsn_before(spot));
            }
        }
        kit.segments[segment].count = whole;
    }
}

Test(log_scan, D03_every_flipped_bit_is_cut_or_named)
{
    write_small();
    for (uint32_t segment = 1; segment <= 2; segment++) {
        for (uint64_t bit = 0; bit < (segment == 1 ? 32768U : 20480U) * 8; bit++) {
            uint8_t *byte = &kit.segments[segment].bytes[bit / 8];
            uint32_t spot = spot_at(segment, bit / 8);
            struct kit_end end;

            *byte ^= (uint8_t)(1U << bit % 8);
            end = kit_scan(&kit);
            *byte ^= (uint8_t)(1U << bit % 8);
            if (spot == SPOTS) { /* the unused rest of a segment */
                cr_assert_eq(end.step, TRI_LOG_SCAN_END);
                cr_assert_eq(end.lsn_last, 18);
                continue;
            }
            cr_assert_eq(end.lsn_last, lsn_before(spot), "segment %u bit %lu", segment,
                         (unsigned long)bit);
            if (spot == SPOTS - 1) { /* nothing proves that the last block was ever durable */
                cr_assert_eq(end.step, TRI_LOG_SCAN_END);
                continue;
            }
            cr_assert_eq(end.step, TRI_LOG_SCAN_DAMAGE);
            cr_assert_eq(end.scan.at.segment, segment);
            cr_assert_eq(end.scan.at.offset, bit / 8 / 4096 * 4096);
            cr_assert_not_null(end.scan.what);
        }
    }
}

Test(log_scan, D03_a_torn_tail_is_cut_and_said)
{
    struct tri_log_request requests[2];

    kit_turn(&kit, 3);
    kit_append_all(&kit, 1);
    cr_assert(kit_next(&kit, &requests[0]));
    kit_append_all(&kit, 1);
    cr_assert(kit_next(&kit, &requests[1]));
    /* Of the two blocks under way only the later one arrived. */
    kit_write(&kit, &requests[1]);
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_END);
    cr_expect_eq(kit_scan(&kit).lsn_last, 3);
    cr_expect(kit_scan(&kit).scan.is_torn);
    /* And then the first sector of the earlier one. */
    memcpy(kit.segments[1].bytes + requests[0].offset, requests[0].bytes, 512);
    kit.segments[1].bytes[requests[1].offset] ^= 1;
    requests[0].count = 1;
    cr_expect_eq(kit_scan(&kit).lsn_last, 4, "a block of one sector is whole");
    kit.segments[1].bytes[requests[0].offset + 200] ^= 1;
    cr_expect_eq(kit_scan(&kit).lsn_last, 3);
    cr_expect(kit_scan(&kit).scan.is_torn);
}

Test(log_scan, D03_behind_a_decreed_cut_nothing_comes_back_to_life)
{
    struct tri_log_scan_options options;
    struct kit_end end;

    write_small();
    options = kit_scan_options(&kit);
    options.has_cut = true;
    for (uint32_t spot = 0; spot < SPOTS; spot++) {
        options.cut_seq = spot;
        options.cut_lsn = lsn_before(spot);
        end = kit_scan_with(&kit, &options, 65536);
        cr_expect_eq(end.step, TRI_LOG_SCAN_END);
        cr_expect_eq(end.lsn_last, lsn_before(spot));
        cr_expect_eq(end.scan.seq, spot);
    }
}

Test(log_scan, D03_before_a_decreed_cut_everything_was_good_once)
{
    struct tri_log_scan_options options;
    struct kit_end end;

    write_small();
    options = kit_scan_options(&kit);
    options.has_cut = true;
    options.cut_seq = 9;
    options.cut_lsn = 18;
    kit.segments[2].bytes[spots[8].offset] ^= 1;
    end = kit_scan_with(&kit, &options, 65536);
    cr_expect_eq(end.step, TRI_LOG_SCAN_DAMAGE, "without the decree it would be cut");
    cr_expect_eq(end.scan.at.offset, spots[8].offset);
    kit.segments[2].bytes[spots[8].offset] ^= 1;
    options.cut_lsn = 17;
    cr_expect_eq(kit_scan_with(&kit, &options, 65536).step, TRI_LOG_SCAN_DAMAGE);
    options.cut_lsn = 18;
    options.segment_last = 1;
    end = kit_scan_with(&kit, &options, 65536);
    cr_expect_eq(end.step, TRI_LOG_SCAN_DAMAGE);
    cr_expect(end.scan.is_missing);
    cr_expect_eq(end.scan.at.segment, 2);
}

Test(log_scan, D03_a_missing_segment_is_named)
{
    struct tri_log_scan_options options;
    struct kit_end end;

    write_small();
    options = kit_scan_options(&kit);
    options.segment_first = 2; /* as if the first had been lost */
    end = kit_scan_with(&kit, &options, 65536);
    cr_expect_eq(end.step, TRI_LOG_SCAN_DAMAGE);
    cr_expect(end.scan.is_missing);
    cr_expect_eq(end.scan.at.segment, 1);
    options.segment_first = 1;
    options.segment_last = 0;
    end = kit_scan_with(&kit, &options, 65536);
    cr_expect(end.scan.is_missing);
    cr_expect_eq(end.scan.at.segment, 1);
}

Test(log_scan, a_checkpoint_makes_earlier_segments_unneeded)
{
    struct kit_end end;
    uint64_t begin = 0;

    while (tri_log_counts(kit.log).segments_begun < 3) {
        kit_turn(&kit, 1);
    }
    begin = tri_log_checkpoint_begin(kit.log);
    kit_turn(&kit, 2);
    tri_log_checkpointed(kit.log, begin, 1);
    kit_flush(&kit);
    cr_assert_null(kit.segments[1].bytes);
    cr_assert_null(kit.segments[2].bytes);
    end = kit_scan(&kit);
    cr_expect_eq(end.step, TRI_LOG_SCAN_END);
    cr_expect_eq(end.scan.lsn_needed, begin);
    cr_expect_leq(end.lsn_first, begin);
    cr_expect_eq(end.lsn_last, begin + 1);
}

/* Makes the hash of a segment's head right again. */
static void head_rehash(uint8_t *page)
{
    XXH128_hash_t hash = XXH3_128bits(page + 24, 4096 - 24);

    memcpy(page + 8, &hash.low64, 8);
    memcpy(page + 16, &hash.high64, 8);
}

Test(log_scan, another_version_is_named_and_not_called_damage)
{
    struct kit_end end;

    write_small();
    kit.segments[2].bytes[24] = 2;
    head_rehash(kit.segments[2].bytes);
    end = kit_scan(&kit);
    cr_expect_eq(end.step, TRI_LOG_SCAN_VERSION);
    cr_expect_eq(end.scan.version, 2);
    cr_expect_eq(end.scan.at.segment, 2);
    cr_expect_eq(end.lsn_last, 12);
}

Test(log_scan, D03_a_segment_of_another_stream_is_never_read)
{
    /* Epoch, stream, number, the seed, and the numbers that join it to the segment before. */
    static const uint32_t fields[] = {28, 32, 48, 64, 72, 80, 88};

    write_small();
    for (uint32_t i = 0; i < 7; i++) {
        struct kit_end end;

        kit.segments[2].bytes[fields[i]] ^= 4;
        head_rehash(kit.segments[2].bytes);
        end = kit_scan(&kit);
        cr_expect_eq(end.step, TRI_LOG_SCAN_DAMAGE, "field at %u", fields[i]);
        cr_expect_eq(end.scan.at.segment, 2);
        cr_expect_eq(end.lsn_last, 12);
        kit.segments[2].bytes[fields[i]] ^= 4;
    }
}

Test(log_scan, D03_a_whole_block_in_the_wrong_place_is_not_read)
{
    uint8_t page[4096];

    write_small();
    /* The third block once more in the place of the fourth. */
    memcpy(page, kit.segments[1].bytes + spots[3].offset, 4096);
    memcpy(kit.segments[1].bytes + spots[3].offset, kit.segments[1].bytes + spots[2].offset, 4096);
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_DAMAGE);
    cr_expect_eq(kit_scan(&kit).lsn_last, 6);
    memcpy(kit.segments[1].bytes + spots[3].offset, page, 4096);
    /* The last two blocks change places: the one that comes next is not there. */
    memcpy(page, kit.segments[2].bytes + spots[7].offset, 4096);
    memcpy(kit.segments[2].bytes + spots[7].offset, kit.segments[2].bytes + spots[8].offset, 4096);
    memcpy(kit.segments[2].bytes + spots[8].offset, page, 4096);
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_DAMAGE, "block 9 says that 8 was durable");
    cr_expect_eq(kit_scan(&kit).lsn_last, 14);
}

Test(log_scan, D03_two_histories_of_one_stream_do_not_mix)
{
    struct kit other = kit_open(&kit.options);
    struct kit_end end;

    write_small();
    cr_assert(kit_append_bytes(&other, 77)); /* the same numbers, other bytes */
    cr_assert(kit_append_bytes(&other, 78));
    kit_flush(&other);
    kit_turn(&other, 2);
    memcpy(kit.segments[1].bytes + spots[1].offset, other.segments[1].bytes + spots[1].offset,
           4096);
    end = kit_scan(&kit);
    cr_expect_eq(end.step, TRI_LOG_SCAN_DAMAGE);
    cr_expect_eq(end.lsn_last, 2);
    cr_expect_eq(end.scan.at.offset, spots[1].offset);
    kit_close(&other);
}

/* Makes the hash of a block of a page right again. */
static void block_rehash(uint8_t *page)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(page + 24, 4096 - 24, KIT_SEED);

    memcpy(page + 8, &hash.low64, 8);
    memcpy(page + 16, &hash.high64, 8);
}

Test(log_scan, D03_a_block_that_contradicts_itself_or_its_past_is_not_read)
{
    /* Used, segment, records, first and last LSN, LSN needed, durable, chain; of a record: type of
     * the log's own, LSN, bytes. */
    static const uint32_t fields[] = {28, 40, 44, 56, 64, 72, 80, 88, 104 + 13, 104 + 16, 104 + 8};
    uint8_t *page = NULL;

    write_small();
    page = kit.segments[2].bytes + spots[8].offset;
    for (uint32_t i = 0; i < 11; i++) {
        struct kit_end end;

        page[fields[i]] ^= fields[i] == 117 ? 0xff : 0x40;
        block_rehash(page);
        end = kit_scan(&kit);
        cr_expect_eq(end.step, TRI_LOG_SCAN_DAMAGE, "field at %u", fields[i]);
        cr_expect_eq(end.scan.at.offset, spots[8].offset);
        cr_expect_eq(end.lsn_last, 16);
        page[fields[i]] ^= fields[i] == 117 ? 0xff : 0x40;
    }
    block_rehash(page);
    cr_expect_eq(kit_scan(&kit).lsn_last, 18);
}

Test(log_scan, what_a_used_segment_held_before_does_not_count)
{
    struct kit_end end;
    uint64_t begin = 0;
    uint8_t *old = NULL;

    /* Segment 1 is dropped and comes back as segment 5, with all that stood in it. */
    while (tri_log_counts(kit.log).segments_begun < 4) {
        kit_turn(&kit, 2);
    }
    old = aligned_alloc(4096, 32768);
    memcpy(old, kit.segments[1].bytes, 32768);
    begin = tri_log_checkpoint_begin(kit.log);
    kit_turn(&kit, 1);
    tri_log_checkpointed(kit.log, begin, 1);
    kit_flush(&kit);
    memcpy(kit.segments[5].bytes, old, 32768);
    end = kit_scan(&kit);
    cr_expect_eq(end.step, TRI_LOG_SCAN_END);
    cr_expect_eq(end.lsn_last, begin);
    cr_expect_not(end.scan.is_torn);
    cr_expect_leq(end.scan.at.segment, 5);
    /* The same when it has been begun. */
    while (tri_log_counts(kit.log).segments_begun < 5) {
        kit_turn(&kit, 1);
    }
    kit_turn(&kit, 1);
    end = kit_scan(&kit);
    cr_expect_eq(end.step, TRI_LOG_SCAN_END);
    cr_expect_eq(end.lsn_last, tri_log_last_lsn(kit.log));
    cr_expect_not(end.scan.is_torn);
    free(old);
}

/* A block that says that everything before it was durable, such as a payload may hold. */
static void forge(uint8_t *page, uint64_t seed)
{
    static const uint64_t words[] = {
        0x0a4b4c422d495254, 0, 0, 4096 | 104ULL << 32, 3 | 1ULL << 32, 1, 9, 1, 0, 1, 8};
    XXH128_hash_t hash;

    memset(page, 0, 4096);
    memcpy(page, words, sizeof(words));
    hash = XXH3_128bits_withSeed(page + 24, 4096 - 24, seed);
    memcpy(page + 8, &hash.low64, 8);
    memcpy(page + 16, &hash.high64, 8);
}

Test(log_scan, a_payload_cannot_pass_for_a_witness)
{
    kit_turn(&kit, 2);
    forge(kit.segments[1].bytes + 16384, 0);
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_END);
    cr_expect_eq(kit_scan(&kit).lsn_last, 2);
    forge(kit.segments[1].bytes + 16384, KIT_SEED);
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_DAMAGE, "who knows the seed could");
}

Test(log_scan, a_trusted_scan_gives_the_same_without_hashing)
{
    struct tri_log_scan_options options;
    struct kit_end end;

    write_small();
    options = kit_scan_options(&kit);
    options.is_trusted = true;
    options.has_cut = true;
    options.cut_seq = 9;
    options.cut_lsn = 18;
    end = kit_scan_with(&kit, &options, 8192);
    cr_expect_eq(end.step, TRI_LOG_SCAN_END);
    cr_expect_eq(end.lsn_last, 18);
    options.segment_first = 2; /* from the segment on in which the first needed record lies */
    end = kit_scan_with(&kit, &options, 8192);
    cr_expect_eq(end.lsn_first, 13);
    cr_expect_eq(end.lsn_last, 18);
}

Test(log_scan, a_trusted_scan_of_changed_bytes_stays_within_them)
{
    struct tri_log_scan_options options;

    write_small();
    options = kit_scan_options(&kit);
    options.is_trusted = true;
    for (uint64_t bit = 0; bit < (uint64_t)32768 * 8; bit++) {
        uint8_t *byte = &kit.segments[1].bytes[bit / 8];
        struct tri_log_window bytes = {
            .segment = 1, .bytes = kit.segments[1].bytes, .count = 32768, .is_end = true};
        struct tri_log_block block;
        struct tri_log_scan scan;
        uint64_t seen = 0;

        *byte ^= (uint8_t)(1U << bit % 8);
        tri_log_scan_init(&scan, &options);
        while (tri_log_scan_next(&scan, &bytes, &block) == TRI_LOG_SCAN_BLOCK) {
            struct tri_log_record record;
            uint32_t cursor = 0;

            while (tri_log_block_record(&block, &cursor, &record)) {
                cr_assert_geq(record.payload, bytes.bytes);
                cr_assert_leq(record.payload + record.bytes, bytes.bytes + bytes.count);
            }
            cr_assert_leq(++seen, 7);
        }
        *byte ^= (uint8_t)(1U << bit % 8);
    }
}

Test(log_scan, the_end_record_ends_it)
{
    struct kit_end end;

    write_small();
    tri_log_end(kit.log);
    kit_flush(&kit);
    end = kit_scan(&kit);
    cr_expect_eq(end.step, TRI_LOG_SCAN_END);
    cr_expect(end.scan.is_ended);
    cr_expect_eq(end.lsn_last, 18);
    cr_expect_eq(end.scan.seq, 10);
    /* The last block is one that must be there now: the end proves it. */
    kit.segments[2].bytes[spots[8].offset + 100] ^= 1;
    cr_expect_eq(kit_scan(&kit).step, TRI_LOG_SCAN_DAMAGE);
}

Test(log_scan, it_stays_where_it_ended)
{
    struct kit_end end;
    struct tri_log_window none = {0};
    struct tri_log_block block;

    write_small();
    end = kit_scan(&kit);
    cr_expect_eq(tri_log_scan_next(&end.scan, &none, &block), TRI_LOG_SCAN_END);
    kit.segments[1].bytes[5000] ^= 1;
    end = kit_scan(&kit);
    cr_expect_eq(tri_log_scan_next(&end.scan, &none, &block), TRI_LOG_SCAN_DAMAGE);
    kit.segments[1].bytes[24] = 9;
    head_rehash(kit.segments[1].bytes);
    end = kit_scan(&kit);
    cr_expect_eq(tri_log_scan_next(&end.scan, &none, &block), TRI_LOG_SCAN_VERSION);
}
