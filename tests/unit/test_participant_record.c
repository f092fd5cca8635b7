/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a participant's records are what docs/journal.md draws, hold all that
 * an answer can depend on, and bound what a replay has to read.
 * Method: literal bytes; single stories around time, forgetting and
 * checkpoints; every truncation and many corruptions; and random messages on a
 * participant that lives on, compared with one made of its records: all that
 * both remember, and their answers to every frame.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/participant_answers.h"

enum { ROLL_MAX = 1000 };

/* All records so far. */
struct roll {
    uint32_t count;
    struct {
        enum tri_participant_record kind;
        uint32_t bytes;
        uint8_t payload[TRI_PARTICIPANT_RECORD_BYTES_MAX];
    } at[ROLL_MAX];
};
static struct roll roll;
static struct roll *rolling = &roll; /* where records go */
static uint64_t begin_lsn;           /* of the last whole checkpoint */
static uint64_t gone;                /* records dropped before the first of the roll */

static void watch_records(struct stand *at, const struct tri_participant_effect *effect)
{
    if (effect->type != TRI_PARTICIPANT_EFFECT_APPEND) {
        return;
    }
    cr_assert_lt(rolling->count, ROLL_MAX);
    rolling->at[rolling->count].kind = effect->record;
    rolling->at[rolling->count].bytes =
        tri_participant_record(at->participant, effect, rolling->at[rolling->count].payload);
    rolling->count++;
    if (effect->record == TRI_PARTICIPANT_RECORD_CHECKPOINT) {
        begin_lsn = effect->begin_lsn;
    }
}

static void begin_with(uint32_t entries_max)
{
    stand_init_with(&stand, (struct tri_participant_options){
                                .entries_max = entries_max,
                                .instance = 7,
                                .dedup_window_ms = STAND_WINDOW_MS,
                            });
    stand_watch = watch_records;
    roll.count = 0;
    gone = 0;
}

static struct tri_bytes record_at(uint32_t index)
{
    return (struct tri_bytes){roll.at[index].payload, roll.at[index].bytes};
}

/* Copies what is used of a stand.  Its participant stays where it was. */
static void put_back(struct stand *to, const struct stand *from)
{
    memcpy(to, from, offsetof(struct stand, memory) + from->memory_bytes);
}

/* Makes `to` of the roll's records from `from` on; the clocks are `to`'s. */
static void restart(struct stand *to, uint32_t from, uint32_t entries_max)
{
    struct tri_participant_options options = {
        .entries_max = entries_max, .instance = 8, .dedup_window_ms = STAND_WINDOW_MS};
    enum tri_result result = TRI_MORE;
    const char *fault = NULL;
    uint32_t entry;

    memset(to->memory, 0xa5, sizeof(to->memory));
    to->participant = tri_participant_init(to->memory, &options);
    to->lsn = 0;
    for (uint32_t i = from; i < roll.count; i++) {
        result = tri_participant_replay(to->participant, roll.at[i].kind, record_at(i), to->now_ns,
                                        to->wall_ms, &entry, &fault);
        cr_assert(result == TRI_OK || result == TRI_STALE, "%s", fault);
    }
    while ((result = tri_participant_resume(to->participant, to->now_ns, to->wall_ms,
                                            &to->effects)) == TRI_MORE) {
        cr_assert_gt(to->effects.count, 0);
    }
    cr_assert_eq(to->effects.count, 0, "nothing was under way");
}

/* ---- bytes ---- */

Test(participant_record, D05_a_record_is_these_bytes)
{
    static const uint8_t expected[] =
        "\x01\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff" /* key */
        "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" /* hash */
        "\x03\x00\x00\x00\x02\x00\x00\x00"                                 /* attempt (2, 3) */
        "\x02\x00\x00\x00\x02\x00\x00\x00"                                 /* tombstone */
        "\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00"                 /* token, instance */
        "\x02\x01\x00\x00"                                                 /* RESERVED, HELD */
        "\xe8\xd9\x21\x74\x97\x01\x00\x00\xe8\xfd\x00\x00\x00\x00\x00\x00" /* forget */
        "\xe8\xdf\x20\x74\x97\x01\x00\x00\xe8\x03\x00\x00\x00\x00\x00\x00" /* reservation */
        "\x02m1";

    begin_with(4);
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, TRI_ATTEMPT(2, 3));
    cr_assert_eq(roll.count, 1);
    cr_assert_eq(roll.at[0].kind, TRI_PARTICIPANT_RECORD_MESSAGE);
    cr_assert_eq(roll.at[0].bytes, sizeof(expected) - 1);
    cr_assert_arr_eq(roll.at[0].payload, expected, sizeof(expected) - 1);
}

