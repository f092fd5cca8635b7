/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a plain yes or no fits its order, and no two orders share a token.
 * Method: every kind of order; a token made independently; every bit of a key
 * and an attempt flipped.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/wire.h"
#include "tricast/order.h"

static struct tri_ticket ticket_of(enum tri_send kind)
{
    return (struct tri_ticket){
        .key = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)},
        .attempt = TRI_ATTEMPT(7, 2),
        .kind = (uint8_t)kind,
    };
}

Test(reply, P04_yes_has_the_type_of_its_order)
{
    static const enum tri_ack_type types[TRI_SEND_COUNT] = {
        TRI_ACK_PHASE_PREPARE_OK, TRI_ACK_PHASE_COMMIT_OK, TRI_ACK_PHASE_FINALIZE_OK,
        TRI_ACK_PROCESSED, TRI_ACK_PROCESSED};

    for (uint32_t kind = 0; kind < TRI_SEND_COUNT; kind++) {
        struct tri_ticket ticket = ticket_of((enum tri_send)kind);
        struct tri_answer answer;

        memset(&answer, 0xa5, sizeof(answer));
        cr_expect_eq(tri_answer_accept(&ticket, &answer), TRI_REPLY_NOW);
        cr_expect_eq(answer.type, types[kind], "kind %u", kind);
        cr_expect_eq(answer.code, TRI_ERROR_NONE, "kind %u", kind);
        cr_expect_eq(answer.token_bytes, kind == TRI_SEND_PREPARE ? 35 : 0, "kind %u", kind);
        cr_expect_not(answer.already_applied);
    }
}

Test(reply, A12_no_has_a_code_and_no_token)
{
    for (uint32_t kind = 0; kind < TRI_SEND_COUNT; kind++) {
        struct tri_ticket ticket = ticket_of((enum tri_send)kind);
        struct tri_answer answer;

        memset(&answer, 0xa5, sizeof(answer));
        cr_expect_eq(tri_answer_refuse(&ticket, TRI_ERROR_UNKNOWN_ASSET, &answer), TRI_REPLY_NOW);
        cr_expect_eq(answer.type, kind <= TRI_SEND_FINALIZE ? TRI_ACK_PHASE_REJECT : TRI_ACK_FAILED,
                     "kind %u", kind);
        cr_expect_eq(answer.code, TRI_ERROR_UNKNOWN_ASSET);
        cr_expect_eq(answer.token_bytes, 0);
        cr_expect_not(answer.already_applied);
    }
}

Test(reply, P05_the_token_is_the_key_and_the_attempt_in_base_64)
{
    /* python3: v = lo | hi << 64 | attempt << 128; digits[v >> 6 * i & 63] for i in range(32) */
    static const char expected[] = "ltyg9UMHZ404oGbTOgBt-B0000m10000";
    struct tri_ticket ticket = ticket_of(TRI_SEND_PREPARE);
    struct tri_text tokens[TRI_TOKENS_MAX];
    struct tri_answer answer;

    (void)tri_answer_accept(&ticket, &answer);
    cr_assert_eq(tri_tokens_get((struct tri_bytes){answer.tokens, answer.token_bytes}, tokens), 1);
    cr_assert_eq(tokens[0].bytes, 32);
    cr_expect_arr_eq(tokens[0].at, expected, 32);
}

Test(reply, P05_every_bit_of_key_and_attempt_makes_another_token)
{
    struct tri_ticket ticket = ticket_of(TRI_SEND_PREPARE);
    struct tri_answer first;
    struct tri_answer again;

    (void)tri_answer_accept(&ticket, &first);
    (void)tri_answer_accept(&ticket, &again);
    cr_expect_arr_eq(first.tokens, again.tokens, 35, "P06: the same order, the same bytes");
    for (uint32_t bit = 0; bit < 192; bit++) {
        struct tri_ticket other = ticket;
        uint64_t flipped = UINT64_C(1) << bit % 64;

        other.key.lo ^= bit < 64 ? flipped : 0;
        other.key.hi ^= bit >= 64 && bit < 128 ? flipped : 0;
        other.attempt ^= bit >= 128 ? flipped : 0;
        (void)tri_answer_accept(&other, &again);
        cr_expect_arr_neq(first.tokens, again.tokens, 35, "bit %u", bit);
    }
}
