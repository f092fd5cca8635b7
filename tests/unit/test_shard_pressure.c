/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: without room nothing is lost, doubled or locked up: one block of
 * credit between shards, ports that are full, journals that are slow, full or
 * broken, shards that sleep.
 *
 * Method: as test_shard.c, with one thing made scarce at a time.
 */
#include <criterion/criterion.h>

#include "tests/unit/shard_kit.h"

#define CLIENT  0U
#define CHAIN   1U
#define WATCHER 10U

/* A journal that is durable when it is told. */
struct slow_journal {
    uint64_t appended;
    uint64_t durable;
    uint64_t failed;
    uint32_t appends_max; /* refuses beyond, until it is raised */
    bool wants_checkpoint;
};

static bool slow_append(void *context, const struct tri_effect *effect)
{
    struct slow_journal *journal = context;

    if (journal->appended >= journal->appends_max) {
        return false;
    }
    cr_assert_eq(effect->append.lsn, journal->appended + 1);
    journal->appended++;
    return true;
}

static uint64_t slow_durable(void *context)
{
    return ((struct slow_journal *)context)->durable;
}

static uint64_t slow_failed(void *context)
{
    return ((struct slow_journal *)context)->failed;
}

static bool slow_begin_checkpoint(void *context)
{
    struct slow_journal *journal = context;
    bool wants = journal->wants_checkpoint;

    journal->wants_checkpoint = false;
    return wants;
}

static const struct tri_journal_ops slow_ops = {.append = slow_append,
                                                .durable = slow_durable,
                                                .failed = slow_failed,
                                                .begin_checkpoint = slow_begin_checkpoint};

static tri_port chain_port(const struct kit *kit, uint16_t chain)
{
    return kit_port(chain % kit->shards, CHAIN + chain);
}

static void start_with_chains(struct kit *kit, struct slow_journal *journal)
{
    kit_start(kit);
    for (uint32_t i = 0; journal != NULL && i < kit->shards; i++) {
        tri_shard_journal(kit_shard(kit, i), &slow_ops, &journal[i]);
    }
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        kit_chain_up(kit, chain_port(kit, i), i, 1);
    }
}

static const char *name_of(uint32_t number)
{
    static char name[32];

    (void)snprintf(name, sizeof(name), "message-%u", number);
    return name;
}

static uint32_t count_words(const char *words, const char *word)
{
    uint32_t count = 0;

    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word)) {
        count++;
    }
    return count;
}

/* One block per lane, and messages so large that one block holds one of them. */
static void squeeze(uint32_t shards, uint32_t messages, uint32_t payload_bytes)
{
    struct kit *kit = kit_new(shards);
    uint32_t refused = 0;
    uint32_t submitted = 0;
    uint32_t answered = 1;

    kit->options.mesh_blocks = 1;
    kit->options.engine.body_counts[4] = 512;
    start_with_chains(kit, NULL);
    while (submitted < messages || answered > 0) {
        answered = 0;
        for (uint32_t i = 0; i < 64 && submitted < messages; i++) {
            /* Offered again after a refusal, as a connection would. */
            tri_port client = kit_port(submitted % shards, CLIENT);

            if (kit_submit(kit, client, name_of(submitted), payload_bytes) == TRI_FULL) {
                refused++;
                break;
            }
            submitted++;
        }
        (void)kit_turn(kit);
        for (uint16_t c = 0; c < KIT_CHAINS; c++) {
            answered += kit_answer(kit, chain_port(kit, c), c);
        }
        if (answered == 0) {
            kit_rest(kit);
            for (uint16_t c = 0; c < KIT_CHAINS; c++) {
                answered += kit_answer(kit, chain_port(kit, c), c);
            }
        }
    }
    kit_rest(kit);
    cr_expect_gt(refused, 0);
    cr_expect_gt(kit_counter(kit, "mesh_stalls"), 0);
    cr_expect_eq(kit_counter(kit, "processed"), messages);
    cr_expect_eq(kit_counter(kit, "resends"), 0);
    cr_expect_eq(kit_counter(kit, "frames_dropped"), 0);
    cr_expect_eq(kit_counter(kit, "acks_counted"), 9 * messages);
    cr_expect_eq(kit_counter(kit, "acks_repeated"), 0);
    cr_expect_eq(kit_counter(kit, "acks_late"), 0);
    for (uint32_t i = 0; i < shards; i++) {
        uint32_t mine = messages / shards + (i < messages % shards ? 1 : 0);
        const char *words = kit_words(kit, kit_port(i, CLIENT));

        cr_expect_eq(count_words(words, "RECEIVED"), mine);
        cr_expect_eq(count_words(words, "NOTICE"), mine);
        cr_expect_eq(count_words(words, "PROCESSED"), mine);
    }
    kit_free(kit);
}

