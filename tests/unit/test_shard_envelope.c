/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the deliveries of an envelope run one after the other over any number of shards, their
 * client is told what a submitter of them would be told, and nothing locks up when rooms are small
 * (F07).  And internal ports, by which the envelope is told.
 *
 * Method: the kit's ports in place of sockets; chains answer OK, or refuse what a test names.
 */
#include <criterion/criterion.h>

#include "tests/unit/shard_kit.h"

#define CLIENT 0U
#define CHAIN  1U /* slots 1..3 */
#define OTHER  8U

static tri_port chain_port(const struct kit *kit, uint16_t chain)
{
    return kit_port(chain % kit->shards, CHAIN + chain);
}

static struct kit *kit_with_chains(uint32_t shards, uint32_t mesh_blocks)
{
    struct kit *kit = kit_new(shards);

    kit->options.engine.envelopes_max = 512;
    kit->options.engine.body_counts[1] = 2048;
    kit->options.engine.body_counts[2] = 512;
    kit->options.mesh_blocks = mesh_blocks;
    kit_start(kit);
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        kit_chain_up(kit, chain_port(kit, i), i, 1);
    }
    return kit;
}

/* Answers what waits at a chain's port; messages whose id ends in `refused` get PHASE_REJECT. */
static uint32_t answer(struct kit *kit, uint16_t chain, const char *refused)
{
    tri_port port = chain_port(kit, chain);
    uint32_t answered = 0;

    while (kit_take(kit, port)) {
        struct tri_phase_frame phase = kit->frame.phase;
        enum tri_ack_type type =
            (enum tri_ack_type)((int)TRI_ACK_PHASE_PREPARE_OK + (int)phase.phase);
        char id[TRI_ID_BYTES_MAX + 1];

        answered++;
        if (kit->frame.type != TRI_FRAME_PHASE) {
            continue; /* ABORT */
        }
        (void)snprintf(id, sizeof(id), "%.*s", (int)phase.id.bytes, phase.id.at);
        if (refused != NULL && strcmp(id + strlen(id) - strlen(refused), refused) == 0) {
            type = TRI_ACK_PHASE_REJECT;
        }
        while (kit_phase_ack(kit, port, chain, id, phase.phase, phase.attempt, type) == TRI_FULL) {
            (void)kit_turn(kit);
        }
    }
    return answered;
}

static void answer_all(struct kit *kit, const char *refused)
{
    uint32_t answered = 0;

    do {
        answered = 0;
        kit_rest(kit);
        for (uint16_t i = 0; i < KIT_CHAINS; i++) {
            answered += answer(kit, i, refused);
        }
    } while (answered > 0);
}

/* Gives an envelope of `count` deliveries "ID.n". */
static enum tri_result give_envelope(struct kit *kit, tri_port port, const char *id, uint32_t count)
{
    static uint8_t bytes[TRI_ENVELOPE_MAX][2048];
    struct tri_envelope_frame *envelope;
    char ids[TRI_ENVELOPE_MAX][TRI_ID_BYTES_MAX + 1];
    struct tri_frame *frame = &kit->made;

