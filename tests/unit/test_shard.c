/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a message runs from frame to frame, on one shard and over many, and
 * whatever a peer sends or does not read harms nobody else.
 *
 * Method: the kit's ports in place of sockets; the test plays client, chains
 * and operator, and compares what each port got, in order.
 */
#include <criterion/criterion.h>

#include "tests/unit/shard_kit.h"

#define CLIENT 0U
#define CHAIN  1U /* slots 1..3 */
#define OTHER  8U

/* Chains on the shards 0, 1, 2 in turn, as far as there are so many. */
static tri_port chain_port(const struct kit *kit, uint16_t chain)
{
    return kit_port(chain % kit->shards, CHAIN + chain);
}

static struct kit *kit_with_chains(uint32_t shards)
{
    struct kit *kit = kit_new(shards);

    kit_start(kit);
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        kit_chain_up(kit, chain_port(kit, i), i, 1);
    }
    return kit;
}

/* All chains answer OK until nothing is left to answer. */
static void answer_all(struct kit *kit)
{
    uint32_t answered = 0;

    do {
        answered = 0;
        kit_rest(kit);
        for (uint16_t i = 0; i < KIT_CHAINS; i++) {
            answered += kit_answer(kit, chain_port(kit, i), i);
        }
    } while (answered > 0);
}

static const char *name_of(uint32_t number)
{
    static char name[32];

    (void)snprintf(name, sizeof(name), "message-%u", number);
    return name;
}

static void give_status_get(struct kit *kit, tri_port port, const char *id)
{
    kit->made.type = TRI_FRAME_STATUS_GET;
    kit->made.status_get = kit_text(id);
    cr_assert_eq(kit_give(kit, port, TRI_ROLE_CLIENT, 0), TRI_OK);
    kit_rest(kit);
}

/* Each chain has got exactly its one frame of `words`, and answers it. */
static void chains_answer(struct kit *kit, const char *const words[KIT_CHAINS], const char *id,
                          enum tri_phase phase, enum tri_ack_type ack)
{
    for (uint16_t c = 0; c < KIT_CHAINS; c++) {
        cr_expect_str_eq(kit_words(kit, chain_port(kit, c)), words[c]);
        cr_assert_eq(kit_phase_ack(kit, chain_port(kit, c), c, id, phase, TRI_ATTEMPT(7, 1), ack),
                     TRI_OK);
    }
    kit_rest(kit);
}

static void client_is_told(struct kit *kit, tri_port client)
{
    cr_assert(kit_take(kit, client));
    cr_expect_eq(kit->frame.ack.type, TRI_ACK_PROCESSED);
    cr_assert_eq(kit->frame.ack.target_count, 3);
    cr_expect_eq(kit->frame.ack.targets[0].state, TRI_TARGET_FINAL);
    cr_expect_eq(kit->frame.ack.targets[2].state, TRI_TARGET_FINAL);
}

static void phases_in_order(uint32_t shards)
{
    static const char *const prepares[KIT_CHAINS] = {"PREPARE#1[]", "PREPARE#1[]", "PREPARE#1[]"};
    static const char *const commits[KIT_CHAINS] = {"COMMIT#1[t0]", "COMMIT#1[t1]", "COMMIT#1[t2]"};
    static const char *const finalizes[KIT_CHAINS] = {"FINALIZE#1[t0]", "FINALIZE#1[t1]",
                                                      "FINALIZE#1[t2]"};
    struct kit *kit = kit_with_chains(shards);
    tri_port client = kit_port(shards - 1, CLIENT);

    for (uint32_t i = 0; i < 20; i++) {
        const char *id = name_of(i);

        cr_assert_eq(kit_submit(kit, client, id, 40), TRI_OK);
        kit_rest(kit);
        cr_expect_str_eq(kit_words(kit, client), "RECEIVED");
        chains_answer(kit, prepares, id, TRI_PHASE_PREPARE, TRI_ACK_PHASE_PREPARE_OK);
        chains_answer(kit, commits, id, TRI_PHASE_COMMIT, TRI_ACK_PHASE_COMMIT_OK);
        cr_expect_str_eq(kit_words(kit, client), "NOTICE");
        chains_answer(kit, finalizes, id, TRI_PHASE_FINALIZE, TRI_ACK_PHASE_FINALIZE_OK);
        client_is_told(kit, client);
    }
    cr_expect_eq(kit_counter(kit, "processed"), 20);
    cr_expect_eq(kit_counter(kit, "frames"), 200);
    cr_expect_eq(kit_counter(kit, "frames_dropped"), 0);
    cr_expect_eq(kit_counter(kit, "frames_forwarded") > 0, shards > 1);
    cr_expect_eq(kit_counter(kit, "answers_forwarded") > 0, shards > 1);
    kit_free(kit);
}

