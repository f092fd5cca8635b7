/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a shard puts onto a tape comes off it, whole and in order; a full tape says so and
 * loses nothing; a sleeping reader is woken exactly when there is something for it.
 * Method: messages of all sizes through a real tape, in one thread.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shards/tape.h"

static const struct tri_engine_chain chains[] = {{{"eip155:1", 8}}, {{"eip155:10", 9}}};
static struct tri_tape tape;
static struct tri_target targets[2] = {{.chain = 1}, {.chain = 0}};
static uint8_t canonical[TRI_FRAME_BYTES_MAX];

static void start(bool is_content_kept)
{
    void *memory = aligned_alloc(64, tri_tape_footprint());

    cr_assert_not_null(memory);
    memset(memory, 0, tri_tape_footprint());
    tri_tape_init(&tape, memory, 7, 3, is_content_kept);
    memset(canonical, 0xc7, sizeof(canonical));
}

static struct tri_effect primary(uint64_t lsn, uint64_t oss_epoch, uint32_t content_bytes)
{
    struct tri_effect effect = {.type = TRI_EFFECT_APPEND};

    effect.append.kind = TRI_RECORD_PRIMARY;
    effect.append.lsn = lsn;
    effect.append.oss_epoch = oss_epoch;
    effect.append.issued_at_ms = 1000 + lsn;
    effect.round.id = (struct tri_text){"order", 5};
    effect.round.attempt = TRI_ATTEMPT(7, 2);
    effect.round.targets = targets;
    effect.round.target_count = 2;
    effect.round.applied_mask = 3;
    effect.round.is_forced = lsn % 2 == 1;
    effect.round.canonical = (struct tri_bytes){canonical, content_bytes};
    return effect;
}

static bool put(uint64_t lsn, uint64_t oss_epoch, uint32_t content_bytes)
{
    struct tri_effect effect = primary(lsn, oss_epoch, content_bytes);

    if (!tri_tape_reserve(&tape, &effect)) {
        return false;
    }
    tri_tape_commit(&tape, &effect, chains, 2);
    return true;
}

Test(tape, F08_a_tape_names_its_stream)
{
    start(false);
    cr_assert_eq(tri_tape_stream(&tape).bytes, 3);
    cr_assert_arr_eq(tri_tape_stream(&tape).at, "7-3", 3);
}

Test(tape, D04_an_entry_has_the_leaf_of_its_message)
{
    struct tri_tape_entry entry;
    struct tri_leaf leaf;
    const char *fault = NULL;

    start(false);
    cr_assert(put(9, 4, 500));
    cr_assert_not(tri_tape_peek(&tape, &entry), "not published");
    cr_assert_not(tri_tape_publish(&tape, 8, 3), "nobody sleeps");
    cr_assert(tri_tape_peek(&tape, &entry));
    cr_assert_eq(entry.lsn, 9);
    cr_assert_eq(entry.oss_epoch, 4);
    cr_assert_eq(entry.content.bytes, 0);
    cr_assert(tri_leaf_get(entry.leaf, &leaf, &fault), "%s", fault);
    cr_assert_arr_eq(leaf.id.at, "order", 5);
    cr_assert_eq(leaf.attempt, TRI_ATTEMPT(7, 2));
    cr_assert_eq(leaf.issued_at_ms, 1009);
    cr_assert_eq(leaf.chain_count, 2);
    cr_assert_arr_eq(leaf.chains[0].at, "eip155:10", 9);
    cr_assert_eq(leaf.applied, 3);
    cr_assert(leaf.is_forced);
    tri_tape_pop(&tape);
    cr_assert_not(tri_tape_peek(&tape, &entry));
    cr_assert(put(10, 4, 500));
    (void)tri_tape_publish(&tape, 8, 3);
    cr_assert(tri_tape_peek(&tape, &entry));
    cr_assert(tri_leaf_get(entry.leaf, &leaf, &fault), "%s", fault);
    cr_assert_not(leaf.is_forced);
}

Test(tape, D04_a_target_that_is_not_configured_has_no_leaf)
{
    struct tri_effect effect = primary(1, 1, 10);
    uint8_t leaf[TRI_LEAF_BYTES_MAX];

    targets[1].chain = UINT16_MAX;
    cr_assert_eq(tri_leaf_of(&effect.round, 1, chains, 2, leaf), 0);
}

Test(tape, D04_a_full_tape_refuses_and_loses_nothing)
{
    struct tri_tape_entry entry;
    uint64_t lsn = 0;
    uint64_t durable_lsn = 0;
    uint64_t closed_epoch = 0;

    start(true);
    while (put(lsn + 1, lsn / 10 + 1, (uint32_t)(lsn * 37 % TRI_FRAME_BYTES_MAX) + 1)) {
        lsn++;
    }
    cr_assert_gt(lsn, 64);
    cr_assert(tri_tape_is_starved(&tape));
    (void)tri_tape_publish(&tape, lsn, lsn / 10);
    tri_tape_progress(&tape, &durable_lsn, &closed_epoch);
    cr_assert_eq(durable_lsn, lsn);
    cr_assert_eq(closed_epoch, lsn / 10);
    for (uint64_t i = 1; i <= lsn; i++) {
        cr_assert(tri_tape_peek(&tape, &entry));
        cr_assert_eq(entry.lsn, i);
        cr_assert_eq(entry.oss_epoch, (i - 1) / 10 + 1);
        cr_assert_eq(entry.content.bytes, (i - 1) * 37 % TRI_FRAME_BYTES_MAX + 1);
        cr_assert_eq(entry.content.at[entry.content.bytes - 1], 0xc7);
        tri_tape_pop(&tape);
    }
    cr_assert_not(tri_tape_peek(&tape, &entry));
    cr_assert(put(lsn + 1, 1000, 1), "there is room again");
}

Test(tape, D04_a_sleeping_reader_is_woken_by_entries_alone)
{
    start(false);
    cr_assert(tri_tape_sleep(&tape));
    cr_assert_not(tri_tape_publish(&tape, 1, 1), "nothing has been put");
    cr_assert(put(1, 1, 1));
    cr_assert(tri_tape_publish(&tape, 1, 1));
    cr_assert_not(tri_tape_sleep(&tape), "an entry is there");
    cr_assert(put(2, 2, 1));
    cr_assert_not(tri_tape_publish(&tape, 2, 2), "it does not sleep");
}

Test(tape, D04_what_is_archived_is_told)
{
    start(false);
    cr_assert(tri_tape_is_archived(&tape, 0));
    cr_assert_not(tri_tape_is_archived(&tape, 1));
    tri_tape_archived(&tape, 5);
    cr_assert(tri_tape_is_archived(&tape, 5));
    cr_assert_not(tri_tape_is_archived(&tape, 6));
    cr_assert_not(tri_tape_has_failed(&tape));
    tri_tape_fail(&tape);
    cr_assert(tri_tape_has_failed(&tape));
}
