/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a node's orders drive a participant, and its answers fit those orders.
 * Method: each kind of order through a real participant; and every field of
 * the structs between which it is copied.
 */
#include <criterion/criterion.h>

#include "tests/unit/participant_stand.h"

static struct stand stand;
static uint8_t no_tokens[] = {0x90};

static struct tri_order order_of(enum tri_send kind)
{
    struct tri_order order = {
        .ticket = {.key = {7, 8},
                   .attempt = TRI_ATTEMPT(3, 2),
                   .chain = 5,
                   .kind = (uint8_t)kind,
                   .id_bytes = 2,
                   .id = "m7"},
        .now_ns = STAND_START_NS,
        .wall_ms = STAND_WALL_MS,
        .atomicity = TRI_ALL_OR_NOTHING,
        .expires_at_ms = STAND_EXPIRES_MS,
        .reservation_ttl_ms = kind == TRI_SEND_PREPARE ? STAND_TTL_MS : 0,
        .tokens = {no_tokens, sizeof(no_tokens)},
    };

    memset(order.hash.at, 9, sizeof(order.hash.at));
    return order;
}

/* Gives the order to the participant, whose ledger says yes; the answer, and whose it is. */
static struct tri_answer answer_to(const struct tri_order *order, struct tri_ticket *ticket)
{
    struct tri_participant_event event;
    struct tri_answer answer = {.type = TRI_ACK_RECEIVED};

    memset(&event, 0xa5, sizeof(event));
    tri_participant_from_order(order, &event);
    (void)tri_participant_step(stand.participant, &event, &stand.effects);
    while (stand.effects.count > 0) {
        struct tri_participant_event verdict = {.type = TRI_PARTICIPANT_TICK};
        bool is_asked = false;

        for (uint32_t i = 0; i < stand.effects.count; i++) {
            const struct tri_participant_effect *effect = &stand.effects.at[i];

            if (effect->type == TRI_PARTICIPANT_EFFECT_LEDGER && effect->op != TRI_LEDGER_RELEASE) {
                is_asked = true;
                verdict.type = TRI_PARTICIPANT_LEDGER;
                verdict.ledger.entry = effect->entry;
                verdict.ledger.generation = effect->generation;
                verdict.ledger.op = effect->op;
            } else if (effect->type == TRI_PARTICIPANT_EFFECT_PHASE_ACK ||
                       effect->type == TRI_PARTICIPANT_EFFECT_CONTROL_ACK) {
                memset(&answer, 0xa5, sizeof(answer));
                memset(ticket, 0xa5, sizeof(*ticket));
                tri_participant_to_answer(effect, &answer);
                tri_participant_to_ticket(effect, 5, ticket);
            }
        }
        stand.effects.count = 0;
        if (is_asked) {
            verdict.now_ns = order->now_ns;
            verdict.wall_ms = order->wall_ms;
            (void)tri_participant_step(stand.participant, &verdict, &stand.effects);
        }
    }
    return answer;
}

static void expect_ticket(const struct tri_ticket *ticket, const struct tri_ticket *of)
{
    cr_expect_eq(ticket->key.lo, of->key.lo);
    cr_expect_eq(ticket->key.hi, of->key.hi);
    cr_expect_eq(ticket->attempt, of->attempt);
    cr_expect_eq(ticket->chain, of->chain);
    cr_expect_eq(ticket->kind, of->kind);
    cr_assert_eq(ticket->id_bytes, of->id_bytes);
    cr_expect_arr_eq(ticket->id, of->id, of->id_bytes);
}

Test(participant_order, P04_phases_and_a_rollback_are_answered_in_their_own_names)
{
    static const struct {
        enum tri_send kind;
        enum tri_ack_type type;
        enum tri_error code;
    } story[] = {
        {TRI_SEND_PREPARE, TRI_ACK_PHASE_PREPARE_OK, TRI_ERROR_NONE},
        {TRI_SEND_COMMIT, TRI_ACK_PHASE_COMMIT_OK, TRI_ERROR_NONE},
        {TRI_SEND_ABORT, TRI_ACK_REJECTED, TRI_ERROR_ALREADY_APPLIED}, /* P12 */
        {TRI_SEND_ROLLBACK, TRI_ACK_PROCESSED, TRI_ERROR_NONE},
        {TRI_SEND_COMMIT, TRI_ACK_PHASE_REJECT, TRI_ERROR_ATTEMPT_ENDED}, /* P12 */
    };
    uint8_t tokens[TRI_TOKENS_BYTES_MAX];
    uint32_t token_bytes = 1;

    stand_init(&stand);
    tokens[0] = 0x90;
    for (uint32_t i = 0; i < sizeof(story) / sizeof(story[0]); i++) {
        struct tri_order order = order_of(story[i].kind);
        struct tri_ticket ticket;
        struct tri_answer answer;

        order.tokens = (struct tri_bytes){tokens, token_bytes};
        answer = answer_to(&order, &ticket);
        cr_expect_eq(answer.type, story[i].type, "order %u", i);
        cr_expect_eq(answer.code, story[i].code, "order %u", i);
        cr_expect_not(answer.already_applied);
        cr_expect_eq(answer.token_bytes, i == 0 ? 27 : 0, "only PREPARE_OK has a token (P05)");
        expect_ticket(&ticket, &order.ticket);
        if (i == 0) {
            token_bytes = answer.token_bytes;
            memcpy(tokens, answer.tokens, token_bytes);
            cr_expect_eq(tokens[0], 0x91, "an array of one");
        }
    }
}

