/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what the settlement, the operator and the chains say moves a record or message from one
 * place to another exactly as F03 to F06 have it, over restarts too, and redeliveries keep to their
 * rate, their number and their window.
 *
 * Method: real archives in a fresh directory; time is a number.
 */
#include "tests/unit/pending_kit.h"

#define MINUTE_MS UINT64_C(60000)

TestSuite(pending, .init = kit_setup, .fini = kit_teardown);

static const struct tri_text none = {"", 0};

static enum tri_pending_place place_of(uint32_t epoch, uint32_t shard, uint64_t oss_epoch,
                                       uint32_t index)
{
    char id[48];
    struct tri_text text = {id, kit_id(epoch, shard, oss_epoch, index, id)};

    return tri_pending_where(pending, epoch, shard, oss_epoch, text).place;
}

Test(pending, F05_without_a_settlement_it_is_off_and_says_so)
{
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;
    uint8_t root[TRI_DIGEST_BYTES] = {0};
    bool is_new = true;

    options.is_on = false;
    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", true);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_OFF);
    cr_expect_not(kit_sequencer(false));
    cr_expect_not(kit_next(KIT_START_MS * 2, &what, &again_ms));
    cr_expect_eq(again_ms, TRI_NEVER);
    cr_expect_not(kit_view(KIT_START_MS).is_on);
    cr_expect_eq(kit_view(KIT_START_MS).records, 0);
    cr_expect_eq(tri_pending_where(pending, 1, 0, 1, none).place, TRI_PENDING_PLACE_OFF);
    cr_expect_eq(tri_pending_sync(pending), 0);
}

Test(pending, F03_an_equal_root_makes_it_final_once_and_for_ever)
{
    uint8_t root[TRI_DIGEST_BYTES];
    bool is_new = false;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    cr_expect_eq(kit_view(KIT_START_MS).messages, 2);
    kit_root(1, 0, 2, root);
    cr_expect_eq(kit_settle(1, 0, 2, root, &is_new), TRI_PENDING_FINAL);
    cr_expect(is_new);
    cr_assert_eq(tri_pending_sync(pending), 0);
    cr_expect_eq(kit_settle(1, 0, 2, root, &is_new), TRI_PENDING_FINAL);
    cr_expect_not(is_new);
    for (uint32_t start = 0; start < 2; start++) {
        cr_expect_eq(place_of(1, 0, 1, 0), TRI_PENDING_PLACE_PENDING);
        cr_expect_eq(place_of(1, 0, 2, 0), TRI_PENDING_PLACE_SECONDARY_FINAL);
        cr_expect_eq(kit_view(KIT_START_MS).records, 1);
        cr_expect_eq(kit_view(KIT_START_MS).messages, 1);
        cr_expect_eq(kit_view(KIT_START_MS).settled, 1);
        kit_restart();
    }
}

Test(pending, F03_where_they_differ_the_primary_wins_and_the_difference_is_noted)
{
    uint8_t root[TRI_DIGEST_BYTES];
    uint8_t other[TRI_DIGEST_BYTES] = {9};
    bool is_new = false;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    cr_expect_eq(kit_settle(1, 0, 1, other, &is_new), TRI_PENDING_DIFFERENT);
    cr_expect(is_new);
    cr_expect_eq(kit_settle(1, 0, 1, other, &is_new), TRI_PENDING_DIFFERENT);
    cr_expect_not(is_new);
    cr_assert_eq(tri_pending_sync(pending), 0);
    kit_restart();
    cr_expect_eq(kit_view(KIT_START_MS).differences, 1);
    cr_expect_eq(kit_view(KIT_START_MS).contested_records, 1);
    cr_expect(tri_pending_where(pending, 1, 0, 1, none).is_contested);
    cr_expect_eq(place_of(1, 0, 1, 0), TRI_PENDING_PLACE_PENDING);
    kit_root(1, 0, 1, root);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_expect_not(tri_pending_where(pending, 1, 0, 1, none).is_contested);
    cr_expect_eq(kit_settle(1, 0, 1, other, &is_new), TRI_PENDING_DIFFERENT);
    cr_expect(is_new);
    cr_expect_eq(place_of(1, 0, 1, 0), TRI_PENDING_PLACE_SECONDARY_FINAL);
    cr_expect_eq(kit_view(KIT_START_MS).differences, 2);
}