Test(shard_pressure, R08_one_block_of_credit_loses_nothing_over_two_shards)
{
    squeeze(2, 1000, 60);
    squeeze(2, 60, TRI_PAYLOAD_BYTES_MAX);
}

Test(shard_pressure, R08_one_block_of_credit_loses_nothing_over_eight_shards)
{
    squeeze(8, 1600, 60);
    squeeze(8, 60, TRI_PAYLOAD_BYTES_MAX);
}

Test(shard_pressure, deliveries_are_taken_while_steps_wait_for_room)
{
    struct kit *kit = kit_new(2);
    uint32_t taken = 0;

    kit->options.mesh_blocks = 1;
    kit->options.engine.body_counts[4] = 512;
    start_with_chains(kit, NULL);
    /* Both shards forward to each other and neither takes a turn: all credit is gone. */
    for (uint32_t i = 0; i < 200; i++) {
        for (uint32_t shard = 0; shard < 2; shard++) {
            if (kit_submit(kit, kit_port(shard, CLIENT), name_of(2 * i + shard),
                           TRI_PAYLOAD_BYTES_MAX) == TRI_OK) {
                taken++;
            }
        }
    }
    cr_expect_lt(taken, 400);
    kit_rest(kit);
    cr_expect_eq(kit_counter(kit, "accepted"), taken);
    for (uint16_t c = 0; c < KIT_CHAINS; c++) {
        cr_expect_eq(count_words(kit_words(kit, chain_port(kit, c)), "PREPARE"), taken);
    }
    kit_free(kit);
}

Test(shard_pressure, D01_what_waits_for_a_record_leaves_when_it_is_durable)
{
    for (uint32_t shards = 1; shards <= 2; shards++) {
        struct kit *kit = kit_new(shards);
        struct slow_journal journal[2] = {{.appends_max = 100}, {.appends_max = 100}};
        tri_port client = kit_port(0, CLIENT);

        start_with_chains(kit, journal);
        for (uint32_t i = 0; i < 6; i++) {
            cr_assert_eq(kit_submit(kit, client, name_of(i), 10), TRI_OK);
        }
        kit_rest(kit);
        /* The first PREPARE need not wait; RECEIVED must. */
        cr_expect_str_eq(kit_words(kit, client), "");
        for (uint16_t c = 0; c < KIT_CHAINS; c++) {
            cr_expect_eq(kit_answer(kit, chain_port(kit, c), c), 6);
        }
        kit_rest(kit);
        for (uint32_t i = 0; i < shards; i++) {
            cr_expect_eq(journal[i].durable, 0);
        }
        /* The decisions are appended; no COMMIT before they are durable. */
        cr_expect_eq(journal[0].appended + journal[1].appended, 12);
        for (uint16_t c = 0; c < KIT_CHAINS; c++) {
            cr_expect_str_eq(kit_words(kit, chain_port(kit, c)), "");
        }
        for (uint32_t i = 0; i < shards; i++) {
            journal[i].durable = journal[i].appended;
        }
        kit_rest(kit);
        cr_expect_eq(count_words(kit_words(kit, client), "RECEIVED"), 6);
        for (uint16_t c = 0; c < KIT_CHAINS; c++) {
            char commit[] = "COMMIT#1[t0]";

            commit[10] = (char)('0' + c);
            cr_expect_eq(count_words(kit_words(kit, chain_port(kit, c)), commit), 6);
        }
        cr_expect_gt(kit_counter(kit, "effects_held"), 0);
        kit_free(kit);
    }
}