    for (uint32_t i = 0; i < count; i++) {
        struct tri_writer writer = {.at = bytes[i], .end = bytes[i] + sizeof(bytes[i])};
        struct tri_message message = {
            .type = TRI_TYPE_REGULATORY_ACTION,
            .priority = TRI_PRIORITY_NORMAL,
            .atomicity = TRI_GUARANTEED,
            .ttl_s = 600,
            .timestamp_ms = KIT_WALL_MS,
            .source_chain = kit_text("eip155:1"),
            .source_node = kit_text("node-1"),
            .target_count = KIT_CHAINS,
            .asset_count = 1,
            .assets = {kit_text("bond-1")},
            .payload = {kit->payload, 64},
            .envelope = {.is_given = true, .id = kit_text(id), .n = i + 1, .m = count},
        };

        (void)snprintf(ids[i], sizeof(ids[i]), "%.50s.%u", id, i + 1);
        message.id = kit_text(ids[i]);
        for (uint32_t chain = 0; chain < KIT_CHAINS; chain++) {
            message.targets[chain] = kit->chains[chain].id;
        }
        bytes[i][0] = 0;
        (void)tri_wire_put_submit(&writer, &message);
        cr_assert(!writer.failed);
        frame->envelope.deliveries[i].canonical.bytes = (uint32_t)(writer.at - bytes[i]) - 4;
    }
    frame->type = TRI_FRAME_ENVELOPE;
    envelope = &frame->envelope;
    envelope->id = kit_text(id);
    envelope->count = count;
    for (uint32_t i = 0; i < count; i++) {
        envelope->deliveries[i].canonical.at = bytes[i] + 4; /* behind the head of a SUBMIT */
    }
    return kit_give(kit, port, TRI_ROLE_CLIENT, 0);
}

/* What a port got for one id, in order, as words; frames for others are left out. */
static const char *words_of(struct kit *kit, tri_port port, const char *id)
{
    static char words[1024];
    struct kit_port *at = kit_at(kit, port);
    struct kit_port was = *at;
    char word[128];

    words[0] = '\0';
    while (kit_take(kit, port)) {
        const struct tri_frame *frame = &kit->frame;
        struct tri_text own = frame->type == TRI_FRAME_NOTICE         ? frame->notice.id
                              : frame->type == TRI_FRAME_ENVELOPE_ACK ? frame->envelope_ack.id
                                                                      : frame->ack.id;

        if (own.bytes != strlen(id) || memcmp(own.at, id, own.bytes) != 0) {
            continue;
        }
        if (frame->type == TRI_FRAME_ENVELOPE_ACK) {
            (void)snprintf(word, sizeof(word), "%s%s/%u",
                           tri_ack_type_name(frame->envelope_ack.type),
                           frame->envelope_ack.duplicate ? "+" : "", frame->envelope_ack.count);
        } else {
            kit_word(frame, word);
        }
        (void)strcat(words, words[0] == '\0' ? "" : " ");
        (void)strcat(words, word);
    }
    was.bytes = at->bytes; /* they are read again for the next id */
    *at = was;
    return words;
}

static void forget_words(struct kit *kit, tri_port port)
{
    while (kit_take(kit, port)) {
    }
}

static void deliveries_in_order(uint32_t shards)
{
    struct kit *kit = kit_with_chains(shards, 0);
    tri_port client = kit_port(shards - 1, CLIENT);

    for (uint32_t i = 0; i < 8; i++) {
        char id[32];
        char delivery[48];

        (void)snprintf(id, sizeof(id), "envelope-%u", i);
        cr_assert_eq(give_envelope(kit, client, id, 3), TRI_OK);
        answer_all(kit, NULL);
        cr_expect_str_eq(words_of(kit, client, id), "RECEIVED/0 PROCESSED/3");
        for (uint32_t n = 1; n <= 3; n++) {
            (void)snprintf(delivery, sizeof(delivery), "%s.%u", id, n);
            cr_expect_str_eq(words_of(kit, client, delivery), "RECEIVED NOTICE PROCESSED");
        }
        forget_words(kit, client);
    }
    cr_expect_eq(kit_counter(kit, "envelopes"), 8);
    cr_expect_eq(kit_counter(kit, "envelopes_ended"), 8);
    cr_expect_eq(kit_counter(kit, "deliveries"), 24);
    cr_expect_eq(kit_counter(kit, "processed"), 24);
    cr_expect_eq(kit_counter(kit, "frames_refused"), 0);
    kit_free(kit);
}

Test(shard_envelope, F07_deliveries_run_one_after_the_other_on_one_shard)
{
    deliveries_in_order(1);
}

Test(shard_envelope, F07_and_over_many_shards)
{
    deliveries_in_order(2);
    deliveries_in_order(5);
}