Test(shard, P01_three_phases_on_one_shard)
{
    phases_in_order(1);
}

Test(shard, P01_three_phases_over_two_shards)
{
    phases_in_order(2);
}

Test(shard, P01_three_phases_over_eight_shards)
{
    phases_in_order(8);
}

Test(shard, P02_phase_frames_repeat_the_inner_payload)
{
    struct kit *kit = kit_new(2);

    kit_start(kit);
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        kit_chain_up(kit, chain_port(kit, i), i, 1);
    }
    for (uint32_t i = 0; i < TRI_PAYLOAD_BYTES_MAX; i++) {
        kit->payload[i] = (uint8_t)(i * 7);
    }
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), name_of(i), TRI_PAYLOAD_BYTES_MAX),
                     TRI_OK);
        kit_rest(kit);
        for (uint16_t c = 0; c < KIT_CHAINS; c++) {
            cr_assert(kit_take(kit, chain_port(kit, c)));
            cr_assert_eq(kit->frame.type, TRI_FRAME_PHASE);
            cr_assert_eq(kit->frame.phase.payload.bytes, TRI_PAYLOAD_BYTES_MAX);
            cr_expect_eq(memcmp(kit->frame.phase.payload.at, kit->payload, TRI_PAYLOAD_BYTES_MAX),
                         0);
            cr_expect_eq(kit->frame.phase.phase, TRI_PHASE_PREPARE);
            cr_expect(kit->frame.phase.reservation_ttl_ms > 0);
        }
    }
    kit_free(kit);
}

Test(shard, P04_terminal_ack_is_refused_counted_and_changes_nothing)
{
    for (uint32_t shards = 1; shards <= 2; shards++) {
        struct kit *kit = kit_with_chains(shards);

        for (uint32_t i = 0; i < 4; i++) {
            tri_port port = chain_port(kit, 1);

            cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), name_of(i), 10), TRI_OK);
            kit_rest(kit);
            cr_expect_str_eq(kit_words(kit, port), "PREPARE#1[]");
            (void)kit_phase_ack(kit, port, 1, name_of(i), TRI_PHASE_PREPARE, TRI_ATTEMPT(7, 1),
                                TRI_ACK_PROCESSED);
            kit_rest(kit);
            cr_expect_str_eq(kit_words(kit, port), "E:TERMINAL_ACK_FOR_PHASE");
            cr_expect_eq(kit_at(kit, port)->closes, 0);
            (void)kit_phase_ack(kit, port, 1, name_of(i), TRI_PHASE_PREPARE, TRI_ATTEMPT(7, 1),
                                TRI_ACK_PHASE_PREPARE_OK);
        }
        answer_all(kit);
        cr_expect_eq(kit_counter(kit, "terminal_phase_acks"), 4);
        cr_expect_eq(kit_counter(kit, "processed"), 4);
        kit_free(kit);
    }
}