Test(shard_pressure, D01_each_lsn_releases_its_own)
{
    struct kit *kit = kit_new(1);
    struct slow_journal journal = {.appends_max = 100};
    tri_port client = kit_port(0, CLIENT);

    start_with_chains(kit, &journal);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(kit_submit(kit, client, name_of(i), 10), TRI_OK);
    }
    kit_rest(kit);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_str_eq(kit_words(kit, client), "");
        journal.durable++;
        kit_rest(kit);
        cr_assert(kit_take(kit, client));
        cr_expect_eq(kit->frame.ack.type, TRI_ACK_RECEIVED);
        cr_expect_eq(kit->frame.ack.id.at[8], (char)('0' + i));
    }
    kit_free(kit);
}

Test(shard_pressure, full_hold_stops_the_shard_until_the_journal_goes_on)
{
    struct kit *kit = kit_new(2);
    struct slow_journal journal[2] = {{.appends_max = 10000}, {.appends_max = 10000}};
    uint32_t taken = 0;

    kit->options.hold_bytes = 180096;
    start_with_chains(kit, journal);
    for (uint32_t i = 0; i < 6000; i++) {
        while (taken < 6000 && kit_submit(kit, kit_port(0, CLIENT), name_of(taken), 10) == TRI_OK) {
            taken++;
        }
        (void)kit_turn(kit);
    }
    cr_expect_lt(taken, 6000);
    cr_expect_eq(tri_shard_deadline_ns(kit_shard(kit, 0)), TRI_NEVER);
    cr_expect_eq(kit_turn(kit), 0);
    for (uint32_t i = 0; i < 100; i++) {
        for (uint32_t j = 0; j < 2; j++) {
            journal[j].durable = journal[j].appended;
        }
        kit_rest(kit);
    }
    cr_expect_eq(count_words(kit_words(kit, kit_port(0, CLIENT)), "RECEIVED"), taken);
    for (uint16_t c = 0; c < KIT_CHAINS; c++) {
        cr_expect_eq(count_words(kit_words(kit, chain_port(kit, c)), "PREPARE"), taken);
    }
    kit_free(kit);
}

Test(shard_pressure, full_journal_stops_the_shard_and_keeps_the_order)
{
    struct kit *kit = kit_new(1);
    struct slow_journal journal = {.appends_max = 2};
    tri_port client = kit_port(0, CLIENT);

    start_with_chains(kit, &journal);
    cr_expect_eq(kit_submit(kit, client, "a", 10), TRI_OK);
    cr_expect_eq(kit_submit(kit, client, "b", 10), TRI_OK);
    cr_expect_eq(kit_submit(kit, client, "c", 10), TRI_OK); /* taken; its record waits */
    cr_expect_eq(kit_submit(kit, client, "d", 10), TRI_FULL);
    kit_rest(kit);
    cr_expect_eq(count_words(kit_words(kit, chain_port(kit, 0)), "PREPARE"), 2);
    journal.appends_max = 10;
    kit_rest(kit);
    cr_assert(kit_take(kit, chain_port(kit, 0)));
    cr_expect_eq(kit->frame.phase.id.at[0], 'c');
    cr_expect_eq(kit_submit(kit, client, "d", 10), TRI_OK);
    kit_free(kit);
}