Test(shard_envelope, F07_a_failed_delivery_stops_those_behind_it)
{
    struct kit *kit = kit_with_chains(3, 0);
    tri_port client = kit_port(2, CLIENT);

    cr_assert_eq(give_envelope(kit, client, "e", 3), TRI_OK);
    answer_all(kit, ".2");
    cr_expect_str_eq(words_of(kit, client, "e.1"), "RECEIVED NOTICE PROCESSED");
    cr_expect_str_eq(words_of(kit, client, "e.2"), "RECEIVED REJECTED");
    cr_expect_str_eq(words_of(kit, client, "e.3"), "");
    cr_expect_str_eq(words_of(kit, client, "e"), "RECEIVED/0 FAILED/3");
    cr_expect_eq(kit_counter(kit, "submits"), 4); /* each by the client and by its envelope */
    kit_free(kit);
}

Test(shard_envelope, R01_who_repeats_an_envelope_is_attached_or_gets_its_result)
{
    struct kit *kit = kit_with_chains(3, 0);
    tri_port client = kit_port(0, CLIENT);
    tri_port other = kit_port(1, OTHER);

    cr_assert_eq(give_envelope(kit, client, "e", 2), TRI_OK);
    kit_rest(kit);
    cr_assert_eq(give_envelope(kit, other, "e", 2), TRI_OK);
    kit_rest(kit);
    cr_expect_str_eq(words_of(kit, other, "e.1"), "RECEIVED+");
    answer_all(kit, NULL);
    cr_expect_str_eq(words_of(kit, other, "e.1"), "RECEIVED+ NOTICE PROCESSED");
    cr_expect_str_eq(words_of(kit, other, "e.2"), "RECEIVED+ NOTICE PROCESSED");
    cr_expect_str_eq(words_of(kit, other, "e"), "RECEIVED+/0 PROCESSED/2");
    forget_words(kit, other);
    cr_assert_eq(give_envelope(kit, other, "e", 2), TRI_OK);
    kit_rest(kit);
    cr_expect_str_eq(words_of(kit, other, "e"), "PROCESSED+/2");
    cr_expect_str_eq(words_of(kit, other, "e.1"), "");
    kit_free(kit);
}

Test(shard_envelope, F07_it_goes_on_without_its_client)
{
    struct kit *kit = kit_with_chains(3, 0);
    tri_port client = kit_port(1, CLIENT);
    struct tri_peer peer = {.role = TRI_ROLE_CLIENT};

    cr_assert_eq(give_envelope(kit, client, "e", 3), TRI_OK);
    kit_rest(kit);
    kit_at(kit, client)->is_gone = true;
    tri_shard_port_gone(kit_shard(kit, 1), client, &peer);
    answer_all(kit, NULL);
    cr_expect_eq(kit_counter(kit, "envelopes_ended"), 1);
    cr_expect_eq(kit_counter(kit, "processed"), 3);
    kit_free(kit);
}

Test(shard_envelope, F07_a_chain_that_refuses_by_the_name_of_a_passing_fault_has_refused)
{
    struct kit *kit = kit_with_chains(2, 0);
    tri_port client = kit_port(0, CLIENT);

    kit->refusal = TRI_ERROR_JOURNAL_FAILED;
    cr_assert_eq(give_envelope(kit, client, "e", 2), TRI_OK);
    answer_all(kit, ".1");
    cr_expect_str_eq(words_of(kit, client, "e"), "RECEIVED/0 REJECTED/2");
    cr_expect_eq(kit_counter(kit, "envelopes_ended"), 1);
    kit_free(kit);
}

/* A server that drains refuses what was not accepted: the node goes on asking for itself, less and
 * less often, and that costs its clients nothing. */