Test(participant_record, A07_what_few_messages_have_lies_before_the_id)
{
    static const uint8_t expected[] = "\x00\x00\x00\x00\x00\x00\x00\x00" /* no ABORT */
                                      "\x02\x00\x00\x00\x00\x00\x00\x00" /* ROLLBACK(2) */
                                      "\x01\x00\x00\x00\x00\x00\x00\x00" /* failed from 1 on */
                                      "\x37"                             /* ROLLBACK_FENCED */
                                      "\x02m1";
    const uint32_t bytes = sizeof(expected) - 1;

    begin_with(4);
    (void)prepare(1);
    (void)commit(1);
    stand.verdict = TRI_ERROR_ROLLBACK_FENCED;
    (void)rollback(2);
    cr_assert_eq(roll.count, 3);
    cr_assert_eq(roll.at[2].bytes, roll.at[1].bytes + 25);
    cr_assert_arr_eq(roll.at[2].payload + roll.at[2].bytes - bytes, expected, bytes);
}

Test(participant_record, P13_forgetting_and_checkpoints_are_records_too)
{
    begin_with(4);
    (void)abort_(1);
    stand_pass(&stand, 60000 + STAND_WINDOW_MS);
    cr_assert_eq(roll.count, 2);
    cr_assert_eq(roll.at[1].kind, TRI_PARTICIPANT_RECORD_FORGOTTEN);
    cr_assert_eq(roll.at[1].bytes, 16);
    cr_assert_arr_eq(roll.at[1].payload, "\1\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff", 16);
    (void)stand_simple(&stand, TRI_PARTICIPANT_CHECKPOINT);
    cr_assert_eq(tri_participant_checkpoint_lsn(stand.participant), 3);
    cr_assert_eq(roll.count, 2, "nothing is remembered");
    (void)stand_simple(&stand, TRI_PARTICIPANT_CHECKPOINT);
    cr_assert_eq(tri_participant_checkpoint_lsn(stand.participant), 0);
    cr_assert_eq(roll.at[2].kind, TRI_PARTICIPANT_RECORD_CHECKPOINT);
    cr_assert_eq(roll.at[2].bytes, 8);
    cr_assert_arr_eq(roll.at[2].payload, "\3\0\0\0\0\0\0\0", 8);
}

/* ---- bytes that are none ---- */

/* Feeds bytes that lie at the end of their own memory, so that a sanitizer sees what is read. */
static enum tri_result feed(enum tri_participant_record kind, const uint8_t *from, uint32_t bytes)
{
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    const char *fault = NULL;
    enum tri_result result;
    uint32_t entry;

    memcpy(copy, from, bytes);
    result = tri_participant_replay(stand.participant, kind, (struct tri_bytes){copy, bytes},
                                    stand.now_ns, stand.wall_ms, &entry, &fault);
    cr_assert_eq(fault == NULL, result == TRI_OK || result == TRI_STALE);
    free(copy);
    return result;
}

static void stand_next_instance(uint32_t instance)
{
    stand_init_with(&stand,
                    (struct tri_participant_options){.entries_max = 4, .instance = instance});
}