/* An id of five letters that shard `owner` owns; `number` chooses among many. */
static const char *id_owned_by(struct kit *kit, uint32_t owner, uint32_t number)
{
    static char id[8];
    uint64_t before = 0;

    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t after = 0;

        /* A question about it is forwarded, or not, and changes nothing. */
        (void)snprintf(id, sizeof(id), "%c%04u", (int)('a' + number), i);
        before = kit_counter_of(kit, owner, "frames");
        kit->made.type = TRI_FRAME_STATUS_GET;
        kit->made.status_get = kit_text(id);
        (void)kit_give(kit, kit_port(0, WATCHER), TRI_ROLE_CLIENT, 0);
        kit_rest(kit);
        (void)kit_words(kit, kit_port(0, WATCHER));
        after = kit_counter_of(kit, owner, "frames");
        if (after > before) {
            return id;
        }
    }
    cr_assert_fail("no id found");
    return NULL;
}

static void turn(struct kit *kit, uint32_t shard)
{
    (void)tri_shard_turn(kit_shard(kit, shard), kit->now_ns, KIT_WALL_MS);
}

Test(shard_pressure, P14_answer_to_a_stray_waits_with_its_frame_for_room)
{
    struct kit *kit = kit_new(2);
    char big[8];
    char stray[8];

    kit->options.mesh_blocks = 1;
    kit_start(kit);
    kit_chain_up(kit, kit_port(0, CHAIN), 0, 1);
    memcpy(big, id_owned_by(kit, 1, 0), 8);
    memcpy(stray, id_owned_by(kit, 1, 1), 8);
    cr_assert_eq(kit_phase_ack(kit, kit_port(0, CHAIN), 0, stray, TRI_PHASE_PREPARE,
                               TRI_ATTEMPT(6, 1), TRI_ACK_PHASE_PREPARE_OK),
                 TRI_OK);
    turn(kit, 0);
    /* Shard 1 spends its credit towards shard 0, which takes no turn. */
    cr_assert_eq(kit_submit(kit, kit_port(1, CLIENT), big, TRI_PAYLOAD_BYTES_MAX), TRI_OK);
    turn(kit, 1);
    turn(kit, 1);
    cr_expect_eq(kit_counter_of(kit, 1, "strays_aborted"), 0);
    kit_rest(kit);
    cr_assert(kit_take(kit, kit_port(0, CHAIN)));
    cr_assert_eq(kit->frame.type, TRI_FRAME_PHASE);
    cr_assert(kit_take(kit, kit_port(0, CHAIN)));
    cr_assert_eq(kit->frame.type, TRI_FRAME_CONTROL);
    cr_expect_eq(memcmp(kit->frame.control.id.at, stray, 5), 0);
    kit_free(kit);
}

Test(shard_pressure, P14_a_question_is_answered_before_the_news_that_its_chain_is_back)
{
    struct kit *kit = kit_new(2);

    kit_start(kit);
    for (uint32_t owner = 0; owner < 2; owner++) {
        tri_port port = kit_port(owner, CHAIN);
        char id[8];

        memcpy(id, id_owned_by(kit, 1 - owner, owner), 8);
        tri_shard_chain_hello(kit_shard(kit, owner), port, 0, 1 + owner);
        kit_rest(kit);
        cr_assert_eq(kit_at(kit, port)->welcomes, 1);
        kit->made.type = TRI_FRAME_ASK;
        kit->made.ask = (struct tri_ask){kit_text(id), TRI_ATTEMPT(6, 1), kit->chains[0].id};
        cr_assert_eq(kit_give(kit, port, TRI_ROLE_CHAIN, 0), TRI_OK);
        kit_rest(kit);
        cr_assert(kit_take(kit, port));
        cr_assert_eq(kit->frame.type, TRI_FRAME_CONTROL);
        cr_expect_eq(kit->frame.control.kind, TRI_CONTROL_ABORT);
        cr_expect_eq(memcmp(kit->frame.control.id.at, id, 5), 0);
    }
    kit_free(kit);
}

