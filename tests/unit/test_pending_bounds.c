/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: neither a settlement that reports whatever it likes, nor a queue that begins late or is
 * very long, costs more than it should; and what an operator has to know is told by name.
 *
 * Method: real archives in a fresh directory; time is a number.
 */
#include "tests/unit/pending_kit.h"

#define MINUTE_MS UINT64_C(60000)

TestSuite(pending_bounds, .init = kit_setup, .fini = kit_teardown);

static const struct tri_text none = {"", 0};

static uint64_t secondary_bytes(void)
{
    char path[128];
    struct stat about;

    cr_assert_eq(tri_pending_sync(pending), 0);
    (void)snprintf(path, sizeof(path), "%s/%s", directory, TRI_SECONDARY_NAME);
    cr_assert_eq(stat(path, &about), 0);
    return (uint64_t)about.st_size;
}

Test(pending_bounds, F03_roots_made_up_do_not_fill_the_disk)
{
    uint8_t root[TRI_DIGEST_BYTES];
    uint8_t other[TRI_DIGEST_BYTES] = {0};
    uint64_t bytes = 0;
    bool is_new = false;

    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", false);
    kit_root(1, 0, 1, root);
    cr_expect_eq(kit_settle(1, 0, 1, other, &is_new), TRI_PENDING_DIFFERENT);
    cr_expect(is_new);
    bytes = secondary_bytes();
    for (uint8_t i = 1; i <= 100; i++) {
        other[0] = i;
        cr_expect_eq(kit_settle(1, 0, 1, other, &is_new), TRI_PENDING_DIFFERENT);
        cr_expect_not(is_new);
    }
    cr_expect_eq(secondary_bytes(), bytes);
    cr_expect_eq(kit_view(KIT_START_MS).differences, 101);
    cr_expect_eq(kit_view(KIT_START_MS).contested_records, 1);
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_expect_eq(kit_view(KIT_START_MS).contested_records, 0);
    cr_expect_eq(kit_settle(1, 0, 1, other, &is_new), TRI_PENDING_DIFFERENT);
    cr_expect(is_new, "what was mended and is wrong again is told again");
    cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_FINAL);
    cr_expect_gt(secondary_bytes(), bytes);
    for (uint32_t start = 0; start < 2; start++) {
        cr_expect_eq(kit_view(KIT_START_MS).settled, 1, "records, not reports");
        kit_restart();
    }
}

Test(pending_bounds, F05_the_queue_begins_where_contents_are_kept)
{
    uint8_t root[TRI_DIGEST_BYTES] = {0};
    uint8_t buffer[2048];
    struct tri_pending_item items[4];
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;
    uint32_t count = 0;
    bool is_new = false;

    options.is_on = false;
    kit_is_omitted = true;
    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:1", true);
    (void)kit_one(1, KIT_START_MS, "eip155:1", false);
    (void)kit_one(1, KIT_START_MS, "eip155:1", false);
    options.is_on = true;
    kit_is_omitted = false;
    kit_restart();
    for (uint32_t start = 0; start < 2; start++) {
        cr_expect_eq(kit_view(KIT_START_MS).records_before, 3);
        cr_expect_eq(kit_view(KIT_START_MS).records, start);
        cr_expect_eq(kit_view(KIT_START_MS).messages, start);
        cr_expect_eq(kit_settle(1, 0, 1, root, &is_new), TRI_PENDING_UNKNOWN);
        cr_assert_eq(tri_pending_list(pending, 0, 0, 0, items, 4, buffer, sizeof(buffer), &count),
                     0);
        cr_expect_eq(count, start);
        if (start == 0) {
            cr_expect_not(kit_view(KIT_START_MS + 60 * MINUTE_MS).is_gap);
            cr_expect_not(kit_next(KIT_START_MS + 60 * MINUTE_MS, &what, &again_ms));
            (void)kit_one(0, KIT_START_MS, "eip155:1", false);
            kit_restart();
        }
    }
    cr_expect_eq(kit_view(KIT_START_MS).alarms, 0);
    cr_assert(kit_next(KIT_START_MS + 60 * MINUTE_MS, &what, &again_ms));
    cr_expect_eq(what.epoch, 2);
}