Test(pending, F03_a_record_that_is_not_in_a_file_is_unknown)
{
    const struct kit_record record = {
        .count = 3, .issued_at_ms = KIT_START_MS, .chains = {"eip155:1"}};
    uint8_t root[TRI_DIGEST_BYTES] = {0};
    uint8_t buffer[1024];
    struct tri_pending_item items[4];
    uint32_t count = 9;
    bool is_new = true;

    kit_start();
    (void)kit_append(0, &record);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_UNKNOWN);
    cr_expect_not(is_new);
    cr_expect_eq(tri_pending_list(pending, 0, 0, 0, items, 4, buffer, sizeof(buffer), &count), 0);
    cr_expect_eq(count, 0);
    cr_expect_eq(place_of(1, 0, 1, 2), TRI_PENDING_PLACE_PENDING);
    kit_write();
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_DIFFERENT);
    cr_expect_eq(kit_settle(1, 0, 0, root, &is_new), TRI_PENDING_UNKNOWN);
    cr_expect_eq(kit_settle(1, 0, 2, root, &is_new), TRI_PENDING_UNKNOWN);
    cr_expect_eq(kit_settle(1, 2, 1, root, &is_new), TRI_PENDING_UNKNOWN);
    cr_expect_eq(kit_settle(2, 0, 1, root, &is_new), TRI_PENDING_UNKNOWN);
    cr_expect_eq(place_of(1, 0, 2, 0), TRI_PENDING_PLACE_UNKNOWN);
}

Test(pending, F05_the_list_is_in_order_and_goes_on_behind_any_record)
{
    static uint8_t buffer[16384];
    struct tri_pending_item items[8];
    uint8_t root[TRI_DIGEST_BYTES];
    uint32_t count = 0;
    bool is_new = false;

    kit_start();
    for (uint32_t i = 0; i < 40; i++) {
        (void)kit_one(i % 2, KIT_START_MS + i, "eip155:1", false);
    }
    kit_root(1, 0, 2, root);
    cr_assert_eq(kit_settle(1, 0, 2, root, &is_new), TRI_PENDING_FINAL);
    kit_restart();
    (void)kit_one(0, KIT_START_MS + 40, "eip155:1",
                  false); /* the report was lost with the restart */
    cr_assert_eq(tri_pending_list(pending, 0, 0, 0, items, 8, buffer, sizeof(buffer), &count), 0);
    cr_assert_eq(count, 8);
    cr_expect_eq(items[0].oss_epoch, 1);
    cr_expect_eq(items[1].oss_epoch, 2);
    cr_assert_eq(kit_settle(1, 0, 2, root, &is_new), TRI_PENDING_FINAL);
    cr_assert_eq(tri_pending_list(pending, 0, 0, 0, items, 2, buffer, sizeof(buffer), &count), 0);
    cr_assert_eq(count, 2);
    cr_expect_eq(items[1].oss_epoch, 3);
    cr_assert_eq(tri_pending_list(pending, 1, 0, 19, items, 8, buffer, sizeof(buffer), &count), 0);
    cr_assert_eq(count, 8);
    cr_expect_eq(items[0].oss_epoch, 20);
    cr_expect_eq(items[0].shard, 0);
    cr_expect_eq(items[1].oss_epoch, 1);
    cr_expect_eq(items[1].shard, 1);
    cr_assert_eq(tri_pending_list(pending, 1, 1, 20, items, 8, buffer, sizeof(buffer), &count), 0);
    cr_assert_eq(count, 1);
    cr_expect_eq(items[0].epoch, 2);
    cr_expect_eq(items[0].shard, 0);
    cr_assert_eq(tri_pending_list(pending, 0, 0, 0, items, 8, buffer, 600, &count), 0);
    cr_assert_eq(count, 2, "a record that has no room ends the list");
}