Test(shard_envelope, R08_what_finds_no_room_is_submitted_again_for_the_envelope_alone)
{
    for (uint32_t shards = 1; shards <= 3; shards += 2) {
        struct kit *kit = kit_with_chains(shards, 0);
        tri_port client = kit_port(0, CLIENT);
        uint64_t submits = 0;

        cr_assert_eq(give_envelope(kit, client, "e", 2), TRI_OK);
        kit_rest(kit);
        tri_shard_set_drain(kit->set);
        kit->fruitless_frames = 0;
        answer_all(kit, NULL);
        cr_expect_str_eq(words_of(kit, client, "e.2"), "REJECTED");
        submits = kit_counter(kit, "submits");
        for (uint32_t i = 0; i < 240; i++) { /* a minute */
            kit->now_ns += TRI_NS_PER_S / 4;
            kit_rest(kit);
        }
        /* After 250 ms, 750, 1750, 3750, 7750, 15.75 s, 23.75, 31.75, 39.75, 47.75 and 55.75. */
        cr_expect_eq(kit_counter(kit, "submits") - submits, 11);
        cr_expect_str_eq(words_of(kit, client, "e.2"), "REJECTED");
        cr_expect_eq(kit->fruitless_frames, 0);
        kit_free(kit);
    }
}

/* One body at a time: the second envelope's delivery waits for that of the first to end. */
Test(shard_envelope, R08_once_it_is_accepted_its_clients_are_told_of_it)
{
    struct kit *kit = kit_new(1);
    tri_port first = kit_port(0, CLIENT);
    tri_port second = kit_port(0, OTHER);

    kit->options.engine.envelopes_max = 8;
    kit->options.engine.rounds_max = 1;
    kit_start(kit);
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        kit_chain_up(kit, chain_port(kit, i), i, 1);
    }
    cr_assert_eq(give_envelope(kit, first, "e", 1), TRI_OK);
    kit_rest(kit);
    cr_assert_eq(give_envelope(kit, second, "f", 1), TRI_OK);
    kit_rest(kit);
    cr_expect_str_eq(words_of(kit, second, "f.1"), "REJECTED");
    answer_all(kit, NULL);
    cr_expect_str_eq(words_of(kit, first, "e.1"), "RECEIVED NOTICE PROCESSED");
    kit->now_ns += TRI_NS_PER_S / 4;
    answer_all(kit, NULL);
    cr_expect_str_eq(words_of(kit, second, "f.1"), "REJECTED RECEIVED+ NOTICE PROCESSED");
    cr_expect_str_eq(words_of(kit, second, "f"), "RECEIVED/0 PROCESSED/1");
    kit_free(kit);
}

/* Every pair of shards has one block per lane: envelopes, their deliveries, the answers of chains
 * and what the clients are told wait for one another in every direction. */
Test(shard_envelope, R08_small_rooms_lock_nothing_up)
{
    struct kit *kit = kit_with_chains(4, 1);
    uint32_t given = 0;

    for (uint32_t i = 0; i < 160; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "envelope-%u", i);
        while (give_envelope(kit, kit_port(i % 4, OTHER), id, 16) == TRI_FULL) {
            (void)kit_turn(kit);
        }
        given++;
    }
    answer_all(kit, NULL);
    for (uint32_t i = 0; i < 20; i++) { /* a delivery that found no room comes again */
        kit->now_ns += TRI_NS_PER_S / 2;
        answer_all(kit, NULL);
    }
    cr_expect_eq(given, 160);
    cr_expect_eq(kit_counter(kit, "envelopes_ended"), 160);
    cr_expect_eq(kit_counter(kit, "processed"), 2560);
    kit_free(kit);
}

/* Deliveries that are refused, for clients of a shard that takes no turn: the answer to a delivery
 * goes to another shard than the one that sent it on, and has to find room there. */