Test(participant_record, D03_no_bytes_are_trusted)
{
    uint8_t bytes[TRI_PARTICIPANT_RECORD_BYTES_MAX];
    uint64_t seed = 5;
    uint32_t taken = 0;

    begin_with(4);
    (void)prepare(1);
    (void)commit(1);
    stand.verdict = TRI_ERROR_ROLLBACK_FENCED;
    (void)rollback(2);
    stand_next_instance(8);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t count = 0; count < roll.at[i].bytes; count++) {
            cr_assert_eq(feed(roll.at[i].kind, roll.at[i].payload, count), TRI_VIOLATION);
        }
        memcpy(bytes, roll.at[i].payload, roll.at[i].bytes);
        bytes[roll.at[i].bytes] = 0;
        cr_assert_eq(feed(roll.at[i].kind, bytes, roll.at[i].bytes + 1), TRI_VIOLATION);
    }
    cr_assert_eq(feed(TRI_PARTICIPANT_RECORD_FORGOTTEN, bytes, 15), TRI_VIOLATION);
    cr_assert_eq(feed(TRI_PARTICIPANT_RECORD_FORGOTTEN, bytes, 17), TRI_VIOLATION);
    cr_assert_eq(feed(TRI_PARTICIPANT_RECORD_CHECKPOINT, bytes, 7), TRI_VIOLATION);
    cr_assert_eq(feed(TRI_PARTICIPANT_RECORD_COUNT, bytes, 8), TRI_VIOLATION);
    for (uint32_t step = 0; step < 200000; step++) {
        uint32_t which = step % 3;

        memcpy(bytes, roll.at[which].payload, roll.at[which].bytes);
        for (uint32_t i = 0; i <= step % 4; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            bytes[16 + (seed >> 40) % (roll.at[which].bytes - 16)] = (uint8_t)(seed >> 32);
        }
        taken += feed(roll.at[which].kind, bytes, roll.at[which].bytes) == TRI_OK;
        if (step % 64 == 0) { /* whatever was taken, the participant lives with it */
            stand.effects.count = 0;
            while (tri_participant_resume(stand.participant, stand.now_ns, stand.wall_ms,
                                          &stand.effects) == TRI_MORE) {
                cr_assert_gt(stand.effects.count, 0);
            }
            stand_watch = NULL;
            stand.verdict = TRI_ERROR_NONE;
            for (tri_attempt n = 1; n < 5; n++) {
                (void)rollback(n);
                (void)commit(n);
                (void)prepare(n);
            }
            stand_next_instance(8);
        }
    }
    cr_assert_gt(taken, 1000, "most bytes are numbers");
    cr_assert_lt(taken, 199000);
}

Test(participant_record, P05_a_number_that_was_not_raised_is_refused)
{
    begin_with(4);
    (void)prepare(1);
    stand_next_instance(7);
    cr_assert_eq(feed(roll.at[0].kind, roll.at[0].payload, roll.at[0].bytes), TRI_VIOLATION);
    stand_next_instance(6);
    cr_assert_eq(feed(roll.at[0].kind, roll.at[0].payload, roll.at[0].bytes), TRI_VIOLATION);
    stand_next_instance(8);
    cr_assert_eq(feed(roll.at[0].kind, roll.at[0].payload, roll.at[0].bytes), TRI_OK);
}

Test(participant_record, R08_more_messages_than_entries_are_refused)
{
    struct tri_participant_options options = {.entries_max = 2, .instance = 8};

    begin_with(4);
    (void)prepare(1);
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 1);
    (void)stand_phase(&stand, 3, TRI_PHASE_PREPARE, 1);
    stand_init_with(&stand, options);
    cr_assert_eq(feed(roll.at[0].kind, roll.at[0].payload, roll.at[0].bytes), TRI_OK);
    cr_assert_eq(feed(roll.at[1].kind, roll.at[1].payload, roll.at[1].bytes), TRI_OK);
    cr_assert_eq(feed(roll.at[2].kind, roll.at[2].payload, roll.at[2].bytes), TRI_FULL);
    cr_assert_eq(feed(roll.at[0].kind, roll.at[0].payload, roll.at[0].bytes), TRI_OK, "known");
}

/* ---- across a restart ---- */

Test(participant_record, P05_tokens_keep_their_instance_and_new_ones_have_the_new_one)
{
    begin_with(4);
    (void)prepare(1);
    restart(&stand, 0, 4);
    cr_assert_str_eq(prepare(1), "PREPARE_OK 1");
    cr_assert_arr_eq(stand.token_at[1] + 2, "00000007-0000000000000001", 25);
    cr_assert_str_eq(commit(1), "COMMIT_OK 1", "L05: it is matched on the token");
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE], 1);
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 2);
    cr_assert_arr_eq(stand.token_at[2] + 2, "00000008-0000000000000001", 25);
}