Test(shard, answer_in_another_chains_name_is_refused)
{
    for (uint32_t shards = 1; shards <= 2; shards++) {
        struct kit *kit = kit_with_chains(shards);

        for (uint32_t i = 0; i < 4; i++) {
            tri_port port = chain_port(kit, 1);
            struct tri_phase_ack *ack = &kit->made.phase_ack;

            cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), name_of(i), 10), TRI_OK);
            kit_rest(kit);
            cr_expect_str_eq(kit_words(kit, port), "PREPARE#1[]");
            memset(&kit->made, 0, sizeof(kit->made));
            kit->made.type = TRI_FRAME_PHASE_ACK;
            ack->id = kit_text(name_of(i));
            ack->type = TRI_ACK_PHASE_REJECT;
            ack->code = TRI_ERROR_OPERATOR_REFUSED;
            ack->attempt = TRI_ATTEMPT(7, 1);
            ack->chain = kit->chains[2].id;
            ack->tokens = (struct tri_bytes){(const uint8_t *)"\x90", 1};
            (void)kit_give(kit, port, TRI_ROLE_CHAIN, 1);
            kit_rest(kit);
            cr_expect_str_eq(kit_words(kit, port), "E:NOT_YOUR_CHAIN");
            (void)kit_phase_ack(kit, port, 1, name_of(i), TRI_PHASE_PREPARE, TRI_ATTEMPT(7, 1),
                                TRI_ACK_PHASE_PREPARE_OK);
        }
        answer_all(kit);
        cr_expect_eq(kit_counter(kit, "foreign_answers"), 4);
        cr_expect_eq(kit_counter(kit, "processed"), 4);
        kit_free(kit);
    }
}

Test(shard, wrong_role_is_refused_where_it_arrives)
{
    struct kit *kit = kit_with_chains(2);
    tri_port port = kit_port(0, CLIENT);

    kit->made.type = TRI_FRAME_ASK;
    kit->made.ask = (struct tri_ask){
        .id = kit_text("m"), .attempt = TRI_ATTEMPT(7, 1), .chain = kit->chains[0].id};
    cr_expect_eq(kit_give(kit, port, TRI_ROLE_CLIENT, 0), TRI_VIOLATION);
    cr_expect_eq(kit->fault.code, TRI_ERROR_WRONG_ROLE);
    cr_expect(tri_shard_fault_closes(kit->fault.code));
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, port), "E:WRONG_ROLE");
    cr_expect_eq(kit_counter(kit, "wrong_roles"), 1);
    kit_free(kit);
}

Test(shard, damaged_frame_gets_an_error_and_a_close_also_from_afar)
{
    struct kit *kit = kit_with_chains(2);
    uint32_t remote = 0;
    uint32_t local = 0;

    for (uint32_t i = 0; i < 16; i++) {
        tri_port port = kit_port(0, OTHER + i);
        enum tri_result result;
        uint32_t bytes = 0;

        cr_assert_neq(kit_submit(kit, kit_port(1, CLIENT), name_of(i), 10), TRI_FULL);
        bytes = (uint32_t)kit->body[2] << 8 | kit->body[3];
        result = kit_give_bytes(kit, port, TRI_ROLE_CLIENT, 0, kit->body + TRI_FRAME_HEADER_BYTES,
                                bytes - 1);
        kit_rest(kit);
        cr_expect_str_eq(kit_words(kit, port), "E:MALFORMED_FRAME");
        if (result == TRI_VIOLATION) {
            local++; /* the caller closes */
            cr_expect_eq(kit->fault.code, TRI_ERROR_MALFORMED_FRAME);
            cr_expect_eq(kit_at(kit, port)->closes, 0);
        } else {
            remote++;
            cr_expect_eq(kit_at(kit, port)->closes, 1);
            cr_expect_eq(kit_at(kit, port)->why, TRI_ERROR_MALFORMED_FRAME);
        }
    }
    cr_expect(local > 0);
    cr_expect(remote > 0);
    cr_expect_eq(kit_counter(kit, "frames_refused"), 16);
    kit_free(kit);
}