Test(shard_envelope, R08_refused_deliveries_wait_for_a_shard_that_does_not_read)
{
    struct kit *kit = kit_with_chains(4, 1);
    uint32_t given = 0;

    kit->now_ns += UINT64_C(700) * TRI_NS_PER_S; /* their time is over */
    for (uint32_t i = 0; i < 400; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "envelope-%u", i);
        given += give_envelope(kit, kit_port(3, OTHER), id, 1) == TRI_OK ? 1 : 0;
    }
    (void)tri_shard_turn(kit_shard(kit, 3), kit->now_ns, KIT_WALL_MS + 700000);
    for (uint32_t i = 0; i < 30; i++) {
        for (uint32_t shard = 0; shard < 3; shard++) {
            (void)tri_shard_turn(kit_shard(kit, shard), kit->now_ns, KIT_WALL_MS + 700000);
        }
    }
    kit_rest(kit);
    cr_assert(given > 300, "%u", given);
    cr_expect_eq(kit_counter(kit, "envelopes_ended"), given);
    cr_expect_eq(kit_counter(kit, "refused_stale"), 2 * given);
    kit_free(kit);
}

Test(shard_envelope, F07_its_frame_is_refused_as_a_whole)
{
    struct kit *kit = kit_with_chains(2, 0);
    tri_port client = kit_port(0, CLIENT);
    uint8_t *at = NULL;

    (void)give_envelope(kit, client, "e", 2);
    kit_rest(kit);
    forget_words(kit, client);
    (void)give_envelope(kit, client, "f", 2);
    kit_rest(kit);
    forget_words(kit, client);
    /* The second delivery of a third one says that it is the first. */
    (void)give_envelope(kit, client, "g", 2);
    kit_rest(kit);
    forget_words(kit, client);
    for (at = kit->body + sizeof(kit->body) - 8; memcmp(at, "\x93\xa1g\x02\x02", 5) != 0; at--) {
        cr_assert(at > kit->body);
    }
    at[3] = 1;
    kit->made.type = TRI_FRAME_ENVELOPE;
    {
        uint32_t bytes = (uint32_t)kit->body[2] << 8 | kit->body[3];

        (void)kit_give_bytes(kit, client, TRI_ROLE_CLIENT, 0, kit->body + 4, bytes);
    }
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, client), "E:NOT_ALLOWED");
    kit_free(kit);
}

/* A client within the node: it submits like any other, and its frames come to ops->internal. */
Test(shard_internal, F05_an_internal_port_is_answered_like_a_connection)
{
    for (uint32_t shards = 1; shards <= 4; shards += 3) {
        struct kit *kit = kit_with_chains(shards, 0);
        tri_port port = TRI_PORT_INTERNAL(0, 0xabcdef, TRI_INTERNAL_OWNER, 9);
        enum tri_frame_type type;
        struct tri_wire_answer answer;

        cr_assert(TRI_PORT_IS_INTERNAL(port));
        cr_assert_eq(TRI_PORT_INTERNAL_KIND(port), TRI_INTERNAL_OWNER);
        cr_assert_eq(TRI_PORT_INTERNAL_NUMBER(port), 9);
        cr_assert_eq(TRI_PORT_GENERATION(port), 0xabcdef);
        cr_assert(!TRI_PORT_IS_INTERNAL(kit_port(0, 30000)));
        for (uint32_t i = 0; i < 8; i++) {
            char id[32];

            (void)snprintf(id, sizeof(id), "message-%u", i);
            cr_assert_eq(kit_submit(kit, port, id, 16), TRI_OK);
            kit_rest(kit);
            cr_expect_eq(kit->internal_frames, 3 * i + 1); /* RECEIVED */
            answer_all(kit, NULL);
            cr_expect_eq(kit->internal_frames, 3 * i + 3); /* NOTICE, PROCESSED */
            cr_expect_eq(kit->internal_port, port);
            cr_assert(
                tri_wire_peek_answer(kit->internal_frame, kit->internal_bytes, &type, &answer));
            cr_expect_eq(type, TRI_FRAME_ACK);
            cr_expect_eq(answer.type, TRI_ACK_PROCESSED);
            cr_expect_eq(answer.code, TRI_ERROR_NONE);
            cr_expect(!answer.is_duplicate);
            cr_expect(!answer.is_refusal);
        }
        cr_expect_eq(kit_counter(kit, "frames_dropped"), 0);
        kit_free(kit);
    }
}