Test(shard_pressure, question_from_afar_waits_for_room_for_its_answer)
{
    struct kit *kit = kit_new(2);
    char id[8];
    char big[8];

    kit->options.mesh_blocks = 1;
    kit_start(kit);
    kit_chain_up(kit, kit_port(0, CHAIN), 0, 1);
    memcpy(id, id_owned_by(kit, 1, 0), 8);
    memcpy(big, id_owned_by(kit, 1, 1), 8);
    for (uint32_t i = 0; i < 3; i++) {
        kit->made.type = TRI_FRAME_STATUS_GET;
        kit->made.status_get = kit_text(id);
        cr_assert_eq(kit_give(kit, kit_port(0, CLIENT), TRI_ROLE_CLIENT, 0), TRI_OK);
    }
    turn(kit, 0);
    /* Before shard 1 comes to the questions, one message spends its credit. */
    cr_assert_eq(kit_submit(kit, kit_port(1, CLIENT), big, TRI_PAYLOAD_BYTES_MAX), TRI_OK);
    turn(kit, 1);
    turn(kit, 1);
    cr_expect_gt(kit_counter_of(kit, 1, "mesh_stalls"), 0);
    cr_expect_str_eq(kit_words(kit, kit_port(0, CLIENT)), "");
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, kit_port(0, CLIENT)),
                     "E:UNKNOWN_MESSAGE E:UNKNOWN_MESSAGE E:UNKNOWN_MESSAGE");
    kit_free(kit);
}

Test(shard_pressure, nobody_sleeps_over_a_chain_that_nobody_was_told_of)
{
    struct kit *kit = kit_new(2);

    kit_start(kit);
    for (uint32_t shard = 0; shard < 2; shard++) {
        cr_assert(tri_shard_sleep(kit_shard(kit, shard)));
        tri_shard_awake(kit_shard(kit, shard));
        tri_shard_chain_hello(kit_shard(kit, shard), kit_port(shard, CHAIN), 0, 1 + shard);
        cr_expect_not(tri_shard_sleep(kit_shard(kit, shard)));
        kit_rest(kit);
        cr_expect_eq(kit_at(kit, kit_port(shard, CHAIN))->welcomes, 1);
    }
    kit_free(kit);
}

Test(shard_pressure, D07_nothing_leaves_that_waits_for_a_failed_record)
{
    struct kit *kit = kit_new(1);
    struct slow_journal journal = {.appends_max = 100};
    tri_port client = kit_port(0, CLIENT);

    start_with_chains(kit, &journal);
    cr_assert_eq(kit_submit(kit, client, "a", 10), TRI_OK);
    cr_assert_eq(kit_submit(kit, client, "b", 10), TRI_OK);
    kit_rest(kit);
    journal.durable = 1;
    journal.failed = 2;
    kit_rest(kit);
    cr_assert(kit_take(kit, client));
    cr_expect_eq(kit->frame.ack.id.at[0], 'a');
    cr_expect_eq(kit->frame.ack.type, TRI_ACK_RECEIVED);
    cr_expect_str_eq(kit_words(kit, client), "");
    cr_assert_eq(kit_submit(kit, client, "c", 10), TRI_OK);
    kit_rest(kit);
    cr_assert(kit_take(kit, client));
    cr_expect_eq(kit->frame.ack.type, TRI_ACK_REJECTED);
    cr_expect_eq(kit->frame.ack.code, TRI_ERROR_JOURNAL_FAILED);
    kit_free(kit);
}

Test(shard_pressure, D07_a_record_that_waits_for_room_does_not_outwait_a_failure)
{
    struct kit *kit = kit_new(1);
    struct slow_journal journal = {.appends_max = 2};
    tri_port client = kit_port(0, CLIENT);

    start_with_chains(kit, &journal);
    cr_assert_eq(kit_submit(kit, client, "a", 10), TRI_OK);
    cr_assert_eq(kit_submit(kit, client, "b", 10), TRI_OK);
    cr_assert_eq(kit_submit(kit, client, "c", 10), TRI_OK); /* taken; its record waits */
    cr_assert_eq(kit_submit(kit, client, "d", 10), TRI_FULL);
    journal.durable = 1;
    journal.failed = 2;
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, client), "RECEIVED", "a's alone");
    cr_assert_eq(kit_submit(kit, client, "d", 10), TRI_OK);
    kit_rest(kit);
    cr_assert(kit_take(kit, client));
    cr_expect_eq(kit->frame.ack.code, TRI_ERROR_JOURNAL_FAILED);
    kit_free(kit);
}