Test(shard, status_shows_open_closed_and_unknown)
{
    for (uint32_t shards = 1; shards <= 2; shards++) {
        struct kit *kit = kit_with_chains(shards);
        tri_port client = kit_port(0, CLIENT);

        for (uint32_t i = 0; i < 4; i++) {
            give_status_get(kit, client, name_of(i));
            cr_expect_str_eq(kit_words(kit, client), "E:UNKNOWN_MESSAGE");
            cr_assert_eq(kit_submit(kit, client, name_of(i), 10), TRI_OK);
            kit_rest(kit);
            cr_expect_str_eq(kit_words(kit, client), "RECEIVED");
            give_status_get(kit, client, name_of(i));
            cr_assert(kit_take(kit, client));
            cr_assert_eq(kit->frame.type, TRI_FRAME_STATUS);
            cr_expect_eq(kit->frame.status.target_count, 3);
            cr_expect_eq(kit->frame.status.map_version, 3);
            answer_all(kit);
            cr_expect_str_eq(kit_words(kit, client), "NOTICE PROCESSED");
            give_status_get(kit, client, name_of(i));
            cr_expect_str_eq(kit_words(kit, client), "STATUS:PROCESSED");
        }
        kit_free(kit);
    }
}

static void give_verdict(struct kit *kit, tri_port port, const char *id, bool has_passed)
{
    memset(&kit->made, 0, sizeof(kit->made));
    kit->made.type = TRI_FRAME_VERDICT;
    kit->made.verdict = (struct tri_verdict_frame){.id = kit_text(id), .has_passed = has_passed};
    (void)kit_give(kit, port, TRI_ROLE_OPERATOR, 0);
    kit_rest(kit);
}

/* What kit_submit() has made, once more on the forced path. */
static void give_forced(struct kit *kit, tri_port port, enum tri_role role, const char *id)
{
    kit->made.type = TRI_FRAME_FORCE;
    kit->made.submit.id = kit_text(id);
    (void)kit_give(kit, port, role, 0);
    kit_rest(kit);
}

Test(shard, F06_a_forced_message_waits_for_the_operators_verdict)
{
    for (uint32_t shards = 1; shards <= 8; shards *= 8) {
        struct kit *kit = kit_with_chains(shards);
        tri_port overseer = kit_port(0, OTHER);

        cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), "first", 10), TRI_OK);
        answer_all(kit);
        for (uint32_t i = 0; i < 8; i++) {
            cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), "first", 10), TRI_OK);
            give_forced(kit, overseer, TRI_ROLE_OPERATOR, name_of(i));
            cr_expect_str_eq(kit_words(kit, overseer), "RECEIVED");
            for (uint16_t chain = 0; chain < KIT_CHAINS; chain++) {
                cr_expect_str_eq(kit_words(kit, chain_port(kit, chain)), "");
            }
            give_status_get(kit, overseer, name_of(i));
            cr_assert(kit_take(kit, overseer));
            cr_expect_eq(kit->frame.status.state.bytes, 4);
            cr_expect(kit->frame.status.is_forced);
            give_verdict(kit, overseer, name_of(i), i % 2 == 0);
            if (i % 2 == 0) {
                cr_expect_str_eq(kit_words(kit, overseer), "STATUS:PREPARING");
                answer_all(kit);
                cr_expect_str_eq(kit_words(kit, overseer), "NOTICE PROCESSED");
            } else {
                cr_expect_str_eq(kit_words(kit, overseer), "REJECTED STATUS:REJECTED");
            }
            give_verdict(kit, overseer, name_of(i), i % 2 != 0);
            cr_expect_str_eq(kit_words(kit, overseer), "E:NOT_ALLOWED");
            give_verdict(kit, overseer, name_of(i), false);
            cr_expect_str_eq(kit_words(kit, overseer),
                             i % 2 == 0 ? "E:NOT_ALLOWED" : "STATUS:REJECTED");
        }
        give_verdict(kit, overseer, "ghost", true);
        cr_expect_str_eq(kit_words(kit, overseer), "E:UNKNOWN_MESSAGE");
        cr_expect_eq(kit_counter(kit, "forced"), 8);
        cr_expect_eq(kit_counter(kit, "undefended"), 4);
        kit_free(kit);
    }
}