Test(pending, F06_what_was_forced_is_held_while_the_sequencer_is_down)
{
    uint8_t root[TRI_DIGEST_BYTES];
    uint8_t other[TRI_DIGEST_BYTES] = {9};
    uint8_t buffer[2048];
    struct tri_pending_item items[4];
    uint32_t count = 0;
    bool is_new = false;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", true);
    (void)kit_one(0, KIT_START_MS + 5, "eip155:1", false);
    kit_root(1, 0, 1, root);
    cr_expect(kit_sequencer(false));
    cr_expect_not(kit_sequencer(false));
    cr_assert_eq(tri_pending_sync(pending), 0);
    for (uint32_t start = 0; start < 2; start++) {
        cr_expect_not(kit_view(KIT_START_MS).is_sequencer_up);
        cr_expect_eq(kit_view(KIT_START_MS).held_records, 1);
        cr_expect_eq(kit_view(KIT_START_MS).oldest_ms, KIT_START_MS + 5);
        cr_expect(tri_pending_where(pending, 1, 0, 1, none).is_held);
        cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_HELD);
        cr_expect_eq(kit_settle(1, 0, 1, other, &is_new), TRI_PENDING_HELD);
        cr_expect_not(is_new);
        cr_assert_eq(tri_pending_list(pending, 0, 0, 0, items, 4, buffer, sizeof(buffer), &count),
                     0);
        cr_assert_eq(count, 1);
        cr_expect_eq(items[0].oss_epoch, 2);
        kit_restart();
    }
    (void)kit_one(0, KIT_START_MS, "eip155:1", true);
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 2);
    cr_expect(kit_sequencer(true));
    cr_assert_eq(tri_pending_sync(pending), 0);
    kit_restart();
    cr_expect(kit_view(KIT_START_MS).is_sequencer_up);
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 0);
    cr_expect_eq(kit_view(KIT_START_MS).oldest_ms, KIT_START_MS);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_expect(kit_sequencer(false));
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 1);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL, "it is final already");
}

Test(pending, F04_a_gap_is_flagged_by_the_lag_or_by_age)
{
    uint8_t root[TRI_DIGEST_BYTES];
    bool is_new = false;

    kit_start();
    cr_expect_not(kit_view(KIT_START_MS * 2).is_gap, "nothing is pending");
    tri_pending_heartbeat(pending, 300);
    cr_expect_not(kit_view(KIT_START_MS).is_gap);
    tri_pending_heartbeat(pending, 301);
    cr_expect(kit_view(KIT_START_MS).is_gap);
    tri_pending_heartbeat(pending, 0);
    cr_expect_not(kit_view(KIT_START_MS).is_gap);
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    cr_expect_not(kit_view(KIT_START_MS + 5 * MINUTE_MS).is_gap);
    cr_expect(kit_view(KIT_START_MS + 5 * MINUTE_MS + 1).is_gap);
    kit_root(1, 0, 1, root);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_expect_not(kit_view(KIT_START_MS + 5 * MINUTE_MS + 1).is_gap);
    (void)kit_one(0, KIT_START_MS, "eip155:1", true);
    cr_expect(kit_view(KIT_START_MS + 5 * MINUTE_MS + 1).is_gap);
    cr_expect(kit_sequencer(false));
    cr_expect_not(kit_view(KIT_START_MS + 5 * MINUTE_MS + 1).is_gap, "what is held is no gap");
}

Test(pending, F04_nothing_is_driven_without_a_gap)
{
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    cr_expect_not(kit_next(KIT_START_MS, &what, &again_ms));
    cr_expect_eq(again_ms, KIT_START_MS + 300001);
    cr_expect_not(kit_next(KIT_START_MS + 300000, &what, &again_ms));
    cr_assert(kit_next(KIT_START_MS + 300001, &what, &again_ms));
    cr_expect_eq(what.epoch, 1);
    cr_expect_eq(what.shard, 0);
    cr_expect_eq(what.oss_epoch, 1);
    cr_expect_eq(what.index, 0);
    cr_expect_eq(what.content.bytes, strlen("of m-1-0-1-0"));
    cr_expect_eq(memcmp(what.content.at, "of m-1-0-1-0", what.content.bytes), 0);
}

/* Drives the one message that there is until it is not sent any more; returns the last outcome, and
 * when each was sent, counted from the first. */