Test(participant_record, P13_applied_and_not_closed_is_never_forgotten)
{
    begin_with(4);
    (void)prepare(1);
    (void)commit(1);
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t count = roll.count;

        stand.wall_ms += UINT64_C(400) * 86400000;
        restart(&stand, 0, 4);
        roll.count = count;
        stand_pass(&stand, UINT64_C(400) * 86400000);
        cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_APPLIED);
    }
    cr_assert_str_eq(commit(1), "COMMIT_OK 1");
    cr_assert_str_eq(rollback(1), "PROCESSED 1");
    cr_assert_eq(stand.ops[TRI_LEDGER_UNDO], 1, "P10: rolled back, not only called so");
}

Test(participant_record, F04_P06_a_redelivery_of_what_is_closed_is_answered_alike_across_a_restart)
{
    uint8_t token[27];

    begin_with(4);
    (void)prepare(1);
    (void)commit(1);
    (void)finalize(1);
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2 already");
    memcpy(token, stand.token_at[2], sizeof(token));
    restart(&stand, 0, 4);
    cr_assert_str_eq(prepare(2), "PREPARE_OK 2 already");
    cr_assert_arr_eq(stand.token_at[2], token, sizeof(token));
    cr_assert_str_eq(commit(2), "COMMIT_OK 2 already");
    cr_assert_str_eq(finalize(2), "FINALIZE_OK 2");
    cr_assert_str_eq(prepare(3), "PREPARE_OK 3 already");
    cr_assert_eq(stand.ops[TRI_LEDGER_RESERVE], 1);
    cr_assert_eq(stand.ops[TRI_LEDGER_APPLY], 1);
}

Test(participant_record, P14_recovered_reservations_are_asked_about)
{
    begin_with(4);
    (void)prepare(1);
    (void)stand_phase(&stand, 2, TRI_PHASE_PREPARE, 1);
    (void)stand_phase(&stand, 2, TRI_PHASE_COMMIT, 1);
    (void)answers();
    restart(&stand, 0, 4);
    (void)stand_simple(&stand, TRI_PARTICIPANT_WELCOME);
    stand_pass(&stand, 0);
    cr_assert_str_eq(answers(), "ASK m1");
}

/* What is left of a reservation after `ms` on the wall and none on the other clock: 0 = it ends at
 * once. */
static uint64_t left_after(int64_t ms)
{
    uint64_t now_ns = UINT64_C(5000000000); /* the monotonic clock began anew */
    uint64_t left_ms = 0;

    begin_with(4);
    stand_pass(&stand, 250);
    (void)prepare(1);
    stand.wall_ms += (uint64_t)ms;
    stand.now_ns = now_ns;
    restart(&stand, 0, 4);
    stand_pass(&stand, 0);
    while (stand_state(&stand, 1) == TRI_PARTICIPANT_RESERVED) {
        stand_pass(&stand, 1);
        cr_assert_lt(left_ms++, 10000);
    }
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    return left_ms;
}

Test(participant_record, L07_the_rest_is_the_deadline_less_now_between_nothing_and_the_ttl)
{
    cr_assert_eq(left_after(0), STAND_TTL_MS);
    cr_assert_eq(left_after(1), STAND_TTL_MS - 1);
    cr_assert_eq(left_after(STAND_TTL_MS - 1), 1);
    cr_assert_eq(left_after(STAND_TTL_MS), 0);
    cr_assert_eq(left_after(86400000), 0);
    cr_assert_eq(left_after(-86400000), STAND_TTL_MS, "the wall clock went back");
}

Test(participant_record, L06_an_expiry_outlives_a_wall_clock_that_goes_back)
{
    begin_with(4);
    (void)prepare(1);
    stand_pass(&stand, STAND_TTL_MS);
    cr_assert_eq(stand.ops[TRI_LEDGER_RELEASE], 1);
    stand.wall_ms -= 86400000;
    restart(&stand, 0, 4);
    cr_assert_eq(stand_state(&stand, 1), TRI_PARTICIPANT_NONE);
    cr_assert_str_eq(commit(1), "REJECT 1 code 35");
}