Test(pending_bounds, F06_what_nobody_has_looked_at_is_held)
{
    static uint8_t buffer[4096];
    const struct kit_record usual = {
        .count = 1, .issued_at_ms = KIT_START_MS, .chains = {"eip155:1"}};
    const struct kit_record forced = {
        .count = 1, .issued_at_ms = KIT_START_MS, .chains = {"eip155:1"}, .is_forced = true};
    uint8_t root[TRI_DIGEST_BYTES];
    struct tri_pending_item items[4];
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;
    uint32_t count = 0;
    bool is_more = false;
    bool is_new = false;

    kit_is_unlearned = true;
    kit_start();
    for (uint32_t i = 1; i <= 1500; i++) {
        (void)kit_append(0, i % 500 == 0 ? &forced : &usual);
    }
    kit_write();
    kit_root(1, 0, 2, root);
    cr_expect(kit_sequencer(false));
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 3, "of its own records it knows");
    cr_assert_eq(tri_pending_sync(pending), 0);
    kit_restart();
    (void)kit_one(0, KIT_START_MS, "eip155:2", false);
    tri_pending_heartbeat(pending, 1000);
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 1500);
    cr_expect(tri_pending_where(pending, 1, 0, 2, none).is_held);
    cr_expect_eq(kit_settle(1, 0, 2, root, &is_new), TRI_PENDING_HELD);
    cr_assert_eq(tri_pending_list(pending, 0, 0, 0, items, 4, buffer, sizeof(buffer), &count), 0);
    cr_assert_eq(count, 1);
    cr_expect_eq(items[0].epoch, 2);
    cr_assert(kit_next(KIT_START_MS + MINUTE_MS, &what, &again_ms));
    cr_expect_eq(what.epoch, 2);
    cr_expect_not(kit_next(KIT_START_MS + MINUTE_MS, &what, &again_ms));
    cr_assert_eq(tri_pending_learn(pending, &is_more), 0);
    cr_expect(is_more, "one call looks at a part");
    cr_expect_gt(kit_view(KIT_START_MS).held_records, 500);
    cr_expect_eq(kit_settle(1, 0, 2, root, &is_new), TRI_PENDING_FINAL);
    cr_assert(kit_next(KIT_START_MS + MINUTE_MS, &what, &again_ms));
    cr_expect_eq(what.oss_epoch, 1, "what was found not to be held is driven");
    (void)kit_learn(pending);
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 3);
    cr_expect(kit_sequencer(true));
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 0);
    cr_expect(kit_sequencer(false));
    cr_expect_eq(kit_view(KIT_START_MS).held_records, 3, "what was learnt stays known");
}

struct told {
    uint32_t count;
    uint64_t oss_epoch;
    char id[64];
    const char *reason;
};

static void hear(void *context, const struct tri_pending_alarm *alarm)
{
    struct told *told = context;

    told->count++;
    told->oss_epoch = alarm->oss_epoch;
    (void)snprintf(told->id, sizeof(told->id), "%.*s", (int)alarm->id.bytes, alarm->id.at);
    told->reason = alarm->reason;
}

Test(pending_bounds, F04_every_alarm_is_told_with_its_message)
{
    const struct kit_record old = {
        .count = 3, .issued_at_ms = KIT_START_MS, .chains = {"eip155:1"}};
    struct told told = {0};
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;

    options.window_ms = 10 * MINUTE_MS;
    kit_start();
    tri_pending_watch(pending, hear, &told);
    (void)kit_append(0, &old);
    kit_write();
    cr_expect_not(kit_next(KIT_START_MS + 10 * MINUTE_MS, &what, &again_ms));
    cr_expect_eq(told.count, 3);
    cr_expect_str_eq(told.id, "m-1-0-1-2");
    cr_expect_str_eq(told.reason, "its chains may have forgotten it");
    (void)kit_one(1, KIT_START_MS, "eip155:2", false);
    cr_assert(kit_next(KIT_START_MS + 10 * MINUTE_MS - 1, &what, &again_ms));
    (void)kit_redelivered(&what, TRI_REDELIVERED_NOT_SENT, KIT_START_MS + 10 * MINUTE_MS - 1);
    cr_expect_not(kit_next(KIT_START_MS + 10 * MINUTE_MS, &what, &again_ms));
    cr_expect_eq(told.count, 4, "one that became too old while it waited");
    cr_expect_str_eq(told.id, "m-1-1-1-0");
    cr_expect_eq(told.oss_epoch, 1);
    cr_expect_eq(kit_view(KIT_START_MS).alarms, 4);
}

Test(pending_bounds, F04_a_message_handed_over_names_a_chain_of_it)
{
    struct tri_pending_redelivery what;
    struct tri_secondary_reader reader;
    struct tri_secondary_fact fact;
    enum tri_pending_outcome outcome = TRI_PENDING_KEPT;
    uint64_t again_ms = 0;
    int at = -1;

    options.redeliveries_max = 1;
    kit_start();
    (void)kit_one(0, KIT_START_MS, "eip155:77", false);
    cr_assert(kit_next(KIT_START_MS + 6 * MINUTE_MS, &what, &again_ms));
    cr_assert_eq(tri_pending_redelivered(pending, &what, TRI_REDELIVERED_FAILED, none,
                                         TRI_ERROR_CHAIN_NOT_SUPPORTED, KIT_START_MS, &outcome),
                 0);
    cr_expect_eq(outcome, TRI_PENDING_HANDED);
    cr_assert_eq(tri_pending_sync(pending), 0);
    kit_restart();
    cr_expect_eq(tri_pending_where(pending, 1, 0, 1, (struct tri_text){"m-1-0-1-0", 9}).place,
                 TRI_PENDING_PLACE_RECONCILIATION);
    at = open(directory, O_RDONLY | O_DIRECTORY);
    cr_assert_eq(tri_secondary_reader_open(&reader, at), 0);
    cr_assert_eq(tri_secondary_next(&reader, &fact), TRI_SECONDARY_NEXT_FACT);
    cr_expect_eq(fact.chain.bytes, 9);
    cr_expect_eq(memcmp(fact.chain.at, "eip155:77", 9), 0);
    tri_secondary_reader_fini(&reader);
    (void)close(at);
}