Test(shard_pressure, D07_a_checkpoint_ends_with_its_journal)
{
    struct kit *kit = kit_new(1);
    struct slow_journal journal = {.appends_max = 10000};

    start_with_chains(kit, &journal);
    for (uint32_t i = 0; i < 300; i++) { /* more than a turn pictures */
        cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), name_of(i), 10), TRI_OK);
    }
    kit_rest(kit);
    journal.wants_checkpoint = true;
    (void)kit_turn(kit);
    cr_expect_gt(journal.appended, 300);
    cr_expect_lt(journal.appended, 600);
    journal.failed = 1;
    kit_rest(kit); /* a shard that went on would never rest */
    cr_expect_lt(journal.appended, 600);
    kit_free(kit);
}

Test(shard_pressure, P15_frames_dropped_by_a_full_port_are_resent_when_it_has_room)
{
    for (uint32_t shards = 1; shards <= 2; shards++) {
        struct kit *kit = kit_new(shards);
        tri_port port;

        start_with_chains(kit, NULL);
        port = chain_port(kit, 1);
        kit_at(kit, port)->frames_max = 5;
        for (uint32_t i = 0; i < 20; i++) {
            cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), name_of(i), 10), TRI_OK);
        }
        kit_rest(kit);
        cr_expect_eq(kit_counter(kit, "frames_dropped"), 15);
        cr_expect_eq(kit_answer(kit, port, 1), 5);
        kit_at(kit, port)->frames_max = 0;
        tri_shard_chain_down(kit_shard(kit, TRI_PORT_SHARD(port)), port, 1);
        tri_shard_chain_up(kit_shard(kit, TRI_PORT_SHARD(port)), port, 1, true);
        kit_rest(kit);
        cr_expect_eq(count_words(kit_words(kit, port), "PREPARE#1"), 15);
        kit_free(kit);
    }
}

Test(shard_pressure, watchers_on_any_shard_see_every_message_and_what_they_missed)
{
    for (uint32_t shards = 1; shards <= 2; shards++) {
        struct kit *kit = kit_new(shards);
        tri_port watcher = kit_port(shards - 1, WATCHER);
        struct tri_peer peer = {.role = TRI_ROLE_OPERATOR, .chain = 0};
        const char *words = NULL;

        start_with_chains(kit, NULL);
        kit->made.type = TRI_FRAME_WATCH;
        cr_assert_eq(kit_give_bytes(kit, watcher, TRI_ROLE_OPERATOR, 0,
                                    (const uint8_t[]){0x91, TRI_FRAME_WATCH}, 2),
                     TRI_OK);
        kit_rest(kit);
        for (uint32_t i = 0; i < 6; i++) {
            cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), name_of(i), 10), TRI_OK);
            for (uint32_t phase = 0; phase < 3; phase++) {
                kit_rest(kit);
                for (uint16_t c = 0; c < KIT_CHAINS; c++) {
                    (void)kit_answer(kit, chain_port(kit, c), c);
                }
            }
            kit_rest(kit);
            cr_expect_str_eq(kit_words(kit, watcher),
                             "RECEIVED!0 PREPARE!0 COMMIT!0 PRIMARY!0 NOTICE!0 FINALIZE!0 "
                             "PROCESSED!0");
        }
        kit_at(kit, watcher)->frames_max = 1;
        cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), "slow", 10), TRI_OK);
        kit_rest(kit);
        cr_expect_str_eq(kit_words(kit, watcher), "RECEIVED!0"); /* PREPARE was missed */
        for (uint16_t c = 0; c < KIT_CHAINS; c++) {
            (void)kit_answer(kit, chain_port(kit, c), c);
        }
        kit_rest(kit);
        cr_expect_str_eq(kit_words(kit, watcher), "COMMIT!1");
        cr_expect_eq(kit_counter(kit, "watch_missed"), 1);
        kit_at(kit, watcher)->is_gone = true;
        tri_shard_port_gone(kit_shard(kit, shards - 1), watcher, &peer);
        kit_rest(kit);
        words = "";
        for (uint16_t c = 0; c < KIT_CHAINS; c++) {
            (void)kit_answer(kit, chain_port(kit, c), c);
        }
        kit_rest(kit);
        cr_expect_str_eq(kit_words(kit, watcher), words);
        cr_expect_eq(kit_counter(kit, "watch_missed"), 1);
        kit_free(kit);
    }
}