Test(participant_record, P06_the_content_that_named_a_message_is_kept)
{
    begin_with(4);
    stand.content = 0;
    cr_assert_str_eq(abort_(2), "PROCESSED 2");
    stand.content = 1;
    cr_assert_str_eq(prepare(1), "REJECT 1 code 53");
    restart(&stand, 0, 4);
    stand.content = 2;
    cr_assert_str_eq(prepare(3), "REJECT 3 code 33");
}

/* ---- checkpoints ---- */

static void checkpoint(void)
{
    do {
        (void)stand_simple(&stand, TRI_PARTICIPANT_CHECKPOINT);
    } while (tri_participant_checkpoint_lsn(stand.participant) != 0);
}

Test(participant_record, D05_a_checkpoint_makes_nothing_wait)
{
    begin_with(4);
    (void)prepare(1);
    stand_durable(&stand);
    checkpoint();
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    cr_assert_eq(stand.answers[0].after_lsn, 0, "an image is no change");
    stand_init(&stand);
    stand_watch = NULL;
    stand.slow = true;
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 2);
    (void)stand_simple(&stand, TRI_PARTICIPANT_CHECKPOINT);
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, 1);
    cr_assert_eq(stand.answers[0].code, TRI_ERROR_ATTEMPT_ENDED);
    cr_assert_eq(stand.answers[0].after_lsn, 1, "but this was the first record of PREPARE(2)");
}

Test(participant_record, P13_a_checkpoint_bounds_the_replay)
{
    static struct stand later;
    uint32_t begin;

    begin_with(64);
    for (uint32_t who = 1; who <= 40; who++) {
        (void)stand_phase(&stand, who, TRI_PHASE_PREPARE, 1);
        (void)stand_phase(&stand, who, TRI_PHASE_COMMIT, 1);
    }
    (void)stand_simple(&stand, TRI_PARTICIPANT_CHECKPOINT);
    begin = (uint32_t)tri_participant_checkpoint_lsn(stand.participant) - 1;
    cr_assert_eq(begin, 80);
    cr_assert_eq(stand.effects.count, TRI_PARTICIPANT_EFFECTS_MAX);
    (void)stand_phase(&stand, 1, TRI_PHASE_FINALIZE, 1); /* its image is written already */
    (void)stand_phase(&stand, 40, TRI_PHASE_FINALIZE, 1);
    checkpoint();
    cr_assert_eq(roll.count, 80 + 40 + 2 + 1);
    cr_assert_eq(roll.at[roll.count - 1].kind, TRI_PARTICIPANT_RECORD_CHECKPOINT);
    put_back(&later, &stand);
    restart(&later, begin, 64);
    for (uint32_t who = 1; who <= 40; who++) {
        cr_assert_eq(stand_state(&later, who), TRI_PARTICIPANT_APPLIED);
    }
    stand_watch = NULL;
    stand_pass(&later, 100000);
    cr_assert_eq(tri_participant_counters(later.participant)->forgotten, 2, "the closed ones");
}

/* ---- twins ---- */

enum { TWIN_MESSAGES = 6, TWIN_ATTEMPTS = 5 };

static struct roll living_images;
static struct roll made_images;

/* All that is remembered, by key; `at` is put back afterwards. */
static void images_of(struct stand *at, struct roll *images)
{
    static struct stand before;
    uint64_t lsn = begin_lsn;

    put_back(&before, at);
    rolling = images;
    images->count = 0;
    while (tri_participant_checkpoint_lsn(at->participant) != 0) { /* one may be going on */
        (void)stand_simple(at, TRI_PARTICIPANT_CHECKPOINT);
    }
    images->count = 0;
    do {
        (void)stand_simple(at, TRI_PARTICIPANT_CHECKPOINT);
    } while (tri_participant_checkpoint_lsn(at->participant) != 0);
    images->count--; /* the CHECKPOINT record */
    rolling = &roll;
    begin_lsn = lsn;
    put_back(at, &before);
}