static enum tri_pending_outcome drive(enum tri_redelivered result, uint64_t sent_ms[8],
                                      uint32_t *count)
{
    enum tri_pending_outcome outcome = TRI_PENDING_KEPT;
    struct tri_pending_redelivery what;
    uint64_t now_ms = KIT_START_MS;
    uint64_t again_ms = 0;

    *count = 0;
    while (now_ms != TRI_NEVER && outcome == TRI_PENDING_KEPT) {
        if (!kit_next(now_ms, &what, &again_ms)) {
            now_ms = again_ms;
            continue;
        }
        cr_assert_lt(*count, 8);
        sent_ms[*count] = now_ms - (*count == 0 ? 0 : sent_ms[0]);
        (*count)++;
        outcome = kit_redelivered(&what, result, now_ms);
    }
    return outcome;
}

Test(pending, F04_used_up_with_a_chain_that_fails_it_is_handed_over)
{
    uint64_t sent_ms[8];
    uint8_t root[TRI_DIGEST_BYTES];
    uint32_t count = 0;
    bool is_new = false;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    cr_expect_eq(drive(TRI_REDELIVERED_FAILED, sent_ms, &count), TRI_PENDING_HANDED);
    cr_assert_eq(count, 5);
    cr_expect_eq(sent_ms[1], 1 * MINUTE_MS);
    cr_expect_eq(sent_ms[2], 3 * MINUTE_MS);
    cr_expect_eq(sent_ms[3], 7 * MINUTE_MS);
    cr_expect_eq(sent_ms[4], 15 * MINUTE_MS);
    (void)kit_one(1, KIT_START_MS, "eip155:1", false);
    cr_assert_eq(tri_pending_sync(pending), 0);
    kit_restart();
    cr_expect_eq(place_of(1, 0, 1, 0), TRI_PENDING_PLACE_RECONCILIATION);
    cr_expect_eq(kit_view(KIT_START_MS).records, 2);
    cr_expect_eq(kit_view(KIT_START_MS).messages, 1);
    cr_expect_eq(kit_view(KIT_START_MS).handed_messages, 1);
    cr_expect_eq(drive(TRI_REDELIVERED_AGREED, sent_ms, &count), TRI_PENDING_ALARMED);
    cr_expect_eq(count, 5, "the other one only was driven");
    cr_expect_eq(place_of(1, 1, 1, 0), TRI_PENDING_PLACE_PENDING);
    cr_expect_eq(kit_view(KIT_START_MS).redeliveries, 5);
    kit_root(1, 0, 1, root);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_expect_eq(place_of(1, 0, 1, 0), TRI_PENDING_PLACE_SECONDARY_FINAL);
    cr_expect_eq(kit_view(KIT_START_MS).handed_messages, 0);
}

Test(pending, F04_used_up_while_all_chains_agree_it_stays_with_an_alarm)
{
    uint64_t sent_ms[8];
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;
    uint32_t count = 0;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    cr_expect_eq(drive(TRI_REDELIVERED_AGREED, sent_ms, &count), TRI_PENDING_ALARMED);
    cr_expect_eq(count, 5);
    cr_expect_eq(kit_view(KIT_START_MS).alarms, 1);
    cr_expect_eq(place_of(1, 0, 1, 0), TRI_PENDING_PLACE_PENDING);
    cr_expect_not(kit_next(KIT_START_MS + 60 * MINUTE_MS, &what, &again_ms));
    cr_expect_eq(again_ms, TRI_NEVER);
}

Test(pending, P13_what_chains_may_have_forgotten_is_not_sent)
{
    const struct kit_record old = {
        .count = 3, .issued_at_ms = KIT_START_MS, .chains = {"eip155:1"}};
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;

    options.window_ms = 10 * MINUTE_MS;
    kit_start();
    (void)kit_append(0, &old);
    (void)kit_one(1, KIT_START_MS + 1, "eip155:2", false);
    cr_expect_not(kit_next(KIT_START_MS + 10 * MINUTE_MS + 1, &what, &again_ms));
    cr_expect_eq(again_ms, TRI_NEVER);
    cr_expect_eq(kit_view(KIT_START_MS).alarms, 4);
    cr_expect_eq(kit_view(KIT_START_MS).messages, 4);
    kit_restart();
    cr_assert(kit_next(KIT_START_MS + 10 * MINUTE_MS, &what, &again_ms));
    cr_expect_eq(what.shard, 1, "one millisecond before the end of its window");
    cr_expect_eq(kit_redelivered(&what, TRI_REDELIVERED_FAILED, KIT_START_MS + 10 * MINUTE_MS),
                 TRI_PENDING_KEPT);
    cr_expect_not(kit_next(KIT_START_MS + 12 * MINUTE_MS, &what, &again_ms));
    cr_expect_eq(kit_view(KIT_START_MS).alarms, 4);
    cr_expect_eq(kit_view(KIT_START_MS).handed_messages, 0);
}