Test(shard_pressure, ninth_watcher_of_a_shard_is_refused)
{
    struct kit *kit = kit_new(1);
    const uint8_t watch[] = {0x91, TRI_FRAME_WATCH};

    kit_start(kit);
    for (uint32_t i = 0; i < 8; i++) {
        cr_expect_eq(kit_give_bytes(kit, kit_port(0, WATCHER + i), TRI_ROLE_OPERATOR, 0, watch, 2),
                     TRI_OK);
    }
    cr_expect_eq(kit_give_bytes(kit, kit_port(0, WATCHER), TRI_ROLE_OPERATOR, 0, watch, 2), TRI_OK);
    cr_expect_eq(kit_give_bytes(kit, kit_port(0, WATCHER + 8), TRI_ROLE_OPERATOR, 0, watch, 2),
                 TRI_VIOLATION);
    cr_expect_eq(kit->fault.code, TRI_ERROR_BUSY);
    cr_expect_not(tri_shard_fault_closes(kit->fault.code));
    cr_expect_str_eq(kit_words(kit, kit_port(0, WATCHER + 8)), "E:BUSY");
    kit_free(kit);
}

Test(shard_pressure, sleeping_shard_is_woken_once_per_turn_and_only_while_it_sleeps)
{
    struct kit *kit = kit_new(2);
    struct tri_shard *other;
    uint32_t forwarded = 0;

    start_with_chains(kit, NULL);
    other = kit_shard(kit, 1);
    cr_expect_eq(kit->wakes[1], 0);
    cr_assert(tri_shard_sleep(other));
    for (uint32_t i = 0; i < 8; i++) {
        cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), name_of(i), 10), TRI_OK);
    }
    (void)tri_shard_turn(kit_shard(kit, 0), kit->now_ns, KIT_WALL_MS);
    cr_expect_eq(kit->wakes[1], 1);
    forwarded = (uint32_t)kit_counter(kit, "frames_forwarded");
    cr_expect_gt(forwarded, 0);
    tri_shard_awake(other);
    cr_expect_not(tri_shard_sleep(other)); /* there is news: it must not block */
    kit_rest(kit);
    cr_expect_eq(kit->wakes[1], 1);
    cr_expect(tri_shard_sleep(other));
    tri_shard_awake(other);
    kit_free(kit);
}

Test(shard_pressure, time_runs_when_only_time_passes)
{
    struct kit *kit = kit_new(1);
    tri_port client = kit_port(0, CLIENT);

    start_with_chains(kit, NULL);
    cr_assert_eq(kit_submit(kit, client, "late", 10), TRI_OK);
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, chain_port(kit, 0)), "PREPARE#1[]");
    cr_expect_gt(tri_shard_deadline_ns(kit_shard(kit, 0)), kit->now_ns);
    cr_expect_leq(tri_shard_deadline_ns(kit_shard(kit, 0)), kit->now_ns + 5100 * TRI_NS_PER_MS);
    kit->now_ns += 5200 * TRI_NS_PER_MS;
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, chain_port(kit, 0)), "ABORT#1[]");
    cr_expect_eq(kit_counter(kit, "phase_timeouts"), 1);
    kit_free(kit);
}