Test(participant_order, P10_a_later_attempt_of_an_applied_message_says_so)
{
    struct tri_order order = order_of(TRI_SEND_PREPARE);
    struct tri_ticket ticket;
    struct tri_answer answer;

    stand_init(&stand);
    answer = answer_to(&order, &ticket);
    order = order_of(TRI_SEND_COMMIT);
    order.tokens = (struct tri_bytes){answer.tokens, answer.token_bytes};
    cr_assert_eq(answer_to(&order, &ticket).type, TRI_ACK_PHASE_COMMIT_OK);
    order = order_of(TRI_SEND_PREPARE);
    order.ticket.attempt = TRI_ATTEMPT(3, 3);
    answer = answer_to(&order, &ticket);
    cr_expect_eq(answer.type, TRI_ACK_PHASE_PREPARE_OK);
    cr_expect(answer.already_applied);
    expect_ticket(&ticket, &order.ticket);
}

Test(participant_order, P06_other_content_under_a_known_id_is_refused)
{
    struct tri_order order = order_of(TRI_SEND_PREPARE);
    struct tri_ticket ticket;
    struct tri_answer answer;

    stand_init(&stand);
    cr_assert_eq(answer_to(&order, &ticket).type, TRI_ACK_PHASE_PREPARE_OK);
    order.hash.at[15] = 0;
    answer = answer_to(&order, &ticket);
    cr_expect_eq(answer.type, TRI_ACK_PHASE_REJECT);
    cr_expect_eq(answer.code, TRI_ERROR_DUPLICATE_ID_MISMATCH);
}

Test(participant_order, P13_an_expired_prepare_is_refused)
{
    struct tri_order order = order_of(TRI_SEND_PREPARE);
    struct tri_ticket ticket;
    struct tri_answer answer;

    stand_init(&stand);
    order.wall_ms = STAND_EXPIRES_MS + 1;
    answer = answer_to(&order, &ticket);
    cr_expect_eq(answer.type, TRI_ACK_PHASE_REJECT);
    cr_expect_eq(answer.code, TRI_ERROR_STALE);
}

Test(participant_order, A01_best_effort_is_applied_without_prepare)
{
    struct tri_order order = order_of(TRI_SEND_COMMIT);
    struct tri_ticket ticket;

    stand_init(&stand);
    order.atomicity = TRI_BEST_EFFORT;
    cr_expect_eq(answer_to(&order, &ticket).type, TRI_ACK_PHASE_COMMIT_OK);
}

Test(participant_order, L06_the_order_carries_the_life_of_its_reservation)
{
    struct tri_order order = order_of(TRI_SEND_PREPARE);
    struct tri_ticket ticket;
    struct tri_answer answer;

    stand_init(&stand);
    answer = answer_to(&order, &ticket);
    order = order_of(TRI_SEND_COMMIT);
    order.tokens = (struct tri_bytes){answer.tokens, answer.token_bytes};
    order.now_ns += STAND_TTL_MS * TRI_NS_PER_MS;
    answer = answer_to(&order, &ticket);
    cr_expect_eq(answer.type, TRI_ACK_PHASE_REJECT);
    cr_expect_eq(answer.code, TRI_ERROR_LOCK_EXPIRED);
}

Test(participant_order, P14_the_ticket_of_a_question_names_the_reservation)
{
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_WELCOME, .now_ns = STAND_START_NS, .wall_ms = STAND_WALL_MS};
    struct tri_order order = order_of(TRI_SEND_PREPARE);
    struct tri_ticket ticket;

    stand_init(&stand);
    cr_assert_eq(answer_to(&order, &ticket).type, TRI_ACK_PHASE_PREPARE_OK);
    (void)tri_participant_step(stand.participant, &event, &stand.effects);
    cr_assert_eq(stand.effects.count, 1);
    cr_assert_eq(stand.effects.at[0].type, TRI_PARTICIPANT_EFFECT_ASK);
    memset(&ticket, 0xa5, sizeof(ticket));
    tri_participant_to_ticket(&stand.effects.at[0], 5, &ticket);
    expect_ticket(&ticket, &order.ticket);
}