Test(pending, F04_contents_that_were_not_kept_cannot_be_sent)
{
    const struct kit_record record = {
        .count = 2, .issued_at_ms = KIT_START_MS, .chains = {"eip155:1"}};
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;

    kit_is_omitted = true;
    kit_start();
    (void)kit_append(0, &record);
    kit_write();
    cr_expect_not(kit_next(KIT_START_MS + 6 * MINUTE_MS, &what, &again_ms));
    cr_expect_eq(kit_view(KIT_START_MS).alarms, 2);
}

Test(pending, F04_one_that_could_not_begin_does_not_count)
{
    struct tri_pending_redelivery what;
    uint64_t now_ms = KIT_START_MS + 6 * MINUTE_MS;
    uint64_t again_ms = 0;

    options.redeliveries_max = 1;
    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert(kit_next(now_ms, &what, &again_ms));
        cr_expect_eq(kit_redelivered(&what, TRI_REDELIVERED_NOT_SENT, now_ms), TRI_PENDING_KEPT);
        cr_expect_not(kit_next(now_ms, &what, &again_ms));
        cr_expect_eq(again_ms, now_ms + 1000);
        now_ms = again_ms;
    }
    cr_assert(kit_next(now_ms, &what, &again_ms));
    cr_expect_eq(kit_redelivered(&what, TRI_REDELIVERED_FAILED, now_ms), TRI_PENDING_HANDED);
    cr_expect_eq(kit_redelivered(&what, TRI_REDELIVERED_FAILED, now_ms), TRI_PENDING_KEPT,
                 "it is not under way");
}

Test(pending, F04_what_was_confirmed_meanwhile_is_not_sent_again)
{
    struct tri_pending_redelivery what;
    uint64_t now_ms = KIT_START_MS + 6 * MINUTE_MS;
    uint64_t again_ms = 0;
    uint8_t root[TRI_DIGEST_BYTES];
    bool is_new = false;

    options.redeliveries_max = 1;
    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    kit_root(1, 0, 1, root);
    cr_assert(kit_next(now_ms, &what, &again_ms));
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_expect_eq(kit_redelivered(&what, TRI_REDELIVERED_FAILED, now_ms), TRI_PENDING_KEPT);
    cr_expect_eq(place_of(1, 0, 1, 0), TRI_PENDING_PLACE_SECONDARY_FINAL);
    tri_pending_heartbeat(pending, 1000);
    cr_expect_not(kit_next(now_ms + MINUTE_MS, &what, &again_ms));
    cr_expect_eq(kit_view(now_ms).driven_messages, 0);
}

Test(pending, F06_what_is_held_is_not_driven_until_it_is_released)
{
    struct tri_pending_redelivery what;
    uint64_t now_ms = KIT_START_MS + 6 * MINUTE_MS;
    uint64_t again_ms = 0;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", true);
    (void)kit_one(0, KIT_START_MS, "eip155:2", false);
    cr_expect(kit_sequencer(false));
    cr_assert(kit_next(now_ms, &what, &again_ms));
    cr_expect_eq(what.oss_epoch, 2);
    cr_expect_not(kit_next(now_ms, &what, &again_ms));
    cr_expect(kit_sequencer(true));
    cr_assert(kit_next(now_ms, &what, &again_ms));
    cr_expect_eq(what.oss_epoch, 1);
    cr_expect_not(kit_next(now_ms, &what, &again_ms), "the second one is under way, once");
}

#define CHAINS       3U
#define RATE_RECORDS 60U