static void expect_same_images(void)
{
    cr_assert_eq(living_images.count, made_images.count);
    for (uint32_t i = 0; i < living_images.count; i++) {
        uint32_t other = 0;

        while (memcmp(living_images.at[i].payload, made_images.at[other].payload, 16) != 0) {
            cr_assert_lt(++other, made_images.count, "a message is missing");
        }
        cr_assert_eq(living_images.at[i].bytes, made_images.at[other].bytes);
        cr_assert_arr_eq(living_images.at[i].payload, made_images.at[other].payload,
                         living_images.at[i].bytes);
    }
}

static void twin_frame(struct stand *at, uint32_t who, uint32_t letter, tri_attempt attempt)
{
    if (letter < 3) {
        (void)stand_phase(at, who, (enum tri_phase)letter, attempt);
    } else {
        (void)stand_control(at, who, letter == 3 ? TRI_CONTROL_ABORT : TRI_CONTROL_ROLLBACK,
                            attempt);
    }
}

/* Every frame of one message to both, each as if it were the only one. */
static void expect_same_answers(struct stand *living, struct stand *made, uint32_t who)
{
    static struct stand living_before, made_before;

    put_back(&living_before, living);
    put_back(&made_before, made);
    for (uint32_t letter = 0; letter < 5; letter++) {
        for (tri_attempt n = 1; n < TWIN_ATTEMPTS; n++) {
            const struct stand_answer *a = &living->answers[0];
            const struct stand_answer *b = &made->answers[0];

            living->answer_count = made->answer_count = 0;
            twin_frame(living, who, letter, n);
            twin_frame(made, who, letter, n);
            cr_assert_eq(living->answer_count, 1);
            cr_assert_eq(made->answer_count, 1);
            cr_assert(a->ack == b->ack && a->code == b->code && a->attempt == b->attempt &&
                          a->already_applied == b->already_applied &&
                          a->token_bytes == b->token_bytes,
                      "message %u, letter %u, attempt %u", who, letter, (unsigned)n);
            if (a->token_bytes == 27 &&
                made->ops[TRI_LEDGER_RESERVE] == made_before.ops[TRI_LEDGER_RESERVE]) {
                cr_assert_arr_eq(a->token, b->token, 27, "P06: the token too");
            }
            put_back(living, &living_before);
            put_back(made, &made_before);
        }
    }
}

Test(participant_record, P06_what_records_make_answers_like_what_lives_on)
{
    static struct stand made;
    uint64_t seed = 11;
    uint64_t checked = 0;

    for (uint32_t story = 0; story < 60; story++) {
        begin_with(TWIN_MESSAGES);
        begin_lsn = 1;
        for (uint32_t step = 0; step < 200; step++) {
            uint32_t who, kind;

            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            who = 1 + (uint32_t)(seed >> 50) % TWIN_MESSAGES;
            kind = (uint32_t)(seed >> 40) % 16;
            stand.atomicity = who <= 2 ? TRI_BEST_EFFORT : TRI_ALL_OR_NOTHING;
            stand.verdict =
                (seed >> 35) % 5 == 0 ? TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT : TRI_ERROR_NONE;
            if (kind < 12) {
                twin_frame(&stand, who, kind % 5, 1 + (seed >> 32) % (TWIN_ATTEMPTS - 1));
            } else if (kind < 14) {
                (void)stand_simple(&stand, TRI_PARTICIPANT_CHECKPOINT);
            } else {
                stand_pass(&stand, (seed >> 32) % (kind == 14 ? 700 : 30000));
                stand.expires_ms = stand.wall_ms + 20000;
            }
            stand.answer_count = 0;
            if (step % 10 == 9) {
                put_back(&made, &stand);
                restart(&made, (uint32_t)begin_lsn - 1, TWIN_MESSAGES);
                stand_watch = NULL;
                expect_same_answers(&stand, &made, who);
                stand_watch = watch_records;
                images_of(&stand, &living_images);
                images_of(&made, &made_images);
                expect_same_images();
                checked += living_images.count;
            }
        }
    }
    cr_assert_gt(checked, 3000);
}