Test(shard, F06_only_an_operator_forces)
{
    struct kit *kit = kit_with_chains(2);
    tri_port port = kit_port(0, CLIENT);

    cr_assert_eq(kit_submit(kit, port, "m", 10), TRI_OK);
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, port), "RECEIVED");
    give_forced(kit, port, TRI_ROLE_CLIENT, "n");
    cr_expect_str_eq(kit_words(kit, port), "E:WRONG_ROLE");
    kit->made.type = TRI_FRAME_VERDICT;
    kit->made.verdict = (struct tri_verdict_frame){.id = kit_text("n"), .has_passed = true};
    cr_expect_eq(kit_give(kit, port, TRI_ROLE_CHAIN, 0), TRI_VIOLATION);
    kit_rest(kit);
    cr_expect_str_eq(kit_words(kit, port), "E:WRONG_ROLE");
    cr_expect_eq(kit_counter(kit, "forced"), 0);
    kit_free(kit);
}

Test(shard, R01_duplicate_of_a_closed_message_gets_its_result)
{
    struct kit *kit = kit_with_chains(2);
    tri_port client = kit_port(0, CLIENT);

    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(kit_submit(kit, client, name_of(i), 10), TRI_OK);
        answer_all(kit);
        cr_expect_str_eq(kit_words(kit, client), "RECEIVED NOTICE PROCESSED");
        cr_assert_eq(kit_submit(kit, client, name_of(i), 10), TRI_OK);
        kit_rest(kit);
        cr_expect_str_eq(kit_words(kit, client), "PROCESSED+");
        cr_assert_eq(kit_submit(kit, client, name_of(i), 11), TRI_OK);
        kit_rest(kit);
        cr_assert(kit_take(kit, client));
        cr_expect_eq(kit->frame.ack.code, TRI_ERROR_DUPLICATE_ID_MISMATCH);
    }
    kit_free(kit);
}

Test(shard, P14_prepare_ok_of_a_strange_attempt_is_answered_with_abort)
{
    struct kit *kit = kit_with_chains(2);

    for (uint32_t i = 0; i < 4; i++) {
        tri_port port = chain_port(kit, 2);

        cr_assert_eq(kit_phase_ack(kit, port, 2, name_of(i), TRI_PHASE_PREPARE, TRI_ATTEMPT(6, 1),
                                   TRI_ACK_PHASE_PREPARE_OK),
                     TRI_OK);
        kit_rest(kit);
        cr_assert(kit_take(kit, port));
        cr_assert_eq(kit->frame.type, TRI_FRAME_CONTROL);
        cr_expect_eq(kit->frame.control.kind, TRI_CONTROL_ABORT);
        cr_expect_eq(kit->frame.control.attempt, TRI_ATTEMPT(6, 1));
        cr_expect_eq(kit->frame.control.id.bytes, strlen(name_of(i)));
        cr_expect_eq(memcmp(kit->frame.control.id.at, name_of(i), strlen(name_of(i))), 0);
    }
    kit_free(kit);
}