Test(pending, F04_no_chain_gets_more_than_its_rate_and_none_waits_for_another)
{
    static const char *const names[CHAINS] = {"eip155:1", "eip155:2", "eip155:3"};
    static uint64_t sent[CHAINS][RATE_RECORDS * 16];
    struct tri_pending_redelivery what;
    uint32_t counts[CHAINS] = {0};
    uint64_t now_ms = KIT_START_MS + 6 * MINUTE_MS;
    uint64_t begun_ms = now_ms;
    uint64_t again_ms = 0;

    options.redeliveries_max = 1;
    kit_start();
    for (uint32_t i = 0; i < RATE_RECORDS; i++) { /* 6 for the first, 1 for it and the second,
                                                     1 for the third alone */
        struct kit_record record = {
            .count = 6, .issued_at_ms = KIT_START_MS + i, .chains = {names[0]}};

        (void)kit_append(0, &record);
        record.count = 1;
        record.chains[1] = names[1];
        (void)kit_append(0, &record);
        record.chains[0] = names[2];
        record.chains[1] = NULL;
        (void)kit_append(1, &record);
        kit_write();
    }
    while (now_ms != TRI_NEVER) {
        struct tri_leaf leaf;
        const char *fault = NULL;

        if (!kit_next(now_ms, &what, &again_ms)) {
            now_ms = again_ms;
            continue;
        }
        cr_assert(tri_leaf_get(what.leaf, &leaf, &fault));
        for (uint32_t i = 0; i < leaf.chain_count; i++) {
            uint32_t chain = (uint32_t)(leaf.chains[i].at[7] - '1');

            sent[chain][counts[chain]++] = now_ms;
        }
        (void)kit_redelivered(&what, TRI_REDELIVERED_AGREED, now_ms);
    }
    cr_assert_eq(counts[0], RATE_RECORDS * 7);
    cr_assert_eq(counts[1], RATE_RECORDS);
    cr_assert_eq(counts[2], RATE_RECORDS);
    for (uint32_t chain = 0; chain < CHAINS; chain++) {
        for (uint32_t i = 10; i < counts[chain]; i++) {
            cr_assert_geq(sent[chain][i] - sent[chain][i - 10], 1000, "chain %u, %u", chain, i);
        }
    }
    cr_expect_eq(sent[0][counts[0] - 1] - begun_ms, (RATE_RECORDS * 7 - 1) * 100,
                 "the busiest chain gets all of its rate");
    cr_expect_eq(sent[2][RATE_RECORDS - 1] - begun_ms, (RATE_RECORDS - 1) * 100,
                 "the third one waits for nobody");
}

Test(pending, F04_the_oldest_goes_first_whatever_its_stream)
{
    struct tri_pending_redelivery what;
    uint64_t now_ms = KIT_START_MS + 10 * MINUTE_MS;
    uint64_t again_ms = 0;
    char chain[16];

    kit_start();
    for (uint32_t i = 0; i < 20; i++) {
        (void)snprintf(chain, sizeof(chain), "eip155:%u", i);
        (void)kit_one(i / 3 % 2, KIT_START_MS + i, chain, false);
        if (i == 9) {
            kit_restart();
        }
    }
    for (uint32_t i = 0; i < 20; i++) {
        struct tri_leaf leaf;
        const char *fault = NULL;

        cr_assert(kit_next(now_ms, &what, &again_ms), "%u", i);
        cr_assert(tri_leaf_get(what.leaf, &leaf, &fault));
        cr_expect_eq(leaf.issued_at_ms, KIT_START_MS + i);
    }
}

Test(pending, D03_what_says_more_than_the_archive_has_is_refused)
{
    uint8_t root[TRI_DIGEST_BYTES];
    char path[128];
    bool is_new = false;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    kit_root(1, 0, 1, root);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_assert_eq(tri_pending_sync(pending), 0);
    kit_stop();
    (void)snprintf(path, sizeof(path), "%s/1-0.1.fin", directory);
    cr_assert_eq(unlink(path), 0);
    cr_expect_eq(tri_pending_open(&pending, directory, &options, trouble), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "secondary: offset 0: it names a record"), "%s", trouble);
}