Test(shard, A06_rollback_names_the_chains_and_carries_tokens)
{
    struct kit *kit = kit_with_chains(2);
    tri_port client = kit_port(0, CLIENT);

    memset(&kit->made, 0, sizeof(kit->made));
    (void)kit_submit(kit, client, "shape", 1);
    kit->made.submit.id = kit_text("rolled");
    kit->made.submit.atomicity = TRI_ALL_OR_NOTHING;
    cr_assert_eq(kit_give(kit, client, TRI_ROLE_CLIENT, 0), TRI_OK);
    kit_rest(kit);
    for (uint16_t c = 0; c < KIT_CHAINS; c++) {
        (void)kit_phase_ack(kit, chain_port(kit, c), c, "rolled", TRI_PHASE_PREPARE,
                            TRI_ATTEMPT(7, 1), TRI_ACK_PHASE_PREPARE_OK);
    }
    kit_rest(kit);
    for (uint16_t c = 0; c < KIT_CHAINS; c++) {
        (void)kit_words(kit, chain_port(kit, c));
        (void)kit_phase_ack(kit, chain_port(kit, c), c, "rolled", TRI_PHASE_COMMIT,
                            TRI_ATTEMPT(7, 1),
                            c == 2 ? TRI_ACK_PHASE_REJECT : TRI_ACK_PHASE_COMMIT_OK);
    }
    kit_rest(kit);
    cr_assert(kit_take(kit, chain_port(kit, 1)));
    cr_assert_eq(kit->frame.type, TRI_FRAME_CONTROL);
    cr_expect_eq(kit->frame.control.kind, TRI_CONTROL_ROLLBACK);
    cr_expect_eq(kit->frame.control.chain_count, 2);
    cr_expect_eq(kit->frame.control.tokens.bytes, 4);
    cr_expect_eq(kit->frame.control.tokens.at[3], '1');
    cr_expect_eq(kit->frame.control.deadline_ms > KIT_WALL_MS, true);
    cr_expect_str_eq(kit_words(kit, chain_port(kit, 2)), "ABORT#1[t2]");
    kit_free(kit);
}

Test(shard, drain_refuses_new_messages_on_every_shard)
{
    struct kit *kit = kit_with_chains(2);
    tri_port client = kit_port(0, CLIENT);

    tri_shard_drain(kit_shard(kit, 1));
    kit_rest(kit);
    for (uint32_t i = 0; i < 8; i++) {
        cr_assert_eq(kit_submit(kit, client, name_of(i), 10), TRI_OK);
        kit_rest(kit);
        cr_assert(kit_take(kit, client));
        cr_expect_eq(kit->frame.ack.type, TRI_ACK_REJECTED);
        cr_expect_eq(kit->frame.ack.code, TRI_ERROR_SHUTTING_DOWN);
    }
    kit_free(kit);
}

Test(shard, every_counter_has_a_name_of_its_own)
{
    struct kit *kit = kit_with_chains(1);
    struct tri_counter_view views[128];
    uint32_t index = 0;

    while (tri_shard_set_counter_next(kit->set, 0, &index, &views[index])) {
        cr_assert_lt(index, 127);
    }
    cr_expect_gt(index, 40);
    for (uint32_t i = 0; i < index; i++) {
        for (uint32_t j = 0; j < i; j++) {
            cr_expect_str_neq(views[i].name, views[j].name);
        }
        cr_expect_gt(strlen(views[i].help), 0);
        cr_expect_gt(strlen(views[i].unit), 0);
    }
    kit_free(kit);
}

Test(shard, options_outside_their_range_are_named)
{
    struct kit *kit = kit_new(2);

    cr_expect_null(tri_shard_set_check(&kit->options));
    kit->options.shards = 65;
    cr_expect_str_eq(tri_shard_set_check(&kit->options), "shards: must be 1..64");
    cr_expect_eq(tri_shard_set_footprint(&kit->options), 0);
    kit->options.shards = 2;
    kit->options.mesh_blocks = 65;
    cr_expect_str_eq(tri_shard_set_check(&kit->options), "mesh_blocks: must be 0..64");
    kit->options.mesh_blocks = 0;
    kit->options.hold_bytes = 1000;
    cr_expect_str_eq(tri_shard_set_check(&kit->options), "hold_bytes: must be 0 or 180096..2^30");
    kit->options.hold_bytes = 0;
    kit->options.engine.epoch = 0;
    cr_expect_str_eq(tri_shard_set_check(&kit->options), "epoch: must be >= 1");
    free(kit);
}
